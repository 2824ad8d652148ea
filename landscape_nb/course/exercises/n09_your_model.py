"""Checks of the exercises of notebook 09."""

from collections.abc import Callable, Sequence
from functools import cache, wraps
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from landscape_nb.course.checking import check, check_properties
from landscape_nb.course.own_work import beside, unaided
from landscape_nb.figures import n09_your_model as figures
from landscape_nb.numerics.fit import fit
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.problems.data import digits
from landscape_nb.problems.models import MLP
from landscape_nb.theory.enough import enough_data
from landscape_nb.theory.increment import increment, increment_model
from landscape_nb.theory.moments import gaussian_moment
from landscape_nb.theory.probes import random_subspace, top_eigenpairs


@cache
def digit_loss() -> EmpiricalLoss:
    """A small classifier of digits, as it is before training."""
    cross_entropy = nn.CrossEntropyLoss(reduction="none")
    return EmpiricalLoss(MLP([64, 6, 10]), cross_entropy, *digits(150, seed=0), l2=1e-2)


# Exercise 1: write a loss.

RIGHT_1 = {3: [0.5, 2.0, 4.5], 4: [0.0, 0.5, 2.0, 0.5]}  # by the number of samples
AVERAGED_1 = {3: [1 / 3, 7 / 3, 7 / 3], 4: [0.75] * 4}
MISTAKES_1: dict[str, Callable[..., Any]] = {
    "Each loss mixes all targets: what is a column minus a row?": lambda out, y: AVERAGED_1[len(y)]
}


def column(*values: float) -> Tensor:
    """Numbers as (number of them, 1)."""
    return torch.tensor(values, dtype=torch.float64)[:, None]


def check_1(answer: Callable[..., Any]) -> None:
    """Half the squared error of each sample; then the function inside the package."""
    cases = [
        {"out": column(3, 5, 1), "y": torch.tensor([2.0, 3.0, 4.0])},
        {"out": column(1, 1, 1, 1), "y": torch.tensor([1.0, 0.0, 3.0, 2.0])},
    ]
    check("1", answer, lambda out, y: RIGHT_1[len(y)], cases, MISTAKES_1)

    @wraps(answer)
    def in_the_package() -> Tensor:
        return beside(answer, losses_in_the_package)

    required = {"nine losses": lambda losses: losses.shape == (9,) and losses.isfinite().all()}
    check_properties("1, in the package", in_the_package, required)


def losses_in_the_package(half_squares: Callable[..., Tensor]) -> Tensor:
    """Losses by a function that the package has audited: where it lives, it is differentiated."""
    inputs = torch.linspace(-1, 1, 9, dtype=torch.float64)[:, None]
    loss = EmpiricalLoss(MLP([1, 4, 1]), half_squares, inputs, inputs[:, 0] ** 3)
    return loss.per_sample(loss.w0)


# Exercise 2: what a probe sees.


def explained(g: Tensor, U: Tensor) -> Tensor:
    """How much of g a least-squares fit by the columns of U takes away."""
    left = g - U @ torch.linalg.lstsq(U, g[:, None]).solution[:, 0]
    return 1 - (left.norm() / g.norm()) ** 2


MISTAKES_2: dict[str, Callable[..., Any]] = {
    "A share has no unit: of what is it the share?": lambda g, U: explained(g, U) * g.norm() ** 2,
    "Numerator and denominator have different units: are both squared?": (
        lambda g, U: explained(g, U) * g.norm()
    ),
    "That is what a random probe sees on average. What does this one see, of this gradient?": (
        lambda g, U: U.shape[1] / U.shape[0]
    ),
    "Means of how many numbers each? A share compares two sums.": (
        lambda g, U: explained(g, U) * U.shape[0] / U.shape[1]
    ),
    "Which comes first, the sum or the squares?": (
        lambda g, U: explained(g, U.sum(1, keepdim=True)) * U.shape[1]
    ),
}


def cases_2() -> list[dict[str, Tensor]]:
    """Random gradients of different lengths, and random probes of 2, 5 and 12 directions."""
    draws = torch.Generator().manual_seed(1)
    return [
        {
            "g": D * torch.randn(30, generator=draws, dtype=torch.float64),
            "U": random_subspace(30, D, draws),
        }
        for D in (2, 5, 12)
    ]


@cache
def trained() -> tuple[Tensor, dict[str, Tensor]]:
    """Gradients (30, N) of unseen digits at a minimum, and two probes of twenty directions."""
    loss = digit_loss()
    w = fit(loss, 120).w
    random = random_subspace(len(w), 20, torch.Generator().manual_seed(0))
    probes = {"sharpest": top_eigenpairs(loss, w, 120, 20).vectors, "random": random}
    return loss.sample_gradients(w, range(120, 150)), probes


