"""Cheats handed in to a course of the real nbgrader, and what must hold after it has marked them.

    python tests/cheat_course.py                     # all, a dozen to a course: minutes
    python tests/cheat_course.py "a timer" writing   # some, by name or kind
    python tests/cheat_course.py --apart             # each that may end a run in a run of its own

prints what each gained or damaged. tests/test_cheats.py asks the same of many in one course.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import html
import json
import os
import re
import shutil
import signal
import site
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from glob import glob
from html.parser import HTMLParser
from pathlib import Path

import psutil
from cheats import CHEATS, HONEST, Cheat
from grading import Course, answered, assignment, cell_named
from test_grading import CHECKER, FULL, NAME, RIGHT, TESTS, TINY

# Numbers that occur nowhere else by chance, so that a page can be searched for them. All and their
# squares are exact in single precision.
SIDE, VALUES = 417.25, [16.40625, -23.71875, 91.15625]
SECRETS = [
    *(str(abs(number)) for number in (SIDE, SIDE**2, *VALUES, VALUES[0] ** 2)),
    "3047.036",
]
SECONDS = 10  # for a cell: torch is imported in it, on a machine with other work; chosen here
FIRST = "000 right"  # already marked when the cheats come


def searchable() -> list:
    """The tiny assignment with other numbers in its hidden tests."""
    cells = deepcopy(TINY.cells)
    for cell in cells:
        for old, new in (
            ("area(4)", f"area({SIDE})"),
            ("[4, 4]", f"[{SIDE}, {SIDE}]"),
            ("[1.0, -2.0, 4.0]", str(VALUES)),
            ("** 2, 1.0]", f"** 2, {VALUES[0] ** 2}]"),
        ):
            cell.source = cell.source.replace(old, new)
    assert all(text in str(cells) for text in (str(SIDE), str(VALUES), str(VALUES[0] ** 2)))
    return cells


class WatchedCourse(Course):
    """A course whose home, modules and settings are its own, marked within limits."""

    def __init__(self, folder: Path):
        self.settings = folder.parent / f".{folder.name}"
        self.home, self.modules = self.settings / "home", self.settings / "modules"
        for place in (self.home, self.modules):
            place.mkdir(parents=True, exist_ok=True)
        (self.modules / "tiny_checks.py").write_text(CHECKER)
        (self.home / "solutions.py").write_text(
            "\n\n".join(["import numpy as np", *RIGHT.values()])
        )
        super().__init__(folder, self.modules)
        self._environment["HOME"] = str(self.home)
        self.log = ""

    def copy(self, name: str) -> WatchedCourse:
        return WatchedCourse(Path(shutil.copytree(self.folder, self.folder.parent / name)))

    def within(self, seconds: float, *arguments: str) -> bool:
        """Run one nbgrader command; whether it came to an end in time. The log is kept."""
        # A file and not a pipe: whoever is left behind with the pipe would keep us waiting.
        with (self.settings / "log").open("w+") as log:
            running = subprocess.Popen(
                [sys.executable, "-m", "nbgrader", *arguments],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                running.wait(seconds)
                return running.returncode in (0, 1)  # 1: a submission that could not be read
            except subprocess.TimeoutExpired:
                os.killpg(running.pid, signal.SIGKILL)
                running.wait()
                return False
            finally:
                log.seek(0)
                self.log += log.read()

    def put(self, student: str, number: int, cheat: Cheat, port: int) -> None:
        """Hand in what a row of the table says."""
        told = {
            "<COURSE>": self.folder,
            "<HOME>": self.home,
            "<MODULES>": self.modules,
            "<IPYTHON>": self.settings / "ipython",
            "<RUNTIME>": self.settings / "runtime",
            "<STUDENT>": student.replace("'", ""),
            "<SOCKET>": self.settings / "socket",
            "<PORT>": port,
            "<N>": f"{number:03}",
        }

        def fill(text):
            for mark, value in told.items():
                text = text.replace(mark, str(value))
            return text

        answers = {cell: fill(text) for cell, text in cheat.answers.items()}
        notebook = answered(self.release(NAME), answers)
        cheat.damage(notebook)
        for cell in notebook.cells or []:
            if cell and isinstance(cell.get("source"), str):
                cell.source = fill(cell.source)
        folder = self.folder / "submitted" / student / NAME
        folder.mkdir(parents=True)
        # as it is: what is no valid notebook would not be written otherwise
        (folder / f"{NAME}.ipynb").write_text(json.dumps(notebook))
        for name, text in cheat.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)

    def state(self) -> dict[str, str]:
        """All that marking may not change, by path: a digest of its content."""
        found = {}
        for place in (self.folder, self.home, self.modules, self.settings / "ipython"):
            for path in place.rglob("*"):
                within = path.relative_to(place).parts[0]
                own = (
                    "autograded",
                    "feedback",
                    "gradebook.db",
                    ".nbgrader.log",
                    "profile_default",
                    ".cache",
                )
                if path.is_file() and not (within in own or "__pycache__" in path.parts):
                    name = str(path.relative_to(self.folder.parent))
                    found[name] = hashlib.md5(path.read_bytes()).hexdigest()
        return found

    def book(self) -> dict[str, list]:
        """What the gradebook holds besides marks."""
        with contextlib.closing(sqlite3.connect(self.folder / "gradebook.db", timeout=1)) as book:
            return {
                "cells": book.execute("SELECT * FROM source_cell ORDER BY id").fetchall(),
                "points": book.execute(
                    "SELECT id, max_score FROM grade_cells ORDER BY id"
                ).fetchall(),
                "by hand": book.execute(
                    "SELECT id FROM grade WHERE manual_score NOTNULL OR extra_credit NOTNULL"
                ).fetchall(),
            }


@contextlib.contextmanager
def listening(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Somebody who listens on this machine; the port, and what arrived so far."""
    heard: list[str] = []
    line = socket.create_server(("127.0.0.1", 0))
    port = line.getsockname()[1]
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("127.0.0.1", port))
    named, abstract = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    named.bind(str(path))
    abstract.bind(f"\0lncheat-{port}")
    named.listen()
    abstract.listen()

    def accept(where):
        with contextlib.suppress(OSError):
            while True:
                if where is datagrams:
                    heard.append(where.recv(100).decode())
                else:
                    connection, _ = where.accept()
                    with connection:
                        connection.settimeout(1)
                        heard.append(connection.recv(100).decode())

    places = [line, datagrams, named, abstract]
    for place in places:
        threading.Thread(target=accept, args=(place,), daemon=True).start()
    try:
        yield port, heard
    finally:
        for place in places:
            with contextlib.suppress(OSError):
                place.shutdown(socket.SHUT_RDWR)
            place.close()
        path.unlink(missing_ok=True)


