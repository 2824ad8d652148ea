"""One table of explorables, and a page with them: what their tests in a browser share.

EXAMPLES names for each ES module a function that draws a random state of its explorable, and
STEPS the settings that a slider moves.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from selenium.webdriver.remote.webdriver import WebDriver

from landscape_nb.figures import plots
from landscape_nb.theory.tables import MomentTable
from landscape_nb.widgets import BowlExplorer, Explorer, StepExplorer
from landscape_nb.widgets.es_modules import page_script, page_style
from landscape_nb.widgets.explorable import Explorable


def bowl(random: np.random.Generator) -> BowlExplorer:
    lr, kappa = random.uniform(0.1, 2.4), 50 ** random.uniform()
    return BowlExplorer(lr=lr, kappa=kappa, steps=int(random.integers(1, 60)))


def moments(random: np.random.Generator, value: torch.Tensor, size: float, D: int) -> MomentTable:
    """Nested coefficients that fall with k; the cross part has both signs."""
    K = len(value)
    part = [size * torch.tensor(random.lognormal(size=(K, D))).cumsum(1) / D for _ in range(3)]
    sign = torch.tensor(random.choice([-1, 1], (K, D)))
    cross, gradient, curvature = (one * value[:, None] for one in part)
    return MomentTable(2 ** torch.arange(1, K + 1), value, 0.3 * sign * cross, gradient, curvature)


def explorer(random: np.random.Generator) -> Explorer:
    K, D = int(random.integers(1, 9)), int(random.integers(2, 7))
    value = torch.tensor(random.lognormal(size=K) / 4.0 ** np.arange(K))
    probes = {name: moments(random, value, size, D) for name, size in (("top", 3), ("random", 0.2))}
    full = moments(random, value, 5.0, 1)
    if random.uniform() < 0.5:  # the full space is an estimate
        error = 10 ** random.uniform(-3, 0) * full.curvature
        full = dataclasses.replace(full, curvature_stderr=error, cross_stderr=error / 3)
    k = 2 ** int(random.integers(1, K + 1)) if random.uniform() < 0.5 else None
    first = int(random.integers(1, D + 1))
    return Explorer(probes, full, D=first, sigma=10 ** random.uniform(-4, 0), k=k)


def step(random: np.random.Generator) -> StepExplorer:
    alpha = random.choice([0.0, 1.0, random.uniform(0, 2)])
    return StepExplorer(alpha=alpha, damping=random.choice([1.0, 10 ** random.uniform(-6, 2)]))


EXAMPLES: dict[str, Callable[[np.random.Generator], Explorable]] = {
    "bowl_explorer": bowl,
    "explorer": explorer,
    "step_explorer": step,
}
# settings that a slider moves, from top to bottom
STEPS: dict[str, list[str]] = {
    "bowl_explorer": ["lr", "kappa"],
    "explorer": ["D", "sigma"],
    "step_explorer": ["alpha", "damping"],
}


def bowl_marks(one: BowlExplorer) -> dict[str, tuple]:
    (x, y), parts = one.path().T, one.numbers()
    count = range(len(x))
    heights = {"loss": parts["losses"], "x": parts["parts"][0], "y": parts["parts"][1]}
    return {"path": (x, y), **{name: (count, line) for name, line in heights.items()}}


def explorer_marks(shown: Explorable) -> dict[str, tuple]:
    parts = shown.numbers()["parts"]
    return {name: (shown.data["ks"], np.abs(part)) for name, part in parts.items()}


def step_marks(shown: Explorable) -> dict[str, tuple]:
    found = shown.numbers()
    return {"T": (found["sigma"], np.clip(found["steps"], 1e-5, 1e3))}


# lines of the picture and where Python has them: name -> (xs, ys), in data units
MARKS: dict[str, Callable[[Explorable], dict[str, tuple]]] = {
    "bowl_explorer": bowl_marks,
    "explorer": explorer_marks,
    "step_explorer": step_marks,
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


def still_figure(explorable: Explorable, monkeypatch: pytest.MonkeyPatch) -> Figure:
    """The figure that an explorable's still picture is made of."""
    found: list[Figure] = []
    with monkeypatch.context() as patch:
        patch.setattr(plots, "still", lambda figure: found.append(figure) or b"")
        explorable._png()
    return found[0]


def draw(explorable: Explorable, browser: WebDriver, folder: Path, script: str) -> Any:
    """What a script finds on a page with this explorable."""
    browser.get(page({"one": explorable}, folder / "page.html").as_uri())
    return browser.execute_script(script)
