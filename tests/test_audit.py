# ruff: noqa: E501
"""What the audit lets pass has right numbers, what it refuses it names, and no model is touched.

Oracle: central differences of plain loss values, of a bare copy of the module whose parameters are
set to w; no autograd and nothing of the package. Refused models are refused with the sentence that
fits what is wrong in them.
"""

import copy
import inspect
import math

import pytest
import torch
import torch.nn.functional as F
import torch.utils.checkpoint
from draws import generator, randn
from torch import nn

import landscape_nb as ln

cross_entropy = nn.CrossEntropyLoss(reduction="none")


def mlp(activation=nn.Tanh, widths=(4, 5, 3)):
    torch.manual_seed(0)
    layers = [nn.Linear(*w) for w in zip(widths, widths[1:], strict=False)]
    with_activations = [m for layer in layers for m in (layer, activation())]
    return nn.Sequential(*with_activations[:-1])


def vectors():
    return randn(24, 4)


def tokens():
    return torch.randint(7, (24, 5), generator=generator(1))


def labels():
    return torch.randint(3, (24,), generator=generator(2))


class Around(nn.Module):
    """Any function of an inner module and the inputs."""

    def __init__(self, function, inner=None, **parts):
        super().__init__()
        self.function, self.inner = function, mlp() if inner is None else inner
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        two = len(inspect.signature(self.function).parameters) == 2
        return self.function(self.inner, x) if two else self.function(self.inner, x, self)


class Embedded(nn.Module):
    def __init__(self, mask=False, **options):
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.head = nn.Embedding(7, 4, **options), nn.Linear(4, 3)
        self.mask = mask

    def forward(self, x):
        e = torch.tanh(self.embedding(x))
        if self.mask:
            e = e * (x != 0)[..., None]
        return self.head(e.mean(1))


class Sequence(nn.Module):
    def __init__(self, kind, **options):
        super().__init__()
        torch.manual_seed(0)
        self.rnn, self.head = kind(2, 3, batch_first=True, **options), nn.Linear(3, 3)

    def forward(self, x):
        return self.head(self.rnn(x.view(-1, 2, 2))[0][:, -1])


class Residual(nn.Module):
    """x + gamma f(x), where gamma starts at zero and hides what f does."""

    def __init__(self, f):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.f, self.last = nn.Linear(4, 4), f, nn.Linear(4, 3)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        h = self.first(x)
        return self.last(h + self.gamma * self.f(h))


