"""Who jumps into the middle of a notebook of the course is told what a NameError means there."""

import os
import sys
from pathlib import Path

import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

import landscape_nb

HINT = "Run > Run All Above Selected Cell"


def traceback_of(source, session):
    """What a cell shows in a fresh kernel of a server that has told it its notebook."""
    notebook = new_notebook(cells=[new_code_cell(source)])
    client = NotebookClient(notebook, kernel_name="python3", timeout=120, allow_errors=True)
    client.execute(env=os.environ | {"JPY_SESSION_NAME": session})
    return "\n".join(notebook.cells[0].outputs[0].traceback)


def test_the_installed_file_is_this_packages():
    """Else: pip install -e . copies it anew."""
    installed = Path(sys.prefix) / "etc/ipython/startup/landscape_nb_startup.py"
    source = Path(landscape_nb.__file__).parent / "course/landscape_nb_startup.py"
    assert installed.read_text() == source.read_text()


@pytest.mark.parametrize(
    ("source", "session", "error", "is_told"),
    [
        ("loss", "notebooks/04_mlp_stabilization.ipynb", "NameError", True),
        ("def f():\n    return loss\nf()", "C:\\course\\04_mlp.ipynb", "NameError", True),
        ("1 / 0", "notebooks/04_mlp_stabilization.ipynb", "ZeroDivisionError", False),
        (
            "def f():\n    x += 1\nf()",
            "notebooks/04_mlp_stabilization.ipynb",
            "UnboundLocalError",
            False,
        ),
        ("loss", "notebooks/my_analysis.ipynb", "NameError", False),
        ("loss", "", "NameError", False),
    ],
    ids=["a jump", "in a function", "another error", "a local name", "another notebook", "unknown"],
)
def test_a_name_error_is_explained_where_the_course_is(source, session, error, is_told):
    shown = traceback_of(source, session)
    assert (HINT in shown) is is_told
    assert error in shown


def test_it_leaves_no_name_behind():
    notebook = new_notebook(cells=[new_code_cell("print([n for n in dir() if 'tell' in n])")])
    NotebookClient(notebook, kernel_name="python3", timeout=120).execute()
    assert notebook.cells[0].outputs[0].text == "[]\n"
