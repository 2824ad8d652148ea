"""The stabilization criteria, as they are defined: by evaluating the loss.

Delta_p(k+1) = E_{w~q} |L_{k+1}(w) - L_k(w)|^p                                 KG26 Eqs. 1-4
  Delta_1       q = point mass at w_k*,                     p = 1      `delta1`
  Delta_2       q = N(w_k*, sigma^2 I_N),                   p = 2      `delta2`
  Delta_2^(D)   w = w_k* + U_D z,  z ~ N(0, sigma^2 I_D),   p = 2      `delta2_subspace`

The expectations are Monte Carlo averages over probe points, with standard errors. All k and both
losses share the probe points (common random numbers), so curves over k are smooth in k and the
difference L_{k+1} - L_k is never drowned by the noise of two separate averages.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from landscape_nb.numerics import checks
from landscape_nb.numerics.devices import normal, on_cpu
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.operators import SymmetricOperator
from landscape_nb.numerics.progress import progress_bar
from landscape_nb.theory.increment import increment, running_increments


@dataclass(frozen=True, eq=False)
class Estimate:
    """A Monte Carlo average with its standard error.

    Attributes:
        value: () for one quantity, (K,) for a grid of k; the units are those of what is averaged.
        stderr: of the same shape: sample standard deviation / sqrt(num_draws). Squared
            increments have heavy tails: with few draws it is an optimistic guess.
        num_draws: S, the number of draws.
    """

    value: Tensor
    stderr: Tensor
    num_draws: int

    @property
    def num_samples(self) -> int:
        """The name of num_draws in earlier versions."""
        return self.num_draws


def mean_and_standard_error(draws: Tensor, like: Tensor | SymmetricOperator) -> Estimate:
    """Mean and standard error over the last dimension, in the dtype and on the device of like.

    Raises:
        ValueError: they overflow.
    """
    S = draws.shape[-1]
    mean, stderr = draws.mean(-1), draws.std(-1) / S**0.5
    mean, stderr = (
        checks.finite_result(
            f"{what} of {S} draws",
            part.to(like.device, like.dtype),
            f"The largest draw is {float(draws.abs().max()):.1e}. Lower sigma, or multiply the "
            "loss by a small number.",
        )
        for what, part in (("The mean", mean), ("The standard error", stderr))
    )
    return Estimate(mean, stderr, S)


def delta1(loss: EmpiricalLoss, w: Tensor, k: int | Iterable[int]) -> Tensor:
    """Delta_1(k+1) = |L_{k+1}(w) - L_k(w)| at the point w = w_k*.

    KG26 Eq. 2. Exact. At a fixed w it falls as 1/k, its square as 1/k^2; KG26 too finds it slower
    than the squared criteria (Fig. 2, whose published code averages 50 directions at distance
    0.02).

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
    values = on_cpu(loss.per_sample(w, grid[-1] + 1))
    I = running_increments(values, grid).abs().to(loss.w0)
    return I[0] if single else I


