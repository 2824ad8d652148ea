"""A transformer's top eigenpairs, warm starts and increments: ours, four peers, the paper's way.

Run by hand: python tests/benchmarks/transformer.py [top16] [top45] [warm] [increments] [mlp]

One model, the shipped transformer at its last checkpoint (float32), and 64 sequences of 64 tokens.
Every run has a process of its own, in which a toy run of the same method comes first, so that what
is loaded late is loaded. Seconds are the process's own; memory is the kernel's high-water mark
above what was resident before. Rows come at the end of a table, progress on stderr.
Methods take turns; a ratio compares two of them within one round.
"""

import sys
import warnings
from collections.abc import Callable
from functools import cached_property, partial
from statistics import median

import numpy as np
import paper_method
import torch
from curvlinops import HessianLinearOperator
from hessian_eigenthings import HessianOperator, lanczos, supervised_loss
from pyhessian import hessian as PyHessian
from scipy.sparse.linalg import LinearOperator, eigsh
from setting import (
    Judged,
    Measured,
    Pairs,
    Problem,
    in_own_process,
    measured,
    n,
    use_one_thread,
    versions,
)
from torch import Tensor, nn
from torch.func import functional_call

import landscape_nb as ln
from landscape_nb.problems.models import DecoderTransformer, TransformerConfig, sequence_loss
from landscape_nb.problems.pretraining import pretrained

K = 64  # sequences
D = 16  # directions of the increments and warm starts
ROUNDS = 3
# Fewest products with residuals of 1e-3 lambda_1 and all values right, of tol 1e-2, 1e-3, 1e-4 and
# 2, 2.5, 3, 4 D vectors; and the number of Lanczos steps at which hessian-eigenthings gets there.
CHEAPEST_ARPACK = {16: (1e-3, 33), 45: (1e-3, 91)}
CHEAPEST_LANCZOS = {16: 60, 45: 152}


class Language:
    """A transformer and some sequences: for the peers a model and a mean loss, for us a loss."""

    def __init__(self, model: DecoderTransformer, sequences: Tensor) -> None:
        self.model, self.inputs, self.targets = model, sequences[:, :-1], sequences[:, 1:]
        self.w = nn.utils.parameters_to_vector(model.parameters()).detach()
        self.k = len(sequences)

    @classmethod
    def shipped(
        cls, k: int = K, checkpoint: int = -1, dtype: torch.dtype = torch.float32
    ) -> "Language":
        run = pretrained(progress=False)[0]
        return cls(run.model(checkpoint, dtype=dtype), run.sequences[:k])

    @classmethod
    def toy(cls) -> "Language":
        config = TransformerConfig(103, width=8, depth=1, heads=2, kv_heads=1, hidden=16)
        g = torch.Generator().manual_seed(0)
        return cls(DecoderTransformer(config), torch.randint(103, (3, 65), generator=g))

    @cached_property
    def loss(self) -> ln.EmpiricalLoss:
        return ln.EmpiricalLoss(
            self.model, sequence_loss, self.inputs, self.targets, batch_size=self.k
        )

    @property
    def data(self) -> list[tuple[Tensor, Tensor]]:
        return [(self.inputs, self.targets)]

    def plain_loss(self, w: Tensor, k: int | None = None) -> Tensor:
        """L_k(w) as the paper's way sees it: one scalar, differentiable in w."""
        parameters, i = {}, 0
        for name, p in self.model.named_parameters():
            parameters[name] = w[i : i + p.numel()].view_as(p)
            i += p.numel()
        logits = functional_call(self.model, parameters, (self.inputs[:k],))
        return mean_loss(logits, self.targets[:k])


def mean_loss(logits: Tensor, targets: Tensor) -> Tensor:
    return sequence_loss(logits, targets).mean()


# -- eigenpairs ------------------------------------------------------------------------------------


Method = Callable[[Language, int, int], Pairs]  # (problem, D, seed)


def judge(pairs: Pairs, true: Tensor) -> Judged:
    """By fresh products in float64, whatever a method says of itself."""
    order = pairs.values.argsort(descending=True)
    theta, U = pairs.values[order].double(), pairs.vectors[:, order].double()
    problem = Language.shipped(dtype=torch.float64)
    residuals = (problem.loss.hvp(problem.w, U, K) - U * theta).norm(dim=0)
    return Judged(
        pairs.products,
        float(residuals.max() / true[0]),
        float((U.T @ U - torch.eye(len(theta)).double()).abs().max()),
        int(((theta - true).abs() <= 0.01 * true.abs()).sum()),
    )


def ours(problem: Language, D: int, seed: int, tol: float) -> Pairs:
    g = torch.Generator().manual_seed(seed)
    pairs = ln.top_eigenpairs(problem.loss, problem.w, problem.k, D, tol, generator=g)
    return Pairs(pairs.values, pairs.vectors, pairs.hvp_count)


