"""Hidden tests judge plain data: cheap wrong answers fail them, odd ones too, the right one passes.

Each exercise's answer stands behind a border (`border.RemoteAnswer`), as it does when marks are
given: its checks can call it, and see nothing else of it.
"""

import re
from functools import cached_property

import forms
import numpy as np
import pytest
import torch
from border import RemoteAnswer
from test_exercises import EXERCISES, SOURCES


def numbers_in(value):
    """All numbers that a value holds."""
    if isinstance(value, tuple | list):
        return [x for v in value for x in numbers_in(v)]
    if value is None or isinstance(value, str):
        return []
    return np.ravel(np.asarray(torch.as_tensor(value).detach(), dtype=float)).tolist()


class Exercise:
    """An exercise with its model answer: what a checking process knows, and what it does not."""

    def __init__(self, name, number):
        self.exercise = f"{name[:2]}.{number}"
        cells = forms.exercises(SOURCES[name])[number]
        given = [
            cell
            for cell in SOURCES[name].cells[forms.section(SOURCES[name])]
            if cell.cell_type == "code" and not forms.role(cell)
        ]
        self.names, there = {"__name__": "tests"}, {"__name__": "answers"}
        for cell in given:
            exec(cell.source, self.names)
            exec(cell.source, there)
        exec(forms.with_solution(cells["answer"]), there)
        [self.called] = re.findall(r", (\w+)\)", cells["check"].source)
        self.model = there[self.called]
        self.cells = {
            kind: compile(cells[kind].source, f"<{kind} {name} {number}>", "exec")
            for kind in ("check", "hidden")
        }

    def run(self, kind, answer):
        """Run the check or the hidden tests on another answer, behind the border."""
        answer.__name__ = self.called
        exec(self.cells[kind], {**self.names, self.called: RemoteAnswer(answer)})

    @cached_property
    def values(self):
        """What the model answer gave when the public check asked, in this order."""
        found = []

        def watched(*arguments, **named):
            found.append(self.model(*arguments, **named))
            return found[-1]

        self.run("check", watched)
        return found


@pytest.fixture(scope="module", params=EXERCISES, ids="-".join)
def asked(request):
    """Each exercise in turn; its data are those of all its tests."""
    return Exercise(*request.param)


