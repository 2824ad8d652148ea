"""Faults of sweeps and watches: what is done to them, and that nothing is lost and nothing wrong.

One row of FAULTS is one fault. Files are looked at as bytes, and each row says itself what must
hold; most are made from smaller tables, one a kind of fault.
"""

import collections
import csv
import dataclasses
import datetime
import decimal
import enum
import errno
import fractions
import functools
import io
import json
import math
import operator
import os
import pathlib
import shutil
import signal
import stat
import threading

import numpy as np
import pytest
import torch

import landscape_nb as ln
from landscape_nb import SweepFileError, WatchFileError, read_sweep, read_watch, sweep
from landscape_nb.study import one_writer
from landscape_nb.study.watch_file import RowsFile

posix = os.name == "posix"


def square(k, shift=0):
    return {"square": k**2 + shift}


def rows(*ks):
    return [{"k": k, "square": k**2} for k in ks]


def run(path, *ks, measure=None, **more):
    """A sweep of `square`, or of what a row has put in its place."""
    measure = measure or globals()["square"]
    return sweep(measure, {"k": list(ks)}, path, progress=False, **more)


def never(**cell):
    raise AssertionError(f"the cell {cell} was measured")


def refused(call, sentence="", error=SweepFileError):
    with pytest.raises(error) as refusal:
        call()
    assert sentence in str(refusal.value), str(refusal.value)
    return refusal.value


def snapshot(folder):
    return {x: x.read_bytes() for x in sorted(folder.rglob("*")) if x.is_file()}


# -- files that are none, or were changed: read or refused, and what they hold stays ---------------

HEADER = json.dumps(
    {
        "format": "landscape_nb sweep",
        "version": 1,
        "settings": {"cells": ["k"], "measure": f"{__name__}.square"},
    }
).encode()
LINES = [json.dumps({"rows": rows(k)}).encode() for k in (1, 2, 3)]
WHOLE = b"".join(line + b"\n" for line in [HEADER, *LINES])
WATCH_HEADER = b'{"format": "landscape_nb watch", "version": 1, "settings": {"k": 3}}'
OLD_HEADER = f'# settings {{"cells": ["k"], "measure": "{__name__}.square"}}\n'.encode()
OLD = OLD_HEADER + b"k,square\n1,1\n# saved\n2,4\n# saved\n3,9\n# saved\n"

FOREIGN = {
    "one brace": b"{",
    "a text that begins like ours": b'{"form',
    "a remark": b"# settings",
    "a remark with a line end": b"# settings of my experiment\n",
    "a remark about settings, one line": b"# settings {1: 2}",
    "old settings without a line end": OLD_HEADER[:-1],
    "old settings, then prose": OLD_HEADER + b"It went well.",
    "old settings, then lines of prose": OLD_HEADER + b"It went well.\nI think.\n",
    "an old sweep with a remark of somebody": OLD + b"# my remark\n4,16\n# saved\n",
    "an old sweep, then prose": OLD + b"That was all, I think, for today.",
    "old settings without cells": b'# settings {"measure": "m"}\nk,x\n1,1\n# saved\n',
    "two old sweeps": OLD + OLD,
    "one line": b"thesis",
    "one line with its end": b"thesis\n",
    "a blank line": b"\n",
    "JSON of somebody": b'{"a": 1}',
    "a JSON list": b"[1, 2]\n",
    "binary": bytes(range(256)),
    "zero bytes": bytes(100),
    "UTF-16": WHOLE.decode().encode("utf-16"),
    "UTF-16 without a mark": WHOLE.decode().encode("utf-16-le"),
    "a mark of UTF-8": b"\xef\xbb\xbf" + WHOLE,
    "old Macintosh line ends": WHOLE.replace(b"\n", b"\r"),
    "indented": json.dumps(json.loads(HEADER), indent=1).encode(),
    "cells that are no list": HEADER.replace(b'["k"]', b"3") + b"\n",
    "a watch": WATCH_HEADER + b"\n",
    "zero bytes at the end": WHOLE + bytes(512),
    "zero bytes in a line": WHOLE + LINES[0][:9] + bytes(50),
    "a note at the end": WHOLE + b"fine until here",
    "a note in braces": WHOLE + b'{"rows": [{fine until here',
    "a note in a row": WHOLE + b'{"rows": [{"k": fine until here',
    "a blank line at the end": WHOLE + b"\n",
    "two sweeps, joined": WHOLE + WHOLE,
    "two sweeps, joined without a line end": WHOLE[:-1] + WHOLE,
    "a merge that failed": HEADER + b"\n<<<<<<< ours\n" + LINES[0] + b"\n=======\n",
    "a cell twice": WHOLE + LINES[0] + b"\n",
    "a cell twice, without its end": WHOLE + LINES[0],
    "another object without its end": WHOLE + b'{"a": 1}',
    "a line broken by an editor": WHOLE + LINES[0].replace(b", ", b" ").replace(b"1", b"4"),
    "no text": WHOLE + b"\xff\xfe",
}


def foreign(content, folder, patch):
    path = folder / "a.jsonl"
    path.write_bytes(content)
    before = snapshot(folder)
    refused(lambda: run(path, 1, 2, 3, 4), str(path))
    refused(lambda: read_sweep(path), str(path))
    assert snapshot(folder) == before


def header_of_another_study_cut(folder, patch):
    """Its own run may be writing it at this moment: there are no rows yet, and it is not ours."""
    path = folder / "a.jsonl"
    path.write_bytes(HEADER.replace(b'"k"', b'"seed"')[:-1])
    before = snapshot(folder)
    refused(lambda: run(path, 1, 2, 3, 4), str(path))
    assert read_sweep(path) == [] and snapshot(folder) == before


def old_of(ks, end="\n"):
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator=end)
    buffer.write(OLD_HEADER.decode().strip() + end)
    writer.writerow(["k", "square"])
    for k in ks:
        writer.writerow([k, k**2])
        buffer.write("# saved" + end)
    return buffer.getvalue().encode()


