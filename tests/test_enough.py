"""The enough-data rule, against its definition spelt out as a search; its interval, by counting."""

import itertools

import pytest
import torch
from draws import generator
from hypothesis import given
from hypothesis import strategies as st

from landscape_nb import enough_data, enough_data_interval

delta = st.sampled_from([0.1, 0.5, 0.999, 1.0, 1.5, 9.0])


@given(st.lists(delta, min_size=1, max_size=8))
def test_enough_data_is_its_definition(deltas):
    ks = [3 * j + 1 for j in range(len(deltas))]
    staying = [k for j, k in enumerate(ks) if all(d < 1.0 for d in deltas[j:])]
    assert enough_data(ks, deltas, 1.0) == (min(staying) if staying else None)


def test_the_first_noisy_crossing_is_not_enough():
    assert enough_data([10, 20, 40, 80], [9.0, 0.5, 2.0, 0.3], 1.0) != 20


@pytest.mark.parametrize(
    "ks, deltas, tolerance, sentence",
    [
        ([1, 2], [1.0], 1.0, "one finite number for each of the 2 ks"),
        ([1], [float("nan")], 1.0, "one finite number"),
        ([2, 1], [1.0, 2.0], 1.0, "strictly increasing"),
        ([1, 2], [1.0, 2.0], 0.0, "tolerance must be positive"),
    ],
    ids=["unequal", "nan", "unsorted", "tolerance 0"],
)
def test_bad_input(ks, deltas, tolerance, sentence):
    with pytest.raises(ValueError, match=sentence):
        enough_data(ks, deltas, tolerance)


# -- the interval --------------------------------------------------------------------------------

KS = [10, 20, 40, 80]


def test_runs_that_agree_leave_no_doubt():
    found = enough_data_interval(KS, [[9.0, 2.0, 0.5, 0.1]] * 6, 1.0, generator())
    assert (found.K, found.low, found.high, found.reached) == (40, 40, 40, 1.0)


def test_not_reached_is_no_guess():
    found = enough_data_interval(KS, [[9.0, 2.0, 1.5, 1.1]] * 3, 1.0, generator())
    assert (found.K, found.low, found.high, found.reached) == (None, None, None, 0.0)
    assert str(found) == "not reached (in 0 % of resamples it was)"


def test_the_interval_counts_resamples():
    """Three runs have 27 resamples, all equally likely: their exact quantiles are the oracle."""
    curves = torch.tensor([[9.0, 2.0, 0.4, 0.1], [9.0, 0.5, 0.6, 0.1], [9.0, 0.3, 3.0, 1.3]])
    resamples = itertools.product(range(3), repeat=3)
    every = [enough_data(KS, curves[list(rows)].mean(0), 1.0) for rows in resamples]
    every = sorted(every, key=lambda k: (k is None, k))
    found = enough_data_interval(KS, curves, 1.0, generator(), num_resamples=20_000)
    assert found.K == enough_data(KS, curves.mean(0), 1.0)
    assert found.low == every[1] and found.high == every[-2]  # 5 % of 27 is 1.35
    assert abs(found.reached - (1 - every.count(None) / 27)) < 0.02


def test_a_wider_level_gives_a_wider_interval():
    curves = torch.rand(7, 4, generator=generator(1)) * torch.tensor([4.0, 2.5, 1.6, 0.9])
    ends = [enough_data_interval(KS, curves, 0.9, generator(), level=p) for p in (0.5, 0.9, 0.99)]
    late = [[k or 1000 for k in (e.low, e.high)] for e in ends]
    assert all(a[0] >= b[0] and a[1] <= b[1] for a, b in itertools.pairwise(late))
    assert late[0] != late[-1]


@pytest.mark.parametrize(
    "curves, options, sentence",
    [
        ([[1.0, 2.0, 3.0, 4.0]], {}, "at least two runs"),
        ([1.0, 2.0, 3.0, 4.0], {}, "at least two runs"),
        ([[1.0, 2.0]] * 3, {}, "one finite number for each of the 4 ks"),
        ([[1.0] * 4] * 3, {"level": 1.0}, "level must be between 0 and 1"),
        ([[1.0] * 4] * 3, {"num_resamples": 0}, "num_resamples must be"),
    ],
)
def test_bad_input_of_the_interval(curves, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        enough_data_interval(KS, curves, 1.0, generator(), **options)
