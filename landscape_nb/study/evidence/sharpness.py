"""Does sharpness settle when the criterion does, and which of the numbers does a rescaling change.

The small tanh network of the study `influence`, trained anew on the first k digits. The rescaling
W_1 a, b_1 a, W_2 / a leaves a network as it is if its activation is ReLU: so there it is a ReLU
network. All sharpness is of the data's part of the loss, without the L2 term.
"""

import torch
from torch import Tensor, nn

from landscape_nb.numerics.fit import fit
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.wording import rounded
from landscape_nb.problems.data import digits
from landscape_nb.problems.models import MLP
from landscape_nb.study.evidence.influence import problem
from landscape_nb.study.evidence.stored import Study
from landscape_nb.study.sweep import Row
from landscape_nb.theory.criteria import next_sample_average
from landscape_nb.theory.exponents import log_slope
from landscape_nb.theory.increment import increment
from landscape_nb.theory.intervals import Measured, geometric_interval, mean_interval
from landscape_nb.theory.sharpness import relative_flatness

KS, L2 = (50, 100, 200, 400, 800), 1e-3
SIGMA, DRAWS, D, FACTOR = 1e-2, 32, 10, 10.0
SHARP = ("largest", "trace", "adaptive", "adaptive_trace", "flatness")
CRITERIA = ("delta1", "delta2", "centred", "subspace", "subspace_centred")
EXACT = ("delta1", "adaptive", "adaptive_trace", "flatness")


def sharpness(loss: EmpiricalLoss, w: Tensor, k: int) -> Row:
    """Five kinds, of the data's part of L_k, by dense matrices."""
    H = loss.without_l2().hessian(w, k)
    relative = w[:, None] * H * w
    return {
        "largest": float(torch.linalg.eigvalsh(H)[-1]),
        "trace": float(H.trace()),
        "adaptive": float(torch.linalg.eigvalsh(relative)[-1]),
        "adaptive_trace": float(relative.trace()),
        "flatness": relative_flatness(loss, w, k, "2.weight"),
    }


def criteria(loss: EmpiricalLoss, w: Tensor, k: int) -> Row:
    """The criteria, averaged over all unseen samples; the same draws for every w."""
    losses = loss.per_sample(w)
    row = {"delta1": float(increment(losses[k:], losses[:k].mean(), k).abs().mean())}
    U = torch.linalg.eigh(loss.without_l2().hessian(w, k)).eigenvectors[:, -D:]
    kinds = ((None, False), (None, True), (U, False), (U, True))
    for name, (basis, centred) in zip(CRITERIA[1:], kinds, strict=True):
        g = torch.Generator().manual_seed(0)
        found = next_sample_average(loss, w, k, SIGMA, DRAWS, g, U=basis, centred=centred)
        row[name] = float(found.value)
    return row


def rescaled(loss: EmpiricalLoss, w: Tensor, a: float) -> Tensor:
    """W_1 a, b_1 a and W_2 / a: the same function, if the activation is ReLU."""
    scale = {"0.weight": a, "0.bias": a, "2.weight": 1 / a, "2.bias": 1.0}
    parts = loss.layout.unflatten(w)
    return loss.layout.flatten({name: scale[name] * part for name, part in parts.items()})


def relu_problem(seed: int) -> EmpiricalLoss:
    """The same network with ReLU."""
    g = torch.Generator().manual_seed(seed)
    network = MLP([64, 8, 10], nn.ReLU, generator=g)
    return EmpiricalLoss(network, nn.CrossEntropyLoss(reduction="none"), *digits(seed=seed), l2=L2)


def measure(seed: int, part: str) -> list[Row]:
    """All numbers at each k; or the factors by which a rescaling changes them."""
    nothing = dict.fromkeys((*(f"{name}_off" for name in EXACT),))
    if part == "along k":
        loss = problem("network", seed)
        fits = {k: fit(loss, k, tol=1e-4).w for k in KS}
        rows = [{"k": k, **sharpness(loss, w, k), **criteria(loss, w, k)} for k, w in fits.items()]
        return [{name: rounded(value) for name, value in row.items()} | nothing for row in rows]
    loss = relu_problem(seed)
    w = fit(loss, 200, max_iterations=300).w  # kinks: the gradient may not become small
    before, after = (
        sharpness(loss, at, 200) | criteria(loss, at, 200) for at in (w, rescaled(loss, w, FACTOR))
    )
    factors = {name: after[name] / before[name] for name in before}
    off = {f"{name}_off": rounded(abs(factors[name] - 1)) for name in EXACT}
    return [{"k": 200.0} | {name: rounded(factor) for name, factor in factors.items()} | off]


def summary(rows: list[Row]) -> dict[str, Measured]:
    """Slopes in log k, factors of the last doubling, and factors of the rescaling."""
    along = [row for row in rows if row["part"] == "along k"]
    changed = [row for row in rows if row["part"] == "rescaled"]
    by_seed = {seed: [r for r in along if r["seed"] == seed] for seed in {r["seed"] for r in along}}
    found = {}
    for name in (*SHARP, *CRITERIA):
        curves = [[row[name] for row in run] for run in by_seed.values()]
        slopes = [log_slope(torch.tensor(KS), torch.tensor(curve)).value for curve in curves]
        found[f"slope_{name}"] = mean_interval(slopes)
        found[f"last_{name}"] = geometric_interval([curve[-1] / curve[-2] for curve in curves])
        found[f"rescaled_{name}"] = geometric_interval([row[name] for row in changed])
    for name in EXACT:
        off = [float(row[f"{name}_off"]) for row in changed]
        found[f"off_{name}"] = Measured(max(off), min(off), max(off), len(off))
    return found


STUDY = Study(
    "Does sharpness settle when the criterion does, and which number is the network's own?",
    measure,
    summary,
    grid={"part": ["along k", "rescaled"]},
    minutes=2.0,
)
