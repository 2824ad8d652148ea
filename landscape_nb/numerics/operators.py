"""Symmetric (N, N) matrices known by their products: one protocol for all of them.

Whatever its matrix is, an operator has a shape, a dtype and a device; `H @ V` is its product with
one direction (N,) or several as columns (N, b), and `H.products` counts them.

* `HessianOperator`: H v = d/dw (g(w)'v). The gradient's graph is built once, and a product is one
  more backward pass through it, at the cost of one to two gradients.
* `GaussNewtonOperator`: the part G of the Hessian that the loss's own curvature makes.
* `ShardedHessianOperator` (in `shards`): one Hessian over samples spread over processes.
* `ProductOperator`: any function of columns, for matrices that are given in another way.
"""

import functools
import threading
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from landscape_nb.numerics import checks
from landscape_nb.numerics.batches import used_outputs
from landscape_nb.numerics.blocks import dense
from landscape_nb.numerics.devices import normal, widest
from landscape_nb.numerics.float32 import in_float32
from landscape_nb.numerics.travel import Traveller

Indices = range | Tensor  # of samples, from 0
Samples = int | Indices  # the first k, or just these
Differentiation = Callable[[Tensor, Tensor, Tensor], Tensor]

# Below so many bytes of one batch's forward pass, PyTorch's own overhead outweighs the arithmetic
# and many products in one backward pass are up to five times faster; above, up to two times
# slower. Measured on MLPs and a small transformer.
SMALL_BATCH = 2**22
COLUMNS = 2**25  # numbers in the columns of one such pass at most: chosen here


class DifferentiableLoss(Protocol):
    """What an operator asks of a loss; `EmpiricalLoss` has it."""

    w0: Tensor
    l2: float
    num_samples: int

    sample_bytes: int
    memory: float

    def batches(self, samples: Samples) -> list[Indices]:
        """The samples, as many at a time as memory allows."""

    def outputs_at(self, w: Tensor, batch: Indices) -> Any:
        """The model's outputs, differentiable in w."""

    def losses_of(self, outputs: Any, batch: Indices) -> Tensor:
        """The losses of given outputs, (m,)."""

    def losses_at(self, w: Tensor, batch: Indices) -> Tensor:
        """The losses of a batch, (m,), differentiable in w."""


class SymmetricOperator(Traveller):
    """A symmetric (N, N) matrix of which only products are known.

    A solver's vectors are as long as `new_vector()`, and what it sums over their entries goes
    through `total`: so an operator may hold only this process's part of every vector, and says
    with `new_vector`, `total`, `largest` and `random_vector` how the parts belong together.

    Args:
        like: (N,), a vector of the space that it acts on.

    Attributes:
        shape: (N, N).
        dtype, device: of every direction and every product.
        products: number of products so far.
    """

    left_behind = ("_lock",)

    def __init__(self, like: Tensor) -> None:
        self.shape = torch.Size([like.shape[0], like.shape[0]])
        self.dtype, self.device = like.dtype, like.device
        self.products = 0
        self.make_own()

    def make_own(self) -> None:
        """A lock of its own."""
        self._lock = threading.RLock()

    def __matmul__(self, V: Tensor) -> Tensor:
        """The product with one direction (N,) or with several, (N, b); of V's shape.

        Raises:
            ValueError: V does not fit, or the product is not finite.
        """
        columns = self._checked(V)
        return self.multiply(columns.unsqueeze(1) if V.ndim == 1 else columns).view_as(V)

    def __call__(self, V: Tensor) -> Tensor:
        """The same as H @ V."""
        return self @ V

    def __neg__(self) -> "ProductOperator":
        """The operator -H, whose products count for H too."""
        return ProductOperator(
            lambda columns: -self.multiply(columns),
            self,
            lambda: None if (cheaper := self.cheaper()) is None else -cheaper,
        )

    def cheaper(self) -> "SymmetricOperator | None":
        """Nearly this matrix, if the caller finds it so, by products of half the cost; or None."""
        return None

    def multiply(self, columns: Tensor) -> Tensor:
        """H V for a solver's own columns (N, b), which fit: counted, not checked again."""
        with self._lock:  # one graph, one count: threads that share an operator take turns
            self.products += columns.shape[1]
            return self._product(columns)

    def dense(self) -> Tensor:
        """The matrix itself, (N, N), by N products; for small models.

        Raises:
            ValueError: N is above 20 000 (3.2 GB in float64), or it is not symmetric.
        """
        return dense(self, ASYMMETRIC)

    def new_vector(self) -> Tensor:
        """A vector of the space, (N,), zero."""
        return torch.zeros(self.shape[0], dtype=self.dtype, device=self.device)

    def random_vector(self, generator: torch.Generator) -> Tensor:
        """N standard normal numbers, of the device's widest type: of all N, what is held here."""
        draw = normal(self.shape[0], generator=generator)
        return draw.to(self.device, widest(self.device))

    def total(self, x: Tensor) -> Tensor:
        """What was summed over the entries held here, summed over all; here that is all."""
        return x

    def largest(self, x: Tensor) -> Tensor:
        """The elementwise largest of what was found among the entries held here, over all."""
        return x

    def _checked(self, V: Any) -> Tensor:
        return checks.directions(V, self)

    def _product(self, columns: Tensor) -> Tensor:
        raise NotImplementedError


