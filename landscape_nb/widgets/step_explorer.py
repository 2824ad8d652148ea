"""Spectral Newton's step of each singular value, under sliders for exponent and damping."""

import numpy as np
from ipywidgets import (
    FloatLogSlider,
    FloatSlider,
)

from landscape_nb.figures.explorers import StepPicture
from landscape_nb.widgets.pictured import SLIDER_WIDTH, Pictured


class StepExplorer(Pictured):
    """Sliders for exponent and damping over Spectral Newton's step of each singular value.

    T(sigma; alpha) = sigma / (sigma^alpha + d)                                           C26

    alpha = 0 is gradient descent, scaled; alpha = 1 with small d moves all modes alike, as UV'
    does; alpha = 2 with small d moves small modes farther than large ones. Where d is far above
    sigma^alpha it is gradient descent again, whatever alpha.

    Args:
        alpha: first value of its slider, 0..2.
        damping: first value of its slider, 1e-6..1e2.

    Attributes:
        alpha: the slider for the exponent.
        damping: the slider for d, logarithmic.
        readout: what happens to a large and to a small mode, as HTML.
        picture: the Image widget.

    Raises:
        ValueError: alpha or damping outside its range.
    """

    LARGE, SMALL = 1.0, 0.01  # singular values of the two modes that the sentence follows
    ALPHA, DAMPING = (0.0, 2.0), (1e-6, 1e2)

    def __init__(self, alpha: float = 2.0, damping: float = 0.1) -> None:
        for name, value, (low, high) in (
            ("alpha", alpha, self.ALPHA),
            ("damping", damping, self.DAMPING),
        ):
            if not low <= value <= high:
                raise ValueError(f"{name} must lie in {low:g}..{high:g}; got {name} = {value}.")
        layout = SLIDER_WIDTH
        self.alpha = FloatSlider(
            value=alpha, min=self.ALPHA[0], max=self.ALPHA[1], step=0.05, description="\u03b1",
            layout=layout, tooltip="exponent of the singular value that the step is divided by",
        )  # fmt: skip
        low, high = np.log10(self.DAMPING)
        self.damping = FloatLogSlider(
            value=damping, base=10, min=float(low), max=float(high), step=0.1, description="d",
            readout_format=".1e", layout=layout, tooltip="damping, added to the divisor",
        )  # fmt: skip
        self._drawing = StepPicture()
        super().__init__(
            {"alpha": self.alpha, "damping": self.damping},
            "Sliders for the exponent and the damping.",
        )

    def step(self, sigma: np.ndarray) -> np.ndarray:
        """T(sigma; alpha) = sigma / (sigma^alpha + d) at the sliders' alpha and d."""
        sigma = np.asarray(sigma, dtype=float)
        return sigma / (sigma**self.alpha.value + self.damping.value)

    def power(self) -> float:
        """Power p of T(large)/T(small) = (large/small)^p: gradient descent 1, UV' 0, 1/sigma -1."""
        large, small = self.step(np.array([self.LARGE, self.SMALL]))
        return float(np.log(large / small) / np.log(self.LARGE / self.SMALL))

    def sentence(self) -> str:
        """The present state in words: the readout, and the picture's alternative text."""
        large, small = self.step(np.array([self.LARGE, self.SMALL]))
        power = self.power()
        if power > 0.95:
            divisor = self.LARGE / large
            near = f"This is near gradient descent, with the learning rate divided by {divisor:.3g}"
        elif abs(power) < 0.05:
            near = "This is near the limit UV': all modes move alike"
        elif power < -0.95:
            near = "This is near the limit 1/\u03c3: what the gradient hardly sees moves most"
        elif power > 0:
            near = "This lies between gradient descent and UV'"
        else:
            near = "This lies between UV' and 1/\u03c3: small modes move farther than large ones"
        return (
            f"\u03b1 = {self.alpha.value:.2f}, d = {self.damping.value:.1e}. A large mode "
            f"(\u03c3 = {self.LARGE:g}) moves by {large:.3g}, a small one (\u03c3 = "
            f"{self.SMALL:g}) by {small:.3g}: the large one {large / small:.3g} times as far. "
            f"Gradient descent would move it {self.LARGE / self.SMALL:g} times as far. {near}."
        )

    def _png(self) -> bytes:
        sigma = np.geomspace(*StepPicture.SIGMAS, 101)
        modes = np.array([self.LARGE, self.SMALL])
        return self._drawing.png(
            sigma, self.step(sigma), list(zip(modes, self.step(modes), strict=True))
        )
