"""A layer's gradient modes, its Kronecker factors, and the power laws between them.

Oracles: torch.autograd and torch.func.hessian on a plain copy of the model; factors summed sample
by sample and position by position, the slopes taken in a shift added to the layer's output and A
in closed form or by torch.func.hessian; numpy's least squares and the textbook's standard error;
sums of powers written out.
Wrong on purpose: a neighbouring mode's curvature, slopes of the mean loss, the printed sign of chi,
other divisors and bounds, ranks closed up over left out modes.
"""

import copy
import dataclasses
import itertools
import math
import re

import numpy as np
import pytest
import torch
from draws import F64, generator, randn
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call, hessian
from torch.nn import functional as F

from landscape_nb import EmpiricalLoss
from landscape_nb.problems.models import MLP, DecoderTransformer, TransformerConfig, sequence_loss
from landscape_nb.theory.layers import (
    exponents,
    gradient_modes,
    kronecker_factors,
    kronecker_modes,
    log_slope,
    participation_bound,
    participation_ratio,
    spectrum_bic,
    weight_matrices,
)

EXACT = dict(rtol=1e-10, atol=1e-13)
CE = nn.CrossEntropyLoss(reduction="none")


def half_square(out, y):
    return (out - y).square().flatten(1).sum(1) / 2


class Sequences(nn.Module):
    """A layer used at four positions; the mean over them is classified."""

    def __init__(self):
        super().__init__()
        self.each, self.top = nn.Linear(3, 4), nn.Linear(4, 3)

    def forward(self, x):
        return self.top(torch.tanh(self.each(x)).mean(1))


class Twice(nn.Module):
    """One layer called twice in one forward pass."""

    def __init__(self):
        super().__init__()
        self.again, self.top = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x):
        return self.top(torch.tanh(self.again(torch.tanh(self.again(x)))))


def conv2d(activation):
    return nn.Sequential(
        nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2)),
        activation, nn.Flatten(), nn.Linear(63, 3),
    )  # fmt: skip


# name: model, shape of one input, the layer, how often its weight is used for a sample
CASES = {
    "first of an MLP": (lambda: MLP([4, 5, 3]), (4,), "0", 1),
    "last of an MLP": (lambda: MLP([4, 5, 3], nn.ReLU), (4,), "2", 1),
    "no bias": (lambda: MLP([4, 5, 3], bias=False), (4,), "0", 1),
    "the model itself": (lambda: nn.Linear(4, 3), (4,), "", 1),
    "2-D convolution": (lambda: conv2d(nn.Tanh()), (2, 5, 5), "0", 21),
    "1-D convolution": (
        lambda: nn.Sequential(
            nn.Conv1d(2, 3, 3, stride=2, padding=2, dilation=2),
            nn.Tanh(), nn.Flatten(), nn.Linear(12, 3),
        ),
        (2, 7), "0", 4,
    ),
    "sequences": (Sequences, (4, 3), "each", 4),
    "called twice": (Twice, (4,), "again", 2),
}  # fmt: skip
every_case = pytest.mark.parametrize("case", CASES)


def problem(case, n=7, seed=0, fn=CE, batch_size=None, l2=0.0):
    """A copy of the model with random weights, its loss there, the data and the layer's name."""
    build, shape, name, uses = CASES[case]
    torch.manual_seed(seed)
    model = build().double()
    x = randn(n, *shape, seed=seed + 1)
    y = torch.randint(3, (n,), generator=generator(seed)) if fn is CE else randn(n, 3, seed=seed)
    loss = EmpiricalLoss(model, fn, x, y, l2, batch_size=batch_size)
    w = 0.8 * randn(loss.num_params, seed=seed + 2)
    nn.utils.vector_to_parameters(w, model.parameters())
    return model, loss, w, x, y, name, uses


def layer_by_torch(model, fn, x, y, name):
    """The mean loss's gradient in the layer's weight, and its dense Hessian block, by torch."""
    weight = model.get_submodule(name).weight
    key = f"{name}.weight" if name else "weight"

    def mean_loss(W):
        return fn(functional_call(model, {key: W}, (x,)), y).mean()

    m = len(weight)
    (G,) = torch.autograd.grad(fn(model(x), y).mean(), weight)
    H = hessian(mean_loss)(weight.detach())
    return G.reshape(m, -1), H.reshape(weight.numel(), weight.numel())


def quotients(H, U, V):
    modes = [torch.outer(u, v).flatten() for u, v in zip(U.T, V.T, strict=True)]
    return torch.stack([mode @ H @ mode for mode in modes])


# -- which layers ----------------------------------------------------------------------------------


def test_frozen_grouped_and_other_layers_are_left_out():
    model = nn.Sequential(
        nn.Conv2d(2, 4, 2), nn.Conv2d(4, 4, 1, groups=2), nn.BatchNorm2d(4), nn.Flatten(),
        nn.Linear(16, 3), nn.Linear(3, 3), nn.ModuleDict({"in": nn.Identity()})["in"],
    ).double().eval()  # fmt: skip
    model[4].weight.requires_grad_(False)
    loss = EmpiricalLoss(model, CE, randn(3, 2, 3, 3), torch.tensor([0, 1, 2]))
    assert weight_matrices(loss) == ["0", "5"]
    for name in ("1", "2", "4", "nope", ""):
        sentence = f"'{name}' is not a layer with a weight matrix; there are ['0', '5']."
        with pytest.raises(ValueError, match=re.escape(sentence)):
            gradient_modes(loss, loss.w0, 3, name)
        with pytest.raises(ValueError, match=re.escape(sentence)):
            kronecker_factors(loss, loss.w0, 3, name)


def test_the_model_itself_and_nested_modules_have_names():
    _, loss, *_ = problem("the model itself")
    assert weight_matrices(loss) == [""]
    _, loss, *_ = problem("called twice")
    assert weight_matrices(loss) == ["again", "top"]


# -- modes -----------------------------------------------------------------------------------------


