"""The widget as a learner meets it: JupyterLab, a browser, and the arrow keys."""

import os
import shutil
from pathlib import Path

import nbformat
import pytest
from browser import CHROMEDRIVER, CHROMIUM, JupyterBrowser
from selenium.webdriver.common.keys import Keys

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"

# In continuous integration a missing browser is a failure: a skip there would never be noticed.
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and CHROMEDRIVER) and "CI" not in os.environ,
    reason="needs chromium and chromedriver (Debian: apt-get install chromium chromium-driver)",
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    assert CHROMIUM and CHROMEDRIVER, "install chromium and chromedriver"
    folder = tmp_path_factory.mktemp("lab") / "notebooks"
    shutil.copytree(NOTEBOOKS, folder, ignore=shutil.ignore_patterns("source", ".*", "__pycache__"))
    with JupyterBrowser(folder) as browser:
        yield browser


@pytest.fixture(scope="module")
def explorer(lab):
    """The toy notebook, run to its end in the browser."""
    lab.open_notebook("01_quadratic_toy.ipynb")
    lab.run_all()
    return lab


def away_from_the_end(handle):
    """The arrow key that can move a slider; a cell may have left it at its largest value."""
    now, largest = (float(handle.get_attribute(f"aria-value{end}")) for end in ("now", "max"))
    return Keys.ARROW_RIGHT if now < largest else Keys.ARROW_LEFT


def move_and_see(lab, widget, slider, key=None):
    """Press an arrow key on one slider: picture and readout must both change."""

    def picture():
        return lab.picture(f".{widget} img.ln-picture")

    def readout():
        return lab.text(f".{widget} .ln-readout")

    picture_before, readout_before = picture(), readout()
    handle = f".{widget} {slider} .noUi-handle"
    lab.press_keys(handle, key or away_from_the_end(lab.find(handle)))
    lab.wait_for_change(picture, picture_before, "the picture")
    return lab.wait_for_change(readout, readout_before, "the readout")


@pytest.mark.parametrize("slider", [".ln-D", ".ln-sigma"])
def test_slider_changes_picture_and_readout(explorer, slider):
    move_and_see(explorer, "ln-explorer", slider)


EVERY_OTHER_WIDGET = """
import torch
import landscape_nb as ln
from landscape_nb import plots
from landscape_nb.widgets import BowlExplorer, Explorer, PictureSlider, StepExplorer

def table(D):
    B = torch.eye(D, dtype=torch.float64).expand(3, D, D)
    models = ln.IncrementModels([2, 4, 8], [3.0, 2.0, 1.0], [[2.0] * D, [1.0] * D, [0.5] * D], B)
    return ln.moment_table(models)

def drawn(k):
    figure, ax = plots.new_figure()
    plots.curve(ax, [0, 1], [0, k], "total")
    return plots.to_png(figure), f"a line that rises to {k}"

with_k = Explorer({"top": table(3)}, table(4).last(), D=2, sigma=0.1, k=4)
bowl, pictures = BowlExplorer(), PictureSlider("m", {k: drawn(k) for k in (1, 2, 3)}, 2)
shown = {"with-k": with_k, "bowl": bowl, "pictures": pictures, "step": StepExplorer(alpha=1.0)}
for name, widget in shown.items():
    widget.add_class(f"test-{name}")
    display(widget)
"""


@pytest.fixture(scope="module")
def widgets(lab):
    """A notebook of our own with one of each, because whole notebooks take a minute to run."""
    cell = nbformat.v4.new_code_cell(EVERY_OTHER_WIDGET)
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=kernel), lab.folder / "w.ipynb")
    lab.open_notebook("w.ipynb")
    lab.run_all()
    return lab


@pytest.mark.parametrize(
    ("widget", "slider", "says"),
    [
        ("test-with-k", ".ln-k", "At k = 8"),
        ("test-with-k", ".ln-D", "D = 3"),
        ("test-bowl", ".ln-lr", "= 1.85"),
        ("test-bowl", ".ln-kappa", "= 10.5"),
        ("test-pictures", ".ln-m", "rises to 3"),
        ("test-step", ".ln-alpha", "\u03b1 = 1.05"),
        ("test-step", ".ln-damping", "d = "),
    ],
)
def test_each_widget_follows_its_slider(widgets, widget, slider, says):
    assert says in move_and_see(widgets, widget, slider, Keys.ARROW_RIGHT)
