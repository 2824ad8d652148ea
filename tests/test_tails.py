"""What an average is worth: tail index, hardest samples, and the sentence about them.

Oracles: simulated generalised Pareto samples of known index; the likelihood, on a grid of its two
parameters; the definitions, in NumPy or by hand.
"""

import math

import numpy as np
import pytest
import torch
from draws import F64
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import genpareto

import landscape_nb as ln
from landscape_nb.theory.tails import DOUBTFUL_INDEX


def pareto(index, m, seed):
    return genpareto.rvs(index, size=m, random_state=np.random.default_rng(seed))


def largest_excess(values):
    ordered = np.sort(values)
    count = math.ceil(min(len(values) / 5, 3 * math.sqrt(len(values))))
    return ordered[-count:] - ordered[-count - 1]


# -- the index -----------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [-0.3, 0.0, 0.3, 0.7, 1.2])
def test_the_index_of_pareto_samples_is_found(index):
    found = [ln.tail_index(pareto(index, 2000, seed)) for seed in range(20)]
    assert abs(np.mean(found) - index) < 0.08
    assert np.std(found) < 0.3


def test_the_index_is_the_top_of_the_likelihood_and_then_the_prior():
    """The likelihood on a grid of both parameters, not by SciPy's search."""
    values = pareto(0.5, 900, 3)
    excess = largest_excess(values)
    shapes, scales = np.linspace(-0.5, 1.5, 401), np.geomspace(0.2, 5, 401) * excess.mean()
    k, s = shapes[:, None, None], scales[None, :, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        terms = -np.log(s) - (1 + 1 / k) * np.log1p(k * excess / s)
    likelihood = np.where(np.isnan(terms).any(-1), -np.inf, terms.sum(-1))
    best = shapes[np.unravel_index(likelihood.argmax(), likelihood.shape)[0]]
    expected = (len(excess) * best + 10 * 0.5) / (len(excess) + 10)
    assert abs(ln.tail_index(values) - expected) < 0.01


def test_the_index_is_of_the_upper_tail():
    """Turned round, a heavy tail lies at the small end, where it must not count."""
    heavy = pareto(1.2, 1000, 0)
    turned = heavy.max() - heavy
    assert ln.tail_index(heavy) > 0.9
    assert ln.tail_index(turned) < 0.1
    lower = ln.tail_index(turned.max() - turned)  # the wrong one
    assert abs(lower - ln.tail_index(turned)) > 0.9


@pytest.mark.parametrize("factor", [1e-300, 3.7e-9, 2.0, 1e280])
def test_the_index_has_no_unit(factor):
    values = pareto(0.8, 200, 1)
    assert math.isclose(ln.tail_index(factor * values), ln.tail_index(values), abs_tol=1e-5)


def test_the_order_of_the_samples_and_their_container_do_not_matter():
    values = pareto(0.8, 200, 1)
    expected = ln.tail(values, 2.0)
    shuffled = np.random.default_rng(0).permutation(values)
    tensor = torch.tensor(values, **F64).requires_grad_()
    for same in (shuffled, values.tolist(), tensor):
        assert ln.tail(same, 2.0) == expected
    assert math.isclose(ln.tail_index(tensor.float()), expected.index, abs_tol=1e-4)
    assert math.isfinite(ln.tail_index(tensor.to(torch.bfloat16)))


@pytest.mark.parametrize(
    "values",
    [[1.0], [1.0, 2.0], range(24), [3.0] * 100, [0.0] * 100, [0.0] * 50 + [1.0] * 50,
     [1.0] * 96 + [2.0, 3.0, 4.0, 5.0]],
    ids=["one", "two", "24", "equal", "zero", "two levels", "four above"],
)  # fmt: skip
def test_no_index_where_there_is_no_tail(values):
    assert math.isnan(ln.tail_index(values))
    found = ln.tail(values)
    assert not found.doubtful and "too few different values" in str(found)


def test_ties_at_the_threshold_do_not_count():
    """They would have the likelihood grow without end."""
    values = np.concatenate([np.ones(100), 1 + pareto(0.5, 12, 0)])
    assert -1 < ln.tail_index(values) < 2


# -- the summary ---------------------------------------------------------------------------------


def test_the_summary_by_its_definitions():
    values = pareto(0.5, 130, 4)
    found = ln.tail(values, tolerance=0.7)
    ordered = np.sort(values)[::-1]
    assert found.count == 130
    assert math.isclose(found.mean, np.mean(values), rel_tol=1e-12)
    assert math.isclose(found.stderr, np.std(values, ddof=1) / 130**0.5, rel_tol=1e-12)
    assert found.median == np.median(values)
    assert math.isclose(found.hardest, ordered[:7].sum() / values.sum(), rel_tol=1e-12)
    assert found.below == np.mean(values < 0.7)
    assert found.index == ln.tail_index(values)


@settings(deadline=None)
@given(
    st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=24), st.sampled_from([1e-200, 1e-6, 1e200])
)
def test_the_summary_has_no_unit(values, factor):
    one, other = ln.tail(values, 1.5), ln.tail([factor * v for v in values], factor * 1.5)
    for name in ("mean", "stderr", "median"):
        expected = factor * getattr(one, name)
        if not math.isnan(expected):
            assert math.isclose(
                getattr(other, name), expected, rel_tol=1e-9, abs_tol=1e-12 * factor
            )
    assert math.isclose(one.hardest, other.hardest, rel_tol=1e-9)
    assert 0 < one.hardest <= 1 and one.count == len(values)


def test_few_equal_or_zero_values():
    one = ln.tail([2.0])
    assert (one.mean, one.median, one.hardest, one.below) == (2.0, 2.0, 1.0, None)
    assert math.isnan(one.stderr) and str(one).startswith("Mean 2 over 1 sample, median 2")
    zero = ln.tail([0.0] * 40, tolerance=1.0)
    assert (zero.mean, zero.stderr, zero.below) == (0.0, 0.0, 1.0) and math.isnan(zero.hardest)
    equal = ln.tail(torch.full((40,), 3, dtype=torch.int64))
    assert (equal.mean, equal.stderr) == (3.0, 0.0) and math.isclose(equal.hardest, 2 / 40)


def test_doubtful_above_seven_tenths_only():
    heavy, light = ln.tail(pareto(1.5, 1000, 0)), ln.tail(pareto(0.0, 1000, 0))
    assert DOUBTFUL_INDEX == 0.7
    assert heavy.doubtful and "not to be trusted" in str(heavy)
    assert not light.doubtful and "not to be trusted" not in str(light)


def test_the_sentence():
    sentence = str(ln.tail(pareto(1.5, 1000, 0), tolerance=1.0))
    assert sentence.endswith(".") and sentence.count(".") <= 8 and "\n" not in sentence
    for part in ("over 1000 samples", "below the tolerance", "the hardest 5 % carry"):
        assert part in sentence