TAKEN = {  # content -> the cells that it holds
    "empty": (b"", ()),
    "the header alone": (HEADER + b"\n", ()),
    "the header without its end": (HEADER, ()),
    "windows line ends": (WHOLE.replace(b"\n", b"\r\n"), (1, 2, 3)),
    "windows line ends, the last one missing": (WHOLE.replace(b"\n", b"\r\n")[:-2], (1, 2, 3)),
    "half a windows line end": (WHOLE.replace(b"\n", b"\r\n")[:-1], (1, 2, 3)),
    "windows line ends in a part": (WHOLE.replace(b"\n", b"\r\n", 2), (1, 2, 3)),
    "windows line ends, cut": (WHOLE.replace(b"\n", b"\r\n")[:-9], (1, 2)),
    "no last line end": (WHOLE[:-1], (1, 2, 3)),
    "a last line cut by one": (WHOLE[:-2], (1, 2)),
    "a last line of one byte": (WHOLE + b"{", (1, 2, 3)),
    "a last line cut in a number": (WHOLE + b'{"rows": [{"k": 5, "square": 2', (1, 2, 3)),
    "a last line cut in a word": (WHOLE + b'{"rows": [{"k": 5, "square": -Inf', (1, 2, 3)),
    "a last line cut in an escape": (WHOLE + b'{"rows": [{"k": 5, "square": "\\u12', (1, 2, 3)),
    "old": (OLD, (1, 2, 3)),
    "old with windows line ends": (old_of([1, 2], "\r\n"), (1, 2)),
    "old, cut in a row": (OLD + b"4,1", (1, 2, 3)),
    "old, cut in its mark": (OLD + b"4,16\n# sav", (1, 2, 3)),
    "old, cut before a cell": (OLD_HEADER + b"k,sq", ()),
}


def taken(content, held, folder, patch):
    path, calls = folder / "a.jsonl", []
    path.write_bytes(content)
    if content != HEADER[: len(content)] or content in (b"", HEADER):
        assert read_sweep(path) == rows(*held)
    assert path.read_bytes() == content, "reading changed the file"
    patch.setitem(globals(), "square", logging(square, calls))
    assert run(path, 1, 2, 3, 4) == rows(1, 2, 3, 4)
    assert calls == [k for k in (1, 2, 3, 4) if k not in held], "a saved cell came again"
    assert sorted(map(str, read_sweep(path))) == sorted(map(str, rows(1, 2, 3, 4)))
    if held and not content.startswith(b"#"):
        kept = content[: content.rfind(LINES[len(held) - 1]) + len(LINES[0])]
        assert path.read_bytes().startswith(kept)


def logging(function, calls):
    @functools.wraps(function)
    def noted(k):
        calls.append(k)
        return function(k)

    return noted


def watch_file(path):
    return RowsFile(path, {"k": 3})


WATCH_ROWS = b"".join(json.dumps({"call": n, "x": 0.5}).encode() + b"\n" for n in (1, 2))
WATCH = WATCH_HEADER + b"\n" + WATCH_ROWS
WATCH_FOREIGN = {
    "one brace": b"{",
    "prose": b"my notes",
    "a sweep": WHOLE,
    "a note at the end": WATCH + b"fine until here",
    "zero bytes at the end": WATCH + bytes(64),
    "a mark of UTF-8": b"\xef\xbb\xbf" + WATCH,
}
WATCH_TAKEN = {
    "empty": (b"", 0),
    "windows line ends": (WATCH.replace(b"\n", b"\r\n"), 2),
    "no last line end": (WATCH[:-1], 2),
    "cut": (WATCH[:-4], 1),
    "the header without its end": (WATCH_HEADER, 0),
}


def foreign_watch(content, folder, patch):
    path = folder / "w.jsonl"
    path.write_bytes(content)
    before = snapshot(folder)
    refused(lambda: watch_file(path), str(path), WatchFileError)
    refused(lambda: read_watch(path), str(path), WatchFileError)
    assert snapshot(folder) == before


def taken_watch(content, held, folder, patch):
    path = folder / "w.jsonl"
    path.write_bytes(content)
    wanted = [{"call": n, "x": 0.5} for n in (1, 2)][:held]
    assert read_watch(path) == wanted and path.read_bytes() == content
    file = watch_file(path)
    assert file.rows == wanted
    file.append({"call": 3, "x": 1.0})
    file.close()
    assert read_watch(path) == [*wanted, {"call": 3, "x": 1.0}]


# -- paths that are no files -----------------------------------------------------------------------


def a_folder(folder, patch):
    (folder / "a").mkdir()
    for use in (lambda: run(folder / "a", 1), lambda: read_sweep(folder / "a")):
        refused(use, "is a folder")
    refused(lambda: watch_file(folder / "a"), "is a folder", WatchFileError)


def a_pipe(folder, patch):
    os.mkfifo(folder / "a")
    for use in (lambda: run(folder / "a", 1), lambda: read_sweep(folder / "a")):
        refused(use, "is a pipe")
    refused(lambda: read_watch(folder / "a"), "is a pipe", WatchFileError)


def a_device(folder, patch):
    refused(lambda: run(os.devnull, 1), "is a device")
    refused(lambda: watch_file(pathlib.Path(os.devnull)), "is a device", WatchFileError)


def a_loop_of_links(folder, patch):
    (folder / "a").symlink_to(folder / "a")
    refused(lambda: run(folder / "a", 1), "can't be opened")


def a_link_to_no_file(folder, patch):
    (folder / "a").symlink_to(folder / "b")
    assert run(folder / "a", 1) == rows(1) == read_sweep(folder / "b")
    assert (folder / "a").is_symlink()


def a_link_into_no_folder(folder, patch):
    (folder / "a").symlink_to(folder / "none" / "b")
    refused(lambda: run(folder / "a", 1), "There is no folder", FileNotFoundError)


def a_home_that_is_not_expanded(folder, patch):
    patch.chdir(folder)
    refused(lambda: run("~/a.jsonl", 1), "expanduser()", FileNotFoundError)


def may_only_be_read(patch):
    """As for a user who is not root."""
    opened = os.open

    def open_for_reading(path, flags, *more, **named):
        if flags & (os.O_RDWR | os.O_WRONLY | os.O_CREAT):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, flags, *more, **named)

    patch.setattr(os, "open", open_for_reading)


def a_file_to_read_only(folder, patch):
    path = folder / "a.jsonl"
    run(path, 1)
    before = snapshot(folder)
    may_only_be_read(patch)
    assert run(path, 1) == rows(1)  # nothing to write
    refused(lambda: run(path, 1, 2), "may only be read")
    assert snapshot(folder) == before


