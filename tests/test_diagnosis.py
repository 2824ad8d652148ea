"""Every number of a diagnosis by a direct route, and one case for each of its doubts.

Oracles: per-sample losses at w, dense Hessians and `eigh`, plain loops over candidates, the true
loss at probe points. Nothing here goes through tables, Krylov spaces or increments.
"""

import dataclasses
import itertools
import math
import time

import pytest
import torch
from torch import nn

import landscape_nb as ln
from landscape_nb import EmpiricalLoss, fit
from landscape_nb.numerics.eigensolver import ConvergenceError
from landscape_nb.problems.data import digits
from landscape_nb.problems.models import MLP
from landscape_nb.study import along_k as along_module
from landscape_nb.study import diagnosis as module
from landscape_nb.study.budget import Budget
from landscape_nb.study.diagnosis import diagnose
from landscape_nb.study.doubts import doubts
from landscape_nb.theory.criteria import Estimate
from landscape_nb.theory.enough import OF_NEXT_SAMPLES, settled_within

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


def surprises(loss, w, j):
    """(I, l) of every sample after the first j, one at a time in a plain loop."""
    losses = [float(x) for x in loss.per_sample(w)]
    seen = sum(losses[:j]) / j
    moved = [(j * seen + losses[i]) / (j + 1) - seen for i in range(j, len(losses))]
    return moved, losses[j:]


def test_every_unseen_sample_at_every_k(loss, found):
    """Trained anew on the first j, and averaged over all the others: also those from j to k."""
    along = found.along
    assert found.retrained and along.ks[-1] == K and along.ks[0] == round(K / 8)
    assert [len(part) for part in along.squares] == [80 - j for j in along.ks]
    for column in (0, 3, -1):
        j = along.ks[column]
        moved, lost = surprises(loss, fit(loss, j, tol=1e-4, max_iterations=300).w, j)
        direct = torch.tensor(moved, dtype=torch.float64).square()
        torch.testing.assert_close(along.squares[column], direct, rtol=1e-6, atol=0)
        assert float(along.unseen_losses[column].mean()) == pytest.approx(sum(lost) / (80 - j))
        assert float(along.means[column]) == pytest.approx(float(direct.mean()), rel=1e-6)
        wrong = direct[K - j :]  # only those that are unseen at the last k
        assert (
            column == 2
            or j == K
            or float(wrong.mean()) != pytest.approx(float(along.means[column]), rel=1e-3)
        )


def test_a_point_that_is_kept_is_measured_at_one_k(loss, fixed):
    assert not fixed.retrained and not fixed.fitted and fixed.along.ks == [K]
    direct = increments(loss, fixed.w, K).square()
    torch.testing.assert_close(fixed.along.squares[0], direct, rtol=1e-6, atol=1e-20)


def test_band_holds_the_mean_and_is_as_wide_as_its_standard_error(found):
    """At most k; where a tail is heavy it is wider, and more so upward."""
    along, band = found.along, found.band
    mean = torch.stack([part.mean() for part in along.squares])
    assert (band[0] < mean).all() and (mean < band[1]).all()
    stderr = torch.stack([part.std() / len(part) ** 0.5 for part in along.squares])
    torch.testing.assert_close(along.stderrs, stderr)
    ratio = (band[1] - band[0]) / (2 * 1.645 * stderr)
    assert (ratio > 0.8).all() and ratio.median() < 1.8


def test_standard_errors_of_losses(found):
    for part, mean, stderr in zip(
        found.along.unseen_losses, found.along.losses, found.along.loss_stderrs, strict=True
    ):
        deviations = [(float(x) - float(mean)) ** 2 for x in part]
        m = len(part)
        assert float(stderr) == pytest.approx((sum(deviations) / (m - 1) / m) ** 0.5)


def test_tolerance(loss, found):
    size = found.value - float(loss.per_sample(found.w).min())
    assert found.scale == pytest.approx(size) and 0.5 < size / found.value < 1
    assert found.tolerance == pytest.approx((size / 100) ** 2)


def crossing(ks, curve, tolerance):
    """Where a line in log-log comes down for good, rounded up; None where it never does."""
    if curve[-1] >= tolerance:
        return None
    j = len(ks) - 1
    while j and curve[j - 1] < tolerance:
        j -= 1
    if j == 0:
        return ks[0]
    rise = math.log(curve[j - 1] / curve[j])
    share = math.log(curve[j - 1] / tolerance) / rise
    return math.ceil(ks[j - 1] * (ks[j] / ks[j - 1]) ** share - 1e-9)


@pytest.mark.parametrize("at", [0.5, 2.0, 20.0, 2000.0])
def test_enough_along_the_mean_and_the_edges_of_its_band(loss, found, at):
    """Asked for a tolerance at which K is not reached, within the range, and before it."""
    tolerance = at * float(found.along.means[-1])
    d = quick(loss, w=found.w, tolerance=tolerance, budget=Budget(10, 12, 6, 300))
    assert d.tolerance == tolerance
    assert d.measured.K == crossing(d.along.ks, d.along.means.tolist(), tolerance)
    assert d.measured.high == crossing(d.along.ks, d.band[1].tolist(), tolerance)
    assert d.tail.below == float((d.along.squares[-1] < tolerance).double().mean())


