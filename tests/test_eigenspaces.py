"""Eigenpairs that may be trusted, and the other subspaces to probe.

Oracles: the spectra put into the toys; dense torch.func.hessian + eigh in float64; fresh
Hessian-vector products for the residuals, and the decomposition multiplied out; the kernel's count
of resident memory; torch.func.jacrev for Jacobians; D/N for a uniformly random subspace. Wrong on
purpose: ranking by magnitude, deflated power iteration as published, and a Krylov space from one
start, which sees a repeated eigenvalue once.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from draws import F64, generator
from torch import nn
from torch.func import functional_call, grad, hessian, jacrev

from landscape_nb import (
    ConvergenceError,
    EmpiricalLoss,
    bottom_eigenpairs,
    captured_energy,
    data,
    fit,
    fit_path,
    increment_eigenpairs,
    jacobian_subspace,
    random_subspace,
    top_eigenpairs,
    toys,
)
from landscape_nb.numerics import eigensolver
from landscape_nb.numerics.eigensolver import largest_eigenpairs
from landscape_nb.numerics.krylov import KrylovBasis, ritz_after_each_step
from landscape_nb.numerics.operators import ProductOperator
from landscape_nb.problems.models import MLP

SEEDS = pytest.mark.parametrize("seed", range(4), ids="seed={}".format)


def with_spectrum(eigenvalues, seed=0, dtype=torch.float64):
    """A loss whose Hessian has exactly these eigenvalues, in a random rotation."""
    toy = toys.quadratics(1, len(eigenvalues), eigenvalues=eigenvalues, generator=generator(seed))
    model, loss_fn, inputs, targets = toy.parts
    return EmpiricalLoss(model.to(dtype), loss_fn, inputs, targets)


def searched(pairs):
    """Products spent before the spot check, which takes two."""
    return pairs.hvp_count - 2


def descending(eigenvalues):
    return torch.tensor(sorted(eigenvalues, reverse=True), **F64)


def assert_true_top(loss, pairs, eigenvalues, atol):
    """Values, orthonormality, residuals by fresh products, and order."""
    D = len(pairs.values)
    U = pairs.vectors
    torch.testing.assert_close(
        pairs.values.double(), descending(eigenvalues)[:D], rtol=0, atol=atol
    )
    eye = torch.eye(D, dtype=U.dtype)
    torch.testing.assert_close(U.T @ U, eye, rtol=0, atol=100 * torch.finfo(U.dtype).eps)
    fresh = (loss.hvp(loss.w0, U, 1) - U * pairs.values).norm(dim=0)
    torch.testing.assert_close(fresh, pairs.residuals, rtol=0, atol=atol)
    assert (pairs.values.diff() <= 0).all()


# -- the top of known spectra --------------------------------------------------------------------

spread_out = [10.0 / (i + 1) ** 1.5 for i in range(120)]
SPECTRA = {
    "decaying": spread_out,
    "dominant negative": [-50.0, -20.0, *spread_out],
    "indefinite, mirrored": [s * x for x in spread_out[:60] for s in (1, -1)],
    "all negative": [-x for x in spread_out],
    "negative semidefinite": [0.0] * 60 + [-float(i) for i in range(1, 21)],
    "no gap": [1 + 1e-3 * i for i in range(60)],
    "few outliers over a bulk at zero": [9.0, 7.0, 5.0, 3.0, 2.0] + [1e-6 * i for i in range(100)],
    "rank 5": [9.0, 7.0, 5.0, 3.0, 2.0] + [0.0] * 100,
}


@pytest.mark.parametrize("D", [1, 5, 8], ids="D={}".format)
@pytest.mark.parametrize("spectrum", SPECTRA)
def test_top_of_a_known_spectrum(spectrum, D):
    loss = with_spectrum(SPECTRA[spectrum])
    pairs = top_eigenpairs(loss, loss.w0, 1, D, tol=1e-8, max_products=2000)
    assert_true_top(loss, pairs, SPECTRA[spectrum], atol=1e-6)
    exact = descending(SPECTRA[spectrum])
    assert abs(pairs.gap - float(exact[D - 1] - exact[D])) < 0.05 * float(exact.abs().max())


@SEEDS
@pytest.mark.parametrize("first", [0, 2, 5], ids="copies from {}".format)
@pytest.mark.parametrize("tol", [1e-2, 1e-4, 1e-8], ids="tol={}".format)
def test_all_four_copies_of_a_repeated_eigenvalue_are_found(first, tol, seed):
    spectrum = [20.0 - 2 * i for i in range(8)] + [1.0 / (i + 1) for i in range(80)]
    spectrum[first : first + 4] = [spectrum[first]] * 4
    loss = with_spectrum(spectrum, seed)
    pairs = top_eigenpairs(loss, loss.w0, 1, first + 4, tol=tol, generator=generator(seed))
    assert_true_top(loss, pairs, spectrum, atol=tol * 20)


@SEEDS
def test_a_krylov_space_from_one_start_would_miss_the_copies(seed):
    """The oracle of the test above can tell: plain Lanczos sees each distinct value once."""
    spectrum = [4.0, 4.0, 4.0, 4.0, 2.0, *[1.0 / (i + 1) for i in range(40)]]
    loss = with_spectrum(spectrum, seed)
    H = loss.hessian(loss.w0, 1)
    x = torch.randn(len(spectrum), generator=generator(seed), **F64)
    krylov = torch.stack([torch.linalg.matrix_power(H / 4, j) @ x for j in range(12)], 1)
    Q = torch.linalg.qr(krylov).Q
    ritz = torch.linalg.eigvalsh(Q.T @ H @ Q).flip(0)
    assert abs(ritz[0] - 4) < 1e-6 and ritz[1] < 3
    pairs = top_eigenpairs(loss, loss.w0, 1, 4)
    torch.testing.assert_close(pairs.values, descending(spectrum)[:4], rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("spectrum", "steps", "rows"),
    [([5.0, 3, 2, -4, 1, 0.5, 0.2, 0.1], 6, 6), ([2.0, 2, 2, 1], 4, 2), ([3.0, 1], 9, 2)],
    ids=["all apart", "Krylov space of two", "more steps than rows"],
)
def test_ritz_values_after_each_step_are_those_of_a_basis_by_qr(spectrum, steps, rows):
    H, _ = toys.symmetric_matrix(spectrum, generator=generator())
    x = torch.randn(len(spectrum), generator=generator(1), **F64)
    values, residuals = ritz_after_each_step(H, x, steps)
    assert len(values) == len(residuals) == rows
    for m, (theta, told) in enumerate(zip(values, residuals, strict=True), start=1):
        powers = [x]
        for _ in range(m - 1):
            powers.append(H @ powers[-1])
        B = torch.linalg.qr(torch.stack(powers, dim=1)).Q
        expected, Y = torch.linalg.eigh(B.T @ H @ B)
        assert torch.allclose(theta, expected, atol=1e-9)
        assert torch.allclose(told, (H @ B @ Y - B @ Y * expected).norm(dim=0), atol=1e-8)


def deflated_power_iteration(H, D, steps=30, seed=0):
    """The published code: |lambda| in place of lambda, no re-orthogonalisation."""
    found = []
    for _ in range(D):
        v = torch.randn(len(H), generator=generator(seed), **F64)
        for _ in range(10 * steps):
            v = H @ v
            v = v / v.norm()
        found.append(float((H @ v).norm()))
        H = H - found[-1] * torch.outer(v, v)
    return found


def test_the_papers_spectrum_and_the_published_power_iteration():
    spectrum = [3.0, 2.0, -5.0, 1.0, 0.5]
    loss = with_spectrum(spectrum)
    values = top_eigenpairs(loss, loss.w0, 1, 3).values
    torch.testing.assert_close(values, torch.tensor([3.0, 2.0, 1.0], **F64), rtol=0, atol=1e-6)
    published = deflated_power_iteration(loss.hessian(loss.w0, 1), 3)
    assert [round(x, 3) for x in published] == [5.0, 10.0, 20.0]
    by_magnitude = sorted(spectrum, key=abs, reverse=True)[:3]
    assert values.tolist() != pytest.approx(by_magnitude)


@pytest.mark.parametrize("D", [1, 3, 6], ids="D={}".format)
def test_top_of_an_mlp_against_dense_eigh(mlp_problem, D):
    p = mlp_problem(l2=0.1, batch_size=4)
    dense_values, dense_vectors = torch.linalg.eigh(hessian(p.reference)(p.w, slice(8)))
    pairs = top_eigenpairs(p.loss, p.w, 8, D, tol=1e-10)
    torch.testing.assert_close(pairs.values, dense_values.flip(0)[:D], rtol=0, atol=1e-9)
    overlap = (dense_vectors.flip(1)[:, :D] * pairs.vectors).sum(0).abs()
    torch.testing.assert_close(overlap, torch.ones(D, **F64), rtol=0, atol=1e-9)
    assert abs(pairs.gap - (dense_values[-D] - dense_values[-D - 1])) < 0.1 * dense_values[-D]


# -- small and degenerate problems ---------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("tol", [1e-1, 1e-4])
def test_a_space_with_no_room_for_a_random_start_is_searched_to_its_end(tol, dtype):
    """Converged with basis and open directions filling the space: the search once spun here."""
    for N in range(2, 9):
        for seed in range(12):
            g = torch.Generator().manual_seed(seed)
            A = torch.randn(N, N, generator=g, dtype=torch.float64)
            A = (A + A.T).to(dtype)
            for D in {1, N // 2, N - 1}:
                pairs = largest_eigenpairs(A, D, tol=tol, generator=g)
                error = (pairs.values - torch.linalg.eigvalsh(A).flip(0)[:D]).abs()
                rounding = 100 * torch.finfo(dtype).eps * A.norm()
                assert (error <= pairs.residuals + rounding).all(), (N, seed, D)


@pytest.mark.parametrize("N", [1, 2, 7, 40], ids="N={}".format)
def test_D_equals_N(N):
    spectrum = [(-1) ** i * (i + 1.0) for i in range(N)]
    loss = with_spectrum(spectrum)
    pairs = top_eigenpairs(loss, loss.w0, 1, N, tol=1e-10)
    assert_true_top(loss, pairs, spectrum, atol=1e-9)
    assert pairs.gap == float("inf")
    assert searched(pairs) <= 2 * N


@pytest.mark.parametrize("D", [1, 3, 8], ids="D={}".format)
def test_a_zero_hessian_has_zero_eigenvalues(D):
    loss = with_spectrum([0.0] * 8)
    pairs = top_eigenpairs(loss, loss.w0, 1, D)
    assert torch.equal(pairs.values, torch.zeros(D, **F64))
    assert_true_top(loss, pairs, [0.0] * 8, atol=0)


def test_identity_hessian():
    loss = with_spectrum([1.0] * 50)
    pairs = top_eigenpairs(loss, loss.w0, 1, 6)
    assert_true_top(loss, pairs, [1.0] * 50, atol=1e-9)


@SEEDS
def test_float32_products(seed):
    loss = with_spectrum(SPECTRA["dominant negative"], seed, torch.float32)
    pairs = top_eigenpairs(loss, loss.w0, 1, 5)
    assert pairs.values.dtype == pairs.vectors.dtype == torch.float32
    assert_true_top(loss, pairs, SPECTRA["dominant negative"], atol=1e-3)


@pytest.mark.parametrize("end", [top_eigenpairs, bottom_eigenpairs])
def test_curvature_that_is_zero_up_to_rounding(end):
    """A wanted value of 1e-30 is rounding; tol times that can't be asked for."""
    toy = toys.linear_regression(5, 60, generator=generator())
    loss = EmpiricalLoss(*toy.parts)
    expected = torch.linalg.eigvalsh(toy.hessian(loss.w0, 5))
    expected = expected.flip(0) if end is top_eigenpairs else expected
    values = end(loss, loss.w0, 5, 8).values
    torch.testing.assert_close(values, expected[:8], rtol=0, atol=1e-3)


