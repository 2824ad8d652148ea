"""Subspaces to probe: the top eigenspace of the Hessian, and what to compare it with.

The criterion Delta_2^(D) asks for the top-D eigenspace of H^(k). Whether that is a good place to
look can only be said beside controls: a random subspace, the bottom of the spectrum, principal
components of other unseen samples' gradients, the span of the next sample's Jacobian, and the
increment's own eigenspace. The last two are oracles: they are chosen after the next sample is seen,
the others before.
"""

import dataclasses

import torch
from torch import Tensor

from landscape_nb.numerics import checks
from landscape_nb.numerics.batches import used_outputs
from landscape_nb.numerics.devices import factorised, normal
from landscape_nb.numerics.eigensolver import Eigenpairs, Search, largest_eigenpairs
from landscape_nb.numerics.loss import EmpiricalLoss, Samples
from landscape_nb.numerics.operators import ProductOperator
from landscape_nb.theory.energy import Basis, Energy, captured_energy
from landscape_nb.theory.increment import increment

__all__ = [
    "bottom_eigenpairs",
    "gradient_subspace",
    "increment_eigenpairs",
    "jacobian_subspace",
    "random_subspace",
    "top_eigenpairs",
    # of theory.energy, where saved notebooks look for them
    "Basis",
    "Energy",
    "captured_energy",
]


def top_eigenpairs(
    loss: EmpiricalLoss,
    w: Tensor,
    k: Samples,
    D: int,
    tol: float = 1e-4,
    start: Tensor | None = None,
    generator: torch.Generator | None = None,
    *,
    max_products: int | None = None,
    max_basis: int | None = None,
    progress: bool = False,
) -> Eigenpairs:
    """The D algebraically largest eigenpairs of the Hessian H^(k)(w), certified.

    H^(k)(w) u_i = lambda_i u_i,  lambda_1 >= lambda_2 >= ... >= lambda_D         KG26 sec. 3

    Negative eigenvalues never crowd out positive ones, however large, and copies of repeated
    eigenvalues are searched for (`numerics.eigensolver` says how surely they are found). The L2
    term shifts values by l2 and leaves vectors as they are.

    Args:
        loss: the empirical loss.
        w: (N,), any point; w_k* for the criterion.
        k: number of samples, 1..n, or a range of them.
        D: number of pairs, 1..N.
        tol: largest residual relative to the largest wanted |lambda| (1e-4: chosen here).
        start: (N, d), a guess of the eigenspace, for example the vectors of the previous k.
        generator: randomness; None means a fresh generator with seed 0.
        max_products: products allowed before refusing (default 40 D + 400).
        max_basis: vectors of length N held at most (default max(2 D + 30, 60)), D + 45 at least.
        progress: show a progress bar with residuals.

    Returns:
        `Eigenpairs`: values (D,) descending, vectors (N, D), residuals (D,), gap, hvp_count,
        noise. Costs about 2 D + 10 products where the spectrum has a gap, more where it has none;
        D + 2 more where products are less exact than their precision. In float64 all but two are
        taken in float32 where the loss is large (`numerics.float32`) and tol allows it.

    Raises:
        ConvergenceError: not converged, or not confirmed by fresh products; nothing doubtful is
            returned.
        ValueError: an argument does not fit.

    >>> from landscape_nb.problems.toys import quadratics
    >>> toy = quadratics(1, 5, eigenvalues=[3.0, 2.0, -5.0, 1.0, 0.5])
    >>> loss = EmpiricalLoss(*toy.parts)
    >>> top_eigenpairs(loss, loss.w0, 1, D=3).values.round(decimals=6).tolist()
    [3.0, 2.0, 1.0]
    """
    search = Search(tol, "wanted", start, generator, max_products, max_basis, progress)
    return largest_eigenpairs(loss.hessian_operator(w, k), D, search)


def bottom_eigenpairs(
    loss: EmpiricalLoss,
    w: Tensor,
    k: Samples,
    D: int,
    tol: float = 1e-4,
    start: Tensor | None = None,
    generator: torch.Generator | None = None,
    *,
    max_products: int | None = None,
    max_basis: int | None = None,
    progress: bool = False,
) -> Eigenpairs:
    """The D algebraically smallest eigenpairs of H^(k)(w), values ascending: a control.

    Arguments, errors and cost as in `top_eigenpairs`, but `tol` is relative to the largest
    magnitude in the whole spectrum: networks have a cluster of tiny eigenvalues at the bottom,
    whose members can't be told apart and need not be. A gap below the residuals says so.

    >>> from landscape_nb.problems.toys import quadratics
    >>> loss = EmpiricalLoss(*quadratics(1, 4, eigenvalues=[3.0, 2.0, -5.0, 1.0]).parts)
    >>> bottom_eigenpairs(loss, loss.w0, 1, D=2).values.round(decimals=6).tolist()
    [-5.0, 1.0]
    """
    search = Search(tol, "spectrum", start, generator, max_products, max_basis, progress)
    pairs = largest_eigenpairs(-loss.hessian_operator(w, k), D, search)
    return dataclasses.replace(pairs, values=-pairs.values)


