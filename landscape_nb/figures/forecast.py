"""Measured squared increments along k, and how they may go on: the picture of a forecast."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter
from torch import Tensor

from landscape_nb.figures import plots
from landscape_nb.numerics.wording import exact
from landscape_nb.theory.enough import EnoughData
from landscape_nb.theory.forecast import Forecast


def forecast_along_k(
    ax: Axes,
    ks: list[int],
    means: Tensor,
    band: Tensor,
    found: Forecast,
    measured: EnoughData | None = None,
) -> None:
    """Measured means (K,) with their band (2, K); beyond the last k the two stories and K.

    Args:
        ax: empty axes.
        ks: measured numbers of samples.
        means: mean squared increments, in loss^2.
        band: lower and upper edge.
        found: what `forecast_enough` said of them.
        measured: K between the measured k; where it is reached, it is marked and not the forecast.
    """
    # zero has no logarithm, and an edge without end would press the rest into a line
    largest = float(means.max()) or found.tolerance
    smallest = 1e-4 * min(largest, found.tolerance)
    y = np.maximum(means.numpy(), smallest)
    edges = np.clip(band.numpy(), y / 30, y * 30)
    line = plots.curve(ax, ks, y, "total", label="measured")
    if len(ks) > 1:
        ax.fill_between(ks, *edges, color=line.get_color(), alpha=0.18, linewidth=0)
    else:
        ax.vlines(ks, *edges, color=line.get_color(), alpha=0.4, linewidth=3)
    far = _beyond(ks[-1], found)
    for label, colour, dash, exponent in _stories(found):
        fall = ((ks[-1] + 1) / (far + 1)) ** 2 * (far / ks[-1]) ** -exponent
        ax.plot(far, y[-1] * fall, color=colour, linestyle=dash, label=label)
    shown = _tolerance_shown(found, y)
    if shown:
        ax.axhline(found.tolerance, color=plots.VERMILLION, linestyle="--", linewidth=1.2)
        ax.annotate(
            "tolerance", (1, found.tolerance), xytext=(0, 3), textcoords="offset points",
            xycoords=ax.get_yaxis_transform(), ha="right", color=plots.VERMILLION, fontsize=9,
        )  # fmt: skip
        if measured is not None and measured.K is not None:
            _mark(ax, found.tolerance, measured.K, measured.low, measured.high or ks[-1], "K")
        elif found.K is not None:
            name = "K, extrapolated" if found.extrapolated else "K"
            end = min(found.high or far[-1], far[-1])  # as far as the picture goes
            _mark(ax, found.tolerance, found.K, found.low, end, name)
    plots.log_log(ax, "number of samples k", "squared increment", "")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(lambda k, _: exact(round(k)))
    ax.xaxis.set_minor_formatter(NullFormatter())
    low, high = ax.get_ylim()
    # room for the letter K below the line, and for the legend above the curves
    ax.set_ylim(low / (high / low) ** 0.12, high * (high / low) ** 0.12)
    ax.legend(frameon=False, fontsize=9, loc="upper right")


def _tolerance_shown(found: Forecast, y: np.ndarray) -> bool:
    """Not where it lies so far away that the curves would be flat."""
    return y.min() / 1e6 < found.tolerance < 1e6 * y.max()


def _stories(found: Forecast) -> list[tuple[str, str, str, float]]:
    stories = [("if learning stopped", plots.BLUE, ":", 0.0)]
    if found.if_continued is not None and found.exponent is not None:
        stories.append(("if it went on", plots.GREEN, "-.", found.exponent))
    return stories


def _beyond(last: int, found: Forecast) -> np.ndarray:
    """As far as the forecast reaches, at least a doubling."""
    ends = [2 * last, found.K, found.high, found.if_stopped.K]
    return np.geomspace(last, min(max(k for k in ends if k is not None), 100 * last), 50)


def _mark(ax: Axes, at: float, K: int, low: int | None, high: float, name: str) -> None:
    """K and its interval, on the line of the tolerance."""
    ax.plot([low or K, high], [at, at], color=plots.VERMILLION, linewidth=5, alpha=0.35)
    ax.plot([K], [at], color=plots.VERMILLION, marker="D", linestyle="none")
    ax.annotate(
        name, (K, at), xytext=(0, -17), textcoords="offset points", ha="center", fontsize=9,
        color=plots.VERMILLION, bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
    )  # fmt: skip
