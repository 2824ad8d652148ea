"""Checks of notebook 02: steps counted, Hutchinson's error, away from saddles, minima to order."""

from collections.abc import Callable, Sequence
from functools import wraps
from itertools import product
from typing import Any

import numpy as np
import torch

from landscape_nb.course.checking import check, check_properties
from landscape_nb.figures import plots
from landscape_nb.figures.n02_curvature import THREE

# -- 1. how many steps ----------------------------------------------------------------------------


def check_1(answer: Callable[..., Any]) -> None:
    """The number of steps at the best learning rate."""
    spectra = ([10.0, 0.1], [1.0, 3.0, 2.0], [0.5, 8.0, 4.0, 2.0])
    cases = [{"eigenvalues": np.array(s), "fraction": f} for s in spectra for f in (0.5, 1e-3)]
    hints: dict[str, Callable] = {
        "A number of steps is whole. When is the goal reached?": (
            lambda **case: answer(**case) if answer(**case) % 1 else steps_counted(**case)
        ),
        "Rounded down: is the goal reached by then?": _rounded_down,
        "One step too few: is the goal reached by then?": lambda **case: steps_counted(**case) - 1,
        "Is this for the best learning rate? It fits 1 / lambda_max.": (
            lambda **case: steps_counted(**case, lr=1 / max(case["eigenvalues"]))
        ),
        "Are the eigenvalues in any order?": (
            lambda eigenvalues, fraction: steps_counted(eigenvalues[[0, -1]], fraction)
        ),
        "Is this when the loss has shrunk to the fraction? Asked for is the distance.": (
            lambda eigenvalues, fraction: steps_counted(eigenvalues, fraction**0.5)
        ),
    }
    check("1", answer, steps_counted, cases, hints)


def _rounded_down(eigenvalues: np.ndarray, fraction: float) -> int:
    """The last number of steps after which the worst start is not nearer than the fraction."""
    kappa = max(eigenvalues) / min(eigenvalues)
    return int(np.log(fraction) / np.log((kappa - 1) / (kappa + 1)))


def steps_counted(eigenvalues: np.ndarray, fraction: float, lr: float | None = None) -> int:
    """Steps until the worst start has come near enough; lr None: the best of a fine grid."""
    grid = np.linspace(0, 2 / max(eigenvalues), 100_001)[1:] if lr is None else np.array([lr])
    factor = abs(1 - np.outer(grid, eigenvalues)).max(1).min()
    distance, steps = 1.0, 0
    while distance > fraction:
        distance, steps = factor * distance, steps + 1
    return steps


# -- 2. how good is a trace -----------------------------------------------------------------------


def check_2(answer: Callable[..., Any]) -> None:
    """The relative standard error of Hutchinson's estimate."""
    pair = np.array([[2.0, 1.0], [1.0, 3.0]])
    three = np.array([[4.0, 1.0, -2.0], [1.0, 5.0, 0.5], [-2.0, 0.5, 1.0]])
    cases = [{"H": pair, "S": 1}, {"H": pair, "S": 9}, {"H": three, "S": 9}, {"H": three, "S": 50}]
    hints: dict[str, Callable] = {
        "Yours is not 0 for a diagonal matrix. Does the estimate vary there?": (
            lambda H, S: over_all_signs(H, S, beside=2 * (np.diag(H) ** 2).sum())
        ),
        "That is a variance: asked for is its root.": (
            lambda H, S: over_all_signs(H, S) ** 2 * np.trace(H)
        ),
        "Relative to what is it asked for?": lambda H, S: over_all_signs(H, S) * np.trace(H),
        "Too small by the root of 2. What stands before the sum, and which entries does it take?": (
            lambda H, S: over_all_signs(H, S) / 2**0.5
        ),
    }
    check("2", answer, over_all_signs, cases, hints)


def over_all_signs(H: np.ndarray, S: int, beside: float = 0.0) -> float:
    """By trying all 2^N sign vectors; beside: what a hint adds to their variance."""
    draws = [np.array(v) @ H @ np.array(v) for v in product([1, -1], repeat=len(H))]
    return (np.var(draws) + beside) ** 0.5 / np.mean(draws) / S**0.5


# -- 3. away from a saddle ------------------------------------------------------------------------

SADDLES: list[tuple[list, list, list]] = [  # g, H and, worked out by hand, |H|
    ([1.0, 3.0], [[2, 0], [0, -4]], [[2, 0], [0, 4]]),
    ([1.0, 0.5], [[1, -2], [-2, 1]], [[2, -1], [-1, 2]]),
    ([1.0, -2.0, 0.5], [[1, 0, 2], [0, 5, 0], [2, 0, 1]], [[2, 0, 1], [0, 5, 0], [1, 0, 2]]),
]
BY_HAND = {tuple(g): -np.linalg.solve(absolute, g) for g, _, absolute in SADDLES}


