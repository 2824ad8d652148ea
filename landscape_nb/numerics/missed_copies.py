"""The search for missed copies of a repeated eigenvalue.

No Krylov space from one start sees the second copy: it holds one vector of every eigenspace. So,
when all wanted pairs have converged, Lanczos steps go on from a fresh random direction orthogonal
to everything seen, until a copy shows or would have shown, but for a stated chance.
"""

import math
from collections.abc import Callable

from torch import Tensor

from landscape_nb.numerics.krylov import KrylovBasis

Bound = Callable[[Tensor], float]  # Ritz values, descending -> largest residual allowed

# The search for a missed copy: how likely it may be that one is there and was not seen, and steps
# at most. Chosen here.
MISS, LONGEST_SEARCH = 1e-3, 40


def nothing_larger(
    basis: KrylovBasis, D: int, bound: Bound, start_at_random: Callable[[], None]
) -> bool:
    """Search the complement of the basis from a random start; False if a larger value turns up.

    Lanczos steps stay in the basis, so nothing is wasted. With the orthonormal polynomials p_j of
    the steps so far, x'p_i(H) p_j(H) x = 1 if i = j, else 0, an eigenvector u of a value t has

        (u'x)^2 <= 1 / sum_j p_j(t)^2                           (Christoffel function; well known)

    and no eigenvalue that x has met at t or above was overlooked while all p_j(t) > 0 (Sturm). Of
    a random unit vector x in M dimensions (u'x)^2 is about z^2 / M, z standard normal. So the
    search ends as soon as a missed copy would have to have |z| below what chance gives with
    probability MISS; or after LONGEST_SEARCH steps.
    """
    basis.make_room(D, LONGEST_SEARCH)
    theta = basis.ritz()[0]
    wanted, allowed = theta[:D], bound(theta)
    t, first = float(wanted[-1]) + allowed, basis.count
    seen = basis.H.shape[0] - first
    enough = seen * 2 / (math.pi * MISS**2)
    start_at_random()
    before, p, total, beta = 0.0, 1.0, 1.0, 0.0
    for step in range(1, LONGEST_SEARCH + 1):
        j = basis.count - 1
        before, p = p, (t - float(basis.T[j, j])) * p - beta * before
        beta = float(basis.S[:, -1:].norm())
        if beta == 0:
            # the basis spans everything that H can reach from this start
            return not bool((basis.ritz()[0][:D] > wanted + allowed).any())
        p /= beta
        total += p * p
        if p <= 0 and bool((basis.ritz()[0][:D] > wanted + allowed).any()):
            return False
        if basis.count == basis.capacity or (p > 0 and total >= enough):
            return True
        if step < LONGEST_SEARCH:
            basis.extend()
    return True
