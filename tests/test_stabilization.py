"""One cell of a stabilization study: every column against a route of its own.

Oracles: the losses of torch.func.functional_call alone, dense Hessians by torch.func and eigh, and
`gaussian_moment` of one increment model after the other on reordered data. Wrong on purpose, for
each column: the list in `wrong_values`.
"""

import functools
import inspect
import math
import pickle

import pytest
import torch
from sharded import make_loss, make_other_loss
from torch import nn
from torch.func import functional_call, grad, hessian

from landscape_nb import (
    EmpiricalLoss,
    SweepFileError,
    fit,
    gaussian_moment,
    increment_model,
    random_subspace,
    read_sweep,
    stabilization,
    sweep,
    tail_index,
    top_eigenpairs,
)
from landscape_nb.numerics import samples as samples_module

DS, SIGMAS = [1, 3], [1e-2, 0.3]
PARTS = ["total", "value", "cross", "gradient", "curvature", "centred"]
COLUMNS = ["loss", "unseen_loss", "grad_norm", "converged", "lambda_1", "residual", "delta1"]
COLUMNS += ["hardest", "tail_index"]
COLUMNS += ["probe", "D", "sigma", *PARTS]

measure = stabilization(make_loss, Ds=DS, sigmas=SIGMAS)


def reference(loss):
    """L(w, samples) of an `EmpiricalLoss` by torch alone, in float64."""
    model, named = loss.model.double(), dict(loss.model.named_parameters())
    inputs, targets = loss.inputs.double(), loss.targets

    def L(w, samples):
        pieces = w.split([p.numel() for p in named.values()])
        at_w = {k: v.view(p.shape) for (k, p), v in zip(named.items(), pieces, strict=True)}
        outputs = functional_call(model, at_w, (inputs[samples],))
        return nn.functional.cross_entropy(outputs, targets[samples]) + loss.l2 / 2 * (w @ w)

    return L


def reordered(make, order, **names):
    """The same loss with its samples in another order."""
    loss = make(**names)
    parts = loss.inputs[order], loss.targets[order]
    return EmpiricalLoss(loss.model, loss.loss_fn, *parts, loss.l2)


def known(make, k, **names):
    """The columns that do not depend on the probe, from the minimiser on, by torch alone."""
    w = fit(make(**names), k).w.double()
    L, n = reference(make(**names)), make(**names).num_samples
    first, unseen = list(range(k)), range(k, n)
    top = torch.linalg.eigvalsh(hessian(L)(w, first))[-1]
    l2_term = make(**names).l2 / 2 * (w @ w)
    changes = [float((L(w, [*first, i]) - L(w, first)).abs()) for i in unseen]
    squares = sorted(change**2 for change in changes)
    return {
        "loss": float(L(w, first)),
        "unseen_loss": float(sum(L(w, [i]) - l2_term for i in unseen) / len(unseen)),
        "grad_norm": float(grad(L)(w, first).norm()),
        "lambda_1": float(top),
        "delta1": float(sum(changes) / len(unseen)),
        "hardest": sum(squares[-math.ceil(len(unseen) / 20) :]) / sum(squares),
    }


def moments(make, k, probe, D, sigma, **names):
    """The averaged Gaussian moment, one unseen sample after the other."""
    loss = make(**names)
    w = fit(loss, k).w
    if probe == "top":
        U = top_eigenpairs(loss, w, k, DS[-1]).vectors[:, :D]
    else:
        U = random_subspace(loss.num_params, DS[-1], torch.Generator().manual_seed(0))[:, :D]
    U, found = U.to(w), []
    for i in range(k, loss.num_samples):
        one = increment_model(reordered(make, [*range(k), i], **names), w, U, k)
        found.append(gaussian_moment(one, sigma))
    return {part: float(sum(getattr(m, part) for m in found) / len(found)) for part in PARTS}


def same(rows, expected, rel=1e-9):
    """Numbers up to rounding (which derivatives are used is a matter of speed), the rest exact."""
    assert len(rows) == len(expected)
    for row, other in zip(rows, expected, strict=True):
        assert list(row) == list(other)
        for name, value in row.items():
            if isinstance(value, float):
                assert value == pytest.approx(other[name], rel=rel, abs=1e-18), name
            else:
                assert value == other[name], name


# -- columns ---------------------------------------------------------------------------------------

CELLS = [dict(k=1), dict(k=6), dict(k=13), dict(k=6, seed=3, l2=0.3), dict(k=5, n=9)]
cells = pytest.mark.parametrize("cell", CELLS, ids=str)


