"""Two buttons: pack the answers and predictions of all notebooks, and bring them back."""

import asyncio
import contextlib
import functools
import html
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import anywidget
from traitlets import Bytes, Int, Unicode

from landscape_nb.course import saved_work as work
from landscape_nb.course.cells_run import own_notebook
from landscape_nb.course.learner_cells import notebooks_in, printable
from landscape_nb.course.work_zip import LARGEST

SAVING = 10.0  # seconds, chosen here: what a slow server takes to save a notebook of 2 MB
SETTLING = 0.5  # seconds, chosen here: JupyterLab asks for the file again right after saving it
_SHOWN = (
    " This notebook was loaded again and shows them (if not: File &gt; Reload Notebook from Disk)."
)
KEYS = "<b>Ctrl+S</b> (Cmd+S on a Mac)"
# its address, the zip itself, is given to it by the page
_LINK = f'<a download="{work.SAVED}">Download {work.SAVED}</a>'


class SaveMyWork(anywidget.AnyWidget):
    """A button that packs the learner's answers and predictions, and one that brings them back.

    The zip lies beside the notebooks as my_work.zip, and a link hands it to the browser, because
    a session on a server may end with all its files. A kernel cannot see what is typed but not
    saved. So either button first has the open notebook saved by the page, where that can be done,
    and a restored one is loaded again: see save_my_work.js, which also lists the messages.

    Args:
        folder: where the notebooks lie; the present one by default.

    Attributes:
        words: what happened, as HTML; synchronised.
        packed: the last zip that was saved, as bytes; synchronised.
        largest: of a file to restore never more bytes than this and one are sent; synchronised.
    """

    _esm = Path(__file__).with_suffix(".js").read_text("utf-8")
    _css = Path(__file__).with_suffix(".css").read_text("utf-8")
    words = Unicode().tag(sync=True)
    packed = Bytes().tag(sync=True)
    largest = Int(LARGEST).tag(sync=True)

    def __init__(self, folder: Path | str = ".") -> None:
        self._folder = Path(folder).absolute()  # whatever a cell does to the present one later
        self._asked = 0
        self._waiting: dict[int, Callable[[str], None]] = {}  # number of a request -> what follows
        super().__init__()
        self.on_msg(self._hear)

    def _hear(self, _: object, message: dict[str, Any], buffers: list[memoryview]) -> None:
        """A button was pressed, or the page answers what it was asked."""
        match message:
            case {"pressed": "save", "view": view}:
                self._after_saving(view, self._save)
            case {"pressed": "restore", "view": view}:
                self.words = ""  # so that the same refusal is spoken again
                self._chosen(view, message.get("unreadable"), *map(bytes, buffers))
            case {"answer": answer, "number": number} if number in self._waiting:
                self._waiting.pop(number)(answer)

    def _ask(self, view: str, request: str, then: Callable[[str], None]) -> int:
        """Have one view's page save the open notebook ("save"), or load it again ("reload")."""
        self._asked += 1
        self._waiting[self._asked] = then
        self.send({"view": view, "ask": request, "number": self._asked})
        return self._asked

    def _after_saving(self, view: str, do: Callable[[str, bool], str]) -> None:
        """Do something when the page has saved the open notebook, or cannot."""
        before = _written(self._folder)

        def go_on(answer: str) -> None:
            saved = answer == "saving" and _wait_for_change(self._folder, before)
            self._tell(functools.partial(do, view, saved))

        self.words = "Saving the open notebook &hellip;"
        self._give_up_later(self._ask(view, "save", go_on))

    def _give_up_later(self, number: int) -> None:
        """A page that was closed meanwhile will never answer."""
        answer = {"answer": "silent", "number": number}
        with contextlib.suppress(RuntimeError):  # outside a kernel no loop runs
            loop = asyncio.get_running_loop()
            # Twice: an answer that came while a cell was running is heard first.
            give_up = functools.partial(self._hear, self, answer, [])
            loop.call_later(SAVING, loop.call_later, SETTLING, give_up)

    def _chosen(self, view: str, unreadable: str | None, content: bytes = b"") -> None:
        """Restore a chosen file, unless it is refused at once."""
        try:
            if unreadable is not None:
                raise work.WorkFileError(f"The browser could not read the file ({unreadable}).")
            work.unpack(content)
        except work.WorkFileError as error:  # before anything is saved
            self._refuse(error)
        else:
            self._after_saving(view, functools.partial(self._restore, content))

    def _tell(self, do: Callable[[], str]) -> None:
        """Show what was done, or why it could not be."""
        try:
            self.words = do()
        except Exception as error:  # a button that does nothing would look as if it had
            self._refuse(error)

    def _refuse(self, error: Exception) -> None:
        self.words = f"<b>Nothing was changed.</b> {_shown(str(error))}"

    def _save(self, view: str, saved: bool) -> str:
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
        notebooks = len({name.split("/")[0] for name in found.files} - {work.PREDICTIONS})
        self.packed = content
        return (
            f"{not_written}"
            f"Saved answers and predictions: {len(found.files)}, from notebooks: {notebooks}. "
            f"{_LINK}.{left_out}"
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

    def _restore(self, content: bytes, view: str, saved: bool) -> str:
        done = work.restore(content, self._folder)
        told = [f"{_shown(name)}: {len(tags)}" for name, tags in done.tags.items()]
        words = f"Restored answers and predictions: {', '.join(told) or 'none'}."
        own = own_notebook()
        changed = [name for name in done.tags if name != work.PREDICTIONS]
        others = [name for name in changed if own is None or name != own.stem]
        rest = _kept(done) + _no_place(done.unknown) + _left_out(done.unreadable)
        reloaded = f"{words}{_SHOWN}{_reload(others)}{rest}"
        if saved and changed:
            self._ask(view, "reload", lambda _: self.set_trait("words", reloaded))
        return words + _reload(changed) + rest

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict, dict]:
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        data["text/plain"] = (
            "Two buttons: Save my work, Restore my work. To have them here, run this cell."
        )
        return data, metadata


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
