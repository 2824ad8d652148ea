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

A kill loses no line that was appended (`one_writer` says what a power failure may). A last line
that breaks off is of a cell that was cut off; it counts as not measured (pandas stops at it), and
is dropped when the sweep goes on. Whatever else is no line of a sweep is damage: the file is
refused and left as it is. While a run writes, the file is locked, whatever name leads to it.

Settings and what a functools.partial fixes are recorded by value (`identity`), so that a file is
never continued by another study. The names of a module's functions are, not what is written in
them.

Files of before, in CSV, are still read, and turned into JSON Lines, in one step and under their old
name, when the sweep goes on.

Cells run one after the other, or with `jobs` in processes, or wherever `joblib.parallel_config`
says, a Dask cluster for example: the cells are joblib's tasks, and only this process writes.
"""

import contextlib
import itertools
import json
import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from landscape_nb.numerics import checks
from landscape_nb.numerics.progress import progress_bar
from landscape_nb.study import identity, json_lines, one_writer, sweep_csv

Row = dict[str, Any]
Key = tuple[str, ...]
Measure = Callable[..., Mapping[str, Any] | Sequence[Mapping[str, Any]]]


class SweepFileError(ValueError):
    """The file is in use, foreign, damaged or of other settings. It is untouched."""


KIND = json_lines.Kind(
    "landscape_nb sweep", 1, "sweep", "cell", SweepFileError, json_lines.CUT_ROWS
)


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
        grid: name -> values (numbers, truth values or text) in a list, range or array; cells are
            all combinations, in order. More values may be added later: what the file holds
            already is kept.
        path: the file, created if absent.
        settings: whatever else decides the results, {name: value}. Kept in the file by value, with
            the name of `measure`, a partial's arguments, and the values that a method's object, a
            lambda or a function inside another carries; a file with others is refused. What
            measuring itself changes in that object, a cache or a counter, makes it no other.
        jobs: joblib's n_jobs: None is one after the other, unless `joblib.parallel_config` says
            otherwise.
        progress: show a progress bar.

    Returns:
        The rows of all cells of this grid, in its order, as `read_sweep` gives them.

    Raises:
        SweepFileError: another run is writing to the file, it was not written by `sweep`, is
            damaged, or its settings differ; the difference is shown. Nothing is changed. Or the
            file was deleted, moved or changed by another program meanwhile; where finished cells
            are is said.
        ValueError: a grid, name or setting that has no place in the file, before anything is
            measured; or such a result, with the name of its cell. Finished cells are saved.
        OSError: a full disk, for example. Finished cells are saved, and the sweep can go on.
        Exception: what `measure` raises, with a note that names the cell. Finished cells are saved.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name) / "squares.jsonl"
    >>> rows = sweep(lambda k: {"square": k**2}, {"k": [2, 3]}, path, progress=False)
    >>> rows
    [{'k': 2, 'square': 4}, {'k': 3, 'square': 9}]
    """
    cells = _cells(grid)
    path, real = Path(path), Path(os.path.realpath(path))
    recorded = identity.as_begun(identity.study(measure, list(grid), settings), measure, real)
    with (
        contextlib.ExitStack() as stack,
        one_writer.LockedFile(path, SweepFileError, KIND.noun) as file,
    ):
        found = _opened(file.content, path, KIND.first_line(recorded))
        if found.settings is not None and not identity.same(found.settings, recorded):
            raise SweepFileError(KIND.difference(path, found.settings, recorded))
        done = found.cells
        missing = [cell for cell in cells if _key(cell, cell) not in done]
        if missing:
            _make_ready(file, recorded, found)
            stack.callback(_note_changes, recorded, measure, real)
        columns = next((list(rows[0]) for rows in done.values()), None)
        with progress_bar(
            total=len(cells),
            initial=len(cells) - len(missing),
            desc=path.name,
            unit="cell",
            disable=not progress,
        ) as bar:
            for cell, results in _measured(measure, missing, jobs):
                rows = _rows(results, cell, columns)
                columns = list(rows[0])
                line = json_lines.line({"rows": rows})
                file.append(line)
                # as `read_sweep` would give them
                done[_key(cell, cell)] = json.loads(line)["rows"]
                bar.update()
    return [row for cell in cells for row in done[_key(cell, cell)]]


