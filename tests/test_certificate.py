"""The certificate of eigenpairs: what fresh products say, where a solver's own account is too kind.

Oracles: the matrix multiplied out in float64; faults of known size that are planted in its
products; for low precision, the same model's products by torch alone. The account is wrong on
purpose: it says 1e-7 and less for every planted fault.
"""

import math
import pickle
import re

import pytest
import torch
from draws import F64, generator, randn
from torch import nn
from torch.func import functional_call

from landscape_nb import ConvergenceError, increment_eigenpairs, largest_eigenpairs
from landscape_nb.numerics.certificate import certify
from landscape_nb.numerics.operators import ProductOperator, as_operator
from landscape_nb.theory.probes import random_subspace

N, LARGEST = 60, 10.0


@pytest.fixture(scope="module")
def A():
    """A symmetric matrix with eigenvalues 10/(i + 1)^1.5, in a random rotation."""
    R = random_subspace(N, N, generator())
    A = R @ torch.diag(torch.tensor([LARGEST / (i + 1) ** 1.5 for i in range(N)], **F64)) @ R.T
    return (A + A.T) / 2


def fresh(A, pairs):
    """Residuals by the matrix itself, in float64."""
    U, values = pairs.vectors.double(), pairs.values.double()
    return (A.double() @ U - U * values).norm(dim=0)


def claimed_and_found(message):
    """The worst residual by the solver's account, and by fresh products, in an error's words."""
    told = re.search(r"residuals of (\S+) at most, fresh products of (\S+) \(allowed", message)
    return float(told[1]), float(told[2])


# -- the block of products -------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 6, 7, None], ids="width={}".format)
def test_residuals_of_any_vectors_however_many_at_once(A, width):
    """Not eigenvectors: each residual is then large, and each is its own."""
    U, values = random_subspace(N, 4, generator(3)), torch.tensor([3.0, 1.0, 0.5, -2.0], **F64)
    H = as_operator(A)
    found = certify(H, values, U, random_subspace(N, 1, generator(4))[:, 0], width)
    expected = (A @ U - U @ torch.diag(values)).norm(dim=0)
    torch.testing.assert_close(found.residuals, expected, rtol=1e-13, atol=0)
    assert found.noise < 1e-14 * LARGEST and H.products == 6


@pytest.mark.parametrize("width", [1, 3, None], ids="width={}".format)
def test_the_measured_asymmetry_is_that_of_the_span(A, width):
    K = torch.triu(randn(N, N), 1)
    W = random_subspace(N, 4, generator(3))
    found = certify(as_operator(A + K), torch.zeros(3, **F64), W[:, :3], W[:, 3], width)
    exact = torch.linalg.matrix_norm(W.T @ (K - K.T) @ W, 2)
    assert found.asymmetry == pytest.approx(float(exact), rel=1e-12)
    assert found.nonlinearity < 1e-14 * LARGEST


