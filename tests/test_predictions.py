"""Predictions: what can be committed, what is kept, and what waits for it."""

import json
import os
import subprocess
import sys

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from landscape_nb import course
from landscape_nb.course import predictions, reveals
from landscape_nb.course.kept_predictions import FILE, keep_predictions, read_predictions
from landscape_nb.figures import plots

X = [10, 100, 1000]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where a learner works: nothing is kept yet, and nothing is shown without a guess."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(predictions.REVEAL, raising=False)
    monkeypatch.setattr(predictions, "display", lambda _: None)
    monkeypatch.setattr(reveals, "display", lambda _: None)
    return tmp_path


@pytest.fixture
def shown(monkeypatch):
    """The sentences under the pictures that are drawn."""
    sentences = []
    monkeypatch.setattr(plots, "show", lambda figure, sentence, lead: sentences.append(sentence))
    return sentences


def ask(kind, key="04.it"):
    """A prediction of each kind, with a guess that it takes."""
    if kind == "number":
        return course.predict_number(key, "How many?", unit="nats")
    if kind == "choice":
        return course.predict_choice(key, "Which?", [True, False])
    return course.predict_curve(key, "How does it fall?", X, (1e-3, 10), "k")


GUESSES = {
    "number": (3, 3.0),
    "choice": (1, False),
    "curve": ([1.0, 0.1, 0.05], {10.0: 1.0, 100.0: 0.1, 1000.0: 0.05}),
}


@pytest.mark.parametrize("kind", GUESSES)
def test_a_guess_is_committed_once_and_for_all(kind, folder):
    guess, (sent, value) = ask(kind), GUESSES[kind]
    assert guess.value is None and not (folder / FILE).exists()
    guess.commit(sent)
    assert guess.value == value
    with pytest.raises(ValueError, match="04.it is committed and stays as it is"):
        guess.commit({"number": 4, "choice": 0, "curve": [1.0, 1.0, 1.0]}[kind])
    assert guess.value == value
    guess.commit(sent)  # pressing twice is no harm


@pytest.mark.parametrize("kind", GUESSES)
def test_a_guess_outlasts_its_kernel(kind, folder):
    ask(kind).commit(GUESSES[kind][0])
    assert ask(kind).value == GUESSES[kind][1]
    assert ask(kind, "04.other").value is None


@pytest.mark.parametrize(
    ("kind", "guess", "says"),
    [
        ("number", None, "must be a number, such as 0.1; got None"),
        ("number", "3", "must be a number, such as 0.1; got '3'"),
        ("number", True, "must be a number, such as 0.1; got True"),
        ("number", [3.0, 4.0], "must be a number, such as 0.1"),
        ("number", float("nan"), "must be a finite number; got nan"),
        ("number", float("inf"), "must be a finite number; got inf"),
        ("number", 1e101, "must be a finite number"),
        ("number", 10**400, "must be a finite number"),
        ("choice", 2, "position of one of ['True', 'False'], 0 to 1; got 2"),
        ("choice", -1, "0 to 1; got -1"),
        ("choice", "True", "0 to 1; got 'True'"),
        ("curve", [1.0, 0.1], "a height for each of [10.0, 100.0, 1000.0]"),
        ("curve", 3.0, "a height for each of"),
        ("curve", [1.0, 0.1, 0.0], "must be positive"),
        ("curve", [1.0, 0.1, "x"], "must be a number"),
    ],
)
def test_what_is_no_guess_is_refused_and_commits_nothing(kind, guess, says, folder):
    prediction = ask(kind)
    with pytest.raises(ValueError) as caught:
        prediction.commit(guess)
    assert says in str(caught.value)
    assert prediction.value is None and not (folder / FILE).exists()


def test_a_page_is_told_what_holds_where_it_is_refused(folder):
    prediction, sent = ask("number"), []
    prediction.send_state = sent.append
    with pytest.raises(ValueError, match="must be a number"):
        prediction.set_state({"committed": "many"})
    assert sent[-1] == "committed"


