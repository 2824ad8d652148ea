"""Upper bounds: that they hold where they should, and fail where the print is wrong.

Oracles: exact moments of sampled quadratic toys, whose norms are computed by dense linear algebra;
dense torch.func.hessian and Gauss-Newton matrices of small ReLU networks. Wrong on purpose: the
constants of Eq. 10 and of the corrected norm bound made smaller, which equality cases reject; the
effective ranks' bound with r2 for 2 r2, and with one rank for both.
"""

import math

import pytest
import torch
from draws import F64, generator
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import hessian, jacrev

from landscape_nb import (
    EmpiricalLoss,
    IncrementModel,
    delta1,
    effective_rank_bound,
    effective_ranks,
    gauss_newton_norm_bound,
    gaussian_moment,
    hessian_norm_bound_printed,
    increment_bound,
    increment_models,
    random_subspace,
    rate_bound,
    toys,
)

# -- KG26 Theorem 2 ------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0.01, 0.3, 3.0], ids="sigma={}".format)
@pytest.mark.parametrize("seed", range(5), ids="seed={}".format)
def test_rate_bound_holds_on_quadratic_toys(seed, sigma):
    n, N, D = 9, 5, 3
    toy = toys.quadratics(n, N, generator=generator(seed))
    loss = EmpiricalLoss(*toy.parts)
    U = random_subspace(N, D, generator(seed))
    M_hess = float(torch.linalg.matrix_norm(toy.A, 2).max())
    for k in range(1, n):
        w = toy.minimiser(k)
        moment = gaussian_moment(increment_models(loss, w, U, [k]), sigma).total[0]
        bound = rate_bound(
            k, D, sigma,
            M_loss=float(loss.per_sample(w).abs().max()),
            M_grad=float(loss.gradient(w, range(k, k + 1)).norm()),
            M_hess=M_hess,
        )  # fmt: skip
        assert moment <= bound


def test_rate_bound_is_the_three_terms_of_the_proof():
    """3 (a^2 + s^2 |c|^2 + E(z'Bz/2)^2) at a = 2M_l, |c| = M_g, B = 2 M_H I, over (k+1)^2."""
    k, D, s, M_l, M_g, M_H = 4, 3, 0.7, 1.3, 0.8, 2.1
    curvature = IncrementModel(0.0, torch.zeros(D, **F64), 2 * M_H * torch.eye(D, **F64))
    gradient = IncrementModel(0.0, [M_g, 0.0, 0.0], torch.zeros(D, D, **F64))
    value = IncrementModel(2 * M_l, torch.zeros(D, **F64), torch.zeros(D, D, **F64))
    parts = sum(float(gaussian_moment(m, s).total) for m in (value, gradient, curvature))
    bound = rate_bound(k, D, s, M_l, M_g, M_H)
    assert math.isclose(bound, 3 * parts / (k + 1) ** 2, rel_tol=1e-12)


def test_rate_bound_falls_as_k_plus_1_squared():
    bounds = [rate_bound(k, 5, 0.1, 1.0, 2.0, 3.0) * (k + 1) ** 2 for k in (1, 10, 1000)]
    assert bounds == pytest.approx([bounds[0]] * 3, rel=1e-12)


# -- the same with effective ranks ---------------------------------------------------------------


@st.composite
def hessians(draw):
    """Matrices of samples with spectra of every shape: definite or not, low rank or full."""
    m, D = draw(st.integers(2, 5)), draw(st.integers(1, 6))
    number = st.integers(-200, 200).map(lambda i: i / 100)  # squares far from underflow
    spectra = torch.tensor(draw(st.lists(number, min_size=m * D, max_size=m * D)), **F64)
    g = generator(draw(st.integers(0, 99)))
    Q = torch.linalg.qr(torch.randn(m, D, D, generator=g, **F64)).Q
    H = Q @ spectra.view(m, D).diag_embed() @ Q.mT
    return (H + H.mT) / 2


