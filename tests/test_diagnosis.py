"""Every number of a diagnosis by a direct route, and one case for each of its doubts.

Oracles: per-sample losses at w, dense Hessians and `eigh`, plain loops over candidates, the true
loss at probe points. Nothing here goes through tables, Krylov spaces or increments.
"""

import dataclasses
import itertools
import time

import pytest
import torch
from torch import nn

from landscape_nb import EmpiricalLoss, fit
from landscape_nb.numerics.eigensolver import ConvergenceError
from landscape_nb.problems.data import digits
from landscape_nb.problems.models import MLP
from landscape_nb.study import diagnosis as module
from landscape_nb.study.budget import Budget
from landscape_nb.study.diagnosis import diagnose, doubts
from landscape_nb.theory.criteria import Estimate

K, D, SIGMA = 60, 4, 1e-3
LEAST = Budget(10, 12, 6, 0)  # w is kept along k
cross_entropy = nn.CrossEntropyLoss(reduction="none")
pytestmark = pytest.mark.usefixtures("one_thread")


def digits_loss(n=80, dtype=torch.float64):
    x, y = digits(n, dtype=dtype)
    return EmpiricalLoss(MLP([64, 4, 10], dtype=dtype), cross_entropy, x, y, l2=0.03)


def quick(loss, k=K, w=None, **options):
    return diagnose(loss, k, w, **{"D": D, "progress": False} | options)


@pytest.fixture(scope="module")
def loss():
    return digits_loss()


@pytest.fixture(scope="module")
def found(loss):
    """Retrained along k."""
    return quick(loss)


@pytest.fixture(scope="module")
def fixed(loss, found):
    """At the same point, not retrained."""
    return quick(loss, w=found.w, budget=LEAST)


@pytest.fixture(scope="module")
def H(loss, found):
    return loss.hessian(found.w, K)


def increments(loss, w, k, j=None):
    """I of every unseen sample i: ((j l_1..j + l_i)/(j + 1) - l_1..j), term by term."""
    losses = loss.per_sample(w)
    j, seen = j or k, losses[: min(j or k, k)].mean()
    return torch.stack([(j * seen + losses[i]) / (j + 1) - seen for i in range(k, len(losses))])


# -- the numbers ----------------------------------------------------------------------------------


def test_losses_and_gradient(loss, found):
    losses = loss.per_sample(found.w)
    assert found.seen_value == pytest.approx(float(losses[:K].mean()))
    assert found.unseen_value == pytest.approx(float(losses[K:].mean()))
    assert found.value == pytest.approx(found.seen_value + loss.l2 / 2 * float(found.w @ found.w))
    leaf = found.w.clone().requires_grad_()
    objective = loss.losses_at(leaf, range(K)).mean() + loss.l2 / 2 * leaf @ leaf
    (gradient,) = torch.autograd.grad(objective, leaf)
    assert found.grad_norm == pytest.approx(float(gradient.norm()), rel=1e-6)
    assert found.grad_norm < 1e-3 and found.fitted


def test_spectrum(H, found):
    values = torch.linalg.eigvalsh(H)
    error = (found.pairs.values - values.flip(0)[:D]).abs()
    assert (error <= found.pairs.residuals + 1e-9).all() and found.certified
    residuals = (H @ found.pairs.vectors - found.pairs.vectors * found.pairs.values).norm(dim=0)
    assert (residuals <= 1e-3 * values[-1]).all()
    assert found.lowest == pytest.approx(float(values[0]), abs=1e-3 * float(values[-1]))
    assert found.lowest_certified


def test_trace(H, found):
    assert abs(found.trace.value - H.trace()) <= 4 * found.trace.stderr
    assert 0 < found.trace.stderr < 0.1 * H.trace()


def test_trace_of_few_parameters_is_exact():
    x, y = torch.linspace(-1, 1, 30).double()[:, None], torch.linspace(-1, 1, 30).double() ** 3
    loss = EmpiricalLoss(MLP([1, 2, 1]), lambda out, y: (out[:, 0] - y) ** 2, x, y)
    found = quick(loss, 20, D=99)
    dense = loss.hessian(found.w, 20)
    assert found.D == 7 and found.trace.stderr == 0
    assert torch.allclose(found.trace.value, dense.trace())
    assert torch.allclose(found.pairs.values, torch.linalg.eigvalsh(dense).flip(0))
    assert found.pairs.gap == float("inf")