@pytest.fixture(scope="module")
def rows_of():
    """The rows of a cell, measured once."""
    measured = {}

    def rows(**cell):
        key = str(cell)
        if key not in measured:
            measured[key] = measure(**cell)
        return measured[key]

    return rows


@cells
def test_columns_of_the_fit_are_those_of_torch_alone(rows_of, cell):
    expected, rows = known(make_loss, **cell), rows_of(**cell)
    for row in rows:
        for name in ("loss", "unseen_loss", "delta1"):
            assert row[name] == pytest.approx(expected[name], rel=1e-10)
        assert row["grad_norm"] == pytest.approx(expected["grad_norm"], abs=1e-12)
        assert row["lambda_1"] == pytest.approx(expected["lambda_1"], rel=1e-6)
        assert row["converged"] is True and row["grad_norm"] <= 1e-5


@cells
@pytest.mark.parametrize("probe", ["top", "random"])
def test_moments_are_averages_over_one_increment_after_the_other(rows_of, cell, probe):
    rows = [row for row in rows_of(**cell) if row["probe"] == probe]
    for row in rows:
        expected = moments(make_loss, probe=probe, D=row["D"], sigma=row["sigma"], **cell)
        for part in PARTS:
            assert row[part] == pytest.approx(expected[part], rel=1e-9, abs=1e-16), part


def test_the_residual_is_the_worst_relative_to_the_largest_eigenvalue(rows_of):
    loss = make_loss()
    w = fit(loss, 6).w
    pairs = top_eigenpairs(loss, w, 6, DS[-1])
    H = hessian(reference(loss))(w, list(range(6)))
    apart = (H @ pairs.vectors - pairs.vectors * pairs.values).norm(dim=0)
    found = rows_of(k=6)[0]["residual"]
    assert found == pytest.approx(float(apart.max() / pairs.values[0]), rel=1e-6)
    wrong = [apart.max(), apart[0] / pairs.values[0], (apart / pairs.values).max()]
    for value in map(float, wrong):
        assert found != pytest.approx(value, rel=1e-2)


# -- wrong formulas --------------------------------------------------------------------------------


def wrong_values(k, sigma=SIGMAS[1]):
    """What plausible mistakes give, as (column, value), for the top probe at D = 3."""
    loss = make_loss()
    w, L, n = fit(loss, k).w, reference(make_loss()), loss.num_samples
    losses, mean = loss.per_sample(w), loss.per_sample(w, k).mean()
    increments = (losses[k:] - mean) / (k + 1)
    U = top_eigenpairs(loss, w, k, DS[-1]).vectors
    every = [increment_model(reordered(make_loss, [*range(k), i]), w, U, k) for i in range(k, n)]
    next_one = gaussian_moment(every[0], sigma)
    average = type(every[0])(*(sum(getattr(m, q) for m in every) / len(every) for q in "acB"))
    of_the_average = gaussian_moment(average, sigma)
    narrow = gaussian_moment(every[0].leading(1), sigma)
    eigenvalues = torch.linalg.eigvalsh(hessian(L)(w, list(range(k))))
    wrong = [
        ("loss", mean),
        ("loss", loss.value(w, k + 1)),
        ("unseen_loss", losses.mean()),
        ("unseen_loss", losses[k]),
        ("unseen_loss", losses[k:].mean() + loss.l2 / 2 * (w @ w)),
        ("delta1", increments.abs().mean() * (k + 1) / k),
        ("delta1", increments.mean().abs()),
        ("delta1", increments[0].abs()),
        ("delta1", increments.square().mean().sqrt()),
        ("delta1", (losses[k:] - loss.value(w, k)).abs().mean() / (k + 1)),
        ("hardest", increments.abs().max() / increments.abs().sum()),
        ("hardest", increments.square().max() / losses.square().sum()),
        ("lambda_1", eigenvalues[-1] - loss.l2),
        ("lambda_1", torch.linalg.eigvalsh(hessian(L)(w, list(range(n))))[-1]),
        ("lambda_1", eigenvalues[-2]),
    ]
    wrong += [(q, getattr(m, q)) for m in (next_one, of_the_average, narrow) for q in PARTS]
    return [(name, float(value)) for name, value in wrong]


def test_wrong_formulas_are_rejected(rows_of):
    (row,) = (
        row
        for row in rows_of(k=6)
        if (row["probe"], row["D"], row["sigma"]) == ("top", 3, SIGMAS[1])
    )
    wrong = wrong_values(k=6)
    known_wrong = {"loss", "unseen_loss", "delta1", "hardest", "lambda_1"}
    assert {name for name, _ in wrong} == {*known_wrong, *PARTS}
    for name, value in wrong:
        assert row[name] != pytest.approx(value, rel=1e-3), name
    parts = sum(row[part] for part in ("value", "cross", "gradient", "curvature"))
    assert row["total"] == pytest.approx(parts, rel=1e-12)
    assert row["centred"] != pytest.approx(row["total"] - row["value"], rel=1e-3)


