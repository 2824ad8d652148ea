"""How pytest runs here: how many workers, and what nbval compares.

A plugin named in pyproject.toml and not a conftest.py, because it must hold for tests/, for
landscape_nb/ and for notebooks/, whichever of them is run.
"""

import os
from collections import Counter

import nbval.plugin
import pytest


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

    Leave progress bars (stderr), which no two runs share, out of what nbval compares.
    """
    sizes = Counter(item.path for item in items)
    items.sort(key=lambda item: (not _in_notebook(item), -_in_notebook(item) * sizes[item.path]))
    for item in items:
        notebook = item.parent
        if isinstance(notebook, nbval.plugin.IPyNbFile) and "stderr" not in notebook.skip_compare:
            notebook.skip_compare += ("stderr",)


def _in_notebook(item):
    return isinstance(item.parent, nbval.plugin.IPyNbFile)
