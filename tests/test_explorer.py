"""The explorer of D, sigma and k: what its numbers mean, what it draws, what it refuses.

Oracles: the tables themselves; Eq. 15 written out over the numbers that the browser gets; and
explorers on a full space that is off by its standard error, for the errors of the ratios.
"""

import dataclasses
import json
import re

import numpy as np
import pytest
import torch
from browser import needs_browser
from draws import F64
from explorables import assert_stored, draw, still_figure
from selenium.webdriver.common.keys import Keys
from traitlets import TraitError

from landscape_nb import IncrementModels, moment_table
from landscape_nb.theory.tables import MomentTable
from landscape_nb.widgets import Explorer

KS = (2, 4, 8)


def table(seed, D=3, ks=KS):
    g = torch.Generator().manual_seed(seed)
    groups = []
    for k in ks:
        a, c = torch.rand(5, generator=g, **F64), torch.randn(5, D, generator=g, **F64)
        B = torch.randn(5, D, D, generator=g, **F64)
        groups.append(IncrementModels([k] * 5, a, c, B + B.mT))
    return moment_table(groups)


@pytest.fixture
def tables():
    return {"top": table(0), "random": table(1)}, table(2, D=6).last()


def off_by(full, sign):
    """The full space with each part off by its standard error."""
    parts = ("cross", "gradient", "curvature")
    errors = [(part, getattr(full, f"{part}_stderr")) for part in parts]
    moved = {part: getattr(full, part) + sign * e for part, e in errors if e is not None}
    return dataclasses.replace(full, **moved, cross_stderr=None, curvature_stderr=None)


def uncertain(full, size=0.1):
    errors = {f"{part}_stderr": size * getattr(full, part).abs() for part in ("cross", "curvature")}
    return dataclasses.replace(full, **errors)


# -- numbers ---------------------------------------------------------------------------------------


def test_without_k_the_shares_are_averages_over_k(tables):
    probes, full = tables
    explorer = Explorer(probes, full, D=2, sigma=0.1)
    each = probes["top"].at(2, 0.1).total / full.at(1, 0.1).total
    assert explorer.k is None
    assert explorer.ratios("total")["top"] == pytest.approx(float(each.mean()))
    assert "averaged over k" in explorer.sentence()
    assert explorer.purpose() == "Sliders for D and sigma."


@pytest.mark.parametrize("k", KS)
def test_k_chooses_the_row(tables, k):
    probes, full = tables
    explorer = Explorer(probes, full, D=2, sigma=0.1, k=4)
    explorer.k = k
    row = KS.index(k)
    for part in ("total", "centred"):
        each = getattr(probes["random"].at(2, 0.1), part) / getattr(full.at(1, 0.1), part)
        assert explorer.ratios(part)["random"] == pytest.approx(float(each[row]))
    total = float(probes["top"].at(2, 0.1).total[row])
    assert f"At k = {k} the criterion is {total:.2e}" in explorer.sentence()
    assert "at this k" in explorer.sentence()


@pytest.mark.parametrize("D, sigma", [(1, 1e-4), (2, 0.3), (3, 1.0)])
def test_parts_are_eq_15_on_the_numbers_that_the_browser_gets(tables, D, sigma):
    explorer = Explorer(*tables, D=D, sigma=sigma)
    first = explorer.data["probes"][0]
    powers = {"cross": 2, "gradient": 2, "curvature": 4}
    by_hand = {
        name: [sigma**power * row[D - 1] for row in first[name]] for name, power in powers.items()
    }
    by_hand["value"] = first["value"]
    by_hand["total"] = [sum(parts) for parts in zip(*by_hand.values(), strict=True)]
    found = explorer.numbers()["parts"]
    assert found.keys() == by_hand.keys()
    for name, numbers in found.items():
        np.testing.assert_allclose(numbers, by_hand[name], rtol=1e-14)
        at = getattr(tables[0]["top"].at(D, sigma), name)
        np.testing.assert_allclose(numbers, at, rtol=1e-8)  # the total may lose digits


def test_the_browser_gets_plain_numbers_of_ten_digits(tables):
    data = Explorer(*tables).data
    assert json.loads(json.dumps(data, allow_nan=False)) == json.loads(json.dumps(data))
    for one in [*data["probes"], data["full"]]:
        for name in ("value", "cross", "gradient", "curvature"):
            for x in np.ravel(one[name]):
                assert float(x) == float(f"{x:.9e}")
    assert Explorer(*tables, D=1).data["ranges"]["D"] == [1, 3]  # the fewest that all tables hold


def test_D_starts_at_ten_or_as_far_as_the_tables_go():
    probes = {"top": table(0, D=12), "bottom": table(1, D=11)}
    full = table(2, D=13).last()
    assert Explorer(probes, full).D == 10
    assert len(Explorer(probes, full).data["probes"][0]["gradient"][0]) == 11
    assert Explorer({"top": table(0)}, full).D == 3


