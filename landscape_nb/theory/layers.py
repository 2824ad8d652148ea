"""Curvature along a layer's own gradient modes, whole and factor by factor.

For one weight matrix W with the gradient G = dL/dW = U diag(sigma) V'                       C26
  h_k = vec(u_k v_k')' H vec(u_k v_k')     curvature along mode k: a Rayleigh quotient of the
                                           layer's Hessian, not an eigenvalue
The power laws between them are in `theory.exponents`. C26 has two texts in its repository: of 22
May 2026, whose title and abstract are those of arXiv v1, and of 26 May. The first calls h_k an
eigenvalue, the second says that it is none.

With Kronecker factors C_d = mean of delta delta', C_a = mean of a a' (delta: gradient of one
sample's loss in the layer's outputs, a: its inputs)
  h^Kron_k = (u_k'C_d u_k)(v_k'C_a v_k)    Lambda_k = product of their k-th largest eigenvalues
  rho^d_k = u_k'C_d u_k / k-th eigenvalue of C_d, rho^a_k likewise,   Phi_k = rho^d_k rho^a_k
  chi_k = h_k / h^Kron_k,                  so  h = chi Lambda rho^d rho^a,  exactly.
C26's Theorem 1 is about h^Kron = Lambda rho^d rho^a; what it measures is h. The slopes of the
logarithms on log sigma add: beta (Lambda) + phi (Phi) is that of h^Kron, and with + slope(chi) that
of h. Its form 2 + phi - slope(chi) is the model's, where Lambda = sigma^2 / chi.

Convolutions are matrices (outputs, inputs x kernel) whose every position counts as one input.
The L2 term is left out everywhere.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from landscape_nb.numerics import checks
from landscape_nb.numerics.batches import UsedOutputs, used_outputs
from landscape_nb.numerics.devices import factorised
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.operators import Indices, Samples
from landscape_nb.theory.exponents import (
    Exponents,
    Slope,
    exponents,
    log_slope,
    participation_bound,
    participation_ratio,
    spectrum_bic,
)

__all__ = [
    "GradientModes",
    "KroneckerFactors",
    "KroneckerModes",
    "gradient_modes",
    "kronecker_factors",
    "kronecker_modes",
    "weight_matrices",
    # of theory.exponents, where saved notebooks look for them
    "Exponents",
    "Slope",
    "exponents",
    "log_slope",
    "participation_bound",
    "participation_ratio",
    "spectrum_bic",
]

_MATRICES = (nn.Linear, nn.Conv1d, nn.Conv2d)


def weight_matrices(loss: EmpiricalLoss) -> list[str]:
    """Names of the modules whose weight is studied as a matrix: linear layers and convolutions.

    Trainable weights only; a convolution in groups is several matrices and is left out.
    """
    found = []
    for name, module in loss.model.named_modules():
        if isinstance(module, _MATRICES) and getattr(module, "groups", 1) == 1:
            if _join(name, "weight") in loss.layout.names:
                found.append(name)
    return found


@dataclass(frozen=True, eq=False)
class GradientModes:
    """Singular modes of a layer's gradient, and the curvature along each.

    Attributes:
        name: of the module.
        sigma: (r,), singular values of G, descending.
        U, V: (m, r), (n, r), left and right singular vectors.
        h: (r,), Rayleigh quotients of H along u_k v_k'.
    """

    name: str
    sigma: Tensor
    U: Tensor
    V: Tensor
    h: Tensor


def gradient_modes(
    loss: EmpiricalLoss, w: Tensor, k: Samples, name: str, num_modes: int | None = None
) -> GradientModes:
    """Modes of one layer's gradient at w with exact curvatures.

    h_k = vec(u_k v_k')' H vec(u_k v_k'), one Hessian-vector product for each mode     C26

    Args:
        loss: the empirical loss.
        w: (N,), where the gradient has not vanished: at a minimiser its modes are noise.
        k: number of samples, or indices.
        name: one of `weight_matrices(loss)`.
        num_modes: leading modes; all min(m, n) if not given. Modes with sigma below the
            precision of the first are left out: their vectors mean nothing.

    Returns:
        `GradientModes`, exact.

    Raises:
        ValueError: no such layer, or its gradient is zero.
    """
    loss = loss.without_l2()
    w = checks.parameter_vector(w, loss.w0)
    where, shape = _place(loss, name)
    G = loss.gradient(w, k)[where].view(shape)
    U, sigma, Vt = factorised(torch.linalg.svd, G, full_matrices=False)
    if not sigma[0] > 0:
        raise ValueError(f"The gradient in '{name}' is zero at this w; it has no modes.")
    rank = int((sigma > max(shape) * torch.finfo(w.dtype).eps * sigma[0]).sum())
    if num_modes is not None:
        rank = min(rank, checks.whole_number("num_modes", num_modes, 1, None, "leading modes"))
    U, sigma, V = U[:, :rank], sigma[:rank], Vt[:rank].T
    directions = w.new_zeros(len(w), rank)
    directions[where] = torch.einsum("ir,jr->ijr", U, V).reshape(-1, rank)
    h = (directions * loss.hessian_operator(w, k)(directions)).sum(0)
    return GradientModes(name, sigma, U, V, h)


@dataclass(frozen=True, eq=False)
class KroneckerFactors:
    """Factors of a layer's Kronecker approximation.

    Attributes:
        kind: "empirical" (gradients of the labels' loss) or "Gauss-Newton" (of the loss's own
            curvature in the outputs).
        C_d: (m, m), mean over samples of the sum over positions of delta delta'.
        C_a: (n, n), mean over samples and positions of a a'.
        positions: P, calls and places at which the weight is used for one sample.
    """

    kind: str
    C_d: Tensor
    C_a: Tensor
    positions: float


def kronecker_factors(
    loss: EmpiricalLoss, w: Tensor, k: Samples, name: str, kind: str = "empirical"
) -> KroneckerFactors:
    """C_d and C_a of one layer.

    C_d = (1/n) sum_i sum_p delta_ip delta_ip',   C_a = (1/(nP)) sum_i sum_p a_ip a_ip'

    "empirical": delta_i = dl_i/d(output of the layer), from the labels: the empirical Fisher,
    which C26 calls Gauss-Newton (both texts, Setup). "Gauss-Newton": delta_i is
    (df_i/d(output))' S_i for each column of S_i S_i' = A_i, the Hessian of l_i in the model's
    outputs. With empirical factors and one position sigma_k^2 <= h^Kron_k by Cauchy and Schwarz
    (P h^Kron_k for P positions); with Gauss-Newton ones it may fail.

    Args:
        loss: the empirical loss.
        w: (N,).
        k: number of samples, or indices.
        name: one of `weight_matrices(loss)`.
        kind: "empirical" or "Gauss-Newton".

    Returns:
        `KroneckerFactors`, exact. Costs one backward pass, or one for each output of a sample.

    Raises:
        ValueError: no such layer, another kind, a layer that is never called, or more than 512
            outputs to a sample for Gauss-Newton (chosen here).
    """
    if kind not in ("empirical", "Gauss-Newton"):
        raise ValueError(f"kind must be 'empirical' or 'Gauss-Newton'; got {checks.shown(kind)}.")
    w = checks.parameter_vector(w, loss.w0)
    _, (m, n) = _place(loss, name)
    C_d, C_a, samples, uses = w.new_zeros(m, m), w.new_zeros(n, n), 0, 0
    for batch in loss.batches(k):
        a, deltas = _inputs_and_slopes(loss, w, batch, name, kind)
        C_a, C_d = C_a + a.T @ a, C_d + deltas.T @ deltas
        samples, uses = samples + len(batch), uses + len(a)
    return KroneckerFactors(kind, C_d / samples, C_a / uses, uses / samples)


@dataclass(frozen=True, eq=False)
class KroneckerModes:
    """A layer's curvature in its gradient modes, factor by factor: h = chi Lambda rho_d rho_a.

    Attributes:
        h_kron: (r,), (u'C_d u)(v'C_a v).
        Lambda: (r,), products of the factors' k-th largest eigenvalues.
        rho_d, rho_a: (r,), quotient in the mode over k-th eigenvalue. Phi is their product.
        chi: (r,), h over h_kron.
    """

    h_kron: Tensor
    Lambda: Tensor
    rho_d: Tensor
    rho_a: Tensor
    chi: Tensor

    @property
    def Phi(self) -> Tensor:
        """rho^d rho^a, (r,): 1 where the gradient's modes are the factors' eigenvectors."""
        return self.rho_d * self.rho_a


def kronecker_modes(modes: GradientModes, factors: KroneckerFactors) -> KroneckerModes:
    """The curvature of `modes` taken apart into the factors' parts. Exact algebra."""
    r = len(modes.sigma)
    d = ((factors.C_d @ modes.U) * modes.U).sum(0)
    a = ((factors.C_a @ modes.V) * modes.V).sum(0)
    top_d, top_a = (
        factorised(torch.linalg.eigvalsh, C).flip(0)[:r] for C in (factors.C_d, factors.C_a)
    )
    h_kron = d * a
    return KroneckerModes(h_kron, top_d * top_a, d / top_d, a / top_a, modes.h / h_kron)


# -- inside ---------------------------------------------------------------------------------------


def _join(module: str, parameter: str) -> str:
    return f"{module}.{parameter}" if module else parameter


def _place(loss: EmpiricalLoss, name: str) -> tuple[slice, tuple[int, int]]:
    """Where the layer's weight stands in w, and its shape as a matrix."""
    if name not in (known := weight_matrices(loss)):
        raise ValueError(
            f"{checks.shown(name)} is not a layer with a weight matrix; there are "
            f"{checks.shown(known)}."
        )
    where = loss.layout.slices()[_join(name, "weight")]
    rows = dict(zip(loss.layout.names, loss.layout.shapes, strict=True))[_join(name, "weight")][0]
    return where, (rows, (where.stop - where.start) // rows)


Call = tuple[nn.Module, Tensor, Tensor]  # who was called, with what, and what came out


@contextmanager
def _calls(modules: list[nn.Module]) -> Iterator[list[Call]]:
    """Every call of these modules while the context is open."""
    seen: list[Call] = []

    def note(module: nn.Module, args: tuple, named: dict, out: Tensor) -> Tensor:
        seen.append((module, args[0] if args else next(iter(named.values())), out))
        return out.clone()  # an activation in place may overwrite the copy, not what we keep

    handles = [m.register_forward_hook(note, with_kwargs=True) for m in modules]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _users(loss: EmpiricalLoss, name: str) -> list[nn.Module]:
    """The module of this name, and others that are tied to its weight."""
    weight = loss.model.get_submodule(name).weight
    users = [
        module
        for module in loss.model.modules()
        if any(p is weight for p in module.parameters(recurse=False))
    ]
    others = [type(module).__name__ for module in users if not isinstance(module, _MATRICES)]
    if others:
        raise ValueError(
            f"The weight of '{name}' is tied to a {others[0]}, whose inputs are no vectors: it has "
            "no Kronecker factors."
        )
    return users


@torch.enable_grad()
def _inputs_and_slopes(
    loss: EmpiricalLoss, w: Tensor, batch: Indices, name: str, kind: str
) -> tuple[Tensor, Tensor]:
    """Rows a (uses, n), and rows delta (uses or more, m), of a batch."""
    leaf = w.clone().requires_grad_()
    with _calls(_users(loss, name)) as calls:
        outputs = loss.outputs_at(leaf, batch)
    if not calls:
        raise ValueError(f"'{name}' was not called: the model uses its weight in another way.")
    a = torch.cat([_as_rows(module, x) for module, x, _ in calls]).detach()
    used = used_outputs(outputs, lambda f: loss.losses_of(f, batch), leaf)
    if kind == "empirical":
        slopes = torch.autograd.grad(used.losses_of(used.tensors).sum(), used.tensors)
        vectors: list[tuple[Tensor, ...]] = [slopes]
    else:
        vectors = _curvature_roots(used, len(batch))
    deltas = [w.new_zeros(0, _place(loss, name)[1][0])]
    for v in vectors:
        slopes = torch.autograd.grad(
            used.tensors, [out for *_, out in calls], v, retain_graph=True, materialize_grads=True
        )
        deltas += [_output_rows(call[0], s) for call, s in zip(calls, slopes, strict=True)]
    return a, torch.cat(deltas).detach()


def _curvature_roots(used: UsedOutputs, samples: int) -> list[tuple[Tensor, ...]]:
    """Columns S_c, each of the outputs' shapes, with A_i = sum_c S_ic S_ic' for every sample."""
    shapes = [tensor.shape for tensor in used.tensors]
    if any(not shape or shape[0] != samples for shape in shapes):
        raise ValueError(
            "Gauss-Newton factors need outputs with one row for each sample; for a batch of "
            f"{samples} the model returned shapes {[tuple(shape) for shape in shapes]}. Let it "
            "return the samples first, or use kind='empirical'."
        )
    parts = [tensor.detach().reshape(samples, -1) for tensor in used.tensors]
    widths = [part.shape[1] for part in parts]
    if sum(widths) > 512:
        raise ValueError(
            f"Gauss-Newton factors take a backward pass for each of the {sum(widths)} outputs of "
            "a sample, 512 at most; use kind='empirical'."
        )

    def as_outputs(rows: Tensor) -> tuple[Tensor, ...]:
        pieces = rows.split(widths, dim=1)
        return tuple(
            piece.reshape(tensor.shape).to(tensor.dtype)
            for piece, tensor in zip(pieces, used.tensors, strict=True)
        )

    rows = torch.cat(parts, dim=1).requires_grad_()
    losses = used.losses_of([piece.clone() for piece in as_outputs(rows)])
    slope = torch.autograd.grad(losses.sum(), rows, create_graph=True)[0]
    if not slope.requires_grad:
        return []  # linear in the outputs: no curvature
    A = torch.stack(
        [torch.autograd.grad(s.sum(), rows, retain_graph=True)[0] for s in slope.unbind(1)], dim=1
    )
    values, vectors = factorised(torch.linalg.eigh, (A + A.mT) / 2)
    if bool((values < -1e-6 * values.abs().amax()).any()):
        raise ValueError("The loss is not convex in the outputs: it has no Gauss-Newton factors.")
    roots = vectors * values.clamp(min=0).sqrt()[:, None, :]
    return [as_outputs(column) for column in roots.unbind(2)]


def _as_rows(module: nn.Module, x: Tensor) -> Tensor:
    """The layer's inputs, one row for each use of the weight."""
    if isinstance(module, nn.Linear):
        return x.reshape(-1, x.shape[-1])
    assert isinstance(module, nn.Conv1d | nn.Conv2d)
    if isinstance(module.padding, str) or module.padding_mode != "zeros":
        raise ValueError("Give the convolution's padding in numbers, with zeros.")
    kernel, dilation, padding, stride = (
        (*unit, *numbers)
        for unit, numbers in zip(
            ((), (), (), ()) if isinstance(module, nn.Conv2d) else ((1,), (1,), (0,), (1,)),
            (module.kernel_size, module.dilation, module.padding, module.stride),
            strict=True,
        )
    )
    flat = x if isinstance(module, nn.Conv2d) else x.unsqueeze(2)
    patches = F.unfold(flat, kernel, dilation, padding, stride)
    return patches.mT.reshape(-1, patches.shape[1])


def _output_rows(module: nn.Module, slope: Tensor) -> Tensor:
    if isinstance(module, nn.Linear):
        return slope.reshape(-1, slope.shape[-1])
    return slope.flatten(2).mT.reshape(-1, slope.shape[1])
