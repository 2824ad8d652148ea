"""How much of an increment's gradient and curvature a subspace captures.

For the increment that sample i would cause after the first k,
    grad I = (grad l_i - g^(k))/(k+1),    A = (H_i - H^(k))/(k+1),
a basis U captures the energy |U' grad I|^2 of |grad I|^2 and |U'AU|_F^2 of |A|_F^2. These are the
two quantities that the centred criterion is made of.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from landscape_nb.numerics import checks
from landscape_nb.numerics.loss import EmpiricalLoss
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
        """Energy-weighted captured fractions (gradient, curvature), each 0..1."""
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
        num_probes: Gaussian directions g for each candidate, at least 2. None takes the dense
            Hessians instead: exact, for models of a few thousand parameters at most.
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
        checks.whole_number("num_probes", num_probes, 2, 2**40, "a standard error needs two")
        generator = checks.explicit_generator(generator)
    loss = loss.without_l2()
    mean = loss.hessian_operator(w, k)
    H = mean.dense() if num_probes is None else w.new_empty(0)
    energies: dict[str, list[Energy]] = {name: [] for name in ("whole", *bases)}
    for i in candidates:
        i = checks.next_sample(i, k, loss.num_samples)
        alone = loss.hessian_operator(w, range(i, i + 1))
        c = increment(alone.gradient, mean.gradient, k)
        chosen = {
            name: checks.orthonormal_basis(basis(i) if callable(basis) else basis, loss.w0, name)
            for name, basis in bases.items()
        }
        # Q spans all the bases. (Where they overlap QR adds columns of its own, which do no harm.)
        Q = torch.linalg.qr(torch.cat([c[:, None], *chosen.values()], dim=1)).Q
        if num_probes is None:
            A = increment(alone.dense(), H, k)
            AQ, whole = A @ Q, Energy(c.square().sum(), A.square().sum())
        else:
            AQ = increment(alone(Q), mean(Q), k)
            G = torch.randn(len(w), num_probes, dtype=torch.float64, generator=generator).to(w)
            G = G - Q @ (Q.T @ G)
            draws = increment(alone(G), mean(G), k).square().sum(0)
            whole = Energy(
                c.square().sum(),
                AQ.square().sum() + draws.mean(),
                draws.std() / draws.numel() ** 0.5,
            )
        energies["whole"].append(whole)
        QAQ = Q.T @ AQ
        for name, U in chosen.items():
            R = Q.T @ U  # U = Q R
            energies[name].append(Energy((U.T @ c).square().sum(), (R.T @ QAQ @ R).square().sum()))
    return {name: _stacked(rows) for name, rows in energies.items()}


def _stacked(rows: list[Energy]) -> Energy:
    errors = [row.curvature_stderr for row in rows]
    return Energy(
        torch.stack([row.gradient for row in rows]),
        torch.stack([row.curvature for row in rows]),
        torch.stack([e for e in errors if e is not None]) if None not in errors else None,
    )
