"""Public checks of notebook 10: an interval, a test of signs, pairs, a verdict."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from landscape_nb.course.checking import check
from landscape_nb.figures import n10_verdicts as figures

T_NINE = 2.262  # Student's t for ten values, 97.5 %


def check_1(answer: Callable[..., Any]) -> None:
    """Half the width of the interval of ten seeds."""
    cases = [
        {"values": np.array(values)}
        for values in (
            [-2.1, -2.4, -2.2, -2.6, -2.3, -2.0, -2.5, -2.4, -2.2, -2.3],
            [1.0, 0, 1, 0, 1, 0, 1, 0, 1, 0],
        )
    ]
    hints: dict[str, Callable] = {
        "That is the scatter of single seeds. The mean of ten scatters less.": (
            lambda values: T_NINE * values.std(ddof=1)
        ),
        "The variance of a sample divides by n - 1 (ddof=1).": (
            lambda values: T_NINE * values.std() / math.sqrt(len(values))
        ),
        "That holds for known scatter. Ten seeds have to estimate it: take t = 2.262.": (
            lambda values: 1.96 * values.std(ddof=1) / math.sqrt(len(values))
        ),
    }
    check("1", answer, _half_width, cases, hints)


def _half_width(values: np.ndarray) -> float:
    spread = math.sqrt(sum((v - sum(values) / len(values)) ** 2 for v in values))
    return T_NINE * spread / math.sqrt(len(values) * (len(values) - 1))


def check_2(answer: Callable[..., Any]) -> None:
    """The p-value of n seeds that all agree; draws it over n."""
    right = {1: 1.0, 5: 0.0625, 6: 0.03125, 10: 2 / 1024}
    hints: dict[str, Callable] = {
        "That is the chance that all agree *with the claim*. All against it is as striking.": (
            lambda n: 0.5**n
        ),
    }
    check("2", answer, lambda n: right[n], [{"n": n} for n in right], hints)
    figures.own_sign_test([answer(n) for n in range(1, 13)])


def check_3(answer: Callable[..., Any]) -> None:
    """The verdict that an interval allows about a claimed value."""
    right = {
        (-2.4, -2.2, -2.3): "reproduced",
        (-2.4, -2.2, -2.0): "contradicted",
        (-3.0, -1.0, -2.0): "can't be told here",
        (-3.0, -1.0, 1.0): "contradicted",
        (-2.1, -1.95, -2.0): "reproduced",
    }
    cases = [{"low": low, "high": high, "claimed": c} for low, high, c in right]
    hints: dict[str, Callable] = {
        "An interval wider than 0.5 holds almost any claim: what has it decided?": (
            lambda low, high, claimed: "reproduced" if low <= claimed <= high else "contradicted"
        ),
        "Wide as it is, an interval that excludes the value has decided.": (
            lambda low, high, claimed: (
                "can't be told here"
                if high - low > 0.5
                else "reproduced"
                if low <= claimed <= high
                else "contradicted"
            )
        ),
    }
    check("3", answer, lambda low, high, claimed: right[low, high, claimed], cases, hints)