def test_the_measured_non_linearity_is_the_constant_that_is_added(A):
    """H v + b: sum_j c_j + 2 - 1/3 copies of b, over the norm of the sum, are left."""
    b = randn(N)
    W = random_subspace(N, 4, generator(3))
    H = ProductOperator(lambda V: A @ V + b[:, None], b)
    found = certify(H, torch.zeros(3, **F64), W[:, :3], W[:, 3])
    c = torch.tensor([1 + math.cos(j) / 2 for j in (1, 2, 3)], **F64)
    c = c / c.norm()
    left = (1 / 3 - 1 - c.sum()).abs() * b.norm() / 2**0.5
    assert found.nonlinearity == pytest.approx(float(left), rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_many_rows_are_summed_piece_by_piece(dtype):
    """The exact residuals of a diagonal matrix, beyond the rows that fit one piece."""
    n = 200_000
    d, U = randn(n), torch.linalg.qr(randn(n, 4, seed=3)).Q
    found = certify(
        ProductOperator(lambda V: d.to(dtype)[:, None] * V, d.to(dtype)),
        torch.tensor([1.0, 0.0, -1.0], dtype=dtype), U[:, :3].to(dtype), U[:, 3].to(dtype),
    )  # fmt: skip
    exact = ((d[:, None] - torch.tensor([1.0, 0.0, -1.0])) * U[:, :3]).norm(dim=0)
    rtol = 1e-12 if dtype == torch.float64 else 1e-6
    torch.testing.assert_close(found.residuals, exact, rtol=rtol, atol=0)
    assert found.noise < 10 * torch.finfo(dtype).eps


# -- planted faults --------------------------------------------------------------------------------


def noisy(A, size, dtype):
    """Random noise, another one in every product, of this norm relative to the largest value."""
    g = generator(7)
    A = A.to(dtype)

    def products(V):
        e = torch.randn(V.shape, generator=g, **F64).to(dtype)
        return A @ V + size * LARGEST / N**0.5 * e

    return ProductOperator(products, A[0])


def rounded(A, size, dtype):
    """The same rounding whenever the same direction is multiplied."""
    step = size * LARGEST / N**0.5 * 12**0.5  # a uniform error of +- step/2 has this deviation
    A = A.to(dtype)
    return ProductOperator(lambda V: (A @ V / step).round() * step, A[0])


def coarse_directions(A, size, dtype):
    """Directions rounded to a few bits, as autocast does: homogeneous for powers of two only."""
    bits = 2.0 ** math.ceil(-math.log2(size))
    A = A.to(dtype)

    def products(V):
        unit = 2.0 ** V.abs().log2().floor() / bits
        return A @ ((V / unit).round() * unit)

    return ProductOperator(products, A[0])


def saturating(A, size, dtype):
    """Odd, smooth and non-linear: differences of gradients over a step would be like this."""
    A = A.to(dtype)
    return ProductOperator(lambda V: A @ V + size * LARGEST * V.norm(dim=0) * V, A[0])


def skew(A, size, dtype):
    """Linear but not symmetric: a wrong second derivative."""
    K = randn(N, N, seed=5)
    K = (K - K.T) / 2
    K = size * LARGEST * K / torch.linalg.matrix_norm(K, 2)
    A = (A + K).to(dtype)
    return ProductOperator(lambda V: A @ V, A[0])


FAULTS = [noisy, rounded, coarse_directions, saturating, skew]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("D", [1, 4], ids="D={}".format)
def test_a_fault_of_one_percent_is_refused(A, fault, dtype, D):
    with pytest.raises(ConvergenceError) as refused:
        largest_eigenpairs(fault(A, 1e-2, dtype), D)
    message, pairs = str(refused.value), refused.value.pairs
    cause = "symmetric, so the second" if fault is skew else "linear, so these products are not"
    assert f"A Hessian is {cause}" in message
    # rounded directions and skew parts reach a product through the smaller eigenvalues too
    assert 1e-4 * LARGEST < pairs.noise < 1e-1 * LARGEST
    assert refused.value.residuals is pairs.residuals


@pytest.mark.parametrize("fault", [rounded, coarse_directions, skew], ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_the_account_is_kind_and_the_residuals_are_true(A, fault, dtype):
    """D = N: the search ends with a perfect account, which fresh products deny."""
    H = fault(A, 1e-3, dtype)
    with pytest.raises(ConvergenceError, match="not certified") as refused:
        largest_eigenpairs(H, N)
    claimed, found = claimed_and_found(str(refused.value))
    pairs = refused.value.pairs
    again = (H @ pairs.vectors - pairs.vectors * pairs.values).double().norm(dim=0)
    assert claimed < 1e-6 < 1e-4 < found
    torch.testing.assert_close(
        pairs.residuals.double(), again, rtol=0, atol=100 * torch.finfo(dtype).eps * LARGEST
    )


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("size", [1e-6, 1e-8], ids="size={}".format)
@pytest.mark.parametrize("tol", [1e-3, 1e-4], ids="tol={}".format)
def test_a_fault_far_below_the_tolerance_is_carried(A, fault, size, tol):
    """No refusal, and the promise holds: an eigenvalue of A within residual + noise."""
    pairs = largest_eigenpairs(fault(A, size, torch.float64), 4, tol=tol)
    assert 0.01 * size * LARGEST < pairs.noise < 20 * size * LARGEST
    off = (pairs.values - torch.linalg.eigvalsh(A).flip(0)[:4]).abs()
    assert (off <= pairs.residuals + pairs.noise).all()
    planted = size * LARGEST if fault is not coarse_directions else 2 * size * LARGEST
    difference = (pairs.residuals - fresh(A, pairs)).abs()
    assert (difference <= 2 * planted).all()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__)
def test_the_tolerance_that_is_advised_is_enough(A, fault):
    with pytest.raises(ConvergenceError) as refused:
        largest_eigenpairs(fault(A, 3e-4, torch.float64), 2, tol=1e-5)
    advised = float(re.search(r"Or raise tol from 1e-05 to (\S+)\. ", str(refused.value))[1])
    assert 1e-4 < advised < 0.3
    pairs = largest_eigenpairs(fault(A, 3e-4, torch.float64), 2, tol=2 * advised)
    off = (pairs.values - torch.linalg.eigvalsh(A).flip(0)[:2]).abs()
    assert (off <= pairs.residuals + pairs.noise).all()


def test_a_skew_part_that_few_of_many_directions_meet_is_named():
    """5 % of the largest value, between two of 20 000: a direction of chance alone sees 3e-4."""
    d = torch.linspace(0, 1, 20_000, **F64)
    d[:2] = torch.tensor([10.0, 5.0], **F64)

    def products(V):
        HV = d[:, None] * V
        HV[0] += 0.5 * V[1]
        return HV

    with pytest.raises(ConvergenceError, match="A Hessian is symmetric, so") as refused:
        largest_eigenpairs(ProductOperator(products, d), 1, tol=1e-2)
    assert 0.005 < refused.value.pairs.noise / 0.5 < 1


def test_an_operator_that_changes_from_call_to_call_is_refused_without_a_cause(A):
    """One matrix while the solver looks, another one after it: both linear and symmetric."""
    calls = []

    def products(V):
        calls.append(V.shape[1])
        return A @ V * (1.0 if V.shape[1] == 1 else 1.01)

    with pytest.raises(ConvergenceError, match="do not tell the cause") as refused:
        largest_eigenpairs(ProductOperator(products, A[0]), 3)
    assert calls[-2:] == [2, 5] and set(calls[:-2]) == {1}  # a spot check, the whole certificate
    expected = [0.01 * float(value) for value in refused.value.pairs.values]
    assert refused.value.residuals.tolist() == pytest.approx(expected, rel=0.01)
    assert refused.value.pairs.noise < 1e-13


def test_pairs_that_have_not_converged_carry_true_residuals_and_noise_too(A):
    H = rounded(A, 1e-2, torch.float64)
    with pytest.raises(ConvergenceError, match="have not converged") as refused:
        largest_eigenpairs(H, 5, tol=1e-8, max_products=8)
    error = refused.value
    again = (H @ error.pairs.vectors - error.pairs.vectors * error.pairs.values).norm(dim=0)
    torch.testing.assert_close(error.residuals, again, rtol=1e-6, atol=1e-12)
    assert "miss linearity" in str(error)
    with pytest.raises(ConvergenceError, match="have not converged") as refused:
        largest_eigenpairs(A, 5, tol=1e-8, max_products=8)
    assert "miss linearity" not in str(refused.value)


def test_products_that_turn_infinite_at_the_end_are_refused_in_words(A):
    H = ProductOperator(lambda V: A @ V / (V.shape[1] == 1), A[0])
    with pytest.raises(ValueError, match="not finite though those before it were"):
        largest_eigenpairs(H, 2)


# -- low precision inside a model ------------------------------------------------------------------


class Autocast(nn.Module):
    """Linear layers in bfloat16 inside a float32 model."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.inner(x).float()


def products_by_torch(model, x, y):
    """V -> H V of the mean cross-entropy by torch alone, one backward pass for each column."""
    names, parameters = zip(*model.named_parameters(), strict=True)
    w = torch.cat([p.detach().reshape(-1) for p in parameters]).requires_grad_()
    pieces = w.split([p.numel() for p in parameters])
    at = {n: v.view(p.shape) for n, v, p in zip(names, pieces, parameters, strict=True)}
    loss = nn.functional.cross_entropy(functional_call(model, at, (x,)), y)
    g = torch.autograd.grad(loss, w, create_graph=True)[0]

    def products(V):
        columns = [torch.autograd.grad(g, w, v, retain_graph=True)[0] for v in V.unbind(1)]
        return torch.stack(columns, dim=1)

    return ProductOperator(products, w.detach())


def classifier(seed):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    return model, randn(24, 4, seed=seed), torch.randint(3, (24,), generator=generator(seed))


@pytest.mark.parametrize("seed", range(4), ids="seed={}".format)
def test_autocast_inside_forward_is_refused_with_numbers(seed):
    model, x, y = classifier(seed)
    H = products_by_torch(Autocast(model), x.float(), y)
    with pytest.raises(ConvergenceError, match="autocast") as refused:
        largest_eigenpairs(H, 5, tol=2e-5)
    pairs = refused.value.pairs
    claimed, found = claimed_and_found(str(refused.value))
    assert claimed < 2e-5 and found > 3e-4
    again = (H @ pairs.vectors - pairs.vectors * pairs.values).double().norm(dim=0)
    torch.testing.assert_close(pairs.residuals.double(), again, rtol=1e-4, atol=1e-6)
    assert 1e-3 < pairs.noise / float(pairs.values[0]) < 3e-2


@pytest.mark.parametrize("tol", [1e-3, 1e-4, 1e-6], ids="tol={}".format)
@pytest.mark.parametrize("seed", range(4), ids="seed={}".format)
def test_plain_float32_is_certified_as_before(seed, tol):
    """The same model without autocast: residuals against float64 are right to a few roundings."""
    model, x, y = classifier(seed)
    pairs = largest_eigenpairs(products_by_torch(model, x.float(), y), 5, tol=tol)
    exact = products_by_torch(model.double(), x.float().double(), y)
    true = (exact @ pairs.vectors.double() - pairs.vectors.double() * pairs.values).norm(dim=0)
    rounding = torch.finfo(torch.float32).eps * float(pairs.values[0])
    assert (true <= pairs.residuals + 10 * rounding).all()
    assert 0 < pairs.noise < 10 * rounding


# -- what travels with the pairs -------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1e-6], ids="fault={}".format)
@pytest.mark.parametrize("D", [1, 7, N], ids="D={}".format)
def test_what_a_certificate_costs(A, D, size):
    """Two products where all is as exact as the precision; else D + 2 more."""
    widths, faulty = [], skew(A, size, torch.float64)

    def products(V):
        widths.append(V.shape[1])
        return faulty @ V

    H = ProductOperator(products, A[0])
    pairs = largest_eigenpairs(H, D)
    block = [width for width in widths if width > 1]
    assert sum(widths) == H.products == pairs.hvp_count
    whole = [15, 15, 15, 15, 2] if D == N else [D + 2]  # pieces of a quarter of the basis
    assert block == ([2, *whole] if size else [2])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("D", [1, 7, 30], ids="D={}".format)
def test_residuals_that_a_spot_check_confirms_are_the_true_ones(A, D, dtype):
    pairs = largest_eigenpairs(A.to(dtype), D, tol=1e-2)
    off = pairs.residuals.double() - fresh(A.to(dtype), pairs)
    eps = torch.finfo(dtype).eps * LARGEST
    assert (off >= -5 * eps).all() and (off <= 30 * eps).all()
    assert D == 30 or pairs.residuals.max() > 1e-5  # else nothing is compared


def test_the_callers_generator_goes_on_as_if_nothing_had_been_drawn(A):
    g = generator(2)
    before = g.get_state()
    largest_eigenpairs(A, N, start=randn(N, 1), generator=g)  # its Krylov space is all of R^N
    assert torch.equal(g.get_state(), before)


def test_a_refusal_survives_pickling(A):
    with pytest.raises(ConvergenceError) as refused:
        largest_eigenpairs(skew(A, 1e-2, torch.float64), 2)
    copy = pickle.loads(pickle.dumps(refused.value))
    assert str(copy) == str(refused.value)
    assert torch.equal(copy.residuals, refused.value.residuals)
    assert copy.pairs.noise == refused.value.pairs.noise > 0


def test_pairs_of_both_ends_carry_the_larger_noise(mlp_problem, monkeypatch):
    """`increment_eigenpairs` joins two searches; the second one's products are the noisy ones."""
    from landscape_nb.theory import probes

    noises = iter([1e-7, 3e-7])

    def counted(*args, **settings):
        pairs = largest_eigenpairs(*args, **settings)
        object.__setattr__(pairs, "noise", next(noises))
        return pairs

    monkeypatch.setattr(probes, "largest_eigenpairs", counted)
    p = mlp_problem(l2=0.2)
    assert increment_eigenpairs(p.loss, p.w, 6, 4).noise == 3e-7
