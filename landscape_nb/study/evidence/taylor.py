"""KG26's Fig. 4 as it was done, in single and double precision; beside it the increment's model.

As published (arXiv v1, Sec. 6, and `experiments/fig4_quadratic_sigma/run.py` of its code): at a
checkpoint w, with delta isotropic in the full space, E = L_k(w + delta) - L_k(w) is compared with
its Taylor polynomial T = g'delta + delta'H delta / 2, in single precision, 8 draws for each sigma:

    relative  mean of |E - T| / (|E| + 1e-12)        absolute  mean of |E - T|

E may be close to zero, where one draw makes the relative mean large; so besides

    pooled    sum of |E - T| / sum of |E|

Ours: the increment's own quadratic model on 4 top directions, as the relative error of E I^2 (raw)
and of E (I - a)^2 (centred) on shared points.

A seed draws other directions and takes eight other training sequences; each is put to the three
trained copies that come with the package.
"""

import math

import numpy as np
import torch
from torch import Tensor

from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.wording import rounded
from landscape_nb.problems.checkpoints import TrainingRun
from landscape_nb.problems.pretraining import pretrained
from landscape_nb.study.evidence.stored import Study
from landscape_nb.study.sweep import Row
from landscape_nb.theory.increment import increment, next_sample_models
from landscape_nb.theory.intervals import Measured, geometric_interval, mean_interval
from landscape_nb.theory.probes import top_eigenpairs

SIGMAS = tuple(float(f"{s:.4g}") for s in np.logspace(-7, -1, 13))  # range of KG26's Fig. 4
K, NEXT, DRAWS, D = 8, 4, 8, 4  # K, DRAWS: KG26's Sec. 6 and code; NEXT, D: chosen here
TINY = 1e-12  # KG26's code
SMALLEST = 1e-18  # far below all rounding, for errors that are zero: chosen here


def measure(seed: int, copy: int) -> list[Row]:
    """A row for each sigma, at the end of training of one copy."""
    run = pretrained()[copy]
    generator = torch.Generator().manual_seed(seed)
    xi = torch.randn(DRAWS, run.config.num_params, generator=generator, dtype=torch.float64)
    single, double = (_loss(run, seed, dtype) for dtype in (torch.float32, torch.float64))
    in_single, in_double = taylor_errors(single, xi, SIGMAS), taylor_errors(double, xi, SIGMAS)
    ours = model_errors(single, double, generator)
    return [
        {"sigma": sigma}
        | {f"{name}_32": rounded(x) for name, x in in_single[sigma].items()}
        | {f"{name}_64": rounded(x) for name, x in in_double[sigma].items()}
        | {name: rounded(x) for name, x in ours[sigma].items()}
        for sigma in SIGMAS
    ]


def _loss(run: TrainingRun, seed: int, dtype: torch.dtype) -> EmpiricalLoss:
    """K training sequences, others for each seed, then held-out ones."""
    seen = range(K * seed, K * (seed + 1))
    held = range(run.num_train + NEXT * seed, run.num_train + NEXT * (seed + 1))
    return run.loss([*seen, *held], dtype=dtype)


def taylor_errors(
    loss: EmpiricalLoss, xi: Tensor, sigmas: tuple[float, ...], k: int = K
) -> dict[float, dict[str, float]]:
    """Errors of the second-order Taylor polynomial of L_k at w0, for steps sigma xi.

    All is computed in the loss's own precision, as published.

    Args:
        loss: the empirical loss.
        xi: (draws, N), standard Gaussian.
        sigmas: sizes of the steps.
        k: samples in L_k.

    Returns:
        sigma -> relative, absolute and pooled error, as the module says.
    """
    w, directions = loss.w0, xi.to(loss.w0)
    linear = directions @ loss.gradient(w, k)
    quadratic = (directions.T * loss.hvp(w, directions.T.contiguous(), k)).sum(0)
    start, found = float(loss.value(w, k)), {}
    for sigma in sigmas:
        ends = [float(loss.value(w + sigma * direction, k)) for direction in directions]
        E = np.array(ends) - start
        T = sigma * linear.double().numpy() + sigma**2 / 2 * quadratic.double().numpy()
        error, size = abs(E - T), abs(E)
        found[sigma] = {
            "relative": (error / (size + TINY)).mean(),
            "absolute": error.mean(),
            "pooled": error.sum() / (size.sum() + TINY),
        }
    return found


