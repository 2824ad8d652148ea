"""A real JupyterLab in a real browser, for what only exists there: widgets under a learner's hands.

    with JupyterBrowser(folder) as lab:
        lab.open_notebook("01_quadratic_toy.ipynb")
        lab.run_all()
        lab.press_keys(".ln-sigma .noUi-handle", Keys.ARROW_RIGHT)

JupyterBrowser(folder, app="notebook") is the same in Jupyter Notebook 7. `chromium` is the browser
alone; conftest.py has a fixture for it, `browser`.

The server listens on localhost only, keeps its token, and works on the folder it is given: give it
a copy. Its settings and runtime files live in a temporary folder of their own.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
CHROMEDRIVER = shutil.which("chromedriver")
VIEWPORT = (1400, 1000)
CHROMIUM_FLAGS = [
    "--headless=new",
    "--no-sandbox",  # a container's root has no sandbox; the only page opened is our own
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
]
# In continuous integration a missing browser is a failure: a skip there would never be noticed.
needs_browser = pytest.mark.skipif(
    not (CHROMIUM and CHROMEDRIVER) and "CI" not in os.environ,
    reason="needs chromium and chromedriver (Debian: apt-get install chromium chromium-driver)",
)
SETTINGS = {
    # Cells out of sight stay in the page, where tests can find them; no empty page at the end.
    "notebook-extension/tracker": {"windowingMode": "none", "scrollPastEnd": False},
    # No question about news, no look-up of newer versions.
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}

# What `python -m` starts, and where it shows one notebook alone. Notebook 7 is made of JupyterLab's
# parts: the same commands, settings and elements.
APPS = {"lab": ("jupyterlab", "doc/tree"), "notebook": ("notebook", "notebooks")}

# `app` is JupyterLab itself (--expose-app-in-browser), `panel` the notebook in front.
PANEL = "const app = window.jupyterapp, panel = app && app.shell.currentWidget;"
IS_READY = (
    PANEL
    + """
    return !!(panel && panel.content && panel.content.model && panel.context.isReady
      && panel.sessionContext.isReady && panel.sessionContext.session
      && panel.sessionContext.session.kernel
      && panel.sessionContext.session.kernel.status === 'idle');"""
)
FORGET_OUTPUTS_AND_RUN = (
    PANEL
    + """
    const done = arguments[arguments.length - 1];
    app.commands.execute('notebook:clear-all-cell-outputs')
      .then(() => app.commands.execute('notebook:run-all-cells'))
      .then(() => done(null), error => done(String(error)));"""
)
RESTART = (
    PANEL
    + """
    const done = arguments[arguments.length - 1];
    panel.sessionContext.session.kernel.restart()
      .then(() => done(null), error => done(String(error)));"""
)
# Two frames after the promise the page shows the new colours.
SET_THEME = """
    const done = arguments[arguments.length - 1];
    window.jupyterapp.commands.execute('apputils:change-theme', {theme: arguments[0]})
      .then(() => requestAnimationFrame(() => requestAnimationFrame(() => done(null))),
            error => done(String(error)));"""
SHOWN_THEME = "return document.body.dataset.jpThemeName"
# The notebook as a learner who uses no mouse leaves it: a cell chosen, none being edited.
TO_COMMAND_MODE = (
    PANEL
    + """
    const done = arguments[arguments.length - 1];
    panel.content.activeCellIndex = 0;
    window.jupyterapp.commands.execute('notebook:enter-command-mode').then(() => {
      panel.content.activeCell.node.focus(); done(null); });"""
)
CODE_CELLS = (
    PANEL
    + """
    return panel.content.widgets.filter(cell => cell.model.type === 'code')
      .map(cell => cell.model.toJSON());"""
)


@contextmanager
def chromium():
    """A headless Chromium; its driver forgets the profile at the end."""
    driver = _start_chromium()
    try:
        yield driver
    finally:
        driver.quit()


def _start_chromium() -> webdriver.Chrome:
    assert CHROMIUM and CHROMEDRIVER, "install chromium and chromedriver"
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in CHROMIUM_FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options, webdriver.ChromeService(CHROMEDRIVER))


def _without_number(driver) -> list[str]:
    """The texts of code cells that have not been run."""
    cells = driver.execute_script(CODE_CELLS)
    texts = ["".join(cell["source"]) for cell in cells if cell["execution_count"] is None]
    return [text for text in texts if text.strip()]


class JupyterBrowser:
    """A front end on `folder` and a headless Chromium that looks at it; a context manager."""

    def __init__(self, folder: Path, timeout: float = 300, app: str = "lab"):
        """`timeout` (seconds) bounds every single wait, the run of a whole notebook included.

        `app` is "lab" (JupyterLab) or "notebook" (Notebook 7).
        """
        self.folder, self.timeout = Path(folder), timeout
        self._module, self._place = APPS[app]

    def __enter__(self) -> JupyterBrowser:
        """Start server and browser; on failure nothing is left running."""
        self._private = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._server = self._driver = None
        try:
            self._start_server()
            self._driver = self._start_driver()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        """Stop the browser first, then the server with its kernels."""
        if self._driver:
            self._driver.quit()
        if self._server:
            self._server.terminate()
            try:
                self._server.wait(20)
            except subprocess.TimeoutExpired:
                self._server.kill()
        self._private.cleanup()

    @property
    def driver(self) -> webdriver.Chrome:
        """The browser itself, for what has no method here."""
        return self._driver

    def _start_server(self) -> None:
        private = Path(self._private.name)
        for name, setting in SETTINGS.items():
            path = private / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(setting))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._url, self._token = f"http://127.0.0.1:{port}", secrets.token_hex(16)
        options = ["--no-browser", "--ip=127.0.0.1", f"--port={port}", "--port-retries=0"]
        options += ["--expose-app-in-browser", f"--ServerApp.root_dir={self.folder}"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            options.append("--allow-root")
        self._log = private / "server.log"
        with self._log.open("w") as log:
            self._server = subprocess.Popen(
                [sys.executable, "-m", self._module, *options],
                stdout=log,
                stderr=log,
                env=os.environ
                | {
                    "JUPYTER_TOKEN": self._token,  # not in the arguments, which others can list
                    "JUPYTER_CONFIG_DIR": str(private / "config"),
                    "JUPYTER_RUNTIME_DIR": str(private / "runtime"),
                    "JUPYTERLAB_SETTINGS_DIR": str(private / "settings"),
                    "JUPYTERLAB_WORKSPACES_DIR": str(private / "workspaces"),
                },
            )
        self._wait(self._server_answers, f"{self._module} did not start")

    def _server_answers(self, *_) -> bool:
        if self._server.poll() is not None:
            raise RuntimeError(f"{self._module} ended at once:\n{self._log.read_text()}")
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(f"{self._url}/api/status?token={self._token}", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def _start_driver(self) -> webdriver.Chrome:
        driver = _start_chromium()
        driver.set_script_timeout(self.timeout)
        # the client's own limit, 120 s, is shorter than a notebook may take on a busy machine
        driver.command_executor.client_config.timeout = self.timeout + 60
        _set_viewport(driver, VIEWPORT)
        return driver

    def _wait(self, condition, message: str, timeout: float | None = None):
        """The first true value of condition(driver), asked for every 0.1 s."""
        ignored = [StaleElementReferenceException]
        wait = WebDriverWait(self._driver, timeout or self.timeout, 0.1, ignored)
        return wait.until(condition, message)

    def open_notebook(self, name: str) -> None:
        """Show one notebook, without side bars, and wait until its kernel is there."""
        self._driver.get(f"{self._url}/{self._place}/{name}?token={self._token}")
        self.wait_idle()

    def wait_idle(self) -> None:
        """Wait until the notebook is loaded and its kernel has nothing to do."""
        self._wait(lambda driver: driver.execute_script(IS_READY), "the kernel is not idle")

    def run_all(self) -> None:
        """Clear the stored outputs, run every cell in order, and fail on an exception in any."""
        error = self._driver.execute_async_script(FORGET_OUTPUTS_AND_RUN)
        if error:
            raise RuntimeError(f"Run All Cells failed: {error}")
        self.wait_idle()
        # a cell's number comes with the reply, which may follow the news that the kernel is idle
        self._wait(lambda driver: not _without_number(driver), "a cell was not run")
        for cell in self._driver.execute_script(CODE_CELLS):
            source = "".join(cell["source"])
            expected = "raises-exception" in cell["metadata"].get("tags", [])  # an open exercise
            errors = [o for o in cell["outputs"] if o["output_type"] == "error" and not expected]
            if errors:
                raise RuntimeError(f"a cell failed in the browser: {errors[0]['evalue']}\n{source}")

    def restart_kernel(self) -> None:
        """Start the kernel afresh, as Kernel > Restart Kernel does after its question."""
        self._execute(RESTART)
        self.wait_idle()

    def set_theme(self, name: str) -> None:
        """Change JupyterLab's colours, for example to "JupyterLab Dark"."""
        self._execute(SET_THEME, name)
        shown = f"the theme is not {name!r}"
        self._wait(lambda _: self.run_script(SHOWN_THEME) == name, shown, timeout=20)

    def set_viewport(self, width: int = VIEWPORT[0], height: int = VIEWPORT[1]) -> None:
        """Make the page so wide and high, in CSS pixels."""
        _set_viewport(self._driver, (width, height))
        self._wait(
            lambda _: self.run_script("return [innerWidth, innerHeight]") == [width, height],
            f"the page is not {width} x {height}",
            timeout=20,
        )

    def _execute(self, source: str, *arguments) -> None:
        error = self.await_script(source, *arguments)
        if error:
            raise RuntimeError(error)

    def run_script(self, source: str, *arguments):
        """What a script in the page returns."""
        return self._driver.execute_script(source, *arguments)

    def await_script(self, source: str, *arguments):
        """What a script in the page hands to its last argument, a callback."""
        return self._driver.execute_async_script(source, *arguments)

    def focus_notebook(self) -> None:
        """Put the keyboard where Escape leaves it: on the first cell, not in its text."""
        self._execute(TO_COMMAND_MODE)

    def press(self, *keys: str) -> None:
        """Type at the place where the keyboard is."""
        ActionChains(self._driver).send_keys(*keys).perform()

    def find(self, selector: str):
        """The one visible element that a CSS selector names, scrolled into view."""

        def shown(driver):
            self._fail_on_broken_widget()
            found = [e for e in driver.find_elements(By.CSS_SELECTOR, selector) if e.is_displayed()]
            return found[0] if len(found) == 1 else None

        element = self._wait(shown, f"not exactly one visible {selector!r}", timeout=30)
        self._driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        return element

    def _fail_on_broken_widget(self) -> None:
        """A widget that cannot be drawn raises nothing in the kernel; only the page shows it."""
        if self._driver.find_elements(By.CSS_SELECTOR, ".jupyter-widgets-error-widget"):
            log = [entry["message"] for entry in self._driver.get_log("browser")]
            raise RuntimeError("a widget could not be drawn:\n" + "\n".join(log))

    def press_keys(self, selector: str, *keys: str) -> None:
        """Focus an element as the Tab key would, and type into it."""
        element = self.find(selector)
        self._driver.execute_script("arguments[0].focus()", element)
        element.send_keys(*keys)

    def text(self, selector: str) -> str:
        """What a reader sees written in an element."""
        return self.find(selector).text

    def picture(self, selector: str) -> bytes:
        """The bytes of an image element (an ipywidgets Image hands them over as a blob)."""
        read = """const done = arguments[arguments.length - 1];
            fetch(arguments[0].src).then(reply => reply.arrayBuffer())
              .then(buffer => done(Array.from(new Uint8Array(buffer))));"""
        return bytes(self.await_script(read, self.find(selector)))

    def wait_until(self, condition, message: str, timeout: float = 20):
        """The first true value of condition()."""
        return self._wait(lambda _: condition(), message, timeout)

    def upload(self, selector: str, path: Path) -> None:
        """Choose a file for a label's field; the dialogue itself cannot be driven."""
        field = self.find(selector).find_element(By.CSS_SELECTOR, "input[type=file]")
        field.send_keys(str(path))

    def wait_for_change(self, read, before, what: str, timeout: float = 20):
        """The first value of read() that differs from `before`."""
        self._wait(lambda _: read() != before, f"{what} did not change", timeout)
        return read()

    def screenshot(self, path: Path) -> None:
        """Save what the window shows as PNG."""
        self._driver.save_screenshot(str(path))

    def scroll_pages(self):
        """Scroll from the top of the notebook to its end; yields a number at each stop."""
        scroller = self._driver.find_element(By.CSS_SELECTOR, ".jp-WindowedPanel-outer")
        move = "arguments[0].scrollTop = arguments[1]; return arguments[0].scrollTop"
        step = 0.9 * self._driver.execute_script("return arguments[0].clientHeight", scroller)
        number, last = 0, -1.0
        while (now := self._driver.execute_script(move, scroller, number * step)) > last:
            time.sleep(0.3)  # pictures and equations are drawn after the scrolling
            yield number
            number, last = number + 1, now


def _set_viewport(driver: webdriver.Chrome, size: tuple[int, int]) -> None:
    """Make the page, not the window with its frame, so wide and high."""
    window = driver.get_window_size()
    page = driver.execute_script("return [innerWidth, innerHeight]")
    edges = (window["width"] - page[0], window["height"] - page[1])
    driver.set_window_size(*(side + edge for side, edge in zip(size, edges, strict=True)))
