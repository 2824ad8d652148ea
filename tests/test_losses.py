"""L_k, its gradient and its curvature.

Oracles: torch.func (grad, hessian, vmap) on the bare module; curvlinops' Hessian operator;
central finite differences of gradients; matrix algebra for the toys' Hessians; an explicit loop
over the samples. Wrong on purpose: the unweighted mean of ragged batch means.
"""

import copy
import gc
import weakref

import numpy as np
import pytest
import torch
from draws import F64, generator
from torch import nn
from torch.func import grad, hessian

from landscape_nb import EmpiricalLoss, HessianOperator, fit, top_eigenpairs
from landscape_nb.numerics import operators
from landscape_nb.problems import toys
from landscape_nb.problems.models import MLP


def squared(out, y):
    return (out - y).square().flatten(1).mean(1)


def regression(model, n=10, features=3, seed=0, **options):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, features, generator=g, **F64)
    y = torch.randn(n, 1, generator=g, **F64)
    return EmpiricalLoss(model, squared, x, y, **options)


def random_like(w, seed=1):
    return torch.randn(w.shape, generator=torch.Generator().manual_seed(seed), dtype=w.dtype)


# -- values and derivatives ----------------------------------------------------------------------


@pytest.mark.parametrize("l2", [0.0, 0.3], ids="l2={}".format)
@pytest.mark.parametrize("k", [1, 4, 7, 10], ids="k={}".format)
@pytest.mark.parametrize("batch_size", [1024, 4, 1], ids="batch={}".format)
class TestAgainstTorchFunc:
    @pytest.fixture
    def p(self, mlp_problem, l2, batch_size):
        return mlp_problem(n=10, l2=l2, batch_size=batch_size)

    def test_per_sample_is_a_loop_over_samples_without_l2(self, p, k):
        one_by_one = [p.reference(p.w, slice(i, i + 1)) - p.l2 / 2 * p.w @ p.w for i in range(k)]
        torch.testing.assert_close(
            p.loss.per_sample(p.w, k), torch.stack(one_by_one), rtol=0, atol=1e-12
        )

    def test_value(self, p, k):
        assert abs(p.loss.value(p.w, k) - p.reference(p.w, slice(k))) < 1e-12

    def test_gradient(self, p, k):
        expected = grad(p.reference)(p.w, slice(k))
        torch.testing.assert_close(p.loss.gradient(p.w, k), expected, rtol=0, atol=1e-12)

    def test_value_and_gradient_are_the_two_of_them(self, p, k):
        value, gradient = p.loss.value_and_gradient(p.w, k)
        assert abs(value - p.loss.value(p.w, k)) < 1e-12
        assert torch.equal(gradient, p.loss.gradient(p.w, k))

    def test_hessian(self, p, k):
        expected = hessian(p.reference)(p.w, slice(k))
        torch.testing.assert_close(p.loss.hessian(p.w, k), expected, rtol=0, atol=1e-12)

    def test_hvp_of_one_and_of_several_directions(self, p, k):
        H = hessian(p.reference)(p.w, slice(k))
        V = random_like(torch.empty(p.N, 3, **F64))
        torch.testing.assert_close(p.loss.hvp(p.w, V, k), H @ V, rtol=0, atol=1e-12)
        torch.testing.assert_close(p.loss.hvp(p.w, V[:, 0], k), H @ V[:, 0], rtol=0, atol=1e-12)


def test_hvp_agrees_with_curvlinops(mlp_problem):
    from curvlinops import HessianLinearOperator

    p = mlp_problem(n=10, batch_size=4)
    nn.utils.vector_to_parameters(p.w, p.model.parameters())
    H = HessianLinearOperator(
        p.model, nn.CrossEntropyLoss(), list(p.model.parameters()), [(p.x, p.y)]
    )
    v = random_like(p.w)
    torch.testing.assert_close(p.loss.hvp(p.w, v, 10), H @ v, rtol=0, atol=1e-12)


