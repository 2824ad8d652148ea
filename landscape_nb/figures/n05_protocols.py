"""More pictures of notebook 05: the criterion at a kept network and at one trained anew."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from landscape_nb.figures import plots
from landscape_nb.theory.intervals import Measured

# Colour, marker and dash of the clouds, in order.
LINES = (
    (plots.BLACK, "o", "-"),
    (plots.SKY, "s", "--"),
    (plots.VERMILLION, "D", ":"),
    (plots.ORANGE, "^", "-."),
    (plots.BLUE, "*", "-"),
)


def two_protocols(
    kept: tuple[Sequence[int], Mapping[str, np.ndarray]],
    retrained: tuple[Sequence[int], Mapping[str, np.ndarray]],
    slopes: Mapping[str, Measured],
) -> None:
    """k^2 Delta_k in several clouds: one network for all k, and one network for each k.

    Args:
        kept: numbers of batches (J,), and name of a cloud -> the mean over all orders of the
            batches, (seeds, J).
        retrained: numbers of samples (K,), and name -> the mean over next samples, (seeds, K).
        slopes: name -> slope of the retrained curves, with its interval.
    """
    figure = _two_panels(kept, retrained)
    flattest, steepest = (edge(slopes.values(), key=lambda s: s.value) for edge in (max, min))
    heights = [np.exp(np.log(c[:, 0]).mean()) for c in kept[1].values()]
    plots.show(
        figure,
        "Left, one network kept: a horizontal line for every cloud. The clouds differ in height, "
        f"{max(heights) / min(heights):.0f}-fold, and not in slope. Right, a network for each "
        f"k: the lines fall, most where the cloud is tight (slope of the criterion "
        f"{steepest}), least in the ten top directions ({flattest}). Shading: from the lowest to "
        f"the highest of {steepest.count} seeds.",
    )


def _two_panels(
    kept: tuple[Sequence[int], Mapping[str, np.ndarray]],
    retrained: tuple[Sequence[int], Mapping[str, np.ndarray]],
) -> Figure:
    figure, (left, right) = plots.new_figure(2, width=4.8, height=4.2)
    _scaled(left, *kept)
    _scaled(right, *retrained)
    height = "$k^2 \\Delta_k$ [loss$^2$]"
    plots.log_log(left, "number of batches k", height, "kept $w^*$", ticks=kept[0])
    plots.log_log(right, "number of samples k", height, "trained anew", ticks=retrained[0])
    both = [*left.get_ylim(), *right.get_ylim()]
    for ax in (left, right):
        ax.set_ylim(min(both), max(both))
    figure.legend(
        *left.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False,
        fontsize=8,
    )  # fmt: skip
    return figure


def _scaled(ax: Axes, ks: Sequence[int], measured: Mapping[str, np.ndarray]) -> None:
    """k^2 times the geometric mean over seeds, their range shaded."""
    for (name, curves), line in zip(measured.items(), LINES, strict=True):
        colour, marker, dash = line
        scaled = curves * np.array(ks, float) ** 2
        plots.spread(ax, ks, scaled, name, color=colour, marker=marker, linestyle=dash)


def delta_against_loss(
    orders: Sequence[tuple[np.ndarray, np.ndarray]],
    measured: np.ndarray,
    smoothed: Sequence[np.ndarray],
    rising: Measured,
    power: Measured,
) -> None:
    """Delta_k against the loss: two orders of the same batches; and networks trained anew.

    Args:
        orders: two pairs (L_k, Delta_k) over k, of one kept network, the clearest of 50.
        measured: training loss, mean loss of the samples after k, and criterion, (seeds, K, 3).
        smoothed: the same three after a moving average, each (seeds, K).
        rising: share of all orders whose trend rises, over stored seeds.
        power: slope of the criterion against the unseen loss, log-log, over stored seeds.
    """
    figure, (left, right) = plots.new_figure(2, width=4.8)
    for (L, Delta), look in zip(orders, LINES[1:3], strict=True):
        _with_trend(left, L, Delta, *look)
    left.set(
        xlabel="$L_k(w^*)$ of the first k batches", ylabel="$\\Delta_k$, all orders [loss$^2$]"
    )
    left.set_title("kept $w^*$: two orders of the same batches", fontsize=10)
    left.legend(frameon=False, fontsize=8)
    for j, name in enumerate(("training loss", "loss of unseen digits")):
        colour, marker, dash = LINES[(0, 3)[j]]
        right.plot(
            measured[..., j].ravel(), measured[..., 2].ravel(), marker, color=colour, markersize=2.5
        )
        curve = (np.exp(np.log(values).mean(0)) for values in (smoothed[j], smoothed[2]))
        right.plot(*curve, dash, color=colour, label=name)
    title = f"trained anew: {len(measured)} seeds; lines: five-point average"
    plots.log_log(right, "loss at $w_k^*$", "$\\Delta_k$ [loss$^2$]", title)
    right.legend(frameon=False, fontsize=8, loc="upper center")
    plots.show(
        figure,
        "Left: one network, one set of batches, in the two of 50 orders with the clearest lines. "
        f"One rises, one falls; over {rising.count} seeds a share of {rising} rises. Right: with "
        "training, the criterion falls while the training loss rises (black), and falls with the "
        f"loss of unseen digits (orange), as its power {power}.",
    )


def _with_trend(
    ax: Axes, L: np.ndarray, Delta: np.ndarray, colour: str, marker: str, dash: str
) -> None:
    """Points and their straight line by least squares."""
    line = stats.linregress(L, Delta)
    ends = np.array([L.min(), L.max()])
    label = f"trend {'rises' if line.slope > 0 else 'falls'}, $R^2$ = {line.rvalue**2:.2f}"
    ax.plot(L, Delta, marker, color=colour, markersize=3.5)
    ax.plot(ends, line.intercept + line.slope * ends, dash, color=colour, label=label)
