"""Gradient descent, step by step.

Oracles: (1 - lr lambda)^t on quadratics, and the two-term recurrence of momentum; torch.optim.SGD
on the bare module; the samples of each step, watched. Wrong on purpose: half the gradient, momentum
with (1 - momentum) before the gradient, Nesterov's, and batches drawn with replacement.
"""

import numpy as np
import pytest
import torch
from draws import F64, generator, randn
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from landscape_nb import EmpiricalLoss, gradient_descent
from landscape_nb.problems import toys

EXACT = dict(rtol=0, atol=1e-12)


def quadratic(eigenvalues, seed=0):
    """A loss without gradient at 0, and its Hessian."""
    toy = toys.quadratics(
        1, len(eigenvalues), eigenvalues=eigenvalues, shift=0.0, generator=generator(seed)
    )
    return EmpiricalLoss(*toy.parts), toy.hessian(1)


def torch_sgd(p, w, batches, **options):
    """The points of torch.optim.SGD on the bare module, the start included."""
    nn.utils.vector_to_parameters(w.clone(), p.model.parameters())
    optimiser = torch.optim.SGD(p.model.parameters(), **options)
    points = [w]
    for rows in batches:
        optimiser.zero_grad()
        loss = p.loss_fn(p.model(p.x[rows]), p.y[rows]).mean()
        at = nn.utils.parameters_to_vector(p.model.parameters())
        (loss + p.l2 / 2 * at @ at).backward()
        optimiser.step()
        points.append(nn.utils.parameters_to_vector(p.model.parameters()).detach().clone())
    return torch.stack(points)


@pytest.fixture
def watched(monkeypatch):
    """The samples of every gradient, in order."""
    seen = []
    gradient = EmpiricalLoss.gradient

    def watch(self, w, k):
        seen.append(k if isinstance(k, int) else [int(i) for i in k])
        return gradient(self, w, k)

    monkeypatch.setattr(EmpiricalLoss, "gradient", watch)
    return seen


# -- closed forms ----------------------------------------------------------------------------------


@pytest.mark.parametrize("lr", [0.1, 0.5, 0.99, 1.1], ids="lr={}".format)
def test_each_eigendirection_shrinks_by_its_own_factor(lr):
    loss, H = quadratic([2.0, 1.0, 0.25, -0.5])
    values, Q = torch.linalg.eigh(H)
    w = randn(4)
    path = gradient_descent(loss, 1, lr, 12, w)
    t = torch.arange(13, **F64)[:, None]
    expected = (Q.T @ w) * (1 - lr * values) ** t
    torch.testing.assert_close(path.ws @ Q, expected, **EXACT)
    heights = loss.value(0 * w, 1) + expected.square() @ values / 2
    torch.testing.assert_close(path.values, heights, rtol=1e-12, atol=1e-12)
    assert torch.equal(path.steps, torch.arange(13)) and not path.diverged
    assert torch.equal(path.w, path.ws[-1]) and torch.equal(path.ws[0], w)
    wrong = (Q.T @ w) * (1 - lr * values / 2) ** t  # the gradient of w'Hw/2 is not Hw/2
    assert (path.ws @ Q - wrong).norm() > 0.1


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    st.lists(st.floats(-1, 3), min_size=1, max_size=4),
    st.floats(0.01, 1),
    st.floats(0, 0.95),
    st.integers(1, 12),
    st.integers(1, 15),
)
def test_property_momentum_is_a_recurrence_of_two_terms(eigenvalues, lr, momentum, steps, every):
    """On a quadratic w_{t+1} = (1 + momentum - lr lambda) w_t - momentum w_{t-1}."""
    loss, H = quadratic(eigenvalues)
    values, Q = torch.linalg.eigh(H)
    w = randn(len(values))
    a = [Q.T @ w, (1 - lr * values) * (Q.T @ w)]
    for _ in range(steps - 1):
        a.append((1 + momentum - lr * values) * a[-1] - momentum * a[-2])
    path = gradient_descent(loss, 1, lr, steps, w, momentum=momentum, every=every)
    kept = [t for t in range(steps + 1) if t % every == 0 or t == steps]
    assert path.steps.tolist() == kept
    expected = torch.stack(a)[kept]
    torch.testing.assert_close(path.ws @ Q, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("lr", "stable"), [(0.99, True), (1.01, False)], ids=["below", "above"])
