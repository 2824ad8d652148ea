"""Explorables: pictures that follow their settings in the browser, with a kernel or without.

Imports everything above it and figures; never study or course.
"""

from importlib import import_module
from typing import Any

from landscape_nb.widgets.bowl_explorer import BowlExplorer
from landscape_nb.widgets.direction_explorer import DirectionExplorer
from landscape_nb.widgets.enough_explorer import EnoughExplorer
from landscape_nb.widgets.explorer import Explorer
from landscape_nb.widgets.landscape_explorer import LandscapeExplorer
from landscape_nb.widgets.next_digit import NextDigit
from landscape_nb.widgets.next_parabola import NextParabola
from landscape_nb.widgets.one_more_sample import OneMoreSample
from landscape_nb.widgets.ritz_explorer import RitzExplorer
from landscape_nb.widgets.spectrum_explorer import SpectrumExplorer
from landscape_nb.widgets.step_explorer import StepExplorer
from landscape_nb.widgets.surface_explorer import SurfaceExplorer
from landscape_nb.widgets.text_explorer import TextExplorer

__all__ = [
    "BowlExplorer",
    "DirectionExplorer",
    "EnoughExplorer",
    "Explorer",
    "LandscapeExplorer",
    "NextDigit",
    "NextParabola",
    "OneMoreSample",
    "RitzExplorer",
    "SpectrumExplorer",
    "StepExplorer",
    "SurfaceExplorer",
    "TextExplorer",
]


def __getattr__(name: str) -> Any:
    """Find SaveMyWork where it has moved to, for notebooks saved before that."""
    if name == "SaveMyWork":
        return getattr(import_module("landscape_nb.course"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
