"""How much data will be enough, said from a quarter of it: two scenarios and one interval.

The mean over unseen samples of I_k^2 is T(k)/(k+1)^2 exactly, with T(k) the mean of
(l_i - L_k)^2 at w_k* (`theory.moments.next_sample_mean`). The division by (k+1)^2 is arithmetic and
needs no forecast. T does: it falls while the model learns.
  learning stopped   T stays as it is      K = sqrt(T/tolerance) - 1
  learning goes on   T follows k^-b        sqrt(T(K)/tolerance) - 1 = K, b fitted
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from landscape_nb.numerics import checks


@dataclass(frozen=True)
class Calibration:
    """What six other problems taught about how far T goes on falling (tests/benchmarks/forecast).

    log T(k) = log T(k0) - theta b log(k/k0) + error, with a standard deviation of
    sqrt(noise^2 + drift^2 h + (spread h)^2), h = log(k/k0).

    Attributes:
        theta: share of the fitted exponent that is still to come, on average.
        drift: standard deviation of what no law foresees, for each square root of a factor e.
        spread: standard deviation of the later exponent.
        noise: standard deviation of log T where the caller gives none.
        stretch: the errors in these units have quantiles this much wider than a normal law.
    """

    theta: float = 0.7
    drift: float = 0.35
    spread: float = 0.3
    noise: float = 0.3
    stretch: float = 1.0


CALIBRATION = Calibration()
FARTHEST = 30.0  # times the last measured k: beyond, no problem of the study was followed


@dataclass(frozen=True)
class Scenario:
    """One way it may go on.

    Attributes:
        K: enough samples; None: more than can be said.
        low: lower end of the interval.
        high: upper end; None: more than can be said.
    """

    K: int | None
    low: int | None
    high: int | None


@dataclass(frozen=True)
class Forecast:
    """How many samples will be enough.

    Attributes:
        K: point estimate; None: more than can be said (over `FARTHEST` times k_last).
        low: lower end of the interval; None: more than can be said.
        high: upper end; None: more than can be said.
        level: of the intervals.
        if_stopped: if learning stopped now.
        if_continued: if it goes on as it did; None: no law could be fitted, or T does not fall.
        exponent: b of T ~ k^-b over the last measurements; None with a single one.
        exponent_stderr: its standard error; None where two points leave none.
        tolerance: what the mean squared increment is to stay below.
        k_last: the last measured k.
    """

    K: int | None
    low: int | None
    high: int | None
    level: float
    if_stopped: Scenario
    if_continued: Scenario | None
    exponent: float | None
    exponent_stderr: float | None
    tolerance: float
    k_last: int

    @property
    def extrapolated(self) -> bool:
        """Whether K lies beyond what was measured."""
        return self.K is None or self.K > self.k_last

    @property
    def factor(self) -> float | None:
        """K over the last measured k."""
        return None if self.K is None else self.K / self.k_last


def forecast_enough(
    ks: Sequence[int] | Tensor,
    deltas: Sequence | Tensor,
    tolerance: float,
    *,
    stderrs: Sequence | Tensor | None = None,
    level: float = 0.9,
    calibration: Calibration = CALIBRATION,
) -> Forecast:
    """Signature final; body provisional."""
    grid = checks.prefix_lengths(ks, None, high_means="number of samples")
    k = np.array(grid, dtype=float)
    rows = torch.as_tensor(deltas, dtype=torch.float64).reshape(-1, len(k)).numpy()
    T = rows.mean(0) * (k + 1) ** 2
    b = float(-np.polyfit(np.log(k[-5:]), np.log(T[-5:]), 1)[0]) if len(k) > 1 else None
    far = k[-1] * np.exp(np.linspace(0, np.log(FARTHEST), 2000))
    h = np.log(far / k[-1])

    def first(y: np.ndarray) -> int | None:
        below = np.nonzero(y - 2 * np.log(far + 1) < np.log(tolerance))[0]
        return int(np.ceil(far[below[0]])) if len(below) else None

    def scenario(b: float, drift: float) -> Scenario:
        y = np.log(T[-1]) - b * h
        s = np.sqrt(calibration.noise**2 + drift**2 * h) * stats.norm.ppf((1 + level) / 2)
        return Scenario(first(y), first(y - s), first(y + s))

    joint = scenario(calibration.theta * (b or 0), calibration.drift)
    return Forecast(
        joint.K, joint.low, joint.high, level, scenario(0.0, 0.0),
        scenario(b, 0.0) if b else None, b, None, float(tolerance), grid[-1],
    )  # fmt: skip