def a_folder_to_read_only(folder, patch):
    may_only_be_read(patch)
    refused(lambda: run(folder / "a.jsonl", 1), "can't be opened or made (Permission denied)")
    assert not list(folder.iterdir())


# -- two studies never count as one ----------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Inner:
    rate: float = 0.1


@dataclasses.dataclass
class Config:
    inner: Inner
    names: tuple = ()


class Plain:
    def __init__(self, lr):
        self.lr = lr

    def measure(self, k):
        return {"y": self.lr}

    def __call__(self, k):
        return {"y": self.lr}


class Slots:
    __slots__ = ("lr",)

    def __init__(self, lr):
        self.lr = lr


class Colour(enum.Enum):
    RED, BLUE = 1, 2


class Number(enum.IntEnum):
    ONE = 1


class Metres(float):
    def __repr__(self):
        return "metres"


Point = collections.namedtuple("Point", "x y")
Place = collections.namedtuple("Place", "x y")
date, time = datetime.date, datetime.datetime
zone = datetime.timezone(datetime.timedelta(hours=1))
big = np.zeros(5000)
other_big = big.copy()
other_big[4321] = 1e-300
Path = pathlib.PurePosixPath


def capturing(value):
    return lambda: value


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@dataclasses.dataclass
class Named(dict):
    rate: float = 0.1


def named(**items):
    made = Named()
    made.update(items)
    return made


class Slotted:
    __slots__ = ("z",)


@dataclasses.dataclass
class OnSlots(Slotted):
    rate: float = 0.1


def on_slots(z):
    made = OnSlots()
    made.z = z
    return made


class Made:
    """What pickle calls is no function of a module, and its state is no dictionary."""

    def __init__(self, state):
        self.state = state

    def __reduce__(self):
        return functools.partial(Made, 0), (), self.state


class WithUnit(torch.Tensor):
    pass


def inside(lr):
    """A class that no name leads to, as of a script that has a main function."""

    class Inside(torch.nn.Module):
        rate = lr

        def forward(self, x):
            return lr * x

        @classmethod
        def of_the_class(cls, k):
            return {"y": cls.rate}

        def __call__(self, k):
            return {"y": lr}

    return Inside


def cached(lr):
    @functools.lru_cache
    def measured(k):
        return {"y": lr}

    return measured


def layers(**named):
    return torch.nn.Sequential(Ordered(named))


def texts(*items):
    return np.array(items, dtype=object)


def fields(last):
    return np.array([(1, last)], dtype=[("a", "i4"), ("b", "f8")])


Ordered = collections.OrderedDict
tanh, relu = torch.nn.Tanh(), torch.nn.ReLU()
norm = torch.nn.LayerNorm(2)
fixed_norm = torch.nn.LayerNorm(2).requires_grad_(False)

OTHERS = {
    "dataclasses that are dictionaries": (Named(), named(lr=1)),
    "dataclasses that hold more": ([Named()], [{"rate": 0.1}]),
    "dataclasses on slots": (on_slots(1), on_slots(2)),
    "states": (Made(0), Made(False)),
    "orders": (Ordered(a=1, b=2), Ordered(b=2, a=1)),
    "orders of layers": (layers(a=tanh, b=relu), layers(b=relu, a=tanh)),
    "layers that are trained": (norm, fixed_norm),
    "what classes inside hold": (inside(1)(), inside(2)()),
    "classes inside": (inside(1), inside(2)),
    "cached functions": (cached(1), cached(2)),
    "arrays of objects": (texts("a", 1), texts("a", 1.0)),
    "arrays with fields": (fields(1), fields(2)),
    "lambdas that take many": (lambda x: x, lambda *x: x),
    "lambdas by name": (lambda x, y: x, lambda x, *, y: x),
    "paths": (Path("/data/a"), Path("/data/b")),
    "a path and a text": (Path("a"), "a"),
    "paths in lists": ([Path("a")], [Path("b")]),
    "dates": (date(2020, 1, 1), date(2020, 1, 2)),
    "times": (time(2020, 1, 1, 1), time(2020, 1, 1, 2)),
    "a date and a time": (date(2020, 1, 1), time(2020, 1, 1)),
    "time zones": (time(2020, 1, 1), time(2020, 1, 1, tzinfo=zone)),
    "durations": (datetime.timedelta(1), datetime.timedelta(2)),
    "complex numbers": (1 + 2j, 1 + 3j),
    "a complex and a real number": (1 + 0j, 1.0),
    "decimals": (decimal.Decimal("0.1"), decimal.Decimal("0.2")),
    "a decimal and a float": (decimal.Decimal("0.5"), 0.5),
    "fractions": (fractions.Fraction(1, 3), fractions.Fraction(2, 3)),
    "members": (Colour.RED, Colour.BLUE),
    "a member and its number": (Number.ONE, 1),
    "dataclasses": (Config(Inner(0.1)), Config(Inner(0.2))),
    "dataclasses with lists": (Config(Inner(), ("a",)), Config(Inner(), ("b",))),
    "a dataclass and its class": (Inner(), Inner),
    "objects": (Plain(0.1), Plain(0.2)),
    "objects with slots": (Slots(0.1), Slots(0.2)),
    "named tuples": (Point(1, 2), Point(1, 3)),
    "named tuples of two kinds": (Point(1, 2), Place(1, 2)),
    "slices": (slice(1, 2), slice(1, 3)),
    "bytes": (b"a", b"b"),
    "bytes and text": (b"a", "a"),
    "long bytes": (bytes(5000), bytes(4999) + b"\1"),
    "sets": ({1, "a"}, {1, "b"}),
    "whole and true": (1, True),
    "whole and float": (1, 1.0),
    "whole and text": (1, "1"),
    "none and text": (None, "None"),
    "minus zero": (0.0, -0.0),
    "not a number and a text": (math.nan, "NaN"),
    "infinities": (math.inf, -math.inf),
    "in lists": ([1, 2], [1, 2.0]),
    "keys": ({1: "a"}, {"1": "a"}),
    "keys that are true": ({1: "a"}, {True: "a"}),
    "a dictionary that looks like a path": (Path("a"), {"#": "path", "value": "a"}),
    "ranges": (range(3), range(4)),
    "descending ranges": (range(3, 0, -1), range(1, 4)),
    "long ranges": (range(10**9), range(10**9 + 1)),
    "arrays": (np.ones(3), np.ones(4)),
    "dtypes": (np.ones(3), np.ones(3, dtype=np.float32)),
    "whole and float arrays": (np.ones(3), np.ones(3, dtype=np.int64)),
    "shapes": (np.ones((2, 3)), np.ones((3, 2))),
    "shapes without items": (np.ones((0, 3)), np.ones((0, 4))),
    "large arrays": (big, other_big),
    "large tensors": (torch.tensor(big), torch.tensor(other_big)),
    "tensors": (torch.tensor([1.0]), torch.tensor([2.0])),
    "half tensors": (torch.ones(2).bfloat16(), torch.ones(2).half()),
    "bfloat16": (torch.ones(2).bfloat16(), 2 * torch.ones(2).bfloat16()),
    "complex arrays": (np.array([1j]), np.array([2j])),
    "arrays of dates": (np.array(["2020-01-01"], "M8[D]"), np.array(["2020-01-02"], "M8[D]")),
    "torch dtypes": (torch.float32, torch.float64),
    "numpy dtypes": (np.dtype("f4"), np.dtype("f8")),
    "torch devices": (torch.device("cpu"), torch.device("meta")),
    "generators": (seeded(0), seeded(1)),
    "numpy generators": (np.random.default_rng(0), np.random.default_rng(1)),
    "functions": (math.sin, math.cos),
    "functions of torch": (torch.tanh, torch.sigmoid),
    "universal functions": (np.sin, np.cos),
    "lambdas": (lambda x: x, lambda x: 2 * x),
    "lambdas with other defaults": [(lambda x, a=a: a) for a in (1, 2)],
    "lambdas that captured other values": (capturing(1), capturing(2)),
    "partials": (functools.partial(square, shift=1), functools.partial(square, shift=2)),
    "partials by place": (functools.partial(math.pow, 2), functools.partial(math.pow, 3)),
    "partials of many": (functools.partial(max, 1, 2, 3), functools.partial(max, 1, 2, 4)),
    "methods": (Plain(0.1).measure, Plain(0.2).measure),
    "classes": (torch.nn.ReLU, torch.nn.Tanh),
    "modules": (math, json),
    "layers": (torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)),
    "getters": (operator.itemgetter(1), operator.itemgetter(2)),
}


