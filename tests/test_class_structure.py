"""The Gauss-Newton matrix of a classifier, split into class means and what is left.

Oracles: the dense Gauss-Newton matrix from products; gradients of the cross entropy with *another*
label, of which delta is one times a root; plain loops over pairs of classes; torch.func. Wrong on
purpose: equal weights for unequal classes, a covariance for the second moment, an overlap of
cosines that are not squared.
"""

import math

import pytest
import torch
from draws import F64, generator, randn
from torch import nn

from landscape_nb import EmpiricalLoss, GaussNewtonOperator
from landscape_nb.problems.models import MLP
from landscape_nb.theory.class_structure import (
    class_structure,
    output_jacobian,
    subspace_overlap,
)

LABELS = [0] * 17 + [1] * 4 + [3] * 16  # unequal shares; no sample of class 2
OUTPUTS = 4
cross_entropy = nn.CrossEntropyLoss(reduction="none")


@pytest.fixture(scope="module")
def loss():
    model = MLP([3, 5, OUTPUTS], generator=generator(2))
    return EmpiricalLoss(model, cross_entropy, randn(len(LABELS), 3), torch.tensor(LABELS), l2=0.1)


@pytest.fixture(scope="module")
def w(loss):
    return loss.w0 + 0.5 * randn(loss.num_params, seed=4)


def deltas(loss, w, k):
    """delta_{i,c'} by another way: -sqrt(p_c') times the gradient with c' for the label."""
    p = torch.softmax(loss.outputs(w, k), 1)
    found = []
    for c in range(OUTPUTS):
        relabelled = EmpiricalLoss(
            MLP([3, 5, OUTPUTS]), cross_entropy, loss.inputs, torch.full_like(loss.targets, c)
        )
        found.append(-p[:, c, None].sqrt() * relabelled.sample_gradients(w, k))
    return torch.stack(found, 1)


def by_loops(loss, w, k, weight=None):
    """The four parts as matrices, from plain loops."""
    delta, labels = deltas(loss, w, k), loss.targets[:k].tolist()
    N, n = delta.shape[-1], len(labels)
    parts = {name: torch.zeros(N, N, **F64) for name in ("right", "class", "cross", "within")}
    for c in sorted(set(labels)):
        own = delta[[i for i in range(n) if labels[i] == c]]
        share = len(own) / n if weight is None else weight
        mean = [own[:, d].mean(0) for d in range(OUTPUTS)]
        wrong = [d for d in range(OUTPUTS) if d != c]
        of_class = sum(mean[d] for d in wrong) / len(wrong)
        parts["right"] += share * torch.outer(mean[c], mean[c])
        parts["class"] += share * len(wrong) * torch.outer(of_class, of_class)
        for d in wrong:
            parts["cross"] += share * torch.outer(mean[d] - of_class, mean[d] - of_class)
        for d in range(OUTPUTS):
            for v in own[:, d] - mean[d]:
                parts["within"] += torch.outer(v, v) / n
    return parts


def close(A, B):
    return torch.allclose(A, B, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("k", [37, 20, 5])
def test_the_parts_add_up_to_the_gauss_newton_matrix(loss, w, k):
    parts = class_structure(loss, w, k).factors
    assert close(sum(F @ F.T for F in parts.values()), GaussNewtonOperator(loss, w, k).dense())


def test_every_part_by_loops(loss, w):
    wanted = by_loops(loss, w, 37)
    for name, F in class_structure(loss, w, 37).factors.items():
        assert close(F @ F.T, wanted[name]), name


def test_equal_weights_are_wrong_for_unequal_classes(loss, w):
    G = GaussNewtonOperator(loss, w, 37).dense()
    assert close(sum(by_loops(loss, w, 37).values()), G)
    assert not close(sum(by_loops(loss, w, 37, weight=1 / 3).values()), G)


def test_the_gauss_newton_matrix_is_a_second_moment_and_no_covariance(loss, w):
    delta, G = deltas(loss, w, 37).flatten(0, 1), GaussNewtonOperator(loss, w, 37).dense()
    assert close(delta.T @ delta / 37, G)
    away = delta - delta.mean(0)
    assert not close(away.T @ away / 37, G)


def test_sizes_and_the_rank_of_the_means(loss, w):
    parts, N = class_structure(loss, w, 37), loss.num_params
    shapes = [tuple(F.shape) for F in parts.factors.values()]
    assert shapes == [(N, 3), (N, 3), (N, 9), (N, 37 * OUTPUTS)]
    assert parts.means.shape == (N, 3 * (OUTPUTS + 1))
    assert torch.linalg.matrix_rank(parts.means) <= 3 * OUTPUTS


def test_one_sample_of_each_class_has_nothing_within(loss, w):
    parts = class_structure(loss, w, torch.tensor([0, 17, 30]))
    assert parts.within.abs().max() < 1e-15
    G = GaussNewtonOperator(loss, w, torch.tensor([0, 17, 30])).dense()
    assert close(parts.means @ parts.means.T, G)


def test_the_jacobian_by_forward_mode(loss, w):
    def outputs(v):
        return loss.outputs_at(v, range(37))

    assert close(output_jacobian(loss, w, 37), torch.func.jacfwd(outputs)(w))


def test_overlaps_of_known_planes():
    angle = 0.3
    U = torch.eye(5, **F64)[:, :2]
    tilted = math.cos(angle) * U[:, 1] + math.sin(angle) * torch.eye(5, **F64)[2]
    V = torch.stack([U[:, 0], tilted], 1)
    right = (1 + math.cos(angle) ** 2) / 2
    assert subspace_overlap(U, V) == pytest.approx(right)
    assert subspace_overlap(U, V) != pytest.approx(float((U.T @ V).norm() / 2))  # not squared
    Q = torch.linalg.qr(randn(2, 2)).Q
    assert subspace_overlap(U @ Q, V) == pytest.approx(right)
    assert subspace_overlap(U, U) == 1 and subspace_overlap(U[:, :1], U[:, 1:]) == 0


def test_what_is_no_classifier_is_refused(loss, w):
    x, y = randn(6, 3), randn(6)
    regression = EmpiricalLoss(nn.Linear(3, 1).double(), lambda f, t: (f[:, 0] - t) ** 2, x, y)
    with pytest.raises(ValueError, match="K >= 2 and whole numbers"):
        class_structure(regression, regression.w0, 6)
    smoothed = nn.CrossEntropyLoss(reduction="none", label_smoothing=0.1)
    soft = EmpiricalLoss(MLP([3, 5, 4]), smoothed, loss.inputs, loss.targets)
    with pytest.raises(ValueError, match="plain cross entropy"):
        class_structure(soft, soft.w0, 6)
    model = nn.Sequential(nn.Linear(3, 1), nn.Flatten(0)).double()
    flat = EmpiricalLoss(model, lambda f, t: (f - t) ** 2, x, y)
    with pytest.raises(ValueError, match=r"one tensor \(k, K\)"):
        output_jacobian(flat, flat.w0, 6)
    with pytest.raises(ValueError, match="one shape"):
        subspace_overlap(torch.eye(3)[:, :1], torch.eye(3)[:, :2])
    with pytest.raises(ValueError, match="V"):
        subspace_overlap(torch.eye(3)[:, :1], 2 * torch.eye(3)[:, :1])
