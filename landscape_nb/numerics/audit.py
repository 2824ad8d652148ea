"""The audit of a model: what can't be studied sample by sample is refused before it is studied.

Each sentence says what was seen and what to try. All looks are taken at the model's own
parameters w0.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from landscape_nb.numerics import checks
from landscape_nb.numerics.operators import ASYMMETRIC, DifferentiableLoss, HessianOperator


def own_copy(model: nn.Module) -> nn.Module:
    """A copy of the model, which keeps the caller's untouched."""
    try:
        return copy.deepcopy(model)
    except (RuntimeError, TypeError, NotImplementedError) as error:
        raise ValueError(
            "The model can't be copied, and a copy is what keeps yours untouched "
            f"({str(error).splitlines()[0]}). Cached tensors that carry a graph are the usual "
            "cause; detach them."
        ) from error


def checked_data(inputs: Any, targets: Any, like: Tensor) -> tuple[Tensor, Tensor]:
    """Copies of inputs and targets that fit each other and the model's parameters."""
    for name, data in (("inputs", inputs), ("targets", targets)):
        if not isinstance(data, Tensor):
            raise ValueError(
                f"{name} must be a torch tensor with one sample per row; got "
                f"{type(data).__name__}. Convert it with torch.as_tensor."
            )
        if data.ndim == 0:
            raise ValueError(f"{name} must hold one sample per row; got a single number.")
        if len(data) == 0:
            raise ValueError(
                f"{name} is empty: shape {tuple(data.shape)}. The first dimension counts samples."
            )
        if data.device != like.device:
            checks.same_kind(name, data.to(like.dtype), like)
        if data.is_floating_point() and data.dtype != like.dtype:
            checks.same_kind(name, data, like)
    if len(inputs) != len(targets):
        raise ValueError(
            f"inputs and targets must hold the same number of samples; got {len(inputs)} and "
            f"{len(targets)}. Cut or match them so that row i of one belongs to row i of the other."
        )
    return inputs.detach().clone(), targets.detach().clone()


def refuse_unusable_loss(loss: DifferentiableLoss) -> None:
    """Evaluate once at w0 and refuse what can't be studied sample by sample."""
    probe = range(min(loss.num_samples, 32))  # 32: chosen here; dropout shows in fewer
    with torch.random.fork_rng(devices=_rng_devices(loss.w0)):
        losses = _first_losses(loss, probe)
        _refuse_wrong_shape(losses, len(probe))
        with torch.no_grad():
            again = loss.losses_at(loss.w0, probe)
            try:
                alone = torch.cat([loss.losses_at(loss.w0, probe[i : i + 1]) for i in probe])
            except (RuntimeError, ValueError) as error:
                raise ValueError(
                    "The loss is not per-sample: it can't be evaluated for one sample alone "
                    f"({str(error).splitlines()[0]}). Batch normalisation in training mode is "
                    "the usual cause; call model.eval()."
                ) from error
        with torch.enable_grad():
            connected = loss.losses_at(loss.w0.clone().requires_grad_(), range(1)).requires_grad
        if not connected:
            raise ValueError(
                "The loss does not depend on the model's parameters through autograd. Look for "
                "detach(), torch.no_grad() or numpy inside the model or loss_fn."
            )
    # the coarser of the two precisions; absolute only relative to the largest loss
    tolerance = 1e3 * max(torch.finfo(t.dtype).eps for t in (losses, loss.w0))
    # and never finer than the square of a rounding, all that is left of a perfect fit
    rounding = torch.finfo(loss.w0.dtype).eps ** 1.5
    atol = max(tolerance * float(losses.abs().nan_to_num(0).max()), rounding)
    if not torch.allclose(losses, again, rtol=tolerance, atol=atol, equal_nan=True):
        raise ValueError(
            "The loss is random: two evaluations at the same w differ by "
            f"{float((losses - again).abs().max()):.1e}. Dropout in training mode is the usual "
            "cause; call model.eval() first."
        )
    if not torch.allclose(losses, alone, rtol=tolerance, atol=atol, equal_nan=True):
        raise ValueError(
            "The loss is not per-sample: a sample's loss changes with the other samples of its "
            f"batch, by {float((losses - alone).abs().max()):.1e}. Batch normalisation in "
            "training mode is the usual cause; call model.eval(), or use reduction='none'."
        )


def _first_losses(loss: DifferentiableLoss, probe: range) -> Tensor:
    """The first evaluation of all: what does not fit together shows here."""
    try:
        with torch.no_grad():
            return loss.losses_at(loss.w0, probe)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        raise ValueError(
            f"The loss can't be evaluated on the first {len(probe)} samples: "
            f"{type(error).__name__}: {first} Check that inputs have the shape and dtype that "
            "the model takes (flattened or not? floating point?), that the model takes one "
            "input and returns one tensor, and that loss_fn(outputs, targets) fits the targets "
            "(class labels are int64, shape (n,), in 0..K-1)."
        ) from error


def refuse_wrong_second_derivatives(loss: DifferentiableLoss) -> None:
    """Compare u'Hv with v'Hu once: some layers' second derivatives are wrong in PyTorch."""
    probe = range(min(loss.num_samples, 8))  # 8: chosen here
    angles = torch.arange(1, len(loss.w0) + 1, dtype=loss.w0.dtype, device=loss.w0.device)
    u, v = angles.cos(), (2 * angles).sin()
    try:
        Hu, Hv = (HessianOperator(loss, loss.w0, probe) @ torch.stack([u, v], dim=1)).unbind(1)
    except (ValueError, RuntimeError):
        return  # a kink at w0 itself says nothing about other points; uses there will tell
    difference = abs(float(v @ Hu - u @ Hv))
    scale = float(Hu.norm() * v.norm() + Hv.norm() * u.norm())
    if difference > 10 * torch.finfo(loss.w0.dtype).eps ** 0.5 * scale:
        raise ValueError(ASYMMETRIC)


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


def _rng_devices(like: Tensor) -> list[torch.device]:
    return [like.device] if like.is_cuda else []
