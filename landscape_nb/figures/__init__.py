"""Figures: one function a picture; nothing is computed here beyond what drawing needs.

Imports numerics, theory and problems. The only folder that knows matplotlib. Here are the strokes
that all notebooks share; what one notebook draws is in the file of its number.
"""

from landscape_nb.figures.guesses import guess_among_options, guess_on_a_line
from landscape_nb.figures.maps import (
    contour_maps,
    heat_map,
    number_map,
    one_more_sample,
    surfaces_3d,
    two_surfaces,
)
from landscape_nb.figures.plots import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    LOOKS,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    band,
    curve,
    grouped_bars,
    log_log,
    new_figure,
    plain_digits,
    power_law_guide,
    show,
    spread,
    thin_curves,
    to_png,
)

__all__ = [
    "BLACK",
    "BLUE",
    "GREEN",
    "GREY",
    "LOOKS",
    "ORANGE",
    "PURPLE",
    "SKY",
    "VERMILLION",
    "band",
    "contour_maps",
    "curve",
    "grouped_bars",
    "guess_among_options",
    "guess_on_a_line",
    "heat_map",
    "log_log",
    "new_figure",
    "number_map",
    "one_more_sample",
    "plain_digits",
    "power_law_guide",
    "show",
    "spread",
    "surfaces_3d",
    "thin_curves",
    "to_png",
    "two_surfaces",
]
