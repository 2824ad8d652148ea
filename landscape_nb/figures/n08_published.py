"""The pictures of notebook 08 that rest on stored studies: ten seeds of ours, C26's spectra."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from landscape_nb.figures import plots
from landscape_nb.theory.intervals import Measured

Row = Mapping
DOTS = (0, (1, 2))
COLOURS = (plots.BLUE, plots.ORANGE, plots.GREEN, plots.VERMILLION, plots.BLACK)
LOOKS = tuple(zip("os^vD", COLOURS, strict=True))
CONTROLS = {  # column of both tables -> words
    "same": "same layer",
    "other_training": "other training",
    "other_layer": "other layer",
    "other_network": "other network",
    "random": "sorted random",
}


def alpha_of_layers(
    ours: Mapping[str, Measured], published: Sequence[Row], medians: Mapping[str, Measured]
) -> None:
    """The exponent alpha: our layers with intervals over seeds; C26's spectra one by one.

    Args:
        ours: layer -> mean over ten seeds.
        published: rows of the study of C26's spectra.
        medians: kind of layer -> median over spectra.
    """
    figure, (left, right) = plots.new_figure(2, width=5.2, height=4.2)
    for i, found in enumerate(ours.values()):
        _bar(left, i, found, plots.BLUE, "o")
    left.set_title("ours: mean of ten seeds, 95 % interval", fontsize=10)
    left.set_xticks(range(len(ours)), list(ours), rotation=60, ha="right", fontsize=9)
    for i, (kind, found) in enumerate(medians.items()):
        own = np.array([row["alpha"] for row in published if row["kind"] == kind])
        look = {"color": plots.SKY, "markersize": 3, "zorder": 1}
        right.plot(i - 0.2 + 0.1 * np.linspace(-1, 1, len(own)), own, "o", **look)
        _bar(right, i + 0.15, found, plots.VERMILLION, "D")
    right.set_title("C26's spectra: each, and the median", fontsize=10)
    right.set_xticks(range(len(medians)), list(medians), fontsize=9)
    for ax in (left, right):
        ax.set(ylim=(0, 3.4), ylabel="exponent $\\alpha$")
        for height in (1, 2):
            ax.axhline(height, color=plots.GREY, linestyle=DOTS, linewidth=1)
    conv, attention = medians["conv"], medians["attention"]
    plots.show(
        figure,
        f"Left: the first convolution has {ours['conv 1']}, attention's query {ours['query']}. "
        f"Right: 33 published convolutions have a median of {conv}, seven attention layers "
        f"{attention}. Intervals of the medians resample whole networks.",
    )


def _bar(ax: Axes, x: float, found: Measured, colour: str, marker: str) -> None:
    """A value with its interval."""
    ends = [[found.value - found.low], [found.high - found.value]]
    ax.errorbar([x], [found.value], ends, fmt=marker, color=colour, markersize=6, capsize=3)


def triangle_and_controls(
    ours: Sequence[Row],
    published: Sequence[Row],
    medians: Sequence[Mapping[str, Measured]],
) -> None:
    """Errors of the triangle for lists that belong together and lists that do not, twice.

    Args:
        ours: rows of the study of our exponents, one moment.
        published: rows of the study of C26's spectra.
        medians: of ours and of theirs: name of the control, or "ceiling" -> middle.
    """
    figure, axes = plots.new_figure(2, width=5.2, height=3.6)
    titles = ("our small networks", "C26's published spectra")
    for ax, rows, found, title in zip(axes, (ours, published), medians, titles, strict=True):
        for i, name in enumerate(CONTROLS):
            values = 100 * np.array([row[name] for row in rows])
            values = values[np.isfinite(values)]
            jitter = 0.25 * np.linspace(-1, 1, len(values))
            ax.plot(values.clip(0.05, 150), i + jitter, "o", color=plots.SKY, markersize=2)
            _flat(ax, i, found[name])
        ax.axvline(100 * found["ceiling"].value, color=plots.VERMILLION, linestyle="--")
        ax.set(xscale="log", xlim=(0.04, 200), xlabel="$|s - \\alpha\\gamma| / |s|$ [%]")
        ax.set_title(title, fontsize=10)
        ax.set_yticks(range(len(CONTROLS)), list(CONTROLS.values()))
        ax.set_xticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
        ax.invert_yaxis()
    (a, b), names = medians, ("same", "other_network", "random")
    first, second = ([f"{100 * m[name].value:.1f}" for name in names] for m in (a, b))
    plots.show(
        figure,
        f"Same layer, other network, sorted random: {', '.join(first)} % in ours, "
        f"{', '.join(second)} % in C26's. Black: middle with its interval; dashed: the ceiling "
        "that the straight fits alone force on the same layer. Points at the edge lie beyond it.",
    )


def _flat(ax: Axes, y: float, found: Measured) -> None:
    """A share with its interval, in percent, lying down."""
    value, low, high = (100 * x for x in (found.value, found.low, found.high))
    ends = [[value - low], [high - value]]
    look: dict = {"color": plots.BLACK, "markersize": 6, "capsize": 4, "zorder": 3}
    ax.errorbar([value], [y], xerr=ends, fmt="D", **look)


def participation_of_both(ours: Sequence[Row], published: Sequence[Row]) -> None:
    """Participation ratios against their zeta bound; a layer above the line breaks it.

    Args:
        ours: rows of the study of our exponents, one moment.
        published: rows of the study of C26's spectra.
    """
    figure, axes = plots.new_figure(2, width=4.6, height=4.0)
    shares = []
    titles = ("our small networks", "C26's published spectra")
    for ax, rows, title in zip(axes, (ours, published), titles, strict=True):
        counted, bound = (np.array([row[x] for row in rows]) for x in ("participation", "bound"))
        shares.append((np.mean((counted > bound)[np.isfinite(bound)]), np.median(counted)))
        groups = np.array([row["network"].split("/")[0] for row in rows])
        for name, (marker, colour) in zip(dict.fromkeys(groups), LOOKS, strict=False):
            own = (groups == name) & np.isfinite(bound)
            look: dict = {"color": colour, "markersize": 4.5, "alpha": 0.8, "markeredgewidth": 0}
            ax.plot(bound[own].clip(max=30), counted[own], marker, label=name, **look)
        ax.plot([1, 30], [1, 30], color=plots.BLACK, linewidth=1)
        plots.log_log(ax, "bound at $p = \\alpha\\gamma$", "participation ratio [modes]", title)
        ax.set_xticks([1, 2, 5, 10, 30], ["1", "2", "5", "10", "30+"])
        ax.set_yticks([1, 2, 5, 10], ["1", "2", "5", "10"])
        ax.set_ylim(0.9, 16)
        ax.minorticks_off()
        ax.legend(frameon=False, fontsize=8, loc="upper left")
    (often, middle), (rarely, small) = shares
    plots.show(
        figure,
        f"Of the layers that the bound speaks about, {often:.0%} of ours and {rarely:.0%} of C26's "
        f"lie above the line and break it. Median: {middle:.1f} modes in ours, {small:.1f} in "
        "C26's.",
    )


def signs_of_chi(published: Sequence[Row], beta: Measured) -> None:
    """Alpha against slope(h^Kron) plus slope(chi), and against the same with a minus.

    Args:
        published: rows of the study of C26's spectra; those with h^Kron are drawn.
        beta: mean slope of Lambda in the published factors of another network.
    """
    figure, ax = plots.new_figure(width=5.4, height=4.2)
    own = [row for row in published if np.isfinite(row["chi_slope"])]
    alpha, kron, chi = (np.array([r[k] for r in own]) for k in ("alpha", "kron_slope", "chi_slope"))
    ends = np.array([0.7, 3.2])
    ax.plot(ends, ends, color=plots.GREY, linewidth=1)
    looks = {"markersize": 6, "linestyle": "none"}
    ax.plot(kron + chi, alpha, "o", color=plots.BLUE, label="slope($\\chi$) added", **looks)
    ax.plot(kron - chi, alpha, "s", color=plots.ORANGE, label="subtracted", **looks)
    ax.plot(kron, alpha, "x", color=plots.GREY, label="left out", **looks)
    ax.set(xlabel="slope($h^{Kron}$) with slope($\\chi$)", ylabel="published $\\alpha$ of $h$")
    ax.legend(frameon=False, fontsize=9)
    plots.show(
        figure,
        f"C26's own {len(own)} layers: with slope(chi) added all lie on the line, to rounding. "
        f"Without it the Kronecker model alone misses by {np.mean(alpha - kron):.2f} on average. "
        f"In another of its networks the slope of Lambda is {beta}.",
    )
