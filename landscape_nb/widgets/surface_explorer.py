"""A loss surface over a plane, which turns, under a slider for the number of samples."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from traitlets import Unicode, validate

from landscape_nb.figures.n05_loss_surfaces import surface_picture
from landscape_nb.theory.surfaces import Surfaces
from landscape_nb.widgets.explorable import Explorable, Number, Whole
from landscape_nb.widgets.planes import how_many, numbers_of, one_of, planes_data, times

HEIGHT = 0.75  # of the box, where half of its side is 1, as matplotlib's; chosen here
DISTANCE = 8.0  # from the eye to the middle of the box in the same unit; chosen here
LOWEST = 1e-9  # squared change at the foot of the logarithmic scale; chosen here
QUANTITIES = ("loss", "change", "log change")


class SurfaceExplorer(Explorable, module="surface_explorer"):
    """A surface over a plane that turns with the mouse, a finger, keys or sliders.

    Height, over the point w + x u_1 + y u_2 of the plane, is L_k ("loss"), (L_{k+1} - L_k)^2
    ("change") or the same on a logarithmic axis ("log change"). One scale serves all k and planes.

    Args:
        surfaces: name of a plane -> `Surfaces`, all on the same steps and ks.
        quantities: which of the three can be chosen.
        k: first value of its slider, one of the ks; the first if not given.
        quantity: what is shown first; the first of `quantities` if not given.
        azimuth: degrees by which the eye has gone round the surface, -180..180.
        elevation: degrees by which the eye stands above the plane, 0..90.

    Attributes:
        k: number of samples.
        plane: name of the plane.
        quantity: what the height is.
        azimuth: in degrees.
        elevation: in degrees.

    Raises:
        ValueError: a setting that there is not, or planes that do not fit together.
    """

    AZIMUTH, ELEVATION = (-180.0, 180.0), (0.0, 90.0)

    k = Whole().tag(sync=True, explorable=True)
    plane = Unicode().tag(sync=True, explorable=True)
    quantity = Unicode().tag(sync=True, explorable=True)
    azimuth = Number().tag(sync=True, explorable=True)
    elevation = Number().tag(sync=True, explorable=True)

    def __init__(
        self,
        surfaces: Mapping[str, Surfaces],
        quantities: Sequence[str] = QUANTITIES,
        *,
        k: int | None = None,
        quantity: str | None = None,
        azimuth: float = -58.0,
        elevation: float = 24.0,
    ) -> None:
        data = planes_data(surfaces)
        for name in quantities:
            one_of("quantity", name, QUANTITIES)
        if set(quantities) == {"loss"}:
            for plane in data["planes"].values():
                del plane["increment"]
        data |= {
            "quantities": list(quantities),
            "limits": {name: _limits(data, name) for name in quantities},
            "home": [azimuth, elevation],
            "ranges": {"azimuth": list(self.AZIMUTH), "elevation": list(self.ELEVATION)},
        }
        super().__init__(
            data=data,
            k=data["ks"][0] if k is None else k,
            plane=data["names"][0],
            quantity=quantities[0] if quantity is None else quantity,
            azimuth=azimuth,
            elevation=elevation,
        )

    @validate("k", "plane", "quantity")
    def _one_of(self, proposal: Any) -> Any:
        name = proposal.trait.name
        values = {"k": "ks", "plane": "names", "quantity": "quantities"}[name]
        return one_of(name, proposal.value, self.data[values])

    def numbers(self) -> dict[str, Any]:
        """Heights and what sums them up; places on the picture, where half the side is about 1."""
        heights = _heights(self.data, self.plane, self.quantity, self.data["ks"].index(self.k))
        first = _heights(self.data, self.plane, self.quantity, 0)
        size = len(self.data["steps"])
        across, up = self._places(self._points(heights))
        corners = np.array([(x, y, z) for z in (0, 1) for y in (-1, 1) for x in (-1, 1)], float)
        corners_across, corners_up = self._places(corners)
        return {
            "heights": heights.tolist(),
            "centre": float(heights[size * size // 2]),
            "lowest": float(heights.min()),
            "highest": float(heights.max()),
            "mean": float(heights.mean()),
            "times": times(float(first.mean()), float(heights.mean())),
            "across": across,
            "up": up,
            "corners": [corners_across, corners_up],
        }

    def sentence(self) -> str:
        """The present state in words, the same that the browser shows."""
        found, k, first = self.numbers(), self.k, self.data["ks"][0]
        if self.quantity == "loss":
            return (
                f"The loss of the first {k} samples in the {self.plane} plane: "
                f"{found['centre']:.3g} at the centre, from {found['lowest']:.3g} to "
                f"{found['highest']:.3g} over the plane."
            )
        words = (
            f"The squared change of the loss from {k} to {k + 1} samples in the {self.plane} "
            f"plane: {found['mean']:.1e} on average, {found['highest']:.1e} at most."
        )
        if k == first or found["times"] is None:
            return words
        return f"{words} The average at k = {first} is {how_many(found['times'])} times this."

    def purpose(self) -> str:
        """What there is to move, as a sentence."""
        return "A surface over a plane that turns, with a slider for the number of samples k."

    def _points(self, heights: np.ndarray) -> np.ndarray:
        """Points of the surface: x and y in -1..1, the height in 0..1 of its scale, (S S, 3)."""
        steps = np.array(self.data["steps"]) / self.data["steps"][-1]
        y, x = np.meshgrid(steps, steps, indexing="ij")
        low, high = self.data["limits"][self.quantity]
        if self.quantity == "log change":
            low, high, heights = np.log10(low), np.log10(high), np.log10(np.maximum(heights, low))
        return np.stack([x.ravel(), y.ravel(), (heights - low) / (high - low)], axis=1)

    def _places(self, points: np.ndarray) -> tuple[list[float], list[float]]:
        """Points as an eye sees them: across to the right, and up."""
        a, e = np.deg2rad(self.azimuth), np.deg2rad(self.elevation)
        x, y, z = points[:, 0], points[:, 1], HEIGHT * (2 * points[:, 2] - 1)
        ahead = np.cos(a) * x + np.sin(a) * y
        across = np.cos(a) * y - np.sin(a) * x
        up = np.cos(e) * z - np.sin(e) * ahead
        size = DISTANCE / (DISTANCE - np.cos(e) * ahead - np.sin(e) * z)
        return _rounded(size * across), _rounded(size * up)

    def _png(self) -> bytes:
        row = self.data["ks"].index(self.k)
        last = len(self.data["ks"]) - 1
        size = len(self.data["steps"])
        panels = {
            f"{self.plane} plane, k = {self.data['ks'][i]}": _heights(
                self.data, self.plane, self.quantity, i
            ).reshape(size, size)
            for i in sorted({row, last if row < last else 0})
        }
        view = (self.azimuth, self.elevation)
        limits = self.data["limits"][self.quantity]
        return surface_picture(self.data["steps"], panels, self.quantity, limits, view)


def _heights(data: dict[str, Any], plane: str, quantity: str, row: int) -> np.ndarray:
    """Losses or squared changes at one k, (S S,)."""
    if quantity == "loss":
        return numbers_of(data["planes"][plane]["loss"][row])
    return numbers_of(data["planes"][plane]["increment"][row]) ** 2


def _limits(data: dict[str, Any], quantity: str) -> list[float]:
    """Foot and top of the scale that all planes and ks share."""
    rows = range(len(data["ks"]))
    highest = max(_heights(data, name, quantity, i).max() for name in data["names"] for i in rows)
    highest = float(highest) or 1.0  # nothing changes at all: any scale will do
    if quantity == "log change":
        return [LOWEST, max(10.0 ** float(np.ceil(np.log10(highest))), 10 * LOWEST)]
    size = 10.0 ** np.floor(np.log10(highest))
    return [0.0, float(f"{np.ceil(2 * highest / size) * size / 2:.12g}")]  # to the next half


def _rounded(places: np.ndarray) -> list[float]:
    """To 1e-9: two libraries' sines differ in the sixteenth digit."""
    return (np.floor(1e9 * places + 0.5) / 1e9).tolist()
