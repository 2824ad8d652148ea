"""Three lists of dependencies say the same, and what was tested is pinned.

Environments rot silently: Binder would notice months later, in front of a class.
"""

import ast
import importlib.metadata
import json
import os
import re
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import binder_steps
import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
SOURCES = sorted([*ROOT.glob("landscape_nb/**/*.py"), *ROOT.glob("notebooks/source/*.py")])
FOR_INSTRUCTORS = {"nbgrader"}


def bounds(requirements):
    """{canonical name: bounds} of requirement lines; the package's own extras are left out."""
    parsed = [Requirement(line) for line in requirements]
    named = {canonicalize_name(r.name): r.specifier for r in parsed}
    return {n: s for n, s in named.items() if n != canonicalize_name(PROJECT["name"])}


def conda(path):
    """({name: bounds}, python version, pip section) of an environment file."""
    found = binder_steps.conda_environment(ROOT / path)
    return bounds(found.requirements), found.python, list(found.pip)


def pins():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return bounds(line for line in lines if line and not line.startswith("#"))


@pytest.mark.parametrize("path", ["environment.yml", "binder/environment.yml"])
def test_conda_environment_lists_what_pyproject_lists(path):
    dependencies, python, _ = conda(path)
    assert dependencies == bounds(PROJECT["dependencies"] + EXTRAS["lab"])
    assert python in SpecifierSet(PROJECT["requires-python"])


def test_both_environments_install_the_package_itself():
    assert conda("environment.yml")[2] == ["-e ."]
    assert conda("binder/environment.yml")[2] == []  # postBuild does, from the repository's root


def imported_modules(path):
    """Top-level names that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.partition(".")[0])
    return found


@pytest.fixture(scope="module")
def installed():
    """{importable name: names of the packages that provide it}."""
    return importlib.metadata.packages_distributions()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_binder_has_what_the_package_and_the_notebooks_import(path, installed):
    """A package that only comes along with another one would be missed when that one drops it."""
    listed = conda("binder/environment.yml")[0]
    foreign = imported_modules(path) - sys.stdlib_module_names - {PROJECT["name"]}
    providers = {name: {canonicalize_name(n) for n in installed.get(name, ())} for name in foreign}
    assert [name for name, names in providers.items() if not names & listed.keys()] == []


@pytest.mark.parametrize("path", ["environment.yml", "binder/environment.yml"])
def test_environments_hold_nothing_for_instructors(path):
    assert conda(path)[0].keys() & FOR_INSTRUCTORS == set()


def test_conda_names_become_those_of_pypi(tmp_path):
    path = tmp_path / "environment.yml"
    lines = ["python=3.12", "pip", "pytorch-cpu>=2.4", "scikit-learn", {"pip": ["-e ."]}]
    path.write_text(json.dumps({"dependencies": lines}))  # JSON is YAML
    found = binder_steps.conda_environment(path)
    assert found.requirements == ("torch>=2.4", "scikit-learn")
    assert (found.python, found.pip) == ("3.12", ("-e .",))


# Run directly, as Binder does: so the first line and the permissions are tested too.
in_bash = pytest.mark.skipif(os.name == "nt", reason="Binder's scripts are for bash")


@in_bash
def test_start_becomes_its_command():
    """Same process (signals arrive), same arguments and exit code, nothing else printed."""
    code = "import os, sys; print(os.getpid(), sys.argv[1:]); sys.exit(7)"
    command = [ROOT / "binder/start", sys.executable, "-c", code, "two words", "*", ""]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        printed = process.stdout.read()
    assert printed == f"{process.pid} ['two words', '*', '']\n"
    assert process.returncode == 7


@in_bash
def test_start_leaves_one_thread_to_every_library():
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    found = subprocess.run(
        [ROOT / "binder/start", sys.executable, "-c", code],
        env=os.environ | {"OMP_NUM_THREADS": "64"},  # what a host with 64 processors may say
        stdout=subprocess.PIPE,
        check=True,
    )
    variables = json.loads(found.stdout)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        assert variables[name] == "1"


def post_build(folder, exit_code):
    """What binder/postBuild calls, with a stand-in for python that only notes its arguments."""
    python = folder / "python"
    python.write_text(f'#!/bin/bash\necho "$PWD: $@"\nexit {exit_code}\n')
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    return subprocess.run(
        [ROOT / "binder/postBuild"],
        cwd=ROOT,
        env=os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )


@in_bash
def test_post_build_installs_the_package_alone(tmp_path):
    done = post_build(tmp_path, exit_code=0)
    assert done.stdout == f"{ROOT}: -m pip install --no-deps -e .\n"
    assert (done.returncode, done.stderr) == (0, "")


@in_bash
def test_post_build_fails_when_pip_does(tmp_path):
    """Else Binder would publish an image without the package."""
    assert post_build(tmp_path, exit_code=3).returncode == 3


def test_every_direct_dependency_is_pinned_within_its_bounds():
    direct = bounds(sum(EXTRAS.values(), PROJECT["dependencies"]))
    pinned = pins()
    assert sorted(direct.keys() - pinned.keys()) == []
    for name, allowed in direct.items():
        (pin,) = pinned[name]
        assert pin.operator == "==", name
        assert pin.version in allowed, f"{name} {pin.version} is not {allowed}"


def test_constraints_hold_only_exact_public_versions():
    """No local label (+cpu), no index, no path: any machine can resolve them."""
    for name, spec in pins().items():
        assert re.fullmatch(r"==[\w.]+", str(spec)), name
