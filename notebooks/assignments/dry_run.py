"""A dry run: a class of seven that does not exist, from handing out to the marks in Moodle's file.

    python dry_run.py                         # in the course folder
    python dry_run.py 04_mlp_stabilization    # another assignment

The commands are those of a real class, and each is shown. All is done in a new folder, `dry_run`,
with a gradebook of its own; delete it when you have looked at it.
"""

import argparse
import contextlib
import copy
import csv
import io
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbformat import NotebookNode
from nbgrader.api import Gradebook, MissingEntry

HERE = Path(__file__).resolve().parent
SOLUTION = re.compile(r"[ \t]*### BEGIN SOLUTION\n(.*?)[ \t]*### END SOLUTION", re.DOTALL)
NOBODY = "a learner"  # the name that stands in an exercise with own numbers
RIGHT, COPIED = "María López", "Jo Lee"


class Student(NamedTuple):
    """One of the class: a name, what they do, and which marks that must earn."""

    name: str
    does: str
    hands_in: Callable[["Assignment"], NotebookNode] | None
    earns: Callable[["Assignment"], set[str]]


class Assignment:
    """What is handed out, and its author's answers."""

    def __init__(self, name: str, source: NotebookNode, release: NotebookNode) -> None:
        self.name, self._source, self._release = name, _cells(source), release
        points = {id: cell.metadata.nbgrader.get("points") for id, cell in self._source.items()}
        self.tests = {id: p for id, p in points.items() if id.startswith(("check-", "hidden-"))}
        self.words = [id for id in points if id.startswith("manual-")]
        self.numbers = [id.removeprefix("check-") for id in self.tests if id.startswith("check-")]
        self.own = [n for n in self.numbers if "own_numbers(" in self._source[f"answer-{n}"].source]
        self.total = sum(p for p in points.values() if p)

    def worth(self, numbers: list[str]) -> set[str]:
        """The tests of these exercises."""
        return {f"{kind}-{number}" for kind in ("check", "hidden") for number in numbers}

    def answered(self, name: str, numbers: list[str], **others: str) -> NotebookNode:
        """The notebook with its author's answers to these exercises, or other texts of cells."""
        texts = {f"answer-{n}": self.solved(f"answer-{n}", name) for n in numbers}
        texts |= {id: "They divide by k + 1." for id in self.words} if numbers else {}
        notebook = copy.deepcopy(self._release)
        for id, cell in _cells(notebook).items():
            cell.source = (texts | others).get(id, cell.source)
        return notebook

    def solved(self, id: str, name: str) -> str:
        """An answer as its author gives it, under a student's name."""
        text = SOLUTION.sub(lambda match: match[1].rstrip("\n"), self._source[id].source)
        return text.replace(NOBODY, name)

    def function(self, number: str) -> str:
        """The function that an exercise asks for."""
        return re.findall(r", (\w+)\)", self._source[f"check-{number}"].source)[0]

    def copied(self, number: str) -> str:
        """The plain numbers of one student, in an answer under the name of another."""
        names: dict[str, object] = {"__name__": "dry run"}
        given = [c.source for id, c in self._source.items() if id.startswith("given-")
                 and c.cell_type == "code"]  # fmt: skip
        for text in [*given, self.solved(f"answer-{number}", RIGHT)]:
            exec(text, names)
        function = self.function(number)
        _, *values = names[function]()  # type: ignore[operator]
        shown = ", ".join(repr(float(value)) for value in values)
        return f"def {function}():\n    return {COPIED!r}, {shown}"


def _cells(notebook: NotebookNode) -> dict[str, NotebookNode]:
    labels = [(cell.metadata.get("nbgrader", {}).get("grade_id"), cell) for cell in notebook.cells]
    return {id: cell for id, cell in labels if id}


# -- the class -------------------------------------------------------------------------------------


