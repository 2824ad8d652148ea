"""The algebraically largest eigenpairs of a symmetric operator, certified.

Rayleigh-Ritz on a Krylov basis (`numerics.krylov`), for operators known only through products.
Two certificates come with the pairs:
* residuals |H u - lambda u|: each value lies within its residual of a true eigenvalue;
* completeness: no Krylov space from one start sees the second copy of a repeated eigenvalue, so
  after convergence the search goes on from a fresh random direction orthogonal to everything
  seen. Pairs are returned only when that search finds nothing larger. This is evidence, not proof:
  where repeated eigenvalues lie close to a dense spectrum a copy can still be missed. (None was in
  40 tries with five- and ten-fold eigenvalues a few percent apart.)
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from landscape_nb.numerics import checks
from landscape_nb.numerics.krylov import KrylovBasis
from landscape_nb.numerics.operators import SymmetricOperator, takes_operator

Bound = Callable[[Tensor], float]  # Ritz values, descending -> largest residual allowed


@dataclass(frozen=True, eq=False)
class Eigenpairs:
    """Eigenpairs with what is needed to trust them.

    Attributes:
        values: (D,), eigenvalues; descending for the top, ascending for the bottom.
        vectors: (N, D), orthonormal columns; each is fixed only up to its sign.
        residuals: (D,), |H u - lambda u|, in the units of the eigenvalues; never below one
            rounding of the largest.
        gap: distance from the last value to the best estimate of the next one, which may be too
            large where copies of a repeated eigenvalue exist; infinite when D = N. Around or
            below the residuals, the last columns are not determined by H.
        hvp_count: Hessian-vector products spent.
    """

    values: Tensor
    vectors: Tensor
    residuals: Tensor
    gap: float
    hvp_count: int


class ConvergenceError(RuntimeError):
    """The eigensolver refuses to return doubtful pairs; `pairs` holds them for inspection."""

    def __init__(self, message: str, pairs: Eigenpairs) -> None:
        super().__init__(message)
        self.pairs = pairs
        self.residuals = pairs.residuals

    def __reduce__(self) -> tuple[Any, ...]:
        """Travels between processes whole: with its pairs, and with notes that were added."""
        return type(self), (*self.args, self.pairs), self.__dict__


@dataclass(frozen=True, eq=False)
class Search:
    """How to look for eigenpairs, and when to give up.

    Attributes:
        tol: largest residual, relative to a scale (1e-4: chosen here).
        relative_to: that scale: "wanted", the largest magnitude among the wanted values, or
            "spectrum", the largest magnitude seen anywhere (for a cluster near zero). Never
            below ten roundings of the largest magnitude seen.
        start: (N, d), a guess of the eigenspace (a warm start: the columns are summed), or None
            for one random vector.
        generator: source of randomness; None means a fresh one seeded with 0.
        max_products: give up after so many products; None means 40 D + 400 (chosen here).
        max_basis: basis vectors held at most; None means max(2 D + 30, 60) (chosen here). At least
            D + 45, room for the search. Memory is N max_basis numbers in the operator's dtype.
        progress: show a progress bar with the worst residual.
    """

    tol: float = 1e-4
    relative_to: str = "wanted"
    start: Tensor | None = None
    generator: torch.Generator | None = None
    max_products: int | None = None
    max_basis: int | None = None
    progress: bool = False

    def checked(self, H: SymmetricOperator, D: int) -> "Search":
        """The same with defaults filled in for D pairs of H.

        Raises:
            ValueError: a setting does not fit.
        """
        N, start, products = H.shape[0], self.start, self.max_products
        tol = checks.positive("tol", self.tol, "largest residual relative to the largest value")
        if start is not None:
            start = checks.directions(start, H, "start").reshape(N, -1)
            if not torch.isfinite(start).all():
                raise ValueError(
                    "start must be finite; it holds NaN or infinity. Leave start out for a cold "
                    "start."
                )
        generator = torch.Generator().manual_seed(0) if self.generator is None else self.generator
        if products is not None:
            checks.whole_number("max_products", products, D, None, "at least one for each pair")
        basis = max(2 * D + 30, 60) if self.max_basis is None else self.max_basis
        return dataclasses.replace(
            self,
            tol=tol,
            start=start,
            generator=checks.explicit_generator(generator),
            max_products=40 * D + 400 if products is None else products,
            max_basis=min(N, max(basis, D + 5 + LONGEST_SEARCH)),
        )


@takes_operator
def largest_eigenpairs(
    H: SymmetricOperator, D: int, search: Search | None = None, **settings: Any
) -> Eigenpairs:
    """The D algebraically largest eigenpairs of a symmetric operator.

    Args:
        H: the operator, or a symmetric matrix.
        D: number of pairs, 1..N.
        search: how to look for them.
        settings: fields of `Search` by name, in place of search's.

    Returns:
        `Eigenpairs`, in the operator's dtype. Error: residuals at most tol times the scale.

    Raises:
        ConvergenceError: the residuals are still too large after max_products.
        ValueError: an argument does not fit, or a product is not finite.

    >>> A = torch.diag(torch.tensor([3.0, -5.0, 1.0])).double()
    >>> largest_eigenpairs(A, 2).values.round(decimals=9).tolist()
    [3.0, 1.0]
    """
    N = H.shape[0]
    D = checks.whole_number("D", D, 1, N, f"N = {N} is the number of trainable parameters; lower D")
    search = dataclasses.replace(search or Search(), **settings).checked(H, D)
    generator, max_products = search.generator, search.max_products
    assert generator is not None and max_products is not None and search.max_basis is not None
    basis = KrylovBasis(H, search.max_basis)

    def start_at_random() -> None:
        x = torch.randn(N, dtype=torch.float64, generator=generator, device=generator.device)
        if not basis.start(x.to(H.device)):
            raise RuntimeError("no direction is left to start from: Q and F span the whole space.")

    if search.start is not None:
        # Their sum, not the vectors themselves: one product instead of d, and a Krylov space from
        # a vector inside the wanted subspace reaches all of it.
        basis.start(search.start.double().sum(1))

    seen = 0.0  # largest magnitude so far: a restart drops the other end of the spectrum

    def bound(theta: Tensor) -> float:
        nonlocal seen
        seen = max(seen, float(theta.abs().max()))
        scale = seen if search.relative_to == "spectrum" else float(theta[:D].abs().max())
        # below ten roundings of the largest value there is nothing left to resolve
        return max(search.tol * scale, 10 * torch.finfo(H.dtype).eps * seen)

    complete = False
    with tqdm(desc="eigenpairs", unit=" products", disable=not search.progress, leave=False) as bar:
        while True:
            bar.update(basis.products - bar.n)
            if basis.count < D:  # too small to hold D pairs: extend as Lanczos does
                residuals, open_pairs = basis.S[:, -1:], 1
            else:
                theta, Y = basis.ritz()
                norms = basis.residual_norms(Y[:, :D])
                unconverged = norms > bound(theta)
                open_pairs = int(unconverged.sum())
                if open_pairs == 0 and (complete or basis.count == N):
                    return _eigenpairs(basis, D)
                if open_pairs == 0 and basis.count + basis.open_ends < N:
                    # Then look once more: the search may have turned the last vectors.
                    complete = _nothing_larger(basis, D, bound, start_at_random)
                    continue
                bar.set_postfix_str(f"{open_pairs} of {D} open, worst |r| = {norms.max():.1e}")
                # Nothing open, and nothing outside Q and F: only F is left to be searched.
                residuals = basis.S @ Y[:, :D][:, unconverged] if open_pairs else basis.S
            if open_pairs and (basis.products >= max_products or basis.count == N):
                pairs = _eigenpairs(basis, min(D, basis.count))
                raise ConvergenceError(_refusal(basis, pairs, D, bound), pairs)
            if basis.count + 1 > basis.capacity:
                basis.make_room(D, 1)
                continue
            if basis.open_ends == 0:
                start_at_random()
            else:
                basis.extend(residuals)


# Steps of the search for a missed pair: at least, at most. Chosen here.
# With 5 steps at least, the search missed one doubled eigenvalue in sixty near the bulk.
LEAST_SEARCH, LONGEST_SEARCH = 12, 40


def _nothing_larger(
    basis: KrylovBasis, D: int, bound: Bound, start_at_random: Callable[[], None]
) -> bool:
    """Search the complement of the basis from a random start; False if a larger value turns up.

    Lanczos steps stay in the basis, so nothing is wasted. The search ends when the largest value
    seen in the complement has settled clearly below the smallest wanted one, or after
    LONGEST_SEARCH steps.
    """
    basis.make_room(D, LONGEST_SEARCH)
    theta = basis.ritz()[0]
    wanted, allowed = theta[:D], bound(theta)
    first = basis.count
    start_at_random()
    for step in range(1, LONGEST_SEARCH + 1):
        if bool((basis.ritz()[0][:D] > wanted + allowed).any()):
            return False
        if basis.count == basis.capacity:
            return True
        t, y = torch.linalg.eigh(basis.T[first:, first:])
        beyond = float((basis.S[:, first:] @ y[:, -1]).norm())
        # three residuals: one says only that some eigenvalue is near t. Chosen here.
        if step >= LEAST_SEARCH and t[-1] + 3 * beyond <= wanted[-1]:
            return True
        if float(basis.S[:, -1:].norm()) == 0:
            return True  # the basis spans everything that H can reach from this start
        if step < LONGEST_SEARCH:
            basis.extend(basis.S[:, -1:])
    return True


def _eigenpairs(basis: KrylovBasis, D: int) -> Eigenpairs:
    theta, Y = basis.ritz()
    dtype, device = basis.H.dtype, basis.H.device
    rounding = torch.finfo(dtype).eps * float(theta.abs().max())
    rows = basis.vectors(Y[:, :D])
    for u in rows:  # fix the sign: largest component positive
        u *= u[u.abs().argmax()].sign()
    return Eigenpairs(
        values=theta[:D].to(device, dtype),
        vectors=rows.T,
        # no product is right beyond rounding, whatever the decomposition says
        residuals=basis.residual_norms(Y[:, :D]).clamp(min=rounding).to(device, dtype),
        gap=float(theta[D - 1] - theta[D]) if basis.count > D else float("inf"),
        hvp_count=basis.products,
    )


def _refusal(basis: KrylovBasis, pairs: Eigenpairs, D: int, bound: Bound) -> str:
    allowed = bound(basis.ritz()[0])
    missing = D - int((pairs.residuals <= allowed).sum())
    return (
        f"{missing} of D = {D} eigenpairs have not converged after {basis.products} products: "
        f"worst residual {float(pairs.residuals.max()):.1e}, allowed {allowed:.1e}. Raise tol "
        "(float32 products rarely reach 1e-6), raise max_products, or choose a D at which the "
        f"spectrum has a gap (here {pairs.gap:.1e}). The doubtful pairs are in error.pairs."
    )
