r"""Files that grow line by line: what they hold first, then a line of JSON for each result.

    {"format": "landscape_nb sweep", "version": 1, "settings": {...}}
    {...}

What JSON has no word for stands as Python and pandas read it: NaN, Infinity, -Infinity. Line ends
may be \n or \r\n, and a last line that is complete but for its end counts. One that breaks off
where a kill may have cut it, and nowhere else, does not count and is cut off when the file goes on.
What else is no such line is damage: the file is refused and left as it is.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from landscape_nb.numerics import checks

Row = dict[str, Any]


def _beginnings(*words: str) -> str:
    """Matches what a word may have come to, but for nothing and all of it."""
    cut = [re.escape(word[:length]) for word in words for length in range(1, len(word))]
    return "(?:" + "|".join(cut) + ")"


# What `line` writes of a flat row, and how that can break off.
_TEXT, _CUT_TEXT = r'"(?:[^"\\]|\\.)*"', r'"(?:[^"\\]|\\.)*\\?'
_NUMBER, _WORDS = r"-?\d[\d.eE+-]*", ("true", "false", "null", "NaN", "Infinity", "-Infinity")
_VALUE = rf"(?:{_TEXT}|{_NUMBER}|{'|'.join(_WORDS)})"
_CUT_VALUE = rf"(?:{_CUT_TEXT}|{_VALUE},?|{_beginnings(*_WORDS)})"
_CUT_PAIR = rf"(?:{_CUT_TEXT}|{_TEXT}:?|{_TEXT}: {_CUT_VALUE}?)"
_ROW = rf"\{{{_TEXT}: {_VALUE}(?:, {_TEXT}: {_VALUE})*\}}"
_CUT_ROW = rf"\{{(?:{_TEXT}: {_VALUE}, )*{_CUT_PAIR}?"
_ROWS, _OPENING = '{"rows": [', b'{"format": '

CUT_ROW = re.compile(_CUT_ROW)
CUT_ROWS = re.compile(
    rf"{_beginnings(_ROWS)}|{re.escape(_ROWS)}(?:{_ROW}, )*(?:{_ROW}[\],]?|{_CUT_ROW})?"
)


@dataclass(frozen=True)
class Opened:
    """What a file holds, and where it goes on.

    Attributes:
        settings: of its first line; None if it holds none yet.
        lines: its complete lines after the first.
        end: the length of what counts; what follows was cut off by a kill.
        lead: what must be written there before the next line.
    """

    settings: Row | None
    lines: list[bytes]
    end: int
    lead: bytes


@dataclass(frozen=True)
class Kind:
    """One kind of such files.

    Attributes:
        format, version: what the first line says.
        noun: what writes the file, for example "sweep".
        item: what one line holds, for example "cell".
        error: what is raised for a file that can't be used.
        cut: matches every line that a kill may have cut, and no other.
    """

    format: str
    version: int
    noun: str
    item: str
    error: type[ValueError]
    cut: re.Pattern[str]

    def first_line(self, settings: Row) -> bytes:
        """The line that opens a file."""
        return line({"format": self.format, "version": self.version, "settings": settings})

    def opened(self, content: bytes, path: Path, first: bytes = b"") -> Opened:
        """Take a file apart; `first` is how it would begin, for who is going to write.

        Raises:
            error: the file is of another kind, or damaged.
        """
        # a beginning of our own first line is completed; "{" alone may be anybody's
        if not content or (first.startswith(content) and content.startswith(_OPENING)):
            return Opened(None, [], len(content), first[len(content) :])
        if not first and self._only_begun(content):
            return Opened(None, [], len(content), b"")
        start, *lines = content.split(b"\n")
        settings = self.settings(start, path)
        if not lines:
            if self.first_line(settings) != content + b"\n":
                raise self.error(self.foreign(path, content))
            return Opened(settings, [], len(content), b"\n")
        last = lines.pop()
        end = len(content) - len(last)
        if not last:
            return Opened(settings, lines, end, b"")
        if _parses(last):
            return Opened(settings, [*lines, last], len(content), b"\n")
        if last.isascii() and self.cut.fullmatch(last.decode()):
            return Opened(settings, lines, end, b"")
        raise self.error(self.damaged(path, len(lines) + 2, last))

    def _only_begun(self, content: bytes) -> bool:
        """Whether a first line is being written at this moment, or its writer was killed."""
        opening = self.first_line({})[: -len("}}\n")]
        begun = opening.startswith(content) or content.startswith(opening)
        whole = _parses(content) or re.search(rb"[\r\n]", content)
        return begun and content.startswith(_OPENING) and not whole

    def settings(self, first: bytes, path: Path) -> Row:
        """What the first line of a file says, if it is of this kind."""
        try:
            header = json.loads(first.decode())
            if header["format"] != self.format:
                raise ValueError("another format")
            version, settings = header["version"], dict(header["settings"])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise self.error(self.foreign(path, first)) from None
        if version != self.version:
            raise self.error(
                f"{path} has version {version!r} of the format, known is {self.version}."
            )
        return settings

    def difference(self, path: Path, found: Row, wanted: Row) -> str:
        """The sentence about a file of other settings."""
        lines = [
            f"  {name}: {_shown(found, name)} in the file, {_shown(wanted, name)} now"
            for name in sorted(found.keys() | wanted.keys())
            if text(found.get(name)) != text(wanted.get(name))
            or (name in found) != (name in wanted)
        ]
        last = f"Give this {self.noun} another file."
        return "\n".join([f"{path} was written with other settings:", *lines, last])

    def foreign(self, path: Path, content: bytes = b"") -> str:
        """The sentence about a file of another kind."""
        why = ""
        if content.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
            why = " It begins with a mark that editors write; save a copy as UTF-8 without it."
        return (
            f"{path} was not written by a {self.noun}, or is damaged where its settings stand. "
            f"Nothing was changed.{why} Give this {self.noun} another file."
        )

    def damaged(self, path: Path, number: int, content: bytes = b"") -> str:
        """The sentence about a line that is not what it should be."""
        why = " It holds zero bytes, as after a power failure." if b"\0" in content else ""
        return (
            f"{path} is damaged: line {number} is not one more {self.item} of this {self.noun}."
            f"{why} Nothing was changed; without that line, in a copy, the other {self.item}s can "
            "be read."
        )


def line(content: Row) -> bytes:
    """One line of a file."""
    return json.dumps(content).encode() + b"\n"


def text(content: Any) -> str:
    """JSON in one spelling: 1, 1.0, True and "1" differ, NaN is NaN."""
    return json.dumps(content, sort_keys=True)


def _shown(settings: Row, name: str) -> str:
    return checks.shown(settings.get(name, "absent"))


def _parses(last: bytes) -> bool:
    try:
        return isinstance(json.loads(last.decode()), dict)
    except (ValueError, RecursionError):
        return False
