"""Every explorable in a browser, on a page without a kernel: its numbers are the package's.

The oracle is the Python class of the same name, which shares no line with the ES module.
"""

import math
import re

import numpy as np
import pytest
from browser import needs_browser
from explorables import EXAMPLES, page

from landscape_nb.widgets.es_modules import FOLDER, _values, es_module, explorables

pytestmark = needs_browser
RANDOM_STATES = 40


@pytest.fixture(scope="module")
def modules(browser, tmp_path_factory):
    """A page that holds the modules, and one explorable of each."""
    shown = {name: make(np.random.default_rng(0)) for name, make in EXAMPLES.items()}
    browser.get(page(shown, tmp_path_factory.mktemp("page") / "page.html").as_uri())
    return browser


FOUND = """
    const module = window.landscapeExplorables[arguments[0]];
    return arguments[1].map(state => {
      const numbers = module.numbers(state);
      // what JSON has no word for travels as text
      const told = JSON.stringify(numbers, (_, v) =>
        typeof v === 'number' && !Number.isFinite(v) ? String(v) : v);
      return [told, module.sentence(state, numbers)];
    });"""


def differences(one, other, path=""):
    """Where two trees of numbers differ by more than 1e-12, relative or absolute."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return [d for key in one for d in differences(one[key], other[key], f"{path}.{key}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [d for i, pair in pairs for d in differences(*pair, f"{path}[{i}]")]
    if isinstance(one, str) and one in ("NaN", "Infinity", "-Infinity"):
        one = float(one)
    if isinstance(one, int | float) and isinstance(other, int | float):
        same = one == other or math.isclose(one, other, rel_tol=1e-12, abs_tol=1e-300)
        same = same or (math.isnan(one) and math.isnan(other))
    else:
        same = type(one) is type(other) and one == other
    return [] if same else [f"{path}: {one!r} in the browser, {other!r} in Python"]


def test_differences_are_found():
    assert differences({"a": [1.0, 2.0]}, {"a": [1.0, 2.0 + 1e-13]}) == []
    assert differences({"a": [1.0, 2.0]}, {"a": [1.0, 2.0 + 1e-11]}) != []
    assert differences({"a": 1}, {"b": 1}) and differences([1], [1, 2]) and differences("x", 1)


@pytest.mark.parametrize("name", EXAMPLES)
def test_numbers_and_words_are_those_of_python(name, modules):
    import json

    random = np.random.default_rng(1)
    shown = [EXAMPLES[name](random) for _ in range(RANDOM_STATES)]
    told = modules.execute_script(FOUND, name, [one.state() for one in shown])
    for one, (numbers, sentence) in zip(shown, told, strict=True):
        assert differences(json.loads(numbers), one.numbers()) == []
        assert sentence == one.sentence()


def test_every_module_is_tried():
    questions = {"prediction", "quiz"}  # which compute nothing
    assert list(EXAMPLES) and set(EXAMPLES) == set(explorables()) - questions


TWICE = """
    const [text, states, done] = arguments;
    const shown = async (state) => {  // each loads the module for itself, as in a notebook
      const module = await import(URL.createObjectURL(new Blob([text], {type: 'text/javascript'})));
      const model = {get: (name) => state[name], set() {}, save_changes() {}, on() {}, off() {}};
      const el = document.body.appendChild(document.createElement('div'));
      module.default.render({model, el});
      return [...el.querySelectorAll('input[type=radio]')].map((radio) => radio.name);
    };
    Promise.all(states.map(shown)).then(done, (error) => done(String(error)));"""


@pytest.mark.parametrize("name", EXAMPLES)
def test_radio_buttons_of_two_in_one_notebook_are_apart(name, modules):
    """One name would make one group of both: to choose in one would clear the other."""
    state = EXAMPLES[name](np.random.default_rng(0)).state()
    one, other = modules.execute_async_script(TWICE, es_module(name), [state, state])
    assert not {*one} & {*other}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.js")), ids=lambda path: path.stem)
def test_imports_and_exports_are_of_the_kind_that_is_understood(path):
    """Anything else would stay in the text, and no browser would load it."""
    from landscape_nb.widgets import es_modules

    text = es_modules._value(path.stem)
    assert not re.findall(r"^\s*(?:import|export)\b.*", text, re.MULTILINE)


def test_two_kinds_of_explorables_in_one_notebook_share_no_clipping_path(browser):
    """There each brings its own copy of the drawing module; the page has one name for one box."""
    plot = "$drawing.axes({width: 300, height: 300, x: {range: [0, 1]}, y: {range: [0, 1]}})"
    clip = f"return {plot}.node.querySelector('clipPath').id;"
    script = _values(["drawing"]) + clip
    assert len({browser.execute_script(script) for _ in range(3)}) == 3
