"""The explorer without a browser: what its sliders mean, and what it draws."""

import base64
import io

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba
from matplotlib.text import Text
from PIL import Image

from landscape_nb import IncrementModels, moment_table
from landscape_nb.figures import (
    BowlPicture,
    ExplorerPicture,
    StepPicture,
    new_figure,
    number_map,
)
from landscape_nb.theory.spectral_newton import spectral_newton_step
from landscape_nb.widgets import BowlExplorer, Explorer, StepExplorer


def table(seed, D=3, ks=(2, 4, 8)):
    g = torch.Generator().manual_seed(seed)
    groups = []
    for k in ks:
        a, c = torch.rand(5, generator=g), torch.randn(5, D, generator=g)
        B = torch.randn(5, D, D, generator=g)
        groups.append(IncrementModels([k] * 5, a, c, B + B.mT))
    return moment_table(groups)


@pytest.fixture
def tables():
    return {"top": table(0), "random": table(1)}, table(2, D=6).last()


def test_without_k_the_shares_are_averages_over_k(tables):
    probes, full = tables
    explorer = Explorer(probes, full, D=2, sigma=0.1)
    each = probes["top"].at(2, 0.1).total / full.at(1, 0.1).total
    assert explorer.k is None
    assert explorer.ratios("total")["top"] == pytest.approx(float(each.mean()))
    assert "averaged over k" in explorer.sentence()


@pytest.mark.parametrize("k", [2, 4, 8])
def test_the_slider_for_k_chooses_the_row(tables, k):
    probes, full = tables
    explorer = Explorer(probes, full, D=2, sigma=0.1, k=4)
    explorer.k.value = k
    row = [2, 4, 8].index(k)
    for part in ("total", "centred"):
        each = getattr(probes["random"].at(2, 0.1), part) / getattr(full.at(1, 0.1), part)
        assert explorer.ratios(part)["random"] == pytest.approx(float(each[row]))
    total = float(probes["top"].at(2, 0.1).total[row])
    assert f"At k = {k} the criterion is {total:.2e}" in explorer.sentence()
    assert "at this k" in explorer.sentence()


def test_every_slider_changes_picture_and_readout(tables):
    explorer = Explorer(*tables, D=2, sigma=0.1, k=4)
    for slider, value in ((explorer.D, 3), (explorer.sigma, 0.5), (explorer.k, 8)):
        picture, words = explorer.picture.value, explorer.readout.value
        slider.value = value
        assert explorer.picture.value != picture
        assert explorer.readout.value != words


def test_the_picture_marks_the_slider_s_k(tables):
    probes, full = tables
    drawing = ExplorerPicture(probes, full, (1e-4, 1.0), one_k=True)
    shares = [[0.5, 0.5]] * 2
    pictures = [drawing.png(probes["top"].at(2, 0.1), *shares, k) for k in (None, 2, 8)]
    assert len(set(pictures)) == 3


def test_a_k_that_is_not_in_the_tables_is_refused(tables):
    with pytest.raises(ValueError, match=r"one of the tables' ks, \[2, 4, 8\]; got k = 3"):
        Explorer(*tables, k=3)


def test_tables_on_other_ks_are_refused(tables):
    probes, _ = tables
    with pytest.raises(ValueError, match="same grid of k; 'top'"):
        Explorer(probes, table(2, ks=(2, 4)).last())


def test_number_map_writes_every_number_and_its_first_row_lowest():
    figure, ax = new_figure()
    Z = np.array([[1.0, 10.0, 100.0], [0.5, 5.0, 50.0]])
    number_map(ax, ["a", "b", "c"], ["low", "high"], Z, "{:g}")
    written = {t.get_position(): t.get_text() for t in ax.texts}
    assert written == {(j, i): f"{Z[i, j]:g}" for i in range(2) for j in range(3)}
    assert [t.get_text() for t in ax.get_yticklabels()] == ["low", "high"]
    assert ax.get_ylim()[0] < ax.get_ylim()[1]


@pytest.mark.parametrize("lr, kappa", [(0.1, 50.0), (1.0, 1.0), (1.75, 7.0), (2.4, 30.0)])
def test_the_bowl_s_path_is_that_of_explicit_steps(lr, kappa):
    bowl = BowlExplorer(lr=lr, kappa=kappa, steps=30)
    curvatures = np.array([1.0, 1.0 / bowl.kappa.value])
    assert bowl.kappa.value == pytest.approx(kappa)
    w, path = np.array(BowlExplorer.START), []
    for _ in range(31):
        path.append(w)
        w = w - lr * (curvatures * w)  # the gradient of (x^2 + y^2 / kappa) / 2
    np.testing.assert_allclose(bowl.path(), path, rtol=1e-9, atol=1e-12)


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
def test_the_bowl_says_what_the_steps_do(lr, verdict, factor):
    bowl = BowlExplorer(lr=lr, kappa=10.0)
    assert verdict in bowl.sentence()
    assert factor in bowl.sentence()
    assert f"{1 - lr / 10:.3f} in y" in bowl.sentence().replace("by ", "")
    assert bowl.sentence() in bowl.readout.value