@every_case
@pytest.mark.parametrize("batch_size", [None, 3], ids="batch={}".format)
def test_modes_against_a_plain_module(case, batch_size):
    model, loss, w, x, y, name, _ = problem(case, batch_size=batch_size)
    G, H = layer_by_torch(model, CE, x, y, name)
    U, sigma, Vt = torch.linalg.svd(G, full_matrices=False)
    rank = int((sigma > 1e-13 * sigma[0]).sum())  # cross-entropy's slopes sum to zero
    found = gradient_modes(loss, w, 7, name)
    assert found.name == name and len(found.sigma) == rank
    torch.testing.assert_close(found.sigma, sigma[:rank], **EXACT)
    torch.testing.assert_close((found.U * found.sigma) @ found.V.T, G, **EXACT)
    one = torch.eye(rank, **F64)
    torch.testing.assert_close(found.U.T @ found.U, one, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.V.T @ found.V, one, rtol=0, atol=1e-12)
    # once along the oracle's own vectors, whose signs are free, and once along those found
    expected = quotients(H, U[:, :rank], Vt[:rank].T)
    torch.testing.assert_close(found.h, expected, rtol=1e-7, atol=1e-12)
    torch.testing.assert_close(found.h, quotients(H, found.U, found.V), **EXACT)
    assert not found.h.requires_grad and not found.sigma.requires_grad


def test_wrong_curvatures_are_rejected():
    model, loss, w, x, y, name, _ = problem("first of an MLP")
    G, H = layer_by_torch(model, CE, x, y, name)
    found = gradient_modes(loss, w, 7, name)
    r = len(found.h)
    wrong = {
        "neighbouring mode": found.h.roll(1),
        "vec by columns": torch.stack(
            [torch.outer(found.V[:, k], found.U[:, k]).flatten() for k in range(r)]
        ),
        "eigenvalues": torch.linalg.eigvalsh(H).flip(0)[:r],
        "sum over samples": 7 * found.h,
        "times sigma squared": found.sigma**2 * found.h,
    }
    by_columns = wrong["vec by columns"]
    wrong["vec by columns"] = ((by_columns @ H) * by_columns).sum(1)
    for title, h in wrong.items():
        assert (h - quotients(H, found.U, found.V)).norm() > 0.05 * found.h.norm(), title


def test_leading_modes_only():
    _, loss, w, _, _, name, _ = problem("first of an MLP")
    every, two = gradient_modes(loss, w, 7, name), gradient_modes(loss, w, 7, name, 2)
    for key in ("sigma", "h"):
        torch.testing.assert_close(getattr(two, key), getattr(every, key)[:2], **EXACT)
    assert two.U.shape == (5, 2) and two.V.shape == (4, 2)
    assert len(gradient_modes(loss, w, 7, name, 99).h) == len(every.h)
    for bad in (0, -1, 1.5, "two"):
        with pytest.raises(ValueError, match="num_modes"):
            gradient_modes(loss, w, 7, name, bad)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_as_many_modes_as_the_gradient_has_rank(n):
    _, loss, w, _, _, name, _ = problem("first of an MLP", n=n)
    found = gradient_modes(loss, w, n, name)
    assert len(found.sigma) == len(found.h) == found.U.shape[1] == found.V.shape[1] == n


def test_the_l2_term_has_no_effect():
    plain, heavy = problem("first of an MLP"), problem("first of an MLP", l2=0.7)
    a, b = (gradient_modes(p[1], p[2], 7, "0") for p in (plain, heavy))
    assert torch.equal(a.sigma, b.sigma) and torch.equal(a.h, b.h)
    assert (heavy[1].gradient(heavy[2], 7) - plain[1].gradient(plain[2], 7)).norm() > 0.1
    for kind in ("empirical", "Gauss-Newton"):
        c, d = (kronecker_factors(p[1], p[2], 7, "0", kind) for p in (plain, heavy))
        assert torch.equal(c.C_d, d.C_d) and torch.equal(c.C_a, d.C_a)


@pytest.mark.parametrize("batch_size", [None, 2], ids="batch={}".format)
@pytest.mark.parametrize(
    "samples", [4, range(2, 6), range(0, 7, 3), torch.tensor([6, 0, 3])],
    ids=["the first 4", "block", "stride", "indices"],
)  # fmt: skip
def test_any_choice_of_samples(samples, batch_size):
    model, loss, w, x, y, name, _ = problem("first of an MLP", batch_size=batch_size)
    rows = list(range(samples)) if isinstance(samples, int) else [int(i) for i in samples]
    G, H = layer_by_torch(model, CE, x[rows], y[rows], name)
    found = gradient_modes(loss, w, samples, name)
    torch.testing.assert_close((found.U * found.sigma) @ found.V.T, G, **EXACT)
    torch.testing.assert_close(found.h, quotients(H, found.U, found.V), **EXACT)
    for kind in ("empirical", "Gauss-Newton"):
        C_d, C_a, _ = factors_by_loops(model, CE, x[rows], y[rows], name, kind)
        factors = kronecker_factors(loss, w, samples, name, kind)
        torch.testing.assert_close(factors.C_d, C_d, **EXACT)
        torch.testing.assert_close(factors.C_a, C_a, **EXACT)


def test_a_zero_gradient_has_no_modes():
    x, w = torch.arange(15, **F64).view(5, 3), torch.arange(6, **F64)  # no rounding
    model = nn.Linear(3, 2, bias=False).double()
    loss = EmpiricalLoss(model, half_square, x, x @ w.view(2, 3).T)
    with pytest.raises(ValueError, match="The gradient in '' is zero at this w; it has no modes"):
        gradient_modes(loss, w, 5, "")


