"""Texts and their surprises, against the losses of the run and against a browser."""

import dataclasses

import numpy as np
import pytest
from browser import needs_browser
from explorables import assert_stored, page, reading, text_marks
from moving import off_the_picture, press, root, shown, twin_at
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from landscape_nb.widgets import TextExplorer

RUN = reading(0)
HELD_OUT = range(11, 20)


@pytest.fixture
def explorer():
    return TextExplorer(RUN)


def by_loss():
    """The held-out sequences, easiest at the end first: an independent sort."""
    loss = RUN.loss(HELD_OUT)
    losses = loss.per_sample(loss.w0).tolist()
    return [HELD_OUT[i] for i in sorted(range(9), key=losses.__getitem__)]


@pytest.mark.parametrize("stage", [0, 2, 3, 4])
@pytest.mark.parametrize("text, rank", [*enumerate([0, 1, 3, 4, 7, 8])])
def test_a_text_changes_the_mean_loss_as_if_it_had_joined(text, rank, stage, explorer):
    row, k = by_loss()[rank], RUN.consumed[stage]
    explorer.text, explorer.stage = text, stage
    with_it = RUN.loss([*range(k), row], checkpoint=stage)
    change = float(with_it.value(with_it.w0, k + 1) - with_it.value(with_it.w0, k))
    found = explorer.numbers()
    assert found["increment"] == pytest.approx(change, abs=3e-5)  # 6 digits of 40 nats
    own = RUN.loss([row], checkpoint=stage)
    assert found["loss"] == pytest.approx(float(own.value(own.w0, 1)), rel=1e-4)
    assert found["losses"][stage] == found["loss"]
    signs = "".join(RUN.vocabulary[token] for token in RUN.sequences[row].tolist())
    assert explorer.data["texts"][text]["signs"] == signs


@pytest.mark.parametrize("place", [1, 6, 12])
def test_what_was_expected_at_a_place(place, explorer):
    explorer.text, explorer.stage, explorer.place = 4, 4, place
    row = by_loss()[7]
    logits = RUN.model()(RUN.sequences[row : row + 1, :place])[0, -1].detach().double()
    chances = logits.softmax(0).numpy()
    best = np.argsort(-chances)[:3]
    found = explorer.numbers()
    assert found["expected"] == "".join(RUN.vocabulary[token] for token in best)
    np.testing.assert_allclose(found["chances"], chances[best], rtol=6e-3)  # 3 digits
    came = int(RUN.sequences[row, place])
    assert found["chance"] == pytest.approx(chances[came], rel=1e-2)
    assert found["surprise"] == pytest.approx(-np.log(chances[came]), rel=1e-3)


def test_the_first_place_is_the_most_surprising(explorer):
    surprises = explorer.numbers()["surprises"]
    assert (explorer.text, explorer.stage) == (2, 4)
    assert surprises[explorer.place - 1] == max(surprises)


def test_a_mean_of_many_is_taken_of_some_evenly_spread(monkeypatch):
    monkeypatch.setattr("landscape_nb.widgets.text_explorer.SPREAD", 4)
    loss = RUN.loss([0, 3, 6, 9])
    found = TextExplorer(RUN).data["stages"][4]["mean"]
    assert found == pytest.approx(float(loss.value(loss.w0, 4)), rel=1e-5)


def test_the_words(explorer):
    explorer.text, explorer.stage, explorer.place = 5, 0, 3
    words, found = explorer.sentence(), explorer.numbers()
    assert words.startswith("After 2 sequences, character 3: it expected ")
    assert "(9 %)" in words  # weights are zero: eleven characters alike
    assert f"a surprise of {np.log(11):.2f} nats. The mean over all 12 is" in words
    assert words.endswith(f"/ 3 = {found['increment']:.1e} nats.")
    explorer.stage = 4
    assert explorer.sentence().startswith("At the end of training, on 11 sequences, character 3")


@pytest.mark.parametrize(
    "sign, word",
    [(" ", "a space"), ("\n", "a new line"), ('"', '\u201c"\u201d'), ("E", "\u201cE\u201d")],
)
def test_names_of_characters(sign, word, explorer):
    data = explorer.data
    texts = [{**one, "signs": sign * 13} for one in data["texts"]]
    explorer.set_trait("data", {**data, "texts": texts})
    assert f". {word[0].upper()}{word[1:]} came, to which" in explorer.sentence()


