"""Designed samples of next samples: unbiased, with a right error, and better than the first.

Oracles: the exact average over all samples, and over all draws where they can be counted; torch's
own dense derivatives. The wrong formulas: the plain mean of the draws, and an error without
weights.
"""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from draws import F64, generator
from torch import nn
from torch.func import grad, hessian

import landscape_nb as ln

PARTS = ("value", "cross", "gradient", "curvature")
cross_entropy = nn.CrossEntropyLoss(reduction="none")


def population(m=200, spread=2.0, seed=0):
    """Surprises with a heavy tail, and a quantity that follows them roughly."""
    g = generator(seed)
    x = (spread * torch.randn(m, generator=g, **F64)).exp()
    return x, x * (0.5 * torch.randn(m, generator=g, **F64)).exp()


def digits(model, n, k, loss_fn=cross_entropy):
    loss = ln.EmpiricalLoss(model, loss_fn, *ln.data.digits(n), l2=1e-3)
    return loss, k


def regression():
    g = generator(5)
    x = torch.randn(360, 6, generator=g, **F64)
    y = (2 * x[:, 0]).sin() + x[:, 1] * x[:, 2] + 0.3 * torch.randn(360, generator=g, **F64)
    model = ln.models.MLP([6, 8, 1])
    return ln.EmpiricalLoss(model, lambda out, t: (out[:, 0] - t).square(), x, y, l2=1e-2), 200


def convolution():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 4, 3, stride=2), nn.Tanh(), nn.Flatten(),
        nn.Linear(36, 10),
    ).double()  # fmt: skip


MODELS = {
    "linear": lambda: digits(ln.models.MLP([64, 10]), 700, 300),
    "network": lambda: digits(ln.models.MLP([64, 12, 10]), 500, 300),
    "convolution": lambda: digits(convolution(), 420, 300),
    "regression": regression,
}


@pytest.fixture(scope="module", params=MODELS)
def everyone(request):
    """Every unseen sample's quantities, which the draws have to average."""
    loss, k = MODELS[request.param]()
    w = ln.fit(loss, k, tol=1e-3).w
    U = ln.random_subspace(loss.num_params, 3, generator())
    models = ln.next_sample_models(loss, w, U, k)
    trace = models.B.diagonal(dim1=1, dim2=2).sum(1)
    curvature = (2 * models.B.square().sum((1, 2)) + trace.square()) / 4
    y = torch.stack([models.c.square().sum(1), models.a * trace, curvature], dim=1)
    return SimpleNamespace(a=models.a.abs(), c=models.c.norm(dim=1), y=y)


def many(surprise, y, size, repetitions=200):
    """Means, errors and whether the interval holds the truth, over draws."""
    g = generator(size)
    found = []
    for _ in range(repetitions):
        design = ln.designed_sample(surprise, size, g)
        estimate, (low, high) = (f(y[design.indices]) for f in (design.mean, design.interval))
        inside = ((low <= y.mean(0)) & (y.mean(0) <= high)).double()
        found.append(torch.stack([estimate.value, estimate.stderr, inside]))
    return torch.stack(found).unbind(1)


@pytest.mark.parametrize("size", [16, 32], ids="size={}".format)
def test_the_mean_is_unbiased_and_its_error_right_on_models(everyone, size):
    for surprise in (everyone.a, everyone.c):
        means, errors, inside = many(surprise, everyone.y, size)
        spread, exact = means.std(0), everyone.y.mean(0)
        assert ((means.mean(0) - exact).abs() < 4.5 * spread / 200**0.5).all()
        ratio = errors.square().mean(0).sqrt() / spread
        assert ((ratio > 0.75) & (ratio < 1.3)).all(), ratio
        # of few draws too few intervals hold a skewed truth: `designed_sample` gives figures
        assert (inside.mean(0) > 0.6).all(), inside.mean(0)
        assert inside.mean() > 0.75


def test_it_beats_the_first_samples(everyone):
    """The mean over the first 32 in a random order, which was the way before."""
    g = generator(1)
    gradient = everyone.y[:, 0]
    first = torch.stack([
        gradient[torch.randperm(len(gradient), generator=g)[:32]].mean() for _ in range(200)
    ])  # fmt: skip
    designed = many(everyone.a, everyone.y, 32)[0][:, 0]
    assert designed.std() < 0.55 * first.std()


