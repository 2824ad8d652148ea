"""How precise a loss is, measured: the noise of its values and the non-linearity of its products.

Oracles: noise and steps of known size that are planted in the values of a smooth loss; models of
which it is known what they are computed in. Losses here are made by torch alone.
"""

import pytest
import torch
from draws import generator, randn
from torch import nn
from torch.func import functional_call

from landscape_nb.numerics.audit.precision import loss_precision, refuse_low_precision

CE = nn.CrossEntropyLoss(reduction="none")


class Loss:
    """The losses of a module, as an operator asks for them; `fault` is put on the values."""

    l2, num_samples, sample_bytes, memory = 0.0, 24, 64, 1e9

    def __init__(self, model, x, y, loss_fn=CE, fault=None):
        self.model, self.x, self.y, self.loss_fn, self.fault = model, x, y, loss_fn, fault
        self.names, p = zip(*model.named_parameters(), strict=True)
        self.shapes = [q.shape for q in p]
        self.w0 = torch.cat([q.detach().reshape(-1) for q in p])

    def batches(self, samples):
        return [samples]

    def outputs_at(self, w, batch):
        pieces = w.split([shape.numel() for shape in self.shapes])
        shaped = (v.view(s) for v, s in zip(pieces, self.shapes, strict=True))
        at = dict(zip(self.names, shaped, strict=True))
        return functional_call(self.model, at, (self.x[batch.start : batch.stop],))

    def losses_of(self, outputs, batch):
        losses = self.loss_fn(outputs, self.y[batch.start : batch.stop])
        return self.fault(losses) if self.fault else losses

    def losses_at(self, w, batch):
        return self.losses_of(self.outputs_at(w, batch), batch)


class Then(nn.Module):
    """A model whose hidden layer goes through `between`."""

    def __init__(self, between=lambda h: h, activation=nn.Tanh):
        super().__init__()
        self.first, self.activation, self.last = nn.Linear(4, 16), activation(), nn.Linear(16, 3)
        self.between = between

    def forward(self, x):
        return self.last(self.between(self.activation(self.first(x))))


class Autocast(nn.Module):
    def __init__(self, inner, dtype):
        super().__init__()
        self.inner, self.dtype = inner, dtype

    def forward(self, x):
        with torch.autocast("cpu", dtype=self.dtype):
            return self.inner(x).to(x.dtype)


def problem(between=lambda h: h, dtype=torch.float64, seed=0, wrap=lambda m: m, **options):
    torch.manual_seed(seed)
    activation = options.pop("activation", nn.Tanh)
    model = wrap(Then(between, activation).to(dtype))
    y = torch.randint(3, (24,), generator=generator(seed))
    return Loss(model, randn(24, 4, seed=seed).to(dtype), options.pop("y", y), **options)


def lowered(dtype):
    """Rounds activations to a dtype, and comes back."""
    return lambda h: h.to(dtype).to(h.dtype)


SEEDS = pytest.mark.parametrize("seed", range(4), ids="seed={}".format)


# -- planted in the values -------------------------------------------------------------------------


@SEEDS
@pytest.mark.parametrize("size", [1e-2, 1e-4, 1e-7, 1e-12], ids="size={}".format)
def test_planted_noise_is_measured(size, seed):
    g = generator(seed)

    def noise(losses):
        return losses + size * torch.randn(losses.shape, generator=g, dtype=losses.dtype)

    loss = problem(seed=seed, fault=noise)
    largest = float(problem(seed=seed).losses_at(loss.w0, range(8)).max())
    found = loss_precision(loss, loss.w0)
    # the smallest estimate of six orders, from eight samples: too low rather than too high
    assert 0.2 < found.noise / (size / largest) < 1.2
    assert found.step < 1e-14


