"""Direct Monte Carlo of the criteria.

Oracles: loops over probe points drawn from the same seed, with L_{k+1} - L_k by torch alone;
Gauss-Hermite quadrature in one and two dimensions; the Gaussian moment on quadratic toys, where
it is exact; coverage of the standard error over 200 repetitions. Wrong on purpose: subtracting
a^2 for centring, a probe of standard deviation sigma^2, separate draws for L_{k+1} and L_k.
"""

import itertools

import numpy as np
import pytest
import torch
from draws import F64, generator

from landscape_nb import (
    EmpiricalLoss,
    delta1,
    delta2,
    delta2_subspace,
    gaussian_moment,
    increment_model,
    increment_models,
    next_sample_average,
    next_sample_models,
    random_subspace,
    toys,
)

CENTRED = pytest.mark.parametrize("centred", [False, True], ids=["raw", "centred"])


def close(actual, expected, atol=1e-12):
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


def increment(p, w, k):
    return p.reference(w, slice(k + 1)) - p.reference(w, slice(k))


def brute_force(p, k, sigma, S, U=None, centred=False, seed=0):
    """Mean and standard error of (I - base)^2, one probe point at a time."""
    U = torch.eye(p.N, **F64) if U is None else U
    base = increment(p, p.w, k) if centred else 0.0
    g = generator(seed)
    squares = []
    for _ in range(S):
        z = sigma * torch.randn(U.shape[1], generator=g, **F64)
        squares.append(float((increment(p, p.w + U @ z, k) - base) ** 2))
    return np.mean(squares), np.std(squares, ddof=1) / S**0.5


# -- definitions ---------------------------------------------------------------------------------


def test_delta1_is_the_absolute_increment(mlp_problem):
    p = mlp_problem(l2=0.5, batch_size=4)
    expected = torch.stack([increment(p, p.w, k).abs() for k in range(1, 10)])
    close(delta1(p.loss, p.w, range(1, 10)), expected)
    assert delta1(p.loss, p.w, 4).shape == ()
    close(delta1(p.loss, p.w, 4), expected[3])


@CENTRED
@pytest.mark.parametrize("l2", [0.0, 0.5], ids="l2={}".format)
def test_delta2_is_a_loop_over_probe_points(mlp_problem, l2, centred):
    p = mlp_problem(l2=l2, batch_size=4)
    estimate = delta2(p.loss, p.w, [2, 5, 9], 0.1, 12, generator(), centred=centred)
    for j, k in enumerate([2, 5, 9]):
        value, stderr = brute_force(p, k, 0.1, 12, centred=centred)
        assert abs(estimate.value[j] - value) < 1e-12
        assert abs(estimate.stderr[j] - stderr) < 1e-12
    assert estimate.num_draws == estimate.num_samples == 12


@CENTRED
def test_delta2_subspace_is_a_loop_over_probe_points(mlp_problem, centred):
    p = mlp_problem()
    U = random_subspace(p.N, 3, generator(7))
    estimate = delta2_subspace(p.loss, p.w, U, 5, 0.1, 12, generator(), centred=centred)
    value, stderr = brute_force(p, 5, 0.1, 12, U, centred)
    assert estimate.value.shape == estimate.stderr.shape == ()
    assert abs(estimate.value - value) < 1e-12 and abs(estimate.stderr - stderr) < 1e-12


@CENTRED
def test_identity_basis_is_the_full_space(mlp_problem, centred):
    p = mlp_problem()
    eye = torch.eye(p.N, **F64)
    full = delta2(p.loss, p.w, [3, 8], 0.2, 20, generator(), centred=centred)
    subspace = delta2_subspace(p.loss, p.w, eye, [3, 8], 0.2, 20, generator(), centred=centred)
    close(subspace.value, full.value), close(subspace.stderr, full.stderr)


def test_wrong_probes_are_rejected(mlp_problem):
    p = mlp_problem()
    right = delta2(p.loss, p.w, 5, 0.1, 12, generator()).value
    sigma_squared = brute_force(p, 5, 0.1**2, 12)[0]
    assert abs(right - sigma_squared) > 1e-3 * right
    g = generator()  # separate draws for the two losses: the noise of L drowns the increment
    z = [0.1 * torch.randn(12, p.N, generator=g, **F64) for _ in range(2)]
    separate = np.mean(
        [
            float(p.reference(p.w + x, slice(6)) - p.reference(p.w + y, slice(5))) ** 2
            for x, y in zip(*z, strict=True)
        ]
    )
    assert separate > 1.5 * right


