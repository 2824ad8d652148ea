"""What must hold for every stored notebook, read without running it.

The numbers in the outputs are compared by nbval, which pytest applies to every file in notebooks/
(see pyproject.toml). These tests close what nbval leaves open, and two of them run nbval with this
repository's settings on small notebooks, to show what it rejects and what it lets pass.
"""

import re
import subprocess
import sys
from pathlib import Path

import build
import nbformat
import pytest
from nbval.plugin import find_comment_markers, find_metadata_tags, get_sanitize_patterns

ROOT = Path(__file__).resolve().parent.parent
STORIES = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
NOTEBOOKS = [*STORIES, *sorted((ROOT / "notebooks" / "solutions").glob("*.ipynb"))]
SANITIZE = get_sanitize_patterns((ROOT / "tests/nbval_sanitize.cfg").read_text(encoding="utf-8"))
COST_LINE = re.compile(r"\d+\.\d+ s\b.*\b\d+(\.\d+)? (MB|GB)\b")


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def path(request):
    return request.param


@pytest.fixture(params=build.source_paths(), ids=lambda path: path.stem)
def source(request):
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


ASKED = {"prediction", "quiz"}  # in the metadata of outputs that ask and tell nothing


def printed_lines(cell):
    """Lines a reader sees as text: stdout, and results that have no picture."""
    texts = [out.text for out in cell.outputs if out.get("name") == "stdout"]
    data = [out.data for out in cell.outputs if "data" in out and not ASKED & set(out.metadata)]
    texts += [d["text/plain"] for d in data if "text/plain" in d and "image/png" not in d]
    return [line for text in texts for line in text.splitlines() if line.strip()]


def sanitized(line):
    for pattern, replacement in SANITIZE:
        line = re.sub(pattern, replacement, line)
    return line


def compared_lines(cell):
    """The printed lines that nbval compares in full: not ignored, nothing sanitized in them."""
    options = dict(find_metadata_tags(cell.metadata)) | dict(find_comment_markers(cell.source))
    if options.get("skip") or not options.get("check", True):
        return []
    return [line for line in printed_lines(cell) if sanitized(line) == line]


def alt_text(output):
    """The description stored with a picture: in its metadata, or as text/plain of a widget."""
    stored = output.metadata.get("image/png", {}).get("alt", "").strip()
    text = output.data.get("text/plain", "").strip()
    return stored or ("" if re.fullmatch(r"<.*>", text, re.DOTALL) else text)


def test_every_source_is_built_and_every_notebook_has_a_source():
    sources = [build.notebook_path(source).name for source in build.source_paths()]
    assert sources == [path.name for path in STORIES]
    assert sources, "there are no notebooks"
    folder = build.assignment_path(build.source_paths()[0]).parent.parent
    for form in [*NOTEBOOKS[len(STORIES) :], *folder.glob("*/*.ipynb")]:
        assert form.name in sources, f"{form} has no source"


def test_all_forms_agree_with_their_source(source):
    assert build.problems(source) == []


def test_cell_ids_are_those_of_the_source(path, notebook):
    source = build.read_source(build.SOURCES / f"{path.stem}.py")
    known = {cell.id for cell in source.cells} | {"solutions", *build.signposts.WAYS}
    assert [cell.id for cell in notebook.cells if cell.id not in known] == []


def test_every_code_cell_was_run_in_order(notebook):
    assert build.executed_in_order(notebook) == []


def test_outputs_hold_no_stderr(notebook):
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    assert [out for out in outputs if out.get("name") == "stderr"] == []


def errors(cell):
    return [out.ename for out in cell.outputs if out.output_type == "error"]


def test_only_the_checks_of_unanswered_exercises_fail(path, notebook):
    """In a story each check says that there is no answer yet; in the solutions nothing fails."""
    for cell in code_cells(notebook):
        is_check = "raises-exception" in cell.metadata.get("tags", [])
        assert errors(cell) == (["NoAnswerYet"] if is_check else []), cell.source
    checks = sum("raises-exception" in c.metadata.get("tags", []) for c in code_cells(notebook))
    answers = build.forms.exercises(build.read_source(build.SOURCES / f"{path.stem}.py")).values()
    assert checks == (sum("answer" in a for a in answers) if path in STORIES else 0)


def test_every_notebook_has_three_exercises(source):
    exercises = build.forms.exercises(build.read_source(source))
    assert sum("answer" in cells for cells in exercises.values()) >= 3


