"""A short run of kills.py, and that it would notice: whoever writes without care is found out."""

import random
from pathlib import Path

import kills
import pytest
from killing import Outcome, at_random, every_call, undisturbed

from landscape_nb.study import json_lines
from landscape_nb.study import report as report_module

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


def write_in_place(contents):
    for path, content in contents.items():
        Path(path).write_bytes(content)


def forget_the_last(path, first, content):
    """What is told to be finished never reaches the disk."""


def append_twice(path, first, content):
    with path.open("ab") as file:
        file.write((b"" if file.tell() else first) + 2 * json_lines.line(content))


CARELESS = {
    "a report in place": ("reports", report_module, "replace_files", write_in_place, "damaged"),
    "a sweep that forgets": ("sweeps, two writers", json_lines, "append", forget_the_last, "lost"),
    "a sweep that repeats": ("sweeps, two writers", json_lines, "append", append_twice, "twice"),
}


@pytest.mark.parametrize("case", CARELESS)
def test_careless_work_is_found_out(case, monkeypatch):
    name, module, function, careless, column = CARELESS[case]
    monkeypatch.setattr(module, function, careless)
    outcome = Outcome()
    undisturbed(kills.KINDS[name], outcome)
    every_call(kills.KINDS[name], outcome, stride=4)
    assert outcome.counts[column]
