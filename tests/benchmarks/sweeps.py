"""What a sweep costs besides its cells: seconds for opening, appending and reading.

    python tests/benchmarks/sweeps.py [FOLDER]

One cell returns one row of two numbers and takes no time. `append` measures all cells of a new
file; `continue` opens the full one and adds one cell; `read` is `read_sweep`.
"""

import sys
import tempfile
import time
from pathlib import Path

from landscape_nb import read_sweep, sweep


def cell(k):
    return {"square": k**2, "third": k / 3}


def seconds(call, *args, **named):
    start = time.perf_counter()
    call(*args, **named)
    return time.perf_counter() - start


def costs(folder, cells):
    """Seconds of appending, continuing and reading."""
    path = Path(folder) / f"{cells}.jsonl"
    return (
        seconds(sweep, cell, {"k": range(cells)}, path, progress=False),
        seconds(sweep, cell, {"k": range(cells + 1)}, path, progress=False),
        seconds(read_sweep, path),
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
        print("| cells | append | continue | read |\n|---|---|---|---|")
        for cells in (1000, 10_000, 100_000):
            print(f"| {cells} |", " | ".join(f"{x:.2f}" for x in costs(folder, cells)), "|")
