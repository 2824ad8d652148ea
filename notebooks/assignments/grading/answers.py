"""The process in which answers live: it runs a student's cells and calls what they define.

It is started as a script, closes itself off (`sandbox.enter`), and then does what it is asked over
a pair of pipes, one message after the other:

| asked | it |
|---|---|
| run | runs a cell as IPython would; what it printed and drew, and what it raised |
| describe | says which names there are, and whether they are functions |
| call | calls a function with plain data, with some functions of packages out of reach |
| beside | calls a function of the tests' with an answer as its first argument |
| keep | keeps a copy of the process as it is now, which waits |
| wake | lets a copy go on in its place, until that is told to end |

A hidden test is answered by a copy that was kept where the test stands, and is woken when nothing
more will be shown to the student: whatever an answer remembers of the test, it can tell nobody.

What it says is believed to be data, not to be true: whatever the student's code does to it, it can
only give other answers.
"""

import base64
import builtins
import contextlib
import inspect
import io
import os
import pickle
import pkgutil
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import plain
import sandbox


class Pipe:
    """Both ends of the way to the tests."""

    def __init__(self, incoming: int, outgoing: int) -> None:
        self._incoming, self._outgoing = os.fdopen(incoming, "rb"), os.fdopen(outgoing, "wb")
        self.lock = threading.RLock()

    def receive(self) -> tuple[plain.Message, list[bytes]]:
        """The next message; ends the process where there is none."""
        return plain.read(self._exactly)

    def send(self, message: plain.Message, blobs: list[bytes] | None = None) -> None:
        """Write a message."""
        self._outgoing.write(plain.frame(message, blobs or []))
        self._outgoing.flush()

    def close(self) -> None:
        """Let go of both ends."""
        self._incoming.close()
        self._outgoing.close()

    def _exactly(self, size: int) -> bytes:
        got = self._incoming.read(size)
        if len(got) < size:
            os._exit(0)  # the tests have ended
        return got


class Kept(io.StringIO):
    """Text that was printed, up to a limit; the rest is counted and thrown away."""

    def __init__(self) -> None:
        super().__init__()
        self.lost = 0

    def write(self, text: str) -> int:
        """Keep what there is room for."""
        room = max(plain.OUTPUT - 100 - self.tell(), 0)  # 100 for the note of what is lost
        self.lost += max(len(text) - room, 0)
        super().write(text[:room])
        return len(text)

    def isatty(self) -> bool:
        """Nobody watches."""
        return False


def main() -> None:
    """Serve the tests until they end."""
    sandbox.die_with_parent()
    incoming, outgoing = map(int, sys.argv[1:3])
    pipe = Pipe(incoming, outgoing)
    spec, _ = pipe.receive()
    sys.path.remove(os.path.dirname(os.path.abspath(__file__)))
    try:
        closed = _close_off(pipe, spec)
    except sandbox.NotClosed as error:
        return pipe.send({"said": "open", "message": str(error)})
    answers = Answers(pipe)
    pipe.send({"said": "ready", "closed": closed})
    while True:
        message, blobs = pipe.receive()
        answers.do(message, blobs)


def _close_off(pipe: Pipe, spec: dict[str, Any]) -> list[str]:
    """Apply the sandbox; what goes on is a child, if there is a namespace of processes to be in."""
    made = sandbox.namespaces(spec["scratch"], spec["as_nobody"])
    if "processes" in made:
        told, telling = os.pipe()
        child = os.fork()
        if child:  # the outer one only waits: when it ends, the system ends the inner one
            pipe.send({"said": "process", "number": child})
            os.write(telling, b".")
            pipe.close()
            os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 255)
        os.read(told, 1)
        os.close(told)
        os.close(telling)
    made += sandbox.enter(spec)
    sandbox.die_with_parent()  # a change of user has undone it
    return made


