"""The course as pages to read: links, pictures, equations, colours, and what a folder may lose.

The pages are read with the standard library's HTML parser, not with what wrote them, and at the end
looked at in a browser. The notebooks are taken as they are stored; nothing is executed.
"""

import posixpath
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import build
import export as site
import forms
import nbformat
import pytest
from browser import chromium, needs_browser
from contrast import contrast
from exported_site import ROOT, out
from nbformat.v4 import new_markdown_cell, new_notebook

from landscape_nb.course.quick_questions import find_question

__all__ = ["out"]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


@dataclass
class Read(HTMLParser):
    """What a browser finds in a page."""

    elements: list = field(default_factory=list)  # (tag, attributes) in order
    prose: str = ""  # text outside code and equations
    _inside: list = field(default_factory=list)

    def __post_init__(self):
        super().__init__()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag in ("pre", "code", "math", "title", "script"):
            self._inside.append(tag)

    def handle_endtag(self, tag):
        if self._inside and tag == self._inside[-1]:
            self._inside.pop()

    def handle_data(self, data):
        self.prose += "" if self._inside else data

    def all(self, *tags):
        return [attributes for tag, attributes in self.elements if tag in tags]

    def ids(self):
        return [attributes["id"] for _, attributes in self.elements if "id" in attributes]

    def addresses(self):
        found = [a.get(name) for _, a in self.elements for name in ("href", "src")]
        return [address for address in found if address is not None]


def read(text):
    page = Read()
    page.feed(text)
    page.close()
    return page


@pytest.fixture(scope="module")
def pages(out):
    return {
        path.relative_to(out).as_posix(): read(path.read_text("utf-8"))
        for path in sorted(out.rglob("*.html"))
    }


def stored(path):
    """The outputs of a notebook that carry data, in order, answers included."""
    outputs = [o for c in build.read_story(path).cells for o in c.get("outputs", [])]
    return [output for output in outputs if "data" in output]


def test_every_notebook_solution_and_module_has_its_page(pages):
    wanted = [path.stem for path in NOTEBOOKS]
    wanted += [f"solutions/{p.stem}" for p in (ROOT / "notebooks/solutions").glob("*.ipynb")]
    wanted += [
        p.relative_to(ROOT).with_suffix("").as_posix()
        for p in (ROOT / "landscape_nb").rglob("*.py")
    ]
    wanted += ["glossary", "summary"] + ["TEACHING"] * (ROOT / "notebooks/TEACHING.md").exists()
    assert sorted(pages) == sorted(f"{name}.html" for name in ["index", *wanted])
    listed = [a for a in pages["index.html"].addresses() if re.fullmatch(r"\d\d_\w+\.html", a)]
    assert list(dict.fromkeys(listed)) == [f"{path.stem}.html" for path in NOTEBOOKS]


def test_every_link_leads_somewhere(pages, out):
    dead = []
    for name, page in pages.items():
        for address in page.addresses():
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            path = unquote(parts.path)
            target = posixpath.normpath(posixpath.join(posixpath.dirname(name), path))
            target = target if path else name
            lost = not (out / target).is_file() or target.endswith(".ipynb")
            if lost or parts.fragment and unquote(parts.fragment) not in pages[target].ids():
                dead.append((name, address))
    assert not dead
    assert len(pages["00_start_here.html"].addresses()) > 10


