"""The still pictures of the explorables: one function each, drawn from what they computed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from landscape_nb.figures import plots
from landscape_nb.figures.plots import BLACK, BLUE, GREEN, GREY, PURPLE, VERMILLION, curve, log_log

# A probe's share of the full space for each probe, and the ends of its standard error, if any.
Shares = tuple[Sequence[float], Sequence[Sequence[float]] | None]
CUT = 1.2  # a bar ends here at the latest; its number says how high it would be


def explorer_picture(
    ks: Sequence[int],
    parts: Mapping[str, Sequence[float]],
    heights: Sequence[float],
    names: Sequence[str],
    shares: Mapping[str, Shares],
    k: int | None,
) -> bytes:
    """Parts of the criterion against k, and who sees how much of the full space, as PNG.

    Args:
        ks: numbers of samples, (K,).
        parts: total, value, cross, gradient and curvature of the first probe, (K,) each, loss^2.
        heights: ends of the left picture's vertical axis.
        names: of the probes, the first one's on the left.
        shares: "raw" and "centred" -> `Shares`.
        k: the number of samples that the shares belong to; None: averaged over k.
    """
    figure, (left, right) = plots.new_figure(2, width=4.8, height=4.1)
    _parts(left, ks, parts, heights)
    left.set_title(f"The criterion, probed in the {names[0]} subspace", fontsize=10)
    if k is not None:
        left.axvline(k, color=GREY, linewidth=3, zorder=0)
    where = "averaged over k" if k is None else f"at k = {k}"
    right.set_title(f"What each probe sees, {where}", fontsize=10)
    _bars(right, names, shares)
    return plots.still(figure)


def _parts(
    ax: Axes, ks: Sequence[int], parts: Mapping[str, Sequence[float]], heights: Sequence[float]
) -> None:
    ticks = list(ks) if len(ks) <= 6 else None
    log_log(ax, "number of samples k", "part of the criterion  [loss$^2$]", "", ticks=ticks)
    low, high = heights
    # two decades above all curves are the legend's
    ax.set(xlim=(ks[0] / 1.2, ks[-1] * 1.2), ylim=(low, 100 * high))
    for name in ("total", "value", "gradient", "curvature"):
        curve(ax, ks, parts[name], name)
    cross = np.asarray(parts["cross"])
    size = np.where(cross == 0, np.nan, abs(cross))
    look: dict = {"color": PURPLE, "marker": "D", "linestyle": ":"}
    curve(ax, ks, size, "cross, positive", **look)
    negative = np.where(cross < 0, size, np.nan)
    look |= {"linestyle": "none", "markerfacecolor": "white"}
    curve(ax, ks, negative, "cross, negative: its size", **look)
    ax.legend(frameon=False, fontsize=8, loc="upper right", ncols=2)
    words = "smaller parts lie below the picture"
    ax.text(0.02, 0.02, words, transform=ax.transAxes, color=BLACK, fontsize=8)


def _bars(ax: Axes, names: Sequence[str], shares: Mapping[str, Shares]) -> None:
    groups = np.arange(len(names))
    ax.set(xlim=(-0.6, len(groups) - 0.4), ylim=(0, 1.45), yticks=[0, 0.5, 1])
    ax.set_xticks(groups, names)
    ax.set_ylabel("share of the full-space criterion")
    ax.axhline(1, color=GREY, linewidth=0.8, linestyle=(0, (1, 2)))
    looks: dict[str, dict] = {
        "raw": {"color": "white", "edgecolor": BLUE, "linewidth": 1.5, "label": "raw"},
        "centred": {"color": BLUE, "hatch": "//", "edgecolor": "white"},
    }
    looks["centred"]["label"] = "centred (gradient + curvature)"
    for shift, (name, (found, errors)) in zip((-0.2, 0.2), shares.items(), strict=True):
        drawn = np.clip(found, 0, CUT)
        ends = np.stack([drawn, drawn], 1) if errors is None else np.clip(errors, 0, CUT)
        ax.bar(groups + shift, drawn, 0.36, **looks[name])
        if np.ptp(ends, axis=1).max() > 0.01:
            reach = np.abs(ends - drawn[:, None]).T
            look: dict = {"color": BLACK, "linestyle": "none", "capsize": 4}
            ax.errorbar(groups + shift, drawn, reach, label="within a standard error", **look)
        for x, share, top in zip(groups + shift, found, ends[:, 1], strict=True):
            words = f"{share:.2f}" if abs(share) >= 0.005 else f"{share:.0e}"
            words = f"\u2191 {words}" if share > CUT else words
            # the line at 1 would cross it out
            height = 1 if 0.93 < top < 1 else top
            ax.text(x, height + 0.01, words, ha="center", va="bottom", fontsize=8)
    ax.legend(frameon=False, fontsize=8, loc="upper right", ncols=2)


WIDTHS = (0.1, 0.2, 0.4, 0.8, 1.6)  # half-widths of the bowl's level curves along x
REACH = 1.9  # the bowl is shown this much to either side
LOSSES = (1e-9, 1e3)  # ends of the bowl's loss axis


def bowl_picture(kappa: float, path: np.ndarray, losses: np.ndarray, left: int | None) -> bytes:
    """Steps on a two-dimensional bowl, and their losses, as PNG.

    Left: level curves of L = (x^2 + y^2 / kappa) / 2, each half as wide as the next, and the path.
    Right: the loss after each step, and the part of it that each direction contributes.

    Args:
        kappa: the condition number.
        path: points (x, y), (steps + 1, 2).
        losses: parts of the loss along x and along y, (steps + 1, 2).
        left: first step outside of the left picture, where the path ends; None: all is inside.
    """
    figure, (bowl, right) = plots.new_figure(2, width=4.5, height=4.0)
    ends = (-REACH, REACH)
    bowl.set(xlim=ends, ylim=ends, aspect="equal", xticks=[-1, 0, 1], yticks=[-1, 0, 1])
    bowl.set(xlabel="x, the sharp direction", ylabel="y, the flat direction")
    bowl.set_title("The bowl from above, and the path", fontsize=10)
    angle = np.linspace(0, 2 * np.pi, 121)
    for width in WIDTHS:
        bowl.plot(
            width * np.cos(angle), width * kappa**0.5 * np.sin(angle), color=GREY, linewidth=1.0
        )
    bowl.plot(0, 0, "+", color=GREEN, markersize=11, markeredgewidth=2)
    # what has left does not come back; its jumps would only black out the valley
    x, y = path[: None if left is None else left + 1].T
    curve(bowl, x, y, "path", color=BLACK, marker="o", linewidth=1.0)
    bowl.plot(*path[0], "D", color=BLACK, markersize=6)
    bowl.annotate("start", path[0], xytext=(8, 4), textcoords="offset points", fontsize=9)
    _bowl_losses(right, losses)
    return plots.still(figure)


def _bowl_losses(ax: Axes, losses: np.ndarray) -> None:
    count = np.arange(len(losses))
    ax.set(yscale="log", xlim=(-0.5, len(count) - 0.5), ylim=LOSSES, xlabel="step", ylabel="loss")
    looks: list[dict] = [
        {"label": "loss", "color": GREY, "marker": None, "linewidth": 4},
        {"label": "part of x (sharp)", "color": VERMILLION, "marker": "^"},
        {"label": "part of y (flat)", "color": BLUE, "marker": "s", "linestyle": "--"},
    ]
    for part, look in zip((losses.sum(1), *losses.T), looks, strict=True):
        curve(ax, count, part, "", **look)
    total, last = losses.sum(1), len(losses) - 1
    if (over := total > LOSSES[1]).any():
        late = over.argmax() > last / 2  # beside the curve, where there is room
        place = over.argmax() + (-0.07 if late else 0.03) * last
        words = f"\u2191 {total[-1]:.1e} at step {last}"
        ax.text(place, LOSSES[1] / 10, words, ha="right" if late else "left", fontsize=9)
    ax.legend(frameon=False, fontsize=9, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))


STEP_SIGMAS, STEPS = (1e-4, 1e1), (3e-7, 1e3)  # every step lies between: 1e-4 / 101 .. 500


def step_picture(
    sigma: Sequence[float],
    steps: Sequence[float],
    modes: Sequence[tuple[float, float]],
    turn: float | None,
) -> bytes:
    """The step T of each singular value on log-log axes, as PNG.

    Three thin lines are its limits: sigma (gradient descent), 1 (UV') and 1/sigma.

    Args:
        sigma: singular values, increasing.
        steps: T at each of them.
        modes: (sigma, T) of a large and of a small mode.
        turn: the sigma below which damping decides, if it is in the picture.
    """
    figure, ax = plots.new_figure(width=6.6, height=4.8)
    ax.set(xscale="log", yscale="log", xlim=STEP_SIGMAS, ylim=STEPS)
    ax.set(xlabel="singular value \u03c3 of the gradient", ylabel="length of the step, T(\u03c3)")
    for power, label, colour, dashes, marker in (
        (1, "\u03c3: gradient descent", BLUE, "--", "s"),
        (0, "1: UV'", GREEN, ":", "o"),
        (-1, "1/\u03c3: small modes first", VERMILLION, "-.", "^"),
    ):
        points = np.geomspace(*STEP_SIGMAS, 6)
        look: dict = {"color": colour, "linestyle": dashes, "marker": marker, "linewidth": 1.0}
        curve(ax, points, points**power, label, **look)
    curve(ax, sigma, steps, "T", color=BLACK, marker=None, linewidth=3)
    for (x, y), name, marker in zip(modes, ("large", "small"), "Dv", strict=True):
        look = {"color": BLACK, "markersize": 9, "linestyle": "none", "marker": marker}
        curve(ax, [x], [y], f"a {name} mode", **look)
    if turn is not None:
        ax.axvline(turn, color=GREY, linewidth=1, zorder=0, label="\u03c3^\u03b1 = d")
    ax.legend(frameon=False, fontsize=9, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return plots.still(figure)


TURNED = 0.06 * np.arange(1, 8) ** 2  # heights of a turned surface's level curves, and below 0


def direction_picture(
    surface: Mapping[str, Any],
    found: Mapping[str, Any],
    angle: float,
    reach: float,
    limits: tuple[float, float],
) -> bytes:
    """A direction on L = w'Hw / 2, the loss along it, and u'Hu at every angle, as PNG.

    Args:
        surface: H, its eigenvalues ("values") and the degrees of their eigenvectors ("angles").
        found: u, curvature, the parabola over "steps", and u'Hu "around", every three degrees.
        angle: of u, in degrees.
        reach: the surface is shown this much to either side.
        limits: ends of the axis of u'Hu.
    """
    figure, (left, middle, right) = plots.new_figure(3, width=3.6, height=3.9)
    grid = np.linspace(-reach, reach, 101)
    w = np.stack(np.meshgrid(grid, grid), axis=-1)
    heights = np.einsum("...i,ij,...j->...", w, np.array(surface["H"]), w) / 2
    left.contour(grid, grid, heights, TURNED, colors=GREY, linewidths=1)
    left.contour(grid, grid, heights, -TURNED[::-1], colors=BLUE, linewidths=1, linestyles="--")
    x, y = found["u"]
    left.plot([-2 * x, 2 * x], [-2 * y, 2 * y], ":", color=VERMILLION, linewidth=1.5)
    arrow = {"arrowstyle": "-|>", "color": VERMILLION, "linewidth": 3}
    left.annotate("", (x, y), (0, 0), arrowprops=arrow)
    left.text(0.55 * x - 0.16 * y, 0.55 * y + 0.16 * x, "u", ha="center", va="center")
    left.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    left.set(xlabel="$w_1$", ylabel="$w_2$", xticks=[-1, 0, 1], yticks=[-1, 0, 1])
    left.set_title("The surface from above", fontsize=10)
    low, high = (end * reach**2 / 2 for end in limits)
    curve(middle, found["steps"], found["parabola"], "T", color=VERMILLION, marker=None)
    middle.set(xlabel="step t along u", ylabel="loss", ylim=(low, high))
    middle.set_title("Along u", fontsize=10)
    around = found["around"]
    curve(right, 3 * np.arange(len(around)), around, "T", color=BLACK, marker=None)
    ends = np.array(surface["angles"])
    places, values = np.append(ends, ends + 180), 2 * list(surface["values"])
    look: dict = {"linestyle": "none", "label": "eigenvalues", "color": BLUE, "marker": "s"}
    curve(right, places, values, "T", **look)
    right.plot(angle, found["curvature"], "D", color=VERMILLION, markersize=8)
    right.set(xlim=(0, 360), ylim=limits, xticks=[0, 90, 180, 270, 360])
    right.set(xlabel="angle of u [degrees]", ylabel="u'Hu")
    right.set_title("The curvature at every angle", fontsize=10)
    for ax in (middle, right):
        ax.axhline(0, color=GREY, linewidth=0.8)
    return plots.still(figure)
