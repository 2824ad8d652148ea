"""Two rules for when to stop, and whether they agree.

Oracles: curves whose K can be written down (power laws, laws with a floor), SciPy's spearmanr and
ttest_rel, plain loops. Wrong on purpose: a gain in one step instead of one doubling, a rule that
stops at the first crossing where "for good" is asked, ranks without ties.
"""

import math

import numpy as np
import pytest
from scipy import stats

from landscape_nb import enough_data
from landscape_nb.study import stopping
from landscape_nb.study.agreement import rank_correlation
from landscape_nb.study.settling import stored_settling
from landscape_nb.study.stopping import (
    FloorLaw,
    first_stop,
    flat_k,
    floor_law,
    forecast_settled,
    halvings,
    last_crossing,
    relative_change,
    settled_k,
)

KS = [round(10 * 2 ** (j / 2)) for j in range(13)]  # half doublings to 640
draw = np.random.default_rng(0)


def power_law(b, scale=1.0, floor=0.0, ks=KS):
    return floor + scale * np.array(ks, float) ** -b


def runs(curve, scatter=0.05, count=20, seed=0):
    noise = np.random.default_rng(seed).normal(size=(count, len(curve)))
    return curve * np.exp(scatter * noise)


# -- settled ---------------------------------------------------------------------------------------


def test_relative_change_by_hand():
    T, L = draw.exponential(size=(3, 13)), 1 + draw.exponential(size=(3, 13))
    found = relative_change(KS, T, L)
    for run in range(3):
        for j, k in enumerate(KS):
            assert found[run, j] == pytest.approx(T[run, j] ** 0.5 / (k + 1) / L[run, j])


@pytest.mark.parametrize("share", [0.1, 0.03, 0.01])
def test_settled_k_of_a_constant_ratio(share):
    """sqrt(T) = 3 L: K + 1 = 3/share, whatever L does. Straight only in log(k + 1)."""
    L = np.tile(power_law(0.7), (5, 1))
    found = settled_k(KS, 9 * L**2, L, share)
    assert abs(found.K - (3 / share - 1)) <= 1 + 0.002 / share
    assert found.low == found.K == found.high


def test_settled_k_reads_the_grid_as_enough_data_does():
    L, T = runs(power_law(0.5)), runs(power_law(1.0, 9))
    squares = (relative_change(KS, T, L) ** 2).mean(0)
    on_grid = enough_data(KS, squares.tolist(), 0.01**2)
    found = settled_k(KS, T, L)
    assert KS[KS.index(on_grid) - 1] < found.K <= on_grid
    assert found.low <= found.K <= found.high


def test_the_forecast_agrees_with_its_own_fixed_point():
    """T and L from 10 to 80; K lies beyond, where the tolerance itself is foreseen."""
    ks = KS[:7]
    T, L = power_law(0.9, 40, ks=ks), power_law(0.4, 4, ks=ks)
    errors = {"T_stderrs": 0.1 * T, "loss_stderrs": 0.05 * L}
    found = forecast_settled(ks, T, L, **errors)
    truth = next(k for k in range(80, 9999) if (40 * k**-0.9) ** 0.5 / (k + 1) < 0.04 * k**-0.4)
    assert found.extrapolated and found.low < truth < found.high
    assert found.K == pytest.approx(truth, rel=0.25)
    at_K = 0.01 * 4 * found.K**-0.4
    assert found.tolerance == pytest.approx(at_K**2, rel=0.15)
    assert found.tolerance < (0.01 * L[-1]) ** 2  # that of today is another question


def test_inside_the_measured_range_nothing_is_foreseen():
    T, L = power_law(0.9, 40), power_law(0.4, 4)
    found = forecast_settled(KS, T, L, T_stderrs=0.1 * T, loss_stderrs=0.05 * L)
    assert not found.extrapolated
    r = relative_change(KS, T, L)[0]
    assert abs(KS.index(found.K) - int(np.argmax(r < 0.01))) <= 1


# -- flat ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("b", [0.0, 0.3, 1.0])
def test_a_power_law_halves_as_often_everywhere(b):
    ks, double, h = halvings(KS, power_law(b))
    assert ks == KS[:-2] and double == KS[2:]
    assert h == pytest.approx(b)
    one_step = np.log2(power_law(b)[:-1] / power_law(b)[1:])  # wrong: that is half a doubling
    assert b == 0 or not np.allclose(one_step, b, rtol=0.3)


def test_pairs_that_are_no_doubling_are_left_out():
    assert halvings([10, 15, 20, 26, 52], [5.0, 4.0, 3.0, 2.0, 1.0])[:2] == ([10, 26], [20, 52])


