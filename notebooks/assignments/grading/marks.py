"""`nbgrader export`: nbgrader's own table, or a platform's file with the marks filled in.

nbgrader export --to marks.csv
nbgrader export --assignment 01_quadratic_toy --Marks.into grades.csv --to upload.csv
"""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbgrader.api import Assignment, Gradebook, SubmittedAssignment
from nbgrader.plugins import CsvExportPlugin
from traitlets import Bool, Unicode

from .own_names import foreign_names, names_of
from .platform_files import Marked, Refused, filled, read_sheet, written

# What follows a student's name in the files that are collected.
NUMBERS = {
    "Moodle": re.compile(r"_(\d+)_assignsubmission_"),
    "Canvas": re.compile(r"(?i:_late)?_(\d+)_\d+_"),
}
LINES = {
    "changed": "had another mark there, which is replaced",
    "unfinished": "not filled in, for something is not marked yet (--Marks.unfinished=True does)",
    "not_in_file": "marked here, but not in the file, so that THEIR MARKS REACH NOBODY",
    "left": "left as they are, excused or locked",
    "nothing": "in the file, but nothing of theirs was marked here",
}


class Marks(CsvExportPlugin):
    """Export marks as nbgrader does, or fill them into the file of Moodle or Canvas."""

    into = Unicode(help="A file downloaded from Moodle or Canvas, to be filled in.").tag(
        config=True
    )
    column = Unicode(help="Title of the column to fill in, if the name does not tell.").tag(
        config=True
    )
    scale = Bool(False, help="Turn points into a share of the platform's maximum.").tag(config=True)
    unfinished = Bool(False, help="Fill in marks that are not complete too.").tag(config=True)

    def export(self, gradebook: Gradebook) -> None:
        """Write the file; say who got what, and who did not."""
        if not self.into:
            return super().export(gradebook)
        try:
            return self._fill_in(gradebook)
        except (Refused, OSError, csv.Error) as error:
            self.log.error("%s", error)
            raise SystemExit(1) from None

    def _fill_in(self, gradebook: Gradebook) -> None:
        assignment = self._one(gradebook)
        source = Path(self.into).expanduser()
        target = Path(self.to or f"{source.stem}-filled.csv").expanduser()
        if target.resolve() == source.resolve():
            raise Refused(f"{target} is the platform's own file; write to another one with --to.")
        sheet = read_sheet(source, assignment.name, self.column)
        students = [self._marked(gradebook, each) for each in self._submissions(gradebook)]
        sheet, report = filled(sheet, students, assignment.max_score, scale=self.scale)
        target.write_bytes(written(sheet))
        for line in report.filled:
            self.log.info("%s", line)
        for kind, meaning in LINES.items():
            if people := getattr(report, kind):
                self.log.warning("%s (%d): %s", meaning, len(people), "; ".join(people))
        if foreign := self._foreign(gradebook, assignment.name):
            told = "marked with the own numbers of another name (%d): %s"
            self.log.warning(told, len(foreign), "; ".join(foreign))
        most = sheet.maximum if self.scale and sheet.maximum else assignment.max_score
        told = "%s is for %s: %d marks of %s filled in, out of %g points; %d of the class have none"
        none = len(sheet.people) - len(report.filled)
        self.log.info(told, target, sheet.platform, len(report.filled), assignment.name, most, none)

    def _one(self, gradebook: Gradebook) -> Assignment:
        names = [assignment.name for assignment in gradebook.assignments]
        asked = [str(name) for name in self.assignment] or names
        if len(asked) != 1 or asked[0] not in names:
            raise Refused(
                f"A platform's file takes one assignment: --assignment=NAME, of {sorted(names)}."
            )
        return gradebook.find_assignment(asked[0])

    def _submissions(self, gradebook: Gradebook) -> Iterator[SubmittedAssignment]:
        assignment, wanted = self._one(gradebook), [str(id) for id in self.student]
        for submission in gradebook.assignment_submissions(assignment.name):
            if not wanted or submission.student_id in wanted:
                yield submission

    def _marked(self, gradebook: Gradebook, submission: SubmittedAssignment) -> Marked:
        missing = tuple(
            grade.name
            for notebook in submission.notebooks
            for grade in notebook.grades
            if grade.auto_score is None and grade.manual_score is None
        )
        mark = max(0.0, submission.score - (submission.late_submission_penalty or 0.0))
        student = submission.student
        return Marked(
            student.id,
            None if missing and not self.unfinished else mark,
            names=tuple(names_of(student)[1:]),
            emails=tuple(filter(None, [student.email])),
            numbers=self._numbers(student.id, submission.name),
            missing=missing,
        )

    def _foreign(self, gradebook: Gradebook, assignment: str) -> list[str]:
        found = []
        for submission in self._submissions(gradebook):
            folder = Path(self.parent.coursedir.format_path(
                self.parent.coursedir.autograded_directory, submission.student_id, assignment
            ))  # fmt: skip
            for path in sorted(folder.glob("*.ipynb")):
                names = foreign_names(nbformat.read(path, 4), names_of(submission.student))
                found += [f"{submission.student_id} used {' and '.join(names)}"] if names else []
        return found

    def _numbers(self, student: str, assignment: str) -> dict[str, str]:
        """The numbers that platforms gave a student in the names of the files collected."""
        folder = Path(self.parent.coursedir.root) / "downloaded" / assignment / "extracted"
        pattern = re.compile(self.config.FileNameCollectorPlugin.named_regexp)
        found: dict[str, set[str]] = {}
        for path in map(str, folder.rglob("*.ipynb")):
            known = pattern.match(path)
            if known is None or known["student_id"] != student:
                continue
            for platform, after in NUMBERS.items():
                if number := after.match(path, known.end("student_id")):
                    found.setdefault(platform, set()).add(number[1])
        return {platform: numbers.pop() for platform, numbers in found.items() if len(numbers) == 1}