def test_the_network_is_asked_for_nothing(pages, out):
    for name, page in pages.items():
        assert not page.all("iframe", "object", "embed", "base"), name
        loaded = [a["href"] for a in page.all("link")] + [a["src"] for a in page.all("img")]
        loaded += [a["src"] for a in page.all("script") if "src" in a]
        assert {urlsplit(address).scheme for address in loaded} <= {"", "data"}, name
        assert not [a for a in page.addresses() if a.startswith("//")], name
    for path in (out / "style.css", *out.glob("*.js")):
        text = path.read_text("utf-8")
        assert not re.search(
            r"url\((?!#)|@import|fetch\(|XMLHttpRequest|https?://(?!www\.w3\.org)", text
        )


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_pictures_are_described_as_the_notebook_describes_them(path, pages, out):
    page, wanted = pages[f"{path.stem}.html"], []
    for cell in build.read_story(path).cells:
        if cell.cell_type == "markdown":
            wanted += [
                text.replace("\n", " ") for text in re.findall(r"!\[(.*?)\]\(", cell.source, re.S)
            ]
        for output in cell.get("outputs", []):
            if "text/html" in output.get("data", {}):
                wanted += [image["alt"] for image in read(output.data["text/html"]).all("img")]
            elif "image/png" in output.get("data", {}):
                wanted.append(output.metadata["image/png"]["alt"])
    assert wanted and all(wanted)
    assert [image["alt"].replace("\n", " ") for image in page.all("img")] == wanted
    for image in page.all("img"):
        assert (out / image["src"]).read_bytes().startswith(b"\x89PNG")
        assert int(image["width"]) > int(image["height"]) / 3 > 0


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_sentence_under_a_picture_stays_and_widgets_say_how_to_move_them(path, pages):
    prose = " ".join(pages[f"{path.stem}.html"].prose.split())
    said = [o.data["text/markdown"] for o in stored(path) if "text/markdown" in o.data]
    plain = [" ".join(text.replace("*", "").split()) for text in said]
    plain = [text for text in plain if not set("$`_[<|") & set(text)]
    assert plain or not said or path.stem == "09_your_model"  # whose outputs hold their sentences
    assert [text for text in plain if text not in prose] == []
    widgets = [o for o in stored(path) if o.output_type == "execute_result"]
    widgets = [o for o in widgets if "image/png" in o.data and "explorable" not in o.metadata]
    assert prose.count("To move the sliders") == len(widgets)


# MathML Core, what browsers draw themselves: https://www.w3.org/TR/mathml-core/
CORE = set("math mi mn mo mtext mspace mrow mfrac msqrt mroot mstyle".split()) | set(
    "msub msup msubsup munder mover munderover mtable mtr mtd mpadded mphantom merror ms".split()
)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_folded_in_a_notebook_is_folded_on_its_page(path, pages):
    cells = nbformat.read(path, as_version=4).cells
    folded = [c for c in cells if c.metadata.get("jupyter", {}).get("source_hidden")]
    read = pages[f"{path.stem}.html"]
    summaries = [tag for tag, _ in read.elements if tag == "summary"][1:]  # the contents' own
    answers = [a for a in read.all("details") if a.get("class") == "answer"]
    found = f"<summary>{forms.AFTER}</summary>"  # joins its answer
    texts = [c.source.replace(found, "") for c in cells if c.cell_type == "markdown"]
    in_text = sum(text.count("<summary>") for text in texts)
    html = [
        str(o.get("data", {}).get("text/html", "")) for c in cells for o in c.get("outputs", [])
    ]
    in_outputs = sum(text.count("<summary>") for text in html)  # the ledger's claims
    metadata = [o.get("metadata", {}) for c in cells for o in c.get("outputs", [])]
    asked = [find_question(each["quiz"]) for each in metadata if "quiz" in each]
    options = sum(len(question.options) for question in asked)  # in place of its code
    code = len(folded) - len(asked)
    assert len(summaries) == code + in_text + in_outputs + len(answers) + options


def test_equations_are_mathml_and_no_tex_is_left(pages):
    for name, page in pages.items():
        tags = [tag for tag, _ in page.elements if re.fullmatch("m[a-z]+|ms", tag)]
        assert set(tags) - {"main", "meta", "mark"} <= CORE, name
        assert not re.search(r"\$|\\[a-zA-Z(\[]", page.prose), name
    assert sum(len(page.all("math")) for page in pages.values()) > 1000


def drawn(tex, display="inline"):
    """An equation as an element tree, by the two steps that every page takes."""
    asked = site.equation(tex, display)
    return ElementTree.fromstring(site.drawn(asked, site.mathml([asked])))