class ProductOperator(SymmetricOperator):
    """The operator of a function that multiplies columns, (N, b) -> (N, b).

    Args:
        function: the product.
        like: (N,), a vector of the space; or an operator, whose space it is.
        cheaper: makes what `cheaper` returns.

    >>> A = torch.tensor([[2.0, 1.0], [1.0, 0.0]])
    >>> (ProductOperator(lambda V: A @ V, A[0]) @ torch.ones(2)).tolist()
    [3.0, 1.0]
    """

    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        like: "Tensor | SymmetricOperator",
        cheaper: Callable[[], SymmetricOperator | None] = lambda: None,
    ) -> None:
        space = SymmetricOperator(like) if isinstance(like, Tensor) else like
        super().__init__(space.new_vector())
        self.shape, self._function, self._space = space.shape, function, space
        self._cheaper = cheaper

    def cheaper(self) -> SymmetricOperator | None:
        """As was given."""
        return self._cheaper()

    def new_vector(self) -> Tensor:
        """A vector of the space, zero."""
        return self._space.new_vector()

    def random_vector(self, generator: torch.Generator) -> Tensor:
        """Standard normal numbers in float64."""
        return self._space.random_vector(generator)

    def total(self, x: Tensor) -> Tensor:
        """Summed over all processes that hold parts of a vector."""
        return self._space.total(x)

    def largest(self, x: Tensor) -> Tensor:
        """The elementwise largest over all processes that hold parts of a vector."""
        return self._space.largest(x)

    def _product(self, columns: Tensor) -> Tensor:
        return self._function(columns)


class HessianOperator(SymmetricOperator):
    """V -> H^(k)(w) V at one fixed w, with the L2 term.

    When the samples fit one batch the gradient's graph is built once and kept, so that a
    product costs one further backward pass; otherwise it is rebuilt batch by batch, and all
    columns of V are served while a batch is in memory.

    Args:
        loss: the empirical loss.
        w: (N,).
        k: number of samples, 1..n, or indices of them.
    """

    def __init__(self, loss: DifferentiableLoss, w: Tensor, k: Samples) -> None:
        self._loss, self._w = loss, checks.parameter_vector(w, loss.w0).clone()
        super().__init__(self._w)
        self._batches = loss.batches(k)
        self._num_samples = sum(len(batch) for batch in self._batches)
        self._gradient: Tensor | None = None
        self._kept = self._graph(self._batches[0]) if len(self._batches) == 1 else None
        self._differentiate = _faster(loss, self._batches[0])

    @property
    def gradient(self) -> Tensor:
        """g^(k)(w), (N,), with the L2 term; free once a product was taken."""
        if self._gradient is None:
            with self._lock:
                self._product(self._w.new_empty(len(self._w), 0))
        assert self._gradient is not None
        return self._gradient

    def cheaper(self) -> "HessianOperator | None":
        """The same by float32 throughout, for a loss in float64 large enough."""
        try:
            twin = in_float32(self._loss, self._batches[0]) if self._kept else None
            return twin and HessianOperator(twin, self._w.float(), self._num_samples)
        except Exception:  # a module with constants of its own in float64, for one
            return None

    def _product(self, columns: Tensor) -> Tensor:
        out, total = self._loss.l2 * columns, self._loss.l2 * self._w
        for batch in self._batches:
            leaf, gradient = self._kept or self._graph(batch)
            total = total + gradient.detach()
            if gradient.requires_grad and columns.shape[1]:  # else linear in w: no curvature
                out = out + self._differentiate(gradient, leaf, columns)
        self._gradient = total
        refuse_nan_derivatives(out, "Hessian-vector product")
        return out

    @torch.enable_grad()
    def _graph(self, batch: Indices) -> tuple[Tensor, Tensor]:
        leaf = self._w.clone().requires_grad_()
        part = self._loss.losses_at(leaf, batch).sum() / self._num_samples
        return leaf, torch.autograd.grad(part, leaf, create_graph=True)[0]


