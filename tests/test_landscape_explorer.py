"""Before and after one more sample: contour lines, and the squared change as a map.

Oracles: contourpy, which draws matplotlib's contour lines, and the tensors of `Surfaces`.
"""

import base64
import io
import json

import numpy as np
import pytest
import torch
from browser import needs_browser
from contourpy import contour_generator
from explorables import assert_stored, page, planes
from matplotlib import colormaps
from PIL import Image
from scipy.interpolate import RegularGridInterpolator

from landscape_nb.figures.scales import scale_of
from landscape_nb.theory.surfaces import Surfaces
from landscape_nb.widgets import LandscapeExplorer
from landscape_nb.widgets.contours import segments
from landscape_nb.widgets.landscape_explorer import _levels


@pytest.fixture
def surfaces():
    return planes(np.random.default_rng(7))


def lengths(pieces):
    x, y, u, v = np.reshape(pieces, (-1, 4)).T
    return np.hypot(u - x, v - y)


def contourpy_lines(steps, Z, level):
    return contour_generator(steps, steps, Z, name="serial").lines(level)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("level", [-0.4, 0.0, 0.3, 2.0])
def test_lines_are_as_long_and_in_as_many_pieces_as_contourpy_s(level, seed):
    """Noise: every third cell or so is a saddle, which contourpy decides by its middle, too."""
    Z = np.random.default_rng(seed).normal(size=(21, 21))
    steps = np.linspace(-1, 1, 21)
    theirs = contourpy_lines(steps, Z, level)
    ours = segments(steps, Z, level)
    assert len(ours) == sum(len(line) - 1 for line in theirs)
    total = sum(np.hypot(*np.diff(line, axis=0).T).sum() for line in theirs)
    assert lengths(ours).sum() == pytest.approx(total, abs=1e-9)


@pytest.mark.parametrize(
    "corners, level, expected",
    [
        ([[1, 0], [0, 1]], 0.4, [[0.2, -1, 1, -0.2], [-1, 0.2, -0.2, 1]]),
        ([[1, 0], [0, 1]], 0.6, [[-1, -0.2, -0.2, -1], [1, 0.2, 0.2, 1]]),
        ([[0, 1], [1, 0]], 0.4, [[-1, -0.2, -0.2, -1], [1, 0.2, 0.2, 1]]),
        ([[0, 1], [1, 0]], 0.6, [[0.2, -1, 1, -0.2], [-1, 0.2, -0.2, 1]]),
        ([[0, 0], [1, 1]], 0.5, [[-1, 0, 1, 0]]),
        ([[1, 1], [1, 1]], 0.5, []),
    ],
    ids=["rise, joined", "rise, apart", "fall, joined", "fall, apart", "slope", "nothing"],
)
def test_a_saddle_s_corners_hang_together_if_its_middle_does(corners, level, expected):
    found = segments(np.array([-1.0, 1.0]), np.array(corners, float), level)

    def ends(pieces):  # neither their order nor their direction matters
        return sorted(sorted([tuple(p[:2]), tuple(p[2:])]) for p in np.round(pieces, 9).tolist())

    assert ends(found) == ends(expected)


def test_the_numbers_are_of_both_surfaces(surfaces):
    explorer = LandscapeExplorer(surfaces, k=5)
    steps, found = surfaces["top"].x.numpy(), explorer.numbers()
    for name, plane in surfaces.items():
        L, I = plane.values[1].numpy(), plane.increments[1].numpy()
        middle, told = len(L) // 2, found["planes"][name]
        assert told["mean"] == pytest.approx((I**2).mean(), rel=1e-4)
        assert told["centre"] == pytest.approx(
            [L[middle, middle], (L + I)[middle, middle]], rel=1e-4
        )
        for part, Z in (("before", L), ("after", L + I)):
            for level, pieces in zip(
                explorer.data["planes"][name]["levels"], told[part], strict=True
            ):
                theirs = contourpy_lines(steps, Z, level)
                total = sum(np.hypot(*np.diff(line, axis=0).T).sum() for line in theirs)
                assert lengths(pieces).sum() == pytest.approx(total, rel=0.02, abs=0.02)  # rounded
        theirs = contourpy_lines(steps, I, 0.0)
        total = sum(np.hypot(*np.diff(line, axis=0).T).sum() for line in theirs)
        assert lengths(told["zero"]).sum() == pytest.approx(total, rel=1e-3)
    top, random = (float(plane.increments[1].square().mean()) for plane in surfaces.values())
    assert found["times"] == pytest.approx(top / random, rel=1e-4)


@pytest.mark.parametrize(
    "low, high, expected",
    [
        (0.1, 4.2, [0.125, 0.25, 0.5, 1, 2, 4]),
        (0.0972, 0.1168, [0.098, 0.1, 0.102, 0.104, 0.106, 0.108, 0.11, 0.112, 0.114, 0.116]),
        (0.29, 0.61, [0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6]),
        (-1.0, 4.0, [-1, -0.5, 0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4]),
        (0.3, 0.3, [0.3]),
    ],
    ids=["doubling", "even", "one doubling only", "negative too", "flat"],
)
def test_levels_are_round_and_inside(low, high, expected):
    assert _levels(np.array([low, high])) == pytest.approx(expected)


