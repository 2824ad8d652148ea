"""A learner's answers and predictions, in a zip and back.

What belongs to the learner are the cells tagged answer-... and manual-..., once their text is no
longer the one that was given (whose digest the cell carries), and committed predictions. Each goes
into the zip as one small text file, NOTEBOOK/TAG.py or .md, predictions/KEY.json, so that the zip
can be read without this package, and a notebook that has changed meanwhile still takes back what it
knows by tag.
"""

import contextlib
import hashlib
import json
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from landscape_nb.course.cells_run import Executed, forget, unsaved_runs, watch
from landscape_nb.course.kept_predictions import keep_predictions, read_predictions
from landscape_nb.course.learner_cells import (
    OWN,
    Notebook,
    read_file,
    read_notebooks,
    tags_of,
    text_of,
)
from landscape_nb.course.trust import trust_again
from landscape_nb.course.work_files import WorkFileError, alone, keep
from landscape_nb.course.work_zip import LARGEST, SAVED, pack, unpack
from landscape_nb.numerics.files import replace_files

__all__ = [
    "BACKUP", "EARLIER", "OWN", "RESTORED", "SAVED", "Executed", "Restored", "Work",
    "WorkFileError", "collect", "digest", "pack", "restore", "save", "unpack", "watch",
]  # fmt: skip

EARLIER, RESTORED = "my_work_earlier.zip", "my_work_restored.zip"
BACKUP = "my_work_before_restoring.zip"
PREDICTIONS = "predictions"  # in a zip, beside the notebooks' names, which begin with a number


class Work(NamedTuple):
    """What was found in a folder's notebooks.

    Attributes:
        files: "NOTEBOOK/TAG.py" (".md" for a written answer) -> text; "predictions/KEY.json".
        unreadable: names of notebooks and cells that could not be read, and why.
    """

    files: dict[str, str]
    unreadable: list[str]


class Restored(NamedTuple):
    """What was put back.

    Attributes:
        tags: notebook -> the tags of the cells put back; "predictions" -> their keys.
        unknown: entries of the zip for which no notebook here has a place.
        unreadable: names of notebooks and cells that could not be read or written, and why.
        backup: the file that holds what was replaced; None if nothing was.
        saved_backup: a second one with what the notebooks' files held, where that differs from
            what had been run; else None.
    """

    tags: dict[str, list[str]]
    unknown: list[str]
    unreadable: list[str]
    backup: str | None
    saved_backup: str | None


_written: dict[Path, bytes] = {}  # the last my_work.zip that this kernel wrote


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
        executed: id of a cell -> its last run; this kernel's by default. What was run counts as
            long as the notebook's file has not been written since.

    Returns:
        The texts that are not those given. A cell that was copied with its tag counts as TAG-2.
    """
    notebooks, unreadable = read_notebooks(folder)
    runs, doubtful = unsaved_runs(notebooks, executed)
    files, too_large = _files(notebooks, runs)
    return Work({**files, **_predictions(folder)}, unreadable + doubtful + too_large)


def _predictions(folder: Path) -> dict[str, str]:
    """The committed predictions of a folder as texts by name."""
    kept = read_predictions(folder)
    return {f"{PREDICTIONS}/{key}.json": json.dumps(kept[key]) for key in sorted(kept)}


def _files(
    notebooks: Sequence[Notebook], runs: Mapping[tuple[Path, str], str]
) -> tuple[dict[str, str], list[str]]:
    """The learner's texts by name, and the names of those for which a zip has no room."""
    files: dict[str, str] = {}
    too_large, left = [], LARGEST
    for notebook in notebooks:
        for tag, cell in notebook.cells.items():
            id = cell.get("id")
            run = runs.get((notebook.path, id)) if isinstance(id, str) else None
            text = text_of(cell) if run is None else run
            if not text.strip() or digest(text) == cell["metadata"].get("given"):
                continue
            size = len(text.encode("utf-8", "surrogatepass"))
            if size > left // 2:  # of what compresses badly a zip needs as much again for itself
                too_large.append(f"{notebook.path.name}, {tag} (its text is too large for the zip)")
                continue
            left -= size
            suffix = "py" if cell.get("cell_type") == "code" else "md"
            files[f"{notebook.path.stem}/{tag}.{suffix}"] = text
    return files, too_large


