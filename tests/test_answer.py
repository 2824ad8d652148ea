"""The sentence that a report begins with: each of its branches, and its numbers.

Oracle: the numbers of the diagnosis, formatted here anew, and a plain loop over losses.
"""

import dataclasses
import math
import re
from itertools import pairwise

import pytest
import torch
from torch import nn

import landscape_nb as ln
from landscape_nb import EmpiricalLoss
from landscape_nb.numerics.wording import between, beyond, count, exact, number, percent
from landscape_nb.problems.data import digits
from landscape_nb.problems.models import MLP
from landscape_nb.study.answer import answer
from landscape_nb.study.budget import Budget
from landscape_nb.study.diagnosis import diagnose
from landscape_nb.theory.enough import OF_NEXT_SAMPLES, EnoughData, settled_within
from landscape_nb.theory.forecast import Forecast, Scenario
from landscape_nb.theory.learning_curve import LossForecast
from landscape_nb.theory.tails import Tail

cross_entropy = nn.CrossEntropyLoss(reduction="none")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def base():
    x, y = digits(60)
    loss = EmpiricalLoss(MLP([64, 3, 10]), cross_entropy, x, y, l2=1e-2)
    return diagnose(loss, 40, D=2, budget=Budget(10, 12, 6, 0), progress=False)


def forecast(K, low, high, k=480):
    return Forecast(K, low, high, 0.9, Scenario(K, low, high), None, None, None, 1e-6, k)


def measured(K, low, high, first=60, last=480):
    return EnoughData(K, low, high, 0.9, first, last, "of next samples")


def doubled(value=0.11, low=0.08, high=0.14):
    return LossForecast(value, low, high, 0.9, 960, 480, 0.15)


def tail(mean=5.76e-6, index=0.3, below=0.4):
    return Tail(120, mean, 1e-7, 1e-6, 0.31, index, below)


def case(base, **changes):
    """480 samples, a loss of size 0.1: one more moves it by 0.0024, which is 2.4 %."""
    usual = {
        "k": 480, "scale": 0.1, "tolerance": 1e-6, "unseen_value": 0.15, "tail": tail(),
        "measured": measured(None, None, None), "forecast": forecast(1290, 904, 2130),
        "doubled": doubled(),
    }  # fmt: skip
    return dataclasses.replace(base, **usual | changes)


def sound(sentences):
    """What no sentence may hold, and that the first is one."""
    for sentence in sentences:
        assert not re.search(r"\b(nan|None|inf)\b|  |\.\.| [,;.]|\( ", sentence), sentence
        assert not re.search(r"\de[+-]?\d+ (further )?samples", sentence)
        assert sentence[-1] == "." and ". " not in sentence, sentence
        assert sentence.count("(") == sentence.count(")")
    return sentences


