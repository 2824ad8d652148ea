"""Pictures of notebook 07 that stand on stored studies: KG26's Figs. 2 to 4, and fair probes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from landscape_nb.figures import plots
from landscape_nb.theory.intervals import Measured, geometric_interval

COLOURS = {1e-4: plots.GREEN, 1e-3: plots.ORANGE, 1e-2: plots.BLUE}
DASHES, MARKERS = {1: ":", 4: "--", 16: "-"}, {1: "v", 4: "s", 16: "o"}


def _banded(ax: Axes, x: Sequence[float], runs: np.ndarray, **look: Any) -> None:
    """Geometric mean over seeds with its interval shaded."""
    each = [geometric_interval(column) for column in np.asarray(runs).T]
    plots.curve(ax, x, [m.value for m in each], "", **look)
    low, high = [m.low for m in each], [m.high for m in each]
    ax.fill_between(x, low, high, color=look["color"], alpha=0.18, linewidth=0)


def ratio_by_rule(
    ks: Sequence[int], rules: Mapping[str, Mapping[tuple[float, int], np.ndarray]]
) -> None:
    """KG26 Fig. 3 by both rules: subspace over full-space criterion along training.

    Args:
        ks: sequences consumed, (K,).
        rules: "published" and "definition" -> (sigma, D) -> ratio for each seed, (seeds, K).
    """
    figure, axes = plots.new_figure(2, width=4.8, height=4.2)
    titles = {"published": "B of the published code", "definition": "B of the definition"}
    for ax, (rule, title) in zip(axes, titles.items(), strict=True):
        for (sigma, D), runs in rules[rule].items():
            label = f"$\\sigma$ = {sigma:g}, D = {D}"
            look = {"color": COLOURS[sigma], "linestyle": DASHES[D], "marker": MARKERS[D]}
            _banded(ax, ks, runs, label=label, **look)
        plots.log_log(ax, "sequences consumed, k", "ratio to full space", title, ticks=ks)
        ax.set_xticks(list(ks), [str(k) if k != 4096 else "" for k in ks], fontsize=8)
        ax.set_ylim(0.3, 3e4)
        ax.axhline(1, color=plots.GREY, linewidth=0.8)
    axes[0].legend(frameon=False, loc="upper left", fontsize=8)
    last = {
        (rule, key): geometric_interval(runs[:, -1]).value
        for rule, curves in rules.items()
        for key, runs in curves.items()
    }
    far = ", ".join(f"{last['published', (1e-2, D)]:.0f}" for D in (1, 4, 16))
    near = [f"{last['published', (s, D)]:.2g}" for s in (1e-4, 1e-3) for D in (1, 16)]
    own = [
        geometric_interval(column).value
        for runs in rules["definition"].values()
        for column in runs.T
    ]
    count = len(next(iter(rules["published"].values())))
    plots.show(
        figure,
        f"Left, the published code's B ({count} trainings, bands are 95 % intervals): at "
        f"k = {ks[-1]} and D = 1 and 16 the ratio is {near[0]} and {near[1]} at sigma = 1e-4, "
        f"{near[2]} and {near[3]} at 1e-3; at 1e-2 it is {far} for D = 1, 4, 16. Right, the "
        "definition's B on the same weights and directions: between "
        f"{min(own):.2f} and {max(own):.2f} at every k.",
    )


def falling_criteria(ks: Sequence[int], runs: Mapping[str, np.ndarray], slopes: dict) -> None:
    """KG26 Fig. 2: Delta_1 as defined and as published, and the squares, along ten trainings.

    Args:
        ks: sequences consumed, (K,).
        runs: "point", "fifty", "full" and "top" -> criterion for each seed, (seeds, K).
        slopes: "point" and "full" -> `Measured`.
    """
    figure, ax = plots.new_figure(width=6.4, height=3.8)
    looks = {
        "point": ("$\\Delta_1$ at the weights themselves", plots.PURPLE, "-", "v"),
        "fifty": ("$\\Delta_1$, 50 directions at distance 0.02", plots.ORANGE, "--", "s"),
        "full": ("$\\Delta_2$, $\\sigma$ = 0.001", plots.BLACK, "-", "*"),
        "top": ("$\\Delta_2^{(4)}$, $\\sigma$ = 0.001", plots.BLUE, "--", "o"),
    }
    for name, (label, colour, dash, marker) in looks.items():
        _banded(ax, ks, runs[name], label=label, color=colour, linestyle=dash, marker=marker)
    for name, power in (("point", -1), ("full", -2)):
        plots.power_law_guide(ax, ks, 5 * float(np.exp(np.log(runs[name][:, 0]).mean())), power)
    plots.log_log(ax, "sequences consumed, k", "criterion [nats or nats$^2$]", "Fig. 2", ticks=ks)
    ax.set_xticks(list(ks), [str(k) if k != 4096 else "" for k in ks])
    ax.legend(frameon=False, loc="lower left", fontsize=8)
    plots.show(
        figure,
        f"All criteria fall, at different rates: Delta_1 with slope {slopes['point']}, the "
        f"squares with {slopes['full']} ({slopes['full'].count} trainings). The two kinds of "
        "Delta_1 lie on top of each other, and so do the two squares.",
    )


def taylor_reach(sigmas: Sequence[float], curves: Mapping[str, np.ndarray]) -> None:
    """KG26 Fig. 4: errors of the Taylor polynomial of L_k, and of the increment's model.

    Args:
        sigmas: sizes of the step, (S,).
        curves: "single", "double" -> absolute error of L_k's polynomial; "pooled" -> its relative
            error; "raw", "centred" -> of the increment's model; for each seed, (seeds, S).
    """
    figure, (left, right) = plots.new_figure(2, width=4.9)
    for name, colour, dash, marker in (
        ("single", plots.BLUE, "-", "o"),
        ("double", plots.VERMILLION, "-.", "D"),
    ):
        label = f"{name} precision"
        _banded(
            left, sigmas, curves[name], label=label, color=colour, linestyle=dash, marker=marker
        )
    for name, label, colour, dash, marker in (
        ("pooled", "$L_k$, isotropic (KG26's test)", plots.VERMILLION, "-.", "D"),
        ("centred", "increment, D = 4, centred", plots.BLUE, "-", "o"),
        ("raw", "increment, D = 4, raw", plots.GREY, "--", "s"),
    ):
        _banded(
            right, sigmas, curves[name], label=label, color=colour, linestyle=dash, marker=marker
        )
    step = "size of the step, $\\sigma$"
    plots.log_log(left, step, "absolute error [nats]", "Fig. 4: Taylor polynomial of $L_k$")
    plots.log_log(right, step, "relative error", "Beside it: the increment's model")
    left.set_ylim(1e-17, 30)
    right.set_ylim(1e-11, 3)
    right.axhline(0.1, color=plots.GREY, linewidth=0.8)
    left.legend(frameon=False, loc="upper left", fontsize=8)
    right.legend(frameon=False, loc="lower right", fontsize=8)
    single = np.exp(np.log(curves["single"]).mean(0))
    leaves = sigmas[int((single > 3 * single[0]).argmax())]
    at = list(sigmas).index(1e-3)
    there = {name: geometric_interval(curves[name][:, at]).value for name in ("pooled", "centred")}
    plots.show(
        figure,
        f"Left: in single precision the error is flat at {single[0]:.0e} nats, the rounding of the "
        f"loss, and rises sharply near sigma = {leaves:.0e}; in double precision the same error "
        "falls on as a power of sigma. Right, in double precision: at sigma = 1e-3 the polynomial "
        f"of L_k is off by {there['pooled']:.1%} and the centred model of the increment by "
        f"{there['centred']:.2%}; the raw one looks far better, because the value hides it.",
    )


PROBES = {
    "top": "16 top directions of $H^{(k)}$",
    "principal": "16 principal components",
    "bottom": "4 bottom directions",
    "random": "16 random directions",
    "gradient": "oracle: next gradient (1)",
    "next": "oracle: next top 4",
    "own": "oracle: increment's own 4",
}


def fair_probes(found: Mapping[str, Measured]) -> None:
    """Shares of the increment's gradient and curvature in fixed probes and oracles.

    Args:
        found: the figures of the study `transformer_probes`: "gradient_top", "curvature_top", ...
    """
    figure, axes = plots.new_figure(2, width=5.0, height=3.2)
    heights = np.arange(len(PROBES))[::-1]
    gradient, curvature = (
        {name: found[f"{part}_{name}"] for name in PROBES} for part in ("gradient", "curvature")
    )
    looks = (
        ("gradient", gradient, "s", plots.BLUE),
        ("curvature", curvature, "o", plots.VERMILLION),
    )
    for ax, (part, shares, marker, colour) in zip(axes, looks, strict=True):
        each = list(shares.values())
        middle = [m.value for m in each]
        sides = [[m.value - m.low for m in each], [m.high - m.value for m in each]]
        ax.errorbar(middle, heights, xerr=sides, fmt=marker, color=colour, capsize=3, markersize=5)
        for x, y in zip(middle, heights, strict=True):
            ax.annotate(f"{x:.2g}", (x, y), xytext=(0, 6), textcoords="offset points",
                        ha="center", fontsize=8)  # fmt: skip
        ax.set(
            xscale="log",
            xlim=(min(middle) / 5, 3),
            ylim=(-0.6, len(PROBES) - 0.2),
            xlabel=f"share of the {part}",
        )
        ax.set_yticks(heights, list(PROBES.values()) if ax is axes[0] else [""] * len(PROBES))
        ax.axvline(1, color=plots.GREY, linewidth=0.8)
    plots.show(
        figure,
        "Of the fixed probes, 16 principal components of other sequences' gradients hold "
        f"{gradient['principal'].value:.0%} of the increment's squared gradient and 16 top "
        f"directions {gradient['top'].value:.0%}; of the curvature "
        f"{curvature['principal'].value:.2%} and {curvature['top'].value:.1%}. The oracle, the "
        f"next sequence's own gradient, holds {gradient['gradient'].value:.0%} of the gradient.",
    )


STAGES = {  # KG26's Table 3, seconds: arXiv v1, 107 million parameters, D = 45
    "pairs": ("I: eigenvectors", 17.53),
    "model": ("II: a, c and B", 1.777),
    "direct": ("III: direct Monte Carlo", 2.197),
    "quadratic": ("III: quadratic Monte Carlo", 3.68e-3),
    "moment": ("III: closed form", 1.22e-4),
}


def stages_at_size(found: Mapping[str, Mapping[str, Any]]) -> None:
    """Table 3's stages beside the paper's seconds, as measured once; what is missing is left out.

    Args:
        found: what `tests/benchmarks/paper_size.py` has stored.
    """
    setting, timed = found["setting"], {s: found[s]["seconds"] for s in STAGES if _timed(found, s)}
    heights = {stage: height for height, stage in enumerate(reversed(STAGES))}
    figure, ax = plots.new_figure(width=6.4, height=3.0)
    theirs = [STAGES[stage][1] for stage in heights]
    ax.plot(theirs, [*heights.values()], "s", color=plots.BLACK, fillstyle="none", label="KG26")
    at = [heights[stage] for stage in timed]
    ax.plot([*timed.values()], at, "o", color=plots.BLUE, label="ours")
    if _timed(found, "published"):
        row = found["published"]
        seconds, label = row["seconds"], f"published method, {row['pairs']} pairs"
        ax.plot([seconds], [heights["pairs"]], "^", color=plots.VERMILLION, label=label)
    ax.set_yticks([*heights.values()], [STAGES[stage][0] for stage in heights])
    ax.set(xscale="log", xlabel="seconds", ylim=(-0.6, len(STAGES) - 0.4))
    ax.set_title(f"Measured once on {setting['device']}", fontsize=10)
    ax.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    each = ", ".join(
        f"{STAGES[stage][0]} {seconds:.2g} s (KG26: {STAGES[stage][1]:.2g} s)"
        for stage, seconds in timed.items()
    )
    plots.show(
        figure,
        f"{setting['parameters'] / 1e6:.3g} million parameters, k = {setting['k']}, "
        f"D = {setting['D']}, measured once on {setting['device']}, {setting['date']}: {each}. "
        "The cards differ, so compare stages and not seconds.",
    )


def _timed(found: Mapping[str, Mapping[str, Any]], stage: str) -> bool:
    return "seconds" in found.get(stage, ())
