"""A learner's work in a zip and back: nothing of it may get lost on the way."""

import io
import itertools
import json
import os
import threading
import time
import zipfile

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from landscape_nb.course import saved_work as work
from landscape_nb.course.cells_run import states
from landscape_nb.course.kept_predictions import keep_predictions, read_predictions
from landscape_nb.course.saved_work import Executed, WorkFileError

STUB = "def f():\n    # YOUR CODE HERE\n    raise NotImplementedError()"


def cell(text, tag=None, kind=new_code_cell, given=None):
    """A cell; `given` is the text with which it was handed out."""
    metadata = {"tags": [tag, "points-1"], "given": work.digest(given or "")} if tag else {}
    return kind(text, metadata=metadata)


def given(text, tag, kind=new_code_cell):
    return cell(text, tag, kind, given=text)


def write(folder, name, *cells):
    nbformat.write(new_notebook(cells=list(cells)), folder / f"{name}.ipynb")
    return folder / f"{name}.ipynb"


def texts(path):
    return [cell.source for cell in nbformat.read(path, as_version=4).cells]


@pytest.fixture
def folder(tmp_path):
    write(
        tmp_path, "01_toy",
        cell("import torch"),
        cell("guess = -2.5", "answer-slope", given="guess = 1"),
        cell("def f():\n    return 'å\\n'", "answer-1", given=STUB),
        given(STUB, "answer-2"),
        cell("Because.", "manual-3", new_markdown_cell, given="YOUR ANSWER HERE"),
        given("other_guess = 3", "answer-other"),
    )  # fmt: skip
    write(tmp_path, "02_next", given("YOUR ANSWER HERE", "manual-1", new_markdown_cell))
    return tmp_path


ANSWERS = {
    "01_toy/answer-slope.py": "guess = -2.5",
    "01_toy/answer-1.py": "def f():\n    return 'å\\n'",
    "01_toy/manual-3.md": "Because.",
}


def test_saved_are_answers_and_predictions_but_no_stubs(folder):
    content, found = work.save(folder)
    assert found == (ANSWERS, [])
    assert work.unpack(content) == ANSWERS
    assert (folder / "my_work.zip").read_bytes() == content


def test_the_zip_can_be_read_without_this_package(folder):
    content, _ = work.save(folder)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.read("01_toy/answer-slope.py") == b"guess = -2.5"


def test_what_ran_after_the_last_save_counts(folder):
    path = folder / "01_toy.ipynb"
    id = nbformat.read(path, as_version=4).cells[1].id
    ran = {id: Executed("guess = 7", states(folder))}
    assert work.collect(folder, ran).files["01_toy/answer-slope.py"] == "guess = 7"
    path.write_text(path.read_text() + "\n")  # written since
    assert work.collect(folder, ran).files["01_toy/answer-slope.py"] == "guess = -2.5"


def test_restoring_brings_everything_back(folder):
    content, _ = work.save(folder)
    other = [cell("import torch"), cell("changed = 1")]
    write(
        folder, "01_toy", *other,
        given("guess = 0", "answer-slope"), given(STUB, "answer-1"), cell("mine", "answer-2"),
        given("YOUR ANSWER HERE", "manual-3", new_markdown_cell),
    )  # fmt: skip
    done = work.restore(content, folder)
    assert texts(folder / "01_toy.ipynb") == [
        "import torch", "changed = 1", "guess = -2.5", ANSWERS["01_toy/answer-1.py"], "mine",
        "Because.",
    ]  # fmt: skip
    assert done.tags == {"01_toy": ["answer-slope", "answer-1", "manual-3"]}
    assert (done.unknown, done.unreadable, done.backup) == ([], [], work.BACKUP)
    assert set(work.collect(folder).files) == {*ANSWERS, "01_toy/answer-2.py"}


def test_what_is_replaced_can_be_had_back(folder):
    content = work.pack({"01_toy/answer-slope.py": "guess = 1"})
    work.restore(content, folder)
    assert texts(folder / "01_toy.ipynb")[1] == "guess = 1"
    work.restore((folder / work.BACKUP).read_bytes(), folder)
    assert work.collect(folder).files == ANSWERS


def test_restoring_again_and_again_keeps_every_earlier_state(folder):
    content = work.pack({"01_toy/answer-slope.py": "guess = 1"})
    names = [work.restore(content, folder).backup for _ in range(3)]
    assert names[0] == work.BACKUP and names[1] != names[0]
    assert work.unpack((folder / names[0]).read_bytes()) == ANSWERS


