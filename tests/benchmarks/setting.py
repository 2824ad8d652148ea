"""What the benchmarks share: the digits problem, timing, peak memory, versions."""

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.func import functional_call

import landscape_nb as ln

n = 1000
L2 = 1e-3


class Problem:
    """An MLP on the first 1000 digits: our loss, and the same mean loss in plain torch."""

    def __init__(self, widths: list[int]) -> None:
        self.model = ln.models.MLP(widths)
        self.inputs, self.labels = ln.data.digits(n)
        self.loss = ln.EmpiricalLoss(
            self.model, nn.CrossEntropyLoss(reduction="none"), self.inputs, self.labels, l2=L2
        )
        self.name = f"MLP {'-'.join(map(str, widths))}, N = {self.loss.num_params}"
        self._parts = {name: (p.shape, p.numel()) for name, p in self.model.named_parameters()}

    def plain_loss(self, w: Tensor, k: int = n) -> Tensor:
        """L_k(w) as the paper's way sees it: one scalar, differentiable in w."""
        pieces = w.split([size for _, size in self._parts.values()])
        parameters = {
            name: piece.view(shape)
            for (name, (shape, _)), piece in zip(self._parts.items(), pieces, strict=True)
        }
        outputs = functional_call(self.model, parameters, (self.inputs[:k],))
        return nn.functional.cross_entropy(outputs, self.labels[:k]) + L2 / 2 * w.square().sum()


class Pairs(NamedTuple):
    """What every method of finding eigenpairs hands over."""

    values: Tensor
    vectors: Tensor
    products: int


class Judged(NamedTuple):
    """What every such method is judged by."""

    products: int
    residual: float  # worst |H u - theta u| / lambda_1
    orthogonality: float  # largest entry of |U'U - I|
    right: int  # values within 1% of the reference at their place


class Measured(NamedTuple):
    """What a run cost and what came out."""

    seconds: float  # of this process, one thread
    megabytes: float  # peak resident memory, less what was resident before
    out: Any


def use_one_thread() -> None:
    """One thread for torch, and for the BLAS behind numpy and scipy."""
    torch.set_num_threads(1)
    threadpool_limits(1)


def versions(*packages: str) -> str:
    """'torch 2.4, scipy 1.11', as installed."""
    return ", ".join(f"{package} {version(package)}" for package in packages)


def timed(run: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what came out."""
    start = time.perf_counter()
    out = run()
    return time.perf_counter() - start, out


def ratio(seconds: list[float], reference: list[float]) -> float:
    """Median over rounds of the ratio within a round: both ran under the same load."""
    return median(s / r for s, r in zip(seconds, reference, strict=True))


def measured(run: Callable[[], Any], prepare: Callable[[], Any] = lambda: None) -> Measured:
    """Seconds of one run, and its peak memory; `prepare` counts in memory, not in seconds.

    Seconds are the process's own: with one thread what the clock shows where nothing else runs, and
    little changed by what does. Memory is the kernel's high-water mark of the process, reset just
    before. Linux only; call it in a process of its own.
    """
    start_of_memory()
    before = resident_megabytes("VmRSS")
    prepare()
    start = time.process_time()
    out = run()
    seconds = time.process_time() - start
    return Measured(seconds, resident_megabytes("VmHWM") - before, out)


def start_of_memory() -> None:
    """Reset the kernel's high-water mark of this process's memory; Linux only."""
    Path("/proc/self/clear_refs").write_text("5")


def in_own_process(job: Callable, *arguments: Any) -> Any:
    """job(*arguments) in a fresh process, so that nothing is left over from an earlier run."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, initializer=use_one_thread) as pool:
        return pool.submit(job, *arguments).result()


def resident_megabytes(mark: str) -> float:
    """Resident memory: VmRSS, now, or VmHWM, at its highest."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1.024e-3 * int(next(line for line in lines if line.startswith(mark)).split()[1])
