"""The enough-data rule against its definition; its intervals against curves whose K is known."""

import itertools
import math
import pickle

import numpy as np
import pytest
import torch
from draws import generator
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from landscape_nb import enough_data, enough_data_interval, one_run_interval
from landscape_nb.theory.bands import mean_band, one_run_band

delta = st.sampled_from([0.1, 0.5, 0.999, 1.0, 1.5, 9.0])


@given(st.lists(delta, min_size=1, max_size=8))
def test_enough_data_is_its_definition(deltas):
    ks = [3 * j + 1 for j in range(len(deltas))]
    staying = [k for j, k in enumerate(ks) if all(d < 1.0 for d in deltas[j:])]
    assert enough_data(ks, deltas, 1.0) == (min(staying) if staying else None)


def test_the_first_noisy_crossing_is_not_enough():
    assert enough_data([10, 20, 40, 80], [9.0, 0.5, 2.0, 0.3], 1.0) != 20


@pytest.mark.parametrize(
    "ks, deltas, tolerance, sentence",
    [
        ([1, 2], [1.0], 1.0, "one finite number for each of the 2 ks"),
        ([1], [float("nan")], 1.0, "one finite number"),
        ([1], ["much"], 1.0, "deltas must hold real numbers"),
        ([1, 2], [True, False], 1.0, "deltas must hold real numbers"),
        ([2, 1], [1.0, 2.0], 1.0, "strictly increasing"),
        ([1, 2], [1.0, 2.0], 0.0, "tolerance must be positive"),
    ],
    ids=["unequal", "nan", "text", "bools", "unsorted", "tolerance 0"],
)
def test_bad_input(ks, deltas, tolerance, sentence):
    with pytest.raises(ValueError, match=sentence):
        enough_data(ks, deltas, tolerance)


# -- coverage, where K is known ------------------------------------------------------------------

# thousands of samples: rounding to whole ones is nothing beside the scatter
FINE = [round(10_000 * 2 ** (j / 2)) for j in range(11)]
TRUE_K = 73_000.0
REPETITIONS = 400
ERROR = 3 * (0.9 * 0.1 / REPETITIONS) ** 0.5  # three binomial standard errors of 90 %


def mean_at(k):
    """The true mean curve, a power law that is 1 at the true K."""
    return (np.asarray(k) / TRUE_K) ** -2.5


def log_normal_rows(draw, rows, scatter):
    """Rows with that mean, log-normal, neighbouring k correlated as in real runs (0.6)."""
    steps = draw.standard_normal((rows, len(FINE)))
    for j in range(1, len(FINE)):
        steps[:, j] = 0.6 * steps[:, j - 1] + 0.8 * steps[:, j]
    return mean_at(FINE) * np.exp(scatter * steps - scatter**2 / 2)


def by_the_package(rows, _):
    found = enough_data_interval(FINE, rows, 1.0)
    return found.low or math.inf, found.high or math.inf


def by_next_samples(rows, draw):
    source = generator(int(draw.integers(2**31)))
    found = one_run_interval(FINE, rows, 1.0, source, num_resamples=400)
    return found.low or math.inf, found.high or math.inf


def inverted(low, high):
    """Ends from the edges of a band that falls with k."""
    at = [np.interp(0, -np.log(edge), np.log(FINE)) for edge in (low, high)]
    return np.exp(at[0]), np.exp(at[1])


def by_percentiles(rows, draw):
    """The percentile bootstrap of the mean curve."""
    drawn = draw.multinomial(len(rows), [1 / len(rows)] * len(rows), size=500) / len(rows)
    return inverted(*np.quantile(drawn @ rows, [0.05, 0.95], axis=0))


def by_the_normal_law(rows, _):
    """Student's t forgotten: 1.645 standard errors of the log."""
    half = 1.645 * np.log(rows).std(0, ddof=1) / len(rows) ** 0.5
    return inverted(rows.mean(0) * np.exp(-half), rows.mean(0) * np.exp(half))


def coverage(interval, rows, scatter):
    draw = np.random.default_rng(rows)
    held = 0
    for _ in range(REPETITIONS):
        low, high = interval(log_normal_rows(draw, rows, scatter), draw)
        held += low <= TRUE_K <= high
    return held / REPETITIONS


@pytest.mark.parametrize("R", [3, 5, 10])
def test_nine_intervals_in_ten_hold_the_true_K(R):
    assert abs(coverage(by_the_package, R, 0.4) - 0.9) < ERROR


def test_two_runs_hold_it_at_least_as_often():
    """Two runs tell s at each k badly: the widest edges of all k push the ends apart."""
    assert coverage(by_the_package, 2, 0.4) > 0.9 - ERROR