def test_saving_before_restoring_keeps_the_earlier_zip(folder):
    """A new session: the learner has brought my_work.zip along, and presses the wrong button."""
    brought = work.pack({**ANSWERS, "02_next/manual-1.md": "Words."})
    (folder / work.SAVED).write_bytes(brought)
    work.save(folder)
    assert (folder / work.EARLIER).read_bytes() == brought
    assert work.unpack((folder / work.SAVED).read_bytes()) == ANSWERS


def test_with_nothing_to_save_nothing_is_written(tmp_path):
    write(tmp_path, "01_toy", given("guess = 1", "answer-slope"), given(STUB, "answer-1"))
    (tmp_path / work.SAVED).write_bytes(b"older")
    assert work.save(tmp_path)[1].files == {}
    assert (tmp_path / work.SAVED).read_bytes() == b"older"


@pytest.mark.parametrize(
    "text",
    ["def f():\n    return 2\n    # YOUR CODE HERE\n    raise NotImplementedError()",
     "# not `raise NotImplementedError()` any more"],
)  # fmt: skip
def test_a_rest_of_the_stub_does_not_make_an_answer_a_stub(tmp_path, text):
    write(tmp_path, "01_toy", cell(text, "answer-1", given=STUB))
    assert work.collect(tmp_path).files == {"01_toy/answer-1.py": text}
    write(tmp_path, "01_toy", cell(STUB.replace("\n", "\r\n"), "answer-1", given=STUB))
    assert work.collect(tmp_path).files == {}


def test_a_copied_cell_is_saved_too_and_finds_its_place_again(tmp_path):
    cells = [cell(text, "answer-1", given=STUB) for text in ("first", "second")]
    path = write(tmp_path, "01_toy", *cells)
    content, found = work.save(tmp_path)
    assert found.files == {"01_toy/answer-1.py": "first", "01_toy/answer-1-2.py": "second"}
    write(tmp_path, "01_toy", *[given(STUB, "answer-1") for _ in range(2)])
    work.restore(content, tmp_path)
    assert texts(path) == ["first", "second"]


def test_restoring_forgets_what_the_check_said_of_another_answer(tmp_path):
    said = nbformat.v4.new_output("stream", text="Exercise 1, public check: right.")
    check = new_code_cell("check", metadata={"tags": ["check-1"]}, outputs=[said])
    other = new_code_cell("other", outputs=[said], execution_count=3)
    path = write(tmp_path, "01_toy", cell("old", "answer-1", given=STUB), check, other)
    work.restore(work.pack({"01_toy/answer-1.py": "new"}), tmp_path)
    cells = nbformat.read(path, as_version=4).cells
    assert [len(c.outputs) for c in cells] == [0, 0, 1]


def test_what_no_notebook_knows_is_named_and_the_rest_restored(folder):
    files = {"01_toy/answer-2.py": "x", "01_toy/answer-9.py": "y", "33_gone/answer-1.py": "z"}
    done = work.restore(work.pack(files), folder)
    assert done.tags == {"01_toy": ["answer-2"]}
    assert done.unknown == ["01_toy/answer-9", "33_gone/answer-1"]


