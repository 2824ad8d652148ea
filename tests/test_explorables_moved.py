"""Every explorable moved by keys, mouse and finger, on a page without a kernel.

Whatever moved it, its words must be those of the twin in Python at the same settings; on a laptop
and on a phone, in the light and in the dark.
"""

import itertools

import numpy as np
import pytest
from browser import chromium, needs_browser
from contrast import contrast
from explorables import EXAMPLES, MARKS, STEPS, page
from moving import SLIDERS, by_mouse, by_touch, off_the_picture, press, root, shown, slider, twin_at
from selenium.webdriver.common.keys import Keys

pytestmark = needs_browser
WIDTHS = {"laptop": (1366, 768), "phone": (390, 844)}
EACH = pytest.mark.parametrize("name", EXAMPLES)
SETTINGS = [(name, trait) for name in EXAMPLES for trait in STEPS[name]]
KEYS = (
    Keys.HOME, Keys.ARROW_RIGHT, Keys.PAGE_UP, Keys.ARROW_LEFT, Keys.END, Keys.ARROW_LEFT,
)  # fmt: skip


def twins():
    return {name: make(np.random.default_rng(5)) for name, make in EXAMPLES.items()}


@pytest.fixture(scope="module", params=itertools.product(WIDTHS, ["light", "dark"]), ids="-".join)
def opened(request, tmp_path_factory):
    """A page with one of each, in one width and one theme."""
    (size, theme), folder = request.param, tmp_path_factory.mktemp("page")
    width, height = WIDTHS[size]
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == "phone"}
    with chromium() as driver:
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
        driver.get(page(twins(), folder / "page.html", theme).as_uri())
        driver.size_of_page, driver.theme = size, theme
        yield driver


@EACH
def test_keys_move_every_slider_and_the_words_are_right(name, opened):
    twin = twins()[name]
    for trait in STEPS[name]:
        seen = set()
        for key in KEYS:
            press(opened, name, trait, key)
            state, words = shown(opened, name)
            assert words == twin_at(twin, state).sentence()
            seen.add(str(state[trait]))
        assert len(seen) >= 2, f"the keys do not move {trait}"


@EACH
@pytest.mark.parametrize("move", [by_mouse, by_touch])
def test_mouse_and_finger_move_every_slider(name, move, opened):
    twin = twins()[name]
    for trait in STEPS[name]:
        found = []
        for share in (0.05, 0.95):
            move(opened, name, trait, share)
            state, words = shown(opened, name)
            assert words == twin_at(twin, state).sentence()
            found.append(state[trait])
        assert found[0] != found[1], f"{move.__name__} does not move {trait}"


@EACH
def test_lines_lie_where_python_has_them(name, opened):
    state, _ = shown(opened, name)
    expected = MARKS[name](twin_at(twins()[name], state))
    drawn = off_the_picture(opened, name)
    for mark, (xs, ys) in expected.items():
        places, at = drawn[mark]
        expected_places = at(xs, ys).clip(-1e4, 1e4)  # far outside a mark is held
        assert places.shape == expected_places.shape, mark
        # in units of which a picture has some 400, written to a hundredth
        np.testing.assert_allclose(places, expected_places, atol=0.05, rtol=0, err_msg=mark)


@EACH
def test_names_values_and_focus_are_there_for_every_reader(name, opened):
    for trait in STEPS[name]:
        element = slider(opened, name, trait)
        press(opened, name, trait, Keys.ARROW_RIGHT)
        assert element.aria_role == "slider"
        assert element.accessible_name
        outline = opened.execute_script(
            "const l = getComputedStyle(arguments[0]); return [l.outlineStyle, l.outlineWidth]",
            element,
        )
        assert outline == ["solid", "2px"]
    for part in opened.execute_script(SLIDERS, root(opened, name)):
        assert part["said"] == part["written"] != ""
        assert part["height"] >= 44
    group = root(opened, name)
    assert group.aria_role == "group" and group.accessible_name == twins()[name].purpose()


STATUS = """
    const words = arguments[0].querySelectorAll('[role=status]');
    return [words.length, words[0].isConnected, words[0].getAttribute('aria-busy')];"""


@EACH
def test_one_status_has_the_words(name, opened):
    count, connected, _ = opened.execute_script(STATUS, root(opened, name))
    assert (count, connected) == (1, True)


