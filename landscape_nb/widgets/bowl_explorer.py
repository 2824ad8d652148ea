"""Gradient descent on a bowl, under sliders for learning rate and condition number."""

import numpy as np
from ipywidgets import (
    FloatLogSlider,
    FloatSlider,
)

from landscape_nb.figures.explorers import BowlPicture
from landscape_nb.widgets.pictured import SLIDER_WIDTH, Pictured


class BowlExplorer(Pictured):
    """Sliders for learning rate and condition number over gradient descent on a bowl.

    L(x, y) = (lambda_1 x^2 + lambda_2 y^2) / 2,  lambda_1 = 1,  lambda_2 = 1 / kappa;
    after t steps of gradient descent  x_t = (1 - lr lambda_1)^t x_0  and
    y_t = (1 - lr lambda_2)^t y_0, exactly. So a move costs one picture and no iteration.

    Args:
        lr: first value of its slider, learning rate times lambda_max, 0.1..2.4.
        kappa: first value of its slider, lambda_max / lambda_min, 1..50.
        steps: number of steps of gradient descent.

    Attributes:
        lr: the slider for the learning rate times lambda_max (= the learning rate here).
        kappa: the slider for the condition number, logarithmic.
        readout: what the steps do, as HTML.
        picture: the Image widget.

    Raises:
        ValueError: lr or kappa outside its range, or steps below 1.
    """

    START = (1.5, 1.2)
    LR, KAPPA = (0.1, 2.4), (1.0, 50.0)

    def __init__(self, lr: float = 1.8, kappa: float = 10.0, steps: int = 30) -> None:
        for name, value, (low, high) in (("lr", lr, self.LR), ("kappa", kappa, self.KAPPA)):
            if not low <= value <= high:
                raise ValueError(f"{name} must lie in {low:g}..{high:g}; got {name} = {value}.")
        if steps < 1:
            raise ValueError(f"steps must be at least 1; got steps = {steps}.")
        self._steps = steps
        layout, style = SLIDER_WIDTH, {"description_width": "110px"}
        self.lr = FloatSlider(
            value=lr, min=self.LR[0], max=self.LR[1], step=0.05, description="lr \u00d7 \u03bb max",
            layout=layout, style=style, tooltip="learning rate times the largest eigenvalue",
        )  # fmt: skip
        self.kappa = FloatLogSlider(
            value=kappa, base=10, min=0.0, max=float(np.log10(self.KAPPA[1])), step=0.02,
            description="\u03ba", readout_format=".1f", layout=layout, style=style,
            tooltip="condition number: largest over smallest eigenvalue",
        )  # fmt: skip
        self._drawing = BowlPicture(steps)
        super().__init__(
            {"lr": self.lr, "kappa": self.kappa},
            "Sliders for the learning rate and the condition number.",
        )

    def factors(self) -> np.ndarray:
        """What one step multiplies x and y by: 1 - lr lambda_i, (2,)."""
        lr = round(self.lr.value, 9)  # a slider's 40th step may come as 2.0000000000000004
        return 1 - lr / np.array([1.0, self.kappa.value])

    def path(self) -> np.ndarray:
        """The points (x_t, y_t), t = 0 .. steps, in closed form, (steps + 1, 2)."""
        return self.factors() ** np.arange(self._steps + 1)[:, None] * np.array(self.START)

    def sentence(self) -> str:
        """The present state in words: the readout, and the picture's alternative text."""
        kappa, (x, y) = self.kappa.value, self.factors()
        if abs(abs(x) - 1) < 1e-9:  # lr lambda_max = 2
            verdict = "It neither converges nor diverges: x jumps from side to side for ever"
        elif abs(x) > 1:
            verdict = "It diverges: x jumps from side to side, farther out each time"
        elif x < -1e-9:
            verdict = "It converges: x oscillates from side to side, closer each time"
        elif x > 1e-9:
            verdict = "It converges: x and y creep in from their own side"
        else:
            verdict = "It converges: x is at the bottom after a single step"
        losses = self._losses().sum(1)
        best, rate = 2 / (1 + 1 / kappa), (kappa - 1) / (kappa + 1)
        return (
            f"lr \u00d7 \u03bb max = {self.lr.value:.2f}, condition number \u03ba = {kappa:.1f}. "
            f"Each step multiplies the distance to the bottom by |1 - lr \u03bb| = {abs(x):.3f} in "
            f"x (sharp) and by {abs(y):.3f} in y (flat). {verdict}. "
            f"Loss after {self._steps} steps: {losses[-1] / losses[0]:.1e} of the first. "
            f"Best for this \u03ba: lr \u00d7 \u03bb max = {best:.2f}, with factor {rate:.3f}."
        )

    def _losses(self) -> np.ndarray:
        """Parts of the loss along x and y, (steps + 1, 2)."""
        return self.path() ** 2 / np.array([1.0, self.kappa.value]) / 2

    def _png(self) -> bytes:
        return self._drawing.png(self.kappa.value, self.path(), self._losses())
