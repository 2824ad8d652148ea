"""The file of a report: what its page is framed with, and which files it may be written over.

Light to import, so that a command refuses a wrong name before anything is worked on.
"""

import os
import re
from contextlib import suppress
from pathlib import Path

from landscape_nb.numerics.files import resolved

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #111; max-width: 46rem; margin: 2rem auto;
  padding: 0 1rem; background: #fff; }
p, li { overflow-wrap: anywhere; }
table { border-collapse: collapse; margin: 0.5rem 0; display: block; max-width: 100%;
  overflow-x: auto; }
th, td { padding: 0.15rem 0.6rem 0.15rem 0; text-align: right; border-bottom: 1px solid #ddd;
  font-size: 0.9rem; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
img { max-width: 100%; }
.doubts { border-left: 4px solid #d55e00; padding-left: 2rem; }
"""
TITLE = "Stabilization report"
# How the page of every version so far begins: what a browser or an editor saved begins otherwise.
_OURS = re.compile(
    r'<!DOCTYPE html>\s*<html lang="en">\s*<head>\s*'
    rf"(<meta [^>]*>\s*)*<title>{TITLE}</title>\s*<style>\s*body \{{".encode()
)


def whole_page(body: str) -> str:
    """A page that needs nothing else."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{TITLE}</title>\n"
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{TITLE}</h1>\n{body}\n</main>\n</body>\n</html>\n"
    )


def refuse_foreign(path: str | Path) -> None:
    """Refuse to write a report over a file that is neither one nor empty.

    Raises:
        ValueError: the file is somebody else's.
    """
    with open(path, "rb") as file:
        begins = file.read(2000)
    if begins and not _OURS.match(begins):
        raise ValueError(
            f"{str(path)!r} is not a report that this package wrote, so it is left as it is. Give "
            "another name, or move that file away first."
        )


def refuse_unwritable(path: str | Path) -> None:
    """Refuse, before the work, a file that a report could not be written to after it.

    Raises:
        ValueError: no such folder, one that is not to be written to, or somebody else's file.
        OSError: the system refuses.
    """
    name = os.fspath(path)
    folder, file = os.path.split(name)
    if not os.path.isdir(folder or "."):
        raise ValueError(f"There is no folder {folder!r} for {file}.")
    if not file or os.path.isdir(name):
        raise ValueError(f"{name!r} is a folder, so it can't be written; name a file in it.")
    target = resolved(name)
    if not os.access(target.parent, os.W_OK):
        raise ValueError(f"{name!r} can't be written; name a file in a folder of yours.")
    if target.exists():
        if _is_printed_to(target):
            raise ValueError(
                f"{name!r} is where this command's own words go; give the report another name."
            )
        refuse_foreign(target)


def _is_printed_to(target: Path) -> bool:
    """Whether stdout or stderr were sent to this file, which a report would replace."""
    for stream in (1, 2):
        with suppress(OSError):  # a stream that was closed
            if os.path.samestat(os.fstat(stream), target.stat()):
                return True
    return False
