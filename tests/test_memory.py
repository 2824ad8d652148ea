"""Memory is a promise: the peak stays within 1.5 of `memory`, besides what goes in and comes out.

Each peak is that of a process of its own, as Linux counts it (VmHWM). The results in small blocks
are compared with dense second derivatives by torch alone.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from draws import F64, generator
from torch.func import hessian, jacrev

import landscape_nb as ln
from landscape_nb.numerics import blocks

PEAK = """
import sys
import torch
import landscape_nb as ln
from landscape_nb.numerics.sample_norms import gradient_energies
from landscape_nb.numerics.samples import sample_derivatives
torch.set_num_threads(1)

def resident(what):
    (line,) = [l for l in open("/proc/self/status") if l.startswith(what)]
    return 1024 * int(line.split()[1])

def size(*tensors):
    return sum(t.numel() * t.element_size() for t in tensors)

def measured(n, D, hidden, memory):
    g = torch.Generator().manual_seed(0)
    model = ln.models.MLP([4, hidden, 3], generator=g)
    x, y = torch.randn(n, 4, generator=g).double(), torch.randint(3, (n,), generator=g)
    loss_fn = torch.nn.CrossEntropyLoss(reduction="none")
    loss = ln.EmpiricalLoss(model, loss_fn, x, y, memory=memory)
    w, U = loss.w0, ln.random_subspace(loss.num_params, D, g)
    before = resident("VmRSS")
    results = CALL
    return resident("VmHWM") - before, size(U, w, x) + size(*results)

measured(61, 2, 12, MEMORY)  # loads libraries
rise, ends = measured(SIZES, MEMORY)
print(rise, ends)
"""

GRID = "ln.increment_models(loss, w, U, range({step}, n, {step}){more})"
PARTS = "(lambda m: (m.a, m.c, m.B))({})".format
# call, (n, D, hidden units), memory; without blocks each takes 2 to 10 times what is allowed
CALLS = {
    "increment_models": (PARTS(GRID.format(step=1, more="")), (1501, 40, 9), 1e7),
    "increment_models in reverse": (
        PARTS(GRID.format(step=1, more=", method='reverse'")), (1001, 60, 9), 1e7,
    ),
    "increment_models, sparse": (PARTS(GRID.format(step=9, more="")), (3001, 60, 9), 1e7),
    "increment_models, memory given": (
        PARTS(GRID.format(step=1, more=", memory=1e7").replace("loss,", "wide(loss),", 1)),
        (1501, 40, 9), 1e7,
    ),
    "next_sample_models": (PARTS("ln.next_sample_models(loss, w, U, n // 2)"), (2400, 40, 9), 1e7),
    "next_sample_models, many parameters": (
        PARTS("ln.next_sample_models(loss, w, U, n // 2)"), (20, 10, 20_000), 8e7,
    ),
    "sample_derivatives": ("sample_derivatives(loss, w, U, range(n))", (1200, 40, 9), 1e7),
    "sample_derivatives, contraction": (
        "sample_derivatives(loss, w, U, range(n), 'contraction')", (4000, 10, 60), 1e7,
    ),
    "sample_derivatives, contraction of wide layers": (
        "sample_derivatives(loss, w, U, range(n), 'contraction')", (100, 10, 2000), 2e7,
    ),
    "gradient_energies": ("gradient_energies(loss, w, range(n), w)", (4000, 2, 1000), 2e7),
    "captured_energy": (
        "(ln.captured_energy(loss, w, n // 2, dict(U=U), range(n - 4, n))['U'].curvature,)",
        (40, 4, 150), 1e7,
    ),
    "captured_energy, estimated": (
        "(ln.captured_energy(loss, w, n // 2, dict(U=U), [n - 1], num_probes=200,"
        " generator=g)['U'].curvature,)", (60, 4, 2000), 2e7,
    ),
    "GaussNewtonOperator.dense": (
        "(ln.GaussNewtonOperator(loss, w, n).dense(),)", (60, 2, 250), 1e7,
    ),
    "HessianOperator.dense": ("(loss.hessian_operator(w, n).dense(),)", (60, 2, 250), 1e7),
    "full_space_table": (
        "(ln.full_space_table(loss, [w], [n // 2], generator=g).value,)", (2000, 2, 100), 1e7,
    ),
    "sample_gradients": ("(loss.sample_gradients(w, n),)", (2000, 2, 1000), 1e7),
}  # fmt: skip


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux counts resident memory")
@pytest.mark.parametrize("call", CALLS)
def test_the_peak_is_within_what_was_promised(call):
    code, sizes, memory = CALLS[call]
    wide = "\ndef wide(loss):\n    loss.memory = 1e9\n    return loss\n"
    script = wide + PEAK.replace("CALL", code).replace("MEMORY", str(memory))
    # glibc returns what is larger than this at once, so that the peak is what was in use
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "200000", "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", script.replace("SIZES", ", ".join(map(str, sizes)))],
        env=environment, capture_output=True, text=True, timeout=240,
        cwd=Path(__file__).resolve().parent.parent,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    rise, ends = map(float, run.stdout.split())
    assert rise <= 1.5 * memory + ends, f"{rise / 1e6:.0f} MB"


# -- in blocks as at once ------------------------------------------------------------------------


def second_derivatives(p, i):
    return hessian(p.reference)(p.w, slice(i, i + 1))


@pytest.mark.parametrize("memory", [1e9, 2e4, 1.0], ids="memory={}".format)
def test_sums_in_blocks_against_dense_derivatives(mlp_problem, memory):
    """a, c and B of every increment, and the whole energy, from torch's own dense Hessians."""
    p = mlp_problem(memory=memory)
    U, n, k = ln.random_subspace(p.N, 3, generator()), p.n, 4
    g = torch.stack([jacrev(p.reference)(p.w, slice(i, i + 1)) for i in range(n)])
    H = torch.stack([second_derivatives(p, i) for i in range(n)])
    losses = torch.stack([p.reference(p.w, slice(i, i + 1)) for i in range(n)])
    for ks in (range(1, n), [2, 3, 7]):
        for method in ("contraction", "reverse", "segments"):
            found = ln.increment_models(p.loss, p.w, U, ks, method=method)
            for j, k_j in enumerate(ks):
                A = (H[k_j] - H[:k_j].mean(0)) / (k_j + 1)
                c = (g[k_j] - g[:k_j].mean(0)) / (k_j + 1)
                a = (losses[k_j] - losses[:k_j].mean()) / (k_j + 1)
                torch.testing.assert_close(found.B[j], U.T @ A @ U, rtol=0, atol=1e-12)
                torch.testing.assert_close(found.c[j], U.T @ c, rtol=0, atol=1e-12)
                torch.testing.assert_close(found.a[j], a, rtol=0, atol=1e-12)
    A = (H[k:] - H[:k].mean(0)) / (k + 1)
    energies = ln.captured_energy(p.loss, p.w, k, {"U": U}, range(k, n))
    whole, inside = energies["whole"], energies["U"]
    torch.testing.assert_close(whole.curvature, A.square().sum((1, 2)), rtol=1e-10, atol=0)
    expected = (U.T @ A @ U).square().sum((1, 2))
    torch.testing.assert_close(inside.curvature, expected, rtol=1e-10, atol=0)
    estimated = ln.captured_energy(
        p.loss, p.w, k, {"U": U}, range(k, n), num_probes=400, generator=generator(3)
    )
    error = (estimated["whole"].curvature - whole.curvature).abs()
    assert (error < 4.5 * estimated["whole"].curvature_stderr).all()


