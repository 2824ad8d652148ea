"""Two rules for when to stop collecting data, compared: a settled landscape, and a flat loss.

    settled   one more sample moves the loss by less than a share of the held-out loss
    flat      twice the samples lower the held-out loss by less than a share of it

The first asks about one sample, the second about k of them. What is asked of a curve here is asked
for good: from which k on does it stay below? `first_stop` is the rule of somebody who cannot know
what comes later.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from landscape_nb.numerics import checks
from landscape_nb.theory.enough import (
    EnoughData,
    enough_data_interval,
    last_crossing,
    rounded_up,
)
from landscape_nb.theory.forecast import FARTHEST, Forecast, curve_table, forecast_enough
from landscape_nb.theory.learning_curve import forecast_loss

Array = NDArray[np.float64]

_BEYOND = 1000.0  # times the last k: farther no law that was fitted is believed. Chosen here


# -- settled ---------------------------------------------------------------------------------------


def relative_change(ks: Sequence[int], T: ArrayLike, losses: ArrayLike) -> Array:
    """What one more sample does to the loss, root mean square, over the held-out loss, (R, m).

    r(k) = sqrt(T(k)) / ((k+1) L(k)),   T = mean over unseen i of (l_i - L_k)^2 at w_k*

    Args:
        ks: (m,), numbers of samples trained on.
        T: (R, m) or (m,), in loss^2.
        losses: held-out losses, of the same shape, positive.

    Returns:
        Dimensionless numbers, one row for each run.

    Raises:
        ValueError: an argument does not fit.

    >>> relative_change([9, 99], [4.0, 4.0], [1.0, 2.0]).tolist()
    [[0.2, 0.01]]
    """
    grid, (squares, L) = _tables(ks, T=T, losses=losses)
    return np.sqrt(squares) / ((grid + 1) * L)


def settled_k(
    ks: Sequence[int], T: ArrayLike, losses: ArrayLike, share: float = 0.01, level: float = 0.9
) -> EnoughData:
    """From which k on one more sample moves the loss by less than a share of the held-out loss.

    `enough_data_interval` of the squares of `relative_change`, with the tolerance share^2.

    Args:
        ks: (m,).
        T: (R, m), in loss^2; R >= 2 runs.
        losses: (R, m), held-out losses.
        share: 0.01: chosen here.
        level: of the interval, which speaks of the mean of all such runs.

    Raises:
        ValueError: an argument does not fit.

    >>> print(settled_k([50, 100, 200], [[1.0] * 3] * 2, [[1.0] * 3] * 2))
    99 (90 %)
    """
    share = checks.positive("share", share, "of the held-out loss")
    squares = relative_change(ks, T, losses) ** 2
    return enough_data_interval(ks, squares.tolist(), share**2, level=level)


def forecast_settled(
    ks: Sequence[int],
    T: ArrayLike,
    losses: ArrayLike,
    *,
    T_stderrs: ArrayLike,
    loss_stderrs: ArrayLike,
    share: float = 0.01,
) -> Forecast:
    """`forecast_enough` for a tolerance that falls with the held-out loss.

    K = min { k : T(k)/(k+1)^2 < (share L(K))^2 },   L(K) by `forecast_loss`: a few turns

    Args:
        ks: (m,).
        T: (m,) or (R, m), in loss^2.
        losses: held-out losses, of the same shape.
        T_stderrs: standard errors of T over the unseen samples.
        loss_stderrs: those of the losses.
        share: 0.01: chosen here.

    Returns:
        `Forecast` at the last tolerance. Its ends do not know that the held-out loss at K is a
        forecast itself.

    Raises:
        ValueError: an argument does not fit.

    >>> k = [20, 40, 80]
    >>> error = [0.1, 0.1, 0.1]
    >>> found = forecast_settled(k, [1.0] * 3, [1.0] * 3, T_stderrs=error, loss_stderrs=error)
    >>> 80 < found.K < 200
    True
    """
    grid, (squares, L, errors, L_errors) = _tables(
        ks, T=T, losses=losses, T_stderrs=T_stderrs, loss_stderrs=loss_stderrs
    )
    weight, K = (grid + 1) ** 2, int(grid[-1])
    for _ in range(6):  # the tolerance moves half as fast as K, so the turns close in
        tolerance = (share * _loss_at(K, grid, L, L_errors)) ** 2
        found = forecast_enough(
            ks, (squares / weight).tolist(), tolerance, stderrs=(errors / weight).tolist()
        )
        if found.K is None or abs(found.K - K) <= 0.005 * K:
            break
        K = found.K
    return found


def _loss_at(K: int, grid: Array, losses: Array, stderrs: Array) -> float:
    """Measured, between two k, or foreseen."""
    if grid[-1] >= K:
        return float(np.exp(np.interp(math.log(K), np.log(grid), np.log(losses.mean(0)))))
    k = min(K, int(FARTHEST * grid[-1]))
    measured = grid.astype(int).tolist(), losses.tolist()
    return forecast_loss(*measured, k, stderrs=stderrs.tolist()).value


# -- flat ------------------------------------------------------------------------------------------


def halvings(ks: Sequence[int], losses: ArrayLike) -> tuple[list[int], list[int], Array]:
    """How often twice the samples halve the held-out loss: 0 not at all, 1 once.

    h(k) = log(L(k)/L(k')) / log(k'/k),   k' the measured number nearest to 2k, within 10 %

    The gain of a doubling is 1 - 2^-h. Where L ~ k^-b, h is b everywhere.

    Args:
        ks: (m,).
        losses: (R, m) or (m,), positive.

    Returns:
        The k that have a k', those k', and h, (R, their number).

    Raises:
        ValueError: an argument does not fit; no two k lie a factor of 2 apart.

    >>> halvings([10, 20, 40], [8.0, 4.0, 4.0])
    ([10, 20], [20, 40], array([[1., 0.]]))
    """
    grid, (L,) = _tables(ks, losses=losses)
    off = np.abs(np.log(grid / (2 * grid[:, None])))
    pairs = [(j, int(row.argmin())) for j, row in enumerate(off) if row.min() < 0.1]
    if not pairs:
        raise ValueError(
            f"ks must hold numbers a factor of 2 apart, within 10 %; got {list(ks)}. Measure at "
            "doublings or half doublings."
        )
    low, high = (list(side) for side in zip(*pairs, strict=True))
    h = np.log(L[:, low] / L[:, high]) / np.log(grid[high] / grid[low])
    return grid[low].astype(int).tolist(), grid[high].astype(int).tolist(), h


def flat_k(
    ks: Sequence[int], losses: ArrayLike, gain: float = 0.01, level: float = 0.9
) -> EnoughData:
    """From which k on twice the samples lower the held-out loss by less than a share of it.

    k = min { k : 1 - 2^-h(k') < gain for all k' >= k },   h averaged over the runs (`halvings`)

    Between two k, h is a straight line over log k. The interval runs from the last k at which
    Student's t is sure of a larger gain to the first from which on it is sure of a smaller one.

    Args:
        ks: (m,).
        losses: (R, m), positive; R >= 2 runs.
        gain: a share between 0 and 1 (0.01: one part in a hundred, chosen here).
        level: of the interval.

    Returns:
        `EnoughData`, whose `last` is the last k with a measured double.

    Raises:
        ValueError: an argument does not fit.

    >>> print(flat_k([10, 20, 40, 80], [[8.0, 4.0, 4.0, 4.0]] * 2, 1 - 0.5**0.5))
    15 (90 %)
    """
    gain = checks.proper_share("gain", gain, "a share", 0.1)
    level = checks.proper_share("level", level, "a share", 0.1)
    grid, _, h = halvings(ks, losses)
    if len(h) < 2:
        raise ValueError("There must be at least two runs, one a row: one shows no scatter.")
    half = scipy.special.stdtrit(len(h) - 1, (1 + level) / 2) * scipy.stats.sem(h, axis=0)
    mean, at = h.mean(0), -math.log2(1 - gain)
    curves = (mean - half, mean, mean + half)
    low, K, high = (rounded_up(last_crossing(grid, curve, at)) for curve in curves)
    scatter = "what differed between the runs: seeds, orders of the data, held-out samples"
    return EnoughData(K, low, high, level, grid[0], grid[-1], scatter)


@dataclass(frozen=True)
class FloorLaw:
    """A power law with a floor: L(k) = floor + scale (k/k_last)^-exponent, in units of loss."""

    floor: float
    scale: float
    exponent: float
    k_last: int

    def flat_k(self, gain: float = 0.01) -> float | None:
        """Where a doubling gains less than a share; None: beyond 1000 k_last, or nowhere.

        >>> round(FloorLaw(1.0, 1.0, 1.0, 100).flat_k(0.1))        # 1 + 1/x falls by 1/(2x)
        400
        """
        gain, b = checks.proper_share("gain", gain, "a share", 0.1), self.exponent
        falls = self.scale * (1 - 2**-b - gain)  # times x^-b: must be below gain times the floor
        if falls <= 0:
            return 0.0
        log_x = (math.log(falls) - math.log(gain * self.floor)) / b if self.floor > 0 else math.inf
        return None if log_x > math.log(_BEYOND) else self.k_last * math.exp(log_x)


def floor_law(ks: Sequence[int], losses: ArrayLike) -> FloorLaw:
    """Fit a power law with a floor to the mean of the logarithms, by least squares.

    An extrapolation with no opinion of its own: on other problems it was worse than
    `forecast_loss` (tests/benchmarks/forecast.md), which has no floor and so never gets flat.

    Args:
        ks: (m,); m >= 4.
        losses: (R, m) or (m,), positive.

    Raises:
        ValueError: an argument does not fit.

    >>> law = floor_law([10, 20, 40, 80], [1 + 8 / 10, 1 + 4 / 10, 1 + 2 / 10, 1 + 1 / 10])
    >>> round(law.floor, 3), round(law.scale, 3), round(law.exponent, 3)
    (1.0, 0.1, 1.0)
    """
    grid, (L,) = _tables(ks, losses=losses)
    if len(grid) < 4:
        raise ValueError(f"A law of three numbers needs at least four ks; got {len(grid)}.")
    x, y = np.log(grid / grid[-1]), np.log(L).mean(0)

    def off(p: Array) -> Array:
        return np.logaddexp(p[0], p[1] - np.exp(p[2]) * x) - y

    half, slopes = y[-1] - math.log(2), (-1.2, 0.0)  # exponents 0.3 and 1; one may lead astray
    bounds = ([y[-1] - 30, -40, -4.6], [y.max() + 1, 40, 1.1])  # exponents 0.01 to 3
    fits = [scipy.optimize.least_squares(off, [half, half, b], bounds=bounds) for b in slopes]
    floor, scale, exponent = np.exp(min(fits, key=lambda found: found.cost).x)
    return FloorLaw(float(floor), float(scale), float(exponent), int(grid[-1]))


# -- what a rule costs -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Stop:
    """Where somebody stopped who trains at each k in turn and cannot look ahead.

    Attributes:
        k: samples collected when the rule spoke, or at the end.
        trainings: made until then.
        samples: trained on in all of these, added up.
        reached: whether the rule spoke at all.
    """

    k: int
    trainings: int
    samples: int
    reached: bool


def first_stop(
    ks: Sequence[int], values: ArrayLike, threshold: float, needs: Sequence[int] | None = None
) -> Stop:
    """Stop at the first value below a threshold.

    Args:
        ks: (m,), where somebody trains, one after the other.
        values: (m',), known one after the other.
        threshold: in their unit.
        needs: (m',), the k up to which one must have trained to know each value (ks itself).

    >>> first_stop([10, 20, 40], [3.0, 0.5, 0.1], 1.0)
    Stop(k=20, trainings=2, samples=30, reached=True)
    >>> first_stop([10, 20, 40], [0.5, 0.1], 1.0, needs=[20, 40])
    Stop(k=20, trainings=2, samples=30, reached=True)
    """
    known = list(ks if needs is None else needs)
    ends = [
        k for k, value in zip(known, np.asarray(values, float), strict=True) if value < threshold
    ]
    last = ends[0] if ends else ks[-1]
    trained = [k for k in ks if k <= last]
    return Stop(last, len(trained), sum(trained), bool(ends))


# -- arguments -------------------------------------------------------------------------------------


def _tables(ks: Sequence[int], **named: ArrayLike) -> tuple[Array, list[Array]]:
    """Increasing ks and (R, m) tables of one shape; the losses positive."""
    grid = checks.prefix_lengths(ks, None, high_means="number of samples")
    tables: list[Array] = []
    for name, values in named.items():
        like = tables[0].shape if tables else ()
        tables.append(curve_table(name, np.asarray(values).tolist(), len(grid), like))
        if name == "losses" and not (tables[-1] > 0).all():
            raise ValueError(
                f"losses must be positive, since shares of them are asked for; got a smallest one "
                f"of {tables[-1].min():g}. Subtract what no model can go below."
            )
    return np.array(grid, float), tables
