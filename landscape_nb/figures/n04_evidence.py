"""Figures of notebook 04 that draw stored studies: dots with intervals of Student's t, 95 %."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from landscape_nb.figures import plots
from landscape_nb.theory.intervals import Measured

SLOPES = {
    "slope_frozen_delta1": "$|I_k|$, frozen weights",
    "slope_frozen": "$I_k^2$, frozen weights",
    "slope_delta1": "$\\Delta_1$, by its definition",
    "slope_published": "$\\Delta_1$, as KG26's code measures it",
    "slope_subspace": "$\\Delta_2^{(10)}$",
    "slope_full": "$\\Delta_2$",
    "slope_gradient": "gradient part of $\\Delta_2^{(10)}$",
    "slope_curvature": "curvature part of $\\Delta_2^{(10)}$",
}


def dots(ax: Axes, x: ArrayLike, measured: Sequence[Measured], name: str, **looks: Any) -> None:
    """Measured values with their intervals, joined by a line in the look of their name."""
    y = np.array([m.value for m in measured])
    ends = np.array([[m.value - m.low, m.high - m.value] for m in measured]).T
    line = plots.curve(ax, x, y, name, **looks)
    ax.errorbar(x, y, yerr=ends, fmt="none", color=line.get_color(), capsize=2.5, linewidth=1)


def slopes(figures: Mapping[str, Measured]) -> None:
    """Slopes along k of every criterion, one row each: the figures of the study `decay`."""
    figure, ax = plots.new_figure(width=6.6, height=3.4)
    rows = [figures[name] for name in SLOPES]
    y = np.arange(len(rows))[::-1]
    ends = np.array([[m.value - m.low, m.high - m.value] for m in rows]).T
    x = [m.value for m in rows]
    ax.errorbar(x, y, xerr=ends, fmt="o", color=plots.BLUE, markersize=4.5, capsize=3)
    for level in (-1, -2):
        ax.axvline(level, color=plots.GREY, linewidth=0.9, linestyle=(0, (1, 2)), zorder=0)
    for height, m in zip(y, rows, strict=True):
        ax.annotate(
            str(m) if m.high - m.low > 1e-2 else f"{m.value:.2f}", (m.value, height),
            xytext=(0, 6), textcoords="offset points", ha="center", fontsize=8,
        )  # fmt: skip
    ax.set_yticks(y, list(SLOPES.values()), fontsize=9)
    ax.set(xlabel="slope along k, log-log", xlim=(-3.6, -0.6), ylim=(-0.5, len(rows) - 0.2))
    ax.set_title(f"{rows[0].count} seeds, k = 20 to 1000", fontsize=10)
    gap = figures["published_minus_definition"]
    plots.show(
        figure,
        f"Frozen, the absolute change falls with slope {x[0]:.2f} and its square with {x[1]:.2f}: "
        f"arithmetic. Trained anew, Delta_1 falls with {figures['slope_delta1']} and the squared "
        f"criterion with {figures['slope_full']}: more slowly and more steeply, as KG26 says. "
        "Delta_1 by the published code lies on top of that by the definition: their slopes differ "
        f"by {abs(gap.value):.0e}.",
    )


def ratios_with_seeds(
    ks: ArrayLike,
    raw: Mapping[str, ArrayLike],
    centred: Mapping[str, ArrayLike],
    at: Sequence[int],
    figures: Mapping[str, Measured],
) -> None:
    """Ratio of each probe's criterion to the full space's: one seed's lines, ten seeds' dots.

    Args:
        ks: (K,).
        raw, centred: probe -> (K,), of one seed.
        at: numbers of samples of the study `probes`.
        figures: its figures.
    """
    figure, (left, right) = plots.new_figure(2, width=4.8)
    for name in raw:
        plots.curve(left, ks, raw[name], name, alpha=0.8)
        plots.curve(right, ks, centred[name], name, linewidth=0.8, markersize=2.5, alpha=0.7)
        dots(right, at, [figures[f"{name}_gradient_{k}"] for k in at], name, label="_", linewidth=0)
    left.set(xscale="log", ylim=(0, 1.2), xlabel="number of samples k")
    left.set_ylabel("ratio to full space")
    left.set_title("Raw criterion (as in KG26 Fig. 3)", fontsize=10)
    plots.log_log(right, "number of samples k", "ratio to full space", "Centred criterion")
    left.legend(frameon=False, loc="lower left")
    count = figures[f"top_gradient_{at[1]}"].count
    words = [
        f"{name} {figures[f'{name}_gradient_{at[1]}']}" for name in ("top", "random", "bottom")
    ]
    plots.show(
        figure,
        "Left: three lines at 1.00, one over the other: the raw ratio gives the directions of "
        "smallest curvature the same full marks as the sharpest. Right: without the common value "
        f"the probes differ at last. Lines: one seed. Large marks with intervals: {count} seeds, "
        f"at k = {at[1]} {', '.join(words)}.",
    )


def captured_over_k(
    ks: Sequence[int], figures: Mapping[str, Measured], probes: Mapping[str, str]
) -> None:
    """Captured shares of gradient and curvature over all judges, at each k of the study `probes`.

    Args:
        ks: numbers of samples.
        figures: of the study.
        probes: its name for a probe -> the words for the legend.
    """
    figure, axes = plots.new_figure(2, width=4.9)
    looks = {"components": {"color": plots.SKY, "marker": "P", "linestyle": "--"}}
    looks["hindsight"] = {"color": plots.GREY, "marker": "*", "linestyle": ":"}
    for ax, part in zip(axes, ("gradient", "curvature"), strict=True):
        for name, words in probes.items():
            row = [figures[f"{name}_{part}_{k}"] for k in ks]
            dots(ax, ks, row, name, label=words, **looks.get(name, {}))
        ax.set(xscale="log", ylim=(0, 1.08), xlabel="number of samples k")
        ax.set_ylabel(f"captured share of the {part}")
        ax.set_xticks(ks, [f"{k}" for k in ks])
        ax.minorticks_off()
        ax.set_title(f"All judges, {part}", fontsize=10)
    axes[1].legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    k = ks[1]
    top, other, best = (figures[f"{n}_gradient_{k}"] for n in ("top", "components", "hindsight"))
    plots.show(
        figure,
        f"At k = {k} the top eigenspace captures {top} of the gradient, the components of other "
        f"digits' gradients {other}, and no fixed ten directions can capture more than {best}. "
        f"Of the curvature: {figures[f'top_curvature_{k}']} and "
        f"{figures[f'components_curvature_{k}']}; the oracle, the Jacobian of the very digit "
        f"that comes, {figures[f'Jacobian_curvature_{k}']}.",
    )


def captured_by_fifth(
    k: int, gradient: Mapping[str, Sequence[Measured]], curvature: Mapping[str, Sequence[Measured]]
) -> None:
    """Captured shares within each fifth of the unseen digits, easiest first.

    Args:
        k: number of samples.
        gradient, curvature: probe -> five shares; "whole": the fifths' shares of all there is.
    """
    figure, axes = plots.new_figure(2, width=4.9)
    looks = {"components": {"color": plots.SKY, "marker": "P", "linestyle": "--"}}
    names = {
        "top": "top of $H^{(k)}$", "components": "other digits' gradients",
        "Jacobian": "Jacobian of the next digit (oracle)",
    }  # fmt: skip
    for ax, part, rows in zip(axes, ("gradient", "curvature"), (gradient, curvature), strict=True):
        for name, words in names.items():
            dots(ax, range(1, 6), rows[name], name, label=words, **looks.get(name, {}))
        ticks = [f"{j + 1}\n{m.value:.2%}" for j, m in enumerate(rows["whole"])]
        ax.set_xticks(range(1, 6), ticks, fontsize=8)
        ax.set(ylim=(0, 1.08), xlabel="fifth by loss, easiest first; below: its share of the sum")
        ax.set_ylabel(f"captured share of the {part}")
        ax.set_title(f"Who captures the {part}? k = {k}", fontsize=10)
    axes[0].legend(frameon=False, fontsize=8, loc="lower right")
    top, jacobian, whole = (curvature[name] for name in ("top", "Jacobian", "whole"))
    plots.show(
        figure,
        f"In the easiest fifth the top eigenspace captures {top[0]} of the curvature and the "
        f"Jacobian {jacobian[0]}; in the hardest fifth {top[4]} and {jacobian[4]}. That fifth "
        f"alone holds {whole[4].value:.1%} of all curvature and {gradient['whole'][4].value:.1%} "
        "of all gradient.",
    )


def overlap(ks: Sequence[int], figures: Mapping[str, Measured]) -> None:
    """How far the top ten directions stay when one digit comes: figures of the study `overlap`."""
    figure, (left, right) = plots.new_figure(2, width=4.8)
    words = {"assumed": "same $w_k^*$ (Assumption 2)", "retrained": "trained on to $w_{k+1}^*$"}
    words["control"] = "trained again, no new digit"
    looks = dict(zip(words, ("top", "Jacobian", "bottom"), strict=True))
    for name, label in words.items():
        row = [figures[f"{name}_{k}"] for k in ks]
        dots(left, ks, row, looks[name], label=label)
    dots(right, ks, [figures[f"kept_{k}"] for k in ks], "curvature", label="on the diagonal of B")
    for ax in (left, right):
        ax.set(xscale="log", ylim=(0, 1.08), xlabel="number of samples k")
        ax.legend(frameon=False, fontsize=8, loc="lower right")
    left.set_ylabel("overlap $|U_k^\\top V|_F^2 / D$")
    left.set_title("Do the ten sharpest directions stay?", fontsize=10)
    right.set_ylabel("share of $|A_k U_k|_F^2$")
    right.set_title("What the assumption keeps of the change", fontsize=10)
    first, last = ks[0], ks[-1]
    plots.show(
        figure,
        f"Left: at the same weights the overlap is {figures[f'assumed_{first}']} at k = {first}, "
        f"{figures[f'assumed_{last}']} at k = {last}; after training on, "
        f"{figures[f'retrained_{first}']} and {figures[f'retrained_{last}']}. Right: of what the "
        f"increment does to the ten directions, the diagonal that the assumption keeps holds "
        f"{figures[f'kept_{first}']} and {figures[f'kept_{last}']}.",
    )
