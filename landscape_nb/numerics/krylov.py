"""A growing orthonormal basis of a Krylov space, fully re-orthogonalised.

With the basis Q it keeps

    H Q = Q T + F S,    Q'Q = 1,  F'Q = 0,  F'F = 1,

where the few columns of F are the directions in which the basis has still to grow: one for every
start vector. So the residual of a Ritz pair (t, Q y) is |S y|, without another product and without
storing H Q: memory is one vector for each basis vector. That is an account and no evidence: it
holds as far as products are linear and symmetric (`numerics.certificate` tries them). Every
projection is summed in float64, whatever the precision of the products. When memory is full the
best Ritz vectors are kept (thick-restart Lanczos: Wu and Simon, SIAM J. Matrix Anal. 22, 2000).
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from landscape_nb.numerics.devices import in_float64, sums_of_blocks, widened, widest
from landscape_nb.numerics.operators import ProductOperator, SymmetricOperator, as_operator

_PIECE = 2**18  # numbers converted to float64 at once (2 MB): chosen here
_BLOCK = 2**14  # products summed in float32 before their sum goes on in float64: chosen here


class KrylovBasis:
    """H Q = Q T + F S: Q and F in the precision of the products, T and S in float64.

    Large coefficients are removed in float64, before the pass over all of Q in the precision of the
    products removes what is left of them.

    Args:
        H: the operator.
        capacity: largest number of basis vectors held.

    Attributes:
        Q: (capacity, N), the basis; its first `count` rows are in use.
        F: (p, N), the open directions, as rows.
        count: m, the number of basis vectors.
        products: how many were taken.
        asymmetry: largest norm of a column of Q'HQ - (Q'HQ)', of its part above the diagonal: each
            product is projected on all of Q, though symmetry gives all entries but one.
    """

    def __init__(self, H: SymmetricOperator, capacity: int) -> None:
        self.H, self.capacity = H, capacity
        vector = H.new_vector()
        # One basis vector per row: each is contiguous.
        self.Q = vector.new_empty(capacity, len(vector))
        self.F = self.Q.new_empty(0, len(vector))
        # NumPy's: of so few numbers, PyTorch's own overhead would cost more than a product
        self._T, self._S = np.zeros((capacity, capacity)), np.zeros((0, capacity))
        self.count, self.products, self.asymmetry = 0, 0, 0.0
        self._ritz: tuple[Tensor, Tensor] | None = None  # of this T

    @property
    def T(self) -> Tensor:
        """(m, m), H in the basis."""
        return torch.from_numpy(self._T[: self.count, : self.count])

    @property
    def S(self) -> Tensor:
        """(p, m), what H adds to the basis, in the p open directions."""
        return torch.from_numpy(self._S[:, : self.count])

    @property
    def open_ends(self) -> int:
        """p, the number of directions in which the basis has still to grow."""
        return len(self.F)

    def ritz(self) -> tuple[Tensor, Tensor]:
        """Ritz values, descending, and their coefficients."""
        if self._ritz is None:
            theta, Y = np.linalg.eigh(self._T[: self.count, : self.count])
            self._ritz = (torch.from_numpy(theta[::-1].copy()), torch.from_numpy(Y[:, ::-1].copy()))
        return self._ritz

    def residual_norms(self, Y: Tensor) -> Tensor:
        """|H u - theta u| of Ritz vectors u = Q y, by the decomposition's own account."""
        return (self.S @ Y).norm(dim=0)

    def norm(self, x: Tensor) -> float:
        """|x| of a vector of the space, summed in float64."""
        length = torch.linalg.vector_norm(x, dtype=widest(x.device))  # converts as it goes
        squares = float(self.H.total(in_float64(length).square()))
        if 1e-290 < squares < math.inf or not len(x):
            return squares**0.5
        size = float(self.H.largest(in_float64(widened(x.abs().max()))))
        if not 0 < size < math.inf:
            return size
        # of tiny or huge vectors only the squares are lost
        length = torch.linalg.vector_norm(widened(x) / size)
        return size * float(self.H.total(in_float64(length).square())) ** 0.5

    def start(self, x: Tensor) -> bool:
        """Open a new end along x, (N,), and take one step; False if x lies in the span already."""
        q, _, _, _ = self._outside(x)
        if q is None:
            return False
        self._append(q.to(self.Q), np.zeros(self.count))
        return True

    def extend(self, C: Tensor | None = None) -> None:
        """Add to the basis the open direction that matters most to the residuals F C, (p, b).

        Without C, the newest.
        """
        if self.open_ends > 1:
            c = self.S[:, -1:] if C is None else C
            self._bring_to_front(torch.linalg.svd(c)[0][:, 0].numpy())
        q, row = self.F[0], self._S[0, : self.count]
        self.F, self._S = self.F[1:], self._S[1:]
        self._append(q, row)

    def _bring_to_front(self, c: np.ndarray) -> None:
        """Make the unit vector F c the first column of F, by a reflection; F S stays what it is."""
        v = c.copy()
        v[0] -= 1
        length = float(np.linalg.norm(v))
        if length > 1e-14:
            v = v / length
            self._S = self._S - 2 * np.outer(v, v @ self._S)
            f = torch.from_numpy(v).to(self.F)
            self.F = self.F - 2 * torch.outer(f, f @ self.F)
            self.F[0] /= self.norm(self.F[0])

    def _append(self, q: Tensor, row: np.ndarray) -> None:
        """Add q, orthonormal to Q and F, with row = Q'Hq known; costs one product."""
        m, p = self.count, self.open_ends
        product = self.H.multiply(q[:, None])[:, 0]
        self.products += 1
        self.Q[m] = q
        self.count, self._T[m, :m], self._T[:m, m], self._ritz = m + 1, row, row, None
        f, h, s, beta = self._outside(product, row)
        self._T[m, m] = h[m]
        self.asymmetry = max(self.asymmetry, math.hypot(*(h[:m] - row)))
        S = np.zeros((p + (f is not None), self.capacity))
        S[:p] = self._S
        S[:p, m] = s
        if f is not None:
            S[p, m] = beta
            self.F = torch.cat([self.F, f.to(self.F)[None]])
        self._S = S

    def _outside(
        self, x: Tensor, row: np.ndarray | None = None
    ) -> tuple[Tensor | None, np.ndarray, np.ndarray, float]:
        """Unit vector along the part of x outside Q and F (None if rounding), and Q'x, F'x, norm.

        `row`, if given, is Q'x but for its last entry: removing it first saves a pass over Q.
        """
        m, T = self.count, self.Q.dtype
        h, s = np.zeros(m), np.zeros(self.open_ends)
        x = x.detach().to(T, copy=True)  # an operator may keep what it returned
        if row is not None:
            known = np.flatnonzero(row)
            if 4 * len(known) < m:
                h[known] = row[known]
                for j, c in zip(known.tolist(), row[known].tolist(), strict=True):
                    x.sub_(self.Q[j], alpha=c)
            newest = self.Q[m - 1]
            h[-1] = alpha = self._inner(newest, x)
            x.sub_(newest, alpha=alpha)
        left = self.norm(x)
        scale = math.hypot(left, *h)
        if not math.isfinite(scale):
            raise ValueError(
                "A Hessian-vector product is not finite: the loss is not twice differentiable at "
                "this w (a square root or a division at zero?) or its curvature overflows."
            )
        # what is left below is rounding, of the products or of these sums. Chosen here.
        rounding = min(1e-8, 100 * torch.finfo(T).eps) * scale
        while left > rounding:
            before = left
            g = self._project(x)
            self._remove(g, x)
            more = g.cpu().numpy()
            h += more[:m]
            s += more[m:]
            left = self.norm(x)
            # Once more if much was removed, with its rounding (Daniel et al., 1976): 0.7.
            if left > 0.7 * before:
                return x.div_(left), h, s, left
        return None, h, s, 0.0

    def _inner(self, x: Tensor, y: Tensor) -> float:
        """x'y, summed in float64."""
        return float(self.H.total(in_float64(widened(x) @ widened(y))))

    def _project(self, x: Tensor) -> Tensor:
        """Q'x and F'x, one after the other: sums of blocks, which add up in float64."""
        Q, N = self.Q[: self.count], len(x)
        if Q.dtype == torch.float64:
            total = Q @ x
        elif Q.device.type == "cpu":
            starts = range(0, N, _BLOCK)
            parts = [torch.mv(Q[:, i : i + _BLOCK], x[i : i + _BLOCK]).double() for i in starts]
            total = parts[0] if len(parts) == 1 else torch.stack(parts).sum(0)
        else:  # a launch for each block is slow
            total = sums_of_blocks(Q.T, x[:, None])[:, 0]
        if self.open_ends:
            total = torch.cat([total, in_float64(widened(self.F) @ widened(x))])
        return self.H.total(total)

    def _remove(self, y: Tensor, x: Tensor) -> None:
        """Take Q y1 + F y2 from x, for y = (y1, y2); in place."""
        y = y.to(x)
        x.addmv_(self.Q[: self.count].T, y[: self.count], alpha=-1)
        if self.open_ends:
            x.addmv_(self.F.T, y[self.count :], alpha=-1)

    def _parts(self) -> Iterator[tuple[slice, Tensor]]:
        """Columns of Q in float64, piece by piece, so that no float64 copy is ever held."""
        step = max(1024, _PIECE // (self.count + 1))
        for i in range(0, self.Q.shape[1], step):
            columns = slice(i, i + step)
            yield columns, widened(self.Q[: self.count, columns])

    def vectors(self, Y: Tensor) -> Tensor:
        """Q Y as rows, (b, N), in the precision of the products."""
        Y = Y.T.to(self.Q.device, widest(self.Q.device))
        out = self.Q.new_empty(len(Y), self.Q.shape[1])
        for columns, Q in self._parts():
            out[:, columns] = Y @ Q
        return out

    def strayed(self, y: Tensor, HV: Tensor) -> Tensor:
        """|H v - (Q T + F S) y|, (b,), of products H v, (N, b), with v = Q y, (m, b)."""
        Ty, Sy = (x.to(HV.device, widest(HV.device)) for x in (self.T @ y, self.S @ y))
        squares = in_float64(HV.new_zeros(y.shape[1]))
        for rows, Q in self._parts():
            off = widened(HV[rows]) - Q.T @ Ty - widened(self.F[:, rows]).T @ Sy
            squares += in_float64(off.square().sum(0))
        return self.H.total(squares).sqrt().cpu()

    def make_room(self, D: int, vectors: int) -> None:
        """Restart with the best Ritz vectors if the new vectors would not fit."""
        if self.count + vectors <= self.capacity or self.capacity == self.H.shape[0]:
            return
        theta, Y = self.ritz()
        kept = min(D + max(5, (self.capacity - D) // 2), self.capacity - vectors)
        rows = Y[:, :kept].T.to(self.Q.device, widest(self.Q.device))
        for columns, Q in self._parts():
            self.Q[:kept, columns] = rows @ Q
        self._S[:, :kept] = (self.S @ Y[:, :kept]).numpy()
        self._T[:kept, :kept] = np.diag(theta[:kept].numpy())
        self.count, self._ritz = kept, None


def lanczos_quadrature(
    H: SymmetricOperator, x: Tensor, steps: int, known: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Gauss quadrature of the spectral measure that a unit vector x sees: nodes, weights.

    x' f(H) x = sum_j weight_j f(node_j) for polynomials f up to degree 2 steps - 1, by Lanczos
    with full re-orthogonalisation: nodes are the eigenvalues of the tridiagonal T, weights the
    squared first components of its eigenvectors (Golub and Welsch 1969).

    Args:
        H: the operator, or a symmetric matrix.
        x: (N,), the start; only its direction matters.
        steps: at most; fewer where the Krylov space is exhausted. One product each.
        known: (N, D), eigenvectors of H to be kept out of the Krylov space.

    Returns:
        nodes (m,) ascending and weights (m,) that sum to 1, in float64.
    """

    def outside(V: Tensor) -> Tensor:
        return V if known is None else V - known @ H.total(known.T @ V)

    H = as_operator(H, like=x)
    inside = ProductOperator(lambda V: outside(H.multiply(V)), H)
    *_, basis = _growing(inside, outside(x), steps)
    nodes, Y = torch.linalg.eigh(basis.T)
    return nodes, Y[0].square()


def ritz_after_each_step(
    H: SymmetricOperator, x: Tensor, steps: int
) -> tuple[list[Tensor], list[Tensor]]:
    """Ritz values and their residuals after 1, 2, .. steps of one Lanczos run from x.

    After m steps: the eigenvalues theta of Q'HQ, Q a basis of span{x, Hx, .., H^(m-1) x}, and
    |H u - theta u| of their vectors u = Q y, by the basis's own account.

    Args:
        H: the operator, or a symmetric matrix.
        x: (N,), the start; only its direction matters.
        steps: at most; fewer where the Krylov space is exhausted. One product each.

    Returns:
        Ritz values, ascending, and residuals in their order: lists of (1,), (2,), ..., in float64.

    >>> H = torch.diag(torch.tensor([3.0, 1.0], dtype=torch.float64))
    >>> values, residuals = ritz_after_each_step(H, torch.ones(2, dtype=torch.float64), 2)
    >>> [row.round(decimals=9).tolist() for row in values]
    [[2.0], [1.0, 3.0]]
    >>> [row.round(decimals=9).tolist() for row in residuals]
    [[1.0], [0.0, 0.0]]
    """
    found = []
    for basis in _growing(as_operator(H, like=x), x, steps):
        theta, Y = torch.linalg.eigh(basis.T)
        found.append((theta, basis.residual_norms(Y)))
    return [theta for theta, _ in found], [residuals for _, residuals in found]


def _growing(H: SymmetricOperator, x: Tensor, steps: int) -> Iterator[KrylovBasis]:
    """The basis of one Krylov space after each step, until there is nothing left to add."""
    basis = KrylovBasis(H, min(steps, H.shape[0]))
    basis.start(x)
    yield basis
    while basis.count < basis.capacity and basis.open_ends:
        basis.extend(basis.S[:, -1:])
        yield basis
