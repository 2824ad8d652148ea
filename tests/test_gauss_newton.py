"""The Gauss-Newton part of the Hessian.

Oracles: J'AJ summed sample by sample, J from torch.func.jacrev, A from the closed forms
diag(p) - pp' (cross-entropy) and 2/K (mean square); torch.func.hessian of every single output for
the rest H - G; the regressions' exact Hessians, where that rest is zero; curvlinops' operator.
Wrong on purpose: the Fisher matrix of the labels that occurred, and A without its -pp'.
"""

from types import SimpleNamespace

import pytest
import torch
from draws import F64, generator, randn
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call, hessian, jacrev

from landscape_nb import EmpiricalLoss, GaussNewtonOperator
from landscape_nb.numerics import operators
from landscape_nb.problems import toys
from landscape_nb.problems.models import MLP, DecoderTransformer, TransformerConfig, sequence_loss

EXACT = dict(rtol=0, atol=1e-12)


def outputs_by_torch(model, x):
    """The outputs of one sample, flat, as a function of w; by torch alone."""
    named = dict(model.named_parameters())

    def outputs(w):
        pieces = w.split([p.numel() for p in named.values()])
        at_w = {k: v.reshape(p.shape) for (k, p), v in zip(named.items(), pieces, strict=True)}
        return functional_call(model, at_w, (x[None],)).flatten()

    return outputs


def softmax_curvature(f):
    p = torch.softmax(f, 0)
    return torch.diag(p) - torch.outer(p, p)


def summed(model, xs, w, curvature):
    """(1/k) sum J'AJ, one sample at a time."""
    G = 0
    for x in xs:
        outputs = outputs_by_torch(model, x)
        J = jacrev(outputs)(w)
        G = G + J.T @ curvature(outputs(w)) @ J / len(xs)
    return G


def mean_square(out, y):
    return (out - y).square().mean(1)


# -- against the sum over samples ------------------------------------------------------------------


@pytest.mark.parametrize("l2", [0.0, 0.3], ids="l2={}".format)
@pytest.mark.parametrize("k", [1, 7, 10], ids="k={}".format)
@pytest.mark.parametrize("batch_size", [1024, 4, 1], ids="batch={}".format)
def test_cross_entropy_against_the_sum(mlp_problem, batch_size, k, l2):
    p = mlp_problem(l2=l2, batch_size=batch_size)
    G = GaussNewtonOperator(p.loss, p.w, k)
    expected = summed(p.model, p.x[:k], p.w, softmax_curvature)
    torch.testing.assert_close(G.dense(), expected, **EXACT)
    V = randn(p.N, 3)
    torch.testing.assert_close(G(V), expected @ V, **EXACT)
    torch.testing.assert_close(G(V[:, 0]), expected @ V[:, 0], **EXACT)


def test_formulas_that_are_not_gauss_newton_are_rejected(mlp_problem):
    p = mlp_problem()
    G = GaussNewtonOperator(p.loss, p.w, 10).dense()
    gradients = p.loss.sample_gradients(p.w, 10)
    wrong = {
        "Fisher of the labels that occurred": gradients.T @ gradients / 10,
        "A = diag(p)": summed(p.model, p.x, p.w, lambda f: torch.diag(torch.softmax(f, 0))),
        "A = 1": summed(p.model, p.x, p.w, lambda f: torch.eye(3, **F64)),
        "sum for mean": 10 * G,
        "the Hessian": p.loss.hessian(p.w, 10),
    }
    for name, matrix in wrong.items():
        assert (matrix - G).norm() > 0.05 * G.norm(), name


@pytest.mark.parametrize("batch_size", [1024, 3], ids="batch={}".format)
@pytest.mark.parametrize(
    "samples",
    [range(3, 7), range(1, 10, 4), torch.tensor([8, 0, 3]), torch.tensor([2, 2, 5]), 4],
    ids=["block", "stride", "indices", "a sample twice", "the first 4"],
)
def test_any_choice_of_samples(mlp_problem, samples, batch_size):
    p = mlp_problem(batch_size=batch_size)
    rows = list(range(samples)) if isinstance(samples, int) else [int(i) for i in samples]
    expected = summed(p.model, p.x[rows], p.w, softmax_curvature)
    G = GaussNewtonOperator(p.loss, p.w, samples)
    torch.testing.assert_close(G.dense(), expected, **EXACT)


