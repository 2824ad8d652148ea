"""All single samples' gradients and curvature by layer contraction: right, or refused.

Oracle: reverse mode of one sample alone, which knows nothing of layers. Wrong on purpose: a term
that is forgotten, a use that is forgotten, samples that are permuted.
"""

import copy
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from draws import F64, generator, randn
from torch import nn

import landscape_nb as ln
from landscape_nb.numerics import contraction, recording, sample_norms, single_gradients
from landscape_nb.numerics import samples as samples_module
from landscape_nb.numerics.recording import ContractionError
from landscape_nb.numerics.sample_norms import gradient_energies
from landscape_nb.numerics.samples import sample_derivatives

cross_entropy = nn.CrossEntropyLoss(reduction="none")


def squares(outputs, targets):
    return (outputs - targets).square().flatten(1).mean(1)


def sequence_mean(logits, targets):
    """Every token counts, and a term that ties the tokens of one sequence together."""
    return cross_entropy(logits.mT, targets).mean(1) + logits.mean(1).square().sum(1)


def tokens(n=7, length=5, high=6, seed=3):
    return torch.randint(high, (n, length), generator=generator(seed))


def classes(n=7, high=3):
    return torch.randint(high, (n,), generator=generator(2))


class By(nn.Module):
    """A module made of parts and a function of them and the inputs."""

    def __init__(self, forward, **parts):
        super().__init__()
        self.parts, self.how = nn.ModuleDict(parts), forward

    def forward(self, *inputs, **named):
        return self.how(self.parts, *inputs, **named)


def mlp(bias=True, width=4, out=3):
    return nn.Sequential(
        nn.Linear(4, width, bias=bias), nn.Tanh(), nn.Linear(width, width, bias=bias), nn.Tanh(),
        nn.Linear(width, out, bias=bias),
    )  # fmt: skip


def convolutions(*layers, flat):
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(flat, 3))


def again(parts, x):
    x = torch.tanh(parts["a"](x))
    for _ in range(2):
        x = x + torch.tanh(parts["middle"](x))
    return parts["b"](x)


def through_time(parts, x):
    h = x.new_zeros(len(x), 4)
    for t in range(x.shape[1]):
        h = torch.tanh(parts["inputs"](x[:, t]) + parts["state"](h))
    return parts["head"](h)


def time_first(parts, x):
    h = torch.tanh(parts["a"](x.transpose(0, 1)))
    return parts["b"](h + h.mean(0)).mean(0)


def by_time(x):
    x = x.transpose(0, 1)
    return x[:1], x, x.sin()


def folded(parts, x):
    h = torch.tanh(parts["a"](x.flatten(0, 1))).view(*x.shape[:2], -1)
    return parts["b"](torch.relu(h.mean(1)))


def folded_time_first(parts, x):
    h = torch.tanh(parts["a"](x.transpose(0, 1).flatten(0, 1)))
    return parts["b"](h.view(x.shape[1], len(x), -1).square().mean(0))


def in_place(parts, x):
    x = parts["a"](x).tanh_()
    return parts["b"](parts["middle"](x).add_(x).relu_())


def by_values(parts, x):
    h = torch.tanh(parts["a"](x))
    return parts["b"](h * (1 + float(h.detach().abs().max() > 9)))


def frozen():
    model = mlp()
    model[2].requires_grad_(False)
    model[4].weight.requires_grad_(False)
    return model


def tied(heads):
    embedding, head = nn.Embedding(6, 4), nn.Linear(4, 6, bias=False)
    head.weight = embedding.weight
    return nn.Sequential(embedding, nn.Tanh(), *heads, head)


def hooked():
    """Hooks of the model's own change what goes in and what comes out."""
    model = mlp()
    model[2].register_forward_hook(lambda module, args, output: 2 * output.sin())
    model[2].register_forward_pre_hook(lambda module, args: (args[0] + args[0].square(),))
    return model


def linears(**sizes):
    return {name: nn.Linear(*size) for name, size in sizes.items()}


