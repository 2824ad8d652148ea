"""Contour lines by marching squares: the same pieces, in the same order, as in contours.js."""

import numpy as np

# Sides of a cell: 0 bottom, 1 right, 2 top, 3 left. For each set of corners above the level
# (1 left bottom, 2 right bottom, 4 right top, 8 left top): the sides that one or two lines join.
NONE = (-1, -1)
JOINED = np.array([
    (NONE, NONE), ((3, 0), NONE), ((0, 1), NONE), ((3, 1), NONE),
    ((1, 2), NONE), ((3, 0), (1, 2)), ((0, 2), NONE), ((3, 2), NONE),
    ((2, 3), NONE), ((0, 2), NONE), ((0, 1), (2, 3)), ((1, 2), NONE),
    ((3, 1), NONE), ((0, 1), NONE), ((3, 0), NONE), (NONE, NONE),
])  # fmt: skip
SADDLES = (5, 10)  # two opposite corners above


def segments(steps: np.ndarray, Z: np.ndarray, level: float) -> np.ndarray:
    """Straight pieces of the line Z = level, one or two a cell, (pieces, 4): x, y, x, y.

    Along a cell's sides Z is taken to be linear. In a saddle the two corners above the level hang
    together if the mean of all four is above it too. Cells follow each other along x, then y.

    Args:
        steps: (S,), places along both directions.
        Z: (S, S), heights, rows are y.
        level: the height.

    >>> segments(np.array([-1.0, 1.0]), np.array([[0.0, 0.0], [1.0, 1.0]]), 0.25)
    array([[-1. , -0.5,  1. , -0.5]])
    """
    a, b, c, d = Z[:-1, :-1], Z[:-1, 1:], Z[1:, 1:], Z[1:, :-1]
    code = np.stack([a, b, c, d], axis=-1) > level
    cases = code @ np.array([1, 2, 4, 8])
    turned = np.isin(cases, SADDLES) & ((a + b + c + d) / 4 > level)
    pairs = JOINED[np.where(turned, 15 - cases, cases)]  # (rows, columns, 2, 2)
    rows, columns, slots = np.nonzero(pairs[..., 0] >= 0)
    sides = _crossings(steps, (a, b, c, d), level)
    ends = (sides[rows, columns, pairs[rows, columns, slots, end]] for end in (0, 1))
    return np.concatenate(list(ends), axis=1)


def _crossings(steps: np.ndarray, corners: tuple[np.ndarray, ...], level: float) -> np.ndarray:
    """Where the level would be crossed on each cell's four sides, (rows, columns, 4, 2)."""
    a, b, c, d = corners
    x, y = np.broadcast_arrays(steps[None, :-1], steps[:-1, None])
    right, top = np.broadcast_arrays(steps[None, 1:], steps[1:, None])

    def between(
        low: np.ndarray, high: np.ndarray, start: np.ndarray, end: np.ndarray
    ) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):  # sides that no line crosses
            return start + (level - low) / (high - low) * (end - start)

    points = [
        (between(a, b, x, right), y), (right, between(b, c, y, top)),
        (between(d, c, x, right), top), (x, between(a, d, y, top)),
    ]  # fmt: skip
    return np.stack([np.stack(point, axis=-1) for point in points], axis=2)
