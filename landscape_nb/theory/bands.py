"""Pointwise bands of measured mean curves: over runs, and over the next samples of one run.

Both are made on the logarithm, where a criterion that is a mean of squares scatters evenly. Each
speaks of what differed between the rows that it was given, and of nothing else.
"""

from collections.abc import Sequence

import numpy as np
import torch
from scipy.special import stdtrit
from torch import Tensor

from landscape_nb.numerics import checks

Rows = Sequence[Sequence[float]] | Tensor
Band = tuple[Tensor, Tensor, Tensor]


def mean_band(curves: Rows, level: float = 0.9) -> tuple[Tensor, Tensor]:
    """Pointwise band of the mean curve of all runs that might have been made, (m,) and (m,).

    log M_k  =  log mean_r Delta_rk  +-  t_{R-1} sqrt(s^2/R + s^4/(2(R-1))),  s = sd_r log Delta_rk

    Student's t, around the mean, with the standard error of the logarithm of a log-normal mean
    (Cox's, in Zhou and Gao 1997). At a k where a run is exactly zero, s is the standard deviation
    of Delta over its mean. Nothing is drawn at random.

    It speaks of all that differed between the runs: seeds of the first weights, orders of the data
    and next samples, if each run had its own.

    Args:
        curves: (R, m), the criterion of each run at each k, not negative; R >= 2.
        level: of the band at each single k, 0.9: chosen here.

    Returns:
        Lower and upper edge, in the unit of the curves.

    Raises:
        ValueError: an argument does not fit.

    >>> low, high = mean_band([[1.0], [2.0], [4.0]])
    >>> round(float(low), 3), round(float(high), 3)
    (0.597, 9.118)
    """
    _, low, high = runs_band(measured_rows(curves, None, RUNS), level)
    return low.exp(), high.exp()


def one_run_band(
    squares: Rows, generator: torch.Generator, *, num_resamples: int = 2000, level: float = 0.9
) -> tuple[Tensor, Tensor]:
    """Pointwise band of one run's mean squared increment over all next samples, (K,) and (K,).

    log M_k  =  log mean  -  T se,   se = s / (mean sqrt(m)),   T ~ (log mean* - log mean) / se*

    with stars for resamples: the studentised bootstrap (Efron 1981, Hall 1988) of the logarithm,
    never narrower than Student's t. A draw that misses the few hard samples has too small a mean
    *and* too small a standard error; T is skewed by just that, and lifts the upper edge.

    It speaks of the choice of next samples alone. Of a kind of sample that is not among the m no
    resample can know. Costs num_resamples products of m with m x K.

    Args:
        squares: (m, K), squared increments of m unseen samples, the same at each k; m >= 2.
        generator: source of the resamples.
        num_resamples: 2000: chosen here.
        level: of the band at each single k, 0.9: chosen here.

    Returns:
        Lower and upper edge, in the unit of the squares. The upper one is infinite where more than
        (1 - level)/2 of the resamples hold nothing but zeros.

    Raises:
        ValueError: an argument does not fit.

    >>> low, high = one_run_band(torch.full((50, 1), 3.0), torch.Generator().manual_seed(0))
    >>> round(float(low), 9), round(float(high), 9)
    (3.0, 3.0)
    """
    rows = measured_rows(squares, None, NEXT_SAMPLES)
    _, low, high = next_samples_band(rows, generator, num_resamples, level)
    return low.exp(), high.exp()


# -- the same in logarithms, with the log of the mean first ---------------------------------------


def runs_band(rows: Tensor, level: float) -> Band:
    """Log of the mean over rows (R, m), and the log of the edges of `mean_band`."""
    half_tail = (1 + checks.proper_share("level", level, "of the interval")) / 2
    R = len(rows)
    mean = rows.mean(0)
    relative = rows / mean.clamp_min(_TINY)  # first: the square of a small unit would underflow
    variance = torch.where((rows > 0).all(0), relative.log().var(0), relative.var(0))
    error = (variance / R + variance.square() / (2 * (R - 1))).sqrt()
    half = float(stdtrit(R - 1, half_tail)) * error
    return mean.log(), mean.log() - half, mean.log() + half