# -- certificates --------------------------------------------------------------------------------


def test_residuals_are_those_of_fresh_products_also_at_a_loose_tolerance():
    loss = with_spectrum(spread_out)
    pairs = top_eigenpairs(loss, loss.w0, 1, 5, tol=1e-2)
    fresh = (loss.hvp(loss.w0, pairs.vectors, 1) - pairs.vectors * pairs.values).norm(dim=0)
    assert fresh.max() > 1e-6  # else nothing is compared
    torch.testing.assert_close(pairs.residuals, fresh, rtol=1e-6, atol=1e-10)
    assert (pairs.residuals <= 1e-2 * pairs.values.abs().max()).all()


class Recorded(KrylovBasis):
    """A basis that can be looked at afterwards."""

    def __init__(self, *args):
        super().__init__(*args)
        self.restarts = self.reflections = self.most_open_ends = 0

    def make_room(self, *args):
        before = self.count
        super().make_room(*args)
        self.restarts += self.count < before

    def start(self, x):
        opened = super().start(x)
        self.most_open_ends = max(self.most_open_ends, self.open_ends)
        return opened

    def extend(self, C=None):
        self.reflections += self.open_ends > 1
        super().extend(C)
        self.most_open_ends = max(self.most_open_ends, self.open_ends)


@pytest.fixture
def bases(monkeypatch):
    made = []

    def build(*args):
        made.append(Recorded(*args))
        return made[-1]

    monkeypatch.setattr(eigensolver, "KrylovBasis", build)
    return made


