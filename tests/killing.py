"""Work that is killed, again and again, and what must hold afterwards.

A `Kind` of work is done by children of this process, which are forked: they start in milliseconds,
with everything imported. A child tells what it begins and what it has finished through a pipe, a
line at a time, the latter only after the work's own call has returned. It ends

- before its n-th call that touches a file: n = 1, 2, 3, ... visits every boundary once, whatever
  functions the work uses;
- at a byte: no file may grow beyond so many, and the system ends the process in the middle of a
  write (or, with signal 0, refuses it as a full disk does);
- at a moment: so many seconds after it began.

Calls and bytes are the same in every run; a moment is wherever the run happens to be.

Then another child goes on with the same files, and what was told is compared with what they hold,
during the run, after each kill and at the end.
"""

import contextlib
import gc
import io
import json
import math
import os
import random
import resource
import select
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

# Its lock is shared by forked processes: one killed in a progress bar would stop all others. Its
# thread would make this process one of several threads, which can't be forked safely.
tqdm.set_lock(threading.RLock())
tqdm.monitor_interval = 0

COLUMNS = ("lost", "twice", "damaged", "litter")
OF_FILES = {"__exit__", "close", "flush", "truncate", "write", "writelines"}
OF_THE_SYSTEM = {
    "chmod", "copy_file_range", "fchmod", "fdatasync", "flock", "fsync", "ftruncate", "link",
    "lockf", "mkdir", "open", "posix_fallocate", "pwrite", "remove", "rename", "replace", "rmdir",
    "sendfile", "symlink", "truncate", "unlink", "utime", "write", "writev",
}  # fmt: skip
REFUSED, BROKEN = 70, 71  # how a child ends that was not killed; chosen here
HANGS = 300  # seconds after which a child counts as hanging; chosen here
STARTS = 20  # of a writer that nobody kills any more, before its work counts as broken


class Told(NamedTuple):
    """What a child said: which writer, "began" or "done" or another word, and of what."""

    writer: int
    word: str
    unit: Any


class Fault(NamedTuple):
    """A column of the table, and what was found."""

    column: str
    words: str


class End(NamedTuple):
    """How a child is ended; the first that is not None counts. Without any it is left alone."""

    call: int | None = None
    byte: int | None = None
    seconds: float | None = None
    signal: int = signal.SIGKILL


Tell = Callable[[str, Any], None]


@dataclass(frozen=True)
class Kind:
    """One kind of work on files.

    Attributes:
        begin: begin(folder) makes the files that the work finds.
        work: work(folder, told, tell, writer) does all that is not done yet.
        look: look(folder, told) gives faults that may be seen at any moment; it may add to `told`
            what it saw, by the word "seen". Called with all that was told before it.
        finish: finish(folder, told) gives faults once everything is done.
        known: patterns of the files that belong into the folder; others are litter.
        writers: so many processes start at once.
        refusal: what a second writer may be told; it is started again.
        patient: a run may take seconds: at random moments only, and few of them.
    """

    begin: Callable[[Path], None]
    work: Callable[[Path, Sequence[Told], Tell, int], None]
    look: Callable[[Path, list[Told]], Iterable[Fault]]
    finish: Callable[[Path, list[Told]], Iterable[Fault]]
    known: tuple[str, ...]
    writers: int = 1
    refusal: type[Exception] | tuple[()] = ()
    patient: bool = False


@dataclass
class Outcome:
    """What happened to one kind of work."""

    kills: int = 0
    counts: Counter = field(default_factory=Counter)
    words: list[str] = field(default_factory=list)
    seconds: float = 0.0  # of a run that nobody ended
    calls: int = 0  # that touched a file in it
    stories: int = 0
    _known: set[tuple[int, Fault]] = field(default_factory=set)

    def add(self, faults: Iterable[Fault], when: str) -> None:
        """Count faults, each once in a story, however often it is looked at."""
        for fault in faults:
            if (self.stories, fault) not in self._known:
                self._known.add((self.stories, fault))
                self.counts[fault.column] += 1
                if fault.column != "litter":
                    self.words.append(f"{fault.column}: {fault.words} ({when})")

    @property
    def faults(self) -> int:
        """All but litter, which is harmless."""
        return sum(self.counts[column] for column in COLUMNS[:-1])


# -- ways through a kind of work -------------------------------------------------------------------


def undisturbed(kind: Kind, outcome: Outcome) -> None:
    """Do the work once without an end, and note how long it is in calls and seconds."""
    with new_folder() as folder:
        kind.begin(folder)
        told: list[Told] = []
        started = time.monotonic()
        together(kind, folder, told, [End()], outcome, [0])
        outcome.seconds = time.monotonic() - started
        outcome.calls = max([told.unit for told in told if told.word == "calls"], default=0)
        outcome.add(_finished(kind, folder, told, outcome), "never ended")