class Repeated(nn.Module):
    """Batch norm that even one sample can pass: over three of its own features."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(1)

    def forward(self, x):
        return self.norm(x[:, None])[:, 0]


def normalised(gamma=1.0, **options):
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(5, **options)
    if norm.affine:
        nn.init.constant_(norm.weight, gamma)
    model = nn.Sequential(nn.Linear(4, 5), norm, nn.Tanh(), nn.Linear(5, 3))
    model(torch.randn(20, 4))  # running statistics of its own
    return model


def between(layer):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), layer, nn.Tanh(), nn.Linear(4, 3))


def scaled(model, factor):
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(factor)
    return model


def frozen_first():
    model = mlp()
    model[0].requires_grad_(False)
    return model


def tied():
    model = mlp(widths=(4, 4, 4, 3))
    model[2].weight = model[0].weight
    return model


def attention():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)
    return Around(lambda m, x: m(x[:, None, :].expand(-1, 3, -1))[:, 0, :3], layer).eval()


def convolution():
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 3, 2, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    return nn.Sequential(nn.Unflatten(1, (1, 2, 2)), *layers, nn.Linear(3, 3))


def soft_experts():
    torch.manual_seed(0)
    experts = nn.ModuleList([nn.Linear(4, 3) for _ in range(2)])
    return Around(
        lambda m, x, own: sum(
            p[:, None] * e(x) for p, e in zip(own.gate(x).softmax(1).T, m, strict=True)
        ),
        experts,
        gate=nn.Linear(4, 2),
    )


def hard_experts():
    torch.manual_seed(0)
    experts = nn.ModuleList([nn.Linear(4, 3) for _ in range(2)])

    def route(m, x, own):
        gates = own.gate(x).softmax(1)
        first = gates.argmax(1, keepdim=True)
        both = torch.stack([e(x) for e in m], 1)
        return both.gather(1, first[..., None].expand(-1, 1, 3))[:, 0] * gates.gather(1, first)

    return Around(route, experts, gate=nn.Linear(4, 2))


def old_weight_norm():
    torch.manual_seed(0)

    class WeightNorm(nn.Module):
        def __init__(self):
            super().__init__()
            self.v, self.g = nn.Parameter(torch.randn(5, 4)), nn.Parameter(torch.ones(5, 1))

        def forward(self, x):
            return x @ (self.g * self.v / self.v.square().sum(1, keepdim=True).sqrt()).T

    return nn.Sequential(WeightNorm(), nn.Tanh(), nn.Linear(5, 3))


def energy(m, x):
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        return torch.autograd.grad(m(x).logsumexp(1).sum(), x, create_graph=True)[0][:, :3]


def anchored():
    model = mlp()
    start = model[0].weight.detach().clone()
    return Around(lambda m, x: m(x) + (m[0].weight - start.to(x)).square().sum(), model)


def orthogonal():
    torch.manual_seed(0)
    layer = nn.utils.parametrizations.orthogonal(nn.Linear(4, 4))
    return nn.Sequential(layer, nn.Tanh(), nn.Linear(4, 3))


def focal(out, y):
    losses = cross_entropy(out, y)
    return (1 - torch.exp(-losses)) ** 2 * losses


def squared(out, y):
    return (out - F.one_hot(y, 3)).square().mean(1)


def hinge(out, y):
    return F.relu(1 + out - out.gather(1, y[:, None])).mean(1)


# name: model, and what differs from vectors and cross-entropy
GOOD = {
    "tanh": (mlp,),
    "ReLU": (lambda: mlp(nn.ReLU, (4, 20, 20, 3)),),
    "leaky ReLU, wide": (lambda: mlp(nn.LeakyReLU, (4, 200, 3)),),
    "GELU": (lambda: mlp(nn.GELU),),
    "softplus, small": (lambda: scaled(mlp(nn.Softplus), 1e-6),),
    "all parameters zero": (lambda: scaled(mlp(), 0.0),),
    "large parameters": (lambda: scaled(mlp(), 10.0),),
    "max pooling": (convolution,),
    "batch norm in eval mode": (lambda: normalised().eval(),),
    "batch norm, gamma zero, eval": (lambda: normalised(0.0).eval(),),
    "layer norm": (lambda: between(nn.LayerNorm(4)),),
    "group norm": (lambda: between(nn.GroupNorm(2, 4)),),
    "weight norm written out": (old_weight_norm,),
    "tied weights": (tied,),
    "frozen first layer": (frozen_first,),
    "frozen and under no_grad": (
        lambda: Around(lambda m, x: m[2](m[1](m[0](x).detach())), frozen_first()),
    ),
    "LSTM": (lambda: Sequence(nn.LSTM),),
    "GRU": (lambda: Sequence(nn.GRU),),
    "attention": (attention,),
    "soft experts": (soft_experts,),
    "hard experts": (hard_experts,),
    "dropout in eval mode": (lambda: nn.Sequential(mlp(), nn.Dropout(0.5)).eval(),),
    "embedding": (Embedded, {"x": tokens}),
    "padding_idx, masked": (lambda: Embedded(mask=True, padding_idx=0), {"x": tokens}),
    "padding_idx, never used": (lambda: Embedded(padding_idx=0), {"x": lambda: 1 + tokens() % 6}),
    "gamma zero": (lambda: Residual(nn.Tanh()),),
    "cdist by matrix products": (
        lambda: Around(
            lambda m, x: -torch.cdist(m(x), torch.eye(3).to(x), compute_mode=MM)
        ),
    ),
    "focal loss": (mlp, {"loss_fn": focal}),
    "squares": (mlp, {"loss_fn": squared}),
    "written-out hinge": (mlp, {"loss_fn": hinge}),
    "label smoothing": (mlp, {"loss_fn": nn.CrossEntropyLoss(reduction="none", label_smoothing=0.1)}),
    "frozen temperature": (
        mlp,
        {"loss_fn": lambda out, y: cross_entropy(out / FROZEN, y)},
    ),
    "tiny loss": (mlp, {"loss_fn": lambda out, y: 1e-300 * cross_entropy(out, y)}),
    "large offset": (mlp, {"loss_fn": lambda out, y: 1e5 + cross_entropy(out, y)}),
    "saturated": (lambda: scaled(mlp(), 100.0),),
    "linear in w": (lambda: nn.Linear(4, 3), {"loss_fn": lambda out, y: out.sum(1)}),
    "a penalty by l2": (mlp, {"l2": 0.1}),
    "gradient by the inputs": (lambda: Around(energy),),
    "float32 norm by rows": (lambda: Around(lambda m, x: m[2](float32_norm(m[1](m[0](x))))),),
    "parametrised": (orthogonal,),
    "spectral norm in eval mode": (lambda: spectral().eval(),),
    "anchored to a constant": (anchored,),
}  # fmt: skip
FROZEN = nn.Parameter(torch.tensor(2.0), False)
MM = "use_mm_for_euclid_dist"


def case(table, name, dtype=torch.float64):
    build, changes = (*table[name], {})[:2]
    model, x = build().to(dtype), changes.get("x", vectors)()
    x = x.to(dtype) if x.is_floating_point() else x
    loss_fn = changes.get("loss_fn", cross_entropy)
    if "uses_model" in changes:
        loss_fn = changes["uses_model"](model)
    return model, loss_fn, x, labels(), changes.get("l2", 0.0)


def state(model):
    everything = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return (
        {name: t.detach().clone() for name, t in everything.items()},
        [p.requires_grad for p in model.parameters()],
        [p.grad for p in model.parameters()],
        [m.training for m in model.modules()],
        torch.get_rng_state(),
    )


def assert_untouched(model, before):
    now = state(model)
    assert all(torch.equal(now[0][name], t) for name, t in before[0].items())
    assert now[1:4] == before[1:4] and all(grad is None for grad in now[2])
    assert torch.equal(now[4], before[4])


class Bare:
    """L(w) of a copy of the module, with w written into its parameters: no graph, no package."""

    def __init__(self, model, loss_fn, x, y, l2):
        self.model, self.rest = copy.deepcopy(model), (loss_fn, x, y, l2)
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]

    @torch.no_grad()
    def __call__(self, w):
        pieces = w.split([p.numel() for p in self.parameters])
        for p, piece in zip(self.parameters, pieces, strict=True):
            p.copy_(piece.view_as(p))
        loss_fn, x, y, l2 = self.rest
        return float(loss_fn(self.model(x), y).double().mean() + l2 / 2 * w @ w)

    def slope(self, w, u, steps=(1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)):
        return settled([(self(w + h * u) - self(w - h * u)) / (2 * h) for h in steps])

    def bend(self, w, u):
        steps = [2.0**-j for j in range(3, 15)]
        return settled([(self(w + h * u) + self(w - h * u) - 2 * self(w)) / h**2 for h in steps], 4)


def settled(estimates, ratio=100):
    """Of estimates with shrinking steps, freed from their h^2 term, the one that changes least."""
    pairs = zip(estimates, estimates[1:], strict=False)
    better = [(ratio * near - far) / (ratio - 1) for far, near in pairs]
    changes = [abs(b - a) for a, b in zip(better, better[1:], strict=False)]
    return better[1 + changes.index(min(changes))]


KINKS = {
    "ReLU",
    "leaky ReLU, wide",
    "max pooling",
    "hard experts",
    "attention",
    "written-out hinge",
    "saturated",
}


@pytest.mark.parametrize("moved", [0.0, 0.1], ids=["w0", "moved"])
@pytest.mark.parametrize("name", GOOD)
def test_what_is_accepted_has_the_slope_and_the_bend_of_plain_values(name, moved):
    parts = case(GOOD, name)
    before = state(parts[0])
    loss, bare = ln.EmpiricalLoss(*parts), Bare(*parts)
    assert_untouched(parts[0], before)
    if name == "float32 norm by rows":  # accepted: it rounds, but its derivatives are right
        return
    size = float(loss.w0.square().mean().sqrt()) or 1.0
    w = loss.w0 + moved * size * randn(loss.num_params, seed=5)
    assert loss.value(w, 24).item() == pytest.approx(bare(w), rel=1e-12)
    g, H = loss.gradient(w, 24), loss.hessian_operator(w, 24)
    unit = max(abs(bare(w)) if name != "large offset" else 1.0, 1e-320)
    for seed in range(3):
        u = size * randn(loss.num_params, seed=seed)
        steps = (1e-6, 1e-7, 1e-8) if name in KINKS else (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
        tolerance = 1e-6 if name in (*KINKS, "large offset") else 1e-8
        slope = pytest.approx(bare.slope(w, u, steps) / unit, rel=tolerance, abs=tolerance)
        assert float(g @ u) / unit == slope
        if name not in (*KINKS, "large offset"):
            bend = pytest.approx(bare.bend(w, u) / unit, rel=1e-5, abs=1e-7)
            assert float(u @ (H @ u)) / unit == bend


@pytest.mark.parametrize("name", [name for name in GOOD if name != "tiny loss"])
def test_what_is_accepted_in_float64_is_accepted_in_float32(name):
    parts = case(GOOD, name, torch.float32)
    before = state(parts[0])
    loss = ln.EmpiricalLoss(*parts)
    assert_untouched(parts[0], before)
    double = ln.EmpiricalLoss(*case(GOOD, name))
    if name not in ("large offset", "saturated"):
        g = double.gradient(double.w0, 24)
        off = loss.gradient(loss.w0, 24).double() - g
        assert off.norm() <= 1e-4 * max(g.norm(), 1e-3)


# -- what is refused -----------------------------------------------------------------------------


def doubled_forward():
    model = mlp()
    forward = model[0].forward
    model[0].forward = lambda z: 2 * forward(z)
    return model


def hooked(detached=False):
    model = mlp()

    def add(module, x, out):
        return out + (model[0].bias.detach() if detached else model[0].bias)[:3]

    model[2].register_forward_hook(add)
    return model


def no_grad_forward():
    model = mlp()
    forward = model[0].forward

    def without(z):
        with torch.no_grad():
            return forward(z)

    model[0].forward = without
    return model


def cached(m, x, own):
    if not own.kept:
        own.kept.append(m[0].weight.detach().clone())
    return m(x + x @ own.kept[0][:4].to(x))


def hidden_list():
    torch.manual_seed(0)
    return Around(lambda m, x, own: m(x) + own.hidden[0].to(x)(x), hidden=[nn.Linear(4, 3)])


def loose_tensor():
    scale = torch.ones(3, dtype=torch.float64, requires_grad=True)
    return Around(lambda m, x, own: m(x) * own.scale, scale=scale)


def penalty(model):
    weights = [p for p in model.parameters() if p.ndim == 2]
    return lambda out, y: cross_entropy(out, y) + 0.01 * sum(w.square().sum() for w in weights)


def orthogonal_penalty(model):
    return lambda out, y: (
        cross_entropy(out, y) + (model[0].weight @ model[0].weight.T).square().sum()
    )


class Scaled(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.temperature = nn.Parameter(torch.tensor(2.0, dtype=torch.float64), **options)

    def forward(self, out, y):
        return cross_entropy(out / self.temperature, y)


def temperature_in_a_closure(_):
    log_t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    return lambda out, y: cross_entropy(out / log_t.exp(), y)


class CallsAgain(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, module, *parameters):
        ctx.module = module
        ctx.save_for_backward(x)
        with torch.no_grad():
            return module(x)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            out = ctx.module(x)
            parts = [x, *ctx.module.parameters()]
            grads = torch.autograd.grad(out, parts, g, create_graph=True)
        return grads[0], None, *grads[1:]


def calls_again():
    return Around(lambda m, x: m[2](CallsAgain.apply(x, m[:2], *m[:2].parameters())))


class KeepsDerivative(torch.autograd.Function):
    """sin, whose derivative is computed in forward, where it has no graph."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x.cos())
        return x.sin()

    @staticmethod
    def backward(ctx, g):
        return g * ctx.saved_tensors[0]


class Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        return -g


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g):
        return g * ctx.saved_tensors[0].cos()


def middle(f):
    """F between the layers of an MLP."""
    return Around(lambda m, x: m[2](f(m[0](x))))


def middle_layer(layer):
    return Around(lambda m, x, own: m[2](own.between(m[0](x))), between=layer)


def scaled_norm(model, gamma):
    nn.init.constant_(model.between.norm.weight, gamma)
    return model


def no_grad_backbone(m, x):
    with torch.no_grad():
        h = m[1](m[0](x))
    return m[2](h)


def inference(m, x):
    with torch.inference_mode():
        return m(x)


def reentrant(m, x):
    return torch.utils.checkpoint.checkpoint(m, x, use_reentrant=True)


def checkpointed(m, x):
    return torch.utils.checkpoint.checkpoint(m, x, use_reentrant=False)


def straight_through(z):
    return z + ((8 * z).round() / 8 - z).detach()


def fake_quantize(z):
    return torch.fake_quantize_per_tensor_affine(z, 0.05, 0, -128, 127)


def float32_norm(h):
    single = h.float()
    return (single / (single.square().mean(1, keepdim=True) + 1e-6).sqrt()).to(h)


def counting(m, x, own):
    own.calls.append(0)
    return m(x) * (1 + 1e-3 * len(own.calls))


