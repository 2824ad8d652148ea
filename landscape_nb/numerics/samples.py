"""Value, gradient and Hessian of every single sample's loss, along the columns of U.

l_i(w + U z) = l_i + c_i'z + z'B_i z/2 + ...,  c_i = U' grad l_i(w),  B_i = U' H_i(w) U

The L2 term is left out: it cancels in every increment.

The engine under `increments`: whatever is asked about increments is a difference of such samples.
"contraction" takes D passes over whole batches of samples and contracts them layer by layer, cheap
for models of linear layers, convolutions and the like; "forward" differentiates batches twice in
forward mode, cheap for a few small samples; "reverse" takes D Hessian-vector products of one sample
at a time, cheap for large ones (a sequence in a transformer) and without any demands.
"""

import copy
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.func import jacfwd

from landscape_nb.numerics import checks
from landscape_nb.numerics.blocks import quadratic_form
from landscape_nb.numerics.contraction import (
    Derivatives,
    contracted_derivatives,
    cost_bytes,
)
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.operators import Indices
from landscape_nb.numerics.recording import ContractionError
from landscape_nb.numerics.settings import forward_mode_turns
from landscape_nb.numerics.shared_loss import SharedLoss, by_samples

# What the calls for a single sample cost besides, in bytes moved meanwhile: chosen here, from times
# of dense networks, a convolution and transformers with N = 190 to 980 000 and D = 2, 10, 30.
_ALONE = 2**22
# Forward mode's peak over what one forward pass leaves behind: measured 1.1 to 1.8 on MLPs.
_PEAK = 2
_TRIED = 8  # samples on which an engine is tried: chosen here
_BLOCKS = 8  # times that a piece of all B is held, in its making and in running sums: chosen here


class ForwardModeError(ValueError):
    """The model's forward-mode second derivatives are missing, or wrong."""


