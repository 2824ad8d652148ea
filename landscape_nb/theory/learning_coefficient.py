"""The local learning coefficient: how many directions count, also where a minimum is degenerate.

Near w* the volume of {w : L(w) - L(w*) < e} shrinks as e^lambda. At a regular minimum of N
parameters lambda = N/2; where directions are flat, or products of parameters meet at zero, it is
smaller: 2 lambda is an effective dimension that needs no Hessian. Watanabe (2013, WBIC) reads it
off a tempered posterior at the inverse temperature 1/log n; Lau et al. (2023, arXiv 2308.12108)
hold that posterior near one w* by a Gaussian.

At a quadratic minimum the estimate is a soft count of eigenvalues (`soft_count`): what the sampler
adds is what the quadratic does not know.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from landscape_nb.numerics import checks
from landscape_nb.numerics.devices import normal, on_cpu, widest
from landscape_nb.numerics.loss import EmpiricalLoss

Target = Callable[[Tensor], tuple[float, Tensor, float]]
# Best acceptance of Metropolis-adjusted Langevin steps (Roberts and Rosenthal 1998).
_WANTED = 0.574


@dataclass(frozen=True)
class LearningCoefficient:
    """An estimate of the local learning coefficient by sampling.

    Attributes:
        value: lambda-hat; twice it is an effective dimension.
        stderr: standard error by the scatter of independent chains.
        drift: second half of the draws minus first half; if it is no smaller than a few stderr,
            the chains have not settled: raise burn_in.
        acceptance: share of accepted steps after burn-in, about 0.57 if the step fits.
        chains, draws: how many, and kept draws in each.
        lowest: smallest n beta (L - L(w*)) that was met: clearly below zero, w* is no minimum.
    """

    value: float
    stderr: float
    drift: float
    acceptance: float
    chains: int
    draws: int
    lowest: float


def local_learning_coefficient(
    loss: EmpiricalLoss,
    w: Tensor,
    k: int,
    generator: torch.Generator,
    *,
    localization: float = 1.0,
    n_beta: float | None = None,
    draws: int = 1000,
    burn_in: int = 1000,
    chains: int = 4,
) -> LearningCoefficient:
    """lambda-hat = n beta (E L_k(v) - L_k(w)),  v ~ exp(-n beta L_k(v) - (gamma/2) |v - w|^2).

    Lau et al. 2023 (arXiv 2308.12108), with n = k, beta = 1/log k (Watanabe 2013). They sample by
    stochastic-gradient Langevin steps, whose stationary law depends on the step; here every step
    uses all k samples and is accepted or refused (Metropolis-adjusted Langevin), so that the law is
    the stated one. The step is tuned in the burn-in only. Biased by what has not been forgotten
    of the start w (`drift`), by the localisation gamma, and by finite n.

    Args:
        loss: the empirical loss, as it is; of an l2 > 0 the term is part of L_k.
        w: (N,), the point w*; best a minimum.
        k: number of samples, at least 3.
        generator: source of the steps.
        localization: gamma, 1 / variance of the Gaussian around w in every direction (1: chosen
            here; the answer depends on it, so vary it).
        n_beta: inverse temperature times n; k / log k if not given.
        draws: kept draws of each chain (1000: chosen here).
        burn_in: steps of each chain that are left out (1000: chosen here).
        chains: independent chains, all from w; at least 2, for the standard error.

    Returns:
        `LearningCoefficient`, dimensionless. Costs chains (burn_in + draws) gradients over k.

    Raises:
        ValueError: an argument does not fit, or no step was accepted.

    >>> from landscape_nb.problems.toys import quadratics
    >>> loss = EmpiricalLoss(*quadratics(8, 4, spread=0.0, shift=0.0).parts)
    >>> g = torch.Generator().manual_seed(0)
    >>> found = local_learning_coefficient(loss, loss.w0, 8, g, n_beta=1e4, draws=2000)
    >>> abs(found.value - 4 / 2) < 0.25
    True
    """
    w = checks.parameter_vector(w, loss.w0)
    k = checks.whole_number("k", k, 3, loss.num_samples, "log k must be above 1")
    gamma = checks.positive("localization", localization, "1 / variance around w")
    n_beta = checks.positive("n_beta", k / math.log(k) if n_beta is None else n_beta, "n beta")
    draws = checks.whole_number("draws", draws, 2, None, "kept draws of each chain")
    burn_in = checks.whole_number("burn_in", burn_in, 1, None, "steps that are left out")
    chains = checks.whole_number("chains", chains, 2, None, "a standard error needs two")
    g = checks.explicit_generator(generator)
    base = float(loss.value(w, k))

    def target(v: Tensor) -> tuple[float, Tensor, float]:
        value, gradient = loss.value_and_gradient(v, k)
        energy, away = n_beta * (float(value) - base), v - w
        density = -energy - gamma / 2 * float(away @ away)
        return density, -n_beta * gradient - gamma * away, energy

    start = (gamma + n_beta) ** -0.5 * len(w) ** (-1 / 6)
    runs = [_chain(target, w, start, burn_in, draws, g) for _ in range(chains)]
    energies = torch.tensor([run[0] for run in runs], dtype=torch.float64)
    return _summary(energies, sum(run[1] for run in runs) / chains)


def soft_count(eigenvalues: Tensor, scale: float) -> float:
    """Eigenvalues that are large beside a scale, each counted by how much: sum e / (e + scale).

    2 lambda-hat at a quadratic minimum, exactly, with scale = gamma / (n beta); MacKay's (1992)
    number of well-determined parameters. Negative eigenvalues count as zero.

    >>> soft_count(torch.tensor([3.0, 1.0, 0.0]), 1.0)
    1.25
    """
    scale = checks.positive("scale", scale, "curvature at which a direction counts one half")
    e = on_cpu(torch.as_tensor(eigenvalues)).clamp(min=0)
    return float((e / (e + scale)).sum())


def _chain(
    target: Target, w: Tensor, step: float, burn_in: int, draws: int, g: torch.Generator
) -> tuple[list[float], float]:
    """Energies of the kept draws of one chain, and its share of accepted steps."""
    v, (density, slope, energy) = w, target(w)
    kept, accepted = [], 0
    for t in range(burn_in + draws):
        noise = normal(len(w), generator=g).to(w)
        there = v + step**2 / 2 * slope + step * noise
        proposal = _at(target, there)
        back = (v - there - step**2 / 2 * proposal[1]) / step
        log_ratio = proposal[0] - density - (float(back @ back) - float(noise @ noise)) / 2
        chance = math.exp(min(log_ratio, 0.0)) if math.isfinite(log_ratio) else 0.0
        if float(torch.rand((), generator=g, dtype=widest(g.device), device=g.device)) < chance:
            v, (density, slope, energy) = there, proposal
            accepted += t >= burn_in
        if t < burn_in:  # Robbins-Monro on the logarithm of the step; fixed afterwards
            step *= math.exp((chance - _WANTED) * (t + 1) ** -0.6)
        else:
            kept.append(energy)
    return kept, accepted / draws


def _at(target: Target, v: Tensor) -> tuple[float, Tensor, float]:
    """The target; a point at which the loss is not finite has density zero."""
    try:
        return target(v)
    except ValueError:
        return -math.inf, torch.zeros_like(v), math.inf


def _summary(energies: Tensor, acceptance: float) -> LearningCoefficient:
    """Mean over chains and draws, (chains, draws), with its standard error."""
    chains, draws = energies.shape
    if acceptance == 0:
        raise ValueError(
            "No step of the sampler was accepted after the burn-in. Raise burn_in, which tunes the "
            "step, or raise localization, which keeps the draws where the loss is finite."
        )
    means, half = energies.mean(1), draws // 2
    return LearningCoefficient(
        value=float(means.mean()),
        stderr=float(means.std() / chains**0.5),
        drift=float(energies[:, half:].mean() - energies[:, :half].mean()),
        acceptance=acceptance,
        chains=chains,
        draws=draws,
        lowest=float(energies.min()),
    )
