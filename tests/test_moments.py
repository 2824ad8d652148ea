"""Closed forms of the criteria for quadratic models, and the averaging identities.

Oracles: Gauss-Hermite quadrature, exact for the quartic polynomial (a + c'z + z'Bz/2)^2; the four
terms written out in numpy; enumeration of all n! orders in exact fractions; explicit loops. Wrong
on purpose: Eq. 15 without the 1/4, with (tr B)^2 for tr(B^2) and the reverse, with one tr B^2;
S^2 with ddof = 0; k^2 in place of k(k+1).
"""

import itertools
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from draws import F64, generator
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch.func import grad, hessian

import landscape_nb as ln
from landscape_nb import (
    IncrementModel,
    IncrementModels,
    full_space_table,
    gaussian_moment,
    moment_table,
    next_sample_mean,
    permutation_mean,
    quadratic_mc,
    spectral_formula,
)
from landscape_nb.theory.full_space import full_space_coefficients

number = st.floats(-3, 3, allow_subnormal=False)
loss_value = st.integers(-(10**6), 10**6).map(lambda i: i / 10**4)  # squares far from underflow
sigmas = st.floats(0.05, 2.0)


@st.composite
def models(draw, dimensions=(1, 2, 3)):
    D = draw(st.sampled_from(dimensions))
    c = draw(st.lists(number, min_size=D, max_size=D))
    B = np.array(draw(st.lists(number, min_size=D * D, max_size=D * D))).reshape(D, D)
    return IncrementModel(draw(number), c, (B + B.T) / 2)


def quadrature(model, sigma, centred=False):
    """E I^2 with 3 nodes a dimension: exact for polynomials up to degree 5."""
    x, v = np.polynomial.hermite_e.hermegauss(3)
    D = model.D
    a, c, B = (t.numpy() for t in (model.a, model.c, model.B))
    total = 0.0
    for i in itertools.product(range(3), repeat=D):
        z = sigma * x[list(i)]
        value = c @ z + z @ B @ z / 2 + (0.0 if centred else a)
        total += np.prod(v[list(i)] / v.sum()) * value**2
    return float(total)


def random_model(D=3, seed=0):
    g = generator(seed)
    B = torch.randn(D, D, generator=g, **F64)
    return IncrementModel(
        torch.randn((), generator=g, **F64), torch.randn(D, generator=g, **F64), B + B.T
    )


# -- Gaussian moment -----------------------------------------------------------------------------


@settings(deadline=None)
@given(models(), sigmas)
def test_gaussian_moment_is_the_quadrature(model, sigma):
    moment = gaussian_moment(model, sigma)
    exact, scale = quadrature(model, sigma), float(moment.value + moment.centred) + 1e-9
    assert abs(float(moment.total) - exact) < 1e-10 * scale
    assert abs(float(moment.centred) - quadrature(model, sigma, centred=True)) < 1e-10 * scale


@settings(deadline=None)
@given(models(), sigmas)
def test_the_parts_are_the_four_terms_and_their_sum(model, sigma):
    m = gaussian_moment(model, sigma)
    a, c, B = (t.numpy() for t in (model.a, model.c, model.B))
    d = np.linalg.eigvalsh(B)
    expected = {
        "value": a**2,
        "cross": a * sigma**2 * d.sum(),
        "gradient": sigma**2 * np.dot(c, c),
        "curvature": sigma**4 / 4 * (2 * (d**2).sum() + d.sum() ** 2),
    }
    for name, value in expected.items():
        assert math.isclose(getattr(m, name), value, rel_tol=1e-10, abs_tol=1e-10), name
    assert math.isclose(m.total, sum(expected.values()), rel_tol=1e-10, abs_tol=1e-10)
    assert torch.equal(m.centred, m.gradient + m.curvature)


WRONG = {
    "without the 1/4": lambda a, c, B, s: 4 * curvature(B, s),
    "(tr B)^2 for tr(B^2)": lambda a, c, B, s: s**4 / 4 * 3 * B.trace() ** 2,
    "tr(B^2) for (tr B)^2": lambda a, c, B, s: s**4 / 4 * 3 * (B @ B).trace(),
    "a single tr(B^2)": lambda a, c, B, s: s**4 / 4 * ((B @ B).trace() + B.trace() ** 2),
    "sigma^2 for sigma^4": lambda a, c, B, s: curvature(B, s) / s**2,
}


