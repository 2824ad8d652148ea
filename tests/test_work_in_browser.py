"""Save my work, as a learner uses it: type, press the button, lose everything, get it back."""

import base64
import os

import nbformat
import pytest
from browser import CHROMEDRIVER, CHROMIUM, PANEL, JupyterBrowser
from nbformat.v4 import new_code_cell, new_notebook
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
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    nbformat.write(new_notebook(cells=CELLS, metadata=kernel), folder / "01_tiny.ipynb")
    with JupyterBrowser(folder) as browser:
        yield browser


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
    said = lab.text(".ln-work .ln-readout")
    assert "Saved answers and predictions: 2, from notebooks: 1." in said
    assert (lab.folder / "my_work.zip").read_bytes() == content

    lab.run_script(TYPE, 1, "guess = 99")
    lab.run_script(TYPE, 2, STUB)
    lab.await_script(COMMAND, "docmanager:save")
    downloaded = tmp_path / "my_work (1).zip"
    downloaded.write_bytes(content)
    lab.upload(".ln-work .ln-restore", downloaded)
    lab.wait_until(lambda: "Restored" in lab.text(".ln-work .ln-readout"), "nothing restored")
    said = lab.text(".ln-work .ln-readout")
    assert "Restored answers and predictions: 01_tiny: 2." in said
    assert "Reload Notebook from Disk" in said
    lab.await_script(COMMAND, "docmanager:reload")
    lab.wait_until(lambda: lab.run_script(READ, 2) == TYPED, "the answer did not come back")
    assert lab.run_script(READ, 1) == "guess = 1"
    backup = work.unpack((lab.folder / work.BACKUP).read_bytes())
    assert backup == {"01_tiny/predict-guess.py": "guess = 99"}


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
    said = "const e = document.querySelector('.ln-work [role=status]'); return e && e.textContent"
    assert lab.run_script(said) == ""
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
