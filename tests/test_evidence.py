"""The stored studies: one file a question, one command that makes its table anew.

Oracle: the table that ships, and the counts that a solver reports when it is called by hand.
"""

import numpy as np
import pytest
import torch

import landscape_nb as ln
from landscape_nb.__main__ import main
from landscape_nb.study.evidence import buy_more, gain_at_enough, stored, warm_starts
from landscape_nb.study.settling import stored_settling
from landscape_nb.study.sweep import read_sweep


def test_the_command_makes_a_table_and_says_what_it_shows(tmp_path, capsys):
    path = tmp_path / "table.jsonl"
    assert main(["evidence", "warm_starts", str(path), "--seeds", "2"]) == 0
    printed = capsys.readouterr().out
    assert stored.study("warm_starts").question in printed
    assert "saved_20: " in printed and "(n = 2)" in printed and "6 rows in" in printed
    shipped = [row for row in stored.rows("warm_starts") if row["seed"] < 2]
    for one, other in zip(read_sweep(path), shipped, strict=True):
        assert (one["seed"], one["steps"]) == (other["seed"], other["steps"])
        assert abs(one["cold"] - other["cold"]) <= 12 and abs(one["warm"] - other["warm"]) <= 12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "There is no study 'nothing'; there are"),
        (["stored"], "There is no study 'stored'"),
        (["../x"], "There is no study"),
        (["warm_starts", "--seeds", "1"], "seeds must be at least 2"),
        (["warm_starts", "no/folder/x.jsonl"], "There is no folder"),
    ],
)
def test_what_the_command_refuses(arguments, message, capsys):
    assert main(["evidence", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", stored.studies())
def test_every_study_says_what_it_asks_and_what_it_cost(name):
    study = stored.study(name)
    assert study.question.endswith("?") and study.minutes > 0
    assert stored.figures(name)


def test_what_a_warm_start_saves():
    """The study's counts are those of two calls by hand, at the same place."""
    rows = {row["steps"]: row for row in warm_starts.measure(0)}
    x, y = ln.data.digits(500, seed=0)
    model = ln.models.MLP([64, 16, 10], generator=torch.Generator().manual_seed(0))
    loss = ln.EmpiricalLoss(model, torch.nn.CrossEntropyLoss(reduction="none"), x, y)
    w = ln.gradient_descent(loss, 500, lr=0.5, steps=100, every=100).w
    later = ln.gradient_descent(loss, 500, lr=0.5, steps=1, w=w, every=1).ws[1]
    assert ln.top_eigenpairs(loss, later, 500, 10).hvp_count == rows[1]["cold"]
    start = ln.top_eigenpairs(loss, w, 500, 10).vectors
    assert ln.top_eigenpairs(loss, later, 500, 10, start=start).hvp_count == rows[1]["warm"]
    saved = warm_starts.summary([{**row, "seed": s} for s in (0, 1) for row in rows.values()])
    assert saved["saved_1"].value == pytest.approx(1 - rows[1]["warm"] / rows[1]["cold"])


def test_what_doubling_brings_where_one_more_sample_brings_nothing():
    """By hand, for one seed: the losses on both sides of K and of 2K, joined in logarithms."""
    row = gain_at_enough.measure(3, "digits, MLP")
    mine = [r for r in stored_settling() if (r["problem"], r["seed"]) == ("digits, MLP", 3)]
    losses = {r["k"]: r["unseen_loss"] for r in mine}

    def at(k):
        low, high = max(j for j in losses if j <= k), min(j for j in losses if j > k)
        t = np.log(k / low) / np.log(high / low)
        return losses[low] ** (1 - t) * losses[high] ** t

    assert row["gain"] == pytest.approx(1 - at(2 * row["K"]) / at(row["K"]), abs=1e-4)
    every = [r for r in stored_settling() if r["problem"] == "digits, MLP"]
    for k, below in ((max(j for j in losses if j < row["K"]), False), (mine[-1]["k"], True)):
        there = [r["T"] / ((k + 1) * r["unseen_loss"]) ** 2 for r in every if r["k"] == k]
        assert (np.mean(there) < gain_at_enough.SHARE**2) == below


def test_gains_are_stored_as_they_are_measured():
    for row in stored.rows("gain_at_enough")[::9]:
        again = gain_at_enough.measure(row["seed"], row["problem"])
        assert again == pytest.approx({name: row[name] for name in again}, nan_ok=True)


def test_what_300_more_digits_bring():
    """By hand, with one seed: the model called as any other, and its wrong answers counted."""
    seed = 3
    rows = [row for row in stored.rows("buy_more") if row["seed"] == seed]
    loss = buy_more.learning_problem(buy_more.PROBLEM).loss(seed)
    images, labels = ln.data.digits(seed=seed)
    for row in rows[-2:]:
        k = row["k"]
        w = ln.fit(loss, k, tol=1e-3).w
        model = ln.models.MLP([64, 16, 10])
        torch.nn.utils.vector_to_parameters(w, model.parameters())
        with torch.no_grad():
            scores = model(images)
        losses = torch.nn.functional.cross_entropy(scores, labels, reduction="none")
        later = losses[600:]
        assert row["unseen_loss"] == pytest.approx(float(later.mean()), rel=0.01)
        assert row["T"] == pytest.approx(
            float((later - losses[:k].mean()).square().mean()), rel=0.02
        )
        wrong = float((scores.argmax(1) != labels)[600:].sum()) / len(later)
        assert row["wrong"] == pytest.approx(wrong, abs=3 / len(later))


def test_what_money_buys_is_averaged_over_the_orders():
    rows = stored.rows("buy_more")
    pairs = [(rows[i]["unseen_loss"], rows[i + 1]["unseen_loss"]) for i in range(8, 200, 10)]
    gain = stored.figures("buy_more")["gain"]
    assert gain.value == pytest.approx(np.mean([1 - more / few for few, more in pairs]))
    assert gain.count == 20 and gain.low < gain.value < gain.high
