"""How nbgrader marks this course. Run nbgrader in the folder that holds this file.

The answers and their tests never share a process: `grading/` says how. Besides:

- a given cell is the teacher's, whole, whatever was handed in (`RestoreCells`);
- the feedback says what a hidden test found, not what it is (`KeepTestsHidden`);
- downloads are understood under the names that learning platforms give them;
- marks go into the files that these platforms take back (`Marks`).

What remains, and what only a container helps against, is in TEACHING.md.
"""

import importlib.util
import os
import sys
import warnings
from pathlib import Path

FOLDER = Path(__file__).resolve().parent

try:
    from nbconvert.preprocessors import ClearMetadataPreprocessor, CSSHTMLHeaderPreprocessor
    from nbgrader.preprocessors import (
        AssignLatePenalties,
        CheckCellMetadata,
        ClearOutput,
        GetGrades,
        LimitOutput,
        OverwriteCells,
        OverwriteKernelspec,
        SaveAutoGrades,
    )

    sys.path.insert(0, str(FOLDER))
    from grading.marks import Marks
    from grading.preprocessors import (
        KeepTestsHidden,
        RestoreCells,
        SeparateExecute,
        forget_unfinished,
    )
except Exception as error:  # nbgrader would go on without this file, and mark without protection
    raise SystemExit(f"{__file__} cannot be used, so nothing is done: {error!r}") from error
sys.path.remove(str(FOLDER))

forget_unfinished(Path.cwd(), "".join(sys.argv[1:2]))

CELL_SECONDS = 60  # chosen here; the slowest answer of the course takes a few seconds

# One thread for each kernel: small problems run faster so, and a class is graded on one machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# nbgrader 0.9.6 makes SQLAlchemy 2.1 warn at each submission, of nothing that goes wrong.
warnings.filterwarnings("ignore", "Object of type <Submitted")

PACKAGE = importlib.util.find_spec("landscape_nb")
EXERCISES = Path(PACKAGE.origin).parent / "course" / "exercises" if PACKAGE else Path()

c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "landscape_nb"
c.Autograde.sanitize_preprocessors = [
    ClearOutput,
    OverwriteKernelspec,
    RestoreCells,
    OverwriteCells,
    CheckCellMetadata,
]
c.Autograde.autograde_preprocessors = [
    SeparateExecute,
    ClearMetadataPreprocessor,
    LimitOutput,
    SaveAutoGrades,
    AssignLatePenalties,
    CheckCellMetadata,
]
c.GenerateFeedback.preprocessors = [GetGrades, KeepTestsHidden, CSSHTMLHeaderPreprocessor]
c.Execute.timeout = CELL_SECONDS
c.Execute.extra_arguments = ["--log-level=ERROR"]  # of the kernel's own log, not of the cells
c.Execute.shell_timeout_interval = 1  # seconds until a kernel that has ended is noticed
c.SeparateExecute.packages = ["landscape_nb"]
c.SeparateExecute.closed = [str(file) for file in sorted(EXERCISES.glob("n*.py"))]  # the truths

c.ExportApp.plugin_class = Marks

# One page for each student, complete in itself.
c.HTMLExporter.embed_images = True

# For downloads named maria.zip or maria/ with 01_quadratic_toy.ipynb inside,
# maria_01_quadratic_toy.ipynb, maria_1234_5678_01_quadratic_toy-1.ipynb (Canvas), and
# "Maria Lopez_1234_assignsubmission_file_/01_quadratic_toy (1).ipynb" (Moodle); also if what is
# inside is the folder that was handed out.
FILE = r"\d\d_[a-z]+(?:_[a-z]+)*"
c.FileNameCollectorPlugin.named_regexp = (
    r"(?!.*/extracted/(?:.*/)?(?:\.|__MACOSX/))"  # what macOS and Jupyter add
    r".*/extracted/(?:[^/]+/)*?(?!" + FILE + r")"
    r"(?P<student_id>[^/]+?)(?:_\d+|_(?i:late)|_assignsubmission_file_?)*"
    r"(?:[/_]" + FILE + r"[^/]*)*"  # the folder that was handed out, zipped and sent back
    r"[/_](?P<file_id>" + FILE + r")[^/]*\.ipynb$"
)
