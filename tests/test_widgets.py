"""The explorer without a browser: what its sliders mean, and what it draws."""

import numpy as np
import pytest
import torch

from landscape_nb import IncrementModels, moment_table
from landscape_nb.plots import ExplorerPicture, new_figure, number_map
from landscape_nb.widgets import Explorer


def table(seed, D=3, ks=(2, 4, 8)):
    g = torch.Generator().manual_seed(seed)
    groups = []
    for k in ks:
        a, c = torch.rand(5, generator=g), torch.randn(5, D, generator=g)
        B = torch.randn(5, D, D, generator=g)
        groups.append(IncrementModels([k] * 5, a, c, B + B.mT))
    return moment_table(groups)


@pytest.fixture
def tables():
    return {"top": table(0), "random": table(1)}, table(2, D=6).last()


def test_without_k_the_shares_are_averages_over_k(tables):
    probes, full = tables
    explorer = Explorer(probes, full, D=2, sigma=0.1)
    each = probes["top"].at(2, 0.1).total / full.at(1, 0.1).total
    assert explorer.k is None
    assert explorer.ratios("total")["top"] == pytest.approx(float(each.mean()))
    assert "averaged over k" in explorer.sentence()


@pytest.mark.parametrize("k", [2, 4, 8])
def test_the_slider_for_k_chooses_the_row(tables, k):
    probes, full = tables
    explorer = Explorer(probes, full, D=2, sigma=0.1, k=4)
    explorer.k.value = k
    row = [2, 4, 8].index(k)
    for part in ("total", "centred"):
        each = getattr(probes["random"].at(2, 0.1), part) / getattr(full.at(1, 0.1), part)
        assert explorer.ratios(part)["random"] == pytest.approx(float(each[row]))
    total = float(probes["top"].at(2, 0.1).total[row])
    assert f"At k = {k} the criterion is {total:.2e}" in explorer.sentence()
    assert "at this k" in explorer.sentence()


def test_every_slider_changes_picture_and_readout(tables):
    explorer = Explorer(*tables, D=2, sigma=0.1, k=4)
    for slider, value in ((explorer.D, 3), (explorer.sigma, 0.5), (explorer.k, 8)):
        picture, words = explorer.picture.value, explorer.readout.value
        slider.value = value
        assert explorer.picture.value != picture
        assert explorer.readout.value != words


def test_the_picture_marks_the_slider_s_k(tables):
    probes, full = tables
    drawing = ExplorerPicture(probes, full, (1e-4, 1.0), one_k=True)
    shares = [[0.5, 0.5]] * 2
    pictures = [drawing.png(probes["top"].at(2, 0.1), *shares, k) for k in (None, 2, 8)]
    assert len(set(pictures)) == 3


def test_a_k_that_is_not_in_the_tables_is_refused(tables):
    with pytest.raises(ValueError, match=r"one of the tables' ks, \[2, 4, 8\]; got k = 3"):
        Explorer(*tables, k=3)


def test_tables_on_other_ks_are_refused(tables):
    probes, _ = tables
    with pytest.raises(ValueError, match="same grid of k; 'top'"):
        Explorer(probes, table(2, ks=(2, 4)).last())


def test_number_map_writes_every_number_and_its_first_row_lowest():
    figure, ax = new_figure()
    Z = np.array([[1.0, 10.0, 100.0], [0.5, 5.0, 50.0]])
    number_map(ax, ["a", "b", "c"], ["low", "high"], Z, "{:g}")
    written = {t.get_position(): t.get_text() for t in ax.texts}
    assert written == {(j, i): f"{Z[i, j]:g}" for i in range(2) for j in range(3)}
    assert [t.get_text() for t in ax.get_yticklabels()] == ["low", "high"]
    assert ax.get_ylim()[0] < ax.get_ylim()[1]