def curvature(B, s):
    return s**4 / 4 * (2 * (B @ B).trace() + B.trace() ** 2)


@pytest.mark.parametrize("formula", WRONG.values(), ids=WRONG)
def test_wrong_forms_of_eq_15_are_rejected(formula):
    model, s = random_model(), 0.7
    a, c, B = (t.numpy() for t in (model.a, model.c, model.B))
    rest = a**2 + a * s**2 * B.trace() + s**2 * c @ c
    exact = quadrature(model, s)
    assert abs(rest + curvature(B, s) - exact) < 1e-12 * exact
    assert abs(rest + formula(a, c, B, s) - exact) > 1e-2 * exact


def test_cross_may_be_negative():
    moment = gaussian_moment(IncrementModel(-1.0, [0.0], [[2.0]]), 0.5)
    assert float(moment.cross) == -0.5


def test_many_models_at_once_are_one_by_one():
    each = [random_model(seed=s) for s in range(4)]
    many = IncrementModels(
        [1, 2, 3, 4], *(torch.stack([getattr(m, name) for m in each]) for name in "acB")
    )
    moments = gaussian_moment(many, 0.3)
    for j, model in enumerate(each):
        for part in ("total", "value", "cross", "gradient", "curvature", "centred"):
            one = getattr(gaussian_moment(model, 0.3), part)
            torch.testing.assert_close(getattr(moments, part)[j], one, rtol=1e-13, atol=0)


# -- tables over D and sigma ---------------------------------------------------------------------


def several_models(seeds):
    each = [random_model(seed=s) for s in seeds]
    return IncrementModels(
        list(range(1, len(each) + 1)),
        *(torch.stack([getattr(m, name) for m in each]) for name in "acB"),
    )


PARTS = ("total", "value", "cross", "gradient", "curvature", "centred")


@pytest.mark.parametrize("sigma", [0.1, 1.5], ids="sigma={}".format)
@pytest.mark.parametrize("D", [1, 2, 3], ids="D={}".format)
def test_moment_table_is_the_moment_of_every_leading_model(D, sigma):
    models = several_models(range(4))
    table = moment_table(models)
    assert table.D == 3 and table.ks.tolist() == [1, 2, 3, 4]
    moment = table.at(D, sigma)
    for j, model in enumerate(models):
        for part in PARTS:
            one = getattr(gaussian_moment(model.leading(D), sigma), part)
            torch.testing.assert_close(getattr(moment, part)[j], one, rtol=1e-12, atol=1e-15)


def test_moment_table_averages_each_group():
    groups = [
        replace(several_models(seeds), ks=[k] * len(seeds))
        for k, seeds in ((4, range(3)), (9, range(3, 8)))
    ]
    moment = moment_table(groups).at(2, 0.6)
    for j, group in enumerate(groups):
        for part in PARTS:
            mean = getattr(gaussian_moment(group.leading(2), 0.6), part).mean()
            torch.testing.assert_close(getattr(moment, part)[j], mean, rtol=1e-12, atol=1e-15)


def test_full_space_table_is_unbiased(mlp_problem):
    """Hutchinson's parts, averaged over independent generators, against dense Hessians."""
    p = mlp_problem(n=6, widths=(2, 3, 2), l2=0.3)
    k, s, repetitions = 3, 0.5, 60
    exact = []
    for i in range(k, 6):
        order = [*range(k), i]
        a = p.reference(p.w, order) - p.reference(p.w, slice(k))
        c = grad(p.reference)(p.w, order) - grad(p.reference)(p.w, slice(k))
        A = hessian(p.reference)(p.w, order) - hessian(p.reference)(p.w, slice(k))
        exact.append(gaussian_moment(IncrementModel(a, c, (A + A.T) / 2), s))
    drawn = [
        full_space_table(p.loss, [p.w], [k], num_probes=6, generator=generator(seed)).at(1, s)
        for seed in range(repetitions)
    ]
    for part in PARTS:
        expected = float(torch.stack([getattr(m, part) for m in exact]).mean())
        values = torch.stack([getattr(m, part)[0] for m in drawn])
        error = float(values.std() / repetitions**0.5)
        if part in ("value", "gradient"):
            assert math.isclose(values[0], expected, rel_tol=1e-10), part
        else:
            assert abs(float(values.mean()) - expected) < 5 * error < 2 * abs(expected), part