def test_a_mean_of_ragged_batch_means_is_rejected(mlp_problem):
    """Peers average the batches of 4, 4 and 2 with equal weights; that is wrong by percents."""
    p = mlp_problem(n=10, batch_size=4)
    v = random_like(p.w)
    batches = [slice(0, 4), slice(4, 8), slice(8, 10)]
    exact = {
        "value": (p.loss.value(p.w, 10), p.reference),
        "gradient": (p.loss.gradient(p.w, 10), grad(p.reference)),
        "hvp": (p.loss.hvp(p.w, v, 10), lambda w, s: hessian(p.reference)(w, s) @ v),
    }
    for quantity, (ours, reference) in exact.items():
        unweighted = sum(reference(p.w, batch) for batch in batches) / 3
        assert (ours - reference(p.w, slice(None))).norm() < 1e-12, quantity
        assert (ours - unweighted).norm() > 1e-2 * ours.norm(), quantity


@pytest.mark.parametrize("batch_size", [1024, 2], ids="batch={}".format)
@pytest.mark.parametrize(
    "samples", [range(3, 7), range(9, 10), range(1, 10, 3)], ids=["block", "last", "stride"]
)
def test_a_range_means_the_average_over_just_these_samples(mlp_problem, samples, batch_size):
    p = mlp_problem(n=10, l2=0.1, batch_size=batch_size)
    rows = list(samples)
    v = random_like(p.w)
    H = hessian(p.reference)(p.w, rows)
    assert abs(p.loss.value(p.w, samples) - p.reference(p.w, rows)) < 1e-12
    torch.testing.assert_close(
        p.loss.gradient(p.w, samples), grad(p.reference)(p.w, rows), rtol=0, atol=1e-12
    )
    torch.testing.assert_close(p.loss.hvp(p.w, v, samples), H @ v, rtol=0, atol=1e-12)


INDICES = {
    "in any order": [7, 0, 9, 4],
    "one": [5],
    "a sample twice": [2, 8, 2, 2],
    "all": [3, 1, 4, 0, 5, 9, 2, 6, 8, 7],
}


@pytest.mark.parametrize("l2", [0.0, 0.3], ids="l2={}".format)
@pytest.mark.parametrize("batch_size", [1024, 3], ids="batch={}".format)
@pytest.mark.parametrize("rows", INDICES.values(), ids=INDICES.keys())
class TestIndexTensors:
    """A tensor of indices means the average over just these samples, in that order."""

    @pytest.fixture
    def p(self, mlp_problem, l2, batch_size):
        return mlp_problem(n=10, l2=l2, batch_size=batch_size)

    def test_values(self, p, rows):
        chosen = torch.tensor(rows)
        alone = [p.reference(p.w, slice(i, i + 1)) - p.l2 / 2 * p.w @ p.w for i in rows]
        close = dict(rtol=0, atol=1e-12)
        torch.testing.assert_close(p.loss.per_sample(p.w, chosen), torch.stack(alone), **close)
        value = sum(alone) / len(rows) + p.l2 / 2 * p.w @ p.w
        assert abs(p.loss.value(p.w, chosen) - value) < 1e-12
        nn.utils.vector_to_parameters(p.w.clone(), p.model.parameters())
        outputs = torch.stack([p.model(p.x[i]) for i in rows]).detach()
        torch.testing.assert_close(p.loss.outputs(p.w, chosen), outputs, **close)

    def test_derivatives(self, p, rows):
        chosen, close = torch.tensor(rows), dict(rtol=0, atol=1e-12)
        one = [slice(i, i + 1) for i in rows]
        gradient = sum(grad(p.reference)(p.w, i) for i in one) / len(rows)
        torch.testing.assert_close(p.loss.gradient(p.w, chosen), gradient, **close)
        value, same = p.loss.value_and_gradient(p.w, chosen)
        assert torch.equal(same, p.loss.gradient(p.w, chosen))
        assert abs(value - p.loss.value(p.w, chosen)) < 1e-12
        H = sum(hessian(p.reference)(p.w, i) for i in one) / len(rows)
        torch.testing.assert_close(p.loss.hessian(p.w, chosen), H, **close)
        v = random_like(p.w)
        torch.testing.assert_close(p.loss.hvp(p.w, v, chosen), H @ v, **close)
        operator = p.loss.hessian_operator(p.w, chosen)
        torch.testing.assert_close(operator.gradient, gradient, **close)
        rows_of_gradients = torch.stack([grad(p.reference)(p.w, i) - p.l2 * p.w for i in one])
        found = p.loss.sample_gradients(p.w, chosen)
        torch.testing.assert_close(found, rows_of_gradients, **close)


