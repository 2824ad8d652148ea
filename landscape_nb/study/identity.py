"""What decides the results of a study, written so that two studies never look alike.

Settings and the arguments that partials fix are recorded by value, or refused. As JSON has them
stand numbers, truth values, texts, None, lists and dictionaries; 1, 1.0, True and "1" differ. A
tuple, a range and an array of float64, int64, truth values or text count as the list of their
items, a set as the sorted list, a single number of numpy as that number. Whatever else has a value
stands with its kind,

    {"#": "path", "value": "/data/a"}

arrays and tensors with dtype and shape, large ones by the SHA-256 of their bytes, and other objects
by what pickle would keep of them. A function or class of a module stands by its name: not by what
is written in it. One that no name leads to (a lambda, a function inside another) stands with a
digest of its code, its defaults and the values that it captured from outside; a list, dictionary or
set that was empty at the start is a place for notes and may change. The values of a module's global
names are not seen.
"""

import collections
import copyreg
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import hashlib
import inspect
import sys
import types
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
import torch

from landscape_nb.numerics import checks
from landscape_nb.study import array_values
from landscape_nb.study.array_values import Inner, Row
from landscape_nb.study.json_lines import text

# Python reads no longer whole number back from text: 4300 digits.
MOST_BITS = 14_000
DEEPEST = 50  # levels of containers in containers; chosen here

HELD = "measure holds"
RESERVED = ("cells", "measure", HELD)
_NOTES = {"#": "empty at first"}


def study(measure: Any, names: list[str], settings: Mapping[str, Any] | None) -> Row:
    """What decides the results besides the cell, as JSON gives it back.

    Args:
        measure: what is called for every cell.
        names: of the grid.
        settings: what else decides, {name: value}.

    Raises:
        ValueError: a name that is none, or a value that can't be recorded.

    >>> study(round, ["k"], {"data": PurePath("a"), "lr": 0.1})
    {'cells': ['k'], 'measure': 'builtins.round', 'data': {'#': 'path', 'value': 'a'}, 'lr': 0.1}
    """
    function, fixed = _taken_apart(measure, "measure", as_json)
    name, held = _name_and_holdings(function, "measure", as_json)
    given = _named(settings or {})
    for twice in sorted(fixed.keys() & given.keys()):
        if text(fixed[twice]) != text(given[twice]):
            raise ValueError(
                f"settings[{twice!r}] is {checks.shown(given[twice])}, and measure fixes "
                f"{twice} = {checks.shown(fixed[twice])}. Leave it out of the settings."
            )
    for taken in RESERVED:
        if taken in fixed:
            raise ValueError(
                f"measure fixes an argument {taken!r}, a name which the file uses itself. Rename "
                "it, or wrap measure in a function of a module."
            )
    whole = {"cells": names, "measure": name, **fixed, **given}
    return {**whole, HELD: held} if held else whole


def same(found: Row, wanted: Row) -> bool:
    """Whether a file of these settings is of the wanted study.

    A file of before says nothing about the code of a lambda; a place for notes may hold anything.
    """
    held, now = found.get(HELD, {}), wanted.get(HELD, {})
    if isinstance(held, dict) and set(now) <= {"code"} and not held:
        return text({**found, HELD: 0}) == text({**wanted, HELD: 0})
    return text(found) == text(_noted(found, wanted))


def _noted(found: Any, wanted: Any) -> Any:
    """The wanted settings, with the places for notes as the file has them."""
    if found == _NOTES and isinstance(wanted, list | dict):
        return found
    if isinstance(found, dict) and isinstance(wanted, dict):
        return {name: _noted(found.get(name), value) for name, value in wanted.items()}
    return wanted


def _named(settings: Mapping[str, Any]) -> Row:
    if not isinstance(settings, Mapping):
        raise ValueError(
            f"settings must be a dictionary, {{name: value}}; got {checks.shown(settings)}."
        )
    for name in settings:
        if not isinstance(name, str):
            raise ValueError(f"settings must be named by text; got {checks.shown(name)}.")
        if name in RESERVED:
            raise ValueError(f"settings has {name!r}, a name which the file uses itself; rename.")
    return {str(name): as_json(value, f"settings[{name!r}]") for name, value in settings.items()}


# -- values ----------------------------------------------------------------------------------------


def as_json(value: Any, where: str, above: tuple[int, ...] = ()) -> Any:
    """A value as JSON that no other value has, but for those the module names.

    Raises:
        ValueError: it has none; `where` is named.
    """
    if value is None or type(value) in (bool, float, str):
        return value
    if type(value) is int:
        if value.bit_length() > MOST_BITS:
            raise array_values.refusal(value, where, "a whole number of more than 4200 digits")
        return value
    if id(value) in above:
        raise array_values.refusal(value, where, "it holds itself")
    if len(above) > DEEPEST:
        raise array_values.refusal(value, where, f"containers are nested deeper than {DEEPEST}")
    inner = functools.partial(as_json, above=(*above, id(value)))
    if type(value) in _EXACT:
        return _EXACT[type(value)](value, where, inner)
    for kind, record in _INSTANCES.items():
        if isinstance(value, kind):
            return record(value, where, inner)
    return _object(value, where, inner)