def test_the_bowl_names_the_best_learning_rate():
    words = BowlExplorer(lr=1.0, kappa=9.0).sentence()
    assert "lr × λ max = 1.80, with factor 0.800" in words  # 2 / (1 + 1/9) and (9 - 1) / (9 + 1)


def test_both_sliders_of_the_bowl_change_picture_and_readout():
    bowl = BowlExplorer(lr=1.0, kappa=10.0)
    for slider, value in ((bowl.lr, 2.3), (bowl.kappa, 20.0)):
        picture, words = bowl.picture.value, bowl.readout.value
        slider.value = value
        assert bowl.picture.value != picture
        assert bowl.readout.value != words
    bowl.lr.value, bowl.kappa.value = 1.0, 10.0
    assert bowl.picture.value == BowlExplorer(lr=1.0, kappa=10.0).picture.value


@pytest.mark.parametrize("lr, kappa", [(2.4, 1.0), (1.0, 1.0)])
def test_the_bowl_s_picture_keeps_what_leaves_it_on_its_edge(lr, kappa):
    drawing = BowlPicture(steps=400)
    bowl = BowlExplorer(lr=lr, kappa=kappa, steps=400)  # 1.4^400, and a loss of exactly 0
    parts = bowl.path() ** 2 / 2
    drawing.png(kappa, bowl.path(), parts)
    low, high = BowlPicture.LOSSES
    np.testing.assert_array_equal(drawing.path.get_xdata(), bowl.path()[:, 0].clip(-1e3, 1e3))
    np.testing.assert_array_equal(drawing.path.get_ydata(), bowl.path()[:, 1].clip(-1e3, 1e3))
    drawn = np.array([line.get_ydata() for line in drawing.parts])
    assert ((drawn >= low) & (drawn <= high)).all()
    assert drawn[0, -1] == (high if lr > 2 else low)


def test_the_bowl_s_level_curves_are_level():
    drawing = BowlPicture(steps=1)
    drawing.png(9.0, np.ones((2, 2)), np.ones((2, 2)))
    for line, width in zip(drawing.levels, BowlPicture.WIDTHS, strict=True):
        x, y = line.get_data()
        np.testing.assert_allclose((x**2 + y**2 / 9) / 2, width**2 / 2)
    assert len({line.get_xdata().max() for line in drawing.levels}) == len(BowlPicture.WIDTHS)


def test_the_bowl_shows_picture_and_words_without_a_kernel():
    bowl = BowlExplorer(lr=2.1, kappa=5.0)
    data, metadata = bowl._repr_mimebundle_()
    assert base64.b64decode(data["image/png"]) == bowl.picture.value
    assert bowl.sentence() in data["text/plain"]
    assert metadata["image/png"]["alt"] == data["text/plain"]
    classes = [name for part in bowl.children for name in part._dom_classes]
    assert classes == ["ln-lr", "ln-kappa", "ln-readout", "ln-picture"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"lr": 2.5}, r"lr must lie in 0.1\.\.2.4; got lr = 2.5"),
        ({"lr": float("nan")}, "lr must lie in"),
        ({"kappa": 0.5}, r"kappa must lie in 1\.\.50; got kappa = 0.5"),
        ({"steps": 0}, "steps must be at least 1; got steps = 0"),
    ],
)
def test_the_bowl_refuses_what_it_can_t_show(arguments, message):
    with pytest.raises(ValueError, match=message):
        BowlExplorer(**arguments)


@pytest.mark.parametrize("alpha, damping", [(0.0, 1.0), (1.0, 1e-6), (1.5, 0.01), (2.0, 100.0)])
def test_the_step_explorer_s_curve_is_the_optimiser_s_step(alpha, damping):
    steps = StepExplorer(alpha=alpha, damping=damping)
    sigma = torch.tensor([3.0, 0.2, 1e-3], dtype=torch.float64)
    dW = spectral_newton_step(torch.diag(sigma), alpha, steps.damping.value)
    assert steps.damping.value == pytest.approx(damping)
    np.testing.assert_allclose(steps.step(sigma.numpy()), dW.diagonal(), rtol=1e-12)


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
def test_the_step_explorer_names_the_limit_it_is_near(alpha, damping, limit, power):
    steps = StepExplorer(alpha=alpha, damping=damping)
    assert limit in steps.sentence()
    assert steps.power() == pytest.approx(power, abs=0.01)
    large, small = (sigma / (sigma**alpha + damping) for sigma in (1.0, 0.01))
    assert f"(σ = 1) moves by {large:.3g}" in steps.sentence()
    assert f"(σ = 0.01) by {small:.3g}" in steps.sentence()
    assert f"the large one {large / small:.3g} times as far" in steps.sentence()
    assert steps.sentence() in steps.readout.value


