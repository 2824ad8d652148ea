"""Trace and density of a spectrum from random vectors.

Oracles: dense traces, powers and eigenvalues of matrices with a known spectrum; the exact variance
of Hutchinson's draws; the estimators' own standard errors over many seeds; x'H^p x by repeated
multiplication; curvlinops, loosely. Wrong on purpose: Gaussian vectors where signs were asked for,
a trace that counts the sketch twice, equal weights for all nodes, known eigenvalues counted again.
"""

import math

import pytest
import torch
from draws import F64, generator, randn
from hypothesis import given, settings
from hypothesis import strategies as st

from landscape_nb import (
    Eigenpairs,
    GaussNewtonOperator,
    SpectralDensity,
    hutchinson_trace,
    hutchpp_trace,
    spectral_density,
    top_eigenpairs,
)
from landscape_nb.numerics.krylov import lanczos_quadrature
from landscape_nb.numerics.operators import as_operator
from landscape_nb.theory import spectrum as spectrum_module
from landscape_nb.theory.criteria import mean_and_standard_error


def rotated(eigenvalues, seed=3):
    """A symmetric matrix with just these eigenvalues, and its eigenvectors."""
    values = torch.as_tensor(eigenvalues, **F64)
    Q = torch.linalg.qr(randn(len(values), len(values), seed=seed)).Q
    A = Q @ (values[:, None] * Q.T)
    return (A + A.T) / 2, Q


def times(A):
    return lambda V: A @ V


def pairs_of(values, Q, chosen):
    """Exact eigenpairs, as `known` takes them."""
    values = torch.as_tensor(values, **F64)[chosen]
    return Eigenpairs(values, Q[:, chosen], torch.zeros_like(values), math.inf, 0)


POWER = [3.0 / (i + 1) ** 2 for i in range(60)]
INDEFINITE = [5.0, -4.0, 2.0, *torch.linspace(-1, 1, 37).tolist()]
CLUSTERS = [0.0] * 20 + [1.0] * 12 + [5.0] * 8


# -- averages --------------------------------------------------------------------------------------


def test_mean_and_standard_error_against_numpys_formulas():
    draws = randn(3, 7)
    estimate = mean_and_standard_error(draws, draws)
    torch.testing.assert_close(estimate.value, draws.sum(1) / 7, rtol=0, atol=1e-15)
    spread = (draws - draws.mean(1, keepdim=True)).square().sum(1) / 6
    torch.testing.assert_close(estimate.stderr, (spread / 7).sqrt(), rtol=0, atol=1e-15)
    assert estimate.num_draws == 7
    assert mean_and_standard_error(draws, draws.float()).stderr.dtype == torch.float32


# -- traces ----------------------------------------------------------------------------------------

TRACES = {
    "Hutchinson": lambda A, m, g: hutchinson_trace(A, m, g),
    "Hutch++": lambda A, m, g: hutchpp_trace(A, 3 * m, g),
}
both = pytest.mark.parametrize("trace", TRACES.values(), ids=TRACES.keys())
SEEDS = 300


@pytest.fixture(scope="module")
def many():
    """Values and standard errors of both estimators, over many seeds."""
    found = {}
    for name, A in {"power": rotated(POWER)[0], "indefinite": rotated(INDEFINITE)[0]}.items():
        for estimator, trace in TRACES.items():
            runs = [trace(A, 10, generator(seed)) for seed in range(SEEDS)]
            values, errors = (
                torch.stack([getattr(r, x) for r in runs]) for x in ("value", "stderr")
            )
            found[estimator, name] = values, errors, A.trace()
    return found


@pytest.mark.parametrize("matrix", ["power", "indefinite"])
@pytest.mark.parametrize("estimator", TRACES)
def test_traces_are_unbiased(many, estimator, matrix):
    values, _, exact = many[estimator, matrix]
    assert abs(values.mean() - exact) < 4 * values.std() / SEEDS**0.5
    for wrong in (0, 2 * exact):  # a lost or a doubled part would be seen
        assert abs(values.mean() - wrong) > 4 * values.std() / SEEDS**0.5


@pytest.mark.parametrize("matrix", ["power", "indefinite"])
@pytest.mark.parametrize("estimator", TRACES)
def test_standard_errors_are_calibrated(many, estimator, matrix):
    """The mean square error is the mean squared standard error, to the noise of 300 seeds."""
    values, errors, exact = many[estimator, matrix]
    fair = ((values - exact).square().mean() / errors.square().mean()).sqrt()
    assert 0.85 < fair < 1.15
    forgotten_root = ((values - exact).square().mean() / (10 * errors.square()).mean()).sqrt()
    assert not 0.85 < forgotten_root < 1.15


