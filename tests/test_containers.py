"""Samples in dicts, tuples and lists, outputs of any form, and models that differentiate inside.

Oracles: central differences of plain values of the bare module, at w0 and at a moved point; the
same model with one tensor in and one out; sums over J'AJ.
"""

import collections
import dataclasses
import importlib.util
import os
import types
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from draws import F64, generator, randn
from torch import nn
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, vmap
from torch.nn import functional as F

import landscape_nb as ln
from landscape_nb.numerics import batches
from landscape_nb.numerics.samples import sample_derivatives
from landscape_nb.theory import layers

N = 9
X, Y = randn(N, 4), torch.randint(3, (N,), generator=generator(7))
cross_entropy = nn.CrossEntropyLoss(reduction="none")
squares = lambda out, y: (out - y).square().flatten(1).mean(1)  # noqa: E731


def derivative(f, step=2e-3):
    """f'(0) by central differences of sixth order."""
    return sum(c * (f(j * step) - f(-j * step)) for j, c in ((1, 45), (2, -9), (3, 1))) / 60 / step


def plain_value(model, fn, call, y):
    """The mean loss of the bare module at w; nothing of the package in it."""
    parameters = [p for p in model.parameters() if p.requires_grad]

    def value(w):
        nn.utils.vector_to_parameters(w.clone(), parameters)
        return float(fn(call(model), y).mean().detach())

    return value


def differences(value, w, u, v, step=2e-3):
    """The slope along u and the curvature along u and v at w, from values alone."""
    slope = derivative(lambda t: value(w + t * u), step)
    return slope, derivative(lambda s: derivative(lambda t: value(w + s * v + t * u), step), step)


def agrees(loss, value, tolerance=1e-8, scale=0.1):
    """Value, slope and curvature against differences of plain values, at w0 and elsewhere."""
    k = loss.num_samples
    for j in range(2):
        w = loss.w0 + j * scale * randn(loss.num_params, seed=10)
        u, v = (F.normalize(randn(loss.num_params, seed=s), dim=0) for s in (11, 12))
        slope, curvature = differences(value, w, u, v)
        assert abs(float(loss.value(w, k)) - value(w)) < tolerance / 100
        assert abs(float(loss.gradient(w, k) @ u) - slope) < tolerance
        assert abs(float(u @ loss.hvp(w, v, k)) - curvature) < tolerance
        rows = loss.sample_gradients(w, k)
        torch.testing.assert_close(rows.mean(0), loss.gradient(w, k), rtol=0, atol=1e-8)
        # where samples are taken apart
        U = ln.random_subspace(loss.num_params, 2, generator())
        B = sample_derivatives(loss, w, U, range(k))[2]
        torch.testing.assert_close(B.mean(0), U.T @ loss.hvp(w, U, k), rtol=0, atol=1e-8)


# -- inputs and targets ----------------------------------------------------------------------------


def mlp(inputs=4, outputs=3):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(inputs, 5), nn.Tanh(), nn.Linear(5, outputs)).double()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = mlp()


class TwoInputs(Net):
    def forward(self, left, right=None):
        return self.net(left if right is None else torch.cat([left, right], 1))


class Whole(Net):
    def forward(self, batch):
        left, right = batch.values() if hasattr(batch, "values") else batch
        return self.net(torch.cat([left, right], 1))


class AnyArguments(Net):
    def forward(self, *args, **kwargs):
        return TwoInputs.forward(self, *args, **kwargs)


class Nested(Net):
    def forward(self, batch, scale):
        return self.net(torch.cat([batch["left"], batch["right"][0]], 1)) * scale[:, None]


Pair = collections.namedtuple("Pair", "left right")
halves = X[:, :2], X[:, 2:]
named = dict(left=halves[0], right=halves[1])

