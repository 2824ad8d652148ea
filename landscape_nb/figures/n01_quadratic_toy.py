"""The pictures of notebook 01, in its order."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from landscape_nb.figures import plots
from landscape_nb.theory.criteria import Estimate
from landscape_nb.theory.intervals import Measured

LOSSES, CHANGES = (0, 5), (-1, 2)  # ends of the axes of the parabolas and of their change
TANGENT = 0.8  # the change's slope is drawn this far to either side of w = 0


def next_parabola(found: Mapping[str, Any], k: int) -> bytes:
    """Three parabolas, and the parabola by which the mean changes, as PNG.

    Args:
        found: the numbers of `widgets.NextParabola`.
        k: number of samples before.
    """
    figure, (left, right) = plots.new_figure(2)
    w, v = np.array(found["w"]), found["lowest"]
    names = {"before": f"mean of k = {k}", "sample": "the next sample", "after": "mean of k + 1"}
    for (name, label), look in zip(names.items(), ("top", "random", "Jacobian"), strict=True):
        plots.curve(left, w, found[name], look, marker=None, label=label)
    left.plot(0, found["before"][len(w) // 2], "+", color=plots.BLUE, markersize=10)
    left.plot(v, np.interp(v, w, found["after"]), "x", color=plots.VERMILLION, markersize=8)
    left.set(ylim=LOSSES, xlabel="parameter w", ylabel="loss")
    right.axhline(0, color=plots.GREY, linewidth=0.8)
    plots.curve(right, w, found["change"], "total", marker=None, label="the change")
    right.plot(0, found["value"], "o", color=plots.BLACK, label="its value at w = 0")
    ends = np.array([-TANGENT, TANGENT])
    line = found["value"] + found["slope"] * ends
    plots.curve(right, ends, line, "", color=plots.BLUE, linestyle="--", label="its slope there")
    right.set(ylim=CHANGES, xlabel="parameter w", ylabel="change of the loss")
    for ax, title in ((left, "The losses"), (right, "The change, after less before")):
        ax.set_title(title, fontsize=10)
        ax.legend(frameon=False, fontsize=8, loc="upper center")
    return plots.still(figure)


def bowl_and_cuts(H: ArrayLike) -> None:
    """A bowl from above, cut along three directions, and the parabolas of the cuts.

    Args:
        H: its Hessian, positive definite, (2, 2).
    """
    H = np.asarray(H)
    values, vectors = np.linalg.eigh(H)
    oblique = vectors.sum(1) / 2**0.5
    cuts = (
        (vectors[:, 1], "across the valley", "Jacobian"),
        (oblique, "between", "random"),
        (vectors[:, 0], "along the valley", "top"),
    )
    figure, (left, right) = plots.new_figure(2)
    ends = np.linspace(-2, 2, 81)
    x, y = np.meshgrid(ends, ends)
    heights = (H[0, 0] * x**2 + 2 * H[0, 1] * x * y + H[1, 1] * y**2) / 2
    left.contour(x, y, heights, levels=[0.1, 0.4, 0.9, 1.6, 2.5], colors=plots.GREY, linewidths=1)
    told = []
    for u, name, look in cuts:
        curvature = float(u @ H @ u)
        told.append(f"{curvature:.2f} {name}")
        plots.curve(left, ends * u[0], ends * u[1], look, marker=None)
        plots.curve(right, ends, curvature * ends**2 / 2, look, marker=None, label=name)
    left.set(xlim=(-2, 2), ylim=(-2, 2), aspect="equal", xlabel="$w_1$", ylabel="$w_2$")
    left.set_title("The bowl from above", fontsize=10)
    right.set(ylim=(0, 3), xlabel="steps from the lowest place", ylabel="loss")
    right.set_title("Its cuts", fontsize=10)
    right.legend(frameon=False, fontsize=8, loc="upper center")
    plots.show(
        figure,
        f"Each cut is a parabola with a curvature of its own: {told[0]}, {told[1]} and {told[2]}. "
        "All other directions lie between the first and the last.",
    )


def monte_carlo(runs: Mapping[str, Mapping[int, Sequence[Estimate]]], truth: Tensor) -> None:
    """Averages over random points close in on the closed form, drawn as 1.

    Args:
        runs: "quadratic", "direct" -> number of points -> four estimates.
        truth: the closed form, ().
    """
    figure, ax = plots.new_figure(width=6.2)
    for name, look in (("quadratic", "top"), ("direct", "random")):
        sizes = list(runs[name])
        values = np.array([[float(run.value / truth) for run in runs[name][S]] for S in sizes])
        errors = np.array([[float(run.stderr / truth) for run in runs[name][S]] for S in sizes])
        shaded = {"marker": None, "linestyle": "none", "label": ""}
        plots.band(ax, sizes, np.ones(len(sizes)), 2 * errors.mean(1), look, **shaded)
        for i, ratios in enumerate(values.T):
            label = f"{name} Monte Carlo" if i == 0 else None
            plots.curve(ax, sizes, ratios, look, linestyle="none", label=label)
    ax.axhline(1, color=plots.BLACK, linewidth=1)
    largest = max(runs["quadratic"])
    ax.text(largest, 1.03, "closed form", ha="right")
    ax.set(xscale="log", xlabel="number of points S", ylabel="estimate / closed form")
    ax.legend(frameon=False)
    error = float(sum(run.stderr for run in runs["quadratic"][largest]) / 4 / truth)
    plots.show(
        figure,
        "All points close in on 1, the closed form, and the shaded funnels of ± 2 standard errors "
        f"narrow as the number of points grows. With {largest} points the quadratic average still "
        f"has a standard error of {100 * error:.1f} %; the closed form has none.",
    )


def four_parts(shares: Mapping[int, Mapping[str, float]]) -> None:
    """The parts of the moment after two numbers of samples, as shares of the total.

    Args:
        shares: 50, 42 -> part -> its share.
    """
    figure, ax = plots.new_figure(width=6.2)
    bars = {f"k = {k}": list(share.values()) for k, share in shares.items()}
    plots.grouped_bars(ax, list(shares[42]), bars, "part / total")
    ax.margins(y=0.1)
    ax.axhline(0, color=plots.BLACK, linewidth=0.8)
    plots.show(
        figure,
        "At k = 50 all four parts are positive and add up to 1. At k = 42 the cross part is "
        f"{shares[42]['cross']:.2f}, so the value part alone, {shares[42]['value']:.2f}, is larger "
        "than the total.",
    )


def formula_over_truth(ks: Sequence[int], shared: Tensor, own: Tensor) -> None:
    """Eq. 16 divided by the exact curvature part over k, in two toys.

    Args:
        ks: numbers of samples, (K,).
        shared: the ratio where all samples share their eigenvectors, (K,).
        own: the ratio where each has its own, (K,).
    """
    figure, ax = plots.new_figure(width=6.2)
    plots.curve(ax, ks, shared, "top", label="shared eigenvectors")
    plots.curve(ax, ks, own, "random", label="eigenvectors differ", linestyle="none")
    ax.set(xlabel="number of samples k", ylabel="Eq. 16 / curvature part", ylim=(0, 1.25))
    ax.legend(frameon=False, loc="upper left", ncols=2)
    plots.show(
        figure,
        "With shared eigenvectors the formula is exact, the line at 1. With different ones it is "
        f"never above 1 and falls as low as {own.min():.2f}; half of the points are below "
        f"{own.median():.2f}.",
    )


def bound_and_truth(
    ks: Sequence[int], rows: Mapping[float, Tensor], times: Mapping[float, Tensor]
) -> None:
    """Eq. 10 above the worst and the average next sample, a panel for each sigma.

    Args:
        ks: numbers of samples, (K,).
        rows: sigma -> bound, worst and average, (K, 3).
        times: sigma -> how many times the bound is larger than the average, ().
    """
    figure, axes = plots.new_figure(3, width=3.3, height=3.6)
    looks = {"bound, Eq. 10": "own", "worst next sample": "random", "average next sample": "total"}
    for ax, (sigma, row) in zip(axes, rows.items(), strict=True):
        for (label, look), heights in zip(looks.items(), row.T, strict=True):
            plots.curve(ax, ks, heights, look, label=label)
        plots.log_log(ax, "samples k", "$\\Delta_2^{(D)}$", f"$\\sigma$ = {sigma:g}", ticks=ks)
    axes[0].legend(frameon=False, fontsize=8, loc="lower left")
    told = [
        f"{float(f'{factor:.2g}'):.0f} times the average at sigma = {sigma:g}"
        for sigma, factor in times.items()
    ]
    plots.show(
        figure,
        "The bound and the average fall side by side, far apart. The bound is about "
        f"{', '.join(told)}.",
    )


def dice_and_frozen(
    ks: Sequence[int], orders: Mapping[str, Tensor], exact: Mapping[str, Sequence[float]]
) -> None:
    """Squared changes of a running mean along six orders, and the mean of all orders.

    Args:
        ks: numbers of samples, (K,).
        orders: name -> changes along some orders, (orders, K); the first six are drawn.
        exact: name -> mean square over all orders, (K,).
    """
    figure, axes = plots.new_figure(len(orders))
    for ax, (name, changes) in zip(axes, orders.items(), strict=True):
        runs = {f"order {i}": run for i, run in enumerate(changes[:6].square(), 1)}
        plots.thin_curves(ax, ks, runs)
        label = "mean of all orders"
        plots.curve(ax, ks, exact[name], "total", marker=None, linewidth=3, label=label)
        plots.log_log(ax, "number k", "$(L_{k+1} - L_k)^2$", name, ticks=ks[::2])
    axes[0].legend(frameon=False, fontsize=7.5, loc="lower left")
    plots.show(
        figure,
        "The thick line, the mean of all orders, falls as 1/k² on both sides: by a factor of "
        f"{next(iter(exact.values()))[0] / next(iter(exact.values()))[-1]:.0f} from k = {ks[0]} "
        f"to {ks[-1]}. Single orders jump about it. Most points lie below: a mean of squares is "
        "carried by a few large ones.",
    )


def frozen_and_retrained(
    ks: Tensor, frozen: Tensor, trained: Tensor, slopes: Mapping[str, Measured], late: Measured
) -> None:
    """The criterion with and without training, and the same without its arithmetic.

    Args:
        ks: numbers of samples, (K,).
        frozen: mean squared increment at w = 0, (data sets, K).
        trained: the same at each minimiser.
        slopes: "retrained", "T alone" -> mean slope with its interval.
        late: the same with retraining over the last three ks.
    """
    figure, (left, right) = plots.new_figure(2)
    first = {"color": plots.GREY, "marker": "s", "linestyle": "--", "label": "frozen at $w = 0$"}
    second = {"color": plots.BLUE, "marker": "o", "label": "retrained, $w_k^*$"}
    for look, runs in ((first, frozen), (second, trained)):
        plots.spread(left, ks, runs, "", **look)
        plots.spread(right, ks, runs * (ks + 1) ** 2, "", **look)
    right.axhline(0.5, color=plots.BLACK, linewidth=0.8)
    right.text(30, 0.42, "noise alone: 1/2", va="top")
    ticks = ks[::2].tolist()
    plots.log_log(
        left, "samples k", "mean squared increment", "The mean squared change", ticks=ticks
    )
    plots.log_log(right, "samples k", "T(k)", "Without $(k+1)^{-2}$: T(k)", ticks=ticks)
    right.set_ylim(0.2, None)
    left.legend(frameon=False, fontsize=8, loc="lower left")
    plots.show(
        figure,
        "Left: the frozen curve falls with slope -2, the retrained one with a mean slope of "
        f"{slopes['retrained']}. Right: without the arithmetic the frozen curve is flat. The other "
        f"one falls with slope {slopes['T alone']}: that is learning, steep first. It ends where "
        f"only noise is left: between k = 240 and 480 the retrained slope is {late}. Shading spans "
        "ten data sets, from the smallest to the largest.",
    )


def own_moment(sigmas: ArrayLike, found: Sequence[float], value: float) -> None:
    """Exercise 2: an answer's moment over sigma, beside the value part.

    Args:
        sigmas: (S,).
        found: the answer's moments, (S,).
        value: a^2.
    """
    figure, ax = plots.new_figure(width=5)
    plots.curve(ax, sigmas, found, "total", marker=None, label="your moment")
    plots.curve(ax, sigmas, np.full(len(found), value), "value", label="value part $a^2$")
    plots.log_log(ax, "$\\sigma$", "mean squared increment", "Exercise 2")
    ax.legend(frameon=False)
    plots.show(
        figure,
        "The moment is the value part up to about sigma = 0.3. At sigma = 3 it is "
        f"{found[-1]:.0f}.",
    )


def constants_of_theorem_2(rate: Mapping[str, Measured], k: int) -> None:
    """The curvature term of Theorem 2 over D, with the dimension and with effective ranks in it.

    Args:
        rate: figures of the stored study `rate`.
        k: number of samples of its networks.
    """
    D = [1, 2, 5, 10, 20, 50, 1210]
    names = [f"{d}_{k}" for d in D[:-1]] + [f"N_{k}"]
    figure, ax = plots.new_figure(width=6.2)
    for what, look, label in (
        ("printed", "own", "Theorem 2: $D^2 + 2D$"),
        ("effective", "top", "effective ranks: $r_1^2 + 2r_2$"),
    ):
        found = [rate[f"{what}_{name}"] for name in names]
        plots.curve(ax, D, [m.value for m in found], look, label=label)
        low, high = [m.low for m in found], [m.high for m in found]
        ax.fill_between(D, low, high, color=plots.LOOKS[look]["color"], alpha=0.18, linewidth=0)
    ax.axhline(1, color=plots.BLACK, linewidth=0.8)
    ax.text(1, 1.15, "the largest true curvature part")
    title = f"Ten networks, k = {k}"
    plots.log_log(ax, "dimension of the probe D", "bound's term / truth", title, ticks=D)
    ax.legend(frameon=False, loc="upper left")
    plots.show(
        figure,
        "Theorem 2's term rises from "
        f"{rate[f'printed_1_{k}'].value:.0f} to {rate[f'printed_N_{k}'].value:.1e} "
        "times the largest curvature part of any next sample as D goes from 1 to N = 1210. With "
        "effective ranks it stays at "
        f"{rate[f'effective_1_{k}'].value:.0f} to {rate[f'effective_N_{k}'].value:.0f} times, "
        "of which 12 is the price of two inequalities in the proof. Shading: 95 % intervals, ten "
        "seeds.",
    )


def what_is_left_out(
    sigmas: Sequence[float],
    measured: Sequence[float],
    curvature: float,
    share: float,
    omitted: Mapping[str, Measured],
) -> None:
    """What Eq. 15 lacks: one network by quadrature over sigma; ten networks, two k.

    Args:
        sigmas: (S,).
        measured: E I^2 minus Eq. 15, over sigma^4, (S,).
        curvature: coefficient of the curvature part.
        share: of it, that the expansion foretells.
        omitted: figures of the stored study `omitted`.
    """
    figure, (left, right) = plots.new_figure(2)
    plots.curve(left, sigmas, np.divide(measured, curvature), "total", label="by quadrature")
    left.axhline(share, color=plots.BLUE, linestyle="--", label="expansion")
    left.axhline(0, color=plots.BLACK, linewidth=0.8)
    left.set(xscale="log", xlabel="$\\sigma$", ylabel="(E I² - Eq. 15) / curvature part")
    left.set_title("One network, D = 2, k = 271", fontsize=10)
    left.legend(frameon=False)
    places = {("raw", 271): 0, ("centred", 271): 1, ("raw", 905): 2, ("centred", 905): 3}
    for what, look, shift in (("share", "top", -0.12), ("measured_3", "random", 0.12)):
        found = [omitted[f"{name}_{what}_{k}"] for name, k in places]
        middle = np.array([m.value for m in found])
        ends = [middle - [m.low for m in found], [m.high for m in found] - middle]
        label = "expansion" if what == "share" else "direct averages, $\\sigma$ = 0.03"
        right.errorbar(
            np.arange(4) + shift, middle, ends, color=plots.LOOKS[look]["color"], capsize=3,
            marker=plots.LOOKS[look]["marker"], linestyle="none", label=label,
        )  # fmt: skip
    right.axhline(0, color=plots.BLACK, linewidth=0.8)
    right.set_xticks(range(4), [f"{name}\nk = {k}" for name, k in places])
    right.set_title("Ten networks, D = 10", fontsize=10)
    right.set_ylim(-0.75, 0.55)
    right.legend(frameon=False, fontsize=8, loc="upper left")
    plots.show(
        figure,
        f"Left: as sigma goes to 0, what Eq. 15 lacks becomes {share:.2f} of its curvature part, "
        "as the expansion says. Right: expansion and direct averages agree. The raw criterion "
        f"lacks {omitted['raw_share_271']} of the curvature part at k = 271 and "
        f"{omitted['raw_share_905']} at k = 905; the centred one {omitted['centred_share_271']} "
        f"and {omitted['centred_share_905']}. Bars: 95 % intervals.",
    )
