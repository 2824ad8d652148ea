"""What flatness predicts: the loss on new data, under attack and drift, and on new classes.

Sixteen recipes for each seed end at one training loss and at different sharpness. The glossary
(LLC) says that flat solutions generalise better; that they resist attacks, bear drift and transfer
better is often said in the same breath. Here the ranks of both are compared within each seed.

    python -m landscape_nb evidence flatness --jobs 1
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage, stats
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.wording import rounded
from landscape_nb.problems.data import digits
from landscape_nb.problems.models import MLP
from landscape_nb.study.evidence.sharpness import rescaled
from landscape_nb.study.evidence.stored import Study
from landscape_nb.study.sweep import Row
from landscape_nb.theory.intervals import Measured, mean_interval, paired_difference
from landscape_nb.theory.probes import top_eigenpairs

TRAIN, TUNE, GOAL, MOST_STEPS = 350, 30, 0.05, 6000  # chosen here
SPLIT = 64 * 32 + 32  # parameters of the first layer, which come first


@dataclass(frozen=True)
class Recipe:
    """How a solution is made: SGD, with what else tends to make it flatter or sharper.

    Attributes:
        lr: learning rate.
        batch: samples for each step; 350 is all.
        l2: of the training loss; the measures are taken without it.
        rho: radius of sharpness-aware training (Foret et al. 2021); 0 is plain SGD.
        scale: the first weights, times this.
    """

    lr: float = 0.3
    batch: int = 64
    l2: float = 0.0
    rho: float = 0.0
    scale: float = 1.0


RATES_AND_BATCHES = {
    f"lr {lr}, batch {batch}": Recipe(lr, batch) for lr in (0.1, 0.3, 0.6) for batch in (4, 16, 350)
}
RECIPES = {
    **RATES_AND_BATCHES,
    **{f"L2 {l2}": Recipe(l2=l2) for l2 in (1e-3, 3e-3)},
    **{f"SAM {rho}": Recipe(rho=rho) for rho in (0.05, 0.1, 0.3)},
    **{f"first weights x {scale}": Recipe(scale=scale) for scale in (2.0, 4.0)},
}
TARGETS = (
    "held_loss", "held_error", "input_gradient", "attacked", "rotated", "noisy", "new_loss",
    "new_late",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Task:
    """Digits 0 to 6 to learn, 7 to 9 to learn later; index sets into the loss.

    Attributes:
        loss: of all samples, the 350 trained on first.
        x, y: inputs (n, 64), labels (n,).
        held, tune, new: unseen samples of 0..6; thirty of 7..9, and the others of these.
    """

    loss: EmpiricalLoss
    x: Tensor
    y: Tensor
    held: Tensor
    tune: Tensor
    new: Tensor


@functools.lru_cache(maxsize=2)
def task(seed: int) -> Task:
    """The task of a seed, which draws the order of the samples and the first weights."""
    x, y = digits(seed=seed)
    old, late = (y < 7).nonzero()[:, 0], (y >= 7).nonzero()[:, 0]
    order = torch.cat([old, late])
    x, y = x[order], y[order]
    model = MLP([64, 32, 10], nn.ReLU, generator=torch.Generator().manual_seed(seed))
    loss = EmpiricalLoss(model, nn.CrossEntropyLoss(reduction="none"), x, y)
    every, known = torch.arange(len(y)), len(old)
    return Task(loss, x, y, every[TRAIN:known], every[known : known + TUNE], every[known + TUNE :])


def outputs(w: Tensor, x: Tensor) -> Tensor:
    """The network's outputs (n, 10) for inputs (n, 64), differentiable in both."""
    hidden = torch.relu(x @ w[:2048].view(32, 64).T + w[2048:SPLIT])
    return hidden @ w[SPLIT : SPLIT + 320].view(10, 32).T + w[SPLIT + 320 :]


def train(at: Task, how: Recipe, seed: int) -> tuple[Tensor, int]:
    """Train until the mean loss of the 350 samples is 0.05: w, and how many steps it took."""
    generator, loss = torch.Generator().manual_seed(1000 + seed), at.loss
    w, step, value = at.loss.w0 * how.scale, 0, math.inf
    while step < MOST_STEPS:
        for chosen in torch.randperm(TRAIN, generator=generator).split(how.batch):
            g = loss.gradient(w, chosen)
            if how.rho:
                g = loss.gradient(w + how.rho * g / g.norm(), chosen)
            w, step = w - how.lr * (g + how.l2 * w), step + 1
            if step % (10 if value > 2 * GOAL else 1) == 0:
                value = float(loss.value(w, TRAIN))
            if value <= GOAL:
                return w, step
    return w, step


def measure(seed: int, recipe: str) -> Row:
    """One solution: how it was reached, how sharp it is, and how it does."""
    at = task(seed)
    w, steps = train(at, RECIPES[recipe], seed)
    row = {
        "steps": steps,
        "train_loss": at.loss.value(w, TRAIN),
        "norm": w.norm(),
        **sharpnesses(at, w, seed, list(RECIPES).index(recipe)),
        **on_new_data(at, w, seed),
        **after_tuning(at, w),
    }
    return {name: rounded(value) for name, value in row.items()}


