"""Committed predictions in a file beside the notebooks, my_predictions.json: key -> value.

A guess outlasts the kernel in which it was made, so that "Run All" after a restart asks nothing
twice. Nobody is stopped by this file: what cannot be read counts as empty.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from landscape_nb.course.work_files import change_json, read_json

FILE = "my_predictions.json"


def read_predictions(folder: Path) -> dict[str, Any]:
    """All predictions that were committed in a folder; empty where none can be read."""
    return read_json(folder / FILE)


def keep_predictions(folder: Path, new: Mapping[str, Any]) -> None:
    """Add predictions to those kept; one that is there under the same key is replaced.

    Raises:
        OSError: the file cannot be written; it is as it was.
        WorkFileError: others keep writing here, or the file would be too large.
    """
    change_json(folder / FILE, lambda kept: {**kept, **new})
