"""Every explorable in JupyterLab: moved there, its words are Python's and the kernel has its state.

What the page without a kernel shows is asked in test_explorables_moved.py; the other front ends in
test_front_ends.py.
"""

from pathlib import Path

import nbformat
import numpy as np
import pytest
from browser import JupyterBrowser, needs_browser
from explorables import EXAMPLES, STEPS
from moving import by_mouse, by_touch, press, root, shown, twin_at, wait_for
from selenium.webdriver.common.keys import Keys

pytestmark = needs_browser
SHOW = f"""
import sys
sys.path.insert(0, {str(Path(__file__).resolve().parent)!r})
import numpy as np
from explorables import EXAMPLES

shown = {{name: make(np.random.default_rng(5)) for name, make in EXAMPLES.items()}}
heard = []
for name, one in shown.items():
    one.add_class(f"test-{{name}}")
    one.observe(lambda change, name=name: heard.append((name, change["name"])))
    display(one)
"""
RUN_IN_KERNEL = """
    const done = arguments[arguments.length - 1];
    const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    kernel.requestExecute({code: arguments[0]}).done.then(reply => done(reply.content.status));"""
EACH = pytest.mark.parametrize("name", EXAMPLES)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    cell = nbformat.v4.new_code_cell(SHOW)
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=kernel), folder / "w.ipynb")
    with JupyterBrowser(folder) as browser:
        browser.open_notebook("w.ipynb")
        browser.run_all()
        for name in EXAMPLES:
            wait_for(lambda name=name: found(browser, name), f"{name} is not drawn")
        yield browser


def found(browser, name):
    try:
        return root(browser.driver, name)
    except AssertionError:
        return None


def in_kernel(lab, code):
    return lab.await_script(RUN_IN_KERNEL, code) == "ok"


def twin(name):
    return EXAMPLES[name](np.random.default_rng(5))


@pytest.mark.parametrize("name", [name for name in EXAMPLES if STEPS[name]])
def test_what_moves_in_the_page_moves_in_the_kernel_and_back(name, lab):
    driver, trait = lab.driver, STEPS[name][0]
    start = shown(driver, name)
    assert start[1] == twin(name).sentence()
    press(driver, name, trait, Keys.HOME)
    press(driver, name, trait, Keys.ARROW_RIGHT)
    state, words = shown(driver, name)
    assert words == twin_at(twin(name), state).sentence()
    right = f"assert shown[{name!r}].{trait} == {state[trait]!r}"
    wait_for(lambda: in_kernel(lab, right), f"the kernel does not learn of {trait}")
    assert in_kernel(lab, f"assert ({name!r}, {trait!r}) in heard")
    assert in_kernel(lab, f"shown[{name!r}].{trait} = {start[0][trait]!r}")
    came_back = lambda: shown(driver, name)[0][trait] == start[0][trait]  # noqa: E731
    wait_for(came_back, "the page does not follow the kernel")


@EACH
def test_mouse_and_finger_move_it_on_a_laptop_and_a_phone(name, lab):
    if not STEPS[name]:
        pytest.skip("it has no slider")
    driver = lab.driver
    driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    for width, theme in ((1366, "JupyterLab Dark"), (390, "JupyterLab Light")):
        lab.set_viewport(width, 800)
        lab.set_theme(theme)
        for move in (by_mouse, by_touch):
            seen = set()
            for share in (0.05, 0.95):
                move(driver, name, STEPS[name][-1], share)
                state, words = shown(driver, name)
                assert words == twin_at(twin(name), state).sentence()
                seen.add(str(state))
            assert len(seen) == 2, f"{move.__name__} does not move it at {width} px"
        wanted = theme.split()[-1].lower()
        is_right = lambda wanted=wanted: root(driver, name).get_attribute("data-theme") == wanted  # noqa: E731
        wait_for(is_right, "the theme is not that of the notebook")
    lab.set_viewport()


SIDEWAYS = """
    const cell = arguments[0].closest('.jp-OutputArea-output');
    return [cell.scrollWidth, cell.clientWidth];"""


@EACH
def test_a_narrow_notebook_shows_all(name, lab):
    lab.set_viewport(480, 900)
    wide, room = lab.driver.execute_script(SIDEWAYS, root(lab.driver, name))
    assert wide <= room
    lab.set_viewport()
