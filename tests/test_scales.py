"""One colour scale for each quantity: Python and JavaScript agree, and no map chooses its own."""

import ast
import re
from pathlib import Path

import numpy as np
import pytest
from browser import needs_browser
from matplotlib import colormaps

from landscape_nb.figures import maps, plots
from landscape_nb.figures.scales import SCALES, colours_of, scale_of
from landscape_nb.widgets.es_modules import _value

PACKAGE = Path(__file__).parents[1] / "landscape_nb"
DRAWS_COLOURS = {"imshow", "pcolormesh", "pcolor", "contourf", "plot_surface", "scatter", "matshow"}
COLOUR_MAPS = re.compile(r'"(?:' + "|".join(sorted(colormaps)) + r')"')


@needs_browser
def test_javascript_has_the_scales_of_python(browser):
    told = browser.execute_script(_value("colours") + "return $colours.SCALES;")
    assert set(told) == {"loss", "squared change"}
    for quantity, scale in told.items():
        assert scale["colours"] == SCALES[quantity].colours
        assert tuple(scale["limits"]) == SCALES[quantity].limits


@needs_browser
@pytest.mark.parametrize("quantity", ["loss", "squared change"])
def test_a_value_has_the_same_colour_in_both(quantity, browser):
    """Far below, on and far above the scale; 33 colours are stored there and mixed in between."""
    scale = scale_of(quantity)
    values = [0.0, *np.geomspace(scale.limits[0] / 100, 100 * scale.limits[1], 60)]
    script = _value("colours") + (
        "const [values, quantity] = arguments, place = $colours.placer(quantity);"
        "return values.map(value => $colours.colourOf(place(value), quantity));"
    )
    told = browser.execute_script(script, values, quantity)
    expected = 255 * colormaps[scale.colours](np.array(scale.norm(np.maximum(values, 1e-300))))
    np.testing.assert_allclose(told, expected[:, :3], atol=6)


def calls_with_colours():
    """Each call in figures/ that fills with colours by value: file, line, its keywords."""
    for path in sorted((PACKAGE / "figures").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                named = {k.arg: ast.unparse(k.value) for k in node.keywords}
                if node.func.attr in DRAWS_COLOURS and (
                    node.func.attr != "scatter" or "c" in named
                ):
                    yield f"{path.name}:{node.lineno}", named


def test_every_map_takes_its_colours_by_quantity():
    """From `scale_of` or `colours_of`, and not by the name of a colour map."""
    found = dict(calls_with_colours())
    assert len(found) >= 6
    for place, named in found.items():
        colours = named.get("cmap", named.get("facecolors", ""))
        assert "scale.colours" in colours or "colours_of(" in colours, place


@pytest.mark.parametrize(
    "path",
    [p for p in sorted(PACKAGE.rglob("*.py")) if p.name != "scales.py"]
    + [p for p in sorted(PACKAGE.rglob("*.js")) if p.name != "colours.js"],
    ids=lambda path: path.name,
)
def test_no_file_but_the_two_names_a_colour_map(path):
    tones = {'"gray"', '"grey"'}  # colours of lines too
    assert set(COLOUR_MAPS.findall(path.read_text("utf-8"))) <= tones


def test_no_two_quantities_share_their_colours():
    assert len({scale.colours for scale in SCALES.values()}) == len(SCALES)


@pytest.mark.parametrize("Z", [np.full((5, 5), 1e-3), np.linspace(1e-3, 1, 25).reshape(5, 5)])
def test_a_heat_map_s_colour_does_not_depend_on_what_lies_beside(Z):
    _, ax = plots.new_figure()
    maps.heat_map(ax, range(5), range(5), Z, quantity="squared change")
    (image,) = ax.images
    expected = colormaps["viridis"](6 / 10)  # 1e-3 on 1e-9 .. 10
    np.testing.assert_allclose(image.cmap(image.norm(Z[0, 0])), expected, atol=0.01)


def test_a_quantity_without_a_scale_is_refused_with_those_that_have_one():
    with pytest.raises(ValueError, match=r"no colour scale for 'heat'; there are loss, change, "):
        colours_of("heat")


def test_limits_that_are_not_shared_can_t_be_asked_for():
    with pytest.raises(ValueError, match="'curvature' has no limits that all pictures share"):
        _ = scale_of("curvature").norm
