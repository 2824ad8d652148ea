"""One table of explorables, and a page with them: what their tests in a browser share.

EXAMPLES names for each ES module a function that draws a random state of its explorable, and
STEPS the settings that a slider moves.
"""

import base64
import dataclasses
import json
from collections.abc import Callable, Mapping
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from selenium.webdriver.remote.webdriver import WebDriver

import landscape_nb as ln
from landscape_nb.course import CourseMap
from landscape_nb.course.contents import notebooks
from landscape_nb.figures import plots
from landscape_nb.problems.checkpoints import TrainingRun
from landscape_nb.theory.surfaces import Surfaces
from landscape_nb.theory.tables import MomentTable
from landscape_nb.widgets import (
    BowlExplorer,
    DirectionExplorer,
    EnoughExplorer,
    Explorer,
    LandscapeExplorer,
    NextDigit,
    NextParabola,
    OneMoreSample,
    RitzExplorer,
    SpectrumExplorer,
    StepExplorer,
    SurfaceExplorer,
    TextExplorer,
)
from landscape_nb.widgets.es_modules import page_script, page_style
from landscape_nb.widgets.explorable import Explorable


def bowl(random: np.random.Generator) -> BowlExplorer:
    lr, kappa = random.uniform(0.1, 2.4), 50 ** random.uniform()
    return BowlExplorer(lr=lr, kappa=kappa, steps=int(random.integers(1, 60)))


def parabola(random: np.random.Generator) -> NextParabola:
    place, curvature = random.uniform(-2, 2), random.uniform(0, 4)
    return NextParabola(int(random.integers(1, 61)), place, curvature)


def direction(random: np.random.Generator) -> DirectionExplorer:
    """Bowls, a saddle and a trough, at whole angles and at any."""
    A = random.normal(size=(2, 2))
    surfaces = {"bowl": A @ A.T, "any": A + A.T, "saddle": np.diag([2.0, -2.0]), "round": np.eye(2)}
    angle = random.choice([random.uniform(0, 360), 45.0 * random.integers(9)])
    return DirectionExplorer(surfaces, angle=angle, surface=random.choice(list(surfaces)).item())


def ritz(random: np.random.Generator) -> RitzExplorer:
    """A Lanczos run on random eigenvalues; residuals from the last row of the eigenvectors."""
    true = np.sort(random.normal(size=60))
    q, *_ = np.linalg.qr(np.vander(true, 13, increasing=True) * random.normal(size=(60, 1)))
    T = q.T @ (true[:, None] * q)
    pairs = [np.linalg.eigh(T[:m, :m]) for m in range(1, 13)]
    values, vectors = zip(*pairs, strict=True)
    residuals = [abs(T[m, m - 1] * V[-1]) for m, V in enumerate(vectors, 1)]
    m, tolerance = int(random.integers(1, 13)), 10 ** random.uniform(-9, -1)
    return RitzExplorer(true, values, residuals, m, tolerance)


def spectrum(random: np.random.Generator) -> SpectrumExplorer:
    steps = np.cumsum(random.integers(1, 9, size=6)).tolist()
    spectra = 2 * random.normal(size=(6, 90)) ** 5
    spectra[:, 0] = 3.0
    spectra = -np.sort(-spectra)
    losses, places = np.sort(random.uniform(0, 3, 6))[::-1], random.integers(1, 20, size=6)
    return SpectrumExplorer(steps, spectra, losses, places, int(random.choice(steps)))


def enough(random: np.random.Generator) -> EnoughExplorer:
    """Curves that fall, jump or stay, with zeros; a tolerance anywhere, or that equals a mean."""
    m, R = int(random.integers(4, 9)), int(random.integers(2, 6))
    ks = np.cumsum(random.integers(1, 60, size=m))
    shape = (ks / ks[0]) ** random.uniform(-3, 0.5) * 10 ** random.normal(0, 0.3, size=m)
    curves = shape * 10 ** random.normal(0, random.uniform(0, 0.5), size=(R, m))
    curves[:, random.uniform(size=m) < 0.1] = 0.0  # at a k all runs, and so their mean
    heights = [*curves.mean(0)[curves.mean(0) > 0], random.choice([1e-9, 1e9])]
    tolerance = random.choice([*heights, 10 ** random.uniform(-3, 1)])
    return EnoughExplorer(ks.tolist(), curves.tolist(), float(tolerance))


@cache
def digits_and_minimum(seed: int, k: int) -> tuple[ln.EmpiricalLoss, torch.Tensor, torch.Tensor]:
    """A small network's loss on 60 digits, roughly trained on k of them, and eight directions."""
    generator = torch.Generator().manual_seed(seed)
    model = ln.models.MLP([64, 4, 10], generator=generator)
    entropy = torch.nn.CrossEntropyLoss(reduction="none")
    loss = ln.EmpiricalLoss(model, entropy, *ln.data.digits(60, seed=seed), l2=1e-2)
    w = ln.fit(loss, k, tol=1e-1, progress=False).w
    return loss, w, ln.random_subspace(len(w), 8, generator)


