"""What twice the data would still bring where one more sample has become negligible.

Nothing is trained: the rows come from `stored_settling`, twenty seeds of seven problems. The K at
which one more sample moves the loss by less than a hundredth of itself is that of all seeds of a
problem together (`settled_k`); the gain of doubling there is measured seed by seed.
"""

import math
from collections.abc import Sequence
from functools import cache

import numpy as np

from landscape_nb.numerics.wording import rounded
from landscape_nb.problems.learning import LEARNING_PROBLEMS
from landscape_nb.study.evidence.stored import Study
from landscape_nb.study.settling import stored_settling
from landscape_nb.study.stopping import settled_k
from landscape_nb.study.sweep import Row
from landscape_nb.theory.intervals import Measured, mean_interval

PROBLEMS = tuple(problem.name for problem in LEARNING_PROBLEMS)
SHARE = 0.01  # of the loss, that one more sample may move: as in notebook 05


def measure(seed: int, problem: str) -> Row:
    """K of the problem, and what doubling from it does to this seed's held-out loss.

    gain = 1 - L(2K)/L(K),   L interpolated in log k

    Where 2K was not measured the last doubling that was is taken, and `k` says from where it
    begins. A problem that never settles has neither.
    """
    ks, losses, K = _curves(problem)
    if K is None:
        return {"K": math.nan, "k": math.nan, "gain": math.nan}
    k = min(K, ks[-1] / 2)
    return {"K": K, "k": rounded(k), "gain": rounded(gain_of_doubling(ks, losses[seed], k))}


def gain_of_doubling(ks: Sequence[int], losses: np.ndarray, k: float) -> float:
    """1 - L(2k)/L(k), for one curve of held-out losses on a grid.

    >>> round(gain_of_doubling([10, 20, 40], np.array([1.0, 0.5, 0.25]), 20), 12)
    0.5
    """
    before, after = np.exp(np.interp(np.log([k, 2 * k]), np.log(ks), np.log(losses)))
    return float(1 - after / before)


def summary(rows: list[Row]) -> dict[str, Measured]:
    """The mean gain of every problem that settles, over its seeds."""
    found = {}
    for problem in PROBLEMS:
        gains = [row["gain"] for row in rows if row["problem"] == problem]
        if not any(math.isnan(gain) for gain in gains):
            found[problem.replace(", ", "_").lower()] = mean_interval(gains)
    return found


@cache
def _curves(problem: str) -> tuple[list[int], np.ndarray, int | None]:
    rows = [row for row in stored_settling() if row["problem"] == problem]
    ks = sorted({row["k"] for row in rows})
    L, T = (
        np.array([row[name] for row in rows]).reshape(-1, len(ks)) for name in ("unseen_loss", "T")
    )
    return ks, L, settled_k(ks, T, L, SHARE).K


STUDY = Study(
    "What would twice the data bring where one more sample moves the loss by a hundredth?",
    measure,
    summary,
    seeds=20,
    grid={"problem": PROBLEMS},
    minutes=0.1,
)
