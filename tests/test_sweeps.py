"""Sweeps survive what happens to long runs: kill -9, a second start, other settings, errors."""

import functools
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import joblib
import pytest
import torch
from sweep_cells import EXPECTED, GRID, fails_at_40, measure

from landscape_nb import SweepFileError, read_sweep, sweep


def complete_cells(path):
    return [(row["seed"], row["k"]) for row in read_sweep(path)[::3]] if path.exists() else []


def test_a_sweep_gives_every_cell_in_order_and_saves_it(tmp_path):
    path = tmp_path / "a.csv"
    assert sweep(measure, GRID, path, progress=False) == EXPECTED
    assert read_sweep(path) == EXPECTED


def test_the_format_is_the_documented_one_and_pandas_reads_it(tmp_path):
    pandas = pytest.importorskip("pandas")
    sweep(measure, GRID, tmp_path / "a.csv", settings={"note": "a, b"}, progress=False)
    lines = (tmp_path / "a.csv").read_text().split("\n")
    assert json.loads(lines[0].removeprefix("# settings "))["note"] == "a, b"
    assert lines[1:3] == ["seed,k,sigma,total,small", "0,10,0.1,0.0033333333333333335,True"]
    assert lines[5] == "# saved" and lines[-2:] == ["# saved", ""]
    table = pandas.read_csv(tmp_path / "a.csv", comment="#")
    assert table.to_dict("records") == EXPECTED


def test_a_second_start_measures_nothing_and_a_larger_grid_only_what_is_new(tmp_path):
    log, path = tmp_path / "log", tmp_path / "a.csv"
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
        path, log = tmp_path / f"{sweeps}.csv", tmp_path / f"{sweeps}.log"
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


@pytest.mark.parametrize("cut", range(1, 420, 7))
def test_a_file_cut_anywhere_is_continued(tmp_path, cut):
    """Not only kills: a full disk or a lost connection may cut the file at any byte."""
    path = tmp_path / "a.csv"
    sweep(measure, {"seed": [0], "k": [10, 20, 40]}, path, progress=False)
    path.write_bytes(path.read_bytes()[:cut])
    assert sweep(measure, GRID, path, progress=False) == EXPECTED
    assert sorted(map(str, read_sweep(path))) == sorted(map(str, EXPECTED))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_two_runs_into_one_file_are_refused(tmp_path):
    path, log = tmp_path / "a.csv", tmp_path / "log"
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
    path = tmp_path / "a.csv"
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


@pytest.mark.parametrize("content", ["a,b\n1,2\n", "# settings {oops\n", "\x00\x01binary"])
def test_a_foreign_file_is_left_alone(tmp_path, content):
    path = tmp_path / "a.csv"
    path.write_text(content)
    for use in (lambda: sweep(measure, GRID, path, progress=False), lambda: read_sweep(path)):
        with pytest.raises(SweepFileError, match="was not written by a sweep"):
            use()
    assert path.read_text() == content


@pytest.mark.parametrize("jobs", [None, 2])
def test_an_error_names_its_cell_and_keeps_what_is_finished(tmp_path, jobs):
    path = tmp_path / "a.csv"
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
        ({"text": "3"}, "would not be read back"),
        ({"text": "a # b"}, "would not be read back"),
        ([{"a": 1}, {"b": 1}], "Every row must have the same columns"),
    ],
)
def test_results_that_have_no_place_in_the_file(tmp_path, result, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        sweep(lambda k: result, {"k": [1]}, tmp_path / "a.csv", progress=False)
    assert not (tmp_path / "a.csv").exists()


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
        sweep(measure, grid, tmp_path / "a.csv", progress=False)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        sweep(measure, GRID, tmp_path / "absent" / "a.csv", progress=False)


def test_every_kind_of_value_comes_back_as_it_was(tmp_path):
    row = {
        "f": 0.1 + 0.2, "i": -3, "b": True, "none": None, "text": "tanh, wide", "inf": float("inf"),
        "tiny": 5e-324, "tensor": torch.tensor(1 / 3, dtype=torch.float64),
    }  # fmt: skip
    (back,) = sweep(lambda name: row, {"name": ["mlp"]}, tmp_path / "a.csv", progress=False)
    assert back == {"name": "mlp", **row, "tensor": 1 / 3}
    assert isinstance(back["i"], int) and back["b"] is True
    (nan,) = sweep(lambda k: {"x": float("nan")}, {"k": [1]}, tmp_path / "b.csv", progress=False)
    assert nan["x"] != nan["x"]


def test_the_progress_bar_starts_where_the_file_ends(tmp_path, capsys):
    sweep(measure, {**GRID, "seed": [0]}, tmp_path / "a.csv", progress=False)
    sweep(measure, GRID, tmp_path / "a.csv")
    shown = capsys.readouterr().err
    assert "5/15" in shown and "0/15" not in shown.replace("10/15", "")


# -- many processes --------------------------------------------------------------------------------


def test_processes_give_the_same_table(tmp_path):
    assert sweep(measure, GRID, tmp_path / "a.csv", jobs=2, progress=False) == EXPECTED


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
            sweep(functools.partial(measure, seconds=0.15), GRID, "a.csv", jobs=2, progress=False)
        """)
    )
    path = tmp_path / "a.csv"
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
        path, victims = tmp_path / "a.csv", [next(iter(cluster.workers.values())).process.pid]
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