def test_the_interval_is_that_of_one_run_where_all_k_share_their_samples(found):
    """Same unseen samples at each k, same draws: `one_run_interval` to the last digit."""
    same = tuple(part[-20:] for part in found.along.squares)
    along = dataclasses.replace(found.along, squares=same)
    tolerance = float(along.means[3])
    for seed in range(3):
        g = torch.Generator().manual_seed(seed)
        here = settled_within(along.ks, along.band(g), tolerance, 0.9, OF_NEXT_SAMPLES)
        g.manual_seed(seed)
        there = ln.one_run_interval(along.ks, torch.stack(same, 1), tolerance, g)
        assert here.K == there.K and here.low is not None
        for a, b in ((here.low, there.low), (here.high, there.high)):
            assert a == pytest.approx(b, rel=0.05)  # each k draws its own resamples


@pytest.mark.parametrize("name", ["found", "fixed"])
def test_forecasts_are_those_of_the_measured_means(request, name):
    d = request.getfixturevalue(name)
    told = ln.forecast_enough(
        d.along.ks,
        [float(part.mean()) for part in d.along.squares],
        d.tolerance,
        stderrs=[float(part.std()) / len(part) ** 0.5 for part in d.along.squares],
    )
    assert d.forecast == told and d.forecast.k_last == K
    loss = ln.forecast_loss(
        d.along.ks,
        [float(part.mean()) for part in d.along.unseen_losses],
        2 * K,
        stderrs=[float(part.std()) / len(part) ** 0.5 for part in d.along.unseen_losses],
    )
    for field in ("value", "low", "high", "k", "k_last", "last"):
        assert getattr(d.doubled, field) == pytest.approx(getattr(loss, field), rel=1e-9)


def test_the_tail_is_that_of_every_unseen_sample(loss, found):
    squares = [x * x for x in surprises(loss, found.w, K)[0]]
    told = ln.tail(squares, tolerance=found.tolerance)
    assert found.tail.count == 20 and found.tail.below == told.below
    assert found.tail.mean == pytest.approx(sum(squares) / 20, rel=1e-9)
    assert found.tail.median == pytest.approx(told.median, rel=1e-9)
    assert found.tail.hardest == pytest.approx(told.hardest, rel=1e-9)


# -- many unseen samples whose derivatives come one by one -----------------------------------------


class Amplified(nn.Module):
    """Times exp(gain): a use of a parameter that layer contraction does not know."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.zeros(5))

    def forward(self, x):
        return x * self.gain.exp()


def amplified_loss(n=160):
    """Its derivatives must be taken sample by sample."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(n, 6, generator=g).double()
    y = (x[:, 0] > 0).long() + (x[:, 1] > 1).long()
    torch.manual_seed(0)
    layers = nn.Linear(6, 5), Amplified(), nn.Tanh(), nn.Linear(5, 3)
    return EmpiricalLoss(nn.Sequential(*layers).double(), cross_entropy, x, y, l2=0.03)


@pytest.fixture(scope="module")
def drawn():
    """Thirty diagnoses of one point, by 32 of its 120 unseen samples each."""
    loss = amplified_loss()
    w = fit(loss, 40, max_iterations=40).w
    return loss, w, [quick(loss, 40, w=w, budget=LEAST, seed=seed) for seed in range(30)]


def test_few_derivatives_are_said(drawn):
    for d in drawn[2]:
        assert d.derivatives_of == 32 and d.candidates == d.tail.count == 120
        assert any("rest on 32 of the 120 unseen samples" in doubt for doubt in d.doubts)


def test_samples_that_are_fitted_to_the_last_digit_hide_no_cheap_way():
    """Curvatures of 1e-77 are all rounding; the hardest samples show that dense layers are well."""
    g = torch.Generator().manual_seed(1)
    x = torch.randn(600, 3, generator=g).double()
    torch.manual_seed(0)
    loss = EmpiricalLoss(MLP([3, 4, 2]), cross_entropy, x, (x[:, 0] > 0).long())
    w = fit(loss, 200, tol=1e-4, max_iterations=60).w
    assert float(loss.per_sample(w)[200:].median()) < 1e-9
    assert quick(loss, 200, w=w, budget=LEAST, D=10).derivatives_of == 400


def test_value_parts_rest_on_all_even_so(drawn):
    loss, w, several = drawn
    squares = [x * x for x in surprises(loss, w, 40)[0]]
    for d in several:
        for part in (d.top, d.random, d.full):
            assert float(part.value) == pytest.approx(sum(squares) / 120, rel=1e-9)
        assert d.tail.mean == pytest.approx(sum(squares) / 120, rel=1e-9)


