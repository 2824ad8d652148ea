"""Loss surfaces over a plane, for every k at once.

Oracles: the loss of torch alone, point by point and k by k; the closed form of the quadratic toys;
the same plane with its directions turned, flipped and exchanged. Wrong on purpose: rows and columns
exchanged, the L2 term of the centre at every point, and increments divided by k.
"""

import pytest
import torch
from draws import F64

from landscape_nb import EmpiricalLoss, loss_surfaces, random_subspace
from landscape_nb.problems import toys

X = torch.tensor([-1.5, -0.2, 0.0, 0.7, 2.0], **F64)
Y = torch.tensor([-0.9, 0.3, 1.1], **F64)
KS = [1, 4, 9]


def close(actual, expected, atol=1e-12):
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


def plane(p, seed=0):
    return random_subspace(p.N, 2, torch.Generator().manual_seed(seed)).to(p.w)


def one_by_one(value, w, U, ks, x, y):
    """value(w, k) at every point for every k, (K, Y, X)."""
    rows = [[[value(w + a * U[:, 0] + b * U[:, 1], k) for a in x] for b in y] for k in ks]
    return torch.stack([torch.stack([torch.stack(row) for row in rows_k]) for rows_k in rows])


def next_ks(ks):
    return [k + 1 for k in ks]


# -- values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [None, 4], ids="batch_size={}".format)
@pytest.mark.parametrize("l2", [0.0, 0.7], ids="l2={}".format)
def test_surfaces_are_the_loss_at_each_point(mlp_problem, l2, batch_size):
    p = mlp_problem(l2=l2, batch_size=batch_size)
    U = plane(p)
    found = loss_surfaces(p.loss, p.w, U, KS, X, Y)
    close(found.values, one_by_one(p.loss.value, p.w, U, KS, X, Y))

    def by_torch_alone(w, k):
        return p.reference(w, slice(k)).detach()

    before = one_by_one(by_torch_alone, p.w, U, KS, X, Y)
    after = one_by_one(by_torch_alone, p.w, U, next_ks(KS), X, Y)
    close(found.values, before), close(found.increments, after - before)
    assert found.values.shape == found.increments.shape == (3, len(Y), len(X))
    assert found.ks.tolist() == KS
    assert torch.equal(found.x, X) and torch.equal(found.y, Y)


def test_wrong_surfaces_are_rejected(mlp_problem):
    p = mlp_problem(l2=0.7)
    U = plane(p)
    found = loss_surfaces(p.loss, p.w, U, KS, X, X)
    transposed = one_by_one(p.loss.value, p.w, U.flip(1), KS, X, X)
    l2_of_the_centre = one_by_one(p.loss.without_l2().value, p.w, U, KS, X, X)
    l2_of_the_centre += p.l2 / 2 * p.w.square().sum()
    for wrong in (transposed, l2_of_the_centre):
        assert (found.values - wrong).abs().max() > 0.1 * found.values.std()
    k = torch.tensor(KS)[:, None, None]
    divided_by_k = found.increments * (k + 1) / k
    after = one_by_one(p.loss.value, p.w, U, next_ks(KS), X, X)
    of_the_next_k = after - found.values
    close(found.increments, of_the_next_k)
    assert (divided_by_k - of_the_next_k).abs().max() > 0.1 * of_the_next_k.std()
    backwards = -found.increments
    assert (backwards - of_the_next_k).abs().max() > 0.1 * of_the_next_k.std()


@pytest.mark.parametrize("k", [1, 3, 6], ids="k={}".format)
def test_quadratic_toys_have_quadratic_surfaces(k):
    toy = toys.quadratics(7, 4)
    loss, w = EmpiricalLoss(*toy.parts), toy.minimiser(k)
    U = random_subspace(4, 2, torch.Generator().manual_seed(3))
    found = loss_surfaces(loss, w, U, [k], X, Y)
    # L_k(w + Uz) = L_k(w) + z'U'H Uz/2 around its own minimiser, by matrices alone
    z = torch.stack(torch.meshgrid(X, Y, indexing="xy"), dim=-1)
    bowl = ((z @ (U.T @ toy.hessian(k) @ U)) * z).sum(-1) / 2
    lowest = toy.e[:k].mean() + toy.b[:k].mean(0) @ w / 2
    close(found.values[0], lowest + bowl)
    points = w + z @ U.T
    Hw = points @ toy.hessian(k + 1)
    after = toy.e[: k + 1].mean() + points @ toy.b[: k + 1].mean(0) + (Hw * points).sum(-1) / 2
    close(found.increments[0], after - found.values[0])


