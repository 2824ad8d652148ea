"""Build all forms of the notebooks from their text sources: `python notebooks/build.py [NN ...]`.

Each notebook has one source, `source/NN_name.py` (jupytext, percent format). From it come

- `NN_name.ipynb`, the whole story with unanswered exercises, run from top to bottom in a fresh
  kernel; what a learner is to predict first is not in it;
- `revealed/NN_name.json`, the outputs that were taken out for that: the web pages show them folded,
  and the notebooks' test compares them;
- `solutions/NN_name.ipynb`, the exercises answered, also run;
- `assignments/source/NN_name/`, the same exercises for nbgrader, with points and hidden tests.

From all of them, and from the files of the glossary, the summary and the course's contents, come
`glossary.ipynb`, `summary.ipynb` and the tables of README.md and TEACHING.md.

Whatever differs between two runs of the same code is taken out, so a rebuild that changes no
result changes no line of any file. `--exercises` runs the exercises only and leaves the story's
other outputs as they are stored; `--check` runs nothing and says where files have drifted apart.

A build is a chain of functions from notebook to notebook: `read_source`, a form of `forms.py`,
`execute`, `tidy`, `write`.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import re
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import forms
import glossary
import jupytext
import nbformat
import psutil
import signposts
from nbclient import NotebookClient
from nbformat import NotebookNode

from landscape_nb.course.predictions import REVEAL
from landscape_nb.course.saved_work import digest
from landscape_nb.figures.summary import small_picture
from landscape_nb.numerics.files import replace_files

NOTEBOOKS = Path(__file__).resolve().parent
ROOT = NOTEBOOKS.parent
SOURCES = NOTEBOOKS / "source"
SUMMARY = NOTEBOOKS / "site_template" / "summary.toml"
PICTURES = NOTEBOOKS / "pictures"  # shown by README.md
CELL_TIMEOUT = 900  # seconds; the longest notebook as a whole has 120, chosen here
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def source_paths(numbers: list[str] | None = None) -> list[Path]:
    """All sources in the order of the course, or those with the given numbers ("01", "1")."""
    paths = sorted(SOURCES.glob("[0-9][0-9]_*.py"))
    if not numbers:
        return paths
    by_number = {path.name[:2]: path for path in paths}
    unknown = [n for n in numbers if n.zfill(2) not in by_number]
    if unknown:
        raise SystemExit(f"no source numbered {', '.join(unknown)}; there are {sorted(by_number)}")
    return [by_number[n.zfill(2)] for n in numbers]


def notebook_path(source: Path) -> Path:
    """Where the story that a source tells belongs."""
    return source.parent.parent / f"{source.stem}.ipynb"


def solutions_path(source: Path) -> Path:
    """Where the answered exercises belong."""
    return source.parent.parent / "solutions" / f"{source.stem}.ipynb"


def revealed_path(notebook: Path) -> Path:
    """Where the outputs belong that a learner's notebook keeps back."""
    return notebook.parent / "revealed" / f"{notebook.stem}.json"


def read_revealed(notebook: Path) -> dict[str, list]:
    """The outputs that a learner's notebook keeps back, by the ids of their cells."""
    path = revealed_path(notebook)
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def read_story(path: Path) -> NotebookNode:
    """A stored notebook of the course with all of its outputs."""
    return forms.unlocked(nbformat.read(path, as_version=4), read_revealed(path))


def assignment_path(source: Path) -> Path:
    """Where nbgrader looks for the teacher's form: one folder for each assignment."""
    folder = source.parent.parent / "assignments" / "source" / source.stem
    return folder / f"{source.stem}.ipynb"


def read_source(path: Path) -> NotebookNode:
    """The unexecuted notebook that a source describes, with stable cell ids and a kernel.

    JupyterLab asks for a kernel in a dialog when the metadata name none. A cell's id follows its
    text, not its position, so a cell inserted at the top leaves all other ids alone.
    """
    notebook = jupytext.read(path, fmt="py:percent")
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {
                "display_name": "Python 3 (ipykernel)",
                "language": "python",
                "name": "python3",
            },
            "language_info": {"name": "python"},
        }
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    seen: Counter[str] = Counter()
    for cell in notebook.cells:
        text = f"{path.stem}\n{cell.cell_type}\n{cell.source}"
        cell.id = hashlib.sha256(f"{text}\n{seen[text]}".encode()).hexdigest()[:12]
        seen[text] += 1
    return notebook


