"""One Hessian whose samples are spread over two processes.

Oracles: the dense Hessian of all samples together by torch.func alone, its eigenpairs by eigh, and
`top_eigenpairs` of the undivided loss. Wrong on purpose: parts that count equally however many
samples they hold, and parts that are added without weights.
"""

import pytest
import torch
import torch.distributed as dist
from sharded import FIRST, SOME, answers_of, hessian_answers
from torch.func import hessian

from landscape_nb import EmpiricalLoss, top_eigenpairs
from landscape_nb.numerics.shards import ShardedHessianOperator

N_SAMPLES = 11
L2 = 0.3

needs_gloo = pytest.mark.skipif(
    not (dist.is_available() and dist.is_gloo_available()), reason="torch was built without gloo"
)


def close(actual, expected, atol=1e-10):
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


@pytest.fixture(scope="module")
def problem(mlp_problem):
    return mlp_problem(n=N_SAMPLES, l2=L2)


@pytest.fixture(scope="module")
def V(problem):
    g = torch.Generator().manual_seed(1)
    return torch.randn(problem.N, 4, generator=g, dtype=torch.float64)


@pytest.fixture(scope="module")
def answers(problem, V, tmp_path_factory):
    """What both processes found; they are started once."""
    p = problem
    parts = dict(model=p.model, loss_fn=p.loss_fn, x=p.x, y=p.y, l2=p.l2, w=p.w, V=V)
    return answers_of(hessian_answers, 2, tmp_path_factory.mktemp("shards"), **parts)


both = pytest.mark.parametrize("rank", [0, 1], ids="process {}".format)


# -- products --------------------------------------------------------------------------------------


@needs_gloo
@both
@pytest.mark.parametrize("kind", ["several", "by columns", "w that requires grad", "in step"])
def test_products_are_those_of_all_samples(answers, problem, V, rank, kind):
    expected = hessian(problem.reference)(problem.w) @ V
    close(answers[rank][kind], expected[:, 1] if kind == "in step" else expected)
    assert answers[rank][kind].dtype == torch.float64


@needs_gloo
@both
def test_the_layout_of_V_in_memory_may_differ_between_processes(answers, problem, V, rank):
    close(answers[rank]["by columns in one"], hessian(problem.reference)(problem.w) @ V)


@needs_gloo
@both
def test_one_direction_keeps_its_shape(answers, problem, V, rank):
    close(answers[rank]["one"], hessian(problem.reference)(problem.w) @ V[:, 0])
    assert answers[rank]["one"].shape == (problem.N,)


@needs_gloo
def test_both_processes_hold_the_same_bits(answers):
    """Else a Krylov method could stop in one of them and wait for ever in the other."""
    for kind in ("one", "several", "some", "float32"):
        assert torch.equal(answers[0][kind], answers[1][kind])
    for first, second in zip(answers[0]["pairs"], answers[1]["pairs"], strict=True):
        assert torch.equal(first, second)


@needs_gloo
def test_wrong_sums_of_the_parts_are_rejected(answers, problem, V):
    p, found = problem, answers[0]["several"]
    parts = [hessian(p.reference)(p.w, s) @ V for s in (slice(FIRST), slice(FIRST, None))]
    weights = torch.tensor([FIRST, N_SAMPLES - FIRST]) / torch.tensor(N_SAMPLES).double()
    close(found, weights[0] * parts[0] + weights[1] * parts[1])
    equally, unweighted = (parts[0] + parts[1]) / 2, parts[0] + parts[1]
    l2_left_out = found - L2 * V
    l2_of_every_process = found + L2 * V
    for wrong in (equally, unweighted, l2_left_out, l2_of_every_process):
        assert (found - wrong).norm() > 0.02 * found.norm()


