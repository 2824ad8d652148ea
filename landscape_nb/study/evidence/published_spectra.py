"""The spectra that C26's author published, analysed again with controls.

The raw lists are their author's (`study.published`). The table beside this file holds numbers
derived from them, and this makes it anew from a reader's own copy:

    C26_REPOSITORY=PATH python -m landscape_nb evidence published_spectra

    spectra = published_spectra("PATH")          # the raw lists
    rows = derived(spectra)                      # what the table holds

The unit is a spectrum, not a seed: nobody here drew them. Layers of one network share its training
and are not independent, so every interval resamples whole networks.
"""

import os
from collections.abc import Callable, Sequence
from functools import cache, partial

import numpy as np
import torch

from landscape_nb.numerics.wording import rounded
from landscape_nb.study.evidence.stored import Study
from landscape_nb.study.published import (
    ADDRESS,
    VARIABLE,
    PublishedSpectrum,
    published_spectra,
)
from landscape_nb.study.sweep import Row
from landscape_nb.theory import exponents as laws
from landscape_nb.theory.intervals import (
    Measured,
    geometric_interval,
    mean_interval,
    without_interval,
)

TABLE_1 = ("alpha_triangle/resnet18_triangle", "alpha_triangle/vgg11_triangle")
DRAWS = 100  # sorted random lists for each spectrum; chosen here


def derived(spectra: Sequence[PublishedSpectrum]) -> list[Row]:
    """What the stored table holds, a row for each spectrum, numbers rounded to four digits.

    Errors of the triangle are |s - alpha gamma| / |s|:
      same           sigma and h of this layer
      ceiling        the largest that the straightness of both fits allows, whatever the lists are
      other_training this sigma with the h of the layer of the same name and size in a network that
                     was trained elsewhere (NaN where there is none), their median
      other_layer    this sigma with the h of other layers of its network, their median
      other_network  this sigma with the h of layers of other networks, their median
      ranked, other_ranked  as same and other_network, with s from the curvatures sorted by size,
                     which is C26's s
      random         sorted sizes of Gaussian numbers, and squares of others: median of 100 draws
    `other_within` is the share of other networks' h that stay within 10 %; chi_slope and kron_slope
    are those of h/h^Kron and of h^Kron on sigma (NaN where no h^Kron was published).
    """
    return [{"spectrum": i, **_row(spectra, i)} for i in range(len(spectra))]


def best_in_rank(values: np.ndarray) -> str:
    """C26's choice among shapes of a falling list, by BIC: r log(RSS/r) + p log r.

    "power law", linear in log k; "exponential", linear in k; "log-normal", quadratic in log k, with
    one number more to fit (p = 3, the others 2).                               C26 App. "Gradient
    rank profile and gamma", both revisions. `theory.exponents.spectrum_bic` compares others: there
    all three have two numbers to fit.

    >>> best_in_rank(np.arange(1.0, 21) ** -1.5 * (1 + 0.01 * (-1) ** np.arange(20)))
    'power law'
    """
    y, k, r = np.log(values), np.arange(1, len(values) + 1), len(values)
    shapes = {"power law": (np.log(k), 1), "exponential": (k, 1), "log-normal": (np.log(k), 2)}
    scores = {}
    for name, (x, degree) in shapes.items():
        rest = y - np.polyval(np.polyfit(x, y, degree), x)
        scores[name] = r * np.log(max(rest @ rest, 1e-300) / r) + (degree + 1) * np.log(r)
    return min(scores, key=scores.__getitem__)