@pytest.mark.parametrize(
    ("tex", "text"),
    [
        (r"\mathbb{E}_w\bigl(L_{k+1}\bigr)^2", "𝔼w(Lk+1)2"),
        (r"\underbrace{a^2}_{\text{value}}", "a2value"),
        (r"a \sim b \pm c \Longrightarrow d", "a∼b±c⇒d"),
        (r"a < b & c".replace("&", r"\&"), "a<b&c"),
        (r"\begin{aligned} a &= b \\ c &= d \end{aligned}", "a=bc=d"),
    ],
    ids=["fonts", "underbrace", "signs", "reserved", "aligned"],
)
def test_tex_becomes_the_signs_that_it_means(tex, text):
    assert "".join(drawn(tex).itertext()) == text


def test_a_backslash_at_the_end_of_a_line_is_a_space():
    assert [e.tag for e in drawn("x,\\\ny")[0]] == ["mi", "mo", "mspace", "mi"]


def test_spaces_around_signs_are_those_of_tex():
    def spaces(tex, sign):
        (atom,) = [e for e in drawn(tex).iter() if e.text == sign]
        return atom.tag, atom.get("lspace"), atom.get("rspace")

    assert spaces(r"\log k", "log") == ("mo", "0", "0.167em")
    assert spaces(r"2\log^2 k", "log") == ("mo", "0.167em", "0.167em")
    assert spaces(r"(\operatorname{tr}(B))", "tr") == ("mo", "0", "0")
    assert spaces(r"\max_i x", "max") == ("mo", "0", "0.167em")
    assert spaces(r"\lambda_{\max} x", "max") == ("mi", None, None)
    assert spaces("L_{k+1}", "+") == ("mo", "0", "0")
    assert spaces("k+1", "+") == ("mo", None, None)


def test_letters_brackets_and_lines_are_those_of_tex():
    def classes(tex):
        return [e.get("class") for e in drawn(tex).iter() if e.get("class")]

    assert drawn(r"\Delta")[0].get("mathvariant") == "normal"
    assert drawn("a/k")[0][1].tag == "mi"  # a sign would have spaces
    assert classes(r"\underbrace{a^2}_{\text{value}}") == ["underbrace"]
    assert classes(r"\overline{I_k^2}") == ["overline"]
    (power,) = drawn(r"\bigl(x\bigr)^2").iter("msup")
    assert [e.tag for e in power] == ["mrow", "mn"] and power[0][0].text == ")"
    assert drawn("k^2", "block").get("display") == "block"


def test_all_equations_of_the_course_take_one_call(small, monkeypatch):
    calls, convert = [], site.pypandoc.convert_text
    monkeypatch.setattr(
        site.pypandoc, "convert_text", lambda *a, **o: calls.append(a) or convert(*a, **o)
    )
    (small / "notebooks" / "TEACHING.md").write_text("# Teaching\n\n$k^2$, $k^2$ and $$j<k$$\n")
    page = read(site.site(small)["TEACHING.html"].decode())
    assert [math["display"] for math in page.all("math")] == ["inline", "inline", "block"]
    assert len(calls) == 1 and calls[0][0].count("k^2") == 1


@pytest.mark.parametrize("tex", [r"\nosuch x", "a & b", r"\frac{1}{"])
def test_tex_that_has_no_mathml_is_refused_rather_than_shown(tex):
    with pytest.raises(ValueError, match=r"MathML.*" + re.escape(tex)):
        drawn(tex)


def test_pages_are_built_for_any_reader(pages):
    for name, page in pages.items():
        assert page.all("html") == [{"lang": "en"}], name
        assert "width=device-width" in [a.get("content", "") for a in page.all("meta")][1], name
        assert len(page.ids()) == len(set(page.ids())), name
        assert page.all("a")[0] == {"class": "skip", "href": "#content"}, name
        assert page.all("main")[0]["id"] == "content", name
        labels = [nav["aria-label"] for nav in page.all("nav")]
        assert labels[:1] == ["Course, top of the page"], name
        assert labels[-1:] == ["Course, end of the page"] and len(labels) == len(set(labels)), name
        levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
        assert levels[0] == 1 and levels.count(1) == 1, name
        assert all(b - a <= 1 for a, b in zip(levels, levels[1:], strict=False)), name
    titles = [page.title for page in site.course()]
    assert len(titles) == len(set(titles)) == len(pages)


