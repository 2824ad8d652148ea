"""Predictions, drawn beside what was found."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from landscape_nb.figures import guesses, plots

LEAD = "Your guess, and what was found."  # before the sentence under each revealed prediction


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
    guesses.guess_on_a_line(ax, guess, runs, f"{what}{f' [{unit}]' if unit else ''}")
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
    guesses.guess_among_options(ax, [str(o) for o in options], str(guess), str(truth))
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
