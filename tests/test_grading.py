"""A course as its teacher runs it: the real nbgrader hands out, collects, grades and reports.

Most of it is tried on a tiny assignment, because a kernel that imports torch takes seconds.
"""

import copy
import csv
import io
import re
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest
from grading import Course, answered, assignment, cell_named, labelled, named_cells

ASSIGNMENTS = Path(__file__).resolve().parent.parent / "notebooks" / "assignments" / "source"
NAME = "01_tiny_squares"
CELL_LIMIT = 10  # seconds, of which only endless loops need all; a busy machine needs some
SOLUTION = re.compile(r"[ \t]*### BEGIN SOLUTION\n(.*?)[ \t]*### END SOLUTION", re.DOTALL)

# What stands for landscape_nb.course here: a package that the setup cell imports.
CHECKER = """
class NotYet(Exception):
    pass

def check(answer, argument, value):
    if float(answer(argument)) != value:
        raise NotYet("not yet: is it the square?")
    print("right")
"""

TINY = assignment(
    labelled("given-1", "import math\n\nimport numpy as np\n\nimport tiny_checks"),
    labelled(
        "answer-1",
        "def area(side):\n"
        '    """Area of a square."""\n'
        "    ### BEGIN SOLUTION\n"
        "    return side * side\n"
        "    ### END SOLUTION",
    ),
    labelled("check-1", "tiny_checks.check(area, 3, 9)", 1),
    labelled(
        "hidden-1",
        "# Hidden tests run here.\n"
        "### BEGIN HIDDEN TESTS\n"
        "found = float(area(4))\n"
        "assert abs(found - math.prod([4, 4])) < 1e-12, 'for another side it is not the area'\n"
        "### END HIDDEN TESTS",
        2,
    ),
    labelled(
        "answer-2",
        "### BEGIN SOLUTION\n"
        "def mean_of_squares(values):\n"
        "    return sum(v**2 for v in values) / len(values)\n"
        "### END SOLUTION",
    ),
    labelled("check-2", "tiny_checks.check(mean_of_squares, [1.0, 3.0], 5.0)", 1),
    labelled(
        "hidden-2",
        "# Hidden tests run here.\n"
        "### BEGIN HIDDEN TESTS\n"
        "values = [1.0, -2.0, 4.0]\n"
        "found = [float(mean_of_squares(values)), float(mean_of_squares(values[:1]))]\n"
        "assert np.allclose(found, [np.var(values) + np.mean(values) ** 2, 1.0]), 'other values'\n"
        "### END HIDDEN TESTS",
        2,
    ),
    labelled("manual-3", "### BEGIN SOLUTION\nSquares hide signs.\n### END SOLUTION", 3),
)
TESTS = ["check-1", "hidden-1", "check-2", "hidden-2"]
FULL = {"check-1": 1, "hidden-1": 2, "check-2": 1, "hidden-2": 2}
NOTHING = dict.fromkeys(TESTS, 0)
FIRST_ONLY = FULL | {"check-2": 0, "hidden-2": 0}
SECOND_ONLY = FULL | {"check-1": 0, "hidden-1": 0}

AREA = "def area(side):\n    return side**2"
MEAN = "def mean_of_squares(values):\n    return np.mean(np.square(values))"
WRONG_AREA = "def area(side):\n    return 2 * side"
WRONG_MEAN = "def mean_of_squares(values):\n    return np.mean(values) ** 2"
WARNING = "    warnings.warn('slow')\n    "
RIGHT = {"answer-1": AREA, "answer-2": MEAN}
WRONG = {"answer-1": WRONG_AREA, "answer-2": WRONG_MEAN}

