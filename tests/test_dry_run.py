"""An instructor's dry run: a made-up class is collected, marked, exported; each gets their due."""

import csv
import os
import re
import shutil
import subprocess
import sys

import pytest
from grading import ASSIGNMENTS

NAME = "01_quadratic_toy"


def run(folder, *arguments):
    """The script in a course folder, as an instructor calls it."""
    settings = folder.parent / "settings"
    environment = {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"} | {
        f"JUPYTER_{kind}_DIR": str(settings / kind) for kind in ("CONFIG", "DATA", "RUNTIME")
    }
    return subprocess.run(
        [sys.executable, "dry_run.py", *arguments],
        cwd=folder, env=environment, text=True, timeout=600,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A course folder, as TEACHING.md has it copied."""
    return shutil.copytree(ASSIGNMENTS, tmp_path_factory.mktemp("dry") / "course")


@pytest.fixture(scope="module")
def done(course):
    return run(course)


def test_everybody_gets_what_they_must(done):
    assert done.returncode == 0, done.stdout
    assert "NOT AS EXPECTED" not in done.stdout
    rows = re.findall(r"^(\w+ \w+) .*? (\d+) by program, +(\w+) in all", done.stdout, re.MULTILINE)
    program = {name: int(points) for name, points, _ in rows}
    assert len(rows) == 7 and program["María López"] == program["Eva Roth"] == max(program.values())
    assert program["Kim Nguyen"] == program["Ana Díaz"] == 0 < program["Bo Li"]
    assert program["Jo Lee"] == program["María López"] - 3  # the exercise with own numbers
    assert dict((name, all_) for name, _, all_ in rows)["Cy Ng"] == "none"


def test_what_an_instructor_must_know_is_said(done):
    for told in (
        "Eva Roth handed in with the own numbers of another name: María López",
        "Cell check-1 was edited: restored to what was handed out",
        "nothing of theirs was marked here (1): Cy Ng / Participant 107",
        "marked with the own numbers of another name (1): Eva Roth used María López",
    ):
        assert told in done.stdout


def test_what_is_said_to_be_there_is_there(done, course):
    folder = course / "dry_run"
    for platform in ("moodle", "canvas"):
        with (folder / f"{platform}-marks.csv").open(encoding="utf-8-sig", newline="") as rows:
            assert sum("Bo" in row[1] or "Bo" in row[0] for row in csv.reader(rows)) == 1
    [page] = re.findall(r"What a student reads: (.+)", done.stdout)
    assert "Score:" in open(page, encoding="utf-8").read()


def test_an_old_run_is_not_written_over(done, course):
    again = run(course)
    assert again.returncode and "is there already; delete it, or name another" in again.stdout


def test_an_unknown_assignment_is_named(course):
    failed = run(course, "99_nothing", "elsewhere")
    assert failed.returncode and "There is no assignment '99_nothing'; there are" in failed.stdout
    assert not (course / "elsewhere").exists()
