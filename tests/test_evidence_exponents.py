"""The stored study of exponents: one seed's layers by another route, and its table.

Oracles: the dense Hessian of a layer by torch.func, numpy's SVD and polyfit. Wrong on purpose: a
neighbouring mode's curvature.
"""

import math

import numpy as np
import pytest
import torch
from torch.func import functional_call, hessian
from torch.nn import functional as F

from landscape_nb.problems import data
from landscape_nb.study.evidence import exponents as study
from landscape_nb.study.evidence import stored


@pytest.fixture(scope="module")
def tanh():
    loss, ws = study.trained("tanh", 3)
    (found,) = (layer for layer in study._digit_layers(3) if layer[:3] == ("tanh", 160, "tanh out"))
    return loss, ws[160], found


def dense(loss, w):
    """Gradient and Hessian of the last layer's 10 x 16 weights, by torch.func on a plain model."""
    x, y = data.digits(study.SAMPLES, seed=3)
    model, parts, at = loss.model, {}, 0
    for name, p in model.named_parameters():
        parts[name], at = w[at : at + p.numel()].view_as(p), at + p.numel()

    def value(W):
        return F.cross_entropy(functional_call(model, parts | {"4.weight": W}, x), y)

    W = parts["4.weight"]
    return torch.func.grad(value)(W), hessian(value)(W).reshape(160, 160)


def beside(layer):
    """Another layer and another network to mismatch with: here the same lists."""
    return [layer, ("tanh", 160, "x", *layer[3:]), ("CNN", 160, "y", *layer[3:])]


def test_the_row_is_what_a_dense_hessian_gives(tanh):
    loss, w, layer = tanh
    G, H = dense(loss, w)
    U, sigma, Vt = np.linalg.svd(G.numpy(), full_matrices=False)
    sizes = sigma > 1e-12 * sigma[0]
    tables = np.einsum("ir,rj->rij", U, Vt).reshape(len(sigma), -1)[sizes]
    h, sigma = ((tables @ H.numpy()) * tables).sum(1), sigma[sizes]
    k, good = np.arange(1, len(h) + 1), h > 0
    x, y, ranks = np.log(sigma[good]), np.log(h[good]), np.log(k[good])
    alpha, gamma = np.polyfit(x, y, 1)[0], -np.polyfit(ranks, x, 1)[0]
    s = -np.polyfit(ranks, y, 1)[0]
    row = study._row(layer, beside(layer), None, np.random.default_rng(0))
    assert math.isclose(row["alpha"], alpha, rel_tol=1e-3)
    assert math.isclose(row["same"], abs(s - alpha * gamma) / abs(s), rel_tol=1e-2)
    assert math.isclose(
        row["participation"], h[good].sum() ** 2 / (h[good] ** 2).sum(), rel_tol=1e-3
    )
    wrong = np.polyfit(x[:-1], y[1:], 1)[0]  # a neighbouring mode's curvature
    assert not math.isclose(row["alpha"], wrong, rel_tol=1e-2)
    assert math.isclose(
        row["Lambda_slope"] + row["Phi_slope"] + row["chi_slope"], row["alpha"], abs_tol=2e-3
    )


def test_a_stored_row_is_measured_again(tanh):
    _, _, layer = tanh
    row = study._row(layer, beside(layer), None, np.random.default_rng(0))
    (kept,) = (
        r
        for r in stored.rows("exponents")
        if (r["seed"], r["step"], r["layer"]) == (3, 160, "tanh out")
    )
    for name in ("alpha", "participation", "Lambda_slope", "chi_slope"):
        assert math.isclose(row[name], kept[name], rel_tol=0.02), name  # 160 steps of SGD, float64


def test_intervals_are_over_seeds():
    figures = stored.figures("exponents")
    for name in ("alpha_conv_1", "same", "participation", "later_tanh", "relu_over_tanh"):
        assert figures[name].count == 10, name
