"""Checks and drawn predictions as a notebook shows them."""

import functools

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from landscape_nb import course


def unanswered(x):
    raise NotImplementedError()


def half(x):
    return x / 2


CASES = [{"x": 1.0}, {"x": 3.0}]


def test_a_right_answer_says_that_the_check_is_public(capsys):
    course.check("4", half, lambda x: 0.5 * x, CASES)
    assert capsys.readouterr().out == "Exercise 4, public check: right.\n"


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (unanswered, course.NoAnswerYet, "Exercise 4: no answer yet."),
        (lambda x: x, course.NotYet, "public check: not yet. Off by a factor of 2: is the 1/2"),
        (lambda x: x / 0, course.NotYet, "your function raised ZeroDivisionError: float division"),
        (lambda y: y, course.NotYet, "unexpected keyword argument 'x'"),
        (3.0, course.NotYet, "'float' object is not callable"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(answer, kind, says):
    with pytest.raises(course.NotYet) as caught:
        course.check("4", answer, half, CASES)
    assert type(caught.value) is kind
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_answer_may_change_its_arguments_and_spoils_nothing(capsys):
    cases = [{"x": np.array([3.0, 1.0])}, {"x": np.array([5.0, 2.0])}]

    def in_place(x):
        x.sort()
        x /= 2
        return x

    course.check("4", in_place, lambda x: np.sort(x) / 2, cases, {"Too big?": lambda x: x})
    assert cases[0]["x"].tolist() == [3.0, 1.0]


def test_a_hint_that_builds_on_the_answer_may_fail():
    with pytest.raises(course.NotYet, match="returned nothing"):
        course.check("4", lambda x: None, half, CASES, {"Whole?": lambda x: None % 1})
    with pytest.raises(course.NotYet, match="returned nothing"):
        course.check_properties("4", lambda: None, {"long": lambda v: len(v) > 1})


def test_a_long_error_is_cut_to_one_line():
    def loud(x):
        raise ValueError("a\nb\n" * 400)

    with pytest.raises(course.NotYet) as caught:
        course.check("4", loud, half, CASES)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_a_hint_is_given_for_a_known_mistake():
    with pytest.raises(course.NotYet, match="not yet. Which way round"):
        course.check("4", lambda x: 5 - x, half, CASES, {"Which way round?": lambda x: 5 - x})


def test_properties_are_told_in_order():
    properties = {"a list": lambda v: isinstance(v, list), "two entries": lambda v: len(v) == 2}
    with pytest.raises(course.NotYet, match="Required: a list[.]"):
        course.check_properties("1", lambda: 3, properties)
    with pytest.raises(course.NotYet, match="Required: two entries[.]"):
        course.check_properties("1", lambda: [3], properties)
    with pytest.raises(course.NotYet, match="two entries. The value could not be tested"):
        course.check_properties("1", lambda: 3, {"two entries": properties["two entries"]})
    with pytest.raises(course.NoAnswerYet):
        course.check_properties("1", unanswered, properties, {"x": 1})


def test_a_notebook_shows_the_line_and_no_traceback():
    code = [
        "from landscape_nb.course import check\ndef f(x):\n    return x.missing",
        "check('7', f, lambda x: x, [{'x': 1.0}])",
        "check('03.2', lambda product, u: f(u))",  # which calls it through a function of its own
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in code])
    NotebookClient(notebook, kernel_name="python3", timeout=120, allow_errors=True).execute()
    for cell in notebook.cells[1:]:
        (output,) = cell.outputs
        assert (output.output_type, output.ename) == ("error", "NotYet")
        assert output.traceback == [output.evalue]
        assert "AttributeError" in output.evalue
        assert "(in the line `return x.missing`)" in output.evalue


def test_the_learners_own_line_is_told_through_a_wrapper_of_the_check():
    def answer(x):
        return x.missing

    elsewhere = {}
    code = "def wrapped(answer):\n    return lambda **case: answer(**case)"
    exec(compile(code, "/elsewhere/check.py", "exec"), elsewhere)
    wrapper = functools.wraps(answer)(elsewhere["wrapped"](answer))
    with pytest.raises(course.NotYet, match="in the line `return x.missing`"):
        course.check("4", wrapper, half, CASES)