@checks.renamed(num_samples="num_draws")
def delta2(
    loss: EmpiricalLoss,
    w: Tensor,
    ks: int | Iterable[int],
    sigma: float,
    num_draws: int,
    generator: torch.Generator,
    *,
    centred: bool = False,
    progress: bool = False,
) -> Estimate:
    """Delta_2(k+1) = E (L_{k+1}(w + d) - L_k(w + d))^2 with d ~ N(0, sigma^2 I_N).

    KG26 Eq. 3, by direct Monte Carlo in the full parameter space. Unbiased; the standard error is
    returned. Costs num_draws forward passes over the samples, for all k together.

    Args:
        loss: the empirical loss.
        w: (N,), centre of the probe, w_k*.
        ks: one number of samples, 1..n-1, or an increasing grid of them.
        sigma: standard deviation of the probe in every direction.
        num_draws: S >= 2, probe points.
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
    return _along_ks(loss, w, ks, _Probe(sigma, num_draws, generator), centred, progress)


@checks.renamed(num_samples="num_draws")
def delta2_subspace(
    loss: EmpiricalLoss,
    w: Tensor,
    U: Tensor,
    ks: int | Iterable[int],
    sigma: float,
    num_draws: int,
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
    return _along_ks(loss, w, ks, _Probe(sigma, num_draws, generator, U), centred, progress)


@checks.renamed(num_samples="num_draws")
def next_sample_average(
    loss: EmpiricalLoss,
    w: Tensor,
    k: int,
    sigma: float,
    num_draws: int,
    generator: torch.Generator,
    *,
    U: Tensor | None = None,
    centred: bool = False,
) -> Estimate:
    """Delta_2 or Delta_2^(D) averaged over every unseen sample as the next one.

    (1/(n-k)) sum_{i>k} E ((l_i - L_k)(w + d) / (k+1))^2

    One ordering of the data shows one next sample at each k, and its curve jumps with every easy
    or hard one. This average uses all of them. Costs num_draws passes over all n samples.

    Args:
        loss: the empirical loss.
        w: (N,), usually w_k*.
        k: number of samples in L_k, 1..n-1.
        sigma: standard deviation of the probe.
        num_draws: S >= 2, probe points.
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

    def increments(point: Tensor) -> Tensor:
        values = on_cpu(loss.per_sample(point))
        return increment(values[k:], values[:k].mean(), k)

    return _average(increments, w, _Probe(sigma, num_draws, generator, U), centred)


@dataclass(frozen=True, eq=False)
class _Probe:
    """The law q of the probe points: N(w, sigma^2 I_N), or w + U z with z ~ N(0, sigma^2 I_D)."""

    sigma: float
    num_draws: int
    generator: torch.Generator
    U: Tensor | None = None

    def points(self, w: Tensor, progress: bool = False) -> Iterator[Tensor]:
        """As many draws as asked for."""
        sigma = checks.positive("sigma", self.sigma, "standard deviation of the probe")
        S = checks.whole_number("num_draws", self.num_draws, 2, None, "a standard error needs two")
        g = checks.explicit_generator(self.generator)
        size = w.numel() if self.U is None else self.U.shape[1]
        for _ in progress_bar(range(S), desc="probing", unit=" points", disable=not progress):
            z = (sigma * normal(size, generator=g)).to(w)
            yield w + (z if self.U is None else self.U @ z)


def _average(
    increments: Callable[[Tensor], Tensor],
    w: Tensor,
    probe: _Probe,
    centred: bool,
    progress: bool = False,
) -> Estimate:
    """E of the squared increments, (..., m) at a point, averaged over the last dimension too."""
    base = increments(w) if centred else 0.0
    draws = [(increments(point) - base).square().mean(-1) for point in probe.points(w, progress)]
    return mean_and_standard_error(torch.stack(draws, dim=-1), like=w)


def _along_ks(
    loss: EmpiricalLoss,
    w: Tensor,
    ks: int | Iterable[int],
    probe: _Probe,
    centred: bool,
    progress: bool,
) -> Estimate:
    grid, single = _grid(loss, ks)

    def increments(point: Tensor) -> Tensor:
        # float64: in float32 the differences lose a thousandth at sigma = 1e-4
        found = running_increments(on_cpu(loss.per_sample(point, grid[-1] + 1)), grid)
        return found if single else found[:, None]

    return _average(increments, w, probe, centred, progress)


def _grid(loss: EmpiricalLoss, ks: int | Iterable[int]) -> tuple[list[int], bool]:
    if loss.num_samples < 2:
        raise ValueError("An increment needs at least two samples; the loss holds one.")
    single = not isinstance(ks, Iterable) or (isinstance(ks, Tensor) and ks.ndim == 0)
    grid = checks.prefix_lengths(ks, loss.num_samples - 1, high_means="there must be a next sample")
    return grid, single
