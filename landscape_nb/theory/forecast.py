"""How much data will be enough, said from a quarter of it: two scenarios and one interval.

The mean over unseen samples of I_k^2 is T(k)/(k+1)^2 exactly, with T(k) the mean of
(l_i - L_k)^2 at w_k* (`theory.moments.next_sample_mean`). The division by (k+1)^2 is arithmetic and
needs no forecast. T does: it falls while the model learns.
  learning stopped   T stays as it is         K = sqrt(T/tolerance) - 1
  learning goes on   T goes on as k^-b        K = sqrt(T(K)/tolerance) - 1, b fitted
Neither is to be trusted alone. The joint forecast is a line in log T against log k whose exponent
is known beforehand from other problems, learns a little from the points, and drifts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import stdtrit
from torch import Tensor

from landscape_nb.numerics import checks
from landscape_nb.numerics.wording import count, exact
from landscape_nb.theory.enough import enough_data

Array = NDArray[np.float64]

FARTHEST = 30.0  # times the last k: as far as the study behind the constants follows it
_SEARCHED = 3000.0  # times the last k: ends beyond are None. Chosen here
_WINDOW = 8.0  # the law is fitted to k >= k_last/8: where T bends, older k mislead. Chosen here


@dataclass(frozen=True)
class Calibration:
    """What other problems taught about the way of log T, and how well it is measured.

    log T(k) = level - b h + drift W(h) + noise, h = log(k/k_last), W Brownian motion, b normal.
    Each number is a maximum likelihood estimate over seven problems; tests/benchmarks/forecast.py
    makes them, and tries on each problem those that the other six give.

    Attributes:
        exponent: mean of b.
        spread: standard deviation of b.
        drift: what no law foresees: standard deviation of log T after a factor e in k.
        tails: standard error of log T, in relative standard errors of T. Above 1: a mean over
            heavy tails is worse than its own standard error says.
        floor: part of that standard error that more unseen samples do not lower.
        shared: correlation of the noise of two k: they are measured on the same unseen samples.
        skew: the missing hard samples add skew x (relative standard error)^2 to log T.
        freedom: degrees of freedom of Student's t, whose tails the errors have.
        unknown: relative standard error of T where the caller names none.
        stretch: factor on every interval, so that those problems are covered that were left out.
    """

    exponent: float = 0.99
    spread: float = 0.06
    drift: float = 0.62
    tails: float = 1.78
    floor: float = 0.1
    shared: float = 0.28
    skew: float = 3.26
    freedom: float = 11.3
    unknown: float = 0.4
    stretch: float = 1.53

    def quantile(self, level: float) -> float:
        """Half the width of a central interval, in standard deviations."""
        return self.stretch * float(stdtrit(self.freedom, (1 + level) / 2))

    def noise(self, relative: Array) -> Array:
        """Standard error of log T from the relative one of T."""
        return np.hypot(self.tails * relative, self.floor)


CALIBRATION = Calibration()


@dataclass(frozen=True)
class Scenario:
    """Enough data if one story is true, in whole samples.

    Attributes:
        K: point estimate; None: more than can be said.
        low: lower end of the interval; None: more than can be said.
        high: upper end; None: more than can be said.
    """

    K: int | None
    low: int | None
    high: int | None


@dataclass(frozen=True)
class Forecast:
    """How many samples will be enough, with an interval that was tried on other problems.

    Attributes:
        K: point estimate; None: over `FARTHEST` times k_last, more than can be said.
        low: lower end of the interval; None: more than can be said.
        high: upper end; None: more than can be said.
        level: of the intervals.
        if_stopped: if learning stopped now: T as it is.
        if_continued: if T went on along its fitted law; None: one k only, or T does not fall.
        exponent: b of T ~ k^-b over the last measurements; None: one k only.
        exponent_stderr: its standard error.
        tolerance: what the mean squared increment shall stay below.
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

    def __str__(self) -> str:
        """For example 'about 1 300 samples (90 %: 900 to 2 100; extrapolated from 480)'."""
        share, far = f"{100 * self.level:g} %", f"{FARTHEST:g} times what was measured"
        if self.K is None:
            most = "" if self.low is None else f"{share}: more than {count(self.low)}; "
            return (
                f"more than can be said ({most}over {far}, k = {count(self.k_last)}; extrapolated)"
            )
        ends = f"{share}: {_told(self.low)} to {_told(self.high)}"
        if not self.extrapolated:
            return f"already enough: {exact(self.K)} samples ({ends}; measured)"
        return f"about {count(self.K)} samples ({ends}; extrapolated from {exact(self.k_last)})"