def test_an_index_tensor_is_neither_a_set_nor_a_prefix(mlp_problem):
    """What it must not be taken for: duplicates dropped, or the first so many."""
    p = mlp_problem(n=10)
    value = p.loss.value(p.w, torch.tensor([2, 8, 2, 2]))
    for wrong in ([2, 8], [0, 1, 2, 3], range(2, 8)):
        assert abs(value - p.reference(p.w, list(wrong))) > 1e-3


@pytest.mark.parametrize("k", [torch.tensor(4), torch.tensor(4, dtype=torch.int32)], ids=str)
def test_a_tensor_without_dimensions_is_a_number_of_samples(mlp_problem, k):
    p = mlp_problem(n=10, l2=0.1)
    assert torch.equal(p.loss.per_sample(p.w, k), p.loss.per_sample(p.w, 4))
    assert torch.equal(p.loss.gradient(p.w, k), p.loss.gradient(p.w, 4))
    assert torch.equal(p.loss.hessian(p.w, k), p.loss.hessian(p.w, 4))
    one = torch.tensor([4])  # with a dimension it is an index
    assert torch.equal(p.loss.per_sample(p.w, one), p.loss.per_sample(p.w, range(4, 5)))


def test_index_tensors_for_fits_and_eigenpairs(mlp_problem):
    p, chosen = mlp_problem(n=10, l2=0.1), torch.tensor([7, 1, 4])
    result = fit(p.loss, chosen, p.w, tol=1e-7)
    assert result.converged
    assert grad(p.reference)(result.w, chosen).norm() < 1e-6
    pairs = top_eigenpairs(p.loss, p.w, chosen, 3, tol=1e-9)
    expected = torch.linalg.eigvalsh(hessian(p.reference)(p.w, chosen)).flip(0)[:3]
    torch.testing.assert_close(pairs.values, expected, rtol=0, atol=1e-8)


def test_a_sample_that_is_not_finite_is_named_by_its_own_index():
    model, x = nn.Linear(1, 1, bias=False).double(), torch.arange(6, **F64)[:, None]
    loss = EmpiricalLoss(
        model, lambda out, y: torch.where(y > 3, out**3, 0 * out)[:, 0], x, x[:, :]
    )
    huge = torch.full((1,), 1e110, **F64)
    with pytest.raises(ValueError, match=r"loss of sample 4 is not finite"):
        loss.per_sample(huge, torch.tensor([2, 0, 4, 5]))


def test_outputs_are_the_models_rows(mlp_problem):
    p = mlp_problem(n=10, batch_size=4)
    nn.utils.vector_to_parameters(p.w, p.model.parameters())
    torch.testing.assert_close(p.loss.outputs(p.w, 10), p.model(p.x).detach(), rtol=0, atol=1e-14)


def test_float32_agrees_with_float64_to_its_own_precision(mlp_problem):
    single, double = mlp_problem(dtype=torch.float32), mlp_problem()
    v = random_like(double.w)
    w = double.w.float()
    for name, args in {"value": (10,), "gradient": (10,), "hvp": (v, 10)}.items():
        a = getattr(single.loss, name)(w, *(x.float() if x is v else x for x in args))
        b = getattr(double.loss, name)(w.double(), *args)
        assert a.dtype == torch.float32
        assert (a.double() - b).norm() < 1e-5 * (1 + b.norm()), name


@pytest.mark.parametrize("samples", [10, range(2, 9, 3)], ids=str)
def test_sample_gradients_are_one_gradient_per_sample(mlp_problem, samples):
    p = mlp_problem(n=10)
    rows = range(10) if samples == 10 else samples
    expected = [grad(p.reference)(p.w, slice(i, i + 1)) for i in rows]
    with_l2 = mlp_problem(n=10, l2=0.3)
    close = dict(rtol=0, atol=1e-12)
    torch.testing.assert_close(
        p.loss.sample_gradients(p.w, samples), torch.stack(expected), **close
    )
    torch.testing.assert_close(
        with_l2.loss.sample_gradients(p.w, samples), torch.stack(expected), **close
    )


# -- Hessian-vector products ---------------------------------------------------------------------