def execute(notebook: NotebookNode, cwd: Path = NOTEBOOKS) -> NotebookNode:
    """The notebook after a run in a fresh kernel; an exception in a cell ends the build."""
    executed = nbformat.from_dict(notebook)
    NotebookClient(
        executed,
        kernel_name="python3",
        extra_arguments=["--log-level=ERROR"],  # of the kernel's own log, not of the cells
        timeout=CELL_TIMEOUT,
        record_timing=False,
        store_widget_state=False,  # without its state GitHub refuses a notebook with widgets
        resources={"metadata": {"path": str(cwd)}},
    ).execute(env={**os.environ, REVEAL: "1"})
    return executed


def tidy(executed: NotebookNode) -> tuple[NotebookNode, list[str]]:
    """The executed notebook without what no two runs share, and the warnings it contained.

    Progress bars (stderr) go, as do the random model ids of widgets, in whose place every viewer
    shows the static picture stored beside them. What was on stderr and was no progress bar is
    returned: a warning that learners would see must be dealt with, not hidden.
    """
    notebook, warnings = nbformat.from_dict(executed), []
    notebook.metadata.pop("widgets", None)
    notebook.metadata.language_info = nbformat.from_dict({"name": "python"})
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            warnings += [line for text in _texts(cell, "stderr") for line in _not_progress(text)]
            cell.outputs = _merged(out for out in cell.outputs if out.get("name") != "stderr")
            for output in cell.outputs:
                output.get("data", {}).pop(WIDGET_VIEW, None)
    return notebook, warnings


def _texts(cell: NotebookNode, stream: str) -> list[str]:
    return [out.text for out in cell.outputs if out.get("name") == stream]


def _not_progress(stderr: str) -> list[str]:
    """The lines of stderr that are no states of a progress bar, which carry "%|" or "[00:12<"."""
    lines = (line.strip() for line in stderr.replace("\r", "\n").splitlines())
    return [line for line in lines if line and not re.search(r"%\||\[\d+:\d\d[<,]", line)]


def _merged(outputs) -> list[NotebookNode]:
    """Neighbouring pieces of stdout as one: where a stream is cut depends on the clock."""
    merged: list[NotebookNode] = []
    for output in outputs:
        if merged and output.output_type == merged[-1].output_type == "stream":
            merged[-1].text += output.text
        else:
            merged.append(output)
    return merged


def write(notebook: NotebookNode, path: Path) -> None:
    """Write in one step: an interrupted build leaves the old notebook, never half a new one."""
    replace_files({path: _bytes(notebook)})


def _bytes(notebook: NotebookNode) -> bytes:
    nbformat.validate(notebook)
    return (nbformat.writes(notebook) + "\n").encode()


def refuse_answers(path: Path) -> None:
    """End the program rather than replace a notebook in which a learner has written something.

    The story is both what is built and what a learner works in. What cannot be read may be work.
    """
    if not path.exists():
        return
    try:
        cells = nbformat.read(path, as_version=4).cells
    except Exception as error:  # whatever an editor or a merge has made of it
        raise SystemExit(
            f"{path} can't be read ({type(error).__name__}), so it is left as it is. Move it away "
            "to build it anew."
        ) from None
    for cell in cells:
        given = cell.metadata.get("given")
        if given is not None and cell.source.strip() and digest(cell.source) != given:
            raise SystemExit(
                f"{path} holds work of yours in the cell that begins {cell.source[:40]!r}, so it "
                "is left as it is. Save your work or move the notebook away to build it anew."
            )


def agree(source: NotebookNode, notebook: NotebookNode) -> list[str]:
    """Where a notebook's cells differ from its source, outputs aside; empty if nowhere.

    The cells themselves are compared, because times of files mean nothing after a checkout.
    """
    if len(source.cells) != len(notebook.cells):
        return [f"{len(source.cells)} cells in the source, {len(notebook.cells)} in the notebook"]
    return [
        f"cell {index}: {what} differs from the source"
        for index, cells in enumerate(zip(source.cells, notebook.cells, strict=True))
        for what, key in CELL_PARTS.items()
        if key(cells[0]) != key(cells[1])
    ]


CELL_PARTS = {
    "type": lambda cell: cell.cell_type,
    "text": lambda cell: cell.source,
    "tags": lambda cell: sorted(cell.metadata.get("tags", [])),
    "folding": lambda cell: cell.metadata.get("jupyter", {}),
    "digest": lambda cell: cell.metadata.get("given"),
    "marking": lambda cell: cell.metadata.get("nbgrader", {}),
}


def executed_in_order(notebook: NotebookNode) -> list[str]:
    """Code cells that were not run, or not in the order 1, 2, ... of one fresh kernel.

    Jupyter gives an empty cell no number; nbval passes over a cell that was never run.
    """
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    return [
        f"code cell {expected} has execution count {cell.execution_count}: {cell.source[:40]!r}"
        for expected, cell in enumerate(cells, start=1)
        if cell.execution_count != expected
    ]