@pytest.mark.parametrize(
    ("second", "says"), [(4, "04.it is committed and stays as it is"), (None, "must be a number")]
)
def test_a_page_cannot_take_a_guess_back(second, says, folder):
    prediction = ask("number")
    prediction.set_state({"committed": 3})
    with pytest.raises(ValueError, match=says):
        prediction.set_state({"committed": second})
    assert prediction.value == 3.0 and read_predictions(folder) == {"04.it": 3.0}


@pytest.mark.parametrize("kind", GUESSES)
def test_the_first_of_two_kernels_counts(kind, folder, monkeypatch):
    second = ask(kind)
    monkeypatch.setattr(predictions, "_asked", set())  # another kernel knows nothing of it
    ask(kind).commit(GUESSES[kind][0])
    before = read_predictions(folder)
    second.set_state({"committed": {"number": 4, "choice": 0, "curve": [1.0, 1.0, 1.0]}[kind]})
    assert second.value == GUESSES[kind][1] and read_predictions(folder) == before
    assert second.trouble == "This was committed before, in another window, and stays as it is."


def test_a_cell_that_was_run_twice_asks_one_question(folder, shown):
    first = ask("number")
    course.reveal_number("It", first, 3.0)
    ask("number", "04.other"), ask("number").commit(4)
    assert first.value == 4.0 and shown[0].startswith("It: you guessed 4, measured is 3.")
    assert ask("number", "04.other").value is None
    (folder / FILE).unlink()  # as TEACHING.md says, to begin anew
    again = ask("number")
    again.commit(5)
    assert (first.value, again.value) == (4.0, 5.0)


def test_two_reveals_of_one_guess_are_both_shown_though_the_first_fails(folder, shown):
    code = [
        "from landscape_nb.course import predict_number, reveal_number",
        "it_guess = predict_number('04.it', 'How many?')",
        "reveal_number('It', it_guess, 3.0, show=lambda: 1 / 0)",
        "reveal_number('Again', it_guess, 3.0)",
        "it_guess.set_state({'committed': 4})",
    ]
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in code])
    NotebookClient(
        notebook, kernel_name="python3", timeout=120, resources={"metadata": {"path": str(folder)}}
    ).execute()
    told = json.dumps(nbformat.from_dict(notebook.metadata.widgets))
    assert "It: you guessed 4" in told and "ZeroDivisionError" in told
    assert "Again: you guessed 4" in told


@pytest.mark.parametrize("truths", [[], float("nan"), [1.0, float("inf")]], ids=str)
def test_what_was_found_must_be_numbers_and_is_asked_for_at_once(truths, folder):
    with pytest.raises(ValueError, match="It needs one finite number or more; got"):
        course.reveal_number("It", ask("number"), truths)


