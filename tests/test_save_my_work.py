"""The kernel's side of Save and Restore, spoken to as a page speaks: message for message."""

import asyncio
import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from landscape_nb.course import SaveMyWork, cells_run, save_my_work
from landscape_nb.course import saved_work as work
from landscape_nb.course.work_zip import LARGEST

ANSWER = {"01_toy/answer-1.py": "mine"}
ZIP = work.pack({"01_toy/answer-1.py": "restored"})


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(cells_run, "_executed", {})
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    monkeypatch.setattr(save_my_work, "SETTLING", 0)
    cell = new_code_cell("mine", metadata={"tags": ["answer-1"], "given": work.digest("stub")})
    nbformat.write(new_notebook(cells=[cell]), tmp_path / "01_toy.ipynb")
    return tmp_path


class Page:
    """A widget, what it has asked of its page, and a page that answers by hand."""

    def __init__(self, folder):
        self.widget, self.asked = SaveMyWork(folder), []
        self.widget.send = lambda message, buffers=None: self.asked.append(message)

    def tell(self, *buffers, view="a", **message):
        json.dumps(message)  # as it comes from a page
        self.widget._handle_custom_msg({"view": view, **message}, [*map(memoryview, buffers)])

    def answer(self, answer, request=-1):
        asked = self.asked[request]
        self.tell(answer=answer, number=asked["number"], view=asked["view"])

    @property
    def words(self):
        return self.widget.words


def save_notebook(folder):
    """As the page's Ctrl+S does it."""
    path = folder / "01_toy.ipynb"
    path.write_text(path.read_text() + "\n")


def test_the_zip_is_synchronised_and_the_words_have_a_link_for_it(folder):
    page = Page(folder)
    page.tell(pressed="save")
    assert page.asked == [{"view": "a", "ask": "save", "number": 1}]
    assert page.words == "Saving the open notebook &hellip;" and page.widget.packed == b""
    save_notebook(folder)
    page.answer("saving")
    assert "This notebook was saved first." in page.words and "<a download=" in page.words
    assert work.unpack(page.widget.packed) == ANSWER
    assert {"words", "packed", "largest"} <= set(page.widget.keys)


@pytest.mark.parametrize("answer", ["deaf", "silent"])
def test_a_page_that_cannot_save_leaves_words(folder, answer, monkeypatch):
    monkeypatch.setattr(save_my_work, "_wait_for_change", lambda *_: True)  # by somebody else
    page = Page(folder)
    page.tell(pressed="save")
    page.answer(answer)
    assert "what is only typed does not" in page.words and work.SAVED in page.words


def test_a_page_that_says_it_saves_but_does_not_is_not_believed(folder, monkeypatch):
    monkeypatch.setattr(save_my_work, "SAVING", 0)
    page = Page(folder)
    page.tell(pressed="save")
    page.answer("saving")
    assert "what is only typed does not" in page.words


def test_a_page_that_was_closed_is_waited_for_only_so_long(folder, monkeypatch):
    monkeypatch.setattr(save_my_work, "SAVING", 0)
    page = Page(folder)

    async def press_and_close():
        said = asyncio.Event()
        page.tell(pressed="save")
        page.widget.observe(lambda _: said.set(), "words")
        await asyncio.wait_for(said.wait(), 30)

    asyncio.run(press_and_close())
    assert "what is only typed does not" in page.words and work.SAVED in page.words
    save_notebook(folder)
    page.answer("saving")  # too late: nothing is done twice
    assert "This notebook was saved first." not in page.words


def test_two_presses_are_both_done_each_for_its_own_view(folder):
    page = Page(folder)
    page.tell(pressed="save", view="left")
    page.tell(ZIP, pressed="restore", view="right")
    assert [(a["view"], a["number"]) for a in page.asked] == [("left", 1), ("right", 2)]
    save_notebook(folder)
    page.answer("saving", 0)
    assert work.unpack(page.widget.packed) == ANSWER
    page.answer("saving", 1)
    assert page.asked[2] == {"view": "right", "ask": "reload", "number": 3}
    assert "Restored answers and predictions: 01_toy: 1." in page.words
    assert "still shows your old text: 01_toy" in page.words
    page.answer("reloaded")
    assert "loaded again and shows them" in page.words


def test_what_is_restored_into_a_page_that_cannot_save_is_not_loaded_again(folder):
    page = Page(folder)
    page.tell(ZIP, pressed="restore")
    page.answer("deaf")
    assert len(page.asked) == 1 and "still shows your old text: 01_toy" in page.words


ODD = {
    "no zip": ([b"holiday"], {}, "Choose a my_work.zip"),
    "nothing": ([b""], {}, "Choose a my_work.zip"),
    "no file at all": ([], {}, "Choose a my_work.zip"),
    "too large": ([bytes(LARGEST + 1)], {}, "more than 10 MB"),
    "unreadable": ([], {"unreadable": "<gone>"}, "could not read the file (&lt;gone&gt;)"),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_an_odd_file_is_refused_each_time_before_anything_is_saved(folder, name):
    buffers, message, words = ODD[name]
    before = (folder / "01_toy.ipynb").read_bytes()
    page, said = Page(folder), []
    page.widget.observe(lambda change: said.append(change["new"]), "words")
    for _ in range(2):
        page.tell(*buffers, pressed="restore", **message)
    assert page.asked == [] and (folder / "01_toy.ipynb").read_bytes() == before
    assert words in page.words and "Nothing was changed." in page.words
    assert said == [page.words, "", page.words]  # the same words are spoken again


ECHOES = {
    "of nothing asked": {"answer": "saving", "number": 7},
    "without a number": {"answer": "saving"},
    "of another kind": {"whatever": 1},
    "a press of nothing": {"pressed": "both"},
}


@pytest.mark.parametrize("name", ECHOES)
def test_what_the_kernel_does_not_expect_does_nothing(folder, name, caplog):
    page = Page(folder)
    page.tell(**ECHOES[name])
    assert (page.asked, page.words) == ([], "")
    assert caplog.records == []  # ipywidgets logs what a message has raised


def test_a_button_that_fails_says_so(folder, monkeypatch):
    def fail(*_):
        raise RuntimeError("<no luck>")

    monkeypatch.setattr(work, "save", fail)
    page = Page(folder)
    page.tell(pressed="save")
    page.answer("deaf")
    assert page.words == "<b>Nothing was changed.</b> &lt;no luck&gt;"


def test_a_stored_notebook_says_what_to_do(folder):
    data, metadata = SaveMyWork(folder)._repr_mimebundle_()
    words = "Two buttons: Save my work, Restore my work. To have them here, run this cell."
    assert data["text/plain"] == words and metadata == {}
