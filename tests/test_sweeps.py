"""Sweeps survive what happens to long runs: kill -9, a second start, other settings, errors.

Files are read by another route too: line by line with `json`, by pandas, and old ones are written
here with `csv`.
"""

import csv
import functools
import io
import json
import multiprocessing
import os
import random
import signal
import struct
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import joblib
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sweep_cells import EXPECTED, GRID, fails_at_40, measure

from landscape_nb import SweepFileError, read_sweep, sweep
from landscape_nb.study import json_lines
from landscape_nb.study import sweep as sweep_module


def complete_cells(path):
    return [(row["seed"], row["k"]) for row in read_sweep(path)[::3]] if path.exists() else []


def test_a_sweep_gives_every_cell_in_order_and_saves_it(tmp_path):
    path = tmp_path / "a.jsonl"
    assert sweep(measure, GRID, path, progress=False) == EXPECTED
    assert read_sweep(path) == EXPECTED


def test_the_format_is_the_documented_one(tmp_path):
    path = tmp_path / "a.jsonl"
    sweep(measure, GRID, path, settings={"note": "a, b"}, progress=False)
    content = path.read_text(encoding="ascii")
    first, *cells = map(json.loads, content.splitlines())
    whole = {"cells": ["seed", "k"], "measure": "sweep_cells.measure", "note": "a, b"}
    assert first == {"format": "landscape_nb sweep", "version": 1, "settings": whole}
    assert cells == [{"rows": EXPECTED[n : n + 3]} for n in range(0, 45, 3)]
    assert content.endswith("\n") and content.count("\n") == 16


def in_pandas(path):
    """The two lines of the documentation, word for word but for the file's name."""
    pandas = pytest.importorskip("pandas")
    lines = [line.strip() for line in sweep_module.__doc__.splitlines() if "pandas." in line]
    assert [line.split(" = ")[0] for line in lines] == ["cells", "table"]
    names = {"pandas": pandas}
    exec("\n".join(lines).replace('"mlp.jsonl"', repr(str(path))), names)
    return names["table"]


def test_pandas_reads_it(tmp_path):
    sweep(measure, GRID, tmp_path / "a.jsonl", settings={"note": "a, b"}, progress=False)
    table = in_pandas(tmp_path / "a.jsonl")
    assert table.to_dict("records") == EXPECTED
    assert dict(table.dtypes.astype(str)) == {
        "seed": "int64", "k": "int64", "sigma": "float64", "total": "float64", "small": "bool",
    }  # fmt: skip


def test_pandas_reads_numbers_that_are_none(tmp_path):
    odd = [1 / 3, float("nan"), float("inf"), -float("inf"), None]
    sweep(odd_row, {"k": list(range(5))}, tmp_path / "a.jsonl", progress=False)
    table = in_pandas(tmp_path / "a.jsonl")
    assert list(table["k"]) == list(range(5)) and table["x"].dtype == "float64"
    read = [None if x != x else x for x in table["x"]]
    assert read == [odd[0], None, odd[2], odd[3], None]
    assert list(table["text"]) == ["NaN"] * 5  # text stays text


def odd_row(k):
    odd = [1 / 3, float("nan"), float("inf"), -float("inf"), None]
    return {"x": odd[k], "text": "NaN"}


def test_each_cell_is_on_the_disk_before_the_next_one_is_measured(tmp_path, monkeypatch):
    path, forced = tmp_path / "a.jsonl", [0]
    monkeypatch.setattr(os, "fsync", lambda _: forced.append(path.stat().st_size))

    def watched(k):
        assert len(forced) == k and forced[-1] == (path.stat().st_size if k > 1 else 0)
        return {"x": k}

    sweep(watched, {"k": [1, 2, 3]}, path, progress=False)
    assert len(forced) == 4 and forced[-1] == path.stat().st_size


