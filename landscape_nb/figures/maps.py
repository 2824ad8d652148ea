"""Surfaces over a plane: contour lines, heat maps, perspective; numbers in cells."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from landscape_nb.figures.plots import BLUE, GREY, ORANGE, VERMILLION, new_figure
from landscape_nb.figures.scales import colours_of, scale_of

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
    x: ArrayLike, y: ArrayLike, panels: Mapping[str, ArrayLike], *, quantity: str,
    limits: tuple[float, float], view: tuple[float, float], log: bool = False, columns: int = 2,
) -> Figure:  # fmt: skip
    """Surfaces over one plane, in perspective: one axis of heights, and the quantity's colours.

    Args:
        x: steps along the plane's first direction.
        y: steps along its second.
        panels: title -> heights, (len(y), len(x)).
        quantity: what the height is, one with a colour scale (`scales`).
        limits: lowest and highest height of the axis that all share.
        view: azimuth and elevation of the eye, in degrees.
        log: whether the axis shows the height's exponent of ten.
        columns: panels side by side.
    """
    scale = scale_of(quantity)
    ends = (np.log10(limits[0]), np.log10(limits[1])) if log else limits
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.3 * columns, 3.5 * rows), dpi=110)
    FigureCanvasAgg(figure)
    # by hand: the layout engines do not see the labels of axes in perspective
    figure.subplots_adjust(left=0.0, right=0.95, bottom=0.05, top=0.93, wspace=0.06, hspace=0.12)
    grid = np.meshgrid(np.asarray(x), np.asarray(y))
    for place, (title, heights) in enumerate(panels.items(), start=1):
        ax = figure.add_subplot(rows, columns, place, projection="3d")
        Z = np.maximum(np.asarray(heights), limits[0])
        ax.plot_surface(
            *grid, np.log10(Z) if log else Z, rstride=1, cstride=1, edgecolor="black",
            linewidth=0.15, facecolors=colormaps[scale.colours](_of_cells(scale.norm(Z))),
            shade=False,
        )  # fmt: skip
        ax.set(zlim=ends, xticks=[-1, 0, 1], yticks=[-1, 0, 1], xlabel="step $x$")
        ax.set_ylabel("step $y$")
        ax.set_zlabel(f"power of ten of {scale.label}" if log else scale.label)
        ax.view_init(azim=view[0], elev=view[1])
        ax.set_title(title, fontsize=10, y=1.0)
    return figure


def _of_cells(Z: np.ndarray) -> np.ndarray:
    """The mean of each four neighbours: a cell of a surface has one colour."""
    return (Z[:-1, :-1] + Z[1:, :-1] + Z[:-1, 1:] + Z[1:, 1:]) / 4


def contour_maps(
    x: ArrayLike, y: ArrayLike, panels: Mapping[str, ArrayLike], *,
    quantity: str, levels: Sequence[float], zeros: Mapping[str, ArrayLike] | None = None,
    columns: int = 2,
) -> Figure:  # fmt: skip
    """Positive heights over one plane as contour maps, in the colours of their quantity.

    Args:
        x: steps along the plane's first direction.
        y: steps along its second.
        panels: title -> heights, (len(y), len(x)); what is below the lowest level has its colour.
        quantity: what the height is, one with a colour scale (`scales`).
        levels: heights of the contour lines, increasing, the same for all.
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
    for ax, (title, Z) in zip(axes.flat, panels.items(), strict=True):
        signed = None if zeros is None else zeros[title]
        filled = contour_map(ax, x, y, Z, quantity=quantity, levels=levels, signed=signed)
        ax.set(xticks=[-1, 0, 1], yticks=[-1, 0, 1])
        ax.set_title(title, fontsize=10)
    for ax in axes[-1]:
        ax.set_xlabel("step $x$")
    for ax in axes[:, 0]:
        ax.set_ylabel("step $y$")
    place = (1 - 1.2 / width, bottom / height, 0.2 / width, 1 - (bottom + top) / height)
    bar = figure.colorbar(filled, cax=figure.add_axes(place), ticks=levels)
    bar.set_label(scale_of(quantity).label)
    bar.ax.set_yticklabels([f"{level:g}" for level in levels])
    bar.ax.minorticks_off()
    return figure