@pytest.mark.parametrize("matrix", [POWER, INDEFINITE], ids=["power", "indefinite"])
def test_z_scores_have_unit_spread(matrix):
    """One estimate's error over its own standard error, with 40 probes: nearly normal."""
    A, _ = rotated(matrix)
    runs = [hutchinson_trace(A, 40, generator(seed)) for seed in range(SEEDS)]
    z = torch.stack([(run.value - A.trace()) / run.stderr for run in runs])
    assert 0.85 < z.std() < 1.15
    assert abs(z.mean()) < 0.35  # skewed draws correlate value and error


def test_the_variance_of_a_draw_is_twice_the_squares_off_the_diagonal():
    """Against the exact variance, within the noise that a sample variance of these draws has."""
    A, _ = rotated(INDEFINITE)
    A = A + torch.diag(torch.arange(40.0, **F64) / 4)  # a diagonal that normal vectors would feel
    m = 4000
    found = m * hutchinson_trace(A, m, generator()).stderr.square()
    V = 2 * torch.randint(2, (40, m), generator=generator(1)).double() - 1
    forms = (V * (A @ V)).sum(0)
    kurtosis = (forms - forms.mean()).pow(4).mean() / forms.var().square()
    noise = ((kurtosis - 1) / m).sqrt()
    exact = 2 * (A.square().sum() - A.diagonal().square().sum())
    assert abs(found / exact - 1) < 4 * noise < 0.2
    for wrong in (exact / 2, 2 * A.square().sum()):  # pairs counted once; normal vectors
        assert abs(found / wrong - 1) > 4 * noise


def test_a_diagonal_is_exact():
    d = randn(50)
    estimate = hutchinson_trace(lambda V: d[:, None] * V, d, 2, generator())
    assert abs(estimate.value - d.sum()) < 1e-13 and estimate.stderr < 1e-13
    V = torch.randn(50, 100, generator=generator(), **F64)  # normal vectors would not be
    assert (V * d[:, None] * V).sum(0).std() > 1


@pytest.mark.parametrize("rank", [1, 4, 8], ids="rank={}".format)
def test_hutchpp_of_a_low_rank_is_exact(rank):
    values = [5.0, -4.0, 3.0, 2.5, -2.0, 1.5, 1.0, 0.5][:rank] + [0.0] * (60 - rank)
    A, _ = rotated(values)
    estimate = hutchpp_trace(A, 3 * 8, generator())
    assert abs(estimate.value - sum(values)) < 1e-11 and estimate.stderr < 1e-11
    assert estimate.num_draws == 8
    assert hutchinson_trace(A, 24, generator()).stderr > 0.1


def test_hutchpp_of_a_high_rank_needs_the_part_outside():
    """The sketch alone is wrong by far more than the estimate; counted twice, too."""
    A, _ = rotated(torch.linspace(0.5, 2, 60))
    errors = []
    for seed in range(20):
        g = generator(seed)
        estimate = hutchpp_trace(A, 24, g).value
        Q = torch.linalg.qr(A @ spectrum_module.random_signs(as_operator(A), 8, generator(seed))).Q
        inside = (Q * (A @ Q)).sum()
        plain = hutchinson_trace(A, 8, generator(seed + 100)).value
        errors.append([estimate, inside, inside + plain])
    bias = torch.tensor(errors, **F64).mean(0) - A.trace()
    assert bias[0].abs() < 0.05 * bias[1:].abs().min()


def test_hutchpp_wins_where_few_eigenvalues_carry_the_trace_and_loses_where_all_do():
    """Root mean square errors at equal products; measured: 3, 58 and 1000 times smaller."""

    def error(A, products):
        plain, better = (
            torch.stack([f(A, products, generator(s)).value for s in range(100)])
            for f in (hutchinson_trace, hutchpp_trace)
        )
        return [(x - A.trace()).square().mean().sqrt() for x in (plain, better)]

    decaying, _ = rotated([2.0**-i for i in range(60)])
    for products, factor in ((12, 2), (24, 15), (36, 100)):
        plain, better = error(decaying, products)
        assert better < plain / factor
    flat, _ = rotated([1.0, -1.0] * 60)
    plain, better = error(flat, 24)
    assert 1.2 * plain < better < 2.5 * plain  # a third of the probes: sqrt(3)