def save(folder: Path | str = ".") -> tuple[bytes, Work]:
    """Write my_work.zip into the folder; returns its bytes and what it holds.

    Nothing is written if there is nothing to save. A my_work.zip that holds what the new one lacks
    is kept under another name: entries, as in a session that has not restored it yet; or texts, if
    another kernel wrote it.

    Raises:
        WorkFileError: the older my_work.zip is a folder, or too large to be one.
        OSError: it cannot be written; the older one is as it was.
    """
    folder = Path(folder).absolute()
    with alone(folder):
        found = collect(folder)
        content = pack(found.files)
        if found.files:
            _keep_earlier(folder / SAVED, found.files)
            replace_files({folder / SAVED: content})
            _written[folder / SAVED] = content
    return content, found


def _keep_earlier(path: Path, files: Mapping[str, str]) -> None:
    """Keep a my_work.zip under another name if it holds what is not among these files."""
    if not path.exists():
        return
    try:
        older = read_file(path, LARGEST)
    except ValueError as error:
        raise WorkFileError(
            f"Here is a {SAVED} that is no saved work ({error}). Give it another name."
        ) from None
    if _lacks(files, older, by_us=_written.get(path) == older):
        keep(path.parent, EARLIER, older)


def _lacks(files: Mapping[str, str], older: bytes, by_us: bool) -> bool:
    try:
        earlier = unpack(older)
    except WorkFileError:
        return True
    lost = [name for name, text in earlier.items() if files.get(name) != text]
    return bool([name for name in lost if name not in files] if by_us else lost)


def restore(content: bytes, folder: Path | str = ".") -> Restored:
    """Put saved answers back into the notebooks of a folder.

    What they replace is first written to a zip of its own, and a cell for which the zip holds
    nothing keeps its text. All notebooks are written before the first one is replaced. The zip
    itself is kept beside them, lest an open notebook be saved over what was restored.

    Args:
        content: the zip's bytes.
        folder: where the notebooks lie.

    Raises:
        WorkFileError: the zip is no saved work, or others keep writing here; no notebook has been
            changed.
        OSError: a file cannot be written; no notebook has been changed.
    """
    folder = Path(folder).absolute()
    wanted = {_plain(name.rsplit(".", 1)[0]): text for name, text in unpack(content).items()}
    with alone(folder):
        for _ in range(5):
            notebooks, unreadable = read_notebooks(folder)
            backups = _back_up(folder, notebooks)
            tags, new, failed = _put(notebooks, wanted)
            if all(_is_unchanged(notebook) for notebook in notebooks if notebook.path in new):
                break
        else:
            raise WorkFileError("The notebooks here are being written all the time. Try again.")
        replace_files(new)
        trust_again({n.path: n.content for n in notebooks}, new)
        forget(_ids(notebooks, tags))
        with contextlib.suppress(OSError):  # a second copy of what the learner has chosen
            keep(folder, RESTORED, content)
    if guesses := _guesses(wanted):
        try:
            keep_predictions(folder, guesses)
            tags[PREDICTIONS] = sorted(guesses)
        except (OSError, ValueError) as error:  # the answers are back all the same
            failed.append(f"{PREDICTIONS} (cannot be kept: {error})")
    placed = {_plain(f"{name}/{tag}") for name, found in tags.items() for tag in found}
    placed |= {f"{PREDICTIONS}/{key}" for key in guesses}
    unknown = [name for name in wanted if name not in placed]
    return Restored(tags, unknown, unreadable + failed, *backups)


