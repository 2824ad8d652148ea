"""Where a model that is being trained stands just now, as a loss of its own kind reads it."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from landscape_nb.numerics import checks
from landscape_nb.numerics.audit.evaluations import own_random_numbers
from landscape_nb.numerics.loss import EmpiricalLoss


def live_point(loss: EmpiricalLoss, model: nn.Module) -> tuple[Tensor, EmpiricalLoss]:
    """W of a live model, and the loss with whatever else of the model its values depend on.

    Parameters are read by name and converted to the loss's dtype and device. Buffers (the running
    averages of batch norm) and frozen parameters that differ from those that the loss holds are
    taken over as they are now. The mode stays the loss's own: a loss made of a model in eval mode
    never sees dropout or the statistics of a batch. The live model is only read.

    Args:
        loss: made of this model, or of one with the same names and shapes.
        model: any module.

    Returns:
        w (N,), a copy, and the loss: the same object where nothing besides w has changed.

    Raises:
        ValueError: not a module, or names or shapes differ.

    >>> model = nn.Linear(1, 1, bias=False).double()
    >>> x = torch.ones(2, 1).double()
    >>> loss = EmpiricalLoss(model, lambda out, y: (out - y)[:, 0] ** 2, x, x)
    >>> _ = nn.init.constant_(model.weight, 3.0)
    >>> live_point(loss, model)[0].tolist()
    [3.0]
    """
    if not isinstance(model, nn.Module):
        raise ValueError(
            f"model must be the torch.nn.Module that is being trained; got {type(model).__name__}."
        )
    held = _state(model)
    wanted = dict(zip(loss.layout.names, loss.layout.shapes, strict=True))
    _refuse_other_parameters(held, wanted)
    pieces = {name: held[name].to(loss.w0.device, loss.w0.dtype) for name in wanted}
    w = loss.layout.flatten(pieces).clone()
    changed = {
        name: held[name]
        for name, ours in _state(loss.uncalled).items()
        if name in held and name not in wanted and not _equal(ours, held[name])
    }
    return w, _with_state(loss, changed) if changed else loss


@contextmanager
def plain_settings(like: Tensor) -> Iterator[None]:
    """Derivatives exist, precision is the parameters' own, and random states stay.

    Whatever a training loop has set around a call is neither seen in here nor changed.
    """
    with (
        own_random_numbers(like),
        torch.inference_mode(False),
        torch.autocast(like.device.type, enabled=False),
    ):
        yield


def _state(model: nn.Module) -> dict[str, Tensor]:
    """Parameters, trainable or not, and buffers."""
    return {name: t.detach() for name, t in [*model.named_parameters(), *model.named_buffers()]}


def _refuse_other_parameters(held: dict[str, Tensor], wanted: dict[str, torch.Size]) -> None:
    missing = [name for name in wanted if name not in held]
    if missing:
        raise ValueError(
            f"The model has no parameter {checks.shown(missing[0])}, which the loss was made "
            f"with ({len(missing)} of {len(wanted)} are missing; it has {checks.shown(list(held))})"
            ". Give the module that the loss was made of: behind a wrapper it is model.module "
            "(DataParallel), model._orig_mod (torch.compile) or an attribute such as model.net."
        )
    for name, shape in wanted.items():
        if held[name].shape != shape:
            raise ValueError(
                f"The parameter {name!r} has shape {tuple(held[name].shape)}, the loss was made "
                f"with {tuple(shape)}. Make the loss of the model that is being trained."
            )


def _equal(ours: Tensor, theirs: Tensor) -> bool:
    return torch.equal(ours, theirs.to(ours.device, ours.dtype))


def _with_state(loss: EmpiricalLoss, changed: dict[str, Tensor]) -> EmpiricalLoss:
    module = copy.deepcopy(loss.uncalled)
    own = _state(module)
    for name, tensor in changed.items():
        if own[name].shape != tensor.shape:
            raise ValueError(
                f"The buffer {name!r} has shape {tuple(tensor.shape)}, the loss was made with "
                f"{tuple(own[name].shape)}. Make the loss of the model that is being trained."
            )
        own[name].copy_(tensor)  # of a detached view: the module's own memory
    return loss.with_module(module)
