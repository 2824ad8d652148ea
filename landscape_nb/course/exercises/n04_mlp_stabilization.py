"""Checks of the exercises of notebook 04."""

from collections.abc import Callable, Mapping
from functools import cache, partial, wraps
from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape_nb.course.checking import check, check_own, check_properties
from landscape_nb.course.numbers_by_name import own_numbers
from landscape_nb.course.own_work import unaided
from landscape_nb.figures import n04_mlp_stabilization as figures
from landscape_nb.numerics.fit import fit, fit_path
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.problems.data import digits
from landscape_nb.problems.models import MLP
from landscape_nb.problems.toys import Quadratics
from landscape_nb.theory.increment import increment, increment_model
from landscape_nb.theory.moments import Moment, gaussian_moment, next_sample_mean
from landscape_nb.theory.probes import jacobian_subspace, top_eigenpairs

GRID = [20, 40, 80, 160]


def digits_loss(n: int, hidden: int, *, shuffled: bool = False) -> EmpiricalLoss:
    """The loss of an MLP 64-hidden-10 on n digits; with shuffled labels, if you like."""
    inputs, labels = digits(n, seed=0)
    if shuffled:
        labels = labels[torch.randperm(n, generator=torch.Generator().manual_seed(1))]
    model = MLP([64, hidden, 10], generator=torch.Generator().manual_seed(0))
    cross_entropy = torch.nn.CrossEntropyLoss(reduction="none")
    return EmpiricalLoss(model, cross_entropy, inputs, labels, l2=3e-3)


@cache
def trained(shuffled: bool) -> tuple[EmpiricalLoss, dict[int, Tensor]]:
    """A loss, and {k: w_k*}: its network trained on the first k samples, for k of the grid."""
    loss = digits_loss(400, 16, shuffled=shuffled)
    return loss, {k: f.w for k, f in zip(GRID, fit_path(loss, GRID, tol=3e-2), strict=True)}


@cache
def small() -> tuple[EmpiricalLoss, Tensor, int, Tensor]:
    """A network small enough for dense Hessians: loss, w, k and its ten sharpest directions."""
    loss, k = digits_loss(200, 8), 80
    w = fit(loss, k, tol=1e-2).w
    return loss, w, k, top_eigenpairs(loss, w, k, 10).vectors


# Exercise 1: the mean squared increment.


def right_1(losses: Any, k: int) -> Tensor:
    """Mean squared increment over the unseen samples."""
    return next_sample_mean(torch.as_tensor(losses), k)


MISTAKES_1: dict[str, Callable[..., Any]] = {
    "Which of the n samples can still come next?": lambda losses, k: right_1(
        np.r_[losses[:k], losses], k
    ),
    "Which samples make up L_k?": lambda losses, k: right_1(
        np.r_[np.full(k, losses.mean()), losses[k:]], k
    ),
    "From which number do you measure the gap?": lambda losses, k: losses[k:].var() / (k + 1) ** 2,
    "In which order do you square and average?": lambda losses, k: right_1(
        np.r_[losses[:k], losses[k:].mean()], k
    ),
    "That is one sample's increment. Which others could come next?": lambda losses, k: right_1(
        losses[: k + 1], k
    ),
    "Python counts from 0: which entry is the first unseen one?": lambda losses, k: right_1(
        np.delete(losses, k), k
    ),
    "A sum or a mean?": lambda losses, k: right_1(losses, k) * (len(losses) - k),
    "What does one sample weigh in a mean of k + 1?": lambda losses, k: (
        right_1(losses, k) * (k + 1) ** 2
    ),
    "Is everything squared that should be?": lambda losses, k: right_1(losses, k) * (k + 1),
}


def check_1(answer: Callable[..., Any]) -> None:
    """The mean squared increment, of seven losses."""
    losses = np.array([0.1, 0.0, 0.3, 0.2, 4.0, 0.5, 1.0])
    own = unaided(answer, "landscape_nb.next_sample_mean")
    check("1", own, right_1, [{"losses": losses, "k": k} for k in (2, 3, 5)], MISTAKES_1)


# Exercise 2: a learning curve, and a control.


def right_2(
    loss: EmpiricalLoss,
    w_at: Mapping[int, Tensor],
    change: Callable[[Tensor, int, Tensor], Tensor] = lambda losses, k, w: losses,
    power: int = 2,
) -> Tensor:
    """T(k) by way of the squared increment; `change` and `power` make well-known mistakes."""
    rows = [
        (k + 1) ** power * next_sample_mean(change(loss.per_sample(w), k, w), k)
        for k, w in w_at.items()
    ]
    return torch.stack(rows)


