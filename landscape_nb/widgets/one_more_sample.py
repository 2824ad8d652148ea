"""A line fitted to more and more points: what one more sample does to its loss landscape."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from traitlets import List, observe, validate

from landscape_nb.figures import n00_start_here as figures
from landscape_nb.widgets.explorable import Explorable, SettingError, Whole, significant

FIRST = 2  # a line needs two points; the landscape of one is a valley without a lowest point
GRID = 41  # points to a side of the window over which squares are averaged, as in notebook 00


class OneMoreSample(Explorable, module="one_more_sample"):
    """A straight line's data, landscape and squared change, while samples join one by one.

    l_i(w) = (w1 x_i + w2 - y_i)^2 / 2,  L_k = mean of l_1 .. l_k: a bowl, known from the means of
    x, x^2, y, xy and y^2 alone. The increment L_{k+1} - L_k = (l_{k+1} - L_k)/(k+1) is quadratic
    too, so its mean square over a grid on the window has a closed form. All are exact.

    Args:
        x: the samples' places, (n,) or (n, 1): different numbers, at least three.
        y: the samples' values, of the same shape.
        k: first value of its slider; 3, or 2 of three samples, if not given.
        window: ((lowest, highest) slope, (lowest, highest) offset) of the landscape that is shown.
        curve: whether the mean squared change is drawn for every k too. Without it a reader can be
            asked how it falls.

    Attributes:
        k: number of samples so far, 2 .. n - 1. (At k = 1 the bowl is a valley: no line is best.)
        order: 0 is the given order of the samples; each other whole number is a shuffled one.
        added: the reader's own samples, [x, y, k] each: it joins after k others. Assign a new
            list to change it, or call `add`.

    Raises:
        ValueError: fewer than three samples, an x twice or not finite, a window without area, or
            a setting outside its range.

    >>> explorer = OneMoreSample([0, 1, 2, 3], [0, 1, 2, 5], k=3)
    >>> explorer.numbers()["before"]  # the line through the first three
    [1.0, 0.0]
    >>> explorer.add(3, 3)  # on the line: no surprise at the minimum, which stays
    >>> explorer.numbers()["moved"] < 1e-12
    True
    """

    k = Whole().tag(sync=True, explorable=True)
    order = Whole().tag(sync=True, explorable=True)
    added: List = List().tag(sync=True, explorable=True)

    def __init__(
        self,
        x: ArrayLike,
        y: ArrayLike,
        k: int | None = None,
        window: Sequence[Sequence[float]] = ((-0.4, 2.0), (-0.7, 1.7)),
        curve: bool = True,
    ) -> None:
        xs, ys = _samples(x, y)
        k = min(3, len(xs) - 1) if k is None else k
        ends = [[float(end) for end in pair] for pair in window]
        if not all(math.isfinite(high - low) and low < high for low, high in ends):
            raise ValueError(
                "window must be ((lowest, highest) slope, (lowest, highest) offset); "
                f"got window = {window}."
            )
        data = {
            "x": xs, "y": ys, "start": k, "window": ends, "grid": GRID,
            "view": [_view(xs, 0.12), _view(ys, 0.22)],
            "limits": list(figures.LIMITS), "levels": figures.LEVELS, "curve": bool(curve),
        }  # fmt: skip
        super().__init__(data=data, k=k)

    def add(self, x: float, y: float) -> None:
        """Make (x, y) the next sample, as a click does; if the next one was added, move it."""
        added = [list(sample) for sample in self.added]
        place = self._sequence()[2][self.k]
        if place < 0:
            self.added = [*added, [x, y, self.k]]
        else:
            added[place][:2] = [x, y]
            self.added = added

    def numbers(self) -> dict[str, Any]:
        """The samples in order, both bowls, the increment on the window and its mean squares."""
        k, (xs, ys, own) = self.k, self._sequence()
        n = len(xs)
        moments = np.array([xs, xs * xs, ys, xs * ys, ys * ys])
        means = moments.cumsum(1) / np.arange(1, n + 1)
        each, sizes = self._on_window(moments), self._sizes()
        bowls = self._on_window(means)
        increments = (each[:, 1:] - bowls[:, :-1]) / np.arange(2, n + 1)
        squares = sizes @ (increments * increments)
        around = each - bowls[:, -1:]
        spread = float((sizes @ (around * around)).sum() / (n - 1))
        before, after = (_bowl(means[:, j - 1]) for j in (k, k + 1))
        (w1, w2), (v1, v2) = before["bottom"], after["bottom"]
        return {
            "k": k, "n": n, "xs": xs.tolist(), "ys": ys.tolist(), "own": own,
            "before": [w1, w2], "after": [v1, v2], "moved": math.hypot(v1 - w1, v2 - w2),
            "bowls": [before, after], "increment": increments[:, k - 1].tolist(),
            "changed": float(squares[k - 1]), "changes": squares[FIRST - 1 :].tolist(),
            "spread": spread, "average": spread / (k * (k + 1)),
        }  # fmt: skip

    def sentence(self) -> str:
        """The present state in words, the same that the browser shows."""
        found, k = self.numbers(), self.k
        yours = ""
        if found["own"][k] >= 0:
            x, y = found["xs"][k], found["ys"][k]
            yours = f"Your sample, x = {x:.3g} and y = {y:.3g}, comes next. "
        return (
            f"{yours}From k = {k} to {k + 1}: the minimiser moves by {found['moved']:.3f}; the "
            f"mean squared change in the window is {found['changed']:.2g}."
        )

    def purpose(self) -> str:
        """What there is to move, as a sentence."""
        return "One more sample: a line's data, its loss landscape, and how much that changes."

    @validate("k")
    def _k_within(self, proposal: Any) -> int:
        last = len(self.data["x"]) + len(self.added) - 1
        if not FIRST <= proposal.value <= last:
            raise SettingError(
                f"k must lie in {FIRST}..{last}: a line needs two points, and one sample must be "
                f"left to join; got k = {proposal.value}."
            )
        return proposal.value

    @validate("order")
    def _order_within(self, proposal: Any) -> int:
        if not 0 <= proposal.value < 2**32:
            raise SettingError(
                "order must be 0 (the samples as given) or a whole number below 2^32 (a shuffled "
                f"order each); got order = {proposal.value}."
            )
        return proposal.value

    @validate("added")
    def _added_within(self, proposal: Any) -> list:
        n = len(self.data["x"])
        for i, sample in enumerate(proposal.value):
            if not _joins(sample, n + i):
                raise SettingError(
                    "added must be a list of [x, y, k], finite numbers for a sample that joins "
                    f"after k others, k a whole number in {FIRST}..{n + i - 1}; got {sample!r}. "
                    "Use add(x, y) for the next sample."
                )
        return proposal.value

    @observe("added")
    def _k_stays_within(self, _: Any) -> None:
        self.k = min(self.k, len(self.data["x"]) + len(self.added) - 1)

    def _sequence(self) -> tuple[np.ndarray, np.ndarray, list[int]]:
        """All samples in order, and for each its place among the added ones, or -1."""
        x, y = self.data["x"], self.data["y"]
        samples = [(x[i], y[i], -1) for i in _shuffled(len(x), self.order)]
        for place, (own_x, own_y, k) in enumerate(self.added):
            samples.insert(k, (own_x, own_y, place))
        xs, ys, own = zip(*samples, strict=True)
        return np.array(xs, float), np.array(ys, float), list(own)

    def _on_window(self, moments: np.ndarray) -> np.ndarray:
        """Coefficients of a loss on the window, from the means of x, x^2, y, xy, y^2; (5, ...).

        With u, v in -1..1 over slopes and offsets, of 1, u, v, u^2 - mean u^2 and u v, which are
        orthogonal on the grid. (That of v^2 is the same for all losses: no increment has it.)
        """
        (c1, h1), (c2, h2) = map(_centred, self.data["window"])
        X, XX, Y, XY, YY = moments
        m2 = _grid_moments(self.data["grid"])[0]
        rest = c1 * c1 * XX + 2 * c1 * c2 * X + c2 * c2 - 2 * c1 * XY - 2 * c2 * Y + YY
        return np.array(
            [
                (rest + m2 * (h1 * h1 * XX + h2 * h2)) / 2,
                h1 * (c1 * XX + c2 * X - XY),
                h2 * (c1 * X + c2 - Y),
                h1 * h1 * XX / 2,
                h1 * h2 * X,
            ]
        )

    def _sizes(self) -> np.ndarray:
        """Mean squares over the grid of the five functions of `_on_window`."""
        m2, v2 = _grid_moments(self.data["grid"])
        return np.array([1.0, m2, m2, v2, m2 * m2])

    def _png(self) -> bytes:
        found, k = self.numbers(), self.k
        slopes, offsets = (np.linspace(low, high, GRID) for low, high in self.data["window"])
        surfaces = [_heights(bowl, slopes, offsets) for bowl in found["bowls"]]
        return figures.one_more_sample(
            found["xs"], found["ys"], k, [found["before"], found["after"]], (slopes, offsets),
            *surfaces,
        )  # fmt: skip


def _samples(x: ArrayLike, y: ArrayLike) -> tuple[list[float], list[float]]:
    """Places and values as plain numbers of six digits."""
    xs, ys = (significant(np.ravel(values), 6) for values in (x, y))
    if len(xs) != len(ys) or len(xs) < FIRST + 1:
        raise ValueError(
            f"x and y must have the same length, {FIRST + 1} or more; got {len(xs)} and {len(ys)}."
        )
    if not np.isfinite([xs, ys]).all():
        raise ValueError("x and y must be finite; got a number that is not. Remove that sample.")
    if len(set(xs)) < len(xs):
        twice = next(v for v in xs if xs.count(v) > 1)
        raise ValueError(
            "x must be different numbers, so that any two points have one line; to six digits "
            f"x = {twice:g} comes more than once. Move one of them a little."
        )
    return xs, ys


def _view(values: list[float], room: float) -> list[float]:
    """Ends of an axis on which there is some room beyond the data, in three digits."""
    low, high = min(values), max(values)
    room *= (high - low) or 1.0
    return [float(f"{low - room:.3g}"), float(f"{high + room:.3g}")]


def _joins(sample: Any, n: int) -> bool:
    """Whether this is a sample [x, y, k] that can join n others."""
    if not isinstance(sample, list | tuple) or len(sample) != 3:
        return False
    x, y, k = sample
    numbers = all(isinstance(v, int | float) and math.isfinite(v) for v in (x, y))
    return numbers and isinstance(k, int) and FIRST <= k < n


def _shuffled(n: int, order: int) -> list[int]:
    """A permutation of 0 .. n - 1 for each order, the same in the browser; 0 changes nothing."""
    places, state = list(range(n)), order * 2654435761 % 2**32  # spreads 1, 2, 3 over the range
    for i in range(n - 1, 0, -1) if order else ():
        state = (state * 1664525 + 1013904223) % 2**32  # a linear congruential generator
        j = state * (i + 1) >> 32
        places[i], places[j] = places[j], places[i]
    return places


def _centred(ends: Sequence[float]) -> tuple[float, float]:
    """Middle and half-width."""
    low, high = ends
    return (low + high) / 2, (high - low) / 2


def _grid_moments(N: int) -> tuple[float, float]:
    """Mean and variance of u^2 over N evenly spaced u in -1..1, both ends included."""
    m2 = (N + 1) / (3 * (N - 1))
    m4 = (N + 1) * (3 * N * N - 7) / (15 * (N - 1) ** 3)
    return m2, m4 - m2 * m2


def _bowl(means: np.ndarray) -> dict[str, Any]:
    """Bottom (slope, offset), height there, and mean and variance of x, which shape the bowl.

    L(bottom + d) = height + ((d2 + mean d1)^2 + variance d1^2) / 2
    """
    X, XX, Y, XY, YY = map(float, means)
    variance, covariance = XX - X * X, XY - X * Y
    slope = covariance / variance
    height = (YY - Y * Y - slope * covariance) / 2
    return {"bottom": [slope, Y - slope * X], "height": height, "mean": X, "variance": variance}


def _heights(bowl: dict[str, Any], slopes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """A bowl on the window, (offsets, slopes)."""
    d1, d2 = slopes - bowl["bottom"][0], offsets[:, None] - bowl["bottom"][1]
    return bowl["height"] + ((d2 + bowl["mean"] * d1) ** 2 + bowl["variance"] * d1**2) / 2