# -- rows ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("Ds", "sigmas"), [(DS, SIGMAS), ([2], [0.1]), (range(1, 4), [0.1])], ids=str
)
def test_one_row_for_each_probe_D_and_sigma_in_order(Ds, sigmas):
    rows = stabilization(make_loss, Ds=Ds, sigmas=sigmas)(k=6)
    order = [(row["probe"], row["D"], row["sigma"]) for row in rows]
    assert order == [(p, D, s) for p in ("top", "random") for D in Ds for s in sigmas]
    for row in rows:
        assert list(row) == COLUMNS
        assert {name for name, value in row.items() if not isinstance(value, float)} == {
            "converged", "probe", "D", "tail_index",  # too few samples for one
        }  # fmt: skip


def test_a_wider_study_holds_the_narrower_one(rows_of):
    """Top probes are nested; the random one is drawn anew for another largest D."""
    wider = stabilization(make_loss, Ds=[1, 3, 5], sigmas=SIGMAS)(k=6)
    shared = [row for row in wider if row["D"] in DS and row["probe"] == "top"]
    for row, other in zip(shared, rows_of(k=6)[:4], strict=True):
        # the eigenvectors are as good as their residuals, 1e-4
        same([row | {"residual": 0.0}], [other | {"residual": 0.0}], rel=1e-2)


@pytest.mark.parametrize("contraction", [True, False], ids="contraction={}".format)
def test_the_same_cell_gives_the_same_rows(rows_of, monkeypatch, contraction):
    """Whichever way the samples' derivatives are taken."""
    monkeypatch.setattr(samples_module, "fits", lambda *_: contraction)
    again = measure(k=6)
    same(again, rows_of(k=6))
    assert again == measure(k=6)


def test_a_cell_neither_uses_nor_changes_the_global_random_state():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    rows = measure(k=6)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(6)
    same(measure(k=6), rows)


def test_tol_is_the_gradient_norm_at_which_the_fit_stops():
    (coarse, *_) = stabilization(make_loss, Ds=[1], sigmas=[0.1], tol=0.05)(k=6)
    (fine, *_) = stabilization(make_loss, Ds=[1], sigmas=[0.1], tol=1e-8)(k=6)
    assert 1e-4 < coarse["grad_norm"] <= 0.05 and fine["grad_norm"] <= 1e-8
    assert coarse["converged"] and fine["converged"]
    ours = inspect.signature(stabilization).parameters["tol"].default
    assert ours == inspect.signature(fit).parameters["tol"].default == 1e-5


def test_a_fit_that_does_not_converge_says_so():
    rows = stabilization(make_loss, Ds=[1], sigmas=[0.1], tol=1e-300)(k=6)
    assert all(row["converged"] is False and row["grad_norm"] > 0 for row in rows)


def test_single_precision():
    expected = known(make_loss, k=6, precision="float32")
    for row in measure(k=6, precision="float32"):
        for name in ("loss", "unseen_loss", "delta1", "lambda_1"):
            assert row[name] == pytest.approx(expected[name], rel=1e-4), name
        cell = dict(k=6, precision="float32", probe=row["probe"], D=row["D"], sigma=row["sigma"])
        for part, value in moments(make_loss, **cell).items():
            assert row[part] == pytest.approx(value, rel=1e-3), part


def test_other_names_go_to_make_loss_and_k_does_not():
    seen = []

    def make(**names):
        seen.append(names)
        return make_loss(seed=names["seed"], n=names["size"])

    rows = stabilization(make, Ds=DS, sigmas=SIGMAS)(k=6, seed=3, size=9)
    assert seen == [{"seed": 3, "size": 9}]
    same(rows, measure(k=6, seed=3, n=9))


# -- in a sweep ------------------------------------------------------------------------------------

GRID = {"seed": [0, 1], "k": [4, 9]}


def expected_table():
    return [
        {"seed": seed, "k": k, **row}
        for seed in GRID["seed"]
        for k in GRID["k"]
        for row in measure(seed=seed, k=k)
    ]


def test_it_can_be_sent_to_another_process():
    same(pickle.loads(pickle.dumps(measure))(k=6), measure(k=6))