# Everyday submissions: what the cells hold, and the marks of the four tests.
EVERYDAY = {
    "right": (RIGHT | {"manual-3": "They hide signs."}, FULL),
    "wrong": (WRONG, NOTHING),
    "half": (RIGHT | {"answer-2": WRONG_MEAN}, FIRST_ONLY),
    "fitted": (RIGHT | {"answer-1": "def area(side):\n    return 9"}, FULL | {"hidden-1": 0}),
    "empty": ({}, NOTHING),
    "raises": (RIGHT | {"answer-1": "1 / 0"}, SECOND_ONLY),
    "syntax": (RIGHT | {"answer-1": "def area(side:\n    return"}, SECOND_ONLY),
    "leaves": (RIGHT | {"answer-1": "def area(side):\n    raise SystemExit"}, SECOND_ONLY),
    "loops": (RIGHT | {"answer-1": "while True:\n    pass"}, SECOND_ONLY),
    "kills": (RIGHT | {"answer-2": "import os\n\nos._exit(0)"}, FIRST_ONLY),
    "quits": (RIGHT | {"answer-2": "quit()"}, FIRST_ONLY),
    # A time limit interrupts; this answer ignores that, and only ending Python ends it.
    "clings": (
        RIGHT
        | {
            "answer-2": "while True:\n    try:\n        while True:\n            pass\n"
            "    except BaseException:\n        pass"
        },
        FIRST_ONLY,
    ),
    # nbgrader alone gives no marks to a test that has anything on stderr.
    "warns": (RIGHT | {"answer-1": "import warnings\n\n" + AREA.replace("    ", WARNING)}, FULL),
}

# Every answer is wrong, and the rest of the text tries to pass all the same: no marks.
TRICKS = {
    "the checker": "tiny_checks.check = lambda *a: None\nnp.allclose = lambda *a: True",
    "its module": "import sys\n\nsys.modules['tiny_checks'] = tiny_checks = np = PassAll()",
    "builtins": "import builtins\n\nbuiltins.abs = abs = lambda x: 0\nfloat = lambda x: 16",
    "assert": (
        "import ast\n\n"
        "class NoAssert(ast.NodeTransformer):\n"
        "    def visit_Assert(self, node):\n"
        "        return ast.Pass()\n\n"
        "    visit_Expr = visit_Assert\n\n"
        "get_ipython().ast_transformers.append(NoAssert())"
    ),
    "cell text": (
        "def no_tests(lines):\n"
        "    return ['pass'] if 'assert' in ''.join(lines) else lines\n\n"
        "get_ipython().input_transformers_post.append(no_tests)"
    ),
    "just before": (
        "def before_cell(info):\n    np.allclose = lambda *a: True\n"
        "    tiny_checks.check = lambda *a: None\n\n"
        "get_ipython().events.register('pre_run_cell', before_cell)"
    ),
    "no traceback": "type(get_ipython()).showtraceback = lambda *a, **k: None",
    "a result": (
        "def area(side):\n    get_ipython().displayhook(1.0)\n    return 0\n\n"
        "def mean_of_squares(values):\n    return area(0)"
    ),
    "an object": "def area(side):\n    return PassAll()\n\nmean_of_squares = area",
    "reading": (
        "import glob\nimport re\n\n"
        "def area(side):\n"
        "    texts = [In[-1], *(open(path).read() for path in glob.glob('*.ipynb'))]\n"
        "    seen = [text.split('BEGIN HIDDEN')[1] for text in texts if 'BEGIN HIDDEN' in text]\n"
        "    return max(map(float, re.findall(r'[0-9.]+', ''.join(seen))), default=0)\n\n"
        "def mean_of_squares(values):\n    return area(0)"
    ),
}
PASS_ALL = """
class PassAll(float):
    def __eq__(self, other):
        return True
    def __ne__(self, other):
        return False
    __lt__ = __le__ = __gt__ = __ge__ = __eq__
    def __sub__(self, other):
        return 0.0
    def __getattr__(self, name):
        return lambda *arguments, **options: True
    def __call__(self, *arguments):
        return self
"""
LOOK = "import os, sys\n\nprint(sys.executable, os.environ['OMP_NUM_THREADS'], os.listdir())"
# Those whose feedback is read; the others' would only cost time.
READ = ["right", "wrong", "fitted", "empty", "syntax", "loops", "kills", "curious", "reading"]


