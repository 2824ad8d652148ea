"""Cheats on marks, tried on the real nbgrader with the course's own configuration.

tests/cheats.py is the table. Here run those of it that fit into two minutes; all of them with
`python tests/cheat_course.py`.
"""

import itertools
import py_compile
import re
import runpy
import shutil
import stat
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest
from cheat_course import _Active, marked, prepared, told
from cheats import CHEATS, HONEST, WITH_THE_TESTS
from grading import ASSIGNMENTS, answered
from test_grading import FULL, NAME, NOTHING, RIGHT, WRONG

SHORT = {name: CHEATS[name] for name in WITH_THE_TESTS}
ALL_SECONDS = 600  # chosen here: far above what it takes, far below a run that hangs


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return prepared(tmp_path_factory.mktemp("cheats"))


@pytest.fixture(scope="module")
def found(template):
    """By name what each gained or damaged, and by course ("pages", "quiet") what happened to all.

    nbgrader marks one submission after the other: two courses, one of them with pages to look at.
    After every few cheats an honest student is next in line.
    """
    cheats = [(name, (cheat, NOTHING)) for name, cheat in SHORT.items()]
    honest = [(name, (cheat, FULL)) for name, cheat in HONEST.items()]
    lines = {
        "pages": in_line([row for row in cheats if row[1][0].pages], honest[:8]),
        "quiet": in_line([row for row in cheats if not row[1][0].pages], honest[8:]),
    }
    firsts = {"pages": 1, "quiet": 500}

    def grade(place):
        result = marked(template.copy(place), lines[place], ALL_SECONDS, firsts[place])
        return result | {place: result.pop("")}

    with ThreadPoolExecutor(2) as pool:
        pages, quiet = pool.map(grade, lines)
    return pages | quiet


