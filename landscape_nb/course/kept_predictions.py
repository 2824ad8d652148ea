"""Committed predictions in a file beside the notebooks, my_predictions.json: key -> value.

A guess outlasts the kernel in which it was made, so that "Run All" after a restart asks nothing
twice. Nobody is stopped by this file: what cannot be read counts as empty, and is kept aside before
anything is written in its place.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from landscape_nb.course.work_files import alone, keep
from landscape_nb.numerics.files import replace_files

FILE = "my_predictions.json"
LARGEST = 1_000_000  # bytes, chosen here: a hundred times those of the whole course


def read_predictions(folder: Path) -> dict[str, Any]:
    """All predictions that were committed in a folder; empty where none can be read."""
    try:
        with (folder / FILE).open("rb") as file:
            found = json.loads(file.read(LARGEST + 1)[:LARGEST].decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def keep_predictions(folder: Path, new: Mapping[str, Any]) -> None:
    """Add predictions to those kept; one that is there under the same key is replaced.

    Raises:
        OSError: the file cannot be written; it is as it was.
        WorkFileError: others keep writing here.
    """
    with alone(folder):
        path, kept = folder / FILE, read_predictions(folder)
        if not kept and path.exists():
            with suppress(OSError):  # what is no file cannot be kept aside, nor be replaced
                _put_aside(path)
        text = json.dumps({**kept, **new}, indent=1, sort_keys=True, ensure_ascii=False)
        replace_files({path: (text + "\n").encode()})


def _put_aside(path: Path) -> None:
    """A damaged file under another name: a learner may still read it."""
    content = path.read_bytes()
    if content.strip() not in (b"", b"{}"):
        keep(path.parent, "my_predictions_unreadable.json", content)
