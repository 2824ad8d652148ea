"""Spectral Newton: the step of one matrix, and the optimizer around it.

Oracles: functions of the eigenvalues of GG' or G'G in place of the SVD, matrix inverses, the
recurrences written out with float64 tensors, torch.optim.AdamW on the same gradients.
Wrong on purpose: eigenvalues' exponents, damping inside the root, decay into the gradient, momentum
of the step, a state that was not restored.
"""

import copy
import io
import math
import pickle
import re

import pytest
import torch
from draws import F64, generator
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from landscape_nb.theory.spectral_newton import SpectralNewton, spectral_newton_step

EXACT = dict(rtol=1e-9, atol=1e-11)
SHAPES = {"square": (4, 4), "wide": (3, 6), "tall": (6, 3), "row": (1, 5), "column": (5, 1)}
shapes = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())


def randn(*shape, seed=1):
    return torch.randn(shape, generator=generator(seed), **F64)


def by_eigenvalues(G, alpha, damping, relative=False, root=0.5):
    """g(GG') G with g(l) = 1 / (l^(alpha/2) + d), on G's smaller side; no SVD."""
    M = G.reshape(len(G), -1)
    wide = M.shape[0] <= M.shape[1]
    values, Q = torch.linalg.eigh(M @ M.T if wide else M.T @ M)
    d = damping * values[-1] ** (alpha * root) if relative else damping
    inverse = (Q / (values ** (alpha * root) + d)) @ Q.T
    return (inverse @ M if wide else M @ inverse).reshape(G.shape)


# -- one step --------------------------------------------------------------------------------------


@shapes
@pytest.mark.parametrize("relative", [False, True], ids=["fixed d", "relative d"])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, 2.0, 3.0], ids="alpha={}".format)
def test_step_against_eigenvalues(shape, alpha, relative):
    G = randn(*shape)
    for damping in (1e-3, 0.1, 10.0):
        step = spectral_newton_step(G, alpha, damping, relative=relative)
        torch.testing.assert_close(step, by_eigenvalues(G, alpha, damping, relative), **EXACT)


@shapes
@pytest.mark.parametrize("d", [0.01, 5.0])
def test_alpha_two_is_the_damped_inverse(shape, d):
    G = randn(*shape)
    step = spectral_newton_step(G, 2.0, d)
    m, n = shape
    left = torch.linalg.solve(G @ G.T + d * torch.eye(m, **F64), G)
    right = G @ torch.linalg.inv(G.T @ G + d * torch.eye(n, **F64))
    torch.testing.assert_close(step, left, **EXACT)
    torch.testing.assert_close(step, right, **EXACT)
    wrong = {
        "root of GG'": by_eigenvalues(G, 1.0, d),
        "exponent of the eigenvalues": by_eigenvalues(G, 2.0, d, root=1.0),
        "d squared": torch.linalg.solve(G @ G.T + d**2 * torch.eye(m, **F64), G),
        "no damping": torch.linalg.pinv(G).T,
    }
    for title, other in wrong.items():
        assert (other - step).norm() > 1e-3 * step.norm(), title


@shapes
def test_alpha_zero_is_scaled_gradient_descent(shape):
    G = randn(*shape)
    for d in (0.0, 0.1, 3.0):
        for relative in (False, True):  # sigma_1^0 = 1
            step = spectral_newton_step(G, 0.0, d, relative=relative)
            torch.testing.assert_close(step, G / (1 + d), **EXACT)
    assert (spectral_newton_step(G, 0.0, 0.1) - G).norm() > 0.05 * G.norm()


@shapes
def test_alpha_one_without_damping_makes_all_modes_alike(shape):
    """UV', the polar factor: (GG')^(-1/2) G."""
    G = randn(*shape)
    step = spectral_newton_step(G, 1.0, 0.0)
    U, _, Vt = torch.linalg.svd(G, full_matrices=False)
    torch.testing.assert_close(step, U @ Vt, **EXACT)
    torch.testing.assert_close(step, by_eigenvalues(G, 1.0, 0.0), **EXACT)
    one = torch.ones(min(shape), **F64)
    torch.testing.assert_close(torch.linalg.svdvals(step), one, **EXACT)
    # nearly: d -> 0, and already not with d = 0.1
    near, far = (spectral_newton_step(G, 1.0, d, relative=True) for d in (1e-9, 0.1))
    assert (near - step).norm() < 1e-7 and (far - step).norm() > 0.05


