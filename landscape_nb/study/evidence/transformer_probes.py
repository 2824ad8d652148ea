"""Which probe of a transformer catches the increment, averaged over held-out sequences.

Fixed probes are chosen before the next sequence is seen: 16 top directions of H^(k), 16 principal
components of other held-out sequences' gradients (`gradient_subspace`: the fair control; KG26,
arXiv v1, Sec. 8, suggests subspaces spanned by gradients), 16 random ones, and the 4 directions of
most negative curvature (the bottom). Oracles are chosen after it: its gradient (one direction), the
4 top directions of its own Hessian, and the increment's own 4 of largest |eigenvalue|.

A seed takes other 8 training sequences and other held-out ones, of one of the three trained copies
that come with the package, in turn.
"""

import torch
from torch import Tensor

from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.wording import rounded
from landscape_nb.problems.pretraining import pretrained
from landscape_nb.study.evidence.stored import Study
from landscape_nb.study.sweep import Row
from landscape_nb.theory.energy import Basis, captured_energy
from landscape_nb.theory.intervals import (
    Measured,
    geometric_interval,
    mean_interval,
    paired_difference,
)
from landscape_nb.theory.probes import (
    bottom_eigenpairs,
    gradient_subspace,
    increment_eigenpairs,
    random_subspace,
    top_eigenpairs,
)

K, D, FEW = 8, 16, 4  # K: KG26's Sec. 6; D: the largest of its Fig. 3; FEW: chosen here
BUILD, JUDGE, CURVED = 128, 64, 2  # held-out sequences: to build, to judge gradient and curvature
AT_ONCE = 8  # sequences whose gradients are held in float64: chosen here
FIXED, ORACLES = ("top", "principal", "bottom", "random"), ("gradient", "next", "own")


def measure(seed: int) -> list[Row]:
    """A row for each probe: shares of the increments' squared gradient and curvature.

    gradient   sum over judged sequences of |U' grad I|^2 over that of |grad I|^2, all directions;
    few        the same of the first 4;
    middle     median over sequences of their shares;
    curvature  sum of |U'AU|_F^2 over that of |A|_F^2, of two sequences;
    stderr     of the whole |A|_F^2, relative.
    """
    loss, build, judge, generator = problem(seed)
    fixed = {
        "top": top_eigenpairs(loss, loss.w0, K, D, tol=1e-2).vectors,
        "principal": gradient_subspace(loss, loss.w0, K, build, D),
        "bottom": bottom_eigenpairs(loss, loss.w0, K, FEW, tol=5e-2).vectors,
        "random": random_subspace(loss.num_params, D, generator, dtype=torch.float32),
    }
    gradients = gradient_shares(loss, K, judge, fixed)
    curvatures = _curvature_shares(loss, list(judge)[:CURVED], fixed, generator)
    return [
        {"probe": name} | {part: rounded(x) for part, x in (gradients.get(name, {}) | of).items()}
        for name, of in curvatures.items()
    ]


def problem(seed: int) -> tuple[EmpiricalLoss, range, range, torch.Generator]:
    """K training sequences, then those that build and those that judge; and a source of draws."""
    loss, generator = drawn(seed, K, BUILD + JUDGE)
    return loss, range(K, K + BUILD), range(K + BUILD, K + BUILD + JUDGE), generator


def drawn(seed: int, k: int, held_out: int) -> tuple[EmpiricalLoss, torch.Generator]:
    """A seed's k training and so many held-out sequences, of a copy in turn; a source of draws."""
    run, generator = pretrained()[seed % 3], torch.Generator().manual_seed(seed)
    held = torch.randperm(len(run.sequences) - run.num_train, generator=generator)[:held_out]
    chosen = [*range(k * seed, k * (seed + 1)), *(held + run.num_train).tolist()]
    return run.loss(chosen), generator