def recurrent():
    return dict(inputs=nn.Linear(2, 4), state=nn.Linear(4, 4, bias=False), head=nn.Linear(4, 3))


X4, X44 = randn(7, 4), randn(7, 4, 4)
SEQUENCE = (sequence_mean, tokens(), tokens(seed=4))
IMAGE = (cross_entropy, randn(7, 2, 6, 6), classes())


class Raw(nn.Module):
    """Parameters of its own, used by hand."""

    def __init__(self):
        super().__init__()
        self.W, self.b = nn.Parameter(torch.randn(4, 3)), nn.Parameter(torch.randn(3))
        self.scale, self.v = nn.Parameter(torch.randn(3)), nn.Parameter(torch.randn(3))

    def forward(self, x):
        x = torch.tanh(x @ self.W + self.b) * self.scale
        return torch.stack([x[:, 0], self.b * x @ self.v], dim=1)


def by_hand(table):
    """The head reads the embedding's weight itself, part by part or whole."""
    return By(
        lambda parts, t: table(torch.tanh(parts["e"](t)), parts["e"].weight), e=nn.Embedding(6, 4)
    )


def in_parts(x, E):
    first, *rest = E.chunk(3)
    return torch.cat([x @ first.T, *(nn.functional.linear(x, part) for part in rest)], dim=-1)


def tiny_transformer():
    config = ln.models.TransformerConfig(6, context=5, width=8, depth=2, heads=2, kv_heads=1)
    return ln.models.DecoderTransformer(config, generator=generator(6))


