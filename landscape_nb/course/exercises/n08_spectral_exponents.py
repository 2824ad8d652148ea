"""Checks of notebook 08: curvature along a mode, three slopes, the longest step, a triangle."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from torch import Tensor, nn

from landscape_nb.course.answers import numbers
from landscape_nb.course.checking import check, check_properties
from landscape_nb.course.own_work import unaided
from landscape_nb.figures import n08_spectral_exponents as figures
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.problems.data import digits
from landscape_nb.problems.models import MLP
from landscape_nb.theory import layers
from landscape_nb.theory.spectral_newton import spectral_newton_step


def classifier(widths: list[int], inputs: Tensor, labels: Tensor) -> EmpiricalLoss:
    """A tanh network with random weights, and its cross-entropy."""
    net = MLP(widths, generator=torch.Generator().manual_seed(2))
    return EmpiricalLoss(net, nn.CrossEntropyLoss(reduction="none"), inputs, labels)


# -- 1. the curvature along a mode ----------------------------------------------------------------


def check_1(answer: Callable[..., Any]) -> None:
    """Curvatures along three modes of a small layer, beside the package's."""
    small = small_classifier()
    block = small.hessian(small.w0, 50)[:24, :24].numpy()  # second derivatives in its 24 weights
    found = layers.gradient_modes(small, small.w0, 50, "0")
    U, V, h = found.U.numpy(), found.V.numpy(), found.h.numpy()
    hints: dict[str, Callable] = {
        "Row by row: do the numbers of u or those of v run faster?": (
            lambda H, u, v: moved(np.multiply.outer(v, u))
        ),
        "That is the curvature of the sharpest direction, whatever u and v are.": (
            lambda H, u, v: np.linalg.eigvalsh(H)[-1]
        ),
    }
    cases = [{"H": block, "u": U[:, k], "v": V[:, k]} for k in range(3)]
    check("1", answer, lambda H, u, v: h[np.abs(U.T @ u).argmax()], cases, hints, rtol=1e-4)


