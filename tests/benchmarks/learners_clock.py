"""How long a learner waits: the first picture of each notebook, and the longest silence.

    python tests/benchmarks/learners_clock.py [NN ...]

Runs each notebook as Run All does, in a fresh kernel of a Jupyter server, with no prediction
committed, and listens to what the kernel publishes. Printed are seconds on the clock: until the
first picture (an explorable counts), until the end, and the longest stretch of one cell in which
nothing at all was shown, with the first line of that cell; then the seconds of the kernel's own
process, its imports included, and the most memory that it held. The last two mean something
beside other work too, the others only on a machine at rest. In the end everything stands in one
table, ready for README.md. Needs Linux.
"""

import os
import queue
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import build
import nbformat
import psutil
from jupyter_client.manager import start_new_kernel

SILENT = 3.0  # seconds that no cell should be silent for
FIRST = 15.0  # seconds within which the first picture should be there
NEWS = ("stream", "display_data", "update_display_data", "execute_result", "error")


@dataclass(frozen=True)
class Run:
    """What one notebook took.

    Attributes:
        first: seconds until the first picture.
        end: seconds until the end.
        silences: seconds without a sign, and the first line of the cell, the longest first.
        own: seconds of the kernel's process, user and system.
        peak: MB (10^6 bytes) that it held at most.
    """

    first: float
    end: float
    silences: list[tuple[float, str]]
    own: float
    peak: float


def is_picture(content: dict) -> bool:
    """Whether a message shows something to look at; a prediction's question is none."""
    shown = {"image/png", build.WIDGET_VIEW} & set(content.get("data", {}))
    return bool(shown) and "prediction" not in content.get("metadata", {})


def taken(pid: int) -> tuple[float, float]:
    """Seconds and peak MB of a process so far."""
    rows = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    peak = next(int(row.split()[1]) for row in rows if row.startswith("VmHWM:"))
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system, peak * 1024 / 1e6


def run(path: Path) -> Run:
    """Run all cells of a notebook."""
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    environment = {name: value for name, value in os.environ.items() if name != build.REVEAL}
    environment["JPY_SESSION_NAME"] = f"notebooks/{path.name}"
    first, silences = float("nan"), []
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        manager, client = start_new_kernel(cwd=folder, env=environment)
        for cell in cells:
            last, longest = time.perf_counter(), 0.0
            asked = client.execute(cell.source)
            while True:
                try:
                    message = client.get_iopub_msg(timeout=600)
                except queue.Empty:
                    raise SystemExit(
                        f"{path.name}: silent for 10 minutes in {cell.source!r}"
                    ) from None
                if message["parent_header"].get("msg_id") != asked:
                    continue
                kind, content, now = message["msg_type"], message["content"], time.perf_counter()
                if kind in NEWS:
                    longest, last = max(longest, now - last), now
                    if is_picture(content) and first != first:  # still not a number
                        first = now - start
                if kind == "status" and content["execution_state"] == "idle":
                    break
            longest = max(longest, time.perf_counter() - last)
            silences.append((longest, cell.source.strip().partition("\n")[0]))
        end = time.perf_counter() - start
        own, peak = taken(manager.provisioner.process.pid)
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    return Run(first, end, sorted(silences, reverse=True), own, peak)


def main() -> None:
    """Print one line for each notebook, one more for each cell that is silent for too long."""
    table = [
        "| notebook | first picture, s | end, s | longest silence, s | process, s | peak, MB |",
        "|---|---|---|---|---|---|",
    ]
    for source in build.source_paths(sys.argv[1:]):
        one = run(build.notebook_path(source))
        late = " LATE" if not one.first <= FIRST else ""
        print(
            f"{source.stem:22} first picture {one.first:5.1f} s{late}, end {one.end:5.1f} s, "
            f"process {one.own:5.1f} s, peak {one.peak:4.0f} MB",
            flush=True,
        )
        for seconds, cell in one.silences:
            if seconds > SILENT:
                print(f"{'':22} silent for {seconds:.1f} s: {cell[:70]}", flush=True)
        longest = one.silences[0][0]
        seconds = (f"{x:.1f}" for x in (one.first, one.end, longest, one.own))
        table.append(f"| {' | '.join([source.stem[:2], *seconds, f'{one.peak:.0f}'])} |")
    print("", *table, sep="\n")


if __name__ == "__main__":
    main()
