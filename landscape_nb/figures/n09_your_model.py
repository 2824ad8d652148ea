"""Figures of notebook 09: what the sharpest directions of a model see."""

from collections.abc import Mapping, Sequence

import numpy as np

from landscape_nb.figures import plots


def share_of_the_gradient(shares: Mapping[str, Sequence[float]], N: int) -> None:
    """Exercise 2: share of the squared gradient that D directions see, beside D/N.

    Args:
        shares: "sharpest" and "random" -> means over unseen samples, for D = 1, 2, ...
        N: number of parameters.
    """
    figure, ax = plots.new_figure(width=5.4)
    dimensions = np.arange(1, len(shares["random"]) + 1)
    for (name, means), look in zip(shares.items(), ("top", "random"), strict=True):
        plots.curve(ax, dimensions, means, look, label=f"{name} directions")
    plots.curve(ax, dimensions, dimensions / N, "own", marker=None, label="$D/N$")
    title, ticks = "Exercise 2", (1, 2, 5, 10, 20)
    plots.log_log(ax, "D", "share of the squared gradient", title, ticks=ticks)
    ax.legend(frameon=False, fontsize=8, loc="lower right")
    plots.show(
        figure,
        f"Twenty of {N} directions see {shares['sharpest'][-1]:.2f} if they are the sharpest ones, "
        f"{shares['random'][-1]:.3f} if they are random, where D/N is {20 / N:.3f}.",
    )
