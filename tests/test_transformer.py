"""The decoder-only transformer.

Oracles: the same network in numpy float64, written with loops over positions and heads, with
rotary positions as multiplication by complex numbers; torch.func.hessian; central differences.
Wrong on purpose: the reference with one part replaced (no rotation, key and value heads dealt out
in another order, no final norm, ...) must disagree.
"""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, jacfwd, vmap

import landscape_nb as ln
from landscape_nb.problems.models import (
    DecoderTransformer,
    TransformerConfig,
    blank,
    rms_norm,
    sequence_loss,
)

TINY = TransformerConfig(
    vocabulary_size=7, context=6, width=16, depth=2, heads=4, kv_heads=2, hidden=10, rope_base=100.0
)
CONFIGS = {
    "grouped": TINY,
    "tied": replace(TINY, tied=True),
    "one kv head": replace(TINY, kv_heads=1),
    "ordinary attention": replace(TINY, kv_heads=4),
    "one head, deep": replace(TINY, heads=1, kv_heads=1, depth=3),
}


def build(config=TINY, seed=0, dtype=torch.float64):
    return DecoderTransformer(config, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def draw_tokens(shape, seed=1, V=7):
    return torch.randint(V, shape, generator=torch.Generator().manual_seed(seed))


def build_loss(config=TINY, n=4, **options):
    s = draw_tokens((n, config.context + 1), V=config.vocabulary_size)
    model = build(config, **options)
    return ln.EmpiricalLoss(model, sequence_loss, s[:, :-1], s[:, 1:])


# -- the forward pass, by loops ------------------------------------------------------------------


def unit_rms(v, eps=1e-6):
    return v / np.sqrt(np.sum(v * v) / len(v) + eps)


def turned(v, position, base):
    """Pairs (p, p + c/2) as complex numbers, each multiplied by exp(i position base^(-2p/c))."""
    half = len(v) // 2
    out = np.empty_like(v)
    for p in range(half):
        z = complex(v[p], v[p + half]) * np.exp(1j * position * base ** (-2 * p / len(v)))
        out[p], out[p + half] = z.real, z.imag
    return out


def reference(model, tokens, *, rotate=turned, group=None, final_norm=True, relu_power=2):
    config = model.config
    W = {name: p.detach().double().numpy() for name, p in model.named_parameters()}
    c = config.width // config.heads
    shared = config.heads // config.kv_heads
    group = group or (lambda head: head // shared)
    logits = []
    for row in tokens.tolist():
        x = [W["embedding.weight"][token].copy() for token in row]
        for d in range(config.depth):
            block = {
                name.split(".")[2]: w for name, w in W.items() if name.startswith(f"blocks.{d}.")
            }
            normed = [unit_rms(v) for v in x]
            mixed = [np.zeros(config.width) for _ in x]
            for i in range(len(x)):
                for head in range(config.heads):
                    own, other = slice(head * c, (head + 1) * c), group(head)
                    theirs = slice(other * c, (other + 1) * c)
                    q = rotate((block["query"] @ normed[i])[own], i, config.rope_base)
                    scores = []
                    for j in range(i + 1):
                        k = rotate((block["key"] @ normed[j])[theirs], j, config.rope_base)
                        scores.append(q @ k / np.sqrt(c))
                    weight = np.exp(scores) / np.sum(np.exp(scores))
                    for j in range(i + 1):
                        mixed[i][own] += weight[j] * (block["value"] @ normed[j])[theirs]
            for i in range(len(x)):
                x[i] = x[i] + block["out"] @ mixed[i]
                hidden = np.maximum(block["up"] @ unit_rms(x[i]), 0) ** relu_power
                x[i] = x[i] + block["down"] @ hidden
        table = W["embedding.weight" if config.tied else "head.weight"]
        logits.append([table @ (unit_rms(v) if final_norm else v) for v in x])
    return torch.tensor(np.array(logits))


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_forward_is_what_loops_give(config):
    model, x = build(config), draw_tokens((3, 6))
    torch.testing.assert_close(model(x), reference(model, x), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "wrong",
    [
        {"rotate": lambda v, position, base: v},
        {"rotate": lambda v, position, base: turned(v, position, 10 * base)},
        {"rotate": lambda v, position, base: turned(v, -position, base)},
        {"group": lambda head: head % 2},
        {"final_norm": False},
        {"relu_power": 1},
    ],
    ids=["no rotation", "another base", "backwards", "other groups", "no final norm", "ReLU"],
)
def test_a_wrong_network_disagrees(wrong):
    model, x = build(), draw_tokens((3, 6))
    for block in model.blocks:  # attention that is far from uniform
        block.query.weight.data *= 4
    torch.testing.assert_close(model(x), reference(model, x), rtol=0, atol=1e-12)
    assert (model(x) - reference(model, x, **wrong)).abs().max() > 1e-2


def test_float32_is_the_same_network():
    x = draw_tokens((3, 6))
    exact, coarse = build()(x), build(dtype=torch.float32)(x)
    assert coarse.dtype == torch.float32
    torch.testing.assert_close(coarse.double(), exact, rtol=0, atol=1e-5)
    torch.testing.assert_close(build(dtype=torch.float32).double()(x), exact, rtol=0, atol=1e-5)


@pytest.mark.parametrize("changed", range(6))
def test_no_position_sees_a_later_token(changed):
    model, x = build(), draw_tokens((1, 6))
    other = x.clone()
    other[0, changed] = (x[0, changed] + 1) % 7
    same = (model(x) == model(other)).all(-1)[0]
    assert same.tolist() == [j < changed for j in range(6)]


def test_attention_depends_on_distance_only():
    """Rotary positions: scores of q at i and k at j depend on i - j."""
    rng = np.random.default_rng(0)
    q, k = rng.normal(size=(2, 8))
    scores = [turned(q, i, 100.0) @ turned(k, i - 3, 100.0) for i in (3, 7, 50)]
    np.testing.assert_allclose(scores, scores[0], atol=1e-12)


def test_a_shorter_sequence_is_a_prefix():
    model, x = build(), draw_tokens((2, 6))
    torch.testing.assert_close(model(x[:, :4]), model(x)[:, :4], rtol=0, atol=1e-14)


def test_rms_norm():
    x = torch.tensor([[3.0, -4.0], [0.0, 0.0]], dtype=torch.float64)
    expected = [[3 / (12.5 + 1e-6) ** 0.5, -4 / (12.5 + 1e-6) ** 0.5], [0.0, 0.0]]
    expected = torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(rms_norm(x), expected, rtol=0, atol=1e-14)
    torch.testing.assert_close(rms_norm(5 * x)[0], rms_norm(x)[0], rtol=1e-6, atol=0)


# -- parameters ----------------------------------------------------------------------------------


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_number_of_parameters(config):
    assert sum(p.numel() for p in build(config).parameters()) == config.num_params


def test_sizes_of_the_named_configurations():
    assert 100_000 <= TransformerConfig.laptop(103).num_params <= 112_000
    paper = TransformerConfig.paper()
    assert paper.depth == 6 and 512 <= paper.context <= 2048
    assert round(paper.num_params / 1e6) == 107


def test_weights_come_from_the_generator_only():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    one, two, other = build(seed=3), build(seed=3), build(seed=4)
    assert torch.equal(torch.get_rng_state(), before)
    for a, b, c in zip(one.parameters(), two.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b) and not torch.equal(a, c)
    default = DecoderTransformer(TINY, dtype=torch.float64)
    assert torch.equal(default.embedding.weight, build(seed=0).embedding.weight)


def test_variance_of_the_first_weights():
    model = build(TransformerConfig.laptop(103))
    for name, p in model.named_parameters():
        writes = name.endswith(("out.weight", "down.weight"))
        expected = p.shape[1] ** -0.5 / (4**0.5 if writes else 1)
        assert abs(p.std() / expected - 1) < 0.05, name


# -- the loss of a sequence ----------------------------------------------------------------------


def test_sequence_loss_by_hand():
    logits = torch.tensor([[[0.0, np.log(3.0)], [0.0, 0.0]]], dtype=torch.float64)
    expected = (-np.log(3 / 4) - np.log(1 / 2)) / 2
    assert abs(float(sequence_loss(logits, torch.tensor([[1, 0]]))) - expected) < 1e-15


def test_sequence_loss_by_loops():
    logits, y = build()(draw_tokens((3, 6))).detach(), draw_tokens((3, 6), seed=2)
    for i, value in enumerate(sequence_loss(logits, y).tolist()):
        tokens = [logits[i, j].logsumexp(0) - logits[i, j, y[i, j]] for j in range(6)]
        assert abs(value - sum(tokens) / 6) < 1e-14


def test_one_sequence_does_not_touch_another():
    model, x, y = build(), draw_tokens((4, 6)), draw_tokens((4, 6), seed=2)
    together = sequence_loss(model(x), y)
    for i in range(4):
        alone = sequence_loss(model(x[i : i + 1]), y[i : i + 1])
        torch.testing.assert_close(alone[0], together[i], rtol=0, atol=1e-14)


# -- derivatives ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["grouped", "tied"])
def test_hessian_is_that_of_torch_func(name):
    loss = build_loss(replace(CONFIGS[name], width=8, heads=2, kv_heads=1, hidden=5))
    H = loss.hessian_operator(loss.w0, 4).dense()
    assert (H - H.T).abs().max() < 1e-12
    exact = torch.func.hessian(lambda w: loss.losses_at(w, range(4)).mean())(loss.w0)
    torch.testing.assert_close(H, exact, rtol=0, atol=1e-12)
    assert H.abs().max() > 0.01


def test_gradient_by_central_differences():
    loss = build_loss()
    d = torch.randn(loss.num_params, generator=torch.Generator().manual_seed(5)).double()
    d, h = d / d.norm(), 1e-4
    slope = (loss.value(loss.w0 + h * d, 4) - loss.value(loss.w0 - h * d, 4)) / (2 * h)
    assert abs(float(slope - loss.gradient(loss.w0, 4) @ d)) < 1e-8


@pytest.mark.parametrize("name", ["grouped", "tied"])
def test_sample_gradients_are_single_gradients(name):
    loss = build_loss(CONFIGS[name])
    alone = torch.stack([loss.gradient(loss.w0, range(i, i + 1)) for i in range(4)])
    torch.testing.assert_close(loss.sample_gradients(loss.w0, 4), alone, rtol=0, atol=1e-13)


def test_no_derivative_falls_back_to_one_at_a_time():
    """Gradients under vmap and batched second backward passes work, not only their substitutes."""
    loss = build_loss()
    s = draw_tokens((4, 7))
    model = build()
    named = {k: p.detach() for k, p in model.named_parameters()}

    def one(w, x, y):
        return sequence_loss(functional_call(model, w, (x[None],)), y[None])[0]

    rows = vmap(torch.func.grad(one), in_dims=(None, 0, 0))(named, s[:, :-1], s[:, 1:])
    flat = torch.cat([rows[k].flatten(1) for k in named], dim=1)
    torch.testing.assert_close(flat, loss.sample_gradients(loss.w0, 4), rtol=0, atol=1e-13)

    leaf = loss.w0.clone().requires_grad_()
    gradient = torch.autograd.grad(loss.losses_at(leaf, range(4)).mean(), leaf, create_graph=True)
    V = torch.eye(loss.num_params, dtype=torch.float64)[:9]
    HV = torch.autograd.grad(gradient[0], leaf, V, is_grads_batched=True)[0]
    torch.testing.assert_close(HV, loss.hvp(loss.w0, V.T, 4).T, rtol=0, atol=1e-13)


def test_nested_forward_mode_and_vmap_along_directions():
    loss = build_loss()
    U = torch.linalg.qr(torch.randn(loss.num_params, 3, generator=torch.Generator().manual_seed(2)))
    U = U.Q.double()

    def along(z):
        return loss.losses_at(loss.w0 + U @ z, range(4)).mean()

    B = jacfwd(jacfwd(along))(torch.zeros(3).double())
    torch.testing.assert_close(B, U.T @ loss.hvp(loss.w0, U, 4), rtol=0, atol=1e-13)
    z = torch.eye(3).double() / 10
    expected = torch.stack([along(row) for row in z])
    torch.testing.assert_close(vmap(along)(z), expected, rtol=0, atol=1e-13)


# -- errors --------------------------------------------------------------------------------------

BAD_CONFIGS = [
    ("width", {"width": 9}, "width must be a multiple of heads", "heads = 4"),
    ("odd pairs", {"width": 12}, "must be even", "12 / 4 = 3"),
    ("kv heads", {"kv_heads": 3}, "heads must be a multiple of kv_heads", "kv_heads = 3"),
    ("depth", {"depth": 0}, "depth must be at least 1", "depth = 0"),
    ("no vocabulary", {"vocabulary_size": 1}, "vocabulary_size must be at least 2", "= 1"),
    ("float size", {"hidden": 8.0}, "hidden must be a whole number", "decimal point"),
    ("tied", {"tied": "yes"}, "tied must be True or False", "'yes'"),
    ("base", {"rope_base": 0.0}, "rope_base must be positive", "0.0"),
]


@pytest.mark.parametrize(
    ("change", "required", "got"), [b[1:] for b in BAD_CONFIGS], ids=[b[0] for b in BAD_CONFIGS]
)
def test_sizes_that_do_not_fit(change, required, got):
    with pytest.raises(ValueError) as caught:
        replace(TINY, **change)
    assert required in str(caught.value) and got in str(caught.value)


@pytest.mark.parametrize("change", [{"width": 9}, {"width": 12}, {"width": 3}, {"width": 2}])
def test_the_width_that_is_suggested_works(change):
    with pytest.raises(ValueError, match="For example width = ") as caught:
        replace(TINY, **change)
    replace(TINY, width=int(str(caught.value).rstrip(".").split("= ")[-1]))


BAD_TOKENS = [
    ("too large", torch.tensor([[0, 7]]), "tokens must lie in 0..6", "0..7"),
    ("negative", torch.tensor([[-1, 3]]), "tokens must lie in 0..6", "-1..3"),
    ("too long", torch.zeros(1, 7, dtype=torch.int64), "at most context = 6", "got 7"),
    ("floats", torch.zeros(1, 3), "int64", "torch.float32"),
    ("a list", [[1, 2]], "int64", "list"),
    ("one row", torch.tensor([1, 2]), "shape (b, t)", "tokens[None]"),
    ("empty", torch.zeros(2, 0, dtype=torch.int64), "shape (b, t)", "(2, 0)"),
]


@pytest.mark.parametrize(
    ("tokens", "required", "got"), [b[1:] for b in BAD_TOKENS], ids=[b[0] for b in BAD_TOKENS]
)
def test_tokens_that_can_not_be_read(tokens, required, got):
    with pytest.raises(ValueError) as caught:
        build()(tokens)
    assert required in str(caught.value) and got in str(caught.value)


def test_bad_tokens_inside_vmap_do_not_pass_silently():
    with pytest.raises((IndexError, ValueError)):
        vmap(build())(torch.tensor([[[0, 7]]]))


@pytest.mark.parametrize("targets", [(2, 5), (3, 6), (12,)], ids=str)
def test_targets_of_another_shape(targets):
    with pytest.raises(ValueError, match=r"logits must have shape \(b, t, V\)"):
        sequence_loss(torch.zeros(2, 6, 7), torch.zeros(targets, dtype=torch.int64))


def test_other_wrong_arguments():
    with pytest.raises(ValueError, match="must be a TransformerConfig; got int"):
        DecoderTransformer(103)
    with pytest.raises(ValueError, match="dtype must be a floating point type"):
        DecoderTransformer(TINY, dtype=torch.int64)
    with pytest.raises(ValueError, match="generator must be a torch.Generator"):
        DecoderTransformer(TINY, generator=0)


@pytest.mark.parametrize(
    "kind, sizes", [(nn.Linear, (3, 2)), (nn.Conv2d, (1, 4, 3)), (nn.Embedding, (5, 3))]
)
def test_a_blank_layer_is_one_of_its_kind_and_draws_nothing(kind, sizes):
    before = torch.get_rng_state()
    layer = blank(kind, *sizes, dtype=torch.float64)
    assert torch.equal(torch.get_rng_state(), before)
    own = kind(*sizes, dtype=torch.float64)
    assert type(layer) is kind and repr(layer) == repr(own)
    shapes = [(name, p.shape, p.dtype) for name, p in own.named_parameters()]
    assert [(name, p.shape, p.dtype) for name, p in layer.named_parameters()] == shapes
    torch.nn.init.ones_(layer.weight)
    again = pickle.loads(pickle.dumps(layer))
    assert type(again) is kind and torch.equal(again.weight, layer.weight)
    assert kind(*sizes).weight.std() > 0  # the kind itself draws as ever
