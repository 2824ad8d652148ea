"""Cost against the number of parameters N and of sequences k, and whether it is linear.

Run by hand: python tests/benchmarks/scaling.py

Transformers from 1e5 to 1e7 parameters on 4 sequences of 64 tokens, with their first weights; and
the shipped checkpoint, N = 103 296, on up to 512 sequences. Each point has a process of its own.
Writes scaling.png beside this file.
"""

from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from setting import Measured, in_own_process, measured, use_one_thread, versions

import landscape_nb as ln
from landscape_nb.figures import plots
from landscape_nb.numerics.files import replace_files
from landscape_nb.problems.models import DecoderTransformer, TransformerConfig, sequence_loss
from landscape_nb.problems.pretraining import pretrained

D = 4
TOL = 1e-3
WIDTHS = (64, 128, 224, 384, 672)
SEQUENCES = (8, 16, 32, 64, 128, 256, 512)
FIGURE = Path(__file__).with_name("scaling.png")


class Point(NamedTuple):
    """One model and one number of sequences."""

    x: int  # N or k
    product: float  # seconds per Hessian-vector product, median
    products: int  # of a solve
    solve: float  # seconds
    megabytes: float  # of a solve, with the loss and its graph


def random_model(width: int, k: int = 4) -> ln.EmpiricalLoss:
    run = pretrained(progress=False)[0]
    config = TransformerConfig(len(run.vocabulary), width=width, hidden=4 * width)
    model = DecoderTransformer(config)
    return ln.EmpiricalLoss(model, sequence_loss, run.inputs[:k], run.targets[:k])


def shipped_model(k: int) -> ln.EmpiricalLoss:
    return pretrained(progress=False)[0].loss(k)


def point(build: Callable[[int], ln.EmpiricalLoss], size: int, x_is_N: bool) -> Point:
    """One point, in a process of its own."""
    toy = random_model(16, 2)
    ln.top_eigenpairs(toy, toy.w0, 2, 1, 0.1)
    loss: ln.EmpiricalLoss | None = None

    def prepare() -> None:
        nonlocal loss
        loss = build(size)

    def solve() -> ln.Eigenpairs:
        return ln.top_eigenpairs(loss, loss.w0, loss.num_samples, D, TOL)

    cost: Measured = measured(solve, prepare)
    H = loss.hessian_operator(loss.w0, loss.num_samples)
    v = torch.randn(loss.num_params, generator=torch.Generator().manual_seed(0))
    seconds = [measured(lambda: H(v)).seconds for _ in range(3)]
    return Point(
        loss.num_params if x_is_N else size,
        median(seconds),
        cost.out.hvp_count,
        cost.seconds,
        cost.megabytes,
    )


def slope(points: list[Point], part: Callable[[Point], float]) -> float:
    """Of a line through log(part) against log(x)."""
    logs = np.log([[p.x, part(p)] for p in points])
    return float(np.polyfit(logs[:, 0], logs[:, 1], 1)[0])


def table(name: str, points: list[Point]) -> None:
    print(f"\n| {name} | s / product | products | s / solve | MB |\n|---|---|---|---|---|")
    for p in points:
        print(f"| {p.x} | {p.product:.3f} | {p.products} | {p.solve:.1f} | {p.megabytes:.0f} |")
    print(
        f"| slope | {slope(points, lambda p: p.product):.2f} |  "
        f"| {slope(points, lambda p: p.solve):.2f} "
        f"| {slope(points, lambda p: p.megabytes):.2f} |"
    )
    print(
        f"\nSlope of seconds of a solve per product: "
        f"{slope(points, lambda p: p.solve / p.products):.2f}",
        flush=True,
    )


def draw(ax: Axes, points: list[Point], xlabel: str, title: str, ticks=None) -> None:
    x = [p.x for p in points]
    for name, part, colour, marker, dashes in (
        (f"top {D} pairs, tol {TOL:g}", lambda p: p.solve, plots.BLUE, "o", "-"),
        ("one product", lambda p: p.product, plots.VERMILLION, "s", "--"),
    ):
        y = [part(p) for p in points]
        label = f"{name}: slope {slope(points, part):.2f}"
        plots.curve(ax, x, y, label, color=colour, marker=marker, linestyle=dashes)
        plots.power_law_guide(ax, x, y[0], 1.0, "")
    plots.log_log(ax, xlabel, "seconds, one thread", title, ticks=ticks)
    low, high = ax.get_ylim()
    ax.set_ylim(low, 8 * high)
    ax.legend(frameon=False, fontsize=8, loc="upper left", title="dotted: slope 1")
    ax.get_legend().get_title().set_fontsize(8)


def main() -> None:
    use_one_thread()
    print(versions("torch", "scipy"))
    along_N = [in_own_process(point, random_model, width, True) for width in WIDTHS]
    table("N, 4 sequences", along_N)
    along_k = [in_own_process(point, shipped_model, k, False) for k in SEQUENCES]
    table(f"k, N = {shipped_model(1).num_params}", along_k)
    figure, (left, right) = plots.new_figure(2)
    draw(left, along_N, "number of parameters N", "4 sequences of 64 tokens")
    draw(right, along_k, "number of sequences k", "103 296 parameters", SEQUENCES)
    replace_files({FIGURE: plots.to_png(figure)})


if __name__ == "__main__":
    main()