INPUTS = {
    "dict by name": (TwoInputs, named, lambda m: m(**named)),
    "dict in another order": (
        TwoInputs, {"right": halves[1], "left": halves[0]}, lambda m: m(**named)),
    "UserDict by name": (TwoInputs, collections.UserDict(named), lambda m: m(**named)),
    "OrderedDict": (TwoInputs, collections.OrderedDict(named), lambda m: m(**named)),
    "mapping that can't be changed": (
        TwoInputs, types.MappingProxyType(named), lambda m: m(**named)),
    "tuple by place": (TwoInputs, halves, lambda m: m(*halves)),
    "list by place": (TwoInputs, list(halves), lambda m: m(*halves)),
    "namedtuple": (TwoInputs, Pair(*halves), lambda m: m(*halves)),
    "one in a tuple": (TwoInputs, (X,), lambda m: m(X)),
    "an input left out": (TwoInputs, {"left": X, "right": None}, lambda m: m(X)),
    "dict whole": (Whole, named, lambda m: m(named)),
    "UserDict whole": (Whole, collections.UserDict(named), lambda m: m(named)),
    "tuple whole": (Whole, halves, lambda m: m(halves)),
    "arguments of any kind by name": (AnyArguments, named, lambda m: m(**named)),
    "arguments of any kind by place": (AnyArguments, halves, lambda m: m(*halves)),
    "containers in a container": (
        Nested,
        {"batch": {"left": halves[0], "right": [halves[1]]}, "scale": X[:, 0]},
        lambda m: m({"left": halves[0], "right": [halves[1]]}, X[:, 0]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("batch_size", [None, 4], ids="batch={}".format)
@pytest.mark.parametrize(("model", "inputs", "call"), INPUTS.values(), ids=INPUTS)
def test_inputs(model, inputs, call, batch_size):
    bare = model()
    loss = ln.EmpiricalLoss(bare, cross_entropy, inputs, Y, batch_size=batch_size)
    assert loss.num_samples == N and type(loss.outputs(loss.w0, 3)) is torch.Tensor
    agrees(loss, plain_value(model(), cross_entropy, call, Y))
    chosen = torch.tensor([7, 0, 7])
    rows = loss.per_sample(loss.w0)[chosen]
    torch.testing.assert_close(loss.per_sample(loss.w0, chosen), rows, rtol=0, atol=1e-13)


def weighted(out, y):
    label, weight = y.values() if hasattr(y, "values") else y
    return weight * cross_entropy(out, label)


@pytest.mark.parametrize(
    "targets",
    [
        {"label": Y, "weight": X[:, 0].exp()},
        collections.UserDict(label=Y, weight=X[:, 0].exp()),
        (Y, X[:, 0].exp()),
        [Y, X[:, 0].exp()],
    ],
    ids=["dict", "UserDict", "tuple", "list"],
)
def test_targets(targets):
    loss = ln.EmpiricalLoss(mlp(), weighted, X, targets)
    assert type(loss.targets) is type(targets)
    agrees(loss, plain_value(mlp(), weighted, lambda m: m(X), targets))


BAD = {
    "unequal rows": ({"a": X, "b": X[:4]}, Y, r"9 in inputs\['a'\], 4 in inputs\['b'\]"),
    "samples in a list": (list(X), Y, "torch.stack"),
    "other targets": (halves, Y[:5], r"9 in inputs\[0\].*5 in targets"),
    "numpy inside": ((X, X.numpy()), Y, r"inputs\[1\] must be a torch tensor.*ndarray"),
    "an option inside": ({"left": X, "scale": True}, Y, r"inputs\['scale'\].*bool"),
    "numbers": ({"ids": [1, 2]}, Y, "inputs must be a torch tensor.*dict.*return_tensors='pt'"),
    "float32 inside": ((halves[0], halves[1].float()), Y, r"inputs\[1\] has dtype torch.float32"),
    "a number inside": ((X, torch.tensor(1.0).double()), Y, r"inputs\[1\].*a single number"),
    "nothing inside": ({}, Y, "inputs must be a torch tensor.*dict"),
    "empty": ((X[:0],), Y[:0], r"inputs\[0\] is empty"),
    "targets of None": (X, None, "targets must be a torch tensor.*NoneType"),
    "wrong names": ({"left": X, "wrong": X}, Y, "can't be evaluated.*several in a dict or tuple"),
}  # fmt: skip


@pytest.mark.parametrize(("inputs", "targets", "says"), BAD.values(), ids=BAD)
def test_containers_that_do_not_fit_are_refused_in_words(inputs, targets, says):
    with pytest.raises(ValueError, match=f"(?s){says}"):
        ln.EmpiricalLoss(TwoInputs(), cross_entropy, inputs, targets)


def test_the_callers_containers_are_left_as_they_are():
    given = {"left": halves[0].clone(), "right": halves[1].clone()}
    loss = ln.EmpiricalLoss(TwoInputs(), cross_entropy, given, Y)
    before = loss.value(loss.w0, N)
    assert list(given) == ["left", "right"] and torch.equal(given["left"], halves[0])
    given["left"].zero_()
    given.clear()
    assert torch.equal(loss.value(loss.w0, N), before)


# -- outputs ---------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Frozen:
    logits: torch.Tensor
    loss: torch.Tensor
    name: str = "frozen"


class Returns(Net):
    """Logits and what else models return: states, a mean, options, something odd."""

    def __init__(self, form):
        super().__init__()
        self.form = form

    def forward(self, x):
        hidden = self.net[:2](x)
        return self.form(hidden, self.net[2](hidden))


FORMS = {
    "tuple": (lambda h, f: (f, h), lambda out: out[0]),
    "list": (lambda h, f: [h, f], lambda out: out[1]),
    "namedtuple": (lambda h, f: Pair(h, f), lambda out: out.right),
    "dict": (lambda h, f: {"logits": f, "mean": f.mean(), "none": None}, lambda out: out["logits"]),
    "UserDict": (lambda h, f: collections.UserDict(logits=f), lambda out: out["logits"]),
    "object": (
        lambda h, f: types.SimpleNamespace(logits=f, hidden=(h,), odd=object()),
        lambda out: out.logits,
    ),
    "frozen": (lambda h, f: Frozen(f, f.mean()), lambda out: out.logits),
    "nested": (lambda h, f: {"heads": [{"a": f}, (h,)]}, lambda out: out["heads"][0]["a"]),
    "distribution": (
        lambda h, f: torch.distributions.Categorical(logits=f, validate_args=False),
        lambda out: out.logits,
    ),
}


@pytest.mark.parametrize("batch_size", [None, 4], ids="batch={}".format)
@pytest.mark.parametrize(("form", "pick"), FORMS.values(), ids=FORMS)
def test_outputs_of_any_form(form, pick, batch_size):
    def fn(out, y):
        return cross_entropy(pick(out), y)

    loss = ln.EmpiricalLoss(Returns(form), fn, X, Y, batch_size=batch_size)
    plain = ln.EmpiricalLoss(mlp(), cross_entropy, X, Y)
    agrees(loss, plain_value(Returns(form), fn, lambda m: m(X), Y))
    w = loss.w0 + 0.3 * randn(loss.num_params)
    close = dict(rtol=0, atol=1e-12)
    found = pick(loss.outputs(w, N))
    logits = plain.outputs(w, N)
    if form is FORMS["distribution"][0]:  # which are normalised: another f, the same l
        logits = logits.log_softmax(1)
    torch.testing.assert_close(found, logits, **close)
    ours, expected = (ln.GaussNewtonOperator(each, w, N).dense() for each in (loss, plain))
    torch.testing.assert_close(ours, expected, **close)
    for kind in ("empirical", "Gauss-Newton"):
        ours = layers.kronecker_factors(loss, w, N, "net.2", kind)
        expected = layers.kronecker_factors(plain, w, N, "2", kind)
        torch.testing.assert_close((ours.C_a, ours.C_d), (expected.C_a, expected.C_d), **close)
    U = ln.jacobian_subspace(loss, w, 4)
    expected = ln.jacobian_subspace(plain, w, 4)
    if form is not FORMS["distribution"][0]:
        torch.testing.assert_close(U @ U.T, expected @ expected.T, **close)
    g = loss.gradient(w, range(4, 5))
    torch.testing.assert_close(U @ (U.T @ g), g, **close)


def test_what_has_no_row_for_each_sample_is_none_in_the_outputs():
    loss = ln.EmpiricalLoss(
        Returns(FORMS["dict"][0]), lambda o, y: cross_entropy(o["logits"], y), X, Y, batch_size=4
    )
    found = loss.outputs(loss.w0, 6)
    assert found["mean"] is None and found["none"] is None and found["logits"].shape == (6, 3)


def test_gauss_newton_of_a_loss_of_two_outputs():
    """G = (1/k) sum J_i' A_i J_i with J and A over both outputs together, by torch.func alone."""
    model = Returns(lambda h, f: {"f": f, "h": h.sum(1)})

    def fn(out, y):
        return cross_entropy(out["f"], y) * (1 + out["h"].square())

    loss = ln.EmpiricalLoss(model, fn, X, Y)
    w = loss.w0 + 0.3 * randn(loss.num_params)
    shapes = dict(model.named_parameters())

    def outputs(w, x):
        pieces = w.split([p.numel() for p in shapes.values()])
        at_w = {n: v.view_as(p) for (n, p), v in zip(shapes.items(), pieces, strict=True)}
        out = functional_call(model, at_w, (x[None],))
        return torch.cat([out["f"][0], out["h"]])

    G = torch.zeros(len(w), len(w), **F64)
    for x, y in zip(X, Y, strict=True):
        f = outputs(w, x)
        A = hessian(lambda f, y=y: fn({"f": f[None, :3], "h": f[3:]}, y[None])[0])(f)
        J = jacrev(outputs)(w, x)
        G += J.T @ A @ J / N
    found = ln.GaussNewtonOperator(loss, w, N).dense()
    torch.testing.assert_close(found, G, rtol=0, atol=1e-12)


def test_outputs_that_cannot_be_seen_are_refused_not_left_out():
    class Box:
        def __init__(self, inner):
            self.inner = inner

    loss = ln.EmpiricalLoss(
        Returns(lambda h, f: {"seen": f, "box": Box({"h": h})}),
        lambda o, y: cross_entropy(o["seen"], y) + o["box"].inner["h"].square().sum(1),
        X, Y,
    )  # fmt: skip
    with pytest.raises(ValueError, match="past the outputs that could be seen.*dict"):
        ln.GaussNewtonOperator(loss, loss.w0, N)


def test_a_loss_in_complex_outputs():
    """|f|^2 in two ways: f complex, and its parts side by side."""
    fn = lambda o, y: (o - y).abs().square().sum(1)  # noqa: E731
    targets = torch.complex(randn(N, 2, seed=3), randn(N, 2, seed=4))
    as_complex = Returns(lambda h, f: torch.complex(h[:, :2], h[:, 2:4]))
    as_real = Returns(lambda h, f: h[:, :4])
    parts = torch.cat([targets.real, targets.imag], 1)
    ours = ln.EmpiricalLoss(as_complex, fn, X, targets)
    expected = ln.EmpiricalLoss(as_real, fn, X, parts)
    G, G_real = (ln.GaussNewtonOperator(each, each.w0, N).dense() for each in (ours, expected))
    torch.testing.assert_close(G, G_real, rtol=0, atol=1e-12)


def test_gauss_newton_factors_need_rows():
    loss = ln.EmpiricalLoss(
        Returns(lambda h, f: f.T), lambda o, y: cross_entropy(o.T, y), X, Y
    )  # classes first
    with pytest.raises(ValueError, match=r"one row for each sample.*\(3, 9\)"):
        layers.kronecker_factors(loss, loss.w0, N, "net.2", "Gauss-Newton")
    plain = ln.EmpiricalLoss(mlp(), cross_entropy, X, Y)
    G, expected = (ln.GaussNewtonOperator(each, each.w0, N).dense() for each in (loss, plain))
    torch.testing.assert_close(G, expected, rtol=0, atol=1e-12)


def test_parts_are_put_back_where_they_were():
    tree = {"a": (X, [Y]), "b": Pair(X, None), "c": "word"}
    again = batches.refilled(
        tree, [t for _, t in batches.leaves(tree) if isinstance(t, torch.Tensor)]
    )
    assert again["a"][0] is X and again["a"][1][0] is Y
    assert type(again["b"]) is Pair and again["b"].left is X and again["c"] == "word"


# -- derivatives inside the model ------------------------------------------------------------------


class Potential(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = mlp(4, 1)

    def energy(self, x):
        return self.net(x).sum()


class Force(Potential):
    def forward(self, x):
        x = x.requires_grad_()
        return torch.autograd.grad(self.energy(x), x, create_graph=True)[0]


class ForceIfAsked(Force):
    """Another value when autograd is off: as a model does to save time."""

    def forward(self, x):
        return super().forward(x) if torch.is_grad_enabled() else torch.zeros_like(x)


class Laplacian(Potential):
    def forward(self, x):
        x = x.detach().clone().requires_grad_()
        g = torch.autograd.grad(self.energy(x), x, create_graph=True)[0]
        second = [
            torch.autograd.grad(g[:, i].sum(), x, create_graph=True)[0][:, i] for i in range(4)
        ]
        return torch.stack(second, 1)


class FunctionalForce(Potential):
    def forward(self, x):
        return vmap(grad(self.energy))(x)


class FunctionalJacobian(Potential):
    def forward(self, x):
        return vmap(jacrev(self.net))(x)[:, 0]


class ForwardJacobian(Potential):
    def forward(self, x):
        return vmap(jacfwd(self.net))(x)[:, 0]


class FunctionalHessian(Potential):
    def forward(self, x):
        return vmap(hessian(self.energy))(x).sum(2)


class OneStepFirst(Potential):
    """An inner step of training inside the model."""

    def forward(self, x):
        names, p = zip(*self.net.named_parameters(), strict=True)
        g = torch.autograd.grad(self.net(torch.ones_like(x[:1])).square().sum(), p,
                                create_graph=True)  # fmt: skip
        stepped = {n: v - 0.1 * s for n, v, s in zip(names, p, g, strict=True)}
        return functional_call(self.net, stepped, (x,)) * torch.ones_like(x)


class OneStepFunctional(Potential):
    def forward(self, x):
        p = dict(self.net.named_parameters())
        g = grad(lambda q: functional_call(self.net, q, (torch.ones_like(x[:1]),)).square().sum())(
            p
        )
        stepped = {n: v - 0.1 * g[n] for n, v in p.items()}
        return functional_call(self.net, stepped, (x,)) * torch.ones_like(x)


class Field(Potential):
    def forward(self, x):
        x = x.requires_grad_()
        return x, self.net(x)


def residual(out, y):
    x, u = out
    return squares(torch.autograd.grad(u.sum(), x, create_graph=True)[0], y)


INSIDE = [Force, ForceIfAsked, Laplacian, FunctionalForce, FunctionalJacobian, ForwardJacobian,
          FunctionalHessian, OneStepFirst, OneStepFunctional]  # fmt: skip


@pytest.mark.parametrize("batch_size", [None, 4], ids="batch={}".format)
@pytest.mark.parametrize("model", INSIDE)
def test_models_that_differentiate_inside(model, batch_size):
    y = randn(N, 4, seed=2)
    loss = ln.EmpiricalLoss(model(), squares, X, y, batch_size=batch_size)
    agrees(loss, plain_value(model(), squares, lambda m: m(X.clone()), y))
    w = loss.w0 + 0.1 * randn(loss.num_params)
    assert not loss.per_sample(w).requires_grad and not loss.outputs(w, 3).requires_grad
    assert loss.sample_bytes >= 64
    G = ln.GaussNewtonOperator(loss, w, N).dense()
    assert torch.linalg.eigvalsh(G)[0] > -1e-12 * G.norm()
    assert ln.fit(loss, N, max_iterations=5).value < loss.value(loss.w0, N)
    U = ln.jacobian_subspace(loss, w, 2)
    g = loss.gradient(w, range(2, 3))
    torch.testing.assert_close(U @ (U.T @ g), g, rtol=0, atol=1e-10)


def test_a_loss_that_differentiates_the_outputs():
    y = randn(N, 4, seed=2)
    loss = ln.EmpiricalLoss(Field(), residual, X, y)
    agrees(loss, plain_value(Field(), residual, lambda m: m(X.clone()), y))
    with pytest.raises(ValueError, match="can't be computed from the model's outputs alone"):
        ln.GaussNewtonOperator(loss, loss.w0, N)


# -- Hugging Face ----------------------------------------------------------------------------------

missing = [name for name in ("transformers", "peft") if not importlib.util.find_spec(name)]
hugging = pytest.mark.skipif(
    bool(missing) and not os.environ.get("CI"),  # there they must be
    reason=f"needs {' and '.join(missing)}, which the test extra installs",
)
# Llama's norms and rotations are in float32 whatever the model: values are noisy at 1e-8.
STEP = {"gpt2": 1e-3, "llama": 4e-3, "bert": 1e-3, "lora": 1e-3}
TOLERANCE = {"gpt2": 1e-8, "llama": 2e-3, "bert": 1e-8, "lora": 1e-8}


@hugging
@pytest.mark.parametrize("container", ["dict", "BatchEncoding", "UserDict"])
@pytest.mark.parametrize("kind", ["gpt2", "llama", "bert", "lora"])
class TestHuggingFace:
    @pytest.fixture
    def p(self, kind, container):
        import hugging_face
        import transformers

        model, fn, targets = hugging_face.build(kind)
        batch = hugging_face.batch()
        given = {
            "dict": dict,
            "BatchEncoding": transformers.BatchEncoding,
            "UserDict": collections.UserDict,
        }[container](batch)
        loss = ln.EmpiricalLoss(model, fn, given, targets, batch_size=4)
        return types.SimpleNamespace(
            loss=loss, model=model, fn=fn, y=targets, batch=batch, w=loss.w0, n=loss.num_samples
        )

    def test_gradient_is_that_of_a_backward_pass(self, p):
        w = p.w + 0.1 * randn(len(p.w))
        trainable = [q for q in p.model.parameters() if q.requires_grad]
        nn.utils.vector_to_parameters(w, trainable)
        p.fn(p.model(**p.batch), p.y).mean().backward()
        expected = torch.cat([q.grad.reshape(-1) for q in trainable])
        torch.testing.assert_close(p.loss.gradient(w, p.n), expected, rtol=0, atol=1e-7)
        by_hand = p.model(**p.batch).logits.detach()
        torch.testing.assert_close(p.loss.outputs(w, p.n).logits, by_hand, rtol=0, atol=1e-7)

    def test_differences_of_plain_values(self, p, kind):
        value = plain_value(p.model, p.fn, lambda m: m(**p.batch), p.y)
        u, v = (F.normalize(randn(len(p.w), seed=s), dim=0) for s in (1, 2))
        for w in (p.w, p.w + 0.05 * randn(len(p.w), seed=3)):
            slope, curvature = differences(value, w, u, v, STEP[kind])
            assert abs(float(p.loss.gradient(w, p.n) @ u) - slope) < TOLERANCE[kind]
            assert abs(float(u @ p.loss.hvp(w, v, p.n)) - curvature) < TOLERANCE[kind]

    def test_everything_that_takes_a_loss(self, p, kind):
        w = p.w + 0.05 * randn(len(p.w), seed=3)
        close = dict(rtol=0, atol=1e-6)
        dense = p.loss.hessian(w, p.n)
        pairs = ln.top_eigenpairs(p.loss, w, p.n, 2)
        torch.testing.assert_close(
            pairs.values, torch.linalg.eigvalsh(dense).flip(0)[:2], rtol=1e-3, atol=1e-6
        )
        G = ln.GaussNewtonOperator(p.loss, w, p.n).dense()
        assert torch.linalg.eigvalsh(G)[0] > -1e-6 * G.norm()
        U = ln.jacobian_subspace(p.loss, w, 2)
        g = p.loss.gradient(w, range(2, 3))
        torch.testing.assert_close(U @ (U.T @ g), g, **close)
        rows = p.loss.sample_gradients(w, p.n)
        torch.testing.assert_close(rows.mean(0), p.loss.gradient(w, p.n), **close)
        model = ln.increment_model(p.loss, w, pairs.vectors, 3)
        H = p.loss.hvp(w, pairs.vectors, range(3, 4)) - p.loss.hvp(w, pairs.vectors, 3)
        torch.testing.assert_close(model.B, pairs.vectors.T @ H / 4, **close)


class AsTuple(nn.Module):
    """What an option of the call makes of a model."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, **batch):
        return self.model(**batch, return_dict=False)


@hugging
@pytest.mark.parametrize("wrap", [lambda model: model, AsTuple], ids=["object", "tuple"])
def test_labels_in_the_batch(wrap):
    """What users do: the labels go along, and a mean loss comes back beside the logits."""
    import hugging_face

    model, _, ids = hugging_face.build("gpt2")
    given = {**hugging_face.batch(), "labels": ids}

    def fn(out, y):
        mean, logits = out[:2]
        assert mean.ndim == 0
        logits = logits[:, :-1].transpose(1, 2)
        return F.cross_entropy(logits, y[:, 1:], reduction="none").mean(1)

    loss = ln.EmpiricalLoss(wrap(model), fn, given, ids)
    with torch.no_grad():
        mean = float(model(**given).loss)  # no padding among the labels: the mean of our means
    rounding = torch.finfo(torch.float32).eps * mean  # their mean is taken in float32
    assert abs(float(loss.value(loss.w0, loss.num_samples)) - mean) <= rounding
    found = loss.outputs(loss.w0, 3)
    assert list(found)[0] in (None, "loss") and (wrap is AsTuple or found["loss"] is None)
    G = ln.GaussNewtonOperator(loss, loss.w0, 3).dense()
    assert G.norm() > 1e-3 and torch.linalg.eigvalsh(G)[0] > -1e-9


@hugging
def test_an_adapter_leaves_the_base_alone():
    import hugging_face

    model, fn, y = hugging_face.build("lora")
    loss = ln.EmpiricalLoss(model, fn, hugging_face.batch(), y)
    assert all("lora_" in name for name in loss.layout.names)
    assert set(layers.weight_matrices(loss)) == {
        name.removesuffix(".weight") for name in loss.layout.names
    }
    name = layers.weight_matrices(loss)[0]
    factors = layers.kronecker_factors(loss, loss.w0, 6, name)
    G = loss.gradient(loss.w0, 6)[loss.layout.slices()[f"{name}.weight"]]
    assert torch.isfinite(factors.C_d).all() and G.norm() > 0


@hugging
@pytest.mark.parametrize("kind", ["gpt2", "llama", "bert", "lora"])
def test_from_eight_threads(kind):
    import hugging_face

    model, fn, y = hugging_face.build(kind)
    loss = ln.EmpiricalLoss(model, fn, hugging_face.batch(), y)
    points = [loss.w0 + 0.05 * randn(loss.num_params, seed=seed) for seed in range(8)]

    def products(w):
        return [loss.hvp(w, w, k) for k in range(1, 7)]

    one_by_one = [products(w) for w in points]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(products, points))
    torch.testing.assert_close(together, one_by_one, rtol=1e-6, atol=1e-9)
