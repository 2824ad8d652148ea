"""A measurement over a grid of settings, saved as it goes: a killed run loses nothing.

    rows = sweep(measure, {"seed": range(5), "k": [20, 50, 100]}, "mlp.csv")

calls measure(seed=..., k=...) for every combination, a *cell*, and saves what it returns at once.
The same call after an interruption measures only the cells that are missing.

The file is CSV that every program reads; with pandas, `pandas.read_csv("mlp.csv", comment="#")`.
Its first line holds the settings, and a line `# saved` follows each cell's rows:

    # settings {"cells": ["seed", "k"], "measure": "my_module.measure"}
    seed,k,sigma,total
    0,20,0.001,1.5e-05
    0,20,0.01,1.6e-05
    # saved

Rows are appended and flushed to the disk; rows without `# saved` below them are of a cell that was
cut off, and are dropped at the next start. While a run writes, `mlp.csv.lock` is locked; the
operating system frees the lock when the run ends, however it ends.

Cells run one after the other, or with `jobs` in processes, or wherever `joblib.parallel_config`
says, a Dask cluster for example: the cells are joblib's tasks, and only this process writes.
"""

import csv
import functools
import inspect
import io
import itertools
import json
import os
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import joblib
from filelock import FileLock, Timeout
from tqdm import tqdm

from landscape_nb.numerics import checks

Row = dict[str, Any]
Measure = Callable[..., Mapping[str, Any] | Sequence[Mapping[str, Any]]]

_SETTINGS, _SAVED = "# settings ", "# saved\n"


class SweepFileError(ValueError):
    """The file can't be continued: it is in use, foreign, or of other settings. It is untouched."""


def sweep(
    measure: Measure,
    grid: Mapping[str, Sequence],
    path: str | Path,
    *,
    settings: Mapping[str, Any] | None = None,
    jobs: int | None = None,
    progress: bool = True,
) -> list[Row]:
    """Measure every cell of a grid that the file does not hold yet, and save each at once.

    Args:
        measure: measure(**cell) returns one row of results, {name: number, truth value or text},
            or several. It must depend on its arguments only. With `jobs` it must be picklable: a
            function of a module, or a functools.partial of one.
        grid: name -> values (numbers, truth values or text); cells are all combinations, in
            order. More values may be added later: what the file holds already is kept.
        path: the CSV file, created if absent.
        settings: whatever else decides the results, {name: value}. Kept in the file, with the
            name of `measure` and a partial's arguments; a file with others is refused.
        jobs: joblib's n_jobs: None is one after the other, unless `joblib.parallel_config` says
            otherwise.
        progress: show a progress bar.

    Returns:
        The rows of all cells of this grid, in its order, as `read_sweep` gives them.

    Raises:
        SweepFileError: another run is writing to the file, it was not written by `sweep`, or its
            settings differ; the difference is shown. Nothing is changed.
        ValueError: an empty grid, or a result that has no place in the file.
        Exception: what `measure` raises, with a note that names the cell. Finished cells are saved.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name) / "squares.csv"
    >>> rows = sweep(lambda k: {"square": k**2}, {"k": [2, 3]}, path, progress=False)
    >>> rows
    [{'k': 2, 'square': 4}, {'k': 3, 'square': 9}]
    """
    cells = _cells(grid)
    recorded = _recorded(measure, list(grid), settings)
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {str(path.parent)!r} for {path.name}.")
    try:
        with FileLock(f"{path}.lock", timeout=0):
            done = _restore(path, recorded)
            missing = [cell for cell in cells if _key(cell) not in done]
            with tqdm(
                total=len(cells),
                initial=len(cells) - len(missing),
                desc=path.name,
                unit="cell",
                disable=not progress,
                leave=False,
            ) as bar:
                for cell, results in _measured(measure, missing, jobs):
                    _append(path, recorded, [{**cell, **_one_row(r, cell)} for r in results])
                    bar.update()
    except Timeout:
        raise SweepFileError(
            f"Another run is writing to {path}. Wait for it, or give this one another file."
        ) from None
    saved = _by_cell(read_sweep(path), list(grid))
    return [row for cell in cells for row in saved[_key(cell)]]


