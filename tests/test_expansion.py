"""What Eq. 15 leaves out of E I^2 at order sigma^4.

Oracles: Gauss-Hermite quadrature of the true increment at three sigmas, from which Richardson
takes the coefficient; a quartic polynomial whose coefficient is written out by hand; derivatives
along a line by nested reverse mode. Wrong on purpose: the curvature part alone, half of the third
term, the fourth without its 1/4, the sum over a basis in place of the Gaussian mean.
"""

import itertools

import numpy as np
import pytest
import torch
from draws import F64, generator
from torch import nn
from torch.autograd import grad

import landscape_nb as ln
from landscape_nb.theory.expansion import ForwardModeError, line_derivatives, omitted_terms

cross_entropy = nn.CrossEntropyLoss(reduction="none")


def small_network(seed=0, n=9, l2=1e-2, activation=nn.Tanh):
    g = generator(seed)
    x, y = 2 * torch.randn(n, 3, generator=g, **F64), torch.randint(2, (n,), generator=g)
    model = ln.models.MLP([3, 4, 2], activation, generator=g)
    loss = ln.EmpiricalLoss(model, cross_entropy, x, y, l2=l2)
    return loss, loss.w0 + 0.3 * torch.randn(loss.num_params, generator=g, **F64)


def mean_square(loss, w, U, k, sigma, centred=False):
    """E I^2 of the next sample with 16 nodes a dimension."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(16)
    total = 0.0
    a = loss.value(w, k + 1) - loss.value(w, k) if centred else 0.0
    for chosen in itertools.product(range(16), repeat=U.shape[1]):
        point = w + U @ torch.tensor(sigma * nodes[list(chosen)], **F64)
        I = loss.value(point, k + 1) - loss.value(point, k) - a
        total += float(np.prod(weights[list(chosen)] / weights.sum())) * float(I) ** 2
    return total


def extrapolated(excess, sigma):
    """The limit of excess(s) = A + B s^2 + C s^4 + ..., from three halvings."""
    first, second, third = (excess(sigma / 2**j) for j in range(3))
    once = (4 * second - first) / 3, (4 * third - second) / 3
    return (16 * once[1] - once[0]) / 15


@pytest.mark.parametrize("D", [1, 2], ids="D={}".format)
@pytest.mark.parametrize("seed", range(2), ids="seed={}".format)
@pytest.mark.parametrize("centred", [False, True], ids=["raw", "centred"])
def test_against_quadrature(D, seed, centred):
    (loss, w), k = small_network(seed), 5
    loss = loss.without_l2()  # it cancels; its rounding does not
    U = ln.random_subspace(loss.num_params, D, generator(seed))
    model = ln.increment_model(loss, w, U, k)

    def excess(sigma):
        moment = ln.gaussian_moment(model, sigma)
        known = moment.centred if centred else moment.total
        return (mean_square(loss, w, U, k, sigma, centred) - float(known)) / sigma**4

    found = omitted_terms(loss, w, U, k, candidates=range(k, k + 1))
    right = float(found.third.value if centred else found.total.value)
    expected = extrapolated(excess, 0.08)
    assert right == pytest.approx(expected, rel=2e-3, abs=1e-8)
    assert float(found.total.stderr) == 0
    third, fourth = float(found.third.value), float(found.fourth.value)
    curvature = float(ln.gaussian_moment(model, 1.0).curvature)
    wrong = {"curvature alone": 0.0, "half the third": right - third / 2, "sign": -right}
    if not centred:
        wrong["fourth without 1/4"] = third + 4 * fourth
        wrong["third alone"] = third
    for name, value in wrong.items():
        assert value != pytest.approx(expected, rel=2e-3, abs=1e-8), name
    assert abs(expected) > 1e-4 * curvature  # the oracle has digits to tell them apart


class Quartic(nn.Module):
    """Outputs x[:, j] times the j-th monomial of two parameters, summed."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(2, **F64))

    def forward(self, x):
        u, v = self.w
        one = torch.ones_like(u)
        return x @ torch.stack([one, u, v, u * u, u**3, u * v * v, u**4, u * u * v * v])


def test_a_polynomial_by_hand():
    """I = 2 + 3u + u^3 + 5 u v^2 + u^4 + 7 u^2 v^2 with u, v ~ N(0, s^2).

    s^4 of E I^2 beyond a, c, B: 2 a (3 + 7) + 2 * 3 (3 + 5).
    """
    x = torch.zeros(2, 8, **F64)
    x[1] = 2 * torch.tensor([2.0, 3.0, 0, 0, 1, 5, 1, 7], **F64)  # I_1 = (l_2 - l_1)/2
    loss = ln.EmpiricalLoss(Quartic(), lambda out, _: out, x, torch.zeros(2, **F64))
    found = omitted_terms(loss, loss.w0, torch.eye(2, **F64), 1)
    assert float(found.third.value) == pytest.approx(2 * 3 * (3 + 5), rel=1e-12)
    assert float(found.fourth.value) == pytest.approx(2 * 2 * (3 + 7), rel=1e-12)
    turned = ln.random_subspace(2, 2, generator(1))
    again = omitted_terms(loss, loss.w0, turned, 1)
    torch.testing.assert_close(again.total.value, found.total.value)


