"""The audit of a model: what can't be studied sample by sample is refused before it is studied.

Looked at, at the model's own parameters w0 and at a point near it, where nothing is zero by
initialisation: the loss is the same when evaluated again and for one sample alone; its graph hangs
on w alone; autograd's first and second derivatives are those of its values. Each sentence says what
was seen and what to try.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from landscape_nb.numerics import checks
from landscape_nb.numerics.audit import (
    evaluations,
    leaves,
    missing,
    precision,
    second_look,
    ties,
)
from landscape_nb.numerics.audit.differences import Audited, Probe
from landscape_nb.numerics.audit.evaluations import Row, own_random_numbers
from landscape_nb.numerics.audit.leaves import may_change


def own_copy(model: nn.Module) -> nn.Module:
    """A copy of the model, which keeps the caller's untouched."""
    _refuse_wrapped(model)
    ties.separate_memory(model)
    ties.refuse_other_names(model)
    return _copied(model, "model")


def own_loss_fn(loss_fn: Any) -> Any:
    """A copy of a loss function that is a module: what changes the caller's changes nothing."""
    return _copied(loss_fn, "loss_fn") if isinstance(loss_fn, nn.Module) else loss_fn


def _copied(module: nn.Module, what: str) -> nn.Module:
    try:
        return copy.deepcopy(module)
    except (RuntimeError, TypeError, NotImplementedError) as error:
        raise ValueError(
            f"The {what} can't be copied, and a copy is what keeps yours untouched "
            f"({checks.first_line(error)}). {_with_graph(module)}"
        ) from error


def _with_graph(module: nn.Module) -> str:
    kept = [path for path, t in leaves.held_by(module) if isinstance(t, Tensor) and not t.is_leaf]
    if kept:
        return f"{checks.shown(kept[0])} was kept with its graph from an earlier call; detach it."
    return "Cached tensors that carry a graph are the usual cause; detach them."


def shares_state(model: nn.Module, loss_fn: Any) -> bool:
    """Whether functions that can't be copied hold something that can change, as hooks often do."""
    functions = [hook for m in model.modules() for hook in leaves.hooks_of(m)]
    functions += [m.__dict__["forward"] for m in model.modules() if "forward" in m.__dict__]
    functions += [
        type(m).forward for m in model.modules() if not type(m).__module__.startswith("torch.")
    ]
    functions += [] if isinstance(loss_fn, nn.Module) else [loss_fn]
    return any(may_change(function) for function in functions)


def refuse_other_kinds(model: Any, loss_fn: Any) -> None:
    """Refuse what is no module, and what can't be called."""
    if not isinstance(model, nn.Module):
        raise ValueError(
            f"model must be a torch.nn.Module; got {type(model).__name__}. Wrap a function of "
            "parameters in a small module."
        )
    if not callable(loss_fn):
        raise ValueError(
            "loss_fn must be callable, loss_fn(outputs, targets) -> (batch,); "
            f"got {type(loss_fn).__name__}. For example torch.nn.CrossEntropyLoss("
            "reduction='none')."
        )


def _refuse_wrapped(model: nn.Module) -> None:
    """Modules that stand for another one and can't be called with parameters of one's choice."""
    for name, module in model.named_modules():
        called = f"'{name}'" if name else "the model"
        if hasattr(module, "_orig_mod"):
            raise ValueError(
                f"A compiled module has no second derivative, and {called} is one (torch.compile). "
                "Pass the module it was made from, model._orig_mod."
            )
        if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
            raise ValueError(
                f"The parameters of {called} can't be exchanged: it is "
                f"{type(module).__name__}, which spreads another module over devices. Pass that "
                "one, model.module."
            )
    if isinstance(model, torch.jit.ScriptModule):
        raise ValueError(
            "The model is a ScriptModule (torch.jit), whose parameters can't be exchanged. Pass "
            "the Python module that it was made from."
        )


def refuse_unusable_loss(loss: Audited, model: nn.Module) -> tuple[list[Row], bool]:
    """Look at w0: what can't be studied sample by sample, or has no derivatives, is refused.

    Args:
        loss: the loss.
        model: the caller's module, only to name what belongs to it.

    Returns:
        What was seen, and whether a derivative is computed in low precision.
    """
    few = range(min(loss.num_samples, 32))  # 32: chosen here
    loss = loss.with_samples(loss.samples.held(few))
    probe = Probe(loss, few)
    w = loss.w0.clone()
    low, losses = _first_losses(probe, w)
    _refuse_wrong_shape(losses, len(probe.samples))
    if not torch.equal(w, loss.w0):
        limited = [n for n, m in model.named_modules() if getattr(m, "max_norm", None) is not None]
        look = (
            f"'{limited[0]}' has max_norm, which does so: leave it out, or divide by the norm in "
            "forward."
            if limited
            else "Look for .data, torch.no_grad() and operations in place (mul_, copy_) in forward."
        )
        raise ValueError(
            "Evaluating the loss changes the parameters in place (by "
            f"{float((w - loss.w0).abs().max()):.1e}). {look}"
        )
    rows = [evaluations.refuse_random(probe, w, losses, "the model's own parameters")]
    if low:  # such rounding would look like coupling
        precision.refuse_low_precision(loss, w)
    rows.append(evaluations.refuse_coupled(probe, w, losses, "at the model's own parameters"))
    low = missing.refuse_missing_derivatives(loss, w, range(1), model)
    return rows, low