def others(pair, folder, patch):
    """The same again goes on, the other is refused."""
    one, other = pair
    path = folder / "a.jsonl"
    for _ in range(2):
        run(path, 1, settings={"x": one})
    before = snapshot(folder)
    refused(lambda: run(path, 1, settings={"x": other}), "with other settings:\n  x: ")
    fixed = functools.partial(square_of, one), functools.partial(square_of, other)
    for _ in range(2):
        run(folder / "b.jsonl", 1, measure=fixed[0])
    refused(lambda: run(folder / "b.jsonl", 1, measure=fixed[1]), "other settings:\n  x: ")
    assert before.items() <= snapshot(folder).items()


def square_of(x, k):
    return square(k)


SAME = {
    "what classes inside hold": (inside(1)(), inside(1)()),
    "classes without anything": (type("Hidden", (), {}), type("Hidden", (), {})),
    "arrays of texts": (texts("a", None), texts("a", None)),
    "orders": (Ordered(a=1, b=2), Ordered(a=1, b=2)),
    "not a number": (math.nan, float("nan")),
    "paths": (Path("a/b"), Path("a") / "b"),
    "tuple and list": ((1, 2), [1, 2]),
    "array and list": (np.array([0.1, 0.2]), [0.1, 0.2]),
    "range and list": (range(3), [0, 1, 2]),
    "sets": ({"a", "b", 1}, {1, "b", "a"}),
    "dictionaries": ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    "dictionaries of mixed keys": ({1: 1, "b": 2}, {"b": 2, 1: 1}),
    "numpy numbers": (np.float64(0.1), 0.1),
    "copies of objects": (Plain(0.1), Plain(0.1)),
    "generators": (seeded(3), seeded(3)),
    "byte orders": (np.arange(3.0), np.arange(3.0).astype(">f8")),
    "a large array, not in one piece": (big[::2], big[::2].copy()),
}


def the_same(pair, folder, patch):
    path = folder / "a.jsonl"
    run(path, 1, settings={"x": pair[0]})
    assert run(path, 1, settings={"x": pair[1]}) == rows(1)


def holding():
    loop = []
    loop.append(loop)
    return loop


def unit(name):
    made = torch.ones(2).as_subclass(WithUnit)
    made.unit = name
    return made


NO_VALUE = {
    "a tensor with a unit": unit("m"),
    "functions of numpy that no name leads to": np.frompyfunc(lambda x: x, 1, 1),
    "a bare object": object(),
    "a lock": threading.Lock(),
    "a generator": (x for x in "ab"),
    "a list in itself": holding(),
    "an array of objects": np.array([object()]),
    "a long whole number": 10**5000,
    "a sparse tensor": torch.eye(2).to_sparse(),
    "a tensor without values": torch.empty(2, device="meta"),
    "a class that no name leads to": type("Hidden", (), {"of": object()}),
}


def no_value(value, folder, patch):
    refused(
        lambda: run(folder / "a", 1, measure=never, settings={"x": value}),
        "settings['x']",
        ValueError,
    )
    assert not list(folder.iterdir())


def make_measure(lr):
    return lambda k: {"y": lr}


def make_method(lr):
    return Plain(lr).measure


def make_default(lr):
    def measured(k, lr=lr):
        return {"y": lr}

    return measured


def make_nested(lr):
    return functools.partial(functools.partial(make_default(lr)))


def make_params(lr):
    params = {"lr": lr}
    return lambda k: {"y": params["lr"]}


def make_code(lr):
    return (lambda k: {"y": 0.1}) if lr == 0.1 else (lambda k: {"y": 0.2})


CARRIERS = {
    "a captured value": make_measure,
    "a captured dictionary": make_params,
    "a method": make_method,
    "an object that is called": Plain,
    "a default": make_default,
    "partials in partials": make_nested,
    "two lambdas": make_code,
}


