"""Two buttons: pack the answers and predictions of all notebooks, and bring them back."""

import base64
import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ipywidgets import (
    HTML,
    Button,
    FileUpload,
    HBox,
    Layout,
    VBox,
)

from landscape_nb.course import saved_work as work
from landscape_nb.widgets.pictured import hidden_style

_WORK_STYLE = """
.ln-work.jupyter-widgets-disconnected .widget-hbox { display: none; }
.ln-work .jupyter-widgets-disconnected::before { content: none; }
.ln-work.jupyter-widgets-disconnected::before {
  content: "The kernel was restarted: run this cell again to save or restore.";
  font: inherit; font-weight: bold; color: inherit; white-space: normal; line-height: 1.5;
}
"""

# The place of the answer is there before the answer, so that a screen reader speaks it.
_NAME_STATUS = """
const words = this.closest('.ln-work').querySelector('.ln-readout .widget-html-content');
if (words) words.setAttribute('role', 'status');
"""


class SaveMyWork(VBox):
    """A button that packs the learner's answers and predictions, and one that brings them back.

    The zip lies beside the notebooks as my_work.zip, and a link hands it to the browser, because
    a session on a server may end with all its files.

    Args:
        folder: where the notebooks lie; the present one by default.

    Attributes:
        button: saves when clicked.
        upload: restores the zip that is chosen.
        readout: what happened, as HTML.
    """

    def __init__(self, folder: Path | str = ".") -> None:
        self._folder = Path(folder)
        wide = Layout(width="auto")
        self.button = Button(
            description="Save my work", icon="download", layout=wide,
            tooltip="pack the answers and predictions of all notebooks into a zip",
        )  # fmt: skip
        self.upload = FileUpload(accept=".zip", description="Restore my work", layout=wide)
        self.readout = HTML()
        self.button.on_click(lambda _: self._tell(self._save))
        self.upload.observe(self._uploaded, names="value")
        for name, part in {"work": self, "save": self.button, "restore": self.upload}.items():
            part.add_class(f"ln-{name}")
        self.readout.add_class("ln-readout")
        style = hidden_style(_WORK_STYLE, _NAME_STATUS)
        super().__init__([HBox([self.button, self.upload]), self.readout, style])

    def _tell(self, do: Callable[..., str], *arguments: Any) -> None:
        """Show what was done, or why it could not be."""
        try:
            words = do(*arguments)
        except Exception as error:  # a button that does nothing would look as if it had
            words = f"<b>Nothing was changed.</b> {html.escape(str(error))}"
        self.readout.value = f'<div style="line-height:1.5">{words}</div>'

    def _save(self) -> str:
        content, found = work.save(self._folder)
        if not found.files:
            words = "There is nothing to save yet: no answer and no prediction has been changed."
            return words + _left_out(found.unreadable)
        notebooks = len({name.split("/")[0] for name in found.files})
        link = base64.b64encode(content).decode()
        return (
            f"Saved answers and predictions: {len(found.files)}, from notebooks: {notebooks}. "
            f'<a download="{work.SAVED}" href="data:application/zip;base64,{link}">'
            f"Download {work.SAVED}</a>. Edits that were neither run nor saved are not in it."
            + _left_out(found.unreadable)
        )

    def _uploaded(self, change: dict) -> None:
        if change["new"]:
            self._tell(self._restore, bytes(change["new"][0].content))
            self.upload.value = ()  # so that the same file can be chosen again

    def _restore(self, content: bytes) -> str:
        done = work.restore(content, self._folder)
        told = [f"{name}: {len(tags)}" for name, tags in done.tags.items()]
        words = (
            f"Restored answers and predictions: {', '.join(told) or 'none'}. In a notebook that is "
            "open, choose <b>File &gt; Reload Notebook from Disk</b> to see them."
        )
        if done.backup:
            words += f" What was there before is in {done.backup}."
        if done.unknown:
            words += f" No notebook here has a place for: {html.escape(', '.join(done.unknown))}."
        return words + _left_out(done.unreadable)

    def _repr_mimebundle_(
        self, include: Any = None, exclude: Any = None, **kwargs: Any
    ) -> tuple[dict, dict]:
        data = super()._repr_mimebundle_(include=include, exclude=exclude, **kwargs)
        data["text/plain"] = "Two buttons: Save my work, Restore my work."
        return data, {}


def _left_out(unreadable: list[str]) -> str:
    return f" Could not be read: {html.escape(', '.join(unreadable))}." if unreadable else ""
