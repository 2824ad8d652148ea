"""The forms of a notebook that one source describes; nothing is run here.

A source tells a whole story, with a section of exercises that stands on its own: it starts with a
markdown cell tagged "exercises", ends before the next heading of its level, and needs no variable
from the rest. Its cells carry tags:

| tag | cell |
|---|---|
| answer-1 | code; what is between `### BEGIN SOLUTION` and `### END SOLUTION` is the solution |
| check-1, points-1 | the public check, and the points it is worth in an assignment |
| hidden-1, points-2 | hidden tests, which only the teacher's forms contain |
| manual-4, points-3 | markdown; an answer in words, with the teacher's between the two marks |

`story` is what a learner opens: everything, exercises unanswered; `locked` takes the outputs out
of it that would spoil a prediction. `solutions` is the section alone, answered, with the hidden
tests. `assignment` is the section as nbgrader wants it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

import nbformat
from nbformat import NotebookNode

from landscape_nb.course.saved_work import OWN, digest

# What `nbgrader generate_assignment` itself puts in place of a solution.
CODE_STUB = "# YOUR CODE HERE\nraise NotImplementedError()"
TEXT_STUB = "YOUR ANSWER HERE"
SOLUTION = re.compile(
    r"^([ \t]*)### BEGIN SOLUTION\n(.*?)^[ \t]*### END SOLUTION$", re.DOTALL | re.MULTILINE
)
ODD = re.compile(r"(answer|check|hidden|manual)", re.IGNORECASE)
MARK = re.compile(r"#\s*(BEGIN|END) (SOLUTION|HIDDEN)", re.IGNORECASE)
TAG = re.compile(r"(answer|check|hidden|manual)-(\d+)")
IMAGE = re.compile(r"!\[[^\]]*\]\((pictures/[^)]+)\)")
LINK_TO_NOTEBOOK = re.compile(r"(?<!!)\[([^\]]+)\]\((?:\d\d_\w+|solutions/\w+)\.ipynb[^)]*\)")


class FormError(ValueError):
    """A source whose exercises are not marked as they must be."""


def role(cell: NotebookNode) -> tuple[str, str] | None:
    """What an exercise's cell is, and of which exercise: ("answer", "1"), or None."""
    found = [TAG.fullmatch(tag) for tag in cell.metadata.get("tags", [])]
    roles = [match.groups() for match in found if match]
    if odd := [t for t in cell.metadata.get("tags", []) if ODD.match(t) and not TAG.fullmatch(t)]:
        raise FormError(f"tags of an exercise look like answer-1 or hidden-1; there is {odd}")
    if len(roles) > 1:
        raise FormError(f"a cell is {' and '.join('-'.join(r) for r in roles)}; it must be one")
    return roles[0] if roles else None


def points(cell: NotebookNode) -> int:
    """The points that a graded cell is worth in an assignment."""
    tags = [tag for tag in cell.metadata.get("tags", []) if tag.startswith("points-")]
    if len(tags) != 1:
        raise FormError(f"cell {cell.source[:40]!r} needs one tag points-N; it has {tags}")
    return int(tags[0].removeprefix("points-"))


def section(source: NotebookNode) -> slice:
    """Where a source's exercises are among its cells; empty if it has none."""
    starts = [i for i, c in enumerate(source.cells) if "exercises" in c.metadata.get("tags", [])]
    if not starts:
        return slice(len(source.cells), len(source.cells))
    if len(starts) > 1:
        raise FormError(f"{len(starts)} cells are tagged exercises; there must be one")
    end = starts[0] + 1
    while end < len(source.cells) and not _opens_a_section(source.cells[end]):
        end += 1
    outside = [*source.cells[: starts[0]], *source.cells[end:]]
    if lost := [role(cell) for cell in outside if role(cell)]:
        raise FormError(f"exercise cells outside the section of exercises: {lost}")
    return slice(starts[0], end)


def _opens_a_section(cell: NotebookNode) -> bool:
    return cell.cell_type == "markdown" and re.match(r"##? ", cell.source) is not None


