"""N25's criterion in its own clouds: at one kept network, and at networks trained anew.

**Kept** is N25's protocol at the size of the digits: a ReLU network with two hidden layers, Adam,
ten epochs, no L2 (its code, June 2025: 256 units, batches of 64, 156 of them; here 32 units, 56
batches of 32, and a rate of 0.01, which brings the loss near those of its Table 1). The network
stays, and L_k is the mean over the first k batches. **Anew** is that of notebooks 04 and 05: a tanh
network fitted to the first k digits, for each k, and every unseen digit as the next one. Random
directions are isotropic and orthonormal, as the text has them. Its code (directions.py) first gives
each weight tensor of a direction the norm that this tensor has in w*, and then the whole length 1.

    python -m landscape_nb evidence n25 --jobs 1
"""

import functools

import torch
from torch import Tensor, nn

from landscape_nb.numerics.fit import FitResult, fit_path
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.wording import rounded
from landscape_nb.problems.data import digits
from landscape_nb.problems.models import MLP
from landscape_nb.study.evidence.stored import Study
from landscape_nb.study.sweep import Row
from landscape_nb.theory.exponents import log_slope
from landscape_nb.theory.intervals import (
    Measured,
    geometric_interval,
    mean_interval,
    paired_difference,
)
from landscape_nb.theory.moments import next_sample_mean, permutation_mean
from landscape_nb.theory.probes import random_subspace, top_eigenpairs

BATCHES, SIZE, EPOCHS, RATE = 56, 32, 10, 0.01
KEPT_KS, GRID, KS = range(10, 55), range(20, 321, 20), (20, 40, 80, 160, 320)
CLOUDS: dict[str, tuple[int | str, float]] = {
    **{f"random, D = 2, sigma = {sigma:g}": (2, sigma) for sigma in (0.1, 1.0, 5.0, 10.0)},
    **{f"random, D = {D}, sigma = 1": (D, 1.0) for D in (1, 16, 64, 256)},
    "top, D = 10, sigma = 1": ("top", 1.0),
    "top, D = 1, sigma = 1": ("first", 1.0),
}
cross_entropy = nn.CrossEntropyLoss(reduction="none")


def seeded(seed: int) -> torch.Generator:
    """A source of random numbers that gives the same ones each time."""
    return torch.Generator().manual_seed(seed)


@functools.cache
def kept(seed: int) -> tuple[EmpiricalLoss, Tensor]:
    """The loss of 1792 digits, and one w* trained on all of them by N25's recipe."""
    n, generator = BATCHES * SIZE, seeded(1000 + seed)
    model = MLP([64, 32, 32, 10], nn.ReLU, generator=seeded(seed))
    loss = EmpiricalLoss(model, cross_entropy, *digits(n, seed=seed))
    w = nn.Parameter(loss.w0.clone())
    adam = torch.optim.Adam([w], lr=RATE)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(n, generator=generator).split(SIZE):
            w.grad = loss.gradient(w.detach(), chosen)
            adam.step()
    return loss, w.detach()


@functools.cache
def anew(seed: int) -> tuple[EmpiricalLoss, dict[int, FitResult]]:
    """The loss of 450 digits, and w_k* for k = 20, 40, ..., 320."""
    model = MLP([64, 16, 10], generator=seeded(seed))
    loss = EmpiricalLoss(model, cross_entropy, *digits(450, seed=seed), l2=1e-3)
    return loss, dict(zip(GRID, fit_path(loss, GRID, tol=1e-2, progress=False), strict=True))


@functools.cache
def kept_top(seed: int) -> Tensor:
    """The ten top eigenvectors at the kept network, of the Hessian over all digits."""
    loss, w = kept(seed)
    return top_eigenpairs(loss, w, loss.num_samples, 10, tol=1e-3).vectors


@functools.cache
def anew_top(seed: int, k: int) -> Tensor:
    """The ten top eigenvectors of H^(k) at w_k*."""
    loss, fits = anew(seed)
    return top_eigenpairs(loss, fits[k].w, k, 10).vectors


def directions(top: Tensor, D: int | str, seed: int) -> Tensor:
    """Ten top directions, the first of them, or D random ones: the same for each k of a seed."""
    if isinstance(D, str):
        return top[:, :1] if D == "first" else top
    return random_subspace(len(top), D, seeded(100 + seed))


def cloud_losses(
    loss: EmpiricalLoss, w: Tensor, U: Tensor, sigma: float, points: int, seed: int
) -> Tensor:
    """The loss of every sample at the points of a cloud, (samples, points)."""
    z = sigma * torch.randn(points, U.shape[1], generator=seeded(seed), dtype=w.dtype)
    return torch.stack([loss.per_sample(w + U @ point) for point in z], dim=1)


def batch_means(losses: Tensor) -> Tensor:
    """Means of batches as they come, (batches, points)."""
    return losses.view(BATCHES, SIZE, -1).mean(1)


