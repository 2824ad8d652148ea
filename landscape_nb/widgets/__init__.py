"""Widgets: pictures that follow a slider.

Imports everything above it and figures; never study or course.
"""

from importlib import import_module
from typing import Any

from landscape_nb.widgets.bowl_explorer import BowlExplorer
from landscape_nb.widgets.explorer import Explorer
from landscape_nb.widgets.landscape_explorer import LandscapeExplorer
from landscape_nb.widgets.picture_slider import PictureSlider
from landscape_nb.widgets.step_explorer import StepExplorer
from landscape_nb.widgets.surface_explorer import SurfaceExplorer

__all__ = [
    "BowlExplorer",
    "Explorer",
    "LandscapeExplorer",
    "PictureSlider",
    "StepExplorer",
    "SurfaceExplorer",
]


def __getattr__(name: str) -> Any:
    """Find SaveMyWork where it has moved to, for notebooks saved before that."""
    if name == "SaveMyWork":
        return getattr(import_module("landscape_nb.course"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
