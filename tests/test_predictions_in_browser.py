"""Predictions as a learner meets them, in JupyterLab and on a page: asked, refused, revealed."""

import json

import nbformat
import pytest
from browser import JupyterBrowser, needs_browser
from exported_site import LAPTOP, PHONE, show, small_site
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from landscape_nb.course.kept_predictions import FILE
from landscape_nb.course.predictions import REVEAL, Prediction

pytestmark = needs_browser

KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
CELLS = [
    "from landscape_nb.course import *",
    "number_guess = predict_number('04.number', 'How many?', unit='nats')",
    "reveal_number('It', number_guess, 42.0, show=lambda: print('That was', 6 * 7, 'of them'))",
    "choice_guess = predict_choice('04.choice', 'Which?', ['up', 'down', 'level'])",
    "reveal_choice('Which?', choice_guess, 'down')",
    "T_sketch = predict_curve('04.T', 'How does it fall?', [10, 100, 1000], (1e-3, 10), 'k')",
    "reveal_curve('T', T_sketch, [10, 100, 1000], [[1, 0.1, 0.01]], xlabel='k')",
    "other_guess = predict_choice('04.other', 'Which other?', ['left', 'right'])",
    "quiz('01.ratio')",
    "quiz('01.absolute')",
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A notebook that asks one question of each kind, run as a learner runs it."""
    folder = tmp_path_factory.mktemp("lab")
    cells = [new_code_cell(cell) for cell in CELLS]
    nbformat.write(new_notebook(cells=cells, metadata=KERNEL), folder / "04_asks.ipynb")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(REVEAL, raising=False)  # kernels inherit it from the server, which starts here
        with JupyterBrowser(folder, timeout=60) as browser:
            browser.open_notebook("04_asks.ipynb")
            browser.run_all()
            yield browser


def at(number):
    """The selector of a cell's output."""
    return f".jp-Cell[data-windowed-list-index='{number}'] .jp-Cell-outputArea"


def told(lab, number):
    return lab.run_script(f"return document.querySelector(`{at(number)}`)?.innerText ?? ''")


def kept(lab):
    path = lab.folder / FILE
    return json.loads(path.read_text()) if path.exists() else {}


def commit(lab, number):
    lab.find(f"{at(number)} .ln-commit").click()


def test_run_all_commits_nothing_and_tells_nothing(lab):
    for number in (2, 4, 6):
        assert "Commit your prediction above first" in told(lab, number)
    assert "That was" not in told(lab, 2) and kept(lab) == {}


@pytest.mark.parametrize("typed", ["", "many", "10 %", "1e999"])
def test_what_is_no_number_is_refused_in_words(typed, lab):
    field = lab.find(f"{at(1)} .ln-guess")
    field.clear()
    field.send_keys(typed)
    commit(lab, 1)
    assert "Write a number, such as 0.1" in told(lab, 1)
    assert "Commit your prediction above first" in told(lab, 2) and "04.number" not in kept(lab)


def test_a_committed_number_shows_what_was_found(lab):
    field = lab.find(f"{at(1)} .ln-guess")
    field.clear()
    field.send_keys("4,5e1", Keys.ENTER)
    lab.wait_until(
        lambda: "you guessed 45 nats" in told(lab, 2) or "you guessed 45" in told(lab, 2),
        "no reveal",
    )
    assert "That was 42 of them" in told(lab, 2)
    assert "Commit your prediction above first" not in told(lab, 2)
    assert "You predicted 45 nats." in told(lab, 1)
    assert not lab.run_script(
        f"return document.querySelector(`{at(1)} .ln-commit`)?.checkVisibility()"
    )
    assert kept(lab) == {"04.number": 45.0}
    assert "Commit your prediction above first" in told(lab, 4)


def test_a_choice_is_made_by_keys(lab):
    commit(lab, 3)
    assert "Choose one first." in told(lab, 3)
    lab.press_keys(f"{at(3)} .ln-option:first-of-type input", Keys.SPACE, Keys.ARROW_DOWN)
    commit(lab, 3)
    lab.wait_until(lambda: "You predicted it." in told(lab, 4), "no reveal")
    assert kept(lab)["04.choice"] == "down"


def test_the_choices_of_two_questions_are_apart(lab):
    names = [
        lab.run_script(f"return document.querySelector(`{at(number)} input[type=radio]`).name")
        for number in (3, 7, 8, 9)
    ]
    assert len(set(names)) == 4, names


def test_a_curve_is_drawn_by_mouse_and_keys(lab):
    commit(lab, 5)
    assert "Drag the points" in told(lab, 5)
    points = lab.find(f"{at(5)} .ln-sketch").find_elements(By.CSS_SELECTOR, ".ln-point")
    lab.press_keys(f"{at(5)} .ln-point:nth-of-type(1)", Keys.END)
    lab.press_keys(f"{at(5)} .ln-point:nth-of-type(2)", Keys.ARROW_UP)
    ActionChains(lab.driver).drag_and_drop_by_offset(points[2], 0, 60).perform()
    commit(lab, 5)
    lab.wait_until(lambda: "the dashed line is your guess" in told(lab, 6), "no reveal")
    first, second, third = (kept(lab)["04.T"][x] for x in ("10.0", "100.0", "1000.0"))
    assert first == 10 and second == pytest.approx(0.1 * 10 ** (4 / 40), rel=0.01)
    assert 1e-3 <= third < 0.05


def test_after_a_restart_what_was_committed_is_there_at_once(lab):
    before = kept(lab)
    lab.restart_kernel()
    lab.run_all()
    assert "you guessed 45" in told(lab, 2) and "You predicted 45 nats." in told(lab, 1)
    assert kept(lab) == before


def test_without_a_kernel_nothing_can_be_committed(lab):
    (lab.folder / FILE).unlink()
    lab.run_all()
    lab.restart_kernel()
    lab.wait_until(lambda: "The kernel was restarted" in told(lab, 1), "silent")
    assert lab.find(f"{at(1)} .ln-commit").get_attribute("disabled")


# ---- on a page ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    data, metadata = Prediction(
        "00.it", "Is 1 < 2?", {"kind": "number", "unit": ""}
    )._repr_mimebundle_()
    data = {"text/plain": data["text/plain"]}
    output = new_output("display_data", data=data, metadata=metadata)
    told = new_output("stream", text="It is 42.\n")
    cells = [
        new_markdown_cell("# 00 A"),
        new_code_cell("it_guess = predict_number('00.it', 'Is 1 < 2?')", outputs=[output]),
        new_code_cell("reveal_number('It', it_guess, 42)", outputs=[told]),
    ]
    return small_site(tmp_path_factory.mktemp("course"), cells) / "00_a.html"


@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_on_a_page_a_commit_opens_the_answer(size, browser, page):
    show(browser, page, size)
    answer = browser.find_element(By.CSS_SELECTOR, "details.answer")
    assert not answer.get_property("open")
    assert "Is 1 < 2?" in browser.find_element(By.CSS_SELECTOR, ".ln-question").text
    browser.find_element(By.CSS_SELECTOR, ".ln-guess").send_keys("7", Keys.ENTER)
    assert answer.get_property("open") and "It is 42." in answer.text
    assert "You predicted 7." in browser.find_element(By.CSS_SELECTOR, ".ln-prediction").text
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
