"""Ritz values closing in on a spectrum, under a slider for the number of Lanczos steps."""

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from landscape_nb.figures.n03_top_eigenspace import closing_in
from landscape_nb.widgets.explorable import Explorable, Number, Whole, finite, significant


class RitzExplorer(Explorable, module="ritz_explorer"):
    """Sliders for the number of Lanczos steps and the tolerance over Ritz values and spectrum.

    After m steps of one run there are m Ritz values, the eigenvalues of H as far as the Krylov
    space span{q, Hq, .., H^(m-1) q} knows it. Those whose residual |Hu - theta u| is below the
    tolerance count as converged. Beside them, over all m: how far the largest and the smallest
    Ritz value are from the ends of the spectrum, and the residual of the top pair.

    Args:
        true: all eigenvalues, (N,), in any order.
        ritz: Ritz values after 1, 2, .. M steps, ascending: (1,), (2,), .. (M,).
        residuals: of these, the same shapes, >= 0.
        m: first value of its slider, 1..M; M if not given.
        tolerance: first value of its slider, 1e-9..0.1, in units of the eigenvalues.

    Attributes:
        m: number of steps.
        tolerance: residual below which a pair counts as converged.

    Raises:
        ValueError: m or tolerance outside its range, or lists that do not fit together.
    """

    TOLERANCES = (1e-9, 1e-1)
    ROUNDING = 1e-12  # of the spectrum's width: what is smaller is told as 0. Chosen here

    m = Whole().tag(sync=True, explorable=True)
    tolerance = Number().tag(sync=True, explorable=True)

    def __init__(
        self,
        true: ArrayLike,
        ritz: Sequence[ArrayLike],
        residuals: Sequence[ArrayLike],
        m: int | None = None,
        tolerance: float = 1e-3,
    ) -> None:
        values, rows, sizes = (
            np.sort(finite("true", true).ravel())[::-1],
            _rows(ritz, "ritz"),
            _rows(residuals, "residuals"),
        )
        if len(rows) != len(sizes):
            raise ValueError(
                "There must be residuals for the Ritz values of every step; got Ritz values for "
                f"{len(rows)} steps and residuals for {len(sizes)}."
            )
        floor = self.ROUNDING * (values[0] - values[-1])
        missed = {
            "largest": [values[0] - row[-1] for row in rows],
            "smallest": [row[0] - values[-1] for row in rows],
        }
        data = {
            "true": significant(values, 5),
            "ritz": [significant(row, 5) for row in rows],
            "residuals": [_told(row, floor) for row in sizes],
            "missed": {end: _told(errors, floor) for end, errors in missed.items()},
            "ranges": {"m": [1, len(rows)], "tolerance": list(self.TOLERANCES)},
        }
        super().__init__(data=data, m=len(rows) if m is None else m, tolerance=tolerance)

    def numbers(self) -> dict[str, Any]:
        """Ritz values by whether they have converged, how many at each end, and what is missed."""
        data, here = self.data, self.m - 1
        theta, residuals = data["ritz"][here], data["residuals"][here]
        converged = [residual < self.tolerance for residual in residuals]
        upper = sum(takewhile(bool, reversed(converged)))
        lower = sum(takewhile(bool, converged[: self.m - upper]))
        return {
            "converged": [t for t, done in zip(theta, converged, strict=True) if done],
            "others": [t for t, done in zip(theta, converged, strict=True) if not done],
            "upper": upper,
            "lower": lower,
            "residual": residuals[-1],
            "largest": data["missed"]["largest"][here],
            "smallest": data["missed"]["smallest"][here],
        }

    def sentence(self) -> str:
        """The present state in words, the same that the browser shows."""
        found = self.numbers()
        return (
            f"After m = {self.m} steps {found['upper']} of the {self.m} Ritz values have "
            f"converged at the upper end and {found['lower']} at the lower end: residual below "
            f"{self.tolerance:.2g}. The largest eigenvalue is missed by "
            f"{_size(found['largest'])} (residual: {_size(found['residual'])}), the smallest by "
            f"{_size(found['smallest'])}."
        )

    def purpose(self) -> str:
        """What there is to move, as a sentence."""
        return "Sliders for the number of Lanczos steps and the tolerance."

    def _png(self) -> bytes:
        found, data = self.numbers(), self.data
        curves = {**data["missed"], "residual": [row[-1] for row in data["residuals"]]}
        groups = found["converged"], found["others"]
        return closing_in(self.m, *groups, data["true"], curves, self.tolerance)


def _rows(lists: Sequence[ArrayLike], name: str) -> list[np.ndarray]:
    """The lists as arrays, if they are as long as there were steps: 1, 2, 3, .."""
    rows = [finite(name, row) for row in lists]
    lengths = [row.size for row in rows]
    if not rows or lengths != list(range(1, len(rows) + 1)):
        raise ValueError(
            f"{name} must hold a list for each number of steps, 1, 2, 3, .., each as long as there "
            f"were steps; got lengths {lengths}."
        )
    return rows


def _told(sizes: ArrayLike, floor: float) -> list[float]:
    """In two digits, which is all that is drawn; 0 where it is below the floor: rounding."""
    return significant(np.where(np.abs(sizes) >= floor, sizes, 0.0), 2)


def _size(error: float) -> str:
    return "no more than rounding" if error == 0 else f"{error:.2g}"
