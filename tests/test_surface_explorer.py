"""The surface that turns: what its heights and places are, and how hands turn it.

Oracles: matplotlib's own perspective for the places, the tensors of `Surfaces` for the heights.
"""

import base64
import io
import json

import numpy as np
import pytest
import torch
from browser import needs_browser
from explorables import assert_stored, page, planes
from matplotlib import colormaps
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d import proj3d
from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from landscape_nb.figures.scales import scale_of
from landscape_nb.theory.surfaces import Surfaces
from landscape_nb.widgets import SurfaceExplorer
from landscape_nb.widgets.planes import planes_data

KS = [3, 5, 8, 12, 20, 30, 50, 80]


@pytest.fixture
def surfaces():
    return planes(np.random.default_rng(5))


def one_plane(loss, change, steps=None):
    """Surfaces of one k from two (S, S) tables."""
    steps = torch.linspace(-1, 1, len(loss), dtype=torch.float64) if steps is None else steps
    loss, change = (torch.as_tensor(np.array(Z, float))[None] for Z in (loss, change))
    return Surfaces(torch.tensor([4]), steps, steps, loss, change)


def as_matplotlib_sees(points, azimuth, elevation):
    """Points (x, y in -1..1, z in 0..1) of a box 4 : 4 : 3 in matplotlib's perspective, (P, 2)."""
    ax = Figure().add_subplot(projection="3d")
    ax.set_xlim(-1, 1, view_margin=0)
    ax.set_ylim(-1, 1, view_margin=0)
    ax.set_zlim(0, 1, view_margin=0)
    ax.set_box_aspect((4, 4, 3))
    # the zoom at which the eye is 8 half sides away: matplotlib's stands at 10
    half = np.ptp(ax.get_w_lims()[:2]) / 2 * ax._box_aspect[0] / 2
    ax.set_box_aspect((4, 4, 3), zoom=10 / 8 / half)
    ax.view_init(elev=elevation, azim=azimuth)
    u, v, _ = proj3d.proj_transform(*np.transpose(points), ax.get_proj())
    return np.array([u, v])


VIEWS = [(-58.0, 24.0), (0.0, 0.0), (33.0, 89.0), (135.0, 60.0), (180.0, 10.0), (-91.5, 45.5)]


@pytest.mark.parametrize("azimuth, elevation", VIEWS)
@pytest.mark.parametrize("quantity", ["loss", "change", "log change"])
def test_places_are_those_of_matplotlib_s_perspective(quantity, azimuth, elevation, surfaces):
    explorer = SurfaceExplorer(surfaces, azimuth=azimuth, elevation=elevation, quantity=quantity)
    found = explorer.numbers()
    corners = [(x, y, z) for z in (0, 1) for y in (-1, 1) for x in (-1, 1)]
    low, high = explorer.data["limits"][quantity]
    z = np.array(found["heights"])
    if quantity == "log change":
        z, low, high = np.log10(z.clip(low)), np.log10(low), np.log10(high)
    steps = surfaces["top"].x.numpy()
    grid = [(x, y) for y in steps for x in steps]
    points = [(*xy, share) for xy, share in zip(grid, (z - low) / (high - low), strict=True)]
    seen = np.hstack([found["corners"], [found["across"], found["up"]]])
    theirs = as_matplotlib_sees(corners + points, azimuth, elevation)
    scale = (theirs * seen).sum() / (seen * seen).sum()  # their unit of length is another
    np.testing.assert_allclose(theirs, scale * seen, atol=1e-8 * scale)


def test_heights_are_losses_and_squared_increments_to_five_digits(surfaces):
    explorer = SurfaceExplorer(surfaces)
    for name, plane in surfaces.items():
        for i, k in enumerate(KS):
            explorer.plane, explorer.k = name, k
            for quantity, truth in (
                ("loss", plane.values[i]), ("change", plane.increments[i].square()),
                ("log change", plane.increments[i].square()),
            ):  # fmt: skip
                explorer.quantity = quantity
                found = explorer.numbers()
                np.testing.assert_allclose(found["heights"], truth.flatten(), rtol=1.1e-4)
                assert found["mean"] == pytest.approx(float(truth.mean()), rel=1e-4)
                assert found["lowest"] == pytest.approx(float(truth.min()), rel=1.1e-4)
                assert found["highest"] == pytest.approx(float(truth.max()), rel=1.1e-4)
                middle = len(truth) // 2
                assert found["centre"] == pytest.approx(float(truth[middle, middle]), rel=1.1e-4)


