"""The Play button, on a page without a kernel; the clock's ticks are given by hand."""

import numpy as np
import pytest
from browser import needs_browser
from explorables import EXAMPLES, page
from selenium.webdriver.common.keys import Keys

pytestmark = needs_browser
CLOCK = """
    window.setInterval = (call) => { window.tick = call; return 1; };
    window.clearInterval = () => { window.tick = null; };"""
# ticks; the frame in which they are drawn; what is shown then
TICK = """
    const [ticks, done] = arguments;
    for (let i = 0; i < ticks && window.tick; i += 1) window.tick();
    requestAnimationFrame(() => requestAnimationFrame(() => {
      const node = document.querySelector('#one');
      done([Number(node.querySelector('[data-trait=m] output').textContent),
            node.querySelector('[data-button=play]').textContent, Boolean(window.tick)]);
    }));"""
LAST = 12  # steps of the example


@pytest.fixture(scope="module")
def ticking(browser):
    browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": CLOCK})
    return browser


@pytest.fixture
def shown(ticking, tmp_path):
    """A fresh page at m = 9; a function that lets so many ticks pass and tells (m, words, on)."""
    explorer = EXAMPLES["ritz_explorer"](np.random.default_rng(0))
    explorer.m = 9
    ticking.get(page({"one": explorer}, tmp_path / "page.html").as_uri())
    return lambda ticks=0: tuple(ticking.execute_async_script(TICK, ticks))


def part(browser, chosen):
    return browser.find_element("css selector", chosen)


def press(browser, key=None):
    button = part(browser, "[data-button=play]")
    button.send_keys(key) if key else button.click()


def test_plays_to_the_end_and_stops(browser, shown):
    assert shown() == (9, "Play", False)
    press(browser)
    assert shown() == (9, "Pause", True)
    assert shown(2) == (11, "Pause", True)
    assert shown(1) == (LAST, "Play", False)
    assert shown(5) == (LAST, "Play", False)


@pytest.mark.parametrize("key", [Keys.SPACE, Keys.ENTER], ids=["Space", "Enter"])
def test_a_key_plays_and_pauses(browser, shown, key):
    press(browser, key)
    assert shown(1) == (10, "Pause", True)
    press(browser, key)
    assert shown(3) == (10, "Play", False)


def test_begins_anew_at_the_end(browser, shown):
    press(browser)
    shown(20)
    press(browser)
    assert shown() == (1, "Pause", True)
    assert shown(2) == (3, "Pause", True)


def test_stops_for_a_reader_who_moves_the_slider(browser, shown):
    press(browser)
    shown(1)
    part(browser, "[data-trait=m] input").send_keys(Keys.ARROW_LEFT)
    assert shown() == (9, "Play", False)


def test_does_not_stop_for_another_setting(browser, shown):
    press(browser)
    part(browser, "[data-trait=tolerance] input").send_keys(Keys.ARROW_LEFT)
    assert shown(1) == (10, "Pause", True)


def test_less_motion_goes_to_the_end_at_once(browser, shown):
    less = {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", less)
    try:
        browser.refresh()
        assert shown() == (9, "To the end", False)
        press(browser)
        assert shown() == (LAST, "To the end", False)
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