def read_sweep(path: str | Path) -> list[Row]:
    """The saved rows of a sweep's file: {column: number, truth value, text or None}.

    A file that is being written can be read; a cell appears when it is complete.

    Raises:
        FileNotFoundError: no such file.
        SweepFileError: the file was not written by `sweep`.
    """
    text = Path(path).read_text(encoding="utf-8")
    if not text.startswith(_SETTINGS):
        raise SweepFileError(_foreign(Path(path)))
    return _parsed(text, Path(path))[1]


# -- cells -----------------------------------------------------------------------------------------


def _cells(grid: Mapping[str, Sequence]) -> list[Row]:
    values = {name: [_plain(value, name) for value in column] for name, column in grid.items()}
    if not values or not all(values.values()):
        raise ValueError(
            "grid must give at least one value for each name, for example {'seed': range(3)}; got "
            f"{ {name: len(column) for name, column in values.items()} }."
        )
    cells = [
        dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values())
    ]
    if len({_key(cell) for cell in cells}) < len(cells):
        raise ValueError("grid repeats a value; each combination is measured once.")
    return cells


def _measured(measure: Measure, cells: list[Row], jobs: int | None) -> Iterator[tuple[Row, Any]]:
    """Each cell with its results, in the order in which they are ready."""
    here = os.getpid()
    tasks = (joblib.delayed(_measure_one)(measure, cell, here) for cell in cells)
    yield from joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")(tasks)


def _measure_one(measure: Measure, cell: Row, home: int) -> tuple[Row, Sequence[Mapping[str, Any]]]:
    try:
        results = measure(**cell)
    except BaseException as error:
        note = f"This happened in the cell {cell}. Finished cells are saved."
        error.add_note(note)
        if os.getpid() != home and not _travels(error):
            # else all that arrives from another process is that it broke
            told = RuntimeError(f"{type(error).__name__}: {checks.first_line(error)}")
            told.add_note(note)
            raise told from None
        raise
    results = [results] if isinstance(results, Mapping) else list(results)
    if not results or not all(isinstance(row, Mapping) and row for row in results):
        raise ValueError(
            "measure must return a row of results, {name: value}, or a list of rows, for every "
            f"cell; got {results!r} in the cell {cell}."
        )
    return cell, results


def _travels(error: BaseException) -> bool:
    """Whether another process gets the error as it is."""
    try:
        return type(pickle.loads(pickle.dumps(error))) is type(error)
    except Exception:
        return False


def _key(cell: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(_text(value) for value in cell.values())


def _by_cell(rows: list[Row], names: list[str]) -> dict[tuple[str, ...], list[Row]]:
    cells: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        cells.setdefault(_key({name: row[name] for name in names}), []).append(row)
    return cells


# -- the file --------------------------------------------------------------------------------------


def _recorded(measure: Measure, names: list[str], settings: Mapping[str, Any] | None) -> Row:
    """What decides the results besides the cell, as JSON would give it back."""
    function, arguments = _taken_apart(measure)
    whole = {"cells": names, "measure": function, **arguments, **(settings or {})}
    return json.loads(json.dumps(whole, default=_described, sort_keys=True))


def _taken_apart(function: Any) -> tuple[str, Row]:
    """A function's full name, and the arguments that partials have fixed."""
    fixed: Row = {}
    while isinstance(function, functools.partial):
        names = list(inspect.signature(function.func).parameters)
        fixed = {**dict(zip(names, function.args, strict=False)), **function.keywords, **fixed}
        function = function.func
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}", fixed


