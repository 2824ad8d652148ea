"""Gauss-Newton products, traces and spectral densities: ours and three peers.

Run by hand: python tests/benchmarks/spectrum.py    (three minutes)

Two problems: an MLP on 1000 digits, started at random (float64), and the shipped transformer at its
last checkpoint on 8 sequences of 64 tokens (float32). Seconds are the process's own, one thread.
They count what a method sets up for one w, such as the graph of a gradient; not our
`EmpiricalLoss`, which serves all points. Methods take turns; a ratio compares two of them within
one round.
"""

import time
import warnings
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

import hessian_eigenthings as eigenthings
import torch
from curvlinops import GGNLinearOperator, HessianLinearOperator, hutchinson_trace
from curvlinops.papyan2020traces.spectrum import fast_lanczos
from pyhessian import hessian as PyHessian
from setting import Problem, ratio, use_one_thread, versions
from torch import Tensor, nn
from transformer import Language, _ClassesFirst, mean_loss

import landscape_nb as ln

ROUNDS = 3
COLUMNS = 16
PROBES = 16
RUNS = 2  # probes of the density
STEPS = {"MLP": 100, "transformer": 40}  # no second eigenvalue is within 4% of the largest


class Case(NamedTuple):
    """One problem as each package wants it; all four see the same mean loss."""

    name: str
    loss: ln.EmpiricalLoss
    k: int
    w: Tensor
    model: nn.Module
    mean: Callable[[Tensor, Tensor], Tensor]  # for PyHessian and hessian-eigenthings
    classes_first: nn.Module  # for curvlinops, with nn.CrossEntropyLoss
    data: tuple[Tensor, Tensor]


def mlp() -> Case:
    p = Problem([64, 32, 32, 10])
    loss, cross_entropy = p.loss.without_l2(), nn.CrossEntropyLoss()
    data = p.inputs, p.labels
    return Case("MLP", loss, 1000, loss.w0, p.model, cross_entropy, p.model, data)


def transformer() -> Case:
    p = Language.shipped(8)
    first = nn.Sequential(p.model, _ClassesFirst())
    data = p.inputs, p.targets
    return Case("transformer", p.loss, 8, p.w, p.model, mean_loss, first, data)


def curvlinops_operator(kind: type, c: Case):
    return kind(
        c.classes_first,
        nn.CrossEntropyLoss(),
        list(c.classes_first.parameters()),
        [c.data],
        check_deterministic=False,  # spares it a pass over the data
    )


def eigenthings_hessian(c: Case):
    return eigenthings.HessianOperator(c.model, [c.data], eigenthings.supervised_loss(c.mean))


def pyhessian(c: Case):
    return PyHessian(c.model, c.mean, data=c.data, cuda=False)


# -- one method a function: (case, seed) -> what it found ------------------------------------------


def columns_of(c: Case, seed: int) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(len(c.w), COLUMNS, generator=g, dtype=c.w.dtype)


def eigenthings_products(c: Case, seed: int) -> Tensor:
    G = eigenthings.GGNOperator(
        c.model,
        [c.data],
        eigenthings.supervised_forward,
        eigenthings.supervised_loss_of_output(c.mean),
    )
    return torch.stack([G.matvec(v.contiguous()) for v in columns_of(c, seed).T], dim=1)


PRODUCTS: dict[str, Callable[[Case, int], Tensor]] = {
    "ours": lambda c, seed: ln.GaussNewtonOperator(c.loss, c.w, c.k)(columns_of(c, seed)),
    "curvlinops": lambda c, seed: curvlinops_operator(GGNLinearOperator, c) @ columns_of(c, seed),
    "hessian-eigenthings": eigenthings_products,
}


def our_trace(c: Case, seed: int) -> float:
    g = torch.Generator().manual_seed(seed)
    return float(ln.hutchinson_trace(c.loss.hessian_operator(c.w, c.k), c.w, PROBES, g).value)


def curvlinops_trace(c: Case, seed: int) -> float:
    torch.manual_seed(seed)
    return float(hutchinson_trace(curvlinops_operator(HessianLinearOperator, c), PROBES))


def eigenthings_trace(c: Case, seed: int) -> float:
    return eigenthings.hutchinson(eigenthings_hessian(c), num_samples=PROBES, seed=seed).estimate


def pyhessian_trace(c: Case, seed: int) -> float:
    torch.manual_seed(seed)
    draws = pyhessian(c).trace(maxIter=PROBES, tol=0)  # tol 0: all of them
    return sum(draws) / len(draws)


TRACES: dict[str, Callable[[Case, int], float]] = {
    "ours": our_trace,
    "curvlinops": curvlinops_trace,
    "hessian-eigenthings": eigenthings_trace,
    "PyHessian": pyhessian_trace,
}

