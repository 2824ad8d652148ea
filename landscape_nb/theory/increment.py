"""The quadratic model (a_k, c_k, B_k) of the increment I_k = L_{k+1} - L_k on a subspace.

I_k(w + U z)  ~  a + c'z + z'B z / 2                                             KG26 Eq. 9
  a = I_k(w),  c = U'(g^(k+1) - g^(k)),  B = U'(H^(k+1) - H^(k)) U

Everything rests on one exact identity, KG26 Eq. 5,

I_k = (l_{k+1} - L_k) / (k + 1),

so a, c and B need only the next sample's derivatives and the mean ones. The L2 term cancels.
The difference of gradients is kept (not g^(k+1) alone), because training never reaches a zero
gradient exactly.

For one k, 2 D Hessian-vector products. For a grid of k at one w, two engines, both exact:
* "samples": second derivatives of every single sample along U, by layer contraction or in reverse
  mode (`landscape_nb.numerics.samples`), then running sums: serves every k at once;
* "segments": reverse-mode products of each segment between grid points, added up: D products
  over the data for the whole grid.
"""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from landscape_nb.numerics import checks
from landscape_nb.numerics.blocks import row_blocks
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.operators import Indices
from landscape_nb.numerics.samples import (
    Derivatives,
    derivative_blocks,
    projected_derivatives,
    sample_derivatives,
    within,
)


@dataclass(frozen=True, eq=False)
class IncrementModel:
    """Quadratic model of one increment on a D-dimensional subspace (KG26 Eq. 9, Lemma 1).

    Attributes:
        a: (), value, in units of loss.
        c: (D,), projected gradient.
        B: (D, D), projected Hessian, symmetric.
    """

    a: Tensor
    c: Tensor
    B: Tensor

    def __post_init__(self) -> None:
        _set_tensors(self, "a", "c", "B")
        _refuse_bad_model(self.a, self.c, self.B, ())

    @property
    def D(self) -> int:
        """Dimension of the subspace."""
        return self.c.shape[-1]

    def leading(self, D: int) -> "IncrementModel":
        """The model on the first D columns of U."""
        D = checks.whole_number("D", D, 1, self.D, f"the model holds {self.D} directions")
        return IncrementModel(self.a, self.c[:D], self.B[:D, :D])

    def at(self, z: Tensor) -> Tensor:
        """Values of the model, a + c'z + z'Bz/2, at points z, (..., D) -> (...)."""
        return self.a + z @ self.c + ((z @ self.B) * z).sum(-1) / 2


@dataclass(frozen=True, eq=False)
class IncrementModels:
    """Quadratic models of many increments on one subspace.

    Attributes:
        ks: (K,), number of samples before each increment.
        a: (K,).
        c: (K, D).
        B: (K, D, D).
    """

    ks: Tensor
    a: Tensor
    c: Tensor
    B: Tensor

    def __post_init__(self) -> None:
        _set_tensors(self, "a", "c", "B")
        object.__setattr__(self, "ks", _whole_numbers(self.ks))
        _refuse_bad_model(self.a, self.c, self.B, (len(self.ks),))

    @property
    def D(self) -> int:
        """Dimension of the subspace."""
        return self.c.shape[-1]

    def __len__(self) -> int:
        """Number of increments, K."""
        return len(self.ks)

    def __getitem__(self, j: int) -> IncrementModel:
        """The j-th increment's model."""
        return IncrementModel(self.a[j], self.c[j], self.B[j])

    def at(self, z: Tensor) -> Tensor:
        """Values of all models at points z, (S, D) -> (S, K)."""
        return self.a + z @ self.c.T + torch.einsum("sd,kde,se->sk", z, self.B, z) / 2

    def leading(self, D: int) -> "IncrementModels":
        """The models on the first D columns of U."""
        D = checks.whole_number("D", D, 1, self.D, f"the models hold {self.D} directions")
        return IncrementModels(self.ks, self.a, self.c[:, :D], self.B[:, :D, :D])


