"""The tests' side: it starts the process of the answers, and stands for what they define.

Runs in the kernel in which nbgrader runs the given cells and the tests. A name that a test uses and
that the given cells have not defined is looked up among the answers: a function becomes a
`RemoteFunction`, data become data.
"""

import ast
import base64
import builtins
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from IPython.core.inputtransformer2 import TransformerManager
from IPython.display import display

from . import plain, sandbox

TOGETHER = 1800.0  # seconds for all of a submission; chosen here, ten times the slowest honest one
START = 120.0  # seconds that the process may take until it serves, and for the given cells
RESTARTS = 20  # of one submission's process, at most; chosen here
FUNCTIONS = (
    types.FunctionType, types.MethodType, types.BuiltinFunctionType, types.MethodWrapperType,
    partial,
)  # fmt: skip


KEPT = {
    "PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "PYTHONPATH", "OMP_NUM_THREADS", "MKL_NUM_THREADS",
    "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "CONDA_PREFIX",
}  # fmt: skip # of the environment; others may hold what is nobody's business


class AnswerError(Exception):
    """What an answer raised, or why it gave nothing that can be judged."""

    own_line = ""  # the student's line that raised


class AnswerLost(AnswerError):
    """The process of the answers has ended, or was ended at a limit."""


class Answers:
    """The process of one submission's answers.

    Args:
        packages: names of packages that answers may import from wherever they lie.
        closed: files and folders that answers must not read.
        memory: bytes that the process may use.
        unprotected: go on where this system cannot close files.
    """

    def __init__(
        self, packages: Sequence[str], closed: Sequence[str], memory: int, unprotected: bool
    ) -> None:
        self._packages, self._closed, self._memory = packages, closed, memory
        self._unprotected = unprotected
        self._history: list[tuple[str, str]] = []  # what was done, for a process after this one
        self._begun: list[str] = []  # given cells whose end nobody has waited for
        self.quiet = False
        self._starts, self._inner, self._awake = 0, 0, False
        self._end = time.monotonic() + TOGETHER
        self._process: subprocess.Popen[bytes] | None = None
        self._bound: set[str] = set()
        self.closed_off: list[str] = []
        self._start()

    # -- the process -------------------------------------------------------------------------------

    def _start(self) -> None:
        self._starts += 1
        sandbox.adopt_orphans()
        self._others = _children()
        self._deadline = time.monotonic() + START
        self._scratch = os.path.realpath(tempfile.mkdtemp(prefix="answers-"))
        as_nobody = os.getuid() == 0 and _everybody_may_read([sys.prefix, sys.base_prefix])
        if as_nobody:
            os.chown(self._scratch, sandbox.NOBODY, sandbox.NOBODY)
        to_them, from_us = os.pipe()
        to_us, from_them = os.pipe()
        script = Path(__file__).with_name("answers.py")
        self._process = subprocess.Popen(
            [sys.executable, "-s", "-B", str(script), str(to_them), str(from_them)],
            pass_fds=(to_them, from_them), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, cwd=self._scratch, env=self._environment(),
            start_new_session=True,
        )  # fmt: skip
        os.close(to_them)
        os.close(from_them)
        self._out, self._in = from_us, to_us
        os.set_blocking(self._out, False)
        _copy_fonts(self._scratch)
        spec = {
            "scratch": self._scratch, **sandbox.open_to(self._packages, self._closed),
            "closed": [*self._closed, *sandbox.compiled_files(self._closed)],
            "memory": self._memory, "seconds": 3600,
            "as_nobody": as_nobody, "unprotected": self._unprotected,
        }  # fmt: skip
        self._ready = False
        self._write(spec)

    def _environment(self) -> dict[str, str]:
        own = dict.fromkeys(("HOME", "TMPDIR", "IPYTHONDIR", "MPLCONFIGDIR"), self._scratch)
        shown = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
        return {name: os.environ[name] for name in KEPT & os.environ.keys()} | own | shown

    def ready(self) -> None:
        """Wait until the process serves; start another one, as far as it was, if it has ended.

        Raises:
            RuntimeError: this system cannot close files to it, or it does not start.
        """
        wanted = list(self._history)
        while self._process is None:
            if time.monotonic() > self._end:
                raise AnswerLost(ALL_TOO_LONG)
            if self._starts > RESTARTS:
                raise AnswerLost("the answers have ended Python too often")
            self._start()
            self._history.clear()
            try:
                self._wait_for_start()
                for step in wanted:
                    self._repeat(step)
            except AnswerLost:
                if self._ready:
                    del wanted[len(self._history)]  # what has ended it this time
        self._wait_for_start()

    def _repeat(self, step: tuple[str, str]) -> None:
        """Do once more what was done, showing nothing."""
        self._deadline = time.monotonic() + START
        what, text = step
        self._write({"do": "run", "source": text} if what == "run" else {"do": what, "name": text})
        self._read()
        self._history.append(step)

    def _wait_for_start(self) -> None:
        self._deadline = time.monotonic() + START
        if not self._ready:
            said, _ = self._read()
            if said.get("said") == "process":
                self._inner = said["number"]
                said, _ = self._read()
            if said.get("said") != "ready":
                self.close()
                raise RuntimeError(NO_SANDBOX.format(why=said.get("message")))
            self._ready, self.closed_off = True, said["closed"]
        while self._begun:
            try:
                said, _ = self._read()
            except AnswerLost as error:
                said = {"error": {"kind": "AnswerLost", "message": str(error)}}
            if "error" in said:
                raise RuntimeError(
                    f"the given cells fail here: {_error(said['error'], AnswerError)!r}"
                )
            self._history.append(("run", self._begun.pop(0)))

    def close(self) -> None:
        """End the process, and all that it has started."""
        if self._process is None:
            return
        for number in filter(None, (self._inner, self._process.pid)):
            _kill(number)
        _kill(-self._process.pid)
        self._process.wait()
        until = time.monotonic() + 5  # of what left its group, orphans have come to us
        while (left := _children() - self._others) and time.monotonic() < until:
            for number in left:
                _kill(number)
                os.waitpid(number, 0)
        os.close(self._in)
        os.close(self._out)
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._process, self._inner, self._awake = None, 0, False

    def _lost(self, why: str) -> AnswerLost:
        self.close()
        return AnswerLost(why)

    # -- messages ----------------------------------------------------------------------------------

    def _write(self, message: plain.Message, blobs: Sequence[bytes] = ()) -> None:
        data = memoryview(plain.frame(message, blobs))
        while data:
            self._wait([], [self._out])
            try:
                data = data[os.write(self._out, data) :]
            except BlockingIOError:
                continue
            except OSError:
                raise self._lost(ENDED) from None

    def _read(self) -> tuple[plain.Message, list[bytes]]:
        try:
            return plain.read(self._exactly)
        except (plain.NotPlain, plain.TooMuch) as error:
            raise self._lost(str(error)) from None

    def _exactly(self, size: int) -> bytes:
        parts, missing = [], size
        while missing:
            self._wait([self._in], [])
            part = os.read(self._in, min(missing, 1 << 20))
            if not part:
                raise self._lost(ENDED)
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def _wait(self, reading: list[int], writing: list[int]) -> None:
        left = min(self._deadline, self._end) - time.monotonic()
        if left <= 0 or not any(select.select(reading, writing, [], min(left, 1e6))):
            raise self._lost(TOO_LONG)

    # -- what it is asked --------------------------------------------------------------------------

    def allow(self, seconds: float, quiet: bool) -> None:
        """Time for what follows; `quiet` drops what calls print, as hidden tests must."""
        self._deadline, self.quiet = time.monotonic() + seconds, quiet

    def begin(self, source: str) -> None:
        """Have a given cell run without waiting for it; `ready` waits."""
        self._deadline = time.monotonic() + START
        self._write({"do": "run", "source": source})
        self._begun.append(source)

    def run(self, source: str) -> None:
        """Run a cell; show what it printed and drew, raise what it raised."""
        self._write({"do": "run", "source": source})
        said, pictures = self._read()
        self._history.append(("run", source))
        if said.get("output"):
            print(_text(said["output"]), end="")
        for picture in filter(plain.is_picture, pictures[: plain.PICTURES]):
            display({"image/png": base64.b64encode(picture).decode()}, raw=True)
        if "error" in said:
            error = _error(said["error"], AnswerError)
            lines = _text(said.get("traceback")).split("\n")
            error._render_traceback_ = lambda *_: lines
            raise error

    def keep(self, name: str) -> None:
        """Have a copy of the process as it is now wait for `wake`."""
        self._repeat(("keep", name))

    def wake(self, name: str) -> None:
        """Go on with that copy; `rest` ends it."""
        self._write({"do": "wake", "name": name})
        self._awake = self._reply()[0].get("said") == "awake"

    def rest(self) -> None:
        """End the copy, if it has not ended by itself, and whatever it remembers with it."""
        self._deadline = time.monotonic() + START
        if self._process is not None and self._awake:
            self._write({"do": "end"})
            self._read()
        self._awake = False

    def _reply(self) -> tuple[plain.Message, list[bytes]]:
        """The next message, if it is not that a copy has ended."""
        said, blobs = self._read()
        if said.get("said") == "ended":
            self._awake = False
            raise AnswerLost(ENDED)
        return said, blobs

    def bind(self, source: str, names: dict[str, Any]) -> None:
        """Bind the names of a test that the answers define, and unbind those that they do not.

        What given cells and earlier tests have defined stays as it is.

        Args:
            source: the test's text.
            names: the namespace in which it will run.
        """
        tree = ast.parse(TransformerManager().transform_cell(source))
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        given = names.keys() - self._bound
        wanted = sorted(used - given - vars(builtins).keys())
        self._bound = set(wanted)
        self._write({"do": "describe", "names": wanted})
        said, blobs = self._reply()
        known = said.get("names")
        for name in wanted:
            about = known.get(name) if isinstance(known, dict) else None
            names.pop(name, None)
            if isinstance(about, dict) and "function" in about:
                names[name] = RemoteFunction(self, name)
            elif isinstance(about, dict) and "value" in about:
                try:
                    names[name] = plain.unpacked(about["value"], blobs)
                except (plain.NotPlain, RecursionError):
                    pass

    def call(
        self, name: str, arguments: Sequence[Any], options: dict[str, Any],
        without: Sequence[str] = (), beside: Callable[..., Any] | None = None,
    ) -> Any:  # fmt: skip
        """Call an answer; its value as plain data.

        Raises:
            Exception: what it raised, of the same built-in kind, else AnswerError.
            AnswerLost: it ended its process, or took too long.
        """
        if self._process is None:
            raise AnswerLost("an earlier call has ended the answers' process")
        callbacks: list[Callable[..., Any]] = []
        packer = plain.Packer(partial(self._pack_other, callbacks))
        message = {"do": "call", "name": name, "without": list(without)}
        message["arguments"] = packer.pack(list(arguments))
        message["options"] = packer.pack(options)
        if beside is not None:
            message |= {"do": "beside", "function": packer.add(self._pickled(beside))}
        self._write(message, packer.blobs)
        while True:
            said, blobs = self._reply()
            if said.get("said") != "callback":
                return self._result(said, blobs)
            self._serve(said, blobs, callbacks)

    def _pickled(self, value: Any) -> bytes:
        """By value where the answers' process could not import it."""
        import cloudpickle

        known = cloudpickle.list_registry_pickle_by_value()
        for name, module in list(sys.modules.items()):
            if getattr(module, "__file__", None) in self._closed and name not in known:
                cloudpickle.register_pickle_by_value(module)
        return cloudpickle.dumps(value)

    def _pack_other(
        self, callbacks: list[Callable[..., Any]], value: Any, packer: plain.Packer
    ) -> Any:
        if isinstance(value, RemoteFunction):
            return {"answer": value.__name__}
        if isinstance(value, FUNCTIONS):
            callbacks.append(value)
            return {"callback": len(callbacks) - 1}
        return {"pickle": packer.add(self._pickled(value))}

    def _serve(
        self, said: plain.Message, blobs: list[bytes], callbacks: list[Callable[..., Any]]
    ) -> None:
        """Call a function of the tests' for an answer that was given it."""
        packer = plain.Packer(partial(self._pack_other, callbacks))
        try:
            arguments = plain.unpacked(said["arguments"], blobs)
            options = plain.unpacked(said["options"], blobs)
            reply = {"value": packer.pack(callbacks[said["number"]](*arguments, **options))}
        except Exception as error:
            reply, packer.blobs = {"error": type(error).__name__, "message": str(error)[:2000]}, []
        self._write(reply, packer.blobs)

    def _result(self, said: plain.Message, blobs: list[bytes]) -> Any:
        if said.get("output") and not self.quiet:
            print(_text(said["output"]), end="")
        if said.get("said") == "value":
            try:
                return plain.unpacked(said.get("value"), blobs)
            except (plain.NotPlain, RecursionError) as error:
                raise AnswerError(f"the answer's value cannot be read: {error}") from None
        error = _error(said, AnswerError)
        error.own_line = _text(said.get("line"))[:200]
        raise error


