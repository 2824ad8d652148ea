"""How often do the intervals of enough_data hold the true K? Seven learning problems.

Run by hand: python tests/benchmarks/coverage.py FOLDER [--make RUNS] [--jobs 2]

FOLDER holds the losses of many training runs, one file a run. With --make RUNS it is filled first,
up to that many runs of each problem; an interrupted start goes on where it was. A hundred runs of
all seven take about an hour on two cores. Without --make nothing is trained (three minutes).
Writes coverage.md and coverage.png beside this file.

The population. K is asked of the mean over all runs that might have been made, and there are only
so many. So those in FOLDER *are* the population: R of them are drawn with replacement, which makes
them independent draws from it, and its own mean curve has the true K, exactly. No correction for a
finite pool is left to make. In the same way m next samples are drawn with replacement from the
unseen ones of one run. What this can't see is a kind of run, or of sample, rarer than one in the
pool.
"""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from joblib import Parallel, delayed
from matplotlib import pyplot as plt
from tqdm import tqdm

import landscape_nb as ln
from landscape_nb.problems.learning import LEARNING_PROBLEMS, LearningProblem, learning_problem

HERE = Path(__file__).parent
LEVEL = 0.9
RUNS = [2, 3, 5, 10]
SAMPLES = [50, 120, 400]
# where K lies between the first and the last k, on a logarithmic scale: six tolerances a problem
PLACES = [0.15, 0.3, 0.45, 0.6, 0.75, 0.9]
REPETITIONS = 400  # for each number of runs, times six tolerances
# k in millionths of a sample: rounding to whole ones would widen an interval of 12 to 13
UNIT = 10**6
DRAWS = 600  # for each number of next samples: a random run and a random one of the places

# -- training runs, kept on disk -------------------------------------------------------------------


def file_of(folder: Path, name: str, seed: int) -> Path:
    return folder / f"{name.replace(', ', '_')}_{seed}.npz"


def train(folder: Path, name: str, seed: int) -> None:
    """Losses of the samples after k at the point that the first k led to, for each k."""
    torch.set_num_threads(1)
    problem, path = learning_problem(name), file_of(folder, name, seed)
    loss, w, kept = problem.loss(seed), None, {}
    for k in problem.ks:
        start = w if problem.convex else None
        found = ln.fit(loss, k, start, tol=1e-3, max_iterations=problem.iterations)
        w = found.w
        losses = loss.per_sample(w)
        kept[f"u{k}"], kept[f"L{k}"] = losses[k:].numpy(), float(losses[:k].mean())
        kept[f"g{k}"] = found.grad_norm
    part = path.with_suffix(f".{os.getpid()}.part.npz")
    np.savez_compressed(part, **kept)
    part.rename(path)  # all of it or nothing


def make(folder: Path, runs: int, jobs: int) -> None:
    """Train what is missing, seed by seed, so that an interrupted start has all problems."""
    folder.mkdir(parents=True, exist_ok=True)
    cells = [(p.name, seed) for seed in range(runs) for p in LEARNING_PROBLEMS]
    missing = [cell for cell in cells if not file_of(folder, *cell).exists()]
    work = (delayed(train)(folder, *cell) for cell in missing)
    for _ in tqdm(Parallel(jobs, return_as="generator")(work), total=len(missing), desc="runs"):
        pass


class Pool:
    """All runs of one problem.

    Attributes:
        ks: of the problem, in millionths of a sample.
        curves: (runs, ks), mean squared increment over all samples after k.
        squares: for each run, those of the samples after the last k, (samples, ks).
    """

    def __init__(self, folder: Path, problem: LearningProblem) -> None:
        self.name, self.ks = problem.name, [UNIT * k for k in problem.ks]
        curves, self.squares = [], []
        for path in sorted(
            folder.glob(file_of(folder, problem.name, 0).name.replace("_0.", "_*."))
        ):
            if ".part" in path.name or ".tmp" in path.name:
                continue
            with np.load(path) as kept:
                every = [((kept[f"u{k}"] - kept[f"L{k}"]) / (k + 1)) ** 2 for k in problem.ks]
            curves.append([column.mean() for column in every])
            last = len(every[-1])
            self.squares.append(np.stack([column[-last:] for column in every], axis=1))
        self.curves = np.array(curves)


# -- the oracle, and the interval of before -------------------------------------------------------


