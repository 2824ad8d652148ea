"""The studies of N25's protocol: measured by a different route, and a stored row again."""

import itertools

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import LinearOperator, eigsh

import landscape_nb as ln
from landscape_nb.study.evidence import n25, n25_formula, stored

F64 = torch.float64


def by_hand(means):
    """(L_{k+1} - L_k)^2 from plain means, k = 1 .. K-1, one column at a time."""
    L = [[np.mean(column[:k]) for column in means.T] for k in range(1, len(means) + 1)]
    return np.square(np.diff(L, axis=0))


def test_increments_of_cumulative_means():
    means = torch.rand(7, 3, generator=n25.seeded(0), dtype=F64)
    expected = by_hand(means.numpy())
    assert np.allclose(n25.in_order(means), expected)
    wrong = (means[1:] - means[:-1]).numpy() ** 2  # of batches, not of their means
    assert not np.allclose(wrong, expected)


def test_the_mean_over_all_orders_is_the_identity():
    means = torch.rand(5, 1, generator=n25.seeded(1), dtype=F64)
    orders = torch.tensor(list(itertools.permutations(range(5))))
    every = n25.in_order(means[orders][:, :, 0].T).mean(1)
    S2 = means.var(0).item()
    assert np.allclose(every, [S2 / (k * (k + 1)) for k in range(1, 5)])
    assert not np.allclose(every, [S2 / k**2 for k in range(1, 5)])


def test_each_point_has_an_order_of_its_own():
    means = torch.arange(24.0, dtype=F64).view(6, 4)
    found = n25.shuffled(means, n25.seeded(0))
    assert torch.equal(found.sort(0).values, means)
    ranks = found.argsort(0)
    assert any(not torch.equal(ranks[:, 0], ranks[:, j]) for j in range(1, 4))


@pytest.mark.parametrize("half", [2, 5])
def test_the_moving_average_repeats_the_ends(half):
    x = np.random.default_rng(0).normal(size=12)
    at = [np.clip(np.arange(i - half, i + half + 1), 0, 11) for i in range(12)]
    assert np.allclose(n25_formula.moving_average(x, half), [x[j].mean() for j in at])
    shrunk = [np.mean(x[max(0, i - half) : i + half + 1]) for i in range(12)]  # another rule
    assert not np.allclose(n25_formula.moving_average(x, half), shrunk)


def test_compressed_hessians_are_those_of_the_first_batches():
    loss, w = n25.kept(0)
    U = ln.random_subspace(len(w), 10, n25.seeded(0))
    B = n25_formula._compressed(loss, w, U)
    for k in (1, 4):
        assert torch.allclose(B[k - 1], U.T @ loss.hvp(w, U, k * n25.SIZE), atol=1e-10)
    assert len(B) == n25_formula.LAST


def test_full_eigenvalues_by_scipy(monkeypatch):
    monkeypatch.setattr(n25_formula, "LAST", n25_formula.FIRST)
    loss, w = n25.kept(0)
    start = n25.kept_top(0)
    (found,) = n25_formula._full_eigenvalues(loss, w, start)
    k = n25_formula.FIRST * n25.SIZE
    H = LinearOperator(
        (len(w),) * 2, lambda v: loss.hvp(w, torch.tensor(v).ravel(), k).numpy(), dtype=float
    )
    expected = np.sort(eigsh(H, 10, which="LA", return_eigenvectors=False, tol=1e-6))[::-1]
    assert np.allclose(found, expected, rtol=1e-2)


def test_a_stored_row_again():
    cloud = "random, D = 2, sigma = 0.1"
    (before,) = [r for r in stored.rows("n25") if r["seed"] == 0 and r["cloud"] == cloud]
    now = n25.measure(0, cloud)
    assert now["kept_slope"] == pytest.approx(-2, abs=1e-3)
    assert now["anew_slope"] == pytest.approx(before["anew_slope"], abs=0.1)
    assert now["kept_height"] == pytest.approx(before["kept_height"], rel=0.2)


def test_a_stored_trend_again():
    (before,) = [row for row in stored.rows("n25_formula") if row["seed"] == 0]
    now = n25_formula._anew_trend(0)
    for name in ("power", "power_five", "power_eleven"):
        assert now[name] == pytest.approx(before[name], abs=0.3)


def test_verdicts_of_the_stored_rows():
    formula, clouds = stored.figures("n25_formula"), stored.figures("n25")
    assert clouds["steeper_than_wide"].high < 0 and clouds["height_random_D"].low > 50
    assert formula["full_over_exact"].high < 1 < formula["full_over_ten_eleven"].low
    assert formula["apart_rises"].low < 0.5 < formula["apart_rises"].high
