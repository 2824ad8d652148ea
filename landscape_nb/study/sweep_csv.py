"""The files of sweeps of before, which are still read: CSV with two kinds of remarks.

    # settings {"cells": ["seed", "k"], "measure": "my_module.measure"}
    seed,k,sigma,total
    0,20,0.001,1.5e-05
    0,20,0.01,1.6e-05
    # saved

A line `# saved` follows the rows of each cell; rows without one below them are of a cell that was
cut off, and do not count. Text never looks like a number, and holds no "#" and no line end.
"""

import csv
import json
from collections.abc import Iterable
from typing import Any

START = b"# settings "
_SAVED = b"\n# saved\n"


def parsed(content: bytes) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    r"""Settings and complete rows.

    Raises:
        ValueError: a file of another kind, or a damaged one.

    >>> parsed(b'# settings {"cells": ["k"]}\nk,x\n1,0.5\n# saved\n2,0.')
    ({'cells': ['k']}, [{'k': 1, 'x': 0.5}])
    """
    first, end, rest = content.replace(b"\r\n", b"\n").partition(b"\n")
    settings = json.loads(first.removeprefix(START).decode())
    if not end or not isinstance(settings, dict) or not isinstance(settings.get("cells"), list):
        raise ValueError("the settings are none")
    saved = rest.rfind(_SAVED) + len(_SAVED) if _SAVED in rest else 0
    lines = rest[:saved].decode().split("\n")
    unfinished = rest[saved:].decode()
    if any(line[:1] == "#" and line != "# saved" for line in lines) or "#" in lines[0]:
        raise ValueError("a remark that is none of a sweep")
    columns, *table = _rows(x for x in lines if x and x[0] != "#") or [[]]
    _refuse_unless_cut_off(unfinished, columns, settings["cells"])
    return settings, [dict(zip(columns, map(_value, row), strict=True)) for row in table]


def _rows(lines: Iterable[str]) -> list[list[str]]:
    try:
        return list(csv.reader(lines))
    except csv.Error as error:
        raise ValueError(str(error)) from None


def _refuse_unless_cut_off(unfinished: str, columns: list[str], names: list[str]) -> None:
    """What follows the last complete cell must be rows of the next, the last of them cut."""
    *lines, last = unfinished.split("\n")
    if not columns:  # killed in the first cell
        header = lines.pop(0) if lines else last
        begins = ",".join(names)
        if not (header.startswith(begins) or (header is last and begins.startswith(header))):
            raise ValueError("the columns are those of another file")
        if header is last:
            return
        columns = _rows([header])[0]
    whole = _rows(lines)
    cut = [] if "# saved".startswith(last) else _rows([last])
    if any(len(row) != len(columns) for row in whole) or any(len(x) > len(columns) for x in cut):
        raise ValueError("lines that are no rows of a sweep")


def _value(text: str) -> Any:
    """A number, truth value, None or text."""
    if text in ("True", "False", ""):
        return {"True": True, "False": False, "": None}[text]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            pass
    return text
