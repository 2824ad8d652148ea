"""One protocol for every operator, and the calls of earlier versions.

Oracles: dense matrices, and dense Hessians by torch.func. Wrong on purpose: a function that is no
operator, a vector of another length.
"""

import pytest
import torch
from draws import F64, generator, randn
from torch.func import hessian

import landscape_nb as ln
from landscape_nb.numerics import checks
from landscape_nb.numerics.krylov import lanczos_quadrature
from landscape_nb.numerics.operators import as_operator

A = randn(6, 6) + randn(6, 6).T
KINDS = {
    "Hessian": lambda p: p.loss.hessian_operator(p.w, 7),
    "Gauss-Newton": lambda p: ln.GaussNewtonOperator(p.loss, p.w, 7),
    "minus the Hessian": lambda p: -p.loss.hessian_operator(p.w, 7),
    "a function": lambda p: ln.ProductOperator(lambda V: 2 * V, p.w),
    "a matrix": lambda p: as_operator(torch.eye(p.N, **F64)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_operator_has_shape_dtype_device_and_counts_its_products(mlp_problem, kind):
    p = mlp_problem()
    H = KINDS[kind](p)
    assert (tuple(H.shape), H.dtype, H.device) == ((p.N, p.N), p.w.dtype, p.w.device)
    V = randn(p.N, 3)
    assert (H @ V).shape == V.shape and (H @ V[:, 0]).shape == (p.N,)
    assert H.products == 4
    assert torch.equal(H(V), H @ V)
    torch.testing.assert_close(H.dense() @ V, H @ V, rtol=0, atol=1e-12)
    torch.testing.assert_close((-H) @ V, -(H @ V), rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("V", "says"),
    [
        (lambda N: torch.ones(N + 1, **F64), "V must be one direction of shape"),
        (lambda N: torch.ones(N), "V has dtype torch.float32"),
        (lambda N: [0.0] * N, "got list"),
    ],
)
def test_a_direction_that_does_not_fit_is_refused_alike(mlp_problem, kind, V, says):
    p = mlp_problem()
    H = KINDS[kind](p)
    with pytest.raises(ValueError, match=says):
        H @ V(p.N)
    assert H.products == 0


def test_a_solvers_own_products_are_not_checked_again(mlp_problem, monkeypatch):
    p, checked = mlp_problem(), []
    true_check = checks.directions
    monkeypatch.setattr(checks, "directions", lambda *a: checked.append(a) or true_check(*a))
    pairs = ln.top_eigenpairs(p.loss, p.w, 8, 3, tol=1e-8)
    assert checked == []
    dense = torch.linalg.eigvalsh(hessian(p.reference)(p.w, slice(8))).flip(0)
    torch.testing.assert_close(pairs.values, dense[:3], rtol=0, atol=1e-8)


def test_the_settings_of_a_search_are_given_whole_or_by_name():
    whole = ln.largest_eigenpairs(A, 2, ln.Search(tol=1e-10, generator=generator(3)))
    named = ln.largest_eigenpairs(A, 2, tol=1e-10, generator=generator(3))
    assert torch.equal(whole.values, named.values) and whole.hvp_count == named.hvp_count
    both = ln.largest_eigenpairs(A, 2, ln.Search(generator=generator(3)), tol=1e-10)
    assert torch.equal(both.vectors, whole.vectors)
    torch.testing.assert_close(whole.values, torch.linalg.eigvalsh(A).flip(0)[:2])
    with pytest.raises(TypeError, match="tolerance"):
        ln.largest_eigenpairs(A, 2, tolerance=1e-10)
    with pytest.raises(ValueError, match="'wanted' or 'spectrum'; got 'all'"):
        ln.largest_eigenpairs(A, 2, relative_to="all")


# -- calls of earlier versions ---------------------------------------------------------------------


def product(V):
    return A @ V


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (lambda: ln.hutchinson_trace(product, A[0], 4, generator()).value,
         lambda: ln.hutchinson_trace(A, 4, generator()).value),
        (lambda: ln.hutchpp_trace(product, like=A[0], num_products=6, generator=generator()).value,
         lambda: ln.hutchpp_trace(A, 6, generator()).value),
        (lambda: ln.spectral_density(product, A[0], 2, generator(), steps=3).nodes,
         lambda: ln.spectral_density(A, 2, generator(), steps=3).nodes),
        (lambda: ln.krylov.largest_eigenpairs(product, A[0], 2).values,
         lambda: ln.largest_eigenpairs(A, 2).values),
    ],
    ids=["Hutchinson", "Hutch++", "density", "eigenpairs"],
)  # fmt: skip
def test_a_function_with_a_vector_beside_it_is_still_an_operator(old, new):
    assert torch.equal(old(), new())


