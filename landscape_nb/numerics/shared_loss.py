"""The empirical loss with its work shared by several processes: each takes a part of the samples.

    torchrun --nproc-per-node 2 script.py

    with over_processes(make_loss) as (loss, first):     # in script.py
        page = report(loss, k=500)
        if first:
            page.save("report.html")

Every process makes the same loss and runs the same program. Wherever that asks for numbers of many
samples, each process works on its part of them, and all receive the whole: losses and derivatives
of single samples are gathered, means and products added up. So all see the same numbers, go the
same way, and end with the one-process result up to rounding.

Samples that are streamed (`from_batches`) are read by every process for itself. In a pass it reads
from the first batch to one after the last of its part, for an iterable can't be entered in the
middle; it differentiates its part alone, and holds two batches at any time.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from landscape_nb.numerics import checks
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.operators import Indices, Samples
from landscape_nb.numerics.processes import Processes, joined_processes
from landscape_nb.numerics.shards import ShardedHessianOperator

Rows = TypeVar("Rows", bound=tuple[Tensor, ...])


class SharedLoss(EmpiricalLoss):
    """The same losses; whatever is asked of many samples is worked on by all processes.

    What is not named here (outputs, differentiable losses of a batch) each does for itself. It may
    be used from one thread of each process: processes answer each other in the order of calls.

    Args:
        loss: the same in every process.
        group: the process group; the default one if not given.

    Raises:
        RuntimeError: torch.distributed is not initialised.
        ValueError: the losses differ between processes.
    """

    def __init__(self, loss: EmpiricalLoss, *, group: Any = None) -> None:
        vars(self).update(vars(loss))
        self.processes = Processes(group)
        with self.processes.together("loss.w0", loss.w0, {"loss.w0": loss.w0, "l2": loss.l2}):
            losses = loss.per_sample(loss.w0)
        name = "what the loss says of its samples"
        with self.processes.together(name, losses, {name: losses}):
            pass

    @property
    def here(self) -> EmpiricalLoss:
        """The loss of this process alone, of all samples: it talks to nobody."""
        view = object.__new__(EmpiricalLoss)
        vars(view).update(vars(self))
        return view

    def per_sample(self, w: Tensor, samples: Samples | None = None) -> Tensor:
        """As `EmpiricalLoss.per_sample`; each process takes its part, all get the whole."""
        chosen = self.chosen(self.num_samples if samples is None else samples)
        return by_samples(self, w, chosen, lambda loss, mine: (loss.per_sample(w, mine),))[0]

    def value_and_gradient(self, w: Tensor, k: Samples) -> tuple[Tensor, Tensor]:
        """As `EmpiricalLoss.value_and_gradient`; one sum of N + 1 numbers over the processes.

        What fits one batch the first process does alone: the sum then has the bits of one process,
        and so has all that a minimiser makes of it, which would multiply their differences.
        """
        chosen, found = self.chosen(k), self.w0.new_zeros(self.num_params + 1)
        mine = self.mine(chosen)
        if len(self.batches(chosen)) == 1:
            mine = chosen if self.processes.number == 0 else chosen[:0]
        with self.processes.together("w", w, {"w": w, "samples": _named(chosen)}, "of a mean"):
            w = checks.parameter_vector(w, self.w0)
            if len(mine):
                mean, gradient = self.here.without_l2().value_and_gradient(w, mine)
                found = torch.cat([gradient, mean[None]]) * (len(mine) / len(chosen))
        found = self.processes.sum(found)
        return found[-1] + self.l2 / 2 * w.square().sum(), found[:-1] + self.l2 * w

    def sample_gradients(self, w: Tensor, samples: Samples) -> Tensor:
        """As `EmpiricalLoss.sample_gradients`; the rows of all come to every process."""
        chosen = self.chosen(samples)
        return by_samples(self, w, chosen, lambda loss, mine: (loss.sample_gradients(w, mine),))[0]

    def hessian_operator(  # type: ignore[override]  # the same protocol, and the same gradient
        self, w: Tensor, k: Samples
    ) -> ShardedHessianOperator:
        """As `EmpiricalLoss.hessian_operator`; one sum of N numbers for each product."""
        mine = self.mine(self.chosen(k))
        return ShardedHessianOperator(self.here, w, mine, group=self.processes.group)

    def mine(self, chosen: Indices) -> Indices:
        """This process's part of the chosen samples."""
        reading, _ = self.samples.in_order(chosen)
        return reading[self.parts(reading)[self.processes.number]]

    def parts(self, reading: Indices) -> list[slice]:
        """Each process's part of samples in the order of reading.

        Streamed ones are cut between batches where they lie in as many as there are processes or
        more, so that no two processes work on one batch.
        """
        ends = [0]
        for run in self.samples.pieces(reading, len(reading)):
            ends.append(ends[-1] + len(run))
        enough = len(ends) > self.processes.count
        return self.processes.parts(len(reading), ends if enough else ())