def zipped(**files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()


NO_WORK = {
    "no zip": (b"hello", "no zip that was saved here"),
    "empty": (b"", "no zip that was saved here"),
    "cut off": (work.pack(ANSWERS)[:-40], "no zip that was saved here"),
    "holds other things": (zipped(**{"readme.txt": "x", "answer-1.py": "x"}), "no answers"),
    "a mac's own": (zipped(**{"__MACOSX/01_toy/answer-1.py": "x"}), "no answers"),
    "a bomb": (zipped(**{"01_toy/answer-1.py": "0" * 20_000_000}), "more than 10 MB"),
    "no text": (zipped(**{"01_toy/answer-1.py": b"\xff\xfe\x00"}), "no zip that was saved here"),
}


@pytest.mark.parametrize("name", NO_WORK)
def test_a_file_that_is_no_saved_work_changes_nothing(folder, name):
    content, says = NO_WORK[name]
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(WorkFileError, match=says):
        work.restore(content, folder)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("name", ["my work/01_toy/answer-2.py", "a\\01_toy\\answer-2.py"])
def test_a_zip_that_was_unpacked_and_packed_again_is_taken(folder, name):
    done = work.restore(zipped(**{name: b"\xef\xbb\xbfx = 1"}), folder)
    assert done.tags == {"01_toy": ["answer-2"]}
    assert texts(folder / "01_toy.ipynb")[3] == "x = 1"


@pytest.mark.parametrize("content", [b'{"cells": [', b"", b"[]", b'{"cells": [{}]}', b"\xff\xfe{"])
def test_a_broken_notebook_is_named_and_the_others_are_saved(folder, content):
    (folder / "03_broken.ipynb").write_bytes(content)
    found = work.save(folder)[1]
    assert found.files == ANSWERS and "03_broken.ipynb" in found.unreadable[0]
    done = work.restore(work.pack(ANSWERS), folder)
    assert done.unreadable == found.unreadable
    assert (folder / "03_broken.ipynb").read_bytes() == content


def full_disk_at_the_third(write):
    calls = itertools.count(1)

    def fsync(file):
        if next(calls) == 3:
            raise OSError("no space left")
        write(file)

    return fsync


def test_what_cannot_be_written_leaves_all_notebooks_as_they_were(folder, monkeypatch):
    monkeypatch.setattr(os, "fsync", full_disk_at_the_third(os.fsync))  # the backup is the first
    before = {path: path.read_bytes() for path in folder.glob("*.ipynb")}
    files = {"01_toy/answer-2.py": "x", "02_next/manual-1.md": "y"}
    with pytest.raises(OSError, match="no space left"):
        work.restore(work.pack(files), folder)
    assert {path: path.read_bytes() for path in folder.glob("*.ipynb")} == before
    assert sorted(os.listdir(folder)) == ["01_toy.ipynb", "02_next.ipynb", work.BACKUP]


def test_a_reader_never_sees_half_a_notebook(folder):
    """While one restores again and again, whoever opens the file finds a whole notebook."""
    content, path = work.pack(ANSWERS), folder / "01_toy.ipynb"
    done = threading.Event()

    def keep_restoring():
        while not done.is_set():
            work.restore(content, folder)

    thread = threading.Thread(target=keep_restoring)
    thread.start()
    try:
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            assert len(json.loads(path.read_text(encoding="utf-8"))["cells"]) == 6
    finally:
        done.set()
        thread.join()


def test_restoring_leaves_a_notebook_that_jupyter_would_write(folder):
    path = folder / "01_toy.ipynb"
    before = path.read_text(encoding="utf-8")
    work.restore(work.pack(ANSWERS), folder)
    assert path.read_text(encoding="utf-8").strip() == before.strip()
    assert not [name for name in os.listdir(folder) if name.endswith(".draft")]


def test_committed_predictions_are_saved_and_come_back(folder, tmp_path):
    keep_predictions(folder, {"01.slope": -2.0, "02.T": [1.0, 0.5]})
    content, found = work.save(folder)
    assert found.files["predictions/02.T.json"] == "[1.0, 0.5]"
    other = tmp_path / "other"
    other.mkdir()
    keep_predictions(other, {"01.slope": 7.0, "03.p": 1})
    done = work.restore(content, other)
    assert done.tags["predictions"] == ["01.slope", "02.T"]
    assert read_predictions(other) == {"01.slope": -2.0, "02.T": [1.0, 0.5], "03.p": 1}
    backup = work.unpack((other / done.backup).read_bytes())
    assert backup["predictions/01.slope.json"] == "7.0"


def test_where_predictions_cannot_be_kept_answers_come_back_and_it_is_said(folder):
    content = work.pack({"predictions/01.slope.json": "3", "01_toy/answer-2.py": "mine = 3"})
    (folder / "my_predictions.json").mkdir()
    done = work.restore(content, folder)
    assert done.tags == {"01_toy": ["answer-2"]} and done.unknown == []
    assert "predictions (cannot be kept: " in done.unreadable[-1]
    assert "mine = 3" in (folder / "01_toy.ipynb").read_text("utf-8")


def test_a_prediction_of_a_newer_notebook_is_kept_and_asked_for_by_nobody_here(folder):
    content = work.pack({"predictions/77.new.json": '{"4.0": [1]}'})
    done = work.restore(content, folder)
    assert done.tags == {"predictions": ["77.new"]} and done.unknown == []
    assert work.save(folder)[1].files["predictions/77.new.json"] == '{"4.0": [1]}'


def test_a_prediction_that_is_no_json_stops_no_answer(folder):
    content = work.pack({"predictions/01.slope.json": "{", "01_toy/answer-2.py": "mine = 3"})
    done = work.restore(content, folder)
    assert done.unknown == ["predictions/01.slope"] and "01_toy" in done.tags
