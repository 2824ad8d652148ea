"""Checks of notebook 05: what a plane shows, what eigenvalues do not see, how much is enough."""

from collections.abc import Callable, Sequence
from functools import cache, partial, wraps
from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape_nb.course.checking import check, check_properties
from landscape_nb.course.own_work import unaided
from landscape_nb.figures import n05_loss_surfaces as figures
from landscape_nb.numerics.fit import fit
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.problems.data import digits
from landscape_nb.problems.models import MLP
from landscape_nb.problems.toys import Quadratics
from landscape_nb.theory.enough import enough_data
from landscape_nb.theory.increment import IncrementModel, increment_model
from landscape_nb.theory.moments import gaussian_moment, spectral_formula
from landscape_nb.theory.probes import top_eigenpairs
from landscape_nb.theory.surfaces import loss_surfaces

Network = tuple[EmpiricalLoss, Tensor, int]  # a loss, w_k*, k


# -- 1. what a plane shows ------------------------------------------------------------------------


def check_1(answer: Callable[..., Any]) -> None:
    """The share of the trace; then hundreds of random planes, by the learner's function."""
    cases = [{"H": symmetric(6, s) + 3 * np.eye(6), "U": orthonormal(6, 3, s)} for s in range(3)]
    check("1", answer, share_of_trace, cases, MISTAKES_1)
    sizes, shares = [10, 30, 100, 300], []
    for N in sizes:
        H = np.diag([10.0, 5.0, 2.0] + (N - 3) * [0.01])
        shares.append([answer(H, orthonormal(N, 2, s)) for s in range(200)])
    figures.share_of_random_planes(sizes, shares)


def share_of_trace(H: np.ndarray, U: np.ndarray) -> float:
    """By lengths and angles."""
    eigenvalues, vectors = np.linalg.eigh(H)
    return eigenvalues @ np.square(vectors.T @ U).sum(1) / eigenvalues.sum()


MISTAKES_1: dict[str, Callable] = {
    "Does a trace add up all entries?": lambda H, U: (U.T @ H @ U).sum() / np.trace(H),
    "That is a share of the squared curvatures. Which curvatures add up to the trace?": (
        lambda H, U: np.square(U.T @ H @ U).sum() / np.square(H).sum()
    ),
    "What sign has a curvature that bends down?": lambda H, U: (
        np.abs(np.linalg.eigvalsh(U.T @ H @ U)).sum() / np.abs(np.linalg.eigvalsh(H)).sum()
    ),
    "A share of what?": lambda H, U: share_of_trace(H, U) * np.trace(H),
    "The mean over the directions, or the sum?": lambda H, U: share_of_trace(H, U) / U.shape[1],
}


def symmetric(N: int, seed: int) -> np.ndarray:
    """A symmetric (N, N) array of random numbers."""
    A = np.random.default_rng(seed).normal(size=(N, N))
    return A + A.T


def orthonormal(N: int, D: int, seed: int) -> np.ndarray:
    """An array (N, D) with orthonormal columns in random directions."""
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(N, D))).Q


# -- 2. what eigenvalues do not see ---------------------------------------------------------------


def check_2(answer: Callable[..., Any]) -> None:
    """The exact curvature part and the formula; then both while a bowl turns."""
    pair = {"H": symmetric(5, 1), "H_next": symmetric(5, 2), "U": orthonormal(5, 3, 3)}
    cases = [{**pair, "sigma": sigma} for sigma in (0.5, 1.0, 2.0)]
    mistakes = {hint: partial(exact_and_formula, d=d) for hint, d in WRONG_CHANGES.items()}
    check("2", answer, exact_and_formula, cases, mistakes)
    bowl, angles = np.diag([3.0, 1.0]), range(0, 91, 5)
    found = [answer(bowl, turned(bowl, angle), np.eye(2), 1.0) for angle in angles]
    exact, formula = np.array(found).T
    figures.turning_bowl(angles, exact, formula)


def exact_and_formula(
    H: np.ndarray, H_next: np.ndarray, U: np.ndarray, sigma: float, d: Callable | None = None
) -> Tensor:
    """By the package: two samples whose first L_k is H, and whose increment is H_next - H."""
    A = torch.stack([torch.as_tensor(H), torch.as_tensor(2 * H_next - H)])
    zero = torch.zeros(2, len(H), dtype=torch.float64)
    loss = EmpiricalLoss(*Quadratics(zero[:, 0], zero, A).parts)
    B = increment_model(loss, zero[0], torch.as_tensor(U), 1).B
    a, c = torch.tensor(0.0).double(), torch.zeros(len(B)).double()
    exact = gaussian_moment(IncrementModel(a, c, B), sigma)
    changes = d(H, H_next, U, B) if d else compressed(H, H_next, U, B)
    return torch.stack([exact.curvature, spectral_formula(changes, sigma)])


def compressed(H: np.ndarray, H_next: np.ndarray, U: np.ndarray, B: Tensor) -> Tensor:
    """Changes of the compressed eigenvalues, the smallest first."""
    return torch.linalg.eigvalsh(torch.as_tensor(U.T @ H @ U) + B) - sharpness(U.T @ H @ U)


def sharpness(H: np.ndarray) -> Tensor:
    """The eigenvalues, the smallest first."""
    return torch.linalg.eigvalsh(torch.as_tensor(H))


