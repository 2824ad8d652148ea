"""Exercises that answer back.

A check never gives the answer away. It says that an answer is right, or what its values say about
the mistake (`answers.explain`) and which input it was asked with, or that there is none yet.
"""

import inspect
import linecache
import os
import reprlib
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from landscape_nb.course.answers import NOTHING, Case, explain
from landscape_nb.course.exercises import find_check
from landscape_nb.course.numbers_by_name import NOBODY, signed
from landscape_nb.course.progress import record_passed


class NotYet(Exception):
    """An exercise's check is not passed; the message says why.

    Notebooks show it as this one line, without a traceback.
    """

    def _render_traceback_(self) -> list[str]:  # IPython's own hook
        return [str(self)]


class NoAnswerYet(NotYet):
    """The exercise still holds its `raise NotImplementedError()`."""


def check(
    exercise: str,
    answer: Callable[..., Any],
    truth: Callable[..., Any] | None = None,
    cases: Sequence[Case] = ({},),
    mistakes: Mapping[str, Callable[..., Any]] | None = None,
    *,
    up_to: str | None = None,
    rtol: float = 1e-6,
) -> None:
    """Public check of an answer: its values beside the truth's, case by case.

    With an exercise and an answer alone it is the check of that exercise of the course, which
    `landscape_nb.course.exercises` holds.

    Args:
        exercise: number of the exercise: "05.1" is the first of notebook 05. With a truth of your
            own, any name.
        answer: the learner's function.
        truth: gives the right value for the same arguments.
        cases: the arguments to try, by name; several, so that a mistake shows its pattern.
        mistakes: hint -> a function that makes one known mistake. Where the answer's values are
            that function's, the hint is what the learner reads.
        up_to: "sign" or "rotation", for eigenvectors and bases; see `explain`.
        rtol: relative error that still counts as right.

    Raises:
        NotYet: the answer is not right; the message diagnoses it.
        NoAnswerYet: the answer is still the stub.

    >>> check("1", lambda k: 1 / (k + 1), lambda k: 1 / (k + 1), [{"k": 3}, {"k": 8}])
    Exercise 1, public check: right.
    """
    if truth is None:
        find_check(exercise)(answer)
        record_passed(exercise)
        return
    found = [_call(exercise, answer, case) for case in cases]
    tried = {hint: _values(mistake, cases) for hint, mistake in (mistakes or {}).items()}
    known = {hint: values for hint, values in tried.items() if values is not None}
    expected = [truth(**case) for case in cases]
    told = explain(found, expected, cases, known, up_to=up_to, rtol=rtol)
    if told:
        three = zip(found, expected, cases, strict=True)
        alone = ((explain([f], [e], [case], up_to=up_to, rtol=rtol), case) for f, e, case in three)
        told = _with_input(told, next((case for wrong, case in alone if wrong), {}))
        raise NotYet(f"Exercise {exercise}, public check: not yet. {told}")
    print(f"Exercise {exercise}, public check: right.")


def check_properties(
    exercise: str,
    answer: Callable[..., Any],
    properties: Mapping[str, Callable[[Any], Any]],
    case: Case | None = None,
) -> None:
    """Public check of an answer of which many are right: what must hold of its value, in order.

    Args:
        exercise: number of the exercise, as the learner reads it.
        answer: the learner's function.
        properties: what is required, in words -> a test of the value. The first that fails is
            what the learner reads.
        case: the arguments, by name.

    Raises:
        NotYet: a property does not hold.
        NoAnswerYet: the answer is still the stub.

    >>> check_properties("2", lambda: 4, {"an even number": lambda x: x % 2 == 0})
    Exercise 2, public check: right.
    """
    value = _call(exercise, answer, case or {})
    if value is None:
        raise NotYet(f"Exercise {exercise}, public check: not yet. {NOTHING}")
    tried = _with_input("", case or {})
    for required, holds in properties.items():
        try:
            fine = bool(holds(value))
        except Exception as error:  # whatever a test of a wrong kind of value may raise
            raise NotYet(
                f"Exercise {exercise}, public check: not yet. Required: {required}. The value "
                f"could not be tested for it: {type(error).__name__}: {_one_line(error)}{tried}"
            ) from error
        if not fine:
            end = "" if required.endswith("?") else "."
            raise NotYet(
                f"Exercise {exercise}, public check: not yet. Required: {required}{end}{tried}"
            )
    print(f"Exercise {exercise}, public check: right.")


