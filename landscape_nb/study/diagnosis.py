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
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from landscape_nb.numerics import checks
from landscape_nb.numerics.eigensolver import ConvergenceError, Eigenpairs
from landscape_nb.numerics.fit import fit
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.study.budget import (
    RETRAIN_SHARES,
    Budget,
    default_budget,
    timed_budget,
    training_size,
)
from landscape_nb.study.local_regime import model_error
from landscape_nb.theory.criteria import Estimate
from landscape_nb.theory.enough import EnoughData, enough_data_interval, resampled_means
from landscape_nb.theory.increment import increment, next_sample_models
from landscape_nb.theory.probes import bottom_eigenpairs, random_subspace, top_eigenpairs
from landscape_nb.theory.spectrum import hutchpp_trace
from landscape_nb.theory.tables import MomentTable, full_space_table, moment_table

_STAGES = ("training", "eigenvectors", "trace", "increments", "full space", "local regime", "data")


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What was measured at one point w of one model.

    Attributes:
        description: the loss, in words.
        k, D, sigma: as asked for.
        l2: weight of the L2 term.
        w: (N,), the point.
        value: L_k(w), with the L2 term.
        seen_value, unseen_value: mean loss over the first k samples and over the others, both
            without the L2 term.
        lowest_loss: smallest loss of a sample, seen or not.
        scale: L_k - lowest_loss, what is meant by the size of the loss: it grows with the loss's
            unit and does not change with a constant added to it. Zero where all are equal.
        grad_norm: |grad L_k(w)|.
        fitted: whether w was found here, by `fit`.
        pairs: the top D eigenpairs; `certified` says whether they converged.
        lowest, lowest_certified: the smallest eigenvalue and whether it converged; if not, the
            best estimate of so many products, which is never below the true one.
        trace: of H^(k), by Hutch++; exact for N <= 20, and where the products suffice for it.
        candidates: number of unseen samples that were tried as the next one.
        delta1: mean of |I| over them.
        top, random: the Gaussian moment for every D and sigma, in the two subspaces.
        full: the same in the whole space.
        sigmas, model_error: (m,) each: centred relative error of the quadratic model; NaN where
            rounding hides it.
        local_sigma: largest of sigmas up to which that error stays below 10 %, or None.
        ks, curves: (m,) and (candidates, m), squared increments of each candidate.
        band: (2, m), 5 % and 95 % of their means over resampled candidates.
        retrained: whether w was fitted anew for each of ks, or kept.
        tolerance: in loss^2.
        enough: what the curves say.
        budget: the counts that all this was measured with.
        seconds: of each stage; the one thing that another run of the same call changes.
        doubts: sentences that a reader must know before believing the rest.
    """

    description: str
    k: int
    D: int
    sigma: float
    l2: float
    w: Tensor
    value: float
    seen_value: float
    unseen_value: float
    lowest_loss: float
    scale: float
    grad_norm: float
    fitted: bool
    pairs: Eigenpairs
    certified: bool
    lowest: float
    lowest_certified: bool
    trace: Estimate
    candidates: int
    delta1: float
    top: MomentTable
    random: MomentTable
    full: MomentTable
    sigmas: Tensor
    model_error: Tensor
    local_sigma: float | None
    ks: list[int]
    curves: Tensor
    band: Tensor
    retrained: bool
    tolerance: float
    enough: EnoughData
    budget: Budget
    seconds: dict[str, float]
    doubts: list[str]


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
            take what they take, with fewer candidates where N is large.
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

    with tqdm(total=len(_STAGES), desc="report", disable=not progress, leave=False) as bar:

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
        with stage("eigenvectors"):
            pairs, certified = _pairs(loss, w, k, D)
            lowest, lowest_certified = _lowest(loss, w, k, budget.lowest_products)
        with stage("trace"):
            trace = _trace(loss, w, k, budget.trace_products, seeded)
        with stage("increments"):
            # 10 to 32: time and memory grow with their number times N. Chosen here.
            candidates = max(10, min(32, 16_000_000 // loss.num_params))
            unseen = range(k, min(loss.num_samples, k + candidates))
            U = random_subspace(loss.num_params, D, seeded, dtype=w.dtype).to(w.device)
            models = next_sample_models(loss, w, pairs.vectors, k, candidates=unseen)
            random = next_sample_models(loss, w, U, k, candidates=unseen)
        with stage("full space"):
            full = full_space_table(
                loss, [w], [k], num_probes=6, candidates=unseen, generator=seeded
            )
        with stage("local regime"):
            sigmas, error = model_error(loss, w, pairs.vectors, k, unseen, models, seeded)
            good = int((~(error >= 0.1)).long().cumprod(0).sum())  # NaN: none to be seen
            if error[:good].isnan().all() and good < len(error):
                good = 0  # wrong as soon as something can be seen
        with stage("data"):
            scale = max(float(value - losses.min()), 0.0)
            if tolerance is None:
                # Where all losses are equal no more than rounding is left; tiny: a tolerance of
                # zero would refuse increments of zero.
                rounding = torch.finfo(losses.dtype).eps * float(losses.abs().max())
                tiny = torch.finfo(torch.float64).tiny
                tolerance = max(max(0.01 * scale, rounding) ** 2, tiny)
            ks, curves = _along_k(loss, w, k, unseen, budget.retrain_iterations)
            enough = enough_data_interval(ks, curves, tolerance, seeded)
            means = resampled_means(curves, 1000, seeded)
            band = means.quantile(torch.tensor([0.05, 0.95]).double(), dim=0)

    found = Diagnosis(
        description=repr(loss), k=k, D=D, sigma=sigma, l2=loss.l2, w=w, value=float(value),
        seen_value=float(losses[:k].mean()), unseen_value=float(losses[k:].mean()),
        lowest_loss=float(losses.min()), scale=scale,
        grad_norm=float(gradient.norm()), fitted=fitted, pairs=pairs, certified=certified,
        lowest=lowest + 0.0, lowest_certified=lowest_certified, trace=trace, candidates=len(unseen),
        delta1=float(models.a.abs().mean()), top=moment_table([models]),
        random=moment_table([random]), full=full, sigmas=sigmas, model_error=error,
        local_sigma=float(sigmas[good - 1]) if good else None, ks=ks, curves=curves, band=band,
        retrained=budget.retrain_iterations > 0, tolerance=tolerance, enough=enough, budget=budget,
        seconds=spent, doubts=[],
    )  # fmt: skip
    found.doubts.extend(doubts(found))
    return found


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


def _along_k(
    loss: EmpiricalLoss, w: Tensor, k: int, unseen: range, iterations: int
) -> tuple[list[int], Tensor]:
    """Squared increments of the candidates for a grid of k: fitted anew, or at w if iterations = 0.

    At a fixed w all k differ by arithmetic alone: then the grid goes on beyond k and tells how far
    there is to go.
    """
    shares = RETRAIN_SHARES if iterations else [2 ** (j / 2) for j in range(13)]
    ks = sorted({max(1, round(k * share)) for share in shares})
    columns = []
    for j in ks:
        at = fit(loss, j, tol=1e-4, max_iterations=iterations).w if iterations else w
        mean = loss.per_sample(at, min(j, k)).mean()
        columns.append(increment(loss.per_sample(at, unseen), mean, j).square())
    return ks, torch.stack(columns, dim=1).double().cpu()


def doubts(found: Diagnosis) -> list[str]:
    """Sentences that a reader must know before believing the numbers; none where all is well."""
    says = []
    first = float(found.pairs.values[0])
    worst = float(found.pairs.residuals.max()) + found.pairs.noise
    if not found.certified:
        says.append(
            "The eigenvectors did not converge, or fresh products do not confirm them: the worst "
            f"residual is {worst:.0e}, lambda_1 is {first:.1e}. Shares in the top subspace are "
            "rough."
        )
    if first <= worst:
        says.append(
            f"No direction bends upward: lambda_1 is {first:.1e}. This is no valley, and the top "
            "subspace means nothing. Is the loss linear in the parameters?"
        )
    if found.pairs.gap < worst:
        says.append(
            f"The gap behind eigenvalue {found.D} is smaller than the residuals: the last "
            "directions of the top subspace are not determined. Choose another D."
        )
    says += _about_the_losses(found)
    # One unit of parameters downhill would gain more than a hundredth of the loss: chosen here.
    if found.grad_norm > 0.01 * found.scale:
        says.append(
            f"This is not a minimum: the gradient's norm is {found.grad_norm:.1e} at a loss of "
            f"size {found.scale:.2g}. Closed forms hold, but 'trained on k samples' is an "
            "overstatement."
        )
    if found.lowest < -0.01 * abs(first):
        says.append(
            f"The landscape also bends downward, by {found.lowest:.1e} at least in one direction. "
            "The top directions are not all of its curvature."
        )
    if found.local_sigma is None or found.sigma > found.local_sigma:
        says.append(
            f"sigma = {found.sigma:g} lies outside the local regime, where the quadratic model is "
            "right within 10 %: use delta2_subspace instead of closed forms, or a smaller sigma."
        )
    if found.candidates < 10:
        says.append(
            f"Only {found.candidates} unseen samples served as the next one; averages over them "
            "are rough."
        )
    if found.retrained and not found.fitted:
        says.append(
            "The curve along k was fitted from the model's own parameters. If these were trained "
            "on all k samples, the fits for fewer have seen more than they should: it is too kind."
        )
    if not found.retrained:
        says.append(
            "The model was not trained anew along k, which this budget leaves out: the curve "
            "shows what counting alone does, not what learning does."
        )
    if found.enough.K == found.ks[-1]:
        says.append("Only the last k lies below the tolerance: no evidence that it stays there.")
    return says


def _about_the_losses(found: Diagnosis) -> list[str]:
    """Where the losses themselves make ratios and thresholds mean little."""
    says = []
    if found.lowest_loss < 0:
        says.append(
            f"Some losses are negative, down to {found.lowest_loss:.2g}: this loss has no zero of "
            "its own, and a share of its value means nothing. Its size is taken as what L_k lies "
            f"above the smallest loss, {found.scale:.2g}. Give the tolerance in loss^2 if you "
            "know what matters."
        )
    if found.scale == 0 and float(found.curves.max()) <= found.tolerance:
        says.append(
            f"All losses are equal at this point, {found.value:.3g}: one more sample changes "
            "nothing here, and there is nothing to compare with. Is the loss constant, or the fit "
            "perfect?"
        )
    increment = 0.01 * found.scale / (found.k + 1)
    smallest = torch.finfo(found.w.dtype).tiny
    if 0 < increment and increment**2 < smallest:
        says.append(
            f"Squared increments of a loss of this size ({found.scale:.1e}) are below "
            f"{smallest:.0e}, the smallest number of {found.w.dtype}: they come out as zero. "
            "Multiply the loss by a large number."
        )
    return says