@pytest.fixture(scope="module")
def handed_out(tmp_path_factory):
    """A course with the tiny assignment generated; tests copy its folder."""
    folder = tmp_path_factory.mktemp("grading")
    modules = folder / "modules"
    modules.mkdir()
    (modules / "tiny_checks.py").write_text(CHECKER)
    course = Course(folder / "course", modules)
    course.add_source(NAME, TINY)
    course.hand_out(NAME)
    return course


@pytest.fixture(scope="module")
def graded(handed_out):
    """All submissions of EVERYDAY, TRICKS and CLUMSY, graded: which course holds whom."""
    release = handed_out.release(NAME)
    notebooks = {name: answered(release, answers) for name, (answers, _) in EVERYDAY.items()}
    for name, trick in TRICKS.items():
        answers = {cell: f"{text}\n{PASS_ALL}\n{trick}" for cell, text in WRONG.items()}
        notebooks[name] = answered(release, answers)
    notebooks |= {name: clumsy(answered(release, answers)) for name, answers in CLUMSY.items()}
    notebooks["looks"] = answered(release, {"answer-1": LOOK})
    notebooks["curious"] = answered(release, RIGHT)
    notebooks["curious"].cells.append(nbformat.v4.new_code_cell("print(In)\nIn"))
    # nbgrader grades one submission after the other, so each group has a course of its own.
    others = [student for student in notebooks if student not in READ]
    groups = {"read": READ, "even": others[::2], "odd": others[1::2]}
    where = {}
    for name, students in groups.items():
        course = handed_out.copy(name)
        for student in students:
            where[student] = course
            path = course.hand_in(student, NAME, notebooks[student])
            if student == "its module":  # besides, a package of that name beside the notebook
                (path.parent / "tiny_checks.py").write_text("def check(*arguments): pass")
    with ThreadPoolExecutor(len(groups)) as pool:
        list(pool.map(grade, set(where.values())))
    where["right"].nbgrader("generate_feedback", NAME)
    return where


def grade(course):
    course.nbgrader("autograde", NAME, f"--Execute.timeout={CELL_LIMIT}")


CLUMSY = {"clumsy and right": RIGHT, "clumsy and wrong": WRONG}


def clumsy(notebook):
    """What happens to notebooks in students' hands, by accident or not: all cells are damaged."""
    cells = named_cells(notebook)
    cells["given-1"].source = "class tiny_checks:\n    check = print"
    cells["check-1"].source = "pass"
    cells["check-1"].metadata.nbgrader.points = 100
    cells["check-1"].cell_type = "raw"
    del cells["check-1"]["outputs"], cells["check-1"]["execution_count"]
    del cells["hidden-1"].metadata["nbgrader"]
    cells["check-2"].metadata.nbgrader |= {"grade": False, "solution": True}
    cells["answer-2"].metadata.nbgrader |= {"grade": True, "points": 7, "schema_version": 1}
    copied = copy.deepcopy(cells["answer-1"])
    copied.id = "copied"
    notebook.cells.insert(0, copied)
    notebook.cells.remove(cells["hidden-2"])
    notebook.cells.insert(2, labelled("bonus-1", "pass", points=50))
    notebook.metadata.kernelspec = {"name": "julia", "display_name": "Julia", "language": "julia"}
    return notebook


def marks(graded, student):
    found = graded[student].marks(NAME)[student]
    return {name: found[name] for name in TESTS}


@pytest.mark.parametrize("student", EVERYDAY)
def test_marks(graded, student):
    assert marks(graded, student) == EVERYDAY[student][1]


@pytest.mark.parametrize("trick", TRICKS)
def test_a_trick_gains_nothing(graded, trick):
    assert marks(graded, trick) == NOTHING


