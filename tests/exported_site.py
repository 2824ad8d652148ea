"""The course's pages, exported once for all test files, and a browser that looks at them.

Import `out` and `browser` into a test module to use them as fixtures.
"""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from browser import CHROMEDRIVER, CHROMIUM, CHROMIUM_FLAGS
from filelock import FileLock
from selenium import webdriver

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "notebooks" / "export.py"
LAPTOP, PHONE = (1366, 900), (390, 844)

needs_browser = pytest.mark.skipif(
    not (CHROMIUM and CHROMEDRIVER) and "CI" not in os.environ,
    reason="needs chromium and chromedriver (Debian: apt-get install chromium chromium-driver)",
)


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


@contextmanager
def chromium(profile):
    """A headless Chromium with a profile of its own."""
    assert CHROMIUM and CHROMEDRIVER, "install chromium and chromedriver"
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in [*CHROMIUM_FLAGS, f"--user-data-dir={profile}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(CHROMEDRIVER))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A browser for the tests of one file; nothing may be left in its log."""
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver
        assert driver.get_log("browser") == []


def show(driver, path, size=LAPTOP, theme="light", media="screen"):
    """Open a page as a window of this size and a system with this theme would show it."""
    screen = {"width": size[0], "height": size[1], "deviceScaleFactor": 1}
    screen["mobile"] = size == PHONE
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    features = [{"name": "prefers-color-scheme", "value": theme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features, "media": media})
    driver.get(Path(path).as_uri() if not str(path).startswith("file:") else str(path))
