"""How nbgrader grades this course. Run nbgrader in the folder that holds this file.

Four things that nbgrader alone does not do, each a small class below:

- `RestoreCells`: a deleted, copied or relabelled cell costs no marks and stops no other student;
- `FairExecute`: each test meets Python, numpy and landscape_nb as they were before the student's
  code ran, and an answer that hangs or kills the kernel costs only its own marks and later ones;
- `KeepTestsHidden`: the feedback shows what a hidden test found, not the test;
- a collector's pattern for the file names that learning platforms make.

What remains: a student's code runs with your rights, on your files. Against carelessness and
plain tricks the classes below protect; against an attacker only a container does (no network, and
nothing inside but this folder). Read a submission that imports sys, gc, inspect, ctypes or IPython.
"""

import ast
import inspect
import os
import secrets
import tempfile
import warnings

from IPython.core.inputtransformer2 import TransformerManager
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbconvert.preprocessors import ClearMetadataPreprocessor, CSSHTMLHeaderPreprocessor
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output
from nbgrader import utils
from nbgrader.api import Gradebook
from nbgrader.preprocessors import (
    AssignLatePenalties,
    CheckCellMetadata,
    ClearOutput,
    Execute,
    GetGrades,
    LimitOutput,
    NbGraderPreprocessor,
    OverwriteCells,
    OverwriteKernelspec,
    SaveAutoGrades,
)

CELL_SECONDS = 60  # chosen here; the slowest answer of the course takes a few seconds


class RestoreCells(NbGraderPreprocessor):
    """The submission with every graded cell labelled as it was handed out, and none missing.

    nbgrader restores the text of a test but believes its labels. One copied cell (JupyterLab copies
    the labels too) ends the run, and no student after this one is graded; an edited label ends in
    an error for this student. Here the gradebook is believed. Of two cells with one name the last
    counts, as in nbgrader.
    """

    def preprocess(self, nb, resources):
        """Relabel the known cells, unlabel all others, and put back what was deleted."""
        about = resources["nbgrader"]
        with Gradebook(about["db_url"]) as gradebook:
            released = gradebook.find_notebook(about["notebook"], about["assignment"])
            labels = _labels(released)
            originals = {cell.name: cell for cell in released.source_cells}
            places = {}
            for cell in reversed(nb.cells):
                label = cell.metadata.pop("nbgrader", None)
                name = label.get("grade_id") if isinstance(label, dict) else None
                if name in labels and name not in places:
                    cell.metadata["nbgrader"] = labels[name]
                    places[name] = cell
            at = 0
            for name, label in labels.items():
                if name not in places:
                    self.log.warning("Cell %s was missing: put back as handed out", name)
                    places[name] = _new_cell(originals[name], label)
                    nb.cells.insert(at, places[name])
                elif label["locked"]:
                    self._restore_text(places[name], originals[name].source)
                at = 1 + next(i for i, cell in enumerate(nb.cells) if cell is places[name])
        return nb, resources

    def _restore_text(self, cell, original):
        if cell.source != "\n".join(_parts(original)[0]):
            name = cell.metadata["nbgrader"]["grade_id"]
            self.log.warning("Cell %s was edited: restored to what was handed out", name)
        cell.source = original


def _labels(released):
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


def _new_cell(original, label):
    new = new_code_cell if original.cell_type == "code" else new_markdown_cell
    return new(original.source, metadata={"nbgrader": label})


def _protect(imports, roots, token):
    """Return restore(): it puts Python back as it is now, and returns `token`.

    The text of this function is sent to the student's kernel and runs there before any cell.
    """
    import builtins
    import sys

    shell = get_ipython()  # noqa: F821
    own_names = set(shell.user_ns)
    exec(imports, {})
    modules = {n: m for n, m in sys.modules.items() if n.partition(".")[0] in roots}
    contents = [
        (vars(module), {name: value for name, value in vars(module).items() if callable(value)})
        for module in [builtins, *modules.values()]
    ]
    hooks = [shell.ast_transformers, shell.input_transformers_post]
    hooks += list(shell.events.callbacks.values())
    saved = [list(hook) for hook in hooks]

    def restore():
        sys.modules.update(modules)
        for now, before in contents:
            now.update(before)
        for hook, before in zip(hooks, saved, strict=True):
            hook[:] = before
        for name in contents[0][1].keys() & (shell.user_ns.keys() - own_names):
            del shell.user_ns[name]  # `abs = ...` in an answer must not reach the tests
        exec(imports, shell.user_ns)
        return token

    return restore


