"""What a forward and a backward pass leave at every use of the parameters, sample by sample.

Every parameter is a view of one flat vector, by which it is known wherever a model reads it: as a
layer's own, shared by several, or by hand. The dimension that counts samples is looked for among
those that could, and where several could it is seen by weighting the samples: their weights are
found again in the gradients.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import FunctionType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from landscape_nb.numerics.bilinear import BilinearLayer, bilinear_layer, is_bilinear
from landscape_nb.numerics.devices import on_cpu
from landscape_nb.numerics.operators import DifferentiableLoss, Indices


class ContractionError(ValueError):
    """The model's samples can't be contracted layer by layer, or come out wrong."""


@dataclass(frozen=True, eq=False)
class Use:
    """One use of parameters.

    Attributes:
        layer: what is done with them; its features are differentiable in what is added.
        d: gradient of the losses' sum in the output, of the output's shape.
        added: zeros that were added to the output.
        half: d / 2, differentiable in what is added if that was asked for.
        m: number of samples.
        before: product of the dimensions in front of the sample's: 1 if the sample comes first.
    """

    layer: BilinearLayer
    d: Tensor
    added: Tensor
    half: Tensor
    m: int
    before: int

    @property
    def fixed(self) -> bool:
        """Whether the features do not depend on w: they are the model's inputs."""
        return not self.layer.features.requires_grad

    def by_sample(self, rows: Tensor) -> Tensor:
        """Outputs or features of b directions, (b, ...), as (m, b, numbers of one sample)."""
        split = rows.reshape(len(rows), self.before, self.m, -1)
        return split.permute(2, 0, 1, 3).reshape(self.m, len(rows), -1)


class Recorder(TorchFunctionMode):
    """While it is entered, notes every use of a vector of parameters in this thread.

    Zeros are added to the result of each.

    Args:
        w: (N,), contiguous; every view of it is a parameter.
    """

    def __init__(self, w: Tensor) -> None:
        super().__init__()
        self._address = w.untyped_storage().data_ptr()
        self.notes = list[tuple[BilinearLayer, Tensor]]()

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Called in place of every function of torch."""
        named = kwargs or {}
        taken = [t for t in _tensors([args, named]) if self._is_of_w(t)]
        if taken and isinstance(function, FunctionType) and not is_bilinear(function):
            with self:  # attention, for one, is made of linear functions
                return _unasked(function)(*args, **named)
        output = function(*args, **named)
        if taken and function is Tensor.mul and type(args[1]) is int and args[1] == 1:
            return args[0]  # `ParameterLayout.unflatten` copies in this way
        if not taken or all(map(self._is_of_w, _tensors(output))):  # another view of w, or its size
            return output
        layer = bilinear_layer(function, args, named)
        if layer is not None:  # of what is frozen there is nothing to know
            own = {
                name: t
                for name in ("weight", "bias")
                if (t := getattr(layer, name)) is not None and self._is_of_w(t)
            }
            layer = replace(layer, **{"weight": None, "bias": None, **own})
        if layer is None or len(own) != len(taken):
            raise ContractionError(
                "Layer contraction knows parameters that are used in a linear function, a "
                "convolution, an embedding or a normalisation, and here one is used in "
                f"{getattr(function, '__name__', function)}. Use method='reverse'."
            )
        more = torch.zeros_like(output, requires_grad=True)
        self.notes.append((layer, more))
        return output + more

    def _is_of_w(self, t: Tensor) -> bool:
        return t.untyped_storage().data_ptr() == self._address


def _unasked(function: FunctionType) -> FunctionType:
    """The same function of torch's, that does not ask first whether another takes its place."""
    names = function.__globals__ | dict.fromkeys(_QUESTIONS, lambda *_: False)
    same = FunctionType(
        function.__code__, names, function.__name__, function.__defaults__, function.__closure__
    )
    same.__kwdefaults__ = function.__kwdefaults__
    return same


_QUESTIONS = ("has_torch_function", "has_torch_function_unary", "has_torch_function_variadic")


def _tensors(parts: Any) -> Iterator[Tensor]:
    """Tensors in lists, tuples and dicts."""
    if isinstance(parts, Tensor):
        yield parts
    elif isinstance(parts, list | tuple):
        for part in parts:
            yield from _tensors(part)
    elif isinstance(parts, dict):
        yield from _tensors([*parts.values()])