def test_a_second_start_measures_nothing_and_a_larger_grid_only_what_is_new(tmp_path):
    log, path = tmp_path / "log", tmp_path / "a.jsonl"
    logged = functools.partial(measure, log=log)
    few = {**GRID, "seed": [1]}
    assert len(sweep(logged, few, path, progress=False)) == 15
    assert sweep(logged, GRID, path, progress=False) == EXPECTED
    assert sweep(logged, GRID, path, progress=False) == EXPECTED
    assert len(sweep(logged, few, path, progress=False)) == 15  # the rest stays in the file
    assert len(log.read_text().split()) == 15 and read_sweep(path) != EXPECTED
    assert sorted(map(str, read_sweep(path))) == sorted(map(str, EXPECTED))


def killed_run(path, log, seconds):
    """Start the sweep in a process of its own and kill it after so many seconds."""
    logged = functools.partial(measure, log=log, seconds=0.004)
    run = multiprocessing.get_context("fork").Process(
        target=sweep, args=(logged, GRID, path), kwargs={"progress": False}
    )
    run.start()
    run.join(seconds)
    ended = run.exitcode is not None
    if not ended:
        os.kill(run.pid, signal.SIGKILL)
    run.join()
    assert run.exitcode in (0, -signal.SIGKILL)
    return ended


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fifty_kills_lose_nothing_and_repeat_nothing(tmp_path):
    dice, kills, sweeps = random.Random(0), 0, 0
    while kills < 50:
        path, log = tmp_path / f"{sweeps}.jsonl", tmp_path / f"{sweeps}.log"
        saved = []
        while True:
            before = log.read_text().split() if log.exists() else []
            ended = killed_run(path, log, dice.uniform(0.01, 0.08))
            measured = (log.read_text().split() if log.exists() else [])[len(before) :]
            now = complete_cells(path)
            assert now[: len(saved)] == saved, "a saved cell was lost"
            assert not {f"{s},{k}" for s, k in saved} & set(measured), "a saved cell came again"
            saved = now
            if ended:
                break
            kills += 1
        assert len(set(saved)) == len(saved) == 15, "a cell stands twice"
        assert sweep(functools.partial(measure, log=log, seconds=0.004), GRID, path,
                     progress=False) == EXPECTED  # fmt: skip
        sweeps += 1
    assert sweeps < 50  # some sweeps were killed more than once


def cut_at(path, cut):
    """Cut the file, continue it, and see that it holds what was asked for and nothing twice."""
    path.write_bytes(path.read_bytes()[:cut])
    assert sweep(measure, GRID, path, progress=False) == EXPECTED
    assert sorted(map(str, read_sweep(path))) == sorted(map(str, EXPECTED))


@pytest.mark.parametrize("cut", range(0, 760, 11))
def test_a_file_cut_anywhere_is_continued(tmp_path, cut):
    """Not only kills: a full disk or a lost connection may cut the file at any byte."""
    path = tmp_path / "a.jsonl"
    sweep(measure, {"seed": [0], "k": [10, 20, 40]}, path, progress=False)
    assert path.stat().st_size > 730
    cut_at(path, cut)
    assert len(path.read_bytes().splitlines()) == 16


@pytest.mark.parametrize("line", range(4))
@pytest.mark.parametrize("beside", [-1, 0, 1])
def test_a_file_cut_beside_a_line_end_is_continued(tmp_path, line, beside):
    path = tmp_path / "a.jsonl"
    sweep(measure, {"seed": [0], "k": [10, 20, 40]}, path, progress=False)
    lines = path.read_bytes().splitlines(keepends=True)
    cut = sum(map(len, lines[: line + 1])) + beside
    before = path.read_bytes()[:cut]
    complete = line + 1  # a line without its end is complete too
    path.write_bytes(before)
    # a reader sees the complete cells, and leaves the file alone
    assert read_sweep(path) == EXPECTED[: 3 * (complete - 1)]
    assert path.read_bytes() == before
    cut_at(path, cut)
    assert path.read_bytes().startswith(b"".join(lines[:complete]))


