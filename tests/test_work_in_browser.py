"""Save my work, as a learner uses it: type, press the button, lose everything, get it back."""

import base64
import os

import nbformat
import pytest
from browser import CHROMEDRIVER, CHROMIUM, PANEL, JupyterBrowser
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from selenium.webdriver.common.keys import Keys

from landscape_nb.course import saved_work as work

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and CHROMEDRIVER) and "CI" not in os.environ,
    reason="needs chromium and chromedriver (Debian: apt-get install chromium chromium-driver)",
)

STUB = "def double(x):\n    # YOUR CODE HERE\n    raise NotImplementedError()"
TYPED = "def double(x):\n    return 2 * x  # mine, with an å"
CELLS = [
    new_code_cell("import landscape_nb.course\nfrom landscape_nb.widgets import SaveMyWork"),
    new_code_cell(
        "guess = 1", metadata={"tags": ["predict-guess"], "given": work.digest("guess = 0")}
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


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    assert CHROMIUM and CHROMEDRIVER, "install chromium and chromedriver"
    folder = tmp_path_factory.mktemp("lab")
    nbformat.write(new_notebook(cells=CELLS, metadata=KERNEL), folder / "01_tiny.ipynb")
    with JupyterBrowser(folder) as browser:
        yield browser


# The page as VS Code's or Colab's: nobody there takes Ctrl+S from a program.
DEAFEN = """window.lnDeaf = event => event.isTrusted || event.stopImmediatePropagation();
  window.addEventListener('keydown', window.lnDeaf, true);"""
HEAR = "window.removeEventListener('keydown', window.lnDeaf, true);"
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
    link = lab.find(".ln-work .ln-readout a[download='my_work.zip']")
    content = base64.b64decode(link.get_attribute("href").partition("base64,")[2])
    files = work.unpack(content)
    assert files == {"01_tiny/predict-guess.py": "guess = 1", "01_tiny/answer-1.py": TYPED}
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
    assert backup == {"01_tiny/predict-guess.py": "guess = 99"}


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
        reached.append(lab.run_script("return document.activeElement.textContent.trim()"))
    assert reached[0].startswith("Restore my work") and reached[1] == "Download my_work.zip"


def test_after_a_restart_of_the_kernel_the_buttons_say_what_to_do(lab):
    lab.open_notebook("01_tiny.ipynb")
    lab.run_all()
    lab.restart_kernel()
    shown = "return getComputedStyle(document.querySelector('.ln-work'), '::before').content"
    lab.wait_until(lambda: "run this cell again" in lab.run_script(shown), "no words")
    assert lab.run_script("return !document.querySelector('.ln-work .ln-save').offsetParent")
