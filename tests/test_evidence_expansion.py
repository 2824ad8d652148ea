"""The stored studies behind notebook 01's theory: `omitted` and `rate`.

Oracles: dense Hessians of single samples, N x N; the expansion's coefficient by Gauss-Hermite
quadrature along one direction of the study's own network; bounds written out again. Wrong on
purpose: a Hessian without its second layer; the increment's Hessian without the mean one.
"""

import pytest
import torch
from draws import F64, generator

import landscape_nb as ln
from landscape_nb.study.evidence import rate

cross_entropy = torch.nn.CrossEntropyLoss(reduction="none")


@pytest.fixture(scope="module")
def few_digits():
    x, y = ln.data.digits(6, seed=3)
    model = ln.models.MLP([64, 16, 10], generator=generator(3))
    loss = ln.EmpiricalLoss(model, cross_entropy, x, y)
    return loss, loss.w0 + 0.2 * torch.randn(loss.num_params, generator=generator(4), **F64)


@pytest.fixture(scope="module")
def dense(few_digits):
    loss, w = few_digits
    return torch.stack([loss.hessian(w, range(i, i + 1)) for i in range(6)])


def invariants(H):
    return torch.stack([
        H.diagonal(dim1=1, dim2=2).sum(1), H.square().sum((1, 2)),
        torch.linalg.eigvalsh(H).abs().amax(1),
    ])  # fmt: skip


def test_compressed_hessians_are_whole(few_digits, dense):
    small = rate.compressed_hessians(*few_digits)
    assert small.shape == (6, 186, 186)
    torch.testing.assert_close(invariants(small), invariants(dense), rtol=1e-9, atol=1e-9)
    without = invariants(small[:, :16, :16])  # the first layer alone
    assert (without[0] < 0.9 * invariants(dense)[0]).any()


def test_full_curvature_by_dense_matrices(few_digits, dense):
    (loss, w), k = few_digits, 4
    A = (dense[k:] - dense[:k].mean(0)) / (k + 1)
    expected = [ln.spectral_formula(torch.linalg.eigvalsh(one), 1.0) for one in A]
    found = rate.full_curvature(loss, w, rate.compressed_hessians(loss, w), k)
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-9, atol=0)
    alone = [
        ln.spectral_formula(torch.linalg.eigvalsh(one), 1 / (k + 1) ** 0.5) for one in dense[k:]
    ]
    assert not torch.allclose(found, torch.stack(alone), rtol=1e-2)
