"""Pictures of results. Nothing is computed here beyond what drawing needs.

Colours are those of Okabe and Ito, which colour-blind readers can tell apart; every curve also
has its own marker or dash, so that a grey print still reads. Orange and sky blue are darkened until
a line has a contrast of 3 to 1 on white; words are black, grey or blue, 4.5 to 1.

In a dark theme a picture is turned into its negative, hues kept (explorable.css and the site's
style.css do that). One whose lightness means something cannot be: it has no ground of its own, and
its words and lines are of the grey that can be read on white and on black.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from IPython.display import Markdown, display
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import to_hex
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.spines import Spine
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator, NullFormatter
from numpy.typing import ArrayLike

BLACK, ORANGE, SKY, GREEN = "#000000", "#C48000", "#3498D0", "#009E73"
BLUE, VERMILLION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
GREY = "#767676"
EITHER = "#7a7a7a"  # a contrast of 4 with white and with the black of dark themes

# One look for each name that returns from notebook to notebook.
LOOKS: dict[str, dict] = {
    "total": {"color": BLACK, "marker": "o", "linestyle": "-"},
    "value": {"color": GREY, "marker": None, "linestyle": (0, (6, 2)), "linewidth": 2.5},
    "gradient": {"color": BLUE, "marker": "s", "linestyle": "-"},
    "curvature": {"color": VERMILLION, "marker": "^", "linestyle": "-."},
    "cross": {"color": PURPLE, "marker": "x", "linestyle": ":"},
    "top": {"color": BLUE, "marker": "o", "linestyle": "-"},
    "random": {"color": ORANGE, "marker": "s", "linestyle": "--"},
    "bottom": {"color": GREEN, "marker": "^", "linestyle": ":"},
    "Jacobian": {"color": VERMILLION, "marker": "D", "linestyle": "-."},
    "own": {"color": PURPLE, "marker": "v", "linestyle": (0, (3, 1, 1, 1))},
    "full": {"color": BLACK, "marker": "*", "linestyle": "-"},
    "guess": {"color": VERMILLION, "marker": "D", "linestyle": "--", "markerfacecolor": "white"},
}


def new_figure(columns: int = 1, *, width: float = 4.6, height: float = 3.6) -> tuple:
    """A figure with one row of axes: (figure, axes) for one column, (figure, [axes]) for more."""
    figure = Figure(figsize=(width * columns, height), layout="constrained", dpi=110)
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, columns)
    for ax in np.atleast_1d(axes):
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes


def to_png(figure: Figure) -> bytes:
    """The figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def background(figure: Figure) -> str:
    """What a front end is told of a picture's ground: "dark" where its negative will do on dark.

    A colour map must keep its lightness: then the figure is made fit for both grounds, "light".
    """
    if not figure.findobj(_has_colour_map):
        return "dark"
    grounded = _with_ground(figure)
    for part in figure.findobj():
        if part in grounded:
            continue
        if isinstance(part, Text | Line2D) and to_hex(part.get_color()) in (BLACK, GREY):
            part.set_color(EITHER)
        elif isinstance(part, Spine):
            part.set_edgecolor(EITHER)
    for ground in [figure.patch, *(ax.patch for ax in figure.axes)]:
        ground.set_alpha(0)
    return "light"


def _has_colour_map(part: Artist) -> bool:
    """Whether a part's colours tell its values, as those of level lines in one colour do not."""
    in_colours = isinstance(part, ScalarMappable) and part.get_array() is not None
    return in_colours and not (isinstance(part, ContourSet) and part.colors is not None)


def _with_ground(figure: Figure) -> set[Artist]:
    """Words on cells of a colour, or in a box of their own: chosen for that ground, and kept."""
    words: list[Artist] = []
    for ax in figure.axes:
        if ax.images:
            words += ax.texts
        legend = ax.get_legend()
        if legend and legend.get_frame_on():
            words += legend.get_texts()
    return set(words)


def still(figure: Figure) -> bytes:
    """The figure as PNG, with a line that tells a reader of the stored notebook what to do."""
    figure.supxlabel("A still picture: run this notebook to move it.", fontsize=9, color=GREY)
    return to_png(figure)


def show(figure: Figure, sentence: str, lead: str = "What you should see.") -> None:
    """Display a figure with the sentence that says what to see in it, after a lead in bold.

    The sentence stands below the picture in print, which serves every reader; it is also stored
    as the picture's alternative text, which JupyterLab and GitHub do not use yet.
    """
    ground = background(figure)
    display(
        {"image/png": base64.b64encode(to_png(figure)).decode(), "text/plain": sentence},
        metadata={"image/png": {"alt": sentence}, "needs_background": ground},
        raw=True,
    )
    display(Markdown(f"**{lead}** {sentence}"))