def crossing(ks: list[int], curves: np.ndarray, tolerance: float) -> np.ndarray:
    """K of each curve (..., ks), interpolated; 0: before the first k; inf: not reached."""
    x, y, at = np.log(ks), np.log(np.maximum(curves, 1e-300)), np.log(tolerance)
    late = y >= at
    after = np.where(late.any(-1), y.shape[-1] - late[..., ::-1].argmax(-1), 0)
    j = np.clip(after, 1, y.shape[-1] - 1)
    left, right = (np.take_along_axis(y, (j - s)[..., None], -1)[..., 0] for s in (1, 0))
    share = np.clip((left - at) / np.where(left == right, 1.0, left - right), 0, 1)
    K = np.exp(x[j - 1] + share * (x[j] - x[j - 1]))
    return np.where(after == 0, 0.0, np.where(after == y.shape[-1], np.inf, K))


def percentile(
    ks: list[int], rows: np.ndarray, tolerance: float, draw: np.random.Generator, count: int = 500
) -> tuple[float, float]:
    """Percentile bootstrap of the rows: with K interpolated as well, to compare like with like."""
    weights = draw.multinomial(len(rows), [1 / len(rows)] * len(rows), size=count) / len(rows)
    found = np.sort(crossing(ks, weights @ rows, tolerance))
    skip = int((1 - LEVEL) / 2 * (count - 1))
    return found[skip], found[-1 - skip]


def ends(found: ln.EnoughData) -> tuple[float, float]:
    """Numbers that can be compared: 0 for before the first k, inf for not reached."""
    low = np.inf if found.low is None else 0 if found.low == found.first else found.low
    high = np.inf if found.high is None else 0 if found.high == found.first else found.high
    return low, high


def judged(pair: tuple[float, float], K: float, ks: list[int]) -> tuple[bool, float]:
    """Whether an interval holds K, and its width as a ratio, cut at the ends of the grid."""
    low, high = pair
    inside = np.clip([low, high], ks[0], ks[-1])
    return low <= K <= high, inside[1] / inside[0]


Asked = tuple[np.ndarray, float, float]


def judge(
    ks: list[int], asked: list[Asked], interval: Callable, draw: np.random.Generator
) -> np.ndarray:
    """(asked, 4): covered and width, of the interval and of the percentile bootstrap."""
    return np.array(
        [
            (
                *judged(ends(interval(ks, rows, tolerance)), K, ks),
                *judged(percentile(ks, rows, tolerance, draw), K, ks),
            )
            for rows, tolerance, K in asked
        ],
        dtype=float,
    )


# -- the two studies ------------------------------------------------------------------------------


def tolerance_at(ks: list[int], mean: np.ndarray, place: float) -> tuple[float, float]:
    """A tolerance that the mean curve meets at this place of the grid, and the true K."""
    x = np.log(ks)
    tolerance = float(np.exp(np.interp(x[0] + place * (x[-1] - x[0]), x, np.log(mean))))
    return tolerance, float(crossing(ks, mean, tolerance))


def over_runs(pool: Pool, R: int) -> np.ndarray:
    """(repetitions, places, 4), for R runs."""
    draw = np.random.default_rng(R)
    targets = [tolerance_at(pool.ks, pool.curves.mean(0), place) for place in PLACES]
    sets = [pool.curves[draw.integers(0, len(pool.curves), R)] for _ in range(REPETITIONS)]
    asked = [(rows, *target) for rows in sets for target in targets]
    return judge(pool.ks, asked, ln.enough_data_interval, draw).reshape(REPETITIONS, len(PLACES), 4)


def over_next_samples(pool: Pool, m: int) -> np.ndarray:
    """(draws, 1, 4), for m unseen samples of one run."""
    draw, generator = np.random.default_rng(m), torch.Generator().manual_seed(m)

    def asked() -> Asked:
        squares = pool.squares[draw.integers(len(pool.squares))]
        target = tolerance_at(pool.ks, squares.mean(0), PLACES[draw.integers(len(PLACES))])
        return (squares[draw.integers(0, len(squares), m)], *target)

    def interval(ks: list[int], rows: np.ndarray, tolerance: float) -> ln.EnoughData:
        return ln.one_run_interval(ks, rows, tolerance, generator)

    return judge(pool.ks, [asked() for _ in range(DRAWS)], interval, draw)[:, None]


# -- table and picture ----------------------------------------------------------------------------

Study = dict[str, dict[str, np.ndarray]]


def study(pools: list[Pool]) -> Study:
    columns = {f"R = {R}": (over_runs, R) for R in RUNS}
    columns |= {f"1 run, m = {m}": (over_next_samples, m) for m in SAMPLES}
    cells = [(pool, column) for pool in pools for column in columns]
    found: Study = {pool.name: {} for pool in pools}
    for pool, column in tqdm(cells, desc="coverage"):
        measure, number = columns[column]
        found[pool.name][column] = measure(pool, number)
    return found


