"""The quadratic model (a, c, B) of one increment, and of a whole grid of them.

Oracles: torch.func.grad and hessian of L_{k+1} and L_k, subtracted; explicit reordering of the
data; invariance under rotations and sign flips of U; closed-form Hessians of the toys. Wrong on
purpose: the gradient at k + 1 alone, and the division by k instead of k + 1.
"""

import itertools
import time

import pytest
import torch
from draws import F64
from torch import nn
from torch.func import functional_call, grad, hessian

from landscape_nb import (
    EmpiricalLoss,
    IncrementModel,
    IncrementModels,
    data,
    gaussian_moment,
    increment_model,
    increment_models,
    next_sample_models,
    random_subspace,
    toys,
)
from landscape_nb.numerics import contraction
from landscape_nb.numerics import samples as samples_module
from landscape_nb.numerics.samples import sample_derivatives
from landscape_nb.problems.models import MLP, DecoderTransformer, TransformerConfig, sequence_loss

EVERY_K = range(1, 10)


def close(actual, expected, atol=1e-12):
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


def basis(p, D=4, seed=0):
    return random_subspace(p.N, D, torch.Generator().manual_seed(seed)).to(p.w)


def dense_model(p, U, k):
    """(a, c, B) from two full derivatives, subtracted: no use of KG26 Eq. 5."""
    before, after = slice(k), slice(k + 1)
    a = p.reference(p.w, after) - p.reference(p.w, before)
    c = grad(p.reference)(p.w, after) - grad(p.reference)(p.w, before)
    A = hessian(p.reference)(p.w, after) - hessian(p.reference)(p.w, before)
    return a, U.T @ c, U.T @ A @ U


def increment_at(p, w, k):
    return p.reference(w, slice(k + 1)) - p.reference(w, slice(k))


# -- one k ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("l2", [0.0, 0.7], ids="l2={}".format)
@pytest.mark.parametrize("k", EVERY_K, ids="k={}".format)
def test_exact_identity_of_the_increment(mlp_problem, k, l2):
    """KG26 Eq. 5 at a random point: I_k = (l_{k+1} - L_k)/(k+1), and L2 cancels."""
    p = mlp_problem(l2=l2)
    increment = p.loss.value(p.w, k + 1) - p.loss.value(p.w, k)
    losses = p.loss.per_sample(p.w)
    close(increment, (losses[k] - losses[:k].mean()) / (k + 1), atol=1e-14)
    close(increment_model(p.loss, p.w, basis(p), k).a, increment, atol=1e-14)


@pytest.mark.parametrize("l2", [0.0, 0.7], ids="l2={}".format)
@pytest.mark.parametrize("k", [1, 5, 9], ids="k={}".format)
def test_increment_model_against_dense_derivatives(mlp_problem, k, l2):
    p = mlp_problem(l2=l2, batch_size=4)
    U = basis(p)
    model = increment_model(p.loss, p.w, U, k)
    a, c, B = dense_model(p, U, k)
    close(model.a, a), close(model.c, c), close(model.B, B)
    assert torch.equal(model.B, model.B.T)
    assert model.D == 4


def test_wrong_models_are_rejected(mlp_problem):
    p, k = mlp_problem(), 5
    U = basis(p)
    model = increment_model(p.loss, p.w, U, k)
    gradient_after_alone = U.T @ p.loss.gradient(p.w, k + 1)
    assert (model.c - gradient_after_alone).norm() > 0.1 * model.c.norm()
    for part, expected in zip((model.a, model.c, model.B), dense_model(p, U, k), strict=True):
        assert (part * (k + 1) / k - expected).norm() > 0.1 * expected.norm()


def test_gradient_after_alone_is_right_only_at_a_minimiser():
    toy = toys.quadratics(6, 3)
    loss = EmpiricalLoss(*toy.parts)
    U, w = torch.eye(3, **F64), toy.minimiser(4)
    close(increment_model(loss, w, U, 4).c, loss.gradient(w, 5))


