"""The criterion's relatives: influence, the local learning coefficient, relative sharpness.

Oracles: exact quadratics; minimisers found again on data repeated r times, where the new sample's
weight is 1/(rk + 1); integrals by quadrature; the softmax's own Hessian; rescaled networks.
"""

import math

import numpy as np
import pytest
import torch
from draws import F64, generator, randn
from scipy import integrate
from torch import nn

import landscape_nb as ln
from landscape_nb.problems.models import MLP
from landscape_nb.problems.toys import quadratics
from landscape_nb.theory.influence import influence_step
from landscape_nb.theory.learning_coefficient import local_learning_coefficient, soft_count
from landscape_nb.theory.sharpness import adaptive_hessian, relative_flatness

cross_entropy = nn.CrossEntropyLoss(reduction="none")


@pytest.fixture(scope="module")
def classifier():
    """Softmax regression with L2 on 24 samples of two classes, repeated, and a new one."""
    x, y = randn(24, 3, seed=2), (randn(24, seed=3) > 0).long()
    new_x, new_y = 2 * randn(1, 3, seed=4), torch.tensor([1])

    def repeated(times):
        inputs = torch.cat([x.repeat(times, 1), new_x])
        targets = torch.cat([y.repeat(times), new_y])
        return ln.EmpiricalLoss(MLP([3, 2]), cross_entropy, inputs, targets, l2=1e-2)

    return repeated


# -- influence -----------------------------------------------------------------------------------


def test_the_step_solves_the_system_that_it_says():
    toy = quadratics(9, 5, generator=generator())
    loss, w = ln.EmpiricalLoss(*toy.parts), toy.minimiser(8)
    moved = influence_step(loss, w, 8, 8, damping=0.3, tol=1e-10)
    H = toy.hessian(8) + 0.3 * torch.eye(5, **F64)
    dg = (toy.b[8] + toy.A[8] @ w - (toy.b[:8].mean(0) + toy.hessian(8) @ w)) / 9
    assert torch.allclose(moved.gradient, dg, atol=1e-12)
    assert torch.allclose(moved.step, -torch.linalg.solve(H, dg), atol=1e-9)
    assert moved.residual < 1e-9 and moved.products <= 7


ORDERS = {  # quantity -> order in 1/(k + 1) of what is left
    "step": 2.0,
    "increment alone": 2.0,
    "with the second term": 3.0,
    "held-out loss": 2.0,
}


@pytest.mark.parametrize("quantity", ORDERS)
def test_errors_shrink_with_the_weight_of_the_new_sample_as_the_theory_says(classifier, quantity):
    """Envelope theorem and the next order; with + instead of - in it the order would be two."""
    errors, weights = [], []
    for times in (4, 8, 16, 32):
        loss, k = classifier(times), 24 * times
        w = ln.fit(loss, k, tol=1e-10).w
        after = ln.fit(loss, k + 1, w, tol=1e-10).w
        moved = influence_step(loss, w, k, k, tol=1e-10)
        minimum = float(loss.value(after, k + 1) - loss.value(w, k))
        held = range(3, 8)
        change = float(loss.without_l2().value(after, held) - loss.without_l2().value(w, held))
        errors.append(
            {
                "step": float((moved.step - (after - w)).norm()),
                "increment alone": abs(moved.increment - minimum),
                "with the second term": abs(moved.change_of_minimum - minimum),
                "held-out loss": abs(moved.change_of_loss(loss, w, held) - change),
            }[quantity]
        )
        weights.append(1 / (k + 1))
    slope = np.polyfit(np.log(weights), np.log(errors), 1)[0]
    assert slope == pytest.approx(ORDERS[quantity], abs=0.15)


def test_the_increment_bounds_the_change_of_the_minimum_from_above(classifier):
    loss, k = classifier(1), 24
    w = ln.fit(loss, k, tol=1e-10).w
    after = ln.fit(loss, k + 1, w, tol=1e-10)
    assert after.value - float(loss.value(w, k)) <= influence_step(loss, w, k, k).increment


def test_a_saddle_is_refused_and_damping_makes_it_possible():
    toy = quadratics(4, 2, eigenvalues=[1.0, -0.5], spread=0.0, shared_eigenvectors=True)
    loss, w = ln.EmpiricalLoss(*toy.parts), torch.tensor([0.3, 0.2], **F64)
    with pytest.raises(ValueError, match="curvature is -.*or pass damping >") as refused:
        influence_step(loss, w, 3, 3)
    assert "fit(loss, k)" in str(refused.value)
    moved = influence_step(loss, w, 3, 3, damping=1.0)
    H = toy.hessian(3) + torch.eye(2, **F64)
    assert torch.allclose(moved.step, -torch.linalg.solve(H, moved.gradient), atol=1e-6)


