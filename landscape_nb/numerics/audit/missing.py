"""Losses whose derivatives in w do not exist, or leave out a part of the loss.

PyTorch's own words are quoted, with the operator that it names, and a way out where one is known.
"""

import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from landscape_nb.numerics import checks
from landscape_nb.numerics.audit import evaluations, leaves, precision
from landscape_nb.numerics.audit.differences import Audited
from landscape_nb.numerics.operators import Indices

LATE_WORK = (
    "Work that runs after the model's forward has ended, during the backward pass, reads the "
    "module's own parameters and not w ({seen}): right where the two are equal, wrong everywhere "
    "else. Activation checkpointing (torch.utils.checkpoint) is the usual cause: switch it off "
    "(for a transformers model, model.gradient_checkpointing_disable()). An autograd.Function "
    "whose backward calls a module again is another: give it the parameters as arguments."
)


def refuse_missing_derivatives(loss: Audited, w: Tensor, batch: Indices, model: nn.Module) -> bool:
    """The loss must hang on w, on nothing else, and have first and second derivatives.

    Returns:
        Whether a derivative is computed in low precision.
    """
    leaf = w.clone().requires_grad_()
    with torch.enable_grad():
        losses, warning = _tried(
            "loss", lambda: evaluations.heard(lambda: loss.losses_at(leaf, batch))
        )
        if not losses.requires_grad:
            raise ValueError(_disconnected(loss, leaf, batch, warning))
        refuse_foreign(loss, leaf, losses, None, batch, model)  # before it cuts w off
        gradient = _tried(
            "first derivative",
            lambda: torch.autograd.grad(
                losses.sum(), leaf, create_graph=True, materialize_grads=True
            )[0],
        )
        refuse_foreign(loss, leaf, losses, gradient, batch, model)
        if gradient.requires_grad:
            _tried(
                "second derivative",
                lambda: torch.autograd.grad(gradient.sum(), leaf, materialize_grads=True),
            )
    return precision.is_low(losses, gradient)


def _tried(what: str, action: Callable[[], Any]) -> Any:
    try:
        return action()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        raise missing(f"its {what}", error) from error


WAYS_OUT = {
    "cdist": "torch.cdist has one with compute_mode='use_mm_for_euclid_dist'.",
    "embedding_bag": "torch.nn.Embedding and a mean over dimension 1 have one.",
    "ctc": "Write the sum over alignments out with logsumexp.",
    "sparse": "Use the layer with sparse=False.",
    "donated|compile|dynamo|inductor": "Leave torch.compile out, and pass the plain module.",
    "checkpoint": "Switch activation checkpointing off.",
    "inplace|in-place|in place": (
        "Use the operation that is not in place; an embedding with max_norm, which renormalises "
        "its weights in place, is a known case: divide by the norm in forward."
    ),
    "inference tensor": "Leave torch.inference_mode out.",
    "once_differentiable": "Write that backward in differentiable operations.",
    "flash|efficient_attention|fused": "Attention by torch.nn.attention.SDPBackend.MATH has one.",
}


def missing(what: str, error: Exception) -> ValueError:
    """What PyTorch says, which operator it names, and a way out where one is known."""
    said = f"{type(error).__name__}: {checks.first_line(error)}"
    operator = re.search(r"derivative for '?([\w:]+?)'? is not implemented", said)
    named = f" of {operator[1]}" if operator else ""
    ways = [way for sign, way in WAYS_OUT.items() if re.search(sign, said, re.IGNORECASE)]
    way = ways[0] if ways else "Write the operation out in others that PyTorch differentiates."
    if what == "its loss":
        return ValueError(
            f"The loss has values without autograd and none with it ({said}). {way} Operations in "
            "place on a parameter or a view of it (clamp_, add_) are a usual cause."
        )
    return ValueError(
        f"The loss can be evaluated, but PyTorch can't compute {what}{named} ({said}). {way}"
    )


def _disconnected(loss: Audited, leaf: Tensor, batch: Indices, warning: str) -> str:
    outputs = [t for t in tree_leaves(loss.outputs_at(leaf, batch)) if isinstance(t, Tensor)]
    if any(t.is_inference() for t in outputs):
        look = "The outputs are inference tensors: leave torch.inference_mode out."
    elif any(t.requires_grad for t in outputs):
        look = "The model's outputs do depend on them: look for detach() or numpy in loss_fn."
    else:
        look = (
            "Look for detach(), torch.no_grad(), torch.inference_mode(), argmax or numpy inside "
            "the model."
        )
    if "requires_grad=True" in warning:  # torch.utils.checkpoint says so
        look = f"PyTorch warns: {warning} Switch activation checkpointing off. Else: {look}"
    return f"The loss does not depend on the model's parameters through autograd. {look}"


def refuse_foreign(
    loss: Audited,
    leaf: Tensor,
    losses: Tensor,
    gradient: Tensor | None,
    batch: Indices,
    model: nn.Module,
) -> None:
    """Whatever the losses hang on besides w, and whatever only their gradient hangs on."""
    foreign = leaves.foreign_leaves(leaf, losses)
    leaves.refuse_foreign_leaves(loss, foreign, batch, model)
    if gradient is None:
        return
    if leaves.is_cut_off(gradient):
        raise missing("its second derivative", RuntimeError("marked with @once_differentiable"))
    names = {id(p): n for m in (model, loss.model) for n, p in m.named_parameters()}
    late = [names[id(t)] for t in leaves.foreign_leaves(leaf, gradient) if id(t) in names]
    if late:
        seen = f"the gradient's graph reaches the module's own '{late[0]}'"
        raise ValueError(LATE_WORK.format(seen=seen))