@needs_gloo
@both
def test_some_samples_of_each_process(answers, problem, V, rank):
    p, found = problem, answers[rank]
    chosen = [*SOME[0], *(FIRST + i for i in SOME[1])]
    close(found["some"], hessian(p.reference)(p.w, chosen) @ V)
    assert found["num_samples of some"] == len(chosen)
    chosen = [0, 1, 2, FIRST + 1, FIRST + 2]
    close(found["ranges"], hessian(p.reference)(p.w, chosen) @ V)
    assert found["num_samples of ranges"] == len(chosen)


@needs_gloo
@both
def test_a_group_of_one_process_has_its_own_hessian(answers, problem, V, rank):
    p, mine = problem, (slice(FIRST), slice(FIRST, None))[rank]
    close(answers[rank]["alone"], hessian(p.reference)(p.w, mine) @ V)
    assert answers[rank]["num_samples alone"] == (FIRST, N_SAMPLES - FIRST)[rank]


@needs_gloo
@both
def test_single_precision_stays_single(answers, problem, V, rank):
    found = answers[rank]["float32"]
    assert found.dtype == torch.float32
    expected = hessian(problem.reference)(problem.w) @ V
    assert (found - expected).norm() < 1e-5 * expected.norm()


@needs_gloo
@both
def test_counts(answers, rank):
    found = answers[rank]
    assert found["num_samples"] == N_SAMPLES and isinstance(found["num_samples"], int)
    counts = [found[f"products {when}"] for when in ("at first", "after one", "after several")]
    assert counts == [0, 1, 5]
    made, counted = found["products of the pairs"]
    assert made == counted > 3  # the eigensolver counts its own


# -- eigenpairs ------------------------------------------------------------------------------------


@needs_gloo
@both
def test_largest_eigenpairs_are_those_of_the_whole(answers, problem, rank):
    p = problem
    values, vectors, residuals = answers[rank]["pairs"]
    whole = top_eigenpairs(p.loss, p.w, N_SAMPLES, 3, tol=1e-10)
    eigenvalues, eigenvectors = torch.linalg.eigh(hessian(p.reference)(p.w))
    close(values, whole.values)
    close(values, eigenvalues.flip(0)[:3])
    overlaps = vectors.T @ eigenvectors.flip(1)[:, :3]
    close(overlaps.abs(), torch.eye(3, dtype=torch.float64), atol=1e-8)
    close((vectors.T @ whole.vectors).abs(), torch.eye(3, dtype=torch.float64), atol=1e-8)
    assert residuals.max() <= 1e-10 * values[0]


@needs_gloo
def test_eigenvalues_of_one_part_are_others(answers, problem):
    p, values = problem, answers[0]["pairs"][0]
    for part in (slice(FIRST), slice(FIRST, None)):
        wrong = torch.linalg.eigvalsh(hessian(p.reference)(p.w, part)).flip(0)[:3]
        assert (values - wrong).abs().max() > 0.01 * values[0]


# -- refusals --------------------------------------------------------------------------------------


@needs_gloo
@both
def test_another_w_is_refused_in_both_processes(answers, problem, V, rank):
    """By 1e-12 in one component; and the processes stay in step, so that the next call works."""
    found = answers[rank]
    assert found["w differs"] == "w must be the same in every process; broadcast it first."
    assert "V must be one direction of shape (31,)" in found["V is too short"]
    for kind, reason in (
        ("NaN in one w", "w must be finite"),
        ("one V is too short", "V must be one direction of shape"),
    ):
        elsewhere = "Process 0 refused its part: ValueError: " if rank else ""
        assert found[kind].startswith(elsewhere + reason)
    assert found["one V is narrower"] == "V must have the same shape in every process."
    close(found["after the refusals"], hessian(problem.reference)(problem.w) @ V)


def test_without_a_process_group_the_error_says_what_to_call(problem):
    p = problem
    assert not dist.is_initialized()
    with pytest.raises(RuntimeError) as refusal:
        ShardedHessianOperator(EmpiricalLoss(p.model, p.loss_fn, p.x, p.y, p.l2), p.w)
    assert str(refusal.value) == (
        "torch.distributed is not initialised: call torch.distributed.init_process_group("
        "'gloo') in every process first, for example under torchrun."
    )