def test_damaged_cells_neither_gain_nor_cost(graded):
    assert marks(graded, "clumsy and wrong") == NOTHING
    assert marks(graded, "clumsy and right") == FULL
    course = graded["clumsy and right"]
    with course.gradebook() as gradebook:
        assert gradebook.find_submission(NAME, "clumsy and right").max_score == 9


def test_answers_in_words_wait_for_the_teacher(graded):
    assert graded["right"].marks(NAME)["right"]["manual-3"] is None
    assert graded["empty"].marks(NAME)["empty"]["manual-3"] == 0


def test_the_release_has_neither_solutions_nor_hidden_tests(handed_out):
    release = handed_out.release(NAME)
    check_release(TINY, release)
    assert cell_named(release, "answer-1").source == (
        'def area(side):\n    """Area of a square."""\n'
        "    # YOUR CODE HERE\n    raise NotImplementedError()"
    )
    assert cell_named(release, "hidden-1").source == "# Hidden tests run here."
    assert cell_named(release, "manual-3").source == "YOUR ANSWER HERE"


def check_release(source, release):
    """Nothing of the teacher's is left, and every cell that students must not edit is locked."""
    assert not re.search("### (BEGIN|END)", "\n".join(cell.source for cell in release.cells))
    assert len(source.cells) == len(release.cells)
    for name, cell in named_cells(source).items():
        released, label = cell_named(release, name), cell_named(release, name).metadata.nbgrader
        assert released.source == without_secrets(cell)
        assert not released.get("outputs")
        assert label.schema_version == 3 and label.checksum
        assert label.get("points") == cell.metadata.nbgrader.get("points")
        assert label.locked == (not label.solution) == (released.metadata.get("editable") is False)
        assert released.metadata.deletable is False


def without_secrets(cell):
    """A cell's text with the stub for the solution, and without hidden tests."""
    stub = "# YOUR CODE HERE\nraise NotImplementedError()"
    stub = stub if cell.cell_type == "code" else "YOUR ANSWER HERE"
    text = re.sub(
        r"( *)### BEGIN SOLUTION.*?### END SOLUTION",
        lambda match: "\n".join(match[1] + line for line in stub.split("\n")),
        cell.source,
        flags=re.DOTALL,
    )
    return re.sub(r"\n### BEGIN HIDDEN TESTS.*?### END HIDDEN TESTS", "", text, flags=re.DOTALL)


def secret_lines(source):
    """The lines of the hidden tests, markers included."""
    [hidden] = re.findall(r"### BEGIN HIDDEN TESTS.*### END HIDDEN TESTS", source, re.DOTALL)
    return hidden.splitlines()


def test_feedback_says_what_was_wrong(graded):
    def read(student):
        return graded[student].feedback(student, NAME)

    assert "NotYet: not yet: is it the square?" in read("wrong")
    assert "AssertionError: for another side it is not the area" in read("fitted")
    assert "NotImplementedError" in read("empty")
    assert "SyntaxError" in read("syntax")
    assert "this cell took longer than the time limit" in read("loops")
    assert "AnswerLost: Python ended here" in read("kills")
    assert "Score: 2.0 / 2.0" in read("right")


@pytest.mark.parametrize("student", ["wrong", "fitted", "curious", "reading"])
def test_feedback_keeps_hidden_tests_hidden(graded, student):
    text = graded[student].feedback(student, NAME)
    assert "Score:" in text and "# Hidden tests run here." in text
    for name in ("hidden-1", "hidden-2"):
        for line in secret_lines(cell_named(TINY, name).source):
            assert line not in text


def test_the_right_kernel_in_an_empty_folder_with_one_thread(graded):
    [printed] = cell_named(graded["looks"].autograded("looks", NAME), "answer-1").outputs
    assert printed.text.split() == [sys.executable, "1", "[]"]


