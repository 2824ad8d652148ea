"""The enough-data curve: runs, the band of their mean, a tolerance, and K with its interval."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from landscape_nb.figures import plots
from landscape_nb.theory.enough import EnoughData


def enough_curve(
    ks: Sequence[int],
    curves: Sequence[Sequence[float]],
    band: ArrayLike,
    found: EnoughData,
    tolerance: float,
    heights: Sequence[float],
    unit: str,
) -> bytes:
    """Curves against k with a tolerance, and on the k axis K with its interval, as PNG.

    Args:
        ks: numbers of samples, (m,).
        curves: of single runs, (R, m).
        band: mean, lower and upper edge, (3, m).
        found: K and its interval.
        tolerance: height of the line.
        heights: lowest and highest of the picture.
        unit: of the curves.
    """
    figure, ax = plots.new_figure(width=6.4, height=4.4)
    mean, low, high = np.clip(band, heights[0] * 1e-3, heights[1] * 1e3)
    title = "From which k on is the change small enough?"
    plots.log_log(ax, "number of samples k", f"criterion \u0394(k) [{unit}]", title, ticks=ks)
    ax.fill_between(ks, low, high, color=plots.BLUE, alpha=0.15, linewidth=0)
    runs = "runs" if len(curves) > 1 else ""
    for j, run in enumerate(np.array(curves)):
        ax.plot(ks, run, color=plots.GREY, linewidth=0.8, label="" if j else runs)
    for edge, label in ((low, f"{100 * found.level:g} % band of the mean"), (high, "")):
        ax.plot(ks, edge, color=plots.BLUE, linewidth=1.2, linestyle=":", label=label)
    plots.curve(ax, ks, mean, "mean", color=plots.BLACK, marker="o")
    ax.axhline(tolerance, color=plots.VERMILLION, linestyle="--", label="tolerance")
    ax.set(xlim=(ks[0] / 1.15, ks[-1] * 1.15), ylim=heights)
    _interval(ax, found, tolerance, heights[0] * (heights[1] / heights[0]) ** 0.03)
    ax.legend(frameon=False, fontsize=9, loc="upper right")
    return plots.still(figure)


def _interval(ax: Axes, found: EnoughData, tolerance: float, y: float) -> None:
    """K on the curve and on the k axis, with its interval; open ends run out of the picture."""
    left, right = ax.get_xlim()
    if found.low is not None:
        low = left if found.low == found.first else found.low
        high = right if found.high is None else max(found.high, low)
        ax.plot([low, high], [y, y], color=plots.BLUE, linewidth=5, solid_capstyle="butt")
    if found.K is not None:
        ax.plot([found.K] * 2, [tolerance, y], color=plots.BLACK, linewidth=1, linestyle=":")
        ax.plot([found.K] * 2, [tolerance, y], "D", color=plots.BLACK, markersize=6)
        name = f"before {found.K}" if found.K == found.first else f"K = {found.K}"
        ax.annotate(name, (found.K, y), xytext=(6, 6), textcoords="offset points", fontsize=9)