def test_both_sliders_of_the_step_explorer_change_picture_and_readout():
    steps = StepExplorer(alpha=1.0, damping=0.1)
    for slider, value in ((steps.alpha, 1.8), (steps.damping, 1e-3)):
        picture, words = steps.picture.value, steps.readout.value
        slider.value = value
        assert steps.picture.value != picture
        assert steps.readout.value != words
    steps.alpha.value, steps.damping.value = 1.0, 0.1
    assert steps.picture.value == StepExplorer(alpha=1.0, damping=0.1).picture.value


def test_the_step_explorer_s_picture_keeps_what_leaves_it_on_its_edge():
    drawing, (low, high) = StepPicture(), StepPicture.STEPS
    drawing.png(np.array([0.1, 1.0, 10.0]), np.array([1e-9, 1.0, 1e9]), [(1.0, 1e9), (0.1, 1e-9)])
    np.testing.assert_array_equal(drawing.curve.get_ydata(), [low, 1.0, high])
    assert [line.get_ydata() for line in drawing.marks] == [[high], [low]]
    assert [line.get_xdata() for line in drawing.marks] == [[1.0], [0.1]]


def test_the_step_explorer_shows_picture_and_words_without_a_kernel():
    steps = StepExplorer()
    data, metadata = steps._repr_mimebundle_()
    assert base64.b64decode(data["image/png"]) == steps.picture.value
    assert steps.sentence() in data["text/plain"]
    assert metadata["image/png"]["alt"] == data["text/plain"]
    classes = [name for part in steps.children for name in part._dom_classes]
    assert classes == ["ln-alpha", "ln-damping", "ln-readout", "ln-picture"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"alpha": -0.1}, r"alpha must lie in 0\.\.2; got alpha = -0.1"),
        ({"alpha": 2.5}, r"alpha must lie in 0\.\.2; got alpha = 2.5"),
        ({"alpha": float("nan")}, "alpha must lie in"),
        ({"damping": 0.0}, r"damping must lie in 1e-06\.\.100; got damping = 0.0"),
        ({"damping": 1e3}, "damping must lie in"),
    ],
)
def test_the_step_explorer_refuses_what_it_can_t_show(arguments, message):
    with pytest.raises(ValueError, match=message):
        StepExplorer(**arguments)


def contrast_with_white(colour, alpha=None):
    """Contrast ratio of WCAG 2 between a colour, seen through its alpha, and white paper."""
    *rgb, opaque = to_rgba(colour, alpha)
    seen = [opaque * v + 1 - opaque for v in rgb]
    linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in seen]
    return 1.05 / (float(np.dot((0.2126, 0.7152, 0.0722), linear)) + 0.05)


def test_contrast_knows_black_and_a_well_known_grey():
    assert contrast_with_white("black") == pytest.approx(21)
    assert contrast_with_white("#767676") == pytest.approx(4.54, abs=0.01)
    assert contrast_with_white("black", 0.0) == pytest.approx(1)


@pytest.fixture(params=["explorer", "bowl", "step"])
def drawing(request, tables):
    if request.param == "explorer":
        return ExplorerPicture(*tables, (1e-4, 1.0), one_k=True)
    return BowlPicture(steps=3) if request.param == "bowl" else StepPicture()


def test_pictures_have_words_and_lines_dark_enough_for_white_paper(drawing):
    figure = drawing.fast.figure
    words = [text for text in figure.findobj(Text) if text.get_text()]
    lines = [line for ax in figure.axes for line in ax.lines]
    bars = [bar for ax in figure.axes for bar in ax.patches]
    assert words and lines
    for text in words:
        assert contrast_with_white(text.get_color(), text.get_alpha()) >= 4.5, text.get_text()
    for line in lines:
        assert contrast_with_white(line.get_color(), line.get_alpha()) >= 3, line.get_label()
    for bar in bars:  # a light bar has a dark edge
        inked = max(map(contrast_with_white, (bar.get_facecolor(), bar.get_edgecolor())))
        assert inked >= 3, bar


def test_widgets_show_pictures_with_paper_of_their_own(tables):
    for widget in (Explorer(*tables, D=2, sigma=0.1), BowlExplorer(), StepExplorer()):
        pixels = Image.open(io.BytesIO(widget.picture.value)).convert("RGBA")
        assert pixels.getpixel((0, 0)) == (255, 255, 255, 255)
        assert pixels.getextrema()[3] == (255, 255)


def test_the_number_on_a_bar_stands_clear_of_the_line_at_one(tables):
    probes, full = tables
    drawing = ExplorerPicture(probes, full, (1e-4, 1.0))
    for height in (0.5, 0.93, 0.97, 1.0, 1.1):
        drawing.png(probes["top"].at(2, 0.1), [height] * 2, [height] * 2)
        box = drawing.numbers[0].get_window_extent()
        ax = drawing.numbers[0].axes
        low, high = (ax.transData.inverted().transform((0, y))[1] for y in (box.y0, box.y1))
        assert low > min(height, 1) and not low < 1 < high
