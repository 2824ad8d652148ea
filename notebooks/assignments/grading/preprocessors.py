"""nbgrader's steps as this course takes them: restore the given cells, run, keep tests hidden."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbconvert.preprocessors.sanitize import SanitizeHTML
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, new_raw_cell
from nbgrader import utils
from nbgrader.api import Gradebook
from nbgrader.preprocessors import Execute, NbGraderPreprocessor
from traitlets import Bool, Integer, List, Unicode

from .own_names import foreign_names, names_of

NEW = {"code": new_code_cell, "markdown": new_markdown_cell, "raw": new_raw_cell}
MARKUP = re.compile(r"<[a-zA-Z/!?]")
PICTURE, BASE64 = re.compile(r"image/(png|jpeg|gif|webp)"), re.compile(r"[A-Za-z0-9+/=\s]+")
FOLDER = Path(__file__).resolve().parent.parent
SECONDS_MORE = 60  # for the tests' own work, beyond what answers may take; chosen here


def forget_unfinished(course: Path, command: str) -> None:
    """Remove the copies that a run which was killed has left half done; nbgrader would skip them.

    Whoever they are of would have no marks, or half a page, and nobody would be told. Nothing is
    done while another run is at work. The lock is held until this process ends.
    """
    if command not in _UNFINISHED:
        return
    lock = os.open(course, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return fcntl.flock(lock, fcntl.LOCK_SH)
    folder, unfinished = _UNFINISHED[command]
    for copy in course.glob(f"{folder}/*/*"):
        if copy.is_dir() and any(unfinished(file) for file in copy.rglob("*") if file.is_file()):
            shutil.rmtree(copy)
    return fcntl.flock(lock, fcntl.LOCK_SH)


def _not_closed(file: Path) -> bool:
    """Whether it has not the mode that nbgrader gives at the end, to one teacher's or several's."""
    mode = file.stat().st_mode & 0o777
    return bool(mode & 0o222) and mode != 0o664


def _cut_short(file: Path) -> bool:
    return file.suffix == ".html" and b"</html>" not in file.read_bytes()[-100:]


# nbgrader's last step is the mode of a marked copy; of a page it is the end.
_UNFINISHED = {
    "autograde": ("autograded", _not_closed),
    "generate_feedback": ("feedback", _cut_short),
}


class RestoreCells(NbGraderPreprocessor):
    """The submission as a new notebook: the teacher's given cells, of the student's only the text.

    nbgrader restores the text of a test but believes its labels, tags and outputs. Here nothing of
    a given cell is believed, and of all others only what was written in them. Given cells and
    answers stand in the teacher's order; a cell that the student added stays behind the cell that
    it followed. Of two cells with one name the last counts, as in nbgrader.
    """

    def preprocess(self, nb, resources):
        """Put the notebook together anew."""
        about = resources["nbgrader"]
        with Gradebook(about["db_url"]) as gradebook:
            released = gradebook.find_notebook(about["notebook"], about["assignment"])
            labels = _labels(released)
            originals = {cell.name: cell for cell in released.source_cells}
            own, added = _sorted_cells(nb.cells, labels)
            cells = added.pop(None, [])
            for name, label in labels.items():
                cells.append(self._restored(own.get(name), originals[name], label))
                cells += added.pop(name, [])
        made = new_notebook(cells=cells)
        made.metadata.kernelspec = nb.metadata.get("kernelspec", {})
        return made, resources

    def _restored(self, found, original, label):
        name = label["grade_id"]
        if found is None:
            self.log.warning("Cell %s was missing: put back as handed out", name)
        elif label["locked"] and _text(found) != "\n".join(_parts(original.source)[0]):
            self.log.warning("Cell %s was edited: restored to what was handed out", name)
        if found is None or label["locked"]:
            return NEW[original.cell_type](original.source, metadata={"nbgrader": label})
        cell = _only_text(found, original.cell_type)
        cell.metadata["nbgrader"] = label
        return cell


def _sorted_cells(cells, labels) -> tuple[dict[str, Any], dict[str | None, list]]:
    """The cells of known names, and what stands behind each of them (None: before the first)."""
    last = {_name(cell): number for number, cell in enumerate(cells)}
    own: dict[str, Any] = {}
    added: dict[str | None, list] = {}
    behind = None
    for number, cell in enumerate(cells):
        name = _name(cell)
        if name in labels and last[name] == number:
            own[name], behind = cell, name
        else:
            added.setdefault(behind, []).append(_only_text(cell, cell.cell_type))
    return own, added


def _name(cell) -> str | None:
    label = cell.metadata.get("nbgrader")
    name = label.get("grade_id") if isinstance(label, dict) else None
    return name if isinstance(name, str) else None


def _text(cell) -> str:
    return cell.source if isinstance(cell.source, str) else "".join(cell.source)


def _only_text(cell, cell_type: str):
    """A new cell with this one's text, without markup that a browser would act on."""
    text = _text(cell)
    made = NEW.get(cell_type, new_raw_cell)(text)
    if cell_type == "markdown":
        pictures = _pictures(cell.get("attachments"))
        if pictures:
            made.attachments = pictures
        named = set(re.findall(r"attachment:([^\s)\"'>]*)", text))
        if {unquote(name) for name in named} - pictures.keys():  # would end the page's making
            text = text.replace("attachment:", "lost:")
            made.source = text
        if MARKUP.search(text):
            made.source = SanitizeHTML().sanitize_html_tags(text)
        made.source = re.sub(r"(?i)script\s*:", "script;", made.source)  # links may be in formulas
    return made