def test_operator_counts_one_product_per_column(mlp_problem):
    p = mlp_problem()
    H = p.loss.hessian_operator(p.w, 10)
    H(p.w)
    H(random_like(torch.empty(p.N, 5, **F64)))
    assert H.products == 6


@pytest.mark.parametrize("k", [1, 8, 10], ids="k={}".format)
def test_microbatched_operator_equals_the_one_with_the_graph_kept(mlp_problem, k):
    kept, rebuilt = mlp_problem(l2=0.2), mlp_problem(l2=0.2, batch_size=3)
    H, H_batched = kept.loss.hessian_operator(kept.w, k), rebuilt.loss.hessian_operator(kept.w, k)
    for columns in (3, 2, 1):  # used more than once: the kept graph must survive
        V = random_like(torch.empty(kept.N, columns, **F64), seed=columns)
        torch.testing.assert_close(H(V), H_batched(V), rtol=0, atol=1e-12)
    assert H.products == H_batched.products == 6


BATCH_BYTES = pytest.mark.parametrize(
    ("batch_bytes", "way"), [(0, "many_at_once"), (2**40, "one_by_one")], ids=["small", "large"]
)


def operator(p, k, batch_size, sample_bytes):
    """The operator of L_k for samples of any declared size."""
    loss = copy.copy(p.loss)
    loss.batch_size, loss.sample_bytes = batch_size, sample_bytes
    return HessianOperator(loss, p.w, k)


@pytest.fixture
def ways(monkeypatch):
    """Names of the ways in which columns were differentiated, in order."""
    taken = []

    def watch(name):
        way = getattr(operators, name)

        def record(*args):
            taken.append(name)
            return way(*args)

        monkeypatch.setattr(operators, name, record)

    watch("many_at_once"), watch("one_by_one")
    return taken


@pytest.mark.parametrize(("batch_size", "batches"), [(10, 1), (6, 2)], ids=["kept", "rebuilt"])
@pytest.mark.parametrize("columns", [2, 64, 70], ids="columns={}".format)
@BATCH_BYTES
def test_many_columns_equal_one_by_one(
    mlp_problem, ways, batch_size, batches, columns, batch_bytes, way
):
    p = mlp_problem(l2=0.2, widths=(5, 8, 3))
    H = operator(p, 10, batch_size, batch_bytes)
    V = random_like(torch.empty(p.N, columns, **F64))
    ways.clear()
    together = H(V)
    assert ways == [way] * batches
    dense = hessian(p.reference)(p.w, slice(10))
    torch.testing.assert_close(together, dense @ V, rtol=0, atol=1e-12)
    alone = torch.stack([H(v) for v in V.T], dim=1)
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-13)
    assert H.products == 2 * columns


def test_a_block_of_columns_is_bounded(mlp_problem, ways, monkeypatch):
    """A model too large for two columns at once takes them one by one, and a dense H in blocks."""
    p = mlp_problem(l2=0.2)
    V = random_like(torch.empty(p.N, 3, **F64))
    dense = hessian(p.reference)(p.w, slice(10))
    for room, way in ((2 * p.N, "many_at_once"), (2 * p.N - 1, "one_by_one")):
        monkeypatch.setattr(operators, "COLUMNS", room)
        H = operator(p, 10, 10, 0)
        torch.testing.assert_close(H(V), dense @ V, rtol=0, atol=1e-12)
        assert ways.pop() == way
        torch.testing.assert_close(H.dense(), dense, rtol=0, atol=1e-12)


@pytest.mark.parametrize("l2", [0.0, 0.3], ids="l2={}".format)
@pytest.mark.parametrize("batch_size", [1024, 4], ids=["kept", "rebuilt"])
@pytest.mark.parametrize("first", ["gradient", "product", "products"])
def test_the_operator_knows_the_gradient(mlp_problem, batch_size, l2, first):
    p = mlp_problem(l2=l2, batch_size=batch_size)
    k = 9
    H = p.loss.hessian_operator(p.w, k)
    if first != "gradient":
        H(random_like(torch.empty(p.N, 1 if first == "product" else 3, **F64)))
    products = H.products
    expected = grad(p.reference)(p.w, slice(k))
    torch.testing.assert_close(H.gradient, expected, rtol=0, atol=1e-14)
    torch.testing.assert_close(H.gradient, p.loss.gradient(p.w, k), rtol=0, atol=1e-14)
    assert H.products == products  # a gradient is no product
    v = random_like(p.w)
    torch.testing.assert_close(H(v), p.loss.hvp(p.w, v, k), rtol=0, atol=1e-14)
    torch.testing.assert_close(H.gradient, expected, rtol=0, atol=1e-14)
    assert H.products == products + 1