def test_the_sentence_tells_the_centre_and_both_means():
    steps = torch.linspace(-1, 1, 3, dtype=torch.float64)
    L, I = torch.full((1, 3, 3), 0.5).double(), torch.full((1, 3, 3), -0.25).double()
    one = Surfaces(torch.tensor([4]), steps, steps, L, I)
    other = Surfaces(torch.tensor([4]), steps, steps, L, I / 100)
    words = "k = 4: sample 5 changes the loss at the centre from 0.5000 to 0.2500. "
    assert LandscapeExplorer({"top": one}).sentence() == (
        words + "Mean squared change: 6.2e-02 in the top plane."
    )
    assert LandscapeExplorer({"top": one, "random": other}).sentence() == (
        words + "Mean squared change: 6.2e-02 in the top plane and 6.3e-06 in the random plane, "
        "10000 times as much in the top one."
    )
    still = Surfaces(torch.tensor([4]), steps, steps, L, 0 * I)
    words = LandscapeExplorer({"top": one, "still": still}).sentence()
    assert words.endswith("and 0.0e+00 in the still plane.")


def test_a_k_that_is_not_there_is_refused(surfaces):
    with pytest.raises(ValueError, match=r"k must be one of \[3, 5, 8, .*\]; got k = 4"):
        LandscapeExplorer(surfaces, k=4)
    explorer = LandscapeExplorer(surfaces)
    with pytest.raises(ValueError, match="got k = 320"):
        explorer.k = 320
    assert explorer.k == 3


def test_a_stored_notebook_has_picture_words_and_state(surfaces):
    explorer = LandscapeExplorer(surfaces, k=8)
    data = assert_stored(explorer, "landscape_explorer")
    with Image.open(io.BytesIO(base64.b64decode(data["image/png"]))) as picture:
        assert picture.width > 600
    state = explorer.state()
    assert (state["k"], state["data"]["names"]) == (8, ["top", "random"])


def test_what_a_notebook_stores_is_small():
    steps = torch.linspace(-1, 1, 21, dtype=torch.float64)
    Z = torch.rand(8, 21, 21, dtype=torch.float64) * 1e-5
    one = Surfaces(torch.arange(1, 9), steps, steps, Z + 1, Z)
    assert len(json.dumps(LandscapeExplorer({"top": one, "random": one}).state())) < 250_000


# -- in a browser ---------------------------------------------------------------------------------

LINES = """return arguments[0].map(name => {
    const path = document.querySelector(`path[data-mark="${name}"]`);
    return [path.getTotalLength(), (path.getAttribute('d').match(/M/g) ?? []).length];
})"""
SCALE = """return Number(document.querySelector('[data-axis=x][data-value="1"]').getAttribute('d')
    .match(/M([\\d.]+)/)[1]) - Number(document.querySelector('[data-axis=x][data-value="0"]')
    .getAttribute('d').match(/M([\\d.]+)/)[1])"""


@needs_browser
def test_drawn_lines_are_the_pieces_joined(browser, tmp_path):
    """As long as the pieces together, and begun as often as contourpy begins a line."""
    explorer = LandscapeExplorer(planes(np.random.default_rng(7)), k=5)
    browser.get(page({"landscape": explorer}, tmp_path / "page.html").as_uri())
    parts = [(name, part) for name in ("top", "random") for part in ("before", "after", "zero")]
    drawn = browser.execute_script(LINES, [" ".join(part) for part in parts])
    unit, found = browser.execute_script(SCALE), explorer.numbers()["planes"]
    steps = np.array(explorer.data["steps"])
    for (name, part), (length, begun) in zip(parts, drawn, strict=True):
        pieces = np.hstack(found[name][part])
        assert length == pytest.approx(unit * lengths(pieces).sum(), rel=2e-3)
        loss, change = explorer._surfaces(name)
        levels = [0.0] if part == "zero" else explorer.data["planes"][name]["levels"]
        Z = {"before": loss, "after": loss + change, "zero": change}[part]
        assert begun == sum(len(contourpy_lines(steps, Z, level)) for level in levels)


@needs_browser
def test_colours_of_the_map_are_powers_of_ten(browser, tmp_path):
    explorer = LandscapeExplorer(planes(np.random.default_rng(7)), k=8)
    browser.get(page({"landscape": explorer}, tmp_path / "page.html").as_uri())
    steps = np.array(explorer.data["steps"])
    random, scale = np.random.default_rng(0), scale_of("squared change")
    for at, name in enumerate(("top", "random")):
        change = RegularGridInterpolator((steps, steps), explorer._surfaces(name)[1])
        fine = 8 * (len(steps) - 1)
        pixels = random.integers(fine, size=(40, 2))
        told = browser.execute_script(
            """const map = document.querySelectorAll('.ln-map')[arguments[0]];
            const {data, width} = map.getContext('2d').getImageData(0, 0, map.width, map.height);
            const at = ([u, v]) => 4 * (v * width + u);
            return arguments[1].map(place => [...data.slice(at(place), at(place) + 4)]);""",
            at, pixels.tolist(),
        )  # fmt: skip
        for (u, v), rgb in zip(pixels, told, strict=True):
            x, y = -1 + 2 * (u + 0.5) / fine, 1 - 2 * (v + 0.5) / fine
            exponent = np.log10(change((y, x)) ** 2)
            if abs(exponent - np.round(exponent)) < 1e-9:
                continue  # between two colours
            decade = 10 ** (np.floor(exponent) + 0.5)
            colour = colormaps[scale.colours](np.clip(scale.norm(decade), 0.05, 0.95))
            np.testing.assert_allclose(rgb[:3], 255 * np.array(colour[:3]), atol=4)
