"""What Binder does with this repository, on this machine: `python tests/binder_steps.py`.

Clones the repository, installs what binder/environment.yml lists, runs binder/postBuild, and starts
JupyterLab through binder/start, each in surroundings as bare as Binder's: a new home folder and no
variable of ours. A notebook then runs in a kernel of that server. Every step says how long it took;
the first that fails ends the run with exit code 1.

    python tests/binder_steps.py                     # all steps, with notebook 00
    python tests/binder_steps.py --notebooks all     # with the whole course, against the limits
    python tests/binder_steps.py --notebooks 04 07 --folder F    # keeps F, to use it again

Two things differ from Binder, and both are printed. The packages come from PyPI, in the versions of
constraints.txt, because the conda channel may be out of reach; and the Python is the one that runs
this file. What is committed counts, as for Binder: the working tree is not looked at. On a machine
with Docker, `repo2docker .` is the real thing.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import nbformat
import psutil
import yaml
from jupyter_client import BlockingKernelClient

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = "binder/environment.yml"
PYPI_NAMES = {"pytorch-cpu": "torch"}  # conda-forge's CPU build goes by another name
NOT_FROM_PYPI = {"python", "pip"}
MEMORY_LIMIT = 1e9  # bytes for one notebook: what Binder guarantees
CPU_LIMIT = 3600  # seconds for the whole course
CELL_TIMEOUT = 900  # seconds, as in notebooks/build.py
START_TIMEOUT = 60  # seconds for a server or a kernel to answer
NOT_BINDERS = ("VIRTUAL_ENV", "PYTHON", "JUPYTER", "OMP_", "OPENBLAS_", "MKL_", "MPL", "CI")

# What a learner waits for in a new session: imports, and a picture with text in it.
FIRST_PICTURE = """
import io, torch, landscape_nb
from landscape_nb.figures import plots
from landscape_nb.widgets import explorers as widgets
from matplotlib.figure import Figure
figure = Figure()
figure.add_subplot(title="$k^{-2}$")
figure.savefig(io.BytesIO(), format="png")
"""
# Of every numerical library that is loaded, the threads it would really use.
THREADS = """
import json, scipy.linalg, threadpoolctl, torch
pools = {pool["internal_api"]: pool["num_threads"] for pool in threadpoolctl.threadpool_info()}
print(json.dumps(pools | {"torch": torch.get_num_threads()}))
"""


# -- what the files say ----------------------------------------------------------------------------


@dataclass(frozen=True)
class CondaEnvironment:
    """The content of an environment.yml, with PyPI's names."""

    requirements: tuple[str, ...]
    python: str
    pip: tuple[str, ...]


def conda_environment(path: Path) -> CondaEnvironment:
    """Read an environment file; requirements such as "torch>=2.4" keep their order."""
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))["dependencies"]
    lines = [entry for entry in entries if isinstance(entry, str)]
    (python,) = [line.partition("=")[2] for line in lines if line.startswith("python=")]
    named = [(_name(line), line) for line in lines]
    requirements = [
        line.replace(name, PYPI_NAMES.get(name, name), 1)
        for name, line in named
        if name not in NOT_FROM_PYPI
    ]
    pip = [line for entry in entries if isinstance(entry, dict) for line in entry["pip"]]
    return CondaEnvironment(tuple(requirements), python, tuple(pip))


def _name(line: str) -> str:
    match = re.match(r"[\w.-]+", line)
    if match is None:
        raise ValueError(f"a line of an environment file must begin with a name; got {line!r}")
    return match[0]


# -- steps -----------------------------------------------------------------------------------------


class Failed(Exception):
    """A step did not do what Binder needs."""


@contextmanager
def step(name: str) -> Iterator[list[str]]:
    """Time a step and print it, with the notes that it leaves in the list it is given."""
    notes: list[str] = []
    start = time.perf_counter()
    verdict = "FAILED"
    try:
        yield notes
        verdict = "ok"
    finally:
        print(f"{verdict:6} {time.perf_counter() - start:7.1f} s  {name}", flush=True)
        for note in notes:
            print(f"                  {note}", flush=True)