@pytest.mark.parametrize("part", ["total", "centred"])
@pytest.mark.parametrize("k", [None, 4])
def test_errors_of_ratios_are_those_of_a_full_space_that_is_off(tables, part, k):
    probes, full = tables[0], uncertain(tables[1])
    settings = {"D": 2, "sigma": 0.8, "k": k}
    found = Explorer(probes, full, **settings).ratio_errors(part)
    # raw: a cross part that is negative is off in the other direction than the rest
    full = dataclasses.replace(full, cross_stderr=full.cross_stderr.abs())
    ends = [Explorer(probes, off_by(full, s), **settings).ratios(part) for s in (1, -1)]
    for name in probes:
        assert found[name] == pytest.approx([end[name] for end in ends])
        assert found[name][1] > 1.01 * found[name][0]


def test_a_probe_s_own_errors_count_too(tables):
    probes, full = tables
    top = dataclasses.replace(probes["top"], gradient_stderr=0.1 * probes["top"].gradient)
    found = Explorer({"top": top}, full, D=2, sigma=1e-3, k=4)
    ratio = found.ratios("centred")["top"]
    assert found.ratio_errors("centred")["top"] == pytest.approx((0.9 * ratio, 1.1 * ratio), 1e-4)


@pytest.mark.parametrize(
    "size, sigma, words",
    [
        (0.1, 1e-4, None),  # at this sigma the parts that are estimates weigh nothing
        (0.1, 1.0, r"centred [\d.]+ \([\d.]+ to [\d.]+\)"),
        (9.0, 1.0, r"centred [\d.]+ \([\d.]+ or more\)"),
    ],
    ids=["too small to show", "shown", "not known from zero"],
)
def test_errors_are_told_where_they_show(tables, size, sigma, words):
    probes, full = tables
    told = Explorer(probes, uncertain(full, size), D=2, sigma=sigma).sentence()
    assert told.endswith(" In brackets: within a standard error.") == (words is not None)
    assert words is None or re.search(words, told)
    assert "(" not in Explorer(probes, full, D=2, sigma=sigma).sentence()


def test_k_may_be_given_up_for_the_average(tables):
    explorer = Explorer(*tables, D=2, sigma=0.1, k=4)
    explorer.k = None
    assert explorer.numbers() == Explorer(*tables, D=2, sigma=0.1).numbers()
    assert explorer.sentence() == Explorer(*tables, D=2, sigma=0.1).sentence()