def half(about: Assignment) -> list[str]:
    """The first exercises."""
    return about.numbers[: (len(about.numbers) + 1) // 2]


def wrong(about: Assignment) -> NotebookNode:
    """Every function is there, and returns 0."""
    texts = {
        f"answer-{n}": f"def {about.function(n)}(*arguments, **named):\n    return 0"
        for n in about.numbers
    }
    return about.answered("", [], **texts)


def copied(about: Assignment) -> NotebookNode:
    """A neighbour's answers with the neighbour's numbers, and cells that give more points."""
    numbers = {f"answer-{n}": about.copied(n) for n in about.own}
    notebook = about.answered(COPIED, about.numbers, **numbers)
    check = _cells(notebook)["check-1"]
    check.source, check.metadata.nbgrader["points"] = "pass", 100
    return notebook


CLASS = [
    Student(RIGHT, "answers everything", lambda a: a.answered(RIGHT, a.numbers),
            lambda a: a.worth(a.numbers)),
    Student("Bo Li", "answers the first half", lambda a: a.answered("Bo Li", half(a)),
            lambda a: a.worth(half(a))),
    Student("Kim Nguyen", "answers everything with 0", wrong, lambda a: set()),
    Student("Ana Díaz", "hands in what was handed out", lambda a: a.answered("", []),
            lambda a: set()),
    Student(COPIED, "copies María's numbers, edits a test", copied,
            lambda a: a.worth([n for n in a.numbers if n not in a.own])),
    Student("Eva Roth", "hands in María's file", lambda a: a.answered(RIGHT, a.numbers),
            lambda a: a.worth(a.numbers)),
    Student("Cy Ng", "hands in nothing", None, lambda a: set()),
]  # fmt: skip


def download(about: Assignment) -> bytes:
    """The submissions as Moodle gives them: a zip with a folder for each student."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as bulk:
        for number, student in enumerate(CLASS, 101):
            if student.hands_in is not None:
                place = f"{student.name}_{number}_assignsubmission_file_/{about.name}.ipynb"
                bulk.writestr(place, nbformat.writes(student.hands_in(about)))
    return content.getvalue()


def platforms(about: Assignment) -> dict[str, str]:
    """Moodle's grading worksheet and Canvas's gradebook, as an instructor downloads them."""
    moodle, canvas = io.StringIO(newline=""), io.StringIO(newline="")
    to_moodle, to_canvas = csv.writer(moodle), csv.writer(canvas)
    to_moodle.writerow([
        "Identifier", "Full name", "Email address", "Status", "Grade", "Maximum Grade",
        "Grade can be changed", "Last modified (submission)", "Last modified (grade)",
        "Feedback comments",
    ])  # fmt: skip
    to_canvas.writerow(
        ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", f"{about.name} (9001)"]
    )
    to_canvas.writerow(["    Points Possible", "", "", "", "", about.total])
    for number, student in enumerate(CLASS, 101):
        first, last = student.name.split()
        status = "No submission" if student.hands_in is None else "Submitted for grading"
        to_moodle.writerow([
            f"Participant {number}", student.name, f"s{number}@uni.example", status, "",
            f"{about.total}.00", "Yes", "-", "-", "",
        ])  # fmt: skip
        to_canvas.writerow([f"{last}, {first}", 5000 + number, "", f"s{number}", "A", ""])
    return {"moodle.csv": "\ufeff" + moodle.getvalue(), "canvas.csv": canvas.getvalue()}


# -- the run ---------------------------------------------------------------------------------------


class Course:
    """A folder in which nbgrader's commands are run, each shown with its seconds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # nbgrader calls `alembic` by name, which an environment not activated does not find
        path = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])
        self._environment = os.environ | {"PATH": path}

    def nbgrader(self, *arguments: str) -> str:
        """Run a command; its log.

        Raises:
            SystemExit: it failed; with its log.
        """
        print(f"$ nbgrader {' '.join(arguments)}", end="", flush=True)
        start = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "nbgrader", *arguments], cwd=self.folder, text=True,
            env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        print(f"   ({time.monotonic() - start:.0f} s)")
        for line in done.stdout.splitlines():
            if "WARNING" in line and re.search("numbers|marked|edited", line):
                print("   ", line.partition("] ")[2])
        if done.returncode:
            raise SystemExit(f"{done.stdout}\nThe dry run stops here: this command failed.")
        return done.stdout

    def gradebook(self) -> Gradebook:
        """Its database."""
        return Gradebook(f"sqlite:///{self.folder / 'gradebook.db'}", "landscape_nb")


def mark_words(course: Course, about: Assignment) -> None:
    """What a teacher does on the page Manual Grading: here 1 point for each answer in words."""
    with course.gradebook() as gradebook:
        for submission in gradebook.assignment_submissions(about.name):
            for grade in submission.notebooks[0].grades:
                if grade.needs_manual_grade:
                    grade.manual_score, grade.needs_manual_grade = 1, False
        gradebook.db.commit()