@pytest.mark.parametrize("candidates", [None, range(5, 7)], ids=["all", "some"])
def test_the_full_space_table_is_the_same_in_any_memory(mlp_problem, candidates):
    """Exact parts against dense derivatives, estimates against those in one block."""
    tables = []
    for memory in (1e9, 1e5, 1.0):  # all at once; gradients one by one; all one by one
        p = mlp_problem(widths=(3, 200, 3), memory=memory)
        tables.append(
            ln.full_space_table(
                p.loss, [p.w], [4], candidates=candidates, generator=generator(2)
            )
        )  # fmt: skip
    for name in ("value", "cross", "gradient", "curvature", "curvature_stderr"):
        for other in tables[1:]:
            parts = getattr(other, name), getattr(tables[0], name)
            torch.testing.assert_close(*parts, rtol=1e-9, atol=1e-18)
    chosen = range(4, p.n) if candidates is None else candidates
    g = torch.stack([jacrev(p.reference)(p.w, slice(i, i + 1)) for i in range(p.n)])
    c = (g[list(chosen)] - g[:4].mean(0)) / 5
    expected = c.square().sum(1).mean().reshape(1, 1)
    torch.testing.assert_close(tables[0].gradient, expected, rtol=1e-10, atol=0)


def test_a_dense_matrix_in_blocks_is_the_matrix(mlp_problem):
    p = mlp_problem(widths=(3, 20, 3), l2=0.2)
    assert p.N > 2 * blocks._WIDTH and p.N % blocks._WIDTH  # a ragged last block
    dense = p.loss.hessian(p.w, 7)
    torch.testing.assert_close(dense, hessian(p.reference)(p.w, slice(7)), rtol=0, atol=1e-12)
    assert torch.equal(dense, dense.T)


# -- dense matrices are guarded everywhere -------------------------------------------------------


class Never(ln.ProductOperator):
    def __init__(self, N):
        super().__init__(self.refuse, torch.zeros(N))

    def refuse(self, columns):
        raise AssertionError("a product was taken")


def large():
    x = torch.zeros(4, 10, **F64)
    model = torch.nn.Linear(10, 1900).double()  # N = 20 900
    loss_fn = torch.nn.CrossEntropyLoss(reduction="none")
    return ln.EmpiricalLoss(model, loss_fn, x, torch.zeros(4, dtype=torch.int64))


DENSE = {
    "hessian": lambda loss: loss.hessian(loss.w0, 3),
    "Hessian operator": lambda loss: loss.hessian_operator(loss.w0, 3).dense(),
    "Gauss-Newton": lambda loss: ln.GaussNewtonOperator(loss, loss.w0, 3).dense(),
    "minus the Hessian": lambda loss: (-loss.hessian_operator(loss.w0, 3)).dense(),
    "any function": lambda loss: Never(20_900).dense(),
    "captured energy": lambda loss: ln.captured_energy(
        loss, loss.w0, 2, {"U": torch.eye(len(loss.w0), 1, **F64)}, [2, 3]
    ),
}


@pytest.mark.parametrize("what", DENSE)
def test_no_dense_matrix_is_larger_than_hessian_allows(what):
    with pytest.raises(ValueError, match=r"N = 20900 parameters would take [23] GB.*20000"):
        DENSE[what](large())


def test_the_guard_lets_the_largest_through(monkeypatch):
    monkeypatch.setattr(blocks, "DENSE", 5)
    A = torch.diag(torch.arange(5.0))
    assert torch.equal(ln.ProductOperator(lambda V: A @ V, A[0]).dense(), A)
    with pytest.raises(ValueError, match="N = 6"):
        Never(6).dense()
