"""One slider over pictures that were all drawn before."""

from collections.abc import Mapping

from ipywidgets import (
    SelectionSlider,
)

from landscape_nb.widgets.pictured import SLIDER_WIDTH, Pictured


class PictureSlider(Pictured):
    """One slider over pictures that were all drawn before, each with its sentence.

    A move costs nothing, so that pictures of any kind follow the slider at once. Where no kernel
    runs the cell shows the picture of the first state.

    Args:
        name: what the slider changes, for example "k".
        pictures: value of the slider -> (PNG, sentence), in the slider's order.
        value: first value of the slider; the first picture's if not given.

    Attributes:
        slider: the slider; its `value` is a key of `pictures`.

    Raises:
        ValueError: there are no pictures, or none for `value`.
    """

    def __init__(
        self, name: str, pictures: Mapping[float, tuple[bytes, str]], value: float | None = None
    ) -> None:
        if not pictures or (value is not None and value not in pictures):
            raise ValueError(
                f"There must be a picture for the first value of the slider, {name} = {value}; "
                f"there are pictures for {list(pictures)}."
            )
        self._pictures = dict(pictures)
        self.slider = SelectionSlider(
            options=list(pictures), value=next(iter(pictures)) if value is None else value,
            description=name, layout=SLIDER_WIDTH, tooltip=name,
        )  # fmt: skip
        super().__init__({name: self.slider}, f"A slider for {name}.")

    def sentence(self) -> str:
        """What the present picture shows."""
        return self._pictures[self.slider.value][1]

    def _png(self) -> bytes:
        return self._pictures[self.slider.value][0]
