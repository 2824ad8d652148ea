"""The explorer of gradient descent on a bowl: its path is that of explicit steps."""

import numpy as np
import pytest
from browser import needs_browser
from explorables import assert_stored, draw, still_figure

from landscape_nb.figures.explorers import LOSSES, WIDTHS
from landscape_nb.widgets import BowlExplorer


@pytest.mark.parametrize("lr, kappa", [(0.1, 50.0), (1.0, 1.0), (1.75, 7.0), (2.4, 30.0)])
def test_the_path_is_that_of_explicit_steps(lr, kappa):
    bowl = BowlExplorer(lr=lr, kappa=kappa, steps=30)
    curvatures = np.array([1.0, 1.0 / kappa])
    w, path, losses = np.array(BowlExplorer.START), [], []
    for _ in range(31):
        path.append(w)
        losses.append(0.5 * w @ (curvatures * w))
        w = w - lr * (curvatures * w)  # the gradient of (x^2 + y^2 / kappa) / 2
    np.testing.assert_allclose(bowl.path(), path, rtol=1e-9, atol=1e-12)
    found = bowl.numbers()
    np.testing.assert_allclose(np.transpose(found["path"]), path, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found["losses"], losses, rtol=1e-9, atol=1e-24)


@pytest.mark.parametrize(
    "lr, verdict, factor",
    [
        (0.95, "It converges: x and y creep in", "0.050 in x"),
        (1.0, "It converges: x is at the bottom after a single step", "0.000 in x"),
        (1.9, "It converges: x oscillates", "0.900 in x"),
        (2.0, "It neither converges nor diverges", "1.000 in x"),
        (2.1, "It diverges", "1.100 in x"),
    ],
)
def test_it_says_what_the_steps_do(lr, verdict, factor):
    words = BowlExplorer(lr=lr, kappa=10.0).sentence()
    assert verdict in words
    assert factor in words
    assert f"{1 - lr / 10:.3f} in y" in words.replace("by ", "")


def test_settings_can_be_observed_and_change_the_still_picture_and_its_words():
    bowl, seen = BowlExplorer(lr=1.0, kappa=10.0), []
    bowl.observe(lambda change: seen.append(change["name"]), ["lr", "kappa"])
    for name, value in (("lr", 2.3), ("kappa", 20.0)):
        before = bowl._repr_mimebundle_()[0]
        setattr(bowl, name, value)
        after = bowl._repr_mimebundle_()[0]
        assert before["image/png"] != after["image/png"]
        assert before["text/plain"] != after["text/plain"]
    assert seen == ["lr", "kappa"]


@pytest.mark.parametrize(
    "lr, kappa, steps, left, over",
    [
        (2.4, 10.0, 30, 1, 11),
        (2.1, 10.0, 30, 3, None),
        (2.1, 10.0, 45, 3, 36),
        (2.4, 1.0, 400, 1, 10),
        (2.0, 10.0, 400, None, None),
        (1.0, 1.0, 400, None, None),
    ],
)
def test_what_diverges_is_seen_to_leave_and_to_grow(lr, kappa, steps, left, over, monkeypatch):
    bowl = BowlExplorer(lr=lr, kappa=kappa, steps=steps)
    path, losses = bowl.path(), np.array(bowl.numbers()["losses"])
    figure = still_figure(bowl, monkeypatch)
    (walk,) = (line for line in figure.axes[0].lines if line.get_label() == "path")
    loss = figure.axes[1].lines[0]
    # the walk up to its first point outside, and after it nothing; the loss as it is, at no level
    outside = (abs(path) > 1.9).any(1)
    assert outside.any() == (left is not None)
    end = steps if left is None else left
    assert not outside[:end].any()
    np.testing.assert_array_equal(walk.get_xydata(), path[: end + 1])
    np.testing.assert_array_equal(loss.get_ydata(), losses)
    assert figure.axes[1].get_ylim() == LOSSES
    told = [text.get_text() for text in figure.axes[1].texts]
    assert told == ([] if over is None else [f"\u2191 {losses[-1]:.1e} at step {steps}"])
    assert (losses > 1e3).any() == (over is not None)
    words = bowl.sentence()
    assert (f"leaves the left picture at step {left}" in words) == (left is not None)
    assert (f", the loss the right one at step {over}." in words) == (over is not None)
    if over is not None:
        assert losses[over - 1] <= 1e3 < losses[over]
    assert f"Loss after {steps} steps: {losses[-1] / losses[0]:.1e} times the first." in words
    figure.draw_without_rendering()


GONE = """
    const text = document.querySelector('[data-mark=gone]');
    const walk = document.querySelector('[data-mark=path]:not([data-part])').getAttribute('d');
    return [text.textContent, walk.split('L').length];"""


@needs_browser
@pytest.mark.parametrize(
    "lr, words, points", [(2.4, "\u2191 6.6e+08 at step 30", 2), (2.0, "", 31)], ids=str
)
def test_the_browser_says_how_large_it_has_grown(lr, words, points, browser, tmp_path):
    bowl = BowlExplorer(lr=lr, kappa=10.0)
    assert draw(bowl, browser, tmp_path, GONE) == [words, points]


def test_level_curves_are_level(monkeypatch):
    figure = still_figure(BowlExplorer(lr=1.0, kappa=9.0, steps=1), monkeypatch)
    levels = [line.get_data() for line in figure.axes[0].lines if len(line.get_xdata()) == 121]
    assert len(levels) == len(WIDTHS)
    for (x, y), width in zip(levels, WIDTHS, strict=True):
        np.testing.assert_allclose((x**2 + y**2 / 9) / 2, width**2 / 2)


def test_it_shows_picture_and_words_without_a_kernel():
    bowl = BowlExplorer(lr=2.1, kappa=5.0)
    assert_stored(bowl, "bowl_explorer")
    assert bowl.state() == {"lr": 2.1, "kappa": 5.0, "data": bowl.data}


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"lr": 2.5}, r"lr must lie in 0\.1\.\.2.4; got lr = 2.5"),
        ({"lr": float("nan")}, "lr must lie in"),
        ({"kappa": 0.5}, r"kappa must lie in 1\.\.50; got kappa = 0.5"),
        ({"steps": 0}, "steps must be a whole number, 1 or more; got steps = 0"),
    ],
    ids=str,
)
def test_it_refuses_what_it_can_t_show(arguments, message):
    with pytest.raises(ValueError, match=message):
        BowlExplorer(**arguments)
    if "steps" not in arguments:
        with pytest.raises(ValueError, match=message):
            BowlExplorer().set_trait(*arguments.popitem())
