"""Pictures of notebook 02 from stored seeds: batch sizes, and what flatness predicts."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import NullFormatter

from landscape_nb.figures import plots
from landscape_nb.theory.intervals import Measured

# Colour and marker of the groups of recipes, and of the comparisons, in order.
LOOKS = ((plots.BLUE, "o"), (plots.ORANGE, "s"), (plots.GREEN, "^"), (plots.VERMILLION, "D"))


def pairs_of_batches(cases: Mapping[str, np.ndarray], ratios: Mapping[str, Measured]) -> None:
    """The sharpness after training with small batches and with all samples, seed by seed.

    Args:
        cases: name of a comparison -> (seeds, 2), sharpness with batches of 5 and of 100; nan
            where a run did not come so far.
        ratios: name -> full over small, with its interval.
    """
    figure, ax = plots.new_figure(width=7.4)
    for i, (name, pairs) in enumerate(cases.items()):
        colour, marker = LOOKS[i]
        ax.plot([i - 0.2, i + 0.2], pairs.T, color=colour, marker=marker, markersize=4, alpha=0.7)
        ax.text(i, 0.25, name.replace(", ", "\n"), ha="center", fontsize=9)
    places = [i + shift for i in range(len(cases)) for shift in (-0.2, 0.2)]
    ax.set_xticks(places, ["5", "100"] * len(cases))
    highest = max(np.nanmax(pairs) for pairs in cases.values())
    ax.set(xlabel="batch size", ylabel="sharpness $\\lambda_{max}$", ylim=(0, 1.1 * highest))
    seeds = len(next(iter(cases.values())))
    plots.show(
        figure,
        f"Each line joins the two batch sizes of one of {seeds} seeds. Full batch is sharper by a "
        f"factor of {', '.join(f'{ratio} ({name})' for name, ratio in ratios.items())}.",
    )


def what_flatness_predicts(
    points: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    correlations: Mapping[str, Mapping[str, Measured]],
) -> None:
    """Left one seed's solutions; right rank correlations of sharpness and outcome.

    Args:
        points: group of recipes -> (largest eigenvalues, held-out losses) of one seed.
        correlations: measure -> outcome -> rank correlation within seeds.
    """
    figure, (left, right) = plots.new_figure(2, width=5.2, height=4.8)
    for (name, (x, y)), (colour, marker) in zip(points.items(), LOOKS, strict=True):
        left.plot(x, y, marker, color=colour, label=name)
    left.set(xscale="log", xlabel="sharpness $\\lambda_{max}$", ylabel="held-out loss")
    plots.plain_digits(left)
    left.set_xticks([0.5, 1, 2], ["0.5", "1", "2"])
    left.xaxis.set_minor_formatter(NullFormatter())
    left.set_title("one seed, one training loss", fontsize=10)
    left.legend(frameon=False, fontsize=8)
    outcomes = list(next(iter(correlations.values())))
    for j, (measure, found) in enumerate(correlations.items()):
        colour, marker = LOOKS[j]
        at = -np.arange(len(outcomes)) - 0.18 * (j - (len(correlations) - 1) / 2)
        low, values, high = np.array([(m.low, m.value, m.high) for m in found.values()]).T
        look = {"fmt": marker, "color": colour, "markersize": 4.5, "label": measure}
        right.errorbar(values, at, xerr=[values - low, high - values], **look)
    right.axvline(0, color=plots.GREY, linewidth=0.9)
    right.set_yticks(-np.arange(len(outcomes)), outcomes, fontsize=9)
    right.set_xticks([-1, -0.5, 0, 0.5, 1])
    right.set(xlim=(-1.05, 1.05), xlabel="rank correlation with sharpness", ylim=(None, 2.1))
    right.set_title("right of 0: sharper goes with worse", fontsize=10)
    right.legend(frameon=False, fontsize=8, loc="upper left")
    top, adaptive = list(correlations.values())[:2]
    one, losses = outcomes[0], [loss for _, y in points.values() for loss in y]
    plots.show(
        figure,
        f"Left: {len(losses)} solutions, whose losses on new data lie between {min(losses):.3f} "
        f"and {max(losses):.3f}. Right ({top[one].count} seeds, 95 % "
        f"intervals): with the {one} the largest eigenvalue correlates by {top[one]}, the measure "
        f"that rescaling leaves alone by {adaptive[one]}. Transfer after 50 steps is *better* "
        f"from sharper solutions ({top[outcomes[-2]]}); after 500 no difference can be told "
        f"({top[outcomes[-1]]}).",
    )
