"""How long a learner waits: the first picture of each notebook, and the longest silence.

    python tests/benchmarks/learners_clock.py [NN ...]

Runs each notebook as Run All does, in a fresh kernel of a Jupyter server, with no prediction
committed, and listens to what the kernel publishes. Printed are seconds: until the first picture
(an explorable counts), until the end, and the longest stretch of one cell in which nothing at all
was shown, with the first line of that cell. Only timings of a machine at rest mean something.
"""

import os
import queue
import sys
import tempfile
import time
from pathlib import Path

import build
import nbformat
from jupyter_client.manager import start_new_kernel

SILENT = 3.0  # seconds that no cell should be silent for
FIRST = 15.0  # seconds within which the first picture should be there
NEWS = ("stream", "display_data", "update_display_data", "execute_result", "error")


def is_picture(content: dict) -> bool:
    """Whether a message shows something to look at; a prediction's question is none."""
    shown = {"image/png", build.WIDGET_VIEW} & set(content.get("data", {}))
    return bool(shown) and "prediction" not in content.get("metadata", {})


def run(path: Path) -> tuple[float, float, list[tuple[float, str]]]:
    """Seconds until the first picture, until the end, and the silences with their cells."""
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
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    return first, time.perf_counter() - start, sorted(silences, reverse=True)


def main() -> None:
    """Print one line for each notebook, and one more for each cell that is silent for too long."""
    for source in build.source_paths(sys.argv[1:]):
        first, end, silences = run(build.notebook_path(source))
        late = " LATE" if not first <= FIRST else ""
        print(f"{source.stem:22} first picture {first:5.1f} s{late}, end {end:5.1f} s", flush=True)
        for seconds, cell in silences:
            if seconds > SILENT:
                print(f"{'':22} silent for {seconds:.1f} s: {cell[:70]}", flush=True)


if __name__ == "__main__":
    main()
