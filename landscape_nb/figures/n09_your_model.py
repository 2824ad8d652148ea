"""Figures of notebook 09: what to buy, who carries the average, what directions see."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from landscape_nb.figures import plots
from landscape_nb.figures.forecast import forecast_along_k
from landscape_nb.figures.scales import colours_of
from landscape_nb.theory.enough import EnoughData
from landscape_nb.theory.forecast import Forecast

PIXELS = 8  # along each side of a digit


def what_to_buy(
    along: tuple[list[int], Tensor, Tensor], found: Forecast, measured: EnoughData, told: str
) -> None:
    """The measured curve, carried on to where it falls below the tolerance, and what that costs.

    Args:
        along: numbers of samples (K,), mean squared increments (K,), their band (2, K).
        found: what `forecast_enough` said of them.
        measured: K between the measured numbers of samples.
        told: how many samples to buy, in words.
    """
    figure, ax = plots.new_figure(width=6.4, height=3.6)
    forecast_along_k(ax, *along, found, measured)
    plots.show(figure, f"Labels to buy until one more no longer matters: {told}.")


def who_carries(squares: ArrayLike, inputs: ArrayLike, names: ArrayLike, most: int = 8) -> None:
    """Shares of the hardest samples in a mean of squares, with their pictures if they are digits.

    Args:
        squares: squared increment of each unseen sample, (n,).
        inputs: these samples, (n, ...); drawn where each is a digit of 64 pixels.
        names: what each of them is, (n,).
        most: how many to show.
    """
    squares, pixels = np.asarray(squares), np.asarray(inputs)
    hardest = np.argsort(squares)[::-1][:most]
    shares = squares[hardest] / squares.sum()
    figure, ax = plots.new_figure(width=6.4, height=3.4)
    ax.bar(range(len(shares)), shares, color=plots.BLUE)
    ax.set(ylim=(0, 1), ylabel="share of the mean square")
    words = [str(np.asarray(names)[i]) if np.ndim(names) == 1 else "" for i in hardest]
    ax.set_xticks(range(len(shares)), words)
    ax.set_xlabel("the hardest unseen samples, and what they are")
    if pixels[0].size == PIXELS**2:
        for place, i in enumerate(hardest):
            inset = ax.inset_axes(
                (place - 0.35, shares[place] + 0.03, 0.7, 0.24), transform=ax.transData
            )
            inset.imshow(pixels[i].reshape(PIXELS, PIXELS), cmap=colours_of("brightness"))
            inset.axis("off")
    half = 1 + int(np.sum(np.cumsum(np.sort(squares)[::-1]) < squares.sum() / 2))
    plots.show(
        figure,
        f"Of {len(squares)} unseen samples the hardest carries {shares[0]:.0%} of the mean square, "
        f"the hardest {len(shares)} together {shares.sum():.0%}; {half} of them "
        f"make{'s' if half == 1 else ''} up half.",
    )


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
