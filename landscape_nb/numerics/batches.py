"""Containers of tensors: samples that come as dict, tuple or list, and outputs of any form.

A container is a mapping (dict, UserDict, a tokenizer's BatchEncoding, a model's ModelOutput), a
tuple or a list, or an object that holds tensors as attributes; whatever else stands in it is a
leaf. Containers may hold containers. Every function here returns new ones and leaves what it was
given as it is.
"""

import copy
import dataclasses
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any

import torch
from torch import Tensor

from landscape_nb.numerics import checks

_DEEPEST = 30  # containers in containers: chosen here


def leaves(container: Any, name: str = "") -> list[tuple[str, Any]]:
    """What a container holds at its ends, each with its name, such as inputs['mask'][0].

    >>> [name for name, _ in leaves({"a": (1, 2), "b": None}, "x")]
    ["x['a'][0]", "x['a'][1]", "x['b']"]
    """
    parts = _parts(container)
    if parts is None:
        return [(name, container)]
    if name.count("[") > _DEEPEST:
        raise ValueError(f"{checks.shown(name)} lies too deep; does a container hold itself?")
    return [leaf for label, part in parts for leaf in leaves(part, name + label)]


def changed(container: Any, change: Callable[[Any], Any]) -> Any:
    """The same container with change(leaf) for each leaf, in the order of `leaves`.

    >>> changed({"a": (1, 2)}, lambda x: -x)
    {'a': (-1, -2)}
    """
    if isinstance(container, Tensor):
        return change(container)
    if isinstance(container, Mapping):
        new = copy.copy(container) if isinstance(container, MutableMapping) else dict(container)
        for key in list(container):
            new[key] = changed(container[key], change)
        return new
    if isinstance(container, list | tuple):
        items = [changed(item, change) for item in container]
        return type(container)(*items) if hasattr(container, "_fields") else type(container)(items)
    if _parts(container) is None:
        return change(container)
    new = copy.copy(container)
    for attribute in _tensor_attributes(container):
        # past __setattr__, which a frozen dataclass refuses
        object.__setattr__(new, attribute, changed(getattr(container, attribute), change))
    return new


def refilled(container: Any, tensors: Sequence[Tensor]) -> Any:
    """The same container with these tensors in the places of its own, in the order of `leaves`."""
    following = iter(tensors)
    return changed(container, lambda x: next(following) if isinstance(x, Tensor) else x)


def rows(samples: Any, chosen: range | Tensor) -> Any:
    """A copy of these rows of every tensor: what a model does in place stays in it."""
    where: Any = chosen
    if isinstance(chosen, range):
        where = slice(chosen.start, chosen.stop, chosen.step)
    return changed(samples, lambda t: t[where].clone() if isinstance(t, Tensor) else t)