def pictures(notebook: NotebookNode) -> dict[str, bytes]:
    """PNGs of the cells tagged "picture-NAME", by name: they also appear outside the notebook."""
    return {
        tag.removeprefix("picture-"): base64.b64decode(output.data["image/png"])
        for cell in notebook.cells
        for tag in cell.metadata.get("tags", [])
        if tag.startswith("picture-")
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    }


def problems(source: Path) -> list[str]:
    """Everything that makes the stored forms of this source stale or unfit to publish."""
    read = read_source(source)
    found = []
    for path, form in _forms(source, read).items():
        name = path.relative_to(source.parent.parent)
        if form is None:
            found += [f"{name} has no exercises in its source"] if path.exists() else []
        elif not path.exists():
            found.append(f"{name} is not built")
        else:
            stored = nbformat.read(path, as_version=4)
            told = agree(form, stored)
            if path != assignment_path(source):
                told += executed_in_order(stored)
            if path == notebook_path(source):
                told += _spoilers(stored, read_revealed(path))
            told += ["has metadata.widgets"] if "widgets" in stored.metadata else []
            told += [
                f"pictures/{picture}.png is not the one in the notebook"
                for picture, png in pictures(stored).items()
                if not _same(PICTURES / f"{picture}.png", png)
            ]
            found += [f"{name}: {complaint}" for complaint in told]
    return found + _stale_copies(source)


def _spoilers(stored: NotebookNode, taken: dict[str, list]) -> list[str]:
    """Reveals whose outputs are in the learner's notebook, or are not kept beside it."""
    ids = forms.reveals(stored)
    shown = [cell.id for cell in stored.cells if cell.id in ids and cell.outputs]
    lost = [id for id in ids if not taken.get(id)]
    found = [f"cell {id} gives a prediction away" for id in shown]
    found += [f"revealed/ lacks the outputs of cell {id}" for id in lost]
    return found + [f"revealed/ has a cell {id} that reveals nothing" for id in {*taken} - {*ids}]


def story(source: Path, read: NotebookNode) -> NotebookNode:
    """What a learner opens, with the way on at both ends and its words linked to the glossary."""
    told, first = forms.story(read), read_source(source_paths()[0])
    signposts.signposted(told, source.stem, first, glossary.read_terms(ROOT / glossary.GLOSSARY))
    return told


def _forms(source: Path, read: NotebookNode) -> dict[Path, NotebookNode | None]:
    """Where each form belongs, and its cells before they are run."""
    return {
        notebook_path(source): story(source, read),
        solutions_path(source): forms.solutions(read, source.stem),
        assignment_path(source): forms.assignment(read, source.stem),
    }


def _same(path: Path, content: bytes) -> bool:
    return path.exists() and path.read_bytes() == content


def _stale_copies(source: Path) -> list[str]:
    """Pictures of the assignment that are not those that the story shows."""
    form = forms.assignment(read_source(source), source.stem)
    folder = assignment_path(source).parent
    return [
        f"the assignment's {image} is not that of the story"
        for image in (forms.images(form) if form else [])
        if not _same(folder / image, (NOTEBOOKS / image).read_bytes())
    ]


def texts() -> dict[Path, bytes]:
    """What stands beside the course, by its path: glossary, summary, tables. Nothing is run."""
    sources = {path.name[:2]: read_source(path) for path in source_paths()}
    terms = glossary.read_terms(ROOT / glossary.GLOSSARY)
    books = {
        signposts.GLOSSARY: signposts.glossary(terms, sources),
        signposts.SUMMARY: signposts.summary(SUMMARY, sources),
    }
    files = {NOTEBOOKS / name: _bytes(book) for name, book in books.items()}
    for path in (ROOT / "README.md", NOTEBOOKS / "TEACHING.md"):
        files[path] = signposts.with_tables(path.read_text("utf-8")).encode()
    return files


def small_pictures() -> dict[Path, bytes]:
    """The pictures of the summary that are not there: other versions draw them otherwise."""
    names = [row["picture"] for row in signposts.read_summary(SUMMARY) if "picture" in row]
    paths = {name: PICTURES / f"summary-{name}.png" for name in names}
    return {path: small_picture(name) for name, path in paths.items() if not path.exists()}


def stale_texts() -> list[str]:
    """What stands beside the course and is not as its sources have it."""
    stale = [path for path, content in texts().items() if not _same(path, content)]
    return [f"{path.name} is not up to date: build it" for path in [*stale, *small_pictures()]]


