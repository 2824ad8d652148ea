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

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import grad, jvp, vjp, vmap

from landscape_nb.numerics import checks
from landscape_nb.numerics.bilinear import BilinearLayer, bilinear_layers
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.operators import HessianOperator, Indices, Samples

Derivatives = tuple[Tensor, Tensor, Tensor]


class ContractionError(ValueError):
    """The model's samples can't be contracted layer by layer, or come out wrong."""


# -- what a forward and a backward pass leave at each layer ----------------------------------------


@dataclass(frozen=True, eq=False)
class Use:
    """One call of one layer.

    Attributes:
        layer: what the layer does.
        features: what its weight multiplied, m samples in it.
        d: gradient of the losses' sum in the output, of the output's shape.
        m: number of samples.
        before: product of the dimensions in front of the sample's: 1 if the sample comes first.
    """

    layer: BilinearLayer
    features: Tensor
    d: Tensor
    m: int
    before: int

    def by_sample(self, rows: Tensor) -> Tensor:
        """Outputs or features of b directions, (b, ...), as (m, b, numbers of one sample)."""
        split = rows.reshape(len(rows), self.before, self.m, -1)
        return split.permute(2, 0, 1, 3).reshape(self.m, len(rows), -1)


class Recorder:
    """A private copy of the loss's module, which notes what goes through its layers.

    Args:
        loss: the empirical loss.

    Raises:
        ContractionError: a trainable parameter belongs to no layer that is known.
    """

    def __init__(self, loss: EmpiricalLoss) -> None:
        shared = {id(p): p for p in loss.uncalled.parameters()}
        module = copy.deepcopy(loss.uncalled, shared)
        layers = bilinear_layers(module, loss.layout.names)
        if not layers:
            raise ContractionError(
                "Layer contraction needs every trainable parameter to belong to a layer that it "
                "knows (linear, convolution, embedding, normalisation), and some here does not. "
                "Use method='reverse'."
            )
        self.loss = loss.with_module(module)
        for part, layer in layers.items():  # prepend: before whatever a hook of the model's changes
            part.register_forward_hook(partial(self._note, layer), prepend=True, with_kwargs=True)

    def losses(self, w: Tensor, batch: Indices, added: list[Tensor] | None) -> Tensor:
        """The losses with something added to the output of every use; None: zeros, noted."""
        self._added, self.notes = added, list[tuple[BilinearLayer, Tensor, Tensor]]()
        return self.loss.losses_at(w, batch)

    def _note(
        self, layer: BilinearLayer, _: nn.Module, args: Any, named: Any, output: Tensor
    ) -> Tensor:
        features = layer.features(args[0] if args else next(iter(named.values())))
        if self._added is None:
            more = torch.zeros_like(output, requires_grad=True)
        else:
            more = self._added[len(self.notes)]
        self.notes.append((layer, features, more))
        return output + more


@torch.enable_grad()
def recorded(recorder: Recorder, w: Tensor, batch: Indices) -> tuple[Tensor, list[Use]]:
    """Losses (m,) of a batch and every use of every layer."""
    m = len(batch)
    losses = recorder.losses(w.detach(), batch, None)
    notes, recorder.notes = recorder.notes, []
    if not notes or losses.shape != (m,):
        raise ContractionError("No known layer was called. Use method='reverse'.")
    outputs, r = [note[2] for note in notes], sample_weights(batch, w)
    options = dict(materialize_grads=True, retain_graph=True)
    ones = torch.autograd.grad(losses.sum(), outputs, **options)
    weighted: tuple[Tensor, ...] = ()
    uses = []
    for j, (layer, features, output) in enumerate(notes):
        found = _places(tuple(output.shape[: layer.leading(output)]), m)
        if len(found) > 1:  # which dimension counts samples is seen by weighting them
            weighted = weighted or torch.autograd.grad((r * losses).sum(), outputs, **options)
            found = [p for p in found if _fits(ones[j], weighted[j], r, p)]
        if not found:
            raise ContractionError(
                f"Of a layer's output {tuple(output.shape)} no dimension counts the {m} samples. "
                "Use method='reverse'."
            )
        uses.append(Use(layer, features.detach(), ones[j], m, found[0]))
    return losses.detach().to(w.dtype), uses


