"""The studies `flatness` and `edge`: what they measure, by a different route, and a row again."""

import numpy as np
import pytest
import torch
from scipy import stats

from landscape_nb.study.evidence import edge, flatness, stored


@pytest.fixture(scope="module")
def solution():
    at = flatness.task(0)
    w, _ = flatness.train(at, flatness.RECIPES["SAM 0.3"], 0)
    return at, w


def test_training_ends_at_the_loss_that_was_set(solution):
    at, w = solution
    assert 0.5 * flatness.GOAL < float(at.loss.value(w, flatness.TRAIN)) <= flatness.GOAL


def test_a_sharpness_aware_step_by_hand(monkeypatch):
    monkeypatch.setattr(flatness, "MOST_STEPS", 1)
    at, how = flatness.task(1), flatness.Recipe(batch=flatness.TRAIN, rho=0.3, lr=0.2)
    w, step = flatness.train(at, how, 1)
    g = at.loss.gradient(at.loss.w0, flatness.TRAIN)
    uphill = at.loss.gradient(at.loss.w0 + 0.3 * g / g.norm(), flatness.TRAIN)
    assert step == 1 and torch.allclose(w, at.loss.w0 - 0.2 * uphill)
    assert not torch.allclose(w, at.loss.w0 - 0.2 * g)


def test_outputs_are_the_models(solution):
    at, w = solution
    assert torch.allclose(flatness.outputs(w, at.x[:50]), at.loss.outputs(w, range(50)))


def test_classes_and_samples_are_kept_apart():
    at = flatness.task(0)
    assert int(at.y[: flatness.TRAIN].max()) == 6 and int(at.y[at.held].max()) == 6
    assert int(at.y[at.tune].min()) == int(at.y[at.new].min()) == 7
    every = torch.cat([torch.arange(flatness.TRAIN), at.held, at.tune, at.new])
    assert torch.equal(every.sort().values, torch.arange(1797))


def test_rescaling_changes_sharpness_and_neither_function_nor_adaptive_measure(solution):
    at, w = solution
    moved = flatness.rescaled(at.loss, w, 3.0)
    assert torch.allclose(flatness.outputs(moved, at.x), flatness.outputs(w, at.x))
    before, after = (flatness.sharpnesses(at, v, 0, 0) for v in (w, moved))
    assert after["adaptive"] == pytest.approx(before["adaptive"], rel=1e-6)
    assert abs(after["trace"] / before["trace"] - 1) > 0.5


def test_traces_by_the_diagonal(solution):
    at, w = solution
    H = at.loss.hessian(w, flatness.TRAIN)
    diagonal = torch.diagonal(H)
    found = flatness.sharpnesses(at, w, 0, 0)
    assert found["trace"] == pytest.approx(float(diagonal.sum()), rel=0.25)  # 40 draws
    generator = torch.Generator().manual_seed(2000)  # the same draws, with the dense matrix
    V = w[:, None] * (2.0 * torch.randint(0, 2, (len(w), 40), generator=generator) - 1).double()
    assert found["adaptive"] == pytest.approx(float((V * (H @ V)).sum(0).mean()), rel=1e-6)
    assert found["adaptive"] == pytest.approx(float((w**2 * diagonal).sum()), rel=0.5)


def test_the_attack_goes_along_the_sign_of_differences(solution):
    at, w = solution
    x, y = at.x[at.held][:1], at.y[at.held][:1]
    _, slope = flatness._loss_and_input_gradient(w, x, y)

    def value(z):
        return float(torch.nn.functional.cross_entropy(flatness.outputs(w, z), y))

    steps = 1e-6 * torch.eye(64, dtype=x.dtype)
    differences = [(value(x + e) - value(x - e)) / 2e-6 for e in steps]
    assert np.allclose(slope[0], differences, atol=1e-6)


def test_rank_correlations_by_scipy():
    draws = np.random.default_rng(0)
    rows = [
        {"seed": seed, **dict(zip("xyz", draws.normal(size=3), strict=True))}
        for seed in (0, 1)
        for _ in range(12)
    ]
    for seed, found in enumerate(flatness.rank_correlations(rows, "x", "y")):
        own = [row for row in rows if row["seed"] == seed]
        x, y = ([row[name] for row in own] for name in "xy")
        assert found == pytest.approx(stats.spearmanr(x, y).statistic)


def test_what_is_left_at_equal_ranks_by_residuals():
    draws = np.random.default_rng(1)
    rows = [{"seed": 0, **dict(zip("xyz", draws.normal(size=3), strict=True))} for _ in range(15)]
    rows = [{**row, "y": row["y"] + 2 * row["z"], "x": row["x"] + row["z"]} for row in rows]
    (found,) = flatness.rank_correlations(rows, "x", "y", given="z")
    x, y, z = (stats.rankdata([row[name] for row in rows]) for name in "xyz")
    left = [v - np.polyval(np.polyfit(z, v, 1), z) for v in (x, y)]
    assert found == pytest.approx(np.corrcoef(left)[0, 1])
    assert abs(found - stats.spearmanr(x, y).statistic) > 0.1


def test_a_stored_solution_again(solution):
    (before,) = [
        row for row in stored.rows("flatness") if row["seed"] == 0 and row["recipe"] == "SAM 0.3"
    ]
    now = flatness.measure(0, "SAM 0.3")
    for name in ("top", "adaptive", "held_loss", "attacked"):
        assert now[name] == pytest.approx(before[name], rel=0.2), name


def test_sharpness_by_the_dense_hessian():
    loss = edge.small_net(0, edge.squared)
    dense = torch.linalg.eigvalsh(loss.hessian(loss.w0, edge.SAMPLES))[-1]
    assert edge._sharpness(loss, loss.w0) == pytest.approx(float(dense), rel=1e-3)


def test_a_stored_run_again():
    (before,) = [row for row in stored.rows("edge") if row["seed"] == 0]
    now = edge._batches(0, 0.1)
    for name in ("steps_5", "steps_100", "value_5", "value_100"):
        assert now[name] == pytest.approx(before[f"{name}_0.1"], rel=0.02), name


def test_ratios_leave_out_what_did_not_come_so_far():
    rows = [{"loss_100_0.3": 2.0, "loss_5_0.3": 1.0}, {"loss_100_0.3": 2.0, "loss_5_0.3": np.nan}]
    assert edge.ratios(rows, "loss", 0.3) == [2.0]


def test_verdicts_of_the_stored_rows():
    found, flat = stored.figures("edge"), stored.figures("flatness")
    assert found["larger_rate_flatter"].low > 0 and found["full_over_small_steps_0p1"].low > 1
    assert flat["adaptive_held_loss"].low > 0 > flat["top_new_loss"].high
    assert flat["alike_held_loss"].low < 0 < flat["alike_held_loss"].high


def test_solutions_that_never_reached_the_loss_are_left_out():
    rows = stored.rows("flatness")
    failed = [row for row in rows if row not in flatness.reached(rows)]
    assert {row["recipe"] for row in failed} == {"lr 0.6, batch 4"} and len(failed) == 12
