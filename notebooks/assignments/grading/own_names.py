"""Whose own numbers a submission was marked with, where an exercise gives each name its own.

A test says it in a line of its output, "own numbers of: Ada Lovelace". It runs beside the tests, so
a student can add such lines to it, and take none away.
"""

import re
from collections.abc import Iterable

from nbformat import NotebookNode
from nbgrader import utils
from nbgrader.api import Student

from .platform_files import same_letters

LINE = re.compile(r"own numbers of: (.*)")


def foreign_names(notebook: NotebookNode, known: Iterable[str]) -> list[str]:
    """The names that a marked notebook used, without those by which its student is known."""
    text = "\n".join(
        output.get("text", "")
        for cell in notebook.cells
        if cell.cell_type == "code" and utils.is_grade(cell) and not utils.is_solution(cell)
        for output in cell.outputs
    )
    used, names = {name.strip() for name in LINE.findall(text)}, list(known)
    return sorted(name for name in used if not any(same_letters(name, own) for own in names))


def names_of(student: Student) -> list[str]:
    """By which the gradebook knows a student."""
    whole = f"{student.first_name or ''} {student.last_name or ''}".strip()
    return [student.id, *([whole] if whole else [])]
