"""A learner's work in a zip and back: nothing of it may get lost on the way."""

import io
import json
import os
import threading
import time
import zipfile

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from landscape_nb import work
from landscape_nb.work import Executed, WorkFileError

STUB = "def f():\n    # YOUR CODE HERE\n    raise NotImplementedError()"


def cell(text, tag=None, kind=new_code_cell):
    return kind(text, metadata={"tags": [tag, "points-1"]} if tag else {})


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
        cell("guess = -2.5", "predict-slope"),
        cell("def f():\n    return 'å\\n'", "answer-1"),
        cell(STUB, "answer-2"),
        cell("Because.", "manual-3", new_markdown_cell),
    )  # fmt: skip
    write(tmp_path, "02_next", cell("YOUR ANSWER HERE", "manual-1", new_markdown_cell))
    return tmp_path


ANSWERS = {
    "01_toy/predict-slope.py": "guess = -2.5",
    "01_toy/answer-1.py": "def f():\n    return 'å\\n'",
    "01_toy/manual-3.md": "Because.",
}


def test_saved_are_answers_and_predictions_but_no_stubs(folder):
    content, files = work.save(folder)
    assert files == ANSWERS
    assert work.unpack(content) == ANSWERS
    assert (folder / "my_work.zip").read_bytes() == content


def test_the_zip_can_be_read_without_this_package(folder):
    content, _ = work.save(folder)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.read("01_toy/predict-slope.py") == b"guess = -2.5"


def test_what_ran_after_the_last_save_counts(folder):
    path = folder / "01_toy.ipynb"
    id = nbformat.read(path, as_version=4).cells[1].id
    saved = path.stat().st_mtime
    for at, text in ((saved + 5, "guess = 7"), (saved - 5, "guess = -2.5")):
        ran = {id: Executed("guess = 7", at)}
        assert work.collect(folder, ran)["01_toy/predict-slope.py"] == text


def test_restoring_brings_everything_back(folder):
    content, _ = work.save(folder)
    other = [cell("import torch"), cell("changed = 1")]
    write(
        folder, "01_toy", *other,
        cell("guess = 0", "predict-slope"), cell(STUB, "answer-1"), cell("mine", "answer-2"),
        cell("YOUR ANSWER HERE", "manual-3", new_markdown_cell),
    )  # fmt: skip
    restored, unknown = work.restore(content, folder)
    assert texts(folder / "01_toy.ipynb") == [
        "import torch", "changed = 1", "guess = -2.5", ANSWERS["01_toy/answer-1.py"], "mine",
        "Because.",
    ]  # fmt: skip
    assert restored == {"01_toy": ["predict-slope", "answer-1", "manual-3"]}
    assert unknown == []
    assert set(work.collect(folder)) == {*ANSWERS, "01_toy/answer-2.py"}


def test_what_is_replaced_can_be_had_back(folder):
    content = work.pack({"01_toy/predict-slope.py": "guess = 1"})
    work.restore(content, folder)
    assert texts(folder / "01_toy.ipynb")[1] == "guess = 1"
    work.restore((folder / work.BACKUP).read_bytes(), folder)
    assert work.collect(folder) == ANSWERS


def test_what_no_notebook_knows_is_named_and_the_rest_restored(folder):
    files = {"01_toy/answer-2.py": "x", "01_toy/answer-9.py": "y", "33_gone/answer-1.py": "z"}
    restored, unknown = work.restore(work.pack(files), folder)
    assert restored == {"01_toy": ["answer-2"]}
    assert unknown == ["01_toy/answer-9", "33_gone/answer-1"]


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
    "holds other things": (zipped(**{"readme.txt": "x", "../../answer-1.py": "x"}), "no answers"),
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


def test_a_broken_notebook_is_named(folder):
    (folder / "03_broken.ipynb").write_text('{"cells": [')
    with pytest.raises(WorkFileError, match="03_broken.ipynb is no notebook"):
        work.save(folder)


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
            assert len(json.loads(path.read_text(encoding="utf-8"))["cells"]) == 5
    finally:
        done.set()
        thread.join()


def test_restoring_leaves_a_notebook_that_jupyter_would_write(folder):
    path = folder / "01_toy.ipynb"
    before = path.read_text(encoding="utf-8")
    work.restore(work.pack(ANSWERS), folder)
    assert path.read_text(encoding="utf-8").strip() == before.strip()
    assert not [name for name in os.listdir(folder) if name.endswith(".draft")]