def test_random_directions_are_unbiased_and_their_error_fair():
    (loss, w), k, D = small_network(3), 5, 4
    U = ln.random_subspace(loss.num_params, D, generator(3))
    exact = omitted_terms(loss, w, U, k)
    away = []
    for seed in range(3):
        drawn = omitted_terms(loss, w, U, k, num_draws=30, generator=generator(seed))
        for part in ("third", "fourth", "total"):
            found = getattr(drawn, part)
            away.append(float((found.value - getattr(exact, part).value) / found.stderr))
    assert max(map(abs, away)) < 6 and abs(np.mean(away)) < 1  # heavy tails, and shared draws
    basis = [line_derivatives(loss, w, u, range(k, 9)) for u in U.T]
    mean = [line_derivatives(loss, w, u, range(k)).mean(1, keepdim=True) for u in U.T]
    forms = [((d - m) / (k + 1)) for d, m in zip(basis, mean, strict=True)]
    wrong = sum(float((I[1] * I[3] + I[0] * I[4] / 4).mean()) for I in forms)  # sum of T_iii alone
    assert wrong != pytest.approx(float(exact.total.value), rel=0.05)


def test_averages_over_candidates():
    (loss, w), k = small_network(4), 5
    U = ln.random_subspace(loss.num_params, 3, generator(4))
    each = [omitted_terms(loss, w, U, k, candidates=range(i, i + 1)) for i in range(k, 9)]
    for part in ("third", "fourth", "total"):
        mean = torch.stack([getattr(found, part).value for found in each]).mean()
        torch.testing.assert_close(getattr(omitted_terms(loss, w, U, k), part).value, mean)


def test_derivatives_along_a_line_by_nested_reverse_mode():
    loss, w = small_network(5, l2=0.0)
    v = torch.randn(loss.num_params, generator=generator(5), **F64)
    found = line_derivatives(loss, w, v, range(9))
    for i in range(9):
        t = torch.zeros((), requires_grad=True, **F64)
        value = loss.losses_at(w + t * v, range(i, i + 1))[0]
        for order in range(5):
            torch.testing.assert_close(found[order, i], value.detach(), rtol=1e-9, atol=1e-11)
            if order < 4:
                (value,) = grad(value, t, create_graph=True)


def test_pieces_of_samples_give_the_same():
    loss, w = small_network(6)
    v = torch.randn(loss.num_params, generator=generator(6), **F64)
    whole = line_derivatives(loss, w, v, range(9))
    small = ln.EmpiricalLoss(
        ln.models.MLP([3, 4, 2]), cross_entropy, loss.inputs, loss.targets, memory=4e4
    )
    torch.testing.assert_close(line_derivatives(small, w, v, range(9)), whole)


def test_float32_is_served():
    loss, w = small_network(7, n=30)
    U = ln.random_subspace(loss.num_params, 3, generator(7))
    exact = omitted_terms(loss, w, U, 20)
    model = ln.models.MLP([3, 4, 2]).float()
    single = ln.EmpiricalLoss(model, cross_entropy, loss.inputs.float(), loss.targets)
    found = omitted_terms(single, w.float(), U.float(), 20)
    assert found.total.value.dtype == torch.float32
    assert float(found.total.value) == pytest.approx(float(exact.total.value), rel=1e-2)


def test_kinks_are_refused():
    loss, w = small_network(0, n=400, activation=nn.ReLU)
    U = ln.random_subspace(loss.num_params, 2, generator(0))
    with pytest.raises(ForwardModeError, match="The loss has kinks"):
        omitted_terms(loss, w, U, 300)


def test_wrong_derivatives_are_refused(monkeypatch):
    from landscape_nb.theory import expansion

    loss, w = small_network(0)
    right = expansion._nested
    fourth = torch.tensor([[1.0], [1.0], [1.0], [1.0], [1.5]], **F64)
    monkeypatch.setattr(expansion, "_nested", lambda *given: fourth * right(*given))
    with pytest.raises(ForwardModeError, match="not those that reverse mode shows"):
        omitted_terms(loss, w, ln.random_subspace(loss.num_params, 2, generator(0)), 5)
