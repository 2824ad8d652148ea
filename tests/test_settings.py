"""Settings of explorables under a researcher's hands: numbers of any library, and what is refused.

What is refused leaves the explorable as it was, in the kernel and in the browser.
"""

import numpy as np
import pytest
import torch
from explorables import EXAMPLES, STEPS
from traitlets import TraitError

from landscape_nb.widgets import BowlExplorer, Explorer, RitzExplorer, SpectrumExplorer

SETTINGS = [(name, setting) for name in EXAMPLES for setting in STEPS[name]]
EACH_SETTING = pytest.mark.parametrize(("name", "setting"), SETTINGS)


def example(name):
    return EXAMPLES[name](np.random.default_rng(2))


@EACH_SETTING
@pytest.mark.parametrize(
    "kind", [np.asarray, lambda v: torch.tensor(np.asarray(v))], ids=["numpy", "torch"]
)
def test_a_number_of_any_library_is_taken_as_python_s(name, setting, kind):
    one = example(name)
    value = getattr(one, setting)
    setattr(one, setting, kind(value))
    assert getattr(one, setting) == value
    assert type(getattr(one, setting)) is type(value)


def test_a_number_of_single_precision_is_taken():
    one = BowlExplorer(lr=np.float32(1.5))
    assert one.lr == 1.5 and type(one.lr) is float


@EACH_SETTING
@pytest.mark.parametrize("value", [1e9, float("nan"), "3", None], ids=str)
def test_what_a_front_end_sends_amiss_is_taken_back_there_too(name, setting, value, monkeypatch):
    if value is None and setting == "k":
        pytest.skip("None is a k of one explorable: averaged over k")
    one = example(name)
    before, told = one.state(), []
    monkeypatch.setattr(one, "send_state", lambda key=None: told.append((key, one.state())))
    with pytest.raises(TraitError):
        one.set_state({setting: value})
    assert one.state() == before
    assert told[-1] == ([setting], before)


def test_a_refusal_is_a_value_error_and_takes_back_what_came_with_it():
    one = BowlExplorer(lr=1.0, kappa=3.0)
    with pytest.raises(ValueError, match=r"lr must lie in 0.1\.\.2.4; got lr = 9"):
        with one.hold_trait_notifications():
            one.kappa = 7.0
            one.lr = 9.0
    assert (one.lr, one.kappa) == (1.0, 3.0)


def test_true_is_not_a_dimension():
    with pytest.raises(TraitError, match="'D' trait .* expected an int, not the bool True"):
        example("explorer").D = True


def test_data_are_not_a_setting():
    with pytest.raises(TraitError, match='"data" trait is read-only'):
        BowlExplorer().data = {}


def test_an_explorable_in_words_is_its_settings():
    assert repr(BowlExplorer(lr=1.5)) == "BowlExplorer(kappa=10.0, lr=1.5)"


NAN = float("nan")


@pytest.mark.parametrize(
    "case",
    {
        "eigenvalues": (lambda: RitzExplorer([1, NAN], [[1]], [[0]]), "true must be finite"),
        "Ritz values": (lambda: RitzExplorer([1, 2], [[NAN]], [[0]]), "ritz must be finite"),
        "spectra": (
            lambda: SpectrumExplorer([1, 2], [[1, 0.5], [NAN, 0.5]], [1, 1], [1, 1]),
            r"spectra must be finite; got nan \(in 1 of 4 places\)",
        ),
        "losses": (
            lambda: SpectrumExplorer([1, 2], [[1, 0.5], [1, 0.5]], [1, np.inf], [1, 1]),
            "losses must be finite; got inf",
        ),
        "steps": (lambda: BowlExplorer(steps=2.5), "steps must be a whole number"),
        "no table": (lambda: Explorer({"top": [1]}, [1]), "'top' must be a MomentTable"),
        "no names": (lambda: Explorer([1], [1]), "probes must be a dict .*; got list"),
        "none": (lambda: Explorer({}, None), "probes must be a dict .*; got none"),
    }.items(),
    ids=lambda case: case[0],
)
def test_data_that_nothing_can_be_drawn_from_are_refused(case):
    _, (make, words) = case
    with pytest.raises(ValueError, match=words):
        make()