def test_full_space_table_knows_its_errors(mlp_problem):
    """The errors of both estimated parts against their spread over generators."""
    p = mlp_problem(n=6, widths=(2, 3, 2))
    tables = [
        full_space_table(p.loss, [p.w], [3], num_probes=6, generator=generator(seed))
        for seed in range(100)
    ]
    for part in ("cross", "curvature"):
        spread = float(torch.cat([getattr(t, part) for t in tables]).std())
        errors = torch.cat([getattr(t, f"{part}_stderr") for t in tables])
        assert 0.75 < float(errors.square().mean().sqrt()) / spread < 1.3, part
    last = tables[0].last()
    assert last.curvature_stderr.shape == last.cross_stderr.shape == (1, 1)
    assert tables[0].value_stderr is tables[0].gradient_stderr is None
    errors = tables[0].stderr_at(1, 0.1)
    assert errors.value == errors.gradient == 0
    assert math.isclose(errors.cross, 1e-2 * last.cross_stderr, rel_tol=1e-12)
    assert math.isclose(errors.curvature, 1e-4 * last.curvature_stderr, rel_tol=1e-12)


def pairs_of_directions(B):
    """The estimate from pairs of directions and its jackknife: what was used before."""

    def curvature(kept):
        inside = B[:, kept][:, :, kept]
        d = inside.diagonal(dim1=-2, dim2=-1)
        terms = (2 * inside.square() + d[:, :, None] * d[:, None, :]).mean(0) / 4
        return (terms.sum() - terms.trace()) / (len(kept) * (len(kept) - 1))

    m = B.shape[-1]
    left_out = torch.stack([curvature([i for i in range(m) if i != j]) for j in range(m)])
    return curvature(range(m)), ((m - 1) * left_out.var(correction=0)).sqrt()


def test_full_space_errors_beat_those_of_pairs_of_directions():
    """On the same directions: estimate and error scatter less; intervals are fair."""
    W = torch.randn(12, 30, 4, generator=generator(), **F64)  # four directions carry a Hessian
    toy = ln.toys.Quadratics(W[:, 0, 0], W[:, :, 0], W @ W.mT)
    loss, k, m = ln.EmpiricalLoss(*toy.parts), 8, 6
    A = torch.stack([(toy.A[i] - toy.A[:k].mean(0)) / (k + 1) for i in range(k, 12)])
    trace = A.diagonal(dim1=1, dim2=2).sum(1)
    exact = (2 * A.square().sum((1, 2)) + trace.square()).mean() / 4
    ours, before, cross = [], [], []
    for seed in range(200):
        table = full_space_table(loss, [loss.w0], [k], num_probes=m, generator=generator(seed))
        cross.append((float(table.cross), float(table.cross_stderr)))
        G = torch.randn(30, m, generator=generator(seed), **F64)
        ours.append((float(table.curvature), float(table.curvature_stderr)))
        before.append(tuple(map(float, pairs_of_directions(G.T @ A @ G))))
    (values, errors), (old_values, old_errors) = (np.array(found).T for found in (ours, before))
    assert 0.85 < (errors**2).mean() ** 0.5 / values.std() < 1.2
    inside = np.abs(values - float(exact)) < stats.t.ppf(0.95, m - 1) * errors
    assert 0.82 < inside.mean() < 0.97
    assert abs(values.mean() - float(exact)) < 4 * values.std() / 200**0.5 < 0.15 * float(exact)
    assert values.std() < old_values.std()
    crosses, cross_errors = np.array(cross).T
    assert 0.85 < (cross_errors**2).mean() ** 0.5 / crosses.std() < 1.2
    assert errors.std() / errors.mean() < 0.95 * old_errors.std() / old_errors.mean()


