"""The stabilization criteria, as they are defined: by evaluating the loss.

Delta_p(k+1) = E_{w~q} |L_{k+1}(w) - L_k(w)|^p                                 KG26 Eqs. 1-4
  Delta_1       q = point mass at w_k*,                     p = 1      `delta1`
  Delta_2       q = N(w_k*, sigma^2 I_N),                   p = 2      `delta2`
  Delta_2^(D)   w = w_k* + U_D z,  z ~ N(0, sigma^2 I_D),   p = 2      `delta2_subspace`

The expectations are Monte Carlo averages over probe points, with standard errors. All k and both
losses share the probe points (common random numbers), so curves over k are smooth in k and the
difference L_{k+1} - L_k is never drowned by the noise of two separate averages.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from landscape_nb.numerics import checks
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.theory.increment import increment, running_increments


@dataclass(frozen=True, eq=False)
class Estimate:
    """A Monte Carlo average with its standard error.

    Attributes:
        value: () for one quantity, (K,) for a grid of k; the units are those of what is averaged.
        stderr: of the same shape: sample standard deviation / sqrt(num_samples). Squared
            increments have heavy tails: with few draws it is an optimistic guess.
        num_samples: S, the number of draws.
    """

    value: Tensor
    stderr: Tensor
    num_samples: int


def mean_and_standard_error(draws: Tensor, like: Tensor) -> Estimate:
    """Mean and standard error over the last dimension."""
    S = draws.shape[-1]
    return Estimate(draws.mean(-1).to(like), (draws.std(-1) / S**0.5).to(like), S)


def delta1(loss: EmpiricalLoss, w: Tensor, k: int | Iterable[int]) -> Tensor:
    """Delta_1(k+1) = |L_{k+1}(w) - L_k(w)| at the point w = w_k*.

    KG26 Eq. 2. Exact. At a fixed w it falls as 1/k, not as 1/k^2: only squares do.

    Args:
        loss: the empirical loss.
        w: (N,).
        k: one number of samples, 1..n-1, or an increasing grid of them.

    Returns:
        () for one k, (K,) for a grid, in units of loss.

    >>> from landscape_nb.problems.toys import Quadratics
    >>> zero = torch.zeros(3, 1, dtype=torch.float64)
    >>> toy = Quadratics(torch.tensor([1.0, 3.0, 8.0]).double(), zero, zero[:, :, None])
    >>> delta1(EmpiricalLoss(*toy.parts), zero[0], [1, 2]).tolist()   # means 1, 2, 4
    [1.0, 2.0]
    """
    grid, single = _grid(loss, k)
    values = loss.per_sample(w, grid[-1] + 1).double()
    I = running_increments(values, grid).abs().to(loss.w0)  # noqa: E741  the paper's symbol
    return I[0] if single else I


def delta2(
    loss: EmpiricalLoss,
    w: Tensor,
    ks: int | Iterable[int],
    sigma: float,
    num_samples: int,
    generator: torch.Generator,
    *,
    centred: bool = False,
    progress: bool = False,
) -> Estimate:
    """Delta_2(k+1) = E (L_{k+1}(w + d) - L_k(w + d))^2 with d ~ N(0, sigma^2 I_N).

    KG26 Eq. 3, by direct Monte Carlo in the full parameter space. Unbiased; the standard error is
    returned. Costs num_samples forward passes over the samples, for all k together.

    Args:
        loss: the empirical loss.
        w: (N,), centre of the probe, w_k*.
        ks: one number of samples, 1..n-1, or an increasing grid of them.
        sigma: standard deviation of the probe in every direction.
        num_samples: S >= 2, probe points.
        generator: source of the probe points; its state advances.
        centred: average (I - I(w))^2 instead, the part that the probe itself sees.
        progress: show a progress bar over probe points.

    Returns:
        `Estimate`, () for one k, (K,) for a grid, in loss^2.

    Raises:
        ValueError: an argument does not fit, or a loss is not finite at a probe point.

    >>> from landscape_nb.problems.toys import Quadratics
    >>> zero = torch.zeros(2, 1, dtype=torch.float64)
    >>> slopes = torch.tensor([[0.0], [2.0]]).double()           # I_1(w) = w: E I^2 = sigma^2
    >>> loss = EmpiricalLoss(*Quadratics(zero[:, 0], slopes, zero[:, :, None]).parts)
    >>> found = delta2(loss, loss.w0, 1, 0.1, 1000, torch.Generator().manual_seed(0))
    >>> bool(abs(found.value - 0.01) < 3 * found.stderr)
    True
    """
    w = checks.parameter_vector(w, loss.w0)
    return _direct(loss, w, ks, sigma, num_samples, generator, centred, progress, None)


def delta2_subspace(
    loss: EmpiricalLoss,
    w: Tensor,
    U: Tensor,
    ks: int | Iterable[int],
    sigma: float,
    num_samples: int,
    generator: torch.Generator,
    *,
    centred: bool = False,
    progress: bool = False,
) -> Estimate:
    """Delta_2^(D)(k+1) = E (L_{k+1}(w + U z) - L_k(w + U z))^2 with z ~ N(0, sigma^2 I_D).

    KG26 Eq. 4, by direct Monte Carlo: the curvature-aligned criterion when the columns of U are
    the top-D eigenvectors of H^(k)(w_k*); any orthonormal U is accepted. With D = N it is
    `delta2`. Arguments, error and cost as in `delta2`; U has shape (N, D).
    """
    w = checks.parameter_vector(w, loss.w0)
    U = checks.orthonormal_basis(U, loss.w0)
    return _direct(loss, w, ks, sigma, num_samples, generator, centred, progress, U)


def _direct(
    loss: EmpiricalLoss,
    w: Tensor,
    ks: int | Iterable[int],
    sigma: float,
    num_samples: int,
    generator: torch.Generator,
    centred: bool,
    progress: bool,
    U: Tensor | None,
) -> Estimate:
    grid, single = _grid(loss, ks)

    def increments_at(point: Tensor) -> Tensor:
        # float64: in float32 the differences lose a thousandth at sigma = 1e-4
        return running_increments(loss.per_sample(point, grid[-1] + 1).double(), grid)

    base = increments_at(w) if centred else 0.0
    squares = [
        (increments_at(point) - base).square()
        for point in _probe_points(w, U, sigma, num_samples, generator, progress)
    ]
    draws = torch.stack(squares, dim=-1)
    return mean_and_standard_error(draws[0] if single else draws, like=w)


def _probe_points(
    w: Tensor,
    U: Tensor | None,
    sigma: float,
    num_samples: int,
    generator: torch.Generator,
    progress: bool = False,
) -> Iterator[Tensor]:
    """Draws from N(w, sigma^2 I_N), or of w + U z with z ~ N(0, sigma^2 I_D)."""
    sigma = checks.positive("sigma", sigma, "standard deviation of the probe")
    S = checks.whole_number("num_samples", num_samples, 2, 2**40, "a standard error needs two")
    generator = checks.explicit_generator(generator)
    size = w.numel() if U is None else U.shape[1]
    for _ in tqdm(range(S), desc="probe", disable=not progress, leave=False):
        z = torch.randn(size, generator=generator, dtype=torch.float64, device=generator.device)
        z = (sigma * z).to(w)
        yield w + (z if U is None else U @ z)


def next_sample_average(
    loss: EmpiricalLoss,
    w: Tensor,
    k: int,
    sigma: float,
    num_samples: int,
    generator: torch.Generator,
    *,
    U: Tensor | None = None,
    centred: bool = False,
) -> Estimate:
    """Delta_2 or Delta_2^(D) averaged over every unseen sample as the next one.

    (1/(n-k)) sum_{i>k} E ((l_i - L_k)(w + d) / (k+1))^2

    One ordering of the data shows one next sample at each k, and its curve jumps with every easy
    or hard one. This average uses all of them. Costs num_samples passes over all n samples.

    Args:
        loss: the empirical loss.
        w: (N,), usually w_k*.
        k: number of samples in L_k, 1..n-1.
        sigma: standard deviation of the probe.
        num_samples: S >= 2, probe points.
        generator: source of the probe points.
        U: (N, D) for the subspace criterion, None for the full space.
        centred: average (I - I(w))^2 instead.

    Returns:
        `Estimate` with value (), in loss^2; stderr over probe points (candidates are fixed).
    """
    w = checks.parameter_vector(w, loss.w0)
    k = checks.whole_number("k", k, 1, loss.num_samples - 1, "there must be a next sample")
    if U is not None:
        U = checks.orthonormal_basis(U, loss.w0)

    def increments_at(point: Tensor) -> Tensor:
        values = loss.per_sample(point).double()
        return increment(values[k:], values[:k].mean(), k)

    base = increments_at(w) if centred else 0.0
    draws = [
        (increments_at(point) - base).square().mean()
        for point in _probe_points(w, U, sigma, num_samples, generator)
    ]
    return mean_and_standard_error(torch.stack(draws), like=w)


def _grid(loss: EmpiricalLoss, ks: int | Iterable[int]) -> tuple[list[int], bool]:
    if loss.num_samples < 2:
        raise ValueError("An increment needs at least two samples; the loss holds one.")
    single = not isinstance(ks, Iterable) or (isinstance(ks, Tensor) and ks.ndim == 0)
    grid = checks.prefix_lengths(ks, loss.num_samples - 1, high_means="there must be a next sample")
    return grid, single
