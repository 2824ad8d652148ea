"""The pictures of notebook 08's stored studies: the tuned race, and C26's mechanisms."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from landscape_nb.figures import plots
from landscape_nb.theory.intervals import Measured

DOTS = (0, (1, 2))
LOOKS = ("o", plots.BLUE), ("s", plots.ORANGE), ("^", plots.GREEN), ("v", plots.VERMILLION)


# What the study "mechanisms" is asked for, line by line, and the figure that answers.
TOLD = {
    "LayerNorm: alpha with less without, up": "norm_alpha",
    "LayerNorm: alpha with less without, down": "norm_alpha_down",
    "LayerNorm: slope(rho_a) with less without, up": "norm_slope_a_up",
    "LayerNorm: slope(h / h^F) with less without, down": "norm_slope_fisher_down",
    "LayerNorm: largest over median eigenvalue of C_a, without": "kappa_plain10",
    "LayerNorm: largest over median eigenvalue of C_a, with": "kappa_norm10",
    "bypass: slope(rho_d), skip less plain, up": "slope_d_skip10_less_plain",
    "bypass: slope(rho_d), weak less plain, up": "slope_d_weak10_less_plain",
    "bypass: what the weak branch sends back, of 1": "branch_weak10",
    "head: alpha": "head_alpha_plain",
    "head: median rho_d": "head_rho_d_plain",
    "ten classes less two: alpha, plain, up": "classes_plain_up",
    "ten classes less two: alpha, norm, up": "classes_norm_up",
}

# C26's leading modes, results_conv_gap_v2.json of its repository: P, sigma, h, h^Kron.
PUBLISHED_MODES = {
    "conv1": (256, 4.032, 9.813, 3.397e-7),
    "layer1.0.conv2": (64, 0.4738, 1.592, 1.535e-7),
    "layer2.0.conv1": (16, 0.8715, 5.741, 3.742e-6),
    "layer3.0.conv1": (4, 0.6225, 1.697, 1.013e-5),
    "layer4.0.conv2": (1, 0.1803, 0.1863, 1.681e-5),
    "fc": (1, 0.1789, 0.5909, 3.210e-5),
}

NETWORKS = ("plain", "norm", "skip", "both")


RACERS = {  # as the study of optimisers calls a method -> as a picture does
    "AdamW": "AdamW",
    "SGD": "SGD",
    "newton": "Spectral Newton",
    "limit": "UV'",
    "newton_layer": "size of Newton",
    "limit_layer": "size of UV'",
    "Adam": "Adam",
}
RACE_PAIRS = {
    "AdamW - Newton": "adamw_newton",
    "AdamW - UV'": "adamw_limit",
    "SGD - Newton": "sgd_newton",
    "Newton - UV'": "newton_limit",
    "size of Newton - Newton": "newton_modes",
    "size of UV' - UV'": "limit_modes",
}

Pairs = dict[str, list[Measured]]


def race_entries(found: Mapping[str, Measured]) -> tuple[Pairs, Pairs]:
    """What `tuned_race` draws of the study of optimisers: mean losses, and gains by pairs."""
    nets = ("mlp", "cnn")
    means = {name: [found[f"{net}_{key}".lower()] for net in nets] for key, name in RACERS.items()}
    gains = {pair: [found[f"{net}_{key}"] for net in nets] for pair, key in RACE_PAIRS.items()}
    return means, gains


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


def alphas_by_switch(found: Mapping[str, Measured]) -> None:
    """The exponent under each switch (left), and the slopes that propositions say are zero (right).

    Args:
        found: the figures of the study "mechanisms".
    """
    alphas = {
        f"{net}, {classes} classes": {
            layer: found[f"alpha_{net}{classes}_{layer}"] for layer in ("up", "down")
        }
        for classes in (10, 2)
        for net in NETWORKS
    }
    for net in NETWORKS:
        alphas[f"{net}, 10 classes"]["head"] = found[f"head_alpha_{net}"]
    slopes = {
        "rho_a, plain": (np.nan, found["slope_a_plain10"]),
        "rho_a, LayerNorm": (0.0, found["slope_a_norm10"]),
        "rho_d, plain": (np.nan, found["slope_d_plain10_up"]),
        "rho_d, skip": (np.nan, found["slope_d_skip10_up"]),
        "rho_d, weak branch": (0.0, found["slope_d_weak10_up"]),
        "Lambda (beta), all four": (2.0, found["slope_lambda"]),
    }
    figure, (left, right) = plots.new_figure(2, width=5.2, height=3.8)
    names = list(dict.fromkeys(layer for of in alphas.values() for layer in of))
    _forest(left, {net: [of.get(n) for n in names] for net, of in alphas.items()}, names)
    for height in (1, 2):
        left.axvline(height, color=plots.GREY, linestyle=DOTS, linewidth=1)
    left.set(xlabel="exponent $\\alpha$", xlim=(0.8, 2.2))
    left.legend(
        frameon=False, fontsize=9, ncols=len(names), loc="lower center", bbox_to_anchor=(0.5, 1.0)
    )
    _forest(right, {name: [of] for name, (_, of) in slopes.items()}, ("measured",))
    claimed = [value for value, _ in slopes.values()]
    right.plot(
        claimed, range(len(slopes)), "D", color=plots.BLACK, markerfacecolor="white", zorder=3,
        linestyle="none", label="claimed, idealised",
    )  # fmt: skip
    right.set_xlabel("slope on $\\log\\sigma$")
    right.legend(frameon=False, fontsize=9, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    middle = [m.value for of in alphas.values() for m in of.values()]
    told = "; ".join(f"{name} {of}" for name, (_, of) in slopes.items())
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