@pytest.mark.parametrize("cut, lost", [(1, []), (2, ["2,160"])])
def test_a_cell_cut_off_is_measured_again_and_only_it(tmp_path, cut, lost):
    """A line without its end holds a whole cell, and none is lost."""
    path, log = tmp_path / "a.jsonl", tmp_path / "log"
    logged = functools.partial(measure, log=log)
    sweep(logged, GRID, path, progress=False)
    path.write_bytes(path.read_bytes()[:-cut])
    log.unlink()
    assert len(read_sweep(path)) == 45 - 3 * len(lost)
    assert sweep(logged, GRID, path, progress=False) == EXPECTED
    assert (log.read_text().split() if log.exists() else []) == lost


def test_a_sweep_with_nothing_left_to_measure_does_not_touch_the_file(tmp_path):
    path = tmp_path / "a.jsonl"
    sweep(measure, GRID, path, progress=False)
    with path.open("ab") as file:
        file.write(b'{"rows": [{"se')
    before = path.read_bytes()
    assert sweep(measure, GRID, path, progress=False) == EXPECTED
    assert path.read_bytes() == before


def test_windows_line_ends_are_taken(tmp_path):
    path, log = tmp_path / "a.jsonl", tmp_path / "log"
    logged = functools.partial(measure, log=log)
    sweep(logged, {**GRID, "seed": [0]}, path, progress=False)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    log.unlink()
    assert read_sweep(path) == EXPECTED[:15]
    assert sweep(logged, GRID, path, progress=False) == EXPECTED == read_sweep(path)
    assert len(log.read_text().split()) == 10
    assert in_pandas(path).to_dict("records") == EXPECTED


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_two_runs_into_one_file_are_refused(tmp_path):
    path, log = tmp_path / "a.jsonl", tmp_path / "log"
    first = multiprocessing.get_context("fork").Process(
        target=sweep,
        args=(functools.partial(measure, log=log, seconds=0.3), GRID, path),
        kwargs={"progress": False},
    )
    first.start()
    while not log.exists() and first.is_alive():
        time.sleep(0.01)
    before = path.read_bytes() if path.exists() else b""
    with pytest.raises(SweepFileError, match="Another run is writing"):
        sweep(functools.partial(measure, log=log, seconds=0.3), GRID, path, progress=False)
    assert path.read_bytes().startswith(before)
    assert read_sweep(path) == EXPECTED[: len(read_sweep(path))]  # read while it is written
    os.kill(first.pid, signal.SIGKILL)
    first.join()
    same = functools.partial(measure, log=log, seconds=0.3)
    assert (
        len(sweep(same, {**GRID, "seed": [0]}, path, progress=False)) == 15
    )  # and the lock is free


def test_other_settings_are_refused_with_the_difference(tmp_path):
    path = tmp_path / "a.jsonl"
    sweep(functools.partial(measure, seconds=0), GRID, path, settings={"lr": 0.1}, progress=False)
    before = path.read_bytes()
    with pytest.raises(SweepFileError) as refusal:
        other = functools.partial(measure, seconds=1e-9)
        sweep(other, GRID, path, settings={"l2": 1}, progress=False)
    for sentence in (
        "seconds: 0 in the file, 1e-09 now",
        "lr: 0.1 in the file, 'absent' now",
        "l2: 'absent' in the file, 1 now",
        "Give this sweep another file",
    ):
        assert sentence in str(refusal.value)
    with pytest.raises(SweepFileError, match=r"cells: \['seed', 'k'\] in the file, \['k'"):
        sweep(measure, {"k": [1], "seed": [2]}, path, progress=False)
    assert path.read_bytes() == before


FIRST = {
    "format": "landscape_nb sweep",
    "version": 1,
    "settings": {"cells": ["seed", "k"], "measure": "sweep_cells.measure"},
}
CELL = {"rows": EXPECTED[:3]}


