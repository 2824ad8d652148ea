"""What the outliers are made of: Hessian, Gauss-Newton matrix, output gradients, class means.

S17's abstract links the large eigenvalues to the covariance of the gradients of the outputs;
Papyan to the class and cross-class means in the Gauss-Newton matrix (arXiv 1901.08244, 2008.11865).
Digits, one hidden layer, trained by gradient descent without an L2 term: three widths, the pictures
as they are and with their mean subtracted, at three steps.
"""

import torch
from torch import Tensor

from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.operators import GaussNewtonOperator
from landscape_nb.numerics.wording import rounded
from landscape_nb.problems.data import digits
from landscape_nb.study.evidence.bulk import RECIPE, largest_gap, network
from landscape_nb.study.evidence.stored import Study
from landscape_nb.study.sweep import Row
from landscape_nb.theory.class_structure import class_structure, output_jacobian, subspace_overlap
from landscape_nb.theory.descent import gradient_descent
from landscape_nb.theory.intervals import (
    Measured,
    geometric_interval,
    mean_interval,
    paired_difference,
    share_interval,
    without_interval,
)

SAMPLES, CLASSES, STEPS, WIDTHS = 150, 10, (0, 20, 100), (4, 8, 12)
MEANS = ("right", "class", "cross")


def picture_network(seed: int, width: int, centred: bool) -> EmpiricalLoss:
    """The digits network of notebook 06, with the mean picture or without it."""
    x, y = digits(SAMPLES, seed=seed)
    return network(x - x.mean(0) if centred else x, y, width, seed, CLASSES)


def top(A: Tensor, D: int = CLASSES) -> Tensor:
    """The eigenvectors of the D largest eigenvalues, (N, D)."""
    return torch.linalg.eigh(A).eigenvectors[:, -D:]


def top_of(F: Tensor, D: int = CLASSES) -> Tensor:
    """The same of F F', by the singular vectors of F."""
    return torch.linalg.svd(F, full_matrices=False).U[:, :D]


def anatomy(loss: EmpiricalLoss, w: Tensor) -> Row:
    """Shares of the ten largest eigenvalues, overlaps with their eigenvectors, sizes of G and R."""
    H, G = loss.hessian(w, SAMPLES), GaussNewtonOperator(loss, w, SAMPLES).dense()
    values, vectors = torch.linalg.eigh(H)
    values, U = values.flip(0), vectors[:, -CLASSES:]
    parts = class_structure(loss, w, SAMPLES)
    J = output_jacobian(loss, w, SAMPLES).flatten(0, 1) / SAMPLES**0.5
    bases = {
        "G": top(G),
        "moment": top_of(J.T),
        "covariance": top_of((J - J.mean(0)).T),
        "means": top_of(parts.means),
        "class": top_of(parts.classes),
    }
    carried = {name: (U.T @ F).square().sum() for name, F in parts.factors.items()}
    whole = (U.T @ H @ U).trace()
    trace = {name: F.square().sum() for name, F in parts.factors.items()}
    below = G.trace() - (U.T @ G @ U).trace()  # of G, outside the ten eigenvectors
    built = sum(F @ F.T for F in parts.factors.values())
    size = values.abs()
    return {
        **{f"overlap_{name}": rounded(subspace_overlap(U, V)) for name, V in bases.items()},
        **{f"share_{name}": rounded(part / whole) for name, part in carried.items()},
        "share_rest": rounded((U.T @ (H - G) @ U).trace() / whole),
        **{f"trace_{name}": rounded(part / G.trace()) for name, part in trace.items()},
        "below_within": rounded((trace["within"] - carried["within"]) / below),
        "top_share": rounded(values[:CLASSES].sum() / values.clamp(min=0).sum()),
        "rest": rounded((H - G).norm() / G.norm()),
        "sum_error": float(f"{float((built - G).norm() / G.norm()):.1g}"),
        "top": rounded(values[0]),
        "gap": largest_gap(values, 24),
        "near_0.01": rounded((size < 1e-2 * values[0]).double().mean()),
        "near_0.001": rounded((size < 1e-3 * values[0]).double().mean()),
    }


