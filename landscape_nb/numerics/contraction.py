"""Gradients and curvature of all single samples along U, layer by layer.

For sample i, and every use of a layer, with the features a that its weight multiplies and the
gradient d of the loss in its output (`landscape_nb.numerics.bilinear`):

u'g_i      =  sum_uses  d' F(u; a)                          F(u; a): the layer with weights from u
u'H_i u_e  =  sum_uses  d_e' F(u; a) + d' F(u; a_e)         (a_e without the bias)

where (a_e, d_e) are the derivatives of (a, d) along u_e: one forward-over-reverse pass for each
direction, shared by all samples. No single sample is ever differentiated alone.

Nothing of this is believed unseen. Each sample's result is multiplied by a weight of its own and
the sum compared with reverse mode of the loss weighted in the same way, so that a layer that was
missed, a term that is wrong and samples that are permuted all show.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.func import grad, jvp, vjp, vmap

from landscape_nb.numerics import checks
from landscape_nb.numerics.bilinear import bilinear_layers
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.operators import HessianOperator, Indices
from landscape_nb.numerics.recording import (
    ContractionError,
    Recorder,
    Use,
    recorded,
    sample_weights,
    tolerance,
)
from landscape_nb.numerics.settings import forward_mode_turns

Derivatives = tuple[Tensor, Tensor, Tensor]

# Of what a forward pass leaves behind, times 1 + D: held at the peak, and moved. Measured on MLPs
# and a convolution, D = 10 and 30.
_HELD, _MOVED = 4, 3
_BLOCKS = 8  # times that all B of a chunk are held: chosen here
# More at once is slower, by measurement on the same: new memory costs more than one more chunk.
_CACHED = 2**27
_ALONE = 2**23  # bytes that could be moved while the calls for one chunk are prepared: measured


def contracted_derivatives(
    loss: EmpiricalLoss, w: Tensor, U: Tensor, samples: Indices, memory: float
) -> Iterator[Derivatives]:
    """`sample_derivatives` by layer contraction, as many samples at a time as memory allows.

    Raises:
        ContractionError: the model has other layers, or the numbers do not agree with reverse mode.
    """
    chunk = chunk_length(loss, w, U, samples, memory)
    for piece in loss.samples.pieces(samples, chunk):
        yield _checked_block(loss, w, U, piece)


def _checked_block(loss: EmpiricalLoss, w: Tensor, U: Tensor, batch: Indices) -> Derivatives:
    try:
        recorder = Recorder(loss)
        values, uses = recorded(recorder, w, batch)
        passed = through_layers(uses, blocks_of(loss, U))
        reverse = HessianOperator(WeightedLoss(loss), w, batch)
        c = refuse_wrong_gradients(reverse, U, batch, *gradients(uses, passed))
        d_e, a_e = tangents(recorder, w, U, batch, uses)
        B, size = curvatures(uses, passed, d_e, a_e)
        del d_e, a_e, uses, passed
        B = refuse_wrong_curvatures(reverse, U, batch, B, size)
    except (ContractionError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # an operation without a forward mode, a layer called in a new way
        raise ContractionError(
            f"Layer contraction does not work for this model ({checks.first_line(error)}). Use "
            "method='reverse'."
        ) from error
    return values, c, B


def tangents(
    recorder: Recorder, w: Tensor, U: Tensor, batch: Indices, uses: list[Use]
) -> tuple[list[Tensor], list[Tensor]]:
    """Derivatives of every use's d and features along the columns of U, (D, ...) each."""
    zeros = [torch.zeros_like(use.d) for use in uses]

    def recorded_again(w: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        def total(added: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
            losses, notes = recorder.losses(w, batch, added), recorder.notes
            kept = zip(notes, uses, strict=True)
            return losses.sum(), [w[:0] if use.fixed else note[1] for note, use in kept]

        d, features = grad(total, has_aux=True)(zeros)
        return d, features

    def along(u: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        return jvp(recorded_again, (w,), (u,))[1]

    with forward_mode_turns:
        try:
            return vmap(along, in_dims=1)(U)
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception:  # an operation that can't be batched: one direction after the other
            each = [along(u) for u in U.unbind(1)]
    d_e, a_e = ([*map(torch.stack, zip(*part, strict=True))] for part in zip(*each, strict=True))
    return d_e, a_e


Passed = list[tuple[Tensor, Tensor | None]]


def through_layers(uses: list[Use], blocks: dict[str, Tensor]) -> Passed:
    """For each use F(u; a), (m, D, outputs), and what pulls d back to the features; None if 0."""
    passed: Passed = []
    for use in uses:
        outputs, pulled = _through(use, blocks)
        if use.layer.bias is not None:
            outputs = outputs + use.layer.widened(blocks[use.layer.bias], use.d)
        rows = use.by_sample(outputs.expand(-1, *use.d.shape))
        passed.append((rows, None if pulled is None else use.by_sample(pulled)))
    return passed


def _through(use: Use, blocks: dict[str, Tensor]) -> tuple[Tensor, Tensor | None]:
    product, weight = use.layer.product, use.layer.weight
    if weight is None:
        return use.d.new_zeros(1), None
    if use.fixed:
        return vmap(lambda W: product(W, use.features))(blocks[weight]), None

    def both(W: Tensor) -> tuple[Tensor, Tensor]:
        output, pull, *_ = vjp(partial(product, W), use.features)
        return output, pull(use.d)[0]

    outputs, pulled = vmap(both)(blocks[weight])
    return outputs, pulled


def gradients(uses: list[Use], passed: Passed) -> tuple[Tensor, Tensor]:
    """c, (m, D), and the size of the terms that it sums: sum over uses of d' F(u; a)."""
    terms = [
        (rows @ use.by_sample(use.d[None]).mT)[:, :, 0]
        for use, (rows, _) in zip(uses, passed, strict=True)
    ]
    return sum(terms[1:], terms[0]), torch.stack([term.norm() for term in terms]).norm()


def curvatures(
    uses: list[Use], passed: Passed, d_e: list[Tensor], a_e: list[Tensor]
) -> tuple[Tensor, Tensor]:
    """B, (m, D, D), and the size of its terms: sum over uses of d_e' F(u; a) + d' F(u; a_e)."""
    B, sizes = d_e[0].new_zeros(uses[0].m, len(d_e[0]), len(d_e[0])), []
    for use, (rows, pulled), of_d, of_a in zip(uses, passed, d_e, a_e, strict=True):
        pairs = [(rows, of_d)] if pulled is None else [(rows, of_d), (pulled, of_a)]
        for left, right in pairs:
            term = left @ use.by_sample(right).mT
            B = B.add_(term)
            sizes.append(term.norm())
    return B, torch.stack(sizes).norm()


def blocks_of(loss: EmpiricalLoss, U: Tensor) -> dict[str, Tensor]:
    """The columns of U as parameters, (D, shape) of each by name."""
    layout, D = loss.layout, U.shape[1]
    shapes = dict(zip(layout.names, layout.shapes, strict=True))
    return {n: U[s].T.reshape(D, *shapes[n]) for n, s in layout.slices().items()}


# -- comparison ------------------------------------------------------------------------------------


@dataclass
class WeightedLoss:
    """A loss whose samples carry `sample_weights`, for operators."""

    loss: EmpiricalLoss
    l2: float = 0.0

    def __getattr__(self, name: str) -> Any:
        """The rest is the loss's own."""
        return getattr(self.loss, name)

    def losses_of(self, outputs: Any, batch: Indices) -> Tensor:
        """Weighted losses of given outputs, (m,)."""
        losses = self.loss.losses_of(outputs, batch)
        return losses * sample_weights(batch, losses)

    def losses_at(self, w: Tensor, batch: Indices) -> Tensor:
        """Weighted losses of a batch, (m,)."""
        losses = self.loss.losses_at(w, batch)
        return losses * sample_weights(batch, losses)


def refuse_wrong_gradients(
    reverse: HessianOperator, U: Tensor, batch: Indices, c: Tensor, size: Tensor
) -> Tensor:
    """The c_i again, if their weighted sum is U' times the gradient of the weighted loss.

    Raises:
        ContractionError: they differ by more than rounding.
    """
    gradient = len(c) * reverse.gradient
    off = (sample_weights(batch, c) @ c - U.T @ gradient).norm()
    _refuse("gradients", off, size, gradient)
    return c


def refuse_wrong_curvatures(
    reverse: HessianOperator, U: Tensor, batch: Indices, B: Tensor, size: Tensor
) -> Tensor:
    """The B_i made symmetric, if the weighted sum of B_i z is right along a generic direction z.

    Raises:
        ContractionError: they differ by more than rounding, or a B_i is not symmetric.
    """
    z = torch.arange(1, U.shape[1] + 1, dtype=U.dtype, device=U.device).cos()
    _refuse("curvatures (not symmetric)", (B - B.mT).norm(), size, size)
    product = len(B) * (reverse @ (U @ z))
    off = (sample_weights(batch, B) @ (B @ z) - U.T @ product).norm()
    _refuse("curvatures", off, size * z.norm(), product)
    return (B + B.mT) / 2


def _refuse(what: str, off: Tensor, size: Tensor, vector: Tensor) -> None:
    # reverse mode rounds in all N directions before U picks its own: 100 times, chosen here
    allowed = tolerance(off) * size + 100 * torch.finfo(off.dtype).eps * vector.norm()
    if not off <= allowed:
        raise ContractionError(
            f"Layer contraction gives wrong {what} for this model (off by {float(off):.1e} where "
            f"rounding allows {float(allowed):.1e}). Use method='reverse'."
        )


# -- what it takes ---------------------------------------------------------------------------------


def held_bytes(loss: EmpiricalLoss, w: Tensor, D: int, sample: int) -> int:
    """Bytes for one sample: tangents of what a forward pass leaves behind, and all of B."""
    tangents = _HELD * (1 + D) * loss.activation_bytes(w, sample)
    return tangents + _BLOCKS * D**2 * w.element_size()


def direction_bytes(w: Tensor, D: int) -> int:
    """Bytes of the directions as parameters, whatever the number of samples."""
    return 3 * D * w.numel() * w.element_size()


def chunk_length(loss: EmpiricalLoss, w: Tensor, U: Tensor, samples: Indices, memory: float) -> int:
    """Samples at a time: as memory allows, and no more than are worth the memory's traffic."""
    room = min(memory - direction_bytes(w, U.shape[1]), _CACHED)
    return max(1, int(room / held_bytes(loss, w, U.shape[1], int(samples[0]))))


def cost_bytes(loss: EmpiricalLoss, w: Tensor, U: Tensor, samples: Indices, memory: float) -> float:
    """Bytes to move for one sample; infinite where it does not fit memory or the layers."""
    D = U.shape[1]
    each, fixed = held_bytes(loss, w, D, int(samples[0])), direction_bytes(w, D)
    if each + fixed > memory or not bilinear_layers(loss.uncalled, loss.layout.names):
        return float("inf")
    together = min(len(samples), chunk_length(loss, w, U, samples, memory))
    moved = _MOVED * (1 + D) * loss.activation_bytes(w, int(samples[0]))
    return moved + (fixed + _ALONE) / together
