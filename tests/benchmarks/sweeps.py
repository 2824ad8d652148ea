"""What a sweep costs besides its cells: seconds for opening, appending and reading; memory.

    python tests/benchmarks/sweeps.py [FOLDER]
    python tests/benchmarks/sweeps.py memory

One cell returns one row of two numbers and takes no time. `append` measures all cells of a new
file; `continue` opens the full one and adds one cell; `read` is `read_sweep`.

`memory`: peak resident memory, in MB as the kernel counts it, of each worker of a Dask cluster on
this machine (two of one thread) and of the process that holds scheduler and file, in a process of
its own for each number of cells. A cell returns a hundred rows and works on an array of 80 MB;
`idle` is before the first cell. Seen: workers 394 to 397 MB however many cells there are (315 idle,
and the array); the scheduling process, which holds all rows at the end, 317, 324 and 356 MB with
2 000, 20 000 and 100 000 rows: 0.4 kB a row.
"""

import multiprocessing
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

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


def large_cell(k):
    work = np.full(10**7, 1 / (k + 3))
    return [{"entry": i, "number": x} for i, x in enumerate(np.sqrt(work[:100]).tolist())]


def peak_mb(pid="self"):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) / 1000


def dask_memory(cells):
    """Prints a row: peaks of the scheduling process and of the workers, before and after."""
    import distributed
    import joblib

    with (
        tempfile.TemporaryDirectory() as folder,
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        pids = [worker.process.pid for worker in cluster.workers.values()]
        before = [peak_mb(), max(map(peak_mb, pids))]
        path = Path(folder) / "rows.jsonl"
        sweep(large_cell, {"k": range(cells)}, path, progress=False)
        after = [peak_mb(), max(map(peak_mb, pids))]
        size = path.stat().st_size / 1e6
    idle, busy = (" | ".join(f"{peak:.0f}" for peak in peaks) for peaks in (before, after))
    print(f"| {cells} | {size:.1f} | {idle} | {busy} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["memory"]:
        print("| cells | file, MB | idle: scheduling | worker | peak: scheduling | worker |")
        print("|---|---|---|---|---|---|", flush=True)
        for cells in (20, 200, 1000):
            spawn = multiprocessing.get_context("spawn")
            process = spawn.Process(target=dask_memory, args=(cells,))
            process.start()
            process.join()
        sys.exit(process.exitcode)
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
        print("| cells | append | continue | read |\n|---|---|---|---|")
        for cells in (1000, 10_000, 100_000):
            print(f"| {cells} |", " | ".join(f"{x:.2f}" for x in costs(folder, cells)), "|")
