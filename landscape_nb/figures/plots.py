"""Pictures of results. Nothing is computed here beyond what drawing needs.

Colours are those of Okabe and Ito, which colour-blind readers can tell apart; every curve also
has its own marker or dash, so that a grey print still reads. Orange and sky blue are darkened until
a line has a contrast of 3 to 1 on white; words are black, grey or blue, 4.5 to 1.
"""

import base64
import io
from collections.abc import Mapping, Sequence

import numpy as np
from IPython.display import Markdown, display
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter
from numpy.typing import ArrayLike

from landscape_nb.figures.canvas import FastFigure
from landscape_nb.theory.moments import Moment
from landscape_nb.theory.tables import MomentTable

BLACK, ORANGE, SKY, GREEN = "#000000", "#C48000", "#3498D0", "#009E73"
BLUE, VERMILLION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
GREY = "#767676"

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


def show(figure: Figure, sentence: str, lead: str = "What you should see.") -> None:
    """Display a figure with the sentence that says what to see in it, after a lead in bold.

    The sentence stands below the picture in print, which serves every reader; it is also stored
    as the picture's alternative text, which JupyterLab and GitHub do not use yet.
    """
    display(
        {"image/png": base64.b64encode(to_png(figure)).decode(), "text/plain": sentence},
        metadata={"image/png": {"alt": sentence}},
        raw=True,
    )
    display(Markdown(f"**{lead}** {sentence}"))


def curve(ax: Axes, x: ArrayLike, y: ArrayLike, name: str, **changes) -> Line2D:
    """One curve in the look of its name; `label` and other properties can be changed."""
    look = {"markersize": 4.5, "linewidth": 1.5, "label": name, **LOOKS.get(name, {})}
    return ax.plot(_plain(x), _plain(y), **{**look, **changes})[0]


def _plain(values) -> np.ndarray:
    """As an array, also where a learner's tensors still carry a graph."""
    if isinstance(values, list | tuple):
        return np.asarray([_plain(v) for v in values])
    return np.asarray(values.detach() if hasattr(values, "detach") else values)


def spread(ax: Axes, x: ArrayLike, runs: ArrayLike, name: str, **changes):
    """Geometric mean over runs (seeds), with the range from smallest to largest shaded."""
    rows = np.asarray(runs)
    line = curve(ax, x, np.exp(np.log(rows).mean(0)), name, **changes)
    ax.fill_between(
        np.asarray(x), rows.min(0), rows.max(0), color=line.get_color(), alpha=0.18, linewidth=0
    )
    return line


def band(ax: Axes, x: ArrayLike, y: ArrayLike, half: ArrayLike, name: str, **looks):
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


def guess_on_a_line(ax: Axes, guess: float, truths: ArrayLike, label: str) -> None:
    """A guessed number and the measured ones on one line, logarithmic if they are far apart."""
    runs = np.asarray(truths, dtype=float)
    ax.plot(runs, np.zeros(len(runs)), "|", color=BLUE, markersize=14, markeredgewidth=1.5)
    middle = float(np.median(runs))
    marks = ((guess, "your guess", "D", VERMILLION, 12), (middle, "measured", "o", BLUE, -20))
    for x, text, marker, colour, offset in marks:
        face = "white" if text == "your guess" else colour
        ax.plot([x], [0], marker, color=colour, markerfacecolor=face, markersize=9)
        ax.annotate(
            text, (x, 0), xytext=(0, offset), textcoords="offset points", ha="center", fontsize=9,
        )  # fmt: skip
    everything = [guess, *runs]
    if min(everything) > 0 and max(everything) > 20 * min(everything):
        ax.set_xscale("log")
    ax.axhline(0, color=GREY, linewidth=0.8, zorder=0)
    ax.margins(x=0.15)
    ax.set(yticks=[], ylim=(-1, 1), xlabel=label)
    ax.spines["left"].set_visible(False)