@pytest.mark.parametrize("part", ["cross", "gradient", "curvature"])
def test_drawn_samples_agree_with_all_within_their_error(drawn, part):
    """Top subspace: dense derivatives of all 120. Mean of thirty draws within four errors."""
    loss, w, several = drawn
    plain, U = loss.without_l2(), several[0].pairs.vectors
    g, H = plain.gradient(w, 40), plain.hessian(w, 40)
    exact = []
    for i in range(40, 160):
        c = U.T @ (plain.gradient(w, range(i, i + 1)) - g) / 41
        B = U.T @ (plain.hessian(w, range(i, i + 1)) - H) @ U / 41
        a = float(increments(loss, w, 40)[i - 40])
        exact.append({
            "cross": a * float(B.trace()),
            "gradient": float(c @ c),
            "curvature": float(2 * B.square().sum() + B.trace() ** 2) / 4,
        }[part])  # fmt: skip
    truth = sum(exact) / 120
    got = torch.stack([getattr(d.top, part)[0, D - 1] for d in several])
    scatter = float(got.std())
    # rounding, where all gradients are taken after all
    assert abs(float(got.mean()) - truth) <= 4 * scatter / 30**0.5 + 1e-9 * abs(truth)
    stated = getattr(several[0].top, f"{part}_stderr")
    if part == "gradient":
        assert stated is None and scatter <= 1e-9 * truth
    else:
        errors = torch.stack([getattr(d.top, f"{part}_stderr")[0, D - 1] for d in several])
        assert ((got - truth).abs() <= 4 * errors).double().mean() >= 0.9
        assert 0.6 < float(errors.square().mean().sqrt()) / scatter < 1.7


@pytest.mark.parametrize("part", ["cross", "gradient", "curvature"])
def test_drawn_samples_in_the_whole_space(drawn, part):
    """Dense Hessians of all 120; the directions are random as well."""
    loss, w, several = drawn
    plain = loss.without_l2()
    g, H = plain.gradient(w, 40), plain.hessian(w, 40)
    moved, exact = increments(loss, w, 40).tolist(), []
    for i, a in zip(range(40, 160), moved, strict=True):
        c = (plain.gradient(w, range(i, i + 1)) - g) / 41
        A = (plain.hessian(w, range(i, i + 1)) - H) / 41
        exact.append({
            "cross": a * float(A.trace()),
            "gradient": float(c @ c),
            "curvature": float(2 * A.square().sum() + A.trace() ** 2) / 4,
        }[part])  # fmt: skip
    truth = sum(exact) / 120
    got = torch.stack([getattr(d.full, part).squeeze() for d in several])
    assert abs(float(got.mean()) - truth) <= 4 * float(got.std()) / 30**0.5 + 1e-9 * abs(truth)


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
        if isinstance(value, tuple):
            return [plain(part) for part in value]
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

    for where, name, attribute, of in (
        (module, "fit", "fit", lambda a, o: o["max_iterations"]),
        (along_module, "fit", "fit", lambda a, o: o["max_iterations"]),
        (module, "lowest", "bottom_eigenpairs", lambda a, o: o["max_products"]),
        (module, "trace", "hutchpp_trace", lambda a, o: a[2]),
    ):
        monkeypatch.setattr(where, attribute, noting(name, getattr(where, attribute), of))
    found = quick(loss, budget=Budget(30, 40, 9, 5))
    # w itself is the last point along k: it is not fitted again
    assert asked == {"fit": [30] + 6 * [5], "lowest": [40], "trace": [9]} and found.retrained


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
    ks = found.along.ks
    assert ks == sorted(set(ks)) and ks[-1] == k
    assert torch.isfinite(found.along.means).all() and torch.isfinite(found.band[0]).all()
    # two unseen samples: there are resamples in which nothing is known but that they are equal
    assert (found.band[1] >= found.along.means).all()
    assert torch.isfinite(found.along.stderrs).all()


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
    measured = dataclasses.replace(found.measured, K=found.along.ks[0])
    changes |= {"candidates": 30, "derivatives_of": 30}
    calm = dataclasses.replace(found, **changes, measured=measured)
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
        (lambda d: {"candidates": 9, "derivatives_of": 9}, "Only 9 unseen samples"),
        (lambda d: {"derivatives_of": 29}, "rest on 29 of the 30 unseen samples"),
        (lambda d: {"fitted": False}, "it is too kind"),
        (
            lambda d: {"scale": 5e-4, "grad_norm": 0.0, "unseen_value": 0.1 + d.lowest_loss},
            "hundredth of the loss on unseen",
        ),
        (lambda d: {"tail": dataclasses.replace(d.tail, index=0.71)}, "is 0.71, above 0.7"),
        (lambda d: {"retrained": False}, "not trained anew"),
        (
            lambda d: {"measured": dataclasses.replace(d.measured, K=K)},
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
        lambda d: {"candidates": 25, "derivatives_of": 25},
        lambda d: {"tail": dataclasses.replace(d.tail, index=0.7)},
        lambda d: {"measured": dataclasses.replace(d.measured, K=59)},
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