def every_call(kind: Kind, outcome: Outcome, first: int = 1, stride: int = 1) -> None:
    """End the work before each call that touches a file, in new files each time."""
    for call in range(first, outcome.calls + 1, stride):
        story(kind, [[End(call=call)]], outcome)  # of the first writer; the others come later


def at_random(kind: Kind, outcome: Outcome, dice: random.Random, kills: int) -> None:
    """End the work at random calls, bytes and moments, until so many have met it."""
    wanted = outcome.kills + kills
    while outcome.kills < wanted:
        ends = (random_ends(kind, outcome, dice) for _ in range(wanted - outcome.kills))
        before = outcome.kills
        story(kind, ends, outcome)
        if outcome.kills == before and outcome.faults:
            return  # it ends by itself, and wrongly


def random_ends(kind: Kind, outcome: Outcome, dice: random.Random) -> list[End]:
    """One end for each writer; SIGKILL most of the time."""
    ends = []
    for _ in range(kind.writers):
        number = dice.choices([signal.SIGKILL, signal.SIGTERM, signal.SIGINT], [6, 1, 1])[0]
        way = 2 if kind.patient else dice.randrange(3)
        if way == 0:
            ends.append(End(call=dice.randint(1, max(1, outcome.calls)), signal=number))
        elif way == 1:
            full = 0 if dice.random() < 0.2 else signal.SIGXFSZ
            ends.append(End(byte=int(10 ** dice.uniform(0, 4.5)), signal=full))
        else:
            ends.append(End(seconds=dice.uniform(0, max(0.01, outcome.seconds)), signal=number))
    return ends


def story(kind: Kind, ends: Iterable[list[End]], outcome: Outcome) -> None:
    """One folder in which the work is ended again and again, then done, then looked at."""
    outcome.stories += 1
    with new_folder() as folder:
        kind.begin(folder)
        told: list[Told] = []
        last = "never ended"
        for chosen in ends:
            last = f"{kind.work.__name__}, after {', '.join(map(_in_words, chosen))}"
            exits = together(kind, folder, told, chosen, outcome, range(len(chosen)))
            outcome.add(kind.look(folder, told), last)
            if set(exits) == {0}:
                break
        outcome.add(_finished(kind, folder, told, outcome), last)


def _finished(kind: Kind, folder: Path, told: list[Told], outcome: Outcome) -> Iterator[Fault]:
    """Let every writer do what is left, then look; whoever is refused starts again."""
    left = list(range(kind.writers))
    for _ in range(STARTS):
        exits = together(kind, folder, told, [End()] * len(left), outcome, left)
        left = [writer for writer, code in zip(left, exits, strict=True) if code == REFUSED]
        if not left:
            break
    else:
        yield Fault("damaged", f"writers {left} were refused to the last")
    yield from kind.look(folder, told)
    yield from kind.finish(folder, told)
    for path in sorted(folder.rglob("*")):
        if not path.is_dir() and not any(path.match(pattern) for pattern in kind.known):
            yield Fault("litter", path.name)


def together(
    kind: Kind,
    folder: Path,
    told: list[Told],
    ends: Sequence[End],
    outcome: Outcome,
    writers: Sequence[int] | None = None,
) -> list[int]:
    """Start the writers at once, end each as chosen, and look meanwhile; their exit codes."""
    writers = range(kind.writers) if writers is None else writers
    reader, pipe = os.pipe()
    told.append(Told(-1, "run", None))
    before = tuple(told)
    children = {
        _forked(kind, folder, before, writer, end, (reader, pipe)): (writer, end)
        for writer, end in zip(writers, ends, strict=True)
    }
    os.close(pipe)
    codes = _watched(kind, folder, told, children, reader, outcome)
    os.close(reader)
    for child, (_, end) in children.items():
        outcome.kills += codes[child] != REFUSED and codes[child] not in (0, BROKEN)
        if codes[child] == BROKEN:
            reason = next((t.unit for t in reversed(told) if t.word == "broken"), "unknown")
            outcome.add([Fault("damaged", f"the work refuses to go on: {reason}")], _in_words(end))
    return [codes[child] for child in children]


