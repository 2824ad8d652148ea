"""A learner's answers and predictions, in a zip and back.

What belongs to the learner are the cells tagged answer-..., manual-... and predict-..., once their
text is no longer the one that was given (whose digest the cell carries). Each goes into the zip as
one small text file, NOTEBOOK/TAG.py or .md, so that the zip can be read without this package, and a
notebook that has changed meanwhile still takes back what it knows by tag.
"""

import hashlib
import io
import json
import re
import time
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from IPython.core.getipython import get_ipython

from landscape_nb.numerics.files import replace_files

OWN = re.compile(r"(answer|manual|predict)-[\w-]+")
SAVED, EARLIER, BACKUP = "my_work.zip", "my_work_earlier.zip", "my_work_before_restoring.zip"
LARGEST = 10_000_000  # bytes unpacked, chosen here: thousands of times a whole course's answers
# Whoever unpacks a zip and packs it again puts folders in front, on Windows with a backslash.
ENTRY = re.compile(r"(?:(?!__MACOSX)[^/]+/)*?([\w-]+/(?:answer|manual|predict)-[\w-]+)\.(py|md)")


class WorkFileError(ValueError):
    """A file that is no saved work."""


class Executed(NamedTuple):
    """The text of a cell as it was last run, and when (seconds since 1970)."""

    text: str
    at: float


class Work(NamedTuple):
    """What was found in a folder's notebooks.

    Attributes:
        files: "NOTEBOOK/TAG.py" (".md" for a written answer) -> text.
        unreadable: names of notebooks that could not be read, and why.
    """

    files: dict[str, str]
    unreadable: list[str]


class Restored(NamedTuple):
    """What was put back.

    Attributes:
        tags: notebook -> the tags of the cells put back.
        unknown: entries of the zip for which no notebook here has a place.
        unreadable: names of notebooks that could not be read, and why.
        backup: the file that holds what was replaced; None if nothing was.
    """

    tags: dict[str, list[str]]
    unknown: list[str]
    unreadable: list[str]
    backup: str | None


_executed: dict[str, Executed] = {}  # id of a cell -> its last run in this kernel


def watch() -> None:
    """Remember the text of each cell that this kernel runs from now on.

    A notebook's file holds what was last saved; an answer that was run since then is newer. Does
    nothing outside a kernel, or when called again.
    """
    shell = get_ipython()
    if shell is not None and _remember not in shell.events.callbacks["pre_run_cell"]:
        shell.events.register("pre_run_cell", _remember)


def _remember(info: Any) -> None:
    if getattr(info, "cell_id", None):
        _executed[info.cell_id] = Executed(info.raw_cell, time.time())


def digest(text: str) -> str:
    """A short name for a text, the same for either kind of line ending.

    >>> digest("a = 1") == digest(" a = 1 ")
    True
    """
    plain = "\n".join(text.splitlines()).strip()
    return hashlib.sha256(plain.encode("utf-8", "replace")).hexdigest()[:12]


def collect(folder: Path, executed: Mapping[str, Executed] | None = None) -> Work:
    """All that the learner has written in the notebooks of a folder.

    Args:
        folder: where the notebooks lie; those of folders below it are not read.
        executed: id of a cell -> its text when it was last run; this kernel's by default. It
            counts where it is newer than the notebook's file.

    Returns:
        The texts that are not those given. A cell that was copied with its tag counts as TAG-2.
    """
    executed = _executed if executed is None else executed
    notebooks, unreadable = _notebooks(folder)
    files = {}
    for path, notebook in notebooks.items():
        saved_at = path.stat().st_mtime
        for tag, cell in _own_cells(notebook).items():
            text, ran = _text(cell), executed.get(cell.get("id", ""))
            if ran is not None and ran.at > saved_at:
                text = ran.text
            if text.strip() and digest(text) != cell["metadata"].get("given"):
                suffix = "py" if cell.get("cell_type") == "code" else "md"
                files[f"{path.stem}/{tag}.{suffix}"] = text
    return Work(files, unreadable)


