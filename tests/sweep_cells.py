"""What the sweeps of test_sweeps.py measure: in a module that other processes can import."""

import time

GRID = {"seed": [0, 1, 2], "k": [10, 20, 40, 80, 160]}


def measure(seed, k, log=None, seconds=0.0):
    """Three rows for each cell; what was measured is noted outside the sweep's own file."""
    rows = [{"sigma": s, "total": (seed + 1) / (3 * k) * s, "small": k < 50} for s in (0.1, 1, 10)]
    time.sleep(seconds)
    if log:
        with open(log, "ab", buffering=0) as file:
            file.write(f"{seed},{k}\n".encode())
    return rows


def fails_at_40(seed, k):
    if k == 40:
        raise ZeroDivisionError("no luck")
    return measure(seed, k)


EXPECTED = [
    {"seed": s, "k": k, **row} for s in GRID["seed"] for k in GRID["k"] for row in measure(s, k)
]