def test_the_plain_mean_of_the_draws_is_wrong():
    x, y = population()
    g, plain, weighted = generator(), [], []
    for _ in range(200):
        design = ln.designed_sample(x, 16, g)
        plain.append(float(y[design.indices].mean()))
        weighted.append(float(design.mean(y[design.indices]).value))
    exact, fair = float(y.mean()), np.std(weighted) / 200**0.5
    assert abs(np.mean(weighted) - exact) < 4 * fair
    assert abs(np.mean(plain) - exact) > 40 * fair


def test_an_error_without_weights_is_wrong():
    x, y = population()
    means, errors, _ = many(x, y[:, None], 16)
    spread = float(means.std())
    assert 0.85 < float(errors.square().mean().sqrt()) / spread < 1.15
    g = generator(16)
    drawn = [y[ln.designed_sample(x, 16, g).indices] for _ in range(200)]
    without = math.sqrt(np.mean([float(some.var()) / 16 for some in drawn]))
    assert without > 2 * spread


def test_all_draws_counted():
    """Five of nine: every possible draw by itself, for the mean and for its variance."""
    x = torch.tensor([60.0, 1.1, 1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7], **F64)
    y = torch.tensor([5.0, 1.0, -2.0, 4.0, 0.5, 3.0, 7.0, 2.0, -1.0], **F64)
    design = ln.designed_sample(x, 5, generator())
    assert design.strata[0] == -1 and design.weights[0] == 1
    members = {}  # of each stratum: whoever is ever drawn with its label
    for seed in range(200):
        one = ln.designed_sample(x, 5, generator(seed))
        for i, h in zip(one.indices.tolist(), one.strata.tolist(), strict=True):
            members.setdefault(h, set()).add(i)
    assert members[-1] == {0} and members[0] | members[1] == set(range(1, 9))
    assert not members[0] & members[1]
    found = []
    for pairs in itertools.product(*(itertools.combinations(members[h], 2) for h in (0, 1))):
        rows = [(0, 1.0, -1)] + [(i, len(members[h]) / 2, h) for h in (0, 1) for i in pairs[h]]
        indices, weights, strata = (torch.tensor(part) for part in zip(*rows, strict=True))
        weights = weights.double()
        estimate = ln.Design(indices, weights, strata, 9).mean(y[indices])
        found.append((float(estimate.value), float(estimate.stderr) ** 2))
    values, variances = np.array(found).T
    assert math.isclose(values.mean(), float(y.mean()), rel_tol=1e-12)
    assert math.isclose(variances.mean(), values.var(), rel_tol=1e-12)


@pytest.mark.parametrize("m", [5, 8, 33, 400])
@pytest.mark.parametrize("size", [4, 5, 7, 16, 31])
def test_every_sample_is_stood_for(m, size):
    for spread in (0.0, 1.0, 6.0):
        x, _ = population(m, spread)
        design = ln.designed_sample(x, size, generator())
        assert len(design.indices) == min(size, m)
        assert (design.indices.diff() > 0).all()
        assert math.isclose(float(design.weights.sum()), m, rel_tol=1e-12)
        if size >= m:
            assert math.isclose(design.mean(x).value, x.mean(), rel_tol=1e-12)
            assert design.mean(x).stderr == 0
            assert design.interval(x) == (design.mean(x).value,) * 2
        else:
            counts = np.bincount(design.strata[design.strata >= 0].numpy())
            assert counts.min() >= 2
        heaviest = int(x.argmax())
        assert spread < 6 or m < 33 or heaviest in design.indices.tolist()


def test_nothing_surprises_or_nothing_differs():
    for x in (torch.zeros(50, **F64), torch.full((50,), 3.0, **F64)):
        design = ln.designed_sample(x, 10, generator())
        assert (design.weights > 1).all()
        found = design.mean(torch.ones(10, 2))
        assert found.value.tolist() == [1, 1] and found.stderr.tolist() == [0, 0]
        assert all((end == 1).all() for end in design.interval(torch.ones(10, 2)))
        assert found.value.dtype == torch.float32


def test_the_unit_and_the_generator():
    x, y = population()
    one, other = (ln.designed_sample(f * x, 16, generator(3)) for f in (1.0, 1e-290))
    assert torch.equal(one.indices, other.indices) and torch.equal(one.weights, other.weights)
    third = ln.designed_sample(x, 16, generator(4))
    assert not torch.equal(one.indices, third.indices)