# name: (model, loss function, inputs, targets)
SERVED = {
    "MLP": lambda: (mlp(), cross_entropy, X4, classes()),
    "MLP without biases": lambda: (mlp(bias=False), cross_entropy, X4, classes()),
    "MLP of ReLUs": lambda: (
        nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)), cross_entropy, X4, classes()),
    "one linear layer": lambda: (nn.Linear(4, 3), squares, X4, randn(7, 3)),
    "wide MLP, seven inputs": lambda: (mlp(width=7), cross_entropy, X4, classes()),
    "convolution 1d, stride": lambda: (
        convolutions(nn.Conv1d(2, 3, 3, stride=2), nn.Tanh(), flat=6),
        cross_entropy, randn(7, 2, 6), classes()),
    "convolution 2d, padding, pooling": lambda: (
        convolutions(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), flat=36), *IMAGE),
    "convolution 2d, groups and dilation": lambda: (
        convolutions(nn.Conv2d(2, 4, 3, groups=2, padding="same"), nn.GELU(),
                     nn.Conv2d(4, 4, 2, groups=2, dilation=2, bias=False), nn.Tanh(), flat=64),
        *IMAGE),
    "convolution 3d": lambda: (
        convolutions(nn.Conv3d(1, 2, 2), nn.Tanh(), flat=54), cross_entropy,
        randn(7, 1, 4, 4, 4), classes()),
    "a layer used again": lambda: (
        By(again, **linears(a=(4, 5), middle=(5, 5), b=(5, 3))), cross_entropy, X4, classes()),
    "recurrent use": lambda: (
        By(through_time, **recurrent()), cross_entropy, randn(7, 5, 2), classes()),
    "embedding": lambda: (
        nn.Sequential(nn.Embedding(6, 4), nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 6)), *SEQUENCE),
    "embedding with padding": lambda: (
        By(lambda parts, t: parts["b"](torch.tanh(parts["a"](t) * (t != 2)[..., None])),
           a=nn.Embedding(6, 4, padding_idx=2), b=nn.Linear(4, 6)), *SEQUENCE),
    "embedding tied to the head": lambda: (tied([nn.Linear(4, 4), nn.Tanh()]), *SEQUENCE),
    "time first": lambda: (
        By(time_first, **linears(a=(4, 5), b=(5, 3))), cross_entropy, randn(7, 5, 4), classes()),
    "time first, as many times as samples": lambda: (
        By(time_first, **linears(a=(4, 5), b=(5, 3))), cross_entropy, randn(7, 7, 4), classes()),
    "batch and time folded": lambda: (
        By(folded, **linears(a=(4, 5), b=(5, 3))), cross_entropy, randn(7, 5, 4), classes()),
    "time and batch folded": lambda: (
        By(folded_time_first, **linears(a=(4, 5), b=(5, 3))), cross_entropy, randn(7, 7, 4),
        classes()),
    "layer norm": lambda: (
        nn.Sequential(nn.Linear(4, 4), nn.LayerNorm((4, 4)), nn.Tanh(), nn.LayerNorm(4),
                      nn.Linear(4, 2)), squares, X44, randn(7, 4, 2)),
    "rms norm": lambda: (
        nn.Sequential(nn.Linear(4, 4), nn.RMSNorm(4), nn.Linear(4, 2)), squares, X44,
        randn(7, 4, 2)),
    "group norm": lambda: (
        convolutions(nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4), nn.Tanh(), flat=64), *IMAGE),
    "batch norm, evaluating": lambda: (
        convolutions(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Tanh(), flat=64).eval(), *IMAGE),
    "batch norm of vectors": lambda: (
        nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3)).eval(),
        cross_entropy, X4, classes()),
    "frozen layers": lambda: (frozen(), cross_entropy, X4, classes()),
    "in place": lambda: (
        By(in_place, **linears(a=(4, 5), middle=(5, 5), b=(5, 3))), cross_entropy, X4, classes()),
    "hooks of the model's own": lambda: (hooked(), cross_entropy, X4, classes()),
    "dict of inputs": lambda: (
        By(lambda parts, x, mask: parts["b"](torch.tanh(parts["a"](input=x)) * mask),
           **linears(a=(4, 5), b=(5, 3))),
        cross_entropy, {"x": X4, "mask": (randn(7, 5, seed=8) > 0).double()}, classes()),
    "numbers read from values": lambda: (
        By(by_values, **linears(a=(4, 5), b=(5, 3))), cross_entropy, X4, classes()),
    "parameters by hand": lambda: (Raw(), cross_entropy, X4, classes(high=2)),
    "weight read by hand": lambda: (by_hand(nn.functional.linear), *SEQUENCE),
    "weight read by hand in parts": lambda: (by_hand(in_parts), *SEQUENCE),
    "attention": lambda: (
        By(lambda parts, x: parts["b"](parts["a"](x, x, x)[0]),
           a=nn.MultiheadAttention(4, 2, batch_first=True), b=nn.Linear(4, 2)),
        squares, randn(7, 5, 4), randn(7, 5, 2)),
    "attention, time first, other keys and values": lambda: (
        By(lambda parts, x: parts["b"](parts["a"](*by_time(x), need_weights=False)[0][0]),
           a=nn.MultiheadAttention(4, 2), b=nn.Linear(4, 2)),
        squares, randn(7, 5, 4), randn(7, 2)),
    "encoder layer": lambda: (
        nn.TransformerEncoderLayer(4, 2, 6, batch_first=True).eval(), squares, randn(7, 5, 4),
        randn(7, 5, 4)),
    "transformer, tied by hand": lambda: (
        tiny_transformer(), ln.models.sequence_loss, tokens(), tokens(seed=4)),
    "quadratics": lambda: ln.toys.quadratics(7, 5).parts,
    "circular padding": lambda: (
        convolutions(nn.Conv1d(2, 3, 3, padding=1, padding_mode="circular"), nn.Tanh(), flat=18),
        cross_entropy, randn(7, 2, 6), classes()),
}  # fmt: skip


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(4, 3, batch_first=True), nn.Linear(3, 3)

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])


class Doubled(nn.Linear):
    """A subclass may do anything."""

    def forward(self, x):
        return super().forward(x) * 2 + self.weight.square().sum()


def only_some_by_hand():
    """One sample alone takes another way round the layer."""

    def forward(parts, x):
        first = (x[:, :1] == X4[3, 0]).double()
        other = (x + 1) @ parts["a"].weight.square().T
        return parts["b"](torch.tanh(parts["a"](x)) + first * other)

    return By(forward, **linears(a=(4, 5), b=(5, 3)))