@both
@pytest.mark.parametrize("seed", range(3), ids="seed={}".format)
def test_traces_of_a_loss(mlp_problem, trace, seed):
    p = mlp_problem(widths=(4, 6, 3), l2=0.01)
    for H in (p.loss.hessian_operator(p.w, 10), GaussNewtonOperator(p.loss, p.w, 10)):
        estimate = trace(H.dense(), 15, generator(seed))
        assert abs(estimate.value - H.dense().trace()) < 4.5 * estimate.stderr
        before = H.products
        by_products = (
            hutchinson_trace(H, 15, generator(seed))
            if trace is TRACES["Hutchinson"]
            else hutchpp_trace(H, 45, generator(seed))
        )
        assert abs(by_products.value - estimate.value) < 1e-10
        assert H.products - before == (15 if trace is TRACES["Hutchinson"] else 45)


@pytest.mark.parametrize("products", [6, 7, 8, 9], ids="products={}".format)
def test_hutchpp_spends_its_products_in_threes(products):
    A, _ = rotated(POWER)
    columns = []

    def counted(V):
        columns.append(V.shape[1])
        return A @ V

    estimate = hutchpp_trace(counted, A[0], products, generator())
    assert sum(columns) == products // 3 * 3 <= products
    assert estimate.num_draws == products // 3


def test_probes_go_in_blocks_and_blocks_change_nothing(monkeypatch):
    A, _ = rotated(POWER)
    widths = []

    def watched(V):
        widths.append(V.shape[1])
        return A @ V

    whole = hutchinson_trace(watched, A[0], 50, generator())
    assert widths == [50]
    widths.clear()
    monkeypatch.setattr(spectrum_module, "BLOCK", 60 * 8)
    parts = hutchinson_trace(watched, A[0], 50, generator())
    assert widths == [8] * 6 + [2]
    assert parts.num_draws == whole.num_draws == 50
    assert abs(parts.value - A.trace()) < 4 * parts.stderr
    monkeypatch.setattr(spectrum_module, "BLOCK", 1)  # a vector larger than a block
    assert hutchinson_trace(watched, A[0], 3, generator()).num_draws == 3


@both
def test_traces_in_float32(trace):
    A, _ = rotated(POWER)
    single, double = trace(A.float(), 10, generator()), trace(A, 10, generator())
    assert single.value.dtype == single.stderr.dtype == torch.float32
    assert abs(single.value - double.value) < 1e-4
    assert abs(single.stderr - double.stderr) < 1e-4


@both
def test_the_generator_alone_decides(trace):
    A, _ = rotated(POWER)
    state = torch.get_rng_state()
    g = generator(5)
    first, second = trace(A, 4, g), trace(A, 4, g)
    assert torch.equal(first.value, trace(A, 4, generator(5)).value)
    assert not torch.equal(first.value, second.value)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", ["hutchinson_trace", "hutchpp_trace"])
def test_traces_agree_with_curvlinops(name):
    curvlinops = pytest.importorskip("curvlinops")
    if not hasattr(curvlinops, name):
        pytest.skip("this version of curvlinops has no such function")
    A, _ = rotated(POWER)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = torch.stack([getattr(curvlinops, name)(A, 24) for _ in range(100)])
    ours = torch.stack(
        [getattr(spectrum_module, name)(A, 24, generator(s)).value for s in range(100)]
    )
    combined = ((theirs.var() + ours.var()) / 100).sqrt()
    assert abs(theirs.mean() - ours.mean()) < 4 * combined
    assert 0.5 < ours.std() / theirs.std() < 2


# -- Gauss quadrature of one vector ----------------------------------------------------------------


def moments_by_multiplication(A, x, powers):
    """x'A^p x / x'x."""
    x = x / x.norm()
    found, y = [], x
    for _ in range(powers):
        found.append(x @ y)
        y = A @ y
    return torch.stack(found)


SPECTRA = {"power": POWER, "indefinite": INDEFINITE, "clusters": CLUSTERS}
spectra = pytest.mark.parametrize("spectrum", SPECTRA.values(), ids=SPECTRA.keys())


