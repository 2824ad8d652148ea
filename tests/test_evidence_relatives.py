"""The stored studies of the criterion's relatives: what they measure, by another route.

One cheap row of each is measured again. Training is a minimisation in float64: two machines agree
to a few digits, not to the last.
"""

import pytest
import torch

import landscape_nb as ln
from landscape_nb.study.evidence import influence, learning_coefficient, sharpness, stored
from landscape_nb.theory.probes import top_eigenpairs
from landscape_nb.theory.sharpness import adaptive_hessian


@pytest.fixture(scope="module")
def added():
    loss = influence.problem("linear", 0)
    return loss, influence.additions(loss, 200, range(200, 232), influence.HELD_OUT)


def test_foretold_by_dense_matrices_as_by_products_alone(added):
    """Oracle: `influence_step`, by conjugate gradients."""
    loss, columns = added
    w = ln.fit(loss, 200, tol=1e-7).w
    for j in range(3):
        moved = ln.influence_step(loss, w, 200, 200 + j)
        assert moved.increment == pytest.approx(float(columns["I"][j]), rel=1e-6)
        assert float(moved.step.norm()) == pytest.approx(
            float(columns["step_influence"][j]), rel=1e-4
        )
        assert moved.change_of_minimum == pytest.approx(
            float(columns["minimum_influence"][j]), rel=1e-3, abs=1e-7
        )
        held = moved.change_of_loss(loss, w, influence.HELD_OUT)
        assert held == pytest.approx(float(columns["held_out_influence"][j]), rel=1e-3, abs=1e-6)


def test_the_truth_is_a_training_from_scratch_where_there_is_one_minimiser(added):
    loss, columns = added
    before = ln.fit(loss, 200, tol=1e-7)
    for j in range(3):
        after = ln.fit(loss, influence.with_sample(200, 200 + j), tol=1e-7)
        assert after.value - before.value == pytest.approx(float(columns["minimum"][j]), rel=1e-3)
        step = float((after.w - before.w).norm())
        assert step == pytest.approx(float(columns["step"][j]), rel=0.01)


def test_the_minimum_changes_by_less_than_the_increment(added):
    _, columns = added
    assert (columns["minimum"] <= columns["I"] + 1e-9).all()


def test_agreement_knows_a_perfect_and_a_reversed_order():
    x = torch.tensor([0.1, 0.3, 0.2, 0.7]).double()
    columns = {name: x for name in _COLUMNS} | {"held_out_influence": -x}
    row = influence.agreement(columns)
    assert row["rank_step_influence"] == 1 and row["rank_held_out_influence"] == -1
    assert row["error_minimum_increment"] == 0 and row["error_held_out_influence"] == 2


_COLUMNS = ("I", "step_error", "step_error_newton") + tuple(
    f"{what}{way}"
    for what in ("step", "held_out", "minimum")
    for way in ("", "_influence", "_newton")
)


def test_sharpness_by_products_alone():
    """Oracle: Krylov solver on operators, trace by every unit vector's quadratic form."""
    loss = influence.problem("network", 0)
    w, k = loss.w0, 50
    found = sharpness.sharpness(loss, w, k)
    top = top_eigenpairs(loss.without_l2(), w, k, 1).values[0]
    relative = ln.largest_eigenpairs(adaptive_hessian(loss, w, k), 1).values[0]
    assert found["largest"] == pytest.approx(float(top), rel=1e-4)
    assert found["adaptive"] == pytest.approx(float(relative), rel=1e-4)
    signs = ln.hutchinson_trace(
        loss.without_l2().hessian_operator(w, k), 200, torch.Generator().manual_seed(0)
    )
    assert abs(found["trace"] - float(signs.value)) < 4 * float(signs.stderr)


def test_the_value_dominates_the_criterion_there():
    loss = influence.problem("network", 0)
    w = ln.fit(loss, 50, tol=1e-3).w
    row = sharpness.criteria(loss, w, 50)
    mean_square = float(ln.next_sample_mean(loss.per_sample(w), 50))
    assert row["delta2"] == pytest.approx(mean_square, rel=0.2)
    assert row["centred"] < 0.05 * row["delta2"]


def stored_row(name, **cell):
    rows = [r for r in stored.rows(name) if all(r[key] == value for key, value in cell.items())]
    return rows[0]


def test_a_stored_row_of_sharpness_is_measured_again():
    loss = influence.problem("network", 3)
    w = ln.fit(loss, 50, tol=1e-4).w
    row = stored_row("sharpness", part="along k", seed=3, k=50)
    for name, value in sharpness.sharpness(loss, w, 50).items():
        assert value == pytest.approx(row[name], rel=0.05)


def test_stored_rows_of_a_rescaling_are_measured_again():
    """No change to the last digits, or a large one, on every machine."""
    (row,) = sharpness.measure(0, "rescaled")
    kept = stored_row("sharpness", part="rescaled", seed=0)
    for name in sharpness.EXACT:
        assert row[f"{name}_off"] < 1e-9
    for name in ("largest", "trace", "centred", "subspace_centred"):
        assert row[name] > 3
        assert row[name] == pytest.approx(kept[name], rel=0.3)


def test_a_stored_row_of_influence_is_measured_again(added):
    row = stored_row("influence", case="linear", seed=0)
    for name, value in influence.agreement(added[1]).items():
        near = {"abs": 0.03} if name.startswith("rank") else {"rel": 0.1}
        assert value == pytest.approx(row[name], **near), name


def test_a_stored_row_of_the_learning_coefficient_is_measured_again():
    """Training stops early and the sampler draws: the Hessian's count agrees, the draws nearly."""
    loss, w = learning_coefficient.trained(0, *learning_coefficient.CASES["width 4"])
    row = stored_row("learning_coefficient", case="width 4", seed=0)
    assert float(loss.value(w, 200)) == pytest.approx(row["train"], rel=0.2)
    found = ln.local_learning_coefficient(
        loss, w, 200, torch.Generator().manual_seed(1), draws=200, burn_in=200, chains=2
    )
    assert 2 * found.value == pytest.approx(row["dimension"], rel=0.5)


def test_every_figure_rests_on_ten_seeds():
    for name in ("influence", "sharpness", "learning_coefficient"):
        figures = stored.figures(name)
        assert {figure.count for figure in figures.values()} == {10}, name