def fixed_seed(m, x):
    torch.manual_seed(0)
    return m(x + torch.randn_like(x))


def renormalised(m, x):
    m[0].weight.data /= m[0].weight.data.norm(dim=1, keepdim=True)
    return m(x)


def cholesky(m, x, own):
    return torch.linalg.solve_triangular(torch.linalg.cholesky(own.A), m(x).T, upper=False).T


def hook_without_graph(z):
    """tanh, whose backward is right and written in a hook, outside autograd's graph."""
    t = torch.tanh(z).detach()
    if not z.requires_grad:
        return t
    same = z * 1
    same.register_hook(lambda g: g * (1 - t**2))
    return same + (t - same).detach()


def focal_detached(out, y):
    losses = cross_entropy(out, y)
    return (1 - torch.exp(-losses.detach())) ** 2 * losses


def relative(out, y):
    losses = cross_entropy(out, y)
    return losses / losses.mean()


def ctc(out, y):
    logp = out[:, None].expand(-1, 4, -1).transpose(0, 1).log_softmax(2)
    n = len(y)
    lengths = torch.full((n,), 4), torch.ones(n, dtype=torch.long)
    return F.ctc_loss(logp, y[:, None].clamp(min=1), *lengths, reduction="none")


def spectral():
    torch.manual_seed(0)
    layer = nn.utils.parametrizations.spectral_norm(nn.Linear(4, 5))
    return nn.Sequential(layer, nn.Tanh(), nn.Linear(5, 3)).train()