def arpack(matvec: Callable, N: int, D: int, seed: int, tol: float, ncv: int | None) -> Pairs:
    products = 0

    def counted(v: np.ndarray) -> np.ndarray:
        nonlocal products
        products += 1
        return matvec(v.ravel())

    H = LinearOperator((N, N), matvec=counted, dtype=np.float64)
    v0 = np.random.default_rng(seed).standard_normal(N)
    values, vectors = eigsh(H, D, which="LA", tol=tol, ncv=ncv, v0=v0)
    return Pairs(torch.tensor(values), torch.tensor(vectors), products)


def curvlinops_arpack(
    problem: Language, D: int, seed: int, tol: float, ncv: int | None = None
) -> Pairs:
    """Its cross-entropy wants the classes in dimension 1; sequences of one length: same mean."""
    model = nn.Sequential(problem.model, _ClassesFirst())
    H = HessianLinearOperator(
        model,
        nn.CrossEntropyLoss(),
        list(model.parameters()),
        problem.data,
        check_deterministic=False,  # spares it a pass over the data
    ).to_scipy()
    return arpack(H.matvec, len(problem.w), D, seed, tol, ncv)


class _ClassesFirst(nn.Module):
    def forward(self, logits: Tensor) -> Tensor:
        return logits.mT


def our_products_arpack(problem: Language, D: int, seed: int, tol: float, ncv: int) -> Pairs:
    H = problem.loss.hessian_operator(problem.w, problem.k)

    def matvec(v: np.ndarray) -> np.ndarray:
        return H(torch.from_numpy(v).to(problem.w)).numpy()

    return arpack(matvec, len(problem.w), D, seed, tol, ncv)


def eigenthings_lanczos(problem: Language, D: int, seed: int, **settings) -> Pairs:
    """By default the largest |lambda| after 2 D steps, without re-orthogonalisation above 50."""
    H = HessianOperator(problem.model, problem.data, supervised_loss(mean_loss))
    found = lanczos(H, k=D, seed=seed, **settings)
    return Pairs(found.eigenvalues, found.eigenvectors.T, found.iterations)


def pyhessian_power(problem: Language, D: int, seed: int) -> Pairs:
    """It keeps the gradient's graph, as we do. It does not say how many products it took."""
    torch.manual_seed(seed)
    H = PyHessian(problem.model, mean_loss, data=problem.data[0], cuda=False)
    module = sys.modules[PyHessian.__module__]
    product, products = module.hessian_vector_product, 0

    def counted(*arguments):
        nonlocal products
        products += 1
        return product(*arguments)

    module.hessian_vector_product = counted
    try:
        values, vectors = H.eigenvalues(top_n=D)
    finally:
        module.hessian_vector_product = product
    U = torch.stack([torch.cat([part.flatten() for part in u]) for u in vectors], dim=1)
    return Pairs(torch.tensor(values), U.detach(), products)


def paper(problem: Language, D: int, seed: int) -> Pairs:
    def apply(v: Tensor) -> Tensor:
        v = v.to(problem.w)
        return paper_method.hessian_vector_product(problem.plain_loss, problem.w, v).double()

    g = torch.Generator().manual_seed(seed)
    return Pairs(*paper_method.deflated_power_iteration(apply, len(problem.w), D, g))


def eigen_methods(D: int) -> dict[str, tuple[int, Method]]:
    """Name -> (rounds, method)."""
    tol, ncv = CHEAPEST_ARPACK[D]
    steps = CHEAPEST_LANCZOS[D]
    rounds = ROUNDS if D == 16 else 1
    return {
        "ours, tol 1e-3": (rounds, partial(ours, tol=1e-3)),
        "ours, tol 1e-4 (default)": (rounds, partial(ours, tol=1e-4)),
        "curvlinops + eigsh, cheapest": (rounds, partial(curvlinops_arpack, tol=tol, ncv=ncv)),
        "curvlinops + eigsh, tol 1e-4": (rounds, partial(curvlinops_arpack, tol=1e-4)),
        "our products + eigsh, cheapest": (rounds, partial(our_products_arpack, tol=tol, ncv=ncv)),
        "hessian-eigenthings, Lanczos, defaults": (rounds, eigenthings_lanczos),
        f"the same, LA, {steps} steps, re-orthogonalised": (
            rounds,
            partial(eigenthings_lanczos, which="LA", max_iter=steps, reorthogonalize=True),
        ),
        "PyHessian, defaults": (1, pyhessian_power),
        "the paper's method": (1, paper),
    }