def test_next_leads_through_the_course_and_previous_back(pages):
    def followed(rel, name):
        steps = [a["href"] for a in pages[name].all("a") if a.get("rel") == rel]
        assert len(set(steps)) <= 1  # the same at the top and at the end
        return [name, *followed(rel, steps[0])] if steps else [name]

    names = [f"{path.stem}.html" for path in NOTEBOOKS]
    assert followed("next", names[0]) == names
    assert followed("prev", names[-1]) == names[::-1]


def test_contrast_of_known_colours():
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast((119, 119, 119), (255, 255, 255)) == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_every_text_colour_is_readable_on_every_ground(theme, out):
    css = (out / "style.css").read_text("utf-8")
    pairs = re.findall(r"--([a-z-]+): light-dark\(#(\w{6}), #(\w{6})\);", css)
    rgb = {name: tuple(bytes.fromhex(both[theme])) for name, *both in pairs}
    grounds = [name for name in rgb if name.startswith("ground")]
    texts = [name for name in rgb if name.startswith("text")]
    assert len(grounds) == 2 and len(texts) >= 7
    assert {(t, g) for t in texts for g in grounds if contrast(rgb[t], rgb[g]) < 4.5} == set()


def tree(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def test_a_second_export_gives_the_same_bytes(out):
    before = tree(out)
    site.write(site.site(), out)  # another process, another hash seed
    assert tree(out) == before


@pytest.mark.parametrize("other", ["a folder", "a file"])
def test_what_is_not_a_site_is_refused_and_nothing_is_lost(other, tmp_path, monkeypatch):
    target = tmp_path / "out"
    if other == "a folder":
        target.mkdir()
    mine = target / "index.html" if other == "a folder" else target
    mine.write_text("mine")
    monkeypatch.setattr(site, "site", lambda: pytest.fail("worked before it looked"))
    with pytest.raises(SystemExit, match=rf"new or empty folder.*{other}.*Nothing was written"):
        site.main([str(target)])
    assert tree(tmp_path) == {mine.relative_to(tmp_path).as_posix(): b"mine"}


def test_an_earlier_site_is_replaced_but_what_others_put_there_stays(tmp_path):
    site.write({"a.html": b"1", "pictures/p.png": b"2"}, tmp_path)
    (tmp_path / "CNAME").write_text("mine")
    site.write({"a.html": b"3"}, tmp_path)
    del (files := tree(tmp_path))[site.MANIFEST]
    assert files == {"a.html": b"3", "CNAME": b"mine"}
    with pytest.raises(SystemExit, match="CNAME that is not of this site; nothing was written"):
        site.write({"a.html": b"4", "CNAME": b"5"}, tmp_path)
    assert (tmp_path / "a.html").read_bytes() == b"3"
    assert (tmp_path / "CNAME").read_text() == "mine"


@pytest.fixture
def small(tmp_path):
    """A course of one notebook, its solutions, a page for teachers and one module."""
    folder = tmp_path / "notebooks"
    (folder / "solutions").mkdir(parents=True)
    (tmp_path / "landscape_nb").mkdir()
    (tmp_path / "landscape_nb" / "losses.py").write_text("x = 1\n")
    (tmp_path / "README.md").write_text("# Front\n\n## Start\n\nRun.\n\n## Notebooks\n\nTable.\n")
    (folder / "TEACHING.md").write_text("# Teaching\n\nSee [00](00_a.ipynb#Words). $k^2$\n")
    text = "# 00 A\n\n## Words\n\n[code](../landscape_nb/losses.py) [folder](solutions)\n"
    for path in (folder / "00_a.ipynb", folder / "solutions" / "00_a.ipynb"):
        source = text if path.parent == folder else "# Solutions of 00 A\n\n[00](../00_a.ipynb)"
        nbformat.write(new_notebook(cells=[new_markdown_cell(source)]), path)
    return tmp_path


def test_solutions_and_the_teachers_page_join_the_course(small):
    files = {name: content.decode() for name, content in site.site(small).items()}
    front = read(files["index.html"])
    assert {"TEACHING.html", "solutions/00_a.html"} <= set(front.addresses())
    assert front.prose.index("Table.") < front.prose.index("Teaching") < front.prose.index("Run.")
    assert "#start" in front.addresses() and "start" in front.ids()
    assert "00_a.html#Words" in read(files["TEACHING.html"]).addresses()
    assert "solutions/00_a.html" in read(files["00_a.html"]).addresses()
    assert "../00_a.html" in read(files["solutions/00_a.html"]).addresses()
    notebook = read(files["00_a.html"])
    assert "landscape_nb/losses.html" in notebook.addresses()
    assert "folder (in the repository)" in notebook.prose


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[gone](nowhere.ipynb)", r"TEACHING\.md: a link leads nowhere: nowhere\.ipynb"),
        ("![](../p.png)", r"TEACHING\.md: a picture has no alternative text"),
        (r"$\nosuch$", r"TEACHING\.md: no MathML"),
    ],
    ids=["link", "picture", "equation"],
)
def test_a_page_with_a_fault_is_not_published(small, text, message):
    (small / "p.png").write_bytes(b"\x89PNG" + bytes(40))
    (small / "notebooks" / "TEACHING.md").write_text(f"# Teaching\n\n{text}\n")
    with pytest.raises(SystemExit, match=message):
        site.site(small)


