"""The algebraically largest eigenpairs of a symmetric operator, certified.

A Krylov method for operators known only through products (Hessians): Rayleigh-Ritz on a growing
basis that is fully re-orthogonalised, with every projection summed in float64 whatever the
precision of the products, and restarted with the best Ritz vectors when memory is full
(thick-restart Lanczos: Wu and Simon, SIAM J. Matrix Anal. 22, 2000). With the basis Q it keeps

    H Q = Q T + F S,    Q'Q = 1,  F'Q = 0,  F'F = 1,

where the few columns of F are the directions in which the basis has still to grow: one for every
start vector. So the residual of a Ritz pair (t, Q y) is |S y|, without another product and without
storing H Q: memory is one vector for each basis vector.

Two certificates come with the pairs:
* residuals |H u - lambda u|: each value lies within its residual of a true eigenvalue;
* completeness: no Krylov space from one start sees the second copy of a repeated eigenvalue, so
  after convergence the search goes on from a fresh random direction orthogonal to everything
  seen. Pairs are returned only when that search finds nothing larger. This is evidence, not proof:
  where repeated eigenvalues lie close to a dense spectrum a copy can still be missed. (None was in
  40 tries with five- and ten-fold eigenvalues a few percent apart.)
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

Operator = Callable[[Tensor], Tensor]
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


class _Basis:
    """H Q = Q T + F S: Q and F in the precision of the products, T and S in float64.

    Large coefficients are removed in float64, before the pass over all of Q in the precision of the
    products removes what is left of them.
    """

    def __init__(self, apply: Operator, capacity: int, like: Tensor) -> None:
        self.apply, self.capacity, self.like = apply, capacity, like
        # One basis vector per row: each is contiguous.
        self._Q = torch.empty(capacity, like.numel(), dtype=like.dtype, device=like.device)
        self._F = self._Q.new_empty(0, like.numel())
        self.T = torch.empty(0, 0, dtype=torch.float64)
        self.S = torch.empty(0, 0, dtype=torch.float64)
        self.products = 0

    @property
    def count(self) -> int:
        return self.T.shape[0]

    @property
    def open_ends(self) -> int:
        return len(self._F)

    def ritz(self) -> tuple[Tensor, Tensor]:
        """Ritz values, descending, and their coefficients."""
        theta, Y = torch.linalg.eigh(self.T)
        return theta.flip(0), Y.flip(1)

    def residual_norms(self, Y: Tensor) -> Tensor:
        """|H u - theta u| of Ritz vectors u = Q y, from the decomposition alone."""
        return (self.S @ Y).norm(dim=0)

    def start(self, x: Tensor) -> bool:
        """Open a new end along x, (N,), and take one step; False if x lies in the span already."""
        q, _, _, _ = self._outside(x.double())
        if q is None:
            return False
        self._append(q.to(self._Q), torch.zeros(self.count, dtype=torch.float64))
        return True

    def extend(self, C: Tensor) -> None:
        """Add to the basis the open direction that matters most to the residuals F C, (p, b)."""
        if len(C) > 1:
            self._bring_to_front(torch.linalg.svd(C)[0][:, 0])
        q, row = self._F[0], self.S[0]
        self._F, self.S = self._F[1:], self.S[1:]
        self._append(q / float(q.double().norm()), row)

    def _bring_to_front(self, c: Tensor) -> None:
        """Make the unit vector F c the first column of F, by a reflection; F S stays what it is."""
        v = c.clone()
        v[0] -= 1
        if float(v.norm()) > 1e-14:
            v = v / v.norm()
            self.S = self.S - 2 * torch.outer(v, v @ self.S)
            f = v.to(self._F)
            self._F = self._F - 2 * torch.outer(f, f @ self._F)

    def _append(self, q: Tensor, row: Tensor) -> None:
        """Add q, orthonormal to Q and F, with row = Q'Hq known; costs one product."""
        m, p = self.count, self.open_ends
        product = self.apply(q[:, None])[:, 0]
        self.products += 1
        if not torch.isfinite(product).all():
            raise ValueError(
                "A Hessian-vector product is not finite: the loss is not twice differentiable at "
                "this w (a square root or a division at zero?) or its curvature overflows."
            )
        self._Q[m] = q
        T = torch.zeros(m + 1, m + 1, dtype=torch.float64)
        T[:m, :m], T[m, :m], T[:m, m] = self.T, row, row
        S = torch.zeros(p + 1, m + 1, dtype=torch.float64)
        S[:p, :m] = self.S
        self.T = T
        f, h, s, beta = self._outside(product.double(), row)
        T[m, m], S[:p, m], S[p, m] = h[m], s, beta
        if f is None:
            self.S = S[:p]
        else:
            self.S = S
            self._F = torch.cat([self._F, f.to(self._F)[None]])

    def _outside(
        self, x: Tensor, row: Tensor | None = None
    ) -> tuple[Tensor | None, Tensor, Tensor, float]:
        """Unit vector along the part of x outside Q and F (None if rounding), and Q'x, F'x, norm.

        `row`, if given, is Q'x but for its last entry: removing it first saves a pass over Q.
        """
        h = torch.zeros(self.count, dtype=torch.float64)
        s = torch.zeros(self.open_ends, dtype=torch.float64)
        scale = float(x.norm())
        if scale == 0:
            return None, h, s, 0.0
        if row is not None:
            known = row.nonzero()[:, 0]
            if 4 * len(known) < self.count:
                h[known] = row[known]
                for j in known.tolist():
                    x = x - float(row[j]) * self._Q[j].double()
            newest = self._Q[self.count - 1].double()
            h[-1] = newest @ x
            x = x - float(h[-1]) * newest
        left = float(x.norm())
        # what is left below is rounding, of the products or of these sums. Chosen here.
        rounding = min(1e-8, 100 * torch.finfo(self._Q.dtype).eps) * scale
        while left > rounding:
            before = left
            g = self._project(x)
            x = x - self._combine(g)
            h, s = h + g[: len(h)], s + g[len(h) :]
            left = float(x.norm())
            # Once more if much was removed, with its rounding (Daniel et al., 1976): 0.7.
            if left > 0.7 * before:
                return x / left, h, s, left
        return None, h, s, 0.0

    def _project(self, x: Tensor) -> Tensor:
        """Q'x and F'x, one after the other, summed in float64."""
        Q, like = self._Q[: self.count], x.to(self._Q)
        step = like.numel() if Q.dtype == torch.float64 else _BLOCK
        total = x.new_zeros(self.count)
        for i in range(0, len(like), step):
            total += (Q[:, i : i + step] @ like[i : i + step]).double()
        return torch.cat([total, self._F.double() @ x]).cpu()

    def _combine(self, y: Tensor) -> Tensor:
        """Q y1 + F y2 for y = (y1, y2)."""
        m, y = self.count, y.to(self._Q.device)
        return (y[:m].to(self._Q) @ self._Q[:m]).double() + y[m:] @ self._F.double()

    def _parts(self) -> Iterator[tuple[slice, Tensor]]:
        """Columns of Q in float64, piece by piece, so that no float64 copy is ever held."""
        step = max(1024, _PIECE // (self.count + 1))
        for i in range(0, self._Q.shape[1], step):
            columns = slice(i, i + step)
            yield columns, self._Q[: self.count, columns].double()

    def vectors(self, Y: Tensor) -> Tensor:
        """Q Y as rows, (b, N), in the precision of the products."""
        Y = Y.T.to(self._Q.device)
        out = self._Q.new_empty(len(Y), self._Q.shape[1])
        for columns, Q in self._parts():
            out[:, columns] = Y @ Q
        return out

    def make_room(self, D: int, vectors: int) -> None:
        """Restart with the best Ritz vectors if the new vectors would not fit."""
        if self.count + vectors <= self.capacity or self.capacity == self.like.numel():
            return
        theta, Y = self.ritz()
        kept = min(D + max(5, (self.capacity - D) // 2), self.capacity - vectors)
        rows = Y[:, :kept].T.to(self._Q.device)
        for columns, Q in self._parts():
            self._Q[:kept, columns] = rows @ Q
        self.S = self.S @ Y[:, :kept]
        self.T = torch.diag(theta[:kept])


def largest_eigenpairs(
    apply: Operator,
    like: Tensor,
    D: int,
    *,
    tol: float = 1e-4,
    relative_to: str = "wanted",
    start: Tensor | None = None,
    generator: torch.Generator | None = None,
    max_products: int | None = None,
    max_basis: int | None = None,
    progress: bool = False,
) -> Eigenpairs:
    """The D algebraically largest eigenpairs of the symmetric operator `apply`.

    Args:
        apply: maps (N, b) to (N, b), in the dtype and on the device of `like`.
        like: a vector of shape (N,).
        D: number of pairs, 1..N.
        tol: largest residual, relative to a scale.
        relative_to: that scale: "wanted", the largest magnitude among the wanted values, or
            "spectrum", the largest magnitude seen anywhere (for a cluster near zero). Never
            below ten roundings of the largest magnitude seen.
        start: (N, d), a guess of the eigenspace (a warm start: the columns are summed), or None
            for one random vector.
        generator: source of randomness; None means a fresh one seeded with 0.
        max_products: give up after so many products; default 40 D + 400 (chosen here).
        max_basis: basis vectors held at most; default max(2 D + 30, 60) (chosen here), and
            D + 45 at least, room for the search. Memory is N max_basis numbers in the dtype of
            `like`.
        progress: show a progress bar with the worst residual.

    Returns:
        `Eigenpairs`, in the dtype of `like`. Error: residuals at most tol times the scale.

    Raises:
        ConvergenceError: the residuals are still too large after max_products.
        ValueError: a product is not finite.
    """
    N = like.numel()
    generator = generator or torch.Generator().manual_seed(0)
    max_products = 40 * D + 400 if max_products is None else max_products
    capacity = min(N, max(max(2 * D + 30, 60) if max_basis is None else max_basis, D + 5 + _PROBE))
    basis = _Basis(apply, capacity, like)

    def start_at_random() -> None:
        x = torch.randn(N, dtype=torch.float64, generator=generator, device=generator.device)
        if not basis.start(x.to(like.device)):
            raise RuntimeError("no direction is left to start from: Q and F span the whole space.")

    if start is not None:
        # Their sum, not the vectors themselves: one product instead of d, and a Krylov space from
        # a vector inside the wanted subspace reaches all of it.
        basis.start(start.double().sum(1))

    seen = 0.0  # largest magnitude so far: a restart drops the other end of the spectrum

    def bound(theta: Tensor) -> float:
        nonlocal seen
        seen = max(seen, float(theta.abs().max()))
        scale = seen if relative_to == "spectrum" else float(theta[:D].abs().max())
        # below ten roundings of the largest value there is nothing left to resolve
        return max(tol * scale, 10 * torch.finfo(like.dtype).eps * seen)

    complete = False
    with tqdm(desc="eigenpairs", unit=" products", disable=not progress, leave=False) as bar:
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


def lanczos_quadrature(
    apply: Operator, x: Tensor, steps: int, known: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Gauss quadrature of the spectral measure that a unit vector x sees: nodes, weights.

    x' f(H) x = sum_j weight_j f(node_j) for polynomials f up to degree 2 steps - 1, by Lanczos
    with full re-orthogonalisation: nodes are the eigenvalues of the tridiagonal T, weights the
    squared first components of its eigenvectors (Golub and Welsch 1969).

    Args:
        apply: maps (N, b) to (N, b).
        x: (N,), the start; only its direction matters.
        steps: at most; fewer where the Krylov space is exhausted. One product each.
        known: (N, D), eigenvectors of H to be kept out of the Krylov space.

    Returns:
        nodes (m,) ascending and weights (m,) that sum to 1, in float64.
    """

    def outside(V: Tensor) -> Tensor:
        return V if known is None else V - known @ (known.T @ V)

    basis = _Basis(lambda V: outside(apply(V)), min(steps, x.numel()), x)
    basis.start(outside(x))
    while basis.count < basis.capacity and basis.open_ends:
        basis.extend(basis.S[:, -1:])
    nodes, Y = torch.linalg.eigh(basis.T)
    return nodes, Y[0].square()


# Steps of the search for a missed pair: at least, at most. Chosen here.
# With 5 steps at least, the search missed one doubled eigenvalue in sixty near the bulk.
_PROBE_MIN, _PROBE = 12, 40
_PIECE = 2**18  # numbers converted to float64 at once (2 MB): chosen here
_BLOCK = 4096  # products summed in float32 before their sum goes on in float64: chosen here


def _nothing_larger(
    basis: _Basis, D: int, bound: Bound, start_at_random: Callable[[], None]
) -> bool:
    """Search the complement of the basis from a random start; False if a larger value turns up.

    Lanczos steps stay in the basis, so nothing is wasted. The search ends when the largest value
    seen in the complement has settled clearly below the smallest wanted one, or after _PROBE steps.
    """
    basis.make_room(D, _PROBE)
    theta = basis.ritz()[0]
    wanted, allowed = theta[:D], bound(theta)
    first = basis.count
    start_at_random()
    for step in range(1, _PROBE + 1):
        if bool((basis.ritz()[0][:D] > wanted + allowed).any()):
            return False
        if basis.count == basis.capacity:
            return True
        t, y = torch.linalg.eigh(basis.T[first:, first:])
        beyond = float((basis.S[:, first:] @ y[:, -1]).norm())
        # three residuals: one says only that some eigenvalue is near t. Chosen here.
        if step >= _PROBE_MIN and t[-1] + 3 * beyond <= wanted[-1]:
            return True
        if float(basis.S[:, -1:].norm()) == 0:
            return True  # the basis spans everything that H can reach from this start
        if step < _PROBE:
            basis.extend(basis.S[:, -1:])
    return True


def _eigenpairs(basis: _Basis, D: int) -> Eigenpairs:
    theta, Y = basis.ritz()
    like = basis.like
    rounding = torch.finfo(like.dtype).eps * float(theta.abs().max())
    rows = basis.vectors(Y[:, :D])
    for u in rows:  # fix the sign: largest component positive
        u *= u[u.abs().argmax()].sign()
    return Eigenpairs(
        values=theta[:D].to(like),
        vectors=rows.T,
        # no product is right beyond rounding, whatever the decomposition says
        residuals=basis.residual_norms(Y[:, :D]).clamp(min=rounding).to(like),
        gap=float(theta[D - 1] - theta[D]) if basis.count > D else float("inf"),
        hvp_count=basis.products,
    )


def _refusal(basis: _Basis, pairs: Eigenpairs, D: int, bound: Bound) -> str:
    allowed = bound(basis.ritz()[0])
    missing = D - int((pairs.residuals <= allowed).sum())
    return (
        f"{missing} of D = {D} eigenpairs have not converged after {basis.products} products: "
        f"worst residual {float(pairs.residuals.max()):.1e}, allowed {allowed:.1e}. Raise tol "
        "(float32 products rarely reach 1e-6), raise max_products, or choose a D at which the "
        f"spectrum has a gap (here {pairs.gap:.1e}). The doubtful pairs are in error.pairs."
    )