def read_sweep(path: str | Path) -> list[Row]:
    """The saved rows of a sweep's file: {column: number, truth value, text or None}.

    A file that is being written can be read; a cell appears when it is complete.

    Raises:
        FileNotFoundError: no such file.
        SweepFileError: the file was not written by `sweep`, or is damaged. An empty one, or the
            beginning of a first line, which a run may just write, holds no rows.
    """
    path = Path(path)
    cells = _parsed(one_writer.whole(path, SweepFileError), path)[1]
    return [row for rows in cells.values() for row in rows]


# -- cells -----------------------------------------------------------------------------------------


def _cells(grid: Any) -> list[Row]:
    if not isinstance(grid, Mapping):
        raise ValueError(
            "grid must be a dictionary, {name: values}, for example {'seed': range(3)}; got "
            f"{checks.shown(grid)}."
        )
    values = {_name(name, "grid"): _axis(name, column) for name, column in grid.items()}
    for name in identity.RESERVED:
        if name in values:
            raise ValueError(f"grid has {name!r}, a name which the file uses itself; rename it.")
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


def _axis(name: str, column: Any) -> list[Any]:
    """The values of one name, in an order that another run finds again."""
    kind = type(column).__name__
    if isinstance(column, str | bytes | Mapping | set | frozenset | Iterator):
        why = {"str": "one text", "bytes": "bytes"}.get(kind, f"a {kind}")
        raise ValueError(
            f"grid[{name!r}] must be a list of values, in an order that stays; got {why}, "
            f"{checks.shown(column)}. Write [value, ...]."
        )
    try:
        items = list(column)
    except TypeError:
        raise ValueError(
            f"grid[{name!r}] must be a list of values; got {checks.shown(column)} of type {kind}. "
            "Write [value] for a single one."
        ) from None
    values = [_plain(value, name) for value in items]
    for value in values:
        if type(value) not in (type(None), bool, int, float, str):
            raise ValueError(
                f"{name} must be a plain number, truth value or text; got {checks.shown(value)} of "
                f"type {type(value).__name__}, which may not come back from a file as it was."
            )
    return values


def _name(name: Any, where: str) -> str:
    """A name that a table, a call and a message can hold."""
    if type(name) is not str:
        raise ValueError(f"{where} must name its values by text; got {checks.shown(name)}.")
    if not name or not name.isprintable() or name != name.strip() or name[0] == "#":
        raise ValueError(
            f"{where} has the name {name!r}; a name is text in one line, not empty, without blanks "
            "around it, and does not begin with #."
        )
    return name


def _measured(measure: Measure, cells: list[Row], jobs: int | None) -> Iterator[tuple[Row, Any]]:
    """Each cell with its results, in the order in which they are ready."""
    here = os.getpid()
    tasks = (joblib.delayed(_measure_one)(measure, cell, here) for cell in cells)
    yield from joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")(tasks)


def _measure_one(measure: Measure, cell: Row, home: int) -> tuple[Row, Sequence[Mapping[str, Any]]]:
    try:
        results: Any = measure(**cell)
    except BaseException as error:
        note = f"This happened in the cell {cell}. Finished cells are saved."
        error.add_note(note)
        if os.getpid() != home and not _travels(error):
            # else all that arrives from another process is that it broke
            told = RuntimeError(f"{type(error).__name__}: {checks.first_line(error)}")
            told.add_note(note)
            raise told from None
        raise
    got = results
    if not isinstance(got, Iterable):
        got = f"{checks.shown(got)}, which is not iterable,"
    else:
        results = [results] if isinstance(results, Mapping) else list(results)
        if results and all(isinstance(row, Mapping) and row for row in results):
            return cell, results
        got = checks.shown(results)
    raise ValueError(
        "measure must return a row of results, {name: value}, or a list of rows, for every "
        f"cell; got {got} in the cell {cell}. Finished cells are saved."
    )


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


@dataclass(frozen=True)
class _File:
    """A file taken apart: what it holds, and where it goes on."""

    settings: Row | None
    cells: dict[Key, list[Row]]
    end: int = 0
    lead: bytes = b""
    csv: bool = False


def _note_changes(recorded: Row, measure: Measure, path: Path) -> None:
    with contextlib.suppress(ValueError):  # it came to hold what can't be recorded
        identity.changed(recorded, identity.study(measure, recorded["cells"], {}), measure, path)


