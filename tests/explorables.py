"""One table of explorables, and a page with them: what their tests in a browser share.

EXAMPLES names for each ES module a function that draws a random state of its explorable, and
STEPS the settings that a slider moves.
"""

import json
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path

import numpy as np

from landscape_nb.widgets import BowlExplorer, OneMoreSample
from landscape_nb.widgets.es_modules import page_script, page_style
from landscape_nb.widgets.explorable import Explorable


def bowl(random: np.random.Generator) -> BowlExplorer:
    lr, kappa = random.uniform(0.1, 2.4), 50 ** random.uniform()
    return BowlExplorer(lr=lr, kappa=kappa, steps=int(random.integers(1, 60)))


def line(random: np.random.Generator) -> OneMoreSample:
    n = int(random.integers(3, 130))
    x, y = random.uniform(-2, 2, n), random.normal(0.5, 1.5, n)
    explorer = OneMoreSample(x, y, k=2, window=((-0.4, 2.0), (-0.7, random.uniform(1, 2))))
    explorer.order = int(random.choice([0, 1, random.integers(2**32)]))
    for _ in range(random.integers(4)):
        explorer.add(random.uniform(-2, 2), random.uniform(-4, 4))
        explorer.k = int(random.integers(2, n))
    return explorer


EXAMPLES: dict[str, Callable[[np.random.Generator], Explorable]] = {
    "bowl_explorer": bowl,
    "one_more_sample": line,
}
# settings that a slider moves, from top to bottom
STEPS: dict[str, list[str]] = {
    "bowl_explorer": ["lr", "kappa"],
    "one_more_sample": ["k"],
}


def bowl_marks(one: BowlExplorer) -> dict[str, tuple]:
    (x, y), parts = one.path().T, one.numbers()
    count = range(len(x))
    heights = {"loss": parts["losses"], "x": parts["parts"][0], "y": parts["parts"][1]}
    return {"path": (x, y), **{name: (count, line) for name, line in heights.items()}}


def line_marks(one: OneMoreSample) -> dict[str, tuple]:
    found, ends, ks = one.numbers(), np.array(one.data["view"][0]), np.arange(2, one.numbers()["n"])
    lines = {when: (ends, found[when][0] * ends + found[when][1]) for when in ("before", "after")}
    average = found["spread"] / (ks * (ks + 1))
    here = ([one.k] * 2, one.data["limits"])
    return {**lines, "order": (ks, found["changes"]), "average": (ks, average), "here": here}


# lines of the picture and where Python has them: name -> (xs, ys), in data units
MARKS: dict[str, Callable[[Explorable], dict[str, tuple]]] = {
    "bowl_explorer": bowl_marks,
    "one_more_sample": line_marks,
}

PAGE = """<!doctype html><html lang="en"{theme}><meta charset="utf-8"><title>Explorables</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root {{ color-scheme: light dark; }}
[data-theme=light] {{ color-scheme: light; }} [data-theme=dark] {{ color-scheme: dark; }}
body {{ margin: 0 auto; padding: 1rem; max-width: 62rem; background: Canvas; color: CanvasText; }}
{style}</style>
<main><h1>Explorables</h1>{figures}</main><script>{script}</script></html>"""


def figure(name: str, explorable: Explorable) -> str:
    """An explorable's place in a page, as the exported pages have it."""
    stored = explorable._repr_mimebundle_()[1]["explorable"]
    state = json.dumps(stored["state"]).replace("<", "\\u003c")
    return (
        f'<figure class="explorable" id="{escape(name)}" data-module="{stored["module"]}">'
        f'<script type="application/json">{state}</script></figure>'
    )


def page(shown: Mapping[str, Explorable], path: Path, theme: str = "") -> Path:
    """Write a page with these explorables, by the ids that they shall have; returns its path."""
    path.write_text(
        PAGE.format(
            theme=f' data-theme="{theme}"' if theme else "",
            style=page_style(),
            figures="".join(figure(name, one) for name, one in shown.items()),
            script=page_script().replace("</script", "<\\/script"),
        ),
        "utf-8",
    )
    return path