def guess_among_options(ax: Axes, options: Sequence[str], guess: str, truth: str) -> None:
    """All options in a row; the guess has a diamond above it, what was found a disc below."""
    for i, option in enumerate(options):
        weight = "bold" if option == truth else "normal"
        ax.text(i, 0, option, ha="center", va="center", fontsize=11, weight=weight)
    at = {"guess": options.index(guess), "truth": options.index(truth)}
    ax.plot(at["guess"], 0.55, "D", color=VERMILLION, markerfacecolor="white", markersize=8)
    ax.plot(at["truth"], -0.55, "o", color=BLUE, markersize=8)
    ax.text(at["guess"] + 0.06, 0.55, " your guess", va="center", fontsize=9)
    ax.text(at["truth"] + 0.06, -0.55, " found", va="center", fontsize=9)
    ax.set(xlim=(-0.5, len(options) - 0.3), ylim=(-1, 1))
    ax.set_axis_off()


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


_BEFORE_AND_AFTER = ({"color": BLUE, "linestyle": "-"}, {"color": ORANGE, "linestyle": "--"})


def two_surfaces(
    ax: Axes, x: ArrayLike, y: ArrayLike, before: np.ndarray, after: np.ndarray, *,
    levels: Sequence[float], minima: Sequence[tuple[float, float]] = (),
) -> None:  # fmt: skip
    """Contour lines of two surfaces over one plane, with a cross at each one's minimum.

    Args:
        ax: where to draw.
        x: values along the horizontal axis.
        y: values along the vertical axis.
        before: heights, (len(y), len(x)), solid.
        after: heights of the same shape, dashed.
        levels: heights at which to draw lines, the same for both.
        minima: (x, y) of the two minima, in the same order.
    """
    for Z, look, dashes in zip((before, after), _BEFORE_AND_AFTER, ("-", "--"), strict=True):
        ax.contour(
            np.asarray(x), np.asarray(y), np.asarray(Z), levels=levels, colors=look["color"],
            linestyles=dashes, linewidths=1.3,
        )  # fmt: skip
    for point, look, marker in zip(minima, _BEFORE_AND_AFTER, ("+", "x"), strict=False):
        ax.plot(*point, marker, color=look["color"], markersize=10, markeredgewidth=2)


def surfaces_3d(
    x: ArrayLike, y: ArrayLike, panels: Mapping[str, ArrayLike], *,
    limits: tuple[float, float], label: str, columns: int = 2,
) -> Figure:  # fmt: skip
    """Surfaces over one plane, drawn in perspective, all with the same height and colour scale.

    Args:
        x: steps along the plane's first direction.
        y: steps along its second.
        panels: title -> heights, (len(y), len(x)).
        limits: lowest and highest height of the scale that all share.
        label: what the height is.
        columns: panels side by side.
    """
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.3 * columns, 3.5 * rows), dpi=110)
    FigureCanvasAgg(figure)
    # by hand: the layout engines do not see the labels of axes in perspective
    figure.subplots_adjust(left=0.0, right=0.95, bottom=0.05, top=0.93, wspace=0.06, hspace=0.12)
    grid = np.meshgrid(np.asarray(x), np.asarray(y))
    for place, (title, Z) in enumerate(panels.items(), start=1):
        ax = figure.add_subplot(rows, columns, place, projection="3d")
        ax.plot_surface(
            *grid, np.asarray(Z), cmap="cividis", vmin=limits[0], vmax=limits[1],
            rstride=1, cstride=1, edgecolor="black", linewidth=0.15,
        )  # fmt: skip
        ax.set(zlim=limits, xticks=[-1, 0, 1], yticks=[-1, 0, 1], xlabel="step $x$")
        ax.set_ylabel("step $y$")
        ax.set_zlabel(label)
        ax.view_init(elev=24, azim=-58)
        ax.set_title(title, fontsize=10, y=1.0)
    return figure