# Every text that is drawn: its colour, the nearest ground behind it, and where it stands.
TEXTS = """
    const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
    const rgb = colour => !colour.startsWith('color(srgb') ? numbers(colour) : // a mixture
      numbers(colour).map((c, i) => i < 3 ? 255 * c : c);
    const ground = e => { for (; e; e = e.parentElement) {
      const c = rgb(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] == 1) return c; }
      return [255, 255, 255]; };
    const found = {}, walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) if (walk.currentNode.data.trim()) {
      const e = walk.currentNode.parentElement;
      const pair = [rgb(getComputedStyle(e).color).slice(0, 3), ground(e).slice(0, 3)];
      const isMark = e.closest('.ln-sign') !== null; // its ground is a datum
      const text = walk.currentNode.data.trim().slice(0, 40);
      found[JSON.stringify(pair)] = pair.concat([text, isMark]); }
    return Object.values(found);"""
TALLER = """
    const height = e => e.getBoundingClientRect().height;
    const all = [...document.querySelectorAll('mfrac')];
    return all.length > 0 && all.every(f => height(f) > 1.3 * height(f.lastElementChild));"""


@pytest.fixture(scope="module")
def phone():
    """A headless Chromium with the window of a small phone."""
    with chromium() as driver:
        screen = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        yield driver


@needs_browser
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_phone_shows_every_page_in_its_width_and_readable(theme, phone, out, pages):
    theme_is = {"name": "prefers-color-scheme", "value": theme}
    phone.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [theme_is]})
    grounds = set()
    for name in pages:
        phone.get((out / name).as_uri())
        width = phone.execute_script("return document.documentElement.scrollWidth")
        assert width <= 360, f"{name} is {width} wide"
        for colour, ground, text, is_mark in phone.execute_script(TEXTS):
            grounds |= set() if is_mark else {tuple(ground)}
            assert contrast(colour, ground) >= 4.5, (name, text, colour, ground)
    assert min(max(ground) for ground in grounds) > 200 or theme == "dark"
    assert max(max(ground) for ground in grounds) < 60 or theme == "light"
    phone.get((out / "01_quadratic_toy.html").as_uri())
    assert phone.execute_script(TALLER), "the browser does not draw fractions"
    assert phone.get_log("browser") == []


SHOWN = """
    const all = [...document.querySelectorAll('.ln-ledger details')];
    return all.filter(e => e.offsetParent !== null).map(e => e.className.split(' '));"""


@needs_browser
def test_the_ledger_is_filtered_by_source_and_by_verdict_without_a_script(phone, out):
    phone.get((out / "10_verdicts.html").as_uri())
    everything = phone.execute_script(SHOWN)
    assert len(everything) >= 60
    for chosen in ("ln-source-kg26", "ln-verdict-identity"):
        phone.execute_script(f"document.querySelector('input.{chosen}').click()")
    both = [
        kinds for kinds in everything if {"ln-source-kg26", "ln-verdict-identity"} <= set(kinds)
    ]
    assert phone.execute_script(SHOWN) == both and 0 < len(both) < len(everything)
