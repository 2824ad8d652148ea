"""The map of the course as a still picture."""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from landscape_nb.figures import plots

WIDTH, HEIGHT = 0.86, 0.66  # of a notebook's box, where neighbours are 1 apart
STATES = {"done": "done \u2713", "begun": "begun", "": ""}


def course_map(data: Mapping[str, Any], chosen: str, way: Sequence[str], done: Mapping) -> bytes:
    """Notebooks as boxes and prerequisites as arrows, as PNG.

    Args:
        data: of the explorable: its notebooks with their places, and the arrows.
        chosen: number of the notebook with the thick edge.
        way: the numbers of those on the way to it, which have a blue one.
        done: number -> "done" or "begun".
    """
    figure = Figure(figsize=(8.4, 5.6), layout="constrained", dpi=100)
    FigureCanvasAgg(figure)
    ax = figure.subplots()
    places = {one["number"]: one["place"] for one in data["notebooks"]}
    for before, after, needed in data["arrows"]:
        looks: dict[str, Any] = {
            "color": plots.BLUE if needed and {before, after} <= {*way} else plots.GREY
        }
        looks |= {"linestyle": "-" if needed else "--", "linewidth": 1.6}
        ends = {"xy": _edge(places[after], places[before]), "xytext": places[before]}
        arrow = {"arrowstyle": "->", "shrinkA": 0, "shrinkB": 0, **looks}
        ax.annotate("", **ends, arrowprops=arrow, zorder=1)
    for one in data["notebooks"]:
        colour = plots.BLUE if one["number"] in way else plots.GREY
        edge: dict[str, Any] = {"edgecolor": colour, "linewidth": 1.5}
        if one["number"] == chosen:
            edge = {"edgecolor": plots.VERMILLION, "linewidth": 4}
        (x, y), title = one["place"], fill(f"{one['number']} {one['title']}", 15)
        corner = x - WIDTH / 2, y - HEIGHT / 2
        ax.add_patch(_box(corner, edge))
        told = f"{title}\n{one['read']} min"
        state = STATES[done.get(one["number"], "")]
        ax.text(x, y, f"{told}\n{state}" if state else told, ha="center", va="center", fontsize=10)
    ax.set(xlim=(-0.5, 3.5), ylim=(3.4, -0.4))
    ax.set_axis_off()
    return plots.still(figure)


def _edge(box: Sequence[float], start: Sequence[float]) -> tuple[float, float]:
    """Where a line from `start` to the middle of a box meets its edge."""
    (x, y), (u, v) = start, box
    across = WIDTH / 2 / abs(u - x) if u != x else 1.0
    up = HEIGHT / 2 / abs(v - y) if v != y else 1.0
    share = min(across, up)
    return u - share * (u - x), v - share * (v - y)


def _box(corner: tuple[float, float], edge: Mapping[str, Any]) -> FancyBboxPatch:
    style = "round,pad=0,rounding_size=0.06"
    return FancyBboxPatch(
        corner, WIDTH, HEIGHT, boxstyle=style, facecolor="white", zorder=2, **edge
    )