def test_one_scale_holds_all_that_can_be_shown(surfaces):
    explorer = SurfaceExplorer(surfaces)
    for quantity in ("loss", "change"):
        parts = [
            getattr(s, {"loss": "values", "change": "increments"}[quantity])
            for s in surfaces.values()
        ]
        highest = max(float((Z if quantity == "loss" else Z.square()).max()) for Z in parts)
        low, high = explorer.data["limits"][quantity]
        assert low == 0 and highest <= high <= 1.6 * highest
    assert explorer.data["limits"]["log change"] == [1e-9, 1e-2]


def test_the_sentence_tells_centre_ends_and_mean():
    loss = [[3, 2, 3], [2, 0.5, 2], [3, 2, 4.25]]
    explorer = SurfaceExplorer({"flat": one_plane(loss, np.full((3, 3), -0.2))})
    assert explorer.sentence() == (
        "The loss of the first 4 samples in the flat plane: 0.5 at the centre, from 0.5 to 4.25 "
        "over the plane."
    )
    explorer.quantity = "change"
    assert explorer.sentence() == (
        "The squared change of the loss from 4 to 5 samples in the flat plane: 4.0e-02 on average, "
        "4.0e-02 at most."
    )


def test_later_ks_are_compared_with_the_first(surfaces):
    explorer = SurfaceExplorer(surfaces, k=8, quantity="change")
    first, last = (float(surfaces["top"].increments[i].square().mean()) for i in (0, 2))
    assert f"The average at k = 3 is {first / last:.2f} times this." in explorer.sentence()
    steps, nothing = torch.linspace(-1, 1, 3, dtype=torch.float64), torch.zeros(2, 3, 3)
    still = {"flat": Surfaces(torch.tensor([4, 5]), steps, steps, nothing + 1, nothing)}
    words = SurfaceExplorer(still, k=5, quantity="log change").sentence()
    assert words.endswith("0.0e+00 on average, 0.0e+00 at most.")


def test_only_what_can_be_chosen_is_stored(surfaces):
    """Before a prediction about the change, the change is not even in the page."""
    stored = SurfaceExplorer(surfaces, ["loss"])._repr_mimebundle_()[1]["explorable"]
    stored = json.loads(stored["state"])
    assert all(plane.keys() == {"loss"} for plane in stored["data"]["planes"].values())
    with pytest.raises(ValueError, match="quantity must be one of"):
        SurfaceExplorer(surfaces, ["loss"]).quantity = "change"


def test_a_stored_notebook_has_picture_words_and_state(surfaces):
    explorer = SurfaceExplorer(surfaces, k=5, quantity="log change", azimuth=12.5)
    data = assert_stored(explorer, "surface_explorer")
    with Image.open(io.BytesIO(base64.b64decode(data["image/png"]))) as picture:
        assert picture.width > 600
    state = explorer.state()
    assert [state[name] for name in ("k", "plane", "quantity", "azimuth", "elevation")] == [
        5, "top", "log change", 12.5, 24,
    ]  # fmt: skip
    assert state["data"]["names"] == ["top", "random"]


def other_steps():
    return one_plane(np.ones((3, 3)), np.ones((3, 3)), torch.tensor([-1.0, 0.0, 2.0]).double())


