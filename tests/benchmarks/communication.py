"""What processes send each other: calls and bytes, counted in real gloo runs and by formulas.

    python tests/benchmarks/communication.py        # 2, 4 and 8 processes on this machine

prints the table of scale_out.md. Counted is what is handed to each collective: the payload, bytes
of one process's result. On the wire a process sends 2 (p - 1)/p payloads for a sum (a ring) and
(p - 1)/p for a gather or an exchange; `sent` is what the kernel counted of the first process's
writes, for a hundred products, beside that formula. The script fails where payloads differ from
their formulas, or what was sent by more than OVERHEAD for each other process.
"""

import multiprocessing
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

from landscape_nb import EmpiricalLoss, increment_model, largest_eigenpairs, random_subspace
from landscape_nb.numerics.shards import ShardedVectorsOperator
from landscape_nb.numerics.shared_loss import SharedLoss
from landscape_nb.problems.models import MLP
from landscape_nb.theory.increment import next_sample_models

n, k, D, B = 512, 384, 5, 8  # samples, prefix, directions; bytes of a number
HEADER = 9 * B  # the small sum that keeps processes in step before each piece of work
OVERHEAD = 1200  # bytes: the small sum, and the heads of gloo's messages
COUNTS = (2, 4, 8)
COLLECTIVES = ("all_reduce", "all_gather", "all_to_all_single")


class Counter:
    """Counts calls and payloads of collectives while it is on."""

    def __init__(self):
        for name in COLLECTIVES:
            setattr(dist, name, self._counted(name, getattr(dist, name)))
        self.reset()

    def reset(self):
        self.headers, self.small, self.calls, self.bytes = 0, 0, 0, 0

    def _counted(self, name, collective):
        def call(*args, **named):
            result = args[0]
            size = sum(
                t.numel() * t.element_size()
                for t in (result if isinstance(result, list) else [result])
            )
            if name == "all_reduce" and result.dtype == torch.int64 and size == HEADER:
                self.headers += 1
            elif size <= 1024 * B:
                self.small += 1
            else:
                self.calls, self.bytes = self.calls + 1, self.bytes + size
            return collective(*args, **named)

        return call


def written():
    """Bytes that this process has written so far, to sockets among others."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["wchar"])


def make_loss():
    """5 722 parameters."""
    g = torch.Generator().manual_seed(0)
    model = MLP((32, 64, 48, 10), dtype=torch.float64, generator=g)
    x = torch.randn(n, 32, generator=g, dtype=torch.float64)
    y = torch.randint(10, (n,), generator=g)
    return EmpiricalLoss(model, torch.nn.CrossEntropyLoss(reduction="none"), x, y, 1e-3)


def member(rank, count, folder):
    torch.set_num_threads(1)
    address = (Path(folder) / "rendezvous").as_uri()
    dist.init_process_group(
        "gloo", init_method=address, rank=rank, world_size=count, timeout=timedelta(minutes=5)
    )
    counter = Counter()
    found = dict(pieces(counter, count))
    if rank == 0:
        torch.save(found, Path(folder) / "found.pt")
    dist.barrier()
    dist.destroy_process_group()


def pieces(counter, p):
    """(piece, (headers, small calls, large calls, bytes), (calls, bytes) by the formula)."""
    loss = SharedLoss(make_loss())
    N, w = loss.num_params, loss.w0
    H = loss.hessian_operator(w, k)
    spread = ShardedVectorsOperator(loss.here, w, loss.mine(range(k)))
    v = torch.ones(N, 1, dtype=torch.float64)
    U = random_subspace(N, D, torch.Generator().manual_seed(1))
    m = n - k

    def counted(call):
        counter.reset()
        result = call()
        return result, (counter.headers, counter.small, counter.calls, counter.bytes)

    _, seen = counted(lambda: loss.value_and_gradient(w, k))
    yield "value and gradient", (seen, (1, (N + 1) * B))
    _, seen = counted(lambda: H.multiply(v))
    yield "product", (seen, (1, N * B))
    for name, times, multiply in (
        ("sent for a product", 2, lambda: H.multiply(v)),
        ("sent for a product, vectors spread", 2, lambda: spread.multiply(v[spread.rows])),
    ):
        dist.barrier()
        before = written()
        for _ in range(100):
            multiply()
        wire = times * (p - 1) / p * N * B
        yield name, ((0, 0, 0, round((written() - before) / 100)), (0, round(wire)))
    _, seen = counted(lambda: spread.multiply(v[spread.rows]))
    both = p * (-(-N // p) + N // p) * B  # a gather of padded parts, an exchange of the first's
    yield "product, vectors spread", (seen, (2, both))
    pairs, seen = counted(lambda: largest_eigenpairs(H, D, tol=1e-6))
    # certified by D + 2 of its products at once, in one call
    h = pairs.hvp_count
    yield f"solve of {h} products", (seen, (None, h * N * B))
    pairs, seen = counted(lambda: largest_eigenpairs(spread, D, tol=1e-6))
    h = pairs.hvp_count
    yield f"the same, vectors spread, {h} products", (seen, (None, h * both))
    _, seen = counted(lambda: increment_model(loss, w, U, k))
    yield f"increment model, D = {D}", (seen, (4, 2 * (D + 1) * N * B))
    _, seen = counted(lambda: next_sample_models(loss, w, U, k))
    means = (D + 1) * N * B  # U'HU and the gradient of the first k
    large = p * -(-m // p) * D * D * B
    yield f"increment models of {m} next samples", (seen, (3, means + large))


def run(count):
    with tempfile.TemporaryDirectory() as folder:
        spawn = multiprocessing.get_context("spawn")
        members = [
            spawn.Process(target=member, args=(rank, count, folder)) for rank in range(count)
        ]
        for process in members:
            process.start()
        for process in members:
            process.join()
        assert not any(process.exitcode for process in members)
        return torch.load(Path(folder) / "found.pt")


if __name__ == "__main__":
    print("| processes | piece | steps in line | small calls | large calls | bytes | by formula |")
    print("|---|---|---|---|---|---|---|")
    wrong = 0
    for count in COUNTS:
        for piece, ((headers, small, calls, size), (expected, formula)) in run(count).items():
            most = OVERHEAD * (count - 1) if "sent" in piece else 0
            agree = 0 <= size - formula <= most and expected in (None, calls)
            wrong += not agree
            print(
                f"| {count} | {piece} | {headers} | {small} | {calls} | {size:,} | "
                f"{formula:,}{'' if agree else ' DIFFERS'} |"
            )
    sys.exit(wrong > 0)
