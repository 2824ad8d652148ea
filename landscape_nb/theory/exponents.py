"""Power laws of a layer's spectrum: slopes on log-log axes, and what they must satisfy anyway.

For curvatures h_k along the modes of a gradient with singular values sigma_k (`theory.layers`) C26
  alpha   slope of log h on log sigma      gamma   minus the slope of log sigma on log k
  s       minus the slope of log h on log k (C26 sorts h by size first, for s only)
C26 calls s = alpha gamma algebraic, and gamma an effective exponent over a window of ranks: it
reports itself that a log-normal fits most lists of sigma better (both texts).
"""

from dataclasses import dataclass

import numpy as np
import scipy
import torch
from torch import Tensor


@dataclass(frozen=True)
class Slope:
    """A straight line through log y against log x, by least squares.

    Attributes:
        value: the slope.
        stderr: its standard error, if the points scattered independently (spectra do not: it is
            too small).
        r2: share of the variance of log y on the line.
        num_points: points on which it rests.
    """

    value: float
    stderr: float
    r2: float
    num_points: int


def log_slope(x: Tensor, y: Tensor) -> Slope:
    """Slope of log y on log x.

    Raises:
        ValueError: fewer than three points, not all positive, or all at the same x.

    >>> k = torch.arange(1, 9).double()
    >>> round(log_slope(k, 5 * k**-2).value, 12)
    -2.0
    """
    x, y = (torch.as_tensor(t, dtype=torch.float64).cpu() for t in (x, y))
    if x.shape != y.shape or x.ndim != 1 or len(x) < 3:
        raise ValueError(
            f"A slope needs two vectors of one length, three points at least; got {tuple(x.shape)} "
            f"and {tuple(y.shape)}."
        )
    if not all(bool(((t > 0) & t.isfinite()).all()) for t in (x, y)):
        raise ValueError(
            "A slope of logarithms needs positive finite numbers; leave the others out."
        )
    if (x == x[0]).all():
        raise ValueError("A slope needs points at different x; all of these are at the same.")
    if (y == y[0]).all():  # level: nothing varies, and the line leaves nothing
        return Slope(0.0, 0.0, 1.0, len(x))
    # by hand: to load scipy.stats takes longer than all slopes of a notebook
    x, y = (t.log() - t.log().mean() for t in (x, y))
    value = float(x @ y / (x @ x))
    left = float((y - value * x).square().sum())
    stderr = (left / (len(x) - 2) / float(x @ x)) ** 0.5
    return Slope(value, stderr, 1 - left / float(y @ y), len(x))


@dataclass(frozen=True)
class Exponents:
    """Three slopes of one layer, and how far the triangle s = alpha gamma must hold anyway.

    Attributes:
        alpha: of log h on log sigma.
        gamma: minus that of log sigma on log k (its value is positive where sigma falls).
        s: minus that of log h on log k.
        bound: largest |s - alpha gamma| that the two fits allow, whatever the data:
            (sd log h / sd log k) sqrt(1 - R2_alpha) sqrt(1 - R2_gamma).
        left_out: modes whose curvature is not positive, which have no logarithm.
    """

    alpha: Slope
    gamma: Slope
    s: Slope
    bound: float
    left_out: int

    @property
    def gap(self) -> float:
        """|s - alpha gamma|."""
        return abs(self.s.value - self.alpha.value * self.gamma.value)


def exponents(sigma: Tensor, h: Tensor) -> Exponents:
    """alpha, gamma and s of curvatures h against singular values sigma, (r,), in their order.

    All three on the same modes, those with h > 0, at their own ranks k. Then
    s - alpha gamma = -cov(e_alpha, log k)/var(log k), with e_alpha the residuals of the first
    fit, so the bound is Cauchy and Schwarz: good fits leave the triangle no choice.

    Raises:
        ValueError: fewer than three modes with positive curvature.

    >>> k = torch.arange(1, 20).double()
    >>> found = exponents(k**-1.5, k**-3.0)
    >>> round(found.alpha.value, 9), round(found.gamma.value, 9), round(found.s.value, 9)
    (2.0, 1.5, 3.0)
    """
    sigma, h = (torch.as_tensor(t, dtype=torch.float64).cpu() for t in (sigma, h))
    if sigma.shape != h.shape:
        raise ValueError(
            f"sigma and h must have one length; got {tuple(sigma.shape)} and {tuple(h.shape)}."
        )
    ranks = torch.arange(1, len(sigma) + 1, dtype=torch.float64)
    good = (h > 0) & (sigma > 0)
    x, y, k = sigma[good], h[good], ranks[good]
    alpha, falling, s = log_slope(x, y), log_slope(k, x), log_slope(k, y)
    scale = float(y.log().std() / k.log().std())
    bound = scale * (max(1 - alpha.r2, 0.0) * max(1 - falling.r2, 0.0)) ** 0.5
    return Exponents(alpha, _negated(falling), _negated(s), bound, int((~good).sum()))


def participation_ratio(h: Tensor) -> float:
    """(sum h)^2 / sum h^2, the number of modes that carry the curvature; 1..r for h >= 0.

    Raises:
        ValueError: h is not finite, or all zero.
    """
    h = torch.as_tensor(h, dtype=torch.float64)
    largest = float(h.abs().max()) if h.numel() else 0.0
    if not 0 < largest < float("inf"):
        raise ValueError(
            "A participation ratio needs finite curvatures, one of them at least not zero; got "
            f"{h.numel()}, the largest in magnitude {largest:g}."
        )
    h = h / largest  # squares of large or small ones would leave the range
    return float(h.sum().square() / h.square().sum())


def participation_bound(p: float) -> float:
    """zeta(p)^2 / zeta(2p): the participation ratio of the whole power law k^-p.

    An upper bound for r modes that follow it exactly (adding modes only adds); infinite for
    p <= 1, where it says nothing.
    """
    return float(scipy.special.zeta(p) ** 2 / scipy.special.zeta(2 * p)) if p > 1 else float("inf")


def spectrum_bic(values: Tensor) -> dict[str, float]:
    """Bayes' information criterion of three shapes of a falling spectrum; the smallest is best.

    Of log values, sorted: power law, linear in log k; exponential, linear in k; log-normal,
    linear in the normal quantile of (k - 1/2)/r. All have two parameters and a scatter, so they
    differ by fit alone: r log(RSS/r) + 3 log r. C26's "log-normal" is another, quadratic in log k,
    with a parameter more (`study.evidence.published_spectra.best_in_rank`).

    Args:
        values: (r,), positive, r >= 4.
    """
    y = torch.as_tensor(values, dtype=torch.float64).cpu().flatten().numpy()
    if len(y) < 4 or not ((y > 0) & np.isfinite(y)).all():
        raise ValueError(
            "values must be positive and finite, four of them at least; got "
            f"{len(y)}, of which {int(((y > 0) & np.isfinite(y)).sum())} are."
        )
    y = np.sort(y)[::-1]
    y, k, r = np.log(y), np.arange(1, len(y) + 1), len(y)
    shapes = {
        "power law": np.log(k),
        "exponential": k,
        "log-normal": scipy.special.ndtri((k - 0.5) / r),
    }
    scores = {}
    for name, x in shapes.items():
        rest = y - np.polyval(np.polyfit(x, y, 1), x)
        rss = max(float(rest @ rest), np.finfo(float).tiny)
        scores[name] = r * np.log(rss / r) + 3 * np.log(r)
    return scores


def _negated(slope: Slope) -> Slope:
    return Slope(-slope.value, slope.stderr, slope.r2, slope.num_points)
