"""Sliders over a readout and a picture: what every explorer is made of.

The picture goes into an Image widget: no Output widget, hence no flicker, no queue of half-drawn
figures, and notebook tests that compare outputs strictly still work.
"""

import base64
import html
from collections.abc import Mapping
from typing import Any

from ipywidgets import (
    HTML,
    Image,
    Layout,
    SelectionSlider,
    VBox,
    Widget,
)

# A slider is as wide as this if there is room, and as wide as the page if there is not.
SLIDER_WIDTH = {"width": "auto", "max_width": "420px"}

# A keyboard's place is outlined. After a restart of the kernel no slider has any effect: ipywidgets
# marks such parts with a broken chain only, and lets them move; here a sentence takes their place.
_STYLE = """
.ln-explorer .noUi-handle:focus-visible, .ln-explorer .widget-readout:focus-visible {
  outline: 2px solid currentColor; outline-offset: 2px;
}
.ln-explorer.jupyter-widgets-disconnected .widget-slider { display: none; }
.ln-explorer .jupyter-widgets-disconnected::before { content: none; }
.ln-explorer.jupyter-widgets-disconnected::before {
  content: "The kernel was restarted: this picture stands still. "
    "To move it again, run the cells above and then this one.";
  font: inherit; font-weight: bold; color: inherit; white-space: normal; line-height: 1.5;
}
"""

# ipywidgets 8.1 names no slider for a screen reader, tells it the exponent or the index in place of
# the value, gives pictures no alternative text, and replaces a status message rather than changing
# it, which most screen readers pass over. Where a page forbids scripts all else still works.
_NAME_PARTS = """
const root = this.closest('.ln-explorer');
const put = (part, name, value) => {
  if (part.getAttribute(name) !== value) part.setAttribute(name, value);
};
const nameParts = () => {
  for (const slider of root.querySelectorAll('.widget-slider')) {
    const handle = slider.querySelector('[role=slider]');
    const label = slider.querySelector('.widget-label');
    const number = slider.querySelector('.widget-readout');
    const names = new Set([label.textContent, label.title]);
    const name = [...names].filter(Boolean).join(', ');
    put(handle, 'aria-label', name);
    put(handle, 'aria-valuetext', number.textContent);
    if (slider.classList.contains('ln-choice')) {
      put(number, 'contenteditable', 'false');
    } else {
      put(number, 'role', 'textbox');
      put(number, 'aria-label', name + ', as a number');
    }
  }
  const words = root.querySelector('.ln-readout .widget-html-content');
  const picture = root.querySelector('.ln-picture');
  if (!words || !picture) return;
  put(words, 'role', 'status');
  for (const inner of words.querySelectorAll('[role=status]')) inner.removeAttribute('role');
  put(picture, 'alt', words.textContent);
};
if (root && !root.lnNamed) {
  root.lnNamed = new MutationObserver(nameParts);
  root.lnNamed.observe(root, {
    subtree: true, childList: true, characterData: true,
    attributeFilter: ['aria-valuetext', 'contenteditable', 'title'],
  });
  nameParts();
}
"""


def hidden_style(css: str, script: str) -> HTML:
    """A part that takes no room; its script runs once the style, and so the widget, is there."""
    return HTML(f'<style onload="{html.escape(script)}">{css}</style>', layout={"display": "none"})


class Pictured(VBox):
    """Sliders over a readout and a picture; without a kernel, the picture and its words.

    Attributes:
        readout: the numbers behind the picture, as HTML.
        picture: the Image widget.
    """

    def __init__(self, sliders: Mapping[str, Widget], purpose: str) -> None:
        self._purpose = purpose
        self.readout = HTML()
        # in its own size, for a stretched picture is a blurred one, or as wide as the page
        whole = Layout(max_width="100%", margin="2px 0", align_self="flex-start")
        self.picture = Image(format="png", layout=whole)
        parts = {**sliders, "readout": self.readout, "picture": self.picture}
        for name, part in {"explorer": self, **parts}.items():
            part.add_class(f"ln-{name}")
        for slider in sliders.values():
            slider.observe(self._redraw, names="value")
            if isinstance(slider, SelectionSlider):
                slider.add_class("ln-choice")  # what is typed into its number has no effect
        self._redraw()
        super().__init__([*parts.values(), hidden_style(_STYLE, _NAME_PARTS)])

    def sentence(self) -> str:
        """The present state in words: the readout, and the picture's alternative text."""
        raise NotImplementedError

    def _png(self) -> bytes:
        raise NotImplementedError

    def _redraw(self, change: object = None) -> None:
        self.picture.value = self._png()
        words = self.sentence()
        # role=status: a screen reader speaks the new numbers after a slider has moved
        self.readout.value = f'<div role="status" style="line-height:1.5">{words}</div>'

    def _repr_mimebundle_(
        self, include: Any = None, exclude: Any = None, **kwargs: Any
    ) -> tuple[dict, dict]:
        data = super()._repr_mimebundle_(include=include, exclude=exclude, **kwargs)
        words = f"{self._purpose} {self.sentence()}"
        data["text/plain"] = words
        data["image/png"] = base64.b64encode(self.picture.value).decode()
        return data, {"image/png": {"alt": words}}
