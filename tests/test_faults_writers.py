"""Faults of those who write files: reports, the command line, exports, notebooks, checkpoints.

FAULTS: what is done -> what must hold afterwards. Each row works in a folder of its own that holds
somebody's files; whatever happens, these stay as they are, and no draft lies about.
"""

import builtins
import errno
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading

import build
import export
import nbformat
import pytest

pytest.importorskip("fcntl", reason="links, modes, pipes and forks as POSIX has them")
import torch

from landscape_nb import EmpiricalLoss
from landscape_nb.__main__ import main
from landscape_nb.numerics import files
from landscape_nb.numerics.files import replace_files
from landscape_nb.problems import checkpoints, pretraining
from landscape_nb.problems.checkpoints import CheckpointError, load_runs, save_runs
from landscape_nb.problems.models import TransformerConfig
from landscape_nb.problems.pretraining import pretrained, train_transformer
from landscape_nb.problems.toys import linear_regression
from landscape_nb.study import report as report_module
from landscape_nb.study.budget import Budget
from landscape_nb.study.report import report

THESIS = b"years of work"
EARLIEST = (  # how the first version's pages begin
    b'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    b"<title>Stabilization report</title>\n<style>\nbody { font: 16px/1.5 system-ui }\n</style>"
)
FAULTS = {}


def fault(what):
    """Add a row to the table."""

    def add(row):
        assert what not in FAULTS
        FAULTS[what] = row
        return row

    return add


def each(**variants):
    """Add a row for each variant; its value is passed on."""

    def add(row):
        for name, value in variants.items():
            FAULTS[f"{row.__name__}: {name}".replace("_", " ")] = lambda at, v=value: row(at, v)
        return row

    return add


def toy(n=12):
    parts = linear_regression(n, 2, generator=torch.Generator().manual_seed(0)).parts
    return EmpiricalLoss(*parts)


@pytest.fixture(scope="session")
def page():
    return report(toy(), 8, D=1, budget=Budget(5, 5, 6, 0), progress=False)


class At:
    """A folder with a thesis, and ways to see what became of it."""

    def __init__(self, folder, page, monkeypatch, capsys):
        self.folder, self.page, self.patch, self.capsys = folder, page, monkeypatch, capsys
        self.report = folder / "report.html"
        self.put("thesis.txt", THESIS)

    def put(self, name, content):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def module(self, text, name="mine.py"):
        return self.put(name, MODULE + text)

    def run(self, *arguments):
        """Status, stdout and stderr of the command; every report it makes is the same."""
        self.capsys.readouterr()
        status = main([*arguments])
        return (status, *self.capsys.readouterr())

    def refused(self, words, *arguments):
        status, out, err = self.run(*arguments)
        assert status == 2 and out == "" and err.count("\n") == 1 and words in err, err

    def worked(self, *arguments):
        status, out, err = self.run("report", "mine:make_loss", *arguments)
        assert status == 0 and "Written to" in out, err

    def no_work(self):
        self.patch.setattr(report_module, "report", lambda *_, **__: pytest.fail("worked"))


MODULE = """
import torch
from landscape_nb import EmpiricalLoss
from landscape_nb.problems.toys import linear_regression

def loss(n=12):
    return EmpiricalLoss(*linear_regression(n, 2, generator=torch.Generator().manual_seed(0)).parts)

"""
GOOD = "def make_loss(): return loss()\n"


