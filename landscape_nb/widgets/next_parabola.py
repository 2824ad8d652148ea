"""One more sample in one dimension: parabolas, and the parabola by which their mean changes."""

from typing import Any

import numpy as np

from landscape_nb.figures import n01_quadratic_toy as figures
from landscape_nb.widgets.explorable import Explorable, Number, Whole


class NextParabola(Explorable, module="next_parabola"):
    """Sliders for k and for the next sample's parabola, over the mean loss and its change.

    L_k(w) = HEIGHT + w^2 / 2,  l(w) = curvature (w - place)^2 / 2,
    L_{k+1} = (k L_k + l) / (k + 1),  change = L_{k+1} - L_k = (l - L_k) / (k + 1).

    At L_k's lowest point, w = 0, the change has the value (l(0) - HEIGHT) / (k + 1), the slope
    -curvature place / (k + 1) and the curvature (curvature - 1) / (k + 1): with one direction
    these are the a, c and B of KG26 Eq. 9. All are exact.

    Args:
        k: first value of its slider, the number of samples so far, 1..60.
        place: where the next sample's loss is lowest, -2..2.
        curvature: of the next sample's parabola, 0..4; that of the mean so far is 1.

    Attributes:
        k: the number of samples so far.
        place: where the next sample's loss is lowest.
        curvature: of the next sample's parabola.

    Raises:
        ValueError: a setting outside its range.

    >>> one = NextParabola(k=3, place=1.0, curvature=1.0).numbers()
    >>> one["slope"], one["curvature"]  # two parabolas of equal curvature differ by a line
    (-0.25, 0.0)
    """

    K, PLACE, CURVATURE = (1, 60), (-2.0, 2.0), (0.0, 4.0)
    HEIGHT = 0.5  # of L_k at its lowest point; chosen here
    REACH, POINTS = 2.5, 101  # the picture shows w = -REACH..REACH

    k = Whole().tag(sync=True, explorable=True)
    place = Number().tag(sync=True, explorable=True)
    curvature = Number().tag(sync=True, explorable=True)

    def __init__(self, k: int = 3, place: float = 1.0, curvature: float = 2.0) -> None:
        ranges = {"k": list(self.K), "place": list(self.PLACE), "curvature": list(self.CURVATURE)}
        data = {
            "height": self.HEIGHT, "reach": self.REACH, "points": self.POINTS, "ranges": ranges,
        }  # fmt: skip
        super().__init__(data=data, k=k, place=place, curvature=curvature)

    def numbers(self) -> dict[str, Any]:
        """The three parabolas and the change over w; the change's parts; the lowest points."""
        k, place, curvature = self.k, self.place, self.curvature
        w = self.REACH * (2 * np.arange(self.POINTS) / (self.POINTS - 1) - 1)
        before = self.HEIGHT + w * w / 2
        sample = curvature * (w - place) * (w - place) / 2
        change = (sample - before) / (k + 1)
        return {
            "w": w.tolist(), "before": before.tolist(), "sample": sample.tolist(),
            "after": (before + change).tolist(), "change": change.tolist(),
            "value": (curvature * place * place / 2 - self.HEIGHT) / (k + 1),
            "slope": curvature * (0 - place) / (k + 1),
            "curvature": (curvature - 1) / (k + 1),
            "lowest": curvature * place / (k + curvature),
        }  # fmt: skip

    def sentence(self) -> str:
        """The present state in words, the same that the browser shows."""
        found = self.numbers()
        return (
            f"k = {self.k}; the next sample is lowest at w = {self.place:.1f} and has the "
            f"curvature {self.curvature:.1f}. At the old lowest point, w = 0, the change has the "
            f"value {found['value']:.3f}, the slope {found['slope']:.3f} and the curvature "
            f"{found['curvature']:.3f}. The lowest point moves to w = {found['lowest']:.3f}."
        )

    def purpose(self) -> str:
        """What there is to move, as a sentence."""
        return "Sliders for the number of samples and for the next sample's parabola."

    def _png(self) -> bytes:
        return figures.next_parabola(self.numbers(), self.k)