def refused_untouched(path, content, sentence):
    path.write_bytes(content)
    for use in (lambda: sweep(measure, GRID, path, progress=False), lambda: read_sweep(path)):
        with pytest.raises(SweepFileError, match=sentence) as refusal:
            use()
        assert str(refusal.value).startswith(str(path))
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "content",
    [
        "a,b\n1,2\n",
        "# settings {oops\n",
        "# settings 3\nseed,k\n1,2\n# saved\n",
        "# settings 3\n",
        '# settings {"cells": ["seed", "k"]}\nseed,k,x\n1,2\n# saved\n',
        '# settings {"cells": ["seed", "k"]}\nseed,x\n1,2\n# saved\n',
        "# settings {}\nseed,x\n1,2\n# saved\n",
        "\x00\x01binary",
        "\x00\x01binary\n",
        "\n",
        "   ",
        "[]\n",
        "3\n",
        "[" * 100_000 + "\n",
        '{"a": 1}',
        '{"a": 1}\n{"a": 2}\n',
        '"format"\n',
        json.dumps(FIRST | {"format": "another"}) + "\n",
        json.dumps(FIRST | {"settings": 3}) + "\n",
        json.dumps(FIRST | {"settings": None}) + "\n",
        json.dumps({"format": FIRST["format"]}) + "\n",
        json.dumps(FIRST, indent=1) + "\n",
        "\ufeff" + json.dumps(FIRST) + "\n",
        json.dumps(FIRST) + "\r",
    ],
    ids=lambda content: content[:30].replace("\0", ""),
)
def test_a_foreign_file_is_left_alone(tmp_path, content):
    refused_untouched(tmp_path / "a.jsonl", content.encode(), "was not written by a sweep")


def test_bytes_that_are_no_text_are_left_alone(tmp_path):
    refused_untouched(tmp_path / "a.jsonl", b"\xff\xfe{\n", "was not written by a sweep")
    refused_untouched(tmp_path / "a.jsonl", b"# settings \xff\n", "was not written by a sweep")


def test_another_version_is_named(tmp_path):
    content = json.dumps(FIRST | {"version": 2}) + "\n"
    refused_untouched(tmp_path / "a.jsonl", content.encode(), "has version 2 .* known is 1")


LATER = {"rows": [{"seed": 0, "k": 20, "sigma": 1, "total": 1.0, "small": True}]}
DAMAGE = {
    "cut and continued": json.dumps(CELL)[:-30],
    "empty": "",
    "blank": " \t",
    "a half cell, whole rows": '{"rows": [{"seed": 0',
    "text": "hello",
    "another object": json.dumps({"row": []}),
    "no rows": json.dumps({"rows": []}),
    "rows that are none": json.dumps({"rows": ["seed", "k"]}),
    "rows that are a number": json.dumps({"rows": 3}),
    "a list": json.dumps(CELL["rows"]),
    "another cell's names": json.dumps({"rows": [{"seed": 0, "sigma": 1}]}),
    "two cells": json.dumps({"rows": CELL["rows"] + LATER["rows"]}),
    "two new cells": json.dumps({"rows": EXPECTED[9:15]}),
    "two cells, one there": json.dumps({"rows": EXPECTED[:6]}),
    "settings": json.dumps(FIRST),
    "old remark": "# saved",
    "no text": b"\xff",
    "deep": "[" * 100_000,
    "a cell twice": json.dumps(CELL),
}


