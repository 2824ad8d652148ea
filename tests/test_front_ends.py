"""Explorables in the front ends of notebooks: JupyterLab and Notebook 7 themselves, Colab by parts.

What an explorable must say is known from the same explorable in this process, set to the same
values.
"""

import base64
import json
import sys
import types

import nbformat
import pytest
from browser import PANEL, JupyterBrowser, needs_browser
from build import WIDGET_VIEW, tidy
from explorables import EXAMPLES, page
from moving import by_mouse, by_touch, press
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from numpy.random import default_rng
from selenium.webdriver.common.keys import Keys

from landscape_nb.figures import plots
from landscape_nb.widgets import BowlExplorer

BOWL = """
from landscape_nb.widgets import BowlExplorer

bowl, seen = BowlExplorer(), []
bowl.observe(lambda change: seen.append(change.new), "lr")
bowl.add_class("test-bowl")
bowl"""
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
SLIDER = ".ln-explorable [data-trait=lr] input"


def stored():
    """A notebook as it is stored: run once, its outputs tidied."""
    data, metadata = BowlExplorer()._repr_mimebundle_()
    out = new_output("execute_result", data, metadata=metadata, execution_count=1)
    bowl = new_code_cell(BOWL, outputs=[out], execution_count=1)
    around = new_markdown_cell("# Above"), new_markdown_cell("## Below"), new_code_cell("1 + 1")
    cells = [around[0], bowl, *around[1:]]
    return tidy(new_notebook(cells=cells, metadata=KERNEL))[0]


