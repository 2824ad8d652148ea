"""How much of an increment's gradient and curvature a subspace captures.

Nothing as large as the increment's Hessian A is ever held: |A|_F^2 and U'AU come from products with
a few columns at a time.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from landscape_nb.numerics import checks
from landscape_nb.numerics.blocks import column_blocks, refuse_large_dense
from landscape_nb.numerics.devices import factorised, normal
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.operators import HessianOperator
from landscape_nb.numerics.samples import within
from landscape_nb.theory.increment import increment

Basis = Tensor | Callable[[int], Tensor]


@dataclass(frozen=True, eq=False)
class Energy:
    """Energies of m increments, or the part of them that a subspace captures.

    Attributes:
        gradient: (m,), squared norms of gradients, in loss^2.
        curvature: (m,), squared Frobenius norms of Hessians, in loss^2.
        curvature_stderr: (m,), standard errors of `curvature` where it is an estimate.
    """

    gradient: Tensor
    curvature: Tensor
    curvature_stderr: Tensor | None = None

    def share_of(self, whole: "Energy") -> tuple[float, float]:
        """Energy-weighted captured fractions (gradient, curvature), each 0..1.

        NaN for the one of which there is none at all: a loss linear in w has no curvature.

        Raises:
            ValueError: there is neither gradient nor curvature.
        """
        if not (whole.gradient.any() or whole.curvature.any()):
            raise ValueError(
                "The whole energy is zero, in gradient and curvature: no sample changes the loss "
                "at this w, and there is nothing to take a share of. Is the loss constant?"
            )
        return (
            float(self.gradient.sum() / whole.gradient.sum()),
            float(self.curvature.sum() / whole.curvature.sum()),
        )


def captured_energy(
    loss: EmpiricalLoss,
    w: Tensor,
    k: int,
    bases: Mapping[str, Basis],
    candidates: Sequence[int],
    *,
    num_probes: int | None = None,
    generator: torch.Generator | None = None,
) -> dict[str, Energy]:
    """Energy of the increments' gradient and curvature, whole and in each basis.

    |U' grad I|^2 and |U'AU|_F^2 of |grad I|^2 and |A|_F^2. All are exact but, with `num_probes`,
    the whole |A|_F^2. With Q an orthonormal basis of all the U together,

    |A|_F^2 = |A Q|_F^2 + E |A (g - QQ'g)|^2,   g ~ N(0, 1),

    of which only the second term, what no basis reaches, is estimated (Hutchinson, with the
    known part deflated as in Hutch++: Meyer, Musco, Musco and Woodruff, 2021).

    Args:
        loss: the empirical loss.
        w: (N,), usually w_k*.
        k: number of samples in L_k, 1..n-1.
        bases: name -> U (N, D), or a function of the candidate's index that returns one.
        candidates: indices (from 0) of the samples that may come next.
        num_probes: Gaussian directions g for each candidate, at least 2. None takes N
            products instead: exact, for models of a few thousand parameters, 20 000 at most.
        generator: source of the directions; needed with num_probes.

    Returns:
        name -> `Energy` with one entry per candidate; "whole" is the uncut energy. With num_probes
        each candidate costs a Hessian-vector product with k + 1 samples for each column of each
        basis and for each direction.

    Raises:
        ValueError: an argument does not fit, or a candidate is among the first k samples.

    >>> from landscape_nb.problems.toys import quadratics
    >>> loss = EmpiricalLoss(*quadratics(4, 3).parts)
    >>> found = captured_energy(loss, loss.w0, 2, {"all": torch.eye(3).double()}, [2, 3])
    >>> [round(share, 9) for share in found["all"].share_of(found["whole"])]
    [1.0, 1.0]
    """
    w = checks.parameter_vector(w, loss.w0)
    k = checks.whole_number("k", k, 1, loss.num_samples - 1, "there must be a next sample")
    if num_probes is not None:
        checks.whole_number("num_probes", num_probes, 2, None, "a standard error needs two")
        generator = checks.explicit_generator(generator)
    else:
        instead = "Give num_probes: the whole is then estimated, without dense matrices."
        refuse_large_dense(loss.num_params, w.dtype, "Hessian", instead)
    loss = within(loss.without_l2(), loss.memory / 2)  # half for graphs, half for columns
    mean = loss.hessian_operator(w, k)
    energies: dict[str, list[Energy]] = {name: [] for name in ("whole", *bases)}
    for some in _groups(loss, w, mean, k, bases, candidates, one_by_one=num_probes is not None):
        if generator is None or num_probes is None:
            found = _exactly(loss, w, mean, k, some)
        else:
            found = [_by_draws(loss, w, mean, k, one, num_probes, generator) for one in some]
        for one, (QAQ, whole) in zip(some, found, strict=True):
            energies["whole"].append(dataclasses.replace(whole, gradient=one.c.square().sum()))
            for name, U in one.bases.items():
                R = one.Q.T @ U  # U = Q R
                parts = (U.T @ one.c).square().sum(), (R.T @ QAQ @ R).square().sum()
                energies[name].append(Energy(*parts))
    return {name: _stacked(rows) for name, rows in energies.items()}


_COPIES = 4  # of a product's columns at its peak: chosen here


def _width(loss: EmpiricalLoss, w: Tensor, vectors: int) -> int:
    """How many times so many vectors (N,) fit a quarter of this memory; once at least."""
    return max(1, int(loss.memory / 4 / (vectors * w.numel() * w.element_size())))


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A sample that may come next: its increment's gradient, the bases, and Q that spans them."""

    samples: range
    c: Tensor
    bases: dict[str, Tensor]
    Q: Tensor


def _groups(
    loss: EmpiricalLoss,
    w: Tensor,
    mean: HessianOperator,
    k: int,
    bases: Mapping[str, Basis],
    candidates: Sequence[int],
    *,
    one_by_one: bool,
) -> Iterator[list[_Candidate]]:
    """The candidates with what belongs to each, as many at a time as memory allows."""
    some: list[_Candidate] = []
    for i in candidates:
        i = checks.next_sample(i, k, loss.num_samples)
        samples = range(i, i + 1)
        c = increment(loss.gradient(w, samples), mean.gradient, k)
        chosen = {
            name: checks.orthonormal_basis(basis(i) if callable(basis) else basis, loss.w0, name)
            for name, basis in bases.items()
        }
        # (Where bases overlap QR adds columns of its own, which do no harm.)
        Q = factorised(torch.linalg.qr, torch.cat([c[:, None], *chosen.values()], dim=1)).Q
        some.append(_Candidate(samples, c, chosen, Q))
        if one_by_one or len(some) >= _width(loss, w, 2 * Q.shape[1]):
            yield some
            some = []
    if some:
        yield some


def _exactly(
    loss: EmpiricalLoss, w: Tensor, mean: HessianOperator, k: int, some: Sequence[_Candidate]
) -> list[tuple[Tensor, Energy]]:
    """Q'AQ and |A|_F^2 of each candidate from all columns of A, a few at a time."""
    N, block = w.numel(), _width(loss, w, _COPIES)
    found = [(w.new_zeros(one.Q.shape[1], one.Q.shape[1]), w.new_zeros(())) for one in some]
    for i in range(0, N, block):
        columns = slice(i, min(N, i + block))
        units = w.new_zeros(N, columns.stop - i)
        units[columns].fill_diagonal_(1)
        of_mean = mean.multiply(units)
        for one, (QAQ, whole) in zip(some, found, strict=True):
            A = increment(loss.hessian_operator(w, one.samples).multiply(units), of_mean, k)
            QAQ += one.Q.T @ A @ one.Q[columns]
            whole += A.square().sum()
    return [(QAQ, Energy(whole, whole)) for QAQ, whole in found]


def _by_draws(
    loss: EmpiricalLoss,
    w: Tensor,
    mean: HessianOperator,
    k: int,
    one: _Candidate,
    draws: int,
    generator: torch.Generator,
) -> tuple[Tensor, Energy]:
    """Q'AQ exactly, and |A|_F^2 where Q does not reach by random directions."""
    alone, Q = loss.hessian_operator(w, one.samples), one.Q

    def A(columns: Tensor) -> Tensor:
        return increment(alone.multiply(columns), mean.multiply(columns), k)

    AQ = torch.cat([A(Q[:, part]) for part in column_blocks(Q, loss.memory)], dim=1)
    squares, width = [], min(draws, _width(loss, w, 2 * _COPIES))
    for start in range(0, draws, width):
        size = (len(w), min(width, draws - start))
        G = normal(*size, generator=generator).to(w)
        squares.append(A(G - Q @ (Q.T @ G)).square().sum(0))
    each = torch.cat(squares)
    whole = AQ.square().sum() + each.mean()
    return Q.T @ AQ, Energy(whole, whole, each.std() / draws**0.5)


def _stacked(rows: list[Energy]) -> Energy:
    errors = [row.curvature_stderr for row in rows]
    return Energy(
        torch.stack([row.gradient for row in rows]),
        torch.stack([row.curvature for row in rows]),
        torch.stack([e for e in errors if e is not None]) if None not in errors else None,
    )