def test_downloads_are_collected_and_the_rest_is_named(handed_out):
    """Files as learning platforms name them; and those that cannot be graded stop nobody."""
    course = handed_out.copy("collected")
    archive = course.folder / "downloaded" / NAME / "archive"
    archive.mkdir(parents=True)
    done = nbformat.writes(answered(course.release(NAME), RIGHT))
    (archive / f"jo_lee_1234_5678_{NAME}-1.ipynb").write_text(done)  # Canvas
    (archive / f"kim_late_12_34_{NAME}.ipynb").write_text(done)  # Canvas, after the deadline
    (archive / f"rotheva_LATE_13_35_{NAME}-2.ipynb").write_text(done)
    with zipfile.ZipFile(archive / "maria.zip", "w") as own:
        own.writestr(f"{NAME}.ipynb", done)
    with zipfile.ZipFile(archive / "all of them.zip", "w") as bulk:  # Moodle
        bulk.writestr(f"Ana Diaz_77_assignsubmission_file_/{NAME} (1).ipynb", done)
        bulk.writestr(f"Bo_78_assignsubmission_file_/{NAME}.ipynb", "{half a notebo")
        bulk.writestr("Cy_79_assignsubmission_file_/homework.ipynb", done)
    log = course.nbgrader("zip_collect", NAME)
    assert "Cy_79_assignsubmission_file_/homework.ipynb" in log  # skipped, and named
    assert "6 files collected, 1 files skipped" in log
    course.hand_in("Di", NAME, nbformat.reads(done, 4), file="homework.ipynb")
    (course.folder / "submitted" / "Ed" / NAME).mkdir(parents=True)  # handed in nothing
    log = course.nbgrader("autograde", NAME, fails=True)
    failed = re.findall(r"There was an error processing assignment '\S+' for student '(.+)'", log)
    assert failed == ["Bo", "Di"]
    found = course.marks(NAME)
    for student in ("jo_lee", "kim", "maria", "Ana Diaz", "rotheva"):
        assert {name: found[student][name] for name in TESTS} == FULL
    assert set(found["Bo"].values()) == set(found["Di"].values()) == {None}
    check_numbers_of_downloads(course)


def check_numbers_of_downloads(course):
    """The number in the name of a file tells two of one name apart."""
    (course.folder / "moodle.csv").write_text(
        "Identifier,Full name,Grade,Maximum Grade,Last modified (grade)\n"
        "Participant 76,Ana Diaz,,9.00,-\nParticipant 77,Ana Diaz,,9.00,-\n"
    )
    into = ("export", "--assignment", NAME, "--Marks.into", "moodle.csv", "--to", "filled.csv")
    log = course.nbgrader(*into, "--Marks.unfinished=True")
    assert "Ana Diaz = Ana Diaz / Participant 77: 6" in log
    rows = (course.folder / "filled.csv").read_text().splitlines()
    assert rows[1:] == ["Participant 76,Ana Diaz,,9.00,-", "Participant 77,Ana Diaz,6,9.00,-"]
    (course.folder / "canvas.csv").write_text(
        f"Student,ID,SIS Login ID,Section,{NAME} (9)\n    Points Possible,,,,9\n"
        '"Roth, Eva",13,eva,A,\n"Lee, Jo",1234,jo,A,\n'
    )
    log = course.nbgrader("export", "--Marks.into=canvas.csv", "--Marks.unfinished=True")
    rows = (course.folder / "canvas-filled.csv").read_text().splitlines()
    assert rows[2:] == ['"Roth, Eva",13,eva,A,6', '"Lee, Jo",1234,jo,A,6']
    assert "so that THEIR MARKS REACH NOBODY (5): Ana Diaz (6); Bo (" in log