DOUBLED = (
    "doubling the data would lower the loss on unseen samples from 0.15 to about 0.11 (90 %: 0.08 "
    "to 0.14)."
)
STILL = "With your 480 samples, one more still moves the loss by typically 2.4 % of itself; "
NOW = "With your 480 samples, one more moves the loss by typically 0.6 % of itself; "
BELOW = {"tail": tail(3.6e-7)}
SENTENCES = {
    "foretold": ({}, STILL + "that falls below 1 % from about 1 300 samples (90 %: 900 to 2 100; "
        "extrapolated); " + DOUBLED),
    "twelve hundred": ({"forecast": forecast(1200, 904, 2130)}, STILL + "that falls below 1 % from "
        "about 1 200 samples (90 %: 900 to 2 100; extrapolated); " + DOUBLED),
    "without an upper end": ({"forecast": forecast(9000, 904, None)}, STILL + "that falls below "
        "1 % from about 9 000 samples (90 %: at least 900; extrapolated); " + DOUBLED),
    "a few more": ({"forecast": forecast(484, 400, 530)}, STILL + "that falls below 1 % from about "
        "484 samples (90 %: 400 to 530; extrapolated); " + DOUBLED),
    "too far": ({"forecast": forecast(None, 5210, None)}, STILL + "bringing that below 1 % would "
        "take more than 30 times as many (90 %: more than 5 200; extrapolated, too far to say how "
        "many); " + DOUBLED),
    "farther": ({"forecast": forecast(None, None, None)}, STILL + "bringing that below 1 % would "
        "take more than 30 times as many (extrapolated, too far to say how many); " + DOUBLED),
    "reached": (BELOW | {"measured": measured(318, 251, 402)}, NOW + "that is below 1 % from 318 "
        "samples on (90 %: 251 to 402), so by this rule you have enough; " + DOUBLED),
    "reached, perhaps": (BELOW | {"measured": measured(431, 380, None)}, NOW + "that is below 1 % "
        "from 431 samples on (90 %: 380 to more than 480), so by this rule you have enough, if "
        "only just; " + DOUBLED),
    "reached at once": (BELOW | {"measured": measured(60, 60, 60)}, NOW + "that is below 1 % from "
        "60 samples on, or from fewer, so by this rule you have enough; " + DOUBLED),
    "perhaps at once": (BELOW | {"measured": measured(71, 60, 93)}, NOW + "that is below 1 % from "
        "71 samples on (90 %: 60 or fewer to 93), so by this rule you have enough; " + DOUBLED),
    "one k": (BELOW | {"measured": measured(480, 480, 480, first=480)}, NOW + "that is below 1 %, "
        "so by this rule you have enough (whether fewer would do was not measured); " + DOUBLED),
    "one k, perhaps": (BELOW | {"measured": measured(480, 480, None, first=480)}, NOW + "that is "
        "below 1 %, so by this rule you have enough, if only just (whether fewer would do was not "
        "measured); " + DOUBLED),
    "no power law": ({"doubled": None}, STILL + "that falls below 1 % from about 1 300 samples "
        "(90 %: 900 to 2 100; extrapolated)."),
    "nothing gained": ({"doubled": doubled(0.152, 0.13, 0.18)}, STILL + "that falls below 1 % from "
        "about 1 300 samples (90 %: 900 to 2 100; extrapolated); doubling the data would leave the "
        "loss on unseen samples about where it is, at 0.15 (90 %: 0.13 to 0.18)."),
    "lost": ({"doubled": doubled(0.18, 0.13, 0.25)}, STILL + "that falls below 1 % from about "
        "1 300 samples (90 %: 900 to 2 100; extrapolated); doubling the data would leave the loss "
        "on unseen samples about where it is, at 0.15 (90 %: 0.13 to 0.25)."),
    "jumped": ({"doubled": doubled(0.9, 0.3, 2.7)}, STILL + "that falls below 1 % from about 1 300 "
        "samples (90 %: 900 to 2 100; extrapolated); the loss on unseen samples, now 0.15, has "
        "changed too abruptly along the way to say what doubling the data would do to it (90 %: "
        "0.3 to 2.7)."),
    "own tolerance": ({"tolerance": 2.5e-7}, STILL + "that falls below 0.5 % from about 1 300 "
        "samples (90 %: 900 to 2 100; extrapolated); " + DOUBLED),
    "enormous tolerance": (BELOW | {"tolerance": 16.0, "measured": measured(60, 60, 60)}, NOW +
        "that is below 4 from 60 samples on, or from fewer, so by this rule you have enough; "
        + DOUBLED),
    "tiny tolerance": ({"tolerance": 1e-30, "forecast": forecast(None, None, None)}, STILL +
        "bringing that below 1e-15 would take more than 30 times as many (extrapolated, too far to "
        "say how many); " + DOUBLED),
    "no scale": ({"scale": 0.0}, "With your 480 samples, one more still moves the loss by "
        "typically 0.0024; that falls below 0.001 from about 1 300 samples (90 %: 900 to 2 100; "
        "extrapolated); " + DOUBLED),
    "no fit of the unseen": ({"scale": 1e-5}, "With your 480 samples, one more still moves the "
        "loss by typically 240 times itself; that falls below 0.001 from about 1 300 samples "
        "(90 %: 900 to 2 100; extrapolated); " + DOUBLED),
    "one sample": ({"k": 1, "forecast": forecast(29, 4, 77, k=1)}, "With your one sample, one more "
        "still moves the loss by typically 2.4 % of itself; that falls below 1 % from about 29 "
        "samples (90 %: 4 to 77; extrapolated); " + DOUBLED),
    "many": ({"k": 1234567, "forecast": forecast(2345678, 1234567, 5000000, k=1234567)}, "With "
        "your 1 234 567 samples, one more still moves the loss by typically 2.4 % of itself; that "
        "falls below 1 % from about 2 300 000 samples (90 %: 1 200 000 to 5 000 000; "
        "extrapolated); " + DOUBLED),
}  # fmt: skip


@pytest.mark.parametrize("name", SENTENCES)
def test_sentence(base, name):
    changes, words = SENTENCES[name]
    d = case(base, **changes)
    (sentence,) = sound(answer(d))
    assert sentence == words
    assert ("extrapolated" in sentence) == (d.measured.K is None)


# -- a tail too heavy for its mean ----------------------------------------------------------------


@pytest.mark.parametrize("index", [0.7, float("nan"), -0.4])
def test_a_mean_that_can_be_trusted_is_not_doubted(base, index):
    (sentence,) = answer(case(base, tail=tail(index=index)))
    assert "typically 2.4 %" in sentence


