"""Quick questions with a few options: what a wrong one shows is told, and one may try again.

The page knows the question and the options. Which one is right, and what is told to whom, stays
with the kernel until an option is checked, so no stored notebook gives it away.
"""

import tomllib
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import anywidget
from IPython.display import display
from traitlets import List, Unicode

from landscape_nb.widgets.es_modules import es_module, page_style


class Option(NamedTuple):
    """One option: what it says, what is told to who chose it, and whether it is right."""

    says: str
    told: str
    right: bool = False


class Question(NamedTuple):
    """A question of the course: its key "NN.name", the misconception behind it, and its options."""

    key: str
    misconception: str
    question: str
    options: tuple[Option, ...]

    def told(self, option: int) -> str:
        """What is told to who chose the option at this position."""
        chosen = self.options[option]
        return f"{'Right.' if chosen.right else 'Not quite.'} {chosen.told}"


class Quiz(anywidget.AnyWidget):
    """A question with radio buttons and *Check*; the answer comes from the kernel.

    The page sends {"check": position of the option} and is sent {"option", "right", "words"}.

    Args:
        question: one of the course's, or one of your own with one right option.

    Attributes:
        question: its words.
        options: what the options say.

    Raises:
        ValueError: fewer than two options, or not exactly one that is right.

    >>> Quiz(find_question("02.step")).answer(2)["words"][:6]
    'Right.'
    """

    _esm = es_module("quiz")
    _css = page_style()
    question = Unicode(read_only=True).tag(sync=True)
    options: List = List(read_only=True).tag(sync=True)

    def __init__(self, question: Question) -> None:
        right = [option for option in question.options if option.right]
        if len(question.options) < 2 or len(right) != 1:
            raise ValueError(
                f"question {question.key!r} needs two options or more, one of them right; it has "
                f"{len(question.options)}, and right are {len(right)}."
            )
        self._question = question
        self.set_trait("question", question.question)
        self.set_trait("options", [option.says for option in question.options])
        super().__init__()
        self.on_msg(self._hear)

    def answer(self, option: int) -> dict[str, Any]:
        """What the page is sent when the option at this position is checked."""
        right = self._question.options[option].right
        return {"option": option, "right": right, "words": self._question.told(option)}

    def _hear(self, _: object, message: Any, buffers: list[memoryview]) -> None:
        match message:
            case {"check": int(option)} if 0 <= option < len(self._question.options):
                self.send(self.answer(option))

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict, dict]:
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        options = "\n".join(f"  ( ) {says}" for says in self.options)
        data["text/plain"] = f"{self.question}\n{options}\nTo answer, run this cell."
        return data, {**metadata, "quiz": self._question.key}


def quiz(key: str) -> None:
    """Show a question of the course.

    Args:
        key: "NN.name", such as "01.arithmetic".

    Raises:
        ValueError: there is no such question.
    """
    display(Quiz(find_question(key)))


def find_question(key: str) -> Question:
    """The question of the course with this key.

    Raises:
        ValueError: there is none.
    """
    known = {question.key: question for question in questions()}
    if key not in known:
        raise ValueError(f"There is no question {key!r}; there are {', '.join(known)}.")
    return known[key]


@cache
def questions() -> tuple[Question, ...]:
    """All questions of the course, in its order."""
    entries = tomllib.loads(Path(__file__).with_name("quick_questions.toml").read_text("utf-8"))[
        "quiz"
    ]
    return tuple(
        Question(
            key=entry["key"],
            misconception=entry["misconception"],
            question=entry["question"],
            options=tuple(Option(**option) for option in entry["option"]),
        )
        for entry in entries
    )
