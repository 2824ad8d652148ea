"""Gradients and curvature of all single samples along U, layer by layer.

Let delta be added to the outputs of the layers (`landscape_nb.numerics.bilinear`), d be the loss's
gradient in it and H its Hessian, at delta = 0, and a(delta) the features that the weights multiply.
At w + U z a layer F(w; a) gives F(Uz; a) more, so w need not be moved: delta = F(Uz; a(delta)) says
the same. To second order in z, with r_u = F(u; a), the layer with weights and bias from u, and q_u
the gradient in delta of d'F(u; a(delta)), d held:

u'g_i      =  d'r_u                                    sums over all uses of all layers
u'H_i u_e  =  r_u'H r_e + q_u'r_e + r_u'q_e  =  r_u's_e + s_u'r_e,   s_e = H r_e / 2 + q_e

One backward pass through the gradient's graph for each direction gives s_e of all samples, by
reverse mode alone. No single sample is ever differentiated alone.

Nothing of this is believed unseen. Each sample's result is multiplied by a weight of its own and
the sum compared with reverse mode of the loss weighted in the same way, so that a layer that was
missed, a term that is wrong and samples that are permuted all show.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from landscape_nb.numerics import checks
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.operators import Indices
from landscape_nb.numerics.recording import (
    ContractionError,
    Recording,
    Use,
    along,
    recorded,
    tolerance,
)

Derivatives = tuple[Tensor, Tensor, Tensor]

# Times what a forward pass leaves behind: in graphs, and for each direction. On MLPs, convolutions
# and a transformer, D = 10, 16 and 30, float64, peaks of a process were 0.36 to 0.70 of what these
# add up to.
_HELD, _EACH = 8, 2
_BLOCKS = 8  # times that all B of a chunk are held: chosen here
# What a forward pass of one chunk leaves at most. Less is slower where it leaves a handful of
# samples (a transformer: 2.4 s, and 4.7 s at 2**21) or many chunks (an MLP: 1.3 times at
# 2**19); more only holds more.
_CACHED = 2**23


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
        recording = recorded(loss, w, batch, twice=True)
        uses = recording.uses
        passed = through_layers(uses, U)
        c = refuse_wrong_gradients(recording, U, *gradients(uses, passed))
        B, size = curvatures(uses, passed, second_derivatives(uses, passed))
        B = refuse_wrong_curvatures(recording, U, B, size)
    except (ContractionError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # no second derivative, or a layer called in a new way
        raise ContractionError(
            f"Layer contraction does not work for this model ({checks.first_line(error)}). Use "
            "method='reverse'."
        ) from error
    return recording.losses, c, B


Passed = list[tuple[Tensor, Tensor | None]]


@torch.no_grad()
def through_layers(uses: list[Use], U: Tensor) -> Passed:
    """For each use r, (D, ...) like d, and the gradient of d'r in the features; None if fixed."""
    rows = U.T.contiguous()
    return [_through(use, rows) for use in uses]


def _through(use: Use, rows: Tensor) -> tuple[Tensor, Tensor | None]:
    layer = use.layer
    weights, biases = (p if p is None else along(rows, p) for p in (layer.weight, layer.bias))
    if weights is not None and layer.several is not None:
        return layer.several(weights, biases, layer.features, None if use.fixed else use.d)
    pulled = None
    if weights is None:
        r = use.d.new_zeros(1)
    else:
        each = [_both(use, W) for W in weights]
        r = torch.stack([r for r, _ in each])
        pulled = None if use.fixed else torch.stack([q for _, q in each if q is not None])
    if biases is not None:
        r = r + layer.widened(biases, use.d)
    return r.expand(-1, *use.d.shape), pulled


def _both(use: Use, W: Tensor) -> tuple[Tensor, Tensor | None]:
    """What a layer with these weights makes of the features, and d's gradient in them."""
    if use.fixed:
        return use.layer.product(W, use.layer.features), None
    with torch.enable_grad():
        features = use.layer.features.detach().requires_grad_()
        r = use.layer.product(W, features)
        return r.detach(), torch.autograd.grad(r, features, use.d)[0]


def gradients(uses: list[Use], passed: Passed) -> tuple[Tensor, Tensor]:
    """c, (m, D), and the size of the terms that it sums: over uses of d'r."""
    terms = [
        (use.by_sample(r) @ use.by_sample(use.d[None]).mT)[:, :, 0]
        for use, (r, _) in zip(uses, passed, strict=True)
    ]
    return sum(terms[1:], terms[0]), torch.stack([term.norm() for term in terms]).norm()


