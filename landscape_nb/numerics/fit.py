"""Minimisers w_k* of L_k, warm-started along k.

A minimiser is never exact: every result carries the gradient norm at which the optimiser
stopped, because the theory's "gradient = 0" holds only up to that number.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
import torch
from torch import Tensor

from landscape_nb.numerics import checks
from landscape_nb.numerics.devices import on_cpu
from landscape_nb.numerics.loss import EmpiricalLoss, Samples
from landscape_nb.numerics.progress import progress_bar
from landscape_nb.numerics.settings import with_one_blas_thread


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

    w_k* = argmin L_k(w)                                                     KG26 sec. 3

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
        return float(value), on_cpu(gradient).numpy()

    # The bar has no total: nobody knows it before.
    with progress_bar(desc="fitting", unit=" steps", disable=not progress) as bar:

        def stop_when_small(intermediate_result: Any) -> None:
            # SciPy's own test bounds the largest component; ours is the Euclidean norm.
            bar.update()
            bar.set_postfix_str(f"|g| = {last_norm:.1e}")
            if last_norm <= tol:
                raise StopIteration

        # SciPy's vector work here is tiny; its BLAS threads would only fight with torch's for
        # cores (ten times slower on a busy machine).
        found = with_one_blas_thread(
            lambda: scipy.optimize.minimize(
                value_and_gradient,
                on_cpu(start).numpy(),
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
    for k in (bar := progress_bar(grid, desc="fitting each k", unit="k", disable=not progress)):
        result = fit(loss, k, w, tol=tol, max_iterations=max_iterations)
        bar.set_postfix_str(f"k = {k}, |g| = {result.grad_norm:.1e}")
        results.append(result)
        w = result.w
    return results
