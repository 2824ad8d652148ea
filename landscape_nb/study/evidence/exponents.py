"""Exponents of small networks' layers, and what the triangle says beside its controls.

    python -m landscape_nb evidence exponents landscape_nb/study/evidence/exponents.jsonl

Each seed trains four networks anew: two MLPs 64-32-16-10 (ReLU, tanh) and a small CNN on 120
digits, 240 steps of SGD, each twice from other weights and digits (the second is a control), and a
transformer of 2 blocks and width 32 on characters. All modes of a layer are measured (of the
transformer's 16): at step 160, for the digits at steps 40 and 240 besides. The unit of every
interval is the seed: layers and modes of one training are averaged first, because they are not
independent.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.wording import rounded
from landscape_nb.problems import data, models
from landscape_nb.problems.pretraining import pretrained, train_transformer
from landscape_nb.study.evidence.stored import Study
from landscape_nb.study.sweep import Row
from landscape_nb.theory import layers
from landscape_nb.theory.descent import gradient_descent
from landscape_nb.theory.intervals import (
    Measured,
    geometric_interval,
    mean_interval,
    paired_difference,
    without_interval,
)

SAMPLES, SEQUENCES, MODES = 120, 8, 16
MOMENTS, TEXT_STEPS = (40, 160, 240), 200  # steps of training
MAIN = (160, TEXT_STEPS)  # the moments compared: before the gradient of the digits has vanished
AGAIN = 1000  # added to a seed: a second training with other weights and other digits
DRAWS = 20  # sorted random lists for each layer; chosen here
NAMES = {  # network -> module -> what it is called here
    "ReLU": {"0": "ReLU 1", "2": "ReLU 2", "4": "ReLU out"},
    "tanh": {"0": "tanh 1", "2": "tanh 2", "4": "tanh out"},
    "CNN": {"1": "conv 1", "3": "conv 2", "6": "CNN out"},
    "transformer": {
        "blocks.1.query": "query",
        "blocks.1.key": "key",
        "blocks.1.value": "value",
        "blocks.1.out": "projection",
        "blocks.1.up": "up",
        "blocks.1.down": "down",
    },
}


def mlp(activation: type[nn.Module], seed: int) -> nn.Module:
    """A network 64-32-16-10."""
    generator = torch.Generator().manual_seed(seed)
    return models.MLP([64, 32, 16, 10], activation, generator=generator)


def cnn(seed: int) -> nn.Module:
    """Two convolutions (8 and 16 channels, 3 x 3) and a linear layer, in float64."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        first, second = nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        picture, out = nn.Unflatten(1, (1, 8, 8)), nn.Linear(256, 10)
    parts = picture, first, nn.ReLU(), second, nn.ReLU(), nn.Flatten(), out
    return nn.Sequential(*parts).double()


NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "ReLU": partial(mlp, nn.ReLU),
    "tanh": partial(mlp, nn.Tanh),
    "CNN": cnn,
}


def trained(network: str, seed: int) -> tuple[EmpiricalLoss, dict[int, Tensor]]:
    """The loss of 120 digits, and the weights after 0, 40, ... 240 steps of SGD."""
    per_sample = nn.CrossEntropyLoss(reduction="none")
    loss = EmpiricalLoss(NETWORKS[network](seed), per_sample, *data.digits(SAMPLES, seed=seed))
    path = gradient_descent(
        loss,
        SAMPLES,
        0.1,
        240,
        batch_size=40,
        generator=torch.Generator().manual_seed(seed),
        every=40,
    )
    return loss, dict(zip(path.steps.tolist(), path.ws, strict=True))


def small_transformer(seed: int) -> EmpiricalLoss:
    """A trained transformer (2 blocks, width 32) and the loss of its first 8 sequences.

    Its text is the one that the shipped transformers carry, cut to 32 characters.
    """
    source = pretrained()[0]
    order = torch.randperm(len(source.sequences), generator=torch.Generator().manual_seed(seed))
    tokens, vocabulary = source.sequences[order[:1600], :33], source.vocabulary
    config = models.TransformerConfig(len(vocabulary), 32, 32, 2, 2, 1, 128)
    run = train_transformer(config, tokens, vocabulary, passes=2, seed=seed, progress=False)
    return run.loss(SEQUENCES)


def measure(seed: int) -> list[Row]:
    """A row for each layer at each moment."""
    found = [*_digit_layers(seed), *_text_layers(seed)]
    main = [layer for layer in found if layer[1] in MAIN]
    again = {layer[1:3]: layer[3].h for layer in _digit_layers(seed + AGAIN)}
    draw = np.random.default_rng(seed)
    return [_row(layer, main, again.get(layer[1:3]), draw) for layer in found]


def summary(rows: list[Row]) -> dict[str, Measured]:
    """Exponents of each layer, medians of the triangle's errors, and the parts of alpha."""
    at = [row for row in rows if row["step"] in MAIN]
    digits = [row for row in at if row["network"] != "transformer"]
    found = {
        f"alpha_{row['layer'].replace(' ', '_').lower()}": mean_interval(
            r["alpha"] for r in at if r["layer"] == row["layer"]
        )
        for row in {r["layer"]: r for r in at}.values()
    }
    controls = ("other_training", "other_layer", "other_network", "random")
    for name in ("same", "ceiling", *controls):
        found[name] = geometric_interval(by_seed(digits, name))
    same = by_seed(digits, "same")
    for name in controls:
        ratio = np.array(by_seed(digits, name)) / np.array(same)
        found[f"{name}_over_same"] = geometric_interval(ratio)
    for name in ("participation", "alpha_r2", "beyond_bound", "power_law_h"):
        found[name] = mean_interval(by_seed(at, name, np.nanmean))
    off = [{**row, "from_two": abs(row["Lambda_slope"] + row["chi_slope"] - 2)} for row in at]
    found["from_two"] = mean_interval(by_seed(off, "from_two", np.mean))
    for name in ("Lambda_slope", "Phi_slope", "chi_slope"):
        found[name] = mean_interval(by_seed(at, name, np.mean))
    for name in ("left_over", "cauchy"):
        worst = max(row[name] for row in rows)
        found[name] = without_interval(worst, len(rows))
    return found | _trends(rows)


