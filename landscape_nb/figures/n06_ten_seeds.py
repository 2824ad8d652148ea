"""More pictures of notebook 06, of its stored studies: intervals over ten seeds and more."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from landscape_nb.figures import plots
from landscape_nb.theory.intervals import Measured

LINES = (
    (plots.BLUE, "o", "-"),
    (plots.ORANGE, "s", "--"),
    (plots.GREEN, "^", ":"),
    (plots.PURPLE, "D", "-."),
)
PARTS = {
    "right": (plots.GREY, "", "means, right output"),
    "class": (plots.BLUE, "///", "means of classes"),
    "cross": (plots.SKY, "...", "means, class and wrong output"),
    "within": (plots.ORANGE, "xx", "single samples around the means"),
    "rest": ("white", "\\\\", "R: no part of G"),
}


def _points(ax: Axes, x: ArrayLike, found: Sequence[Measured], look: tuple, label: str) -> None:
    """Values with their intervals."""
    colour, marker, dash = look
    value = np.array([f.value for f in found])
    ends = np.abs(np.array([[f.low, f.high] for f in found]) - value[:, None]).T
    ax.errorbar(
        x, value, ends, color=colour, marker=marker, linestyle=dash, capsize=3, markersize=5,
        linewidth=1.2, label=label,
    )  # fmt: skip


def other_data(factors: Mapping[str, Mapping[str, Mapping[str, Measured]]]) -> None:
    """By which factor outliers and bulk change when the data change, or the width.

    Args:
        factors: title of a panel -> name of a quantity -> name of a change -> the factor.
    """
    figure, axes = plots.new_figure(len(factors), width=5.0, height=4.0)
    for ax, (title, quantities) in zip(axes, factors.items(), strict=True):
        for j, ((name, changes), look) in enumerate(zip(quantities.items(), LINES, strict=False)):
            x = np.arange(len(changes)) + 0.16 * (j - (len(quantities) - 1) / 2)
            _points(ax, x, list(changes.values()), (*look[:2], ""), name)
        ax.axhline(1, color=plots.GREY, linewidth=0.8)
        ax.set_xticks(range(len(changes)), list(changes), fontsize=8)
        ax.set(yscale="log", ylabel="after the change / before")
        ax.set_title(title, fontsize=10)
        plots.plain_digits(ax)
    axes[0].legend(frameon=False, fontsize=8)
    told = [f"{title}: {_factors_in_words(quantities)}" for title, quantities in factors.items()]
    plots.show(figure, f"Factors with 95 % intervals, ten paired seeds. {'. '.join(told)}.")


def _factors_in_words(quantities: Mapping[str, Mapping[str, Measured]]) -> str:
    """The first two quantities, change by change."""
    (first, top), (second, edge) = list(quantities.items())[:2]
    first = first.replace("$\\lambda_1$", "lambda_1")
    return "; ".join(
        f"{change}, {first} x {top[change]}, {second} x {edge[change]}".replace("\n", " ")
        for change in top
    )


def who_carries(
    shares: Mapping[str, Mapping[str, Measured]], overlaps: Mapping[str, Mapping[str, Measured]]
) -> None:
    """Left, what the ten largest eigenvalues consist of; right, whose subspace is near theirs.

    Args:
        shares: kind of pictures -> part of the Hessian -> its share, sum 1.
        overlaps: the same kinds -> matrix -> overlap of its top ten eigenvectors with H's.
    """
    figure, (left, right) = plots.new_figure(2, width=5.0, height=3.8)
    base = np.zeros(len(shares))
    for part, (colour, hatch, label) in PARTS.items():
        heights = np.array([found[part].value for found in shares.values()])
        left.bar(
            range(len(shares)), heights, 0.6, base, color=colour, hatch=hatch,
            edgecolor=plots.BLACK, linewidth=0.5, label=label,
        )  # fmt: skip
        base += heights
    left.set_xticks(range(len(shares)), list(shares))
    left.set(ylabel="share of the ten largest", xlim=(-0.6, len(shares) + 1.4))
    left.legend(frameon=False, fontsize=7, loc="center right")
    for (kind, found), look in zip(overlaps.items(), LINES, strict=False):
        _points(right, range(len(found)), list(found.values()), (*look[:2], ""), kind)
    right.set_xticks(range(len(found)), list(found), fontsize=8)
    right.set(ylim=(0, 1.02), ylabel="overlap with H's top ten")
    right.legend(frameon=False, fontsize=8, loc="lower left")
    kind, parts = next(iter(shares.items()))
    told = ", ".join(f"{PARTS[part][2]} {share}" for part, share in parts.items())
    near = ", ".join(f"{name} {value}" for name, value in overlaps[kind].items())
    near = near.replace("\n", " ")
    plots.show(figure, f"{kind}: shares {told}. Overlaps: {near}. Ten seeds, 95 % intervals.")


def hits_along_training(
    steps: Sequence[int], hits: Mapping[str, Sequence[Measured]], chance: float
) -> None:
    """How often the largest gap comes at K - 1 or K, by kind of data, along training."""
    figure, ax = plots.new_figure(width=5.6)
    for j, ((kind, found), look) in enumerate(zip(hits.items(), LINES, strict=False)):
        _points(ax, np.array(steps) * 1.06 ** (j - 1), found, look, kind)
    ax.axhline(chance, color=plots.GREY, linewidth=0.9, linestyle=(0, (1, 2)))
    ax.text(steps[1] * 1.3, chance - 0.05, "chance", color=plots.GREY, fontsize=8)
    ax.set(xscale="log", xlabel="step of training", ylabel="share of 20 runs", ylim=(-0.02, 1.02))
    ax.set_xticks(steps, [str(step) for step in steps])
    ax.minorticks_off()
    ax.set_title("Largest gap at K - 1 or K", fontsize=10)
    ax.legend(frameon=False, fontsize=8)
    told = "; ".join(
        f"{kind} {', '.join(f'{share.value:.2f}' for share in found)}"
        for kind, found in hits.items()
    )
    plots.show(
        figure,
        f"Shares at steps {', '.join(map(str, steps))}: {told}; a blind guess {chance:.2f}. Bars: "
        "95 % intervals of a share.",
    )


def barriers_of_many(ends: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """The barrier of every run, by the way to the second end point.

    Args:
        ends: way -> "training" and "held-out" -> barriers, (R,).
    """
    figure, ax = plots.new_figure(width=5.6, height=3.2)
    jitter = np.linspace(-0.12, 0.12, len(next(iter(ends.values()))["training"]))
    for i, parts in enumerate(ends.values()):
        for part, shift, look in zip(parts, (-0.18, 0.18), LINES, strict=False):
            label = part if i == 0 else None
            ax.plot(i + shift + jitter, parts[part], look[1], color=look[0], ms=4, label=label)
    ax.set_xticks(range(len(ends)), list(ends))
    ax.set(ylabel="barrier [loss]", xlim=(-0.5, len(ends) - 0.5))
    ax.legend(frameon=False, fontsize=8, loc="upper left")
    told = "; ".join(
        f"{way} {parts['training'].min():.2f} to {parts['training'].max():.2f}"
        for way, parts in ends.items()
    )
    plots.show(figure, f"Every dot is a run, {len(jitter)} for each way. Training loss: {told}.")
