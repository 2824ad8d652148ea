"""What the processes of test_shards, test_processes and test_stabilization run: they import it."""

import itertools
import multiprocessing
import threading
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import torch
import torch.distributed as dist

from landscape_nb import (
    EmpiricalLoss,
    fit,
    full_space_table,
    hutchpp_trace,
    increment_models,
    top_eigenpairs,
)
from landscape_nb.numerics import eigensolver, krylov
from landscape_nb.numerics.certificate import certify
from landscape_nb.numerics.eigensolver import largest_eigenpairs
from landscape_nb.numerics.processes import Processes
from landscape_nb.numerics.sample_norms import gradient_energies
from landscape_nb.numerics.samples import in_batches, sample_derivatives
from landscape_nb.numerics.shards import ShardedHessianOperator, ShardedVectorsOperator
from landscape_nb.numerics.shared_loss import SharedLoss
from landscape_nb.problems.models import MLP
from landscape_nb.study import budget
from landscape_nb.study.diagnosis import diagnose
from landscape_nb.theory.next_samples import next_sample_table

# Sample i of the whole belongs to process 0 if i < FIRST, else to process 1.
FIRST = 3
SOME = ([0, 2], [1, 2, 5, 6, 7])  # of each process's own samples


LENGTHS = (3, 1, 4, 4, 2)  # of batches
SECONDS = 120  # for all processes together: they start slowly on a busy machine

# -- starting them ---------------------------------------------------------------------------------


def answers_of(ask, count, folder, **problem):
    """What ask(rank, **problem) returned in each of so many processes; killed if they hang."""
    torch.save(problem, folder / "problem.pt")
    # not forked from here, where threads may run; what all import is imported once
    start = multiprocessing.get_context("forkserver")
    start.set_forkserver_preload(["sharded", "torch._dynamo"])
    processes = [
        start.Process(target=_member, args=(ask, rank, count, str(folder)), daemon=True)
        for rank in range(count)
    ]
    deadline = time.monotonic() + SECONDS
    try:
        for process in processes:
            process.start()
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
        ended = [process.exitcode for process in processes]
    finally:
        for process in processes:
            if process.pid is not None:
                process.kill()
                process.join()
    assert ended == [0] * count, f"exit codes {ended} (None: still running after {SECONDS} s)"
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(count)]


def _member(ask, rank, count, folder):
    """Join the other processes, ask everything, and leave the answers in a file."""
    torch.set_num_threads(1)
    folder = Path(folder)
    dist.init_process_group(
        "gloo",
        init_method=(folder / "rendezvous").as_uri(),
        rank=rank,
        world_size=count,
        timeout=timedelta(seconds=30),  # whoever waits longer for the others gives up
    )
    try:
        problem = torch.load(folder / "problem.pt", weights_only=False)
        torch.save(ask(rank, **problem), folder / f"{rank}.pt")
    finally:
        dist.destroy_process_group()


# -- one Hessian in two processes --------------------------------------------------------------


def hessian_answers(rank, model, loss_fn, x, y, l2, w, V):
    mine = slice(FIRST) if rank == 0 else slice(FIRST, None)
    # ragged batches in one process, one batch in the other
    loss = EmpiricalLoss(model, loss_fn, x[mine], y[mine], l2, batch_size=(None, 3)[rank])
    H = ShardedHessianOperator(loss, w)
    found = {
        "num_samples": H.num_samples,
        "products at first": H.products,
        "one": H(V[:, 0]),
        "products after one": H.products,
        "several": H(V),
        "products after several": H.products,
        "by columns": H(V.T.contiguous().T),
        "by columns in one": H(V if rank == 0 else V.T.contiguous().T),
        "w that requires grad": ShardedHessianOperator(loss, w.clone().requires_grad_())(V),
    }
    before = H.products
    pairs = largest_eigenpairs(H, w, 3, tol=1e-10)
    found["pairs"] = [pairs.values, pairs.vectors, pairs.residuals]
    found["products of the pairs"] = (H.products - before, pairs.hvp_count)

    indices = torch.tensor(SOME[rank])
    some = ShardedHessianOperator(loss, w, indices)
    found["some"], found["num_samples of some"] = some(V), some.num_samples
    ranges = ShardedHessianOperator(loss, w, range(rank, FIRST))
    found["ranges"], found["num_samples of ranges"] = ranges(V), ranges.num_samples

    groups = [dist.new_group([0]), dist.new_group([1])]
    alone = ShardedHessianOperator(loss, w, group=groups[rank])
    found["alone"], found["num_samples alone"] = alone(V), alone.num_samples

    single = EmpiricalLoss(model.float(), loss_fn, x[mine].float(), y[mine], l2)
    found["float32"] = ShardedHessianOperator(single, w.float())(V.float())

    slightly_other = w.clone()
    slightly_other[-1] += rank * 1e-12
    found["w differs"] = _refusal(lambda: ShardedHessianOperator(loss, slightly_other))
    found["V is too short"] = _refusal(lambda: H(V[1:]))
    mine = dist.get_rank() == 0
    found["NaN in one w"] = _refusal(
        lambda: ShardedHessianOperator(loss, w * float("nan") if mine else w)
    )
    found["one V is too short"] = _refusal(lambda: H(V[1:] if mine else V))
    found["one V is narrower"] = _refusal(lambda: H(V[:, 1:] if mine else V))
    found["after the refusals"] = H(V)
    # one more in process 1 would wait for ever if a refusal had left it a step behind
    found["in step"] = H(V[:, 1])
    return found