def contour_maps(
    x: ArrayLike, y: ArrayLike, panels: Mapping[str, ArrayLike], *,
    levels: Sequence[float], label: str, zeros: Mapping[str, ArrayLike] | None = None,
    columns: int = 2,
) -> Figure:  # fmt: skip
    """Positive heights over one plane as contour maps, all with the same logarithmic scale.

    Args:
        x: steps along the plane's first direction.
        y: steps along its second.
        panels: title -> heights, (len(y), len(x)); what is below the lowest level has its colour.
        levels: heights of the contour lines, increasing, the same for all.
        label: what the height is.
        zeros: title -> values with a sign, (len(y), len(x)), whose square is the height. Where
            they pass through zero a line in the darkest colour is drawn: the furrow there is
            narrower than any grid, and its contours would fall apart into islands.
        columns: panels side by side.
    """
    rows = -(-len(panels) // columns)
    # in inches, by hand: ten times faster than a layout engine, and sliders need many pictures
    side, gap, left, right, bottom, top = 2.8, 0.4, 0.65, 1.4, 0.55, 0.35
    width = left + columns * side + (columns - 1) * gap + right
    height = bottom + rows * side + (rows - 1) * gap + top
    figure = Figure(figsize=(width, height), dpi=110)
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    figure.subplots_adjust(
        left=left / width, right=1 - right / width, bottom=bottom / height, top=1 - top / height,
        wspace=gap / side, hspace=gap / side,
    )  # fmt: skip
    norm = LogNorm(levels[0], levels[-1])
    steps = np.asarray(x), np.asarray(y)
    for ax, (title, Z) in zip(axes.flat, panels.items(), strict=True):
        heights = np.clip(np.asarray(Z), levels[0], levels[-1])
        filled = ax.contourf(*steps, heights, levels=levels, norm=norm, cmap="viridis")
        ax.contour(*steps, heights, levels=levels[1:-1], colors="black", linewidths=0.5)
        signed = None if zeros is None else np.asarray(zeros[title])
        if signed is not None and signed.min() < 0 < signed.max():
            darkest = filled.cmap(0.0)
            ax.contour(*steps, signed, levels=[0.0], colors=[darkest], linewidths=3)
        ax.plot(0, 0, "+", color=VERMILLION, markersize=9, markeredgewidth=1.8)
        ax.set(xticks=[-1, 0, 1], yticks=[-1, 0, 1])
        ax.set_title(title, fontsize=10)
    for ax in axes[-1]:
        ax.set_xlabel("step $x$")
    for ax in axes[:, 0]:
        ax.set_ylabel("step $y$")
    place = (1 - 1.2 / width, bottom / height, 0.2 / width, 1 - (bottom + top) / height)
    bar = figure.colorbar(filled, cax=figure.add_axes(place), label=label, ticks=levels)
    bar.ax.set_yticklabels([f"{level:g}" for level in levels])
    bar.ax.minorticks_off()
    return figure


def heat_map(
    ax: Axes, x: ArrayLike, y: ArrayLike, Z: np.ndarray, *,
    limits: tuple[float, float], label: str, colour_bar: bool = True,
) -> None:  # fmt: skip
    """Positive heights over a plane as colours on a logarithmic scale that is given, not fitted.

    Give every picture the same limits: what is small must look small beside what is large.
    `x` and `y` are evenly spaced.
    """
    (x0, x1, *_, xn), (y0, y1, *_, yn) = np.ravel(x), np.ravel(y)
    dx, dy = (x1 - x0) / 2, (y1 - y0) / 2  # a pixel is centred on its point
    edges = (x0 - dx, xn + dx, y0 - dy, yn + dy)
    mesh = ax.imshow(
        np.clip(np.asarray(Z), *limits), norm=LogNorm(*limits), cmap="cividis", origin="lower",
        extent=edges, aspect="auto", interpolation="bilinear",
    )  # fmt: skip
    if colour_bar:
        ax.figure.colorbar(mesh, ax=ax, label=label).minorticks_off()


def number_map(
    ax: Axes, columns: Sequence[str], rows: Sequence[str], Z: np.ndarray, form: str = "{:.2g}"
) -> None:
    """Positive numbers in cells, coloured on a logarithmic scale; the first row is the lowest.

    Args:
        ax: where to draw.
        columns: labels along the horizontal axis.
        rows: labels along the vertical axis.
        Z: (rows, columns).
        form: format of a number.
    """
    Z = np.asarray(Z)
    norm = LogNorm(Z.min(), Z.max())
    ax.imshow(Z, norm=norm, cmap="cividis", origin="lower", aspect="auto")
    for i, row in enumerate(Z):
        for j, z in enumerate(row):
            colour = "white" if norm(z) < 0.5 else "black"
            ax.text(j, i, form.format(z), ha="center", va="center", color=colour, fontsize=8)
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(rows)), rows)


