"""Corollary 4 against measurement, the probes against each other, and the criterion against L_k.

At the kept network of the study `n25`, as N25 does it: the ten largest eigenvalues of the Hessian
of the first k batches, k = 9 to 40, in one order of the batches; their changes in the formula of
Corollary 4 at sigma = 1; a moving average. At networks trained anew: the curvature part at sigma =
0.01, for every unseen digit as the next one.

    python -m landscape_nb evidence n25_formula --jobs 1
"""

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.study.evidence import n25
from landscape_nb.study.evidence.n25 import BATCHES, SIZE, seeded
from landscape_nb.study.evidence.stored import Study
from landscape_nb.study.sweep import Row
from landscape_nb.theory.criteria import next_sample_average
from landscape_nb.theory.exponents import log_slope
from landscape_nb.theory.increment import IncrementModels, next_sample_models
from landscape_nb.theory.intervals import Measured, geometric_interval, mean_interval
from landscape_nb.theory.moments import (
    gaussian_moment,
    next_sample_mean,
    permutation_mean,
    spectral_formula,
)
from landscape_nb.theory.probes import random_subspace, top_eigenpairs

FIRST, LAST = 9, 40  # the k with eigenvalues: more took too long
BEGIN = 18  # a third of the batches is left out of the plots against L_k, as in N25's code
ORDERS, WINDOWS = 50, {"five": 2, "eleven": 5}  # N25's text, and its published code


def measure(seed: int) -> Row:
    """All figures of a seed, to four digits."""
    row = {**_kept_formula(seed), **_kept_trends(seed), **_anew_probes(seed), **_anew_trend(seed)}
    return {name: float(f"{float(value):.4g}") for name, value in row.items()}


def moving_average(values: np.ndarray, half: int) -> np.ndarray:
    """Mean of 2 half + 1 neighbours; beyond the ends the last value is repeated, as in N25."""
    window = np.ones(2 * half + 1) / (2 * half + 1)
    return np.convolve(np.pad(values, half, mode="edge"), window, mode="valid")


def _kept_formula(seed: int) -> Row:
    """Formula over measurement at sigma = 1, and over the exact curvature part on the ten."""
    loss, w = n25.kept(seed)
    U, grid = n25.kept_top(seed), np.arange(FIRST, LAST)
    full = spectral_formula(_full_eigenvalues(loss, w, U).diff(dim=0), 1.0).numpy()
    small = _compressed(loss, w, U)[FIRST - 1 :]
    B = small.diff(dim=0)  # of L_{k+1} - L_k
    d = torch.linalg.eigvalsh(small).flip(-1).diff(dim=0)
    exact = (2 * B.square().sum((1, 2)) + B.diagonal(dim1=1, dim2=2).sum(1).square()) / 4
    measured = {}
    for name, columns in (("ten", U), ("one", U[:, :1])):
        means = n25.batch_means(n25.cloud_losses(loss, w, columns, 1.0, 64, seed))
        measured[name] = np.array([float(permutation_mean(means, int(k)).mean()) for k in grid])
    compressed = spectral_formula(d, 1.0)
    over = {
        f"full_over_{name}_{window}": moving_average(full, half) / moving_average(curve, half)
        for window, half in WINDOWS.items()
        for name, curve in measured.items()
    }
    return {
        **{name: np.exp(np.log(ratio).mean()) for name, ratio in over.items()},
        **{name.replace("over", "above"): (ratio > 1).mean() for name, ratio in over.items()},
        "full_over_exact": np.exp(np.log(full / exact.numpy()).mean()),
        "full_above_exact": (full > exact.numpy()).mean(),
        "compressed_over_exact": float((compressed / exact).max()),
        "model_over_ten": np.exp(np.log(exact.numpy() / measured["ten"]).mean()),
    }


def _full_eigenvalues(loss: EmpiricalLoss, w: Tensor, U: Tensor) -> Tensor:
    """The ten largest eigenvalues of the Hessian of k batches, k = FIRST .. LAST, (k, 10)."""
    found = []
    for k in range(FIRST, LAST + 1):
        pairs = top_eigenpairs(loss, w, k * SIZE, 10, tol=1e-2, start=U)
        U = pairs.vectors
        found.append(pairs.values)
    return torch.stack(found)


def _compressed(loss: EmpiricalLoss, w: Tensor, U: Tensor) -> Tensor:
    """U' H^(k) U for k = 1 .. LAST batches, (k, 10, 10): running means of each batch's own."""
    rows = (range(j * SIZE, (j + 1) * SIZE) for j in range(LAST))
    own = torch.stack([U.T @ loss.hvp(w, U, batch) for batch in rows])
    return own.cumsum(0) / torch.arange(1, LAST + 1, dtype=own.dtype)[:, None, None]