def increment(next_sample: Tensor, mean: Tensor, k: int | Tensor) -> Tensor:
    """The increment from the next sample and the mean of the first k, exactly.

    I_k = (l_{k+1} - L_k)/(k + 1), of values, gradients or Hessians alike         KG26 Eq. 5
    """
    return (next_sample - mean) / (k + 1)


def running_increments(per_sample: Tensor, ks: list[int]) -> Tensor:
    """`increment` for every k in ks, from per-sample quantities (n, ...) -> (K, ...)."""
    k = torch.tensor(ks, device=per_sample.device)
    wide = k.view(-1, *[1] * (per_sample.ndim - 1))
    return increment(per_sample[k], per_sample.cumsum(0)[k - 1] / wide, wide)


def increment_model(loss: EmpiricalLoss, w: Tensor, U: Tensor, k: int) -> IncrementModel:
    """The quadratic model (a_k, c_k, B_k) of one increment at w on the span of U.

    a = (l_{k+1} - L_k)/(k+1),  c = U'(grad l_{k+1} - g^(k))/(k+1),
    B = U'(H_{k+1} - H^(k)) U/(k+1)                                      KG26 Eqs. 5 and 9

    Exact derivatives; as a model of I_k its error is third order in |z|; what that does to a mean
    square, `expansion.omitted_terms` says. Costs 2 D
    Hessian-vector products, D over k samples and D over one.

    Args:
        loss: the empirical loss.
        w: (N,), usually w_k*.
        U: (N, D), orthonormal columns.
        k: number of samples before the increment, 1..n-1.

    Returns:
        `IncrementModel` with a (), c (D,), B (D, D), in units of loss.

    >>> from landscape_nb.problems.toys import quadratics
    >>> toy = quadratics(3, 2)
    >>> model = increment_model(EmpiricalLoss(*toy.parts), torch.zeros(2).double(),
    ...                         torch.eye(2).double(), k=2)
    >>> torch.allclose(model.B, toy.hessian(3) - toy.hessian(2))
    True
    """
    w, U = _checked(loss, w, U)
    k = checks.whole_number("k", k, 1, loss.num_samples - 1, "there must be a next sample")
    loss, first, after = loss.without_l2(), range(k), range(k, k + 1)
    (c1, B1), (c0, B0) = (projected_derivatives(loss, w, U, part) for part in (after, first))
    return IncrementModel(
        a=increment(loss.value(w, after), loss.value(w, first), k),
        c=increment(c1, c0, k),
        B=increment(B1, B0, k),
    )


def increment_models(
    loss: EmpiricalLoss,
    w: Tensor,
    U: Tensor,
    ks: Iterable[int],
    *,
    method: str = "auto",
    memory: float | None = None,
) -> IncrementModels:
    """The quadratic models of a whole grid of increments at one fixed w and U, in one pass.

    Equal to `increment_model` for each k up to rounding (1e-10 in float64).

    Args:
        loss: the empirical loss.
        w: (N,), the same for every k.
        U: (N, D), orthonormal columns, the same for every k.
        ks: increasing numbers of samples, each 1..n-1; every k up to n-1 if you like.
        method: "segments"; "contraction" or "reverse", derivatives of every sample in that way; or
            "auto": when the grid is dense (more than one k in eight samples, chosen here) every
            sample by contraction where that serves, else in reverse mode; for other grids segments.
        memory: bytes of intermediate results that may be held; `loss.memory` if not given.

    Returns:
        `IncrementModels` with a (K,), c (K, D), B (K, D, D).

    Raises:
        ValueError: an argument does not fit; as `ContractionError` where "contraction" was asked of
            a model that it does not serve ("auto" then goes another way).

    Costs: "contraction" and "segments" D products over the data, "reverse" D products of each
    sample alone.

    >>> from landscape_nb.problems.toys import quadratics
    >>> loss = EmpiricalLoss(*quadratics(5, 3).parts)
    >>> U = torch.eye(3, dtype=torch.float64)
    >>> every = increment_models(loss, loss.w0, U, ks=[1, 2, 3, 4])
    >>> torch.allclose(every[2].B, increment_model(loss, loss.w0, U, k=3).B)
    True
    """
    w, U = _checked(loss, w, U)
    grid = checks.prefix_lengths(ks, loss.num_samples - 1, high_means="there must be a next sample")
    if method not in ("auto", "contraction", "reverse", "segments"):
        raise ValueError(
            "method must be 'auto', 'contraction', 'reverse' or 'segments'; got "
            f"{checks.shown(method)}."
        )
    if method in ("contraction", "reverse") or (method == "auto" and 8 * len(grid) >= grid[-1]):
        blocks = derivative_blocks(loss, w, U, range(grid[-1] + 1), method, memory)
        return IncrementModels(torch.tensor(grid), *_by_running_sums(blocks, w, U, grid))
    return IncrementModels(torch.tensor(grid), *_by_segments(within(loss, memory), w, U, grid))