def sample_derivatives(
    loss: EmpiricalLoss,
    w: Tensor,
    U: Tensor,
    samples: Indices,
    method: str = "auto",
    memory: float | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Losses l (m,), gradients c (m, D) and Hessians B (m, D, D) of m samples along U.

    Layer contraction costs about 5 (1 + D) forward passes over the samples; it serves models whose
    trainable parameters all belong to linear layers, convolutions, embeddings and normalisations.
    Forward mode costs about 5 (1 + D)^2 of them, reverse mode about 4 D but one sample at a time:
    which is fastest depends on the model, by the bytes that each has to move.

    Contraction and forward mode are compared with one reverse-mode product for each chunk: of the
    samples weighted unequally, so that none may be mistaken for another, and of their mean
    (PyTorch's nested forward mode is wrong for layer_norm, for one, without saying so).

    Args:
        loss: the empirical loss.
        w: (N,).
        U: (N, D), directions; they need not be orthonormal here.
        samples: indices, from 0.
        method: "contraction", "forward", "reverse", or "auto": the cheapest one that serves and
            fits `memory`.
        memory: bytes of intermediate results that may be held; `loss.memory` if not given.

    Raises:
        ContractionError, ForwardModeError: as ValueError, "contraction" or "forward" was asked for
            and can't serve.
    """
    D, m = U.shape[1], len(samples)
    whole = w.new_empty(m), w.new_empty(m, D), w.new_empty(m, D, D)
    reading, back = loss.samples.in_order(samples)
    for start, block in derivative_blocks(loss, w, U, reading, method, memory):
        for out, part in zip(whole, block, strict=True):
            out[start : start + len(part)] = part
    l, c, B = whole if back is None else (part[back] for part in whole)
    return l, c, B


def derivative_blocks(
    loss: EmpiricalLoss,
    w: Tensor,
    U: Tensor,
    samples: Indices,
    method: str = "auto",
    memory: float | None = None,
) -> Iterator[tuple[int, Derivatives]]:
    """`sample_derivatives` piece by piece: (start, (l, c, B)), in order, as memory allows.

    A sum over samples takes no more memory than one piece.
    """
    if method not in ("auto", "contraction", "forward", "reverse"):
        raise ValueError(
            "method must be 'auto', 'contraction', 'forward' or 'reverse'; got "
            f"{checks.shown(method)}."
        )
    loss = within(loss.without_l2(), memory)
    memory = loss.memory
    step = max(1, int(memory / (_BLOCKS * U.shape[1] ** 2 * w.element_size())))
    if isinstance(loss, SharedLoss):
        for start in range(0, len(samples), step):
            yield start, by_samples(
                loss, w, samples[start : start + step],
                lambda here, mine: sample_derivatives(here, w, U, mine, method),
            )  # fmt: skip
        return
    done = 0
    for engine in _engines(loss, w, U, samples, method, memory):
        try:
            for block in engine(loss, w, U, samples[done:], memory):
                yield done, block
                done += len(block[0])
            break
        except (ContractionError, ForwardModeError):
            if method != "auto":
                raise
    while done < len(samples):  # one by one; the block only gathers them
        block = _gathered(loss, w, U, samples[done : done + step])
        yield done, block
        done += len(block[0])


def within(loss: EmpiricalLoss, memory: float | None) -> EmpiricalLoss:
    """The same loss for a caller who gives it less memory; nothing is copied."""
    if memory is None:
        return loss
    view = copy.copy(loss)
    view.memory = checks.positive("memory", memory, "bytes")
    if view.memory < loss.memory:
        fits = int(view.memory / (4 * loss.sample_bytes))  # 4: as for the loss's own batches
        view.batch_size = max(1, min(loss.batch_size, fits))
    return view


def _gathered(loss: EmpiricalLoss, w: Tensor, U: Tensor, samples: Indices) -> Derivatives:
    """By reverse mode, one sample at a time."""
    m, D = len(samples), U.shape[1]
    values, c, B = w.new_empty(m), w.new_empty(m, D), w.new_empty(m, D, D)
    for j in range(m):
        alone = samples[j : j + 1]
        values[j] = loss.per_sample(w, alone)[0]
        c[j], B[j] = projected_derivatives(loss, w, U, alone)
    return values, c, B


Engine = Callable[[EmpiricalLoss, Tensor, Tensor, Indices, float], Iterator[Derivatives]]


def _engines(
    loss: EmpiricalLoss, w: Tensor, U: Tensor, samples: Indices, method: str, memory: float
) -> list[Engine]:
    """What to try before reverse mode, which serves always; what fails leaves the rest to the next.

    By bytes and not seconds: each rounds differently, so a clock would make results differ.
    """
    auto, engines = method == "auto", list[Engine]()
    if method == "contraction" or (auto and prefers_contraction(loss, w, U, samples, memory)):
        engines.append(contracted_derivatives)
    if method == "forward" or (auto and prefers_forward(loss, w, U, samples, memory)):
        engines.append(forward_derivatives)
    return engines


def in_batches(loss: EmpiricalLoss, w: Tensor, U: Tensor, samples: Indices) -> bool:
    """Whether samples' derivatives come together: else each costs D products of its own.

    It is tried on the first of them, for what is preferred may still fail (layer_norm). On more
    than one: of a sample that is fitted to the last digit nothing but rounding is left to compare.
    """
    loss = loss.here if isinstance(loss, SharedLoss) else loss
    loss = loss.without_l2()
    for engine in _engines(loss, w, U, samples, "auto", loss.memory):
        try:
            next(engine(loss, w, U, samples[:_TRIED], loss.memory))
            return True
        except (ContractionError, ForwardModeError):
            continue
    return False


def prefers_contraction(
    loss: EmpiricalLoss, w: Tensor, U: Tensor, samples: Indices, memory: float
) -> bool:
    """Whether layer contraction may serve, and has the fewest bytes to move for one sample."""
    others = _reverse_bytes(w, U.shape[1])
    if prefers_forward(loss, w, U, samples, memory):
        others = _forward_bytes(loss, w, U.shape[1], samples)
    return cost_bytes(loss, w, U, samples, memory) < others


def prefers_forward(
    loss: EmpiricalLoss, w: Tensor, U: Tensor, samples: Indices, memory: float
) -> bool:
    """Whether nested forward mode fits the memory, and has fewer bytes to move than reverse."""
    D = U.shape[1]
    forward = _forward_bytes(loss, w, D, samples)
    fits = _PEAK * forward + _tangent_bytes(w, D) <= memory
    return fits and forward < _reverse_bytes(w, D)


def _forward_bytes(loss: EmpiricalLoss, w: Tensor, D: int, samples: Indices) -> int:
    return (1 + D) ** 2 * loss.activation_bytes(w, int(samples[0]))


def _reverse_bytes(w: Tensor, D: int) -> int:
    return 4 * D * w.numel() * w.element_size() + _ALONE


def projected_derivatives(
    loss: EmpiricalLoss, w: Tensor, U: Tensor, samples: Indices
) -> tuple[Tensor, Tensor]:
    """U'g and U'HU of the mean over some samples, by reverse mode."""
    H = loss.hessian_operator(w, samples)
    B = quadratic_form(H, U, loss.memory)
    return U.T @ H.gradient, (B + B.T) / 2


def _tangent_bytes(w: Tensor, D: int) -> int:
    """Bytes that w + U z itself takes, differentiated twice."""
    return (1 + D) ** 2 * w.numel() * w.element_size()


def forward_derivatives(
    loss: EmpiricalLoss, w: Tensor, U: Tensor, samples: Indices, memory: float
) -> Iterator[Derivatives]:
    """`sample_derivatives` by nested forward mode, as many samples at a time as memory allows."""
    D = U.shape[1]
    own = _PEAK * loss.activation_bytes(w, int(samples[0])) + _BLOCKS * w.element_size()
    each = (1 + D) ** 2 * own
    chunk = max(1, int((memory - _tangent_bytes(w, D)) / each))
    for piece in loss.samples.pieces(samples, chunk):
        yield _forward_block(loss, w, U, piece)


def _forward_block(loss: EmpiricalLoss, w: Tensor, U: Tensor, samples: Indices) -> Derivatives:
    origin = torch.zeros(U.shape[1], dtype=w.dtype, device=w.device)

    def losses(z: Tensor) -> tuple[Tensor, Tensor]:
        values = loss.losses_at(w + U @ z, samples)
        return values, values

    def gradients(z: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        c, values = jacfwd(losses, has_aux=True)(z)
        return c, (c, values)

    try:
        with forward_mode_turns:
            B, (c, values) = jacfwd(gradients, has_aux=True)(origin)
    except torch.OutOfMemoryError:
        raise
    except (NotImplementedError, RuntimeError) as error:
        raise ForwardModeError(
            "The model has no forward-mode second derivatives "
            f"({checks.first_line(error)}). Use method='reverse'."
        ) from error
    _compare_with_reverse_mode(loss, w, U, samples, B)
    return values.detach(), c.detach(), (B + B.mT).detach() / 2


def _compare_with_reverse_mode(
    loss: EmpiricalLoss, w: Tensor, U: Tensor, batch: Indices, B: Tensor
) -> None:
    """One product of the whole chunk along a generic direction of U: every sample counts."""
    z = torch.arange(1, U.shape[1] + 1, dtype=U.dtype, device=U.device).cos()
    direction = U @ z
    difference = (B.mean(0) @ z - U.T @ loss.hvp(w, direction, batch)).norm()
    # The square root of the precision separates rounding from a wrong formula. Chosen here.
    allowed = 10 * torch.finfo(w.dtype).eps ** 0.5 * B.norm(dim=(1, 2)).mean() * z.norm()
    if not difference <= allowed:
        raise ForwardModeError(
            "PyTorch's nested forward mode gives wrong second derivatives for this model (off by "
            f"{float(difference):.1e} from reverse mode; layer_norm is a known case). Use "
            "method='reverse'."
        )