def test_the_centre_is_the_loss_there(mlp_problem):
    p = mlp_problem(l2=0.7)
    found = loss_surfaces(p.loss, p.w, plane(p), KS, torch.zeros(1, **F64))
    for j, k in enumerate(KS):
        close(found.values[j, 0, 0], p.loss.value(p.w, k))


# -- orientation -----------------------------------------------------------------------------------


def test_rows_are_y_and_columns_are_x(mlp_problem):
    p = mlp_problem()
    U = plane(p)
    found = loss_surfaces(p.loss, p.w, U, KS, X, Y)
    row = loss_surfaces(p.loss, p.w, U, KS, X, Y[1:2])
    column = loss_surfaces(p.loss, p.w, U, KS, X[3:4], Y)
    assert row.values.shape == (3, 1, 5) and column.values.shape == (3, 3, 1)
    close(found.values[:, 1:2], row.values), close(found.increments[:, 1:2], row.increments)
    close(found.values[:, :, 3:4], column.values)
    moved = loss_surfaces(p.loss, p.w + Y[1] * U[:, 1], U, KS, X, torch.zeros(1, **F64))
    close(row.values, moved.values)


def test_exchanged_directions_exchange_rows_and_columns(mlp_problem):
    p = mlp_problem(l2=0.7)
    U = plane(p)
    found = loss_surfaces(p.loss, p.w, U, KS, X, Y)
    exchanged = loss_surfaces(p.loss, p.w, U.flip(1), KS, Y, X)
    close(exchanged.values, found.values.mT), close(exchanged.increments, found.increments.mT)


@pytest.mark.parametrize("flipped", [0, 1], ids=["u_1", "u_2"])
def test_another_sign_of_a_direction_mirrors_the_picture(mlp_problem, flipped):
    p = mlp_problem(l2=0.7)
    U = plane(p)
    other = U.clone()
    other[:, flipped] *= -1
    axis, (x, y) = 2 - flipped, (-X if flipped == 0 else X, -Y if flipped == 1 else Y)
    found, mirrored = (loss_surfaces(p.loss, p.w, V, KS, X, Y) for V in (U, other))
    close(loss_surfaces(p.loss, p.w, other, KS, x, y).values, found.values)
    symmetric = torch.tensor([-1.0, 0.0, 1.0], **F64)
    found, mirrored = (loss_surfaces(p.loss, p.w, V, KS, symmetric) for V in (U, other))
    close(mirrored.values, found.values.flip(axis))
    close(mirrored.increments, found.increments.flip(axis))
    assert (mirrored.values - found.values).abs().max() > 1e-3


def test_a_quarter_turn_of_the_plane_turns_the_picture(mlp_problem):
    p = mlp_problem(l2=0.7)
    U = plane(p)
    turned = torch.stack([U[:, 1], -U[:, 0]], dim=1)
    steps = torch.tensor([-1.0, 0.0, 1.0], **F64)
    found, other = (loss_surfaces(p.loss, p.w, V, KS, steps) for V in (U, turned))
    # x u_2 - y u_1: old step along u_1 is -y, along u_2 is x
    close(other.values, found.values.flip(2).mT)


# -- arguments -------------------------------------------------------------------------------------


def test_y_is_as_x_unless_given(mlp_problem):
    p = mlp_problem()
    found, both = (loss_surfaces(p.loss, p.w, plane(p), KS, X, *y) for y in ((), (X,)))
    assert torch.equal(found.values, both.values) and torch.equal(found.y, X)


@pytest.mark.parametrize(
    "ks", [torch.tensor(KS), tuple(KS), iter(KS)], ids=["tensor", "tuple", "iterator"]
)
def test_ks_may_be_anything_that_gives_numbers(mlp_problem, ks):
    p = mlp_problem()
    found = loss_surfaces(p.loss, p.w, plane(p), ks, X, Y)
    assert torch.equal(found.values, loss_surfaces(p.loss, p.w, plane(p), KS, X, Y).values)