FAULTS = """
    const root = arguments[0], faults = [], wide = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth > wide) faults.push('the page scrolls sideways');
    const seen = 'input, button, select, output, .ln-words, svg, canvas';
    for (const part of root.querySelectorAll(seen)) {
      const box = part.getBoundingClientRect();
      if (!box.width || getComputedStyle(part).visibility === 'hidden') continue;
      if (box.left < -0.5 || box.right > wide + 0.5)
        faults.push('outside: ' + part.outerHTML.slice(0, 80));
    }
    const targets = root.querySelectorAll('input, button, select, [role=slider], [role=radio]');
    for (const part of targets) {
      const box = (part.closest('label') ?? part).getBoundingClientRect();
      if (box.width && (box.width < 24 || box.height < 24))
        faults.push(`small: ${box.width} x ${box.height} ` + part.outerHTML.slice(0, 80));
    }
    return faults;"""


@EACH
def test_all_is_inside_the_window_and_large_enough_for_a_finger(name, opened):
    assert opened.execute_script(FAULTS, root(opened, name)) == []


SMALL = """
    return [...arguments[0].querySelectorAll('text, p, li, span, output, button, label')]
      .filter(part => !part.children.length && part.getClientRects().length)
      .filter(part => part.textContent.trim())
      .map(part => {
        const box = part.getBoundingClientRect(), own = parseFloat(getComputedStyle(part).fontSize);
        const svg = part.closest('svg');
        const scale = svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
        return [own * scale, part.textContent];
      }).filter(([size]) => size < 10.5);"""


@EACH
def test_words_in_the_picture_stay_large_enough_to_read(name, opened):
    assert opened.execute_script(SMALL, root(opened, name)) == []


COLOURS = """
    const channels = text => {
      const canvas = document.createElement('canvas').getContext('2d');
      canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
      return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const root = arguments[0];
    const ground = channels(getComputedStyle(document.body).backgroundColor);
    const plain = '.ln-words, .ln-number, .ln-button, .ln-slider > span, li';
    const words = [...root.querySelectorAll(plain)]
      .filter(part => part.textContent.trim() && part.getClientRects().length)
      .map(part => [part.textContent, channels(getComputedStyle(part).color)]);
    const drawn = [...root.querySelectorAll('svg text')].filter(part => part.textContent.trim())
      .map(part => [part.textContent, channels(getComputedStyle(part).fill)]);
    return [root.dataset.theme, ground, [...words, ...drawn]];"""


@EACH
def test_words_are_readable_in_the_theme_of_the_page(name, opened):
    theme, ground, words = opened.execute_script(COLOURS, root(opened, name))
    assert theme == opened.theme
    assert (contrast(ground, (0, 0, 0)) < 4.5) == (theme == "dark")
    assert words
    assert {text: colour for text, colour in words if contrast(colour, ground) < 4.5} == {}


# As a held key or a hasty hand: faster than frames come.
HURRY = """
    const done = arguments[arguments.length - 1], [root, trait, moves] = arguments;
    const input = root.querySelector(`.ln-slider[data-trait=${trait}] input`);
    const [low, high] = [Number(input.min), Number(input.max)];
    const before = Number(root.dataset.drawn);
    let made = 0;
    const move = () => {
      for (let i = 0; i < 3 && made < moves; i += 1, made += 1) {
        input.value = low + (high - low) * (0.5 - 0.5 * Math.cos(made / 7));
        input.dispatchEvent(new Event('input', {bubbles: true}));
      }
      if (made < moves) return setTimeout(move, 1000 / 60);
      requestAnimationFrame(() => requestAnimationFrame(() =>
        done(Number(root.dataset.drawn) - before)));
    };
    move();"""


@pytest.mark.parametrize(("name", "trait"), SETTINGS)
def test_two_hundred_hasty_moves_leave_no_queue(name, trait, opened):
    drawn = opened.execute_async_script(HURRY, root(opened, name), trait, 200)
    assert 1 <= drawn <= 200
    state, words = shown(opened, name)
    assert words == twin_at(twins()[name], state).sentence()


PLACES = """
    const [root, trait, done] = arguments;
    const input = root.querySelector(`.ln-slider[data-trait=${trait}] input`), places = [];
    const [low, high] = [Number(input.min), Number(input.max)];
    const words = root.querySelector('.ln-spoken');
    const move = (share) => {
      input.value = low + share * (high - low);
      input.dispatchEvent(new Event('input', {bubbles: true}));
      requestAnimationFrame(() => requestAnimationFrame(() => {
        places.push(words.nextSibling.offsetTop - words.offsetTop);
        if (share < 1) move(share + 0.125); else done(places);
      }));
    };
    move(0);"""


@pytest.mark.parametrize(("name", "trait"), SETTINGS)
def test_the_picture_stays_where_it_is_while_the_words_change(name, trait, opened):
    places = opened.execute_async_script(PLACES, root(opened, name), trait)
    assert set(places) == {places[0]}


def test_the_console_has_no_complaint(opened):
    assert [entry["message"] for entry in opened.get_log("browser")] == []