def _make_ready(file: one_writer.LockedFile, recorded: Row, found: _File) -> None:
    """See that lines can be appended; what was CSV becomes JSON Lines."""
    if found.csv:
        lines = [json_lines.line({"rows": rows}) for rows in found.cells.values()]
        file.replace(KIND.first_line(recorded) + b"".join(lines))
    else:
        file.prepare(found.end, found.lead)


def _opened(content: bytes, path: Path, first: bytes = b"") -> _File:
    """Settings, and the rows of each complete cell."""
    if content.startswith(sweep_csv.START):
        return _opened_csv(content, path)
    found = KIND.opened(content, path, first)
    settings, names = found.settings or {}, (found.settings or {}).get("cells")
    if found.settings is not None and not isinstance(names, list):
        raise SweepFileError(KIND.foreign(path))
    cells: dict[Key, list[Row]] = {}
    for number, line in enumerate(found.lines, start=2):
        try:
            rows = json.loads(line.decode())["rows"]
            (key,) = {_key(row, settings["cells"]) for row in rows}  # one cell to a line
            if key in cells:
                raise ValueError("a cell stands twice")
        except (ValueError, KeyError, TypeError, RecursionError):
            raise SweepFileError(KIND.damaged(path, number, line)) from None
        cells[key] = rows
    return _File(found.settings, cells, found.end, found.lead)


def _parsed(content: bytes, path: Path) -> tuple[Row, dict[Key, list[Row]]]:
    """Settings, and the rows of each complete cell, for who only reads."""
    found = _opened(content, path)
    return found.settings or {}, found.cells


def _opened_csv(content: bytes, path: Path) -> _File:
    cells: dict[Key, list[Row]] = {}
    try:
        settings, rows = sweep_csv.parsed(content)
        for row in rows:
            cells.setdefault(_key(row, settings["cells"]), []).append(row)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise SweepFileError(KIND.foreign(path)) from None
    return _File(settings, cells, csv=True)


# -- values ----------------------------------------------------------------------------------------


def _rows(results: Sequence[Mapping[str, Any]], cell: Row, columns: list[str] | None) -> list[Row]:
    """The rows of a cell, in a file that has these columns so far."""
    try:
        rows = [{**cell, **_one_row(result, cell)} for result in results]
        columns = columns or list(rows[0])
        for row in rows:
            if row.keys() != set(columns):
                raise ValueError(
                    f"Every row must have the same columns, {columns}; got {list(row)}. Fill in "
                    "what was not measured with None."
                )
        return [{name: row[name] for name in columns} for row in rows]
    except ValueError as error:
        error.add_note(f"This happened in the cell {cell}. Finished cells are saved.")
        raise


def _one_row(result: Mapping[str, Any], cell: Row) -> Row:
    if not all(isinstance(name, str) for name in result):
        raise ValueError(f"measure must name its results by text; got {list(result)}.")
    if clash := sorted(result.keys() & cell.keys()):
        raise ValueError(f"measure returned {clash}, which are names of the grid; rename them.")
    return {_name(str(name), "measure"): _exact(_plain(v, name)) for name, v in result.items()}


def _plain(value: Any, name: str) -> Any:
    """A number, truth value, text or None; tensors and arrays of one element become numbers."""
    kind = type(value).__name__
    if isinstance(value, np.datetime64 | np.timedelta64):
        value = object()  # .item() would make a bare number of some of them
    elif hasattr(value, "item"):
        try:
            value = value.item()
        except (ValueError, RuntimeError, TypeError):
            pass  # more than one element: refused below
    if value is not None and not isinstance(value, bool | int | float | str):
        raise ValueError(
            f"{name} must be a number, a truth value, text or None; got {kind}. "
            "Return several rows for several numbers."
        )
    if isinstance(value, int) and value.bit_length() > identity.MOST_BITS:
        raise ValueError(
            f"{name} is a whole number of {value.bit_length()} bits, which Python does not read "
            "back from a file. Save its logarithm, or the number as text in hexadecimal."
        )
    return value


def _exact(value: Any) -> Any:
    """The bare value of a subclass, whatever it prints as."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    return int.__pos__(value) if isinstance(value, int) else float.__pos__(value)