def test_float32():
    model, loss, w, x, y, name, _ = problem("first of an MLP")
    single = EmpiricalLoss(copy.deepcopy(model).float(), CE, x.float(), y)
    found = gradient_modes(single, w.float(), 7, name)
    exact = gradient_modes(loss, w, 7, name)
    assert found.h.dtype == found.sigma.dtype == found.U.dtype == torch.float32
    torch.testing.assert_close(found.sigma.double(), exact.sigma, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.h.double(), exact.h, rtol=1e-2, atol=1e-4)
    for kind in ("empirical", "Gauss-Newton"):
        factors = kronecker_factors(single, w.float(), 7, name, kind)
        truth = kronecker_factors(loss, w, 7, name, kind)
        assert factors.C_d.dtype == torch.float32
        torch.testing.assert_close(factors.C_d.double(), truth.C_d, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(factors.C_a.double(), truth.C_a, rtol=1e-4, atol=1e-6)


def test_of_a_linear_regression_in_closed_form():
    """H = 1 (x) C_a: the curvature along u v' is v'C_a v, whatever u."""
    model, loss, w, x, _, name, _ = problem("the model itself", fn=half_square)
    ones = torch.cat([x, torch.ones(7, 1, **F64)], 1)
    found = gradient_modes(loss, w, 7, name)
    C_a = (ones.T @ ones / 7)[:4, :4]
    torch.testing.assert_close(found.h, ((C_a @ found.V) * found.V).sum(0), **EXACT)
    factors = kronecker_factors(loss, w, 7, name, "Gauss-Newton")
    torch.testing.assert_close(factors.C_d, torch.eye(3, **F64), **EXACT)
    torch.testing.assert_close(factors.C_a, C_a, **EXACT)
    parts = kronecker_modes(found, factors)
    torch.testing.assert_close(parts.chi, torch.ones(3, **F64), **EXACT)


# -- Kronecker factors -----------------------------------------------------------------------------


class Shifted(nn.Module):
    """A layer whose every output gets a shift of zeros added, in which one can differentiate."""

    def __init__(self, layer):
        super().__init__()
        self.layer, self.inputs, self.shifts = layer, [], []

    def forward(self, x):
        out = self.layer(x)
        self.inputs.append(x.detach().clone())
        self.shifts.append(torch.zeros_like(out, requires_grad=True))
        return out + self.shifts[-1]


def rows_of(layer, x):
    """What the weight meets, position by position; x is one sample's input."""
    if isinstance(layer, nn.Linear):
        return [x[i] for i in itertools.product(*map(range, x.shape[:-1]))]
    pads = [p for p in reversed(layer.padding) for _ in range(2)]
    x, windows = F.pad(x, pads), []
    for size, k, d, stride in zip(
        x.shape[1:], layer.kernel_size, layer.dilation, layer.stride, strict=True
    ):
        reach = d * (k - 1) + 1
        windows.append([slice(i, i + reach, d) for i in range(0, size - reach + 1, stride)])
    return [x[(slice(None), *window)].flatten() for window in itertools.product(*windows)]


def slopes_of(layer, slope):
    """The slopes in the layer's outputs at the same positions; slope is one sample's."""
    if isinstance(layer, nn.Linear):
        return slope.reshape(-1, slope.shape[-1])
    return slope.flatten(1).T


def softmax_curvature(f, y):
    p = torch.softmax(f, 0)
    return torch.diag(p) - torch.outer(p, p)


def factors_by_loops(model, fn, x, y, name, kind, curvature=None):
    """C_d, C_a and the mean of delta a', one sample and one position at a time."""
    C_d = C_a = G = uses = 0
    for i in range(len(x)):
        probe = Shifted(copy.deepcopy(model.get_submodule(name)))
        single = probe
        if name:
            single = copy.deepcopy(model)
            parent, _, child = name.rpartition(".")
            setattr(single.get_submodule(parent), child, probe)
        f = single(x[i : i + 1])
        a = [row for seen in probe.inputs for row in rows_of(probe.layer, seen[0])]

        def deltas(y_of_outputs, f=f, probe=probe):
            slopes = torch.autograd.grad(y_of_outputs, probe.shifts, retain_graph=True)
            return torch.cat([slopes_of(probe.layer, s[0]) for s in slopes])

        delta = deltas(fn(f, y[i : i + 1])[0])
        if kind == "empirical":
            C_d = C_d + sum(torch.outer(d, d) for d in delta) / len(x)
        else:
            J = torch.stack([deltas(c) for c in f.flatten()])  # (outputs, positions, m)
            A = (curvature or softmax_curvature)(f.detach().flatten(), y[i])
            C_d = C_d + sum(J[:, p].T @ A @ J[:, p] for p in range(len(a))) / len(x)
        C_a = C_a + sum(torch.outer(row, row) for row in a)
        G = G + sum(torch.outer(d, row) for d, row in zip(delta, a, strict=True)) / len(x)
        uses += len(a)
    return C_d, C_a / uses, G


@every_case
@pytest.mark.parametrize("batch_size", [None, 3], ids="batch={}".format)
@pytest.mark.parametrize("kind", ["empirical", "Gauss-Newton"])
def test_factors_against_loops(case, kind, batch_size):
    model, loss, w, x, y, name, uses = problem(case, batch_size=batch_size)
    factors = kronecker_factors(loss, w, 7, name, kind)
    C_d, C_a, _ = factors_by_loops(model, CE, x, y, name, kind)
    assert factors.kind == kind and factors.positions == uses
    torch.testing.assert_close(factors.C_d, C_d, **EXACT)
    torch.testing.assert_close(factors.C_a, C_a, **EXACT)
    assert not factors.C_d.requires_grad and not factors.C_a.requires_grad


@every_case
def test_the_gradient_is_the_mean_of_slope_times_input(case):
    """Checks the loops against the package; for one sample at one position it is rank one."""
    model, loss, w, x, y, name, uses = problem(case)
    found = gradient_modes(loss, w, 7, name)
    G = factors_by_loops(model, CE, x, y, name, "empirical")[2]
    torch.testing.assert_close((found.U * found.sigma) @ found.V.T, G, **EXACT)
    if uses == 1:
        one = gradient_modes(loss, w, 1, name)
        parts = kronecker_modes(one, kronecker_factors(loss, w, 1, name))
        torch.testing.assert_close(parts.h_kron, one.sigma**2, **EXACT)
        torch.testing.assert_close(parts.Phi, torch.ones(1, **F64), **EXACT)


@pytest.mark.parametrize("case", ["first of an MLP", "2-D convolution", "called twice"])
def test_gauss_newton_factors_of_other_losses(case):
    """A by torch.func.hessian: squares weighted unequally, and a loss with a coupling."""

    def coupled(out, y):
        return (out - y).square() @ torch.tensor([1.0, 2.0, 0.5], **F64) + out.sum(1).cosh()

    model, loss, w, x, y, name, _ = problem(case, fn=coupled)

    def curvature(f, y):
        return hessian(lambda f: coupled(f[None], y[None])[0])(f)

    factors = kronecker_factors(loss, w, 7, name, "Gauss-Newton")
    C_d = factors_by_loops(model, coupled, x, y, name, "Gauss-Newton", curvature)[0]
    torch.testing.assert_close(factors.C_d, C_d, **EXACT)


def test_wrong_factors_are_rejected():
    model, loss, w, x, y, name, _ = problem("2-D convolution")
    C_d, C_a, _ = factors_by_loops(model, CE, x, y, name, "empirical")
    gauss = kronecker_factors(loss, w, 7, name, "Gauss-Newton").C_d
    full = factors_by_loops(
        model, CE, x, y, name, "Gauss-Newton", lambda f, y: torch.diag(torch.softmax(f, 0))
    )[0]
    wrong = {
        "mean over positions in C_d": (C_d / 21, C_d),
        "slopes of the mean loss": (C_d / 49, C_d),
        "sum over positions in C_a": (21 * C_a, C_a),
        "label slopes for Gauss-Newton": (C_d, gauss),
        "A = diag(p)": (full, gauss),
    }
    for title, (matrix, right) in wrong.items():
        assert (matrix - right).norm() > 0.05 * right.norm(), title


@pytest.fixture(scope="module")
def language():
    config = TransformerConfig(5, context=4, width=8, depth=1, heads=2, kv_heads=1, hidden=6)
    model = DecoderTransformer(config, generator=generator(), **F64)
    tokens = torch.randint(5, (3, 5), generator=generator(1))
    loss = EmpiricalLoss(model, sequence_loss, tokens[:, :-1], tokens[:, 1:])
    return model, loss, tokens[:, :-1], tokens[:, 1:]


@pytest.mark.parametrize("layer", ["query", "key", "value", "out", "up", "down"])
def test_a_transformer(language, layer):
    model, loss, x, y = language
    name = f"blocks.0.{layer}"
    found = gradient_modes(loss, loss.w0, 3, name)
    G, H = layer_by_torch(model, sequence_loss, x, y, name)
    torch.testing.assert_close((found.U * found.sigma) @ found.V.T, G, **EXACT)
    torch.testing.assert_close(found.h, quotients(H, found.U, found.V), **EXACT)
    factors = kronecker_factors(loss, loss.w0, 3, name)
    C_d, C_a, _ = factors_by_loops(model, sequence_loss, x, y, name, "empirical")
    torch.testing.assert_close(factors.C_d, C_d, **EXACT)
    torch.testing.assert_close(factors.C_a, C_a, **EXACT)
    assert factors.positions == 4
    h_kron = kronecker_modes(found, factors).h_kron
    assert (found.sigma**2 <= 4 * h_kron * (1 + 1e-12)).all()


def test_gauss_newton_factors_of_a_sequence(language):
    model, loss, x, y = language

    def curvature(f, y):  # the mean over 4 tokens of their cross-entropies
        return torch.block_diag(*(softmax_curvature(row, None) for row in f.view(4, 5))) / 4

    factors = kronecker_factors(loss, loss.w0, 3, "blocks.0.up", "Gauss-Newton")
    expected = factors_by_loops(model, sequence_loss, x, y, "blocks.0.up", "GN", curvature)[0]
    torch.testing.assert_close(factors.C_d, expected, **EXACT)


def test_a_weight_used_without_a_call_has_modes_but_no_factors(language):
    model, loss, x, y = language
    assert weight_matrices(loss)[-1] == "head"
    found = gradient_modes(loss, loss.w0, 3, "head")
    H = layer_by_torch(model, sequence_loss, x, y, "head")[1]
    torch.testing.assert_close(found.h, quotients(H, found.U, found.V), **EXACT)
    sentence = "'head' was not called: the model uses its weight in another way"
    with pytest.raises(ValueError, match=sentence):
        kronecker_factors(loss, loss.w0, 3, "head")


def test_a_layer_that_is_never_called():
    model = Twice().double()
    model.idle = nn.Linear(2, 2).double()
    loss = EmpiricalLoss(model, CE, randn(4, 4), torch.tensor([0, 1, 2, 0]))
    with pytest.raises(ValueError, match="gradient in 'idle' is zero"):
        gradient_modes(loss, loss.w0, 4, "idle")
    with pytest.raises(ValueError, match="'idle' was not called"):
        kronecker_factors(loss, loss.w0, 4, "idle")


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.sampled_from(list(CASES)), st.integers(1, 6), st.integers(0, 99))
def test_property_sigma_squared_is_below_h_kron(case, n, seed):
    _, loss, w, _, _, name, uses = problem(case, n=n, seed=seed)
    found = gradient_modes(loss, w, n, name)
    h_kron = kronecker_modes(found, kronecker_factors(loss, w, n, name)).h_kron
    assert (found.sigma**2 <= uses * h_kron * (1 + 1e-10) + 1e-25).all()
    if n == 1 and uses == 1:  # equality there: slopes of the mean over 2 samples would break it
        assert (found.sigma**2 > h_kron / 2).all()


