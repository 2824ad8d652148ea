"""Reveals: what was found, beside what was predicted, and not before that is committed."""

from collections.abc import Callable
from types import FunctionType
from typing import Any

import ipywidgets
import numpy as np
from IPython.display import Markdown, display
from numpy.typing import ArrayLike

from landscape_nb.course.predictions import Prediction, revealing
from landscape_nb.figures import guesses, plots

STRIP = 4.7  # inches: fits a phone, where wider pictures scroll and would hide what was found
LEAD = "Your guess, and what was found."  # before the sentence under each revealed prediction
FOUND = "What was found."  # the same where nobody has guessed
FIRST = "*Commit your prediction above first: then this shows what was found.*"
Show = Callable[[], object]


def reveal_number(
    what: str, guess: Prediction, truths: ArrayLike, unit: str = "", show: Show | None = None
) -> None:
    """Draw a guessed number beside the measured ones, and say how far it was.

    Args:
        what: the quantity, as the beginning of a sentence ("The slope of the squared criterion").
        guess: what `predict_number` has returned; nothing is shown before it is committed.
        truths: the measured number, or one for each seed or data set.
        unit: written after the numbers.
        show: called afterwards, for lines and pictures that would give the answer away.

    Raises:
        ValueError: the guess is of another kind, or what was found is no number.
    """
    _asked(guess, "number")
    runs = np.atleast_1d(np.asarray(truths, dtype=float)).ravel()
    if not runs.size or not np.isfinite(runs).all():
        raise ValueError(f"{what} needs one finite number or more; got {truths!r}.")
    _reveal(guess, lambda value: _draw_number(what, value, runs, unit), show)


def reveal_choice(what: str, guess: Prediction, truth: Any, show: Show | None = None) -> None:
    """Draw the options of a question, the learner's choice and the one that was found.

    Args:
        what: the question.
        guess: what `predict_choice` has returned; nothing is shown before it is committed.
        truth: the option that was found.
        show: called afterwards, for lines and pictures that would give the answer away.

    Raises:
        ValueError: the guess is of another kind, or the truth is none of the options.
    """
    options = _asked(guess, "choice")["options"]
    found = str(truth.item() if hasattr(truth, "item") else truth)
    if found not in options:
        raise ValueError(f"What was found must be one of {options}; got {truth!r}.")
    _reveal(guess, lambda value: _draw_choice(what, value, found, options), show)


def reveal_curve(
    what: str,
    guess: Prediction,
    x: ArrayLike,
    runs: ArrayLike,
    *,
    xlabel: str,
    show: Show | None = None,
) -> None:
    """Draw a guessed curve beside the measured one on log-log axes.

    Args:
        what: the quantity on the vertical axis.
        guess: what `predict_curve` has returned; nothing is shown before it is committed.
        x: where the truth is known, (K,).
        runs: the measured values, one row for each seed or data set, (R, K) or (K,).
        xlabel: label of the horizontal axis.
        show: called afterwards, for lines and pictures that would give the answer away.

    Raises:
        ValueError: the guess is of another kind, or what was found has no place on these axes.
    """
    _asked(guess, "curve")
    rows, at = np.atleast_2d(np.asarray(runs, dtype=float)), np.asarray(x, dtype=float)
    if rows.shape[1:] != at.shape or not ((rows > 0) & (rows < np.inf)).all():
        raise ValueError(
            f"{what} needs a finite, positive number above each of {at.size} x; got {runs!r}."
        )
    _reveal(guess, lambda value: _draw_curve(what, value, at, rows, xlabel), show)


def _asked(guess: Prediction, kind: str) -> dict[str, Any]:
    """How a prediction asks, if it asks for this kind of guess."""
    if not isinstance(guess, Prediction) or guess.asks["kind"] != kind:
        raise ValueError(f"reveal_{kind} takes what predict_{kind} returned; got {guess!r:.60}.")
    return guess.asks


def _reveal(guess: Prediction, draw: Callable[[Any], None], show: Show | None) -> None:
    """Draw at once, or as soon as the guess is committed; until then say what to do."""

    def tell() -> None:
        draw(guess.value)
        if show is not None:
            show()

    if guess.value is not None or revealing():
        tell()
        return
    show = _as_now(show)
    place = ipywidgets.Output()
    with place:
        display(Markdown(FIRST))
    display(place)

    def fill() -> None:
        place.outputs = ()
        with place:
            tell()

    guess.when_committed(fill)


