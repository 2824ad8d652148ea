"""One writer to a file that grows: the file itself is locked, whatever name leads to it.

The lock is on what the names point at (the inode). So a symbolic link, a hard link, a relative name
or another thread meet the same lock, nothing lies beside the file that could be deleted, and the
operating system frees the lock when the process ends, however it ends. A process that is forked
does not inherit it.

On Windows, which locks bytes and not files, `NAME.lock` beside the file is locked instead. Where
`NAME.lock` of an earlier version lies beside the file, it is heeded too.

A file system without locks (some network and cloud folders) is refused: two runs would write over
each other there. Over NFS the server must serve locks; a share that is mounted with local locks
only (`nolock`, `local_lock=flock`) keeps apart the runs of one machine, not those of two.

What is appended is with the operating system at once: a killed process loses nothing. It is forced
onto the disk, for power failures, as often as a twentieth of the time allows and when the file is
let go: after each line where lines take milliseconds.
"""

import contextlib
import errno
import os
import stat
import tempfile
import time
import weakref
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

from landscape_nb.numerics import checks
from landscape_nb.numerics.files import replace_files

locks: Any
try:
    import fcntl as locks
except ImportError:  # Windows
    locks = None

# Share of the time for forcing lines onto the disk, and seconds that are free. Chosen here.
SYNC_SHARE, SYNC_FREE = 0.05, 0.05
WHOLE_WRITES = 3  # tries, as a network's file system may take a part for once; chosen here

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_FLAGS = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)


