"""How many directions count where no minimiser exists, and does it depend on who is asked.

The tanh networks of the study `influence` without L2: training stops at a small gradient, no
minimum is there. Beside twice the local learning coefficient stand the soft count of the Hessian's
eigenvalues at the same scale, and the criterion at the same point. One case has an L2 term.
"""

import math
from statistics import fmean

import torch
from torch import nn

from landscape_nb.numerics.fit import fit
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.problems.data import digits
from landscape_nb.problems.models import MLP
from landscape_nb.study.evidence.stored import Study
from landscape_nb.study.sweep import Row
from landscape_nb.theory.exponents import log_slope
from landscape_nb.theory.intervals import Measured, geometric_interval, mean_interval
from landscape_nb.theory.learning_coefficient import local_learning_coefficient, soft_count
from landscape_nb.theory.moments import next_sample_mean

# case -> (width, k, l2)
CASES = {
    "k = 100": (8, 100, 0.0),
    "k = 200": (8, 200, 0.0),
    "k = 400": (8, 400, 0.0),
    "width 4": (4, 200, 0.0),
    "width 16": (16, 200, 0.0),
    "L2": (8, 200, 1e-3),
}
ALONG_K, ALONG_WIDTH = list(CASES)[:3], ["width 4", "k = 200", "width 16"]
GAMMAS, STEPS, BOTH = (1.0, 10.0), 400, ("k = 100", "k = 200", "L2")


def trained(seed: int, width: int, k: int, l2: float) -> tuple[EmpiricalLoss, torch.Tensor]:
    """The loss, and where training to a gradient of 1e-3 ends."""
    network = MLP([64, width, 10], generator=torch.Generator().manual_seed(seed))
    cross_entropy = nn.CrossEntropyLoss(reduction="none")
    loss = EmpiricalLoss(network, cross_entropy, *digits(seed=seed), l2=l2)
    return loss, fit(loss, k, tol=1e-3).w


def measure(seed: int, case: str) -> list[Row]:
    """Effective dimension by sampling and by the Hessian, for each localisation."""
    width, k, l2 = CASES[case]
    loss, w = trained(seed, width, k, l2)
    eigenvalues = torch.linalg.eigvalsh(loss.hessian(w, k))
    criterion = float(next_sample_mean(loss.per_sample(w), k))
    rows = []
    for gamma in GAMMAS if case in BOTH else GAMMAS[:1]:
        g = torch.Generator().manual_seed(seed)
        found = local_learning_coefficient(
            loss, w, k, g, localization=gamma, draws=STEPS, burn_in=STEPS
        )
        row = {
            "gamma": gamma,
            "dimension": 2 * found.value,
            "stderr": 2 * found.stderr,
            "drift": 2 * found.drift,
            "acceptance": found.acceptance,
            "soft": soft_count(eigenvalues, gamma * math.log(k) / k),
            "criterion": criterion,
            "train": float(loss.without_l2().value(w, k)),
            "N": loss.num_params,
        }
        rows.append({name: float(f"{value:.4g}") for name, value in row.items()})
    return rows


def summary(rows: list[Row]) -> dict[str, Measured]:
    """Dimensions with intervals, their ratios, and slopes along k and width."""
    found: dict[str, Measured] = {}
    for case in CASES:
        name = case.replace(" = ", "").replace(" ", "").lower()
        low, high = (_column(rows, case, gamma) for gamma in GAMMAS)
        found |= {f"{name}_dimension": geometric_interval([row["dimension"] for row in low])}
        found |= {f"{name}_soft": geometric_interval([row["soft"] for row in low])}
        found |= {f"{name}_excess": _ratio(low, "dimension", low, "soft")}
        if case in BOTH:
            found[f"{name}_by_gamma"] = _ratio(low, "dimension", high, "dimension")
    found["slope_k"] = _slopes(rows, ALONG_K, "dimension", 1)
    found["slope_k_criterion"] = _slopes(rows, ALONG_K, "criterion", 1)
    found["slope_width"] = _slopes(rows, ALONG_WIDTH, "dimension", 0)
    runs = [[row for row in rows if row["seed"] == seed] for seed in {r["seed"] for r in rows}]
    found["drift"] = mean_interval(
        fmean(abs(row["drift"]) / row["dimension"] for row in run) for run in runs
    )
    found["acceptance"] = mean_interval(fmean(row["acceptance"] for row in run) for run in runs)
    return found


def _column(rows: list[Row], case: str, gamma: float) -> list[Row]:
    here = [row for row in rows if row["case"] == case and row["gamma"] == gamma]
    return sorted(here, key=lambda row: row["seed"])


def _ratio(first: list[Row], above: str, second: list[Row], below: str) -> Measured:
    pairs = zip(first, second, strict=True)
    return geometric_interval([a[above] / b[below] for a, b in pairs])


def _slopes(rows: list[Row], cases: list[str], what: str, axis: int) -> Measured:
    runs = zip(*(_column(rows, case, GAMMAS[0]) for case in cases), strict=True)
    x = torch.tensor([CASES[case][axis] for case in cases])
    curves = [torch.tensor([row[what] for row in run]) for run in runs]
    return mean_interval(log_slope(x, curve).value for curve in curves)


STUDY = Study(
    "How many directions count around a trained network, by sampling and by its Hessian?",
    measure,
    summary,
    grid={"case": list(CASES)},
    minutes=4.0,
)
