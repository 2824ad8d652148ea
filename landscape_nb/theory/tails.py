"""What a heavy-tailed average over next samples is worth.

The squared increment of a next sample is (l_i - L_k)^2/(k+1)^2, and a few hard samples carry its
mean. Beside every such mean belong the share of the hardest samples and the tail index: where it
is large, another draw of as many samples may well give another mean.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray
from torch import Tensor

from landscape_nb.numerics import checks

# Above it a mean converges too slowly to be trusted: Vehtari, Simpson, Gelman, Yao and Gabry,
# Pareto smoothed importance sampling, JMLR 25(72), 2024.
DOUBTFUL_INDEX = 0.7
HARDEST = 0.05  # the share of samples that are called the hardest: chosen here
_FEWEST = 25  # five values in the tail, the fewest that its authors' code fits
_PRIOR = 10, 0.5  # values that its prior counts for, and their index, as in its authors' code
# SciPy's own tolerance of 1e-4 would show in the index; the likelihood is smooth enough for this.
_SEARCH: dict[str, Any] = {"xtol": 1e-6, "ftol": 1e-9, "disp": False}


Values = Sequence[float] | Tensor | NDArray[np.float64]


def tail_index(values: Values) -> float:
    """The shape k-hat of a generalised Pareto distribution fitted to the upper tail of values.

    P(Y - u > y | Y > u)  =  (1 + k y/s)^(-1/k)

    above the threshold u that leaves the largest min(m/5, 3 sqrt(m)) of m values. Moments up to
    1/k exist: no variance from k = 1/2 on, no mean from k = 1 on. k = 0 is an exponential tail,
    k < 0 one that ends. In practice a mean can be relied on up to k = 0.7 (`DOUBTFUL_INDEX`).
    Vehtari et al., Pareto smoothed importance sampling, JMLR 25(72), 2024.

    The fit is SciPy's maximum likelihood, held at -1, below which the likelihood has no maximum;
    then, as its authors do, a weak prior of ten values of index 0.5, without which a tail of
    5 to 20 values says next to nothing.

    Args:
        values: (m,), none negative, in any unit: k-hat does not depend on it.

    Returns:
        k-hat, dimensionless; NaN where there is no tail to fit: fewer than 25 values, or fewer
        than five above the threshold (values that are all, or nearly all, equal).

    Its error, over 100 simulated samples each, as mean +- standard deviation:

    | m | uniform-like, k = -0.3 | exponential, 0 | Pareto, 0.3 | 0.7 | 1.2 |
    |---|---|---|---|---|---|
    | 25 | 0.05 +- 0.14 | 0.14 +- 0.24 | 0.20 +- 0.26 | 0.32 +- 0.34 | 0.52 +- 0.47 |
    | 120 | -0.19 +- 0.18 | 0.02 +- 0.21 | 0.28 +- 0.23 | 0.59 +- 0.25 | 0.95 +- 0.36 |
    | 500 | -0.23 +- 0.10 | 0.01 +- 0.11 | 0.33 +- 0.15 | 0.63 +- 0.17 | 1.10 +- 0.23 |
    | 5000 | -0.29 +- 0.05 | 0.00 +- 0.06 | 0.30 +- 0.09 | 0.70 +- 0.11 | 1.16 +- 0.13 |

    Squares of log-normal values (index 0 in the far tail) get 0.6 +- 0.25 at m = 120: what counts
    is the tail as far as the values reach. Of Pareto tails with k = 1.2 a third is found doubtful
    at m = 25, three quarters at m = 120. Costs 4 to 8 ms, whatever m.

    >>> quantiles = [((i + 0.5) / 2000) ** -0.8 for i in range(2000)]        # Pareto, k = 0.8
    >>> round(tail_index(quantiles), 1)
    0.8
    """
    ordered = np.sort(_values(values))
    m = len(ordered)
    if m < _FEWEST:
        return math.nan
    largest = math.ceil(min(m / 5, 3 * m**0.5))
    scaled = ordered / (ordered[-1] or 1.0)  # no overflow where excesses are added up
    excess = scaled[-largest:] - scaled[-largest - 1]
    excess = excess[excess > 0]
    if len(excess) < _FEWEST // 5:
        return math.nan
    # start: an index of 1/2 and the scale that gives the right mean, s/(1 - k)
    search = partial(scipy.optimize.fmin, **_SEARCH)
    shape, _, _ = scipy.stats.genpareto.fit(
        excess / excess.mean(), 0.5, scale=0.5, floc=0, optimizer=search
    )
    weight, prior = _PRIOR
    return float((len(excess) * max(shape, -1.0) + weight * prior) / (len(excess) + weight))


@dataclass(frozen=True)
class Tail:
    """An average over next samples and what speaks for and against it.

    Attributes:
        count: m, the number of values.
        mean: of the values, in their unit.
        stderr: standard deviation / sqrt(m), optimistic where the tail is heavy; NaN for m = 1.
        median: half of the values are below.
        hardest: share of the sum that the largest 5 % of the values carry, one of them at least;
            NaN where the sum is zero.
        index: `tail_index`, NaN where there is none.
        below: share of the values below the tolerance; None without a tolerance.
    """

    count: int
    mean: float
    stderr: float
    median: float
    hardest: float
    index: float
    below: float | None = None

    @property
    def doubtful(self) -> bool:
        """Whether the tail is too heavy for the mean to be trusted (index > 0.7)."""
        return self.index > DOUBTFUL_INDEX

    def __str__(self) -> str:
        """One plain sentence."""
        parts = [f"Mean {self.mean:.2g} over {self.count} {_samples(self.count)}"]
        if not math.isnan(self.stderr):
            parts[0] = parts[0].replace(" over", f" +- {self.stderr:.1g} over")
        parts.append(f"median {self.median:.2g}")
        if self.below is not None:
            parts.append(f"{100 * self.below:.0f} % of them below the tolerance")
        if not math.isnan(self.hardest):
            parts.append(f"the hardest 5 % carry {100 * self.hardest:.0f} % of it")
        return f"{', '.join(parts)}; {self._verdict()}."

    def _verdict(self) -> str:
        if math.isnan(self.index):
            return "too few different values for a tail index"
        known = f"tail index {self.index:.2f}"
        return f"{known}, so that the mean is not to be trusted" if self.doubtful else known


def tail(values: Values, tolerance: float | None = None) -> Tail:
    """The mean of values that a few may carry, with its error, its tail and its hardest samples.

    Args:
        values: (m,), m >= 1, none negative, usually the squared increments of all unseen samples.
        tolerance: in the unit of values; count the share below it.

    Returns:
        `Tail`. Multiplying values and tolerance by a number multiplies mean, stderr and median,
        and changes nothing else.

    Raises:
        ValueError: values are not one finite, non-negative number a sample.

    >>> found = tail([1.0] * 19 + [81.0], tolerance=2.0)
    >>> found.mean, found.median, found.hardest, found.below
    (5.0, 1.0, 0.81, 0.95)
    >>> print(found)
    Mean 5 +- 4 over 20 samples, median 1, 95 % of them below the tolerance, the hardest 5 % \
