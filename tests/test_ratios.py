"""Ratios where the denominator has no zero of its own, or is zero.

Nothing that is said about a model may depend on the unit of its loss, or on a constant added to it.
Oracle: the same model under the loss itself, and closed forms where all is zero.
"""

import dataclasses
import re

import pytest
import torch
from torch import nn

import landscape_nb as ln
from landscape_nb.problems.models import MLP
from landscape_nb.study.budget import Budget
from landscape_nb.study.diagnosis import diagnose
from landscape_nb.study.measure import stabilization
from landscape_nb.study.report import report, written
from landscape_nb.theory.energy import Energy
from landscape_nb.theory.exponents import participation_ratio

cross_entropy = nn.CrossEntropyLoss(reduction="none")
LEAST = Budget(fit_iterations=10, lowest_products=440, trace_products=60, retrain_iterations=0)


def small_data(n=40):
    g = torch.Generator().manual_seed(0)
    return torch.randn(n, 3, generator=g).double(), torch.randint(3, (n,), generator=g)


def model_and_point():
    """A small network and a point near its minimum, the same for every form of its loss."""
    model = MLP([3, 4, 3])
    x, y = small_data()
    return model, ln.fit(ln.EmpiricalLoss(model, cross_entropy, x, y, l2=1e-3), 25).w


def loss_of(form, dtype=torch.float64):
    model, w = model_and_point()
    x, y = small_data()
    return ln.EmpiricalLoss(model.to(dtype), form, x.to(dtype), y), w.to(dtype)


def found_for(form, dtype=torch.float64):
    loss, w = loss_of(form, dtype)
    return diagnose(loss, 25, w, D=3, budget=LEAST, progress=False)


def text_of(found):
    return " ".join(str(written(found)).split())


@pytest.fixture(scope="module")
def plain():
    return found_for(cross_entropy)


UNITS = {"bits": 1 / 0.6931, "a millionth": 1e-6, "1e-20": 1e-20, "1e20": 1e20}
OFFSETS = [-5.0, -1000.0, 5.0, 100.0]


def doubts_without_numbers(found, but="nothing left out"):
    number = r"-?\d+(\.\d+)?(e[+-]?\d+)?"
    return [re.sub(number, "#", doubt) for doubt in found.doubts if but not in doubt]


def same_forecast(found, plain):
    """Every K of it; its tolerance is in another unit."""
    return dataclasses.replace(found.forecast, tolerance=0, exponent=None) == dataclasses.replace(
        plain.forecast, tolerance=0, exponent=None
    )


@pytest.mark.parametrize("unit", UNITS)
def test_the_unit_changes_nothing_but_numbers_in_it(plain, unit):
    s = UNITS[unit]
    found = found_for(lambda out, y: s * cross_entropy(out, y))
    assert found.tolerance == pytest.approx(s**2 * plain.tolerance, rel=1e-9)
    assert found.measured == plain.measured and found.local_sigma == plain.local_sigma
    assert same_forecast(found, plain)
    torch.testing.assert_close(found.model_error, plain.model_error, rtol=1e-3, atol=1e-9)
    assert doubts_without_numbers(found) == doubts_without_numbers(plain)


@pytest.mark.parametrize("offset", OFFSETS)
def test_an_added_constant_changes_nothing(plain, offset):
    found = found_for(lambda out, y: cross_entropy(out, y) + offset)
    assert found.scale == pytest.approx(plain.scale, rel=1e-9)
    assert found.tolerance == pytest.approx(plain.tolerance, rel=1e-9)
    assert found.measured == plain.measured and found.local_sigma == plain.local_sigma
    assert same_forecast(found, plain)
    assert doubts_without_numbers(found, but="negative") == doubts_without_numbers(plain)


def test_the_tolerance_is_a_hundredth_of_the_losss_size(plain):
    loss, w = loss_of(cross_entropy)
    losses = loss.per_sample(w)
    size = float(losses[:25].mean() - losses.min())
    assert plain.tolerance == pytest.approx((size / 100) ** 2)
    assert 0.9 < size / float(losses[:25].mean()) < 1  # near zero already: about the loss itself


@pytest.mark.parametrize("offset", OFFSETS)
def test_a_loss_that_crosses_zero_is_doubted(offset):
    """The sentence names the smallest loss; others are not accused."""
    found = found_for(lambda out, y: cross_entropy(out, y) + offset)
    said = [doubt for doubt in found.doubts if "negative" in doubt]
    assert len(said) == (offset < 0)
    for sentence in said:
        assert f"down to {found.lowest_loss:.2g}" in sentence and f"{found.scale:.2g}" in sentence
        assert sentence in text_of(found)