# -- local learning coefficient ------------------------------------------------------------------


class Landscape(nn.Module):
    """A model whose every output is f(w): the loss itself."""

    def __init__(self, f, N):
        super().__init__()
        self.w, self.f = nn.Parameter(torch.zeros(N, **F64)), f

    def forward(self, x):
        return self.f(self.w) + 0 * x[:, 0]


def landscape(f, N):
    x = torch.zeros(8, 1, **F64)
    return ln.EmpiricalLoss(Landscape(f, N), lambda out, y: out, x, x)


def product_of_squares(n_beta, gamma):
    """N beta E x^2 y^2 under exp(-n beta x^2 y^2 - gamma (x^2 + y^2)/2): y by hand, x by SciPy."""

    def weight(x):
        return math.exp(-gamma / 2 * x * x) / math.sqrt(2 * n_beta * x * x + gamma)

    def energy(x):
        return n_beta * x * x / (2 * n_beta * x * x + gamma)

    above = integrate.quad(lambda x: energy(x) * weight(x), 0, 10, points=[1e-2, 0.1])[0]
    return above / integrate.quad(weight, 0, 10, points=[1e-2, 0.1])[0]


def on_a_grid(f, n_beta, gamma, reach, points=1201):
    """N beta E f under exp(-n beta f - gamma |w|^2/2) in two dimensions, by sums on a grid."""
    x, y = np.meshgrid(*2 * [np.linspace(-reach, reach, points)])
    values = n_beta * f((x, y))
    weight = np.exp(-values - gamma / 2 * (x * x + y * y))
    return float((values * weight).sum() / weight.sum())


def rank_one(w):
    """(ab - 1)^2 around a = b = 1: one direction along which the product stays."""
    return ((1 + w[0]) * (1 + w[1]) - 1) ** 2


CASES = {
    # f, N, n beta, gamma, lambda-hat exactly at this n beta and gamma
    "quadratic, d/2": (lambda w: (w**2).sum(), 6, 50.0, 1e-3, 3.0),
    "quartic, 1/4": (lambda w: (w**4).sum(), 1, 1e4, 1e-6, 0.25),
    "one flat direction": (lambda w: w[0] ** 2, 2, 1e3, 1.0, 0.5),
    "a zero product": (lambda w: (w[0] * w[1]) ** 2, 2, 1e3, 1.0, product_of_squares(1e3, 1.0)),
    "a product found": (rank_one, 2, 1e3, 30.0, on_a_grid(rank_one, 1e3, 30.0, 1.2)),
}


SLOW = ("quartic, 1/4", "a zero product")  # far from a Gaussian: the chains mix slowly


@pytest.mark.parametrize("name", CASES)
def test_known_learning_coefficients(name):
    """Oracle: homogeneity (n beta E f = N / degree) or integration."""
    f, N, n_beta, gamma, exact = CASES[name]
    loss, draws = landscape(f, N), 3000 if name in SLOW else 700
    found = local_learning_coefficient(
        loss, loss.w0, 8, generator(), localization=gamma, n_beta=n_beta, draws=draws, burn_in=300
    )
    assert abs(found.value - exact) < max(4 * found.stderr, 0.1 * exact)
    assert found.stderr < (0.3 if name in SLOW else 0.2) * exact and 0.4 < found.acceptance < 0.8


def test_a_degenerate_minimum_counts_less_than_its_dimension():
    """x^2 y^2 has the coefficient 1/2, not 2/2, and comes near it as slowly as 1/log."""
    values = [product_of_squares(n_beta, 1.0) for n_beta in (1e1, 1e2, 1e3, 1e6)]
    assert values == sorted(values) and 0.25 < values[2] < values[3] < 0.5


def test_at_a_quadratic_twice_the_estimate_is_the_soft_count():
    eigenvalues = [30.0, 3.0, 0.3, 0.03]
    toy = quadratics(8, 4, eigenvalues=eigenvalues, spread=0.0, shift=0.0, shared_eigenvectors=True)
    loss, k, gamma = ln.EmpiricalLoss(*toy.parts), 8, 2.0
    n_beta = k / math.log(k)
    expected = soft_count(torch.tensor(eigenvalues), gamma / n_beta)
    by_hand = sum(n_beta * e / (n_beta * e + gamma) for e in eigenvalues)
    assert expected == pytest.approx(by_hand, rel=1e-6)
    found = local_learning_coefficient(
        loss, loss.w0, k, generator(1), localization=gamma, draws=1000, burn_in=300
    )
    assert abs(2 * found.value - expected) < max(8 * found.stderr, 0.1 * expected)
    hard_count = sum(e > 1e-3 for e in eigenvalues)
    assert abs(2 * found.value - hard_count) > 1