def in_order(means: Tensor) -> Tensor:
    """Squared increments of the cumulative mean, over k = 1 .. batches - 1, (k, points)."""
    counts = torch.arange(1, len(means) + 1, dtype=means.dtype)[:, None]
    return (means.cumsum(0) / counts).diff(dim=0).square()


def shuffled(means: Tensor, generator: torch.Generator) -> Tensor:
    """Each point's batches in an order of its own: N25's loader shuffles for each point."""
    orders = [torch.randperm(len(means), generator=generator) for _ in range(means.shape[1])]
    return torch.gather(means, 0, torch.stack(orders, dim=1))


def measure(seed: int, cloud: str) -> Row:
    """Slopes and heights of one cloud, by both protocols."""
    D, sigma = CLOUDS[cloud]
    loss, w = kept(seed)
    U = directions(kept_top(seed), D, seed)
    means = batch_means(cloud_losses(loss, w, U, sigma, 64, seed))
    ks = list(KEPT_KS)
    # Slopes at a kept network are taken on sqrt(k (k+1)), which makes the identity's exactly -2.
    x = torch.tensor([(k * (k + 1)) ** 0.5 for k in ks], dtype=torch.float64)
    drawn = in_order(shuffled(means, seeded(200 + seed))).mean(1)[ks[0] - 1 : ks[-1]]
    once = in_order(means).mean(1)[ks[0] - 1 : ks[-1]]
    exact = [float(permutation_mean(means, k).mean()) for k in ks]
    row = {
        "kept_slope": log_slope(x, torch.tensor(exact, dtype=x.dtype)).value,
        "kept_drawn": log_slope(x, drawn).value,
        "kept_once": log_slope(x, once).value,
        "kept_height": float(means.var(0).mean()),  # k (k+1) Delta_k, at every k
        "kept_loss": float(loss.value(w, loss.num_samples)),
        **_anew_row(seed, D, sigma),
    }
    return {name: rounded(value) for name, value in row.items()}


def _anew_row(seed: int, D: int | str, sigma: float) -> Row:
    """Delta_k around w_k* at each k, its slope, and what the cloud leaves of the network."""
    loss, fits = anew(seed)
    curve = {}
    for k in KS:
        w, U = fits[k].w, directions(anew_top(seed, k), D, seed)
        losses = cloud_losses(loss, w, U, sigma, 12, seed)
        curve[f"anew_{k}"] = float(next_sample_mean(losses, k).mean())
    slope = log_slope(torch.tensor(KS), torch.tensor([*curve.values()], dtype=torch.float64)).value
    z = sigma * torch.randn(8, U.shape[1], generator=seeded(seed), dtype=w.dtype)
    answers = torch.stack([loss.outputs(w + U @ p, range(320, 450)).argmax(1) for p in z])
    right = (answers == digits(450, seed=seed).labels[320:]).double().mean()
    return {**curve, "anew_slope": slope, "anew_right": float(right)}


def column(rows: list[Row], cloud: str, name: str) -> list[float]:
    """One column of one cloud, a value for each seed."""
    return [row[name] for row in rows if row["cloud"] == cloud]


def short_name(cloud: str) -> str:
    """The cloud's name in figures: "random, D = 2, sigma = 0.1" is "random_D2_s0p1"."""
    probe, D, sigma = (part.split(" = ")[-1] for part in cloud.split(", "))
    return f"{probe}_D{D}_s{sigma.replace('.', 'p')}"


def summary(rows: list[Row]) -> dict[str, Measured]:
    """Slopes of every cloud by both protocols; heights beside that of the random D = 1 cloud."""
    found = {}
    for cloud in CLOUDS:
        for name in ("kept_slope", "kept_drawn", "kept_once", "anew_slope", "anew_right"):
            found[f"{name}_{short_name(cloud)}"] = mean_interval(column(rows, cloud, name))
    tight, middle, wide, many, eigen = (
        "random, D = 2, sigma = 0.1", "random, D = 2, sigma = 1", "random, D = 2, sigma = 10",
        "random, D = 256, sigma = 1", "top, D = 10, sigma = 1",
    )  # fmt: skip
    for name, other in (("wide", wide), ("many", many), ("top", eigen)):
        first, second = (column(rows, cloud, "anew_slope") for cloud in (tight, other))
        found[f"steeper_than_{name}"] = paired_difference(first, second)
    one = "random, D = 1, sigma = 1"
    for name, above, below in (
        ("sigma", wide, tight), ("sigma_to_1", middle, tight), ("random_D", many, one),
        ("random_D2", middle, one), ("top_D", eigen, "top, D = 1, sigma = 1"),
        ("top_over_random", eigen, middle),
    ):  # fmt: skip
        a, b = (column(rows, cloud, "kept_height") for cloud in (above, below))
        found[f"height_{name}"] = geometric_interval(x / y for x, y in zip(a, b, strict=True))
    found["kept_loss"] = mean_interval(column(rows, one, "kept_loss"))
    return found


STUDY = Study(
    question="How does N25's criterion fall, at one kept network and at networks trained anew?",
    measure=measure,
    summary=summary,
    minutes=0.5,
    seeds=12,
    grid={"cloud": list(CLOUDS)},
)
