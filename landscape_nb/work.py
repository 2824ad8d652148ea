"""A learner's answers and predictions, in a zip and back.

What belongs to the learner are the cells tagged answer-..., manual-... and predict-.... Each goes
into the zip as one small text file, NOTEBOOK/TAG.py or .md, so that the zip can be read without
this package, and a notebook that has changed meanwhile still takes back what it knows by tag.
"""

import io
import json
import os
import re
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from IPython.core.getipython import get_ipython

OWN = re.compile(r"(answer|manual|predict)-[\w-]+")
UNANSWERED = re.compile(r"raise NotImplementedError\(\)|^YOUR ANSWER HERE$", re.MULTILINE)
BACKUP = "my_work_before_restoring.zip"
LARGEST = 10_000_000  # bytes unpacked, chosen here: thousands of times a whole course's answers
ENTRY = re.compile(r"([\w-]+)/((?:answer|manual|predict)-[\w-]+)\.(?:py|md)")


class WorkFileError(ValueError):
    """A file that is no saved work."""


class Executed(NamedTuple):
    """The text of a cell as it was last run, and when (seconds since 1970)."""

    text: str
    at: float


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


def collect(folder: Path, executed: Mapping[str, Executed] | None = None) -> dict[str, str]:
    """All that the learner has written in the notebooks of a folder.

    Args:
        folder: where the notebooks lie; those of folders below it are not read.
        executed: id of a cell -> its text when it was last run; this kernel's by default. It
            counts where it is newer than the notebook's file.

    Returns:
        "NOTEBOOK/TAG.py" (".md" for a written answer) -> text, without stubs left untouched.
    """
    executed = _executed if executed is None else executed
    files = {}
    for path in _notebooks(folder):
        saved_at = path.stat().st_mtime
        for tag, cell in _own_cells(_read(path)).items():
            text, ran = _text(cell), executed.get(cell.get("id", ""))
            if ran is not None and ran.at > saved_at:
                text = ran.text
            if text.strip() and not UNANSWERED.search(text):
                suffix = "py" if cell["cell_type"] == "code" else "md"
                files[f"{path.stem}/{tag}.{suffix}"] = text
    return files


def pack(files: Mapping[str, str]) -> bytes:
    """The texts as a zip, the same bytes for the same texts.

    >>> unpack(pack({"01_toy/answer-1.py": "x = 1"}))
    {'01_toy/answer-1.py': 'x = 1'}
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), text.encode())
    return buffer.getvalue()


def unpack(content: bytes) -> dict[str, str]:
    """The texts in a zip that `pack` made.

    Raises:
        WorkFileError: no zip, a damaged one, or one that holds none of a learner's answers.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = [entry for entry in archive.infolist() if ENTRY.fullmatch(entry.filename)]
            if sum(entry.file_size for entry in entries) > LARGEST:
                raise WorkFileError("The zip holds more than 10 MB of text: it is no saved work.")
            files = {entry.filename: archive.read(entry).decode() for entry in entries}
    except (zipfile.BadZipFile, UnicodeDecodeError, NotImplementedError, RuntimeError) as error:
        raise WorkFileError(
            f"This is no zip that was saved here, or a damaged one ({error}). Choose a my_work.zip."
        ) from None
    if not files:
        raise WorkFileError(
            "The zip holds no answers: its entries must be named like 01_quadratic_toy/answer-1.py."
        )
    return files


def save(folder: Path | str = ".") -> tuple[bytes, dict[str, str]]:
    """Write my_work.zip into the folder; returns its bytes and what it holds."""
    folder = Path(folder)
    files = collect(folder)
    content = pack(files)
    _replace(folder / "my_work.zip", content)
    return content, files


def restore(content: bytes, folder: Path | str = ".") -> tuple[dict[str, list[str]], list[str]]:
    """Put saved answers back into the notebooks of a folder.

    What they replace is first written to my_work_before_restoring.zip, and a cell for which the
    zip holds nothing keeps its text. Each notebook is replaced in one step.

    Args:
        content: the zip's bytes.
        folder: where the notebooks lie.

    Returns:
        notebook -> tags put back, and the entries that no notebook here knows.

    Raises:
        WorkFileError: the zip is no saved work; nothing has been changed.
    """
    folder = Path(folder)
    wanted = {name.rsplit(".", 1)[0]: text for name, text in unpack(content).items()}
    restored: dict[str, list[str]] = {}
    _replace(folder / BACKUP, pack(collect(folder)))
    for path in _notebooks(folder):
        notebook = _read(path)
        cells = _own_cells(notebook)
        for tag in [tag for tag in cells if f"{path.stem}/{tag}" in wanted]:
            cells[tag]["source"] = wanted.pop(f"{path.stem}/{tag}").splitlines(keepends=True)
            _executed.pop(cells[tag].get("id", ""), None)
            restored.setdefault(path.stem, []).append(tag)
        if path.stem in restored:
            text = json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True)
            _replace(path, (text + "\n").encode())
    return restored, list(wanted)


def _notebooks(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9][0-9]_*.ipynb"))


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WorkFileError(f"{path.name} is no notebook that can be read: {error}") from None


def _own_cells(notebook: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The learner's cells by tag; of a tag that was copied the first cell counts."""
    cells: dict[str, dict[str, Any]] = {}
    for cell in notebook.get("cells", []):
        for tag in cell.get("metadata", {}).get("tags", []):
            if OWN.fullmatch(tag):
                cells.setdefault(tag, cell)
    return cells


def _text(cell: Mapping[str, Any]) -> str:
    source = cell["source"]
    return source if isinstance(source, str) else "".join(source)


def _replace(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.draft")
    draft.write_bytes(content)
    os.replace(draft, path)