def pack(files: Mapping[str, str]) -> bytes:
    """The texts as a zip, the same bytes for the same texts.

    >>> unpack(pack({"01_toy/answer-1.py": "x = 1"}))
    {'01_toy/answer-1.py': 'x = 1'}
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in sorted(files.items()):
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, text.encode("utf-8", "replace"))
    return buffer.getvalue()


def unpack(content: bytes) -> dict[str, str]:
    """The texts in a zip that `pack` made, or that holds the same files in a folder.

    Raises:
        WorkFileError: no zip, a damaged one, or one that holds none of a learner's answers.
    """
    files = {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > LARGEST:
                raise WorkFileError("The zip holds more than 10 MB of text: it is no saved work.")
            for entry in archive.infolist():
                if named := ENTRY.fullmatch(entry.filename.replace("\\", "/")):
                    files[f"{named[1]}.{named[2]}"] = archive.read(entry).decode("utf-8-sig")
    except (zipfile.BadZipFile, UnicodeDecodeError, NotImplementedError, RuntimeError) as error:
        raise WorkFileError(
            f"This is no zip that was saved here, or a damaged one ({error}). Choose a {SAVED}."
        ) from None
    if not files:
        raise WorkFileError(
            "The zip holds no answers: its entries must be named like 01_quadratic_toy/answer-1.py."
        )
    return files


def save(folder: Path | str = ".") -> tuple[bytes, Work]:
    """Write my_work.zip into the folder; returns its bytes and what it holds.

    Nothing is written if there is nothing to save. An older my_work.zip with entries that the new
    one would lack, as in a session that has not restored it yet, is kept under another name.
    """
    folder = Path(folder)
    found = collect(folder)
    content = pack(found.files)
    if found.files:
        older = folder / SAVED
        if older.exists() and _lacks(found.files, older.read_bytes()):
            _keep(folder, EARLIER, older.read_bytes())
        replace_files({older: content})
    return content, found


def _lacks(files: Mapping[str, str], older: bytes) -> bool:
    try:
        return bool(unpack(older).keys() - files.keys())
    except WorkFileError:
        return True


def restore(content: bytes, folder: Path | str = ".") -> Restored:
    """Put saved answers back into the notebooks of a folder.

    What they replace is first written to a zip of its own, and a cell for which the zip holds
    nothing keeps its text. All notebooks are written before the first one is replaced.

    Args:
        content: the zip's bytes.
        folder: where the notebooks lie.

    Raises:
        WorkFileError: the zip is no saved work; nothing has been changed.
        OSError: a file cannot be written; no notebook has been changed.
    """
    folder = Path(folder)
    wanted = {name.rsplit(".", 1)[0]: text for name, text in unpack(content).items()}
    notebooks, unreadable = _notebooks(folder)
    before = collect(folder).files
    backup = _keep(folder, BACKUP, pack(before)) if before else None
    restored: dict[str, list[str]] = {}
    new = {}
    for path, notebook in notebooks.items():
        cells = _own_cells(notebook)
        for tag in [tag for tag in cells if f"{path.stem}/{tag}" in wanted]:
            cells[tag]["source"] = wanted.pop(f"{path.stem}/{tag}").splitlines(keepends=True)
            _executed.pop(cells[tag].get("id", ""), None)
            _forget_outputs(notebook, tag)
            restored.setdefault(path.stem, []).append(tag)
        if path.stem in restored:
            text = json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True)
            new[path] = (text + "\n").encode()
    replace_files(new)
    return Restored(restored, list(wanted), unreadable, backup)


def _forget_outputs(notebook: Mapping[str, Any], tag: str) -> None:
    """Of a restored cell, and of its check, which has not seen the restored answer."""
    for cell in notebook["cells"]:
        tags = cell.get("metadata", {}).get("tags", [])
        if cell.get("cell_type") == "code" and {tag, tag.replace("answer", "check")} & set(tags):
            cell["outputs"], cell["execution_count"] = [], None


def _notebooks(folder: Path) -> tuple[dict[Path, dict[str, Any]], list[str]]:
    """The notebooks of the course in a folder, and which could not be read."""
    notebooks, unreadable = {}, []
    for path in sorted(folder.glob("[0-9][0-9]_*.ipynb")):
        try:
            notebook = json.loads(path.read_text(encoding="utf-8-sig"))
            _own_cells(notebook)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            unreadable.append(f"{path.name} ({type(error).__name__})")
        else:
            notebooks[path] = notebook
    return notebooks, unreadable


def _own_cells(notebook: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The learner's cells by tag; further cells with the same tag as TAG-2, TAG-3."""
    cells: dict[str, dict[str, Any]] = {}
    seen: Counter[str] = Counter()
    for cell in notebook["cells"]:
        for tag in cell["metadata"].get("tags") or []:
            if OWN.fullmatch(tag):
                _text(cell)  # raises where a cell has none
                seen[tag] += 1
                cells[tag if seen[tag] == 1 else f"{tag}-{seen[tag]}"] = cell
    return cells


def _text(cell: Mapping[str, Any]) -> str:
    source = cell["source"]
    return source if isinstance(source, str) else "".join(source)


def _keep(folder: Path, name: str, content: bytes) -> str:
    """Write under this name, or with a number if something else is there; returns the name."""
    stem, suffix = name.rsplit(".", 1)
    for number in range(1, 10_000):
        path = folder / (name if number == 1 else f"{stem}_{number}.{suffix}")
        if path.exists() and path.read_bytes() != content:
            continue
        replace_files({path: content})
        return path.name
    raise WorkFileError(f"There are too many files named {name} here. Remove some.")
