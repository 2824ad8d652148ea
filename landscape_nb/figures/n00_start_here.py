"""The pictures of notebook 00: what one more sample does to a straight line's landscape."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from landscape_nb.figures import maps, plots

LEVELS = [0.25, 0.4, 0.7, 1.2, 2.0, 3.2]  # heights of the contour lines
LIMITS = (1e-6, 10.0)  # of the mean squared change's axis, the same for every k


def two_changes(slopes: Tensor, offsets: Tensor, increments: Mapping[int, Tensor]) -> None:
    """The squared change at k = 5, bright, and at k = 50, dark, on one colour scale.

    Args:
        slopes: (X,), horizontal axis of the window.
        offsets: (Y,), vertical axis.
        increments: k, 5 and 50 -> L_{k+1} - L_k on the window, (Y, X).
    """
    figure, axes = plots.new_figure(2, width=4.4, height=3.7)
    for ax, (k, increment) in zip(axes, increments.items(), strict=True):
        squared, label = increment.square().numpy(), "$(L_{k+1} - L_k)^2$"
        maps.heat_map(ax, slopes, offsets, squared, quantity="squared change", label=label)
        ax.set(title=f"from k = {k} to {k + 1}", xlabel="slope $w_1$", ylabel="offset $w_2$")
    few, many = (float(increment.square().mean()) for increment in increments.values())
    plots.show(
        figure,
        f"On the same colours the right panel is much darker: the mean squared change is {few:.2g} "
        f"at k = 5 and {many:.2g} at k = 50. That is a factor of {few / many:.0f} and not 85, "
        "because this is one order of the data. The dark curves in each panel are where the new "
        "sample is no surprise, so that nothing changes.",
    )


def factors_of_orders(factors: Sequence[float], average: float) -> None:
    """By which factor the change shrinks in each of some orders, beside the average over all.

    Args:
        factors: one for each order.
        average: the factor of the mean squares over all orders.
    """
    figure, ax = plots.new_figure(width=6.2, height=1.8)
    ax.plot(sorted(factors), np.zeros(len(factors)), "o", color=plots.BLUE, alpha=0.6)
    ax.axvline(average, color=plots.VERMILLION, linestyle="--")
    ax.text(average * 1.06, 0.6, "average over all orders", color=plots.VERMILLION)
    ax.set(xscale="log", xlim=(1, 1000), ylim=(-1, 1), yticks=[])
    ax.set_xticks([1, 10, 100, 1000], ["1", "10", "100", "1000"])
    ax.set_xlabel("factor from k = 5 to k = 50")
    ax.spines["left"].set_visible(False)
    plots.show(
        figure,
        f"Each disc is one of the {len(factors)} orders. The smallest factor is "
        f"{min(factors):.1f}, the largest {max(factors):.0f}; the average over all orders gives "
        f"{average:.0f}.",
    )


def one_more_sample(
    x: ArrayLike,
    y: ArrayLike,
    k: int,
    lines: Sequence[tuple[float, float]],
    window: tuple[np.ndarray, np.ndarray],
    before: np.ndarray,
    after: np.ndarray,
) -> bytes:
    """Data, both landscapes and the squared change for one k, as a still PNG.

    Args:
        x: (n,), the samples' places; the first k are "so far", the one after them is "next".
        y: (n,), the samples' values.
        k: number of samples so far.
        lines: (slope, offset) of the best line before and after.
        window: slopes (X,) and offsets (Y,) at which the landscapes are given.
        before: L_k, (Y, X).
        after: L_{k+1}, (Y, X).
    """
    surfaces = before, after, (after - before) ** 2
    figure = maps.one_more_sample(x, y, k, lines, window, surfaces, levels=LEVELS)
    return plots.still(figure)


def factor_from_five(factor: Callable[[int, int], float]) -> None:
    """The learner's factor from 5 samples to 80, a disc at 50.

    Args:
        factor: numbers of samples before and after -> by which factor the change shrinks.
    """
    figure, ax = plots.new_figure(width=5)
    plots.curve(ax, range(5, 81), [factor(5, k) for k in range(5, 81)], "total", marker=None)
    ax.plot([50], [factor(5, 50)], "o", color=plots.VERMILLION)
    ax.set(xlabel="samples k", ylabel="factor since k = 5", title="Exercise 2")
    plots.show(figure, f"From 5 to 50 samples the factor is {factor(5, 50):.0f}.")
