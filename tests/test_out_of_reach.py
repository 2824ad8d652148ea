"""Functions out of reach: the course's own way and the marking core's, which imports nothing of it.

Both are told the same names and must handle the same cases; `FUNCTIONS` and `NO_FUNCTIONS` are the
table.
"""

import functools
import importlib.util
import statistics
import sys
from pathlib import Path

import pytest

from landscape_nb.course import own_work

CORE = Path(__file__).resolve().parent.parent / "notebooks/assignments/grading"


def of_the_course():
    return own_work.out_of_reach


def of_the_core():
    """The answers' process is a script: it finds its parts beside itself."""
    pytest.importorskip("resource", reason="answers are closed off on POSIX systems only")
    sys.path.insert(0, str(CORE))
    try:
        spec = importlib.util.spec_from_file_location("answers_process", CORE / "answers.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(CORE))
        for name in ("plain", "sandbox"):
            sys.modules.pop(name, None)
    return module.out_of_reach


@pytest.fixture(scope="module", params=[of_the_course, of_the_core], ids=["course", "core"])
def out_of_reach(request):
    return request.param()


def decorated(function):
    @functools.wraps(function)
    def around(*arguments):
        return function(*arguments) + held

    held = 1
    return around


@decorated
def once(x, *, y=2):
    return x + y


@decorated
@decorated
def twice(x):
    return x


def counts_up():
    yield 1


class Holder:
    @classmethod
    def of_class(cls):
        return 1

    def method(self):
        return 1

    @staticmethod
    def static():
        return 1


plus_one = (lambda n: lambda x: x + n)(1)
FUNCTIONS = {  # what is out of reach, and a call that leads to it
    "plain": ("statistics.fmean", lambda: statistics.fmean([1.0])),
    "decorated": ("once", lambda: once(1)),
    "under its decorator": ("once", lambda: once.__wrapped__(1)),
    "decorated twice": ("twice", lambda: twice(1)),
    "under both decorators": ("twice", lambda: twice.__wrapped__.__wrapped__(1)),
    "a generator": ("counts_up", lambda: list(counts_up())),
    "a method": ("Holder.method", lambda: Holder().method()),
    "a class's method": ("Holder.of_class", Holder.of_class),
    "static": ("Holder.static", Holder.static),
    "a closure": ("plus_one", lambda: plus_one(1)),
}
NO_FUNCTIONS = {
    "unknown": "statistics.fmeen",
    "unknown module": "statistix.fmean",
    "no name": "",
    "C": "math.sqrt",
    "a module": "statistics",
}


def full(name):
    return name if "statistics" in name else f"{__name__}.{name}"


@pytest.mark.parametrize(("name", "call"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_every_kind_of_python_function_can_be_out_of_reach(out_of_reach, name, call):
    before = call()
    with (
        out_of_reach([full(name), full(name)]),
        pytest.raises(RuntimeError, match=f"write it yourself: {full(name)} is not at hand here"),
    ):
        call()
    assert call() == before


@pytest.mark.parametrize("name", NO_FUNCTIONS.values(), ids=NO_FUNCTIONS)
def test_what_is_no_function_is_refused_and_others_come_back(out_of_reach, name):
    with (
        pytest.raises((ValueError, AttributeError, ImportError)),
        out_of_reach([full("once"), name]),
    ):
        pytest.fail("it was opened")
    assert once(1) == 4
