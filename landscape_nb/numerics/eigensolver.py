"""The algebraically largest eigenpairs of a symmetric operator, certified.

Rayleigh-Ritz on a Krylov basis (`numerics.krylov`), for operators known only through products.
Two certificates come with the pairs:
* residuals |H u - lambda u|, confirmed by two fresh products, of random combinations of all that
  was found (`certificate.spot_check`), and by D + 2 where those differ from the solver's own
  account by more than rounding: each value lies within its residual of a true eigenvalue. The
  same products measure how far H is from linear and symmetric. Where account and products
  disagree, or products are too noisy for the tolerance, nothing is returned;
* completeness: after convergence the complement of everything seen is searched from a fresh random
  direction for copies of repeated eigenvalues, until one that was missed would have shown but for a
  chance of 1 in 1000 (`numerics.missed_copies`), or the search's limit is reached: evidence, not
  proof, where repeated eigenvalues lie close to a dense spectrum.

For a large loss in float64 all this is done by products in float32, which cost half, where the
tolerance allows it; the two fresh products are in float64.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from landscape_nb.numerics import checks
from landscape_nb.numerics.certificate import (
    EXTRA,
    SPOTS,
    Certificate,
    certify,
    direction,
    spot_check,
)
from landscape_nb.numerics.devices import widened
from landscape_nb.numerics.krylov import KrylovBasis
from landscape_nb.numerics.missed_copies import LONGEST_SEARCH, nothing_larger
from landscape_nb.numerics.operators import SymmetricOperator, takes_operator
from landscape_nb.numerics.progress import progress_bar


@dataclass(frozen=True, eq=False)
class Eigenpairs:
    """Eigenpairs with what is needed to trust them.

    Attributes:
        values: (D,), eigenvalues; descending for the top, ascending for the bottom.
        vectors: (N, D), orthonormal columns; each is fixed only up to its sign.
        residuals: (D,), |H u - lambda u| in the units of the eigenvalues. As a rule an estimate and
            no bound: the solver's account, and beside it (root of the sum of squares) what two
            fresh products of random combinations show it to miss, the same for all pairs; where
            only one pair is off, that is below a tenth of the truth in one case of a hundred at
            most. Where those two products differ from the account by more than 100 roundings,
            measured instead, by a fresh product for each pair. Never below one rounding of the
            largest value.
        gap: distance from the last value to the best estimate of the next one, which may be too
            large where copies of a repeated eigenvalue exist; infinite when D = N. Around or
            below the residuals, the last columns are not determined by H.
        hvp_count: Hessian-vector products spent: those of the certificate too, those in float32,
            and those of an attempt in float32 that failed.
        noise: how far products were seen to be from linear and symmetric, in the same units: one
            product's own error. A value lies within residual + noise of a true eigenvalue.
    """

    values: Tensor
    vectors: Tensor
    residuals: Tensor
    gap: float
    hvp_count: int
    noise: float = 0.0


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
        max_products: give up after so many products; None means 40 D + 400 (chosen here). On top
            come 2 of a spot check, and D + 2 of the certificate where that fails; D + 2 alone
            where the pairs have not converged. An attempt in float32 has its own.
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
        if self.relative_to not in ("wanted", "spectrum"):
            raise ValueError(
                f"relative_to must be 'wanted' or 'spectrum'; got {self.relative_to!r}."
            )
        if start is not None:
            vector = H.new_vector()
            start = checks.directions(start, vector, "start").reshape(len(vector), -1)
            if float(H.largest(widened((~torch.isfinite(start)).any()))):
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
        `Eigenpairs`, in the operator's dtype. Error: residuals at most tol times the scale; noise,
        and what fresh products add to a residual, at most a tenth of that and 100 roundings of the
        largest value. Costs about 2 D + 10 products where the spectrum has a gap; D + 2 more where
        products are less exact than their precision. Of a large loss in float64, for tol >= 1.2e-5,
        all but two are taken in float32: values are then right to about 1e-7 of the largest, or to
        residual^2 / gap where that is more; for a smaller tol never.

    Raises:
        ConvergenceError: the residuals are still too large after max_products, or fresh products
            do not confirm them; its pairs carry true residuals too.
        ValueError: an argument does not fit, or a product is not finite.

    >>> A = torch.diag(torch.tensor([3.0, -5.0, 1.0])).double()
    >>> largest_eigenpairs(A, 2).values.round(decimals=9).tolist()
    [3.0, 1.0]
    """
    N = H.shape[0]
    D = checks.whole_number("D", D, 1, N, f"N = {N} is the number of trainable parameters; lower D")
    search = dataclasses.replace(search or Search(), **settings).checked(H, D)
    pairs, spent = _by_a_cheaper_operator(H, D, search)
    if pairs is not None:
        return pairs
    found = _found(H, D, search)  # the basis is gone now: the certificate takes its memory
    found = found._replace(products=found.products + spent)
    assert search.max_basis is not None
    if found.strayed is not None:
        return _confirmed(H, found, found.strayed)
    assert found.r is not None
    values = found.values.to(H.device, H.dtype)
    proof = certify(H, values, found.vectors, found.r, max(8, search.max_basis // 4))
    proof = dataclasses.replace(proof, asymmetry=max(proof.asymmetry, found.asymmetry))
    pairs = Eigenpairs(
        values=values,
        vectors=found.vectors,
        # no product is right beyond rounding, whatever was measured
        residuals=proof.residuals.clamp(min=found.rounding).to(H.device, H.dtype),
        gap=found.gap,
        hvp_count=found.products + len(values) + EXTRA,
        noise=proof.noise,
    )
    refusal = _refusal(found, pairs, proof, D, search.tol)
    if refusal:
        raise ConvergenceError(refusal, pairs)
    return pairs


def _confirmed(H: SymmetricOperator, found: "_Found", strayed: float) -> Eigenpairs:
    """Pairs whose account a spot check confirms: D products more would say nothing else."""
    residuals = torch.hypot(found.claimed, torch.tensor(strayed, dtype=torch.float64))
    return Eigenpairs(
        values=found.values.to(H.device, H.dtype),
        vectors=found.vectors,
        residuals=residuals.clamp(min=found.rounding).to(H.device, H.dtype),
        gap=found.gap,
        hvp_count=found.products,
        noise=found.noise,
    )


def _by_a_cheaper_operator(
    H: SymmetricOperator, D: int, search: Search
) -> tuple[Eigenpairs | None, int]:
    """The pairs found with `H.cheaper()` and confirmed by products of H; products spent in vain.

    The rule: where there is such an operator, and as long as the residuals allowed are a hundred of
    its roundings at least. A spot check compares products of H itself with the account of the
    cheaper ones: values, residuals and completeness then hold for H to within what it reports.
    """
    assert search.generator is not None
    out_of_reach = search.tol < _ROUNDINGS * torch.finfo(torch.float32).eps
    cheaper = None if out_of_reach else H.cheaper()
    if cheaper is None:
        return None, 0
    own = torch.Generator(search.generator.device)
    own.set_state(search.generator.get_state())
    start = None if search.start is None else search.start.to(cheaper.dtype)
    try:
        found = _found(cheaper, D, dataclasses.replace(search, start=start, generator=own), H)
    except (ValueError, RuntimeError):
        return None, cheaper.products  # an overflow in float32, for one
    if found.strayed is None:
        return None, found.products
    search.generator.set_state(own.get_state())
    U = found.vectors.to(H.dtype)
    # orthonormal to float32's precision so far: U (U'U)^(-1/2)
    values, Y = torch.linalg.eigh(H.total(U.T @ U))
    U = U @ (Y / values.sqrt()) @ Y.T
    return _confirmed(H, found._replace(vectors=U), found.strayed), 0


class _Found(NamedTuple):
    """Pairs by the solver's own account, and what a certificate of them needs."""

    values: Tensor  # in float64
    vectors: Tensor
    claimed: Tensor  # residuals, (D,), in float64
    gap: float
    products: int
    converged: bool
    allowed: float  # largest residual
    rounding: float  # of the largest magnitude seen
    r: Tensor | None  # (N,), a unit vector, half of it from the basis, where a certificate is due
    asymmetry: float  # of the products so far
    strayed: float | None  # what a spot check adds to the residuals; None: it did not confirm them
    noise: float  # by that check


def _found(
    H: SymmetricOperator, D: int, search: Search, judge: SymmetricOperator | None = None
) -> _Found:
    """The pairs of H, with a spot check by products of `judge`, H itself if not given."""
    N, generator, max_products = H.shape[0], search.generator, search.max_products
    assert generator is not None and max_products is not None and search.max_basis is not None
    basis = KrylovBasis(H, search.max_basis)

    def start_at_random() -> None:
        if not basis.start(H.random_vector(generator)):
            raise RuntimeError("no direction is left to start from: Q and F span the whole space.")

    if search.start is not None:
        # Their sum, not the vectors themselves: one product instead of d, and a Krylov space from
        # a vector inside the wanted subspace reaches all of it.
        basis.start(widened(search.start).sum(1))

    seen = 0.0  # largest magnitude so far: a restart drops the other end of the spectrum

    def bound(theta: Tensor) -> float:
        nonlocal seen
        seen = max(seen, float(theta.abs().max()))
        scale = seen if search.relative_to == "spectrum" else float(theta[:D].abs().max())
        if judge is not None and search.tol * scale < _ROUNDINGS * torch.finfo(H.dtype).eps * seen:
            raise ValueError("The tolerance is out of reach of the cheaper operator.")
        # below ten roundings of the largest value there is nothing left to resolve
        return max(search.tol * scale, 10 * torch.finfo(H.dtype).eps * seen)

    def stop(D: int, converged: bool) -> _Found:
        theta, Y = basis.ritz()
        rows = basis.vectors(Y[:, :D])
        # fix the sign: largest component positive
        ends = H.largest(torch.stack([rows.amax(1), -rows.amin(1)]))
        rows[ends[1] > ends[0]] *= -1
        allowed, rounding = bound(theta), torch.finfo(H.dtype).eps * seen
        claimed, strayed = basis.residual_norms(Y[:, :D]), None
        noise, products = basis.asymmetry, basis.products
        if converged:
            off, size = spot_check(judge or H, basis, Y[:, :D], generator)
            noise, products = max(noise, size), products + SPOTS
            # More than rounding, and the whole certificate is asked.
            if max(off, noise) <= _ROUNDINGS * rounding and float(claimed.max()) <= allowed:
                strayed = off
        return _Found(
            values=theta[:D],
            vectors=rows.T,
            claimed=claimed,
            gap=float(theta[D - 1] - theta[D]) if basis.count > D else float("inf"),
            products=products,
            converged=converged,
            allowed=allowed,
            rounding=rounding,
            r=None if strayed is not None else direction(basis, generator),
            asymmetry=basis.asymmetry,
            strayed=strayed,
            noise=noise,
        )

    complete, look, hidden = False, 0, not search.progress
    with progress_bar(desc="finding eigenpairs", unit=" products", disable=hidden) as bar:
        while True:
            bar.update(basis.products - bar.n)
            if basis.count < max(D, look if basis.open_ends == 1 else 0):
                residuals, open_pairs = None, 1  # too early for a look: extend as Lanczos does
            else:
                theta, Y = basis.ritz()
                norms = basis.residual_norms(Y[:, :D])
                allowed = bound(theta)
                unconverged = norms > allowed
                # residuals fall by a factor of 5 a step at most, as a rule: seen on MLPs
                left = float(norms.max()) / allowed if allowed else 1.0
                look = basis.count + int(math.log(max(left, 1), 5))
                open_pairs = int(unconverged.sum())
                if open_pairs == 0 and (complete or basis.count == N):
                    return stop(D, converged=True)
                if open_pairs == 0 and basis.count + basis.open_ends < N:
                    # Then look once more: the search may have turned the last vectors.
                    complete = nothing_larger(basis, D, bound, start_at_random)
                    continue
                bar.set_postfix_str(f"{open_pairs} of {D} open, worst |r| = {norms.max():.1e}")
                # Nothing open, and nothing outside Q and F: only F is left to be searched.
                residuals = basis.S @ Y[:, :D][:, unconverged] if open_pairs else basis.S
            if open_pairs and (basis.products >= max_products or basis.count == N):
                return stop(min(D, basis.count), converged=False)
            if basis.count + 1 > basis.capacity:
                basis.make_room(D, 1)
                look = 0
                continue
            if basis.open_ends == 0:
                start_at_random()
            else:
                basis.extend(residuals)


# Roundings of the largest magnitude seen by which fresh products may differ from the solver's
# account, and be non-linear or asymmetric, besides a tenth of the tolerance. Chosen here: networks
# of 43 to 100 000 parameters showed at most 5 in float32.
_ROUNDINGS = 100


def _refusal(found: _Found, pairs: Eigenpairs, proof: Certificate, D: int, tol: float) -> str:
    """Why the pairs are not certified; empty if they are."""
    true, claimed, allowed = proof.residuals, found.claimed, found.allowed
    slack = allowed / 10 + _ROUNDINGS * found.rounding
    disagreement = float((true - claimed).abs().max())
    fault = max(disagreement, proof.noise)
    measured = ""
    if not fault <= slack:
        needed = 10 * tol * fault / allowed if allowed else 1.0
        measured = (
            f"The largest |eigenvalue| is {float(pairs.values.abs().max()):.1e}. "
            f"{proof.told(slack)} "
            + (f"Or raise tol from {tol:.0e} to {needed:.0e}. " if needed < 1 else "")
        )
    doubtful = "The doubtful pairs are in error.pairs, with residuals by fresh products."
    if not found.converged:
        missing = D - int((torch.maximum(true, claimed) <= allowed).sum())
        return (
            f"{missing} of D = {D} eigenpairs have not converged after {found.products} products: "
            f"worst residual {float(true.max()):.1e}, allowed {allowed:.1e}. Raise tol "
            "(float32 products rarely reach 1e-6), raise max_products, or choose a D at which the "
            f"spectrum has a gap (here {pairs.gap:.1e}). {measured}{doubtful}"
        )
    if not measured:
        return ""
    return (
        f"The D = {D} eigenpairs are not certified: after {found.products} products the solver's "
        f"own account has residuals of {float(claimed.max()):.1e} at most, fresh products of "
        f"{float(true.max()):.1e} (allowed {allowed:.1e}). {measured}{doubtful}"
    )
