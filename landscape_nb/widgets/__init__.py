"""Widgets: pictures that follow a slider.

Imports everything above it and figures; never study or course.
"""

from landscape_nb.widgets.explorers import (
    BowlExplorer,
    Explorer,
    PictureSlider,
    SaveMyWork,
    StepExplorer,
)

__all__ = ["BowlExplorer", "Explorer", "PictureSlider", "SaveMyWork", "StepExplorer"]
