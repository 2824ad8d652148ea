"""How well "when will it be enough?" is forecast: `python tests/benchmarks/forecast.py RAW`.

RAW holds one file for each problem of `problems.learning` and each seed, NAME_SEED.npz: for each k
the losses u{k} of all samples after the k-th at w_k*, and the mean training loss L{k}.

A user with k0 samples to train on and m = max(50, k0/4) more forecasts K; the truth is T(k) on the
samples after the largest k, which the forecast has not seen. A second user measures T on every
other sample after the largest k, and the truth is that of the samples between. Constants are fitted
on six problems and tried on the seventh.
"""

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib
import numpy as np
from scipy import optimize, stats

from landscape_nb.problems.learning import LEARNING_PROBLEMS
from landscape_nb.theory.forecast import CALIBRATION, Calibration, forecast_enough, foreseen
from landscape_nb.theory.learning_curve import LOSS_CALIBRATION

NAMES = [problem.name for problem in LEARNING_PROBLEMS]
SEEDS, STEPS = 40, 4  # the first 40; STEPS half doublings: a factor of 4
USERS = ("k0/4 more samples", "as many as are left")


@dataclass
class Cell:
    """What one user sees up to k0, and what comes; rows are seeds."""

    name: str
    user: str
    ks: np.ndarray
    T: np.ndarray
    relative: np.ndarray
    loss: np.ndarray
    loss_stderr: np.ndarray
    later: np.ndarray
    log_T: np.ndarray
    later_loss: np.ndarray

    @property
    def k0(self) -> int:
        return int(self.ks[-1])


def runs(raw: Path, name: str) -> list[dict]:
    """The measured losses of each seed."""
    stem = name.replace(", ", "_")
    seeds = sorted(
        (int(found[1]), path)
        for path in raw.glob(f"{stem}_*.npz")
        if (found := re.fullmatch(rf"{stem}_(\d+)\.npz", path.name))
    )
    return [dict(np.load(path)) for _, path in seeds[:SEEDS]]


