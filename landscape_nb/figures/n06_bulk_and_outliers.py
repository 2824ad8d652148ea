"""The pictures of notebook 06, Bulk and outliers."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from landscape_nb.figures import plots

DIGITS = {"color": plots.BLUE, "marker": "o"}
BLOBS = {"color": plots.ORANGE, "marker": "s", "linestyle": "--"}
DOTTED = {"color": plots.GREY, "linewidth": 0.9, "linestyle": (0, (1, 2))}


def _sorted(ax: Axes, values: np.ndarray, label: str, look: Mapping) -> None:
    """Every eigenvalue at its rank."""
    ax.plot(np.arange(1, len(values) + 1), values, markersize=4, linewidth=1, label=label, **look)
    ax.axhline(0, color=plots.GREY, linewidth=0.8)
    ax.set(xscale="log", xlabel="rank (1 is the largest)", ylabel="eigenvalue")


def _over_width(ax: Axes, kind: str, widths: Sequence[int]) -> None:
    """The horizontal axis of a panel that follows one kind of data over the width."""
    ax.set(xscale="log", xticks=widths, xticklabels=widths, xlabel="width")
    ax.minorticks_off()
    ax.set_title(kind.capitalize(), fontsize=10)


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


def _for_each_cut(
    widths: Sequence[int], cuts: Sequence[float], runs: Mapping[str, np.ndarray]
) -> tuple:
    """A panel for each kind of data with a line for each cut; runs are (seed, width, cut)."""
    figure, axes = plots.new_figure(2, width=4.4)
    for ax, (kind, numbers) in zip(axes, runs.items(), strict=True):
        for j, look in enumerate(("top", "random")):
            plots.spread(ax, widths, numbers[:, :, j], look, label=f"c = {cuts[j]:g}")
        _over_width(ax, kind, widths)
    axes[0].legend(frameon=False)
    return figure, axes


def share_near_zero(
    widths: Sequence[int], cuts: Sequence[float], near: Mapping[str, np.ndarray]
) -> None:
    """Share of eigenvalues near zero over the width, by two cuts, for two kinds of data.

    Args:
        widths: numbers of hidden units, (W,).
        cuts: two multiples of the largest eigenvalue, below which "near zero" begins.
        near: "digits" and "blobs" -> shares, (R, W, 2).
    """
    figure, axes = _for_each_cut(widths, cuts, near)
    for ax in axes:
        ax.set(ylim=(0, 1.02), ylabel="share of eigenvalues near zero")
    digits, blobs = near["digits"].mean(0), near["blobs"].mean(0)
    plots.show(
        figure,
        "Both lines rise with the width, on both kinds of data. Digits, mean of three seeds: "
        f"{digits[0, 0]:.2f} to {digits[-1, 0]:.2f} with the coarse cut, "
        f"{digits[0, 1]:.2f} to {digits[-1, 1]:.2f} with the fine one. Blobs: "
        f"{blobs[0, 0]:.2f} to {blobs[-1, 0]:.2f} and {blobs[0, 1]:.2f} to {blobs[-1, 1]:.2f}.",
    )


def number_of_others(
    widths: Sequence[int],
    cuts: Sequence[float],
    away: Mapping[str, np.ndarray],
    sizes: Mapping[str, Sequence[int]],
) -> None:
    """Number of eigenvalues away from zero over the width, beside a line as steep as N.

    Args:
        widths: numbers of hidden units, (W,).
        cuts: the two cuts of `share_near_zero`.
        away: "digits" and "blobs" -> numbers of eigenvalues, (R, W, 2).
        sizes: "digits" and "blobs" -> numbers of parameters N, (W,).
    """
    figure, axes = _for_each_cut(widths, cuts, away)
    for ax, numbers in zip(axes, away.values(), strict=True):
        plots.power_law_guide(ax, widths, numbers[:, 0, 1].mean() * 1.5, 1, "as fast as N")
        ax.set(yscale="log", ylim=(20, 3000), ylabel="number of other eigenvalues")
    grown = {kind: (numbers[:, -1] / numbers[:, 0]).mean(0) for kind, numbers in away.items()}
    N = {kind: numbers[-1] / numbers[0] for kind, numbers in sizes.items()}
    plots.show(
        figure,
        "With the fine cut the number of other eigenvalues keeps growing: "
        f"{grown['digits'][1]:.1f}-fold on digits while N grows {N['digits']:.0f}-fold, "
        f"{grown['blobs'][1]:.1f}-fold on blobs while N grows {N['blobs']:.0f}-fold. With the "
        f"coarse cut it grows {grown['digits'][0]:.1f}-fold and {grown['blobs'][0]:.1f}-fold.",
    )


def gaps_and_classes(
    leading: Mapping[str, np.ndarray],
    steps: Sequence[int],
    hits: Mapping[str, ArrayLike],
    chance: float,
) -> None:
    """Left, the leading eigenvalues of four classes; right, how often the gap is at K - 1 or K.

    Args:
        leading: kind of data -> its 12 largest eigenvalues, (12,).
        steps: of training, (S,).
        hits: kind of data -> runs out of 6 at each step, (S,).
        chance: hits by a blind guess.
    """
    figure, (left, right) = plots.new_figure(2, width=4.6)
    for (kind, values), look in zip(leading.items(), ("random", "top", "bottom"), strict=True):
        plots.curve(left, range(1, 13), values / values[0], look, label=kind)
        plots.curve(right, steps, hits[kind], look, label=kind)
    left.axvspan(3, 5, color=plots.GREY, alpha=0.2, lw=0)
    left.set(yscale="log", xticks=range(1, 13), xlabel="i", ylabel="$\\lambda_i\\,/\\,\\lambda_1$")
    left.set_title("Four classes, step 20, seed 0", fontsize=10)
    left.legend(frameon=False, loc="lower left")
    right.axhline(chance, **DOTTED)
    right.text(37, chance - 0.3, "chance", color=plots.GREY, fontsize=8)
    right.set(xscale="log", xticks=steps, xticklabels=steps, ylim=(-0.2, 6.3))
    right.set(xlabel="step of training", ylabel="hits in 6 runs")
    right.set_title("Largest gap at K - 1 or K", fontsize=10)
    right.minorticks_off()
    told = [f"{kind} {', '.join(map(str, np.asarray(found)))}" for kind, found in hits.items()]
    plots.show(
        figure,
        "Left: a gap at K - 1 or K is a piece inside the grey that is steeper than all others. "
        f"Right: hits of 6 at the three steps, {'; '.join(told)}.",
    )


def gaps_and_width(
    leading: Mapping[bool, np.ndarray], widths: Sequence[int], places: Mapping[bool, np.ndarray]
) -> None:
    """Left, leading eigenvalues of digits with and without the mean picture; right, their gaps.

    Args:
        leading: is the mean subtracted? -> the 16 largest eigenvalues, (16,).
        widths: numbers of hidden units, (W,).
        places: is the mean subtracted? -> place of the largest gap, (R, W).
    """
    figure, (left, right) = plots.new_figure(2, width=4.6)
    for centred, look, name in ((False, "top", "as they are"), (True, "random", "mean subtracted")):
        values = leading[centred]
        plots.curve(left, range(1, 17), values / values[0], look, label=name)
        for run, found in enumerate(places[centred]):
            plots.curve(right, np.array(widths) + 0.25 * (run - 1), found, look, linestyle="")
    right.plot([3, 17], [3, 17], **DOTTED)
    right.text(12, 13, "gap at the width", color=plots.GREY, fontsize=8, ha="right")
    left.set(yscale="log", xlabel="i", ylabel="$\\lambda_i\\,/\\,\\lambda_1$")
    left.set_title("Digits, ten classes, width 8, step 30", fontsize=10)
    left.legend(frameon=False, loc="lower left")
    right.set(xlabel="width", ylabel="place of the largest gap", xticks=widths, ylim=(0, 20))
    right.set_title("Three widths, three seeds", fontsize=10)
    at_width = {centred: (found == widths).sum() for centred, found in places.items()}
    plots.show(
        figure,
        "The largest gap comes exactly at the number of hidden units in "
        f"{at_width[False]} of 9 runs with the digits as they are, and in {at_width[True]} of 9 "
        "with the mean picture subtracted.",
    )


def largest_eigenvalues(
    widths: Sequence[int],
    top: Mapping[str, np.ndarray],
    factor: Mapping[str, np.ndarray],
    level: float,
) -> None:
    """The largest eigenvalue over the width, after the same steps and at the same loss.

    Args:
        widths: numbers of hidden units, (W,).
        top: "digits" and "blobs" -> eigenvalues after the same steps, at the same loss, (R, W, 2).
        factor: the same kinds -> largest over smallest of the widths, (R, 2).
        level: the loss at which networks are compared.
    """
    figure, axes = plots.new_figure(2, width=4.4)
    for ax, (kind, values) in zip(axes, top.items(), strict=True):
        plots.spread(ax, widths, values[:, :, 0], "top", label="after 100 steps")
        plots.spread(ax, widths, values[:, :, 1], "random", label=f"at loss {level}")
        _over_width(ax, kind, widths)
        ax.set(ylim=(0, 5), ylabel="largest eigenvalue")
    axes[0].legend(frameon=False)
    steps, loss = (
        {kind: f"{f[:, j].min():.1f} to {f[:, j].max():.1f}" for kind, f in factor.items()}
        for j in (0, 1)
    )
    plots.show(
        figure,
        "Largest over smallest of the four widths, three seeds. Digits: a factor of "
        f"{steps['digits']} after the same steps, {loss['digits']} at the same loss. Blobs: "
        f"{steps['blobs']}, and {loss['blobs']}.",
    )


Run = tuple[str, int, str, str]  # kind of data, seed, end point, part of the samples


def lines_between(
    t: ArrayLike, lines: Mapping[Run, ArrayLike], barriers: Mapping[str, Sequence[float]]
) -> None:
    """The loss on straight lines from A to two kinds of B, one panel for each kind of data.

    Args:
        t: positions on the line, A at 0 and B at 1, (T,).
        lines: (kind, seed, "continued" or "independent", "training" or "held-out") -> loss, (T,).
        barriers: of the training loss, "continued" and "independent" -> one for each run.
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
    told = {name: f"{min(found):.2f} to {max(found):.2f}" for name, found in barriers.items()}
    plots.show(
        figure,
        "Three seeds each. From A to the continued B the loss only slides; from A to the "
        "independent B it climbs a hill. Barriers of the training loss: "
        f"{told['continued']} and {told['independent']}.",
    )