@pytest.mark.parametrize("gain", [0.2, 0.1, 0.07])
def test_flat_k_of_a_law_with_a_floor(gain):
    """1 + 40/k loses 20/k on doubling: gain (1 + 40/k) = 20/k, k = 20/gain - 40."""
    found = flat_k(KS, np.tile(power_law(1.0, 40, 1.0), (4, 1)), gain)
    assert found.K == pytest.approx(20 / gain - 40, rel=0.08)  # rounding of ks, lines between
    assert FloorLaw(1.0, 40 / 640, 1.0, 640).flat_k(gain) == pytest.approx(20 / gain - 40)


def test_flat_means_for_good():
    """A plateau in the middle is not the end: the rule that looks no further stops there."""
    steps = np.array([0.4] * 4 + [0.0] * 3 + [0.4] * 3 + [0.01] * 3)
    ks = [10 * 2**j for j in range(13)]
    L = np.tile(np.exp(-np.cumsum(np.r_[0, steps[:-1]])), (2, 1))
    found = flat_k(ks, L, 0.05)
    assert ks[9] <= found.K <= ks[10]
    _, double, h = halvings(ks, L)
    early = first_stop(ks, h[0], -math.log2(0.95), double)
    assert early.k == ks[5] and early.reached


def test_the_interval_of_flat_k_is_that_of_a_paired_t_test():
    """Low and high lie between ks where a one-sided test at 5 % turns."""
    L, gain = runs(power_law(1.0, 40, 1.0), 0.03), 0.1
    found, at = flat_k(KS, L, gain), math.log(1 - gain)
    larger, smaller = [], []
    for j, k in enumerate(KS[:-2]):
        rest = np.log(L[:, j + 2] / L[:, j])
        rest *= math.log(2) / math.log(KS[j + 2] / k)
        test = stats.ttest_1samp(rest, at)
        larger += [k] if test.pvalue < 0.1 and test.statistic < 0 else []
        smaller += [k] if test.pvalue < 0.1 and test.statistic > 0 else []
    assert max(larger) < found.low <= KS[KS.index(max(larger)) + 1]
    assert found.low < found.K < found.high
    tail = next(j for j in range(11) if set(KS[j:-2]) <= set(smaller))
    assert KS[tail - 1] < found.high <= KS[tail]


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """160 studies of 20 runs; 90 % plus or minus three standard errors."""
    curve = power_law(1.0, 40, 1.0)
    exact = flat_k(KS, np.tile(curve, (2, 1)), 0.1).K
    held = [
        found.low <= exact <= (found.high or math.inf)
        for seed in range(160)
        if (found := flat_k(KS, runs(curve, 0.05, seed=seed), 0.1)).low
    ]
    assert 0.83 <= np.mean(held) <= 0.97
    half = [flat_k(KS, runs(curve, 0.05, seed=seed), 0.1, level=0.5) for seed in range(160)]
    held = [f.low <= exact <= (f.high or math.inf) for f in half if f.low]
    assert 0.35 <= np.mean(held) <= 0.65


def test_last_crossing_is_the_last():
    assert last_crossing([10, 20, 40, 80], [2, 0, 2, 0], 1) == pytest.approx(40 * 2**0.5)
    assert last_crossing([10, 20], [0, 0], 1) == 10
    assert last_crossing([10, 20], [0, 1], 1) is None


@pytest.mark.parametrize(("floor", "scale", "b"), [(1.0, 0.1, 1.0), (0.4, 0.3, 0.6)])
def test_floor_law_finds_a_law(floor, scale, b):
    law = floor_law(KS, floor + scale * (np.array(KS) / 640) ** -b)
    assert (law.floor, law.scale, law.exponent) == pytest.approx((floor, scale, b), rel=1e-3)
    k = law.flat_k(0.02)
    at, later = (law.floor + law.scale * (x / 640) ** -law.exponent for x in (k, 2 * k))
    assert 1 - later / at == pytest.approx(0.02)


def test_a_law_without_a_floor_is_never_flat():
    assert floor_law(KS, power_law(0.3)).flat_k(0.1) is None
    assert FloorLaw(0.0, 1.0, 0.3, 640).flat_k(0.1) is None
    assert FloorLaw(1.0, 1.0, 0.01, 640).flat_k(0.1) == 0.0  # so slow that it is flat everywhere


# -- what a rule costs -----------------------------------------------------------------------------


def test_first_stop_by_a_loop():
    for seed in range(30):
        values = np.random.default_rng(seed).random(11)
        found = first_stop(KS, values, 0.2, needs=KS[2:])
        trained = KS[:2]
        for value, k in zip(values, KS[2:], strict=True):
            trained.append(k)
            if value < 0.2:
                break
        assert (found.k, found.trainings, found.samples) == (k, len(trained), sum(trained))
        assert found.reached == bool((values < 0.2).any())


