"""The whole spectrum at a glance: its trace and its density, from products alone.

Random vectors sample a spectrum: E v'f(H)v = tr f(H) for components of mean 0 and variance 1.
With f(x) = x this is Hutchinson's trace; with f a narrow window it is the density of eigenvalues,
which stochastic Lanczos quadrature reads for every window at once. That spectra of networks have a
bulk near zero and outliers away from it is a finding of Sagun and coauthors (arXiv 1611.07476;
S17's abstract); whole spectra of large networks came with Papyan (arXiv 1811.07062) and with
Ghorbani, Krishnan and Xiao (arXiv 1901.10159).
What the outliers are made of: `theory.class_structure`.

H is any symmetric operator: `loss.hessian_operator(w, k)`, a `GaussNewtonOperator`, or a symmetric
matrix (N, N).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from landscape_nb.numerics import checks
from landscape_nb.numerics.devices import factorised, on_cpu, widened
from landscape_nb.numerics.eigensolver import Eigenpairs
from landscape_nb.numerics.krylov import lanczos_quadrature
from landscape_nb.numerics.operators import SymmetricOperator, takes_operator
from landscape_nb.theory.criteria import Estimate, mean_and_standard_error


@takes_operator
def hutchinson_trace(H: SymmetricOperator, num_probes: int, generator: torch.Generator) -> Estimate:
    """The trace of H from random signs.

    tr H = E v'H v,  v_i = +-1 with equal chance                                   Hutchinson 1989

    Unbiased; the variance of one draw is 2 sum_{i != j} H_ij^2, so a diagonal H is exact. Costs
    one product for each probe.

    Args:
        H: symmetric operator, or a symmetric matrix (N, N).
        num_probes: at least 2, for a standard error.
        generator: source of the signs.

    Returns:
        `Estimate` with value (), in the units of H.

    >>> H = torch.diag(torch.tensor([3.0, 2.0, -5.0], dtype=torch.float64))
    >>> trace = hutchinson_trace(H, 4, torch.Generator().manual_seed(0))
    >>> trace.value.item(), trace.stderr.item()
    (0.0, 0.0)
    """
    m = checks.whole_number("num_probes", num_probes, 2, None, "a standard error needs two")
    draws = _quadratic_forms(H, m, checks.explicit_generator(generator))
    return mean_and_standard_error(draws, like=H)


@takes_operator
def hutchpp_trace(H: SymmetricOperator, num_products: int, generator: torch.Generator) -> Estimate:
    """The trace of H: exact in a sketch of its range, from random signs outside.

    tr H = tr Q'HQ + tr (1 - QQ')H(1 - QQ'),  Q = basis of H S for random signs S, (N, m/3)

    Meyer, Musco, Musco and Woodruff 2021 (Hutch++). A third of the products makes the sketch, a
    third is spent inside and a third outside. Unbiased. Where few large eigenvalues carry the
    trace its error falls like 1/m instead of 1/sqrt(m); for a flat spectrum plain Hutchinson,
    with three times the probes, is better.

    Args:
        H: symmetric operator, or a symmetric matrix (N, N).
        num_products: m >= 6 in all, fewer than 3 N; used in threes.
        generator: source of the signs.

    Returns:
        `Estimate` with value (), in the units of H; stderr is that of the part outside, given the
        sketch; num_draws counts the probes outside.

    >>> u = torch.ones(30, 1, dtype=torch.float64)      # rank one: the sketch is the range
    >>> trace = hutchpp_trace(u @ u.T, 6, torch.Generator().manual_seed(0))
    >>> round(trace.value.item(), 9), trace.stderr.item() < 1e-9
    (30.0, True)
    """
    N = H.shape[0]
    m = checks.whole_number("num_products", num_products, 6, None, "two for each of three parts")
    generator = checks.explicit_generator(generator)
    if m // 3 >= N:
        raise ValueError(
            f"num_products = {m} is enough for the exact trace: take the sum of the diagonal from "
            f"H of the {N} unit vectors, or fewer than 3 N = {3 * N} products."
        )
    Q = factorised(torch.linalg.qr, _product(H, random_signs(H, m // 3, generator))).Q
    inside = (Q * _product(H, Q)).sum()
    rest = mean_and_standard_error(_quadratic_forms(H, m // 3, generator, Q), like=H)
    return Estimate(inside + rest.value, rest.stderr, rest.num_draws)


@dataclass(frozen=True, eq=False)
class SpectralDensity:
    """A spectrum as seen by a few random vectors: weighted nodes, one row for each vector.

    Attributes:
        nodes: (P, m), in the units of H; where a Krylov space ended early, padded by its last
            node with weight 0.
        weights: (P, m), shares of the N eigenvalues; each row, with those known, sums to 1.
        known: (D,), eigenvalues taken exactly, each with the share 1/N.
        num_params: N.
    """

    nodes: Tensor
    weights: Tensor
    known: Tensor
    num_params: int

    def smooth(self, grid: Tensor, width: float) -> Tensor:
        """Density on the grid, (g,), each node widened to a Gaussian of standard deviation width.

        Its integral is 1. What it shows is the spectrum at the resolution of `width`.
        """
        width = checks.positive("width", width, "standard deviation of the smoothing Gaussian")
        grid = torch.as_tensor(grid, dtype=torch.float64)
        nodes = torch.cat([self.nodes.flatten(), self.known])
        weights = torch.cat([
            self.weights.flatten() / len(self.nodes),
            torch.full_like(self.known, 1 / self.num_params),
        ])  # fmt: skip
        z = (grid[:, None] - nodes) / width
        return torch.exp(-z.square() / 2) @ weights / (width * (2 * torch.pi) ** 0.5)

    def fraction(self, low: float, high: float) -> Estimate:
        """Share of the eigenvalues in low <= lambda < high, with its standard error.

        Where the quadrature cannot resolve the ends of the interval (fewer steps than distinct
        eigenvalues near them) it is biased as well; more steps show by how much.
        """
        if not low < high:
            raise ValueError(f"low must be below high; got low = {low}, high = {high}.")
        inside = (self.nodes >= low) & (self.nodes < high)
        exact = ((self.known >= low) & (self.known < high)).double().sum() / self.num_params
        return self._average((self.weights * inside).sum(1) + exact)

    def moment(self, p: int) -> Estimate:
        """Mean p-th power of the eigenvalues, tr H^p / N; unbiased for p < 2 m."""
        p = checks.whole_number("p", p, 0, None, "power of H")
        exact = (self.known**p).sum() / self.num_params
        return self._average((self.weights * self.nodes**p).sum(1) + exact)

    def _average(self, draws: Tensor) -> Estimate:
        return mean_and_standard_error(draws, self.nodes)


@takes_operator
def spectral_density(
    H: SymmetricOperator,
    num_probes: int,
    generator: torch.Generator,
    *,
    steps: int = 60,
    known: Eigenpairs | None = None,
) -> SpectralDensity:
    """The density of eigenvalues by stochastic Lanczos quadrature.

    (1/N) tr f(H) = E x'f(H)x,  x uniform on the unit sphere                     Ubaru et al. 2017

    Each probe's x'f(H)x is a Gauss quadrature with `steps` nodes from as many Lanczos steps, fully
    re-orthogonalised: without, the largest eigenvalues appear several times. The error falls as
    1/sqrt(num_probes N) for smooth f; narrow windows see only what `steps` nodes resolve.

    Args:
        H: symmetric operator, or a symmetric matrix (N, N).
        num_probes: at least 2, for standard errors.
        generator: source of the probes.
        steps: Lanczos steps for each probe (60: chosen here), N at most.
        known: eigenpairs found before (`top_eigenpairs`): they enter exactly, and the probes see
            only what is orthogonal to them, so that outliers are sharp and the bulk gets all steps.

    Returns:
        `SpectralDensity`. Costs num_probes * steps products.

    >>> H = torch.diag(torch.tensor([0.0, 0.0, 0.0, 4.0], dtype=torch.float64))
    >>> density = spectral_density(H, 200, torch.Generator().manual_seed(0))
    >>> share = density.fraction(3, 5)
    >>> bool((share.value - 0.25).abs() < 4 * share.stderr)
    True
    """
    N = H.shape[0]
    P = checks.whole_number("num_probes", num_probes, 2, None, "a standard error needs two")
    steps = checks.whole_number("steps", steps, 1, None, "Lanczos steps for each probe")
    generator = checks.explicit_generator(generator)
    U, values = None, H.new_vector()[:0]
    if known is not None:
        U, values = checks.orthonormal_basis(known.vectors, H, "known.vectors"), known.values
        if values.shape != U.shape[1:]:
            raise ValueError(
                f"known holds {U.shape[1]} vectors but values of shape {tuple(values.shape)}."
            )
    unknown = N - len(values)
    m, longest = min(steps, unknown), 0
    nodes, weights = torch.zeros(2, P, m, dtype=torch.float64)
    for row in range(P if m else 0):
        x = H.random_vector(generator).to(H.dtype)
        t, shares = lanczos_quadrature(H, x, m, U)
        nodes[row, : len(t)], nodes[row, len(t) :] = t, t[-1]
        weights[row, : len(t)] = shares * unknown / N
        longest = max(longest, len(t))
    return SpectralDensity(nodes[:, :longest], weights[:, :longest], on_cpu(values), N)


BLOCK = 2**25  # numbers in one block of probes: chosen here


def _quadratic_forms(
    H: SymmetricOperator, num_probes: int, generator: torch.Generator, Q: Tensor | None = None
) -> Tensor:
    """Forms v'Hv for random signs v, made orthogonal to Q if given; a block of probes at a time."""
    block = max(1, BLOCK // H.shape[0])
    draws = []
    for start in range(0, num_probes, block):
        V = random_signs(H, min(block, num_probes - start), generator)
        V = V if Q is None else V - Q @ (Q.T @ V)
        draws.append((widened(V) * widened(_product(H, V))).sum(0))
    return torch.cat(draws)


def _product(H: SymmetricOperator, V: Tensor) -> Tensor:
    """H V, refused if it is not what an operator gives."""
    HV = H.multiply(V)
    if HV.shape != V.shape or not torch.isfinite(HV).all():
        raise ValueError(
            f"H must map (N, b) to finite (N, b); {tuple(V.shape)} gave {tuple(HV.shape)}"
            f"{'' if torch.isfinite(HV).all() else ' with NaN or infinity'}."
        )
    return HV


def random_signs(H: SymmetricOperator, columns: int, generator: torch.Generator) -> Tensor:
    """Columns of +-1 with equal chance, (N, columns)."""
    bits = torch.randint(2, (H.shape[0], columns), generator=generator, device=generator.device)
    return (2 * bits - 1).to(H.device, H.dtype)