@pytest.mark.parametrize(
    ("H", "like"),
    [(product, None), (product, torch.ones(6, 1)), (3.0, A[0]), (torch.ones(3, 4), None)],
    ids=["no vector", "a matrix beside it", "a number", "not square"],
)
def test_what_is_no_operator_is_refused(H, like):
    with pytest.raises(ValueError, match="H must be an operator"):
        ln.hutchinson_trace(H, *([] if like is None else [like]), 4, generator())


def test_the_number_of_draws_was_called_num_samples(mlp_problem):
    p, sigma = mlp_problem(), 0.1
    named = ln.delta2(p.loss, p.w, 3, sigma, num_samples=5, generator=generator())
    assert named.num_draws == named.num_samples == 5
    assert torch.equal(named.value, ln.delta2(p.loss, p.w, 3, sigma, 5, generator()).value)
    model = ln.IncrementModel(a=1.0, c=[2.0], B=[[0.5]])
    old = ln.quadratic_mc(model, sigma, num_samples=7, generator=generator())
    assert torch.equal(old.value, ln.quadratic_mc(model, sigma, 7, generator()).value)
    with pytest.raises(TypeError, match="num_probes"):
        ln.delta2(p.loss, p.w, 3, sigma, num_probes=5, generator=generator())


def test_old_names_of_modules_are_the_modules_themselves():
    import landscape_nb.cost

    import landscape_nb.course.cost

    assert landscape_nb.cost is landscape_nb.course.cost
    assert ln.krylov.Eigenpairs is ln.Eigenpairs
    with pytest.raises(AttributeError, match="no attribute 'novelty'"):
        ln.novelty  # noqa: B018
    with pytest.raises(ModuleNotFoundError):
        import landscape_nb.novelty


class HeldTwice(ln.ProductOperator):
    """A on vectors (x, x) of which one half is held here: what is summed counts twice."""

    def total(self, x):
        return 2 * x


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("D", [1, 4, 120], ids="D={}".format)
def test_all_that_is_summed_over_parameters_goes_through_the_operator(D, dtype):
    """The sum of each half is that of one: pairs are those of A, vectors shorter by sqrt(2)."""
    A = randn(120, 120)
    A = (A + A.T).to(dtype)
    start = randn(120, 2, seed=1).to(dtype)
    whole = ln.ProductOperator(lambda V: A @ V, A[0])
    halves = HeldTwice(lambda V: A @ V, A[0])
    near = dict(rtol=0, atol=1e-9 if dtype == torch.float64 else 1e-4)
    for settings in ({}, {"start": start}):
        one, two = (ln.largest_eigenpairs(H, D, **settings) for H in (whole, halves))
        torch.testing.assert_close(two.values, one.values, **near)
        torch.testing.assert_close(2**0.5 * two.vectors, one.vectors, **near)
        torch.testing.assert_close(two.residuals, one.residuals, **near)
        if D < 120 and dtype == torch.float64:
            assert one.residuals.max() > 1e-7  # else nothing is compared
        assert two.hvp_count == one.hvp_count
    torch.testing.assert_close((-halves).total(A), 2 * A)
    known = ln.largest_eigenpairs(halves, 3)
    quadratures = [
        lanczos_quadrature(H, randn(120, seed=2).to(dtype), 8, factor * known.vectors)
        for H, factor in ((whole, 2**0.5), (halves, 1.0))
    ]
    for one, two in zip(*quadratures, strict=True):
        torch.testing.assert_close(one, two, **near)
