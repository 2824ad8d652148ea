"""Marks go into the files that Moodle and Canvas give: their own formats, odd ones, and doubts."""

import csv
import importlib.util
import io
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).resolve().parent.parent / "notebooks/assignments/grading/platform_files.py"
spec = importlib.util.spec_from_file_location("platform_files", FILE)
platform_files = importlib.util.module_from_spec(spec)
sys.modules["platform_files"] = platform_files  # dataclasses look their module up
spec.loader.exec_module(platform_files)
Marked, Refused = platform_files.Marked, platform_files.Refused

NAME = "01_quadratic_toy"
WORKSHEET = """\
Identifier,Full name,Email address,Status,Grade,Maximum Grade,Grade can be changed,\
Last modified (submission),Last modified (grade),Feedback comments
Participant 11,María López,maria@uni.example,Submitted for grading,,19.00,Yes,\
"Monday, 5 October 2026, 9:14 AM",-,
Participant 12,Bo Li,bo.li@uni.example,Submitted for grading - 2 days late,3.00,19.00,Yes,\
"Monday, 5 October 2026, 9:15 AM","Tuesday, 6 October 2026, 8:00 AM","<p>See, page</p>"
Participant 13,Cy Ng,cy@uni.example,No submission,,19.00,Yes,-,-,
Participant 14,Di Ong,di@uni.example,Submitted for grading,,19.00,No,-,-,
"""
GRADES = """\
"First name",Surname,"ID number",Institution,Department,"Email address",\
"Assignment: 01 Quadratic toy (Real)","Assignment: 01 Quadratic toy (Percentage)",\
"Feedback: 01 Quadratic toy","Assignment: 04 MLP (Real)","Course total (Real)",\
"Last downloaded from this course"
María,López,A1,,,maria@uni.example,-,-,,7.00,7.00,1790000000
Bo,Li,A2,,,bo.li@uni.example,3.00,15.79 %,,-,3.00,1790000000
"""
CANVAS = """\
Student,ID,SIS User ID,SIS Login ID,Section,Notes,Quadratic toy (901),MLP (904),\
Assignments Current Score,Current Score,Final Grade
,,,,,,Manual Posting,,,,
    Points Possible,,,,,,19.00,18.00,(read only),(read only),(read only)
"López, María",5001,S1,mlopez,Group A,shy,,9.00,50.00,50.00,F
"Li, Bo",5002,S2,bli,Group B,,3.00,,10.00,10.00,F
"Ng, Cy",5003,S3,cng,Group A,,EX,,,,
"Student, Test",5999,,0a1b2c,Group A,,,,,,
"""
FILES = {"worksheet": WORKSHEET, "grades": GRADES, "canvas": CANVAS}
MARIA, BO = Marked("María López", 16.5), Marked("Bo Li", 8.0)


def sheet(tmp_path, text, column="", encoding="utf-8", name=NAME):
    path = tmp_path / "downloaded.csv"
    path.write_bytes(text.encode(encoding))
    return platform_files.read_sheet(path, name, column)


def fill(tmp_path, text, students, **options):
    scale = options.pop("scale", False)
    table, report = platform_files.filled(
        sheet(tmp_path, text, **options), students, 19, scale=scale
    )
    return platform_files.written(table), report


def cells(content, separator=","):
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig")), delimiter=separator))


@pytest.mark.parametrize(
    ("file", "grade", "rows"),
    [("worksheet", 4, (1, 2)), ("grades", 6, (1, 2)), ("canvas", 5, (3, 4))],
)
def test_marks_stand_where_they_belong_and_nothing_else_has_changed(tmp_path, file, grade, rows):
    content, report = fill(tmp_path, FILES[file], [BO, MARIA])
    before, after = cells(FILES[file].encode()), cells(content)
    assert [after[row][grade] for row in rows] == ["16.5", "8"]
    assert len(report.filled) == 2 and not report.not_in_file
    assert [line.partition(" / ")[0] for line in report.changed] == ["Bo Li = " + report_name(file)]
    if file == "canvas":  # who somebody is, and the one column
        before = [[*row[:5], row[6]] for row in before]
    for row, column in ((rows[0], grade), (rows[1], grade)):
        before[row][column] = after[row][column]
    assert after == before


def report_name(file):
    return "Li, Bo" if file == "canvas" else "Bo Li"


def test_what_an_import_of_each_platform_looks_for_is_there(tmp_path):
    """Moodle's finds Identifier, Grade, Last modified (grade); Canvas's the first five columns."""
    [header, *_] = cells(fill(tmp_path, WORKSHEET, [BO])[0])
    assert {"Identifier", "Grade", "Last modified (grade)"} <= set(header)
    [header, muted, points, *_] = cells(fill(tmp_path, CANVAS, [BO])[0])
    assert header == "Student,ID,SIS User ID,SIS Login ID,Section,Quadratic toy (901)".split(",")
    assert muted == ["", "", "", "", "", "Manual Posting"]
    assert points == ["    Points Possible", "", "", "", "", "19.00"]


