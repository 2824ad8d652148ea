"""A short run of kills.py, and that it would notice: whoever writes without care is found out."""

import random
from dataclasses import replace

import pytest

pytest.importorskip("resource", reason="forks, and limits of the system, as POSIX has them")
import kills
from killing import Outcome, at_random, every_call, undisturbed

SHORT = [
    "sweeps, symlink", "sweeps, old CSV", "watch files", "saves", "restores", "reports",
    "checkpoints", "exports",
]  # fmt: skip


@pytest.mark.parametrize("name", SHORT)
def test_kills_lose_nothing_and_repeat_nothing(name):
    kind, outcome, dice = kills.KINDS[name], Outcome(), random.Random(name)
    undisturbed(kind, outcome)
    every_call(kind, outcome, dice.randint(1, outcome.calls), 10**6)  # one; `kills.py` takes all
    at_random(kind, outcome, dice, 1)
    assert outcome.kills >= 2
    assert not outcome.faults, "\n".join(outcome.words)


# -- careless work, which must be seen -------------------------------------------------------------


def write_in_place(folder, version):
    (folder / "a.out").write_bytes(kills.pages_in_bytes()[version])


def sweep_that_forgets(folder, told, tell, writer):
    kills.go_on_with_sweep(folder, told, tell, writer, alias="same")
    path = folder / "a.jsonl"
    path.write_bytes(b"\n".join(kills.lines_of(path)[:-1]) + b"\n")


def sweep_that_repeats(folder, told, tell, writer):
    kills.go_on_with_sweep(folder, told, tell, writer, alias="same")
    with (folder / "a.jsonl").open("ab") as file:
        file.write(kills.lines_of(folder / "a.jsonl")[-1] + b"\n")


SWEEPS = replace(kills.KINDS["sweeps, two writers"], writers=1)
CARELESS = {
    "a file in place": (kills.one_file(write_in_place, kills.pages_in_bytes), "damaged"),
    "a sweep that forgets": (replace(SWEEPS, work=sweep_that_forgets), "lost"),
    "a sweep that repeats": (replace(SWEEPS, work=sweep_that_repeats), "twice"),
}


@pytest.mark.parametrize("case", CARELESS)
def test_careless_work_is_found_out(case):
    kind, column = CARELESS[case]
    outcome = Outcome()
    undisturbed(kind, outcome)
    every_call(kind, outcome, stride=10 if case.startswith("a sweep") else 1)
    assert outcome.counts[column]
