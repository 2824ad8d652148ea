"""Where the outliers of a classifier's Hessian come from: means over classes of output gradients.

S17's abstract links the outliers to the spectrum of the output gradients' covariance. Papyan found
that the Gauss-Newton matrix is a second moment, not a covariance, and that the *means* in it, one
for each pair of a sample's class and an output, make the outliers (arXiv 1901.08244, abstract;
arXiv 2008.11865). The formulas below are those of his own program (deep-lab/DeepnetHessian,
hessian.py: G0, G1, G2), with the shares of the classes where it has 1/C.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from landscape_nb.numerics import checks
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.operators import Samples, many_at_once

BLOCK = 32  # samples differentiated together: chosen here


@dataclass(frozen=True, eq=False)
class ClassStructure:
    """The Gauss-Newton matrix of a softmax classifier as a sum of four, each F F' of its factor.

    G  =  right  +  class  +  cross  +  within

    Attributes:
        right: (N, C), the means delta_{c,c} of the outputs that are right.
        classes: (N, C), the means delta_c of a class over the outputs that are wrong.
        cross: (N, C (K - 1)), what delta_{c,c'} has besides delta_c.
        within: (N, k K), what single samples have besides the means.

    Each column carries the root of its weight, so that F F' is the part itself.
    """

    right: Tensor
    classes: Tensor
    cross: Tensor
    within: Tensor

    @property
    def means(self) -> Tensor:
        """All means together, (N, C (K + 1)); the rank of their part is C K at most."""
        return torch.cat([self.right, self.classes, self.cross], dim=1)

    @property
    def factors(self) -> dict[str, Tensor]:
        """The four factors by name."""
        return {
            "right": self.right, "class": self.classes, "cross": self.cross, "within": self.within,
        }  # fmt: skip


def class_structure(loss: EmpiricalLoss, w: Tensor, k: Samples) -> ClassStructure:
    """The four parts of G^(k)(w): class means, cross-class means, and what is left within.

    delta_{i,c'} = sqrt(p_{i,c'}) J_i' (e_{c'} - p_i),   G = (1/k) sum_i sum_c' delta delta'
    delta_{c,c'} = mean of delta_{i,c'} over the samples i of class c,  share pi_c of all
    delta_c      = mean of delta_{c,c'} over the K - 1 outputs c' != c

    right  = sum_c pi_c delta_{c,c} delta_{c,c}'
    class  = (K - 1) sum_c pi_c delta_c delta_c'
    cross  = sum_c pi_c sum_{c' != c} (delta_{c,c'} - delta_c)(...)'
    within = (1/k) sum_i sum_c' (delta_{i,c'} - delta_{c,c'})(...)'      Papyan 2019, 2020

    J_i (K, N) is the Jacobian of the outputs, p_i their softmax; diag(p) - pp' =
    sum_c' p_c' (e_c' - p)(e_c' - p)' makes the first line exact, and the rest is the analysis of
    variance of delta. Exact. Costs k K backward passes and k K N numbers: for small models.

    Args:
        loss: softmax cross entropy of K outputs with whole numbers as labels; L2 is left out.
        w: (N,).
        k: number of samples, 1..n, or indices of them.

    Returns:
        A `ClassStructure`, factors in units of sqrt(loss) per unit of parameter.

    Raises:
        ValueError: another loss, outputs that are not (k, K), K < 2, or an argument that does not
            fit.

    >>> import landscape_nb as ln
    >>> toy = ln.toys.softmax_regression(6, 2, 3, generator=torch.Generator().manual_seed(0))
    >>> loss = EmpiricalLoss(*toy.parts)
    >>> parts = class_structure(loss, loss.w0, 6).factors.values()
    >>> G = ln.GaussNewtonOperator(loss, loss.w0, 6).dense()
    >>> torch.allclose(sum(F @ F.T for F in parts), G)
    True
    """
    chosen = _indices(loss, k)
    logits, labels = _classifier(loss, w, chosen)
    J = output_jacobian(loss, w, chosen)
    p = torch.softmax(logits, 1)
    # rows of E: (e_c' - p) sqrt(p_c'), (k, K, K)
    E = (torch.eye(p.shape[1], dtype=p.dtype, device=p.device) - p[:, None]) * p.sqrt()[:, :, None]
    delta = E @ J
    right, classes, cross, within = [], [], [], []
    for c in labels.unique().tolist():
        own = delta[labels == c]
        share, mean, wrong = len(own) / len(delta), own.mean(0), torch.arange(p.shape[1]) != c
        of_class = mean[wrong].mean(0)
        right.append(share**0.5 * mean[[c]])
        classes.append((share * (p.shape[1] - 1)) ** 0.5 * of_class[None])
        cross.append(share**0.5 * (mean[wrong] - of_class))
        within.append((own - mean).flatten(0, 1) / len(delta) ** 0.5)
    return ClassStructure(*[torch.cat(rows).T for rows in (right, classes, cross, within)])


def output_jacobian(loss: EmpiricalLoss, w: Tensor, k: Samples) -> Tensor:
    """The gradients of all outputs of all chosen samples at w, (k, K, N).

    (1/k) sum_i J_i' J_i is S17's covariance of output gradients, up to the mean: a second moment.
    Exact; k K backward passes.

    Raises:
        ValueError: outputs that are not (k, K), or an argument that does not fit.

    >>> import landscape_nb as ln
    >>> toy = ln.toys.linear_regression(4, 3, generator=torch.Generator().manual_seed(0))
    >>> loss = EmpiricalLoss(*toy.parts)
    >>> torch.allclose(output_jacobian(loss, loss.w0, 4)[:, 0, :3], loss.inputs)
    True
    """
    w = checks.parameter_vector(w, loss.w0)
    blocks = []
    for block in loss.samples.pieces(loss.chosen(k), BLOCK):
        leaf = w.clone().requires_grad_()
        with torch.enable_grad():
            outputs = _table(loss.outputs_at(leaf, block), len(block))
        columns = torch.eye(outputs.numel(), dtype=w.dtype, device=w.device)
        rows = many_at_once(outputs.flatten(), leaf, columns)
        blocks.append(rows.T.unflatten(0, tuple(outputs.shape)))
    return torch.cat(blocks)


def subspace_overlap(U: Tensor, V: Tensor) -> float:
    """The share of one subspace that lies in another of the same dimension D, 0 to 1.

    |U'V|_F^2 / D  =  mean of the squared cosines of the principal angles; chance is D / N

    Args:
        U, V: (N, D), orthonormal columns.

    Raises:
        ValueError: shapes that differ, or columns that are not orthonormal.

    >>> subspace_overlap(torch.eye(4)[:, :2], torch.eye(4)[:, 1:3])
    0.5
    """
    if U.shape != V.shape:
        raise ValueError(
            f"Both bases need one shape (N, D); got {tuple(U.shape)} and {tuple(V.shape)}. Take "
            "as many columns of each."
        )
    for name, basis in (("U", U), ("V", V)):
        checks.orthonormal_basis(basis, basis[:, 0], name)
    return float((U.T @ V).square().sum() / U.shape[1])


def _indices(loss: EmpiricalLoss, k: Samples) -> Tensor:
    """The chosen samples as a tensor of indices."""
    chosen = loss.chosen(k)
    return chosen if isinstance(chosen, Tensor) else torch.tensor(chosen, device=loss.w0.device)


def _classifier(loss: EmpiricalLoss, w: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs (k, K) and labels (k,), where the loss is the cross entropy of a softmax."""
    outputs = _table(loss.outputs(w, chosen), len(chosen))
    targets = loss.samples.targets_of(chosen)
    labels = targets if isinstance(targets, Tensor) else torch.empty(0)
    if outputs.shape[1] < 2 or labels.shape != outputs.shape[:1] or labels.is_floating_point():
        raise ValueError(
            "Classes need outputs (k, K) with K >= 2 and whole numbers as labels, (k,); got "
            f"outputs {tuple(outputs.shape)} and labels {tuple(labels.shape)} of {labels.dtype}."
        )
    expected = torch.nn.functional.cross_entropy(outputs, labels.long(), reduction="none")
    if not torch.allclose(loss.losses_of(outputs, chosen), expected, rtol=1e-4):
        raise ValueError(
            "The decomposition holds for the plain cross entropy of a softmax; the losses of this "
            "one differ from it. Use GaussNewtonOperator, which takes any loss."
        )
    return outputs, labels


def _table(outputs: object, k: int) -> Tensor:
    """Outputs with one row of K numbers for each of k samples; anything else is refused."""
    if not isinstance(outputs, Tensor) or outputs.ndim != 2 or len(outputs) != k:
        shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise ValueError(f"The outputs must be one tensor (k, K) with k = {k}; got {shape}.")
    return outputs
