"""How precise a loss really is, whatever the dtype of its parameters says.

Two numbers, measured and not read off the code:
* noise of the values: what no polynomial explains of the losses along a short line. Of m + 1
  equally spaced values the k-th differences are taken; those of a smooth function vanish like h^k,
  those of independent errors of deviation e have mean square e^2 (2k)! / (k!)^2 (Hamming; More and
  Wild, SIAM J. Sci. Comput. 33, 2011). The line is so short that only noise is left, and so long
  that the values differ at all: of a model in bfloat16 small steps change nothing. Where an
  operation in a lower precision than that of w was seen, a longer line is tried too, on which
  activations that are rounded jump, though the layers after them move smoothly;
* non-linearity of the products, H(V c) against (H V) c, as in `numerics.certificate`.

A loss in low precision is refused, not measured and carried along: its values are equal, to the
last bit, at points that differ by less than a rounding of 1e-3 or so, and everything that is made
of differences of values (increments, Delta_1, Delta_2) would be made of these steps. Parameters in
low precision are refused for the same reason. A float32 part of a float64 model is not: its noise
is small, and eigenpairs carry it. (`numerics.eigensolver` measures its operator by itself.)
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from landscape_nb.numerics.audit.evaluations import Row
from landscape_nb.numerics.audit.leaves import nodes
from landscape_nb.numerics.certificate import certify
from landscape_nb.numerics.devices import normal, on_cpu
from landscape_nb.numerics.operators import DifferentiableLoss, HessianOperator

# Noise relative to the loss: 1e-16 in float64, 1e-7 to 1e-6 in float32, 1e-4 in float16, 1e-3 in
# bfloat16. All limits are chosen here.
_LIMIT = 1e-6  # where operations in low precision were seen
_LIMIT_UNSEEN = 1e-3  # where none were: long sums and cancellation make noise too
_LIMIT_PRODUCTS = 3e-5  # of the products, where operations in low precision were seen
_COARSE = 1e-6  # coarser than float32
_LONG_STEP = 1 / 32  # of a rounding: some activations jump, and few kinks are passed
_ORDERS = 6  # m: differences up to this order
_SAMPLES = 8


@dataclass(frozen=True)
class Precision:
    """The precision of a loss near one point.

    Attributes:
        noise: typical error of one sample's loss, relative to the largest of a few and to what a
            tenth of w changes in them.
        step: length of the steps, relative to the parameters, at which the values began to differ;
            infinite where they never did.
        nonlinearity: |H(V c) - (H V) c|, relative to a product.
        coarsest: the coarsest floating point dtype that an operation returned on the way.
        operation: which operation.
    """

    noise: float
    step: float
    nonlinearity: float
    coarsest: torch.dtype
    operation: str

    @property
    def low(self) -> bool:
        """Whether an operation in a lower precision than float32 was seen."""
        return _is_coarse(self.coarsest)

    def rows(self) -> list[Row]:
        """What was measured, line by line."""
        by = f" ({self.operation})" if self.operation else ""
        return [
            ("noise of the values", f"{self.noise:.1e} of the loss"),
            ("H(u + v) and Hu + Hv", f"apart by {self.nonlinearity:.1e}"),
            ("coarsest operation", f"{self.coarsest}{by}"),
        ]


def loss_precision(loss: DifferentiableLoss, w: Tensor) -> Precision:
    """Measure the noise of a loss and the non-linearity of its products near w.

    Costs at least 8 evaluations of 8 samples, about 20 in float64, and 3 products with them.

    Args:
        loss: the empirical loss.
        w: (N,).

    Raises:
        ValueError: a derivative is not finite.

    >>> from landscape_nb.problems.toys import linear_regression
    >>> from landscape_nb.numerics.loss import EmpiricalLoss
    >>> toy = linear_regression(30, 3, generator=torch.Generator().manual_seed(0))
    >>> loss = EmpiricalLoss(*toy.parts)
    >>> found = loss_precision(loss, loss.w0 + 1)
    >>> found.noise < 1e-14, found.nonlinearity < 1e-14, found.coarsest
    (True, True, torch.float64)
    """
    samples = range(min(loss.num_samples, _SAMPLES))
    g = torch.Generator().manual_seed(0)
    u, v, r = (_unit(len(w), g).to(w) for _ in range(3))
    with Watch() as watch:
        line = _Line(loss, w, u, samples)
        noise, step = line.first_noise()
        watch.graph(*_gradient(loss, w, samples))
        H = HessianOperator(loss, w, samples)
        proof = certify(H, w.new_zeros(2), torch.stack([u, v], dim=1), r)
    rounding = torch.finfo(watch.coarsest).eps
    if rounding > torch.finfo(w.dtype).eps and line.scale > 0:
        noise = max(noise, line.noise(_LONG_STEP * rounding)[0])
    size = float(proof.residuals.max())  # |H u|, as the values are zero
    return Precision(
        noise, step, proof.nonlinearity / size if size else 0.0, watch.coarsest, watch.operation
    )


def is_low(*ends: Tensor) -> bool:
    """Whether the graphs of some tensors hold numbers in a lower precision than float32."""
    watch = Watch()
    watch.graph(*ends)
    return watch.low


def refuse_low_precision(loss: DifferentiableLoss, w: Tensor) -> Precision:
    """What was measured near w, or a refusal.

    Raises:
        ValueError: the values or the products of the loss are too coarse to be studied.
    """
    found = loss_precision(loss, w)
    values = found.noise > (_LIMIT if found.low else _LIMIT_UNSEEN)
    if not (values or (found.low and found.nonlinearity > _LIMIT_PRODUCTS)):
        return found
    steps = (
        f"A change of w by less than {found.step:.0e} of itself does not move them. "
        if found.step > 100 * torch.finfo(w.dtype).eps
        else ""
    )
    numbers = (
        f"its parameters are {w.dtype}, but its values carry errors of {found.noise:.1e} of the "
        f"loss, and Hessian-vector products miss linearity by {found.nonlinearity:.1e} (H(Vc) "
        f"against (HV)c). {steps}"
    )
    if found.low:
        raise ValueError(
            f"The loss is computed in low precision: {numbers}{found.operation} returned "
            f"{found.coarsest}. Leave autocast, .half() and .bfloat16() out of the model and "
            "loss_fn, with model.float() or, better, model.double() outside."
        )
    raise ValueError(
        f"The loss is noisy: {numbers}No operation in half precision was seen, so the cause is "
        "not known: rounding or quantisation of activations, an iteration that stops early, and "
        "sums that cancel (then model.double() helps) are usual ones."
    )


def _is_coarse(dtype: torch.dtype) -> bool:
    return torch.finfo(dtype).eps > _COARSE


@torch.enable_grad()
def _gradient(loss: DifferentiableLoss, w: Tensor, samples: range) -> tuple[Tensor, Tensor]:
    """Losses, and the gradient of their sum with its graph."""
    leaf = w.clone().requires_grad_()
    losses = loss.losses_at(leaf, samples)
    return losses, torch.autograd.grad(losses.sum(), leaf, create_graph=True)[0]


def _unit(N: int, g: torch.Generator) -> Tensor:
    x = normal(N, generator=g)
    return x / x.norm()


class _Line:
    """Single losses along w + t |w| u, and what no polynomial explains of them.

    Attributes:
        scale: the largest loss at w, or change of one over a tenth of w.
    """

    def __init__(self, loss: DifferentiableLoss, w: Tensor, u: Tensor, samples: range) -> None:
        self.loss, self.w, self.samples = loss, w, samples
        self.u = u * (float(w.norm()) or 1.0)
        self.start = self.at(0.0)
        largest = torch.stack([self.start, self.at(0.1) - self.start]).abs()
        self.scale = float(largest.nan_to_num(0, 0, 0).max())

    def at(self, t: float) -> Tensor:
        with torch.no_grad():
            return on_cpu(self.loss.losses_at(self.w + t * self.u, self.samples))

    def noise(self, h: float) -> tuple[float, float]:
        """Noise on a line of steps h, relative to the scale, and the share of steps that move.

        The smallest estimate of all orders: of a smooth function high differences vanish.
        """
        differences = torch.stack([self.start] + [self.at(j * h) for j in range(1, _ORDERS + 1)])
        moving = (differences.diff(dim=0) != 0).double().mean(0)
        orders = []
        for k in range(1, _ORDERS + 1):
            differences = differences.diff(dim=0)
            orders.append(float(differences.square().mean().sqrt()) / math.comb(2 * k, k) ** 0.5)
        # of the samples that move most: those that are fitted to the last bit stay where they are
        return min(orders) / self.scale, float(moving.quantile(0.75))

    def first_noise(self) -> tuple[float, float]:
        """Noise on the shortest line on which the values differ, and its step."""
        h = 16 * torch.finfo(self.w.dtype).eps  # so that most parameters move
        while self.scale > 0 and h < 0.1:
            noise, moving = self.noise(h)
            if moving > 0.5:
                return noise, h
            h *= 10
        return 0.0, math.inf


class Watch(TorchFunctionMode):
    """Notes the coarsest floating point numbers that an operation returns.

    Not a TorchDispatchMode, which sees more: under it, differentiating a graph that torch.func
    made inside a model kills the process (torch 2.13).
    """

    def __init__(self) -> None:
        super().__init__()
        self.coarsest, self.operation = torch.float64, ""

    @property
    def low(self) -> bool:
        """Whether any of them is coarser than float32."""
        return _is_coarse(self.coarsest)

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Call as ever."""
        out = function(*args, **(kwargs or {}))
        for x in tree_leaves(out):
            if isinstance(x, Tensor):
                self._note(x.dtype, getattr(function, "__name__", "an operation"))
        return out

    def graph(self, *ends: Tensor) -> None:
        """Look through the graphs of `ends` too: what no function of Python's returned."""
        for node in nodes(*ends):
            for tensor in getattr(node, "_input_metadata", ()):
                self._note(tensor.dtype, node.name().removesuffix("Backward0"))

    def _note(self, dtype: torch.dtype, operation: str) -> None:
        if dtype.is_floating_point and torch.finfo(dtype).eps > torch.finfo(self.coarsest).eps:
            self.coarsest, self.operation = dtype, operation
