"""Parameters whose numbers are also held under another name, where w can't reach them."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from landscape_nb.numerics import checks
from landscape_nb.numerics.audit import leaves


def refuse_other_names(model: nn.Module) -> None:
    """Refuse attributes, lists and closures that hold a trainable parameter's memory.

    A view (`.data`, `.detach()`, `.numpy()`) stays as it is when w moves, and the copy of a model
    unties it. The Parameter itself under another name is fine.
    """
    trained = {
        memory: name
        for name, p in model.named_parameters()
        if p.requires_grad and p.numel() and (memory := leaves.memory_of(p)) is not None
    }
    registered = {id(t) for t in (*model.parameters(), *model.buffers())}
    for path, held in leaves.held_by(model):
        if id(held) in registered or isinstance(held, nn.Parameter):
            continue
        name = trained.get(_memory(held) or 0)
        if name is not None:
            raise ValueError(
                f"{checks.shown(path)} is a view of the parameter {checks.shown(name)}: it "
                "holds the same numbers without being that parameter, and stays as it is when w "
                "moves. Use the Parameter itself where it belongs to the model, and .clone() "
                "where a constant is meant."
            )


def _memory(held: Any) -> int | None:
    """Where the numbers of a tensor's or an array's memory begin."""
    if isinstance(held, np.ndarray):
        while isinstance(held.base, np.ndarray):
            held = held.base
        return int(held.__array_interface__["data"][0])
    return leaves.memory_of(held)


def separate_memory(model: nn.Module) -> None:
    """Refuse parameters that share numbers with one another, or with a frozen one or a buffer.

    Such ties are made through `.data`. What is tied by assigning the Parameter itself is one
    parameter, and comes here once. Parts of one storage that do not overlap are fine: cuDNN keeps
    the weights of an RNN so.
    """
    frozen: dict[str, Tensor] = {}
    trained: dict[str, Tensor] = {}
    for name, p in model.named_parameters():
        (trained if p.requires_grad else frozen)[name] = p.detach()
    storages: dict[int, list[tuple[str, Tensor]]] = {}
    for name, tensor in {**frozen, **dict(model.named_buffers()), **trained}.items():
        if tensor.numel() and tensor.layout == torch.strided and tensor.device.type != "meta":
            storages.setdefault(tensor.untyped_storage().data_ptr(), []).append((name, tensor))
    for group in storages.values():
        for i, (name, tensor) in enumerate(group):
            if name not in trained:
                continue
            if 0 in tensor.stride() and (places := int(_places(tensor).sum())) < tensor.numel():
                raise ValueError(
                    f"The {tensor.numel()} entries of the parameter '{name}' must be separate "
                    f"numbers; they share {places} places in memory, as expand() makes it. Keep "
                    "the small tensor as the parameter and expand it in forward."
                )
            for other, before in group[:i]:
                if shared := _shared_numbers(before, tensor):
                    raise ValueError(
                        f"'{other}' and '{name}' must not share memory; they share {shared} numbers"
                        ", as ties made through .data do, and yet count as separate: derivatives "
                        "would treat them as free of each other. Tie them by assigning the "
                        "Parameter itself (b.weight = a.weight), or copy the tensor with .clone()."
                    )


def _extent(tensor: Tensor) -> tuple[int, int]:
    """First and last place of a tensor in its storage, in elements."""
    first = int(tensor.storage_offset())
    reach = sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
    return first, first + int(reach)


def _places(tensor: Tensor, start: int | None = None, stop: int | None = None) -> Tensor:
    """Which places start..stop of its storage a tensor takes."""
    first, last = _extent(tensor)
    start, stop = first if start is None else start, last if stop is None else stop
    taken = torch.zeros(stop - start + 1, dtype=torch.bool)
    taken.as_strided(tensor.shape, tensor.stride(), first - start).fill_(True)
    return taken


def _shared_numbers(a: Tensor, b: Tensor) -> int:
    if a.dtype != b.dtype:
        return 0
    (a0, a1), (b0, b1) = _extent(a), _extent(b)
    if a1 < b0 or b1 < a0:
        return 0
    start, stop = min(a0, b0), max(a1, b1)
    return int((_places(a, start, stop) & _places(b, start, stop)).sum())
