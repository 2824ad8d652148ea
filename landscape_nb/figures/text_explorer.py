"""A text with the surprise of each character, what was expected at one place, and its loss."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from landscape_nb.figures import plots

ROW = 33  # characters to a line: a sequence of 64 and the one before it stand on two
DEEPEST = 0.45  # share of the colour behind the most surprising character, as in the browser


def text_picture(
    data: Mapping[str, Any],
    state: Mapping[str, int],
    found: Mapping[str, Any],
    signs: Sequence[str],
    expected: Sequence[str],
) -> bytes:
    """The text in rows, its expectations at the place, and its loss along training, as PNG.

    Args:
        data: of the explorable: texts and stages.
        state: its settings: text, stage and place.
        found: its numbers.
        signs: the characters as they are shown, the first one included.
        expected: the characters expected most, in words.
    """
    figure = Figure(figsize=(9.4, 6.2), layout="constrained", dpi=100)
    FigureCanvasAgg(figure)
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=[1.15, 1]).flat
    _text(above.subplots(), signs, found["surprises"], state["place"])
    left, right = below.subplots(1, 2)
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    _expected(left, [*expected, f"came: {signs[state['place']]}"], found)
    _losses(right, data["stages"], found["losses"], state["stage"])
    name, when = data["texts"][state["text"]]["name"], data["stages"][state["stage"]]["when"]
    figure.suptitle(f"{name.capitalize()} of the held-out texts. {when}", fontsize=11)
    return plots.still(figure)


def _text(ax: Axes, signs: Sequence[str], surprises: Sequence[float], place: int) -> None:
    """Characters in boxes with a bar below each: colour and height both tell its surprise."""
    top = max(surprises)
    for i, (sign, surprise) in enumerate(zip(signs, [0.0, *surprises], strict=True)):
        x, y = i % ROW, -(i // ROW)
        share = DEEPEST * surprise / top
        ground = [1 - share * (1 - channel) for channel in to_rgb(plots.VERMILLION)]
        edge = plots.BLACK if i == place else "none"
        box = Rectangle((x - 0.48, y), 0.96, 0.42, facecolor=ground, edgecolor=edge, linewidth=2)
        box.set_zorder(2 + (i == place))
        ax.add_patch(box)
        height = 0.36 * surprise / top
        ax.add_patch(Rectangle((x - 0.3, y - 0.42), 0.6, height, color=plots.VERMILLION))
        ax.text(x, y + 0.2, sign, family="monospace", ha="center", va="center", zorder=4)
    rows = -(-len(signs) // ROW)
    ax.set(xlim=(-0.7, ROW - 0.3), ylim=(0.45 - rows, 0.5), xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    ax.set_title(f"Bars: surprise of each character, up to {top:.1f} nats", fontsize=10)


def _expected(ax: Axes, names: Sequence[str], found: Mapping[str, Any]) -> None:
    chances = [*found["chances"], found["chance"]]
    rows = np.arange(len(names))[::-1]
    colours = [plots.BLUE] * len(found["chances"]) + [plots.VERMILLION]
    ax.barh(rows, chances, color=colours)
    for row, chance in zip(rows, chances, strict=True):
        ax.text(chance + 0.02, row, f"{chance:.2g}", va="center", fontsize=9)
    ax.set_yticks(rows, names, family="monospace")
    ax.set(xlim=(0, 1.2), xticks=[0, 0.5, 1], xlabel="probability")
    ax.set_title("What the model expected there", fontsize=10)


def _losses(ax: Axes, stages: Sequence[Mapping], losses: Sequence[float], stage: int) -> None:
    ax.axvline(stage, color=plots.GREY, linewidth=3, zorder=0)
    count = range(len(stages))
    means = [one["mean"] for one in stages]
    ax.plot(count, losses, color=plots.VERMILLION, linestyle="--", marker="D", label="this text")
    ax.plot(count, means, color=plots.BLACK, marker="o", label="mean of what it has read")
    ax.set_xticks(count, [one["name"] for one in stages])
    ax.set(xlabel="sequences read", ylabel="loss [nats per character]", ylim=(0, None))
    ax.legend(frameon=False, fontsize=9)
