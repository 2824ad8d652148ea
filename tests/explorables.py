"""One table of explorables, and a page with them: what their tests in a browser share.

EXAMPLES names for each ES module a function that draws a random state of its explorable, and
STEPS the settings that a slider moves.
"""

import json
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path

import numpy as np
import torch

from landscape_nb.theory.surfaces import Surfaces
from landscape_nb.widgets import BowlExplorer, LandscapeExplorer, SurfaceExplorer
from landscape_nb.widgets.es_modules import page_script, page_style
from landscape_nb.widgets.explorable import Explorable


def bowl(random: np.random.Generator) -> BowlExplorer:
    lr, kappa = random.uniform(0.1, 2.4), 50 ** random.uniform()
    return BowlExplorer(lr=lr, kappa=kappa, steps=int(random.integers(1, 60)))


def planes(random: np.random.Generator) -> dict[str, Surfaces]:
    """A bumpy bowl and a floor, and changes that pass through zero, on few points."""
    ks, size = [3, 5, 8, 12, 20, 30, 50, 80], int(random.choice([5, 7, 9]))
    steps = torch.linspace(-1, 1, size, dtype=torch.float64)
    bowl = 4 * steps[:, None] ** 2 + steps**2 + 0.2
    noise = torch.as_tensor(random.uniform(-1, 1, (4, len(ks), size, size)))
    found = {}
    for name, values, change in (
        ("top", bowl + 0.1 * noise[0], noise[1] / 10),
        ("random", 0.3 + 0.01 * noise[2], noise[3] / 1000),
    ):
        found[name] = Surfaces(torch.tensor(ks), steps, steps, values, change)
    return found


def surface(random: np.random.Generator) -> SurfaceExplorer:
    explorer = SurfaceExplorer(
        planes(random), azimuth=random.uniform(-180, 180), elevation=random.uniform(0, 90)
    )
    for name, values in (("k", "ks"), ("plane", "names"), ("quantity", "quantities")):
        setattr(explorer, name, random.choice(explorer.data[values]).item())
    return explorer


def landscape(random: np.random.Generator) -> LandscapeExplorer:
    return LandscapeExplorer(planes(random), k=random.choice([3, 8, 80]).item())


EXAMPLES: dict[str, Callable[[np.random.Generator], Explorable]] = {
    "bowl_explorer": bowl,
    "landscape_explorer": landscape,
    "surface_explorer": surface,
}
# settings that a slider moves, from top to bottom
STEPS: dict[str, list[str]] = {
    "bowl_explorer": ["lr", "kappa"],
    "landscape_explorer": ["k"],
    "surface_explorer": ["k", "azimuth", "elevation"],
}


def bowl_marks(one: BowlExplorer) -> dict[str, tuple]:
    (x, y), parts = one.path().T, one.numbers()
    count = range(len(x))
    heights = {"loss": parts["losses"], "x": parts["parts"][0], "y": parts["parts"][1]}
    return {"path": (x, y), **{name: (count, line) for name, line in heights.items()}}


# lines of the picture and where Python has them: name -> (xs, ys), in data units; contour lines and
# corners in perspective have tests of their own
MARKS: dict[str, Callable[[Explorable], dict[str, tuple]]] = {
    "bowl_explorer": bowl_marks,
    "landscape_explorer": lambda one: {},
    "surface_explorer": lambda one: {},
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