def test_with_gauss_newton_factors_it_fails():
    """A sure and wrong prediction: the slope is 1, p (1 - p) is e^-5."""
    model = nn.Linear(1, 2, bias=False).double()
    loss = EmpiricalLoss(model, CE, torch.ones(1, 1, **F64), torch.tensor([1]))
    w = torch.tensor([2.5, -2.5], **F64)
    found = gradient_modes(loss, w, 1, "")
    empirical, gauss = (
        kronecker_modes(found, kronecker_factors(loss, w, 1, "", kind)).h_kron
        for kind in ("empirical", "Gauss-Newton")
    )
    p = torch.sigmoid(torch.tensor(5.0, **F64))
    torch.testing.assert_close(found.sigma, (2 * p**2).sqrt()[None], **EXACT)
    torch.testing.assert_close(empirical, 2 * p[None] ** 2, **EXACT)
    torch.testing.assert_close(gauss, 2 * (p * (1 - p))[None], **EXACT)
    assert found.sigma[0] ** 2 > 100 * gauss[0]


def test_at_most_512_outputs_for_gauss_newton():
    x = randn(3, 2)
    for outputs, fits in ((512, True), (513, False)):
        model = nn.Linear(2, outputs, bias=False).double()
        loss = EmpiricalLoss(model, half_square, x, torch.zeros(3, outputs, **F64))
        assert kronecker_factors(loss, loss.w0, 3, "").C_d.shape == (outputs, outputs)
        if fits:
            C_d = kronecker_factors(loss, loss.w0, 3, "", "Gauss-Newton").C_d
            torch.testing.assert_close(C_d, torch.eye(512, **F64), **EXACT)
        else:
            with pytest.raises(ValueError, match="each of the 513 outputs .* 512 at most; use"):
                kronecker_factors(loss, loss.w0, 3, "", "Gauss-Newton")


