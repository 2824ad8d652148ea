"""Does Spectral Newton beat AdamW, and is it the modes that do it? A race on two small networks.

A network 64-32-10 and a small CNN learn digits for 100 steps of 64. Every method runs at every
rate on every seed; rates are chosen by the validation loss of the seeds 0 to 5, and judged by the
test loss of the other twelve, so no seed judges a rate that it chose.

The "layer" methods keep the size of a spectral step and drop its shape: each layer's gradient
(with momentum) is scaled by one number until it is as long as the spectral step. What a spectral
method gains over its layer method is due to the modes.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from landscape_nb.numerics.wording import rounded
from landscape_nb.problems.data import digits
from landscape_nb.problems.models import MLP, blank
from landscape_nb.study.evidence.stored import Study
from landscape_nb.study.sweep import Row
from landscape_nb.theory.intervals import (
    Measured,
    mean_interval,
    paired_difference,
    share_interval,
    sign_test,
    without_interval,
)
from landscape_nb.theory.spectral_newton import spectral_newton_step

TUNING = range(6)  # seeds whose validation losses choose the rates
STEPS, BATCH, MOMENTUM = 100, 64, 0.9  # chosen here
DECAYS = {"Adam": 0.0, "AdamW": 0.01, "AdamW10": 0.1}  # 0.01: PyTorch's default
LOWEST, RATES = {**dict.fromkeys(DECAYS, 1e-3), "SGD": 1e-2}, 9  # others from 3e-3; see `rates`

Shape = Callable[[Tensor], Tensor]


def newton(G: Tensor) -> Tensor:
    """C26's Spectral Newton step: alpha = 2 (its choice for convolutions), d = 0.1 (Table 3)."""
    return spectral_newton_step(G, 2.0, 0.1)


def limit(G: Tensor) -> Tensor:
    """UV', all modes alike: the step of Muon."""
    return spectral_newton_step(G, 1.0, 0.0)


def scaled_like(shape: Shape) -> Shape:
    """The gradient itself, as long as the step that `shape` makes of it: one number a layer."""

    def step(G: Tensor) -> Tensor:
        return G * (shape(G).norm() / G.norm().clamp(min=1e-30))

    return step


SHAPES: dict[str, Shape] = {
    "SGD": lambda G: G,
    "newton": newton,
    "newton_layer": scaled_like(newton),
    "limit": limit,
    "limit_layer": scaled_like(limit),
}
METHODS = (*DECAYS, *SHAPES)


def rates(method: str) -> list[float]:
    """Nine learning rates, a quarter of a decade apart."""
    return [LOWEST.get(method, 3e-3) * 10 ** (j / 4) for j in range(RATES)]


def measure(seed: int, net: str, method: str) -> Row:
    """Validation losses, test losses and test accuracies at every rate: `v0`.., `t0`.., `a0`...

    Accuracies are in percent. "AdamW10" is AdamW with ten times the weight decay. A rate at which
    the loss is not finite counts as a loss of 99.
    """
    ends = [run(seed, net, method, lr) for lr in rates(method)]
    named = [zip("vta", map(rounded, end), strict=True) for end in ends]
    return {f"{kind}{j}": number for j, pairs in enumerate(named) for kind, number in pairs}


def run(seed: int, net: str, method: str, lr: float) -> tuple[float, float, float]:
    """Validation loss, test loss and test accuracy (percent) after 100 steps.

    1000 digits to learn from, 300 and 497 unseen ones.
    """
    x, y = _digits()
    draws = torch.Generator().manual_seed(seed)
    train, valid, test = torch.randperm(len(x), generator=draws).split([1000, 300, 497])
    model = network(net, seed)
    parameters: list[Tensor] = list(model.parameters())
    if method in DECAYS:
        step = _adam(parameters, lr, DECAYS[method])
    else:
        step = _descent(parameters, SHAPES[method], lr)
    for _ in range(STEPS):
        batch = train[torch.randint(len(train), (BATCH,), generator=draws)]
        loss = F.cross_entropy(model(x[batch]), y[batch])
        if not torch.isfinite(loss):
            return 99.0, 99.0, 10.0
        step(torch.autograd.grad(loss, parameters))
    with torch.no_grad():
        told = model(x[valid]), model(x[test])
    v, t = (float(F.cross_entropy(f, y[rows])) for f, rows in zip(told, (valid, test), strict=True))
    right = 100 * float((told[1].argmax(1) == y[test]).double().mean())
    return _capped(v), _capped(t), right


def network(net: str, seed: int) -> nn.Module:
    """ReLU networks without biases, so that every parameter belongs to a matrix; float32.

    Raises:
        ValueError: another name than "MLP" or "CNN".
    """
    draws = torch.Generator().manual_seed(seed)
    look: dict[str, Any] = {"bias": False, "dtype": torch.float32}
    if net == "MLP":
        return MLP([64, 32, 10], nn.ReLU, generator=draws, **look)
    if net != "CNN":
        raise ValueError(f"net must be 'MLP' or 'CNN'; got {net!r}.")
    parts = [
        blank(nn.Conv2d, 1, 8, 3, stride=2, padding=1, **look),
        blank(nn.Conv2d, 8, 16, 3, stride=2, padding=1, **look),
        blank(nn.Linear, 64, 10, **look),
    ]
    for part in parts:
        bound = part.weight[0].numel() ** -0.5
        nn.init.uniform_(part.weight, -bound, bound, generator=draws)
    first, second, out = parts
    picture = nn.Unflatten(1, (1, 8, 8))
    return nn.Sequential(picture, first, nn.ReLU(), second, nn.ReLU(), nn.Flatten(), out)