def _pictures(attachments) -> dict:
    """Of what is pasted into a cell, the pictures."""
    found = attachments if isinstance(attachments, dict) else {}
    return {
        name: kinds
        for name, kinds in found.items()
        if isinstance(kinds, dict)
        and all(PICTURE.fullmatch(kind) for kind in kinds)
        and all(isinstance(held, str) and BASE64.fullmatch(held) for held in kinds.values())
    }


def _labels(released) -> dict[str, dict]:
    """The nbgrader metadata of each cell that was handed out, by name, in order."""
    points = {cell.name: cell.max_score for cell in released.grade_cells}
    tasks = {cell.name: cell.max_score for cell in released.task_cells}
    answers = {cell.name for cell in released.solution_cells}
    labels = {}
    for cell in released.source_cells:
        labels[cell.name] = {
            "schema_version": 3,
            "grade_id": cell.name,
            "grade": cell.name in points,
            "solution": cell.name in answers,
            "task": cell.name in tasks,
            "locked": cell.locked,
            "cell_type": cell.cell_type,
            "checksum": cell.checksum,
        }
        if cell.name in points or cell.name in tasks:
            labels[cell.name]["points"] = {**points, **tasks}[cell.name]
    return labels


class SeparateExecute(Execute):
    """Run a submission: answers in a process of their own, given cells and tests in the kernel.

    A test passes if it ran to its end and raised nothing. An answer that ends its process, or
    takes too long, costs its own marks; the others go on in a new process.
    """

    memory = Integer(4 << 30, help="Bytes that answers may use.").tag(config=True)
    packages = List(Unicode(), help="Packages that answers may import.").tag(config=True)
    closed = List(Unicode(), help="Files and folders that answers must not read.").tag(config=True)
    unprotected = Bool(
        False, help="Mark even where this system cannot keep answers from the files."
    ).tag(config=True)

    def preprocess(self, nb, resources, km=None):
        """Run all cells; afterwards `resources` name the notebook's own folder again."""
        self._started, self._foreign = False, False  # whether anything of the student's has run
        self._hidden = []  # hidden tests, which wait until nothing more is shown to the student
        folder = resources["metadata"]["path"]
        self._course = [str(FOLDER), os.getcwd(), os.path.abspath(folder)]
        with tempfile.TemporaryDirectory() as scratch:
            resources["metadata"]["path"] = scratch
            try:
                nb, resources = super().preprocess(nb, resources, km)
            finally:
                resources["metadata"]["path"] = folder
        self._tell_names(nb, resources["nbgrader"])
        return nb, resources

    def _tell_names(self, nb, about):
        """Say if somebody was marked with the numbers that another name chooses."""
        with Gradebook(about["db_url"]) as gradebook:
            known = names_of(gradebook.find_student(about["student"]))
        if foreign := foreign_names(nb, known):
            self.log.warning(
                "%s handed in with the own numbers of another name: %s",
                about["student"], "; ".join(foreign),
            )  # fmt: skip

    def preprocess_cell(self, cell, resources, index):
        """Run one cell where it belongs, or record in it why it did not run to its end."""
        if cell.cell_type == "code":
            self._do(cell, resources, index)
        if index == len(self.nb.cells) - 1:
            for hidden, its_index in self._hidden:
                self._test(hidden, resources, its_index)
        return cell, resources

    def _do(self, cell, resources, index):
        if not self._started:
            self._start()
        if utils.is_grade(cell) and not utils.is_solution(cell):
            if _parts(cell.source)[1]:
                self._keep(cell, index)
            else:
                self._test(cell, resources, index)
        elif utils.is_locked(cell):
            self._given(cell, resources, index)
        else:
            self._answer(cell, resources, index)

    def _start(self):
        """Before any of the student's code: what fails here is the teacher's to mend."""
        closed = [*self.closed, *self._course]
        self._ask(
            f"import sys; sys.path.insert(0, {str(FOLDER)!r})\n"
            "from grading.remote import Answers as __Answers; del sys.path[0]\n"
            f"__answers = __Answers({list(self.packages)!r}, {closed!r},"
            f" {self.memory!r}, {self.unprotected!r})\n"
            "import atexit; atexit.register(__answers.close)"
        )
        self._started = True

    def _given(self, cell, resources, index):
        """In both processes; in the kernel, where tests will need it, it must not fail."""
        if not self._foreign:
            self._ask(f"__answers.begin({cell.source!r})")
        else:
            self._in_answers(new_code_cell(cell.source), resources, index)
        self._run(cell, resources, index)
        if error := next((out for out in cell.outputs if out.output_type == "error"), None):
            raise RuntimeError(
                "the given cells fail on this machine, so nothing can be marked: "
                f"{error.ename}: {error.evalue}"
            )
        # progress bars of the given cells would open the feedback
        cell.outputs = [out for out in cell.outputs if out.get("name") != "stderr"]

    def _answer(self, cell, resources, index):
        if cell.source.strip():
            self._in_answers(cell, resources, index)
            self._foreign = True

    def _in_answers(self, cell, resources, index):
        text = cell.source
        cell.source = f"__answers.allow({self.timeout!r}, False); __answers.run({text!r})"
        try:
            self._ask("__answers.ready()")
            self._run(cell, resources, index)
        except AnswersLost as error:
            cell.outputs = [_error("NotRun", str(error))]
        finally:
            cell.source = text

    def _keep(self, cell, index):
        """Keep the answers as they are at a hidden test's place."""
        try:
            self._ask(f"__answers.ready(); __answers.keep({_name(cell)!r})")
            self._hidden.append((cell, index))
        except AnswersLost as error:
            cell.outputs = [_error("NotRun", str(error))]

    def _test(self, cell, resources, index):
        hidden = bool(_parts(cell.source)[1])
        try:
            self._ask("__answers.ready()")
            if hidden:
                self._ask(f"__answers.wake({_name(cell)!r})")
            self._ask(f"__answers.bind({cell.source!r}, get_ipython().user_ns)")
            self._ask(f"__answers.allow({self.timeout!r}, {hidden!r})")
            self._run(cell, resources, index)
        except AnswersLost as error:
            self._outcome, cell.outputs = "error", [_error("NotRun", str(error))]
        if self._outcome not in ("ok", "error"):  # no mark for a test that did not run
            cell.outputs = [_error("NotRun", "this test did not run")]
        cell.outputs = _decisive(cell.outputs)
        if hidden:
            self._ask("__answers.rest()")

    def _run(self, cell, resources, index):
        self._outcome = None
        try:
            super().preprocess_cell(cell, resources, index)
        except (DeadKernelError, CellTimeoutError) as error:
            raise RuntimeError(f"the tests' own process failed: {error}") from None

    def on_cell_executed(self, **kwargs):
        """Note how a cell ended, as the kernel says; outputs alone would not tell."""
        super().on_cell_executed(**kwargs)
        self._outcome = kwargs["execute_reply"]["content"]["status"]

    def _get_timeout(self, cell):
        """The kernel's limit; that of the answers is kept by the kernel itself, and comes first."""
        return None if self.timeout is None else self.timeout + SECONDS_MORE

    def _ask(self, code):
        """Have the kernel do something that leaves no trace in its history or outputs."""
        reply = self.wait_for_reply(self.kc.execute(code, silent=True))
        if reply is None:
            raise RuntimeError("the tests' own process has ended")
        reply = reply["content"]
        if reply["status"] == "ok":
            return
        if reply["ename"] == "AnswerLost":
            raise AnswersLost(reply["evalue"])
        raise RuntimeError(reply["evalue"])