def test_modes_at_rounding_are_left_out():
    u, v = randn(4, 2), randn(5, 2, seed=2)
    G = u @ v.T
    assert torch.linalg.svdvals(G)[-1] > 0  # rounding
    for alpha in (1.0, 2.0, 3.0):
        step = spectral_newton_step(G, alpha, 0.0)
        values = torch.linalg.svdvals(step)
        assert values[2:].max() < 1e-12 * values[0]
    torch.testing.assert_close(
        spectral_newton_step(G, 2.0, 0.0), torch.linalg.pinv(G, rtol=1e-12).T, **EXACT
    )


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.floats(-6, 6),
    st.floats(0, 3),
    st.floats(1e-3, 10),
    st.integers(0, 99),
    st.sampled_from(list(SHAPES.values())),
)
def test_property_a_relative_step_scales_as_c_to_the_one_less_alpha(log10, alpha, d, seed, shape):
    """Only for alpha = 1 is the step independent of the gradient's size; for 2 it grows as 1/c."""
    G, c = randn(*shape, seed=seed), 10.0**log10
    step = spectral_newton_step(G, alpha, d, relative=True)
    scaled = spectral_newton_step(c * G, alpha, d, relative=True)
    torch.testing.assert_close(scaled, c ** (1 - alpha) * step, rtol=1e-9, atol=0)
    # the shape of the step is the same, which with a fixed d it is not
    fixed, large = (spectral_newton_step(t * G, 2.0, 1.0) for t in (1, 100))
    if min(shape) > 1:
        cosine = (fixed * large).sum() / fixed.norm() / large.norm()
        assert cosine < 1 - 1e-6


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.floats(0, 3), st.floats(1e-3, 10), st.booleans(), st.integers(0, 99))
def test_property_rotations_go_through(alpha, d, relative, seed):
    G = randn(3, 5, seed=seed)
    R, Q = (torch.linalg.qr(randn(n, n, seed=seed + n))[0] for n in (3, 5))
    step = spectral_newton_step(G, alpha, d, relative=relative)
    turned = spectral_newton_step(R @ G @ Q, alpha, d, relative=relative)
    torch.testing.assert_close(turned, R @ step @ Q, **EXACT)
    flipped = spectral_newton_step(-G.T, alpha, d, relative=relative)
    torch.testing.assert_close(flipped, -step.T, **EXACT)


def test_large_damping_is_gradient_descent_whatever_alpha():
    G = randn(4, 5)
    for alpha in (0.5, 1.0, 2.0):
        torch.testing.assert_close(
            spectral_newton_step(1e-8 * G, alpha, 10.0), 1e-9 * G, rtol=1e-4, atol=0
        )


@pytest.mark.parametrize("shape", [(4, 3, 2), (4, 2, 3, 2), (3, 2, 1, 2, 2)], ids=str)
def test_a_convolution_is_a_matrix_of_its_outputs_rows(shape):
    G = randn(*shape)
    step = spectral_newton_step(G, 2.0, 0.1)
    assert step.shape == G.shape
    M = G.reshape(shape[0], -1)
    expected = torch.linalg.solve(M @ M.T + 0.1 * torch.eye(shape[0], **F64), M)
    torch.testing.assert_close(step.reshape(shape[0], -1), expected, **EXACT)
    by_inputs = spectral_newton_step(G.transpose(0, 1), 2.0, 0.1).transpose(0, 1)
    assert (by_inputs - step).norm() > 0.05 * step.norm()
    if len(shape) == 4:
        last = G.contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(spectral_newton_step(last, 2.0, 0.1), step, **EXACT)


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("alpha", [0.0, 1.0, 2.0])
def test_a_zero_gradient_makes_no_step(alpha, relative):
    G = torch.zeros(3, 4, **F64)
    for d in (0.0, 0.1):
        assert torch.equal(spectral_newton_step(G, alpha, d, relative=relative), G)