def measure(spectrum: int) -> Row:
    """The row of one spectrum, from the copy that the variable C26_REPOSITORY names."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        raise ValueError(
            f"Set {VARIABLE} to the folder of a copy of {ADDRESS}: the spectra are its author's "
            "and are not shipped here."
        )
    return _row(_cached(folder), spectrum)


def summary(rows: list[Row]) -> dict[str, Measured]:
    """Medians and shares over spectra, intervals by resampling networks; see `clustered`."""
    median = {
        name: clustered(rows, partial(_median, name))
        for name in (*_ERRORS, "participation", "alpha_r2", "gamma_r2")
    }
    binding = [row for row in rows if np.isfinite(row["bound"])]
    triangle = [row for row in rows if row["network"].startswith("alpha_triangle")]
    shares = {
        "beyond_bound": (binding, lambda row: row["participation"] > row["bound"]),
        "participation_in_range": (rows, lambda row: row["participation"] <= 1.8),
        "same_within_ten": (rows, lambda row: row["same"] <= 0.1),
        "other_within_ten": (rows, lambda row: row["other_within"]),
        "log_normal_sigma": (triangle, lambda row: row["best_sigma"] == "log-normal"),
        "power_law_h": (rows, lambda row: row["best_h"] == "power law"),
    }
    share = {name: clustered(some, partial(_share, hit)) for name, (some, hit) in shares.items()}
    return {**median, **share, **_exponents(rows), **_ratios(rows), **_factors(rows)}


def clustered(
    rows: Sequence[Row], statistic: Callable[[Sequence[Row]], float], draws: int = 2000
) -> Measured:
    """A statistic over spectra, its 95 % interval from resampling networks with all their layers.

    The percentile bootstrap over clusters, 2000 draws from a fixed seed (chosen here). With a dozen
    networks it is a little too narrow, and with fewer than five no more than a hint. `count` is
    that of the spectra.
    """
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["network"], []).append(row)
    names, draw = list(groups), np.random.default_rng(0)
    values = []
    for _ in range(draws):
        chosen = draw.integers(len(names), size=len(names))
        values.append(statistic([row for i in chosen for row in groups[names[i]]]))
    value, (low, high) = float(statistic(rows)), np.percentile(values, [2.5, 97.5])
    return Measured(value, min(float(low), value), max(float(high), value), len(rows))


# -- figures --------------------------------------------------------------------------------------

_CONTROLS = ("other_training", "other_layer", "other_network", "random")
_ERRORS = ("same", "ranked", "other_ranked", "ceiling", *_CONTROLS)


def _largest(values: Sequence[float]) -> Measured:
    """The worst case of an exact relation; it has no interval."""
    return without_interval(max(values), len(values))


def _median(name: str, rows: Sequence[Row]) -> float:
    """Over those spectra that have the number."""
    return float(np.nanmedian([row[name] for row in rows]))


def _share(hit: Callable[[Row], float], rows: Sequence[Row]) -> float:
    return float(np.mean([hit(row) for row in rows]))


def _exponents(rows: list[Row]) -> dict[str, Measured]:
    """Median alpha of each kind of layer, and how far ours are from the published ones."""
    off = [abs(row["alpha"] - row["published_alpha"]) for row in rows]
    found = {"alpha_off": _largest(off)}
    cifar = [row for row in rows if np.isfinite(row["published_error"])]
    whole = [row for row in cifar if not row["left_out"]]  # h <= 0 is treated in another way there
    miss = [abs(row["ranked"] - row["published_error"]) for row in whole]
    found["error_off"] = _largest(miss)
    good = [row for row in cifar if row["published_error"] <= 0.1]  # C26's "well-conditioned"
    found["ranked_cifar"] = clustered(good, partial(_median, "ranked"))
    for kind in ("conv", "attention", "MLP up", "MLP down"):
        own = [row for row in rows if row["kind"] == kind]
        name = f"alpha_{kind.replace(' ', '_').lower()}"
        found[name] = clustered(own, partial(_median, "alpha"))
    cifar = [row for row in rows if row["network"] in TABLE_1 and row["kind"] == "conv"]
    for name, network in zip(("alpha_resnet18", "alpha_vgg11"), TABLE_1, strict=True):
        found[name] = mean_interval(row["alpha"] for row in cifar if row["network"] == network)
    return found


def _ratios(rows: list[Row]) -> dict[str, Measured]:
    """How many times larger the error of lists that do not belong together is.

    One number for each network, its layers' geometric mean; Student's t over networks.
    """
    found = {}
    for name in (*_CONTROLS, "other_ranked"):
        own = "ranked" if name == "other_ranked" else "same"
        groups: dict[str, list[float]] = {}
        for row in rows:
            if np.isfinite(row[name]):
                groups.setdefault(row["network"], []).append(np.log(row[name] / row[own]))
        found[f"{name}_over_{own}"] = geometric_interval(
            float(np.exp(np.mean(logs))) for logs in groups.values()
        )
    return found


def _factors(rows: list[Row]) -> dict[str, Measured]:
    """Alpha = slope(h^Kron) + slope(chi), in the convolutions that have all three.

    Student's t over the layers of two networks: too narrow if layers of one network are alike.
    """
    own = [row for row in rows if row["kind"] == "conv" and np.isfinite(row["chi_slope"])]
    if len(own) < 2:
        return {}
    with_minus = (row["alpha"] - row["kron_slope"] + row["chi_slope"] for row in own)
    return {
        "kron_slope": mean_interval(row["kron_slope"] for row in own),
        "chi_slope": mean_interval(row["chi_slope"] for row in own),
        "plus_leaves": _largest([abs(row["left_over"]) for row in own]),
        "minus_leaves": mean_interval(with_minus),
    }


# -- one spectrum ---------------------------------------------------------------------------------


def _row(spectra: Sequence[PublishedSpectrum], i: int) -> Row:
    own, others = spectra[i], [other for j, other in enumerate(spectra) if j != i]
    e = laws.exponents(torch.tensor(own.sigma), torch.tensor(own.h))
    twins = [other for other in others if (other.layer, other.size) == (own.layer, own.size)]
    twin = [_error(own.sigma, other.h) for other in twins]
    near = [_error(own.sigma, other.h) for other in others if other.network == own.network]
    ranked = [_ranked_error(own.sigma, o.h) for o in others if o.network != own.network]
    far = [_error(own.sigma, other.h) for other in others if other.network != own.network]
    h = torch.tensor(own.h[own.h > 0])
    bound = laws.participation_bound(e.alpha.value * e.gamma.value)
    return {
        "network": own.network,
        "layer": own.layer,
        "kind": own.kind,
        "modes": len(own.h),
        "left_out": e.left_out,
        "alpha": rounded(e.alpha.value),
        "alpha_r2": rounded(e.alpha.r2),
        "published_alpha": rounded(own.alpha),
        "gamma": rounded(e.gamma.value),
        "gamma_r2": rounded(e.gamma.r2),
        "s": rounded(e.s.value),
        "same": rounded(e.gap / abs(e.s.value)),
        "ranked": rounded(_ranked_error(own.sigma, own.h)),
        "other_ranked": rounded(np.median(ranked)),
        "published_error": rounded(own.error),
        "ceiling": rounded(e.bound / abs(e.s.value)),
        "other_training": rounded(np.median(twin)) if twin else float("nan"),
        "other_layer": rounded(np.median(near)) if near else float("nan"),
        "other_network": rounded(np.median(far)),
        "other_within": rounded(np.mean(np.array(far) <= 0.1)),
        "random": rounded(_random_error(len(own.h), i)),
        "participation": rounded(laws.participation_ratio(h)),
        "bound": rounded(bound),
        "best_sigma": best_in_rank(own.sigma[own.sigma > 0]),
        "best_h": best_in_rank(np.sort(h.numpy())[::-1]),
        **_kron_slopes(own),
    }


def _error(sigma: np.ndarray, h: np.ndarray) -> float:
    """Relative error of the triangle of two lists, cut to the shorter."""
    r = min(len(sigma), len(h))
    e = laws.exponents(torch.tensor(sigma[:r]), torch.tensor(h[:r]))
    return e.gap / abs(e.s.value)


def _ranked_error(sigma: np.ndarray, h: np.ndarray) -> float:
    """The triangle's error as C26 has it: alpha and gamma as here, s from the sorted curvatures."""
    r = min(len(sigma), len(h))
    e = laws.exponents(torch.tensor(sigma[:r]), torch.tensor(h[:r]))
    ranked = np.sort(h[:r][h[:r] > 0])[::-1].copy()
    s = -laws.log_slope(torch.arange(1, len(ranked) + 1).double(), torch.tensor(ranked)).value
    return abs(s - e.alpha.value * e.gamma.value) / abs(s)


def _random_error(r: int, seed: int) -> float:
    draw = np.random.default_rng(seed)
    lists = np.sort(np.abs(draw.normal(size=(DRAWS, 2, r))), axis=2)[:, :, ::-1].copy()
    return float(np.median([_error(sigma, root**2) for sigma, root in lists]))


def _kron_slopes(own: PublishedSpectrum) -> dict[str, float]:
    if own.h_kron is None:
        return dict.fromkeys(("kron_slope", "chi_slope", "left_over"), float("nan"))
    good = own.h > 0
    sigma, h, kron = (torch.tensor(v[good]) for v in (own.sigma, own.h, own.h_kron))
    alpha, of_kron, of_chi = (laws.log_slope(sigma, v).value for v in (h, kron, h / kron))
    return {
        "kron_slope": rounded(of_kron),
        "chi_slope": rounded(of_chi),
        "left_over": float(f"{alpha - of_kron - of_chi:.0e}"),  # rounding, if the signs are right
    }


@cache
def _cached(folder: str) -> list[PublishedSpectrum]:
    return published_spectra(folder)


STUDY = Study(
    "What do C26's published spectra say, beside spectra that do not belong together?",
    measure,
    summary,
    seeds=64,
    minutes=0.5,
    unit="spectrum",
)