def rotated(spectrum, seed=0):
    """A symmetric matrix in float64 and its eigenvectors, in the order of the spectrum."""
    R = random_subspace(len(spectrum), len(spectrum), generator(seed))
    A = R @ torch.diag(torch.tensor(spectrum, **F64)) @ R.T
    return (A + A.T) / 2, R


# spectrum, D, basis vectors held, how many of the true vectors to start from, what must happen
DECOMPOSITIONS = {
    "one start": (spread_out, 6, None, 0, (0, 1, 2)),
    "several restarts": ([1 + 1e-3 * i for i in range(120)], 4, 49, 0, (2, 1, 2)),
    "warm": (spread_out, 6, None, 6, (0, 1, 2)),
    "warm, restarted": ([4 - 1e-3 * i for i in range(150)], 4, 49, 4, (1, 1, 2)),
    "three copies": ([5.0] * 3 + [4 - 0.02 * i for i in range(150)], 4, 49, 0, (1, 5, 2)),
    "five copies": ([5.0] * 5 + [4 - 0.02 * i for i in range(150)], 6, 51, 0, (2, 5, 2)),
    "two and four copies": (
        [9.0, 9.0, *[7.0] * 4, *[4 - 0.02 * i for i in range(150)]], 7, 52, 2, (1, 5, 2),
    ),
}  # fmt: skip


@pytest.mark.parametrize("seed", [0, 1], ids="seed={}".format)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("case", DECOMPOSITIONS)
def test_the_search_needs_no_product_to_know_its_residuals(bases, case, dtype, seed):
    """H Q = Q T + F S with orthonormal [Q, F] however the basis came about."""
    spectrum, D, max_basis, warm, at_least = DECOMPOSITIONS[case]
    exact, R = rotated(spectrum, seed)
    A = exact.to(dtype)
    noise = 1e-3 * torch.randn(len(spectrum), warm, generator=generator(seed), **F64)
    pairs = largest_eigenpairs(
        A, D, start=(R[:, :warm] + noise).to(dtype) if warm else None,
        tol=1e-7 if dtype == torch.float64 else 1e-5,
        generator=generator(seed), max_basis=max_basis, max_products=5000,
    )  # fmt: skip
    (basis,) = bases
    happened = (basis.restarts, basis.reflections, basis.most_open_ends)
    assert all(n >= low for n, low in zip(happened, at_least, strict=True)), happened

    largest, A = float(max(spectrum)), A.double()
    accuracy = 1e-13 if dtype == torch.float64 else 1e-6
    Q, F = basis.Q[: basis.count].double().T, basis.F.double().T
    both = torch.cat([Q, F], dim=1)
    assert (both.T @ both - torch.eye(both.shape[1], **F64)).abs().max() < accuracy
    decomposition = A @ Q - Q @ basis.T - F @ basis.S
    assert decomposition.norm(dim=0).max() < accuracy * largest
    U, values = pairs.vectors.double(), pairs.values.double()
    fresh = (A @ U - U * values).norm(dim=0)
    claimed = basis.residual_norms(basis.ritz()[1][:, :D])
    torch.testing.assert_close(claimed, fresh, rtol=0, atol=accuracy * largest)
    torch.testing.assert_close(pairs.residuals.double(), fresh, rtol=0, atol=accuracy * largest)
    assert fresh.max() > 1e-9 * largest or dtype == torch.float32  # else nothing is compared
    torch.testing.assert_close(values, descending(spectrum)[:D], rtol=0, atol=1e-5 * largest)


