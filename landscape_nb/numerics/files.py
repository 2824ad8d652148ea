"""Files written whole: whoever opens one finds all of the old or all of the new, never a half.

What grows line by line, as a sweep's file does, is appended to and not written by this.
"""

import os
import secrets
import signal
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path


def replace_files(
    contents: Mapping[Path, bytes], *, refuse: Callable[[Path], object] | None = None
) -> None:
    """Write files, each replaced in one step, and none before all that is new is on the disk.

    The new contents are first written to drafts beside the files, `.NAME.PROCESS-RANDOM.draft`, so
    that two processes never share one. Drafts are removed whatever goes wrong; only a process that
    is killed leaves one behind, and its files as they were. Ctrl-C waits for the replacements,
    which take no time, and is then obeyed. Names and contents outlast a loss of power where the
    file system lets them.

    Args:
        contents: file -> its new content. An existing file keeps its mode, and its owner and group
            where the system allows that; behind a symbolic link the file it points to is replaced,
            not the link. A hard link to it keeps the old one.
        refuse: asked of each file that exists, when all drafts are written and right before the
            first replacement; it raises an error if that file must stay.

    Raises:
        FileNotFoundError: no such folder.
        OSError: something cannot be written: a read-only file, a folder, a device, a full disk. No
            file has been replaced, unless the system refuses between two replacements.
        ValueError: no name that a file can have, or two names of one file.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name) / "a.txt"
    >>> replace_files({path: b"new"})
    >>> path.read_bytes(), [file.name for file in path.parent.iterdir()]
    (b'new', ['a.txt'])
    """
    targets = {resolved(path): content for path, content in contents.items()}
    if len(targets) < len(contents):
        raise ValueError("Two of the names are of the same file; it can have one content only.")
    drafts: dict[Path, Path] = {}
    try:
        for target, content in targets.items():
            # a name may have 255 bytes in all; 50 characters are at most 200 of them
            unique = f".{target.name[:50]}.{os.getpid()}-{secrets.token_hex(4)}.draft"
            drafts[target] = target.with_name(unique)
            _write(drafts[target], content, target)
        for target in targets:
            if refuse is not None and os.path.lexists(target):
                refuse(target)
        with _interrupts_wait():
            for target, draft in drafts.items():
                os.replace(draft, target)
        for folder in {target.parent for target in targets}:
            _keep_names(folder)
    finally:
        with _interrupts_wait():
            for draft in drafts.values():
                with suppress(OSError):  # what went wrong before is what the caller must hear
                    draft.unlink(missing_ok=True)


def resolved(path: str | Path) -> Path:
    """The file that `replace_files` would replace or make, behind any links.

    Raises:
        FileNotFoundError: no such folder.
        OSError: it exists and is no file that can be written over.
        ValueError: no name that a file can have.
    """
    try:
        os.fsencode(path)
        target = Path(os.path.realpath(path))
        exists = os.path.exists(path)
        if not exists and not target.parent.is_dir():
            raise FileNotFoundError(f"There is no folder {str(target.parent)!r} for {target.name}.")
        with suppress(FileNotFoundError):
            os.lstat(target)  # a name too long is refused here
    except ValueError:  # a zero in it, or half of a character that UTF-8 does not know
        raise ValueError(f"{str(path)!r} is no name that a file can have here.") from None
    # /dev/stdout, for one, leads to what has no name; a link that leads to itself stays a link
    if target.is_symlink() or (exists and not (os.path.isfile(path) and target.is_file())):
        raise OSError(f"{str(path)!r} is not a file that can be replaced; give another name.")
    if exists:
        target.open("r+b").close()  # a read-only file is refused here, as writing into it would be
    return target


def _write(draft: Path, content: bytes, target: Path) -> None:
    """All of a draft on the disk, with the mode and owner of the file that it will replace."""
    old = target.stat() if target.exists() else None
    # never readable by more people than the file that it replaces
    mode = 0o666 if old is None else stat.S_IMODE(old.st_mode) & 0o600
    try:
        with open(draft, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # the name must never point at what is not on the disk yet
        if old is not None:
            _give(draft, old)
            draft.chmod(stat.S_IMODE(old.st_mode))
    except OSError as error:
        if error.errno is None:
            raise
        # nobody knows the draft; "File exists" would be news about it too
        raise OSError(error.errno, error.strerror, str(target)) from error


def _give(draft: Path, old: os.stat_result) -> None:
    """The owner and group of the old file, as far as the system lets this user give them."""
    if hasattr(os, "chown"):
        with suppress(OSError):
            os.chown(draft, -1, old.st_gid)
        with suppress(OSError):
            os.chown(draft, old.st_uid, -1)


def _keep_names(folder: Path) -> None:
    """Let a folder's new names outlast a loss of power; some file systems know no such thing."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Ctrl-C waits for the end of the block. Threads but the main one are never interrupted."""
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    came: list[tuple] = []
    signal.signal(signal.SIGINT, lambda *call: came.append(call))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if came:
            handler(*came[0])
