"""Minimisers w_k* of L_k, warm-started along k; and gradient descent, step by step.

A minimiser is never exact: every result carries the gradient norm at which the optimiser
stopped, because the theory's "gradient = 0" holds only up to that number. Gradient descent is
here because its path is the subject: what curvature does to it, and it to curvature.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits
from torch import Tensor
from tqdm import tqdm

from landscape_nb.numerics import checks
from landscape_nb.numerics.loss import EmpiricalLoss, Samples


@dataclass(frozen=True, eq=False)
class FitResult:
    """Where the minimisation of L_k stopped.

    Attributes:
        w: (N,), the point w_k*.
        value: L_k(w), with the L2 term.
        grad_norm: |grad L_k(w)|, Euclidean; zero at an exact minimiser.
        converged: whether grad_norm <= tol.
        iterations: L-BFGS iterations.
        evaluations: passes over the k samples for value and gradient.
    """

    w: Tensor
    value: float
    grad_norm: float
    converged: bool
    iterations: int
    evaluations: int


def fit(
    loss: EmpiricalLoss,
    k: Samples,
    w: Tensor | None = None,
    *,
    tol: float = 1e-5,
    max_iterations: int = 5000,
    progress: bool = False,
) -> FitResult:
    """A minimiser w_k* of L_k, by L-BFGS (SciPy) from w or from the model's own parameters.

    w_k* = argmin L_k(w)                                                     KG26 sec. 2

    A local minimiser: which one depends on the start. With l2 = 0 a model that can fit its data
    has no minimiser at all (|w| grows for ever) and the result reports converged = False.

    Args:
        loss: the empirical loss.
        k: number of samples, 1..n, or a range of them.
        w: (N,), where to start; `loss.w0` if not given. Pass the previous k's w to warm-start.
        tol: Euclidean norm of the gradient at which to stop (1e-5: chosen here).
        max_iterations: L-BFGS iterations at most (5000: chosen here).
        progress: show a progress bar with the gradient norm.

    Returns:
        A `FitResult`; look at `converged` and `grad_norm` before you trust w.

    >>> from landscape_nb.problems.toys import linear_regression
    >>> toy = linear_regression(20, 3, generator=torch.Generator().manual_seed(0))
    >>> result = fit(EmpiricalLoss(*toy.parts), 20)
    >>> result.converged, torch.allclose(result.w, toy.minimiser(20), atol=1e-4)
    (True, True)
    """
    start = checks.parameter_vector(loss.w0 if w is None else w, loss.w0)
    tol = checks.positive("tol", tol, "gradient norm at which to stop")
    max_iterations = checks.whole_number(
        "max_iterations", max_iterations, 1, None, "L-BFGS iterations"
    )

    last_norm = float("inf")

    def as_tensor(x: np.ndarray) -> Tensor:
        return torch.as_tensor(x).to(start)

    def value_and_gradient(x: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal last_norm
        value, gradient = loss.value_and_gradient(as_tensor(x), k)
        last_norm = float(gradient.norm())
        return float(value), gradient.double().cpu().numpy()

    # SciPy's vector work here is tiny; its BLAS threads would only fight with torch's for cores
    # (ten times slower on a busy machine). The bar has no total: nobody knows it before.
    with (
        threadpool_limits(1, user_api="blas"),
        tqdm(desc="fit", unit=" it", disable=not progress, leave=False) as bar,
    ):

        def stop_when_small(intermediate_result) -> None:
            # SciPy's own test bounds the largest component; ours is the Euclidean norm.
            bar.update()
            bar.set_postfix_str(f"|g| = {last_norm:.1e}")
            if last_norm <= tol:
                raise StopIteration

        found = minimize(
            value_and_gradient,
            start.double().cpu().numpy(),
            jac=True,
            method="L-BFGS-B",
            callback=stop_when_small,
            # ftol 0: a small decrease is no sign of a small gradient. maxcor 20: chosen here.
            options={
                "maxiter": max_iterations,
                "maxfun": 10 * max_iterations,
                "ftol": 0.0,
                "gtol": tol / loss.num_params**0.5,
                "maxcor": 20,
            },
        )
    w_star = as_tensor(found.x)
    value, gradient = loss.value_and_gradient(w_star, k)
    norm = float(gradient.norm())
    return FitResult(w_star, float(value), norm, norm <= tol, found.nit, found.nfev + 1)


def fit_path(
    loss: EmpiricalLoss,
    ks: Iterable[int],
    w: Tensor | None = None,
    *,
    tol: float = 1e-5,
    max_iterations: int = 5000,
    progress: bool = True,
) -> list[FitResult]:
    """Minimisers for a whole grid of k, each started at the one before.

    Args:
        loss: the empirical loss.
        ks: increasing numbers of samples.
        w: start of the first fit; `loss.w0` if not given.
        tol: gradient norm at which each fit stops.
        max_iterations: L-BFGS iterations for each k at most.
        progress: show a progress bar over k.

    Returns:
        One `FitResult` per k, in order.
    """
    grid = checks.prefix_lengths(ks, loss.num_samples, high_means="how many of the n samples")
    results: list[FitResult] = []
    for k in (bar := tqdm(grid, desc="fit", unit="k", disable=not progress, leave=False)):
        result = fit(loss, k, w, tol=tol, max_iterations=max_iterations)
        bar.set_postfix_str(f"k = {k}, |g| = {result.grad_norm:.1e}")
        results.append(result)
        w = result.w
    return results


@dataclass(frozen=True, eq=False)
class Descent:
    """A path of gradient descent.

    Attributes:
        steps: (T,), numbers of the kept steps; the first is 0, the last is the last step taken,
            or the last kept before the path diverged.
        ws: (T, N), the points.
        values: (T,), L_k at the points, over all k samples.
        diverged: whether the path was ended because the loss or its gradient overflowed.
    """

    steps: Tensor
    ws: Tensor
    values: Tensor
    diverged: bool

    @property
    def w(self) -> Tensor:
        """The last point, (N,)."""
        return self.ws[-1]


def gradient_descent(
    loss: EmpiricalLoss,
    k: Samples,
    lr: float,
    steps: int,
    w: Tensor | None = None,
    *,
    batch_size: int | None = None,
    generator: torch.Generator | None = None,
    momentum: float = 0.0,
    every: int = 1,
    progress: bool = False,
) -> Descent:
    """Gradient descent on L_k with a fixed learning rate, in full or in mini-batches.

    v <- momentum v + g,  w <- w - lr v,  g the gradient of the whole L_k or of one mini-batch

    Mini-batches are drawn without replacement, epoch by epoch; the last of an epoch may be
    smaller. A path that diverges ends there and says so.

    Args:
        loss: the empirical loss.
        k: number of samples, 1..n, or indices of them.
        lr: the learning rate.
        steps: number of steps.
        w: (N,), the start; `loss.w0` if not given.
        batch_size: samples for each step; all if not given.
        generator: order of the samples; needed with batch_size.
        momentum: 0 <= momentum < 1.
        every: keep each so many steps, besides the first and the last.
        progress: show a progress bar.

    Returns:
        A `Descent`. Costs one gradient for each step, and a pass over the k samples for each kept.

    >>> from landscape_nb.problems.toys import quadratics
    >>> loss = EmpiricalLoss(*quadratics(1, 2, eigenvalues=[1.0, 0.5], shift=0.0).parts)
    >>> start = torch.ones(2, dtype=torch.float64)
    >>> path = gradient_descent(loss, 1, 1.0, 20, start)
    >>> bool(path.w.norm() < 1e-5), gradient_descent(loss, 1, 2.5, 5000, start).diverged
    (True, True)
    """
    w = checks.parameter_vector(loss.w0 if w is None else w, loss.w0)
    lr = checks.positive("lr", lr, "learning rate")
    steps = checks.whole_number("steps", steps, 1, None, "steps of gradient descent")
    every = checks.whole_number("every", every, 1, None, "keep each so many steps")
    momentum = checks.non_negative("momentum", momentum, "share of the last step that is kept")
    if momentum >= 1:
        raise ValueError(f"momentum must be below 1, or no step is ever forgotten; got {momentum}.")
    choose = _mini_batches(loss, k, batch_size, generator)
    kept, velocity, diverged = [(0, w, loss.value(w, k))], torch.zeros_like(w), False
    for step in tqdm(range(1, steps + 1), desc="descent", disable=not progress, leave=False):
        try:
            velocity = momentum * velocity + loss.gradient(w, next(choose))
        except ValueError:
            # far out even a gradient overflows; near the start the fault is another one
            value = _finite_value(loss, w, k)
            if value is not None and value < 1e30 * (1 + kept[0][2].abs()):  # chosen here
                raise
            diverged = True
            break
        w = w - lr * velocity
        if step % every == 0 or step == steps:
            value = _finite_value(loss, w, k)
            if value is None:
                diverged = True
                break
            kept.append((step, w, value))
    numbers, ws, values = zip(*kept, strict=True)
    return Descent(torch.tensor(numbers), torch.stack(ws), torch.stack(values), diverged)


def _finite_value(loss: EmpiricalLoss, w: Tensor, k: Samples) -> Tensor | None:
    try:
        value = loss.value(w, k)
    except ValueError:
        return None
    return value if torch.isfinite(value) else None


def _mini_batches(
    loss: EmpiricalLoss, k: Samples, batch_size: int | None, generator: torch.Generator | None
) -> Iterator[Samples]:
    """The samples of each step, for ever."""
    if batch_size is None:
        return itertools.repeat(k)
    chosen = torch.as_tensor(loss.chosen(k))
    size = checks.whole_number(
        "batch_size", batch_size, 1, len(chosen), "samples for each step, of those given"
    )
    return _epochs(chosen, size, checks.explicit_generator(generator))


def _epochs(chosen: Tensor, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    while True:
        order = torch.randperm(len(chosen), generator=generator, device=generator.device)
        yield from chosen[order.to(chosen.device)].split(size)