class RemoteFunction:
    """Stands for a function of the answers: it sends its arguments and gives what comes back."""

    def __init__(self, answers: Answers, name: str, without: Sequence[str] = ()) -> None:
        self.__name__ = self.__qualname__ = name
        self._answers, self._without = answers, tuple(without)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Call it there."""
        return self._answers.call(self.__name__, arguments, options, self._without)

    def unaided(self, names: Sequence[str]) -> "RemoteFunction":
        """The same, with these functions of packages out of reach while it runs."""
        return RemoteFunction(self._answers, self.__name__, [*self._without, *names])

    def beside(self, function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
        """The value of function(answer, *arguments), called where the answer lives."""
        return self._answers.call(self.__name__, arguments, {}, self._without, function)


ENDED = "Python ended here"
ALL_TOO_LONG = f"all cells together took longer than {TOGETHER / 60:.0f} minutes"
TOO_LONG = "this cell took longer than the time limit and was stopped"
NO_SANDBOX = (
    "Nothing was marked: {why}. This system cannot keep answers from your files. Mark in a "
    "container (TEACHING.md has the command), or set c.SeparateExecute.unprotected = True if you "
    "know the students."
)


def _kill(number: int) -> None:
    try:
        (os.killpg if number < 0 else os.kill)(abs(number), signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def _children() -> set[int]:
    """The processes whose parent this one is; none where the system does not say."""
    lists = Path("/proc/self/task").glob("*/children")
    return {int(number) for numbers in lists for number in numbers.read_text().split()}


def _everybody_may_read(paths: Sequence[str]) -> bool:
    folders = {Path(path).resolve() for path in paths}
    folders |= {parent for folder in folders for parent in folder.parents}
    return all(folder.stat().st_mode & 0o005 == 0o005 for folder in folders)


def _copy_fonts(scratch: str) -> None:
    """Matplotlib's list of fonts, which takes seconds to make anew."""
    cache = os.environ.get("MPLCONFIGDIR") or os.path.expanduser("~/.cache/matplotlib")
    for file in Path(cache).glob("fontlist-*.json"):
        shutil.copy(file, scratch)


def _text(value: Any) -> str:
    """What is told, if it is text, no longer than it may be."""
    return plain.whole_text(value[: plain.OUTPUT]) if isinstance(value, str) else ""


def _error(about: Any, other: type[Exception]) -> Exception:
    """An exception of the same built-in kind, made here; of no kind that would end the marking."""
    about = about if isinstance(about, dict) else {}
    kind, message = _text(about.get("kind")), _text(about.get("message"))
    known = getattr(builtins, kind, None)
    if isinstance(known, type) and issubclass(known, Exception) and known is not AssertionError:
        try:
            return known(message)
        except TypeError:  # kinds that want more than a message
            pass
    return other(f"{kind}: {message}" if message else kind)
