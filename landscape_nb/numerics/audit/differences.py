"""Autograd's derivatives of a loss against differences of the loss's own values.

u'g  against  (L(w + h u) - L(w - h u)) / (2h),   H u  against  (g(w + h u) - g(w - h u)) / (2h)

g on the right is the gradient that the first line has just compared with values. Both are tried
with steps h that shrink: rounding grows as h shrinks, the error of the difference grows with h, and
a kink (ReLU) between w - h u and w + h u disappears. A derivative is wrong only where its
disagreement stays, is larger than rounding, and is larger than what the two one-sided differences
(forward and backward) disagree by themselves.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from landscape_nb.numerics.devices import on_cpu
from landscape_nb.numerics.operators import DifferentiableLoss, Indices

# Steps relative to the size of the parameters, the best ones first. Chosen here: rounding costs
# 1e-16 / h, the difference itself h^2, in float64.
STEPS = (1e-5, 1e-6, 1e-7, 1e-8, 1e-4, 1e-3)
COARSE_STEPS = (1e-2, 3e-3, 3e-2, 1e-3)  # for a loss that can't be evaluated in float64
AGREE, AGREE_COARSELY = 1e-5, 3e-2  # good models: 1e-8; wrong ones: 3e-3 and more


class Audited(DifferentiableLoss, Protocol):
    """What the audit asks of a loss besides."""

    @property
    def loss_fn(self) -> Any:
        """The loss function."""

    @property
    def uncalled(self) -> nn.Module:
        """A copy of the module that was never called."""

    def per_sample(self, w: Tensor) -> Tensor:
        """All losses at w, (n,)."""

    @property
    def model(self) -> nn.Module:
        """The loss's own copy of the module."""

    @property
    def layout(self) -> Any:
        """Which entries of w belong to which parameter."""

    def with_module(self, module: nn.Module, loss_fn: Any = None, w0: Any = None) -> Any:
        """The same losses of another module, with other parts."""

    samples: Any  # who has them

    def with_samples(self, samples: Any) -> Any:
        """The same of other samples."""


@dataclass(frozen=True)
class Comparison:
    """One number by two routes.

    Attributes:
        off: their difference, relative to the larger one.
        allowed: how far apart they may be; rounding included.
        wrong: whether it stays as the step shrinks and neither kinks nor rounding explain it.
        by_autograd, by_differences: the two, at the step where they agree best.
        settled: whether they agree; neither `wrong` nor `settled`: rounding or kinks hide it.
    """

    off: float
    allowed: float
    wrong: bool
    settled: bool
    by_autograd: float
    by_differences: float


class Upcast(TorchFunctionMode):
    """Every operation in float64, also where the code says .float(): the same loss, less rounding.

    Float32 tensors are converted when they are used, so that nothing of the model changes.
    """

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Call with float64 in the place of every lower precision, and return no lower one."""
        args, kwargs = tree_map(_raised, (args, kwargs or {}))
        if function in _TO_LOWER:
            return args[0]
        return tree_map(_raised_tensor, function(*args, **kwargs))


_TO_LOWER = (Tensor.float, Tensor.half, Tensor.bfloat16)
_LOW = (torch.float32, torch.float16, torch.bfloat16)


def _raised_tensor(x: Any) -> Any:
    return x.double() if isinstance(x, Tensor) and x.dtype in _LOW else x


def _raised(x: Any) -> Any:
    return torch.float64 if isinstance(x, torch.dtype) and x in _LOW else _raised_tensor(x)


@dataclass(frozen=True)
class Probe:
    """The mean of some samples' losses, in units in which it is about 1, and its derivatives.

    Attributes:
        loss: the loss, perhaps a copy of it in float64.
        samples: which.
        scale: what one unit is: no derivative over- or underflows.
        context: under what it is evaluated.
        module: into whose own parameters w is put too, for work that reads them there; or None.
    """

    loss: Audited
    samples: Indices
    scale: float = 1.0
    context: Callable[[], Any] = nullcontext
    module: Any = None
    weights: Tensor = field(init=False)

    def __post_init__(self) -> None:
        i = torch.arange(len(self.samples), dtype=torch.float64)
        # no two samples can cancel each other unseen
        object.__setattr__(self, "weights", (1 + i.cos() / 2) / len(i))

    def losses(self, w: Tensor, samples: Indices | None = None) -> Tensor:
        """The losses of single samples, without a graph."""
        with torch.no_grad(), self.context():
            return self.loss.losses_at(w, self.samples if samples is None else samples)

    def value(self, w: Tensor) -> float:
        """The weighted mean, in units of `scale`."""
        return float(on_cpu(self.losses(w)) @ self.weights) / self.scale

    @torch.enable_grad()
    def graph(self, w: Tensor, again: bool = True) -> tuple[Tensor, Tensor, Tensor]:
        """W as a leaf, the single losses and the gradient, with its graph if it is asked for."""
        leaf = w.clone().requires_grad_()
        with self.context(), self._placed(w):
            losses = self.loss.losses_at(leaf, self.samples)
            seed = (self.weights / self.scale).to(losses)
            return leaf, losses, torch.autograd.grad(losses, leaf, seed, create_graph=again)[0]

    def gradient(self, w: Tensor) -> Tensor:
        """The gradient alone."""
        return self.graph(w, again=False)[2].detach()

    def product(self, leaf: Tensor, gradient: Tensor, u: Tensor) -> Tensor:
        """H u from the gradient's graph; zero where the gradient does not depend on w."""
        if not gradient.requires_grad:
            return torch.zeros_like(u)
        with self.context(), self._placed(leaf.detach()):
            return torch.autograd.grad(
                gradient, leaf, u, retain_graph=True, materialize_grads=True
            )[0]

    def noise(self, w: Tensor, size: Tensor) -> float:
        """The rounding of a value: what a move far too small for curvature leaves of it."""
        own = 8 * torch.finfo(w.dtype).eps
        here = self.value(w)
        second = [
            abs(self.value(w + u) + self.value(w - u) - 2 * here)
            for u in ((1e-8 if own < 1e-12 else own) * u for u in directions(size, 4, seed=1))
        ]
        return max(own * abs(here), *second)

    @contextmanager
    def _placed(self, w: Tensor) -> Iterator[None]:
        """Put w into the module itself, for whatever reads it there."""
        if self.module is not None:
            named = dict(self.module.named_parameters())
            with torch.no_grad():
                for name, piece in self.loss.layout.unflatten(w).items():
                    named[name].copy_(piece)
        yield


