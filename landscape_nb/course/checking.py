"""Exercises that answer back: public checks, and predictions drawn beside the truth.

A check never gives the answer away. It says that an answer is right, or what its values say about
the mistake (`answers.diagnose`), or that there is none yet.
"""

import linecache
import os
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from landscape_nb.course import saved_work as work
from landscape_nb.course.answers import NOTHING, Case, diagnose
from landscape_nb.figures import plots

# A prediction that was run but not yet saved would otherwise be missing from the saved work.
work.watch()
LEAD = "Your guess, and what was found."  # before the sentence under each revealed prediction


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
    truth: Callable[..., Any],
    cases: Sequence[Case] = ({},),
    mistakes: Mapping[str, Callable[..., Any]] | None = None,
    *,
    up_to: str | None = None,
    rtol: float = 1e-6,
) -> None:
    """Public check of an answer: its values beside the truth's, case by case.

    Args:
        exercise: number of the exercise, as the learner reads it.
        answer: the learner's function.
        truth: gives the right value for the same arguments.
        cases: the arguments to try, by name; several, so that a mistake shows its pattern.
        mistakes: hint -> a function that makes one known mistake. Where the answer's values are
            that function's, the hint is what the learner reads.
        up_to: "sign" or "rotation", for eigenvectors and bases; see `diagnose`.
        rtol: relative error that still counts as right.

    Raises:
        NotYet: the answer is not right; the message diagnoses it.
        NoAnswerYet: the answer is still the stub.

    >>> check("1", lambda k: 1 / (k + 1), lambda k: 1 / (k + 1), [{"k": 3}, {"k": 8}])
    Exercise 1, public check: right.
    """
    found = [_call(exercise, answer, case) for case in cases]
    tried = {hint: _values(mistake, cases) for hint, mistake in (mistakes or {}).items()}
    known = {hint: values for hint, values in tried.items() if values is not None}
    expected = [truth(**case) for case in cases]
    told = diagnose(found, expected, cases, known, up_to=up_to, rtol=rtol)
    if told:
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
    for required, holds in properties.items():
        try:
            fine = bool(holds(value))
        except Exception as error:  # whatever a test of a wrong kind of value may raise
            raise NotYet(
                f"Exercise {exercise}, public check: not yet. Required: {required}. The value "
                f"could not be tested for it: {type(error).__name__}: {_one_line(error)}"
            ) from error
        if not fine:
            end = "" if required.endswith("?") else "."
            raise NotYet(f"Exercise {exercise}, public check: not yet. Required: {required}{end}")
    print(f"Exercise {exercise}, public check: right.")


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
            f"Exercise {exercise}: your function raised {type(error).__name__}: {_one_line(error)}"
            + (f"  (in the line `{where}`)" if where else "")
        ) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _own_line(answer: Callable[..., Any], error: Exception) -> str:
    """The last line of the learner's own on the way to an error: cells share one folder."""
    code = getattr(answer, "__code__", None)
    if code is None:
        return ""
    folder = os.path.dirname(code.co_filename)
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if os.path.dirname(f.filename) == folder]
    return linecache.getline(own[-1].filename, own[-1].lineno or 0).strip() if own else ""


def reveal_number(what: str, guess: float, truths: ArrayLike, unit: str = "") -> None:
    """Draw a guessed number beside the measured ones, and say how far it was.

    Args:
        what: the quantity, as the beginning of a sentence ("The slope of the squared criterion").
        guess: the learner's number.
        truths: the measured number, or one for each seed or data set.
        unit: written after the numbers.
    """
    guess = _number(guess)
    runs = np.atleast_1d(np.asarray(truths, dtype=float)).ravel()
    low, middle, high = runs.min(), float(np.median(runs)), runs.max()
    figure, ax = plots.new_figure(width=6.2, height=1.6)
    plots.guess_on_a_line(ax, guess, runs, f"{what}{f' [{unit}]' if unit else ''}")
    unit = f" {unit}" if unit else ""
    spread = f" ({low:.3g} to {high:.3g} over {len(runs)} runs)" if len(runs) > 1 else ""
    plots.show(
        figure,
        f"{what}: you guessed {guess:.3g}{unit}, measured is {middle:.3g}{unit}{spread}. "
        f"{_how_far(guess, low, middle, high)}",
        LEAD,
    )