class GaussNewtonOperator(SymmetricOperator):
    """V -> G^(k)(w) V at one fixed w, without the L2 term; the rest is R = H - G.

    H = G + R,   G = (1/k) sum_i J_i' A_i J_i,   R = (1/k) sum_i sum_c (dl_i/df_c) Hess f_c

    (well known; KG24 sec. 3.4 writes it down and cites S17, of which we know the abstract only).

    J_i is the Jacobian of the outputs f(x_i; w), A_i the Hessian of the loss in the outputs. G is
    positive semidefinite for a convex loss, and its rank is at most k times the rank of A_i: K - 1
    for the softmax of K classes, whose outputs may all be shifted by the same number.

    G V takes three derivatives in reverse mode, J_i V as the derivative of J_i' u in u, which asks
    nothing of the model that its gradient does not. Exact. A product costs about three gradients.

    Args:
        loss: the empirical loss; its L2 term is left out.
        w: (N,).
        k: number of samples, 1..n, or indices of them.

    Raises:
        ValueError: an argument does not fit.

    >>> import landscape_nb as ln
    >>> toy = ln.toys.softmax_regression(6, 2, 3, generator=torch.Generator().manual_seed(0))
    >>> loss = ln.EmpiricalLoss(*toy.parts)                         # linear outputs: R = 0
    >>> torch.allclose(GaussNewtonOperator(loss, loss.w0, 6).dense(), toy.hessian(loss.w0, 6))
    True
    """

    def __init__(self, loss: DifferentiableLoss, w: Tensor, k: Samples) -> None:
        self._loss, self._w = loss, checks.parameter_vector(w, loss.w0).clone()
        super().__init__(self._w)
        self._batches = loss.batches(k)
        self._num_samples = sum(len(batch) for batch in self._batches)
        self._differentiate = _faster(loss, self._batches[0])
        self._kept = self._graph(self._batches[0]) if len(self._batches) == 1 else None

    def _product(self, columns: Tensor) -> Tensor:
        out = torch.zeros_like(columns)
        for batch in self._batches:
            leaf, outputs, u, pulled, at, slope = self._kept or self._graph(batch)
            if slope.requires_grad:  # else linear in the outputs: no Gauss-Newton part
                JV = self._differentiate(pulled, u, columns)
                AJV = self._differentiate(slope, at, JV)
                out = out + self._differentiate(outputs, leaf, AJV) / self._num_samples
        refuse_nan_derivatives(out, "Gauss-Newton product")
        return out

    @torch.enable_grad()
    def _graph(self, batch: Indices) -> tuple[Tensor, ...]:
        """Three maps: u -> J'u (u a dummy), outputs -> slope of the loss, w -> outputs."""
        leaf = self._w.clone().requires_grad_()
        rows = self._loss.outputs_at(leaf, batch)
        used = used_outputs(rows, lambda f: self._loss.losses_of(f, batch), leaf)
        outputs = used.flat()
        u = torch.ones_like(outputs, requires_grad=True)  # any: J'u is linear in it
        pulled = torch.autograd.grad(outputs, leaf, u, create_graph=True)[0]
        at = outputs.detach().requires_grad_()
        slope = torch.autograd.grad(used.losses(at).sum(), at, create_graph=True)[0]
        return leaf, outputs, u, pulled, at, slope