def with_l2(losses: Tensor, k: int, w: Tensor) -> Tensor:
    """Losses of which the first k contain the L2 term."""
    losses = losses.clone()
    losses[:k] += 3e-3 / 2 * w.square().sum()
    return losses


MISTAKES_2: dict[str, Callable[..., Any]] = {
    "Which samples make up L_k?": partial(
        right_2, change=lambda losses, k, w: torch.cat([losses.mean().expand(k), losses[k:]])
    ),
    "What is in `loss.value`, besides the mean of the sample losses?": partial(
        right_2, change=with_l2
    ),
    "Over which samples does T average?": partial(
        right_2, change=lambda losses, k, w: torch.cat([losses[:k], losses])
    ),
    "Every unseen sample counts, not the next one alone.": partial(
        right_2, change=lambda losses, k, w: losses[: k + 1]
    ),
    "T is what remains when the arithmetic is taken out of the squared increment.": partial(
        right_2, power=0
    ),
    "At which weights are the losses? Each k has its own.": lambda loss, w_at: right_2(
        loss, {k: w_at[20] for k in w_at}
    ),
    "From which number do you measure the gap?": lambda loss, w_at: torch.stack(
        [loss.per_sample(w)[k:].var() for k, w in w_at.items()]
    ),
}


def check_2(answer: Callable[..., Any]) -> None:
    """T(k) of a trained network; then its picture, with shuffled labels as a control."""
    loss, w_at = trained(shuffled=False)
    own = unaided(answer, "landscape_nb.next_sample_mean")
    check("2", own, right_2, [{"loss": loss, "w_at": w_at}], MISTAKES_2)
    true, shuffled = (np.asarray(answer(*trained(shuffled=s))) for s in (False, True))
    figures.learning_curve_and_control(GRID, true, shuffled)


# Exercise 3: the ratio to the full space, with its control.


def moments_3(a: float, c: Any, B: Any, U: Any, sigma: float) -> tuple[Moment, Moment]:
    """Parts of the criterion in the probe and in the full space, by the package.

    Two samples, of which the first has no loss at all, have just the increment that is asked for.
    """
    parts = [torch.stack([0 * x, 2 * x]) for x in map(torch.as_tensor, (a, c, B))]
    loss, w = EmpiricalLoss(*Quadratics(*parts).parts), 0 * torch.as_tensor(c)
    inside = increment_model(loss, w, torch.as_tensor(U), 1)
    everywhere = increment_model(loss, w, torch.eye(len(c), dtype=torch.float64), 1)
    return gaussian_moment(inside, sigma), gaussian_moment(everywhere, sigma)


def both_ratios(p: Moment, f: Moment) -> list[Any]:
    """[raw, centred] of the probe's parts p over those of the full space f."""
    return [p.total / f.total, p.centred / f.centred]


def right_3(ratios: Callable[..., list[Any]] = both_ratios, **case: Any) -> list[Any]:
    """[raw, centred]; other `ratios` make well-known mistakes."""
    return ratios(*moments_3(**case))


RATIOS_3: dict[str, Callable[..., list[Any]]] = {
    "What is left of the cross part when a is subtracted before squaring?": (
        lambda p, f: [p.total / f.total, (p.total - p.value) / (f.total - f.value)]
    ),
    "Is the cross part there?": (
        lambda p, f: [(p.total - p.cross) / (f.total - f.cross), p.centred / f.centred]
    ),
    "Which matrix are the Frobenius norm and the trace of, inside the probe?": (
        lambda p, f: [
            (p.value + f.cross + p.gradient + f.curvature) / f.total,
            (p.gradient + f.curvature) / f.centred,
        ]
    ),
    "How much of the gradient do steps within U see?": (
        lambda p, f: [
            (p.total - p.gradient + f.gradient) / f.total,
            (f.gradient + p.curvature) / f.centred,
        ]
    ),
}


def cases_3() -> list[dict[str, Any]]:
    """A random increment in five dimensions, seen by two of them at three widths."""
    draws = np.random.default_rng(3)
    A, U = draws.normal(size=(5, 5)), np.linalg.qr(draws.normal(size=(5, 2))).Q
    case = {"a": 0.5, "c": draws.normal(size=5), "B": A + A.T, "U": U}
    return [{**case, "sigma": sigma} for sigma in (0.3, 1.0, 2.0)]


