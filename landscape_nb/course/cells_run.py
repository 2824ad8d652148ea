"""What this kernel has run of the notebooks, in case it is newer than what their files hold.

Whether a file has been saved since a cell was run is told by its content, not by comparing clocks:
a server's clock may run behind, and a file's time may be anything.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from IPython.core.getipython import get_ipython

from landscape_nb.course.learner_cells import Notebook, notebooks_in, read_file, text_of

COARSEST = 2_000_000_000  # nanoseconds between two times that a file system can tell apart (FAT)


class State(NamedTuple):
    """By which one recognises a file that has not been written since.

    Attributes:
        digest: of its bytes.
        written: when, in nanoseconds, by the file system's own clock.
    """

    digest: bytes
    written: int


class Executed(NamedTuple):
    """A cell as it was last run.

    Attributes:
        text: what was run.
        held: the states that the folder's notebooks had then.
    """

    text: str
    held: frozenset[State]


_executed: dict[str, Executed] = {}  # id of a cell -> its last run in this kernel
_folder: list[Path] = []  # in which the kernel was when it began to watch


def watch() -> None:
    """Remember the text of each cell that this kernel runs from now on.

    A notebook's file holds what was last saved; an answer that was run since then is newer. Does
    nothing outside a kernel, or when called again.
    """
    shell = get_ipython()
    if shell is not None and _remember not in shell.events.callbacks["pre_run_cell"]:
        _folder[:] = [Path.cwd()]
        shell.events.register("pre_run_cell", _remember)


def _remember(info: Any) -> None:
    if isinstance(id := getattr(info, "cell_id", None), str):
        _executed[id] = Executed(info.raw_cell, states(_folder[0] if _folder else Path.cwd()))


def states(folder: Path) -> frozenset[State]:
    """The states of all notebooks in a folder."""
    found = set()
    for path in notebooks_in(folder):
        try:
            found.add(State(_digest(read_file(path)), path.stat().st_mtime_ns))
        except (OSError, ValueError):
            continue
    return frozenset(found)


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()


def _is_as_then(notebook: Notebook, held: frozenset[State]) -> bool:
    """Whether a notebook's file has not been written since a cell was run.

    A file with the same bytes may have been written again, as after an answer was withdrawn: then
    the file system has given it a new time, close to that of the change itself. A time that was
    set by hand, or by a program that copies files, is another.
    """
    status = notebook.path.stat()
    digest = _digest(notebook.content)
    times = {state.written for state in held if state.digest == digest}
    by_hand = abs(status.st_mtime_ns - status.st_ctime_ns) > COARSEST
    return bool(times) and (status.st_mtime_ns in times or by_hand)


def unsaved_runs(
    notebooks: Sequence[Notebook], executed: Mapping[str, Executed] | None = None
) -> tuple[dict[tuple[Path, str], str], list[str]]:
    """What was run in cells of these notebooks and is not in their files yet.

    Returns:
        (path, id of the cell) -> text; and the names of cells that several notebooks share, as
        copies do, so that nobody can tell where they were run.
    """
    executed = _executed if executed is None else executed
    runs: dict[tuple[Path, str], str] = {}
    doubtful = []
    for id, places in _places(notebooks).items():
        if (run := executed.get(id)) is None:
            continue
        mine = [(book, tag) for book, tag in places if book.path == own_notebook()] or places
        if not all(_is_as_then(book, run.held) for book, _ in mine):
            continue  # saved since
        if len({book.path for book, _ in mine}) == 1:
            runs[mine[0][0].path, id] = run.text
        elif any(text_of(book.cells[tag]) != run.text for book, tag in mine):
            doubtful += [
                f"{book.path.name}, {tag} (run but not saved, and a copy has the same cell)"
                for book, tag in mine
            ]
    return runs, doubtful


def _places(notebooks: Sequence[Notebook]) -> dict[str, list[tuple[Notebook, str]]]:
    """Where the learner's cells are, by their ids."""
    places: dict[str, list[tuple[Notebook, str]]] = {}
    for notebook in notebooks:
        for tag, cell in notebook.cells.items():
            if isinstance(id := cell.get("id"), str):
                places.setdefault(id, []).append((notebook, tag))
    return places


def own_notebook() -> Path | None:
    """The notebook that this kernel runs, as far as the server has told it."""
    told = os.environ.get("JPY_SESSION_NAME", "")
    return (_folder[0] if _folder else Path.cwd()) / Path(told).name if told else None


def forget(ids: set[str]) -> None:
    """Restored cells: what was run in them before is not theirs any more."""
    for id in ids:
        _executed.pop(id, None)