def test_a_heavy_tail_is_said_with_the_median_and_the_share_below(base):
    first, second = sound(answer(case(base, tail=tail(index=0.84, below=0.625))))
    assert "by 2.4 % of itself on average; " in first and "typically" not in first
    assert second == (
        "Do not trust this average: the hardest 5 % of the 120 unseen samples carry 31 % of it (of "
        "its square), and its tail index is 0.84, above 0.7; half of the unseen samples move the "
        "loss by less than 1 % of itself, and 62 % of them move it by less than 1 %."
    )  # median of the squares 1e-6, of a loss of 0.1


# -- money ----------------------------------------------------------------------------------------

COSTS = {
    "foretold": ({}, 1.5, "The 810 samples that are missing (90 %: 420 to 1 600; "
        "extrapolated) would cost 1 200 at 1.5 each (640 to 2 500); doubling "
        "the data would cost 720."),
    "free": ({}, 0, "The 810 samples that are missing (90 %: 420 to 1 600; extrapolated) "
        "would cost 0 at 0 each (0 to 0); doubling the data would cost 0."),
    "dear": ({}, 1e6, "The 810 samples that are missing (90 %: 420 to 1 600; extrapolated) "
        "would cost 810 000 000 at 1 000 000 each (420 000 000 to 1 600 000 000); doubling "
        "the data would cost 480 000 000."),
    "perhaps enough already": ({"forecast": forecast(500, 300, 700)}, 0.25, "The 20 samples that "
        "are missing (90 %: 0 to 220; extrapolated) would cost 5 at 0.25 each (0 to 55); doubling "
        "the data would cost 120."),
    "without an upper end": ({"forecast": forecast(9000, 904, None)}, 1.0, "The 8 500 samples that "
        "are missing (90 %: at least 420; extrapolated) would cost 8 500 at 1 each (at least 420); "
        "doubling the data would cost 480."),
    "too far": ({"forecast": forecast(None, 5210, None)}, 2.0, "More than 14 000 further samples "
        "would cost more than 28 000 at 2 each (extrapolated); doubling the data would cost 960."),
    "reached": (BELOW | {"measured": measured(318, 251, 402)}, 0.1234567, "By this rule nothing "
        "more needs to be bought; doubling the data would cost 59, at 0.123457 a sample."),
}  # fmt: skip


@pytest.mark.parametrize("name", COSTS)
def test_cost(base, name):
    changes, each, words = COSTS[name]
    d = case(base, **changes)
    assert sound(answer(d, each))[:-1] == answer(d)
    assert answer(d, each)[-1] == words


@pytest.mark.parametrize("cost", [-1e-9, math.inf, math.nan, "dear", None.__class__, [1, 2]])
def test_a_cost_that_is_no_number_is_refused(base, cost):
    with pytest.raises(ValueError, match="cost_per_sample must be .*of one sample"):
        answer(base, cost)


@pytest.mark.parametrize("each", [1e-300, 1e-9, 1e300, 1.7e308])
def test_any_cost_has_a_sentence(base, each):
    sound(answer(case(base), each))


# -- every number is one of the diagnosis ---------------------------------------------------------


def two_digits(samples):
    """By decimal text, and not by logarithms or rounding to places."""
    digits = str(samples)
    kept = f"{float(samples):.1e}" if len(digits) > 2 else digits
    return f"{int(float(kept)):,}".replace(",", " ")


@pytest.mark.parametrize("seed", range(40))
def test_numbers_at_random(base, seed):
    """Any numbers give sound sentences, and these hold them; K beyond k is called extrapolated."""
    g = torch.Generator().manual_seed(seed)

    def draw(low, high):
        return float(low * (high / low) ** torch.rand(1, generator=g).double())

    k = int(draw(1, 1e5))
    K, low, high = int(k * draw(1.3, 29)), int(draw(1, k)) + 1, int(k * draw(30, 90))
    then = draw(1e-5, 1e3)
    d = case(
        base, k=k, scale=draw(1e-12, 1e9), tolerance=draw(1e-30, 1e9), forecast=forecast(
        K, low, high, k), tail=tail(draw(1e-20, 1e9), draw(0.3, 1.2)), unseen_value=draw(1e-5, 1e3),
        doubled=doubled(then, then / 2, 2 * then),
    )  # fmt: skip
    sentences = sound(answer(d, draw(1e-3, 1e3)))
    assert f" about {two_digits(K)} samples (90 %: {two_digits(low)} to " in sentences[0]
    assert f"{two_digits(high)}; extrapolated)" in sentences[0]
    assert "extrapolated" in sentences[-1] and len(sentences) == 2 + d.tail.doubtful
    moved = d.tail.mean**0.5 / d.scale
    said = re.search(r"moves the loss by (?:typically )?(.*?) (of )?itself", sentences[0])[1]
    if said.startswith("less than"):
        assert moved < 1e-6
    elif said.startswith("more than"):
        assert moved > 1000
    else:
        value, unit = said.rsplit(" ", 1)
        factor = {"%": 0.01, "times": 1.0}[unit]
        assert float(value.replace(" ", "")) * factor == pytest.approx(moved, rel=0.051)