def test_every_notebook_asks_for_predictions_and_reveals_each(source):
    cells = build.read_source(source).cells
    asking = [c for c in cells if build.forms.calls(c, build.forms.PREDICTS)]
    asked = [ASKS.fullmatch(cell.source.strip()) for cell in asking]
    assert asked and all(asked), "a prediction stands alone: name_guess = predict_...("
    keys = [match["key"] for match in asked]
    assert len(keys) == len(set(keys)) and {key[:2] for key in keys} == {source.stem[:2]}, keys
    for cell, match in zip(asking, asked, strict=True):
        later = cells[cells.index(cell) + 1 :]
        telling = [c for c in later if build.forms.calls(c, build.forms.REVEALS)]
        assert any(re.search(rf"\b{match['name']}\b", c.source) for c in telling), match["name"]


ASKS = re.compile(
    r'(?P<name>\w+_(?:guess|sketch)) = predict_\w+\(\s*"(?P<key>\d\d\.[\w-]+)",.*\)', re.DOTALL
)


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_nothing_is_shown_between_a_prediction_and_its_reveal(path):
    open_guesses, shown = set(), []
    for cell in code_cells(build.read_story(path)):
        if build.forms.calls(cell, build.forms.PREDICTS):
            open_guesses.add(cell.source.split(" =")[0])
        elif build.forms.calls(cell, build.forms.REVEALS):
            open_guesses -= {
                name for name in open_guesses if re.search(rf"\b{name}\b", cell.source)
            }
        elif open_guesses and cell.outputs:
            shown.append(
                f"{sorted(open_guesses)} waits for an answer; shown is {cell.source[:60]!r}"
            )
    assert shown == []


def main_path(notebook):
    """The cells that nobody should skip."""
    beside = False
    for cell in notebook.cells:
        if cell.id in build.signposts.WAYS:
            continue
        if cell.cell_type == "markdown" and (title := re.match(r"## (?:\d+\. )?(.*)", cell.source)):
            beside = title[1].startswith(BESIDE)
        if not beside:
            yield cell


BESIDE = ("Exercises", "Save your work", "Going deeper")
WORDS, CELLS = 1500, 25  # of a main path at most


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_the_main_path_is_short(path):
    cells = list(main_path(nbformat.read(path, as_version=4)))
    texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    bare = [re.sub(r"^#+ |<[^>]+>|\]\([^)]*\)", "", text, flags=re.M) for text in texts]
    words = sum(len(text.split()) for text in bare)  # links without where they lead
    code = [c for c in cells if c.cell_type == "code" and c.source.strip() and not folded(c)]
    assert (words <= WORDS, len(code) <= CELLS) == (True, True), (words, len(code))


def test_every_exercise_section_shows_a_picture_of_what_to_expect(source):
    images = build.forms.images(build.forms.story(build.read_source(source)))
    assert [image for image in images if image.startswith("pictures/exercise-")]


def test_metadata_let_github_and_jupyter_open_it(notebook):
    assert notebook.metadata.kernelspec.name == "python3"
    assert "widgets" not in notebook.metadata


def test_widgets_leave_no_dead_views(notebook):
    """A stored view has no model to show: Jupyter would print an error in place of the picture."""
    mimetypes = {
        key for cell in code_cells(notebook) for out in cell.outputs for key in out.get("data", {})
    }
    assert build.WIDGET_VIEW not in mimetypes


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_at_least_ten_printed_lines_are_compared(path):
    notebook = nbformat.read(path, as_version=4)
    lines = [line for cell in code_cells(notebook) for line in compared_lines(cell)]
    assert len(lines) >= 10, lines


def test_every_picture_has_alt_text(notebook):
    cells = code_cells(notebook)
    pictures = [out for cell in cells for out in cell.outputs if "image/png" in out.get("data", {})]
    assert [out.data["text/plain"] for out in pictures if not alt_text(out)] == []


def test_code_cells_are_short(notebook):
    long = [c.source for c in code_cells(notebook) if c.source.count("\n") >= 20]
    # only in solutions; they look at all that an answer may give before they compare it
    hidden = [text for text in long if text.startswith("# the teacher's tests")]
    assert [text for text in long if text not in hidden or text.count("\n") >= 30] == []


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_most_code_cells_of_a_story_have_at_most_six_lines(path):
    cells = code_cells(nbformat.read(path, as_version=4))
    short = [cell for cell in cells if cell.source.count("\n") < 6]
    assert len(short) >= 0.8 * len(cells)
    open_to_view = [cell.source for cell in cells if not folded(cell)]
    assert [text for text in open_to_view if text.count("\n") >= 12] == []


