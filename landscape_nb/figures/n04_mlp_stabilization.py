"""Figures of notebook 04: how the landscape of a small network settles.

`ks` are K numbers of samples; S is the number of seeds. A line is the geometric mean over seeds,
its band reaches from the smallest of them to the largest.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from landscape_nb.figures import plots
from landscape_nb.theory.intervals import Measured

SAMPLES = "number of samples k"
CRITERION = "criterion [loss or loss$^2$]"


def one_order(ks: ArrayLike, absolute: ArrayLike) -> None:
    """|I_k| against k for one order of the digits, (K,): a jagged line."""
    figure, ax = plots.new_figure(width=5.6)
    plots.curve(ax, ks, absolute, "Delta_1", color=plots.PURPLE, marker="v")
    plots.log_log(ax, SAMPLES, "$|I_k|$ [loss]", "One order of the digits")
    low, high = np.min(absolute), np.max(absolute)
    plots.show(
        figure,
        "A jagged line that ends lower than it began and rises on the way. Its largest value is "
        f"{high / low:.0f} times its smallest.",
    )


def many_orders(
    ks: ArrayLike, first: ArrayLike, orders: ArrayLike, ends: tuple[float, float]
) -> None:
    """|I_k| of the first order, (K,), among others, (R, K), and the ends of their slopes."""
    figure, ax = plots.new_figure(width=5.6)
    ax.plot(ks, np.transpose(orders)[:, :20], color=plots.GREY, linewidth=0.7, alpha=0.6)
    ax.plot([], [], color=plots.GREY, linewidth=0.7, label="twenty other orders")
    looks = {"color": plots.PURPLE, "marker": "v", "label": "the order above"}
    plots.curve(ax, ks, first, "Delta_1", **looks)
    plots.log_log(ax, SAMPLES, "$|I_k|$ [loss]", "Which digit comes next?")
    ax.legend(frameon=False, loc="lower left", fontsize=8)
    plots.show(
        figure,
        f"The grey lines cross everywhere. Of {len(np.asarray(orders))} orders of the first seed, "
        f"95 % have slopes between {ends[0]:.1f} and {ends[1]:.1f}: a single one would have said "
        "anything in between.",
    )


def average_over_next_samples(
    ks: ArrayLike,
    absolute: ArrayLike,
    squared: ArrayLike,
    slopes_absolute: Sequence[float],
    slopes_squared: Sequence[float],
    study: Mapping[str, Measured],
) -> None:
    """The absolute and the squared criterion, (S, K) each, beside guides.

    Args:
        ks: (K,).
        absolute, squared: (S, K).
        slopes_absolute, slopes_squared: of the single seeds, (S,).
        study: figures of the study `decay`.
    """
    figure, ax = plots.new_figure(width=5.6)
    plots.spread(ax, ks, absolute, "Delta_1", color=plots.PURPLE, marker="v", label="$\\Delta_1$")
    plots.spread(ax, ks, squared, "top", label="$\\Delta_2^{(10)}$, $\\sigma$ = 0.001")
    plots.power_law_guide(ax, ks, np.asarray(absolute)[0, 0] * 2, -1)
    plots.power_law_guide(ax, ks, np.asarray(squared)[0, 0] * 3, -2)
    plots.log_log(ax, SAMPLES, CRITERION, "Average over next samples")
    ax.legend(frameon=False, loc="lower left")
    plots.show(
        figure,
        f"Smooth lines now. The absolute change falls with slope {np.mean(slopes_absolute):.1f}, "
        f"the squared criterion with {np.mean(slopes_squared):.1f}, the means of the seeds drawn, "
        "both steeper than the dotted guides at -1 and -2. Over "
        f"{study['slope_delta1'].count} stored seeds: {study['slope_delta1']} and "
        f"{study['slope_subspace']}.",
    )


def without_the_arithmetic(
    ks: ArrayLike,
    frozen: ArrayLike,
    retrained: ArrayLike,
    T: ArrayLike,
    slopes: tuple[float, float, float],
    study: Mapping[str, Measured],
) -> None:
    """Left: the squared increment of frozen and of retrained weights. Right: what is learned.

    Args:
        ks: (K,).
        frozen: mean squared increments of weights trained once, (S, K).
        retrained: those of weights trained for each k, (S, K).
        T: the latter times (k + 1)^2, (S, K).
        slopes: of the frozen line, of the squared criterion and of T.
        study: figures of the study `decay`.
    """
    once = {"color": plots.ORANGE, "marker": "s", "linestyle": "--"}
    anew = {"color": plots.BLUE, "marker": "o"}
    figure, (left, right) = plots.new_figure(2, width=4.8)
    plots.spread(left, ks, frozen, "frozen at k = 20", **once)
    plots.spread(left, ks, retrained, "retrained for each k", **anew)
    plots.log_log(left, SAMPLES, "mean $I_k^2$ [loss$^2$]", "The squared increment")
    k = np.asarray(ks)
    plots.spread(right, ks, np.asarray(frozen) * k * (k + 1), "frozen: $k(k+1)\\,$mean", **once)
    plots.spread(right, ks, T, "retrained: T(k)", **anew)
    plots.log_log(right, SAMPLES, "T [loss$^2$]", "The same without the arithmetic")
    for ax in (left, right):
        ax.legend(frameon=False, loc="lower left")
    plots.show(
        figure,
        f"Left: frozen weights give slope {slopes[0]:.1f}, retrained ones {slopes[1]:.2f}. Right: "
        "with the arithmetic divided out the frozen line is flat, and the retrained one falls "
        f"with slope {slopes[2]:.2f}: that is what was learned. Over "
        f"{study['slope_T'].count} stored seeds its slope is {study['slope_T']}.",
    )


def parts_of_the_criterion(sigmas: ArrayLike, shares: Mapping[str, ArrayLike], k: int) -> None:
    """Shares of value, gradient and curvature in the criterion at one k, against sigma.

    Args:
        sigmas: widths of the probe, among them 0.001.
        shares: part -> its share, (S, number of sigmas).
        k: number of samples.
    """
    figure, ax = plots.new_figure(width=5.6)
    for part, rows in shares.items():
        plots.spread(ax, sigmas, np.maximum(rows, 1e-30), part, markevery=3)
    ax.set(xscale="log", xlabel="size of the probe, $\\sigma$", ylim=(0, 1.15))
    ax.set_ylabel("share of the criterion")
    ax.set_title(f"Parts of $\\Delta_2^{{(10)}}$ at k = {k}", fontsize=10)
    ax.legend(frameon=False, loc="center left")
    at = np.abs(np.log(np.asarray(sigmas) / 1e-3)).argmin()
    plots.show(
        figure,
        f"At sigma = 0.001 all but {1 - np.min(np.asarray(shares['value'])[:, at]):.0e} of the "
        "criterion is the value at the centre. The surroundings take over only where sigma is so "
        "large that the quadratic model itself is in doubt. Where the shares do not add up to 1, "
        "the rest is the cross part.",
    )


def parts_along_k(
    ks: ArrayLike, parts: Mapping[str, ArrayLike], study: Mapping[str, Measured]
) -> None:
    """Value and gradient part against k, (S, K) each, over what they are at the first k.

    Args:
        ks: (K,).
        parts: part -> its size, (S, K).
        study: figures of the study `decay`.
    """
    figure, ax = plots.new_figure(width=5.6)
    for part in ("value", "gradient"):
        rows = np.asarray(parts[part])
        plots.spread(ax, ks, rows / rows[:, :1], part)
    plots.log_log(ax, SAMPLES, f"part, over its size at k = {np.asarray(ks)[0]}", "Two parts")
    ax.legend(frameon=False, loc="lower left")
    value, gradient = study["slope_squared"], study["slope_gradient"]
    plots.show(
        figure,
        f"Over {value.count} stored seeds the value falls with slope {value}, the gradient part "
        f"with {gradient}; seed by seed the second is larger by "
        f"{study['gradient_minus_squared']}.",
    )


def change_by_label(by_label: ArrayLike, k: int) -> None:
    """Mean |I_k| / L_k for next digits of each label, in %, (S, 10)."""
    rows = np.asarray(by_label)
    figure, ax = plots.new_figure(width=5.6)
    mean = rows.mean(0)
    ax.bar(range(10), mean, color=plots.SKY, edgecolor=plots.BLACK, linewidth=0.6)
    for marker, row in zip("osv^Dx"[: len(rows)], rows, strict=True):
        ax.plot(range(10), row, marker, color=plots.BLACK, markersize=4, markerfacecolor="none")
    ax.set(xticks=range(10), xlabel="label of the next digit", ylabel="mean change [% of the loss]")
    ax.set_title(f"Who moves the mean loss? k = {k}", fontsize=10)
    most, least = mean.argmax(), mean.argmin()
    plots.show(
        figure,
        f"Bars: mean of {len(rows)} seeds; signs: each of them. Label {most} changes the mean "
        f"loss by {mean[most]:.1f} % on average, label {least} by {mean[least]:.1f} %.",
    )


def error_of_the_model(sigmas: np.ndarray, free: np.ndarray, paired: np.ndarray, k: int) -> None:
    """Relative error of the quadratic model against sigma, for points drawn freely or in pairs.

    Args:
        sigmas: widths of the probe.
        free: (S, number of sigmas, 2), raw and centred error with free points.
        paired: the same with pairs of points.
        k: number of samples.
    """
    figure, ax = plots.new_figure(width=5.8)
    plots.spread(ax, sigmas, free[:, :, 0], "top", label="raw, free points")
    plots.spread(ax, sigmas, paired[:, :, 0], "bottom", label="raw, pairs $\\pm z$")
    plots.spread(ax, sigmas, paired[:, :, 1], "Jacobian", label="centred, pairs $\\pm z$")
    title = f"Quadratic model, k = {k}"
    plots.log_log(ax, "size of the probe, $\\sigma$", "relative error", title)
    ax.axhline(0.02, color=plots.GREY, linewidth=0.8)
    ax.text(sigmas[0], 0.025, "2 %", color=plots.GREY)
    ax.legend(frameon=False, loc="lower right", fontsize=8)
    reach = sigmas[(paired[:, :, 1] < 0.02).all(0)].max()
    plots.show(
        figure,
        "Three straight lines at small sigma. The raw error looks tiny because the value hides "
        "it; the centred error is the honest one. It stays below 2 % up to about sigma = "
        f"{reach:.2f}: that is the local regime of this network.",
    )


def who_captures_the_increment(names: Sequence[str], shares: Mapping[str, np.ndarray]) -> None:
    """Captured shares of the increment's gradient and curvature, for easy and hard next digits.

    Args:
        names: the probes.
        shares: "easy" and "hard" -> (number of probes, 2), gradient and curvature.
    """
    figure, axes = plots.new_figure(2, width=5.8)
    for part, (ax, title) in enumerate(zip(axes, ("gradient", "curvature"), strict=True)):
        bars = {f"{kind} next digits": rows[:, part] for kind, rows in shares.items()}
        plots.grouped_bars(ax, names, bars, f"captured share of the {title}")
        ax.set(ylim=(0, 1.3))
        ax.tick_params(axis="x", labelsize=8)
        ax.set_title(f"Who captures the increment's {title}?", fontsize=10)
    easy, hard = (dict(zip(names, shares[kind], strict=True)) for kind in ("easy", "hard"))
    plots.show(
        figure,
        f"For easy next digits the top eigenspace captures {easy['top'][1]:.0%} of the curvature, "
        f"for hard ones {hard['top'][1]:.0%}. The Jacobian of a hard digit captures all of its "
        f"gradient and {hard['Jacobian'][1]:.0%} of its curvature, but it was chosen after the "
        f"digit. Components of other digits' gradients, chosen before it, capture "
        f"{hard['components'][0]:.0%} and {hard['components'][1]:.0%}. One seed.",
    )


def bound_and_truth(ks: ArrayLike, largest: np.ndarray, bound: np.ndarray) -> None:
    """KG24's bound on the increment, and the largest increment at w_k* that it bounds, (S, K)."""
    figure, ax = plots.new_figure(width=5.6)
    plots.spread(ax, ks, bound, "random", label="KG24's bound, corrected, R = 0.1")
    plots.spread(ax, ks, largest, "top", label="largest $|I_k(w_k^*)|$ of all next samples")
    plots.log_log(ax, SAMPLES, "|increment| [loss]", "A bound and the truth, ReLU")
    ax.legend(frameon=False, loc="lower left", fontsize=8)
    loose = bound / largest
    plots.show(
        figure,
        f"Both fall, the bound {loose.min():.1f} to {loose.max():.1f} times above the truth at "
        "the centre. Most of that is the formula's own 2, because here the largest loss itself "
        "stands for its M: this says little about how tight it is away from the centre.",
    )


