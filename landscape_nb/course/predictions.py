"""Predictions: a question, a guess in the browser, and a *Commit* that cannot be taken back.

`predict_number`, `predict_choice` and `predict_curve` ask; the functions of `reveals.py` answer,
but not before the guess is committed. Running a notebook commits nothing: only its reader does.
"""

import math
import os
import re
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from numbers import Real
from pathlib import Path
from typing import Any

import anywidget
from IPython.display import display
from traitlets import Any as AnyTrait
from traitlets import Dict, TraitError, Unicode, observe, validate

from landscape_nb.course.kept_predictions import keep_predictions, read_predictions
from landscape_nb.widgets.es_modules import es_module, page_style

REVEAL = "LANDSCAPE_NB_REVEAL"  # set in the environment where notebooks are built and tested
KEY = re.compile(r"\d\d\.[\w-]+")
LARGEST = 1e100  # farther no axis reaches
ELSEWHERE = "This was committed before, in another window, and stays as it is."
Option = str | int | float | bool


def revealing() -> bool:
    """Whether everything is shown without a guess, as where notebooks are built and tested."""
    return os.environ.get(REVEAL) == "1"


class PredictionError(ValueError, TraitError):
    """A guess that cannot be. What a page sent is taken back, as any other refused trait."""


class Prediction(anywidget.AnyWidget):
    """A question, and the guess once it is committed. Made by the functions below.

    Attributes:
        key: "NN.name": the notebook and a name that is used once in it.
        question: what is asked, in one sentence.
        asks: how, as plain data: `kind` is "number", "choice" or "curve".
        committed: the guess as the page sends it: a number, the position of an option, or one
            height for each x; None before it is committed, and never changed afterwards.
        trouble: what the page says below a guess that was not simply taken and kept.
    """

    _esm = es_module("prediction")
    _css = page_style()
    key = Unicode(read_only=True).tag(sync=True)
    question = Unicode(read_only=True).tag(sync=True)
    asks = Dict(read_only=True).tag(sync=True)
    committed = AnyTrait(None, allow_none=True).tag(sync=True)
    trouble = Unicode(read_only=True).tag(sync=True)

    def __init__(
        self, key: str, question: str, asks: dict[str, Any], options: Sequence[Option] = ()
    ) -> None:
        if not KEY.fullmatch(key):
            raise ValueError(f"a prediction's key is like '04.slope'; got {key!r}.")
        if not question.strip():
            raise ValueError(f"prediction {key} needs a question.")
        self._folder, self._options = Path.cwd(), tuple(options)
        for name, value in {"key": key, "question": question, "asks": asks}.items():
            self.set_trait(name, value)
        super().__init__()
        if not revealing() and (kept := self._kept()) is not None:
            self.committed = kept
        _asked.add(self)

    @property
    def value(self) -> Any:
        """The guess: a number, the option, or {x: height}; None before it is committed."""
        if self.committed is None:
            return None
        if self.asks["kind"] == "choice":
            return self._options[self.committed]
        return _in_words(self.committed, self.asks)

    def commit(self, guess: Any) -> None:
        """Commit a guess as the page's button does.

        Args:
            guess: a number, the position of an option, or one height for each x.

        Raises:
            ValueError: it is none of these, or another guess was committed before.
        """
        self.committed = CHECKS[self.asks["kind"]](guess, self.asks)

    def when_committed(self, do: Callable[[], None]) -> None:
        """Call a function as soon as there is a guess, at once if there is one already."""
        if self.committed is not None:
            do()
        else:
            self.observe(lambda _: do(), "committed")

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take what a page sends; where that is refused, tell it what holds."""
        super().set_state({name: sync_data[name] for name in sync_data.keys() - {"committed"}})
        if "committed" in sync_data:
            try:  # by itself: ipywidgets holds its checks back until there is no earlier guess left
                self.commit(sync_data["committed"])
            except TraitError:
                self.send_state("committed")
                raise

    def _kept(self) -> Any:
        """The guess that is kept here, if there is one that still answers the question."""
        kept = read_predictions(self._folder).get(self.key)
        with suppress(ValueError):
            return CHECKS[self.asks["kind"]](_from_words(kept, self.asks), self.asks)
        return None

    @validate("committed")
    def _check(self, proposal: Any) -> Any:
        """Once there is a guess it stays; what is none is refused."""
        guess = proposal["value"]
        if self.committed is not None and guess != self.committed:
            raise PredictionError(f"Prediction {self.key} is committed and stays as it is.")
        if guess is None:
            return None
        guess = CHECKS[self.asks["kind"]](guess, self.asks)
        # a second kernel with this notebook may have asked, and been told, meanwhile
        kept = None if revealing() or self.committed is not None else self._kept()
        if kept is None or kept == guess:
            return guess
        self.set_trait("trouble", ELSEWHERE)
        return kept

    @observe("committed")
    def _keep(self, change: Any) -> None:
        if revealing() or self._kept() == change.new:
            return
        try:
            keep_predictions(self._folder, {self.key: _in_words(change.new, self.asks)})
        except (OSError, ValueError) as error:
            self.set_trait("trouble", f"It could not be kept for the next session ({error}).")

    @observe("committed")
    def _tell_others(self, change: Any) -> None:
        """A cell that was run again asks anew, and a reveal may still wait for the first one."""
        for other in list(_asked):
            same = (other.key, other.asks, other._folder) == (self.key, self.asks, self._folder)
            if same and other.committed is None:
                other.committed = change.new

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict, dict]:
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        data["text/plain"] = f"Predict. {self.question} To answer, run this cell."
        state = {"key": self.key, "question": self.question, "asks": self.asks}
        return data, {**metadata, "prediction": state}


_asked: weakref.WeakSet[Prediction] = weakref.WeakSet()  # of this kernel


def predict_number(key: str, question: str, unit: str = "") -> Prediction:
    """Ask for a number, and show the question.

    Args:
        key: "NN.name": the notebook and a name that is used once in it.
        question: one sentence.
        unit: written after the field.

    Returns:
        The `Prediction`, which `reveal_number` takes.

    Raises:
        ValueError: the key or the question is not as it must be.
    """
    return _shown(Prediction(key, question, {"kind": "number", "unit": unit}))


def predict_choice(key: str, question: str, options: Sequence[Option]) -> Prediction:
    """Ask for one of several options, and show the question.

    Args:
        key: "NN.name": the notebook and a name that is used once in it.
        question: one sentence.
        options: two or more, all different; shown as `str` writes them.

    Returns:
        The `Prediction`, which `reveal_choice` takes.

    Raises:
        ValueError: fewer than two options, or two that look alike; or as for `predict_number`.
    """
    words = [str(option) for option in options]
    if len(words) < 2 or len(set(words)) < len(words):
        raise ValueError(f"prediction {key} needs two options or more, all different; got {words}.")
    return _shown(Prediction(key, question, {"kind": "choice", "options": words}, options))


def predict_curve(
    key: str, question: str, x: Sequence[float], heights: tuple[float, float], xlabel: str
) -> Prediction:
    """Ask for a curve on log-log axes, drawn by dragging one point above each x.

    Args:
        key: "NN.name": the notebook and a name that is used once in it.
        question: one sentence.
        x: where the points are, positive and ascending, two or more.
        heights: lower and upper end of the vertical axis, positive.
        xlabel: label of the horizontal axis.

    Returns:
        The `Prediction`, which `reveal_curve` takes.

    Raises:
        ValueError: the x or the heights are not positive and ascending; or as for `predict_number`.
    """
    asks = {"kind": "curve", "x": _ascending(key, "x", x), "xlabel": xlabel}
    asks["heights"] = _ascending(key, "heights", heights)
    return _shown(Prediction(key, question, asks))


def _ascending(key: str, name: str, values: Sequence[float]) -> list[float]:
    numbers = [float(value) for value in values]
    ordered = all(low < high for low, high in zip(numbers, numbers[1:], strict=False))
    if len(numbers) < 2 or not ordered or not 0 < numbers[0] or not numbers[-1] < LARGEST:
        raise ValueError(
            f"prediction {key}: {name} must be two numbers or more, positive and ascending; got "
            f"{numbers}."
        )
    return numbers


def _shown(prediction: Prediction) -> Prediction:
    display(prediction)
    return prediction


def _number(guess: Any, asks: Mapping[str, Any]) -> float:
    if isinstance(guess, bool) or not isinstance(guess, Real):
        raise PredictionError(f"The prediction must be a number, such as 0.1; got {guess!r}.")
    try:
        number = float(guess)
    except OverflowError:  # an int may be too large for it
        number = math.inf
    if not abs(number) < LARGEST:
        raise PredictionError(f"The prediction must be a finite number; got {guess!r:.60}.")
    return number


def _position(guess: Any, asks: Mapping[str, Any]) -> int:
    options = asks["options"]
    if isinstance(guess, bool) or not isinstance(guess, int) or not 0 <= guess < len(options):
        raise PredictionError(
            f"The prediction must be the position of one of {options}, 0 to {len(options) - 1}; "
            f"got {guess!r}."
        )
    return guess


def _heights(guess: Any, asks: Mapping[str, Any]) -> list[float]:
    x = asks["x"]
    if not isinstance(guess, list | tuple) or len(guess) != len(x):
        raise PredictionError(f"The prediction must have a height for each of {x}; got {guess!r}.")
    numbers = [_number(height, asks) for height in guess]
    if min(numbers) <= 0:
        raise PredictionError(f"The heights of the prediction must be positive; got {guess!r}.")
    return numbers


CHECKS = {"number": _number, "choice": _position, "curve": _heights}


def _in_words(guess: Any, asks: Mapping[str, Any]) -> Any:
    """A guess as it is kept: an option by its words, for positions change; heights by their x."""
    match asks["kind"]:
        case "choice":
            return asks["options"][guess]
        case "curve":
            return dict(zip(asks["x"], guess, strict=True))
    return guess


def _from_words(kept: Any, asks: Mapping[str, Any]) -> Any:
    """What `_in_words` was given, or something that is no guess."""
    match asks["kind"]:
        case "choice":
            return asks["options"].index(kept)
        case "curve":
            names = [str(x) for x in asks["x"]]
            same = isinstance(kept, dict) and kept.keys() == {*names}
            return [kept[name] for name in names] if same else None
    return kept