@pytest.mark.parametrize("k", [1, 3, 5], ids="k={}".format)
def test_quadratic_toys_are_their_own_model(k):
    toy = toys.quadratics(6, 4)
    loss = EmpiricalLoss(*toy.parts)
    w, U = torch.ones(4, **F64), random_subspace(4, 2, torch.Generator().manual_seed(1))
    model = increment_model(loss, w, U, k)
    close(model.B, U.T @ (toy.hessian(k + 1) - toy.hessian(k)) @ U)
    z = torch.randn(7, 2, generator=torch.Generator().manual_seed(2), **F64)
    actual = [loss.value(w + U @ x, k + 1) - loss.value(w + U @ x, k) for x in z]
    close(model.at(z), torch.stack(actual))


def test_model_error_is_third_order(mlp_problem):
    p, k = mlp_problem(), 5
    U = basis(p)
    model = increment_model(p.loss, p.w, U, k)
    directions = torch.randn(20, 4, generator=torch.Generator().manual_seed(1), **F64)

    def error(h):
        actual = [increment_at(p, p.w + U @ (h * z), k) for z in directions]
        return (torch.stack(actual) - model.at(h * directions)).norm()

    order = torch.log2(error(0.02) / error(0.01))
    assert abs(order - 3) < 0.1


# -- a grid of k ---------------------------------------------------------------------------------

METHODS = {
    "contraction": dict(method="contraction"),
    "contraction in chunks": dict(method="contraction", memory=1.0),
    "reverse": dict(method="reverse"),
    "segments": dict(method="segments"),
    "auto": {},
}


@pytest.mark.parametrize("l2", [0.0, 0.7], ids="l2={}".format)
@pytest.mark.parametrize("batch_size", [1024, 4], ids="batch={}".format)
@pytest.mark.parametrize("options", METHODS.values(), ids=METHODS)
def test_all_k_at_once_equal_one_by_one(mlp_problem, options, batch_size, l2):
    p = mlp_problem(l2=l2, batch_size=batch_size)
    U = basis(p)
    models = increment_models(p.loss, p.w, U, EVERY_K, **options)
    assert models.ks.tolist() == list(EVERY_K)
    assert len(models) == 9
    for j, k in enumerate(EVERY_K):
        one = increment_model(p.loss, p.w, U, k)
        close(models.a[j], one.a, 1e-10), close(models.c[j], one.c, 1e-10)
        close(models.B[j], one.B, 1e-10)


@pytest.mark.parametrize("options", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("ks", [[3], [9], [2, 7], (1, 9)], ids=str)
def test_sparse_grids_against_dense_derivatives(mlp_problem, ks, options):
    p = mlp_problem(l2=0.7, batch_size=3)
    U = basis(p)
    models = increment_models(p.loss, p.w, U, ks, **options)
    for k, model in zip(ks, models, strict=True):
        a, c, B = dense_model(p, U, k)
        close(model.a, a, 1e-10), close(model.c, c, 1e-10), close(model.B, B, 1e-10)


def test_a_mean_of_segment_means_would_be_noticed(mlp_problem):
    """Segments of 2 and 5 samples must be weighted by their sizes."""
    p = mlp_problem()
    U = basis(p)
    B = increment_models(p.loss, p.w, U, [2, 7], method="segments").B[1]
    H = [U.T @ hessian(p.reference)(p.w, s) @ U for s in (slice(0, 2), slice(2, 7), slice(7, 8))]
    close(B, (H[2] - (2 * H[0] + 5 * H[1]) / 7) / 8)
    assert (B - (H[2] - (H[0] + H[1]) / 2) / 8).norm() > 0.01 * B.norm()


def test_float32_grid_within_its_precision(mlp_problem):
    single, double = mlp_problem(dtype=torch.float32), mlp_problem()
    U = basis(double)
    for method in ("contraction", "reverse", "segments"):
        a = increment_models(single.loss, double.w.float(), U.float(), EVERY_K, method=method)
        b = increment_models(double.loss, double.w.float().double(), U, EVERY_K, method=method)
        assert a.B.dtype == torch.float32
        assert (a.B.double() - b.B).norm() < 1e-4 * b.B.norm()


def layer_loss(layer):
    torch.manual_seed(0)
    x = torch.randn(6, 3, 4, **F64)
    if layer == "encoder layer":
        model = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)
    else:
        middle = {
            "tanh": nn.Tanh(), "gelu": nn.GELU(), "softmax": nn.Softmax(-1),
            "layer norm": nn.LayerNorm(4), "rms norm": nn.RMSNorm(4),
            "group norm": nn.GroupNorm(3, 3), "batch norm": nn.BatchNorm1d(3),
        }[layer]  # fmt: skip
        model = nn.Sequential(nn.Linear(4, 4), middle, nn.Linear(4, 4))
    model = model.double().eval()
    return EmpiricalLoss(model, lambda out, y: (out - y).square().flatten(1).mean(1), x, x.flip(0))