REFUSED = {
    "parametrised": lambda: (
        nn.Sequential(nn.utils.parametrizations.orthogonal(nn.Linear(4, 4)), nn.Linear(4, 3)),
        cross_entropy, X4, classes()),
    "LSTM": lambda: (Recurrent(), cross_entropy, X44, classes()),
    "weight squared": lambda: (
        nn.Sequential(Doubled(4, 5), nn.Tanh(), nn.Linear(5, 3)), cross_entropy, X4, classes()),
    "weight squared for one sample": lambda: (
        only_some_by_hand(), cross_entropy, X4, classes()),
    "positions shared by all samples": lambda: (
        By(lambda parts, t: parts["b"](torch.tanh(parts["e"](t) + parts["p"](torch.arange(7)))),
           e=nn.Embedding(6, 4), p=nn.Embedding(7, 4), b=nn.Linear(4, 6)),
        sequence_mean, tokens(length=7), tokens(length=7, seed=4)),
}  # fmt: skip


def build(case, dtype=torch.float64, **options):
    torch.manual_seed(0)
    model, loss_fn, inputs, targets = case()
    if dtype == torch.float32:
        as_float = lambda t: t.float() if t.is_floating_point() else t  # noqa: E731
        inputs = (
            {k: v.float() for k, v in inputs.items()}
            if isinstance(inputs, dict)
            else as_float(inputs)
        )
        targets = as_float(targets)
    return ln.EmpiricalLoss(model.to(dtype), loss_fn, inputs, targets, **options)


def basis(loss, D=3):
    return ln.random_subspace(loss.num_params, D, generator(1), dtype=loss.w0.dtype)


def alone(loss, U):
    """(l, c, B) of every sample from reverse mode of that sample."""
    parts = []
    for i in range(loss.num_samples):
        H = loss.hessian_operator(loss.w0, range(i, i + 1))
        parts.append((loss.per_sample(loss.w0)[i], U.T @ H.gradient, U.T @ (H @ U)))
    return [torch.stack(part) for part in zip(*parts, strict=True)]


def same(found, expected, rtol):
    for part, truth in zip(found, expected, strict=True):
        assert part.shape == truth.shape
        assert (part - truth).norm() <= rtol * truth.norm()


@pytest.mark.parametrize("case", SERVED)
def test_every_sample_as_alone_in_reverse_mode(case):
    loss = build(SERVED[case], l2=0.3)
    U = basis(loss)
    expected = alone(loss.without_l2(), U)
    assert expected[1].norm() > 1e-3
    found = sample_derivatives(loss, loss.w0, U, range(7), "contraction")
    same(found, expected, 1e-10)
    assert torch.equal(found[2], found[2].mT)
    pieces = sample_derivatives(loss, loss.w0, U, range(7), "contraction", memory=1.0)
    same(pieces, expected, 1e-10)
    strided = sample_derivatives(loss, loss.w0, U, range(1, 7, 2), "contraction")
    same(strided, [part[1::2] for part in expected], 1e-10)


@pytest.mark.parametrize("case", SERVED)
def test_single_precision(case):
    single, double = build(SERVED[case], torch.float32), build(SERVED[case])
    U, w = basis(double), double.w0.float()
    found = sample_derivatives(single, w, U.float(), range(7), "contraction")
    expected = sample_derivatives(double, w.double(), U.float().double(), range(7), "reverse")
    assert found[2].dtype == torch.float32
    same([part.double() for part in found], expected, 1e-4)