def test_subtracting_a_squared_is_no_centring(mlp_problem):
    """At small sigma the noise of the cross term is far above the signal."""
    p = mlp_problem(widths=(2, 3, 2))
    sigma, S = 1e-3, 200
    exact = gaussian_moment(increment_model(p.loss, p.w, torch.eye(p.N, **F64), 5), sigma).centred
    centred = delta2(p.loss, p.w, 5, sigma, S, generator(), centred=True)
    raw = delta2(p.loss, p.w, 5, sigma, S, generator())
    assert abs(centred.value - exact) < 5 * centred.stderr < exact
    a = delta1(p.loss, p.w, 5)
    assert abs(raw.value - a**2 - exact) > exact
    assert raw.stderr > 3 * centred.stderr


# -- randomness ----------------------------------------------------------------------------------


def test_all_k_share_the_probe_points(mlp_problem):
    p = mlp_problem()
    grid = delta2(p.loss, p.w, [2, 5, 9], 0.1, 10, generator())
    for j, k in enumerate([2, 5, 9]):
        alone = delta2(p.loss, p.w, k, 0.1, 10, generator())
        close(alone.value, grid.value[j]), close(alone.stderr, grid.stderr[j])


def test_the_generator_alone_decides(mlp_problem):
    p = mlp_problem()
    g, before = generator(), torch.get_rng_state()
    first, second = (delta2(p.loss, p.w, 5, 0.1, 10, g).value for _ in range(2))
    assert first != second  # its state advances
    assert torch.equal(first, delta2(p.loss, p.w, 5, 0.1, 10, generator()).value)
    assert torch.equal(before, torch.get_rng_state())


def test_float32_agrees_with_float64(mlp_problem):
    single, double = mlp_problem(n=3000, dtype=torch.float32), mlp_problem(n=3000)
    w, ks = double.w.float(), [2000, 2999]
    a = delta2(single.loss, w, ks, 1e-2, 20, generator(), centred=True)
    b = delta2(double.loss, w.double(), ks, 1e-2, 20, generator(), centred=True)
    assert a.value.dtype == torch.float32
    torch.testing.assert_close(a.value.double(), b.value, rtol=1e-4, atol=0)


# -- against exact expectations ------------------------------------------------------------------


def quadratic_problem():
    toy = toys.quadratics(8, 6, generator=generator(2))
    return EmpiricalLoss(*toy.parts), toy.minimiser(4)


@CENTRED
@pytest.mark.parametrize("D", [None, 2], ids=["full space", "D=2"])
@pytest.mark.parametrize("sigma", [0.03, 1.0], ids="sigma={}".format)
def test_on_quadratics_the_gaussian_moment_is_exact(sigma, D, centred):
    loss, w = quadratic_problem()
    ks, S = [2, 4, 7], 400
    if D is None:
        U = torch.eye(6, **F64)
        estimate = delta2(loss, w, ks, sigma, S, generator(), centred=centred)
    else:
        U = random_subspace(6, D, generator(3))
        estimate = delta2_subspace(loss, w, U, ks, sigma, S, generator(), centred=centred)
    moment = gaussian_moment(increment_models(loss, w, U, ks), sigma)
    expected = moment.centred if centred else moment.total
    assert (abs(estimate.value - expected) < 5 * estimate.stderr).all()
    assert (estimate.stderr < 0.2 * expected).all()
    wrong_sigma = gaussian_moment(increment_models(loss, w, U, ks), 2 * sigma)
    wrong = wrong_sigma.centred if centred else wrong_sigma.total
    assert (abs(estimate.value - wrong) > 5 * estimate.stderr).any()


def test_the_standard_error_is_honest():
    """Nominal coverage of +-2 standard errors: 95%; heavy tails cost a little."""
    loss, w = quadratic_problem()
    exact = gaussian_moment(increment_model(loss, w, torch.eye(6, **F64), 1), 0.3).total
    g = generator(11)
    estimates = [delta2(loss, w, 1, 0.3, 50, g) for _ in range(200)]
    inside = [bool(abs(e.value - exact) < 2 * e.stderr) for e in estimates]
    assert 0.90 <= np.mean(inside) <= 0.99
    divided_by_S = [bool(abs(e.value - exact) < 2 * e.stderr / 50**0.5) for e in estimates]
    assert np.mean(divided_by_S) < 0.5


