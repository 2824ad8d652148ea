"""Numbers in words: words.js writes them as Python's format() does, ties and all."""

import random

from browser import needs_browser

from landscape_nb.widgets.es_modules import _value

pytestmark = needs_browser
TIES = [
    0.5,
    1.5,
    2.5,
    0.125,
    0.375,
    -0.125,
    1e22,
    0.0,
    -0.0,
    9.995,
    9.5,
    99.5,
    1e-5,
    0.0001,
    5e-324,
]
WRITE = """
    const {fixed, scientific, general} = $words;
    return arguments[0].map(([text, digits]) => {
      const x = Number(text);
      return [fixed(x, digits), scientific(x, digits), general(x, digits + 1)];
    });"""


def numbers():
    generator = random.Random(0)
    drawn = [generator.choice([-1, 1]) * 10 ** generator.uniform(-12, 12) for _ in range(500)]
    quarters = [
        generator.randrange(-4000, 4000) / 2 ** generator.randrange(1, 9) for _ in range(500)
    ]
    return [*TIES, *drawn, *quarters, float("inf"), float("-inf"), float("nan")]


def test_numbers_are_written_as_python_writes_them(browser):
    asked = [(x, digits) for x in numbers() for digits in (0, 1, 2, 3, 6)]
    script = _value("words") + WRITE
    told = browser.execute_script(script, [(js(x), digits) for x, digits in asked])
    right = [[f"{x:.{d}f}", f"{x:.{d}e}", f"{x:.{d + 1}g}"] for x, d in asked]
    assert [(a, t, r) for a, t, r in zip(asked, told, right, strict=True) if t != r] == []


def js(x):
    """The same number in JavaScript's spelling."""
    return repr(x).replace("inf", "Infinity").replace("nan", "NaN")
