"""Minimisers w_k* and what is reported about them.

Oracles: the closed form of least squares; scipy.optimize (trust-exact Newton) on logistic
regression written in numpy; the gradient norm recomputed at the returned point. Wrong on purpose:
stopping at the largest component of the gradient instead of its Euclidean norm.
"""

import numpy as np
import pytest
import torch
from draws import generator
from scipy.optimize import minimize

from landscape_nb import EmpiricalLoss, fit, fit_path
from landscape_nb.problems import toys


@pytest.fixture
def least_squares():
    toy = toys.linear_regression(40, 5, generator=generator())
    return toy, EmpiricalLoss(*toy.parts)


def logistic_loss(l2, n=60):
    toy = toys.logistic_regression(n, 4, generator=generator(1))
    return toy, EmpiricalLoss(*toy.parts, l2)


def newton_in_numpy(toy, k, l2):
    X, y = toy.X[:k].numpy(), toy.y[:k].numpy()

    def value(w):
        return np.mean(np.logaddexp(0, X @ w) - y * (X @ w)) + l2 / 2 * w @ w

    def gradient(w):
        return X.T @ (1 / (1 + np.exp(-X @ w)) - y) / k + l2 * w

    def hessian(w):
        s = 1 / (1 + np.exp(-X @ w))
        return (X.T * (s * (1 - s))) @ X / k + l2 * np.eye(len(w))

    start = np.zeros(X.shape[1])
    return minimize(
        value, start, jac=gradient, hess=hessian, method="trust-exact", options={"gtol": 1e-12}
    )


# -- the minimiser itself ------------------------------------------------------------------------


@pytest.mark.parametrize("k", [6, 17, 40], ids="k={}".format)
def test_least_squares_minimiser(least_squares, k):
    toy, loss = least_squares
    result = fit(loss, k, tol=1e-8)
    assert result.converged
    torch.testing.assert_close(result.w, toy.minimiser(k), rtol=0, atol=1e-6)


@pytest.mark.parametrize("k", [30, 60], ids="k={}".format)
@pytest.mark.parametrize("l2", [0.0, 0.1], ids="l2={}".format)
def test_logistic_minimiser_agrees_with_newton_in_numpy(l2, k):
    toy, loss = logistic_loss(l2)
    result, expected = fit(loss, k, tol=1e-9), newton_in_numpy(toy, k, l2)
    assert result.converged
    np.testing.assert_allclose(result.w.numpy(), expected.x, rtol=0, atol=1e-6)
    assert abs(result.value - expected.fun) < 1e-12


def test_a_range_of_samples_is_fitted_alone(least_squares):
    toy, loss = least_squares
    rows = range(20, 40)
    expected = torch.linalg.lstsq(toy.X[20:], toy.y[20:, None]).solution[:, 0]
    torch.testing.assert_close(fit(loss, rows, tol=1e-8).w, expected, rtol=0, atol=1e-6)


# -- what is reported ----------------------------------------------------------------------------


def test_reported_value_and_gradient_norm_are_those_at_w(mlp_problem):
    p = mlp_problem(l2=0.01)
    result = fit(p.loss, 10, p.w)
    exact = torch.func.grad(p.reference)(result.w)
    assert abs(result.grad_norm - exact.norm()) < 1e-12
    assert abs(result.value - p.reference(result.w)) < 1e-12


@pytest.mark.parametrize("tol", [1e-2, 1e-4, 1e-7], ids="tol={}".format)
def test_tol_bounds_the_euclidean_norm(mlp_problem, tol):
    p = mlp_problem(l2=0.01)
    result = fit(p.loss, 10, p.w, tol=tol)
    assert result.converged
    assert torch.func.grad(p.reference)(result.w).norm() <= tol


def test_stopping_at_the_largest_component_is_rejected():
    """100 equal components of 1 each: |g|_inf = 1 would pass for a norm of 10."""
    n = 100
    toy = toys.Quadratics(
        torch.zeros(1).double(), torch.ones(1, n).double(), torch.eye(n).double()[None]
    )
    loss = EmpiricalLoss(*toy.parts)
    largest, norm = loss.gradient(loss.w0, 1).abs().max(), loss.gradient(loss.w0, 1).norm()
    assert largest <= 2 < norm
    result = fit(loss, 1, tol=2.0)
    assert result.iterations > 0 and result.grad_norm <= 2