@spectra
@pytest.mark.parametrize("m", [1, 3, 6], ids="m={}".format)
def test_quadrature_is_exact_up_to_degree_2m_minus_1(spectrum, m):
    A, _ = rotated(spectrum)
    A = A / A.norm(2)
    x = randn(len(A))
    nodes, weights = lanczos_quadrature(as_operator(A), x, m)
    expected = moments_by_multiplication(A, x, 2 * m + 1)
    found = torch.stack([(weights * nodes**p).sum() for p in range(2 * m + 1)])
    torch.testing.assert_close(found[:-1], expected[:-1], rtol=0, atol=1e-10)
    assert (nodes.diff() > 0).all() and (weights >= 0).all()
    if spectrum is not CLUSTERS:  # whose three eigenvalues need no more than three nodes
        assert len(nodes) == m
        assert m > 3 or abs(found[-1] - expected[-1]) > 1e-6  # no better than it says
        assert m == 1 or abs(nodes.mean() - expected[1]) > 1e-3  # and not without the weights


def assert_shares(nodes, weights, values, Q, x):
    """The quadrature is the whole of what x sees: an eigenvalue's share, and nothing elsewhere.

    Rounding may open one more direction: a copy of an eigenvalue that takes a part of its weight.
    """
    shares, values = (Q.T @ x).square() / x.square().sum(), torch.as_tensor(values, **F64)
    seen = 0
    for v in values.unique():
        here = (nodes - v).abs() < 1e-7
        assert abs(weights[here].sum() - shares[values == v].sum()) < 1e-7
        seen = seen + weights[here].sum()
    assert abs(seen - 1) < 1e-12


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    st.lists(st.integers(-8, 8), min_size=1, max_size=9),
    st.integers(1, 12),
    st.integers(0, 99),
)
def test_property_quadrature_of_any_spectrum(eigenvalues, m, seed):
    values = [x / 8 for x in eigenvalues]
    A, Q = rotated(values, seed)
    x = randn(len(A), seed=seed + 1)
    nodes, weights = lanczos_quadrature(as_operator(A), x, m)
    assert min(m, len(set(values))) <= len(nodes) <= m
    assert abs(weights.sum() - 1) < 1e-12
    if m >= len(set(values)):
        assert_shares(nodes, weights, values, Q, x)
    expected = moments_by_multiplication(A, x, 2 * len(nodes))
    found = torch.stack([(weights * nodes**p).sum() for p in range(2 * len(nodes))])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


def test_only_the_direction_of_the_start_matters():
    A, _ = rotated(INDEFINITE)
    x = randn(40)
    nodes, weights = lanczos_quadrature(as_operator(A), x, 5)
    for scale in (1e6, -1e-6):
        again = lanczos_quadrature(as_operator(A), scale * x, 5)
        torch.testing.assert_close(again[0], nodes, rtol=0, atol=1e-10)
        torch.testing.assert_close(again[1], weights, rtol=0, atol=1e-10)


@pytest.mark.parametrize("spectrum", [INDEFINITE, CLUSTERS], ids=["indefinite", "clusters"])
def test_all_steps_give_the_eigenvalues_and_the_start_in_their_basis(spectrum):
    A, Q = rotated(spectrum)
    x = randn(40)
    nodes, weights = lanczos_quadrature(as_operator(A), x, 40)
    assert_shares(nodes, weights, spectrum, Q, x)
    if spectrum is INDEFINITE:
        expected = torch.tensor(sorted(spectrum), **F64)
        torch.testing.assert_close(nodes, expected, rtol=0, atol=1e-9)
    with pytest.raises(AssertionError):
        assert_shares(nodes, torch.full_like(weights, 1 / len(nodes)), spectrum, Q, x)


def test_no_ghosts_after_an_eigenvalue_has_converged():
    """Lanczos without re-orthogonalisation finds the outlier again and again; once is right."""
    values = [100.0, *torch.linspace(0, 1, 199).tolist()]
    A, _ = rotated(values)
    x = randn(200)
    nodes, weights = lanczos_quadrature(as_operator(A), x, 60)
    assert int((nodes > 50).sum()) == 1
    V, alpha, beta = [x / x.norm()], [], []  # textbook three-term recurrence
    for j in range(60):
        y = A @ V[-1] - (beta[-1] * V[-2] if j else 0)
        alpha.append(V[-1] @ y)
        y = y - alpha[-1] * V[-1]
        beta.append(y.norm())
        V.append(y / beta[-1])
    T = torch.diag(torch.stack(alpha))
    T = T + torch.diag(torch.stack(beta[:-1]), 1) + torch.diag(torch.stack(beta[:-1]), -1)
    assert int((torch.linalg.eigvalsh(T) > 50).sum()) > 1