class PeakMemory:
    """Largest resident memory (bytes) of all child processes of this one, sampled in a thread.

    Sampled, because the `ru_maxrss` of a child process starts at the size of its parent.
    """

    interval = 0.05  # seconds, chosen here: short against the life of any large array

    def __enter__(self) -> PeakMemory:
        """Start sampling."""
        self.peak, self._done = 0, threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        """Stop sampling."""
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._done.wait(self.interval):
            self.peak = max(self.peak, sum(map(_resident, psutil.Process().children(True))))


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.Error:  # it ended meanwhile
        return 0


def build(source: Path, exercises_only: bool = False) -> list[str]:
    """Build all forms of one source, print what that cost, and return the runs' warnings.

    Nothing is written before all of it has run, so that forms of one source do not drift apart.
    """
    refuse_answers(notebook_path(source))
    start = time.perf_counter()
    read = read_source(source)
    with PeakMemory() as memory:
        files, warnings = built_exercises(source, read)
        stored = run_exercises(source, read) if exercises_only else execute(story(source, read))
        notebook, more = tidy(stored)
    notebook, taken = forms.locked(notebook)
    files |= _with_pictures(notebook, notebook_path(source))
    files[revealed_path(notebook_path(source))] = _json(taken)
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
    own = notebook_path(source).resolve()
    replace_files(files, refuse=lambda path: refuse_answers(path) if path == own else None)
    seconds = time.perf_counter() - start
    print(f"{source.stem}: {seconds:.1f} s, peak {memory.peak / 1e6:.0f} MB", flush=True)
    return [f"on stderr: {line}" for line in warnings + more]


def built_exercises(source: Path, read: NotebookNode) -> tuple[dict[Path, bytes], list[str]]:
    """Solutions and assignment; the pictures of the former go into the latter. And warnings."""
    solved, graded = forms.solutions(read, source.stem), forms.assignment(read, source.stem)
    if solved is None or graded is None:
        return {}, []
    path = solutions_path(source)
    path.parent.mkdir(exist_ok=True)  # where they run
    notebook, warnings = tidy(execute(solved, cwd=path.parent))
    files = _with_pictures(notebook, path)
    path = assignment_path(source)
    images = {name: NOTEBOOKS / name for name in forms.images(graded)}
    copies = {
        path.parent / name: files.get(image) or image.read_bytes() for name, image in images.items()
    }
    return {**files, path: _bytes(graded), **copies}, warnings


def run_exercises(source: Path, read: NotebookNode) -> NotebookNode:
    """The stored story with its exercises run anew, in a kernel of their own."""
    told = story(source, read)
    stored = {c.id: c for c in read_story(notebook_path(source)).cells}
    part = forms.section(told)
    outside = [*told.cells[: part.start], *told.cells[part.stop :]]
    if changed := [c.source for c in outside if c.cell_type == "code" and c.id not in stored]:
        raise SystemExit(
            f"{source.stem}: changed outside its exercises, so it must be built as a whole; the "
            f"first changed cell is\n{changed[0]}"
        )
    alone = nbformat.from_dict({**told, "cells": []})
    alone.cells = told.cells[part]
    code = [cell.id for cell in told.cells if cell.cell_type == "code"]
    kept = [stored.get(c.id, c) if c.id in code else c for c in told.cells]
    kept[part] = execute(alone).cells
    told.cells = kept
    code = [cell for cell in kept if cell.cell_type == "code" and cell.source.strip()]
    for count, cell in enumerate(code, start=1):
        cell.execution_count = count
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = count
    return told


def _json(taken: dict[str, list]) -> bytes:
    return (json.dumps(taken, indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode()


def _with_pictures(notebook: NotebookNode, path: Path) -> dict[Path, bytes]:
    """The files of a notebook: itself, and its pictures that also appear outside it."""
    named = {PICTURES / f"{name}.png": png for name, png in pictures(notebook).items()}
    return {path: _bytes(notebook), **named}


def main(arguments: list[str] | None = None) -> int:
    """Build or check the named notebooks; the exit code is 1 if any has something to complain."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("numbers", nargs="*", metavar="NN", help="two-digit numbers; default all")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="run nothing, compare with sources")
    what.add_argument("--exercises", action="store_true", help="run the exercises only")
    options = parser.parse_args(arguments)
    complaints = 0
    if options.check:
        for complaint in stale_texts():
            print(complaint, file=sys.stderr)
            complaints += 1
    else:
        replace_files({**texts(), **small_pictures()})
    for source in source_paths(options.numbers):
        told = problems(source) if options.check else build(source, options.exercises)
        for complaint in told:
            print(f"{source.stem}: {complaint}", file=sys.stderr)
            complaints += 1
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