def _tagged(kind: str) -> Callable[[Callable[[Any], Any]], Callable[[Any, str, Inner], Row]]:
    def of(spelled: Callable[[Any], Any]) -> Callable[[Any, str, Inner], Row]:
        return lambda value, where, inner: {"#": kind, "value": spelled(value)}

    return of


def _list(value: Iterable[Any], where: str, inner: Inner) -> Any:
    return [inner(item, f"{where}[{number}]") for number, item in enumerate(value)]


def _range(value: range, where: str, inner: Inner) -> Any:
    if len(value) <= array_values.MOST:
        return list(value)
    return {"#": "range", "value": [value.start, value.stop, value.step]}


def _set(value: Iterable[Any], where: str, inner: Inner) -> Any:
    items = [inner(item, f"an item of {where}") for item in value]
    kinds = {type(item) for item in items}
    numbers = kinds <= {int, float, bool} and all(item == item for item in items)
    return sorted(items) if numbers or kinds == {str} else sorted(items, key=text)


def _dict(value: Mapping[Any, Any], where: str, inner: Inner) -> Any:
    if all(type(name) is str for name in value) and "#" not in value:
        return {name: inner(item, f"{where}[{name!r}]") for name, item in value.items()}
    pairs = [
        [inner(name, f"a key of {where}"), inner(item, f"{where}[{name!r}]")]
        for name, item in value.items()
    ]
    return {"#": "dict", "pairs": sorted(pairs, key=text)}


def _time(value: Any, where: str, inner: Inner) -> Row:
    zone = getattr(value, "tzinfo", None)
    more = {"zone": str(zone), "fold": value.fold} if zone is not None else {}
    return {"#": type(value).__name__, "value": value.isoformat(), **more}


def _enum(value: enum.Enum, where: str, inner: Inner) -> Row:
    kept = inner(value.value, f"{where}.value")
    return {"#": "enum", "type": _type_name(value), "name": value.name, "value": kept}


def _object(value: Any, where: str, inner: Inner) -> Any:
    """Dataclasses, named tuples and what else there is: by what pickle would keep."""
    if type(value) is object:
        raise array_values.refusal(value, where, "which has no value")
    if dataclasses.is_dataclass(value):
        kept = {x.name: getattr(value, x.name, None) for x in dataclasses.fields(value)}
        state = {**kept, **getattr(value, "__dict__", {})}
        return {"#": "object", "type": _type_name(value), "state": _dict(state, where, inner)}
    try:
        reducer = copyreg.dispatch_table.get(type(value))
        reduced = reducer(value) if reducer else value.__reduce_ex__(4)
        if isinstance(reduced, str):
            return {"#": "global", "type": _type_name(value), "name": reduced}
        made, arguments, state, items, pairs = (*reduced, *[None] * 4)[:5]
    except Exception as error:
        raise array_values.refusal(value, where, checks.first_line(error)) from None
    parts = {
        "made": [_global(x) if isinstance(x, type) else inner(x, where) for x in arguments],
        "state": inner(state, f"the state of {where}"),
        "items": _list(items or (), where, inner),
        "pairs": _list(pairs or (), where, inner),
    }
    kept = {name: part for name, part in parts.items() if part}
    return {"#": "object", "type": _type_name(value), "by": _global(made), **kept}


# -- functions -------------------------------------------------------------------------------------


def _global(named: Any) -> str:
    return f"{named.__module__}.{named.__qualname__}"


def _type_name(value: Any) -> str:
    return _global(type(value))


def _reached(named: Any) -> bool:
    """Whether the name of a function or class leads to it."""
    found: Any = sys.modules.get(named.__module__)
    for part in named.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is named


def _class(value: type, where: str, inner: Inner) -> str:
    if not _reached(value) and value.__module__ != "builtins":
        raise array_values.refusal(value, where, "a class that no name of a module leads to")
    return _global(value)


def _function(value: Any, where: str, inner: Inner) -> Any:
    """A function or a partial of one, as an argument."""
    function, fixed = _taken_apart(value, where, inner)
    name, held = _name_and_holdings(function, where, inner)
    whole = {"#": "function", "name": name, **held} if held else name
    return [whole, fixed] if fixed else whole