BAD = {
    "k": (lambda s: SurfaceExplorer(s, k=4), r"k must be one of \[3, 5, 8, .*\]; got k = 4"),
    "quantity": (
        lambda s: SurfaceExplorer(s, quantity="height"),
        r"quantity must be one of \['loss', 'change', 'log change'\]; got quantity = 'height'",
    ),
    "quantities": (lambda s: SurfaceExplorer(s, ["gain"]), "got quantity = 'gain'"),
    "azimuth": (
        lambda s: SurfaceExplorer(s, azimuth=181.0), r"azimuth must lie in -180\.\.180; got az",
    ),
    "elevation": (
        lambda s: SurfaceExplorer(s, elevation=-1.0), r"elevation must lie in 0\.\.90; got elev",
    ),
    "no planes": (lambda s: SurfaceExplorer({}), "surfaces must hold a plane at least"),
    "uneven steps": (
        lambda s: SurfaceExplorer({"odd": other_steps()}),
        r"evenly spaced around 0.*plane 'odd' has x = .*linspace\(-1, 1, 21\)",
    ),
    "planes that differ": (
        lambda s: planes_data({**s, "other": one_plane(np.ones((5, 5)), np.ones((5, 5)))}),
        "'other' has others than 'top'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_can_t_be_shown_is_refused(name, surfaces):
    make, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        make(surfaces)


def test_settings_are_refused_later_too(surfaces):
    explorer = SurfaceExplorer(surfaces)
    for name, value in (("k", 4), ("plane", "third"), ("azimuth", 200.0), ("elevation", 91.0)):
        before = getattr(explorer, name)
        with pytest.raises(ValueError, match=f"{name} must"):
            setattr(explorer, name, value)
        assert getattr(explorer, name) == before


# -- in a browser ---------------------------------------------------------------------------------

ANGLES = """return ['azimuth', 'elevation'].map(name =>
    document.querySelector(`[data-trait=${name}] output`).textContent)"""
NEXT_FRAME = "requestAnimationFrame(() => requestAnimationFrame(arguments[0]))"


def opened(browser, tmp_path, **settings):
    """A page with one surface, long enough to scroll; its stage."""
    explorer = SurfaceExplorer(planes(np.random.default_rng(5)), **settings)
    path = page({"surface": explorer}, tmp_path / "page.html")
    browser.get(path.as_uri())
    stage = browser.find_element(By.CSS_SELECTOR, ".ln-stage")
    browser.execute_script(
        "document.body.style.paddingBottom = '3000px'; arguments[0].scrollIntoView()", stage
    )
    return stage


def angles(browser):
    browser.execute_async_script(NEXT_FRAME)
    return browser.execute_script(ANGLES)


@needs_browser
def test_arrow_keys_turn_and_home_turns_back(browser, tmp_path):
    stage = opened(browser, tmp_path, azimuth=178.0, elevation=88.0)
    before = browser.execute_script("return scrollY")
    for key, expected in (
        (Keys.ARROW_RIGHT, ["−177°", "88°"]), (Keys.ARROW_UP, ["−177°", "90°"]),
        (Keys.ARROW_LEFT, ["178°", "90°"]), (Keys.ARROW_DOWN, ["178°", "85°"]),
        (Keys.ARROW_DOWN, ["178°", "80°"]), (Keys.HOME, ["178°", "88°"]),
    ):  # fmt: skip
        stage.send_keys(key)
        assert angles(browser) == expected
    assert stage.get_attribute("aria-valuetext") == "turn 178°, tilt 88°"
    assert stage.get_attribute("aria-valuenow") == "178"
    assert browser.execute_script("return scrollY") == before  # keys scroll nothing


@needs_browser
@pytest.mark.parametrize(
    "dx, dy, turned",
    [(40, 30, ["−10°", "35°"]), (-80, -120, ["50°", "0°"]), (0, 170, ["10°", "90°"])],
    ids=["both ways", "down to the plane", "from above"],
)
def test_a_mouse_turns_in_both_directions_and_lets_go(dx, dy, turned, browser, tmp_path):
    stage = opened(browser, tmp_path, azimuth=10.0, elevation=20.0)
    hand = ActionChains(browser, duration=0).move_to_element(stage).click_and_hold()
    hand.move_by_offset(dx // 2, 0).move_by_offset(dx - dx // 2, dy).release()
    hand.move_by_offset(-dx, -dy // 2).perform()
    assert angles(browser) == turned


def touch(browser, kind, *points):
    where = [{"x": x, "y": y} for x, y in points]
    browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": where})


@needs_browser
@pytest.mark.parametrize("dx, dy, turned", [(60, 0, "−20°"), (0, -120, "10°")], ids=["side", "up"])
def test_a_finger_turns_sideways_and_scrolls_up_and_down(dx, dy, turned, browser, tmp_path):
    stage = opened(browser, tmp_path, azimuth=10.0, elevation=20.0)
    browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    before, box = browser.execute_script("return scrollY"), stage.rect
    x, y = box["x"] + box["width"] / 2, box["y"] - before + box["height"] / 2
    touch(browser, "touchStart", (x, y))
    for part in np.linspace(0.1, 1, 10):
        touch(browser, "touchMove", (x + part * dx, y + part * dy))
    touch(browser, "touchEnd")
    browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
    assert angles(browser) == [turned, "20°"]
    assert (browser.execute_script("return scrollY") > before + 50) == (dy != 0)


MOVES = """
    const [input, done] = arguments, canvas = document.querySelector('canvas.ln-canvas');
    const widths = [];
    const step = () => {
      widths.push(canvas.width);
      if (widths.length === 30) return done([canvas.clientWidth, widths]);
      input.value = Number(input.value) + 1;
      input.dispatchEvent(new Event('input', {bubbles: true}));
      requestAnimationFrame(step);
    };
    step();"""


@needs_browser
def test_pixels_are_fewer_while_it_moves_and_all_there_when_it_rests(browser, tmp_path):
    screen = {"width": 1000, "height": 800, "deviceScaleFactor": 2, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    opened(browser, tmp_path)
    turn = browser.find_element(By.CSS_SELECTOR, "[data-trait=azimuth] input")
    fine = "return document.querySelector('canvas.ln-canvas').width"
    wide, widths = browser.execute_async_script(MOVES, turn)
    assert min(widths[:2]) > 1.9 * wide  # one move alone stays sharp
    assert min(widths) < 1.1 * wide
    WebDriverWait(browser, 10).until(lambda _: browser.execute_script(fine) > 1.9 * wide)
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@needs_browser
def test_marks_are_at_the_places_of_python_and_turning_changes_no_words(browser, tmp_path):
    stage = opened(browser, tmp_path, azimuth=10.0, elevation=20.0)
    words = browser.find_element(By.CSS_SELECTOR, ".ln-words").text
    stage.send_keys(Keys.ARROW_LEFT + Keys.ARROW_UP)
    assert angles(browser) == ["5°", "25°"]
    explorer = SurfaceExplorer(planes(np.random.default_rng(5)), azimuth=5.0, elevation=25.0)
    found = explorer.numbers()
    drawn = browser.execute_script(
        """return ['corners', 'centre'].map(name => document.querySelector(`[data-mark=${name}]`)
            .getAttribute('d').match(/[-\\d.]+,[-\\d.]+/g).map(p => p.split(',').map(Number)))"""
    )
    middle = len(found["across"]) // 2
    seen = np.array([*found["corners"], [found["across"][middle]], [found["up"][middle]]], object)
    places = np.array([*zip(*seen[:2], strict=True), (seen[2][0], seen[3][0])], float)
    expected = places * [102, -102] + [215, 200]  # user units: chosen in the module
    np.testing.assert_allclose(np.vstack(drawn), expected, atol=0.006)
    assert browser.find_element(By.CSS_SELECTOR, ".ln-words").text == words


@needs_browser
@pytest.mark.parametrize("azimuth", range(-180, 180, 45))
def test_what_is_near_hides_what_is_far(azimuth, browser, tmp_path):
    """A basin seen from nearly level: its low near wall stands before its high far one."""
    a, (y, x) = np.deg2rad(azimuth), np.mgrid[-1:1:5j, -1:1:5j]
    basin = np.where(
        np.maximum(abs(x), abs(y)) == 1, 0.8 - 0.2 * (np.cos(a) * x + np.sin(a) * y), 0
    )
    explorer = SurfaceExplorer({"basin": one_plane(basin, basin)}, azimuth=azimuth, elevation=12.0)
    browser.get(page({"surface": explorer}, tmp_path / "page.html").as_uri())
    browser.execute_async_script(NEXT_FRAME)
    found = explorer.numbers()
    across_x = abs(np.cos(a)) > 0.1  # a cell of the wall that is near along x, else along y
    near = 3 * int((np.cos(a) if across_x else np.sin(a)) > 0)
    i, j = (near, 1) if across_x else (1, near)
    ring = [j * 5 + i, j * 5 + i + 1, j * 5 + i + 6, j * 5 + i + 5]
    u, v = (np.mean([found[part][at] for at in ring]) for part in ("across", "up"))
    rgb = browser.execute_script(
        """const c = document.querySelector('.ln-canvas'), s = c.width / 430;
        const [u, v] = [...arguments].map(place => place * s);
        return [...c.getContext('2d').getImageData(u, v, 1, 1).data];""",
        215 + 102 * u, 200 - 102 * v,
    )  # fmt: skip
    scale = scale_of("loss")
    share = scale.norm(basin.ravel()[ring]).mean()
    expected = 255 * np.array(colormaps[scale.colours](share)[:3])
    np.testing.assert_allclose(rgb[:3], expected, atol=12)
