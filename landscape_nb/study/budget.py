"""How much work a diagnosis may do, in counts: a clock decides nothing unless it is asked to.

    diagnose(loss, k=500, budget=Budget(fit_iterations=200))     # the same anywhere, at any time

Counts come from the size of the problem (`default_budget`), from the user, or, where somebody asks
for seconds, from one timed gradient (`timed_budget`).
"""

import math
import time
from dataclasses import dataclass, fields

from torch.utils.flop_counter import FlopCounterMode

from landscape_nb.numerics import checks
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.shared_loss import total

RETRAIN_SHARES = [2 ** (j / 2 - 3) for j in range(7)]  # of k, in a retrained curve: chosen here
# A dense network of a million parameters, with 720 samples, then took 97 s on two cores that two
# other processes used as well, and 250 s with five of them: chosen here.
_WHOLE = 5e12  # operations
# L-BFGS moves 20 pairs of vectors through memory in every iteration. In the time that this takes
# for one parameter (about 0.1 microseconds) two cores do so many operations of a gradient.
_LBFGS = 5000


@dataclass(frozen=True)
class Budget:
    """Upper limits of what a diagnosis may do; the defaults are what a small model gets.

    Attributes:
        fit_iterations: L-BFGS iterations of training, which ends earlier at |g| <= 1e-4; at least
            1 (5000: chosen here, as in `fit`). Without use where w is given.
        lowest_products: Hessian-vector products for the smallest eigenvalue; at least 1 (440:
            chosen here, the eigensolver's own limit for one pair).
        trace_products: Hessian-vector products for the trace; at least 6 (60: chosen here).
        retrain_iterations: L-BFGS iterations of each of the fits along k; 0 keeps w for every k
            (300: chosen here).

    Raises:
        ValueError: a count is no whole number or too small.

    >>> print(Budget(fit_iterations=200))
    fit_iterations=200, lowest_products=440, trace_products=60, retrain_iterations=300
    """

    fit_iterations: int = 5000
    lowest_products: int = 440
    trace_products: int = 60
    retrain_iterations: int = 300

    def __post_init__(self) -> None:
        at_least = {"fit_iterations": 1, "lowest_products": 1, "trace_products": 6}
        for field in fields(self):
            low = at_least.get(field.name, 0)
            meaning = "upper limit of what a diagnosis may do"
            value = checks.whole_number(field.name, getattr(self, field.name), low, None, meaning)
            object.__setattr__(self, field.name, value)

    def __str__(self) -> str:
        return ", ".join(f"{field.name}={getattr(self, field.name)}" for field in fields(self))


def training_size(loss: EmpiricalLoss, k: int) -> int:
    """Return k, a number of samples that leaves two unseen; refuses what can't be diagnosed."""
    if not isinstance(loss, EmpiricalLoss):
        raise ValueError(
            "loss must be an EmpiricalLoss, which joins a model with its loss function and data; "
            f"got {type(loss).__name__}. Make EmpiricalLoss(model, loss_fn, inputs, targets)."
        )
    if loss.num_samples < 3:
        raise ValueError(
            "A diagnosis needs three samples at least, one to train on and two unseen; the loss "
            f"holds {loss.num_samples}."
        )
    return checks.whole_number("k", k, 1, loss.num_samples - 2, "at least two samples stay unseen")


def default_budget(loss: EmpiricalLoss, k: int) -> Budget:
    """The counts for a model of this size: 5e12 operations, dealt out as `timed_budget` does.

    steps = 5e12 / (F + 5000 N),  F = operations of one gradient of L_k, N parameters

    F is what PyTorch counts in matrix products, convolutions and attention (6 k N for dense
    layers), and 6 k N at least; no clock is read. Up to some 20 000 parameters and 800 samples
    every count is the largest. A million parameters take one to two minutes on two cores, longer
    where others use these too. So do layers that use their operations badly (small convolutions,
    recurrent ones).

    Args:
        loss: the empirical loss.
        k: number of samples that the model is trained on; at least two others stay unseen.

    Returns:
        A `Budget`; its cost is one gradient.

    Raises:
        ValueError: loss or k do not fit.

    >>> import torch
    >>> from landscape_nb.problems.toys import linear_regression
    >>> toy = linear_regression(30, 3, generator=torch.Generator().manual_seed(0))
    >>> default_budget(EmpiricalLoss(*toy.parts), 20) == Budget()
    True
    """
    k = training_size(loss, k)
    with FlopCounterMode(display=False) as counter:
        loss.value_and_gradient(loss.w0, k)
    counted = total(loss, counter.get_total_flops())  # of each process its own part
    operations = max(counted, 6 * k * loss.num_params)
    return shared_budget(_WHOLE / (operations + _LBFGS * loss.num_params))


def timed_budget(loss: EmpiricalLoss, k: int, seconds: float) -> Budget:
    """The counts that take about so many seconds here and now.

    One gradient is timed, the fastest of three, and a step is taken to last twice as long:
    steps = seconds / (2 gradients), rounded down to a power of two so that small differences in
    time do not matter. Of these steps training gets a fifth, the smallest eigenvalue and the trace
    a tenth each, and w is fitted anew along k (300 iterations each) only if a third suffices; no
    count exceeds that of a small model. A busy machine, a faster one, or a time close to a power of
    two still give other counts, and so another report: the report prints them, and with them
    instead of seconds it can be repeated.

    Args:
        loss: the empirical loss.
        k: number of samples that the model is trained on; at least two others stay unseen.
        seconds: about what the whole may take; the other stages take what they take.

    Returns:
        A `Budget`; its cost is four gradients.

    Raises:
        ValueError: loss, k or seconds do not fit.

    >>> import torch
    >>> from landscape_nb.problems.toys import linear_regression
    >>> toy = linear_regression(30, 3, generator=torch.Generator().manual_seed(0))
    >>> print(timed_budget(EmpiricalLoss(*toy.parts), 20, seconds=1e-9))   # the least there is
    fit_iterations=10, lowest_products=12, trace_products=6, retrain_iterations=0
    """
    seconds = checks.positive("seconds", seconds, "about what the whole may take")
    k = training_size(loss, k)
    loss.value_and_gradient(loss.w0, k)  # the first one also pays for set-up
    times = []
    for _ in range(3):
        start = time.perf_counter()
        loss.value_and_gradient(loss.w0, k)
        times.append(time.perf_counter() - start)
    # of several processes the mean: all must go the same way
    return shared_budget(seconds * total(loss, 1) / (2 * total(loss, min(times))))


def shared_budget(steps: float) -> Budget:
    """So many steps dealt out to the stages: a step is one L-BFGS iteration or one product.

    The steps are rounded down to a power of two. Training gets a fifth and at least 10; the
    smallest eigenvalue and the trace a tenth each, at least 12 and 6; the fits along k, 300
    iterations each, are done if a third suffices for all, and else left out; no count exceeds that
    of `Budget()`. All of it is chosen here.

    >>> print(shared_budget(550))
    fit_iterations=102, lowest_products=51, trace_products=51, retrain_iterations=0
    """
    whole = 2.0 ** math.floor(math.log2(steps))
    most = Budget()
    fits = most.retrain_iterations * sum(RETRAIN_SHARES)
    return Budget(
        fit_iterations=max(10, min(most.fit_iterations, int(whole / 5))),
        lowest_products=max(12, min(most.lowest_products, int(whole / 10))),
        trace_products=max(6, min(most.trace_products, int(whole / 10))),
        retrain_iterations=most.retrain_iterations if fits <= whole / 3 else 0,
    )