def _first_losses(probe: Probe, w: Tensor) -> tuple[bool, Tensor]:
    """The first evaluation of all: what does not fit together shows here; and low precision."""
    try:
        with precision.Watch() as watch:
            losses = probe.losses(w)
        return watch.low, losses
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        raise ValueError(
            f"The loss can't be evaluated on the first {len(probe.samples)} samples: "
            f"{type(error).__name__}: {checks.first_line(error)} "
            f"{evaluations.advice(error)}"
        ) from error


def refuse_wrong_derivatives(
    loss: Audited, model: nn.Module, everything: Tensor, low: bool
) -> list[Row]:
    """Look at a point near w0: all of the above again, and derivatives against differences.

    Args:
        loss: the loss.
        model: the caller's module, only to name what belongs to it.
        everything: (n,), the losses of all samples at w0, in batches as large as they come.
        low: whether a derivative is computed in low precision.
    """
    samples = second_look.spread(loss)
    loss = loss.with_samples(loss.samples.held(samples))
    probe = Probe(loss, samples)
    evaluations.refuse_coupled_in_large(probe, loss.w0, everything[samples])
    return second_look.at_a_moved_point(loss, model, low)


def audit(loss: Audited) -> None:
    """Repeat all checks that every `EmpiricalLoss` passes when it is made, and print what was seen.

    At w0: each loss evaluated twice, and alone against in a batch. At a point w0 + d, where d
    moves each parameter by some percent of its own size: the same, and

        u'g  against  (L(w + h u) - L(w - h u)) / (2h)
        H u  against  (g(w + h u) - g(w - h u)) / (2h)

    along generic directions u, with steps h that shrink until the two agree (in float64, also for
    a float32 model). Costs some ten gradients of 32 samples at most.

    Raises:
        ValueError: a check fails; the message says what was seen.

    >>> import landscape_nb as ln
    >>> model = nn.Linear(1, 1, bias=False).double()
    >>> x = torch.tensor([[1.0], [2.0]], dtype=torch.float64)
    >>> loss = ln.EmpiricalLoss(model, lambda out, y: (out - y)[:, 0] ** 2 / 2, x, x)
    >>> ln.audit(loss)                                                     # doctest: +ELLIPSIS
    At w0, 2 of 2 samples
      evaluated twice             off by 0.0e+00 of the loss
      ...
    """
    w0, n = loss.w0, loss.num_samples
    with own_random_numbers(w0):
        print(f"At w0, {min(n, 32)} of {n} samples")
        rows, low = refuse_unusable_loss(loss, loss.uncalled)
        _show(rows)
        _show(precision.loss_precision(loss, w0).rows())
        rows = refuse_wrong_derivatives(loss, loss.uncalled, loss.per_sample(w0), low)
    print(f"At a point near w0, N = {len(w0)} parameters, {w0.dtype}")
    _show(rows)


def _show(rows: list[Row]) -> None:
    for what, seen in rows:
        print(f"  {what:<26}  {seen}")


def _refuse_wrong_shape(losses: Any, batch: int) -> None:
    if not isinstance(losses, Tensor) or losses.shape != (batch,):
        got = tuple(losses.shape) if isinstance(losses, Tensor) else type(losses).__name__
        raise ValueError(
            f"loss_fn must return one loss per sample, shape ({batch},) for {batch} samples; got "
            f"{got}. {checks.PER_SAMPLE}"
        )
    if not losses.is_floating_point():
        raise ValueError(
            f"loss_fn must return real numbers; got dtype {losses.dtype}. A 0/1 error has no "
            "derivative; use a smooth loss such as cross-entropy."
        )
    if torch.finfo(losses.dtype).eps > 1e-6:
        raise ValueError(
            f"loss_fn returns {losses.dtype}, too coarse for second derivatives and small probes "
            f"(it rounds to {torch.finfo(losses.dtype).eps:.0e}). Look for autocast or .half(), "
            "and compute the loss from outputs.float()."
        )
