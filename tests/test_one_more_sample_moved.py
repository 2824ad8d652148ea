"""One more sample in a browser: samples added by mouse, finger and keys; marks; Play."""

import numpy as np
import pytest
from browser import needs_browser
from explorables import page
from moving import root, shown, twin_at, wait_for
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from landscape_nb.widgets import OneMoreSample

pytestmark = needs_browser
PLOT = ".ln-spot-data .ln-plot"


def explorer():
    random = np.random.default_rng(4)
    x = random.permutation(np.linspace(-2, 2, 20))
    return OneMoreSample(x, 0.8 * x + 0.5 + 0.7 * random.normal(size=20), k=5)


@pytest.fixture(scope="module")
def driver(browser, tmp_path_factory):
    browser.address = page(
        {"one": explorer()}, tmp_path_factory.mktemp("page") / "page.html", "light"
    ).as_uri()
    return browser


@pytest.fixture
def opened(driver):
    resize(driver, 1100)
    driver.get(driver.address)
    return driver


def resize(driver, width):
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


AXES = """
    const plot = document.querySelector(arguments[0]);
    const ticks = axis => [...plot.querySelectorAll(`[data-axis=${axis}]`)].map(tick =>
      [Number(tick.dataset.value),
       Number(tick.getAttribute('d').match(/M([^,]+),([^vh]+)/)[axis === 'x' ? 1 : 2])]);
    const box = plot.getBoundingClientRect();
    return [ticks('x'), ticks('y'), [box.left, box.top, box.width / plot.viewBox.baseVal.width]];"""


def lines(driver, plot):
    """(from data to user units as slope and offset) of both axes, read off the ticks."""
    x, y, place = driver.execute_script(AXES, plot)
    return [np.polyfit(*np.transpose(ticks), 1) for ticks in (x, y)], place


def at(driver, x, y):
    """Where (x, y) lies in the data's plot, in px from its centre."""
    axes, (_, _, unit) = lines(driver, PLOT)
    size = driver.find_element(By.CSS_SELECTOR, PLOT).size
    where = [np.polyval(axis, v) * unit for axis, v in zip(axes, (x, y), strict=True)]
    return round(where[0] - size["width"] / 2), round(where[1] - size["height"] / 2)


def by_mouse(driver, x, y):
    plot = driver.find_element(By.CSS_SELECTOR, PLOT)
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", plot)
    ActionChains(driver, duration=10).move_to_element_with_offset(
        plot, *at(driver, x, y)
    ).click().perform()


def by_finger(driver, x, y):
    plot = driver.find_element(By.CSS_SELECTOR, PLOT)
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", plot)
    finger = ActionBuilder(driver, mouse=PointerInput("touch", "finger"), duration=10)
    finger.pointer_action.move_to(plot, *at(driver, x, y)).pointer_down().pointer_up()
    finger.perform()


def button(driver, name):
    return root(driver, "one").find_element(By.CSS_SELECTOR, f"[data-button={name}]")


def press(driver, name):
    driver.execute_script("arguments[0].click()", button(driver, name))


@pytest.mark.parametrize("touch", [by_mouse, by_finger])
def test_a_click_puts_the_next_sample_and_another_moves_it(opened, touch):
    for point in ((1.2, -3.0), (-1.0, 2.5)):
        touch(opened, *point)
        state, words = shown(opened, "one")
        [[x, y, k]] = state["added"]
        assert (x, y) == pytest.approx(point, abs=0.04) and k == state["k"] == 5
        assert (x, y) == (round(x, 2), round(y, 2))
        assert words == twin_at(explorer(), state).sentence()
        assert words.startswith(f"Your sample, x = {x:.3g} and y = {y:.3g}, comes next.")
    press(opened, "take")
    by_mouse(opened, 0.5, 0.0)
    state, words = shown(opened, "one")
    assert (state["k"], [sample[2] for sample in state["added"]]) == (6, [5, 6])
    assert words == twin_at(explorer(), state).sentence()
    press(opened, "again")
    assert shown(opened, "one")[0] == {"k": 5, "order": 0, "added": []}


def test_a_click_beside_the_axes_adds_nothing(opened):
    plot = opened.find_element(By.CSS_SELECTOR, PLOT)
    corner = -plot.size["width"] // 2 + 4, plot.size["height"] // 2 - 4
    ActionChains(opened).move_to_element_with_offset(plot, *corner).click().perform()
    assert shown(opened, "one")[0]["added"] == []


def test_keys_move_the_cross_and_add_a_sample(opened):
    cross = root(opened, "one").find_element(By.CSS_SELECTOR, ".ln-cross")
    opened.execute_script("arguments[0].focus()", cross)
    assert cross.aria_role == "slider" and "Enter adds it" in cross.accessible_name
    assert cross.value_of_css_property("opacity") == "1"
    found = explorer().numbers()
    said = [f"x = {found['xs'][5]:.3g}, y = {found['ys'][5]:.3g}"]
    for key in (Keys.ARROW_RIGHT, Keys.ARROW_UP, Keys.SHIFT + Keys.ARROW_DOWN, Keys.HOME, Keys.END):
        assert cross.get_attribute("aria-valuetext") == said[-1]
        cross.send_keys(key)
        said.append(cross.get_attribute("aria-valuetext"))
    assert len(set(said)) == 6
    cross.send_keys(Keys.ARROW_LEFT, Keys.ENTER)
    state, words = shown(opened, "one")
    [[x, y, k]] = state["added"]
    assert cross.get_attribute("aria-valuetext") == f"x = {x:.3g}, y = {y:.3g}"
    high = explorer().data["view"][0][1]
    assert (x, k) == (pytest.approx(high - 0.1, abs=0.011), 5)
    assert words == twin_at(explorer(), state).sentence()
    cross.send_keys(Keys.SHIFT + Keys.ARROW_UP, " ")
    moved = shown(opened, "one")[0]["added"]
    assert len(moved) == 1 and moved[0][1] > y


