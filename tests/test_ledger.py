"""The ledger of verdicts: every number in it comes from a stored study or a printed line."""

from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path

import nbformat
import pytest

from landscape_nb.study import ledger
from landscape_nb.study.evidence import stored
from landscape_nb.study.ledger import Claim, claims, faults
from landscape_nb.study.ledger_page import ledger_page

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"


@cache  # read once for all claims
def printed():
    """For each notebook the lines of its stored outputs."""
    lines = {}
    for path in NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        outputs = [out for cell in cells for out in cell.get("outputs", [])]
        texts = [out.text for out in outputs if out.get("name") == "stdout"]
        lines[path.name[:2]] = [line for text in texts for line in text.splitlines()]
    return lines


@pytest.mark.parametrize("claim", claims(), ids=lambda claim: claim.name)
def test_a_run_stands_behind_every_number(claim):
    assert faults(claim, printed()) == []


def test_names_are_unique():
    assert [name for name, count in Counter(c.name for c in claims()).items() if count > 1] == []


@pytest.fixture
def study(monkeypatch):
    from landscape_nb.theory.intervals import Measured

    figures = {"slope": Measured(-2.5, -2.6, -2.4, 10)}
    monkeypatch.setattr(ledger, "_figures", lambda name: figures)
    return figures


GOOD = Claim(
    "a name", "KG26", "v1", "Fig. 2", "it falls", "04", "slope {decay.slope}, share 0.71",
    "reproduced", "a slope above -2", ("04: share of the top 0.71",), ("decay.slope.high < -2",),
)  # fmt: skip


def test_a_good_claim_has_no_fault(study):
    assert faults(GOOD, {"04": ["the share of the top 0.71 of all"]}) == []
    assert GOOD.finding() == "slope -2.50 [-2.60, -2.40], share 0.71"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"found": "slope {decay.slope}, share 0.72"}, "0.72 comes from no run"),
        ({"found": "the slope is -2.5"}, "-2.5 comes from no run"),
        ({"found": "slope {decay.rate}"}, "has no figure 'rate'"),
        ({"holds": ("decay.slope.high < -2.5",)}, "does not hold"),
        ({"holds": ("decay.slope.high",)}, "is no condition"),
        ({"verdict": "true"}, "which is none of"),
        ({"mind": " "}, "its mind is empty"),
        ({"prints": ("05: share of the top 0.71",)}, "notebook '05' does not print"),
        ({"source": "X"}, "source is 'X'"),
    ],
)
def test_what_no_run_supports_is_found(study, change, message):
    found = faults(replace(GOOD, **change), {"04": ["share of the top 0.71"]})
    assert any(message in fault for fault in found), found


def test_an_unknown_source_is_named():
    with pytest.raises(ValueError, match="source must be one of KG26"):
        claims("X99")


def test_the_page_holds_every_claim_and_its_filters_every_kind(study):
    other = replace(
        GOOD, name="b", source="S17", verdict="identity", says="a < b & c", by="someone"
    )
    page = ledger_page([GOOD, other])
    assert page.count("<details") == 2 and "slope -2.50 [-2.60, -2.40]" in page
    assert "a &lt; b &amp; c" in page and "someone" in page
    for kind in ("ln-source-kg26", "ln-source-s17", "ln-verdict-reproduced", "ln-verdict-identity"):
        assert page.count(f'class="{kind}"') == 1  # its button
        assert f"input.{kind}:checked) details:not(.{kind})" in page
    assert page.count(" checked>") == 2


@pytest.mark.parametrize("name", stored.studies())
def test_a_stored_study_has_ten_seeds_and_small_tables(name):
    study = stored.study(name)
    units = {row[study.unit] for row in stored.rows(name)}  # seeds, unless the study says otherwise
    assert units == set(range(study.seeds)) and len(units) >= 10
    assert stored.table_path(name).stat().st_size < 300_000
    for measured in stored.figures(name).values():
        assert measured.low <= measured.value <= measured.high
