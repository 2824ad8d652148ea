"""The cells that belong to the learner, in all notebooks of a folder, whatever lies there.

What belongs to the learner are the cells tagged answer-... and manual-..., unless they are locked.
A file or a cell that is not as it should be is named with its reason and keeps nobody
else from being read.
"""

import itertools
import json
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

OWN = re.compile(r"(answer|manual)-[\w-]+")
LARGEST_NOTEBOOK = 100_000_000  # bytes, chosen here: fifty times the largest of the course
# What a zip cannot carry as part of a name, or carries as something else.
UNFIT = re.compile(r"[\x00-\x1f\\/\ud800-\udfff]")


class Notebook(NamedTuple):
    """One notebook as it was read.

    Attributes:
        path: where it lies.
        content: its bytes.
        data: the same as JSON.
        cells: the learner's cells by tag; further cells with the same tag as TAG-2, TAG-3.
    """

    path: Path
    content: bytes
    data: dict[str, Any]
    cells: dict[str, dict[str, Any]]


def notebooks_in(folder: Path) -> list[Path]:
    """What has the name of a notebook of the course, be it a file or not."""
    return sorted(folder.glob("[0-9][0-9]_*.ipynb"))


def read_notebooks(folder: Path) -> tuple[list[Notebook], list[str]]:
    """The notebooks of the course in a folder; and what could not be read, each with its reason."""
    notebooks, unreadable = [], []
    real: dict[str, str] = {}  # where a link leads to -> the name under which that was read
    for path in sorted(notebooks_in(folder), key=lambda path: (path.is_symlink(), path)):
        try:
            if twin := real.get(os.path.realpath(path)):
                raise ValueError(f"a link to {twin}, which is read itself")
            notebook, odd = _parsed(path, read_file(path))
        except (ValueError, OSError, RecursionError, MemoryError) as error:
            unreadable.append(f"{printable(path.name)} ({_reason(error)})")
        else:
            real[os.path.realpath(path)] = printable(path.name)
            notebooks.append(notebook)
            unreadable += [f"{path.name}, {words}" for words in odd]
    return sorted(notebooks, key=lambda notebook: notebook.path), unreadable


def read_file(path: Path, largest: int = LARGEST_NOTEBOOK) -> bytes:
    """The bytes of an ordinary file; a folder, a pipe, a device or a giant is refused unopened."""
    if path.is_symlink() and not path.exists():
        raise ValueError("a link to nothing")
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("a folder" if stat.S_ISDIR(status.st_mode) else "not an ordinary file")
    if status.st_size <= largest:
        with path.open("rb") as file:
            content = file.read(largest + 1)  # no more, should it be growing
        if len(content) <= largest:
            return content
    raise ValueError(f"larger than {largest // 1_000_000} MB; clear its outputs and save it")


def _parsed(path: Path, content: bytes) -> tuple[Notebook, list[str]]:
    if UNFIT.search(path.stem):
        raise ValueError("a zip cannot hold this name; rename the notebook")
    try:
        data = json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ValueError("not UTF-8 text") from None
    if not isinstance(data, dict) or not isinstance(data.get("cells"), list):
        raise ValueError("no notebook: it has no list of cells")
    cells, odd = _own_cells(data["cells"])
    return Notebook(path, content, data, cells), odd


def _reason(error: BaseException) -> str:
    """Why something could not be read, in words."""
    if isinstance(error, json.JSONDecodeError):
        return f"damaged: no JSON from line {error.lineno} on" if error.pos else "empty, or no JSON"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, MemoryError):
        return "too large for the memory"
    return printable(getattr(error, "strerror", None) or str(error))


def printable(text: str) -> str:
    r"""A text that can be shown and sent, whatever the name of a file is made of.

    >>> printable("a\udcff")
    'a\\udcff'
    """
    return text.encode("utf-8", "backslashreplace").decode()


def _own_cells(cells: list[Any]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The learner's cells by tag, and what is odd about any cell."""
    tagged, odd = [], []
    for number, cell in enumerate(cells, 1):
        try:
            tags = list(dict.fromkeys(tag for tag in tags_of(cell) if OWN.fullmatch(tag)))
            if tags and not is_locked(cell):
                text_of(cell)
                tagged += [(tag, cell) for tag in tags]
        except ValueError as error:
            odd.append(f"cell {number} ({error})")
    own: dict[str, dict[str, Any]] = {}
    tags_there = {tag for tag, _ in tagged}
    for tag, cell in tagged:
        own[_free(tag, own, tags_there)] = cell
    return own, odd


def _free(tag: str, own: Mapping[str, Any], tags: set[str]) -> str:
    """A tag, or TAG-2, TAG-3 where cells before have it; never what another cell is tagged."""
    if tag not in own:
        return tag
    names = (f"{tag}-{number}" for number in itertools.count(2))
    return next(name for name in names if name not in own and name not in tags)


def tags_of(cell: Any) -> list[str]:
    """The tags of a cell that are words; one word in place of a list counts as one tag.

    Raises:
        ValueError: no cell, or one whose metadata or tags are no such thing.
    """
    if not isinstance(cell, dict):
        raise ValueError(f"not a cell but {_kind(cell)}")
    metadata = cell.get("metadata")
    if not isinstance(metadata, dict):
        raise ValueError(f"its metadata are {_kind(metadata)}, so that its tags are not known")
    tags = metadata.get("tags", [])
    if isinstance(tags, str):
        return [tags]
    if not isinstance(tags, list):
        raise ValueError(f"its tags are {_kind(tags)}, not a list")
    return [tag for tag in tags if isinstance(tag, str)]


def _kind(thing: Any) -> str:
    names = {str: "text", list: "a list", dict: "an object", type(None): "null"}
    return names.get(type(thing), f"{thing!r:.20}")


def is_locked(cell: Mapping[str, Any]) -> bool:
    """Whether a cell is the teacher's: locked, or marked but not to be answered."""
    form = cell["metadata"].get("nbgrader")
    form = form if isinstance(form, dict) else {}
    marked_only = bool(form.get("grade")) and not form.get("solution")
    return bool(form.get("locked")) or marked_only or cell["metadata"].get("editable") is False


def text_of(cell: Mapping[str, Any]) -> str:
    """The text of a cell, which a notebook holds whole or in lines.

    Raises:
        ValueError: it holds something else.
    """
    source = cell.get("source")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        return "".join(source)
    if not isinstance(source, str):
        raise ValueError(f"its text is {_kind(source)}")
    return source
