"""The pictures of notebook 05: planes, clouds, Corollary 4, and how much data is enough."""

from collections.abc import Mapping, Sequence

import numpy as np
import scipy
import torch
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from torch import Tensor

from landscape_nb.figures import maps, plots
from landscape_nb.figures.scales import scale_of
from landscape_nb.theory.intervals import Measured

SQUARED = "squared change"  # as it is called in scales.py
CRITERION = "$\\Delta_k$ [loss$^2$]"
SAMPLES = "number of samples k"
# Colour, marker and dash of the three networks of Going deeper.
LINES = (
    (plots.ORANGE, "^", "-."),
    (plots.VERMILLION, "D", ":"),
    (plots.BLUE, "*", "-"),
)


# -- planes ---------------------------------------------------------------------------------------


def surface_picture(
    steps: Sequence[float], panels: Mapping[str, np.ndarray], quantity: str,
    limits: tuple[float, float], view: tuple[float, float],
) -> bytes:  # fmt: skip
    """Surfaces in perspective, all on one scale, as PNG.

    Args:
        steps: (S,), steps along both directions of a plane.
        panels: title -> heights, (S, S).
        quantity: "loss", "change" or "log change"; the last is drawn as its exponent of ten.
        limits: lowest and highest height.
        view: azimuth and elevation of the eye, in degrees.
    """
    shown, log = "loss" if quantity == "loss" else SQUARED, quantity == "log change"
    return plots.still(
        maps.surfaces_3d(steps, steps, panels, quantity=shown, limits=limits, view=view, log=log)
    )


def landscape_picture(
    steps: Sequence[float], k: int, planes: Mapping[str, tuple[np.ndarray, np.ndarray]],
    levels: Mapping[str, Sequence[float]],
) -> bytes:  # fmt: skip
    """Each plane's L_k and L_{k+1} as contour lines and its squared increment as a map, as PNG.

    Args:
        steps: (S,), steps along both directions of a plane.
        k: number of samples.
        planes: name -> L_k and I_k, (S, S) each.
        levels: name -> heights of the contour lines.
    """
    x = np.asarray(steps)
    fine = np.linspace(x[0], x[-1], 4 * (len(x) - 1) + 1)
    scale = scale_of(SQUARED)
    figure = Figure(figsize=(8.0, 7.4), layout="constrained", dpi=110)
    axes = figure.subplots(2, len(planes), sharex=True, sharey=True, squeeze=False)
    for (above, below), (name, (L, I)) in zip(axes.T, planes.items(), strict=True):
        maps.two_surfaces(above, x, x, L, L + I, levels=levels[name])
        above.plot(0, 0, "+", color=plots.BLACK, markersize=9)
        above.set_title(f"{name} plane: $L_{{{k}}}$ (solid), $L_{{{k + 1}}}$ (dashed)", fontsize=10)
        signed = scipy.interpolate.RectBivariateSpline(x, x, I, kx=1, ky=1)(fine, fine)
        filled = maps.contour_map(
            below, fine, fine, signed**2, quantity=SQUARED, levels=scale.decades(), signed=signed
        )
        below.set_title(f"{name} plane: $(L_{{{k + 1}}} - L_{{{k}}})^2$", fontsize=10)
        below.set_xlabel("step $x$")
    for ax in axes[:, 0]:
        ax.set_ylabel("step $y$")
    bar = figure.colorbar(filled, ax=axes[1], label=scale.label, ticks=scale.decades())
    bar.minorticks_off()
    return plots.still(figure)


def loss_maps(steps: Tensor, ks: Sequence[int], values: Tensor) -> None:
    """The top plane's L_k at the first and the last k as contour maps, a cross at the centre.

    Args:
        steps: (S,), steps along both directions of the plane.
        ks: (K,), numbers of samples, increasing.
        values: L_k, (K, S, S).
    """
    levels = 0.08 * 2.0 ** np.arange(7)
    panels = _first_and_last(ks, {"top": values})
    figure = maps.contour_maps(steps, steps, panels, quantity="loss", levels=levels.tolist())
    plots.show(
        figure,
        "Right: rings around the centre, which was trained on these 320 digits. Left: with ten of "
        "them the lowest region is far larger and reaches out to one side; the centre is not in "
        "its middle. Each line is twice as high as the one inside it.",
    )


