"""Sharpness that no rescaling of the layers changes, beside the plain kinds.

W_1 a and W_2 / a are the same ReLU network. The largest eigenvalue and the trace of H change with
a (Dinh et al. 2017, arXiv 1703.04933); what measures a perturbation *relative to the weights* does
not. For the plain kinds see `top_eigenpairs` and `hutchinson_trace`.
"""

import torch
from torch import Tensor

from landscape_nb.numerics import checks
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.operators import ProductOperator, Samples


def adaptive_hessian(loss: EmpiricalLoss, w: Tensor, k: Samples) -> ProductOperator:
    """The Hessian of L_k in relative steps: T H T with T = diag(|w|).

    At a minimum max L(w + e) - L(w) over |T^-1 e| <= rho is rho^2/2 times its largest eigenvalue:
    the adaptive sharpness of Kwon et al. (ASAM, arXiv 2102.11600), elementwise, to second order.
    Its trace is sum_i w_i^2 H_ii, the mean rise under relative noise, times 2/sigma^2.

    Exact, and the same for every rescaling w_i -> s_i w_i that leaves the function as it is. The
    L2 term is no function of the network and is left out.

    Args:
        loss: the empirical loss.
        w: (N,).
        k: number of samples, or indices of them.

    Returns:
        An operator (N, N), in units of loss; for `largest_eigenpairs`, `hutchinson_trace`,
        `.dense()`. A product costs one Hessian-vector product.

    >>> from landscape_nb.problems.toys import quadratics
    >>> toy = quadratics(1, 2, eigenvalues=[3.0, 1.0], spread=0.0, shared_eigenvectors=True)
    >>> loss, w = EmpiricalLoss(*toy.parts), torch.tensor([2.0, 0.5]).double()
    >>> T = torch.diag(w)
    >>> torch.allclose(adaptive_hessian(loss, w, 1).dense(), T @ toy.hessian(1) @ T)
    True
    """
    w = checks.parameter_vector(w, loss.w0)
    H, scale = loss.without_l2().hessian_operator(w, k), w.abs()[:, None]
    return ProductOperator(lambda columns: scale * H.multiply(scale * columns), H)


def relative_flatness(loss: EmpiricalLoss, w: Tensor, k: Samples, layer: str) -> float:
    """Relative flatness of one layer (the larger, the sharper).

    kappa = sum_{s,s'} <W_s, W_s'> tr H_{s,s'},  W_s the rows of W, H_{s,s'} the blocks of its
    Hessian;  = sum_{i,j} v' H v with v = W e_j e_i'    Petzka et al. 2021, arXiv 2001.00939, Def. 3

    Exact, by one Hessian-vector product for each pair of the layer's inputs: small layers only.
    The L2 term is left out.

    Args:
        loss: the empirical loss.
        w: (N,).
        k: number of samples, or indices of them.
        layer: name of the weight matrix, such as "2.weight".

    Returns:
        kappa, in units of loss.

    Raises:
        ValueError: an argument does not fit, or the model has no such matrix.
    """
    w = checks.parameter_vector(w, loss.w0)
    names = loss.layout.unflatten(w)
    if layer not in names or names[layer].ndim != 2:
        matrices = ", ".join(repr(name) for name, p in names.items() if p.ndim == 2)
        raise ValueError(
            f"layer must name a weight matrix of the model; got {checks.shown(layer)}. It has "
            f"{matrices}."
        )
    W, H = names[layer], loss.without_l2().hessian_operator(w, k)
    where = loss.layout.unflatten(torch.arange(len(w)))[layer].long()
    total = 0.0
    for i in range(W.shape[1]):
        V = w.new_zeros(len(w), W.shape[1])
        V[where[:, i]] = W  # column j: W e_j in the i-th column of the layer
        total += float((V * H.multiply(V)).sum())
    return total