def hermite(D, points=40):
    """Nodes (m, D) and weights (m,) of E f(z), z ~ N(0, I_D)."""
    x, v = np.polynomial.hermite_e.hermegauss(points)
    nodes = torch.tensor(list(itertools.product(x, repeat=D)), **F64)
    weights = torch.tensor([np.prod(t) for t in itertools.product(v / v.sum(), repeat=D)], **F64)
    return nodes, weights


def exact_criterion(p, U, k, sigma, centred, points=40):
    nodes, weights = hermite(U.shape[1], points)
    values = torch.stack([increment(p, p.w + U @ (sigma * z), k) for z in nodes])
    base = increment(p, p.w, k) if centred else 0.0
    return ((values - base).square() * weights).sum()


@CENTRED
@pytest.mark.parametrize("D", [1, 2], ids="D={}".format)
def test_monte_carlo_against_quadrature(mlp_problem, D, centred):
    p = mlp_problem(widths=(2, 3, 2))
    U = random_subspace(p.N, D, generator(4))
    exact = exact_criterion(p, U, 5, 0.5, centred, points=24)
    estimate = delta2_subspace(p.loss, p.w, U, 5, 0.5, 400, generator(), centred=centred)
    assert abs(estimate.value - exact) < 5 * estimate.stderr
    assert estimate.stderr < 0.3 * exact


@pytest.mark.parametrize("D", [1, 2], ids="D={}".format)
def test_error_exponents_of_the_quadratic_model(mlp_problem, D):
    """Relative to the centred criterion sigma^2; raw sigma^4.

    The third-order term's contribution 2 a E T_3 has odd degree and vanishes in the exact
    expectation. KG26's O(sigma^3) is seen pointwise, and in averages over finitely many draws.
    """
    p = mlp_problem(widths=(2, 3, 2))
    U = random_subspace(p.N, D, generator(4))
    model = increment_model(p.loss, p.w, U, 5)
    g = generator(9)
    z = torch.randn(8, D, generator=g, **F64)
    sigmas = [0.005, 0.01, 0.02]
    raw, centred, pointwise = [], [], []
    for sigma in sigmas:
        moment = gaussian_moment(model, sigma)
        raw.append(float(abs(exact_criterion(p, U, 5, sigma, False, 12) - moment.total)))
        exact = exact_criterion(p, U, 5, sigma, True, 12)
        centred.append(float(abs(exact - moment.centred) / exact))
        squares = torch.stack([increment(p, p.w + U @ (sigma * x), 5) ** 2 for x in z])
        pointwise.append(float((squares - model.at(sigma * z) ** 2).norm()))

    def slope(errors):
        return np.polyfit(np.log(sigmas), np.log(errors), 1)[0]

    assert abs(slope(centred) - 2) < 0.1
    assert abs(slope(raw) - 4) < 0.1
    assert abs(slope(pointwise) - 3) < 0.2
    assert max(centred) < 0.01


# -- every next sample ---------------------------------------------------------------------------


@CENTRED
@pytest.mark.parametrize("D", [None, 3], ids=["full space", "D=3"])
def test_next_sample_average_against_reordered_data(mlp_problem, D, centred):
    p = mlp_problem(l2=0.5, batch_size=4)
    U = None if D is None else random_subspace(p.N, D, generator(7))
    estimate = next_sample_average(p.loss, p.w, 6, 0.1, 15, generator(), U=U, centred=centred)
    values = []
    for i in range(6, 10):
        order = [*range(6), i]
        loss = EmpiricalLoss(p.model, p.loss_fn, p.x[order], p.y[order], p.l2)
        arguments = (6, 0.1, 15, generator())
        one = (
            delta2(loss, p.w, *arguments, centred=centred)
            if U is None
            else delta2_subspace(loss, p.w, U, *arguments, centred=centred)
        )
        values.append(one.value)
    close(estimate.value, torch.stack(values).mean())


def test_next_sample_average_on_quadratics():
    loss, w = quadratic_problem()
    U = random_subspace(6, 2, generator(3))
    estimate = next_sample_average(loss, w, 3, 0.4, 500, generator(), U=U)
    exact = gaussian_moment(next_sample_models(loss, w, U, 3), 0.4).total.mean()
    assert abs(estimate.value - exact) < 5 * estimate.stderr
    first_only = gaussian_moment(increment_model(loss, w, U, 3), 0.4).total
    assert abs(estimate.value - first_only) > 5 * estimate.stderr
