"""The set-up check must work where things are missing, which this machine can only imitate."""

import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from landscape_nb.course import setup_check as module
from landscape_nb.course.setup_check import setup_check

FILE = Path(module.__file__)


def versions(**installed):
    def version(name):
        if name not in installed:
            raise PackageNotFoundError(name)
        return installed[name]

    return version


@pytest.mark.parametrize(
    ("installed", "state"),
    [
        ({"torch": "2.4"}, "ok"),
        ({"torch": "2.10.0+cpu"}, "ok"),
        ({"torch": "2.4.0rc1"}, "ok"),
        ({"torch": "2.3.9"}, "too old"),
        ({"torch": "1.13"}, "too old"),
        ({}, "missing"),
    ],
)
def test_states(installed, state):
    report = setup_check(["torch>=2.4"], versions(**installed))
    assert report.complete == (state == "ok")
    assert report.lines[1].startswith(state)
    assert ('pip install "torch>=2.4"' in report.lines[1]) == (state != "ok")


def test_own_requirements_are_met_here():
    report = setup_check()
    assert report.complete, str(report)
    for name in ("torch", "numpy", "scipy", "matplotlib", "ipywidgets"):
        assert any(line.startswith(f"ok       {name} ") for line in report.lines)
    assert not any("pytest" in line for line in report.lines)  # extras are not asked for


def test_package_not_installed(monkeypatch):
    monkeypatch.setattr(module, "PACKAGE", "no_such_distribution")
    report = setup_check()
    assert not report.complete
    assert "pip install -e ." in str(report)


@pytest.mark.parametrize(("free", "advice"), [(0.5, True), (8.0, False), (None, False)])
def test_memory_advice(monkeypatch, free, advice):
    monkeypatch.setattr(module, "_available_memory", lambda: free)
    report = setup_check(["pip>=1"])
    assert report.complete
    assert ("close other programs" in report.lines[-1]) == advice


def test_runs_by_itself_without_torch():
    """-S hides site-packages: nothing but Python's own library can be imported."""
    run = subprocess.run([sys.executable, "-S", "-I", str(FILE)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "missing" in run.stdout