def test_start_at_the_minimiser_returns_it(least_squares):
    toy, loss = least_squares
    minimiser = toy.minimiser(40)
    result = fit(loss, 40, minimiser)
    assert (result.converged, result.iterations, result.evaluations) == (True, 0, 2)
    assert torch.equal(result.w, minimiser)


def test_too_few_iterations_are_reported(mlp_problem):
    p = mlp_problem(l2=0.01)
    result = fit(p.loss, 10, p.w, max_iterations=2)
    assert not result.converged
    assert result.iterations == 2
    assert result.grad_norm > 1e-5


def test_separable_data_without_l2_have_no_minimiser():
    x = torch.tensor([[-2.0], [-1.0], [1.0], [2.0]], dtype=torch.float64)
    toy = toys.Regression("logistic", x, (x[:, 0] > 0).double())
    without = fit(EmpiricalLoss(*toy.parts), 4, tol=1e-14, max_iterations=30)
    assert not without.converged
    assert without.w.norm() > 10
    assert fit(EmpiricalLoss(*toy.parts, 1e-3), 4, tol=1e-8).converged


def test_a_loss_without_lower_bound_is_reported():
    loss = EmpiricalLoss(
        torch.nn.Linear(1, 1, bias=False).double(),
        lambda out, y: out[:, 0],
        torch.ones(3, 1).double(),
        torch.zeros(3).double(),
    )
    assert not fit(loss, 3, max_iterations=20).converged


def test_float32_reports_what_it_reached(mlp_problem):
    p = mlp_problem(l2=0.01, dtype=torch.float32)
    reachable, impossible = fit(p.loss, 10, tol=1e-4), fit(p.loss, 10, tol=1e-14)
    assert reachable.w.dtype == torch.float32
    assert reachable.converged and reachable.grad_norm <= 1e-4
    assert not impossible.converged and impossible.grad_norm > 1e-14
    for result in (reachable, impossible):
        exact = torch.func.grad(p.reference)(result.w)
        assert abs(result.grad_norm - exact.norm()) < 1e-6


def test_start_is_left_alone(mlp_problem):
    p = mlp_problem(l2=0.01)
    start, w0 = p.w.clone(), p.loss.w0.clone()
    fit(p.loss, 10, start)
    fit(p.loss, 10)
    assert torch.equal(start, p.w)
    assert torch.equal(w0, p.loss.w0)


# -- along k -------------------------------------------------------------------------------------


def test_a_warm_start_costs_fewer_evaluations(mlp_problem):
    p = mlp_problem(n=60, l2=0.05)
    before = fit(p.loss, 59, p.w)
    cold, warm = fit(p.loss, 60, p.w), fit(p.loss, 60, before.w)
    assert cold.converged and warm.converged
    assert warm.evaluations < cold.evaluations


def test_fit_path_is_fit_from_each_result_to_the_next(mlp_problem):
    p = mlp_problem(l2=0.05)
    path = fit_path(p.loss, [4, 7, 10], p.w, progress=False)
    w = p.w
    for k, result in zip([4, 7, 10], path, strict=True):
        alone = fit(p.loss, k, w)
        assert torch.equal(result.w, alone.w)
        assert result.evaluations == alone.evaluations
        w = alone.w


def test_fit_path_on_least_squares(least_squares):
    toy, loss = least_squares
    for k, result in zip((10, 20, 40), fit_path(loss, (10, 20, 40), tol=1e-8), strict=True):
        torch.testing.assert_close(result.w, toy.minimiser(k), rtol=0, atol=1e-6)


def test_progress_bars_change_nothing(least_squares, capsys):
    _, loss = least_squares
    assert torch.equal(fit(loss, 40, progress=True).w, fit(loss, 40).w)
    assert "fit" in capsys.readouterr().err
