"""The real nbgrader on a course folder of its own, as a teacher runs it, command by command.

    course = Course(folder)
    course.add_source("01_name", notebook)
    handed_out = course.hand_out("01_name")
    course.hand_in("maria", "01_name", answered(handed_out, {"answer-1": "area = 9.0"}))
    course.nbgrader("autograde", "01_name")
    course.marks("01_name")["maria"]  # {"check-1": 1.0, "hidden-1": 2.0}

The folder has the course's own `nbgrader_config.py`, and its own database and Jupyter settings.
"""

from __future__ import annotations

import copy
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

# Tests that import this are skipped where nothing can be marked. In continuous integration a
# missing nbgrader is a failure: a skip there would never be noticed.
if importlib.util.find_spec("nbgrader") is None and "CI" not in os.environ:
    pytest.skip("needs nbgrader: pip install 'landscape_nb[course]'", allow_module_level=True)
if sys.platform != "linux":
    pytest.skip(
        "answers are closed off on Linux only; elsewhere nothing is marked (TEACHING.md)",
        allow_module_level=True,
    )

from nbgrader.api import Gradebook, MissingEntry

ASSIGNMENTS = Path(__file__).resolve().parent.parent / "notebooks/assignments"


class Course:
    """A course folder, and nbgrader's commands in it."""

    def __init__(self, folder: Path, python_path: Path | None = None):
        """`python_path`: where kernels find modules of the test's own."""
        self.folder, self._python_path = Path(folder), python_path
        self.folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(ASSIGNMENTS / "nbgrader_config.py", self.folder)
        shutil.copytree(ASSIGNMENTS / "grading", self.folder / "grading", dirs_exist_ok=True)
        settings = self.folder.parent / f".{self.folder.name}"
        (settings / "ipython").mkdir(parents=True, exist_ok=True)
        self._environment = {
            name: value
            for name, value in os.environ.items()
            if name not in ("OMP_NUM_THREADS", "PYTEST_CURRENT_TEST", "MPLBACKEND")
        } | {
            "JUPYTER_CONFIG_DIR": str(settings / "config"),
            "JUPYTER_DATA_DIR": str(settings / "data"),
            "JUPYTER_RUNTIME_DIR": str(settings / "runtime"),
            "IPYTHONDIR": str(settings / "ipython"),
            "PYTHONPATH": str(python_path or ""),
            # nbgrader calls `alembic` by name, which an environment not activated does not find
            "PATH": os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]]),
        }

    def copy(self, name: str) -> Course:
        """A course that has come as far as this one, beside it."""
        return Course(shutil.copytree(self.folder, self.folder.parent / name), self._python_path)

    def nbgrader(self, *arguments: str, fails: bool = False) -> str:
        """Run one nbgrader command; its log. `fails`: whether it is to end with an error."""
        done = subprocess.run(
            [sys.executable, "-m", "nbgrader", *arguments],
            cwd=self.folder,
            env=self._environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=600,
        )
        if (done.returncode != 0) != fails:
            raise RuntimeError(
                f"nbgrader {' '.join(arguments)} ended with {done.returncode}\n{done.stdout}"
            )
        return done.stdout

    def add_source(self, name: str, notebook: NotebookNode | Path) -> None:
        """Put the teacher's form of an assignment where nbgrader looks for it."""
        if isinstance(notebook, Path):
            shutil.copytree(notebook.parent, self.folder / "source" / name)
        else:
            _write(notebook, self.folder / "source" / name / f"{name}.ipynb")

    def source(self, name: str) -> NotebookNode:
        """The teacher's form of an assignment."""
        return _read(self.folder / "source" / name / f"{name}.ipynb")

    def hand_out(self, name: str) -> NotebookNode:
        """Generate an assignment; what students receive."""
        self.nbgrader("generate_assignment", name)
        return self.release(name)

    def release(self, name: str) -> NotebookNode:
        """The students' form of an assignment that was handed out."""
        return _read(self.folder / "release" / name / f"{name}.ipynb")

    def hand_in(self, student: str, name: str, notebook: NotebookNode, file: str = "") -> Path:
        """Put a submission where nbgrader looks for it, under the right file name or another."""
        path = self.folder / "submitted" / student / name / (file or f"{name}.ipynb")
        _write(notebook, path)
        return path

    def marks(self, name: str) -> dict[str, dict[str, float | None]]:
        """Marks by student and cell: the teacher's, else the program's, else None."""
        found: dict[str, dict[str, float | None]] = {}
        with self.gradebook() as gradebook:
            for student in gradebook.students:
                try:
                    submission = gradebook.find_submission_notebook(name, name, student.id)
                except MissingEntry:
                    continue
                found[student.id] = {
                    grade.name: grade.auto_score if grade.manual_score is None else grade.score
                    for grade in submission.grades
                }
        return found

    def gradebook(self) -> Gradebook:
        """The course's database, open for reading and for marks given by hand."""
        return Gradebook(f"sqlite:///{self.folder / 'gradebook.db'}", "landscape_nb")

    def autograded(self, student: str, name: str) -> NotebookNode:
        """A graded submission, as the teacher sees it."""
        return _read(self.folder / "autograded" / student / name / f"{name}.ipynb")

    def feedback(self, student: str, name: str) -> str:
        """What a student reads: the text of the feedback page, without its markup."""
        page = self.folder / "feedback" / student / name / f"{name}.html"
        return _Text(page.read_text(encoding="utf-8")).text


class _Text(HTMLParser):
    """The text of a page, without markup, styles and scripts."""

    def __init__(self, page: str):
        super().__init__()
        self._pieces: list[str] = []
        self._aside = 0
        self.feed(page)
        self.text = re.sub(r"[ \t]*\n\s*", "\n", "".join(self._pieces))

    def handle_starttag(self, tag, attrs):
        self._aside += tag in ("style", "script")

    def handle_endtag(self, tag):
        self._aside -= tag in ("style", "script")

    def handle_data(self, data):
        if not self._aside:
            self._pieces.append(data)


def _read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def _write(notebook: NotebookNode, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


def named_cells(notebook: NotebookNode) -> dict[str, NotebookNode]:
    """The cells that nbgrader knows, by name."""
    named = [(cell.metadata.get("nbgrader", {}).get("grade_id"), cell) for cell in notebook.cells]
    return {name: cell for name, cell in named if name}


def cell_named(notebook: NotebookNode, grade_id: str) -> NotebookNode:
    """The cell with this name in nbgrader's metadata."""
    return named_cells(notebook)[grade_id]


def answered(handed_out: NotebookNode, answers: dict[str, str]) -> NotebookNode:
    """What a student hands in: a copy with these texts in the cells of these names."""
    notebook = copy.deepcopy(handed_out)
    for grade_id, text in answers.items():
        cell_named(notebook, grade_id).source = text
    return notebook


def labelled(grade_id: str, source: str, points: float | None = None) -> NotebookNode:
    """A cell of an assignment; its name says what it is: answer-1, check-1, hidden-1, manual-3."""
    kind = grade_id.partition("-")[0]
    answer = kind in ("answer", "manual")
    label = {
        "schema_version": 3,
        "grade_id": grade_id,
        "grade": points is not None,
        "solution": answer,
        "locked": not answer,
        "task": False,
    }
    if points is not None:
        label["points"] = points
    new_cell = new_markdown_cell if kind == "manual" else new_code_cell
    return new_cell(source, metadata={"nbgrader": label})


def assignment(*cells: NotebookNode) -> NotebookNode:
    """A teacher's notebook for the kernel that nbgrader is to use."""
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    return new_notebook(cells=list(cells), metadata={"kernelspec": kernel})
