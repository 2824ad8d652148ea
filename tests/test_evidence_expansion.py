"""The stored studies behind notebook 01's theory: `omitted` and `rate`.

Oracles: dense Hessians of single samples, N x N; the expansion by Gaussian directions in place of
chosen ones, and by the direct averages stored beside it; bounds written out again. Wrong on
purpose: a Hessian without its second layer; the increment's Hessian without the mean one; Eq. 15 as
all of sigma^4.
"""

import numpy as np
import pytest
import torch
from draws import F64, generator

import landscape_nb as ln
from landscape_nb.problems.learning import learning_problem
from landscape_nb.study.evidence import rate, stored
from landscape_nb.study.single_digits import compressed_hessians

cross_entropy = torch.nn.CrossEntropyLoss(reduction="none")


@pytest.fixture(scope="module")
def few_digits():
    x, y = ln.data.digits(6, seed=3)
    model = ln.models.MLP([64, 16, 10], generator=generator(3))
    loss = ln.EmpiricalLoss(model, cross_entropy, x, y)
    return loss, loss.w0 + 0.2 * torch.randn(loss.num_params, generator=generator(4), **F64)


@pytest.fixture(scope="module")
def dense(few_digits):
    loss, w = few_digits
    return torch.stack([loss.hessian(w, range(i, i + 1)) for i in range(6)])


def invariants(H):
    return torch.stack([
        H.diagonal(dim1=1, dim2=2).sum(1), H.square().sum((1, 2)),
        torch.linalg.eigvalsh(H).abs().amax(1),
    ])  # fmt: skip


def test_compressed_hessians_are_whole(few_digits, dense):
    small = compressed_hessians(*few_digits, torch.arange(6))
    assert small.shape == (6, 186, 186)
    torch.testing.assert_close(invariants(small), invariants(dense), rtol=1e-9, atol=1e-9)
    without = invariants(small[:, :16, :16])  # the first layer alone
    assert (without[0] < 0.9 * invariants(dense)[0]).any()


def test_full_curvature_by_dense_matrices(few_digits, dense):
    (loss, w), k = few_digits, 4
    A = (dense[k:] - dense[:k].mean(0)) / (k + 1)
    expected = [ln.spectral_formula(torch.linalg.eigvalsh(one), 1.0) for one in A]
    found = rate.full_curvature(loss, w, k)
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-9, atol=0)
    alone = [ln.spectral_formula(torch.linalg.eigvalsh(one / (k + 1)), 1.0) for one in dense[k:]]
    assert not torch.allclose(found, torch.stack(alone), rtol=1e-2)


@pytest.fixture(scope="module")
def trained():
    loss = learning_problem("digits, MLP").loss(0)
    w = ln.fit(loss, 271, tol=1e-4, max_iterations=1000).w
    return loss, w, ln.top_eigenpairs(loss, w, 271, 10).vectors


def of_seed_0(name, **cell):
    return [row for row in stored.rows(name) if row["seed"] == 0 and cell.items() <= row.items()]


def test_the_stored_expansion_is_what_random_directions_give(trained):
    """Another route than the stored one: Gaussian directions in place of the D^2 chosen ones."""
    (row,) = of_seed_0("omitted", k=271)
    drawn = ln.omitted_terms(*trained, 271, num_draws=24, generator=generator(1))
    for part in ("third", "fourth"):
        found = getattr(drawn, part)
        assert abs(float(found.value) - row[part]) < 5 * float(found.stderr)
    moment = ln.gaussian_moment(ln.next_sample_models(*trained, 271), 1.0)
    for part in ("value", "cross", "gradient", "curvature"):
        assert float(getattr(moment, part).mean()) == pytest.approx(row[part], rel=2e-2)
    assert row["third"] + row["fourth"] < -0.2 * row["curvature"]  # far from nothing


def test_direct_averages_agree_with_the_expansion_in_every_stored_row():
    away = [
        (row["raw_0.03"] - row["third"] - row["fourth"]) / row["raw_0.03_stderr"]
        for row in stored.rows("omitted")
    ]
    assert np.abs(away).max() < 4 and abs(np.mean(away)) < 1
    wrong = [row["raw_0.03"] / row["raw_0.03_stderr"] for row in stored.rows("omitted")]
    assert np.abs(wrong).max() > 8  # if Eq. 15 were all of sigma^4


def test_a_stored_bound_by_hand(trained):
    loss, w, U = trained
    row = next(r for r in of_seed_0("rate", k=271) if r["D"] == 10)
    each = ln.next_sample_models(loss, w, U, 271)
    curvature = torch.stack([ln.spectral_formula(torch.linalg.eigvalsh(B), 1.0) for B in each.B])
    assert float(curvature.max()) == pytest.approx(row["largest"], rel=2e-2)
    assert float(curvature.mean()) == pytest.approx(row["mean"], rel=2e-2)
    printed, effective = rate.curvature_terms(row)
    assert printed == pytest.approx(3 * 120 * row["M_hess"] ** 2 / 272**2)
    expected = 3 * (row["trace_rank"] ** 2 + 2 * row["stable_rank"]) * row["M_hess"] ** 2 / 272**2
    assert effective == pytest.approx(expected)


def test_bounds_hold_in_every_stored_row_and_are_ordered():
    for row in stored.rows("rate"):
        printed, effective = rate.curvature_terms(row)
        assert row["mean"] <= row["largest"] <= effective <= printed * 1.001
        assert effective / 12 < row["largest"] * 6  # without the proof's 12 it is near the truth
