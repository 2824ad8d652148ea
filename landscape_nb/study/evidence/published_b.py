"""KG26's Figs. 2 and 3 along ten trainings, by the definition's B and by the published code's.

The definition (KG26 Lemma 1, arXiv v1) and the published code differ in one term. With U of D
columns, H_i the Hessian of sequence i, and k sequences consumed:

    definition  B = U'(H_{k+1} - H^(k))U / (k + 1)
    published   B = U'(mean of H_i over S_{k+1}  -  mean of H_i over S_k)U

where S_n are at most 4 of the first n sequences, evenly spread, first and last included
(`scripts/run_delta_k_curriculum.py` and `scripts/delta2_subspace_estimators.py` of the authors'
repository, `hess_max_seq`). For k <= 3 both are the same. Beyond, two means of 4 differ in the last
sequence and in one of the middle, each with weight 1/4, where the definition has 1/(k + 1): a sound
way to save memory that lacks a factor. Values and gradients of the published code are those of all
k sequences, as defined.

Each seed is a training of its own (first weights, order of the sequences, which are held out), one
pass over 6208 sequences of the text that comes with the package. Unlike the published code, which
takes the next sequence of its one order, criteria are means over held-out ones.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.samples import projected_derivatives, sample_derivatives
from landscape_nb.numerics.wording import rounded
from landscape_nb.problems.checkpoints import TrainingRun
from landscape_nb.problems.pretraining import pretrained, train_transformer
from landscape_nb.study.evidence.stored import Study
from landscape_nb.study.sweep import Row
from landscape_nb.theory.increment import IncrementModels
from landscape_nb.theory.intervals import (
    Measured,
    geometric_interval,
    mean_interval,
    paired_difference,
    share_interval,
)
from landscape_nb.theory.moments import gaussian_moment
from landscape_nb.theory.probes import top_eigenpairs

KS = (64, 256, 1024, 2048, 4096, 6208)
SIGMAS, DIMS = (1e-4, 1e-3, 1e-2), (1, 4, 16)  # of KG26's Fig. 3
NUM_TRAIN = 6208
SEEN, NEXT, HELD = 32, 8, 256  # sequences for means, next ones with derivatives, with values only
DRAWS, DIRECTIONS, DISTANCE = 16, 50, 0.02  # the last two: of KG26's code for Delta_1


def spread_samples(n: int, at_most: int = 4) -> list[int]:
    """At most so many of 0..n-1, evenly spread, both ends included: the published code's S_n.

    >>> spread_samples(3), spread_samples(64), spread_samples(65)
    ([0, 1, 2], [0, 21, 42, 63], [0, 21, 43, 64])
    """
    if n <= at_most:
        return list(range(n))
    return [round(j * (n - 1) / (at_most - 1)) for j in range(at_most)]


def published_hessians(B_next: Tensor, B_seen: Tensor, positions: Sequence[int], k: int) -> Tensor:
    """B by the published rule, one for each candidate in the place of sequence k + 1.

    B = (1/m') sum over S_{k+1} of B_i  -  (1/m) sum over S_k of B_i,  B_i = U'H_i U

    Args:
        B_next: (h, D, D), of the candidates.
        B_seen: (s, D, D), of sequences among the first k.
        positions: which those are, from 0; S_k and S_{k+1} without its last are among them.
        k: sequences consumed.

    Returns:
        (h, D, D); at k <= 3 the definition's B, beyond it of the order of (k + 1)/4 times as large.
    """
    of = {i: B for i, B in zip(positions, B_seen, strict=True)}
    before, after = spread_samples(k), spread_samples(k + 1)
    mean = torch.stack([of[i] for i in before]).mean(0)
    known = sum((of[i] for i in after[:-1]), torch.zeros_like(mean))
    return (known + B_next) / len(after) - mean


def train(seed: int, ks: Iterable[int] = KS) -> TrainingRun:
    """One pass over the package's text in an order of its own, with checkpoints at the ks."""
    text, marks = pretrained()[0], list(ks)
    order = torch.randperm(len(text.sequences), generator=torch.Generator().manual_seed(seed))
    return train_transformer(
        text.config, text.sequences[order], text.vocabulary, num_train=max(marks),
        checkpoints_at=marks, passes=1, seed=seed, progress=False,
    )  # fmt: skip


def measure(seed: int, ks: Iterable[int] = KS) -> list[Row]:
    """A row for each k and sigma: criteria as means over held-out next sequences."""
    run = train(seed, ks)
    return [row for j, k in enumerate(run.consumed) for row in _at_checkpoint(run, j, k, seed)]


def _at_checkpoint(run: TrainingRun, j: int, k: int, seed: int) -> list[Row]:
    place = Place(run, j, k)
    U = top_eigenpairs(place.loss, place.w, place.four, max(DIMS), tol=1e-2).vectors
    generator = torch.Generator().manual_seed(seed)
    models, pointwise = place.models(U), place.pointwise(generator)
    isotropic = torch.randn(DRAWS, len(place.w), generator=generator)
    steps = torch.randn(DRAWS, max(DIMS), generator=generator) @ U.T
    rows = []
    for sigma in SIGMAS:
        full, direct = (
            place.increments(sigma * xi).double().square().mean(0) for xi in (isotropic, steps)
        )
        row: dict[str, Any] = {"k": k, "sigma": sigma, **pointwise}
        row |= {**_pair("full", full), "direct_16": direct.mean()}
        for rule, D, model in models:
            row |= _pair(f"{rule}_{D}", gaussian_moment(model, sigma).total)
        rows.append({name: x if name == "k" else rounded(x) for name, x in row.items()})
    return rows


def _pair(name: str, each: Tensor) -> dict[str, Tensor]:
    """Mean over all next sequences, and the first of them alone, as in the published code."""
    return {name: each.mean(), f"{name}_one": each[0]}


class Place:
    """A checkpoint: its weights, and the few sequences that stand for all."""

    def __init__(self, run: TrainingRun, j: int, k: int):
        needed = sorted({*spread_samples(k), *spread_samples(k + 1)[:-1]})
        seen = [int(i) for i in np.linspace(0, k - 1, SEEN).round()]
        held = range(NUM_TRAIN, NUM_TRAIN + HELD)
        self.loss = run.loss([*needed, *seen, *held], checkpoint=j)
        self.w, self.k, self.needed = self.loss.w0, k, needed
        start = len(needed) + SEEN
        self.of_needed, self.seen = range(len(needed)), range(len(needed), start)
        self.next, self.held = range(start, start + NEXT), range(start, start + HELD)
        self.four = torch.tensor([needed.index(i) for i in spread_samples(k)])

    def increments(self, steps: Tensor) -> Tensor:
        """I_k at w + each step for each next sequence, (steps, NEXT)."""
        rows = [*self.seen, *self.next]
        losses = torch.stack([_losses(self.loss, self.w + step, rows) for step in steps])
        mean = losses[:, :SEEN].mean(1, keepdim=True)
        return (losses[:, SEEN:] - mean) / (self.k + 1)

    def pointwise(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Delta_1 and the value at w over all held-out sequences; and Delta_1 as published."""
        far = _losses(self.loss, self.w, self.held) - _losses(self.loss, self.w, self.seen).mean()
        at_w = (far / (self.k + 1)).double()
        xi = torch.randn(DIRECTIONS, len(self.w), generator=generator)
        near = self.increments(DISTANCE * xi / xi.norm(dim=1, keepdim=True)).abs().mean()
        return {
            "delta1": at_w.abs().mean(), "value": at_w.square().mean(),
            "delta1_next": at_w[:NEXT].abs().mean(), "delta1_published": near,
            "value_next": at_w[:NEXT].square().mean(),
        }  # fmt: skip

    def models(self, U: Tensor) -> list[tuple[str, int, IncrementModels]]:
        """The quadratic models by both rules, for each D: (rule, D, models of the next ones)."""
        l, c, B = sample_derivatives(self.loss, self.w, U, self.next)
        c_mean, B_mean = projected_derivatives(self.loss, self.w, U, self.seen)
        _, _, B_seen = sample_derivatives(self.loss, self.w, U, self.of_needed)
        share = self.k + 1
        a = (l - _losses(self.loss, self.w, self.seen).mean()) / share
        both = {
            "definition": (B - B_mean) / share,
            "published": published_hessians(B, B_seen, self.needed, self.k),
        }
        ks = torch.full((NEXT,), self.k)
        return [
            (rule, D, IncrementModels(ks, a, (c - c_mean)[:, :D] / share, B_k[:, :D, :D]))
            for rule, B_k in both.items()
            for D in DIMS
        ]


def _losses(loss: EmpiricalLoss, w: Tensor, samples: Iterable[int]) -> Tensor:
    return loss.per_sample(w, torch.tensor(list(samples))).double()


# -- what the rows show ---------------------------------------------------------------------------


def ratios(rows: list[Row], rule: str, sigma: float, k: int | None = None) -> np.ndarray:
    """Subspace over full-space criterion by one rule, (seeds, ks); at one k, (seeds,).

    `rule` is the name of a column: "published_16", "definition_1", "direct_16", or one of them
    with "_one" for a single next sequence.
    """
    one = "_one" if rule.endswith("_one") else ""
    found = grid(rows, rule, sigma) / grid(rows, f"full{one}", sigma)
    return found if k is None else found[:, KS.index(k)]


def slope_of(rows: list[Row], column: str, sigma: float = 1e-3) -> list[float]:
    """Slope of log criterion on log(k + 1) for each seed.

    "full" and the subspace criteria take their value part from all held-out sequences.
    """
    heights = grid(rows, column, sigma)
    if column not in ("delta1", "value"):
        heights = heights + grid(rows, "value", sigma) - grid(rows, "value_next", sigma)
    x = np.log(np.asarray(KS) + 1.0)
    return [float(np.polyfit(x, np.log(y), 1)[0]) for y in heights]


def grid(rows: list[Row], column: str, sigma: float) -> np.ndarray:
    """A column at one sigma, (seeds, ks)."""
    seeds = sorted({row["seed"] for row in rows})
    cells = {(r["seed"], r["k"]): r[column] for r in rows if math.isclose(r["sigma"], sigma)}
    return np.array([[cells[seed, k] for k in KS] for seed in seeds])


def summary(rows: list[Row]) -> dict[str, Measured]:
    """Ratios at the last k, their trend, and the slopes of Fig. 2."""
    found, last = {}, KS[-1]
    for sigma, s in zip(SIGMAS, ("s4", "s3", "s2"), strict=True):
        for rule in [f"{name}_{D}" for name in ("published", "definition") for D in DIMS]:
            found[f"{rule}_{s}"] = geometric_interval(ratios(rows, rule, sigma, last))
        found[f"direct_16_{s}"] = geometric_interval(ratios(rows, "direct_16", sigma, last))
    one, four, sixteen = (ratios(rows, f"published_{D}", 1e-2)[:, 1:] for D in DIMS)
    rising = (one < four) & (four < sixteen)  # at each k from 256 on
    found["larger_for_larger_D"] = share_interval(int(rising.all(1).sum()), len(rising))
    excess = ratios(rows, "published_16", 1e-2)
    x = np.log(np.asarray(KS) + 1.0)
    found["growth_published"] = mean_interval(np.polyfit(x, np.log(e), 1)[0] for e in excess)
    found["four_over_one"] = geometric_interval(four[:, -1] / one[:, -1])
    found["sixteen_over_four"] = geometric_interval(sixteen[:, -1] / four[:, -1])
    slopes = {name: slope_of(rows, name) for name in ("delta1", "full", "definition_4")}
    found |= {f"slope_{name}": mean_interval(values) for name, values in slopes.items()}
    found["slope_full_s2"] = mean_interval(slope_of(rows, "full", 1e-2))
    found["steeper"] = paired_difference(slopes["full"], slopes["delta1"])
    points = grid(rows, "delta1_published", 1e-3) / grid(rows, "delta1_next", 1e-3)
    found["fifty_directions"] = mean_interval(abs(points - 1).max(1))
    return found


STUDY = Study(
    question="What ratio of subspace to full-space criterion do the definition's B and the "
    "published code's give along a transformer's training, and how do the criteria fall?",
    measure=measure,
    summary=summary,
    minutes=8.0,
)
