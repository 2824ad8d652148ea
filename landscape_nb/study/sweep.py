"""A measurement over a grid of settings, saved as it goes: a killed run loses nothing.

    rows = sweep(measure, {"seed": range(5), "k": [20, 50, 100]}, "mlp.jsonl")

calls measure(seed=..., k=...) for every combination, a *cell*, and saves what it returns at once.
The same call after an interruption measures only the cells that are missing.

The file is JSON Lines: the settings, then a line for each cell with all its rows.

    {"format": "landscape_nb sweep", "version": 1, "settings": {"cells": ["seed", "k"], ...}}
    {"rows": [{"seed": 0, "k": 20, "sigma": 0.001, "total": 1.5e-05}, {"seed": 0, "k": 20, ...}]}

`read_sweep` gives the rows back as they were. In pandas, one line of the table for each row:

    cells = pandas.read_json("mlp.jsonl", lines=True, precise_float=True)
    table = pandas.json_normalize(cells.to_dict("records"), "rows")

What JSON has no word for stands as Python and pandas read it: NaN, Infinity, -Infinity. Without
`precise_float` pandas may miss a number's last digit; with it, it refuses those below 2e-308.

Lines are appended and flushed to the disk. One without its line end is of a cell that was cut off;
it counts as not measured (pandas stops at it), and is dropped when the sweep goes on. Whatever else
is no line of a sweep is damage: the file is refused and left as it is. While a run writes,
`mlp.jsonl.lock` is locked; the operating system frees the lock when the run ends, however it ends.

Files of before, in CSV, are still read, and turned into JSON Lines, in one step and under their old
name, when the sweep goes on.

Cells run one after the other, or with `jobs` in processes, or wherever `joblib.parallel_config`
says, a Dask cluster for example: the cells are joblib's tasks, and only this process writes.
"""

import functools
import inspect
import itertools
import json
import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import joblib
from filelock import FileLock, Timeout
from tqdm import tqdm

from landscape_nb.numerics import checks
from landscape_nb.numerics.files import replace_files
from landscape_nb.study import json_lines, sweep_csv

Row = dict[str, Any]
Key = tuple[str, ...]
Measure = Callable[..., Mapping[str, Any] | Sequence[Mapping[str, Any]]]


class SweepFileError(ValueError):
    """The file is in use, foreign, damaged or of other settings. It is untouched."""


KIND = json_lines.Kind("landscape_nb sweep", 1, "sweep", "cell", SweepFileError)


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
        path: the file, created if absent.
        settings: whatever else decides the results, {name: value}. Kept in the file, with the
            name of `measure` and a partial's arguments; a file with others is refused.
        jobs: joblib's n_jobs: None is one after the other, unless `joblib.parallel_config` says
            otherwise.
        progress: show a progress bar.

    Returns:
        The rows of all cells of this grid, in its order, as `read_sweep` gives them.

    Raises:
        SweepFileError: another run is writing to the file, it was not written by `sweep`, is
            damaged, or its settings differ; the difference is shown. Nothing is changed.
        ValueError: an empty grid, or a result that has no place in the file.
        Exception: what `measure` raises, with a note that names the cell. Finished cells are saved.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name) / "squares.jsonl"
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
            done = _done(path, recorded)
            missing = [cell for cell in cells if _key(cell, cell) not in done]
            if missing:
                _make_ready(path, recorded, done)
            columns = next((list(rows[0]) for rows in done.values()), None)
            with tqdm(
                total=len(cells),
                initial=len(cells) - len(missing),
                desc=path.name,
                unit="cell",
                disable=not progress,
                leave=False,
            ) as bar:
                for cell, results in _measured(measure, missing, jobs):
                    rows = [{**cell, **_one_row(result, cell)} for result in results]
                    columns = _same_columns(rows, columns)
                    json_lines.append(path, KIND.first_line(recorded), {"rows": rows})
                    bar.update()
    except Timeout:
        raise SweepFileError(
            f"Another run is writing to {path}. Wait for it, or give this one another file."
        ) from None
    saved = _parsed(path.read_bytes(), path)[1]
    return [row for cell in cells for row in saved[_key(cell, cell)]]


