"""What a diagnosis holds: every number of a report, and what each of them means."""

from dataclasses import dataclass

from torch import Tensor

from landscape_nb.numerics.eigensolver import Eigenpairs
from landscape_nb.study.along_k import AlongK
from landscape_nb.study.budget import Budget
from landscape_nb.theory.criteria import Estimate
from landscape_nb.theory.enough import EnoughData
from landscape_nb.theory.forecast import Forecast
from landscape_nb.theory.learning_curve import LossForecast
from landscape_nb.theory.tables import MomentTable
from landscape_nb.theory.tails import Tail


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
        candidates: number of unseen samples, n - k. Whatever rests on losses alone is an average
            over all of them.
        delta1: mean of |I| over them.
        tail: of their squared increments: mean, median, share of the hardest, tail index, and
            share below the tolerance.
        top, random: the Gaussian moment for every D and sigma, in the two subspaces: the value
            part over all unseen samples; the others, with standard errors, over those below.
        full: the same in the whole space.
        derivatives_of: number of unseen samples whose derivatives were taken: all, or a designed
            sample of them.
        sigmas, model_error: (m,) each: centred relative error of the quadratic model; NaN where
            rounding hides it.
        local_sigma: largest of sigmas up to which that error stays below 10 %, or None.
        along: squared increments and losses of the unseen samples along k.
        band: (2, K), pointwise 90 % interval of the mean squared increments.
        retrained: whether the model was trained anew for smaller k, or `along` holds one k only.
        tolerance: in loss^2.
        measured: K as the measured k tell, by the choice of next samples.
        forecast: K as the measured k foretell.
        doubled: the mean loss of unseen samples with twice the data; None where nothing can be
            said.
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
    tail: Tail
    top: MomentTable
    random: MomentTable
    full: MomentTable
    derivatives_of: int
    sigmas: Tensor
    model_error: Tensor
    local_sigma: float | None
    along: AlongK
    band: Tensor
    retrained: bool
    tolerance: float
    measured: EnoughData
    forecast: Forecast
    doubled: LossForecast | None
    budget: Budget
    seconds: dict[str, float]
    doubts: list[str]
