"""What a learner has done on this machine: a file beside the notebooks, and what it tells the map.

Only where the course itself lies (its glossary is there) is anything kept: not where assignments
are marked, nor in the folder of solutions; and nothing where notebooks are built. Whatever goes
wrong with the file, a learner is not stopped: a tick is missing, no more.
"""

import contextlib
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from landscape_nb.course import exercises
from landscape_nb.course.contents import notebooks
from landscape_nb.course.kept_predictions import read_predictions
from landscape_nb.course.predictions import revealing
from landscape_nb.course.work_files import change_json, read_json

PROGRESS = "my_progress.json"


def record_passed(exercise: str, folder: Path | str = ".") -> None:
    """Keep that the public check of an exercise has been passed here."""
    with contextlib.suppress(OSError, ValueError):
        folder = Path(folder).absolute()
        if revealing() or not (folder / "glossary.ipynb").exists():
            return
        if exercise not in _passed(read_json(folder / PROGRESS)):
            change_json(
                folder / PROGRESS, lambda kept: {"passed": sorted({*_passed(kept), exercise})}
            )


def done(folder: Path | str = ".") -> dict[str, str]:
    """What has been done of each notebook: "done", or "begun"; one that was not begun is left out.

    Done is a notebook whose exercises have all passed their checks; begun is one with a check
    passed or a prediction committed.
    """
    if revealing():
        return {}
    folder = Path(folder).absolute()
    passed, predicted = _passed(read_json(folder / PROGRESS)), {*read_predictions(folder)}
    states = {}
    for one in notebooks():
        mine = {name for name in passed if name.startswith(f"{one.number}.")}
        if mine >= _checked(one.number):
            states[one.number] = "done"
        elif mine or any(key.startswith(f"{one.number}.") for key in predicted):
            states[one.number] = "begun"
    return states


@cache
def _checked(number: str) -> frozenset[str]:
    """The exercises of a notebook that have a check, from the text of their file alone."""
    (path,) = Path(exercises.__file__).parent.glob(f"n{number}_*.py")
    found = re.findall(r"^def check_(\d+)\(", path.read_text("utf-8"), re.MULTILINE)
    return frozenset(f"{number}.{exercise}" for exercise in found)


def _passed(kept: Mapping[str, object]) -> set[str]:
    """The exercises that a file names; anything else in it is passed over."""
    found = kept.get("passed")
    return {one for one in found if isinstance(one, str)} if isinstance(found, list) else set()
