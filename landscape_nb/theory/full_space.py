"""Eq. 15's coefficients in the whole space, by random directions, a few samples at a time."""

import torch
from torch import Tensor

from landscape_nb.numerics import checks
from landscape_nb.numerics.blocks import quadratic_form
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.sample_norms import gradient_blocks, gradient_energies
from landscape_nb.numerics.samples import derivative_blocks
from landscape_nb.theory.designs import designed_sample, everyone
from landscape_nb.theory.increment import increment

# Turns of the directions over which the error is averaged. More change it by less than its own
# scatter: chosen here.
_TURNS = 12


def full_space_coefficients(
    loss: EmpiricalLoss,
    w: Tensor,
    k: int,
    unseen: range,
    G: Tensor,
    size: int | None = None,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Means over unseen samples of a^2, a tr A, |grad I|^2, curvature; errors of 2nd and 4th.

    `tables.full_space_table` says how they are estimated from the directions G, (N, m), and from
    `size` samples.
    """
    loss, m = loss.without_l2(), G.shape[1]
    mean = loss.hessian_operator(w, k)
    mean_B, mean_gradient = quadratic_form(mean, G, loss.memory), mean.gradient
    del mean  # and its graph
    a = increment(loss.per_sample(w, unseen), loss.value(w, k), k)
    n = len(unseen)
    if size is None:
        design = everyone(n)
    else:
        design = designed_sample(a.abs(), size, checks.explicit_generator(generator))
    drawn = unseen if size is None else torch.tensor(unseen)[design.indices]
    turns = _turns(m).to(w)
    # of the samples, of which a few at a time are held: a tr A, curvature; sums of a B
    crosses, curvatures = list[Tensor](), list[Tensor]()
    cross, left_out = w.new_zeros(m, m), w.new_zeros(len(turns), m)
    for start, (losses, _, B) in derivative_blocks(loss, w, G, drawn):
        part = slice(start, start + len(losses))
        weights, a_i = (x.to(w)[part] for x in (design.weights, a[design.indices.to(a.device)]))
        B = B.sub_(mean_B).div_(k + 1)
        cross += torch.tensordot(weights * a_i, B, 1)
        crosses.append(a_i * B.diagonal(dim1=-2, dim2=-1).mean(-1))
        curvatures.append(_curvature(*_squares(B), m))
        left_out += torch.stack([weights @ _leaving_one_out(R.T @ B @ R) for R in turns])
    frobenius = _split(*_squares(cross / n), m)[0]
    jackknife = (m - 1) * (left_out / n).var(1, correction=0).mean()
    of_cross, of_curvature = (design.mean(torch.cat(each)) for each in (crosses, curvatures))
    # less than zero by rounding, or by chance
    of_directions = (2 * frobenius.clamp(min=0) / m).sqrt(), jackknife.sqrt()
    return (
        a.square().mean(),
        of_cross.value,
        _gradient_energy(loss, w, unseen, mean_gradient, k) / n,
        of_curvature.value,
        of_directions[0].hypot(of_cross.stderr),
        of_directions[1].hypot(of_curvature.stderr),
    )


def _gradient_energy(
    loss: EmpiricalLoss, w: Tensor, samples: range, mean: Tensor, k: int
) -> Tensor:
    """Sum of |grad I|^2 over samples as the next one, a few at a time."""
    squares, dots = gradient_energies(loss, w, samples, mean)
    parts = squares.sum() + len(samples) * mean.square().sum()
    difference = parts - 2 * dots.sum()
    if difference > 1e-3 * parts:  # else it has too few digits left: chosen here
        return difference / (k + 1) ** 2
    total = w.new_zeros(())
    for g in gradient_blocks(loss, w, samples):
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