def _kept_trends(seed: int) -> Row:
    """How Delta_k and L_k(w*) go together at the kept network, over orders of its batches.

    N25's code averages Delta_k over orders and takes L_k in one; `same` takes both in that one.
    """
    loss, w = n25.kept(seed)
    centre = n25.batch_means(loss.per_sample(w)[:, None])[:, 0]
    means = n25.batch_means(n25.cloud_losses(loss, w, n25.kept_top(seed), 1.0, 64, seed))
    ks = np.arange(BEGIN, BATCHES)
    averaged = np.array([float(permutation_mean(means, int(k)).mean()) for k in ks])
    trends: dict[str, list] = {"apart": [], "same": []}
    counts = torch.arange(1, BATCHES + 1, dtype=centre.dtype)
    for j in range(ORDERS):
        order = torch.randperm(BATCHES, generator=seeded(10_000 * seed + j))
        L = (centre[order].cumsum(0) / counts)[BEGIN - 1 : BATCHES - 1].numpy()
        own = moving_average(n25.in_order(means[order]).mean(1).numpy(), 2)[BEGIN - 1 :]
        trends["apart"].append(stats.linregress(L, averaged))
        trends["same"].append(stats.linregress(L, own))
    return {
        f"{name}_{what}": np.mean(values)
        for name, lines in trends.items()
        for what, values in (
            ("rises", [line.slope > 0 for line in lines]),
            ("r2", [line.rvalue**2 for line in lines]),
        )
    }


def _anew_probes(seed: int) -> Row:
    """Top ten against random ten at sigma = 0.01, the model at larger sigma, and Corollary 4."""
    row = {}
    for k in (20, 80, 320):
        models = {name: _models(seed, k, U) for name, U in _probes(seed, k).items()}
        parts = {name: gaussian_moment(model, 0.01) for name, model in models.items()}
        curvature, whole = (
            {name: float(getattr(part, what).mean()) for name, part in parts.items()}
            for what in ("curvature", "total")
        )
        row[f"factor_{k}"] = curvature["top"] / curvature["random"]
        row[f"whole_{k}"] = whole["top"] / whole["random"]
        row[f"share_{k}"] = curvature["top"] / whole["top"]
        if k == 80:
            row |= {
                f"model_{name}_{sigma:g}": _model_over_measured(seed, k, name, models[name], sigma)
                for name in models
                for sigma in (0.1, 1.0, 10.0)
            }
        else:
            row |= _corollary(seed, k, models["top"])
    return row


def _probes(seed: int, k: int) -> dict[str, Tensor]:
    top = n25.anew_top(seed, k)
    return {"top": top, "random": random_subspace(len(top), 10, seeded(100 + seed))}


def _models(seed: int, k: int, U: Tensor) -> IncrementModels:
    loss, fits = n25.anew(seed)
    return next_sample_models(loss, fits[k].w, U, k)


def _model_over_measured(
    seed: int, k: int, name: str, models: IncrementModels, sigma: float
) -> float:
    """The Gaussian moment over direct Monte Carlo, both averaged over every unseen digit."""
    loss, fits = n25.anew(seed)
    U = _probes(seed, k)[name]
    direct = next_sample_average(loss, fits[k].w, k, sigma, 20, seeded(seed), U=U)
    return float(gaussian_moment(models, sigma).total.mean() / direct.value)


def _corollary(seed: int, k: int, models: IncrementModels) -> Row:
    """Corollary 4 over the exact curvature part: means over six next digits; worst of all."""
    loss, fits = n25.anew(seed)
    w, U = fits[k].w, n25.anew_top(seed, k)
    before = torch.diagonal(U.T @ loss.hvp(w, U, k)).sort(descending=True).values
    d = torch.linalg.eigvalsh(torch.diag(before) + models.B).flip(-1) - before
    exact = gaussian_moment(models, 0.01).curvature
    six = range(len(exact))[:: len(exact) // 6][:6]
    after = torch.stack(
        [
            top_eigenpairs(loss, w, torch.tensor([*range(k), k + i]), 10, tol=1e-3, start=U).values
            for i in six
        ]
    )
    full = spectral_formula(after - before, 0.01)
    return {
        f"anew_compressed_{k}": float((spectral_formula(d, 0.01) / exact).max()),
        f"anew_full_{k}": float(full.mean() / exact[six].mean()),
    }


def _anew_trend(seed: int) -> Row:
    """Delta_k at the centre against the loss of the unseen digits, over 16 values of k."""
    loss, fits = n25.anew(seed)
    rows = []
    for k in n25.GRID:
        losses = loss.per_sample(fits[k].w)
        rows.append([losses[:k].mean(), losses[k:].mean(), next_sample_mean(losses, k)])
    training, unseen, delta = np.array(rows, dtype=float).T
    power = log_slope(torch.tensor(unseen), torch.tensor(delta))
    smooth = {
        f"power_{name}": log_slope(*(torch.tensor(moving_average(c, h)) for c in (unseen, delta)))
        for name, h in WINDOWS.items()
    }
    return {
        "power": power.value,
        **{name: slope.value for name, slope in smooth.items()},
        "power_r2": power.r2,
        "line_r2": stats.linregress(unseen, delta).rvalue ** 2,
        "training_falls": stats.linregress(training, delta).slope < 0,
    }


GEOMETRIC = ("over", "factor", "model", "whole", "anew_full")


def summary(rows: list[Row]) -> dict[str, Measured]:
    """Each column with its interval: of the logarithm where it is a ratio."""
    names = [name for name in rows[0] if name != "seed"]
    return {
        name: (geometric_interval if any(part in name for part in GEOMETRIC) else mean_interval)(
            [row[name] for row in rows]
        )
        for name in names
    }


STUDY = Study(
    question="Is Corollary 4 an upper bound, which probe sees more, and is Delta_k linear in L_k?",
    measure=measure,
    summary=summary,
    minutes=1.1,
    seeds=10,
)