Quadrature = tuple[Tensor, Tensor]  # nodes and weights, (RUNS, steps)


def our_density(c: Case, seed: int) -> Quadrature:
    g = torch.Generator().manual_seed(seed)
    H = c.loss.hessian_operator(c.w, c.k)
    density = ln.spectral_density(H, c.w, RUNS, g, steps=STEPS[c.name])
    return density.nodes, density.weights


def curvlinops_density(c: Case, seed: int) -> Quadrature:
    """The Lanczos process behind its lanczos_approximate_spectrum, which gives only the curve."""
    torch.manual_seed(seed)
    H = curvlinops_operator(HessianLinearOperator, c)
    runs = [fast_lanczos(H, STEPS[c.name]) for _ in range(RUNS)]
    nodes = torch.stack([nodes for nodes, _ in runs])
    return nodes, torch.stack([Y[0].square() for _, Y in runs])


def eigenthings_density(c: Case, seed: int) -> Quadrature:
    found = eigenthings.spectral_density(
        eigenthings_hessian(c), num_runs=RUNS, lanczos_steps=STEPS[c.name], seed=seed
    )
    return found.raw_eigenvalues, found.raw_weights


def pyhessian_density(c: Case, seed: int) -> Quadrature:
    """It calls torch.eig, which PyTorch no longer has."""
    torch.manual_seed(seed)

    def eig(T: Tensor, eigenvectors: bool) -> Quadrature:
        nodes, Y = torch.linalg.eigh(T)
        return nodes[:, None], Y

    torch.eig = eig
    try:
        nodes, weights = pyhessian(c).density(iter=STEPS[c.name], n_v=RUNS)
    finally:
        del torch.eig
    return torch.tensor(nodes), torch.tensor(weights)


DENSITIES: dict[str, Callable[[Case, int], Quadrature]] = {
    "ours": our_density,
    "curvlinops": curvlinops_density,
    "hessian-eigenthings": eigenthings_density,
    "PyHessian, torch.eig replaced": pyhessian_density,
}


# -- what is printed -------------------------------------------------------------------------------


def rounds(methods: dict[str, Callable], c: Case, warm_up: bool = True) -> tuple[dict, dict]:
    """Seconds of each round, and what came out of the last."""
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    out = {}
    for seed in range(-1 if warm_up else 0, ROUNDS):
        for name, method in methods.items():
            start = time.process_time()
            out[name] = method(c, max(seed, 0))
            if seed >= 0:
                seconds[name].append(time.process_time() - start)
            for parameter in c.model.parameters():
                parameter.grad = None  # PyHessian leaves the graph of a gradient there
    return seconds, out


def table(title: str, seconds: dict, last: str, entries: dict[str, str]) -> None:
    print(f"\n| {title} | ms | / ours | {last} |\n|---|---|---|---|")
    for name, times in seconds.items():
        print(
            f"| {name} | {1e3 * median(times):.0f} | {ratio(times, seconds['ours']):.1f} "
            f"| {entries[name]} |",
            flush=True,
        )


def compare(c: Case) -> None:
    seconds, out = rounds(PRODUCTS, c)
    worst = {
        name: f"{float((V - out['ours']).norm() / out['ours'].norm()):.0e}"
        for name, V in out.items()
    }
    title = f"{c.name}, {COLUMNS} Gauss-Newton products"
    table(title, seconds, "relative difference from ours", worst)

    g = torch.Generator().manual_seed(99)
    H = c.loss.hessian_operator(c.w, c.k)
    exact = ln.hutchinson_trace(H, c.w, 200, g)
    seconds, traces = rounds(TRACES, c)
    entries = {name: f"{value:.3g}" for name, value in traces.items()}
    title = f"{c.name}, trace of the Hessian, {PROBES} probes"
    reference = f"{float(exact.value):.3g} +- {float(exact.stderr):.1g}"
    table(title, seconds, f"estimate (200 probes: {reference})", entries)

    top = float(ln.top_eigenpairs(c.loss, c.w, c.k, 1, tol=1e-6).values[0])
    seconds, densities = rounds(DENSITIES, c, warm_up=False)  # the traces have done it
    entries = {}
    for name, (nodes, _) in densities.items():
        copies = ((nodes - top).abs() < 1e-3 * top).sum(1).tolist()
        entries[name] = ", ".join(map(str, copies))
    title = f"{c.name}, density, {RUNS} x {STEPS[c.name]} steps"
    table(title, seconds, "copies of lambda_1", entries)


if __name__ == "__main__":
    use_one_thread()
    warnings.simplefilter("ignore")
    packages = ("torch", "curvlinops-for-pytorch", "hessian-eigenthings", "PyHessian")
    print(versions(*packages))
    print(f"medians of {ROUNDS} interleaved rounds, seconds of the process")
    for case in (mlp(), transformer()):
        compare(case)
