"""One source, four forms: what each of them holds, and what none of them may hold."""

import re
from pathlib import Path

import build
import forms
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from nbgrader.preprocessors import ClearHiddenTests, ClearSolutions

ROOT = Path(__file__).resolve().parent.parent

TINY = '''# %% [markdown]
# # 01 Tiny
#
# A [link](02_next.ipynb) and more.

# %%
story = 1

# %% [markdown] tags=["exercises"]
# ## Exercises
#
# See [the solutions](solutions/01_tiny.ipynb).

# %%
import math

# %% [markdown]
# **1.** Halve, as in [02](02_next.ipynb).
#
# ![A line.](pictures/exercise-01-1.png)

# %% tags=["answer-1"]
def half(x):
    """Half of x."""
    if x == 0:
        ### BEGIN SOLUTION
        return 0
        ### END SOLUTION
    return x / 2

# %% tags=["check-1", "points-1"]
assert half(4) == 2

# %% tags=["hidden-1", "points-2"]
assert half(0) == 0

# %% [markdown] tags=["manual-2", "points-3"]
# ### BEGIN SOLUTION
# Because.
# ### END SOLUTION

# %% [markdown]
# ## After
'''


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "01_tiny.py"
    path.write_text(TINY)
    return build.read_source(path)


def by_role(notebook):
    return {forms.role(c)[0]: c.source for c in notebook.cells if forms.role(c)}


STUB = '''def half(x):
    """Half of x."""
    if x == 0:
        # YOUR CODE HERE
        raise NotImplementedError()
    return x / 2'''
CHECK = "assert half(4) == 2"
SOLVED = STUB.replace("# YOUR CODE HERE\n        raise NotImplementedError()", "return 0")


def test_story_has_stubs_and_no_hidden_tests(tiny):
    story = forms.story(tiny)
    assert by_role(story) == {
        "answer": STUB, "check": CHECK, "manual": "YOUR ANSWER HERE"
    }  # fmt: skip
    (check,) = [c for c in story.cells if "raises-exception" in c.metadata.get("tags", [])]
    assert forms.role(check) == ("check", "1")
    assert len(story.cells) == len(tiny.cells) - 1


def test_solutions_are_the_section_alone_with_hidden_tests(tiny):
    solved = forms.solutions(tiny, "01_tiny")
    cells = by_role(solved)
    assert (cells["answer"], cells["manual"]) == (SOLVED, "Because.")
    assert "assert half(0) == 0" in cells["hidden"]
    text = "\n".join(cell.source for cell in solved.cells)
    assert "story" not in text and "After" not in text and "See [" not in text
    assert "](../02_next.ipynb)" in text and "](../pictures/exercise-01-1.png)" in text


def test_assignment_has_points_marks_and_no_links(tiny):
    graded = forms.assignment(tiny, "01_tiny")
    data = {c.metadata.nbgrader.grade_id: c.metadata.nbgrader for c in graded.cells}
    assert len(data) == len(graded.cells)
    assert {id: cell.get("points") for id, cell in data.items() if cell.grade} == {
        "check-1": 1, "hidden-1": 2, "manual-2": 3
    }  # fmt: skip
    assert [id for id, cell in data.items() if cell.solution] == ["answer-1", "manual-2"]
    assert all(cell.locked == (not cell.solution) for cell in data.values())
    text = "\n".join(cell.source for cell in graded.cells)
    assert "_next.ipynb" not in text and "as in 02." in text and "solutions" not in text
    assert "6 points, about 30 minutes" in text and "`01_tiny.ipynb`" in text
    assert "### BEGIN HIDDEN TESTS\nassert half(0) == 0\n### END HIDDEN TESTS" in text
    assert "tags" not in str([cell.metadata for cell in graded.cells])


def test_no_form_changes_the_source(tiny):
    before = nbformat.writes(tiny)
    forms.story(tiny), forms.solutions(tiny, "01_tiny"), forms.assignment(tiny, "01_tiny")
    assert nbformat.writes(tiny) == before


def test_a_cell_knows_the_text_with_which_it_was_given(tiny):
    digests = [cell.metadata.get("given") for cell in forms.story(tiny).cells]
    given = [forms.digest(text) for text in (STUB, "YOUR ANSWER HERE")]
    assert [d for d in digests if d] == given