def _as_now(show: Show | None) -> Show | None:
    """The function with the notebook's variables as they are now: a later cell may reuse a name."""
    if not isinstance(show, FunctionType):
        return show
    there = show.__globals__
    now = dict(there)

    def bound(function: FunctionType) -> FunctionType:
        code, name, closure = function.__code__, function.__name__, function.__closure__
        copy = FunctionType(code, now, name, function.__defaults__, closure)
        copy.__kwdefaults__ = function.__kwdefaults__
        return copy

    for name, value in there.items():
        if isinstance(value, FunctionType) and value.__globals__ is there:
            now[name] = bound(value)
    return bound(show)


def _draw_number(what: str, guess: float | None, runs: np.ndarray, unit: str) -> None:
    low, middle, high = runs.min(), float(np.median(runs)), runs.max()
    figure, ax = plots.new_figure(width=STRIP, height=1.6)
    guesses.guess_on_a_line(ax, guess, runs, f"{what}{f' [{unit}]' if unit else ''}")
    unit = f" {unit}" if unit else ""
    spread = f" ({low:.3g} to {high:.3g} over {len(runs)} runs)" if len(runs) > 1 else ""
    measured = f"measured is {middle:.3g}{unit}{spread}."
    if guess is None:
        plots.show(figure, f"{what}: {measured}", FOUND)
        return
    told = f"you guessed {guess:.3g}{unit}, {measured} {_how_far(guess, low, middle, high)}"
    plots.show(figure, f"{what}: {told}", LEAD)


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


def _draw_choice(what: str, guess: Any, truth: str, options: list[str]) -> None:
    figure, ax = plots.new_figure(width=STRIP, height=1.3)
    chosen = None if guess is None else str(guess)
    guesses.guess_among_options(ax, options, chosen, truth)
    if chosen is None:
        plots.show(figure, f"{what} Found: {truth}.", FOUND)
        return
    verdict = "You predicted it." if chosen == truth else f"You predicted “{chosen}”."
    plots.show(figure, f"{what} Found: {truth}. {verdict}", LEAD)


def _draw_curve(
    what: str, guess: dict[float, float] | None, at: np.ndarray, rows: np.ndarray, xlabel: str
) -> None:
    figure, ax = plots.new_figure(width=STRIP)
    plots.spread(ax, at, rows, "measured", color=plots.BLUE, marker="o")
    if guess is not None:
        plots.curve(ax, list(guess), list(guess.values()), "guess", label="your guess")
    labels = "".join(f"{x:g}" for x in at)
    few = at.tolist() if len(labels) <= 30 else None  # longer ones would touch each other
    plots.log_log(
        ax,
        xlabel,
        what,
        "What was found" if guess is None else "Your guess beside the truth",
        ticks=few,
    )
    plots.plain_digits(ax)
    ax.legend(frameon=False)
    means = np.exp(np.log(rows).mean(0))
    if guess is None:
        told = f"it goes from {means[0]:.2g} at {at[0]:.4g} to {means[-1]:.2g} at {at[-1]:.4g}."
        plots.show(figure, f"{what}: {told}", FOUND)
        return
    told = f"the dashed line is your guess. {_farthest(guess, at, means)}"
    plots.show(figure, f"{what}: {told}", LEAD)


def _farthest(guess: dict[float, float], at: np.ndarray, means: np.ndarray) -> str:
    """Where a guessed curve, straight between its points, is farthest off, and by what factor."""
    where, heights = np.log(list(guess)), np.log(list(guess.values()))
    factor = np.exp(np.interp(np.log(at), where, heights)) / means
    worst = int(np.abs(np.log(factor)).argmax())
    times = max(factor[worst], 1 / factor[worst])
    side = "high" if factor[worst] > 1 else "low"
    if times <= 1.05:
        return "It lies on the measured curve."
    return f"It is farthest off at {at[worst]:.4g}, {_two_digits(times)} times too {side}."