def found(course: Course, about: Assignment) -> dict[str, tuple[dict[str, float], float]]:
    """By student: the points of each test, and all points together."""
    marks = {}
    with course.gradebook() as gradebook:
        for student in CLASS:
            with contextlib.suppress(MissingEntry):
                submission = gradebook.find_submission(about.name, student.name)
                grades = {g.name: g.score for g in submission.notebooks[0].grades}
                marks[student.name] = {id: grades[id] for id in about.tests}, submission.score
    return marks


def table(course: Course, about: Assignment) -> tuple[list[str], bool]:
    """Lines on everybody, and whether all is as it must be."""
    marks, lines, fine = found(course, about), [], True
    uploads = {
        name: _column(course.folder / f"{name}-marks.csv", column)
        for name, column in {"moodle": "Grade", "canvas": f"{about.name} (9001)"}.items()
    }
    for student in CLASS:
        expected = {id: p if id in student.earns(about) else 0 for id, p in about.tests.items()}
        tests, score = marks.get(student.name, ({}, None))
        shown = "" if score is None else f"{score:g}"
        right = tests == expected if student.hands_in else not tests
        right &= all(upload[CLASS.index(student)] == shown for upload in uploads.values())
        fine &= right
        lines.append(
            f"{student.name:12} {student.does:38} {sum(tests.values()):4g} by program, "
            f"{shown or 'none':>4} in all {'' if right else '  NOT AS EXPECTED'}"
        )
    return lines, fine


def _column(file: Path, title: str) -> list[str]:
    with file.open(encoding="utf-8-sig", newline="") as rows:
        cells = [row[title] for row in csv.DictReader(rows)]
    return cells[-len(CLASS) :]  # Canvas has a row of points before them


def dry_run(name: str, folder: Path) -> bool:
    """Do it all; whether everybody got what they must.

    Raises:
        SystemExit: the folder is there already, there is no such assignment, a command failed.
    """
    there = sorted(path.name for path in (HERE / "source").glob("[0-9][0-9]_*"))
    if name not in there:
        raise SystemExit(f"There is no assignment {name!r}; there are {', '.join(there)}.")
    if folder.exists():
        raise SystemExit(f"{folder} is there already; delete it, or name another folder.")
    start = time.monotonic()
    shutil.copytree(HERE / "source" / name, folder / "source" / name)
    shutil.copytree(HERE / "grading", folder / "grading")
    shutil.copy(HERE / "nbgrader_config.py", folder)
    course = Course(folder)

    course.nbgrader("generate_assignment", name)
    file = f"{name}/{name}.ipynb"
    source, release = (nbformat.read(folder / kind / file, 4) for kind in ("source", "release"))
    about = Assignment(name, source, release)
    archive = folder / "downloaded" / name / "archive"
    archive.mkdir(parents=True)
    (archive / "submissions.zip").write_bytes(download(about))
    course.nbgrader("zip_collect", name)
    course.nbgrader("autograde", name)
    mark_words(course, about)
    course.nbgrader("generate_feedback", name)
    for platform, text in platforms(about).items():
        (folder / platform).write_bytes(text.encode())
        target = platform.replace(".csv", "-marks.csv")
        course.nbgrader("export", f"--Marks.into={platform}", f"--to={target}")

    lines, fine = table(course, about)
    print(*["", *lines], "", sep="\n")
    print(f"Marks for upload: {folder}/moodle-marks.csv, {folder}/canvas-marks.csv")
    print(f"What a student reads: {folder}/feedback/Bo Li/{name}/{name}.html")
    print(f"To mark answers in words: cd {folder}; jupyter lab; menu Nbgrader > Formgrader")
    print(f"The program took {time.monotonic() - start:.0f} s.")
    return fine


def main() -> None:
    """Run it for the assignment and the folder named on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("assignment", nargs="?", default="01_quadratic_toy")
    parser.add_argument("folder", nargs="?", default="dry_run", type=Path)
    chosen = parser.parse_args()
    if not dry_run(chosen.assignment, chosen.folder.expanduser().resolve()):
        raise SystemExit("Somebody got other marks than expected: see the table above.")


if __name__ == "__main__":
    main()
