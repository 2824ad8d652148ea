"""The stored study of KG24's experiment: width, depth, 100 orders of the samples.

Oracles: the increments from means by plain loops; the average over *all* orders of a small set,
which is the variance over k (k + 1); a network of a table's row trained anew. Wrong on purpose: a
division by k in place of k + 1, a variance over n in place of n - 1.
"""

import itertools

import numpy as np
import pytest
import torch

from landscape_nb.problems.data import digits
from landscape_nb.study.evidence import stored, width_depth

pytestmark = pytest.mark.usefixtures("one_thread")

LOSSES = np.array([0.1, 2.0, 0.4, 0.05, 1.1])


class InOrder:
    """Hands out given orders in place of random ones."""

    def __init__(self, orders):
        self.orders = iter(orders)

    def permutation(self, losses):
        return losses[list(next(self.orders))]


def all_orders():
    orders = list(itertools.permutations(range(5)))
    return width_depth.increments(LOSSES, len(orders), InOrder(orders)), orders


def test_increments_are_differences_of_means():
    found, orders = all_orders()
    for row, order in zip(found[::13], orders[::13], strict=True):
        means = [np.mean([LOSSES[i] for i in order[:k]]) for k in range(1, 6)]
        assert np.allclose(row, np.abs(np.diff(means)))


def test_over_all_orders_the_mean_square_is_the_variance_over_k_k_plus_1():
    found, _ = all_orders()
    k = np.arange(1, 5)
    exact = LOSSES.var(ddof=1) / (k * (k + 1))
    assert np.allclose((found**2).mean(0), exact, rtol=1e-12)
    assert not np.allclose((found**2).mean(0), LOSSES.var() / (k * (k + 1)), rtol=1e-2)
    assert not np.allclose((found**2).mean(0), LOSSES.var(ddof=1) / k**2, rtol=1e-2)


def test_welfords_identity_holds_in_every_order():
    """Sum k (k + 1) I_k^2 = (n - 1) S^2, whatever the order; so the stored ratio is 1."""
    found, _ = all_orders()
    k = np.arange(1, 5)
    whole = (k * (k + 1) * found**2).sum(1)
    assert np.allclose(whole, 4 * LOSSES.var(ddof=1), rtol=1e-12)
    living = [r for r in stored.rows("width_depth") if width_depth.alive(r)]
    assert all(r["square"] == pytest.approx(1, abs=1e-3) for r in living)


def test_networks_have_the_shape_of_kg24s_program():
    """L counts the layers between the first and the last: L + 2 weight matrices, no biases."""
    x, y = digits(64, seed=0)
    model = width_depth.train(x.float(), y, 8, 3, seed=0, epochs=1)
    shapes = [tuple(p.shape) for p in model.parameters()]
    assert shapes == [(8, 64), (8, 8), (8, 8), (8, 8), (10, 8)]


def test_a_row_is_found_again():
    again = width_depth.measure(0, "h16 L1")
    (kept,) = [r for r in stored.rows("width_depth") if r["seed"] == 0 and r["network"] == "h16 L1"]
    for name in ("loss", "deviation", "I_900"):  # training amplifies rounding
        assert again[name] == pytest.approx(kept[name], rel=0.3), name


def test_a_dead_network_gives_the_same_loss_to_every_sample():
    dead = [r for r in stored.rows("width_depth") if not width_depth.alive(r)]
    assert all(r["loss"] == pytest.approx(np.log(10), abs=2e-3) for r in dead)


def test_a_factor_by_hand():
    rows = {(r["seed"], r["network"]): r for r in stored.rows("width_depth")}
    pairs = [(rows[s, "h16 L10"], rows[s, "h16 L1"]) for s in range(10)]
    logs = [
        np.log(a["I_900"] / b["I_900"])
        for a, b in pairs
        if a["deviation"] > 1e-6 and b["deviation"] > 1e-6
    ]
    found = stored.figures("width_depth")["depth_I_900"]
    assert found.value == pytest.approx(np.exp(np.mean(logs))) and found.count == len(logs)


def test_the_smoothed_increment_of_equal_losses_in_two_halves():
    """Half the losses 0, half 1: the mean |l - L_k| is 1/2, so the increment is 1/(2 (k + 1))."""
    losses = np.repeat([0.0, 1.0], 500)
    sampled = width_depth.increments(losses, 50, np.random.default_rng(0))
    k = np.arange(1, 1000)
    assert ((k + 1) * sampled).mean(0)[300:].mean() == pytest.approx(0.5, abs=0.02)
    assert torch.tensor(losses).std() == pytest.approx(0.5, abs=1e-3)