def forecast_enough(
    ks: Sequence[int] | Tensor,
    deltas: Sequence | Tensor,
    tolerance: float,
    *,
    stderrs: Sequence | Tensor | None = None,
    level: float = 0.9,
    calibration: Calibration = CALIBRATION,
) -> Forecast:
    """Forecast the number of samples from which the mean squared increment stays below a tolerance.

    K = min { k : T(k)/(k+1)^2 < tolerance for all k' >= k },  T(k) = (k+1)^2 Delta(k)

    Inside the measured range the measurements answer, by `enough_data`. Beyond it the median of
    log T(k) under the joint model (`Calibration`) does; the ends are its quantiles.

    Args:
        ks: increasing numbers of samples, (m,); half doublings or finer, as many as there are.
        deltas: mean squared increments, by `next_sample_mean`, in loss^2: of one run, (m,), or of
            several, (R, m), whose mean is forecast.
        tolerance: in loss^2.
        stderrs: standard errors of deltas over the unseen samples, of the same shape. Without
            them, and with one run, a typical one is assumed (`Calibration.unknown`).
        level: of the intervals, 0.9: chosen here.
        calibration: constants of the joint model.

    Returns:
        `Forecast`. Its error is the interval: from a quarter of K and less it covered 97 % on
        average on problems that the constants had not seen, 78 to 100 % on each, and its ends were
        a factor of four to eight apart (tests/benchmarks/forecast.md). Inside the measured range
        its ends speak of the noise alone. Costs no products: it reads numbers that are there.

    Raises:
        ValueError: ks not increasing, deltas negative or not finite or of another shape, tolerance
            not positive, level not in (0, 1).

    >>> found = forecast_enough([100, 200, 400], [4e-4, 1e-4, 2.4e-5], tolerance=1e-6)
    >>> found.if_stopped.K, found.extrapolated        # 401 sqrt(2.4e-5/1e-6) - 1 = 1963.49
    (1964, True)
    """
    grid = checks.prefix_lengths(ks, None, high_means="number of samples")
    tolerance = checks.positive("tolerance", tolerance, "in loss^2, as deltas")
    level = checks.proper_share("level", level, "of the intervals")
    rows = curve_table("deltas", deltas, len(grid))
    errors = None if stderrs is None else curve_table("stderrs", stderrs, len(grid), rows.shape)
    mean, relative = rows.mean(0), relative_errors(rows, errors, calibration.unknown)

    k, seen = np.array(grid, dtype=float), mean > 0
    if not seen.any():
        nothing = Scenario(grid[0], grid[0], grid[0])
        return Forecast(
            grid[0], grid[0], grid[0], level, nothing, None, None, None, tolerance, grid[-1]
        )
    log_T = np.log(mean[seen]) + 2 * np.log1p(k[seen])
    noise, far = calibration.noise(relative[seen]), _far(grid[-1])
    q = calibration.quantile(level)
    search = _Search(grid, mean, seen, noise * q, far, tolerance)

    middle, sd = foreseen(k[seen], log_T, relative[seen], far, calibration)
    stopped = search.scenario(np.full(len(far), log_T[-1]), np.full(len(far), q * noise[-1]))
    b, b_stderr, law = _law(k[seen], log_T, noise, far)
    continued = search.scenario(law[0], q * law[1]) if b is not None and b > 0 else None
    joint = search.scenario(middle, q * sd)
    K, high = joint.K, joint.high
    if K is None or K > FARTHEST * grid[-1]:
        K = high = None
    return Forecast(K, joint.low, high, level, stopped, continued, b, b_stderr, tolerance, grid[-1])


def foreseen(
    ks: Array, log_T: Array, relative: Array, far: Array, calibration: Calibration = CALIBRATION
) -> tuple[Array, Array]:
    """Mean and standard deviation of log T beyond the last k, under the joint model.

    Bayesian regression on (1, log(k/k_last)): no opinion about the level, `Calibration`'s normal
    law about the exponent, and errors that are Brownian backwards from the last k, with noise.

    Args:
        ks: (m,).
        log_T: (..., m), one row for each curve.
        relative: (..., m), relative standard errors of T.
        far: (F,), numbers of samples, from ks[-1] on.
        calibration: constants.

    Returns:
        Two arrays (..., F).
    """
    p, d = calibration, np.log(ks / ks[-1])
    sd = p.noise(relative)
    own = (1 - p.shared) * sd[..., None] ** 2 * np.eye(len(ks))
    wander = p.drift**2 * np.minimum.outer(-d, -d)
    precision = np.linalg.inv(wander + own + p.shared * sd[..., :, None] * sd[..., None, :])
    line = np.stack([np.ones_like(d), d], 1)
    before = np.array([0.0, 1 / p.spread**2])
    covariance = np.linalg.inv(line.T @ precision @ line + np.diag(before))
    seen = line.T @ precision @ (log_T + p.skew * relative**2)[..., None]
    fitted = covariance @ (seen - p.exponent * before[:, None])
    h = np.log(far / ks[-1])
    ahead = np.stack([np.ones_like(h), h], 1)
    variance = np.einsum("fi,...ij,fj->...f", ahead, covariance, ahead) + p.drift**2 * h
    return (ahead @ fitted)[..., 0], np.sqrt(variance)