def weight_norm():
    torch.manual_seed(0)
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(4, 5))
    return nn.Sequential(layer, nn.Tanh(), nn.Linear(5, 3))


def compiled():
    return torch.compile(mlp(), backend="eager")


def batch_norm_training():
    return normalised().train()


BATCH_SOFTMAX = "No batch normalisation of the model or loss_fn is in training mode"
LATE = "after the model's forward has ended"
WRONG_SLOPE = "gradient is not that of the loss's values"
WRONG_BEND = "second derivatives are not those of the loss"

# name: model, what its refusal says, and what differs from vectors and cross-entropy
REFUSED = {
    # A: reached past w
    "forward replaced": (doubled_forward, "'0.weight' is reached past the vector w|'0.bias' is reached past"),
    "hook that holds the model": (hooked, "'0.bias' is reached past the vector w"),
    "layer in a list": (hidden_list, "'hidden.0.(weight|bias)', of shape .*ModuleList"),
    "tensor that is no parameter": (loose_tensor, "'scale', of shape .3,., that is not one of the model's parameters"),
    "penalty in loss_fn": (mlp, "loss_fn uses the model's parameter '.*weight' itself.* use l2=", {"uses_model": penalty}),
    "another penalty": (mlp, "parameter '0.weight' itself, past", {"uses_model": orthogonal_penalty}),
    "temperature of a loss module": (mlp, "loss_fn has a trainable tensor of its own, 'temperature'", {"loss_fn": Scaled()}),
    "temperature in a closure": (mlp, "trainable tensor of its own, 'log_t'", {"uses_model": temperature_in_a_closure}),
    "closure without gradient": (lambda: hooked(detached=True), "reads the model's parameter '0.bias' past the vector w, without a gradient"),
    "replaced forward under no_grad": (no_grad_forward, "reads the model's parameter '0.bias' past the vector w, without a gradient"),
    "cache of weights": (lambda: Around(cached, kept=[]), "has a memory: .* a copy of the model that was not evaluated before"),
    # B: after the call
    "backward calls the module": (calls_again, LATE),
    "checkpointing": (lambda: Around(checkpointed), f"{LATE}.* checkpoint"),
    # C: hidden at w0
    "batch norm, gamma zero": (lambda: scaled_norm(middle_layer(Repeated()), 0.0).train(), "not per-sample.* near the model's own .*'between.norm' is batch norm"),
    "batch norm behind a zero": (lambda: Residual(Repeated()).train(), "not per-sample.* near .*'f.norm' is batch norm"),
    "dropout behind a zero": (lambda: Residual(nn.Dropout(0.5)).train(), "is random.* near .*'f' drops at random"),
    "noise behind a zero": (lambda: Residual(Around(lambda m, x: torch.randn_like(x))), "is random.* near .*No dropout layer"),
    "batch mean behind a zero": (lambda: Residual(Around(lambda m, x: x.mean(0, keepdim=True) + x)), f"not per-sample.* near .*{BATCH_SOFTMAX}"),
    "batch softmax, all zero": (lambda: scaled(middle(lambda z: z.softmax(0)), 0.0), f"not per-sample.*{BATCH_SOFTMAX}"),
    # D: another derivative
    "backbone under no_grad": (lambda: Around(no_grad_backbone), f"{WRONG_SLOPE}.*wrong in 'inner.0.weight', 'inner.0.bias'.*no_grad"),
    "detach in the middle": (lambda: middle(lambda z: torch.tanh(z) * z.detach()), f"{WRONG_SLOPE}.*detach"),
    "focal weight detached": (mlp, f"{WRONG_SLOPE}.*detach", {"loss_fn": focal_detached}),
    "straight-through": (lambda: middle(straight_through), f"{WRONG_SLOPE}.*straight-through"),
    "fake_quantize": (lambda: middle(fake_quantize), f"{WRONG_SLOPE}.*fake_quantize"),
    "sign with a gradient": (lambda: middle(lambda z: torch.tanh(z) + (z.sign() - torch.tanh(z)).detach()), WRONG_SLOPE),
    "padding_idx": (lambda: Embedded(padding_idx=0), f"{WRONG_SLOPE}.*'embedding' has padding_idx=0", {"x": tokens}),
    "gradient by frequency": (lambda: Embedded(scale_grad_by_freq=True), f"{WRONG_SLOPE}.*'embedding' has scale_grad_by_freq", {"x": tokens}),
    "gradient reversal": (lambda: middle(Reversed.apply), f"{WRONG_SLOPE}.*reversal"),
    "gradient hook": (lambda: middle(clipped), f"{WRONG_SLOPE}.*hook"),
    "derivative kept from forward": (lambda: middle(KeepsDerivative.apply), f"{WRONG_BEND}.*saves its derivative in forward"),
    "weight norm": (weight_norm, "Hessian is not symmetric.*weight_norm"),
    # F: no second derivative
    "cdist": (lambda: Around(lambda m, x: -torch.cdist(m(x), torch.eye(3).to(x))), "second derivative of _cdist_backward .*compute_mode="),
    "CTC": (mlp, "second derivative of .*ctc.*logsumexp", {"loss_fn": ctc}),
    "margin loss": (mlp, "second derivative of aten::multi_margin_loss_backward", {"loss_fn": nn.MultiMarginLoss(reduction="none")}),
    "sparse embedding": (lambda: Embedded(sparse=True), "sparse=False", {"x": tokens}),
    "max-norm embedding": (lambda: Embedded(max_norm=0.5), "changes the parameters in place.*max_norm", {"x": tokens}),
    "once differentiable": (lambda: middle(Once.apply), "second derivative.*once_differentiable"),
    "compiled": (compiled, "model is one .torch.compile.*_orig_mod"),
    "compiled inside": (lambda: nn.Sequential(compiled(), nn.Tanh()), "'0' is one .torch.compile.*_orig_mod"),
    # H: the reason that was seen
    "squeeze": (lambda: Around(lambda m, x: m(x)[:, :1]), "for one sample alone it has shape .*squeeze", {"loss_fn": lambda out, y: out.squeeze().square()}),
    "squeeze before": (mlp, "for one sample alone.*squeeze", {"loss_fn": lambda out, y: cross_entropy(out[:, None].squeeze(), y)}),
    "inference_mode": (lambda: Around(inference), "inference tensors: leave torch.inference_mode out"),
    "reentrant checkpointing": (lambda: Around(reentrant), "PyTorch warns: None of the inputs.*checkpointing off"),
    "DataParallel": (lambda: nn.DataParallel(mlp()), "DataParallel.*model.module"),
    "ScriptModule": (lambda: torch.jit.script(mlp()), "ScriptModule"),
    "batch norm": (batch_norm_training, "not per-sample.*'1' is batch normalisation"),
    "batch norm without statistics": (lambda: normalised(track_running_stats=False).eval(), "not per-sample.*track_running_stats"),
    "relative loss": (mlp, f"not per-sample.*{BATCH_SOFTMAX}.*look in loss_fn", {"loss_fn": relative}),
    "coupled outputs": (lambda: middle(lambda z: z - z.amax(0)), f"not per-sample.*{BATCH_SOFTMAX}"),
    "dropout": (lambda: nn.Sequential(mlp(), nn.Dropout(0.5)).train(), "is random.*'1' drops at random"),
    "functional dropout": (lambda: middle(F.dropout), "is random.*seed of torch makes them equal.*functional.dropout"),
    "LSTM with dropout": (lambda: Sequence(nn.LSTM, num_layers=2, dropout=0.5).train(), "is random.*'rnn' drops at random"),
    "random numbers of a fixed seed": (lambda: Around(fixed_seed), f"not per-sample.*{BATCH_SOFTMAX}.*look in the model or loss_fn.*fixed seed"),
    "hook without a graph": (lambda: middle(hook_without_graph), f"{WRONG_BEND}.*hook"),
    "writes into a parameter": (lambda: Around(renormalised), "changes the parameters in place.*Look for .data"),
    "EmbeddingBag": (lambda: nn.Sequential(nn.EmbeddingBag(7, 4), nn.Linear(4, 3)), "second derivative of _embedding_bag_backward.*nn.Embedding", {"x": tokens}),
    "cholesky of what is not symmetric": (lambda: Around(cholesky, A=nn.Parameter(torch.eye(3))), f"{WRONG_SLOPE}.*wrong in 'A'.*cholesky"),
    "gradient of half the way": (mlp, f"{WRONG_SLOPE}.*detach", {"loss_fn": lambda out, y: (out - 0.5 * out.roll(1, 1).detach()).square().sum(1)}),
    "numpy": (lambda: Around(lambda m, x: m(x) + torch.from_numpy(m(x).detach().numpy() ** 2)), WRONG_SLOPE),
    ".item()": (lambda: Around(lambda m, x: m(x) * m[0].weight.norm().item()), f"{WRONG_SLOPE}.*wrong in 'inner.0.weight'"),
    "counts its calls": (lambda: Around(counting, calls=[]), "is random.*counts its calls"),
    "spectral norm in training": (spectral, "has a memory.*changes the model's buffer"),
    "detached": (mlp, "does not depend on.*look for detach.. or numpy in loss_fn", {"loss_fn": lambda out, y: cross_entropy(out.detach(), y)}),
    "bfloat16 loss": (mlp, "loss_fn returns torch.bfloat16", {"loss_fn": lambda out, y: cross_entropy(out.bfloat16(), y)}),
}  # fmt: skip