def one_more_sample(
    x: ArrayLike, y: ArrayLike, k: int, lines: Sequence[tuple[float, float]],
    plane: tuple[Sequence[float], Sequence[float]], surfaces: Sequence[np.ndarray], *,
    levels: Sequence[float], limits: tuple[float, float],
) -> Figure:  # fmt: skip
    """What sample k + 1 does to a straight line's fit: data, both landscapes, squared change.

    Args:
        x: the samples' places; the first k are "so far", the one after them is "next".
        y: the samples' values.
        k: number of samples so far.
        lines: (slope, offset) of the best line before and after.
        plane: slopes and offsets at which the surfaces are given.
        surfaces: L_k, L_{k+1} and the squared difference, each (offsets, slopes).
        levels: heights of the contour lines.
        limits: ends of the colour scale of the squared difference.
    """
    figure, (left, middle, right) = new_figure(3, width=3.7, height=3.7)
    xs, ys = np.ravel(np.asarray(x)), np.ravel(np.asarray(y))
    ends = np.array([1.1 * xs.min(), 1.1 * xs.max()])
    left.plot(xs[:k], ys[:k], "o", color=GREY, markersize=3.5, label="samples so far")
    for (slope, offset), look, when in zip(
        lines, _BEFORE_AND_AFTER, ("before", "after"), strict=True
    ):
        heights = float(slope) * ends + float(offset)
        left.plot(ends, heights, linewidth=1.6, label=f"best line {when}", **look)
    left.plot(xs[k], ys[k], "D", color=VERMILLION, markersize=7, label="the next sample")
    left.set(xlim=ends, ylim=(ys.min() - 0.3, ys.max() + 0.9), xlabel="x", ylabel="y")
    left.set_title(f"The data, k = {k}", fontsize=11)
    left.legend(frameon=False, fontsize=8, loc="upper left")
    two_surfaces(middle, *plane, *surfaces[:2], levels=levels, minima=lines)
    middle.set_title("$L_k$ (solid), $L_{k+1}$ (dashed)", fontsize=11)
    heat_map(right, *plane, surfaces[2], limits=limits, label="")
    right.set_title("$(L_{k+1} - L_k)^2$", fontsize=11)
    for ax in (middle, right):
        ax.set(xlabel="slope $w_1$", ylabel="offset $w_2$")
    return figure


