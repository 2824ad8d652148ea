"""What a stored study is: a measurement over seeds, its table, and the figures drawn from it.

Each module of this folder but this one defines `STUDY`, and its table lies beside it under the
same name. A verdict names figures as "decay.slope": study, then figure.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from landscape_nb.study.sweep import Measure, Row, read_sweep, sweep
from landscape_nb.theory.intervals import Measured

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Study:
    """A question that was put to several seeds.

    Attributes:
        question: in one sentence.
        measure: measure(seed=..., **cell) returns one row or several; see `sweep`.
        summary: from all rows to named figures, each with its interval.
        seeds: of the stored table, 0..seeds-1; or how many units of another kind.
        grid: further axes of the sweep, name -> values.
        minutes: what the table took on one core.
        unit: what one case of the table is, and the name of its axis. "seed" unless the cases are
            not ours to draw, as the spectra that an author published.
    """

    question: str
    measure: Measure
    summary: Callable[[list[Row]], dict[str, Measured]]
    seeds: int = 10
    grid: Mapping[str, Sequence] = field(default_factory=dict)
    minutes: float = 0.0
    unit: str = "seed"

    def run(self, path: str | Path, *, seeds: int | None = None, **options: Any) -> list[Row]:
        """Measure what the file at `path` does not hold yet; `options` are those of `sweep`."""
        axes = {**self.grid, self.unit: range(self.seeds if seeds is None else seeds)}
        return sweep(self.measure, axes, path, **options)


def studies() -> list[str]:
    """The names of all stored studies.

    >>> all(table_path(name).exists() for name in studies())
    True
    """
    return sorted(path.stem for path in FOLDER.glob("*.jsonl"))


def table_path(name: str) -> Path:
    """Where the table of a study lies."""
    return FOLDER / f"{name}.jsonl"


def study(name: str) -> Study:
    """The study of that name.

    Raises:
        ValueError: there is none.
    """
    module = f"{__package__}.{name}"
    if not re.fullmatch(r"[a-z]\w*", name) or name == "stored" or not find_spec(module):
        raise ValueError(f"There is no study {name!r}; there are {', '.join(studies())}.")
    return import_module(module).STUDY


def rows(name: str) -> list[Row]:
    """The stored rows of a study, as `read_sweep` gives them."""
    study(name)
    return read_sweep(table_path(name))


def figures(name: str) -> dict[str, Measured]:
    """What the stored rows of a study show: figure -> value with its interval."""
    return study(name).summary(rows(name))


def measured_once(name: str) -> dict[str, Any] | None:
    """What was measured once on a machine that few have, and said by its own file; or None.

    >>> measured_once("never") is None
    True
    """
    path = FOLDER / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
