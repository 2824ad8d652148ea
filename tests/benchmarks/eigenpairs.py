"""Top-10 eigenpairs of an MLP on digits: ours, peers, and the paper's method.

hessian-eigenthings is measured where it is importable: the newest release on the package index is
1.0.0a5; newer alphas are in its public repository only.

Run by hand: python tests/benchmarks/eigenpairs.py
             python tests/benchmarks/eigenpairs.py sizes      # N = 1e3 to 1e6, float64 and float32;
                                                              # eight minutes
             python tests/benchmarks/eigenpairs.py sizes 1e4  # one size

All values are judged against the dense Hessian and all residuals are recomputed with fresh
products, whatever a method says of itself. Rounds differ in the random start and are interleaved;
a ratio compares two methods within one round.
"""

import sys
import warnings
from collections.abc import Callable
from functools import partial
from itertools import groupby, product
from statistics import median
from time import process_time
from typing import NamedTuple

import numpy as np
import torch
from curvlinops import HessianLinearOperator
from paper_method import deflated_power_iteration, gradient, hessian_vector_product
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh
from setting import L2, Judged, Pairs, Problem, n, ratio, timed, use_one_thread, versions
from torch import Tensor, nn

import landscape_nb as ln

try:
    import hessian_eigenthings as eigenthings
except ImportError:
    eigenthings = None

D = 10
TOL = 1e-4
ROUNDS = 7
# ARPACK bounds each residual by tol |theta|, we by tol |lambda_1|: equal tol asks more of it.
# So it also runs at the cheapest of these settings that reaches our residual with right values.
ARPACK_SETTINGS = [(tol, ncv) for ncv in (21, 30, 40) for tol in (1e-2, 3e-3, 1e-3, 3e-4, 1e-4)]


def judge(pairs: Pairs, problem: Problem, w: Tensor, true: Tensor) -> Judged:
    order = pairs.values.argsort(descending=True)
    theta, U = pairs.values[order], pairs.vectors[:, order]
    residuals = (problem.loss.hvp(w, U, n) - U * theta).norm(dim=0)
    return Judged(
        pairs.products,
        float(residuals.max() / true[0]),
        float((U.T @ U - torch.eye(D, dtype=U.dtype)).abs().max()),
        int(((theta - true).abs() <= 0.01 * true.abs()).sum()),
    )


def ours(problem: Problem, w: Tensor, seed: int) -> Pairs:
    pairs = ln.top_eigenpairs(
        problem.loss, w, n, D, TOL, generator=torch.Generator().manual_seed(seed)
    )
    return Pairs(pairs.values, pairs.vectors, pairs.hvp_count)


def arpack(matvec: Callable, N: int, seed: int, tol: float, ncv: int) -> Pairs:
    products = 0

    def counted(v: np.ndarray) -> np.ndarray:
        nonlocal products
        products += 1
        return matvec(v.ravel())

    H = LinearOperator((N, N), matvec=counted, dtype=np.float64)
    v0 = np.random.default_rng(seed).standard_normal(N)
    values, vectors = eigsh(H, D, which="LA", tol=tol, ncv=ncv, v0=v0)
    return Pairs(torch.tensor(values), torch.tensor(vectors), products)


def curvlinops_arpack(problem: Problem, w: Tensor, seed: int, tol: float, ncv: int) -> Pairs:
    """Products by curvlinops, which has no L2 term: that shifts the values and nothing else."""
    nn.utils.vector_to_parameters(w, problem.model.parameters())
    H = HessianLinearOperator(
        problem.model,
        nn.CrossEntropyLoss(),
        [p for p in problem.model.parameters() if p.requires_grad],
        [(problem.inputs, problem.labels)],
        check_deterministic=False,  # spares it a pass over the data
    ).to_scipy()
    pairs = arpack(H.matvec, len(w), seed, tol, ncv)
    return pairs._replace(values=pairs.values + L2)