@dataclass(frozen=True, eq=False)
class Recording:
    """What `recorded` returns, and the same losses in reverse mode, which knows nothing of uses.

    Attributes:
        losses: (m,), without a graph.
        uses: every use of a parameter.
        weights: (m,), `sample_weights`.
        w: (N,), what the losses were evaluated at.
        gradient: (N,), in w, of the sum of weighted losses.
    """

    losses: Tensor
    uses: list[Use]
    weights: Tensor
    w: Tensor
    gradient: Tensor

    def product(self, v: Tensor) -> Tensor:
        """The Hessian of the sum of weighted losses times v, (N,), if recorded twice."""
        if not self.gradient.requires_grad:  # linear in w
            return torch.zeros_like(v)
        return torch.autograd.grad(self.gradient, self.w, v, materialize_grads=True)[0]


@torch.enable_grad()
def recorded(loss: DifferentiableLoss, w: Tensor, batch: Indices, twice: bool = False) -> Recording:
    """Losses of a batch and every use of a parameter; twice: to be differentiated again.

    Raises:
        ContractionError: parameters are used in a way that is not known.
    """
    m, w = len(batch), w.detach().clone(memory_format=torch.contiguous_format).requires_grad_()
    with Recorder(w) as recorder:
        losses = loss.losses_at(w, batch)
    if not recorder.notes or losses.shape != (m,):
        raise ContractionError("No parameter was used. Use method='reverse'.")
    layers, outputs = zip(*recorder.notes, strict=True)
    r = sample_weights(batch, losses)

    def slopes(total: Tensor, *of: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(
            total, of, materialize_grads=True, retain_graph=True, create_graph=twice
        )

    halves = slopes(losses.sum() / 2, *outputs)
    gradient, *weighted = slopes((r * losses).sum(), w, *outputs)
    ones = [2 * half.detach() for half in halves]
    uses = []
    for j, (layer, output) in enumerate(zip(layers, outputs, strict=True)):
        found = _places(tuple(output.shape[: layer.leading(output)]), m)
        if len(found) > 1:  # which dimension counts samples is seen by weighting them
            found = [p for p in found if _fits(ones[j], weighted[j].detach(), r, p)]
        if not found:
            raise ContractionError(
                f"Of a layer's output {tuple(output.shape)} no dimension counts the {m} samples. "
                "Use method='reverse'."
            )
        uses.append(Use(layer, ones[j], output, halves[j], m, found[0]))
    r = r.detach().to(w.dtype)
    return Recording(losses.detach().to(w.dtype), uses, r, w, gradient)


def along(rows: Tensor, parameter: Tensor) -> Tensor:
    """What rows (D, N) are for a view of w, (D, ...)."""
    shape, strides, start = parameter.shape, parameter.stride(), parameter.storage_offset()
    return rows.as_strided((len(rows), *shape), (rows.shape[1], *strides), start)


def _places(leading: tuple[int, ...], m: int) -> list[int]:
    """What may stand before the samples' dimension, first the likeliest: samples come first.

    Samples may share a dimension with positions: (batch * time, ...) or (time * batch, ...).
    """
    found, before = [], 1
    for size in leading:
        more, rest = divmod(size, m)
        if not rest:
            found += [before * t for t in range(1, more + 1) if more % t == 0]
        before *= size
    return sorted({*found} | ({1} if m == 1 else set()))


def _fits(d: Tensor, weighted: Tensor, r: Tensor, before: int) -> bool:
    """Whether weights of the samples are found again where they should be in the gradient."""
    expected = d.reshape(before, len(r), -1) * r[:, None]
    difference = (weighted.reshape(expected.shape) - expected).norm()
    return bool(difference <= tolerance(d) * expected.norm())


def sample_weights(batch: Indices, like: Tensor) -> Tensor:
    """A weight between 1/2 and 3/2 for each sample, by its index, all of them different."""
    indices = on_cpu(torch.as_tensor(batch))
    golden_ratio = 0.6180339887498949  # spreads them evenly
    return (0.5 + (indices * golden_ratio) % 1).to(like)


def tolerance(like: Tensor) -> float:
    """Rounding that is allowed, relative to the root of the samples' summed squares.

    4e-10 in float64, 2e-4 in float32: errors of single samples add up in squares. Chosen here.
    """
    return 10 * torch.finfo(like.dtype).eps ** (2 / 3)