@pytest.mark.parametrize(
    "runs", [[[1.0, 0.1]], [[1.0, 0.1, 0.0]], [[1.0, 0.1, float("nan")]]], ids=str
)
def test_a_measured_curve_must_be_positive_above_each_x(runs, folder):
    with pytest.raises(ValueError, match="T needs a finite, positive number above each of 3 x"):
        course.reveal_curve("T", ask("curve"), X, runs, xlabel="k")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: course.predict_number("slope", "?"), "key is like '04.slope'; got 'slope'"),
        (lambda: course.predict_number("04.a", " "), "04.a needs a question"),
        (lambda: course.predict_choice("04.a", "?", ["one"]), "two options or more"),
        (lambda: course.predict_choice("04.a", "?", [1, "1"]), "all different; got ['1', '1']"),
        (lambda: course.predict_curve("04.a", "?", [10], (1, 2), "k"), "x must be two numbers"),
        (lambda: course.predict_curve("04.a", "?", [10, 5], (1, 2), "k"), "ascending"),
        (lambda: course.predict_curve("04.a", "?", [1, 5], (0, 2), "k"), "heights must be two"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused(make, says, folder):
    with pytest.raises(ValueError) as caught:
        make()
    assert says in str(caught.value)


# ---- what waits for it -------------------------------------------------------------------------


def test_nothing_is_shown_before_the_guess_and_all_of_it_after(folder, shown):
    guess, more = ask("number"), []
    course.reveal_number("It", guess, 3.0, show=lambda: more.append("more"))
    assert shown == [] and more == []
    guess.commit(4)
    assert shown == ["It: you guessed 4, measured is 3. Your guess is too high by 1."]
    assert more == ["more"]
    course.reveal_number("It", guess, 3.0, show=lambda: more.append("more"))
    assert len(shown) == 2 and more == ["more", "more"]


def test_who_commits_late_sees_what_the_cell_saw(folder, shown):
    """A notebook's cells share their variables, and a later cell may reuse a name."""
    space = {"course": course, "guess": ask("number"), "told": []}
    late = "lambda: told.append((size, doubled(3, more=1)))"
    cells = [
        "size = 2\ndef doubled(by=1, *, more=0):\n    return 2 * size * by + more",
        f"course.reveal_number('It', guess, 3.0, show={late})",
        "size = 'many'\ndel doubled",
    ]
    for cell in cells:
        exec(cell, space)
    space["guess"].commit(3)
    assert space["told"] == [(2, 13)]


@pytest.mark.parametrize(
    ("guess", "truths", "says"),
    [
        (-2.0, [-2.9, -2.8, -3.0], "you guessed -2 nats, measured is -2.9 nats (-3 to -2.8 over 3"),
        (-2.0, [-2.9, -2.8, -3.0], "too high by 0.9"),
        (10, 780.0, "78 times too small"),
        (0.5, [0.4, 0.6], "a hit"),
        (0.0, 0.0, "a hit"),
        (5, 5.05, "a hit"),
    ],
)
def test_a_guessed_number_is_compared(folder, shown, guess, truths, says):
    prediction = ask("number")
    prediction.commit(guess)
    course.reveal_number("The slope", prediction, truths, unit="nats")
    assert says in shown[0]


def test_a_guessed_choice_is_compared(folder, shown):
    prediction = ask("choice")
    prediction.commit(0)
    course.reveal_choice("Is it?", prediction, False)
    course.reveal_choice("Is it?", prediction, np.bool_(True))
    assert shown == [
        "Is it? Found: False. You predicted “True”.",
        "Is it? Found: True. You predicted it.",
    ]
    with pytest.raises(ValueError, match="must be one of .*got 'maybe'"):
        course.reveal_choice("Is it?", prediction, "maybe")


def test_a_guessed_curve_is_compared_where_it_is_farthest_off(folder, shown):
    prediction = ask("curve")
    prediction.commit([1.0, 0.1, 0.01])
    course.reveal_curve("T", prediction, X, [[1.0, 0.1, 0.05]], xlabel="k")
    assert "farthest off at 1000, 5 times too low" in shown[0]
    course.reveal_curve("T", prediction, X, [[1.0, 0.1, 0.01]], xlabel="k")
    assert "It lies on the measured curve." in shown[1]


def test_a_reveal_takes_its_own_kind_of_prediction_only(folder):
    with pytest.raises(ValueError, match="reveal_number takes what predict_number returned; got 3"):
        course.reveal_number("It", 3, 3.0)
    with pytest.raises(ValueError, match="reveal_choice takes what predict_choice returned"):
        course.reveal_choice("It?", ask("number"), True)


@pytest.mark.parametrize("kind", GUESSES)
def test_where_notebooks_are_built_all_is_shown_and_nobody_has_guessed(
    kind, folder, shown, monkeypatch
):
    ask(kind).commit(GUESSES[kind][0])  # kept here by somebody who works in this folder
    monkeypatch.setenv(predictions.REVEAL, "1")
    prediction = ask(kind)
    assert prediction.value is None
    {
        "number": lambda: course.reveal_number("It", prediction, 3.0),
        "choice": lambda: course.reveal_choice("Is it?", prediction, True),
        "curve": lambda: course.reveal_curve("T", prediction, X, [[1, 0.1, 0.05]], xlabel="k"),
    }[kind]()
    assert len(shown) == 1 and "guess" not in shown[0]


def test_running_a_whole_notebook_commits_nothing_and_shows_nothing(folder):
    cells = [
        "from landscape_nb.course import predict_number, reveal_number",
        "it_guess = predict_number('04.it', 'How many?')",
        "reveal_number('It', it_guess, 4.25, show=lambda: print('forty-two'))",
        "print(it_guess.value)",
    ]
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    path = str(folder)
    NotebookClient(
        notebook, kernel_name="python3", timeout=120, resources={"metadata": {"path": path}}
    ).execute()
    asked, told, value = (cell.outputs for cell in notebook.cells[1:])
    assert asked[0].data["text/plain"] == "Predict. How many? To answer, run this cell."
    assert "4.25" not in json.dumps(told) and "forty" not in json.dumps(told)
    assert "Commit your prediction" in json.dumps(nbformat.from_dict(notebook.metadata.widgets))
    assert value[0].text == "None\n" and not (folder / FILE).exists()


# ---- the file ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[1]", b"\xff", b"[" * 100_000],
    ids=["empty", "cut", "list", "bytes", "deep"],
)
def test_a_damaged_file_stops_nobody_and_is_kept_aside(content, folder):
    (folder / FILE).write_bytes(content)
    assert read_predictions(folder) == {}
    ask("number").commit(3)
    assert read_predictions(folder) == {"04.it": 3.0}
    aside = [path.read_bytes() for path in folder.glob("my_predictions_unreadable*")]
    assert aside == ([content] if content else [])


