"""What moves a layer's exponent alpha: C26's mechanisms, each switched on by itself.

Dense: 64-32, two blocks x -> [x +] W_down relu(W_up [norm] x) of width 32, and a head, on digits
with 10 classes or 2 (below five or not); the brackets are switches ("plain", "norm", "skip",
"both"; "weak" is "skip" with a tenth of the branch, so that the bypass dominates). Positions: one
convolution of 16 channels, 4 x 4 pixels wide, that sees 1, 4, 9 or 25 places, and a head. SGD on
400 samples until the loss is first below 0.2: exponents move with training, so networks are
compared at one loss.

For every mode k of a layer's gradient, with per-sample gradients G_i (`theory.layers` has the rest)
  h^F_k = mean of (u_k'G_i v_k)^2        the empirical Fisher matrix, before its factors
  chi_k = (h_k / h^F_k) (h^F_k / h^Kron_k)   the second quotient is C26's concentration ratio where
                                             a weight is used once
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.wording import rounded
from landscape_nb.problems.data import digits
from landscape_nb.study.evidence.stored import Study
from landscape_nb.study.sweep import Row
from landscape_nb.theory.exponents import log_slope
from landscape_nb.theory.intervals import (
    Measured,
    geometric_interval,
    mean_interval,
    paired_difference,
    sign_test,
    without_interval,
)
from landscape_nb.theory.layers import (
    GradientModes,
    KroneckerModes,
    gradient_modes,
    kronecker_factors,
    kronecker_modes,
)

SAMPLES, RATE, MOMENTUM, BATCH, WIDTH = 400, 0.02, 0.9, 40, 32  # chosen here
MOST_STEPS, EVERY, GOAL = 1500, 20, 0.2  # train until the loss is first below 0.2: chosen here
NETS = ("plain", "norm", "skip", "both")
DENSE = (*(f"{net}{classes}" for classes in (10, 2) for net in NETS), "weak10")
POSITIONS = (1, 4, 9, 25)
CONVS = tuple(f"conv{places}" for places in POSITIONS)


class Block(nn.Module):
    """x -> [x +] share W_down relu(W_up [norm] x)."""

    def __init__(self, norm: bool, skip: bool, share: float = 1.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH) if norm else nn.Identity()
        self.up = nn.Linear(WIDTH, WIDTH)
        self.down = nn.Linear(WIDTH, WIDTH)
        self.skip, self.share = skip, share

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        f = self.share * self.down(F.relu(self.up(self.norm(x))))
        return x + f if self.skip else f


def network(cell: str, seed: int) -> nn.Module:
    """The network of a cell: "plain10", "norm2", .. or "conv4", in float64, drawn from the seed.

    Raises:
        ValueError: no such cell.
    """
    if cell in DENSE:
        net = cell.rstrip("0123456789")
        classes = int(cell[len(net) :])
        norm, skip = net in ("norm", "both"), net in ("skip", "both", "weak")
        blocks = [Block(norm, skip, 0.1 if net == "weak" else 1.0) for _ in range(2)]
        model: nn.Module = nn.Sequential(nn.Linear(64, WIDTH), *blocks, nn.Linear(WIDTH, classes))
    elif cell in CONVS:
        model = _convolution(int(cell[4:]))
    else:
        raise ValueError(f"cell must be one of {', '.join(DENSE + CONVS)}; got {cell!r}.")
    draws = torch.Generator().manual_seed(seed)
    for part in model.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            bound = part.weight[0].numel() ** -0.5  # PyTorch's own, from our generator
            for p in part.parameters():
                nn.init.uniform_(p, -bound, bound, generator=draws)
    return model.double()


def _convolution(places: int) -> nn.Module:
    conv = nn.Conv2d(1, 16, 4, stride={1: 1, 4: 4, 9: 2, 25: 1}[places])
    look = nn.ZeroPad2d(-2) if places == 1 else nn.Identity()  # minus two: the middle 4 x 4
    head = nn.Linear(16 * places, 10)
    return nn.Sequential(nn.Unflatten(1, (1, 8, 8)), look, conv, nn.ReLU(), nn.Flatten(), head)


def layers_of(cell: str) -> tuple[str, ...]:
    """The layers that are measured. With two classes the last two have one mode: no slope."""
    if cell in CONVS:
        return ("2",)
    names = ("1.up", "1.down", "2.up", "2.down", "3")
    return names if cell.endswith("10") else names[:3]


def problem(cell: str, seed: int) -> EmpiricalLoss:
    """The loss of 400 digits, drawn by the seed, on the cell's network."""
    x, y = digits(SAMPLES, seed=seed)
    labels = (y < 5).long() if cell in DENSE and cell.endswith("2") else y
    return EmpiricalLoss(network(cell, seed), nn.CrossEntropyLoss(reduction="none"), x, labels)


