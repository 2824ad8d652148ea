"""Large batch and small batch, one basin or two.

S17's abstract (later revision): small and large batches appear to converge to different basins, and
are connected through their flat region. Three second end points B are compared with A, the end of
full-batch training: *continued*, small batches from A on; *same start*, small batches from A's own
first weights; *independent*, the full batch from other first weights. The barrier is the largest
height of the loss above the chord of its values at A and B, on the straight line between.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.wording import rounded
from landscape_nb.problems.data import digits
from landscape_nb.study.evidence.bulk import RECIPE, network
from landscape_nb.study.evidence.gaps import blobs
from landscape_nb.study.evidence.stored import Study
from landscape_nb.study.evidence.stored import rows as stored_rows
from landscape_nb.study.sweep import Row
from landscape_nb.theory.descent import Descent, gradient_descent
from landscape_nb.theory.intervals import (
    Measured,
    mean_interval,
    paired_difference,
    share_interval,
    sign_test,
    without_interval,
)

ALL, SAMPLES, STEPS = 450, 150, 100
ENDS = ("continued", "same start", "independent")
T = torch.linspace(0, 1, 21, dtype=torch.float64)


def samples(kind: str, seed: int) -> tuple[Tensor, Tensor]:
    """450 inputs and labels, 150 of them to train on."""
    return digits(ALL, seed=seed) if kind == "digits" else blobs(ALL, 4, seed, per_class=2)


def trained(loss: EmpiricalLoss, **changes: Any) -> Descent:
    """The recipe of notebook 06: a hundred steps with the full batch."""
    return gradient_descent(loss, SAMPLES, **{"steps": STEPS, **RECIPE, **changes})


def second_end(kind: str, seed: int, name: str, loss: EmpiricalLoss, A: Tensor) -> Tensor:
    """The end point B, in one of three ways."""
    if name == "independent":
        other = network(*samples(kind, seed), 8, 100 + seed, loss_outputs(loss))
        return trained(other, every=STEPS).w
    small = {"batch_size": 16, "generator": torch.Generator().manual_seed(seed), "every": 200}
    return trained(loss, steps=200, w=A if name == "continued" else loss.w0, **small).w


def loss_outputs(loss: EmpiricalLoss) -> int:
    """Number of outputs."""
    return loss.outputs(loss.w0, 1).shape[1]


def barrier(loss: EmpiricalLoss, A: Tensor, B: Tensor, k: int | range) -> float:
    """The largest height above the chord; zero if there is no hill."""
    v = torch.stack([loss.value(A + t * (B - A), k) for t in T])
    return float((v - (1 - T) * v[0] - T * v[-1]).max())


def measure(seed: int, kind: str) -> list[Row]:
    """Barriers on the way to the three ends."""
    x, y = samples(kind, seed)
    outputs, held_out = int(y.max()) + 1, range(SAMPLES, ALL)
    loss = network(x, y, 8, seed, outputs)
    A, rows = trained(loss).w, []
    distance = None
    for name in ENDS:
        B = second_end(kind, seed, name, loss, A)
        length = float((B - A).norm())
        distance = distance or length  # of the continued end, the first one
        as_far = A + distance / length * (B - A)
        rows.append({
            "what": name,
            "barrier": rounded(barrier(loss, A, B, SAMPLES)),
            "held_out": rounded(barrier(loss, A, B, held_out)),
            "distance": rounded(length),
            "loss": rounded(loss.value(B, SAMPLES)),
            "loss_A": rounded(loss.value(A, SAMPLES)),
            "as_far": rounded(loss.value(as_far, SAMPLES)),
        })  # fmt: skip
    return rows


def summary(rows: list[Row]) -> dict[str, Measured]:
    """Barriers over both kinds of data, twenty runs."""
    found = {}
    by = {name: {(r["kind"], r["seed"]): r for r in rows if r["what"] == name} for name in ENDS}
    for name, runs in by.items():
        label = name.replace(" ", "_")
        for part in ("barrier", "held_out"):
            values = [r[part] for r in runs.values()]
            found[f"{label}_{part}"] = mean_interval(values)
        flat = [r["barrier"] < 0.02 for r in runs.values()]
        found[f"{label}_flat"] = share_interval(sum(flat), len(flat))
        found[f"{label}_distance"] = mean_interval([r["distance"] for r in runs.values()])
    for other in ("same start", "independent"):
        pairs = [(by[other][run]["barrier"], r["barrier"]) for run, r in by["continued"].items()]
        label = f"{other.replace(' ', '_')}_higher"
        found[label] = paired_difference([a for a, _ in pairs], [b for _, b in pairs])
        if other == "independent":  # from the same start nearly all differences are zero
            p = sign_test([a - b for a, b in pairs])
            found[f"{label}_p"] = without_interval(p, len(pairs))
    climbs = [r["as_far"] - r["loss_A"] for r in by["independent"].values()]
    found["as_far_climb"] = mean_interval(climbs)
    return found


STUDY = Study(
    "Do large and small batches end in one basin?",
    measure,
    summary,
    seeds=10,
    grid={"kind": ["digits", "blobs"]},
    minutes=0.4,
)


def barriers_by_way() -> dict[str, dict[str, np.ndarray]]:
    """The stored barriers of all runs: way to the second end -> part of the samples -> (20,).

    >>> {way: len(parts["held-out"]) for way, parts in barriers_by_way().items()}
    {'continued': 20, 'same start': 20, 'independent': 20}
    """
    parts = {"training": "barrier", "held-out": "held_out"}
    found = {way: [r for r in stored_rows("basin") if r["what"] == way] for way in ENDS}
    return {
        way: {part: np.array([r[name] for r in runs]) for part, name in parts.items()}
        for way, runs in found.items()
    }