def clipped(z):
    z = torch.tanh(z)
    if z.requires_grad:
        z.register_hook(lambda g: g.clamp(-1e-3, 1e-3))
    return z


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_refused_by_name(name, dtype):
    build, sentence, changes = (*REFUSED[name], {})[:3]
    model, *rest = case({name: (build, changes)}, name, dtype)
    before = state(model)
    with pytest.raises(ValueError, match=sentence):
        ln.EmpiricalLoss(model, *rest)
    assert_untouched(model, before)


def test_a_float32_product_inside_a_float64_model_is_named_as_such():
    """Its rounding depends on the number of rows: it is not batch normalisation."""
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 3)).double()
    model = Around(lambda m, x: m[1]((m[0](x).float() @ m[0].weight.float()).double()), inner)
    with pytest.raises(ValueError, match="computed in a lower precision than its parameters"):
        ln.EmpiricalLoss(model, cross_entropy, randn(40, 64), torch.arange(40) % 3)


def test_complex_parameters_are_not_sent_to_where_they_lose_half():
    model = Around(lambda m, x: m(x), phase=nn.Parameter(torch.ones(2, dtype=torch.cdouble)))
    with pytest.raises(ValueError, match="real floating point.*view_as_real"):
        ln.EmpiricalLoss(model, cross_entropy, vectors(), labels())


