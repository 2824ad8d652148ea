"""Everything this package can say about one trained model, in one call.

    findings = diagnose(loss, k=500)          # `landscape_nb.study.report` makes a page of it

Only what others define is measured here, in the order in which it should be read: is the point a
minimum, up to which sigma does the quadratic model hold, what are the sharpest directions, what
would the next sample change, who sees it, and when would it be too little to matter. How much work
goes into it is counted (`Budget`), not timed: the same call gives the same numbers.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from landscape_nb.numerics import checks
from landscape_nb.numerics.eigensolver import ConvergenceError, Eigenpairs
from landscape_nb.numerics.fit import fit
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.progress import progress_bar
from landscape_nb.numerics.samples import in_batches
from landscape_nb.study.along_k import LEVEL, AlongK, along_k
from landscape_nb.study.budget import Budget, default_budget, timed_budget, training_size
from landscape_nb.study.doubts import doubts
from landscape_nb.study.findings import Diagnosis
from landscape_nb.study.local_regime import model_error
from landscape_nb.theory.criteria import Estimate
from landscape_nb.theory.designs import designed_sample
from landscape_nb.theory.enough import OF_NEXT_SAMPLES, settled_within
from landscape_nb.theory.forecast import forecast_enough
from landscape_nb.theory.learning_curve import LossForecast, forecast_loss
from landscape_nb.theory.next_samples import next_sample_table
from landscape_nb.theory.probes import bottom_eigenpairs, random_subspace, top_eigenpairs
from landscape_nb.theory.spectrum import hutchpp_trace
from landscape_nb.theory.tables import full_space_table
from landscape_nb.theory.tails import tail

_STAGES = ("training", "eigenvectors", "trace", "increments", "full space", "local regime", "data")
_DRAWN = 32  # samples whose derivatives are taken where they come one by one: chosen here


def diagnose(
    loss: EmpiricalLoss,
    k: int,
    w: Tensor | None = None,
    *,
    D: int = 10,
    sigma: float = 1e-3,
    tolerance: float | None = None,
    budget: Budget | None = None,
    seconds: float | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Diagnosis:
    """Measure one model: minimum, spectrum, increments, local regime, and how much data is enough.

    Args:
        loss: the empirical loss; at least two samples more than k, which stay unseen.
        k: number of samples that the model was, or will be, trained on: the first k.
        w: (N,), the trained point; found by `fit` from the model's own parameters if not given.
        D: dimension of the probes; lowered to N if need be.
        sigma: standard deviation of the probe.
        tolerance: squared increment that counts as settled, in loss^2; if not given,
            ((L_k - smallest loss of a sample) / 100)^2: one more sample moves the loss by less
            than a hundredth of its size. Neither its unit nor an added constant matters.
        budget: how much work goes into training, the smallest eigenvalue, the trace and the fits
            along k; by the size of the problem (`default_budget`) if not given. The other stages
            take what they take, with derivatives of 32 unseen samples, drawn by design, where
            those of all would come one by one.
        seconds: instead of a budget, about what the whole may take, by `timed_budget`: a timed
            gradient then decides, and the same seed may give another diagnosis.
        seed: of every random number.
        progress: show a progress bar over the stages.

    Returns:
        A `Diagnosis`. Where something can't be had (eigenvectors that do not converge), it is
        kept as it is and named in `doubts`.

    Raises:
        ValueError: an argument does not fit.

    >>> from landscape_nb.problems.toys import linear_regression
    >>> toy = linear_regression(30, 3, generator=torch.Generator().manual_seed(0))
    >>> found = diagnose(EmpiricalLoss(*toy.parts), k=20, D=2, progress=False)
    >>> found.certified, round(found.local_sigma, 6)    # a parabola is its own quadratic model
    (True, 0.1)
    """
    k = training_size(loss, k)
    sigma = checks.positive("sigma", sigma, "standard deviation of the probe")
    seed = checks.whole_number("seed", seed, 0, 2**63 - 1, "of every random number")
    if tolerance is not None:
        tolerance = checks.positive("tolerance", tolerance, "squared increment, in loss^2")
    if w is not None:
        w = checks.parameter_vector(w, loss.w0)
    D = min(checks.whole_number("D", D, 1, None, "dimension of the probe"), loss.num_params)
    budget = _chosen_budget(loss, k, budget, seconds)
    seeded = torch.Generator().manual_seed(seed)
    spent: dict[str, float] = {}

    with progress_bar(
        total=len(_STAGES), desc="measuring for the report", unit=" parts", disable=not progress
    ) as bar:

        @contextmanager
        def stage(name: str) -> Iterator[None]:
            bar.set_postfix_str(name)
            start = time.perf_counter()
            yield
            spent[name] = time.perf_counter() - start
            bar.update()

        with stage("training"):
            fitted = w is None
            if w is None:
                w = fit(loss, k, tol=1e-4, max_iterations=budget.fit_iterations).w
            value, gradient = loss.value_and_gradient(w, k)
            losses = loss.per_sample(w)
            scale = max(float(value - losses.min()), 0.0)
            if tolerance is None:
                tolerance = _default_tolerance(losses, scale)
        with stage("eigenvectors"):
            pairs, certified = _pairs(loss, w, k, D)
            lowest, lowest_certified = _lowest(loss, w, k, budget.lowest_products)
        with stage("trace"):
            trace = _trace(loss, w, k, budget.trace_products, seeded)
        with stage("increments"):
            unseen = range(k, loss.num_samples)
            U = random_subspace(loss.num_params, D, seeded, dtype=w.dtype).to(w.device)
            size = _derivatives_of(loss, w, U, k + losses[k:].argsort(descending=True).cpu())
            top, random = (
                next_sample_table(loss, w, V, k, size=size, generator=seeded)
                for V in (pairs.vectors, U)
            )
        with stage("full space"):
            full = full_space_table(loss, [w], [k], num_probes=6, size=size, generator=seeded)
        with stage("local regime"):
            surprise = (losses[k:] - losses[:k].mean()).abs()
            some = designed_sample(surprise, _DRAWN, seeded)
            sigmas, error = model_error(loss, w, pairs.vectors, k, some, seeded)
            good = int((~(error >= 0.1)).long().cumprod(0).sum())  # NaN: none to be seen
            if error[:good].isnan().all() and good < len(error):
                good = 0  # wrong as soon as something can be seen
        with stage("data"):
            along = along_k(loss, w, k, budget.retrain_iterations)
            band = along.band(seeded)
            measured = settled_within(along.ks, band, tolerance, LEVEL, OF_NEXT_SAMPLES)
            forecast = forecast_enough(
                along.ks, along.means, tolerance, stderrs=along.stderrs, level=LEVEL
            )

    found = Diagnosis(
        description=repr(loss), k=k, D=D, sigma=sigma, l2=loss.l2, w=w, value=float(value),
        seen_value=float(losses[:k].mean()), unseen_value=float(losses[k:].mean()),
        lowest_loss=float(losses.min()), scale=scale,
        grad_norm=float(gradient.norm()), fitted=fitted, pairs=pairs, certified=certified,
        lowest=lowest + 0.0, lowest_certified=lowest_certified, trace=trace, candidates=len(unseen),
        delta1=float(along.squares[-1].sqrt().mean()), tail=tail(along.squares[-1], tolerance),
        top=top, random=random, full=full, derivatives_of=size or len(unseen), sigmas=sigmas,
        model_error=error, local_sigma=float(sigmas[good - 1]) if good else None, along=along,
        band=torch.stack(band[1:]).exp(), retrained=budget.retrain_iterations > 0,
        tolerance=tolerance, measured=measured, forecast=forecast, doubled=_doubled(along),
        budget=budget, seconds=spent, doubts=[],
    )  # fmt: skip
    found.doubts.extend(doubts(found))
    return found


def _default_tolerance(losses: Tensor, scale: float) -> float:
    """The square of a hundredth of the loss's size, or of rounding where all losses are equal."""
    rounding = torch.finfo(losses.dtype).eps * float(losses.abs().max())
    tiny = torch.finfo(torch.float64).tiny  # of zero: it would refuse increments of zero
    size = max(0.01 * scale, rounding)
    return max(size * size, tiny)  # not size**2, which raises an error of its own at 1e155