@pytest.fixture
def at(tmp_path, page, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr(report_module, "report", lambda *_, **__: page)
    (tmp_path / "temporary").mkdir()
    return At(tmp_path, page, monkeypatch, capsys)


def raises(error):
    def call(*_, **__):
        raise error

    return call


FULL = OSError(errno.ENOSPC, "No space left on device")


# -- files: each promise of replace_files, and the report that is saved by it ----------------------


@each(
    disk_full_at_the_draft=("open", FULL),
    disk_full_at_the_flush=("fsync", FULL),
    stopped_at_the_flush=("fsync", KeyboardInterrupt()),
    stopped_before_the_replacement=("replace", KeyboardInterrupt()),
    refused_at_the_replacement=("replace", OSError(errno.EBUSY, "busy")),
)
def report_saved(at, step):
    name, error = step
    at.page.save(at.report)
    before = at.report.read_bytes()
    with at.patch.context() as patch:
        if name == "open":
            real = builtins.open
            only = lambda p, m="r", **o: raises(error)() if m == "xb" else real(p, m, **o)  # noqa: E731
            patch.setattr(files, "open", only, raising=False)
        else:
            patch.setattr(os, name, raises(error))
        with pytest.raises(type(error)):
            at.page.save(at.report)
    assert at.report.read_bytes() == before


@fault("a full disk is told with the report's name, not a draft's")
def _(at):
    at.patch.setattr(os, "fsync", raises(FULL))
    with pytest.raises(OSError, match=r"No space left.*report\.html'$"):
        at.page.save(at.report)


@fault("Ctrl-C between two replacements waits until both are done")
def _(at):
    a, b = at.put("a", b"old"), at.put("b", b"old")
    real = os.replace

    def pressed(*pair):
        real(*pair)
        signal.raise_signal(signal.SIGINT)

    at.patch.setattr(os, "replace", pressed)
    with pytest.raises(KeyboardInterrupt):
        replace_files({a: b"new", b: b"new"})
    assert a.read_bytes() == b.read_bytes() == b"new"


@fault("Ctrl-C while drafts are cleared away")
def _(at):
    real = pathlib.Path.unlink

    def pressed(path, missing_ok=False):
        signal.raise_signal(signal.SIGINT)
        real(path, missing_ok=missing_ok)

    at.patch.setattr(os, "fsync", raises(FULL))
    at.patch.setattr(pathlib.Path, "unlink", pressed)
    with pytest.raises(KeyboardInterrupt):
        replace_files({at.folder / "a": b"1"})


@fault("Ctrl-C during a save in another thread goes its usual way")
def _(at):
    handler = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=at.page.save, args=(at.report,))
    thread.start()
    thread.join()
    assert at.report.exists() and signal.getsignal(signal.SIGINT) is handler


@fault("a draft that can't be removed hides no error")
def _(at):
    draft = []
    at.patch.setattr(os, "replace", lambda d, _: (draft.append(d), raises(FULL)()))
    with at.patch.context() as patch:
        patch.setattr(pathlib.Path, "unlink", raises(PermissionError(1, "not permitted")))
        with pytest.raises(OSError, match="No space left"):
            replace_files({at.folder / "a": b"1"})
    draft[0].unlink()


@fault("a secret file's draft is as secret")
def _(at):
    secret, seen = at.put("secret", b"old"), []
    secret.chmod(0o600)
    at.patch.setattr(files, "_give", lambda draft, _: seen.append(draft.stat().st_mode & 0o777))
    replace_files({secret: b"new"})
    assert seen == [0o600] and secret.stat().st_mode & 0o777 == 0o600


@fault("the owner and the group stay where that is allowed")
def _(at):
    if os.geteuid() != 0:
        pytest.skip("only the administrator may give files away")
    path = at.put("shared", b"old")
    os.chown(path, 1234, 2345)
    path.chmod(0o2664)
    replace_files({path: b"new"})
    kept = path.stat()
    assert (kept.st_uid, kept.st_gid, kept.st_mode & 0o7777) == (1234, 2345, 0o2664)


@fault("a loss of power after the replacement: the folder's names are on the disk")
def _(at):
    flushed, real = [], os.fsync
    at.patch.setattr(
        os, "fsync", lambda fd: (flushed.append(os.path.isdir(f"/dev/fd/{fd}")), real(fd))
    )
    replace_files({at.folder / "a": b"1"})
    assert flushed == [False, True]


@fault("two names of one file, through a link")
def _(at):
    a = at.put("a", b"old")
    (at.folder / "b").symlink_to(a)
    with pytest.raises(ValueError, match="same file"):
        replace_files({a: b"1", at.folder / "b": b"2"})
    assert a.read_bytes() == b"old"


@fault("a hard link keeps what it had")
def _(at):
    at.page.save(at.report)
    os.link(at.report, at.folder / "other.html")
    before = at.report.read_bytes()
    at.patch.setattr(type(at.page), "html", lambda _: "new")
    at.page.save(at.report)
    assert (at.folder / "other.html").read_bytes() == before and at.report.read_bytes() == b"new"


def killed(page, path):
    os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    page.save(path)


@fault("killed before the replacement: the earlier report stays, the draft is in nobody's way")
def _(at):
    at.page.save(at.report)
    before = at.report.read_bytes()
    run = multiprocessing.get_context("fork").Process(target=killed, args=(at.page, at.report))
    run.start()
    run.join()
    assert run.exitcode == -signal.SIGKILL and at.report.read_bytes() == before
    (draft,) = at.folder.glob(".*.draft")
    at.page.save(at.report)
    draft.unlink()