class ExplorerPicture:
    """The picture behind the sliders for D and sigma: parts of the criterion, and who sees them.

    Left: Delta_2^(D) of the first probe against k, with its value, gradient and curvature parts.
    Right: each probe's criterion divided by the full-space one, raw and centred, averaged over k
    or at one k, which a line on the left marks.

    Args:
        probes: name -> `MomentTable`; the first is drawn on the left.
        full: the full-space table, one column.
        sigmas: (smallest, largest) sigma that will be asked for; it fixes the axes.
        one_k: whether the ratios belong to one k.
    """

    PARTS = ("total", "value", "gradient", "curvature")

    def __init__(
        self,
        probes: Mapping[str, MomentTable],
        full: MomentTable,
        sigmas: tuple[float, float],
        one_k: bool = False,
    ) -> None:
        self._names = list(probes)
        first = probes[self._names[0]]
        ks = first.ks.numpy()
        figure = Figure(figsize=(9.6, 3.9), layout="constrained", dpi=100)
        left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
        for ax in (left, right):
            ax.spines[["top", "right"]].set_visible(False)

        log_log(
            left, "number of samples k", "part of $\\Delta_2^{(D)}$  [loss$^2$]",
            f"The criterion, probed in the {self._names[0]} subspace",
            ticks=ks.tolist() if len(ks) <= 6 else None,
        )  # fmt: skip
        floor = 1e-10 * float(first.value.min())  # fourteen decades or so: chosen here
        top = 3 * float(first.at(first.D, sigmas[1]).total.max())
        # two decades above all curves are the legend's
        left.set(xlim=(ks[0] / 1.2, ks[-1] * 1.2), ylim=(floor, 100 * top))
        blank = np.full(len(ks), np.nan)
        self._lines = {name: curve(left, ks, blank, name) for name in self.PARTS}
        left.legend(frameon=False, fontsize=8, loc="upper right", ncols=2)
        left.text(
            0.02, 0.02, "smaller parts lie below the picture", transform=left.transAxes,
            color=BLACK, fontsize=8,
        )  # fmt: skip

        groups = np.arange(len(self._names))
        right.set(
            xlim=(-0.6, len(groups) - 0.4), ylim=(0, 1.3), xticks=groups, yticks=[0, 0.5, 1],
            ylabel="share of the full-space criterion",
        )  # fmt: skip
        right.set_xticklabels(self._names)
        where = "at this k" if one_k else "averaged over k"
        right.set_title(f"What each probe sees, {where}", fontsize=10)
        right.axhline(1, color=GREY, linewidth=0.8, linestyle=(0, (1, 2)))
        raw = right.bar(
            groups - 0.2, np.ones(len(groups)), 0.36, color=SKY, edgecolor=BLUE, label="raw",
        )  # fmt: skip
        centred = right.bar(
            groups + 0.2, np.ones(len(groups)), 0.36, color=BLUE, hatch="//", edgecolor="white",
            label="centred (gradient + curvature)",
        )  # fmt: skip
        right.legend(frameon=False, fontsize=8, loc="upper right", ncols=2)
        self._bars = [*raw, *centred]
        self._numbers = [
            right.text(b.get_x() + b.get_width() / 2, 0, "", ha="center", va="bottom", fontsize=8)
            for b in self._bars
        ]
        grey = {"color": GREY, "linewidth": 3, "alpha": 0.8, "solid_capstyle": "butt"}
        self._marked = left.plot([np.nan, np.nan], [20 * floor, top], **grey)[0]
        self._fast = FastFigure(
            figure,
            [self._marked, *self._lines.values(), *self._bars, *self._numbers],
            [BLACK, GREY, BLUE, SKY, VERMILLION],
        )

    def png(
        self,
        moment: Moment,
        raw: Sequence[float],
        centred: Sequence[float],
        k: float | None = None,
    ) -> bytes:
        """Draw one state: the first probe's moment, both ratios of every probe, and a mark at k."""
        self._marked.set_xdata(np.full(2, np.nan if k is None else k))
        for name, line in self._lines.items():
            line.set_ydata(getattr(moment, name).numpy())
        for bar, number, height in zip(self._bars, self._numbers, [*raw, *centred], strict=True):
            bar.set_height(min(height, 1.2))
            number.set_text(f"{height:.2f}" if height >= 0.005 else f"{height:.0e}")
            top = min(height, 1.2) + 0.01
            number.set_y(1.01 if 0.94 < top < 1 else top)  # the line at 1 would cross it out
        return self._fast.png()


class BowlPicture:
    """The picture behind `BowlExplorer`: steps on a two-dimensional bowl, and their losses.

    Left: level curves of L = (x^2 + y^2 / kappa) / 2, each half as wide as the next, and the path.
    Right: the loss after each step, and the part of it that each direction contributes. What
    leaves the picture is drawn on its edge.

    Args:
        steps: number of steps of every path.
    """

    WIDTHS = (0.1, 0.2, 0.4, 0.8, 1.6)  # half-widths of the level curves along x
    REACH = 1.9  # the left picture shows this much to either side
    LOSSES = (1e-9, 1e3)  # ends of the loss axis

    def __init__(self, steps: int) -> None:
        figure = Figure(figsize=(9.0, 4.1), layout="constrained", dpi=100)
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
        for ax in (left, right):
            ax.spines[["top", "right"]].set_visible(False)
        reach = (-self.REACH, self.REACH)
        left.set(xlim=reach, ylim=reach, aspect="equal", xticks=[-1, 0, 1], yticks=[-1, 0, 1])
        left.set(xlabel="x, the sharp direction", ylabel="y, the flat direction")
        left.set_title("The bowl from above, and the path", fontsize=10)
        left.plot(0, 0, "+", color=GREEN, markersize=11, markeredgewidth=2)

        angle = np.linspace(0, 2 * np.pi, 121)
        self._circle = np.cos(angle), np.sin(angle)
        look = {"color": GREY, "linewidth": 1.0}
        self._levels = [left.plot(*self._circle, **look)[0] for _ in self.WIDTHS]
        self._path = curve(left, [0], [0], "path", color=BLACK, marker="o", linewidth=1.0)
        self._start = left.plot(0, 0, "D", color=BLACK, markersize=6)[0]
        self._name = left.annotate(
            "start", (0, 0), xytext=(8, 4), textcoords="offset points", fontsize=9
        )

        blank = np.full(steps + 1, np.nan)
        count = np.arange(steps + 1)
        right.set(yscale="log", xlim=(-0.5, steps + 0.5), ylim=self.LOSSES)
        right.set(xlabel="step", ylabel="loss")
        self._parts = [
            curve(right, count, blank, "loss", color=BLACK, marker=None, linewidth=4, alpha=0.5),
            curve(right, count, blank, "part of x (sharp)", color=VERMILLION, marker="^"),
            curve(right, count, blank, "part of y (flat)", color=BLUE, marker="s", linestyle="--"),
        ]
        right.legend(
            frameon=False, fontsize=9, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0)
        )
        moving = [*self._levels, self._path, self._start, self._name, *self._parts]
        self._fast = FastFigure(figure, moving, [BLACK, GREY, BLUE, GREEN, VERMILLION])

    def png(self, kappa: float, path: np.ndarray, losses: np.ndarray) -> bytes:
        """Draw one state.

        Args:
            kappa: the condition number.
            path: points (x, y), (steps + 1, 2).
            losses: parts of the loss along x and along y, (steps + 1, 2).
        """
        cosine, sine = self._circle
        for line, width in zip(self._levels, self.WIDTHS, strict=True):
            line.set_data(width * cosine, width * kappa**0.5 * sine)
        # far outside, Agg's integers would overflow; where the path leaves looks the same
        self._path.set_data(*np.clip(path, -1e3, 1e3).T)
        self._start.set_data(path[:1, 0], path[:1, 1])
        self._name.xy = tuple(path[0])
        for line, part in zip(self._parts, (losses.sum(1), *losses.T), strict=True):
            line.set_ydata(np.clip(part, *self.LOSSES))
        return self._fast.png()