def cells_of(raw: Path, name: str) -> Iterator[Cell]:
    """Every k0 that leaves a factor of four, for both users."""
    data = runs(raw, name)
    ks = sorted(int(key[1:]) for key in data[0] if key[0] == "u")
    for j in range(2, len(ks) - STEPS):
        k0 = ks[j]
        m = max(50, k0 // 4)
        for user, seen, unseen in (
            (USERS[0], lambda u, k, k0=k0, m=m: u[: k0 + m - k], lambda u, k: u[ks[-1] - k :]),
            (USERS[1], lambda u, k: u[ks[-1] - k :][::2], lambda u, k: u[ks[-1] - k :][1::2]),
        ):
            now = np.array([[moments(d, k, seen) for k in ks[: j + 1]] for d in data])
            then = np.array([[moments(d, k, unseen) for k in ks[j + 1 :]] for d in data])
            T, T_stderr, loss, loss_stderr = np.moveaxis(now, -1, 0)
            yield Cell(
                name, user, np.array(ks[: j + 1], float), T, T_stderr / T, loss, loss_stderr,
                np.array(ks[j + 1 :], float), np.log(then[..., 0]), then[..., 2],
            )  # fmt: skip


def moments(d: dict, k: int, chosen: Callable) -> tuple[float, float, float, float]:
    """T(k) and the mean loss over the chosen samples, with standard errors."""
    losses = chosen(d[f"u{k}"], k)
    squares = (losses - d[f"L{k}"]) ** 2
    return squares.mean(), stderr(squares), losses.mean(), stderr(losses)


def stderr(values: np.ndarray) -> float:
    return values.std(ddof=1) / len(values) ** 0.5


# -- the constants ---------------------------------------------------------------------------------

FITTED = ("exponent", "spread", "drift", "tails", "floor", "shared", "skew", "freedom")
Log = Callable[[Cell], tuple]


def squares(cell: Cell) -> tuple:
    """What is foreseen is T, from twice k0 on."""
    return np.log(cell.T), cell.relative, cell.later[1:], cell.log_T[:, 1:]


def losses(cell: Cell) -> tuple:
    """What is foreseen is the unseen loss, from twice to four times k0."""
    later = np.log(cell.later_loss[:, 1:4])
    return np.log(cell.loss), cell.loss_stderr / cell.loss, cell.later[1:4], later


def to_reals(c: Calibration) -> np.ndarray:
    """Numbers without limits, for the optimiser."""
    positive = np.log([c.spread, c.drift, c.tails, c.floor])
    shared = np.log(c.shared / (1 - c.shared))
    return np.array([c.exponent, *positive, shared, c.skew, np.log(c.freedom - 2)])


def from_reals(v: np.ndarray, like: Calibration) -> Calibration:
    """The inverse of `to_reals`."""
    values = [v[0], *np.exp(v[1:5]), 1 / (1 + np.exp(-v[5])), v[6], 2 + np.exp(v[7])]
    return replace(like, **dict(zip(FITTED, map(float, values), strict=True)))


def errors(cell: Cell, what: Log, c: Calibration) -> tuple[np.ndarray, np.ndarray]:
    """Errors of the forecast in standard deviations, and these."""
    log, relative, far, later = what(cell)
    mean, sd = foreseen(cell.ks, log, relative, far, c)
    return (later - mean) / sd, sd


def by_problem(cells: list[Cell], values: list[float]) -> float:
    """Each problem counts the same, and each of its cells."""
    names = [cell.name for cell in cells]
    return float(np.mean([
        np.mean([v for n, v in zip(names, values, strict=True) if n == name])
        for name in dict.fromkeys(names)
    ]))  # fmt: skip


def fitted(cells: list[Cell], what: Log, start: Calibration) -> Calibration:
    """Maximum likelihood, with a weak pull towards the start."""
    origin = to_reals(start)

    def cost(v: np.ndarray) -> float:
        c = from_reals(v, start)
        found = [errors(cell, what, c) for cell in cells]
        scores = [(np.log(sd) - stats.t.logpdf(z, c.freedom)).mean() for z, sd in found]
        return by_problem(cells, scores) + 0.01 * ((v - origin) ** 2).sum()

    options = {"maxiter": 25, "ftol": 1e-5}
    found = optimize.minimize(cost, origin, method="L-BFGS-B", options=options)
    return from_reals(found.x, start)


def left_out(cells: list[Cell], what: Log, start: Calibration) -> dict[str, Calibration]:
    """For each problem the constants that the other six give."""
    return {
        name: fitted([cell for cell in cells if cell.name != name], what, start) for name in NAMES
    }


def stretch(ratios: dict[str, np.ndarray]) -> float:
    """Smallest factor at which the problems are covered 90 % on average, and 85 % each.

    ratios: |error| over half the width of the interval, for each problem.
    """
    mean = stretched(ratios)
    return float(max(mean, *(np.quantile(r, 0.85) for r in ratios.values())))


def stretched(ratios: dict[str, np.ndarray]) -> float:
    """Smallest factor at which the problems are covered 90 % on average."""
    return next(s for s in np.geomspace(0.2, 500, 4000) if covered(ratios, s).mean() >= 0.9)


def covered(ratios: dict[str, np.ndarray], factor: float) -> np.ndarray:
    """Share that is covered, for each problem."""
    return np.array([(r <= factor).mean() for r in ratios.values()])


# -- the truth, and ways to foresee it -------------------------------------------------------------

GRID = np.geomspace(1, 300, 800)
Way = Callable[[Cell, np.ndarray], tuple[np.ndarray, np.ndarray]]


def crossing(far: np.ndarray, log_T: np.ndarray, tolerance: float) -> np.ndarray:
    """First k from which T/(k+1)^2 stays below the tolerance, one for each row."""
    above = log_T - 2 * np.log1p(far) >= np.log(tolerance)
    last = np.where(above.any(1), above.shape[1] - 1 - above[:, ::-1].argmax(1), -1)
    return np.append(far, np.inf)[last + 1]


def targets(cell: Cell) -> Iterator[tuple[float, np.ndarray]]:
    """Tolerances that a typical seed meets at 4 k0, 5.7 k0, 8 k0 ...; K of every seed.

    Log-linear between the measured k. The largest k is no target, so that seeds slower than the
    typical one are still measured; the few beyond are followed with T as k^-0.9.
    """
    far = np.geomspace(cell.later[0], 8 * cell.later[-1], 1500)
    beyond = 0.9 * np.maximum(np.log(far / cell.later[-1]), 0)
    x = np.log(cell.later)
    log_T = np.array([np.interp(np.log(far), x, row) for row in cell.log_T]) - beyond
    for j in range(STEPS - 1, len(cell.later) - 1):
        tolerance = float(np.exp(cell.log_T[:, j].mean()) / (cell.later[j] + 1) ** 2)
        yield tolerance, crossing(far, log_T, tolerance)


def joint(constants: dict[str, Calibration]) -> Way:
    """Ours."""

    def way(cell: Cell, far: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        c = constants[cell.name]
        mean, sd = foreseen(cell.ks, np.log(cell.T), cell.relative, far, c)
        return mean, sd * stats.t.ppf(0.95, c.freedom)

    return way


def straight(x: np.ndarray, y: np.ndarray, x_far: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least squares through each row, with half of its own 90 % prediction interval."""
    X = np.stack([np.ones_like(x), x], 1)
    inverse = np.linalg.inv(X.T @ X)
    line = y @ X @ inverse
    variance = ((y - line @ X.T) ** 2).sum(1) / (len(x) - 2)
    ahead = np.stack([np.ones_like(x_far), x_far], 1)
    leverage = np.einsum("fi,ij,fj->f", ahead, inverse, ahead)
    half = stats.t.ppf(0.95, len(x) - 2) * np.sqrt(variance[:, None] * (1 + leverage))
    return line @ ahead.T, half


def law(cell: Cell, far: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log Delta straight in log k, from k0/8 on (three points at least), with its t interval."""
    late = (cell.ks >= cell.k0 / 8) | (cell.ks >= cell.ks[-3])
    x = np.log(cell.ks[late])
    mean, half = straight(x, np.log(cell.T[:, late]) - 2 * np.log1p(cell.ks[late]), np.log(far))
    return mean + 2 * np.log1p(far), half


def power_law(cell: Cell, far: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A + c k^-b fitted to the unseen loss; T from it by the measured line log T on log loss."""
    rows = [_from_loss(cell.ks, u, T, far) for u, T in zip(cell.loss, cell.T, strict=True)]
    mean, half = map(np.array, zip(*rows, strict=True))
    return mean, half


def _from_loss(ks: np.ndarray, loss: np.ndarray, T: np.ndarray, far: np.ndarray) -> tuple:
    p, covariance = floor_law(ks, loss)
    fall = np.exp(p[1]) * far ** -p[2]
    slopes = np.stack([np.ones_like(far), fall, -fall * np.log(far)], 1)
    ahead = p[0] + fall
    sd = np.sqrt(np.maximum(np.einsum("fi,ij,fj->f", slopes, covariance, slopes), 0)) / ahead
    q, start = np.polyfit(np.log(loss), np.log(T), 1)
    rest = np.log(T) - start - q * np.log(loss)
    variance = (q * sd) ** 2 + (rest**2).sum() / max(len(T) - 2, 1)
    half = stats.t.ppf(0.95, max(len(T) - 3, 1)) * np.sqrt(variance)
    return start + q * np.log(ahead), np.minimum(half, 200.0)


def floor_law(ks: np.ndarray, loss: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(a, log c, b) of a + c k^-b by relative least squares, from two starts; their covariance."""
    bounds = ([0, -20, 0.01], [1.5 * loss.max(), 30, 3.0])
    found = min(
        (
            optimize.least_squares(
                lambda p: (p[0] + np.exp(p[1]) * ks ** -p[2]) / loss - 1,
                [loss.min() / 2, np.log(loss[0] * ks[0] ** b), b],
                bounds=bounds,
            )
            for b in (0.3, 1.0)
        ),
        key=lambda found: found.cost,
    )
    variance = 2 * found.cost / max(len(ks) - 3, 1)
    return found.x, np.linalg.pinv(found.jac.T @ found.jac, rcond=1e-8) * variance


def as_it_is(cell: Cell, far: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """T as it is, and its own standard error."""
    sd = np.repeat(cell.relative[:, -1:], len(far), 1)
    return np.repeat(np.log(cell.T[:, -1:]), len(far), 1), 1.645 * sd


ALTERNATIVES: dict[str, Way] = {
    "power law with a floor, unseen loss": power_law,
    "line through log Delta": law,
    "T as it is": as_it_is,
}


@dataclass
class Trial:
    """One way, tried on one cell and tolerance; arrays over seeds."""

    cell: Cell
    tolerance: float
    K: np.ndarray
    found: np.ndarray
    mean: np.ndarray
    half: np.ndarray

    def ratio(self) -> np.ndarray:
        """|error| at the true K over half the width: at most 1 where the interval covers."""
        x = np.log(self.cell.k0 * GRID)
        at = [
            [np.interp(np.log(K), x, row) for row in rows]
            for K, *rows in zip(self.K, self.mean, self.half, strict=True)
        ]
        mean, half = np.array(at).T
        return np.abs(np.log(self.tolerance) + 2 * np.log1p(self.K) - mean) / half

    def width(self, factor: float) -> np.ndarray:
        """High over low when every half width is multiplied."""
        far, half = self.cell.k0 * GRID, factor * self.half
        ends = [crossing(far, self.mean + sign * half, self.tolerance) for sign in (1, -1)]
        return np.where(np.isinf(ends[0]), np.inf, ends[0]) / np.where(
            np.isinf(ends[1]), 1.0, ends[1]
        )


def trials(cells: list[Cell], way: Way) -> list[Trial]:
    """The way on every cell and tolerance."""
    tried = []
    for cell in cells:
        far = cell.k0 * GRID
        mean, half = way(cell, far)
        for tolerance, K in targets(cell):
            found = crossing(far, mean, tolerance)
            tried.append(Trial(cell, tolerance, K, found, mean, half))
    return tried


def pooled(tried: list[Trial], values: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Values by problem."""
    return {
        name: np.concatenate([v for t, v in zip(tried, values, strict=True) if t.cell.name == name])
        for name in NAMES
    }


def ratios(tried: list[Trial]) -> dict[str, np.ndarray]:
    """|error| over half the width, by problem."""
    return pooled(tried, [t.ratio() for t in tried])


def mean_width(tried: list[Trial], factor: float) -> float:
    """Geometric mean over problems of the median width."""
    widths = pooled(tried, [t.width(factor) for t in tried])
    with np.errstate(divide="ignore"):
        return float(np.exp(np.mean([np.log(np.median(w)) for w in widths.values()])))


def constant_factor(tried: list[Trial], level: float, each: float) -> float:
    """Width of K x/÷ one factor that covers as `stretch` asks: the simplest way to widen."""
    off = pooled(tried, [np.abs(np.log(np.minimum(t.found, 1e9) / t.K)) for t in tried])
    mean = next((w for w in np.arange(0, 9, 0.01) if covered(off, w).mean() >= level), np.inf)
    return float(np.exp(2 * max(mean, *(np.quantile(r, each) for r in off.values()))))


# -- the shipped function, as users call it --------------------------------------------------------


@dataclass
class Answer:
    """What `forecast_enough` says, against the truth."""

    name: str
    k0: int
    K: float
    found: float
    low: float
    high: float
    stopped: float
    continued: float


def answers(cells: list[Cell], constants: dict[str, Calibration], runs: int = 0) -> list[Answer]:
    """One for each cell, tolerance and seed; runs = -1: no standard errors; 5: means of five."""
    return [
        answer
        for cell in cells
        for tolerance, K in targets(cell)
        for answer in _answers(cell, tolerance, K, constants[cell.name], runs)
    ]


def _answers(
    cell: Cell, tolerance: float, K: np.ndarray, c: Calibration, runs: int
) -> Iterator[Answer]:
    ks = cell.ks.astype(int).tolist()
    deltas = cell.T / (cell.ks + 1) ** 2
    size = max(runs, 1)
    for first in range(0, len(K) - size + 1, size):
        rows = slice(first, first + size)
        stderrs = None if runs < 0 else (cell.relative * deltas)[rows]
        f = forecast_enough(ks, deltas[rows], tolerance, stderrs=stderrs, calibration=c)
        later = None if f.if_continued is None else f.if_continued.K
        yield Answer(
            cell.name, cell.k0, float(np.exp(np.log(K[rows]).mean())), _inf(f.K), _inf(f.low),
            _inf(f.high), _inf(f.if_stopped.K), _inf(later),
        )  # fmt: skip


def _inf(k: int | None) -> float:
    return np.inf if k is None else float(k)


def hit(a: Answer) -> bool:
    """Whether K, as a whole number, lies in the interval."""
    return a.low - 1 <= a.K <= a.high


# -- tables ----------------------------------------------------------------------------------------


def median(values: list[float]) -> float:
    return float(np.median(values))


def answer_table(told: list[Answer]) -> Iterator[str]:
    """One row a problem."""
    yield (
        "| problem | k0 | true K, median | factor | covered | K/true | high/low "
        "| if stopped / true | if it went on / true |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    shares = []
    for name in NAMES:
        own = [a for a in told if a.name == name]
        shares.append(np.mean([hit(a) for a in own]))
        factors = [a.K / a.k0 for a in own]
        yield (
            f"| {name} | {min(a.k0 for a in own)} to {max(a.k0 for a in own)} "
            f"| {median([a.K for a in own]):.0f} "
            f"| {np.quantile(factors, 0.05):.1f} to {np.quantile(factors, 0.95):.0f} "
            f"| {shares[-1]:.0%} | {median([a.found / a.K for a in own]):.2f} "
            f"| {median([a.high / a.low for a in own]):.1f} "
            f"| {median([a.stopped / a.K for a in own]):.2f} "
            f"| {median([a.continued / a.K for a in own]):.2f} |"
        )
    yield f"| all | | | | **{np.mean(shares):.0%}** | | {overall_width(told):.1f} | | |"


def overall_width(told: list[Answer]) -> float:
    """Geometric mean over problems of the median high/low."""
    widths = [median([a.high / a.low for a in told if a.name == name]) for name in NAMES]
    return float(np.exp(np.mean(np.log(widths))))


def shares(told: list[Answer]) -> str:
    """Covered on average, and the problem that is covered worst."""
    found = {name: np.mean([hit(a) for a in told if a.name == name]) for name in NAMES}
    worst = min(found, key=found.__getitem__)
    return f"{np.mean(list(found.values())):.0%} ({worst} {found[worst]:.0%})"


def way_table(tried: dict[str, list[Trial]]) -> Iterator[str]:
    """Widths at equal coverage."""
    yield (
        "| way | covers as it comes | high/low then | stretched to 90 % on average | by a constant "
        "factor | stretched to 85 % on each too | by a constant factor |"
    )
    yield "|---|---|---|---|---|---|---|"
    for name, of in tried.items():
        r = ratios(of)
        average = stretched(r)
        yield (
            f"| {name} | {covered(r, 1).mean():.0%}, {covered(r, 1).min():.0%} at worst "
            f"| {mean_width(of, 1):.1f} | {mean_width(of, average):.1f} "
            f"| {constant_factor(of, 0.9, 0.0):.1f} | {mean_width(of, stretch(r)):.1f} "
            f"| {constant_factor(of, 0.9, 0.85):.1f} |"
        )


def loss_table(cells: list[Cell], constants: dict[str, Calibration]) -> Iterator[str]:
    """The unseen loss at twice k0, against a power law with a floor."""
    yield (
        "| problem | covered | high/low | error of log loss | of the power law "
        "| of the loss as it is |"
    )
    yield "|---|---|---|---|---|---|"
    rows = []
    for name in NAMES:
        z, sd, power, still = [], [], [], []
        c = constants[name]
        for cell in (cell for cell in cells if cell.name == name):
            each, its = errors(cell, losses, c)
            truth = np.log(cell.later_loss[:, 1])
            z, sd = [*z, *each[:, 0]], [*sd, *its[:, 0]]
            for u, t in zip(cell.loss, truth, strict=True):
                a, log_c, b = floor_law(cell.ks, u)[0]
                power.append(np.log(a + np.exp(log_c) * cell.later[1] ** -b) - t)
                still.append(np.log(u[-1]) - t)
        q = c.quantile(0.9)
        off = np.array(z) * np.array(sd)
        rows.append([
            np.mean(np.abs(z) <= q), np.exp(2 * q * median(sd)),
            *(np.sqrt(np.mean(np.square(e))) for e in (off, power, still)),
        ])  # fmt: skip
        yield (
            f"| {name} | {rows[-1][0]:.0%} | " + " | ".join(f"{v:.2f}" for v in rows[-1][1:]) + " |"
        )
    mean = np.mean(rows, 0)
    yield f"| all | **{mean[0]:.0%}** | " + " | ".join(f"{v:.2f}" for v in mean[1:]) + " |"


def constants_line(c: Calibration) -> str:
    return ", ".join(f"{name} {getattr(c, name):.2f}" for name in (*FITTED, "unknown", "stretch"))


def picture(tried: dict[str, list[Trial]], path: Path) -> None:
    """Intervals of ours and of the power law, both covering 90 % on average, around the truth."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt  # after the backend is chosen

    figure, axes = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
    colours = {"ours": "#0072B2", "power law with a floor, unseen loss": "#D55E00"}
    for shift, (way, colour) in zip((-0.15, 0.15), colours.items(), strict=True):
        of = tried[way]
        w = np.log(constant_factor(of, 0.9, 0.0)) / 2
        off = pooled(of, [np.log(np.minimum(t.found, 1e9) / t.K) for t in of])
        rows = np.arange(len(NAMES)) + shift
        middle = np.array([np.median(off[name]) for name in NAMES])
        axes.errorbar(
            np.exp(middle), rows, fmt="o" if shift < 0 else "s", color=colour, capsize=3,
            xerr=np.exp(middle) * np.array([[1 - np.exp(-w)], [np.exp(w) - 1]]),
            linestyle="none", label=f"{way}: high/low {np.exp(2 * w):.1f}",
        )  # fmt: skip
        for name, row in zip(NAMES, rows, strict=True):
            spread = np.exp(np.quantile(off[name], [0.05, 0.95]))
            axes.plot(spread, [row, row], color=colour, linewidth=6, alpha=0.25)
    axes.axvline(1, color="black", linewidth=1, linestyle="--")
    axes.set(
        xscale="log", xlabel="forecast K / true K", yticks=range(len(NAMES)), yticklabels=NAMES
    )
    axes.invert_yaxis()
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.14), ncols=2, frameon=False)
    figure.savefig(path, dpi=120)


def with_stretch(constants: dict[str, Calibration], r: dict[str, np.ndarray]) -> dict:
    """Each problem's stretch from the others."""
    return {
        name: replace(c, stretch=stretch({n: v for n, v in r.items() if n != name}))
        for name, c in constants.items()
    }


def main(raw: Path) -> None:
    """Print and write the tables."""
    cells = [cell for name in NAMES for cell in cells_of(raw, name)]
    lines = [TITLE.format(seeds=min(len(cell.T) for cell in cells))]
    T_constants = left_out(cells, squares, CALIBRATION)
    tried = {"ours": trials(cells, joint(T_constants))}
    for name, way in ALTERNATIVES.items():
        tried[name] = trials(cells, way)
    r = ratios(tried["ours"])
    honest = with_stretch(T_constants, r)
    shipped = replace(fitted(cells, squares, CALIBRATION), stretch=stretch(r))
    told = {user: answers([c for c in cells if c.user == user], honest) for user in USERS}
    for user in USERS:
        lines += [f"\n## The user with {user}\n", *answer_table(told[user])]
    everywhere = dict.fromkeys(NAMES, shipped)
    lines += ["\n## The constants\n", f"T: {constants_line(shipped)}\n", CONSTANTS]
    for name, c in honest.items():
        lines.append(f"- without {name}: {constants_line(c)}")
    lines += ["\n## Other input\n", "| input | covered | high/low |", "|---|---|---|"]
    for label, runs, constants in (
        ("constants of the other six", 0, honest),
        ("the same, without standard errors", -1, honest),
        ("the same, the mean of five runs", 5, honest),
        ("the shipped constants, fitted on all seven", 0, everywhere),
    ):
        found = answers(cells, constants, runs)
        lines.append(f"| {label} | {shares(found)} | {overall_width(found):.1f} |")
    lines += ["\n## Alternatives, both users\n", *way_table(tried), ALTERNATIVE_NOTE]
    L_constants = left_out(cells, losses, LOSS_CALIBRATION)
    L_ratios = {
        name: np.concatenate([
            np.abs(errors(c, losses, L_constants[name])[0][:, 0])
            / replace(L_constants[name], stretch=1.0).quantile(0.9)
            for c in cells if c.name == name
        ])
        for name in NAMES
    }  # fmt: skip
    loss_shipped = replace(fitted(cells, losses, LOSS_CALIBRATION), stretch=stretch(L_ratios))
    lines += ["\n## The unseen loss at twice k0, both users\n"]
    lines += loss_table(cells, with_stretch(L_constants, L_ratios))
    lines += [f"\nloss: {constants_line(loss_shipped)}"]
    here = Path(__file__).parent
    picture(tried, here / "forecast.png")
    (here / "forecast.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


TITLE = """# Forecasts of "enough data" against the truth

Written by `python tests/benchmarks/forecast.py RAW`; its docstring says who forecasts what.
{seeds} seeds of each problem, each k0 that leaves a factor of four, tolerances that a typical seed
meets at 4 k0, 5.7 k0, 8 k0 and so on, up to the last k but one. The constants of a row come from
the other six problems, the stretch of the intervals included. Widths are medians, and geometric
means of these over problems; every problem counts the same. Nominal level 90 %."""

CONSTANTS = """(The stretch is the smallest at which the left-out problems are covered 90 % on
average and 85 % each; for a problem left out, that of the others.)
"""

ALTERNATIVE_NOTE = """
"Stretched": every half width of log T times one number, the same for all problems. "By a constant
factor": K times and over one number. Each chosen with the truth in hand, for every way alike; ours
with the constants of the other six."""

if __name__ == "__main__":
    main(Path(sys.argv[1]))