@settings(max_examples=150, deadline=None)
@given(H=hessians(), sigma=st.floats(0.1, 3.0))
def test_the_bound_with_effective_ranks_holds_and_is_never_above_the_printed_one(H, sigma):
    k, D = len(H) - 1, H.shape[1]
    B = (H[k] - H[:k].mean(0)) / (k + 1)
    truth = float(gaussian_moment(IncrementModel(0.0, torch.zeros(D, **F64), B), sigma).total)
    M_hess = float(torch.linalg.eigvalsh(H).abs().max())
    ranks = effective_ranks(H)
    bound = effective_rank_bound(k, sigma, 0.0, 0.0, M_hess, *ranks)
    assert truth <= bound * (1 + 1e-9)
    assert bound <= rate_bound(k, D, sigma, 0.0, 0.0, M_hess) * (1 + 1e-9)
    assert max(ranks) <= D * (1 + 1e-9)


@pytest.mark.parametrize("rank", [1, 3, 6], ids="rank={}".format)
def test_multiples_of_a_projector_leave_only_the_three_and_need_both_ranks(rank):
    """H_{k+1} = -H^(k) = M P: a third of the bound is attained, by (x+y+z)^2 <= 3 (...)."""
    D, M, sigma = 6, 1.7, 0.4
    P = torch.diag(torch.tensor([1.0] * rank + [0.0] * (D - rank), **F64))
    H = torch.stack([-M * P, M * P])
    B = (H[1] - H[0]) / 2
    truth = float(gaussian_moment(IncrementModel(0.0, torch.zeros(D, **F64), B), sigma).total)
    r1, r2 = effective_ranks(H)
    assert (r1, r2) == pytest.approx((rank, rank))
    bound = effective_rank_bound(1, sigma, 0.0, 0.0, M, r1, r2)
    assert bound == pytest.approx(3 * truth, rel=1e-12)
    assert bound == pytest.approx(rate_bound(1, rank, sigma, 0.0, 0.0, M), rel=1e-12)
    for wrong in (r1**2 + r2, r1 + 2 * r2 if rank > 1 else 2 * r2, r1**2):
        assert 3 * sigma**4 * wrong * M**2 / 4 < 3 * truth * (1 - 1e-6)


def test_the_rank_and_not_the_dimension_decides():
    small = torch.diag(torch.tensor([2.0, 1.0], **F64))
    large = torch.zeros(400, 400, **F64)
    large[:2, :2] = small
    assert effective_ranks(small[None]) == effective_ranks(large[None]) == (1.5, 1.25)
    assert effective_ranks(torch.zeros(2, 3, 3)) == (0.0, 0.0)
    tiny = 1e-200 * small[None]  # its squares are zero in float64
    assert effective_ranks(tiny) == pytest.approx((1.5, 1.25))
    assert effective_ranks(small[None], M_hess=4.0) == (0.75, 0.3125)


# -- KG24's increment ----------------------------------------------------------------------------


@pytest.mark.parametrize("radius", [0.0, 0.5, 4.0], ids="R={}".format)
@pytest.mark.parametrize("seed", range(3), ids="seed={}".format)
def test_increment_bound_holds_around_a_common_minimiser(seed, radius):
    toy = toys.quadratics(8, 4, shift=0.0, generator=generator(seed))  # all minima at w = 0
    loss = EmpiricalLoss(*toy.parts)
    M_loss = float(loss.per_sample(loss.w0).abs().max())
    M_hess = float(torch.linalg.matrix_norm(toy.A, 2).max())
    g = generator(seed)
    for k in range(1, 8):
        for _ in range(10):
            d = torch.randn(4, generator=g, **F64)
            w = radius * d / d.norm()
            assert delta1(loss, w, k) <= increment_bound(k, M_loss, M_hess, radius)


def test_increment_bound_without_its_value_term_is_rejected():
    e = torch.tensor([-1.0, 1.0], **F64)  # I_1 = (1 - (-1))/2 = 1 = (2/2) M_l: equality
    toy = toys.Quadratics(e, torch.zeros(2, 1, **F64), torch.zeros(2, 1, 1, **F64))
    loss = EmpiricalLoss(*toy.parts)
    assert float(delta1(loss, loss.w0, 1)) == increment_bound(1, 1.0, 0.0, 1.0) == 1.0
    assert float(delta1(loss, loss.w0, 1)) > increment_bound(1, 0.0, 0.0, 1.0)


# -- norms of per-sample Hessians ----------------------------------------------------------------


def relu_network(weights, x):
    for W in weights[:-1]:
        x = torch.relu(x @ W.T)
    return x @ weights[-1].T


