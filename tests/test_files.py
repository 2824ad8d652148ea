"""Files replaced in one step: kills, full disks, links, modes, and two files of which one fails.

What stands in a folder is read by itself, name by name and byte by byte, after each of them.
"""

import errno
import itertools
import multiprocessing
import os
import signal
import stat
import threading
import time
from pathlib import Path

import pytest

from landscape_nb.numerics import files
from landscape_nb.numerics.files import replace_files

LONG = 100_000


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def old(tmp_path):
    """Two files, and what the folder holds."""
    for name in "ab":
        (tmp_path / name).write_bytes(b"old " + name.encode())
    return tmp_path / "a", tmp_path / "b"


BEFORE = {"a": b"old a", "b": b"old b"}


def test_files_are_replaced_and_new_ones_made(old, tmp_path):
    a, c = old[0], tmp_path / "c"
    replace_files({a: b"", c: bytes(range(256)) * 999})
    assert content(tmp_path) == {"a": b"", "b": b"old b", "c": bytes(range(256)) * 999}
    replace_files({})
    assert sorted(content(tmp_path)) == ["a", "b", "c"]


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "a b"], ids=["long", "wide", "space"])
def test_a_name_that_the_system_takes_is_taken_without_a_folder_too(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    replace_files({Path(name): b"1"})
    assert content(tmp_path) == {name: b"1"}


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def in_process(target, *arguments):
    process = multiprocessing.get_context("fork").Process(target=target, args=arguments)
    process.start()
    return process


def killed_at(step, files):
    setattr(Path if step == "chmod" else os, step, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    replace_files({path: b"new" for path in files})


@needs_fork
@pytest.mark.parametrize("step", ["fsync", "chmod", "replace"])
def test_a_kill_before_the_replacement_leaves_the_old_files(old, tmp_path, step):
    run = in_process(killed_at, step, old)
    run.join()
    assert run.exitcode == -signal.SIGKILL
    found = content(tmp_path)
    assert {name: found.pop(name) for name in BEFORE} == BEFORE
    assert found and all(name.startswith(".") and name.endswith(".draft") for name in found)
    replace_files({old[0]: b"later"})  # what the killed one left is in nobody's way
    assert content(tmp_path) == {**BEFORE, **found, "a": b"later"}


@needs_fork
def test_killed_at_any_time_a_file_is_whole(old, tmp_path):
    wholes = [b"old a", bytes(LONG), b"\xff" * LONG]

    def keep_replacing():
        for whole in itertools.cycle(wholes[1:]):
            replace_files({old[0]: whole})

    for round in range(10):
        run = in_process(keep_replacing)
        time.sleep(0.005 + 0.004 * round)
        run.kill()
        run.join()
        assert old[0].read_bytes() in wholes
    assert old[0].read_bytes() in wholes[1:]


def refuse(error):
    def call(*arguments):
        raise error

    return call


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()], ids=["full", "stopped"]
)
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_what_goes_wrong_leaves_the_folder_as_it_was(old, tmp_path, monkeypatch, step, error):
    with monkeypatch.context() as patch:
        patch.setattr(os, step, refuse(error))
        with pytest.raises(type(error)):
            replace_files({old[0]: b"new", tmp_path / "c": b"new"})
    assert content(tmp_path) == BEFORE


def limited(files):
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LONG // 2, LONG // 2))
    try:
        replace_files({files[0]: b"new", files[1]: bytes(LONG)})
    except OSError as error:
        os._exit(error.errno)


@needs_fork
def test_a_disk_that_is_full_half_way_leaves_the_folder_as_it_was(old, tmp_path):
    """A limit on the size of files, as the system itself sets it."""
    run = in_process(limited, old)
    run.join()
    assert run.exitcode == errno.EFBIG
    assert content(tmp_path) == BEFORE


def read_only(kept, allowed):
    def call(path, mode):
        if path == kept and mode != "rb":
            raise PermissionError(errno.EACCES, "Permission denied")
        return allowed(path, mode)

    return call


@pytest.mark.parametrize("second", ["a folder", "in no folder", "below a file", "read-only"])
def test_nothing_is_replaced_if_the_second_can_not_be(old, tmp_path, monkeypatch, second):
    a, b = old
    if second == "a folder":
        b = tmp_path / "c"
        b.mkdir()
    elif second == "in no folder":
        b = tmp_path / "none" / "b"
    elif second == "below a file":
        b = b / "c"
    else:
        b.chmod(0o444)
        if os.access(b, os.W_OK):  # whoever may write everything is refused here
            monkeypatch.setattr(Path, "open", read_only(b, Path.open))
    with pytest.raises(OSError) as refusal:
        replace_files({a: b"new", b: b"new"})
    monkeypatch.undo()
    if second in ("in no folder", "below a file"):
        assert isinstance(refusal.value, FileNotFoundError)
        assert f"no folder {str(b.parent)!r} for {b.name}" in str(refusal.value)
    assert content(tmp_path) == BEFORE


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_device_is_not_replaced_by_a_file(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="pipe' is not a file that can be replaced"):
        replace_files({pipe: b"new"})
    assert stat.S_ISFIFO(pipe.stat().st_mode) and os.listdir(tmp_path) == ["pipe"]


@pytest.mark.skipif(os.name == "nt", reason="modes of POSIX")
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o755, 0o660], ids=oct)
def test_an_existing_file_keeps_its_mode_and_a_new_one_has_the_usual(old, tmp_path, mode):
    old[0].chmod(mode)
    plain = tmp_path / "plain"
    plain.touch()
    replace_files({old[0]: b"new", tmp_path / "c": b"new"})
    assert stat.S_IMODE(old[0].stat().st_mode) == mode
    assert (tmp_path / "c").stat().st_mode == plain.stat().st_mode


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_behind_a_link_the_file_is_replaced(old, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "far").write_bytes(b"old")
    links = [tmp_path / name for name in ("one", "two", "dangling")]
    links[0].symlink_to("elsewhere/far")
    links[1].symlink_to(links[0])
    links[2].symlink_to(elsewhere / "new")
    replace_files({links[1]: b"1", links[2]: b"2"})
    assert all(link.is_symlink() for link in links)
    assert content(elsewhere) == {"far": b"1", "new": b"2"}


def test_writers_at_the_same_time_do_not_disturb_each_other(old, tmp_path):
    wholes, failures = [bytes([n]) * LONG for n in range(4)], []

    def write(whole):
        try:
            for _ in range(10):
                replace_files({old[0]: whole})
        except OSError as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(whole,)) for whole in wholes]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert old[0].read_bytes() in [b"old a", *wholes]
    assert failures == [] and sorted(content(tmp_path)) == ["a", "b"]


def test_drafts_of_two_processes_have_different_names(old, monkeypatch):
    names = []
    monkeypatch.setattr(files.os, "replace", lambda draft, _: names.append(draft.name))
    for process in (7, 8):
        monkeypatch.setattr(files.os, "getpid", lambda process=process: process)
        monkeypatch.setattr(files.secrets, "token_hex", lambda _: "same")
        replace_files({old[0]: b""})
    assert names == [".a.7-same.draft", ".a.8-same.draft"]
