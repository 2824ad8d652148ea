"""A bar tells what is being done, and is gone when that is done."""

import os

import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from landscape_nb.numerics.progress import SERVER

CELL = """
from landscape_nb.numerics.progress import progress_bar
with progress_bar("abc", desc="reading <it>", unit=" letters", mininterval=0) as bar:
    for letter in bar:
        print(letter)
        {then}
"""


def outputs(then, server):
    """What a kernel leaves of a cell with a bar, run by a Jupyter server or by nobody."""
    notebook = new_notebook(cells=[new_code_cell(CELL.format(then=then))])
    environment = {name: value for name, value in os.environ.items() if name != SERVER}
    if server:
        environment[SERVER] = "notebooks/04_mlp.ipynb"
    seen = []
    client = NotebookClient(notebook, kernel_name="python3", timeout=120, allow_errors=True)
    process = client.process_message

    def look(message, *rest):
        if message["msg_type"] in ("display_data", "update_display_data"):
            seen.append(message["content"]["data"].get("text/html", ""))
        return process(message, *rest)

    client.process_message = look
    client.execute(env=environment)
    return notebook.cells[0].outputs, seen


@pytest.mark.parametrize("then", ["pass", "1 / (letter == 'a')"], ids=["to the end", "an error"])
def test_in_a_notebook_a_bar_says_what_is_done_and_leaves_nothing(then):
    left, seen = outputs(then, server=True)
    assert "reading &lt;it&gt; <progress" in seen[0] and seen[-1] == ""
    assert any("1 of 3 letters" in html for html in seen)
    assert [out.data for out in left if out.output_type == "display_data"] == [{}]
    assert not [out for out in left if out.get("name") == "stderr"]


def test_elsewhere_it_is_on_stderr_as_ever():
    left, seen = outputs("pass", server=False)
    assert seen == []
    told = "".join(out.text for out in left if out.get("name") == "stderr")
    assert "reading <it>: 100%" in told and told.endswith("\r")