def _watched(
    kind: Kind,
    folder: Path,
    told: list[Told],
    children: dict[int, tuple[int, End]],
    reader: int,
    outcome: Outcome,
) -> dict[int, int]:
    """Read what is told and look at the files until the last child has ended."""
    started, rest, codes, open_ = time.monotonic(), b"", dict[int, int](), True
    due = {child: end for child, (_, end) in children.items() if end.call is end.byte is None}
    due = {child: end for child, end in due.items() if end.seconds is not None}
    random_moment, hangs = bool(due), started + HANGS
    while open_ or len(codes) < len(children):
        if open_ and select.select([reader], [], [], 0.002 if due else 0.02)[0]:
            piece = os.read(reader, 65536)
            open_ = bool(piece)
            *lines, rest = (rest + piece).split(b"\n")
            told.extend(Told(*json.loads(line)) for line in lines)
        if random_moment:  # else each call's state is looked at after the kill
            outcome.add(kind.look(folder, told), "meanwhile")
        for child, end in list(due.items()):
            if child not in codes and time.monotonic() - started > end.seconds:
                os.kill(child, due.pop(child).signal)
        if time.monotonic() > hangs:
            hangs = math.inf
            outcome.add([Fault("damaged", "it hangs")], "meanwhile")
            due = {child: End(seconds=0) for child in children.keys() - codes.keys()}
        if not open_:
            time.sleep(0.001)
        for child in children.keys() - codes.keys():
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                codes[child] = os.waitstatus_to_exitcode(status)
        # a worker of a dead child may hold the pipe for a while; nobody waits for it
        open_ = open_ and (
            len(codes) < len(children) or bool(select.select([reader], [], [], 0)[0])
        )
    return codes


def _in_words(end: End) -> str:
    name = signal.Signals(end.signal).name if end.signal else "a full disk"
    if end.call is not None:
        return f"{name} before call {end.call}"
    if end.byte is not None:
        return f"{name} at byte {end.byte}"
    return "no end" if end.seconds is None else f"{name} at {end.seconds:.4f} s"


@contextlib.contextmanager
def new_folder() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        yield Path(folder)


# -- the child -------------------------------------------------------------------------------------


def _forked(
    kind: Kind, folder: Path, told: Sequence[Told], writer: int, end: End, pipe: tuple[int, int]
) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    gc.freeze()  # collected garbage would be copied
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # until the child can be interrupted
    child = os.fork()
    if child:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        return child
    try:
        os.close(pipe[0])
        _child(kind, folder, told, writer, end, pipe[1])
    finally:
        os._exit(BROKEN)


def _child(
    kind: Kind, folder: Path, told: Sequence[Told], writer: int, end: End, pipe: int
) -> None:
    """Do the work and exit; nothing of the parent's is run on the way out."""
    calls = Calls(end if end.byte is end.seconds is None else End())

    def tell(word: str, unit: Any) -> None:
        with calls.not_counted():
            os.write(pipe, json.dumps([writer, word, unit]).encode() + b"\n")

    signal.signal(signal.SIGINT, signal.default_int_handler)
    code = BROKEN
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        _silence()
        if end.call is None and end.byte is not None:
            _full_at(end.byte, end.signal)
        sys.setprofile(calls)
        kind.work(folder, told, tell, writer)
        sys.setprofile(None)
        tell("calls", calls.seen)
        code = 0
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except (Exception, SystemExit) as error:
        sys.setprofile(None)
        if isinstance(error, kind.refusal):
            code = REFUSED
        elif isinstance(error, OSError) and end.byte is not None:
            code = 128
        elif _interrupted(error):  # zipfile raises another error on the way out
            code = 128 + signal.SIGINT
        else:
            tell(
                "broken",
                "".join(traceback.format_exception_only(error))
                .replace(str(folder), "FOLDER")
                .strip()[-300:],
            )
    finally:
        os._exit(code)


def _interrupted(error: BaseException | None) -> bool:
    """Whether an error came up while Ctrl-C was on its way out."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _silence() -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)


def _full_at(byte: int, number: int) -> None:
    """No file grows beyond so many bytes: a write stops there, and the next one is the end."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (byte, byte))
    if number:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it: an OSError instead


class Calls:
    """Counts calls that touch a file, and ends the process at the chosen."""

    def __init__(self, end: End) -> None:
        self._end, self.seen, self._pause = end, 0, False

    @contextlib.contextmanager
    def not_counted(self) -> Iterator[None]:
        """What is done by the harness itself."""
        self._pause, before = True, self._pause
        try:
            yield
        finally:
            self._pause = before

    def __call__(self, frame: Any, event: str, function: Any) -> None:
        """What sys.setprofile calls."""
        if self._pause or event != "c_call" or not touches(function):
            return
        self.seen += 1
        if self.seen == self._end.call:
            sys.setprofile(None)
            os.kill(os.getpid(), self._end.signal)


def touches(function: Any) -> bool:
    """Whether a built-in function may change a file."""
    name, owner = function.__name__, getattr(function, "__self__", None)
    if isinstance(owner, io.IOBase):
        return name in OF_FILES and not isinstance(owner, io.BytesIO | io.StringIO)
    module = getattr(function, "__module__", None) or getattr(owner, "__name__", None)
    return name in OF_THE_SYSTEM and module in ("posix", "_io", "io", "fcntl")
