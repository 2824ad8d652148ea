"""How much data is enough, under a tolerance that can be dragged."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape_nb.figures.enough_curve import enough_curve
from landscape_nb.numerics import checks
from landscape_nb.theory import bands
from landscape_nb.theory.enough import EnoughData, settled_within
from landscape_nb.widgets.explorable import Explorable, Number, significant

SMALLEST = math.ulp(0.0)  # the smallest positive number
SQUARED = "loss\u00b2"
EDGES = ("mean", "low", "high")


class EnoughExplorer(Explorable, module="enough_explorer"):
    """A slider for the tolerance, and a line to drag, over measured curves of a criterion.

    K and its interval are those of `enough_data_interval(ks, curves, tolerance, level=level)`, at
    every tolerance: the band of the mean does not depend on it and is a table.

    Args:
        ks: increasing numbers of samples, (m,).
        curves: (R, m), the criterion of each run at each k; R >= 2.
        tolerance: first value of its slider, in the unit of the curves.
        level: of the interval.
        band: log of the mean and of its edges, (m,) each, in place of `bands.runs_band`: for
            curves that are not runs. They are then only drawn, and one alone will do.
        unit: of the curves. Where it is "loss²" the words also give the root of the tolerance.

    Attributes:
        tolerance: in the unit of the curves.

    Raises:
        ValueError: an argument does not fit, or a tolerance outside the picture.

    >>> curves = [[9.0, 2.0, 0.4, 0.1], [9.0, 1.5, 0.6, 0.1], [9.0, 1.3, 0.2, 0.1]]
    >>> print(EnoughExplorer([10, 20, 40, 80], curves, 1.0).enough())
    26 (90 %: 21 to 42)
    """

    tolerance = Number().tag(sync=True, explorable=True)

    def __init__(
        self,
        ks: Sequence[int] | Tensor,
        curves: bands.Rows,
        tolerance: float,
        *,
        level: float = 0.9,
        band: bands.Band | None = None,
        unit: str = SQUARED,
    ) -> None:
        grid = checks.prefix_lengths(ks, None, high_means="number of samples")
        tolerance = checks.positive("tolerance", tolerance, "in the unit of the curves")
        if band is None:
            rows = bands.measured_rows(curves, len(grid), bands.RUNS)
            band = bands.runs_band(rows, level)
        else:
            rows = bands.as_numbers("curves", curves)
            shapes = [tuple(rows.shape[1:]), *(tuple(edge.shape) for edge in band)]
            if shapes != [(len(grid),)] * 4:
                raise ValueError(
                    f"Rows of curves, and mean, low and high of the band, must hold one number for "
                    f"each of the {len(grid)} ks; got shapes {shapes}."
                )
        data = {
            "ks": grid,
            "curves": significant(rows, 6),
            "band": {name: _edge(edge) for name, edge in zip(EDGES, band, strict=True)},
            "level": float(level),
            "unit": unit,
            "ranges": {"tolerance": _decades(rows, tolerance)},
        }
        super().__init__(data=data, tolerance=tolerance)

    def enough(self, stricter: float = 1.0) -> EnoughData:
        """K and its interval at the tolerance, or at one that is so many times stricter."""
        data = self.data
        mean, low, high = torch.tensor(self._logs(), dtype=torch.float64)
        scatter = "what differed between the rows"
        tolerance = self.tolerance / stricter
        return settled_within(data["ks"], (mean, low, high), tolerance, data["level"], scatter)

    def numbers(self) -> dict[str, Any]:
        """K and its interval, None for *not reached*; K of a tolerance ten times stricter."""
        found = self.enough()
        ends = {"K": found.K, "low": found.low, "high": found.high}
        return {**ends, "stricter": self.enough(10).K}

    def sentence(self) -> str:
        """The present state in words, the same that the browser shows."""
        found, unit = self.enough(), self.data["unit"]
        which = f"Tolerance {self.tolerance:.1e} {unit}"
        if unit == SQUARED:
            which += f" (one more sample moves the loss by about {self.tolerance**0.5:.2g})"
        return f"{which}: {_verdict(found)} {_price(found, self.enough(10))}"

    def purpose(self) -> str:
        """What there is to move, as a sentence."""
        return "A slider for the tolerance, and a line to drag, over the enough-data curve."

    def _logs(self) -> list[list[float]]:
        """Log of the mean and of its edges, (3, m)."""
        edges = [self.data["band"][name] for name in EDGES]
        return [list(map(_log, edge["logs"], edge["above"])) for edge in edges]

    def _png(self) -> bytes:
        data = self.data
        return enough_curve(
            data["ks"], data["curves"], np.exp(self._logs()), self.enough(), self.tolerance,
            data["ranges"]["tolerance"], data["unit"],
        )  # fmt: skip


def _verdict(found: EnoughData) -> str:
    """K with its interval, and whether the question is settled."""
    lead = "" if found.K is None else "enough " if found.K == found.first else "enough at "
    rest = {
        True: "",
        None: f" Whether {found.last} samples are enough is open: measure on.",
        False: f" Not even {found.last} samples are enough.",
    }
    return f"{lead}{found}.{rest[found.reached]}"


def _price(found: EnoughData, strict: EnoughData) -> str:
    """What a tenth of the tolerance would take."""
    K = f"Ten times stricter: {found._in_words(strict.K)}"
    if found.K is None or strict.K is None or found.K == found.first:
        return f"{K}."
    return f"{K}, {strict.K / found.K:.1f} times as many."


# -- a band as a table ----------------------------------------------------------------------------


def _edge(logs: Tensor) -> dict[str, list]:
    """Logs of a curve as JSON, and from which tolerance on each lies below it.

    JavaScript's logarithm may differ from Python's in the last digit. At a tolerance that equals a
    measured number that digit would decide, so the comparison is made here, once: `above` is the
    smallest number whose logarithm is larger; None: there is none. An infinite log is None too.
    """
    values = logs.double().tolist()
    return {
        "logs": [y if math.isfinite(y) else None for y in values],
        "above": [_first_above(y) for y in values],
    }


def _first_above(log: float) -> float | None:
    if log == -math.inf:
        return 0.0
    if log > 700:  # e^709.8 is the largest number
        return None
    at = max(math.exp(log), SMALLEST)
    while at > SMALLEST and math.log(at) > log:
        at = math.nextafter(at, 0.0)
    while not math.log(at) > log:
        at = math.nextafter(at, math.inf)
    return at


def _log(log: float | None, above: float | None) -> float:
    return log if log is not None else -math.inf if above == 0 else math.inf


# -- what the picture shows -----------------------------------------------------------------------


def _decades(rows: Tensor, tolerance: float) -> list[float]:
    """Whole decades around the curves, with one to spare on either side, and the tolerance."""
    heights = [*rows[rows > 0].tolist(), tolerance]
    low, high = math.log10(min(heights)), math.log10(max(heights))
    return [10.0 ** math.floor(low - 0.5), 10.0 ** math.ceil(high + 0.5)]