def test_the_edge_of_stability_is_two_over_the_largest_eigenvalue(lr, stable):
    loss, _ = quadratic([2.0, 1.0])
    distance = gradient_descent(loss, 1, lr, 300, torch.ones(2, **F64)).ws.norm(dim=1)
    assert distance[-1] < distance[0] / 10 if stable else distance[-1] > 10 * distance[0]


# -- against torch.optim ---------------------------------------------------------------------------


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9], ids="momentum={}".format)
@pytest.mark.parametrize("l2", [0.0, 0.2], ids="l2={}".format)
@pytest.mark.parametrize("k", [4, 10], ids="k={}".format)
def test_full_batches_are_torchs_sgd(mlp_problem, k, l2, momentum):
    p = mlp_problem(l2=l2, batch_size=3)
    path = gradient_descent(p.loss, k, 0.3, 15, p.w, momentum=momentum)
    expected = torch_sgd(p, p.w, [slice(k)] * 15, lr=0.3, momentum=momentum)
    torch.testing.assert_close(path.ws, expected, **EXACT)
    values = torch.stack([p.reference(w, slice(k)) for w in path.ws])
    torch.testing.assert_close(path.values, values, **EXACT)
    if momentum:
        for wrong in ({"nesterov": True}, {"dampening": momentum}):
            other = torch_sgd(p, p.w, [slice(k)] * 15, lr=0.3, momentum=momentum, **wrong)
            assert (path.ws - other).norm() > 1e-2


@pytest.mark.parametrize("momentum", [0.0, 0.9], ids="momentum={}".format)
@pytest.mark.parametrize("batch_size", [1, 4, 10], ids="batch={}".format)
def test_mini_batches_are_torchs_sgd_on_the_same_samples(
    mlp_problem, watched, batch_size, momentum
):
    p = mlp_problem(l2=0.1)
    path = gradient_descent(
        p.loss, 10, 0.2, 25, p.w, batch_size=batch_size, generator=generator(), momentum=momentum
    )
    expected = torch_sgd(p, p.w, list(watched), lr=0.2, momentum=momentum)
    torch.testing.assert_close(path.ws, expected, **EXACT)
    values = torch.stack([p.reference(w) for w in path.ws])  # of all samples, not of the batch
    torch.testing.assert_close(path.values, values, **EXACT)


# -- which samples ---------------------------------------------------------------------------------

CHOICES = {
    "first 7": (7, list(range(7))),
    "range": (range(2, 9), list(range(2, 9))),
    "stride": (range(1, 10, 2), [1, 3, 5, 7, 9]),
    "indices": (torch.tensor([9, 0, 4, 6, 2]), [9, 0, 4, 6, 2]),
    "a sample twice": (torch.tensor([3, 3, 8, 1]), [3, 3, 8, 1]),
}
choices = pytest.mark.parametrize(("k", "rows"), CHOICES.values(), ids=CHOICES.keys())


