"""A border within one process: what a test meets of an answer that lives in another one.

`RemoteAnswer` keeps the rules that hold when marks are given, without the second process: arguments
and results are copies, results are plain data, and of the function itself nothing is to be seen.
"""

import builtins
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib import import_module
from types import BuiltinFunctionType, FunctionType, MethodType

import cloudpickle
import numpy as np
import torch

from landscape_nb.course import exercises, out_of_reach

FUNCTIONS = FunctionType, MethodType, BuiltinFunctionType
ATOMS = bool, int, float, complex, str, bytes


class AnswerError(Exception):
    """What an answer raised that is no built-in error, or gave that is no data."""


def plain(value):
    """What comes back of an answer's value."""
    if value is None or type(value) in ATOMS:
        return value
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, np.ndarray | np.generic):
        return value.copy() if value.dtype.kind in "biufc" else plain(value.tolist())
    if isinstance(value, Mapping):
        return {plain(key): plain(v) for key, v in value.items()}
    if isinstance(value, tuple):
        return tuple(plain(v) for v in value)
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | bytearray):
        return [plain(v) for v in value]
    for kind in ATOMS:
        if isinstance(value, kind):
            return kind(value)
    if hasattr(value, "__float__"):
        return float(value)
    raise AnswerError(f"numbers, text or lists of them are asked for, not {type(value).__name__}")


def sent(value):
    """What an answer gets of an argument; functions call back."""
    if isinstance(value, FUNCTIONS):
        return lambda *a, **named: sent(value(*plain(a), **plain(named)))
    if type(value) in (list, tuple):
        return type(value)(map(sent, value))
    if type(value) is dict:
        return {key: sent(v) for key, v in value.items()}
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    return by_value(value)


def by_value(value):
    """A copy that shares nothing, made as for another process without the checks' modules."""
    for name in exercises.FILES.values():
        cloudpickle.register_pickle_by_value(import_module(f"{exercises.__name__}.{name}"))
    return cloudpickle.loads(cloudpickle.dumps(value))


def across(function, arguments, named, names=()):
    """Call a function as over the border, with some functions of packages out of its reach."""
    try:
        with out_of_reach(names):  # until the value is plain: a generator would run later
            return plain(function(*sent(list(arguments)), **sent(dict(named))))
    except Exception as error:
        kind, told = type(error), str(error)
        if getattr(builtins, kind.__name__, None) is not kind:
            kind, told = AnswerError, f"{kind.__name__}: {error}"
    raised = kind(told)
    raised.own_line = ""
    raise raised


class RemoteAnswer:
    """Stands for an answer: it can be called, and nothing else is to be seen of it."""

    def __init__(self, answer: Callable, names: Sequence[str] = ()):
        self.__name__ = answer.__name__
        self._call = lambda *a, **named: across(answer, a, named, names)
        self._without = lambda names: RemoteAnswer(answer, names)
        self._beside = lambda f, a: across(partial(by_value(f), answer), a, {}, names)

    def __call__(self, *arguments, **named):
        return self._call(*arguments, **named)

    def unaided(self, names):
        return self._without(names)

    def beside(self, function, arguments):
        return self._beside(function, arguments)