class StepPicture:
    """The picture behind `StepExplorer`: the step T of each singular value, on log-log axes.

    Three thin lines are its limits: sigma (gradient descent), 1 (UV') and 1/sigma. Two marks stand
    on the curve at a large and a small mode.
    """

    SIGMAS = (1e-4, 1e1)  # ends of the horizontal axis
    STEPS = (1e-5, 1e3)  # ends of the vertical axis

    def __init__(self) -> None:
        figure = Figure(figsize=(6.4, 4.3), layout="constrained", dpi=100)
        ax = figure.subplots()
        ax.spines[["top", "right"]].set_visible(False)
        ax.set(xscale="log", yscale="log", xlim=self.SIGMAS, ylim=self.STEPS)
        ax.set(
            xlabel="singular value \u03c3 of the gradient", ylabel="length of the step, T(\u03c3)"
        )
        ends = np.array(self.SIGMAS)
        for power, label, colour, dashes, marker in (
            (1, "\u03c3: gradient descent", BLUE, "--", "s"),
            (0, "1: UV'", GREEN, ":", "o"),
            (-1, "1/\u03c3: small modes first", VERMILLION, "-.", "^"),
        ):
            points = np.geomspace(self.SIGMAS[0], self.SIGMAS[1], 6)
            curve(
                ax, points, points**power, label, color=colour, linestyle=dashes, marker=marker,
                linewidth=1.0,
            )  # fmt: skip
        self._curve = curve(ax, ends, ends, "T", color=BLACK, marker=None, linewidth=3)
        look = {"color": BLACK, "markersize": 9, "linestyle": "none"}
        self._marks = [
            curve(ax, [1], [1], "a large mode", marker="D", **look),
            curve(ax, [1], [1], "a small mode", marker="v", **look),
        ]
        ax.legend(frameon=False, fontsize=9, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
        self._fast = FastFigure(
            figure, [self._curve, *self._marks], [BLACK, GREY, BLUE, GREEN, VERMILLION]
        )

    def png(
        self, sigma: np.ndarray, steps: np.ndarray, marks: Sequence[tuple[float, float]]
    ) -> bytes:
        """Draw one state.

        Args:
            sigma: singular values, increasing.
            steps: T at each of them; what leaves the picture is drawn on its edge.
            marks: (sigma, T) of the large and of the small mode.
        """
        self._curve.set_data(sigma, np.clip(steps, *self.STEPS))
        for line, (x, y) in zip(self._marks, marks, strict=True):
            line.set_data([x], [float(np.clip(y, *self.STEPS))])
        return self._fast.png()