def test_known_eigenvectors_stay_out_of_the_krylov_space():
    A, Q = rotated(INDEFINITE)
    x = randn(40)
    outside = x - Q[:, :3] @ (Q[:, :3].T @ x)
    found = lanczos_quadrature(as_operator(A), x, 8, Q[:, :3])
    expected = lanczos_quadrature(as_operator(A), outside, 8)
    torch.testing.assert_close(found[0], expected[0], rtol=0, atol=1e-10)
    torch.testing.assert_close(found[1], expected[1], rtol=0, atol=1e-10)
    assert found[0].abs().max() < 1 + 1e-9  # 5, -4 and 2 are gone
    assert lanczos_quadrature(as_operator(A), x, 8)[0].max() > 4.9


# -- densities -------------------------------------------------------------------------------------


@spectra
def test_moments_are_unbiased_and_their_errors_fair(spectrum):
    A, _ = rotated(spectrum)
    exact = torch.tensor(spectrum, **F64)
    density = spectral_density(A, 300, generator(), steps=3)
    assert density.num_params == len(A) and density.known.shape == (0,)
    for p in range(6):  # p < 2 steps
        moment = density.moment(p)
        assert abs(moment.value - (exact**p).mean()) <= 4 * moment.stderr + 1e-12
        assert moment.num_draws == 300
    assert abs(density.moment(0).value - 1) < 1e-12 and density.moment(0).stderr < 1e-12
    equal = (density.nodes**2).mean(1)
    assert abs(equal.mean() - (exact**2).mean()) > 4 * equal.std() / 300**0.5


def test_each_row_is_the_quadrature_of_one_probe():
    A, _ = rotated(POWER)
    density = spectral_density(A, 4, generator(2), steps=5)
    assert density.nodes.shape == density.weights.shape == (4, 5)
    g = generator(2)
    for nodes, weights in zip(density.nodes, density.weights, strict=True):
        x = torch.randn(60, generator=g, **F64)
        expected = moments_by_multiplication(A, x, 10)
        found = torch.stack([(weights * nodes**p).sum() for p in range(10)])
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
    by_moments = torch.stack([density.moment(p).value for p in range(10)])
    rows = (density.weights[:, None] * density.nodes[:, None] ** torch.arange(10)[:, None]).sum(2)
    torch.testing.assert_close(by_moments, rows.mean(0), rtol=0, atol=1e-12)


def test_moments_beyond_the_quadrature_are_biased():
    """Degree 2 m is too much: with one node it gives (x'Hx)^2, too small an average square."""
    A, _ = rotated(INDEFINITE)
    density = spectral_density(A, 300, generator(), steps=1)
    exact = torch.tensor(INDEFINITE, **F64)
    assert abs(density.moment(1).value - exact.mean()) < 4 * density.moment(1).stderr
    variance = 2 * (exact.square().sum() - exact.sum() ** 2 / 40) / (40 * 42)  # of x'Hx
    square = density.moment(2)
    assert abs(square.value - variance - exact.mean() ** 2) < 4 * square.stderr
    assert square.value < exact.square().mean() - 4 * square.stderr


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    st.lists(st.integers(-6, 6), min_size=2, max_size=9),
    st.integers(1, 12),
    st.integers(0, 9),
    st.integers(0, 99),
)
def test_property_weights_are_shares(eigenvalues, steps, num_known, seed):
    """They add up to 1 with the known ones, whatever the spectrum; D = N known included."""
    values = [float(x) for x in eigenvalues]
    N = len(values)
    A, Q = rotated(values, seed)
    D = min(num_known, N)
    known = pairs_of(values, Q, slice(D)) if D else None
    density = spectral_density(A, 2, generator(seed), steps=steps, known=known)
    total = density.weights.sum(1) + D / N
    torch.testing.assert_close(total, torch.ones(2, **F64), rtol=0, atol=1e-12)
    assert (density.weights >= 0).all()
    rest = len({*eigenvalues[D:]})
    assert min(steps, rest) <= density.nodes.shape[1] <= min(steps, N - D)
    assert abs(density.fraction(-7, 7).value - 1) < 1e-7
    assert abs(density.moment(0).value - 1) < 1e-12
    if steps >= rest:  # all eigenvalues are nodes, so that there is nothing else inside
        between = density.fraction(0.25, 0.75)
        assert between.value < 1e-7 and between.stderr < 1e-7


