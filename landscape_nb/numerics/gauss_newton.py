"""The Gauss-Newton part G of the Hessian, by products.

H = G + R,   G = (1/k) sum_i J_i' A_i J_i,   R = (1/k) sum_i sum_c (dl_i/df_c) Hess f_c(x_i)    S17

J_i is the Jacobian of the outputs f(x_i; w), A_i the Hessian of the loss in the outputs. G is
positive semidefinite for a convex loss, and its rank is at most k times the rank of A_i: K - 1 for
the softmax of K classes, whose outputs may all be shifted by the same number.
"""

import torch
from torch import Tensor

from landscape_nb.numerics import checks
from landscape_nb.numerics.loss import EmpiricalLoss, Indices, Samples
from landscape_nb.numerics.operators import differentiation, refuse_nan_derivatives


class GaussNewtonOperator:
    """V -> G^(k)(w) V at one fixed w, without the L2 term; the rest is R = H - G.

    G V = (1/k) sum_i J_i' A_i (J_i V), three derivatives in reverse mode: J_i V as the derivative
    of J_i' u in u, which asks nothing of the model that its gradient does not. Exact. A product
    costs about three gradients.

    Args:
        loss: the empirical loss; its L2 term is left out.
        w: (N,).
        k: number of samples, 1..n, or indices of them.

    Attributes:
        products: number of products so far.

    Raises:
        ValueError: an argument does not fit.

    >>> from landscape_nb.problems.toys import softmax_regression   # linear outputs: R = 0
    >>> toy = softmax_regression(6, 2, 3, generator=torch.Generator().manual_seed(0))
    >>> loss = EmpiricalLoss(*toy.parts)
    >>> G = GaussNewtonOperator(loss, loss.w0, 6).dense()
    >>> torch.allclose(G, toy.hessian(loss.w0, 6))
    True
    """

    def __init__(self, loss: EmpiricalLoss, w: Tensor, k: Samples) -> None:
        self._loss, self._w = loss, checks.parameter_vector(w, loss.w0)
        self._batches = loss.batches(k)
        self._num_samples = sum(len(batch) for batch in self._batches)
        held = len(self._batches[0]) * loss.activation_bytes(self._w, 0)
        self._differentiate = differentiation(held, self._w.numel())
        self._kept = self._graph(self._batches[0]) if len(self._batches) == 1 else None
        self.products = 0

    def __call__(self, V: Tensor) -> Tensor:
        """G V, of V's shape, (N,) or (N, b)."""
        V = checks.directions(V, self._w)
        columns = V.unsqueeze(1) if V.ndim == 1 else V
        out = torch.zeros_like(columns)
        for batch in self._batches:
            leaf, outputs, u, pulled, at, slope = self._kept or self._graph(batch)
            if slope.requires_grad:  # else linear in the outputs: no Gauss-Newton part
                JV = self._differentiate(pulled, u, columns)
                AJV = self._differentiate(slope, at, JV)
                out = out + self._differentiate(outputs, leaf, AJV) / self._num_samples
        self.products += columns.shape[1]
        refuse_nan_derivatives(out, "Gauss-Newton product")
        return out.view_as(V)

    def dense(self) -> Tensor:
        """G as an (N, N) matrix, for small models."""
        G = self(torch.eye(self._w.numel(), dtype=self._w.dtype, device=self._w.device))
        return (G + G.T) / 2

    @torch.enable_grad()
    def _graph(self, batch: Indices) -> tuple[Tensor, ...]:
        """Three maps: u -> J'u (u a dummy), outputs -> slope of the loss, w -> outputs."""
        leaf = self._w.clone().requires_grad_()
        rows = self._loss.outputs_at(leaf, batch)
        outputs = rows.reshape(-1)
        u = torch.zeros_like(outputs, requires_grad=True)
        pulled = torch.autograd.grad(outputs, leaf, u, create_graph=True)[0]
        at = outputs.detach().requires_grad_()
        losses = self._loss.losses_of(at.view_as(rows), batch)
        slope = torch.autograd.grad(losses.sum(), at, create_graph=True)[0]
        return leaf, outputs, u, pulled, at, slope
