"""README.md keeps its promises: its code prints what it shows, its links lead somewhere."""

import contextlib
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The fenced blocks in that language."""
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.S)


def printed(code: str) -> str:
    """What code of the README prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "README.md", "exec"), {})
    return out.getvalue()


def test_the_ten_lines_print_what_the_readme_shows():
    curve, _ = blocks("python")
    assert [printed(curve)] == blocks("text")


def test_data_that_do_not_fit_have_the_eigenvalues_of_those_that_do():
    _, streamed = blocks("python")
    in_memory = streamed.replace(".from_batches", "").replace("batches,", "*data.tensors,")
    assert in_memory != streamed and printed(streamed) == printed(in_memory)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!https?:)([^)#]+)\)", README))))
def test_every_link_leads_to_a_file(target):
    assert (ROOT / target).exists()
