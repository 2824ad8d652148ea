"""Numbers in prose come from runs: what a sentence states, an output or a stored table holds.

Looked at are decimals, percents, factors ("12 times"), powers such as 3e-4, and outside docstrings
whole numbers of three digits and more: in the markdown of every notebook, in README.md and
TEACHING.md, and in the docstrings of the package. Each must stand in an output or the code beside
it, in a stored study that the text names, or in a benchmark's table. What can't, because it is a
source's own number, an example's, or was measured once at a cost, is listed with its reason in
prose_numbers.toml. A reason that nothing needs any more fails as well.
"""

import ast
import re
import tomllib
from collections import Counter
from pathlib import Path

import nbformat
import pytest

from landscape_nb.study.evidence import stored

ROOT = Path(__file__).resolve().parent.parent
STORIES = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
PAGES = [ROOT / "README.md", ROOT / "notebooks" / "TEACHING.md"]
MODULES = sorted((ROOT / "landscape_nb").rglob("*.py"))
EXCEPTIONS = tomllib.loads((ROOT / "tests" / "prose_numbers.toml").read_text(encoding="utf-8"))

# Not prose: code, links, identifiers of papers, versions, and what LaTeX writes as an index.
NOT_PROSE = re.compile(
    r"```.*?```|`[^`]*`|\]\([^)]*\)|https?://\S+|arXiv:?\s*[\d.v]+|[_^]\{[^}]*\}|[_^]-?\d+|"
    r"\d{4}\.\d{5}|\b[Ss]ec(?:tions?|s?\.)\s[\d.]+(?:(?:,| and| to) [\d.]+)*",
    re.DOTALL,
)
NUMBER = re.compile(r"(?<![\w.])\d+(?:[ ,]\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?(?:\s?\\?%)?(?![\w])")
FACTOR = re.compile(r"(?<![\w.])(?<!\d )\d+(?=(?: times\b|-fold\b))")
FROM = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)(?= (?:to|and|or) \d+(?:\.\d+)?\s?\\?%)")
YEAR = re.compile(r"(19|20)\d\d")


def plain(number: str) -> str:
    return re.sub(r"[ ,\\%]", "", number)


def stated(text: str, *, whole: bool) -> list[str]:
    """The numbers that a text states: decimals, percents, powers; large whole ones if asked."""
    prose = NOT_PROSE.sub(" ", text)
    found = FACTOR.findall(prose) + [f"{number}%" for number in FROM.findall(prose)]
    for match in NUMBER.findall(prose):
        number = plain(match)
        large = whole and len(number) >= 3 and not YEAR.fullmatch(number)
        if "." in number or "e" in number or match.endswith("%") or large:
            found.append(number + "%" * match.endswith("%"))
    return found


def numbers_in(text: str) -> set[str]:
    """All numbers of an output or of code, as they stand."""
    return {plain(match) for match in NUMBER.findall(text)} | set(
        re.findall(r"\d+(?:\.\d+)?(?:e[-+]?\d+)?", text)
    )


def is_held(number: str, held: set[str]) -> bool:
    """Whether a number, or the share that a percent stands for, is among those."""
    bare = number.rstrip("%")
    return bare in held or (number != bare and f"{float(bare) / 100:g}" in held)


def outputs_and_code(notebook) -> str:
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    outputs = [out for cell in cells for out in cell.outputs]
    data = [out.get("data", {}).get(kind, "") for out in outputs for kind in TEXTS]
    data = [text for text in data if "ln-ledger" not in text]  # nearly every number stands there
    # an explorable's state holds nearly every number, too
    alts = [str(out.get("metadata", {}).get("image/png", {})) for out in outputs]
    printed = [out.get("text", "") for out in outputs]
    return "\n".join([*(cell.source for cell in cells), *map(str, data), *alts, *printed])


TEXTS = ("text/plain", "text/html", "text/markdown")


def missing_from_notebook(path: Path) -> list[str]:
    notebook = nbformat.read(path, as_version=4)
    held = numbers_in(outputs_and_code(notebook))
    answered = path.parent / "solutions" / path.name  # where an exercise's picture is drawn
    if answered.exists():
        held |= numbers_in(outputs_and_code(nbformat.read(answered, as_version=4)))
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    for name in re.findall(r"tests/benchmarks/\w+\.md", "\n".join(prose)):
        held |= numbers_in((ROOT / name).read_text(encoding="utf-8"))
    return [n for text in prose for n in stated(text, whole=True) if not is_held(n, held)]


