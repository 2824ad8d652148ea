"""Which digit comes next: what each would change, against losses with the digit put there."""

import numpy as np
import pytest
import torch
from browser import needs_browser
from explorables import assert_stored, next_digit_marks, page
from moving import off_the_picture, root, shown, twin_at
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

import landscape_nb as ln
from landscape_nb.widgets import NextDigit

n, k, D = 70, 30, 3
ENTROPY = torch.nn.CrossEntropyLoss(reduction="none")
MODEL = ln.models.MLP([64, 5, 10], generator=torch.Generator().manual_seed(0))


def loss_of(order):
    """The same network and digits, in another order."""
    inputs, labels = ln.data.digits(n, seed=0)
    return ln.EmpiricalLoss(MODEL, ENTROPY, inputs[order], labels[order], l2=1e-2)


@pytest.fixture(scope="module")
def solved():
    loss = loss_of(list(range(n)))
    w = ln.fit(loss, k, tol=1e-3).w
    return loss, w, ln.top_eigenpairs(loss, w, k, D).vectors


@pytest.fixture(scope="module")
def explorer(solved):
    loss, w, U = solved
    return NextDigit(loss, w, k, U)


def extremes(solved):
    """The ten samples, easiest first: an independent sort."""
    loss, w, _ = solved
    unseen = sorted(range(k, n), key=lambda i: float(loss.per_sample(w, range(i, i + 1))))
    return [*unseen[:5], *unseen[-5:]]


def joined(i):
    """The loss with sample i as the next one."""
    return loss_of([*range(k), i, *(j for j in range(k, n) if j != i)])


@pytest.mark.parametrize("digit", range(10))
def test_everything_about_a_digit_is_what_happens_when_it_joins(digit, solved, explorer):
    loss, w, U = solved
    i = extremes(solved)[digit]
    explorer.digit, explorer.D, explorer.sigma = digit, 2, 0.3
    found, other = explorer.numbers(), joined(i)
    change = float(other.value(w, k + 1) - other.value(w, k))
    assert found["increment"] == pytest.approx(change, rel=1e-5, abs=1e-10)
    bare = other.without_l2()
    steps = explorer.data["steps"]
    for j in (0, 13, 20, 40):
        there = w + steps[j] * U[:, 0]
        assert found["after"][j] == pytest.approx(float(bare.value(there, k + 1)), rel=1e-5)
        assert explorer.data["before"][j] == pytest.approx(float(bare.value(there, k)), rel=1e-5)
    moment = ln.gaussian_moment(ln.increment_model(other, w, U[:, :2], k), 0.3)
    for part in ("value", "cross", "gradient", "curvature"):
        true = float(getattr(moment, part))
        assert found["parts"][part] == pytest.approx(true, rel=1e-5, abs=1e-12), part
        assert found["shares"][part] == pytest.approx(true / float(moment.total), abs=1e-5)
    one = explorer.data["digits"][digit]
    chances = loss.outputs(w, range(i, i + 1)).softmax(1)[0]
    assert one["label"] == int(loss.targets[i]) and one["taken"] == int(chances.argmax())
    assert one["p"] == pytest.approx(float(chances.max()), rel=1e-5)
    assert one["image"] == (16 * loss.inputs[i]).long().tolist()


def test_where_a_digit_stands_among_all_unseen_ones(solved, explorer):
    loss, w, _ = solved
    increments = ln.increment(loss.per_sample(w)[k:], loss.per_sample(w)[:k].mean(), k)
    shares = (increments**2 / (increments**2).sum()).tolist()
    assert explorer.data["losses"] == sorted(explorer.data["losses"])
    for digit, i in enumerate(extremes(solved)):
        explorer.digit = digit
        rank = explorer.data["digits"][digit]["rank"]
        assert rank == (digit + 1 if digit < 5 else n - k - 9 + digit)
        assert explorer.data["losses"][rank - 1] == pytest.approx(
            float(loss.per_sample(w)[i]), 1e-5
        )
        assert explorer.numbers()["carried"] == pytest.approx(shares[i - k], rel=1e-3)


def test_the_words(explorer):
    explorer.digit, explorer.D, explorer.sigma = 9, 3, 1e-3
    one, found = explorer.data["digits"][9], explorer.numbers()
    words = explorer.sentence()
    article = "An" if one["label"] == 8 else "A"
    assert words.startswith(f"{article} {one['label']}, taken for a")
    assert f"loss {found['loss']:.2g}: number 40 of 40 unseen, easiest first." in words
    assert f"/ {k + 1} = {found['increment']:.2g}. It carries" in words
    assert f"As sample {k + 1} it moves the mean loss at the solution from" in words
    assert "A random step of 1.0e-03 in each of 3 directions sees" in words
    assert "value 100.0 %, cross 0.0 %" in words
    explorer.digit = 0
    assert ", recognised (probability " in explorer.sentence()


def test_a_network_that_is_wrong_about_nothing_has_no_criterion(solved):
    """All losses alike: no increment, and shares of nothing."""
    loss = loss_of(list(range(n)))
    still = NextDigit(loss, torch.zeros(loss.num_params, dtype=torch.float64), k, solved[2])
    alike = {
        **still.data,
        "squares": 1.0,
        "digits": [{**still.data["digits"][0], "c": [0.0] * D, "B": [[0.0] * D] * D}] * 10,
        "before": still.data["digits"][0]["slice"],
    }
    still.set_trait("data", alike)
    assert still.numbers()["total"] == 0
    assert set(still.numbers()["shares"].values()) == {0.0}