def test_a_large_constant_hides_small_steps_and_the_report_says_so(plain):
    """Losses of 1e11: a probe of 1e-4 moves them by less than their rounding."""
    found = found_for(lambda out, y: cross_entropy(out, y) + 1e11)
    hidden = found.model_error.isnan()
    assert hidden.any() and not hidden.all() and hidden[: int(hidden.sum())].all()
    assert found.local_sigma is not None and found.local_sigma >= 0.03
    seen = ~hidden
    torch.testing.assert_close(found.model_error[seen], plain.model_error[seen], rtol=0, atol=0.1)
    text = text_of(found)
    assert f"At {int(hidden.sum())} of the {len(hidden)} sigmas" in text and "nan" not in text


CONSTANT = {
    "zero": lambda out, y: 0 * out.sum(1),
    "one": lambda out, y: 0 * out.sum(1) + 1.1,
    "minus one": lambda out, y: 0 * out.sum(1) - 1.1,
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("form", CONSTANT)
def test_a_constant_loss_has_a_report_without_ratios(form, dtype):
    found = found_for(CONSTANT[form], dtype)
    text = text_of(found)
    assert not re.search(r"\b(nan|inf)\b", text)
    assert "off by more than 10 %" not in text and "outside the local regime" not in text
    assert "All losses are equal at this point" in text
    assert found.local_sigma == pytest.approx(0.1)
    assert found.measured.K == found.along.ks[0] and found.tolerance > 0
    assert "</html>" in written(found).html()


def test_all_losses_zero_is_exact_and_has_no_shares():
    """Nothing may be called wrong, and nothing has a share."""
    page = written(found_for(CONSTANT["zero"]))
    (section,) = (section for section in page.sections if section.table)
    assert all(set(row[2:]) == {"-"} for row in section.table[1:])
    assert "there are no shares and no ratios" in " ".join(section.sentences)
    assert float(page.diagnosis.model_error.max()) == 0


def test_perfect_fit_of_a_regression():
    """All losses zero at w, but not around it: the parabola is its own model."""
    x = torch.randn(30, 3, generator=torch.Generator().manual_seed(1)).double()
    model = nn.Linear(3, 1, bias=False).double()
    loss = ln.EmpiricalLoss(model, lambda out, y: (out - y)[:, 0].square(), x, 0 * x[:, :1])
    page = report(loss, 20, 0 * loss.w0, D=2, budget=LEAST, progress=False)
    assert page.diagnosis.local_sigma == pytest.approx(0.1)
    assert float(page.diagnosis.model_error.max()) < 1e-9
    assert "nan" not in str(page)


def test_losses_whose_squares_underflow_are_doubted():
    found = found_for(lambda out, y: 1e-160 * cross_entropy(out, y))
    assert any("Multiply the loss by a large number" in doubt for doubt in found.doubts)
    assert found.local_sigma == pytest.approx(0.1)


def test_losses_whose_squares_overflow_are_refused():
    with pytest.raises(ValueError, match="overflows: it is larger than 1.8e\\+308"):
        found_for(lambda out, y: 1e160 * cross_entropy(out, y))


# -- other ratios --------------------------------------------------------------------------------


def test_a_share_of_nothing_is_refused_and_of_one_thing_is_kept():
    loss, w = loss_of(CONSTANT["one"])
    U = ln.random_subspace(loss.num_params, 2, torch.Generator().manual_seed(0))
    found = ln.captured_energy(loss, w, 25, {"U": U}, [25, 26])
    with pytest.raises(ValueError, match="whole energy is zero"):
        found["U"].share_of(found["whole"])
    none = torch.zeros(2)
    gradient, curvature = Energy(torch.ones(2), none).share_of(Energy(2 * torch.ones(2), none))
    assert gradient == 0.5 and curvature != curvature


def test_participation_of_no_curvature_is_refused_and_the_unit_does_not_matter():
    with pytest.raises(ValueError, match="not zero; got 3, the largest in magnitude 0"):
        participation_ratio(torch.zeros(3))
    h = torch.tensor([3.0, 1.0]).double()
    for unit in (1.0, 1e-200, 1e200):
        assert participation_ratio(unit * h) == pytest.approx(1.6)


def constant_loss():
    return loss_of(CONSTANT["one"])[0]


def test_a_cell_of_a_constant_loss_holds_no_nan():
    rows = stabilization(constant_loss, Ds=[2], sigmas=0.1)(k=20)
    assert all(value == value for row in rows for value in row.values())
    assert {row["residual"] for row in rows} == {0.0}
