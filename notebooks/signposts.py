"""What stands around the story of a notebook: the way on, words explained, glossary and summary.

`signposted` puts a line with the notebooks before and after, the map, the glossary and the summary
at both ends of a story, and makes the first use of each word of the glossary a link. `glossary` and
`summary` are notebooks of text alone. `tables` are those of README.md and TEACHING.md.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

import forms
import nbformat
from glossary import HEADING, Term, forms_of, fragment, linked, section, unlinked
from nbformat import NotebookNode

from landscape_nb.course.contents import Notebook, notebooks

GLOSSARY, SUMMARY = "glossary.ipynb", "summary.ipynb"
WAYS = ("way-at-the-top", "way-at-the-end")  # ids of the two cells with the way on
OPENING = """\
# Glossary

The words of this course, each in a sentence or two. A word that is a link in a notebook leads \
here."""
ON_ONE_PAGE = """\
# The course on one page

Each symbol, what it stands for, and the notebook that explains it."""


def signposted(story: NotebookNode, name: str, start: NotebookNode, terms: Sequence[Term]) -> None:
    """Put the way on and the links to words into a story, in place.

    Args:
        story: the form that a learner opens.
        name: of its file, without the ending.
        start: the first notebook of the course, which has the map.
        terms: of the glossary.
    """
    left = forms_of(terms)
    for cell in story.cells:
        if (
            cell.cell_type == "markdown"
            and forms.role(cell) is None
            and not cell.source.startswith("<")
        ):
            cell.source = linked(cell.source, left, GLOSSARY)
    line = way_on(name, start)
    top, end = (nbformat.v4.new_markdown_cell(line, id=id) for id in WAYS)
    story.cells = [top, *story.cells, end]


def without_signposts(story: NotebookNode) -> None:
    """Take out of a story, in place, what an exported page has of its own."""
    story.cells = [cell for cell in story.cells if cell.get("id") not in WAYS]
    for cell in story.cells:
        if cell.cell_type == "markdown":
            cell.source = unlinked(cell.source, GLOSSARY)


def way_on(name: str, start: NotebookNode) -> str:
    """The line at both ends of a notebook; of a text beside the course, the way back to it."""
    course = notebooks()
    files = [one.file for one in course]
    place = files.index(name) if name in files else None
    links = []
    if place:
        links += [f"[← {_title(course[place - 1])}]({files[place - 1]}.ipynb)"]
    if at := map_heading(start):
        links += [f"[Map]({'' if place == 0 else f'{files[0]}.ipynb'}{at})"]
    links += [f"[Glossary]({GLOSSARY})"] if name != Path(GLOSSARY).stem else []
    links += [f"[One-page summary]({SUMMARY})"] if name != Path(SUMMARY).stem else []
    if place is not None and place + 1 < len(course):
        links += [f"[{_title(course[place + 1])} →]({files[place + 1]}.ipynb)"]
    return " · ".join(links)


def map_heading(start: NotebookNode) -> str:
    """The end of a link to the section of a notebook that has the map; "" if none has."""
    heading = ""
    for cell in start.cells:
        if cell.cell_type == "code" and "CourseMap(" in cell.source:
            return heading
        if cell.cell_type == "markdown" and (found := HEADING.findall(cell.source)):
            heading = f"#{fragment(found[-1][1])}"
    return ""


def _title(one: Notebook) -> str:
    return f"{one.number} {one.title}"


def _by_number(number: str) -> Notebook:
    return next(one for one in notebooks() if one.number == number)


# ---- texts beside the course ---------------------------------------------------------------


def glossary(terms: Sequence[Term], sources: dict[str, NotebookNode]) -> NotebookNode:
    """The glossary as a notebook; `sources` has the notebooks by their numbers."""
    entries = []
    for term in terms:
        one, source = _by_number(term.at), sources[term.at]
        where = section(term, [c.source for c in source.cells if c.cell_type == "markdown"])
        entries.append(
            f"## {term.name}\n\n{term.words}\n\n"
            f"[Explained in {_title(one)}]({one.file}.ipynb{where})"
        )
    return _of_texts(Path(GLOSSARY).stem, sources, OPENING, "\n\n".join(entries))


def summary(path: Path, sources: dict[str, NotebookNode]) -> NotebookNode:
    """The one-page summary as a notebook, from its file."""
    rows = ["| symbol | what it is | picture | notebook |", "|---|---|---|---|"]
    for row in read_summary(path):
        one = _by_number(row["notebook"])
        name = f"pictures/summary-{row.get('picture')}.png"
        seen = f"![{row['shows']}]({name})" if "picture" in row else ""
        cells = [f"${row['symbol']}$", row["means"], seen, f"[{_title(one)}]({one.file}.ipynb)"]
        rows.append(f"| {' | '.join(cells)} |")
    return _of_texts(Path(SUMMARY).stem, sources, ON_ONE_PAGE, "\n".join(rows))


def read_summary(path: Path) -> list[dict[str, str]]:
    """The rows of the summary."""
    return tomllib.loads(path.read_text("utf-8"))["row"]


def _of_texts(name: str, sources: dict[str, NotebookNode], opening: str, text: str) -> NotebookNode:
    """A notebook of text alone, which JupyterLab shows drawn at once."""
    start = sources[notebooks()[0].number]
    parts = {WAYS[0]: way_on(name, start), "opening": opening, "text": text}
    cells = [nbformat.v4.new_markdown_cell(part, id=id) for id, part in parts.items()]
    return nbformat.v4.new_notebook(cells=cells, metadata=start.metadata)


# ---- tables elsewhere ----------------------------------------------------------------------


def tables() -> dict[str, list[str]]:
    """The tables of the notebooks, by their first line: that of README.md, and of TEACHING.md."""
    front, teaching = [], []
    for one in notebooks():
        link = f"[{_title(one)}](notebooks/{one.file}.ipynb)"
        front.append(f"| {link} | {one.question} | {one.about} | {one.read} |")
        needs = "-" if one.before == "nothing" else one.before
        cells = [f"[{one.number}]({one.file}.ipynb)", one.after, one.read, one.exercises, needs]
        teaching.append(f"| {' | '.join(map(str, cells))} |")
    return {
        "| notebook | question | about | minutes |": ["|---|---|---|---|", *front],
        "| notebook | after it a student can | read and run | exercises | needs |": [
            "|---|---|---|---|---|",
            *teaching,
        ],
    }


def with_tables(text: str) -> str:
    """A text with each table that it has of these brought up to date."""
    for header, rows in tables().items():
        table = re.compile(rf"^{re.escape(header)}\n(?:\|.*\n)*", re.MULTILINE)
        fresh = "\n".join([header, *rows, ""])
        text = table.sub(lambda _, fresh=fresh: fresh, text)
    return text
