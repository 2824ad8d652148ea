"""Save my work, as a learner uses it: type, press the button, lose everything, get it back."""

import nbformat
import pytest
from browser import PANEL, JupyterBrowser, needs_browser
from contrast import contrast
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from selenium.webdriver.common.keys import Keys

from landscape_nb.course import saved_work as work

pytestmark = needs_browser

STUB = "def double(x):\n    # YOUR CODE HERE\n    raise NotImplementedError()"
TYPED = "def double(x):\n    return 2 * x  # mine, with an å"
CELLS = [
    new_code_cell("import landscape_nb.course\nfrom landscape_nb.widgets import SaveMyWork"),
    new_code_cell(
        "guess = 1", metadata={"tags": ["answer-guess"], "given": work.digest("guess = 0")}
    ),
    new_code_cell(STUB, metadata={"tags": ["answer-1"], "given": work.digest(STUB)}),
    new_code_cell("SaveMyWork()"),
]
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
WORDS = new_markdown_cell("?", metadata={"tags": ["manual-2"], "given": work.digest("?")})
TYPE = PANEL + "panel.content.widgets[arguments[0]].model.sharedModel.setSource(arguments[1]);"
READ = PANEL + "return panel.content.widgets[arguments[0]].model.sharedModel.getSource();"
RUN = (
    PANEL
    + """
    panel.content.activeCellIndex = arguments[0];
    app.commands.execute('notebook:run-cell').then(arguments[arguments.length - 1]);"""
)
COMMAND = PANEL + "app.commands.execute(arguments[0]).then(arguments[arguments.length - 1]);"