def next_digit(random: np.random.Generator) -> NextDigit:
    seed, k = int(random.integers(4)), int(random.integers(1, 3)) * 20
    loss, w, U = digits_and_minimum(seed, k)
    shown = NextDigit(loss, w, k, U, digit=int(random.integers(10)), sigma=random.uniform(1e-4, 1))
    shown.D = int(random.integers(1, 9))
    return shown


def line(random: np.random.Generator) -> OneMoreSample:
    n = int(random.integers(3, 130))
    x, y = random.uniform(-2, 2, n), random.normal(0.5, 1.5, n)
    explorer = OneMoreSample(x, y, k=2, window=((-0.4, 2.0), (-0.7, random.uniform(1, 2))))
    explorer.order = int(random.choice([0, 1, random.integers(2**32)]))
    for _ in range(random.integers(4)):
        explorer.add(random.uniform(-2, 2), random.uniform(-4, 4))
        explorer.k = int(random.integers(2, n))
    return explorer


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


@cache
def reading(seed: int) -> TrainingRun:
    """Random weights of a small transformer at five stages, and random text, nine held out."""
    signs = "e \n\"a'\u201c<&\u00e9t"
    config = ln.models.TransformerConfig(len(signs), 12, 8, 1, 2, 1, 16)
    generator = torch.Generator().manual_seed(seed)
    sequences = torch.randint(len(signs), (20, 13), generator=generator)
    sizes = torch.tensor([0.0, 0.1, 0.3, 1.0, 2.0])[:, None]
    weights = (sizes * torch.randn(5, config.num_params, generator=generator)).half().float()
    return TrainingRun(config, signs, sequences, [2, 4, 8, 11, 11], [1, 2, 3, 4, 5], weights, seed)


def text(random: np.random.Generator) -> TextExplorer:
    shown = TextExplorer(reading(int(random.integers(3))), text=int(random.integers(6)))
    shown.stage, shown.place = int(random.integers(5)), int(random.integers(1, 13))
    return shown


def course_map(random: np.random.Generator) -> CourseMap:
    numbers = [one.number for one in notebooks()]
    states = dict(zip(numbers, random.choice(["begun", "done", ""], len(numbers)), strict=True))
    done = {number: str(state) for number, state in states.items() if state}
    return CourseMap(str(random.choice(numbers)), done)


EXAMPLES: dict[str, Callable[[np.random.Generator], Explorable]] = {
    "bowl_explorer": bowl,
    "course_map": course_map,
    "direction_explorer": direction,
    "ritz_explorer": ritz,
    "spectrum_explorer": spectrum,
    "enough_explorer": enough,
    "next_digit": next_digit,
    "next_parabola": parabola,
    "one_more_sample": line,
    "explorer": explorer,
    "step_explorer": step,
    "landscape_explorer": landscape,
    "surface_explorer": surface,
    "text_explorer": text,
}
# settings that a slider moves, from top to bottom
STEPS: dict[str, list[str]] = {
    "bowl_explorer": ["lr", "kappa"],
    "course_map": [],
    "direction_explorer": ["angle"],
    "ritz_explorer": ["m", "tolerance"],
    "spectrum_explorer": ["step"],
    "enough_explorer": ["tolerance"],
    "next_digit": ["D", "sigma"],
    "next_parabola": ["k", "place", "curvature"],
    "one_more_sample": ["k"],
    "explorer": ["D", "sigma"],
    "step_explorer": ["alpha", "damping"],
    "landscape_explorer": ["k"],
    "surface_explorer": ["k", "azimuth", "elevation"],
    "text_explorer": ["stage"],
}


def bowl_marks(one: BowlExplorer) -> dict[str, tuple]:
    (x, y), parts = one.path().T, one.numbers()
    count, inside = range(len(x)), None if parts["left"] is None else parts["left"] + 1
    heights = {"loss": parts["losses"], "x": parts["parts"][0], "y": parts["parts"][1]}
    return {
        "path": (x[:inside], y[:inside]),
        **{name: (count, line) for name, line in heights.items()},
    }


def direction_marks(one: DirectionExplorer) -> dict[str, tuple]:
    found, (x, y) = one.numbers(), np.array(one.numbers()["u"])
    return {
        "walk": ([-2 * x, 2 * x], [-2 * y, 2 * y]),
        "parabola": (found["steps"], found["parabola"]),
        "around": (np.arange(0, 361, 3), found["around"]),
        "drop": ([one.angle] * 2, [0, found["curvature"]]),
    }


def enough_marks(one: EnoughExplorer) -> dict[str, tuple]:
    ks, band = one.data["ks"], np.exp(one._logs())
    ends = ks[0] / 1.15, ks[-1] * 1.15
    # zero has no place on a log axis: a curve that touches it leaves the picture
    curves = {"mean": (ks, band[0]), "edge": (ks, band[2])} if band.all() else {}
    return {"tolerance": (ends, [one.tolerance] * 2), **curves}


