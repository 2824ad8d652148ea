"""The race of optimisers: steps and runs by a route of their own, the tuning, and a stored row.

Oracles: SciPy's polar factor, a linear solve, PyTorch's SGD and Adam. Wrong on purpose: judging a
rate by the seeds that chose it.
"""

import numpy as np
import pytest
import torch
from scipy import linalg
from torch import nn
from torch.nn import functional as F

from landscape_nb.study.evidence import optimisers, stored
from landscape_nb.study.evidence.optimisers import SHAPES, chosen, judged, network, rates, run

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def G():
    return torch.randn(5, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_the_limit_is_the_polar_factor(G):
    np.testing.assert_allclose(SHAPES["limit"](G), linalg.polar(G.numpy())[0], atol=1e-12)


def test_spectral_newton_is_a_damped_solve(G):
    step = torch.linalg.solve(G @ G.T + 0.1 * torch.eye(5, dtype=torch.float64), G)
    torch.testing.assert_close(SHAPES["newton"](G), step)


@pytest.mark.parametrize("name", ["newton", "limit"])
def test_a_layer_method_keeps_the_size_and_the_gradients_shape(G, name):
    whole, scaled = SHAPES[name](G), SHAPES[f"{name}_layer"](G)
    assert np.isclose(float(scaled.norm()), float(whole.norm()))
    assert np.isclose(float((scaled * G).sum() / scaled.norm() / G.norm()), 1)
    assert float((whole * G).sum() / whole.norm() / G.norm()) < 0.95  # the modes do differ


def by_pytorch(seed, net, make):
    """The same run with an optimiser of PyTorch: validation loss."""
    x, y = (torch.as_tensor(part) for part in optimisers._digits())
    draws = torch.Generator().manual_seed(seed)
    train, valid, _ = torch.randperm(1797, generator=draws).split([1000, 300, 497])
    model = network(net, seed)
    optimiser = make(model.parameters())
    for _ in range(100):
        batch = train[torch.randint(1000, (64,), generator=draws)]
        optimiser.zero_grad()
        nn.CrossEntropyLoss()(model(x[batch]), y[batch]).backward()
        optimiser.step()
    with torch.no_grad():
        return float(F.cross_entropy(model(x[valid]), y[valid]))


@pytest.mark.parametrize(
    ("net", "method", "make"),
    [
        ("MLP", "SGD", lambda p: torch.optim.SGD(p, 0.03, momentum=0.9)),
        ("CNN", "SGD", lambda p: torch.optim.SGD(p, 0.03, momentum=0.9)),
        ("MLP", "Adam", lambda p: torch.optim.Adam(p, 0.03)),
    ],
)
def test_runs_are_those_of_pytorchs_optimisers(net, method, make):
    assert np.isclose(run(3, net, method, 0.03)[0], by_pytorch(3, net, make), rtol=1e-3)


def test_adamw_decays_and_adam_does_not():
    with_decay, without = (run(3, "MLP", name, 0.03)[0] for name in ("AdamW10", "Adam"))
    assert not np.isclose(with_decay, without, rtol=1e-3)


def test_judges_never_choose():
    """Rate 0 is best for the tuning seeds, rate 1 for the others: rate 0 is judged."""
    tune, judge = {"v": [1.0, 2.0], "t": [7.0, 7.0]}, {"v": [9.0, 0.0], "t": [5.0, 1.0]}
    runs = {seed: tune if seed in optimisers.TUNING else judge for seed in range(18)}
    assert chosen(runs, optimisers.TUNING) == 0 and chosen(runs, range(18)) == 1
    assert judged(runs) == [5.0] * 12
    assert judged(runs) != [runs[s]["t"][chosen(runs, range(18))] for s in range(6, 18)]


def test_adamw_chooses_among_both_decays():
    found = optimisers.by_method(stored.rows("optimisers"))
    assert len(found["MLP", "AdamW"][0]["v"]) == 18 and len(found["MLP", "SGD"][0]["v"]) == 9


def test_tuned_rates_are_among_those_tried():
    runs = optimisers.by_method(stored.rows("optimisers"))
    for (_, method), found in runs.items():
        rate, decay = optimisers.tuned(found, method)
        assert rate in rates(method)
        assert (decay > 0) == (method == "AdamW")


def test_best_rates_lie_inside_the_grid():
    for runs in optimisers.by_method(stored.rows("optimisers")).values():
        assert 0 < chosen(runs, optimisers.TUNING) % 9 < 8


def test_a_stored_row_comes_out_again():
    row = next(
        r
        for r in stored.rows("optimisers")
        if (r["seed"], r["net"], r["method"]) == (7, "MLP", "limit")
    )
    best = 4
    found = run(7, "MLP", "limit", rates("limit")[best])
    np.testing.assert_allclose(found[:2], [row[f"v{best}"], row[f"t{best}"]], rtol=0.1)
    assert abs(found[2] - row[f"a{best}"]) < 1.5  # points


def test_an_unknown_network_is_refused():
    with pytest.raises(ValueError, match="net must be 'MLP' or 'CNN'; got 'RNN'"):
        network("RNN", 0)
