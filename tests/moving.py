"""Move explorables in a browser by keys, mouse and touch, and read what they then show."""

import re
import time

import numpy as np
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.common.by import By

from landscape_nb.widgets.explorable import Explorable

STATE = """
    const {data, ...state} = arguments[0].landscapeState();
    return [state, arguments[0].querySelector('.ln-words').textContent,
            Number(arguments[0].dataset.drawn)];"""
FRAMES = """
    const done = arguments[arguments.length - 1];
    requestAnimationFrame(() => requestAnimationFrame(() => done(null)));"""
# A front end that has just got another width or theme goes on laying itself out for some frames,
# and JupyterLab draws a curtain over everything meanwhile.
AT_REST = """
    const [part, done] = arguments, now = () => JSON.stringify(part.getBoundingClientRect());
    let [last, quiet] = [now(), 0];
    const free = ({x, y, width, height}) =>
      document.elementFromPoint(x + width / 2, y + height / 2) === part;
    const look = () => {
      const still = now() === last && free(part.getBoundingClientRect());
      quiet = still ? quiet + 1 : 0;
      last = now();
      if (quiet < 6) requestAnimationFrame(look); else done(null);
    };
    look();"""
SLIDERS = """
    return [...arguments[0].querySelectorAll('.ln-slider')].map(label => {
      const input = label.querySelector('input'), look = getComputedStyle(input);
      const box = label.getBoundingClientRect();
      return {trait: label.dataset.trait, height: box.height, left: box.left, right: box.right,
              said: input.getAttribute('aria-valuetext'),
              written: label.querySelector('output').textContent};
    });"""


def root(driver, name: str):
    """The element of the explorable in `#name` or `.name`."""
    found = driver.find_elements(
        By.CSS_SELECTOR, f"#{name} .ln-explorable, .test-{name} .ln-explorable"
    )
    assert len(found) == 1, f"{len(found)} explorables are named {name}"
    return found[0]


def slider(driver, name: str, trait: str):
    """The range input that moves a setting, scrolled into view."""
    element = root(driver, name).find_element(
        By.CSS_SELECTOR, f".ln-slider[data-trait={trait}] input"
    )
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    driver.execute_async_script(AT_REST, element)
    return element


def shown(driver, name: str) -> tuple[dict, str]:
    """Settings and words, after the frames that a move takes."""
    driver.execute_async_script(FRAMES)
    state, words, _ = driver.execute_script(STATE, root(driver, name))
    return state, words


def twin_at(twin: Explorable, state: dict) -> Explorable:
    """The twin in Python, set to the browser's settings."""
    for setting, value in state.items():
        setattr(twin, setting, value)
    return twin


def press(driver, name: str, trait: str, *keys: str) -> None:
    """Focus a slider as the Tab key would, and type."""
    element = slider(driver, name, trait)
    driver.execute_script("arguments[0].focus()", element)
    element.send_keys(*keys)


def by_mouse(driver, name: str, trait: str, share: float) -> None:
    """Press the mouse at one share of a slider's track, and drag to the middle."""
    element = slider(driver, name, trait)
    width = element.size["width"]
    actions = ActionChains(driver, duration=20)
    actions.move_to_element_with_offset(element, int((share - 0.5) * width * 0.9), 0)
    actions.click_and_hold().move_by_offset(int((0.5 - share) * width * 0.4), 0).release().perform()


def by_touch(driver, name: str, trait: str, share: float) -> None:
    """Put a finger on one share of a slider's track, and draw it towards the middle."""
    element = slider(driver, name, trait)
    finger = ActionBuilder(driver, mouse=PointerInput("touch", "finger"), duration=20)
    offset = int((share - 0.5) * element.size["width"] * 0.9)
    finger.pointer_action.move_to(element, offset, 0).pointer_down()
    finger.pointer_action.move_to(element, int(offset * 0.5), 0).pointer_up()
    finger.perform()


def wait_for(condition, message: str, patience: float = 20.0):
    """The first true value of condition(); for a front end that takes its time."""
    end = time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < end, message
        time.sleep(0.05)
    return found


MARKS = """
    const plots = [...arguments[0].querySelectorAll('svg.ln-plot')];
    return plots.filter(plot => plot.querySelector('[data-axis]')).map(plot => ({
      ticks: [...plot.querySelectorAll('[data-axis]')].map(tick => {
        const [u, v] = tick.getAttribute('d').match(/-?[\\d.]+/g).map(Number);
        const axis = tick.dataset.axis;
        return [axis, Number(tick.dataset.value), axis === 'x' ? u : v];
      }),
      marks: [...plot.querySelectorAll('path[data-mark]:not([data-part])')].map(mark =>
        [mark.dataset.mark, mark.getAttribute('d') ?? '']),
    }));"""


def off_the_picture(driver, name: str) -> dict[str, tuple]:
    """The lines of a picture by name: their places, (points, 2), and where its axes put values.

    The latter is a function of (xs, ys), learned from the ticks alone.
    """
    found = {}
    for plot in driver.execute_script(MARKS, root(driver, name)):
        x, y = (scale_of([t[1:] for t in plot["ticks"] if t[0] == axis]) for axis in "xy")
        for mark, path in plot["marks"]:
            places = np.array(re.findall(r"-?[\d.]+", path), dtype=float).reshape(-1, 2)
            found[mark] = places, lambda xs, ys, x=x, y=y: np.stack([x(xs), y(ys)], axis=1)
    return found


def scale_of(ticks: list[tuple[float, float]]):
    """From values to places along an axis, linear or logarithmic, whichever its ticks follow."""
    values, places = np.array(ticks).T
    fits = []
    for there in (np.asarray, np.log10) if (values > 0).all() else (np.asarray,):
        line = np.polyfit(there(values), places, 1)
        fits.append((np.abs(np.polyval(line, there(values)) - places).max(), line, there))
    _, line, there = min(fits, key=lambda fit: fit[0])
    return lambda at: np.polyval(line, there(np.asarray(at, dtype=float)))
