"""The Kronecker factors that C26's author published for one network, and what their slopes are.

`results_kronecker_spectral.json` holds, for 15 layers of a trained ResNet-50 (Tiny-ImageNet), the
leading 30 singular values, h^Kron, Lambda and the two alignments rho. No curvature h of the network
itself is there, so this is about the theorem's own object. As in `published_spectra`:

    C26_REPOSITORY=PATH python -m landscape_nb evidence published_factors

The unit is a layer. All belong to one network, trained once: the intervals are over its layers
and say nothing of another network.
"""

import json
import os
from functools import cache
from pathlib import Path

import torch

from landscape_nb.numerics.wording import rounded
from landscape_nb.study.evidence.stored import Study
from landscape_nb.study.published import ADDRESS, VARIABLE
from landscape_nb.study.sweep import Row
from landscape_nb.theory.exponents import log_slope
from landscape_nb.theory.intervals import (
    Measured,
    mean_interval,
    without_interval,
)

FILE = "results_kronecker_spectral.json"
LISTS = {
    "sigma": "sigma_top30",
    "h_kron": "h_kron_top30",
    "Lambda_d": "lambda_delta_top30",
    "Lambda_a": "lambda_A_top30",
    "rho_d": "rho_delta_top30",
    "rho_a": "rho_A_top30",
}


def published_factors(folder: str | Path) -> list[dict]:
    """For each layer its name, and lists of LISTS, (30,), from a copy of C26's repository.

    Raises:
        ValueError: the file is missing, or not of the shape that it had in May 2026.
    """
    place = Path(folder)
    path = (place / "results" if (place / "results").is_dir() else place) / FILE
    if not path.is_file():
        raise ValueError(f"{str(path)!r} is missing. Give the folder of a copy of {ADDRESS}.")
    try:
        return [
            {"layer": record["name"]} | {name: _list(record[key]) for name, key in LISTS.items()}
            for record in json.loads(path.read_text(encoding="utf-8"))["layers"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{FILE} is not of the shape that it had in May 2026 ({error!r}). Take the revision "
            f"of 22 or of 26 May 2026 of {ADDRESS}."
        ) from None


def slopes(record: dict) -> Row:
    """Slopes on log sigma, and whether h^Kron = Lambda rho_d rho_a and sigma^2 <= h^Kron hold.

    beta = slope(Lambda), phi = slope(rho_d) + slope(rho_a), alpha_kron = slope(h^Kron). C26's beta
    and phi (revision of 26 May 2026). `ratio` is the largest sigma^2/h^Kron: at most the number of
    positions if the factors are normalised as the text says.
    """
    names = ("sigma", "h_kron", "Lambda_d", "Lambda_a", "rho_d", "rho_a")
    sigma, h_kron, Lambda_d, Lambda_a, rho_d, rho_a = (record[name] for name in names)
    Lambda, Phi = Lambda_d * Lambda_a, rho_d * rho_a
    alpha, beta, phi = (log_slope(sigma, v).value for v in (h_kron, Lambda, Phi))
    return {
        "name": record["layer"],
        "alpha_kron": rounded(alpha),
        "beta": rounded(beta),
        "phi": rounded(phi),
        "off": float(f"{float((h_kron / (Lambda * Phi) - 1).abs().max()):.1e}"),
        "ratio": rounded(float((sigma**2 / h_kron).max())),
    }


def measure(layer: int) -> Row:
    """The slopes of one layer, from the copy that the variable C26_REPOSITORY names."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        raise ValueError(f"Set {VARIABLE} to the folder of a copy of {ADDRESS}.")
    return slopes(_cached(folder)[layer])


def summary(rows: list[Row]) -> dict[str, Measured]:
    """Mean slopes over the 14 convolutions, and the worst of all 15 layers of the exact relations.

    Intervals are Student's t over layers of one network.
    """
    convs = [row for row in rows if "fc" not in row["name"]]
    found = {name: mean_interval(r[name] for r in convs) for name in ("alpha_kron", "beta", "phi")}
    worst = max(row["off"] for row in rows)
    head = next(row["ratio"] for row in rows if "fc" in row["name"])
    found["identity_off"] = without_interval(worst, len(rows))
    found["head_ratio"] = without_interval(head, 1)
    return found


def _list(values: list) -> torch.Tensor:
    found = torch.tensor(values, dtype=torch.float64)
    if found.ndim != 1 or len(found) < 3 or not bool((found > 0).all()):
        raise ValueError(f"a list of {tuple(found.shape)}, which must be positive")
    return found


@cache
def _cached(folder: str) -> list[dict]:
    return published_factors(folder)


STUDY = Study(
    "Is the slope of Lambda 2 in the Kronecker factors that C26 published?",
    measure,
    summary,
    seeds=15,
    minutes=0.1,
    unit="layer",
)