# -- agreement -------------------------------------------------------------------------------------


def test_rank_correlation_is_spearmans():
    x, y = draw.normal(size=(2, 30))
    found = rank_correlation([(x.tolist(), y.tolist())])
    assert found.value == pytest.approx(stats.spearmanr(x, y).statistic)
    z = np.arctanh(found.value) + np.array([-1, 1]) * 1.96 * (1.06 / 27) ** 0.5
    assert (found.low, found.high) == pytest.approx(np.tanh(z), abs=1e-3)


def test_not_reached_ranks_last_and_equal_to_itself():
    x, y = [3, 1, None, 2, None], [30, 10, 50, None, None]
    found = rank_correlation([(x, y)]).value
    assert found == pytest.approx(stats.spearmanr([3, 1, 9, 2, 9], [30, 10, 50, 99, 99]).statistic)
    assert found != pytest.approx(stats.spearmanr([3, 1, 9, 2, 10], [30, 10, 50, 99, 100])[0])


def test_groups_are_ranked_within():
    """Two groups far apart, each without any order: all at once looks like one."""
    groups = [([1, 2, 3, 4], [2, 4, 1, 3]), ([11, 12, 13, 14], [12, 14, 11, 13])]
    assert rank_correlation(groups).value == pytest.approx(0, abs=1e-12)
    both = [[v for group in groups for v in group[side]] for side in (0, 1)]
    assert stats.spearmanr(*both).statistic > 0.7
    assert rank_correlation(groups).count == 8 and rank_correlation(groups).groups == 2


def test_the_interval_of_a_rank_correlation_covers():
    """200 studies of six groups of 20 normal pairs, correlated at 0.4."""
    truth, held = 6 / math.pi * math.asin(0.2), []
    for seed in range(200):
        x, noise = np.random.default_rng(seed).normal(size=(2, 6, 20))
        y = 0.4 * x + math.sqrt(1 - 0.16) * noise
        found = rank_correlation([(a.tolist(), b.tolist()) for a, b in zip(x, y, strict=True)])
        held.append(found.low <= truth <= found.high)
    assert 0.90 <= np.mean(held) <= 0.99


# -- bad input -------------------------------------------------------------------------------------

FLAT = [[1.0] * 13] * 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: relative_change([3, 2], [1, 1], [1, 1]), "strictly increasing"),
        (lambda: relative_change([2, 3], [1, 1], [1, 0]), "losses must be positive"),
        (lambda: relative_change([2, 3], [1, -1], [1, 1]), "T must be finite and not negative"),
        (lambda: relative_change([2, 3], [1, 1], [1, 1, 1]), "losses must have one number"),
        (lambda: relative_change([2, 3], ["a", "b"], [1, 1]), "T must hold numbers"),
        (lambda: settled_k(KS, FLAT, FLAT, 0), "share must be positive"),
        (lambda: settled_k(KS, FLAT[0], FLAT[0]), "at least two runs"),
        (lambda: halvings([10, 13], [1, 1]), "factor of 2 apart"),
        (lambda: flat_k(KS, FLAT[0]), "at least two runs"),
        (lambda: flat_k(KS, FLAT, 1.0), "gain must be between 0 and 1"),
        (lambda: flat_k(KS, FLAT, 0.1, level=1), "level must be between 0 and 1"),
        (lambda: flat_k(KS, [[math.nan] * 13] * 2), "losses must be finite"),
        (lambda: floor_law([1, 2, 3], [1, 1, 1]), "at least four ks"),
        (lambda: FloorLaw(1, 1, 1, 10).flat_k(0), "gain must be positive"),
        (lambda: rank_correlation([([1, 2, 3], [1, 2, 3])]), "at least four pairs"),
        (lambda: rank_correlation([([1, 1, 1, 1], [1, 2, 3, 4])]), "not all the same"),
        (lambda: rank_correlation([([1, 2, 3, 4], [1, 2, 3, 4])], 2), "level must be"),
        (lambda: rank_correlation([]), "at least one group"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# -- the verdict -----------------------------------------------------------------------------------


def test_the_stored_study_says_what_notebook_05_says():
    """By another route: differences of logarithms at the measured k nearest to K, no lines."""
    rows = [r for r in stored_settling() if r["problem"] == "digits, linear"]
    ks = sorted({r["k"] for r in rows})
    L, T = (np.array([r[c] for r in rows]).reshape(20, -1) for c in ("unseen_loss", "T"))
    K = stopping.settled_k(ks, T, L).K
    assert 200 < K < 270
    at, twice = ks.index(226), ks.index(453)
    assert 0.15 < 1 - np.exp(np.log(L[:, twice] / L[:, at]).mean()) < 0.25