def _places(leading: tuple[int, ...], m: int) -> list[int]:
    """What may stand before the samples' dimension, first the likeliest: samples come first.

    Samples may share a dimension with positions: (batch * time, ...) or (time * batch, ...).
    """
    found, before = [], 1
    for size in leading:
        more, rest = divmod(size, m)
        if not rest:
            found += [before * t for t in range(1, more + 1) if more % t == 0]
        before *= size
    return sorted({*found} | ({1} if m == 1 else set()))


def _fits(d: Tensor, weighted: Tensor, r: Tensor, before: int) -> bool:
    """Whether weights of the samples are found again where they should be in the gradient."""
    expected = d.reshape(before, len(r), -1) * r[:, None]
    difference = (weighted.reshape(expected.shape) - expected).norm()
    return bool(difference <= _tolerance(d) * expected.norm())


def sample_weights(batch: Indices, like: Tensor) -> Tensor:
    """A weight between 1/2 and 3/2 for each sample, by its index, all of them different."""
    indices = torch.as_tensor(batch, device=like.device, dtype=torch.float64)
    return (0.5 + (indices * 0.6180339887498949) % 1).to(like.dtype)  # the golden ratio spreads them


# -- contraction -----------------------------------------------------------------------------------


def contracted_derivatives(
    loss: EmpiricalLoss, w: Tensor, U: Tensor, samples: range, memory: float
) -> Iterator[Derivatives]:
    """`sample_derivatives` by layer contraction, as many samples at a time as memory allows.

    Raises:
        ContractionError: the model has other layers, or the numbers do not agree with reverse mode.
    """
    chunk = max(1, int((memory - direction_bytes(w, U.shape[1])) / held_bytes(loss, w, U, samples)))
    for i in range(0, len(samples), chunk):
        yield _checked_block(loss, w, U, samples[i : i + chunk])


