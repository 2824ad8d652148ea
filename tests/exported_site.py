"""The course's pages, exported once for all test files.

Import `out` into a test module to use it as a fixture.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import export as site
import nbformat
import pytest
from filelock import FileLock
from nbformat.v4 import new_notebook

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "notebooks" / "export.py"
LAPTOP, PHONE = (1366, 900), (390, 844)


@pytest.fixture(scope="session")
def out(tmp_path_factory):
    """The site, exported by the command itself, once for all workers."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    out, done = folder / "site", folder / "site.done"
    with FileLock(folder / "site.lock"):
        if not done.exists():
            environment = os.environ | {"PYTHONHASHSEED": "1"}
            subprocess.run([sys.executable, SITE, out], check=True, env=environment, cwd=folder)
            done.touch()
    return out


def small_site(root, cells):
    """The site of a course whose only notebook, 00_a, has these cells; returns its folder."""
    (root / "notebooks").mkdir()
    (root / "README.md").write_text(
        "# Front\n\nA sentence.\n\nMore.\n\n## Start\n\nRun.\n\n## Notebooks\n\n"
        "| notebook | |\n|---|---|\n| [00 A](notebooks/00_a.ipynb) | B |\n"
    )
    nbformat.write(new_notebook(cells=cells), root / "notebooks" / "00_a.ipynb")
    (root / "site").mkdir()
    site.write(site.site(root), root / "site")
    return root / "site"


def until(do, condition, patience=20):
    """Do something, such as opening a page, again and again until a condition holds.

    For what another page has just stored: one that is opened from a disk may be another process's,
    which learns of it a moment later.
    """
    end = time.monotonic() + patience
    while do() or not condition():
        assert time.monotonic() < end, "it does not come to hold"


def show(driver, path, size=LAPTOP, theme="light", media="screen"):
    """Open a page as a window of this size and a system with this theme would show it."""
    screen = {"width": size[0], "height": size[1], "deviceScaleFactor": 1}
    screen["mobile"] = size == PHONE
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    features = [{"name": "prefers-color-scheme", "value": theme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features, "media": media})
    driver.get(Path(path).as_uri() if not str(path).startswith("file:") else str(path))