def check_2(answer: Callable[..., Any]) -> None:
    """The share of a gradient that a probe sees; then its picture for a trained network."""
    check("2", answer, explained, cases_2(), MISTAKES_2)
    unseen, probes = trained()
    means = {
        name: [
            float(np.mean([float(answer(g, U[:, :D])) for g in unseen]))
            for D in range(1, U.shape[1] + 1)
        ]
        for name, U in probes.items()
    }
    figures.share_of_the_gradient(means, unseen.shape[1])


# Exercise 3: how much data is enough.

Rule = Callable[..., int | None]


def in_words(rule: Rule) -> Callable[..., str]:
    """K as text, because None is an answer here, and not a missing one."""

    @wraps(rule)
    def said(**case: Any) -> str:
        K = rule(**case)
        return "None" if K is None else f"{K:g}"  # refuses words; 40.5 is not 40

    return said


def first_below(ks: Sequence[int], deltas: Sequence[float], tolerance: float) -> int | None:
    """The first k below the tolerance, whatever comes after it."""
    return next((k for k, delta in zip(ks, deltas, strict=True) if delta < tolerance), None)


def last_above(ks: Sequence[int], deltas: Sequence[float], tolerance: float) -> int | None:
    """The last k that is not settled."""
    return max((k for k, delta in zip(ks, deltas, strict=True) if delta >= tolerance), default=None)


def last_if_below(ks: Sequence[int], deltas: Sequence[float], tolerance: float) -> int | None:
    """The last k of all, if the curve ends below the tolerance."""
    return ks[-1] if deltas[-1] < tolerance else None


def place(ks: Sequence[int], deltas: Sequence[float], tolerance: float) -> int | None:
    """The index of K in place of K."""
    K = enough_data(ks, deltas, tolerance)
    return K and ks.index(K)


MISTAKES_3: dict[str, Rule] = {
    "None comes too often: does each way out end with a return?": lambda **_: None,
    "A lucky sample dips below the tolerance, and a later one does not.": first_below,
    "A curve that ends at the tolerance itself: is that below?": (
        lambda ks, deltas, tolerance: enough_data(ks, deltas, tolerance * 1.001)
    ),
    "Is the tolerance reached at all? Look at the end of the curve.": (
        lambda ks, deltas, tolerance: enough_data(ks, deltas, tolerance) or ks[-1]
    ),
    "That is the last k that is not settled.": last_above,
    "Is it one of ks, or its place among them?": place,
    "Does the curve stay below from an earlier k on, too?": last_if_below,
}


def cases_3() -> list[dict[str, Any]]:
    """Curves that settle, dip and rise, reach the tolerance late or never."""
    grid = [10, 20, 40, 80, 160]
    settling = (
        [9, 0.5, 2, 0.3, 0.2],
        [9, 2, 0.4, 0.3, 0.1],
        [9, 0.5, 0.4, 2, 1],
        [0.9, 0.5, 0.4, 0, 0],
    )
    cases = [{"ks": grid, "deltas": deltas, "tolerance": 1} for deltas in settling]
    return cases + [{"ks": grid, "deltas": settling[0], "tolerance": limit} for limit in (0.1, 3)]


def check_3(answer: Callable[..., Any]) -> None:
    """The rule for K on six curves."""
    mistakes = {hint: in_words(rule) for hint, rule in MISTAKES_3.items()}
    own = unaided(answer, "landscape_nb.enough_data")
    check("3", in_words(own), in_words(enough_data), cases_3(), mistakes)


# Exercise 4: design a probe.


def check_4(answer: Callable[..., Any]) -> None:
    """A probe of one direction that sees the increment's whole gradient."""
    loss, k = digit_loss(), 50
    w = loss.w0 + 0.1
    gradient = increment(loss.gradient(w, range(k, k + 1)), loss.gradient(w, k), k)

    def seen(U: Tensor) -> float:
        """The gradient part in the probe, over that of the whole space."""
        part = gaussian_moment(increment_model(loss, w, U, k), 1.0).gradient
        return float(part / gradient.square().sum())

    required: dict[str, Callable[[Any], Any]] = {
        "a basis of shape (N, 1)": lambda U: U.shape == (len(w), 1),
        "a column of length 1": lambda U: abs(U.norm() - 1) < 1e-9,
        "it sees a tenth of the gradient at least (is it about the right sample?)": lambda U: (
            seen(U) > 0.1
        ),
        "it sees 0.999 of the gradient (what has the increment besides the new sample?)": (
            lambda U: seen(U) > 0.999
        ),
    }
    check_properties("4", answer, required, {"loss": loss, "w": w, "k": k})