def test_delta1_over_candidates(loss, found):
    direct = increments(loss, found.w, K)
    assert found.candidates == len(direct) == 20
    assert found.delta1 == pytest.approx(float(direct.abs().mean()), rel=1e-9)


@pytest.mark.parametrize("name", ["top", "random"])
def test_moments_by_dense_derivatives(loss, found, name):
    """The Gaussian moment from dense Hessians; random: only what no basis can change."""
    plain = loss.without_l2()
    mean, g = plain.hessian(found.w, K), plain.gradient(found.w, K)
    U, a = found.pairs.vectors, increments(loss, found.w, K)
    c, curvature = [], []
    for i in range(K, K + found.candidates):
        A = (plain.hessian(found.w, range(i, i + 1)) - mean) / (K + 1)
        B = U.T @ A @ U
        c.append((plain.gradient(found.w, range(i, i + 1)) - g) / (K + 1))
        curvature.append((2 * B.square().sum() + B.trace() ** 2) / 4)
    moment = getattr(found, name).at(D, SIGMA)
    assert moment.value.item() == pytest.approx(float(a.square().mean()), rel=1e-9)
    if name == "top":
        inside = torch.stack(c) @ U
        assert moment.gradient.item() == pytest.approx(
            SIGMA**2 * float(inside.square().sum(1).mean()), rel=1e-6
        )
        assert moment.curvature.item() == pytest.approx(
            SIGMA**4 * float(torch.stack(curvature).mean()), rel=1e-6
        )
    whole = SIGMA**2 * float(torch.stack(c).square().sum(1).mean())
    assert found.full.at(1, SIGMA).gradient.item() == pytest.approx(whole, rel=1e-6)
    assert moment.gradient.item() <= whole


def test_model_error_against_the_true_loss(loss, found):
    """Directions of our own: the order of the error and the end of the local regime agree."""
    g = torch.Generator().manual_seed(7)
    z = torch.randn(16, D, generator=g, dtype=torch.float64)
    U, at_w = found.pairs.vectors, increments(loss, found.w, K)
    plain = loss.without_l2()
    mean_g, mean_H = plain.gradient(found.w, K), plain.hvp(found.w, U, K)
    errors = []
    models = []
    for i in range(K, K + found.candidates):
        one = range(i, i + 1)
        c = U.T @ (plain.gradient(found.w, one) - mean_g) / (K + 1)
        B = U.T @ (plain.hvp(found.w, U, one) - mean_H) / (K + 1)
        models.append((c, B))
    for sigma in found.sigmas.tolist():
        s = sigma * torch.cat([z, -z])
        true = torch.stack([increments(loss, found.w + U @ v, K) - at_w for v in s])
        model = torch.stack([s @ c + ((s @ B) * s).sum(1) / 2 for c, B in models], dim=1)
        errors.append(abs(float(true.square().mean() / model.square().mean()) - 1))
    assert found.local_sigma is not None
    for sigma, error in zip(found.sigmas.tolist(), errors, strict=True):
        if sigma <= found.local_sigma / 2:
            assert error < 0.1
        if sigma > 10 * found.local_sigma:
            assert error > 0.1
    small = found.sigmas < 0.2 * found.local_sigma
    assert (found.model_error[small] < 0.02).all()


def test_local_sigma_is_the_last_of_an_unbroken_row(found):
    good = found.model_error < 0.1
    last = found.sigmas.tolist().index(found.local_sigma)
    assert good[: last + 1].all() and (last + 1 == len(good) or not good[last + 1])


def test_curves_of_a_retrained_model(loss, found):
    assert found.retrained and found.ks[-1] == K and found.ks[0] == round(K / 8)
    assert found.curves.shape == (found.candidates, len(found.ks))
    for column in (0, 3, -1):
        j = found.ks[column]
        losses = loss.per_sample(fit(loss, j, tol=1e-4, max_iterations=300).w)
        direct = ((losses[K:] - losses[:j].mean()) / (j + 1)).square()
        torch.testing.assert_close(found.curves[:, column], direct, rtol=1e-6, atol=0)


