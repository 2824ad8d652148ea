"""What every explorable is: settings to move, closed forms to show, the same words everywhere.

The state (settings and `data`) is synchronised with the front end, whose ES module computes and
draws from it, at once and without a kernel; the methods here compute the same from the same state.
Where nothing runs, the stored picture and its words stand in, and the state stored beside them
brings the exported page to life.
"""

import base64
import json
from typing import Any

import numpy as np
from anywidget import AnyWidget
from numpy.typing import ArrayLike
from traitlets import Dict, Float, Int, TraitError

from landscape_nb.widgets.es_modules import es_module, page_style


class SettingError(ValueError, TraitError):
    """A setting that cannot be. traitlets takes back what was set along with it, as for its own."""


class Number(Float):
    """A setting that is a number: Python's, NumPy's or PyTorch's."""

    def validate(self, obj: Any, value: Any) -> float:
        """The value as Python's own number, if it lies in its range."""
        return obj.within(self.name, super().validate(obj, _plain(value)))


class Whole(Int):
    """A setting that is a whole number: Python's, NumPy's or PyTorch's."""

    def validate(self, obj: Any, value: Any) -> int:
        """The same; True and False are not taken for 1 and 0."""
        if isinstance(value, bool | np.bool_):
            self.error(obj, value)
        return obj.within(self.name, super().validate(obj, _plain(value)))


class Explorable(AnyWidget):
    """A picture that follows its settings in the browser.

    A subclass names its ES module, declares its settings as synchronised traits, and has the two
    methods below. `module="bowl_explorer"` is the file bowl_explorer.js.

    Attributes:
        data: what the settings are not: plain lists and numbers, the same for the widget's life.
            Its `ranges` (name -> (low, high)), where there are any, bound the settings.
    """

    data = Dict(read_only=True).tag(sync=True)
    _css = page_style()
    _module: str

    def __init_subclass__(cls, module: str | None = None, **kwargs: Any) -> None:
        """Load the ES module of that name; anywidget's own subclasses keep their parent's."""
        if module is not None:
            cls._module, cls._esm = module, es_module(module)
        super().__init_subclass__(**kwargs)

    def __init__(self, data: dict[str, Any], **settings: Any) -> None:
        self.set_trait("data", data)
        super().__init__(**settings)

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._settings())
        return f"{type(self).__name__}({settings})"

    def sentence(self) -> str:
        """The present state in words, the same that the browser shows."""
        raise NotImplementedError

    def numbers(self) -> dict[str, Any]:
        """Everything that is shown, computed: plain lists and numbers, as in the ES module."""
        raise NotImplementedError

    def purpose(self) -> str:
        """What there is to move, as a sentence."""
        raise NotImplementedError

    def _png(self) -> bytes:
        """The present state as a still picture."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """Settings and data by name: what an exported page needs."""
        return {name: getattr(self, name) for name in [*self._settings(), "data"]}

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take what a front end sends; where that is refused, tell it what holds."""
        try:
            super().set_state(sync_data)
        except TraitError:
            self.send_state(list(sync_data))
            raise

    def within(self, name: str, value: float) -> Any:
        """The value of a setting if it lies in its range, where it has one, else a ValueError."""
        low, high = self.data.get("ranges", {}).get(name, (value, value))
        if not low <= value <= high:
            raise SettingError(f"{name} must lie in {low:g}..{high:g}; got {name} = {value}.")
        return value

    def _settings(self) -> list[str]:
        return sorted(self.trait_names(sync=True, explorable=True))

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict, dict]:
        data, metadata = super()._repr_mimebundle_(**kwargs)  # type: ignore[misc]
        words = f"{self.purpose()} {self.sentence()}"
        data["text/plain"] = words
        data["image/png"] = base64.b64encode(self._png()).decode()
        ours = {"image/png": {"alt": words}}
        return data, {**metadata, **ours, "explorable": self._stored()}

    def _stored(self) -> dict[str, str]:
        """The state as one text, which a notebook keeps on one line; a list takes one a number."""
        state = json.dumps(self.state(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return {"module": self._module, "state": state}


def finite(name: str, values: ArrayLike) -> np.ndarray:
    """The values as numbers, if all are finite, else a ValueError that names the first other."""
    numbers = np.asarray(values, dtype=float)
    other = ~np.isfinite(numbers)
    if other.any():
        raise ValueError(
            f"{name} must be finite; got {numbers[other][0]} (in {other.sum()} of "
            f"{other.size} places). Leave out what diverged."
        )
    return numbers


def significant(values: ArrayLike, digits: int) -> Any:
    """Numbers as plain lists, or one as itself, with so many significant digits.

    >>> significant([[1 / 3, 200.26]], 4)
    [[0.3333, 200.3]]
    """
    numbers = np.asarray(values, dtype=float)
    if numbers.ndim:
        return [significant(row, digits) for row in numbers]
    return float(f"{numbers:.{digits}g}")


def _plain(value: Any) -> Any:
    """A scalar of NumPy or PyTorch as Python's own."""
    return value.item() if hasattr(value, "item") and np.ndim(value) == 0 else value