def test_the_gradient_is_free_after_a_product(mlp_problem):
    p, passes = mlp_problem(batch_size=6), []
    losses_at = p.loss.losses_at

    def noted(w, batch):
        passes.append(batch)
        return losses_at(w, batch)

    p.loss.losses_at = noted
    H = HessianOperator(p.loss, p.w, 10)
    assert not passes
    H(p.w)
    assert passes == [range(6), range(6, 10)]
    p.loss.losses_at = losses_at
    torch.testing.assert_close(H.gradient, p.loss.gradient(p.w, 10), rtol=0, atol=1e-14)
    assert len(passes) == 2


def test_an_operation_without_batched_derivatives_falls_back(ways):
    """group_norm's double backward can't be batched; the columns are then taken one by one."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.GroupNorm(3, 3), nn.Linear(4, 4)).double()
    g = torch.Generator().manual_seed(0)
    x = torch.randn(6, 3, 4, generator=g, **F64)
    loss = EmpiricalLoss(model, squared, x, x.flip(0), l2=0.1)
    V = random_like(torch.empty(loss.num_params, 3, **F64))
    ways.clear()
    H = loss.hessian_operator(loss.w0, 6)
    HV = H(V)
    assert ways == ["many_at_once", "one_by_one"]
    assert H.products == 3
    h = 1e-5
    for v, Hv in zip(V.T, HV.T, strict=True):
        change = loss.gradient(loss.w0 + h * v, 6) - loss.gradient(loss.w0 - h * v, 6)
        torch.testing.assert_close(Hv, change / (2 * h), rtol=0, atol=1e-7)


def test_operator_is_symmetric_and_linear(mlp_problem):
    p = mlp_problem()
    H = p.loss.hessian_operator(p.w, 10)
    u, v = random_like(p.w, 1), random_like(p.w, 2)
    assert abs(u @ H(v) - v @ H(u)) < 1e-12
    torch.testing.assert_close(H(2 * u - 3 * v), 2 * H(u) - 3 * H(v), rtol=0, atol=1e-12)


@pytest.mark.parametrize("l2", [0.0, 0.5], ids="l2={}".format)
def test_a_loss_linear_in_w_has_only_the_curvature_of_l2(l2):
    x = random_like(torch.empty(6, 3, **F64))
    model = nn.Linear(3, 1).double()
    loss = EmpiricalLoss(model, lambda out, y: out[:, 0], x, torch.zeros(6, **F64), l2)
    v = random_like(loss.w0)
    assert torch.equal(loss.hvp(loss.w0, v, 6), l2 * v)
    assert torch.equal(loss.hvp(loss.w0, v, range(2, 5)), l2 * v)
    V = random_like(torch.empty(4, 3, **F64))
    mean_input = torch.cat([x.mean(0), torch.ones(1, **F64)])  # the bias enters last
    for batch_size in (1024, 4):
        batched = EmpiricalLoss(
            model, lambda out, y: out[:, 0], x, torch.zeros(6, **F64), l2, batch_size=batch_size
        )
        H = batched.hessian_operator(loss.w0, 6)
        assert torch.equal(H(V), l2 * V)
        assert torch.equal(H.dense(), l2 * torch.eye(4, **F64))
        torch.testing.assert_close(H.gradient, mean_input + l2 * loss.w0, rtol=0, atol=1e-14)


def test_parameters_that_enter_linearly_do_not_disturb_the_others():
    """Half the parameters have zero curvature and no path in the second derivative's graph."""
    toy = toys.quadratics(1, 3, eigenvalues=[2.0, 1.0, 0.0])
    loss = EmpiricalLoss(*toy.parts)
    torch.testing.assert_close(loss.hessian(loss.w0, 1), toy.hessian(1), rtol=0, atol=1e-14)


