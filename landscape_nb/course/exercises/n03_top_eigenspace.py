"""Public checks of notebook 03: power iteration's values, a certificate, products, a search."""

from collections.abc import Callable
from functools import cache, wraps
from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape_nb.course.checking import check, check_properties
from landscape_nb.figures import n03_top_eigenspace as figures

F64, F32 = torch.float64, torch.float32
Product = Callable[[Tensor], Tensor]


def _symmetric(eigenvalues: list[float], seed: int = 0) -> tuple[Tensor, Tensor]:
    """A symmetric matrix with these eigenvalues, and its eigenvectors as columns; float64."""
    values = torch.tensor(eigenvalues, dtype=F64)
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randn(len(values), len(values), generator=generator, dtype=F64)
    Q = torch.linalg.qr(draws).Q
    return (Q * values) @ Q.T, Q


def check_1(answer: Callable[..., Any]) -> None:
    """The values that power iteration with deflation returns."""
    returned = {(5, 1, 0.5, 3): [5, 3, 1], (1, -4, 2, 3): [4, 8, 16], (6, -1, 2, -2.5): [6, 2.5, 5]}
    cases = [{"eigenvalues": list(spectrum), "D": 3} for spectrum in returned]
    hints = {
        "These are the largest eigenvalues. Does power iteration know about signs?": (
            lambda eigenvalues, D: sorted(eigenvalues, reverse=True)[:D]
        ),
        "What has a length no longer got?": (
            lambda eigenvalues, D: sorted(eigenvalues, key=abs, reverse=True)[:D]
        ),
        "Follow the curvature along an eigenvector of a negative eigenvalue through one "
        "deflation.": (lambda eigenvalues, D: sorted(map(abs, eigenvalues), reverse=True)[:D]),
    }
    check("1", answer, lambda eigenvalues, D: returned[tuple(eigenvalues)], cases, hints)


def check_2(answer: Callable[..., Any]) -> None:
    """A certificate: the curvature along a vector, and its residual."""
    H, Q = _symmetric([3.0, 2.0, -5.0, 1.0, 0.5])
    uphill = Q[:, 0] + 0.2 * Q[:, 1] - 0.1 * Q[:, 4]
    downhill = Q[:, 2] + 0.3 * Q[:, 3]
    us = (uphill / uphill.norm(), 3 * uphill, downhill / downhill.norm(), 0.5 * downhill)
    cases = [{"product": lambda x: H @ x, "u": u} for u in us]
    length = "Right for vectors of length 1. What if u has another length?"
    hints: dict[str, dict[str, Callable]] = {
        "theta": {
            length: _if_right_for_length_1(answer, 0),
            "A length has no sign.": lambda product, u: product(u).norm(),
            "A length has no sign, and curvatures do.": (
                lambda product, u: product(u).norm() / u.norm()
            ),
        },
        "r": {length: _if_right_for_length_1(answer, 1)},
    }
    for which, name in enumerate(hints):
        check(f"2 ({name})", _part(answer, which), _part(_fitted, which), cases, hints[name])


def _fitted(product: Product, u: Tensor) -> tuple[float, float]:
    """Theta and r by least squares: the multiple of u that is nearest to H u."""
    fit = np.linalg.lstsq(u[:, None].numpy(), product(u).numpy())
    return fit[0].item(), (fit[1].item() / float(u @ u)) ** 0.5


def _part(function: Callable[..., Any], which: int) -> Callable[..., Any]:
    """Theta (0) or r (1) alone."""

    @wraps(function)
    def alone(product: Product, u: Tensor) -> Any:
        found = function(product, u)
        if len(found) != 2:
            raise ValueError(f"two numbers are asked for, theta and r, not {len(found)}")
        return found[which]

    return alone


def _if_right_for_length_1(answer: Callable[..., Any], which: int) -> Callable[..., Any]:
    """The answer's own value, where it would be right for the same vector with length 1."""

    def value(product: Product, u: Tensor) -> Any:
        unit = answer(product, u / u.norm())[which]
        right = np.isclose(float(unit), _fitted(product, u)[which])
        return answer(product, u)[which] if right else np.nan

    return value