def directions(size: Tensor, count: int, seed: int = 0) -> list[Tensor]:
    """Generic directions, each entry of the size of its parameter; always the same ones."""
    g = torch.Generator().manual_seed(seed)
    draws = (torch.rand(len(size), generator=g, dtype=torch.float32) for _ in range(count))
    return [size * draw.mul_(3).sub_(1.5).to(size) for draw in draws]


def slope(
    probe: Probe, w: Tensor, g: Tensor, u: Tensor, size: Tensor, steps: Sequence[float]
) -> Comparison:
    """U'g against central differences of values."""
    here = probe.value(w)

    def difference(h: float) -> tuple[Tensor, Tensor]:
        up, down = probe.value(w + h * u), probe.value(w - h * u)
        both = torch.tensor([up - down, up + down - 2 * here], dtype=torch.float64) / (2 * h)
        return both[0], both[1]

    eps = torch.finfo(w.dtype).eps
    found = _Differences(difference, on_cpu(g @ u), float((size * g).norm()), steps)
    return found.judged(8 * eps * abs(here), lambda: 10 * probe.noise(w, size))


def curvature(
    probe: Probe, w: Tensor, g: Tensor, Hu: Tensor, u: Tensor, size: Tensor, steps: Sequence[float]
) -> Comparison:
    """The whole vector H u against central differences of gradients, each entry in its size."""

    def difference(h: float) -> tuple[Tensor, Tensor]:
        up, down = probe.gradient(w + h * u), probe.gradient(w - h * u)
        return size * (up - down) / (2 * h), size * (up + down - 2 * g) / (2 * h)

    def noise() -> float:
        near = directions(size, 2, seed=1)
        pairs = [probe.gradient(w + 1e-8 * u) + probe.gradient(w - 1e-8 * u) for u in near]
        return 10 * max(float((size * (pair - 2 * g)).norm()) for pair in pairs)

    found = _Differences(difference, size * Hu, 0.0, steps)
    return found.judged(32 * torch.finfo(w.dtype).eps * float((size * g).norm()), noise)


class _Differences:
    """Differences with shrinking steps, beside what autograd says."""

    def __init__(
        self,
        difference: Callable[[float], tuple[Tensor, Tensor]],
        predicted: Tensor,
        typical: float,
        steps: Sequence[float],
    ) -> None:
        self._difference, self._predicted, self._steps = difference, predicted, steps
        self._typical = max(typical, float(predicted.norm()))
        self._agree = AGREE_COARSELY if steps is COARSE_STEPS else AGREE

    def judged(self, rounding: float, measured: Callable[[], float]) -> Comparison:
        """Stop at the first step where the two agree; else see what explains that none does."""
        tried = []
        for h in self._steps:
            found, gap = self._difference(h)
            apart = float((found - self._predicted).norm())
            size = max(self._typical, float(found.norm()))
            if apart <= self._agree * size + rounding / h:
                return self._comparison(found, rounding / h, settled=True)
            tried.append((h, found, float(gap.norm()), apart, size))
        rounding = max(rounding, measured())
        # Where rounding can't explain it, the smallest steps count: fewest kinks are in between.
        clear = sorted((t for t in tried if rounding / t[0] < t[3] / 10), key=lambda t: t[0])[:3]
        wrong = len(clear) >= 2 and all(
            apart > 2 * gap + self._agree * size and float((found - clear[0][1]).norm()) < apart / 4
            for _, found, gap, apart, size in clear
        )
        best = min(clear or tried, key=lambda t: t[3] / t[4])
        return self._comparison(best[1], rounding / best[0], wrong=wrong)

    def _comparison(
        self, found: Tensor, rounding: float, settled: bool = False, wrong: bool = False
    ) -> Comparison:
        apart = float((found - self._predicted).norm())
        size = max(self._typical, float(found.norm()))
        numbers = [float(x) if x.ndim == 0 else float(x.norm()) for x in (self._predicted, found)]
        off, allowed = (apart / size, self._agree + rounding / size) if size else (0.0, 0.0)
        return Comparison(off, allowed, wrong, settled, *numbers)