def sharpnesses(at: Task, w: Tensor, seed: int, number: int) -> dict[str, float]:
    """Four measures of sharpness on the samples trained on.

    top: the largest eigenvalue. trace: of the Hessian, Hutchinson's estimate from 40 draws.
    adaptive: sum w_i^2 H_ii, from the same draws, which no rescaling of layers changes (a relative
    of Kwon et al. 2021 and Petzka et al. 2021). rescaled: the largest eigenvalue of the same
    function, its layers multiplied and divided by a random factor between 1/4 and 4.
    """
    generator = torch.Generator().manual_seed(2000 + seed)
    signs = 2.0 * torch.randint(0, 2, (len(w), 40), generator=generator).double() - 1
    loss = at.loss
    a = 4 ** (2 * torch.rand(len(RECIPES), generator=generator).double()[number] - 1)
    top, moved = (
        float(top_eigenpairs(loss, at_w, TRAIN, 1, tol=1e-3).values[0])
        for at_w in (w, rescaled(at.loss, w, float(a)))
    )
    scaled = signs * w[:, None]
    traces = [float((V * loss.hvp(w, V, TRAIN)).sum(0).mean()) for V in (signs, scaled)]
    return {"top": top, "trace": traces[0], "adaptive": traces[1], "rescaled": moved}


def on_new_data(at: Task, w: Tensor, seed: int) -> dict[str, float]:
    """Loss and error of unseen digits 0..6; what attack, rotation and noise add to the loss.

    attacked: the signed-gradient step of length 0.05 in each pixel (pixels are 0..1). rotated: by
    20 degrees. noisy: a standard deviation of 0.2 in each pixel.
    """
    x, y = at.x[at.held], at.y[at.held]
    plain, slope = _loss_and_input_gradient(w, x, y)
    turned = ndimage.rotate(x.view(-1, 8, 8).numpy(), 20, axes=(1, 2), reshape=False, order=1)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed)).double()
    changed = {
        "attacked": x + 0.05 * slope.sign(),
        "rotated": torch.as_tensor(turned).reshape(len(x), 64),
        "noisy": x + 0.2 * noise,
    }
    return {
        "held_loss": plain,
        "held_error": float((outputs(w, x).argmax(1) != y).double().mean()),
        "input_gradient": float(slope.norm(dim=1).mean()),
        **{name: float(cross_entropy(outputs(w, z), y)) - plain for name, z in changed.items()},
    }


def _loss_and_input_gradient(w: Tensor, x: Tensor, y: Tensor) -> tuple[float, Tensor]:
    """Mean loss, and the gradient of each sample's own loss by its input, (n, 64)."""
    x = x.clone().requires_grad_()
    losses = cross_entropy(outputs(w, x), y, reduction="none")
    return float(losses.detach().mean()), torch.autograd.grad(losses.sum(), x)[0]


def after_tuning(at: Task, w: Tensor) -> dict[str, float]:
    """Loss of unseen samples of 7..9, after 50 and 500 full steps on thirty of them."""
    found = {}
    for step in range(1, 501):
        w = w - 0.1 * at.loss.gradient(w, at.tune)
        if step in (50, 500):
            found["new_loss" if step == 50 else "new_late"] = float(at.loss.value(w, at.new))
    return found


def reached(rows: Sequence[Row]) -> list[Row]:
    """The solutions that came to the training loss at which all are compared.

    Steps of 0.6 with batches of 4 never do: these networks fail, at a loss above 0.5.
    """
    return [row for row in rows if row["train_loss"] <= GOAL]


def rank_correlations(rows: Sequence[Row], x: str, y: str, given: str | None = None) -> list[float]:
    """Spearman's over recipes, one for each seed; with `given`, what is left at equal ranks of it.

    r_xy.z = (r_xy - r_xz r_yz) / sqrt((1 - r_xz^2) (1 - r_yz^2))
    """
    found = []
    for seed in sorted({row["seed"] for row in rows}):
        own = [row for row in rows if row["seed"] == seed]
        ranks = [stats.rankdata([row[name] for row in own]) for name in (x, y, given or y)]
        r = np.corrcoef(ranks)
        if given:
            rest = math.sqrt((1 - r[0, 2] ** 2) * (1 - r[1, 2] ** 2))
            found.append(float((r[0, 1] - r[0, 2] * r[1, 2]) / rest))
        else:
            found.append(float(r[0, 1]))
    return found


def summary(rows: list[Row]) -> dict[str, Measured]:
    """Rank correlations with sharpness, over all recipes and in two fairer comparisons."""
    everything, rows = rows, reached(rows)
    alike = [row for row in rows if row["recipe"] in RATES_AND_BATCHES]
    found = {}
    for target in TARGETS:
        found[f"top_{target}"] = mean_interval(rank_correlations(rows, "top", target))
        found[f"trace_{target}"] = mean_interval(rank_correlations(rows, "trace", target))
        found[f"adaptive_{target}"] = mean_interval(rank_correlations(rows, "adaptive", target))
        found[f"alike_{target}"] = mean_interval(rank_correlations(alike, "top", target))
        found[f"norm_{target}"] = mean_interval(rank_correlations(rows, "norm", target))
        given = rank_correlations(rows, "top", target, given="norm")
        found[f"partial_{target}"] = mean_interval(given)
    adaptive = rank_correlations(rows, "adaptive", "held_loss")
    for other in ("top", "rescaled"):
        by_other = rank_correlations(rows, other, "held_loss")
        found[f"adaptive_minus_{other}"] = paired_difference(adaptive, by_other)
    with_failed = rank_correlations(everything, "top", "held_loss")
    found["with_failed_held_loss"] = mean_interval(with_failed)
    found["rescaled_held_loss"] = mean_interval(rank_correlations(rows, "rescaled", "held_loss"))
    spans = [
        max(own) / min(own)
        for seed in {row["seed"] for row in rows}
        for own in [[row["top"] for row in rows if row["seed"] == seed]]
    ]
    found["span"] = mean_interval(spans)
    return found


STUDY = Study(
    question="Do flatter solutions do better on unseen, attacked, shifted and new data?",
    measure=measure,
    summary=summary,
    minutes=1.7,
    seeds=12,
    grid={"recipe": list(RECIPES)},
)
