"""What a forward and a backward pass leave at every layer, and which sample each number is of.

A private copy of the module is called, so that nothing is ever noted on anyone else's. The
dimension that counts samples is looked for among those that could, and where several could it is
seen by weighting the samples: their weights are found again in the gradients.
"""

import copy
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from landscape_nb.numerics.bilinear import BilinearLayer, bilinear_layers
from landscape_nb.numerics.devices import on_cpu
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.operators import Indices


class ContractionError(ValueError):
    """The model's samples can't be contracted layer by layer, or come out wrong."""


@dataclass(frozen=True, eq=False)
class Use:
    """One call of one layer.

    Attributes:
        layer: what the layer does.
        features: what its weight multiplied, m samples in it.
        d: gradient of the losses' sum in the output, of the output's shape.
        m: number of samples.
        before: product of the dimensions in front of the sample's: 1 if the sample comes first.
        fixed: whether the features do not depend on w: they are the model's inputs.
    """

    layer: BilinearLayer
    features: Tensor
    d: Tensor
    m: int
    before: int
    fixed: bool

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
        self.layers = bilinear_layers(module, loss.layout.names)
        if not self.layers:
            raise ContractionError(
                "Layer contraction needs every trainable parameter to belong to a layer that it "
                "knows (linear, convolution, embedding, normalisation), and some here does not. "
                "Use method='reverse'."
            )
        self.loss = loss.with_module(module)
        for part, layer in self.layers.items():  # first of all hooks: the layer's own output
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

    def slopes(total: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(total, outputs, materialize_grads=True, retain_graph=True)

    ones = slopes(losses.sum())
    weighted: tuple[Tensor, ...] = ()
    uses = []
    for j, (layer, features, output) in enumerate(notes):
        found = _places(tuple(output.shape[: layer.leading(output)]), m)
        if len(found) > 1:  # which dimension counts samples is seen by weighting them
            weighted = weighted or slopes((r * losses).sum())
            found = [p for p in found if _fits(ones[j], weighted[j], r, p)]
        if not found:
            raise ContractionError(
                f"Of a layer's output {tuple(output.shape)} no dimension counts the {m} samples. "
                "Use method='reverse'."
            )
        uses.append(Use(layer, features.detach(), ones[j], m, found[0], not features.requires_grad))
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
    return bool(difference <= tolerance(d) * expected.norm())


def sample_weights(batch: Indices, like: Tensor) -> Tensor:
    """A weight between 1/2 and 3/2 for each sample, by its index, all of them different."""
    indices = on_cpu(torch.as_tensor(batch))
    golden_ratio = 0.6180339887498949  # spreads them evenly
    return (0.5 + (indices * golden_ratio) % 1).to(like)


def tolerance(like: Tensor) -> float:
    """Rounding that is allowed, relative to the root of the samples' summed squares.

    4e-10 in float64, 2e-4 in float32: errors of single samples add up in squares. Chosen here.
    """
    return 10 * torch.finfo(like.dtype).eps ** (2 / 3)
