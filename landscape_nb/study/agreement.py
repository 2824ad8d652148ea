"""Whether two rules agree: rank correlation within groups, with an interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from landscape_nb.numerics import checks


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's, with an interval.

    Attributes:
        value: between -1 and 1.
        low: lower end.
        high: upper end.
        level: of the interval.
        count: pairs that it rests on.
        groups: within which they were ranked.
    """

    value: float
    low: float
    high: float
    level: float
    count: int
    groups: int

    def __str__(self) -> str:
        """For example '-0.10 (95 %: -0.29 to 0.09; 120 pairs in 6 groups)'."""
        within = "" if self.groups == 1 else f" in {self.groups} groups"
        ends = f"{100 * self.level:g} %: {self.low:.2f} to {self.high:.2f}"
        return f"{self.value:.2f} ({ends}; {self.count} pairs{within})"


def rank_correlation(
    groups: Sequence[tuple[Sequence[float | None], Sequence[float | None]]], level: float = 0.95
) -> RankCorrelation:
    """Spearman's rank correlation, averaged over groups on Fisher's scale.

    z = sum_g (n_g - 3) artanh r_g / sum_g (n_g - 3),   error sqrt(1.06 / sum_g (n_g - 3))

    with the variance of Fieller, Hartley and Pearson (1957). Not reached, None, ranks above all
    numbers, and equal to itself. A correlation of exactly 1 or -1 gets no interval.

    Args:
        groups: pairs (x, y) of equally many, at least four, numbers or None.
        level: 0.95: chosen here.

    Raises:
        ValueError: a group is too small, or all its x or all its y are the same.

    >>> print(rank_correlation([([1, 2, 3, 4, None], [2, 1, 3, None, None])]))
    0.87 (95 %: -0.08 to 0.99; 5 pairs)
    """
    if not groups:
        raise ValueError("There must be at least one group of pairs (x, y); got none.")
    z, weights = [], []
    for x, y in groups:
        if len(x) != len(y) or len(x) < 4 or len(set(x)) < 2 or len(set(y)) < 2:
            raise ValueError(
                "Each group needs at least four pairs, and x and y that are not all the same; got "
                f"{checks.shown(x)} and {checks.shown(y)}."
            )
        filled = ([math.inf if v is None else v for v in side] for side in (x, y))
        ranks = map(scipy.stats.rankdata, filled)
        r = float(np.corrcoef(*ranks)[0, 1])
        z.append(math.atanh(r) if abs(r) < 1 - 1e-12 else math.copysign(math.inf, r))
        weights.append(len(x) - 3)
    level = checks.proper_share("level", level, "of the interval", 0.95)
    half = scipy.special.ndtri((1 + level) / 2) * math.sqrt(1.06 / sum(weights))
    middle = float(np.average(z, weights=weights))
    value, low, high = (math.tanh(middle + shift) for shift in (0.0, -half, half))
    return RankCorrelation(value, low, high, level, sum(len(x) for x, _ in groups), len(z))
