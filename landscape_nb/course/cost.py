"""What a notebook cost to run: seconds on the clock and memory at its peak."""

import sys
import time
from pathlib import Path


class Cost:
    """A stop-watch that also knows the largest memory this process has held.

    Make one in a notebook's first cell and print its line in the last.

    Args:
        start: `time.perf_counter()` at the beginning; now, if not given. Give it where importing
            this package is itself part of the cost.

    >>> cost = Cost()
    >>> cost.line(budget_s=60, budget_mb=64000)             # doctest: +ELLIPSIS
    'Cost: 0.0 s, ... MB peak (budget 60 s, 64000 MB)'
    """

    def __init__(self, start: float | None = None) -> None:
        self._start = time.perf_counter() if start is None else start

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._start

    def line(self, budget_s: float, budget_mb: float) -> str:
        """Seconds and peak memory so far, beside what the notebook may take.

        Args:
            budget_s: seconds that the whole notebook may take.
            budget_mb: MB (10^6 bytes) that it may hold.

        Returns:
            One line of text, which says so if a budget was exceeded.
        """
        seconds, memory = self.seconds, peak_memory_mb()
        held = "peak memory unknown" if memory is None else f"{memory:.0f} MB peak"
        over = seconds > budget_s or (memory is not None and memory > budget_mb)
        verdict = "; over budget on this machine" if over else ""
        return f"Cost: {seconds:.1f} s, {held} (budget {budget_s:g} s, {budget_mb:g} MB{verdict})"


def peak_memory_mb() -> float | None:
    """Largest resident memory of this process so far, in MB; None where the system can't say.

    >>> peak_memory_mb() > 1.0
    True
    """
    # Linux's ru_maxrss includes the parent process from before the exec; VmHWM does not.
    status = Path("/proc/self/status")
    if status.exists():
        for row in status.read_text().splitlines():
            if row.startswith("VmHWM:"):
                return int(row.split()[1]) * 1024 / 1e6
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