@pytest.mark.parametrize(
    "wrong, R", [(by_percentiles, 3), (by_percentiles, 5), (by_the_normal_law, 3)]
)
def test_the_same_check_refuses(wrong, R):
    assert coverage(wrong, R, 0.4) < 0.9 - ERROR


def test_one_run_holds_the_true_K_though_few_samples_carry_it():
    """Scatter 1.5: the hardest 5 % of the samples carry 44 % of the mean."""
    assert abs(coverage(by_next_samples, 120, 1.5) - 0.9) < 0.05
    assert coverage(by_percentiles, 120, 1.5) < 0.85


# -- the band, and its inversion -----------------------------------------------------------------

KS = [10, 20, 40, 80]
FALLING = torch.tensor([9.0, 2.0, 0.4, 0.1])


def some_runs(R, seed=1, scatter=0.3):
    noise = torch.randn(R, 4, generator=generator(seed), dtype=torch.float64)
    return FALLING * (scatter * noise).exp()


def test_band_of_runs_is_students_interval_of_the_log():
    curves = some_runs(5)
    s = curves.log().numpy().std(0, ddof=1)
    error = np.sqrt(s**2 / 5 + s**4 / 8)
    low, high = stats.t.interval(0.8, 4, np.log(curves.numpy().mean(0)), error)
    found = mean_band(curves, 0.8)
    np.testing.assert_allclose(found[0], np.exp(low), rtol=1e-12)
    np.testing.assert_allclose(found[1], np.exp(high), rtol=1e-12)


def test_band_of_next_samples_is_students_where_nothing_is_heavy():
    squares = 1 + 0.1 * torch.randn(3000, 2, generator=generator(2), dtype=torch.float64)
    low, high = one_run_band(squares, generator(), num_resamples=4000)
    expected = stats.t.interval(0.9, 2999, squares.mean(0), squares.std(0) / 3000**0.5)
    np.testing.assert_allclose(
        low - squares.mean(0), expected[0] - squares.mean(0).numpy(), rtol=0.1
    )
    np.testing.assert_allclose(
        high - squares.mean(0), expected[1] - squares.mean(0).numpy(), rtol=0.1
    )


def test_band_of_next_samples_counts_resamples():
    """Four samples have 256 resamples, all equally likely: their exact quantiles are the oracle."""
    x = np.array([1.0, 2.0, 4.0, 9.0])
    drawn = x[np.array(list(itertools.product(range(4), repeat=4)))]
    mean, error = drawn.mean(1), drawn.std(1, ddof=1) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        T = np.sort((np.log(mean) - np.log(4)) / (error / mean))
    se, t = x.std(ddof=1) / 2 / 4, stats.t.ppf(0.75, 3)
    low, high = one_run_band(x[:, None], generator(), num_resamples=100_000, level=0.5)
    up, down = max(t, -T[64]) * se, max(t, T[191]) * se
    assert float(high) == pytest.approx(4 * np.exp(up), rel=0.02)
    assert float(low) == pytest.approx(4 * np.exp(-down), rel=0.02)
    assert up > 1.1 * t * se  # skewness lifts the upper edge


def test_at_both_ends_an_edge_of_the_band_meets_the_tolerance():
    ks, curves = [1000 * k for k in KS], some_runs(4)
    found = enough_data_interval(ks, curves, 1.0)
    for end, edge in zip((found.low, found.high), mean_band(curves), strict=True):
        assert np.interp(np.log(end), np.log(ks), edge.log()) == pytest.approx(0, abs=1e-3)


def curves_of(ks):
    """Two to four curves over so many k."""
    number = st.floats(0.01, 100)
    return st.lists(st.lists(number, min_size=ks, max_size=ks), min_size=2, max_size=4)


@given(st.lists(st.floats(0.01, 100), min_size=2, max_size=8))
def test_K_lies_behind_the_last_k_above_and_rounds_up_to_the_rule(deltas):
    ks = [16 * 4**j for j in range(len(deltas))]
    found, on_grid = enough_data_interval(ks, [deltas, deltas], 1.0), enough_data(ks, deltas, 1.0)
    if on_grid in (None, ks[0]):
        assert found.K == on_grid
    else:
        assert on_grid / 4 <= found.K <= on_grid
    late = [math.inf if k is None else k for k in (found.low, found.K, found.high)]
    assert late == sorted(late)


@given(st.integers(1, 8).flatmap(curves_of))
def test_ends_are_in_order_whatever_the_curves(curves):
    ks = [10 * 2**j for j in range(len(curves[0]))]
    found = enough_data_interval(ks, curves, 1.0)
    late = [math.inf if k is None else k for k in (found.low, found.K, found.high)]
    assert late == sorted(late)


