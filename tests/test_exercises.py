"""No check that cannot fail: every exercise refuses answers that are nearly right, or empty.

Each notebook's exercises are run here once in this process, solved. Then each answer is replaced by
one that is slightly wrong, and its public check and its hidden tests must both say so. That the
solved exercises pass, and that unanswered ones fail where they should, nbval shows on the stored
notebooks.
"""

import re
from pathlib import Path

import build
import forms
import numpy as np
import pytest
import torch

from landscape_nb import course

ROOT = Path(__file__).resolve().parent.parent

SOURCES = {path.stem: build.read_source(path) for path in build.source_paths()}
EXERCISES = [
    (name, number)
    for name, source in SOURCES.items()
    for number, cells in forms.exercises(source).items()
    if "answer" in cells
]


@pytest.mark.parametrize(("name", "number"), EXERCISES, ids=lambda part: str(part))
def test_a_check_is_one_line_that_tells_no_answer(name, number):
    text = forms.exercises(SOURCES[name])[number]["check"].source
    assert re.fullmatch(rf'check\("{name[:2]}\.{number}", \w+\)', text)


@pytest.mark.parametrize("name", SOURCES)
def test_nothing_is_folded_among_the_exercises(name):
    source = SOURCES[name]
    assert [c.source for c in source.cells[forms.section(source)] if "jupyter" in c.metadata] == []


@pytest.mark.parametrize("exercise", ["05", "05.9", "5.1", "99.1", "x", ""])
def test_an_unknown_exercise_is_named(exercise):
    with pytest.raises(ValueError, match=f"There is no exercise '{exercise}'"):
        course.check(exercise, len)


def run(cell, names):
    exec(compile(forms.with_solution(cell), f"<{forms.role(cell)}>", "exec"), names)


@pytest.fixture(scope="module")
def solved():
    """Names that a notebook's exercises leave behind, notebook by notebook."""
    kept = {}

    def of(name):
        if name not in kept:
            kept.clear()  # of one notebook at a time: they hold models and data
            kept[name] = {"__name__": "exercises"}
            source = SOURCES[name]
            for cell in source.cells[forms.section(source)]:
                if cell.cell_type == "code":
                    run(cell, kept[name])
        return kept[name]

    return of


def nearly(value):
    """A value that is wrong, and looks as if it were not."""
    if isinstance(value, bool | np.bool_) or value is None:
        return not value
    if isinstance(value, str):
        return f"{value}?"
    if isinstance(value, int):
        return value + 1
    if isinstance(value, torch.Tensor | np.ndarray):
        whole = not (
            value.is_floating_point()
            if isinstance(value, torch.Tensor)
            else value.dtype.kind == "f"
        )
        return value + 1 if whole else 1.01 * value + 1e-3 * abs(value).max()
    if isinstance(value, float | np.number):
        return 1.01 * value + 1e-3
    if isinstance(value, dict):
        return {key: nearly(v) for key, v in value.items()}
    if isinstance(value, tuple | list):
        changed = [nearly(v) for v in value]
        return type(value)(*changed) if hasattr(value, "_fields") else type(value)(changed)
    return None


def answers(cell, names):
    """The functions that an answer cell defines."""
    fresh = dict(names)
    run(cell, fresh)
    return {
        name: value
        for name, value in fresh.items()
        if callable(value) and getattr(value, "__code__", None) is not None
        and value.__code__.co_filename == f"<{forms.role(cell)}>"
    }  # fmt: skip


def replaced(cell, names, change):
    return dict(names) | {
        name: (lambda *args, f=f, **kwargs: change(f(*args, **kwargs)))
        for name, f in answers(cell, names).items()
    }


@pytest.mark.parametrize(("name", "number"), EXERCISES, ids=lambda part: str(part))
def test_a_nearly_right_answer_is_refused(solved, name, number):
    cells = forms.exercises(SOURCES[name])[number]
    names = solved(name)
    with pytest.raises(course.NotYet):
        run(cells["check"], replaced(cells["answer"], names, nearly))
    with pytest.raises(Exception) as caught:  # an assertion, or what a wrong value leads to
        run(cells["hidden"], replaced(cells["answer"], names, nearly))
    assert not isinstance(caught.value, NameError)


@pytest.mark.parametrize(("name", "number"), EXERCISES, ids=lambda part: str(part))
def test_an_answer_of_nothing_is_refused(solved, name, number):
    cells = forms.exercises(SOURCES[name])[number]
    names = solved(name)
    for kind in ("check", "hidden"):
        with pytest.raises(Exception) as caught:
            run(cells[kind], replaced(cells["answer"], names, lambda value: None))
        assert not isinstance(caught.value, NameError)


@pytest.mark.parametrize(("name", "number"), EXERCISES, ids=lambda part: str(part))
def test_the_right_answer_passes_here_too(solved, name, number):
    """Without this, a check broken by being run here would look like a check that refuses."""
    cells = forms.exercises(SOURCES[name])[number]
    names = solved(name)
    for kind in ("check", "hidden"):
        run(cells[kind], replaced(cells["answer"], names, lambda value: value))