@each(
    source=b"import torch\n",
    page_of_somebody=b"<!DOCTYPE html>\n<html><head><title>My thesis</title></head>",
    source_that_names_the_title=b'x = "<title>Stabilization report</title>"\n',
    notebook=b'{"cells": [], "nbformat": 4}',
    blank_line=b"\n",
    bytes_of_any_kind=bytes(range(256)),
)
def report_saved_over_what_is_not_one(at, content):
    mine = at.put("mine.html", content)
    at.module(GOOD, "module.py")
    link = at.folder / "link.html"
    link.symlink_to(mine)
    at.no_work()
    for path in (mine, link):
        with pytest.raises(ValueError, match="not a report that this package wrote"):
            at.page.save(path)
        at.refused("not a report that", "report", "module:make_loss", "--output", str(path))
    assert mine.read_bytes() == content and link.is_symlink()


@each(empty=b"", earliest=EARLIEST)
def report_saved_over_what_may_go(at, content):
    at.put("report.html", content)
    at.module(GOOD)
    at.worked()
    assert at.report.read_text("utf-8") == at.page.html()


@each(
    folder="temporary",
    device="/dev/full",
    stdout="/dev/stdout",
    too_long="x" * 300 + ".html",
    surrogate="\ud800.html",
    zero="a\0b.html",
    folder_that_is_none="none/report.html",
    file_as_folder="thesis.txt/report.html",
    link_to_itself="loop",
    link_to_nowhere="nowhere",
    nothing="",
    folder_to_be="new/",
)
def report_saved_under_a_wrong_name(at, name):
    (at.folder / "loop").symlink_to("loop")
    (at.folder / "nowhere").symlink_to("none/report.html")
    at.module(GOOD)
    at.no_work()
    if name != "new/":  # for Python a name like any other
        with pytest.raises((OSError, ValueError)):
            at.page.save(name)
    at.refused("", "report", "mine:make_loss", "--output", name)
    assert (at.folder / "loop").is_symlink() and (at.folder / "nowhere").is_symlink()


@fault("a name of bytes that are no text")
def _(at):
    name = os.fsdecode(b"\xff.html")
    at.module(GOOD)
    at.worked("--output", name)
    assert os.path.exists(b"\xff.html")


@fault("a folder that is not to be written to")
def _(at):
    at.page.save(at.report)
    before = at.report.read_bytes()
    at.module(GOOD)
    at.no_work()
    at.patch.setattr(os, "access", lambda *_: False)
    at.refused("can't be written", "report", "mine:make_loss")
    assert at.report.read_bytes() == before


@fault("--output is where the shell sends stdout")
def _(at):
    at.module(GOOD)
    at.no_work()
    path, kept = at.put("out.html", b""), os.dup(1)
    handle = os.open(path, os.O_WRONLY)
    try:
        os.dup2(handle, 1)
        at.refused("own words go", "report", "mine:make_loss", "--output", "out.html")
    finally:
        os.dup2(kept, 1)


# -- a finished report ----------------------------------------------------------------------------


@each(disk_full=FULL, name_taken=PermissionError(errno.EACCES, "Permission denied"))
def finished_report_that_can_not_be_written(at, error):
    at.module(GOOD)
    at.put("temporary/.keep", b"")
    real = os.replace

    def replaced(draft, target):
        if target.name == "report.html":
            raise error
        real(draft, target)

    at.patch.setattr(os, "replace", replaced)
    status, out, err = at.run("report", "mine:make_loss")
    assert status == 2 and out == f"{at.page}\n" and err.count("\n") == 1
    (copy,) = (at.folder / "temporary").glob("report-*.html")
    assert f"The report is printed instead, and a copy is in {copy}." in err
    assert copy.read_text("utf-8") == at.page.html()


@fault("a finished report, and no disk takes it")
def _(at):
    at.module(GOOD)
    at.patch.setattr(os, "fsync", raises(FULL))
    status, out, err = at.run("report", "mine:make_loss")
    assert status == 2 and out == f"{at.page}\n" and err.endswith("is printed instead.\n")
    assert list((at.folder / "temporary").iterdir()) == []


@fault("the output's name is taken by somebody while the work goes on")
def _(at):
    at.module("def make_loss():\n    open('report.html', 'w').write('mine')\n    return loss()\n")
    status, out, err = at.run("report", "mine:make_loss")
    assert status == 2 and out == f"{at.page}\n" and "not a report" in err
    assert at.report.read_text() == "mine"