LAYERS = pytest.mark.parametrize(
    "layer",
    "tanh|gelu|softmax|rms norm|group norm|batch norm|layer norm|encoder layer".split("|"),
)


def by_finite_differences(loss, U, k, i):
    """U'(H_i - H^(k))U/(k+1) from central differences of gradients."""

    def c(w):
        return U.T @ (loss.gradient(w, range(i, i + 1)) - loss.gradient(w, k)) / (k + 1)

    h = 1e-4
    B = [(c(loss.w0 + h * u) - c(loss.w0 - h * u)) / (2 * h) for u in U.T]
    return torch.stack(B, dim=1)


def test_leaving_out_the_l2_term_changes_nothing_of_the_loss(mlp_problem):
    p = mlp_problem(l2=0.3)
    U = random_subspace(p.N, 2, torch.Generator().manual_seed(0))
    before = p.loss.value(p.w, 5)
    increment_model(p.loss, p.w, U, 5)
    next_sample_models(p.loss, p.w, U, 5)
    increment_models(p.loss, p.w, U, [2, 5])
    assert p.loss.l2 == 0.3 and torch.equal(p.loss.value(p.w, 5), before)


# torch's encoder layer has an inference kernel without derivatives: it may not show.
@LAYERS
@pytest.mark.parametrize("method", ["auto", "reverse", "segments", "every next sample"])
def test_curvature_is_right_for_every_common_layer(layer, method):
    loss = layer_loss(layer)
    U = random_subspace(loss.num_params, 2, torch.Generator().manual_seed(1))
    if method == "every next sample":
        B = next_sample_models(loss, loss.w0, U, 4).B[1]
        expected = by_finite_differences(loss, U, 4, 5)
    else:
        B = increment_models(loss, loss.w0, U, [2, 4], method=method).B[1]
        expected = by_finite_differences(loss, U, 4, 4)
    close(B, expected, atol=1e-6 * float(1 + expected.norm()))
    assert expected.norm() > 1e-4


# -- every sample, contracted or in reverse mode -------------------------------------------------


def transformer_loss(config, n, dtype=torch.float64):
    """A decoder-only transformer on random tokens."""
    g = torch.Generator().manual_seed(0)
    tokens = torch.randint(config.vocabulary_size, (n, config.context + 1), generator=g)
    model = DecoderTransformer(config, generator=g, dtype=dtype)
    return EmpiricalLoss(model, sequence_loss, tokens[:, :-1], tokens[:, 1:])


def tiny_transformer():
    return transformer_loss(
        TransformerConfig(5, context=6, width=8, depth=1, heads=2, kv_heads=1, hidden=12), n=5
    )


def mlp_on_digits():
    x, y = data.digits(100)
    return EmpiricalLoss(MLP([64, 16, 10]), nn.CrossEntropyLoss(reduction="none"), x, y)


def sample_by_sample(loss, U, samples):
    """(l, c, B) of single samples by torch alone, in the coordinates of U."""
    model, parts = loss.model, dict(loss.model.named_parameters())

    def l_i(z, i):
        pieces = (loss.w0 + U @ z).split([p.numel() for p in parts.values()])
        at_w = {n: v.view(p.shape) for (n, p), v in zip(parts.items(), pieces, strict=True)}
        outputs = functional_call(model, at_w, (loss.inputs[i : i + 1],))
        return loss.loss_fn(outputs, loss.targets[i : i + 1])[0]

    zero = torch.zeros(U.shape[1], **F64)
    each = [(l_i(zero, i), grad(l_i)(zero, i), hessian(l_i)(zero, i)) for i in samples]
    return [torch.stack(parts).detach() for parts in zip(*each, strict=True)]