def next_sample_models(
    loss: EmpiricalLoss,
    w: Tensor,
    U: Tensor,
    k: int,
    *,
    candidates: Indices | None = None,
    memory: float | None = None,
) -> IncrementModels:
    """The models of the increments that *each* unseen sample would cause after the first k.

    Averaging a criterion over them removes the accident of which sample happens to come next:
    one ordering's curve is far too noisy to read a slope from.

    Args:
        loss: the empirical loss.
        w: (N,), usually w_k*.
        U: (N, D), orthonormal columns.
        k: number of samples in L_k, 1..n-1.
        candidates: indices (from 0) of the candidates, a range or a tensor; all of k..n-1 if not
            given.
        memory: bytes of intermediate results that may be held; `loss.memory` if not given.

    Returns:
        `IncrementModels`, one row per candidate, every entry of ks equal to k. Exact derivatives;
        costs `sample_derivatives` of the candidates and D products over the first k.

    Raises:
        ValueError: an argument does not fit, or a candidate is among the first k samples.

    >>> from landscape_nb.problems.toys import quadratics
    >>> loss = EmpiricalLoss(*quadratics(5, 3).parts)
    >>> models = next_sample_models(loss, loss.w0, torch.eye(3).double(), k=2)
    >>> models.ks.tolist(), tuple(models.B.shape)
    ([2, 2, 2], (3, 3, 3))
    """
    w, U = _checked(loss, w, U)
    n = loss.num_samples
    k = checks.whole_number("k", k, 1, n - 1, "there must be a next sample")
    candidates = checks.candidates(candidates, k, n)
    loss = within(loss.without_l2(), memory)
    means = (loss.value(w, k), *projected_derivatives(loss, w, U, range(k)))
    each = sample_derivatives(loss, w, U, candidates, memory=memory)
    for sample, mean in zip(each, means, strict=True):
        sample.sub_(mean).div_(k + 1)  # `increment`, without a copy
    return IncrementModels(torch.full((len(candidates),), k), *each)


def _empty(w: Tensor, K: int, D: int) -> tuple[Tensor, Tensor, Tensor]:
    return w.new_empty(K), w.new_empty(K, D), w.new_empty(K, D, D)


def _by_running_sums(
    blocks: Iterable[tuple[int, Derivatives]], w: Tensor, U: Tensor, grid: list[int]
) -> tuple[Tensor, Tensor, Tensor]:
    """`running_increments` of values, gradients and Hessians that come block by block."""
    out = _empty(w, len(grid), U.shape[1])
    sums = [torch.zeros_like(part[0]) for part in out]  # of all samples before the block
    for start, block in blocks:
        # the grid points whose next sample is in this block
        first, last = (bisect_left(grid, end) for end in (start, start + len(block[0])))
        k = torch.tensor(grid[first:last], dtype=torch.int64, device=w.device)
        for j, (whole, part) in enumerate(zip(out, block, strict=True)):
            sums_here = torch.cat([sums[j][None], part]).cumsum_(0)
            sums[j] = sums_here[-1].clone()
            wide = k.view(-1, *[1] * (part.ndim - 1))
            means = sums_here[k - start].div_(wide)
            whole[first:last] = increment(part[k - start], means, wide)
    return out