def _refusal(call):
    try:
        call()
    except ValueError as error:
        return str(error)
    return "not refused"


# -- one loss, its work shared by processes ------------------------------------------------------


def shared_answers(rank, w, V, U):
    """What a loss says whose work is shared, and what it refuses."""
    loss = SharedLoss(make_loss())
    found = questions(loss, w, V, U)
    found["budget"] = str(budget.default_budget(loss, 9))
    ticks = itertools.count(0, 1e-5 * (1 + 15 * rank))  # every process has a clock of its own
    budget.time = SimpleNamespace(perf_counter=lambda: next(ticks))
    found["timed"] = str(budget.timed_budget(loss, 9, 0.1))
    found["rows"] = spread_vectors(loss.here, w, V)
    found["streamed"], found["reading"] = streamed_answers(w, V, U)
    found["refused"] = [_refusal(call) for call in wrong_calls(rank, loss, w)]
    found["in step"] = loss.value(w, 5)
    return found


class Read:
    """Batches of unequal length, as pairs; it notes which are read."""

    def __init__(self, *tensors, lengths=LENGTHS):
        self.batches = list(zip(*(x.split(lengths) for x in tensors), strict=True))
        self.read = []

    def __iter__(self):
        for number, batch in enumerate(self.batches):
            self.read.append(number)
            yield batch


def make_streamed_loss():
    """The samples of `make_loss`, read batch by batch, and what notes the reading."""
    loss = make_loss()
    batches = Read(loss.inputs, loss.targets)
    cross_entropy = torch.nn.CrossEntropyLoss(reduction="none")
    return EmpiricalLoss.from_batches(loss.model, cross_entropy, batches, loss.l2), batches


def streamed_answers(w, V, U):
    """What a shared loss says whose samples are streamed, and what was read for a product."""
    loss, batches = make_streamed_loss()
    shared = SharedLoss(loss)
    found, mine = questions(shared, w, V, U, studies=False), shared.mine(range(sum(LENGTHS)))
    loss.samples.batch(0)  # a pass ends; the next one begins at a known place
    H = shared.hessian_operator(w, sum(LENGTHS))
    H.multiply(V)
    batches.read.clear()
    H.multiply(V)
    [thread.join() for thread in threading.enumerate() if "ahead" in thread.name]
    return found, (mine.start, mine.stop, batches.read)


