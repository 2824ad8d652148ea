"""Progress bars: tqdm's, drawn in a notebook so that nothing is left of a finished one.

A finished bar on stderr leaves an empty strip under a cell, and JupyterLab colours it like an
error. So where a Jupyter server runs the kernel, a bar is a small HTML element that is taken out
again. Everywhere else, as in a terminal, a log, or where notebooks are tested, tqdm is as it is.
"""

import io
import os
import sys
from html import escape
from typing import Any

from tqdm import tqdm

SERVER = "JPY_SESSION_NAME"  # by which a Jupyter server tells a kernel its notebook


def progress_bar(*args: Any, **options: Any) -> tqdm:
    """A tqdm bar in the form that suits the place; tqdm's arguments, but `leave` is False.

    >>> list(progress_bar("ab", disable=True))
    ['a', 'b']
    """
    in_notebook = os.environ.get(SERVER) and "IPython.display" in sys.modules
    return (NotebookBar if in_notebook else tqdm)(*args, **{"leave": False, **options})


class NotebookBar(tqdm):
    """A bar as an HTML element of a cell's output, which goes when it is closed."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._place: Any = None  # where it is shown; opened by the first drawing
        self._over = False
        super().__init__(*args, **{**options, "file": io.StringIO(), "leave": False})

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        """Draw the present state; tqdm calls this as often as is useful."""
        if not self._over:
            self._put({"text/html": self._html(), "text/plain": str(self)})
        return True

    def close(self) -> None:
        """Take the bar out of the output."""
        self._over = True
        super().close()
        if self._place is not None:
            self._put({})
            self._place = None

    def _put(self, data: dict[str, str]) -> None:
        if self._place is None:
            shown = sys.modules["IPython.display"]
            self._place = shown.display(data, raw=True, display_id=True)
        else:
            self._place.update(data, raw=True)

    def _html(self) -> str:
        """A browser's own bar between what is being done and how far it is."""
        state = self.format_dict
        known = f' value="{self.n}" max="{self.total}"' if self.total else ""
        words = state["prefix"].removesuffix(": ") or "working"
        count = f"{self.n:g} of {self.total:g}" if self.total else f"{self.n:g}"
        so_far = tqdm.format_interval(state["elapsed"])
        more = f", {state['postfix']}" if state["postfix"] else ""
        return (
            f"<label>{escape(words)} <progress{known}></progress> {count} "
            f"{escape(state['unit'].strip())} in {so_far}{escape(more)}</label>"
        )
