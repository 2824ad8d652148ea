"""The landscape before and after one more sample, under a slider for the number of samples."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from traitlets import validate

from landscape_nb.figures.n05_loss_surfaces import landscape_picture
from landscape_nb.theory.surfaces import Surfaces
from landscape_nb.widgets.contours import segments
from landscape_nb.widgets.explorable import Explorable, Whole
from landscape_nb.widgets.planes import how_many, numbers_of, one_of, planes_data, times

LINES = 12  # contour lines at most where they are evenly spaced, chosen here


class LandscapeExplorer(Explorable, module="landscape_explorer"):
    """A slider for k over contour lines of L_k and L_{k+1}, and a map of (L_{k+1} - L_k)^2.

    For each plane. Lines and colours stand for the same heights at every k.

    Args:
        surfaces: name of a plane -> `Surfaces`, all on the same steps and ks.
        k: first value of the slider, one of the ks; the first if not given.

    Attributes:
        k: number of samples before.

    Raises:
        ValueError: k is not one of the ks, or the planes do not fit together.
    """

    k = Whole().tag(sync=True, explorable=True)

    def __init__(self, surfaces: Mapping[str, Surfaces], k: int | None = None) -> None:
        data = planes_data(surfaces)
        for plane in data["planes"].values():
            before, change = (
                np.array([numbers_of(text) for text in plane[part]])
                for part in ("loss", "increment")
            )
            plane["levels"] = _levels(before, before + change)
        super().__init__(data=data, k=data["ks"][0] if k is None else k)

    @validate("k")
    def _one_of(self, proposal: Any) -> int:
        return one_of("k", proposal.value, self.data["ks"])

    def numbers(self) -> dict[str, Any]:
        """For each plane its contour lines, as pieces x, y, x, y, and its change in numbers."""
        planes = {name: self._plane(name) for name in self.data["names"]}
        means = [planes[name]["mean"] for name in self.data["names"]]
        return {"planes": planes, "times": times(means[0], means[-1])}

    def sentence(self) -> str:
        """The present state in words, the same that the browser shows."""
        found, names, k = self.numbers(), self.data["names"], self.k
        before, after = found["planes"][names[0]]["centre"]
        means = [f"{found['planes'][name]['mean']:.1e} in the {name} plane" for name in names]
        words = (
            f"k = {k}: sample {k + 1} changes the loss at the centre from {before:.4f} to "
            f"{after:.4f}. Mean squared change: {' and '.join(means)}"
        )
        if len(names) == 1 or found["times"] is None:
            return f"{words}."
        return f"{words}, {how_many(found['times'])} times as much in the {names[0]} one."

    def purpose(self) -> str:
        """What there is to move, as a sentence."""
        return "A slider for the number of samples k, over the landscape before and after one more."

    def _surfaces(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """L_k and the increment of a plane, (S, S) each."""
        row, size = self.data["ks"].index(self.k), len(self.data["steps"])
        plane = self.data["planes"][name]
        loss, change = (numbers_of(plane[part][row]) for part in ("loss", "increment"))
        return loss.reshape(size, size), change.reshape(size, size)

    def _plane(self, name: str) -> dict[str, Any]:
        steps, levels = np.array(self.data["steps"]), self.data["planes"][name]["levels"]
        loss, change = self._surfaces(name)
        middle = len(steps) // 2

        def lines(Z: np.ndarray) -> list[list[float]]:
            return [segments(steps, Z, level).ravel().tolist() for level in levels]

        return {
            "before": lines(loss),
            "after": lines(loss + change),
            "zero": segments(steps, change, 0.0).ravel().tolist(),
            "mean": float((change**2).mean()),
            "centre": [float(Z[middle, middle]) for Z in (loss, loss + change)],
        }

    def _png(self) -> bytes:
        planes = {name: self._surfaces(name) for name in self.data["names"]}
        levels = {name: self.data["planes"][name]["levels"] for name in planes}
        return landscape_picture(self.data["steps"], self.k, planes, levels)


def _levels(*losses: np.ndarray) -> list[float]:
    """Heights of contour lines: powers of two if three or more fit, else evenly spaced ones."""
    low, high = (float(end) for end in (np.min(losses), np.max(losses)))
    if low > 0:
        powers = np.arange(np.ceil(np.log2(low)), np.floor(np.log2(high)) + 1)
        if len(powers) > 2:
            return (2.0**powers).tolist()
    if high == low:
        return [low]
    size = 10.0 ** np.floor(np.log10((high - low) / LINES))
    step = next(m * size for m in (1, 2, 5, 10) if m * size * LINES >= high - low)
    count = np.arange(np.ceil(low / step), np.floor(high / step) + 1)
    return [float(f"{step * i:.9g}") for i in count]