carry 81 % of it; too few different values for a tail index.
    """
    y = np.sort(_values(values))
    m, unit = len(y), float(y[-1]) or 1.0
    below = None
    if tolerance is not None:
        tolerance = checks.positive("tolerance", tolerance, "in the unit of values")
        below = float((y < tolerance).mean())
    scaled = y / unit  # sums and squares in range whatever the unit
    hardest = scaled[-max(1, math.ceil(HARDEST * m)) :].sum()
    return Tail(
        count=m,
        mean=unit * float(scaled.mean()),
        stderr=unit * float(scaled.std(ddof=1)) / m**0.5 if m > 1 else math.nan,
        median=float(np.median(y)),
        hardest=float(hardest / scaled.sum()) if y[-1] > 0 else math.nan,
        index=tail_index(y),
        below=below,
    )


def _samples(count: int) -> str:
    return "sample" if count == 1 else "samples"


def _values(values: Values) -> NDArray[np.float64]:
    """One finite, non-negative number a sample, as float64."""
    given = values.detach().cpu() if isinstance(values, Tensor) else values
    try:
        y = np.asarray(given)
    except (TypeError, ValueError, RuntimeError):  # ragged lists; bfloat16, which numpy has not
        y = np.asarray(given.double()) if isinstance(given, Tensor) else np.empty(0, object)
    if y.dtype.kind not in "iuf" or y.ndim != 1 or not y.size:
        kind = tuple(y.shape) if y.dtype.kind in "iuf" else checks.shown(values)
        raise ValueError(
            f"values must hold one real number a sample, shape (m,) with m >= 1; got {kind}. "
            "Give the squared increments of the unseen samples."
        )
    y = y.astype(np.float64)
    bad = ~np.isfinite(y) | (y < 0)
    if bad.any():
        i = int(bad.argmax())
        raise ValueError(
            f"values must be finite and not negative; got {y[i]} for sample {i} "
            f"({int(bad.sum())} of {len(y)} are not). Give squared increments."
        )
    return y
