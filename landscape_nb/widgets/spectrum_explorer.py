"""The spectrum of a Hessian along training, under a slider for the step."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from traitlets import validate

from landscape_nb.figures.n06_bulk_and_outliers import step_of_training
from landscape_nb.widgets.explorable import Explorable, SettingError, Whole, finite, significant


class SpectrumExplorer(Explorable, module="spectrum_explorer"):
    """A slider for the step of training over all eigenvalues of the Hessian, and the loss.

    Every eigenvalue stands at its rank, on an axis that shows small ones of either sign. A line
    marks the largest gap, a band what is within a hundredth of the largest around zero.

    Args:
        steps: of training, increasing, (S,).
        spectra: eigenvalues at each, the largest, which is positive, first, (S, N).
        losses: training loss at each, (S,).
        places: after how many eigenvalues the largest gap comes at each, (S,), 1..N-1.
        step: first value of the slider, one of the steps; the last if not given.

    Attributes:
        step: of training.

    Raises:
        ValueError: a step that is not among the steps, or arrays that do not fit together.
    """

    NEAR = 0.01  # of the largest eigenvalue: the band around zero, as in the text of notebook 06

    step = Whole().tag(sync=True, explorable=True)

    def __init__(
        self,
        steps: Sequence[int],
        spectra: ArrayLike,
        losses: ArrayLike,
        places: Sequence[int],
        step: int | None = None,
    ) -> None:
        spectra, losses = finite("spectra", spectra), finite("losses", losses)
        _fit_together(steps, spectra, losses, places)
        # what is a hundred-thousandth of the largest can't be seen, nor told from zero
        decimals = 5 - int(np.floor(np.log10(spectra.max())))
        data = {
            "steps": [int(s) for s in steps],
            "spectra": np.round(spectra, decimals).tolist(),
            "losses": significant(losses, 6),
            "places": [int(place) for place in places],
            "near": self.NEAR,
        }
        super().__init__(data=data, step=data["steps"][-1] if step is None else step)

    @validate("step")
    def _one_of_them(self, proposal: Any) -> int:
        step, steps = proposal.value, self.data["steps"]
        if step not in steps:
            nearest = min(steps, key=lambda s: abs(s - step))
            raise SettingError(
                f"step must be one of {', '.join(map(str, steps))}; got step = {step}. "
                f"The nearest is {nearest}."
            )
        return step

    def numbers(self) -> dict[str, Any]:
        """Ends of the spectrum, its largest gap, and how many eigenvalues are outside the band."""
        data, here = self.data, self.data["steps"].index(self.step)
        values, place = np.array(data["spectra"][here]), data["places"][here]
        band = data["near"] * values[0]
        above, below = int((values > band).sum()), int((values < -band).sum())
        return {
            "loss": data["losses"][here],
            "largest": float(values[0]),
            "smallest": float(values[-1]),
            "place": place,
            "gap": float(values[place - 1] / values[place]),
            "band": float(band),
            "above": above,
            "below": below,
            "close": 1 - (above + below) / len(values),
        }

    def sentence(self) -> str:
        """The present state in words, the same that the browser shows."""
        found = self.numbers()
        return (
            f"Step {self.step}: training loss {found['loss']:.2f}, largest eigenvalue "
            f"{found['largest']:.2f}, smallest {found['smallest']:.3f}. The largest gap comes "
            f"after number {found['place']} (ratio {found['gap']:.1f}, dashed). "
            f"{100 * found['close']:.0f} % of the eigenvalues are within a hundredth of the "
            f"largest around zero (shaded), {found['above']} are above and {found['below']} below."
        )

    def purpose(self) -> str:
        """What there is to move, as a sentence."""
        return "A slider for the step of training."

    def _png(self) -> bytes:
        data = self.data
        values = np.array(data["spectra"][data["steps"].index(self.step)])
        curve = data["steps"], data["losses"]
        reach = max(row[0] for row in data["spectra"]), min(row[-1] for row in data["spectra"])
        return step_of_training(self.step, values, self.numbers(), curve, reach)


def _fit_together(
    steps: Sequence[int], spectra: np.ndarray, losses: np.ndarray, places: Sequence[int]
) -> None:
    shapes = spectra.shape[:1], losses.shape, np.shape(places)
    if spectra.ndim != 2 or not all(shape == (len(steps),) for shape in shapes):
        raise ValueError(
            f"There must be a spectrum, a loss and a place for each of the {len(steps)} steps; got "
            f"spectra {spectra.shape}, losses {losses.shape}, places {np.shape(places)}."
        )
    if (np.diff(spectra) > 0).any() or (spectra[:, 0] <= 0).any():
        raise ValueError(
            "Each spectrum must begin with its largest eigenvalue, which must be positive, and "
            "descend. Sort it, for example with .flip(0) after torch.linalg.eigvalsh."
        )
    last = spectra.shape[1] - 1
    if not 1 <= min(places) <= max(places) <= last:
        raise ValueError(
            f"places must lie in 1..{last}, between two eigenvalues; got "
            f"{min(places)}..{max(places)}."
        )
