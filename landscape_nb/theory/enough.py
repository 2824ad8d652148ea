"""When is there enough data? The rule of N25, read off measured curves, with its uncertainty.

Three things scatter a measured curve: the seed of the first weights, the order of the data (which
k samples are trained on, and which are left), and the choice of next samples. An interval speaks of
those that differed between the rows that it was given, and of no others:

    enough_data_interval   rows are runs: all three, where each run had its own seed and order
    one_run_interval       rows are next samples of one trained path: their choice alone
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from landscape_nb.numerics import checks
from landscape_nb.theory import bands

OF_NEXT_SAMPLES = (
    "the choice of next samples only: other seeds and orders of the data move K as well"
)


def enough_data(
    ks: Sequence[int] | Tensor, deltas: Sequence[float] | Tensor, tolerance: float
) -> int | None:
    """The smallest measured K from which on the criterion stays below a tolerance.

    K = min { k : Delta_k' < tolerance for all measured k' >= k }              N25 secs. 3.1, 5.3

    For *all* later k: one lucky next sample does not make enough data. (Algorithm 1 as printed in
    N25, June 2025, repeats until Delta_k > tolerance; its talk and its code have the sign right.
    All three stop at the first crossing, which is another rule than the definition's.)

    Args:
        ks: increasing numbers of samples.
        deltas: the criterion at each k, of the same length, in any unit.
        tolerance: in the unit of deltas.

    Returns:
        K, one of ks, or None: not reached. The last k alone is no evidence of staying below, but
        it is all there is; measure further before you trust K = ks[-1].

    Raises:
        ValueError: unequal lengths, ks not increasing, deltas not finite, tolerance not positive.

    >>> enough_data([10, 20, 40, 80], [9.0, 0.5, 2.0, 0.3], tolerance=1.0)
    80
    >>> print(enough_data([10, 20, 40, 80], [9.0, 0.5, 2.0, 1.3], tolerance=1.0))
    None
    """
    grid = checks.prefix_lengths(ks, None, high_means="number of samples")
    curve = bands.as_numbers("deltas", deltas)
    if curve.shape != (len(grid),) or not torch.isfinite(curve).all():
        raise ValueError(
            f"deltas must hold one finite number for each of the {len(grid)} ks; got shape "
            f"{tuple(curve.shape)}. Leave out the k that were not measured."
        )
    tolerance = checks.positive("tolerance", tolerance, "as deltas")
    # a k is settled if all from it on are below: a running product from the end
    settled = int((curve < tolerance).long().flip(0).cumprod(0).sum())
    return grid[-settled] if settled else None


@dataclass(frozen=True)
class EnoughData:
    """K of a mean curve, between the measured k, with an interval.

    All three are rounded up: the smallest whole number of samples that is enough. Nothing is
    extrapolated: `first` stands for every K up to the first k, None for every K beyond the last.

    Attributes:
        K: of the mean curve; None: not reached.
        low: lower end of the interval; None: not reached, with the confidence of the level.
        high: upper end; None: perhaps not reached.
        level: of the interval, which leaves out (1 - level)/2 on either side.
        first: the first k measured.
        last: the last k measured.
        scatter: the sources of scatter that the interval speaks of.
    """

    K: int | None
    low: int | None
    high: int | None
    level: float
    first: int
    last: int
    scatter: str

    @property
    def reached(self) -> bool | None:
        """Whether the tolerance is reached on this grid; None: the interval leaves it open."""
        if self.low is None:
            return False
        return None if self.high is None else True

    def __str__(self) -> str:
        """For example '226 (90 %: 180 to not reached by 1280)'."""
        K, low, high = (self._in_words(k) for k in (self.K, self.low, self.high))
        ends = "" if K == low == high else f": {low} to {high}"
        return f"{K} ({100 * self.level:g} %{ends})"

    def _in_words(self, k: int | None) -> str:
        if k is None:
            return f"not reached by {self.last}"
        return f"before {k}" if k == self.first else str(k)


def enough_data_interval(
    ks: Sequence[int] | Tensor,
    curves: bands.Rows,
    tolerance: float,
    generator: torch.Generator | None = None,
    *,
    num_resamples: int | None = None,
    level: float = 0.9,
) -> EnoughData:
    """K of the mean curve of all runs that might have been made, from R of them.

    K = inf { k : M(k') < tolerance for all k' >= k },   M(k): mean over runs of Delta_k

    with log M linear in log k between two measured k. Where the curve is not monotone the last
    crossing counts, as in `enough_data`. The interval runs from the first to the last k at which
    the tolerance lies inside `bands.mean_band`: at K the tolerance *is* M, so it holds K whenever
    the band at K holds M(K), however the k depend on each other. It can't see how the curve bends
    between two k, nor whether it rises beyond the last.

    On seven learning problems it held K in 89 to 95 of 100 cases at level 0.9 for R = 3, 5 and 10,
    and in 92 to 97 for R = 2 (a percentile bootstrap in 58 to 86 and 46 to 50);
    tests/benchmarks/coverage.md.

    Args:
        ks: increasing numbers of samples, (m,).
        curves: (R, m), the criterion of each run at each k, not negative, in any unit; R >= 2. The
            interval speaks of what differs between the runs: seeds of the first weights, orders
            of the data and next samples, if each run had its own.
        tolerance: in the unit of the curves.
        generator: not used: nothing is drawn at random. Calls that give it go on working.
        num_resamples: not used.
        level: of the interval, 0.9: chosen here.

    Returns:
        `EnoughData`. Two runs are allowed: Student's t of one degree of freedom is wide.

    Raises:
        ValueError: an argument does not fit.

    >>> curves = [[9.0, 2.0, 0.4, 0.1], [9.0, 1.5, 0.6, 0.1], [9.0, 1.3, 0.2, 0.1]]
    >>> print(enough_data_interval([10, 20, 40, 80], curves, 1.0))
    26 (90 %: 21 to 42)
    """
    grid, tolerance = _question(ks, tolerance)
    rows = bands.measured_rows(curves, len(grid), bands.RUNS)
    scatter = "what differed between the runs: seeds, orders of the data, next samples"
    return settled_within(grid, bands.runs_band(rows, level), tolerance, level, scatter)


def one_run_interval(
    ks: Sequence[int] | Tensor,
    squares: bands.Rows,
    tolerance: float,
    generator: torch.Generator,
    *,
    num_resamples: int = 2000,
    level: float = 0.9,
) -> EnoughData:
    """K of one trained path for all next samples that might come, from m unseen ones.

    As `enough_data_interval`, but inside `bands.one_run_band`: the choice of next samples is the
    only scatter that one run can show. Another seed or order of the data has another K, and this
    interval does not speak of it.

    On seven learning problems it held K in 87 to 94 of 100 cases at level 0.9, for m = 50, 120 and
    400 (a percentile bootstrap in 57 to 91); tests/benchmarks/coverage.md. There m was drawn from
    186 to 4096 samples: rarer and harder ones were not among them.

    Args:
        ks: increasing numbers of samples, (K,).
        squares: (m, K), the squared increment that each unseen sample would make at each k, the
            same samples at each; not negative, in any unit; m >= 2.
        tolerance: in the unit of the squares.
        generator: source of the resamples.
        num_resamples: 2000: chosen here.
        level: of the interval, 0.9: chosen here.

    Returns:
        `EnoughData`.

    Raises:
        ValueError: an argument does not fit.

    >>> easy_and_hard = torch.tensor([0.5, 1.0, 1.5]).repeat(20)[:, None]
    >>> squares = easy_and_hard * torch.tensor([9.0, 2.0, 0.4, 0.1])
    >>> print(one_run_interval([10, 20, 40, 80], squares, 1.0, torch.Generator().manual_seed(0)))
    27 (90 %: 26 to 29)
    """
    grid, tolerance = _question(ks, tolerance)
    rows = bands.measured_rows(squares, len(grid), bands.NEXT_SAMPLES)
    band = bands.next_samples_band(rows, generator, num_resamples, level)
    return settled_within(grid, band, tolerance, level, OF_NEXT_SAMPLES)


def _question(ks: Sequence[int] | Tensor, tolerance: float) -> tuple[list[int], float]:
    grid = checks.prefix_lengths(ks, None, high_means="number of samples")
    return grid, checks.positive("tolerance", tolerance, "in the unit of the curves")


def settled_within(
    grid: list[int], band: bands.Band, tolerance: float, level: float, scatter: str
) -> EnoughData:
    """The k at which the tolerance lies inside a band of logs, and where the mean crosses it."""
    mean, lower, upper = (edge.tolist() for edge in band)
    at = math.log(tolerance)
    K, high = (rounded_up(last_crossing(grid, curve, at)) for curve in (mean, upper))
    low = rounded_up(_may_settle(grid, lower, at))
    return EnoughData(K, low, high, float(level), grid[0], grid[-1], scatter)


def rounded_up(k: float | None) -> int | None:
    """Whole samples."""
    # less a hair: 10 (20/10)^1 may be 20 plus rounding
    return None if k is None else math.ceil(k * (1 - 1e-12))


def last_crossing(grid: Sequence[int], curve: Sequence[float], at: float) -> float | None:
    """From which k on a curve stays below a level; straight over log k between two k.

    Returns:
        A number of samples, grid[0] where all are below; None where the last is not.

    >>> last_crossing([10, 40], [1.0, -1.0], 0.0)
    20.0
    """
    late = [j for j, y in enumerate(curve) if not y < at]
    if not late:
        return float(grid[0])
    j = late[-1]
    if j == len(grid) - 1:
        return None
    if math.isinf(curve[j]) or math.isinf(curve[j + 1]):
        return float(grid[j + 1])  # no slope: the later one, where it was measured
    return _between(grid, curve, j, at)


def _may_settle(grid: list[int], lower: list[float], at: float) -> float | None:
    """The first k that a lower edge does not exclude; None where it excludes the last."""
    if not lower[-1] < at:
        return None
    j = next(j for j, y in enumerate(lower) if y < at)
    if j == 0:
        return float(grid[0])
    return float(grid[j - 1]) if math.isinf(lower[j]) else _between(grid, lower, j - 1, at)


def _between(grid: Sequence[int], curve: Sequence[float], j: int, at: float) -> float:
    """Where a line in log k, from k_j to the next, comes down to a level."""
    share = (curve[j] - at) / (curve[j] - curve[j + 1])
    return float(grid[j] * (grid[j + 1] / grid[j]) ** share)