def test_students_who_send_back_the_folder_are_told_apart(handed_out):
    """The folder that was handed out, zipped as it is, on a Mac or by JupyterLab, within a zip."""
    course = handed_out.copy("folders")
    archive = course.folder / "downloaded" / NAME / "archive"
    archive.mkdir(parents=True)
    done = nbformat.writes(answered(course.release(NAME), RIGHT))
    with zipfile.ZipFile(archive / "all.zip", "w") as bulk:
        for student in ("Eva Roth_81", "Bo Li_82"):
            returned = io.BytesIO()
            with zipfile.ZipFile(returned, "w") as folder:
                folder.writestr(f"{NAME}/{NAME}.ipynb", done)
                folder.writestr(f"__MACOSX/{NAME}/._{NAME}.ipynb", "")
                folder.writestr(f"{NAME}/.ipynb_checkpoints/{NAME}-checkpoint.ipynb", done)
            place = f"{student}_assignsubmission_file_/{NAME}.zip"
            bulk.writestr(place, returned.getvalue())
    course.nbgrader("zip_collect", NAME)
    collected = sorted(path.name for path in (course.folder / "submitted").iterdir())
    assert collected == ["Bo Li", "Eva Roth"]


def test_what_a_killed_run_left_half_done_is_done_again(handed_out):
    """Its copies are there, so that nbgrader alone would skip these students and tell nobody."""
    course = handed_out.copy("killed")
    for student in ("maria", "jo"):
        course.hand_in(student, NAME, answered(course.release(NAME), RIGHT))
    course.nbgrader("autograde", NAME, "--student", "jo")
    for file in (course.folder / "autograded" / "jo" / NAME).iterdir():
        file.chmod(0o664)  # as nbgrader leaves it where several teachers share the course
    half = course.folder / "autograded" / "maria" / NAME / f"{NAME}.ipynb"
    half.parent.mkdir(parents=True)
    nbformat.write(course.release(NAME), half)
    half.chmod(0o644)
    page = course.folder / "feedback" / "jo" / NAME / f"{NAME}.html"
    page.parent.mkdir(parents=True)
    page.write_text("<html><body>half a pa")
    log = course.nbgrader("autograde", NAME)
    assert "Skipping existing assignment" in log and "student with ID 'jo'" not in log
    assert {name: course.marks(NAME)["maria"][name] for name in TESTS} == FULL
    course.nbgrader("generate_feedback", NAME)
    assert "Score: 2.0 / 2.0" in course.feedback("jo", NAME)


def test_a_configuration_that_fails_stops_everything(handed_out):
    """Without it nbgrader would go on, and run answers beside their tests."""
    course = handed_out.copy("broken")
    (course.folder / "grading" / "preprocessors.py").write_text("import nowhere_to_be_found")
    course.hand_in("maria", NAME, answered(course.release(NAME), RIGHT))
    log = course.nbgrader("autograde", NAME, fails=True)
    assert "so nothing is done" in log
    assert not (course.folder / "autograded").exists()


def test_a_machine_without_the_package_gives_an_error_and_no_zeros(handed_out):
    course = Course(handed_out.copy("bare").folder)  # whose kernels do not find tiny_checks
    course.hand_in("maria", NAME, answered(course.release(NAME), RIGHT))
    log = course.nbgrader("autograde", NAME, fails=True)
    assert "No module named 'tiny_checks'" in log
    assert set(course.marks(NAME)["maria"].values()) == {None}


def test_marks_by_hand_reach_feedback_and_spreadsheet(graded):
    course = graded["right"].copy("by-hand")
    with course.gradebook() as gradebook:  # what the formgrader page stores
        grade = gradebook.find_grade("manual-3", NAME, NAME, "right")
        assert grade.needs_manual_grade
        grade.manual_score, grade.needs_manual_grade = 2, False
        comment = gradebook.find_comment("manual-3", NAME, NAME, "right")
        comment.manual_comment = "And sizes?"
        gradebook.db.commit()
    course.nbgrader("generate_feedback", NAME, "--student", "right", "--force")
    text = course.feedback("right", NAME)
    assert "Score: 8.0 / 9.0" in text and "And sizes?" in text
    course.nbgrader("export", "--to", "marks.csv")
    with (course.folder / "marks.csv").open() as table:
        rows = {row["student_id"]: row for row in csv.DictReader(table)}
    assert set(rows) == set(READ)
    assert {row["max_score"] for row in rows.values()} == {"9.0"}
    assert (rows["right"]["score"], rows["wrong"]["score"]) == ("8.0", "0.0")


