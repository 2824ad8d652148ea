"""What the loss's graph hangs on: w alone, or trainable tensors that are no part of w.

A derivative in w leaves out every way to the loss that does not start at w. Such a way ends in a
leaf of autograd's graph that is not w; it is named, and what it looks like decides what is advised.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from landscape_nb.numerics.audit.differences import Audited
from landscape_nb.numerics.operators import Indices


def nodes(*ends: Tensor) -> Iterator[Any]:
    """The nodes of the graphs of `ends`, each once."""
    waiting = [end.grad_fn for end in ends if end.grad_fn is not None]
    seen = set(waiting)
    while waiting:
        node = waiting.pop()
        yield node
        for after, _ in node.next_functions:
            if after is not None and after not in seen:
                seen.add(after)
                waiting.append(after)


def foreign_leaves(leaf: Tensor, *ends: Tensor) -> list[Tensor]:
    """All leaves of the graphs of `ends` other than `leaf`, which need a gradient too."""
    found = [end for end in ends if end.is_leaf and end.requires_grad]
    found += [n.variable for n in nodes(*ends) if isinstance(getattr(n, "variable", None), Tensor)]
    return [variable for variable in found if variable is not leaf]


class Watch(TorchFunctionMode):
    """Notes which of some parameters any operation reads, be it detached or under no_grad."""

    def __init__(self, *models: nn.Module) -> None:
        super().__init__()
        self.names = {
            p.untyped_storage().data_ptr(): name
            for model in models
            for name, p in model.named_parameters()
            if p.requires_grad and p.numel()
        }
        self.read: set[str] = set()

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Call as ever."""
        result = function(*args, **(kwargs or {}))
        for x in tree_leaves((args, kwargs)):
            if type(x) in (Tensor, nn.Parameter) and x.layout is torch.strided:
                try:
                    name = self.names.get(x.untyped_storage().data_ptr())
                except NotImplementedError:  # what torch.func hands about has no memory of its own
                    continue
                if name is not None:
                    self.read.add(name)
        return result


def refuse_read_parameters(loss: Audited, batch: Indices, model: nn.Module) -> None:
    """No operation may read the parameters of the module itself, of the caller's or of the copy."""
    watch = Watch(model, loss.model)
    with torch.no_grad(), watch:
        loss.losses_at(loss.w0, batch)
    if watch.read:
        raise ValueError(
            f"The loss reads the model's parameter '{min(watch.read)}' past the vector w, without "
            "a gradient (detach(), .data or no_grad): this part would stay as it is when w moves. "
            "A replaced forward, a hook or a function that holds the module is the usual cause; "
            "write the change as a module of its own. If a constant is meant, give it a .clone()."
        )


def is_cut_off(gradient: Tensor) -> bool:
    """Whether a backward was marked once_differentiable: derivatives end there, silently."""
    return any(type(node).__name__ == "Error" for node in nodes(gradient))


