"""What the explorable of a spectrum along training says, and what it refuses.

Oracle: a small network's spectra by hand-written counts and ratios, and marks read off the picture.
"""

import json
import re

import numpy as np
import pytest
from browser import needs_browser
from explorables import EXAMPLES, assert_stored, page

from landscape_nb.widgets import SpectrumExplorer

SPECTRA = [[2.0, 1.0, 0.01, 0.0, -0.03, -0.5], [4.0, 3.0, 2.9, 0.05, 0.0, -0.01]]
FINE = {"steps": [0, 10], "spectra": SPECTRA, "losses": [2.0, 0.5], "places": [2, 3]}


def test_numbers_by_hand():
    found = SpectrumExplorer(**FINE, step=0).numbers()
    assert found == {
        "loss": 2.0, "largest": 2.0, "smallest": -0.5, "place": 2, "gap": pytest.approx(100),
        "band": pytest.approx(0.02), "above": 2, "below": 2, "close": pytest.approx(1 / 3),
    }  # fmt: skip


def test_begins_at_the_last_step_and_moves():
    explorer = SpectrumExplorer(**FINE)
    assert explorer.sentence() == (
        "Step 10: training loss 0.50, largest eigenvalue 4.00, smallest -0.010. The largest gap "
        "comes after number 3 (ratio 58.0, dashed). 33 % of the eigenvalues are within a "
        "hundredth of the largest around zero (shaded), 4 are above and 0 below."
    )
    explorer.step = 0
    assert explorer.sentence().startswith("Step 0: training loss 2.00")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step": 7}, r"step must be one of 0, 10; got step = 7. The nearest is 10"),
        ({"losses": [1.0]}, r"each of the 2 steps; got spectra \(2, 6\), losses \(1,\)"),
        ({"places": [1]}, r"each of the 2 steps; .* places \(1,\)"),
        ({"spectra": SPECTRA[0]}, r"each of the 2 steps; got spectra \(6,\)"),
        (
            {"spectra": [row[::-1] for row in SPECTRA]},
            r"begin with its largest .* \.flip\(0\)",
        ),
        ({"spectra": [SPECTRA[0], [4.0, 2, 3, 0, 0, 0]]}, r"and descend\. Sort it"),
        ({"spectra": [[0.0, -1.0]] * 2}, r"largest eigenvalue, which must be positive"),
        ({"places": [0, 3]}, r"places must lie in 1\.\.5, .* got 0\.\.3"),
        ({"places": [2, 6]}, r"places must lie in 1\.\.5, .* got 2\.\.6"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, dict) else part[:30],
)
def test_refusals(change, message):
    with pytest.raises(ValueError, match=message):
        SpectrumExplorer(**{**FINE, **change})


def test_what_a_stored_notebook_keeps():
    explorer = SpectrumExplorer(**FINE)
    assert_stored(explorer, "spectrum_explorer")


def test_a_page_carries_26_spectra_of_610_eigenvalues_in_150_kB():
    spectra = -np.sort(-(np.random.default_rng(0).normal(size=(26, 610)) ** 5))
    explorer = SpectrumExplorer(range(26), spectra, np.ones(26), [1] * 26)
    assert len(json.dumps(explorer.state())) < 150_000


# -- the stretched axis, read off the picture ------------------------------------------------------


@needs_browser
def test_eigenvalues_stand_where_the_axis_says(browser, tmp_path):
    explorer = EXAMPLES["spectrum_explorer"](np.random.default_rng(5))
    browser.get(page({"one": explorer}, tmp_path / "page.html").as_uri())
    ticks, marks = browser.execute_script("""
        const plot = document.querySelector('.ln-plot');
        const all = chosen => [...plot.querySelectorAll(chosen)];
        return [
          all('[data-axis=y]').map(t => [Number(t.dataset.value), t.getAttribute('d')]),
          ['positive', 'negative'].map(m => all(`[data-mark=${m}]`)[0].getAttribute('d')),
        ];""")
    heights = np.array([float(re.search(r",(\S+)h", d)[1]) for _, d in ticks])
    values = np.array([value for value, _ in ticks])
    stretched = np.arcsinh(values / min(values[values > 0]))
    slope, start = np.polyfit(stretched, heights, 1)
    assert np.abs(start + slope * stretched - heights).max() < 0.02  # ticks on one asinh scale
    here = explorer.data["steps"].index(explorer.step)
    shown = np.array(explorer.data["spectra"][here])
    expected = start + slope * np.arcsinh(shown / min(values[values > 0]))
    drawn = [_heights(d) for d in marks]
    assert [len(heights) for heights in drawn] == [(shown >= 0).sum(), (shown < 0).sum()]
    assert np.abs(np.concatenate(drawn) - expected).max() < 0.05


def _heights(path: str) -> np.ndarray:
    """Heights of marks: dots have two points at one place, triangles four around theirs."""
    found = []
    for mark in path.split("M")[1:]:
        points = np.array([point.split(",") for point in mark.split("L")], dtype=float)
        found.append(points[0, 1] - (4.5 * 0.7 if len(points) == 4 else 0))
    return np.array(found)