@pytest.mark.parametrize("place", ["in the middle", "at the end"])
@pytest.mark.parametrize("line", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_line_is_named_and_the_file_left_alone(tmp_path, line, place):
    damaged = line if isinstance(line, bytes) else line.encode()
    lines = [json.dumps(FIRST).encode(), json.dumps(CELL).encode(), damaged]
    lines += [json.dumps(LATER).encode()] if place == "in the middle" else []
    refused_untouched(tmp_path / "a.jsonl", b"\n".join(lines) + b"\n", "damaged: line 3 is not")
    del lines[2]  # what the message proposes
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    assert read_sweep(tmp_path / "a.jsonl")[:3] == EXPECTED[:3]


def test_files_of_two_runs_joined_are_refused(tmp_path):
    path = tmp_path / "a.jsonl"
    sweep(measure, GRID, path, progress=False)
    refused_untouched(path, path.read_bytes() * 2, "damaged: line 17 is not")


def test_a_first_line_cut_short_in_a_sweep_of_other_settings_is_left_alone(tmp_path):
    """Its own run may be writing it: it holds no rows yet, and is not this sweep's."""
    path = tmp_path / "a.jsonl"
    other = json.dumps(FIRST | {"settings": {"cells": ["other"]}})[:-3].encode()
    path.write_bytes(other)
    with pytest.raises(SweepFileError, match="was not written by a sweep"):
        sweep(measure, GRID, path, progress=False)
    assert read_sweep(path) == [] and path.read_bytes() == other


@pytest.mark.parametrize("jobs", [None, 2])
def test_an_error_names_its_cell_and_keeps_what_is_finished(tmp_path, jobs):
    path = tmp_path / "a.jsonl"
    with pytest.raises(ZeroDivisionError, match="no luck") as failure:
        sweep(fails_at_40, {**GRID, "seed": [1]}, path, jobs=jobs, progress=False)
    assert any("'k': 40" in note for note in failure.value.__notes__)
    assert (1, 10) in complete_cells(path) or jobs == 2
    assert set(complete_cells(path)) <= {(1, 10), (1, 20), (1, 80), (1, 160)}


@pytest.mark.parametrize(
    "result, sentence",
    [
        ({"total": [1.0, 2.0]}, "total must be a number"),
        ({"total": torch.ones(2)}, "total must be a number"),
        ({"k": 3}, "names of the grid"),
        ([], "must return a row"),
        (3.0, "not iterable"),
        ({}, "must return a row"),
        ({"dict": {"a": 1}}, "dict must be a number"),
        ({1: 2.0}, r"name its results by text; got \[1\]"),
        ([{"a": 1}, {"b": 1}], "Every row must have the same columns"),
    ],
)
def test_results_that_have_no_place_in_the_file(tmp_path, result, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        sweep(lambda k: result, {"k": [1]}, tmp_path / "a.jsonl", progress=False)
    assert not (tmp_path / "a.jsonl").exists()


@pytest.mark.parametrize(
    "grid, sentence",
    [
        ({}, "at least one value for each name"),
        ({"k": []}, "at least one value for each name"),
        ({"k": [1, 1]}, "repeats a value"),
        ({"k": [[1, 2]]}, "k must be a number"),
    ],
)
def test_bad_grids(tmp_path, grid, sentence):
    with pytest.raises(ValueError, match=sentence):
        sweep(measure, grid, tmp_path / "a.jsonl", progress=False)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        sweep(measure, GRID, tmp_path / "absent" / "a.jsonl", progress=False)


def test_a_later_cell_must_have_the_columns_of_the_file(tmp_path):
    def widening(k):
        return {"x": 1} if k == 1 else {"x": 1, "y": 2}

    path = tmp_path / "a.jsonl"
    sweep(widening, {"k": [1]}, path, progress=False)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"the same columns, \['k', 'x'\]; got \['k', 'x', 'y'\]"):
        sweep(widening, {"k": [1, 2]}, path, progress=False)
    assert path.read_bytes() == before


def bits(value):
    """What tells two values apart: the type, and the bytes of a float."""
    return type(value), struct.pack("<d", value) if isinstance(value, float) else value


TEXTS = [
    "tanh, wide", "3", "1e5", "True", "", "nan", "NaN", "Infinity", "null", "a # b", "# saved",
    "two\nlines", "\r\n", "\"quoted\" 'text'", "back\\slash", "é ∇ 😀", "\u2028", "\0", "\ud800",
]  # fmt: skip
FLOATS = [
    0.1 + 0.2, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, -0.0, 1.0, 1e16, 1e22,
    float("inf"), -float("inf"), float("nan"),
]  # fmt: skip
INTS = [0, -3, 2**53 + 1, -(2**63), 2**64, 10**30]


def test_every_kind_of_value_comes_back_as_it_was(tmp_path):
    values = [*TEXTS, *FLOATS, *INTS, True, False, None]
    path = tmp_path / "a.jsonl"
    row = {str(number): value for number, value in enumerate(values)}
    row["tensor"] = torch.tensor(1 / 3, dtype=torch.float64)
    (back,) = sweep(lambda name: row, {"name": ["mlp"]}, path, progress=False)
    wanted = {"name": "mlp", **row, "tensor": 1 / 3}
    assert list(back) == list(wanted)
    assert list(map(bits, back.values())) == list(map(bits, wanted.values()))
    assert list(map(bits, read_sweep(path)[0].values())) == list(map(bits, wanted.values()))
    assert len(path.read_bytes().split(b"\n")) == 3


@given(value=st.none() | st.booleans() | st.integers() | st.floats() | st.text())
@settings(max_examples=300, deadline=None)
def test_any_value_comes_back_as_it_was(value):
    line = json_lines.line({"rows": [{"k": 1, "x": value}]})
    assert line.count(b"\n") == 1 and line.isascii()
    content = sweep_module.KIND.first_line({"cells": ["k"]}) + line
    ((row,),) = sweep_module._parsed(content, Path("a"))[1].values()
    if value != value:
        value = float("nan")  # there are many, and JSON has one
    assert bits(row["x"]) == bits(value)


def test_cells_whose_values_look_alike_are_different_ones(tmp_path):
    alike = [1, 1.0, True, "1", "1.0", "True", None, "None", "", -0.0, 0.0, float("nan"), "nan"]
    path, calls = tmp_path / "a.jsonl", []

    def describe(x):
        calls.append(x)
        return {"said": repr(x)}

    for _ in range(2):
        rows = sweep(describe, {"x": alike}, path, progress=False)
        assert [row["said"] for row in rows] == [repr(x) for x in alike]
    assert len(calls) == len(alike)


def test_the_progress_bar_starts_where_the_file_ends(tmp_path, capsys):
    sweep(measure, {**GRID, "seed": [0]}, tmp_path / "a.jsonl", progress=False)
    sweep(measure, GRID, tmp_path / "a.jsonl")
    shown = capsys.readouterr().err
    assert "5/15" in shown and "0/15" not in shown.replace("10/15", "")


# -- files of before: CSV --------------------------------------------------------------------------


def write_csv(path, rows, settings=None, end="\n", unfinished=""):
    """As earlier versions wrote it, three rows to a cell."""
    whole = {"cells": ["seed", "k"], "measure": "sweep_cells.measure"} | (settings or {})
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator=end)
    buffer.write("# settings " + json.dumps(whole, sort_keys=True) + end)
    writer.writerow(rows[0])
    for number, row in enumerate(rows, start=1):
        text = [repr(v) if isinstance(v, float) else "" if v is None else v for v in row.values()]
        writer.writerow(text)
        if number % 3 == 0:
            buffer.write("# saved" + end)
    path.write_bytes((buffer.getvalue() + unfinished).encode())


