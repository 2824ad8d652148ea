"""What one row of a watched training holds: losses, criterion, curvature, forecast, at one w."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from landscape_nb.numerics import batches, checks
from landscape_nb.numerics.devices import on_cpu, widened
from landscape_nb.numerics.eigensolver import ConvergenceError, Search, largest_eigenpairs
from landscape_nb.numerics.krylov import KrylovBasis
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.operators import HessianOperator, SymmetricOperator
from landscape_nb.numerics.samples import sample_derivatives
from landscape_nb.study.json_lines import Row
from landscape_nb.theory.designs import Design, designed_sample
from landscape_nb.theory.forecast import forecast_enough
from landscape_nb.theory.increment import IncrementModels, increment
from landscape_nb.theory.moments import gaussian_moment
from landscape_nb.theory.tails import tail

LOSSES = (
    "seen_loss", "unseen_loss", "delta1", "value", "T", "tail_index", "hardest", "tolerance",
)  # fmt: skip
CURVATURE = (
    "lambda_1", "residual", "certified", "grad_norm", "cross", "gradient", "curvature",
    "gradient_stderr", "curvature_stderr",
)  # fmt: skip
FORECAST = ("enough", "enough_low", "enough_high", "scenario")
COLUMNS = ("call", "step", "k", *LOSSES, *CURVATURE, *FORECAST, "work", "share", "problem")


@dataclass(frozen=True)
class WatchProbe:
    """How curvature is looked at.

    Attributes:
        D: dimension of the top eigenspace.
        sigma: standard deviation of the Gaussian probe.
        seen: at most so many of the samples trained on, for the Hessian and the gradient.
        candidates: at most so many unseen samples, for gradient and curvature parts.
        products: Hessian-vector products of a row.
    """

    D: int
    sigma: float
    seen: int
    candidates: int
    products: int

    @property
    def cold(self) -> int:
        """Products where no earlier eigenvectors are known: chosen here."""
        return 2 * self.products


def losses_part(losses: Tensor, k: int, tolerance: float | None) -> Row:
    """What every sample's loss says: exact, of every unseen sample.

    value = mean of I^2 = T/(k+1)^2,  T = mean over i > k of (l_i - L_k)^2

    Args:
        losses: (n,), without the L2 term; the first k are those trained on.
        k: 1..n-1.
        tolerance: None: a hundredth of the unseen loss, squared, measured from the smallest loss
            of a sample: neither the loss's unit nor an added constant matters.
    """
    losses = on_cpu(losses)
    mean, unseen = losses[:k].mean(), losses[k:]
    increments = increment(unseen, mean, k)
    squares = increments.square()
    if tolerance is None:
        tolerance = float((unseen.mean() - losses.min()) / 100) ** 2
    found = tail(squares)
    value = float(squares.mean())
    numbers = (
        float(mean), float(unseen.mean()), float(increments.abs().mean()), value,
        value * (k + 1) ** 2, found.index, found.hardest, tolerance,
    )  # fmt: skip
    return dict(zip(LOSSES, numbers, strict=True))


def curvature_part(
    loss: EmpiricalLoss,
    w: Tensor,
    losses: Tensor,
    k: int,
    probe: WatchProbe,
    *,
    start: Tensor | None,
    seed: int,
    certify: bool,
) -> tuple[Row, Tensor, str | None]:
    """Largest eigenvalue, gradient norm, and the criterion's parts beyond its value.

    Of at most `probe.seen` seen samples, the same ones for one k, and of unseen samples drawn by
    how much they surprise, |l_i - L_k| (`designed_sample`).

    Returns:
        The row's part; the eigenvectors (N, D); why they are not certified where that was asked.
    """
    generator = torch.Generator().manual_seed(seed)
    seen = torch.arange(k)
    if k > probe.seen:
        seen = torch.randperm(k, generator=generator)[: probe.seen].sort().values
    surprise = (losses[k:] - losses[:k].mean()).abs().cpu()
    design = designed_sample(surprise, probe.candidates, generator)
    few = of_samples(loss, torch.cat([seen, k + design.indices]))
    m, problem = len(seen), None
    H = few.hessian_operator(w, m)
    if certify:
        theta, U, residual, problem = certified_pairs(H, probe.D, start)
    else:
        products = probe.cold if start is None else probe.products
        theta, U, residual = tracked_pairs(H, probe.D, products, start, generator)
    parts, errors = _moment_parts(few, H, w, losses, k, design, theta, U, probe.sigma)
    numbers = (
        float(theta[0]), float(residual[0]), certify and problem is None,
        float(H.gradient.norm()), *parts, *errors,
    )  # fmt: skip
    return dict(zip(CURVATURE, numbers, strict=True)), U, problem


def of_samples(loss: EmpiricalLoss, chosen: Tensor) -> EmpiricalLoss:
    """The same loss with these samples only, in this order."""
    chosen = chosen.to(loss.w0.device)
    parts = {name: batches.rows(getattr(loss, name), chosen) for name in ("inputs", "targets")}
    return loss.with_module(loss.model, num_samples=len(chosen), **parts)


def tracked_pairs(
    H: SymmetricOperator,
    D: int,
    products: int,
    start: Tensor | None,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """The largest Ritz pairs after so many Lanczos steps, followed and not certified.

    The start is the sum of the last eigenvectors, and a tenth of a random direction besides, which
    brings in what has become larger meanwhile (a tenth: chosen here). Each value is within its
    residual of an eigenvalue, and never above the largest; whether it is the largest is not known.

    Returns:
        Values (D,), vectors (N, D), residuals |H u - theta u| (D,).
    """
    N = H.shape[0]
    basis = KrylovBasis(H, min(N, max(products, D)))
    x = H.random_vector(generator)
    x = x / basis.norm(x)
    if start is not None:
        last = widened(start).sum(1)
        x = last / basis.norm(last) + 0.1 * x
    basis.start(x)
    while basis.count < basis.capacity:
        if basis.open_ends:
            basis.extend(basis.S[:, -1:])
        else:  # all that H reaches from x
            if basis.count >= D or not basis.start(H.random_vector(generator)):
                break
    theta, Y = basis.ritz()
    return theta[:D], basis.vectors(Y[:, :D]).T, basis.residual_norms(Y[:, :D])


def certified_pairs(
    H: SymmetricOperator, D: int, start: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, str | None]:
    """The same by `largest_eigenpairs`; where it refuses, its doubtful pairs and its reason."""
    try:
        # a hundredth: finer than the scatter of so few samples. Chosen here.
        pairs, problem = largest_eigenpairs(H, D, Search(tol=1e-2, start=start)), None
    except ConvergenceError as error:
        pairs, problem = error.pairs, checks.first_line(error)
    return on_cpu(pairs.values), pairs.vectors, on_cpu(pairs.residuals), problem


@torch.enable_grad()
def derivatives_at_once(
    loss: EmpiricalLoss, w: Tensor, U: Tensor, samples: range
) -> tuple[Tensor, Tensor]:
    """Gradients c (m, D) and Hessians B (m, D, D) of single samples along U, in reverse mode.

    With a weight s_i on every sample, G(s) = grad of sum s_i l_i is linear in s:
    c_i = d/ds_i (U'G) and B_i = d/ds_i (U' dG/dw U), one backward pass for all samples together.
    Exact. Their sums are known besides, G'U and U' dG/dw U with s = 1: where they differ, or
    PyTorch has no third derivative of the model, `sample_derivatives` takes samples one by one.
    (Its forward mode would need 0.3 s at its first use.)
    """
    try:
        found = _by_weights(loss, w, U, samples)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:
        found = None
    return found or sample_derivatives(loss, w, U, samples, method="reverse")[1:]


def _by_weights(
    loss: EmpiricalLoss, w: Tensor, U: Tensor, samples: range
) -> tuple[Tensor, Tensor] | None:
    m, D = len(samples), U.shape[1]
    c, B, mean = w.new_zeros(m, D), w.new_zeros(m, D, D), w.new_zeros(D, D)
    s, leaf = torch.ones_like(c[:, 0]).requires_grad_(), w.clone().requires_grad_()

    def slopes(y: Tensor, x: Tensor, graph: bool = False) -> Tensor:
        return torch.autograd.grad(
            y, x, retain_graph=True, create_graph=graph, materialize_grads=True
        )[0]

    G = slopes((s * loss.losses_at(leaf, samples)).sum(), leaf, graph=True)
    for d, u in enumerate(U.T):
        c[:, d] = slopes(G @ u, s)
        Hu = slopes(G @ u, leaf, graph=True)
        mean[:, d] = (U.T @ Hu).detach()
        for e, v in enumerate(U.T[: d + 1]):
            if Hu.requires_grad:  # else linear in w, or cut off
                B[:, d, e] = B[:, e, d] = slopes(Hu @ v, s)
    # rounding, or a wrong derivative: the square root of the precision tells them apart
    allowed = torch.finfo(w.dtype).eps ** 0.5
    right = (c.sum(0) - (G @ U).detach()).norm() <= allowed * c.norm() * m**0.5
    right &= (B.sum(0) - mean).norm() <= allowed * (B.norm() * m**0.5 + mean.norm())
    return (c, B) if bool(right) else None


def _moment_parts(
    few: EmpiricalLoss,
    H: HessianOperator,
    w: Tensor,
    losses: Tensor,
    k: int,
    design: Design,
    theta: Tensor,
    U: Tensor,
    sigma: float,
) -> tuple[list[float], list[float]]:
    """Cross, gradient and curvature parts, and the standard errors of the last two."""
    count = len(design.indices)
    m = few.num_samples - count
    c, B = derivatives_at_once(few.without_l2(), w, U, range(m, few.num_samples))
    # of the mean over the seen samples; U'HU is diagonal for Ritz vectors
    mean_c = U.T @ (H.gradient - few.l2 * w)
    mean_B = torch.diag(theta.to(U) - few.l2)
    a = increment(losses[k + design.indices.to(losses.device)], losses[:k].mean(), k)
    models = IncrementModels(
        torch.full((count,), k), a, increment(c, mean_c, k), increment(B, mean_B, k)
    )
    moment = gaussian_moment(models, sigma)
    found = [
        design.mean(on_cpu(part)) for part in (moment.cross, moment.gradient, moment.curvature)
    ]
    return [float(part.value) for part in found], [float(part.stderr) for part in found[1:]]


def forecast_part(rows: Sequence[Mapping[str, Any]], row: Mapping[str, Any]) -> Row:
    """How many samples will be enough, from the last row of every k so far.

    With one k there is no law to follow: K = sqrt(T/tolerance) - 1, if learning stopped now; from
    two on the forecast's two scenarios, and its interval.
    """
    curve = {r["k"]: r["value"] for r in [*rows, row] if r.get("value") is not None}
    nothing: Row = dict.fromkeys(FORECAST)
    if not row["tolerance"] > 0 or not all(v > 0 for v in curve.values()):
        return nothing
    if len(curve) == 1:
        K = max(1, math.ceil((row["T"] / row["tolerance"]) ** 0.5 - 1))
        return {**nothing, "enough": K, "scenario": "learning stops"}
    ks = sorted(curve)
    found = forecast_enough(ks, [curve[k] for k in ks], row["tolerance"])
    return dict(zip(FORECAST, (found.K, found.low, found.high, "growing data"), strict=True))
