"""The pictures of notebook 08: a gradient, its modes and slopes, an exercise."""

import numpy as np
from torch import Tensor

from landscape_nb.figures import plots
from landscape_nb.figures.scales import colours_of
from landscape_nb.theory.layers import Exponents

DOTS = (0, (1, 2))

# -- one layer ------------------------------------------------------------------------------------


def gradient_and_its_rows(G: Tensor) -> None:
    """A gradient as a table of colours, and eight of its rows as pictures of 8 x 8 pixels.

    Args:
        G: (32, 64), the gradient of a layer with 64 pixels as inputs.
    """
    figure, axes = plots.new_figure(9, width=1.25, height=3.2)
    for ax in axes:
        ax.remove()
    grid = figure.add_gridspec(2, 7)
    left = figure.add_subplot(grid[:, :3])
    rows = G.abs().amax(1).argsort(descending=True)[:8].sort().values
    scale = float(G.abs().max())
    look = {"vmin": -scale, "vmax": scale}
    left.imshow(G, aspect="auto", cmap=colours_of("gradient"), **look)
    left.set(title="gradient G, 32 x 64", xlabel="input (pixel)", ylabel="output (unit)")
    for i, row in enumerate(rows.tolist()):
        ax = figure.add_subplot(grid[i // 4, 3 + i % 4])
        ax.imshow(G[row].reshape(8, 8), cmap=colours_of("gradient"), **look)
        ax.set(xticks=[], yticks=[])
        ax.set_title(f"unit {row + 1}", fontsize=9)
    plots.show(
        figure,
        "Left, every row is a hidden unit. Right, the eight rows with the largest entries, each "
        "laid out as a picture of 8 x 8 pixels. Purple and orange are the signs; white is zero.",
    )


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
        image = ax.imshow(table, cmap=colours_of("gradient"), vmin=-scale, vmax=scale)
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
        "around the lines and do not scatter at random: a power law describes them roughly. A "
        "fit's own standard error supposes random scatter, so it is too small.",
    )


def _line(x: np.ndarray, y: np.ndarray, slope: float) -> np.ndarray:
    """The power law of a slope through the middle of the points, on logarithmic axes."""
    return np.exp(np.mean(np.log(y)) - slope * np.mean(np.log(x))) * x**slope


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