def _capped(loss: float) -> float:
    return min(loss, 99.0) if math.isfinite(loss) else 99.0


def _adam(parameters: list[Tensor], lr: float, decay: float) -> Callable[[Iterable[Tensor]], None]:
    optimiser = torch.optim.AdamW(parameters, lr, weight_decay=decay)

    def step(gradients: Iterable[Tensor]) -> None:
        for p, g in zip(parameters, gradients, strict=True):
            p.grad = g
        optimiser.step()

    return step


def _descent(
    parameters: list[Tensor], shape: Shape, lr: float
) -> Callable[[Iterable[Tensor]], None]:
    """Momentum, then the step's shape: W <- W - lr shape(v),  v <- 0.9 v + G."""
    velocities = [torch.zeros_like(p) for p in parameters]

    @torch.no_grad()
    def step(gradients: Iterable[Tensor]) -> None:
        for p, v, g in zip(parameters, velocities, gradients, strict=True):
            v.mul_(MOMENTUM).add_(g)
            if torch.isfinite(v).all():
                p.sub_(lr * shape(v.flatten(1)).view_as(p))

    return step


@cache
def _digits() -> tuple[Tensor, Tensor]:
    x, y = digits(seed=None, dtype=torch.float32)
    return x, y


# -- what the table shows -------------------------------------------------------------------------

Runs = Mapping[int, Mapping[str, list[float]]]  # seed -> "v", "t", "a" -> one number for each rate


def by_method(rows: list[Row]) -> dict[tuple[str, str], Runs]:
    """(net, method) -> its runs; AdamW's two weight decays count as more rates to choose from."""
    found: dict[tuple[str, str], dict[int, dict[str, list[float]]]] = {}
    for row in sorted(rows, key=lambda row: METHODS.index(row["method"])):
        method = row["method"].removesuffix("10")
        runs = found.setdefault((row["net"], method), {}).setdefault(int(row["seed"]), {})
        for kind in "vta":
            runs.setdefault(kind, []).extend(float(row[f"{kind}{j}"]) for j in range(RATES))
    return dict(found)


def chosen(runs: Runs, tuning: Iterable[int]) -> int:
    """The place of the rate with the smallest mean validation loss of the tuning seeds."""
    table = torch.tensor([runs[s]["v"] for s in tuning], dtype=torch.float64)
    return int(table.mean(0).argmin())


def judged(runs: Runs, tuning: Iterable[int] = TUNING, kind: str = "t") -> list[float]:
    """Test losses ("t") or accuracies ("a") at the chosen rate, of the seeds that never choose."""
    best = chosen(runs, tuning)
    return [runs[s][kind][best] for s in sorted(runs) if s not in TUNING]


def tuned(runs: Runs, method: str, tuning: Iterable[int] = TUNING) -> tuple[float, float]:
    """The learning rate and the weight decay that the tuning seeds choose for a method."""
    repeat, place = divmod(chosen(runs, tuning), RATES)
    name = "AdamW10" if method == "AdamW" and repeat else method
    return rates(method)[place], DECAYS.get(name, 0.0)


PAIRS = {  # figure -> first, second: a positive difference says that the second is better
    "adamw_newton": ("AdamW", "newton"),
    "adamw_limit": ("AdamW", "limit"),
    "sgd_newton": ("SGD", "newton"),
    "newton_limit": ("newton", "limit"),
    "newton_modes": ("newton_layer", "newton"),
    "limit_modes": ("limit_layer", "limit"),
    "adam_adamw": ("Adam", "AdamW"),
}


def summary(rows: list[Row]) -> dict[str, Measured]:
    """Mean test losses, paired differences, p-values of their signs, and what one seed would say.

    `mlp_adamw_newton` is AdamW's test loss less Spectral Newton's, seed by seed, positive where
    Spectral Newton is better; `.._accuracy` the second's accuracy less the first's, in points;
    `.._signs` the p-value of the losses' signs; `.._lottery` the share of single tuning seeds after
    which the second would have looked better.
    """
    runs, found = by_method(rows), {}
    for net in ("MLP", "CNN"):
        for method in ("AdamW", "Adam", *SHAPES):
            found[f"{net}_{method}".lower()] = mean_interval(judged(runs[net, method]))
        for name, pair in PAIRS.items():
            first, second = (runs[net, method] for method in pair)
            old, new = judged(first), judged(second)
            right = [judged(both, kind="a") for both in (second, first)]
            key = f"{net}_{name}".lower()
            found[key] = paired_difference(old, new)
            found[key + "_accuracy"] = paired_difference(right[0], right[1])
            found[key + "_signs"] = without_interval(
                sign_test(a - b for a, b in zip(old, new, strict=True))
            )
            found[key + "_lottery"] = _lottery(first, second)
    return found


def _lottery(first: Runs, second: Runs) -> Measured:
    """Share of single tuning seeds after which the second has the smaller mean test loss."""
    sums = [[sum(judged(runs, [seed])) for runs in (first, second)] for seed in TUNING]
    return share_interval(sum(b < a for a, b in sums), len(sums))


STUDY = Study(
    question="Does Spectral Newton beat AdamW with tuned rates, and is it the modes that do it?",
    measure=measure,
    summary=summary,
    seeds=18,
    grid={"net": ("MLP", "CNN"), "method": METHODS},
    minutes=4,
)