def test_K_is_read_off_a_straight_line_in_logarithms():
    """From 2 to 1/2 the tolerance 1 is met halfway: at the geometric mean."""
    found = enough_data_interval([100, 400], [[2.0, 0.5]] * 3, 1.0)
    assert (found.K, found.low, found.high) == (200, 200, 200)


def test_K_is_rounded_up_but_not_for_rounding_of_its_own():
    assert enough_data_interval([10, 20], [[2.0, 0.5]] * 3, 1.0).K == 15  # 14.14
    found = enough_data_interval([5, 40], [[4.0, 0.5]] * 3, 1.0)  # 5 8^(2/3) is 20 and a bit
    assert (found.K, found.low, found.high) == (20, 20, 20)


def test_a_curve_that_rises_again_counts_from_its_last_crossing():
    found = enough_data_interval(KS, [[0.5, 2.0, 2.0, 0.5]] * 3, 1.0)
    assert found.K == found.high == 57  # 40 sqrt 2
    assert found.low == found.first == 10  # the first k that the band does not exclude
    loose = [[9.0, 5.0, 2.0, 0.1], [9.0, 0.2, 2.0, 0.1], [9.0, 0.1, 2.0, 0.1]]
    assert enough_data_interval(KS, loose, 1.0).low < 20  # though 2.0 at 40 is certain


# -- invariances ----------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", [1e-200, 7.0, 1e200])
def test_the_unit_of_the_loss_does_not_matter(unit):
    curves = some_runs(4)
    curves[1, 2] = 0.0
    assert enough_data_interval(KS, curves, 1.0) == enough_data_interval(KS, unit * curves, unit)
    squares = some_runs(40, scatter=1.0)
    one = one_run_interval(KS, squares, 1.0, generator())
    assert one == one_run_interval(KS, unit * squares, unit, generator())


def test_the_order_of_the_runs_does_not_matter():
    curves = some_runs(5)
    assert enough_data_interval(KS, curves, 1.0) == enough_data_interval(KS, curves.flip(0), 1.0)


def test_every_kind_of_table_is_taken():
    curves = some_runs(3)
    found = enough_data_interval(KS, curves, 1.0)
    assert found == enough_data_interval(torch.tensor(KS), curves.tolist(), 1.0)
    assert found == enough_data_interval(np.array(KS), curves.numpy(), 1.0)
    assert found == enough_data_interval(KS, curves.clone().requires_grad_(), 1.0)
    assert found == enough_data_interval(KS, curves, 1.0, generator(), num_resamples=5)
    assert found.K == enough_data_interval(KS, curves.float(), 1.0).K
    assert found == pickle.loads(pickle.dumps(found))


def test_one_run_repeats_itself_with_its_generator():
    squares = some_runs(40, scatter=1.0)
    ends = [one_run_interval(KS, squares, 1.0, generator(s), num_resamples=50) for s in (0, 0, 1)]
    assert ends[0] == ends[1] != ends[2]


def test_a_wider_level_gives_a_wider_interval():
    found = [enough_data_interval(KS, some_runs(7), 1.0, level=p) for p in (0.5, 0.9, 0.99)]
    assert all(a.low > b.low and a.high < b.high for a, b in itertools.pairwise(found))


# -- edges -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("R", [2, 3])
def test_runs_that_agree_leave_no_doubt(R):
    found = enough_data_interval(KS, [[9.0, 2.0, 0.5, 0.1]] * R, 1.0)
    assert (found.K, found.low, found.high, found.reached) == (29, 29, 29, True)
    assert str(found) == "29 (90 %)"


def test_not_reached_is_no_guess():
    found = enough_data_interval(KS, [[9.0, 2.0, 1.5, 1.1]] * 3, 1.0)
    assert (found.K, found.low, found.high, found.reached) == (None, None, None, False)
    assert str(found) == "not reached by 80 (90 %)"
    up_again = enough_data_interval(KS, [[9.0, 0.5, 0.5, 2.0]] * 3, 1.0)
    assert (up_again.K, up_again.low, up_again.reached) == (None, None, False)


def test_before_the_first_k_is_no_guess_either():
    found = enough_data_interval(KS, [[0.9, 0.5, 0.2, 0.1]] * 3, 1.0)
    assert (found.K, found.low, found.high, found.reached) == (10, 10, 10, True)
    assert str(found) == "before 10 (90 %)"


def test_what_the_interval_leaves_open_is_said():
    curves = [[9.0, 2.0, 1.4, 0.4], [9.0, 2.0, 0.5, 0.4], [9.0, 0.1, 0.2, 1.8]]
    found = enough_data_interval(KS, curves, 1.0)
    assert found.reached is None
    assert str(found) == "28 (90 %: 13 to not reached by 80)"
    wide = enough_data_interval(KS, [[9.0, 2.0, 0.9, 0.5], [9.0, 2.0, 0.1, 0.2]], 1.0)
    assert str(wide) == "29 (90 %: 21 to not reached by 80)"  # two runs: t is 6.3
    early = enough_data_interval(KS, [[1.5, 0.2, 0.1, 0.01], [0.9, 0.3, 0.1, 0.01]], 1.0)
    assert str(early) == "11 (90 %: before 10 to 20)"


