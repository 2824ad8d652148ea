"""Theorem 2's constant against the truth, with the dimension and with effective ranks in it.

KG26 Thm. 2 puts D^2 + 2D where the same proof in the full space would put N^2 + 2N, and claims no
tightness of either (arXiv v1, sec. 7). Here: the curvature term of the bound for D = 1, ..., N,
beside `bounds.effective_rank_bound`, beside the largest and the mean curvature part over all unseen
digits; network and data of notebook 04.
"""

import math

import torch
from torch import Tensor
from torch.func import hessian, vmap

from landscape_nb.numerics.fit import fit
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.samples import sample_derivatives
from landscape_nb.numerics.wording import rounded
from landscape_nb.problems.learning import learning_problem
from landscape_nb.study.evidence.stored import Study
from landscape_nb.study.sweep import Row
from landscape_nb.theory.bounds import effective_rank_bound, effective_ranks, rate_bound
from landscape_nb.theory.increment import IncrementModels, increment
from landscape_nb.theory.intervals import Measured, geometric_interval, mean_interval
from landscape_nb.theory.moments import gaussian_moment
from landscape_nb.theory.probes import top_eigenpairs

DIMENSIONS = 1, 2, 5, 10, 20, 50  # and N: chosen here
HIDDEN, CLASSES = 16, 10  # of the network


def measure(seed: int, k: int) -> list[Row]:
    """One row for each dimension of the probe."""
    loss = learning_problem("digits, MLP").loss(seed)
    w = fit(loss, k, tol=1e-4, max_iterations=1000).w
    loss = loss.without_l2()
    small = compressed_hessians(loss, w)
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
    whole = effective_ranks(small, M_hess), full_curvature(loss, w, small, k)
    return [{"M_hess": rounded(M_hess), **row} for row in [*rows, _row(len(w), *whole)]]


def _row(D: int, ranks: tuple[float, float], curvature: Tensor) -> Row:
    r1, r2 = ranks
    return {
        "D": D, "trace_rank": rounded(r1), "stable_rank": rounded(r2),
        "largest": rounded(curvature.max()), "mean": rounded(curvature.mean()),
    }  # fmt: skip


def compressed_hessians(loss: EmpiricalLoss, w: Tensor) -> Tensor:
    """Every sample's whole Hessian, (n, 186, 186), without the directions in which it is zero.

    A sample x sees the first layer through W x + b alone: of 16 x 65 directions 16 are left, those
    along (x, 1)/|(x, 1)|, an orthonormal set. So trace, norms and eigenvalues are the whole ones.
    """
    first, second, inputs = _layers(loss, w)
    length = inputs.norm(dim=1)

    def one(u: Tensor, before: Tensor, size: Tensor, target: Tensor) -> Tensor:
        hidden = torch.tanh(before + size * u[:HIDDEN])
        W = second + u[HIDDEN:].view(second.shape)
        scores = W @ torch.cat([hidden, hidden.new_ones(1)])
        return torch.logsumexp(scores, 0) - (scores * target).sum()  # no indexing under vmap

    zero = w.new_zeros(HIDDEN + second.numel())
    targets = torch.nn.functional.one_hot(loss.targets, CLASSES).to(w)
    each = vmap(hessian(one), in_dims=(None, 0, 0, 0), chunk_size=100)
    return each(zero, inputs @ first.T, length, targets)


def full_curvature(loss: EmpiricalLoss, w: Tensor, small: Tensor, k: int) -> Tensor:
    """(2 |A|_F^2 + (tr A)^2)/4 in the whole space for every unseen sample, (n-k,), exactly.

    With A = (H_i - H)/(k+1), H = H^(k): |H_i - H|_F^2 = |H_i|_F^2 - 2 <H_i, H> + |H|_F^2, and
    <H_i, H> needs of H only its part in the directions of `compressed_hessians`.
    """
    H, (first, second, inputs) = loss.hessian(w, k), _layers(loss, w)
    order = _order(first, second)
    H = H[order][:, order]
    m = first.numel()
    direction = (inputs / inputs.norm(dim=1, keepdim=True))[k:]
    corner = H[:m, :m].view(HIDDEN, -1, HIDDEN, direction.shape[1])
    corner = torch.einsum("na,iajb,nb->nij", direction, corner, direction)
    side = torch.einsum("na,iac->nic", direction, H[:m, m:].view(HIDDEN, direction.shape[1], -1))
    unseen = small[k:]
    inner = (unseen[:, :HIDDEN, :HIDDEN] * corner).sum((1, 2))
    inner += 2 * (unseen[:, :HIDDEN, HIDDEN:] * side).sum((1, 2))
    inner += (unseen[:, HIDDEN:, HIDDEN:] * H[m:, m:]).sum((1, 2))
    squares = unseen.square().sum((1, 2)) - 2 * inner + H.square().sum()
    trace = unseen.diagonal(dim1=1, dim2=2).sum(1) - H.trace()
    return (2 * squares + trace.square()) / 4 / (k + 1) ** 2


def _layers(loss: EmpiricalLoss, w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Both layers with their biases as a last column, (16, 65) and (10, 17), and (x, 1)."""
    parts = w.split([shape.numel() for shape in loss.layout.shapes])
    W1, b1, W2, b2 = (p.view(s) for p, s in zip(parts, loss.layout.shapes, strict=True))
    inputs = torch.cat([loss.inputs, loss.inputs.new_ones(len(loss.inputs), 1)], dim=1)
    return torch.cat([W1, b1[:, None]], 1), torch.cat([W2, b2[:, None]], 1), inputs


def _order(first: Tensor, second: Tensor) -> Tensor:
    """Where the entries of both layers, with biases as a last column, stand in w."""
    found, start = [], 0
    for layer in (first, second):
        rows, columns = layer.shape[0], layer.shape[1] - 1
        weights = start + torch.arange(rows * columns).view(rows, columns)
        bias = start + rows * columns + torch.arange(rows)
        found.append(torch.cat([weights, bias[:, None]], 1).flatten())
        start += layer.numel()
    return torch.cat(found)


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
