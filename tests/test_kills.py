"""A short run of kills.py, and that it would notice: whoever writes without care is found out."""

import random
from pathlib import Path

import killing
import kills
import pytest
from killing import End, Outcome, at_random, every_call, story

from landscape_nb.study import json_lines, watch_file
from landscape_nb.study import report as report_module

SHORT = [
    "sweeps, symlink", "sweeps, old CSV", "watch files", "saves", "restores", "reports",
    "checkpoints", "exports",
]  # fmt: skip


@pytest.mark.parametrize("name", SHORT)
def test_kills_lose_nothing_and_repeat_nothing(name):
    outcome, dice = Outcome(), random.Random(name)
    every_call(kills.KINDS[name], outcome, dice, stride=90)  # `kills.py` visits every call
    at_random(kills.KINDS[name], outcome, dice, 1)
    assert outcome.kills >= 2
    assert not outcome.faults, "\n".join(outcome.words)


# -- careless work, which must be seen -------------------------------------------------------------


def write_in_place(contents):
    for path, content in contents.items():
        Path(path).write_bytes(content)


def append_without_looking(path, first, content):
    """A line in two pieces, each on the disk at once: a kill between them leaves the torn one."""
    new = not path.exists()
    with path.open("ab", buffering=0) as file:
        line = (first if new else b"") + json_lines.line(content)
        file.write(line[:30])
        file.write(line[30:])


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
    every_call(kills.KINDS[name], outcome, random.Random(0), stride=4)
    assert outcome.counts[column]
