"""The largest eigenvalue against the width, after the same steps and at the same loss.

S17's abstract: with the data fixed more parameters merely scale the bulk; the outliers should stay.
Networks of different width are not equally well trained after the same steps, so they are compared
at the same training loss as well, where it first falls below 0.5.
"""

from landscape_nb.numerics.wording import rounded
from landscape_nb.study.evidence.basin import SAMPLES, samples, trained
from landscape_nb.study.evidence.bulk import network
from landscape_nb.study.evidence.stored import Study
from landscape_nb.study.sweep import Row
from landscape_nb.theory.intervals import (
    Measured,
    geometric_interval,
    sign_test,
    without_interval,
)
from landscape_nb.theory.probes import top_eigenpairs

WIDTHS, LEVEL = (4, 8, 16, 32), 0.5


def measure(seed: int, kind: str, width: int) -> Row:
    """Largest eigenvalues after a hundred steps, and where the loss first falls below 0.5."""
    x, y = samples(kind, seed)
    loss = network(x, y, width, seed, int(y.max()) + 1)
    path = trained(loss)
    below = (path.values < LEVEL).nonzero()
    points = {"steps": path.w, "matched": path.ws[int(below[0])] if len(below) else None}
    row = {
        name: None
        if w is None
        else rounded(top_eigenpairs(loss, w, SAMPLES, 2, tol=1e-3).values[0])
        for name, w in points.items()
    }
    return {**row, "needed": int(below[0]) if len(below) else None}


def summary(rows: list[Row]) -> dict[str, Measured]:
    """Factors from width 4 to 32, and whether the same loss brings them nearer to 1."""
    found = {}
    for kind in ("digits", "blobs"):
        runs = {(r["seed"], r["width"]): r for r in rows if r["kind"] == kind}
        seeds = sorted({seed for seed, _ in runs})
        spread = {}
        for at in ("steps", "matched"):
            values = [[runs[s, width][at] for width in WIDTHS] for s in seeds]
            values = [row for row in values if None not in row]
            found[f"{kind}_{at}"] = geometric_interval([row[-1] / row[0] for row in values])
            spread[at] = [max(row) / min(row) for row in values]
            found[f"{kind}_{at}_spread"] = geometric_interval(spread[at])
        if len(spread["steps"]) == len(spread["matched"]):
            gains = [a - b for a, b in zip(*spread.values(), strict=True)]
            p = sign_test(gains)
            found[f"{kind}_matching_p"] = without_interval(p, len(gains))
            ratio = [b / a for a, b in zip(*spread.values(), strict=True)]
            found[f"{kind}_matching"] = geometric_interval(ratio)
    return found


STUDY = Study(
    "Is the largest eigenvalue independent of the width, once the loss is matched?",
    measure,
    summary,
    seeds=10,
    grid={"kind": ["digits", "blobs"], "width": list(WIDTHS)},
    minutes=0.7,
)
