"""Gradient descent on a bowl, under sliders for learning rate and condition number."""

from typing import Any

import numpy as np

from landscape_nb.figures.explorers import LOSSES, REACH, bowl_picture
from landscape_nb.widgets.explorable import Explorable, Number


class BowlExplorer(Explorable, module="bowl_explorer"):
    """Sliders for learning rate and condition number over gradient descent on a bowl.

    L(x, y) = (lambda_1 x^2 + lambda_2 y^2) / 2,  lambda_1 = 1,  lambda_2 = 1 / kappa;
    after t steps of gradient descent  x_t = (1 - lr lambda_1)^t x_0  and
    y_t = (1 - lr lambda_2)^t y_0, exactly. So a move costs one picture and no iteration.

    Args:
        lr: first value of its slider, learning rate times lambda_max, 0.1..2.4.
        kappa: first value of its slider, lambda_max / lambda_min, 1..50.
        steps: number of steps of gradient descent.

    Attributes:
        lr: learning rate times lambda_max (= the learning rate here).
        kappa: the condition number.

    Raises:
        ValueError: lr or kappa outside its range, or steps no whole number from 1 on.
    """

    START = (1.5, 1.2)
    LR, KAPPA = (0.1, 2.4), (1.0, 50.0)

    lr = Number().tag(sync=True, explorable=True)
    kappa = Number().tag(sync=True, explorable=True)

    def __init__(self, lr: float = 1.8, kappa: float = 10.0, steps: int = 30) -> None:
        if steps < 1 or steps != int(steps):
            raise ValueError(f"steps must be a whole number, 1 or more; got steps = {steps}.")
        ranges = {"lr": list(self.LR), "kappa": list(self.KAPPA)}
        data = {"start": list(self.START), "steps": int(steps), "ranges": ranges}
        super().__init__(data=data, lr=lr, kappa=kappa)

    def factors(self) -> np.ndarray:
        """What one step multiplies x and y by: 1 - lr lambda_i, (2,)."""
        return 1 - self.lr / np.array([1.0, self.kappa])

    def path(self) -> np.ndarray:
        """The points (x_t, y_t), t = 0 .. steps, in closed form, (steps + 1, 2)."""
        return self.factors() ** np.arange(self.data["steps"] + 1)[:, None] * np.array(self.START)

    def numbers(self) -> dict[str, Any]:
        """Factors, points and losses (in parts along x and y).

        Also the first step outside of each picture, None where all are inside: "left" of the
        bowl's, "over" of the loss's.
        """
        parts = self._losses()
        return {
            "left": _first(np.abs(self.path()).max(1) > REACH),
            "over": _first(parts.sum(1) > LOSSES[1]),
            "factors": self.factors().tolist(),
            "path": self.path().T.tolist(),
            "parts": parts.T.tolist(),
            "losses": parts.sum(1).tolist(),
        }

    def sentence(self) -> str:
        """The present state in words, the same that the browser shows."""
        kappa, (x, y), steps = self.kappa, self.factors(), self.data["steps"]
        found = self.numbers()
        grown = found["losses"][-1] / found["losses"][0]
        return (
            f"lr \u00d7 \u03bb max = {self.lr:.2f}, condition number \u03ba = {kappa:.1f}. "
            f"Each step multiplies the distance to the bottom by |1 - lr \u03bb| = {abs(x):.3f} in "
            f"x (sharp) and by {abs(y):.3f} in y (flat). {_verdict(x)}. "
            f"{_leaves(found['left'], found['over'])}"
            f"Loss after {steps} steps: {grown:.1e} times the first."
        )

    def purpose(self) -> str:
        """What there is to move, as a sentence."""
        return "Sliders for the learning rate and the condition number."

    def _losses(self) -> np.ndarray:
        """Parts of the loss along x and y, (steps + 1, 2)."""
        return self.path() ** 2 / np.array([1.0, self.kappa]) / 2

    def _png(self) -> bytes:
        return bowl_picture(self.kappa, self.path(), self._losses(), self.numbers()["left"])


def _first(outside: np.ndarray) -> int | None:
    """The first step of which that is so."""
    return int(outside.argmax()) if outside.any() else None


def _leaves(left: int | None, over: int | None) -> str:
    """When path and loss leave their pictures."""
    if left is None:
        return ""
    loss = "" if over is None else f", the loss the right one at step {over}"
    return f"The path leaves the left picture at step {left}{loss}. "


def _verdict(x: float) -> str:
    """What a factor of x does to the steps along it."""
    if abs(abs(x) - 1) < 1e-9:  # lr lambda_max = 2
        return "It neither converges nor diverges: x jumps from side to side for ever"
    if abs(x) > 1:
        return "It diverges: x jumps from side to side, farther out each time"
    if x < -1e-9:
        return "It converges: x oscillates from side to side, closer each time"
    if x > 1e-9:
        return "It converges: x and y creep in from their own side"
    return "It converges: x is at the bottom after a single step"
