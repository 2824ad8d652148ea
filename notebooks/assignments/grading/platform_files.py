"""The files in which Moodle and Canvas give a class and take its marks: read, filled in, written.

| file | where its platform gives it | known by the columns |
|---|---|---|
| Moodle's grading worksheet | assignment, *Download grading worksheet* | Identifier, Grade |
| Moodle's grades | *Grades > Export*, plain text | First name, Email address |
| Canvas's gradebook | *Grades > Export* | Student, ID, Section |

All else in them is kept as it came: the order, the mark at the start of the file, what separates
columns, commas in numbers. Of Canvas's file only the columns that say who somebody is are kept,
and the one that is filled in, so that nothing else can be set back to what it was.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

BOM = "\ufeff"
NO_SCORE = re.compile(r"\s*(Muted|Manual Posting.*)?\s*", re.IGNORECASE)  # Canvas's second row
CALCULATED = re.compile(r"(Current|Final|Override) (Score|Points|Grade|Status)\b")
NUMBER = re.compile(r"-?\d+([.,]\d+)?")
# Letters that are no other letter with an accent, as platforms and people spell them without.
SPELT = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ı": "i", "æ": "ae", "œ": "oe"})


class Refused(ValueError):
    """A file that cannot be filled in safely; says why, and what to do."""


@dataclass(frozen=True)
class Marked:
    """What the gradebook knows of a student.

    Attributes:
        id: in the gradebook.
        mark: points; None while something is not marked.
        names, emails: by which a platform may know them, besides the id.
        numbers: platform -> the number that it put into the name of the file handed in.
        missing: what is not marked yet.
    """

    id: str
    mark: float | None
    names: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    numbers: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sheet:
    """A platform's file.

    Attributes:
        platform: "Moodle" or "Canvas".
        header, rows: its text, cell by cell.
        people: the numbers of the rows that are students.
        grade: the column to fill in.
        maximum: the most points that it takes; None where the file does not say.
        comma: whether its numbers have a decimal comma.
        kept: the columns to be written.
        separator, bom, newline: how it is written.
    """

    platform: str
    header: list[str]
    rows: list[list[str]]
    people: list[int]
    grade: int
    maximum: float | None
    comma: bool
    kept: list[int]
    separator: str
    bom: bool
    newline: str

    def column(self, *names: str) -> int | None:
        """The first column of one of these names, in any case."""
        wanted = [name.casefold() for name in names]
        found = [i for i, title in enumerate(self.header) if title.strip().casefold() in wanted]
        return found[0] if found else None

    def cell(self, row: int, *names: str) -> str:
        """What a row has in the column of one of these names; nothing where there is none."""
        column = self.column(*names)
        return "" if column is None else self.rows[row][column].strip()

    def who(self, row: int) -> str:
        """A student of the file, for a person to read."""
        number = self.cell(row, "Identifier", "ID", "ID number")
        return " / ".join(filter(None, [_full_name(self, row), number])) or f"row {row + 2}"


@dataclass
class Report:
    """What became of everybody, on both sides; each a list of lines to be read."""

    filled: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    not_in_file: list[str] = field(default_factory=list)
    nothing: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


# -- reading ---------------------------------------------------------------------------------------


def read_sheet(path: Path, assignment: str, column: str = "") -> Sheet:
    """A platform's file, and where the marks of an assignment go.

    Args:
        path: the file.
        assignment: its name here, such as 01_quadratic_toy.
        column: the title of the column to fill in, where the assignment's name does not tell it.

    Raises:
        Refused: it is none of the three, or it is not clear where the marks go.
    """
    text = _text(path)
    bom, text = text.startswith(BOM), text.removeprefix(BOM)
    separator = max(",;\t", key=lambda mark: len(next(_cells(text, mark), [])))
    every = enumerate(_cells(text, separator), 1)
    lines = [(at, row) for at, row in every if any(cell.strip() for cell in row)]
    if not lines:
        raise Refused(f"{path.name} is empty.")
    header, rows = lines[0][1], [row for _, row in lines[1:]]
    for at, row in lines[1:]:
        if len(row) != len(header):
            raise Refused(
                f"{path.name}, line {at}: {len(row)} cells under a header of {len(header)}. Was it "
                "changed by another program? Download it again, and do not open it before."
            )
    newline = "\r\n" if "\r\n" in text else "\n"
    sheet = Sheet("", header, rows, [], -1, None, False, [], separator, bom, newline)
    titles = {title.strip().casefold() for title in header}
    if {"identifier", "grade"} <= titles:
        return _worksheet(sheet)
    if {"id", "section"} <= titles and titles & {"student", "lastname"}:
        return _canvas(sheet, assignment, column)
    if {"first name", "email address"} <= titles:
        return _moodle_grades(sheet, assignment, column)
    raise Refused(
        f"{path.name} is neither Moodle's grading worksheet (columns Identifier, Grade), nor its "
        "exported grades (First name, Email address), nor Canvas's gradebook (Student, ID, "
        f"Section); its columns are {', '.join(header[:6])}. The file must be in English: choose "
        "that language in Moodle before you download it, and again before you upload it."
    )


def _cells(text: str, separator: str) -> Iterator[list[str]]:
    return csv.reader(io.StringIO(text, newline=""), delimiter=separator)


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise Refused(
            f"{path.name} is not UTF-8 text, so names would be lost. Download it again as CSV, and "
            "do not save it from a spreadsheet program."
        ) from None


def _worksheet(sheet: Sheet) -> Sheet:
    grade = sheet.column("Grade")
    limits = {sheet.cell(row, "Maximum grade") for row in range(len(sheet.rows))} - {""}
    if len(limits) > 1:
        raise Refused(f"Moodle's worksheet has several maximum grades: {sorted(limits)}.")
    everything = list(range(len(sheet.header)))
    return replace(
        sheet,
        platform="Moodle",
        people=list(range(len(sheet.rows))),
        grade=-1 if grade is None else grade,
        maximum=_number(limits.pop()) if limits else None,
        comma=_commas(sheet, everything),
        kept=everything,
    )


def _moodle_grades(sheet: Sheet, assignment: str, column: str) -> Sheet:
    titles = {
        i: re.sub(r" \(Real\)$", "", title.strip()).partition(": ")[2]
        for i, title in enumerate(sheet.header)
        if ": " in title and not re.search(r"^Feedback: |\((Percentage|Letter|Feedback)\)$", title)
    }
    everything = list(range(len(sheet.header)))
    return replace(
        sheet,
        platform="Moodle",
        people=list(range(len(sheet.rows))),
        grade=_chosen(sheet, titles, assignment, column),
        comma=_commas(sheet, list(titles)),
        kept=everything,
    )


def _canvas(sheet: Sheet, assignment: str, column: str) -> Sheet:
    about = sheet.column("Section") or 0
    titles = {
        i: re.sub(r" \(\d+\)$", "", title.strip())
        for i, title in enumerate(sheet.header)
        if i > about and re.search(r" \(\d+\)$", title.strip()) and not CALCULATED.search(title)
    }
    grade = _chosen(sheet, titles, assignment, column)
    points, people = "", []
    for number, row in enumerate(sheet.rows):
        if row[0].strip().startswith("Points Possible"):
            points = row[grade].strip()
        elif not all(NO_SCORE.fullmatch(cell) for cell in row):
            people.append(number)
    if "read only" in points:
        raise Refused(
            f"Canvas takes no marks in the column {sheet.header[grade]!r}: it is read only."
        )
    return replace(
        sheet,
        platform="Canvas",
        people=people,
        grade=grade,
        maximum=_number(points) if points else None,
        comma=_commas(sheet, list(titles)),
        kept=[*range(about + 1), grade],
    )


def _chosen(sheet: Sheet, titles: Mapping[int, str], assignment: str, column: str) -> int:
    """The column of an assignment, by its full title or by the assignment's name."""
    if column:
        found = [i for i in titles if column.strip() in (sheet.header[i].strip(), titles[i])]
    else:
        found = _named(titles, _joined(assignment)) or _named(
            titles, _joined(re.sub(r"^\d+_", "", assignment))
        )
    if len(found) != 1:
        there = ", ".join(repr(sheet.header[i].strip()) for i in titles) or "none"
        raise Refused(
            f"{len(found) or 'No'} columns are called {column or assignment!r}. Say which one is "
            f"meant with --Marks.column='TITLE'. Columns for marks: {there}."
        )
    return found[0]