def measure(seed: int, width: int, centred: bool) -> list[Row]:
    """`anatomy` at three steps of training."""
    loss = picture_network(seed, width, centred)
    path = gradient_descent(loss, SAMPLES, steps=STEPS[-1], every=20, **RECIPE)
    kept = [(int(step), i) for i, step in enumerate(path.steps) if int(step) in STEPS]
    return [
        {"step": step, "loss": rounded(path.values[i]), **anatomy(loss, path.ws[i])}
        for step, i in kept
    ]


def summary(rows: list[Row]) -> dict[str, Measured]:
    """Width 12 after 100 steps unless the name says otherwise; "raw" with the mean picture."""
    found = {}
    for label, centred in (("raw", False), ("centred", True)):
        last = _cell(rows, centred=centred)
        for name in rows[0]:
            if name.startswith(("overlap_", "share_", "trace_", "top_share", "below_")):
                found[f"{label}_{name}"] = mean_interval([r[name] for r in last])
        means = [sum(r[f"share_{part}"] for part in MEANS) for r in last]
        found[f"{label}_share_means"] = mean_interval(means)
        of_G = [m / (m + r["share_within"]) for m, r in zip(means, last, strict=True)]
        found[f"{label}_means_of_G"] = mean_interval(of_G)
        early = [r for r in rows if r["centred"] == centred and r["step"] == 20]
        for place, hits in (
            ("width", [r["gap"] == r["width"] for r in early]),
            ("classes", [r["gap"] in (CLASSES - 1, CLASSES) for r in early]),
        ):
            found[f"{label}_gap_at_{place}"] = share_interval(sum(hits), len(hits))
    last, early, start = (_cell(rows, step=step) for step in reversed(STEPS))
    found["covariance_against_moment"] = paired_difference(
        [r["overlap_covariance"] for r in last], [r["overlap_moment"] for r in last]
    )
    found["means_against_moment"] = paired_difference(
        [r["overlap_means"] for r in last], [r["overlap_moment"] for r in last]
    )
    found["early_overlap_G"] = mean_interval([r["overlap_G"] for r in early])
    found["start_overlap_G"] = mean_interval([r["overlap_G"] for r in start])
    means = [sum(r[f"share_{part}"] for part in MEANS) for r in early]
    of_G = [m / (m + r["share_within"]) for m, r in zip(means, early, strict=True)]
    found["early_means_of_G"] = mean_interval(of_G)
    errors = [r["sum_error"] for r in rows]
    found["sum_error"] = Measured(max(errors), min(errors), max(errors), len(errors))
    return {**found, **_widths(rows)}


def _widths(rows: list[Row]) -> dict[str, Measured]:
    """How R shrinks at each width, and what is near zero at the widest against the narrowest."""
    found = {}
    for width in WIDTHS:
        first, last = _cell(rows, width=width, step=0), _cell(rows, width=width)
        shrunk = [b["rest"] / a["rest"] for a, b in zip(first, last, strict=True)]
        found[f"rest_factor_{width}"] = geometric_interval(shrunk)
        found[f"rest_{width}"] = mean_interval([r["rest"] for r in last])
    narrow, wide = _cell(rows, width=WIDTHS[0]), _cell(rows, width=WIDTHS[-1])
    for c in ("0.01", "0.001"):
        near = [[r[f"near_{c}"] for r in cell] for cell in (wide, narrow)]
        found[f"near_gain_{c[2:]}"] = paired_difference(near[0], near[1])
        others = [
            (1 - a) * size(WIDTHS[-1]) / ((1 - b) * size(WIDTHS[0]))
            for a, b in zip(*near, strict=True)
        ]
        found[f"others_factor_{c[2:]}"] = geometric_interval(others)
    grown = size(WIDTHS[-1]) / size(WIDTHS[0])
    found["size_factor"] = without_interval(grown, len(wide))
    return found


def size(width: int) -> int:
    """Number of parameters of the digits network."""
    return 64 * width + width + CLASSES * width + CLASSES


def _cell(rows: list[Row], width: int = 12, centred: bool = False, step: int = 100) -> list[Row]:
    """The rows of one cell in the order of the seeds."""
    found = [r for r in rows if (r["width"], r["centred"], r["step"]) == (width, centred, step)]
    return sorted(found, key=lambda r: r["seed"])


STUDY = Study(
    "Which part of the Gauss-Newton matrix makes the outliers of a classifier's Hessian?",
    measure,
    summary,
    seeds=10,
    grid={"width": list(WIDTHS), "centred": [False, True]},
    minutes=3.0,
)
