"""The enough-data curve with a tolerance to drag: K is the package's, by every way to move it."""

import json

import numpy as np
import pytest
import torch
from browser import needs_browser
from explorables import assert_stored, enough_marks, page
from hypothesis import given, settings
from hypothesis import strategies as st
from moving import off_the_picture, root, shown, twin_at
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

import landscape_nb as ln
from landscape_nb.theory import bands
from landscape_nb.widgets import EnoughExplorer

KS = [10, 20, 40, 80]
RUNS = [[9.0, 2.0, 0.4, 0.1], [9.0, 1.5, 0.6, 0.1], [9.0, 1.3, 0.2, 0.1]]
ALIKE = [[9.0, 2.0, 0.5, 0.25]] * 2  # no scatter: the band is the mean


def ends(found):
    return found.K, found.low, found.high


@pytest.mark.parametrize(
    "curves, tolerance, K, words",
    [
        (RUNS, 1.0, (26, 21, 42), "enough at 26 (90 %: 21 to 42). Ten times"),
        (ALIKE, 10.0, (10, 10, 10), "enough before 10 (90 %). Ten times stricter: 29."),
        (ALIKE, 0.25, (None,) * 3, "not reached by 80 (90 %). Not even 80 samples are enough."),
        (ALIKE, 2.0, (20, 20, 20), "enough at 20 (90 %). Ten times stricter: not reached by 80."),
        (
            [[8.0, 2.0, 0.5, 0.25]] * 2,
            4.0,
            (15,) * 3,
            "enough at 15 (90 %). Ten times stricter: 50, 3.3 times",
        ),
        ([[1.0, 2.0, 0.5, 0.5]] * 2, 2.0, (20, 10, 20), "enough at 20 (90 %: before 10 to 20)"),
        ([[1.0, 2.0, 0.5, 0.5]] * 2, 2.1, (10,) * 3, "enough before 10 (90 %)"),
        ([[9.0, 4.0, 1.0, 0.2], [9.0, 1.0, 0.5, 0.4]], 0.5, (55, 14, None), "is open: measure on."),
    ],
    ids=[
        "falls",
        "before the first",
        "last equals",
        "equals",
        "price",
        "peak equals",
        "below peak",
        "open",
    ],
)
def test_k_and_its_words(curves, tolerance, K, words):
    """K by hand: the line between two k on log-log axes."""
    explorer = EnoughExplorer(KS, curves, tolerance)
    assert ends(explorer.enough()) == K
    assert words in explorer.sentence()


positive = st.floats(1e-9, 1e3)
heights = st.just(0.0) | positive | st.sampled_from([1e-3, 1.0])
tables = st.integers(1, 7).flatmap(
    lambda m: st.tuples(
        st.lists(st.integers(1, 500), min_size=m, max_size=m),
        st.lists(
            st.lists(heights, min_size=m, max_size=m),
            min_size=2, max_size=5,
        ),
    )
)  # fmt: skip


@settings(deadline=None)
@given(tables, st.sampled_from([1e-3, 1.0]) | positive)
def test_a_assert_stored_has_the_interval_of_its_curves(table, tolerance):
    """Through JSON, zeros, ties and all."""
    gaps, curves = table
    ks = np.cumsum(gaps).tolist()
    explorer = EnoughExplorer(ks, curves, tolerance)
    restored = EnoughExplorer(KS, RUNS, 1.0)
    restored.set_trait("data", json.loads(json.dumps(explorer.data, allow_nan=False)))
    restored.tolerance = tolerance
    true = ln.enough_data_interval(ks, curves, tolerance)
    for one in (explorer, restored):
        assert str(one.enough()) == str(true) and ends(one.enough()) == ends(true)


