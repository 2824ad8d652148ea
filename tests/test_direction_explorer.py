"""The explorer of directions: u'Hu is the second derivative along u, from end to end of them."""

import numpy as np
import pytest
import torch
from browser import needs_browser
from explorables import assert_stored, draw, page, still_figure
from moving import root, shown, twin_at
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from landscape_nb.widgets import DirectionExplorer

H = [[2.0, 1.2], [1.2, 1.0]]
SHARP, FLAT = (
    np.degrees(np.arctan(2.4) / 2),
    np.degrees(np.arctan(2.4) / 2) + 90,
)  # tan 2a = 2.4 / 1


@pytest.mark.parametrize("angle", [0.0, 15.0, 45.0, 90.0, 123.4, 200.0, 360.0])
@pytest.mark.parametrize("surface", ["bowl", "saddle"])
def test_the_curvature_is_the_second_derivative_along_u(angle, surface):
    shown = DirectionExplorer(angle=angle, surface=surface)
    H = torch.tensor(shown.data["surfaces"][surface]["H"], dtype=torch.float64)
    u = torch.tensor([np.cos(np.radians(angle)), np.sin(np.radians(angle))])

    def along(t):
        w = t * u
        return w @ H @ w / 2

    zero = torch.zeros((), dtype=torch.float64)
    found = shown.numbers()
    assert found["curvature"] == pytest.approx(float(torch.func.hessian(along)(zero)), abs=1e-8)
    heights = [float(along(torch.tensor(t))) for t in found["steps"]]
    np.testing.assert_allclose(found["parabola"], heights, atol=1e-8)
    assert sum(found["terms"]) == found["curvature"]


def test_the_extremes_over_all_angles_are_the_eigenvalues():
    shown = DirectionExplorer({"bowl": H})
    flat, sharp = (3 - 2.6) / 2, (3 + 2.6) / 2  # trace 3, determinant 0.56
    assert shown.data["surfaces"]["bowl"]["values"] == pytest.approx([flat, sharp])
    assert shown.data["surfaces"]["bowl"]["angles"] == pytest.approx([FLAT, SHARP])
    around = shown.numbers()["around"]
    assert min(around) == pytest.approx(flat, abs=5e-3)
    assert max(around) == pytest.approx(sharp, abs=5e-3)
    assert np.argmax(around) * 3 % 180 == pytest.approx(SHARP, abs=1.5)


@pytest.mark.parametrize(
    "surface, angle, words",
    [
        ("bowl", 0, "= 2.00 + 0.00 + 0.00 = 2.00. The parabola opens upwards."),
        ("bowl", 45, "= 1.00 + 1.20 + 0.50 = 2.70. The parabola opens upwards. Over all"),
        ("bowl", 135, "= 1.00 - 1.20 + 0.50 = 0.30."),
        ("bowl", 34, "No direction has a larger one: here u is an eigenvector of H"),
        ("bowl", 214, "and 2.80 is its eigenvalue."),
        ("bowl", 124, "No direction has a smaller one"),
        ("bowl", 32, "Over all directions it goes from 0.20 to 2.80."),
        ("saddle", 45, "= 1.00 + 0.00 - 1.00 = 0.00. The surface is level along u."),
        ("saddle", 80, "The parabola opens downwards."),
        ("saddle", 90, "and -2.00 is its eigenvalue."),
        ("saddle", 360, "and 2.00 is its eigenvalue."),
        ("round", 77, "It is the same in every direction"),
    ],
)
def test_it_says_what_the_direction_is(surface, angle, words):
    surfaces = {"bowl": H, "saddle": np.diag([2, -2]), "round": np.eye(2)}
    assert words in DirectionExplorer(surfaces, angle=angle, surface=surface).sentence()


def test_settings_change_the_still_picture_and_its_words():
    one, seen = DirectionExplorer(), []
    one.observe(lambda change: seen.append(change["name"]), ["angle", "surface"])
    for name, value in (("angle", 100.0), ("surface", "saddle")):
        before = one._repr_mimebundle_()[0]
        setattr(one, name, value)
        after = one._repr_mimebundle_()[0]
        assert before["image/png"] != after["image/png"]
        assert before["text/plain"] != after["text/plain"]
    assert seen == ["angle", "surface"]


def test_the_still_picture_marks_the_present_curvature_on_the_curve(monkeypatch):
    one = DirectionExplorer({"bowl": H}, angle=60)
    _, middle, right = still_figure(one, monkeypatch).axes
    now = next(line for line in right.lines if line.get_marker() == "D")
    assert now.get_xydata().tolist() == [[60, one.numbers()["curvature"]]]
    t, height = middle.lines[0].get_data()
    np.testing.assert_allclose(height, t**2 * one.numbers()["curvature"] / 2)