@pytest.fixture(scope="module", params=["lab", "notebook"])
def front_end(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("front_end")
    nbformat.write(stored(), folder / "bowl.ipynb")
    with JupyterBrowser(folder, timeout=60, app=request.param) as browser:
        yield browser


@pytest.fixture(scope="module")
def opened(front_end):
    """The notebook, run in the front end."""
    front_end.open_notebook("bowl.ipynb")
    front_end.run_all()
    return front_end


@pytest.fixture
def bowl(opened):
    """The explorable as it is first shown; nobody has moved it."""
    # a move of the test before, still on its way to the kernel, would undo what is set here
    heard = lambda: float(asked(opened, "bowl.lr")) == pytest.approx(place(opened))  # noqa: E731
    opened.wait_until(heard, "the kernel has not heard of the last move")
    asked(opened, "bowl.set_trait('lr', 1.8), bowl.set_trait('kappa', 10.0), seen.clear()")
    says(opened, BowlExplorer())
    return opened


ASKED = (
    PANEL
    + """
    const done = arguments[arguments.length - 1];
    panel.sessionContext.session.kernel
      .requestExecute({code: '', user_expressions: {asked: arguments[0]}})
      .done.then(reply => done(reply.content.user_expressions.asked.data['text/plain']));"""
)


def asked(front_end, expression):
    """What an expression is in the notebook's kernel, in Python's words."""
    return front_end.await_script(ASKED, expression)


def says(front_end, twin):
    """Wait until the words on the page are those of an explorable in this process."""
    words, sentence = ".ln-explorable .ln-words", twin.sentence()
    front_end.wait_until(lambda: front_end.text(words) == sentence, f"not said: {sentence}")


# ---- before it is run ----------------------------------------------------------------------

OUTPUTS = """
    return [...document.querySelectorAll('.jp-OutputArea-output')].map(output =>
      [[...output.querySelectorAll('img')].map(image => image.src), output.innerText.trim()]);"""


@needs_browser
def test_a_stored_notebook_shows_its_picture_and_nothing_broken(front_end):
    front_end.open_notebook("bowl.ipynb")
    picture = base64.b64encode(BowlExplorer()._png()).decode()
    assert front_end.run_script(OUTPUTS) == [[[f"data:image/png;base64,{picture}"], ""]]


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_stored_picture_says_what_to_do(name, monkeypatch):
    drawn = []
    monkeypatch.setattr(plots, "to_png", lambda figure: drawn.append(figure) or b"")
    EXAMPLES[name](default_rng(0))._png()
    (figure,) = drawn
    assert figure.get_supxlabel() == "A still picture: run this notebook to move it."


# ---- when it is run ------------------------------------------------------------------------


def by_keys(driver, name, trait, share):
    press(driver, name, trait, Keys.HOME, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT)


HANDS = {"keys": by_keys, "mouse": by_mouse, "finger": by_touch}


def place(front_end):
    return float(front_end.find(SLIDER).get_property("value"))


@needs_browser
@pytest.mark.parametrize("hand", HANDS)
def test_it_moves_and_the_kernel_hears_of_it(bowl, hand):
    HANDS[hand](bowl.driver, "bowl", "lr", 0.2)
    bowl.wait_for_change(lambda: place(bowl), 1.8, "the slider")
    lr = place(bowl)
    assert 0.1 < lr < 2.4
    says(bowl, BowlExplorer(lr=lr))
    bowl.wait_until(lambda: asked(bowl, "(bowl.lr, seen[-1])") == f"({lr}, {lr})", "not heard")


@needs_browser
def test_after_a_click_the_keys_go_to_the_slider(bowl):
    by_mouse(bowl.driver, "bowl", "lr", 0.2)
    bowl.wait_for_change(lambda: place(bowl), 1.8, "the slider")
    before = place(bowl)
    bowl.press(Keys.ARROW_LEFT)
    bowl.wait_until(lambda: place(bowl) == pytest.approx(before - 0.05), "the slider did not move")


@needs_browser
def test_it_follows_the_kernel(bowl):
    asked(bowl, "bowl.set_trait('kappa', 33.0)")
    says(bowl, BowlExplorer(kappa=33.0))


# As fast as the browser takes them: a frame draws the newest, the kernel is sent what it can take.
RAPID = """
    const slider = document.querySelector(arguments[0]);
    for (const value of arguments[1]) {
      slider.value = value;
      slider.dispatchEvent(new Event('input', {bubbles: true}));
    }
    return document.querySelector('.ln-explorable').dataset.drawn;"""
DRAWN = "return document.querySelector('.ln-explorable').dataset.drawn"


@needs_browser
def test_of_two_hundred_rapid_moves_the_last_arrives(bowl):
    values = [0.1 + 0.05 * (17 * i % 46) for i in range(199)] + [1.35]
    drawn = int(bowl.run_script(DRAWN))
    bowl.run_script(RAPID, SLIDER, values)
    says(bowl, BowlExplorer(lr=1.35))
    bowl.wait_until(lambda: asked(bowl, "(bowl.lr, seen[-1])") == "(1.35, 1.35)", "not heard")
    assert int(bowl.run_script(DRAWN)) - drawn < 20  # once a frame, not once a move
    assert int(asked(bowl, "len(seen)")) <= 200
    says(bowl, BowlExplorer(lr=1.35))  # no answer of the kernel's has moved it back


THEME = "return document.querySelector('.ln-explorable').dataset.theme"


@needs_browser
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_it_has_the_theme_of_the_front_end(bowl, theme):
    bowl.set_theme(f"JupyterLab {theme.title()}")
    bowl.wait_until(lambda: bowl.run_script(THEME) == theme, f"not {theme}")
    bowl.set_theme("JupyterLab Light")


# ---- the front end's own keys --------------------------------------------------------------

NOTEBOOK = (
    PANEL
    + """
    return [panel.content.activeCellIndex, panel.content.mode,
            panel.content.widgets.map(cell => [cell.model.type, cell.model.sharedModel.source,
                                               cell.model.executionCount])];"""
)
SHORTCUTS = {
    "arrows": [Keys.ARROW_UP, Keys.ARROW_DOWN, Keys.ARROW_LEFT, Keys.ARROW_RIGHT],
    "next and previous cell": ["k", "j", "j"],
    "delete": ["d", "d"],
    "cut and insert": ["x", "a", "b", "v"],
    "to a heading": ["2", "m"],
    "run": [Keys.SHIFT + Keys.ENTER],
    "edit": [Keys.ENTER],
    "restart": ["0", "0"],
}


@needs_browser
@pytest.mark.parametrize("keys", SHORTCUTS.values(), ids=SHORTCUTS)
def test_keys_pressed_in_an_explorable_do_nothing_to_the_notebook(bowl, keys):
    before = bowl.run_script(NOTEBOOK)
    bowl.press_keys(SLIDER, *keys)
    # the next key is handled after these: when it has been heard, so have they
    bowl.press_keys(SLIDER, Keys.END)
    bowl.wait_until(lambda: asked(bowl, "bowl.lr") == "2.4", "the last key was not heard")
    assert bowl.run_script(NOTEBOOK) == before
    assert bowl.run_script("return document.querySelectorAll('.jp-Dialog').length") == 0


@needs_browser
def test_the_front_end_keeps_its_keys_elsewhere_and_those_with_ctrl(bowl):
    def cells():
        return len(bowl.run_script(NOTEBOOK)[2])

    before = cells()
    bowl.focus_notebook()
    bowl.press("b")
    bowl.wait_until(lambda: cells() == before + 1, "no cell was inserted")
    bowl.press("d", "d")
    bowl.wait_until(lambda: cells() == before, "no cell was deleted")
    is_changed = PANEL + "return panel.context.model.dirty"
    assert bowl.run_script(is_changed)
    bowl.press_keys(SLIDER, Keys.CONTROL + "s")
    bowl.wait_until(lambda: not bowl.run_script(is_changed), "not saved")


# ---- without a kernel ----------------------------------------------------------------------

BROKEN = """
    return [...document.querySelector('.ln-explorable').closest('.jp-OutputArea-output')
      .querySelectorAll('*')].map(part => getComputedStyle(part, '::before').content)
      .filter(content => content !== 'none');"""


@needs_browser
@pytest.mark.parametrize("hand", HANDS)
def test_after_a_restart_of_the_kernel_it_still_moves(front_end, hand):
    front_end.open_notebook("bowl.ipynb")
    front_end.run_all()
    says(front_end, BowlExplorer())
    front_end.restart_kernel()
    HANDS[hand](front_end.driver, "bowl", "lr", 0.2)
    front_end.wait_for_change(lambda: place(front_end), 1.8, "the slider")
    says(front_end, BowlExplorer(lr=place(front_end)))
    assert front_end.run_script(BROKEN) == []  # ipywidgets' sign is a broken chain


# ---- Colab, VS Code ------------------------------------------------------------------------


def test_colab_is_told_where_its_widget_manager_is(monkeypatch):
    """Colab shows widgets that are not its own by a manager whose address is in the output."""
    colab = types.ModuleType("google.colab.output")
    colab.enable_custom_widget_manager = lambda: None
    colab._widgets = types.SimpleNamespace(_installed_url="https://example.org/manager.js")
    monkeypatch.setitem(sys.modules, "google.colab.output", colab)
    data, metadata = BowlExplorer()._repr_mimebundle_()
    found = metadata[WIDGET_VIEW]["colab"]["custom_widget_manager"]
    assert found == {"url": "https://example.org/manager.js"}
    assert metadata["explorable"]["module"] == "bowl_explorer"
    assert metadata["image/png"]["alt"] == data["text/plain"]
    json.dumps(metadata)


# Colab and VS Code show outputs in a frame of their own, often without any ground.
GROUNDS = {
    "white": ("body { background: white; color: black }", "light"),
    "black": ("body { background: #111; color: white }", "dark"),
    "none, dark words": ("body { background: none; color: #222 }", "light"),
    "none, light words": ("body { background: none; color: #ccc }", "dark"),
    "none, dark scheme": (":root { color-scheme: dark } body { background: none }", "dark"),
    "a white card on a dark ground": (
        "body { background: #111; color: white } figure { background: white }",
        "light",
    ),
    "a glaze over a dark ground": (
        "body { background: #111; color: white } figure { background: #fff1 }",
        "dark",
    ),
}


@needs_browser
@pytest.mark.parametrize(("css", "theme"), GROUNDS.values(), ids=GROUNDS)
def test_the_theme_is_that_of_the_ground(browser, tmp_path, css, theme):
    path = page({"bowl": BowlExplorer()}, tmp_path / "page.html")
    path.write_text(path.read_text("utf-8").replace("</style>", f"{css}</style>"), "utf-8")
    browser.get(path.as_uri())
    assert browser.execute_script(THEME) == theme
