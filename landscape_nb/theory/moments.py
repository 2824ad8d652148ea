"""Closed forms: what the criteria are when the increment is its quadratic model.

In the order of the papers: the Gaussian moment (Eq. 15) and its parts, the spectral formula
(Eq. 16), Monte Carlo on the quadratic model; then two identities which say how much of the k^-2
law is arithmetic. KG26 says where it comes from (below Eq. 5: the factor 1/(k+1) "is the source");
the two identities say how much of it, to the last digit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from landscape_nb.numerics import checks
from landscape_nb.numerics.blocks import row_blocks
from landscape_nb.numerics.devices import normal
from landscape_nb.theory.criteria import Estimate, mean_and_standard_error
from landscape_nb.theory.increment import IncrementModel, IncrementModels, increment


@dataclass(frozen=True, eq=False)
class Moment:
    """E I^2 under a Gaussian probe, and the four parts it is the sum of, all in loss^2.

    Attributes:
        value: a^2, the increment at the centre: it does not depend on the probe at all.
        cross: a sigma^2 tr B; may be negative.
        gradient: sigma^2 |c|^2.
        curvature: sigma^4/4 (2 tr B^2 + (tr B)^2).
        total: their sum.
    """

    value: Tensor
    cross: Tensor
    gradient: Tensor
    curvature: Tensor

    @property
    def total(self) -> Tensor:
        """The criterion: value + cross + gradient + curvature."""
        return self.value + self.cross + self.gradient + self.curvature

    @property
    def centred(self) -> Tensor:
        """E (I - a)^2 = gradient + curvature: the part that the probe itself sees."""
        return self.gradient + self.curvature


def gaussian_moment(model: IncrementModel | IncrementModels, sigma: float) -> Moment:
    """Expected squared increment of the quadratic model under a Gaussian probe, part by part.

    E (a + c'z + z'Bz/2)^2,  z ~ N(0, sigma^2 I_D)
      =  a^2  +  a sigma^2 tr B  +  sigma^2 |c|^2  +  sigma^4/4 (2 tr B^2 + (tr B)^2)
        value     cross             gradient         curvature                      KG26 Eq. 15

    Exact for the quadratic model, for which KG26 states it. As an estimate of Delta_2^(D) its
    error is the model's, which KG26 measures (Figs. 4 and 6) and gives no order of: O(sigma^4),
    with a coefficient that `expansion.omitted_terms` finds, and of the same order as the curvature
    part; relative to the centred part, O(sigma^2). (At a single point the model's error is third
    order in |z|; being odd in z it averages to zero, but few draws show it.) Costs O(D^2) once
    (a, c, B) are known. No randomness.

    Args:
        model: one increment, or many at once.
        sigma: standard deviation of the probe in every direction.

    Returns:
        `Moment` with entries () or (K,), in loss^2.

    >>> float(gaussian_moment(IncrementModel(a=1.0, c=[2.0], B=[[0.0]]), sigma=0.5).total)
    2.0
    """
    value, *nested = coefficients(model)
    return at_sigma(value, *(part[..., -1] for part in nested), sigma=sigma)


def coefficients(
    model: IncrementModel | IncrementModels,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What Eq. 15 multiplies by 1, sigma^2, sigma^2 and sigma^4, for the first 1, 2, ... columns.

    a^2 (...),  a tr B (..., D),  |c|^2 (..., D),  (2 tr B^2 + (tr B)^2)/4 (..., D)
    """
    a, c, B = model.a, model.c, model.B
    trace = B.diagonal(dim1=-2, dim2=-1).cumsum(-1)
    pieces = [B] if B.ndim == 2 else [B[rows] for rows in row_blocks(len(B), model.D**2)]
    frobenius = torch.cat([
        piece.square().cumsum(-1).cumsum(-2).diagonal(dim1=-2, dim2=-1) for piece in pieces
    ])  # fmt: skip
    curvature = (2 * frobenius + trace.square()) / 4
    return a.square(), a[..., None] * trace, c.square().cumsum(-1), curvature


def at_sigma(
    value: Tensor, cross: Tensor, gradient: Tensor, curvature: Tensor, *, sigma: float
) -> Moment:
    """The four parts of Eq. 15 from their `coefficients`."""
    sigma = checks.positive("sigma", sigma, "standard deviation of the probe")
    s2 = sigma * sigma  # infinite where sigma**2 would raise
    moment = Moment(value, s2 * cross, s2 * gradient, s2 * s2 * curvature)
    checks.finite_result(
        f"The moment at sigma = {sigma:g}",
        moment.total,
        "Lower sigma, or multiply the loss by a small number.",
    )
    return moment


@checks.renamed(num_samples="num_draws")
def quadratic_mc(
    model: IncrementModel | IncrementModels,
    sigma: float,
    num_draws: int,
    generator: torch.Generator,
    *,
    centred: bool = False,
) -> Estimate:
    """E (a + c'z + z'Bz/2)^2 by Monte Carlo on the quadratic model.

    KG26 Eq. 13, the second estimator of its sec. 5: it costs no loss evaluations, and for a
    Gaussian probe the closed form of Eq. 15 makes it unnecessary. It is kept as the check of that
    closed form. Unbiased for
    `gaussian_moment(model, sigma).total`, with a standard error.

    Args:
        model: one increment, or many, which then share the draws.
        sigma: standard deviation of the probe.
        num_draws: S >= 2.
        generator: source of the draws.
        centred: average (c'z + z'Bz/2)^2 instead.

    Returns:
        `Estimate`, () or (K,), in loss^2.

    >>> model = IncrementModel(a=1.0, c=[2.0], B=[[0.0]])        # exact moment: 2
    >>> found = quadratic_mc(model, 0.5, 1000, torch.Generator().manual_seed(0))
    >>> bool(abs(found.value - 2) < 3 * found.stderr)
    True
    """
    sigma = checks.positive("sigma", sigma, "standard deviation of the probe")
    S = checks.whole_number("num_draws", num_draws, 2, None, "a standard error needs two")
    generator = checks.explicit_generator(generator)
    c, B = model.c, model.B
    z = sigma * normal(S, model.D, generator=generator).to(c)
    values = c @ z.T + torch.einsum("sd,...de,se->...s", z, B, z) / 2
    if not centred:
        values = values + model.a[..., None]
    return mean_and_standard_error(values.square(), like=c)