def dense_matrices(weights, x, y):
    """Per-sample Hessian and Gauss-Newton matrix of softmax cross-entropy, by torch.func."""
    shapes = [W.shape for W in weights]

    def logits(w):
        pieces = w.split([s.numel() for s in shapes])
        return relu_network([p.view(s) for p, s in zip(pieces, shapes, strict=True)], x)

    def loss(w):
        return torch.nn.functional.cross_entropy(logits(w)[None], y[None])

    w = torch.cat([W.flatten() for W in weights])
    F, p = jacrev(logits)(w), torch.softmax(logits(w), 0)
    return hessian(loss)(w), F.T @ (torch.diag(p) - torch.outer(p, p)) @ F


def random_weights(widths, scale, g):
    return [
        scale * torch.randn(o, i, generator=g, **F64)
        for i, o in zip(widths, widths[1:], strict=False)
    ]


def test_the_printed_norm_bound_is_violated():
    """One layer, weights of 1e-3: theory.md 7 reports 0.152 against 1.9e-5."""
    g = generator()
    W = torch.randn(10, 64, generator=g, **F64)
    W = 1e-3 * W / torch.linalg.matrix_norm(W, 2)
    x = torch.rand(64, generator=g, **F64)
    x = x / x.norm() * 1.5**0.5
    H, G = dense_matrices([W], x, torch.tensor(3))
    norm = torch.linalg.matrix_norm(H, 2)
    printed = hessian_norm_bound_printed(1, M_weight=1e-3, M_input=float(x.norm()))
    assert 0.1 < norm < 0.2
    assert printed < 1e-5 < 1e-4 * norm
    torch.testing.assert_close(H, G, rtol=0, atol=1e-12)  # one layer: the Hessian is Gauss-Newton
    assert norm <= gauss_newton_norm_bound([W], x)


@pytest.mark.parametrize("L", [1, 2, 5], ids="L={}".format)
@pytest.mark.parametrize("M_W", [0.0, 0.3, 1.0, 2.0], ids="W={}".format)
def test_the_printed_formula_is_as_printed(L, M_W):
    M_x = 1.7
    geometric = L if M_W == 1 else M_W**2 * (M_W ** (2 * L) - 1) / (M_W**2 - 1)
    expected = math.sqrt(2) * (L * M_x**2 * M_W ** (2 * L) + geometric)
    assert hessian_norm_bound_printed(L, M_W, M_x) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("widths", [(4, 3), (4, 6, 3), (4, 6, 5, 3), (3, 5, 5, 5, 2)], ids=str)
@pytest.mark.parametrize("scale", [1e-3, 0.5, 2.0], ids="scale={}".format)
def test_gauss_newton_norm_bound_holds(widths, scale):
    g = generator(len(widths))
    for _ in range(5):
        weights = random_weights(widths, scale, g)
        x = torch.randn(widths[0], generator=g, **F64)
        _, G = dense_matrices(weights, x, torch.tensor(1))
        assert torch.linalg.matrix_norm(G, 2) <= gauss_newton_norm_bound(weights, x) * (1 + 1e-12)


def test_gauss_newton_norm_bound_is_attained_by_two_classes_and_one_layer():
    """|diag(p) - pp'| = 1/2 at p = (1/2, 1/2), so a factor below 1/2 would be wrong."""
    x = torch.tensor([1.0, -2.0, 0.5], **F64)
    W = torch.zeros(2, 3, **F64)
    _, G = dense_matrices([W], x, torch.tensor(0))
    norm = float(torch.linalg.matrix_norm(G, 2))
    assert float(gauss_newton_norm_bound([W], x)) == pytest.approx(norm, rel=1e-12)


def test_gauss_newton_norm_bound_of_several_inputs():
    g = generator()
    weights = random_weights((4, 6, 3), 0.8, g)
    X = torch.randn(5, 4, generator=g, **F64)
    expected = torch.stack([gauss_newton_norm_bound(weights, x) for x in X])
    torch.testing.assert_close(gauss_newton_norm_bound(weights, X), expected)


def test_gauss_newton_norm_bound_layer_by_layer():
    """Two layers of one unit: (x^2 |W2|^2 + h^2) / 2 with h = relu(W1 x)."""
    weights = [torch.tensor([[2.0]], **F64), torch.tensor([[3.0]], **F64)]
    x = torch.tensor([0.5], **F64)
    assert float(gauss_newton_norm_bound(weights, x)) == (0.5**2 * 9 + 1.0**2) / 2