def change_maps(steps: Tensor, ks: Sequence[int], increments: Mapping[str, Tensor]) -> None:
    """Squared increments at the first and the last k, each colour a power of ten.

    Args:
        steps: (S,), steps along both directions of a plane.
        ks: (K,), numbers of samples, increasing.
        increments: plane, "top" and "random" -> I_k, (K, S, S).
    """
    top, random = ([float(I[j].square().max()) for j in (0, -1)] for I in increments.values())
    plots.show(
        _change_maps(steps, _first_and_last(ks, increments)),
        f"Upper row: in the top plane the largest change falls from {top[0]:.1g} to {top[1]:.1g}. "
        "Dark furrows, where the next digit's loss equals the mean, run between bright slopes. "
        "Lower row: in the random plane there is hardly any shape to see; the change is at most "
        f"{random[0]:.0e} and {random[1]:.0e}.",
    )


def _title(plane: str, k: int) -> str:
    return f"{plane} plane, k = {k}"


def _first_and_last(ks: Sequence[int], planes: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Title -> (S, S), two for each plane."""
    return {_title(name, ks[j]): Z[j] for name, Z in planes.items() for j in (0, -1)}


def _change_maps(steps: Tensor, increments: Mapping[str, Tensor]) -> Figure:
    """Contour maps of I^2 from title -> I (S, S), four times finer by cubic splines.

    I passes through zero between points of the grid, so it is interpolated before it is squared.
    """
    x = steps.numpy()
    between = np.linspace(x[0], x[-1], 4 * (len(x) - 1) + 1)
    signed = {
        title: scipy.interpolate.RectBivariateSpline(x, x, I.numpy())(between, between)
        for title, I in increments.items()
    }
    squares = {title: I**2 for title, I in signed.items()}
    levels = scale_of(SQUARED).decades()
    return maps.contour_maps(
        between, between, squares, quantity=SQUARED, levels=levels, zeros=signed
    )


# -- probes ---------------------------------------------------------------------------------------


def formula_and_truth(
    found: Mapping[int, Sequence[Mapping[str, tuple[Tensor, Tensor]]]],
    mean: Mapping[int, Measured],
) -> None:
    """Corollary 4's formula over the exact curvature part, with both kinds of eigenvalues.

    Args:
        found: k -> for each seed "compressed" and "full" -> (exact, formula), a number for each
            next digit.
        mean: k -> formula over truth with full eigenvalues, averaged over next digits, of stored
            seeds.
    """
    figure, axes = plots.new_figure(2, width=4.6, height=3.9)
    marks = {"compressed": (".", 4, plots.SKY), "full": ("D", 5, plots.VERMILLION)}
    for ax, (k, seeds) in zip(axes, found.items(), strict=True):
        for name, (marker, size, colour) in marks.items():
            x, y = (torch.cat([pairs[name][i] for pairs in seeds]) for i in (0, 1))
            ax.plot(x, y, marker, color=colour, markersize=size, label=f"{name} eigenvalues")
        ends = np.array(ax.get_xlim())
        ax.plot(ends, ends, color=plots.BLACK, linewidth=0.9, label="formula = exact")
        title = f"k = {k}; each mark a next digit"
        plots.log_log(ax, "exact curvature part [loss$^2$]", "formula $F$ [loss$^2$]", title)
    axes[0].legend(frameon=False, fontsize=8, loc="upper left")
    few, many = mean.values()
    plots.show(
        figure,
        "The dots, compressed eigenvalues, never lie above the line. The diamonds, full ones, lie "
        f"on both sides: averaged over next digits, {few} times the truth at k = 20 and {many} "
        f"times at k = 320 ({few.count} seeds, 95 % intervals).",
    )


# -- enough data ----------------------------------------------------------------------------------


def three_networks(
    ks: Sequence[int], curves: Mapping[str, np.ndarray], tolerances: Sequence[float]
) -> None:
    """Delta_k of several networks over grey lines, the tolerances.

    Args:
        ks: (K,), numbers of samples.
        curves: network -> the criterion, (seeds, K).
        tolerances: in loss^2.
    """
    figure, ax = plots.new_figure(width=6.0, height=3.8)
    for (model, c), (colour, marker, dash) in zip(curves.items(), LINES, strict=True):
        plots.spread(ax, ks, c, model, color=colour, marker=marker, linestyle=dash)
    for tolerance in tolerances:
        ax.axhline(tolerance, color=plots.GREY, linewidth=0.8)
        ax.text(0.75 * ks[0], tolerance * 1.1, f"{tolerance:.0e}", color=plots.GREY, fontsize=8)
    ax.set_xlim(left=0.72 * ks[0])  # room for the labels
    title = "Random plane, $\\sigma$ = 0.01; grey: tolerances"
    plots.log_log(ax, SAMPLES, CRITERION, title, ticks=ks)
    ax.legend(frameon=False, fontsize=9)
    ends = ", ".join(f"{c[:, -1].mean():.1e} ({model})" for model, c in curves.items())
    plots.show(
        figure,
        "Three lines of about the same slope; the network with two hidden layers lies above. At "
        f"k = 320 the means of five seeds are {ends}: the tolerance 3e-6 runs through the scatter "
        "of the seeds, and 1e-6 is below all the means.",
    )


# -- exercises ------------------------------------------------------------------------------------


def share_of_random_planes(sizes: Sequence[int], shares: Sequence[Sequence[float]]) -> None:
    """Shares of the trace in random planes, dots, and their means on the line 2/N.

    Args:
        sizes: (S,), numbers of parameters.
        shares: (S, planes), the learner's shares.
    """
    figure, ax = plots.new_figure(width=5)
    ax.plot(sizes, shares, ".", color=plots.SKY, markersize=3)
    mean = np.array(shares).mean(1)
    ax.plot(sizes, mean, "o", color=plots.BLUE, label="mean of 200 random planes")
    plots.curve(ax, sizes, 2 / np.array(sizes), "2/N", color=plots.BLACK, label="2/N")
    plots.log_log(ax, "number of parameters N", "share of the trace", "Exercise 1", ticks=sizes)
    ax.legend(frameon=False)
    plots.show(
        figure, "A random plane shows 2/N of the trace on average; single planes scatter widely."
    )


def turning_bowl(angles: ArrayLike, exact: np.ndarray, formula: np.ndarray) -> None:
    """A bowl turns: the exact curvature part grows, the formula from eigenvalues stays at 0.

    Args:
        angles: (A,), in degrees.
        exact: (A,), the learner's exact part.
        formula: (A,), the learner's formula.
    """
    figure, ax = plots.new_figure(width=5)
    plots.curve(ax, angles, exact, "curvature", markevery=3, label="exact")
    plots.curve(ax, angles, formula, "random", markevery=3, label="formula, from eigenvalues")
    ax.set(xlabel="turn of the bowl [degrees]", ylabel="curvature part [loss$^2$]")
    ax.set_title("Exercise 2", fontsize=10)
    ax.legend(frameon=False)
    plots.show(
        figure,
        f"The exact part grows to {exact[-1]:.2f} at a quarter turn. No eigenvalue changes, so the "
        "formula sees nothing.",
    )


def plane_of_change(
    steps: Tensor, increments: Mapping[str, Tensor], times: Sequence[float]
) -> None:
    """The squared increment in the top plane and in the learner's, on one scale.

    Args:
        steps: (S,), steps along both directions of a plane.
        increments: name of a plane -> I_k, (S, S).
        times: the centred criterion in the learner's plane over that in the top plane, by network.
    """
    squares = {name: I**2 for name, I in increments.items()}
    levels = scale_of(SQUARED).decades()
    figure = maps.contour_maps(
        steps, steps, squares, quantity=SQUARED, levels=levels, zeros=increments
    )
    ratios = " and ".join(f"{ratio:.1f}" for ratio in times)
    plots.show(
        figure,
        f"The centred criterion at sigma = 0.1 in your plane, over that in the top "
        f"plane: {ratios}.",
    )
