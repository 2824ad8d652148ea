"""A learner's prediction drawn beside what was found."""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from landscape_nb.figures.plots import BLUE, GREY, VERMILLION


def guess_on_a_line(ax: Axes, guess: float | None, truths: ArrayLike, label: str) -> None:
    """The measured numbers and a guess, if any, on one line, logarithmic if they are far apart."""
    runs = np.asarray(truths, dtype=float)
    ax.plot(runs, np.zeros(len(runs)), "|", color=BLUE, markersize=14, markeredgewidth=1.5)
    middle = float(np.median(runs))
    marks = [(middle, "measured", "o", BLUE, -20)]
    if guess is not None:
        marks.append((guess, "your guess", "D", VERMILLION, 12))
    for x, text, marker, colour, offset in marks:
        face = "white" if text == "your guess" else colour
        ax.plot([x], [0], marker, color=colour, markerfacecolor=face, markersize=9)
        ax.annotate(
            text, (x, 0), xytext=(0, offset), textcoords="offset points", ha="center", fontsize=9,
        )  # fmt: skip
    everything = [*runs, *([] if guess is None else [guess])]
    if min(everything) > 0 and max(everything) > 20 * min(everything):
        ax.set_xscale("log")
    ax.axhline(0, color=GREY, linewidth=0.8, zorder=0)
    ax.margins(x=0.15)
    ax.set(yticks=[], ylim=(-1, 1), xlabel=label)
    ax.spines["left"].set_visible(False)


def guess_among_options(ax: Axes, options: Sequence[str], guess: str | None, truth: str) -> None:
    """All options in a row; a guess has a diamond above it, what was found a disc below."""
    for i, option in enumerate(options):
        weight = "bold" if option == truth else "normal"
        width = 54 // len(options)  # else neighbours would meet
        lines = "\n".join(textwrap.wrap(option, width, break_long_words=False))
        ax.text(i, 0, lines, ha="center", va="center", fontsize=10, weight=weight, linespacing=1)
    marks = {"found": (options.index(truth), -0.55, "o", BLUE, BLUE)}
    if guess is not None:
        marks["your guess"] = (options.index(guess), 0.55, "D", VERMILLION, "white")
    for words, (x, y, marker, colour, face) in marks.items():
        ax.plot(x, y, marker, color=colour, markerfacecolor=face, markersize=8)
        side, end = (1, "left") if 2 * x < len(options) - 1 else (-1, "right")  # towards the middle
        ax.annotate(
            words, (x, y), xytext=(9 * side, 0), textcoords="offset points", ha=end, va="center",
            fontsize=9,
        )  # fmt: skip
    ax.set(xlim=(-0.5, len(options) - 0.5), ylim=(-1, 1))
    ax.set_axis_off()
