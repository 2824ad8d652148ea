"""Influence functions: how far the minimiser moves when one sample is added, beside the increment.

Two questions about the same new sample:
  the increment I_k       how much does the *objective* change, at a point or around it?
  influence               how much does the *solution* change, and what is computed from it?

One path leads from L_k to L_{k+1} = L_k + I_k: minimise L_k + e (k + 1) I_k from e = 0 to
1/(k + 1). Its first derivative at e = 0 is the influence function (Hampel 1974, Cook and Weisberg
1982, Koh and Liang 2017, arXiv 1703.04730; as an estimate of variance: the infinitesimal
jackknife).
"""

from dataclasses import dataclass

import numpy as np
import scipy
import torch
from torch import Tensor

from landscape_nb.numerics import checks
from landscape_nb.numerics.devices import on_cpu
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.operators import HessianOperator, Samples
from landscape_nb.theory.increment import increment


@dataclass(frozen=True, eq=False)
class Influence:
    """What adding one sample does to the minimiser, to first order.

    Attributes:
        step: (N,), predicted w_{k+1}* - w_k*.
        increment: I_k(w), in units of loss: the change of the objective at w.
        gradient: (N,), grad I_k(w).
        residual: |(H^(k) + damping) step + gradient| / |gradient|, by a product of its own.
        products: Hessian-vector products.
    """

    step: Tensor
    increment: float
    gradient: Tensor
    residual: float
    products: int

    @property
    def change_of_minimum(self) -> float:
        """Predicted L_{k+1}(w_{k+1}*) - L_k(w_k*) = I - grad I' H^-1 grad I / 2.

        The first term is the envelope theorem: to first order in 1/(k + 1) the value of the
        minimum changes by the increment alone, however far the minimiser moves. With the second
        term the error is of third order.
        """
        return self.increment + float(self.gradient @ self.step) / 2

    def change_of_loss(self, loss: EmpiricalLoss, w: Tensor, samples: Samples) -> float:
        """Predicted change of the mean loss of other samples, g' step (Koh and Liang, Eq. 2)."""
        return float(loss.without_l2().gradient(w, samples) @ self.step)


def influence_step(
    loss: EmpiricalLoss,
    w: Tensor,
    k: int,
    candidate: int,
    *,
    damping: float = 0.0,
    tol: float = 1e-6,
    max_products: int = 2000,
) -> Influence:
    """How the minimiser of L_k moves when one unseen sample is added, to first order.

    step = -(H^(k) + damping I)^-1 grad I_k(w),  grad I_k = (grad l_c - g^(k))/(k + 1)

    The infinitesimal jackknife, and Koh and Liang's influence on parameters (Eq. 1) times the
    weight 1/(k + 1). Its error is of second order in 1/(k + 1): the new sample's own curvature is
    left out. w must be a minimiser. With damping the step answers for an objective with the term
    (damping/2)|w' - w|^2 besides. Solved by conjugate gradients (SciPy) from Hessian-vector
    products.

    Args:
        loss: the empirical loss; with its L2 term, where it has one.
        w: (N,), a minimiser w_k*.
        k: number of samples in L_k, 1..n-1.
        candidate: index (from 0) of the added sample, k..n-1.
        damping: added to every eigenvalue of H^(k) (0: none).
        tol: relative residual at which to stop (1e-6: chosen here).
        max_products: Hessian-vector products at most (2000: chosen here).

    Returns:
        `Influence`; costs as many products as conjugate gradients need, about the square root of
        H's condition number.

    Raises:
        ValueError: an argument does not fit, H^(k) + damping is seen not to be positive definite,
            or max_products are not enough.

    >>> from landscape_nb.problems.toys import quadratics
    >>> toy = quadratics(9, 3)
    >>> w = toy.minimiser(8)
    >>> moved = influence_step(EmpiricalLoss(*toy.parts), w, 8, 8)
    >>> exact = -torch.linalg.solve(toy.hessian(8), moved.gradient)
    >>> torch.allclose(moved.step, exact, atol=1e-6)
    True
    """
    w = checks.parameter_vector(w, loss.w0)
    k = checks.whole_number("k", k, 1, loss.num_samples - 1, "there must be a next sample")
    candidate = checks.next_sample(candidate, k, loss.num_samples)
    damping = checks.non_negative("damping", damping, "added to every eigenvalue")
    tol = checks.proper_share("tol", tol, "relative residual", 1e-6)
    most = checks.whole_number("max_products", max_products, 1, None, "Hessian-vector products")
    value, gradient = _increment_and_gradient(loss, w, k, candidate)
    H = loss.hessian_operator(w, k)
    step = _solve(H, -gradient, damping, tol, most)
    residual = _residual(H, step, gradient, damping)
    if not residual <= 10 * tol:
        raise ValueError(
            f"Conjugate gradients have reached a relative residual of {residual:.1e} after "
            f"{H.products} Hessian-vector products; asked for {tol:.1e}. Raise max_products, or "
            "give some damping: small eigenvalues of the Hessian make it slow."
        )
    return Influence(step, value, gradient, residual, H.products)


def _increment_and_gradient(
    loss: EmpiricalLoss, w: Tensor, k: int, candidate: int
) -> tuple[float, Tensor]:
    """I_k(w) and its gradient; the L2 term cancels."""
    plain = loss.without_l2()
    mean, g = plain.value_and_gradient(w, k)
    alone, g_next = plain.value_and_gradient(w, range(candidate, candidate + 1))
    return float(increment(alone, mean, k)), increment(g_next, g, k)


def _solve(H: HessianOperator, b: Tensor, damping: float, tol: float, most: int) -> Tensor:
    """The x with (H + damping) x = b, or as near as `most` products get."""

    def product(v: np.ndarray) -> np.ndarray:
        x = torch.as_tensor(v).to(b)
        out = H.multiply(x[:, None])[:, 0] + damping * x
        curvature = float(x @ out) / max(float(x @ x), torch.finfo(x.dtype).tiny)
        # conjugate gradients multiply their search directions: a bad one is a proof
        if not curvature > 0:
            raise ValueError(_indefinite(curvature, damping))
        return on_cpu(out).numpy()

    A = scipy.sparse.linalg.LinearOperator(tuple(H.shape), matvec=product, dtype=np.float64)
    solution, _ = scipy.sparse.linalg.cg(A, on_cpu(b).numpy(), rtol=tol, maxiter=most)
    return torch.as_tensor(solution).to(b)


def _indefinite(curvature: float, damping: float) -> str:
    return (
        "Influence needs a minimum: H^(k) + damping must be positive definite, and along one "
        f"direction its curvature is {curvature:.1e} with damping = {damping:g}. Train on until "
        "the gradient is small (fit(loss, k)), give the loss an L2 term, or pass damping > "
        f"{max(damping - curvature, 0.0):.1e}, which answers for a step that is held back."
    )


def _residual(H: HessianOperator, step: Tensor, gradient: Tensor, damping: float) -> float:
    left = H @ step + damping * step + gradient
    return float(left.norm() / gradient.norm()) if bool(gradient.any()) else float(step.norm())
