"""The criterion of a few directions of a transformer over that of its whole space, raw and centred.

Directions: 16 of the top of H^(k), 16 random ones, and the 4 of most negative curvature (the
bottom), all chosen before the next sequence is seen. Stored are the parts of the closed form for
the first D of each (`MomentTable`), so that the ratio at any sigma follows without a new run.

A seed takes other 4 training sequences and other held-out ones, of one of the three trained copies
that come with the package, in turn.
"""

import torch

from landscape_nb.numerics.wording import rounded
from landscape_nb.study.evidence.stored import Study
from landscape_nb.study.evidence.transformer_probes import drawn
from landscape_nb.study.sweep import Row
from landscape_nb.theory.increment import next_sample_models
from landscape_nb.theory.intervals import Measured, geometric_interval, mean_interval
from landscape_nb.theory.moments import Moment, at_sigma
from landscape_nb.theory.probes import bottom_eigenpairs, random_subspace, top_eigenpairs
from landscape_nb.theory.tables import MomentTable, full_space_table, moment_table

K, NEXT = 4, 6  # sequences in the mean, and held-out ones, each in turn the next: chosen here
D, FEW = 16, 4  # D: the largest of KG26's Fig. 3; FEW, of the bottom: chosen here
DIMS = {"top": (1, 2, 4, 8, D), "random": (1, 2, 4, 8, D), "bottom": (1, 2, FEW)}
PARTS = ("value", "cross", "gradient", "curvature")
SIGMA = 1e-3  # of the figures below: the largest with which KG26 goes on after its Fig. 4


def measure(seed: int) -> list[Row]:
    """A row for each probe and D, and one for the whole space, whose D is N.

    The parts of the closed form without their powers of sigma, averaged over the next sequences.
    """
    loss, generator = drawn(seed, K, NEXT)
    w, following = loss.w0, range(K, K + NEXT)
    bases = {
        "top": top_eigenpairs(loss, w, K, D, tol=1e-2).vectors,
        "random": random_subspace(loss.num_params, D, generator, dtype=torch.float32),
        "bottom": bottom_eigenpairs(loss, w, K, FEW, tol=5e-2).vectors,
    }
    whole = full_space_table(
        loss, [w], [K], num_probes=32, candidates=following, generator=generator
    )
    found = [_row("whole", loss.num_params, whole, 0)]
    for name, U in bases.items():
        table = moment_table([next_sample_models(loss, w, U, K, candidates=following)])
        found += [_row(name, d, table, d - 1) for d in DIMS[name]]
    return found


def _row(name: str, dim: int, table: MomentTable, column: int) -> Row:
    value, *nested = (getattr(table, part)[0] for part in PARTS)
    parts = [float(value), *(float(part[column]) for part in nested)]
    return {"probe": name, "D": dim} | dict(zip(PARTS, map(rounded, parts), strict=True))


def moment(rows: list[Row], probe: str, D: int, sigma: float) -> Moment:
    """The closed form of the probe's first D directions, entries (seeds,); D = N for the whole."""
    chosen = [row for row in rows if row["probe"] == probe and row["D"] == D]
    parts = (torch.tensor([row[part] for row in chosen], dtype=torch.float64) for part in PARTS)
    return at_sigma(*parts, sigma=sigma)


def ratios(rows: list[Row], probe: str, D: int, sigma: float, part: str = "total") -> list[float]:
    """The probe's criterion over that of the whole space, for each seed; or a part of it."""
    N = max(row["D"] for row in rows)
    few, whole = moment(rows, probe, D, sigma), moment(rows, "whole", N, sigma)
    return (getattr(few, part) / getattr(whole, part)).tolist()


def summary(rows: list[Row]) -> dict[str, Measured]:
    """Raw and centred ratios of each probe at sigma = 1e-3, with all its directions and with 4."""
    found = {}
    for name, dims in DIMS.items():
        interval = geometric_interval if name == "random" else mean_interval
        found[f"raw_{name}"] = mean_interval(ratios(rows, name, dims[-1], SIGMA))
        found[f"centred_{name}"] = interval(ratios(rows, name, dims[-1], SIGMA, "centred"))
        found[f"few_{name}"] = interval(ratios(rows, name, FEW, SIGMA, "centred"))
    top, random = (ratios(rows, name, D, SIGMA, "centred") for name in ("top", "random"))
    over = [one / other for one, other in zip(top, random, strict=True)]
    found["top_over_random"] = geometric_interval(over)
    return found


STUDY = Study(
    question="Which part of the whole space's criterion do a few directions of a transformer see, "
    "raw and centred?",
    measure=measure,
    summary=summary,
    seeds=12,
    minutes=1.0,
)
