"""One more parabola: its change is that of means of explicit samples, its parts are derivatives."""

import numpy as np
import pytest
from explorables import assert_stored

from landscape_nb.widgets import NextParabola

CASES = [(1, 0.0, 0.0), (3, 1.0, 2.0), (17, -1.3, 1.0), (60, 2.0, 4.0)]


@pytest.mark.parametrize("k, place, curvature", CASES)
def test_the_change_is_that_of_explicit_means(k, place, curvature):
    found = NextParabola(k, place, curvature).numbers()
    w = np.array(found["w"])
    random = np.random.default_rng(k)
    tilts = random.normal(size=k)
    tilts -= tilts.mean()
    # k samples that are lowest at different places, and whose mean is 1/2 + w^2/2
    samples = 0.5 + w**2 / 2 + tilts[:, None] * w
    new = curvature * (w - place) ** 2 / 2
    after = np.vstack([samples, new]).mean(0)
    np.testing.assert_allclose(found["before"], samples.mean(0), atol=1e-12)
    np.testing.assert_allclose(found["after"], after, atol=1e-12)
    np.testing.assert_allclose(found["change"], after - samples.mean(0), atol=1e-12)


@pytest.mark.parametrize("k, place, curvature", CASES)
def test_its_parts_are_the_changes_derivatives_and_the_lowest_point_is_lowest(k, place, curvature):
    found = NextParabola(k, place, curvature).numbers()
    bend, slope, value = np.polyfit(found["w"], found["change"], 2)
    parts = [found["curvature"], found["slope"], found["value"]]
    np.testing.assert_allclose(parts, [2 * bend, slope, value], atol=1e-12)
    bend, slope, _ = np.polyfit(found["w"], found["after"], 2)
    assert found["lowest"] == pytest.approx(-slope / (2 * bend), abs=1e-12)


def test_it_shows_picture_and_words_without_a_kernel():
    one = NextParabola(k=4, place=-0.5, curvature=3.0)
    data = assert_stored(one, "next_parabola")
    assert "the slope 0.300 and the curvature 0.400" in data["text/plain"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"k": 0}, r"k must lie in 1\.\.60; got k = 0"),
        ({"place": 2.5}, r"place must lie in -2\.\.2; got place = 2.5"),
        ({"curvature": float("nan")}, r"curvature must lie in 0\.\.4"),
    ],
    ids=str,
)
def test_it_refuses_what_it_can_t_show(arguments, message):
    with pytest.raises(ValueError, match=message):
        NextParabola(**arguments)
