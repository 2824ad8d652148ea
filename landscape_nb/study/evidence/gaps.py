"""The largest gap of a classifier's spectrum, along training, on three kinds of data.

Outliers as many as classes, K, are reported for large networks (Gur-Ari, Roberts and Dyer 2018,
abstract of arXiv 1812.04754: "equal to the number of classes"; KG24, sec. 1). The rule here: the
outliers end where lambda_i / lambda_{i+1} is largest, i = 1..3 K; a blind guess of two places hits
K - 1 or K with chance 2 / (3 K). Width 12, plain gradient descent, 150 samples.
"""

import numpy as np
import torch
from torch import Tensor

from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.wording import rounded
from landscape_nb.problems.data import digits
from landscape_nb.study.evidence.bulk import largest_gap, network
from landscape_nb.study.evidence.stored import Study
from landscape_nb.study.sweep import Row
from landscape_nb.theory.descent import gradient_descent
from landscape_nb.theory.intervals import (
    Measured,
    share_interval,
    without_interval,
)
from landscape_nb.theory.probes import top_eigenpairs

SAMPLES, WIDTH, STEPS = 150, 12, (5, 20, 80, 320)
KINDS = ("random blobs", "clean blobs", "digits")


def blobs(
    n: int, classes: int, seed: int, clean: bool = False, per_class: int = 1
) -> tuple[Tensor, Tensor]:
    """Clouds in ten dimensions and their classes: centres at random, or all equally far apart."""
    draws, clouds = np.random.default_rng(seed), classes * per_class
    centres = 1.8 * np.eye(10)[:clouds] if clean else draws.uniform(-1, 1, (clouds, 10))
    cloud = np.arange(n) % clouds
    x = torch.tensor(centres[cloud] + (0.2 if clean else 0.4) * draws.normal(size=(n, 10)))
    return x - x.mean(0), torch.tensor(cloud % classes)


def task(kind: str, classes: int, seed: int) -> tuple[Tensor, Tensor]:
    """150 inputs and labels of so many classes."""
    if kind != "digits":
        return blobs(SAMPLES, classes, seed, clean=kind == "clean blobs")
    x, y = digits(seed=seed)
    return x[y < classes][:SAMPLES], y[y < classes][:SAMPLES]


def leading(loss: EmpiricalLoss, w: Tensor, count: int) -> Tensor:
    """The largest eigenvalues: from the whole matrix if it is small."""
    if loss.num_params < 400:
        return torch.linalg.eigvalsh(loss.hessian(w, SAMPLES)).flip(0)[:count]
    return top_eigenpairs(loss, w, SAMPLES, count, tol=1e-3).values


def measure(seed: int, kind: str, classes: int) -> list[Row]:
    """Place of the largest gap at four steps, and the ratios behind K - 1 and K."""
    loss = network(*task(kind, classes, seed), WIDTH, seed, classes)
    path = gradient_descent(loss, SAMPLES, lr=0.5, steps=STEPS[-1], every=5)
    rows = []
    for step in STEPS:
        i = int((path.steps == step).nonzero())
        values = leading(loss, path.ws[i], 3 * classes + 1)
        gap = largest_gap(values, 3 * classes)
        ratio = float(values[gap - 1] / values[gap])
        told = {
            "step": step,
            "loss": rounded(path.values[i]),
            "gap": gap,
            "ratio": rounded(ratio),
        }
        rows.append({**told, "hit": gap in (classes - 1, classes)})
    return rows


def summary(rows: list[Row]) -> dict[str, Measured]:
    """Share of hits at K - 1 or K by kind and step, both class numbers together; and chance."""
    found = {}
    for kind in KINDS:
        for step in STEPS:
            hits = [r["hit"] for r in rows if (r["kind"], r["step"]) == (kind, step)]
            found[f"{kind.replace(' ', '_')}_{step}"] = share_interval(sum(hits), len(hits))
        at_width = [r["gap"] == WIDTH for r in rows if r["kind"] == kind]
        found[f"{kind.replace(' ', '_')}_at_width"] = share_interval(sum(at_width), len(at_width))
    chance = float(np.mean([2 / (3 * r["classes"]) for r in rows]))
    return {**found, "chance": without_interval(chance, len(rows))}


STUDY = Study(
    "Is the largest gap of the spectrum at K - 1 or K, and until when?",
    measure,
    summary,
    seeds=10,
    grid={"kind": list(KINDS), "classes": [4, 8]},
    minutes=0.7,
)