def trained(loss: EmpiricalLoss, seed: int) -> Tensor:
    """The first weights, of every 20th step, whose loss is below 0.2; the last ones if none is."""
    w, draws = loss.w0, torch.Generator().manual_seed(seed)
    velocity = torch.zeros_like(w)
    for step in range(MOST_STEPS):
        if step % EVERY == 0 and loss.value(w, SAMPLES) < GOAL:
            break
        batch = torch.randperm(SAMPLES, generator=draws)[:BATCH]
        velocity = MOMENTUM * velocity + loss.gradient(w, batch)
        w = w - RATE * velocity
    return w


def measure(seed: int, cell: str) -> list[Row]:
    """Train, then a row for each layer: alpha and its parts, and what the mechanism should move.

    * alpha, r2: of log h on log sigma; slope_lambda, slope_d, slope_a, slope_fisher, slope_conc:
      of its parts on the same modes. They add up to alpha: `rest` is what they leave, at most.
    * chi, conc: geometric means of h/h^Kron and h^F/h^Kron; rho_d: the median of its ratio.
    * kappa: largest over median eigenvalue of C_a, the activations' covariance; at most 1e12.
    * own, other: correlation of log sigma^2 with log h^Kron, and with that of the other layers.
    * skip: size of what a block sends back through its branch, over what arrives, where it has a
      bypass.
    * modes, left_out: of the gradient, and those without a logarithm.
    """
    loss = problem(cell, seed)
    w = trained(loss, seed)
    found = {name: _spectrum(loss, w, name) for name in layers_of(cell)}
    rows = []
    for name, (modes, parts, fisher, kappa) in found.items():
        others = [other[1].h_kron for key, other in found.items() if key != name]
        rows.append(
            {
                "layer": name,
                "loss": rounded(loss.value(w, SAMPLES)),
                **_slopes(modes, parts, fisher),
                "kappa": rounded(kappa),
                "own": _correlation(modes.sigma, parts.h_kron),
                "other": _mean(_correlation(modes.sigma, h) for h in others),
                "skip": _branch_share(loss, w, name),
            }
        )
    return rows


def _spectrum(
    loss: EmpiricalLoss, w: Tensor, name: str
) -> tuple[GradientModes, KroneckerModes, Tensor, float]:
    modes = gradient_modes(loss, w, SAMPLES, name)
    factors = kronecker_factors(loss, w, SAMPLES, name)
    spectrum = torch.linalg.eigvalsh(factors.C_a)
    kappa = float(spectrum[-1] / spectrum.median().clamp(min=1e-12 * spectrum[-1]))
    return modes, kronecker_modes(modes, factors), fisher_curvatures(loss, w, modes), kappa


def fisher_curvatures(loss: EmpiricalLoss, w: Tensor, modes: GradientModes) -> Tensor:
    """h^F_k = mean over samples of (u_k'G_i v_k)^2, for every mode of a layer: (r,)."""
    weights = loss.layout.unflatten(w)
    key = f"{modes.name}.weight"
    m = len(modes.U)

    def one(weight: Tensor, x: Tensor, y: Tensor) -> Tensor:
        outputs = functional_call(loss.model, {**weights, key: weight}, (x[None],))
        return F.cross_entropy(outputs, y[None])

    G = vmap(grad(one), in_dims=(None, 0, 0))(weights[key], loss.inputs, loss.targets)
    along = torch.einsum("ir,nij,jr->nr", modes.U, G.reshape(SAMPLES, m, -1), modes.V)
    return along.square().mean(0).detach()


def _slopes(modes: GradientModes, parts: KroneckerModes, fisher: Tensor) -> Row:
    good = modes.h > 0
    sigma, pieces = (
        modes.sigma[good],
        {
            "lambda": parts.Lambda,
            "d": parts.rho_d,
            "a": parts.rho_a,
            "fisher": modes.h / fisher,
            "conc": fisher / parts.h_kron,
        },
    )
    alpha = log_slope(sigma, modes.h[good])
    slopes = {name: log_slope(sigma, piece[good]).value for name, piece in pieces.items()}
    return {
        "alpha": rounded(alpha.value),
        "r2": rounded(alpha.r2),
        **{f"slope_{name}": rounded(slope) for name, slope in slopes.items()},
        "rest": float(f"{abs(alpha.value - sum(slopes.values())):.1e}"),
        "chi": rounded(parts.chi[good].log().mean().exp()),
        "conc": rounded((fisher / parts.h_kron).log().mean().exp()),
        "rho_d": rounded(parts.rho_d.median()),
        "modes": len(good),
        "left_out": int((~good).sum()),
    }


