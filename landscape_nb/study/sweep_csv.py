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
from typing import Any

START = b"# settings "


def parsed(content: bytes) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    r"""Settings and complete rows.

    Raises:
        ValueError: a file of another kind, or a damaged one.

    >>> parsed(b'# settings {"cells": ["k"]}\nk,x\n1,0.5\n# saved\n2,0.')
    ({'cells': ['k']}, [{'k': 1, 'x': 0.5}])
    """
    first, _, rest = content.replace(b"\r\n", b"\n").partition(b"\n")
    settings = json.loads(first.removeprefix(START).decode())
    if not isinstance(settings, dict):
        raise ValueError("the settings are none")
    complete = rest[: rest.rfind(b"# saved\n") + 1].decode().split("\n")
    try:
        columns, *table = list(csv.reader(x for x in complete if x and x[0] != "#")) or [[]]
    except csv.Error as error:
        raise ValueError(str(error)) from None
    return settings, [dict(zip(columns, map(_value, row), strict=True)) for row in table]


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