@pytest.mark.parametrize("noise", [1e-8, 1e-9, 1e-10, 1e-12], ids="noise={}".format)
@pytest.mark.parametrize("D", [1, 5], ids="D={}".format)
def test_an_almost_exact_start_is_no_excuse_for_a_residual_of_zero(D, noise):
    """What a product leaves outside the basis may be small, and yet above the tolerance."""
    A, R = rotated([20.0 - 2 * i for i in range(8)] + [1 / (i + 1) for i in range(80)])
    start = R[:, :D] + noise * torch.randn(88, D, generator=generator(), **F64)
    pairs = largest_eigenpairs(A, D, tol=1e-12, start=start)
    fresh = (A @ pairs.vectors - pairs.vectors * pairs.values).norm(dim=0)
    assert fresh.max() < 1.1e-12 * 20
    torch.testing.assert_close(pairs.residuals, fresh, rtol=0, atol=1e-13 * 20)


def test_the_largest_component_of_every_vector_is_positive():
    loss = with_spectrum(spread_out)
    U = top_eigenpairs(loss, loss.w0, 1, 6).vectors
    assert (U.gather(0, U.abs().argmax(0, keepdim=True)) > 0).all()


def test_the_same_seed_gives_the_same_pairs_and_another_the_same_values():
    loss = with_spectrum(spread_out)
    a, b = (top_eigenpairs(loss, loss.w0, 1, 4) for _ in range(2))
    c = top_eigenpairs(loss, loss.w0, 1, 4, tol=1e-10, generator=generator(9))
    assert torch.equal(a.vectors, b.vectors)
    torch.testing.assert_close(a.values, c.values, rtol=0, atol=1e-6)


def test_hvp_count_is_the_number_of_products(monkeypatch):
    loss, counted = with_spectrum(spread_out), []
    operator = loss.hessian_operator(loss.w0, 1)

    def count(V):
        counted.append(V.shape[1])
        return operator @ V

    monkeypatch.setattr(loss, "hessian_operator", lambda w, k: ProductOperator(count, w))
    hvp_count = top_eigenpairs(loss, loss.w0, 1, 5).hvp_count
    assert hvp_count == sum(counted) == operator.products


def test_a_gap_costs_few_products():
    loss = with_spectrum([100.0, 90.0, 80.0, 70.0, 60.0, *[0.1 / (i + 1) for i in range(200)]])
    assert searched(top_eigenpairs(loss, loss.w0, 1, 5)) <= 25


def test_doubtful_pairs_are_refused_but_shown():
    loss = with_spectrum(SPECTRA["no gap"])
    with pytest.raises(ConvergenceError, match="have not converged") as refused:
        top_eigenpairs(loss, loss.w0, 1, 5, tol=1e-8, max_products=12)
    error = refused.value
    assert error.pairs.vectors.shape == (60, 5)
    assert error.residuals is error.pairs.residuals
    assert error.residuals.max() > 1e-8
    assert 12 <= error.pairs.hvp_count - (5 + 2) <= 13  # a whole certificate came on top


def test_fewer_products_than_pairs_are_refused_in_words():
    loss = with_spectrum(spread_out)
    with pytest.raises(ValueError, match="max_products must be at least 5"):
        top_eigenpairs(loss, loss.w0, 1, 5, max_products=2)


def test_products_that_are_not_finite_are_refused():
    """For l = |w|^(4/3) the gradient at w = 0 is 0, the curvature infinite."""
    model = nn.Linear(1, 3, bias=False).double()
    nn.init.zeros_(model.weight)
    one = torch.ones(2, 1, **F64)
    loss = EmpiricalLoss(model, lambda out, y: out.square().pow(2 / 3).sum(1), one, one)
    with pytest.raises(ValueError, match="not finite"):
        top_eigenpairs(loss, loss.w0, 2, 1)


# -- cost and memory -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_steps(mlp_problem):
    p = mlp_problem(n=100, widths=(8, 6, 5), l2=0.02)
    first, second = fit_path(p.loss, [98, 99], progress=False)
    return p.loss, first.w, second.w


@pytest.mark.parametrize("tol", [1e-2, 1e-4, 1e-6], ids="tol={}".format)
@pytest.mark.parametrize("D", [3, 8], ids="D={}".format)
def test_a_warm_start_from_the_previous_k_saves_products(two_steps, D, tol):
    loss, w_before, w = two_steps
    previous = top_eigenpairs(loss, w_before, 98, D)
    cold = top_eigenpairs(loss, w, 99, D, tol=tol)
    warm = top_eigenpairs(loss, w, 99, D, tol=tol, start=previous.vectors)
    assert warm.hvp_count < cold.hvp_count
    torch.testing.assert_close(warm.values, cold.values, rtol=tol, atol=0)


