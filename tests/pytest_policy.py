"""How pytest runs here: how many workers, and what nbval compares.

A plugin named in pyproject.toml and not a conftest.py, because it must hold for tests/, for
landscape_nb/ and for notebooks/, whichever of them is run.
"""

import os
from collections import Counter

import build
import nbval.plugin
import pytest
from nbformat import from_dict

# The notebooks' kernels inherit it: they show at once what a learner must predict first.
os.environ[build.REVEAL] = "1"


@pytest.hookimpl(tryfirst=True)  # before xdist's own answer, one worker for each core
def pytest_xdist_auto_num_workers(config):
    """Workers for a full run; none when files were named, which starts faster and can be debugged.

    At most four, because a notebook may take 1.5 GB.
    """
    if config.args_source is pytest.Config.ArgsSource.ARGS:
        return 0
    return min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2)


def pytest_collection_modifyitems(items):
    """Notebooks first, the longest of them before others: what is short fills the gaps at the end.

    Leave progress bars (stderr), which no two runs share, out of what nbval compares, and put in
    what the learners' notebooks keep back.
    """
    for item in items:
        if _in_notebook(item):
            kept = build.read_revealed(item.path).get(item.cell.get("id"))
            item.cell.outputs = item.cell.outputs if kept is None else from_dict(kept)
    sizes = Counter(item.path for item in items)
    items.sort(key=lambda item: (not _in_notebook(item), -_in_notebook(item) * sizes[item.path]))
    for item in items:
        notebook = item.parent
        if isinstance(notebook, nbval.plugin.IPyNbFile) and "stderr" not in notebook.skip_compare:
            notebook.skip_compare += ("stderr",)


def _in_notebook(item):
    return isinstance(item.parent, nbval.plugin.IPyNbFile)