def _branch_share(loss: EmpiricalLoss, w: Tensor, name: str) -> float:
    """|J_f' delta| / |delta| of a residual block, over all samples; 0 without a bypass."""
    block = loss.model.get_submodule(name.partition(".")[0])
    if not (isinstance(block, Block) and block.skip):
        return 0.0
    seen: list[Tensor] = []
    handle = block.register_forward_hook(lambda _, args, out: seen.extend((args[0], out)))
    try:
        with torch.enable_grad():
            outputs = loss.outputs_at(w.clone().requires_grad_(), range(SAMPLES))
            total = loss.losses_of(outputs, range(SAMPLES)).sum()
            before, after = torch.autograd.grad(total, seen)
    finally:
        handle.remove()
    return rounded((before - after).norm() / after.norm())


def _correlation(sigma: Tensor, h_kron: Tensor) -> float:
    r = min(len(sigma), len(h_kron))
    return rounded(torch.corrcoef(torch.stack([sigma[:r].log() * 2, h_kron[:r].log()]))[0, 1])


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return rounded(sum(found) / len(found)) if found else 0.0


# -- what the table shows -------------------------------------------------------------------------


def per_seed(rows: list[Row], cell: str, name: str, layers: str = "") -> list[float]:
    """For each seed the mean over a cell's layers whose names end so ("" all, "3" the head)."""
    found: dict[int, list[float]] = {}
    for row in rows:
        if row["cell"] == cell and str(row["layer"]).endswith(layers):
            found.setdefault(int(row["seed"]), []).append(float(row[name]))
    return [sum(values) / len(values) for _, values in sorted(found.items())]


def summary(rows: list[Row]) -> dict[str, Measured]:
    """Figures for each mechanism; differences are paired, seed by seed. See `measure` for names.

    `norm_alpha` is alpha of the up layers with LayerNorm less without; `.._signs` the p-value of
    the differences' signs.
    """
    return {
        **_alphas(rows),
        **_norm(rows),
        **_skip(rows),
        **_classes(rows),
        **_head(rows),
        **_positions(rows),
        **_kronecker(rows),
    }


def _alphas(rows: list[Row]) -> dict[str, Measured]:
    found = {}
    for cell in DENSE:
        for layers in ("up", "down"):
            found[f"alpha_{cell}_{layers}"] = mean_interval(per_seed(rows, cell, "alpha", layers))
    for part in ("lambda", "d", "a", "fisher", "conc"):
        slopes = [per_seed(rows, f"{net}10", f"slope_{part}") for net in NETS]
        found[f"slope_{part}"] = mean_interval(sum(four) / 4 for four in zip(*slopes, strict=True))
    return found


def _norm(rows: list[Row]) -> dict[str, Measured]:
    found: dict[str, Measured] = {}
    for name, layers, cells in (
        ("norm_alpha", "up", ("norm10", "plain10")),
        ("norm_alpha_in_skip", "up", ("both10", "skip10")),
        ("norm_alpha_down", "down", ("norm10", "plain10")),
    ):
        found |= _compared(name, *(per_seed(rows, cell, "alpha", layers) for cell in cells))
    for part in ("lambda", "d", "a", "fisher", "conc"):
        for layers in ("up", "down"):
            pair = [per_seed(rows, c, f"slope_{part}", layers) for c in ("norm10", "plain10")]
            found |= _compared(f"norm_slope_{part}_{layers}", *pair)
    for cell in ("plain10", "norm10"):
        found[f"slope_a_{cell}"] = mean_interval(per_seed(rows, cell, "slope_a", "up"))
        found[f"kappa_{cell}"] = geometric_interval(per_seed(rows, cell, "kappa", "up"))
    return found


def _skip(rows: list[Row]) -> dict[str, Measured]:
    found: dict[str, Measured] = {}
    for cell in ("plain10", "skip10", "weak10", "both10"):
        for layers in ("up", "down"):
            slopes = per_seed(rows, cell, "slope_d", layers)
            found[f"slope_d_{cell}_{layers}"] = mean_interval(slopes)
    for cell in ("skip10", "weak10", "both10"):
        found[f"branch_{cell}"] = geometric_interval(per_seed(rows, cell, "skip", "up"))
    for cell in ("skip10", "weak10"):
        pair = [per_seed(rows, c, "slope_d", "up") for c in (cell, "plain10")]
        found |= _compared(f"slope_d_{cell}_less_plain", *pair)
    return found


