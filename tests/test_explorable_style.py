"""Words and marks of explorables stand out from their ground, in both themes and when printed.

WCAG 2 asks for a contrast of 4.5 for words and 3 for marks.
"""

import base64
import io
import re

import matplotlib.image
import nbformat
import numpy as np
import pytest
from browser import JupyterBrowser, needs_browser
from contrast import contrast as of_channels
from explorables import EXAMPLES, still_figure
from matplotlib.colors import to_rgba
from matplotlib.text import Text
from nbformat.v4 import new_code_cell, new_notebook

from landscape_nb.figures import plots
from landscape_nb.figures.scales import scale_of
from landscape_nb.widgets.es_modules import page_style

GROUNDS = {"light": ["#ffffff"], "dark": ["#111418", "#15181c", "#111111"]}  # JupyterLab's too
WORDS, NO_MARKS = {"ink", "quiet"}, {"ground", "faint"}  # faint: what may go unseen
STILLS = ["bowl_explorer", "explorer", "step_explorer"]


def contrast(colour, ground="#ffffff", alpha=None):
    """Contrast between two colours, the first one seen through its alpha."""
    *rgb, opaque = to_rgba(colour, alpha)
    behind = to_rgba(ground)[:3]
    seen = [opaque * v + (1 - opaque) * w for v, w in zip(rgb, behind, strict=True)]
    return of_channels([255 * v for v in seen], [255 * v for v in behind])


def colours(theme):
    """The style sheet's colours in a theme, by name."""
    start = {"light": r"\.ln-explorable", "dark": r'\.ln-explorable\[data-theme="dark"\]'}[theme]
    (block,) = re.findall(rf"^{start} \{{(.*?)^\}}", page_style(), re.MULTILINE | re.DOTALL)
    return dict(re.findall(r"--ln-([\w-]+): (#\w{6});", block))


def test_contrast_knows_black_and_a_well_known_grey():
    assert contrast("black") == contrast("white", "black") == pytest.approx(21)
    assert contrast("#767676") == pytest.approx(4.54, abs=0.01)
    assert contrast("black", alpha=0.0) == pytest.approx(1)


@pytest.mark.parametrize("theme", GROUNDS)
def test_every_colour_of_the_style_sheet_stands_out(theme):
    found = colours(theme)
    assert found.keys() == colours("light").keys() and len(found) > 8
    for name in found.keys() - NO_MARKS:
        least = min(contrast(found[name], ground) for ground in [*GROUNDS[theme], found["ground"]])
        assert least >= (4.5 if name in WORDS else 3), name


@pytest.mark.parametrize("name", STILLS)
def test_still_pictures_have_words_and_lines_dark_enough_for_white_paper(name, monkeypatch):
    for seed in range(3):
        figure = still_figure(EXAMPLES[name](np.random.default_rng(seed)), monkeypatch)
        words = [text for text in figure.findobj(Text) if text.get_text()]
        lines = [line for ax in figure.axes for line in ax.lines]
        assert words and lines
        for text in words:
            assert contrast(text.get_color(), alpha=text.get_alpha()) >= 4.5, text.get_text()
        for line in lines:
            assert contrast(line.get_color(), alpha=line.get_alpha()) >= 3, line.get_label()
        for bar in (bar for ax in figure.axes for bar in ax.patches):  # a light bar: a dark edge
            assert max(map(contrast, (bar.get_facecolor(), bar.get_edgecolor()))) >= 3, bar


@pytest.mark.parametrize("name", EXAMPLES)
def test_still_pictures_have_paper_of_their_own(name):
    data, _ = EXAMPLES[name](np.random.default_rng(0))._repr_mimebundle_()
    pixels = matplotlib.image.imread(io.BytesIO(base64.b64decode(data["image/png"])))
    assert (pixels[0, 0, :3] == 1).all()
    assert pixels.shape[2] == 3 or (pixels[..., 3] == 1).all()


@pytest.mark.parametrize("ground", [*GROUNDS["light"], *GROUNDS["dark"]])
def test_a_picture_with_a_colour_map_can_be_read_on_white_and_on_black(ground):
    figure, ax = plots.new_figure()
    plots.curve(ax, [0, 1], [0, 1], "total")
    ax.set(title="Title", xlabel="x")
    assert plots.background(figure) == "dark"  # its negative will do
    figure.colorbar(ax.pcolormesh([[1.0, 2.0], [3.0, 4.0]]), label="height")
    assert plots.background(figure) == "light"
    grounds = [figure.patch, *(ax.patch for ax in figure.axes)]
    assert all(patch.get_alpha() == 0 for patch in grounds)
    for text in (text for text in figure.findobj(Text) if text.get_text()):
        assert contrast(text.get_color(), ground) >= 4, text.get_text()
    for line in ax.lines:
        assert contrast(line.get_color(), ground) >= 3


def test_words_on_cells_of_a_colour_map_and_in_a_box_keep_their_colour():
    figure, (left, right) = plots.new_figure(2)
    left.imshow([[1.0, 2.0], [3.0, 4.0]])
    word = left.text(0, 0, "1.0", color="black")
    right.plot([0, 1], label="line")
    boxed = right.legend().get_texts()[0]
    assert plots.background(figure) == "light"
    assert {word.get_color(), boxed.get_color()} == {"black"}
    assert right.xaxis.label.get_color() == plots.EITHER


@needs_browser
@pytest.mark.parametrize(
    ("theme", "turned"), [("Light", "none"), ("Dark", "invert(0.93) hue-rotate(180deg)")]
)
def test_in_jupyterlab_a_picture_is_a_negative_in_the_dark_alone(theme, turned, tmp_path):
    drawn = "plots.show(figure, 'A line.')"
    cells = [
        f"from landscape_nb.figures import plots\nfigure, ax = plots.new_figure()\n{drawn}",
        f"ax.imshow([[0.0, 1.0]])\n{drawn}",
        "from landscape_nb.course import CourseMap\nCourseMap()",  # brings the style sheet
    ]
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, tmp_path / "pictures.ipynb")
    filters = """return [...document.querySelectorAll('.jp-RenderedImage > img')].map(
        image => getComputedStyle(image).filter)"""
    with JupyterBrowser(tmp_path) as lab:
        lab.open_notebook("pictures.ipynb")
        lab.set_theme(f"JupyterLab {theme}")
        lab.run_all()
        assert lab.driver.execute_script(filters) == [turned, "none"]


def test_level_lines_in_one_colour_are_no_colour_map():
    figure, ax = plots.new_figure()
    ax.contour(np.add.outer(np.arange(5.0), np.arange(5.0)), colors=plots.GREY)
    assert plots.background(figure) == "dark"
    ax.contourf(np.add.outer(np.arange(5.0), np.arange(5.0)), cmap=scale_of("loss").colours)
    assert plots.background(figure) == "light"