def left_behind(course: WatchedCourse, numbers: set[str]) -> list[str]:
    """Remove what cheats left on the machine, processes and files; their names."""
    found = []
    for process in psutil.process_iter(["name", "cmdline"]):
        name = process.info["name"] or ""
        kernel = any(str(course.settings) in word for word in process.info["cmdline"] or ())
        if kernel or (name.startswith("lncheat") and name[-3:] in numbers):
            found.append(f"process {name}")
            with contextlib.suppress(psutil.Error):
                process.kill()
    places = ["/tmp", "/dev/shm", os.path.expanduser("~"), *site.getsitepackages()]
    for path in (path for place in places for path in glob(f"{place}/lncheat*")):
        if re.sub(r"\D", "", os.path.basename(path)) in numbers:
            found.append(path)
            os.remove(path)
    return found


TEACHERS_PAGES = """
import json, os, sys
import nbgrader.server_extensions.formgrader.handlers as handlers
from nbconvert.exporters import HTMLExporter
from nbgrader.apps.baseapp import NbGrader
application = NbGrader()
application.load_config_file()
application.config.HTMLExporter.template_name = "formgrade"
application.config.HTMLExporter.extra_template_basedirs = [handlers.template_path]
exporter = HTMLExporter(config=application.config)
pages = {}
for student in json.load(sys.stdin):
    about = dict(assignment_id=ASSIGNMENT, notebook_id=ASSIGNMENT, submission_id="1", index=0,
                 total=1, base_url="", student=student,
                 last_name="", first_name="", notebook_path="x")
    path = os.path.join("autograded", student, ASSIGNMENT, ASSIGNMENT + ".ipynb")
    try:
        pages[student] = exporter.from_filename(path, resources=about)[0]
    except Exception as error:
        pages[student] = f"NO PAGE: {error!r}"
json.dump(pages, open(sys.argv[1], "w"))
"""


def pages(course: WatchedCourse, students: list[str]) -> dict[str, dict[str, str]]:
    """Feedback and the formgrader's page of each student, as nbgrader writes them."""
    done = course.settings / "pages.json"
    made = subprocess.run(
        [sys.executable, "-c", TEACHERS_PAGES.replace("ASSIGNMENT", repr(NAME)), str(done)],
        cwd=course.folder,
        env=course._environment,
        input=json.dumps(students),
        text=True,
        capture_output=True,
        timeout=120,
    )
    assert made.returncode == 0, made.stderr
    found = {
        student: {"formgrader": text} for student, text in json.loads(done.read_text()).items()
    }
    for student in found:
        page = course.folder / "feedback" / student / NAME / f"{NAME}.html"
        found[student]["feedback"] = page.read_text() if page.exists() else "NO PAGE"
    return found