def test_attention_curvature_against_finite_differences_of_the_gradient():
    """Fused attention has no second derivative; the MATH backend must be in force."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True), nn.Linear(8, 3)
    ).double().eval()  # fmt: skip
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(4, 5, 8, generator=g, **F64), torch.randint(3, (4, 5), generator=g)

    def mean_over_tokens(out, y):
        return nn.functional.cross_entropy(out.mT, y, reduction="none").mean(1)

    loss = EmpiricalLoss(model, mean_over_tokens, x, y)
    v = random_like(loss.w0)
    v = v / v.norm()
    h = 1e-4
    difference = (loss.gradient(loss.w0 + h * v, 4) - loss.gradient(loss.w0 - h * v, 4)) / (2 * h)
    Hv = loss.hvp(loss.w0, v, 4)
    assert Hv.norm() > 1e-3
    torch.testing.assert_close(Hv, difference, rtol=0, atol=1e-7)


# -- memory --------------------------------------------------------------------------------------


def test_the_batch_is_as_large_as_the_memory_allows(mlp_problem):
    sizes = [mlp_problem(memory=10.0**p).loss.batch_size for p in range(-3, 10)]
    assert sizes == sorted(sizes)
    assert sizes[0] == 1 and sizes[-1] == 1024
    assert len(set(sizes)) > 3  # between the ends it grows
    assert mlp_problem().loss.batch_size == 1024
    assert mlp_problem(memory=1.0, batch_size=7).loss.batch_size == 7
    assert mlp_problem(memory=1e12, batch_size=5000).loss.batch_size == 5000


def test_twice_the_memory_is_twice_the_batch_and_larger_samples_make_it_smaller():
    def batch_size(memory, hidden=16, dtype=torch.float64):
        x = torch.zeros(3, 8, dtype=dtype)
        model = MLP([8, hidden, 1], dtype=dtype)
        return EmpiricalLoss(model, squared, x, x[:, :1], memory=memory).batch_size

    assert abs(batch_size(4e5) - 2 * batch_size(2e5)) <= 1
    assert 1.5 < batch_size(2e5) / batch_size(2e5, hidden=64) < 5
    assert abs(batch_size(2e5, dtype=torch.float32) - 2 * batch_size(2e5)) <= 2


@pytest.mark.parametrize("depth", [1, 4], ids="depth={}".format)
def test_activations_are_counted_without_the_parameters(depth):
    """Every tanh keeps its output, which is the next layer's input; the loss keeps a little."""
    x = torch.zeros(3, 5, **F64)
    model = MLP([5, *[100] * depth, 1])
    loss = EmpiricalLoss(model, squared, x, x[:, :1])
    inputs_and_outputs = 8 * (5 + 2 * 100 * depth)
    found = loss.activation_bytes(loss.w0, 2)
    assert inputs_and_outputs <= found < inputs_and_outputs + 100
    assert found < 8 * loss.num_params


@pytest.mark.parametrize("memory", [1.0, 5e3, 1e9], ids="memory={}".format)
def test_results_do_not_depend_on_the_memory(mlp_problem, memory):
    p = mlp_problem(l2=0.2, memory=memory)
    v, close = random_like(p.w), dict(rtol=0, atol=1e-12)
    H = hessian(p.reference)(p.w, slice(9))
    assert abs(p.loss.value(p.w, 9) - p.reference(p.w, slice(9))) < 1e-12
    torch.testing.assert_close(p.loss.gradient(p.w, 9), grad(p.reference)(p.w, slice(9)), **close)
    torch.testing.assert_close(p.loss.hvp(p.w, v, 9), H @ v, **close)
    torch.testing.assert_close(p.loss.hessian(p.w, 9), H, **close)


@pytest.mark.parametrize("memory", [0, -1.0, float("inf"), float("nan"), "1e9"], ids=repr)
def test_impossible_memory_is_refused(mlp_problem, memory):
    with pytest.raises(ValueError, match="memory must be"):
        mlp_problem(memory=memory)


# -- parameters, buffers, modes ------------------------------------------------------------------


