"""Spectral Newton's step of each singular value, under sliders for exponent and damping."""

import math
from typing import Any

import numpy as np

from landscape_nb.figures.explorers import step_picture
from landscape_nb.widgets.explorable import Explorable, Number


class StepExplorer(Explorable, module="step_explorer"):
    """Sliders for exponent and damping over Spectral Newton's step of each singular value.

    T(sigma; alpha) = sigma / (sigma^alpha + d)                                           C26

    alpha = 0 is gradient descent, scaled; alpha = 1 with small d moves all modes alike, as UV'
    does; alpha = 2 with small d moves small modes farther than large ones. Where d is far above
    sigma^alpha it is gradient descent again, whatever alpha.

    Args:
        alpha: first value of its slider, 0..2.
        damping: first value of its slider, 1e-6..1e2.

    Attributes:
        alpha: the exponent of the singular value that the step is divided by.
        damping: d, added to the divisor.

    Raises:
        ValueError: alpha or damping outside its range.
    """

    LARGE, SMALL = 1.0, 0.01  # singular values of the two modes that the sentence follows
    ALPHA, DAMPING = (0.0, 2.0), (1e-6, 1e2)
    EXPONENTS = (-4, 1)  # of ten: ends of the horizontal axis

    alpha = Number().tag(sync=True, explorable=True)
    damping = Number().tag(sync=True, explorable=True)

    def __init__(self, alpha: float = 2.0, damping: float = 0.1) -> None:
        data = {
            "modes": [self.LARGE, self.SMALL],
            "exponents": list(self.EXPONENTS),
            "ranges": {"alpha": list(self.ALPHA), "damping": list(self.DAMPING)},
        }
        super().__init__(data=data, alpha=alpha, damping=damping)

    def step(self, sigma: np.ndarray | float) -> np.ndarray:
        """T(sigma; alpha) = sigma / (sigma^alpha + d) at the present alpha and d."""
        sigma = np.asarray(sigma, dtype=float)
        return sigma / (sigma**self.alpha + self.damping)

    def power(self) -> float:
        """Power p of T(large)/T(small) = (large/small)^p: gradient descent 1, UV' 0, 1/sigma -1."""
        large, small = self.step(np.array([self.LARGE, self.SMALL]))
        return float(np.log(large / small) / np.log(self.LARGE / self.SMALL))

    def turn(self) -> float | None:
        """The sigma at which sigma^alpha = d, below which d decides; None where it isn't shown."""
        exponent = self._turning()
        low, high = self.EXPONENTS
        return 10**exponent if low <= exponent <= high else None

    def numbers(self) -> dict[str, Any]:
        """Singular values and the step of each; the two modes' steps; where the curve turns."""
        sigma = 10 ** np.linspace(*self.EXPONENTS, 101)
        return {
            "sigma": sigma.tolist(),
            "steps": self.step(sigma).tolist(),
            "modes": self.step(np.array([self.LARGE, self.SMALL])).tolist(),
            "turn": self.turn(),
        }

    def sentence(self) -> str:
        """The present state in words, the same that the browser shows."""
        large, small = self.numbers()["modes"]
        return (
            f"\u03b1 = {self.alpha:.2f}, d = {self.damping:.1e}. A large mode "
            f"(\u03c3 = {self.LARGE:g}) moves by {large:.3g}, a small one (\u03c3 = "
            f"{self.SMALL:g}) by {small:.3g}: the large one {large / small:.3g} times as far. "
            f"Gradient descent would move it {self.LARGE / self.SMALL:g} times as far. "
            f"{self._who_decides()}{self._near(large)}."
        )

    def purpose(self) -> str:
        """What there is to move, as a sentence."""
        return "Sliders for the exponent and the damping."

    def _turning(self) -> float:
        """The exponent of ten of that sigma; not a number where sigma^alpha = d everywhere."""
        exponent = math.log10(self.damping)
        if self.alpha == 0:
            return math.copysign(math.inf, exponent) if exponent else math.nan
        return exponent / self.alpha

    def _who_decides(self) -> str:
        """Where the divisor is d rather than sigma^alpha."""
        exponent = self._turning()
        low, high = self.EXPONENTS
        if exponent > high:
            return "d is above \u03c3^\u03b1 at every \u03c3 shown. "
        if exponent < low:
            return "d is below \u03c3^\u03b1 at every \u03c3 shown. "
        if math.isnan(exponent):
            return ""
        return f"Below \u03c3 = {10**exponent:.2g}, d is above \u03c3^\u03b1. "

    def _near(self, large: float) -> str:
        """Which optimiser this resembles, between the two modes."""
        power = self.power()
        if power > 0.95:
            divisor = self.LARGE / large
            return f"This is near gradient descent, with the learning rate divided by {divisor:.3g}"
        if abs(power) < 0.05:
            return "This is near the limit UV': all modes move alike"
        if power < -0.95:
            return "This is near the limit 1/\u03c3: what the gradient hardly sees moves most"
        if power > 0:
            return "This lies between gradient descent and UV'"
        return "This lies between UV' and 1/\u03c3: small modes move farther than large ones"

    def _png(self) -> bytes:
        found = self.numbers()
        points = list(zip((self.LARGE, self.SMALL), found["modes"], strict=True))
        return step_picture(found["sigma"], found["steps"], points, found["turn"])