@fault("Ctrl-C while a finished report is written")
def _(at):
    at.module(GOOD)
    at.patch.setattr(os, "fsync", raises(KeyboardInterrupt()))
    status, out, err = at.run("report", "mine:make_loss")
    assert status == 130 and out == f"{at.page}\n" and err.count("\n") == 1


@fault("Ctrl-C in the work")
def _(at):
    at.page.save(at.report)
    before = at.report.read_bytes()
    at.module(GOOD)
    at.patch.setattr(report_module, "report", raises(KeyboardInterrupt()))
    status, out, err = at.run("report", "mine:make_loss")
    assert (status, out) == (130, "") and err == (
        "landscape_nb: stopped. No file is left half-written.\n"
    )
    assert at.report.read_bytes() == before


@fault("Ctrl-C in the user's module")
def _(at):
    at.module("raise KeyboardInterrupt\n")
    status, out, err = at.run("report", "mine:make_loss")
    assert (status, out) == (130, "") and err.count("\n") == 1


# -- the command and the user's module -------------------------------------------------------------


@each(two=2, one=1)
def too_few_samples(at, n):
    at.module(f"def make_loss(): return loss({n})\n")
    at.patch.undo()
    at.patch.chdir(at.folder)
    at.refused("needs three samples at least", "report", "mine:make_loss")