@pytest.mark.parametrize("steps", [3, 4, 60], ids="steps={}".format)
def test_repeated_eigenvalues_end_the_krylov_space(steps):
    A, _ = rotated(CLUSTERS)
    density = spectral_density(A, 5, generator(), steps=steps)
    assert 3 <= density.nodes.shape[1] <= 5  # but for a direction of rounding errors
    for nodes, weights in zip(density.nodes, density.weights, strict=True):
        found = nodes[weights > 1e-12].round(decimals=6).unique()
        torch.testing.assert_close(found, torch.tensor([0.0, 1.0, 5.0], **F64), rtol=0, atol=0)


def test_rows_of_unequal_length_are_padded_with_weight_zero(monkeypatch):
    """A probe inside an invariant subspace sees fewer nodes than the others."""
    A = torch.diag(torch.tensor([1.0, 2.0, 3.0, 4.0], **F64))
    probes = iter([torch.tensor([1.0, 0, 0, 1.0], **F64), torch.ones(4, **F64)])
    monkeypatch.setattr(spectrum_module.torch, "randn", lambda *_, **__: next(probes))
    density = spectral_density(A, 2, generator())
    monkeypatch.undo()
    assert density.nodes.shape == (2, 4)
    torch.testing.assert_close(density.nodes[0], torch.tensor([1.0, 4, 4, 4], **F64))
    torch.testing.assert_close(density.weights[0], torch.tensor([0.5, 0.5, 0, 0], **F64))
    torch.testing.assert_close(density.nodes[1], torch.tensor([1.0, 2, 3, 4], **F64))
    torch.testing.assert_close(density.weights[1], torch.full((4,), 0.25, **F64))
    assert density.fraction(3.5, 9).value == pytest.approx((0.5 + 0.25) / 2)


@pytest.mark.parametrize("A", [torch.zeros(6, 6, **F64), 2 * torch.eye(6, **F64)], ids=["0", "2 I"])
def test_one_eigenvalue_only(A):
    density = spectral_density(A, 3, generator())
    assert density.nodes.shape == (3, 1)
    assert (density.nodes - A[0, 0]).abs().max() < 1e-14
    torch.testing.assert_close(density.weights, torch.ones(3, 1, **F64), rtol=0, atol=1e-14)


@spectra
@pytest.mark.parametrize("D", [1, 5], ids="D={}".format)
def test_what_is_known_is_exact_and_counted_once(spectrum, D):
    A, Q = rotated(spectrum)
    N, exact = len(A), torch.tensor(spectrum, **F64)
    chosen = exact.abs().argsort(descending=True)[:D]
    density = spectral_density(
        times(A), A[0], 100, generator(), steps=4, known=pairs_of(exact, Q, chosen)
    )
    torch.testing.assert_close(density.known, exact[chosen], rtol=0, atol=0)
    rest = exact[[i for i in range(N) if i not in chosen]]
    assert density.nodes.abs().max() <= rest.abs().max() + 1e-9
    share = torch.full((100,), 1 - D / N, **F64)
    torch.testing.assert_close(density.weights.sum(1), share, rtol=0, atol=1e-12)
    for p in range(1, 8):
        moment = density.moment(p)
        assert abs(moment.value - (exact**p).mean()) <= 4 * moment.stderr + 1e-12
    plain = spectral_density(A, 100, generator(), steps=4)
    assert density.moment(2).stderr < plain.moment(2).stderr
    again = plain.moment(2).value + (exact[chosen] ** 2).sum() / N  # removed from nowhere
    assert abs(again - (exact**2).mean()) > 4 * density.moment(2).stderr


def test_all_known_needs_no_probe():
    A, Q = rotated(INDEFINITE)

    def never(V):
        raise AssertionError

    density = spectral_density(
        never, A[0], 3, generator(), known=pairs_of(INDEFINITE, Q, slice(None))
    )
    assert density.nodes.shape == density.weights.shape == (3, 0)
    exact = torch.tensor(INDEFINITE, **F64)
    for p in range(4):
        assert abs(density.moment(p).value - (exact**p).mean()) < 1e-13
        assert density.moment(p).stderr == 0
    for low, high in ((-9, 0), (-1, 1), (1.5, 9)):
        share = ((exact >= low) & (exact < high)).double().mean()
        assert abs(density.fraction(low, high).value - share) < 1e-14