class LockedFile:
    """A file open and locked for one writer, in a `with` statement or until `close`.

    A file that is absent is created, and removed again if nothing was appended. One that may only
    be read can be read, and is refused at `prepare`.

    Args:
        path: the file, or a link to it.
        error: what is raised for a file that can't be used.
        noun: what writes the file, for example "sweep".

    Attributes:
        content: what the file held when it was opened.
        inode: what tells files apart, whatever their names.

    Raises:
        FileNotFoundError: no such folder.
        error: another writer holds the file, or it is none that can be written to and locked.
    """

    def __init__(self, path: Path, error: type[ValueError], noun: str) -> None:
        self.path, self.error, self.noun = Path(os.path.abspath(path)), error, noun
        self._shown, self._process, self._created = path, os.getpid(), False
        self._old_lock: FileLock | None = None
        self._fd = -1
        refuse_unless_file(path, error)
        if not Path(os.path.realpath(path)).parent.is_dir():
            home = " Write Path(...).expanduser() for ~." if str(path)[:1] == "~" else ""
            raise FileNotFoundError(
                f"There is no folder {str(path.parent)!r} for {path.name}.{home}"
            )
        try:
            self._open()
            with open(self._fd, "rb", closefd=False) as file:
                self.content = file.read()
        except BaseException:
            self.close()
            raise
        self._end = self._size = len(self.content)
        self._lead = b""
        self._began, self._syncing, self._unsynced = time.monotonic(), 0.0, False
        _OPEN.add(self)

    @property
    def inode(self) -> tuple[int, int]:
        """Device and number."""
        status = os.fstat(self._fd)
        return status.st_dev, status.st_ino

    @property
    def closed(self) -> bool:
        """Whether the file was let go; a process that is forked holds nothing."""
        return self._fd < 0

    def prepare(self, end: int, lead: bytes) -> None:
        """Say that lines go on after `end` bytes, the first after `lead`; nothing is written yet.

        Raises:
            error: the file may not be written to.
        """
        if not self._writable:
            raise self.error(
                f"{self._shown} may only be read, and this {self.noun} has more to write. Make it "
                f"writable, or give this {self.noun} another file, a copy for example."
            )
        self._end, self._lead = end, lead

    def replace(self, content: bytes) -> None:
        """Put a new file in the place of this one in one step, and go on with it, locked too."""
        self.prepare(0, b"")
        replace_files({self.path: content})
        old, self._fd = self._fd, -1
        try:
            self._open()
        finally:
            os.close(old)
        self._end = self._size = len(content)

    def append(self, line: bytes) -> None:
        """One more line, which a kill of this process can't lose when this returns.

        What an earlier append left unfinished is cut off; nothing else ever is.

        Raises:
            error: another program wrote to the file, or it was deleted, moved or replaced; where
                the lines are then is said.
            OSError: a full disk, for example. The file holds all lines before.
        """
        if self._process != os.getpid() or self.closed:
            raise self.error(
                f"{self._shown} is not open for writing in this process; the process that opened "
                "it, from which this one was forked, is its one writer."
            )
        if not self._ours():
            raise self.error(
                f"{self._shown} was closed by what ran meanwhile, as os.closerange does. It holds "
                f"what was finished before; what could not be added is\n{checks.shown(line, 5000)}"
            )
        if os.fstat(self._fd).st_size != self._size:
            raise self.error(
                f"{self._shown} was changed by another program while this {self.noun} ran. Nothing "
                f"was written over it; what could not be added is\n{checks.shown(line, 5000)}"
            )
        try:
            if self._size != self._end:
                os.ftruncate(self._fd, self._end)
            self._write(self._lead + line)
            self._sync()
        except OSError as failure:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._end)
            failure.add_note(
                f"{self._shown} holds what was finished before, and can be continued when there is "
                f"room. What could not be added is\n{checks.shown(line, 5000)}"
            )
            raise
        finally:
            self._size = os.fstat(self._fd).st_size
        self._end, self._lead = self._size, b""
        self._refuse_if_gone()

    def close(self) -> None:
        """Force all onto the disk and let go of the file."""
        fd, self._fd = self._fd if self._ours() else -1, -1
        try:
            if fd >= 0 and self._process == os.getpid():
                self._leave(fd)
        finally:
            if fd >= 0:
                os.close(fd)
            if self._old_lock is not None:
                self._old_lock.release()
            self._old_lock = None

    def __enter__(self) -> "LockedFile":
        """As it is."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    # -- opening -----------------------------------------------------------------------------------

    def _open(self) -> None:
        """Open and lock what the path names, and see that it still names it then."""
        self._lock_beside()
        for _ in range(100):
            try:
                self._fd = self._opened()
            except FileExistsError:  # made by another run, this moment
                continue
            self._opened_as = os.fstat(self._fd)
            if self._writable:
                self._lock()
            if self._named():
                return
            os.close(self._fd)
            self._fd = -1
        raise self.error(f"{self._shown} is replaced again and again by another program.")

    def _opened(self) -> int:
        target = os.path.realpath(self.path)
        self._writable, self._created = True, False
        try:
            try:
                return os.open(target, os.O_RDWR | _FLAGS)
            except FileNotFoundError:
                fd = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | _FLAGS, 0o666)
                self._created = True
                return fd
        except FileExistsError:
            raise
        except OSError as failure:
            self._writable = False
            with contextlib.suppress(OSError):
                return os.open(target, os.O_RDONLY | _FLAGS)
            raise self.error(
                f"{self._shown} can't be opened or made ({failure.strerror}). Nothing was changed; "
                f"give this {self.noun} a file in a folder of yours."
            ) from None

    def _lock(self) -> None:
        if locks is None:
            return
        try:
            locks.flock(self._fd, locks.LOCK_EX | locks.LOCK_NB)
        except OSError as failure:
            if failure.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES):
                raise self._in_use() from None
            raise self.error(
                f"The file system of {self._shown} gives no locks ({failure.strerror}), so that "
                f"two runs could write over each other. Give this {self.noun} a file on a disk of "
                "this computer, and copy it when it is done."
            ) from None

    def _lock_beside(self) -> None:
        """Windows; and what a run of an earlier version holds."""
        beside = Path(f"{self.path}.lock") if locks else Path(f"{os.path.realpath(self.path)}.lock")
        # an earlier version's is empty; what holds something is somebody else's
        wanted = locks is None or (os.path.isfile(beside) and beside.stat().st_size == 0)
        if not wanted or self._old_lock is not None:
            return
        lock = FileLock(beside, timeout=0, thread_local=False)
        try:
            lock.acquire()
        except Timeout:
            raise self._in_use() from None
        except OSError:
            if locks is None:
                raise
            return  # not ours to open: no earlier version could write here either
        self._old_lock = lock

    def _in_use(self) -> ValueError:
        return self.error(
            f"Another run is writing to {self._shown}. Wait for it, or give this one another file."
        )

    # -- writing and leaving -----------------------------------------------------------------------

    def _write(self, data: bytes) -> None:
        for _ in range(WHOLE_WRITES):
            os.lseek(self._fd, self._end, os.SEEK_SET)
            if (taken := os.write(self._fd, data)) == len(data):
                self._unsynced = True
                return
            # A disk that is nearly full takes a part. It is not left there while the rest is tried:
            # ended at that moment, a file would hold the first bytes of a line, in a new file so
            # few that they could be anybody's.
            os.ftruncate(self._fd, self._end)
        raise OSError(errno.ENOSPC, f"No space left: {taken} of {len(data)} bytes were taken")

    def _sync(self) -> None:
        now = time.monotonic()
        if self._syncing > SYNC_FREE + SYNC_SHARE * (now - self._began):
            return
        os.fsync(self._fd)
        self._unsynced = False
        self._syncing += time.monotonic() - now

    def _ours(self) -> bool:
        """Whether nobody closed the file and has another one open under its number."""
        try:
            return os.path.samestat(os.fstat(self._fd), self._opened_as)
        except OSError:
            return False

    def _named(self) -> bool:
        """Whether the path still leads to the file that is open."""
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self._fd))
        except OSError:
            return False

    def _refuse_if_gone(self) -> None:
        if self._named():
            return
        if os.fstat(self._fd).st_nlink:
            raise self.error(
                f"{self._shown} was moved or replaced while this {self.noun} ran. What is finished "
                f"stands in the file that was moved; move it back, and start this {self.noun} "
                "again."
            )
        raise self.error(
            f"{self._shown} was deleted or replaced while this {self.noun} ran. What is finished "
            f"was written to {self._rescued()}; give it its name back, and start this {self.noun} "
            "again."
        )

    def _rescued(self) -> Path:
        """A new file with all that the deleted one holds."""
        with open(self._fd, "rb", closefd=False) as file:
            file.seek(0)
            content = file.read()
        here, name = self.path.parent, f"{self.path.name}."
        for folder in (str(here), tempfile.gettempdir()):  # the folder may be gone too
            with contextlib.suppress(OSError):
                fd, rescued = tempfile.mkstemp(".rescued", name, folder)
                with open(fd, "wb") as file:
                    file.write(content)
                    os.fsync(fd)
                return Path(rescued)
        raise self.error(
            f"{self._shown} was deleted, and no folder takes what it held:\n{content.decode()}"
        )

    def _leave(self, fd: int) -> None:
        if self._created and not os.fstat(fd).st_size:
            # still locked: whoever waits for it finds that the name is gone, and makes it anew
            with contextlib.suppress(OSError):
                if os.path.samestat(os.stat(self.path), os.fstat(fd)):
                    os.unlink(os.path.realpath(self.path))
        elif getattr(self, "_unsynced", False):
            os.fsync(fd)
        if locks is not None:
            with contextlib.suppress(OSError):
                locks.flock(fd, locks.LOCK_UN)  # copies of the descriptor in other processes too


def refuse_unless_file(path: Path, error: type[ValueError]) -> None:
    """Refuse what exists and is no file: opening a pipe would wait for ever.

    Raises:
        error: with what it is.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return
    except OSError as failure:
        raise error(f"{path} can't be opened ({failure.strerror}).") from None
    except ValueError as failure:
        raise error(f"{str(path)!r} is no name of a file ({failure}).") from None
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "no file")
        raise error(f"{path} is {kind}; give the name of a file. Nothing was changed.")


def whole(path: Path, error: type[ValueError]) -> bytes:
    """What a file holds; a FileNotFoundError where there is none, `error` where it is no file."""
    refuse_unless_file(path, error)
    return path.read_bytes()


_OPEN: "weakref.WeakSet[Any]" = weakref.WeakSet()


def _forget() -> None:
    """In a forked process: the lock stays with the first, and ends with it."""
    for file in list(_OPEN):
        if not file.closed:
            os.close(file._fd)
            file._fd, file._old_lock = -1, None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