def judged_run(name: str, D: int, seed: int, true: Tensor) -> Measured:
    """One run, in a process of its own."""
    quiet()
    method = eigen_methods(D)[name][1]
    method(Language.toy(), 2, 0)
    problem = Language.shipped()
    cost = measured(lambda: method(problem, D, seed), partial(prepare, problem, name))
    return cost._replace(out=judge(cost.out, true))


def prepare(problem, name: str) -> None:
    """Build and check our loss, once for many runs: 2 s that no run is charged with."""
    if name.startswith("our") or " k, " in name:
        _ = problem.loss


def reference(D: int) -> Tensor:
    problem = Language.shipped(dtype=torch.float64)
    return ln.top_eigenpairs(problem.loss, problem.w, K, D, tol=1e-6).values


def compare_eigenpairs(D: int) -> None:
    true = in_own_process(reference, D)
    methods = eigen_methods(D)
    runs: dict[str, list[Measured]] = {name: [] for name in methods}
    for seed in range(max(rounds for rounds, _ in methods.values())):
        for name, (rounds, _) in methods.items():
            if seed < rounds:
                runs[name].append(in_own_process(judged_run, name, D, seed, true))
                print(f"top {D}, {name}: {runs[name][-1]}", file=sys.stderr)
    print(f"\nTop {D}: lambda_1 = {true[0]:.3g}, lambda_{D} = {true[-1]:.3g}\n")
    print(
        f"| top {D} | rounds | products | / ours | s | / ours | residual / lambda_1 "
        "| orthogonality | right | MB |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    first = next(iter(runs.values()))
    for name, rows in runs.items():
        judged = [row.out for row in rows]
        pairs = list(zip(rows, first, strict=False))
        print(
            f"| {name} | {len(rows)} | {spread([j.products for j in judged])} "
            f"| {median(r.out.products / f.out.products for r, f in pairs):.1f} "
            f"| {median(r.seconds for r in rows):.1f} "
            f"| {median(r.seconds / f.seconds for r, f in pairs):.1f} "
            f"| {max(j.residual for j in judged):.0e} "
            f"| {max(j.orthogonality for j in judged):.0e} "
            f"| {spread([j.right for j in judged])} "
            f"| {median(r.megabytes for r in rows):.0f} |",
            flush=True,
        )


def spread(numbers: list[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low}-{high}"


# -- warm starts -----------------------------------------------------------------------------------


def warm_starts() -> None:
    """Products with and without the eigenvectors of the previous step as a start."""
    grid = [8, 16, 32, 64, 128]
    problem = Language.shipped(max(grid) + 1)
    checkpoints = pretrained(progress=False)[0].weights

    def solve(w: Tensor, k: int, start: Tensor | None = None) -> ln.Eigenpairs:
        return ln.top_eigenpairs(problem.loss, w, k, D, start=start)

    print(f"\n| warm start, D = {D}, tol 1e-4 | products cold | warm | saved |\n|---|---|---|---|")

    def row(name: str, cold: ln.Eigenpairs, warm: ln.Eigenpairs) -> None:
        saved = 1 - warm.hvp_count / cold.hvp_count
        print(f"| {name} | {cold.hvp_count} | {warm.hvp_count} | {saved:.0%} |", flush=True)

    cold = {k: solve(problem.w, k) for k in grid}
    for k in (8, 32, 64):
        warm = solve(problem.w, k + 1, cold[k].vectors)
        row(f"k: {k} to {k + 1}, same w", solve(problem.w, k + 1), warm)
    for before, k in zip(grid, grid[1:], strict=False):
        row(f"k: {before} to {k}, same w", cold[k], solve(problem.w, k, cold[before].vectors))
    along = [solve(w, K) for w in checkpoints]
    for j in range(1, len(along)):
        warm = solve(checkpoints[j], K, along[j - 1].vectors)
        row(f"checkpoint {j} to {j + 1}, k = {K}", along[j], warm)


# -- increments ------------------------------------------------------------------------------------

Models = tuple[np.ndarray, np.ndarray, np.ndarray]


def grid_of(samples: int) -> list[int]:
    """20 numbers of samples, evenly spaced."""
    return [int(k) for k in np.linspace(1, samples - 1, 20).round()]


def increment_ways(samples: int) -> dict[str, tuple[int, Callable[..., Models]]]:
    """Name -> (rounds, (problem, w, U) -> models)."""
    every, grid = range(1, samples), grid_of(samples)

    def engine(problem, w: Tensor, U: Tensor, ks, method: str) -> Models:
        models = ln.increment_models(problem.loss, w, U, ks, method=method)
        return models.a.numpy(), models.c.numpy(), models.B.numpy()

    def paper(problem, w: Tensor, U: Tensor) -> Models:
        rows = [paper_method.increment(problem.plain_loss, w, U, k) for k in grid]
        a, c, B = (torch.stack(part).detach().numpy() for part in zip(*rows, strict=True))
        return a, c, B

    return {
        "20 k, fresh graphs (the paper's way)": (1, paper),
        "20 k, segments": (ROUNDS, partial(engine, ks=grid, method="segments")),
        f"all {samples - 1} k, reverse": (ROUNDS, partial(engine, ks=every, method="reverse")),
        f"all {samples - 1} k, auto": (ROUNDS, partial(engine, ks=every, method="auto")),
    }


def increment_run(name: str, kind: str, w: Tensor, U: Tensor) -> Measured:
    """One run, in a process of its own."""
    quiet()
    problem, samples = setting_of(kind)
    way = increment_ways(samples)[name][1]
    toy = Language.toy()
    V = torch.eye(len(toy.w))[:, :2]
    for method in ("segments", "reverse", "contraction"):
        ln.increment_models(toy.loss, toy.w, V, [1, 2], method=method)
    return measured(lambda: way(problem, w, U), partial(prepare, problem, name))


def setting_of(kind: str):
    """The problem, and its number of samples."""
    return (Problem([64, 32, 32, 10]), n) if kind == "mlp" else (Language.shipped(), K)


def exact_models(kind: str, w: Tensor, U: Tensor) -> Models:
    """At the grid, in float64."""
    if kind == "mlp":
        problem, samples = setting_of(kind)
    else:
        problem, samples = Language.shipped(dtype=torch.float64), K
    Q = torch.linalg.qr(U.double()).Q  # U, orthonormal in float64
    Q = Q * (Q * U).sum(0).sign()
    models = ln.increment_models(problem.loss, w.double(), Q, grid_of(samples), method="segments")
    return models.a.numpy(), models.c.numpy(), models.B.numpy()


def basis(kind: str) -> tuple[Tensor, Tensor]:
    problem, samples = setting_of(kind)
    w = ln.fit(problem.loss, samples).w if kind == "mlp" else problem.w
    return w, ln.top_eigenpairs(problem.loss, w, samples, D).vectors


def compare_increments(kind: str) -> None:
    w, U = in_own_process(basis, kind)
    samples = n if kind == "mlp" else K
    exact = in_own_process(exact_models, kind, w, U)
    ways = increment_ways(samples)
    runs: dict[str, list[Measured]] = {name: [] for name in ways}
    for turn in range(ROUNDS):
        for name, (rounds, _) in ways.items():
            if turn < rounds:
                runs[name].append(in_own_process(increment_run, name, kind, w, U))
                print(f"{kind}, {name}: {runs[name][-1].seconds:.1f} s", file=sys.stderr)
    first = next(iter(runs.values()))
    print(
        f"\n| {kind}, (a, c, B), D = {D} | rounds | s | / the paper's 20 | MB | error |"
        "\n|---|---|---|---|---|---|"
    )
    at_grid = np.array(grid_of(samples)) - 1
    for name, rows in runs.items():
        found = rows[0].out
        if len(found[0]) != len(exact[0]):
            found = [part[at_grid] for part in found]
        times = [row.seconds for row in rows]
        print(
            f"| {name} | {len(rows)} | {median(times):.1f} "
            f"| {median(times) / first[0].seconds:.2f} "
            f"| {median(row.megabytes for row in rows):.0f} "
            f"| {error(found, exact):.0e} |"
        )


def error(found: Models, exact: Models) -> float:
    """Over a, c, B and all k: the largest deviation relative to the largest entry at that k."""
    worst = 0.0
    for x, y in zip(found, exact, strict=True):
        x, y = x.reshape(len(x), -1), y.reshape(len(y), -1)
        worst = max(worst, float((abs(x - y).max(1) / abs(y).max(1)).max()))
    return worst


def quiet() -> None:
    warnings.filterwarnings("ignore", module="curvlinops")
    warnings.filterwarnings("ignore", message="Using backward.. with create_graph=True")


def main(parts: list[str]) -> None:
    use_one_thread()
    print(versions("torch", "scipy", "curvlinops-for-pytorch", "hessian-eigenthings", "PyHessian"))
    problem = Language.shipped()
    print(f"transformer, N = {len(problem.w)}, float32, {K} sequences of 64 tokens", flush=True)
    if "top16" in parts:
        compare_eigenpairs(16)
    if "top45" in parts:
        compare_eigenpairs(45)
    if "warm" in parts:
        in_own_process(warm_starts)
    if "increments" in parts:
        compare_increments("transformer")
    if "mlp" in parts:
        compare_increments("mlp")


if __name__ == "__main__":
    main(sys.argv[1:] or ["top16", "top45", "warm", "increments", "mlp"])
