"""Files that grow line by line: what they hold first, then a line of JSON for each result.

    {"format": "landscape_nb sweep", "version": 1, "settings": {...}}
    {...}

What JSON has no word for stands as Python and pandas read it: NaN, Infinity, -Infinity. A line
without its end was cut off by a kill and does not count. What else is no such line is damage: the
file is refused and left as it is.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """One kind of such files.

    Attributes:
        format, version: what the first line says.
        noun: what writes the file, for example "sweep".
        item: what one line holds, for example "cell".
        error: what is raised for a file that can't be used.
    """

    format: str
    version: int
    noun: str
    item: str
    error: type[ValueError]

    def first_line(self, settings: Row) -> bytes:
        """The line that opens a file."""
        return line({"format": self.format, "version": self.version, "settings": settings})

    def settings(self, first: bytes, path: Path) -> Row:
        """What the first line of a file says, if it is of this kind."""
        try:
            header = json.loads(first.decode())
            if header["format"] != self.format:
                raise ValueError("another format")
            version, settings = header["version"], dict(header["settings"])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise self.error(self.foreign(path)) from None
        if version != self.version:
            raise self.error(
                f"{path} has version {version!r} of the format, known is {self.version}."
            )
        return settings

    def difference(self, path: Path, found: Row, wanted: Row) -> str:
        """The sentence about a file of other settings."""
        lines = [
            f"  {name}: {found.get(name, 'absent')!r} in the file, "
            f"{wanted.get(name, 'absent')!r} now"
            for name in sorted(found.keys() | wanted.keys())
            if found.get(name) != wanted.get(name)
        ]
        last = f"Give this {self.noun} another file."
        return "\n".join([f"{path} was written with other settings:", *lines, last])

    def foreign(self, path: Path) -> str:
        """The sentence about a file of another kind."""
        return (
            f"{path} was not written by a {self.noun}, or is damaged where its settings stand. "
            f"Give this {self.noun} another file."
        )

    def damaged(self, path: Path, number: int) -> str:
        """The sentence about a line that is not what it should be."""
        return (
            f"{path} is damaged: line {number} is not one more {self.item} of this {self.noun}. "
            f"Nothing was changed; without that line, in a copy, the other {self.item}s can be "
            "read."
        )


def line(content: Row) -> bytes:
    """One line of a file."""
    return json.dumps(content).encode() + b"\n"


def complete_lines(content: bytes) -> list[bytes]:
    """The lines that have their ends, without them; an empty one if there is none."""
    return content[: content.rfind(b"\n") + 1].split(b"\n")[:-1] or [b""]


def drop_torn_line(path: Path, content: bytes) -> None:
    """Cut off what has no line end, so that lines can be appended."""
    end = content.rfind(b"\n") + 1
    if end < len(content):
        with path.open("r+b") as file:
            file.truncate(end)
            os.fsync(file.fileno())


def append(path: Path, first: bytes, content: Row) -> None:
    """One more line, after `first` in a new file; on the disk when this returns."""
    with path.open("ab") as file:
        file.write((b"" if file.tell() else first) + line(content))
        file.flush()
        os.fsync(file.fileno())
