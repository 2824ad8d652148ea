"""How the criteria of KG26 fall with k on a network of digits, averaged over every unseen digit.

Notebook 04's network and protocol: MLP 64-16-10, tanh, L2 1e-3, trained anew for each k, warm along
k. Beside the criteria as defined stands Delta_1 as KG26's published code measures it, and what the
same network shows when it is frozen.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from landscape_nb.numerics.fit import FitResult, fit_path
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.wording import rounded
from landscape_nb.problems.data import digits
from landscape_nb.problems.models import MLP
from landscape_nb.study.evidence.stored import Study
from landscape_nb.theory.exponents import log_slope
from landscape_nb.theory.increment import increment
from landscape_nb.theory.intervals import Measured, mean_interval, paired_difference
from landscape_nb.theory.moments import next_sample_mean, permutation_mean
from landscape_nb.theory.next_samples import next_sample_table
from landscape_nb.theory.probes import top_eigenpairs
from landscape_nb.theory.tables import full_space_table

Row = dict[str, Any]
KS = (20, 31, 48, 74, 114, 176, 271, 419, 647, 1000)
D = 10
DISTANCE, DIRECTIONS = 0.02, 50  # of KG26's published code, fig2_delta_k_decay


def trained(seed: int, ks: tuple[int, ...] = KS, n: int = 1297) -> tuple[EmpiricalLoss, list]:
    """Notebook 04's loss for one seed (order of digits, first weights), and a fit for each k."""
    model = MLP([64, 16, 10], generator=torch.Generator().manual_seed(seed))
    entropy = nn.CrossEntropyLoss(reduction="none")
    loss = EmpiricalLoss(model, entropy, *digits(n, seed=seed), l2=1e-3, batch_size=2048)
    return loss, fit_path(loss, ks, progress=False)


def published_delta1(loss: EmpiricalLoss, w: Tensor, k: int, generator: torch.Generator) -> float:
    """Delta_1 as KG26's published code measures it, averaged over every unseen sample.

    (1/M) sum_j |I_k(w + eps d_j)|,  d_j uniform on the unit sphere,  M = 50, eps = 0.02

    (`compute_delta1` of its scripts; the text, Eq. 2, has the point w itself, eps = 0.)

    >>> from landscape_nb.problems.toys import quadratics
    >>> loss = EmpiricalLoss(*quadratics(4, 3).parts)
    >>> near = published_delta1(loss, loss.w0, 2, torch.Generator().manual_seed(0))
    >>> at = increment(loss.per_sample(loss.w0)[2:], loss.value(loss.w0, 2), 2).abs().mean()
    >>> abs(near / float(at) - 1) < 0.1
    True
    """
    directions = torch.randn(DIRECTIONS, len(w), dtype=torch.float64, generator=generator).to(w)
    found = []
    for d in directions / directions.norm(dim=1, keepdim=True):
        losses = loss.per_sample(w + DISTANCE * d)
        found.append(increment(losses[k:], losses[:k].mean(), k).abs().mean())
    return float(torch.stack(found).mean())


