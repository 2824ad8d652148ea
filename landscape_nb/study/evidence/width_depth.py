"""KG24's experiment: how the increment depends on width and depth.

KG24 (its repository's text, sec. 5, Fig. 2 and appendix A.1; its program get_loss_values.py) trains
ReLU networks without biases by Adam (rate 1e-3, batches of 64) on all data, keeps w, and averages
|L_{k+1}(w) - L_k(w)| over 100 random orders of the training samples: hidden sizes 4 to 64 at five
layers, 1 to 10 layers at size 16. In the program "L" counts the hidden-to-hidden layers: L = 5 has
seven weight matrices. Here the same on 1000 handwritten digits, 1600 steps for its 1570.

At fixed w everything about k is arithmetic: over all orders the mean square is S^2 / (k (k+1)),
with S^2 the variance of the per-sample losses, and in every single order (Welford 1962)

    sum_k k (k+1) I_k^2 = (n - 1) S^2

So a network enters the figure by the spread of its losses only, here `deviation`, their mean
absolute deviation; `square` is the left side over the right one. KG24 says itself (sec. 5.1) that
larger sizes have lower losses and therefore smaller differences. That dead networks stand apart
was decided when a trial had shown one.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

from landscape_nb.numerics.wording import rounded
from landscape_nb.problems.data import digits
from landscape_nb.problems.models import MLP
from landscape_nb.study.evidence.stored import Study
from landscape_nb.study.sweep import Row
from landscape_nb.theory.intervals import (
    Measured,
    geometric_interval,
    mean_interval,
    share_interval,
    sign_test,
    without_interval,
)
from landscape_nb.theory.moments import permutation_mean

SAMPLES, EPOCHS, BATCH, RATE, ORDERS = 1000, 100, 64, 1e-3, 100
KS = (10, 100, 900)
WIDTHS, DEPTHS, WIDTH, DEPTH = (4, 8, 16, 32, 64), (1, 3, 5, 7, 10), 16, 5
SIZES = [(h, DEPTH) for h in WIDTHS] + [(WIDTH, L) for L in DEPTHS if L != DEPTH]
NETWORKS = {f"h{h} L{L}": (h, L) for h, L in SIZES}


def train(x: Tensor, y: Tensor, width: int, depth: int, seed: int, epochs: int) -> nn.Module:
    """A ReLU network without biases, trained by Adam as KG24 does, in float32."""
    generator = torch.Generator().manual_seed(seed)
    sizes = [x.shape[1], *[width] * (depth + 1), 10]
    model = MLP(sizes, nn.ReLU, bias=False, generator=generator, dtype=torch.float32)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    for _ in range(epochs):
        for batch in torch.randperm(len(x), generator=generator).split(BATCH):
            loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


def increments(losses: np.ndarray, orders: int, draws: np.random.Generator) -> np.ndarray:
    """|L_{k+1} - L_k| at k = 1..n-1 in random orders of the samples, (orders, n - 1)."""
    k = np.arange(1, len(losses))
    shuffled = np.stack([draws.permutation(losses) for _ in range(orders)])
    means = np.cumsum(shuffled, 1)[:, :-1] / k
    return np.abs(shuffled[:, 1:] - means) / (k + 1)


def alive(row: Row) -> bool:
    """Whether a network tells its samples apart: where every ReLU is dead, all losses are ln 10."""
    return row["deviation"] > 1e-6


def measure(seed: int, network: str) -> Row:
    """The increments of one trained network, in 100 orders, and the spread of its losses."""
    width, depth = NETWORKS[network]
    x, y = digits(seed=seed)
    x = ((x - 0.5) / 0.5).float()  # to [-1, 1], as KG24 does
    model = train(x[:SAMPLES], y[:SAMPLES], width, depth, seed, EPOCHS)
    with torch.no_grad():
        outputs = model(x).double()
    losses = nn.functional.cross_entropy(outputs, y, reduction="none").numpy()
    seen, unseen = losses[:SAMPLES], losses[SAMPLES:]
    sampled = increments(seen, ORDERS, np.random.default_rng(seed))
    k = np.arange(1, SAMPLES)
    absolute, square = ((k + 1) * sampled).mean(0), (k * (k + 1) * sampled**2).mean(0)
    row = {
        "loss": rounded(seen.mean()),
        "spread": rounded(seen.std(ddof=1)),
        "deviation": rounded(np.abs(seen - seen.mean()).mean()),
        "unseen_loss": rounded(unseen.mean()),
        "unseen_deviation": rounded(np.abs(unseen - unseen.mean()).mean()),
        "accuracy": rounded((outputs[:SAMPLES].argmax(1) == y[:SAMPLES]).double().mean()),
    }
    for at in KS:  # smoothed over a tenth of k to either side, where KG24 takes a moving average
        near = np.abs(k / at - 1) <= 0.1
        row[f"I_{at}"] = rounded(absolute[near].mean() / (at + 1))
    exact = KS[0] * (KS[0] + 1) * float(permutation_mean(torch.tensor(seen), KS[0]))
    row["square"] = rounded(square.mean() / exact) if alive(row) else math.nan
    return row


def summary(rows: list[Row]) -> dict[str, Measured]:
    """Factors of the mean |increment|: widest over narrowest, deepest over shallowest network.

    Over the seeds whose two networks are both alive; "width_16" compares with size 16, not 4.
    """
    runs = {(r["seed"], *NETWORKS[r["network"]]): r for r in rows}
    seeds = sorted({r["seed"] for r in rows})
    found = {}
    ways = {
        "width": ((4, DEPTH), (64, DEPTH)),
        "width_16": ((16, DEPTH), (64, DEPTH)),
        "depth": ((WIDTH, 1), (WIDTH, 10)),
        "depth_5": ((WIDTH, 1), (WIDTH, 5)),
    }
    for way, (first, last) in ways.items():
        pairs = [(runs[s, *last], runs[s, *first]) for s in seeds]
        pairs = [pair for pair in pairs if all(map(alive, pair))]
        for name in (*(f"I_{k}" for k in KS), "deviation", "unseen_deviation", "loss"):
            found[f"{way}_{name}"] = geometric_interval([a[name] / b[name] for a, b in pairs])
        p = sign_test([a["I_900"] - b["I_900"] for a, b in pairs])
        found[f"{way}_p"] = without_interval(p, len(pairs))
    for width, depth in SIZES:
        cell = [runs[s, width, depth] for s in seeds]
        living = [r["I_900"] for r in cell if alive(r)]
        found[f"alive_h{width}_L{depth}"] = share_interval(len(living), len(cell))
        if len(living) > 1:
            found[f"I_900_h{width}_L{depth}"] = geometric_interval(living)
    living = [r for r in rows if alive(r)]
    found["square"] = mean_interval([r["square"] for r in living])
    by_spread = [901 * r["I_900"] / r["deviation"] for r in living]
    found["deviation_share"] = geometric_interval(by_spread)
    return found


STUDY = Study(
    "Does the increment fall with the width and rise with the depth, as KG24 reports?",
    measure,
    summary,
    seeds=10,
    grid={"network": list(NETWORKS)},
    minutes=2.5,
)