def in_line(cheats, honest):
    """Honest students spread among the others, one of them last."""
    few = -(-len(cheats) // len(honest))
    groups = [cheats[at : at + few] for at in range(0, len(cheats), few)]
    pairs = itertools.zip_longest(groups, honest, fillvalue=())
    return dict(row for group, one in pairs for row in [*group, *([one] if one else [])])


@pytest.mark.parametrize("name", SHORT)
def test_a_cheat_gains_nothing(found, name):
    assert found[name] == []


@pytest.mark.parametrize("name", HONEST)
def test_honest_work_keeps_its_marks(found, name):
    assert found[name] == []


@pytest.mark.parametrize("course", ["pages", "quiet"])
def test_a_class_with_cheats_is_marked_and_nothing_else_changes(found, course):
    assert found[course] == []


def test_the_table_is_long_and_of_many_kinds():
    assert len(CHEATS) >= 200 and len(SHORT) >= 60
    assert {cheat.kind for cheat in SHORT.values()} == {cheat.kind for cheat in CHEATS.values()}


def test_what_python_compiled_of_closed_modules_is_closed_too(tmp_path, monkeypatch):
    package = tmp_path / "some_course"
    (package / "checks").mkdir(parents=True)
    for name in ("__init__.py", "checks/__init__.py", "checks/truths.py", "checks/words.py"):
        (package / name).write_text("TRUTH = 417.25\n")
        py_compile.compile(str(package / name))
    monkeypatch.syspath_prepend(tmp_path)
    sandbox = runpy.run_path(str(ASSIGNMENTS / "grading" / "sandbox.py"))
    closed = [str(package / "checks" / "truths.py")]
    found = sandbox["open_to"](["some_course"], closed)["open_to"]
    readable = {
        str(file.relative_to(package))
        for path in map(Path, found)
        for file in ([path] if path.is_file() else path.rglob("*"))
        if file.is_relative_to(package) and file.suffix in (".py", ".pyc")
    }
    assert readable & {"checks/words.py", "__init__.py"} and not any(
        "truths" in name for name in readable
    )
    assert [Path(file).name for file in sandbox["compiled_files"](closed) if "truths" in file]


def test_a_second_name_of_a_folder_does_not_open_what_is_closed(tmp_path, monkeypatch):
    """An environment's lib64 is a link to its lib, in which everything is installed."""
    package = tmp_path / "lib" / "site-packages" / "some_course"
    package.mkdir(parents=True)
    for name in ("__init__.py", "truths.py", "words.py"):
        (package / name).write_text("TRUTH = 417.25\n")
    (tmp_path / "lib64").symlink_to(tmp_path / "lib")
    (package / "up").symlink_to(tmp_path)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.syspath_prepend(package.parent)
    sandbox = runpy.run_path(str(ASSIGNMENTS / "grading" / "sandbox.py"))
    found = sandbox["open_to"](["some_course"], [str(package / "truths.py")])
    mine = [Path(path).resolve() for path in found["open_to"] if "some_course" in path]
    assert sorted(path.name for path in mine) == ["__init__.py", "words.py"]
    assert not [path for path in found["open_to"] if package.is_relative_to(Path(path).resolve())]
    assert str(package.parent) in found["listed"]  # where Python's import looks for names


LEAVES = """
import os, time
from grading.remote import Answers
answers = Answers([], [], 1 << 32, True)
answers.ready()
answers.allow(60, False)
answers.run('''
import ctypes, os, time
ready, told = os.pipe()
if not os.fork():
    os.setsid()
    ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)  # not to end with its parent
    if not os.fork():
        os.write(told, b'.')
        time.sleep(60)
    os._exit(0)
os.wait()
seen = os.read(ready, 1)''')
answers.close()
children = open(f"/proc/self/task/{os.getpid()}/children").read()
print("left:", children, answers.closed_off)
"""


def test_nothing_is_left_behind_where_there_are_no_namespaces(tmp_path):
    shutil.copytree(ASSIGNMENTS / "grading", tmp_path / "grading")
    with (tmp_path / "grading" / "sandbox.py").open("a") as text:
        text.write("\n\ndef namespaces(scratch, as_nobody):\n    return []\n")
    done = subprocess.run(
        [sys.executable, "-c", LEAVES], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.startswith("left:  ["), done.stdout + done.stderr
    assert "processes" not in done.stdout


ENDS_AT_ONCE = """
from grading import remote
answers = remote.Answers([], [], 1 << 32, True)
answers.begin('import os; os._exit(0)')
try:
    answers.ready()
except RuntimeError as error:
    print(error)
answers.close()
remote.RESTARTS, remote.Path.with_name = 3, lambda path, name: "/nowhere/to/be/found.py"
try:
    answers.ready()
except remote.AnswerLost as error:
    print(error)
"""


def test_given_cells_that_end_python_and_a_process_that_never_starts_are_told():
    """No student's mark can depend on either."""
    done = subprocess.run(
        [sys.executable, "-c", ENDS_AT_ONCE],
        cwd=ASSIGNMENTS, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "the given cells fail here: AnswerError('AnswerLost: Python ended here')",
        "the answers have ended Python too often",
    ], done.stdout + done.stderr


DIRECTLY = """
import sys
sys.path.insert(0, FOLDER)
from grading import remote
remote.TOGETHER = SECONDS
answers = remote.Answers([], [], 1 << 32, True)
try:
    answers.ready()
    answers.allow(60, False)
    answers.run(TEXT)
    names = {}
    answers.bind("answer", names)
    print(repr(names["answer"].unaided(["textwrap.dedent"])(1)))
except Exception as error:
    print(type(error).__name__, error)
answers.close()
"""
FORGED = """
import gc, json, struct
pipe = next(o for o in gc.get_objects() if type(o).__name__ == "Answers")._pipe
def answer(x):
    told = json.dumps({"blobs": [], **MESSAGE}).encode()
    pipe._outgoing.write(struct.pack(">IQ", len(told), 0) + told)
    pipe._outgoing.flush()
"""
HELD = {  # what an answer is, and what the tests' side must meet
    "a generator that calls for help later": (
        "import textwrap\ndef answer(x): return (textwrap.dedent(' a') for _ in range(2))",
        "RuntimeError write it yourself",
    ),
    "a number that calls for help later": (
        "import textwrap\nclass Later:\n    def __float__(self):\n"
        "        return float(len(textwrap.dedent(' a')))\ndef answer(x): return Later()",
        "RuntimeError write it yourself",
    ),
    "half a character": ("def answer(x): return 'a\\ud800'", "'a?'"),
    "a message without its value": (FORGED.replace("**MESSAGE", "'said': 'value'"), "None"),
    "more printed than may be kept": (
        FORGED.replace("**MESSAGE", "'said': 'value', 'output': 'x' * 100_001"),
        "x" * 100_000 + "None",
    ),
    "what is lost of a flood is counted": (
        "print('x' * 200_000)\ndef answer(x): return 1",
        "x" * 99_900 + "\n[100101 more characters were printed]",
    ),
    "a cell without end": (
        "while True: pass",
        "AnswerLost this cell took longer than the time limit",
    ),
}


@pytest.mark.parametrize(("text", "met"), HELD.values(), ids=HELD)
def test_what_comes_over_the_border_is_held_to_its_bounds(text, met):
    seconds = 8 if "while" in text else 600  # for all cells together
    told = {"FOLDER": ASSIGNMENTS, "SECONDS": seconds, "TEXT": text}
    program = re.sub("|".join(told), lambda name: repr(told[name[0]]), DIRECTLY)
    program = program.replace(repr(ASSIGNMENTS), repr(str(ASSIGNMENTS)))
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=40
    )
    assert done.stdout.startswith(met), done.stdout[:500] + done.stderr


# What the judges of a page must see, and what they must let pass.
@pytest.mark.parametrize(
    ("page", "active"),
    [
        ("<script>lncheat()</script>", 1),
        ("<p onclick='lncheat()'>", 1),
        ("<a href=' JavaScript:lncheat()'>x</a>", 1),
        ("<a href='javascript;lncheat()'>x</a>", 0),
        ("<iframe srcdoc='lncheat'></iframe>", 1),
        ("<svg onload=lncheat()></svg>", 1),
        ("<style>a { b: url(//lncheat) }</style>", 1),
        (r"<p>$\href{javascript:lncheat()}{x}$</p>", 1),
        (r"<pre>$\href{javascript:lncheat()}{x}$</pre>", 0),
        ("<pre>&lt;script&gt;lncheat()&lt;/script&gt;</pre>", 0),
        ("<script>page()</script><p title='lncheat'>lncheat</p>", 0),
    ],
)
def test_what_a_browser_would_run_is_seen(page, active):
    assert len(_Active(page).found) == active


@pytest.mark.parametrize(
    ("page", "tells"),
    [
        ("given 417.25", True),
        ("given 52.714", True),
        ("NDE3LjI1", True),
        ("3431372e3235", True),
        ("4<b>17</b>.25", True),
        ("import math; values = VALUES", False),
        ("found = float(area(417.25))", True),
    ],
)
def test_what_a_page_tells_is_seen(page, tells):
    assert bool(told(page)) == tells


# --- archives -----------------------------------------------------------------------------------


def link(archive, name, target):
    entry = zipfile.ZipInfo(name)
    entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    archive.writestr(entry, target)


# What Eva sends: entries of her own archive. Maria's work lies beside it, in another.
REFUSED = {  # the collector ends there and names the archive; the teacher takes it out
    "a path upwards": ["../../../submitted/maria/{NAME}/{NAME}.ipynb"],
    "a path far upwards": ["../../../../../lncheat/{NAME}.ipynb", "../../../../source/x.ipynb"],
    "an absolute path": ["{COURSE}/submitted/maria/{NAME}/{NAME}.ipynb"],
    "a path with backslashes": [r"..\..\..\submitted\maria\{NAME}\{NAME}.ipynb"],
    "the configuration": ["nbgrader_config.py", "../../../../nbgrader_config.py", "{NAME}.ipynb"],
    "another's name in the file's": ["maria_{NAME}.ipynb"],
    "another's name in a folder's": ["maria/{NAME}.ipynb"],
    "another's name as a platform writes it": ["maria_77_assignsubmission_file_/{NAME}.ipynb"],
    "another's archive": ["maria.zip/{NAME}.ipynb", "maria/{NAME}/{NAME}.ipynb"],
    "a link to a folder": ["x -> {COURSE}/submitted", "x/maria/{NAME}/{NAME}.ipynb"],
    "names that differ by a number": ["{NAME} (1).ipynb", "{NAME}-1.ipynb", "{NAME}.ipynb"],
}
COLLECTED = {
    "a student called dot dot": [".._{NAME}.ipynb", "..._{NAME}.ipynb"],
    "a student called dot": ["._{NAME}.ipynb", "./{NAME}.ipynb"],
    "a student with a line's end": ["eva\nmaria_{NAME}.ipynb"],
    "a student who is a pattern": ["*_{NAME}.ipynb", "[m]aria_{NAME}.ipynb"],
    "a student with an odd space": ["maria _{NAME}.ipynb", "Maria_{NAME}.ipynb"],
    "a link to the teacher's form": ["{NAME}.ipynb -> {COURSE}/source/{NAME}/{NAME}.ipynb"],
    "twice the same file": ["{NAME}.ipynb", "{NAME}.ipynb"],
    "a notebook that is a folder": ["{NAME}.ipynb/{NAME}.ipynb"],
}


@pytest.fixture(scope="module")
def collected(template):
    """By archive: the course before and after nbgrader collects, Maria's name in it, and the log.

    Those that are refused have a course each; the others come together, each with its own Maria.
    """
    groups = [{name: entries} for name, entries in REFUSED.items()] + [COLLECTED]

    def collect(pair):
        number, group = pair
        course = template.copy(f"archive-{number}")
        place = course.folder / "downloaded" / NAME / "archive"
        place.mkdir(parents=True)
        for at, entries in enumerate(group.values()):
            pack(course, place, f"maria{'abcdefgh'[at]}", f"eva{'abcdefgh'[at]}", entries)
        before = everything(course)
        course.within(60, "zip_collect", NAME)
        after = everything(course)
        return {
            name: (before, after, f"maria{'abcdefgh'[at]}", course.log)
            for at, name in enumerate(group)
        }

    with ThreadPoolExecutor(2) as pool, pytest.warns(UserWarning):  # of the entry there twice
        found = list(pool.map(collect, enumerate(groups)))
    return {name: row for group in found for name, row in group.items()}


def pack(course, place, maria, eva, entries):
    """The archives of both, as a platform gives them."""
    with zipfile.ZipFile(place / f"{maria}.zip", "w") as archive:
        archive.writestr(f"{NAME}.ipynb", sent(course, RIGHT))
    with zipfile.ZipFile(place / f"{eva}.zip", "w") as archive:
        for entry in entries:
            entry = entry.replace("{NAME}", NAME).replace("{COURSE}", str(course.folder))
            entry, _, target = re.sub("maria", maria, entry).partition(" -> ")
            if target:
                link(archive, entry, target)
            else:
                archive.writestr(entry, sent(course, WRONG))


def sent(course, answers):
    return nbformat.writes(answered(course.release(NAME), answers))


def everything(course):
    """All files around a course, by path; but not what is unpacked, which is thrown away."""
    root = course.folder
    paths = [path for path in root.rglob("*") if path.is_file() or path.is_symlink()]
    kept = {str(p.relative_to(root)): p for p in paths if "downloaded" not in p.parts}
    outside = {str(path): path for path in root.parent.rglob("lncheat*")}
    own = (".nbgrader.log", "gradebook.db")
    return {
        name: "a link" if path.is_symlink() else path.read_text(errors="replace")
        for name, path in {**kept, **outside}.items()
        if path.is_symlink() or (path.is_file() and not name.startswith(own))
    }


@pytest.mark.parametrize("name", [*REFUSED, *COLLECTED])
def test_an_archive_replaces_nobody_elses_work(collected, name):
    before, after, maria, log = collected[name]
    assert {path: text for path, text in before.items() if after.get(path) != text} == {}
    new = {path: text for path, text in after.items() if path not in before}
    assert all(path.startswith("submitted/") for path in new), sorted(new)
    assert "a link" not in new.values()
    theirs = new.get(f"submitted/{maria}/{NAME}/{NAME}.ipynb")
    if name in COLLECTED:
        assert '"def area(side):\\n",\n    "    return side**2"' in theirs
    else:
        assert theirs is None and re.search("extracted/eva|Duplicate submission", log)