@pytest.mark.parametrize("batch_size", [1024, 4], ids="batch={}".format)
def test_squared_loss(batch_size):
    model, x, y = MLP([3, 5, 2]), randn(9, 3), randn(9, 2, seed=2)
    loss = EmpiricalLoss(model, mean_square, x, y, batch_size=batch_size)
    w = randn(loss.num_params, seed=3)
    G = GaussNewtonOperator(loss, w, 9).dense()
    expected = summed(model, x, w, lambda f: torch.eye(2, **F64))  # of |f - y|^2 / 2: 2/K = 1
    torch.testing.assert_close(G, expected, **EXACT)
    assert (G - loss.hessian(w, 9)).norm() > 0.1 * G.norm()


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(2, 4)),
    st.integers(1, 5),
    st.integers(1, 6),
    st.integers(0, 99),
)
def test_property_any_widths_samples_and_batches(mlp_problem, widths, k, batch_size, seed):
    p = mlp_problem(n=5, widths=widths, batch_size=batch_size, seed=seed)
    G = GaussNewtonOperator(p.loss, p.w, k).dense()
    torch.testing.assert_close(G, summed(p.model, p.x[:k], p.w, softmax_curvature), **EXACT)
    assert torch.linalg.eigvalsh(G)[0] > -1e-12


# -- what it leaves of the Hessian -----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["linear", "logistic", "softmax"])
@pytest.mark.parametrize("k", [1, 5, 12], ids="k={}".format)
def test_of_a_linear_model_it_is_the_whole_hessian(kind, k):
    toy = {
        "linear": lambda: toys.linear_regression(12, 3, generator=generator()),
        "logistic": lambda: toys.logistic_regression(12, 3, generator=generator()),
        "softmax": lambda: toys.softmax_regression(12, 3, 4, generator=generator()),
    }[kind]()
    loss = EmpiricalLoss(*toy.parts, batch_size=5)
    w = randn(loss.num_params)
    G = GaussNewtonOperator(loss, w, k).dense()
    torch.testing.assert_close(G, toy.hessian(w, k), **EXACT)


@pytest.mark.parametrize("scale", [1, 3], ids="weights times {}".format)
def test_the_rest_is_the_curvature_of_the_outputs(mlp_problem, scale):
    """H - G = (1/k) sum_i sum_c (dl_i/df_c) Hess f_c(x_i), with dl/df = p - y."""
    p = mlp_problem()
    w = scale * p.w
    R = 0
    for x, y in zip(p.x, p.y, strict=True):
        outputs = outputs_by_torch(p.model, x)
        slope = torch.softmax(outputs(w), 0) - nn.functional.one_hot(y, 3)
        R = R + torch.einsum("c,cij->ij", slope, hessian(outputs)(w)) / 10
    G = GaussNewtonOperator(p.loss, w, 10).dense()
    assert R.norm() > 0.05 * G.norm()
    torch.testing.assert_close(p.loss.hessian(w, 10) - G, R, **EXACT)


@pytest.mark.parametrize("batch_size", [1024, 4], ids="batch={}".format)
def test_a_loss_linear_in_the_outputs_has_none(batch_size):
    x = randn(6, 3)
    model = MLP([3, 4, 2])
    loss = EmpiricalLoss(
        model, lambda out, y: (out * y).sum(1), x, randn(6, 2), l2=0.5, batch_size=batch_size
    )
    G = GaussNewtonOperator(loss, loss.w0, 6)
    V = randn(loss.num_params, 3)
    assert torch.equal(G(V), torch.zeros_like(V))
    assert torch.equal(G.dense(), torch.zeros(loss.num_params, loss.num_params, **F64))
    assert G.products == 3 + loss.num_params
    assert loss.without_l2().hessian(loss.w0, 6).norm() > 0.01  # it has a Hessian


def test_rank_is_samples_times_classes_less_one(mlp_problem):
    for n in (1, 2, 4):
        p = mlp_problem(n=n, widths=(6, 5, 4))
        values = torch.linalg.eigvalsh(GaussNewtonOperator(p.loss, p.w, n).dense()).flip(0)
        rank = n * (4 - 1)
        assert rank < p.N
        assert values[rank - 1] > 1e-6 * values[0]
        assert values[rank:].abs().max() < 1e-12 * values[0]


def test_symmetric_linear_and_without_negative_curvature(mlp_problem):
    p = mlp_problem()
    G = GaussNewtonOperator(p.loss, p.w, 10)
    u, v = randn(p.N), randn(p.N, seed=2)
    assert abs(u @ G(v) - v @ G(u)) < 1e-12
    torch.testing.assert_close(G(2 * u - 3 * v), 2 * G(u) - 3 * G(v), **EXACT)
    assert torch.linalg.eigvalsh(p.loss.hessian(p.w, 10))[0] < -1e-3  # the Hessian has some
    assert torch.linalg.eigvalsh(G.dense())[0] > -1e-13


# -- other models ----------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1024, 4], ids="batch={}".format)
def test_agrees_with_curvlinops(mlp_problem, batch_size):
    from curvlinops import GGNLinearOperator

    p = mlp_problem(batch_size=batch_size)
    nn.utils.vector_to_parameters(p.w, p.model.parameters())
    theirs = GGNLinearOperator(
        p.model, nn.CrossEntropyLoss(), list(p.model.parameters()), [(p.x, p.y)]
    )
    ours = GaussNewtonOperator(p.loss, p.w, 10)
    for v in randn(p.N, 3).T:
        torch.testing.assert_close(ours(v), theirs @ v, **EXACT)


