"""The pictures of notebook 08's stored studies: the tuned race, and C26's mechanisms."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from landscape_nb.figures import plots
from landscape_nb.theory.intervals import Measured

DOTS = (0, (1, 2))
LOOKS = ("o", plots.BLUE), ("s", plots.ORANGE), ("^", plots.GREEN), ("v", plots.VERMILLION)


def tuned_race(
    means: Mapping[str, Sequence[Measured]], gains: Mapping[str, Sequence[Measured]], seeds: int
) -> None:
    """Mean test losses of each method (left), and what one gains over another (right).

    Args:
        means: method -> on the MLP, on the CNN.
        gains: "first - second" -> difference of test losses on the MLP, on the CNN.
        seeds: that judged.
    """
    figure, (left, right) = plots.new_figure(2, width=5.2, height=3.6)
    _forest(left, means, ("MLP", "CNN"))
    _forest(right, gains, ("MLP", "CNN"))
    left.set(xlabel="test loss", xlim=(0, None))
    right.set_xlabel("difference of test losses, seed by seed")
    right.axvline(0, color=plots.GREY, linewidth=1)
    left.legend(frameon=False, fontsize=9, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    best = [min(means, key=lambda name: means[name][i].value) for i in (0, 1)]
    plots.show(
        figure,
        f"Means over {seeds} seeds with 95 % intervals. Smallest test loss: {best[0]} on the MLP, "
        f"{best[1]} on the CNN. Right of the grey line the second of a pair is better: "
        + "; ".join(f"{name} {_pair(both)}" for name, both in gains.items())
        + ".",
    )


def alphas_by_switch(
    alphas: Mapping[str, Mapping[str, Measured]], slopes: Mapping[str, tuple[float, Measured]]
) -> None:
    """The exponent under each switch (left), and the slopes that propositions say are zero (right).

    Args:
        alphas: network -> layer -> alpha.
        slopes: label -> what is claimed, what was found.
    """
    figure, (left, right) = plots.new_figure(2, width=5.2, height=3.8)
    names = list(dict.fromkeys(layer for found in alphas.values() for layer in found))
    _forest(left, {net: [found.get(n) for n in names] for net, found in alphas.items()}, names)
    for height in (1, 2):
        left.axvline(height, color=plots.GREY, linestyle=DOTS, linewidth=1)
    left.set(xlabel="exponent $\\alpha$", xlim=(0.8, 2.2))
    left.legend(
        frameon=False, fontsize=9, ncols=len(names), loc="lower center", bbox_to_anchor=(0.5, 1.0)
    )
    _forest(right, {name: [found] for name, (_, found) in slopes.items()}, ("measured",))
    claimed = [value for value, _ in slopes.values()]
    right.plot(
        claimed, range(len(slopes)), "D", color=plots.BLACK, markerfacecolor="white", zorder=3,
        linestyle="none", label="claimed, idealised",
    )  # fmt: skip
    right.set_xlabel("slope on $\\log\\sigma$")
    right.legend(frameon=False, fontsize=9, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    middle = [m.value for found in alphas.values() for m in found.values()]
    told = "; ".join(f"{name} {found}" for name, (_, found) in slopes.items())
    plots.show(
        figure,
        f"All exponents lie between {min(middle):.2f} and {max(middle):.2f}; dotted lines mark "
        f"1 and 2. Bars are 95 % intervals. Right: {told}.",
    )


def conv_gap(
    places: Sequence[int],
    chi: Sequence[Measured],
    unscaled: Sequence[Measured],
    published: Sequence[tuple[int, float]],
) -> None:
    """Chi against the number of places at which a convolution's weight is used.

    Args:
        places: P.
        chi: for each P, with per-sample output gradients.
        unscaled: for each P, with those of the mean loss, averaged over places.
        published: P and C26's chi of the leading mode, for each layer.
    """
    figure, ax = plots.new_figure(width=6.4, height=3.8)
    for found, name, label in (
        (unscaled, "random", "ours, output gradients of the mean loss"),
        (chi, "top", "ours, of each sample's loss"),
    ):
        values = np.array([m.value for m in found])
        plots.curve(ax, places, values, name, label=label)
        low, high = ([getattr(m, end) for m in found] for end in ("low", "high"))
        ax.fill_between(places, low, high, color=plots.LOOKS[name]["color"], alpha=0.2)
    x, y = zip(*published, strict=True)
    plots.curve(ax, x, y, "Jacobian", linestyle="none", label="C26, ResNet-18 (published)")
    ticks = (1, 4, 9, 25, 64, 256)
    plots.log_log(ax, "places P", "$\\chi = h / h^{Kron}$", "", ticks=ticks)
    ax.axhline(1, color=plots.GREY, linestyle=DOTS, linewidth=1)
    ax.legend(frameon=False, fontsize=9)
    plots.show(
        figure,
        f"With each sample's own output gradients chi stays between "
        f"{min(m.value for m in chi):.1f} and {max(m.value for m in chi):.1f} from 1 to "
        f"{places[-1]} places. Leave the factors of the mean in and the same networks show "
        f"{unscaled[0].value:.0e} to {unscaled[-1].value:.0e}, which grow with the places as the "
        "published points do.",
    )


# -- inside ---------------------------------------------------------------------------------------


def _forest(ax: Axes, rows: Mapping[str, Sequence[Measured | None]], series: Sequence[str]) -> None:
    """A row for each name, and in it one value with its interval for each of the series."""
    shifts = np.linspace(-0.22, 0.22, len(series)) if len(series) > 1 else [0.0]
    for j, (name, (marker, colour)) in enumerate(zip(series, LOOKS, strict=False)):
        there = [(i, found[j]) for i, found in enumerate(rows.values()) if found[j] is not None]
        y = [i + shifts[j] for i, _ in there]
        values = [m.value for _, m in there if m is not None]
        bars = [[m.value - m.low for _, m in there if m], [m.high - m.value for _, m in there if m]]
        look: dict = {"fmt": marker, "color": colour, "markersize": 5, "linewidth": 1.4}
        ax.errorbar(values, y, xerr=bars, label=name, **look)
    ax.set_yticks(range(len(rows)), list(rows), fontsize=9)
    ax.invert_yaxis()


def _pair(both: Sequence[Measured]) -> str:
    return f"{both[0]} (MLP), {both[1]} (CNN)"