def test_curves_at_a_fixed_point(loss, fixed):
    assert not fixed.retrained and not fixed.fitted
    assert fixed.ks[0] == K and fixed.ks[-1] == 64 * K and len(fixed.ks) == 13
    for column, j in enumerate(fixed.ks):
        direct = increments(loss, fixed.w, K, j).square()
        torch.testing.assert_close(fixed.curves[:, column], direct, rtol=1e-6, atol=1e-20)


def test_band_holds_the_mean_and_is_as_wide_as_its_standard_error(found):
    mean = found.curves.mean(0)
    assert (found.band[0] < mean).all() and (mean < found.band[1]).all()
    normal = 2 * 1.645 * found.curves.std(0) / found.candidates**0.5
    assert ((found.band[1] - found.band[0]) / normal - 1).abs().max() < 0.4


def test_tolerance_and_enough(loss, found, fixed):
    size = found.value - float(loss.per_sample(found.w).min())
    assert found.scale == pytest.approx(size) and 0.5 < size / found.value < 1
    assert found.tolerance == pytest.approx((size / 100) ** 2)
    mean = fixed.curves.mean(0)
    settled = [k for j, k in enumerate(fixed.ks) if (mean[j:] < fixed.tolerance).all()]
    before = max((k for k in fixed.ks if settled and k < settled[0]), default=0)
    assert before < fixed.enough.K <= settled[0] if settled else fixed.enough.K is None


def test_given_point_is_kept(loss):
    w = loss.w0 + 0.1
    given = quick(loss, w=w, budget=LEAST)
    assert torch.equal(given.w, w) and not given.fitted
    assert given.value == pytest.approx(float(loss.value(w, K)))


def test_the_same_seed_gives_the_same_numbers(loss, found, fixed):
    again = quick(loss, w=found.w, budget=LEAST)
    other = quick(loss, w=found.w, budget=LEAST, seed=1)
    assert torch.equal(fixed.trace.value, again.trace.value)
    assert torch.equal(fixed.random.gradient, again.random.gradient)
    assert not torch.equal(fixed.random.gradient, other.random.gradient)


def numbers(found):
    """All of a diagnosis except what its stages took, as plain values that can be compared."""

    def plain(value):
        return value.tolist() if isinstance(value, torch.Tensor) else value

    return dataclasses.asdict(dataclasses.replace(found, seconds={}), dict_factory=lambda pairs: {
        name: plain(value) for name, value in pairs
    })  # fmt: skip


@pytest.mark.parametrize("speed", [1e-9, 1e9])
def test_the_clock_decides_nothing(loss, found, monkeypatch, speed):
    """On a machine without end of time, and on one that never gets its turn."""
    assert numbers(dataclasses.replace(found, delta1=1 + found.delta1)) != numbers(found)
    ticks = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: speed * next(ticks))
    again = quick(loss)
    assert numbers(again) == numbers(found) and again.seconds != found.seconds


def test_the_budget_of_a_diagnosis_repeats_it(loss):
    timed = quick(loss, seconds=0.05)
    assert numbers(quick(loss, budget=timed.budget)) == numbers(timed)


def test_iterations_and_products_are_those_of_the_budget(loss, monkeypatch):
    asked = {"fit": [], "lowest": [], "trace": []}

    def noting(name, function, of):
        def wrapped(*arguments, **options):
            asked[name].append(of(arguments, options))
            return function(*arguments, **options)

        return wrapped

    for name, attribute, of in (
        ("fit", "fit", lambda a, o: o["max_iterations"]),
        ("lowest", "bottom_eigenpairs", lambda a, o: o["max_products"]),
        ("trace", "hutchpp_trace", lambda a, o: a[2]),
    ):
        monkeypatch.setattr(module, attribute, noting(name, getattr(module, attribute), of))
    found = quick(loss, budget=Budget(30, 40, 9, 5))
    assert asked == {"fit": [30] + 7 * [5], "lowest": [40], "trace": [9]} and found.retrained