def read_sweep(path: str | Path) -> list[Row]:
    """The saved rows of a sweep's file: {column: number, truth value, text or None}.

    A file that is being written can be read; a cell appears when it is complete.

    Raises:
        FileNotFoundError: no such file.
        SweepFileError: the file was not written by `sweep`, or is damaged.
    """
    cells = _parsed(Path(path).read_bytes(), Path(path))[1]
    return [row for rows in cells.values() for row in rows]


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
    if len({_key(cell, cell) for cell in cells}) < len(cells):
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


def _key(row: Row, names: Iterable[str]) -> Key:
    """A cell, such that 1, 1.0, True and "1" are different ones."""
    return tuple(json.dumps(row[name]) for name in names)


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


def _done(path: Path, recorded: Row) -> dict[Key, list[Row]]:
    """The cells that the file holds."""
    content = path.read_bytes() if path.exists() else b""
    if KIND.first_line(recorded).startswith(content):  # absent, or killed within its first line
        return {}
    found, cells = _parsed(content, path)
    if found != recorded:
        raise SweepFileError(KIND.difference(path, found, recorded))
    return cells


def _make_ready(path: Path, recorded: Row, cells: Mapping[Key, list[Row]]) -> None:
    """Drop what was cut off, so that lines can be appended; what was CSV becomes JSON Lines."""
    content = path.read_bytes() if path.exists() else b""
    if content.startswith(sweep_csv.START):
        lines = [json_lines.line({"rows": rows}) for rows in cells.values()]
        replace_files({path: KIND.first_line(recorded) + b"".join(lines)})
    else:
        json_lines.drop_torn_line(path, content)


def _parsed(content: bytes, path: Path) -> tuple[Row, dict[Key, list[Row]]]:
    """Settings, and the rows of each complete cell."""
    if content.startswith(sweep_csv.START):
        return _parsed_csv(content, path)
    first, *lines = json_lines.complete_lines(content)
    settings = KIND.settings(first, path)
    cells: dict[Key, list[Row]] = {}
    for number, line in enumerate(lines, start=2):
        try:
            rows = json.loads(line.decode())["rows"]
            (key,) = {_key(row, settings["cells"]) for row in rows}  # one cell to a line
            if key in cells:
                raise ValueError("a cell stands twice")
        except (ValueError, KeyError, TypeError, RecursionError):
            raise SweepFileError(KIND.damaged(path, number)) from None
        cells[key] = rows
    return settings, cells


def _parsed_csv(content: bytes, path: Path) -> tuple[Row, dict[Key, list[Row]]]:
    cells: dict[Key, list[Row]] = {}
    try:
        settings, rows = sweep_csv.parsed(content)
        for row in rows:
            cells.setdefault(_key(row, settings["cells"]), []).append(row)
    except (ValueError, KeyError, TypeError):
        raise SweepFileError(KIND.foreign(path)) from None
    return settings, cells


# -- values ----------------------------------------------------------------------------------------


def _one_row(result: Mapping[str, Any], cell: Row) -> Row:
    if not all(isinstance(name, str) for name in result):
        raise ValueError(f"measure must name its results by text; got {list(result)}.")
    if clash := sorted(result.keys() & cell.keys()):
        raise ValueError(f"measure returned {clash}, which are names of the grid; rename them.")
    return {name: _plain(value, name) for name, value in result.items()}


def _same_columns(rows: list[Row], columns: list[str] | None) -> list[str]:
    """The columns of all rows, in a file that has these so far."""
    columns = columns or list(rows[0])
    for row in rows:
        if list(row) != columns:
            raise ValueError(
                f"Every row must have the same columns, {columns}; got {list(row)}. Fill in what "
                "was not measured with None."
            )
    return columns


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
    return value
