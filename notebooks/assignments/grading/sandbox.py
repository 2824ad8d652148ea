"""Closing a process off before it runs what a student wrote.

Four layers, each as far as the system has it:

| layer | what it does | where |
|---|---|---|
| limits | memory, processor time, files, processes | every POSIX system |
| namespaces | no network, no process in sight, one small disk | Linux, where users may |
| seccomp | no sockets, and nothing left in the system's memory | Linux on two architectures |
| another user | nothing that only the teacher's account may read | where the teacher is root |
| Landlock | only the files of Python, its packages and a scratch folder | Linux 5.13 and later |

`namespaces` makes the second, `enter` the others, all for good; then it *tries* to open what must
be closed: `NotClosed` if it can.
"""

import ctypes
import errno
import importlib.util
import os
import platform
import resource
import struct
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

NOBODY = 65534
DISK = 64 << 20  # bytes of the scratch folder, and of one file; chosen here
PROCESSES, OPEN_FILES = 64, 256  # chosen here; an honest answer needs one, and some ten


class NotClosed(RuntimeError):
    """This system has no way to keep an answer from files that it must not see."""


def enter(spec: dict[str, Any]) -> list[str]:
    """Close off this process; nothing opens it again.

    Args:
        spec: "scratch": the folder that stays writable; "open_to", "listed": see `open_to`;
            "closed": files and folders that must not be readable; "memory": bytes; "seconds": of
            processor time; "as_nobody": whether to become another user; "unprotected": go on where
            files cannot be closed.

    Returns:
        What is closed off: "user", "sockets", "files", "limits".

    Raises:
        NotClosed: a closed file can be read, and that is not allowed by "unprotected".
    """
    made = []
    if spec["as_nobody"]:
        _become_nobody()
        made.append("user")
    _drop_capabilities()
    if _no_sockets():
        made.append("sockets")
    if _landlock(spec["open_to"], spec["listed"], spec["scratch"]):
        made.append("files")
    _limit(spec["memory"], spec["seconds"])
    work = os.path.join(spec["scratch"], "work")  # an empty folder: settings lie above it
    os.makedirs(work, exist_ok=True)
    os.chdir(work)
    seen = [path for path in spec["closed"] if _readable(path)]
    if seen and not spec["unprotected"]:
        raise NotClosed(f"an answer could read {seen[0]}")
    return [*made, "limits"]


def _readable(path: str) -> bool:
    try:
        if os.path.isdir(path):
            os.listdir(path)
        else:
            with open(path, "rb") as file:
                file.read(1)
    except OSError:
        return False
    return True


# -- what may be read ------------------------------------------------------------------------------


def open_to(packages: Iterable[str], closed: Iterable[str]) -> dict[str, list[str]]:
    """What Python needs to read: itself, all that can be imported, and the system's libraries.

    Of a folder that holds something closed, its other parts; and if it belongs to a package, the
    names of all parts, because Python's import looks for them.

    Args:
        packages: names of packages that may lie outside the folders that Python searches.
        closed: what must not be read.

    Returns:
        "open_to": what may be read; "listed": folders of which names may be seen.
    """
    system = ["/usr", "/lib", "/lib64", "/bin", "/opt", "/System", "/Library"]
    files = [
        "/etc/ld.so.cache", "/etc/localtime", "/etc/timezone", "/etc/passwd", "/etc/group",
        "/etc/mime.types", "/etc/ssl/openssl.cnf", "/etc/alternatives", "/etc/fonts",
        "/etc/nsswitch.conf", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/self",
        "/proc/filesystems", "/sys/devices/system/cpu", "/sys/fs/cgroup", "/dev/urandom",
        "/dev/random", "/dev/zero",
    ]  # fmt: skip
    prefixes = {sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix}
    wanted = [*system, *files, *prefixes]
    places = [place for name in packages if (place := _place(name))]
    listed = list(places)
    for entry in sys.path:
        own = any(Path(entry).is_relative_to(prefix) for prefix in prefixes)
        own = own or os.path.basename(entry) in ("site-packages", "dist-packages")
        wanted += [entry] if own else _importable(entry)
        listed += [entry] if own else []
    shut = [os.path.realpath(path) for path in [*closed, *_compiled(closed)]]
    real = dict.fromkeys(os.path.realpath(p) for p in [*wanted, *places] if os.path.exists(p))
    seen: set[str] = set()
    parts = [part for path in real for part in _without(path, shut, seen)]
    return {"open_to": parts, "listed": [os.path.realpath(place) for place in listed]}


