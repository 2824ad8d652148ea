"""What every explorable is: settings to move, closed forms to show, the same words everywhere.

The state (settings and `data`) is synchronised with the front end, whose ES module computes and
draws from it, at once and without a kernel; the methods here compute the same from the same state.
Where nothing runs, the stored picture and its words stand in, and the state stored beside them
brings the exported page to life.
"""

import base64
import json
from typing import Any

from anywidget import AnyWidget
from traitlets import Dict

from landscape_nb.widgets.es_modules import es_module, page_style


class Explorable(AnyWidget):
    """A picture that follows its settings in the browser.

    A subclass names its ES module, declares its settings as synchronised traits, and has the two
    methods below. `module="bowl_explorer"` is the file bowl_explorer.js.

    Attributes:
        data: what the settings are not: plain lists and numbers, the same for the widget's life.
            Its `ranges` (name -> (low, high)), where there are any, bound the settings.
    """

    data = Dict().tag(sync=True)
    _css = page_style()
    _module: str

    def __init_subclass__(cls, module: str | None = None, **kwargs: Any) -> None:
        """Load the ES module of that name; anywidget's own subclasses keep their parent's."""
        if module is not None:
            cls._module, cls._esm = module, es_module(module)
        super().__init_subclass__(**kwargs)

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
        ours = self.trait_names(sync=True, explorable=True)
        return {name: getattr(self, name) for name in [*sorted(ours), "data"]}

    def within(self, proposal: Any) -> Any:
        """The proposed value of a setting if it lies in its range, else a ValueError."""
        name, value = proposal.trait.name, proposal.value
        low, high = self.data["ranges"][name]
        if not low <= value <= high:
            raise ValueError(f"{name} must lie in {low:g}..{high:g}; got {name} = {value}.")
        return value

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
