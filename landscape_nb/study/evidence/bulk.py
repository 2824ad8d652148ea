"""Bulk and outliers under changed data: what moves when clusters are added, or overlap.

S17's abstract: with the data fixed more parameters merely scale the bulk; with the dimension fixed
other data, more clusters or less separable ones, affect only the outliers. So here the network's
size stays (8 outputs, whatever the number of classes), and only the points change; all cells of a
seed share its first weights, its centres and its noise.

The rule, fixed before the table was made: the *bulk* is told by the 50, 75, 90 and 95 % quantiles
of all |eigenvalues|, the *outliers* by the largest eigenvalue, by the effective number of positive
ones, (sum)^2 / sum of squares, and by the place of the largest ratio between neighbours among the
first 25. With N = 160 and more, 95 % leaves at least as many eigenvalues out as there are classes.
Only `lead`, the paired difference of two columns, was added when the table was known.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.wording import rounded
from landscape_nb.problems.models import MLP
from landscape_nb.study.evidence.stored import Study
from landscape_nb.study.evidence.stored import figures as stored_figures
from landscape_nb.study.sweep import Row
from landscape_nb.theory.descent import gradient_descent
from landscape_nb.theory.intervals import (
    Measured,
    geometric_interval,
    mean_interval,
    paired_difference,
    share_interval,
)

DIMENSION, CENTRES, OUTPUTS, SAMPLES = 10, 16, 8, 200
STEPS, LEVEL = 400, 0.3  # of training; loss at which networks are compared as well
QUANTILES = {"q50": 0.5, "q75": 0.75, "q90": 0.9, "q95": 0.95}
DATA = {"2": (2, 1), "4": (4, 1), "8": (8, 1), "4 of 4": (4, 4)}
RECIPE: dict[str, Any] = {"lr": 0.1, "momentum": 0.9}
cross_entropy = torch.nn.CrossEntropyLoss(reduction="none")


def clusters(classes: int, per_class: int, spread: float, seed: int) -> tuple[Tensor, Tensor]:
    """Points around the first classes * per_class of 16 centres, with mean zero, and their classes.

    Centres are uniform in [-1, 1]^10; spread is the standard deviation around them.
    """
    draws = np.random.default_rng(seed)
    centres = draws.uniform(-1, 1, (CENTRES, DIMENSION))
    noise = draws.normal(size=(SAMPLES, DIMENSION))
    cluster = np.arange(SAMPLES) % (classes * per_class)
    x = torch.tensor(centres[cluster] + spread * noise)
    return x - x.mean(0), torch.tensor(cluster % classes)


def network(x: Tensor, y: Tensor, width: int, seed: int, outputs: int) -> EmpiricalLoss:
    """The loss of an untrained network with one hidden layer of tanh units."""
    model = MLP([x.shape[1], width, outputs], generator=torch.Generator().manual_seed(seed))
    return EmpiricalLoss(model, cross_entropy, x, y)


def largest_gap(values: Tensor, within: int) -> int:
    """The i <= within at which lambda_i / lambda_{i+1} is largest, of the positive eigenvalues."""
    positive = values[: within + 1][values[: within + 1] > 0]
    return int((positive[:-1] / positive[1:]).argmax()) + 1


def bulk_and_outliers(values: Tensor) -> Row:
    """What the rule of this module says of a spectrum, the largest eigenvalue first."""
    size, positive = values.abs(), values.clamp(min=0)
    bulk = {name: rounded(size.quantile(share)) for name, share in QUANTILES.items()}
    near = {f"near_{c:g}": rounded((size < c * values[0]).double().mean()) for c in (1e-2, 1e-3)}
    return {
        "top": rounded(values[0]),
        "effective": rounded(positive.sum() ** 2 / positive.square().sum()),
        "gap": largest_gap(values, 25),
        **bulk,
        **near,
    }


def measure(seed: int, data: str, spread: float, width: int) -> list[Row]:
    """The spectrum after 400 steps of training, and where the loss first falls below 0.3."""
    x, y = clusters(*DATA[data], spread, seed)
    loss = network(x, y, width, seed, OUTPUTS)
    path = gradient_descent(loss, SAMPLES, steps=STEPS, **RECIPE)
    at, below = {str(STEPS): len(path.steps) - 1}, (path.values < LEVEL).nonzero()
    if len(below):
        at["matched"] = int(below[0])
    rows = []
    for name, i in at.items():
        values = torch.linalg.eigvalsh(loss.hessian(path.ws[i], SAMPLES)).flip(0)
        told = {"N": loss.num_params, "loss": rounded(path.values[i])}
        rows.append({"step": name, **told, **bulk_and_outliers(values)})
    return rows


BASE: dict[str, Any] = {"data": "4", "spread": 0.4, "width": 16, "step": "400"}
CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "clusters": ({"data": "8"}, {"data": "2"}),
    "per_class": ({"data": "4 of 4"}, {"data": "4"}),
    "overlap": ({"spread": 0.8}, {"spread": 0.4}),
    "width": ({"width": 32}, {"width": 8}),
}


def summary(rows: list[Row]) -> dict[str, Measured]:
    """Factors by which bulk and outliers change when one thing changes, over seeds.

    Names are what changes, then what is looked at: "clusters_q95" is the 95 % quantile with eight
    clusters over that with two; "per_class" is 4 against 1 cluster for each of four classes,
    "overlap" a spread of 0.8 against 0.4, "width" 32 against 8 hidden units. All after 400 steps,
    or with "_matched" where the loss first falls below 0.3.
    """
    found = {}
    for change, (more, less) in CHANGES.items():
        for end, step in (("", "400"), ("_matched", "matched")):
            ends = {**BASE, **more, "step": step}, {**BASE, **less, "step": step}
            for name in ("top", "effective", "loss", *QUANTILES):
                found[f"{change}_{name}{end}"] = _factor(rows, *ends, name)
            found[f"{change}_shape{end}"] = _factor(rows, *ends, _shape)
            found[f"{change}_excess{end}"] = _factor(rows, *ends, _excess)
            found[f"{change}_moved_top{end}"] = _moved(rows, *ends, "top")
            found[f"{change}_moved_q95{end}"] = _moved(rows, *ends, "q95")
            found[f"{change}_lead{end}"] = _lead(rows, *ends)
    wide, narrow = {**BASE, "width": 32}, {**BASE, "width": 8}
    for c in ("0.01", "0.001"):
        found[f"width_others_{c[2:]}"] = _factor(
            rows, wide, narrow, lambda row, c=c: row["N"] * (1 - row[f"near_{c}"])
        )
        both = _values(rows, wide, narrow, f"near_{c}")
        found[f"width_near_{c[2:]}"] = paired_difference(*both.T)
    for data, (classes, per_class) in DATA.items():
        runs = _chosen(rows, {**BASE, "data": data}).values()
        hits = [row["gap"] in (classes * per_class - 1, classes * per_class) for row in runs]
        found[f"gap_{data.replace(' ', '_')}"] = share_interval(sum(hits), len(hits))
    return found


def _chosen(rows: list[Row], cell: dict) -> dict[int, Row]:
    """The rows of a cell by seed."""
    return {r["seed"]: r for r in rows if all(r[name] == value for name, value in cell.items())}


def _values(rows: list[Row], more: dict, less: dict, name: str | Callable) -> np.ndarray:
    """The two values of each seed that has both, (S, 2)."""
    pick = name if callable(name) else lambda row: row[name]
    first, second = _chosen(rows, more), _chosen(rows, less)
    return np.array([[pick(first[s]), pick(second[s])] for s in first if s in second])


def _factor(rows: list[Row], more: dict, less: dict, name: str | Callable) -> Measured:
    both = _values(rows, more, less, name)
    return geometric_interval(both[:, 0] / both[:, 1])


def _moved(rows: list[Row], more: dict, less: dict, name: str) -> Measured:
    """How far a value moves, in units of the largest eigenvalue before the change."""
    return mean_interval(_moves(rows, more, less, name))


def _lead(rows: list[Row], more: dict, less: dict) -> Measured:
    """How much further the largest eigenvalue moves than the edge of the bulk, paired."""
    top, edge = (_moves(rows, more, less, name) for name in ("top", "q95"))
    return paired_difference(top, edge)


def _moves(rows: list[Row], more: dict, less: dict, name: str) -> np.ndarray:
    both, before = _values(rows, more, less, name), _values(rows, more, less, "top")[:, 1]
    return np.abs(both[:, 0] - both[:, 1]) / before


def _shape(row: Row) -> float:
    """Of the bulk, free of its scale."""
    return row["q95"] / row["q75"]


def _excess(row: Row) -> float:
    """How far the largest eigenvalue stands above the edge of the bulk."""
    return row["top"] / row["q95"]


STUDY = Study(
    "Do other data move only the outliers of a spectrum, and other widths only its bulk?",
    measure,
    summary,
    seeds=10,
    grid={"data": list(DATA), "spread": [0.4, 0.8], "width": [8, 16, 32]},
    minutes=4.0,
)


LABELS = {
    "more\nclasses": "clusters",
    "more clusters\na class": "per_class",
    "overlap": "overlap",
    "width": "width",
}
LOOKED_AT = {"$\\lambda_1$": "top", "95 %": "q95", "75 %": "q75", "effective\nnumber": "effective"}


def factors_by_change() -> dict[str, dict[str, dict[str, Measured]]]:
    """The stored factors as a picture takes them: panel -> quantity -> change -> factor.

    >>> overlap = factors_by_change()["After the same steps"]["95 %"]["overlap"]
    >>> bool(overlap.low > 2)
    True
    """
    found = stored_figures("bulk")
    panels = {"After the same steps": "", f"At the same loss, {LEVEL}": "_matched"}
    return {
        title: {
            quantity: {c: found[f"{change}_{name}{end}"] for c, change in LABELS.items()}
            for quantity, name in LOOKED_AT.items()
        }
        for title, end in panels.items()
    }