def _classes(rows: list[Row]) -> dict[str, Measured]:
    """Ten classes less two, in layers that both have; and whether LayerNorm changes that."""
    found: dict[str, Measured] = {}
    for layer in ("up", "1.down"):
        gaps, name = {}, layer.removeprefix("1.")
        for net in NETS:
            ten, two = (per_seed(rows, f"{net}{count}", "alpha", layer) for count in (10, 2))
            gaps[net] = [a - b for a, b in zip(ten, two, strict=True)]
            found |= _compared(f"classes_{net}_{name}", ten, two)
        found |= _compared(f"classes_norm_less_plain_{name}", gaps["norm"], gaps["plain"])
    return found


def _head(rows: list[Row]) -> dict[str, Measured]:
    found = {}
    for net in NETS:
        cell = f"{net}10"
        for name in ("alpha", "slope_d", "rho_d"):
            found[f"head_{name}_{net}"] = mean_interval(per_seed(rows, cell, name, "3"))
    modes = [r["modes"] for r in rows if r["layer"] == "3"]
    return {
        **found,
        "head_most_modes": without_interval(max(modes)),
        "head_fewest_modes": without_interval(min(modes)),
    }


def _positions(rows: list[Row]) -> dict[str, Measured]:
    """Chi as here, and as it would be with C_d of the mean loss's gradients, mean over places."""
    found = {}
    for cell, places in zip(CONVS, POSITIONS, strict=True):
        chi, conc = (per_seed(rows, cell, name) for name in ("chi", "conc"))
        found[f"chi_{cell}"], found[f"conc_{cell}"] = (
            geometric_interval(chi),
            geometric_interval(conc),
        )
        unscaled = [value * places * SAMPLES**2 for value in chi]
        found[f"chi_unscaled_{cell}"] = geometric_interval(unscaled)
        parts = [per_seed(rows, cell, f"slope_{name}") for name in ("fisher", "conc")]
        found[f"slope_chi_{cell}"] = mean_interval(a + b for a, b in zip(*parts, strict=True))
        found[f"alpha_{cell}"] = mean_interval(per_seed(rows, cell, "alpha"))
        found[f"slope_lambda_{cell}"] = mean_interval(per_seed(rows, cell, "slope_lambda"))
    ends = [per_seed(rows, cell, "chi") for cell in (CONVS[-1], CONVS[0])]
    grown = geometric_interval(a / b for a, b in zip(*ends, strict=True))
    return {**found, "chi_25_over_1": grown}


def _kronecker(rows: list[Row]) -> dict[str, Measured]:
    """The identity's largest deviation, C26's correlation and its control, K-FAC's prediction."""
    dense = [f"{net}10" for net in NETS]
    own, other = (
        [sum(v) / 4 for v in zip(*(per_seed(rows, c, name) for c in dense), strict=True)]
        for name in ("own", "other")
    )
    seeds = sorted({int(row["seed"]) for row in rows})
    predicted = [_quality([row for row in rows if row["seed"] == seed]) for seed in seeds]
    return {
        "identity": without_interval(max(float(row["rest"]) for row in rows)),
        "own": mean_interval(own),
        "other": mean_interval(other),
        **_compared("own_less_other", own, other),
        "kfac": mean_interval(predicted),
        "kfac_signs": without_interval(sign_test(predicted)),
    }


def _quality(rows: list[Row]) -> float:
    """Over layers, correlation of |alpha - 2| with |1 - concentration|: C26's Fig. 6."""
    gap = [abs(float(row["alpha"]) - 2) for row in rows]
    slack = [abs(1 - float(row["conc"])) for row in rows]
    return float(torch.corrcoef(torch.tensor([gap, slack], dtype=torch.float64))[0, 1])


def _compared(name: str, first: list[float], second: list[float]) -> dict[str, Measured]:
    signs = sign_test(a - b for a, b in zip(first, second, strict=True))
    return {name: paired_difference(first, second), f"{name}_signs": without_interval(signs)}


STUDY = Study(
    question="What do LayerNorm, a bypass, the softmax head and weight sharing do to alpha?",
    measure=measure,
    summary=summary,
    seeds=10,
    grid={"cell": (*DENSE, *CONVS)},
    minutes=3,
)