def make_recursive(lr):
    """Two functions that call each other."""

    def one(k):
        return other(k) if k > 5 else {"y": lr}

    def other(k):
        return one(k - 1)

    return one


def make_of_a_class(lr):
    return inside(lr).of_the_class


def make_inside(lr):
    return inside(lr)()


CARRIERS |= {
    "a class method of a class inside": make_of_a_class,
    "an object of a class inside": make_inside,
    "a cache": cached,
    "two functions that call each other": make_recursive,
}

CELL = """
class Experiment:
    lr = 1
    def measure(self, k, power=2):
        return {"square": k**power}
def measure(k, power=2):
    return {"square": k**power}
"""
CELLS = {
    "a function": "measure",
    "a method": "Experiment().measure",
    "a partial": "functools.partial(measure, power=2)",
}


def a_cell_that_ran_again(measure, folder, patch):
    """Of a notebook: what was made before it, or after it, is still the same study."""
    exec(CELL, globals())
    before = eval(measure, globals())
    assert run(folder / "a", 1, measure=before) == rows(1)
    exec(CELL, globals())
    assert run(folder / "a", 1, 2, measure=before) == rows(1, 2)
    assert run(folder / "a", 1, 2, 3, measure=eval(measure, globals())) == rows(1, 2, 3)


def carried(make, folder, patch):
    path = folder / "a.jsonl"
    for _ in range(2):
        assert run(path, 1, measure=make(0.1)) == [{"k": 1, "y": 0.1}]
    refused(lambda: run(path, 1, measure=make(0.2)), "with other settings")


def reserved_settings(folder, patch):
    for name in ("cells", "measure", 3):
        refused(lambda n=name: run(folder / "a", 1, settings={n: 1}), "settings", ValueError)
    fixed = functools.partial(square, shift=0)
    refused(
        lambda: run(folder / "a", 1, measure=fixed, settings={"shift": 1}), "measure fixes",
        ValueError,
    )  # fmt: skip
    assert not list(folder.iterdir())


def a_file_of_before(folder, patch):
    """Settings that JSON knows stood there as they do now; a lambda had no code."""
    path = folder / "a.jsonl"
    settings = {"lr": 0.1, "ks": [1, 2], "f": "math.sin", "p": ["math.pow", {"x": 2}]}
    settings |= {"o": {"b": 1, "a": 2}}
    first = json.loads(HEADER)
    first["settings"] |= settings
    path.write_bytes(json.dumps(first).encode() + b"\n" + LINES[0] + b"\n")
    now = {"lr": 0.1, "ks": np.array([1, 2]), "f": math.sin, "p": functools.partial(math.pow, 2)}
    now |= {"o": Ordered(b=1, a=2)}
    assert run(path, 1, 2, settings=now | {"p": ["math.pow", {"x": 2}]}) == rows(1, 2)
    first["settings"] = {"cells": ["k"], "measure": f"{__name__}.before"}
    path.write_bytes(json.dumps(first).encode() + b"\n" + LINES[0] + b"\n")
    unnamed = lambda k: square(k)  # noqa: E731
    unnamed.__qualname__ = "before"
    assert run(path, 1, 2, measure=unnamed) == rows(1, 2)


class Counting:
    def __init__(self, calls=0):
        self.calls, self.cache, self.lr = calls, {}, 1

    def measure(self, k):
        if k == 3 and self.calls == 2:
            self.calls += 1
            raise KeyboardInterrupt
        self.calls += 1
        self.cache[k] = k
        return {"y": self.lr * k}


def an_object_that_takes_notes(folder, patch):
    """It is still the same study, in this process and in the next; another object is another."""
    first, path = Counting(), folder / "a"
    wanted = [{"k": k, "y": k} for k in (1, 2, 3)]
    with pytest.raises(KeyboardInterrupt):
        run(path, 1, 2, 3, measure=first.measure)
    assert run(path, 1, 2, 3, measure=first.measure) == wanted
    assert run(path, 1, 2, 3, measure=first.measure) == wanted
    assert run(path, 1, 2, 3, measure=Counting().measure) == wanted
    like = Counting(first.calls)
    like.cache.update(first.cache)
    refused(lambda: run(path, 1, measure=like.measure), "with other settings")
    first.lr = 2
    refused(lambda: run(path, 1, measure=first.measure), "with other settings")


def notes_of_a_partial(folder, patch):
    notes = []

    def noting(x, k):
        notes.append(k)
        return square(k)

    for _ in range(2):
        settings = {"f": functools.partial(noting, 1)}
        assert run(folder / "a", 1, measure=square, settings=settings) == rows(1)
        settings["f"](1)


def notes_of_a_closure(folder, patch):
    calls = []

    def noted(k):
        calls.append(k)
        return square(k)

    for _ in range(2):
        assert run(folder / "a", 1, 2, measure=noted) == rows(1, 2)
    assert calls == [1, 2]


# -- names and values ------------------------------------------------------------------------------

GRIDS = {
    "cells": {"cells": [1]},
    "measure": {"measure": [1]},
    "a remark": {"#k": [1]},
    "two lines": {"a\nb": [1]},
    "no name": {"": [1]},
    "blanks": {" k": [1]},
    "a whole number": {1: [1]},
    "half a character": {"\ud800": [1]},
    "a zero byte": {"a\0b": [1]},
    "one text": {"k": "abc"},
    "bytes": {"k": b"abc"},
    "a set": {"k": {1, 2}},
    "a dictionary": {"k": {1: 2}},
    "a generator": {"k": (x for x in [1, 2])},
    "one number": {"k": 3},
    "one tensor": {"k": torch.tensor(3)},
    "a table": {"k": torch.ones(2, 2)},
    "a float that prints itself": {"k": [Metres(2)]},
    "a member": {"k": [Number.ONE]},
    "a complex number": {"k": [1j]},
    "a date": {"k": [np.datetime64("2020-01-01", "ns")]},
    "a long whole number": {"k": [10**5000]},
    "not a number twice": {"k": [math.nan, float("nan")]},
    "a list of pairs": [("k", [1])],
}


def bad_grid(grid, folder, patch):
    refused(lambda: sweep(never, grid, folder / "a", progress=False), "", ValueError)
    assert not list(folder.iterdir())