def test_float32():
    G = randn(5, 7)
    for alpha in (0.0, 1.0, 2.0):
        step = spectral_newton_step(G.float(), alpha, 0.1, relative=True)
        assert step.dtype == torch.float32
        expected = spectral_newton_step(G.float().double(), alpha, 0.1, relative=True)
        torch.testing.assert_close(step.double(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("relative", [False, True])
def test_a_tiny_gradient_makes_a_finite_step_or_none(relative):
    step = spectral_newton_step(1e-25 * randn(3, 4).float(), 2.0, 0.0, relative=relative)
    assert torch.isfinite(step).all()


# -- the optimizer: matrices -----------------------------------------------------------------------


def parameters(*shapes, seed=3):
    return [nn.Parameter(randn(*shape, seed=seed + i)) for i, shape in enumerate(shapes)]


def set_gradients(params, step):
    """Gradients of one's own for every step and parameter."""
    for i, p in enumerate(params):
        p.grad = randn(*p.shape, seed=1000 * step + i).to(p.dtype)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("alpha", [0.0, 1.0, 2.0])
def test_matrices_against_the_recurrence(alpha, relative, weight_decay, momentum):
    """Velocity v <- mu v + G, weights W <- (1 - lr wd) W - lr step(v)."""
    params = parameters((4, 3), (3, 2, 2, 2))
    optimizer = SpectralNewton(
        params, lr=0.05, alpha=alpha, damping=0.2, relative=relative, momentum=momentum,
        weight_decay=weight_decay,
    )  # fmt: skip
    expected = [p.detach().clone() for p in params]
    into_gradient, of_the_step = (copy.deepcopy(expected) for _ in range(2))
    velocity, steps = [0, 0], [0, 0]
    for t in range(5):
        set_gradients(params, t)
        for i, p in enumerate(params):
            v = velocity[i] = momentum * velocity[i] + p.grad
            dW = by_eigenvalues(v, alpha, 0.2, relative)
            expected[i] = (1 - 0.05 * weight_decay) * expected[i] - 0.05 * dW
            coupled = v + weight_decay * into_gradient[i]
            into_gradient[i] -= 0.05 * by_eigenvalues(coupled, alpha, 0.2, relative)
            steps[i] = momentum * steps[i] + by_eigenvalues(p.grad, alpha, 0.2, relative)
            of_the_step[i] *= 1 - 0.05 * weight_decay
            of_the_step[i] -= 0.05 * steps[i]
        optimizer.step()
    for i, p in enumerate(params):
        torch.testing.assert_close(p.detach(), expected[i], **EXACT)
        if weight_decay:
            assert (p - into_gradient[i]).norm() > 1e-3
        if momentum and alpha:
            assert (p - of_the_step[i]).norm() > 1e-3


def test_the_caller_keeps_its_gradients():
    params = parameters((4, 3), (3,))
    set_gradients(params, 0)
    before = [p.grad.clone() for p in params]
    SpectralNewton(params, momentum=0.5, weight_decay=0.1).step()
    assert all(torch.equal(p.grad, g) for p, g in zip(params, before, strict=True))


def test_groups_have_settings_of_their_own():
    a, b, table = parameters((4, 3), (4, 3), (6, 2))
    twin = nn.Parameter(table.detach().clone())
    start = a.detach().clone(), b.detach().clone()
    optimizer = SpectralNewton(
        [
            {"params": [a]},
            {"params": [b], "alpha": 1.0, "lr": 0.5, "relative": False},
            {"params": [table], "spectral": False, "adam_lr": 0.02, "weight_decay": 0.1},
        ],
        lr=0.1,
        damping=0.3,
        relative=True,
    )
    adam = torch.optim.AdamW([twin], lr=0.02, weight_decay=0.1)
    set_gradients([a, b, table], 0)
    twin.grad = table.grad.clone()
    optimizer.step()
    adam.step()
    torch.testing.assert_close(
        a.detach(), start[0] - 0.1 * by_eigenvalues(a.grad, 2.0, 0.3, True), **EXACT
    )
    torch.testing.assert_close(
        b.detach(), start[1] - 0.5 * by_eigenvalues(b.grad, 1.0, 0.3, False), **EXACT
    )
    assert torch.equal(table, twin)


def test_parameters_without_gradient_stay_and_get_no_state():
    a, b, c, d = params = parameters((3, 3), (3, 3), (3,), (3,))
    before = [p.detach().clone() for p in params]
    optimizer = SpectralNewton(params, momentum=0.9, weight_decay=0.1)
    optimizer.step()
    assert all(torch.equal(p, q) for p, q in zip(params, before, strict=True))
    set_gradients([a, c], 0)
    optimizer.step()
    assert torch.equal(b, before[1]) and torch.equal(d, before[3])
    assert not torch.equal(a, before[0]) and not torch.equal(c, before[2])
    assert set(optimizer.state) == {a, c}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_gradient_that_is_not_finite_is_refused(bad):
    (p,) = parameters((3, 3))
    before = p.detach().clone()
    optimizer = SpectralNewton([p], momentum=0.9)
    set_gradients([p], 0)
    p.grad[1, 2] = bad
    with pytest.raises(
        ValueError, match="A gradient is not finite; nothing moved. Lower the learning rate"
    ):
        optimizer.step()
    assert torch.equal(p, before) and not optimizer.state
    set_gradients([p], 0)
    optimizer.step()
    assert torch.isfinite(p).all()


@pytest.mark.parametrize("late", ["a matrix", "a vector"])
def test_a_refused_step_changes_nothing(late):
    a, b = params = parameters((3, 3), (3, 3) if late == "a matrix" else (3,))
    before = [p.detach().clone() for p in params]
    set_gradients(params, 0)
    b.grad.view(-1)[0] = math.nan
    with pytest.raises(ValueError, match="not finite"):
        SpectralNewton(params).step()
    assert all(torch.equal(p, q) for p, q in zip(params, before, strict=True))


# -- the optimizer: the rest -----------------------------------------------------------------------


@pytest.mark.parametrize("weight_decay", [0.0, 0.2])
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.0, 0.5)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_vectors_follow_adamw_bit_for_bit(dtype, betas, weight_decay):
    def build():
        return [nn.Parameter(p.detach().to(dtype)) for p in parameters((5,), (), (4, 3), (2,))]

    ours, theirs = build(), build()
    optimizer = SpectralNewton(
        ours, lr=7.0, adam_lr=0.03, betas=betas, eps=1e-5, weight_decay=weight_decay, momentum=0.5
    )
    vectors = [p for p in theirs if p.ndim < 2]
    adam = torch.optim.AdamW(vectors, lr=0.03, betas=betas, eps=1e-5, weight_decay=weight_decay)
    start = theirs[2].detach().clone()
    for t in range(12):
        for params in (ours, theirs):
            set_gradients(params, t)
        if t in (4, 5):  # its own count of steps for every parameter
            ours[0].grad = theirs[0].grad = None
        optimizer.step()
        adam.step()
        for p, q in zip(ours, theirs, strict=True):
            assert p.ndim >= 2 or torch.equal(p, q), t
    assert not torch.equal(ours[2], start)


def test_other_adams_are_rejected():
    """Adam with the decay in its gradient, other betas, the matrices' learning rate."""
    (p,) = parameters((5,))
    twins = [nn.Parameter(p.detach().clone()) for _ in range(4)]
    optimizer = SpectralNewton([p], lr=0.01, adam_lr=0.03, weight_decay=0.2)
    others = [
        torch.optim.Adam(twins[:1], lr=0.03, weight_decay=0.2),
        torch.optim.AdamW(twins[1:2], lr=0.03, weight_decay=0.2, betas=(0.8, 0.999)),
        torch.optim.AdamW(twins[2:3], lr=0.01, weight_decay=0.2),
        torch.optim.AdamW(twins[3:], lr=0.03),
    ]
    for t in range(5):
        for q in (p, *twins):
            set_gradients([q], t)
        for o in (optimizer, *others):
            o.step()
    assert all((p - q).norm() > 1e-3 for q in twins)


# -- as any torch optimizer ------------------------------------------------------------------------


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 3, 2), nn.Tanh(), nn.Flatten(), nn.Linear(27, 4), nn.Tanh(), nn.Linear(4, 2)
    ).double()


