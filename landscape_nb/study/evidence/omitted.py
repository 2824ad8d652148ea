"""How much of the sigma^4 part of E I^2 Eq. 15 leaves out, on the network of notebook 04.

KG26 states Eq. 15 for the quadratic model and calls the estimator a local surrogate (sec. 5 and
7). Here, along the top ten directions of H^(k) and for every unseen digit as the next one: what
the surrogate lacks, exactly (`theory.expansion`); and, by evaluating the loss, whether that is what
the true criterion differs by.
"""

import torch
from torch import Tensor

from landscape_nb.numerics.fit import fit
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.wording import rounded
from landscape_nb.problems.learning import learning_problem
from landscape_nb.study.evidence.stored import Study
from landscape_nb.study.sweep import Row
from landscape_nb.theory.expansion import omitted_terms
from landscape_nb.theory.increment import IncrementModels, increment, next_sample_models
from landscape_nb.theory.intervals import (
    Measured,
    mean_interval,
    paired_difference,
)
from landscape_nb.theory.moments import gaussian_moment
from landscape_nb.theory.probes import top_eigenpairs

D = 10  # as in KG26's Figs. 5 and 6
SIGMAS = 0.03, 0.1  # of the direct averages: chosen here, where a difference can be seen
PAIRS = 200  # of opposite draws: chosen here


def measure(seed: int, k: int) -> Row:
    """The coefficients of one network, and direct averages beside them."""
    loss = learning_problem("digits, MLP").loss(seed)
    found = fit(loss, k, tol=1e-4, max_iterations=1000)
    U = top_eigenpairs(loss, found.w, k, D).vectors
    models = next_sample_models(loss, found.w, U, k)
    moment, omitted = gaussian_moment(models, 1.0), omitted_terms(loss, found.w, U, k)
    parts = {p: getattr(moment, p).mean() for p in ("value", "cross", "gradient", "curvature")}
    row = {**parts, "third": omitted.third.value, "fourth": omitted.fourth.value}
    row["grad_norm"] = found.grad_norm
    for sigma in SIGMAS:
        generator = torch.Generator().manual_seed(seed)
        for name, difference in _differences(loss, found.w, U, models, k, sigma, generator).items():
            row[f"{name}_{sigma:g}"] = difference.mean() / sigma**4
            row[f"{name}_{sigma:g}_stderr"] = difference.std() / PAIRS**0.5 / sigma**4
    return {name: rounded(number) for name, number in row.items()}


def _differences(
    loss: EmpiricalLoss,
    w: Tensor,
    U: Tensor,
    models: IncrementModels,
    k: int,
    sigma: float,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """True minus quadratic, squared increments of opposite draws, averaged: (PAIRS,) each.

    Opposite draws, because what is odd in z averages to nothing and would only be noise.
    """
    raw, centred = [], []
    for _ in range(PAIRS):
        z = sigma * torch.randn(D, generator=generator, dtype=torch.float64)
        pair = torch.stack([z, -z])
        losses = torch.stack([loss.per_sample(w + U @ point) for point in pair])
        true = increment(losses[:, k:], losses[:, :k].mean(1, keepdim=True), k)
        model = models.at(pair)
        raw.append((true.square() - model.square()).mean())
        a = models.a
        centred.append(((true - a).square() - (model - a).square()).mean())
    return {"raw": torch.stack(raw), "centred": torch.stack(centred)}


def summary(rows: list[Row]) -> dict[str, Measured]:
    """Shares of the curvature part, of the whole criterion, and measured beside foretold.

    Names end in the k. "raw_share": (third + fourth)/curvature; "centred_share": third/curvature;
    "fourth_share": fourth/curvature; "raw_e3", "centred_e3" and so on: the omitted term over Eq.
    15's total, or its centred part, at sigma = 1e-3, 1e-2, 1e-1; "raw_measured_3",
    "raw_measured_10" and so on: true minus quadratic criterion by direct averages at sigma = 0.03
    and 0.1, over sigma^4 curvature; "raw_difference_3" and so on: that minus the share that the
    expansion foretells, seed by seed.
    """
    figures: dict[str, Measured] = {}
    for k in sorted({row["k"] for row in rows}):
        here = [row for row in rows if row["k"] == k]
        named = {"fourth_share": mean_interval(row["fourth"] / row["curvature"] for row in here)}
        for name in ("raw", "centred"):
            shares = [_missing(row, name) / row["curvature"] for row in here]
            named[f"{name}_share"] = mean_interval(shares)
            for digit in (3, 2, 1):
                named[f"{name}_e{digit}"] = mean_interval(_of_all(r, name, digit) for r in here)
            for sigma in SIGMAS:
                found = [row[f"{name}_{sigma:g}"] / row["curvature"] for row in here]
                percent = f"{sigma * 100:.0f}"
                named[f"{name}_measured_{percent}"] = mean_interval(found)
                named[f"{name}_difference_{percent}"] = paired_difference(found, shares)
        figures |= {f"{name}_{k}": measured for name, measured in named.items()}
    return figures


def _missing(row: Row, name: str) -> float:
    """Coefficient of sigma^4 that the raw or the centred Eq. 15 lacks."""
    return row["third"] + (row["fourth"] if name == "raw" else 0.0)


def _of_all(row: Row, name: str, digit: int) -> float:
    """The missing term over Eq. 15 at sigma = 10^-digit."""
    sigma = 10.0**-digit
    centred = sigma**2 * row["gradient"] + sigma**4 * row["curvature"]
    whole = centred + (row["value"] + sigma**2 * row["cross"] if name == "raw" else 0.0)
    return sigma**4 * _missing(row, name) / whole


STUDY = Study(
    question="What share of the sigma^4 part does the quadratic model leave out?",
    measure=measure,
    summary=summary,
    grid={"k": [271, 905]},
    minutes=4,
)
