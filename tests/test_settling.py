"""Losses of unseen samples along k: every column by a route of its own, and the stored study.

Oracles: scikit-learn's ridge regression for the minimiser, NumPy for every average. Wrong on
purpose: a mean over all samples instead of the unseen ones, T without the training loss in it.
"""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import nn

from landscape_nb import EmpiricalLoss, sweep
from landscape_nb.__main__ import main
from landscape_nb.problems.learning import LEARNING_PROBLEMS, learning_problem
from landscape_nb.study.settling import STORED, settle, settle_problem, stored_settling
from landscape_nb.theory.tails import tail

pytestmark = pytest.mark.usefixtures("one_thread")


def ridge_problem(n=90, p=4, l2=0.1):
    draw = np.random.default_rng(0)
    X = draw.normal(size=(n, p))
    y = X @ draw.normal(size=p) + draw.standard_t(4, size=n)
    model = nn.Linear(p, 1, bias=False).double()
    loss = EmpiricalLoss(
        model, lambda out, t: (out[:, 0] - t).square(), torch.tensor(X), torch.tensor(y), l2=l2
    )
    return X, y, l2, loss


@pytest.fixture(scope="module")
def rows():
    return settle(ridge_problem()[-1], [10, 30, 60], tol=1e-6)


def test_every_column_by_ridge_regression(rows):
    """L2 of half l2 |w|^2 beside a mean of squares is Ridge's alpha = k l2 / 2."""
    X, y, l2, _ = ridge_problem()
    for row in rows:
        k = row["k"]
        w = Ridge(alpha=k * l2 / 2, fit_intercept=False).fit(X[:k], y[:k]).coef_
        losses = (X @ w - y) ** 2
        seen, unseen = losses[:k].mean(), losses[k:]
        squares = (unseen - seen) ** 2
        expected = {
            "unseen": 90 - k,
            "loss": seen,
            "unseen_loss": unseen.mean(),
            "unseen_stderr": unseen.std(ddof=1) / (90 - k) ** 0.5,
            "T": squares.mean(),
            "T_stderr": squares.std(ddof=1) / (90 - k) ** 0.5,
            "delta1": np.abs(unseen - seen).mean() / (k + 1),
            "hardest": np.sort(squares)[-int(np.ceil((90 - k) / 20)) :].sum() / squares.sum(),
        }
        for name, value in expected.items():
            assert row[name] == pytest.approx(value, rel=1e-3), name
        assert row["T"] != pytest.approx(((losses - seen) ** 2).mean(), rel=1e-3)
        assert row["T"] != pytest.approx(unseen.var(), rel=1e-3)
        assert row["grad_norm"] <= 1e-6


def test_tail_index_is_that_of_the_squared_increments(rows):
    X, y, l2, loss = ridge_problem()
    w = Ridge(alpha=30 * l2 / 2, fit_intercept=False).fit(X[:30], y[:30]).coef_
    losses = torch.tensor((X @ w - y) ** 2)
    increments = (losses[30:] - losses[:30].mean()) / 31
    assert rows[1]["tail_index"] == pytest.approx(tail(increments.square()).index, rel=1e-2)


def test_a_warm_start_changes_nothing_where_there_is_one_minimiser():
    loss = learning_problem("digits, linear").loss(0)
    cold, warm = (settle(loss, [40, 57, 80], tol=1e-6, warm=warm) for warm in (False, True))
    for one, other in zip(cold, warm, strict=True):
        for name in ("loss", "unseen_loss", "T", "delta1"):
            assert one[name] == pytest.approx(other[name], rel=1e-3)


def test_a_cold_start_is_the_models_own_parameters():
    loss = learning_problem("diabetes, MLP").loss(3)
    alone = settle(loss, [16])[0]
    after_others = settle(loss, [8, 11, 16])[-1]
    assert alone == after_others
    assert settle(loss, [8, 11, 16], warm=True)[-1] != alone


def test_four_digits(rows):
    assert all(value == float(f"{value:.4g}") for row in rows for value in row.values())


@pytest.mark.parametrize(
    ("ks", "message"),
    [([0, 5], "k must be"), ([5, 5], "increasing"), ([89], "k must be between"), ([], "ks")],
)
def test_bad_ks(ks, message):
    with pytest.raises(ValueError, match=message):
        settle(ridge_problem()[-1], ks)


def test_an_unknown_problem_is_named_with_those_that_there_are():
    with pytest.raises(ValueError, match="no learning problem 'digits'.*'digits, linear'"):
        settle_problem("digits", 0)


# -- the seven problems ----------------------------------------------------------------------------


@pytest.mark.parametrize("problem", LEARNING_PROBLEMS, ids=lambda p: p.name)
def test_a_seed_decides_order_and_weights(problem):
    one, again, other = (problem.loss(seed) for seed in (5, 5, 6))
    w = one.w0
    assert torch.equal(w, again.w0) and not torch.equal(w, other.w0)
    assert torch.equal(one.per_sample(w, 20), again.per_sample(w, 20))
    assert not torch.allclose(one.per_sample(w, 20), other.per_sample(w, 20))
    assert problem.ks[-1] == problem.k_max and one.num_samples - problem.k_max >= 186
    steps = np.diff(np.log2(problem.ks))
    assert np.abs(steps - 0.5).max() < 0.08  # whole numbers near half doublings


# -- the stored study ------------------------------------------------------------------------------


def test_the_stored_study_is_whole():
    rows = stored_settling()
    for problem in LEARNING_PROBLEMS:
        mine = [row for row in rows if row["problem"] == problem.name]
        assert [row["k"] for row in mine] == 20 * problem.ks
        assert [row["seed"] for row in mine][:: len(problem.ks)] == list(range(20))
    for row in rows:
        T, gap = row["T"], row["unseen_loss"] - row["loss"]
        assert T >= gap**2 * (1 - 1e-3)  # T is a variance and a squared gap
        assert (row["delta1"] * (row["k"] + 1)) ** 2 <= T * (1 + 1e-3)
        assert 0.05 <= row["hardest"] <= 1


def test_the_stored_study_is_what_the_code_measures(tmp_path):
    """A convex problem: its minimisers do not depend on the machine."""
    grid = {"problem": ["digits, linear"], "seed": [0]}
    fresh = sweep(settle_problem, grid, tmp_path / "fresh.jsonl", progress=False)
    stored = [r for r in stored_settling() if r["problem"] == "digits, linear" and r["seed"] == 0]
    for one, other in zip(fresh, stored, strict=True):
        for name in ("unseen", "k"):
            assert one[name] == other[name]
        for name in ("loss", "unseen_loss", "T", "T_stderr", "delta1", "hardest"):
            assert one[name] == pytest.approx(other[name], rel=0.02), name


def test_the_stored_study_is_small():
    assert STORED.stat().st_size < 500_000


# -- the command -----------------------------------------------------------------------------------


def test_the_command_goes_on_where_it_was_cut_off(tmp_path, capsys):
    path = tmp_path / "few.jsonl"
    command = ["settle", str(path), "--problem", "diabetes, MLP", "--seeds"]
    assert main([*command, "1"]) == 0
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])  # killed while it wrote
    assert main([*command, "2"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"22 rows in {path}"
    lines = path.read_bytes().splitlines(keepends=True)
    assert b"".join(lines[:2]) == whole and len(lines) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--problem", "poetry"], "no learning problem 'poetry'"),
        (["--seeds", "0"], "seeds must be at least 1"),
    ],
)
def test_the_command_refuses(tmp_path, capsys, options, message):
    assert main(["settle", str(tmp_path / "none.jsonl"), *options]) == 2
    assert message in capsys.readouterr().err
