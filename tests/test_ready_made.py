"""Files for a copy on GitHub: a codespace opens at notebook 00, GitHub Pages shows the site.

No test can reach either service. So the workflow must have the form that its schema demands, and
every command, path and version in both files must be one that README.md or the repository has.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import binder_steps
import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = binder_steps.conda_environment(ROOT / "environment.yml").python
CODESPACE = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
WORKFLOW = ROOT / ".github/workflows/pages.yml"
# As text throughout: PyYAML would read the key `on` as True, where GitHub reads a word.
PAGES = yaml.load(WORKFLOW.read_text(encoding="utf-8"), yaml.BaseLoader)
JOBS = PAGES["jobs"]


def test_both_folders_hold_only_what_the_services_look_for():
    found = [path for top in (".devcontainer", ".github") for path in (ROOT / top).rglob("*")]
    files = {path.relative_to(ROOT).as_posix() for path in found if path.is_file()}
    assert files == {".devcontainer/devcontainer.json", ".github/workflows/pages.yml"}


# ---- Codespaces ----------------------------------------------------------------------------


def test_a_codespace_installs_and_opens_what_the_readme_does():
    ((install, opened),) = re.findall(r"^(python3 .*) && \S+/jupyter lab (\S+)$", README, re.M)
    assert CODESPACE["postCreateCommand"] == install
    assert CODESPACE["customizations"]["codespaces"]["openFiles"] == [opened]
    assert (ROOT / opened).exists()


def test_a_codespace_runs_notebooks_with_what_it_installed():
    editor = CODESPACE["customizations"]["vscode"]
    assert CODESPACE["image"] == f"mcr.microsoft.com/devcontainers/python:{PYTHON}"
    assert editor["extensions"] == ["ms-python.python", "ms-toolsai.jupyter"]
    assert editor["settings"] == {
        "python.defaultInterpreterPath": "${containerWorkspaceFolder}/.venv/bin/python"
    }


# ---- Pages ---------------------------------------------------------------------------------

WORKFLOW_SCHEMA = ["check_jsonschema", "--builtin-schema", "vendor.github-workflows"]


def schema_check(path):
    command = [sys.executable, "-m", *WORKFLOW_SCHEMA, path]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_workflow_has_the_form_that_github_reads():
    done = schema_check(WORKFLOW)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("runs-on:", "run-on:"),
        ("workflow_dispatch:", "by_hand:"),
        ("id-token: write", "id-token: yes"),
    ],
)
def test_a_slip_in_the_workflow_is_found(tmp_path, right, wrong):
    text = WORKFLOW.read_text(encoding="utf-8")
    assert right in text
    slip = tmp_path / "pages.yml"
    slip.write_text(text.replace(right, wrong), encoding="utf-8")
    assert schema_check(slip).returncode == 1


def test_pages_are_published_from_main_alone():
    """A run started by hand may name any branch; its first job, which the other needs, refuses."""
    assert PAGES["on"] == {"push": {"branches": ["main"]}, "workflow_dispatch": ""}
    assert JOBS["export"]["if"] == "github.ref == 'refs/heads/main'"
    assert JOBS["publish"]["needs"] == "export"


def test_each_job_has_the_least_permissions():
    """The job that runs our code can only read; the one that may publish runs none of it."""
    assert PAGES["permissions"] == {"contents": "read"}
    assert "permissions" not in JOBS["export"]
    assert JOBS["publish"]["permissions"] == {"pages": "write", "id-token": "write"}
    assert [step for step in JOBS["publish"]["steps"] if "run" in step] == []
    steps = [step for job in JOBS.values() for step in job["steps"]]
    used = [step["uses"] for step in steps if "uses" in step]
    assert [use for use in used if not re.fullmatch(r"actions/[a-z-]+@v\d+", use)] == []
    assert steps[0]["with"] == {"persist-credentials": "false"}


def test_one_publication_at_a_time_and_none_cut_short():
    assert PAGES["concurrency"] == {"group": "pages", "cancel-in-progress": "false"}


def test_the_site_is_made_by_the_commands_of_the_readme():
    steps = JOBS["export"]["steps"]
    install, export = (step["run"] for step in steps if "run" in step)
    promised = re.search(r"`pip (install .*) && (python notebooks/export\.py) OUT`", README)
    assert install.replace("-c constraints.txt ", "") == f"python -m pip {promised[1]}"
    assert export == f'{promised[2]} "$RUNNER_TEMP/site"'
    assert steps[-1]["with"] == {"path": "${{ runner.temp }}/site"}


def test_the_runner_has_the_tested_python_and_keeps_pips_downloads():
    setup = JOBS["export"]["steps"][1]["with"]
    assert setup["python-version"] == PYTHON
    assert setup["cache"] == "pip"
    assert [ROOT / name for name in setup["cache-dependency-path"].split()] == [
        ROOT / "constraints.txt",
        ROOT / "pyproject.toml",
    ]