def test_frozen_parameters_are_no_directions():
    model = MLP([3, 4, 1])
    model[0].weight.requires_grad_(False)
    loss = regression(model)
    full = regression(MLP([3, 4, 1]))
    trainable = slice(12, None)  # after the 4 x 3 frozen weights
    assert loss.num_params == full.num_params - 12
    assert torch.equal(loss.w0, full.w0[trainable])
    torch.testing.assert_close(
        loss.gradient(loss.w0, 10), full.gradient(full.w0, 10)[trainable], rtol=0, atol=1e-14
    )
    torch.testing.assert_close(
        loss.hessian(loss.w0, 10),
        full.hessian(full.w0, 10)[trainable, trainable],
        rtol=0,
        atol=1e-13,
    )


class Tied(nn.Module):
    """f(x) = v' W tanh(W x): one matrix used twice, under two names."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 3, bias=False).double()
        self.second = nn.Linear(3, 3, bias=False).double()
        with torch.no_grad():
            self.first.weight.copy_(random_like(torch.empty(3, 3, **F64)))
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(torch.tanh(self.first(x))).sum(1, keepdim=True)


def test_tied_weights_count_once_and_feel_both_uses():
    loss = regression(Tied())

    def by_hand(w):
        W = w.view(3, 3)
        out = (torch.tanh(loss.inputs @ W.T) @ W.T).sum(1, keepdim=True)
        return squared(out, loss.targets).mean()

    assert loss.num_params == 9
    torch.testing.assert_close(
        loss.gradient(loss.w0, 10), grad(by_hand)(loss.w0), rtol=0, atol=1e-13
    )
    torch.testing.assert_close(
        loss.hessian(loss.w0, 10), hessian(by_hand)(loss.w0), rtol=0, atol=1e-12
    )


def batch_norm_model(trained=True):
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 1)).double()
    if trained:
        model(torch.randn(20, 3, **F64))  # running statistics other than 0 and 1
    return model


def test_batch_norm_in_eval_mode_uses_its_buffers():
    model = batch_norm_model().eval()
    loss = regression(model, batch_size=4)
    with torch.no_grad():
        expected = squared(model(loss.inputs), loss.targets)
    torch.testing.assert_close(loss.per_sample(loss.w0), expected, rtol=0, atol=1e-14)


def everything(model):
    state = {name: t.detach().clone() for name, t in model.state_dict().items()}
    grads = [p.grad for p in model.parameters()]
    return state, grads, [m.training for m in model.modules()], torch.get_rng_state()


def assert_untouched(model, before):
    state, grads, modes, rng = before
    now = everything(model)
    assert all(torch.equal(state[name], now[0][name]) for name in state)
    assert grads == now[1] == [None] * len(grads)
    assert modes == now[2]
    assert torch.equal(rng, now[3])


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_the_model_and_the_global_random_state_are_never_touched(training):
    model = MLP([3, 4, 1]).train(training)
    before = everything(model)
    loss = regression(model, batch_size=4, l2=0.1)
    w = loss.w0 + 1
    loss.per_sample(w), loss.gradient(w, 7), loss.hessian(w, 7), loss.outputs(w, 3)
    assert_untouched(model, before)
    assert torch.equal(loss.w0 + 1, w)


@pytest.mark.parametrize("layer", ["dropout", "batch norm"])
def test_a_refused_model_is_returned_as_it_was(layer):
    model = batch_norm_model()
    if layer == "dropout":
        model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 1)).double()
    before = everything(model.train())
    with pytest.raises(ValueError):
        regression(model)
    assert_untouched(model, before)


def test_later_changes_to_the_model_or_the_data_change_nothing(mlp_problem):
    p = mlp_problem()
    x, y = p.x.clone(), p.y.clone()
    loss = EmpiricalLoss(p.model, p.loss_fn, x, y)
    before = loss.per_sample(loss.w0)
    x.zero_(), y.zero_()
    with torch.no_grad():
        for parameter in p.model.parameters():
            parameter.zero_()
    assert torch.equal(loss.per_sample(loss.w0), before)


def test_derivatives_do_not_depend_on_the_callers_grad_mode(mlp_problem):
    p = mlp_problem()
    v = random_like(p.w)
    expected = p.loss.gradient(p.w, 10), p.loss.hvp(p.w, v, 10)
    with torch.no_grad():
        assert torch.equal(p.loss.gradient(p.w, 10), expected[0])
        assert torch.equal(p.loss.hvp(p.w, v, 10), expected[1])


def test_results_carry_no_graph(mlp_problem):
    p = mlp_problem(l2=0.1)
    w = p.w.clone().requires_grad_()
    for result in (
        p.loss.per_sample(w), p.loss.value(w, 3), p.loss.gradient(w, 3), p.loss.hvp(w, w, 3)
    ):  # fmt: skip
        assert not result.requires_grad


# -- toys: closed forms --------------------------------------------------------------------------


TOYS = {
    "linear": toys.linear_regression(12, 3, generator=generator()),
    "logistic": toys.logistic_regression(12, 3, generator=generator()),
    "softmax": toys.softmax_regression(12, 3, 4, generator=generator()),
}


@pytest.mark.parametrize("kind", TOYS)
@pytest.mark.parametrize("k", [1, 5, 12], ids="k={}".format)
def test_regression_hessians_are_exact(kind, k):
    toy = TOYS[kind]
    loss = EmpiricalLoss(*toy.parts, batch_size=5)
    w = random_like(loss.w0)
    torch.testing.assert_close(loss.hessian(w, k), toy.hessian(w, k), rtol=0, atol=1e-13)


@pytest.mark.parametrize("kind", TOYS)
def test_regression_hessians_against_textbook_matrices(kind):
    """X'WX/k written out in numpy, sample by sample."""
    toy, k = TOYS[kind], 7
    w = random_like(torch.empty(3 * toy.classes, **F64)).numpy()
    H = np.zeros((w.size, w.size))
    for x in toy.X[:k].numpy():
        z = w.reshape(toy.classes, 3) @ x
        if kind == "linear":
            A = np.eye(1)
        elif kind == "logistic":
            s = 1 / (1 + np.exp(-z[0]))
            A = np.array([[s * (1 - s)]])
        else:
            s = np.exp(z) / np.exp(z).sum()
            A = np.diag(s) - np.outer(s, s)
        H += np.kron(A, np.outer(x, x)) / k
    np.testing.assert_allclose(toy.hessian(torch.tensor(w), k), H, rtol=0, atol=1e-13)