def by_samples(
    loss: EmpiricalLoss,
    w: Tensor,
    chosen: Indices,
    rows: Callable[[EmpiricalLoss, Indices], Rows],
) -> Rows:
    """rows(loss, chosen), tensors of a row for each sample; of a `SharedLoss` by all processes.

    Args:
        loss: the empirical loss.
        w: (N,), compared between processes.
        chosen: indices of samples, at least one.
        rows: called with a loss that talks to nobody, and this process's part of the samples.
    """
    if not isinstance(loss, SharedLoss):
        return rows(loss, chosen)
    reading, back = loss.samples.in_order(chosen)
    parts = loss.parts(reading)
    mine = reading[parts[loss.processes.number]]
    with loss.processes.together("w", w, {"w": w, "samples": _named(chosen)}, "of each sample"):
        # where there are more processes than samples, one row tells the shapes
        found = rows(loss.here, mine if len(mine) else reading[:1])
    whole = (loss.processes.joined(part[: len(mine)], parts) for part in found)
    return cast(Rows, tuple(part if back is None else part[back] for part in whole))


def _named(chosen: Indices) -> Tensor:
    if isinstance(chosen, Tensor):
        return chosen
    return torch.tensor([chosen.start, chosen.stop, chosen.step])


def total(loss: EmpiricalLoss, number: float) -> float:
    """The sum of every process's number; the number itself where the loss is not shared."""
    if not isinstance(loss, SharedLoss):
        return number
    return float(
        loss.processes.sum(torch.tensor(number, dtype=torch.float64, device=loss.w0.device))
    )


@contextmanager
def over_processes(
    make_loss: Callable[[], EmpiricalLoss],
) -> Iterator[tuple[EmpiricalLoss, bool]]:
    """A loss whose work is shared by all processes that torchrun has started.

    Joins their group (gloo on CPUs, nccl on CUDA), lets each make the loss, and leaves the group at
    the end; a group that exists already is used. Where one process fails or is lost, all end: none
    waits for it longer than a minute. Started without torchrun it yields the loss as it is.

    On GPUs each process puts its loss on its own one, "cuda:" + os.environ["LOCAL_RANK"]. Each
    holds all samples that make_loss keeps in memory; what does not fit comes by `from_batches`. All
    should run on machines of one kind: the last digits decide how long a fit takes.

    Args:
        make_loss: returns the same loss in every process: generators are seeded.

    Yields:
        The loss, and whether this process is the one to print and to write files. Its numbers are
        those of one process up to rounding, the same bits in all; code in between must ask the
        same of it in every process, and so depend on no clock. A fit ends at the point of one
        process where the samples fit one batch (and it had as many threads: torchrun gives each
        one). Over more of them sums are rounded in another way, and where the Hessian is nearly
        singular a fit may end elsewhere within its tolerance, 2 tol / (smallest eigenvalue) away.

    Raises:
        ValueError: the processes made different losses, or make_loss failed in another one.
        ConnectionError: another process was lost.

    >>> from landscape_nb.problems.toys import quadratics
    >>> with over_processes(lambda: EmpiricalLoss(*quadratics(5, 3).parts)) as (loss, first):
    ...     print(loss.num_samples, first)
    5 True
    """
    with joined_processes() as processes:
        if processes is None:
            yield make_loss(), True
            return
        with processes.together("make_loss"):
            loss = make_loss()
        yield SharedLoss(loss, group=processes.group), processes.number == 0
