"""Hessian-vector products by differentiating twice in reverse mode.

H v = d/dw (g(w)'v): the gradient's graph is built once, and a product is one more backward pass
through it, at the cost of one to two gradients.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from landscape_nb.numerics import checks

Indices = range | Tensor
MeanLoss = Callable[[Tensor, Indices], Tensor]
Differentiation = Callable[[Tensor, Tensor, Tensor], Tensor]

# Below so many bytes of one batch's forward pass, PyTorch's own overhead outweighs the arithmetic
# and many products in one backward pass are up to five times faster; above, up to two times
# slower. Measured on MLPs and a small transformer.
_SMALL_BATCH = 2**22
_COLUMNS = 2**25  # numbers in the columns of one such pass at most: chosen here


class HessianOperator:
    """V -> H^(k)(w) V at one fixed w, counting its products.

    When the samples fit one batch the gradient's graph is built once and kept, so that a
    product costs one further backward pass; otherwise it is rebuilt batch by batch, and all
    columns of V are served while a batch is in memory.

    Args:
        mean_loss: mean_loss(w, batch) is the batch's part of L_k without its L2 term,
            differentiable in w.
        w: (N,).
        batches: the samples, batch by batch.
        l2: weight of the L2 term.
        batch_bytes: bytes that the forward pass of the first batch leaves behind.

    Attributes:
        products: number of products so far.
    """

    def __init__(
        self, mean_loss: MeanLoss, w: Tensor, batches: list[Indices], l2: float, batch_bytes: int
    ) -> None:
        self._mean_loss, self._w, self._batches, self._l2 = mean_loss, w, batches, l2
        self._gradient: Tensor | None = None
        self._kept = self._graph(batches[0]) if len(batches) == 1 else None
        self._differentiate = differentiation(batch_bytes, w.numel())
        self.products = 0

    def __call__(self, V: Tensor) -> Tensor:
        """H V, of V's shape, (N,) or (N, b)."""
        V = checks.directions(V, self._w)
        columns = V.unsqueeze(1) if V.ndim == 1 else V
        return self._product(columns, self._differentiate).view_as(V)

    @property
    def gradient(self) -> Tensor:
        """g^(k)(w), (N,), with the L2 term; free once a product was taken."""
        if self._gradient is None:
            if self._kept:
                self._gradient = self._kept[1].detach() + self._l2 * self._w
            else:
                self._product(self._w.new_empty(self._w.numel(), 0), _one_by_one)
        assert self._gradient is not None
        return self._gradient

    def dense(self) -> Tensor:
        """H as an (N, N) matrix, many rows to a backward pass."""
        eye = torch.eye(self._w.numel(), dtype=self._w.dtype, device=self._w.device)
        return _symmetric(self._product(eye, _many_at_once))

    def _product(self, columns: Tensor, differentiate: Differentiation) -> Tensor:
        out, total = self._l2 * columns, self._l2 * self._w
        for batch in self._batches:
            leaf, gradient = self._kept or self._graph(batch)
            total = total + gradient.detach()
            if gradient.requires_grad and columns.shape[1]:  # else linear in w: no curvature
                out = out + differentiate(gradient, leaf, columns)
        self._gradient = total
        self.products += columns.shape[1]
        refuse_nan_derivatives(out, "Hessian-vector product")
        return out

    @torch.enable_grad()
    def _graph(self, batch: Indices) -> tuple[Tensor, Tensor]:
        leaf = self._w.clone().requires_grad_()
        return leaf, torch.autograd.grad(self._mean_loss(leaf, batch), leaf, create_graph=True)[0]


def differentiation(batch_bytes: int, num_params: int) -> Differentiation:
    """The faster way for batches whose forward pass leaves so many bytes behind."""
    small = batch_bytes <= _SMALL_BATCH and 2 * num_params <= _COLUMNS
    return _many_at_once if small else _one_by_one


def _one_by_one(y: Tensor, leaf: Tensor, columns: Tensor) -> Tensor:
    """(dy/dleaf)' columns, (leaf, b), by one backward pass for each column."""
    out = columns.new_empty(columns.shape[1], leaf.numel())
    for row, v in zip(out, columns.unbind(1), strict=True):
        row.copy_(torch.autograd.grad(y, leaf, v, retain_graph=True, materialize_grads=True)[0])
    return out.T


def _many_at_once(y: Tensor, leaf: Tensor, columns: Tensor) -> Tensor:
    """The same by batched backward passes, where every operation of the model allows it."""
    if columns.shape[1] == 1:
        return _one_by_one(y, leaf, columns)
    width = min(64, max(1, _COLUMNS // leaf.numel()))  # 64: chosen here
    try:
        blocks = [
            torch.autograd.grad(
                y,
                leaf,
                block,
                retain_graph=True,
                is_grads_batched=True,
                materialize_grads=True,
            )[0]
            for block in columns.T.split(width)
        ]
    except RuntimeError:  # group_norm, for one, has no batched double backward
        return _one_by_one(y, leaf, columns)
    return torch.cat(blocks).T


def _symmetric(H: Tensor) -> Tensor:
    """The mean of H and H' after a check that they agree."""
    # The square root of the precision separates rounding from a wrong formula. Chosen here.
    if (H - H.T).norm() > 10 * torch.finfo(H.dtype).eps ** 0.5 * H.norm():
        raise ValueError(ASYMMETRIC)
    return (H + H.T) / 2


def refuse_nan_derivatives(derivative: Tensor, what: str) -> None:
    """Raise a ValueError that names `what` if the derivative is not finite."""
    if not torch.isfinite(derivative).all():
        raise ValueError(
            f"The {what} is not finite though the loss is: a square root or a norm at zero, or NaN "
            "behind a mask, is the usual cause. Use a smooth form such as sqrt(x + 1e-12)."
        )


ASYMMETRIC = (
    "PyTorch's second derivatives of this model are wrong: its Hessian is not symmetric. "
    "torch.nn.utils.parametrizations.weight_norm is a known case; remove it or write the layer out."
)
