"""Answers are asked where they live, and without the functions that would answer for them.

When marks are given, an answer runs in a process of its own. A test meets it as a callable that
carries arguments over and plain data back. Such a callable has methods `unaided` and `beside` of
its own; for a plain function both happen here.
"""

import inspect
import pkgutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from types import CodeType, FunctionType, MethodType
from typing import Any


class NotYourOwn(RuntimeError):
    """An answer called a function that it was to do without."""


def unaided(answer: Callable[..., Any], *names: str) -> Callable[..., Any]:
    """The answer, with these functions out of its reach while it runs.

    Args:
        answer: a learner's function, or what stands for it in another process.
        names: dotted names of Python functions, such as "landscape_nb.gaussian_moment".

    Raises:
        ValueError: a name is no function written in Python.

    >>> from statistics import fmean
    >>> unaided(lambda x: fmean(x), "statistics.fmean")([1.0, 2.0])
    Traceback (most recent call last):
        ...
    landscape_nb.course.own_work.NotYourOwn: write it yourself: statistics.fmean is not at hand here
    >>> fmean([1.0, 2.0])
    1.5
    """
    if hasattr(answer, "unaided"):
        return answer.unaided(names)
    for name in names:
        _function(name)  # a wrong name is told here, not in the middle of a test

    @wraps(answer)
    def alone(*arguments: Any, **named: Any) -> Any:
        with out_of_reach(names):
            return answer(*arguments, **named)

    return alone


def beside(answer: Callable[..., Any], function: Callable[..., Any], *arguments: Any) -> Any:
    """`function(answer, *arguments)`, run where the answer lives.

    For an answer that is not only called, but differentiated, or handed to `EmpiricalLoss`.
    The function goes there by value, so it must not contain the truth, and it returns plain data.

    >>> beside(lambda x: x + 1, lambda answer, x: [answer(x), answer(2 * x)], 10)
    [11, 21]
    """
    if hasattr(answer, "beside"):
        return answer.beside(function, arguments)
    return function(answer, *arguments)


_ONE_AT_A_TIME = threading.RLock()  # two exchanges at once would restore each other's refusals


@contextmanager
def out_of_reach(names: Sequence[str]) -> Iterator[None]:
    """While this is open, whoever calls one of these functions gets `NotYourOwn`.

    What is exchanged is the code inside the function object, so it does not matter under which name
    the function was imported, or when.
    """
    functions = [_function(name) for name in names]
    with _ONE_AT_A_TIME:
        kept = [function.__code__ for function in functions]
        try:
            for name, function in zip(names, functions, strict=True):
                function.__code__ = _refusal(name, function.__code__)
            yield
        finally:
            for function, code in zip(functions, kept, strict=True):
                function.__code__ = code


def _function(name: str) -> FunctionType:
    """The function of this name, as it was written: under its decorators."""
    try:
        found = inspect.unwrap(pkgutil.resolve_name(name))
    except (AttributeError, ImportError, ValueError) as error:
        raise ValueError(
            f"what is out of reach is named by its module, such as 'statistics.fmean'; there is "
            f"no {name!r}: {error}"
        ) from error
    if isinstance(found, MethodType):
        found = found.__func__
    if not isinstance(found, FunctionType):
        raise ValueError(
            f"only functions written in Python can be put out of reach; {name} is a "
            f"{type(found).__name__}. Name the Python functions that lead to it."
        )
    return found


def _refusal(name: str, instead_of: CodeType) -> CodeType:
    """Code that raises `NotYourOwn`, fit for the function whose code it stands in for."""
    message = f"write it yourself: {name} is not at hand here"
    text = (
        "def refuse(*_, **__):\n"
        f"    from {__name__} import NotYourOwn\n"
        f"    raise NotYourOwn({message!r})"
    )
    made: dict[str, Any] = {}
    exec(compile(text, "<out of reach>", "exec"), made)
    # Python demands the same closure variables of a function's new code.
    return made["refuse"].__code__.replace(co_freevars=instead_of.co_freevars)
