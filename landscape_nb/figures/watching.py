"""The picture of a training that is being watched."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from IPython.display import DisplayHandle, display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from landscape_nb.figures import plots

Rows = Sequence[Mapping[str, Any]]
_SAMPLES = "samples trained on, k"


def watched_training(rows: Rows) -> tuple[Figure, str]:
    """Four panels against steps, or against k where the data grow: the figure and its sentence.

    Losses; the criterion with its parts and the tolerance; the largest eigenvalue with its
    residual; how many samples are forecast to be enough, beside those that there are.

    Args:
        rows: as `ln.Watch` and `ln.read_watch` give them.

    Raises:
        ValueError: there are no rows.
    """
    if not rows:
        raise ValueError("There are no rows to draw yet; call the watch in the training loop.")
    figure, axes = plots.new_figure(4, width=3.4, height=3.4)
    figure.set_layout_engine(None)  # finding a layout takes half of the time
    figure.subplots_adjust(left=0.05, right=0.99, top=0.92, bottom=0.36, wspace=0.34)
    drawn, x, label = _horizontal(rows)
    for ax, draw in zip(axes, (_losses, _criterion, _curvature, _enough), strict=True):
        title, ylabel = draw(ax, drawn, x)
        plots.log_log(ax, label, ylabel, title)
        _keep_readable(ax, x, label)
    return figure, sentence(rows)


def sentence(rows: Rows) -> str:
    """What the rows say, in words."""
    row = rows[-1]
    if row["value"] is None:
        return f"The last row, at step {row['step']}, could not be measured: {row['problem']}"
    times = row["value"] / row["tolerance"] if row["tolerance"] else float("inf")
    settled = "settled: below" if times < 1 else f"not settled: {times:.3g} times"
    words = [
        f"At step {row['step']}, trained on k = {row['k']} samples, the loss of unseen samples is "
        f"{row['unseen_loss']:.3g} and of seen ones {row['seen_loss']:.3g}; one more sample would "
        f"change the loss by {row['delta1']:.2g} on average, which is {settled} the tolerance."
    ]
    eigenvalues = [r["lambda_1"] for r in rows if r["lambda_1"] is not None]
    if eigenvalues:
        words.append(f"The largest eigenvalue is {eigenvalues[-1]:.3g}.")
    if row["tail_index"] > 0.7:  # NaN: too few samples to say
        words.append("A few hard samples carry the criterion, so that its value is doubtful.")
    if row["enough"] is not None and row["enough"] <= row["k"]:
        words.append("By the forecast no more samples are needed.")
    elif row["enough"] is not None:
        ends = [row["enough_low"], row["enough_high"]]
        low, high = ("?" if end is None else f"{end}" for end in ends)
        interval = "if learning stopped now" if ends == [None, None] else f"{low} to {high}"
        words.append(f"Enough would be {row['enough']} samples ({interval}).")
    return " ".join(words)


def show_watch(rows: Rows) -> None:
    """Display the picture and its sentence."""
    plots.show(*watched_training(rows))


def draw_live(rows: Rows, handle: DisplayHandle | None) -> DisplayHandle | None:
    """Display the picture, or put it in the place of the last one; returns what to call again with.

    A plain picture and no Output widget. Its text is always the same, so that outputs of a
    notebook can be compared; the sentence is its alternative text.
    """
    figure, words = watched_training(rows)
    data = {
        "image/png": base64.b64encode(plots.to_png(figure)).decode(),
        "text/plain": "A training that is being watched.",
    }
    shown = {"metadata": {"image/png": {"alt": words}, "needs_background": "dark"}, "raw": True}
    if handle is None:
        return display(data, display_id=True, **shown)
    handle.update(data, **shown)
    return handle


def _horizontal(rows: Rows) -> tuple[Rows, np.ndarray, str]:
    """Rows and what they stand over: the last of each k where the data grow, else all by steps."""
    last = {row["k"]: row for row in rows}
    name, label = ("k", _SAMPLES) if len(last) > 1 else ("step", "training steps")
    drawn = [last[k] for k in sorted(last)] if name == "k" else [*rows]
    return drawn, np.array([row[name] for row in drawn], dtype=float), label


def _column(rows: Rows, name: str) -> np.ndarray:
    return np.array([np.nan if row[name] is None else row[name] for row in rows], dtype=float)


def _line(
    ax: Axes, x: np.ndarray, y: np.ndarray, name: str, errors: np.ndarray | None = None, **look: Any
) -> None:
    """What was measured and can stand on a logarithmic axis, joined over what was not."""
    kept = np.isfinite(y) & (y > 0)
    if not kept.any():
        return
    line = plots.curve(ax, x[kept], y[kept], name, **look)
    if errors is not None:
        low = np.maximum(y - errors, y / 10)[kept]
        ax.fill_between(
            x[kept], low, (y + errors)[kept], color=line.get_color(), alpha=0.18, linewidth=0
        )


def _losses(ax: Axes, rows: Rows, x: np.ndarray) -> tuple[str, str]:
    _line(ax, x, _column(rows, "unseen_loss"), "top", label="unseen samples")
    _line(ax, x, _column(rows, "seen_loss"), "random", label="samples trained on")
    return "Loss", "mean loss"


def _criterion(ax: Axes, rows: Rows, x: np.ndarray) -> tuple[str, str]:
    _line(ax, x, _column(rows, "value"), "value", marker="o")
    for part in ("gradient", "curvature"):
        _line(ax, x, _column(rows, part), part, _column(rows, f"{part}_stderr"))
    _line(
        ax, x, _column(rows, "tolerance"), "tolerance", color=plots.BLACK, marker=None,
        linestyle=":",
    )  # fmt: skip
    return "Change by one more sample", "mean squared change, loss$^2$"


def _curvature(ax: Axes, rows: Rows, x: np.ndarray) -> tuple[str, str]:
    values, residuals = _column(rows, "lambda_1"), _column(rows, "residual")
    _line(ax, x, values, "top", residuals, label=r"$\lambda_1$, band: residual")
    certified = np.array([bool(row["certified"]) for row in rows])
    if certified.any():
        ax.plot(
            x[certified], values[certified], linestyle="none", marker="o", markersize=9,
            markerfacecolor="none", color=plots.BLACK, label="certified",
        )  # fmt: skip
    return "Sharpness", r"largest eigenvalue $\lambda_1$"


def _enough(ax: Axes, rows: Rows, x: np.ndarray) -> tuple[str, str]:
    _line(ax, x, _column(rows, "enough"), "guess", label="forecast")
    low, high = _column(rows, "enough_low"), _column(rows, "enough_high")
    ax.fill_between(x, low, high, color=plots.VERMILLION, alpha=0.18, linewidth=0)
    _line(
        ax, x, _column(rows, "k"), "k", color=plots.BLACK, marker=None, linestyle="-",
        label="samples so far",
    )  # fmt: skip
    return "How many would be enough?", "samples"


def _keep_readable(ax: Axes, x: np.ndarray, label: str) -> None:
    """One range for all panels, few plain ticks, and a legend that hides nothing."""
    if ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(0, -0.22))
    if not ax.lines:
        ax.text(0.5, 0.5, "not measured yet", ha="center", transform=ax.transAxes, fontsize=9)
        ax.set_yticks([])
        ax.yaxis.set_minor_locator(NullLocator())
    if label == _SAMPLES:  # a study over k has its points evenly spaced on a logarithmic axis
        ax.set_xlim(x[0] / 1.15, x[-1] * 1.15)
        every = max(1, -(-len(x) // 4))
        ticks = x[::-1][::every]
        ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.xaxis.set_minor_locator(NullLocator())
    else:
        ax.set_xscale("linear")
        margin = 0.05 * (x.max() - x.min()) or 1
        ax.set_xlim(x.min() - margin, x.max() + margin)
        ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    if ax.lines:
        plots.plain_digits(ax)
