"""The file of a watched training: one writer, one line for each row, nothing lost by a kill."""

import json
import os
from pathlib import Path

from landscape_nb.study import json_lines, one_writer
from landscape_nb.study.json_lines import Opened, Row


class WatchFileError(ValueError):
    """The file is in use, foreign, damaged or of other settings. It is untouched."""


KIND = json_lines.Kind("landscape_nb watch", 1, "watch", "row", WatchFileError, json_lines.CUT_ROW)

_writers: dict[tuple[int, int], "RowsFile"] = {}  # of this process, by the file's inode


class RowsFile:
    """Appends rows to one file, which is locked while this is open.

    In one process a later writer of the same file takes over: in a notebook a cell that is run
    again makes one while the first still lives. Another process is refused.

    Args:
        path: created if absent, continued if its settings are these. Until the first row it is
            empty, and it is removed if none comes.
        settings: what decides the meaning of the rows, as JSON would give it back.

    Attributes:
        rows: those that the file holds at the start.

    Raises:
        FileNotFoundError: no such folder.
        WatchFileError: in use, foreign, damaged, or of other settings.
    """

    def __init__(self, path: Path, settings: Row) -> None:
        self.path = path
        _close_writer_of(path)
        self._file = one_writer.LockedFile(path, WatchFileError, KIND.noun)
        try:
            found, self.rows = _opened(self._file.content, path, KIND.first_line(settings))
            if found.settings is not None and not _same(found.settings, settings):
                raise WatchFileError(KIND.difference(path, found.settings, settings))
            self._file.prepare(found.end, found.lead)
        except BaseException:
            self._file.close()
            raise
        self._inode = self._file.inode
        _writers[self._inode] = self

    def append(self, row: Row) -> None:
        """One more line, which no kill loses when this returns; what one cut off is dropped.

        Raises:
            WatchFileError: this is closed, a later writer has taken over, or another program
                changed, moved or deleted the file.
            OSError: a full disk, for example; the rows before are in the file.
        """
        if self._file.closed:
            raise WatchFileError(
                f"This watch has let go of {self.path}: it was closed, or a later one of this "
                "process took over, or this process was forked from the one that writes. Use that "
                "one, or give this one another file."
            )
        self._file.append(json_lines.line(row))

    def close(self) -> None:
        """Free the file for other writers."""
        self._file.close()
        if _writers.get(self._inode) is self:
            del _writers[self._inode]


def _close_writer_of(path: Path) -> None:
    """A later writer of this process takes over, whatever name it uses."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return  # said when it is opened
    if earlier := _writers.get((status.st_dev, status.st_ino)):
        earlier.close()


def _same(found: Row, wanted: Row) -> bool:
    return found == wanted or json_lines.text(found) == json_lines.text(wanted)  # NaN is NaN


def parsed(content: bytes, path: Path) -> tuple[Row, list[Row]]:
    """Settings and rows of a file; a line that was cut off does not count."""
    found, rows = _opened(content, path)
    return found.settings or {}, rows


def _opened(content: bytes, path: Path, first: bytes = b"") -> tuple[Opened, list[Row]]:
    found = KIND.opened(content, path, first)
    rows: list[Row] = []
    for number, line in enumerate(found.lines, start=2):
        try:
            row = json.loads(line.decode())
            if not row["call"] >= (rows[-1]["call"] if rows else 0):
                raise ValueError("rows stand in the order of their calls")
        except (ValueError, KeyError, TypeError, RecursionError):
            raise WatchFileError(KIND.damaged(path, number, line)) from None
        rows.append(row)
    return found, rows


def read_watch(path: str | Path) -> list[Row]:
    """The rows of a watch's file, {column: number, truth value, text or None}.

    A file that is being written can be read; a row appears when it is complete.

    Raises:
        FileNotFoundError: no such file.
        WatchFileError: the file was not written by a watch, or is damaged.
    """
    return parsed(one_writer.whole(Path(path), WatchFileError), Path(path))[1]