def exercises(source: NotebookNode) -> dict[str, dict[str, NotebookNode]]:
    """The exercises by number: role -> cell. Says what is missing from any of them.

    Raises:
        FormError: an exercise without a check, a solution or hidden tests.
    """
    found: dict[str, dict[str, NotebookNode]] = {}
    for cell in source.cells[section(source)]:
        if tagged := role(cell):
            kind, number = tagged
            if kind in found.setdefault(number, {}):
                raise FormError(f"exercise {number} has two cells tagged {kind}-{number}")
            found[number][kind] = cell
    for number, cells in found.items():
        if set(cells) not in ({"answer", "check", "hidden"}, {"manual"}):
            raise FormError(
                f"exercise {number} has the cells {sorted(cells)}; it needs answer, check and "
                "hidden, or manual alone"
            )
        marked = cells.get("answer") or cells["manual"]
        if len(SOLUTION.findall(marked.source)) != 1:
            raise FormError(f"exercise {number} needs one solution between BEGIN and END SOLUTION")
    return found


def without_solution(cell: NotebookNode) -> str:
    """A cell's text with the stub in place of the solution, indented as the solution was."""
    stub = CODE_STUB if cell.cell_type == "code" else TEXT_STUB

    def put(match: re.Match) -> str:
        return "\n".join(match[1] + line for line in stub.splitlines())

    return SOLUTION.sub(put, cell.source)


def with_solution(cell: NotebookNode) -> str:
    """A cell's text with the solution, and without the marks around it."""
    return SOLUTION.sub(lambda match: match[2].rstrip("\n"), cell.source)


def _rewritten(
    cells: list[NotebookNode], rewrite: Callable[[NotebookNode], NotebookNode | None]
) -> Iterator[NotebookNode]:
    for cell in cells:
        copy = rewrite(nbformat.from_dict(cell))
        if copy is not None:
            yield copy


def story(source: NotebookNode) -> NotebookNode:
    """What a learner opens: the whole notebook, its exercises unanswered, no hidden tests.

    A check of an exercise that is not answered raises; the tag raises-exception lets "Run All
    Cells" go on after it.
    """
    exercises(source)

    def rewrite(cell: NotebookNode) -> NotebookNode | None:
        kind, number = role(cell) or ("", "")
        if kind in ("answer", "manual"):
            cell.source = without_solution(cell)
        elif kind == "check":
            cell.metadata.tags = [*cell.metadata.tags, "raises-exception"]
        if MARK.search(cell.source) and kind != "hidden":
            raise FormError(f"a solution would be handed out: {cell.source[:60]!r}")
        if any(OWN.fullmatch(tag) for tag in cell.metadata.get("tags", [])):
            cell.metadata.given = digest(cell.source)  # whatever else it says is the learner's
        return None if kind == "hidden" else cell

    cells = list(_rewritten(source.cells, rewrite))
    _fold_what_was_found(cells)
    return _with_cells(source, cells)


PREDICTS, REVEALS = re.compile(r"predict_\w+"), re.compile(r"reveal_\w+")
AFTER = "After your prediction: what was found"


def calls(cell: NotebookNode, name: re.Pattern) -> bool:
    """Whether a code cell calls a function of such a name."""
    if cell.cell_type != "code":
        return False
    try:
        nodes = ast.walk(ast.parse(cell.source))
    except SyntaxError:
        return False
    functions = [node.func for node in nodes if isinstance(node, ast.Call)]
    return any(isinstance(f, ast.Name) and name.fullmatch(f.id) for f in functions)


def reveals(notebook: NotebookNode) -> list[str]:
    """The ids of the cells that show what was to be predicted."""
    return [cell.id for cell in notebook.cells if calls(cell, REVEALS)]


def locked(executed: NotebookNode) -> tuple[NotebookNode, dict[str, list]]:
    """An executed story without what spoils a prediction, and that: id of a cell -> outputs."""
    copy, spoilers = nbformat.from_dict(executed), set(reveals(executed))
    taken = {cell.id: cell.outputs for cell in copy.cells if cell.id in spoilers}
    for cell in copy.cells:
        if cell.id in spoilers:
            cell.outputs = []
    return copy, taken


def unlocked(notebook: NotebookNode, taken: dict[str, list]) -> NotebookNode:
    """The whole story again: the opposite of `locked`."""
    copy = nbformat.from_dict(notebook)
    for cell in copy.cells:
        if cell.id in taken:
            cell.outputs = nbformat.from_dict(taken[cell.id])
    return copy


def _fold_what_was_found(cells: list[NotebookNode]) -> None:
    """The text right after a reveal tells in words what the reveal shows: it waits for a click."""
    for before, cell in zip(cells, cells[1:], strict=False):
        if calls(before, REVEALS) and cell.cell_type == "markdown" and cell.source[0] != "#":
            text = cell.source.strip()
            cell.source = f"<details><summary>{AFTER}</summary>\n\n{text}\n\n</details>"