def curve(ax: Axes, x: ArrayLike, y: ArrayLike, name: str, **changes: Any) -> Line2D:
    """One curve in the look of its name; `label` and other properties can be changed."""
    look = {"markersize": 4.5, "linewidth": 1.5, "label": name, **LOOKS.get(name, {})}
    return ax.plot(_plain(x), _plain(y), **{**look, **changes})[0]


def _plain(values: Any) -> np.ndarray:
    """As an array, also where a learner's tensors still carry a graph."""
    if isinstance(values, list | tuple):
        return np.asarray([_plain(v) for v in values])
    return np.asarray(values.detach() if hasattr(values, "detach") else values)


def spread(ax: Axes, x: ArrayLike, runs: ArrayLike, name: str, **changes: Any) -> Line2D:
    """Geometric mean over runs (seeds), with the range from smallest to largest shaded."""
    rows = np.asarray(runs)
    line = curve(ax, x, np.exp(np.log(rows).mean(0)), name, **changes)
    ax.fill_between(
        np.asarray(x), rows.min(0), rows.max(0), color=line.get_color(), alpha=0.18, linewidth=0
    )
    return line


def band(ax: Axes, x: ArrayLike, y: ArrayLike, half: ArrayLike, name: str, **looks: Any) -> Line2D:
    """One curve with y - half .. y + half shaded, for example two standard errors."""
    line = curve(ax, x, y, name, **looks)
    low, high = np.subtract(y, half), np.add(y, half)
    ax.fill_between(np.asarray(x), low, high, color=line.get_color(), alpha=0.18, linewidth=0)
    return line


def thin_curves(ax: Axes, x: ArrayLike, runs: Mapping[str, ArrayLike]) -> None:
    """Up to six single runs, thin, to stand behind the curve that sums them up."""
    colours, markers = (
        (ORANGE, SKY, GREEN, BLUE, VERMILLION, PURPLE),
        ("o", "s", "^", "v", "D", "x"),
    )
    for (label, run), colour, marker in zip(runs.items(), colours, markers, strict=False):
        curve(ax, x, run, label, color=colour, marker=marker, linewidth=0.8)


def power_law_guide(
    ax: Axes, x: ArrayLike, y0: float, slope: float, text: str | None = None
) -> None:
    """A thin line of the given slope through (x[0], y0) on log-log axes, labelled at its end."""
    ends = np.asarray(x, dtype=float)[[0, -1]]
    heights = y0 * (ends / ends[0]) ** slope
    ax.plot(ends, heights, color=GREY, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1)
    text = f"slope {slope:g}" if text is None else text
    ax.annotate(
        text, (ends[-1], heights[-1]), xytext=(-3, 4), textcoords="offset points", ha="right",
        color=GREY, fontsize=8,
    )  # fmt: skip


def log_log(
    ax: Axes, xlabel: str, ylabel: str, title: str, *, ticks: Sequence[float] | None = None
) -> None:
    """Logarithmic axes with labels and a title; `ticks` are marked on x in plain digits."""
    ax.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=ylabel)
    ax.set_title(title, fontsize=10)
    if ticks is not None:
        ax.set_xticks(list(ticks), [f"{tick:g}" for tick in ticks])
        ax.xaxis.set_minor_formatter(NullFormatter())


def plain_digits(ax: Axes) -> None:
    """Where a logarithmic y axis spans less than two decades: 3, 5, 8 in place of 3 x 10^0."""
    low, high = ax.get_ylim()
    if 1e-3 <= low and high < min(100 * low, 1e5):
        ticks = MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(low, high)
        kept = [tick for tick in ticks if low <= tick <= high]
        ax.set_yticks(kept, [f"{tick:g}" for tick in kept])
        ax.yaxis.set_minor_formatter(NullFormatter())


def grouped_bars(
    ax: Axes, groups: Sequence[str], series: Mapping[str, ArrayLike], ylabel: str
) -> None:
    """Bars side by side with their numbers on top; hatches besides colours."""
    hatches, colours = ["", "///", "...", "xx"], [BLUE, ORANGE, GREEN, PURPLE]
    x, width = np.arange(len(groups)), 0.8 / len(series)
    for j, (name, heights) in enumerate(series.items()):
        bars = ax.bar(
            x + (j - (len(series) - 1) / 2) * width, heights, width * 0.92, label=name,
            color=colours[j], hatch=hatches[j], edgecolor="white",
        )  # fmt: skip
        ax.bar_label(bars, fmt="%.2f", fontsize=8, padding=2)
    ax.set_xticks(x, groups)
    ax.set_ylabel(ylabel)
    ax.legend(frameon=False, fontsize=8)
