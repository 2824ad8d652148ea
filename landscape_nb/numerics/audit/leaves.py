"""What the loss's graph hangs on: w alone, or trainable tensors that are no part of w.

A derivative in w leaves out every way to the loss that does not start at w. Such a way ends in a
leaf of autograd's graph that is not w; it is named, and what it looks like decides what is advised.
"""

import functools
import logging
from collections.abc import Iterable, Iterator
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from landscape_nb.numerics import checks
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


class Reads(TorchFunctionMode):
    """Notes which of some tensors any operation reads, be it detached or under no_grad.

    Known by their memory, so that views count. To be written in place is not to be read.

    Args:
        named: names and tensors.
        home: another tensor, for `replaced`.

    Attributes:
        seen: names of those that were read.
        replaced: whether an operation gave new memory to a tensor that lives in `home` (.data = x).
    """

    def __init__(self, named: Iterable[tuple[str, Tensor]], home: Tensor | None = None) -> None:
        super().__init__()
        self.names = {m: name for name, t in named if (m := memory_of(t)) is not None}
        self.home = None if home is None else memory_of(home)
        self.seen: set[str] = set()
        self.replaced = False

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Call as ever."""
        name = getattr(function, "__name__", "")
        read = args
        if name == "__set__":
            self.replaced |= self.home is not None and memory_of(args[0]) == self.home
        elif (
            name == "__setitem__"
            or name.endswith("_")
            and (not name.endswith("__") or name.startswith("__i"))
        ):
            read = args[1:]
        for x in tree_leaves((read, kwargs)):
            if isinstance(x, Tensor) and (memory := memory_of(x)) in self.names:
                self.seen.add(self.names[memory])
        return function(*args, **(kwargs or {}))


def memory_of(tensor: Any) -> int | None:
    """Where the memory of a tensor begins; None of one that has none of its own."""
    if type(tensor) not in (Tensor, nn.Parameter) or tensor.layout != torch.strided:
        return None
    try:
        return tensor.untyped_storage().data_ptr() or None
    except RuntimeError:  # what torch.func hands about, and the device "meta"
        return None


def refuse_read_parameters(loss: Audited, w: Tensor, batch: Indices, model: nn.Module) -> None:
    """No operation may read the parameters of the module itself, of the caller's or of the copy.

    Nor what the caller's module keeps from a call of its own: the calls here are of copies.
    """
    both = [(name, p) for m in (loss.model, model) for name, p in m.named_parameters()]
    trained = {name for name, p in both if p.requires_grad and p.numel()}
    kept = [
        (f"{name}.{key}".lstrip("."), value)
        for name, module in model.named_modules()
        for key, value in vars(module).items()
        if isinstance(value, Tensor)
    ]
    reads = Reads([*kept, *((name, p) for name, p in both if name in trained)], w)
    with torch.no_grad(), reads:
        loss.losses_at(w, batch)
    if found := reads.seen & trained:
        raise ValueError(
            f"The loss reads the model's parameter {checks.shown(min(found))} past the "
            "vector w, without a gradient (detach(), .data or no_grad): this part would stay as it "
            "is when w moves. A replaced forward, a hook or a function that holds the module is "
            "the usual cause; write the change as a module of its own. If a constant is meant, "
            "give it a .clone()."
        )
    if not reads.seen and not reads.replaced:
        return
    # A constant is the same in the copy; what forward has just made there is not.
    now = {
        f"{name}.{key}".lstrip("."): value
        for name, module in loss.model.named_modules()
        for key, value in vars(module).items()
    }
    old = {name for name, value in kept if not equal(value, now.get(name))}
    if found := reads.seen & old:
        raise ValueError(
            f"The loss reads {checks.shown(min(found))}, which your module keeps from an "
            "earlier call: the calls here are of copies of it, so this part would never change. "
            "Let forward return it beside the outputs, and loss_fn take it from there."
        )
    if reads.replaced:
        raise ValueError(
            "Evaluating the loss gives a parameter new numbers through .data: the derivatives are "
            "then of another point than w. Leave the projection out of forward, or write it in "
            "differentiable operations."
        )


def equal(a: Tensor, b: Any) -> bool:
    """Whether b is a tensor like a with the same numbers; NaN equals NaN."""
    return (
        isinstance(b, Tensor)
        and (a.shape, a.dtype, a.device) == (b.shape, b.dtype, b.device)
        and bool(torch.isclose(a, b, rtol=0, atol=0, equal_nan=True).all())
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


def _tensors(thing: Any) -> Iterator[tuple[str, Tensor]]:
    """The tensors that an object holds, with the names under which it holds them."""
    return ((path or "output", held) for path, held in held_by(thing) if isinstance(held, Tensor))


def held_by(
    thing: Any, path: str = "", depth: int = 6, seen: set[int] | None = None
) -> Iterator[tuple[str, Any]]:
    """The tensors and arrays that an object holds, with the names under which it holds them."""
    if isinstance(thing, Tensor | np.ndarray):
        yield path, thing
        return
    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, type | ModuleType):
        return
    seen.add(id(thing))
    parts: dict[Any, Any] = {}
    if isinstance(thing, dict):
        parts = thing
    elif isinstance(thing, list | tuple):
        parts = dict(enumerate(thing))
    elif isinstance(thing, nn.Module):
        hidden = {k: v for k, v in vars(thing).items() if not k.startswith("_")}
        hooks = {f"hook {i}": hook for i, hook in enumerate(hooks_of(thing))}
        parts = {**thing._parameters, **thing._buffers, **thing._modules, **hidden, **hooks}
    elif callable(thing):
        parts = _held_by_function(thing)
    elif hasattr(thing, "__dict__"):
        parts = vars(thing)
    if depth:
        for name, part in list(parts.items()):
            yield from held_by(part, f"{path}.{name}" if path else str(name), depth - 1, seen)


def hooks_of(module: nn.Module) -> list[Any]:
    """The functions that run before and after one module's forward."""
    return [*module._forward_pre_hooks.values(), *module._forward_hooks.values()]


