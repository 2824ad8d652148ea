"""The map of the course, what a learner has done, and quick questions.

Oracles: the sources of the notebooks and TEACHING.md, which are written by hand.
"""

import json
import re

import build
import forms
import pytest
import signposts
from browser import needs_browser
from explorables import assert_stored, draw

from landscape_nb.course import CourseMap, check, progress, quiz
from landscape_nb.course.contents import arrows, notebooks, way_to
from landscape_nb.course.predictions import REVEAL
from landscape_nb.course.quick_questions import Option, Question, Quiz, find_question, questions

TEACHING = (build.NOTEBOOKS / "TEACHING.md").read_text("utf-8")


def test_the_contents_are_the_notebooks():
    sources = {path.stem: build.read_source(path) for path in build.source_paths()}
    assert [one.file for one in notebooks()] == list(sources)
    for one in notebooks():
        assert forms.title(sources[one.file]) == f"{one.number} {one.title}"
        assert all(need < one.number for need in (*one.needs, *one.helps))
    assert len({one.place for one in notebooks()}) == len(notebooks())


def test_arrows_and_ways_are_those_of_the_prerequisites():
    needed = {(a, b) for a, b, solid in arrows() if solid}
    for one in notebooks():
        ahead, reached = [one.number], set()
        while ahead:  # back along the arrows alone
            here = ahead.pop()
            reached.add(here)
            ahead += [a for a, b in needed if b == here]
        assert sorted(reached) == way_to(one.number)


def test_texts_and_tables_are_up_to_date():
    assert build.stale_texts() == []


def test_a_table_that_was_changed_by_hand_is_put_right():
    wrong = TEACHING.replace("| 45 | 60 |", "| 46 | 60 |")
    assert wrong != TEACHING and signposts.with_tables(wrong) == TEACHING


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A learner's folder with the course in it."""
    monkeypatch.delenv(REVEAL, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "glossary.ipynb").write_text("{}")
    return tmp_path


def test_a_passed_check_is_kept_and_ticks_its_notebook(here, capsys):
    check("00.3", lambda: False)
    assert json.loads((here / progress.PROGRESS).read_text()) == {"passed": ["00.3"]}
    assert CourseMap().done == {"00": "begun"}
    for exercise in ("00.1", "00.2", "00.3"):
        progress.record_passed(exercise)
    assert CourseMap().done == {"00": "done"}


def test_a_committed_prediction_begins_its_notebook(here):
    (here / "my_predictions.json").write_text('{"04.T": [1, 2]}')
    assert progress.done() == {"04": "begun"}


@pytest.mark.parametrize(
    "content", ["", "[", "[]", '{"passed": 3}', '{"passed": [3, "00.9"]}', "\0"]
)
def test_a_damaged_file_stops_nobody(content, here):
    (here / progress.PROGRESS).write_text(content)
    assert progress.done() in ({}, {"00": "begun"})
    check("00.3", lambda: False)
    assert "00.3" in json.loads((here / progress.PROGRESS).read_text())["passed"]


def test_nothing_is_kept_where_assignments_are_marked_or_notebooks_built(here, monkeypatch):
    monkeypatch.setenv(REVEAL, "1")
    progress.record_passed("00.3")
    monkeypatch.delenv(REVEAL)
    (here / "glossary.ipynb").unlink()
    progress.record_passed("00.3")
    assert list(here.iterdir()) == []


def test_the_map_is_stored_with_words_and_state():
    data = assert_stored(CourseMap("05", {"00": "done"}), "course_map")
    assert "00, 01, 04, 05, 155 minutes, of which 135 are left" in data["text/plain"]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"chosen": "11"}, r"chosen must name a notebook of the course, 00 to 10; got '11'\."),
        ({"done": {"00": "yes"}}, r"done\['00'\] must be one of .*; got 'yes'\."),
    ],
    ids=["number", "state"],
)
def test_what_there_is_not_is_refused(settings, told):
    with pytest.raises(ValueError, match=told):
        CourseMap(**settings)


@needs_browser
def test_keys_choose_a_notebook_and_the_link_follows(browser, tmp_path):
    from selenium.webdriver.common.keys import Keys

    address = "return document.querySelector('.ln-open').getAttribute('href')"
    assert draw(CourseMap("00", {}), browser, tmp_path, address) == "00_start_here.ipynb"
    browser.find_element("css selector", ".ln-book input:checked").send_keys(Keys.ARROW_RIGHT)
    browser.execute_async_script("requestAnimationFrame(() => arguments[0]())")
    assert browser.execute_script(address) == "01_quadratic_toy.ipynb"


# ---- quick questions -------------------------------------------------------------------------


@pytest.mark.parametrize("one", questions(), ids=lambda one: one.key)
def test_a_question_belongs_to_a_misconception_and_gives_nothing_away(one):
    assert f'| "{one.misconception}" |' in TEACHING
    assert re.fullmatch(r"\d\d\.\w+", one.key) and one.key[:2] in {n.number for n in notebooks()}
    shown = Quiz(one)
    stored, metadata = shown._repr_mimebundle_()
    sent = json.dumps([shown.get_state(), stored, metadata.get("quiz")], default=str)
    for option in one.options:
        assert option.says in stored["text/plain"] and option.told not in sent
    assert "right" not in shown.get_state()


def test_right_options_have_no_favourite_place():
    places = [[option.right for option in one.options].index(True) for one in questions()]
    assert 10 <= len(places) <= 14 and max(map(places.count, places)) <= len(places) / 2


def test_a_checked_option_is_answered_by_the_kernel():
    shown, sent = Quiz(find_question("02.step")), []
    shown.send = sent.append
    shown._hear(shown, {"check": 0}, [])
    shown._hear(shown, {"check": 2}, [])
    shown._hear(shown, {"check": 7}, [])
    assert [answer["right"] for answer in sent] == [False, True]
    assert sent[0]["words"].startswith("Not quite. ") and sent[1]["words"].startswith("Right. ")


def test_questions_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match=r"There is no question '01\.none'; there are 01\.arith"):
        quiz("01.none")
    two_right = Question("01.a", "", "Which?", (Option("a", "b", True), Option("c", "d", True)))
    with pytest.raises(ValueError, match=r"needs two options or more, one of them right; it has 2"):
        Quiz(two_right)