def few_held_out():
    return dataclasses.replace(RUN, sequences=RUN.sequences[:16])


@pytest.mark.parametrize(
    "run, changes, sentence",
    [
        (few_held_out, {}, "At least 6 sequences must be held out; got 5 of 16. Train on fewer"),
        (lambda: RUN, {"text": 6}, r"text must lie in 0..5; got text = 6"),
        (lambda: RUN, {"stage": 5}, r"stage must lie in 0..4; got stage = 5"),
        (lambda: RUN, {"place": 0}, r"place must lie in 1..12; got place = 0"),
    ],
    ids=["few held out", "text 6", "stage 5", "place 0"],
)
def test_refusals(run, changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        explorer = TextExplorer(run())
        for name, value in changes.items():
            setattr(explorer, name, value)


def test_what_is_stored_shows_and_says_the_state(explorer):
    assert_stored(explorer, "text_explorer")


# -- in a browser ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def opened(browser, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    two = {"one": TextExplorer(RUN), "other": TextExplorer(RUN, text=4)}
    browser.get(page(two, path).as_uri())
    return browser


def radios(driver, kind, name="one"):
    return root(driver, name).find_elements(By.CSS_SELECTOR, f".ln-{kind} input")


def pick(driver, kind, number):
    found = radios(driver, kind)[number]
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", found)
    found.click()


@needs_browser
@pytest.mark.parametrize("kind, setting, first", [("text", "text", 0), ("sign", "place", 1)])
def test_a_text_and_a_character_are_chosen_by_click_and_by_arrow_keys(kind, setting, first, opened):
    pick(opened, kind, 3)
    for key, number in ((None, 3), (Keys.ARROW_RIGHT, 4), (Keys.ARROW_LEFT * 2, 2)):
        if key:
            opened.switch_to.active_element.send_keys(key)
        state, words = shown(opened, "one")
        assert state[setting] == number + first
        assert words == twin_at(TextExplorer(RUN), state).sentence()
        assert radios(opened, kind)[number].is_selected()
    chosen = [one.is_selected() for one in radios(opened, "text", "other")]
    assert chosen == [i == 4 for i in range(6)]  # its own group


@needs_browser
def test_each_character_tells_its_surprise_by_name_and_by_the_height_of_its_bar(opened, explorer):
    pick(opened, "text", 5)
    state, _ = shown(opened, "one")
    surprises = twin_at(explorer, state).numbers()["surprises"]
    heights = np.array(
        opened.execute_script(
            """return [...arguments[0].querySelectorAll('.ln-sign i')].map(
                (bar) => bar.getBoundingClientRect().height);""",
            root(opened, "one"),
        )
    )
    np.testing.assert_allclose(
        heights / heights.max(), np.array(surprises) / max(surprises), atol=0.02
    )
    signs = explorer.data["texts"][5]["signs"]
    names = {" ": "a space", "\n": "a new line"}
    for i, found in enumerate(radios(opened, "sign")):
        word = names.get(signs[i + 1], f"\u201c{signs[i + 1]}\u201d")
        assert found.accessible_name == f"{i + 1}, {word}: surprise {surprises[i]:.2f} nats"
    for kind, least in (("sign", 24), ("text", 44)):
        boxes = root(opened, "one").find_elements(By.CSS_SELECTOR, f".ln-{kind}s > label")
        assert min(min(box.rect["width"], box.rect["height"]) for box in boxes) >= least


@needs_browser
def test_marks_follow_the_text_and_the_stage(opened, explorer):
    for number in (0, 5):
        pick(opened, "text", number)
        press(opened, "one", "stage", Keys.HOME, Keys.ARROW_RIGHT)
        state, _ = shown(opened, "one")
        assert (state["text"], state["stage"]) == (number, 1)
        expected = text_marks(twin_at(explorer, state))
        drawn = off_the_picture(opened, "one")
        for mark in ("loss", "mean"):
            places, at = drawn[mark]
            np.testing.assert_allclose(places, at(*expected[mark]), atol=0.05, err_msg=mark)