def test_a_warm_start_saves_products_on_digits():
    """From 26 products against 41 to 33 against 38, by the luck of the next sample."""
    warm, cold = [], []
    for seed in range(3):
        x, y = data.digits(401, seed=seed)
        model = MLP([64, 16, 10], generator=generator(seed))
        loss = EmpiricalLoss(model, nn.CrossEntropyLoss(reduction="none"), x, y, l2=1e-3)
        w = fit(loss, 400, tol=1e-3).w
        start = top_eigenpairs(loss, w, 400, 10).vectors
        warm.append(searched(top_eigenpairs(loss, w, 401, 10, start=start)))
        cold.append(searched(top_eigenpairs(loss, w, 401, 10)))
    assert sum(warm) < 0.9 * sum(cold), (warm, cold)
    assert max(w / c for w, c in zip(warm, cold, strict=True)) < 1.1


@pytest.mark.parametrize("D", [1, 5, 8], ids="D={}".format)
def test_a_start_from_the_eigenvectors_themselves_costs_only_the_search(D):
    spectrum = [20.0 - 2 * i for i in range(8)] + [1 / (i + 1) for i in range(80)]
    A, R = rotated(spectrum)
    pairs = largest_eigenpairs(A, D, tol=1e-8, start=R[:, :D])
    assert searched(pairs) <= D + 12
    torch.testing.assert_close(pairs.values, descending(spectrum)[:D], rtol=0, atol=1e-12)
    overlap = (R[:, :D] * pairs.vectors).sum(0).abs()
    torch.testing.assert_close(overlap, torch.ones(D, **F64), rtol=0, atol=1e-10)


@pytest.mark.parametrize("chosen", [[0, 3, 20], [5, 6], [40, 50]], ids=str)
def test_a_start_from_other_eigenvectors_does_no_harm(chosen):
    """Their Krylov space ends after as many steps; then comes a random start."""
    spectrum = [20.0 - 2 * i for i in range(8)] + [1 / (i + 1) for i in range(80)]
    A, R = rotated(spectrum)
    pairs = largest_eigenpairs(A, 4, tol=1e-8, start=R[:, chosen])
    torch.testing.assert_close(pairs.values, descending(spectrum)[:4], rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    "start",
    [torch.zeros(120, 2, **F64), torch.ones(120, 3, **F64), torch.ones(120, **F64)],
    ids=["zeros", "repeated column", "one vector"],
)
def test_a_useless_start_does_no_harm(start):
    loss = with_spectrum(spread_out)
    pairs = top_eigenpairs(loss, loss.w0, 1, 4, tol=1e-8, start=start)
    assert_true_top(loss, pairs, spread_out, atol=1e-6)


def test_a_start_that_is_an_eigenspace_of_the_wrong_end_does_no_harm():
    loss = with_spectrum(SPECTRA["dominant negative"])
    wrong = bottom_eigenpairs(loss, loss.w0, 1, 4, tol=1e-8).vectors
    pairs = top_eigenpairs(loss, loss.w0, 1, 4, tol=1e-8, start=wrong)
    assert_true_top(loss, pairs, SPECTRA["dominant negative"], atol=1e-6)


SLOW = {
    "no gap": [1 + 1e-3 * i for i in range(120)],
    "evenly spaced": [i / 150 for i in range(150)],
    "mostly negative": [1 - i / 30 for i in range(120)],
}


@pytest.mark.parametrize("spectrum", SLOW)
def test_restarts_in_little_memory_end_at_the_same_pairs(spectrum):
    loss = with_spectrum(SLOW[spectrum])
    pairs = top_eigenpairs(loss, loss.w0, 1, 4, tol=1e-6, max_basis=30, max_products=5000)
    assert searched(pairs) > 60  # restarted more than once
    assert_true_top(loss, pairs, SLOW[spectrum], atol=1e-5)


def test_two_hundred_thousand_parameters_in_float32():
    """Projections in float64: float32 sums over so many numbers would lose orthogonality."""
    values = torch.linspace(-1, 1, 200_000).flip(0)
    values[:4] = torch.tensor([9.0, 7.0, 7.0, 4.0])
    diagonal = values[torch.randperm(len(values), generator=generator())]
    pairs = largest_eigenpairs(lambda V: diagonal[:, None] * V, diagonal, 4)
    torch.testing.assert_close(pairs.values, values[:4], rtol=0, atol=1e-5)
    U = pairs.vectors.double()
    assert (U.T @ U - torch.eye(4, **F64)).abs().max() < 1e-6
    fresh = (diagonal[:, None] * U - U * pairs.values).norm(dim=0)
    torch.testing.assert_close(pairs.residuals.double(), fresh, rtol=0, atol=1e-6 * 9)


