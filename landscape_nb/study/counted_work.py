"""How dear a measurement is beside a training step, counted and not timed.

A forward pass over m samples is taken to cost

    nodes OPERATION + (bytes of parameters) BYTE  +  m (flops FLOP + bytes BYTE)

seconds of a nominal machine: `nodes` operations must be started however few samples there are, and
a sample adds its arithmetic and what it leaves in memory. Backward passes cost two of them. Only
ratios of such costs are used, and no clock is read: the same model is measured at the same calls on
every machine. A real machine that is faster in one way and slower in another shifts the share of
the time; tests/benchmarks/watch.py measures it.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from landscape_nb.numerics import checks
from landscape_nb.numerics.loss import EmpiricalLoss

# Seconds on one core, such that a nominal training step is about as long as a real one, or shorter:
# an MLP, a convolution and two transformers (tests/benchmarks/watch.py). If steps were taken for
# longer than they are, fixed costs, a row's file or a picture, would look too cheap beside them.
OPERATION, BYTE, FLOP = 3e-6, 4e-11, 2e-11
CALL = 2e-4  # what EmpiricalLoss does besides, at each batch
# Forward passes that a training step, a Hessian's graph, a product and a third derivative cost.
STEP, GRAPH, PRODUCT, THIRD = 3, 4, 6, 12
# On the transformer losses of many samples cost 1.2 to 1.4 times what their part of a training step
# would; why was not looked into. Rounded up.
MARGIN = 1.5


@dataclass(frozen=True)
class Work:
    """Costs of one model's passes in nominal seconds.

    Attributes:
        fixed: of a forward pass of any size.
        each: of a sample more.
        width: samples that the loss takes at once.
        batch_size: samples of a training step.
    """

    fixed: float
    each: float
    width: int
    batch_size: int

    def forward(self, m: int) -> float:
        """The loss's forward pass over m samples, in batches."""
        return math.ceil(m / self.width) * (self.fixed + CALL) + m * self.each

    def losses(self, m: int) -> float:
        """The losses of m samples, counted with a margin."""
        return MARGIN * self.forward(m)

    @property
    def step(self) -> float:
        """One training step, the optimizer's own work left out."""
        return STEP * (self.fixed + self.batch_size * self.each)

    def hessian(self, m: int, products: int) -> float:
        """Products of the Hessian over m samples, its graph included."""
        return (GRAPH + PRODUCT * products) * self.forward(m)

    def samples(self, m: int, D: int) -> float:
        """Gradient and curvature of m single samples along D directions, all at once."""
        return (GRAPH + D * PRODUCT + D * (D + 1) // 2 * THIRD) * self.forward(m)


def counted_work(loss: EmpiricalLoss, batch_size: int) -> Work:
    """The costs of one loss, by evaluating one of its samples.

    >>> from landscape_nb.problems.toys import linear_regression
    >>> toy = linear_regression(30, 3, generator=torch.Generator().manual_seed(0))
    >>> work = counted_work(EmpiricalLoss(*toy.parts), batch_size=10)
    >>> work.step < work.hessian(30, products=1)
    True
    """
    batch_size = checks.whole_number("batch_size", batch_size, 1, None, "of a training step")
    leaf = loss.w0.clone().requires_grad_()
    with torch.enable_grad(), FlopCounterMode(display=False) as flops:
        losses = loss.losses_at(leaf, range(1))
    size = leaf.numel() * leaf.element_size()
    return Work(
        fixed=_nodes(losses) * OPERATION + size * BYTE,
        each=flops.get_total_flops() * FLOP + loss.sample_bytes * BYTE,
        width=loss.batch_size,
        batch_size=batch_size,
    )


def _nodes(y: Tensor) -> int:
    """Operations in the graph of y."""
    todo, seen = [y.grad_fn], set()
    while todo:
        node = todo.pop()
        if node is not None and node not in seen:
            seen.add(node)
            todo += [before for before, _ in node.next_functions]
    return max(1, len(seen))
