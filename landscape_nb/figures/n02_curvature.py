"""The pictures of notebook 02: parabolas, bowls, steps, saddles, sharpness."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike
from torch import Tensor

from landscape_nb.figures import plots

# Three looks for curves that belong together.
THREE: tuple[dict, ...] = (
    {"color": plots.BLUE, "linestyle": "-", "marker": "o"},
    {"color": plots.GREEN, "linestyle": "--", "marker": "^"},
    {"color": plots.VERMILLION, "linestyle": "-.", "marker": "s"},
)


def alike(ax: Axes, x: ArrayLike, rows: np.ndarray, name: str, label: str, **changes: Any) -> None:
    """Curves of one look with one line in the legend: x (K,), rows (R, K)."""
    for i, row in enumerate(rows):
        plots.curve(ax, x, row, name, label=label if i == 0 else None, **changes)


# -- bowls and steps ------------------------------------------------------------------------------


def parabolas(w: np.ndarray, f: np.ndarray, flat: Sequence[tuple[float, float, float]]) -> None:
    """A curve, and at each of its flat points the parabola of the same curvature.

    Args:
        w: (S,), places.
        f: (S,), the function there.
        flat: place, height and curvature of the left valley, the hill and the right valley.
    """
    figure, ax = plots.new_figure(width=6.2)
    ax.plot(w, f, color=plots.BLACK, linewidth=2, label="f")
    left, hill, right = flat
    for (centre, height, bend), look in zip((left, right, hill), THREE, strict=True):
        near = np.linspace(centre - 0.55, centre + 0.55, 50)
        parabola = height + bend / 2 * (near - centre) ** 2
        thick = {"markevery": [25], "linewidth": 2.5, "markersize": 7}
        plots.curve(ax, near, parabola, f"parabola, curvature {bend:.2f}", **look, **thick)
    ax.set(xlabel="w", ylabel="f(w)", ylim=(-0.5, 0.45))
    ax.legend(frameon=False, fontsize=8, loc="upper center")
    plots.show(
        figure,
        "At each flat point a parabola with the right curvature hugs the curve for a while. The "
        f"left valley is sharper (curvature {left[2]:.2f}) than the right one ({right[2]:.2f}), "
        f"and on the hill the parabola opens downwards ({hill[2]:.2f}).",
    )


def three_bowls(level: np.ndarray, tilted: np.ndarray, mirrored: np.ndarray) -> None:
    """The curvature in every direction of three bowls that agree along both axes.

    Args:
        level: (180,), curvature along 0, 1, .. 179 degrees of the bowl that is not tilted.
        tilted: (180,), of the one that is steeper along the diagonal.
        mirrored: (180,), of its mirror image.
    """
    figure, ax = plots.new_figure(width=6.2)
    names = ("not tilted", "tilted one way", "tilted the other way")
    for heights, name, look in zip((level, tilted, mirrored), names, THREE, strict=True):
        plots.curve(ax, np.arange(180), heights, name, **{**look, "markevery": [0, 45, 90, 135]})
    ax.set(xlabel="direction [degrees from the first axis]", ylabel="curvature", ylim=(0, 3.9))
    ax.set_xticks(
        [0, 45, 90, 135, 180], ["0\nfirst axis", "45\ndiagonal", "90\nsecond axis", "135", "180"]
    )
    ax.legend(frameon=False, fontsize=9, loc="upper right", ncols=3)
    plots.show(
        figure,
        "Along both axes the three bowls agree. Along the diagonal, at 45 degrees, the curvature "
        f"is {level[45]:.1f}, {tilted[45]:.1f} or {mirrored[45]:.1f}.",
    )


def four_learning_rates(heights: Mapping[float, Tensor]) -> None:
    """The loss over its start for four learning rates, around the one where descent diverges.

    Args:
        heights: learning rate times lambda_max, 1.0, 1.9, 2.0 and 2.1 -> (T,), after each step.
    """
    figure, ax = plots.new_figure(width=6.2)
    names = ("bottom", "top", "value", "curvature")
    for (c, height), name in zip(heights.items(), names, strict=True):
        label = f"$\\eta$ = {c:g} / $\\lambda_{{max}}$"
        plots.curve(ax, np.arange(len(height)), height, name, markevery=10, label=label)
    ax.set(yscale="log", xlabel="step", ylabel="loss / loss at the start", ylim=(1e-6, 1e9))
    ax.legend(frameon=False, fontsize=9, loc="upper left")
    plots.show(
        figure,
        f"A change of a tenth decides. At 1.9 the loss falls to {heights[1.9][-1]:.0e} of its "
        "start. At 2 exactly it levels off, because the sharpest direction jumps from side to side "
        "for ever. At 2.1 it falls first, while the other 19 directions shrink, and then grows "
        "without bound.",
    )


def best_learning_rate(
    lrs: np.ndarray, worst: Mapping[int, np.ndarray], rates: Mapping[int, float]
) -> None:
    """The worst factor per step against the learning rate; marks where it was measured.

    Args:
        lrs: (L,), learning rates times lambda_max.
        worst: condition number -> (L,), the larger factor of both ends of the spectrum; of 2, 10
            and 50 the curves are drawn.
        rates: condition number -> the factor measured at its best learning rate.
    """
    figure, ax = plots.new_figure(width=6.2)
    for kappa, look in zip((2, 10, 50), THREE, strict=True):
        plain = {**look, "marker": None, "linewidth": 1.8}
        plots.curve(ax, lrs, worst[kappa], f"$\\kappa$ = {kappa}", **plain)
        best = 2 / (1 + 1 / kappa)
        ax.plot(best, rates[kappa], look["marker"], color=look["color"], markersize=8)
    ax.axhline(1, color=plots.GREY, linewidth=0.8)
    ax.text(0.03, 1.02, "diverges above", color=plots.GREY, fontsize=9)
    ax.set(xlabel="$\\eta\\,\\lambda_{max}$", ylabel="worst factor per step")
    ax.set(ylim=(0, 1.25), xlim=(0, 2.25))
    ax.legend(frameon=False, loc="lower left")
    plots.show(
        figure,
        "Each curve falls while the flat direction gains and rises as the sharp one overshoots. "
        f"Marks: measured factors at the best learning rate, {rates[2]:.3f}, {rates[10]:.3f} and "
        f"{rates[50]:.3f}. The larger kappa, the closer the best point lies to the edge at 2.",
    )


def newton_on_log_cosh(outcomes: Mapping[float, float]) -> None:
    """One Newton step on log cosh from three places, where it lands marked by a cross.

    Args:
        outcomes: start, 0.5, 1.0 and 1.2 -> where the step ends.
    """
    figure, ax = plots.new_figure(width=6.2)
    v = np.linspace(-2.2, 2.2, 100)
    ax.plot(v, np.log(np.cosh(v)), color=plots.BLACK, linewidth=2)
    for (w0, w1), look in zip(outcomes.items(), THREE, strict=True):
        ends = np.array([w0, w1])
        name, start = f"from {w0} to {w1:.2f}", {"markevery": [0], "markersize": 7}
        plots.curve(ax, ends, np.log(np.cosh(ends)), name, **look, **start)
        ax.plot(w1, np.log(np.cosh(w1)), "X", color=look["color"], markersize=9)
    ax.set(xlabel="w", ylabel="log cosh w")
    ax.legend(frameon=False, loc="upper center", title="one Newton step")
    plots.show(
        figure,
        f"From 0.5 the step lands near the minimum, at {outcomes[0.5]:.2f} (cross). From 1.2 it "
        f"lands at {outcomes[1.2]:.2f}, farther away than it began: the parabola seen at 1.2 is "
        "much flatter than the valley.",
    )


# -- averages and random steps --------------------------------------------------------------------


def hutchinson_funnel(sizes: Sequence[int], ratios: np.ndarray, half: Sequence[float]) -> None:
    """Estimates of a trace against the number of draws, in the funnel that the formula predicts.

    Args:
        sizes: (K,), numbers of draws.
        ratios: (seeds, K), estimate over exact trace.
        half: (K,), two standard errors of the formula over the trace.
    """
    figure, ax = plots.new_figure(width=6.2)
    label = "exact, with 2 standard errors of the formula"
    plots.band(ax, sizes, [1.0] * len(sizes), half, "value", label=label)
    alike(ax, sizes, ratios, "top", "eight seeds", linestyle="none")
    ax.set(xscale="log", xlabel="number of draws S", ylabel="estimate / exact trace")
    ax.legend(frameon=False, loc="upper right", fontsize=9)
    plots.show(
        figure,
        "The estimates crowd into the funnel that the formula predicts. With 30 draws two "
        f"standard errors are {half[0]:.0%} of the trace, with 10000 they are {half[-1]:.1%}: a "
        "hundredfold effort buys one more digit.",
    )


def rise_over_formula(
    sigmas: np.ndarray, quadratic: np.ndarray, networks: np.ndarray, good_up_to: float
) -> None:
    """The mean rise of the loss under noise over sigma^2 tr H / 2: a quadratic, three networks.

    Args:
        sigmas: (S,), sizes of the noise.
        quadratic: (S, 2), the ratio and its standard error.
        networks: (3, S, 2), the same for each network.
        good_up_to: the largest sigma with all networks' ratios within 10 % of 1.
    """
    figure, ax = plots.new_figure(width=6.2)
    ax.axhline(1, color=plots.GREY, linewidth=0.9)
    label = "quadratic, ± 2 standard errors"
    plots.band(ax, sigmas, quadratic[:, 0], 2 * quadratic[:, 1], "top", label=label)
    for i, ratio in enumerate(networks):
        named = {"label": "three networks" if i == 0 else None}
        plots.band(ax, sigmas, ratio[:, 0], 2 * ratio[:, 1], "curvature", **named)
    ax.set(xscale="log", xlabel="size of the noise, $\\sigma$", ylim=(0, 3.8))
    ax.set_ylabel("mean rise / ($\\sigma^2$ tr H / 2)")
    ax.legend(frameon=False, loc="upper left", fontsize=9)
    last = networks[:, -1, 0]
    plots.show(
        figure,
        "For the quadratic the ratio is 1 within its error at every sigma. The networks follow "
        f"the formula within 10 % up to sigma = {good_up_to:g}; at sigma = 1 they rise "
        f"{last.min():.2f} to {last.max():.2f} times as much as it says.",
    )


def two_kinds_of_direction(
    radii: np.ndarray, worst: np.ndarray, typical: np.ndarray, promised: np.ndarray
) -> None:
    """The rise of the loss against the length of a step: the top eigenvector, random directions.

    Args:
        radii: (R,), lengths.
        worst: (3, R), rise along the top eigenvector of each network.
        typical: (3, R, directions), rise along random directions.
        promised: (3,), lambda_max / (tr H / N).
    """
    figure, ax = plots.new_figure(width=6.2)
    mean, deviation = typical.mean(2), typical.std(2)
    look = {"color": plots.ORANGE, "marker": "s", "markersize": 4, "linestyle": "--", "capsize": 3}
    alike(ax, radii, worst, "top", "top eigenvector")
    for i in range(3):
        label = "40 random directions, ± 1 standard deviation" if i == 0 else None
        ax.errorbar(radii, mean[i], yerr=deviation[i], label=label, **look)
    title = "The same length, two kinds of direction"
    plots.log_log(ax, "length of the step, r", "rise of the loss", title)
    ax.legend(frameon=False, fontsize=9, loc="upper left")
    first, last = (worst / mean)[:, [0, -1]].T
    plots.show(
        figure,
        "Over two decades of r the lines are parallel. At r = 0.01 the top eigenvector hurts "
        f"{first.min():.0f} to {first.max():.0f} times more than a random direction; promised "
        f"were {promised.min():.0f} to {promised.max():.0f}. At r = 3 it is {last.min():.0f} to "
        f"{last.max():.0f} times.",
    )


# -- saddles, sharpness, batches ------------------------------------------------------------------


def walkers(walks: Mapping[str, np.ndarray]) -> None:
    """Three ways to walk beside the saddle x^2 - y^2.

    Args:
        walks: "gradient", "Newton" and "|H|" -> points, (T, 2).
    """
    figure, ax = plots.new_figure(width=5.0, height=3.9)
    g = np.linspace(-1.3, 1.3, 101)
    levels = np.arange(-1.5, 1.6, 0.25)
    ax.contour(g, g, g**2 - g[:, None] ** 2, levels, colors=plots.GREY, linewidths=0.7)
    ax.plot(0, 0, "+", color=plots.BLACK, markersize=12)
    for (name, path), look in zip(walks.items(), THREE, strict=True):
        plots.curve(ax, path[:, 0], path[:, 1], name, **look, linewidth=1.8, markersize=5)
    ax.set(xlim=(-1.3, 1.3), ylim=(-1.3, 1.3), aspect="equal")
    ax.set(xlabel="x (curves up)", ylabel="y (curves down)")
    ax.legend(fontsize=9, loc="lower left")
    plots.show(
        figure,
        f"Newton jumps onto the saddle and stays there. Gradient descent leaves, slowly: "
        f"{len(walks['gradient']) - 1} steps are drawn. The |H| step leaves too and doubles y "
        "each time.",
    )


def noise_on_the_ridge(ridge: np.ndarray, noisy: np.ndarray) -> None:
    """How far descent on the ridge of x^2 - y^2 has come, with a little noise and without.

    Args:
        ridge: (T, 2), without noise.
        noisy: (seeds, T, 2), with it.
    """
    figure, ax = plots.new_figure(width=5.6)
    y = abs(noisy[:, 1:, 1]).T  # without the start, y = 0: it has no place on a logarithmic axis
    lines = ax.plot(np.arange(1, len(ridge)), y, color=plots.GREEN, linewidth=0.8, alpha=0.6)
    lines[0].set_label("|y|, 20 seeds of noise")
    still = {"color": plots.BLACK, "label": "|x|, no noise (y stays 0)"}
    plots.curve(ax, np.arange(len(ridge)), abs(ridge[:, 0]), "value", **still)
    ax.set(yscale="log", xlabel="step", ylabel="distance along the axis", ylim=(1e-10, 1e3))
    ax.legend(frameon=False, fontsize=8, loc="upper left")
    escape = (abs(noisy[:, :, 1]) > 1).argmax(1)
    plots.show(
        figure,
        "A millionth of noise grows by 1.2 a step, so every one of 20 seeds is away after "
        f"{escape.min()} to {escape.max()} steps; without noise descent creeps into the saddle.",
    )


def edge_of_stability(
    steps: np.ndarray, rates: Sequence[float], sharp: np.ndarray, loss: np.ndarray, late: np.ndarray
) -> None:
    """Left the sharpness along training with its lid 2 / lr, right the loss; two rates.

    Args:
        steps: (T,), at which both were measured.
        rates: (2,), learning rates.
        sharp: (2, seeds, T), sharpness.
        loss: (2, seeds, T), loss.
        late: (2, seeds, late T), sharpness over 2 / lr from step 450 on.
    """
    figure, (left, right) = plots.new_figure(2, width=4.7, height=3.9)
    at_the_end = left.get_yaxis_transform()
    for i, (lr, look) in enumerate(zip(rates, THREE[::2], strict=True)):
        colour = look["color"]
        left.axhline(2 / lr, color=colour, linewidth=1, linestyle=(0, (1, 2)))
        left.text(1.01, 2 / lr, f"2 / {lr}", color=colour, va="center", transform=at_the_end)
        for ax, rows in ((left, sharp[i]), (right, loss[i])):
            plots.spread(ax, steps, rows, f"$\\eta$ = {lr}", **look)
    left.set(xlabel="step", ylabel="sharpness $\\lambda_{max}$", ylim=(0, 8))
    right.set(xlabel="step", ylabel="loss", yscale="log")
    right.set_yticks([0.03, 0.1, 0.3], ["0.03", "0.1", "0.3"])
    right.minorticks_off()
    right.legend(frameon=False)
    ranges = [
        f"{r.min():.2f} to {r.max():.2f} of 2/lr at lr = {lr}"
        for lr, r in zip(rates, late, strict=True)
    ]
    plots.show(
        figure,
        "Left: sharpness climbs and stops near its own dotted line. From step 450 it is "
        f"{', '.join(ranges)}. Right: the loss goes on falling, no longer smoothly. Shading spans "
        "three seeds.",
    )


def cross_entropy_below_the_edge(sharp: np.ndarray) -> None:
    """The sharpness under cross-entropy, which comes down again.

    Args:
        sharp: (3, 11), sharpness over 2 / lr, every 20 of 200 steps.
    """
    figure, ax = plots.new_figure(width=6.2)
    ax.axhline(1, color=plots.GREY, linewidth=0.9)
    alike(ax, np.arange(0, 201, 20), sharp, "random", "cross-entropy, lr 1.5, three seeds")
    ax.set(xlabel="step", ylabel="sharpness / (2 / lr)", ylim=(0, 1.3))
    ax.text(0, 1.02, "the edge", color=plots.GREY)
    ax.legend(frameon=False, loc="upper right")
    peak, end = sharp.max(1), sharp[:, -1]
    plots.show(
        figure,
        f"The sharpness rises to a peak of {peak.min():.2f} to {peak.max():.2f} of 2/lr, seen "
        f"every 20 steps, and comes down again, to {end.min():.2f} to {end.max():.2f} after 200 "
        "steps: no hovering here.",
    )
