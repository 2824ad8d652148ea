"""Files beside a learner's notebooks: one kernel at a time, and none ever replaced by another."""

import contextlib
import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from landscape_nb.course.learner_cells import read_file
from landscape_nb.numerics.files import replace_files

if sys.platform != "win32":
    import fcntl

LARGEST_JSON = 1_000_000  # bytes, chosen here: a hundred times what a whole course keeps
PATIENCE = 20.0  # seconds, chosen here: what a second notebook takes to save or restore is under 1
_BUSY = "Another notebook is saving or restoring here. Try again when it has finished."


class WorkFileError(ValueError):
    """A file that is no saved work, or cannot be dealt with."""


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """While this lasts no other kernel saves or restores here.

    Where a file system knows no locks it does nothing; two kernels would then have to press their
    buttons within the same fraction of a second.
    """
    with contextlib.ExitStack() as stack:
        if sys.platform == "win32":
            try:
                stack.enter_context(FileLock(folder / ".my_work.lock", timeout=PATIENCE))
            except Timeout:
                raise WorkFileError(_BUSY) from None
        else:
            handle = os.open(folder, os.O_RDONLY)  # the folder itself: no file is left behind
            stack.callback(os.close, handle)
            with contextlib.suppress(OSError):
                _lock(handle)
        yield


def _lock(handle: int) -> None:
    if sys.platform != "win32":
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > end:
                    raise WorkFileError(_BUSY) from None
                time.sleep(0.02)


def keep(folder: Path, name: str, content: bytes) -> str:
    """Write under this name, or with a number if something else is there; returns the name."""
    stem, suffix = name.rsplit(".", 1)
    for number in range(1, 10_000):
        path = folder / (name if number == 1 else f"{stem}_{number}.{suffix}")
        if _holds(path, content) or (not os.path.lexists(path) and _create(path, content)):
            return path.name
    raise WorkFileError(f"There are too many files named {name} here. Remove some.")


def read_json(path: Path) -> dict[str, Any]:
    """What a JSON file of ours holds; empty where there is none, or something else."""
    try:
        found = json.loads(read_file(path, LARGEST_JSON).decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def change_json(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Put what `change` makes of a JSON file's content in its place, while no other kernel does.

    What cannot be read counts as empty, and is kept aside first, as NAME_unreadable.json.

    Raises:
        OSError: the file cannot be written; it is as it was.
        WorkFileError: others keep writing here, or the file would be larger than `read_json` reads.
    """
    with alone(path.parent):
        before = read_json(path)
        if not before and path.is_file():
            damaged = path.read_bytes()
            if damaged.strip() not in (b"", b"{}"):
                keep(path.parent, f"{path.stem}_unreadable.json", damaged)
        text = json.dumps(change(before), indent=1, sort_keys=True)
        if len(text) >= LARGEST_JSON:
            raise WorkFileError(f"{path.name} would be larger than {LARGEST_JSON} bytes.")
        replace_files({path: f"{text}\n".encode()})


def _holds(path: Path, content: bytes) -> bool:
    try:
        return read_file(path, len(content)) == content
    except (OSError, ValueError):
        return False


def _create(path: Path, content: bytes) -> bool:
    """Write a file whole, unless there is one by then; returns whether it was written."""
    draft = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.draft")
    try:
        replace_files({draft: content})
        os.link(draft, path)
    except FileExistsError:
        return False
    except OSError:
        if not draft.exists():
            raise
        if os.path.lexists(path):
            return False
        draft.replace(path)  # a file system without links
    finally:
        draft.unlink(missing_ok=True)
    return True
