"""Eq. 15's coefficients in the whole space, by random directions, a few samples at a time."""

import torch
from torch import Tensor

from landscape_nb.numerics.blocks import quadratic_form
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.sample_norms import gradient_energies
from landscape_nb.numerics.samples import derivative_blocks
from landscape_nb.theory.increment import increment


def full_space_coefficients(
    loss: EmpiricalLoss, w: Tensor, k: int, unseen: range, G: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Means over unseen samples of a^2, a tr A, |grad I|^2, curvature; the last one's error.

    `moments.full_space_table` says how they are estimated from the directions G, (N, m).
    """
    loss, m = loss.without_l2(), G.shape[1]
    mean = loss.hessian_operator(w, k)
    mean_B, mean_gradient, mean_loss = (
        quadratic_form(mean, G, loss.memory),
        mean.gradient,
        loss.value(w, k),
    )
    del mean  # and its graph
    left_out = [[i for i in range(m) if i != j] for j in range(m)]
    # sums over the samples, of which a few at a time are held: a^2, a tr A, |g|^2, curvatures
    value = cross = gradient = whole = w.new_zeros(())
    replicates = w.new_zeros(m)
    for start, (losses, _, B) in derivative_blocks(loss, w, G, unseen):
        a = increment(losses, mean_loss, k)
        B = B.sub_(mean_B).div_(k + 1)
        trace = B.diagonal(dim1=-2, dim2=-1).mean(-1)
        value, cross = value + a.square().sum(), cross + (a * trace).sum()
        samples = unseen[start : start + len(losses)]
        gradient = gradient + _gradient_energy(loss, w, samples, mean_gradient, k)
        whole = whole + _curvature(B)
        replicates += torch.stack([_curvature(B[:, kept][:, :, kept]) for kept in left_out])
    n = len(unseen)
    stderr = ((m - 1) * (replicates / n).var(0, correction=0)).sqrt()
    return value / n, cross / n, gradient / n, whole / n, stderr


def _gradient_energy(
    loss: EmpiricalLoss, w: Tensor, samples: range, mean: Tensor, k: int
) -> Tensor:
    """Sum of |grad I|^2 over samples as the next one, a few at a time."""
    squares, dots = gradient_energies(loss, w, samples, mean)
    parts = squares.sum() + len(samples) * mean.square().sum()
    difference = parts - 2 * dots.sum()
    if difference > 1e-3 * parts:  # else it has too few digits left: chosen here
        return difference / (k + 1) ** 2
    step = max(1, int(loss.memory / 8 / (w.numel() * w.element_size())))  # chosen here
    total = w.new_zeros(())
    for i in range(0, len(samples), step):
        g = loss.sample_gradients(w, samples[i : i + step])
        total = total + g.sub_(mean).div_(k + 1).square_().sum()
    return total


def _curvature(B: Tensor) -> Tensor:
    """(2 |A|_F^2 + (tr A)^2)/4, summed over samples, from B = G'AG: pairs of directions only."""
    diagonal = B.diagonal(dim1=-2, dim2=-1)
    pairs = B.shape[-1] * (B.shape[-1] - 1)
    frobenius = (B.square().sum((-2, -1)) - diagonal.square().sum(-1)) / pairs
    trace_squared = (diagonal.sum(-1).square() - diagonal.square().sum(-1)) / pairs
    return ((2 * frobenius + trace_squared) / 4).sum()
