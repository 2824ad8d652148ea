"""Intervals over seeds.

Oracles: coverage by simulation; the binomial sums written out; SciPy's own t interval.
"""

import math

import numpy as np
import pytest
from scipy import stats

from landscape_nb.theory.intervals import (
    Measured,
    beside_truth,
    geometric_interval,
    mean_interval,
    paired_difference,
    share_interval,
    sign_test,
    two_standard_errors,
)


def test_a_mean_and_its_interval_are_scipys():
    x = np.random.default_rng(0).normal(size=12)
    found = mean_interval(x, 0.9)
    low, high = stats.ttest_1samp(x, 0.0).confidence_interval(0.9)
    assert (found.value, found.low, found.high) == pytest.approx((x.mean(), low, high))
    assert found.count == 12


@pytest.mark.parametrize("n", [3, 10])
def test_it_covers_what_it_says_and_the_range_does_not(n):
    draws = np.random.default_rng(1).normal(size=(4000, n))
    inside = [mean_interval(x) for x in draws]
    assert np.mean([m.low <= 0 <= m.high for m in inside]) == pytest.approx(0.95, abs=0.012)
    spanned = np.mean([x.min() <= 0 <= x.max() for x in draws])
    assert spanned == pytest.approx(1 - 0.5 ** (n - 1), abs=0.02)  # 0.75 for three seeds
    normal = 1.96 * draws.std(axis=1, ddof=1) / math.sqrt(n)  # without Student's correction
    assert np.mean(np.abs(draws.mean(axis=1)) <= normal) < 0.93


def test_pairs_remove_what_seeds_share():
    generator = np.random.default_rng(2)
    common = 10 * generator.normal(size=20)
    a, b = common + generator.normal(size=20) + 1, common + generator.normal(size=20)
    paired, alone = paired_difference(a, b), mean_interval(a)
    assert paired.value == pytest.approx(a.mean() - b.mean())
    assert paired.high - paired.low < 0.2 * (alone.high - alone.low)


@pytest.mark.parametrize(("k", "n"), [(5, 5), (4, 5), (9, 10), (10, 10), (5, 10)])
def test_the_sign_test_sums_binomial_terms(k, n):
    signs = [1.0] * k + [-1.0] * (n - k) + [0.0]
    chance = [math.comb(n, j) / 2**n for j in range(n + 1)]
    assert sign_test(signs) == pytest.approx(sum(c for c in chance if c <= chance[k] + 1e-12))


def test_a_share_never_covers_too_little():
    for p in (0.05, 0.3, 0.5, 0.9):
        chance = stats.binom.pmf(range(11), 10, p)
        found = [share_interval(j, 10) for j in range(11)]
        assert sum(c for c, m in zip(chance, found, strict=True) if m.low <= p <= m.high) >= 0.95


def test_a_geometric_mean_is_a_mean_of_logarithms():
    found, logs = geometric_interval([1.0, 2.0, 8.0]), mean_interval(np.log([1.0, 2.0, 8.0]))
    assert math.log(found.high) == pytest.approx(logs.high)
    assert found.value == pytest.approx(16 ** (1 / 3))


@pytest.mark.parametrize(
    ("measured", "text"),
    [
        (Measured(-2.3456, -2.41, -2.28, 10), "-2.346 [-2.410, -2.280]"),
        (Measured(123.4, 100.2, 146.6, 10), "123 [100, 147]"),
        (Measured(1.234e-7, 1.1e-7, 1.4e-7, 10), "1.23e-07 [1.10e-07, 1.40e-07]"),
        (Measured(0.5, 0.5, 0.5, 10), "0.5"),
    ],
)
def test_the_interval_decides_on_the_digits(measured, text):
    assert str(measured) == text


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_interval([1.0]), "At least 2 values, of different seeds"),
        (lambda: mean_interval([1.0, float("nan")]), "1 of 2 values are not finite"),
        (lambda: mean_interval(["a", "b"]), "values must be numbers"),
        (lambda: mean_interval(3.0), "values must be numbers"),
        (lambda: mean_interval([1.0, 2.0], 1.0), "level must be between 0 and 1"),
        (lambda: geometric_interval([1.0, -1.0]), "positive values; the smallest is -1"),
        (lambda: paired_difference([1.0, 2.0], [1.0, 2.0, 3.0]), "got 2 and 3"),
        (lambda: sign_test([0.0, 0.0]), "not zero"),
        (lambda: share_interval(3, 2), "successes must be between 0 and 2"),
        (lambda: share_interval(0, 0), "trials must be at least 1"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("truth", "words"),
    [(6, "6, lies inside"), (3.8, "3.8, lies inside"), (7.6, "7.6, lies inside"),
     (7.7, "7.7, lies outside"), (3.7, "3.7, lies outside")],
)  # fmt: skip
def test_a_truth_within_the_interval_is_never_called_missed(truth, words):
    assert beside_truth(Measured(5.7, 3.8, 7.6, 8), truth) == f"5.7 [3.8, 7.6]: the truth, {words}"


def test_two_standard_errors_cover_what_they_say():
    draws = np.random.default_rng(3).normal(1.0, 2.0, size=(4000, 400))
    found = [two_standard_errors(x.mean(), x.std(ddof=1) / 20, len(x)) for x in draws]
    assert np.mean([m.low <= 1 <= m.high for m in found]) == pytest.approx(0.9545, abs=0.012)
    assert (found[0].value, found[0].count) == (pytest.approx(draws[0].mean()), 400)