RESULTS = {
    "a name that is a number": {1: 2},
    "a remark": {"#x": 1},
    "two lines": {"a\nb": 1},
    "no name": {"": 1},
    "a name of the grid": {"k": 1},
    "a list": {"square": [1, 2]},
    "a decimal": {"square": decimal.Decimal(1)},
    "a complex number": {"square": 1j},
    "a date": {"square": np.datetime64("2020-01-01", "ns")},
    "a long whole number": {"square": 10**5000},
    "other columns": {"cube": 1},
    "more columns": {"square": 1, "cube": 1},
    "nothing": None,
    "a text": "ab",
    "no rows": [],
}


def bad_result(result, folder, patch):
    path = folder / "a.jsonl"
    real = square
    spoiled = functools.wraps(square)(lambda k: result if k == 2 else real(k))
    patch.setitem(globals(), "square", spoiled)
    failure = refused(lambda: run(path, 1, 2, 3), "", ValueError)
    told = "\n".join([str(failure), *getattr(failure, "__notes__", [])])
    assert "the cell {'k': 2}" in told and "Finished cells are saved" in told
    assert read_sweep(path) == rows(1)


VALUES = {
    "float32": (np.float32(0.1), 0.10000000149011612),
    "float64": (np.float64(0.1), 0.1),
    "int64": (np.int64(-3), -3),
    "truth value": (np.bool_(True), True),
    "a tensor": (torch.tensor(1 / 3, dtype=torch.float64), 1 / 3),
    "a float that prints itself": (Metres(2.5), 2.5),
    "a member": (Number.ONE, 1),
    "minus zero": (-0.0, -0.0),
    "not a number": (math.nan, math.nan),
    "half a character": ("\ud800", "\ud800"),
    "a large whole number": (10**4000, 10**4000),
}


def value_back(pair, folder, patch):
    given, wanted = pair
    for rows_ in (run(folder / "a", 1, measure=lambda k: {"x": given}), read_sweep(folder / "a")):
        back = rows_[0]["x"]
        assert type(back) is type(wanted) and repr(back) == repr(wanted)


def columns_in_another_order(folder, patch):
    turned = run(
        folder / "a", 1, 2, measure=lambda k: {"x": k, "y": 0} if k == 1 else {"y": 0, "x": k}
    )
    assert [list(row) for row in turned] == [["k", "x", "y"]] * 2 and turned[1]["x"] == 2


# -- one writer ------------------------------------------------------------------------------------


def symbolic(folder):
    (folder / "link").symlink_to(folder / "a")
    return folder / "link"


def hard(folder):
    os.link(folder / "a", folder / "hard")
    return folder / "hard"


def through_a_linked_folder(folder):
    (folder / "there").symlink_to(folder)
    return folder / "there" / "a"


def relative(folder):
    os.chdir(folder.parent)
    return os.path.join(folder.name, ".", "a")


def without_what_lies_beside(folder):
    for beside in folder.iterdir():
        if beside.name != "a":
            beside.unlink()
    return folder / "a"


WRITERS = {
    "the same name": lambda folder: folder / "a",
    "a symbolic link": symbolic,
    "a hard link": hard,
    "a linked folder": through_a_linked_folder,
    "a relative name, elsewhere": relative,
    "after what lay beside was deleted": without_what_lies_beside,
}


def in_this_thread(call):
    return call()


def in_another_thread(call):
    found = []
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()
    thread.join()
    return found[0]


def in_another_process(call):
    ours, theirs = os.pipe()
    if not (child := os.fork()):
        try:
            os.write(theirs, str(call()).encode())
        finally:
            os._exit(0)
    os.close(theirs)
    with open(ours, "rb") as told:
        answer = told.read().decode()
    os.waitpid(child, 0)
    return answer


def answer_of(path):
    """What a second writer is told."""
    try:
        return str(run(path, 1, 2, 3, 4, 5, 6, 7, 8))
    except SweepFileError as refusal:
        return str(refusal)


def second_writer(way, where, folder, patch):
    patch.chdir(folder)
    told = []

    def other_in_the_middle(k):
        if k == 4 and not told:
            told.append("")  # once, whatever the second writer does
            told[0] = where(lambda: answer_of(way(folder)))
        return real(k)

    real = square
    patch.setitem(globals(), "square", functools.wraps(square)(other_in_the_middle))
    assert run(pathlib.Path("a"), *range(1, 9)) == rows(*range(1, 9))
    assert len(told) == 1 and "Another run is writing" in told[0]
    assert (folder / "a").read_bytes().count(b"\n") == 9


def a_cell_that_forks(folder, patch):
    """The child comes out of measure too, and must not write."""
    here = os.getpid()

    def forking(k):
        if k == 2 and not (child := os.fork()):
            return {"square": -1}
        if k == 2:
            os.waitpid(child, 0)
        return real(k)

    real = square
    patch.setitem(globals(), "square", functools.wraps(square)(forking))
    try:
        assert run(folder / "a", 1, 2, 3) == rows(1, 2, 3)
    finally:
        if os.getpid() != here:
            os._exit(0)
    assert read_sweep(folder / "a") == rows(1, 2, 3)


def a_cell_that_closes_all(folder, patch):
    """As daemons do; then a file of its own has the number that the sweep's had."""

    def closing(k):
        if k == 2:
            os.closerange(3, 100)
            kept.extend((folder / f"mine{n}").open("w") for n in range(9))
            for file in kept:
                file.write("x" * (len(HEADER) + len(LINES[0]) + 2))
                file.flush()
        return real(k)

    def told():
        try:
            return run(folder / "a", 1, 2, 3)
        except SweepFileError as refusal:
            return refusal

    kept, real = [], square
    patch.setitem(globals(), "square", functools.wraps(square)(closing))
    if not (child := os.fork()):
        try:
            (folder / "told").write_text(str(told()))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    patch.undo()
    said = (folder / "told").read_text()
    assert "was closed by what ran meanwhile" in said and json.dumps({"rows": rows(2)}) in said
    assert {set(x.read_text()) == {"x"} for x in folder.glob("mine*")} == {True}
    assert run(folder / "a", 1, 2) == rows(1, 2)


def a_name_of_255_bytes(folder, patch):
    path = folder / ("a" * 255)
    assert run(path, 1) == rows(1) == run(path, 1)