@pytest.fixture(scope="module", params=["lab", "notebook"])
def lab(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    nbformat.write(new_notebook(cells=CELLS, metadata=KERNEL), folder / "01_tiny.ipynb")
    with JupyterBrowser(folder, timeout=60, app=request.param) as browser:
        yield browser


# The page as VS Code's or Colab's: nobody there takes Ctrl+S from a program.
DEAFEN = """window.lnDeaf = event => event.isTrusted || event.stopImmediatePropagation();
  window.addEventListener('keydown', window.lnDeaf, true);"""
HEAR = "window.removeEventListener('keydown', window.lnDeaf, true);"
LINK = ".ln-work .ln-readout a[download='my_work.zip']"
LINKED = """const done = arguments[arguments.length - 1];
  fetch(arguments[0].href).then(reply => reply.arrayBuffer())
    .then(buffer => done(Array.from(new Uint8Array(buffer))));"""
FOCUSED = "const e = document.activeElement; return (e.labels?.[0] ?? e).textContent;"
DIALOG = """return [...document.querySelectorAll('.jp-Dialog button')].map(b => b.textContent);"""
CHOOSE = """[...document.querySelectorAll('.jp-Dialog button')]
  .find(b => b.textContent === arguments[0]).click();"""


def said(lab):
    """What the readout says; nothing while the notebook is being loaded again."""
    read = "const e = document.querySelector('.ln-work .ln-readout'); return e ? e.innerText : ''"
    return lab.run_script(read)


def open_with_words(lab):
    """A second notebook, with an exercise that is answered in words."""
    path = lab.folder / "02_words.ipynb"
    nbformat.write(new_notebook(cells=[*CELLS, WORDS], metadata=KERNEL), path)
    lab.open_notebook(path.name)
    return path


def sources(path):
    return [cell.source for cell in nbformat.read(path, as_version=4).cells]


def test_an_answer_is_saved_lost_and_brought_back(lab, tmp_path):
    lab.open_notebook("01_tiny.ipynb")
    lab.run_all()
    lab.run_script(TYPE, 2, TYPED)
    lab.await_script(RUN, 2)  # run, but not saved to the file
    lab.wait_idle()

    lab.find(".ln-work .ln-save").click()
    content = bytes(lab.await_script(LINKED, lab.find(LINK)))
    files = work.unpack(content)
    assert files == {"01_tiny/answer-guess.py": "guess = 1", "01_tiny/answer-1.py": TYPED}
    assert "Saved answers and predictions: 2, from notebooks: 1." in said(lab)
    assert (lab.folder / "my_work.zip").read_bytes() == content

    lab.run_script(TYPE, 1, "guess = 99")
    lab.run_script(TYPE, 2, STUB)
    lab.await_script(COMMAND, "docmanager:save")
    downloaded = tmp_path / "my_work (1).zip"
    downloaded.write_bytes(content)
    lab.upload(".ln-work .ln-restore", downloaded)
    lab.wait_until(lambda: "shows them" in said(lab), "not loaded again", 60)
    assert "Restored answers and predictions: 01_tiny: 2." in said(lab)
    assert lab.run_script(READ, 2) == TYPED
    assert lab.run_script(READ, 1) == "guess = 1"
    backup = work.unpack((lab.folder / work.BACKUP).read_bytes())
    assert backup == {"01_tiny/answer-guess.py": "guess = 99"}


def test_what_is_only_typed_is_saved_first_and_a_restored_answer_is_shown(lab, tmp_path):
    """Neither run nor saved: a code answer and a rendered text. Then others are typed over them."""
    path = open_with_words(lab)
    lab.run_all()
    lab.run_script(TYPE, 2, TYPED)
    lab.run_script(TYPE, 4, "Because.")
    lab.find(".ln-work .ln-save").click()
    lab.wait_until(lambda: "Saved answers" in said(lab), "nothing saved", 60)
    assert "This notebook was saved first." in said(lab)
    first = work.unpack((lab.folder / work.SAVED).read_bytes())
    assert (first["02_words/answer-1.py"], first["02_words/manual-2.md"]) == (TYPED, "Because.")

    lab.run_script(TYPE, 2, "typed over it")
    chosen = tmp_path / "chosen.zip"
    chosen.write_bytes(work.pack(first))
    lab.upload(".ln-work .ln-restore", chosen)
    lab.wait_until(lambda: "shows them" in said(lab), "not loaded again", 60)
    assert [lab.run_script(READ, i) for i in (2, 4)] == [TYPED, "Because."]
    backups = [work.unpack(path.read_bytes()) for path in lab.folder.glob("my_work_before*")]
    assert "typed over it" in [backup.get("02_words/answer-1.py") for backup in backups]
    lab.await_script(COMMAND, "docmanager:save")  # no question, and nothing undone
    assert lab.run_script(DIALOG) == []
    assert sources(path)[2] == TYPED
    lab.open_notebook(path.name)  # the buttons are drawn anew, and ask for nothing by themselves
    lab.run_script(TYPE, 2, "not to be lost")
    lab.find(".ln-work .ln-save")
    lab.press(Keys.TAB)
    assert lab.run_script(DIALOG) == [] and lab.run_script(READ, 2) == "not to be lost"


def test_where_the_page_does_not_listen_the_words_say_what_to_do(lab, tmp_path):
    path = open_with_words(lab)
    lab.run_all()
    lab.run_script(TYPE, 4, "Because.")
    lab.run_script(DEAFEN)
    lab.find(".ln-work .ln-save").click()
    lab.wait_until(lambda: "Is an answer missing?" in said(lab), "no words", 60)
    assert "what is only typed does not" in said(lab) and "Press Ctrl+S" in said(lab)

    restored = tmp_path / "restored.zip"
    restored.write_bytes(work.pack({"02_words/manual-2.md": "Restored."}))
    lab.upload(".ln-work .ln-restore", restored)
    lab.wait_until(lambda: "Restored" in said(lab), "nothing restored", 60)
    assert "still shows your old text: 02_words" in said(lab)
    assert "choose Revert, not Overwrite" in said(lab)
    lab.run_script(HEAR)
    lab.press_keys(".ln-work .ln-save", Keys.CONTROL + "s")
    lab.wait_until(lambda: "Overwrite" in lab.run_script(DIALOG), "no question")
    lab.run_script(CHOOSE, "Revert")
    lab.wait_until(lambda: lab.run_script(READ, 4) == "Restored.", "not shown")
    assert sources(path)[4] == "Restored."


def test_a_file_that_is_no_work_is_refused_in_words(lab, tmp_path):
    lab.open_notebook("01_tiny.ipynb")
    lab.run_all()
    before = (lab.folder / "01_tiny.ipynb").read_bytes()
    wrong = tmp_path / "holiday.zip"
    wrong.write_bytes(b"not a zip")
    lab.upload(".ln-work .ln-restore", wrong)
    lab.wait_until(lambda: "Nothing was changed" in lab.text(".ln-work"), "no refusal")
    assert "Choose a my_work.zip" in lab.text(".ln-work .ln-readout")
    assert (lab.folder / "01_tiny.ipynb").read_bytes() == before


def test_the_buttons_work_by_keyboard_and_speak(lab):
    """Tab goes from Save to Restore to the link; the answer has a place before it is there."""
    lab.open_notebook("01_tiny.ipynb")
    lab.run_all()
    status = "const e = document.querySelector('.ln-work [role=status]'); return e && e.textContent"
    assert lab.run_script(status) == ""
    lab.press_keys(".ln-work .ln-save", Keys.SPACE)
    lab.find(".ln-work [role=status] a[download]")
    reached = []
    for _ in range(2):
        lab.press(Keys.TAB)
        reached.append(lab.run_script(FOCUSED))
    assert reached == ["Restore my work", "Download my_work.zip"]


def test_after_a_restart_of_the_kernel_the_buttons_say_what_to_do(lab):
    lab.open_notebook("01_tiny.ipynb")
    lab.run_all()
    lab.find(".ln-work .ln-save")
    lab.restart_kernel()
    lab.wait_until(lambda: "run this cell again" in said(lab), "no words")
    assert lab.run_script("return !document.querySelector('.ln-work .ln-save').offsetParent")
    lab.run_all()
    assert lab.find(".ln-work .ln-save") and said(lab) == ""


BUSY = """from pathlib import Path
import time
while not Path("go_on").exists(): time.sleep(0.05)
Path("go_on").unlink()"""
START = PANEL + "panel.sessionContext.session.kernel.requestExecute({code: arguments[0]});"
# Another notebook beside this one, in which the learner goes on typing.
ELSEWHERE = """const other = document.createElement('div'), field = document.createElement('input');
  other.className = 'jp-Document'; other.append(field); document.body.append(other); field.focus();
  return document.activeElement === field"""
COUNT_SAVES = """window.lnSaves = 0; window.addEventListener('keydown', event => {
  if (!event.isTrusted && event.key === 's' && event.ctrlKey) window.lnSaves += 1; }, true);"""


def open_and_run(lab):
    lab.open_notebook("01_tiny.ipynb")
    lab.run_all()
    lab.run_script(TYPE, 2, TYPED)


def test_a_busy_kernel_is_waited_for_in_words(lab):
    open_and_run(lab)
    lab.run_script(START, BUSY)
    lab.find(".ln-work .ln-save").click()
    lab.wait_until(lambda: "still running a cell" in said(lab), "no words")
    (lab.folder / "go_on").touch()
    lab.wait_until(lambda: "This notebook was saved first." in said(lab), "nothing saved", 60)


def test_who_has_gone_to_another_notebook_meanwhile_keeps_what_is_typed_there(lab):
    """Keys and menus act on the notebook in use; it must not be that one."""
    open_and_run(lab)
    lab.run_script(COUNT_SAVES)
    lab.run_script(START, BUSY)
    lab.find(".ln-work .ln-save").click()
    assert lab.run_script(ELSEWHERE)
    (lab.folder / "go_on").touch()
    lab.wait_until(lambda: "what is only typed does not" in said(lab), "no words", 60)
    assert lab.run_script("return window.lnSaves") == 0


def test_of_two_views_of_the_same_buttons_only_the_one_that_was_used_acts(lab):
    lab.open_notebook("01_tiny.ipynb")
    lab.run_script(TYPE, 3, "buttons = SaveMyWork()\ndisplay(buttons, buttons)")
    lab.run_all()
    lab.run_script(COUNT_SAVES)
    both = "return [...document.querySelectorAll('.ln-work .ln-readout')].map(e => e.innerText)"
    lab.wait_until(lambda: len(lab.run_script(both)) == 2, "not two views")
    lab.run_script("document.querySelectorAll('.ln-work .ln-save')[1].click()")
    lab.wait_until(lambda: "saved first" in lab.run_script(both)[0], "nothing saved", 60)
    said_by = lab.run_script(both)
    assert said_by[0] == said_by[1] and lab.run_script("return window.lnSaves") == 1
    lab.run_script(TYPE, 3, "SaveMyWork()")
    lab.await_script(COMMAND, "docmanager:save")


def test_a_file_that_is_too_large_is_refused_and_the_kernel_lives(lab, tmp_path):
    """A longer message than 10 MB would cut the connection to the kernel."""
    open_and_run(lab)
    large = tmp_path / "film.zip"
    with large.open("wb") as file:
        file.truncate(50_000_000)
    lab.upload(".ln-work .ln-restore", large)
    lab.wait_until(lambda: "Nothing was changed" in said(lab), "no refusal", 60)
    assert "more than 10 MB" in said(lab)
    lab.find(".ln-work .ln-save").click()
    lab.wait_until(lambda: "Saved answers" in said(lab), "nothing saved", 60)


# Sizes of what is pressed, colours on their ground, and what sticks out to the right.
SHOWN = """const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const clear = text => (rgb(text)[3] ?? 1) === 0;
  const ground = e => { while (clear(getComputedStyle(e).backgroundColor)) e = e.parentElement;
    return rgb(getComputedStyle(e).backgroundColor); };
  const parts = [...document.querySelectorAll(
    '.ln-work button, .ln-work label, .ln-work a, .ln-work .ln-readout')];
  return parts.map(e => ({name: e.className || e.tagName, height: e.offsetHeight,
    right: e.getBoundingClientRect().right, colour: rgb(getComputedStyle(e).color),
    ground: ground(e)}));"""
OUTLINE = """const e = document.activeElement, shown = e.closest('label') ?? e;
  return getComputedStyle(shown).outlineStyle + ' ' + getComputedStyle(shown).outlineWidth"""


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
@pytest.mark.parametrize("width", [1366, 390])
def test_buttons_are_large_and_words_readable_in_each_theme_and_width(lab, theme, width):
    lab.set_viewport(width, 900)
    open_and_run(lab)
    lab.set_theme(theme)
    try:
        lab.press_keys(".ln-work .ln-save", Keys.ENTER)
        lab.wait_until(lambda: "Saved answers" in said(lab), "nothing saved", 60)
        shown = lab.run_script(SHOWN)
        assert [part["name"] for part in shown] == ["ln-save", "ln-restore", "ln-readout", "A"]
        assert min(part["height"] for part in shown[:2]) >= 44
        assert max(part["right"] for part in shown) <= width
        assert min(contrast(part["colour"], part["ground"]) for part in shown) >= 4.5
        for _ in range(2):
            lab.press(Keys.TAB)
            assert lab.run_script(OUTLINE) == "solid 3px"
    finally:
        lab.set_theme("JupyterLab Light")
        lab.set_viewport()
