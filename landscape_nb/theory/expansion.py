"""What the quadratic model leaves out of the mean squared increment, to its first order.

E I(w + sigma U z)^2, z ~ N(0, 1_D), is a Gaussian mean of f = I^2, so exp(sigma^2 Laplacian/2) f:

E I^2  =  a^2  +  sigma^2 (|c|^2 + a tr B)
        + sigma^4 ( (2 tr B^2 + (tr B)^2)/4  +  c'grad(Lap I)  +  a Lap^2 I / 4 )  +  O(sigma^6)
                    curvature, Eq. 15            third            fourth

by Lap(I^2) = 2 |grad I|^2 + 2 I Lap I, applied twice, and
Lap |grad I|^2 = 2 |Hess I|^2 + 2 grad I'grad(Lap I). So Eq. 15 is exact to sigma^2, and of the
sigma^4 coefficient it holds one of three terms: the other two need third and fourth derivatives,
which a quadratic model sets to zero. KG26 defines its estimator for the quadratic model (sec. 5)
and measures where that is good (Fig. 4); the expansion says by how much it is off.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor
from torch.func import jvp

from landscape_nb.numerics import checks
from landscape_nb.numerics.devices import normal
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.operators import Indices
from landscape_nb.numerics.settings import forward_mode_turns
from landscape_nb.theory.criteria import Estimate, mean_and_standard_error
from landscape_nb.theory.increment import increment

_ORDER = 4
_HELD = 2 * 2**_ORDER  # times a forward pass's intermediates that are held: chosen here
# Against differences of reverse-mode products: a step in units of the parameters, and the share by
# which derivatives may differ, which kinks exceed by far. Chosen here.
_STEP, _APART = 1e-2, 0.1


class ForwardModeError(ValueError):
    """Higher derivatives in nested forward mode are missing, or wrong."""


@dataclass(frozen=True, eq=False)
class OmittedTerms:
    """Coefficients of sigma^4 in E I^2 that Eq. 15 does not hold, averaged over next samples.

    Each in loss^2 per sigma^4, with a standard error over random directions, zero if exact.

    Attributes:
        third: c'grad(Lap I); all that the centred criterion E (I - a)^2 lacks.
        fourth: a Lap^2 I / 4.
        total: their sum: what the raw criterion lacks.
    """

    third: Estimate
    fourth: Estimate
    total: Estimate


def omitted_terms(
    loss: EmpiricalLoss,
    w: Tensor,
    U: Tensor,
    k: int,
    *,
    candidates: Indices | None = None,
    num_draws: int | None = None,
    generator: torch.Generator | None = None,
) -> OmittedTerms:
    """The sigma^4 terms of E I(w + sigma U z)^2 beyond Eq. 15, averaged over next samples.

    third = c'grad(Lap I),  fourth = a Lap^2 I / 4,  Lap over the D directions

    Both are Gaussian means of quartic forms in a direction v, made of derivatives along one line,
    I(w + t U v) = a + t c'v + t^2 v'Bv/2 + t^3 T(v)/6 + t^4 Q(v)/24:

    E (c'v) T(v) / 3 = third,  E a Q(v) / 12 = fourth,  v ~ N(0, 1_D)

    A quartic form p has a mean that D^2 directions give exactly,
    E p = (4 - D) sum_i p(e_i) + sum_{i<j} (p(e_i + e_j) + p(e_i - e_j)) / 2; random v give it
    without bias, for a D of which D^2 is too many.

    Args:
        loss: the empirical loss, four times differentiable around w.
        w: (N,), usually w_k*.
        U: (N, D), orthonormal columns.
        k: number of samples in L_k, 1..n-1.
        candidates: indices (from 0) of the samples that may come next, a range or a tensor; all
            of k..n-1 if not given. range(k, k + 1) is the next one alone.
        num_draws: S >= 2 random directions; None: D^2 chosen ones, and the result is exact.
        generator: source of the draws; needed with num_draws.

    Returns:
        `OmittedTerms`. Of the draws' error, not of other candidates. Costs about 16 forward passes
        over the first k and the candidates for each direction.

    Raises:
        ValueError: an argument does not fit; as `ForwardModeError` if derivatives in nested
            forward mode are missing, or differ from reverse mode along a generic direction: where
            a network has kinks (ReLU) there is no such expansion.

    >>> from landscape_nb.problems.toys import quadratics
    >>> loss = EmpiricalLoss(*quadratics(5, 3).parts)             # nothing is left out
    >>> found = omitted_terms(loss, loss.w0, torch.eye(3).double(), k=2)
    >>> float(found.total.value), float(found.total.stderr)
    (0.0, 0.0)
    """
    w = checks.parameter_vector(w, loss.w0)
    U = checks.orthonormal_basis(U, loss.w0)
    k = checks.whole_number("k", k, 1, loss.num_samples - 1, "there must be a next sample")
    candidates = checks.candidates(candidates, k, loss.num_samples)
    if num_draws is None:
        directions = _exact_directions(U.shape[1]).to(w)
    else:
        S = checks.whole_number("num_draws", num_draws, 2, None, "a standard error needs two")
        generator = checks.explicit_generator(generator)
        directions = normal(S, U.shape[1], generator=generator).to(w)
    loss = loss.without_l2()
    generic = U @ torch.arange(1, U.shape[1] + 1, dtype=U.dtype, device=U.device).cos()
    for samples in (range(k), candidates):
        _refuse_wrong_derivatives(loss, w, generic, samples)
    forms = [_quartic_forms(loss, w, U @ v, k, candidates) for v in directions]
    third, fourth = torch.stack(forms, dim=1)
    return OmittedTerms(
        *(_mean(part, U.shape[1], num_draws, w) for part in (third, fourth, third + fourth))
    )


def line_derivatives(loss: EmpiricalLoss, w: Tensor, v: Tensor, samples: Indices) -> Tensor:
    """Derivatives of orders 0..4 of every sample's loss along the line w + t v at t = 0, (5, m).

    By nested forward mode, without the L2 term; about 16 forward passes.
    """
    with forward_mode_turns:
        parts = [_nested(loss, w, v, batch) for batch in _batches(loss, w, samples)]
    return torch.cat(parts, dim=1)


def _nested(loss: EmpiricalLoss, w: Tensor, v: Tensor, batch: Indices) -> Tensor:
    """Each turn differentiates all that the one before found; its last tangent is new."""
    zero = torch.zeros((), dtype=w.dtype, device=w.device)

    def orders(t: Tensor, order: int) -> tuple[Tensor, ...]:
        if order == 0:
            return (loss.losses_at(w + t * v, batch),)
        found = jvp(lambda s: orders(s, order - 1), (t,), (torch.ones_like(t),))
        return *found[0], found[1][-1]

    try:
        return torch.stack(orders(zero, _ORDER)).detach()
    except torch.OutOfMemoryError:
        raise
    except (NotImplementedError, RuntimeError) as error:
        raise ForwardModeError(
            "The model has no fourth derivatives in nested forward mode "
            f"({checks.first_line(error)})."
        ) from error


def _batches(loss: EmpiricalLoss, w: Tensor, samples: Indices) -> Iterator[Indices]:
    each = _HELD * loss.activation_bytes(w, int(samples[0])) + w.element_size()
    step = max(1, int(loss.memory / each))
    return iter(loss.samples.pieces(samples, step))


def _refuse_wrong_derivatives(loss: EmpiricalLoss, w: Tensor, v: Tensor, samples: Indices) -> None:
    """Against v'Hv of the samples' mean, by reverse mode at three points of the line."""
    found, h = line_derivatives(loss, w, v, samples)[2:], _STEP / float(v.norm())
    before, here, after = (v @ loss.hvp(w + t * v, v, samples) for t in (-h, 0.0, h))
    expected = torch.stack([here, (after - before) / (2 * h), (after - 2 * here + before) / h**2])
    noise = 100 * torch.finfo(w.dtype).eps * here.abs()  # and what differences make of it
    allowed = torch.stack([noise, noise / h, 4 * noise / h**2]) + _APART * found.abs().mean(1)
    if not ((found.mean(1) - expected).abs() <= allowed).all():
        raise ForwardModeError(
            "Second to fourth derivatives along a line are not those that reverse mode shows "
            f"around it: {_shown(found.mean(1))} against {_shown(expected)}. The loss has kinks "
            "(ReLU), and no expansion to sigma^4; or nested forward mode is wrong for this model."
        )


def _shown(values: Tensor) -> str:
    return ", ".join(f"{float(x):.3g}" for x in values)


def _quartic_forms(
    loss: EmpiricalLoss, w: Tensor, v: Tensor, k: int, candidates: Indices
) -> Tensor:
    """(c'v) T(v)/3 and a Q(v)/12, averaged over candidates, (2,)."""
    mean = line_derivatives(loss, w, v, range(k)).mean(1, keepdim=True)
    I = increment(line_derivatives(loss, w, v, candidates), mean, k)
    return torch.stack([I[1] * I[3] / 3, I[0] * I[4] / 12]).mean(1)


def _exact_directions(D: int) -> Tensor:
    """e_1, ..., e_D and e_i + e_j, e_i - e_j of every pair, (D^2, D)."""
    e = torch.eye(D, dtype=torch.float64)
    pairs = [e[i] + s * e[j] for i, j in combinations(range(D), 2) for s in (1, -1)]
    return torch.stack([*e, *pairs])


def _mean(forms: Tensor, D: int, num_draws: int | None, w: Tensor) -> Estimate:
    """The Gaussian mean of a quartic form from its values along the directions."""
    if num_draws is not None:
        return mean_and_standard_error(forms, like=w)
    exact = (4 - D) * forms[:D].sum() + forms[D:].sum() / 2
    exact = checks.finite_result("The sum", exact, "Multiply the loss by a small number.")
    return Estimate(exact, torch.zeros_like(exact), len(forms))