KEPT = {"number": 3.0, "choice": "False", "curve": {"10.0": 1.0, "100.0": 0.1, "1000.0": 0.05}}


@pytest.mark.parametrize("kind", GUESSES)
def test_what_is_kept_can_be_read_and_does_not_depend_on_the_order(kind, folder):
    ask(kind).commit(GUESSES[kind][0])
    assert read_predictions(folder) == {"04.it": KEPT[kind]}
    keep_predictions(folder, {"04.other": 1})  # written once more, its keys as words
    assert ask(kind).value == GUESSES[kind][1]
    assert course.predict_choice("04.it", "Which?", [False, None]).value in (None, False)


@pytest.mark.parametrize(
    ("kind", "kept"),
    [
        ("number", "never"),
        ("number", 10**400),
        ("number", None),
        ("choice", "perhaps"),
        ("choice", 7),
        ("choice", ["True"]),
        ("curve", {"10.0": 1.0, "100.0": 0.1, "2000.0": 0.05}),
        ("curve", {"10.0": 1.0, "100.0": 0.1, "1000.0": "low"}),
        ("curve", [1.0, 0.1, 0.05]),
        ("curve", "low"),
    ],
)
def test_what_is_kept_but_answers_another_question_is_asked_again(kind, kept, folder):
    keep_predictions(folder, {"04.it": kept})
    prediction = ask(kind)
    assert prediction.value is None
    prediction.commit(GUESSES[kind][0])
    assert read_predictions(folder) == {"04.it": KEPT[kind]}


def no_file(path):
    path.mkdir()


def a_pipe(path):
    os.mkfifo(path)


def a_link_into_no_folder(path):
    path.symlink_to("elsewhere/mine.json")


@pytest.mark.parametrize("make", [no_file, a_pipe, a_link_into_no_folder])
def test_where_nothing_can_be_written_the_guess_counts_and_the_page_says_so(make, folder):
    make(folder / FILE)
    prediction = ask("number")
    prediction.commit(3)
    assert prediction.value == 3.0
    assert prediction.trouble.startswith("It could not be kept for the next session (")


def test_behind_a_link_the_file_itself_is_written(folder):
    (folder / FILE).symlink_to("mine.json")
    ask("number").commit(3)
    assert (folder / FILE).is_symlink()
    assert json.loads((folder / "mine.json").read_text()) == {"04.it": 3.0}


def test_kernels_that_commit_at_once_lose_nothing(folder):
    program = (
        "import sys; from pathlib import Path\n"
        "from landscape_nb.course.kept_predictions import keep_predictions\n"
        "Path(sys.argv[1]).touch()\n"
        "while not (Path('a').exists() and Path('b').exists()): pass\n"
        "for i in range(50): keep_predictions(Path(), {f'04.{sys.argv[1]}-{i}': i})"
    )
    kernels = [subprocess.Popen([sys.executable, "-c", program, name]) for name in "ab"]
    assert [kernel.wait(60) for kernel in kernels] == [0, 0]
    assert len(read_predictions(folder)) == 100
