"""Gradients of single samples' losses: many at once where the model allows it, else one by one.

At once in two ways: layer by layer, from what one pass over the batch leaves at every use of a
parameter (`landscape_nb.numerics.recording`); or one by one under torch.func.vmap, for models that
use their parameters in other ways. The first time that vmap is called takes half a second and
40 MB, for it brings a compiler with it.
"""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.func import grad, vmap

from landscape_nb.numerics import batches
from landscape_nb.numerics.operators import DifferentiableLoss, Indices, refuse_nan_derivatives
from landscape_nb.numerics.recording import ContractionError, Use, along, recorded, tolerance
from landscape_nb.numerics.stored_samples import BatchedSamples, StoredSamples

_AT_ONCE, _COMPARED = 256, 32  # samples: chosen here
# Bytes held for those at once. All that fit 1e9 took 0.8 to 1.9 times as long, on an MLP and a
# transformer, and held up to 190 MB more.
_BYTES = 2**26
_HELD = 4  # times that what one sample's pass leaves behind is held: as for the loss's own batches


class SampledLoss(DifferentiableLoss, Protocol):
    """What is asked of a loss here besides."""

    samples: StoredSamples | BatchedSamples

    def without_l2(self) -> "SampledLoss":
        """The same without the L2 term."""

    def losses_given(self, w: Tensor, inputs: Any, targets: Any) -> Tensor:
        """The losses of any data, (m,), differentiable in w."""

    def gradient(self, w: Tensor, k: Indices) -> Tensor:
        """The gradient of the mean over some samples, (N,)."""


def single_gradients(loss: SampledLoss, w: Tensor, chosen: Indices) -> Tensor:
    """Gradients of the single l_i at w, without the L2 term, (m, N); arguments checked already.

    Raises:
        ValueError: a gradient is not finite.
    """
    reading, back = loss.samples.in_order(chosen)
    each = _HELD * (loss.sample_bytes + w.numel() * w.element_size())
    step = max(1, min(_AT_ONCE, int(min(loss.memory, _BYTES) / each)))
    out, done = w.new_empty(len(chosen), w.numel()), 0
    for piece in loss.samples.pieces(reading, step):
        here = slice(done, done + len(piece))
        out[here] = _at_once(loss.without_l2(), w, piece)
        refuse_nan_derivatives(out[here], "gradient of a single sample")
        done += len(piece)
    return out if back is None else out[back]


def _at_once(loss: SampledLoss, w: Tensor, chosen: Indices) -> Tensor:
    ways: list[Callable[[SampledLoss, Tensor, Indices], Tensor]] = [_by_layers, _by_vmap]
    for way in ways:
        try:
            return way(loss, w, chosen)
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception:  # recurrent layers, masks and one_hot can't be batched like this
            continue
    return torch.stack([loss.gradient(w, chosen[j : j + 1]) for j in range(len(chosen))])


def _by_vmap(loss: SampledLoss, w: Tensor, chosen: Indices) -> Tensor:
    data = loss.samples.rows(chosen)
    tensors = [[t for _, t in batches.leaves(d) if isinstance(t, Tensor)] for d in data]

    def one(w: Tensor, *given: list[Tensor]) -> Tensor:
        ones = ([t[None] for t in row] for row in given)
        x, y = (batches.refilled(d, row) for d, row in zip(data, ones, strict=True))
        return loss.losses_given(w, x, y)[0]

    found = vmap(grad(one), in_dims=(None, 0, 0))(w, *tensors).detach()
    if not bool(found.isfinite().all()):
        return found
    few = found[:_COMPARED]
    wrong = few.mean(0) - loss.gradient(w, chosen[:_COMPARED])
    if float(wrong.norm()) > torch.finfo(w.dtype).eps ** 0.5 * float(few.norm()):
        raise ValueError("An operation's own rule for vmap is wrong.")
    return found


# -- layer by layer --------------------------------------------------------------------------------


def _by_layers(loss: SampledLoss, w: Tensor, chosen: Indices) -> Tensor:
    recording, out = recorded(loss, w, chosen), w.new_zeros(len(chosen), len(w))
    for parameter, weighing, biasing in by_parameter(recording.uses):
        along(out, parameter).add_(parameter_gradients(parameter, weighing, biasing))
    if not bool(out.isfinite().all()):
        return out  # the caller says so
    off = recording.weights @ out - recording.gradient
    if not float(off.norm()) <= tolerance(w) * float(out.norm()):
        raise ContractionError("Gradients of single samples differ from reverse mode.")
    return out


OneParameter = tuple[Tensor, list[Use], list[Use]]


def by_parameter(uses: list[Use]) -> list[OneParameter]:
    """Each parameter with its uses as a weight and as a bias."""
    found: dict[Any, OneParameter] = {}
    for use in uses:
        for j, p in enumerate((use.layer.weight, use.layer.bias)):
            if p is not None:
                key = p.storage_offset(), p.shape, p.stride()
                _, *kinds = found.setdefault(key, (p.detach(), [], []))
                kinds[j].append(use)
    return [*found.values()]


def parameter_gradients(p: Tensor, weighing: list[Use], biasing: list[Use]) -> Tensor:
    """Each sample's gradient in one parameter, (m, ...)."""
    parts = [use.layer.gradients(*positions(use)) for use in weighing]
    for use in biasing:
        _, d = positions(use)
        parts.append(d.reshape(use.m, d.shape[1], p.numel(), -1).sum((1, 3)).view(-1, *p.shape))
    return sum(parts[1:], parts[0])


def positions(use: Use) -> tuple[Tensor, Tensor]:
    """Features (m, T, ...) and gradients (m, T, ...) of each sample's positions."""
    lead, features = use.layer.leading(use.d), use.layer.features.detach()
    a, d = (use.by_sample(t[None]) for t in (features, use.d))
    return (
        a.reshape(use.m, -1, *features.shape[lead:]),
        d.reshape(use.m, -1, *use.d.shape[lead:]),
    )
