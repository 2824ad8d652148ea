"""Export the course as pages to read without running it: `python notebooks/export.py OUT`.

OUT then holds a page for each stored notebook and its solutions, for the teacher's notes and for
every module of the package, with README.md as the front page. Nothing is executed and no page asks
the network for anything, so OUT can be opened from a disk or put on any static host. Equations are
MathML, which browsers draw themselves. The same notebooks give the same bytes. OUT must be new,
empty, or made by this command before.

An export is a chain of functions: `course` (what becomes a page), `html` (by nbconvert, with the
template in `site_template/`), `drawn` (equations, by pandoc), `finished` (links, pictures, tables),
`aids` (contents, words explained, search), `write`.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from html import escape, unescape
from itertools import count
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit
from xml.etree import ElementTree

import aids
import build
import glossary
import pypandoc
import signposts
from bs4 import BeautifulSoup
from jinja2 import pass_context
from nbconvert import HTMLExporter, TemplateExporter
from nbconvert.filters.highlight import Highlight2HTML
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from landscape_nb.course.quick_questions import find_question
from landscape_nb.numerics.files import replace_files
from landscape_nb.widgets import es_modules

NOTEBOOKS = Path(__file__).resolve().parent
ROOT = NOTEBOOKS.parent
TEMPLATE = NOTEBOOKS / "site_template"
HOW_TO_READ = """\
On these pages you can read everything and move the pictures that have sliders. Answers to the
questions are folded: guess first. To write your own predictions, run the code and do the exercises,
you need the running notebooks: see [Start](#start).

"""
TRY_IT = """\
<p class="needs-script"><strong>Add a sample:</strong> tap or click in the picture of the data, or
press <em>Play</em>.</p>"""
MAP = "course_map"  # module of the explorable that is the map
NOTEBOOKS_HEADING = "## Notebooks\n"
MANIFEST = ".site-files.txt"  # in OUT: what this command wrote there, and may replace
OPENING = "# SHA-256 and name of each file that notebooks/export.py wrote here\n"
KEPT = ".site-earlier"  # in OUT: files of a version whose manifest had names alone


@dataclass(frozen=True)
class Page:
    """A page of the site: the file it shows, where it goes, its title and its cells."""

    source: Path
    url: str
    title: str
    notebook: NotebookNode


# ---- what becomes a page -------------------------------------------------------------------


def course(root: Path = ROOT) -> list[Page]:
    """Every page: front page, notebooks, solutions, teacher's notes, glossary, the modules."""
    notebooks = sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    solutions = sorted((root / "notebooks" / "solutions").glob("[0-9][0-9]_*.ipynb"))
    teaching = [path for path in [root / "notebooks" / "TEACHING.md"] if path.exists()]
    modules = sorted((root / "landscape_nb").rglob("*.py"))
    pages = [notebook_page(path, path.relative_to(root / "notebooks")) for path in notebooks]
    more = [notebook_page(path, path.relative_to(root / "notebooks")) for path in solutions]
    more += [text_page(path, Path(path.name), path.read_text("utf-8")) for path in teaching]
    beside = [root / "notebooks" / name for name in (signposts.GLOSSARY, signposts.SUMMARY)]
    more += [notebook_page(path, Path(path.name)) for path in beside if path.exists()]
    front = front_page(root / "README.md", more, pages)
    return [front, *pages, *more, *(module_page(path, root) for path in modules)]


def front_page(readme: Path, more: list[Page], notebooks: list[Page]) -> Page:
    """README.md as the front page: the first explorable on top, the map above the notebooks."""
    page = text_page(readme, Path("index"), front_text(readme, more))
    shown = [output for book in notebooks[:1] for output in explorables(book)]
    maps = [output for output in shown if output.metadata.explorable.module == MAP]
    others = [output for output in shown if output not in maps]
    if others:
        title, sentence, rest = page.notebook.cells[0].source.split("\n\n", 2)
        first = new_code_cell("", outputs=others[:1], id="first")
        texts = [new_markdown_cell(f"{title}\n\n{sentence}\n\n{TRY_IT}", id="opening"), first]
        page.notebook.cells = [*texts, new_markdown_cell(rest, id="text")]
    if maps:
        *texts, last = page.notebook.cells
        before, heading, after = last.source.partition(NOTEBOOKS_HEADING)
        drawn = new_code_cell("", outputs=maps[:1], id="map")
        opening = new_markdown_cell(before + heading, id="before")
        page.notebook.cells = [*texts, opening, drawn, new_markdown_cell(after, id="after")]
    return page


def explorables(page: Page) -> list[NotebookNode]:
    """The outputs of a page that can be moved: those with the state of an explorable."""
    return _with_state(page, "explorable")


def _is_alive(page: Page) -> bool:
    """Whether a page has something that its script must bring to life."""
    return bool(explorables(page) or _with_state(page, "prediction"))


def _with_state(page: Page, kind: str) -> list[NotebookNode]:
    outputs = [o for cell in page.notebook.cells for o in cell.get("outputs", [])]
    return [output for output in outputs if kind in output.get("metadata", {})]


def notebook_page(source: Path, place: Path) -> Page:
    """The page of a stored notebook."""
    notebook = build.read_story(source)
    signposts.without_signposts(notebook)
    aids.fold_answers(notebook)
    return Page(source, _url(place), _title(notebook, source), notebook)


def text_page(source: Path, place: Path, text: str) -> Page:
    """The page of a Markdown text."""
    notebook = new_notebook(cells=[new_markdown_cell(text, id="text")])
    return Page(source, _url(place), _title(notebook, source), notebook)


def module_page(source: Path, root: Path) -> Page:
    """The page of a Python file: a reader who follows a link to it wants to read it."""
    name = source.relative_to(root).as_posix()
    cells = [new_markdown_cell(f"# {name}", id="name")]
    cells += [new_code_cell(source.read_text("utf-8").rstrip(), id="code")]
    notebook = new_notebook(cells=cells, metadata={"language_info": {"name": "python"}})
    return Page(source, _url(source.relative_to(root)), name, notebook)


def front_text(readme: Path, more: list[Page]) -> str:
    """README.md with its table of notebooks first, and links to the pages that it may not name."""
    opening, *sections = re.split(r"^(?=## )", readme.read_text("utf-8"), flags=re.MULTILINE)
    table = [section for section in sections if section.startswith(NOTEBOOKS_HEADING)]
    if not table:
        raise SystemExit(f"{readme.name} needs a section '## Notebooks' with the course's table")
    links = [f"- [{p.title}]({p.source.relative_to(readme.parent).as_posix()})" for p in more]
    also = ["## Solutions, and for teachers", "", *links, "", ""] if links else []
    rest = [section for section in sections if section not in table]
    return "".join([opening, HOW_TO_READ, *table, "\n".join(also), *rest])


def _url(place: Path) -> str:
    return place.with_suffix(".html").as_posix()


def _title(notebook: NotebookNode, source: Path) -> str:
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and (heading := re.search(r"^# +(.+)", cell.source, re.M)):
            return heading[1].strip()
    raise SystemExit(f"{source.name} needs a heading '# Title' to be a page")


def steps(page: Page, pages: list[Page]) -> list[tuple[str, Page]]:
    """Where a reader goes from a page: along the course, and between notebook and solutions."""
    beside = [p for p in pages if p.source.parent == page.source.parent]
    in_order = re.compile(r"\d\d_\w+\.ipynb")
    if not in_order.fullmatch(page.source.name):
        return []
    beside = [p for p in beside if in_order.fullmatch(p.source.name)]
    place = beside.index(page)
    before = [("prev", p) for p in beside[max(place - 1, 0) : place]]
    after = [("next", p) for p in beside[place + 1 : place + 2]]
    twin = [p for p in pages if p.source.name == page.source.name and p not in beside and beside]
    return before + after + [("twin", replace(p, title=_form(p))) for p in twin]


def _form(page: Page) -> str:
    return "Solutions" if page.source.parent.name == "solutions" else "Notebook"


# ---- a page in HTML ------------------------------------------------------------------------


class EquationRenderer(IPythonRenderer):
    """nbconvert's Markdown, with each `equation` where the page's MathML will stand."""

    def inline_math(self, body: str) -> str:
        """Handle inline math; a long equation may need to scroll, as browsers do not break it."""
        inline = equation(body, "inline")
        return inline if len(body) < LONG else f'<span class="long">{inline}</span>'

    def block_math(self, body: str) -> str:
        """Handle block math; in a span, since it stands inside a paragraph."""
        return f'<span class="wide equation">{equation(body, "block")}</span>'

    def latex_environment(self, name: str, body: str) -> str:
        r"""Handle \begin{name} ... \end{name} outside dollars."""
        return self.block_math(rf"\begin{{{name}}}{body}\end{{{name}}}")


class SiteExporter(HTMLExporter):
    """nbconvert's HTML with this folder's template."""

    def from_notebook_node(self, nb, resources=None, **options):
        """A page; nbconvert's own parses it once more, for what `finished` does and refuses."""
        return TemplateExporter.from_notebook_node(self, nb, self._init_resources(resources))

    @pass_context
    def markdown2html(self, context, source: str) -> str:
        """Markdown to HTML, equations included; nbconvert's template calls this by its name."""
        attachments = context.get("cell", {}).get("attachments", {})
        renderer = EquationRenderer(escape=False, attachments=attachments)
        return MarkdownWithMath(renderer=renderer).render(source)


def exporter() -> SiteExporter:
    """An exporter that shows no prompts: nobody counts runs where nothing runs."""
    return SiteExporter(
        template_name=TEMPLATE.name,
        extra_template_basedirs=[str(TEMPLATE.parent)],
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        filters={"highlight_code": highlighted, "in_script": in_script, "asked": asked},
    )


def asked(key: str) -> str:
    """A quick question of the course, alive without a kernel: each option unfolds what it tells."""
    question = find_question(key)
    options = (
        f"<details><summary>{escape(option.says)}</summary>"
        f"<div>{escape(question.told(place))}</div></details>"
        for place, option in enumerate(question.options)
    )
    return f'<div class="quiz"><div>{escape(question.question)}</div>{"".join(options)}</div>'


def in_script(state: str) -> str:
    r"""JSON that may stand in a script element: no sign in it can end the element.

    >>> print(in_script('{"a":[0.1],"b":"</script>"}'))
    {"a":[0.1],"b":"\u003c/script>"}
    """
    return state.replace("<", "\\u003c")


def highlighted(code: str, language: str = "python", metadata=None) -> str:
    """Code with a span for each token that the stylesheet colours, and none for all the others."""
    html = Highlight2HTML()(code, language=language, metadata=metadata)
    return re.sub(r'<span(?: class="(?:n|nn|o|p|w|bp)")?>([^<]*)</span>', r"\1", html)


# ---- equations -----------------------------------------------------------------------------

EQUATION = re.compile('<math display="(inline|block)">(.*?)</math>', re.DOTALL)
LONG = 40  # characters of TeX, about the width of a phone; chosen here
SCRIPTS = ("msub", "msup", "msubsup", "munder", "mover", "munderover")
# Lines over and braces under a whole expression: the stylesheet draws them, as their signs grow
# in few fonts and one browser cuts them off.
LINES = {"\u00af": "overline", "\u23df": "underbrace"}
THIN = "0.167em"  # TeX's space beside the name of a function


def equation(tex: str, display: str) -> str:
    """What stands in a page for an equation until all are known: its TeX in a `math` element."""
    return f'<math display="{display}">{escape(tex.strip())}</math>'


def mathml(equations: Iterable[str]) -> dict[str, str]:
    """What browsers draw for each `equation`, by one call of pandoc; without those it can't read.

    >>> mathml([equation("k^2", "inline")]).popitem()[1]
    '<math display="inline"><msup><mi>k</mi><mn>2</mn></msup></math>'
    """
    asked = list(dict.fromkeys(equations))
    kinds = {"inline": "InlineMath", "block": "DisplayMath"}
    parts = [EQUATION.fullmatch(one).groups() for one in asked]
    math = [{"t": "Math", "c": [{"t": kinds[display]}, unescape(tex)]} for display, tex in parts]
    blocks = [{"t": "Plain", "c": [one]} for one in math]
    document = {"pandoc-api-version": [1, 23], "meta": {}, "blocks": blocks}
    html = pypandoc.convert_text(json.dumps(document), "html", "json", extra_args=["--mathml"])
    plain = re.sub(' xmlns="[^"]*"|</?semantics>|<annotation.*?</annotation>', "", html, flags=re.S)
    told = re.findall('<math .*?</math>|<span class="math .*?</span>', plain, re.DOTALL)
    pairs = zip(asked, told, strict=True)
    return {one: _as_in_tex(drawn) for one, drawn in pairs if drawn.startswith("<math")}


def _as_in_tex(mathml: str) -> str:
    """Spaces, large brackets and long lines as TeX has them, where browsers do otherwise."""
    math = ElementTree.fromstring(mathml)
    for parent in math.iter():
        if len(parent) == 2 and parent[1].text == "\u2061":  # a function's name, "applied to"
            parent.tag, parent.text = "mi", parent[0].text
            del parent[:]
    for parent in list(math.iter()):
        if parent.tag not in SCRIPTS:
            _space_functions(parent)
            continue
        for sign in (sign for script in parent[1:] for sign in script.iter("mo")):
            sign.attrib |= {"lspace": "0", "rspace": "0"}  # none around "+" in an index
        if parent[0].get("minsize"):  # \bigr)^2: grows in a row only
            row = ElementTree.Element("mrow")
            row.append(parent[0])
            parent[0] = row
        elif parent[1].text in LINES:
            parent.tag, parent.attrib = "mrow", {"class": LINES[parent[1].text]}
            parent.remove(parent[1])
    return ElementTree.tostring(math, encoding="unicode")


def _space_functions(row: ElementTree.Element) -> None:
    """Space between a function such as log and a letter; none at a bracket, comma or sign."""
    for before, child, after in zip([None, *row], row, [*row[1:], None], strict=False):
        name = _core(child)
        if name.tag == "mi" and re.fullmatch("[a-zA-Z]{2,}", name.text or ""):
            opened = before is None or before.tag in ("mo", "mspace")
            closed = after is None or _core(after).text in tuple("()|,=")
            name.tag = "mo"  # only signs carry spaces
            name.attrib = {"lspace": "0" if opened else THIN, "rspace": "0" if closed else THIN}


def _core(element: ElementTree.Element) -> ElementTree.Element:
    """What carries an element's spaces: of "log^2" the "log"."""
    while element.tag in SCRIPTS:
        element = element[0]
    return element


def drawn(html: str, known: dict[str, str]) -> str:
    """A page with its equations as MathML; a ValueError where one has none, so none is TeX."""

    def one(match: re.Match[str]) -> str:
        if match[0] not in known:
            raise ValueError(f"no MathML for this TeX: {unescape(match[2])}")
        return known[match[0]]

    return EQUATION.sub(one, html)


# ---- links, pictures, tables ---------------------------------------------------------------


def finished(
    page: Page, pages: list[Page], soup: BeautifulSoup, root: Path
) -> tuple[dict[str, bytes], list[aids.Section]]:
    """Links that lead somewhere, and pictures as files of their own; the sections of the page."""
    urls = {p.source: p.url for p in pages}
    up = "../" * page.url.count("/")
    files: dict[str, bytes] = {}
    for image in soup.find_all("img"):
        name, png = picture(str(image["src"]), page.source.parent)
        if str(image["src"]).endswith("-map.png"):  # colours of a scale: no negative in the dark
            image["class"] = "map"
        if not str(image.get("alt") or "").strip():
            raise ValueError("a picture has no alternative text")
        width, height = (int.from_bytes(png[i : i + 4], "big") for i in (16, 20))  # PNG's header
        image.attrs |= {"src": up + name, "width": str(width), "height": str(height)}
        image["loading"] = "lazy"
        files[name] = png
    for link in soup.select("main a[href]"):
        redirect(link, page.source.parent, urls, up, root)
    for table in soup.find_all("table"):
        table.wrap(soup.new_tag("div", attrs={"class": "wide"}))
    _tell_apart(soup, as_on_github=page.source.suffix == ".md")
    aids.gather_answers(soup)
    aids.fit_outputs(soup)
    return files, aids.sections(soup.find("main"))


def aided(
    page: Page, pages: list[Page], soup: BeautifulSoup,
    found: dict[str, list[aids.Section]], terms: list[glossary.Term],
) -> None:  # fmt: skip
    """Put into a page what helps its reader: contents, words explained, what is done."""
    aids.add_contents(soup, found[page.url], ticks=is_notebook(page))
    up = "../" * page.url.count("/")
    if page.source.name != signposts.GLOSSARY and page.source.suffix != ".py":
        books = {p.source.name[:2]: p for p in pages if is_notebook(p)}
        links = {term: (_address(term, books[term.at], up), books[term.at].title) for term in terms}
        aids.explain_words(soup, links)
    for link in soup.select("main tr td:first-child a") if page is pages[0] else []:
        of = [p for p in pages if p.url == link["href"] and is_notebook(p)]
        if of:  # the page's script shows there what is done
            count = sum(section.level == 2 for section in found[of[0].url])
            link.find_parent("tr").attrs |= {"data-page": of[0].url, "data-sections": str(count)}


def _address(term: glossary.Term, book: Page, up: str) -> str:
    texts = [cell.source for cell in book.notebook.cells if cell.cell_type == "markdown"]
    return up + quote(book.url) + glossary.section(term, texts)


def is_notebook(page: Page) -> bool:
    """Whether a page is a notebook of the course itself, not solutions, texts or code."""
    stories = page.source.suffix == ".ipynb" and page.source.parent.name == "notebooks"
    return stories and re.match(r"\d\d_", page.source.name) is not None


def picture(src: str, folder: Path) -> tuple[str, bytes]:
    """Name in the site and bytes of a picture, stored in an output or lying in the repository.

    A file of its own, so that a page is text of some 100 kB and a phone loads the pictures that
    come into sight. The name follows the content: equal pictures are one file.
    """
    data = re.fullmatch(r"data:image/png;base64,(.+)", src, re.DOTALL)
    png = base64.b64decode(data[1]) if data else (folder / unquote(src)).read_bytes()
    if not png.startswith(b"\x89PNG"):
        raise ValueError(f"a picture is not a PNG, the only kind the site shows: {src[:60]}")
    return f"pictures/{hashlib.sha256(png).hexdigest()[:16]}.png", png


def redirect(link, folder: Path, urls: dict[Path, str], up: str, root: Path) -> None:
    """Point a relative link to the page of its target; without one, leave its text and say so.

    What is no page (a folder, a settings file) is of use only to somebody with the repository.
    """
    parts = urlsplit(link["href"])
    if parts.scheme or parts.netloc or not parts.path:
        return
    # A cell that solutions share with their notebook has links that start at the latter's folder.
    bases = [folder, folder.parent] if folder.name == "solutions" else [folder]
    tried = [Path(os.path.normpath(base / unquote(parts.path))) for base in bases]
    target = next((path for path in tried if path.exists()), tried[0])
    if target in urls:
        link["href"] = up + quote(urls[target]) + (f"#{parts.fragment}" if parts.fragment else "")
    elif target.is_relative_to(root) and target.exists():
        del link["href"]
        link.name = "span"
        link.append(" (in the repository)")
    else:
        raise ValueError(f"a link leads nowhere: {link['href']}")


def _tell_apart(soup: BeautifulSoup, as_on_github: bool) -> None:
    """Number an id that an earlier element has; a heading's own link follows.

    Links to a heading are written for where a file is usually read: a notebook in JupyterLab, whose
    ids nbconvert makes, a Markdown file on GitHub, whose ids have small letters and no punctuation.
    """
    seen: set[str] = set()
    for element in soup.find_all(id=True):
        first = unquote(str(element["id"]))  # nbconvert quotes it, as only links should be
        if as_on_github and element.name in ("h2", "h3", "h4"):
            first = re.sub(r"[^\w-]", "", first.lower())
        names = (first if n == 1 else f"{first}-{n}" for n in count(1))
        element["id"] = name = next(name for name in names if name not in seen)
        seen.add(name)
        if anchor := element.find("a", class_="anchor-link", recursive=False):
            anchor["href"] = f"#{quote(name)}"
            anchor["aria-label"] = "Link to this section"


# ---- the site in a folder ------------------------------------------------------------------


def site(root: Path = ROOT) -> dict[str, bytes]:
    """Every file of the site by its name."""
    pages, export = course(root), exporter()
    texts = {}
    for page in pages:
        title = page.title if page is pages[0] else f"{page.title} · {pages[0].title}"
        up = "../" * page.url.count("/")
        resources = {"root": up, "steps": steps(page, pages), "title": title, "page": page.url}
        urls = {"Glossary": "glossary.html", "One-page summary": "summary.html"}
        there = {p.url for p in pages}
        resources["texts"] = {name: url for name, url in urls.items() if url in there}
        resources["explorables"] = _is_alive(page)
        texts[page.url], _ = export.from_notebook_node(page.notebook, resources)
    known = mathml(match[0] for html in texts.values() for match in EQUATION.finditer(html))
    files = {name: (TEMPLATE / name).read_bytes() for name in ("style.css", "site.js")}
    if any(map(_is_alive, pages)):
        files["explorables.js"] = es_modules.page_script().encode()
        files["explorables.css"] = es_modules.page_style().encode()
    soups, found, terms = {}, {}, glossary.read_terms(root / glossary.GLOSSARY)
    for page in pages:
        try:
            soup = BeautifulSoup(drawn(texts[page.url], known), "html.parser")
            pictures, found[page.url] = finished(page, pages, soup, root)
        except ValueError as error:
            raise SystemExit(f"{page.source.relative_to(root)}: {error}") from error
        files |= pictures
        soups[page.url] = soup
    for page in pages:
        aided(page, pages, soups[page.url], found, terms)
        files[page.url] = soups[page.url].encode("utf-8") + b"\n"
    read = [p for p in pages if p.source.suffix != ".py" and p.source.parent.name != "solutions"]
    files["search-index.js"] = aids.search_index((p.url, p.title, found[p.url]) for p in read)
    return files


def write(files: dict[str, bytes], out: Path) -> None:
    """Write the files, and remove those that an earlier export left and this one has not.

    The manifest says which bytes are of this command. While files are replaced it has both the
    earlier and the new ones, so that an export that was cut short is repeated as any other. A file
    that somebody changed since is not replaced: nothing is written then. One that is of the site
    no longer stays if it was changed. What a version without digests wrote is kept in a folder.
    """
    out = Path(os.path.realpath(out))
    earlier, new = _earlier(out), {name: {_digest(content)} for name, content in files.items()}
    unknown = {name for name in files if earlier.get(name) == set() and (out / name).is_file()}
    kept = {f"{KEPT}/{name}": (out / name).read_bytes() for name in unknown}
    earlier |= {name: {_digest(kept[f"{KEPT}/{name}"])} for name in unknown}
    for name, content in {**files, **kept}.items():
        if not _may_write(out, name, earlier.get(name, set()) | {_digest(content)}):
            what = "was changed since it was exported" if name in earlier else "is not of this site"
            raise SystemExit(
                f"{out} has a {name} that {what}; nothing was written. Move it away, or name "
                "another folder."
            )
    out.mkdir(parents=True, exist_ok=True)
    _put(kept, out)
    both = {name: earlier.get(name, set()) | new.get(name, set()) for name in {*earlier, *new}}
    replace_files({out / MANIFEST: _manifest(both)})  # first: a half-written site is still ours
    _put(files, out)
    for name in set(earlier) - set(files):
        if os.path.lexists(out / name) and _may_write(out, name, earlier[name]):
            (out / name).unlink()
    replace_files({out / MANIFEST: _manifest(new)})
    if kept:
        print(f"What an earlier version wrote is kept in {out / KEPT}; files: {len(kept)}")


def _put(files: dict[str, bytes], out: Path) -> None:
    for name in files:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
    replace_files({out / name: content for name, content in files.items()})


def _may_write(out: Path, name: str, ours: set[str]) -> bool:
    """Whether nothing lies at this name in OUT but a file of those bytes, behind no link."""
    path = out / name
    if path.parent.resolve() != path.parent or not _is_folder_or_new(path.parent):
        return False
    if not os.path.lexists(path):
        return True
    plain = path.is_file() and not path.is_symlink()
    return plain and _digest(path.read_bytes()) in ours


def _is_folder_or_new(path: Path) -> bool:
    return path.is_dir() or (not path.exists() and _is_folder_or_new(path.parent))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _manifest(known: dict[str, set[str]]) -> bytes:
    """A line for each file and each content of it that is of this command: SHA-256, then name."""
    lines = [f"{digest}  {name}\n" for name in sorted(known) for digest in sorted(known[name])]
    return (OPENING + "".join(lines)).encode()


def _earlier(out: Path) -> dict[str, set[str]]:
    """What an earlier export wrote into OUT; ends the program where OUT is somebody else's."""
    if Path(os.path.realpath(out)) in [ROOT, *ROOT.parents]:
        raise SystemExit(f"OUT must be a folder for the site alone; {out} holds the course itself.")
    if os.path.lexists(out / MANIFEST):
        return _read_manifest(out / MANIFEST)
    # an export killed at its very start leaves a draft of the manifest, and no other file
    draft = f".{MANIFEST}."
    if os.path.lexists(out) and not (
        out.is_dir() and all(path.name.startswith(draft) for path in out.iterdir())
    ):
        raise SystemExit(
            f"OUT must be a new or empty folder, or a site that this command wrote; {out} is "
            f"{'a folder with other files' if out.is_dir() else 'a file'}. Nothing was written; "
            "name another folder."
        )
    return {}


def _read_manifest(path: Path) -> dict[str, set[str]]:
    """File -> SHA-256 of each content of it that is ours; none where the manifest has names alone.

    Earlier versions wrote those. A name that leads out of OUT is not of this command, and then
    nothing in the manifest is believed.
    """
    known: dict[str, set[str]] = {}
    try:
        if path.is_symlink():
            raise ValueError("it is a link")
        text = path.read_bytes().decode()
        names_alone = not text.startswith(OPENING)
        for line in text.removeprefix(OPENING).removesuffix("\n").split("\n"):
            digest, name = ("", line) if names_alone else line.split("  ", 1)
            if not (names_alone or re.fullmatch("[0-9a-f]{64}", digest)) or not _is_ours(name):
                raise ValueError(f"it has the line {line!r}")
            known.setdefault(name, set()).update({digest} - {""})
    except (OSError, ValueError) as error:
        raise SystemExit(
            f"{path} was not written by this command: {error}. Nothing was written or removed; "
            "name another folder, or remove that file and the site beside it."
        ) from None
    return known


def _is_ours(name: str) -> bool:
    """Whether a name in a manifest is one that this command may have written: inside, a page.

    >>> [_is_ours(name) for name in ("a/b.html", "../b.html", "/b.html", "a//b.html", "b.txt")]
    [True, False, False, False, False]
    """
    outside = {"", ".", ".."} & {*name.split("/")} or re.search(r"[\\:\0-\x1f]", name)
    return not outside and name.endswith((".html", ".css", ".js", ".png"))


def main(arguments: list[str] | None = None) -> int:
    """Export the course into the named folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", metavar="OUT", type=Path, help="folder: new, empty, or a site")
    out = parser.parse_args(arguments).out
    _earlier(out)  # refuse before the work, not after it
    files = site()
    write(files, out)
    print(f"{len(files)} files, {sum(map(len, files.values())) / 1e6:.1f} MB: {out / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