def regression():
    model = torch.nn.Linear(3, 1).double()
    x = torch.randn(n, 3, dtype=torch.float64)
    return ln.EmpiricalLoss(model, lambda out, t: (out - t).square().sum(1), x, x[:, :1])


def bright():
    inputs, labels = ln.data.digits(n, seed=0)
    return ln.EmpiricalLoss(MODEL, ENTROPY, 16 * inputs, labels, l2=1e-2)


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"loss": regression}, "must be 8 x 8 images, 64 numbers each; got .70, 3."),
        ({"loss": bright}, "between 0 .paper. and 1 .ink.; got numbers from 0 to 16"),
        ({"k": n - 9}, f"k must be between 1 and {n - 10} .10 digits must be unseen."),
        ({"digit": 10}, r"digit must lie in 0..9; got digit = 10"),
        ({"sigma": 2.0}, r"sigma must lie in 0.0001..1; got sigma = 2"),
        ({"U": torch.ones(3, 2).double()}, "U must"),
    ],
    ids=["no images", "16 greys", "few unseen", "digit 10", "sigma 2", "U of another size"],
)
def test_refusals(changes, sentence, solved):
    loss, w, U = solved
    if "loss" in changes:
        loss = changes["loss"]()
    settings = {name: changes[name] for name in ("digit", "sigma") if name in changes}
    with pytest.raises(ValueError, match=sentence):
        NextDigit(loss, w, changes.get("k", k), changes.get("U", U), **settings)


def test_D_is_bounded_by_the_directions_given(explorer):
    with pytest.raises(ValueError, match=r"D must lie in 1..3; got D = 4"):
        explorer.D = 4


def test_what_is_stored_shows_and_says_the_state(explorer):
    assert_stored(explorer, "next_digit")
    assert explorer.state()["digit"] == explorer.digit


# -- in a browser ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def opened(browser, tmp_path_factory, solved):
    loss, w, U = solved
    path = tmp_path_factory.mktemp("page") / "page.html"
    two = {"next": NextDigit(loss, w, k, U), "other": NextDigit(loss, w, k, U, digit=3)}
    browser.get(page(two, path).as_uri())
    return browser


def radio(driver, digit):
    found = root(driver, "next").find_element(
        By.CSS_SELECTOR, f".ln-digit[data-digit='{digit}'] input"
    )
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", found)
    return found


@needs_browser
def test_a_digit_is_chosen_by_click_and_by_arrow_keys(opened, solved):
    loss, w, U = solved
    twin = NextDigit(loss, w, k, U)
    radio(opened, 5).click()
    for key, digit in ((None, 5), (Keys.ARROW_RIGHT, 6), (Keys.ARROW_LEFT * 2, 4)):
        if key:
            opened.switch_to.active_element.send_keys(key)
        state, words = shown(opened, "next")
        assert state["digit"] == digit and words == twin_at(twin, state).sentence()
        assert radio(opened, digit).is_selected()
    other = root(opened, "other").find_elements(By.CSS_SELECTOR, ".ln-digit input")
    assert [one.is_selected() for one in other] == [i == 3 for i in range(10)]  # its own group


@needs_browser
def test_each_digit_has_a_name_its_pixels_and_room_for_a_finger(opened, explorer):
    for digit, one in enumerate(explorer.data["digits"]):
        loss = one["slice"][20]
        label, taken = (f"an {d}" if d == 8 else f"a {d}" for d in (one["label"], one["taken"]))
        seen = "recognised" if taken == label else f"taken for {taken}"
        name = f"{label}, {seen}, loss {loss:.2g}"
        found = radio(opened, digit)
        assert found.accessible_name == name and found.aria_role == "radio"
        assert min(found.rect["width"], found.rect["height"]) >= 44
        pixels = opened.execute_script(
            """const canvas = arguments[0].parentElement.querySelector('canvas');
            return [...canvas.getContext('2d').getImageData(0, 0, 8, 8).data];""",
            found,
        )
        ink = 16 - np.array(pixels).reshape(64, 4)[:, 0] * 16 / 255
        assert ink.round().tolist() == one["image"]


@needs_browser
def test_label_answer_and_loss_stand_in_words_under_each_digit(opened, explorer):
    for digit, one in enumerate(explorer.data["digits"]):
        told = radio(opened, digit).find_element(By.XPATH, "..").text.split("\n")
        assert told == [f"label {one['label']}", f"says {one['taken']}", f"{one['slice'][20]:.2g}"]


@needs_browser
def test_the_digits_come_before_the_words_and_the_probe(opened):
    parts = root(opened, "next").find_elements(
        By.CSS_SELECTOR, "fieldset, .ln-words, .ln-plot, input[type=range]"
    )
    kinds = [part.tag_name for part in parts]
    assert kinds == ["fieldset", "p", "svg", "svg", "svg", "input", "input"]


@needs_browser
@pytest.mark.parametrize("digit", [0, 9])
def test_marks_follow_the_digit(digit, opened, solved):
    loss, w, U = solved
    radio(opened, digit).click()
    state, _ = shown(opened, "next")
    expected = next_digit_marks(twin_at(NextDigit(loss, w, k, U), state))
    drawn = off_the_picture(opened, "next")
    for mark in ("after", "increment", "drop"):
        places, at = drawn[mark]
        np.testing.assert_allclose(places, at(*expected[mark]), atol=0.05, err_msg=mark)
