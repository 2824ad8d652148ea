"""The pictures of notebook 06, Bulk and outliers."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from landscape_nb.figures import plots

DIGITS = {"color": plots.BLUE, "marker": "o"}
BLOBS = {"color": plots.ORANGE, "marker": "s", "linestyle": "--"}


def _sorted(ax: Axes, values: np.ndarray, label: str, look: Mapping) -> None:
    """Every eigenvalue at its rank."""
    ax.plot(np.arange(1, len(values) + 1), values, markersize=4, linewidth=1, label=label, **look)
    ax.axhline(0, color=plots.GREY, linewidth=0.8)
    ax.set(xscale="log", xlabel="rank (1 is the largest)", ylabel="eigenvalue")


def two_spectra(digits: np.ndarray, blobs: np.ndarray) -> None:
    """Left, the eigenvalues of two networks, sorted; right, a histogram of the first one's.

    Args:
        digits: all 610, the largest first.
        blobs: all 124, the largest first.
    """
    figure, (left, right) = plots.new_figure(2, width=4.6)
    _sorted(left, digits, "digits, N = 610", DIGITS)
    _sorted(left, blobs, "blobs, N = 124", BLOBS)
    left.legend(frameon=False)
    left.set_title("Every eigenvalue, sorted", fontsize=10)
    bins = (np.arange(-2, 43) - 0.5) * digits[0] / 40  # one of them is centred on zero
    right.hist(digits, bins, color=plots.BLUE, edgecolor="white", log=True)
    right.set(xlabel="eigenvalue", ylabel="how many", ylim=(0.7, 1000))
    right.set_title("How many of each size, digits", fontsize=10)
    plots.show(
        figure,
        "A few large eigenvalues, then a long tail at zero. Digits: the largest is "
        f"{digits[0]:.2f}, {(digits > 0.1 * digits[0]).sum()} of 610 exceed a tenth of it, and "
        f"{(abs(digits) < 0.01 * digits[0]).sum()} lie within a hundredth of it around zero, one "
        f"tall bar on the right. The smallest is {digits[-1]:.3f}.",
    )


def sharpest_and_flattest(t: ArrayLike, walks: Mapping[str, Sequence[float]]) -> None:
    """The loss on two straight ways away from the trained weights.

    Args:
        t: distance from them along each direction, (T,).
        walks: "sharpest" and "flattest" -> loss, (T,).
    """
    figure, ax = plots.new_figure(width=6)
    looks = {"sharpest": ("top", "-"), "flattest": ("random", "--")}
    for direction, heights in walks.items():
        name, dash = looks[direction]
        plots.curve(ax, t, heights, name, marker=None, linestyle=dash, label=direction)
    ax.set(xlabel="distance from the trained weights", ylabel="training loss", ylim=(0, None))
    ax.legend(frameon=False)
    rises = {direction: max(heights) for direction, heights in walks.items()}
    plots.show(
        figure,
        f"Both ways start at a loss of {walks['sharpest'][len(walks['sharpest']) // 2]:.2f}. Along "
        f"the sharpest direction it climbs to {rises['sharpest']:.2f}, along the flattest to "
        f"{rises['flattest']:.2f}.",
    )


Run = tuple[str, int, str, str]  # kind of data, seed, end point, part of the samples


def lines_between(t: ArrayLike, lines: Mapping[Run, ArrayLike]) -> None:
    """The loss on straight lines from A to two kinds of B, one panel for each kind of data.

    Args:
        t: positions on the line, A at 0 and B at 1, (T,).
        lines: (kind, seed, "continued" or "independent", "training" or "held-out") -> loss, (T,).
    """
    figure, axes = plots.new_figure(2, width=4.6)
    panels = dict(zip(dict.fromkeys(kind for kind, *_ in lines), axes, strict=True))
    looks = {"continued": ("top", plots.BLUE), "independent": ("random", plots.ORANGE)}
    for (kind, seed, name, part), heights in lines.items():
        look, colour = looks[name]
        style = {"color": colour, "linewidth": 1.2, "markersize": 3.5, "markevery": 5}
        dash, label = "-" if part == "training" else ":", f"{name}, {part}" if seed == 0 else None
        plots.curve(panels[kind], t, heights, look, linestyle=dash, label=label, **style)
    for kind, ax in panels.items():
        ax.set(xlabel="t (A at 0, B at 1)", ylabel="loss", ylim=(0, 2))
        ax.set_title(kind.capitalize(), fontsize=10)
    axes[0].legend(frameon=False, fontsize=8, loc="upper left")
    hills = {
        way: [
            _barrier(t, v)
            for (*_, name, part), v in lines.items()
            if (name, part) == (way, "training")
        ]
        for way in looks
    }
    told = {name: f"{min(found):.2f} to {max(found):.2f}" for name, found in hills.items()}
    plots.show(
        figure,
        "Three seeds each. From A to the continued B the loss only slides; from A to the "
        "independent B it climbs a hill. Barriers of the training loss: "
        f"{told['continued']} and {told['independent']}.",
    )


def _barrier(t: ArrayLike, heights: ArrayLike) -> float:
    """The largest height above the chord from t = 0 to t = 1."""
    s, v = np.asarray(t), np.asarray(heights)
    between = (s > -1e-9) & (s < 1 + 1e-9)
    s, v = s[between], v[between]
    return float((v - (1 - s) * v[0] - s * v[-1]).max())


def step_of_training(
    step: int,
    values: np.ndarray,
    found: Mapping[str, float],
    curve: tuple[Sequence[int], Sequence[float]],
    reach: tuple[float, float],
) -> bytes:
    """The spectrum at one step of training, and the loss over all steps, as PNG.

    Args:
        step: of training.
        values: all eigenvalues, the largest first.
        found: "place": after how many of them the largest gap comes; "band": half the height of
            what counts as close to zero; "loss" there.
        curve: steps and training losses.
        reach: the largest and the smallest eigenvalue of all steps, which set the axis.
    """
    figure, (left, right) = plots.new_figure(2, width=5.0)
    left.axhspan(-found["band"], found["band"], color="#D5D9DF")
    _sorted(left, values, "digits", {**DIGITS, "linestyle": "none"})
    left.axvline(found["place"] + 0.5, color=plots.VERMILLION, linewidth=1, linestyle="--")
    left.set_yscale("asinh", linear_width=10 ** np.floor(np.log10(0.01 * reach[0])), base=10)
    left.set(ylim=(2 * min(reach[1], -0.01 * reach[0]), 1.6 * reach[0]))
    left.set_title(f"Step {step} (dashed: largest gap; shaded: near zero)", fontsize=10)
    plots.curve(right, *curve, "loss", color=plots.GREY, marker=None)
    right.plot([step], [found["loss"]], "D", color=plots.BLUE, markersize=8)
    right.set(xlabel="step", ylabel="training loss", ylim=(0, None))
    return plots.still(figure)


def hill_to_the_twin(t: ArrayLike, heights: np.ndarray) -> None:
    """Exercise 4: the training loss on the line to the twin, above its start.

    Args:
        t: positions on the line, the original at 0 and the twin at 1, (T,).
        heights: the loss there minus the loss at the original, (T,).
    """
    figure, ax = plots.new_figure(width=5)
    plots.curve(ax, t, heights, "top", marker=None)
    ax.set(xlabel="t (original at 0, twin at 1)", ylabel="training loss above its start")
    plots.show(
        figure,
        f"Both ends are equally low. In between the loss climbs by {heights.max():.2f}.",
    )