def contour_map(
    ax: Axes, x: ArrayLike, y: ArrayLike, Z: ArrayLike, *,
    quantity: str, levels: Sequence[float], signed: ArrayLike | None = None,
) -> ContourSet:  # fmt: skip
    """Positive heights over a plane, a colour between each two levels; a cross at the centre.

    `signed` is what the height is the square of: where it is 0 there is a line. See `contour_maps`.
    """
    steps = np.asarray(x), np.asarray(y)
    heights = np.clip(np.asarray(Z), levels[0], levels[-1])
    scale = scale_of(quantity)
    filled = ax.contourf(*steps, heights, levels=levels, norm=scale.norm, cmap=scale.colours)
    ax.contour(*steps, heights, levels=levels[1:-1], colors="black", linewidths=0.5)
    values = None if signed is None else np.asarray(signed)
    if values is not None and values.min() < 0 < values.max():
        ax.contour(*steps, values, levels=[0.0], colors=[filled.cmap(0.0)], linewidths=3)
    ax.plot(0, 0, "+", color=VERMILLION, markersize=9, markeredgewidth=1.8)
    return filled


def heat_map(
    ax: Axes, x: ArrayLike, y: ArrayLike, Z: np.ndarray, *,
    quantity: str, label: str | None = None, colour_bar: bool = True,
) -> None:  # fmt: skip
    """Positive heights over a plane in the colours of their quantity, which are never fitted.

    What is small must look small beside what is large, in another picture too. `x` and `y` are
    evenly spaced. `label` is the quantity's own, if not given.
    """
    scale = scale_of(quantity)
    (x0, x1, *_, xn), (y0, y1, *_, yn) = np.ravel(x), np.ravel(y)
    dx, dy = (x1 - x0) / 2, (y1 - y0) / 2  # a pixel is centred on its point
    edges = (x0 - dx, xn + dx, y0 - dy, yn + dy)
    mesh = ax.imshow(
        np.asarray(Z), norm=scale.norm, cmap=scale.colours, origin="lower", extent=edges,
        aspect="auto", interpolation="bilinear",
    )  # fmt: skip
    if colour_bar:
        ax.figure.colorbar(
            mesh, ax=ax, label=scale.label if label is None else label
        ).minorticks_off()


def number_map(
    ax: Axes, columns: Sequence[str], rows: Sequence[str], Z: np.ndarray, form: str = "{:.2g}"
) -> None:
    """Positive errors in cells, darker where larger, by their logarithm; the first row is lowest.

    Args:
        ax: where to draw.
        columns: labels along the horizontal axis.
        rows: labels along the vertical axis.
        Z: (rows, columns).
        form: format of a number.
    """
    Z = np.asarray(Z)
    norm = LogNorm(Z.min(), Z.max())
    ax.imshow(Z, norm=norm, cmap=colours_of("error"), origin="lower", aspect="auto")
    for i, row in enumerate(Z):
        for j, z in enumerate(row):
            colour = "white" if norm(z) > 0.67 else "black"
            ax.text(j, i, form.format(z), ha="center", va="center", color=colour, fontsize=8)
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(rows)), rows)


def one_more_sample(
    x: ArrayLike, y: ArrayLike, k: int, lines: Sequence[tuple[float, float]],
    plane: tuple[ArrayLike, ArrayLike], surfaces: Sequence[np.ndarray], *,
    levels: Sequence[float],
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
    heat_map(right, *plane, surfaces[2], quantity="squared change", label="")
    right.set_title("$(L_{k+1} - L_k)^2$", fontsize=11)
    for ax in (middle, right):
        ax.set(xlabel="slope $w_1$", ylabel="offset $w_2$")
    return figure
