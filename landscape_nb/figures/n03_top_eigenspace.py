"""The pictures of notebook 03, in its order."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import ArrayLike
from torch import Tensor

from landscape_nb.figures import plots
from landscape_nb.figures.maps import number_map
from landscape_nb.theory.intervals import Measured

F64, F32 = torch.float64, torch.float32


def differences_and_twice_differentiated(
    h: ArrayLike, errors: Mapping[torch.dtype, Tensor], autodiff: Mapping[torch.dtype, Tensor]
) -> None:
    """Relative error of Hv over the step of a difference: a V in each precision.

    Args:
        h: steps, (K,).
        errors: precision -> relative errors of differences, (directions, K).
        autodiff: precision -> relative errors of Hv twice differentiated, (directions,).
    """
    figure, ax = plots.new_figure(width=6.4)
    for dtype, colour, marker in ((F64, plots.BLUE, "o"), (F32, plots.ORANGE, "s")):
        plots.spread(ax, h, errors[dtype], "", color=colour, marker=marker, label=None)
    for dtype, colour in ((F64, plots.BLUE), (F32, plots.ORANGE)):
        ax.axhline(float(autodiff[dtype].mean()), color=colour, linestyle="--", linewidth=1.2)
    ax.text(2, 1e-15, "twice differentiated, float64", color=plots.BLUE, ha="right", va="bottom")
    ax.text(5e-6, 3e-7, "twice differentiated, float32", ha="center", va="bottom")
    ax.text(1.5e-9, 1e-1, "differences, float32", va="top")
    ax.text(1.5e-9, 2e-9, "differences,\nfloat64", color=plots.BLUE, va="top")
    plots.log_log(ax, "step h", "relative error of $Hv$", "Two enemies make a V")
    ax.set_ylim(1e-16, 1e3)
    best = {dtype: float(rows.mean(0).min()) for dtype, rows in errors.items()}
    plots.show(
        figure,
        "Each V has its bottom near the cube root of the precision. There the difference is off "
        f"by {best[F64]:.0e} in float64 and {best[F32]:.0e} in float32. Differentiating twice "
        f"(dashed) is off by {autodiff[F64].mean():.0e} and {autodiff[F32].mean():.0e}: nothing "
        "but rounding.",
    )


def values_found(exact: ArrayLike, found: Mapping[str, ArrayLike]) -> None:
    """Ten eigenvalues in the order found, by three variants of the method, beside the true ones.

    Args:
        exact: true eigenvalues, (10,), descending.
        found: "as published", "perpendicular", "more steps" -> values, (10,).
    """
    figure, ax = plots.new_figure(width=6.2)
    index = np.arange(1, 11)
    true = {"color": plots.BLACK, "marker": "_", "markersize": 14, "linestyle": "none"}
    plots.curve(ax, index, exact, "true", **true)
    full, hollow = {"markersize": 5}, {"markersize": 8, "fillstyle": "none", "label": "300 steps"}
    for name, shift, colour, marker, look in (
        ("as published", -0.15, plots.ORANGE, "s", full),
        ("perpendicular", 0.15, plots.PURPLE, "v", full),
        ("more steps", 0.0, plots.BLUE, "o", hollow),
    ):
        drawn = {"color": colour, "marker": marker, "linestyle": "none", **look}
        plots.curve(ax, index + shift, found[name], name, **drawn)
    ax.set(xlabel="pair, in the order found", ylabel="eigenvalue", xticks=index, ylim=(0.55, 1.05))
    ax.legend(frameon=False)
    first, second, *_ = np.asarray(found["as published"])
    plots.show(
        figure,
        f"With 30 steps the first value found is {first:.3f} and the second {second:.3f}: neither "
        "is the largest, which is 1, and the order is wrong. Forcing the vectors apart changes "
        "almost nothing. With 300 steps every circle sits on its mark.",
    )


def stopping_rule(residual: Tensor, error: Tensor, change: Tensor, stop: int) -> None:
    """What a rule that watches the change of the eigenvalue does not see.

    Args:
        residual: |Hv - theta v| after each product, (K,).
        error: true error of the eigenvalue after each product, (K,).
        change: relative change of the eigenvalue from one product to the next, (K - 1,).
        stop: position in `error` at which the rule stops.
    """
    figure, ax = plots.new_figure(width=6.4)
    steps = np.arange(1, len(residual) + 1)
    plots.curve(ax, steps, residual, "top", markevery=60, label="residual")
    plots.curve(ax, steps, error, "total", markevery=60, label="true error of the eigenvalue")
    plots.curve(ax, steps[1:], change, "random", markevery=60, label="its change in one step")
    ax.axhline(1e-4, color=plots.GREY, linewidth=0.8, linestyle=":")
    ax.axvline(stop + 1, color=plots.VERMILLION, linewidth=1)
    ax.text(stop + 8, 2e-10, "the rule\nstops here", color=plots.VERMILLION)
    ax.text(600, 1.2e-4, "tolerance", color=plots.GREY, ha="right", va="bottom")
    ax.set(yscale="log", xlabel="products", ylabel="size", ylim=(1e-10, 2))
    ax.legend(frameon=False, loc="upper right", ncols=1, fontsize=8)
    plots.show(
        figure,
        f"After {stop + 1} products the change of the eigenvalue dips below the tolerance and the "
        f"rule stops. The true error is {error[stop] / change[stop - 1]:.0f} times larger than the "
        f"change, and the residual, {residual[stop]:.0e}, is {residual[stop] / 1e-4:.0f} times the "
        "tolerance: it would have said no. Later the error falls twice as steeply as the residual.",
    )


def ghosts(ritz: Mapping[bool, Sequence[Tensor]], overlaps: Mapping[bool, Sequence[float]]) -> None:
    """Ritz values over the steps of Lanczos, with three terms and with all earlier vectors.

    Args:
        ritz: were all earlier vectors kept? -> Ritz values after each step, (1,), (2,), ...
        overlaps: the same -> largest overlap of two basis vectors after each step.
    """
    figure, axes = plots.new_figure(3, width=3.4, height=3.8)
    for ax, keep, look in ((axes[0], False, "random"), (axes[1], True, "top")):
        _climbing(ax, ritz[keep], plots.LOOKS[look]["color"])
        name, steps = ("three terms", "all earlier")[keep], range(1, len(overlaps[keep]) + 1)
        plots.curve(
            axes[2], steps, np.maximum(overlaps[keep], 1e-9), look, markevery=10, label=name
        )
    axes[2].set(yscale="log", xlabel="step m", ylabel="largest overlap", ylim=(1e-8, 10))
    axes[2].legend(frameon=False, fontsize=8, loc="center right")
    titles = ("Three terms", "All earlier vectors", "Perpendicular?")
    for ax, title in zip(axes, titles, strict=True):
        ax.set_title(title, fontsize=10)
    copies = int((ritz[False][-1] > 9.9).sum())
    plots.show(
        figure,
        f"Left: again and again a Ritz value climbs from the bulk to the top, until {copies} of "
        "them stand at 10, where there is one eigenvalue (the numbers at the right count them). "
        "Middle: with all vectors kept perpendicular three lines stay three. Right: with three "
        "terms, perpendicularity is gone within 20 steps, just when the first Ritz value has "
        "converged.",
    )


def _climbing(ax: Axes, ritz: Sequence[Tensor], colour: str) -> None:
    """Ritz values above the bulk after each step; at the right, how many stand at 10, 7 and 5."""
    tops = [values[values > 2.01] for values in ritz]
    steps = np.repeat(np.arange(1, len(ritz) + 1), [len(top) for top in tops])
    ax.plot(steps, torch.cat(tops), ".", markersize=2.5, color=colour)
    ax.axhspan(0, 2, color=plots.GREY, alpha=0.25, linewidth=0)
    ax.text(45, 1, "the 297 others", ha="center", va="center")
    for value in (10, 7, 5):
        ax.text(93, value, f"× {int(((ritz[-1] - value).abs() < 0.1).sum())}", va="center")
    ax.set(xlabel="step m", ylabel="Ritz values above 2", ylim=(-0.3, 10.8), xlim=(-2, 107))


def certificates(
    off: Tensor, residuals: Tensor, squares: Tensor, products: int, num_params: int
) -> None:
    """True errors of eigenvalues beside what their residuals promise.

    Args:
        off: true errors, (D,).
        residuals: |Hu - lambda u|, (D,).
        squares: residual^2 / distance to the next eigenvalue, (D,).
        products: Hessian-vector products spent.
        num_params: N, the products that writing H down would take.
    """
    figure, ax = plots.new_figure(width=6.2)
    index, floor = range(1, len(off) + 1), 2e-16
    residual, square = "residual: what the solver promises", "residual$^2$ / gap to the next"
    plots.curve(ax, index, residuals.clamp_min(floor), "top", label=residual)
    plots.curve(ax, index, squares.clamp_min(floor), "random", label=f"{square} eigenvalue")
    true = {"marker": "x", "linestyle": "none", "label": "true error"}
    plots.curve(ax, index, off.clamp_min(floor), "total", **true)
    ax.axhspan(1e-16, 1e-14, color=plots.GREY, alpha=0.25, linewidth=0)
    ax.text(len(off), 1.5e-15, "rounding", ha="right", fontsize=8)
    ax.set(yscale="log", xlabel="pair", ylabel="size", xticks=list(index), ylim=(1e-16, 1e-2))
    ax.legend(frameon=False, loc="upper left", fontsize=8)
    plots.show(
        figure,
        f"{products} products instead of {num_params}. Above rounding, the true errors (crosses) "
        f"lie far below the residuals: the largest error is {off.max():.0e}, the largest residual "
        f"{residuals.max():.0e}. They stay close to the dashed line, the square of the residual "
        "over the gap.",
    )


def trace_errors(
    ms: Sequence[int],
    traces: Mapping[tuple[str, str], Tensor],
    slopes: Mapping[tuple[str, str], Measured],
) -> None:
    """Typical error of two estimators of a trace over the products spent, a panel a matrix.

    Args:
        ms: numbers of products, (K,).
        traces: (matrix, "Hutchinson" or "Hutch++") -> relative errors, (K, repeats).
        slopes: the same -> slope of the typical error on log-log axes, with its interval.
    """
    matrices = list(dict.fromkeys(matrix for matrix, _ in traces))
    figure, axes = plots.new_figure(3, width=3.4, height=3.7)
    for ax, matrix in zip(axes, matrices, strict=True):
        for method, look in (("Hutchinson", "random"), ("Hutch++", "top")):
            squares = traces[matrix, method] ** 2
            rms = squares.mean(1).sqrt()
            half = 2 * squares.std(1) / squares.shape[1] ** 0.5 / (2 * rms)  # error of a root
            plots.curve(ax, ms, rms, look, label=method)
            ax.errorbar(ms, rms, half, fmt="none", color=plots.LOOKS[look]["color"], capsize=3)
        plots.log_log(ax, "products m", "typical relative error", matrix, ticks=ms)
        ax.set_ylim(3e-3, 0.2)
    axes[0].legend(frameon=False, loc="lower left", fontsize=8)
    told = {
        method: ", ".join(str(slopes[matrix, method]) for matrix in matrices)
        for method in ("Hutchinson", "Hutch++")
    }
    plots.show(
        figure,
        f"Hutchinson falls with slopes {told['Hutchinson']}, Hutch++ with {told['Hutch++']}, from "
        "left to right. On the flat spectrum the sketch catches nothing special, and Hutch++ lies "
        "above Hutchinson throughout.",
    )


def whole_spectrum(
    xs: Tensor,
    counts: Mapping[str, Tensor],
    exact_counts: Tensor,
    grid: Tensor,
    densities: Mapping[str, Tensor],
    *,
    width: float,
    outliers: int,
) -> None:
    """Eigenvalues above x, and their smoothed density, beside the exact ones.

    Args:
        xs: (K,).
        counts: "8 random vectors", "and ten known pairs" -> eigenvalues above each x, and their
            standard error, (2, K).
        exact_counts: (K,).
        grid: where the density is given, (g,).
        densities: the same two names, and "exact" -> (g,).
        width: of the smoothing.
        outliers: eigenvalues above 1.
    """
    figure, (left, right) = plots.new_figure(2, width=5.0, height=4.0)
    for (name, (count, stderr)), look in zip(counts.items(), ("random", "top"), strict=True):
        drawn = {"label": name, "markevery": 24}
        plots.band(left, xs, count.clamp_min(0.1), 2 * stderr, look, **drawn)
        plots.curve(right, grid, densities[name].clamp_min(1e-9), look, marker=None)
    left.step(xs, exact_counts, color=plots.BLACK, linewidth=1.2, where="post", label="exact")
    right.plot(grid, densities["exact"], color=plots.BLACK, linewidth=1, linestyle=":")
    plots.log_log(left, "x", "eigenvalues above x", "Counting from the top")
    left.set_ylim(0.5, 1500)
    left.legend(frameon=False, loc="lower left")
    right.set(yscale="log", ylim=(1e-3, 40), xlabel="eigenvalue")
    right.set_ylabel(f"density, smoothed by {width}")
    plots.show(
        figure,
        "Left: from hundreds of eigenvalues down to a few all three agree. At the top, where "
        "single eigenvalues count, random vectors alone are unsure (shaded: two standard errors). "
        "Below 0.001 the estimates become steps: too few nodes there. Right, in the same lines: "
        f"the {outliers} outliers above 1 stand in their places in every curve, but without known "
        "pairs their heights are wrong.",
    )


def share_errors(steps: Sequence[int], vectors: Sequence[int], errors: ArrayLike) -> None:
    """What more Lanczos steps buy, and what more random vectors: numbers in cells.

    Args:
        steps: numbers of Lanczos steps, along the row.
        vectors: numbers of random vectors, up the column.
        errors: largest error of a share in percent, (vectors, steps).
    """
    errors = np.asarray(errors)
    figure, ax = plots.new_figure(width=5.6, height=3.2)
    number_map(ax, [str(m) for m in steps], [str(P) for P in vectors], errors)
    ax.set(xlabel="Lanczos steps", ylabel="random vectors")
    ax.set_title("Largest error of a share, in percent of all eigenvalues", fontsize=10)
    plots.show(
        figure,
        f"Read along a row: steps bring the error from {errors[-1, 0]:.1f} to {errors[-1, -1]:.1f} "
        f"% with 8 vectors. Read up a column: with 5 steps, 8 vectors have {errors[-1, 0]:.1f} % "
        f"where 2 have {errors[0, 0]:.1f} %. Few steps cannot see fine structure, however many "
        "vectors you take.",
    )


def closing_in(
    m: int,
    converged: Sequence[float],
    others: Sequence[float],
    true: Sequence[float],
    curves: Mapping[str, Sequence[float]],
    tolerance: float,
) -> bytes:
    """Ritz values over the true spectrum, and how its ends close in with the steps, as PNG.

    Args:
        m: number of steps.
        converged: Ritz values with a small residual.
        others: Ritz values without.
        true: all eigenvalues, (N,), descending.
        curves: "largest", "smallest", "residual" -> size after 1, 2, .. steps.
        tolerance: residual below which a pair has converged.
    """
    figure, (left, right) = plots.new_figure(2, width=5.0, height=3.6)
    left.vlines(true, 0, 0.5, color=plots.GREY, linewidth=0.6)
    left.plot(converged, [0.6] * len(converged), "o", color=plots.BLUE)
    left.plot(others, [0.86] * len(others), "o", color=plots.VERMILLION, fillstyle="none")
    left.set(ylim=(0, 1), xlabel="eigenvalue")
    left.set_yticks([0.25, 0.6, 0.86], ["true", "Ritz,\nconverged", "Ritz,\nnot yet"])
    left.set_title(f"m = {m}: Ritz values over the true spectrum", fontsize=10)
    _ends_close_in(right, m, curves, tolerance)
    return plots.still(figure)


def _ends_close_in(
    ax: Axes, m: int, curves: Mapping[str, Sequence[float]], tolerance: float
) -> None:
    for name, label, colour, dash, marker in (
        ("largest", "largest eigenvalue missed by", plots.BLUE, "-", "s"),
        ("residual", "residual of that pair", plots.BLACK, "--", "o"),
        ("smallest", "smallest eigenvalue missed by", plots.GREEN, "-.", "^"),
    ):
        # on a logarithmic axis a size of 0, only rounding, ends a curve
        sizes = np.where(np.array(curves[name]) > 0, curves[name], np.nan)
        look = {"color": colour, "marker": marker, "linestyle": dash, "markevery": [m - 1]}
        plots.curve(ax, np.arange(1, len(sizes) + 1), sizes, name, label=label, **look)
    ax.axvline(m, color=plots.GREY, linewidth=1)
    ax.axhline(tolerance, color=plots.VERMILLION, linestyle=":")
    ax.set(yscale="log", xlim=(0, len(sizes) + 1), ylim=(1e-12, 3))
    ax.set(xlabel="steps m", ylabel="size")
    ax.set_title("How the ends close in (dotted: tolerance)", fontsize=10)
    ax.legend(frameon=False, fontsize=8, loc="upper right")


def own_steps(
    steps: ArrayLike,
    curves: Mapping[torch.dtype, ArrayLike],
    used: Mapping[torch.dtype, float],
    errors: Mapping[torch.dtype, float],
) -> None:
    """Exercise 3: the error of a difference over its step, and where an answer's step is.

    Args:
        steps: (K,).
        curves: precision -> relative errors, (K,).
        used: precision -> the answer's step.
        errors: precision -> the answer's relative error.
    """
    figure, ax = plots.new_figure(width=5.6)
    star = {"marker": "*", "markersize": 16, "label": "your step"}
    for (dtype, curve), look in zip(curves.items(), ("top", "random"), strict=True):
        plots.curve(ax, steps, curve, look, label=str(dtype).removeprefix("torch."))
        plots.curve(ax, [used[dtype]], [errors[dtype]], look, **star)
    plots.log_log(ax, "step h", "relative error of $Hv$", "Exercise 3")
    ax.set_ylim(1e-13, 10)
    ax.legend(frameon=False)
    plots.show(
        figure,
        f"Your steps, {used[F64]:.0e} in float64 and {used[F32]:.0e} in float32, lie near "
        "the bottom of each V, where truncation and rounding are about equally large.",
    )
