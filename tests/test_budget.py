"""How much a diagnosis may do: counts from the size of the problem, and from seconds.

Oracles: operations of dense layers counted by hand, a clock of our own, the stages' shares worked
out anew from the sentences that describe them.
"""

import itertools
import math

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn

from landscape_nb import EmpiricalLoss
from landscape_nb.study import budget as module
from landscape_nb.study.budget import Budget, default_budget, shared_budget, timed_budget


def classifier(model, *shape, n=30):
    x = torch.randn(n, *shape, generator=torch.Generator().manual_seed(0))
    return EmpiricalLoss(model, nn.CrossEntropyLoss(reduction="none"), x, torch.arange(n) % 10)


def linear(inputs, n=30):
    return classifier(nn.Linear(inputs, 10, bias=False), inputs, n=n)


@pytest.fixture
def no_clock(monkeypatch):
    monkeypatch.setattr(module.time, "perf_counter", lambda: pytest.fail("looked at the clock"))


@pytest.fixture
def clock(monkeypatch):
    """A clock on which every gradient takes as long as it is told, in turn."""

    def set_to(*seconds):
        pauses = itertools.chain.from_iterable((0, s) for s in seconds)
        ticks = itertools.accumulate(pauses)
        monkeypatch.setattr(module.time, "perf_counter", lambda: next(ticks))

    return set_to


# -- from the size --------------------------------------------------------------------------------


def test_a_small_model_gets_the_most_without_a_clock(no_clock):
    assert default_budget(linear(64), 20) == Budget(5000, 440, 60, 300)


@pytest.mark.parametrize(("inputs", "k"), [(300, 1000), (20_000, 100), (20_000, 1000)])
def test_counts_of_a_dense_layer(inputs, k, no_clock):
    """Forward 2 k N operations, backward 2 k N for the weights: no gradient of the inputs."""
    N = 10 * inputs
    steps = 5e12 / (max(4 * k * N, 6 * k * N) + 5000 * N)
    assert default_budget(linear(inputs, n=k + 2), k) == shared_budget(steps)


def test_counts_of_a_million_parameters(no_clock):
    model = nn.Sequential(nn.Linear(64, 900), nn.Tanh(), nn.Linear(900, 1020), nn.Linear(1020, 10))
    found = default_budget(classifier(model, 64, n=900), 720)
    assert found == Budget(102, 51, 51, 0)  # 5e12 / (6 k N + 5000 N) = 546 and so 512 steps


def test_weights_that_are_used_often_count_as_often(no_clock):
    """A convolution of 200 parameters at 10 000 places costs what it costs, not what it holds."""
    places = nn.Sequential(nn.Conv2d(1, 20, 3), nn.Conv2d(20, 10, 1))
    model = nn.Sequential(places, nn.Flatten(2), nn.AdaptiveAvgPool1d(1), nn.Flatten())
    loss = classifier(model, 1, 102, 102, n=400)
    assert loss.num_params == 410
    steps = 5e12 / (100 * 100 * 390 * 6 * 398)  # biases aside; the image needs no gradient
    assert shared_budget(steps).fit_iterations == 102
    assert default_budget(loss, 398).fit_iterations in (102, 204)


class Scaled(nn.Module):
    """Nothing but products of numbers, which PyTorch does not count."""

    def __init__(self, N):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(N) / N)

    def forward(self, x):
        return (x * self.scale).unflatten(1, (10, -1)).sum(2)


def test_every_parameter_counts_for_every_sample():
    found = default_budget(classifier(Scaled(100_000), 100_000, n=502), 500)
    assert found == shared_budget(5e12 / (6 * 500 * 100_000 + 5000 * 100_000)) != Budget()


# -- from seconds ---------------------------------------------------------------------------------


def test_seconds_become_steps_of_two_gradients(clock):
    clock(0.03, 0.01, 0.02)
    assert timed_budget(linear(64), 20, 11) == shared_budget(512)  # 11 / (2 * 0.01) = 550


@pytest.mark.parametrize("noise", [1.0, 1.05, 1.3, 1.8])
def test_noise_within_a_rung_changes_nothing(clock, noise):
    clock(0.01 * noise, 0.05, 0.05)
    assert timed_budget(linear(64), 20, 20.4) == shared_budget(512)


def test_noise_across_a_rung_does_and_that_is_said(clock):
    clock(0.0201, 0.0201, 0.0201)
    assert timed_budget(linear(64), 20, 20.48) == shared_budget(256) != shared_budget(512)
    assert "still give other counts" in " ".join(timed_budget.__doc__.split())


@given(st.floats(-30, 40))
@example(math.log2(3000))  # a third of 2048 steps is too little for the fits along k
@example(math.log2(4096))
def test_shares(exponent):
    steps = 2**exponent
    whole = max(power for power in (2.0**j for j in range(-40, 50)) if power <= steps)
    found = shared_budget(steps)
    assert found.fit_iterations == min(5000, max(10, math.floor(whole / 5)))
    assert found.lowest_products == min(440, max(12, math.floor(whole / 10)))
    assert found.trace_products == min(60, max(6, math.floor(whole / 10)))
    seven_fits = 300 * sum(2 ** (j / 2) / 8 for j in range(7))  # of k/8 ... k samples
    assert found.retrain_iterations == (300 if seven_fits <= whole / 3 else 0)


# -- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Budget(fit_iterations=0), "fit_iterations must be at least 1"),
        (lambda: Budget(fit_iterations=1e3), "fit_iterations must be a whole number"),
        (lambda: Budget(lowest_products=0), "lowest_products must be at least 1"),
        (lambda: Budget(trace_products=5), "trace_products must be at least 6"),
        (lambda: Budget(retrain_iterations=-1), "retrain_iterations must be at least 0"),
        (lambda: default_budget(linear(64), 29), "k must be between 1 and 28"),
        (lambda: default_budget(nn.Linear(2, 2), 1), "loss must be an EmpiricalLoss"),
        (lambda: timed_budget(linear(64), 0, 1.0), "k must be between 1 and 28"),
        (lambda: timed_budget(linear(64), 20, 0), "seconds must be positive"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_whole_numbers_of_any_kind_are_counts():
    found = Budget(fit_iterations=torch.tensor(7))
    assert found == Budget(7) and type(found.fit_iterations) is int