def table(found: Study, cell: Callable[[np.ndarray], str], sizes: dict[str, str]) -> str:
    columns = list(next(iter(found.values())))
    lines = [["problem", "runs, unseen", *columns], ["---"] * (len(columns) + 2)]
    lines += [[name, sizes[name], *map(cell, row.values())] for name, row in found.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def coverage(cell: np.ndarray) -> str:
    return f"{100 * cell[..., 0].mean():.0f} ({100 * cell[..., 2].mean():.0f})"


def width(cell: np.ndarray) -> str:
    return f"{np.median(cell[..., 1]):.2f} ({np.median(cell[..., 3]):.2f})"


def extremes(cell: np.ndarray) -> str:
    each = 100 * cell[..., 0].mean(0)
    return f"{each.min():.0f} to {each.max():.0f}" if len(each) > 1 else ""


def written(found: Study, pools: list[Pool]) -> str:
    sizes = {p.name: f"{len(p.curves)}, {len(p.squares[0])}" for p in pools}
    some = {name: {c: x for c, x in row.items() if c[0] == "R"} for name, row in found.items()}
    within = np.array([[c[..., 0].mean() for c in row.values()] for row in found.values()])
    good = (abs(within - LEVEL) <= 0.05).sum()
    return f"""# Coverage of the intervals for K, nominal {100 * LEVEL:g} %

    python tests/benchmarks/coverage.py FOLDER --make 100

Times that the interval held the true K, in %; in brackets the percentile bootstrap. R runs:
{REPETITIONS} repetitions of {len(PLACES)} tolerances; one run: {DRAWS} draws of m unseen samples.
Standard error 1 to 2. {good} of {within.size} lie within 85 to 95. "Runs, unseen" are the
populations that were drawn from, with replacement. K is taken before it is rounded up to whole
samples, which can only add to the coverage.

{table(found, coverage, sizes)}

Median width, high/low:

{table(found, width, sizes)}

Lowest and highest of the {len(PLACES)} tolerances:

{table(some, extremes, sizes)}

![Coverage](coverage.png)
"""


COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
MARKS = "osD^vPX"


def drawn(found: Study, path: Path) -> None:
    columns = list(next(iter(found.values())))
    figure, axes = plt.subplots(figsize=(10, 4.6), layout="constrained")
    axes.axhspan(85, 95, color="0.9", zorder=0)
    axes.axhline(100 * LEVEL, color="0.5", linewidth=1, zorder=1)
    for i, (name, row) in enumerate(found.items()):
        x = np.arange(len(columns)) + (i - (len(found) - 1) / 2) * 0.11
        for method, fill in ((0, COLOURS[i]), (2, "white")):
            # of a repetition's mean over the tolerances: those of one repetition go together
            each = np.array([100 * c[..., method].mean(1) for c in row.values()], dtype=object)
            y = [float(e.mean()) for e in each]
            error = [2 * float(e.std()) / len(e) ** 0.5 for e in each]
            axes.errorbar(
                x, y, error, fmt=MARKS[i], color=COLOURS[i], markerfacecolor=fill, markersize=5,
                linewidth=1, label=None if method else name,
            )  # fmt: skip
    axes.axvline(len(RUNS) - 0.5, color="0.8", linewidth=1)
    axes.plot([], [], "o", color="0.3", markerfacecolor="white", label="percentile bootstrap")
    axes.set_xticks(range(len(columns)), columns)
    axes.set(ylabel="true K inside the interval, %", ylim=(None, 100))
    axes.legend(fontsize=8, ncols=2, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("folder", type=Path)
    asked.add_argument("--make", type=int, default=0, metavar="RUNS", help="of each problem")
    asked.add_argument("--jobs", type=int, default=1, help="processes that train")
    options = asked.parse_args()
    torch.set_num_threads(1)
    if options.make:
        make(options.folder, options.make, options.jobs)
    pools = [Pool(options.folder, problem) for problem in LEARNING_PROBLEMS]
    pools = [pool for pool in pools if len(pool.curves) > 1]
    if not pools:
        raise SystemExit(f"No runs in {options.folder}: train some with --make 20.")
    found = study(pools)
    (HERE / "coverage.md").write_text(written(found, pools))
    drawn(found, HERE / "coverage.png")
    print(written(found, pools))


if __name__ == "__main__":
    main()