ODD = [
    {"seed": 0, "k": 1, "f": 0.1 + 0.2, "i": -3, "b": True, "none": None, "text": "tanh, wide"},
    {"seed": 0, "k": 1, "f": float("inf"), "i": 10**20, "b": False, "none": None, "text": "é"},
    {"seed": 0, "k": 1, "f": 5e-324, "i": 0, "b": True, "none": 1.0, "text": "a b"},
]


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["unix", "windows"])
def test_a_csv_file_is_read(tmp_path, end):
    path = tmp_path / "a.csv"
    write_csv(path, ODD, end=end)
    assert [list(map(bits, row.values())) for row in read_sweep(path)] == [
        list(map(bits, row.values())) for row in ODD
    ]
    write_csv(path, EXPECTED, end=end)
    before = path.read_bytes()
    assert read_sweep(path) == EXPECTED
    assert sweep(measure, GRID, path, progress=False) == EXPECTED  # nothing to measure
    assert path.read_bytes() == before


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["unix", "windows"])
@pytest.mark.parametrize("unfinished", ["", "1,10,0.1,0.01,True{end}1,10,1,0.", "1,10", "# save"])
def test_a_csv_file_is_continued_as_json_lines(tmp_path, end, unfinished):
    path, new, log = tmp_path / "a.csv", tmp_path / "new.jsonl", tmp_path / "log"
    logged = functools.partial(measure, log=str(log))
    write_csv(path, EXPECTED[:15], {"log": str(log)}, end, unfinished.format(end=end))
    path.chmod(0o640)
    assert read_sweep(path) == EXPECTED[:15]
    assert sweep(logged, GRID, path, progress=False) == EXPECTED == read_sweep(path)
    assert len(log.read_text().split()) == 10, "a saved cell came again"
    sweep(logged, GRID, new, progress=False)
    assert path.read_bytes() == new.read_bytes() and path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("cut", range(90, 320, 7))