def test_full_space_table_where_the_trace_is_all():
    """Hessians s_i times the identity: (tr A)^2 = N |A|_F^2, which must not leak into |A|_F^2."""
    s, N = torch.tensor([1.0, 3.0, 7.0], **F64), 30
    zero = torch.zeros(3, N, **F64)
    loss = ln.EmpiricalLoss(*ln.toys.Quadratics(s, zero, s[:, None, None] * torch.eye(N)).parts)
    exact = (2 * N + N**2) / 4 * float(((s[2] - s[:2].mean()) / 3) ** 2)
    found = [
        float(
            full_space_table(loss, [loss.w0], [2], num_probes=6, generator=generator(i)).curvature
        )
        for i in range(60)
    ]
    assert abs(np.mean(found) - exact) < 4 * np.std(found) / 60**0.5 < 0.15 * exact


def test_full_space_table_does_not_see_how_directions_are_turned(mlp_problem):
    p = mlp_problem(n=6, widths=(2, 3, 2), l2=0.1)
    G = torch.randn(p.N, 4, generator=generator(), **F64)
    R = torch.linalg.qr(torch.randn(4, 4, generator=generator(1), **F64)).Q
    one, other = (full_space_coefficients(p.loss, p.w, 3, range(3, 6), V) for V in (G, G @ R))
    torch.testing.assert_close(one[:5], other[:5])


def test_full_space_table_averages_over_the_candidates_only(mlp_problem):
    p = mlp_problem(n=8, l2=0.1)
    chosen = full_space_table(
        p.loss, [p.w] * 2, [3, 4], num_probes=3, candidates=range(5, 7), generator=generator(0)
    )
    losses = p.loss.per_sample(p.w)
    for row, k in enumerate((3, 4)):
        a = (losses[5:7] - losses[:k].mean()) / (k + 1)
        assert math.isclose(float(chosen.value[row]), float(a.square().mean()), rel_tol=1e-10)
        g = [grad(p.reference)(p.w, [*range(k), i]) - grad(p.reference)(p.w, slice(k))
             for i in (5, 6)]  # fmt: skip
        mean = float(torch.stack(g).square().sum(1).mean())
        assert math.isclose(float(chosen.gradient[row, 0]), mean, rel_tol=1e-9)
    with pytest.raises(ValueError, match="candidate must be between 4 and 7"):
        full_space_table(
            p.loss, [p.w], [4], candidates=range(3, 6), num_probes=3, generator=generator(0)
        )


# -- Monte Carlo on the model --------------------------------------------------------------------


@pytest.mark.parametrize("centred", [False, True], ids=["raw", "centred"])
@pytest.mark.parametrize("seed", range(3), ids="seed={}".format)
def test_quadratic_mc_within_its_error(seed, centred):
    random = random_model(seed=seed)
    model = IncrementModel(2.0, random.c, random.B)
    estimate = quadratic_mc(model, 0.7, 50_000, generator(seed), centred=centred)
    exact, other = quadrature(model, 0.7, centred), quadrature(model, 0.7, not centred)
    assert abs(estimate.value - exact) < 5 * estimate.stderr < 0.2 * exact
    assert abs(estimate.value - other) > 5 * estimate.stderr


def test_quadratic_mc_draws_are_shared_by_many_models():
    each = [random_model(seed=s) for s in range(3)]
    many = IncrementModels(
        [1, 2, 3], *(torch.stack([getattr(m, name) for m in each]) for name in "acB")
    )
    together = quadratic_mc(many, 0.5, 1000, generator())
    for j, model in enumerate(each):
        alone = quadratic_mc(model, 0.5, 1000, generator())
        torch.testing.assert_close(together.value[j], alone.value, rtol=1e-12, atol=0)
        torch.testing.assert_close(together.stderr[j], alone.stderr, rtol=1e-12, atol=0)


def test_quadratic_mc_by_hand():
    model, sigma, S = random_model(), 0.4, 9
    z = sigma * torch.randn(S, 3, generator=generator(), **F64)
    squares = model.at(z) ** 2
    estimate = quadratic_mc(model, sigma, S, generator())
    assert math.isclose(estimate.value, squares.mean(), rel_tol=1e-12)
    assert math.isclose(estimate.stderr, np.std(squares.numpy(), ddof=1) / 3, rel_tol=1e-12)


# -- spectral formula (Corollary 4) --------------------------------------------------------------