def check_3(answer: Callable[..., Any]) -> None:
    """The step with |H| in place of H."""

    def own_if_right_length(gradient: np.ndarray, H: np.ndarray) -> np.ndarray:
        own = np.asarray(answer(gradient, H))
        right = BY_HAND[tuple(gradient)]
        same = np.isclose(np.linalg.norm(own), np.linalg.norm(right))
        return own if same and not np.allclose(own, -right) else np.nan * own

    cases = [{"gradient": np.array(g), "H": np.array(H, dtype=float)} for g, H, _ in SADDLES]
    hints: dict[str, Callable] = {
        "This is Newton's step. Where does it go at a saddle?": (
            lambda gradient, H: -np.linalg.solve(H, gradient)
        ),
        "This is Newton's step without its minus sign.": (
            lambda gradient, H: np.linalg.solve(H, gradient)
        ),
        "The eigenvalues belong to the eigenvectors: is the gradient written along these?": (
            lambda gradient, H: -gradient / abs(np.linalg.eigvalsh(H))
        ),
        "The absolute values of the entries are not those of the eigenvalues.": (
            lambda gradient, H: -np.linalg.pinv(abs(H)) @ gradient
        ),
        "Its length is right, its direction is not. In which coordinates is it written?": (
            own_if_right_length
        ),
        "Is |H| there, where its inverse should be?": (
            lambda gradient, H: H @ H @ BY_HAND[tuple(gradient)]
        ),
    }
    check("3", answer, lambda gradient, H: BY_HAND[tuple(gradient)], cases, hints)


# -- 4. a minimum as sharp as you like ------------------------------------------------------------

ORDERS = (2.0, 4.0, 9.0)


def check_4(answer: Callable[..., Any]) -> None:
    """Minima of the smallest network with the sharpness that is ordered, drawn."""

    @wraps(answer)
    def delivered() -> list[Any]:
        return [answer(order) for order in ORDERS]

    properties: dict[str, Callable] = {
        "two finite numbers": lambda ws: all(len(w) == 2 and np.isfinite(w).all() for w in ws),
        "loss 0, at every order": lambda ws: max(smallest_network(w) for w in ws) < 1e-9,
        "sharpness 2 where 2 is ordered": lambda ws: abs(largest_curvature(ws[0]) - 2) < 1e-3,
        "the ordered sharpness (which eigenvalues has H on the curve of minima?)": (
            lambda ws: np.allclose([largest_curvature(w) for w in ws], ORDERS, rtol=1e-4)
        ),
    }
    check_properties("4", delivered, properties)
    show_minima(delivered())


def smallest_network(w: Any) -> Any:
    """The loss of two weights on one sample."""
    return (w[0] * w[1] - 1) ** 2 / 2


def largest_curvature(w: Sequence[float]) -> float:
    """The largest eigenvalue of its Hessian."""
    at = torch.tensor([float(x) for x in w], dtype=torch.float64)
    return float(torch.linalg.eigvalsh(torch.func.hessian(smallest_network)(at))[-1])


def show_minima(minima: Sequence[Sequence[float]]) -> None:
    """The three minima on the curve of all, among the level curves of the loss."""
    figure, ax = plots.new_figure(width=5.4, height=3.9)
    w1, grid = np.linspace(0.2, 4, 200), np.linspace(0.02, 4, 200)
    heights = smallest_network(np.meshgrid(grid, grid))
    ax.contour(grid, grid, heights, [0.02, 0.08, 0.18], colors=plots.GREY, linewidths=0.8)
    plots.curve(ax, w1, 1 / w1, "minima, loss 0", color=plots.BLACK, marker=None, linewidth=2.5)
    for w, look in zip(minima, THREE, strict=True):
        mark = {**look, "markersize": 9, "linestyle": "none"}
        label = f"sharpness {largest_curvature(w):.2f}"
        plots.curve(ax, [abs(w[0])], [abs(w[1])], label, **mark)
    ax.set(xlabel="$|w_1|$", ylabel="$|w_2|$", xlim=(0, 4), ylim=(0, 4))
    ax.legend(frameon=False)
    plots.show(
        figure,
        "Your three minima lie on the thick curve, where the loss is 0. The sharper one is, the "
        "nearer the grey level curves (0.02, 0.08, 0.18) run to it.",
    )