def increment_eigenpairs(
    loss: EmpiricalLoss,
    w: Tensor,
    k: int,
    D: int,
    tol: float = 1e-4,
    generator: torch.Generator | None = None,
    *,
    candidate: int | None = None,
) -> Eigenpairs:
    """The D eigenpairs of the increment's own Hessian that are largest in magnitude.

    A_k = H^(k+1)(w) - H^(k)(w) = (H_{k+1}(w) - H^(k)(w)) / (k + 1)

    A_k is indefinite, so its eigenvectors are ranked by |value|: this subspace captures the most
    of |A_k|_F^2 that any D directions can. Values are signed, in descending magnitude.

    Args:
        loss: the empirical loss.
        w: (N,).
        k: number of samples before the increment, 1..n-1.
        D: number of pairs, 1..N.
        tol: largest residual relative to the largest |eigenvalue| of A_k.
        generator: randomness; None means seed 0.
        candidate: index of the sample that comes next, k if not given.

    Returns:
        `Eigenpairs`; gap is in magnitude. Costs products with k + 1 samples, about twice those
        of `top_eigenpairs`.

    Raises:
        ConvergenceError: not converged.
        ValueError: an argument does not fit, or the candidate is among the first k samples.

    >>> from landscape_nb.problems.toys import Quadratics
    >>> zero = torch.zeros(2, 2, dtype=torch.float64)
    >>> A = torch.tensor([[0.0, 0.0], [2.0, -6.0]]).double().diag_embed()
    >>> loss = EmpiricalLoss(*Quadratics(zero[:, 0], zero, A).parts)
    >>> increment_eigenpairs(loss, loss.w0, k=1, D=2).values.round(decimals=6).tolist()
    [-3.0, 1.0]
    """
    k = checks.whole_number("k", k, 1, loss.num_samples - 1, "there must be a next sample")
    i = checks.next_sample(k if candidate is None else candidate, k, loss.num_samples)
    loss = loss.without_l2()
    before, after = loss.hessian_operator(w, k), loss.hessian_operator(w, range(i, i + 1))
    A = ProductOperator(
        lambda columns: increment(after.multiply(columns), before.multiply(columns), k), loss.w0
    )
    # For an easy next sample one end of the spectrum is empty: only |A|'s scale makes sense.
    search = Search(tol, "spectrum", generator=generator)
    high = largest_eigenpairs(A, D, search)
    parts = [(high.values, high.vectors, high.residuals)]
    # estimates of the values just beyond those found, while they are on this end's side of zero
    beyond = [max(float(high.values[-1]) - high.gap, 0.0)]
    count, noise, rest = high.hvp_count, high.noise, min(D, loss.num_params - D)
    if rest > 0:  # the lowest pairs that are not among the D highest
        low = largest_eigenpairs(-A, rest, search)
        parts.append((-low.values, low.vectors, low.residuals))
        beyond.append(max(float(low.values[-1]) - low.gap, 0.0))
        count, noise = count + low.hvp_count, max(noise, low.noise)
    values, vectors, residuals = (torch.cat(part, dim=-1) for part in zip(*parts, strict=True))
    order = values.abs().argsort(descending=True, stable=True)
    chosen, left = order[:D], order[D:]
    gap = float("inf")
    if loss.num_params > D:
        gap = float(values[chosen[-1]].abs()) - max(*beyond, *values[left].abs().tolist(), 0.0)
    return Eigenpairs(values[chosen], vectors[:, chosen], residuals[chosen], gap, count, noise)


def random_subspace(
    N: int, D: int, generator: torch.Generator, *, dtype: torch.dtype = torch.float64
) -> Tensor:
    """An orthonormal basis (N, D) of a uniformly random D-dimensional subspace: a control.

    It captures D/N of a gradient's squared norm on average.

    >>> U = random_subspace(6, 2, torch.Generator().manual_seed(0))
    >>> torch.allclose(U.T @ U, torch.eye(2, dtype=U.dtype))
    True
    """
    N = checks.whole_number("N", N, 1, None, "number of parameters")
    D = checks.whole_number("D", D, 1, N, f"at most N = {N} directions exist")
    dtype = checks.real_dtype("dtype", dtype)
    generator = checks.explicit_generator(generator)
    return factorised(torch.linalg.qr, normal(N, D, generator=generator)).Q.to(dtype)


