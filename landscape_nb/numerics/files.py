"""Files written whole: whoever opens one finds all of the old or all of the new, never a half.

What grows line by line, as a sweep's file does, is appended to and not written by this.
"""

import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path


def replace_files(contents: Mapping[Path, bytes]) -> None:
    """Write files, each replaced in one step, and none before all that is new is on the disk.

    The new contents are first written to drafts beside the files, `.NAME.PROCESS-RANDOM.draft`, so
    that two processes never share one. Drafts are removed whatever goes wrong; only a process that
    is killed leaves one behind, and its files as they were.

    Args:
        contents: file -> its new content. An existing file keeps its mode; behind a symbolic link
            the file it points to is replaced, not the link. A hard link to it keeps the old one.

    Raises:
        FileNotFoundError: no such folder.
        OSError: something cannot be written: a read-only file, a folder, a device, a full disk. No
            file has been replaced, unless the system refuses between two replacements.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name) / "a.txt"
    >>> replace_files({path: b"new"})
    >>> path.read_bytes(), [file.name for file in path.parent.iterdir()]
    (b'new', ['a.txt'])
    """
    targets = {Path(os.path.realpath(path)): content for path, content in contents.items()}
    modes = {target: _mode(target) for target in targets}
    drafts: dict[Path, Path] = {}
    try:
        for target, content in targets.items():
            # a name may have 255 bytes in all; 50 characters are at most 200 of them
            unique = f".{target.name[:50]}.{os.getpid()}-{secrets.token_hex(4)}.draft"
            drafts[target] = target.with_name(unique)
            with drafts[target].open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())  # the name must never point at what is not on the disk yet
            if (mode := modes[target]) is not None:
                drafts[target].chmod(mode)
        for target, draft in drafts.items():
            os.replace(draft, target)
    finally:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)


def _mode(target: Path) -> int | None:
    """The mode that the new file must have, None for a new one; refuses what can't be replaced."""
    if not target.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {str(target.parent)!r} for {target.name}.")
    if not target.exists():
        return None
    if not target.is_file():
        raise OSError(f"{str(target)!r} is not a file that can be replaced; give another name.")
    target.open("r+b").close()  # a read-only file is refused here, as writing into it would be
    return stat.S_IMODE(target.stat().st_mode)