# -- numbers in words -----------------------------------------------------------------------------


def test_numbers_in_words():
    assert [number(x) for x in (0, 0.1, 0.996, 9.96, 99.6, 150.2, 1e5, 1e20)] == [
        "0", "0.1", "1", "10", "100", "150", "100 000", "1e+20",
    ]  # fmt: skip
    assert [count(x) for x in (0, 7, 99, 100, 994, 996, 1200, 12_345_678)] == [
        "0", "7", "99", "100", "990", "1 000", "1 200", "12 000 000",
    ]  # fmt: skip
    assert [exact(x) for x in (0, 999, 1000, 1_234_567)] == ["0", "999", "1 000", "1 234 567"]
    assert [beyond(480, K) for K in (481, 484, 495, 1234)] == ["481", "484", "500", "1 200"]
    assert beyond(12_300, 12_345) == "12 350" or beyond(12_300, 12_345) == "12 340"
    assert [percent(x) for x in (0, 0.5, 0.99999, 3.0, 9.99, 1000, 1001)] == [
        "0 %", "50 %", "99.9 %", "300 %", "1 000 %", "1 000 times", "more than 1 000 times",
    ]  # fmt: skip
    assert between(904, 2130) == "900 to 2 100" and between(904, None) == "at least 900"
    assert between(0.5, 2, number) == "0.5 to 2"


# -- nothing to say -------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [0.0, 1e-34])
def test_losses_that_are_all_equal_have_no_answer(base, noise):
    along = dataclasses.replace(base.along, squares=(torch.full((20,), noise).double(),))
    d = case(base, scale=0.0, tolerance=1e-30, along=along, **BELOW)
    first, second = sound(answer(d, 3.0))
    assert first == (
        "With your 480 samples, one more does not move the loss at all, because every sample has "
        "the same loss here, so that nothing can be said about how much data is enough."
    )
    assert second == (
        "What the missing samples would cost can't be said; doubling the data would cost 1 400, "
        "at 3 each."
    )
    moving = dataclasses.replace(base.along, squares=(torch.full((20,), 1e-29).double(),))
    assert "does not move" not in answer(dataclasses.replace(d, along=moving))[0]


# -- live -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits_seen_by_a_small_cnn():
    """600 digits, 480 of them seen: a criterion over few candidates once missed the hard ones."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(128, 10),
    ).double()  # fmt: skip
    loss = EmpiricalLoss(model, cross_entropy, *digits(600), l2=1e-3)
    budget = Budget(100, 12, 6, 30)
    return loss, diagnose(loss, 480, D=2, budget=budget, progress=False)


def test_the_criterion_is_the_mean_over_all_unseen_digits(digits_seen_by_a_small_cnn):
    loss, d = digits_seen_by_a_small_cnn
    losses = [float(x) for x in loss.per_sample(d.w)]
    seen = sum(losses[:480]) / 480
    squares = [((losses[i] - seen) / 481) ** 2 for i in range(480, 600)]
    mean = sum(squares) / 120
    assert d.candidates == d.tail.count == 120
    for value in (d.tail.mean, d.along.means[-1], d.top.value, d.random.value, d.full.value):
        assert float(value) == pytest.approx(mean, rel=1e-9)
    said = f"{percent(mean**0.5 / d.scale)} of itself"
    assert f"by {said} on average; " in answer(d)[0] or f"typically {said}; " in answer(d)[0]
    few = sum(squares[:20]) / 20  # an average over the first twenty would be another
    assert abs(few / mean - 1) > 0.05


def test_the_interval_excludes_nothing_that_the_mean_over_all_says(digits_seen_by_a_small_cnn):
    """The k at which the mean over every unseen digit crosses the tolerance lies inside."""
    loss, d = digits_seen_by_a_small_cnn
    curve = []
    for j, part in zip(d.along.ks, d.along.squares, strict=True):
        assert len(part) == 600 - j
        curve.append(sum(part.tolist()) / (600 - j))
    for tolerance in (d.tolerance, *[(a * b) ** 0.5 for a, b in pairwise(curve)]):
        found = ln.enough_data(d.along.ks, curve, tolerance)
        band = d.along.band(torch.Generator().manual_seed(0))
        m = settled_within(d.along.ks, band, tolerance, 0.9, OF_NEXT_SAMPLES)
        if found is None:
            assert m.K is None and m.high is None
        else:
            before = max([j for j in d.along.ks if j < found], default=found)
            assert before <= m.K <= found and m.low <= m.K
            assert m.high is None or m.K <= m.high