def test_a_cross_in_hand_outlives_new_sizes(opened):
    cross = root(opened, "one").find_element(By.CSS_SELECTOR, ".ln-cross")
    opened.execute_script("arguments[0].focus()", cross)
    resize(opened, 420)
    wait_for(
        lambda: opened.find_elements(By.CSS_SELECTOR, ".ln-narrow"), "the plots keep their width"
    )
    # to whatever has the focus: an element's own send_keys would give it back
    ActionChains(opened).send_keys(Keys.ARROW_LEFT, Keys.ENTER).perform()
    assert len(shown(opened, "one")[0]["added"]) == 1


def test_shuffle_gives_another_order_each_time(opened):
    seen = []
    for _ in range(3):
        state, words = shown(opened, "one")
        seen.append(words)
        assert words == twin_at(explorer(), state).sentence()
        press(opened, "shuffle")
    assert len(set(seen)) == 3


def test_play_runs_to_the_last_k_and_a_second_press_halts_it(opened):
    def k():
        return opened.execute_script("return arguments[0].landscapeState().k", root(opened, "one"))

    press(opened, "play")
    wait_for(lambda: k() > 6, "Play does not move k")
    press(opened, "play")
    halted = shown(opened, "one")[0]["k"]
    assert button(opened, "play").text == "Play"
    by_mouse(opened, 1.0, -3.0)  # one more than at first: the end is one farther
    press(opened, "play")
    wait_for(lambda: k() == 20, "Play does not reach the end")
    assert halted < 20 and shown(opened, "one")[0]["k"] == 20
    assert button(opened, "play").text == "Play"
    assert not button(opened, "take").is_enabled()


MARKS = """
    const marks = name => [...document.querySelectorAll(`[data-mark="${name}"]`)];
    const levels = when => marks(`level ${when}`).map(mark =>
      mark.getAttribute('transform').match(/matrix\\((.*)\\)/)[1].split(',').map(Number));
    const next = marks('next')[0].getBBox();
    const canvas = document.querySelector('.ln-heat');
    const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    return [levels('before'), levels('after'), [next.x + next.width / 2, next.y + next.height / 2],
            [...pixels]];"""


def test_marks_lie_where_the_numbers_say(opened):
    by_mouse(opened, 1.0, -2.0)
    twin = twin_at(explorer(), shown(opened, "one")[0])
    found = twin.numbers()
    before, after, next_place, pixels = opened.execute_script(MARKS)
    axes, _ = lines(opened, PLOT)
    place = [np.polyval(axis, found[v][5]) for axis, v in zip(axes, ("xs", "ys"), strict=True)]
    assert next_place == pytest.approx(place, abs=0.1)

    (slope, offset), _ = lines(opened, ".ln-spot-bowl .ln-plot")
    circle = np.array([np.cos(range(7)), np.sin(range(7))])
    for matrices, bowl in ((before, found["bowls"][0]), (after, found["bowls"][1])):
        for level, (a, b, c, d, e, f) in zip(twin.data["levels"], matrices, strict=True):
            u, v = np.array([[a, c], [b, d]]) @ circle + [[e], [f]]
            d1 = (u - slope[1]) / slope[0] - bowl["bottom"][0]
            d2 = (v - offset[1]) / offset[0] - bowl["bottom"][1]
            height = bowl["height"] + ((d2 + bowl["mean"] * d1) ** 2 + bowl["variance"] * d1**2) / 2
            assert height == pytest.approx(max(level, bowl["height"]), rel=2e-3)
    _assert_colours(np.reshape(pixels, (96, 96, 4)), twin, found)


def _assert_colours(pixels, twin, found):
    """Far from the furrow the heat map has the course's colours of a squared change."""
    from matplotlib import colormaps

    from landscape_nb.figures.scales import scale_of

    u = (2 * np.arange(96) + 1) / 96 - 1
    U, V = np.meshgrid(u, -u)
    mean = np.mean(np.linspace(-1, 1, 41) ** 2)
    one, a, b, c, d = found["increment"]
    increment = one + a * U + b * V + c * (U**2 - mean) + d * U * V
    scale = scale_of("squared change")
    colours = colormaps[scale.colours](scale.norm(increment**2))[..., :3] * 255
    away = np.abs(increment) > np.quantile(np.abs(increment), 0.5)
    assert np.abs(pixels[..., :3] - colours)[away].max() < 6
    furrow = np.abs(increment) < 1e-3 * np.abs(increment).max()
    assert pixels[furrow][:, :3].sum(1).max(initial=0) < 255  # dark


@pytest.mark.parametrize("curve", [True, False], ids=["drawn", "left out"])
def test_the_change_along_k_is_drawn_where_it_is_asked_for(curve, driver, tmp_path):
    one = OneMoreSample([0, 1, 2, 3], [0, 1, 2, 5], curve=curve)
    driver.get(page({"one": one}, tmp_path / "page.html", "light").as_uri())
    shown(driver, "one")
    places = [
        root(driver, "one").find_elements(By.CSS_SELECTOR, f".ln-spot-{name}")
        for name in ("data", "curve")
    ]
    assert [len(found) for found in places] == [1, int(curve)]
    assert ("average over all orders" in root(driver, "one").text) == curve
