"""Two buttons: pack the answers and predictions of all notebooks, and bring them back."""

import base64
import html
import time
from collections.abc import Callable, Iterable
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
from landscape_nb.course.cells_run import own_notebook
from landscape_nb.course.front_end import Page
from landscape_nb.course.learner_cells import notebooks_in, printable

# The page must hide nothing that it needs to say after a restart.
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
const words = root.querySelector('.ln-readout .widget-html-content');
if (words) words.setAttribute('role', 'status');
"""
SAVING = 10.0  # seconds, chosen here: what a slow server takes to save a notebook of 2 MB
SETTLING = 0.5  # seconds, chosen here: JupyterLab asks for the file again right after saving it
_SHOWN = (
    " This notebook was loaded again and shows them (if not: File &gt; Reload Notebook from Disk)."
)
KEYS = "<b>Ctrl+S</b> (Cmd+S on a Mac)"


class SaveMyWork(VBox):
    """A button that packs the learner's answers and predictions, and one that brings them back.

    The zip lies beside the notebooks as my_work.zip, and a link hands it to the browser, because
    a session on a server may end with all its files. Where the page allows it, either button first
    has the open notebook saved, and a restored one is loaded again.

    Args:
        folder: where the notebooks lie; the present one by default.

    Attributes:
        button: saves when clicked.
        upload: restores the zip that is chosen.
        readout: what happened, as HTML.
    """

    def __init__(self, folder: Path | str = ".") -> None:
        self._folder = Path(folder).absolute()  # whatever a cell does to the present one later
        self._page_listens = False
        self._waiting: Callable[[bool], str] | None = None
        self._before: dict[Path, tuple] = {}
        self._reloaded_words = ""
        wide = Layout(width="auto")
        self.button = Button(
            description="Save my work", icon="download", layout=wide,
            tooltip="pack the answers and predictions of all notebooks into a zip",
        )  # fmt: skip
        self.upload = FileUpload(accept=".zip", description="Restore my work", layout=wide)
        self.readout = HTML()
        self.button.on_click(lambda _: self._after_saving(self._save))
        self.upload.observe(self._uploaded, names="value")
        answers = {
            "here": self._page_is_here, "saving": self._page_saves, "deaf": self._page_is_deaf,
            "reloaded": self._page_reloaded,
        }  # fmt: skip
        self._page = Page(answers, _WORK_STYLE, _NAME_STATUS)
        for name, part in {"work": self, "save": self.button, "restore": self.upload}.items():
            part.add_class(f"ln-{name}")
        self.readout.add_class("ln-readout")
        super().__init__([HBox([self.button, self.upload]), self.readout, self._page])

    def _after_saving(self, do: Callable[[bool], str]) -> None:
        """Do something when the page has saved the open notebook, or at once if none listens."""
        if not self._page_listens:
            return self._tell(do, False)
        self._page_listens = False  # it says so before each click
        self._waiting, self._before = do, _written(self._folder)
        self._say("Saving the open notebook &hellip;")
        self._page.ask("save")

    def _page_is_here(self) -> None:
        self._page_listens = True

    def _page_saves(self) -> None:
        if self._waiting is not None:
            self._go_on(_wait_for_change(self._folder, self._before))

    def _page_is_deaf(self) -> None:
        self._go_on(False)

    def _go_on(self, saved: bool) -> None:
        if self._waiting is not None:
            do, self._waiting = self._waiting, None
            self._tell(do, saved)

    def _page_reloaded(self) -> None:
        self._say(self._reloaded_words)

    def _tell(self, do: Callable[..., str], *arguments: Any) -> None:
        """Show what was done, or why it could not be."""
        try:
            self._say(do(*arguments))
        except Exception as error:  # a button that does nothing would look as if it had
            self._refuse(error)

    def _refuse(self, error: Exception) -> None:
        self._say(f"<b>Nothing was changed.</b> {_shown(str(error))}")

    def _say(self, words: str) -> None:
        self.readout.value = f'<div style="line-height:1.5">{words}</div>'

    def _save(self, saved: bool) -> str:
        not_written = ""
        try:
            content, found = work.save(self._folder)
        except OSError as error:  # the download may still be had
            found = work.collect(self._folder)
            content = work.pack(found.files)
            not_written = (
                f"<b>{work.SAVED} could not be written here</b> ({_shown(str(error))}): "
                "download it. "
            )
        left_out = _left_out(found.unreadable) + _counted(saved)
        if not found.files:
            return self._nothing(saved) + left_out
        notebooks = len({name.split("/")[0] for name in found.files})
        link = f"data:application/zip;base64,{base64.b64encode(content).decode()}"
        return (
            f"{not_written}"
            f"Saved answers and predictions: {len(found.files)}, from notebooks: {notebooks}. "
            f'<a style="text-decoration:underline" download="{work.SAVED}" href="{link}">'
            f"Download {work.SAVED}</a>.{left_out}"
        )

    def _nothing(self, saved: bool) -> str:
        if not notebooks_in(self._folder):
            return (
                f"<b>Nothing was saved:</b> no notebook of the course lies in the folder "
                f"{_shown(str(self._folder))} that this button reads. Keep your answers by "
                "downloading the notebook itself."
            )
        if saved:
            return "There is nothing to save yet: no answer and no prediction has been changed."
        return "<b>Nothing was saved: no changed answer or prediction was found.</b>"

    def _uploaded(self, change: dict) -> None:
        if change["new"]:
            content = bytes(change["new"][0].content)
            self.upload.value = ()  # so that the same file can be chosen again
            try:
                work.unpack(content)
            except work.WorkFileError as error:  # before anything is saved
                self._refuse(error)
            else:
                self._after_saving(lambda saved: self._restore(content, saved))

    def _restore(self, content: bytes, saved: bool) -> str:
        done = work.restore(content, self._folder)
        told = [f"{_shown(name)}: {len(tags)}" for name, tags in done.tags.items()]
        words = f"Restored answers and predictions: {', '.join(told) or 'none'}."
        own = own_notebook()
        others = [name for name in done.tags if own is None or name != own.stem]
        rest = _kept(done) + _no_place(done.unknown) + _left_out(done.unreadable)
        self._reloaded_words = f"{words}{_SHOWN}{_reload(others)}{rest}"
        if saved and done.tags:
            self._page.ask("reload")
        return words + _reload(done.tags) + rest

    def _repr_mimebundle_(
        self, include: Any = None, exclude: Any = None, **kwargs: Any
    ) -> tuple[dict, dict]:
        data = super()._repr_mimebundle_(include=include, exclude=exclude, **kwargs)
        data["text/plain"] = "Two buttons: Save my work, Restore my work."
        return data, {}


def _written(folder: Path) -> dict[Path, tuple]:
    """By what one sees that a notebook's file was written: that of this kernel, if it is known."""
    own = own_notebook()
    paths = notebooks_in(folder)
    found = {}
    for path in [own] if own in paths else paths:
        try:
            status = path.stat()
        except OSError:
            continue
        found[path] = (status.st_mtime_ns, status.st_ino, status.st_size)
    return found


