"""Do the principal directions stay when one digit comes? KG26's Assumption 2, and stronger forms.

Notebook 04's network. For each k several unseen digits, drawn at random, come next in turn.

* assumed: U_k against the top eigenspace of H^(k+1) at the same w_k*. Assumption 2 (stable
  principal directions) asks that they share their vectors, hence for 1.
* retrained: against that of H^(k+1) at w_{k+1}*, after training on from w_k*.
* control: against that of H^(k) at the w which training on the same k digits reaches from w_k* and
  a random step as long as |w_{k+1}* - w_k*|. What training alone scatters.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from landscape_nb.numerics.fit import fit
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.wording import rounded
from landscape_nb.study.evidence.decay import trained
from landscape_nb.study.evidence.stored import Study
from landscape_nb.theory.increment import increment
from landscape_nb.theory.intervals import Measured, mean_interval
from landscape_nb.theory.probes import top_eigenpairs

Row = dict[str, Any]
KS = (20, 48, 114, 271, 647, 1000)
KINDS = ("assumed", "retrained", "control")


def measure(
    seed: int, ks: tuple[int, ...] = KS, n: int = 1297, D: int = 10, candidates: int = 4
) -> list[Row]:
    """One row for each k, means over the next digits drawn.

    * assumed, retrained, control: |U'V|_F^2 / D; with "_cosine" the mean cosine of the principal
      angles (as in the authors' draft), with "_smallest" the smallest; with "_worst" the least
      |U'V|_F^2 / D among the digits drawn;
    * kept: share of |A U|_F^2, what the increment does to the D directions, that is on the diagonal
      of B: 1 under Assumption 2.
    """
    loss, fits = trained(seed, ks, n)
    rows = []
    for k, found in zip(ks, fits, strict=True):
        generator = torch.Generator().manual_seed(1000 * seed + k)
        drawn = k + torch.randperm(n - k, generator=generator)[:candidates]
        U = top_eigenpairs(loss, found.w, k, D).vectors
        each = [_of_one(loss, found.w, k, int(i), U, generator) for i in drawn]
        row = {name: sum(one[name] for one in each) / len(each) for name in each[0]}
        row |= {f"{kind}_worst": min(one[kind] for one in each) for kind in KINDS}
        rows.append({"k": k, **{name: rounded(value) for name, value in row.items()}})
    return rows


def summary(rows: list[Row]) -> dict[str, Measured]:
    """Means at each k and over all k, and paired differences from the control.

    All are shares: where Student's interval passes 1 it is cut there.
    """
    found = {}
    seeds = sorted({row["seed"] for row in rows})
    for name in rows[0]:
        if name in ("seed", "k"):
            continue
        for k in sorted({row["k"] for row in rows}):
            found[f"{name}_{k}"] = _share(r[name] for r in rows if r["k"] == k)
        all_k = [[r[name] for r in rows if r["seed"] == seed] for seed in seeds]
        found[name] = _share(sum(group) / len(group) for group in all_k)
    for kind in ("assumed", "retrained"):
        groups = [[r[kind] - r["control"] for r in rows if r["seed"] == seed] for seed in seeds]
        found[f"{kind}_minus_control"] = mean_interval(sum(g) / len(g) for g in groups)
    return found


def _share(values: Iterable[float]) -> Measured:
    found = mean_interval(values)
    return replace(found, low=max(found.low, 0.0), high=min(found.high, 1.0))


def alignment(U: Tensor, V: Tensor) -> tuple[float, float, float]:
    """|U'V|_F^2 / D, mean and smallest cosine of the principal angles of two subspaces.

    >>> I = torch.eye(3).double()
    >>> alignment(I[:, :2], I[:, 1:])
    (0.5, 0.5, 0.0)
    """
    cosines = torch.linalg.svdvals(U.T @ V)
    return float(cosines.square().mean()), float(cosines.mean()), float(cosines.min())


def _of_one(
    loss: EmpiricalLoss, w: Tensor, k: int, i: int, U: Tensor, generator: torch.Generator
) -> dict[str, float]:
    D, order = U.shape[1], torch.cat([torch.arange(k), torch.tensor([i])])
    grown = EmpiricalLoss(
        loss.model, loss.loss_fn, loss.inputs[order], loss.targets[order], l2=loss.l2,
        batch_size=2048,
    )  # fmt: skip
    after = fit(grown, k + 1, w).w
    step = torch.randn(len(w), dtype=w.dtype, generator=generator)
    again = fit(loss, k, w + step * ((after - w).norm() / step.norm())).w
    spaces = {
        "assumed": top_eigenpairs(grown, w, k + 1, D, start=U).vectors,
        "retrained": top_eigenpairs(grown, after, k + 1, D, start=U).vectors,
        "control": top_eigenpairs(loss, again, k, D, start=U).vectors,
    }
    row = {}
    for name, V in spaces.items():
        row[name], row[f"{name}_cosine"], row[f"{name}_smallest"] = alignment(U, V)
    products = (grown.hvp(w, U, range(k, k + 1)), loss.hvp(w, U, k))
    AU = increment(*products, k)  # the L2 term cancels
    row["kept"] = float((U * AU).sum(0).square().sum() / AU.square().sum())
    return row


STUDY = Study(
    question="Do the ten sharpest directions stay when one digit comes?",
    measure=measure,
    summary=summary,
    seeds=10,
    minutes=1.5,
)