@pytest.fixture
def always(monkeypatch):
    """Contraction is tried whatever it costs."""
    monkeypatch.setattr(samples_module, "fits", lambda *_: True)


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_served_falls_back_without_a_word(case, always):
    loss = build(REFUSED[case])
    U = basis(loss)
    with pytest.raises(ContractionError, match="method='reverse'"):
        sample_derivatives(loss, loss.w0, U, range(7), "contraction")
    same(sample_derivatives(loss, loss.w0, U, range(7)), alone(loss, U), 1e-10)
    models = ln.increment_models(loss, loss.w0, U, range(1, 7))
    one = ln.increment_model(loss, loss.w0, U, 4)
    same([models.B[3], models.c[3]], [one.B, one.c], 1e-9)


# -- wrong on purpose ------------------------------------------------------------------------------


true_curvatures, true_seconds = contraction.curvatures, contraction.second_derivatives


def without_q(uses, passed):
    return true_seconds(uses, [(r, None) for r, _ in passed])


def without_half(uses, passed):
    """H r + q."""
    return [s + t for s, t in zip(true_seconds(uses, passed), without_q(uses, passed), strict=True)]


WRONG = {
    "q forgotten": ("second_derivatives", without_q),
    "H r forgotten": (
        "second_derivatives",
        lambda uses, passed: [
            s - t
            for s, t in zip(true_seconds(uses, passed), without_q(uses, passed), strict=True)
        ],
    ),
    "H r twice": ("second_derivatives", without_half),
    "all of it halved": (
        "curvatures", lambda *given: tuple(part / 2 for part in true_curvatures(*given))
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ["MLP", "recurrent use", "embedding"])
@pytest.mark.parametrize("wrong", WRONG)
def test_a_forgotten_term_is_refused(case, wrong, monkeypatch):
    loss = build(SERVED[case])
    U = basis(loss)
    monkeypatch.setattr(contraction, *WRONG[wrong])
    with pytest.raises(ContractionError, match="wrong curvatures"):
        sample_derivatives(loss, loss.w0, U, range(7), "contraction")


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_forgotten_use_is_refused(lost, monkeypatch):
    loss = build(SERVED["a layer used again"])
    U, true_gradients = basis(loss), contraction.gradients
    monkeypatch.setattr(
        contraction, "gradients",
        lambda uses, passed: true_gradients(
            uses[:lost] + uses[lost + 1 :], passed[:lost] + passed[lost + 1 :]
        ),
    )  # fmt: skip
    with pytest.raises(ContractionError, match="wrong gradients"):
        sample_derivatives(loss, loss.w0, U, range(7), "contraction")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_permuted_samples_are_refused_though_their_sum_is_right(dtype, monkeypatch):
    loss = build(SERVED["MLP"], dtype)
    U, true_gradients = basis(loss), contraction.gradients
    swapped = torch.tensor([0, 1, 3, 2, 4, 5, 6])

    def permuted(work):
        def call(*given):
            part, size = work(*given)
            return part[swapped], size

        return call

    monkeypatch.setattr(contraction, "curvatures", permuted(true_curvatures))
    with pytest.raises(ContractionError, match="wrong curvatures"):
        sample_derivatives(loss, loss.w0, U, range(7), "contraction")
    monkeypatch.setattr(contraction, "gradients", permuted(true_gradients))
    with pytest.raises(ContractionError, match="wrong gradients"):
        sample_derivatives(loss, loss.w0, U, range(7), "contraction")


def test_samples_that_are_looked_for_in_the_wrong_dimension_are_refused(monkeypatch):
    """As many times as samples: their sums agree, each sample's own numbers do not."""
    loss = build(SERVED["time first, as many times as samples"])
    monkeypatch.setattr(recording, "_places", lambda leading, m: [1])
    with pytest.raises(ContractionError, match="wrong gradients"):
        sample_derivatives(loss, loss.w0, basis(loss), range(7), "contraction")


def test_a_failure_half_way_leaves_the_rest_to_others(always, monkeypatch):
    loss = build(SERVED["MLP"])
    U, true_block, calls = basis(loss), contraction._checked_block, []

    def fails_later(loss, w, U, batch):
        calls.append(batch)
        if len(calls) > 1:
            raise ContractionError("wrong here")
        return true_block(loss, w, U, batch)

    monkeypatch.setattr(contraction, "_checked_block", fails_later)
    monkeypatch.setattr(contraction, "chunk_length", lambda *_: 3)
    same(sample_derivatives(loss, loss.w0, U, range(7)), alone(loss, U), 1e-10)
    assert len(calls) == 2


# -- which way is taken ----------------------------------------------------------------------------


def digits_loss(n=300, **options):
    x, y = ln.data.digits(n)
    return ln.EmpiricalLoss(ln.models.MLP([64, 16, 10]), cross_entropy, x, y, **options)


def test_auto_contracts_wherever_it_fits():
    loss = digits_loss()
    U = ln.random_subspace(loss.num_params, 10, generator(1))
    assert samples_module.fits(loss, loss.w0, U, range(2), 1e9)
    assert not samples_module.fits(loss, loss.w0, U, range(300), 1e4)


def test_the_same_numbers_from_call_to_call():
    loss = digits_loss()
    U = ln.random_subspace(loss.num_params, 10, generator(1))
    first, again = (sample_derivatives(loss, loss.w0, U, range(300)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    memory = contraction.direction_bytes(loss.w0, 10) + 99 * contraction.held_bytes(
        loss, loss.w0, 10, 0
    )
    blocks = samples_module.derivative_blocks(
        loss, loss.w0, U, range(300), "contraction", memory=memory
    )
    starts, lengths = zip(*((start, len(block[0])) for start, block in blocks), strict=True)
    assert (starts, lengths) == ((0, 99, 198, 297), (99, 99, 99, 3))


def test_nothing_is_left_on_any_module():
    model, loss_fn, x, y = SERVED["hooks of the model's own"]()
    before = copy.deepcopy(model.state_dict())
    loss = ln.EmpiricalLoss(model.double(), loss_fn, x, y)
    sample_derivatives(loss, loss.w0, basis(loss), range(7), "contraction")
    for each in (model, loss.model, loss.uncalled):
        assert [len(part._forward_hooks) for part in each] == [0, 0, 1, 0, 0]
        assert [len(part._forward_pre_hooks) for part in each] == [0, 0, 1, 0, 0]
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name].double())


def test_threads_at_different_points_do_not_meet():
    loss = build(SERVED["MLP"])
    U, points = basis(loss), [loss.w0 + randn(loss.num_params, seed=s) / 9 for s in range(6)]

    def curvature(w):
        return sample_derivatives(loss, w, U, range(7), "contraction")[2]

    expected = [curvature(w) for w in points]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(curvature, points * 3))
    assert all(torch.equal(B, expected[j % 6]) for j, B in enumerate(found))