def measure(seed: int, ks: tuple[int, ...] = KS, n: int = 1297, D: int = D) -> list[Row]:
    """One row for each k, means over all unseen samples.

    delta1, published: |I| at w_k*, and as the published code has it; squared: I^2 at w_k*; T: times
    (k + 1)^2; subspace, full: Delta_2^(D) and Delta_2 at sigma = 1e-3; missing, missing_wide: what
    their ratio lacks of 1, at 1e-3 and at 1e-2; gradient, curvature: the parts of Delta_2^(D)
    without their powers of sigma; frozen, frozen_delta1: I^2
    and |I| of weights trained on the first ks[0] only, over orders of the others.
    """
    loss, fits = trained(seed, ks, n)
    generator = torch.Generator().manual_seed(10_000 + seed)
    full = full_space_table(loss, [f.w for f in fits], ks, num_probes=6, generator=generator)
    others = loss.per_sample(fits[0].w, range(ks[0], n))
    rows, start = [], None
    for j, (k, found) in enumerate(zip(ks, fits, strict=True)):
        start = top_eigenpairs(loss, found.w, k, D, start=start).vectors
        table = next_sample_table(loss, found.w, start, k)
        squared = float(next_sample_mean(loss.per_sample(found.w), k))
        near, wide = table.at(D, 1e-3), table.at(D, 1e-2)
        row: dict[str, float | Tensor] = {
            "delta1": _mean_absolute(loss, found, k),
            "published": published_delta1(loss, found.w, k, generator),
            "squared": squared,
            "T": squared * (k + 1) ** 2,
            "subspace": near.total[0],
            "full": full.at(1, 1e-3).total[j],
            "missing": 1 - near.total[0] / full.at(1, 1e-3).total[j],
            "missing_wide": 1 - wide.total[0] / full.at(1, 1e-2).total[j],
            "gradient": table.gradient[0, -1],
            "curvature": table.curvature[0, -1],
            "frozen": permutation_mean(others, k),
            "frozen_delta1": _frozen_absolute(others, k, generator),
        }
        rows.append({"k": k, **{name: rounded(value) for name, value in row.items()}})
    return rows


def summary(rows: list[Row]) -> dict[str, Measured]:
    """Slopes along k of each criterion, one a seed, with intervals; differences are paired."""
    skipped = ("seed", "k", "missing", "missing_wide")
    slopes = {name: _slopes(rows, name) for name in rows[0] if name not in skipped}
    found = {f"slope_{name}": mean_interval(each) for name, each in slopes.items()}
    pairs = {
        "published_minus_definition": ("published", "delta1"),
        "squared_minus_twice_delta1": ("squared", "twice_delta1"),
        "subspace_minus_full": ("subspace", "full"),
        "delta1_minus_squared": ("delta1", "squared"),
        "gradient_minus_squared": ("gradient", "squared"),
        "curvature_minus_squared": ("curvature", "squared"),
    }
    slopes["twice_delta1"] = 2 * slopes["delta1"]
    for name, (first, second) in pairs.items():
        found[name] = paired_difference(slopes[first], slopes[second])
    seeds = sorted({row["seed"] for row in rows})
    groups = [[row for row in rows if row["seed"] == seed] for seed in seeds]
    near = [np.mean([row["published"] / row["delta1"] for row in group]) for group in groups]
    found["published_over_definition"] = mean_interval(near)
    for name in ("missing", "missing_wide"):
        found[name] = mean_interval([max(abs(row[name]) for row in group) for group in groups])
    return found


def _slopes(rows: list[Row], name: str) -> np.ndarray:
    """Slope on log-log axes against k + 1, one a seed."""
    seeds = sorted({row["seed"] for row in rows})
    groups = [[row for row in rows if row["seed"] == seed] for seed in seeds]
    curves = [
        torch.tensor([(r["k"] + 1.0, r[name]) for r in group], dtype=torch.float64)
        for group in groups
    ]
    return np.array([log_slope(curve[:, 0], curve[:, 1]).value for curve in curves])


def _mean_absolute(loss: EmpiricalLoss, found: FitResult, k: int) -> Tensor:
    losses = loss.per_sample(found.w)
    return increment(losses[k:], losses[:k].mean(), k).abs().mean()


def _frozen_absolute(losses: Tensor, k: int, generator: torch.Generator, orders: int = 50) -> float:
    """Mean |I| after the first k of `losses`, over random orders (50: chosen here)."""
    found = []
    for _ in range(orders):
        shuffled = losses[torch.randperm(len(losses), generator=generator)]
        found.append((shuffled[k:] - shuffled[:k].mean()).abs().mean() / (k + 1))
    return float(torch.stack(found).mean())


STUDY = Study(
    question="How fast does each criterion fall with k, averaged over every unseen digit?",
    measure=measure,
    summary=summary,
    seeds=20,
    minutes=3.0,
)
