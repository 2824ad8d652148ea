"""What decides the results of a study, written so that two studies never look alike.

Settings and the arguments that partials fix are recorded by value, or refused. As JSON has them
stand numbers, truth values, texts, None, lists and dictionaries; 1, 1.0, True and "1" differ. A
tuple, a range and an array of float64, int64, truth values or text count as the list of their
items, a set as the sorted list, a single number of numpy as that number. Whatever else has a value
stands with its kind,

    {"#": "path", "value": "/data/a"}

arrays and tensors with dtype and shape, large ones by the SHA-256 of their bytes, and other objects
by what pickle would keep of them. A function or class of a module stands by its name: not by what
is written in it. One that no name leads to stands with what it carries (`carried`); a list,
dictionary or set in it that was empty at the start is a place for notes and may change. The values
of a module's global names are not seen.
"""

import collections
import copyreg
import datetime
import decimal
import enum
import fractions
import functools
import pickle
import types
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch

from landscape_nb.numerics import checks
from landscape_nb.numerics.streamed_samples import StreamedSamples
from landscape_nb.study import array_values, carried
from landscape_nb.study.array_values import Inner, Row
from landscape_nb.study.json_lines import text

# Python reads no longer whole number back from text: 4300 digits.
MOST_BITS = 14_000
DEEPEST = 50  # levels of containers in containers; chosen here

HELD = "measure holds"
RESERVED = ("cells", "measure", HELD)


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
    function, fixed = carried.taken_apart(measure, "measure", as_json)
    name, held = carried.name_and_holdings(function, "measure", as_json)
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


# file -> whose measure wrote to it in this process, what that held first, and what it came to
_changed: dict[Path, tuple[Any, Any, str]] = {}


def as_begun(recorded: Row, measure: Any, path: Path) -> Row:
    """What was recorded, with what this very object held before measuring changed it."""
    holder, first, last = _changed.get(path, (None, None, ""))
    if holder is not _holder(measure) or text(recorded.get(HELD)) != last:
        return recorded
    return {**recorded, HELD: first}


def changed(recorded: Row, now: Row, measure: Any, path: Path) -> None:
    """Note what measuring has made of a cache or a counter, lest it look like another study."""
    if text(now.get(HELD)) != text(recorded.get(HELD)):
        _changed[path] = _holder(measure), recorded.get(HELD), text(now.get(HELD))


def _holder(measure: Any) -> Any:
    while isinstance(measure, functools.partial):
        measure = measure.func
    return getattr(measure, "__self__", measure)


def same(found: Row, wanted: Row) -> bool:
    """Whether a file of these settings is of the wanted study.

    A file of before says nothing about the code of a lambda; a place for notes may hold anything.
    """
    held, now = found.get(HELD, {}), wanted.get(HELD, {})
    if isinstance(held, dict) and set(now) <= {"code"} and not held:
        return text({**found, HELD: 0}) == text(_noted({**found, HELD: 0}, {**wanted, HELD: 0}))
    return text(found) == text(_noted(found, wanted))


def _noted(found: Any, wanted: Any) -> Any:
    """The wanted settings, with the places for notes as the file has them.

    A file of before has an OrderedDict without its order.
    """
    if found == carried.NOTES and isinstance(wanted, list | dict):
        return found
    if isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        return [_noted(*both) for both in zip(found, wanted, strict=True)]
    if isinstance(found, dict) and isinstance(wanted, dict):
        if wanted.get("#") == "ordered" and "#" not in found:
            wanted = {str(name): value for name, value in wanted["pairs"]}
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
        if isinstance(value, type | types.FunctionType):
            return {"#": "above", "value": above.index(id(value))}
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
    return {"#": "enum", "type": carried.type_name(value), "name": value.name, "value": kept}


def _ordered(value: Mapping[Any, Any], where: str, inner: Inner) -> Row:
    """An OrderedDict is another one in another order."""
    pairs = [
        [inner(name, f"a key of {where}"), inner(item, f"{where}[{name!r}]")]
        for name, item in value.items()
    ]
    return {"#": "ordered", "pairs": pairs}


def _object(value: Any, where: str, inner: Inner) -> Any:
    """Dataclasses, named tuples and what else there is: by what pickle would keep."""
    kind = type(value)
    if kind is object:
        raise array_values.refusal(value, where, "which has no value")
    try:
        reducer = copyreg.dispatch_table.get(kind)
        reduced = reducer(value) if reducer else value.__reduce_ex__(4)
        if isinstance(reduced, str):
            pickle.dumps(value)  # refuses a name that does not lead to it
            return {"#": "global", "type": carried.type_name(value), "name": reduced}
        made, arguments, state, items, pairs = (*reduced, *[None] * 4)[:5]
    except Exception as error:
        raise array_values.refusal(value, where, checks.first_line(error)) from None
    parts = {
        "made": [
            carried.global_name(x) if isinstance(x, type) else inner(x, where) for x in arguments
        ],
        "state": inner(state, f"the state of {where}"),
        "items": _list(items or (), where, inner),
        "pairs": _list(pairs or (), where, inner),
        "class": None if carried.reached(kind) else inner(kind, f"the class of {where}"),
        **(_layers(value) if isinstance(value, torch.nn.Module) else {}),
    }
    kept = {name: part for name, part in parts.items() if part not in (None, [], {})}
    by = carried.global_name(made) if hasattr(made, "__qualname__") else inner(made, where)
    return {"#": "object", "type": carried.type_name(value), "by": by, **kept}


def _layers(module: torch.nn.Module) -> Row:
    """What decides what a layer does, besides its state: their order, and what is not trained."""
    order = list(module._modules)
    frozen = [name for name, x in module._parameters.items() if x is not None]
    frozen = [name for name in frozen if not module._parameters[name].requires_grad]  # type: ignore[union-attr]
    return {"order": order if order != sorted(order) else [], "frozen": frozen}


_EXACT: dict[type, Callable[[Any, str, Inner], Any]] = {
    list: _list,
    tuple: _list,
    range: _range,
    set: _set,
    frozenset: _set,
    dict: _dict,
    collections.OrderedDict: _ordered,
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
    StreamedSamples: _tagged("batches")(lambda value: value.fingerprint),
    functools.partial | types.FunctionType | types.MethodType | carried.CACHED: carried.function,
    type: carried.class_,
    types.BuiltinFunctionType: lambda value, where, inner: _builtin(value, where, inner),
}


def _builtin(value: Any, where: str, inner: Inner) -> Any:
    """A function written in C: of a module by its name, of an object with the object."""
    if getattr(value, "__module__", None) and carried.reached(value):
        return carried.global_name(value)
    return _object(value, where, inner)