@choices
@pytest.mark.parametrize("batch_size", [1, 2, 3, 4], ids="batch={}".format)
def test_every_epoch_sees_every_sample_once(mlp_problem, watched, k, rows, batch_size):
    p = mlp_problem()
    per_epoch = -(-len(rows) // batch_size)
    gradient_descent(
        p.loss, k, 0.1, 6 * per_epoch + 1, p.w, batch_size=batch_size, generator=generator()
    )
    epochs = [watched[i : i + per_epoch] for i in range(0, 6 * per_epoch, per_epoch)]
    for epoch in epochs:
        assert sorted(sum(epoch, [])) == sorted(rows)
        assert [len(batch) for batch in epoch[:-1]] == [batch_size] * (per_epoch - 1)
        assert len(epoch[-1]) == len(rows) - batch_size * (per_epoch - 1)
    orders = {tuple(sum(epoch, [])) for epoch in epochs}
    assert len(orders) > 2  # a new order for each epoch
    with_replacement = torch.randint(len(rows), (6, len(rows)), generator=generator())
    assert any(len(set(draw.tolist())) < len(rows) for draw in with_replacement)


@choices
def test_full_batches_of_any_choice(mlp_problem, k, rows):
    p = mlp_problem(l2=0.1)
    path = gradient_descent(p.loss, k, 0.3, 6, p.w)
    torch.testing.assert_close(path.ws, torch_sgd(p, p.w, [rows] * 6, lr=0.3), **EXACT)
    torch.testing.assert_close(path.values[-1], p.reference(path.w, rows), **EXACT)


@pytest.mark.parametrize("k", [torch.tensor(7), np.int64(7)], ids=["tensor", "numpy"])
def test_a_number_of_samples_may_come_from_torch_or_numpy(mlp_problem, k):
    p = mlp_problem()
    full = gradient_descent(p.loss, k, 0.3, 3, p.w)
    torch.testing.assert_close(full.ws, torch_sgd(p, p.w, [slice(7)] * 3, lr=0.3), **EXACT)
    mini = gradient_descent(p.loss, k, 0.3, 3, p.w, batch_size=2, generator=generator())
    same = gradient_descent(p.loss, 7, 0.3, 3, p.w, batch_size=2, generator=generator())
    assert torch.equal(mini.ws, same.ws)


def test_the_order_is_uniform(mlp_problem, watched):
    """How often a sample comes first: binomial, 1 in 5."""
    p = mlp_problem(n=5)
    gradient_descent(p.loss, 5, 1e-9, 1000, p.w, batch_size=5, generator=generator(), every=1000)
    first = torch.bincount(torch.tensor([batch[0] for batch in watched]), minlength=5)
    chi_square = ((first - 200.0).square() / 200).sum()
    assert chi_square < 18.5  # 99.9% of chi-square with 4 degrees of freedom


def test_the_generator_alone_decides(mlp_problem):
    p = mlp_problem()
    state = torch.get_rng_state()

    def descend(g):
        return gradient_descent(p.loss, 10, 0.2, 8, p.w, batch_size=3, generator=g).ws

    g = generator(4)
    first, second = descend(g), descend(g)
    assert torch.equal(first, descend(generator(4)))
    assert not torch.equal(first, second)  # the state advances
    assert torch.equal(torch.get_rng_state(), state)


# -- what is kept ----------------------------------------------------------------------------------


@pytest.mark.parametrize("momentum", [0.0, 0.9], ids="momentum={}".format)
@pytest.mark.parametrize("batch_size", [None, 3], ids=["full", "batch=3"])
@pytest.mark.parametrize(("every", "steps"), [(1, 7), (3, 7), (3, 6), (7, 7), (50, 7)])
def test_every_changes_what_is_kept_and_nothing_else(
    mlp_problem, every, steps, batch_size, momentum
):
    p = mlp_problem()
    options = dict(batch_size=batch_size, momentum=momentum)
    whole = gradient_descent(p.loss, 10, 0.2, steps, p.w, generator=generator(), **options)
    thin = gradient_descent(
        p.loss, 10, 0.2, steps, p.w, generator=generator(), every=every, **options
    )
    kept = sorted({*range(0, steps + 1, every), steps})
    assert thin.steps.tolist() == kept and thin.steps.dtype == torch.int64
    assert torch.equal(thin.ws, whole.ws[kept]) and torch.equal(thin.values, whole.values[kept])
    assert thin.ws.shape == (len(kept), p.N) and thin.values.shape == (len(kept),)


def test_it_starts_at_the_models_parameters_and_leaves_them_alone(mlp_problem):
    p = mlp_problem()
    before = [q.detach().clone() for q in p.model.parameters()]
    w = p.loss.w0.clone().requires_grad_()
    path = gradient_descent(p.loss, 10, 0.5, 3)
    assert torch.equal(path.ws[0], p.loss.w0)
    assert torch.equal(path.ws, gradient_descent(p.loss, 10, 0.5, 3, w).ws)
    assert torch.equal(w, p.loss.w0) and not path.ws.requires_grad
    assert all(torch.equal(q, b) for q, b in zip(p.model.parameters(), before, strict=True))
    with torch.no_grad():
        assert torch.equal(gradient_descent(p.loss, 10, 0.5, 3).ws, path.ws)


def test_float32(mlp_problem):
    single, double = mlp_problem(dtype=torch.float32), mlp_problem()
    a = gradient_descent(single.loss, 10, 0.2, 20, single.w, momentum=0.5)
    b = gradient_descent(double.loss, 10, 0.2, 20, double.w, momentum=0.5)
    assert a.ws.dtype == a.values.dtype == torch.float32
    assert (a.ws.double() - b.ws).norm() < 1e-5 * b.ws.norm()


def test_a_bar_is_shown_if_asked_for(mlp_problem, capsys):
    p = mlp_problem()
    silent = gradient_descent(p.loss, 10, 0.2, 5, p.w)
    assert capsys.readouterr().err == ""
    shown = gradient_descent(p.loss, 10, 0.2, 5, p.w, progress=True)
    assert "descent" in capsys.readouterr().err
    assert torch.equal(silent.ws, shown.ws)


# -- divergence ------------------------------------------------------------------------------------


@pytest.mark.parametrize("every", [1, 7, 10**6], ids="every={}".format)
@pytest.mark.parametrize("momentum", [0.0, 0.9], ids="momentum={}".format)
def test_a_path_that_diverges_ends_and_says_so(every, momentum):
    loss, _ = quadratic([2.0, 1.0])
    path = gradient_descent(
        loss, 1, 5.0, 5000, torch.ones(2, **F64), momentum=momentum, every=every
    )
    assert path.diverged
    assert torch.isfinite(path.ws).all() and torch.isfinite(path.values).all()
    assert path.steps[-1] < 5000 and path.steps[0] == 0
    assert len(path.steps) == len(path.ws) == len(path.values)
    if every == 1:
        assert path.values[-1] > 1e100
        assert torch.equal(path.steps, torch.arange(len(path.steps)))


def test_the_l2_term_may_diverge_alone():
    """The losses grow like |w| and stay finite; the L2 term overflows first, at |w| = 1e154."""
    toy = toys.logistic_regression(6, 2, generator=generator())
    loss = EmpiricalLoss(*toy.parts, l2=1.0)
    path = gradient_descent(loss, 6, 10.0, 400, torch.ones(2, **F64))
    assert path.diverged
    assert torch.isfinite(path.ws).all() and torch.isfinite(path.values).all()


def test_large_but_finite_is_no_divergence():
    loss, _ = quadratic([2.0, 1.0])
    path = gradient_descent(loss, 1, 5.0, 100, torch.ones(2, **F64))
    assert not path.diverged and path.values[-1] > 1e100 and path.steps[-1] == 100


def test_a_bad_start_is_an_error_and_no_divergence():
    loss, _ = quadratic([2.0, 1.0])
    with pytest.raises(ValueError, match="w must be finite"):
        gradient_descent(loss, 1, 0.1, 5, torch.full((2,), torch.nan, **F64))


def test_a_gradient_that_does_not_exist_at_the_start_is_an_error():
    model = nn.Linear(3, 2, bias=False).double()
    nn.init.zeros_(model.weight)
    x = randn(4, 3)
    loss = EmpiricalLoss(model, lambda out, y: out.square().sum(1).sqrt(), x, x)
    with pytest.raises(ValueError, match="gradient is not finite though the loss is"):
        gradient_descent(loss, 4, 0.1, 5)


# -- refusals --------------------------------------------------------------------------------------

REFUSED = {
    "lr zero": (dict(lr=0), "lr must be positive and finite (learning rate); got lr = 0.0."),
    "lr negative": (dict(lr=-1), "lr must be positive and finite"),
    "lr NaN": (dict(lr=float("nan")), "lr must be positive and finite"),
    "momentum one": (
        dict(momentum=1),
        "momentum must be below 1, or no step is ever forgotten; got 1.0.",
    ),
    "momentum negative": (dict(momentum=-0.1), "momentum must be finite and not negative"),
    "batch above k": (
        dict(batch_size=5, generator=generator()),
        "batch_size must be between 1 and 4 (samples for each step, of those given); got "
        "batch_size = 5.",
    ),
    "batch zero": (dict(batch_size=0, generator=generator()), "batch_size must be between 1"),
    "batch above indices": (
        dict(k=torch.tensor([1, 5, 3]), batch_size=4, generator=generator()),
        "batch_size must be between 1 and 3",
    ),
    "no generator": (dict(batch_size=2), "generator must be a torch.Generator; got NoneType."),
    "no steps": (dict(steps=0), "steps must be at least 1 (steps of gradient descent)"),
    "every zero": (dict(every=0), "every must be at least 1"),
    "k too large": (dict(k=11), "k must be between 1 and 10"),
    "k too large, in batches": (
        dict(k=11, batch_size=2, generator=generator()),
        "k must be between 1 and 10",
    ),
    "k a float, in batches": (dict(k=4.0, batch_size=2, generator=generator()), "whole number"),
    "indices beyond n": (dict(k=torch.tensor([3, 10])), "Sample indices must be within 0..9"),
    "range empty": (dict(k=range(3, 3)), "not empty"),
    "range empty, in batches": (
        dict(k=range(3, 3), batch_size=1, generator=generator()),
        "not empty",
    ),
    "w too short": (dict(w=torch.ones(3, **F64)), "w must be a flat vector of length N"),
}


@pytest.mark.parametrize(("options", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_refusals(mlp_problem, options, sentence):
    p = mlp_problem()
    call = dict(k=4, lr=0.1, steps=3, w=p.w) | options
    with pytest.raises(ValueError) as refused:
        gradient_descent(p.loss, **call)
    assert sentence in str(refused.value)