# -- lengths of gradients --------------------------------------------------------------------------


@pytest.fixture
def no_gradients(monkeypatch):
    """Fail where single samples' gradients would be formed."""

    def refuse(*_):
        raise AssertionError("gradients were formed")

    monkeypatch.setattr(ln.EmpiricalLoss, "sample_gradients", refuse)


IN_PARTS = "weight read by hand in parts"  # and whole: its gradients overlap


@pytest.mark.parametrize("memory", [1e9, 1.0], ids="memory={}".format)
@pytest.mark.parametrize("case", [case for case in SERVED if case != IN_PARTS])
def test_lengths_of_single_gradients(case, memory, no_gradients):
    loss = build(SERVED[case], memory=memory)
    v = randn(loss.num_params, seed=5)
    g = torch.stack([loss.gradient(loss.w0, range(i, i + 1)) for i in range(7)])
    found = gradient_energies(loss, loss.w0, range(7), v)
    same(found, [g.square().sum(1), g @ v], 1e-12)
    strided = gradient_energies(loss, loss.w0, range(1, 6, 2))
    same(strided, [g[1:6:2].square().sum(1), torch.zeros(3, **F64)], 1e-12)


@pytest.mark.parametrize("case", SERVED)
def test_single_gradients_layer_by_layer(case, monkeypatch):
    monkeypatch.setattr(single_gradients, "_by_vmap", lambda *_: pytest.fail("vmap was used"))
    loss = build(SERVED[case], l2=0.3)
    g = torch.stack([loss.without_l2().gradient(loss.w0, range(i, i + 1)) for i in range(7)])
    same([loss.sample_gradients(loss.w0, 7)], [g], 1e-12)
    same([loss.sample_gradients(loss.w0, torch.tensor([5, 1, 2]))], [g[[5, 1, 2]]], 1e-12)


