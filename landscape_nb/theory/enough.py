"""When is there enough data? The rule of N25, read off measured curves, with its uncertainty."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from landscape_nb.numerics import checks


def enough_data(
    ks: Sequence[int] | Tensor, deltas: Sequence[float] | Tensor, tolerance: float
) -> int | None:
    """The smallest measured K from which on the criterion stays below a tolerance.

    K = min { k : Delta_k' < tolerance for all measured k' >= k }                     N25 sec. 4

    For *all* later k: one lucky next sample does not make enough data. (The algorithm printed in
    N25 has the test reversed and would stop at the first noisy crossing.)

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
    curve = _curves(deltas, (len(grid),))
    return _first_settled(grid, curve[None], checks.positive("tolerance", tolerance, "as deltas"))[
        0
    ]


@dataclass(frozen=True)
class EnoughData:
    """The answer of the rule for the mean curve of several runs, with a bootstrap interval.

    Attributes:
        K: of the mean curve; None: not reached.
        low: lower end of the interval; None: not reached in nearly every resample.
        high: upper end; None: in too many resamples the tolerance was not reached at all.
        level: of the interval.
        reached: share of the resamples in which it was reached.
    """

    K: int | None
    low: int | None
    high: int | None
    level: float
    reached: float

    def __str__(self) -> str:
        """For example '80 (90 % interval 40 to not reached)'."""
        if self.K is self.low is self.high is None:
            return f"not reached (in {100 * self.reached:.0f} % of resamples it was)"
        K, low, high = ("not reached" if k is None else k for k in (self.K, self.low, self.high))
        return f"{K} ({100 * self.level:g} % interval {low} to {high})"


def enough_data_interval(
    ks: Sequence[int] | Tensor,
    curves: Sequence[Sequence[float]] | Tensor,
    tolerance: float,
    generator: torch.Generator,
    *,
    num_resamples: int = 2000,
    level: float = 0.9,
) -> EnoughData:
    """`enough_data` of the mean over runs, and how far other runs might have moved it.

    Runs (seeds, orders of the data) are drawn with replacement, averaged, and judged by the rule,
    many times: a percentile bootstrap (Efron 1979). "Not reached" counts as later than every k.

    Args:
        ks: increasing numbers of samples, (m,).
        curves: (R, m), the criterion of each run at each k; R >= 2, five or more to mean anything.
        tolerance: in the unit of the curves.
        generator: source of the resamples.
        num_resamples: 2000: chosen here.
        level: of the interval, 0.9: chosen here.

    Returns:
        `EnoughData`. The interval speaks of the runs' scatter only, on this grid of k.

    Raises:
        ValueError: an argument does not fit.

    >>> curves = [[9.0, 2.0, 0.4, 0.1], [9.0, 0.5, 0.6, 0.1], [9.0, 0.3, 0.2, 0.1]]
    >>> print(enough_data_interval([10, 20, 40, 80], curves, 1.0, torch.Generator().manual_seed(0)))
    20 (90 % interval 20 to 40)
    """
    grid = checks.prefix_lengths(ks, None, high_means="number of samples")
    tolerance = checks.positive("tolerance", tolerance, "in the unit of the curves")
    m = checks.whole_number("num_resamples", num_resamples, 1, 10**7, "bootstrap resamples")
    if not 0 < checks.positive("level", level, "of the interval") < 1:
        raise ValueError(f"level must be between 0 and 1, for example 0.9; got {level}.")
    generator = checks.explicit_generator(generator)
    rows = torch.as_tensor(curves, dtype=torch.float64)
    if rows.ndim != 2 or len(rows) < 2:
        raise ValueError(
            f"curves must hold at least two runs, (R, {len(grid)}); got shape {tuple(rows.shape)}. "
            "One run says nothing about its own scatter: use enough_data."
        )
    rows = _curves(rows, (len(rows), len(grid)))
    found = _first_settled(grid, resampled_means(rows, m, generator), tolerance)
    ordered = sorted(found, key=lambda k: (k is None, k))
    tail = (1 - level) / 2
    ends = (ordered[int(tail * (m - 1))], ordered[-1 - int(tail * (m - 1))])
    (K,) = _first_settled(grid, rows.mean(0, keepdim=True), tolerance)
    return EnoughData(K, *ends, level, 1 - found.count(None) / m)


def resampled_means(rows: Tensor, num_resamples: int, generator: torch.Generator) -> Tensor:
    """Means over rows (R, m) drawn with replacement, (num_resamples, m): Efron's bootstrap."""
    drawn = torch.randint(len(rows), (num_resamples, len(rows)), generator=generator)
    counts = rows.new_zeros(drawn.shape)
    return counts.scatter_add_(1, drawn, torch.ones_like(counts)) @ rows / len(rows)


def _first_settled(grid: list[int], curves: Tensor, tolerance: float) -> list[int | None]:
    """The rule, for each row of curves (..., m)."""
    # a k is settled if all from it on are below: a running product from the end
    settled = (curves < tolerance).long().flip(1).cumprod(1).sum(1)
    return [grid[-count] if count else None for count in settled.tolist()]


def _curves(deltas: Sequence | Tensor, shape: tuple[int, ...]) -> Tensor:
    values = torch.as_tensor(deltas, dtype=torch.float64)
    if values.shape != shape or not torch.isfinite(values).all():
        raise ValueError(
            f"deltas must hold one finite number for each of the {shape[-1]} ks; got shape "
            f"{tuple(values.shape)}. Leave out the k that were not measured."
        )
    return values
