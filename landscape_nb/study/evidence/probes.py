"""Which fixed probe sees what the next digit does, judged on unseen digits that did not build it.

Notebook 04's network. Half of the unseen digits build the fair control, the principal components of
their increments' gradients; every probe is judged on the other half, all of it. "top",
"components", "random" and "bottom" are fixed before the next digit is seen. "hindsight" is fixed
too, but built from the judges: no fixed probe catches more of their gradients. "Jacobian" and "own"
are chosen anew for each next digit, after it is seen: oracles.
"""

from typing import Any

import torch
from torch import Tensor

from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.wording import rounded
from landscape_nb.study.evidence.decay import trained
from landscape_nb.study.evidence.stored import Study
from landscape_nb.study.single_digits import Seen, single_digits
from landscape_nb.theory.designs import designed_sample
from landscape_nb.theory.increment import increment, next_sample_models
from landscape_nb.theory.intervals import Measured, mean_interval, paired_difference
from landscape_nb.theory.probes import (
    bottom_eigenpairs,
    gradient_subspace,
    increment_eigenpairs,
    random_subspace,
    top_eigenpairs,
)

Row = dict[str, Any]
KS = (74, 271, 647)
SIGMA = 1e-3
PARTS = ("gradient", "curvature")
EMPTY = dict.fromkeys(
    [
        *PARTS,
        "centred",
        "missing",
        *(f"{part}_{j}" for part in PARTS for j in range(1, 6)),
        "value_5",
    ]
)
FIFTHS = ("top", "components", "Jacobian")  # whose fifths become figures
PROBES = ("top", "components", "random", "bottom", "hindsight", "Jacobian", "own")


def measure(
    seed: int, ks: tuple[int, ...] = KS, n: int = 1297, D: int = 10, drawn: int = 16
) -> list[Row]:
    """For each k a row for each probe, over all unseen digits that built none: the judges.

    * gradient, curvature: captured shares of their summed |grad I|^2 and |A|_F^2;
    * centred: captured share of the centred criterion at sigma = 1e-3;
    * missing: what the raw ratio at sigma = 1e-3 lacks of 1;
    * gradient_1 .. gradient_5, curvature_1 .. curvature_5: captured shares within each fifth of
      the judges by loss, easiest first.

    "own" comes from `drawn` of the judges, drawn by |grad I| and weighted back, and only as shares.
    The row "whole" has the shares of each fifth in the sums, and in value_5 the
    hardest fifth's share of the summed a^2.
    """
    grid = sorted({20, 31, 48, *ks})  # the shorter ones only lead the warm start
    loss, fits = trained(seed, tuple(grid), n)
    rows = []
    for k, found in zip(grid, fits, strict=True):
        if k in ks:
            generator = torch.Generator().manual_seed(1000 * seed + k)
            named = _judged(loss, found.w, k, D, drawn, generator)
            rows += [{"k": k, "probe": name, **EMPTY, **row} for name, row in named.items()]
    return rows


def summary(rows: list[Row]) -> dict[str, Measured]:
    """Captured shares by probe and k, in the easiest and hardest fifth, and paired differences."""
    found: dict[str, Measured] = {}
    for k in sorted({row["k"] for row in rows}):
        by = {
            name: sorted(
                (r for r in rows if (r["k"], r["probe"]) == (k, name)), key=lambda r: r["seed"]
            )
            for name in (*PROBES, "whole")
        }
        for part in PARTS:
            found |= _of_part(by, part, k)
        for name in ("top", "components", "random", "bottom"):
            found[f"missing_{name}_{k}"] = mean_interval(row["missing"] for row in by[name])
        found[f"hardest_fifth_value_{k}"] = mean_interval(row["value_5"] for row in by["whole"])
        seeds = zip(*(by[name] for name in PROBES if name != "own"), strict=True)
        gaps = [max(abs(row["centred"] - row["gradient"]) for row in group) for group in seeds]
        found[f"centred_minus_gradient_{k}"] = mean_interval(gaps)
    return found


def _of_part(by: dict[str, list[Row]], part: str, k: int) -> dict[str, Measured]:
    each = {name: [row[part] for row in by[name]] for name in PROBES}
    found = {f"{name}_{part}_{k}": mean_interval(values) for name, values in each.items()}
    for other in ("components", "hindsight"):
        gap = paired_difference(each["top"], each[other])
        found[f"top_minus_{other}_{part}_{k}"] = gap
    ratios = [first / best for first, best in zip(each["top"], each["hindsight"], strict=True)]
    found[f"top_over_hindsight_{part}_{k}"] = mean_interval(ratios)
    found[f"hardest_fifth_{part}_{k}"] = mean_interval(row[f"{part}_5"] for row in by["whole"])
    for end, j in (("easiest", 1), ("hardest", 5)):
        shares = {name: [row[f"{part}_{j}"] for row in by[name]] for name in FIFTHS}
        for name, values in shares.items():
            found[f"{name}_{part}_{end}_{k}"] = mean_interval(values)
        gap = paired_difference(shares["Jacobian"], shares["top"])
        found[f"Jacobian_minus_top_{part}_{end}_{k}"] = gap
    return found