def test_products_enough_for_the_exact_trace_give_it():
    x = torch.randn(20, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    loss = EmpiricalLoss(nn.Linear(30, 1).double(), lambda out, y: out[:, 0] ** 2, x, x)
    exact = quick(loss, 10, w=loss.w0, budget=Budget(trace_products=93)).trace
    assert exact.stderr == 0 and torch.allclose(exact.value, loss.hessian(loss.w0, 10).trace())


def test_float32_says_the_same(found):
    single = quick(digits_loss(dtype=torch.float32), w=found.w.float(), budget=LEAST)
    assert single.pairs.values.dtype == torch.float32
    torch.testing.assert_close(single.pairs.values.double(), found.pairs.values, rtol=1e-3, atol=0)
    assert single.delta1 == pytest.approx(found.delta1, rel=1e-3)
    a, b = single.top.at(D, SIGMA), found.top.at(D, SIGMA)
    torch.testing.assert_close(a.gradient.double(), b.gradient, rtol=1e-2, atol=0)
    # differences of float32 losses have no digits below this sigma
    assert single.sigmas[0] == pytest.approx(1e-3)


def test_the_budget_bounds_training(loss, found):
    assert quick(loss, budget=LEAST).grad_norm > 1e-2 > found.grad_norm
    assert quick(loss, seconds=1e-3).budget == LEAST and found.budget == Budget()


@pytest.mark.parametrize(("k", "budget"), [(1, None), (2, None), (1, LEAST), (78, LEAST)])
def test_smallest_and_largest_k(loss, k, budget):
    found = quick(loss, k, w=loss.w0, budget=budget)
    assert found.ks == sorted(set(found.ks)) and torch.isfinite(found.curves).all()


# -- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda loss: quick(loss, 0), "k must be between 1 and 78 .at least two samples stay uns"),
        (lambda loss: quick(loss, 79), "k must be between 1 and 78"),
        (lambda loss: quick(loss, 0.8), "k must be a whole number"),
        (lambda loss: quick(loss, D=0), "D must be at least 1"),
        (lambda loss: quick(loss, sigma=0), "sigma must be positive"),
        (lambda loss: quick(loss, tolerance=0.0), "tolerance must be positive"),
        (lambda loss: quick(loss, seconds=-1), "seconds must be positive"),
        (lambda loss: quick(loss, budget=LEAST, seconds=1), "budget or seconds, not both"),
        (lambda loss: quick(loss, budget=300), "budget must be a Budget; got int"),
        (lambda loss: quick(loss, seed="a"), "seed must be a whole number"),
        (lambda loss: quick(loss, w=loss.w0[:5]), "flat vector of length N"),
        (lambda loss: quick(loss, w=loss.w0 * float("nan")), "w must be finite"),
        (lambda loss: quick(MLP([64, 10])), "loss must be an EmpiricalLoss.*got MLP"),
        (lambda loss: quick(digits_loss(2), 1), "three samples at least.*holds 2"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refusals(loss, call, message, monkeypatch):
    monkeypatch.setattr(module, "fit", None)  # refused before anything is worked on
    with pytest.raises(ValueError, match=message):
        call(loss)


# -- what does not converge, and what is degenerate -----------------------------------------------


def raising(solver):
    """The solver, but refusing its own result."""

    def refuse(*arguments, **options):
        pairs = solver(*arguments, **options)
        values = -pairs.values if solver is module.bottom_eigenpairs else pairs.values
        doubtful = dataclasses.replace(pairs, values=values, residuals=pairs.residuals + 0.5)
        raise ConvergenceError("not converged", doubtful)

    return refuse


def test_eigenvectors_that_do_not_converge_are_kept_and_doubted(loss, fixed, monkeypatch):
    monkeypatch.setattr(module, "top_eigenpairs", raising(module.top_eigenpairs))
    found = quick(loss, w=fixed.w, budget=LEAST)
    assert not found.certified and "did not converge" in found.doubts[0]
    assert found.top.at(D, SIGMA).total == pytest.approx(float(fixed.top.at(D, SIGMA).total))


def test_a_lowest_eigenvalue_that_does_not_converge_is_a_bound(loss, H, fixed, monkeypatch):
    monkeypatch.setattr(module, "bottom_eigenpairs", raising(module.bottom_eigenpairs))
    found = quick(loss, w=fixed.w, budget=LEAST)
    assert not found.lowest_certified
    assert float(torch.linalg.eigvalsh(H)[0]) - 1e-9 <= found.lowest < 0.2


def test_too_few_products_for_the_lowest_eigenvalue(loss, H, found):
    few = quick(loss, w=found.w, budget=dataclasses.replace(LEAST, lowest_products=3))
    assert not few.lowest_certified and few.lowest >= float(torch.linalg.eigvalsh(H)[0])


def test_a_loss_that_ends_within_reach_of_the_probe():
    x = torch.full((20, 1), 0.5, dtype=torch.float64) + torch.arange(20).double()[:, None] / 40
    model = nn.Linear(1, 1, bias=False).double()
    nn.init.constant_(model.weight, 0.05)
    loss = EmpiricalLoss(model, lambda out, y: out[:, 0] - out[:, 0].log(), x, x)
    found = quick(loss, 15, w=loss.w0)
    assert found.model_error[-1] == float("inf") and found.model_error[0] < 0.1


def test_a_loss_of_zero_has_a_tolerance():
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    loss = EmpiricalLoss(nn.Linear(3, 1).double(), lambda out, y: out[:, 0] ** 2, x, x)
    assert 0 < quick(loss, 10, w=loss.w0 * 0).tolerance < 1e-20


# -- doubts ---------------------------------------------------------------------------------------


@pytest.fixture
def sound(found):
    """A diagnosis with nothing to doubt."""
    changes = {"local_sigma": 1e-2, "lowest": 0.0, "grad_norm": 1e-9, "retrained": True}
    enough = dataclasses.replace(found.enough, K=found.ks[0])
    calm = dataclasses.replace(found, **changes, enough=enough)
    assert doubts(calm) == []
    return calm


def with_pairs(found, **changes):
    return {"pairs": dataclasses.replace(found.pairs, **changes)}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (lambda d: {"certified": False}, "eigenvectors did not converge"),
        (lambda d: with_pairs(d, values=d.pairs.values * 0), "No direction bends upward"),
        (lambda d: with_pairs(d, values=-d.pairs.values), "No direction bends upward"),
        (lambda d: with_pairs(d, noise=9.0, gap=99.0), "No direction bends upward"),
        (lambda d: with_pairs(d, noise=2e-2, gap=1e-2), f"gap behind eigenvalue {D} is smaller"),
        (lambda d: with_pairs(d, gap=1e-12), f"gap behind eigenvalue {D} is smaller"),
        (lambda d: {"grad_norm": 0.02 * d.value}, "not a minimum"),
        (lambda d: {"lowest": -0.02 * float(d.pairs.values[0])}, "bends downward"),
        (lambda d: {"local_sigma": None}, "outside the local regime"),
        (lambda d: {"local_sigma": 0.9 * d.sigma}, "outside the local regime"),
        (lambda d: {"candidates": 9}, "Only 9 unseen samples"),
        (lambda d: {"retrained": False}, "not trained anew"),
        (
            lambda d: {"enough": dataclasses.replace(d.enough, K=d.ks[-1])},
            "Only the last k lies below",
        ),
    ],
)
def test_each_doubt_alone(sound, changes, words):
    (sentence,) = doubts(dataclasses.replace(sound, **changes(sound)))
    assert words in sentence and sentence[-1] in ".?"


@pytest.mark.parametrize(
    "changes",
    [
        lambda d: {"grad_norm": 0.005 * d.value},
        lambda d: {"lowest": -0.005 * float(d.pairs.values[0])},
        lambda d: {"local_sigma": d.sigma},
        lambda d: {"candidates": 10},
    ],
)
def test_just_good_enough_is_not_doubted(sound, changes):
    assert doubts(dataclasses.replace(sound, **changes(sound))) == []


def test_doubts_live():
    """Untrained, far probe, few candidates, not retrained: all said of one model."""
    loss = digits_loss(n=66)
    found = quick(loss, w=loss.w0, budget=LEAST, sigma=1.0)
    said = " ".join(found.doubts)
    for words in ("not a minimum", "outside the local", "Only 6 unseen", "not trained anew"):
        assert words in said


def test_estimate_of_the_trace_is_an_estimate(found):
    assert isinstance(found.trace, Estimate)