def _checked_block(loss: EmpiricalLoss, w: Tensor, U: Tensor, batch: range) -> Derivatives:
    try:
        recorder = Recorder(loss)
        U_seen = _without_padding(recorder, U)
        values, uses = recorded(recorder, w, batch)
        d_e, a_e = tangents(recorder, w, U_seen, batch, uses)
        c, B, scales = contraction(uses, blocks_of(loss, U_seen), d_e, a_e)
        del d_e, a_e, uses
        compare_with_reverse_mode(loss, w, U, batch, c, B, scales)
    except (ContractionError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # an operation without a forward mode, a layer called in a new way
        raise ContractionError(
            f"Layer contraction does not work for this model ({checks.first_line(error)}). Use "
            "method='reverse'."
        ) from error
    return values, c, (B + B.mT) / 2


def tangents(
    recorder: Recorder, w: Tensor, U: Tensor, batch: range, uses: list[Use]
) -> tuple[list[Tensor], list[Tensor]]:
    """Derivatives of every use's d and features along the columns of U, (D, ...) each."""
    zeros = [torch.zeros_like(use.d) for use in uses]

    def gradients(w: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        def total(added: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
            losses = recorder.losses(w, batch, added)
            return losses.sum(), [a if a.is_floating_point() else w[:0] for _, a, _ in recorder.notes]

        d, features = grad(total, has_aux=True)(zeros)
        return d, features

    def along(u: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        return jvp(gradients, (w,), (u,))[1]

    try:
        return vmap(along, in_dims=1)(U)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception:  # an operation that can't be batched: one direction after the other
        each = [along(u) for u in U.unbind(1)]
    return tuple([torch.stack(rows) for rows in zip(*part, strict=True)] for part in zip(*each, strict=True))  # fmt: skip


def contraction(
    uses: list[Use], blocks: dict[str, Tensor], d_e: list[Tensor], a_e: list[Tensor]
) -> tuple[Tensor, Tensor, tuple[float, float]]:
    """c (m, D), B (m, D, D) before it is made symmetric, and the sizes of the terms they sum."""
    D, m = len(d_e[0]), uses[0].m
    c, B = d_e[0].new_zeros(m, D), d_e[0].new_zeros(m, D, D)
    in_c = in_B = 0.0
    for use, d_tangents, a_tangents in zip(uses, d_e, a_e, strict=True):
        outputs, pulled = through_layer(use, blocks)
        rows = use.by_sample(outputs)
        part = (rows @ use.by_sample(use.d[None]).mT)[:, :, 0]
        c, in_c = c + part, in_c + float(part.norm()) ** 2
        terms = [(rows, d_tangents)] + ([] if pulled is None else [(use.by_sample(pulled), a_tangents)])
        for left, right in terms:
            part = left @ use.by_sample(right).mT
            B, in_B = B.add_(part), in_B + float(part.norm()) ** 2
    return c, B, (in_c**0.5, in_B**0.5)


def through_layer(use: Use, blocks: dict[str, Tensor]) -> tuple[Tensor, Tensor | None]:
    """F(u; a), (D, output), and what pulls d back to the features, (D, features); None if 0."""
    layer, pulled = use.layer, None
    if layer.weight is None:
        outputs = use.d.new_zeros(())
    elif not use.features.is_floating_point():
        outputs = vmap(lambda W: layer.product(W, use.features))(blocks[layer.weight])
    else:

        def both(W: Tensor) -> tuple[Tensor, Tensor]:
            output, pull = vjp(partial(layer.product, W), use.features)
            return output, pull(use.d)[0]

        outputs, pulled = vmap(both)(blocks[layer.weight])
    if layer.bias is not None:
        outputs = outputs + layer.widened(blocks[layer.bias], use.d)
    return outputs.expand(-1, *use.d.shape), pulled


def blocks_of(loss: EmpiricalLoss, U: Tensor) -> dict[str, Tensor]:
    """The columns of U as parameters, (D, shape) of each by name."""
    layout, D = loss.layout, U.shape[1]
    shapes = dict(zip(layout.names, layout.shapes, strict=True))
    return {n: U[s].T.reshape(D, *shapes[n]) for n, s in layout.slices().items()}


def _without_padding(recorder: Recorder, U: Tensor) -> Tensor:
    """U as autograd sees it: the row of an embedding's padding has no gradient."""
    return U


# -- comparison ------------------------------------------------------------------------------------


@dataclass(frozen=True)
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


def compare_with_reverse_mode(
    loss: EmpiricalLoss,
    w: Tensor,
    U: Tensor,
    batch: Samples,
    c: Tensor,
    B: Tensor,
    scales: tuple[float, float],
) -> None:
    """Weighted sums of all c_i and all B_i z against one gradient and one Hessian product.

    Raises:
        ContractionError: they differ by more than rounding, or a B_i is not symmetric.
    """
    z = torch.arange(1, U.shape[1] + 1, dtype=U.dtype, device=U.device).cos()
    H = HessianOperator(WeightedLoss(loss), w, batch)
    product, gradient = len(c) * (H @ (U @ z)), len(c) * H.gradient
    r, eps, allowed = sample_weights(batch, c), torch.finfo(c.dtype).eps, _tolerance(c)
    off_c = (r @ c - U.T @ gradient).norm() - 100 * eps * gradient.norm()
    off_B = (r @ (B @ z) - U.T @ product).norm() - 100 * eps * product.norm()
    wrong = {
        "gradients": (off_c, scales[0]),
        "curvatures": (off_B, scales[1] * z.norm()),
        "curvatures (not symmetric)": ((B - B.mT).norm(), scales[1]),
    }
    for what, (off, scale) in wrong.items():
        if not off <= allowed * scale:
            raise ContractionError(
                f"Layer contraction gives wrong {what} for this model (off by {float(off):.1e}, "
                "of {float(scale):.1e}). Use method='reverse'."
            )


def _tolerance(like: Tensor) -> float:
    """Rounding that is allowed, relative to the root of the samples' summed squares.

    4e-10 in float64, 2e-4 in float32: errors of single samples add up in squares. Chosen here.
    """
    return 10 * torch.finfo(like.dtype).eps ** (2 / 3)


# -- what it takes ---------------------------------------------------------------------------------


def direction_bytes(w: Tensor, D: int) -> int:
    """Bytes of w + U z and its derivatives, whatever the number of samples."""
    return 3 * D * w.numel() * w.element_size()


def held_bytes(loss: EmpiricalLoss, w: Tensor, U: Tensor, samples: range) -> int:
    """Bytes for one sample: tangents of what a forward pass leaves behind, and all of B."""
    D = U.shape[1]
    return 4 * (1 + D) * loss.activation_bytes(w, samples[0]) + 8 * D**2 * w.element_size()
