"""Gradients of single samples' losses: many at once where the model allows it, else one by one."""

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.func import grad, vmap

from landscape_nb.numerics import batches
from landscape_nb.numerics.operators import DifferentiableLoss, Indices, refuse_nan_derivatives
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
    data = loss.samples.rows(chosen)
    tensors = [[t for _, t in batches.leaves(d) if isinstance(t, Tensor)] for d in data]

    def one(w: Tensor, *given: list[Tensor]) -> Tensor:
        ones = ([t[None] for t in row] for row in given)
        x, y = (batches.refilled(d, row) for d, row in zip(data, ones, strict=True))
        return loss.losses_given(w, x, y)[0]

    batched = vmap(grad(one), in_dims=(None, 0, 0))
    try:
        found = batched(w, *tensors).detach()
        if not bool(found.isfinite().all()):
            return found
        few = found[:_COMPARED]
        wrong = few.mean(0) - loss.gradient(w, chosen[:_COMPARED])
        # else an operation's own rule for vmap is wrong
        if not float(wrong.norm()) > torch.finfo(w.dtype).eps ** 0.5 * float(few.norm()):
            return found
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception:  # recurrent layers, masks and one_hot can't be batched like this
        pass
    return torch.stack([loss.gradient(w, chosen[j : j + 1]) for j in range(len(chosen))])
