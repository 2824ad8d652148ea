"""What a page of the site gives its reader beside the text of the notebook.

Answers behind *show*, the contents of the page, words explained where they first stand, outputs
that fit a phone, and the index of the search. Each function changes or reads one page that
`export.py` has made; nothing here knows about files.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import forms
from bs4 import BeautifulSoup, NavigableString, Tag
from glossary import Term, first_use, forms_of, taken_out
from nbformat import NotebookNode

PHONE = 38  # characters of printed text in the width of a phone; measured at 390 px
WIDE_PICTURE = 520  # pixels: in a phone's width the words of wider ones are too small to read
SHORT = 12  # characters of an equation that the search shows; a longer one is told by dots


# ---- answers behind "show" -----------------------------------------------------------------


def fold_answers(notebook: NotebookNode) -> None:
    """Mark the code cells whose outputs give away what a learner was asked to predict.

    >>> from nbformat.v4 import new_code_cell, new_notebook
    >>> code = [new_code_cell("print(2)"), new_code_cell("reveal_number('It', guess, 2)")]
    >>> book = new_notebook(cells=code)
    >>> fold_answers(book)
    >>> [cell.metadata.get("answer") for cell in book.cells]
    [None, 'the answer']
    """
    told = set(forms.reveals(notebook))
    for cell in notebook.cells:
        if cell.id in told:
            cell.metadata["answer"] = "the answer"


def gather_answers(soup: BeautifulSoup) -> None:
    """Put all that tells one answer behind one *show*: its outputs, and the words after it.

    Code that is folded takes its output along: what a notebook's test compares tells answers too.
    What can be moved or answered stays in sight; a question needs no code beside it.
    """
    for code in soup.select("main > .code_cell > .input > details"):
        output = code.find_parent("div", class_="code_cell").select_one(".output_wrapper")
        if output and output.select_one(".quiz"):
            code.parent.decompose()
        elif output and not output.select_one(".explorable"):
            code.append(output.extract())
    for details in soup.select("main > .code_cell > details.answer"):
        after = details.parent.find_next_sibling("div", class_="cell")
        words = after.select_one(".text_cell_render > details") if after else None
        if words and words.summary.get_text() == forms.AFTER:
            words.summary.decompose()
            details.append(words.extract())
            words.unwrap()
            after.decompose()


# ---- contents of the page ------------------------------------------------------------------


@dataclass(frozen=True)
class Section:
    """A heading below the title, with what follows it up to the next one, as plain text."""

    level: int
    id: str
    title: str
    text: str


def sections(main: Tag) -> list[Section]:
    """The sections of a page; the first, level 1, is what stands before any other heading."""
    parts: list[list] = []
    for element in main.descendants:
        if isinstance(element, Tag):
            if element.name in ("h1", "h2", "h3") and not element.find_parent("details"):
                parts.append([element, []])
        elif parts and _is_prose(element, parts[-1][0]):
            parts[-1][1].append(_spoken(element))
    return [
        Section(int(h.name[1]), str(h.get("id", "")), _heading(h), _one_line("".join(texts)))
        for h, texts in parts
    ]


def _is_prose(text: NavigableString, heading: Tag) -> bool:
    inside = {parent.name for parent in text.parents}
    skipped = {"pre", "script", "style", "summary", "button", "noscript"} & inside
    printed = text.find_parent("div", class_="output")  # tables and reports: long, and no prose
    # a result would show what these tell
    folded = text.find_parent("details", class_="answer") or text.find_parent("div", class_="quiz")
    hidden = skipped or printed or folded
    return type(text) is NavigableString and not hidden and heading not in text.parents


def _spoken(text: NavigableString) -> str:
    """A text of the page for the search; of an equation, its signs with ^ and _ , or dots."""
    math = text.find_parent("math")
    if math is None:
        ends = text.parent.name in ("p", "li", "td", "th", "div") and text.parent.contents[-1]
        return f"{text} " if ends is text else str(text)
    if next(math.strings) is not text:
        return ""
    told = flat(math)
    return told if len(told) <= SHORT else "…"


def flat(math: Tag) -> str:
    """An equation as one line of text.

    >>> flat(BeautifulSoup("<math><msup><mi>k</mi><mn>2</mn></msup></math>", "html.parser").math)
    'k^2'
    """
    parts = [flat(c) if isinstance(c, Tag) else str(c).strip() for c in math.children]
    parts = [part for part in parts if part]
    sign = {"msup": "^", "msub": "_", "mfrac": "/"}.get(math.name, "")
    return sign.join(parts)


def _heading(heading: Tag) -> str:
    inner = [c for c in heading.children if not (isinstance(c, Tag) and c.name == "a")]
    texts = [_plain(c) if isinstance(c, Tag) else str(c) for c in inner]
    return _one_line("".join(texts))


def _plain(element: Tag) -> str:
    """The text of an element, its equations flat."""
    if element.name == "math":
        return flat(element)
    return "".join(_plain(c) if isinstance(c, Tag) else str(c) for c in element.children)


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def add_contents(soup: BeautifulSoup, found: list[Section], ticks: bool) -> None:
    """Fill the place for the contents of the page, or take it away where there is nothing.

    With `ticks`, a section of the second level can be marked as done; the page's script puts the
    boxes there, as without it nothing would be kept.
    """
    place = soup.find("nav", class_="contents")
    rows = [section for section in found if section.level in (2, 3) and section.id]
    if len(rows) < 2:
        place.decompose()
        soup.body["class"] = "no-contents"
        return
    if ticks:
        soup.body["data-ticks"] = ""
    items = place.find("ol")
    for row in rows:
        item = soup.new_tag("li", attrs={"class": f"level-{row.level}"})
        link = soup.new_tag("a", href=f"#{row.id}")
        heading = soup.find(id=row.id)
        for child in heading.contents:
            if not (isinstance(child, Tag) and child.name == "a"):
                link.append(_copied(child))
        item.append(link)
        items.append(item)


def _copied(node):
    """A copy of a node of the page, without the links in it: links do not nest."""
    copied = node.__copy__()
    if isinstance(copied, Tag):
        for link in copied.find_all("a"):
            link.unwrap()
    return copied


# ---- words explained -----------------------------------------------------------------------


NOT_PROSE = ("a", "code", "pre", "math", "button", "summary", "figure", "script", "style", "h1")
NOT_PROSE += ("h2", "h3", "h4", "th", "label")


def explain_words(soup: BeautifulSoup, links: dict[Term, tuple[str, str]]) -> None:
    """Make the first use of each term in the page's prose a button that opens its meaning.

    `links` has the address and the title of the page that explains each term. The browser's own
    popover: it opens, closes with Escape and returns the focus without a script.
    """
    main, left = soup.find("main"), forms_of(links)
    used: list[Term] = []
    for text in list(main.find_all(string=True)):
        inside = [parent.name for parent in text.parents]
        if not {"p", "li", "td"} & set(inside) or set(NOT_PROSE) & set(inside) or not left:
            continue
        used += _explain(soup, text, left)
    for term in used:
        main.append(_popover(soup, term, *links[term]))


def _explain(soup: BeautifulSoup, text: NavigableString, left: dict[str, Term]) -> Iterator[Term]:
    """Wrap the first uses of terms in one text; what was found is taken out of `left`."""
    rest = text
    while match := first_use(str(rest), left):
        term = taken_out(left, match)
        before, after = str(rest)[: match.start()], str(rest)[match.end() :]
        button = soup.new_tag("button", type="button", popovertarget=f"term-{term.id}")
        button["class"] = "term"
        button.string = match[0]
        tail = NavigableString(after)
        rest.replace_with(NavigableString(before), button, tail)
        rest = tail
        yield term


def _popover(soup: BeautifulSoup, term: Term, address: str, title: str) -> Tag:
    box = soup.new_tag("div", id=f"term-{term.id}", popover="auto", attrs={"class": "meaning"})
    name, words, more = soup.new_tag("strong"), soup.new_tag("span"), soup.new_tag("span")
    name.string, words.string = term.name, f" {term.words} "
    link = soup.new_tag("a", href=address)
    link.string = f"Explained in {title}"
    more.append(link)
    box.extend([name, words, more])
    return box


# ---- what is wider than a phone ------------------------------------------------------------


def fit_outputs(soup: BeautifulSoup) -> None:
    """Printed prose wraps; columns and wide pictures keep their form and scroll.

    A table's empty corner is no heading, though Markdown makes it one.
    """
    for corner in soup.find_all("th"):
        if not corner.get_text(strip=True):
            corner.name = "td"
    for pre in soup.select(".output pre"):
        lines = pre.get_text().split("\n")
        if max(map(len, lines)) > PHONE and not in_columns(lines):
            pre["class"] = "wraps"
    for image in soup.select("main img"):
        if int(image["width"]) > WIDE_PICTURE and image.parent.name != "figure":
            box = soup.new_tag("span", attrs={"class": "wide picture"})
            box["style"] = f"--width: {image['width']}px"
            image.wrap(box)


def in_columns(lines: Iterable[str]) -> bool:
    """Whether lines of print stand in columns, which wrapping would destroy.

    >>> in_columns(["name     value", "first      1.0"]), in_columns(["One long sentence.", ""])
    (True, False)
    """
    return sum(bool(re.search(r"\S {2,}\S", line)) for line in lines) >= 2


# ---- search --------------------------------------------------------------------------------


def search_index(pages: Iterable[tuple[str, str, list[Section]]]) -> bytes:
    """The script with the index of the search: (address, title, sections) of each page.

    A script, as pages that are opened from a disk may not fetch; compressed, as plain it would
    weigh more than all other scripts together.
    """
    rows = [
        [url, title, [[s.id, s.title if s.level > 1 else "", s.text] for s in found]]
        for url, title, found in pages
    ]
    packed = zlib.compress(json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode(), 9)
    return f'landscapeSite.receive("{base64.b64encode(packed).decode()}");\n'.encode()
