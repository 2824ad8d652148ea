"""Ten digits, one of which comes next: how they look, and what the chosen one changes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure

from landscape_nb.figures import plots
from landscape_nb.figures.scales import colours_of


def next_digit(
    data: Mapping[str, Any], chosen: int, found: Mapping[str, Any], names: Sequence[str]
) -> bytes:
    """The ten digits, the slice before and after, all losses, and the parts, as PNG.

    Args:
        data: of the explorable: images, slices and losses.
        chosen: which digit comes next.
        found: its numbers.
        names: of the digits, in words.
    """
    figure = Figure(figsize=(10.4, 5.6), layout="constrained", dpi=100)
    FigureCanvasAgg(figure)
    images, panels = figure.subfigures(2, 1, squeeze=False, height_ratios=(1, 1.9)).flat
    _images(images, data["digits"], chosen)
    for ax, draw in zip(panels.subplots(1, 3), (_slice, _losses, _parts), strict=True):
        ax.spines[["top", "right"]].set_visible(False)
        draw(ax, data, data["digits"][chosen], found)
    figure.suptitle(f"{names[chosen]}, comes next", fontsize=11)
    return plots.still(figure)


def _images(part: SubFigure, digits: Sequence[Mapping[str, Any]], chosen: int) -> None:
    title = "The five easiest and the five hardest: label, what the network says, loss"
    part.suptitle(title, fontsize=10)
    for j, (ax, one) in enumerate(zip(part.subplots(1, len(digits)), digits, strict=True)):
        ax.imshow(np.reshape(one["image"], (8, 8)), cmap=colours_of("brightness"), vmin=0, vmax=16)
        loss = one["slice"][len(one["slice"]) // 2]
        ax.set(xticks=[], yticks=[])
        words = f"label {one['label']}\nsays {one['taken']}\n{loss:.2g}"
        ax.set_xlabel(words, fontsize=9, fontweight="bold" if j == chosen else "normal")
        for spine in ax.spines.values():
            spine.set(color=plots.VERMILLION if j == chosen else plots.GREY)
            spine.set_linewidth(4 if j == chosen else 0.8)


def _slice(ax: Axes, data: Mapping, one: Mapping, found: Mapping) -> None:
    k, middle = data["k"], len(data["steps"]) // 2
    ax.plot(data["steps"], data["before"], color=plots.BLACK, label=f"before, {k} samples")
    after = f"after, {k + 1} samples"
    ax.plot(data["steps"], found["after"], color=plots.VERMILLION, linestyle="--", label=after)
    ax.plot(0, found["before"], "o", color=plots.BLACK)
    ax.plot(0, found["after"][middle], "D", color=plots.VERMILLION)
    ax.set(xlabel="step along the sharpest direction", ylabel="mean loss", ylim=(0, None))
    ax.set_title(f"Before and after: I = {found['increment']:.2g}", fontsize=10)
    ax.legend(frameon=False, fontsize=9)


def _parts(ax: Axes, data: Mapping, one: Mapping, found: Mapping) -> None:
    shares = found["shares"]
    rows = np.arange(len(shares))[::-1]
    ax.barh(rows, np.clip(list(shares.values()), -0.5, 1.2), color=plots.BLUE)
    ax.axvline(0, color=plots.BLACK, linewidth=0.8)
    for row, share in zip(rows, shares.values(), strict=True):
        at = min(max(share, 0.0), 1.2) + 0.02
        percent = 0.0 if abs(share) < 5e-4 else 100 * share  # not -0.0
        ax.text(at, row, f"{percent:.1f} %", va="center", fontsize=9)
    ax.set_yticks(rows, list(shares))
    ax.set(xlim=(-0.5, 1.5), xticks=[-0.5, 0, 0.5, 1], xlabel="share of the squared change")
    ax.set_title(f"What a probe sees: {found['total']:.1e} loss\u00b2", fontsize=10)


def _losses(ax: Axes, data: Mapping, one: Mapping, found: Mapping) -> None:
    m = len(data["losses"])
    ax.plot(np.arange(1, m + 1), data["losses"], color=plots.BLACK)
    ax.vlines(one["rank"], 0, found["loss"], color=plots.VERMILLION, linestyle=":")
    ax.plot(one["rank"], found["loss"], "D", color=plots.VERMILLION)
    ax.set(xlabel="unseen digits, from easiest to hardest", ylabel="loss", ylim=(0, None))
    ax.set_title(f"All {m} unseen digits", fontsize=10)
