"""Value, gradient and Hessian of every single sample's loss, along the columns of U.

l_i(w + U z) = l_i + c_i'z + z'B_i z/2 + ...,  c_i = U' grad l_i(w),  B_i = U' H_i(w) U

The L2 term is left out: it cancels in every increment.

The engine under `increments`: whatever is asked about increments is a difference of such samples.
"contraction" takes D backward passes over whole batches of samples and contracts them layer by
layer, for models that use their parameters in linear functions, convolutions and the like;
"reverse" takes D Hessian-vector products of one sample at a time, without any demands.
"""

import copy
from collections.abc import Iterator

from torch import Tensor

from landscape_nb.numerics import checks
from landscape_nb.numerics.blocks import quadratic_form
from landscape_nb.numerics.contraction import Derivatives, contracted_derivatives, fits
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.operators import Indices
from landscape_nb.numerics.recording import ContractionError
from landscape_nb.numerics.shared_loss import SharedLoss, by_samples

_TRIED = 8  # samples on which contraction is tried: chosen here
_BLOCKS = 8  # times that a piece of all B is held, in its making and in running sums: chosen here


def sample_derivatives(
    loss: EmpiricalLoss,
    w: Tensor,
    U: Tensor,
    samples: Indices,
    method: str = "auto",
    memory: float | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Losses l (m,), gradients c (m, D) and Hessians B (m, D, D) of m samples along U.

    Layer contraction costs about as much as D Hessian-vector products of all samples together,
    reverse mode D of each sample alone. So contraction is the way wherever it serves: its
    parameters are used in linear functions, convolutions, embeddings and normalisations only, and
    one sample fits `memory`.

    Contraction is compared with one reverse-mode product for each chunk, of the samples weighted
    unequally, so that none may be mistaken for another.

    Args:
        loss: the empirical loss.
        w: (N,).
        U: (N, D), directions; they need not be orthonormal here.
        samples: indices, from 0.
        method: "contraction", "reverse", or "auto": contraction where it serves, else reverse mode.
        memory: bytes of intermediate results that may be held; `loss.memory` if not given.

    Raises:
        ContractionError: as ValueError, "contraction" was asked for and can't serve.
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
    if method not in ("auto", "contraction", "reverse"):
        raise ValueError(
            f"method must be 'auto', 'contraction' or 'reverse'; got {checks.shown(method)}."
        )
    loss = within(loss.without_l2(), memory)
    memory, done = loss.memory, 0
    step = max(1, int(memory / (_BLOCKS * U.shape[1] ** 2 * w.element_size())))
    if isinstance(loss, SharedLoss):
        for start in range(0, len(samples), step):
            yield start, by_samples(
                loss, w, samples[start : start + step],
                lambda here, mine: sample_derivatives(here, w, U, mine, method),
            )  # fmt: skip
        return
    try:
        if method == "contraction" or (method == "auto" and fits(loss, w, U, samples, memory)):
            for block in contracted_derivatives(loss, w, U, samples, memory):
                yield done, block
                done += len(block[0])
    except ContractionError:
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


def in_batches(loss: EmpiricalLoss, w: Tensor, U: Tensor, samples: Indices) -> bool:
    """Whether samples' derivatives come together: else each costs D products of its own.

    It is tried on the first of them. On more than one: of a sample that is fitted to the last
    digit nothing but rounding is left to compare.
    """
    loss = loss.here if isinstance(loss, SharedLoss) else loss
    loss = loss.without_l2()
    if not fits(loss, w, U, samples, loss.memory):
        return False
    try:
        next(contracted_derivatives(loss, w, U, samples[:_TRIED], loss.memory))
    except ContractionError:
        return False
    return True


def projected_derivatives(
    loss: EmpiricalLoss, w: Tensor, U: Tensor, samples: Indices
) -> tuple[Tensor, Tensor]:
    """U'g and U'HU of the mean over some samples, by reverse mode."""
    H = loss.hessian_operator(w, samples)
    B = quadratic_form(H, U, loss.memory)
    return U.T @ H.gradient, (B + B.T) / 2