def check_3(answer: Callable[..., Any]) -> None:
    """Both ratios; then their picture over sigma, for one next digit of the small network."""
    mistakes = {hint: partial(right_3, ratios) for hint, ratios in RATIOS_3.items()}
    check("3", answer, right_3, cases_3(), mistakes)

    loss, w, k, top = small()
    whole = increment_model(loss, w, torch.eye(loss.num_params, dtype=torch.float64), k)
    model = float(whole.a), whole.c.numpy(), whole.B.numpy()
    random = np.linalg.qr(np.random.default_rng(0).normal(size=top.shape)).Q
    sigmas, probes = np.geomspace(1e-3, 1, 25), {"top": top.numpy(), "random": random}
    ratios = {name: [answer(*model, U, s) for s in sigmas] for name, U in probes.items()}
    figures.ratios_over_sigma(sigmas, {name: np.transpose(r) for name, r in ratios.items()})


# Exercise 4: a probe for both.


@cache
def curvatures_4() -> dict[str, dict[int, Tensor]]:
    """{index: the increment's Hessian} for the two easiest and the two hardest unseen digits."""
    loss, w, k, _ = small()
    order, before = (loss.per_sample(w)[k:].argsort() + k).tolist(), loss.hessian(w, k)
    return {
        kind: {i: increment(loss.hessian(w, range(i, i + 1)), before, k) for i in chosen}
        for kind, chosen in {"easy": order[:2], "hard": order[-2:]}.items()
    }


def caught(probes: Mapping[int, Any], kind: str) -> float:
    """Share of the curvature that the probes catch, given as {index of a digit: basis}."""
    increments = curvatures_4()[kind]
    bases = {i: torch.as_tensor(probes[i]).double() for i in increments}
    inside = [(bases[i].T @ A @ bases[i]).square().sum() for i, A in increments.items()]
    return float(sum(inside) / sum(A.square().sum() for A in increments.values()))


def are_orthonormal(probes: Mapping[int, Any]) -> bool:
    """Whether each basis has columns of length 1, perpendicular to each other."""
    one, bases = np.eye(10), map(np.asarray, probes.values())
    return all(np.allclose(U.T @ U, one, atol=1e-8) for U in bases)


def check_4(answer: Callable[..., Any]) -> None:
    """One probe for easy and for hard next digits: its shape, and what it catches of each."""
    loss, w, _, top = small()
    shape = (loss.num_params, 10)

    @wraps(answer)
    def probes() -> dict[int, Any]:
        chosen = [i for increments in curvatures_4().values() for i in increments]
        return {i: answer(top.clone(), jacobian_subspace(loss, w, i)) for i in chosen}

    required = {
        f"ten columns with one entry for each parameter, shape {shape}": lambda p: all(
            tuple(U.shape) == shape for U in p.values()
        ),
        "columns of length 1, perpendicular to each other": are_orthonormal,
        "more than 60 % of the curvature for the easy next digits": lambda p: (
            caught(p, "easy") > 0.6
        ),
        "more than 60 % of the curvature for the hard next digits": lambda p: (
            caught(p, "hard") > 0.6
        ),
    }
    check_properties("4", probes, required)


# Exercise 5: the student's own digits.


@cache
def own_squares(student: str) -> tuple[np.ndarray, int]:
    """Squared surprises of the unseen digits, (n - k,), and k."""
    loss, k = own_numbers("04.5", student)
    losses = loss.per_sample(fit(loss, k, tol=1e-7).w).numpy()
    return (losses[k:] - losses[:k].mean()) ** 2, k


def hardest(student: str) -> dict[str, float]:
    """The digit with the largest squared increment, and its share of the sum of all."""
    squares, k = own_squares(student)
    return {
        "the digit": k + int(squares.argmax()),
        "its share": float(squares.max() / squares.sum()),
    }


MISTAKES_5: dict[str, Callable[[str], dict[str, float]]] = {
    "Count from the first of all digits, not from the first unseen one.": lambda student: {
        "the digit": hardest(student)["the digit"] - own_squares(student)[1]
    },
    "Python counts from 0.": lambda student: {"the digit": hardest(student)["the digit"] + 1},
    "Of the sum over the unseen digits, or of their mean?": lambda student: {
        "its share": hardest(student)["its share"] * len(own_squares(student)[0])
    },
    "The share of the squares is asked for.": lambda student: {
        "its share": float(
            np.sqrt((squares := own_squares(student)[0]).max()) / np.sqrt(squares).sum()
        )
    },
}


def check_5(answer: Callable[..., Any]) -> None:
    """Which of the student's own digits disturbs most, and how much of T it is."""
    # Another machine's minimiser is the same up to the tolerance of its fit.
    check_own("5", answer, hardest, MISTAKES_5, rtol=2e-3)
