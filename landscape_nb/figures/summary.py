"""The small pictures of the one-page summary: an idea each, no measurement."""

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from landscape_nb.figures import plots
from landscape_nb.figures.scales import colours_of

X = np.linspace(-1, 1, 101)


def bowl(ax: Axes) -> None:
    """A bowl in one dimension with its lowest point."""
    ax.plot(X, X**2, color=plots.BLACK)
    ax.plot(0, 0, "o", color=plots.VERMILLION)


def increment(ax: Axes) -> None:
    """The bowl before and after a sample joins, and the change at one point."""
    before, after = X**2, 0.8 * (X - 0.35) ** 2 + 0.25
    ax.plot(X, before, color=plots.BLACK)
    ax.plot(X, after, color=plots.VERMILLION, linestyle="--")
    ax.annotate("", (X[50], after[50]), (X[50], before[50]), arrowprops={"arrowstyle": "->"})


def arithmetic(ax: Axes) -> None:
    """A line of slope -2 on logarithmic axes, and a steeper one."""
    k = np.array([1.0, 100.0])
    ax.loglog(k, k**-2, color=plots.BLACK)
    ax.loglog(k, k**-3, color=plots.BLUE, linestyle="--")


def probe(ax: Axes) -> None:
    """A round cloud of points around the solution."""
    x, y = np.random.default_rng(0).normal(size=(2, 80))
    ax.plot(x, y, ".", color=plots.GREY, markersize=3)
    ax.plot(0, 0, "o", color=plots.VERMILLION)
    ax.set(xlim=(-4, 4), ylim=(-3, 3))


def axes_of_the_valley(ax: Axes) -> None:
    """Level lines of a long bowl, and its two main axes."""
    angle = np.linspace(0, 2 * np.pi, 121)
    for size in (0.4, 0.8):
        ax.plot(3 * size * np.cos(angle), size * np.sin(angle), color=plots.GREY)
    looks = {"arrowstyle": "->", "linewidth": 1.8}
    ax.annotate("", (0, 1.2), (0, 0), arrowprops={**looks, "color": plots.VERMILLION})
    ax.annotate("", (2.7, 0), (0, 0), arrowprops={**looks, "color": plots.BLUE})
    ax.set(xlim=(-3, 3), ylim=(-1.3, 1.3))


def zigzag(ax: Axes) -> None:
    """Steps that jump from side to side of a bowl, lower each time."""
    steps = 0.95 * (-0.75) ** np.arange(7)
    ax.plot(X, X**2, color=plots.GREY)
    ax.plot(steps, steps**2, "o-", color=plots.VERMILLION, markersize=3, linewidth=1)


def spectrum(ax: Axes) -> None:
    """Many eigenvalues at zero and a few far above."""
    ax.bar([0, 1, 6, 9], [9, 3, 1, 1], color=plots.BLUE, width=0.7)


def surface(ax: Axes) -> None:
    """Level lines of a loss over a plane."""
    y = np.linspace(-1, 1, 81)[:, None]
    ax.contour(X, y[:, 0], (X + 0.3 * y) ** 2 + 0.5 * y**2 + 0.2 * X**3, 7, cmap=colours_of("loss"))


def enough(ax: Axes) -> None:
    """A falling curve that stays below a level from one point on."""
    k = np.geomspace(1, 100, 30)
    ax.loglog(k, k**-2.2, color=plots.BLACK)
    ax.axhline(3e-3, color=plots.VERMILLION, linestyle="--", linewidth=1.2)
    ax.axvline(3e-3 ** (-1 / 2.2), color=plots.GREY, linestyle=":", linewidth=1.2)


PICTURES: dict[str, Callable[[Axes], None]] = {
    "bowl": bowl,
    "increment": increment,
    "arithmetic": arithmetic,
    "probe": probe,
    "axes": axes_of_the_valley,
    "zigzag": zigzag,
    "spectrum": spectrum,
    "surface": surface,
    "enough": enough,
}


def small_picture(name: str) -> bytes:
    """The picture of that name as PNG, on paper of its own."""
    figure = Figure(figsize=(1.5, 1.0), layout="constrained", dpi=100)
    FigureCanvasAgg(figure)
    ax = figure.subplots()
    PICTURES[name](ax)
    ax.set(xticks=[], yticks=[])
    ax.minorticks_off()
    ax.spines[["top", "right"]].set_visible(False)
    return plots.to_png(figure)