def test_a_known_share_is_exact_in_float64():
    """1/3 has no end in binary: rounded to float32 it would be off by 1e-8."""
    A = torch.diag(torch.tensor([1.0, 2.0, 3.0], **F64))
    known = pairs_of([1.0, 2.0, 3.0], torch.eye(3, **F64), slice(1))
    density = spectral_density(A, 2, generator(), known=known)
    assert abs(density.fraction(0, 1.5).value - 1 / 3) < 1e-14
    assert abs(density.fraction(0, 9).value - 1) < 1e-14


def test_a_share_counts_the_lower_end_but_not_the_upper():
    nodes, known = torch.tensor([[1.0, 2.0]], **F64).expand(2, 2), torch.tensor([1.0, 2.0], **F64)
    density = SpectralDensity(nodes, torch.full((2, 2), 0.25, **F64), known, 4)
    shares = [((0, 1), 0.0), ((1, 2), 0.5), ((1, 2.5), 1.0), ((2, 3), 0.5), ((2.5, 3), 0.0)]
    for (low, high), share in shares:
        assert abs(density.fraction(low, high).value - share) < 1e-14


def test_shares_of_clusters_are_those_of_the_histogram():
    """Three values, and bulks around three values with enough steps to tell them apart."""
    spread = [v + 0.01 * math.sin(7 * i) for i, v in enumerate(CLUSTERS)]
    for values, steps in ((CLUSTERS, 10), (spread, 20)):
        A, _ = rotated(values)
        density = spectral_density(A, 100, generator(), steps=steps)
        for low, high, share in ((-1, 0.5, 20 / 40), (0.5, 3, 12 / 40), (3, 9, 8 / 40)):
            found = density.fraction(low, high)
            assert abs(found.value - share) < 4 * found.stderr
            assert found.stderr < 0.02
            assert abs(found.value - (share + 0.1)) > 4 * found.stderr  # four eigenvalues more
        assert density.fraction(-1, 0.5).value > 1 / 3 + 0.1  # nodes counted without weights


def test_the_spread_of_a_share_is_that_of_a_random_subspace():
    """The share that a probe sees of 12 directions in 40 is Beta(6, 14)."""
    A, _ = rotated(CLUSTERS)
    m = 600
    found = spectral_density(A, m, generator(), steps=3).fraction(0.5, 3)
    variance = m * found.stderr.square() / (0.3 * 0.7 / (12 / 2 + 28 / 2 + 1))
    noise = (2 / (m - 1)) ** 0.5  # chi-square; Beta has lighter tails than the normal
    assert abs(variance - 1) < 4 * noise
    for wrong in (2 / m**0.5, 20):  # another power of m; one of the 20 directions of a pair
        assert abs(variance * wrong - 1) > 4 * noise


@pytest.mark.parametrize("D", [0, 3], ids="D={}".format)
@pytest.mark.parametrize("width", [0.05, 0.5], ids="width={}".format)
def test_the_smooth_density_integrates_to_one(D, width):
    A, Q = rotated(INDEFINITE)
    known = pairs_of(INDEFINITE, Q, slice(D)) if D else None
    density = spectral_density(A, 5, generator(), steps=12, known=known)
    grid = torch.linspace(-12, 12, 6001, **F64)
    curve = density.smooth(grid, width)
    assert curve.shape == grid.shape and (curve >= 0).all()
    assert abs(torch.trapezoid(curve, grid) - 1) < 1e-9
    mean = torch.trapezoid(curve * grid, grid)
    assert abs(mean - density.moment(1).value) < 1e-9
    spread = torch.trapezoid(curve * grid**2, grid)
    assert abs(spread - density.moment(2).value - width**2) < 1e-9  # width: a standard deviation


def test_the_smooth_density_of_a_fully_known_spectrum_is_a_sum_of_gaussians():
    A, Q = rotated(INDEFINITE)
    density = spectral_density(
        times(A), A[0], 2, generator(), known=pairs_of(INDEFINITE, Q, slice(None))
    )
    grid = torch.linspace(-6, 6, 50, **F64)
    normal = torch.distributions.Normal(torch.tensor(INDEFINITE, **F64), 0.2)
    expected = normal.log_prob(grid[:, None]).exp().mean(1)
    torch.testing.assert_close(density.smooth(grid, 0.2), expected, rtol=0, atol=1e-12)
    whole_numbers = density.smooth(torch.arange(-3, 4), 0.2)
    expected = normal.log_prob(torch.arange(-3, 4)[:, None]).exp().mean(1)
    torch.testing.assert_close(whole_numbers, expected, rtol=0, atol=1e-12)


