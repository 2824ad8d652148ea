"""What scatters log Delta_k: first weights, order of the data, choice of next samples.

Run by hand, after coverage.py has filled its folder: python tests/benchmarks/scatter.py FOLDER

    total          variance of log Delta_k over the runs of FOLDER: all three sources
    next samples   s^2/(m mean^2) of one run, averaged over runs: m of all its unseen samples
    first weights  variance over first weights, within an order of the data: ten orders with three
                   first weights each are trained for it (a few minutes)
    order          what is left: which k samples are trained on

A convex problem has one minimiser for each k, whatever the first weights: their part is zero there,
and nothing is trained for it. Variances are given as shares of the total.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from coverage import Pool
from tqdm import tqdm

import landscape_nb as ln
from landscape_nb.problems.learning import LEARNING_PROBLEMS, LearningProblem, learning_problem

HERE = Path(__file__).parent
TRAINED = ["digits, linear", "digits, MLP", "diabetes, MLP", "teacher, MLP"]
ORDERS, WEIGHTS = 10, 3
M = 120


def some_ks(problem: LearningProblem) -> list[int]:
    """Three places: early, in the middle, late."""
    last = len(problem.ks) - 1
    return [round(share * last) for share in (0.25, 0.55, 0.85)]


def log_delta(loss: ln.EmpiricalLoss, start: torch.Tensor, k: int, iterations: int) -> float:
    losses = loss.per_sample(ln.fit(loss, k, start, tol=1e-3, max_iterations=iterations).w)
    return float((losses[k:] - losses[:k].mean()).square().mean().log() - 2 * np.log(k + 1))


def of_first_weights(problem: LearningProblem, places: list[int]) -> np.ndarray:
    """Variance over first weights within an order, at each place; 20 degrees of freedom."""
    if problem.convex:
        return np.zeros(len(places))
    table = np.empty((ORDERS, WEIGHTS, len(places)))
    for order in tqdm(range(ORDERS), desc=problem.name):
        loss = problem.loss(order)
        for i in range(WEIGHTS):
            start = problem.loss(1000 + WEIGHTS * order + i).w0  # another seed's weights
            for j, place in enumerate(places):
                table[order, i, j] = log_delta(loss, start, problem.ks[place], problem.iterations)
    return table.var(1, ddof=1).mean(0)


def of_next_samples(pool: Pool, place: int) -> float:
    """Variance of the log of a mean over all of a run's unseen samples, to first order."""
    one = [run[:, place] for run in pool.squares]
    return float(np.mean([(x.std(ddof=1) / x.mean()) ** 2 for x in one]))


def lines(problem: LearningProblem, folder: Path) -> list[str]:
    pool, places = Pool(folder, problem), some_ks(problem)
    weights = of_first_weights(problem, places) if problem.name in TRAINED else [None] * 3
    found = []
    for place, from_weights in zip(places, weights, strict=True):
        k = problem.ks[place]
        unseen = len(pool.squares[0]) + problem.ks[-1] - k
        total = float(np.log(pool.curves[:, place]).var(ddof=1))
        one = of_next_samples(pool, place)
        cells = [f"{problem.name}, k = {k}", f"{total**0.5:.2f}", str(unseen)]
        cells += [f"{100 * one / unseen / total:.0f}"]
        if from_weights is None:
            cells += ["", ""]
        else:
            rest = max(total - one / unseen - from_weights, 0.0)
            cells += [f"{100 * part / total:.0f}" for part in (from_weights, rest)]
        # with fewer unseen samples their part grows, and the others stay
        fewer = total + one * (1 / M - 1 / unseen)
        cells += [f"{100 * one / M / fewer:.0f}"]
        found.append(f"| {' | '.join(cells)} |")
    return found


def main() -> None:
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    head = ["problem", "sd of log Delta", "unseen", "next samples, %", "first weights, %"]
    head += ["order, %", f"next samples if only {M}, %"]
    rows = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for problem in LEARNING_PROBLEMS:
        rows += lines(learning_problem(problem.name), folder)
    text = "\n".join(rows)
    (HERE / "scatter.md").write_text(
        "# Where the scatter of log Delta comes from\n\n"
        "    python tests/benchmarks/scatter.py FOLDER     # after coverage.py\n\n"
        f"{text}\n\n"
        "Shares of the variance over runs, of the mean over all unseen samples. First weights:\n"
        "with a standard error of a third (20 degrees of freedom); empty where nothing was\n"
        "trained for them; a convex problem has none. Order: what is left, namely which k samples\n"
        "were trained on. Next samples: to first order, s^2/(m mean^2).\n"
    )
    print(text)


if __name__ == "__main__":
    main()
