"""The explorer of Spectral Newton's step: its curve is the optimiser's, and what it says of it."""

import numpy as np
import pytest
import torch
from explorables import assert_stored, still_figure

from landscape_nb.theory.spectral_newton import spectral_newton_step
from landscape_nb.widgets import StepExplorer


@pytest.mark.parametrize("alpha, damping", [(0.0, 1.0), (1.0, 1e-6), (1.5, 0.01), (2.0, 100.0)])
def test_the_curve_is_the_optimiser_s_step(alpha, damping):
    explorer = StepExplorer(alpha=alpha, damping=damping)
    found = explorer.numbers()
    for sigma, steps in ((found["sigma"][::20], found["steps"][::20]), ([1, 0.01], found["modes"])):
        dW = spectral_newton_step(
            torch.diag(torch.tensor(sigma, dtype=torch.float64)), alpha, damping
        )
        np.testing.assert_allclose(steps, dW.diagonal(), rtol=1e-12)
        np.testing.assert_allclose(explorer.step(np.array(sigma)), dW.diagonal(), rtol=1e-12)
    np.testing.assert_allclose(found["sigma"], np.geomspace(1e-4, 10, 101))


@pytest.mark.parametrize(
    "alpha, damping, limit, power",
    [
        (0.0, 1.0, "near gradient descent, with the learning rate divided by 2.", 1.0),
        (2.0, 100.0, "near gradient descent, with the learning rate divided by 101.", 1.0),
        (2.0, 0.1, "between gradient descent and UV'.", 0.48),
        (1.0, 1e-6, "near the limit UV': all modes move alike.", 0.0),
        (1.5, 1e-6, "between UV' and 1/σ: small modes move farther", -0.5),
        (2.0, 1e-6, "near the limit 1/σ: what the gradient hardly sees", -1.0),
    ],
)
def test_it_names_the_limit_it_is_near(alpha, damping, limit, power):
    steps = StepExplorer(alpha=alpha, damping=damping)
    assert limit in steps.sentence()
    assert steps.power() == pytest.approx(power, abs=0.01)
    large, small = (sigma / (sigma**alpha + damping) for sigma in (1.0, 0.01))
    assert f"(σ = 1) moves by {large:.3g}" in steps.sentence()
    assert f"(σ = 0.01) by {small:.3g}" in steps.sentence()
    assert f"the large one {large / small:.3g} times as far" in steps.sentence()


@pytest.mark.parametrize(
    "alpha, damping, turn, words",
    [
        (2.0, 0.01, 0.1, "Below σ = 0.1, d is above σ^α."),
        (1.0, 1.0, 1.0, "Below σ = 1, d is above σ^α."),
        (1.0, 1e-6, None, "d is below σ^α at every σ shown."),
        (1.0, 100.0, None, "d is above σ^α at every σ shown."),
        (0.0, 2.0, None, "d is above σ^α at every σ shown."),
        (0.0, 0.5, None, "d is below σ^α at every σ shown."),
        (0.0, 1.0, None, "100 times as far. This is near gradient descent"),
    ],
)
def test_it_says_where_damping_decides(alpha, damping, turn, words, monkeypatch):
    explorer = StepExplorer(alpha=alpha, damping=damping)
    assert words in explorer.sentence()
    assert explorer.turn() == (None if turn is None else pytest.approx(turn))
    grid = np.geomspace(1e-4, 10, 101)
    above = damping > grid**alpha * (1 + 1e-9)
    assert above.sum() == (grid < (turn or 0) * (1 - 1e-9)).sum() or "every" in words
    assert "is above σ^α at every" not in words or above.all()
    assert "is below σ^α at every" not in words or not above.any()
    lines = still_figure(explorer, monkeypatch).axes[0].lines
    drawn = [line.get_xdata()[0] for line in lines if line.get_label() == "σ^α = d"]
    assert drawn == ([] if turn is None else [pytest.approx(turn)])


def test_settings_can_be_observed_and_change_the_still_picture_and_its_words():
    explorer, seen = StepExplorer(alpha=1.0, damping=0.1), []
    explorer.observe(lambda change: seen.append(change["name"]), ["alpha", "damping"])
    for name, value in (("alpha", 1.8), ("damping", 1e-3)):
        before = explorer._repr_mimebundle_()[0]
        setattr(explorer, name, value)
        after = explorer._repr_mimebundle_()[0]
        assert before["image/png"] != after["image/png"]
        assert before["text/plain"] != after["text/plain"]
    assert seen == ["alpha", "damping"]


@pytest.mark.parametrize("alpha", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("damping", [1e-6, 100.0])
def test_the_whole_curve_is_inside_the_picture_and_drawn_as_it_is(alpha, damping, monkeypatch):
    explorer = StepExplorer(alpha=alpha, damping=damping)
    ax = still_figure(explorer, monkeypatch).axes[0]
    lines = {line.get_label(): line.get_ydata() for line in ax.lines}
    low, high = ax.get_ylim()
    assert low < min(lines["T"]) and max(lines["T"]) < high
    np.testing.assert_array_equal(lines["T"], explorer.numbers()["steps"])
    small = explorer.numbers()["modes"][1]
    assert lines["a small mode"] == pytest.approx([small])


def test_it_shows_picture_and_words_without_a_kernel():
    explorer = StepExplorer(alpha=1.5, damping=0.01)
    assert_stored(explorer, "step_explorer")
    assert explorer.purpose() == "Sliders for the exponent and the damping."
    assert explorer.state() == {"alpha": 1.5, "damping": 0.01, "data": explorer.data}


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"alpha": -0.1}, r"alpha must lie in 0\.\.2; got alpha = -0.1"),
        ({"alpha": 2.5}, r"alpha must lie in 0\.\.2; got alpha = 2.5"),
        ({"alpha": float("nan")}, "alpha must lie in"),
        ({"damping": 0.0}, r"damping must lie in 1e-06\.\.100; got damping = 0.0"),
        ({"damping": 1e3}, "damping must lie in"),
    ],
    ids=str,
)
def test_it_refuses_what_it_can_t_show(arguments, message):
    with pytest.raises(ValueError, match=message):
        StepExplorer(**arguments)
    with pytest.raises(ValueError, match=message):
        StepExplorer().set_trait(*arguments.popitem())