def _compiled(closed: Iterable[str]) -> list[str]:
    """The folders where Python keeps closed modules compiled, their constants included."""
    folders = {os.path.dirname(path) for path in closed if path.endswith(".py")}
    return [os.path.join(folder, "__pycache__") for folder in sorted(folders)]


def compiled_files(closed: Iterable[str]) -> list[str]:
    """What Python has kept of closed modules until now."""
    return [str(file) for folder in _compiled(closed) for file in Path(folder).glob("*.pyc")]


def _importable(folder: str) -> list[str]:
    """The packages and modules of a folder that is none of Python's own, such as a clone."""
    if not folder or not os.path.isdir(folder):
        return [folder] if os.path.isfile(folder) else []  # a zip
    return [
        entry.path
        for entry in os.scandir(folder)
        if entry.name.endswith((".py", ".so", ".dist-info", ".egg-info"))
        or os.path.isfile(os.path.join(entry.path, "__init__.py"))
    ]


def _place(package: str) -> str | None:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    return os.path.dirname(spec.origin) if spec.submodule_search_locations else spec.origin


def _without(path: str, shut: list[str], seen: set[str]) -> list[str]:
    """The path, or of a folder that holds something shut, its other parts.

    Links are followed first: `lib64` is often another name of the folder that holds it all.
    """
    path = os.path.realpath(path)
    if path in seen:
        return []
    seen.add(path)
    if any(path == one or path.startswith(one + os.sep) for one in shut):
        return []
    if not any(one.startswith(path.rstrip(os.sep) + os.sep) for one in shut):
        return [path]
    return [part for entry in os.scandir(path) for part in _without(entry.path, shut, seen)]


# -- limits ----------------------------------------------------------------------------------------


def _limit(memory: int, seconds: int) -> None:
    wanted = {
        "RLIMIT_DATA": memory,  # not RLIMIT_AS: torch reserves addresses that it never uses
        "RLIMIT_CPU": seconds,
        "RLIMIT_FSIZE": DISK,
        "RLIMIT_NPROC": PROCESSES,
        "RLIMIT_NOFILE": OPEN_FILES,
        "RLIMIT_CORE": 0,
    }
    for name, value in wanted.items():
        kind = getattr(resource, name, None)
        if kind is None:
            continue
        hard = resource.getrlimit(kind)[1]
        limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(kind, (limit, limit))
        except (OSError, ValueError):  # macOS has some of them in name only
            pass


# -- Linux -----------------------------------------------------------------------------------------

_NEWNS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET = (
    0x00020000, 0x08000000, 0x10000000, 0x20000000, 0x40000000,
)  # fmt: skip
_NOSUID_NODEV, _PRIVATE = 2 | 4, 0x4000 | (1 << 18)
_MOUNT_SETATTR, _RECURSIVE = 442, 0x8000
_NO_NEW_PRIVS, _CAPBSET_DROP, _PDEATHSIG, _CHILD_SUBREAPER = 38, 24, 1, 36


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def namespaces(scratch: str, as_nobody: bool) -> list[str]:
    """Leave the network and the sight of other processes, and get a disk of one's own.

    The calling process stays outside the last of them: only what it forks next is inside.
    """
    if not sys.platform.startswith("linux"):
        return []
    Path("/proc/self/oom_score_adj").write_text("1000")  # where memory runs out, the first to go
    libc, user, group = _libc(), os.getuid(), os.getgid()
    kinds = _NEWNS | _NEWIPC | _NEWPID | _NEWNET
    if user == 0:
        if libc.unshare(ctypes.c_int(kinds)) != 0:
            return []
    elif libc.unshare(ctypes.c_int(_NEWUSER | kinds)) == 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    else:
        return []
    libc.mount(None, b"/", None, ctypes.c_ulong(_PRIVATE), None)
    # Landlock lets an owner change rights and times of what it cannot open; this does not.
    read_only = ctypes.create_string_buffer(struct.pack("=QQQQ", 1, 0, 0, 0))
    libc.syscall(
        _MOUNT_SETATTR, -100, b"/", ctypes.c_uint(_RECURSIVE), read_only, ctypes.c_size_t(32)
    )
    owner, owners = (NOBODY, NOBODY) if as_nobody else (user, group)
    options = f"size={DISK},mode=700,uid={owner},gid={owners}"
    for place in (scratch, "/run"):  # /run: doors to other programs, such as a container's
        libc.mount(
            b"tmpfs", os.fsencode(os.path.realpath(place)), b"tmpfs",
            ctypes.c_ulong(_NOSUID_NODEV), options.encode(),
        )  # fmt: skip
    return ["network", "processes"]


