"""How long the explorer's sliders take to redraw: `python tests/benchmarks/slider.py`.

Goal: 16 ms in the kernel, median, which is one frame of a 60 Hz screen. Beside it, in the same
run, a full matplotlib redraw of the same figure, which is what a slider usually costs.
"""

import io
import time
from importlib.metadata import version

import numpy as np
import torch

import landscape_nb as ln
from landscape_nb.widgets import Explorer


def toy_explorer() -> Explorer:
    """The explorer on a quadratic toy, as large as that of notebook 04."""
    g = torch.Generator().manual_seed(0)
    toy = ln.toys.quadratics(200, 30, generator=g)
    loss = ln.EmpiricalLoss(*toy.parts)
    ks = [2, 4, 8, 16, 32, 64, 128, 150, 180, 199]
    w = toy.minimiser(200)
    bases = {
        "top": ln.top_eigenpairs(loss, w, 200, 10).vectors,
        "random": ln.random_subspace(30, 10, g),
        "bottom": ln.bottom_eigenpairs(loss, w, 200, 10).vectors,
    }
    tables = {
        name: ln.moment_table(ln.increment_models(loss, w, U, ks)) for name, U in bases.items()
    }
    everything = ln.moment_table(ln.increment_models(loss, w, torch.eye(30).double(), ks))
    return Explorer(tables, everything.last())


def milliseconds(action, values) -> np.ndarray:
    """Time of `action(value)` for each value."""
    times = []
    for value in values:
        start = time.perf_counter()
        action(value)
        times.append(1e3 * (time.perf_counter() - start))
    return np.array(times)


def main() -> None:
    """Print medians and 95th percentiles."""
    torch.set_num_threads(1)
    explorer = toy_explorer()
    sigmas = 10 ** np.tile(np.linspace(-4, 0, 41), 5)
    dimensions = np.tile([*range(1, 11), *range(9, 0, -1)], 10)
    figure = explorer._drawing.fast.figure
    rows = {
        "move sigma": milliseconds(lambda s: setattr(explorer.sigma, "value", s), sigmas),
        "move D": milliseconds(lambda D: setattr(explorer.D, "value", int(D)), dimensions),
        "full matplotlib redraw": milliseconds(
            lambda _: figure.savefig(io.BytesIO(), format="png"), range(20)
        ),
    }
    print(f"matplotlib {version('matplotlib')}, ipywidgets {version('ipywidgets')}")
    for name, times in rows.items():
        print(f"{name:24s} median {np.median(times):6.1f} ms, 95 % {np.percentile(times, 95):6.1f}")
    worst = max(np.median(rows["move sigma"]), np.median(rows["move D"]))
    print("within one frame of 16 ms, median:", "yes" if worst <= 16 else "no")


if __name__ == "__main__":
    main()