def advance(model, optimizer, steps):
    x, y = randn(9, 1, 4, 4), randn(9, 2, seed=2)
    for _ in range(steps):
        optimizer.zero_grad()
        (model(x) - y).square().mean().backward()
        optimizer.step()
    return [p.detach().clone() for p in model.parameters()]


OPTIONS = dict(lr=0.05, alpha=1.0, momentum=0.9, weight_decay=0.01, adam_lr=0.01)


def equal(left, right):
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize("through_a_file", [False, True])
def test_a_restored_state_continues_bit_for_bit(through_a_file):
    model = network()
    optimizer = SpectralNewton(model.parameters(), **OPTIONS)
    advance(model, optimizer, 3)
    saved = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    if through_a_file:
        file = io.BytesIO()
        torch.save(saved, file)
        file.seek(0)
        saved = torch.load(file, weights_only=True)
    straight = advance(model, optimizer, 4)
    other = network(seed=1)
    other.load_state_dict(saved[0])
    resumed = SpectralNewton(other.parameters(), lr=9.0)  # its settings are in the state too
    resumed.load_state_dict(copy.deepcopy(saved[1]))
    assert equal(advance(other, resumed, 4), straight)
    forgetful = network(seed=1)
    forgetful.load_state_dict(saved[0])
    fresh = SpectralNewton(forgetful.parameters(), **OPTIONS)
    assert not equal(advance(forgetful, fresh, 4), straight)


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))], ids=["copy", "pickle"]
)
def test_copies_go_the_same_way_alone(copied):
    model = network()
    optimizer = SpectralNewton(model.parameters(), **OPTIONS)
    at = advance(model, optimizer, 3)
    twin, twin_optimizer = copied((model, optimizer))
    ahead = advance(twin, twin_optimizer, 4)
    assert equal(model.parameters(), at)  # the original stays
    assert equal(advance(model, optimizer, 4), ahead)


