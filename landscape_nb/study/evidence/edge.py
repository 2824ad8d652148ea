"""Sharpness while training: the edge of stability, its absence, and small against full batches.

A tanh network 64-16-16-10 on 100 digits, pixels with their mean subtracted, as in notebook 02.

    python -m landscape_nb evidence edge --jobs 1
"""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from landscape_nb.numerics.loss import EmpiricalLoss, LossFunction
from landscape_nb.problems.data import digits
from landscape_nb.problems.models import MLP
from landscape_nb.study.evidence.stored import Study
from landscape_nb.study.sweep import Row
from landscape_nb.theory.descent import Descent, gradient_descent
from landscape_nb.theory.intervals import (
    Measured,
    geometric_interval,
    mean_interval,
    paired_difference,
    share_interval,
)
from landscape_nb.theory.probes import top_eigenpairs

SAMPLES, EDGE_RATES, BATCH_RATES, SAME_LOSS = 100, (0.4, 0.6), (0.3, 0.1), 0.27
cross_entropy = nn.CrossEntropyLoss(reduction="none")


def squared(outputs: Tensor, labels: Tensor) -> Tensor:
    """Half the squared distance from the label's unit vector, (n,)."""
    return (outputs - one_hot(labels, 10).to(outputs)).square().sum(1) / 2


def small_net(seed: int, loss_fn: LossFunction) -> EmpiricalLoss:
    """The loss of an untrained network on a seed's first hundred digits."""
    x, y = digits(SAMPLES, seed=seed)
    model = MLP([64, 16, 16, 10], generator=torch.Generator().manual_seed(seed))
    return EmpiricalLoss(model, loss_fn, x - x.mean(0), y)


def sharpness_along(loss: EmpiricalLoss, path: Descent) -> np.ndarray:
    """The largest eigenvalue at every kept point; each search starts from the last one's vector."""
    values, start = [], None
    for w in path.ws:
        pair = top_eigenpairs(loss, w, SAMPLES, 1, tol=1e-2, start=start)
        values.append(float(pair.values[0]))
        start = pair.vectors
    return np.array(values)


def measure(seed: int) -> Row:
    """The edge at two rates, cross-entropy without it, and two batch sizes at two rates."""
    row: Row = {}
    for lr in EDGE_RATES:
        row |= {f"{name}_{lr}": value for name, value in _edge(seed, lr).items()}
    row |= _entropy(seed)
    for lr in BATCH_RATES:
        row |= {f"{name}_{lr}": value for name, value in _batches(seed, lr).items()}
    return {name: float(f"{float(value):.4g}") for name, value in row.items()}


def _edge(seed: int, lr: float) -> Row:
    """Full batch, 600 steps, a look at every 50: sharpness in units of 2 / lr, and the loss."""
    loss = small_net(seed, squared)
    path = gradient_descent(loss, SAMPLES, lr, 600, every=50)
    over, falling = sharpness_along(loss, path) * lr / 2, path.values.numpy()
    return {
        "start": over[0],
        "at_150": over[3],
        "late": over[9:].mean(),
        "late_least": over[9:].min(),
        "late_most": over[9:].max(),
        "end": over[-1] * 2 / lr,  # the sharpness itself
        "falls": falling[-1] / falling[6],
        "rising_looks": (np.diff(falling) > 0).sum(),
    }


def _entropy(seed: int) -> Row:
    """The peak under cross-entropy, and what is left of it after 200 steps, lr 1.5."""
    loss = small_net(seed, cross_entropy)
    over = sharpness_along(loss, gradient_descent(loss, SAMPLES, 1.5, 200, every=20)) * 1.5 / 2
    return {"entropy_peak": over.max(), "entropy_left": over[-1] / over.max()}


def _batches(seed: int, lr: float) -> Row:
    """Sharpness with batches of 5 and of all: after 160 steps, and where the loss is 0.27."""
    row = {}
    for batch in (5, SAMPLES):
        loss, generator = small_net(seed, squared), torch.Generator().manual_seed(seed)
        path = gradient_descent(
            loss, SAMPLES, lr, 160, every=20, batch_size=batch, generator=generator
        )
        low = (path.values <= SAME_LOSS).nonzero()[:, 0].tolist()
        points = {"steps": path.w, "loss": path.ws[low[0]] if low else None}
        for name, w in points.items():
            row[f"{name}_{batch}"] = math.nan if w is None else _sharpness(loss, w)
        row[f"value_{batch}"] = float(path.values[-1])
    return row


def _sharpness(loss: EmpiricalLoss, w: Tensor) -> float:
    return float(top_eigenpairs(loss, w, SAMPLES, 1, tol=1e-2).values[0])


def ratios(rows: list[Row], comparison: str, lr: float) -> list[float]:
    """Sharpness with all samples over that with batches of 5, of each seed that came so far."""
    pairs = [(row[f"{comparison}_100_{lr}"], row[f"{comparison}_5_{lr}"]) for row in rows]
    return [full / small for full, small in pairs if math.isfinite(full / small)]


def summary(rows: list[Row]) -> dict[str, Measured]:
    """Where the sharpness ends, by how much small batches are flatter, and in how many seeds."""
    found = {}
    for lr in EDGE_RATES:
        tag = str(lr).replace(".", "p")
        for name in ("late", "falls", "rising_looks"):
            found[f"{name}_{tag}"] = mean_interval(row[f"{name}_{lr}"] for row in rows)
        climbs = [row[f"at_150_{lr}"] / row[f"start_{lr}"] for row in rows]
        found[f"climbs_{tag}"] = geometric_interval(climbs)
        near = [
            abs(row[f"{end}_{lr}"] - 1) < 0.3 for row in rows for end in ("late_least", "late_most")
        ]
        within = [a and b for a, b in zip(near[::2], near[1::2], strict=True)]
        found[f"near_{tag}"] = share_interval(sum(within), len(within))
    small, large = ([row[f"end_{lr}"] for row in rows] for lr in EDGE_RATES)
    found["larger_rate_flatter"] = paired_difference(small, large)
    found["entropy_peak"] = mean_interval(row["entropy_peak"] for row in rows)
    found["entropy_left"] = mean_interval(row["entropy_left"] for row in rows)
    for lr in BATCH_RATES:
        for comparison in ("steps", "loss"):
            name, found_ratios = f"{comparison}_0p{str(lr)[2:]}", ratios(rows, comparison, lr)
            found[f"full_over_small_{name}"] = geometric_interval(found_ratios)
            flatter = sum(ratio > 1 for ratio in found_ratios)
            found[f"flatter_{name}"] = share_interval(flatter, len(found_ratios))
    return found


STUDY = Study(
    question="Where does the sharpness end, and what do the learning rate and the batch do to it?",
    measure=measure,
    summary=summary,
    minutes=0.6,
    seeds=12,
)