def test_a_band_of_next_samples_can_stand_in_for_that_of_runs():
    squares = torch.rand(60, 4, generator=torch.Generator().manual_seed(0)).double()
    squares = squares * torch.tensor([9.0, 2.0, 0.4, 0.1])
    low, high = bands.one_run_band(squares, torch.Generator().manual_seed(1))
    means = squares.mean(0)
    explorer = EnoughExplorer(KS, means[None], 0.5, band=(means.log(), low.log(), high.log()))
    true = ln.one_run_interval(KS, squares, 0.5, torch.Generator().manual_seed(1))
    assert ends(explorer.enough()) == ends(true)
    assert None not in ends(true)


ONE = torch.zeros(1)


@pytest.mark.parametrize(
    "arguments, options, sentence",
    [
        ((KS, RUNS, 0.0), {}, "tolerance must be positive"),
        ((KS, RUNS[:1], 1.0), {}, "at least two runs"),
        ((KS[:3], RUNS, 1.0), {}, "one number for each of the 3 ks"),
        ((KS[::-1], RUNS, 1.0), {}, "strictly increasing"),
        ((KS, RUNS, 1.0), {"level": 1.0}, "level must"),
        ((KS, RUNS, 1.0), {"band": (ONE, ONE, ONE)}, "one number for each of the 4 ks; got shapes"),
    ],
    ids=["tolerance 0", "one run", "unequal", "unsorted", "level 1", "band of one"],
)
def test_refusals(arguments, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        EnoughExplorer(*arguments, **options)


def test_a_tolerance_outside_the_picture_is_refused():
    explorer = EnoughExplorer(KS, RUNS, 1.0)
    with pytest.raises(ValueError, match=r"tolerance must lie in 0.01..100; got tolerance = 1000"):
        explorer.tolerance = 1000
    assert explorer.tolerance == 1.0


def test_the_words_of_another_unit_take_no_root():
    words = EnoughExplorer(KS, RUNS, 1.0, unit="loss").sentence()
    assert words.startswith("Tolerance 1.0e+00 loss: enough at 26")
    assert EnoughExplorer(KS, RUNS, 0.04).sentence().startswith(
        "Tolerance 4.0e-02 loss\u00b2 (one more sample moves the loss by about 0.2): "
    )  # fmt: skip


def test_what_is_stored_shows_and_says_the_state():
    explorer = EnoughExplorer(KS, RUNS, 1.0)
    assert_stored(explorer, "enough_explorer")
    assert explorer.state()["tolerance"] == 1.0


# -- in a browser ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def opened(browser, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    browser.get(page({"enough": EnoughExplorer(KS, RUNS, 1.0)}, path).as_uri())
    return browser


def tie(random):
    """Round heights, so that curves touch the tolerance, and a tolerance that is one of them."""
    heights = 10.0 ** random.integers(-4, 2, size=random.integers(1, 7))
    return np.tile(heights, (2, 1)), float(random.choice(heights))


def scattered(random):
    heights = 10.0 ** np.cumsum(random.normal(-0.4, 0.7, size=random.integers(1, 8)))
    return heights * 10.0 ** random.normal(0, 0.3, size=(4, len(heights))), 10 ** random.normal(-1)


def with_zeros(random):
    curves, tolerance = scattered(random)
    return curves * (random.uniform(size=curves.shape[1]) < 0.6), tolerance


TABLES = """
    const {numbers, sentence} = window.landscapeExplorables.enough_explorer;
    return arguments[0].map(state => {
      const found = numbers(state);
      return [found, sentence(state, found)];
    });"""


@needs_browser
@pytest.mark.parametrize("draw", [tie, scattered, with_zeros], ids=lambda draw: draw.__name__)
def test_the_browser_s_k_is_the_package_s(draw, opened):
    """To the sample, on 200 tables; each kind of answer occurs."""
    random = np.random.default_rng(0)
    explorers = []
    for _ in range(200):
        curves, tolerance = draw(random)
        ks = np.cumsum(random.integers(1, 300, size=curves.shape[1])).tolist()
        explorers.append(EnoughExplorer(ks, curves.tolist(), tolerance))
    told = opened.execute_script(TABLES, [one.state() for one in explorers])
    for one, (found, sentence) in zip(explorers, told, strict=True):
        assert found == one.numbers()
        assert sentence == one.sentence()
    reached = [one.enough() for one in explorers]
    assert any(e.K is None for e in reached) and any(e.K == e.first for e in reached)
    assert any(e.K not in (None, e.first) for e in reached)


@pytest.fixture
def fresh(opened):
    """The page anew: the explorable at its first tolerance."""
    opened.refresh()
    return opened


def knob(driver):
    found = root(driver, "enough").find_element(By.CSS_SELECTOR, ".ln-knob")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", found)
    return found


def tolerance(driver):
    """In the state, where the words and the line on the picture must have it too."""
    state, words = shown(driver, "enough")
    twin = twin_at(EnoughExplorer(KS, RUNS, 1.0), state)
    assert words == twin.sentence()
    drawn, at = off_the_picture(driver, "enough")["tolerance"]
    np.testing.assert_allclose(drawn, at(*enough_marks(twin)["tolerance"]), atol=0.05)
    return state["tolerance"]


@needs_browser
@pytest.mark.parametrize(
    "keys, expected",
    [
        (Keys.ARROW_UP, 10**0.05),
        (Keys.ARROW_LEFT * 2, 10**-0.1),
        (Keys.PAGE_DOWN, 10**-0.5),
        (Keys.HOME, 0.01),
        (Keys.END, 100.0),
        (Keys.END + Keys.PAGE_UP, 100.0),
    ],
    ids=["up", "left twice", "page down", "home", "end", "not beyond"],
)
def test_the_line_moves_by_keys(keys, expected, fresh):
    knob(fresh).send_keys(keys)
    assert tolerance(fresh) == pytest.approx(expected, rel=1e-9)
    assert knob(fresh).get_attribute("aria-valuetext") == f"{expected:.1e}"
    place = knob(fresh).get_attribute("aria-valuenow")  # in decades: 1e-8 is no number for aria
    assert float(place) == pytest.approx(np.log10(expected), abs=1e-9)


@needs_browser
@pytest.mark.parametrize("device", ["mouse on the knob", "mouse on the line", "finger"])
def test_the_line_is_dragged(device, fresh):
    """Down by 60 pixels: so many decades as the axis has there."""
    target = knob(fresh)
    if device == "finger":
        finger = ActionBuilder(fresh, mouse=PointerInput("touch", "finger"), duration=20)
        finger.pointer_action.move_to(target).pointer_down().move_to(target, 0, 60).pointer_up()
        finger.perform()
    else:
        aside = -250 if "line" in device else 0
        drag = ActionChains(fresh, duration=20).move_to_element_with_offset(target, aside, 0)
        drag.click_and_hold().move_by_offset(0, 60).release().perform()
    found = tolerance(fresh)
    units = fresh.execute_script(
        """const plot = arguments[0].querySelector('.ln-plot');
        return plot.viewBox.baseVal.height / plot.getBoundingClientRect().height;""",
        root(fresh, "enough"),
    )
    decades = 60 * units / ((360 - 32 - 52) / 4)
    assert np.log10(found) == pytest.approx(-decades, abs=0.01)


@needs_browser
def test_a_finger_on_the_line_scrolls_and_the_knob_is_large_enough(fresh):
    size = knob(fresh).size
    assert min(size["width"], size["height"]) >= 44
    strip = root(fresh, "enough").find_element(By.CSS_SELECTOR, ".ln-strip")
    assert strip.value_of_css_property("touch-action") == "pan-y"
    finger = ActionBuilder(fresh, mouse=PointerInput("touch", "finger"), duration=20)
    finger.pointer_action.move_to(strip, -100, 0).pointer_down().move_to(strip, -100, 60)
    finger.pointer_action.pointer_up()
    finger.perform()
    assert shown(fresh, "enough")[0]["tolerance"] == 1.0