def _named(titles: Mapping[int, str], name: str) -> list[int]:
    """The columns whose title is this name, else those that contain it."""
    joined = {i: _joined(title) for i, title in titles.items()}
    return [i for i in joined if joined[i] == name] or [i for i in joined if name in joined[i]]


def _number(text: str) -> float:
    if not NUMBER.fullmatch(text.strip()):
        raise Refused(f"The most points that can be given should be a number; there is {text!r}.")
    return float(text.strip().replace(",", "."))


def _commas(sheet: Sheet, columns: Iterable[int]) -> bool:
    """Whether numbers in these columns have a decimal comma, and none has a point."""
    cells = [row[i].strip() for row in sheet.rows for i in columns]
    marks = {match[1][0] for cell in cells if (match := NUMBER.fullmatch(cell)) and match[1]}
    return marks == {","}


# -- who is who ------------------------------------------------------------------------------------


def _folded(text: str) -> str:
    """A text without capitals and accents."""
    plain = unicodedata.normalize("NFKD", text.casefold().translate(SPELT))
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


def _words(text: str) -> str:
    """The words of a name, in one order."""
    return " ".join(sorted(re.findall(r"[^\W_]+", _folded(text))))


def _joined(text: str) -> str:
    """The letters and digits of a name, as in the files that Canvas collects."""
    return "".join(re.findall(r"[^\W_]+", _folded(text)))


def same_letters(one: str, other: str) -> bool:
    """Whether two names have the same letters, in whatever order and spelling, and digits."""
    ones, others = _joined(one), _joined(other)
    digits = [[mark for mark in name if not mark.isalpha()] for name in (ones, others)]
    return sorted(ones) == sorted(others) and digits[0] == digits[1]