class _Active(HTMLParser):
    """What a browser would run or load in a page, and who wrote it: a student's has "lncheat"."""

    RUN = ("script", "style", "iframe", "object", "embed", "form", "meta", "base", "link")

    def __init__(self, page: str):
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self._open: list[str] = []
        self._text: list[str] = []
        self.feed(page)
        text = re.sub(r"\s+", " ", "".join(self._text))
        self.found += re.findall(r"\\href\{javascript:lncheat", text)

    def handle_starttag(self, tag, attrs):
        if tag not in ("br", "img", "input", "meta", "link", "hr", "base", "embed"):
            self._open.append(tag)
        for name, value in attrs:
            if "lncheat" in (value or "") and (
                tag in self.RUN
                or name.startswith("on")
                or re.match(r"\s*(javascript:|data:text/html)", value, re.IGNORECASE)
            ):
                self.found.append(f"<{tag} {name}={value[:60]}>")

    def handle_endtag(self, tag):
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data):
        if "lncheat" in data and self._open[-1:] in (["script"], ["style"]):
            self.found.append(f"<{self._open[-1]}>{data.strip()[:60]}")
        if not {"script", "style", "pre", "code", "textarea"} & set(self._open):
            self._text.append(data)


def told(page: str) -> list[str]:
    """The secrets that a page tells, in plain text or lightly disguised."""
    disguises = [
        lambda text: text,
        lambda text: text[::-1],
        lambda text: text.encode().hex(),
        lambda text: base64.b64encode(text.encode()).decode().rstrip("="),
        lambda text: "".join(chr(ord(letter) + 1) for letter in text),
    ]
    text = html.unescape(re.sub(r"<[^>]*>", "", page))
    secrets = SECRETS + [line for line in _hidden_lines() if len(line) > 8]
    return [
        f"{secret} as {disguise(secret)}"
        for secret in secrets
        for disguise in disguises
        if disguise(secret) in page or disguise(secret) in text
    ]


def _hidden_lines() -> list[str]:
    cells = assignment(*searchable())
    texts = [cell_named(cells, name).source for name in ("hidden-1", "hidden-2")]
    return [line for text in texts for line in text.split("\n")[1:]]


def outcome(course: WatchedCourse, student: str, expected: dict[str, float]) -> list[str]:
    """What is wrong with the marks of one student, and what they reached."""
    found = course.marks(NAME).get(student, {})
    wrong = []
    if any((found.get(name) or 0) != mark for name, mark in expected.items()):
        wrong.append(f"marks {[found.get(name) for name in TESTS]}")
    page = course.folder / "autograded" / student / NAME / f"{NAME}.ipynb"
    if page.exists():
        for cell in json.loads(page.read_text())["cells"]:
            outputs = re.sub(r'"traceback":.*', "", json.dumps(cell.get("outputs", [])))
            wrong += re.findall(r"REACHED[^\"\\]{0,40}", outputs)[:1]
        if page.stat().st_size > 30_000_000:
            wrong.append(f"a file of {page.stat().st_size // 10**6} MB")
    return wrong


def prepared(folder: Path) -> WatchedCourse:
    """A course handed out, with one student marked."""
    course = WatchedCourse(folder / "course")
    course.add_source(NAME, assignment(*searchable()))
    course.hand_out(NAME)
    course.hand_in(FIRST, NAME, answered(course.release(NAME), RIGHT))
    course.nbgrader("autograde", NAME)
    assert not outcome(course, FIRST, FULL)
    return course


