"""What the processes of test_shards.py and test_stabilization.py run: other processes import it."""

from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

from landscape_nb import EmpiricalLoss
from landscape_nb.numerics.eigensolver import largest_eigenpairs
from landscape_nb.numerics.shards import ShardedHessianOperator
from landscape_nb.problems.models import MLP

# Sample i of the whole belongs to process 0 if i < FIRST, else to process 1.
FIRST = 3
SOME = ([0, 2], [1, 2, 5, 6, 7])  # of each process's own samples


# -- one Hessian in two processes --------------------------------------------------------------


def answer(rank, folder):
    """Join the other process, ask everything, and leave the answers in a file."""
    torch.set_num_threads(1)
    folder = Path(folder)
    dist.init_process_group(
        "gloo",
        init_method=(folder / "rendezvous").as_uri(),
        rank=rank,
        world_size=2,
        timeout=timedelta(seconds=30),  # whoever waits longer for the other gives up
    )
    try:
        problem = torch.load(folder / "problem.pt", weights_only=False)
        torch.save(_answers(rank, **problem), folder / f"{rank}.pt")
    finally:
        dist.destroy_process_group()


def _answers(rank, model, loss_fn, x, y, l2, w, V):
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
