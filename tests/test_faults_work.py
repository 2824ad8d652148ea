"""What happens to a learner's work when something is wrong: nothing lost, nothing wrong.

A table of faults in three parts: what may lie in the folder of notebooks, what may come back as a
zip, and what may go on between running, saving and restoring.
"""

import contextlib
import io
import itertools
import json
import multiprocessing
import os
import stat
import sys
import threading
import tracemalloc
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("fcntl", reason="links, modes, pipes and forks as POSIX has them")

from landscape_nb.course import cells_run, work_files, work_zip
from landscape_nb.course import saved_work as work
from landscape_nb.course.saved_work import WorkFileError

STUB = "raise NotImplementedError()"
MINE = "def double(x):\n    return 2 * x"
LATER = "def double(x):\n    return x + x"


def cell(tag="answer-1", source=MINE, id="a", **other):
    given = work.digest(STUB)
    return {
        "cell_type": "code", "id": id, "execution_count": None, "outputs": [], "source": source,
        "metadata": {"tags": [tag], "given": given}, **other,
    }  # fmt: skip


def tagged(tags):
    return cell(metadata={"tags": tags, "given": work.digest(STUB)})


def notebook(*cells):
    return {"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def put(folder, name, *cells):
    path = folder / f"{name}.ipynb"
    path.write_text(json.dumps(notebook(*cells), indent=1, sort_keys=True) + "\n")
    return path


def sparse(path, size=10**10):
    """A file that calls itself so large and takes no room."""
    with path.open("wb") as file:
        file.truncate(size)


def as_text(thing):
    return json.dumps(thing, sort_keys=True)


def untouched(path):
    """What of a file's state shows that nobody has written or replaced it."""
    status = os.lstat(path)
    return status.st_mode, status.st_ino, status.st_size, status.st_mtime_ns


def text(path, number=0):
    return "".join(json.loads(path.read_bytes())["cells"][number]["source"])


@pytest.fixture(autouse=True)
def forgetful(monkeypatch):
    """Each test is a kernel of its own."""
    monkeypatch.setattr(cells_run, "_executed", {})
    monkeypatch.setattr(work, "_written", {})
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    put(tmp_path, "01_toy", cell())
    put(tmp_path, "02_next", cell(source="mine as well", id="b"))
    monkeypatch.setattr(cells_run, "_folder", [tmp_path])
    return tmp_path


OTHERS = {"01_toy/answer-1.py": MINE, "02_next/answer-1.py": "mine as well"}

# What lies there as 03_odd.ipynb -> (how it comes there, words about it, what is saved of it).
ODD = {
    "a dangling link": (lambda p: p.symlink_to("nowhere"), "a link to nothing", {}),
    "a link to itself": (lambda p: p.symlink_to(p.name), "link", {}),
    "a link to another": (lambda p: p.symlink_to("01_toy.ipynb"), "a link to 01_toy.ipynb", {}),
    "a folder": (lambda p: p.mkdir(), "a folder", {}),
    "a pipe": (lambda p: os.mkfifo(p), "not an ordinary file", {}),
    "a giant": (lambda p: sparse(p), "larger than 100 MB", {}),
    "empty": (lambda p: p.touch(), "empty", {}),
    "cut off": (lambda p: p.write_text('{"cells": [\n'), "no JSON from line 2", {}),
    "deep": (lambda p: p.write_text("[" * 200_000), "nested too deeply", {}),
    "UTF-16": (lambda p: p.write_text("{}", encoding="utf-16"), "not UTF-8", {}),
    "a list": (lambda p: p.write_text("[]"), "no list of cells", {}),
    "no cells": (lambda p: p.write_text("{}"), "no list of cells", {}),
    "cells null": (lambda p: p.write_text('{"cells": null}'), "no list of cells", {}),
    "worksheets": (lambda p: p.write_text('{"worksheets": [{"cells": []}]}'), "no list of", {}),
}  # fmt: skip
# One cell beside a good one -> (the cell, words about it, what of it is saved).
ODD_CELLS = {
    "a number": (5, "cell 1 (not a cell but 5)", None),
    "null": (None, "cell 1 (not a cell but null)", None),
    "empty": ({}, "cell 1 (its metadata are null", None),
    "metadata null": (cell(metadata=None), "cell 1 (its metadata are null", None),
    "metadata a list": (cell(metadata=[1]), "cell 1 (its metadata are a list", None),
    "tags null": (tagged(None), "cell 1 (its tags are null", None),
    "tags a number": (tagged(3), "cell 1 (its tags are 3", None),
    "tags an object": (tagged({"answer-1": 1}), "cell 1 (its tags are an object", None),
    "tags a word": (tagged("answer-1"), None, MINE),
    "tags with others": (tagged([1, None, ["answer-2"], "answer-1"]), None, MINE),
    "tag twice": (tagged(["answer-1", "answer-1"]), None, MINE),
    "source null": (cell(source=None), "cell 1 (its text is null", None),
    "source of numbers": (cell(source=[1, 2]), "cell 1 (its text is a list", None),
    "source an object": (cell(source={}), "cell 1 (its text is an object", None),
    "id a list": (cell(id=[1]), None, MINE),
    "half a character": (cell(source="x = '\ud800'"), None, "x = '\ud800'"),
    "a number that is none": (cell(extra=float("nan")), None, MINE),
    "too large": (cell(source="#" * 11_000_000), "too large for the zip", None),
    "locked": (cell(metadata={"tags": ["answer-1"], "nbgrader": {"locked": True}}), None, None),
    "marked": (cell(metadata={"tags": ["answer-1"], "nbgrader": {"grade": True}}), None, None),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_an_odd_file_is_named_and_the_others_are_saved_and_restored(folder, name):
    make, words, of_it = ODD[name]
    make(folder / "03_odd.ipynb")
    state = untouched(folder / "03_odd.ipynb")
    content, found = work.save(folder)
    assert found.files == {**OTHERS, **of_it}
    assert len(found.unreadable) == 1
    assert found.unreadable[0].startswith("03_odd.ipynb (") and words in found.unreadable[0]
    put(folder, "02_next", cell(source=STUB, id="b"))
    done = work.restore(content, folder)
    assert done.unreadable == found.unreadable and text(folder / "02_next.ipynb") == "mine as well"
    assert untouched(folder / "03_odd.ipynb") == state


@pytest.mark.parametrize("name", ODD_CELLS)
def test_an_odd_cell_is_named_and_its_neighbours_are_saved_and_restored(folder, name):
    odd, words, of_it = ODD_CELLS[name]
    path = put(folder, "03_odd", odd, cell("answer-5", "neighbour", "n"))
    found = work.save(folder)[1]
    saved = {"03_odd/answer-5.py": "neighbour"}
    saved |= {} if of_it is None else {"03_odd/answer-1.py": of_it}
    assert found.files == OTHERS | saved
    assert all(words and words in said for said in found.unreadable)
    assert len(found.unreadable) == (words is not None)
    assert work.unpack(work.pack(found.files)) == found.files
    if name == "too large":
        return  # what cannot be kept is not replaced either; see below
    done = work.restore(work.pack({"03_odd/answer-5.py": "restored"}), folder)
    assert done.tags == {"03_odd": ["answer-5"]} and text(path, 1) == "restored"
    # equal as JSON text, where a number that is none equals itself
    assert as_text(json.loads(path.read_bytes())["cells"][0]) == as_text(odd)


def test_a_name_that_no_zip_can_hold_is_named(folder):
    for name in (b"03_\xff.ipynb", b"03_a\\b.ipynb", b"03_a\nb.ipynb"):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_text(json.dumps(notebook()))
    found = work.save(folder)[1]
    assert found.files == OTHERS and len(found.unreadable) == 3
    assert all("rename" in said and said.encode() for said in found.unreadable)


@pytest.mark.parametrize("name", ["01_toy (1)", "01_TOY", "01_toy-Copy1", "01_ü.v2"])
def test_a_notebook_under_another_name_comes_back_too(folder, name):
    path = put(folder, name, cell(source=LATER, id="c"))
    content, found = work.save(folder)
    assert found.files == {**OTHERS, f"{name}/answer-1.py": LATER}
    put(folder, name, cell(source=STUB))
    assert name in work.restore(content, folder).tags and text(path) == LATER


def test_copies_of_a_cell_never_take_the_name_of_another(folder):
    put(folder, "03_x", *[cell(tag, tag + str(i)) for i, tag in enumerate(
        ["answer-1", "answer-1", "answer-1-2", "answer-1"])])  # fmt: skip
    files = work.collect(folder).files
    assert {name: files[name] for name in files if "03_x" in name} == {
        "03_x/answer-1.py": "answer-10", "03_x/answer-1-3.py": "answer-11",
        "03_x/answer-1-2.py": "answer-1-22", "03_x/answer-1-4.py": "answer-13",
    }  # fmt: skip


def test_what_may_not_be_read_or_written_keeps_nobody_back(folder, monkeypatch):
    """A file's mode does not stop everybody, so that it is the system that refuses here."""
    opened = Path.open

    def refuse(path, mode="r", *arguments):
        if path.name == "03_odd.ipynb" and mode in refused:
            raise PermissionError(13, "Permission denied")
        return opened(path, mode, *arguments)

    path = put(folder, "03_odd", cell(source="old"))
    monkeypatch.setattr(Path, "open", refuse)
    refused = ["rb"]
    assert work.save(folder)[1] == (OTHERS, ["03_odd.ipynb (Permission denied)"])
    refused = ["r+b"]
    files = {"03_odd/answer-1.py": "new", "01_toy/answer-1.py": LATER}
    done = work.restore(work.pack(files), folder)
    assert done.unreadable == ["03_odd.ipynb (cannot be written: Permission denied)"]
    assert (done.tags, done.unknown) == ({"01_toy": ["answer-1"]}, ["03_odd/answer-1"])
    assert text(path) == "old" and text(folder / "01_toy.ipynb") == LATER


def test_a_notebook_too_deep_to_be_written_keeps_nobody_back(folder):
    deep = json.loads("[" * 600 + "]" * 600)
    path = put(folder, "03_deep", cell(source="old"))
    before = json.dumps(notebook(cell(source="old", deep=deep)))
    path.write_text(before)
    files = {"03_deep/answer-1.py": "new", "01_toy/answer-1.py": LATER}
    done = work.restore(work.pack(files), folder)
    assert text(folder / "01_toy.ipynb") == LATER
    assert ("03_deep" in done.tags) == (path.read_text() != before)
    assert ("03_deep" in done.tags) != any("nested too deeply" in w for w in done.unreadable)


# ---------------------------------------------------------------- zips


def zipped(*entries, method=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in entries:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return buffer.getvalue()


NAME = "01_toy/answer-1.py"
GOOD = zipped((NAME, LATER * 50), ("02_next/answer-1.py", "x"))
CENTRAL = GOOD.index(b"PK\x01\x02")


def patched(content, at, new):
    return content[:at] + new + content[at + len(new) :]


def number(value, size=4):
    return value.to_bytes(size, "little")


def lying(size):
    """A bomb of 100 MB whose headers, both of them, say another size."""
    bomb = zipped((NAME, b"0" * 100_000_000))
    return patched(patched(bomb, 22, number(size)), bomb.index(b"PK\x01\x02") + 24, number(size))


def overlapping():
    """Many entries that share one stretch of bytes."""
    bomb = zipped((NAME, b"0" * 1_000_000))
    at = bomb.index(b"PK\x01\x02")
    end = bomb.index(b"PK\x05\x06")
    many, record = 2000, bomb[at:end]
    tail = bomb[end : end + 8] + number(many, 2) * 2 + number(len(record) * many) + number(at)
    return bomb[:at] + record * many + tail + b"\0\0"


NUL = zipped((NAME + "!evil", "x")).replace(b"!", b"\0")
BAD_ZIPS = {
    "empty": b"", "text": b"my answers", "only the mark of a zip": b"PK\x03\x04" * 50,
    "only an end": b"PK\x05\x06" + bytes(18), "an end that lies": b"PK\x05\x06" + b"\xff" * 18,
    "half": GOOD[: len(GOOD) // 2], "without its end": GOOD[:-22], "end cut off": GOOD[:-1],
    "without its start": GOOD[40:],
    "bad checksum": patched(GOOD, CENTRAL + 16, b"\1\2\3\4"),
    "bad stream": patched(GOOD, 30 + len(NAME), b"\xff" * 8),
    "stream cut short": patched(GOOD, CENTRAL + 20, number(3)),
    "longer than it says": patched(GOOD, CENTRAL + 24, number(7)),
    "with a password": patched(GOOD, CENTRAL + 8, b"\1\0"),
    "patch data": patched(GOOD, CENTRAL + 8, b"\x20\0"),
    "of the future": patched(GOOD, CENTRAL + 6, b"\xff\0"),
    "unknown method": patched(GOOD, CENTRAL + 10, number(99, 2)),
    "bzip2": zipped((NAME, "x"), method=zipfile.ZIP_BZIP2),
    "lzma": zipped((NAME, "x"), method=zipfile.ZIP_LZMA),
    "bzip2 bomb": zipped((NAME, b"0" * 50_000_000), method=zipfile.ZIP_BZIP2),
    "called lzma": patched(GOOD, CENTRAL + 10, number(14, 2)),
    "called stored": patched(GOOD, CENTRAL + 10, number(0, 2)),
    "starts elsewhere": patched(GOOD, CENTRAL + 42, number(2**31 - 1)),
    "starts in another": patched(GOOD, CENTRAL + 42, number(11)),
    "bad extra field": patched(GOOD, CENTRAL + 30, number(9, 2)),
    "another name inside": patched(GOOD, 30, b"99"),
    "bomb": zipped((NAME, b"0" * 100_000_000)), "bomb that calls itself small": lying(10),
    "bomb that calls itself large": lying(2**32 - 2),
    "many small bombs": zipped(*[(f"01_toy/answer-{i}.py", b"0" * 3_000_000) for i in range(9)]),
    "overlapping": overlapping(),
    "too many entries": zipped(*[(f"{i}", "") for i in range(10_001)]),
    "11 MB of noise": os.urandom(11_000_000),
    "a name with NUL": NUL, "no answers": zipped(("notes.txt", "x")),
    "not UTF-8": zipped((NAME, b"\xff\xfe")),
    "two texts for one": zipped(("a/" + NAME, "x"), ("b/" + NAME, "y")),
    "both kinds": zipped((NAME, "x"), ("01_toy/answer-1.md", "y")),
    "absolute": zipped(("/01_toy/answer-1.py", "x")),
    "only dots": zipped(("../answer-1.py/..", "x")),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", BAD_ZIPS)
def test_a_bad_zip_is_refused_in_words_and_changes_nothing(folder, name):
    content = BAD_ZIPS[name]
    before = {path: path.read_bytes() for path in folder.iterdir()}
    tracemalloc.start()
    try:
        with pytest.raises(WorkFileError) as refused:
            work.restore(content, folder)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(refused.value)[0].isupper() and str(refused.value).endswith(".")
    assert peak < 4 * work_zip.LARGEST
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("size", [70_000, 2**32 - 1], ids=["shorter", "64 bits without any"])
def test_a_text_that_is_whole_is_taken_whatever_size_is_claimed(size):
    """Its end and its checksum are right: nothing is missing."""
    assert work.unpack(patched(GOOD, CENTRAL + 24, number(size)))[NAME] == LATER * 50


def test_every_broken_byte_is_refused_or_does_no_harm():
    """Whatever a byte becomes, the texts are those that were packed, or there are none."""
    content = work.pack(OTHERS)
    for at, value in itertools.product(range(len(content)), (0, 255)):
        with contextlib.suppress(WorkFileError):
            found = work.unpack(patched(content, at, bytes([value])))
            assert set(found.values()) <= set(OTHERS.values())
    for end in range(len(content)):
        with contextlib.suppress(WorkFileError):
            assert set(work.unpack(content[:end]).items()) <= set(OTHERS.items())


SLIPS = ["../01_toy/answer-1.py", "../../../../01_toy/answer-1.py", "C:\\x\\01_toy\\answer-1.py"]
NO_PLACE = ["../answer-1.py", "..\\..\\answer-1.py", "../../etc/answer-1.py", "nul/answer-1.py"]


@pytest.mark.parametrize("name", SLIPS + NO_PLACE)
def test_no_entry_leads_out_of_the_folder(tmp_path, name):
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    path = put(inside, "01_toy", cell())
    with contextlib.suppress(WorkFileError):
        done = work.restore(zipped((name, LATER)), inside)
        assert len(done.tags) + len(done.unknown) == 1
        assert (text(path) == LATER) == (name in SLIPS)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a"]
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["b"]


def test_nothing_of_the_teacher_is_changed(folder):
    locked = {"locked": True, "solution": False, "grade": True}
    cells = [
        cell("check-1", "assert f()", "c"), cell("answer-1", "assert g()", "d"),
        cell("answer-2", "kept", "e"), cell("hidden-1", "assert h()", "f"),
    ]  # fmt: skip
    cells[1]["metadata"]["nbgrader"], cells[2]["metadata"]["editable"] = locked, False
    path = put(folder, "03_x", *cells)
    tags = ["check-1", "answer-1", "answer-2", "hidden-1", "points-1"]
    content = zipped(*[(f"03_x/{tag}.py", "pass") for tag in tags], (NAME, LATER))
    before = path.read_bytes()
    done = work.restore(content, folder)
    assert done.unknown == ["03_x/answer-1", "03_x/answer-2"] and path.read_bytes() == before


# ---------------------------------------------------------------- running, saving, restoring


def run(id, source):
    cells_run._remember(SimpleNamespace(cell_id=id, raw_cell=source))


def saved(folder, **executed):
    return work.collect(folder).files.get(NAME)


def run_then_nothing(folder):
    run("a", LATER)
    return LATER


def run_before_the_files_time(folder):
    os.utime(folder / "01_toy.ipynb", (4e9, 4e9))
    run("a", LATER)
    return LATER


def run_and_time_set_forward(folder):
    run("a", LATER)
    os.utime(folder / "01_toy.ipynb", (4e9, 4e9))
    return LATER


def run_and_time_set_back(folder):
    run("a", LATER)
    os.utime(folder / "01_toy.ipynb", (1e8, 1e8))
    return LATER


def run_and_renamed(folder):
    run("a", LATER)
    (folder / "01_toy.ipynb").rename(folder / "x")
    (folder / "x").rename(folder / "01_toy.ipynb")
    return LATER


def run_saved_edited_saved(folder):
    run("a", LATER)
    put(folder, "01_toy", cell(source=LATER, execution_count=3))
    put(folder, "01_toy", cell(source="edited", execution_count=3))
    return "edited"


def run_edited_saved_by_a_clock_behind(folder):
    run("a", LATER)
    os.utime(put(folder, "01_toy", cell(source="edited")), (1e8, 1e8))
    return "edited"


def run_edited_saved_within_one_tick(folder):
    run("a", LATER)
    before = (folder / "01_toy.ipynb").stat()
    path = put(folder, "01_toy", cell(source=MINE[:-1] + "y"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    return MINE[:-1] + "y"


def run_edited_back_to_given_saved(folder):
    put(folder, "01_toy", cell(source=STUB))
    run("a", LATER)
    put(folder, "01_toy", cell(source=STUB, execution_count=4))


def run_edited_back_cleared_saved(folder):
    put(folder, "01_toy", cell(source=STUB))
    os.utime(folder / "01_toy.ipynb", (1e9, 1e9))
    run("a", LATER)
    put(folder, "01_toy", cell(source=STUB))  # the same bytes


def run_given_again_unsaved(folder):
    run("a", LATER)
    run("a", STUB)


def run_in_another_notebook(folder):
    run("b", LATER)
    return MINE


RUNS = [
    run_then_nothing, run_before_the_files_time, run_and_time_set_forward, run_and_time_set_back,
    run_and_renamed, run_saved_edited_saved, run_edited_saved_by_a_clock_behind,
    run_edited_saved_within_one_tick, run_edited_back_to_given_saved,
    run_edited_back_cleared_saved, run_given_again_unsaved, run_in_another_notebook,
]  # fmt: skip


@pytest.mark.parametrize("happen", RUNS, ids=lambda happen: happen.__name__)
def test_the_newest_text_counts_whatever_the_clocks_say(folder, happen):
    assert happen(folder) == saved(folder)


@pytest.mark.parametrize("own", ["01_toy.ipynb", "01_toy-Copy1.ipynb", None])
def test_a_copy_has_the_same_ids_and_is_not_taken_for_the_one_that_ran(folder, own, monkeypatch):
    put(folder, "01_toy-Copy1", cell())
    if own:
        monkeypatch.setenv("JPY_SESSION_NAME", f"/elsewhere/{own}")
    run("a", LATER)
    found = work.collect(folder)
    for name in ("01_toy", "01_toy-Copy1"):
        assert found.files[f"{name}/answer-1.py"] == (LATER if own == f"{name}.ipynb" else MINE)
    assert len(found.unreadable) == (0 if own else 2)  # where it ran is not known: said so
    put(folder, "01_toy", cell(source="saved now"))
    if own != "01_toy-Copy1.ipynb":
        found = work.collect(folder)
        assert [found.files[f"{name}/answer-1.py"] for name in ("01_toy", "01_toy-Copy1")] == [
            "saved now", MINE,
        ]  # fmt: skip


def test_all_that_is_replaced_can_be_had_back(folder):
    """What the file held, and what was run since."""
    run("a", LATER)
    done = work.restore(work.pack({NAME: "restored"}), folder)
    kept = [work.unpack((folder / name).read_bytes()) for name in (done.backup, done.saved_backup)]
    assert kept == [{**OTHERS, NAME: LATER}, OTHERS]
    assert saved(folder) == text(folder / "01_toy.ipynb") == "restored"


def test_what_only_ran_is_kept_though_the_file_has_the_restored_text(folder):
    run("a", LATER)
    before = untouched(folder / "01_toy.ipynb")
    done = work.restore(work.pack({NAME: MINE}), folder)
    assert work.unpack((folder / done.backup).read_bytes())[NAME] == LATER
    assert untouched(folder / "01_toy.ipynb") == before and saved(folder) == MINE


def test_what_ran_is_remembered_if_restoring_fails(folder, monkeypatch):
    run("a", LATER)

    def full(new):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(work, "replace_files", full)
    with pytest.raises(OSError, match="No space"):
        work.restore(work.pack({NAME: "restored"}), folder)
    assert saved(folder) == LATER


def test_the_restored_zip_outlives_an_overwrite(folder):
    content = work.pack({NAME: "restored"})
    work.restore(content, folder)
    put(folder, "01_toy", cell())  # an open notebook was saved over it
    work.save(folder)
    assert (folder / work.RESTORED).read_bytes() == content


def test_a_zip_that_another_kernel_wrote_is_kept_where_it_holds_another_text(folder):
    brought = work.pack({NAME: "from the last session"})
    (folder / work.SAVED).write_bytes(brought)
    work.save(folder)
    put(folder, "01_toy", cell(source=LATER))
    work.save(folder)  # this kernel's own zip is simply renewed
    assert (folder / work.EARLIER).read_bytes() == brought
    assert sorted(p.name for p in folder.glob("*.zip")) == [work.SAVED, work.EARLIER]


@pytest.mark.parametrize("kind", ["folder", "pipe", "giant", "dangling link"])
def test_something_else_under_the_name_of_a_backup_is_left_alone(folder, kind):
    path = folder / work.BACKUP
    make = {
        "folder": path.mkdir, "pipe": lambda: os.mkfifo(path),
        "giant": lambda: sparse(path),
        "dangling link": lambda: path.symlink_to("nowhere"),
    }  # fmt: skip
    make[kind]()
    state = untouched(path)
    assert work.restore(work.pack({NAME: LATER}), folder).backup == "my_work_before_restoring_2.zip"
    assert untouched(path) == state


@pytest.mark.parametrize("kind", ["folder", "pipe", "giant"])
def test_something_else_under_the_name_of_the_zip_is_refused(folder, kind):
    path = folder / work.SAVED
    make = {
        "folder": path.mkdir, "pipe": lambda: os.mkfifo(path),
        "giant": lambda: sparse(path),
    }  # fmt: skip
    make[kind]()
    with pytest.raises(WorkFileError, match="Give it another name"):
        work.save(folder)


def test_mode_and_links_are_kept(folder, tmp_path_factory):
    real = tmp_path_factory.mktemp("real") / "real.ipynb"
    (folder / "01_toy.ipynb").rename(real)
    (folder / "01_toy.ipynb").symlink_to(real)
    real.chmod(0o640)
    work.restore(work.pack({NAME: LATER}), folder)
    assert (folder / "01_toy.ipynb").is_symlink() and text(real) == LATER
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


def test_a_notebook_saved_while_it_is_restored_loses_nothing(folder, monkeypatch):
    """JupyterLab saves between the reading and the writing: both texts are there afterwards."""
    as_bytes, once = work._as_bytes, [None]

    def saved_meanwhile(data):
        if once:
            once.clear()
            put(folder, "01_toy", cell(), cell("answer-2", "just typed", "z"))
        return as_bytes(data)

    monkeypatch.setattr(work, "_as_bytes", saved_meanwhile)
    work.restore(work.pack({NAME: LATER}), folder)
    assert [text(folder / "01_toy.ipynb", i) for i in (0, 1)] == [LATER, "just typed"]


def test_notebooks_that_are_written_all_the_time_are_left_alone(folder, monkeypatch):
    monkeypatch.setattr(work, "_is_unchanged", lambda notebook: False)
    with pytest.raises(WorkFileError, match="written all the time"):
        work.restore(work.pack({NAME: LATER}), folder)
    assert text(folder / "01_toy.ipynb") == MINE


def test_a_second_kernel_waits_and_says_so_in_the_end(folder, monkeypatch):
    monkeypatch.setattr(work_files, "PATIENCE", 0.1)
    with work_files.alone(folder), pytest.raises(WorkFileError, match="Another notebook"):
        work.save(folder)
    work.save(folder)


def test_a_file_system_without_locks_or_links_does(folder, monkeypatch):
    def none(*arguments, **more):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(work_files.fcntl, "flock", none)
    monkeypatch.setattr(os, "link", none)
    done = work.restore(work.save(folder)[0] and work.pack({NAME: LATER}), folder)
    assert work.unpack((folder / done.backup).read_bytes()) == OTHERS
    assert not list(folder.glob(".*"))


def keep_restoring(folder, me, start):
    start.wait()
    for i in range(10):
        work.restore(work.pack({f"03_x/answer-{me}.py": f"{me} {i}"}), folder)
        work.save(folder)


def test_two_kernels_at_once_lose_nothing(folder):
    path = put(folder, "03_x", *[cell(f"answer-{n}", STUB, id=f"i{n}") for n in (1, 2)])
    fork = multiprocessing.get_context("fork")
    start = fork.Barrier(2, timeout=60)  # one that never comes is a failure
    kernels = [fork.Process(target=keep_restoring, args=(folder, n, start)) for n in "12"]
    for kernel in kernels:
        kernel.start()
    for kernel in kernels:
        kernel.join(60)
    assert [kernel.exitcode for kernel in kernels] == [0, 0]
    assert [text(path, i) for i in (0, 1)] == ["1 9", "2 9"]
    packed = [p.read_bytes() for p in folder.glob("my_work*.zip")]
    texts = {t for content in packed for n, t in work.unpack(content).items() if "03_x" in n}
    assert texts >= {f"{n} {i}" for n in "12" for i in range(10)}
    assert not list(folder.glob(".*"))


def test_threads_never_share_the_name_of_a_backup(folder):
    contents = [work.pack({NAME: str(i)}) for i in range(8)]
    names = {}
    threads = [
        threading.Thread(
            target=lambda c=c: names.update({c: work_files.keep(folder, work.BACKUP, c)})
        )
        for c in contents
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(names.values())) == 8
    assert all((folder / name).read_bytes() == content for content, name in names.items())


def test_too_large_to_be_kept_is_not_replaced(folder):
    path = put(folder, "03_x", cell(source="#" * 11_000_000))
    with pytest.raises(WorkFileError, match="would not fit into a backup"):
        work.restore(work.pack({"03_x/answer-1.py": "x"}), folder)
    assert len(text(path)) == 11_000_000


def test_the_zip_is_the_same_for_the_same_texts(folder, monkeypatch):
    files = dict(reversed(list(OTHERS.items())))
    here = work.pack(OTHERS)
    monkeypatch.setattr(sys, "platform", "win32")
    assert work.pack(files) == here


def test_what_another_version_of_the_course_knows_is_named(folder):
    files = {NAME: LATER, "01_toy/answer-7.py": "x", "44_new/answer-a.py": "y"}
    done = work.restore(work.pack(files), folder)
    assert done.tags == {"01_toy": ["answer-1"]}
    assert done.unknown == ["01_toy/answer-7", "44_new/answer-a"]


@pytest.mark.parametrize("words", ["\ufeffx = 1", "\ufeff\ufeff", "x\ufeff"])
def test_a_mark_of_the_learner_comes_back(words):
    assert work.unpack(work.pack({NAME: words})) == {NAME: words}


def test_what_a_mac_has_packed_finds_its_notebook(folder):
    path = put(folder, "03_caf\u00e9", cell())
    done = work.restore(work.pack({"03_cafe\u0301/answer-1.py": "mine"}), folder)
    assert done.tags == {"03_caf\u00e9": ["answer-1"]} and not done.unknown
    assert text(path) == "mine"