def second_derivatives(uses: list[Use], passed: Passed) -> list[Tensor]:
    """For each use s, (D, ...) like r."""
    D, added = len(passed[0][0]), [use.added for use in uses]
    pairs = [(use.half, r) for use, (r, _) in zip(uses, passed, strict=True)]
    pairs += [
        (use.layer.features, q) for use, (_, q) in zip(uses, passed, strict=True) if q is not None
    ]
    pairs = [(output, v) for output, v in pairs if output.requires_grad]
    if not pairs:  # linear in w
        return [torch.zeros_like(r) for r, _ in passed]
    second = _in_one_block([r for r, _ in passed])
    for e in range(D):
        each = torch.autograd.grad(
            [output for output, _ in pairs],
            added,
            [v[e] for _, v in pairs],
            retain_graph=True,
            materialize_grads=True,
        )
        for s, part in zip(second, each, strict=True):
            s[e] = part  # while it is in the processor's cache
    return second


def _in_one_block(like: list[Tensor]) -> list[Tensor]:
    """Empty tensors of these shapes and strides, next to one another.

    On a CPU in a block of four times their length, up to 32 MB, of which the rest is never touched:
    of freed memory glibc keeps twice the largest block of up to 32 MB that it saw freed, and where
    that is less than a chunk takes, a third of the time goes into fresh pages.
    """
    sizes = [t.numel() for t in like]
    length = sum(sizes)
    if like[0].device.type == "cpu":
        length = max(length, min(4 * length, 2**25 // like[0].element_size()))
    block = like[0].new_empty(length)
    parts = block[: sum(sizes)].split(sizes)
    return [
        part.as_strided(t.shape, torch.empty_like(t).stride(), part.storage_offset())
        for part, t in zip(parts, like, strict=True)
    ]


def curvatures(uses: list[Use], passed: Passed, second: list[Tensor]) -> tuple[Tensor, Tensor]:
    """B, (m, D, D), and the size of its terms: over uses of r's + s'r."""
    terms = [
        use.by_sample(r) @ use.by_sample(s).mT
        for use, (r, _), s in zip(uses, passed, second, strict=True)
    ]
    half = sum(terms[1:], terms[0])
    return half + half.mT, torch.stack([term.norm() for term in terms]).norm()


# -- comparison ------------------------------------------------------------------------------------


def refuse_wrong_gradients(recording: Recording, U: Tensor, c: Tensor, size: Tensor) -> Tensor:
    """The c_i again, if their weighted sum is U' times the gradient of the weighted losses.

    Raises:
        ContractionError: they differ by more than rounding.
    """
    gradient = recording.gradient.detach()
    _refuse("gradients", (recording.weights @ c - U.T @ gradient).norm(), size, gradient)
    return c


def refuse_wrong_curvatures(recording: Recording, U: Tensor, B: Tensor, size: Tensor) -> Tensor:
    """The B_i again, if the weighted sum of B_i z is right along a generic direction z.

    Raises:
        ContractionError: they differ by more than rounding.
    """
    z = torch.arange(1, U.shape[1] + 1, dtype=U.dtype, device=U.device).cos()
    product = recording.product(U @ z)
    off = (recording.weights @ (B @ z) - U.T @ product).norm()
    _refuse("curvatures", off, size * z.norm(), product)
    return B


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
    """Bytes for one sample: graphs, what goes through the layers, and all of B."""
    return _held(loss.activation_bytes(w, sample), w, D)


def _held(activations: int, w: Tensor, D: int) -> int:
    return (_HELD + _EACH * D) * activations + _BLOCKS * D**2 * w.element_size()


def direction_bytes(w: Tensor, D: int) -> int:
    """Bytes of the directions as parameters, whatever the number of samples."""
    return 3 * D * w.numel() * w.element_size()


def chunk_length(loss: EmpiricalLoss, w: Tensor, U: Tensor, samples: Indices, memory: float) -> int:
    """Samples at a time: as memory allows, and no more than the cache is good for."""
    D, activations = U.shape[1], loss.activation_bytes(w, int(samples[0]))
    fitting = (memory - direction_bytes(w, D)) / _held(activations, w, D)
    return max(1, int(min(fitting, _CACHED / max(1, activations))))


def fits(loss: EmpiricalLoss, w: Tensor, U: Tensor, samples: Indices, memory: float) -> bool:
    """Whether memory holds a sample and the directions."""
    D = U.shape[1]
    return held_bytes(loss, w, D, int(samples[0])) + direction_bytes(w, D) <= memory