def as_operator(H: Any, like: Tensor | None = None) -> SymmetricOperator:
    """H as an operator: one already, a symmetric matrix (N, N), or a function and a vector (N,)."""
    if isinstance(H, SymmetricOperator):
        return H
    if isinstance(H, Tensor) and H.ndim == 2 and H.shape[0] == H.shape[1]:
        return ProductOperator(lambda columns: H @ columns, H[0])
    if callable(H) and isinstance(like, Tensor) and like.ndim == 1 and like.is_floating_point():
        return ProductOperator(H, like)
    given = tuple(like.shape) if isinstance(like, Tensor) else type(like).__name__
    raise ValueError(
        "H must be an operator such as loss.hessian_operator(w, k), or a symmetric matrix (N, N); "
        f"got {type(H).__name__}. A function of columns needs a vector (N,) of real numbers "
        f"beside it, which gives H's size and dtype (loss.w0 will do); got {given}."
    )


R = TypeVar("R")


def takes_operator(f: Callable[..., R]) -> Callable[..., R]:
    """Let the first argument of f be whatever `as_operator` takes.

    Earlier versions asked for a function and a vector "like" after it: such calls keep working.
    """

    @functools.wraps(f)
    def call(H: Any, *rest: Any, like: Tensor | None = None, **named: Any) -> R:
        if rest and isinstance(rest[0], Tensor):
            like, rest = rest[0], rest[1:]
        return f(as_operator(H, like), *rest, **named)

    return call


def _faster(loss: DifferentiableLoss, batch: Indices) -> Differentiation:
    """The faster way to differentiate a batch many times."""
    size = max(1, len(batch) * loss.sample_bytes)
    if size > SMALL_BATCH or 2 * len(loss.w0) > COLUMNS:
        return one_by_one
    # Each column of a batched backward pass goes through a graph of its own. 64, 64: chosen here.
    width = max(1, min(64, int(loss.memory / (64 * size))))
    return lambda y, leaf, columns: many_at_once(y, leaf, columns, width)


def one_by_one(y: Tensor, leaf: Tensor, columns: Tensor) -> Tensor:
    """(dy/dleaf)' columns, (leaf, b), by one backward pass for each column."""
    out = columns.new_empty(columns.shape[1], leaf.numel())
    for row, v in zip(out, columns.unbind(1), strict=True):
        row.copy_(torch.autograd.grad(y, leaf, v, retain_graph=True, materialize_grads=True)[0])
    return out.T


def many_at_once(y: Tensor, leaf: Tensor, columns: Tensor, width: int = 64) -> Tensor:
    """The same by batched backward passes, where every operation of the model allows it."""
    if columns.shape[1] == 1:
        return one_by_one(y, leaf, columns)
    width = min(width, max(1, COLUMNS // leaf.numel()))
    options = {"retain_graph": True, "is_grads_batched": True, "materialize_grads": True}
    try:
        blocks = [torch.autograd.grad(y, leaf, V, **options)[0] for V in columns.T.split(width)]
    except RuntimeError:  # group_norm, for one, has no batched double backward
        return one_by_one(y, leaf, columns)
    return torch.cat(blocks).T


def refuse_nan_derivatives(derivative: Tensor, what: str) -> None:
    """Raise a ValueError that names `what` if the derivative is not finite."""
    if not torch.isfinite(derivative).all():
        raise ValueError(
            f"The {what} is not finite though the loss is: a square root or a norm at zero, NaN "
            "behind a mask, or an infinite input is the usual cause. Use a smooth form such as "
            "sqrt(x + 1e-12)."
        )


ASYMMETRIC = (
    "PyTorch's second derivatives of this model are wrong: its Hessian is not symmetric. "
    "torch.nn.utils.parametrizations.weight_norm is a known case; remove it or write the layer out."
)