def folded(cell):
    return cell.metadata.get("jupyter", {}).get("source_hidden", False)


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_folded_cells_are_few_and_only_print_what_is_compared(path):
    opening, *rest = code_cells(nbformat.read(path, as_version=4))  # a picture may open the course
    quiet = [cell for cell in rest if folded(cell) and not cell.source.startswith("quiz(")]
    assert not folded(opening) or opening.source.startswith("# The first picture.")
    assert len(quiet) <= 3
    for cell in quiet:
        assert cell.source.startswith("# What the notebook's test compares")
        assert compared_lines(cell)


def test_no_printed_line_is_longer_than_a_hundred_characters(notebook):
    lines = [line for cell in code_cells(notebook) for line in printed_lines(cell)]
    assert [line for line in lines if len(line) > 100] == []


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_last_code_cell_prints_the_cost(path):
    notebook = nbformat.read(path, as_version=4)
    lines = printed_lines(code_cells(notebook)[-1])
    assert any(COST_LINE.search(line) for line in lines), lines
    assert not any(COST_LINE.search(sanitized(line)) for line in lines)


PRINT = "print('slope -2.00')"
PROGRESS = f"from tqdm import tqdm\nfor _ in tqdm(range(3)):\n    pass\n{PRINT}"
CASES = {  # code, stored stdout, does nbval accept it
    "same": (PRINT, "slope -2.00", True),
    "other-number": (PRINT, "slope -2.01", False),
    "nothing-stored": (PRINT, None, False),
    "other-time": ("print('it took 1.5 s')", "it took 9.2 s", True),
    "over-budget": (
        "print('Cost: 9.0 s, 500 MB peak (budget 20 s, 700 MB)')",
        "Cost: 21.0 s, 500 MB peak (budget 20 s, 700 MB; over budget on this machine)",
        True,
    ),
    "progress-bar": (PROGRESS, "slope -2.00", True),
    "progress-bar-and-other-number": (PROGRESS, "slope -2.01", False),
}


def small_notebook(code, printed):
    """An executed one-cell notebook with the given stored output."""
    output = nbformat.v4.new_output("stream", name="stdout", text=f"{printed}\n")
    cell = nbformat.v4.new_code_cell(code, execution_count=1, outputs=[output] if printed else [])
    return nbformat.v4.new_notebook(cells=[cell])


@pytest.fixture(scope="module")
def nbval_report(tmp_path_factory):
    """What pytest, as this repository configures it, says about the cases above."""
    folder = tmp_path_factory.mktemp("cases")
    for name, (code, printed, _) in CASES.items():
        nbformat.write(small_notebook(code, printed), folder / f"{name}.ipynb")
    arguments = ["-c", ROOT / "pyproject.toml", "--rootdir", folder, "-rA"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments, "-p", "no:cacheprovider", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    return run.stdout + run.stderr


@pytest.mark.parametrize("name", CASES)
def test_nbval_with_our_settings(name, nbval_report):
    verdict = "PASSED" if CASES[name][-1] else "FAILED"
    assert re.search(rf"^{verdict} \S*/{name}\.ipynb::Cell 0", nbval_report, re.M), nbval_report


def test_build_gives_the_same_file_twice(tmp_path):
    """Progress bars, split streams and timings leave no trace, so a rebuild is no change."""
    source = tmp_path / "source" / "01_small.py"
    source.parent.mkdir()
    source.write_text(f"# %% [markdown]\n# Title\n\n# %%\n{PROGRESS}\n\n# %% tags=['a']\n1 + 1\n")
    built = []
    for _ in range(2):
        story = build.story(source, build.read_source(source))
        notebook, warnings = build.tidy(build.execute(story, cwd=tmp_path))
        build.write(notebook, build.notebook_path(source))
        built.append(build.notebook_path(source).read_text(encoding="utf-8"))
    assert built[0] == built[1]
    assert (warnings, build.problems(source)) == ([], [])


def test_drift_from_the_source_is_seen(tmp_path):
    source = build.read_source(
        _write(tmp_path / "01_a.py", "# %%\nx = 1\n\n# %% [markdown]\n# Hi\n")
    )
    for edit in [
        "# %%\nx = 2\n\n# %% [markdown]\n# Hi\n",
        "# %%\nx = 1\n\n# %%\nHi\n",
        "# %% tags=['nbval-skip']\nx = 1\n\n# %% [markdown]\n# Hi\n",
        "# %%\nx = 1\n",
    ]:
        assert build.agree(source, build.read_source(_write(tmp_path / "01_b.py", edit)))
    assert build.agree(source, source) == []
    assert build.executed_in_order(source) == ["code cell 1 has execution count None: 'x = 1'"]


def _write(path, text):
    path.write_text(text, encoding="utf-8")
    return path
