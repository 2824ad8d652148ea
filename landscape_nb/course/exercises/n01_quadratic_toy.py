"""Public checks of notebook 01: an increment, its moment, arithmetic, a probe, own losses."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape_nb.course.checking import check, check_own
from landscape_nb.course.numbers_by_name import own_numbers
from landscape_nb.course.own_work import unaided
from landscape_nb.figures import n01_quadratic_toy as figures
from landscape_nb.theory.increment import IncrementModel
from landscape_nb.theory.moments import gaussian_moment, permutation_mean

PARTS = ("value", "cross", "gradient", "curvature")


def check_1(answer: Callable[..., Any]) -> None:
    """The increment from the next loss and the mean so far."""
    heights = np.array([1.0, 3.0, 8.0, 2.0, 6.0])
    cases = [{"new": heights[k], "L": heights[:k].mean(), "k": k} for k in (1, 2, 4)]
    own = unaided(answer, "landscape_nb.increment")
    check("1", own, lambda new, L, k: heights[: k + 1].mean() - L, cases)


def check_2(answer: Callable[..., Any]) -> None:
    """The Gaussian moment with its four parts; draws it over sigma."""
    a, c = 1.0, np.array([0.5, -1.0])
    B = np.array([[2.0, 0.5], [0.5, 1.0]])
    cases = [{"a": a, "c": c, "B": B, "sigma": sigma} for sigma in (0.2, 0.7, 2.0)]
    hints = {
        f"Is the {part} part right?": partial(_moment_by_package, without=part) for part in PARTS
    }
    check("2", unaided(answer, "landscape_nb.gaussian_moment"), _moment_by_package, cases, hints)
    sigmas = np.geomspace(0.03, 3, 40)
    figures.own_moment(sigmas, [answer(a, c, B, sigma) for sigma in sigmas], a**2)


def _moment_by_package(
    a: float, c: np.ndarray, B: np.ndarray, sigma: float, without: str | None = None
) -> Tensor:
    """Eq. 15 as the package gives it, perhaps without one of its four parts."""
    value = torch.tensor(a, dtype=torch.float64)
    model = IncrementModel(value, torch.as_tensor(c), torch.as_tensor(B))
    parts = gaussian_moment(model, sigma)
    return torch.stack([getattr(parts, name) for name in PARTS if name != without]).sum()


def check_3(answer: Callable[..., Any]) -> None:
    """The mean squared increment over all orders, at a frozen point."""
    few = np.array([0.5, 2.0, 4.0, 1.0, 7.0])
    hints = {
        "With few losses it matters whether the variance divides by n or by n - 1.": (
            lambda losses, k: _exact_mean(losses, k) * (1 - 1 / len(losses))
        )
    }
    own = unaided(answer, "landscape_nb.permutation_mean")
    check("3", own, _exact_mean, [{"losses": few, "k": k} for k in (1, 2, 4)], hints)


def _exact_mean(losses: np.ndarray, k: int) -> Tensor:
    return permutation_mean(torch.as_tensor(losses), k)


def check_4(answer: Callable[..., Any]) -> None:
    """The probe whose curvature part is largest."""
    right = {
        (0.5, 0.4, 0.1, 0.0): (0, 1),
        (0.5, -0.5, 0.3, 0.2): (0, 2),
        (0.1, 0.0, -0.7, -0.6): (2, 3),
    }
    hints = {
        "The largest changes count, of either sign; but opposite signs cancel in the sum.": (
            lambda d, D: tuple(sorted(sorted(range(len(d)), key=lambda i: -abs(d[i]))[:D]))
        ),
        "A large negative change counts as much as a positive one: the part is a sum of squares.": (
            lambda d, D: tuple(sorted(sorted(range(len(d)), key=lambda i: -d[i])[:D]))
        ),
    }
    check("4", answer, lambda d, D: right[d], [{"d": d, "D": 2} for d in right], hints)


def check_5(answer: Callable[..., Any]) -> None:
    """From which k on the student's own losses give increments below the tolerance."""
    hints: dict[str, Callable[[str], dict[str, float]]] = {
        "Is that the first k at or below your tolerance?": lambda student: {
            "k": _settled(student)["k"] + 1
        },
        "At that k the mean is still above your tolerance.": lambda student: {
            "k": _settled(student)["k"] - 1
        },
        "With few losses it matters whether the variance divides by n or by n - 1.": partial(
            _settled, share=1 - 1 / 40
        ),
    }
    check_own("5", answer, _settled, hints)


def _settled(student: str, share: float = 1.0) -> dict[str, float]:
    """The smallest k at which the mean squared increment is within the tolerance, and that mean."""
    losses, tolerance = own_numbers("01.5", student)
    means = (share * float(_exact_mean(losses, k)) for k in range(1, len(losses)))
    return next({"k": k, "the mean": mean} for k, mean in enumerate(means, 1) if mean <= tolerance)
