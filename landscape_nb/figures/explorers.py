"""The pictures behind the explorers: drawn once, then only what moves is drawn again."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from landscape_nb.figures import plots
from landscape_nb.figures.fast_figure import FastFigure
from landscape_nb.figures.plots import BLACK, BLUE, GREEN, GREY, SKY, VERMILLION, curve, log_log
from landscape_nb.theory.moments import Moment
from landscape_nb.theory.tables import MomentTable


class ExplorerPicture:
    """The picture behind the sliders for D and sigma: parts of the criterion, and who sees them.

    Left: Delta_2^(D) of the first probe against k, with its value, gradient and curvature parts.
    Right: each probe's criterion divided by the full-space one, raw and centred, averaged over k
    or at one k, which a line on the left marks.

    Args:
        probes: name -> `MomentTable`; the first is drawn on the left.
        full: the full-space table, one column.
        sigmas: (smallest, largest) sigma that will be asked for; it fixes the axes.
        one_k: whether the ratios belong to one k.
    """

    PARTS = ("total", "value", "gradient", "curvature")

    def __init__(
        self,
        probes: Mapping[str, MomentTable],
        full: MomentTable,
        sigmas: tuple[float, float],
        one_k: bool = False,
    ) -> None:
        self._names = list(probes)
        first = probes[self._names[0]]
        ks = first.ks.numpy()
        figure = Figure(figsize=(9.6, 3.9), layout="constrained", dpi=100)
        left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
        for ax in (left, right):
            ax.spines[["top", "right"]].set_visible(False)

        log_log(
            left, "number of samples k", "part of $\\Delta_2^{(D)}$  [loss$^2$]",
            f"The criterion, probed in the {self._names[0]} subspace",
            ticks=ks.tolist() if len(ks) <= 6 else None,
        )  # fmt: skip
        floor = 1e-10 * float(first.value.min())  # fourteen decades or so: chosen here
        top = 3 * float(first.at(first.D, sigmas[1]).total.max())
        # two decades above all curves are the legend's
        left.set(xlim=(ks[0] / 1.2, ks[-1] * 1.2), ylim=(floor, 100 * top))
        blank = np.full(len(ks), np.nan)
        self._lines = {name: curve(left, ks, blank, name) for name in self.PARTS}
        left.legend(frameon=False, fontsize=8, loc="upper right", ncols=2)
        left.text(
            0.02, 0.02, "smaller parts lie below the picture", transform=left.transAxes,
            color=BLACK, fontsize=8,
        )  # fmt: skip

        groups = np.arange(len(self._names))
        right.set(
            xlim=(-0.6, len(groups) - 0.4), ylim=(0, 1.3), xticks=groups, yticks=[0, 0.5, 1],
            ylabel="share of the full-space criterion",
        )  # fmt: skip
        right.set_xticklabels(self._names)
        where = "at this k" if one_k else "averaged over k"
        right.set_title(f"What each probe sees, {where}", fontsize=10)
        right.axhline(1, color=GREY, linewidth=0.8, linestyle=(0, (1, 2)))
        raw = right.bar(
            groups - 0.2, np.ones(len(groups)), 0.36, color=SKY, edgecolor=BLUE, label="raw",
        )  # fmt: skip
        centred = right.bar(
            groups + 0.2, np.ones(len(groups)), 0.36, color=BLUE, hatch="//", edgecolor="white",
            label="centred (gradient + curvature)",
        )  # fmt: skip
        right.legend(frameon=False, fontsize=8, loc="upper right", ncols=2)
        self._bars = [*raw, *centred]
        self.numbers = [
            right.text(b.get_x() + b.get_width() / 2, 0, "", ha="center", va="bottom", fontsize=8)
            for b in self._bars
        ]
        grey = {"color": GREY, "linewidth": 3, "alpha": 0.8, "solid_capstyle": "butt"}
        self._marked = left.plot([np.nan, np.nan], [20 * floor, top], **grey)[0]
        self.fast = FastFigure(
            figure,
            [self._marked, *self._lines.values(), *self._bars, *self.numbers],
            [BLACK, GREY, BLUE, SKY, VERMILLION],
        )

    def png(
        self,
        moment: Moment,
        raw: Sequence[float],
        centred: Sequence[float],
        k: float | None = None,
    ) -> bytes:
        """Draw one state: the first probe's moment, both ratios of every probe, and a mark at k."""
        self._marked.set_xdata(np.full(2, np.nan if k is None else k))
        for name, line in self._lines.items():
            line.set_ydata(getattr(moment, name).numpy())
        for bar, number, height in zip(self._bars, self.numbers, [*raw, *centred], strict=True):
            bar.set_height(min(height, 1.2))
            number.set_text(f"{height:.2f}" if height >= 0.005 else f"{height:.0e}")
            top = min(height, 1.2) + 0.01
            number.set_y(1.01 if 0.94 < top < 1 else top)  # the line at 1 would cross it out
        return self.fast.png()