def questions(loss, w, V, U, studies=True):
    """Everything that a diagnosis asks of a loss, by name; tensors. With `studies` two of them."""
    some = torch.tensor([13, 2, 7, 7, 0])
    H = loss.hessian_operator(w, 9)
    pairs = top_eigenpairs(loss, w, 9, 3, tol=1e-11)
    found = {
        "losses": loss.per_sample(w),
        "the first two": loss.per_sample(w, 2),  # fewer than three processes
        "any order": loss.per_sample(w, some),
        "every other": loss.per_sample(w, range(1, 12, 2)),
        "value": loss.value(w, 9),
        "value and gradient": torch.cat([x.view(-1) for x in loss.value_and_gradient(w, 9)]),
        "gradient of one": loss.gradient(w, 1),
        "gradient of some": loss.without_l2().gradient(w, some),
        "gradients": loss.sample_gradients(w, range(4, 9)),
        "products": H @ V,
        "gradient beside them": H.gradient,
        "product of one": loss.hvp(w, V[:, 0], range(3, 4)),
        "Hessian": loss.hessian(w, 9),
        "eigenvalues": pairs.values,
        "eigenvectors": pairs.vectors * pairs.vectors[0].sign(),
        "trace": hutchpp_trace(H, 12, torch.Generator().manual_seed(1)).value,
        "lengths of gradients": torch.stack(gradient_energies(loss, w, range(5, 14), V[:, 1])),
        "outputs": loss.outputs(w, 6),
        "in batches": torch.tensor(float(in_batches(loss, w, U, range(4, 14)))),
    }
    for method in ("contraction", "reverse"):
        each = sample_derivatives(loss, w, U, range(3, 14), method)
        found[f"derivatives, {method}"] = torch.cat([x.flatten() for x in each])
    little = dict(memory=8 * 8 * 4 * 3)  # three samples' B at a time
    for ks, name in ((range(1, 13), "every k"), ([1, 9], "segments")):
        models = increment_models(loss, w, U, ks, **(little if len(ks) > 2 else {}))
        found[f"increments, {name}"] = torch.cat([x.flatten() for x in (models.a, models.c)])
        found[f"curvature of increments, {name}"] = models.B
    for size in (None, 4):
        g = torch.Generator().manual_seed(2)
        table = next_sample_table(loss, w, U, 9, size=size, generator=g)
        full = full_space_table(loss, [w], [9], num_probes=4, size=size, generator=g)
        found[f"moments, {size}"] = torch.cat([table.curvature, table.gradient, table.cross])
        found[f"moments of all directions, {size}"] = torch.cat([full.curvature, full.gradient])
    for name, at in (("given", w), ("trained", None)) if studies else ():
        d = diagnose(loss, 9, at, D=2, budget=budget.Budget(5, 40, 6, 3), progress=False)
        numbers = [d.value, d.unseen_value, d.grad_norm, d.lowest, d.delta1, d.tolerance]
        numbers += [d.trace.value, d.local_sigma, d.forecast.exponent, *d.pairs.values]
        numbers += [*d.along.means, *d.band.flatten(), *d.model_error]
        numbers += [getattr(t, part).sum() for t in (d.top, d.random, d.full) for part in _PARTS]
        found[f"diagnosis where w is {name}"] = torch.tensor(
            [float(x or 0) for x in numbers], dtype=torch.float64
        )
    found["fit"] = fit(loss, 9, tol=1e-9).w
    return found


_PARTS = ("value", "cross", "gradient", "curvature")


def spread_vectors(loss, w, V):
    """This process's rows of products and of eigenvectors, and how large its basis was."""
    mine = range(14)[Processes().part(14)]
    H = ShardedVectorsOperator(loss, w, mine)
    held = []

    class Basis(krylov.KrylovBasis):
        def __init__(self, H, capacity):
            super().__init__(H, capacity)
            held.append((capacity, self.Q.untyped_storage().nbytes() // self.Q.element_size()))

    eigensolver.KrylovBasis, before = Basis, eigensolver.KrylovBasis
    try:
        pairs = largest_eigenpairs(H, 3, tol=1e-11, generator=torch.Generator().manual_seed(3))
    finally:
        eigensolver.KrylovBasis = before
    proof = certify(H, pairs.values, pairs.vectors, pairs.vectors[:, 0])
    return {
        "products": H @ V[H.rows],
        "minus": (-H).multiply(V[H.rows]),
        "one product": H @ V[H.rows, 0],
        "gradient": H.gradient,
        "rows": (H.rows.start, H.rows.stop),
        "values": pairs.values,
        "vectors": pairs.vectors,
        "residuals": pairs.residuals,
        "certificate": proof.residuals,
        "noise": proof.noise,
        "held": held,
        "random": H.random_vector(torch.Generator().manual_seed(4)),
        "refused": _refusal(lambda: H @ V),
    }


def wrong_calls(rank, loss, w):
    """Calls that all must refuse, whoever is at fault."""
    mine = rank == 1
    return (
        lambda: SharedLoss(make_loss(seed=int(mine))),
        lambda: SharedLoss(make_loss(l2=0.05 + 1e-9 * mine)),
        lambda: loss.per_sample(w * float("nan") if mine else w),
        lambda: loss.gradient(w, 8 + mine),
        lambda: loss.per_sample(w) if mine else loss.gradient(w, 14),
        lambda: loss.per_sample(w + 1e-13 * mine),
        lambda: loss.per_sample(w, 0),
    )


# -- losses for cells of a sweep -----------------------------------------------------------------


def make_loss(seed=0, n=14, l2=0.05, precision="float64"):
    """A small tanh MLP on random data; everything by name, as a grid gives it."""
    dtype = getattr(torch, precision)
    g = torch.Generator().manual_seed(seed)
    model = MLP((3, 4, 3), dtype=dtype, generator=g)
    x = torch.randn(n, 3, generator=g, dtype=torch.float64).to(dtype)
    y = torch.randint(3, (n,), generator=g)
    return EmpiricalLoss(model, torch.nn.CrossEntropyLoss(reduction="none"), x, y, l2)


def make_other_loss(seed=0):
    """Other samples."""
    return make_loss(seed=seed + 100)
