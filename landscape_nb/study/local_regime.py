"""How far from w the quadratic model of the increment holds, by evaluating the loss."""

import torch
from torch import Tensor

from landscape_nb.numerics.devices import normal, on_cpu
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.theory.designs import Design
from landscape_nb.theory.increment import increment, next_sample_models


def model_error(
    loss: EmpiricalLoss,
    w: Tensor,
    U: Tensor,
    k: int,
    design: Design,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Relative error of the quadratic model's centred criterion, on pairs of points +-z.

    The criterion is averaged over all unseen samples, by those that `design` has drawn. NaN where
    the increments change by too little for their rounding to show 10 %.
    """
    # Differences of losses lose their digits where sigma is small: float32 starts later.
    lowest = -4 if w.dtype == torch.float64 else -3
    sigmas = torch.logspace(lowest, -1, 2 * (-1 - lowest) + 1, dtype=torch.float64)
    z = normal(4, U.shape[1], generator=generator)
    z = torch.cat([z, -z]).to(w)
    drawn = k + design.indices
    samples, weights = torch.cat([torch.arange(k), drawn]), design.weights
    models = next_sample_models(loss, w, U, k, candidates=drawn)

    def increments_at(point: Tensor) -> Tensor:
        losses = on_cpu(loss.per_sample(point, samples))
        return increment(losses[k:], losses[:k].mean(), k)

    def mean(squares: Tensor) -> Tensor:
        return (squares @ weights).mean() / design.population

    at_w = increments_at(w)
    # what a change must exceed: its square is off by twice its rounding. Chosen here.
    size = on_cpu(loss.per_sample(w, samples)).square().mean().sqrt()
    least = 100 * torch.finfo(w.dtype).eps * size / (k + 1)
    errors = []
    for sigma in sigmas:
        try:
            true = torch.stack([increments_at(w + float(sigma) * (U @ v)) - at_w for v in z])
        except ValueError:  # the loss itself is not finite so far away
            errors.append(torch.tensor(float("inf")).to(at_w))
            continue
        model = on_cpu(models.at(float(sigma) * z) - models.a)
        largest = torch.maximum(true.abs().max(), model.abs().max())
        if largest == 0:
            errors.append(largest)  # nothing changes, and the model says so
            continue
        # squares of small numbers would be zero
        moved, told = mean((true / largest).square()), mean((model / largest).square())
        if largest * max(moved, told).sqrt() < least:
            errors.append(torch.full_like(moved, float("nan")))
        else:
            errors.append((moved / told - 1).abs())
    return sigmas, torch.stack(errors).cpu()