@pytest.mark.parametrize("scale", [1e-25, 1e-30, 1e20], ids="scale={:g}".format)
@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU])
def test_the_unit_of_the_loss_changes_no_answer(activation, scale):
    """A good model stays good, dropout stays dropout, a wrong derivative stays wrong; float32."""
    x, y = vectors().float(), labels()

    def loss_fn(out, y):
        return scale * cross_entropy(out, y)

    ln.EmpiricalLoss(mlp(activation), loss_fn, x, y)
    with pytest.raises(ValueError, match="is random"):
        ln.EmpiricalLoss(nn.Sequential(mlp(activation), nn.Dropout()), loss_fn, x, y)
    with pytest.raises(ValueError, match=WRONG_BEND):
        ln.EmpiricalLoss(middle(KeepsDerivative.apply), loss_fn, x, y)
    with pytest.raises(ValueError, match=WRONG_SLOPE):
        ln.EmpiricalLoss(Around(no_grad_backbone), loss_fn, x, y)


def test_the_audit_prints_its_numbers_and_changes_nothing(capsys):
    torch.manual_seed(0)
    loss = ln.EmpiricalLoss(mlp(nn.ReLU).double(), cross_entropy, vectors(), labels())
    before, w0 = state(loss.model), loss.w0.clone()
    ln.audit(loss)
    assert_untouched(loss.model, before)
    assert torch.equal(loss.w0, w0)
    rows = capsys.readouterr().out.splitlines()
    for start in ("At w0, 24 of 24", "evaluated twice", "alone and", "slope by", "curvature by"):
        assert any(row.strip().startswith(start) for row in rows)
    slope = next(row for row in rows if "slope by differences" in row)
    off = float(slope.split("off by ")[1].split()[0])
    assert 0 < off < 1e-7 and "(allowed 1e-05), 2 directions" in slope