@SEEDS
@pytest.mark.parametrize("size", [1e-2, 1e-3, 1e-6], ids="size={}".format)
def test_planted_steps_are_measured_though_short_lines_see_none(size, seed):
    loss = problem(seed=seed, fault=lambda losses: (losses / size).round() * size)
    largest = float(problem(seed=seed).losses_at(loss.w0, range(8)).max())
    found = loss_precision(loss, loss.w0)
    assert torch.equal(
        loss.losses_at(loss.w0 * (1 + 1e-10), range(8)), loss.losses_at(loss.w0, range(8))
    )
    assert 0.3 < found.noise / (size / largest / 12**0.5) < 3
    assert 1e-2 * size < found.step < 10 * size


@SEEDS
def test_a_noise_of_one_percent_is_refused_and_the_cause_left_open(seed):
    g = generator(seed)
    loss = problem(seed=seed, fault=lambda x: x + 1e-2 * torch.randn(8, generator=g).double())
    with pytest.raises(ValueError, match="The loss is noisy.*the cause is not known"):
        refuse_low_precision(loss, loss.w0)


# -- models of known precision ---------------------------------------------------------------------


@SEEDS
@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU, nn.GELU])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_a_model_in_one_precision_has_noise_of_a_rounding(dtype, activation, seed):
    loss = problem(dtype=dtype, activation=activation, seed=seed)
    eps = torch.finfo(dtype).eps
    for w in (loss.w0, loss.w0 + 0.1 * randn(len(loss.w0), seed=seed).to(dtype)):
        found = refuse_low_precision(loss, w)
        assert 0.05 * eps < found.noise < 3 * eps
        assert 0 < found.nonlinearity < 10 * eps
        assert found.coarsest is dtype and not found.low and found.step < 100 * eps


LOW = {
    "autocast to bfloat16": (dict(wrap=lambda m: Autocast(m, torch.bfloat16)), torch.float32, 3e-5),
    "bfloat16 activations": (dict(between=lowered(torch.bfloat16)), torch.float32, 1e-6),
    "bfloat16 activations in float64": (
        dict(between=lowered(torch.bfloat16)), torch.float64, 1e-6,
    ),
    "float16 activations": (dict(between=lowered(torch.float16)), torch.float32, 1e-7),
    "float16 activations in float64": (dict(between=lowered(torch.float16)), torch.float64, 1e-7),
    "ReLU, bfloat16": (
        dict(between=lowered(torch.bfloat16), activation=nn.ReLU), torch.float64, 1e-6,
    ),
    "bfloat16 logits": (
        dict(loss_fn=lambda out, y: nn.functional.cross_entropy(
            out.bfloat16().to(out.dtype), y, reduction="none")), torch.float64, 1e-6,
    ),
}  # fmt: skip


@SEEDS
@pytest.mark.parametrize("case", LOW)
def test_low_precision_inside_is_refused_by_numbers_and_by_name(case, seed):
    options, dtype, at_least = LOW[case]
    loss = problem(dtype=dtype, seed=seed, **options)
    with pytest.raises(ValueError, match="computed in low precision") as refused:
        refuse_low_precision(loss, loss.w0)
    found = loss_precision(loss, loss.w0)
    assert found.low and at_least < found.noise < 1e-2 and 3e-5 < found.nonlinearity < 0.1
    message = str(refused.value)
    assert f"{found.noise:.1e}" in message and f"{found.nonlinearity:.1e}" in message
    assert f"{found.operation} returned {found.coarsest}" in message
    assert found.operation in ("to", "half", "bfloat16", "linear")


class CoarseBackward(torch.autograd.Function):
    """Nothing in the forward pass; derivatives, and theirs, are rounded to float16."""

    @staticmethod
    def forward(ctx, h):
        return h.clone()

    @staticmethod
    def backward(ctx, slope):
        return CoarseBackward.apply(slope.half().to(slope.dtype))