def step_of_training(
    step: int, loss: float, values: np.ndarray, place: int, gap: float, close: float, reach: float
) -> tuple[bytes, str]:
    """Picture and sentence of one state of the slider: the spectrum at one step.

    Args:
        step: of training.
        loss: the training loss there.
        values: all eigenvalues, the largest first.
        place: after how many of them the largest gap comes.
        gap: the ratio across it.
        close: share of eigenvalues within a hundredth of the largest around zero.
        reach: the largest eigenvalue of all states, which sets the axis.
    """
    figure, ax = plots.new_figure(width=5.6)
    _sorted(ax, values, "digits", DIGITS)
    ax.axvline(place + 0.5, color=plots.VERMILLION, linewidth=1, linestyle="--")
    ax.text(place + 0.7, 0.95 * reach, "largest gap", color=plots.VERMILLION, fontsize=9)
    ax.set(ylim=(-0.3 * reach, 1.05 * reach), title=f"Step {step}, training loss {loss:.2f}")
    return plots.to_png(figure), (
        f"Step {step}: training loss {loss:.2f}, largest eigenvalue {values[0]:.2f}, smallest "
        f"{values[-1]:.3f}. The largest gap comes after number {place} (ratio {gap:.1f}, dashed), "
        f"and {close:.0%} of the eigenvalues are within a hundredth of the largest around zero."
    )


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
