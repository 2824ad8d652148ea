"""The words of the course: read from `site_template/glossary.toml`, found in texts, explained.

A word is looked up where it first stands in the prose of a notebook. Where it is explained is not
typed: it is the section in which its notebook has it in bold first, or has it first at all.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

GLOSSARY = Path("notebooks/site_template/glossary.toml")  # from the root of the repository
HEADING = re.compile(r"^(#{1,4}) +(.+)$", re.MULTILINE)
# What a link must not stand in: code, equations, links, tags, headings, addresses.
NOT_PROSE = re.compile(
    r"^(```|~~~).*?^\1|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$|\\begin\{(\w+\*?)\}.*?\\end\{\2\}"
    r"|!?\[[^\]]*\](?:\([^)]*\))?|<[^>\n]+>|https?://\S+|^#+ .*?$",
    re.DOTALL | re.MULTILINE,
)
Entry = TypeVar("Entry")


@dataclass(frozen=True)
class Term:
    """An entry of the glossary: the word, its meaning, the notebook that explains it, its forms.

    Attributes:
        name: the word.
        words: its meaning, in at most two sentences.
        at: number of the notebook that explains it.
        also: other forms of the word.
    """

    name: str
    words: str
    at: str
    also: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The end of its id in pages."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")

    @property
    def fragment(self) -> str:
        """Its heading in the glossary, as a link needs it."""
        return fragment(self.name)


def read_terms(path: Path) -> list[Term]:
    """The glossary's terms, by name; none where there is no file."""
    if not path.exists():
        return []
    entries = tomllib.loads(path.read_text("utf-8"))["term"]
    terms = [Term(**{**entry, "also": tuple(entry.get("also", ()))}) for entry in entries]
    return sorted(terms, key=lambda term: term.name.lower())


def forms_of(terms: Iterable[Term]) -> dict[str, Term]:
    """Each form of each word in small letters, and whose it is."""
    return {form.lower(): term for term in terms for form in (term.name, *term.also)}


def first_use(text: str, left: Mapping[str, object]) -> re.Match[str] | None:
    """The first whole word or phrase of `text` that is in `left`; longer phrases win."""
    forms = sorted(left, key=len, reverse=True)
    if not forms:
        return None
    phrases = "|".join(re.escape(form).replace(r"\ ", r"\s") for form in forms)
    return re.search(rf"(?<![\w-])(?:{phrases})(?![\w-])", text, re.IGNORECASE)


def taken_out(left: dict[str, Entry], match: re.Match[str]) -> Entry:
    """The term that was found; no form of it is looked for again."""
    term = left[re.sub(r"\s", " ", match[0].lower())]
    for form in [form for form, one in left.items() if one is term]:
        del left[form]
    return term


def linked(text: str, left: dict[str, Term], to: str) -> str:
    r"""A Markdown text with its first uses of words as links; what was found leaves `left`.

    A link has the meaning as its title, which front ends show where the mouse rests on it.

    >>> hessian = Term("Hessian", "A table.", "02")
    >>> linked("# The Hessian\n\n`Hessian`: a *Hessian*.", forms_of([hessian]), "glossary.ipynb")
    '# The Hessian\n\n`Hessian`: a *[Hessian](glossary.ipynb#Hessian "A table.")*.'
    """
    parts, end = [], 0
    for skipped in [*NOT_PROSE.finditer(text), None]:
        start = skipped.start() if skipped else len(text)
        parts += [_linked(text[end:start], left, to), skipped[0] if skipped else ""]
        end = skipped.end() if skipped else end
    return "".join(parts)


def _linked(prose: str, left: dict[str, Term], to: str) -> str:
    done = ""
    while match := first_use(prose, left):
        term = taken_out(left, match)
        done += f'{prose[: match.start()]}[{match[0]}]({to}#{term.fragment} "{term.words}")'
        prose = prose[match.end() :]
    return done + prose


def unlinked(text: str, to: str) -> str:
    """The text without the links that `linked` has put there.

    >>> unlinked('a *[Hessian](glossary.ipynb#Hessian "A table.")*', "glossary.ipynb")
    'a *Hessian*'
    """
    return re.sub(rf'\[([^\]]*)\]\({re.escape(to)}#\S+ "[^"]*"\)', r"\1", text)


def fragment(heading: str) -> str:
    """What a link to a heading ends in, in JupyterLab and in the exported pages."""
    return quote(heading.strip().replace(" ", "-"), safe="-.,:;?!'=+*")


def section(term: Term, texts: Sequence[str]) -> str:
    r"""The end of a link to where a notebook explains a term: "#heading", or "" for its beginning.

    It is the section that has the term in bold first, or has it first at all. A heading with code
    or an equation has no address that is the same everywhere; then it is the one before.

    >>> hessian = Term("Hessian", "A table.", "02")
    >>> section(hessian, ["# 02", "A Hessian.", "## 2. All directions\n\nThe **Hessian** ..."])
    '#2.-All-directions'
    """
    forms = {form: None for form in forms_of([term])}
    here, used = "", None
    for text in texts:
        parts = HEADING.split(text)
        for level, title, prose in zip(
            ["", *parts[1::3]], ["", *parts[2::3]], parts[::3], strict=True
        ):
            if level and not set("$`*_") & set(title):
                here = "" if level == "#" else f"#{fragment(title)}"
            bold = re.findall(r"\*\*([^*]+)\*\*", prose)
            if any(first_use(words, forms) for words in bold):
                return here
            if used is None and first_use(prose, forms):
                used = here
    return used or ""