@each(**{f"{n}": n for n in range(3, 8)})
def few_samples(at, n):
    """The default k leaves two unseen, whatever n is."""
    asked = []
    at.patch.setattr(report_module, "report", lambda loss, k, *_, **__: asked.append(k) or at.page)
    at.module(f"def make_loss(): return loss({n})\n")
    at.worked()
    assert asked == [min(n * 4 // 5, n - 2)] and asked[0] >= 1


@each(
    value=("raise ValueError('my own words')", ValueError),
    file=("open('none.csv')", FileNotFoundError),
    deeper=("import pathlib; pathlib.Path('none.csv').read_text()", FileNotFoundError),
    library=("torch.zeros(2).reshape(3)", RuntimeError),
    key=("{}['x']", KeyError),
)
def error_in_make_loss(at, case):
    text, error = case
    at.module(f"def make_loss():\n    {text}\n    return loss()\n")
    with pytest.raises(error) as caught:
        main(["report", "mine:make_loss"])
    assert "mine.py" in {os.path.basename(t.path) for t in caught.traceback}


@fault("an error of the user's loss in the work keeps its traceback")
def _(at):
    at.patch.undo()
    at.patch.chdir(at.folder)
    at.module(
        "def wrong(out, y):\n"
        "    if len(y) > 3: raise ValueError('my own words')\n"
        "    return out[:, 0]\n"
        "def make_loss():\n"
        "    x = torch.ones(12, 2).double()\n"
        "    return EmpiricalLoss(torch.nn.Linear(2, 1).double(), wrong, x, x)\n"
    )
    with pytest.raises(ValueError, match="my own words"):
        main(["report", "mine:make_loss"])


@fault("what this package refuses inside make_loss is one line that names the user's")
def _(at):
    at.module("def make_loss():\n    return EmpiricalLoss(None, None, None, None)\n")
    at.refused("(mine.py, line 10)", "report", "mine:make_loss")


@each(on_import="import os; os.chdir('temporary')\n" + GOOD, later="""
import os
def make_loss():
    os.chdir("temporary")
    return loss()
""")  # fmt: skip
def another_folder(at, text):
    at.module(text)
    at.worked()
    assert at.report.exists() and list((at.folder / "temporary").iterdir()) == []


@each(
    at_import=("import sys; sys.exit()\n", "mine ended the program on import by sys.exit()"),
    with_words=("raise SystemExit('done')\n", "by sys.exit('done')"),
    later=("def make_loss(): raise SystemExit(0)\n", "make_loss ended the program by sys.exit(0)"),
)
def program_ended(at, case):
    text, words = case
    at.module(text)
    at.refused(words, "report", "mine:make_loss")


@each(
    leading_dot=".mine:make_loss",
    trailing_dot="mine.:make_loss",
    space="a b:make_loss",
    two_colons="mine:make_loss:x",
    dotted_function="mine:make_loss.f",
    elsewhere="/none/mine.py:make_loss",
    above="../mine.py:make_loss",
    no_function="mine:",
    no_module=":make_loss",
    nothing="",
)
def odd_name(at, name):
    at.module(GOOD)
    at.refused("MODULE:FUNCTION", "report", name)


@each(
    file="mine.py:make_loss",
    whole_path="{folder}/mine.py:make_loss",
    in_a_folder="sub/inner.py:make_loss",
    package="pack.inner:make_loss",
    python_s_own="colorsys:make_loss",
    loaded_already="fractions:make_loss",
    installed="markdown_it:make_loss",
)
def name_that_is_meant(at, name):
    """Of two modules of one name the one here is meant, and Python's own is there afterwards."""
    for file in (
        "mine",
        "sub/inner",
        "pack/__init__",
        "pack/inner",
        "colorsys",
        "fractions",
        "markdown_it",
    ):
        at.module(GOOD, f"{file}.py")
    before = sys.modules.get("fractions")
    status, out, err = at.run("report", name.format(folder=at.folder))
    assert status == 0 and at.report.exists(), err
    assert sys.modules.get("fractions") is before


@fault("two modules of one name, one after the other")
def _(at):
    at.module(GOOD)
    at.worked()
    (at.folder / "other").mkdir()
    at.module("def make_loss(): return None\n", "other/mine.py")
    at.patch.chdir(at.folder / "other")
    at.refused("returned NoneType", "report", "mine:make_loss")


@each(
    generator=("def make_loss():\n    yield loss()\n", "returned generator"),
    coroutine=("async def make_loss():\n    return loss()\n", "returned coroutine"),
    tuple=("def make_loss(): return loss(), 8\n", "returned tuple"),
    arguments=("def make_loss(n): return loss(n)\n", "must be callable without arguments"),
    no_function=("make_loss = 3\n", "has no function 'make_loss'"),
)
def make_loss_that_makes_none(at, case):
    text, words = case
    at.module(text)
    at.refused(words, "report", "mine:make_loss")


@each(
    **{f"{option} {value}": [option, value] for option, value in [
        ("-D", "0"), ("-D", "-3"), ("--sigma", "nan"), ("--sigma", "-1"), ("--sigma", "inf"),
        ("--tolerance", "nan"), ("--tolerance", "0"), ("--cost-per-sample", "-1"),
        ("--seconds", "nan"), ("--seconds", "-1"), ("--fit-iterations", "0"),
        ("--trace-products", "5"), ("--retrain-iterations", "-1"),
    ]}
)  # fmt: skip
def impossible_option(at, option):
    """Refused before the user's module is asked for anything."""
    at.module("raise AssertionError('imported')\n")
    name = option[0].strip("-").replace("-", "_")
    at.refused(f"{name} must be", "report", "mine:make_loss", f"{option[0]}={option[1]}")


def nobody():
    """A pipe whose reader has gone."""
    read, write = os.pipe()
    os.close(read)
    return open(write, "w")


@each(nobody_reads=(nobody, 0), disk_full=(lambda: open("/dev/full", "w"), 2))
def stdout_that_takes_nothing(at, case):
    stream, expected = case
    at.module(GOOD)
    with at.patch.context() as patch, stream() as stdout:
        patch.setattr(sys, "stdout", stdout)
        assert main(["report", "mine:make_loss"]) == expected
    assert at.report.read_text("utf-8") == at.page.html()


SEPARATE = """
import sys
from landscape_nb.__main__ import main
from landscape_nb.study import report
class Page:
    save = staticmethod(lambda path: open(path, "w").write("saved"))
    __str__ = lambda self: "1 ± 2\\n" * 100_000
report.report = lambda *_, **__: Page()
sys.exit(main(["report", "mine:make_loss"]))
"""


@fault("a terminal that knows ASCII only, and a reader who leaves")
def _(at):
    at.module(GOOD)
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    run = subprocess.Popen(
        [sys.executable, "-c", SEPARATE], env=environment, stdout=-1, stderr=-1, cwd=at.folder
    )
    first = run.stdout.readline()
    run.stdout.close()
    err = run.stderr.read()
    assert (run.wait(), first, err) == (0, b"1 \\xb1 2\n", b"")
    assert at.report.read_text() == "saved"


# -- exports --------------------------------------------------------------------------------------

SITE = {"index.html": b"front", "a/b.html": b"page", "style.css": b"style"}
FEWER = {"index.html": b"front, later"}


def digests(site):
    return export._manifest({name: {export._digest(content)} for name, content in site.items()})


def tree(folder):
    kept = {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }
    kept.pop(export.MANIFEST, None)
    return kept


LINES = {
    "above": "../thesis.txt",
    "above by html": "../thesis.html",
    "whole path": "/etc/thesis.html",
    "backslash": "..\\thesis.html",
    "drive": "c:thesis.html",
    "point": "./thesis.html",
    "inside and out": "a/../../thesis.html",
    "empty": "",
    "itself": export.MANIFEST,
    "folder": "a/",
    "no page": "notes.txt",
}


@each(**LINES)
def manifest_with_a_strange_line(at, line):
    out = at.folder / "site"
    at.put("thesis.html", THESIS)
    export.write(SITE, out)
    at.put("site/notes.txt", THESIS)
    sealed = f"{export._digest(THESIS)}  {line}"
    for text in (f"index.html\n{line}\n", digests(SITE).decode() + f"{sealed}\n"):
        (out / export.MANIFEST).write_text(text)
        before = tree(at.folder)
        with pytest.raises(SystemExit, match="was not written by this command"):
            export.write(FEWER, out)
        assert tree(at.folder) == before


@each(
    not_text=b"\xff\xfe\0",
    prose=b"A list of what I read.\n",
    lines_of_windows=digests(SITE).replace(b"\n", b"\r\n"),
    no_manifest_but_a_link=None,
)
def manifest_of_somebody(at, content):
    out = at.folder / "site"
    at.put("site/index.html", THESIS)
    if content is None:
        (out / export.MANIFEST).symlink_to(at.put("list.txt", digests(SITE)))
    else:
        (out / export.MANIFEST).write_bytes(content)
    before = tree(at.folder)
    with pytest.raises(SystemExit, match="was not written by this command"):
        export.write(SITE, out)
    assert tree(at.folder) == before


@fault("a page that somebody edited is not replaced")
def _(at):
    out = at.folder / "site"
    export.write(SITE, out)
    (out / "index.html").write_bytes(THESIS)
    before = tree(out)
    with pytest.raises(SystemExit, match="index.html that was changed since it was exported"):
        export.write({**SITE, "index.html": b"later"}, out)
    assert tree(out) == before


@fault("a page that somebody edited is not removed, one that nobody did is")
def _(at):
    out = at.folder / "site"
    export.write(SITE, out)
    (out / "a/b.html").write_bytes(THESIS)
    export.write(FEWER, out)
    assert tree(out) == {**FEWER, "a/b.html": THESIS}
    assert (out / export.MANIFEST).read_bytes() == digests(FEWER)  # and nothing of before


@fault("a folder in OUT became a link that leads outside")
def _(at):
    out = at.folder / "site"
    export.write(SITE, out)
    (out / "a").rename(at.folder / "outside")
    (out / "a").symlink_to(at.folder / "outside")
    with pytest.raises(SystemExit, match="nothing was written"):
        export.write({**SITE, "a/b.html": b"later"}, out)
    export.write(FEWER, out)  # nor is it removed through the link
    assert (at.folder / "outside/b.html").read_bytes() == b"page"


@fault("a page in OUT became a link to a file outside")
def _(at):
    out = at.folder / "site"
    export.write(SITE, out)
    (out / "index.html").unlink()
    (out / "index.html").symlink_to(at.put("twin.html", SITE["index.html"]))
    with pytest.raises(SystemExit, match="nothing was written"):
        export.write(FEWER, out)
    assert (at.folder / "twin.html").read_bytes() == SITE["index.html"]


@each(page="index.html", folder="a")
def file_and_folder_change_places(at, name):
    out = at.folder / "site"
    export.write({"style.css": b"1"}, out)
    if name == "a":
        at.put("site/a", THESIS)
    else:
        at.put("site/index.html/mine.txt", THESIS)
    before = tree(out)
    with pytest.raises(SystemExit, match="not of this site; nothing was written"):
        export.write(SITE, out)
    assert tree(out) == before


@each(root="/", repository=str(export.ROOT), above=str(export.ROOT.parent))
def out_that_is_no_place(at, out):
    at.patch.setattr(export, "site", lambda: pytest.fail("worked before it looked"))
    with pytest.raises(SystemExit, match="must be"):
        export.main([out])


@fault("OUT is a link to a folder, to nowhere, to itself")
def _(at):
    links = {name: at.folder / name for name in ("real", "new", "loop")}
    (at.folder / "folder").mkdir()
    links["real"].symlink_to("folder")
    links["new"].symlink_to("later")
    links["loop"].symlink_to("loop")
    for name in ("real", "new"):
        export.write(SITE, links[name])
        assert links[name].is_symlink() and tree(links[name].resolve()) == SITE
    with pytest.raises(SystemExit, match="new or empty folder"):
        export.write(SITE, links["loop"])


class Cut(BaseException):
    """The export ends here, as by a kill."""


@each(**{f"after {n} replacements": n for n in range(6)})
def export_cut_short(at, n):
    """Repeated it succeeds, whatever was written by then; an edit in between is still seen."""
    out = at.folder / "site"
    export.write(SITE, out)
    later = {"index.html": b"front, later", "c.html": b"new", "style.css": b"style, later"}
    left, real = [n], os.replace

    def replaced(*pair):
        if not left[0]:
            raise Cut
        left[0] -= 1
        real(*pair)

    with at.patch.context() as patch:
        patch.setattr(os, "replace", replaced)
        try:
            export.write(later, out)
        except Cut:
            pass
    (out / "index.html").write_bytes(old := (out / "index.html").read_bytes() + b" mine")
    with pytest.raises(SystemExit, match="index.html that was changed"):
        export.write(later, out)
    (out / "index.html").write_bytes(old.removesuffix(b" mine"))
    export.write(later, out)
    assert tree(out) == later
    export.write(FEWER, out)
    assert tree(out) == FEWER


@each(**{f"after {n} steps": n for n in range(9)})
def first_export_cut_short(at, n):
    """By the end of a process at any new folder, flush or replacement; then it is repeated."""
    out, left = at.folder / "site", [n]

    def until_none_is_left(real):
        def step(*arguments, **options):
            if not left[0]:
                raise Cut
            left[0] -= 1
            return real(*arguments, **options)

        return step

    with at.patch.context() as patch, pytest.raises(Cut):
        for name in ("mkdir", "fsync", "replace"):
            patch.setattr(os, name, until_none_is_left(getattr(os, name)))
        export.write(SITE, out)
    export.write(SITE, out)
    assert tree(out) == SITE


@fault("an export killed before its manifest was there")
def _(at):
    out, draft = at.folder / "site", f".{export.MANIFEST}.12-ab.draft"
    at.put(f"site/{draft}", b"half")
    export.write(SITE, out)
    assert tree(out) == {**SITE, draft: b"half"}
    (out / draft).unlink()


@fault("a site of a version without digests is replaced, and kept")
def _(at):
    out = at.folder / "site"
    export.write({**SITE, "stale.html": b"1"}, out)
    (out / export.MANIFEST).write_text("".join(f"{name}\n" for name in [*SITE, "stale.html"]))
    (out / "index.html").write_bytes(THESIS)
    export.write({**SITE, "index.html": b"later"}, out)
    assert tree(out) == {
        **SITE, "index.html": b"later", "stale.html": b"1",
        **{f"{export.KEPT}/{name}": old for name, old in {**SITE, "index.html": THESIS}.items()},
    }  # fmt: skip
    export.write({**SITE, "index.html": b"again"}, out)
    assert (out / export.KEPT / "index.html").read_bytes() == THESIS


# -- notebooks ------------------------------------------------------------------------------------


def notebook(source, given):
    cell = nbformat.v4.new_code_cell(source, metadata={"tags": ["answer-1"], "given": given})
    return nbformat.writes(nbformat.v4.new_notebook(cells=[cell]))


@each(
    an_answer=notebook("x = 42", build.digest("x = ...")),
    half_a_file=notebook("x = 42", "")[:100],
    conflict="<<<<<<< mine\n" + notebook("x = ...", ""),
)
def build_over_work(at, text):
    story = at.put("01_a.ipynb", text)
    source = at.put("source/01_a.py", "# %%\nx = ...\n")
    at.patch.setattr(build, "execute", lambda *_, **__: pytest.fail("worked before it looked"))
    with pytest.raises(SystemExit, match="left as it is"):
        build.build(source)
    assert story.read_text() == text


@fault("an answer that is saved while a build runs")
def _(at):
    story = at.put("01_a.ipynb", notebook("x = ...", build.digest("x = ...")))
    source = at.put("source/01_a.py", "# %%\nx = ...\n")
    work = notebook("x = 42", build.digest("x = ..."))

    def executed(form, **_):
        story.write_text(work)
        return form

    at.patch.setattr(build, "execute", executed)
    with pytest.raises(SystemExit, match="holds work of yours"):
        build.build(source)
    assert story.read_text() == work


@fault("a build that is stopped leaves the earlier notebook")
def _(at):
    text = notebook("x = ...", build.digest("x = ..."))
    story = at.put("01_a.ipynb", text)
    source = at.put("source/01_a.py", "# %%\ny = ...\n")
    at.patch.setattr(build, "execute", lambda form, **_: form)
    with at.patch.context() as patch:
        patch.setattr(os, "replace", raises(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            build.build(source)
    assert story.read_text() == text
    build.build(source)
    assert "y = ..." in story.read_text()


# -- checkpoints ----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def runs():
    config = TransformerConfig(5, context=6, width=8, depth=1, heads=2, kv_heads=1, hidden=16)
    s = torch.randint(5, (20, 7), generator=torch.Generator().manual_seed(0))
    return [train_transformer(config, s, "abcde", num_train=16, passes=1, progress=False)]


RUNS = {}


def runs_fault(what):
    def add(row):
        RUNS[what] = row
        return row

    return add


@runs_fault("saved over somebody's file, or another program's tensors")
def _(at, runs):
    import safetensors.numpy

    tensors = at.put("tensors", safetensors.numpy.save({"x": torch.zeros(3).numpy()}))
    for path in (at.folder / "thesis.txt", tensors):
        before = path.read_bytes()
        with pytest.raises(CheckpointError, match="no file of training runs, so it is left"):
            save_runs(path, runs)
        assert path.read_bytes() == before


@runs_fault("saved over a damaged file of runs, or an empty one")
def _(at, runs):
    path = at.put("runs", b"")
    save_runs(path, runs)
    path.write_bytes(path.read_bytes()[:-50])
    save_runs(path, runs)
    assert len(load_runs(path)) == 1


@runs_fault("a disk that is full, or Ctrl-C, while runs are saved")
def _(at, runs):
    save_runs(path := at.folder / "runs", runs)
    before = path.read_bytes()
    for error in (FULL, KeyboardInterrupt()):
        with at.patch.context() as patch, pytest.raises(type(error)):
            patch.setattr(os, "fsync", raises(error))
            save_runs(path, runs)
    assert path.read_bytes() == before


@runs_fault("a file of a newer version is refused with a hint and stays")
def _(at, runs):
    with at.patch.context() as patch:
        patch.setattr(checkpoints, "VERSION", 3)
        save_runs(path := at.folder / "runs", runs)
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match="version 3, known is 2 .a newer landscape_nb may"):
        load_runs(path)
    assert path.read_bytes() == before


@runs_fault("a cache that can't be read is put aside, each content under its own name")
def _(at, runs):
    at.patch.setenv("XDG_CACHE_HOME", str(at.folder))
    at.patch.setattr(pretraining, "_train_all", lambda progress: runs)
    for content in (b"mine", b"mine too", b"mine"):
        at.put("landscape_nb/transformer.safetensors", content)
        with pytest.warns(UserWarning, match="Training them again"):
            pretrained(at.folder / "none")
        load_runs(at.folder / "landscape_nb/transformer.safetensors")
    kept = {p.read_bytes() for p in (at.folder / "landscape_nb").glob("*.unread")}
    assert kept == {b"mine", b"mine too"}


@runs_fault("a training stopped by Ctrl-C leaves what was in the cache")
def _(at, runs):
    at.patch.setenv("XDG_CACHE_HOME", str(at.folder))
    at.patch.setattr(pretraining, "_train_all", raises(KeyboardInterrupt()))
    at.put("landscape_nb/transformer.safetensors", b"mine")
    with pytest.warns(UserWarning), pytest.raises(KeyboardInterrupt):
        pretrained(at.folder / "none")
    (kept,) = (at.folder / "landscape_nb").iterdir()
    assert kept.read_bytes() == b"mine"


# -- the table ------------------------------------------------------------------------------------


def nothing_lost(at):
    assert (at.folder / "thesis.txt").read_bytes() == THESIS
    assert list(at.folder.rglob(".*.draft")) == []


@pytest.mark.parametrize("what", FAULTS)
def test_fault(what, at):
    try:
        FAULTS[what](at)
    except KeyboardInterrupt:  # else it would end all other tests, too
        pytest.fail("Ctrl-C went through")
    nothing_lost(at)


@pytest.mark.parametrize("what", RUNS)
def test_fault_of_training_runs(what, at, runs):
    RUNS[what](at, runs)
    nothing_lost(at)


def test_the_table_is_long_enough():
    assert len(FAULTS) + len(RUNS) >= 30