@dataclass(frozen=True)
class Place:
    """The folders of one trial."""

    folder: Path

    @property
    def environment(self) -> Path:
        """The Python environment."""
        return self.folder / "environment"

    @property
    def clone(self) -> Path:
        """The repository as Binder sees it."""
        return self.folder / "clone"

    @property
    def home(self) -> Path:
        """A home folder in which nothing was ever run."""
        return self.folder / "home"

    def variables(self) -> dict[str, str]:
        """This process's variables without what Binder would not have, in the new home."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(NOT_BINDERS)}
        path = f"{self.environment / 'bin'}{os.pathsep}{kept['PATH']}"
        return kept | {"HOME": str(self.home), "PATH": path}

    def run(self, *command: str | Path, **options) -> str:
        """Run a command in the clone and return what it printed."""
        return run(command, cwd=self.clone, env=self.variables(), **options)


def run(command, timeout: float = 1800, **options) -> str:
    """What a command printed; `Failed` with all of it if its exit code is not 0."""
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        **options,
    )
    if done.returncode:
        raise Failed(f"{' '.join(map(str, command))}\nexit code {done.returncode}\n{done.stdout}")
    return done.stdout


def clone(place: Place) -> None:
    """A clean copy of what is committed."""
    with step("git clone") as notes:
        shutil.rmtree(place.clone, ignore_errors=True)
        run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, place.clone])
        notes.append(run(["git", "log", "-1", "--format=%h %s"], cwd=place.clone).strip())
        if run(["git", "status", "--porcelain"], cwd=ROOT).strip():
            notes.append("note: the working tree has changes that are not committed, and not here")
        notes.append(f"{megabytes(place.clone):.0f} MB")


def install(place: Place) -> None:
    """The packages of binder/environment.yml, from PyPI."""
    wanted = conda_environment(place.clone / ENVIRONMENT)
    if (place.environment / "bin/jupyter-lab").exists():
        print("       using the environment that is there", flush=True)
        return
    with step(f"{len(wanted.requirements)} packages of {ENVIRONMENT}, from PyPI") as notes:
        run([sys.executable, "-m", "venv", "--clear", place.environment])
        constraints = place.clone / "constraints.txt"
        pip = [place.environment / "bin/python", "-m", "pip", "install", "-q", "-c", constraints]
        run([*pip, *wanted.requirements, *wanted.pip])
        here = ".".join(map(str, sys.version_info[:2]))
        notes.append(f"Python {here}; Binder has {wanted.python}")


def post_build(place: Place) -> None:
    """binder/postBuild, in the repository's root, in a home folder that is part of the image."""
    with step("binder/postBuild") as notes:
        shutil.rmtree(place.home, ignore_errors=True)
        place.home.mkdir()
        before = set(installed(place))
        place.run("./binder/postBuild")
        added = set(installed(place)) - before
        if not added <= {"landscape_nb"}:
            raise Failed(f"postBuild must install landscape_nb and nothing else; it added {added}")
        place.run("python", "-m", "pip", "check")
        notes.append("pip check finds every requirement met")
    for attempt in ("first", "second"):
        with step(f"{attempt} picture of a session, imports included"):
            place.run("python", "-c", FIRST_PICTURE)


def size(place: Place) -> None:
    """How large the environment is, and its largest packages."""
    with step("sizes") as notes:
        notes.append(f"environment {megabytes(place.environment):.0f} MB, of which")
        for name, bytes_ in Counter(installed(place)).most_common(10):
            notes.append(f"{name} {bytes_ / 1e6:.0f} MB")


def installed(place: Place) -> dict[str, int]:
    """Bytes of every package, of the files in its own record."""
    (packages,) = (place.environment / "lib").glob("python3*/site-packages")
    return {
        found.name: sum(
            Path(str(found.locate_file(file))).stat().st_size
            for file in found.files or ()
            if Path(str(found.locate_file(file))).is_file()
        )
        for found in metadata.distributions(path=[str(packages)])
    }