def test_a_cross_part_that_is_negative_keeps_its_sign_in_words():
    one = torch.ones(1, 1, dtype=torch.float64)
    top = MomentTable(torch.tensor([3]), one[0], -0.5 * one, one, one)
    words = Explorer({"top": top}, top, sigma=1.0).sentence()
    assert "2.50e+00: value 40.0 %, cross -20.0 %, gradient 40.0 %, curvature 40.0 %" in words


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"k": 3}, r"k must be one of the tables' ks, \[2, 4, 8\]; got k = 3."),
        ({"D": 4}, r"D must lie in 1\.\.3; got D = 4."),
        ({"D": 0}, r"D must lie in 1\.\.3; got D = 0."),
        ({"sigma": 2.0}, r"sigma must lie in 0\.0001\.\.1; got sigma = 2.0."),
        ({"sigma": float("nan")}, r"sigma must lie in 0\.0001\.\.1; got sigma = nan."),
        ({"sigma_range": (-3.0, 90.0)}, "The moment at sigma = 1e.90"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_settings_that_can_t_be_shown_are_refused(tables, settings, message):
    with pytest.raises(ValueError, match=message):
        Explorer(*tables, **settings)
    if settings.keys() & {"k", "D", "sigma"}:
        explorer = Explorer(*tables, D=2, k=4)
        before = explorer.state()
        with pytest.raises(ValueError, match=message):
            explorer.set_trait(*settings.popitem())
        assert explorer.state() == before


def test_D_is_a_whole_number(tables):
    with pytest.raises(TraitError, match="int"):
        Explorer(*tables).D = 1.5


def test_tables_that_do_not_fit_are_refused(tables):
    probes, full = tables
    with pytest.raises(ValueError, match="same grid of k; 'top'"):
        Explorer(probes, table(2, ks=(2, 4)).last())
    with pytest.raises(ValueError, match="probes must be a dict of one MomentTable or more"):
        Explorer({}, full)


# -- pictures --------------------------------------------------------------------------------------


def test_settings_can_be_observed(tables):
    explorer, seen = Explorer(*tables, D=2, sigma=0.1, k=4), []
    for name in ("D", "sigma", "k"):
        explorer.observe(lambda change: seen.append((change["name"], change["new"])), name)
    explorer.D, explorer.sigma, explorer.k = 3, 0.5, 8
    assert seen == [("D", 3), ("sigma", 0.5), ("k", 8)]


def test_every_setting_changes_the_still_picture_and_its_words(tables):
    explorer = Explorer(*tables, D=2, sigma=0.1, k=4)
    for name, value in (("D", 3), ("sigma", 0.5), ("k", 8)):
        before = explorer._repr_mimebundle_()[0]
        setattr(explorer, name, value)
        after = explorer._repr_mimebundle_()[0]
        assert before["image/png"] != after["image/png"]
        assert before["text/plain"] != after["text/plain"]


def test_it_shows_picture_and_words_without_a_kernel(tables):
    explorer = Explorer(*tables, D=2, sigma=0.1, k=4)
    assert_stored(explorer, "explorer")
    assert explorer.purpose() == "Sliders for D, sigma and k."
    assert explorer.state() == {"D": 2, "sigma": 0.1, "k": 4, "data": explorer.data}


def test_negative_cross_parts_have_open_markers_in_the_still_picture(tables, monkeypatch):
    explorer = Explorer(*tables, D=2, sigma=0.1, k=4)
    cross = np.array(explorer.numbers()["parts"]["cross"])
    assert (cross < 0).any() and (cross > 0).any()
    left = still_figure(explorer, monkeypatch).axes[0]
    lines = {line.get_label(): line.get_ydata() for line in left.lines}
    np.testing.assert_array_equal(lines["cross, positive"], abs(cross))
    np.testing.assert_array_equal(
        lines["cross, negative: its size"], np.where(cross < 0, -cross, np.nan)
    )


@pytest.mark.parametrize("height", [0.5, 0.93, 0.97, 0.999, 1.0, 1.1])
def test_the_number_on_a_bar_stands_clear_of_the_line_at_one(height, monkeypatch):
    one = torch.ones(1, 1, dtype=torch.float64)
    full = MomentTable(torch.tensor([3]), 1e-9 * one[0], 0 * one, one, 0 * one)
    top = dataclasses.replace(full, gradient=height * one)
    figure = still_figure(Explorer({"top": top}, full, sigma=1.0), monkeypatch)
    ax = figure.axes[1]
    number = next(text for text in ax.texts if text.get_text() == f"{height:.2f}")
    figure.draw_without_rendering()
    box = number.get_window_extent()
    low, high = (ax.transData.inverted().transform((0, y))[1] for y in (box.y0, box.y1))
    assert low > min(height, 1) - 1e-9 and not low < 1 < high


# -- in a browser ----------------------------------------------------------------------------------

AFTER_A_FRAME = """
    const done = arguments[arguments.length - 1];
    const text = part => document.querySelector(part).textContent;
    requestAnimationFrame(() => requestAnimationFrame(() =>
      done([text('.ln-panel:last-child .ln-title'), text('.ln-words')])));"""
MARKS = """
    const marks = name => [...document.querySelectorAll(`[data-mark="${name}"]`)];
    const strokes = mark => (mark.getAttribute('d').match(/M/g) ?? []).length;
    return {
      open: strokes(marks('cross negative')[0]), filled: strokes(marks('cross positive')[0]),
      fill: marks('cross negative')[0].getAttribute('fill'),
      whiskers: [...marks('raw error'), ...marks('centred error')].map(strokes),
      numbers: marks('centred number').map(text => text.textContent),
      below: marks('below')[0].textContent,
    };"""


@needs_browser
def test_signs_errors_and_what_lies_below_are_drawn_in_the_browser(tables, browser, tmp_path):
    probes, full = tables[0], uncertain(tables[1], 0.5)
    explorer = Explorer(probes, full, D=2, sigma=1.0, k=4)
    cross = np.array(explorer.numbers()["parts"]["cross"])
    found = draw(explorer, browser, tmp_path, MARKS)
    assert (found["open"], found["filled"]) == ((cross < 0).sum(), (cross > 0).sum())
    assert found["fill"] == "none" and found["below"] == ""
    assert set(found["whiskers"]) == {3}  # two ends and the line between
    seen = explorer.ratios("centred").values()
    assert found["numbers"] == [f"\u2191 {x:.2f}" if x > 1.2 else f"{x:.2f}" for x in seen]
    explorer.sigma = 1e-4
    found = draw(explorer, browser, tmp_path, MARKS)
    assert set(found["whiskers"]) == {0} and found["below"] == "below this picture: curvature"


@needs_browser
def test_the_slider_for_k_goes_from_one_of_the_ks_to_the_next(tables, browser, tmp_path):
    explorer = Explorer(*tables, D=2, sigma=0.1, k=2)
    draw(explorer, browser, tmp_path, "")
    (slider,) = browser.find_elements("css selector", "[data-trait=k] input")
    for key, k in ((Keys.ARROW_RIGHT, 4), (Keys.END, 8), (Keys.ARROW_LEFT, 4), (Keys.HOME, 2)):
        slider.send_keys(key)
        found, words = browser.execute_async_script(AFTER_A_FRAME)
        explorer.k = k
        assert (found, words) == (f"What each probe sees, at k = {k}", explorer.sentence())
        assert slider.get_attribute("aria-valuetext") == str(k)