def test_density_in_float32():
    A, Q = rotated(INDEFINITE)
    single = spectral_density(times(A.float()), A[0].float(), 20, generator(), steps=6)
    double = spectral_density(A, 20, generator(), steps=6)
    assert single.nodes.dtype == single.weights.dtype == torch.float64
    torch.testing.assert_close(single.nodes, double.nodes, rtol=0, atol=1e-4)
    for p in range(6):
        a, b = single.moment(p), double.moment(p)
        assert abs(a.value - b.value) < 1e-4 * (1 + b.value.abs())
    exact = pairs_of(INDEFINITE, Q, slice(3))
    known = Eigenpairs(exact.values.float(), exact.vectors.float(), exact.residuals, math.inf, 0)
    density = spectral_density(times(A.float()), A[0].float(), 20, generator(), known=known)
    assert density.nodes.abs().max() < 1 + 1e-4
    total = density.weights.sum(1) + 3 / 40
    torch.testing.assert_close(total, torch.ones(20, **F64), rtol=0, atol=1e-6)


def test_the_density_of_a_loss_with_its_top_known(mlp_problem):
    p = mlp_problem(widths=(4, 6, 3))
    exact = torch.linalg.eigvalsh(p.loss.hessian(p.w, 10))
    H = p.loss.hessian_operator(p.w, 10)
    known = top_eigenpairs(p.loss, p.w, 10, 4, tol=1e-8)
    before = H.products
    density = spectral_density(H, p.w, 10, generator(), steps=20, known=known)
    assert H.products - before == 10 * 20
    assert density.nodes.max() < exact[-5] + 1e-6
    for k in (1, 2, 3):
        moment = density.moment(k)
        assert abs(moment.value - (exact**k).mean()) < 4.5 * moment.stderr
    negative = density.fraction(-99, -1e-6)
    assert abs(negative.value - (exact < -1e-6).double().mean()) < 4.5 * negative.stderr + 0.05


def test_the_generator_alone_decides_the_density():
    A, _ = rotated(POWER)
    state = torch.get_rng_state()
    first = spectral_density(A, 3, generator(5), steps=4)
    again = spectral_density(A, 3, generator(5), steps=4)
    other = spectral_density(A, 3, generator(6), steps=4)
    assert torch.equal(first.nodes, again.nodes) and torch.equal(first.weights, again.weights)
    assert not torch.equal(first.nodes, other.nodes)
    assert torch.equal(torch.get_rng_state(), state)


def test_density_agrees_with_curvlinops(mlp_problem):
    """Their smoothing is their own: compare the shares on either side of two cuts, and the mean."""
    curvlinops = pytest.importorskip("curvlinops")
    if not hasattr(curvlinops, "lanczos_approximate_spectrum"):
        pytest.skip("this version of curvlinops has no such function")
    p = mlp_problem(n=3, widths=(8, 8, 3))
    torch.nn.utils.vector_to_parameters(p.w.clone(), p.model.parameters())
    H = curvlinops.HessianLinearOperator(
        p.model, torch.nn.CrossEntropyLoss(), list(p.model.parameters()), [(p.x, p.y)]
    )
    A = p.loss.hessian(p.w, 3)
    exact = torch.linalg.eigvalsh(A)
    low, high = float(exact[0]), float(exact[-1])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        grid, theirs = curvlinops.lanczos_approximate_spectrum(
            H,
            15,
            num_repeats=4,
            kappa=10,
            boundaries=(low, high),  # 0.04 s a product
        )
    theirs = theirs / torch.trapezoid(theirs, grid)
    density = spectral_density(times(A), p.w, 20, generator(), steps=15)
    ours = density.smooth(grid, 0.03 * (high - low))
    for power in (1, 2):
        found, moment = torch.trapezoid(theirs * grid**power, grid), density.moment(power)
        assert abs(found - moment.value) < 4 * moment.stderr + 0.3 * (exact.abs() ** power).mean()
    for cut in (0.25, 0.5):
        right = grid > low + cut * (high - low)
        shares = [torch.trapezoid(curve * right, grid) for curve in (ours, theirs)]
        assert abs(shares[0] - shares[1]) < 0.08