@pytest.mark.parametrize("lost", ["a use", "the order of samples"])
def test_wrong_single_gradients_are_taken_in_another_way(lost, monkeypatch):
    true_gradients, calls = single_gradients.parameter_gradients, []

    def wrong(p, weighing, biasing):
        calls.append(p)
        right = true_gradients(p, weighing, biasing)
        if lost == "a use":
            return 0 * right if len(calls) == 2 else right
        return right.flip(0)

    monkeypatch.setattr(single_gradients, "parameter_gradients", wrong)
    loss = build(SERVED["MLP"])
    g = torch.stack([loss.gradient(loss.w0, range(i, i + 1)) for i in range(7)])
    same([loss.sample_gradients(loss.w0, 7)], [g], 1e-12)
    assert len(calls) == 6


def test_the_usual_way_loads_no_compiler():
    """It would cost every learner half a second and 40 MB."""
    script = """
import sys, torch, landscape_nb as ln
from landscape_nb.numerics.sample_norms import gradient_energies
config = ln.models.TransformerConfig(6, context=5, width=8, depth=1, heads=2, kv_heads=1)
x, y = ln.data.digits(20)
t = torch.randint(6, (20, 5))
transformer = ln.models.DecoderTransformer(config)
for model, loss_fn, x, y in (
    (ln.models.MLP([64, 4, 10]), torch.nn.CrossEntropyLoss(reduction="none"), x, y),
    (transformer, ln.models.sequence_loss, t, t.flip(1)),
):
    loss = ln.EmpiricalLoss(model, loss_fn, x, y)
    U = ln.random_subspace(loss.num_params, 3, torch.Generator().manual_seed(0))
    U = U.to(loss.w0.dtype)
    ln.increment_models(loss, loss.w0, U, range(1, 20))
    ln.next_sample_models(loss, loss.w0, U, 10)
    loss.sample_gradients(loss.w0, 20)
    gradient_energies(loss, loss.w0, range(20))
ln.log_slope(torch.arange(1, 9), 1 / torch.arange(1, 9))
print([name for name in ("torch._dynamo", "scipy.stats") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("case", [*REFUSED, IN_PARTS])
def test_lengths_that_layers_do_not_give(case):
    loss = build((SERVED | REFUSED)[case])
    v = randn(loss.num_params, seed=5)
    g = torch.stack([loss.gradient(loss.w0, range(i, i + 1)) for i in range(7)])
    same(gradient_energies(loss, loss.w0, range(7), v), [g.square().sum(1), g @ v], 1e-12)


@pytest.mark.parametrize("inner", [True, False], ids=["inner products", "outer products"])
@pytest.mark.parametrize("case", ["embedding", "embedding with padding", "a layer used again"])
def test_both_ways_to_a_length(case, inner, no_gradients, monkeypatch):
    monkeypatch.setattr(sample_norms, "_inner_is_shorter", lambda uses, _: inner)
    loss = build(SERVED[case])
    g = torch.stack([loss.gradient(loss.w0, range(i, i + 1)) for i in range(7)])
    same(gradient_energies(loss, loss.w0, range(7))[:1], [g.square().sum(1)], 1e-12)


def test_wrong_lengths_are_not_returned(monkeypatch):
    loss = build(SERVED["MLP"])
    g = torch.stack([loss.gradient(loss.w0, range(i, i + 1)) for i in range(7)])
    monkeypatch.setattr(sample_norms, "_of_parameter", lambda *_: torch.ones(7, **F64))
    same(gradient_energies(loss, loss.w0, range(7))[:1], [g.square().sum(1)], 1e-12)