def megabytes(folder: Path) -> float:
    """Size of all files below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files) / 1e6


def try_start(place: Place) -> None:
    """binder/start passes arguments, output and exit code on, and leaves one thread each."""
    with step("binder/start with short commands") as notes:
        version = place.run("./binder/start", "jupyter", "lab", "--version").strip()
        notes.append(f"jupyter lab --version: {version}")
        printed = place.run("./binder/start", "python", "-c", THREADS)
        notes.append(f"threads: {printed.strip()}")
        if set(json.loads(printed).values()) != {1}:
            raise Failed(f"every numerical library must have one thread; got {printed}")


# -- the server ------------------------------------------------------------------------------------


class Lab:
    """JupyterLab, started by binder/start in the clone; a context manager."""

    def __init__(self, place: Place):
        """Nothing starts yet."""
        self.place, self.token = place, secrets.token_hex(16)
        self.runtime = place.folder / "runtime"
        self.log = place.folder / "server.log"

    def __enter__(self) -> Lab:
        """Start the server and wait until it answers."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        options = ["--no-browser", "--ip=127.0.0.1", f"--port={port}", "--port-retries=0"]
        options += ["--allow-root"] if os.geteuid() == 0 else []
        private = {"JUPYTER_TOKEN": self.token, "JUPYTER_RUNTIME_DIR": str(self.runtime)}
        with self.log.open("w") as log:
            self.process = psutil.Popen(
                ["./binder/start", "jupyter", "lab", *options],
                cwd=self.place.clone,
                env=self.place.variables() | private,
                stdout=log,
                stderr=log,
            )
        try:
            with step("binder/start jupyter lab, until it answers"):
                wait_for(self._answers, "JupyterLab's answer")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        """Stop the server, which stops its kernels."""
        self.process.terminate()
        try:
            self.process.wait(20)
        except psutil.TimeoutExpired:
            self.process.kill()

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            raise Failed(f"JupyterLab ended at once:\n{self.log.read_text()}")
        try:
            return bool(self.ask("api/status"))
        except (urllib.error.URLError, OSError):
            return False

    def ask(self, address: str, method: str = "GET", body=None, token: str | None = None) -> bytes:
        """What the server answers at an address; its refusals are `HTTPError`s."""
        request = urllib.request.Request(
            f"{self.url}/{address}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {self.token if token is None else token}"},
        )
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request, timeout=START_TIMEOUT) as answer:
            return answer.read()

    @contextmanager
    def kernel(self, notebook: str) -> Iterator[tuple[BlockingKernelClient, psutil.Process]]:
        """A fresh kernel for a notebook, as a click on the file gives it, and its process."""
        session = {"path": notebook, "name": "", "type": "notebook", "kernel": {"name": "python3"}}
        identity = json.loads(self.ask("api/sessions", "POST", session))["kernel"]["id"]
        file = self.runtime / f"kernel-{identity}.json"
        wait_for(file.exists, "a kernel's connection file")
        client = BlockingKernelClient(connection_file=str(file))
        client.load_connection_file()
        client.start_channels()
        try:
            client.wait_for_ready(timeout=START_TIMEOUT)
            yield client, self._process_of(file)
        finally:
            client.stop_channels()
            self.ask(f"api/kernels/{identity}", "DELETE")

    def _process_of(self, connection_file: Path) -> psutil.Process:
        """A kernel's process, which must be the environment's Python with binder/start's thread."""
        started = self.process.children(True)
        (kernel,) = [child for child in started if str(connection_file) in child.cmdline()]
        if not Path(kernel.cmdline()[0]).is_relative_to(self.place.environment):
            raise Failed(f"the kernel must run in {self.place.environment}; got {kernel.cmdline()}")
        if kernel.environ().get("OMP_NUM_THREADS") != "1":
            raise Failed("the kernel must have binder/start's OMP_NUM_THREADS=1")
        return kernel


def wait_for(condition, what: str) -> None:
    """Return once the condition holds; `Failed` after a minute."""
    end = time.monotonic() + START_TIMEOUT
    while not condition():
        if time.monotonic() > end:
            raise Failed(f"waited {START_TIMEOUT} s for {what}")
        time.sleep(0.1)


def try_server(lab: Lab) -> None:
    """The server keeps its token, and shows the notebooks and their widgets."""
    with step("the server's answers") as notes:
        try:
            lab.ask("api/contents", token="wrong")
            raise Failed("the server must refuse a wrong token; it answered")
        except urllib.error.HTTPError as error:
            notes.append(f"with a wrong token: {error}")
        entries = json.loads(lab.ask("api/contents/notebooks"))["content"]
        found = sorted(entry["name"] for entry in entries if entry["name"].endswith(".ipynb"))
        if found != [path.name for path in notebook_paths(lab.place, ["all"])]:
            raise Failed(f"the server must list the course's notebooks; it lists {found}")
        notes.append(f"{len(found)} notebooks")
        lab.ask("lab/tree/notebooks/00_start_here.ipynb")
        widgets = "@jupyter-widgets/jupyterlab-manager"
        manifest = json.loads(lab.ask(f"lab/extensions/{widgets}/package.json"))
        notes.append(f"{widgets} {manifest['version']}")
        notes.append(f"the server itself: {lab.process.memory_info().rss / 1e6:.0f} MB")


# -- notebooks -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cost:
    """What one notebook cost: seconds on the clock, seconds of processor, bytes at the peak."""

    seconds: float
    cpu: float
    peak: float
    cell: int

    def __str__(self) -> str:
        """One line of the table."""
        return (
            f"{self.seconds:7.1f} s {self.cpu:7.1f} s {self.peak / 1e6:7.0f} MB  cell {self.cell}"
        )


