"""The method of KG26's published code, in our words: what the benchmarks measure against.

Rewritten from a description; not a line is copied. Teach it, then replace it.

Eigenpairs: power iteration, at most 30 steps for each pair, until the eigenvalue changes by less
than 1e-4 of itself. A pair that was found is deflated: its |lambda| u u' is subtracted from every
later product. Each product differentiates the loss twice, from scratch.

Why it fails:
* power iteration follows the largest |lambda|, not the largest lambda;
* the eigenvalue is read off as |H u|, so every eigenvalue looks positive. Deflating a negative
  one by its magnitude doubles it, lambda - |lambda| = 2 lambda, and it is found again, larger;
* later vectors are never made orthogonal to the earlier ones, so what an unconverged pair leaves
  behind comes back;
* 30 steps cannot separate close eigenvalues, the eigenvalue settles long before the vector does
  (its error is the square of the vector's), and no residual is ever looked at.

The spectrum (3, 2, -5, 1, 0.5) shows the first two at work: run this file.

Increments: a, c and B for one k at a time, from 2 D Hessian-vector products (D of L_k, D of
L_{k+1}), each with a new graph.

One fault is left out, because it would make the comparison meaningless: the published code builds
its Hessians from at most 4 sequences whatever k is, so its B_k is not the B_k of the definition.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

STEPS = 30  # power iterations for each pair, as in the published code
TOLERANCE = 1e-4  # relative change of the eigenvalue, as in the published code


class PaperPairs(NamedTuple):
    """Pairs in the order in which they were found, and the products spent."""

    values: Tensor
    vectors: Tensor
    products: int


def gradient(loss: Callable[[Tensor], Tensor], w: Tensor) -> Tensor:
    """Gradient of a scalar loss."""
    leaf = w.clone().requires_grad_()
    return torch.autograd.grad(loss(leaf), leaf)[0]


def hessian_vector_product(loss: Callable[[Tensor], Tensor], w: Tensor, v: Tensor) -> Tensor:
    """H v by reverse mode twice; the graph is built, used once and thrown away."""
    leaf = w.clone().requires_grad_()
    g = torch.autograd.grad(loss(leaf), leaf, create_graph=True)[0]
    return torch.autograd.grad(g, leaf, v)[0]


def deflated_power_iteration(
    apply: Callable[[Tensor], Tensor],
    N: int,
    D: int,
    generator: torch.Generator,
    like: Tensor | None = None,
) -> PaperPairs:
    """D "largest" eigenpairs of `apply` by power iteration and deflation by |lambda|.

    In float64 on the CPU, or in the dtype and on the device of `like`.
    """
    like = torch.zeros(0).double() if like is None else like
    values, vectors, products = like.new_zeros(D), like.new_zeros(N, D), 0
    for j in range(D):
        v = torch.randn(N, dtype=torch.float64, generator=generator).to(like)
        v, value = v / v.norm(), float("inf")
        for _ in range(STEPS):
            Hv = apply(v) - vectors @ (values * (vectors.T @ v))
            products += 1
            before, value = value, float(Hv.norm())  # a norm: the sign is lost here
            v = Hv / value
            if abs(value - before) <= TOLERANCE * value:
                break
        values[j], vectors[:, j] = value, v
    return PaperPairs(values, vectors, products)


def increment(
    loss: Callable[[Tensor, int], Tensor], w: Tensor, U: Tensor, k: int
) -> tuple[Tensor, Tensor, Tensor]:
    """(a, c, B) of L_{k+1} - L_k on the span of U, from `loss(w, k)` alone."""

    def derivatives(k: int) -> tuple[Tensor, Tensor, Tensor]:
        def L_k(w: Tensor) -> Tensor:
            return loss(w, k)

        HU = torch.stack([hessian_vector_product(L_k, w, u) for u in U.unbind(1)], dim=1)
        return L_k(w), U.T @ gradient(L_k, w), U.T @ HU

    after, before = derivatives(k + 1), derivatives(k)
    a, c, B = (x - y for x, y in zip(after, before, strict=True))
    return a, c, (B + B.T) / 2


def main() -> None:
    """The five eigenvalues on which everything goes wrong."""
    spectrum = torch.tensor([3.0, 2.0, -5.0, 1.0, 0.5]).double()
    found = deflated_power_iteration(
        lambda v: spectrum * v, N=5, D=3, generator=torch.Generator().manual_seed(0)
    )
    overlap = (found.vectors.T @ found.vectors).abs()
    print("spectrum                3, 2, -5, 1, 0.5")
    print("three largest           3, 2, 1")
    print("deflated power iter.    " + ", ".join(f"{value:.4g}" for value in found.values))
    print(f"its vectors overlap by  {float(overlap[0, 1]):.6f} (orthogonal: 0)")


if __name__ == "__main__":
    main()