def _taken_apart(function: Any, where: str, inner: Inner) -> tuple[Any, Row]:
    """A function, and the arguments that partials have fixed, by their names."""
    args: tuple[Any, ...] = ()
    keywords: Row = {}
    while isinstance(function, functools.partial):
        args, keywords = (*function.args, *args), {**function.keywords, **keywords}
        function = function.func
    if not args and not keywords:
        return function, {}
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # some that are written in C have none
        parameters = []
    names = [x.name for x in parameters if x.kind in (x.POSITIONAL_ONLY, x.POSITIONAL_OR_KEYWORD)]
    fixed = dict(zip(names, args, strict=False))
    if rest := args[len(names) :]:
        fixed["*"] = list(rest)
    for name, value in keywords.items():
        # f(x, /, **names) may be given another x
        fixed[f"{name} (by name)" if name in fixed else name] = value
    return function, {name: inner(value, f"{where}'s {name}") for name, value in fixed.items()}


def _name_and_holdings(function: Any, where: str, inner: Inner) -> tuple[str, Row]:
    """The name of what is called, and the values that it carries."""
    if isinstance(function, types.MethodType):
        name, held = _name_and_holdings(function.__func__, where, inner)
        if isinstance(function.__self__, type):
            return f"{_global(function.__self__)}.{function.__name__}", held
        return name, {**held, "self": inner(function.__self__, f"the object of {where}")}
    if isinstance(function, types.FunctionType):
        return _global(function), {} if _reached(function) else _carried(function, where, inner)
    if isinstance(function, type):
        return _class(function, where, inner), {}
    if getattr(function, "__qualname__", None) and getattr(function, "__module__", None):
        if _reached(function):
            return _global(function), {}
    return _type_name(function), {"self": _object(function, f"the state of {where}", inner)}


def _carried(function: types.FunctionType, where: str, inner: Inner) -> Row:
    """Code, defaults and captured values of a function that no name leads to."""
    code, values = function.__code__, dict(function.__kwdefaults__ or {})
    defaults = function.__defaults__ or ()
    names = code.co_varnames[: code.co_argcount]
    values.update(zip(names[len(names) - len(defaults) :], defaults, strict=True))
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            values[name] = cell.cell_contents
        except ValueError:  # a name that has no value yet
            continue
    values = {name: value for name, value in values.items() if value is not function}
    kept = {
        name: dict(_NOTES)
        if type(value) in (list, dict, set) and not value
        else inner(value, f"{name}, which {where} holds,")
        for name, value in values.items()
    }
    return {"code": _digest(code), **({"values": kept} if kept else {})}


def _digest(code: types.CodeType) -> str:
    constants = [
        _digest(x) if isinstance(x, types.CodeType) else as_json(x, "a constant")
        for x in code.co_consts
    ]
    whole = [code.co_code.hex(), code.co_names, code.co_varnames, code.co_freevars, constants]
    return hashlib.sha256(text(whole).encode()).hexdigest()[:16]


_EXACT: dict[type, Callable[[Any, str, Inner], Any]] = {
    list: _list,
    tuple: _list,
    range: _range,
    set: _set,
    frozenset: _set,
    dict: _dict,
    collections.OrderedDict: _dict,
    types.MappingProxyType: _dict,
    bytes: array_values.byte_string,
    bytearray: array_values.byte_string,
    memoryview: array_values.byte_string,
    complex: _tagged("complex")(lambda value: [value.real, value.imag]),
    decimal.Decimal: _tagged("decimal")(str),
    fractions.Fraction: _tagged("fraction")(str),
    uuid.UUID: _tagged("uuid")(str),
    datetime.date: _time,
    datetime.datetime: _time,
    datetime.time: _time,
    datetime.timedelta: _tagged("timedelta")(lambda x: [x.days, x.seconds, x.microseconds]),
    slice: lambda value, where, inner: {
        "#": "slice",
        "value": [inner(x, where) for x in (value.start, value.stop, value.step)],
    },
    types.EllipsisType: _tagged("ellipsis")(str),
    types.ModuleType: _tagged("module")(lambda value: value.__name__),
    torch.dtype: _tagged("torch.dtype")(str),
    torch.device: _tagged("torch.device")(str),
}
_INSTANCES: dict[Any, Callable[[Any, str, Inner], Any]] = {
    enum.Enum: _enum,
    PurePath: lambda value, where, inner: {"#": "path", "value": value.as_posix()},
    np.generic: array_values.number,
    np.ndarray: array_values.array,
    torch.Tensor: array_values.tensor,
    functools.partial | types.FunctionType | types.MethodType: _function,
    type: _class,
    types.BuiltinFunctionType: lambda value, where, inner: _builtin(value, where, inner),
}


def _builtin(value: Any, where: str, inner: Inner) -> Any:
    """A function written in C: of a module by its name, of an object with the object."""
    if getattr(value, "__module__", None) and _reached(value):
        return _global(value)
    return _object(value, where, inner)