def test_a_csv_file_cut_anywhere_is_continued(tmp_path, cut):
    path = tmp_path / "a.csv"
    write_csv(path, EXPECTED[:9])
    assert len(path.read_bytes().partition(b"\n")[0]) < 90 and path.stat().st_size > 310
    cut_at(path, cut)


def test_a_csv_file_of_other_settings_is_refused_with_the_difference(tmp_path):
    path = tmp_path / "a.csv"
    write_csv(path, EXPECTED[:15], {"lr": 0.1})
    before = path.read_bytes()
    with pytest.raises(SweepFileError, match="lr: 0.1 in the file, 'absent' now"):
        sweep(measure, GRID, path, progress=False)
    assert path.read_bytes() == before and sorted(os.listdir(tmp_path))[0] == "a.csv"


def test_a_crash_while_a_csv_file_is_turned_leaves_it(tmp_path, monkeypatch):
    path = tmp_path / "a.csv"
    write_csv(path, EXPECTED[:15])
    before = path.read_bytes()

    def crash(*_):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", crash)
        with pytest.raises(OSError, match="no space left"):
            sweep(measure, GRID, path, progress=False)
    assert path.read_bytes() == before
    assert sweep(measure, GRID, path, progress=False) == EXPECTED


# -- many processes --------------------------------------------------------------------------------


def test_processes_give_the_same_table(tmp_path):
    assert sweep(measure, GRID, tmp_path / "a.jsonl", jobs=2, progress=False) == EXPECTED


def test_killing_a_run_that_uses_processes_loses_nothing(tmp_path):
    """The killed process is the one that writes; its workers end with it."""
    script = tmp_path / "run.py"
    script.write_text(
        textwrap.dedent(f"""
        import functools, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from landscape_nb import sweep
        from sweep_cells import GRID, measure
        if __name__ == "__main__":
            sweep(functools.partial(measure, seconds=0.15), GRID, "a.jsonl", jobs=2, progress=False)
        """)
    )
    path = tmp_path / "a.jsonl"
    run = subprocess.Popen([sys.executable, script], cwd=tmp_path)
    deadline = time.monotonic() + 120
    while len(complete_cells(path)) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    run.kill()
    run.wait()
    saved = complete_cells(path)
    assert 3 <= len(saved) < 15
    subprocess.run([sys.executable, script], cwd=tmp_path, check=True, timeout=120)
    assert complete_cells(path)[: len(saved)] == saved
    assert sorted(map(str, read_sweep(path))) == sorted(map(str, EXPECTED))


def test_a_dask_cluster_survives_the_loss_of_a_worker(tmp_path):
    distributed = pytest.importorskip("distributed")
    slow = functools.partial(measure, seconds=0.1)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        path, victims = tmp_path / "a.jsonl", [next(iter(cluster.workers.values())).process.pid]
        over = threading.Event()

        def kill_a_worker_after_two_cells():
            while victims and not over.wait(0.02):
                if len(complete_cells(path)) >= 2:
                    os.kill(victims.pop(), signal.SIGKILL)

        killer = threading.Thread(target=kill_a_worker_after_two_cells)
        killer.start()
        try:
            assert sweep(slow, GRID, path, progress=False) == EXPECTED
        finally:
            over.set()
            killer.join()
        assert not victims, "no worker was killed"
