"""The sentence that a report begins with: each of its branches, and its numbers.

Oracle: the numbers of the diagnosis, formatted here anew, and a plain loop over losses.
"""

import dataclasses
import math
import re

import pytest
import torch
from torch import nn

import landscape_nb as ln
from landscape_nb import EmpiricalLoss
from landscape_nb.problems.data import digits
from landscape_nb.problems.models import MLP
from landscape_nb.study.along_k import AlongK
from landscape_nb.study.answer import answer
from landscape_nb.study.budget import Budget
from landscape_nb.study.diagnosis import diagnose
from landscape_nb.study.wording import between, beyond, count, exact, number, percent
from landscape_nb.theory.enough import EnoughData
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
        "60 or fewer samples on, so by this rule you have enough; " + DOUBLED),
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
    "own tolerance": ({"tolerance": 2.5e-7}, STILL + "that falls below 0.5 % from about 1 300 "
        "samples (90 %: 900 to 2 100; extrapolated); " + DOUBLED),
    "enormous tolerance": (BELOW | {"tolerance": 16.0, "measured": measured(60, 60, 60)}, NOW +
        "that is below 40 times from 60 or fewer samples on, so by this rule you have enough; "
        + DOUBLED),
    "tiny tolerance": ({"tolerance": 1e-30, "forecast": forecast(None, None, None)}, STILL +
        "bringing that below 1e-15 would take more than 30 times as many (extrapolated, too far to "
        "say how many); " + DOUBLED),
    "no scale": ({"scale": 0.0}, "With your 480 samples, one more still moves the loss by "
        "typically 0.0024; that falls below 0.001 from about 1 300 samples (90 %: 900 to 2 100; "
        "extrapolated); " + DOUBLED),
    "no fit of the unseen": ({"scale": 1e-5}, "With your 480 samples, one more still moves the "
        "loss by typically 240 times itself; that falls below 10 000 % from about 1 300 samples "
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