PROTECT = inspect.getsource(_protect)
KEEP = "__import__('sys').restore_for_test = _protect({!r}, {!r}, {!r})\ndel _protect"
RESTORE = "__import__('sys').restore_for_test()"


class TamperedError(Exception):
    """A student's code broke what the tests stand on."""


class FairExecute(Execute):
    """Run a submission in an empty folder, and before each test put back what tests rely on.

    In an empty folder no file of the student's passes for a package, and the notebook with the
    hidden tests in it does not lie about. The assignments of this course need no other files.
    """

    def preprocess(self, nb, resources, km=None):
        """Run all cells; afterwards `resources` name the notebook's own folder again."""
        self.token = secrets.token_hex()
        self.prepare = PROTECT + KEEP.format(*_locked_imports(nb), self.token)
        self.lost = ""  # why there is no kernel any more
        folder = resources["metadata"]["path"]
        with tempfile.TemporaryDirectory() as scratch:
            resources["metadata"]["path"] = scratch
            try:
                return super().preprocess(nb, resources, km)
            finally:
                resources["metadata"]["path"] = folder

    def preprocess_cell(self, cell, resources, index):
        """Run one cell, or record in it why it did not run to its end."""
        if cell.cell_type != "code":
            return cell, resources
        is_test = utils.is_grade(cell) and not utils.is_solution(cell)
        if self.lost:
            cell.outputs = [_error("NotRun", self.lost)]
            return cell, resources
        try:
            if self.prepare:
                self._prepare()
            if is_test:
                self._restore()
            super().preprocess_cell(cell, resources, index)
        except (DeadKernelError, CellTimeoutError):
            self.lost = "an earlier answer ended Python, or could not be stopped"
            cell.outputs = [_error("KernelLost", "Python ended here, or could not be stopped")]
        except TamperedError as error:
            cell.outputs = [_error("TamperedError", str(error))]
        if is_test:
            cell.outputs = _decisive(cell.outputs)
        elif utils.is_locked(cell):  # progress bars of the given cells would open the feedback
            cell.outputs = [out for out in cell.outputs if out.get("name") != "stderr"]
        return cell, resources

    def _prepare(self):
        """Before any of the student's code: what fails here is the teacher's to mend."""
        reply = self._ask(code=self.prepare)
        if reply["status"] != "ok":
            raise RuntimeError(
                "the imports of the given cells fail on this machine, so nothing can be graded: "
                f"{reply['ename']}: {reply['evalue']}"
            )
        self.prepare = ""

    def _restore(self):
        """Have the kernel put back what it had, and make sure that it did.

        As an expression beside an empty cell, because code passes through whatever rewrites cells.
        """
        told = self._ask(user_expressions={"token": RESTORE}).get("user_expressions", {})
        if told.get("token", {}).get("data", {}).get("text/plain") != repr(self.token):
            raise TamperedError("an answer changed Python so much that this test cannot be run")

    def _ask(self, code="", **options):
        """The kernel's reply to code of ours, which leaves no trace in history or outputs."""
        reply = self.wait_for_reply(self.kc.execute(code, silent=True, **options))
        if reply is None:
            raise DeadKernelError("no reply")
        return reply["content"]


def _locked_imports(nb):
    """The import statements in the cells that students cannot change, and the packages' names."""
    statements, roots = [], set()
    for cell in nb.cells:
        if cell.cell_type == "code" and utils.is_locked(cell):
            for node in ast.parse(TransformerManager().transform_cell(cell.source)).body:
                if isinstance(node, ast.Import):
                    roots |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom):
                    roots.add((node.module or "").partition(".")[0])
                else:
                    continue
                statements.append(ast.unparse(node))
    return "\n".join(statements), sorted(roots)


def _error(name, message):
    return new_output("error", ename=name, evalue=message, traceback=[f"{name}: {message}"])


def _decisive(outputs):
    """Outputs of a test such that nbgrader counts an exception, and nothing else, against it.

    nbgrader takes the first of error, stderr and result as decisive: a warning of some library
    would fail a right answer, and a number displayed by an answer would pass for part of the mark.
    """
    for output in outputs:
        if output.output_type == "execute_result":
            output.output_type = "display_data"
            del output["execution_count"]
        elif output.output_type == "stream":
            output.name = "stdout"
    return sorted(outputs, key=lambda output: output.output_type != "error")