def _described(value: Any) -> Any:
    """Settings that JSON does not know: numbers and lists of any kind, else a name."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, range | set | frozenset):
        return sorted(value)
    function, fixed = _taken_apart(value)
    return [function, fixed] if fixed else function


def _restore(path: Path, recorded: Row) -> set[tuple[str, ...]]:
    """The keys of the cells that the file holds, after what was cut off is dropped."""
    if not path.exists():
        return set()
    text = path.read_bytes().decode("utf-8", errors="replace")
    if not text.startswith(_SETTINGS) and not _SETTINGS.startswith(text):
        raise SweepFileError(_foreign(path))
    if "\n" not in text:  # killed within its first line
        path.unlink()
        return set()
    found, rows = _parsed(text, path)
    if found != recorded:
        raise SweepFileError(_difference(path, found, recorded))
    end = text.rfind(_SAVED)
    keep = _first_line(recorded) if end < 0 else text[: end + len(_SAVED)]
    if len(keep.encode()) < path.stat().st_size:
        with path.open("r+b") as file:
            file.truncate(len(keep.encode()))
            os.fsync(file.fileno())
    return set(_by_cell(rows, recorded["cells"]))


def _append(path: Path, recorded: Row, rows: list[Row]) -> None:
    """One cell's rows and the line that says they are complete, on the disk when this returns."""
    columns, block = _columns(path), io.StringIO()
    if not path.exists():
        block.write(_first_line(recorded))
    writer = csv.writer(block, lineterminator="\n")
    if columns is None:
        columns = list(rows[0])
        writer.writerow(columns)
    for row in rows:
        if list(row) != columns:
            raise ValueError(
                f"Every row must have the same columns, {columns}; got {list(row)}. Fill in what "
                "was not measured with None."
            )
        writer.writerow(_text(value) for value in row.values())
    block.write(_SAVED)
    with path.open("ab") as file:
        file.write(block.getvalue().encode())
        file.flush()
        os.fsync(file.fileno())


def _columns(path: Path) -> list[str] | None:
    """The file's second line, if it is there."""
    if not path.exists():
        return None
    with path.open(encoding="utf-8") as file:
        file.readline()
        header = file.readline()
    return next(csv.reader([header])) if header else None


def _first_line(recorded: Row) -> str:
    return _SETTINGS + json.dumps(recorded, sort_keys=True) + "\n"


def _parsed(text: str, path: Path) -> tuple[Row, list[Row]]:
    """Settings and complete rows."""
    first, _, rest = text.partition("\n")
    try:
        settings = json.loads(first.removeprefix(_SETTINGS))
    except json.JSONDecodeError:
        raise SweepFileError(_foreign(path)) from None
    complete = rest[: rest.rfind(_SAVED) + 1].split("\n")
    table = csv.DictReader(line for line in complete if line and not line.startswith("#"))
    return settings, [{name: _value(cell) for name, cell in row.items()} for row in table]


def _difference(path: Path, found: Row, wanted: Row) -> str:
    lines = [
        f"  {name}: {found.get(name, 'absent')!r} in the file, {wanted.get(name, 'absent')!r} now"
        for name in sorted(found.keys() | wanted.keys())
        if found.get(name) != wanted.get(name)
    ]
    return "\n".join(
        [f"{path} was written with other settings:", *lines, "Give this sweep another file."]
    )


def _foreign(path: Path) -> str:
    return f"{path} was not written by a sweep: its first line is not '{_SETTINGS}...'."


# -- values ----------------------------------------------------------------------------------------


def _one_row(result: Mapping[str, Any], cell: Row) -> Row:
    if clash := sorted(result.keys() & cell.keys()):
        raise ValueError(f"measure returned {clash}, which are names of the grid; rename them.")
    return {name: _plain(value, name) for name, value in result.items()}


def _plain(value: Any, name: str) -> Any:
    """A number, truth value, text or None; tensors and arrays of one element become numbers."""
    if hasattr(value, "item"):
        try:
            value = value.item()
        except (ValueError, RuntimeError):
            pass  # more than one element: refused below
    if value is not None and not isinstance(value, bool | int | float | str):
        raise ValueError(
            f"{name} must be a number, a truth value, text or None; got {type(value).__name__}. "
            "Return several rows for several numbers."
        )
    if isinstance(value, str) and (_value(value) != value or set(value) & set('#"\n\r')):
        raise ValueError(
            f"{name} = {value!r} would not be read back as it is: text must not look like a number "
            "and must hold no '#', quotation mark or line end."
        )
    return value


def _text(value: Any) -> str:
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)


def _value(text: str) -> Any:
    """What `_text` wrote."""
    if text in ("True", "False", ""):
        return {"True": True, "False": False, "": None}[text]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            pass
    return text