def mapped(value, change):
    """The value with each number in it changed."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, tuple | list):
        return type(value)(mapped(v, change) for v in value)
    if isinstance(value, torch.Tensor):
        return torch.as_tensor(change(value))
    return change(np.asarray(value, dtype=float) if isinstance(value, np.ndarray) else float(value))


def deeper(value):
    """The value with one more axis in front."""
    if isinstance(value, torch.Tensor | np.ndarray):
        return value[None]
    return [value]


def as_columns(value):
    """The value with one more axis behind, which broadcasts against the right shape."""
    return mapped(value, lambda x: (x if hasattr(x, "shape") else np.asarray(x))[..., None])


def one_nan(x):
    """The largest number is none."""
    x = np.asarray(x)
    return np.where(x < x.max(), x, np.nan)


def as_text(value):
    """The right numbers as words."""
    if isinstance(value, tuple | list):
        return [as_text(v) for v in value]
    return str(value.tolist() if hasattr(value, "tolist") else value)


def longer(value):
    """One element too many."""
    if isinstance(value, torch.Tensor):
        return torch.cat([value, value[:1]]) if value.ndim else torch.stack([value, value])
    if isinstance(value, np.ndarray):
        return np.concatenate([value, value[:1]]) if value.ndim else np.array([value, value])
    return type(value)([*value, value[0]]) if isinstance(value, tuple | list) else [value, value]


def only_once(model):
    """Right on the first call."""
    calls = []

    def answer(*arguments, **named):
        calls.append(1)
        value = model(*arguments, **named)
        return value if len(calls) == 1 else mapped(value, lambda x: 1.01 * x + 0.01)

    return answer


def of(change):
    """A wrong answer that changes what the model answers."""
    return lambda model: lambda *arguments, **named: change(model(*arguments, **named))


def always(value):
    return lambda model: lambda *arguments, **named: value


# what is wrong -> the wrong answer that it makes of the model answer
WRONG = {
    "0": always(0),
    "1.0": always(1.0),
    "nan": always(float("nan")),
    "inf": always(float("inf")),
    "None": always(None),
    "digits": always("1"),
    "True": always(True),
    "empty list": always([]),
    "empty array": always(np.empty(0)),
    "no columns": lambda model: lambda *a: torch.empty(*np.shape(model(*a))[:1], 0),
    "huge": always(1e300),
    "many zeros": always(np.zeros((100, 100))),
    "list of None": always([None] * 4),
    "dictionary": always({"1": 1.0}),
    "first argument": lambda model: lambda *arguments: arguments[0],
    "last argument": lambda model: lambda *arguments: arguments[-1],
    "all arguments": lambda model: lambda *arguments: [x for x in arguments if np.ndim(x) < 3],
    "nan in the right shape": of(lambda value: mapped(value, lambda x: x * np.nan)),
    "one nan": of(lambda value: mapped(value, one_nan)),
    "inf in the right shape": of(lambda value: mapped(value, lambda x: x * 0 + np.inf)),
    "zeros in the right shape": of(lambda value: mapped(value, lambda x: x * 0)),
    "huge in the right shape": of(lambda value: mapped(value, lambda x: x * 0 + 1e200)),
    "off by 1 %": of(lambda value: mapped(value, lambda x: 1.01 * x)),
    "other sign": of(lambda value: mapped(value, lambda x: -x)),
    "complex": of(lambda value: mapped(value, lambda x: x + 1j)),
    "one axis more": of(deeper),
    "one axis more behind": of(as_columns),
    "as text": of(as_text),
    "one too many": of(longer),
    "right once": only_once,
}  # fmt: skip
# What is right after all: words hold no numbers, and of some designs many are right.
WORD = {
    "nan in the right shape", "one nan", "inf in the right shape", "zeros in the right shape",
    "huge in the right shape", "off by 1 %", "other sign", "complex", "one axis more behind",
    "as text", "right once",
}  # fmt: skip
OWN = {"the public check's first value"}  # of one's own numbers, which a name chooses
RIGHT_TOO = {
    "00.3": {"right once", "the public check's first value"},  # called once, and always the same
    "01.5": OWN,
    "02.4": {"other sign"},
    "04.4": {"other sign"},
    "04.5": OWN,
    "05.4": {"other sign"},
    "07.4": {"other sign"},
    "07.5": OWN,
    "08.4": {"off by 1 %"},
    "09.4": {"other sign"},
    "10.3": WORD,
}
# Exercises whose hidden tests train networks, and what is tried on them: the rest is judged there
# as everywhere, by `numbers`.
DEAR = "04.4", "05.4", "07.4"
FEW = {
    "0", "nan", "no columns", "first argument", "nan in the right shape", "one nan", "complex",
    "zeros in the right shape", "off by 1 %", "one axis more", "one too many", "right once",
}  # fmt: skip
# Tried on the public checks too, which take other odd values apart in `answers.explain`.
ODD = "nan in the right shape", "complex", "one axis more behind", "one too many"


def test_the_model_answer_passes_behind_the_border(asked):
    assert asked.values
    asked.run("hidden", asked.model)


def passing(asked, kind, answers):
    """Which of the wrong answers pass."""
    passed = set()
    for wrong, make in answers.items():
        try:
            asked.run(kind, make(asked.model))
        except Exception as error:  # an assertion, or what odd values lead to
            assert not isinstance(error, NameError)
        else:
            passed.add(wrong)
    return passed - RIGHT_TOO.get(asked.exercise, set())


def test_wrong_answers_fail_behind_the_border(asked):
    kinds = FEW if asked.exercise in DEAR else WRONG
    cheats = {wrong: WRONG[wrong] for wrong in kinds}
    cheats["the public check's first value"] = always(asked.values[0])
    assert passing(asked, "hidden", cheats) == set()
    assert passing(asked, "check", {wrong: WRONG[wrong] for wrong in ODD}) == set()


NUMBERS = (int, float, list, tuple, np.ndarray, torch.Tensor)


def test_no_message_tells_the_right_value(asked):
    """Of numbers with digits to tell: a wrong answer's test holds none but those it was given."""
    right, given = [], []

    def wrong(*arguments, **named):
        given.extend(x for x in [*arguments, *named.values()] if isinstance(x, NUMBERS))
        right.append(asked.model(*arguments, **named))
        return mapped(right[-1], lambda x: 1.01 * x + 0.01)

    for kind in ("check", "hidden"):
        try:
            asked.run(kind, wrong)
        except Exception as error:
            known = {repr(abs(x)) for x in numbers_in(given)}
            digits = [repr(abs(x)) for x in numbers_in(right) if repr(abs(x)) not in known]
            assert not [d for d in digits if len(d) > 6 and d[:6] in str(error)]
