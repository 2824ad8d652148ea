"""The file of a watched training: one writer, one line for each row, nothing lost by a kill."""

import json
import os
from pathlib import Path

from filelock import FileLock, Timeout

from landscape_nb.study import json_lines
from landscape_nb.study.json_lines import Row


class WatchFileError(ValueError):
    """The file is in use, foreign, damaged or of other settings. It is untouched."""


KIND = json_lines.Kind("landscape_nb watch", 1, "watch", "row", WatchFileError)

_writers: dict[str, "RowsFile"] = {}  # of this process, by the file's real path


class RowsFile:
    """Appends rows to one file, which is locked while this is open.

    In one process a later writer of the same file takes over: in a notebook a cell that is run
    again makes one while the first still lives. Another process is refused.

    Args:
        path: created at the first row if absent, continued if its settings are these.
        settings: what decides the meaning of the rows, as JSON would give it back.

    Attributes:
        rows: those that the file holds at the start.

    Raises:
        FileNotFoundError: no such folder.
        WatchFileError: in use, foreign, damaged, or of other settings.
    """

    def __init__(self, path: Path, settings: Row) -> None:
        if not path.parent.is_dir():
            raise FileNotFoundError(f"There is no folder {str(path.parent)!r} for {path.name}.")
        self.path, self._first = path, KIND.first_line(settings)
        self._real = os.path.realpath(path)
        if self._real in _writers:
            _writers[self._real].close()
        # any thread of this process may write, and whoever closes it may be another one
        self._lock = FileLock(f"{path}.lock", timeout=0, thread_local=False)
        try:
            self._lock.acquire()
        except Timeout:
            raise WatchFileError(
                f"Another run is writing to {path}. Wait for it, or give this one another file."
            ) from None
        try:
            self.rows, self._end = self._opened(settings)
        except BaseException:
            self._lock.release()
            raise
        _writers[self._real] = self

    def _opened(self, settings: Row) -> tuple[list[Row], int]:
        """The rows of an earlier run, and where its last complete line ends."""
        content = self.path.read_bytes() if self.path.exists() else b""
        if self._first.startswith(content) and content != self._first:
            return [], 0  # absent, or killed within its first line
        found, rows = parsed(content, self.path)
        if found != settings:
            raise WatchFileError(KIND.difference(self.path, found, settings))
        return rows, content.rfind(b"\n") + 1

    def append(self, row: Row) -> None:
        """One more line, on the disk when this returns; what a kill or Ctrl-C cut off is dropped.

        Raises:
            WatchFileError: this is closed, or a later writer has taken over.
        """
        if not self._lock.is_locked:
            raise WatchFileError(
                f"This watch has let go of {self.path}: it was closed, or a later one of this "
                "process took over. Use that one, or give this one another file."
            )
        line = json_lines.line(row)
        with self.path.open("r+b" if self.path.exists() else "xb") as file:
            file.truncate(self._end)
            file.seek(self._end)
            file.write((b"" if self._end else self._first) + line)
            file.flush()
            os.fsync(file.fileno())
            self._end = file.tell()

    def close(self) -> None:
        """Free the file for other writers."""
        self._lock.release()
        if _writers.get(self._real) is self:
            del _writers[self._real]


def parsed(content: bytes, path: Path) -> tuple[Row, list[Row]]:
    """Settings and rows of a file; a line that was cut off does not count."""
    first, *lines = json_lines.complete_lines(content)
    settings = KIND.settings(first, path)
    rows: list[Row] = []
    for number, line in enumerate(lines, start=2):
        try:
            row = json.loads(line.decode())
            if not row["call"] >= (rows[-1]["call"] if rows else 0):
                raise ValueError("rows stand in the order of their calls")
        except (ValueError, KeyError, TypeError, RecursionError):
            raise WatchFileError(KIND.damaged(path, number)) from None
        rows.append(row)
    return settings, rows


def read_watch(path: str | Path) -> list[Row]:
    """The rows of a watch's file, {column: number, truth value, text or None}.

    A file that is being written can be read; a row appears when it is complete.

    Raises:
        FileNotFoundError: no such file.
        WatchFileError: the file was not written by a watch, or is damaged.
    """
    return parsed(Path(path).read_bytes(), Path(path))[1]