class AnswersLost(Exception):
    """There is no process of answers any more."""


def _error(name, message):
    return new_output("error", ename=name, evalue=message, traceback=[f"{name}: {message}"])


def _decisive(outputs):
    """Outputs of a test such that nbgrader counts an exception, and nothing else, against it.

    nbgrader takes the first of error, stderr and result as decisive: a warning of some library
    would fail a right answer, and a number that a test ends with would pass for part of the mark.
    """
    for output in outputs:
        if output.output_type == "execute_result":
            output.output_type = "display_data"
            del output["execution_count"]
        elif output.output_type == "stream":
            output.name = "stdout"
    return sorted(outputs, key=lambda output: output.output_type != "error")


# What a hidden test may say of an error: the words of the test's own assertions, and these.
HIDDEN = "Your answer, or what it returned, raised an error with this test's inputs."
PLAIN = {"NotImplementedError": "There is no answer yet."}


class KeepTestsHidden(NbGraderPreprocessor):
    """Feedback that says what the hidden tests found, in their messages, but not what they are."""

    def preprocess(self, nb, resources):
        """Take hidden tests out of the cells, and what could tell of them out of the outputs."""
        for cell in nb.cells:
            if cell.cell_type != "code":
                continue
            given, hidden = _parts(cell.source)
            errors = [out for out in cell.outputs if out.output_type == "error"]
            for output in errors:
                if hidden or output.ename in PLAIN:
                    output.traceback = [_verdict(output, bool(hidden))]
                elif utils.is_grade(cell) and len(output.traceback) > 1:
                    output.traceback = [f"{output.ename}: {output.evalue}"]  # else nbgrader's own
            if hidden:
                cell.outputs = errors
            cell.source = "\n".join(given)
        return nb, resources


def _verdict(output, hidden: bool) -> str:
    if output.ename in PLAIN:
        return PLAIN[output.ename]
    if not hidden or output.ename in ("AssertionError", "AnswerLost", "NotRun"):
        return f"{output.ename}: {output.evalue}"
    return HIDDEN


def _parts(source) -> tuple[list[str], list[str]]:
    """The lines of a cell that students are given, and those of its hidden tests."""
    given: list[str] = []
    hidden: list[str] = []
    inside = False
    for line in source.split("\n"):
        inside = inside or "BEGIN HIDDEN TESTS" in line
        (hidden if inside else given).append(line)
        inside = inside and "END HIDDEN TESTS" not in line
    return given, hidden
