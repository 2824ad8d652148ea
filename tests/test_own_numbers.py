"""One's own numbers: the same for a name however it is spelt, others for another; copies fail."""

import re

import forms
import numpy as np
import pytest
import torch
from test_exercises import SOURCES, run
from test_platform_files import platform_files

from landscape_nb.course import NotYet, check, own_numbers, signed
from landscape_nb.course.numbers_by_name import NOBODY

OWN = {
    f"{name[:2]}.{number}": (name, number)
    for name, source in SOURCES.items()
    for number, cells in forms.exercises(source).items()
    if "own_numbers(" in cells.get("answer", {"source": ""})["source"]
}
SAME = {
    "capitals": "ADA LOVELACE",
    "accents": "Ádà Lövelace",
    "accents that stand apart": "A\u0301da Lovelace",
    "last name first": "Lovelace, Ada",
    "spaces": "  Ada\u00a0 Lovelace ",
    "underscores": "ada_lovelace",
    "as Canvas collects": "lovelaceada",
}


def flat(numbers):
    """What a student gets, as one array."""
    first, second = numbers
    parts = [first] if isinstance(first, np.ndarray) else [first.inputs, first.targets]
    return np.concatenate([np.ravel(part) for part in parts] + [[second]])


def test_each_backbone_assignment_has_one():
    assert set(OWN) == {"01.5", "04.5", "07.5"}


@pytest.mark.parametrize("exercise", OWN)
def test_a_name_has_its_numbers_however_it_is_spelt(exercise):
    ada = flat(own_numbers(exercise, "Ada Lovelace"))
    for spelling in SAME.values():
        assert (flat(own_numbers(exercise, spelling)) == ada).all()
    for other in ("Ada Lovelaci", "Ada", NOBODY, "Ада", "8"):
        assert not np.array_equal(flat(own_numbers(exercise, other)), ada)


@pytest.mark.parametrize("spelling", SAME.values(), ids=SAME)
def test_whoever_marks_takes_these_for_one_name_too(spelling):
    assert platform_files.same_letters(spelling, "Ada Lovelace")
    assert not platform_files.same_letters(spelling, "Ada Lovelaci")


@pytest.mark.parametrize(
    ("one", "other"), [("Søren Ærø", "soren aero"), ("Łukasz", "lukasz"), ("Groß", "GROSS")]
)
def test_letters_that_platforms_replace(one, other):
    assert platform_files.same_letters(one, other)
    assert (own_numbers("01.5", one)[0] == own_numbers("01.5", other)[0]).all()


ODD = {
    "none": (None, "A name is a text in quotes, such as 'Ada Lovelace'; got None"),
    "a number": (7, "A name is a text in quotes, such as 'Ada Lovelace'; got 7"),
    "empty": ("", "need your name, in one line of at most 100 characters and with letters"),
    "no letter": (" -._ ", "such as 'Ada Lovelace'; got ' -._ '"),
    "too long": ("a" * 101, "at most 100 characters"),
    "two lines": ("Ada\nown numbers of: Bo", "in one line"),
}


@pytest.mark.parametrize(("name", "told"), ODD.values(), ids=ODD)
def test_an_odd_name_is_told_in_words(name, told):
    with pytest.raises(ValueError) as caught:
        own_numbers("01.5", name)
    assert told in str(caught.value)
    with pytest.raises(AssertionError) as caught:
        signed((name, 1.0))
    assert told in str(caught.value)
    with pytest.raises(NotYet, match="Exercise 5, public check: not yet"):
        check("01.5", lambda: (name, 1, 2.0))


def test_accounts_with_the_same_digits_are_two():
    assert not platform_files.same_letters("s1012", "s1021")
    assert not np.array_equal(own_numbers("01.5", "s1012")[0], own_numbers("01.5", "s1021")[0])


def test_an_exercise_without_own_numbers_is_named():
    with pytest.raises(ValueError, match="'01.1' has no numbers of one's own; these have: 01.5"):
        own_numbers("01.1", "Ada")