def by_fifth(rows: list[Row], part: str, k: int) -> dict[str, list[Measured]]:
    """Captured shares of "gradient" or "curvature" within each fifth of the digits, easiest first.

    The entry "whole" has the fifths' shares of all there is to capture.
    """
    return {
        name: [
            mean_interval(r[f"{part}_{j}"] for r in rows if (r["k"], r["probe"]) == (k, name))
            for j in range(1, 6)
        ]
        for name in (*FIFTHS, "whole")
    }


def _judged(
    loss: EmpiricalLoss, w: Tensor, k: int, D: int, drawn: int, generator: torch.Generator
) -> dict[str, Row]:
    """The rows of one k; the digits come in random order, so halves by turns are random halves."""
    n = loss.num_samples
    builders, judges = torch.arange(k, n, 2), torch.arange(k + 1, n, 2)
    loss_at = loss.per_sample(w)
    a = increment(loss_at[judges], loss_at[:k].mean(), k)
    fifth = torch.empty_like(judges)
    fifth[loss_at[judges].argsort()] = 1 + torch.arange(len(judges)) * 5 // len(judges)
    digits = single_digits(loss, w, k, judges)
    bases = {
        "top": top_eigenpairs(loss, w, k, D).vectors,
        "components": gradient_subspace(loss, w, k, builders, D),
        "random": random_subspace(len(w), D, generator),
        "bottom": bottom_eigenpairs(loss, w, k, D, tol=1e-2).vectors,
        "hindsight": gradient_subspace(loss, w, k, judges, D),
    }
    seen = {name: _seen(loss, w, U, k, judges) for name, U in bases.items()}
    seen["Jacobian"] = digits.within_jacobian
    whole = digits.whole
    rows = {name: _row(part, whole, a, fifth) for name, part in seen.items()}
    rows["own"] = _own(loss, w, k, D, judges, whole, drawn, generator)
    rows["whole"] = {
        f"{part}_{j}": rounded(getattr(whole, part)[fifth == j].sum() / getattr(whole, part).sum())
        for part in PARTS
        for j in range(1, 6)
    } | {"value_5": rounded(a.square()[fifth == 5].sum() / a.square().sum())}
    return rows


def _seen(loss: EmpiricalLoss, w: Tensor, U: Tensor, k: int, judges: Tensor) -> Seen:
    models = next_sample_models(loss, w, U, k, candidates=judges)
    return Seen(
        models.c.square().sum(1), models.B.square().sum((1, 2)), models.B.diagonal(0, 1, 2).sum(1)
    )


def _row(part: Seen, whole: Seen, a: Tensor, fifth: Tensor) -> Row:
    row = {
        "gradient": part.gradient.sum() / whole.gradient.sum(),
        "curvature": part.curvature.sum() / whole.curvature.sum(),
        "centred": part.centred(SIGMA).sum() / whole.centred(SIGMA).sum(),
        "missing": 1 - part.raw(a, SIGMA).sum() / whole.raw(a, SIGMA).sum(),
    }
    for name in PARTS:
        seen, all_of_it = getattr(part, name), getattr(whole, name)
        for j in range(1, 6):
            row[f"{name}_{j}"] = seen[fifth == j].sum() / all_of_it[fifth == j].sum()
    return {name: rounded(value) for name, value in row.items()}


def _own(
    loss: EmpiricalLoss, w: Tensor, k: int, D: int, judges: Tensor, whole: Seen, drawn: int,
    generator: torch.Generator,
) -> Row:  # fmt: skip
    """Shares in the increment's own top D by magnitude; no D directions catch more curvature."""
    design = designed_sample(whole.gradient.sqrt(), drawn, generator)
    parts, bare = [], loss.without_l2()
    for i in judges[design.indices].tolist():
        pairs = increment_eigenpairs(loss, w, k, D, tol=1e-2, candidate=i)
        alone, mean = bare.gradient(w, range(i, i + 1)), bare.gradient(w, k)
        c = increment(alone, mean, k)
        parts.append([(pairs.vectors.T @ c).square().sum(), pairs.values.square().sum()])
    own = torch.tensor(parts, dtype=torch.float64)
    both = torch.stack([whole.gradient, whole.curvature], 1)[design.indices]
    shares = (design.weights @ own) / (design.weights @ both)
    return {"gradient": rounded(shares[0]), "curvature": rounded(shares[1])}


STUDY = Study(
    question="Which fixed probe sees most of what the next digit does, over all unseen digits?",
    measure=measure,
    summary=summary,
    seeds=10,
    minutes=3.0,
)