# What needs no traceback: nbgrader's is that of its own machinery.
TOO_LONG = "this cell took longer than the time limit and was stopped"
PLAIN = {
    "CellTimeoutError": f"CellTimeoutError: {TOO_LONG}",
    "NotImplementedError": "There is no answer yet.",
}


class KeepTestsHidden(NbGraderPreprocessor):
    """Feedback that says what the hidden tests found, in their messages, but not what they are."""

    def preprocess(self, nb, resources):
        """Take hidden tests out of the cells, their tracebacks, and whatever printed them."""
        hidden = {line.strip() for cell in nb.cells for line in _parts(cell.source)[1]}
        telling = [line for line in hidden if len(line) > 8]  # others say nothing, and are common
        for cell in nb.cells:
            given, hidden_here = _parts(cell.source)
            for output in cell.get("outputs", []):
                if output.output_type == "error" and (hidden_here or output.ename in PLAIN):
                    output.traceback = [
                        PLAIN.get(output.ename) or f"{output.ename}: {output.evalue}"
                    ]
                elif output.output_type == "stream":
                    output.text = _without(telling, output.text)
                elif "data" in output:
                    for kind, text in output.data.items():
                        if isinstance(text, str):
                            output.data[kind] = _without(telling, text)
            cell.source = "\n".join(given)
        return nb, resources


def _parts(source):
    """The lines of a cell that students are given, and those of its hidden tests."""
    given: list[str] = []
    hidden: list[str] = []
    inside = False
    for line in source.split("\n"):
        inside = inside or "BEGIN HIDDEN TESTS" in line
        (hidden if inside else given).append(line)
        inside = inside and "END HIDDEN TESTS" not in line
    return given, hidden


def _without(lines, text):
    for line in lines:
        text = text.replace(line, "[hidden test]")
    return text


# One thread for each kernel: small problems run faster so, and a class is graded on one machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# nbgrader 0.9.6 makes SQLAlchemy 2.1 warn at each submission, of nothing that goes wrong.
warnings.filterwarnings("ignore", "Object of type <Submitted")

c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "landscape_nb"
c.Autograde.sanitize_preprocessors = [
    ClearOutput,
    OverwriteKernelspec,
    RestoreCells,
    OverwriteCells,
    CheckCellMetadata,
]
c.Autograde.autograde_preprocessors = [
    FairExecute,
    ClearMetadataPreprocessor,
    LimitOutput,
    SaveAutoGrades,
    AssignLatePenalties,
    CheckCellMetadata,
]
c.GenerateFeedback.preprocessors = [GetGrades, KeepTestsHidden, CSSHTMLHeaderPreprocessor]
c.Execute.timeout = CELL_SECONDS
c.Execute.interrupt_on_timeout = True
c.Execute.error_on_timeout = {
    "ename": "CellTimeoutError",
    "evalue": TOO_LONG,
    "traceback": [f"CellTimeoutError: {TOO_LONG}"],
}
c.Execute.extra_arguments = ["--log-level=ERROR"]  # of the kernel's own log, not of the cells
c.Execute.shell_timeout_interval = 1  # seconds until a kernel that has ended is noticed

# One page for each student, complete in itself.
c.HTMLExporter.embed_images = True

# For downloads named maria.zip or maria/ with 01_quadratic_toy.ipynb inside,
# maria_01_quadratic_toy.ipynb, maria_1234_5678_01_quadratic_toy-1.ipynb (Canvas), and
# "Maria Lopez_1234_assignsubmission_file_/01_quadratic_toy (1).ipynb" (Moodle); also if what is
# inside is the folder that was handed out.
FILE = r"\d\d_[a-z]+(?:_[a-z]+)*"
c.FileNameCollectorPlugin.named_regexp = (
    r"(?!.*/extracted/(?:.*/)?(?:\.|__MACOSX/))"  # what macOS and Jupyter add
    r".*/extracted/(?:[^/]+/)*?(?!" + FILE + r")"
    r"(?P<student_id>[^/]+?)(?:_\d+|_late|_assignsubmission_file_?)*"
    r"(?:[/_]" + FILE + r"[^/]*)*"  # the folder that was handed out, zipped and sent back
    r"[/_](?P<file_id>" + FILE + r")[^/]*\.ipynb$"
)