class Answers:
    """What a student's cells have defined, in IPython's shell."""

    def __init__(self, pipe: Pipe) -> None:
        from IPython.core.interactiveshell import InteractiveShell
        from traitlets.config import Config

        self._pipe, self._raised, self._shown = pipe, [], []
        self._copies: dict[str, tuple[int, int]] = {}  # name -> process, and how to wake it
        config = Config()
        config.HistoryManager.enabled = False
        config.InteractiveShell.colors = "nocolor"
        config.InteractiveShell.separate_in = ""
        self._shell = shell = InteractiveShell.instance(config=config)
        shell._showtraceback = lambda kind, value, lines: self._raised.extend(lines)
        shell.enable_gui = lambda *args, **options: None  # %matplotlib inline asks for none
        shell.display_pub.publish = lambda data, *args, **options: self._shown.append(data)
        shell.displayhook.write_output_prompt = lambda: None
        shell.displayhook.write_format_data = lambda data, *args: self._shown.append(data)

    def do(self, message: plain.Message, blobs: list[bytes]) -> None:
        """Do one thing that is asked, and say what came of it."""
        asked = message["do"]
        if asked == "keep":
            self._keep(message["name"])
        elif asked == "wake":
            self._wake(message["name"])
        elif asked == "end":
            os._exit(0)
        elif asked == "run":
            self._pipe.send(*self._run(message["source"]))
        elif asked == "describe":
            self._pipe.send(*self._describe(message["names"]))
        else:
            self._answer(message, blobs)

    def _keep(self, name: str) -> None:
        told, telling = os.pipe()
        copy = os.fork()
        if copy:
            os.close(told)
            self._copies[name] = copy, telling
            return self._pipe.send({"said": "kept"})
        os.close(telling)
        if not os.read(told, 1):  # nobody will wake it any more
            os._exit(0)
        return self._pipe.send({"said": "awake"})

    def _wake(self, name: str) -> None:
        copy, telling = self._copies.pop(name)
        os.write(telling, b".")
        os.close(telling)
        os.waitpid(copy, 0)  # meanwhile the copy serves
        self._pipe.send({"said": "ended"})

    def _run(self, source: str) -> tuple[plain.Message, list[bytes]]:
        self._raised, self._shown = [], []
        with _captured() as printed:
            result = self._shell.run_cell(source, store_history=True)
        error = result.error_before_exec or result.error_in_exec
        pictures, texts = [], [_told(printed)]
        for data in self._shown:
            picture = _png(data)
            pictures += [picture] if picture else []
            texts.append("" if picture else str(data.get("text/plain", ""))[: plain.OUTPUT] + "\n")
        told = {"said": "ran", "output": "".join(texts)[: plain.OUTPUT]}
        if error is not None:
            told["error"] = _about(error)
            told["traceback"] = "\n".join(map(str, self._raised))[-plain.OUTPUT :]
        return told, pictures[: plain.PICTURES]

    def _describe(self, names: list[str]) -> tuple[plain.Message, list[bytes]]:
        packer, known = plain.Packer(), {}
        for name in names:
            if name not in self._shell.user_ns:
                continue
            value = self._shell.user_ns[name]
            if callable(value):
                known[name] = {"function": str(getattr(value, "__name__", name))[:200]}
            else:
                with contextlib.suppress(Exception):
                    known[name] = {"value": packer.pack(value)}
        return {"said": "known", "names": known}, packer.blobs

    def _answer(self, message: plain.Message, blobs: list[bytes]) -> None:
        """Call a function; say what it returned, or what it raised."""
        packer = plain.Packer()
        with _captured() as printed:
            try:
                value = self._called(message, blobs, packer)
                said: plain.Message = {"said": "value", "value": value}
            except BaseException as error:  # SystemExit too: it ends the call, not the marking
                said, packer.blobs = {"said": "raised", **_about(error)}, []
                said["line"] = _own_line(error)
        said["output"] = _told(printed)
        try:
            self._pipe.send(said, packer.blobs)
        except plain.TooMuch as error:
            self._pipe.send({"said": "raised", **_about(error), "output": ""})

    def _called(self, message: plain.Message, blobs: list[bytes], packer: plain.Packer) -> Any:
        """The packed value: a generator's items are made while they are packed."""
        names = self._shell.user_ns

        def other(name: str, held: Any, blobs: list[bytes]) -> Any:
            if name == "pickle":
                return pickle.loads(blobs[held])
            if name == "answer":
                return names[held]
            return self._callback(held)

        arguments = plain.unpacked(message["arguments"], blobs, other)
        options = plain.unpacked(message["options"], blobs, other)
        function = names[message["name"]]
        with out_of_reach(message["without"]):
            if message["do"] == "beside":
                beside = pickle.loads(blobs[message["function"]])
                return packer.pack(beside(function, *arguments))
            return packer.pack(function(*arguments, **options))

    def _callback(self, number: int) -> Callable[..., Any]:
        """A function that stands for one of the tests'."""

        def callback(*arguments: Any, **options: Any) -> Any:
            packer = plain.Packer()
            packed = packer.pack(list(arguments)), packer.pack(options)
            with self._pipe.lock:
                self._pipe.send(
                    {"said": "callback", "number": number, "arguments": packed[0],
                     "options": packed[1]}, packer.blobs,
                )  # fmt: skip
                reply, blobs = self._pipe.receive()
            if "error" in reply:
                raise getattr(builtins, reply["error"], RuntimeError)(reply["message"])
            return plain.unpacked(reply["value"], blobs, lambda _, held, b: pickle.loads(b[held]))

        return callback


