"""Eq. 15's coefficients in the whole space, by random directions, a few samples at a time."""

import torch
from torch import Tensor

from landscape_nb.numerics.blocks import quadratic_form
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.samples import derivative_blocks
from landscape_nb.theory.increment import increment

# Turns of the directions over which the error is averaged. More change it by less than its own
# scatter: chosen here.
_TURNS = 12


def full_space_coefficients(
    loss: EmpiricalLoss, w: Tensor, k: int, unseen: range, G: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Means over unseen samples of a^2, a tr A, |grad I|^2, curvature; errors of 2nd and 4th.

    `tables.full_space_table` says how they are estimated from the directions G, (N, m).
    """
    loss, m = loss.without_l2(), G.shape[1]
    mean = loss.hessian_operator(w, k)
    mean_B, mean_gradient, mean_loss = (
        quadratic_form(mean, G, loss.memory),
        mean.gradient,
        loss.value(w, k),
    )
    del mean  # and its graph
    turns = _turns(m).to(w)
    # sums over the samples, of which a few at a time are held: a^2, a B, |g|^2, curvatures
    value = gradient = whole = w.new_zeros(())
    cross, left_out = w.new_zeros(m, m), w.new_zeros(len(turns), m)
    for start, (losses, _, B) in derivative_blocks(loss, w, G, unseen):
        a = increment(losses, mean_loss, k)
        B = B.sub_(mean_B).div_(k + 1)
        value, cross = value + a.square().sum(), cross + torch.tensordot(a, B, 1)
        samples = unseen[start : start + len(losses)]
        gradient = gradient + _gradient_energy(loss, w, samples, mean_gradient, k)
        whole = whole + _curvature(*_squares(B), m).sum()
        left_out += torch.stack([_leaving_one_out(R.T @ B @ R).sum(0) for R in turns])
    n = len(unseen)
    cross, frobenius = cross / n, _split(*_squares(cross / n), m)[0]
    jackknife = (m - 1) * (left_out / n).var(1, correction=0)
    return (
        value / n,
        cross.trace() / m,
        gradient / n,
        whole / n,
        (2 * frobenius.clamp(min=0) / m).sqrt(),  # else rounding might leave less than zero
        jackknife.mean().sqrt(),
    )


def _gradient_energy(
    loss: EmpiricalLoss, w: Tensor, samples: range, mean: Tensor, k: int
) -> Tensor:
    """Sum of |grad I|^2 over samples as the next one, a few at a time."""
    step = max(1, int(loss.memory / 8 / (w.numel() * w.element_size())))  # chosen here
    total = w.new_zeros(())
    for i in range(0, len(samples), step):
        g = loss.sample_gradients(w, samples[i : i + step])
        total = total + g.sub_(mean).div_(k + 1).square_().sum()
    return total


def _squares(B: Tensor) -> tuple[Tensor, Tensor]:
    """|B|_F^2 and (tr B)^2."""
    return B.square().sum((-2, -1)), B.diagonal(dim1=-2, dim2=-1).sum(-1).square()


def _split(frobenius: Tensor, trace_squared: Tensor, m: int) -> tuple[Tensor, Tensor]:
    """Unbiased |A|_F^2 and (tr A)^2 from those of B = G'AG with m Gaussian directions.

    E |B|_F^2 = m (tr A)^2 + m (m+1) |A|_F^2,  E (tr B)^2 = m^2 (tr A)^2 + 2 m |A|_F^2
    """
    found = (m * frobenius - trace_squared) / (m * (m - 1) * (m + 2))
    return found, (trace_squared - 2 * m * found) / m**2


def _curvature(frobenius: Tensor, trace_squared: Tensor, m: int) -> Tensor:
    """(2 |A|_F^2 + (tr A)^2)/4, without bias, from |B|_F^2 and (tr B)^2 of m directions."""
    of_A, trace_of_A = _split(frobenius, trace_squared, m)
    return (2 * of_A + trace_of_A) / 4


def _leaving_one_out(B: Tensor) -> Tensor:
    """The curvature without each direction in turn, (..., m)."""
    squares, diagonal = B.square(), B.diagonal(dim1=-2, dim2=-1)
    rows = squares.sum(-1)
    frobenius = rows.sum(-1, keepdim=True) - 2 * rows + diagonal.square()
    trace = diagonal.sum(-1, keepdim=True) - diagonal
    return _curvature(frobenius, trace.square(), B.shape[-1] - 1)


def _turns(m: int) -> Tensor:
    """Rotations of m directions, always the same.

    Turned directions are as likely as those drawn, so each turn gives the jackknife's error anew
    from the same derivatives, and their mean scatters less.
    """
    draws = torch.randn(_TURNS, m, m, generator=torch.Generator().manual_seed(0))
    return torch.linalg.qr(draws.double()).Q