WIDTHS = (0.1, 0.2, 0.4, 0.8, 1.6)  # half-widths of the bowl's level curves along x
REACH = 1.9  # the bowl is shown this much to either side
LOSSES = (1e-9, 1e3)  # ends of the bowl's loss axis


def bowl_picture(kappa: float, path: np.ndarray, losses: np.ndarray) -> bytes:
    """Steps on a two-dimensional bowl, and their losses, as PNG.

    Left: level curves of L = (x^2 + y^2 / kappa) / 2, each half as wide as the next, and the path.
    Right: the loss after each step, and the part of it that each direction contributes.

    Args:
        kappa: the condition number.
        path: points (x, y), (steps + 1, 2).
        losses: parts of the loss along x and along y, (steps + 1, 2).
    """
    figure, (left, right) = plots.new_figure(2, width=4.5, height=4.0)
    ends = (-REACH, REACH)
    left.set(xlim=ends, ylim=ends, aspect="equal", xticks=[-1, 0, 1], yticks=[-1, 0, 1])
    left.set(xlabel="x, the sharp direction", ylabel="y, the flat direction")
    left.set_title("The bowl from above, and the path", fontsize=10)
    angle = np.linspace(0, 2 * np.pi, 121)
    for width in WIDTHS:
        left.plot(
            width * np.cos(angle), width * kappa**0.5 * np.sin(angle), color=GREY, linewidth=1.0
        )
    left.plot(0, 0, "+", color=GREEN, markersize=11, markeredgewidth=2)
    # far outside, Agg's integers would overflow; where the path leaves looks the same
    x, y = np.clip(path, -1e3, 1e3).T
    curve(left, x, y, "path", color=BLACK, marker="o", linewidth=1.0)
    left.plot(*path[0], "D", color=BLACK, markersize=6)
    left.annotate("start", path[0], xytext=(8, 4), textcoords="offset points", fontsize=9)
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
    ax.legend(frameon=False, fontsize=9, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))


class StepPicture:
    """The picture behind `StepExplorer`: the step T of each singular value, on log-log axes.

    Three thin lines are its limits: sigma (gradient descent), 1 (UV') and 1/sigma. Two marks stand
    on the curve at a large and a small mode.
    """

    SIGMAS = (1e-4, 1e1)  # ends of the horizontal axis
    STEPS = (1e-5, 1e3)  # ends of the vertical axis

    def __init__(self) -> None:
        figure = Figure(figsize=(6.4, 4.3), layout="constrained", dpi=100)
        ax = figure.subplots()
        ax.spines[["top", "right"]].set_visible(False)
        ax.set(xscale="log", yscale="log", xlim=self.SIGMAS, ylim=self.STEPS)
        ax.set(
            xlabel="singular value \u03c3 of the gradient", ylabel="length of the step, T(\u03c3)"
        )
        ends = np.array(self.SIGMAS)
        for power, label, colour, dashes, marker in (
            (1, "\u03c3: gradient descent", BLUE, "--", "s"),
            (0, "1: UV'", GREEN, ":", "o"),
            (-1, "1/\u03c3: small modes first", VERMILLION, "-.", "^"),
        ):
            points = np.geomspace(self.SIGMAS[0], self.SIGMAS[1], 6)
            curve(
                ax, points, points**power, label, color=colour, linestyle=dashes, marker=marker,
                linewidth=1.0,
            )  # fmt: skip
        self.curve = curve(ax, ends, ends, "T", color=BLACK, marker=None, linewidth=3)
        look = {"color": BLACK, "markersize": 9, "linestyle": "none"}
        self.marks = [
            curve(ax, [1], [1], "a large mode", marker="D", **look),
            curve(ax, [1], [1], "a small mode", marker="v", **look),
        ]
        ax.legend(frameon=False, fontsize=9, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
        self.fast = FastFigure(
            figure, [self.curve, *self.marks], [BLACK, GREY, BLUE, GREEN, VERMILLION]
        )

    def png(
        self, sigma: np.ndarray, steps: np.ndarray, marks: Sequence[tuple[float, float]]
    ) -> bytes:
        """Draw one state.

        Args:
            sigma: singular values, increasing.
            steps: T at each of them; what leaves the picture is drawn on its edge.
            marks: (sigma, T) of the large and of the small mode.
        """
        self.curve.set_data(sigma, np.clip(steps, *self.STEPS))
        for line, (x, y) in zip(self.marks, marks, strict=True):
            line.set_data([x], [float(np.clip(y, *self.STEPS))])
        return self.fast.png()