def gradient_subspace(
    loss: EmpiricalLoss, w: Tensor, k: int, samples: range | Tensor, D: int
) -> Tensor:
    """An orthonormal basis (N, D) of principal components of some unseen samples' gradients.

    U = leading left singular vectors of [grad l_i(w) - g^(k)(w)]_{i in samples},  not centred

    Of all probes that do not know the next sample, this one catches most of |U' grad I|^2 on the
    samples that it is built from, so on others like them it is what a fixed probe of the gradient
    can hope for: the fair control for U_D. Judge it on other samples than these. KG26 sec. 8
    suggests subspaces spanned by gradients.

    Args:
        loss: the empirical loss; its L2 term cancels in an increment.
        w: (N,), usually w_k*.
        k: number of samples in L_k, 1..n-1.
        samples: indices (from 0) of m samples after the first k, a range or a tensor.
        D: number of directions, at most m and N; with m near D it spans these samples' own
            gradients rather than what they have in common.

    Returns:
        (N, D), by falling share of the gradients' energy, signs arbitrary. Costs m gradients, held
        together, and one singular value decomposition, O(N m min(N, m)).

    Raises:
        ValueError: an argument does not fit, a sample is among the first k, or the gradients span
            fewer than D directions.

    >>> from landscape_nb.problems.toys import softmax_regression
    >>> toy = softmax_regression(9, 2, 3, generator=torch.Generator().manual_seed(0))
    >>> loss = EmpiricalLoss(*toy.parts)
    >>> U = gradient_subspace(loss, loss.w0, 4, range(4, 9), D=2)
    >>> g = loss.sample_gradients(loss.w0, range(4, 9)) - loss.gradient(loss.w0, 4)
    >>> share = (g @ U).square().sum() / g.square().sum()
    >>> tuple(U.shape), round(float(share), 3)
    ((6, 2), 0.935)
    """
    w = checks.parameter_vector(w, loss.w0)
    k = checks.whole_number("k", k, 1, loss.num_samples - 1, "there must be a next sample")
    samples = checks.candidates(samples, k, loss.num_samples)
    most, loss = min(len(samples), len(w)), loss.without_l2()
    D = checks.whole_number("D", D, 1, most, f"{len(samples)} gradients in R^{len(w)} span no more")
    G = loss.sample_gradients(w, samples).sub_(loss.gradient(w, k))
    U = _span(G.T)
    if U.shape[1] < D:
        raise ValueError(
            f"The increments' gradients of these {len(samples)} samples span {U.shape[1]} "
            f"directions, fewer than D = {D}. Give more samples, or lower D."
        )
    return U[:, :D].clone()  # a view would keep all of U


@torch.enable_grad()
def jacobian_subspace(loss: EmpiricalLoss, w: Tensor, i: int) -> Tensor:
    """An orthonormal basis (N, K) of the span of the output Jacobian of sample i at w.

    span { grad f_1(x_i; w), ..., grad f_K(x_i; w) },  K outputs (logits)

    The gradient of l_i lies in it by the chain rule, and so does the range of the Gauss-Newton
    part of its Hessian. The next sample of L_k is i = k (indices start at 0). Costs K backward
    passes through one sample. For a sample with several output rows all of them count, and of a
    model that returns several tensors those that the loss depends on.

    Returns:
        (N, r) with r = K unless some output gradients are linearly dependent (then r < K).

    Raises:
        ValueError: i outside 0..n-1, or every output gradient is zero.

    >>> from landscape_nb.problems.toys import softmax_regression
    >>> toy = softmax_regression(5, 2, 3, generator=torch.Generator().manual_seed(0))
    >>> loss = EmpiricalLoss(*toy.parts)
    >>> U, g = jacobian_subspace(loss, loss.w0, 4), loss.gradient(loss.w0, range(4, 5))
    >>> tuple(U.shape), torch.allclose(U @ (U.T @ g), g)
    ((6, 3), True)
    """
    w = checks.parameter_vector(w, loss.w0)
    i = checks.whole_number("i", i, 0, loss.num_samples - 1, "index of a sample, from 0")
    leaf = w.clone().requires_grad_()
    alone = range(i, i + 1)
    used = used_outputs(loss.outputs_at(leaf, alone), lambda f: loss.losses_of(f, alone), leaf)
    outputs = used.flat()
    rows = [torch.autograd.grad(f, leaf, retain_graph=True)[0] for f in outputs]
    U = _span(torch.stack(rows, dim=1))
    if not U.shape[1]:
        raise ValueError(f"Every output gradient of sample {i} is zero at this w; nothing to span.")
    return U


def _span(columns: Tensor) -> Tensor:
    """Left singular vectors (N, r) of columns (N, m), by falling singular value, without zeros."""
    U, singular, _ = factorised(torch.linalg.svd, columns, full_matrices=False)
    return U[:, singular > 100 * torch.finfo(columns.dtype).eps * singular[0]]
