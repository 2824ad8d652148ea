"""Checks of notebook 00: no surprise, more data, less noise."""

from collections.abc import Callable
from typing import Any

import numpy as np

from landscape_nb.course.checking import check
from landscape_nb.figures import n00_start_here as figures


def check_1(answer: Callable[..., Any]) -> None:
    """The loss that changes nothing is the mean of those before it."""
    cases = [{"losses": np.array(values)} for values in ([1.0, 3.0, 8.0], [2.0, 0.5], [6.0])]
    hints: dict[str, Callable] = {
        "That is their sum. What does the landscape do with losses?": lambda losses: losses.sum(),
        "Right for one sample. And for two?": lambda losses: losses[0],
        "That is the latest loss. The earlier ones count as much.": lambda losses: losses[-1],
    }
    check("1", answer, lambda losses: np.average(losses), cases, hints)


def check_2(answer: Callable[..., Any]) -> None:
    """The factor by which the mean squared change shrinks; then its curve."""
    cases = [{"before": b, "after": a} for b, a in ((5, 50), (10, 20), (3, 7))]
    right = {(5, 50): 85.0, (10, 20): 42 / 11, (3, 7): 14 / 3}
    hints: dict[str, Callable] = {
        "Nearly: that is the rule of thumb 1/k^2.": lambda before, after: (after / before) ** 2,
        "The change itself falls like that. And its square?": lambda before, after: after / before,
    }
    check("2", answer, lambda before, after: right[before, after], cases, hints)
    figures.factor_from_five(answer)


def check_3(answer: Callable[..., Any]) -> None:
    """The factor does not depend on the noise."""
    check("3", answer, lambda: False)