class Peak:
    """Largest resident memory of a kernel with its child processes, and the cell it was in.

    The kernel alone has an exact peak that Linux keeps (VmHWM); the sum is sampled.
    """

    def __init__(self, process: psutil.Process):
        """Sampling begins at once; `close` ends it."""
        self.process, self.cell, self.bytes, self.peak_cell = process, 0, 0, 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        while not self._done.wait(0.05):
            try:
                children = self.process.children(True)
                self.record(sum(p.memory_info().rss for p in [self.process, *children]))
            except psutil.NoSuchProcess:  # a child ended meanwhile
                continue

    def record(self, bytes_: int) -> None:
        """Remember a size if it is the largest so far."""
        if bytes_ > self.bytes:
            self.bytes, self.peak_cell = bytes_, self.cell

    def end_of_cell(self) -> None:
        """Take the kernel's exact peak into account while it is known whose it is."""
        status = Path(f"/proc/{self.process.pid}/status")
        if status.exists():
            kilobytes = re.search(r"VmHWM:\s*(\d+) kB", status.read_text())
            self.record(1024 * int(kilobytes[1]) if kilobytes else 0)

    def close(self) -> None:
        """Stop sampling."""
        self._done.set()
        self._thread.join()


def notebook_paths(place: Place, numbers: list[str]) -> list[Path]:
    """The notebooks with these numbers, or all."""
    paths = sorted((place.clone / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    chosen = [path for path in paths if numbers == ["all"] or path.name[:2] in numbers]
    if not chosen:
        raise Failed(f"no notebook numbered {' '.join(numbers)}")
    return chosen


def run_notebook(lab: Lab, path: Path) -> Cost:
    """Run every code cell in a fresh kernel of the server; an unexpected error is `Failed`."""
    notebook = nbformat.read(path, as_version=4)
    start = time.perf_counter()
    with lab.kernel(f"notebooks/{path.name}") as (client, process):
        peak = Peak(process)
        try:
            for number, cell in enumerate(notebook.cells):
                if cell.cell_type == "code" and cell.source.strip():
                    peak.cell = number
                    run_cell(client, cell, f"{path.name}, cell {number}")
                    peak.end_of_cell()
        finally:
            peak.close()
        cpu = sum(process.cpu_times()[:4])  # user and system, its own and its children's
    return Cost(time.perf_counter() - start, cpu, peak.bytes, peak.peak_cell)


def run_cell(client: BlockingKernelClient, cell, where: str) -> None:
    """Run one cell; only a cell with the tag raises-exception may fail."""
    reply = client.execute_interactive(
        cell.source, allow_stdin=False, timeout=CELL_TIMEOUT, output_hook=lambda message: None
    )["content"]
    if reply["status"] != "ok" and "raises-exception" not in cell.metadata.get("tags", []):
        raise Failed(f"{where}\n" + "\n".join(reply.get("traceback", [reply["status"]])))


def run_notebooks(lab: Lab, numbers: list[str]) -> list[str]:
    """Run notebooks one after the other; print a table and return which limits were passed."""
    costs = {}
    for path in notebook_paths(lab.place, numbers):
        with step(f"notebooks/{path.name}") as notes:
            costs[path.stem] = run_notebook(lab, path)
            notes.append(str(costs[path.stem]))
    print("\nnotebook                  clock    processor  peak, and the cell (from 0) it is in")
    for name, cost in costs.items():
        print(f"{name:22} {cost}")
    cpu = sum(cost.cpu for cost in costs.values())
    largest = max(cost.peak for cost in costs.values())
    seconds = sum(cost.seconds for cost in costs.values())
    print(f"{'together':22} {seconds:7.1f} s {cpu:7.1f} s {largest / 1e6:7.0f} MB at most")
    print(f"{'limits':22} {'':9} {CPU_LIMIT:7.1f} s {MEMORY_LIMIT / 1e6:7.0f} MB")
    large = [name for name, cost in costs.items() if cost.peak >= MEMORY_LIMIT]
    return large + (["processor time"] if cpu >= CPU_LIMIT else [])


def main(arguments: list[str] | None = None) -> int:
    """Run all steps; the exit code is 1 if one failed or a limit was passed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--notebooks", nargs="+", default=["00"], metavar="NN", help="or all")
    parser.add_argument("--folder", type=Path, help="work here, and keep it; default: a new one")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        place = Place((options.folder or Path(temporary)).resolve())
        place.folder.mkdir(parents=True, exist_ok=True)
        try:
            for do in (clone, install, post_build, size, try_start):
                do(place)
            with Lab(place) as lab:
                try_server(lab)
                passed = run_notebooks(lab, options.notebooks)
        except (Failed, subprocess.TimeoutExpired) as error:
            print(error, file=sys.stderr)
            return 1
    if passed:
        print(f"over the limit: {', '.join(passed)}", file=sys.stderr)
    return 1 if passed else 0


if __name__ == "__main__":
    sys.exit(main())