def test_steps_take_the_type_of_the_model(mlp_problem):
    p = mlp_problem(dtype=torch.float32, l2=0.7)
    q = mlp_problem(l2=0.7)
    found = loss_surfaces(p.loss, p.w, plane(p), KS, X, torch.tensor([-1, 2]))
    for part in (found.x, found.y, found.values, found.increments):
        assert part.dtype == torch.float32
    wide = loss_surfaces(q.loss, q.w, plane(q), KS, X, torch.tensor([-1, 2]))
    close(found.values.double(), wide.values, atol=1e-5)
    close(found.increments.double(), wide.increments, atol=1e-5)


def test_one_pass_over_the_samples_for_each_point(mlp_problem, monkeypatch, capsys):
    p = mlp_problem()
    counts, per_sample = [], p.loss.per_sample

    def count(w, samples=None):
        counts.append(samples)
        return per_sample(w, samples)

    monkeypatch.setattr(p.loss, "per_sample", count)
    loss_surfaces(p.loss, p.w, plane(p), [1, 4], X, Y)
    assert counts == [5] * (len(X) * len(Y))
    assert capsys.readouterr().err == ""
    loss_surfaces(p.loss, p.w, plane(p), [1, 4], X, Y, progress=True)
    assert "surface" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (dict(U=lambda U: U[:, :1]), r"U must span a plane, shape \(N, 2\); got \(31, 1\)"),
        (dict(U=lambda U: torch.eye(31, **F64)[:, :3]), r"must span a plane.*got \(31, 3\)"),
        (dict(U=lambda U: U[:, 0]), "must hold D directions as columns"),
        (dict(U=lambda U: U.T), "must hold D directions as columns"),
        (dict(U=lambda U: 2 * U), "orthonormal columns"),
        (dict(U=lambda U: U[:, [0, 0]]), "orthonormal columns"),
        (dict(U=lambda U: U.float()), "U has dtype torch.float32"),
        (dict(U=lambda U: U * float("nan")), "orthonormal columns"),
        (dict(ks=[10]), r"k must be between 1 and 9 \(there must be a next sample\); got k = 10"),
        (dict(ks=[0, 3]), "k must be between 1 and 9"),
        (dict(ks=[]), "ks is empty"),
        (dict(ks=[4, 2]), "strictly increasing"),
        (dict(ks=[2.0]), "whole number"),
        (dict(x=torch.zeros(0)), r"x must hold the steps along one direction, \(m,\); got"),
        (dict(x=[0.0, 1.0]), r"x must hold the steps along one direction, \(m,\); got \[0.0, 1.0"),
        (dict(x=torch.zeros(2, 2)), "x must hold the steps"),
        (dict(x=torch.tensor(1.0)), "x must hold the steps"),
        (dict(x=None), "x must hold the steps"),
        (dict(y=[0.0, 1.0]), "y must hold the steps"),
        (dict(y=torch.zeros(0)), "y must hold the steps"),
        (dict(x=torch.tensor([0.0, float("inf")])), "w must be finite"),
        (dict(w=torch.zeros(30, **F64)), "flat vector of length N = 31"),
        (dict(w=[0.0] * 31), "w must be a torch tensor"),
    ],
)  # fmt: skip
def test_bad_arguments_are_refused(mlp_problem, change, sentence):
    p = mlp_problem()
    arguments = dict(w=p.w, U=plane(p), ks=KS, x=X, y=Y)
    arguments |= {n: v(plane(p)) if n == "U" else v for n, v in change.items()}
    with pytest.raises(ValueError, match=sentence):
        loss_surfaces(p.loss, **arguments)


def test_a_loss_that_is_not_finite_somewhere_is_refused():
    loss = EmpiricalLoss(*toys.quadratics(4, 3).parts)
    far = torch.tensor([0.0, 1e200], **F64)
    with pytest.raises(ValueError, match="The loss of sample 0 is not finite"):
        loss_surfaces(loss, loss.w0, torch.eye(3, **F64)[:, :2], [2], far)


def test_the_model_and_the_arguments_stay_as_they_were(mlp_problem):
    p = mlp_problem(l2=0.7)
    U, before = plane(p), p.loss.value(p.w, 5)
    copies = [t.clone() for t in (p.w, U, X, Y)]
    found = loss_surfaces(p.loss, p.w, U, KS, X, Y)
    for now, then in zip((p.w, U, X, Y), copies, strict=True):
        assert torch.equal(now, then)
    assert torch.equal(p.loss.value(p.w, 5), before)
    assert not found.values.requires_grad and not found.increments.requires_grad
