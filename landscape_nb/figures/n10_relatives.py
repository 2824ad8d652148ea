"""Pictures of notebook 10: influence, learning coefficient and sharpness beside the criterion."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from landscape_nb.figures import plots
from landscape_nb.theory.intervals import Measured

Figures = Mapping[str, Measured]

# What sharpness and the criterion are called, with their looks.
_ALONG = {
    "delta2": ("criterion $\\Delta_2$", plots.BLACK, "o", "-"),
    "delta1": ("$\\Delta_1$", plots.GREY, "*", "--"),
    "largest": ("largest eigenvalue", plots.VERMILLION, "^", "-."),
    "trace": ("trace", plots.ORANGE, "D", ":"),
    "adaptive": ("adaptive (ASAM)", plots.BLUE, "s", "-"),
    "flatness": ("relative flatness", plots.SKY, "v", "--"),
}
_QUOTED = ("minimum_increment", "step_increment", "step_influence", "minimum_influence")
_RESCALED = {
    "delta1": "$\\Delta_1$",
    "adaptive": "adaptive (ASAM)",
    "flatness": "relative flatness",
    "delta2": "$\\Delta_2$",
    "centred": "$\\Delta_2$, centred",
    "subspace": "$\\Delta_2^{(10)}$",
    "subspace_centred": "$\\Delta_2^{(10)}$, centred",
    "largest": "largest eigenvalue",
    "trace": "trace",
}


def foreseen(columns: Mapping[str, Any], stored: Figures) -> None:
    """Foretold against true, for one seed; and rank correlations over seeds.

    Args:
        columns: of `additions`: "I", "minimum", "step", "step_influence".
        stored: figures of the study `influence`.
    """
    figure, (left, middle, right) = plots.new_figure(3, width=3.9, height=3.7)
    _against(left, columns["I"], columns["minimum"], plots.BLACK, "o")
    left.set(xlabel="increment $I_k(w_k^*)$ [loss]", ylabel="true change of the minimum [loss]")
    left.set_title("how much the objective changes", fontsize=10)
    _against(middle, columns["step_influence"], columns["step"], plots.BLUE, "s")
    middle.set(xlabel="length of the influence step", ylabel="true length of the step")
    middle.set_title("how far the solution moves", fontsize=10)
    _ranks(right, stored)
    ranks = {way: stored[f"linear_rank_{way}"].value for way in _QUOTED}
    most = int(np.argmax(np.asarray(columns["I"])))
    paid = float(columns["minimum"][most]) / float(columns["I"][most])
    plots.show(
        figure,
        "Left: the increment orders what the new minimum is worth, and no point lies above the "
        "diagonal; for the largest the minimum rises by "
        f"{paid:.0%} of the increment, since the solution moves to pay less. Middle: influence "
        "orders the steps and makes the long ones too long. Right, linear model: the increment "
        f"orders the minima (rank correlation {ranks['minimum_increment']:.3f}), not the steps "
        f"({ranks['step_increment']:.2f}); influence orders the steps "
        f"({ranks['step_influence']:.3f}), and its second term spoils the order of the minima "
        f"({ranks['minimum_influence']:.2f}). Bars: 95 % intervals, ten seeds.",
    )


def _against(ax: Axes, foretold: Any, true: Any, colour: str, marker: str) -> None:
    x, y = np.asarray(foretold), np.asarray(true)
    ends = np.array([min(x.min(), y.min()), max(x.max(), y.max())])
    ax.plot(ends, ends, color=plots.GREY, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1)
    ax.plot(x, y, marker, color=colour, markersize=4.5, markerfacecolor="none")


def _ranks(ax: Axes, stored: Figures) -> None:
    targets = {"minimum": "value of\nthe minimum", "step": "length of\nthe step"}
    targets["held_out"] = "held-out\nloss"
    looks = {
        ("linear", "increment"): (plots.BLACK, "o"),
        ("network", "increment"): (plots.GREY, "D"),
        ("linear", "influence"): (plots.BLUE, "s"),
        ("network", "influence"): (plots.SKY, "v"),
    }
    for j, ((case, way), (colour, marker)) in enumerate(looks.items()):
        found = [stored[f"{case}_rank_{what}_{way}"] for what in targets]
        x = np.arange(len(targets)) + 0.16 * (j - 1.5)
        _bars(ax, x, found, colour, marker, f"{way}, {case}")
    ax.axhline(0, color=plots.GREY, linewidth=0.6)
    ax.set_xticks(range(len(targets)), list(targets.values()), fontsize=8)
    ax.set(ylim=(-1.05, 1.05), ylabel="rank correlation with the truth")
    ax.set_title("who foresees what", fontsize=10)
    ax.legend(frameon=False, fontsize=7.5, loc="lower right")


def _bars(
    ax: Axes, x: Any, found: Sequence[Measured], colour: str, marker: str, label: str
) -> None:
    """Values with their intervals."""
    y = np.array([m.value for m in found])
    ends = np.array([[m.value - m.low for m in found], [m.high - m.value for m in found]])
    ax.errorbar(
        x, y, ends, fmt=marker, color=colour, markersize=4.5, capsize=2.5, linewidth=1.2,
        label=label,
    )  # fmt: skip


def settling_and_rescaling(
    ks: Sequence[int], curves: Mapping[str, np.ndarray], stored: Figures
) -> None:
    """Sharpness and criterion along k; and the factors by which a rescaling changes them.

    Args:
        ks: numbers of samples (K,).
        curves: name -> (seeds, K), names of the study `sharpness`.
        stored: its figures.
    """
    figure, (left, right) = plots.new_figure(2, width=5.0, height=4.2)
    for name, (label, colour, marker, dash) in _ALONG.items():
        relative = curves[name] / curves[name][:, :1]
        plots.spread(left, ks, relative, label, color=colour, marker=marker, linestyle=dash)
    plots.log_log(left, "number of samples k", "times its value at the first k", "", ticks=ks)
    left.set_title("digits, trained anew for each k", fontsize=10)
    left.legend(frameon=False, fontsize=8)
    _factors(right, stored)
    plots.show(
        figure,
        "Left: the criterion falls with slope "
        f"{stored['slope_delta2']}, and every kind of sharpness rises, the trace with "
        f"slope {stored['slope_trace']}: by the last k none of them has settled. Right: "
        "the same function with its layers rescaled tenfold. Three numbers stay, to the last "
        f"digits; the trace grows {stored['rescaled_trace'].value:.0f}-fold, and so does the "
        "centred criterion, while the whole of $\\Delta_2$ hides it behind the value (factor "
        f"{stored['rescaled_delta2'].value:.2f}). Shading: all ten seeds; bars: 95 % intervals.",
    )


def _factors(ax: Axes, stored: Figures) -> None:
    names = list(_RESCALED)[::-1]
    for y, name in enumerate(names):
        m = stored[f"rescaled_{name}"]
        exact = f"off_{name}" in stored
        colour, marker = (plots.BLUE, "s") if exact else (plots.VERMILLION, "^")
        ends = [[m.value - m.low], [m.high - m.value]]
        ax.errorbar(m.value, y, xerr=ends, fmt=marker, color=colour, markersize=5, capsize=2.5)
        told = "unchanged" if exact else f"{m.value:.3g}"
        ax.annotate(told, (m.value, y), xytext=(0, 5), textcoords="offset points", fontsize=8,
                    ha="center")  # fmt: skip
    ax.axvline(1, color=plots.GREY, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1)
    ax.set_yticks(range(len(names)), [_RESCALED[name] for name in names], fontsize=9)
    ax.set(xscale="log", xlim=(0.4, 120), ylim=(-0.5, len(names) - 0.3))
    ax.set_xlabel("after / before $W_1 \\to 10\\,W_1$, $W_2 \\to W_2/10$")
    ax.set_title("which numbers belong to the function", fontsize=10)


def directions(stored: Figures) -> None:
    """Effective dimension by sampling and by the Hessian, along k and width, without L2.

    Args:
        stored: figures of the study `learning_coefficient`.
    """
    figure, (left, right) = plots.new_figure(2, width=4.6, height=3.9)
    _dimensions(left, stored, {"k100": 100, "k200": 200, "k400": 400})
    left.set_xlabel("number of samples k (width 8)")
    _dimensions(right, stored, {"width4": 4, "k200": 8, "width16": 16})
    right.set_xlabel("hidden units (k = 200)")
    for ax in (left, right):
        ax.set_ylabel("directions that count, of N")
    handles = left.get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    both = [*left.get_ylim(), *right.get_ylim()]
    for ax in (left, right):
        ax.set_ylim(min(both) / 1.3, max(both) * 1.3)
    plots.show(
        figure,
        "Without L2, at the end of training. Sampling counts "
        f"{stored['k200_dimension'].value:.1f} directions at k = 200 and width 8, the Hessian "
        f"{stored['k200_soft'].value:.1f} at the same scale: the bottom is flatter than its "
        f"surroundings. The two differ {stored['width4_excess'].value:.1f}-fold at width 4, "
        f"{stored['width16_excess'].value:.1f}-fold at width 16. Bars: 95 % intervals, ten seeds.",
    )


def _dimensions(ax: Axes, stored: Figures, cases: Mapping[str, int]) -> None:
    x = list(cases.values())
    looks = {"dimension": (plots.BLUE, "s", "twice the local learning coefficient")}
    looks["soft"] = (plots.ORANGE, "D", "soft count of eigenvalues")
    for what, (colour, marker, label) in looks.items():
        found = [stored[f"{case}_{what}"] for case in cases]
        _bars(ax, x, found, colour, marker, label)
        ax.plot(x, [m.value for m in found], color=colour, linewidth=1)
    ax.set(xscale="log", yscale="log")
    ax.set_xticks(x, [str(tick) for tick in x])
    ax.minorticks_off()