def our_products_arpack(problem: Problem, w: Tensor, seed: int, tol: float, ncv: int) -> Pairs:
    H = problem.loss.hessian_operator(w, n)
    return arpack(lambda v: H(torch.from_numpy(v)).numpy(), len(w), seed, tol, ncv)


def paper(problem: Problem, w: Tensor, seed: int) -> Pairs:
    apply = partial(hessian_vector_product, problem.plain_loss, w)
    return Pairs(*deflated_power_iteration(apply, len(w), D, torch.Generator().manual_seed(seed)))


def eigenthings_lanczos(problem: Problem, w: Tensor, seed: int, steps: int) -> Pairs:
    """The algebraically largest, re-orthogonalised, by so many steps; no L2 term."""
    nn.utils.vector_to_parameters(w, problem.model.parameters())
    H = eigenthings.HessianOperator(
        problem.model,
        [(problem.inputs, problem.labels)],
        eigenthings.supervised_loss(nn.CrossEntropyLoss()),
    )
    options = {"which": "LA", "tol": TOL, "reorthogonalize": True, "max_iter": steps}
    found = eigenthings.lanczos(H, k=D, seed=seed, **options)
    return Pairs(found.eigenvalues + L2, found.eigenvectors.T, found.iterations)


def cheapest_arpack(problem: Problem, w: Tensor, true: Tensor) -> tuple[float, int]:
    """The setting with fewest products that meets our bound in three rounds out of three."""
    found = []
    for tol, ncv in ARPACK_SETTINGS:
        try:
            runs = [our_products_arpack(problem, w, seed, tol, ncv) for seed in range(3)]
        except ArpackNoConvergence:
            continue
        judged = [judge(pairs, problem, w, true) for pairs in runs]
        if all(j.residual <= TOL and j.right == D for j in judged):
            found.append((sum(j.products for j in judged), tol, ncv))
    return min(found)[1:]


def fewest_steps(problem: Problem, w: Tensor, true: Tensor) -> int:
    """Steps of hessian-eigenthings that meet our bound in every round."""
    for steps in range(20, 60, 2):
        runs = [eigenthings_lanczos(problem, w, seed, steps) for seed in range(ROUNDS)]
        judged = [judge(pairs, problem, w, true) for pairs in runs]
        if all(j.residual <= TOL and j.right == D for j in judged):
            return steps
    raise RuntimeError("No number of steps below 60 meets the bound.")