def spectral_formula(eigenvalue_increments: Tensor | Sequence[float], sigma: float) -> Tensor:
    """The curvature part from eigenvalues alone.

    (sigma^4/4) (2 sum d_i^2 + (sum d_i)^2),  d_i = lambda_i^(k+1) - lambda_i^(k)   KG26 Eq. 16

    Assumes a = 0, c = 0 and that H^(k) and H^(k+1) share eigenvectors. If they do not,
    sum d_i^2 <= |B|_F^2 for the eigenvalues of the projected Hessians (Hoffman and Wielandt),
    so the formula is then a *lower* bound of the curvature part.

    Args:
        eigenvalue_increments: d, (D,) or (..., D).
        sigma: standard deviation of the probe.

    Returns:
        () or (...), in loss^2.

    >>> float(spectral_formula([1.0, 1.0], sigma=1.0))
    2.0
    """
    sigma = checks.positive("sigma", sigma, "standard deviation of the probe")
    if not isinstance(eigenvalue_increments, Tensor):
        eigenvalue_increments = torch.as_tensor(eigenvalue_increments, dtype=torch.float64)
    d = eigenvalue_increments
    if d.ndim == 0 or d.shape[-1] == 0 or not torch.isfinite(d).all():
        raise ValueError(
            f"eigenvalue_increments must be finite, shape (D,) or (..., D); got {tuple(d.shape)}. "
            "Pass the differences of two sorted spectra."
        )
    scaled = sigma * (sigma * d)  # in range wherever the result is
    return checks.finite_result(
        f"The formula at sigma = {sigma:g}",
        (2 * scaled.square().sum(-1) + scaled.sum(-1).square()) / 4,
        "Lower sigma, or multiply the loss by a small number.",
    )


def permutation_mean(per_sample_losses: Tensor, k: int) -> Tensor:
    """E (L_{k+1}(w) - L_k(w))^2 over all orders of the samples, at one fixed w.

    S^2 / (k (k+1)),  S^2 = sum (l_i - mean)^2 / (n - 1)

    Exact, by finite-population algebra: L_k is a mean of k out of n, and (l_{k+1} - L_k) has
    variance S^2 (1 + 1/k). So k (k+1) times the mean criterion is *constant in k* at a fixed w:
    k^-2 is what averaging does, whatever the landscape. KG26 names the factor 1/(k+1) of Eq. 5 as
    the source of the rate; the constant is not in it.

    Args:
        per_sample_losses: (n,) or (n, ...), at one w (or several, along later dimensions).
        k: 1..n-1.

    Returns:
        () or (...), in loss^2.

    >>> float(permutation_mean(torch.tensor([0.0, 2.0]), 1))   # (0 - 2)^2 / 2^2
    1.0
    """
    losses, k = _losses_and_k(per_sample_losses, k)
    return _in_range(losses.var(0) / (k * (k + 1)))


def next_sample_mean(per_sample_losses: Tensor, k: int) -> Tensor:
    """Mean of (L_{k+1}(w) - L_k(w))^2 over all samples after the first k as the next one.

    T(k) / (k+1)^2,  T(k) = mean over i > k of (l_i - L_k)^2

    Exact for the given order. With w = w_k* the samples after k are unseen, and the excess of a
    measured slope over -2 is the slope of T(k): a generalisation curve.

    Args:
        per_sample_losses: (n,) or (n, ...), all n samples at w.
        k: 1..n-1.

    Returns:
        () or (...), in loss^2.

    >>> float(next_sample_mean(torch.tensor([1.0, 3.0, 5.0]), 1))   # ((3-1)^2 + (5-1)^2)/2 / 2^2
    2.5
    """
    losses, k = _losses_and_k(per_sample_losses, k)
    return _in_range(increment(losses[k:], losses[:k].mean(0), k).square().mean(0))


def _in_range(mean: Tensor) -> Tensor:
    return checks.finite_result(
        "The mean squared increment", mean, "Multiply the losses by a small number."
    )


def _losses_and_k(per_sample_losses: Tensor, k: int) -> tuple[Tensor, int]:
    losses = per_sample_losses
    if not isinstance(losses, Tensor) or losses.ndim == 0 or len(losses) < 2:
        got = tuple(losses.shape) if isinstance(losses, Tensor) else type(losses).__name__
        raise ValueError(f"per_sample_losses must hold at least two losses, (n, ...); got {got}.")
    if not losses.is_floating_point():
        raise ValueError(
            f"per_sample_losses must be real numbers; got dtype {losses.dtype}. Try .double()."
        )
    if not torch.isfinite(losses).all():
        raise ValueError(
            "per_sample_losses must be finite; it holds NaN or infinity. Find the samples with "
            "torch.isfinite(per_sample_losses)."
        )
    return losses, checks.whole_number("k", k, 1, len(losses) - 1, "there must be a next sample")
