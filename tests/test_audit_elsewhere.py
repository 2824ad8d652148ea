"""What shows only elsewhere: at the end of the data, in large batches, far away, in what is shared.

Oracle of what is accepted: central differences of the bare module's values, as in `test_audit`.
"""

import copy
import random
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from draws import F64, generator, randn
from test_audit import Around, Bare, Embedded, KeepsDerivative, cross_entropy, mlp
from test_precision import CoarseBackward
from torch import nn

import landscape_nb as ln
from landscape_nb.numerics.audit import leaves


def data(n=24, width=4):
    return randn(n, width, seed=5), torch.randint(3, (n,), generator=generator(6))


def double(model):
    return model.double()


def squares(outputs, targets):
    return (outputs - targets).square().mean(1)


def accepted(model, loss_fn, x, y):
    """The loss, after its slope and bend were compared with plain values at a moved point."""
    loss, bare = ln.EmpiricalLoss(model, loss_fn, x, y), Bare(model, loss_fn, x, y, 0.0)
    w = loss.w0 + 0.1 * loss.w0.square().mean().sqrt() * randn(loss.num_params, seed=9)
    u = 0.1 * randn(loss.num_params, seed=10)
    n = loss.num_samples
    assert float(loss.gradient(w, n) @ u) == pytest.approx(bare.slope(w, u), rel=1e-7, abs=1e-9)
    assert float(u @ loss.hvp(w, u, n)) == pytest.approx(bare.bend(w, u), rel=1e-5, abs=1e-8)
    return loss


# -- where in the data ---------------------------------------------------------------------------


def rounded_at(rows):
    """Rounding that passes gradients straight through, for the last of the given data only."""

    def f(m, x):
        h = m[1](m[0](x))
        rough = h + ((8 * h).round() / 8 - h).detach()
        return m[2](torch.where((x[:, :1] > rows), rough, h))

    return f


