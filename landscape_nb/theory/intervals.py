"""What several seeds say together: a mean or a share with its interval, and a test of signs.

The interval of a mean is Student's t: exact for normal values, and for the ten seeds and more of
the stored studies a fair one for most others. A smallest and a largest value are no interval: three
seeds span the median of all seeds with probability 3/4 only, and say nothing of the mean.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import scipy

from landscape_nb.numerics import checks


@dataclass(frozen=True)
class Measured:
    """A number that was measured, with its interval; printed with the digits that it supports.

    Attributes:
        value: the estimate.
        low, high: ends of the interval.
        count: seeds, or trials, on which it rests.

    >>> print(Measured(-2.3456, -2.41, -2.28, 10))
    -2.346 [-2.410, -2.280]
    """

    value: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        ends = (self.value, self.low, self.high)
        sides = [side for side in (self.value - self.low, self.high - self.value) if side > 0]
        if not sides or not math.isfinite(sum(sides)):
            return f"{self.value:.4g}"
        finest = math.floor(math.log10(min(sides)))
        largest = max(abs(end) for end in ends)
        if not 1e-3 <= largest < 1e6:
            digits = min(max(1, math.floor(math.log10(largest)) - finest + 1), 3)
            text = [f"{end:.{digits}e}" for end in ends]
        else:
            text = [f"{end:.{min(max(0, 1 - finest), 6)}f}" for end in ends]
        return f"{text[0]} [{text[1]}, {text[2]}]"


def two_standard_errors(value: float, stderr: float, count: int) -> Measured:
    """A Monte Carlo average with two of its standard errors to either side.

    >>> print(two_standard_errors(5.7, 0.95, 8))
    5.7 [3.8, 7.6]
    """
    value, half = float(value), 2 * float(stderr)
    return Measured(value, value - half, value + half, count)


def beside_truth(measured: Measured, truth: float) -> str:
    """An estimate beside a known truth, judged by its interval and not by its value.

    >>> beside_truth(Measured(5.7, 3.8, 7.6, 8), 6)
    '5.7 [3.8, 7.6]: the truth, 6, lies inside'
    >>> beside_truth(Measured(0.32, 0.31, 0.33, 150), 1 / 3)
    '0.320 [0.310, 0.330]: the truth, 0.3333, lies outside'
    """
    inside = measured.low <= truth <= measured.high
    return f"{measured}: the truth, {truth:.4g}, lies {'inside' if inside else 'outside'}"


def without_interval(value: float, count: int = 1) -> Measured:
    """A number that has no scatter to judge it by: a p-value, the worst case of an identity.

    >>> print(without_interval(0.0625))
    0.0625
    """
    return Measured(value, value, value, count)


def mean_interval(values: Iterable[float], level: float = 0.95) -> Measured:
    """Mean of independent values, one for each seed, with Student's t interval.

    mean +- t_{n-1} s / sqrt(n),  s^2 the sample variance (ddof = 1)

    Args:
        values: (n,), at least two.
        level: of the interval (0.95: chosen here).

    Returns:
        The mean with its ends, in the units of the values.

    Raises:
        ValueError: fewer than two values, one of them not finite, or a level outside 0..1.

    >>> print(mean_interval([1.0, 2.0, 3.0]))
    2.0 [-0.5, 4.5]
    """
    x = _finite_values(values, 2)
    checks.proper_share("level", level, "of the interval", 0.95)
    quantile = scipy.special.stdtrit(len(x) - 1, (1 + level) / 2)
    half = float(quantile * x.std(ddof=1) / math.sqrt(len(x)))
    mean = float(x.mean())
    return Measured(mean, mean - half, mean + half, len(x))


def geometric_interval(values: Iterable[float], level: float = 0.95) -> Measured:
    """Geometric mean of positive values with its interval: `mean_interval` of their logarithms.

    Raises:
        ValueError: as `mean_interval`, or a value that is not positive.

    >>> print(geometric_interval([1.0, 10.0, 100.0]))
    10.0 [0.0, 3048.9]
    """
    x = _finite_values(values, 2)
    if (x <= 0).any():
        raise ValueError(
            f"A geometric mean needs positive values; the smallest is {x.min():g}. Take "
            "mean_interval, or leave out what has no logarithm and say so."
        )
    log = mean_interval(np.log(x), level)
    return Measured(math.exp(log.value), math.exp(log.low), math.exp(log.high), len(x))


def paired_difference(
    first: Iterable[float], second: Iterable[float], level: float = 0.95
) -> Measured:
    """Mean of first - second, seed by seed, with Student's t interval of the differences.

    Seeds that share data and weights scatter together: their differences say more than two
    intervals beside each other.

    Raises:
        ValueError: not one value for each seed in both, or as `mean_interval`.

    >>> print(paired_difference([3.0, 5.0, 9.0], [2.0, 4.0, 7.0]))
    1.3 [-0.1, 2.8]
    """
    x, y = _finite_values(first, 2), _finite_values(second, 2)
    if len(x) != len(y):
        raise ValueError(
            f"Pairs need one value for each seed on both sides; got {len(x)} and {len(y)}."
        )
    return mean_interval(x - y, level)


def sign_test(differences: Iterable[float]) -> float:
    """Two-sided p-value of the signs, if both were equally likely; zeros are left out.

    Five of five is 0.0625: five seeds can't decide at 5 %, however clear they look.

    Raises:
        ValueError: no value that is not zero, or one that is not finite.

    >>> sign_test([1, 2, 1, 3, 1]), round(sign_test([1] * 10), 4)
    (0.0625, 0.002)
    """
    x = _finite_values(differences, 1)
    positive, negative = int((x > 0).sum()), int((x < 0).sum())
    if not positive + negative:
        raise ValueError("A test of signs needs a difference that is not zero; all are.")
    return float(scipy.stats.binomtest(positive, positive + negative).pvalue)


def share_interval(successes: int, trials: int, level: float = 0.95) -> Measured:
    """A share of trials with the interval of Clopper and Pearson, which never covers too little.

    Raises:
        ValueError: no trial, more successes than trials, or a level outside 0..1.

    >>> print(share_interval(9, 10))
    0.900 [0.555, 0.997]
    """
    trials = checks.whole_number("trials", trials, 1, None, "tries")
    successes = checks.whole_number("successes", successes, 0, trials, "of the trials")
    checks.proper_share("level", level, "of the interval", 0.95)
    ends = scipy.stats.binomtest(successes, trials).proportion_ci(level, method="exact")
    return Measured(successes / trials, float(ends.low), float(ends.high), trials)


def _finite_values(values: Iterable[float], least: int) -> np.ndarray:
    try:
        x = np.asarray([float(value) for value in values])
    except (TypeError, ValueError):
        raise ValueError(f"values must be numbers, one for each seed; got {values!r}.") from None
    if len(x) < least:
        raise ValueError(
            f"At least {least} values, of different seeds, are needed; got {len(x)}. One value "
            "has no scatter to judge it by."
        )
    if not np.isfinite(x).all():
        raise ValueError(
            f"{int((~np.isfinite(x)).sum())} of {len(x)} values are not finite; find out why those "
            "seeds failed before they are averaged."
        )
    return x