def spread(numbers: list[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low}-{high}"


def compare(problem: Problem, w: Tensor, point: str) -> None:
    true, _ = torch.linalg.eigh(problem.loss.hessian(w, n))
    bottom, true = float(true[0]), true.flip(0)[:D]
    tol, ncv = cheapest_arpack(problem, w, true)
    methods = {
        "ours": ours,
        "curvlinops + eigsh, cheapest": partial(curvlinops_arpack, tol=tol, ncv=ncv),
        "curvlinops + eigsh, tol 1e-4": partial(curvlinops_arpack, tol=TOL, ncv=21),
        "our products + eigsh, cheapest": partial(our_products_arpack, tol=tol, ncv=ncv),
        "the paper's method": paper,
    }
    if eigenthings is not None:
        steps = fewest_steps(problem, w, true)
        name = f"hessian-eigenthings, {steps} Lanczos steps"
        methods[name] = partial(eigenthings_lanczos, steps=steps)
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    judged: dict[str, list[Judged]] = {name: [] for name in methods}
    for seed in range(ROUNDS):
        for name, method in methods.items():
            time, pairs = timed(partial(method, problem, w, seed))
            seconds[name].append(time)
            judged[name].append(judge(pairs, problem, w, true))

    print(
        f"\n{point}: lambda_1 = {true[0]:.3g}, lambda_10 = {true[-1]:.3g}, "
        f"lambda_N = {bottom:.2g}; cheapest eigsh: tol {tol:g}, ncv {ncv}\n"
    )
    print(
        "| top 10 | products | / ours | ms | / ours | residual / lambda_1 | orthogonality | right |"
    )
    print("|---|---|---|---|---|---|---|---|")
    our_products = median(j.products for j in judged["ours"])
    for name in methods:
        products = [j.products for j in judged[name]]
        print(
            f"| {name} | {spread(products)} | {median(products) / our_products:.1f} "
            f"| {1e3 * median(seconds[name]):.0f} | {ratio(seconds[name], seconds['ours']):.1f} "
            f"| {max(j.residual for j in judged[name]):.0e} "
            f"| {max(j.orthogonality for j in judged[name]):.0e} "
            f"| {spread([j.right for j in judged[name]])} |"
        )


class Size(NamedTuple):
    """An MLP on the first n digits, so many L-BFGS iterations from its start."""

    widths: list[int]
    n: int
    rounds: int
    tried: int  # random starts for which a setting of eigsh must be right to be chosen


SIZES = {
    "1e3": Size([64, 12, 12, 10], 1000, 9, 3),
    "3e3": Size([64, 32, 32, 10], 1000, 9, 3),
    "1e4": Size([64, 100, 50, 10], 1000, 5, 3),
    "1e5": Size([64, 400, 180, 10], 400, 3, 2),
    "1e6": Size([64, 1200, 760, 10], 100, 2, 1),
}


def sizes(names: list[str]) -> None:
    """Ours against the cheapest right eigsh on our own products; seconds of the process.

    `right` counts values within 1% of those by our own solver at tol 1e-6, in float64.
    """
    head = "N | dtype | ours: products | s | residual | right | eigsh: tol, ncv | products | s"
    print(f"| {head} | residual | right | ours / eigsh |\n{'|---' * 12}|")
    for name, dtype in product(names, (torch.float64, torch.float32)):
        size = SIZES[name]
        inputs, labels = ln.data.digits(size.n)
        cross_entropy = nn.CrossEntropyLoss(reduction="none")
        model = ln.models.MLP(size.widths, generator=torch.Generator().manual_seed(0))
        exact = ln.EmpiricalLoss(model.double(), cross_entropy, inputs, labels, l2=L2)
        w = ln.fit(exact, size.n, max_iterations=20).w
        true = ln.top_eigenpairs(exact, w, size.n, D, tol=1e-6).values
        loss = ln.EmpiricalLoss(model.to(dtype), cross_entropy, inputs.to(dtype), labels, l2=L2)

        here = w.to(dtype)

        def judged(pairs: Pairs, true: Tensor = true, exact=exact, w=w, n=size.n) -> Judged:
            values, order = pairs.values.double().sort(descending=True)
            U = pairs.vectors[:, order].double()
            residuals = (exact.hvp(w, U, n) - U * values).norm(dim=0)
            right = int(((values - true).abs() <= 0.01 * true.abs()).sum())
            return Judged(pairs.products, float(residuals.max() / true[0]), 0.0, right)

        def by_eigsh(seed: int, tol: float, ncv: int, loss=loss, w=here, n=size.n) -> Pairs:
            H = loss.hessian_operator(w, n)
            kind = np.float64 if w.dtype == torch.float64 else np.float32
            A = LinearOperator(
                H.shape, matvec=lambda v: H(torch.from_numpy(v.ravel())).numpy(), dtype=kind
            )
            v0 = np.random.default_rng(seed).standard_normal(len(w)).astype(kind)
            values, vectors = eigsh(A, D, which="LA", tol=tol, ncv=ncv, v0=v0)
            return Pairs(torch.tensor(values), torch.tensor(vectors), H.products)

        def by_us(seed: int, loss=loss, w=here, n=size.n) -> Pairs:
            g = torch.Generator().manual_seed(seed)
            pairs = ln.top_eigenpairs(loss, w, n, D, TOL, generator=g)
            return Pairs(pairs.values, pairs.vectors, pairs.hvp_count)

        settings = []
        for ncv, loosest_first in groupby(ARPACK_SETTINGS, key=lambda setting: setting[1]):
            for tol, _ in loosest_first:
                runs = [judged(by_eigsh(seed, tol, ncv)) for seed in range(size.tried)]
                if all(j.residual <= TOL and j.right == D for j in runs):
                    settings.append((sum(j.products for j in runs), tol, ncv))
                    break  # a smaller tol takes as many products or more
        tol, ncv = min(settings)[1:]
        seconds: dict[str, list[float]] = {"ours": [], "eigsh": []}
        found: dict[str, list[Judged]] = {"ours": [], "eigsh": []}
        for seed in range(size.rounds):
            for method, run in (("ours", by_us), ("eigsh", partial(by_eigsh, tol=tol, ncv=ncv))):
                start = process_time()
                pairs = run(seed)
                seconds[method].append(process_time() - start)
                found[method].append(judged(pairs))
        cells = [
            f"{spread([j.products for j in found[m]])} | {median(seconds[m]):.3f} "
            f"| {max(j.residual for j in found[m]):.0e} | {spread([j.right for j in found[m]])}"
            for m in seconds
        ]
        print(
            f"| {len(w)} | {str(dtype)[6:]} | {cells[0]} | {tol:g}, {ncv} | {cells[1]} "
            f"| {ratio(seconds['ours'], seconds['eigsh']):.2f} |",
            flush=True,
        )


def price_of_a_product(problem: Problem, w: Tensor) -> None:
    """One Hessian-vector product in units of one gradient."""
    v = torch.randn(len(w), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    kept = problem.loss.hessian_operator(w, n)
    nn.utils.vector_to_parameters(w, problem.model.parameters())
    peer = HessianLinearOperator(
        problem.model,
        nn.CrossEntropyLoss(),
        list(problem.model.parameters()),
        [(problem.inputs, problem.labels)],
        check_deterministic=False,
    )
    V = torch.randn(len(w), D, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    runs = {
        "gradient": (1, lambda: gradient(problem.plain_loss, w)),
        "ours, graph kept": (1, lambda: kept(v)),
        "ours, graph kept, ten at once": (D, lambda: kept(V)),
        "fresh graph (the paper's way)": (
            1,
            lambda: hessian_vector_product(problem.plain_loss, w, v),
        ),
        "curvlinops": (1, lambda: peer @ v),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(51):
        for name, (columns, run) in runs.items():
            seconds[name].append(timed(run)[0] / columns)
    print("\n| one Hessian-vector product | gradients |\n|---|---|")
    for name in list(runs)[1:]:
        print(f"| {name} | {ratio(seconds[name], seconds['gradient']):.2f} |")


def main() -> None:
    use_one_thread()
    if sys.argv[1:2] == ["sizes"]:
        print(versions("torch", "scipy"))
        return sizes(sys.argv[2:] or list(SIZES))
    warnings.filterwarnings("ignore", module="curvlinops")
    peers = ["curvlinops-for-pytorch"] + ["hessian-eigenthings"] * (eigenthings is not None)
    print(versions("torch", "scipy", *peers))
    if eigenthings is None:
        print("hessian-eigenthings is not installed: not measured.")
    problem = Problem([64, 32, 32, 10])
    print(f"{problem.name}, float64, n = {n}, L2 = {L2:g}; {ROUNDS} rounds; right: within 1%")
    early = ln.fit(problem.loss, n, max_iterations=20)
    trained = ln.fit(problem.loss, n)
    compare(problem, early.w, "early (20 L-BFGS iterations)")
    compare(problem, trained.w, f"trained (|gradient| = {trained.grad_norm:.0e})")
    price_of_a_product(problem, trained.w)


if __name__ == "__main__":
    main()