def projected_hessians(shared, D=4, seed=0):
    g = generator(seed)
    Q = torch.linalg.qr(torch.randn(D, D, generator=g, **F64)).Q
    R = Q if shared else torch.linalg.qr(torch.randn(D, D, generator=g, **F64)).Q
    before, after = (
        torch.rand(D, generator=g, **F64).sort().values + torch.arange(D) for _ in "ab"
    )
    return Q @ torch.diag(before) @ Q.T, R @ torch.diag(after) @ R.T


@pytest.mark.parametrize("seed", range(5), ids="seed={}".format)
@pytest.mark.parametrize("shared", [True, False], ids=["shared", "not shared"])
def test_spectral_formula_is_exact_for_shared_eigenvectors_and_else_a_lower_bound(shared, seed):
    before, after = projected_hessians(shared, seed=seed)
    d = torch.linalg.eigvalsh(after) - torch.linalg.eigvalsh(before)
    model = IncrementModel(0.0, torch.zeros(4, **F64), after - before)
    formula, exact = float(spectral_formula(d, 0.6)), quadrature(model, 0.6)
    if shared:
        assert math.isclose(formula, exact, rel_tol=1e-12)
    else:
        assert formula < 0.99 * exact


def test_spectral_formula_over_leading_dimensions():
    d = torch.randn(5, 3, generator=generator(), **F64)
    expected = torch.stack([spectral_formula(row, 0.5) for row in d])
    torch.testing.assert_close(spectral_formula(d, 0.5), expected)
    s = 0.5**4 / 4
    assert math.isclose(spectral_formula([1.0, -2.0], 0.5), s * (2 * 5 + 1), rel_tol=1e-14)


# -- averaging identities ------------------------------------------------------------------------

LOSSES = [Fraction(x) for x in (1, 4, -2, 7, 11)]


def mean_over_all_orders(losses, k):
    orders = list(itertools.permutations(losses))
    squares = [(sum(o[: k + 1]) / (k + 1) - sum(o[:k]) / k) ** 2 for o in orders]
    return sum(squares) / len(orders)


@pytest.mark.parametrize("k", [1, 2, 3, 4], ids="k={}".format)
def test_permutation_mean_is_the_mean_over_all_orders(k):
    exact = mean_over_all_orders(LOSSES, k)
    losses = torch.tensor([float(x) for x in LOSSES], **F64)
    assert math.isclose(permutation_mean(losses, k), exact, rel_tol=1e-14)
    biased = losses.var(correction=0) / (k * (k + 1))
    assert not math.isclose(biased, exact, rel_tol=0.1)
    assert not math.isclose(losses.var() / k**2, exact, rel_tol=0.1)


@settings(deadline=None)
@given(st.lists(loss_value, min_size=3, max_size=12))
def test_k_times_k_plus_1_times_the_mean_is_constant(losses):
    losses = torch.tensor(losses, **F64)
    scaled = [k * (k + 1) * float(permutation_mean(losses, k)) for k in range(1, len(losses))]
    assert np.ptp(scaled) <= 1e-12 * max(scaled)


@settings(deadline=None)
@given(st.data(), st.lists(loss_value, min_size=2, max_size=12))
def test_next_sample_mean_is_a_loop_over_the_unseen(data, losses):
    k = data.draw(st.integers(1, len(losses) - 1))
    squares = [
        (np.mean([*losses[:k], losses[i]]) - np.mean(losses[:k])) ** 2
        for i in range(k, len(losses))
    ]
    ours = float(next_sample_mean(torch.tensor(losses, **F64), k))
    assert math.isclose(ours, np.mean(squares), rel_tol=1e-9, abs_tol=1e-9)


def test_averaging_the_next_sample_over_all_orders_gives_the_permutation_mean():
    k = 2
    values = [
        float(next_sample_mean(torch.tensor([float(x) for x in order], **F64), k))
        for order in itertools.permutations(LOSSES)
    ]
    assert math.isclose(np.mean(values), mean_over_all_orders(LOSSES, k), rel_tol=1e-12)


@pytest.mark.parametrize("mean", [permutation_mean, next_sample_mean])
def test_several_points_at_once(mean):
    losses = torch.randn(6, 3, generator=generator(), **F64)
    expected = torch.stack([mean(losses[:, j], 2) for j in range(3)])
    torch.testing.assert_close(mean(losses, 2), expected)
