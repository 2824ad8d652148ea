"""A watched training: what each row says, when it is measured, what it leaves alone, its file.

Oracles: losses of the model itself in plain torch, dense Hessians by `torch.func.hessian` and
`eigh`, single samples' derivatives one by one, closed forms; for the file, bytes. Wrong on purpose:
the list in `wrong_values`.
"""

import copy
import functools
import json
import math
import os
import pickle
import random
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from draws import generator, randn
from torch import nn
from torch.func import functional_call, hessian

import landscape_nb as ln
from landscape_nb.figures import watching
from landscape_nb.numerics.samples import sample_derivatives
from landscape_nb.problems.models import MLP
from landscape_nb.study import watch as watch_module
from landscape_nb.study import watch_row
from landscape_nb.study.counted_work import counted_work
from landscape_nb.study.live_point import live_point
from landscape_nb.study.watch_row import COLUMNS, losses_part, tracked_pairs

cross_entropy = nn.CrossEntropyLoss(reduction="none")
N_SAMPLES, K = 60, 40


def data(n=N_SAMPLES):
    x = randn(n, 4, seed=1)
    return x, (x[:, 0] + 0.7 * randn(n, seed=2) > 0).long()


def make(l2=1e-2, n=N_SAMPLES, dtype=torch.float64):
    model = MLP([4, 6, 2], dtype=dtype)
    x, y = data(n)
    return model, ln.EmpiricalLoss(model, cross_entropy, x.to(dtype), y, l2=l2)


def train(model, steps, each=lambda: None, k=K):
    x, y = data()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    for step in range(steps):
        chosen = [(8 * step + j) % k for j in range(8)]
        optimizer.zero_grad()
        x = x.to(next(model.parameters()).dtype)
        cross_entropy(model(x[chosen]), y[chosen]).mean().backward()
        optimizer.step()
        each()


@pytest.fixture(scope="module")
def trained():
    """A model after fifty steps, and its loss."""
    model, loss = make()
    train(model, 50)
    return model, loss


def same(a, b):
    """Rows that are equal; NaN, where there is no tail, equals itself."""
    return json.dumps(a) == json.dumps(b)


def whole_row(trained, **settings):
    model, loss = trained
    return ln.Watch(loss, K, seen=1000, candidates=1000, **settings).measure(model)


# -- numbers ---------------------------------------------------------------------------------------


def dense(model, l2):
    """Losses, gradients, Hessians of every sample, and the means over the seen ones."""
    x, y = data()
    named = {name: p.detach() for name, p in model.named_parameters()}
    w = torch.cat([p.reshape(-1) for p in named.values()])

    def losses(w):
        pieces = w.split([p.numel() for p in named.values()])
        at_w = {n: v.view(p.shape) for (n, p), v in zip(named.items(), pieces, strict=True)}
        return cross_entropy(functional_call(model, at_w, (x,)), y)

    H, g = hessian(losses)(w), torch.func.jacrev(losses)(w)
    seen = H[:K].mean(0) + l2 * torch.eye(len(w)).double()
    return losses(w), g, H, seen, g[:K].mean(0) + l2 * w


def expected(model, l2, sigma=1e-3):
    losses, g, H, seen, gradient = dense(model, l2)
    values, vectors = torch.linalg.eigh(seen)
    u, L, unseen = vectors[:, -1], losses[:K].mean(), losses[K:]
    I = (unseen - L) / (K + 1)
    c = (g[K:] - g[:K].mean(0)) @ u / (K + 1)
    B = torch.einsum("i,nij,j->n", u, H[K:] - H[:K].mean(0), u) / (K + 1)
    squares = I.square().sort().values
    return {
        "seen_loss": L, "unseen_loss": unseen.mean(), "delta1": I.abs().mean(),
        "value": (I**2).mean(), "T": ((unseen - L) ** 2).mean(),
        "hardest": squares[-1] / squares.sum(), "lambda_1": values[-1],
        "grad_norm": gradient.norm(), "cross": sigma**2 * (I * B).mean(),
        "gradient": sigma**2 * (c**2).mean(), "curvature": sigma**4 * 0.75 * (B**2).mean(),
        "tolerance": ((unseen.mean() - losses.min()) / 100) ** 2,
    }  # fmt: skip