def marked(
    course: WatchedCourse, line: dict[str, tuple[Cheat, dict]], seconds: float, first: int = 1
) -> dict[str, list[str]]:
    """Grade these in this order: by name what went wrong, and under "" for the course."""
    students = {name: f"{first + at:03} {name}" for at, name in enumerate(line)}
    with listening(course.settings / "socket") as (port, heard):
        for at, (name, (cheat, _)) in enumerate(line.items()):
            course.put(students[name], first + at, cheat, port)
        files, book = course.state(), course.book()
        start = time.monotonic()
        in_time = course.within(seconds, "autograde", NAME, f"--Execute.timeout={SECONDS}")
        took = time.monotonic() - start
        shown = [students[name] for name, (cheat, _) in line.items() if cheat.pages]
        shown_in_time = not shown or course.within(seconds, "generate_feedback", NAME)
        time.sleep(0.5)  # for those who were left behind
        everybody = (
            [] if in_time else [f"grading broke off, or took over {seconds:.0f} s: {took:.0f} s"]
        )
        everybody += [] if shown_in_time else ["feedback broke off"]
        everybody += [f"arrived: {text}" for text in heard]
    numbers = {f"{first + at:03}" for at in range(len(line))}
    everybody += left_behind(course, numbers)
    everybody += course_changes(course, files, book, [FIRST, *students.values()])
    try:
        found = {name: outcome(course, students[name], line[name][1]) for name in line}
        everybody += [f"{FIRST}: {wrong}" for wrong in outcome(course, FIRST, FULL)]
    except Exception as error:
        return dict.fromkeys(line, []) | {"": [*everybody, f"no marks: {error!r:.100}"]}
    for student, texts in pages(course, shown).items() if shown else ():
        name = student[4:]
        for place, text in texts.items():
            found[name] += [f"{place}: {text}"] if text.startswith("NO PAGE") else []
            found[name] += [f"{place}: {item}" for item in _Active(text).found]
        if CHEATS.get(name):
            found[name] += [f"feedback tells {item}" for item in told(texts["feedback"])]
    return found | {"": everybody}


def course_changes(course, files, book, students) -> list[str]:
    """What changed in the course that only nbgrader may change."""
    after = course.state()
    wrong = [
        f"changed: {path}"
        for path in files.keys() | after.keys()
        if files.get(path) != after.get(path)
    ]
    try:
        wrong += [
            f"gradebook: {what}" for what, rows in course.book().items() if rows != book[what]
        ]
    except sqlite3.Error as error:
        wrong.append(f"gradebook: {error}")
    for place in ("autograded", "feedback"):
        present = {path.name for path in (course.folder / place).glob("*")}
        wrong += [f"new: {place}/{name}" for name in sorted(present - set(students))]
    wrong += [f"new: {path}" for path in glob(f"{course.settings}/**/lncheat*", recursive=True)]
    return sorted(set(wrong))


# Whoever is of these kinds may end an unprotected run for all who come after.
APART = ("writing", "parents", "floods", "beside", "exceptions")


def batches(names: list[str], apart_too: bool) -> list[list[str]]:
    """What can be graded in one course: if nothing protects it, some only apart."""
    rows = {**CHEATS, **HONEST}
    apart = [[name] for name in names if apart_too and rows[name].kind in APART]
    others = [name for name in names if [name] not in apart]
    return [others[at : at + 12] for at in range(0, len(others), 12)] + apart


def batch(template: WatchedCourse, number: int, names: list[str]) -> dict[str, list[str]]:
    """What these gain or damage in a course of their own, with an honest student at the end."""
    course = template.copy(f"batch-{number}")
    line = {n: (CHEATS[n], dict.fromkeys(TESTS, 0)) for n in names if n in CHEATS}
    line |= {n: (HONEST[n], FULL) for n in names if n in HONEST}
    line["next"] = (HONEST["plain"], FULL)
    found = marked(course, line, 60 + 10 * len(line), first=1 + 13 * number)
    subprocess.run(["rm", "-rf", course.folder, course.settings], check=True)
    found[""] += [f"next: {wrong}" for wrong in found.pop("next")]
    return found if len(names) > 1 else {names[0]: found[names[0]] + found[""], "": []}


def main(words: list[str]) -> None:
    """Print what each cheat gains; all, or those of these names and kinds."""
    rows, apart = {**CHEATS, **HONEST}, "--apart" in words
    words = [word for word in words if word != "--apart"]
    chosen = [name for name, row in rows.items() if not words or name in words or row.kind in words]
    bad = 0
    with tempfile.TemporaryDirectory(prefix="cheats-") as folder, ThreadPoolExecutor(2) as pool:
        template = prepared(Path(folder))
        for found in pool.map(
            lambda pair: batch(template, *pair), enumerate(batches(chosen, apart))
        ):
            for name, wrong in found.items():
                bad += bool(wrong) and name != ""
                if name or wrong:
                    kind = rows[name].kind if name else "in all"
                    print(f"{kind:10} {name}: {'; '.join(wrong) or 'nothing'}"[:400], flush=True)
    print(f"{bad} of {len(chosen)} gained or damaged something")


if __name__ == "__main__":
    main(sys.argv[1:])