def test_a_sweep_in_processes_is_the_table_cell_by_cell(tmp_path):
    table = sweep(measure, GRID, tmp_path / "processes.jsonl", jobs=2, progress=False)
    same(table, expected_table())


def test_a_continued_sweep_is_the_same_and_cells_do_not_depend_on_each_other(tmp_path):
    path = tmp_path / "a.jsonl"
    sweep(measure, {"seed": [1], "k": [9]}, path, progress=False)
    same(sweep(measure, GRID, path, progress=False), expected_table())
    assert len(read_sweep(path)) == 4 * 2 * len(DS) * len(SIGMAS)


@pytest.mark.parametrize(
    "other",
    [
        stabilization(make_other_loss, Ds=DS, sigmas=SIGMAS),
        stabilization(make_loss, Ds=[1, 2], sigmas=SIGMAS),
        stabilization(make_loss, Ds=DS, sigmas=[0.1]),
        stabilization(make_loss, Ds=DS, sigmas=SIGMAS, tol=1e-6),
        stabilization(functools.partial(make_loss, n=20), Ds=DS, sigmas=SIGMAS),
    ],
    ids=["make_loss", "Ds", "sigmas", "tol", "partial"],
)
def test_another_study_does_not_go_into_the_same_file(tmp_path, other):
    path = tmp_path / "a.jsonl"
    sweep(measure, {"seed": [0], "k": [4]}, path, progress=False)
    with pytest.raises(SweepFileError, match="was written with other settings"):
        sweep(other, {"seed": [0], "k": [4]}, path, progress=False)


def test_another_partial_of_make_loss_does_not_go_into_the_same_file(tmp_path):
    path, cell = tmp_path / "a.jsonl", {"seed": [0], "k": [4]}
    few, many = (
        stabilization(functools.partial(make_loss, n=n), Ds=DS, sigmas=SIGMAS) for n in (9, 20)
    )
    sweep(few, cell, path, progress=False)
    with pytest.raises(SweepFileError, match="was written with other settings"):
        sweep(many, cell, path, progress=False)


# -- bad arguments ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("Ds", "sigmas", "sentence"),
    [
        ([], [0.1], "is empty"),
        ([0], [0.1], "at least 1 .dimension of the probe.; got .* = 0"),
        ([-1], [0.1], "at least 1 .dimension of the probe."),
        ([3, 2], [0.1], "strictly increasing"),
        ([2, 2], [0.1], "strictly increasing"),
        ([1.5], [0.1], "whole number .dimension of the probe."),
        ([True], [0.1], "whole number"),
        (["2"], [0.1], "whole number"),
        ([2], [], "sigmas is empty; give at least one standard deviation."),
        ([2], [0.1, 0.0], "sigma must be positive and finite .standard deviation of the probe."),
        ([2], [-1.0], "sigma must be positive and finite"),
        ([2], [float("nan")], "sigma must be positive and finite"),
        ([2], [float("inf")], "sigma must be positive and finite"),
        ([2], ["0.1"], "sigma must be one positive number"),
        ([2], [None], "sigma must be one positive number"),
    ],
)
def test_bad_probes_are_refused_before_anything_is_measured(Ds, sigmas, sentence):
    with pytest.raises(ValueError, match=sentence):
        stabilization(make_loss, Ds=Ds, sigmas=sigmas)


@pytest.mark.parametrize("k", [0, 14, 2.5, "6", True], ids=repr)
def test_a_k_that_leaves_no_next_sample_is_refused(k):
    with pytest.raises(ValueError, match="there must be a next sample"):
        measure(k=k)


def test_a_probe_wider_than_the_model_is_refused_in_its_cell(tmp_path):
    wide = stabilization(make_loss, Ds=[2, 40], sigmas=SIGMAS)
    with pytest.raises(ValueError, match="D must be between 1 and 31.*got D = 40") as refusal:
        sweep(wide, GRID, tmp_path / "a.jsonl", progress=False)
    assert any("'k': 4" in note for note in refusal.value.__notes__)


def test_a_name_that_make_loss_does_not_know_is_an_error():
    with pytest.raises(TypeError, match="unexpected keyword argument 'size'"):
        measure(k=6, size=3)


def test_tail_index_of_many_unseen_samples_and_of_too_few(rows_of):
    assert {row["tail_index"] for row in rows_of(k=6)} == {None}
    k, many = 10, make_loss(n=60)
    squares = (many.per_sample(fit(many, k).w) - many.per_sample(fit(many, k).w, k).mean()).square()
    (index,) = {row["tail_index"] for row in measure(k=k, n=60)}
    assert index == pytest.approx(tail_index(squares[k:]), rel=1e-6)  # of any unit