# -- crossings -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Search:
    """Where curves go below the tolerance for good: first among the measured k, then beyond."""

    grid: list[int]
    mean: Array
    seen: NDArray[np.bool_]
    band: Array
    far: Array
    tolerance: float

    def scenario(self, log_T: Array, band: Array) -> Scenario:
        """K and its ends for log T +- band beyond the last k."""
        K = self._measured(0) or self._beyond(log_T)
        low = self._measured(-1) or self._beyond(log_T - band)
        high, later = self._measured(1), self._beyond(log_T + band)
        # noise is forgiven inside the range only if what comes after is below as well
        stays = high is not None and later is not None and later <= self.grid[-1] + 1
        return Scenario(K, low, high if stays else later)

    def _measured(self, sign: int) -> int | None:
        shifted = self.mean.copy()
        shifted[self.seen] *= np.exp(sign * self.band)
        return enough_data(self.grid, shifted.tolist(), self.tolerance)

    def _beyond(self, log_T: Array) -> int | None:
        excess = log_T - 2 * np.log1p(self.far) - np.log(self.tolerance)
        above = np.flatnonzero(excess >= 0)
        if not len(above):
            return self.grid[-1] + 1
        j = above[-1]
        if j + 1 == len(excess):
            return None
        part = excess[j] / (excess[j] - excess[j + 1])  # linear in log k within one step
        k = self.far[j] * (self.far[j + 1] / self.far[j]) ** part
        return max(int(np.floor(k * (1 - 1e-9))) + 1, self.grid[-1] + 1)


def _far(k_last: int) -> Array:
    # steps of 0.2 %: between them a curve is straight to a millionth
    return k_last * np.geomspace(1.0, _SEARCHED, 4001)


def _law(
    k: Array, log_T: Array, noise: Array, far: Array
) -> tuple[float | None, float | None, Array]:
    """Exponent, its standard error, and the law beyond with its own: (2, F)."""
    late = k >= k[-1] / _WINDOW
    if late.sum() < 2:
        return None, None, np.empty((2, 0))
    x, y, weight = np.log(k[late] / k[-1]), log_T[late], noise[late] ** -2
    line = np.stack([np.ones_like(x), x], 1)
    covariance = np.linalg.inv(line.T * weight @ line)
    level, slope = covariance @ (line.T * weight @ y)
    rest = (weight * (y - level - slope * x) ** 2).sum() / max(len(x) - 2, 1)
    # scatter above the noise counts; scatter below it is luck, as is that of two points
    covariance *= max(rest, 1.0)
    h = np.log(far / k[-1])
    variance = covariance[0, 0] + 2 * h * covariance[0, 1] + h**2 * covariance[1, 1]
    law = np.stack([level + slope * h, np.sqrt(variance)])
    return float(-slope), float(covariance[1, 1] ** 0.5), law


# -- what comes in, and how numbers are told -------------------------------------------------------


def relative_errors(rows: Array, errors: Array | None, unknown: float) -> Array:
    """Relative standard errors of the mean of the rows (R, m), (m,): the larger of two estimates.

    From the errors within rows, and from the scatter between them; `unknown` with neither.
    """
    mean = np.where(rows.mean(0) > 0, rows.mean(0), 1.0)
    found = np.zeros(rows.shape[1])
    if errors is not None:
        found = np.sqrt((errors**2).sum(0)) / len(rows) / mean
    if len(rows) > 1:  # pooled over k: a handful of runs tells one variance, not m of them
        scatter = rows.std(0, ddof=1) / mean
        pooled = np.sqrt((scatter**2).mean() / len(rows))
        return np.maximum(found, pooled)
    return found if errors is not None else np.full(rows.shape[1], unknown)


def curve_table(name: str, values: Sequence | Tensor, m: int, like: tuple[int, ...] = ()) -> Array:
    """One row or several as (R, m), finite and not negative."""
    try:
        # by way of numpy, whose numbers are float64: torch would round lists to float32
        table = values if isinstance(values, Tensor) else torch.as_tensor(np.asarray(values))
        if table.dtype is torch.bool or table.is_complex():
            raise TypeError
        rows = np.asarray(table.detach().cpu().to(torch.float64))
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(
            f"{name} must hold numbers, one for each of the {m} ks, or one such row for each run; "
            f"got {checks.shown(values)}."
        ) from None
    rows = rows[None] if rows.ndim == 1 else rows
    if rows.ndim != 2 or rows.shape[1] != m or not len(rows) or (like and rows.shape != like):
        wanted = f"(R, {m}) = {like}, as deltas" if like else f"({m},) or (R, {m})"
        raise ValueError(
            f"{name} must have one number for each of the {m} ks, shape {wanted}; got shape "
            f"{tuple(table.shape)}."
        )
    if not (np.isfinite(rows) & (rows >= 0)).all():
        raise ValueError(
            f"{name} must be finite and not negative (squares of losses); got "
            f"{checks.shown(rows.tolist())}. Leave out the k that were not measured."
        )
    return rows


def _told(k: int | None) -> str:
    return "more than can be said" if k is None else count(k)
