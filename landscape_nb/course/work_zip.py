"""A learner's texts as a zip that can be read without this package, and back.

The bytes that come back may have been through anything: mail, another program, malice. They are
refused in one sentence, and at most `LARGEST` bytes of them are ever unpacked, whatever they claim.
"""

import io
import re
import zipfile
from collections.abc import Mapping

from landscape_nb.course.work_files import WorkFileError

SAVED = "my_work.zip"
LARGEST = 10_000_000  # bytes unpacked, chosen here: thousands of times a whole course's answers
MOST_ENTRIES = 10_000  # chosen here: a hundred times a whole course's answers
# Whoever unpacks a zip and packs it again puts folders in front, on Windows with a backslash.
_FOLDER = r"(?!__MACOSX/)[^/\x00]+/"
ENTRY = re.compile(
    rf"(?:{_FOLDER})*?({_FOLDER}(?:answer|manual)-[\w-]+|predictions/\d\d\.[\w-]+)\.(py|md|json)"
)


def pack(files: Mapping[str, str]) -> bytes:
    """The texts as a zip, the same bytes for the same texts.

    >>> unpack(pack({"01_toy/answer-1.py": "x = 1"}))
    {'01_toy/answer-1.py': 'x = 1'}
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in sorted(files.items()):
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # else Windows and others would differ in a byte
            # an editor's mark at the start is dropped by `unpack`, one of the learner's is not
            text = "\ufeff" + text if text.startswith("\ufeff") else text
            archive.writestr(entry, text.encode("utf-8", "surrogatepass"), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def unpack(content: bytes) -> dict[str, str]:
    """The texts in a zip that `pack` made, or that holds the same files in a folder.

    Raises:
        WorkFileError: no zip, a damaged one, one that is too large, that holds two texts for one
            answer, or none of a learner's answers.
    """
    if len(content) > LARGEST or content.count(b"PK\x01\x02") > MOST_ENTRIES:
        raise WorkFileError("The zip has more than 10 MB or 10 000 files: it is no saved work.")
    try:
        files = _texts(content)
    except WorkFileError:
        raise
    # What a damaged file makes of a zip reader is not one kind of error: struct, zlib, EOF, ...
    except Exception as error:
        words = "one of its texts is not UTF-8" if isinstance(error, UnicodeError) else error
        raise WorkFileError(
            f"This is no zip that was saved here, or a damaged one ({words or type(error).__name__}"
            f"). Choose a {SAVED}."
        ) from None
    if not files:
        raise WorkFileError(
            "The zip holds no answers: its entries must be named like 01_quadratic_toy/answer-1.py."
        )
    return files


def _texts(content: bytes) -> dict[str, str]:
    files: dict[str, str] = {}
    texts: dict[str, str] = {}  # the same without .py or .md, between which no notebook tells
    left = LARGEST
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for entry in archive.infolist():
            named = ENTRY.fullmatch(entry.orig_filename.replace("\\", "/"))
            if named is None:
                continue
            text = _bytes(archive, entry, left)
            left -= len(text)
            words = text.decode("utf-8-sig", "surrogatepass")
            if texts.setdefault(named[1], words) != words:
                raise WorkFileError(
                    f"The zip holds two different texts for {named[1]}: remove one of them."
                )
            files[f"{named[1]}.{named[2]}"] = words
    return files


def _bytes(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, left: int) -> bytes:
    """The content of one entry, of which never more than what is left is unpacked."""
    if entry.flag_bits & 0x1:
        raise WorkFileError("The zip has a password: pack the files again without one.")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise WorkFileError(
            "The zip is packed in an unusual way: unpack it and pack it again, with the usual "
            "method (deflate)."
        )
    with archive.open(entry) as file:
        content = file.read(left + 1)
        if len(content) > left:
            raise WorkFileError("The zip holds more than 10 MB of text: it is no saved work.")
        if file.read(1):  # reads to the end, where the checksum is compared
            raise WorkFileError("The zip is damaged: a text is longer than it says.")
    return content
