"""Figures of notebook 10: coins, what a few seeds can decide, the count of verdicts."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from landscape_nb.figures import plots

COLOURS = (plots.BLUE, plots.SKY, plots.VERMILLION, plots.GREY, plots.GREEN)
HATCHES = ("", "//", "xx", "..", "\\\\")


def five_pairs(A: Sequence[float], B: Sequence[float]) -> None:
    """Two methods with the same seeds, one line a seed.

    Args:
        A, B: accuracy of each seed.
    """
    figure, ax = plots.new_figure(width=4.6, height=2.8)
    for a, b in zip(A, B, strict=True):
        ax.plot([0, 1], [b, a], color=plots.GREY, linewidth=1)
    ax.plot([0] * len(B), B, "s", color=plots.ORANGE)
    ax.plot([1] * len(A), A, "o", color=plots.BLUE)
    ax.set_xticks([0, 1], ["method B", "method A"])
    ax.set(xlim=(-0.4, 1.4), ylabel="accuracy (invented)")
    wins = sum(a > b for a, b in zip(A, B, strict=True))
    plots.show(figure, f"{len(A)} seeds, one line each: A wins {wins} times of {len(A)}.")


def tosses(heads: ArrayLike, rows: int = 10) -> None:
    """Many experiments with a few seeds each, as coins; those that are unanimous are framed.

    Args:
        heads: which way each coin fell, (experiments, seeds).
        rows: of the picture.
    """
    heads = np.asarray(heads, dtype=bool)
    agree = np.asarray(heads.all(1) | ~heads.any(1))
    seeds, columns = heads.shape[1], -(-len(heads) // rows)
    figure, ax = plots.new_figure(width=7.4, height=2.6)
    for i, coins in enumerate(heads):
        x = (i // rows) * (seeds + 2) + np.arange(seeds)
        y = np.full(seeds, i % rows)
        ax.plot(x[coins], y[coins], "o", color=plots.BLUE, markersize=3)
        ax.plot(x[~coins], y[~coins], "s", color=plots.ORANGE, markersize=3, fillstyle="none")
        if agree[i]:
            ax.plot(
                [x[0] - 1, x[-1] + 1, x[-1] + 1, x[0] - 1, x[0] - 1],
                y[0] + 0.45 * np.array([-1, -1, 1, 1, -1]),
                color=plots.VERMILLION,
                linewidth=1.4,
            )
    ax.set(xlim=(-2, columns * (seeds + 2)), ylim=(rows - 0.4, -0.6))
    ax.axis("off")
    plots.show(
        figure,
        f"{len(heads)} comparisons of two equal methods, {seeds} seeds each: disc for A, square "
        f"for B. In {agree.sum()} of them, framed, all {seeds} agree.",
    )


def few_seeds(counts: Sequence[int], spans: ArrayLike, intervals: ArrayLike) -> None:
    """How often two kinds of interval hold the mean of all seeds, over the number of seeds.

    Args:
        counts: numbers of seeds drawn.
        spans: share of draws whose smallest and largest value hold it.
        intervals: share of draws whose t interval holds it.
    """
    figure, ax = plots.new_figure(width=5.6)
    plots.curve(ax, counts, intervals, "top", label="t interval, 95 %")
    plots.curve(ax, counts, spans, "random", label="smallest to largest")
    ax.axhline(0.95, color=plots.GREY, linewidth=0.9, linestyle=":")
    ax.set(xlabel="seeds", ylabel="share that holds the mean", ylim=(0, 1.05))
    ax.set_xticks(list(counts))
    ax.legend(frameon=False, fontsize=9, loc="lower right")
    spans, intervals = np.asarray(spans), np.asarray(intervals)
    plots.show(
        figure,
        f"From {counts[0]} seeds the smallest and the largest value hold the mean of all in "
        f"{spans[0]:.0%} of the draws, from {counts[-1]} seeds almost always: a span means "
        f"nothing without their number. The t interval holds it in {intervals.min():.0%} to "
        f"{intervals.max():.0%}, whatever the number of seeds: it is wide where they are few.",
    )


def verdicts(counts: Mapping[str, Mapping[str, int]]) -> None:
    """Bars of claims by source, divided by verdict.

    Args:
        counts: source -> verdict -> number of claims, the same verdicts for every source.
    """
    sources = list(counts)
    figure, ax = plots.new_figure(width=7.4, height=0.42 * len(sources) + 1.5)
    left, names = np.zeros(len(sources)), list(counts[sources[0]])
    for name, colour, hatch in zip(names, COLOURS, HATCHES, strict=True):
        lengths = np.array([counts[source][name] for source in sources])
        ax.barh(sources, lengths, left=left, label=name, color=colour, hatch=hatch, edgecolor="w")
        left += lengths
    ax.invert_yaxis()
    ax.set(xlabel="claims")
    ax.legend(frameon=False, fontsize=8, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    whole = {name: sum(counts[source][name] for source in sources) for name in names}
    told = ", ".join(f"{count} {name}" for name, count in whole.items())
    plots.show(figure, f"{int(left.sum())} claims of {len(sources)} sources: {told}.")


def own_sign_test(p_values: Sequence[float]) -> None:
    """Exercise 2: the smallest p-value that n seeds can give, over n.

    Args:
        p_values: p-value of n of n, for n = 1, 2, ...
    """
    figure, ax = plots.new_figure(width=5)
    n = np.arange(1, len(p_values) + 1)
    plots.curve(ax, n, p_values, "total", label="all seeds agree")
    ax.axhline(0.05, color=plots.VERMILLION, linestyle="--", linewidth=1, label="5 %")
    ax.set(yscale="log", xlabel="seeds", ylabel="two-sided p", title="Exercise 2")
    ax.legend(frameon=False, fontsize=8)
    first = int(np.argmax(np.asarray(p_values) < 0.05)) + 1
    plots.show(figure, f"Below 5 % from {first} seeds on; five seeds give {p_values[4]:.4f}.")
