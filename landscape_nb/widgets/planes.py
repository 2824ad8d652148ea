"""Loss surfaces over planes as plain lists: what the explorables of a landscape carry."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape_nb.numerics import checks
from landscape_nb.theory.surfaces import Surfaces
from landscape_nb.widgets.explorable import SettingError

DIGITS = 5  # of a height: a thousandth of a pixel, and half the length of a float; chosen here


def planes_data(surfaces: Mapping[str, Surfaces]) -> dict[str, Any]:
    """Names of the planes, their steps and ks, and for each plane its heights, rounded once.

    `planes[name]["loss"][i]` is L_k for k = ks[i] as one text, row after row from the lowest y;
    `["increment"]` is L_{k+1} - L_k in the same order.

    Raises:
        ValueError: no planes, planes on different steps or ks, or steps that are not evenly spaced
            around 0.
    """
    if not surfaces:
        raise ValueError("surfaces must hold a plane at least, name -> Surfaces; got none.")
    name, first = next(iter(surfaces.items()))
    _check_steps(name, first)
    for other, surface in surfaces.items():
        if any(not torch.equal(*pair) for pair in zip(_grid(first), _grid(surface), strict=True)):
            raise ValueError(
                f"All planes must share their ks and their steps; {other!r} has others than "
                f"{name!r}. Give loss_surfaces the same ks and x for both."
            )
    return {
        "names": list(surfaces),  # a stored notebook sorts the keys of what follows
        "ks": first.ks.tolist(),
        "steps": numbers_of(rounded(first.x)).tolist(),
        "planes": {
            name: {
                "loss": [rounded(Z) for Z in surface.values],
                "increment": [rounded(Z) for Z in surface.increments],
            }
            for name, surface in surfaces.items()
        },
    }


def rounded(Z: Tensor) -> str:
    """All entries in one text, with the digits that a picture needs.

    A stored notebook gives each number of a list a line of its own; a text stays one line.

    >>> rounded(torch.tensor([[1 / 3, 2e-7 / 3]], dtype=torch.float64))
    '0.33333 6.6667e-08'
    """
    return " ".join(f"{z:.{DIGITS}g}" for z in Z.flatten().tolist())


def numbers_of(text: str) -> np.ndarray:
    """What `rounded` has written."""
    return np.array(text.split(), dtype=float)


def one_of(name: str, value: Any, values: Sequence[Any]) -> Any:
    """The value if it is one of those that there are, else a ValueError."""
    if value not in values:
        raise SettingError(f"{name} must be one of {list(values)}; got {name} = {value!r}.")
    return value


def times(many: float, few: float) -> float | None:
    """How many times larger; None where there is nothing to divide by."""
    return many / few if few else None


def how_many(count: float) -> str:
    """A ratio in words.

    >>> how_many(5239.4), how_many(0.123)
    ('5239', '0.12')
    """
    return f"{count:.0f}" if count >= 10 else f"{count:.2f}"


def _grid(surface: Surfaces) -> tuple[Tensor, ...]:
    return surface.ks, surface.x, surface.y


def _check_steps(name: str, surface: Surfaces) -> None:
    x, y = surface.x, surface.y
    even = torch.linspace(-float(x[-1]), float(x[-1]), len(x), dtype=x.dtype)
    if len(x) < 3 or len(x) % 2 == 0 or not torch.equal(x, y) or not torch.allclose(x.cpu(), even):
        raise ValueError(
            "Steps must be the same along both directions, evenly spaced around 0, an odd number "
            f"of them and at least 3; plane {name!r} has x = {checks.shown(x)}. Take "
            "torch.linspace(-1, 1, 21)."
        )
