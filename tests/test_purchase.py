"""How many samples to buy: the table of cases, and a real diagnosis."""

from types import SimpleNamespace

import pytest

from landscape_nb.study.purchase import to_buy
from landscape_nb.theory.forecast import FARTHEST


def diagnosis(K, low, high, measured=None, measured_low=None, k=240):
    """The parts of a diagnosis that count here."""
    return SimpleNamespace(
        k=k,
        forecast=SimpleNamespace(K=K, low=low, high=high, level=0.9),
        measured=SimpleNamespace(K=measured, low=measured_low),
    )


CASES = {
    "missing": (diagnosis(480, 240, 1200), (180, 0, 900), "about 180 (90 %: 0 to 900)"),
    "owned already": (diagnosis(290, 240, 520), (0, 0, 220), "0 (90 %: 0 to 220)"),
    "measured": (diagnosis(330, 310, 410, 150, 120), (0, 0, 110), "0 (90 %: 0 to 110)"),
    "no upper end": (diagnosis(900, 500, None), (600, 200, None), "about 600 (90 %: at least 200)"),
    "too far": (diagnosis(None, 4300, None), (6900, 4000, None), None),
    "too far to say": (diagnosis(None, None, None), (6900, 6900, None), None),
}


@pytest.mark.parametrize(("found", "right", "told"), CASES.values(), ids=CASES)
def test_what_is_missing_beyond_what_is_owned(found, right, told):
    bought = to_buy(found, 300)
    assert (bought.samples, bought.low, bought.high) == right
    assert str(bought) == (
        told or f"more than 6 900 (90 %: at least {right[1]:,})".replace(",", " ")
    )
    assert bought.more is (found.forecast.K is None)
    assert FARTHEST * 240 - 300 == 6900  # what "more than" says


def test_fewer_than_the_model_was_trained_on_are_refused():
    with pytest.raises(ValueError, match=r"at least 240.*got owned = 200"):
        to_buy(diagnosis(480, 240, 1200), 200)