def a_child_that_lives_on(folder, patch):
    """What a killed run forked does not keep its lock."""
    ours, theirs = os.pipe()

    def leaves_a_child(k):
        if k == 2:
            if not os.fork():
                os.read(ours, 1)
            os._exit(0)
        return real(k)

    real = square
    patch.setitem(globals(), "square", functools.wraps(square)(leaves_a_child))
    if not (child := os.fork()):
        try:
            run(folder / "a", 1, 2, 3)
        finally:
            os._exit(1)
    os.waitpid(child, 0)
    patch.undo()
    try:
        assert run(folder / "a", 1, 2, 3) == rows(1, 2, 3)
    finally:
        os.write(theirs, b"end")


def a_file_system_without_locks(number, folder, patch):
    def no_locks(*_):
        raise OSError(number, os.strerror(number))

    patch.setattr(one_writer.locks, "flock", no_locks)
    refused(lambda: run(folder / "a", 1, measure=never), "gives no locks")
    assert not [x for x in folder.iterdir() if x.stat().st_size]


def nothing_beside_the_file(folder, patch):
    run(folder / "a", 1)
    assert [x.name for x in folder.iterdir()] == ["a"]


def a_lock_of_somebody(folder, patch):
    (folder / "a.lock").write_bytes(b"mine")
    run(folder / "a", 1)
    assert (folder / "a.lock").read_bytes() == b"mine"


def two_watches_of_two_names(folder, patch):
    first = watch_file(folder / "w")
    first.append({"call": 1})
    second = watch_file(hard_link(folder))
    refused(lambda: first.append({"call": 2}), "took over", WatchFileError)
    second.append({"call": 2})
    second.close()
    assert read_watch(folder / "w") == [{"call": 1}, {"call": 2}]


def hard_link(folder):
    os.link(folder / "w", folder / "hard")
    return folder / "hard"


def a_watch_in_a_child(folder, patch):
    watch = watch_file(folder / "w")
    watch.append({"call": 1})

    def append():
        try:
            watch.append({"call": 2})
        except WatchFileError as refusal:
            return refusal

    assert "forked" in in_another_process(append)
    watch.append({"call": 2})
    watch.close()
    assert read_watch(folder / "w") == [{"call": 1}, {"call": 2}]


# -- the file goes away, the disk is full ----------------------------------------------------------


def deleted(path):
    path.unlink()


def moved(path):
    path.rename(path.with_name("moved"))


def replaced(path):
    other = path.with_name("new")
    other.write_bytes(b"mine")
    os.replace(other, path)


def folder_deleted(path):
    shutil.rmtree(path.parent)


def link_pointed_elsewhere(path):
    path.rename(path.with_name("moved"))
    path.symlink_to(path.with_name("other"))
    path.with_name("other").write_bytes(b"mine")


GONE = {
    "deleted": (deleted, "was deleted"),
    "moved": (moved, "was moved"),
    "replaced": (replaced, "was deleted or replaced"),
    "its folder deleted": (folder_deleted, "was deleted"),
    "a link in its place": (link_pointed_elsewhere, "was moved"),
}


def gone(what, sentence, folder, patch):
    """Both finished cells are found again where the message says."""
    patch.setattr(one_writer.tempfile, "tempdir", str(folder))
    (folder / "in").mkdir()
    path, real = folder / "in" / "a", square

    def spoiling(k):
        if k == 2:
            what(path)
        return real(k)

    patch.setitem(globals(), "square", functools.wraps(square)(spoiling))
    told = str(refused(lambda: run(path, 1, 2, 3), sentence))
    names = [x for x in folder.rglob("*") if x.is_file() and x.read_bytes().startswith(HEADER)]
    assert len(names) == 1 and read_sweep(names[0]) == rows(1, 2)
    assert sentence == "was moved" or str(names[0]) in told
    assert not path.is_file() or path.read_bytes() == b"mine"


def written_to_by_another_program(folder, patch):
    path, real = folder / "a", square

    def spoiling(k):
        if k == 2:
            with path.open("ab") as file:
                file.write(b"mine")
        return real(k)

    patch.setitem(globals(), "square", functools.wraps(square)(spoiling))
    told = str(refused(lambda: run(path, 1, 2, 3), "changed by another program"))
    assert json.dumps({"rows": rows(2)}) in told
    assert path.read_bytes() == HEADER + b"\n" + LINES[0] + b"\nmine"


def a_watch_whose_file_is_deleted(folder, patch):
    watch = watch_file(folder / "w")
    watch.append({"call": 1})
    (folder / "w").unlink()
    told = str(refused(lambda: watch.append({"call": 2}), "was deleted", WatchFileError))
    (rescued,) = folder.iterdir()
    assert str(rescued) in told and read_watch(rescued) == [{"call": 1}, {"call": 2}]
    watch.close()


def a_full_disk(takes, folder, patch):
    """It takes so many bytes of the second cell's line, then no more."""
    path, write, left = folder / "a", os.write, [10**6]

    def nearly_full(descriptor, data):
        if left[0] <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        part = bytes(data)[: left[0]]
        left[0] -= len(part)
        return write(descriptor, part)

    def filling(k):
        left[0] = takes if k == 2 else left[0]
        return real(k)

    real = square
    patch.setitem(globals(), "square", functools.wraps(square)(filling))
    with monkey(patch, os, "write", nearly_full):
        failure = refused(lambda: run(path, 1, 2, 3), "No space left", OSError)
    assert json.dumps({"rows": rows(2)}) in failure.__notes__[0]
    assert path.read_bytes() == HEADER + b"\n" + LINES[0] + b"\n"
    patch.undo()
    assert run(path, 1, 2, 3) == rows(1, 2, 3) == read_sweep(path)


def a_kill_where_the_first_line_does_not_fit(limit, folder, patch):
    """The system ends who writes beyond a limit; what is left is a file that can go on."""
    path = folder / "a"
    if not (child := os.fork()):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        try:
            run(path, 1)
        finally:
            os._exit(1)
    os.waitpid(child, 0)
    assert not path.exists() or read_sweep(path) == []
    assert run(path, 1, 2) == rows(1, 2)


