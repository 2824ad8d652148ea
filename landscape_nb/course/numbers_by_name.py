"""Each student's own numbers: data that a name chooses, so that a neighbour's result is no answer.

The same name gives the same numbers on every machine, however it is spelt: capitals, accents,
spaces and the order of first and last name do not count. Whoever marks is told which name was used.
"""

import hashlib
import itertools
import math
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from landscape_nb.course.answers import number
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.problems.data import digits
from landscape_nb.problems.pretraining import pretrained

NOBODY = "a learner"  # the name that stands in an exercise until somebody writes their own
LONGEST_NAME = 100  # characters; chosen here
# Letters that are no other letter with an accent, as people and platforms spell them without.
SPELT = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ı": "i", "æ": "ae", "œ": "oe"})


def own_numbers(exercise: str, student: str) -> tuple[Any, ...]:
    """The data of an exercise that a student's name chooses.

    Args:
        exercise: `"01.5"`: 40 losses, and a tolerance. `"04.5"`: the loss of a linear classifier on
            120 digits, and k = 60. `"07.5"`: the loss of the trained transformer on 8 sequences
            that it learned from and 12 that it did not, and k = 8.
        student: the name under which somebody hands in.

    Raises:
        ValueError: there is no such exercise, or no letter or digit in the name.

    >>> losses, tolerance = own_numbers("01.5", "Ada Lovelace")
    >>> losses[:3], tolerance
    (array([0.63, 1.05, 8.21]), 0.029)
    >>> bool((own_numbers("01.5", "LOVELACE,  Áda")[0] == losses).all())
    True
    """
    if exercise not in _MADE:
        raise ValueError(
            f"Exercise {exercise!r} has no numbers of one's own; these have: {', '.join(_MADE)}."
        )
    key = _letters(student)
    draws = (
        int.from_bytes(hashlib.sha256(f"{exercise} {key} {at}".encode()).digest()[:6]) / 2**48
        for at in itertools.count()
    )  # not NumPy's, whose numbers may be others in another version
    return _MADE[exercise](draws)


def signed(value: Any) -> tuple[str, list[float]]:
    """An answer with one's own numbers, (name, value, ...), as a test judges it.

    Prints whose numbers they are: whoever marks compares that with who has handed in.

    Raises:
        AssertionError: it is something else; the message says what is asked for.

    >>> signed(("Ada Lovelace", 3))
    own numbers of: Ada Lovelace
    ('Ada Lovelace', [3.0])
    """
    if not isinstance(value, tuple | list) or len(value) < 2:
        raise AssertionError("A name and the values are asked for, such as `return student, 1, 2`.")
    name, *values = value
    try:
        _letters(name)
    except ValueError as error:
        raise AssertionError(str(error)) from None
    print(f"own numbers of: {name}")
    return name, [number(each) for each in values]


def _letters(name: Any) -> str:
    """What counts of a name: letters without accents, in alphabetical order, and digits, in theirs.

    Files of one platform have the last name first, those of another the first name, or no space
    between the two. The digits of an account are no name: 12 is not 21.
    """
    if not isinstance(name, str):
        raise ValueError(f"A name is a text in quotes, such as 'Ada Lovelace'; got {name!r:.50}.")
    plain = unicodedata.normalize("NFKD", name.casefold().translate(SPELT))
    marks = [mark for mark in plain if mark.isalnum()]
    ordered = sorted(filter(str.isalpha, marks)) + [m for m in marks if not m.isalpha()]
    breaks = any(unicodedata.category(mark) in ("Cc", "Zl", "Zp") for mark in name)
    if not marks or breaks or len(name) > LONGEST_NAME:
        raise ValueError(
            f"Your own numbers need your name, in one line of at most {LONGEST_NAME} characters "
            f"and with letters or digits, such as 'Ada Lovelace'; got {name!r:.50}."
        )
    return "".join(ordered)


def _losses(draws: Iterator[float]) -> tuple[np.ndarray, float]:
    """Sample losses as a trained model has them: most are small, a few are not."""
    losses = np.array([round(-2 * math.log(1 - next(draws)), 2) for _ in range(40)])
    return losses, round(0.02 + 0.04 * next(draws), 3)


def _classifier(draws: Iterator[float]) -> tuple[EmpiricalLoss, int]:
    """A linear classifier has one minimiser, so that every machine finds the same numbers."""
    inputs, labels = digits(seed=None)
    chosen = _some(draws, range(len(labels)), 120)
    model = torch.nn.Linear(64, 10, dtype=torch.float64)
    torch.nn.init.zeros_(model.weight)
    torch.nn.init.zeros_(model.bias)
    cross_entropy = torch.nn.CrossEntropyLoss(reduction="none")
    return EmpiricalLoss(model, cross_entropy, inputs[chosen], labels[chosen], l2=3e-2), 60


def _sequences(draws: Iterator[float]) -> tuple[EmpiricalLoss, int]:
    """Of the first run that comes with the package, at the end of its training."""
    run = pretrained()[0]
    seen = _some(draws, range(run.num_train), 8)
    held_out = _some(draws, range(run.num_train, len(run.sequences)), 12)
    return run.loss([*seen, *held_out]), len(seen)


def _some(draws: Iterator[float], of: range, count: int) -> list[int]:
    """So many different ones, in the order in which they were drawn."""
    found: list[int] = []
    while len(found) < count:
        drawn = of[int(next(draws) * len(of))]
        found += [drawn] if drawn not in found else []
    return found


_MADE: dict[str, Callable[[Iterator[float]], tuple[Any, ...]]] = {
    "01.5": _losses,
    "04.5": _classifier,
    "07.5": _sequences,
}
