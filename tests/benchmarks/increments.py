"""(a, c, B) of many increments at one fixed w and U: all k in one pass against one by one.

Run by hand: python tests/benchmarks/increments.py

The claims: all 999 k take at most 0.06 of 20 of them the paper's way on an MLP and 0.1 on a
convolutional network, 20 spaced evenly in log k; and on a transformer all 63 k take at most 1.2
times D tangents, each one pass of forward over reverse mode, jvp(grad(loss)), over all samples.
Seconds are the process's own. A ratio compares two ways within one round; rounds are interleaved.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import paper_method
import torch
from setting import L2, Problem, n, ratio, use_one_thread, versions
from torch import Tensor, nn
from torch.func import grad, jvp

import landscape_nb as ln
from landscape_nb.problems.models import sequence_loss
from landscape_nb.problems.pretraining import pretrained

D = 10
ROUNDS = 7
EVERY_K = range(1, n)
GRID = [int(k) for k in np.geomspace(2, n - 1, 20).round()]

Models = tuple[Tensor, Tensor, Tensor]


def stacked(rows: list[Models]) -> Models:
    a, c, B = (torch.stack(parts) for parts in zip(*rows, strict=True))
    return a, c, B


def largest_difference(found: Models, reference: Models) -> float:
    """Over a, c and B: the largest deviation at any k, relative to the largest entry at that k."""
    return max(
        float(
            ((x - y).abs().flatten(1).amax(1) / y.abs().flatten(1).amax(1)).max()
            if x.ndim > 1
            else ((x - y) / y).abs().max()
        )
        for x, y in zip(found, reference, strict=True)
    )


class Convolutions(Problem):
    """The same digits, as images."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__([64, 10])
        self.model = nn.Sequential(
            nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 8, 3, padding=1), nn.Tanh(),
            nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(256, 10),
        ).double()  # fmt: skip
        self.loss = ln.EmpiricalLoss(
            self.model, nn.CrossEntropyLoss(reduction="none"), self.inputs, self.labels, l2=L2
        )
        self.name = f"CNN 1-8-16-10, N = {self.loss.num_params}"
        self._parts = {name: (p.shape, p.numel()) for name, p in self.model.named_parameters()}


def in_turns(ways: dict[str, Callable[[], Any]], rounds: int) -> tuple[dict, dict]:
    """Seconds of every round and the last result, by name."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    out: dict[str, Any] = {}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.process_time()
            out[name] = way()
            seconds[name].append(time.process_time() - start)
    return seconds, out


def models_of(loss: ln.EmpiricalLoss, w: Tensor, U: Tensor, ks, method: str = "auto") -> Models:
    models = ln.increment_models(loss, w, U, ks, method=method)
    return models.a, models.c, models.B


def compare(problem: Problem, most: float) -> None:
    loss = problem.loss
    w = ln.fit(loss, n).w
    U = ln.top_eigenpairs(loss, w, n, D).vectors

    def one_by_one() -> Models:
        models = [ln.increment_model(loss, w, U, k) for k in GRID]
        return stacked([(model.a, model.c, model.B) for model in models])

    first, last = "20 k, fresh graphs (the paper's way)", "all 999 k, auto"
    seconds, out = in_turns(
        {
            first: lambda: stacked(
                [paper_method.increment(problem.plain_loss, w, U, k) for k in GRID]
            ),
            "20 k, one by one (increment_model)": one_by_one,
            "20 k, segments": lambda: models_of(loss, w, U, GRID, "segments"),
            last: lambda: models_of(loss, w, U, EVERY_K),
        },
        ROUNDS,
    )
    at_grid = torch.tensor(GRID) - EVERY_K.start
    a, c, B = out[last]
    out[last] = a[at_grid], c[at_grid], B[at_grid]
    print(f"\n{problem.name}\n")
    print("| (a, c, B), D = 10 | ms | time / the paper's 20 | largest relative difference |")
    print("|---|---|---|---|")
    for name in seconds:
        print(
            f"| {name} | {1e3 * median(seconds[name]):.0f} "
            f"| {ratio(seconds[name], seconds[first]):.3f} "
            f"| {largest_difference(out[name], out[first]):.0e} |"
        )
    verdict(
        f"All 999 k / 20 the paper's way, at most {most:g}", seconds[last], seconds[first], most
    )


def compare_transformer() -> None:
    """The shipped transformer in float32, sequences of 64 tokens."""
    run, samples, D = pretrained(progress=False)[0], 64, 16
    text = run.sequences[:samples]
    model = run.model(-1, dtype=torch.float32)
    loss = ln.EmpiricalLoss(model, sequence_loss, text[:, :-1], text[:, 1:], batch_size=samples)
    w, g = loss.w0, torch.Generator().manual_seed(0)
    U = ln.random_subspace(len(w), D, g, dtype=w.dtype)

    def mean(w: Tensor) -> Tensor:
        return loss.losses_at(w, range(samples)).mean()

    def tangents() -> list[Tensor]:
        return [jvp(grad(mean), (w,), (u,))[1] for u in U.T.contiguous()]

    first, last = f"{D} tangents, jvp(grad(loss))", "all 63 k, auto"
    seconds, _ = in_turns(
        {
            first: tangents,
            f"{D} products, one graph kept": lambda: loss.hessian_operator(w, samples) @ U,
            "all 63 k, reverse": lambda: models_of(loss, w, U, range(1, samples), "reverse"),
            last: lambda: models_of(loss, w, U, range(1, samples)),
        },
        3,
    )
    print(f"\nTransformer, N = {len(w)}, float32, {samples} sequences\n")
    print(f"| D = {D} | s | time / {D} tangents |\n|---|---|---|")
    for name in seconds:
        print(
            f"| {name} | {median(seconds[name]):.2f} | {ratio(seconds[name], seconds[first]):.2f} |"
        )
    verdict(f"All 63 k / {D} tangents, at most 1.2", seconds[last], seconds[first], 1.2)


def verdict(claim: str, seconds: list[float], others: list[float], most: float) -> None:
    found = ratio(seconds, others)
    print(f"\n{claim}: {found:.3f}, {'holds' if found <= most else 'DOES NOT HOLD'}", flush=True)


def main() -> None:
    use_one_thread()
    print(versions("torch", "scipy"))
    print(f"digits, float64, n = {n}, L2 = {L2:g}; medians of {ROUNDS} interleaved rounds")
    compare(Problem([64, 32, 32, 10]), 0.06)
    compare(Convolutions(), 0.1)
    compare_transformer()


if __name__ == "__main__":
    main()