@pytest.mark.parametrize(
    "fn",
    [lambda out, y: -(out - y).square().sum(1), lambda out, y: out[:, 0] * out[:, 1] + out[:, 2]],
    ids=["concave", "saddle"],
)
def test_a_loss_that_is_not_convex_in_the_outputs(fn):
    _, loss, w, _, _, name, _ = problem("first of an MLP", fn=fn)
    with pytest.raises(ValueError, match="not convex in the outputs"):
        kronecker_factors(loss, w, 7, name, "Gauss-Newton")
    kronecker_factors(loss, w, 7, name)


def test_bad_kinds_and_paddings():
    _, loss, w, _, _, name, _ = problem("first of an MLP")
    for kind in ("fisher", "gauss-newton", None):
        with pytest.raises(ValueError, match="kind must be 'empirical' or 'Gauss-Newton'; got"):
            kronecker_factors(loss, w, 7, name, kind)
    for options in (dict(padding="same"), dict(padding=1, padding_mode="circular")):
        conv = nn.Conv1d(1, 2, 3, **options)
        model = nn.Sequential(conv, nn.Flatten(), nn.Linear(8, 3)).double()
        loss = EmpiricalLoss(model, CE, randn(3, 1, 4), torch.tensor([0, 1, 2]))
        gradient_modes(loss, loss.w0, 3, "0")
        with pytest.raises(ValueError, match="padding in numbers, with zeros"):
            kronecker_factors(loss, loss.w0, 3, "0")


def test_nothing_stays_behind_in_the_model():
    model, loss, w, _, _, name, _ = problem("first of an MLP")
    before = copy.deepcopy(loss.model.state_dict())
    with torch.no_grad():
        first = kronecker_factors(loss, w, 7, name, "Gauss-Newton")
        modes = gradient_modes(loss, w.clone().requires_grad_(), 7, name)
    assert torch.equal(first.C_d, kronecker_factors(loss, w, 7, name, "Gauss-Newton").C_d)
    assert not first.C_d.requires_grad and not modes.h.requires_grad
    assert not any(m._forward_hooks for m in loss.model.modules())
    assert all(torch.equal(before[key], p) for key, p in loss.model.state_dict().items())
    assert all(p.grad is None for p in (*model.parameters(), *loss.model.parameters()))


# -- uses of a layer that are easily missed -------------------------------------------------------


@pytest.mark.parametrize("kind", ["empirical", "Gauss-Newton"])
def test_an_activation_in_place_overwrites_the_layers_output(kind):
    x, y = randn(7, 4), torch.randint(3, (7,), generator=generator())
    expected, found = (
        kronecker_factors(EmpiricalLoss(MLP([4, 5, 3], act), CE, x, y), randn(43), 7, "0", kind)
        for act in (lambda: nn.LeakyReLU(3.0), lambda: nn.LeakyReLU(3.0, inplace=True))
    )
    torch.testing.assert_close(found.C_a, expected.C_a, **EXACT)
    torch.testing.assert_close(found.C_d, expected.C_d, **EXACT)


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.top = nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 3)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.top(torch.tanh(self.b(torch.tanh(self.a(x)))))


def test_a_weight_tied_between_two_layers_is_refused_or_counted_twice():
    torch.manual_seed(0)
    x, y = randn(12, 5), torch.randint(3, (12,), generator=generator())
    loss = EmpiricalLoss(Tied().double(), CE, x, y)
    found = gradient_modes(loss, loss.w0, 12, "a")
    try:
        factors = kronecker_factors(loss, loss.w0, 12, "a")
    except ValueError:
        return
    assert factors.positions == 2
    h_kron = kronecker_modes(found, factors).h_kron
    assert (found.sigma**2 <= 2 * h_kron * (1 + 1e-10)).all()


class Keyword(Twice):
    """The layer's input is given by name."""

    def forward(self, x):
        return self.top(torch.tanh(self.again(input=x)))


class Discarded(Twice):
    """One output of the layer is used, another one thrown away."""

    def forward(self, x):
        self.again(2 * x)
        return self.top(torch.tanh(self.again(x)))


@pytest.mark.parametrize("kind", ["empirical", "Gauss-Newton"])
@pytest.mark.parametrize(
    "model",
    [
        Keyword,
        Discarded,
    ],
)
def test_calls_by_keyword_and_outputs_thrown_away(model, kind):
    torch.manual_seed(0)
    loss = EmpiricalLoss(model().double(), CE, randn(4, 4), torch.tensor([0, 1, 2, 0]))
    factors = kronecker_factors(loss, loss.w0, 4, "again", kind)
    assert torch.linalg.eigvalsh(factors.C_d)[-1] > 0


def test_a_loss_linear_in_the_outputs_has_no_gauss_newton_curvature():
    _, loss, w, _, _, name, _ = problem("first of an MLP", fn=lambda out, y: (out * y).sum(1))
    factors = kronecker_factors(loss, w, 7, name, "Gauss-Newton")
    assert torch.equal(factors.C_d, torch.zeros(5, 5, **F64))


# -- the factors in the modes ----------------------------------------------------------------------


