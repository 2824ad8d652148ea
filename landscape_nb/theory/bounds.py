"""Upper bounds from the papers, as printed and, where the print is wrong, corrected.

Bounds are one-sided: the notebooks show how far above the truth they lie.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from landscape_nb.numerics import checks
from landscape_nb.numerics.devices import factorised


def rate_bound(k: int, D: int, sigma: float, M_loss: float, M_grad: float, M_hess: float) -> float:
    """KG26's upper bound of the quadratic model's Delta_2^(D)(k+1).

    (12 M_l^2 + 3 sigma^2 M_g^2 + 3 sigma^4 (D^2 + 2D) M_H^2) / (k+1)^2      KG26 Thm. 2, Eq. 10

    Holds when |l_i| <= M_loss for i = 1..k+1, |grad l_{k+1}| <= M_grad and |H_i|_2 <= M_hess at
    w_k*, an exact minimiser. The paper calls it one-sided and claims no tightness, neither of the
    rate nor of D^2 + 2D (arXiv v1, sec. 7). Its proof uses of the subspace only that it has D
    dimensions: with D = N it bounds the full-space criterion too. `effective_rank_bound` is the
    same bound without the dimension.

    Args:
        k: number of samples before the increment, >= 1.
        D: dimension of the probe, >= 1.
        sigma: standard deviation of the probe.
        M_loss: bound of the per-sample losses.
        M_grad: bound of the next sample's gradient norm.
        M_hess: bound of the per-sample Hessians' spectral norms.

    Returns:
        The bound, in loss^2.

    >>> rate_bound(1, 1, 1.0, M_loss=1.0, M_grad=1.0, M_hess=1.0)   # (12 + 3 + 9) / 4
    6.0
    """
    k = checks.whole_number("k", k, 1, None, "number of samples before the increment")
    D = checks.whole_number("D", D, 1, None, "dimension of the probe")
    return effective_rank_bound(k, sigma, M_loss, M_grad, M_hess, trace_rank=D, stable_rank=D)


def effective_rank_bound(
    k: int,
    sigma: float,
    M_loss: float,
    M_grad: float,
    M_hess: float,
    trace_rank: float,
    stable_rank: float,
) -> float:
    """`rate_bound` with effective ranks of the Hessians in place of the dimension, N or D.

    (12 M_l^2 + 3 sigma^2 M_g^2 + 3 sigma^4 (r1^2 + 2 r2) M_H^2) / (k+1)^2

    where |tr U'H_iU| <= r1 M_H and |U'H_iU|_F^2 <= r2 M_H^2 for all samples. Not in the papers.
    Proof: the curvature term of Thm. 2 is (3/4) sigma^4 ((tr B)^2 + 2 |B|_F^2), exactly; and since
    B = U'(H_{k+1} - H^(k))U/(k+1), |tr B| <= 2 r1 M_H/(k+1) and |B|_F <= 2 sqrt(r2) M_H/(k+1).

    r1 <= D and r2 <= D always (|tr X| <= D |X|_2, |X|_F^2 <= D |X|_2^2), so it is never above
    `rate_bound`, and equal where a sample's Hessian is a multiple of the identity on the span of
    U. In the full space (U the identity) it does not grow with N, but with the effective rank: for
    cross-entropy over C classes a Hessian is, up to residuals, of rank C - 1.

    Args:
        k, sigma, M_loss, M_grad, M_hess: as in `rate_bound`.
        trace_rank: r1, dimensionless, as `effective_ranks` gives it.
        stable_rank: r2, dimensionless.

    Returns:
        The bound, in loss^2.

    >>> effective_rank_bound(1, 1.0, 1.0, 1.0, 1.0, trace_rank=1.0, stable_rank=1.0)  # D = 1
    6.0
    """
    k = checks.whole_number("k", k, 1, None, "number of samples before the increment")
    sigma = checks.positive("sigma", sigma, "standard deviation of the probe")
    M_l = checks.non_negative("M_loss", M_loss, "bound of the per-sample losses")
    M_g = checks.non_negative("M_grad", M_grad, "bound of the next sample's gradient")
    M_H = checks.non_negative("M_hess", M_hess, "bound of the per-sample Hessians")
    r1 = checks.non_negative("trace_rank", trace_rank, "largest |trace| over M_hess")
    r2 = checks.non_negative("stable_rank", stable_rank, "largest |H|_F^2 over M_hess^2")
    return checks.finite_result(
        "The bound",
        lambda: (
            (12 * M_l**2 + 3 * sigma**2 * M_g**2 + 3 * sigma**4 * (r1**2 + 2 * r2) * M_H**2)
            / (k + 1) ** 2
        ),
        f"Lower sigma = {sigma:g}, or M_loss, M_grad, M_hess = {M_l:g}, {M_g:g}, {M_H:g}.",
    )


def effective_ranks(hessians: Tensor, M_hess: float | None = None) -> tuple[float, float]:
    """Trace rank r1 = max |tr H_i| / M_H and stable rank r2 = max |H_i|_F^2 / M_H^2 of matrices.

    Of one positive semidefinite matrix of rank r, both are between 1 and r (r1 is then known as
    its intrinsic dimension, or effective rank); of a multiple of a projector both are r.

    Args:
        hessians: (m, D, D), symmetric: of samples, along the columns of U or in the full space.
        M_hess: M_H, at least every |H_i|_2; the largest of them if not given.

    >>> effective_ranks(torch.diag(torch.tensor([2.0, 2.0, 0.0]))[None])
    (2.0, 2.0)
    """
    H = hessians
    if not isinstance(H, Tensor) or H.ndim != 3 or H.shape[1] != H.shape[2] or not H.numel():
        got = tuple(H.shape) if isinstance(H, Tensor) else type(H).__name__
        raise ValueError(
            f"hessians must be square matrices, one for each sample, (m, D, D); got {got}. One "
            "matrix is H[None]."
        )
    if not torch.isfinite(H).all():
        raise ValueError("hessians must be finite; they hold NaN or infinity.")
    if M_hess is None:
        M_H = float(factorised(torch.linalg.matrix_norm, H, ord=2).max())
    else:
        M_H = checks.non_negative("M_hess", M_hess, "bound of the per-sample Hessians")
    if M_H == 0:
        return 0.0, 0.0
    trace = H.diagonal(dim1=-2, dim2=-1).sum(-1).abs().max()
    return float(trace) / M_H, float((H / M_H).square().sum((-2, -1)).max())


def increment_bound(k: int, M_loss: float, M_hess: float, radius: float) -> float:
    """KG24's upper bound of |L_{k+1}(w) - L_k(w)| within a radius of a common minimiser.

    (2 / (k+1)) (M_l + M_H R^2)                                          KG24 Lemma 2, sec. 4.2

    Taylor's remainder has a factor 1/2 that the paper leaves out (sec. 3.2), so the bound is looser
    than it need be by up to 2 in its second term. It assumes that w_k* is stationary for both
    losses (Assumption 1), and calls itself rough (sec. 6). What KG24 measures beside it, |I_k| by
    width and depth, is the stored study `width_depth`.

    >>> increment_bound(1, M_loss=1.0, M_hess=2.0, radius=0.5)
    1.5
    """
    k = checks.whole_number("k", k, 1, None, "number of samples before the increment")
    M_l = checks.non_negative("M_loss", M_loss, "bound of the per-sample losses")
    M_H = checks.non_negative("M_hess", M_hess, "bound of the per-sample Hessians")
    R = checks.non_negative("radius", radius, "distance from the minimiser")
    return checks.finite_result(
        "The bound",
        lambda: 2 / (k + 1) * (M_l + M_H * R**2),
        f"Lower radius = {R:g}, or M_loss, M_hess = {M_l:g}, {M_H:g}.",
    )


def hessian_norm_bound_printed(num_layers: int, M_weight: float, M_input: float) -> float:
    """KG24's bound of a per-sample Hessian's spectral norm, as printed. It fails for small weights.

    sqrt(2) L M_x^2 M_W^(2L)  +  sqrt(2) M_W^2 (M_W^(2L) - 1) / (M_W^2 - 1)       KG24 Thm. 1

    For a ReLU network of L layers without biases, |W^(p)|_2 <= M_W, |x|_2 <= M_x, and the
    Gauss-Newton part alone, which the paper says it takes for the Hessian (sec. 3.4). Each layer's
    own weight must not be among the factors (the derivative with respect to it has removed
    it; in the proof, appendix A.2, the product begins at s = p where it is p + 1), so for small
    weights the printed bound goes to zero while the Hessian does not.
    Use `gauss_newton_norm_bound`.

    >>> round(hessian_norm_bound_printed(1, M_weight=1.0, M_input=1.0), 3)   # 2 sqrt(2)
    2.828
    """
    L = checks.whole_number("num_layers", num_layers, 1, 1_000_000, "layers with weights")
    W = checks.non_negative("M_weight", M_weight, "bound of the weights' spectral norms")
    x = checks.non_negative("M_input", M_input, "bound of the inputs' norms")

    def bound() -> float:
        W2 = W**2
        geometric = sum(W2 ** (p + 1) for p in range(L))  # W2 (W2^L - 1)/(W2 - 1), also at W2 = 1
        return 2**0.5 * (L * x**2 * W2**L + geometric)

    return checks.finite_result(
        "The bound",
        bound,
        f"Lower M_weight = {W:g}, M_input = {x:g}, or the number of layers, {L}.",
    )


def gauss_newton_norm_bound(weights: Sequence[Tensor], x: Tensor) -> Tensor:
    """Upper bound of a sample's Gauss-Newton matrix F'AF for a ReLU network without biases.

    |G|_2  <=  (1/2) sum_p |x^(p)|^2 prod_{s>p} |W^(s)|_2^2              KG24 Thm. 1, corrected

    x^(p) is the input of layer p, and 1/2 bounds |diag(p) - pp'|_2 for softmax cross-entropy.
    Almost everywhere the Hessian is G plus a term that vanishes with the residual.

    Args:
        weights: W^(1) (h_1, d), W^(2) (h_2, h_1), ..., in order.
        x: (d,), one input, or (n, d), several.

    Returns:
        () or (n,), in units of loss per squared unit of parameter.

    >>> float(gauss_newton_norm_bound([torch.zeros(2, 1)], torch.tensor([2.0])))
    2.0
    """
    if not weights:
        raise ValueError("weights is empty; give the weight matrices in order, inputs first.")
    width = x.shape[-1]
    for p, W in enumerate(weights):
        if W.ndim != 2 or W.shape[1] != width:
            raise ValueError(
                f"weights[{p}] must map {width} numbers, shape (outputs, {width}); got shape "
                f"{tuple(W.shape)}. Give the matrices in order, inputs first."
            )
        width = W.shape[0]
    norms = [factorised(torch.linalg.matrix_norm, W, ord=2) ** 2 for W in weights]
    h, total = x, torch.zeros(x.shape[:-1], dtype=x.dtype, device=x.device)
    for p, W in enumerate(weights):
        later = torch.stack([torch.ones_like(norms[0]), *norms[p + 1 :]]).prod()
        total = total + h.square().sum(-1) * later / 2
        h = torch.relu(h @ W.T)
    return checks.finite_result("The bound", total, "Scale the weights or the input down.")