def test_it_shows_picture_and_words_without_a_kernel():
    one = DirectionExplorer(angle=30)
    assert_stored(one, "direction_explorer")
    assert one.state() == {"angle": 30.0, "surface": "bowl", "data": one.data}


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"angle": 361}, r"angle must lie in 0\.\.360; got angle = 361"),
        ({"surface": "hill"}, r"surface must be one of \['bowl', 'saddle'\]; got surface = 'hill'"),
        ({"surfaces": {"b": [[1, 2], [3, 4]]}}, r"symmetric matrix.*got \[\[1, 2\], \[3, 4\]\]"),
        ({"surfaces": {"b": np.eye(3)}}, "symmetric matrix"),
        ({"surfaces": {"b": np.zeros((2, 2))}}, "an entry that is not 0"),
        ({"surfaces": {"b": np.diag([1, np.inf])}}, "the matrix of 'b' must be finite; got inf"),
        ({"surfaces": {}}, "surfaces must hold at least one surface"),
    ],
    ids=str,
)
def test_it_refuses_what_it_can_t_show(arguments, message):
    with pytest.raises(ValueError, match=message):
        DirectionExplorer(**arguments)


LINES = """
    const count = name => (document.querySelector(`[data-mark=${name}]`).getAttribute('d') ?? '')
      .split('M').length - 1;
    return [count('up'), count('down'), document.querySelectorAll('select').length];"""


@needs_browser
@pytest.mark.parametrize("surface", ["bowl", "saddle"])
def test_level_curves_of_both_signs_are_told_apart(surface, browser, tmp_path):
    one = DirectionExplorer(surface=surface)
    up, down, lists = draw(one, browser, tmp_path, LINES)
    assert up >= 7 and (down >= 7) == (surface == "saddle") and lists == 1


@needs_browser
def test_one_surface_needs_no_list(browser, tmp_path):
    assert draw(DirectionExplorer({"bowl": H}), browser, tmp_path, LINES)[2] == 0


@pytest.fixture
def opened(browser, tmp_path):
    twin = DirectionExplorer()
    browser.get(page({"direction_explorer": twin}, tmp_path / "page.html").as_uri())
    return browser, twin


@needs_browser
@pytest.mark.parametrize(
    "across, up, angle", [(80, 0, 0), (0, 80, 90), (-80, 80, 135), (-80, -80, 225), (80, -1, 359)]
)
def test_the_arrow_points_to_the_mouse(across, up, angle, opened):
    driver, twin = opened
    box = root(driver, "direction_explorer").find_element(By.CSS_SELECTOR, ".ln-turned svg")
    middle = driver.execute_script(
        """arguments[0].scrollIntoView({block: 'center'});
        const b = arguments[0].getBoundingClientRect(), s = b.width / 400;
        return [(66 + 386) / 2 * s - b.width / 2, (32 + 348) / 2 * s - b.height / 2];""",
        box,
    )
    x, y = (round(place) for place in middle)
    # twice as far out: the direction counts, not the distance
    actions = ActionChains(driver).move_to_element_with_offset(box, x + 40, y + 40).click_and_hold()
    actions.move_to_element_with_offset(box, x + across, y - up).release().perform()
    state, words = shown(driver, "direction_explorer")
    assert (state["angle"] - angle + 180) % 360 - 180 == pytest.approx(0, abs=1)
    assert words == twin_at(twin, state).sentence()


@needs_browser
def test_keys_turn_the_arrow_and_go_round(opened):
    driver, twin = opened
    knob = root(driver, "direction_explorer").find_element(By.CSS_SELECTOR, ".ln-tip")
    for key, angle in (
        (Keys.ARROW_UP, 16), (Keys.ARROW_RIGHT, 15), (Keys.PAGE_DOWN, 0), (Keys.ARROW_DOWN, 359),
        (Keys.PAGE_UP, 14), (Keys.HOME, 0),
    ):  # fmt: skip
        knob.send_keys(key)
        state, words = shown(driver, "direction_explorer")
        assert state["angle"] == angle
        assert words == twin_at(twin, state).sentence()
        assert knob.get_attribute("aria-valuetext") == f"{angle} degrees"
    assert knob.accessible_name == "the arrow u, in degrees"


@needs_browser
def test_the_list_chooses_another_surface(opened):
    driver, twin = opened
    root(driver, "direction_explorer").find_element(By.TAG_NAME, "select").send_keys("saddle")
    state, words = shown(driver, "direction_explorer")
    assert state["surface"] == "saddle"
    assert words == twin_at(twin, state).sentence()
