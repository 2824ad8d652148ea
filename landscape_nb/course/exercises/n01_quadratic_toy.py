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


MISTAKES_1: dict[str, Callable[..., Any]] = {
    "That is the surprise itself: one sample among k + 1 does not move the mean by all of it.": (
        lambda new, L, k: new - L
    ),
    "Only `new` is divided: are there brackets around the difference?": (
        lambda new, L, k: new / (k + 1) - L
    ),
    "Only `L` is divided: are there brackets around the difference?": (
        lambda new, L, k: new - L / (k + 1)
    ),
    "That is the new height, L_{k+1}: asked for is the change.": (
        lambda new, L, k: (k * L + new) / (k + 1)
    ),
    "The old height is missing: a change is a difference of two heights.": (
        lambda new, L, k: new / (k + 1)
    ),
    "The two losses are added: a surprise is their difference.": (
        lambda new, L, k: (new + L) / (k + 1)
    ),
    "L is a mean already, not a sum: why multiply it by k?": (
        lambda new, L, k: (new - k * L) / (k + 1)
    ),
    "The surprise is multiplied where it should be divided.": (
        lambda new, L, k: (new - L) * (k + 1)
    ),
    "L stands for k samples: it weighs more than the one new loss.": lambda new, L, k: (
        (new - L) / 2
    ),
    "A sample that does better than the mean lowers it: a change may be negative.": (
        lambda new, L, k: abs(new - L) / (k + 1)
    ),
}


def check_1(answer: Callable[..., Any]) -> None:
    """The increment from the next loss and the mean so far."""
    heights = np.array([1.0, 3.5, 8.0, 2.0, 6.0])  # the fourth is better than the mean before it
    cases = [{"new": heights[k], "L": heights[:k].mean(), "k": k} for k in (1, 2, 3, 4)]
    own = unaided(answer, "landscape_nb.increment")
    check("1", own, lambda new, L, k: heights[: k + 1].mean() - L, cases, MISTAKES_1)


def check_2(answer: Callable[..., Any]) -> None:
    """The Gaussian moment with its four parts; draws it over sigma."""
    c, B = np.array([0.5, -1.0]), np.array([[2.0, 0.5], [0.5, 1.0]])
    settings = ((1.0, 0.2), (-1.5, 0.7), (0.5, 2.0))  # a of either sign, and not 1 alone: a or a^2?
    cases = [{"a": a, "c": c, "B": B, "sigma": sigma} for a, sigma in settings]
    hints: dict[str, Callable[..., Any]] = {
        f"The {part} part is {words}.": partial(_moment_by_package, part=part, times=times)
        for part in PARTS
        for words, times in (("missing", 0), ("half of what it should be", 0.5), ("doubled", 2))
    }
    hints["Is the length of c squared in the gradient part?"] = lambda a, c, B, sigma: (
        _moment_by_package(a, c / np.linalg.norm(c) ** 0.5, B, sigma)
    )
    hints["The square of the trace is not the trace of a square."] = lambda a, c, B, sigma: (
        _moment_by_package(a, c, B, sigma) - sigma**4 / 4 * (np.trace(B) ** 2 - np.trace(B**2))
    )
    hints["Which power of sigma has the cross part?"] = lambda a, c, B, sigma: (
        _moment_by_package(a, c, B, sigma) + a * (sigma - sigma**2) * np.trace(B)
    )
    check("2", unaided(answer, "landscape_nb.gaussian_moment"), _moment_by_package, cases, hints)
    sigmas = np.geomspace(0.03, 3, 40)
    figures.own_moment(sigmas, [answer(1.0, c, B, sigma) for sigma in sigmas], 1.0)


def _moment_by_package(
    a: float, c: np.ndarray, B: np.ndarray, sigma: float, part: str = "", times: float = 1
) -> Tensor:
    """Eq. 15 as the package gives it, perhaps with one of its four parts so many times."""
    value = torch.tensor(a, dtype=torch.float64)
    model = IncrementModel(value, torch.as_tensor(c), torch.as_tensor(B))
    parts = gaussian_moment(model, sigma)
    return sum(getattr(parts, name) * (times if name == part else 1) for name in PARTS)


MISTAKES_3: dict[str, Callable[..., Any]] = {
    "With few losses it matters whether the variance divides by n or by n - 1.": (
        lambda losses, k: losses.var() / (k * (k + 1))
    ),
    "That is the variance of the losses: the surprise is not divided yet.": (
        lambda losses, k: losses.var(ddof=1)
    ),
    "That is one order of the losses: asked for is the mean over all.": (
        lambda losses, k: ((losses[k] - losses[:k].mean()) / (k + 1)) ** 2
    ),
    "The standard deviation is not squared.": lambda losses, k: losses.std(ddof=1) / (k * (k + 1)),
    "In other orders the other losses come first: all n count.": (
        lambda losses, k: losses[:k].var(ddof=1 if k > 1 else 0) / (k * (k + 1))
    ),
}


def check_3(answer: Callable[..., Any]) -> None:
    """The mean squared increment over all orders, at a frozen point."""
    few = np.array([0.5, 2.0, 4.0, 1.0, 7.0, 3.0])
    own = unaided(answer, "landscape_nb.permutation_mean")
    check("3", own, _exact_mean, [{"losses": few, "k": k} for k in (1, 2, 4)], MISTAKES_3)


def _exact_mean(losses: np.ndarray, k: int) -> Tensor:
    return permutation_mean(torch.as_tensor(losses), k)


# d, the changes of the eigenvalues -> the best two positions
BEST_OF = {
    (0.5, 0.4, 0.1, 0.0): (0, 1),
    (0.5, -0.5, 0.3, 0.2): (0, 2),
    (0.1, 0.0, -0.7, -0.6): (2, 3),
}
MISTAKES_4: dict[str, Callable[..., Any]] = {
    "The first D are best only where the changes are ordered and none is negative.": (
        lambda d, D: tuple(range(D))
    ),
    "The largest changes count, of either sign; but opposite signs cancel in the sum.": (
        lambda d, D: tuple(sorted(sorted(range(len(d)), key=lambda i: -abs(d[i]))[:D]))
    ),
    "A large negative change counts as much as a positive one: the part is a sum of squares.": (
        lambda d, D: tuple(sorted(sorted(range(len(d)), key=lambda i: -d[i])[:D]))
    ),
    "Positions are counted from 0.": lambda d, D: tuple(i + 1 for i in BEST_OF[d]),
    "The right directions; asked for are their positions in ascending order.": (
        lambda d, D: BEST_OF[d][::-1]
    ),
    "Those are the changes themselves: asked for are their positions.": (
        lambda d, D: tuple(d[i] for i in BEST_OF[d])
    ),
}


def check_4(answer: Callable[..., Any]) -> None:
    """The probe whose curvature part is largest."""
    check("4", answer, lambda d, D: BEST_OF[d], [{"d": d, "D": 2} for d in BEST_OF], MISTAKES_4)


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