# -- the table of next samples -------------------------------------------------------------------


def dense_parts(p, U, k, i):
    order = [*range(k), i]
    a = p.reference(p.w, order) - p.reference(p.w, slice(k))
    c = U.T @ (grad(p.reference)(p.w, order) - grad(p.reference)(p.w, slice(k)))
    B = U.T @ (hessian(p.reference)(p.w, order) - hessian(p.reference)(p.w, slice(k))) @ U
    curvature = (2 * B.square().sum() + B.trace() ** 2) / 4
    return torch.stack([a.square(), a * B.trace(), c.square().sum(), curvature])


@pytest.mark.parametrize("all_gradients", [True, False])
def test_the_table_against_dense_derivatives(mlp_problem, all_gradients):
    p = mlp_problem(n=18, l2=0.2)
    k, U = 6, ln.random_subspace(p.N, 3, generator())
    each = torch.stack([dense_parts(p, U, k, i) for i in range(k, p.n)])
    exact = ln.next_sample_table(p.loss, p.w, U, k)
    for part, expected in zip(
        ("value", "cross", "gradient", "curvature"), each.mean(0), strict=True
    ):
        torch.testing.assert_close(getattr(exact.at(3, 1.0), part)[0], expected)
        assert getattr(exact.stderr_at(3, 1.0), part) == 0
    found = [
        ln.next_sample_table(
            p.loss, p.w, U, k, size=6, generator=generator(seed), all_gradients=all_gradients
        )
        for seed in range(60)
    ]
    assert found[0].ks.tolist() == [k] and found[0].D == 3
    known = ("value", "gradient") if all_gradients else ("value",)
    for part, expected in zip(
        ("value", "cross", "gradient", "curvature"), each.mean(0), strict=True
    ):
        values = torch.cat([getattr(t.at(3, 1.0), part) for t in found])
        errors = torch.cat([getattr(t.stderr_at(3, 1.0), part) for t in found])
        if part in known:
            torch.testing.assert_close(values, expected.expand(60))
            assert (errors == 0).all()
        else:
            assert abs(values.mean() - expected) < 4.5 * values.std() / 60**0.5
            assert 0.6 < errors.square().mean().sqrt() / values.std() < 1.5


def test_the_errors_at_a_sigma_scale_as_the_parts(mlp_problem):
    p = mlp_problem(n=18)
    U = ln.random_subspace(p.N, 3, generator())
    table = ln.next_sample_table(
        p.loss, p.w, U, 6, size=5, all_gradients=False, generator=generator()
    )
    errors = table.stderr_at(2, 0.1)
    assert errors.value == 0
    assert math.isclose(errors.cross, 1e-2 * table.cross_stderr[0, 1], rel_tol=1e-12)
    assert math.isclose(errors.gradient, 1e-2 * table.gradient_stderr[0, 1], rel_tol=1e-12)
    assert math.isclose(errors.curvature, 1e-4 * table.curvature_stderr[0, 1], rel_tol=1e-12)
    last = table.last()
    assert last.D == 1 and torch.equal(last.gradient_stderr, table.gradient_stderr[:, 2:])
    assert torch.equal(last.cross, table.cross[:, 2:])


def test_candidates_and_memory_change_nothing_they_should_not(mlp_problem):
    tables = []
    for memory in (1e9, 1.0):
        p = mlp_problem(n=30, memory=memory)
        U = ln.random_subspace(p.N, 2, generator())
        tables.append(ln.next_sample_table(
            p.loss, p.w, U, 4, size=6, candidates=range(6, 28, 2), generator=generator()
        ))  # fmt: skip
    for name in ("value", "cross", "gradient", "curvature", "cross_stderr", "curvature_stderr"):
        torch.testing.assert_close(getattr(tables[0], name), getattr(tables[1], name))
    losses = p.loss.per_sample(p.w)
    a = (losses[6:28:2] - losses[:4].mean()) / 5
    torch.testing.assert_close(tables[0].value[0], a.square().mean())
    few = ln.next_sample_table(
        p.loss, p.w, U, 4, size=50, candidates=range(6, 9), generator=generator()
    )
    exact = ln.next_sample_table(p.loss, p.w, U, 4, candidates=range(6, 9))
    assert torch.equal(few.curvature, exact.curvature)
