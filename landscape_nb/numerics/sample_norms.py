"""Squared lengths of single samples' gradients in the whole space, without the gradients.

|g_i|^2 = sum over weights of |sum_uses sum_t d_t a_t'|_F^2 + sum over biases of |sum d|^2

For a linear layer used once without positions this is |d|^2 (|a|^2 + 1); with positions t, either
the inner products (d_s'd_t)(a_s'a_t) or the sample's gradient of this one layer, whichever is less
work. g_i'v needs no gradient either: it is c_i of layer contraction along the one direction v.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from landscape_nb.numerics import checks, contraction
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.operators import Indices
from landscape_nb.numerics.recording import (
    ContractionError,
    Use,
    along,
    recorded,
    tolerance,
)
from landscape_nb.numerics.shared_loss import by_samples
from landscape_nb.numerics.single_gradients import (
    OneParameter,
    by_parameter,
    parameter_gradients,
    positions,
)

_HELD = 8  # times that a pass's intermediates and a layer's gradients are held: chosen here


def gradient_energies(
    loss: EmpiricalLoss, w: Tensor, samples: Indices, v: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """|g_i|^2 (m,) and g_i'v (m,) of single samples' gradients, without the L2 term.

    Exact up to rounding. Costs about four forward passes over the samples where every use of a
    parameter is one that `landscape_nb.numerics.bilinear` knows, and the numbers agree with
    reverse mode: g_i'v and g_i'x along another direction x, as sums over samples with unequal
    weights, and |g_i|^2 of two samples alone. Else it costs `sample_gradients`.

    Args:
        loss: the empirical loss.
        w: (N,).
        samples: indices, from 0.
        v: (N,), zero if not given.

    Raises:
        ValueError: an argument does not fit, or a derivative is not finite.

    >>> from landscape_nb.problems.toys import quadratics
    >>> loss = EmpiricalLoss(*quadratics(5, 3).parts)
    >>> squares, _ = gradient_energies(loss, loss.w0, range(5))
    >>> torch.allclose(squares, loss.sample_gradients(loss.w0, 5).square().sum(1))
    True
    """
    w, loss = checks.parameter_vector(w, loss.w0), loss.without_l2()
    v = torch.zeros_like(w) if v is None else checks.parameter_vector(v, loss.w0)
    squares, dots = by_samples(loss, w, samples, lambda loss, mine: _energies(loss, w, mine, v))
    return squares, dots


def _energies(loss: EmpiricalLoss, w: Tensor, samples: Indices, v: Tensor) -> tuple[Tensor, Tensor]:
    reading, back = loss.samples.in_order(samples)
    if back is not None:
        squares, dots = _energies(loss, w, reading, v)
        return squares[back], dots[back]
    squares, dots = w.new_empty(len(samples)), w.new_empty(len(samples))
    done = 0
    try:
        for piece in loss.samples.pieces(samples, samples_at_once(loss, w, samples)):
            here = slice(done, done + len(piece))
            squares[here], dots[here] = _contracted(loss, w, piece, v)
            done += len(piece)
        return squares, dots
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception:  # other layers, or wrong numbers: the gradients themselves
        pass
    left = slice(done, len(samples))
    parts = [(g.square().sum(1), g @ v) for g in gradient_blocks(loss, w, samples[left])]
    squares[left], dots[left] = (torch.cat(part) for part in zip(*parts, strict=True))
    return squares, dots


def gradient_blocks(loss: EmpiricalLoss, w: Tensor, samples: Indices) -> Iterator[Tensor]:
    """Single samples' gradients, (m, N), as many at a time as an eighth of memory holds."""
    step = max(1, int(loss.memory / 8 / (w.numel() * w.element_size())))  # 8: chosen here
    for piece in loss.samples.pieces(samples, step):
        yield loss.sample_gradients(w, piece)


def samples_at_once(loss: EmpiricalLoss, w: Tensor, samples: Indices) -> int:
    """As many as fit memory with what their passes leave behind and one layer's gradients."""
    largest = max(shape.numel() for shape in loss.layout.shapes) * w.element_size()
    room = loss.memory - contraction.direction_bytes(w, 2)
    return max(1, int(room / _HELD / (loss.activation_bytes(w, int(samples[0])) + largest)))


def _contracted(loss: EmpiricalLoss, w: Tensor, batch: Indices, v: Tensor) -> tuple[Tensor, Tensor]:
    generic = torch.arange(1, len(w) + 1, dtype=w.dtype, device=w.device).cos()
    V = torch.stack([generic, v], dim=1)
    recording = recorded(loss, w, batch)
    uses = recording.uses
    dots, size = contraction.gradients(uses, contraction.through_layers(uses, V))
    contraction.refuse_wrong_gradients(recording, V, dots, size)
    squares = torch.stack([_of_parameter(*of_one) for of_one in _apart(uses, len(w))]).sum(0)
    for j in {0, len(batch) - 1}:
        alone = loss.gradient(w, batch[j : j + 1]).square().sum()
        if not abs(float(squares[j] - alone)) <= tolerance(w) * float(alone):
            raise ContractionError("Lengths of gradients differ from reverse mode.")
    return squares, dots[:, 1]


def _apart(uses: list[Use], N: int) -> list[OneParameter]:
    """`by_parameter`, of which no two may share entries."""
    found, entries = by_parameter(uses), torch.zeros(1, N)
    for p, *_ in found:
        along(entries, p).add_(1)
    if entries.max() > 1:
        raise ContractionError("A parameter is used in two forms: its gradients do not add up.")
    return found


def _of_parameter(p: Tensor, weighing: list[Use], biasing: list[Use]) -> Tensor:
    """|gradient of one parameter|^2 of each sample, (m,)."""
    if not biasing and _inner_is_shorter(weighing, p.shape):
        inner = weighing[0].layer.inner
        a, d = (torch.cat(parts, 1) for parts in zip(*map(positions, weighing), strict=True))
        assert inner is not None
        return (inner(a) * (d @ d.mT)).flatten(1).sum(1)
    return parameter_gradients(p, weighing, biasing).flatten(1).square().sum(1)


def _inner_is_shorter(uses: list[Use], shape: torch.Size) -> bool:
    """Whether T^2 inner products of features and gradients are less work than T outer products."""
    if (
        uses[0].layer.inner is None
        or len({use.layer.features.is_floating_point() for use in uses}) > 1
    ):
        return False  # a tied embedding adds to what a linear layer does
    places = sum(positions(use)[1].shape[1] for use in uses)
    return places * sum(shape) < shape.numel()
