"""The pictures of notebook 07, Transformer."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from landscape_nb.figures import maps, plots


def along_training(
    consumed: np.ndarray,
    criteria: Mapping[str, np.ndarray],
    parts: Mapping[str, np.ndarray],
    slopes: Sequence[float],
) -> None:
    """Three criteria along training, and beside them the parts without the arithmetic of k + 1.

    Args:
        consumed: k, sequences consumed at each checkpoint of the first pass, (K,).
        criteria: "Delta_1", "full" and "top" -> the criterion at each k, (K,).
        parts: "value", "gradient" and "curvature" -> (k+1)^2 times the part, (K,) or longer.
        slopes: of Delta_1 and of Delta_2 on logarithmic axes, in this one run.
    """
    figure, (left, right) = plots.new_figure(2, width=4.8)
    size, full, top = (criteria[name] for name in ("Delta_1", "full", "top"))
    look = {"color": plots.PURPLE, "marker": "v"}
    plots.curve(left, consumed, size, "Delta_1", label="$\\Delta_1$", **look)
    plots.curve(left, consumed, full, "full", label="$\\Delta_2$")
    plots.curve(left, consumed, top, "top", label="$\\Delta_2^{(4)}$", linestyle="--")
    plots.power_law_guide(left, consumed, 2.5 * size[0], -1)
    plots.power_law_guide(left, consumed, 2.5 * full[0], -2)
    parts = {part: heights[: len(consumed)] for part, heights in parts.items()}
    for part, heights in parts.items():
        plots.curve(right, consumed, heights / heights[0], part)
    x, ks = "sequences consumed, k", consumed.tolist()
    plots.log_log(left, x, "criterion [nats or nats$^2$]", "Along training", ticks=ks)
    plots.log_log(right, x, "relative to k = 64", "Parts of $(k+1)^2 \\Delta_2$", ticks=ks)
    for ax in (left, right):
        ax.legend(frameon=False, loc="lower left", fontsize=9)
    late = {part: heights[-1] / heights[1] for part, heights in parts.items()}
    plots.show(
        figure,
        f"Left: slopes {slopes[0]:.2f} for Delta_1 and {slopes[1]:.2f} for both squared "
        "criteria, which lie on top of each other. Right: without the arithmetic, the gradient "
        "and curvature parts drop once the random start is left; from k = 256 on the value "
        f"changes {late['value']:.1f}-fold, the gradient {late['gradient']:.1f}-fold and the "
        f"curvature {late['curvature']:.0f}-fold, while the loss falls.",
    )


def ratio_to_the_full_space(
    sigmas: np.ndarray,
    raw: Mapping[str, np.ndarray],
    dims: Mapping[str, Sequence[int]],
    centred: Mapping[str, np.ndarray],
    N: int,
) -> None:
    """Share of the full-space criterion that each probe sees: raw over sigma, centred over D.

    Args:
        sigmas: sizes of the probe, (S,).
        raw: probe -> ratio of the raw criteria, one row a seed, (R, S).
        dims: probe -> numbers of its first directions, d of them, 4 and for top and random 16 too.
        centred: probe -> ratio of the centred criteria for these, (R, d).
        N: number of parameters.
    """
    figure, (left, right) = plots.new_figure(2, width=4.8)
    for name in raw:
        plots.spread(left, sigmas, raw[name], name, alpha=0.8, markevery=3)
        plots.spread(right, dims[name], centred[name], name)
    left.set(xscale="log", ylim=(0, 1.3), xlabel="size of the probe, $\\sigma$")
    left.set_ylabel("ratio to full space")
    left.set_title("Raw criterion, D = 16 (bottom: 4)", fontsize=10)
    title = "Centred criterion, $\\sigma$ = 0.001"
    x = "directions in the probe, D"
    plots.log_log(right, x, "ratio to full space", title, ticks=[1, 4, 16])
    left.legend(frameon=False, loc="lower left")
    last = {name: shares[:, -1].mean() for name, shares in centred.items()}
    plots.show(
        figure,
        "Left: top, random and bottom lie on one line at 1, and leave it near the same "
        "sigma. Right: without the common value the 16 top directions see "
        f"{last['top']:.0%} of what the whole space sees, 16 random ones {last['random']:.1e} "
        f"(16/N = {16 / N:.1e}). At equal size, D = 4, the bottom sees {last['bottom']:.1%} "
        f"and the top {centred['top'][:, dims['top'].index(4)].mean():.1%}.",
    )


def error_over_sigma_and_D(steps: np.ndarray, dims: Sequence[int], errors: np.ndarray) -> None:
    """Relative error of the quadratic model, raw and centred, over sigma and D: KG26's Fig. 6.

    Args:
        steps: sizes of the probe, (S,).
        dims: numbers of directions, (d,).
        errors: raw and centred relative error, (d, S, 2).
    """
    figure, axes = plots.new_figure(2, width=4.6, height=2.9)
    labels = [f"{s:.0e}".replace("e-0", "e-") for s in steps]
    for ax, part, title in zip(axes, (0, 1), ("Raw", "Centred"), strict=True):
        maps.number_map(ax, labels, [str(d) for d in dims], 100 * errors[:, :, part], "{:.2g}")
        ax.set(xlabel="size of the probe, $\\sigma$", ylabel="directions in the probe, D")
        ax.set_title(f"{title} error in percent (Fig. 6)", fontsize=10)
    worst = 100 * errors.max((0, 1))
    at = list(labels).index("1e-3")
    local = 100 * errors[:, at].max(0)
    plots.show(
        figure,
        f"At sigma = 1e-3 the raw error is at most {local[0]:.1g} % and the centred one "
        f"{local[1]:.1g} %; at the largest sigma they reach {worst[0]:.0f} % and {worst[1]:.0f} %. "
        "The value, which both sides share, hides most of the raw error.",
    )


Curves = Mapping[str, tuple[np.ndarray, np.ndarray]]


def monte_carlo(sizes: np.ndarray, curves: Mapping[str, Curves]) -> None:
    """Two kinds of Monte Carlo on their way to the closed form, each with its standard errors.

    Args:
        sizes: numbers of draws, (S,).
        curves: "raw" and "centred" -> "direct" and "quadratic" -> mean over the closed form and
            its standard error, each (S,).
    """
    figure, axes = plots.new_figure(2, width=4.8)
    for ax, (part, estimates) in zip(axes, curves.items(), strict=True):
        for name, look in (("direct", "top"), ("quadratic", "random")):
            mean, error = estimates[name]
            plots.band(ax, sizes, mean, 2 * error, look, label=f"{name} Monte Carlo")
        ax.axhline(1, color=plots.BLACK, linewidth=1, label="Gaussian moment")
        ax.set(xscale="log", xlabel="draws S, five seeds together")
        ax.set_ylabel("estimate / Gaussian moment")
        ax.set_xticks(sizes, [str(size) for size in sizes])
        ax.minorticks_off()
        ax.set_title(f"{part} criterion", fontsize=10)
        ax.legend(frameon=False, loc="upper right", fontsize=8)
    last = {part: 2 * estimates["direct"][1][-1] for part, estimates in curves.items()}
    plots.show(
        figure,
        "Both kinds of Monte Carlo close in on the closed form; the bands are two standard errors "
        f"wide. After {sizes[-1]} draws they reach {last['raw']:.0e} of the raw criterion (left: "
        f"nearly all of it is the value, which has no noise), but {last['centred']:.0%} of the "
        "centred one (right), the part that the probe adds.",
    )


def shadows_of_a_gradient(
    sizes: Sequence[int], N: int, random: Sequence[ArrayLike], top: Sequence[float]
) -> None:
    """Exercise 2: share of a gradient that random and top directions hold, over their number.

    Args:
        sizes: numbers of directions, (S,).
        N: number of parameters.
        random: for each draw the share of the first 1, 2, ... of its directions, (S,).
        top: the share of the first few top directions, at most (S,); the last of 4 directions.
    """
    figure, ax = plots.new_figure(width=5.6)
    plots.curve(ax, sizes, [d / N for d in sizes], "total", marker=None, label="D / N")
    for draw, shares in enumerate(random):
        plots.curve(ax, sizes, shares, "random", linestyle="", label=None if draw else "random")
    plots.curve(ax, sizes[: len(top)], top, "top")
    plots.log_log(ax, "dimension D", "share of $|g|^2$", "Exercise 2", ticks=sizes)
    ax.legend(frameon=False)
    plots.show(
        figure,
        f"Random directions hold D / N, on average. The 4 top ones hold {top[-1]:.1%}: little, "
        f"and {top[-1] * N / 4:.0f} times as much as 4 random ones.",
    )


def designed_probe(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Exercise 4: the learner's probe beside four top directions, for each next sequence.

    Args:
        ours: share of each increment's squared gradient in the learner's probe, (h,).
        theirs: the same in the top directions, (h,).
    """
    figure, ax = plots.new_figure(width=6.2)
    groups = [f"{i}" for i in range(1, len(ours) + 1)]
    bars = {"your probe": ours, "4 top directions": theirs}
    plots.grouped_bars(ax, groups, bars, "share of the squared gradient")
    ax.set(ylim=(0, 1.4), xlabel="held-out sequence")
    plots.show(
        figure,
        f"Where it holds least, your probe has {ours.min():.1%} of an increment's squared "
        f"gradient; the 4 top directions, where they hold most, {theirs.max():.1%}.",
    )