@SEEDS
def test_low_precision_of_the_derivatives_alone_is_refused(seed):
    loss = problem(CoarseBackward.apply, seed=seed)
    found = loss_precision(loss, loss.w0)
    assert found.noise < 1e-15 and found.nonlinearity > 3e-5
    with pytest.raises(ValueError, match="computed in low precision"):
        refuse_low_precision(loss, loss.w0)


@SEEDS
def test_low_precision_of_the_values_alone_is_refused(seed):
    loss = problem(seed=seed, fault=lambda losses: losses.half().double())
    found = loss_precision(loss, loss.w0)
    assert found.noise > 1e-6 and found.nonlinearity < 1e-14
    with pytest.raises(ValueError, match="computed in low precision"):
        refuse_low_precision(loss, loss.w0)


@pytest.mark.parametrize("seed", range(2), ids="seed={}".format)
def test_autocast_moves_by_nothing_and_the_refusal_says_so(seed):
    loss = problem(dtype=torch.float32, seed=seed, wrap=lambda m: Autocast(m, torch.bfloat16))
    moved = loss.w0 * (1 + 3e-7)  # two roundings of float32
    assert torch.equal(loss.losses_at(moved, range(8)), loss.losses_at(loss.w0, range(8)))
    with pytest.raises(ValueError, match="does not move them"):
        refuse_low_precision(loss, loss.w0)


@SEEDS
def test_float32_inside_float64_is_measured_and_not_refused(seed):
    loss = problem(lowered(torch.float32), seed=seed)
    found = refuse_low_precision(loss, loss.w0)
    assert found.coarsest is torch.float32 and not found.low
    assert 1e-12 < found.noise < 1e-7 and 1e-9 < found.nonlinearity < 1e-6


GOOD = {
    "saturated, float32": dict(wrap=lambda m: scaled(m, 300), dtype=torch.float32),
    "a half precision mask": dict(between=lambda h: h * (h > -2).half().to(h.dtype)),
    "a perfect fit, float32": dict(
        loss_fn=lambda out, y: (out - y).square().sum(1), y="own", dtype=torch.float32
    ),
    "an offset of a million, float32": dict(fault=lambda x: x + 1e6, dtype=torch.float32),
    "scaled to 1e-25, float32": dict(fault=lambda x: 1e-25 * x, dtype=torch.float32),
    "scaled to 1e-300": dict(fault=lambda x: 1e-300 * x),
    "linear in w": dict(loss_fn=lambda out, y: out.sum(1), activation=nn.Identity),
    "zero": dict(fault=lambda x: 0 * x),
    "long sums, float32": dict(
        between=lambda h: h + torch.linspace(-1, 1, 20001, dtype=h.dtype)[:, None].sum(0),
        dtype=torch.float32,
    ),
}


def scaled(model, factor):
    with torch.no_grad():
        model.last.weight *= factor
    return model


@SEEDS
@pytest.mark.parametrize("case", GOOD)
def test_good_models_are_not_refused(case, seed):
    options = dict(GOOD[case])
    if options.pop("y", None) is not None:
        plain = problem(dtype=torch.float32, seed=seed)
        own = plain.outputs_at(plain.w0, range(24)).detach()
        options["y"] = own * (1 + 1e-7 * randn(*own.shape).float())  # fitted but for rounding
    loss = problem(seed=seed, **options)
    assert refuse_low_precision(loss, loss.w0).noise < 1e-6


def test_measuring_leaves_model_and_random_state_alone():
    loss = problem(dtype=torch.float32, wrap=lambda m: Autocast(m, torch.bfloat16))
    before = [p.detach().clone() for p in loss.model.parameters()]
    state, w = torch.get_rng_state(), loss.w0.clone()
    first, second = (loss_precision(loss, loss.w0) for _ in range(2))
    assert first == second and torch.equal(torch.get_rng_state(), state)
    assert torch.equal(w, loss.w0)
    for p, q in zip(loss.model.parameters(), before, strict=True):
        assert torch.equal(p, q) and p.grad is None