@pytest.mark.parametrize("case", ["first of an MLP", "2-D convolution", "sequences"])
@pytest.mark.parametrize("kind", ["empirical", "Gauss-Newton"])
def test_parts_one_by_one(case, kind):
    _, loss, w, _, _, name, _ = problem(case)
    modes, factors = gradient_modes(loss, w, 7, name), kronecker_factors(loss, w, 7, name, kind)
    parts = kronecker_modes(modes, factors)
    top_d, top_a = (
        torch.from_numpy(np.linalg.svd(C.numpy(), compute_uv=False))
        for C in (factors.C_d, factors.C_a)
    )
    for k in range(len(modes.h)):
        u, v = modes.U[:, k], modes.V[:, k]
        d, a = u @ factors.C_d @ u, v @ factors.C_a @ v
        expected = (d * a, top_d[k] * top_a[k], d / top_d[k], a / top_a[k], modes.h[k] / (d * a))
        found = (parts.h_kron, parts.Lambda, parts.rho_d, parts.rho_a, parts.chi)
        for left, right in zip(found, expected, strict=True):
            torch.testing.assert_close(left[k], right, rtol=1e-8, atol=0)
    torch.testing.assert_close(parts.Phi, parts.rho_d * parts.rho_a, rtol=0, atol=0)
    product = parts.chi * parts.Lambda * parts.rho_d * parts.rho_a
    torch.testing.assert_close(product, modes.h, rtol=1e-13, atol=0)
    # unsorted quotients against eigenvalues in ascending order
    assert (parts.rho_d * top_d[: len(modes.h)].flip(0) - parts.h_kron).norm() > 0.01


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["empirical", "Gauss-Newton"])
def test_slopes_add_up_with_a_plus_for_chi(seed, kind):
    """Exact on one design; the paper's text prints a minus before chi."""
    g = generator(seed)
    model = MLP([6, 9, 8], nn.ReLU, generator=g)  # piecewise linear in a layer: h >= 0
    y = torch.randint(8, (40,), generator=g)
    loss = EmpiricalLoss(model, CE, torch.randn(40, 6, generator=g, **F64), y)
    modes = gradient_modes(loss, loss.w0, 40, "0")
    parts = kronecker_modes(modes, kronecker_factors(loss, loss.w0, 40, "0", kind))
    assert (modes.h > 0).all() and len(modes.h) == 6
    ranks = torch.arange(1, 7, **F64)
    for x in (ranks, modes.sigma):
        slope = {
            key: log_slope(x, value).value
            for key, value in [("h", modes.h), *dataclasses.asdict(parts).items()]
        }
        rest = slope["Lambda"] + slope["rho_d"] + slope["rho_a"]
        assert abs(slope["h"] - (rest + slope["chi"])) < 1e-12
        assert abs(slope["h"] - (rest - slope["chi"])) > 1e-3
        assert abs(slope["h_kron"] - rest) < 1e-12


def test_signs_and_rotations_change_nothing():
    model, loss, w, x, y, name, _ = problem("the model itself", fn=half_square)
    modes, factors = gradient_modes(loss, w, 7, name), kronecker_factors(loss, w, 7, name)
    parts = kronecker_modes(modes, factors)
    signs = torch.tensor([1.0, -1.0, -1.0], **F64)
    flipped = dataclasses.replace(modes, U=modes.U * signs, V=modes.V * signs.flip(0))
    R, Q = torch.linalg.qr(randn(3, 3))[0], torch.linalg.qr(randn(4, 4, seed=2))[0]
    turned = EmpiricalLoss(nn.Linear(4, 3).double(), half_square, x @ Q.T, y @ R.T)
    W, bias = w[:12].view(3, 4), w[12:]
    w_turned = torch.cat([(R @ W @ Q.T).flatten(), R @ bias])
    modes_turned = gradient_modes(turned, w_turned, 7, name)
    torch.testing.assert_close(modes_turned.sigma, modes.sigma, **EXACT)
    torch.testing.assert_close(modes_turned.h, modes.h, **EXACT)
    others = (
        kronecker_modes(flipped, factors),
        kronecker_modes(modes_turned, kronecker_factors(turned, w_turned, 7, name)),
    )
    for other in others:
        for key in ("h_kron", "Lambda", "rho_d", "rho_a", "chi"):
            torch.testing.assert_close(getattr(other, key), getattr(parts, key), **EXACT)


# -- slopes ----------------------------------------------------------------------------------------