def _full_name(sheet: Sheet, row: int) -> str:
    whole = sheet.cell(row, "Full name", "Student")
    first = sheet.cell(row, "First name", "FirstName")
    last = sheet.cell(row, "Last name", "Surname", "LastName")
    return whole or f"{first} {last}".strip()


IDENTITY = ("Email address", "ID number", "Username", "SIS User ID", "SIS Login ID", "ID")


def _keys(sheet: Sheet, row: int) -> list[set[str]]:
    """What a row may be known by, surest first: number, account, name."""
    number = re.findall(r"\d+$", sheet.cell(row, "Identifier") or sheet.cell(row, "ID"))
    accounts = {_folded(sheet.cell(row, name)) for name in (*IDENTITY, "Identifier")}
    name = _full_name(sheet, row)
    return [set(number), accounts - {""}, {_words(name), _joined(name)} - {""}]


def _own_keys(student: Marked, platform: str) -> list[set[str]]:
    names = [student.id, *student.names]
    number = student.numbers.get(platform)
    return [
        {number} if number else set(),
        {_folded(text.strip()) for text in (student.id, *student.emails)} - {""},
        {key for name in names for key in (_words(name), _joined(name))} - {""},
    ]


def match(sheet: Sheet, students: Sequence[Marked]) -> dict[str, int]:
    """Row by student, for all whom the file has.

    Raises:
        Refused: somebody could be several rows, or several could be one; all are named.
    """
    rows = {row: _keys(sheet, row) for row in sheet.people}
    found: dict[str, int] = {}
    doubts = []
    for student in students:
        levels = [
            [row for row, keys in rows.items() if keys[level] & own]
            for level, own in enumerate(_own_keys(student, sheet.platform))
        ]
        said = [hits for hits in levels if hits]
        if not said:
            continue
        number = student.numbers.get(sheet.platform)
        foreign = number is not None and any(rows[row][0] - {number} for row in said[0])
        if foreign or len(said[0]) > 1 or any(said[0][0] not in hits for hits in said):
            may_be = sorted({row for hits in said for row in hits})
            name = f"{student.id}, number {number}," if number else student.id
            doubts.append(f"{name} may be {' or '.join(map(sheet.who, may_be))}")
        else:
            found[student.id] = said[0][0]
    for row in sorted(set(found.values())):
        same = sorted(id for id, at in found.items() if at == row)
        if len(same) > 1:
            doubts.append(f"{' and '.join(same)} are both {sheet.who(row)}")
    if doubts:
        raise Refused(
            f"It is not clear who is who, so nothing is written: {'; '.join(doubts)}. Tell the "
            "gradebook an email address of theirs: nbgrader db student add ID --email=ADDRESS"
        )
    return found


# -- filling in ------------------------------------------------------------------------------------


def filled(
    sheet: Sheet, students: Sequence[Marked], points: float, *, scale: bool = False
) -> tuple[Sheet, Report]:
    """The file with the marks, and what became of everybody.

    Args:
        sheet: the platform's file.
        students: of the gradebook, those who have handed in.
        points: the most that the assignment gives here.
        scale: turn points into shares of what the platform gives at most.

    Raises:
        Refused: the platform gives another number of points, or it is not clear who is who.
    """
    if sheet.maximum is not None and sheet.maximum != points and not scale:
        raise Refused(
            f"{sheet.platform} gives {sheet.maximum:g} points at most, the assignment {points:g}. "
            f"Set it to {points:g} in {sheet.platform} and download the file again, or have the "
            "marks scaled: --Marks.scale=True"
        )
    found, report = match(sheet, students), Report()
    rows = [list(row) for row in sheet.rows]
    factor = (sheet.maximum or points) / points if scale else 1.0
    for student in students:
        if student.id not in found:
            mark = "not marked" if student.mark is None else _shown(student.mark, False)
            report.not_in_file.append(f"{student.id} ({mark})")
            continue
        at = found[student.id]
        who, old = f"{student.id} = {sheet.who(at)}", rows[at][sheet.grade].strip()
        if old.upper() in ("EX", "N/A") or sheet.cell(at, "Grade can be changed") == "No":
            report.left.append(f"{who} ({old or 'locked'})")
        elif student.mark is None:
            report.unfinished.append(f"{who} ({', '.join(student.missing)})")
        else:
            new = _shown(student.mark * factor, sheet.comma)
            rows[at][sheet.grade] = new
            report.filled.append(f"{who}: {new}")
            if NUMBER.fullmatch(old) and _number(old) != _number(new):
                report.changed.append(f"{who}: {old} before, {new} now")
    report.nothing = [sheet.who(row) for row in sheet.people if row not in found.values()]
    return replace(sheet, rows=rows), report


def _shown(mark: float, comma: bool) -> str:
    text = f"{mark:.2f}".rstrip("0").rstrip(".")
    return text.replace(".", ",") if comma else text


def written(sheet: Sheet) -> bytes:
    """The file's content, as its platform takes it back."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=sheet.separator, lineterminator=sheet.newline)
    for row in [sheet.header, *sheet.rows]:
        writer.writerow([row[i] for i in sheet.kept])
    return (BOM * sheet.bom + out.getvalue()).encode()