@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("bom", [True, False], ids=["bom", "no bom"])
@pytest.mark.parametrize("separator", [",", ";", "\t"], ids=["comma", "semicolon", "tab"])
@pytest.mark.parametrize("file", FILES)
def test_a_file_is_written_as_it_was(tmp_path, file, separator, bom, newline):
    """Without a student nothing changes but what Canvas's file leaves out."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=separator, lineterminator=newline)
    writer.writerows(csv.reader(io.StringIO(FILES[file])))
    text = "\ufeff" * bom + out.getvalue()
    content, report = fill(tmp_path, text, [])
    if file != "canvas":
        assert content.decode() == text
    assert content.decode().startswith("\ufeff") == bom
    assert (content.count(b"\r\n") > 0) == (newline == "\r\n")
    first = {"worksheet": "Identifier", "grades": "First name", "canvas": "Student"}
    assert cells(content, separator)[0][0] == first[file]
    assert len(report.nothing) == {"worksheet": 4, "grades": 2, "canvas": 4}[file]


def test_decimal_commas_are_read_and_written(tmp_path):
    text = WORKSHEET.replace(",19.00,", ',"19,00",').replace(",3.00,", ',"3,00",')
    content, report = fill(tmp_path, text, [MARIA, BO])
    assert [row[4] for row in cells(content)[1:3]] == ["16,5", "8"]
    assert report.changed == ["Bo Li = Bo Li / Participant 12: 3,00 before, 8 now"]
    canvas = CANVAS.replace(",", ";").replace("19.00", "19,00").replace("18.00", "18,00")
    canvas = canvas.replace("9.00", "9,00").replace("3.00", "3,00").replace("z; M", "z, M")
    canvas = canvas.replace('"Li; Bo"', '"Li, Bo"')
    content, _ = fill(tmp_path, canvas, [MARIA, BO])
    assert [row[5] for row in cells(content, ";")[3:5]] == ["16,5", "8"]


KNOWN = {
    "the name": Marked("María López", 16.5),
    "without accents, in capitals": Marked("MARIA LOPEZ", 16.5),
    "an accent that stands apart": Marked("Mari\u0301a Lo\u0301pez", 16.5),
    "last name first": Marked("López, María", 16.5),
    "underscores": Marked("lopez_maria", 16.5),
    "as Canvas collects": Marked("lópezmaría", 16.5),
    "names in the gradebook": Marked("m1", 16.5, names=("Maria Lopez",)),
}


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("student", KNOWN.values(), ids=KNOWN)
def test_a_name_is_known_however_it_is_spelt(tmp_path, student, file):
    if student.id == "lópezmaría" and file != "canvas":
        pytest.skip("such ids come from Canvas")
    _, report = fill(tmp_path, FILES[file], [student])
    assert len(report.filled) == 1 and "L" in report.filled[0]


ACCOUNTS = [
    ("worksheet", Marked("MARIA@uni.example", 1.0)),
    ("worksheet", Marked("m1", 1.0, emails=("maria@uni.example",))),
    ("worksheet", Marked("m1", 1.0, numbers={"Moodle": "11"})),
    ("worksheet", Marked("Participant 11", 1.0)),
    ("grades", Marked("a1", 1.0)),
    ("canvas", Marked("mlopez", 1.0)),
    ("canvas", Marked("S1", 1.0)),
    ("canvas", Marked("5001", 1.0)),
    ("canvas", Marked("m1", 1.0, numbers={"Canvas": "5001"})),
]


@pytest.mark.parametrize(("file", "student"), ACCOUNTS)
def test_an_account_or_a_number_is_enough(tmp_path, file, student):
    _, report = fill(tmp_path, FILES[file], [student])
    assert len(report.filled) == 1 and "López" in report.filled[0] + FILES[file] * (
        file == "grades"
    )


def test_a_number_of_the_other_platform_means_nothing(tmp_path):
    _, report = fill(tmp_path, WORKSHEET, [Marked("m1", 1.0, numbers={"Canvas": "11"})])
    assert report.filled == [] and report.not_in_file == ["m1 (1)"]


TWINS = WORKSHEET.replace("Cy Ng", "Maria Lopez")
DOUBTS = {
    "two of one name": (TWINS, [MARIA], "María López may be María López / Participant 11 or Maria "
                        "Lopez / Participant 13"),
    "one email twice": (WORKSHEET.replace("cy@", "maria@"), [Marked("maria@uni.example", 1.0)],
                        "may be María López / Participant 11 or Cy Ng / Participant 13"),
    "two students, one row": (WORKSHEET, [MARIA, Marked("lopez_maria", 2.0)],
                              "María López and lopez_maria are both María López / Participant 11"),
    "name and email disagree": (WORKSHEET, [Marked("Cy Ng", 1.0, emails=("bo.li@uni.example",))],
                                "Cy Ng may be Bo Li / Participant 12 or Cy Ng / Participant 13"),
    "name and number disagree": (WORKSHEET, [Marked("Cy Ng", 1.0, numbers={"Moodle": "11"})],
                                 "Cy Ng, number 11, may be María López / Participant 11 or Cy Ng"),
    "a number that is not there": (WORKSHEET, [Marked("Cy Ng", 1.0, numbers={"Moodle": "99"})],
                                   "Cy Ng, number 99, may be Cy Ng / Participant 13"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "students", "told"), DOUBTS.values(), ids=DOUBTS)
def test_doubts_about_who_is_who_are_refused(tmp_path, text, students, told):
    with pytest.raises(Refused) as caught:
        fill(tmp_path, text, students)
    assert told in str(caught.value) and "nothing is written" in str(caught.value)


def test_a_number_tells_two_of_one_name_apart(tmp_path):
    twins = [
        Marked("Maria Lopez", 5.0, numbers={"Moodle": "13"}),
        Marked("María López", 6.0, numbers={"Moodle": "11"}),
    ]
    content, _ = fill(tmp_path, TWINS, twins)
    assert [row[4] for row in cells(content)[1:]] == ["6", "3.00", "5", ""]


def test_nobody_is_dropped_in_silence(tmp_path):
    """Every student of either side is in one of the lists, and no mark is made up."""
    students = [
        MARIA,
        Marked("Bo Li", None, missing=("manual-6",)),
        Marked("Di Ong", 4.0),
        Marked("Eva Roth", 12.25),
        Marked("Flo", None, missing=("check-1",)),
    ]
    content, report = fill(tmp_path, WORKSHEET, students)
    assert report.filled == ["María López = María López / Participant 11: 16.5"]
    assert report.unfinished == ["Bo Li = Bo Li / Participant 12 (manual-6)"]
    assert report.left == ["Di Ong = Di Ong / Participant 14 (locked)"]
    assert report.not_in_file == ["Eva Roth (12.25)", "Flo (not marked)"]
    assert report.nothing == ["Cy Ng / Participant 13"]
    assert [row[4] for row in cells(content)[1:]] == ["16.5", "3.00", "", ""]


def test_an_excuse_is_no_mark(tmp_path):
    content, report = fill(tmp_path, CANVAS, [Marked("Cy Ng", 4.0)])
    assert report.left == ["Cy Ng = Ng, Cy / 5003 (EX)"] and cells(content)[5][5] == "EX"


@pytest.mark.parametrize("title", ["Quadratic toy", "quadratic-toy", "Week 1: 01_quadratic_toy"])
def test_an_assignment_is_known_by_its_name(tmp_path, title):
    text = CANVAS.replace("Quadratic toy (901)", f"{title} (901)")
    assert sheet(tmp_path, text).grade == 6


def test_a_title_chooses_the_column(tmp_path):
    assert sheet(tmp_path, CANVAS, column="MLP (904)").grade == 7
    assert sheet(tmp_path, CANVAS, column="MLP").maximum == 18


def test_points_are_scaled_only_if_asked(tmp_path):
    text = WORKSHEET.replace("19.00", "100.00")
    with pytest.raises(Refused, match="Moodle gives 100 points at most, the assignment 19"):
        fill(tmp_path, text, [MARIA])
    content, _ = fill(tmp_path, text, [MARIA], scale=True)
    assert cells(content)[1][4] == "86.84"  # 16.5 of 19


REFUSED = {
    "another file": ("a,b\n1,2\n", {}, "its columns are a, b. The file must be in English"),
    "empty": ("", {}, "is empty"),
    "German": ("ID,Vollständiger Name,Bewertung\n", {}, "is neither Moodle's grading worksheet"),
    "a spreadsheet program's": (WORKSHEET, {"encoding": "latin-1"}, "is not UTF-8 text"),
    "a row too short": (WORKSHEET + "Participant 15,Jo\n", {}, "line 6: 2 cells under a header"),
    "no such column": (CANVAS, {"name": "02_curvature"}, "No columns are called '02_curvature'"),
    "no such title": (CANVAS, {"column": "Quadratic"}, "No columns are called 'Quadratic'"),
    "two such columns": (CANVAS.replace("MLP (904)", "Quadratic toy (904)"),
                         {}, "2 columns are called '01_quadratic_toy'"),
    "a calculated column": (CANVAS, {"column": "Final Grade"}, "Columns for marks: 'Quadratic toy"),
    "points that are no number": (WORKSHEET.replace("19.00", "A-F"), {}, "should be a number"),
    "several maxima": (WORKSHEET.replace("19.00", "9", 1), {}, "several maximum grades"),
    "read only": (CANVAS.replace(",19.00,", ",(read only),"), {},
                  "takes no marks in"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "options", "told"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_filled_in_is_refused_in_words(tmp_path, text, options, told):
    with pytest.raises(Refused) as caught:
        fill(tmp_path, text, [MARIA], **options)
    assert told in str(caught.value)