def test_a_tolerance_that_is_met_exactly_is_not_yet_below():
    assert enough_data_interval([5], [[1.0]] * 2, 1.0).K is None
    assert enough_data_interval([5, 10], [[2.0, 1.0]] * 2, 1.0).K is None


def test_one_k_says_on_which_side_it_lies():
    assert str(enough_data_interval([5], [[0.1]] * 2, 1.0)) == "before 5 (90 %)"
    assert str(enough_data_interval([5], [[7.0]] * 2, 1.0)) == "not reached by 5 (90 %)"


def test_zeros_are_below_every_tolerance():
    """No slope leads to minus infinity: K is the k where they were measured, low the one before."""
    found = enough_data_interval(KS, [[9.0, 2.0, 0.0, 0.0]] * 3, 1.0)
    assert (found.K, found.low, found.high) == (40, 20, 40)
    low, high = mean_band([[1.0, 0.0], [0.0, 0.0], [2.0, 0.0]])
    assert 0 < low[0] < 1 < high[0] < math.inf
    assert low[1] == high[1] == 0
    assert enough_data_interval(KS, [[0.0] * 4] * 2, 1e-300).K == 10


def test_next_samples_of_which_one_counts_have_no_upper_end():
    """A third of the resamples miss it: what comes next may be far more, or nothing."""
    squares = torch.zeros(50, 4, dtype=torch.float64)
    squares[7] = 50 * FALLING
    low, high = one_run_band(squares, generator())
    assert (high == math.inf).all() and (low > 0).all()
    found = one_run_interval(KS, squares, 1.0, generator())
    assert found.K == 27 and found.high is None
    nothing = one_run_interval(KS, torch.zeros(50, 4), 1.0, generator())
    assert (nothing.K, nothing.low, nothing.high) == (10, 10, 10)


def test_next_samples_that_agree_leave_no_doubt():
    found = one_run_interval(KS, [[9.0, 2.0, 0.5, 0.1]] * 6, 1.0, generator())
    assert (found.K, found.low, found.high) == (29, 29, 29)


def test_each_interval_names_the_scatter_that_it_speaks_of():
    runs = enough_data_interval(KS, some_runs(3), 1.0).scatter
    one = one_run_interval(KS, some_runs(9), 1.0, generator()).scatter
    assert "seeds" in runs and "next samples only" in one


@pytest.mark.parametrize(
    "curves, options, sentence",
    [
        ([[1.0, 2.0, 3.0, 4.0]], {}, "at least two"),
        ([1.0, 2.0, 3.0, 4.0], {}, "at least two"),
        ([], {}, "at least two"),
        ([[1.0, 2.0]] * 3, {}, "one number for each of the 4 ks"),
        ([[1.0] * 4, [1.0] * 3], {}, "as many in each row"),
        ([["a"] * 4] * 3, {}, "must hold real numbers"),
        ([[True] * 4] * 3, {}, "must hold real numbers"),
        (None, {}, "must hold real numbers"),
        ([[1.0, -1.0, 1.0, 1.0]] * 3, {}, "finite and not negative"),
        ([[1.0, math.nan, 1.0, 1.0]] * 3, {}, "finite and not negative"),
        ([[1.0, math.inf, 1.0, 1.0]] * 3, {}, "finite and not negative"),
        ([[1.0] * 4] * 3, {"level": 1.0}, "level must be between 0 and 1"),
        ([[1.0] * 4] * 3, {"level": 0.0}, "level must be positive"),
        ([[1.0] * 4] * 3, {"tolerance": -1.0}, "tolerance must be positive"),
        ([[1.0] * 4] * 3, {"ks": [4, 3, 2, 1]}, "strictly increasing"),
    ],
)
def test_bad_input_of_the_intervals(curves, options, sentence):
    asked = {"ks": KS, "tolerance": 1.0, **options}
    with pytest.raises(ValueError, match=sentence):
        enough_data_interval(curves=curves, **asked)
    with pytest.raises(ValueError, match=sentence):
        one_run_interval(squares=curves, generator=generator(), **asked)


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"num_resamples": 0}, "num_resamples must be"),
        ({"num_resamples": 2.5}, "num_resamples must be a whole number"),
        ({"generator": 3}, "generator must be a torch.Generator"),
    ],
)
def test_bad_input_of_the_resamples(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        one_run_band([[1.0], [2.0]], **{"generator": generator(), **options})
