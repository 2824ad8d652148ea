"""What more data would buy: the loss on unseen samples, foreseen a few doublings ahead.

A learning curve falls as a power law over part of its way (Hestness et al. 2017, arXiv 1712.00409;
Viering and Loog 2022, arXiv 2103.10948), and which part is seen only afterwards. So the exponent is
taken mostly from other problems, as in `theory.forecast`, and the interval from how far that was
wrong. On the problems of tests/benchmarks/forecast.md this foresees better than a power law with a
floor fitted to the curve itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from landscape_nb.numerics import checks
from landscape_nb.theory.forecast import (
    FARTHEST,
    Calibration,
    curve_table,
    foreseen,
    relative_errors,
)

# Made by tests/benchmarks/forecast.py, as those of `theory.forecast`, from factors up to 4.
LOSS_CALIBRATION = Calibration(
    exponent=0.38,
    spread=0.14,
    drift=0.29,
    tails=0.82,
    floor=0.04,
    shared=0.31,
    skew=0.47,
    freedom=5.6,
    unknown=0.2,
    stretch=1.58,
)


@dataclass(frozen=True)
class LossForecast:
    """The mean loss on unseen samples after training on more.

    Attributes:
        value: point estimate, the median.
        low: lower end of the interval.
        high: upper end.
        level: of the interval.
        k: number of samples it is foreseen for.
        k_last: the last measured number.
        last: the loss measured there.
    """

    value: float
    low: float
    high: float
    level: float
    k: int
    k_last: int
    last: float

    def __str__(self) -> str:
        """For example '0.15 at k = 480, about 0.11 at k = 960 (90 %: 0.08 to 0.14)'."""
        ends = f"{100 * self.level:g} %: {self.low:.2g} to {self.high:.2g}"
        return (
            f"{self.last:.2g} at k = {self.k_last}, about {self.value:.2g} at k = {self.k} ({ends})"
        )


def forecast_loss(
    ks: Sequence[int] | Tensor,
    losses: Sequence | Tensor,
    k: int,
    *,
    stderrs: Sequence | Tensor | None = None,
    level: float = 0.9,
    calibration: Calibration = LOSS_CALIBRATION,
) -> LossForecast:
    """Forecast the mean loss on unseen samples after training on k.

    log L(k) = level - b h + drift W(h) + noise,  h = log(k/ks[-1])   (`foreseen`)

    Args:
        ks: increasing numbers of samples trained on, (m,).
        losses: mean loss of unseen samples at each, positive: of one run, (m,), or several, (R, m),
            whose mean is forecast.
        k: from ks[-1] to `FARTHEST` times that; the interval was tried at 2 ks[-1].
        stderrs: standard errors of the losses over the unseen samples, of the same shape. Without
            them, and with one run, a typical one is assumed (`Calibration.unknown`).
        level: of the interval, 0.9: chosen here.
        calibration: constants of the model.

    Returns:
        `LossForecast`. Its error is the interval: at twice k it covered 95 % on average on problems
        that the constants had not seen, 82 to 100 % on each, and its ends were a factor of six
        apart (tests/benchmarks/forecast.md). Needs no products.

    Raises:
        ValueError: ks not increasing, losses not positive and finite or of another shape, k not in
            that range, level not in (0, 1).

    >>> print(forecast_loss([120, 240, 480], [0.25, 0.19, 0.15], 960))
    0.15 at k = 480, about 0.12 at k = 960 (90 %: 0.045 to 0.3)
    """
    grid = checks.prefix_lengths(ks, None, high_means="number of samples")
    k = checks.whole_number(
        "k",
        k,
        grid[-1],
        int(FARTHEST * grid[-1]),
        f"the last measured one, to {FARTHEST:g} x",
    )
    level = checks.proper_share("level", level, "of the interval")
    rows = curve_table("losses", losses, len(grid))
    if not (rows > 0).all():
        raise ValueError(
            "losses must be positive: a power law needs a loss that has its floor at zero or "
            f"above; got a smallest one of {rows.min():g}. Subtract what no model can go below."
        )
    errors = None if stderrs is None else curve_table("stderrs", stderrs, len(grid), rows.shape)
    relative, mean = relative_errors(rows, errors, calibration.unknown), rows.mean(0)
    middle, sd = foreseen(
        np.array(grid, float), np.log(mean), relative, np.array([float(k)]), calibration
    )
    half = calibration.quantile(level) * sd[0]
    value, low, high = (float(np.exp(middle[0] + shift)) for shift in (0.0, -half, half))
    return LossForecast(value, low, high, level, k, grid[-1], float(mean[-1]))
