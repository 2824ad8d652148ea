"""Averages over all unseen samples as the next one, from the derivatives of all or of a few."""

import torch
from torch import Tensor

from landscape_nb.numerics import checks
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.operators import Indices
from landscape_nb.numerics.sample_norms import gradient_blocks
from landscape_nb.numerics.samples import projected_derivatives, sample_derivatives
from landscape_nb.numerics.shared_loss import by_samples
from landscape_nb.theory.criteria import Estimate
from landscape_nb.theory.designs import FEWEST, designed_sample
from landscape_nb.theory.increment import IncrementModels, increment, next_sample_models
from landscape_nb.theory.moments import coefficients
from landscape_nb.theory.tables import MomentTable, moment_table


def next_sample_table(
    loss: EmpiricalLoss,
    w: Tensor,
    U: Tensor,
    k: int,
    *,
    size: int | None = None,
    all_gradients: bool = True,
    candidates: range | None = None,
    generator: torch.Generator | None = None,
) -> MomentTable:
    """The Gaussian moment along U, averaged over every unseen sample as the next one.

    KG26 Eq. 15, with a^2 from the losses of all unseen samples (one forward pass). The parts that
    need more come from all as well, or from `size` of them drawn by `designed_sample`.

    Args:
        loss: the empirical loss.
        w: (N,), usually w_k*.
        U: (N, D), orthonormal columns.
        k: number of samples in L_k, 1..n-1.
        size: how many samples to take second derivatives of; None: all, and every part is exact.
        all_gradients: take the gradients of all samples even so: the gradient part is exact, and
            the draws can go by |c_i|, which curvature follows better than the surprise.
        candidates: indices (from 0) of the samples that may come next; k..n-1 if not given.
        generator: source of the draws; needed with size.

    Returns:
        `MomentTable` with one row. Errors stand where a part is an estimate, and speak of the
        draws only, not of other samples than the candidates (for these see `tail`). Costs
        `sample_derivatives` of the samples drawn, a gradient of each candidate, and D
        Hessian-vector products over the first k.

    Raises:
        ValueError: an argument does not fit.

    >>> from landscape_nb.problems.toys import quadratics
    >>> loss = EmpiricalLoss(*quadratics(9, 3).parts)
    >>> exact = next_sample_table(loss, loss.w0, torch.eye(3).double(), k=2)
    >>> drawn = next_sample_table(loss, loss.w0, torch.eye(3).double(), k=2, size=5,
    ...                           generator=torch.Generator().manual_seed(0))
    >>> torch.allclose(exact.value, drawn.value), torch.allclose(exact.gradient, drawn.gradient)
    (True, True)
    """
    w = checks.parameter_vector(w, loss.w0)
    U = checks.orthonormal_basis(U, loss.w0)
    k = checks.whole_number("k", k, 1, loss.num_samples - 1, "there must be a next sample")
    unseen = checks.candidates(candidates, k, loss.num_samples)
    if size is not None:
        size = checks.whole_number("size", size, FEWEST, None, "two strata of two")
        generator = checks.explicit_generator(generator)
    if size is None or generator is None or size >= len(unseen):
        return moment_table([next_sample_models(loss, w, U, k, candidates=unseen)])
    loss = loss.without_l2()
    means = loss.value(w, k), *projected_derivatives(loss, w, U, range(k))
    a = increment(loss.per_sample(w, unseen), means[0], k)
    c = _projected_gradients(loss, w, U, unseen, means[1], k) if all_gradients else None
    design = designed_sample(a.abs() if c is None else c.norm(dim=1), size, generator)
    chosen = torch.tensor(unseen)[design.indices]
    each = sample_derivatives(loss, w, U, chosen)
    rows = (increment(part, mean, k) for part, mean in zip(each, means, strict=True))
    _, *parts = coefficients(IncrementModels(torch.full((size,), k), *rows))
    return _one_row(k, a, c, *map(design.mean, parts))


def _one_row(
    k: int, a: Tensor, c: Tensor | None, cross: Estimate, gradient: Estimate, curvature: Estimate
) -> MomentTable:
    """A table of exact parts where a (m,) and c (m, D) of all are known, and of estimates."""
    exact = None if c is None else c.square().cumsum(1).mean(0)
    return MomentTable(
        torch.tensor([k]),
        a.square().mean()[None],
        cross.value[None],
        (gradient.value if exact is None else exact)[None],
        curvature.value[None],
        curvature_stderr=curvature.stderr[None],
        cross_stderr=cross.stderr[None],
        gradient_stderr=gradient.stderr[None] if exact is None else None,
    )


def _projected_gradients(
    loss: EmpiricalLoss, w: Tensor, U: Tensor, unseen: range, mean: Tensor, k: int
) -> Tensor:
    """C of every increment, (m, D), a few samples at a time."""

    def rows(loss: EmpiricalLoss, samples: Indices) -> tuple[Tensor]:
        return (torch.cat([g @ U for g in gradient_blocks(loss, w, samples)]),)

    return increment(by_samples(loss, w, unseen, rows)[0], mean, k)