_FIXED = (
    int, float, complex, str, bytes, type(None), type, ModuleType, Tensor, torch.dtype,
    torch.device, np.generic, BuiltinFunctionType, logging.Logger,
)  # fmt: skip


def may_change(thing: Any, depth: int = 4) -> bool:
    """Whether a function holds an object with a state: in its closure, defaults or globals.

    Functions and modules of PyTorch's own, and what is made of fixed values, have none.
    """
    home = str(getattr(thing if isinstance(thing, FunctionType) else type(thing), "__module__", ""))
    if isinstance(thing, _FIXED) or not depth or home.startswith("torch."):
        return False
    if isinstance(thing, tuple | frozenset):
        return any(may_change(part, depth - 1) for part in thing)
    if isinstance(thing, functools.partial):
        return may_change((thing.func, thing.args, *thing.keywords.values()), depth - 1)
    if isinstance(thing, MethodType):
        return may_change(thing.__self__, depth - 1)
    if not isinstance(thing, FunctionType):
        return True
    held = [cell.cell_contents for cell in thing.__closure__ or () if _filled(cell)]
    held += [*(thing.__defaults__ or ()), *(thing.__kwdefaults__ or {}).values()]
    names = {name for part in _codes(thing.__code__) for name in part.co_names}
    held += [thing.__globals__[name] for name in names if name in thing.__globals__]
    return any(may_change(part, depth - 1) for part in held)


def _codes(code: CodeType) -> Iterator[CodeType]:
    """A function's code and that of the functions inside it."""
    yield code
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from _codes(part)


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


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
        kinds = (Tensor, nn.Module, list, dict, np.ndarray)
        parts |= {n: v for n, v in held.items() if isinstance(v, kinds)}
    return parts
