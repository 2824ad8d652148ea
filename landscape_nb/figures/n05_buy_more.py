"""Pictures of notebook 05, section 1: what 300 labelled digits give, and what 300 more would."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from landscape_nb.figures import plots
from landscape_nb.theory.intervals import Measured
from landscape_nb.theory.learning_curve import LossForecast

TITLE = "Loss on digits that were not trained on"


def what_we_have(ks: Sequence[int], losses: np.ndarray) -> None:
    """The held-out loss up to what is owned, and an empty place where the rest would be.

    Args:
        ks: (m,), numbers of digits trained on; the last is what could be bought.
        losses: (seeds, m), held-out losses, of which the last column is not shown.
    """
    figure, ax = plots.new_figure(width=6.2, height=3.7)
    owned, last = ks[:-1], losses[:, :-1]
    plots.spread(ax, owned, last, "twenty orders of the digits", color=plots.BLUE)
    _frame(ax, ks, losses)
    ax.axvspan(ks[-2], ks[-1], color=plots.GREY, alpha=0.15, linewidth=0)
    ax.text((ks[-2] * ks[-1]) ** 0.5, 1.0, "?", fontsize=22, ha="center", va="center")
    ax.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(0.35, 1))
    plots.show(
        figure,
        f"With {owned[0]} digits the loss is {last[:, 0].mean():.2f}, with {owned[-1]} it is "
        f"{last[:, -1].mean():.2f}. Shaded: from the smallest to the largest of "
        f"{len(losses)} orders. The grey strip is what money could buy.",
    )


def what_doubling_buys(ks: Sequence[int], losses: np.ndarray, live: np.ndarray) -> None:
    """The whole held-out loss, and some seeds trained just now at the last two k.

    Args:
        ks: (m,).
        losses: (seeds, m), stored.
        live: (seeds', 2), at the last two ks.
    """
    figure, ax = plots.new_figure(width=6.2, height=3.7)
    plots.spread(ax, ks, losses, "stored, twenty orders", color=plots.BLUE)
    for j, pair in enumerate(live):
        label = "" if j else "trained just now"
        plots.curve(ax, ks[-2:], pair, label, color=plots.VERMILLION, marker="D", linestyle=":")
    _frame(ax, ks, losses)
    ax.axvspan(ks[-2], ks[-1], color=plots.GREY, alpha=0.15, linewidth=0)
    ax.legend(frameon=False, fontsize=9)
    gains = 1 - losses[:, -1] / losses[:, -2]
    plots.show(
        figure,
        f"The line goes on falling: from {ks[-2]} to {ks[-1]} digits the loss falls by "
        f"{gains.mean():.0%} on average, in single orders by {gains.min():.0%} to "
        f"{gains.max():.0%}.",
    )


def before_you_buy(ks: Sequence[int], losses: np.ndarray, found: LossForecast) -> None:
    """One order's loss as far as it is owned, the forecast with its interval, and the truth.

    Args:
        ks: (m,).
        losses: (m,), of one order; the last is the truth that was to be foreseen.
        found: the forecast from all but the last.
    """
    figure, ax = plots.new_figure(width=6.2, height=3.7)
    plots.curve(ax, ks[:-1], losses[:-1], "measured", color=plots.BLUE, marker="o")
    reach = np.array([[found.value - found.low], [found.high - found.value]])
    ax.errorbar(
        [ks[-1]], [found.value], reach, color=plots.VERMILLION, capsize=6, marker="s",
        label=f"foreseen, {found.level:.0%} interval",
    )  # fmt: skip
    plots.curve(
        ax, ks[-1:], losses[-1:], "truth", color=plots.BLACK, marker="*", markersize=11,
        linestyle="none",
    )  # fmt: skip
    ax.axhline(losses[-2], color=plots.GREY, linewidth=0.9, linestyle="--")
    _frame(ax, ks, np.array([losses, np.full_like(losses, found.low)]))
    ax.legend(frameon=False, fontsize=9)
    plots.show(
        figure,
        f"The forecast, {found.value:.2g}, comes close to the truth, {losses[-1]:.2g}; its "
        f"interval runs from {found.low:.2g} to {found.high:.2g}, across the dashed line, "
        "today's loss: it does not rule out that the new digits bring nothing.",
    )


def _frame(ax: Axes, ks: Sequence[int], losses: np.ndarray) -> None:
    """Axes that do not tell, by where they end, what they leave out."""
    plots.log_log(
        ax, "digits to learn from, k", "held-out loss", TITLE, ticks=[20, 50, 100, *ks[-2:]]
    )
    ax.set(xlim=(ks[0] / 1.15, ks[-1] * 1.15), ylim=(0.04, 1.3 * losses.max()))
    ax.set_yticks([0.05, 0.1, 0.2, 0.5, 1, 2], ["0.05", "0.1", "0.2", "0.5", "1", "2"])
    ax.yaxis.set_minor_formatter(lambda *_: "")


def gains_where_settled(gains: Mapping[str, Measured]) -> None:
    """What twice the data bring at K of each problem, with intervals.

    Args:
        gains: problem -> share by which a doubling lowers the held-out loss.
    """
    figure, ax = plots.new_figure(width=6.2, height=2.9)
    names = [name.replace("_", ", ") for name in gains]
    for y, gain in enumerate(gains.values()):
        ax.plot([100 * gain.low, 100 * gain.high], [y, y], color=plots.BLUE, linewidth=4)
        ax.plot(100 * gain.value, y, "D", color=plots.BLACK, markersize=5)
    ax.axvline(5, color=plots.VERMILLION, linestyle="--", linewidth=1.2)
    ax.set_yticks(range(len(names)), names)
    ax.set_xlabel("twice the data lower the held-out loss by [%]")
    ax.set_title("Where one more sample no longer matters", fontsize=10)
    large = [100 * gain.value for gain in gains.values() if gain.value > 0.05]
    plots.show(
        figure,
        f"Diamonds: means of twenty orders, bars: 95 % intervals. {len(large)} of {len(gains)} lie "
        f"far right of the dashed line, 5 %: twice the data would lower their loss by "
        f"{min(large):.0f} % to {max(large):.0f} %.",
    )