def _by_segments(
    loss: EmpiricalLoss, w: Tensor, U: Tensor, grid: list[int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Sums over segments between grid points, plus each grid point's next sample alone."""
    D, loss = U.shape[1], loss.without_l2()
    values = loss.per_sample(w, grid[-1] + 1)
    sum_c = torch.zeros(D, dtype=w.dtype, device=w.device)
    sum_B = torch.zeros(D, D, dtype=w.dtype, device=w.device)
    out = _empty(w, len(grid), D)
    for j, (start, k) in enumerate(zip([0, *grid[:-1]], grid, strict=True)):
        c, B = projected_derivatives(loss, w, U, range(start, k))
        sum_c, sum_B = sum_c + (k - start) * c, sum_B + (k - start) * B
        c, B = projected_derivatives(loss, w, U, range(k, k + 1))
        out[0][j] = increment(values[k], values[:k].mean(), k)
        out[1][j] = increment(c, sum_c / k, k)
        row = increment(B, sum_B / k, k)
        out[2][j] = (row + row.T) / 2
    return out


def _checked(loss: EmpiricalLoss, w: Tensor, U: Tensor) -> tuple[Tensor, Tensor]:
    if loss.num_samples < 2:
        raise ValueError("An increment needs at least two samples; the loss holds one.")
    return checks.parameter_vector(w, loss.w0), checks.orthonormal_basis(U, loss.w0)


def _set_tensors(model: IncrementModel | IncrementModels, *names: str) -> None:
    """Accept numbers and lists; Python's own become float64."""
    for name in names:
        value = getattr(model, name)
        if isinstance(value, Tensor) and not value.is_floating_point():
            raise ValueError(
                f"{name} must hold real numbers; got dtype {value.dtype}. Convert it with "
                ".double()."
            )
        if not isinstance(value, Tensor):
            object.__setattr__(model, name, torch.as_tensor(value, dtype=torch.float64))


def _whole_numbers(ks: Any) -> Tensor:
    """Numbers of samples, (K,), which may repeat, on the CPU as int64."""
    if isinstance(ks, Tensor) and ks.dtype == torch.int64 and ks.ndim == 1:
        return ks
    values = ks.tolist() if hasattr(ks, "tolist") else ks
    values = list(values) if isinstance(values, Iterable) else [values]
    meaning = "number of samples before the increment"
    return torch.tensor(
        [checks.whole_number("k", k, 1, None, meaning) for k in values], dtype=torch.int64
    )


def _refuse_bad_model(a: Tensor, c: Tensor, B: Tensor, lead: tuple[int, ...]) -> None:
    D = c.shape[-1] if c.ndim else 0
    fits = a.shape == lead and c.shape == (*lead, D) and B.shape == (*lead, D, D)
    if not fits or D < 1 or 0 in lead:
        K = "K, " if lead else ""
        raise ValueError(
            f"An increment model needs a ({K.rstrip(', ')}), c ({K}D) and B ({K}D, D) with "
            f"D >= 1{' and K >= 1' if lead else ''}; got a {tuple(a.shape)}, c {tuple(c.shape)}, "
            f"B {tuple(B.shape)}. Check that all three come from the same U."
        )
    pieces = [B] if B.ndim == 2 else [B[rows] for rows in row_blocks(len(B), D**2)]
    scale = torch.stack([piece.abs().max() for piece in pieces]).max()
    if not (torch.isfinite(a).all() and torch.isfinite(c).all() and torch.isfinite(scale)):
        raise ValueError("An increment model must be finite; a, c or B holds NaN or infinity.")
    difference = torch.stack([(piece - piece.mT).abs().max() for piece in pieces]).max()
    if difference > 1e3 * torch.finfo(B.dtype).eps * scale:
        raise ValueError(
            "B must be symmetric (it is a projected Hessian); pass (B + B.mT) / 2 if the "
            "difference is rounding."
        )