def gradient_shares(
    loss: EmpiricalLoss, k: int, judge: range, fixed: dict[str, Tensor]
) -> dict[str, dict[str, float]]:
    """Shares of the judged increments' squared gradients in each fixed probe, and in their own."""
    mean, rows = loss.gradient(loss.w0, k).double(), list[list[Tensor]]()
    for first in range(0, len(judge), AT_ONCE):
        each = loss.sample_gradients(loss.w0, judge[first : first + AT_ONCE]).double()
        c = each - mean  # (k + 1) grad I; the factor cancels
        along = (each * c).sum(1).square() / each.square().sum(1)
        rows.append(
            [c.square().sum(1), along, *((c @ U.double()).square() for U in fixed.values())]
        )
    (whole, along, *shadows), found = map(torch.cat, zip(*rows, strict=True)), {}
    for name, shadow in zip(fixed, shadows, strict=True):
        found[name] = {
            "gradient": float(shadow.sum() / whole.sum()),
            "few": float(shadow[:, :FEW].sum() / whole.sum()),
            "middle": float((shadow.sum(1) / whole).median()),
        }
    share, middle = float(along.sum() / whole.sum()), float((along / whole).median())
    found["gradient"] = {"gradient": share, "few": share, "middle": middle}
    return found


def _curvature_shares(
    loss: EmpiricalLoss, candidates: list[int], fixed: dict[str, Tensor], generator: torch.Generator
) -> dict[str, dict[str, float]]:
    w = loss.w0

    def pull(i: int) -> Tensor:
        g = loss.gradient(w, range(i, i + 1))
        return (g / g.norm())[:, None]

    def following(i: int) -> Tensor:
        return top_eigenpairs(loss, w, range(i, i + 1), FEW, tol=2e-2).vectors

    def own(i: int) -> Tensor:
        return increment_eigenpairs(loss, w, K, FEW, tol=2e-2, candidate=i).vectors

    bases: dict[str, Basis] = {**fixed, "gradient": pull, "next": following, "own": own}
    energies = captured_energy(loss, w, K, bases, candidates, num_probes=8, generator=generator)
    whole, found = energies["whole"], {}
    assert whole.curvature_stderr is not None  # of a size that is measured by probes
    stderr = float((whole.curvature_stderr / whole.curvature).max())
    for name in bases:
        gradient, curvature = energies[name].share_of(whole)
        alone = {"gradient": gradient, "few": gradient, "middle": gradient}
        found[name] = alone | {"curvature": curvature, "stderr": stderr}
        if name in fixed or name == "gradient":
            del found[name]["gradient"], found[name]["few"], found[name]["middle"]
    return found


def shares(rows: list[Row], probe: str, part: str) -> list[float]:
    """A part that a probe captures, for each seed."""
    return [row[part] for row in rows if row["probe"] == probe]


def summary(rows: list[Row]) -> dict[str, Measured]:
    """Captured shares of every probe, and paired differences of the two fixed ones."""
    found = {}
    for name in (*FIXED, *ORACLES):
        interval = geometric_interval if name == "random" else mean_interval
        for part in ("gradient", "curvature"):
            found[f"{part}_{name}"] = interval(shares(rows, name, part))
        if name in FIXED:
            found[f"few_{name}"] = interval(shares(rows, name, "few"))
    top, bottom = (shares(rows, name, "few") for name in ("top", "bottom"))
    found["top_over_bottom_few"] = paired_difference(top, bottom)
    for part in ("gradient", "few", "curvature"):
        principal, top = (shares(rows, name, part) for name in ("principal", "top"))
        found[f"principal_over_top_{part}"] = paired_difference(principal, top)
    ratio = zip(shares(rows, "top", "gradient"), shares(rows, "principal", "gradient"), strict=True)
    found["top_of_principal"] = mean_interval(one / other for one, other in ratio)
    return found


STUDY = Study(
    question="Which share of the increment's gradient and curvature do fixed probes and oracles "
    "catch on a transformer, averaged over held-out sequences?",
    measure=measure,
    summary=summary,
    seeds=12,
    minutes=3.0,
)