def learning_curve_and_control(ks: Sequence[int], true: ArrayLike, shuffled: ArrayLike) -> None:
    """Exercise 2: T(k) of a network trained with true labels and with shuffled ones, (K,) each."""
    figure, ax = plots.new_figure(width=5)
    plots.curve(ax, ks, true, "top", label="true labels")
    plots.curve(ax, ks, shuffled, "random", label="shuffled labels")
    plots.log_log(ax, SAMPLES, "T [loss$^2$]", "Exercise 2", ticks=ks)
    ax.legend(frameon=False)
    learned, nothing = (T[0] / T[-1] for T in (np.asarray(true), np.asarray(shuffled)))
    plots.show(
        figure,
        f"From k = 20 to 160 T falls {learned:.0f}-fold with true labels. With shuffled ones T at "
        f"20 is {nothing:.1f} times T at 160: there is nothing to learn, so only the arithmetic "
        "makes the increment smaller.",
    )


def ratios_over_sigma(sigmas: ArrayLike, ratios: Mapping[str, np.ndarray]) -> None:
    """Exercise 3: raw (grey) and centred ratio to the full space: probe -> (2, number of sigmas).

    At the left end both raw lines are at 1, and only the centred ones differ.
    """
    figure, ax = plots.new_figure(width=5.4)
    for name, (raw, centred) in ratios.items():
        plots.curve(ax, sigmas, raw, name, label=f"{name}, raw", markevery=3, color=plots.GREY)
        plots.curve(ax, sigmas, centred, name, label=f"{name}, centred", markevery=3)
    ax.set(xscale="log", xlabel="$\\sigma$", ylabel="ratio to full space", ylim=(0, 1.1))
    ax.legend(frameon=False, fontsize=8, loc="center left")
    plots.show(
        figure,
        "At small sigma both raw ratios (grey) are 1, and only the centred ones tell the probes "
        f"apart: {ratios['top'][1, 0]:.2f} and {ratios['random'][1, 0]:.3f}.",
    )