def detached(container: Any, copies: bool = False) -> Any:
    """The same without a graph; its tensors in memory of their own if `copies`."""

    def cut(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        return leaf.detach().clone() if copies else leaf.detach()

    return changed(container, cut)


def joined(parts: Sequence[Any], sizes: Sequence[int]) -> Any:
    """Outputs of batches one below the other, in the form that the model gives them.

    In a container a leaf that has no row for each sample (a mean, a cache) becomes None.
    """
    if isinstance(parts[0], Tensor):
        return torch.cat(list(parts))
    columns = zip(*([leaf for _, leaf in leaves(part)] for part in parts), strict=True)

    def below(_: Any) -> Any:
        pieces = next(columns)
        if all(
            isinstance(t, Tensor) and t.ndim and len(t) == size
            for t, size in zip(pieces, sizes, strict=True)
        ):
            return torch.cat(pieces)
        return pieces[0] if isinstance(pieces[0], bool | int | float | str) else None

    return changed(parts[0], below)


def checked_samples(inputs: Any, targets: Any, like: Tensor) -> tuple[Any, Any]:
    """Copies of inputs and targets that fit each other and the model's parameters.

    Raises:
        ValueError: something in them is no tensor, is empty, has another dtype or device than the
            model, or another number of rows than the rest.
    """
    lengths: dict[str, int] = {}
    for name, data in (("inputs", inputs), ("targets", targets)):
        found = leaves(data, name)
        if not any(isinstance(leaf, Tensor) for _, leaf in found):
            found = [(name, data)]  # nothing in it is a tensor: speak of the whole
        for place, leaf in found:
            if leaf is None and leaf is not data:
                continue  # an optional input that is left out
            _refuse_bad_leaf(place, leaf, like)
            lengths[place] = len(leaf)
    if len(set(lengths.values())) > 1:
        if len(lengths) == 2:
            (first, n), (second, m) = lengths.items()
            if {first, second} == {"inputs", "targets"}:
                raise ValueError(
                    f"inputs and targets must hold the same number of samples; got {n} and {m}. "
                    "Cut or match them so that row i of one belongs to row i of the other."
                )
        shown = ", ".join(f"{length} in {place}" for place, length in list(lengths.items())[:8])
        raise ValueError(
            "Every tensor in inputs and targets must hold one sample per row, so their numbers "
            f"of rows must agree; got {shown}{', ...' if len(lengths) > 8 else ''}. A list or "
            "tuple means several inputs, not several samples: join samples with torch.stack, pad "
            "those of unequal length, and keep what all samples share inside the model."
        )
    return detached(inputs, copies=True), detached(targets, copies=True)


def num_samples(samples: Any) -> int:
    """Rows of the first tensor."""
    return next(len(leaf) for _, leaf in leaves(samples) if isinstance(leaf, Tensor))


@dataclasses.dataclass(frozen=True)
class UsedOutputs:
    """Those tensors of a model's outputs that its losses depend on, as one flat vector.

    Attributes:
        tensors: each one once, still in the model's graph.
        losses_of: the losses, (batch,), of such tensors.
        dtype: of the vector, the model's parameters' own.
    """

    tensors: tuple[Tensor, ...]
    losses_of: Callable[[Sequence[Tensor]], Tensor]
    dtype: torch.dtype

    def flat(self) -> Tensor:
        """All their numbers in one vector, real and imaginary parts apart; differentiable."""
        return torch.cat([_real(tensor).reshape(-1).to(self.dtype) for tensor in self.tensors])

    def losses(self, flat: Tensor) -> Tensor:
        """The losses as a function of that vector, (batch,); differentiable."""
        pieces = flat.split([_real(tensor).numel() for tensor in self.tensors])
        return self.losses_of(
            [
                _as_given(piece.view(_real(tensor).shape), tensor)
                for piece, tensor in zip(pieces, self.tensors, strict=True)
            ]
        )


@torch.enable_grad()
def used_outputs(outputs: Any, losses_of: Callable[[Any], Tensor], w: Tensor) -> UsedOutputs:
    """Take the outputs apart, and find by differentiation which of them the losses depend on.

    Args:
        outputs: what the model returned at w, in the graph.
        losses_of: the losses, (batch,), of such outputs.
        w: (N,), the leaf of that graph.

    Raises:
        ValueError: the losses can't be had from the outputs alone, or depend on none of them.
    """
    every = {id(t): t for _, t in leaves(outputs) if isinstance(t, Tensor) and t.requires_grad}
    tensors = tuple(every.values())

    def losses_from(new: Sequence[Tensor]) -> Tensor:
        by_id = dict(zip(every, new, strict=True))
        return losses_of(changed(outputs, lambda leaf: by_id.get(id(leaf), leaf)))

    at = [t.detach().requires_grad_() for t in tensors]
    try:
        losses = losses_from([t.clone() for t in at])
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        raise ValueError(
            "The losses can't be computed from the model's outputs alone "
            f"({type(error).__name__}: {(str(error).splitlines() or [''])[0]}). A loss that "
            "differentiates the outputs in the inputs is one cause; do that inside the model."
        ) from error
    slopes: tuple[Tensor | None, ...] = (None,) * (len(at) + 1)
    if losses.requires_grad:
        slopes = torch.autograd.grad(losses.sum(), [*at, w], allow_unused=True)
    if slopes[-1] is not None:
        raise ValueError(
            "The losses depend on w past the outputs that could be seen: something that the model "
            f"returns in its {type(outputs).__name__} holds tensors deeper than in dicts, tuples, "
            "lists and attributes. Return these tensors in one of those."
        )
    used = [slope is not None for slope in slopes[:-1]]
    if not any(used):
        raise ValueError(
            "The losses depend on none of the model's outputs, as far as autograd sees: among "
            f"{[name for name, _ in leaves(outputs, 'outputs')][:8]} {len(tensors)} carry a graph."
        )

    def losses_from_used(new: Sequence[Tensor]) -> Tensor:
        chosen = iter(new)
        return losses_from(
            [next(chosen) if use else t.detach() for use, t in zip(used, tensors, strict=True)]
        )

    kept = tuple(t for use, t in zip(used, tensors, strict=True) if use)
    return UsedOutputs(kept, losses_from_used, w.dtype)


# -- inside ---------------------------------------------------------------------------------------


def _parts(container: Any) -> list[tuple[str, Any]] | None:
    """Labels and contents of one layer; None for a leaf."""
    if isinstance(container, Mapping):
        return [(f"[{checks.shown(key)}]", container[key]) for key in container]
    if isinstance(container, list | tuple):
        return [(f"[{i}]", item) for i, item in enumerate(container)]
    attributes = _tensor_attributes(container)
    return [(f".{name}", getattr(container, name)) for name in attributes] or None


def _tensor_attributes(leaf: Any) -> list[str]:
    """Attributes of an object that are tensors; of a dataclass its containers of tensors too."""
    if isinstance(leaf, Tensor | type | torch.nn.Module):
        return []
    wanted: tuple[type, ...] = (Tensor,)
    if dataclasses.is_dataclass(leaf) or hasattr(leaf, "logits"):
        wanted = (Tensor, Mapping, list, tuple)
    return [name for name, value in getattr(leaf, "__dict__", {}).items() if _is(value, wanted)]


def _is(value: Any, wanted: tuple[type, ...]) -> bool:
    return isinstance(value, wanted) and any(isinstance(t, Tensor) for _, t in leaves(value))


def _refuse_bad_leaf(name: str, leaf: Any, like: Tensor) -> None:
    if not isinstance(leaf, Tensor):
        raise ValueError(
            f"{name} must be a torch tensor with one sample per row (or a dict, tuple or list of "
            f"such); got {type(leaf).__name__}. Convert it with torch.as_tensor, let a tokenizer "
            "return_tensors='pt', and keep options that are no data inside the model."
        )
    if leaf.layout != torch.strided or leaf.is_nested:
        kind = "nested" if leaf.is_nested else f"of layout {leaf.layout}"
        raise ValueError(
            f"{name} must be a dense tensor with one sample per row; got one that is {kind}. Use "
            ".to_dense(), or pad rows of unequal length."
        )
    if leaf.ndim == 0:
        raise ValueError(f"{name} must hold one sample per row; got a single number.")
    if len(leaf) == 0:
        raise ValueError(
            f"{name} is empty: shape {tuple(leaf.shape)}. The first dimension counts samples."
        )
    if leaf.device != like.device:
        checks.same_kind(name, leaf.to(like.dtype), like)
    if leaf.is_floating_point() and leaf.dtype != like.dtype:
        checks.same_kind(name, leaf, like)


def _real(tensor: Tensor) -> Tensor:
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor


def _as_given(piece: Tensor, tensor: Tensor) -> Tensor:
    """A piece of the flat vector as a tensor of the given one's kind."""
    # a copy: a loss that works in place must not reach the vector
    piece = piece.to(tensor.real.dtype, copy=True)
    return torch.view_as_complex(piece) if tensor.is_complex() else piece