@pytest.mark.parametrize("shared", [False, True], ids=["own", "shared"])
def test_quadratics_are_what_they_say(shared):
    toy = toys.quadratics(6, 4, shared_eigenvectors=shared)
    loss = EmpiricalLoss(*toy.parts)
    w = random_like(loss.w0)
    by_hand = [toy.e[i] + toy.b[i] @ w + w @ toy.A[i] @ w / 2 for i in range(6)]
    torch.testing.assert_close(loss.per_sample(w), torch.stack(by_hand), rtol=0, atol=1e-13)
    torch.testing.assert_close(loss.hessian(w, 4), toy.hessian(4), rtol=0, atol=1e-13)
    assert loss.gradient(toy.minimiser(4), 4).norm() < 1e-12
    commutator = toy.A[0] @ toy.A[1] - toy.A[1] @ toy.A[0]
    assert (commutator.norm() < 1e-12) == shared


def test_quadratics_accept_a_spectrum():
    toy = toys.quadratics(1, 4, eigenvalues=[3.0, -2.0, 1.0, 1.0])
    expected = torch.tensor([-2.0, 1.0, 1.0, 3.0], **F64)
    torch.testing.assert_close(torch.linalg.eigvalsh(toy.hessian(1)), expected, rtol=0, atol=1e-13)


def test_least_squares_minimiser_solves_the_normal_equations():
    toy = TOYS["linear"]
    X, y = toy.X[:9], toy.y[:9]
    residual = X.T @ (X @ toy.minimiser(9) - y)
    assert residual.norm() < 1e-12


class Noted(torch.nn.Module):
    """Keeps weak references to what it has put out, whose operation saves its own output."""

    def __init__(self):
        super().__init__()
        self.linear, self.outputs = MLP([2, 3]), seen_outputs

    def forward(self, x):
        y = self.linear(x).tanh()
        seen_outputs.append(weakref.ref(y))
        return y


seen_outputs = []


def test_no_graph_outlives_the_making_of_a_loss():
    """Not even that of a sample whose graph was measured: else every loss would keep one."""
    x = torch.ones(3, 2, **F64)
    loss = EmpiricalLoss(Noted(), squared, x, x[:, :1])
    loss.activation_bytes(loss.w0, 1)
    gc.collect()
    assert seen_outputs and all(one() is None for one in seen_outputs)