def _guesses(wanted: Mapping[str, str]) -> dict[str, Any]:
    """The predictions among the texts of a zip; what is no JSON is left out."""
    found = {}
    for name, text in wanted.items():
        folder, _, key = name.partition("/")
        with contextlib.suppress(ValueError, RecursionError):
            if folder == PREDICTIONS:
                found[key] = json.loads(text)
    return found


def _plain(name: str) -> str:
    """A name in one spelling: what a Mac packs has each accent as a character of its own."""
    return unicodedata.normalize("NFC", name)


def _back_up(folder: Path, notebooks: Sequence[Notebook]) -> tuple[str | None, str | None]:
    """Keep what the notebooks hold: with what was run since they were saved, and without."""
    names: list[str | None] = []
    packed: list[bytes] = []
    for runs in (unsaved_runs(notebooks)[0], {}):
        files, too_large = _files(notebooks, runs)
        files |= _predictions(folder)
        if too_large:
            raise WorkFileError(
                f"What is here would not fit into a backup: {', '.join(too_large)}. Move it to "
                "another file first."
            )
        packed.append(pack(files) if files else b"")
    for number, backup in enumerate(packed):
        again = number == 1 and backup == packed[0]
        names.append(keep(folder, BACKUP, backup) if backup and not again else None)
    return names[0] or names[1], names[1] if names[0] else None


def _put(
    notebooks: Sequence[Notebook], wanted: Mapping[str, str]
) -> tuple[dict[str, list[str]], dict[Path, bytes], list[str]]:
    """The tags found, the new contents of the notebooks that change, and those that cannot."""
    tags: dict[str, list[str]] = {}
    new: dict[Path, bytes] = {}
    failed = []
    for notebook in notebooks:
        here = {tag: _plain(f"{notebook.path.stem}/{tag}") for tag in notebook.cells}
        found = {tag: wanted[name] for tag, name in here.items() if name in wanted}
        try:
            if _changed(notebook, found):
                notebook.path.open("r+b").close()  # a read-only one must not keep the others back
                new[notebook.path] = _as_bytes(notebook.data)
        except (OSError, RecursionError) as error:
            reason = getattr(error, "strerror", None) or "nested too deeply"
            failed.append(f"{notebook.path.name} (cannot be written: {reason})")
        else:
            if found:
                tags[notebook.path.stem] = list(found)
    return tags, new, failed


def _changed(notebook: Notebook, found: Mapping[str, str]) -> bool:
    """Put texts into cells; returns whether any of them was another."""
    changed = False
    for tag, text in found.items():
        if text != text_of(notebook.cells[tag]):
            notebook.cells[tag]["source"] = text.splitlines(keepends=True)
            _forget_outputs(notebook, tag)
            changed = True
    return changed


def _as_bytes(data: Mapping[str, Any]) -> bytes:
    """A notebook as Jupyter writes it."""
    text = json.dumps(data, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    try:
        return text.encode()
    except UnicodeEncodeError:  # half a character, which JSON can only escape
        return (json.dumps(data, indent=1, sort_keys=True) + "\n").encode()


def _forget_outputs(notebook: Notebook, tag: str) -> None:
    """Of a restored cell, and of its check, which has not seen the restored answer."""
    check = tag.replace("answer", "check")
    for cell in notebook.data["cells"]:
        with contextlib.suppress(ValueError):
            if cell is notebook.cells[tag] or check in tags_of(cell):
                if cell.get("cell_type") == "code":
                    cell["outputs"], cell["execution_count"] = [], None


def _is_unchanged(notebook: Notebook) -> bool:
    """Whether the file still holds what was read; an open notebook may just have been saved."""
    try:
        return read_file(notebook.path) == notebook.content
    except (OSError, ValueError):
        return False


def _ids(notebooks: Sequence[Notebook], tags: Mapping[str, Sequence[str]]) -> set[str]:
    cells = [n.cells[tag] for n in notebooks for tag in tags.get(n.path.stem, [])]
    return {cell["id"] for cell in cells if isinstance(cell.get("id"), str)}