@cache
def small_classifier() -> EmpiricalLoss:
    """50 points of 3 classes; the first layer is 6 x 4."""
    points = torch.randn(50, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return classifier([4, 6, 3], points, torch.arange(50) % 3)


def moved(table: ArrayLike, t: float = 1e-3) -> float:
    """Second difference of the loss as the 24 weights move along a table."""
    small = small_classifier()
    step = torch.zeros_like(small.w0)
    step[:24] = torch.as_tensor(table).flatten()
    ahead, here, behind = (small.value(small.w0 + s * step, 50) for s in (t, 0, -t))
    return float(ahead - 2 * here + behind) / t**2


# -- 2. three slopes ------------------------------------------------------------------------------


def check_2(answer: Callable[..., Any]) -> None:
    """Slopes of exact power laws and of an untrained digit classifier, which is drawn."""
    k, (sigma, h) = np.arange(1, 17.0), untrained_modes()
    cases = [{"sigma": k**-1.5, "h": k**-2.5}, {"sigma": sigma, "h": h}]
    fits = "landscape_nb.log_slope", "landscape_nb.theory.exponents.exponents"
    check("2", unaided(answer, *fits), by_package, cases, SLIPS)
    alpha, gamma, s = map(float, answer(sigma.copy(), h.copy()))
    figures.fitted_lists(sigma, h, (alpha, gamma, s))


@cache
def untrained_modes() -> tuple[np.ndarray, np.ndarray]:
    """Singular values and curvatures of an untrained digit classifier's first layer."""
    larger = classifier([64, 16, 10], *digits(60))
    modes = layers.gradient_modes(larger, larger.w0, 60, "0")
    return modes.sigma.numpy(), modes.h.numpy()


def by_package(sigma: ArrayLike, h: ArrayLike) -> np.ndarray:
    """What the package finds."""
    fits = layers.exponents(torch.as_tensor(sigma), torch.as_tensor(h))
    return np.array([fits.alpha.value, fits.gamma.value, fits.s.value])


def mixed(sigma: ArrayLike, h: ArrayLike, **changes: float) -> list[float]:
    """Some of the three from other lists, which is how most mistakes come about."""
    three = dict(zip(("alpha", "gamma", "s"), by_package(sigma, h), strict=True))
    return list((three | changes).values())


SLIPS: dict[str, Callable] = {
    "The signs: gamma and s are positive where the lists fall.": (
        lambda sigma, h: by_package(sigma, h) * [1, -1, -1]
    ),
    "For alpha, which of the two lists stands on the horizontal axis?": (
        lambda sigma, h: mixed(sigma, h, alpha=by_package(h[h > 0], sigma[h > 0])[0])
    ),
    "s is a fit of its own. That it equals alpha times gamma is a claim to be tested.": (
        lambda sigma, h: mixed(sigma, h, s=np.prod(by_package(sigma, h)[:2]))
    ),
    "Modes drop out and leave gaps: do the others keep their ranks?": (
        lambda sigma, h: by_package(sigma[h > 0], h[h > 0])
    ),
    "A negative curvature has no logarithm. Its size has one, but is it asked for?": (
        lambda sigma, h: by_package(sigma, np.abs(h))
    ),
    "Do all three fits rest on the same modes?": (
        lambda sigma, h: mixed(sigma, h, gamma=by_package(sigma, sigma)[1])
    ),
}


# -- 3. the longest step --------------------------------------------------------------------------


def check_3(answer: Callable[..., Any]) -> None:
    """The singular value that moves farthest, and how far."""
    cases = [{"alpha": a, "d": d} for a, d in ((2.0, 0.04), (2.0, 0.25), (1.5, 0.04), (3.0, 0.1))]
    hints: dict[str, Callable] = {
        "Right for alpha = 2 only. What comes down when sigma^alpha is differentiated?": (
            lambda alpha, d: with_step(d ** (1 / alpha), alpha, d)
        ),
        "Right for alpha = 2 only. Differentiate sigma / (sigma^alpha + d).": (
            lambda alpha, d: searched(2, d)
        ),
        "The second number fits the first. But does the best sigma not depend on alpha?": (
            lambda alpha, d: with_step(searched(2, d)[0], alpha, d)
        ),
        "Is the first number sigma itself, or a power of it?": (
            lambda alpha, d: with_step(searched(alpha, d)[0] ** alpha, alpha, d)
        ),
    }
    check("3", answer, searched, cases, hints, rtol=1e-5)


def with_step(sigma: float, alpha: float, d: float) -> list[float]:
    """A sigma, and how far the package moves a mode of this size."""
    G = torch.tensor([[sigma]], dtype=torch.float64)
    return [sigma, float(spectral_newton_step(G, alpha, d))]


def searched(alpha: float, d: float) -> list[float]:
    """The longest step by trial and error, for sigma from 0.001 to 10."""
    at = minimize_scalar(
        lambda x: -with_step(np.exp(x), alpha, d)[1], bounds=(-6.9, 2.3), options={"xatol": 1e-9}
    )
    return with_step(np.exp(at.x), alpha, d)


# -- 4. a counterexample --------------------------------------------------------------------------


def check_4(answer: Callable[..., Any]) -> None:
    """Two lists that are not related, and whose triangle closes."""
    required: dict[str, Callable] = {
        "two lists": lambda lists: len(lists) == 2,
        "12 numbers in each, because r = 12": lambda lists: [len(v) for v in lists] == [12, 12],
        "positive numbers": lambda lists: np.min(lists) > 0,
        "sigma descends": lambda lists: np.all(np.diff(lists[0]) < 0),
        "|s| above 0.1": lambda lists: abs(fits(lists).s.value) > 0.1,
        "h hardly follows sigma, R2 of alpha below 0.2": lambda lists: fits(lists).alpha.r2 < 0.2,
        "|s - alpha gamma| below a millionth of |s|": (
            lambda lists: fits(lists).gap < 1e-6 * abs(fits(lists).s.value)
        ),
    }
    check_properties("4", answer, required, {"r": 12})


def fits(lists: Sequence[Sequence[float]]) -> layers.Exponents:
    """The package's exponents of two lists of any kind."""
    sigma, h = (torch.tensor(numbers(values, len(values))) for values in lists)
    return layers.exponents(sigma, h)