def test_the_accept_step_is_needed():
    """Every proposal taken, as in plain Langevin, a large step samples another law.

    On w^2/2 with step e the plain chain is w <- (1 - e^2/2) w + e xi, stationary with energy
    1/(2 - e^2/2), not 1/2; and the sampler, whose step is as large, gives 1/2.
    """
    loss = landscape(lambda w: (w**2).sum() / 2, 1)
    found = local_learning_coefficient(
        loss, loss.w0, 8, generator(2), localization=1e-6, n_beta=1.0, draws=1200, burn_in=300
    )
    g, w, step, energies = generator(3), 0.0, 1.5, []
    for xi in torch.randn(20_000, generator=g, **F64).tolist():
        w = (1 - step**2 / 2) * w + step * xi
        energies.append(w * w / 2)
    plain = sum(energies) / len(energies)
    assert plain == pytest.approx(1 / (2 - step**2 / 2), rel=0.05)
    assert abs(found.value - 0.5) < 0.06 < abs(plain - 0.5)


def test_a_wrong_start_shows_in_the_lowest_energy():
    loss = landscape(lambda w: (w**2).sum(), 2)
    found = local_learning_coefficient(
        loss, torch.ones(2, **F64), 8, generator(), n_beta=20.0, draws=100, burn_in=100
    )
    assert found.lowest < -10 and found.value < 0


def test_the_same_generator_gives_the_same_answer():
    loss = landscape(lambda w: (w**2).sum(), 2)
    first, second = (
        local_learning_coefficient(loss, loss.w0, 8, generator(5), draws=20, burn_in=20)
        for _ in range(2)
    )
    assert first == second


# -- sharpness -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network():
    """A ReLU network, its loss with L2, and the same function with other weights."""
    x, y = randn(30, 4, seed=6), torch.randint(3, (30,), generator=generator(7))
    loss = ln.EmpiricalLoss(
        MLP([4, 5, 3], nn.ReLU, generator=generator(8)), cross_entropy, x, y, 0.1
    )
    parts = loss.layout.unflatten(loss.w0)
    scale = {"0.weight": 3.0, "0.bias": 3.0, "2.weight": 1 / 3, "2.bias": 1.0}
    return loss, loss.w0, loss.layout.flatten({n: scale[n] * p for n, p in parts.items()})


def test_the_rescaled_network_is_the_same_function(network):
    loss, w, other = network
    assert torch.allclose(loss.per_sample(w), loss.per_sample(other), atol=1e-12)


def test_relative_sharpness_is_not_changed_by_rescaling_and_plain_sharpness_is(network):
    loss, w, other = network
    relative = [torch.linalg.eigvalsh(adaptive_hessian(loss, at, 30).dense()) for at in (w, other)]
    assert torch.allclose(*relative, atol=1e-10)
    flatness = [relative_flatness(loss, at, 30, "2.weight") for at in (w, other)]
    assert flatness[0] == pytest.approx(flatness[1], rel=1e-10)
    plain = [torch.linalg.eigvalsh(loss.without_l2().hessian(at, 30))[-1] for at in (w, other)]
    assert float(plain[1] / plain[0]) > 1.5


def test_adaptive_sharpness_is_the_rise_in_the_worst_relative_step():
    """Oracle: the definition, a maximum over relative steps, by search over directions."""
    toy = quadratics(1, 2, eigenvalues=[3.0, 1.0], spread=0.0, shift=0.0, generator=generator())
    loss, w, rho = ln.EmpiricalLoss(*toy.parts), torch.tensor([2.0, -0.5], **F64), 0.1
    angle = torch.linspace(0, 2 * math.pi, 4001, **F64)
    steps = rho * w.abs() * torch.stack([angle.cos(), angle.sin()], dim=1)
    rise = ((steps @ toy.hessian(1)) * steps).sum(1).max() / 2
    largest = torch.linalg.eigvalsh(adaptive_hessian(loss, w, 1).dense())[-1]
    assert float(rise) == pytest.approx(float(rho**2 / 2 * largest), rel=1e-5)


def test_relative_flatness_of_the_last_layer_is_that_of_the_softmax(network):
    """Oracle: mean of |features|^2 tr(W W' (diag p - p p')), which needs no derivative."""
    loss, w, _ = network
    parts = loss.layout.unflatten(w)
    features = torch.relu(loss.inputs @ parts["0.weight"].T + parts["0.bias"])
    p = torch.softmax(features @ parts["2.weight"].T + parts["2.bias"], dim=1)
    G = parts["2.weight"] @ parts["2.weight"].T
    spread = p @ G.diag() - ((p @ G) * p).sum(1)
    expected = float((features.square().sum(1) * spread).mean())
    assert relative_flatness(loss, w, 30, "2.weight") == pytest.approx(expected, rel=1e-10)