def refuse_foreign_leaves(
    loss: Audited, foreign: list[Tensor], batch: Indices, model: nn.Module
) -> None:
    """Name the first foreign leaf, and say what it is by where it was found.

    A leaf that the forward makes anew each time, such as inputs by which an energy is
    differentiated, is no part of the model and is let pass.

    Args:
        loss: the loss.
        foreign: what `foreign_leaves` found.
        batch: samples with which it was found.
        model: the caller's module, whose own tensors the graph may have reached.
    """
    foreign = _lasting(loss, foreign, batch)
    if not foreign:
        return
    tensor = foreign[0]
    parameters = [*model.named_parameters(), *loss.model.named_parameters()]
    name = next((name for name, p in parameters if p is tensor), None)
    others = f" ({len(foreign)} such tensors in all)" if len(foreign) > 1 else ""
    through_model = _outputs_reach(loss, tensor, batch)
    if name is not None and not through_model:
        raise ValueError(
            f"loss_fn uses the model's parameter '{name}' itself, past the vector w{others}: the "
            "derivatives in w would leave this term out. If it is a penalty on the parameters, "
            "use l2=..., which stands for (l2/2)|w|^2; let the model's forward return any other "
            "term beside its outputs."
        )
    if name is not None:
        raise ValueError(
            f"The model's parameter '{name}' is reached past the vector w{others}: this part of "
            "the loss would stay as it is when w moves. A forward that was replaced on the object, "
            "or a hook or function that holds the module, is the usual cause; write the change "
            "as a module of its own, with this one as a submodule."
        )
    holders = (loss.model, model) if through_model else (loss.loss_fn,)
    held = [(path, t) for holder in holders for path, t in _tensors(holder)]
    found = next((path for path, t in held if t is tensor), None)
    called = f"'{found}', of shape" if found else "of shape"
    called = f"{called} {tuple(tensor.shape)}, that is not one of the model's parameters{others}"
    if not through_model:
        raise ValueError(
            f"loss_fn has a trainable tensor of its own, {called}: it would stay as it is when w "
            "moves. To train a temperature or weight of the loss, make it a parameter of the "
            "module (whose forward returns outputs / T, or both); to keep it fixed, use its "
            ".requires_grad_(False)."
        )
    raise ValueError(
        f"The model uses a trainable tensor {called}: it would stay as it is when w moves. "
        "Register it, as nn.Parameter, nn.ParameterList or nn.ModuleList; or keep it fixed with "
        ".requires_grad_(False). If forward only differentiates by it, let it take a copy each "
        "time, .detach().requires_grad_()."
    )


def _lasting(loss: Audited, foreign: list[Tensor], batch: Indices) -> list[Tensor]:
    """The leaves that a second evaluation reaches again."""
    if not foreign:
        return []
    leaf = loss.w0.clone().requires_grad_()
    with torch.enable_grad():
        again = {id(t) for t in foreign_leaves(leaf, loss.losses_at(leaf, batch))}
    return [t for t in foreign if id(t) in again]


def _outputs_reach(loss: Audited, tensor: Tensor, batch: Indices) -> bool:
    """Whether the model's outputs, before loss_fn, hang on the tensor."""
    leaf = loss.w0.clone().requires_grad_()
    with torch.enable_grad():
        outputs = [t for _, t in _tensors(loss.outputs_at(leaf, batch))]
    return any(t is tensor for t in foreign_leaves(leaf, *outputs))


def _tensors(thing: Any, path: str = "", depth: int = 6) -> Iterator[tuple[str, Tensor]]:
    """The tensors that an object holds, with the names under which it holds them."""
    if isinstance(thing, Tensor):
        yield path or "output", thing
        return
    parts: dict[Any, Any] = {}
    if isinstance(thing, dict):
        parts = thing
    elif isinstance(thing, list | tuple):
        parts = dict(enumerate(thing))
    elif isinstance(thing, nn.Module):
        hidden = {k: v for k, v in vars(thing).items() if not k.startswith("_")}
        parts = {**thing._parameters, **thing._buffers, **thing._modules, **hidden}
    elif callable(thing) and not isinstance(thing, type):
        parts = _held_by_function(thing)
    elif hasattr(thing, "__dict__") and not isinstance(thing, type):
        parts = vars(thing)
    if depth:
        for name, part in list(parts.items()):
            yield from _tensors(part, f"{path}.{name}" if path else str(name), depth - 1)


def _held_by_function(function: Any) -> dict[str, Any]:
    """What a function, a method, a partial or a callable object keeps: closure, globals, self."""
    parts = dict(getattr(function, "__dict__", {}))
    for name in ("__self__", "__wrapped__", "func", "args", "keywords"):
        if (held := getattr(function, name, None)) is not None:
            parts[name] = held
    code = getattr(function, "__code__", None)
    if code is not None:
        cells = getattr(function, "__closure__", None) or ()
        for name, cell in zip(code.co_freevars, cells, strict=False):
            try:
                parts[name] = cell.cell_contents
            except ValueError:  # not yet filled
                continue
        known = getattr(function, "__globals__", {})
        held = {name: known[name] for name in code.co_names if name in known}
        parts |= {n: v for n, v in held.items() if isinstance(v, Tensor | nn.Module | list | dict)}
    return parts
