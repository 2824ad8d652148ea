"""The picture of notebook 04, Going deeper, of KG24's experiment: width and depth."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from landscape_nb.figures import plots


def width_and_depth(panels: Mapping[str, tuple[Sequence[int], np.ndarray]], k: int) -> None:
    """The mean |increment| in 100 orders, every network a dot, over width and over depth.

    Args:
        panels: "width" and "depth" -> sizes (J,), and increments (S, J), nan where every ReLU of a
            network is dead.
        k: number of samples.
    """
    figure, axes = plots.new_figure(2, width=4.6)
    for ax, (way, (sizes, values)) in zip(axes, panels.items(), strict=True):
        _dots(ax, sizes, values)
        label = "hidden units, at L = 5" if way == "width" else "L, at 16 hidden units"
        plots.log_log(ax, label, "mean |increment| [loss]", f"By {way}", ticks=sizes)
        ax.minorticks_off()
    low, high = np.nanmin([ax.get_ylim() for ax in axes]), np.nanmax([ax.get_ylim() for ax in axes])
    for ax in axes:
        ax.set_ylim(low, high)
    told = []
    for way, (sizes, values) in panels.items():
        middle, dead = _middle(values), int(np.isnan(values).sum())
        told.append(
            f"{way} {sizes[0]} to {sizes[-1]}: {middle[0]:.1e} to {middle[-1]:.1e}, {dead} dead"
        )
    plots.show(
        figure,
        f"At k = {k}, ten seeds; lines join geometric means of the living networks. "
        f"{'; '.join(told)}.",
    )


def _dots(ax: Axes, sizes: Sequence[int], values: np.ndarray) -> None:
    x = np.asarray(sizes, dtype=float)
    spread = 1.06 ** np.linspace(-1, 1, len(values))
    for factor, row in zip(spread, values, strict=True):
        ax.plot(x * factor, row, "o", color=plots.SKY, markersize=3.5)
    plots.curve(ax, x, _middle(values), "top", label="geometric mean")


def _middle(values: np.ndarray) -> np.ndarray:
    return np.exp(np.nanmean(np.log(values), axis=0))
