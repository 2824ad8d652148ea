"""Pictures of notebook 05 from stored seeds: dimensions, probes, and Corollary 4's formula."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from landscape_nb.figures import plots
from landscape_nb.theory.intervals import Measured, geometric_interval


def heights_over_dimension(
    sizes: Sequence[int], heights: np.ndarray, top: Mapping[str, np.ndarray]
) -> None:
    """K (k+1) Delta_k over the number of directions, and what the first direction alone gives.

    Args:
        sizes: (S,), numbers of random directions, the first one 1.
        heights: (S, seeds).
        top: "first" and "ten" -> heights of the top eigenvector, and of the ten, (seeds,).
    """
    figure, ax = plots.new_figure(width=6.4, height=3.7)
    curve = [geometric_interval(row) for row in heights]
    _with_interval(ax, sizes, curve, "random directions, as defined", plots.BLUE, "o", "-")
    first = [curve[0]] * len(sizes)
    label = "the first of them only, as the published code"
    _with_interval(ax, sizes, first, label, plots.ORANGE, "s", "--")
    eigen = {name: geometric_interval(values) for name, values in top.items()}
    both = [eigen["first"], eigen["ten"]]
    _with_interval(ax, [1, 10], both, "top eigenvectors", plots.VERMILLION, "D", ":")
    title = "$\\sigma$ = 1, kept $w^*$"
    height = "$k(k+1)\\,\\Delta_k$ [loss$^2$]"
    plots.log_log(ax, "number of directions D", height, title, ticks=[1, 2, 10, 16, 64, 256])
    ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(0.0, 0.98))
    ax.set_ylim(top=ax.get_ylim()[1] * 60)  # room for the legend
    grows = geometric_interval(heights[-1] / heights[0])
    more = geometric_interval(top["ten"] / top["first"])
    plots.show(
        figure,
        f"From one random direction to {sizes[-1]} the height grows {grows}-fold, and from the top "
        f"eigenvector to the ten {more}-fold ({grows.count} seeds, 95 % intervals). With the first "
        "direction alone the line is level.",
    )


def probes_and_model(
    factors: Mapping[int, Sequence[float]],
    whole: Mapping[int, Sequence[float]],
    model: Mapping[str, Mapping[float, Measured]],
) -> None:
    """Left the top ten over random ten, right the quadratic model over what was measured.

    Args:
        factors: k -> curvature part of the top over that of the random directions, by seed.
        whole: k -> the same ratio of the whole criterion.
        model: "top" and "random" -> sigma -> Gaussian moment over direct Monte Carlo.
    """
    figure, (left, right) = plots.new_figure(2, width=4.8, height=3.8)
    for name, ratios, colour, marker, dash in (
        ("curvature part", factors, plots.VERMILLION, "^", "-."),
        ("whole criterion", whole, plots.GREY, "o", "-"),
    ):
        found = [geometric_interval(row) for row in ratios.values()]
        _with_interval(left, list(ratios), found, name, colour, marker, dash)
    title = "D = 10, $\\sigma$ = 0.01"
    plots.log_log(left, "number of samples k", "top / random", title, ticks=list(factors))
    left.legend(frameon=False, fontsize=8, loc="center right")
    for name, sigmas in model.items():
        look = plots.LOOKS[name]
        _with_interval(
            right, list(sigmas), list(sigmas.values()), f"{name}, D = 10", look["color"],
            look["marker"], look["linestyle"],
        )  # fmt: skip
    right.axhline(1, color=plots.GREY, linewidth=0.8)
    title = "k = 80: model / measured"
    plots.log_log(right, "$\\sigma$", "Gaussian moment / direct", title)
    right.legend(frameon=False, fontsize=8)
    ratio, at_one = geometric_interval(factors[80]), {s: m[1.0] for s, m in model.items()}
    plots.show(
        figure,
        f"Left: in the whole criterion the probes agree; in the curvature part the top ten see "
        f"{ratio} times as much (k = 80, {ratio.count} seeds). Right: at sigma = 1 the model is "
        f"{at_one['top']} times too large in the top directions, {at_one['random']} times in "
        "random ones.",
    )


def formula_over(rows: Mapping[str, Measured]) -> None:
    """Corollary 4 over what it is compared with, an interval each, on one axis.

    Args:
        rows: label -> ratio.
    """
    figure, ax = plots.new_figure(width=7.6, height=0.5 * len(rows) + 1.1)
    colours = (plots.VERMILLION, plots.ORANGE, plots.BLUE, plots.GREEN, plots.SKY, plots.PURPLE)
    for j, (ratio, colour) in enumerate(zip(rows.values(), colours, strict=False)):
        sides = [[ratio.value - ratio.low], [ratio.high - ratio.value]]
        ax.errorbar([ratio.value], [-j], xerr=sides, fmt="osD^v*"[j], color=colour, capsize=3)
    ax.set_yticks([-j for j in range(len(rows))], list(rows), fontsize=9)
    ax.axvline(1, color=plots.GREY, linewidth=0.9)
    ax.set(xscale="log", xlabel="ratio", ylim=(-len(rows) + 0.5, 0.6))
    told = "; ".join(f"{name}: {ratio}" for name, ratio in rows.items())
    plots.show(figure, f"Right of the grey line the formula is too large. {told}.")


def _with_interval(
    ax: Axes,
    x: Sequence[float],
    found: Sequence[Measured],
    label: str,
    colour: str,
    marker: str,
    dash: str | tuple,
) -> None:
    """A curve of means with their intervals as bars."""
    values = np.array([m.value for m in found])
    sides = [values - [m.low for m in found], [m.high for m in found] - values]
    ax.errorbar(
        x, values, yerr=np.maximum(sides, 0), color=colour, marker=marker, linestyle=dash,
        label=label, capsize=3, markersize=4.5, linewidth=1.4,
    )  # fmt: skip