def next_samples_band(
    rows: Tensor, generator: torch.Generator, num_resamples: int, level: float
) -> Band:
    """Log of the mean over rows (m, K), and the log of the edges of `one_run_band`."""
    count = checks.whole_number("num_resamples", num_resamples, 1, 10**7, "bootstrap resamples")
    half_tail = (1 + checks.proper_share("level", level, "of the interval")) / 2
    generator = checks.explicit_generator(generator)
    m = len(rows)
    mean = rows.mean(0)
    off = rows / mean.clamp_min(_TINY) - 1
    error = off.std(0) / m**0.5
    chunk = max(1, 2**20 // m)  # 8 MB of counts at a time
    parts = [min(chunk, count - done) for done in range(0, count, chunk)]
    T = torch.cat([_studentised(off, part, generator) for part in parts]).sort(0).values
    skip = int((1 - half_tail) * (count - 1))
    t = float(stdtrit(m - 1, half_tail))
    # samples that are all alike leave no error, and zero times an infinite T is no answer
    down = torch.where(error > 0, T[-1 - skip].clamp_min(t) * error, 0.0)
    up = torch.where(error > 0, -T[skip].clamp_max(-t) * error, 0.0)
    return mean.log(), mean.log() - down, mean.log() + up


def _studentised(off: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """T of resamples of rows (m, K), which are deviations from the mean in units of the mean."""
    m = len(off)
    drawn = torch.randint(m, (count, m), generator=generator)
    weights = off.new_zeros(drawn.shape)
    weights = weights.scatter_add_(1, drawn, torch.ones_like(weights)) / m
    shift = weights @ off
    ratio = (1 + shift).clamp_min(0)
    variance = (weights @ off.square() - shift.square()).clamp_min(0) / (m - 1)
    T = (ratio.log() * ratio / variance.sqrt()).nan_to_num(0.0, torch.inf, -torch.inf)
    # a resample of zeros, up to the rounding of 1 + shift, is as far off as can be
    return T.masked_fill(ratio < 1e-12, -torch.inf)


# -- arguments ------------------------------------------------------------------------------------

_TINY = torch.finfo(torch.float64).tiny
RUNS = "runs"
NEXT_SAMPLES = "next samples"


def measured_rows(rows: Rows, columns: int | None, what: str) -> Tensor:
    """Check at least two rows of numbers that are finite and not negative, in float64."""
    values = as_numbers("squares" if what == NEXT_SAMPLES else "curves", rows)
    width = "K" if columns is None else str(columns)
    if values.ndim != 2 or len(values) < 2 or not values.shape[1]:
        raise ValueError(
            f"There must be at least two {what}, one a row, ({what}, {width}); got shape "
            f"{tuple(values.shape)}. One alone says nothing about its scatter: use enough_data."
        )
    if columns is not None and values.shape[1] != columns:
        raise ValueError(
            f"Each row must hold one number for each of the {columns} ks; got shape "
            f"{tuple(values.shape)}. Leave out the k that were not measured."
        )
    if not torch.isfinite(values).all() or (values < 0).any():
        raise ValueError(
            "A mean of squared increments must be finite and not negative; got numbers from "
            f"{float(values.min()):g} to {float(values.max()):g}. Leave out the {what} that failed."
        )
    return values


def as_numbers(name: str, values: object) -> Tensor:
    """Any table of real numbers, in float64 on the CPU."""
    try:
        # by way of numpy, whose numbers are float64: torch would round lists to float32
        tensor = values if isinstance(values, Tensor) else torch.as_tensor(np.asarray(values))
        if tensor.is_complex() or tensor.dtype is torch.bool:
            raise TypeError
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise ValueError(
            f"{name} must hold real numbers, as many in each row; got {checks.shown(values)}."
        ) from None
    return tensor.detach().to("cpu", torch.float64)
