"""The pictures of notebook 08: modes and slopes, exponents by layer, the triangle, the race."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from torch import Tensor

from landscape_nb.figures import plots
from landscape_nb.theory.layers import Exponents

DOTS = (0, (1, 2))

# -- one layer ------------------------------------------------------------------------------------


def gradient_and_strongest_mode(G: Tensor, strongest: Tensor, sigma: Tensor) -> None:
    """A gradient as a table of colours, its strongest mode, and what is left without it.

    Args:
        G: (32, 64), the gradient.
        strongest: (32, 64), sigma_1 u_1 v_1'.
        sigma: (r,), all singular values, descending.
    """
    figure, axes = plots.new_figure(3, width=3.5, height=2.6)
    scale = float(G.abs().max())
    titles = ("gradient G", "its strongest mode", "the rest")
    for ax, table, title in zip(axes, (G, strongest, G - strongest), titles, strict=True):
        image = ax.imshow(table, cmap="PuOr", vmin=-scale, vmax=scale)
        ax.set(title=title, xlabel="input (pixel)", yticks=[0, 15, 31])
    axes[0].set_ylabel("output (unit)")
    figure.colorbar(image, ax=axes, shrink=0.8)
    share = float(sigma[0] ** 2 / sigma.square().sum())
    plots.show(
        figure,
        "A gradient of 32 x 64 numbers is mostly one column times one row: the strongest of its "
        f"{len(sigma)} modes holds {share:.0%} of the sum of squares. White is zero.",
    )


def three_power_laws(sigma: Tensor, h: Tensor, fits: Exponents) -> None:
    """Curvature on singular value, and both on rank, each with its fitted line.

    Args:
        sigma: (r,), singular values, descending.
        h: (r,), curvatures; those not above zero are left out.
        fits: their exponents.
    """
    figure, axes = plots.new_figure(3, width=3.4, height=3.3)
    good = (h > 0).numpy()
    strength, bend, rank = sigma.numpy()[good], h.numpy()[good], np.arange(1.0, 1 + len(h))[good]
    slopes = (fits.alpha.value, -fits.gamma.value, -fits.s.value)
    pairs = (
        (strength, bend, "singular value $\\sigma$", "curvature $h$", "$\\alpha$"),
        (rank, strength, "rank $k$", "singular value $\\sigma$", "$-\\gamma$"),
        (rank, bend, "rank $k$", "curvature $h$", "$-s$"),
    )
    for ax, slope, (x, y, xlabel, ylabel, name) in zip(axes, slopes, pairs, strict=True):
        plots.curve(ax, x, y, "top", linestyle="none", label="modes")
        label = f"slope {name} = {slope:.2f}"
        plots.curve(ax, x, _line(x, y, slope), "random", marker=None, label=label)
        plots.log_log(ax, xlabel, ylabel, "")
        ax.legend(frameon=False, fontsize=8)
    plots.show(
        figure,
        f"Lines of slope {slopes[0]:.2f}, {slopes[1]:.2f} and {slopes[2]:.2f}. The dots bend "
        "around the lines and do not scatter at random: a power law describes them roughly. The "
        "printed standard error supposes random scatter, so it is too small.",
    )


def _line(x: np.ndarray, y: np.ndarray, slope: float) -> np.ndarray:
    """The power law of a slope through the middle of the points, on logarithmic axes."""
    return np.exp(np.mean(np.log(y)) - slope * np.mean(np.log(x))) * x**slope


# -- all layers -----------------------------------------------------------------------------------


def alpha_by_layer(alpha: Mapping[str, np.ndarray], moments: Sequence[int]) -> None:
    """The exponent alpha of every layer, at each moment of training.

    Args:
        alpha: layer -> (moments, seeds), or (1, seeds) where only the trained network is known.
        moments: steps of training.
    """
    figure, ax = plots.new_figure(width=8.4, height=4.2)
    _by_layer(ax, alpha, moments, "exponent $\\alpha$")
    for height in (2, 1):
        ax.axhline(height, color=plots.GREY, linestyle=DOTS, linewidth=1)
    ax.legend(frameon=False, fontsize=9, ncols=5, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    conv, query, up = (alpha[name] for name in ("conv 1", "query", "up"))
    plots.show(
        figure,
        f"Most exponents lie between 1 and 2. The first convolution has {conv.min():.1f} to "
        f"{conv.max():.1f}, attention's query {query.min():.1f} to {query.max():.1f}, the MLP's "
        f"up {up.min():.2f} to {up.max():.2f}. Bars reach from the smallest to the largest of "
        "three seeds; last layers move most with time.",
    )


def gamma_and_s_by_layer(
    gamma: Mapping[str, np.ndarray], s: Mapping[str, np.ndarray], moments: Sequence[int]
) -> None:
    """How fast singular values (left) and curvatures (right) fall, for every layer.

    Args:
        gamma: layer -> (moments, seeds), or (1, seeds) where only the trained network is known.
        s: the same of s.
        moments: steps of training.
    """
    figure, (left, right) = plots.new_figure(2, width=5.4, height=4.0)
    _by_layer(left, gamma, moments, "exponent $\\gamma$")
    _by_layer(right, s, moments, "exponent $s$")
    right.legend(frameon=False, fontsize=8, loc="upper right")
    g, c = (np.concatenate([v.ravel() for v in values.values()]) for values in (gamma, s))
    plots.show(
        figure,
        f"Left: the gradient's modes fall with exponents from {g.min():.1f} to {g.max():.1f}. "
        f"Right: curvature falls with {c.min():.1f} to {c.max():.1f}. The transformer's 16 leading "
        "modes fall most slowly; the MLPs' and the CNN's fits include their weakest modes, which "
        "fall steeply.",
    )


def _by_layer(
    ax: Axes, values: Mapping[str, np.ndarray], moments: Sequence[int], ylabel: str
) -> None:
    """Mean over seeds, with a bar from the smallest to the largest; a marker for each moment."""
    rows = list(values.values())
    trained = [i for i, runs in enumerate(rows) if len(runs) == 1]
    moving = [i for i, runs in enumerate(rows) if len(runs) > 1]
    colours = (plots.SKY, plots.BLUE, plots.GREEN, plots.BLACK, plots.VERMILLION)
    labels = [*(f"step {step}" for step in moments), "trained"]
    for j, (label, colour, marker) in enumerate(zip(labels, colours, "os^Dv", strict=True)):
        last = label == "trained"
        there = np.array(trained if last else moving)
        seeds = np.array([rows[i][0 if last else j] for i in there])  # (layers, seeds)
        mean, shift = seeds.mean(1), 0 if last else 0.18 * (j - 1.5)
        bars = [mean - seeds.min(1), seeds.max(1) - mean]
        look: dict = {"fmt": marker, "color": colour, "markersize": 4, "linewidth": 1.2}
        ax.errorbar(there + shift, mean, bars, label=label, **look)
    for border in (2.5, 5.5, 8.5):
        ax.axvline(border, color=plots.GREY, linewidth=0.5)
    ax.set_xticks(range(len(rows)), list(values), rotation=60, ha="right", fontsize=9)
    ax.set_ylabel(ylabel)


# -- the triangle and its controls ----------------------------------------------------------------


def triangles(error: Mapping[str, np.ndarray], ceiling: Mapping[str, np.ndarray]) -> None:
    """The error of the triangle for real layers and for lists that do not belong together.

    Args:
        error: name of a kind of lists -> (L,), |s - alpha gamma| / |s| of each layer.
        ceiling: the same name -> (L,), what it can't exceed.
    """
    figure, ax = plots.new_figure(width=7.6, height=3.6)
    above: dict = {"linestyle": "none", "zorder": 3}  # the dots
    middle = {"color": plots.BLACK, "marker": "D", "markersize": 9, **above}
    most = {"color": plots.VERMILLION, "marker": "|", "markersize": 18, **above}
    most["markeredgewidth"] = 2.5
    for i, name in enumerate(error):
        named = ("one layer", "median", "median ceiling") if i == 0 else (None, None, None)
        jitter = 0.22 * np.linspace(-1, 1, len(error[name]))
        small = {"color": plots.SKY, "markersize": 2.5, "label": named[0]}
        ax.plot(100 * error[name], i + jitter, "o", **small)
        centre, lid = (100 * np.median(values[name]) for values in (error, ceiling))
        plots.curve(ax, [centre], [i], "", label=named[1], **middle)
        plots.curve(ax, [lid], [i], "", label=named[2], **most)
    ax.set(xscale="log", xlim=(0.1, 200), yticks=range(len(error)))
    ax.set_xlabel("|s - αγ| / s, in percent")
    ax.set_yticklabels(list(error))
    ax.set_xticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    ax.invert_yaxis()
    ax.legend(frameon=False, fontsize=9, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    medians = ", ".join(f"{name} {100 * np.median(v):.1f} %" for name, v in error.items())
    plots.show(
        figure,
        f"Median errors: {medians}. For the same layer the ceiling alone forces the error below "
        f"{100 * np.median(ceiling['same layer']):.0f} % in half of the cases.",
    )


def participation(nets: Sequence[str], counted: np.ndarray, bound: np.ndarray) -> None:
    """The participation ratio of every layer against its bound; above the line it is broken.

    Args:
        nets: (L,), the network of each layer.
        counted: (L,), participation ratios.
        bound: (L,), infinite where it says nothing.
    """
    figure, ax = plots.new_figure(width=6.0, height=4.2)
    binding, above = np.isfinite(bound), counted > bound
    looks = zip("os^v", (plots.BLUE, plots.ORANGE, plots.GREEN, plots.VERMILLION), strict=True)
    for net, (marker, colour) in zip(dict.fromkeys(nets), looks, strict=True):
        own = (np.array(nets) == net) & binding
        look = {"color": colour, "markersize": 5, "alpha": 0.8, "markeredgewidth": 0}
        ax.plot(bound[own].clip(max=30), counted[own], marker, label=net, **look)
    ends = np.array([1, 30])
    ax.plot(ends, ends, color=plots.BLACK, linewidth=1)
    ax.text(10, 10.5, "bound", rotation=45, rotation_mode="anchor", transform_rotates_text=True)
    xlabel = "bound $\\zeta(p)^2/\\zeta(2p)$ at $p = \\alpha\\gamma$"
    plots.log_log(ax, xlabel, "participation ratio", "")
    ax.set_xticks([1, 2, 5, 10, 30], ["1", "2", "5", "10", "30 or more"])
    ax.set_yticks([1, 2, 5, 10], ["1", "2", "5", "10"])
    ax.set_ylim(0.9, 16)
    ax.minorticks_off()
    ax.legend(frameon=False, fontsize=9, loc="lower right")
    plots.show(
        figure,
        f"{above[binding].mean():.0%} of the layers that the bound speaks about lie above the "
        f"line and break it (it is silent for {(~binding).sum()} more, where p is at most 1). The "
        f"median participation ratio is {np.median(counted):.1f} modes, the largest "
        f"{counted.max():.1f}.",
    )


# -- the race -------------------------------------------------------------------------------------


def race(test_losses: Mapping[str, np.ndarray]) -> None:
    """The test loss of each optimiser at its best rate: a mark for each seed, a bar for the mean.

    Args:
        test_losses: AdamW, SGD, Spectral Newton twice, the UV' limit -> (5,), one for each seed.
    """
    figure, ax = plots.new_figure(width=7.6, height=3.2)
    colours = (plots.BLUE, plots.GREEN, plots.ORANGE, plots.VERMILLION, plots.BLACK)
    looks = zip("os^vD", colours, strict=True)
    for i, (test, (marker, colour)) in enumerate(zip(test_losses.values(), looks, strict=True)):
        ax.plot(test, i + np.linspace(-0.15, 0.15, 5), marker, color=colour, markersize=6)
        ax.plot([test.mean()] * 2, [i - 0.32, i + 0.32], color=colour, linewidth=2)
    ax.set(yticks=range(len(test_losses)), xlabel="test loss after 100 steps", xlim=(0, None))
    ax.set_yticklabels(list(test_losses))
    ax.invert_yaxis()
    adamw, _, fixed, relative, limit = (test.mean() for test in test_losses.values())
    plots.show(
        figure,
        f"Each mark is one of five seeds, each bar their mean. AdamW ends at {adamw:.2f}, "
        f"Spectral Newton at {fixed:.2f} with fixed and {relative:.2f} with relative damping, the "
        f"UV' limit at {limit:.2f}.",
    )


# -- exercises ------------------------------------------------------------------------------------


def fitted_lists(sigma: np.ndarray, h: np.ndarray, slopes: tuple[float, float, float]) -> None:
    """Singular values and curvatures over their rank, with the learner's lines.

    Args:
        sigma: (16,), singular values.
        h: (16,), curvatures; those not above zero are missing.
        slopes: alpha, gamma and s, as the learner fitted them.
    """
    figure, ax = plots.new_figure(width=5.4)
    k, kept, (alpha, gamma, s) = np.arange(1, 17.0), h > 0, slopes
    lists = ((sigma, -gamma, "top", "$\\sigma$"), (h, -s, "random", "$h$"))
    for values, slope, look, name in lists:
        shown = np.where(values > 0, values, np.nan)
        plots.curve(ax, k, shown, look, linestyle="none", label=name)
        height = np.exp(np.mean(np.log(values[kept]) - slope * np.log(k[kept])))
        line = {"linestyle": "-", "marker": None, "label": f"slope {slope:.2f}"}
        plots.curve(ax, k, height * k**slope, look, **line)
    labels = ("rank k", "singular value, curvature", "Exercise 2")
    plots.log_log(ax, *labels, ticks=(1, 2, 4, 8, 16))
    ax.legend(frameon=False, fontsize=8)
    plots.show(
        figure,
        f"Your lines have slopes {-gamma:.2f} and {-s:.2f}; alpha is {alpha:.2f}. {(~kept).sum()} "
        "of the curvatures are negative and missing from all fits.",
    )
