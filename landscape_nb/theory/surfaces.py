"""Loss surfaces over a plane through w, for every number of samples at once.

L_k(w + x u_1 + y u_2)  and the increment  L_{k+1} - L_k  there                    N25 sec. 5.1

Every point of the plane costs one pass over the samples; running means of their losses then give
all k together, so that a whole grid of k costs no more than its largest.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from landscape_nb.numerics import checks
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.progress import progress_bar
from landscape_nb.theory.increment import running_increments


@dataclass(frozen=True, eq=False)
class Surfaces:
    """Losses over a plane.

    Attributes:
        ks: (K,), numbers of samples.
        x: (X,), steps along the first direction.
        y: (Y,), steps along the second.
        values: (K, Y, X), L_k at w + x u_1 + y u_2, with the L2 term; rows are y, as pictures
            are drawn.
        increments: (K, Y, X), L_{k+1} - L_k; the L2 term cancels.
    """

    ks: Tensor
    x: Tensor
    y: Tensor
    values: Tensor
    increments: Tensor


def loss_surfaces(
    loss: EmpiricalLoss,
    w: Tensor,
    U: Tensor,
    ks: Iterable[int],
    x: Tensor,
    y: Tensor | None = None,
    *,
    progress: bool = False,
) -> Surfaces:
    """L_k and the increment on a grid of points of the plane w + x u_1 + y u_2, for all ks.

    Args:
        loss: the empirical loss.
        w: (N,), the centre, usually w_k*.
        U: (N, 2), orthonormal columns: the top-2 eigenvectors, or `random_subspace`.
        ks: increasing numbers of samples, each 1..n-1.
        x: (X,), steps along the first column.
        y: (Y,), steps along the second; as x if not given.
        progress: show a progress bar.

    Returns:
        `Surfaces`. Exact. Costs X Y passes over the first max(ks) + 1 samples.

    Raises:
        ValueError: an argument does not fit, or the loss is not finite somewhere on the plane.

    >>> from landscape_nb.problems.toys import quadratics
    >>> toy = quadratics(3, 2, eigenvalues=[2.0, 1.0])
    >>> loss, steps = EmpiricalLoss(*toy.parts), torch.tensor([-1.0, 0.0, 1.0])
    >>> found = loss_surfaces(loss, loss.w0, torch.eye(2).double(), [1, 2], steps)
    >>> tuple(found.values.shape)
    (2, 3, 3)
    """
    w, U = checks.parameter_vector(w, loss.w0), checks.orthonormal_basis(U, loss.w0)
    if U.shape[1] != 2:
        raise ValueError(f"U must span a plane, shape (N, 2); got {tuple(U.shape)}.")
    grid = checks.prefix_lengths(ks, loss.num_samples - 1, high_means="there must be a next sample")
    x = _steps("x", x, w)
    y = x if y is None else _steps("y", y, w)
    k = torch.tensor(grid, device=w.device)
    values, increments = [], []
    points = [(a, b) for b in y for a in x]
    for a, b in progress_bar(
        points, desc="computing the surface", unit=" points", disable=not progress
    ):
        point = w + a * U[:, 0] + b * U[:, 1]
        losses = loss.per_sample(point, grid[-1] + 1)
        values.append(losses.cumsum(0)[k - 1] / k + loss.l2 / 2 * point.square().sum())
        increments.append(running_increments(losses, grid))
    shape = (len(y), len(x), len(grid))
    as_surfaces = (torch.stack(part).view(shape).movedim(2, 0) for part in (values, increments))
    return Surfaces(k, x, y, *as_surfaces)


def _steps(name: str, steps: Tensor, like: Tensor) -> Tensor:
    if not isinstance(steps, Tensor) or steps.ndim != 1 or not len(steps):
        raise ValueError(
            f"{name} must hold the steps along one direction, (m,); got {checks.shown(steps)}."
        )
    return steps.detach().to(like)