def by_seed(rows: list[Row], name: str, middle: Callable = np.median) -> list[float]:
    """One number for each seed: the middle of its layers."""
    seeds = sorted({row["seed"] for row in rows})
    return [float(middle([r[name] for r in rows if r["seed"] == seed])) for seed in seeds]


# -- inside ---------------------------------------------------------------------------------------

Measurement = tuple[str, int, str, layers.GradientModes, layers.KroneckerFactors]


def _digit_layers(seed: int) -> Iterator[Measurement]:
    for network in NETWORKS:
        loss, ws = trained(network, seed)
        for step in MOMENTS:
            for module, name in NAMES[network].items():
                modes = layers.gradient_modes(loss, ws[step], SAMPLES, module)
                factors = layers.kronecker_factors(loss, ws[step], SAMPLES, module)
                yield network, step, name, modes, factors


def _text_layers(seed: int) -> Iterator[Measurement]:
    loss = small_transformer(seed)
    for module, name in NAMES["transformer"].items():
        modes = layers.gradient_modes(loss, loss.w0, SEQUENCES, module, MODES)
        factors = layers.kronecker_factors(loss, loss.w0, SEQUENCES, module)
        yield "transformer", TEXT_STEPS, name, modes, factors


def _row(
    layer: Measurement,
    main: Iterable[Measurement],
    again: Tensor | None,
    draw: np.random.Generator,
) -> Row:
    network, step, name, modes, factors = layer
    e = layers.exponents(modes.sigma, modes.h)
    own = [m.h for net, _, other, m, _ in main if net == network and other != name]
    foreign = [m.h for net, _, _, m, _ in main if net != network]
    h, p = modes.h[modes.h > 0], e.alpha.value * e.gamma.value
    scores, counted = layers.spectrum_bic(h), layers.participation_ratio(h)
    bound = layers.participation_bound(p)
    return {
        "network": network,
        "step": step,
        "layer": name,
        "alpha": rounded(e.alpha.value),
        "alpha_r2": rounded(e.alpha.r2),
        "gamma": rounded(e.gamma.value),
        "s": rounded(e.s.value),
        "same": rounded(e.gap / abs(e.s.value)),
        "ceiling": rounded(e.bound / abs(e.s.value)),
        "other_training": float("nan") if again is None else rounded(_error(modes.sigma, again)),
        "other_layer": rounded(np.median([_error(modes.sigma, other) for other in own])),
        "other_network": rounded(np.median([_error(modes.sigma, other) for other in foreign])),
        "random": rounded(_random_error(len(modes.h), draw)),
        "participation": rounded(counted),
        "bound": rounded(bound),
        "beyond_bound": float(counted > bound) if np.isfinite(bound) else float("nan"),
        "power_law_h": float(min(scores, key=scores.__getitem__) == "power law"),
        **_parts(modes, factors, e),
    }


def _parts(
    modes: layers.GradientModes, factors: layers.KroneckerFactors, e: layers.Exponents
) -> Row:
    """Alpha = slope(Lambda) + slope(Phi) + slope(chi), and the largest sigma^2 / (P h^Kron)."""
    parts, good = layers.kronecker_modes(modes, factors), modes.h > 0
    slopes = {
        name: layers.log_slope(modes.sigma[good], getattr(parts, name)[good]).value
        for name in ("Lambda", "Phi", "chi")
    }
    cauchy = (modes.sigma**2 / (factors.positions * parts.h_kron)).max()
    return {
        **{f"{name}_slope": rounded(slope) for name, slope in slopes.items()},
        "left_over": float(f"{abs(e.alpha.value - sum(slopes.values())):.0e}"),
        "cauchy": rounded(float(cauchy)),
    }


def _error(sigma: Tensor, h: Tensor) -> float:
    """Relative error of the triangle of two lists, cut to the shorter."""
    r = min(len(sigma), len(h))
    e = layers.exponents(sigma[:r], h[:r])
    return e.gap / abs(e.s.value)


def _random_error(r: int, draw: np.random.Generator) -> float:
    lists = np.sort(np.abs(draw.normal(size=(DRAWS, 2, r))), axis=2)[:, :, ::-1].copy()
    pairs = torch.tensor(lists)
    return float(np.median([_error(sigma, root**2) for sigma, root in pairs]))


def _trends(rows: list[Row]) -> dict[str, Measured]:
    """How alpha moves from step 40 to 240, and how ReLU and tanh differ, paired by seed."""
    digits = [row for row in rows if row["network"] != "transformer"]
    found = {}
    for network in NETWORKS:
        early, late = (
            by_seed([r for r in digits if r["network"] == network and r["step"] == step], "alpha")
            for step in (40, 240)
        )
        found[f"later_{network.lower()}"] = paired_difference(late, early)
    first, second = (
        by_seed([r for r in digits if r["step"] == 160 and r["layer"] == name], "alpha")
        for name in ("ReLU 1", "tanh 1")
    )
    found["relu_over_tanh"] = paired_difference(first, second)
    return found


STUDY = Study(
    "Which exponents have the layers of small networks, and does the triangle tell them apart?",
    measure,
    summary,
    seeds=10,
    minutes=2.0,
)