def next_digit_marks(one: NextDigit) -> dict[str, tuple]:
    data, found = one.data, one.numbers()
    rank = data["digits"][one.digit]["rank"]
    heights = [found["before"], found["before"] + found["increment"]]
    return {
        "before": (data["steps"], data["before"]),
        "after": (data["steps"], found["after"]),
        "increment": ([0, 0], heights),
        "losses": (np.arange(len(data["losses"])) + 1, data["losses"]),
        "drop": ([rank, rank], [0, found["loss"]]),
    }


def parabola_marks(one: NextParabola) -> dict[str, tuple]:
    found = one.numbers()
    curves = {name: (found["w"], found[name]) for name in ("before", "sample", "after", "change")}
    ends = np.array([-0.8, 0.8])
    return {**curves, "slope": (ends, found["value"] + found["slope"] * ends)}


def ritz_marks(one: RitzExplorer) -> dict[str, tuple]:
    missed, (first, last) = one.data["missed"], one.data["ranges"]["m"]
    curves = {**missed, "residual": [row[-1] for row in one.data["residuals"]]}
    steps = np.arange(first, last + 1)
    # zero has no place on a log axis: what is exact leaves the picture
    drawn = {name: (steps, curve) for name, curve in curves.items() if all(curve)}
    return {"tolerance": ([first, last + 0.5], [one.tolerance] * 2), **drawn}


def spectrum_marks(one: SpectrumExplorer) -> dict[str, tuple]:
    heights = one.data["losses"]
    return {
        "loss": (one.data["steps"], heights),
        "step": ([one.step] * 2, [0, 1.08 * max(heights)]),
    }


def line_marks(one: OneMoreSample) -> dict[str, tuple]:
    found, ends, ks = one.numbers(), np.array(one.data["view"][0]), np.arange(2, one.numbers()["n"])
    lines = {when: (ends, found[when][0] * ends + found[when][1]) for when in ("before", "after")}
    average = found["spread"] / (ks * (ks + 1))
    here = ([one.k] * 2, one.data["limits"])
    return {**lines, "order": (ks, found["changes"]), "average": (ks, average), "here": here}


def explorer_marks(shown: Explorable) -> dict[str, tuple]:
    parts = shown.numbers()["parts"]
    return {name: (shown.data["ks"], np.abs(part)) for name, part in parts.items()}


def step_marks(shown: Explorable) -> dict[str, tuple]:
    found = shown.numbers()
    return {"T": (found["sigma"], found["steps"])}


def text_marks(one: TextExplorer) -> dict[str, tuple]:
    stages = range(len(one.data["stages"]))
    means = [stage["mean"] for stage in one.data["stages"]]
    return {"loss": (stages, one.numbers()["losses"]), "mean": (stages, means)}


# lines of the picture and where Python has them: name -> (xs, ys), in data units; contour lines and
# corners in perspective have tests of their own
MARKS: dict[str, Callable[[Explorable], dict[str, tuple]]] = {
    "bowl_explorer": bowl_marks,
    "course_map": lambda one: {},
    "direction_explorer": direction_marks,
    "enough_explorer": enough_marks,
    "explorer": explorer_marks,
    "landscape_explorer": lambda one: {},
    "next_digit": next_digit_marks,
    "next_parabola": parabola_marks,
    "one_more_sample": line_marks,
    "ritz_explorer": ritz_marks,
    "spectrum_explorer": spectrum_marks,
    "step_explorer": step_marks,
    "surface_explorer": lambda one: {},
    "text_explorer": text_marks,
}

PAGE = """<!doctype html><html lang="en"{theme}><meta charset="utf-8"><title>Explorables</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root {{ color-scheme: light dark; }}
[data-theme=light] {{ color-scheme: light; }} [data-theme=dark] {{ color-scheme: dark; }}
body {{ margin: 0 auto; padding: 1rem; max-width: 62rem; background: Canvas; color: CanvasText; }}
{style}</style>
<main><h1>Explorables</h1>{figures}</main><script>{script}</script></html>"""


def stored_state(metadata: Mapping) -> tuple[str, dict]:
    """Module and state that a stored output carries for the exported page."""
    stored = metadata["explorable"]
    return stored["module"], json.loads(stored["state"])


def assert_stored(explorable: Explorable, module: str) -> dict:
    """The output that a notebook keeps: a still picture, its words, the state; returns the data."""
    data, metadata = explorable._repr_mimebundle_()
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert data["text/plain"] == f"{explorable.purpose()} {explorable.sentence()}"
    assert metadata["image/png"]["alt"] == data["text/plain"]
    assert stored_state(metadata) == (module, explorable.state())
    return data


def figure(name: str, explorable: Explorable) -> str:
    """An explorable's place in a page, as the exported pages have it."""
    stored = explorable._stored()  # of the output, without its still picture
    state = stored["state"].replace("<", "\\u003c")
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