def _wait_for_change(folder: Path, before: dict[Path, tuple]) -> bool:
    """Whether a notebook is written within a short time."""
    end = time.monotonic() + SAVING
    while _written(folder) == before:
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    time.sleep(SETTLING)
    return True


def _counted(saved: bool) -> str:
    """What a zip holds and what it does not, and how to have it hold more."""
    if saved:
        return (
            " This notebook was saved first. Is another one open? It counts as you last saved it: "
            f"press {KEYS} there, then this button again."
        )
    return (
        " What counts is what is saved in the notebooks' files, and cells that were run here; what "
        f"is only typed does not. <b>Is an answer missing?</b> Press {KEYS} in each open notebook, "
        "then this button again."
    )


def _reload(names: Iterable[str]) -> str:
    """What to do, and not to do, with notebooks that are open and have changed on the disk."""
    if not (listed := ", ".join(_shown(name) for name in names)):
        return ""
    return (
        f" <b>If one of these is open it still shows your old text: {listed}.</b> Choose there "
        "<b>File &gt; Reload Notebook from Disk</b>, before you type or save anything. Should you "
        "be asked about a changed file: <b>choose Revert, not Overwrite</b>, which would undo the "
        "restoring."
    )


def _kept(done: work.Restored) -> str:
    if not done.backup:
        return ""
    words = f" What was there before is in {done.backup}"
    return words + (f", and as it was saved in {done.saved_backup}." if done.saved_backup else ".")


def _no_place(unknown: list[str]) -> str:
    if not unknown:
        return ""
    return f" No notebook here has a place for: {_shown(', '.join(unknown))}."


def _left_out(unreadable: list[str]) -> str:
    return f" Could not be read: {_shown(', '.join(unreadable))}." if unreadable else ""


def _shown(text: str) -> str:
    return html.escape(printable(text))