class InAList(nn.Module):
    """An expert that no attribute registers, asked for large inputs only."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.m, self.experts = mlp(), [nn.Linear(4, 3).double()]

    def forward(self, x):
        return self.m(x) + (x[:, :1] > 10) * self.experts[0](x)


@pytest.mark.parametrize("n", [33, 40, 63, 64, 100])
@pytest.mark.parametrize(
    ("model", "says"),
    [
        (lambda: Around(rounded_at(10)), "gradient is not that of the loss's values"),
        (InAList, "trainable tensor 'experts.0.(weight|bias)'"),
    ],
    ids=["straight through", "in a list"],
)
def test_the_end_of_sorted_data_is_looked_at(model, says, n):
    x, y = data(n)
    x[-1] += 20
    with pytest.raises(ValueError, match=says):
        ln.EmpiricalLoss(model().double(), cross_entropy, x, y)


def test_words_of_padding_at_the_end_of_the_data():
    words = torch.randint(1, 7, (40, 5), generator=generator(1))
    words[34:, 3:] = 0
    with pytest.raises(ValueError, match="'embedding' has padding_idx=0"):
        ln.EmpiricalLoss(double(Embedded(padding_idx=0)), cross_entropy, words, data(40)[1])


def test_an_unused_padding_idx_is_not_blamed_for_another_fault():
    words = torch.randint(1, 7, (24, 5), generator=generator(1))
    model = Around(
        lambda m, x: (h := m(x)) + ((8 * h).round() / 8 - h).detach(),
        double(Embedded(padding_idx=0)),
    )
    with pytest.raises(ValueError, match="not that of the loss's values.*don't tell which"):
        ln.EmpiricalLoss(model, cross_entropy, words, data()[1])


def test_a_parameter_read_for_some_samples_only():
    model, (x, y) = double(mlp()), data()
    order = torch.tanh(model[0](x))[:, 0].argsort()

    def add(module, inputs, outputs):
        far = (inputs[0][:, :1] > 0.2).double()
        return outputs + far * model[0].bias.detach()[:3] if far.any() else outputs

    model[2].register_forward_hook(add)
    with pytest.raises(ValueError, match="reads the model's parameter '0.bias'"):
        ln.EmpiricalLoss(model, cross_entropy, x[order], y[order])


@pytest.mark.parametrize("large", [24, 32, 60])
def test_samples_that_meet_in_large_batches_only(large):
    model = Around(lambda m, x: m(x - x.mean(0) if len(x) > large else x))
    with pytest.raises(ValueError, match="not per-sample.*changes with the other samples"):
        ln.EmpiricalLoss(model.double(), cross_entropy, *data(large + 1))


@pytest.mark.parametrize("limit", [2.0, 4.0])
def test_samples_that_meet_where_values_are_large_only(limit):
    def f(m, x):
        z = m(x)
        return z / z.abs().amax().clamp(min=limit)

    model = Around(f).double()
    x, y = data()
    assert model(x).abs().max() < limit
    with pytest.raises(ValueError, match="not per-sample.*far from the model's own"):
        ln.EmpiricalLoss(model, cross_entropy, x, y)


def test_a_standard_deviation_over_the_batch_is_named():
    def spread(outputs, y):
        return (1 - outputs.std(0)).relu().mean() + outputs.square().mean(1)

    with pytest.raises(ValueError, match="not per-sample.*nan in a smaller.*standard deviation"):
        ln.EmpiricalLoss(double(mlp()), spread, *data())


# -- poles ---------------------------------------------------------------------------------------


class Pole(nn.Module):
    """One sample at x = 0 has no finite derivative: |a.x|^p."""

    def __init__(self, power, rough):
        super().__init__()
        self.m, self.a = double(mlp()), nn.Linear(4, 1, bias=False).double()
        self.power, self.rough = power, rough

    def forward(self, x):
        h = self.m[1](self.m[0](x))
        if self.rough:
            h = h + ((8 * h).round() / 8 - h).detach()
        return self.m[2](h) + self.a(x).abs() ** self.power


@pytest.mark.parametrize("power", [0.5, 1.5])
def test_one_sample_without_a_derivative_hides_no_other(power):
    x, y = data()
    x[20] = 0
    with pytest.raises(ValueError, match="not that of the loss's values"):
        ln.EmpiricalLoss(Pole(power, rough=True), cross_entropy, x, y)
    loss = ln.EmpiricalLoss(Pole(power, rough=False), cross_entropy, x, y)
    assert loss.gradient(loss.w0, 10).isfinite().all()


def test_what_has_no_finite_product_anywhere_is_refused():
    def f(m, x):
        z = x @ m[0].weight[:1].T
        return (z - z.detach()).abs() ** 1.5

    model = Around(f)
    with pytest.raises(ValueError, match="product H u is not, for any of 24 samples"):
        ln.EmpiricalLoss(model.double(), lambda out, y: out[:, 0], *data())


class MinimalGRU(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.z, self.h, self.out = nn.Linear(2, 4), nn.Linear(2, 4), nn.Linear(4, 1)

    def forward(self, x):
        k = self.z(x)
        log_c, log_z = -F.softplus(k), -F.softplus(-k)
        a = log_c.cumsum(1)
        h = (a + torch.logcumsumexp(log_z + F.softplus(self.h(x)).log() - a, 1)).exp()
        return self.out(h.mean(1))[:, 0]


def test_gauss_newton_of_a_scan_in_logarithms():
    x, y = randn(12, 5, 2, seed=1), randn(12, seed=2)
    loss = accepted(MinimalGRU().double(), lambda out, y: (out - y) ** 2, x, y)
    J = torch.autograd.functional.jacobian(lambda w: loss.outputs_at(w, range(12)), loss.w0)
    G = ln.GaussNewtonOperator(loss, loss.w0, 12).dense()
    torch.testing.assert_close(G, 2 * J.T @ J / 12)


# -- complex numbers as pairs --------------------------------------------------------------------


class Pairs(nn.Module):
    def __init__(self, first):
        super().__init__()
        pairs = nn.Parameter(randn(3, 2, seed=3))
        if first:
            self.w, self.b = pairs, nn.Parameter(torch.zeros(1, **F64))
        else:
            self.b, self.w = nn.Parameter(torch.zeros(1, **F64)), pairs

    def forward(self, x):
        return (x * torch.view_as_complex(self.w)).abs().square().sum(1).log() + self.b


@pytest.mark.parametrize("first", [True, False])
def test_complex_parameters_written_as_pairs_at_any_place(first):
    x, y = randn(6, 3, seed=4), randn(6, seed=5)
    loss = accepted(Pairs(first), lambda out, y: (out - y) ** 2, x, y)
    V = torch.linalg.qr(randn(7, 3)).Q.T.contiguous().T  # columns, as solvers hold them
    H = torch.autograd.functional.hessian(lambda w: loss.losses_at(w, range(6)).mean(), loss.w0)
    torch.testing.assert_close(loss.hvp(loss.w0, V, 6), H @ V)
    assert len(ln.increment_models(loss, loss.w0, V, [3]).a) == 1
    assert ln.GaussNewtonOperator(loss, loss.w0, 6)(V).isfinite().all()


# -- what is kept between calls ------------------------------------------------------------------


class KeepsFeatures(nn.Module):
    """Leaves its activations on itself, with their graph."""

    def __init__(self, function):
        super().__init__()
        self.m, self.function = double(mlp()), function

    def forward(self, x):
        self.features = self.function(self.m[0](x))
        return self.m[2](self.features)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_activations_kept_with_their_graph_hide_nothing(dtype):
    x, y = data()
    x = x.to(dtype)
    with pytest.raises(ValueError, match="second derivatives are not those of the loss"):
        ln.EmpiricalLoss(KeepsFeatures(KeepsDerivative.apply).to(dtype), cross_entropy, x, y)
    loss = ln.EmpiricalLoss(KeepsFeatures(torch.tanh).to(dtype), cross_entropy, x, y)
    ln.audit(loss)


def test_a_model_that_was_called_with_a_graph_is_refused_by_the_tensor():
    model = KeepsFeatures(torch.tanh)
    model(data()[0])
    with pytest.raises(ValueError, match="'features' was kept with its graph"):
        ln.EmpiricalLoss(model, cross_entropy, *data())


class Variational(nn.Module):
    def __init__(self):
        super().__init__()
        self.mu, self.rho = nn.Parameter(randn(3, seed=1)), nn.Parameter(-torch.ones(3, **F64))

    def forward(self, x):
        sd = F.softplus(self.rho)
        self.kl = (-sd.log() + (sd**2 + self.mu**2) / 2 - 0.5).sum()
        return x @ (self.mu + sd)


@pytest.mark.parametrize("called", [True, False])
def test_a_loss_that_reads_what_forward_leaves_on_the_model(called):
    model = Variational()
    if called:
        with torch.no_grad():
            model(randn(2, 3))
    says = "reads 'kl', which your module keeps" if called else "copies of your module"
    with pytest.raises(ValueError, match=f"{says}.*forward return it beside"):
        ln.EmpiricalLoss(
            model, lambda out, y: (out - y) ** 2 + model.kl, randn(20, 3), randn(20, seed=2)
        )


def test_a_loss_may_read_a_constant_that_the_model_keeps():
    model = Around(lambda m, x: m(x)).double()
    model.weights = torch.tensor([1.0, 2.0, 3.0], **F64)
    with torch.no_grad():
        model(data()[0])
    accepted(model, lambda out, y: cross_entropy(out, y) * model.weights[y], *data())


VIEWS = {
    "data": lambda w: w.data,
    "in a list": lambda w: [w.detach()],
    "in a dict": lambda w: {"a": w.detach().T},
    "numpy": lambda w: w.detach().numpy(),
    "a part": lambda w: w.data[1:3],
    "in a closure": lambda w: (lambda d: lambda x: x @ d.T)(w.data),
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_a_view_of_a_parameter_under_another_name(view):
    model = Around(lambda m, x: m(x)).double()
    model.other = view(model.inner[0].weight)
    with pytest.raises(ValueError, match="'other.*' is a view of the parameter 'inner.0.weight'"):
        ln.EmpiricalLoss(model, cross_entropy, *data())
    model.other = model.inner[0].weight.detach().clone()
    ln.EmpiricalLoss(model, cross_entropy, *data())


class Counts(nn.Module):
    """Counts its calls in a buffer; reads the count, or does not."""

    def __init__(self, reads):
        super().__init__()
        self.m, self.reads = double(mlp()), reads
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def forward(self, x):
        self.step += 1
        h = self.m[1](self.m[0](x))
        if self.reads and self.step > 300:
            h = (8 * h).round() / 8
        return self.m[2](h)


def test_a_count_of_calls_is_refused_where_it_is_read():
    with pytest.raises(ValueError, match="reads and changes the model's buffer 'step'"):
        ln.EmpiricalLoss(Counts(reads=True), cross_entropy, *data())
    accepted(Counts(reads=False), cross_entropy, *data())


def test_an_average_of_weights_kept_in_forward_is_named():
    class Averages(nn.Module):
        def __init__(self):
            super().__init__()
            self.m = double(mlp())
            self.slow = copy.deepcopy(self.m).requires_grad_(False)

        def forward(self, x):
            with torch.no_grad():
                for slow, fast in zip(self.slow.parameters(), self.m.parameters(), strict=True):
                    slow.mul_(0.9).add_(0.1 * fast.detach() + 0.01)
            return self.m(x) + self.slow(x)

    with pytest.raises(ValueError, match="memory.*changes the model's frozen parameter 'slow"):
        ln.EmpiricalLoss(Averages(), cross_entropy, *data())


def test_a_projection_through_data_is_refused_where_it_does_nothing_yet():
    def f(m, x):
        m[0].weight.data = torch.renorm(m[0].weight.data, 2, 0, 1e3)
        return m(x)

    with pytest.raises(ValueError, match=r"new numbers through \.data"):
        ln.EmpiricalLoss(Around(f).double(), cross_entropy, *data())


# -- low precision, through the constructor ------------------------------------------------------


def cast(h, to):
    return h.to(to).to(h.dtype)


def autocast(m, x):
    with torch.autocast("cpu", torch.bfloat16):
        return m(x).float()


LOW = {
    "bfloat16 activations": (lambda m, x: m[2](cast(m[1](m[0](x)), torch.bfloat16)), torch.float64),
    "float16 activations": (lambda m, x: m[2](cast(m[1](m[0](x)), torch.float16)), torch.float32),
    "autocast": (autocast, torch.float32),
}


@pytest.mark.parametrize(("f", "dtype"), LOW.values(), ids=LOW)
@pytest.mark.parametrize("n", [2, 24, 200])
def test_low_precision_is_refused_by_the_constructor(f, dtype, n):
    x, y = data(n)
    with pytest.raises(ValueError, match="computed in low precision.*float16"):
        ln.EmpiricalLoss(Around(f).to(dtype), cross_entropy, x.to(dtype), y)


def test_low_precision_is_not_taken_for_samples_that_meet():
    """In products of many rows each sum is rounded in another order."""
    model = Around(autocast, mlp(widths=(256, 256, 3)))
    with pytest.raises(ValueError, match="computed in low precision"):
        ln.EmpiricalLoss(model, cross_entropy, randn(100, 256).float(), data(100)[1])


def test_low_precision_of_derivatives_alone_is_refused_by_the_constructor():
    model = Around(lambda m, x: m[2](CoarseBackward.apply(m[1](m[0](x))))).double()
    with pytest.raises(ValueError, match="computed in low precision"):
        ln.EmpiricalLoss(model, cross_entropy, *data())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_constants_in_low_precision_are_let_pass(dtype):
    x, y = data()
    table = torch.randn(4, 3, generator=generator(8)).bfloat16()
    model = Around(lambda m, x: m(cast(x, torch.float16)) + (x @ table.to(x.dtype))).to(dtype)
    loss = ln.EmpiricalLoss(model, cross_entropy, x.to(dtype), y)
    ln.audit(loss)


def test_autocast_around_a_call_is_refused():
    x, y = data()
    loss = ln.EmpiricalLoss(mlp(), cross_entropy, x.float(), y)
    H = loss.hessian_operator(loss.w0, 5)
    calls = {
        "gradient": lambda: loss.gradient(loss.w0, 5),
        "values": lambda: loss.value(loss.w0, 5),
        "product": lambda: H @ loss.w0,
        "eigenpairs": lambda: ln.top_eigenpairs(loss, loss.w0, 5, 2),
    }
    for call in calls.values():
        call()
        with torch.autocast("cpu", torch.bfloat16), pytest.raises(ValueError, match="autocast"):
            call()


# -- what is shared ------------------------------------------------------------------------------


def remembering_hook():
    model, features = double(mlp(widths=(4, 32, 32, 3))), {}
    model[1].register_forward_hook(lambda module, x, h: features.__setitem__("h", h))
    return Around(lambda m, x: m(x) + features["h"][:, :3], model), cross_entropy


def remembering_hook_for_the_loss():
    model, features = double(mlp(widths=(4, 32, 32, 3))), {}
    model[1].register_forward_hook(lambda module, x, h: features.__setitem__("h", h))
    return model, lambda out, y: cross_entropy(out, y) + features["h"].square().mean(1)


class RemembersLogits(nn.Module):
    def forward(self, outputs, y):
        self.logp = outputs.log_softmax(1)
        return -self.logp.gather(1, y[:, None])[:, 0]


SHARED = {
    "hook and forward": remembering_hook,
    "hook and loss_fn": remembering_hook_for_the_loss,
    "loss module": lambda: (double(mlp(widths=(4, 32, 32, 3))), RemembersLogits()),
}


@pytest.mark.parametrize("build", SHARED.values(), ids=SHARED)
def test_state_outside_the_module_keeps_threads_apart(build):
    x, y = data(60)
    loss = ln.EmpiricalLoss(*build(), x, y)
    points = [loss.w0 + 0.1 * randn(loss.num_params, seed=seed) for seed in range(8)]
    alone = [loss.gradient(w, 60) for w in points]
    interval = sys.getswitchinterval()
    try:
        sys.setswitchinterval(1e-6)
        with ThreadPoolExecutor(8) as pool:
            for _ in range(4):
                together = pool.map(lambda w: loss.gradient(w, 60), points)
                assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))
    finally:
        sys.setswitchinterval(interval)


def test_which_functions_make_threads_take_turns():
    state, fixed = {}, (1.0, "a", torch.float64)
    for function, changes in [
        (lambda out, y: F.cross_entropy(out, y), False),
        (lambda out, y: cross_entropy(out, y), False),
        (lambda out, y: out * fixed[0], False),
        (F.cross_entropy, False),
        (lambda out, y: state.setdefault("h", out), True),
        (lambda out, y: (lambda: state)(), True),
        (RemembersLogits().forward, True),
    ]:
        assert leaves.may_change(function) is changes


def test_a_loss_module_is_copied():
    class Weighted(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("weight", torch.ones((), **F64))

        def forward(self, outputs, y):
            return self.weight * cross_entropy(outputs, y)

    weighted = Weighted()
    loss = ln.EmpiricalLoss(double(mlp()), weighted, *data())
    before = loss.value(loss.w0, 24)
    weighted.weight.mul_(7)
    with ThreadPoolExecutor(1) as pool:  # a thread that has no copy yet
        later = pool.submit(loss.value, loss.w0, 24).result()
    assert torch.equal(loss.value(loss.w0, 24), before) and torch.equal(later, before)


def test_layers_of_a_loss_module_are_named():
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.drop = nn.Dropout(0.5)

        def forward(self, outputs, y):
            return cross_entropy(self.drop(outputs), y)

    with pytest.raises(ValueError, match="is random.*'loss_fn.drop' drops at random"):
        ln.EmpiricalLoss(double(mlp()), Noisy(), *data())


def test_the_random_numbers_of_python_and_numpy_stay_as_they_were():
    def f(m, x):
        random.random(), np.random.rand()
        return m(x)

    random.seed(0), np.random.seed(0)
    expected = random.random(), np.random.rand()
    random.seed(0), np.random.seed(0)
    ln.EmpiricalLoss(Around(f).double(), cross_entropy, *data())
    assert (random.random(), np.random.rand()) == expected


# -- how inputs are handed over ------------------------------------------------------------------


class First(nn.Module):
    def __init__(self):
        super().__init__()
        self.m = double(mlp(widths=(4, 5, 1)))

    def forward(self, xs):
        return self.m(xs[0])


class Pair(First):
    def forward(self, batch, return_features=False):
        a, b = batch
        return self.m(a + b)


class Every(First):
    def forward(self, xs):
        return sum(self.m(x) for x in xs)


@pytest.mark.parametrize(
    ("model", "count"), [(First, 1), (First, 2), (Pair, 2), (Every, 1), (Every, 3)]
)
@pytest.mark.parametrize("container", [list, tuple])
def test_a_container_that_the_model_takes_whole(model, count, container):
    x = data()[0]
    given = container(x + i for i in range(count))
    loss = ln.EmpiricalLoss(model(), squares, given, x[:, :1].sin())
    plain = squares(model()(given), x[:, :1].sin())
    torch.testing.assert_close(loss.per_sample(loss.w0), plain.detach())


# -- other derivatives and odd arguments ---------------------------------------------------------


class WrongVmap(torch.autograd.Function):
    """sin, right but for its rule under vmap."""

    @staticmethod
    def forward(x):
        return x.sin()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, g):
        return g * ctx.saved_tensors[0].cos()

    @staticmethod
    def vmap(info, in_dims, x):
        return 1.3 * x.sin(), in_dims[0]


def test_a_wrong_rule_for_vmap_changes_no_gradient_of_a_sample():
    model = Around(lambda m, x: m[2](WrongVmap.apply(m[0](x)))).double()
    loss = accepted(model, cross_entropy, *data())
    each = loss.sample_gradients(loss.w0, 24)
    torch.testing.assert_close(each.mean(0), loss.gradient(loss.w0, 24))


def test_arguments_of_other_kinds_are_refused_in_words():
    x, y = data()
    loss = ln.EmpiricalLoss(double(mlp()), cross_entropy, x, y)
    with pytest.raises(ValueError, match="torch.func traces"):
        torch.func.grad(lambda w: loss.value(w, 3))(loss.w0)
    with pytest.raises(ValueError, match="dense tensor"):
        loss.gradient(loss.w0.to_sparse(), 3)
    with torch.inference_mode(), pytest.raises(ValueError, match="inference_mode"):
        loss.gradient(loss.w0, 3)
    with pytest.raises(ValueError, match="device 'meta'"):
        ln.EmpiricalLoss(double(mlp()).to("meta"), cross_entropy, x.to("meta"), y.to("meta"))
    nested = torch.nested.nested_tensor([x[0], x[1, :2]])
    for odd in (x.to_sparse(), nested):
        with pytest.raises(ValueError, match="must be a dense tensor"):
            ln.EmpiricalLoss(double(mlp()), cross_entropy, odd, y)
    itself = [x]
    itself.append(itself)
    with pytest.raises(ValueError, match="hold itself"):
        ln.EmpiricalLoss(double(mlp()), cross_entropy, itself, y)


def test_messages_stay_short_whatever_the_names():
    x, y = data()
    long = "n" * 8_000_000
    model = Around(lambda m, x: m(x)).double()
    model.register_parameter(long, nn.Parameter(torch.ones(2, dtype=torch.cdouble)))
    for call in (
        lambda: ln.EmpiricalLoss(model, cross_entropy, x, y),
        lambda: ln.EmpiricalLoss(double(mlp()), cross_entropy, {long: 3, "x": x}, y),
    ):
        with pytest.raises(ValueError) as error:
            call()
        assert len(str(error.value)) < 2000


def test_an_error_whose_text_fails_is_refused_all_the_same():
    class Mute(Exception):
        def __str__(self):
            raise RuntimeError

    def f(m, x):
        raise Mute

    with pytest.raises(ValueError, match="Mute without a readable message"):
        ln.EmpiricalLoss(Around(f).double(), cross_entropy, *data())