def missing_from_page(path: Path) -> list[str]:
    """Numbers of a page that no notebook's run, no benchmark and no code on the page holds."""
    text = path.read_text(encoding="utf-8")
    runs = [outputs_and_code(nbformat.read(story, as_version=4)) for story in STORIES]
    held = numbers_in("\n".join([*runs, *re.findall(r"```.*?```", text, re.DOTALL)])) | TABLES
    return [n for n in stated(text, whole=True) if not is_held(n, held)]


def docstrings(source: str) -> list[str]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]
    return [text for node in nodes if (text := ast.get_docstring(node))]


def missing_from_module(path: Path) -> list[str]:
    """Docstring numbers that neither the code, its doctests nor a committed table holds."""
    source = path.read_text(encoding="utf-8")
    constants = [
        repr(node.value)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float)
    ]
    texts = docstrings(source)
    examples = [line for text in texts for line in re.findall(r">>>.*?(?:\n\s*\n|$)", text, re.S)]
    held = numbers_in(" ".join([*constants, *examples])) | TABLES
    held |= named_studies(" ".join(texts))
    values = {float(number) for number in held}
    prose = [re.sub(r">>>.*?(?:\n\s*\n|$)", "", text, flags=re.S) for text in texts]
    found = [n for text in prose for n in stated(text, whole=False)]
    return [n for n in found if not is_held(n, held) and float(n.rstrip("%")) not in values]


TABLES = numbers_in(
    "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "tests" / "benchmarks").glob("*.md"))
)


def named_studies(text: str) -> set[str]:
    """The numbers of the stored studies that a text names: `rate`, or "the study rate"."""
    named = [s for s in stored.studies() if re.search(rf"`{s}`|\bstudy {s}\b", text)]
    return numbers_in("\n".join(str(m) for s in named for m in stored.figures(s).values()))


def unexplained(name: str, missing: list[str]) -> tuple[list[str], list[str]]:
    """Numbers without a run and without a reason, and reasons for numbers that are not there."""
    allowed = Counter()
    for entry in EXCEPTIONS.get(name, []):
        assert entry["why"].strip(), f"{name}: an exception without a reason"
        allowed.update(entry["numbers"])
    return sorted(set(missing) - set(allowed)), sorted(set(allowed) - set(missing))


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_a_notebooks_prose_states_what_its_runs_show(path):
    assert unexplained(path.stem, missing_from_notebook(path)) == ([], [])


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_a_docstring_states_what_code_or_tables_hold(path):
    name = path.relative_to(ROOT / "landscape_nb").with_suffix("").as_posix()
    assert unexplained(name, missing_from_module(path)) == ([], [])


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_states_what_some_run_shows(path):
    assert unexplained(path.stem, missing_from_page(path)) == ([], [])


def test_exceptions_are_about_files_that_are_there():
    known = {path.stem for path in [*STORIES, *PAGES]} | {
        path.relative_to(ROOT / "landscape_nb").with_suffix("").as_posix() for path in MODULES
    }
    assert set(EXCEPTIONS) <= known


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("about 71 % of it", ["71%"]),
        ("a slope of -2.31, by `0.5`", ["2.31"]),
        ("N = 110 592 parameters, $k^{-2.5}$, $10^{-3}$, since 2024", ["110592"]),
        ("3e-4 in Eq. 15, arXiv 2604.14870, [x](a/b-0.25.html)", ["3e-4"]),
        ("two of 10, 0.5", ["0.5"]),
        ("19 to 27 % saved, 12 times or 8-fold", ["12", "8", "19%", "27%"]),
        ("N25, sec. 5.1 and 5.2; sections 4.1, 4.2: 4.3", ["4.3"]),
    ],
)
def test_what_a_text_states(text, numbers):
    assert stated(text, whole=True) == numbers


def test_a_number_without_a_run_is_found(tmp_path):
    cells = [
        nbformat.v4.new_markdown_cell("The share is 61 % or 0.734, and 0.61 of it."),
        nbformat.v4.new_code_cell("print(share)", outputs=[
            nbformat.v4.new_output("stream", name="stdout", text="share 0.61")
        ]),
    ]  # fmt: skip
    path = tmp_path / "a.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    assert missing_from_notebook(path) == ["0.734"]
    module = tmp_path / "m.py"
    module.write_text('"""At 0.25, not 0.7512."""\nx = 0.25\n')
    assert missing_from_module(module) == ["0.7512"]