def positive(size):
    return st.lists(st.floats(-8, 8), min_size=size, max_size=size).map(
        lambda t: torch.tensor(t, **F64).exp()
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("r", [3, 10, 50])
def test_slope_against_numpy_and_the_textbook(r, seed):
    x, y = (randn(r, seed=2 * seed + i).exp() for i in (0, 1))
    found = log_slope(x, y)
    u, v = np.log(x.numpy()), np.log(y.numpy())
    slope, start = np.polyfit(u, v, 1)
    rss = ((v - slope * u - start) ** 2).sum()
    spread = ((u - u.mean()) ** 2).sum()
    stderr = math.sqrt(rss / (r - 2) / spread)
    r2 = 1 - rss / ((v - v.mean()) ** 2).sum()
    assert found.num_points == r
    assert found.value == pytest.approx(slope, rel=1e-9)
    assert found.stderr == pytest.approx(stderr, rel=1e-9)
    assert found.r2 == pytest.approx(r2, rel=1e-9, abs=1e-12)
    if r == 3:
        return  # by chance almost on a line, where wrong formulas agree
    wrong = {
        "r for r - 2": (found.stderr, math.sqrt(rss / r / spread)),
        "scatter of one point": (found.stderr, math.sqrt(rss / (r - 2))),
        "x on y": (found.value, np.polyfit(v, u, 1)[0]),
        "no logarithm of x": (found.value, np.polyfit(x.numpy(), v, 1)[0]),
        "R for R squared": (found.r2, math.sqrt(r2)),
    }
    for title, (right, other) in wrong.items():
        assert abs(right - other) > 1e-3 * abs(right), title


@pytest.mark.parametrize("p", [1, 2, 3])
def test_planted_exponents(p):
    k = torch.arange(1, 41, **F64)
    exact = log_slope(k, 7 * k**-p)
    assert exact.value == pytest.approx(-p, abs=1e-12) and exact.r2 == pytest.approx(1, abs=1e-12)
    assert exact.stderr < 1e-7
    errors = []
    for seed in range(20):
        found = log_slope(k, 7 * k**-p * (0.3 * randn(40, seed=seed)).exp())
        errors.append((found.value + p) / found.stderr)
    assert max(map(abs, errors)) < 4
    assert 0.5 < np.std(errors) < 1.5  # the error bars are not too wide either
    assert abs(found.value + p + 0.5) > 4 * found.stderr


def test_bad_points_of_a_slope():
    t = torch.arange(1, 6, **F64)
    for x, y in ((t[:2], t[:2]), (t, t[:4]), (t.view(1, 5), t.view(1, 5)), (t[0], t[0])):
        with pytest.raises(ValueError, match="two vectors of one length, three points at least"):
            log_slope(x, y)
    for bad in (0.0, -1.0, float("nan")):
        y = t.clone()
        y[2] = bad
        for pair in ((t, y), (y, t)):
            with pytest.raises(
                ValueError, match="needs positive finite numbers; leave the others out"
            ):
                log_slope(*pair)


# -- exponents -------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [1, 2, 3])
@pytest.mark.parametrize("gamma", [0.5, 1, 2])
def test_planted_triangle(alpha, gamma):
    k = torch.arange(1, 31, **F64)
    found = exponents(3 * k**-gamma, 5 * (3 * k**-gamma) ** alpha)
    assert found.alpha.value == pytest.approx(alpha, abs=1e-11)
    assert found.gamma.value == pytest.approx(gamma, abs=1e-11)
    assert found.s.value == pytest.approx(alpha * gamma, abs=1e-11)
    assert found.gap < 1e-11 and found.bound < 1e-7 and found.left_out == 0


@pytest.mark.parametrize("seed", range(5))
def test_planted_triangle_with_scatter(seed):
    k = torch.arange(1, 61, **F64)
    sigma = k**-1.0 * (0.1 * randn(60, seed=seed)).exp()
    found = exponents(sigma, sigma**2 * (0.2 * randn(60, seed=seed + 9)).exp())
    for slope, planted in ((found.alpha, 2), (found.gamma, 1)):
        assert abs(slope.value - planted) < 4 * slope.stderr
    assert abs(found.s.value - 2) < 4 * found.s.stderr
    x = sigma.log().numpy()
    assert found.gamma.value == pytest.approx(-np.polyfit(k.log().numpy(), x, 1)[0], rel=1e-10)
    assert found.gap == abs(found.s.value - found.alpha.value * found.gamma.value)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.data(), st.integers(3, 12))
def test_property_the_triangle_holds_within_the_bound(data, r):
    sigma = data.draw(positive(r)).sort(descending=True).values
    h = data.draw(positive(r))
    if float(sigma.log().std()) < 1e-3 or float(h.log().std()) < 1e-3:
        return  # a flat spectrum has no slope to speak of
    found = exponents(sigma, h)
    scale = float(h.log().std() / torch.arange(1, r + 1, **F64).log().std())
    # 1 - R2 is known to the rounding of 1, its root to the root of that
    assert found.gap <= found.bound * (1 + 1e-9) + 1e-7 * scale