def test_a_row_holds_the_numbers_of_plain_torch(trained):
    model, loss = trained
    row = whole_row(trained)
    assert tuple(row) == COLUMNS and row["problem"] is None and row["certified"]
    for name, value in expected(model, loss.l2).items():
        # by Rayleigh's quotient the eigenvalue is better than its eigenvector
        tolerance = 2e-2 if name in ("cross", "gradient", "curvature") else 1e-4
        assert row[name] == pytest.approx(float(value), rel=tolerance), name
    assert row["gradient_stderr"] == row["curvature_stderr"] == 0
    assert 0 <= row["residual"] < 0.01 * row["lambda_1"]


def wrong_values(model, l2):
    losses, g, H, seen, gradient = dense(model, l2)
    L, unseen = losses[:K].mean(), losses[K:]
    return {
        "value": ((unseen - L) / K).square().mean(),  # k in place of k + 1
        "T": unseen.var(),  # around their own mean
        "delta1": ((unseen - L) / (K + 1)).mean().abs(),  # |mean|
        "lambda_1": torch.linalg.eigvalsh(seen - l2 * torch.eye(len(seen)).double())[-1],
        "grad_norm": g.mean(0).norm(),  # of all samples, no L2
        "seen_loss": L + l2 * 0.5,
        "gradient": 1e-6 * ((g[K:] - g[:K].mean(0)).norm(dim=1) / (K + 1)).square().mean(),
    }


def test_wrong_formulas_would_be_seen(trained):
    model, loss = trained
    row = whole_row(trained)
    for name, value in wrong_values(model, loss.l2).items():
        tolerance = 2e-2 if name == "gradient" else 1e-4
        assert row[name] != pytest.approx(float(value), rel=tolerance), name


def test_value_is_the_closed_form_of_next_sample_mean(trained):
    model, loss = trained
    w, _ = live_point(loss, model)
    row = whole_row(trained)
    assert row["value"] == pytest.approx(float(ln.next_sample_mean(loss.per_sample(w), K)))
    assert row["T"] == pytest.approx(row["value"] * (K + 1) ** 2)


@pytest.mark.parametrize("D", [1, 3])
def test_single_samples_in_one_backward_pass_are_those_one_by_one(trained, D):
    model, loss = trained
    w, _ = live_point(loss, model)
    U = ln.random_subspace(len(w), D, generator())
    c, B = watch_row.derivatives_at_once(loss.without_l2(), w, U, range(5, 25))
    _, c1, B1 = sample_derivatives(loss, w, U, range(5, 25), method="reverse")
    assert torch.allclose(c, c1, rtol=1e-10) and torch.allclose(B, B1, rtol=1e-10, atol=1e-14)