def check_3(answer: Callable[..., Any]) -> None:
    """Products from gradients, in float64 and float32; draws where the answer's steps are."""
    w, v, exact = _point()

    @wraps(answer)
    def in_float64() -> Any:
        return answer(gradient, w, v)

    check("3 (formula)", in_float64, lambda: exact, rtol=1e-4)
    errors = {dtype: _off_by(answer, dtype) for dtype in (F64, F32)}
    required = {
        "an error below 1e-9 in float64 (which step balances the two enemies of section 2?)": (
            lambda errors: errors[F64] < 1e-9
        ),
        "an error below 3e-4 in float32 (is the step suited to this precision?)": (
            lambda errors: errors[F32] < 3e-4
        ),
    }
    check_properties("3 (precision)", lambda: errors, required)
    steps = np.geomspace(1e-9, 1, 28)
    curves = {dtype: [_off_by(_difference, dtype, h=h) for h in steps] for dtype in errors}
    used = {dtype: _step_used(answer, dtype) for dtype in errors}
    figures.own_steps(steps, curves, used, errors)


@cache
def _matrix() -> Tensor:
    return _symmetric(torch.linspace(-1.5, 2, 30).tolist(), 3)[0]


def _point() -> tuple[Tensor, Tensor, Tensor]:
    """A point w, a unit direction v and the product H v there, of the loss of `gradient`.

    Made anew each time: an answer may change them in place.
    """
    w, v = (torch.nn.functional.normalize(x, dim=0) for x in _symmetric([1.0] * 30, 4)[1][:2])
    w, M = 30**0.5 * w, _matrix()
    return w, v, M.T @ (M @ v / torch.cosh(M @ w) ** 2)


def gradient(w: Tensor) -> Tensor:
    """Of the loss sum_i log cosh (M w)_i."""
    M = _matrix().to(w)
    return M.T @ torch.tanh(M @ w)


def _off_by(answer: Callable[..., Any], dtype: torch.dtype, **step: float) -> float:
    """Relative error of a product in this precision."""
    w, v, exact = _point()
    found = answer(gradient, w.to(dtype), v.to(dtype), **step)
    return float((found - exact).norm() / exact.norm())


def _step_used(answer: Callable[..., Any], dtype: torch.dtype) -> float:
    """How far from w the answer's gradients were taken."""
    w, far = _point()[0].to(dtype), list[float]()

    def watched(x: Tensor) -> Tensor:
        far.append(float((x - w).norm()))
        return gradient(x)

    answer(watched, w, _point()[1].to(dtype))
    return max(far)


def _difference(g: Product, w: Tensor, v: Tensor, h: float) -> Tensor:
    return (g(w + h * v) - g(w - h * v)) / (2 * h)


def check_4(answer: Callable[..., Any]) -> None:
    """The largest eigenvalue perpendicular to what was found."""
    bulk = torch.linspace(0, 2, 143).tolist()
    repeated, Q = _symmetric([10.0] * 4 + [7.0, 5.0, 3.0, *bulk], 5)
    ridge, R = _symmetric([6.0, 5.9, 3.0, -20.0, 0.1, 0.2, 0.3, *bulk], 6)
    found = [Q[:, [0, 4, 5]], Q[:, :6], R[:, :1], R[:, :2]]
    matrices = [repeated, repeated, ridge, ridge]
    cases = [{"product": _counted(H), "V": V} for H, V in zip(matrices, found, strict=True)]

    def one_of(*values: float) -> Callable[..., float]:
        """Value by the V that is asked about, or a copy of it."""
        return lambda product, V: next(
            value for known, value in zip(found, values, strict=True) if torch.equal(known, V)
        )

    hints = {
        "It finds again what V holds. Is that removed, and does it stay removed?": (
            one_of(10.0, 10.0, 6.0, 6.0)
        ),
        "Largest, not largest in size: what does your search do with an eigenvalue of -20?": (
            one_of(10.0, 3.0, -20.0, -20.0)
        ),
        "Largest means algebraically largest. And where has a minus gone?": (
            one_of(10.0, 3.0, 20.0, 20.0)
        ),
    }
    check("4", answer, one_of(10.0, 3.0, 5.9, 3.0), cases, hints, rtol=1e-3)


def _counted(H: Tensor, most: int = 100) -> Product:
    """The product H x, for at most so many vectors x in all."""
    used = 0

    def product(x: Tensor) -> Tensor:
        nonlocal used
        used += x[0].numel()  # a matrix costs one product for each column
        if used > most:
            raise RuntimeError(f"more than {most} products")
        return H @ x

    return product
