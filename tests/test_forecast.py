"""The forecast of enough data, against closed forms and simulated curves with a known end.

Oracles: exact power laws, whose crossing a root finder gives; the regression written out with dense
matrices by another route; paths drawn from the model, whose truth is counted.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

import landscape_nb as ln
from landscape_nb.theory.forecast import CALIBRATION, FARTHEST, Calibration, foreseen
from landscape_nb.theory.learning_curve import LOSS_CALIBRATION as LOSS

KS = [60, 85, 120, 170, 240, 339, 480]
k = np.array(KS, float)


def deltas_of(T):
    return (np.asarray(T) / (k + 1) ** 2).tolist()


def crossing(T, tolerance, start=480.0):
    """Smallest whole K with T(K)/(K+1)^2 below the tolerance, by a root finder."""
    root = optimize.brentq(lambda x: T(x) - tolerance * (x + 1) ** 2, start, 1e9)
    return math.floor(root) + 1


# -- the two scenarios -----------------------------------------------------------------------------


@pytest.mark.parametrize("T, tolerance", [(4.1, 1e-6), (0.3, 5e-8), (2.0, 3e-6)])
def test_if_learning_stopped_only_arithmetic_is_left(T, tolerance):
    found = ln.forecast_enough(KS, deltas_of([T] * 7), tolerance)
    assert found.if_stopped.K == math.floor(math.sqrt(T / tolerance) - 1) + 1
    assert found.exponent == pytest.approx(0, abs=1e-12)


def test_the_one_counts_where_k_is_small():
    """sqrt(T/tolerance), without the - 1, would answer 11."""
    found = ln.forecast_enough([2, 3], [4 / 9, 4 / 16], 4 / 10.5**2)
    assert found.if_stopped.K == 10


@pytest.mark.parametrize("b", [0.3, 0.8, 1.5])
def test_an_exact_law_goes_on(b):
    found = ln.forecast_enough(KS, deltas_of(50 * k**-b), 1e-9)
    assert found.exponent == pytest.approx(b, abs=1e-9)
    K = crossing(lambda x: 50 * x**-b, 1e-9)
    assert abs(found.if_continued.K - K) <= 1
    # the slope of log Delta taken as that of T would foresee fewer
    assert found.if_continued.K > 1.2 * crossing(lambda x: 50 * 480**2 * x ** (-b - 2), 1e-9)


def test_the_joint_forecast_is_between_for_an_ordinary_curve():
    found = ln.forecast_enough(KS, deltas_of(50 * k**-1.4), 1e-9)
    assert found.if_continued.K < found.K < found.if_stopped.K
    assert found.low < found.if_continued.K and found.if_stopped.K < found.high


def test_a_rising_T_follows_no_law():
    found = ln.forecast_enough(KS, deltas_of(0.01 * k**0.4), 1e-7)
    assert found.if_continued is None and found.exponent == pytest.approx(-0.4)
    assert found.low < found.K < found.high


# -- the joint model -------------------------------------------------------------------------------


def by_kriging(log_T, relative, far, c=CALIBRATION):
    """The same posterior by conditioning one joint normal law, a vague level included."""
    x = np.log(np.append(k, far) / k[-1])
    wander = np.minimum.outer(np.abs(x), np.abs(x)) * (np.sign(x)[:, None] == np.sign(x))
    prior = 1e4 + c.spread**2 * np.outer(x, x) + c.drift**2 * wander
    sd = np.hypot(c.tails * relative, c.floor)
    noise = c.shared * np.outer(sd, sd) + (1 - c.shared) * np.diag(sd**2)
    m = len(k)
    gain = np.linalg.solve(prior[:m, :m] + noise, prior[:m, m:]).T
    seen = log_T + c.skew * relative**2 + c.exponent * x[:m]
    mean = -c.exponent * x[m:] + gain @ seen
    return mean, np.sqrt(np.diag(prior[m:, m:] - gain @ prior[:m, m:]))


def test_the_joint_model_is_a_conditional_normal_law():
    noise = np.random.default_rng(0)
    log_T, relative = np.log(50 * k**-1.2) + noise.normal(0, 0.2, 7), noise.uniform(0.1, 0.5, 7)
    far = np.array([480.0, 700.0, 2000.0, 9000.0])
    for got, wanted in zip(
        foreseen(k, log_T, relative, far), by_kriging(log_T, relative, far), strict=True
    ):
        np.testing.assert_allclose(got, wanted, rtol=1e-4)


def test_the_ends_are_quantiles_of_the_joint_model():
    deltas = np.array(deltas_of(50 * k**-1.2))
    found = ln.forecast_enough(KS, deltas, 1e-8, stderrs=0.3 * deltas)
    q = CALIBRATION.stretch * stats.t.ppf(0.95, CALIBRATION.freedom)
    for end, sign in ((found.low, -1), (found.K, 0), (found.high, 1)):
        mean, sd = by_kriging(np.log(50 * k**-1.2), np.full(7, 0.3), np.array([float(end)]))
        D = mean[0] + sign * q * sd[0] - 2 * math.log(end + 1)
        assert D == pytest.approx(math.log(1e-8), abs=0.005)


def simulated(c, generator, later):
    """Log T at KS and later, drawn from the model forwards in k."""
    x = np.log(np.append(k, later))
    steps = generator.normal(0, c.drift * np.sqrt(np.diff(x)))
    b = generator.normal(c.exponent, c.spread)
    path = 3 - b * (x - x[0]) + np.append(0, np.cumsum(steps))
    relative = np.full(7, 0.2)
    sd = np.hypot(c.tails * relative, c.floor)
    shared, own = generator.normal(), generator.normal(size=7)
    noise = sd * (math.sqrt(c.shared) * shared + math.sqrt(1 - c.shared) * own)
    return path[:7] + noise - c.skew * relative**2, path[7:], relative


def test_curves_from_the_model_are_covered_as_often_as_promised():
    """With normal errors (many degrees of freedom) and no stretch, 90 % means 90 %."""
    c = Calibration(freedom=1e6, stretch=1.0)
    generator, hits, stopped = np.random.default_rng(1), 0, 0
    for _ in range(400):
        later = np.array([4 * 480.0])
        log_T, (truth,), relative = simulated(c, generator, later)
        deltas = np.exp(log_T) / (k + 1) ** 2
        tolerance = math.exp(truth) / (later[0] + 1) ** 2
        f = ln.forecast_enough(KS, deltas, tolerance, stderrs=relative * deltas, calibration=c)
        hits += f.low <= later[0] + 1 and (f.high is None or f.high >= later[0])
        stopped += f.if_stopped.low <= later[0] + 1 and f.if_stopped.high >= later[0]
    assert abs(hits / 400 - 0.9) < 0.045  # three standard errors
    assert stopped / 400 < 0.7  # T as it is covers with its own noise far too seldom


def test_a_higher_level_and_a_farther_end_are_wider():
    ends = [
        ln.forecast_enough(KS, deltas_of(50 * k**-1.0), tolerance, level=level)
        for tolerance, level in ((1e-8, 0.5), (1e-8, 0.9), (1e-9, 0.9))
    ]
    widths = [f.high / f.low for f in ends]
    assert widths == sorted(widths)


# -- inside the measured range, and far beyond it --------------------------------------------------


def test_inside_the_measured_range_the_measurements_answer():
    found = ln.forecast_enough(KS, deltas_of(50 * k**-1.2), 1e-5)
    assert found.K == ln.enough_data(KS, deltas_of(50 * k**-1.2), 1e-5) == 170
    assert not found.extrapolated and found.factor == 170 / 480
    assert str(found).startswith("already enough: 170 samples (90 %: ")


def test_one_k_and_no_change_at_all():
    one = ln.forecast_enough([480], [1e-5], 1e-6)
    assert one.if_continued is one.exponent is None and one.low < one.K < one.high
    assert one.if_stopped.K == math.floor(481 * math.sqrt(10) - 1) + 1
    two = ln.forecast_enough([240, 480], [1e-4, 1e-5], 1e-6)
    assert two.exponent == pytest.approx(math.log(10 * 241**2 / 481**2) / math.log(2))
    assert two.exponent_stderr > 0
    nothing = ln.forecast_enough(KS, [0.0] * 7, 1e-6)
    assert (nothing.K, nothing.low, nothing.high) == (60, 60, 60)
    some = ln.forecast_enough([240, 339, 480], [1e-4, 0.0, 1e-5], 1e-6)
    two = ln.forecast_enough([240, 480], [1e-4, 1e-5], 1e-6)
    assert (some.K, some.low, some.high) == (two.K, two.low, two.high)


def test_too_far_is_said_in_words():
    far = ln.forecast_enough(KS, deltas_of([4.0] * 7), 1e-12)
    assert far.K is far.high is far.factor is None and far.extrapolated
    assert far.low > FARTHEST * 480
    assert str(far).startswith("more than can be said (90 %: more than ")
    farther = ln.forecast_enough(KS, deltas_of([4.0] * 7), 1e-30)
    assert farther.low is farther.if_stopped.K is None
    assert str(farther) == (
        "more than can be said (over 30 times what was measured, k = 480; extrapolated)"
    )


def test_the_line_is_plain():
    found = ln.Forecast(
        1287, 904, 2119, 0.9, ln.forecast_enough([9], [1.0], 0.5).if_stopped, None, None, None, 1.0,
        480,
    )  # fmt: skip
    assert str(found) == "about 1 300 samples (90 %: 900 to 2 100; extrapolated from 480)"


# -- what must not matter --------------------------------------------------------------------------

curve = st.lists(st.floats(1e-6, 1e-3), min_size=7, max_size=7)


@given(curve, st.integers(-8, 8))
def test_the_unit_of_the_loss_does_not_matter(deltas, power):
    unit = 4.0**power
    here, there = (ln.forecast_enough(KS, [d * c for d in deltas], 1e-7 * c) for c in (1, unit))
    assert (here.K, here.low, here.high) == (there.K, there.low, there.high)
    assert here.if_stopped == there.if_stopped


def test_runs_are_averaged_in_any_order():
    runs = torch.tensor([deltas_of(c * k**-1.2) for c in (20.0, 50.0, 90.0, 60.0)])
    found = ln.forecast_enough(KS, runs, 1e-8)
    assert found == ln.forecast_enough(KS, runs.flip(0), 1e-8)
    assert found == ln.forecast_enough(tuple(KS), runs.numpy(), 1e-8)
    # runs that scatter tell less than runs that agree
    same = ln.forecast_enough(KS, runs.mean(0).expand(4, 7), 1e-8)
    assert found.if_stopped.K == same.if_stopped.K
    assert found.high / found.low > same.high / same.low


def test_noise_that_is_known_is_used():
    deltas = torch.tensor(deltas_of(50 * k**-1.2))
    few, many = (ln.forecast_enough(KS, deltas, 1e-8, stderrs=r * deltas) for r in (0.6, 0.05))
    assert few.high / few.low > 1.2 * many.high / many.low
    assert few.if_stopped.K == many.if_stopped.K


# -- the loss --------------------------------------------------------------------------------------


def test_the_loss_is_foreseen_by_the_same_regression():
    losses = 3 * k**-0.4
    found = ln.forecast_loss(KS, losses, 960, stderrs=0.1 * losses)
    from_curve = by_kriging(np.log(losses), np.full(7, 0.1), np.array([960.0]), LOSS)
    assert math.log(found.value) == pytest.approx(from_curve[0][0], abs=1e-4)
    q = LOSS.stretch * stats.t.ppf(0.95, LOSS.freedom)
    assert math.log(found.high / found.low) == pytest.approx(2 * q * from_curve[1][0], rel=1e-4)
    assert found.low < found.value < found.last < 3 * 480**-0.4 * 1.001


def test_the_loss_has_a_unit_and_no_more():
    losses = [0.4, 0.3, 0.25]
    a, b = (ln.forecast_loss([10, 20, 40], [c * v for v in losses], 160) for c in (1, 8))
    assert (b.value, b.low, b.high) == pytest.approx((8 * a.value, 8 * a.low, 8 * a.high))
    near = ln.forecast_loss([10, 20, 40], losses, 80)
    assert near.high / near.low < a.high / a.low
    assert str(near).startswith("0.25 at k = 40, about 0.")


# -- bad input -------------------------------------------------------------------------------------

NAN = float("nan")


@pytest.mark.parametrize(
    "arguments, options, sentence",
    [
        (([1, 2], [1.0], 1.0), {}, r"deltas must have one number for each of the 2 ks.*\(1,\)"),
        (([1, 2], [[[1.0, 2.0]]], 1.0), {}, r"shape \(2,\) or \(R, 2\); got shape \(1, 1, 2\)"),
        (([1, 2], [1.0, NAN], 1.0), {}, "deltas must be finite and not negative"),
        (([1, 2], [1.0, -1.0], 1.0), {}, "deltas must be finite and not negative"),
        (([1, 2], "ab", 1.0), {}, "deltas must hold numbers, one for each of the 2 ks"),
        (([1, 2], [True, False], 1.0), {}, "deltas must hold numbers"),
        (([2, 1], [1.0, 2.0], 1.0), {}, "strictly increasing"),
        (([], [], 1.0), {}, "ks is empty"),
        (([1.5, 2], [1.0, 2.0], 1.0), {}, "whole number"),
        (([1, 2], [1.0, 2.0], 0.0), {}, "tolerance must be positive"),
        (([1, 2], [1.0, 2.0], NAN), {}, "tolerance must be positive"),
        (([1, 2], [1.0, 2.0], "1"), {}, "tolerance must be one positive number"),
        (([1, 2], [1.0, 2.0], 1.0), {"level": 1.0}, "level must be between 0 and 1"),
        (([1, 2], [1.0, 2.0], 1.0), {"stderrs": [0.1]}, r"as deltas; got shape \(1,\)"),
        (([1, 2], [1.0, 2.0], 1.0), {"stderrs": [0.1, -1]}, "stderrs must be finite and not"),
    ],
)
def test_bad_input(arguments, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        ln.forecast_enough(*arguments, **options)


@pytest.mark.parametrize(
    "arguments, options, sentence",
    [
        (([1, 2], [1.0, 0.0], 4), {}, "losses must be positive: a power law"),
        (([1, 2], [1.0], 4), {}, "losses must have one number for each of the 2 ks"),
        (([1, 2], [1.0, 0.5], 1), {}, "k must be between 2 and 60"),
        (([1, 2], [1.0, 0.5], 61), {}, "k must be between 2 and 60"),
        (([1, 2], [1.0, 0.5], 4.0), {}, "k must be a whole number"),
        (([1, 2], [1.0, 0.5], 4), {"level": 2.0}, "level must be between 0 and 1"),
        (([1, 2], [1.0, 0.5], 4), {"stderrs": [1.0]}, "stderrs must have one number"),
    ],
)
def test_bad_input_of_the_loss(arguments, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        ln.forecast_loss(*arguments, **options)