class NoThird(torch.autograd.Function):
    """x^2 with a first and a second derivative, and no third."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.square()

    @staticmethod
    def backward(ctx, slope):
        return TwoX.apply(ctx.saved_tensors[0], slope)


class TwoX(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, slope):
        ctx.save_for_backward(x, slope)
        return 2 * x * slope

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, again):
        x, slope = ctx.saved_tensors
        return 2 * slope * again, 2 * x * again


def test_without_a_third_derivative_single_samples_are_taken_one_by_one():
    x = randn(12, 3)
    model = nn.Linear(3, 1).double()
    loss = ln.EmpiricalLoss(model, lambda out, y: NoThird.apply(out[:, 0] - y), x, x[:, 0])
    U = ln.random_subspace(4, 1, generator())
    c, B = watch_row.derivatives_at_once(loss, loss.w0, U, range(8, 12))
    z = torch.cat([x[8:], torch.ones(4, 1).double()], 1)
    names = dict(zip(loss.layout.names, (z[:, :3] @ U[:3, 0], U[3, 0].expand(4)), strict=True))
    slope = names["weight"] + names["bias"]
    assert torch.allclose(B[:, 0, 0], 2 * slope**2)
    assert torch.allclose(c[:, 0], 2 * slope * (model(x[8:])[:, 0] - x[8:, 0]))


def test_parts_from_a_few_samples_are_weighted_by_their_design(trained):
    model, loss = trained
    row = ln.Watch(loss, K, seen=1000, candidates=8, seed=3).measure(model)
    losses, g, _, seen, _ = dense(model, loss.l2)
    design = ln.designed_sample((losses[K:] - losses[:K].mean()).abs(), 8, generator(3))
    u = torch.linalg.eigh(seen).eigenvectors[:, -1]
    parts = 1e-6 * ((g[K:] - g[:K].mean(0)) @ u / (K + 1)).square()[design.indices]
    wanted = design.mean(parts)
    assert row["gradient"] == pytest.approx(float(wanted.value), rel=1e-2)
    assert row["gradient_stderr"] == pytest.approx(float(wanted.stderr), rel=1e-2)
    assert float(parts.mean()) != pytest.approx(row["gradient"], rel=5e-2)  # unweighted
    # everything else needs no draw
    every = whole_row(trained)
    assert all(row[name] == every[name] for name in ("value", "T", "lambda_1", "grad_norm"))


def test_followed_eigenpairs_lie_within_their_residual_and_catch_up_from_a_start():
    Q = torch.linalg.qr(randn(80, 80)).Q
    values = torch.cat(
        [torch.tensor([5.0, 3.0, -9.0]).double(), torch.linspace(-1, 1, 77).double()]
    )
    A = Q @ values.diag() @ Q.T
    H = ln.ProductOperator(lambda V: A @ V, A[0])
    theta, U, residual = tracked_pairs(H, 2, 8, None, generator())
    assert H.products == 8
    assert torch.allclose((A @ U - U * theta).norm(dim=0), residual, atol=1e-9)
    assert theta[0] <= 5 + 1e-9 and (theta[0] - values).abs().min() <= residual[0]
    for _ in range(4):  # what was found before is not lost
        before = float(theta[0])
        theta, U, residual = tracked_pairs(H, 2, 4, U, generator(1))
    assert 5 - 1e-2 < before <= 5 + 1e-9
    # another eigenvalue has become the largest: the random tenth brings it in
    swapped = A + 20 * torch.outer(Q[:, 10], Q[:, 10])
    H, U = ln.ProductOperator(lambda V: swapped @ V, A[0]), Q[:, :1]  # of 5, and exact
    for _ in range(3):
        theta, U, residual = tracked_pairs(H, 1, 4, U, generator(2))
    assert theta[0] > 0.95 * torch.linalg.eigvalsh(swapped)[-1]


def test_more_pairs_than_a_start_reaches():
    A = torch.diag(torch.tensor([2.0, 2.0, 2.0, 1.0]).double())
    H = ln.ProductOperator(lambda V: A @ V, A[0])
    theta, U, _ = tracked_pairs(H, 3, 3, None, generator())
    assert len(theta) == 3 and torch.allclose(U.T @ U, torch.eye(3).double())


def test_tolerance_and_forecast_with_one_k_are_closed_forms():
    losses = torch.tensor([1.0, 1.0, 2.0, 4.0]).double()
    row = {**losses_part(losses, 2, 1e-3), "k": 2}
    assert row["T"] == pytest.approx((1 + 9) / 2)
    found = watch_row.forecast_part([], row)
    assert found["enough"] == math.ceil(math.sqrt(5 / 1e-3) - 1) == 70
    assert found["enough_low"] is None and found["scenario"] == "learning stops"
    # that many samples do, one fewer does not
    assert 5 / 71**2 < 1e-3 <= 5 / 70**2
    assert losses_part(losses, 2, None)["tolerance"] == pytest.approx((2 / 100) ** 2)
    shifted = losses_part(10 * losses + 7, 2, None)["tolerance"]
    assert shifted == pytest.approx(100 * (2 / 100) ** 2)


def test_forecast_with_several_k_takes_the_last_row_of_each(monkeypatch):
    asked = []

    def stub(ks, deltas, tolerance):
        asked.append((ks, deltas, tolerance))
        return type("Forecast", (), {"K": 9, "low": 7, "high": None})

    monkeypatch.setattr(watch_row, "forecast_enough", stub)
    rows = [{"k": 20, "value": 0.5}, {"k": 10, "value": 0.9}, {"k": 20, "value": 0.4}]
    rows += [{"k": 25, "value": None}]
    now = {"k": 40, "value": 0.1, "tolerance": 0.01, "T": 1.0}
    found = watch_row.forecast_part(rows, now)
    assert asked == [([10, 20, 40], [0.9, 0.4, 0.1], 0.01)]
    assert [found[n] for n in watch_row.FORECAST] == [9, 7, None, "growing data"]


def test_equal_losses_have_no_tail_and_no_forecast():
    row = {**losses_part(torch.ones(10).double(), 4, None), "k": 4}
    assert row["value"] == 0 and row["tolerance"] == 0
    assert watch_row.forecast_part([], row) == dict.fromkeys(watch_row.FORECAST)


# -- the live model --------------------------------------------------------------------------------


def test_it_reads_the_model_as_it_is_now(trained):
    model, loss = trained
    watch = ln.Watch(loss, K, every=1)
    live = copy.deepcopy(model)
    first = watch(live)
    train(live, 5)
    second = watch(live)
    with torch.no_grad():
        x, y = data()
        assert second["unseen_loss"] == pytest.approx(float(cross_entropy(live(x), y)[K:].mean()))
    assert first["unseen_loss"] != second["unseen_loss"]


def test_training_goes_on_as_if_nobody_watched():
    ends = []
    for watched in (False, True):
        torch.manual_seed(3)
        np.random.seed(3)
        random.seed(3)
        model = nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.5), nn.Tanh(), nn.Linear(6, 2)).double()
        x, y = data()
        loss = ln.EmpiricalLoss(model.eval(), cross_entropy, x, y)
        model.train()
        watch = ln.Watch(loss, K, every=2)
        threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
        train(model, 10, functools.partial(watch, model) if watched else lambda: None)
        grads = [p.grad.clone() for p in model.parameters()]
        assert model.training and model[1].training
        assert (threads, dtype) == (torch.get_num_threads(), torch.get_default_dtype())
        draws = torch.rand(3), np.random.rand(), random.random()
        ends.append([*model.state_dict().values(), *grads, draws[0], *map(torch.tensor, draws[1:])])
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


class Draws(nn.Linear):
    """Draws random numbers that nothing depends on."""

    def forward(self, x):
        torch.rand(3), np.random.rand(), random.random()
        return super().forward(x)


def test_random_states_stay_where_they_are():
    model = Draws(4, 2).double()
    watch = ln.Watch(ln.EmpiricalLoss(model, cross_entropy, *data()), K, every=1)

    def states():
        return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()

    before = states()
    watch(model)
    watch.measure(model)
    assert states() == before


def test_running_averages_are_those_of_now():
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 2)).double()
    x, y = data()
    loss = ln.EmpiricalLoss(model.eval(), cross_entropy, x, y)
    model.train()
    train(model, 20)
    held = copy.deepcopy(model.state_dict())
    row = ln.Watch(loss, K).measure(model)
    assert all(torch.equal(held[name], t) for name, t in model.state_dict().items())
    with torch.no_grad():
        now = float(cross_entropy(model.eval()(x), y)[K:].mean())
        w, _ = live_point(loss, model)
    assert row["unseen_loss"] == pytest.approx(now)
    assert float(loss.per_sample(w)[K:].mean()) != pytest.approx(now, rel=1e-3)  # of the old ones


def test_frozen_parameters_and_precision_follow_the_model():
    model = MLP([4, 6, 2], dtype=torch.float32)
    model[0].requires_grad_(False)
    x, y = data()
    loss = ln.EmpiricalLoss(copy.deepcopy(model).double(), cross_entropy, x, y)
    with torch.no_grad():
        model[0].weight += 1
        model[2].weight += 1
        now = float(cross_entropy(copy.deepcopy(model).double()(x), y)[K:].mean())
    assert ln.Watch(loss, K).measure(model)["unseen_loss"] == pytest.approx(now)


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode])
def test_whatever_mode_is_on_around_the_call(trained, around):
    row = whole_row(trained)
    with around():
        again = whole_row(trained)
    assert same(again, row)


def test_autocast_around_the_call_changes_nothing():
    model, loss = make(dtype=torch.float32)
    plain = ln.Watch(loss, K).measure(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert same(ln.Watch(loss, K).measure(model), plain)
    assert plain["problem"] is None


def test_a_diverged_model_is_recorded_and_stops_nothing(trained):
    model, loss = trained
    live, watch = copy.deepcopy(model), ln.Watch(loss, K, every=1)
    with torch.no_grad():
        live[0].weight[0, 0] = float("nan")
    row = watch(live)
    assert row["value"] is None and "finite" in row["problem"]
    assert watch(model)["problem"] is None and len(watch.rows) == 2
    assert "could not be measured" in watching.sentence([row])
    watching.watched_training([row])


def test_a_refusal_of_the_eigensolver_is_recorded_with_its_pairs(trained, monkeypatch):
    model, loss = trained
    values = torch.tensor([3.0]).double()
    pairs = ln.Eigenpairs(values, torch.eye(loss.num_params, 1).double(), values / 2, 0.1, 9)

    def refuse(*args):
        raise ln.ConvergenceError("no luck\nat all", pairs)

    monkeypatch.setattr(watch_row, "largest_eigenpairs", refuse)
    row = ln.Watch(loss, K).measure(model)
    assert row["problem"] == "no luck" and row["certified"] is False
    assert (row["lambda_1"], row["residual"]) == (3.0, 1.5) and row["value"] > 0


# -- when ------------------------------------------------------------------------------------------


def test_every_so_many_calls(trained):
    model, loss = trained
    watch = ln.Watch(loss, K, every=3)
    found = [watch(model, step=10 * i) for i in range(8)]
    assert [row is not None for row in found] == [True, False, False] * 2 + [True, False]
    assert [row["step"] for row in watch.rows] == [0, 30, 60]
    assert all(row["lambda_1"] is not None for row in watch.rows)


def test_the_counted_share_is_kept_from_the_second_row_on(trained):
    model, loss = trained
    watch = ln.Watch(loss, K, share=0.5, batch_size=8)
    again = ln.Watch(loss, K, share=0.5, batch_size=8)
    for _ in range(8000):
        watch(model)
        again(model)
    calls = [row["call"] for row in watch.rows]
    assert calls[0] == 1 and len(calls) > 5 and all(row["share"] <= 0.4 for row in watch.rows[1:])
    work = sum(row["work"] for row in watch.rows)
    assert 0.25 * calls[-1] < work <= 0.4 * calls[-1]
    assert same(watch.rows, again.rows)  # no clock decides
    assert any(row["lambda_1"] for row in watch.rows) and watch.rows[0]["lambda_1"] is None


def test_rows_grow_apart_where_they_cost_nothing(trained, monkeypatch):
    monkeypatch.setattr(watch_module, "_ROW", 0.0)
    model, loss = trained
    watch = ln.Watch(loss, K, share=1.0, batch_size=10**6)
    for _ in range(400):
        watch(model)
    calls = [row["call"] for row in watch.rows]
    assert calls[:5] == [1, 2, 3, 4, 5]
    assert all(b >= 1.05 * a for a, b in zip(calls, calls[1:], strict=False))
    assert len(calls) < 100


def test_work_is_counted_in_operations_and_arithmetic():
    small, large = (ln.EmpiricalLoss(MLP([4, h, 2]), cross_entropy, *data()) for h in (6, 600))
    a, b = (counted_work(loss, 8) for loss in (small, large))
    # one multiplication and addition for each weight: 2 (4 h + 2 h) flops a sample, and memory
    flops = 2 * 6 * (600 - 6) * 2e-11
    memory = (large.sample_bytes - small.sample_bytes) * 4e-11
    assert b.each - a.each == pytest.approx(flops + memory)
    assert a.step == pytest.approx(3 * (a.fixed + 8 * a.each))
    assert counted_work(small, 16).step - a.step == pytest.approx(24 * a.each)


def test_most_calls_do_nothing(trained):
    model, loss = trained
    watch = ln.Watch(loss, K, every=10**6)
    watch(model)
    for _ in range(100):
        assert watch(None) is None  # not even looked at


def test_k_that_grows(trained):
    model, loss = trained
    watch = ln.Watch(loss, 10, every=1, tolerance=1e-4)
    for k in (10, 20, 40):
        watch(model, k)
    assert [row["k"] for row in watch.rows] == [10, 20, 40] and watch.k == 40
    assert [row["scenario"] for row in watch.rows] == ["learning stops"] + ["growing data"] * 2


# -- the file --------------------------------------------------------------------------------------


def run(path, trained, calls=3, **settings):
    model, loss = trained
    watch = ln.Watch(loss, K, path, every=1, **settings)
    for _ in range(calls):
        watch(model)
    watch.close()
    return watch


def test_rows_come_back_from_the_file_and_go_on(tmp_path, trained):
    path = tmp_path / "w.jsonl"
    first = run(path, trained)
    assert same(ln.read_watch(path), first.rows)
    header = json.loads(path.read_text().splitlines()[0])
    assert header["format"] == "landscape_nb watch" and header["settings"]["num_params"] == 44
    second = run(path, trained, 2)
    assert [row["call"] for row in second.rows] == [1, 2, 3, 4, 5]
    assert same(ln.read_watch(path), second.rows) and same(second.rows[:3], first.rows)


def test_wherever_it_was_killed_the_file_goes_on(tmp_path, trained):
    path = tmp_path / "w.jsonl"
    run(path, trained, 2)
    whole = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == 10]
    for cut in [0, 11, ends[0] - 1, *ends, ends[0] + 1, ends[1] - 2, ends[1] - 1, len(whole) - 1]:
        path.write_bytes(whole[:cut])
        done = max(0, sum(end - 1 <= cut for end in ends) - 1)  # without its end a line is whole
        watch = run(path, trained, 1)
        assert [row["call"] for row in watch.rows] == list(range(1, done + 2)), cut
        assert same(ln.read_watch(path), watch.rows)
        assert path.read_bytes().startswith(whole[: ends[done]])


def test_an_interrupted_line_is_written_over(tmp_path, trained, monkeypatch):
    model, loss = trained
    path = tmp_path / "w.jsonl"
    watch = ln.Watch(loss, K, path, every=1)
    watch(model)
    kept = path.read_bytes()
    sync = os.fsync

    def interrupt(descriptor):
        os.ftruncate(descriptor, os.fstat(descriptor).st_size - 7)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        watch(model)
    assert path.read_bytes() != kept  # torn, and readable
    assert same(ln.read_watch(path), watch.rows)
    monkeypatch.setattr(os, "fsync", sync)
    watch(model)
    assert [row["call"] for row in ln.read_watch(path)] == [1, 3]
    watch.close()


def test_nan_and_infinity_come_back(tmp_path, trained):
    path = tmp_path / "w.jsonl"
    rows = run(path, trained, 1).rows
    assert math.isnan(rows[0]["tail_index"])  # of twenty samples
    assert math.isnan(ln.read_watch(path)[0]["tail_index"])


def other_settings(path, trained):
    run(path, trained, 1, sigma=0.5)


def foreign(path, trained):
    path.write_bytes(b'{"format": "landscape_nb sweep", "version": 1, "settings": {}}\n')


def nothing_like_it(path, trained):
    path.write_bytes(b"my notes\n\xff")


def later_version(path, trained):
    path.write_bytes(b'{"format": "landscape_nb watch", "version": 2, "settings": {}}\n')


def damaged(path, trained):
    run(path, trained, 2)
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([lines[0], lines[1][:-9], *lines[2:]]))


def out_of_order(path, trained):
    run(path, trained, 2)
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([lines[0], lines[2], lines[1], b""]))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (other_settings, "sigma: 0.5 in the file, 0.001 now\nGive this watch another file"),
        (foreign, "not written by a watch"),
        (nothing_like_it, "not written by a watch"),
        (later_version, "has version 2 of the format, known is 1"),
        (damaged, "line 2 is not one more row of this watch"),
        (out_of_order, "line 3 is not one more row of this watch"),
    ],
    ids=lambda case: getattr(case, "__name__", ""),
)
def test_other_files_are_refused_and_left_as_they_are(tmp_path, trained, spoil, sentence):
    path = tmp_path / "w.jsonl"
    spoil(path, trained)
    before = path.read_bytes()
    with pytest.raises(ln.WatchFileError) as refusal:
        run(path, trained)
    assert sentence in str(refusal.value) and path.read_bytes() == before
    path.unlink()
    assert len(run(path, trained, 1).rows) == 1  # the lock is free again


HOLDS = """
import sys
from filelock import FileLock
lock = FileLock(sys.argv[1])
lock.acquire()
print("held", flush=True)
input()
"""


def test_while_another_process_writes_it_is_refused(tmp_path, trained):
    path = tmp_path / "w.jsonl"
    kept = run(path, trained).rows
    other = subprocess.Popen(
        [sys.executable, "-c", HOLDS, f"{path}.lock"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert other.stdout.readline().strip() == b"held"
        with pytest.raises(ln.WatchFileError, match="Another run is writing to"):
            run(path, trained)
        assert same(ln.read_watch(path), kept)
    finally:
        other.kill()
        other.communicate()
    assert len(run(path, trained, 1).rows) == 4  # a killed process holds nothing


@pytest.mark.skipif(os.name != "posix", reason="the file itself is locked")
def test_the_lock_is_held_until_it_is_closed(tmp_path, trained):
    import fcntl

    model, loss = trained
    watch = ln.Watch(loss, K, tmp_path / "w.jsonl")
    with open(tmp_path / "w.jsonl", "rb") as other:
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        watch.close()
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_in_one_process_a_later_watch_takes_over(tmp_path, trained):
    model, loss = trained
    path = tmp_path / "w.jsonl"
    first = ln.Watch(loss, K, path, every=1)
    first(model)
    second = ln.Watch(loss, K, path, every=1)
    second(model)
    with pytest.raises(ln.WatchFileError, match="a later one of this process took over"):
        first(model)
    second(model)
    assert [row["call"] for row in ln.read_watch(path)] == [1, 2, 3]
    second.close()
    with pytest.raises(ln.WatchFileError, match="closed"):
        second(model)


def test_no_folder(tmp_path, trained):
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        run(tmp_path / "none" / "w.jsonl", trained)


# -- travelling, threads ---------------------------------------------------------------------------


def sent(watch):
    return pickle.loads(pickle.dumps(watch))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, sent])
def test_a_copy_goes_on_without_the_file(tmp_path, trained, copied):
    model, loss = trained
    path = tmp_path / "w.jsonl"
    watch = ln.Watch(loss, K, path, every=2)
    watch(model)
    twin = copied(watch)
    for _ in range(2):
        watch(model)
        twin(model)
    assert same(twin.rows, watch.rows) and twin.rows is not watch.rows
    assert len(ln.read_watch(path)) == 2
    watch.close()


def test_two_trainings_in_two_threads(trained):
    model, loss = trained
    other = MLP([4, 6, 2], generator=generator(5))
    alone = [ln.Watch(loss, K, every=1).measure(m) for m in (model, other)]
    found = {}

    def work(name, m):
        watch = ln.Watch(loss, K, every=1)
        found[name] = [watch.measure(m) for _ in range(5)][0]

    threads = [threading.Thread(target=work, args=pair) for pair in enumerate((model, other))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert same([found[0], found[1]], alone)


# -- pictures, callbacks ---------------------------------------------------------------------------


def test_the_picture_is_drawn_and_its_sentence_says_the_numbers(trained):
    model, loss = trained
    watch = ln.Watch(loss, 10, every=1, tolerance=1e-9)
    for k in (10, 20, 40):
        watch(model, k)
    figure, sentence = watching.watched_training(watch.rows)
    assert f"{watch.latest['unseen_loss']:.3g}" in sentence and "not settled" in sentence
    assert "k = 40" in sentence and f"{watch.latest['lambda_1']:.3g}" in sentence
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == [
        "Loss", "Change by one more sample", "Sharpness", "How many would be enough?",
    ]  # fmt: skip
    curve = figure.axes[1].lines[0]
    assert curve.get_xdata().tolist() == [10, 20, 40]
    assert curve.get_ydata().tolist() == [row["value"] for row in watch.rows]
    assert len(watch.figure.axes) == 4


def test_a_picture_of_nothing_is_refused(trained):
    with pytest.raises(ValueError, match="no rows to draw"):
        watching.watched_training([])


def test_in_a_notebook_one_picture_is_put_in_the_place_of_the_last(trained, monkeypatch):
    model, loss = trained
    shown, replaced = [], []

    class Handle:
        def update(self, data, **named):
            replaced.append((data, named))

    def display(data, **named):
        shown.append((data, named))
        return Handle()

    monkeypatch.setattr(watching, "display", display)
    monkeypatch.setattr(watch_module, "in_notebook", lambda: True)
    watch = ln.Watch(loss, K, every=1)
    for _ in range(3):
        watch(model)
    assert len(shown) == 1 and len(replaced) == 2
    for data, named in [*shown, *replaced]:
        assert data["text/plain"] == "A training that is being watched." and named["raw"]
        assert "seen" in named["metadata"]["image/png"]["alt"]
    drawn = len(shown) + len(replaced)
    for settings, notebook in (({"live": False}, True), ({}, False)):
        monkeypatch.setattr(watch_module, "in_notebook", lambda found=notebook: found)
        quiet = ln.Watch(loss, K, every=1, **settings)
        quiet(model)
        quiet.measure(model)
        assert not quiet.live and len(shown) + len(replaced) == drawn


def test_pictures_are_paid_for_by_the_share(trained, monkeypatch):
    model, loss = trained
    monkeypatch.setattr(watch_module, "in_notebook", lambda: True)
    drawn = []
    monkeypatch.setattr(watching, "draw_live", lambda rows, handle: drawn.append(len(rows)))
    watch = ln.Watch(loss, K, share=0.5)
    step = watch.work.step
    calls = int(2.5 * 0.3 / (0.8 * 0.5 * 0.4 * step))
    for _ in range(calls):
        watch(model)
    assert len(drawn) == 2 and watch.latest["share"] <= 0.5
    watch.measure(model)
    assert len(drawn) == 3


def test_the_callback_is_called_as_lightning_does(trained):
    model, loss = trained
    watch = ln.Watch(loss, K, every=2)
    callback = watch.lightning(lambda pl_module: pl_module.net)
    module = nn.Module()
    module.net = model
    for index in range(3):
        trainer = type("Trainer", (), {"global_step": 100 + index})
        callback.on_train_batch_end(trainer, module, None, None, index)
    assert [row["step"] for row in watch.rows] == [100, 102]


# -- bad input -------------------------------------------------------------------------------------


def renamed():
    return nn.Sequential(nn.Identity(), *MLP([4, 6, 2]))


WRONG = {
    "loss": (lambda c: ln.Watch(c.model, K), "loss must be an EmpiricalLoss; got MLP"),
    "k = n": (lambda c: ln.Watch(c.loss, 60), "k must be between 1 and 59"),
    "k = 0": (lambda c: ln.Watch(c.loss, 0), "k must be between 1 and 59"),
    "k text": (lambda c: ln.Watch(c.loss, "40"), "k must be a whole number"),
    "k of a call": (lambda c: ln.Watch(c.loss, K)(c.model, 60), "k must be between 1 and 59"),
    "D": (lambda c: ln.Watch(c.loss, K, D=45), "D must be between 1 and 44"),
    "sigma": (lambda c: ln.Watch(c.loss, K, sigma=0.0), "sigma must be positive"),
    "sigma NaN": (lambda c: ln.Watch(c.loss, K, sigma=float("nan")), "sigma must be positive"),
    "share": (lambda c: ln.Watch(c.loss, K, share=5), "share must be at most 1"),
    "share text": (lambda c: ln.Watch(c.loss, K, share="5%"), "share must be one positive number"),
    "every": (lambda c: ln.Watch(c.loss, K, every=0), "every must be at least 1"),
    "batch_size": (lambda c: ln.Watch(c.loss, K, batch_size=2.0), "batch_size must be a whole"),
    "tolerance": (lambda c: ln.Watch(c.loss, K, tolerance=-1.0), "tolerance must be positive"),
    "seed": (lambda c: ln.Watch(c.loss, K, seed=-1), "seed must be between 0"),
    "products": (lambda c: ln.Watch(c.loss, K, products=0), "products must be at least 1"),
    "seen": (lambda c: ln.Watch(c.loss, K, seen=0), "seen must be at least 1"),
    "candidates": (lambda c: ln.Watch(c.loss, K, candidates=-3), "candidates must be at least 4"),
    "step": (lambda c: ln.Watch(c.loss, K)(c.model, step=1.5), "step must be a whole number"),
    "no module": (lambda c: ln.Watch(c.loss, K)(c.loss), "model must be the torch.nn.Module"),
    "names": (lambda c: ln.Watch(c.loss, K)(renamed()), "no parameter '0.weight'"),
    "wrapped": (lambda c: ln.Watch(c.loss, K)(nn.ModuleList([c.model])), "model._orig_mod"),
    "shapes": (
        lambda c: ln.Watch(c.loss, K)(MLP([4, 7, 2])),
        "'0.weight' has shape (7, 4), the loss was made with (6, 4)",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_mistakes_are_answered(trained, name):
    call, sentence = WRONG[name]
    context = type("Context", (), {"model": trained[0], "loss": trained[1]})
    with pytest.raises(ValueError) as refusal:
        call(context)
    assert sentence in str(refusal.value)