@pytest.mark.parametrize("model", [mlp_on_digits, tiny_transformer], ids=["MLP", "transformer"])
@pytest.mark.parametrize("samples", [range(5), range(1, 5, 2)], ids=str)
def test_contraction_reverse_and_auto_are_the_same_numbers(model, samples):
    loss = model()
    U = random_subspace(loss.num_params, 3, torch.Generator().manual_seed(1))
    expected = sample_by_sample(loss, U, samples)
    assert expected[2].norm() > 1e-3
    for options in (
        dict(method="contraction"),
        dict(method="contraction", memory=1.0),
        dict(method="reverse"),
        dict(method="reverse", memory=1.0),
        dict(method="auto"),
        dict(method="auto", memory=1.0),
    ):
        found = sample_derivatives(loss, loss.w0, U, samples, **options)
        for part, truth in zip(found, expected, strict=True):
            close(part, truth, atol=1e-10)


@pytest.fixture
def contractions(monkeypatch):
    """The samples of every time that contraction ran."""
    calls, contracted = [], samples_module.contracted_derivatives

    def record(loss, w, U, samples, memory):
        calls.append(samples)
        return contracted(loss, w, U, samples, memory)

    monkeypatch.setattr(samples_module, "contracted_derivatives", record)
    return calls


@pytest.mark.parametrize("pause", [1e-6, 1e6])
def test_auto_does_not_look_at_the_clock(contractions, monkeypatch, pause):
    """Whatever is timed first takes an age, or no time, beside what comes after it."""
    ticks = itertools.accumulate(itertools.cycle([0, pause, 0, 1 / pause]))
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))
    loss = mlp_on_digits()
    U = random_subspace(loss.num_params, 10, torch.Generator().manual_seed(1))
    first, again = (sample_derivatives(loss, loss.w0, U, range(64)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert len(contractions) == 2


@pytest.mark.parametrize("where", ["argument", "loss"])
def test_auto_is_reverse_where_contraction_needs_too_much_memory(contractions, where):
    loss = mlp_on_digits()
    U = random_subspace(loss.num_params, 3, torch.Generator().manual_seed(1))

    def run_all(memory):
        if where == "loss":
            loss.memory = memory
        options = dict(memory=memory) if where == "argument" else {}
        sample_derivatives(loss, loss.w0, U, range(64), **options)
        next_sample_models(loss, loss.w0, U, 36, **options)
        increment_models(loss, loss.w0, U, range(1, 64), **options)

    needed = contraction.held_bytes(loss, loss.w0, 3, 0) + contraction.direction_bytes(loss.w0, 3)
    run_all(0.99 * needed)
    assert contractions == []
    run_all(needed)
    assert len(contractions) == 3


def test_methods_that_do_not_exist_are_refused():
    loss = mlp_on_digits()
    U = random_subspace(loss.num_params, 3, torch.Generator().manual_seed(1))
    with pytest.raises(ValueError, match="'auto', 'contraction' or 'reverse'; got 'forward'"):
        sample_derivatives(loss, loss.w0, U, range(4), "forward")


# -- every next sample ---------------------------------------------------------------------------


@pytest.mark.parametrize("memory", [1e9, 1.0], ids=["whole", "in chunks"])
@pytest.mark.parametrize("k", [1, 6, 9], ids="k={}".format)
def test_next_sample_models_against_reordered_data(mlp_problem, k, memory):
    p = mlp_problem(l2=0.7, batch_size=4)
    U = basis(p)
    models = next_sample_models(p.loss, p.w, U, k, memory=memory)
    assert models.ks.tolist() == [k] * (10 - k)
    for j, i in enumerate(range(k, 10)):
        order = [*range(k), i]
        reordered = EmpiricalLoss(p.model, p.loss_fn, p.x[order], p.y[order], p.l2)
        one = increment_model(reordered, p.w, U, k)
        close(models.a[j], one.a), close(models.c[j], one.c), close(models.B[j], one.B)


def test_next_sample_models_of_some_candidates(mlp_problem):
    p = mlp_problem()
    U = basis(p)
    every, some = (next_sample_models(p.loss, p.w, U, 4, candidates=c) for c in (None, range(6, 9)))
    close(some.B, every.B[2:5]), close(some.c, every.c[2:5]), close(some.a, every.a[2:5])


def test_many_models_at_many_points_are_one_by_one(mlp_problem):
    p = mlp_problem()
    models = increment_models(p.loss, p.w, basis(p), [2, 5, 9])
    z = torch.randn(6, 4, generator=torch.Generator().manual_seed(4), **F64)
    close(models.at(z), torch.stack([model.at(z) for model in models], dim=1))


# -- the containers ------------------------------------------------------------------------------


@pytest.mark.parametrize("D", [1, 2, 4], ids="D={}".format)
def test_leading_is_the_model_on_the_first_columns(mlp_problem, D):
    p = mlp_problem()
    U = basis(p)
    one, many = increment_model(p.loss, p.w, U, 5), increment_models(p.loss, p.w, U, EVERY_K)
    fewer = increment_model(p.loss, p.w, U[:, :D], 5)
    for leading in (one.leading(D), many.leading(D)[4]):
        close(leading.a, fewer.a), close(leading.c, fewer.c), close(leading.B, fewer.B)
    assert many.leading(D).D == D


def test_numbers_and_lists_become_float64_tensors():
    model = IncrementModel(1.0, [2.0, 3.0], [[1.0, 0.5], [0.5, 2.0]])
    assert model.B.dtype == torch.float64
    # 1 + 2*1 + 3*2 + (1*1 + 2*0.5*2 + 2*4)/2
    assert float(model.at(torch.tensor([1.0, 2.0], **F64))) == 1 + 8 + 5.5


def test_the_moment_does_not_depend_on_the_basis_of_the_subspace(mlp_problem):
    p = mlp_problem()
    U = basis(p)
    R = random_subspace(4, 4, torch.Generator().manual_seed(3))
    signs = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0], **F64))
    reference = gaussian_moment(increment_model(p.loss, p.w, U, 5), 0.3)
    for change in (R, signs):
        moment = gaussian_moment(increment_model(p.loss, p.w, U @ change, 5), 0.3)
        for part in ("total", "value", "cross", "gradient", "curvature"):
            close(getattr(moment, part), getattr(reference, part))


