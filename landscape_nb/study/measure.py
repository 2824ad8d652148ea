"""One cell of a stabilization study: train on k samples, then measure what the next one changes.

    measure = stabilization(make_loss, Ds=[2, 10], sigmas=[1e-3, 1e-1])
    rows = sweep(measure, {"seed": range(5), "k": [20, 50, 100]}, "mlp.jsonl")

Each cell starts from the model's own parameters, not from the minimiser of another k: cells can
then run in any order and anywhere, and an interrupted study ends as an uninterrupted one. The
random directions are the same in every cell of one model size: the scatter over seeds leaves out
theirs.

A sweep's file knows make_loss by its name and what a functools.partial fixes, not by what is
written in it: whatever else decides the data or the model belongs into `settings=`.
"""

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

from landscape_nb.numerics import checks
from landscape_nb.numerics.devices import on_cpu
from landscape_nb.numerics.fit import fit
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.theory.increment import increment, next_sample_models
from landscape_nb.theory.probes import random_subspace, top_eigenpairs
from landscape_nb.theory.tables import moment_table
from landscape_nb.theory.tails import tail

MakeLoss = Callable[..., EmpiricalLoss]
Row = dict[str, Any]


def stabilization(
    make_loss: MakeLoss, *, Ds: Sequence[int], sigmas: Sequence[float] | float, tol: float = 1e-5
) -> Callable[..., list[Row]]:
    """A measure for `sweep`: the criteria at the minimiser of L_k, averaged over next samples.

    Args:
        make_loss: make_loss(**names) builds the `EmpiricalLoss` of the cell's other names, for
            example make_loss(seed=0, model="deep"); a function of a module, so that processes can
            find it. More samples than the largest k: those left are the next ones.
        Ds: dimensions of the probes, increasing.
        sigmas: standard deviations of the probes.
        tol: gradient norm at which `fit` stops.

    Returns:
        measure(k=..., **names) -> one row for each probe ("top", "random"), D and sigma, with
        * loss, unseen_loss, grad_norm, converged: of the fit;
        * lambda_1, residual: the largest eigenvalue, and the worst residual over it;
        * delta1: mean of |I| over the unseen samples as the next one;
        * hardest, tail_index: share of the mean squared I that the hardest 5 % of them carry, and
          its tail index (`tail`; None where there are too few): what that mean is worth;
        * probe, D, sigma, total, value, cross, gradient, curvature, centred: Delta_2^(D) by its
          Gaussian moment (KG26 Eq. 15), averaged over them. Probes of one k are nested, random
          ones too, up to the largest D.

    Raises:
        ValueError: Ds or sigmas do not fit.
    """
    Ds = checks.prefix_lengths(Ds, None, high_means="dimension of the probe", name="D")
    if not isinstance(sigmas, Iterable):
        sigmas = [sigmas]
    sigmas = [checks.positive("sigma", s, "standard deviation of the probe") for s in sigmas]
    if not sigmas:
        raise ValueError("sigmas is empty; give at least one standard deviation.")
    return functools.partial(_measure, make_loss, Ds, sigmas, tol)


def _measure(
    make_loss: MakeLoss, Ds: list[int], sigmas: list[float], tol: float, /, *, k: int, **names: Any
) -> list[Row]:
    loss = make_loss(**names)
    k = checks.whole_number("k", k, 1, loss.num_samples - 1, "there must be a next sample")
    found = fit(loss, k, tol=tol)
    top = top_eigenpairs(loss, found.w, k, Ds[-1])
    losses = loss.per_sample(found.w)
    unseen, increments = losses[k:], increment(losses[k:], losses[:k].mean(), k)
    heavy = tail(on_cpu(increments).square())
    known = {
        "loss": found.value,
        "unseen_loss": float(unseen.mean()),
        "grad_norm": found.grad_norm,
        "converged": found.converged,
        "lambda_1": float(top.values[0]),
        # where all is zero, values and residuals, there is nothing to be wrong by
        "residual": float((top.residuals / top.values[0].abs()).nan_to_num(0.0).max()),
        "delta1": float(increments.abs().mean()),
        "hardest": _or_none(heavy.hardest),
        "tail_index": _or_none(heavy.index),
    }
    seeded = torch.Generator().manual_seed(0)
    bases = {
        "top": top.vectors,
        "random": random_subspace(loss.num_params, Ds[-1], seeded).to(loss.w0),
    }
    rows = []
    for probe, U in bases.items():
        table = moment_table([next_sample_models(loss, found.w, U, k)])
        for D in Ds:
            for sigma in sigmas:
                moment = table.at(D, sigma)
                parts = ("total", "value", "cross", "gradient", "curvature", "centred")
                measured = {part: float(getattr(moment, part)) for part in parts}
                rows.append({**known, "probe": probe, "D": D, "sigma": sigma, **measured})
    return rows


def _or_none(number: float) -> float | None:
    """A number that can be compared: NaN is not even equal to itself."""
    return None if math.isnan(number) else number
