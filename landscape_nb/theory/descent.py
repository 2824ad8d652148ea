"""Gradient descent step by step: what curvature does to it, and it to curvature (LLC).

LLC ("learning rate must respect curvature scale") is about the first; the second, sharpness that
climbs to 2 / lr and stays there, is Cohen et al. 2021.

Here the path is the subject; where only its end counts, `numerics.fit` is faster.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from landscape_nb.numerics import checks
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.operators import Samples
from landscape_nb.numerics.progress import progress_bar


@dataclass(frozen=True, eq=False)
class Descent:
    """A path of gradient descent.

    Attributes:
        steps: (T,), numbers of the kept steps; the first is 0, the last is the last step taken,
            or the last kept before the path diverged.
        ws: (T, N), the points.
        values: (T,), L_k at the points, over all k samples.
        diverged: whether the path was ended because the loss or its gradient overflowed.
    """

    steps: Tensor
    ws: Tensor
    values: Tensor
    diverged: bool

    @property
    def w(self) -> Tensor:
        """The last point, (N,)."""
        return self.ws[-1]


def gradient_descent(
    loss: EmpiricalLoss,
    k: Samples,
    lr: float,
    steps: int,
    w: Tensor | None = None,
    *,
    batch_size: int | None = None,
    generator: torch.Generator | None = None,
    momentum: float = 0.0,
    every: int = 1,
    progress: bool = False,
) -> Descent:
    """Gradient descent on L_k with a fixed learning rate, in full or in mini-batches.

    v <- momentum v + g,  w <- w - lr v,  g the gradient of the whole L_k or of one mini-batch

    Mini-batches are drawn without replacement, epoch by epoch; the last of an epoch may be
    smaller. A path that diverges ends there and says so.

    Args:
        loss: the empirical loss.
        k: number of samples, 1..n, or indices of them.
        lr: the learning rate.
        steps: number of steps.
        w: (N,), the start; `loss.w0` if not given.
        batch_size: samples for each step; all if not given.
        generator: order of the samples; needed with batch_size.
        momentum: 0 <= momentum < 1.
        every: keep each so many steps, besides the first and the last.
        progress: show a progress bar.

    Returns:
        A `Descent`. Costs one gradient for each step, and a pass over the k samples for each kept.

    >>> from landscape_nb.problems.toys import quadratics
    >>> loss = EmpiricalLoss(*quadratics(1, 2, eigenvalues=[1.0, 0.5], shift=0.0).parts)
    >>> start = torch.ones(2, dtype=torch.float64)
    >>> path = gradient_descent(loss, 1, 1.0, 20, start)
    >>> bool(path.w.norm() < 1e-5), gradient_descent(loss, 1, 2.5, 5000, start).diverged
    (True, True)
    """
    w = checks.parameter_vector(loss.w0 if w is None else w, loss.w0)
    lr = checks.positive("lr", lr, "learning rate")
    steps = checks.whole_number("steps", steps, 1, None, "steps of gradient descent")
    every = checks.whole_number("every", every, 1, None, "keep each so many steps")
    momentum = checks.non_negative("momentum", momentum, "share of the last step that is kept")
    if momentum >= 1:
        raise ValueError(f"momentum must be below 1, or no step is ever forgotten; got {momentum}.")
    choose = _mini_batches(loss, k, batch_size, generator)
    kept, velocity, diverged = [(0, w, loss.value(w, k))], torch.zeros_like(w), False
    for step in progress_bar(
        range(1, steps + 1), desc="gradient descent", unit=" steps", disable=not progress
    ):
        try:
            velocity = momentum * velocity + loss.gradient(w, next(choose))
        except ValueError:
            # far out even a gradient overflows; near the start the fault is another one
            value = _finite_value(loss, w, k)
            if value is not None and value < 1e30 * (1 + kept[0][2].abs()):  # chosen here
                raise
            diverged = True
            break
        w = w - lr * velocity
        if step % every == 0 or step == steps:
            value = _finite_value(loss, w, k)
            if value is None:
                diverged = True
                break
            kept.append((step, w, value))
    numbers, ws, values = zip(*kept, strict=True)
    return Descent(torch.tensor(numbers), torch.stack(ws), torch.stack(values), diverged)


def _finite_value(loss: EmpiricalLoss, w: Tensor, k: Samples) -> Tensor | None:
    try:
        value = loss.value(w, k)
    except ValueError:
        return None
    return value if torch.isfinite(value) else None


def _mini_batches(
    loss: EmpiricalLoss, k: Samples, batch_size: int | None, generator: torch.Generator | None
) -> Iterator[Samples]:
    """The samples of each step, for ever."""
    if batch_size is None:
        return itertools.repeat(k)
    if loss.samples.streamed:
        raise ValueError(
            "Random mini-batches need samples in memory: of batches that are read one after the "
            "other, every step would read all. Leave batch_size out, or make the loss from tensors."
        )
    chosen = torch.as_tensor(loss.chosen(k))
    size = checks.whole_number(
        "batch_size", batch_size, 1, len(chosen), "samples for each step, of those given"
    )
    return _epochs(chosen, size, checks.explicit_generator(generator))


def _epochs(chosen: Tensor, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    while True:
        order = torch.randperm(len(chosen), generator=generator, device=generator.device)
        yield from chosen[order.to(chosen.device)].split(size)