def check_own(
    exercise: str,
    answer: Callable[..., Any],
    truth: Callable[[str], Mapping[str, float]],
    mistakes: Mapping[str, Callable[[str], Mapping[str, float]]] | None = None,
    *,
    rtol: float = 1e-6,
) -> None:
    """Public check of an answer with the student's own numbers: (name, value, value, ...).

    Args:
        exercise: number of the exercise.
        answer: the learner's function, without arguments.
        truth: name -> the right values, in the order asked for, by what they are called.
        mistakes: hint -> a function that makes one known mistake; may give some of the values.
        rtol: relative error that still counts as right.

    Raises:
        NotYet: a value is not right, or there is no name.
        NoAnswerYet: the answer is still the stub.
    """
    value = _call(exercise, answer, {})
    not_yet = f"Exercise {exercise}, public check: not yet."
    if value is None:
        raise NotYet(f"{not_yet} {NOTHING}")
    try:
        student, found = signed(value)
    except AssertionError as error:
        raise NotYet(f"{not_yet} {error}") from None
    expected = truth(student)
    if len(found) != len(expected):
        raise NotYet(f"{not_yet} Asked for are, in this order: your name, {', '.join(expected)}.")
    known = {hint: mistake(student) for hint, mistake in (mistakes or {}).items()}
    for (name, right), given in zip(expected.items(), found, strict=True):
        hints = {hint: [values[name]] for hint, values in known.items() if name in values}
        if told := explain([given], [right], [{}], hints, rtol=rtol):
            raise NotYet(f"{not_yet} {name}: {told}")
    print(f"Exercise {exercise}, public check: right.")
    if student == NOBODY:
        print("Before you hand in, write your own name: it chooses other numbers.")


def _with_input(told: str, case: Case) -> str:
    """A diagnosis, and which input the answer was asked with, unless it says so itself."""
    words = asked(case)
    return told if not words or f"At {words}: " in told else f"{told} Asked with {words}."


SHORT = 8  # so many numbers of one argument are shown; chosen here


def asked(case: Case) -> str:
    """The arguments of a case as a learner reads them; nothing of a model or a loss.

    >>> asked({"d": (0.5, -0.5), "D": 2, "B": np.zeros((9, 9)), "model": object()})
    'd = (0.5, -0.5), D = 2, B of shape (9, 9)'
    """
    words = {name: _shown(value) for name, value in case.items()}
    return ", ".join(f"{name} {text}" for name, text in words.items() if text)


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool | str):
        return f"= {reprlib.repr(value)}"
    try:
        array = np.asarray(value.detach().cpu() if isinstance(value, torch.Tensor) else value)
    except (TypeError, ValueError, RuntimeError):  # lists of other lengths, sparse tensors
        return ""
    if array.dtype.kind not in "biuf":
        return ""
    if array.size > SHORT:
        return f"of shape {array.shape}"
    return f"= {_listed(array.tolist(), '()' if isinstance(value, tuple) else '[]')}"


def _listed(numbers: Any, brackets: str) -> str:
    if isinstance(numbers, list):
        return brackets[0] + ", ".join(_listed(one, brackets) for one in numbers) + brackets[1]
    return f"{numbers:.4g}"


def _values(mistake: Callable[..., Any], cases: Sequence[Case]) -> list[Any] | None:
    """What a known mistake gives; None where it builds on an answer that is of another kind."""
    try:
        return [mistake(**_copied(case)) for case in cases]
    except Exception:
        return None


def _copied(value: Any) -> Any:
    """A copy of what an answer could change in place, for the truth is asked with the same."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad)
    if isinstance(value, np.ndarray):
        return value.copy()
    if type(value) in (list, tuple):
        return type(value)(_copied(v) for v in value)
    if type(value) is dict:
        return {key: _copied(v) for key, v in value.items()}
    return value


def _call(exercise: str, answer: Callable[..., Any], case: Case) -> Any:
    """The answer's value; what it raises is told in one line, with the learner's own line."""
    try:
        return answer(**_copied(case))
    except NotImplementedError:
        raise NoAnswerYet(
            f"Exercise {exercise}: no answer yet. "
            "Put yours in place of `raise NotImplementedError()`."
        ) from None
    except Exception as error:
        where = _own_line(answer, error)
        raise NotYet(
            f"Exercise {exercise}: your function raised {_told(error)}"
            + (f"  (in the line `{where}`)." if where else ".")
            + _with_input("", case)
        ) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _told(error: Exception) -> str:
    """Kind and message; `AnswerError`, from an answer in another process, names the kind itself."""
    kind = type(error).__name__
    return _one_line(error) if kind == "AnswerError" else f"{kind}: {_one_line(error)}"


def _own_line(answer: Callable[..., Any], error: Exception) -> str:
    """The last line of the learner's own on the way to an error: cells share one folder."""
    if hasattr(error, "own_line"):  # the answer ran in another process, which knows its line
        return " ".join(str(error.own_line).split())[:200]
    code = getattr(inspect.unwrap(answer), "__code__", None)  # a check may have wrapped it
    if code is None:
        return ""
    folder = os.path.dirname(code.co_filename)
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if os.path.dirname(f.filename) == folder]
    return linecache.getline(own[-1].filename, own[-1].lineno or 0).strip() if own else ""
