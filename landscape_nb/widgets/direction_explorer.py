"""A direction that turns on a bowl or a saddle, and the curvature along it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from traitlets import Unicode, validate

from landscape_nb.figures.explorers import direction_picture
from landscape_nb.widgets.explorable import Explorable, Number, finite
from landscape_nb.widgets.planes import one_of

SURFACES = {"bowl": ((2.0, 1.2), (1.2, 1.0)), "saddle": ((2.0, 0.0), (0.0, -2.0))}


class DirectionExplorer(Explorable, module="direction_explorer"):
    """A direction u to turn on L(w) = w'Hw / 2: the parabola along it, and u'Hu at every angle.

    u = (cos angle, sin angle);  L(t u) = t^2 u'Hu / 2. Over all directions u'Hu goes from the
    smallest eigenvalue of H to the largest, and takes both along eigenvectors.

    Args:
        surfaces: name -> symmetric H, (2, 2), not all zero; a list appears where there are several.
        angle: first direction, degrees from the first axis, 0..360.
        surface: what is shown first; the first of the surfaces if not given.

    Attributes:
        angle: of the direction, in degrees.
        surface: name of the surface.

    Raises:
        ValueError: no surfaces, or none of that name; a matrix of another shape, not symmetric,
            not finite, or zero.
    """

    ANGLE = (0.0, 360.0)
    REACH = 1.5  # the surface is shown this much to either side

    angle = Number().tag(sync=True, explorable=True)
    surface = Unicode().tag(sync=True, explorable=True)

    def __init__(
        self,
        surfaces: Mapping[str, ArrayLike] = SURFACES,
        angle: float = 15.0,
        surface: str | None = None,
    ) -> None:
        if not surfaces:
            raise ValueError(
                'surfaces must hold at least one surface; got {}. Take {"bowl": [[2.0, 1.2], '
                "[1.2, 1.0]]}."
            )
        data: dict[str, Any] = {
            "names": list(surfaces),
            "surfaces": {name: _described(name, H) for name, H in surfaces.items()},
            "reach": self.REACH,
            "ranges": {"angle": list(self.ANGLE)},
        }
        first = data["names"][0] if surface is None else surface
        super().__init__(data=data, angle=angle, surface=first)

    @validate("surface")
    def _one_of(self, proposal: Any) -> str:
        return one_of("surface", proposal.value, self.data["names"])

    def numbers(self) -> dict[str, Any]:
        """The direction, the three terms of u'Hu, the parabola, and u'Hu every three degrees."""
        u, steps = _direction(self.angle), np.arange(-30, 31) / 20
        terms = self._terms(u)
        curvature = float(terms.sum())
        return {
            "u": u.tolist(),
            "terms": terms.tolist(),
            "curvature": curvature,
            "steps": steps.tolist(),
            "parabola": (steps**2 * curvature / 2).tolist(),
            "around": self._terms(_direction(np.arange(0, 361, 3))).sum(0).tolist(),
        }

    def sentence(self) -> str:
        """The present state in words, the same that the browser shows."""
        found = self.numbers()
        curvature, (one, both, two) = found["curvature"], found["terms"]
        return (
            f"u points at {self.angle:.0f} degrees. The curvature along it: u'Hu = "
            f"u\u2081\u00b2 H\u2081\u2081 + 2 u\u2081u\u2082 H\u2081\u2082 + "
            f"u\u2082\u00b2 H\u2082\u2082 = {_signed(one)} {_added(both)} {_added(two)} = "
            f"{_signed(curvature)}. {_bends(curvature)} {self._among_all(curvature)}"
        )

    def purpose(self) -> str:
        """What there is to move, as a sentence."""
        return "A direction to turn, by a slider or by dragging, and the curvature along it."

    def _terms(self, u: np.ndarray) -> np.ndarray:
        """u1^2 H11, 2 u1 u2 H12 and u2^2 H22, (3,) or one column a direction."""
        (a, b), (_, d) = self.data["surfaces"][self.surface]["H"]
        return np.array([u[0] * u[0] * a, 2 * u[0] * u[1] * b, u[1] * u[1] * d])

    def _among_all(self, curvature: float) -> str:
        """Where this curvature stands among those of all directions."""
        chosen = self.data["surfaces"][self.surface]
        low, high = chosen["values"]
        if high - low < 1e-9:
            return "It is the same in every direction: every one is an eigenvector."
        names = ("smaller", "larger")
        for angle, name, value in zip(chosen["angles"], names, (low, high), strict=True):
            if abs((self.angle - angle + 270) % 180 - 90) <= 1:  # u and -u are one direction
                return (
                    f"No direction has a {name} one: here u is an eigenvector of H (within a "
                    f"degree), and {_signed(value)} is its eigenvalue."
                )
        return f"Over all directions it goes from {_signed(low)} to {_signed(high)}."

    def _png(self) -> bytes:
        chosen = self.data["surfaces"][self.surface]
        shown = [0.0, *(v for one in self.data["surfaces"].values() for v in one["values"])]
        room = 0.08 * (max(shown) - min(shown))  # the same axis for all surfaces
        limits = (min(shown) - room, max(shown) + room)
        return direction_picture(chosen, self.numbers(), self.angle, self.REACH, limits)


def _described(name: str, H: ArrayLike) -> dict[str, Any]:
    """The matrix, its eigenvalues, ascending, and the angles of their eigenvectors, 0..180."""
    matrix = finite(f"the matrix of {name!r}", H)
    if matrix.shape != (2, 2) or not np.array_equal(matrix, matrix.T) or not matrix.any():
        raise ValueError(
            "surfaces must map a name to a symmetric matrix, (2, 2), with an entry that is not 0; "
            f"got {np.asarray(H).tolist()} for {name!r}. Take [[2.0, 1.2], [1.2, 1.0]]."
        )
    values, vectors = np.linalg.eigh(matrix)
    angles = np.degrees(np.arctan2(vectors[1], vectors[0])) % 180
    return {"H": matrix.tolist(), "values": values.tolist(), "angles": angles.tolist()}


def _direction(angle: float | np.ndarray) -> np.ndarray:
    """(cos, sin) to 1e-9: two libraries' cosines differ in the sixteenth digit."""
    radians = np.asarray(angle) * np.pi / 180
    return np.floor(1e9 * np.array([np.cos(radians), np.sin(radians)]) + 0.5) / 1e9


def _bends(curvature: float) -> str:
    if abs(curvature) < 0.005:
        return "The surface is level along u."
    return f"The parabola opens {'upwards' if curvature > 0 else 'downwards'}."


def _signed(value: float) -> str:
    """With two digits, and no minus before a zero."""
    return f"{value if abs(value) >= 0.005 else 0.0:.2f}"


def _added(value: float) -> str:
    """The same as a term of a sum."""
    written = _signed(value)
    return f"- {written[1:]}" if written[0] == "-" else f"+ {written}"