def monkey(patch, place, name, value):
    context = pytest.MonkeyPatch.context()
    inside = context.__enter__()
    inside.setattr(place, name, value)

    class Undone:
        def __enter__(self):
            return inside

        def __exit__(self, *error):
            return context.__exit__(*error)

    return Undone()


def a_limit_of_the_file(folder, patch):
    """The kernel's own: a file that may not grow."""
    import resource

    def limited():
        most = len(HEADER) + len(LINES[0]) + 10
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        try:
            return run(folder / "a", 1, 2, 3)
        except OSError as error:
            return error

    assert "No space left" in in_another_process(limited)
    assert (folder / "a").read_bytes() == HEADER + b"\n" + LINES[0] + b"\n"
    assert run(folder / "a", 1, 2, 3) == rows(1, 2, 3)


def a_watch_on_a_full_disk(folder, patch):
    """The torn row does not spoil the next."""
    watch, write = watch_file(folder / "w"), os.write
    watch.append({"call": 1})

    def half(descriptor, data):
        if len(data) < 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, bytes(data)[:5])

    with monkey(patch, os, "write", half):
        refused(lambda: watch.append({"call": 2}), "No space left", OSError)
    assert read_watch(folder / "w") == [{"call": 1}]
    watch.append({"call": 3})
    watch.close()
    assert read_watch(folder / "w") == [{"call": 1}, {"call": 3}]


def a_torn_line_that_could_not_be_taken_back(folder, patch):
    path = folder / "a"
    run(path, 1)
    with path.open("ab") as file:
        file.write(LINES[1][:-3])
    assert read_sweep(path) == rows(1)
    assert run(path, 1, 2) == rows(1, 2) == read_sweep(path)


def an_old_sweep_on_a_full_disk(folder, patch):
    path = folder / "a"
    path.write_bytes(OLD)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkey(patch, os, "fsync", full):
        refused(lambda: run(path, 1, 2, 3, 4), "No space left", OSError)
    assert snapshot(folder) == {path: OLD}
    assert run(path, 1, 2, 3, 4) == rows(1, 2, 3, 4)


def an_old_sweep_that_may_be_read_by_its_owner_only(folder, patch):
    path = folder / "a"
    path.write_bytes(OLD)
    path.chmod(0o600)
    run(path, 1, 2, 3, 4)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and len(read_sweep(path)) == 4


def nothing_is_left_of_a_run_without_cells(folder, patch):
    refused(lambda: run(folder / "a", 1, measure=never), "was measured", AssertionError)
    watch_file(folder / "w").close()
    assert not list(folder.iterdir())


def a_file_of_ten_cells_says_what_it_holds(folder, patch):
    """What is returned is what is read."""
    odd = [0.1, -0.0, math.inf, None, "é\u2028", True, 2**70, np.float32(0.3)]
    got = run(folder / "a", *range(len(odd)), measure=lambda k: {"x": odd[k]})
    assert repr(got) == repr(read_sweep(folder / "a"))


def table(kind, function, cases):
    return {f"{kind}: {name}": functools.partial(function, case) for name, case in cases.items()}


def tables(kind, function, cases):
    return {f"{kind}: {name}": functools.partial(function, *case) for name, case in cases.items()}


PLACES = {"this thread": in_this_thread, "a thread": in_another_thread}
PLACES |= {"a process": in_another_process} if hasattr(os, "fork") else {}
WRITERS_THERE = {
    f"{name}, {place}": (way, where)
    for name, way in WRITERS.items()
    for place, where in PLACES.items()
}
SINGLE = [
    a_folder, a_pipe, a_device, a_loop_of_links, a_link_to_no_file, a_link_into_no_folder,
    a_home_that_is_not_expanded, a_file_to_read_only, a_folder_to_read_only, reserved_settings,
    a_file_of_before, notes_of_a_closure, columns_in_another_order, nothing_beside_the_file,
    a_lock_of_somebody, two_watches_of_two_names, written_to_by_another_program,
    a_watch_whose_file_is_deleted, a_watch_on_a_full_disk, an_old_sweep_on_a_full_disk,
    a_torn_line_that_could_not_be_taken_back, an_old_sweep_that_may_be_read_by_its_owner_only,
    nothing_is_left_of_a_run_without_cells, a_file_of_ten_cells_says_what_it_holds,
    header_of_another_study_cut, an_object_that_takes_notes,
    notes_of_a_partial, a_name_of_255_bytes,
]  # fmt: skip
if hasattr(os, "fork"):
    SINGLE += [
        a_cell_that_closes_all,
        a_cell_that_forks,
        a_child_that_lives_on,
        a_watch_in_a_child,
        a_limit_of_the_file,
    ]

FAULTS = {
    **table("foreign", foreign, FOREIGN),
    **tables("taken", taken, TAKEN),
    **table("foreign watch", foreign_watch, WATCH_FOREIGN),
    **tables("taken watch", taken_watch, WATCH_TAKEN),
    **table("two studies", others, OTHERS),
    **table("one study", the_same, SAME),
    **table("no value", no_value, NO_VALUE),
    **table("carried", carried, CARRIERS),
    **table("a cell that ran again", a_cell_that_ran_again, CELLS),
    **table("grid", bad_grid, GRIDS),
    **table("result", bad_result, RESULTS),
    **table("value", value_back, VALUES),
    **tables("second writer", second_writer, WRITERS_THERE),
    **tables("gone", gone, GONE),
    **table(
        "killed at byte",
        a_kill_where_the_first_line_does_not_fit,
        {str(at): at for at in (0, 1, 2, 10, 11, 50) if hasattr(os, "fork")},
    ),
    **table("full disk, bytes taken", a_full_disk, {"none": 0, "one": 1, "most": 30}),
    **table(
        "no locks",
        a_file_system_without_locks,
        {"ENOLCK": errno.ENOLCK, "ENOTSUP": errno.ENOTSUP, "ENOSYS": errno.ENOSYS},
    ),
    **{function.__name__.replace("_", " "): function for function in SINGLE},
}


@pytest.mark.skipif(not posix, reason="links, pipes and locks as POSIX has them")
@pytest.mark.parametrize("name", FAULTS)
def test_nothing_is_lost_and_nothing_wrong(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    FAULTS[name](tmp_path, monkeypatch)


def test_there_are_enough_of_them():
    assert len(FAULTS) >= 35 and ln.sweep is sweep
