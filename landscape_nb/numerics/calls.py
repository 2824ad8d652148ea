"""One module called at many w: how it takes its inputs, and from many threads at once.

A functional call puts w in the place of the parameters inside the module and takes it out again.
Two threads inside one module would read each other's w, so every thread has a module of its own,
and a loss function that is a module, too. What functions share besides can't be copied: where they
hold anything that can change (a hook that fills a dict), threads take turns.
"""

import copy
import inspect
import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from landscape_nb.numerics.settings import plain_attention
from landscape_nb.numerics.travel import Traveller


class Copies(Traveller):
    """Something of which every thread has a copy of its own, if it is a module.

    Args:
        original: never called itself; the copies share its parameters, and have buffers and caches
            of their own.
        shared: whether all threads call the original: it has no state.
    """

    left_behind = ("_own", "_lock", "turns")

    def __init__(self, original: Any, shared: bool = False) -> None:
        self.original = original
        self.shared = shared or not isinstance(original, nn.Module)
        self.make_own()

    def make_own(self) -> None:
        """No thread has a copy yet."""
        self._own, self._lock = threading.local(), threading.Lock()

    @property
    def here(self) -> Any:
        """This thread's copy, made at the first use."""
        if self.shared:
            return self.original
        if not hasattr(self._own, "copy"):
            with self._lock:
                shared = {id(p): p for p in self.original.parameters()}
                self._own.copy = copy.deepcopy(self.original, shared)
        return self._own.copy


class ModuleOfThreads(Copies):
    """A module as a function of its parameters and its inputs, for any number of threads.

    Args:
        model: as of `Copies`; in the place of the parameters others stand during every call.
        in_turns: whether threads must not be inside it at the same time.

    Attributes:
        uncalled: a module that was never called, to be copied: it has no cache.
        turns: what a thread enters for the time of an evaluation, loss function included.
        spread: whether a dict is handed over as model(**inputs) and a tuple or list as
            model(*inputs), and not whole.
        needs_graph: whether values too need autograd at work, because the model or the loss
            differentiates inside.
    """

    def __init__(self, model: nn.Module, in_turns: bool = False) -> None:
        self.in_turns, self.uncalled = in_turns, model
        self.spread = self.needs_graph = False
        super().__init__(model)

    def make_own(self) -> None:
        """No thread has a copy yet, or its turn."""
        super().make_own()
        self.turns = threading.RLock() if self.in_turns else nullcontext()

    def __call__(self, parameters: dict[str, Tensor], inputs: Any) -> Any:
        """The outputs of these inputs with these parameters."""
        args, named = _arguments(inputs) if self.spread else ((inputs,), {})
        try:
            return plain_attention.during(
                lambda: functional_call(self.here, parameters, args, named)
            )
        except BaseException:
            # Broken off half way, it may hold anything, another call's w too: make a new one.
            self._own.__dict__.pop("copy", None)
            raise

    def of(self, model: nn.Module) -> "ModuleOfThreads":
        """Another module, called in the same way; this thread calls it itself."""
        other = copy.copy(self)
        other.original = other._own.copy = model
        return other

    def __copy__(self) -> "ModuleOfThreads":
        """The same, to be called apart from this one."""
        other = object.__new__(type(self))
        other.__setstate__(self.__getstate__())
        return other

    def settle(self, losses: Callable[[range], Any], inputs: Any, num_samples: int) -> None:
        """Find out by a trial how inputs are handed over and whether values need a graph.

        Of the ways that can be evaluated the first is taken in which three samples have three
        losses, the last of them the same alone: rows of a batch may be mistaken for arguments.

        Args:
            losses: evaluates some samples, in whatever mode is set here.
            inputs: of all samples.
            num_samples: how many there are.
        """
        few = range(min(3, num_samples))  # two rows can pass for a pair
        spreads = list(_ways(self.original, inputs))
        working = []
        for self.spread, self.needs_graph in itertools.product(spreads, (False, True)):
            try:
                with torch.no_grad():
                    values = losses(few)
                self.needs_graph = self.needs_graph or _differ(values, lambda: losses(few))
                if len(spreads) == 1 or self._by_sample(values, losses, few):
                    return
            except torch.OutOfMemoryError:
                raise
            except Exception:  # the audit's own evaluation will say what is wrong
                continue
            working.append((self.spread, self.needs_graph))
        self.spread, self.needs_graph = [*working, (spreads[0], False)][0]

    def _by_sample(self, values: Any, losses: Callable[[range], Any], few: range) -> bool:
        if not isinstance(values, Tensor) or values.shape != (len(few),):
            return False
        with torch.no_grad():
            alone = losses(few[-1:])
        return alone.shape == (1,) and torch.allclose(values[-1:], alone, rtol=1e-3, equal_nan=True)


def _differ(values: Any, losses: Callable[[], Tensor]) -> bool:
    """Whether the model has other values while autograd is at work: its derivatives are of these.

    A random model has too; that is another's to say.
    """
    with torch.enable_grad():
        others = losses()
    if not (isinstance(values, Tensor) and isinstance(others, Tensor)):
        return False
    if values.shape != others.shape or not values.is_floating_point():
        return False
    eps = torch.finfo(values.dtype).eps
    return not torch.allclose(values, others.detach(), rtol=1e3 * eps, atol=0.0, equal_nan=True)


def _arguments(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A container's contents as arguments: by name from a mapping, else by place."""
    return ((), dict(inputs)) if isinstance(inputs, Mapping) else (tuple(inputs), {})


def _ways(model: nn.Module, inputs: Any) -> Iterator[bool]:
    """Spread or whole, what the signature allows, the likelier first."""
    if not isinstance(inputs, Mapping | list | tuple):
        yield False
        return
    args, named = _arguments(inputs)
    try:
        inspect.signature(model.forward).bind(*args, **named)
    except TypeError:
        yield False
        return
    except ValueError:  # no signature to read
        pass
    yield True
    yield False


def graph_bytes(evaluate: Callable[[], Tensor], own: Tensor) -> int:
    """Bytes that an evaluation leaves behind for the backward pass, views of `own` not counted."""
    total, ours = 0, _memory_of(own)

    def count(tensor: Tensor) -> Tensor:
        nonlocal total
        if _memory_of(tensor) != ours:
            total += tensor.numel() * tensor.element_size()
        # not the tensor itself: what a node has put out and saved would keep that node for ever
        return tensor.detach()

    with torch.enable_grad():
        try:
            with torch.autograd.graph.saved_tensors_hooks(count, lambda t: t):
                evaluate()
        except RuntimeError:  # torch.func inside a model allows no such hooks
            total = 0
            for tensor in _saved_tensors(evaluate()):
                count(tensor)
    return max(total, 64)


def _memory_of(tensor: Tensor) -> int | None:
    try:
        return tensor.untyped_storage().data_ptr()
    except RuntimeError:  # what torch.func hands about has none of its own
        return None


def _saved_tensors(y: Tensor) -> Iterator[Tensor]:
    """What the nodes of y's graph hold, from what they show of themselves."""
    todo, seen = [y.grad_fn], set()
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        todo += [before for before, _ in node.next_functions]
        for name in dir(node):
            if name.startswith("_saved_") or name == "saved_tensors":
                try:
                    held = getattr(node, name)
                except RuntimeError:  # overwritten since, or let go
                    continue
                for tensor in held if isinstance(held, list | tuple) else (held,):
                    if isinstance(tensor, Tensor):
                        yield tensor