@pytest.mark.parametrize("size", [-3.0, -0.2, 0.01, 1.0, 5.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_bound_is_met_where_the_residuals_are_one_direction(size, seed):
    """So for log h = 2 log sigma + size * (what log sigma leaves of log k)."""
    k = torch.arange(1, 21, **F64)
    x = (-1.3 * k.log() + 0.4 * randn(20, seed=seed)).sort(descending=True).values
    design = torch.stack([torch.ones(20, **F64), x], 1)
    left = k.log() - design @ torch.linalg.lstsq(design, k.log()[:, None]).solution[:, 0]
    found = exponents(x.exp(), (2 * x + size * left).exp())
    assert found.alpha.value == pytest.approx(2, abs=1e-9)
    assert found.gap == pytest.approx(found.bound, rel=1e-6)
    assert found.gap == pytest.approx(abs(size) * (1 - found.gamma.r2), rel=1e-6)
    scale = float((2 * x + size * left).std() / k.log().std())
    loose = ((1 - found.alpha.r2) * (1 - found.gamma.r2)) ** 0.5
    wrong = {
        "without the scale": loose,
        "without gamma's fit": scale * (1 - found.alpha.r2) ** 0.5,
        "without the roots": scale * (1 - found.alpha.r2) * (1 - found.gamma.r2),
        "R for R squared": scale
        * ((1 - found.alpha.r2**0.5) * (1 - found.gamma.r2**0.5)) ** 0.5,
    }  # fmt: skip
    for title, bound in wrong.items():
        assert abs(bound - found.gap) > 1e-3 * found.gap, title


def test_left_out_modes_keep_the_ranks_of_the_others():
    k = torch.arange(1, 31, **F64)
    sigma, h = k**-1.5, k**-3.0
    h[[1, 2, 3, 29]] = torch.tensor([-1.0, 0.0, float("nan"), -2.0], **F64)
    found = exponents(sigma, h)
    assert found.left_out == 4
    assert found.alpha.num_points == found.gamma.num_points == found.s.num_points == 26
    assert found.alpha.value == pytest.approx(2, abs=1e-11)
    assert found.s.value == pytest.approx(3, abs=1e-11)
    assert found.gap < 1e-11
    closed_up = log_slope(torch.arange(1, 27, **F64), h[h > 0])
    assert abs(closed_up.value + 3) > 0.1
    with pytest.raises(ValueError, match="three points at least"):
        exponents(k, torch.where(k <= 2, k, -k))


def test_curvatures_of_other_modes_give_another_alpha_and_a_bound_still():
    k = torch.arange(1, 31, **F64)
    sigma = k**-1.0
    order = torch.randperm(30, generator=generator())
    right, shuffled = exponents(sigma, sigma**2), exponents(sigma, (sigma**2)[order])
    assert right.alpha.value == pytest.approx(2, abs=1e-11)
    assert abs(shuffled.alpha.value - 2) > 0.5
    assert shuffled.gap <= shuffled.bound + 1e-9


def test_level_curvatures_lie_on_a_line():
    k = torch.arange(1, 9, **F64)
    assert log_slope(k, torch.full((8,), 2.0)).value == 0
    found = exponents(1 / k, torch.ones(8, **F64))
    assert found.gap <= found.bound + 1e-12


@pytest.mark.parametrize("bad", ["infinite y", "infinite x", "lengths", "one x", "infinite value"])
def test_infinities_and_unequal_lengths(bad):
    t = torch.arange(1, 6, **F64)
    infinite = torch.tensor([1.0, 2.0, 3.0, 4.0, math.inf], **F64)
    with pytest.raises(ValueError, match="(?i)positive|finite|length|different x"):
        {
            "infinite y": lambda: log_slope(t, infinite),
            "infinite x": lambda: log_slope(infinite, t),
            "lengths": lambda: exponents(t, t[:4]),
            "one x": lambda: log_slope(torch.ones(5), t),
            "infinite value": lambda: spectrum_bic(infinite),
        }[bad]()


# -- participation ---------------------------------------------------------------------------------


def zeta_by_sums(p, M=2000):
    """A thousand terms and Euler-Maclaurin's first corrections for the rest."""
    terms = math.fsum(k**-p for k in range(1, M))
    return terms + M ** (1 - p) / (p - 1) + M**-p / 2 + p * M ** (-p - 1) / 12


@pytest.mark.parametrize("p", [1.05, 1.2, 1.5, 2, 3, 5])
def test_participation_bound_against_sums(p):
    bound = participation_bound(p)
    assert bound == pytest.approx(zeta_by_sums(p) ** 2 / zeta_by_sums(2 * p), rel=1e-9)
    assert bound != pytest.approx(zeta_by_sums(p), rel=1e-3)
    assert bound != pytest.approx(zeta_by_sums(2 * p) ** 2 / zeta_by_sums(p), rel=1e-3)


def test_participation_in_closed_form():
    assert participation_bound(2) == pytest.approx(2.5, abs=1e-12)  # (pi^2/6)^2 / (pi^4/90)
    assert participation_bound(4) == pytest.approx((math.pi**4 / 90) ** 2 / (math.pi**8 / 9450))
    for p in (1.0, 0.5, 0.0, -2.0):
        assert participation_bound(p) == math.inf
    assert participation_ratio(torch.ones(7)) == 7
    assert participation_ratio(torch.tensor([0.0, 3.0, 0.0])) == 1
    assert participation_ratio(torch.tensor([3.0, 1.0])) == pytest.approx(1.6, abs=1e-15)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.floats(1.05, 5), st.integers(1, 1000), st.floats(1e-3, 1e3))
def test_property_exact_power_laws_stay_below(p, r, scale):
    k = torch.arange(1, r + 1, **F64)
    ratio = participation_ratio(scale * k**-p)
    written_out = sum(i**-p for i in range(1, r + 1)) ** 2 / sum(
        i ** (-2 * p) for i in range(1, r + 1)
    )
    assert ratio == pytest.approx(written_out, rel=1e-10)
    assert 1 <= ratio * (1 + 1e-12) and ratio <= participation_bound(p) * (1 + 1e-12)
    assert ratio <= r * (1 + 1e-12)


def test_a_spectrum_that_violates_the_bound():
    """Flat, then steep: the line through it falls like k^-3.3, and twenty modes carry it."""
    k = torch.arange(1, 101, **F64)
    h = (1 + (k / 20) ** 6) ** -1
    s = exponents(k**-1.0, h).s.value
    assert s > 2
    assert participation_ratio(h) > 5 * participation_bound(s)


# -- shapes of a spectrum --------------------------------------------------------------------------


def planted(shape, r, noise=0.0, seed=0):
    k = torch.arange(1, r + 1, **F64)
    log = {
        "power law": -2 * k.log(),
        "exponential": -0.15 * k,
        "log-normal": -1.5 * torch.special.ndtri((k - 0.5) / r),
    }[shape]
    return (log + noise * randn(r, seed=seed)).exp()


shapes = pytest.mark.parametrize("shape", ["power law", "exponential", "log-normal"])


@shapes
@pytest.mark.parametrize("r", [6, 40])
def test_the_planted_shape_wins(shape, r):
    scores = spectrum_bic(planted(shape, r))
    assert set(scores) == {"power law", "exponential", "log-normal"}
    assert min(scores, key=scores.get) == shape
    assert sorted(scores.values())[1] - scores[shape] > 100  # exact: nothing but rounding left


@shapes
@pytest.mark.parametrize("seed", range(3))
def test_it_wins_with_scatter_too_and_the_number_is_the_formulas(shape, seed):
    values = planted(shape, 40, noise=0.1, seed=seed)
    scores = spectrum_bic(values)
    assert min(scores, key=scores.get) == shape
    k = np.arange(1, 41)
    x = {
        "power law": np.log(k),
        "exponential": k.astype(float),
        "log-normal": -torch.special.ndtri(torch.tensor((k - 0.5) / 40)).numpy(),
    }
    y = np.log(np.sort(values.numpy())[::-1])
    for name, score in scores.items():
        rss = len(y) * y.var() * (1 - np.corrcoef(x[name], y)[0, 1] ** 2)
        assert score == pytest.approx(40 * math.log(rss / 40) + 3 * math.log(40), abs=1e-6)
        assert abs(score - (40 * math.log(rss) + 3 * math.log(40))) > 1  # rss for rss / r


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.floats(-6, 6), st.integers(0, 99), st.integers(4, 30))
def test_property_units_and_order_change_nothing(log10_scale, seed, r):
    values = randn(r, seed=seed).exp()
    scores = spectrum_bic(values)
    shuffled = values[torch.randperm(r, generator=generator(seed))]
    assert spectrum_bic(shuffled) == scores
    for name, score in spectrum_bic(10**log10_scale * values).items():
        assert score == pytest.approx(scores[name], abs=1e-6)


def test_too_few_values_or_not_positive():
    for bad in ([1, 2, 3], [1, 2, 3, 0], [1, 2, 3, -1, 4], [1, 2, 3, float("nan")], []):
        with pytest.raises(ValueError, match="positive and finite, four of them at least"):
            spectrum_bic(torch.tensor(bad))