def test_D_equals_N_is_the_full_space(mlp_problem):
    p = mlp_problem(widths=(2, 3, 2))
    full = random_subspace(p.N, p.N, torch.Generator().manual_seed(0))
    moment = gaussian_moment(increment_model(p.loss, p.w, full, 5), 0.3)
    a, c, A = dense_model(p, torch.eye(p.N, **F64), 5)
    eigenvalues = torch.linalg.eigvalsh(A)
    s = 0.3
    expected = a**2 + a * s**2 * eigenvalues.sum() + s**2 * c @ c
    expected += s**4 / 4 * (2 * eigenvalues.square().sum() + eigenvalues.sum() ** 2)
    close(moment.total, expected)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: IncrementModel(0.0, [1.0, 1.0], [[1.0, 2.0], [0.0, 1.0]]), "symmetric"),
        (lambda: IncrementModel(0.0, [1.0], [[1.0, 0.0], [0.0, 1.0]]), "needs a"),
        (lambda: IncrementModel([0.0], [1.0], [[1.0]]), "needs a"),
        (lambda: IncrementModel(0.0, 1.0, 1.0), "needs a"),
        (lambda: IncrementModel(float("nan"), [1.0], [[1.0]]), "finite"),
        (lambda: IncrementModel(0.0, [1.0], [[float("inf")]]), "finite"),
        (lambda: IncrementModels([1, 2], [0.0], [[1.0]], [[[1.0]]]), "needs a"),
    ],
    ids=["asymmetric", "B too large", "a not a scalar", "no D", "NaN", "infinite", "too many ks"],
)
def test_bad_models_are_refused(model, message):
    with pytest.raises(ValueError, match=message):
        model()