PEAK = """
import torch
from landscape_nb.numerics.eigensolver import largest_eigenpairs
torch.set_num_threads(1)

def resident(what):
    (line,) = [l for l in open("/proc/self/status") if l.startswith(what)]
    return 1024 * int(line.split()[1])

N, D, max_basis = 150_000, 8, 53
d = torch.linspace(0, 1, N)
d[:3], d[3:20] = 3.0, torch.linspace(2.5, 1.5, 17)
largest_eigenpairs(lambda V: d[:500, None] * V, d[:500], D)  # loads libraries
before = resident("VmRSS")
pairs = largest_eigenpairs(lambda V: d[:, None] * V, d, D, tol=1e-5, max_basis=max_basis)
assert pairs.hvp_count - 2 > max_basis, pairs.hvp_count  # all of the basis was used
print((resident("VmHWM") - before) / (4 * N))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux counts resident memory")
def test_memory_is_one_vector_for_each_basis_vector():
    """No second basis, no float64 copy: measured 4 to 8 vectors beside the basis and the result."""
    # glibc returns what is larger than this at once, so that the peak is what was in use
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "500000", "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", PEAK],
        env=environment, capture_output=True, text=True, timeout=120,
        cwd=Path(__file__).resolve().parent.parent,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert 53 < float(run.stdout) < 53 + 8 + 14


# -- interrupted, and watched --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("batch_size", "where"),
    [(1024, "product"), (4, "product"), (4, "forward pass")],
    ids=["kept graph", "rebuilt graph", "rebuilt graph, forward pass"],
)
def test_an_interruption_leaves_everything_usable(mlp_problem, monkeypatch, batch_size, where):
    assert torch.backends.mha.get_fastpath_enabled()  # PyTorch's default
    p = mlp_problem(l2=0.1)
    calls, armed = [], [False]

    def interrupt(place):
        if armed[0] and where == place:
            calls.append(place)
            if len(calls) == 7:
                raise KeyboardInterrupt

    true_grad = torch.autograd.grad

    def interrupted_grad(gradient, *args, **options):
        if armed[0] and gradient.ndim:  # first derivatives are of a scalar, products of a vector
            interrupt("product")
        return true_grad(gradient, *args, **options)

    monkeypatch.setattr(torch.autograd, "grad", interrupted_grad)
    model = p.model.train()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = [(q.detach().clone(), q.grad.clone()) for q in model.parameters()]
    random_state = torch.get_rng_state()
    model[1].register_forward_hook(lambda *_: interrupt("forward pass"))
    loss = EmpiricalLoss(model, p.loss_fn, p.x, p.y, p.l2, batch_size=batch_size)
    expected = top_eigenpairs(loss, p.w, 10, 4)

    armed[0] = True
    with pytest.raises(KeyboardInterrupt):
        top_eigenpairs(loss, p.w, 10, 4, progress=True)
    armed[0] = False
    assert len(calls) == 7

    for parameter, (value, gradient) in zip(model.parameters(), before, strict=True):
        assert torch.equal(parameter, value) and torch.equal(parameter.grad, gradient)
    assert all(module.training for module in model.modules())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert torch.backends.mha.get_fastpath_enabled() and torch.is_grad_enabled()
    again = top_eigenpairs(loss, p.w, 10, 4)
    assert torch.equal(again.values, expected.values)
    assert torch.equal(again.vectors, expected.vectors)
    gradient = grad(p.reference)(p.w, slice(10))
    torch.testing.assert_close(loss.gradient(p.w, 10), gradient, rtol=0, atol=1e-12)


def test_the_progress_bar_shows_how_far_the_residuals_are(capsys):
    loss = with_spectrum(spread_out)
    silent = top_eigenpairs(loss, loss.w0, 1, 4)
    assert capsys.readouterr().err == ""
    shown = top_eigenpairs(loss, loss.w0, 1, 4, progress=True)
    text = capsys.readouterr().err
    assert torch.equal(shown.vectors, silent.vectors)
    states = re.findall(r"(\d+) products.*?(\d+) of 4 open, worst \|r\| = (\d\.\de[-+]\d+)", text)
    products, still_open = ([int(state[j]) for state in states] for j in (0, 1))
    worst = [float(state[2]) for state in states]
    assert sorted(products) == products and products[-1] <= searched(shown)
    assert still_open[0] == 4 and set(still_open) <= {1, 2, 3, 4}
    # still open at the end, but only just: the step after it, or the search, has closed it
    assert 1e-4 * 10 < worst[-1] < 1e-2 * worst[0]


# -- the other end, and the increment's own ------------------------------------------------------


@pytest.mark.parametrize("D", [1, 4], ids="D={}".format)
def test_bottom_is_the_other_end(D):
    spectrum = SPECTRA["dominant negative"]
    loss = with_spectrum(spectrum)
    pairs = bottom_eigenpairs(loss, loss.w0, 1, D, tol=1e-8)
    ascending = descending(spectrum).flip(0)
    torch.testing.assert_close(pairs.values, ascending[:D], rtol=0, atol=1e-6)
    assert abs(pairs.gap - float(ascending[D] - ascending[D - 1])) < 0.5
    fresh = loss.hvp(loss.w0, pairs.vectors, 1) - pairs.vectors * pairs.values
    torch.testing.assert_close(fresh.norm(dim=0), pairs.residuals, rtol=0, atol=1e-10)


def test_bottom_of_a_cluster_keeps_the_scale_of_the_whole_spectrum():
    """Restarts forget the top of the spectrum; the tolerance must not shrink with them."""
    bulk = [1e-3 * (1 + 1e-2 * i) for i in range(400)]
    loss = with_spectrum([10.0 / i for i in range(1, 21)] + bulk)
    pairs = bottom_eigenpairs(loss, loss.w0, 1, 10, tol=1e-4, max_products=600, max_basis=40)
    assert pairs.residuals.max() <= 1e-4 * 10.0
    assert pairs.values.max() < 1e-2


def dense_increment(p, k):
    return hessian(p.reference)(p.w, slice(k + 1)) - hessian(p.reference)(p.w, slice(k))


@pytest.mark.parametrize("k", [1, 6, 9], ids="k={}".format)
@pytest.mark.parametrize("D", [1, 4, 9], ids="D={}".format)
def test_increment_eigenpairs_against_dense_eigh(mlp_problem, k, D):
    p = mlp_problem(l2=0.2)
    A = dense_increment(p, k)
    expected = torch.linalg.eigvalsh(A)
    expected = expected[expected.abs().argsort(descending=True)][:D]
    assert (expected < 0).any() or D == 1
    pairs = increment_eigenpairs(p.loss, p.w, k, D, tol=1e-9)
    torch.testing.assert_close(pairs.values, expected, rtol=0, atol=1e-8)
    magnitudes = torch.linalg.eigvalsh(A).abs().sort(descending=True).values
    assert abs(pairs.gap - float(magnitudes[D - 1] - magnitudes[D])) < 0.1 * magnitudes[D - 1]
    fresh = (A @ pairs.vectors - pairs.vectors * pairs.values).norm(dim=0)
    torch.testing.assert_close(fresh, pairs.residuals, rtol=0, atol=1e-8)


@pytest.mark.parametrize("D", [1, 2, 3, 4], ids="D={}".format)
def test_increment_eigenpairs_when_the_two_ends_overlap(D):
    # 2 D > N: a pair that both ends could find must come once.
    spectrum = torch.tensor([5.0, 4.0, 3.0, -1.0], **F64)
    A = torch.stack([torch.zeros(4, 4, **F64), 2 * torch.diag(spectrum)])
    loss = EmpiricalLoss(*toys.Quadratics(torch.zeros(2, **F64), torch.zeros(2, 4, **F64), A).parts)
    pairs = increment_eigenpairs(loss, loss.w0, 1, D)
    torch.testing.assert_close(pairs.values, spectrum[:D], rtol=0, atol=1e-6)
    fresh = torch.diag(spectrum) @ pairs.vectors - pairs.vectors * pairs.values
    assert fresh.norm() < 1e-6


def test_increment_eigenpairs_of_a_semidefinite_increment():
    toy = toys.linear_regression(5, 200, generator=generator())
    toy.X[0] = 0  # the first sample has no curvature: A_1 is the second's, of rank 1
    loss = EmpiricalLoss(*toy.parts)
    pairs = increment_eigenpairs(loss, loss.w0, 1, 3)
    expected = torch.tensor([float(toy.X[1] @ toy.X[1]) / 2, 0.0, 0.0], **F64)
    torch.testing.assert_close(pairs.values, expected, rtol=0, atol=1e-2)


def test_increment_eigenpairs_of_another_candidate(mlp_problem):
    p = mlp_problem(l2=0.2)
    order = [0, 1, 2, 8]
    A = hessian(p.reference)(p.w, order) - hessian(p.reference)(p.w, slice(3))
    expected = torch.linalg.eigvalsh(A)
    expected = expected[expected.abs().argsort(descending=True)][:4]
    values = increment_eigenpairs(p.loss, p.w, 3, 4, tol=1e-9, candidate=8).values
    torch.testing.assert_close(values, expected, rtol=0, atol=1e-8)


def test_captured_energy_against_dense_derivatives(mlp_problem):
    p = mlp_problem(l2=0.2)
    U = random_subspace(p.N, 3, generator())
    bases = {"fixed": U, "jacobian": lambda i: jacobian_subspace(p.loss, p.w, i)}
    found = captured_energy(p.loss, p.w, 4, bases, [6, 9])
    for j, i in enumerate([6, 9]):
        order = [0, 1, 2, 3, i]
        c = grad(p.reference)(p.w, order) - grad(p.reference)(p.w, slice(4))
        A = hessian(p.reference)(p.w, order) - hessian(p.reference)(p.w, slice(4))
        J = torch.linalg.qr(jacobian_by_torch(p, i)[0].T).Q
        for name, V in {"whole": torch.eye(p.N, **F64), "fixed": U, "jacobian": J}.items():
            gradient, curvature = (V.T @ c).square().sum(), (V.T @ A @ V).square().sum()
            assert abs(found[name].gradient[j] - gradient) < 1e-12, name
            assert abs(found[name].curvature[j] - curvature) < 1e-12, name
    by_energy = found["fixed"].gradient.sum() / found["whole"].gradient.sum()
    assert found["fixed"].share_of(found["whole"])[0] == pytest.approx(float(by_energy))


def test_the_whole_energy_by_random_directions_agrees_with_the_dense_one(mlp_problem):
    """What the bases capture is exact; the rest is estimated without bias, with a fair error."""
    p = mlp_problem(l2=0.2)
    bases = {
        "fixed": random_subspace(p.N, 3, generator()),
        "overlapping": random_subspace(p.N, 3, generator()),  # the same: the union has rank 3
        "own": lambda i: increment_eigenpairs(p.loss, p.w, 4, 4, candidate=i).vectors,
    }
    dense = captured_energy(p.loss, p.w, 4, bases, [6, 9])
    assert dense["whole"].curvature_stderr is None
    runs = [
        captured_energy(p.loss, p.w, 4, bases, [6, 9], num_probes=4, generator=generator(seed))
        for seed in range(40)
    ]
    for name in bases:
        for part in ("gradient", "curvature"):
            found, exact = getattr(runs[0][name], part), getattr(dense[name], part)
            torch.testing.assert_close(found, exact, rtol=1e-9, atol=1e-14)
    whole = torch.stack([run["whole"].curvature for run in runs])
    errors = torch.stack([run["whole"].curvature_stderr for run in runs])
    exact = dense["whole"].curvature
    assert ((whole.mean(0) - exact).abs() < 4 * whole.std(0) / len(runs) ** 0.5).all()
    assert (whole.std(0) < 0.2 * exact).all(), "the captured part should carry no noise"
    fair = errors.square().mean(0).sqrt() / whole.std(0)
    assert ((fair > 0.6) & (fair < 1.6)).all(), fair


def test_random_directions_need_a_generator(mlp_problem):
    p = mlp_problem()
    with pytest.raises(ValueError, match="generator must be a torch.Generator"):
        captured_energy(p.loss, p.w, 4, {}, [6], num_probes=4)
    with pytest.raises(ValueError, match="num_probes"):
        captured_energy(p.loss, p.w, 4, {}, [6], num_probes=1, generator=generator())


def test_no_other_basis_captures_more_of_the_increment(mlp_problem):
    p = mlp_problem()
    A = dense_increment(p, 6)

    def captured(U):
        return (U.T @ A @ U).square().sum() / A.square().sum()

    own = captured(increment_eigenpairs(p.loss, p.w, 6, 4, tol=1e-8).vectors)
    algebraic = captured(torch.linalg.eigh(A).eigenvectors.flip(1)[:, :4])
    assert own > algebraic
    assert all(own > captured(random_subspace(p.N, 4, generator(s))) for s in range(20))


# -- the next sample's Jacobian ------------------------------------------------------------------


def jacobian_by_torch(p, i):
    names = [name for name, _ in p.model.named_parameters()]
    shapes = [q.shape for q in p.model.parameters()]

    def logits(w):
        pieces = w.split([s.numel() for s in shapes])
        at_w = {n: v.view(s) for n, v, s in zip(names, pieces, shapes, strict=True)}
        return functional_call(p.model, at_w, (p.x[i : i + 1],))[0]

    return jacrev(logits)(p.w), logits(p.w)


@pytest.mark.parametrize("i", [0, 4, 9], ids="i={}".format)
def test_jacobian_subspace_spans_the_logit_gradients(mlp_problem, i):
    p = mlp_problem()
    F, z = jacobian_by_torch(p, i)
    U = jacobian_subspace(p.loss, p.w, i)
    assert U.shape == (p.N, 3)
    torch.testing.assert_close(U.T @ U, torch.eye(3, **F64), rtol=0, atol=1e-12)

    def outside(X):
        return (X - U @ (U.T @ X)).norm() / X.norm()

    s = torch.softmax(z, 0)
    gauss_newton = F.T @ (torch.diag(s) - torch.outer(s, s)) @ F
    assert outside(F.T) < 1e-10
    assert outside(p.loss.gradient(p.w, range(i, i + 1))) < 1e-10
    assert outside(gauss_newton) < 1e-10
    assert outside(p.loss.gradient(p.w, range((i + 1) % 10, (i + 1) % 10 + 1))) > 0.1


def test_dependent_logits_lower_the_rank():
    x = torch.randn(4, 3, generator=generator(), **F64)
    model = nn.Sequential(nn.Linear(3, 1, bias=False), nn.Linear(1, 3)).double()
    model[1].requires_grad_(False)
    loss = EmpiricalLoss(model, lambda out, y: out.sum(1), x, x)
    U = jacobian_subspace(loss, loss.w0, 2)
    torch.testing.assert_close(U[:, 0].abs(), (x[2] / x[2].norm()).abs(), rtol=0, atol=1e-12)
    assert U.shape == (3, 1)


def test_a_sequence_counts_all_its_output_rows():
    x = torch.randn(4, 5, 3, generator=generator(), **F64)  # 5 tokens, so 3 gradients span R^3
    model = nn.Linear(3, 1, bias=False).double()
    loss = EmpiricalLoss(model, lambda out, y: out.flatten(1).square().mean(1), x, x)
    assert jacobian_subspace(loss, loss.w0, 0).shape == (3, 3)


# -- random subspaces ----------------------------------------------------------------------------


@pytest.mark.parametrize("D", [1, 5, 20], ids="D={}".format)
def test_random_subspace_is_orthonormal(D):
    U = random_subspace(20, D, generator())
    torch.testing.assert_close(U.T @ U, torch.eye(D, **F64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("axis", [0, 7], ids="axis={}".format)
def test_random_subspace_captures_D_over_N_on_average(axis):
    """The captured fraction of a fixed direction is Beta(D/2, (N-D)/2)."""
    N, D, draws = 20, 4, 2000
    g = generator(5)
    captured = torch.stack([random_subspace(N, D, g)[axis].square().sum() for _ in range(draws)])
    mean, variance = D / N, 2 * D * (N - D) / (N**2 * (N + 2))
    assert abs(captured.mean() - mean) < 5 * (variance / draws) ** 0.5
    assert abs(captured.var() / variance - 1) < 0.25


def test_coordinate_subspaces_are_not_uniform():
    """Same mean, wrong variance: the comparison above would notice."""
    N, D, draws = 20, 4, 2000
    g = generator(5)
    captured = torch.stack([(torch.randperm(N, generator=g)[:D] == 0).any() for _ in range(draws)])
    variance = 2 * D * (N - D) / (N**2 * (N + 2))
    assert captured.double().var() / variance > 2


def test_random_subspace_dtype_and_generator():
    a, b = generator(1), generator(1)
    U, V = random_subspace(9, 2, a), random_subspace(9, 2, b, dtype=torch.float32)
    assert V.dtype == torch.float32
    torch.testing.assert_close(U.float(), V)
    assert not torch.equal(random_subspace(9, 2, a), U)  # the state advances