WRONG_CHANGES: dict[str, Callable] = {
    "Whose eigenvalues, those of the full Hessians or of the compressed ones?": (
        lambda H, H_next, U, B: (sharpness(H_next) - sharpness(H))[-U.shape[1] :]
    ),
    "All N eigenvalues? Asked for are those of the D x D matrices U'HU and U'H'U.": (
        lambda H, H_next, U, B: sharpness(H_next) - sharpness(H)
    ),
    "The diagonal of B is not a change of eigenvalues.": lambda H, H_next, U, B: B.diagonal(),
    "Eigenvalues of a change, or changes of eigenvalues?": lambda H, H_next, U, B: sharpness(B),
    "Is the largest eigenvalue subtracted from the largest?": lambda H, H_next, U, B: (
        sharpness(U.T @ H_next @ U) - sharpness(U.T @ H @ U).flip(0)
    ),
}


def turned(H: np.ndarray, degrees: float) -> np.ndarray:
    """The same bowl after a turn of the plane."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    R = np.array([[c, -s], [s, c]])
    return R @ H @ R.T


# -- 3. how much is enough ------------------------------------------------------------------------

MEASURED = {
    "ks": [10, 20, 40, 80, 160, 320],
    "deltas": [9e-3, 8e-4, 2e-3, 7e-4, 3e-4, 4e-4],
    "tolerances": [1e-2, 1e-3, 5e-4, 3.5e-4, 1e-4],
}
FALLING = {"ks": [5, 50, 500], "deltas": [3.0, 2.0, 1.0], "tolerances": [2.5, 0.5, 1.5]}


def check_3(answer: Callable[..., Any]) -> None:
    """The smallest k from which on the criterion stays below; a list is as good as a tuple."""
    own = unaided(answer, "landscape_nb.enough_data")

    @wraps(answer)
    def as_tuple(*args: Any, **kwargs: Any) -> Any:
        found = own(*args, **kwargs)
        return tuple(found) if isinstance(found, list) else found

    check("3", as_tuple, enough, [MEASURED, FALLING], MISTAKES_3)


def enough(ks: list, deltas: list, tolerances: list) -> tuple:
    """By the package."""
    return tuple(enough_data(ks, deltas, tolerance) for tolerance in tolerances)


def first(ks: list, deltas: list, tolerance: float) -> int | None:
    """The first k below the tolerance, whatever comes after it."""
    return next((k for k, delta in zip(ks, deltas, strict=True) if delta < tolerance), None)


MISTAKES_3: dict[str, Callable] = {
    "Is one lucky measurement enough? What about the larger k?": lambda ks, deltas, tolerances: (
        tuple(first(ks, deltas, t) for t in tolerances)
    ),
    "Below the tolerance, or above it?": lambda ks, deltas, tolerances: tuple(
        first(ks, [-d for d in deltas], -t) for t in tolerances
    ),
    "What is the answer where the last value is not below?": lambda ks, deltas, tolerances: tuple(
        K or ks[-1] for K in enough(ks, deltas, tolerances)
    ),
    "Numbers of samples are asked for, not places in the list.": lambda ks, deltas, tolerances: (
        tuple(None if K is None else ks.index(K) for K in enough(ks, deltas, tolerances))
    ),
}


# -- 4. design a picture --------------------------------------------------------------------------


def check_4(answer: Callable[..., Any]) -> None:
    """A plane in which the increment varies; then its picture beside the top plane's."""
    nets, tops = networks()

    @wraps(answer)
    def both() -> list:
        return [answer(*net) for net in nets]

    properties: dict[str, Callable] = {
        "two columns, one entry for each of the 610 parameters": lambda planes: all(
            tuple(U.shape) == (610, 2) for U in planes
        ),
        "columns of length 1, perpendicular to each other": lambda planes: all(
            torch.allclose(U.T @ U, torch.eye(2).double(), atol=1e-8) for U in planes
        ),
        "more than 1.5 times the centred criterion of the top plane": lambda planes: all(
            ratio > 1.5 for ratio in times_the_top(planes)
        ),
    }
    check_properties("4", both, properties)
    found = both()
    (loss, w, k), steps = nets[0], torch.linspace(-1, 1, 17, dtype=torch.float64)
    increments = {
        name: loss_surfaces(loss, w, U, [k], steps).increments[0]
        for name, U in {"top plane": tops[0], "your plane": found[0]}.items()
    }
    figures.plane_of_change(steps, increments, times_the_top(found))


@cache
def networks() -> tuple[list[Network], list[Tensor]]:
    """Two trained networks, and the top plane of each."""
    nets = [network(0, 80, 3), network(1, 60, 8)]
    return nets, [top_eigenpairs(*net, 2).vectors for net in nets]


def network(seed: int, k: int, hard: int) -> Network:
    """A loss on k + 1 digits, and w_k*; the last digit is the hard-th hardest of 200."""
    inputs, labels = digits(200, seed=seed)
    model = MLP([64, 8, 10], generator=torch.Generator().manual_seed(seed))
    cross_entropy = torch.nn.CrossEntropyLoss(reduction="none")
    every = EmpiricalLoss(model, cross_entropy, inputs, labels, l2=3e-3)
    w = fit(every, k, tol=1e-2).w
    chosen = [*range(k), k + int(every.per_sample(w)[k:].argsort()[-hard])]
    return EmpiricalLoss(model, cross_entropy, inputs[chosen], labels[chosen], l2=3e-3), w, k


def times_the_top(planes: Sequence[Tensor]) -> list[float]:
    """The centred criterion in each network's plane, over that in its top plane."""
    nets, tops = networks()
    return [seen(*net, U) / seen(*net, top) for net, U, top in zip(nets, planes, tops, strict=True)]


def seen(loss: EmpiricalLoss, w: Tensor, k: int, plane: Tensor) -> float:
    """The centred criterion in a plane, sigma = 0.1, by the quadratic model."""
    return float(gaussian_moment(increment_model(loss, w, plane, k), 0.1).centred)