def solved(exercise, student):
    """The exercise's cells and names, answered by a student of this name."""
    name, number = OWN[exercise]
    cells, names = forms.exercises(SOURCES[name])[number], {"__name__": "exercises"}
    for cell in SOURCES[name].cells[forms.section(SOURCES[name])]:
        if cell.cell_type == "code" and not forms.role(cell):
            run(cell, names)
    answer = cells["answer"].copy()
    answer["source"] = answer["source"].replace(NOBODY, student)
    run(answer, names)
    [called] = re.findall(r", (\w+)\)", cells["check"].source)
    return cells, names, called


@pytest.mark.parametrize("exercise", OWN)
def test_a_neighbours_numbers_fail_under_ones_own_name(exercise, capsys):
    cells, names, called = solved(exercise, "María López")
    right = names[called]()
    assert right[0] == "María López"
    for kind in ("check", "hidden"):
        run(cells[kind], names)
        assert "own numbers of: María López" in capsys.readouterr().out
        for copied, told in {
            ("Jo Lee", *right[1:]): "",
            ("maria lopez", *right[1:]): None,  # the same name: no copy
            right[:2]: "",  # a value too few
            (*right, 1.0): "",
            right[1:]: "A name is a text",
        }.items():
            wrong = dict(names) | {called: lambda copied=copied: copied}
            if told is None:
                run(cells[kind], wrong)
                continue
            with pytest.raises((NotYet, AssertionError, ValueError)) as caught:
                run(cells[kind], wrong)
            assert told in str(caught.value)


@pytest.mark.parametrize("exercise", OWN)
def test_a_class_has_many_different_answers(exercise):
    """Sixty students: hardly two share the answer, so that a copy is no safe bet."""
    name, number = OWN[exercise]
    cells, names, called = solved(exercise, "María López")
    students = [f"Student {n}" for n in range(60 if exercise == "01.5" else 12)]
    found = set()
    for student in students:
        names["student"] = student
        found.add(
            tuple(round(float(x), 5) if isinstance(x, float) else x for x in names[called]()[1:])
        )
    assert len(found) >= 0.9 * len(students)


def test_a_learner_alone_needs_no_name(capsys):
    _, names, called = solved("01.5", NOBODY)
    check("01.5", names[called])
    out = capsys.readouterr().out
    assert "right." in out and "Before you hand in, write your own name" in out


HINTS = [
    ("01.5", lambda s, k, m: (s, k + 1, m), "k: Is that the first k at or below your tolerance?"),
    ("01.5", lambda s, k, m: (s, k - 1, m), "k: At that k the mean is still above"),
    ("01.5", lambda s, k, m: (s, k, m * 39 / 40), "the mean: With few losses it matters"),
    ("04.5", lambda s, i, h: (s, i - 60, h), "the digit: Count from the first of all digits"),
    ("04.5", lambda s, i, h: (s, i, 60 * h), "its share: Of the sum over the unseen digits"),
    ("07.5", lambda s, i, m, c: (s, i - 8, m, c), "the sequence: Count from the first of all"),
    ("07.5", lambda s, i, m, c: (s, i, 2 ** np.log(m), c), "characters: Nats are no bits"),
    ("07.5", lambda s, i, m, c: (s, i, m, 9 * c), "the increment: What does one sequence weigh"),
    ("07.5", lambda s, i, m, c: (s, i, m), "Asked for are, in this order: your name, the sequence"),
    ("07.5", lambda s, i, m, c: None, "does it end with `return`?"),
]


@pytest.mark.parametrize(("exercise", "change", "told"), HINTS)
def test_a_known_mistake_is_named(exercise, change, told):
    _, names, called = solved(exercise, "Ada Lovelace")
    right = names[called]()
    with pytest.raises(NotYet) as caught:
        check(exercise, lambda: change(*right))
    assert told in str(caught.value)


@pytest.mark.parametrize("tol", [1e-4, 1e-8])
def test_another_fit_of_the_same_digits_is_right_too(tol):
    """A student's machine and the teacher's do not stop at the same place."""
    import landscape_nb as ln

    for student in ("Ada Lovelace", "Bo Li", "María López"):
        loss, k = own_numbers("04.5", student)
        losses = loss.per_sample(ln.fit(loss, k, torch.full((650,), 0.1).double(), tol=tol).w)
        squares = (losses[k:] - losses[:k].mean()) ** 2
        answer = student, k + int(squares.argmax()), float(squares.max() / squares.sum())
        check("04.5", lambda answer=answer: answer)