def _become_nobody() -> None:
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def _drop_capabilities() -> None:
    if not sys.platform.startswith("linux"):
        return
    libc = _libc()
    libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    for capability in range(64):
        libc.prctl(_CAPBSET_DROP, capability, 0, 0, 0)
    header = ctypes.create_string_buffer(
        struct.pack("=Ii", 0x20080522, 0)
    )  # version 3, this process
    libc.capset(header, ctypes.create_string_buffer(bytes(24)))


_SECCOMP, _FILTER, _REFUSE, _PASS = 22, 2, 0x00050000 | errno.EACCES, 0x7FFF0000
# The architecture, and its numbers of: socket; shmget, semget, msgget, mq_open, add_key,
# request_key, keyctl, which leave words in the system's memory for the next submission to read.
_CALLS = {
    "x86_64": (0xC000003E, (41, 29, 64, 68, 240, 248, 249, 250)),
    "aarch64": (0xC00000B7, (198, 194, 190, 186, 180, 217, 218, 219)),
}
_IO_URING_SETUP, _OTHER_ABI = 425, 0x40000000


def _no_sockets() -> bool:
    """Refuse to make sockets, also those that other calls or other numbers of it would make."""
    architecture, calls = _CALLS.get(platform.machine(), (0, ()))
    if not architecture or not sys.platform.startswith("linux"):
        return False
    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06
    calls = (*calls, _IO_URING_SETUP)
    steps = [
        (load, 0, 0, 4),  # the architecture of the call
        (equal, 0, len(calls) + 3, architecture),
        (load, 0, 0, 0),  # its number
        (at_least, len(calls) + 1, 0, _OTHER_ABI),
        *((equal, len(calls) - at, 0, call) for at, call in enumerate(calls)),
        (give, 0, 0, _PASS),
        (give, 0, 0, _REFUSE),
    ]
    program = b"".join(struct.pack("=HBBI", *step) for step in steps)
    held = ctypes.create_string_buffer(program)
    whole = struct.pack("@HP", len(program) // 8, ctypes.addressof(held))
    return _libc().prctl(_SECCOMP, _FILTER, ctypes.create_string_buffer(whole), 0, 0) == 0


def die_with_parent() -> None:
    """Have the system end this process when the one that made it ends."""
    if sys.platform.startswith("linux"):
        _libc().prctl(_PDEATHSIG, 9, 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of processes whose own ends, so that they can be found and ended."""
    if sys.platform.startswith("linux"):
        _libc().prctl(_CHILD_SUBREAPER, 1, 0, 0, 0)


_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446  # the same numbers on every architecture
_READ, _LIST = 1 | 4 | 8, 8  # execute, read a file, read a folder; the last alone
_OF_A_FILE = 1 | 2 | 4 | 1 << 14 | 1 << 15  # execute, write, read, truncate, control a device


def landlock_version() -> int:
    """Of the kernel's Landlock; 0 where there is none."""
    if not sys.platform.startswith("linux"):
        return 0
    return max(_libc().syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1)), 0)


def _landlock(readable: Iterable[str], listed: Iterable[str], scratch: str) -> bool:
    """Close every file but these, for this process and all that it starts."""
    version, libc = landlock_version(), _libc()
    if not version:
        return False
    all_rights = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)) - 1
    network = 3 if version >= 4 else 0  # bind and connect
    scopes = 3 if version >= 6 else 0  # sockets without a file, and signals
    attributes = struct.pack("=QQQ", all_rights, network, scopes)
    attributes = attributes[: 24 if version >= 6 else 16 if version >= 4 else 8]
    rules = libc.syscall(
        _CREATE, ctypes.create_string_buffer(attributes), ctypes.c_size_t(len(attributes)),
        ctypes.c_uint32(0),
    )  # fmt: skip
    if rules < 0:
        return False
    for path in readable:
        _allow(rules, path, _READ)
    for path in listed:
        _allow(rules, path, _LIST)
    _allow(rules, scratch, all_rights)
    _allow(rules, "/dev/null", _READ | 2 | (all_rights & 1 << 14))
    closed = libc.syscall(_RESTRICT, ctypes.c_int(rules), ctypes.c_uint32(0)) == 0
    os.close(rules)
    return closed


def _allow(rules: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EACCES, errno.ENOTDIR):
            return
        raise
    if not os.path.isdir(path):
        rights &= _OF_A_FILE
    rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, place))
    _libc().syscall(_ADD_RULE, ctypes.c_int(rules), ctypes.c_int(1), rule, ctypes.c_uint32(0))
    os.close(place)