@contextlib.contextmanager
def out_of_reach(names: list[str]) -> Iterator[None]:
    """For the time of a call, these functions of packages raise, under whatever name they go."""
    kept = []
    try:
        for name in names:
            function = _found(name)
            kept.append((function, function.__code__))
            function.__code__ = _refusing(name, function)
        yield
    finally:
        for function, code in reversed(kept):
            function.__code__ = code


def _found(name: str) -> Any:
    """The function of this name, as it was written: under its decorators, and of a class's too."""
    found = inspect.unwrap(pkgutil.resolve_name(name))
    return getattr(found, "__func__", found)


def _refusing(name: str, function: Any) -> Any:
    """Code that only refuses, with as many free variables as the function's own."""
    free = function.__code__.co_freevars
    lines = [f"def outer({', '.join(free)}):", "  def inner(*_, **__):"]
    lines += [f"    ({', '.join(free)},)"] if free else []
    lines += [f"    raise RuntimeError({f'write it yourself: {name} is not at hand here'!r})"]
    scope: dict[str, Any] = {}
    exec("\n".join([*lines, "  return inner"]), scope)
    return scope["outer"](*free).__code__


@contextlib.contextmanager
def _captured() -> Iterator[Kept]:
    kept = Kept()
    with contextlib.redirect_stdout(kept), contextlib.redirect_stderr(kept):
        yield kept


def _told(printed: Kept) -> str:
    text = printed.getvalue()
    return f"{text}\n[{printed.lost} more characters were printed]\n" if printed.lost else text


def _png(data: dict[str, Any]) -> bytes | None:
    """A picture, if it is one; nothing else that a browser would act on crosses the border."""
    held = data.get("image/png")
    with contextlib.suppress(ValueError, TypeError):
        picture = base64.b64decode(held) if isinstance(held, str) else bytes(held or b"")
        if plain.is_picture(picture):
            return picture
    return None


def _about(error: BaseException) -> dict[str, str]:
    """Kind and message of an error, in words that cannot fail."""
    try:
        message = str(error)[:2000]
    except Exception:
        message = ""
    return {"kind": type(error).__name__[:100], "message": message}


def _own_line(error: BaseException) -> str:
    """The last line of the student's own on the way to an error."""
    with contextlib.suppress(Exception):
        frames = traceback.extract_tb(error.__traceback__)
        own = [f for f in frames if "ipykernel" in f.filename or f.filename.startswith("<ipython-")]
        return str(own[-1].line)[:200] if own else ""
    return ""


if __name__ == "__main__":
    main()
