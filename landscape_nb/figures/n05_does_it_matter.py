"""Pictures of notebook 05, Going deeper: settled landscapes and held-out losses, seven problems."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from landscape_nb.figures import plots

SAMPLES = "number of samples k"
# Colour, marker and dash of the problems, in order.
LINES = (
    (plots.BLACK, "o", "-"),
    (plots.ORANGE, "^", "--"),
    (plots.SKY, "s", "-."),
    (plots.GREEN, "v", ":"),
    (plots.BLUE, "*", "-"),
    (plots.VERMILLION, "D", "--"),
    (plots.PURPLE, "x", "-."),
)

Curves = tuple[Sequence[int], np.ndarray]  # ks (m,), and one row for each seed (R, m)


def live_over_stored(
    stored: Mapping[str, tuple[Curves, Curves]],
    live: Mapping[str, tuple[Curves, Curves]],
    share: float,
) -> None:
    """What one more sample changes, and the held-out loss: stored seeds shaded, live ones on top.

    Args:
        stored: problem -> (relative change, held-out loss).
        live: the same of the seeds that were just trained.
        share: of the held-out loss, a grey line in the left panel.
    """
    figure, panels = plots.new_figure(2, width=4.8)
    for name, look in zip(stored, LINES[0::3], strict=False):
        for ax, band, rows in zip(panels, stored[name], live[name], strict=True):
            _range_and_runs(ax, band, rows, name, look)
    panels[0].axhline(share, color=plots.GREY, linewidth=0.8)
    panels[0].annotate(
        f"{share:.0%}", (10, share), xytext=(0, 3), textcoords="offset points", color=plots.GREY,
        fontsize=8,
    )  # fmt: skip
    ticks = [10, 40, 160, 640]
    change = "change by one more / held-out loss"
    plots.log_log(panels[0], SAMPLES, change, "One more sample", ticks=ticks)
    plots.log_log(panels[1], SAMPLES, "held-out loss", "The held-out loss", ticks=ticks)
    _plain_ticks(panels[1], [0.05, 0.1, 0.2, 0.5, 1, 2])
    panels[1].legend(frameon=False, fontsize=8)
    inside = [
        np.mean((rows >= band.min(0)) & (rows <= band.max(0)))
        for name in stored
        for (_, band), (_, rows) in zip(stored[name], live[name], strict=True)
    ]
    count = len(next(iter(live.values()))[1][1])
    plots.show(
        figure,
        f"Lines: {count} seed{'s' * (count > 1)}, computed just now. Shaded: from the smallest to "
        f"the largest of the twenty stored seeds; {min(inside):.0%} of the live points or more lie "
        "inside. Left, both problems fall about as 1/k. Right, they do not fall alike.",
    )


def _range_and_runs(
    ax: Axes, stored: Curves, live: Curves, name: str, look: tuple[str, str, str]
) -> None:
    """The range of the stored rows, and each live row as a line."""
    colour, marker, dash = look
    ks, rows = stored
    ax.fill_between(ks, rows.min(0), rows.max(0), color=colour, alpha=0.18, linewidth=0)
    for j, row in enumerate(live[1]):
        plots.curve(
            ax, live[0], row, name, color=colour, marker=marker, linestyle=dash, linewidth=0.9,
            markersize=3, label=None if j else name,
        )  # fmt: skip


def beyond_settled(
    losses: Mapping[str, Curves],
    gains: Mapping[str, tuple[Sequence[int], np.ndarray]],
    K: Mapping[str, int | None],
) -> None:
    """The held-out loss before and after K; what each doubling gains.

    Args:
        losses: problem -> held-out losses.
        gains: problem -> ks (m',), and the mean gain of a doubling from there, (m',), a share.
        K: problem -> from where on the landscape is settled; None: not within the measured k.
    """
    figure, (left, right) = plots.new_figure(2, width=4.8, height=4.3)
    rest = {}
    for (name, (ks, rows)), look in zip(losses.items(), LINES, strict=True):
        colour, marker, dash = look
        style = {"color": colour, "marker": marker, "linestyle": dash, "markersize": 4}
        from_k, gain = gains[name]
        plots.curve(right, from_k, 100 * np.asarray(gain), name, **style)
        if (settled := K[name]) is None:
            continue
        curve = np.log(rows).mean(0)
        curve = np.exp(curve - np.interp(np.log(settled), np.log(ks), curve))
        plots.curve(left, np.array(ks) / settled, curve, name, **style)
        rest[name] = 1 - curve[-1]
    _finish(left, right)
    figure.legend(
        *right.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False,
        fontsize=8,
    )  # fmt: skip
    least, most = (pick(rest, key=lambda name: rest[name]) for pick in (min, max))
    plots.show(
        figure,
        "Left: the held-out loss, divided by that at K. No line turns flat at the dashed line; to "
        f"the last k it falls by another {rest[least]:.0%} ({least}) to {rest[most]:.0%} ({most}). "
        "Right: what twice the data gain. No line stays below 5 %, and that of the teacher dips "
        "below zero, around its K, before it rises again.",
    )


def _finish(left: Axes, right: Axes) -> None:
    """Labels, and the lines that the rules ask about."""
    title = "Held-out loss before and after K"
    plots.log_log(left, "k / K", "held-out loss / that at K", title, ticks=[0.1, 0.3, 1, 3, 10])
    _plain_ticks(left, [0.5, 1, 2, 5, 10, 20])
    left.axvline(1, color=plots.GREY, linewidth=0.9, linestyle="--")
    ticks = [10, 40, 160, 640, 2560]
    right.set(xscale="log", xlabel="k", ylabel="gain of a doubling, from k to 2k [%]")
    right.set_xticks(ticks, [str(tick) for tick in ticks])
    right.set_title("What twice the data gain", fontsize=10)
    for percent in (10, 5, 1):
        right.axhline(percent, color=plots.GREY, linewidth=0.8)


def _plain_ticks(ax: Axes, heights: Sequence[float]) -> None:
    """These heights in plain digits on a logarithmic axis, and no others."""
    ax.set_yticks(heights, [f"{height:g}" for height in heights])
    ax.yaxis.set_minor_formatter(NullFormatter())
