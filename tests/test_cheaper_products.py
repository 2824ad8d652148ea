"""Pairs of a float64 Hessian found by products in float32.

Oracles: dense Hessians by torch.func in float64. Wrong on purpose: models that are something else
in float32, or nothing at all.
"""

import pytest
import torch
from draws import F64, generator, randn
from torch import nn
from torch.func import hessian

from landscape_nb import EmpiricalLoss, bottom_eigenpairs, top_eigenpairs
from landscape_nb.numerics import float32
from landscape_nb.numerics.eigensolver import largest_eigenpairs

CE = nn.CrossEntropyLoss(reduction="none")


@pytest.fixture(autouse=True)
def always_worthwhile(monkeypatch):
    monkeypatch.setattr(float32, "WORTHWHILE", 0)


def top(p, D):
    values = torch.linalg.eigvalsh(hessian(p.reference)(p.w, slice(10)))
    return values.flip(0)[:D]


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize("tol", [1e-2, 1e-4], ids="tol={}".format)
@pytest.mark.parametrize("D", [1, 5], ids="D={}".format)
def test_two_products_in_float64_confirm_those_in_float32(mlp_problem, D, tol, warm):
    p = mlp_problem(l2=0.1)
    H = p.loss.hessian_operator(p.w, 10)
    start = randn(p.N, 2) if warm else None
    pairs = largest_eigenpairs(H, D, tol=tol, start=start)
    assert H.products == 2 < pairs.hvp_count
    true, U = top(p, D), pairs.vectors
    assert pairs.values.dtype == U.dtype == torch.float64
    assert (U.T @ U - torch.eye(D, **F64)).abs().max() < 1e-13
    fresh = (H @ U - U * pairs.values).norm(dim=0)
    assert (fresh <= 1.01 * pairs.residuals).all() and (pairs.residuals <= tol * true[0]).all()
    off = (pairs.values - true).abs()
    assert (off <= pairs.residuals + pairs.noise).all() and 0 < pairs.noise < 1e-6 * true[0]
    assert tol == 1e-2 or off.max() < 1e-6 * true[0]


def test_the_other_end_is_found_so_too(mlp_problem):
    p = mlp_problem(l2=0.1)
    values = torch.linalg.eigvalsh(hessian(p.reference)(p.w, slice(10)))
    pairs = bottom_eigenpairs(p.loss, p.w, 10, 2)
    torch.testing.assert_close(pairs.values, values[:2], rtol=0, atol=2e-4 * float(values[-1]))


@pytest.mark.parametrize("tol", [1e-5, 1e-6, 1e-9], ids="tol={}".format)
def test_a_tolerance_beyond_float32_takes_float64_alone(mlp_problem, tol):
    p = mlp_problem(l2=0.1)
    H = p.loss.hessian_operator(p.w, 10)
    pairs = largest_eigenpairs(H, 3, tol=tol)
    assert H.products == pairs.hvp_count
    torch.testing.assert_close(pairs.values, top(p, 3), rtol=0, atol=1e-9)


class Own(nn.Module):
    """A layer with a constant in float64 that is no buffer: float32 inputs do not fit it."""

    def __init__(self):
        super().__init__()
        self.matrix = torch.eye(3, **F64)

    def forward(self, x):
        return x @ self.matrix


class Other(nn.Module):
    """Twice the outputs, in float32 alone."""

    def forward(self, x):
        return x * (2.0 if x.dtype == torch.float32 else 1.0)


def tiny(out, y):
    return 1e-60 * CE(out, y)


# the layer, the loss, its scale, and whether there is anything to try in float32
OTHERS = {
    "no float32": (Own, CE, 1.0, False),
    "another function in float32": (Other, CE, 1.0, True),
    "underflow": (nn.Identity, tiny, 1e-60, True),
}


@pytest.mark.parametrize("case", OTHERS)
def test_a_loss_that_is_another_in_float32_is_left_to_float64(mlp_problem, case, monkeypatch):
    layer, loss_fn, scale, to_try = OTHERS[case]
    p = mlp_problem(l2=0.0)
    loss = EmpiricalLoss(nn.Sequential(*p.model, layer()), loss_fn, p.x, p.y)
    H = loss.hessian_operator(p.w, 10)
    cheaper = H.cheaper()
    assert (cheaper is not None) is to_try
    monkeypatch.setattr(H, "cheaper", lambda: cheaper)
    pairs = largest_eigenpairs(H, 3, generator=generator(3))
    in_vain = cheaper.products if to_try else 0
    assert bool(in_vain) is to_try and pairs.hvp_count == H.products + in_vain
    torch.testing.assert_close(pairs.values / scale, top(p, 3), rtol=0, atol=1e-6)
    assert pairs.noise < 1e-12 * scale


def test_a_small_loss_is_left_in_float64(mlp_problem, monkeypatch):
    monkeypatch.undo()
    p = mlp_problem(l2=0.1)
    H = p.loss.hessian_operator(p.w, 10)
    assert H.cheaper() is None
    assert top_eigenpairs(p.loss, p.w, 10, 3).noise < 1e-13