def _number(guess: Any) -> float:
    try:
        if isinstance(guess, str):
            raise TypeError
        number = float(guess)
    except (TypeError, ValueError):
        number = float("nan")
    if not abs(number) < 1e100:  # farther no axis reaches
        raise ValueError(f"The prediction must be a number, such as 0.1; got {guess!r}.")
    return number


def _how_far(guess: float, low: float, middle: float, high: float) -> str:
    if low <= guess <= high or np.isclose(guess, middle, rtol=0.02):
        return "That is a hit."
    if guess > 0 and middle > 0 and max(guess / middle, middle / guess) > 1.5:
        factor = max(guess / middle, middle / guess)
        side = "large" if guess > middle else "small"
        return f"Your guess is {_two_digits(factor)} times too {side}."
    return f"Your guess is too {'high' if guess > middle else 'low'} by {abs(guess - middle):.2g}."


def _two_digits(x: float) -> str:
    """A factor as people say it: 1.7, 830."""
    return f"{float(f'{x:.2g}'):g}"


def reveal_choice(what: str, guess: Any, truth: Any, options: Sequence[Any]) -> None:
    """Draw the options of a question, the learner's choice and the one that was found.

    Args:
        what: the question.
        guess: the learner's option.
        truth: the option that was found.
        options: all of them, in the order to draw.

    Raises:
        ValueError: the guess is none of the options.
    """
    if guess not in options:
        raise ValueError(f"The prediction must be one of {list(options)}; got {guess!r}.")
    guess, truth = (next(o for o in options if o == choice) for choice in (guess, truth))
    figure, ax = plots.new_figure(width=6.2, height=1.3)
    plots.guess_among_options(ax, [str(o) for o in options], str(guess), str(truth))
    verdict = "You predicted it." if guess == truth else f"You predicted {guess}."
    plots.show(figure, f"{what} Found: {truth}. {verdict}", LEAD)


def reveal_curve(
    what: str, guess: Mapping[float, float], x: ArrayLike, runs: ArrayLike, *, xlabel: str
) -> None:
    """Draw a guessed curve, given at a few points, beside the measured one on log-log axes.

    Args:
        what: the quantity on the vertical axis.
        guess: x -> guessed value, both positive; at least two points, joined by straight lines.
        x: where the truth is known, (K,).
        runs: the measured values, one row for each seed or data set, (R, K) or (K,).
        xlabel: label of the horizontal axis.

    Raises:
        ValueError: fewer than two points, or one that is not positive.
    """
    try:
        numbers = [_number(v) for v in (*guess, *guess.values())]
    except (AttributeError, TypeError, ValueError):
        numbers = []
    if len(numbers) < 4 or min(numbers) <= 0:
        raise ValueError(
            "A guessed curve needs at least two points, all positive, such as {10: 1.0, 1000: "
            f"0.01}}; got {guess!r}."
        )
    points = sorted(guess.items())
    rows, at = np.atleast_2d(np.asarray(runs, dtype=float)), np.asarray(x, dtype=float)
    figure, ax = plots.new_figure(width=5.6)
    plots.spread(ax, at, rows, "measured", color=plots.BLUE, marker="o")
    where, heights = np.array(points, dtype=float).T
    plots.curve(ax, where, heights, "guess", label="your guess")
    few = at.tolist() if len(at) <= 6 else None
    plots.log_log(ax, xlabel, what, "Your guess beside the truth", ticks=few)
    plots.plain_digits(ax)
    ax.legend(frameon=False)
    told = np.exp(np.interp(np.log(at), np.log(where), np.log(heights)))
    factor = told / np.exp(np.log(rows).mean(0))
    worst = int(np.abs(np.log(factor)).argmax())
    times = max(factor[worst], 1 / factor[worst])
    side = "high" if factor[worst] > 1 else "low"
    off = f"It is farthest off at {at[worst]:.4g}, {_two_digits(times)} times too {side}."
    plots.show(
        figure,
        f"{what}: the dashed line is your guess. "
        f"{off if times > 1.05 else 'It lies on the measured curve.'}",
        LEAD,
    )
