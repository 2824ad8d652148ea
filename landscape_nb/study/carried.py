"""Functions and classes as JSON: by their name where one leads to them, else by what they carry.

A lambda, or a function inside another, carries its code, its defaults and the values that it
captured from outside; a class inside a function carries its attributes and methods. One that was
made anew by the same text, as when a cell of a notebook runs again, is still the one of its name.
"""

import dataclasses
import functools
import hashlib
import inspect
import sys
import types
from typing import Any

from landscape_nb.study.array_values import Inner, Row
from landscape_nb.study.json_lines import text

NOTES = {"#": "empty at first"}
# What Python or torch puts into a class, or makes from what else stands there.
_OF_EVERY_CLASS = {
    "__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "__annotations__",
    "__match_args__", "__abstractmethods__", "_abc_impl", "__parameters__", "__orig_bases__",
    "__dataclass_fields__", "__dataclass_params__", "__hash__",
    "_backward_cls", "_autograd_function_id",
}  # fmt: skip
_ARGUMENTS = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS
CACHED: Any = functools._lru_cache_wrapper


def global_name(named: Any) -> str:
    """Module and name."""
    return f"{named.__module__}.{named.__qualname__}"


def type_name(value: Any) -> str:
    """The name of a value's class."""
    return global_name(type(value))


def _found(named: Any) -> Any:
    found: Any = sys.modules.get(named.__module__)
    for part in named.__qualname__.split("."):
        found = getattr(found, part, None)
    return found


def reached(named: Any) -> bool:
    """Whether the name of a function leads to it, or that of a class to a class."""
    found = _found(named)
    return found is named or (isinstance(named, type) and isinstance(found, type))


def class_(value: type, where: str, inner: Inner) -> Any:
    """A class: by its name, or by its attributes and methods."""
    if reached(value) or value.__module__ == "builtins":
        return global_name(value)
    bases = [inner(base, where) for base in value.__bases__]
    holds = {
        name: inner(_bare(item), f"{name} of {where}")
        for name, item in vars(value).items()
        if name not in _OF_EVERY_CLASS and not _made_by_python(value, name, item)
    }
    return {"#": "class", "name": global_name(value), "bases": bases, "holds": holds}


def _bare(item: Any) -> Any:
    """The function of a method of a class, of a static one or of a property."""
    if isinstance(item, property):
        return [item.fget, item.fset]
    return getattr(item, "__func__", getattr(item, "func", item))


def _made_by_python(kind: type, name: str, item: Any) -> bool:
    """Slots, and what `dataclass` writes from the fields."""
    if isinstance(item, types.MemberDescriptorType | types.GetSetDescriptorType):
        return True
    written = isinstance(item, types.FunctionType) and item.__code__.co_filename == "<string>"
    return written and name.startswith("__") and dataclasses.is_dataclass(kind)


def function(value: Any, where: str, inner: Inner) -> Any:
    """A function or a partial of one, as an argument."""
    bare, fixed = taken_apart(value, where, inner)
    name, held = name_and_holdings(bare, where, inner)
    whole = {"#": "function", "name": name, **held} if held else name
    return [whole, fixed] if fixed else whole


def taken_apart(function: Any, where: str, inner: Inner) -> tuple[Any, Row]:
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


def name_and_holdings(function: Any, where: str, inner: Inner) -> tuple[str, Row]:
    """The name of what is called, and the values that it carries."""
    if isinstance(function, types.MethodType):
        name, held = name_and_holdings(function.__func__, where, inner)
        if not isinstance(function.__self__, type):
            return name, {**held, "self": inner(function.__self__, f"the object of {where}")}
        kind = function.__self__
        held = held if reached(kind) else {**held, "class": inner(kind, f"the class of {where}")}
        return f"{global_name(kind)}.{function.__name__}", held
    if isinstance(function, CACHED) and not reached(function):
        return name_and_holdings(function.__wrapped__, where, inner)
    if isinstance(function, types.FunctionType):
        return global_name(function), _held(function, where, inner)
    if isinstance(function, type):
        whole = class_(function, where, inner)
        return global_name(function), {} if isinstance(whole, str) else {"class": whole}
    if getattr(function, "__qualname__", None) and getattr(function, "__module__", None):
        if reached(function):
            return global_name(function), {}
    return type_name(function), {"self": inner(function, f"the state of {where}")}


def _held(function: types.FunctionType, where: str, inner: Inner) -> Row:
    """What a function carries that its name does not lead to.

    The one that the name leads to may have been made since by the same text.
    """
    found = _found(function)
    if found is function:
        return {}
    held = _carried(function, where, inner)
    code = function.__code__
    if isinstance(found, types.FunctionType) and code.co_qualname == function.__qualname__:
        alone = {*code.co_freevars, *found.__code__.co_freevars} <= {"__class__"}
        if alone and text(_carried(found, where, inner)) == text(held):
            return {}
    return held


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
    values = {
        name: value
        for name, value in values.items()
        if value is not function and name != "__class__"
    }
    kept = {
        name: dict(NOTES)
        if type(value) in (list, dict, set) and not value
        else inner(value, f"{name}, which {where} holds,")
        for name, value in values.items()
    }
    return {"code": _digest(code, inner), **({"values": kept} if kept else {})}


def _digest(code: types.CodeType, inner: Inner) -> str:
    constants = [
        _digest(x, inner) if isinstance(x, types.CodeType) else inner(x, "a constant")
        for x in code.co_consts
    ]
    takes = [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount]
    names = [code.co_names, code.co_varnames, code.co_freevars]
    whole = [code.co_code.hex(), *names, constants, takes, code.co_flags & _ARGUMENTS]
    return hashlib.sha256(text(whole).encode()).hexdigest()[:16]