def test_the_audit_sees_what_a_loss_became():
    """A layer of the loss's own copy is put into training mode after the loss was made."""
    loss = ln.EmpiricalLoss(
        nn.Sequential(mlp(), nn.Dropout(0.5)).double().eval(), cross_entropy, vectors(), labels()
    )
    loss.model.train()
    with pytest.raises(ValueError, match="is random"):
        ln.audit(loss)


@pytest.mark.parametrize(("features", "most"), [(64, 32), (40_000, 8)], ids=["small", "large"])
def test_the_audit_evaluates_few_samples(monkeypatch, features, most):
    """For 1000 samples fewer than one more pass over them; one batch of 8 at most if they are large."""
    seen = []
    plain = ln.EmpiricalLoss.losses_at

    def counted(self, w, batch):
        seen.append(len(batch))
        return plain(self, w, batch)

    monkeypatch.setattr(ln.EmpiricalLoss, "losses_at", counted)
    x = randn(1000, features)
    loss = ln.EmpiricalLoss(
        mlp(nn.ReLU, (features, 5, 3)).double(), cross_entropy, x, torch.arange(1000) % 3
    )
    assert sum(seen) - 1000 <= 1000
    full = seen.index(max(seen))
    near_w0 = seen[full + math.ceil(1000 / loss.batch_size) :]
    assert max(near_w0) == most