@pytest.fixture(scope="module")
def language():
    config = TransformerConfig(5, context=4, width=8, depth=1, heads=2, kv_heads=1, hidden=6)
    model = DecoderTransformer(config, generator=generator(), dtype=torch.float64)
    tokens = torch.randint(5, (3, 5), generator=generator(1))
    return SimpleNamespace(model=model, inputs=tokens[:, :-1], targets=tokens[:, 1:])


@pytest.mark.parametrize("batch_size", [1024, 2], ids="batch={}".format)
def test_a_sequence_has_one_block_of_A_for_each_token(language, batch_size):
    loss = EmpiricalLoss(
        language.model, sequence_loss, language.inputs, language.targets, batch_size=batch_size
    )

    def curvature(f):  # the mean over 4 tokens of their cross-entropies
        return torch.block_diag(*(softmax_curvature(row) for row in f.view(4, 5))) / 4

    G = GaussNewtonOperator(loss, loss.w0, 3)
    expected = summed(language.model, language.inputs, loss.w0, curvature)
    torch.testing.assert_close(G.dense(), expected, **EXACT)
    values = torch.linalg.eigvalsh(expected)
    assert int((values > 1e-10 * values[-1]).sum()) <= 3 * 4 * (5 - 1)


def test_an_operation_without_batched_double_backward():
    """group_norm: the columns go one by one where they can't go together."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.GroupNorm(2, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    x, y = randn(6, 4), torch.tensor([0, 1, 2, 2, 1, 0])
    loss = EmpiricalLoss(model, nn.CrossEntropyLoss(reduction="none"), x, y)
    expected = summed(model, x, loss.w0, softmax_curvature)
    G = GaussNewtonOperator(loss, loss.w0, 6)
    torch.testing.assert_close(G.dense(), expected, rtol=0, atol=1e-10)
    V = randn(loss.num_params, 3)
    torch.testing.assert_close(G(V), expected @ V, rtol=0, atol=1e-10)


@pytest.mark.parametrize("way", ["many_at_once", "one_by_one"])
def test_both_ways_of_differentiating(mlp_problem, monkeypatch, way):
    taken = []
    true_way = getattr(operators, way)

    def record(*arguments):
        taken.append(way)
        return true_way(*arguments)

    monkeypatch.setattr(operators, way, record)
    monkeypatch.setattr(operators, "SMALL_BATCH", 2**22 if way == "many_at_once" else 0)
    p = mlp_problem()
    taken.clear()
    V = randn(p.N, 70)  # more than one block of columns
    product = GaussNewtonOperator(p.loss, p.w, 10)(V)
    assert taken == [way] * 3
    expected = summed(p.model, p.x, p.w, softmax_curvature)
    torch.testing.assert_close(product, expected @ V, **EXACT)


def test_float32(mlp_problem):
    single, double = mlp_problem(dtype=torch.float32), mlp_problem()
    w = double.w.float()
    G = GaussNewtonOperator(single.loss, w, 10)(randn(double.N, 3).float())
    expected = summed(double.model, double.x.float().double(), w.double(), softmax_curvature)
    expected = expected @ randn(double.N, 3).float().double()
    assert G.dtype == torch.float32
    assert (G.double() - expected).norm() < 1e-5 * expected.norm()


# -- the operator itself ---------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1024, 4], ids="batch={}".format)
def test_products_are_counted_and_may_be_repeated(mlp_problem, batch_size):
    p = mlp_problem(batch_size=batch_size)
    G = GaussNewtonOperator(p.loss, p.w, 10)
    assert G.products == 0
    V = randn(p.N, 5)
    first = G(V)
    assert G.products == 5
    single = G(V[:, 0])
    assert G.products == 6 and single.shape == (p.N,)
    torch.testing.assert_close(single, first[:, 0], rtol=0, atol=1e-14)
    torch.testing.assert_close(G(V), first, rtol=0, atol=1e-14)
    assert G.products == 11
    G.dense()
    assert G.products == 11 + p.N


def test_it_works_without_the_callers_gradients_and_leaves_no_graph(mlp_problem):
    p = mlp_problem()
    V = randn(p.N, 2).requires_grad_()
    expected = GaussNewtonOperator(p.loss, p.w, 10)(V)
    assert not expected.requires_grad
    with torch.no_grad():
        product = GaussNewtonOperator(p.loss, p.w.clone().requires_grad_(), 10)(V)
    assert torch.equal(product, expected)
    assert all(q.grad is None for q in p.model.parameters())


def test_a_curvature_that_is_not_finite_is_refused():
    """|f| has no curvature at f = 0, where a model of zeros starts."""
    model = nn.Linear(3, 2, bias=False).double()
    nn.init.zeros_(model.weight)
    x = randn(4, 3)
    loss = EmpiricalLoss(model, lambda out, y: out.square().sum(1).sqrt(), x, x)
    with pytest.raises(ValueError, match="Gauss-Newton product is not finite though the loss is"):
        GaussNewtonOperator(loss, loss.w0, 4)(loss.w0)
