"""Theorem 2's constant against the truth, with the dimension and with effective ranks in it.

KG26 Thm. 2 puts D^2 + 2D where the same proof in the full space would put N^2 + 2N, and claims no
tightness of either (arXiv v1, sec. 7). Here: the curvature term of the bound for D = 1, ..., N,
beside `bounds.effective_rank_bound`, beside the largest and the mean curvature part over all unseen
digits; network and data of notebook 04.
"""

import math

import torch
from torch import Tensor

from landscape_nb.numerics.fit import fit
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.samples import sample_derivatives
from landscape_nb.numerics.wording import rounded
from landscape_nb.problems.learning import learning_problem
from landscape_nb.study.evidence.stored import Study
from landscape_nb.study.single_digits import compressed_hessians, single_digits
from landscape_nb.study.sweep import Row
from landscape_nb.theory.bounds import effective_rank_bound, effective_ranks, rate_bound
from landscape_nb.theory.increment import IncrementModels, increment
from landscape_nb.theory.intervals import Measured, geometric_interval, mean_interval
from landscape_nb.theory.moments import gaussian_moment
from landscape_nb.theory.probes import top_eigenpairs

DIMENSIONS = 1, 2, 5, 10, 20, 50  # and N: chosen here


def measure(seed: int, k: int) -> list[Row]:
    """One row for each dimension of the probe."""
    loss = learning_problem("digits, MLP").loss(seed)
    w = fit(loss, k, tol=1e-4, max_iterations=1000).w
    loss = loss.without_l2()
    small = compressed_hessians(loss, w, torch.arange(loss.num_samples))
    M_hess = float(torch.linalg.eigvalsh(small).abs().max())
    U = top_eigenpairs(loss, w, k, DIMENSIONS[-1]).vectors
    losses, c, B = sample_derivatives(loss, w, U, range(loss.num_samples))
    I = IncrementModels(
        torch.full((len(B) - k,), k), *(increment(x[k:], x[:k].mean(0), k) for x in (losses, c, B))
    )
    rows = [
        _row(D, effective_ranks(B[:, :D, :D], M_hess), gaussian_moment(I.leading(D), 1.0).curvature)
        for D in DIMENSIONS
    ]
    whole = effective_ranks(small, M_hess), full_curvature(loss, w, k)
    return [{"M_hess": rounded(M_hess), **row} for row in [*rows, _row(len(w), *whole)]]


def _row(D: int, ranks: tuple[float, float], curvature: Tensor) -> Row:
    r1, r2 = ranks
    return {
        "D": D, "trace_rank": rounded(r1), "stable_rank": rounded(r2),
        "largest": rounded(curvature.max()), "mean": rounded(curvature.mean()),
    }  # fmt: skip


def full_curvature(loss: EmpiricalLoss, w: Tensor, k: int) -> Tensor:
    """(2 |A|_F^2 + (tr A)^2)/4 in the whole space for every unseen sample, (n-k,), exactly."""
    whole = single_digits(loss, w, k, torch.arange(k, loss.num_samples)).whole
    return (2 * whole.curvature + whole.trace.square()) / 4


def summary(rows: list[Row]) -> dict[str, Measured]:
    """Of the curvature terms, for each k and D ("N" for the full space).

    "ranks_D_k": effective dimension d, d^2 + 2d = r1^2 + 2 r2; "gain_D_k": Theorem 2's term over
    that of effective ranks; "printed_D_k", "effective_D_k": each over the largest curvature part
    that a next sample has; "over_ten_k": mean curvature part of the full space over that of D = 10.
    """
    figures, N = {}, max(row["D"] for row in rows)
    for k in sorted({row["k"] for row in rows}):
        by_D = {D: [r for r in rows if r["k"] == k and r["D"] == D] for D in (*DIMENSIONS, N)}
        for D, here in by_D.items():
            name = f"{'N' if D == N else D}_{k}"
            figures[f"ranks_{name}"] = mean_interval(
                math.sqrt(1 + r["trace_rank"] ** 2 + 2 * r["stable_rank"]) - 1 for r in here
            )
            terms = [curvature_terms(row) for row in here]
            pairs = list(zip(terms, here, strict=True))
            figures[f"gain_{name}"] = geometric_interval(printed / own for printed, own in terms)
            figures[f"printed_{name}"] = geometric_interval(t[0] / r["largest"] for t, r in pairs)
            figures[f"effective_{name}"] = geometric_interval(t[1] / r["largest"] for t, r in pairs)
        figures[f"over_ten_{k}"] = geometric_interval(
            whole["mean"] / ten["mean"] for whole, ten in zip(by_D[N], by_D[10], strict=True)
        )
    return figures


def curvature_terms(row: Row) -> tuple[float, float]:
    """The sigma^4 terms of both bounds: with the dimension, and with effective ranks."""
    M_hess, k = row["M_hess"], int(row["k"])
    ranks = row["trace_rank"], row["stable_rank"]
    return (
        rate_bound(k, int(row["D"]), 1.0, 0.0, 0.0, M_hess),
        effective_rank_bound(k, 1.0, 0.0, 0.0, M_hess, *ranks),
    )


STUDY = Study(
    question="Does the full-space constant of Theorem 2 grow with N, or with an effective rank?",
    measure=measure,
    summary=summary,
    grid={"k": [271, 905]},
    minutes=3,
)