CANVAS = (
    "Student,ID,SIS User ID,SIS Login ID,Section,Tiny squares (77)\r\n    Points Possible,,,,,9\r\n"
    '"Right",5001,,right,A,\r\n"Wrong",5002,,wrong,A,2\r\n"Late, Eva",5003,,eva,B,\r\n'
)


def test_marks_are_filled_into_a_platforms_file(graded):
    course = graded["right"].copy("into")
    (course.folder / "canvas.csv").write_bytes(CANVAS.encode())
    into = ("export", "--Marks.into=canvas.csv", "--to=filled.csv")
    log = course.nbgrader(*into)
    assert "own numbers" not in log
    assert "right = Right / 5001 (manual-3)" in log and "is not marked yet" in log
    with course.gradebook() as gradebook:
        grade = gradebook.find_grade("manual-3", NAME, NAME, "right")
        grade.manual_score, grade.needs_manual_grade = 2.5, False
        gradebook.db.commit()
    log = course.nbgrader(*into)
    assert "right = Right / 5001: 8.5" in log
    assert "had another mark there, which is replaced (1): wrong = Wrong / 5002: 2 before" in log
    assert "in the file, but nothing of theirs was marked here (1): Late, Eva / 5003" in log
    assert f"filled.csv is for Canvas: 2 marks of {NAME} filled in, out of 9 points; 1 of" in log
    filled = (course.folder / "filled.csv").read_bytes().decode()
    expected = CANVAS.replace("right,A,", "right,A,8.5").replace("wrong,A,2", "wrong,A,0")
    assert filled == re.sub('"(Right|Wrong)"', r"\1", expected)
    for option, told in {
        "--to=canvas.csv": "is the platform's own file",
        "--assignment=02_other": "takes one assignment",
        "--Marks.column=Final": "Columns for marks: 'Tiny squares (77)'",
    }.items():
        assert told in course.nbgrader(*into[:2], option, fails=True)
    assert not (course.folder / "canvas-filled.csv").exists()
    assert (course.folder / "canvas.csv").read_bytes().decode() == CANVAS


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """The course's own assignments, all generated."""
    course = Course(tmp_path_factory.mktemp("real") / "course")
    for name in REAL:
        course.add_source(name, ASSIGNMENTS / name / f"{name}.ipynb")
    course.nbgrader("generate_assignment", "--assignment=*")
    return course


REAL = sorted(path.name for path in ASSIGNMENTS.glob("[0-9][0-9]_*"))


def test_there_are_assignments():
    assert "01_quadratic_toy" in REAL


@pytest.mark.parametrize("name", REAL)
def test_each_assignment_can_be_handed_out(real, name):
    check_release(real.source(name), real.release(name))


@pytest.mark.parametrize("name", ["01_quadratic_toy", "04_mlp_stabilization", "07_transformer"])
def test_a_real_assignment_is_graded(real, name):
    """Answered as its author answers it, and not at all."""
    source, release = named_cells(real.source(name)), real.release(name)
    solved = {
        cell_name: SOLUTION.sub(lambda match: match[1].rstrip("\n"), cell.source)
        for cell_name, cell in source.items()
        if cell.metadata.nbgrader.solution
    }
    points = {n: c.metadata.nbgrader.get("points") for n, c in source.items()}
    by_program = [n for n in points if n.startswith(("check-", "hidden-"))]
    real.hand_in("solved", name, answered(release, solved))
    real.hand_in("untouched", name, release)
    real.nbgrader("autograde", name)
    marks = real.marks(name)
    assert {n: marks["solved"][n] for n in by_program} == {n: points[n] for n in by_program}
    assert set(marks["untouched"].values()) == {0}
    assert {n for n, mark in marks["solved"].items() if mark is None} == {
        n for n in points if n.startswith("manual-")
    }