def model_errors(
    single: EmpiricalLoss, double: EmpiricalLoss, generator: torch.Generator
) -> dict[float, dict[str, float]]:
    """Errors of the increment's quadratic model on 4 top directions; sigma -> raw, centred."""
    top = top_eigenpairs(single, single.w0, K, D, tol=1e-2).vectors
    U = torch.linalg.qr(top.double()).Q
    model, w = next_sample_models(double, double.w0, U, K), double.w0
    half = torch.randn(DRAWS // 2, D, generator=generator, dtype=torch.float64)
    points, found = torch.cat([half, -half]), {}  # in pairs, so that odd terms cancel
    for sigma in SIGMAS:
        losses = torch.stack([double.per_sample(w + U @ (sigma * z)) for z in points])
        true = increment(losses[:, K:], losses[:, :K].mean(1, keepdim=True), K)
        modelled = model.at(sigma * points)
        raw, centred = (
            float((true - a).square().mean() / (modelled - a).square().mean())
            for a in (torch.zeros(NEXT, dtype=torch.float64), model.a)
        )
        found[sigma] = {"raw": abs(raw - 1), "centred": abs(centred - 1)}
    return found


def curves(rows: list[Row], column: str) -> np.ndarray:
    """A column over sigma for each seed, the geometric mean of the three copies, (seeds, S)."""
    seeds, copies = (sorted({row[name] for row in rows}) for name in ("seed", "copy"))
    cells = {(r["seed"], r["copy"], r["sigma"]): r[column] for r in rows}
    log = [
        [[math.log(max(cells[s, c, x], SMALLEST)) for x in SIGMAS] for c in copies] for s in seeds
    ]
    return np.exp(np.mean(log, axis=1))


def _reach(errors: np.ndarray) -> float:
    """The largest sigma of the grid up to which all errors are below 10 %."""
    return SIGMAS[int((errors >= 0.1).argmax()) - 1]


def summary(rows: list[Row]) -> dict[str, Measured]:
    """Errors at three sigmas, the floor of single precision, and powers of sigma."""
    found = {}
    for power, j in ((4, 6), (3, 8), (2, 10), (1, 12)):
        for column in ("relative_32", "relative_64", "pooled_64", "raw", "centred"):
            found[f"{column}_s{power}"] = geometric_interval(curves(rows, column)[:, j])
    single, double = curves(rows, "absolute_32"), curves(rows, "absolute_64")
    found["floor"] = geometric_interval(single[:, 0])  # at 1e-7
    found["flat"] = geometric_interval(single[:, 6] / single[:, 0])  # 1e-4 over 1e-7
    found["rounding"] = geometric_interval(single[:, 6] / double[:, 6])  # at 1e-4
    x = np.log(SIGMAS[6:11])  # 1e-4 to 1e-2
    found["power_absolute"] = mean_interval(np.polyfit(x, np.log(y[6:11]), 1)[0] for y in double)
    for name in ("pooled_64", "centred"):
        found[f"reach_{name}"] = geometric_interval(_reach(y) for y in curves(rows, name))
    return found


STUDY = Study(
    question="How far does the second-order Taylor polynomial of L_k reach, isotropically as KG26 "
    "tests it, and how far the increment's quadratic model on top directions?",
    measure=measure,
    summary=summary,
    grid={"copy": (0, 1, 2)},
    minutes=3.0,
)