def _chosen_budget(
    loss: EmpiricalLoss, k: int, budget: Budget | None, seconds: float | None
) -> Budget:
    if budget is None:
        return default_budget(loss, k) if seconds is None else timed_budget(loss, k, seconds)
    if seconds is not None:
        raise ValueError("Give budget or seconds, not both: seconds stand for a budget.")
    if not isinstance(budget, Budget):
        raise ValueError(
            f"budget must be a Budget; got {type(budget).__name__}. Write Budget(), or with the "
            "counts that you change: Budget(fit_iterations=200)."
        )
    return budget


def _pairs(loss: EmpiricalLoss, w: Tensor, k: int, D: int) -> tuple[Eigenpairs, bool]:
    """The top pairs, uncertain ones too, and whether they are certain."""
    try:
        # 1e-3: chosen here; it is enough for a probe, and float32 reaches it
        return top_eigenpairs(loss, w, k, D, tol=1e-3), True
    except ConvergenceError as error:
        return error.pairs, False


def _lowest(loss: EmpiricalLoss, w: Tensor, k: int, products: int) -> tuple[float, bool]:
    try:
        pairs = bottom_eigenpairs(loss, w, k, 1, tol=1e-3, max_products=products)
    except ConvergenceError as error:  # of the negative Hessian; Ritz values lie inside its range
        return -float(error.pairs.values[0]), False
    return float(pairs.values[0]), True


def _trace(
    loss: EmpiricalLoss, w: Tensor, k: int, products: int, generator: torch.Generator
) -> Estimate:
    N = loss.num_params
    if N <= 20 or 3 * N <= products:  # Hutch++ would take more, or as many
        exact = loss.hessian(w, k).trace()
        return Estimate(exact, torch.zeros_like(exact), N)
    return hutchpp_trace(loss.hessian_operator(w, k), w, products, generator)


def _derivatives_of(loss: EmpiricalLoss, w: Tensor, U: Tensor, unseen: Tensor) -> int | None:
    """How many samples to draw by design; None where the derivatives of all are cheap.

    The hardest come first: there the cheap ways, tried on a few, can be told from wrong ones.
    """
    if len(unseen) <= _DRAWN or in_batches(loss, w, U, unseen):
        return None
    return _DRAWN


def _doubled(along: AlongK) -> LossForecast | None:
    """The loss on unseen samples with twice the data; a power law needs a positive one."""
    if not (along.losses > 0).all():
        return None
    k = 2 * along.ks[-1]
    return forecast_loss(along.ks, along.losses, k, stderrs=along.loss_stderrs, level=LEVEL)
