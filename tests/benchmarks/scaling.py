"""Cost against the number of parameters N and of sequences k, and whether it is linear.

Run by hand: python tests/benchmarks/scaling.py, or a part of it: scaling.py N, scaling.py k

Transformers from 1e5 to 1e7 parameters on 4 sequences of 64 tokens, with their first weights; and
the shipped checkpoint, N = 103 296, on up to 512 sequences. Each point has a process of its own.
The lines along N are followed to 107 million parameters, the paper's size: an extrapolation, and
no measurement. Writes scaling.png beside this file.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from scipy import stats
from setting import Measured, in_own_process, measured, use_one_thread, versions

import landscape_nb as ln
from landscape_nb.figures import plots
from landscape_nb.numerics.files import replace_files
from landscape_nb.problems.models import DecoderTransformer, TransformerConfig, sequence_loss
from landscape_nb.problems.pretraining import pretrained

D = 4
TOL = 1e-3
WIDTHS = (64, 128, 224, 384, 672)
PAPER = 106_954_752  # parameters
SEQUENCES = (8, 16, 32, 64, 128, 256, 512)
FIGURE = Path(__file__).with_name("scaling.png")


class Point(NamedTuple):
    """One model and one number of sequences."""

    x: int  # N or k
    product: float  # seconds per Hessian-vector product, median
    products: int  # of a solve
    solve: float  # seconds
    megabytes: float  # of a solve, with the loss and its graph
    model: float  # seconds for a, c and B of one increment
    direct: float  # seconds for 16 draws of the loss itself
    moment: float  # seconds for the closed form


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
    return Point(
        loss.num_params if x_is_N else size,
        product_seconds(loss),
        cost.out.hvp_count,
        cost.seconds,
        cost.megabytes,
        *later_stages(loss, cost.out.vectors),
    )


def product_seconds(loss: ln.EmpiricalLoss) -> float:
    """Of one more product with one graph."""
    H = loss.hessian_operator(loss.w0, loss.num_samples)
    v = torch.randn(loss.num_params, generator=torch.Generator().manual_seed(0))
    return median(measured(lambda: H(v)).seconds for _ in range(3))


def later_stages(loss: ln.EmpiricalLoss, U: torch.Tensor) -> tuple[float, float, float]:
    """Seconds for the increment's model, for 16 draws of the loss, and for the closed form."""
    w, k = loss.w0, loss.num_samples - 1
    model = measured(lambda: ln.increment_model(loss, w, U, k))
    draws = torch.Generator().manual_seed(0)
    direct = measured(lambda: ln.delta2_subspace(loss, w, U, k, 1e-3, 16, draws))
    moments = measured(lambda: [ln.gaussian_moment(model.out, 1e-3) for _ in range(100)])
    return model.seconds, direct.seconds, moments.seconds / 100


def line(points: list[Point], part: Callable[[Point], float]) -> Any:
    """Through log(part) against log(x)."""
    x, y = np.log([[p.x, part(p)] for p in points]).T
    return stats.linregress(x, y)


def slope(points: list[Point], part: Callable[[Point], float]) -> float:
    """Of a line through log(part) against log(x)."""
    return float(line(points, part).slope)


def with_interval(points: list[Point], part: Callable[[Point], float]) -> str:
    """The slope and its 95 % interval."""
    half = float(stats.t.ppf(0.975, len(points) - 2) * line(points, part).stderr)
    middle = slope(points, part)
    return f"{middle:.2f} ({middle - half:.2f} to {middle + half:.2f})"


def extrapolated(
    points: list[Point], part: Callable[[Point], float], x: float
) -> tuple[float, float, float]:
    """The line at x, and the ends of the 95 % interval of one more point there.

    It holds as far as the line does: what sets in only above the largest point is not in it.
    """
    found, logs = line(points, part), np.log([[p.x, part(p)] for p in points])
    away = np.log(x) - logs[:, 0].mean()
    left = logs[:, 1] - found.intercept - found.slope * logs[:, 0]
    leverage = (1 + (away / logs[:, 0].std()) ** 2) / len(points)
    scatter = left.std(ddof=2) * (1 + leverage) ** 0.5
    middle = found.intercept + found.slope * np.log(x)
    wide = stats.t.ppf(0.975, len(points) - 2) * scatter
    return tuple(float(np.exp(middle + side * wide)) for side in (0, -1, 1))


COLUMNS: dict[str, tuple[Callable[[Point], float], str]] = {
    "s / product": (lambda p: p.product, ".3f"),
    "I: pairs, s": (lambda p: p.solve, ".1f"),
    "MB": (lambda p: p.megabytes, ".0f"),
    "II: a, c, B, s": (lambda p: p.model, ".2f"),
    "III: 16 draws, s": (lambda p: p.direct, ".2f"),
    "III: closed form, s": (lambda p: p.moment, ".1e"),
}


def table(name: str, points: list[Point], beyond: int | None = None) -> None:
    """Points, slopes with 95 % intervals, and the lines at a size beyond the points."""
    print(f"\n| {name} | products | {' | '.join(COLUMNS)} |\n|---|{'---|' * (1 + len(COLUMNS))}")

    def row(first: str, cells: list[str]) -> None:
        print(f"| {first} | {' | '.join(cells)} |")

    for p in points:
        row(f"{p.x}", [f"{p.products}", *(f"{part(p):{form}}" for part, form in COLUMNS.values())])
    *parts, _ = COLUMNS.values()  # the closed form knows D alone: no line
    row("slope", ["", *(with_interval(points, part) for part, _ in parts), ""])
    if beyond:
        cells = [""]
        for part, form in parts:
            middle, low, high = (f"{x:{form}}" for x in extrapolated(points, part, beyond))
            cells.append(f"{middle} ({low} to {high})")
        row(f"{beyond}, **extrapolated**", [*cells, ""])
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


def main(*parts: str) -> None:
    """Both, or those named: N, k; the picture needs both."""
    use_one_thread()
    print(versions("torch", "scipy"))
    along_N, along_k = list[Point](), list[Point]()
    if "N" in parts or not parts:
        along_N = [in_own_process(point, random_model, width, True) for width in WIDTHS]
        table("N, 4 sequences", along_N, PAPER)
    if "k" in parts or not parts:
        along_k = [in_own_process(point, shipped_model, k, False) for k in SEQUENCES]
        table(f"k, N = {shipped_model(1).num_params}", along_k)
    if not (along_N and along_k):
        return
    figure, (left, right) = plots.new_figure(2)
    draw(left, along_N, "number of parameters N", "4 sequences of 64 tokens")
    draw(right, along_k, "number of sequences k", "103 296 parameters", SEQUENCES)
    replace_files({FIGURE: plots.to_png(figure)})


if __name__ == "__main__":
    main(*sys.argv[1:])
