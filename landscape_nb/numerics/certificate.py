"""Are these eigenpairs of H? Asked of H itself, by products that no solver has seen.

A solver's own account of its residuals assumes that its products were linear, symmetric and exact.
Where they are not (low precision inside the model, a wrong second derivative, noise) the account
stays perfect and the pairs are wrong. So, when the pairs have converged, two more products
(`spot_check`); and where those differ from the account by more than 100 roundings, or the pairs
have not converged, D + 2 more (`certify`), of

    U,   a direction r,   and  x = 3 (U c + r),  |c| = 1,

say what was assumed:
* residuals: |H u_i - lambda_i u_i|;
* linearity: |H x / 3 - (H U) c - H r| / |x / 3|, of sums and of multiples at once;
* symmetry: the norm of W'HW - (W'HW)' with W = [U, r].
All sums are in float64, whatever the precision of the products.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from landscape_nb.numerics.devices import in_float64, normal, on_cpu, widened, widest
from landscape_nb.numerics.krylov import KrylovBasis
from landscape_nb.numerics.operators import SymmetricOperator

SPOTS = 2  # products of a spot check
EXTRA = 2  # products besides those of U: of r and of x
# Not a power of two: numbers of any binary format round alike when all are doubled. Chosen here.
_MULTIPLE = 3.0
_PIECE = 2**18  # numbers converted to float64 at once (2 MB): chosen here


@dataclass(frozen=True, eq=False)
class Certificate:
    """What fresh products say about D pairs, in the units of the eigenvalues.

    Attributes:
        residuals: (D,), |H u - lambda u|, in float64.
        nonlinearity: |H(x) - sum_j b_j H(v_j)| for x = sum_j b_j v_j, for one unit of x.
        asymmetry: norm of the antisymmetric part twice over, W'HW - (W'HW)', seen from the span
            of W = [U, r].
    """

    residuals: Tensor
    nonlinearity: float
    asymmetry: float

    @property
    def noise(self) -> float:
        """The larger of both: an estimate of how far a product may be from that of any matrix."""
        return max(self.nonlinearity, self.asymmetry)

    def told(self, allowed: float) -> str:
        """What was measured, and what that suggests; nothing where it suggests nothing."""
        measured = (
            f"Products miss linearity by {self.nonlinearity:.1e} (that of a weighted sum, against "
            f"the sum of the products) and symmetry by {self.asymmetry:.1e} (U'HU against its "
            f"transpose); {allowed:.1e} is allowed. "
        )
        if self.nonlinearity > allowed:
            return measured + (
                "A Hessian is linear, so these products are not exact: low precision inside the "
                "model (autocast, .half(), .bfloat16(), TF32 on a GPU), randomness, or differences "
                "of gradients in place of derivatives are the usual causes. Run all of it in "
                "float64."
            )
        if self.asymmetry > allowed:
            return measured + (
                "A Hessian is symmetric, so the second derivatives are wrong: an autograd.Function "
                "whose backward is not what its forward asks for, a detach() in part of the "
                "gradient, or torch.nn.utils.parametrizations.weight_norm are the usual causes. "
                "Write that part out."
            )
        return measured + (
            "They do not tell the cause: an operator that changes from call to call, or rounding "
            "that grew over many restarts, would look like this. Try float64 or a larger max_basis."
        )


def certify(
    H: SymmetricOperator, values: Tensor, U: Tensor, r: Tensor, width: int | None = None
) -> Certificate:
    """The certificate of D pairs, by D + 2 products.

    The solver asks for it only where a spot check, of 2 products that come on top, did not confirm
    its account, or where the pairs have not converged.

    Args:
        H: the operator.
        values: (D,).
        U: (N, D), unit columns.
        r: (N,), a unit vector with which linearity and symmetry are tried besides U.
        width: products taken at once, all of them if not given; memory is about 4 N width.

    Raises:
        ValueError: a product is not finite.

    >>> from landscape_nb.numerics.operators import as_operator
    >>> A = torch.tensor([[3.0, 0.0], [0.125, 1.0]]).double()            # not symmetric
    >>> e = torch.eye(2).double()
    >>> found = certify(as_operator(A), torch.tensor([3.0]).double(), e[:, :1], e[:, 1])
    >>> found.residuals.tolist(), found.nonlinearity < 1e-15, round(found.asymmetry, 9)
    ([0.125], True, 0.125)
    """
    D = U.shape[1]
    width = D + EXTRA if width is None else width
    c = _weights(D).to(U)
    x = _MULTIPLE * (U @ c + r)
    last = torch.tensor([-1.0, 1 / _MULTIPLE], dtype=torch.float64)
    b = torch.cat([-on_cpu(c), last]).to(U.device, widest(U.device))
    theta = widened(U.new_zeros(D + EXTRA))
    theta[:D] = values
    squares = in_float64(torch.zeros_like(theta))
    G = squares.new_zeros(D + 1, D + EXTRA)
    off = theta.new_zeros(len(U))
    for start in range(0, D + EXTRA, width):
        chosen = slice(start, min(start + width, D + EXTRA))
        V = torch.cat([U[:, chosen], _columns(r, x, chosen, D)], dim=1)
        HV = H.multiply(V)
        if float(H.largest(widened((~torch.isfinite(HV)).any()))):
            raise ValueError(
                "A Hessian-vector product is not finite though those before it were: the operator "
                "is not linear, or its curvature overflows."
            )
        for rows in _pieces(len(U), D + 2 * width):
            w, v, Hv = widened(U[rows]), widened(V[rows]), widened(HV[rows])
            squares[chosen] += in_float64((Hv - v * theta[chosen]).square().sum(0))
            G[:D, chosen] += in_float64(w.T @ Hv)
            G[D, chosen] += in_float64(widened(r[rows]) @ Hv)
            off[rows] += Hv @ b[chosen]
        del V, HV
    lengths = in_float64(torch.stack([off.square().sum(), widened(x).square().sum()]))
    sums = H.total(torch.cat([squares[:D], lengths, G[:, : D + 1].flatten()])).cpu()
    squares, lengths, G = sums[:D], sums[D : D + 2], sums[D + 2 :].view(D + 1, D + 1)
    return Certificate(
        residuals=squares.sqrt(),
        nonlinearity=_MULTIPLE * float((lengths[0] / lengths[1]).sqrt()),
        asymmetry=float(torch.linalg.matrix_norm(G - G.T, 2)),
    )


def spot_check(
    H: SymmetricOperator, basis: KrylovBasis, Y: Tensor, generator: torch.Generator
) -> tuple[float, float]:
    """How far fresh products of random combinations stray from a basis's own account of them.

    With H Q = Q T + F S + E, two products of 3 Q y, each y half of Y and half of all of the basis,
    measure |E y|. What E does to the columns of Q Y, all together, is then about
    sqrt(2 D mean |E y|^2), and more than ten times that in one case of a hundred at most
    (chi-square with two degrees of freedom, where E has rank 1).

    Args:
        H: the operator that is asked: the basis's own, or one that should be nearly the same.
        basis: the basis.
        Y: (m, D), coefficients of the vectors that matter, orthonormal.
        generator: randomness; its state is left as it is.

    Returns:
        The estimate for the columns of Q Y; the root mean square of |E y| for |y| = 1.
    """
    own = torch.Generator(generator.device)
    own.set_state(generator.get_state())
    draw = on_cpu(normal(sum(Y.shape), SPOTS, generator=own))
    c, z = draw.split([Y.shape[1], Y.shape[0]])
    z = torch.where((z * (Y @ c)).sum(0) < 0, -z, z)  # so that the sum of both can't vanish
    y = Y @ (c / c.norm(dim=0)) + z / z.norm(dim=0)
    y *= _MULTIPLE / y.norm(dim=0)
    HV = H.multiply(basis.vectors(y).T.to(H.dtype))
    size = float(basis.strayed(y, HV).square().mean().sqrt()) / _MULTIPLE
    return (2 * Y.shape[1]) ** 0.5 * size, size


def direction(basis: KrylovBasis, generator: torch.Generator) -> Tensor:
    """A random unit vector, half from the basis and half from the whole space.

    From the basis, because a fault of H there is what makes pairs wrong, and a random direction of
    N hardly sees it. The generator's own stream stays where it is.
    """
    own = torch.Generator(generator.device)
    own.set_state(generator.get_state())
    z = on_cpu(normal(basis.count, 1, generator=own))
    g = basis.H.random_vector(own)
    r = widened(basis.vectors(z / z.norm())[0]) + g / basis.norm(g)
    return (r / basis.norm(r)).to(basis.H.dtype)


def _weights(D: int) -> Tensor:
    """D numbers of norm 1, none zero, no two alike."""
    c = 1 + torch.arange(1, D + 1, dtype=torch.float64).cos() / 2
    return c / c.norm()


def _columns(r: Tensor, x: Tensor, chosen: slice, D: int) -> Tensor:
    """Those of the columns r and x, numbers D and D + 1, that are chosen."""
    wanted = [v for j, v in enumerate((r, x), start=D) if chosen.start <= j < chosen.stop]
    return torch.stack(wanted, dim=1) if wanted else r.new_empty(len(r), 0)


def _pieces(N: int, columns: int) -> Iterator[slice]:
    step = max(1024, _PIECE // columns)
    return (slice(i, i + step) for i in range(0, N, step))