def test_a_closure_is_called_once_with_gradients_on():
    model = nn.Linear(3, 2).double()
    twin = copy.deepcopy(model)
    x, calls = randn(5, 3), []

    def closure():
        calls.append(torch.is_grad_enabled())
        model.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        return loss

    value = model(x).square().mean().item()
    with torch.no_grad():
        returned = SpectralNewton(model.parameters()).step(closure)
    assert calls == [True] and returned.item() == value
    twin(x).square().mean().backward()
    assert SpectralNewton(twin.parameters()).step() is None
    assert equal(model.parameters(), twin.parameters())


def test_a_scheduler_moves_the_matrices_learning_rate():
    (p,) = parameters((3, 4))
    optimizer = SpectralNewton([p], lr=0.8, relative=True)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    expected = p.detach().clone()
    for t in range(6):
        set_gradients([p], t)
        optimizer.step()
        scheduler.step()
        expected -= 0.8 * 0.5 ** (t // 2) * by_eigenvalues(p.grad, 2.0, 0.1, True)
        torch.testing.assert_close(p.detach(), expected, **EXACT)
    assert optimizer.param_groups[0]["adam_lr"] == 1e-3  # the scheduler knows of lr only


SENTENCES = [
    (dict(lr=0), "lr must be positive and finite (learning rate of the matrices); got lr = 0.0."),
    (dict(lr=math.inf), "lr must be positive and finite"),
    (dict(lr="fast"), "lr must be one positive number (learning rate of the matrices); got 'fast'"),
    (dict(alpha=-1), "alpha must be finite and not negative (exponent); got alpha = -1.0."),
    (dict(alpha=math.nan), "alpha must be finite and not negative (exponent); got alpha = nan."),
    (dict(damping=-0.1), "damping must be finite and not negative (d); got damping = -0.1."),
    (dict(momentum=-0.1), "momentum must be finite and not negative"),
    (dict(momentum=1), "momentum must be below 1; got 1."),
    (dict(weight_decay=-1), "weight_decay must be finite and not negative (decoupled)"),
    (dict(adam_lr=0), "adam_lr must be positive and finite (AdamW's learning rate)"),
    (
        dict(betas=(1.0, 0.9)),
        "betas must be two numbers that lie in 0..1, below 1; got (1.0, 0.9).",
    ),
    (
        dict(betas=(0.9, -0.1)),
        "betas must be two numbers that lie in 0..1, below 1; got (0.9, -0.1).",
    ),
    (dict(eps=0), "eps must be positive and finite (AdamW's); got eps = 0.0."),
]


@pytest.mark.parametrize("options, sentence", SENTENCES, ids=[str(o) for o, _ in SENTENCES])
def test_bad_settings_have_sentences(options, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        SpectralNewton(parameters((2, 2)), **options)


@pytest.mark.parametrize(
    "build",
    [
        lambda params: SpectralNewton([{"params": params, "alpha": -1.0}]),
        lambda params: SpectralNewton([{"params": params, "momentum": 2.0}]),
        lambda params: SpectralNewton(params, betas=(0.9,)),
        lambda params: SpectralNewton(params, betas=0.9),
        lambda params: SpectralNewton(params, relative="no"),
        lambda params: spectral_newton_step(params[0].detach(), -2.0, 0.1),
        lambda params: spectral_newton_step(params[0].detach()[0], 2.0, 0.1),
    ],
    ids=["alpha", "momentum", "one beta", "beta", "relative", "step's alpha", "step of a vector"],
)
def test_bad_settings_of_groups_and_steps(build):
    with pytest.raises(ValueError):
        build(parameters((2, 2)))


# -- it minimises ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        dict(alpha=0.0, damping=0.0, lr=0.3),
        dict(alpha=1.0, damping=0.1, relative=False, lr=0.03),
        dict(alpha=1.0, damping=0.1, relative=False, lr=0.005, momentum=0.9),
        dict(alpha=2.0, damping=1.0, relative=False, lr=0.3),
    ],
    ids=["descent", "alpha 1", "momentum", "alpha 2"],
)
@pytest.mark.parametrize("seed", range(2))
def test_a_linear_regression_reaches_its_minimiser(options, seed):
    """With a fixed d every alpha ends as gradient descent, and converges."""
    x, y = randn(60, 4, seed=seed), randn(60, 3, seed=seed + 5)
    model = nn.Linear(4, 3, bias=False).double()
    optimizer = SpectralNewton(model.parameters(), **options)
    for _ in range(600):
        optimizer.zero_grad()
        ((model(x) - y).square().sum(1).mean() / 2).backward()
        optimizer.step()
    expected = torch.linalg.lstsq(x, y).solution.T
    torch.testing.assert_close(model.weight.detach(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_a_relative_d_needs_a_falling_learning_rate(seed):
    """UV' has the same length everywhere: a fixed lr circles around the minimiser, at about lr."""
    x, y = randn(60, 4, seed=seed), randn(60, 3, seed=seed + 5)
    best = torch.linalg.lstsq(x, y).solution.T
    distance = {}
    for falling in (False, True):
        model = nn.Linear(4, 3, bias=False).double()
        nn.init.zeros_(model.weight)
        optimizer = SpectralNewton(model.parameters(), lr=0.05, alpha=1.0, relative=True)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.97 if falling else 1.0)
        for _ in range(300):
            optimizer.zero_grad()
            ((model(x) - y).square().sum(1).mean() / 2).backward()
            optimizer.step()
            scheduler.step()
        distance[falling] = float((model.weight.detach() - best).norm())
    assert distance[True] < 1e-4 and 5e-3 < distance[False] < 0.1
