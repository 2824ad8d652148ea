"""Which number foresees what adding one sample does: the truth is a training with it.

Digits, 200 of them; each of the next 32 is added alone and the minimiser found again, from the old
one. A linear classifier has one minimiser; a small tanh network has many, so that for twelve of
them it is trained a second time, from its own first weights.
"""

import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from landscape_nb.numerics.fit import fit
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.wording import rounded
from landscape_nb.problems.data import digits
from landscape_nb.problems.models import MLP
from landscape_nb.study.evidence.stored import Study
from landscape_nb.study.sweep import Row
from landscape_nb.theory.increment import increment
from landscape_nb.theory.intervals import Measured, mean_interval, paired_difference

# case -> (widths, l2)
CASES = {
    "linear": ([64, 10], 1e-3),
    "linear, strong L2": ([64, 10], 1e-2),
    "network": ([64, 8, 10], 1e-3),
}
K, ADDED, ANEW, HELD_OUT = 200, 32, 12, range(1297, 1797)
Columns = dict[str, Tensor]


def problem(case: str, seed: int) -> EmpiricalLoss:
    """The digits in the order of a seed, and first weights of the same seed."""
    widths, l2 = CASES[case]
    network = MLP(widths, generator=torch.Generator().manual_seed(seed))
    return EmpiricalLoss(network, nn.CrossEntropyLoss(reduction="none"), *digits(seed=seed), l2=l2)


def additions(loss: EmpiricalLoss, k: int, added: range, held_out: range) -> Columns:
    """For each added sample what was foretold, without training, and what training gave.

    Foretold with dense Hessians; the theory's `influence_step` needs products only.

    Returns:
        Columns of equal length: I; the change of the minimum ("minimum", and "minimum_influence",
        "minimum_newton" foretold), of the held-out loss ("held_out", ..._influence, ..._newton),
        the length of the step ("step", ..._influence, ..._newton), |foretold - true| / |true| of
        the step itself ("step_error", "step_error_newton").
    """
    w = fit(loss, k, tol=1e-7).w
    H, plain = loss.hessian(w, k), loss.without_l2()
    start, (mean, g) = float(loss.value(w, k)), plain.value_and_gradient(w, k)
    data_H, g_held = H - loss.l2 * torch.eye(len(w)).to(w), plain.gradient(w, held_out)
    held_before = float(plain.value(w, held_out))
    rows = []
    for c in added:
        one = range(c, c + 1)
        value, gradient = plain.value_and_gradient(w, one)
        I, dg = increment(value, mean, k), increment(gradient, g, k)
        B = increment(plain.hessian(w, one), data_H, k)
        influence, newton = -torch.linalg.solve(H, dg), -torch.linalg.solve(H + B, dg)
        after = fit(loss, with_sample(k, c), w, tol=1e-6).w
        step = after - w
        rows.append(
            {
                "I": float(I),
                "minimum": float(loss.value(after, with_sample(k, c))) - start,
                "minimum_influence": float(I + dg @ influence / 2),
                "minimum_newton": float(I + dg @ newton / 2),
                "held_out": float(plain.value(after, held_out)) - held_before,
                "held_out_influence": float(g_held @ influence),
                "held_out_newton": float(g_held @ newton),
                "step": float(step.norm()),
                "step_influence": float(influence.norm()),
                "step_newton": float(newton.norm()),
                "step_error": float((influence - step).norm() / step.norm()),
                "step_error_newton": float((newton - step).norm() / step.norm()),
            }
        )
    return {name: torch.tensor([row[name] for row in rows]).double() for name in rows[0]}


def with_sample(k: int, candidate: int) -> Tensor:
    """Indices of the first k samples and of one more."""
    return torch.cat([torch.arange(k), torch.tensor([candidate])])


def agreement(columns: Columns) -> Row:
    """Rank correlations and errors of the foretold numbers, over the added samples."""
    c = columns
    row = {"error_step": rounded(c["step_error"].median())}
    row["error_step_newton"] = rounded(c["step_error_newton"].median())
    for what in ("step", "held_out", "minimum"):
        for way in ("influence", "newton"):
            row[f"rank_{what}_{way}"] = _rank(c[f"{what}_{way}"], c[what])
            if what != "step":
                row[f"error_{what}_{way}"] = _error(c[f"{what}_{way}"], c[what])
        size = abs if what != "minimum" else torch.clone
        row[f"rank_{what}_increment"] = _rank(size(c["I"]), size(c[what]))
    return row | {"error_minimum_increment": _error(c["I"], c["minimum"])}


def measure(seed: int, case: str) -> Row:
    """`agreement` of one seed; for the network beside one trained from its first weights."""
    loss, added = problem(case, seed), range(K, K + ADDED)
    columns = additions(loss, K, added, HELD_OUT)
    anew = dict.fromkeys(("anew_distance", "anew_rank_held_out", "anew_near"))
    if case == "network":
        anew = _from_first_weights(loss, columns, added[:ANEW])
    return agreement(columns) | anew


def _from_first_weights(loss: EmpiricalLoss, columns: Columns, added: range) -> Row:
    """How far a training from the first weights ends, and what influence says of it."""
    w, plain = fit(loss, K, tol=1e-5).w, loss.without_l2()
    before = float(plain.value(w, HELD_OUT))
    ends = [fit(loss, with_sample(K, c), tol=1e-5).w for c in added]
    far = torch.tensor([float((end - w).norm()) for end in ends]).double()
    near, foretold = columns["step"][: len(added)], columns["held_out_influence"][: len(added)]
    change = torch.tensor([float(plain.value(end, HELD_OUT)) - before for end in ends]).double()
    return {
        "anew_distance": rounded((far / near).median()),
        "anew_rank_held_out": _rank(foretold, change),
        "anew_near": rounded((far < 2 * near).double().mean()),
    }


def summary(rows: list[Row]) -> dict[str, Measured]:
    """Means over seeds of every number, by case; and paired differences in rank correlation."""
    found: dict[str, Measured] = {}
    for case in CASES:
        here = [row for row in rows if row["case"] == case]
        name = case.partition(",")[0] + ("_strong" if "strong" in case else "")
        found |= {f"{name}_{what}": measured for what, measured in _means(here).items()}
    return found


def _means(rows: list[Row]) -> dict[str, Measured]:
    names = [n for n in rows[0] if n.startswith(("rank_", "error_", "anew_"))]
    of = {n: [float(row[n]) for row in rows] for n in names if rows[0][n] is not None}
    found = {name: mean_interval(values) for name, values in of.items()}
    for what in ("step", "held_out", "minimum"):
        pair = of[f"rank_{what}_influence"], of[f"rank_{what}_increment"]
        found[f"gain_{what}"] = paired_difference(*pair)
    return found


def _rank(foretold: Tensor, true: Tensor) -> float:
    return rounded(spearmanr(foretold.numpy(), true.numpy()).statistic)


def _error(foretold: Tensor, true: Tensor) -> float:
    """Median size of the error beside the median size of the truth: a few samples are extreme."""
    return rounded((foretold - true).abs().median() / true.abs().median())


STUDY = Study(
    "Which number foresees what adding one sample does to the solution, the loss and the minimum?",
    measure,
    summary,
    grid={"case": list(CASES)},
    minutes=4.0,
)