def solutions(source: NotebookNode, name: str) -> NotebookNode | None:
    """The exercises of a notebook, answered, with the hidden tests; None if it has none."""
    if not exercises(source):
        return None

    def rewrite(cell: NotebookNode) -> NotebookNode:
        kind, number = role(cell) or ("", "")
        if kind in ("answer", "manual"):
            cell.source = with_solution(cell)
        elif kind == "hidden":
            cell.source = f"# the teacher's tests, which assignments hide\n{cell.source}"
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"\]\((?=pictures/|\d\d_|\.\./)", "](../", cell.source)
        return cell

    intro = _markdown(
        f"# Solutions of {title(source)}\n\nThe exercises of [{title(source)}](../{name}.ipynb), "
        "answered. One way, not the only one: the checks take any answer that gives the right "
        "values.",
        "solutions",
    )
    return _with_cells(source, [intro, *_rewritten(_tasks(source), rewrite)])


def _tasks(source: NotebookNode) -> list[NotebookNode]:
    """The section of exercises without its introduction, which speaks to readers of the story."""
    return source.cells[section(source)][1:]


def assignment(source: NotebookNode, name: str) -> NotebookNode | None:
    """The exercises as a source for `nbgrader generate_assignment`; None if there are none."""
    if not exercises(source):
        return None
    graded = [c for cells in exercises(source).values() for k, c in cells.items() if k != "answer"]
    total = sum(points(cell) for cell in graded)
    told = INSTRUCTIONS.format(
        points=total, minutes=10 * round(total * MINUTES_PER_POINT / 10), number=name[:2], name=name
    )
    texts = iter(range(1, len(source.cells)))

    def rewrite(cell: NotebookNode) -> NotebookNode:
        kind, number = role(cell) or ("", "")
        worth = points(cell) if kind in ("check", "hidden", "manual") else None
        grade_id = f"{kind}-{number}" if kind else f"given-{next(texts)}"
        metadata = {"nbgrader": _nbgrader(grade_id, kind, worth)}
        folded = {"jupyter": cell.metadata.jupyter} if "jupyter" in cell.metadata else {}
        cell.metadata = nbformat.from_dict({**metadata, **folded})
        if kind == "hidden":
            cell.source = (
                "# Hidden tests, with other inputs than the public check's, run here.\n"
                f"### BEGIN HIDDEN TESTS\n{cell.source}\n### END HIDDEN TESTS"
            )
        if cell.cell_type == "markdown":  # the other notebooks are not handed out
            cell.source = LINK_TO_NOTEBOOK.sub(r"\1", cell.source)
        return cell

    intro = _markdown(f"# {title(source)}: assignment\n\n{told}", "instructions")
    return _with_cells(source, list(_rewritten([intro, *_tasks(source)], rewrite)))


INSTRUCTIONS = """\
{points} points, about {minutes} minutes. Sections that a task names are those of notebook {number}.

Write each answer in place of `raise NotImplementedError()`, and answers in words in place of
*YOUR ANSWER HERE*. Run the answer, then the cell below it: its **public check** says what is wrong,
and you may ask it as often as you like. **Hidden tests** with other inputs are run after you hand
in, so an answer that only fits the public check's inputs loses points. Do not edit, move or delete
the given cells: they are replaced by the originals before grading.

**Hand in** this one file, saved, under its own name: `{name}.ipynb`."""
MINUTES_PER_POINT = 5  # chosen here: 16 points in 80 minutes


def _nbgrader(grade_id: str, kind: str, worth: int | None) -> dict:
    """Metadata of one cell, nbgrader's schema 3."""
    written = kind in ("answer", "manual")
    data = {
        "schema_version": 3,
        "grade_id": grade_id,
        "grade": worth is not None,
        "solution": written,
        "locked": not written,
        "task": False,
    }
    return data if worth is None else {**data, "points": worth}


def title(source: NotebookNode) -> str:
    """The text of a notebook's first heading."""
    return source.cells[0].source.splitlines()[0].removeprefix("# ").strip()


def images(notebook: NotebookNode) -> list[str]:
    """The pictures that a notebook's text shows, as paths from its folder."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
    return [path for cell in cells for path in IMAGE.findall(cell.source)]


def _markdown(text: str, id: str) -> NotebookNode:
    return nbformat.v4.new_markdown_cell(text, id=id)


def _with_cells(notebook: NotebookNode, cells: list[NotebookNode]) -> NotebookNode:
    copy = nbformat.from_dict({**notebook, "cells": []})
    copy.cells = cells
    return copy
