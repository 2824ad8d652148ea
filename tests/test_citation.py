"""CITATION.cff says what pyproject.toml says, and names the papers that the course is about."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
# https://github.com/citation-file-format/citation-file-format/blob/1.2.0/schema-guide.md
REQUIRED = {"cff-version", "message", "title", "authors"}
REFERENCE = {"type", "title", "authors"}
ARXIV = {"2604.14870", "2409.11995", "1706.04454", "2606.02596"}


def faults(cff, project):
    """What is wrong with a citation file, a sentence each."""
    found = [f"{key} is missing" for key in sorted(REQUIRED - set(cff))]
    if cff.get("cff-version") != "1.2.0":
        found.append("cff-version is not the text 1.2.0")
    for key in ("version", "license"):
        if cff.get(key) != project[key]:
            found.append(f"{key} is {cff.get(key)!r}, in pyproject.toml {project[key]!r}")
    if [author.get("name") for author in cff.get("authors", [])] != [
        author["name"] for author in project["authors"]
    ]:
        found.append("authors are not those of pyproject.toml")
    for reference in cff.get("references", []):
        missing = REFERENCE - set(reference)
        people = all({"family-names", "given-names"} <= set(p) for p in reference["authors"])
        if missing or not people:
            found.append(f"the reference {reference.get('title')!r} is not whole")
    return found


@pytest.fixture(scope="module")
def cff():
    return yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_it_agrees_with_the_project(cff, project):
    assert faults(cff, project) == []


def test_it_names_the_sources(cff):
    links = " ".join(reference["url"] for reference in cff["references"])
    assert set(re.findall(r"arxiv\.org/abs/([\d.]+)", links)) == ARXIV
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for reference in cff["references"]:
        line = next(x for x in readme.splitlines() if reference["title"].split(":")[0] in x)
        assert all(person["family-names"] in line for person in reference["authors"])


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"version": "9.9.9"}, "version is '9.9.9'"),
        ({"license": "GPL-3.0-only"}, "license is"),
        ({"cff-version": 1.2}, "cff-version is not"),
        ({"authors": [{"name": "somebody"}]}, "authors are not"),
        ({"references": [{"type": "article", "title": "x", "authors": [{}]}]}, "not whole"),
    ],
)
def test_each_fault_is_found(cff, project, change, fault):
    assert any(fault in sentence for sentence in faults({**cff, **change}, project))