FAULTS = {
    "no check": (r'# %% tags=\["check-1", "points-1"\]', "# %%", "needs answer, check and hidden"),
    "two solutions": (
        "    return x / 2", "    ### BEGIN SOLUTION\n    return x / 2\n    ### END SOLUTION",
        "needs one solution",
    ),
    "a mark elsewhere": ("story = 1", "### BEGIN SOLUTION\nstory = 1", "would be handed out"),
    "a tag misspelt": ('"hidden-1", "points-2"', '"hidden_1", "points-2"', "there is ..hidden_1"),
    "no end": ("        ### END SOLUTION\n", "", "needs one solution"),
    "no points": (', "points-2"', "", "needs one tag points-N"),
    "outside": ("# ## After", '# ## After\n\n# %% tags=["check-9"]\nx', "outside the section"),
    "two roles": ('"check-1", "p', '"check-1", "hidden-1", "p', "it must be one"),
    "twice": ("# %%\nimport math", '# %% tags=["check-1"]\nx', "two cells tagged check-1"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_source_that_is_marked_wrongly_is_refused(tmp_path, fault):
    old, new, says = FAULTS[fault]
    text = re.sub(old, new.replace("\\", r"\\"), TINY, count=1)
    assert text != TINY
    path = tmp_path / "01_tiny.py"
    path.write_text(text)
    with pytest.raises(forms.FormError, match=says):
        read = build.read_source(path)
        forms.assignment(read, "01_tiny"), forms.story(read)


@pytest.fixture(params=build.source_paths(), ids=lambda path: path.stem)
def source(request):
    return build.read_source(request.param)


def test_nbgrader_makes_the_same_student_form(source):
    """What nbgrader hands out has the answers and checks of the story, cell by cell."""
    graded = forms.assignment(source, "01_name")
    resources = {"metadata": {}}
    for step in (ClearSolutions(), ClearHiddenTests()):
        graded, resources = step.preprocess(graded, resources)
    released = {c.metadata.nbgrader.grade_id: c.source for c in graded.cells}
    story = {"-".join(forms.role(c)): c.source for c in forms.story(source).cells if forms.role(c)}
    assert story
    assert {id: text for id, text in released.items() if id in story} == story
    hidden = [text for id, text in released.items() if id.startswith("hidden")]
    assert set(hidden) == {"# Hidden tests, with other inputs than the public check's, run here."}


def test_no_solution_leaks_into_what_students_get(source):
    """No line of a solution stands anywhere in the story or the release but in the solutions."""
    solved = {
        line.strip()
        for cells in forms.exercises(source).values()
        for cell in cells.values()
        for _, text in forms.SOLUTION.findall(cell.source)
        for line in text.splitlines()
        if len(line.strip()) > 25 and line.strip().startswith("return ")
    }
    part = forms.section(forms.story(source))
    shown = "\n".join(c.source for c in forms.story(source).cells[part])
    assert [line for line in solved if line in shown] == []


def test_assignments_are_long_enough_to_mark(source):
    graded = [c.metadata.nbgrader for c in forms.assignment(source, "01_name").cells]
    points = {c.grade_id: c.points for c in graded if c.grade}
    hidden = sum(p for id, p in points.items() if id.startswith("hidden"))
    public = sum(p for id, p in points.items() if id.startswith("check"))
    assert hidden >= public > 0


def test_the_teachers_page_gives_the_points_that_nbgrader_gives():
    page = (ROOT / "notebooks" / "TEACHING.md").read_text(encoding="utf-8")
    for path in build.source_paths():
        graded = [
            c.metadata.nbgrader for c in forms.assignment(build.read_source(path), path.stem).cells
        ]
        total = sum(cell.points for cell in graded if cell.grade)
        row = re.search(rf"^\|.*\(assignments/source/{path.stem}/.*\| (\d+) \|$", page, re.M)
        assert row and int(row[1]) == total, path.stem


def test_a_stub_is_a_stub_in_nbgraders_own_words():
    code, text = ClearSolutions().code_stub["python"], ClearSolutions().text_stub
    assert (forms.CODE_STUB, forms.TEXT_STUB) == (code, text)


def test_roles_come_from_tags_only():
    assert forms.role(new_code_cell("answer-1")) is None
    assert forms.section(new_notebook(cells=[new_markdown_cell("## Exercises")])) == slice(1, 1)


def told(text):
    return new_output("stream", text=text)


def test_a_learners_notebook_shows_no_reveal_and_nothing_of_it_is_lost():
    cells = [
        new_code_cell("it_guess = predict_number('01.it', 'How many?')", outputs=[told("?")]),
        new_code_cell("found = 42"),
        new_code_cell("reveal_number('It', it_guess, found)", outputs=[told("42")]),
        new_code_cell("print(1)", outputs=[told("1")]),
    ]
    whole = new_notebook(cells=cells)
    locked, taken = forms.locked(whole)
    assert [[out.text for out in cell.outputs] for cell in locked.cells] == [["?"], [], [], ["1"]]
    assert taken == {cells[2].id: [told("42")]}
    assert forms.unlocked(locked, taken) == whole


def test_what_was_found_is_folded_in_words_too_but_no_heading(tmp_path):
    reveal = "# %%\nreveal_number('It', it_guess, 42)\n\n"
    text = TINY.replace(
        "# %% [markdown] tags",
        f"{reveal}# %% [markdown]\n# It is 42.\n\n# %% [markdown]\n# On.\n\n"
        f"{reveal}# %% [markdown]\n# ## New\n\n# %% [markdown] tags",
        1,
    )
    path = tmp_path / "01_tiny.py"
    path.write_text(text)
    cells = forms.story(build.read_source(path)).cells
    words = [cell.source for cell in cells if cell.cell_type == "markdown"]
    folded = f"<details><summary>{forms.AFTER}</summary>\n\nIt is 42.\n\n</details>"
    assert words[1:4] == [folded, "On.", "## New"]
