"""What the pages do for a reader: contents, search, themes, ticks, words explained, answers folded.

Each by mouse and by keyboard, on a laptop and on a phone, and with scripts forbidden.
"""

import json
import re
import tomllib

import aids
import build
import export as site
import forms
import glossary
import pytest
import selenium_axe_python
from browser import needs_browser
from bs4 import BeautifulSoup
from exported_site import LAPTOP, PHONE, ROOT, out, show, small_site, until
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from landscape_nb.widgets import BowlExplorer

__all__ = ["out"]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
TEXTS = ["index.html", "TEACHING.html", "glossary.html"]
COURSE = [*TEXTS, *(f"{path.stem}.html" for path in NOTEBOOKS)]
SCREENS = pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
BY = pytest.mark.parametrize("by", ["mouse", "keyboard"])


@pytest.fixture(scope="module")
def soups(out):
    return {name: BeautifulSoup((out / name).read_text("utf-8"), "html.parser") for name in COURSE}


def one(driver, selector):
    return driver.find_element(By.CSS_SELECTOR, selector)


def press(driver, element, by):
    """Click an element, or reach it as the Tab key would and press Enter (Space on a box)."""
    if by == "mouse":
        driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()
        return
    driver.execute_script("arguments[0].focus()", element)
    assert driver.switch_to.active_element == element
    key = Keys.SPACE if element.get_attribute("type") == "checkbox" else Keys.ENTER
    ActionChains(driver).send_keys(key).perform()


def wait(driver, script, *arguments):
    """The first true value of a script."""
    ask = f"return {script}"
    return WebDriverWait(driver, 10, 0.05).until(lambda d: d.execute_script(ask, *arguments))


# ---- contents ------------------------------------------------------------------------------

BESIDE = """(() => { const side = document.querySelector('.contents').getBoundingClientRect(),
    main = document.querySelector('main').getBoundingClientRect();
    return [side.right <= main.left, side.top >= 0 && side.top < 100]; })()"""
CURRENT = "[...document.querySelectorAll('.contents a[aria-current]')].map(a => a.textContent)"


@needs_browser
@BY
@SCREENS
def test_the_contents_stay_in_sight_and_say_where_the_reader_is(by, size, browser, out):
    show(browser, out / "02_curvature.html", size)
    assert browser.execute_script(f"return {CURRENT}") == []
    link = one(browser, ".contents a[href='#4.-Why-some-bowls-are-slow']")
    if size == PHONE:
        assert not link.is_displayed()
        press(browser, one(browser, ".contents summary"), by)
    if size == LAPTOP:
        one(browser, ".contents a").click()  # a mark left behind would be a second one
        wait(browser, f"{CURRENT}.length === 1")
    press(browser, link, by)
    wait(browser, f"{CURRENT}.join() === '4. Why some bowls are slow'")
    assert wait(
        browser,
        "document.getElementById('4.-Why-some-bowls-are-slow').getBoundingClientRect().top < 200",
    )
    assert browser.execute_script(f"return {BESIDE}") == [size == LAPTOP, True]
    assert link.is_displayed() is (size == LAPTOP)  # on a phone they fold again
    covered = one(browser, ".contents").rect["height"] if size == PHONE else 0
    assert covered < 60


def test_every_section_of_a_page_is_in_its_contents(soups, out):
    for name, soup in soups.items():
        headings = soup.find("main").find_all(["h2", "h3"], id=True)
        ids = [h["id"] for h in headings if not h.find_parent("details")]
        assert [a["href"] for a in soup.select(".contents a")] == [f"#{i}" for i in ids], name
    module = (out / "landscape_nb/theory/moments.html").read_text("utf-8")
    assert "On this page" not in module  # nothing to find in one listing


# ---- search --------------------------------------------------------------------------------

STATUS = "document.querySelector('.search [role=status]').textContent"


@needs_browser
@BY
@SCREENS
def test_search_finds_a_section_and_leads_there(by, size, browser, out):
    show(browser, out / "solutions/02_curvature.html", size)
    index = "document.querySelectorAll('script[src*=search-index]').length"
    assert browser.execute_script(f"return {index}") == 0
    press(browser, one(browser, "#search"), by)
    ActionChains(browser).send_keys("ritz VALUES clos").perform()
    wait(browser, f"/^[1-9] sections?$/.test({STATUS})")
    result = one(browser, ".results a")
    assert "03 Top eigenspace › 1. Watch the Ritz values close in" in result.text
    assert "Ritz values: the circles" in result.text and one(browser, ".results mark").text
    if by == "mouse":
        result.click()
    else:
        ActionChains(browser).send_keys(Keys.ARROW_DOWN, Keys.ARROW_UP, Keys.ARROW_DOWN).perform()
        assert browser.switch_to.active_element == result
        ActionChains(browser).send_keys(Keys.ENTER).perform()
    wait(browser, "location.href.includes('/03_top_eigenspace.html#1.-Watch-the-Ritz')")
    assert wait(browser, f"{CURRENT}[0]") == "1. Watch the Ritz values close in"


@needs_browser
def test_search_says_when_there_is_nothing_and_closes_with_escape(browser, out):
    show(browser, out / "index.html")
    button = one(browser, "#search")
    button.click()
    assert browser.switch_to.active_element.get_attribute("id") == "query"
    ActionChains(browser).send_keys("eigenvalue zebra").perform()
    wait(browser, f"{STATUS} === '0 sections'")
    one(browser, "#query").clear()
    ActionChains(browser).send_keys("loss (").perform()  # no pattern of a regular expression
    wait(browser, f"{STATUS}.endsWith(' sections')")
    ActionChains(browser).send_keys(Keys.ESCAPE).perform()
    if one(browser, ".search").is_displayed():  # the first Escape empties the field
        ActionChains(browser).send_keys(Keys.ESCAPE).perform()
    assert not one(browser, ".search").is_displayed()
    assert browser.switch_to.active_element == button


def test_our_scripts_are_small(out):
    ours = [out / name for name in ("site.js", "search-index.js")]
    assert sum(path.stat().st_size for path in ours) < 150_000


# ---- themes --------------------------------------------------------------------------------

GROUND = "getComputedStyle(document.body).backgroundColor"
LIGHT, DARK = "rgb(255, 255, 255)", "rgb(21, 24, 28)"


@needs_browser
@BY
@SCREENS
def test_the_theme_is_the_systems_until_it_is_chosen_and_is_remembered(by, size, browser, out):
    grounds = []
    for system in ("light", "dark"):
        show(browser, out / "index.html", size, system)
        grounds.append(browser.execute_script(f"return {GROUND}"))
    assert grounds == [LIGHT, DARK]
    for chosen, ground in (("light", LIGHT), ("dark", DARK), ("system", DARK)):
        kept = lambda told=f"Theme: {chosen}": one(browser, "#theme").text == told  # noqa: E731

        def press_and_look_elsewhere(kept=kept):
            if not kept():  # a page that is left at once may take with it what it was to keep
                press(browser, one(browser, "#theme"), by)
            show(browser, out / "00_start_here.html", size, "dark")  # another page remembers

        until(press_and_look_elsewhere, kept)
        assert browser.execute_script(f"return {GROUND}") == ground


def test_the_theme_is_set_before_anything_is_drawn(out):
    head = BeautifulSoup((out / "index.html").read_text("utf-8"), "html.parser").head
    names = [tag.name for tag in head.find_all(["script", "link"])]
    assert names[0] == "script" and "dataset.theme" in head.script.string
    assert all(tag.has_attr("defer") for tag in head.find_all("script", src=True))


# ---- ticks ---------------------------------------------------------------------------------

ROW = "document.querySelector('tr[data-page^=\"02\"]').lastChild.textContent"


@needs_browser
@BY
@SCREENS
def test_what_is_ticked_is_kept_and_shown_on_the_front_page(by, size, browser, out):
    show(browser, out / "02_curvature.html", size)
    browser.execute_script("localStorage.clear()")
    show(browser, out / "index.html", size)
    assert browser.execute_script(f"return {ROW}") == "not yet"
    for step, told in ((0, r"1 of 1\d sections"), (1, "✓ done")):

        def tick_and_look_elsewhere(step=step):
            show(browser, out / "02_curvature.html", size)
            box = one(browser, [".contents li.level-2 input", "p.done input"][step])
            if not box.is_selected():  # a page that is left at once may take its tick with it
                if size == PHONE and step == 0:
                    press(browser, one(browser, ".contents summary"), by)
                press(browser, box, by)
            assert box.is_selected()
            show(browser, out / "index.html", size)

        shown = lambda told=told: re.fullmatch(told, browser.execute_script(f"return {ROW}"))  # noqa: E731
        until(tick_and_look_elsewhere, shown)
        show(browser, out / "02_curvature.html", size)
        assert browser.execute_script("return !!document.querySelector(':checked')")
    browser.execute_script("localStorage.clear()")


REFUSED = "Object.defineProperty(window, 'localStorage', {get() { throw new Error('no') }})"


@needs_browser
def test_where_storage_is_refused_everything_else_works(browser, out):
    command = "Page.addScriptToEvaluateOnNewDocument"
    script = browser.execute_cdp_cmd(command, {"source": REFUSED})["identifier"]
    try:
        show(browser, out / "02_curvature.html")
        box = one(browser, ".contents li.level-2 input")
        box.click()
        one(browser, "#theme").click()
        assert box.is_selected() and one(browser, "#theme").text == "Theme: light"
    finally:
        command = "Page.removeScriptToEvaluateOnNewDocument"
        browser.execute_cdp_cmd(command, {"identifier": script})


# ---- words explained -------------------------------------------------------------------------


@needs_browser
@BY
@SCREENS
def test_a_word_opens_its_meaning_and_leads_to_its_section(by, size, browser, out):
    show(browser, out / "04_mlp_stabilization.html", size)
    word = one(browser, "button.term[popovertarget=term-hessian]")
    meaning = one(browser, "#term-hessian")
    assert not meaning.is_displayed()
    press(browser, word, by)
    assert meaning.is_displayed() and "second derivatives" in meaning.text
    box = meaning.rect
    assert box["x"] >= 0 and box["x"] + box["width"] <= size[0]
    ActionChains(browser).send_keys(Keys.ESCAPE).perform()
    assert not meaning.is_displayed() and browser.switch_to.active_element == word
    press(browser, word, by)
    press(browser, meaning.find_element(By.TAG_NAME, "a"), by)
    wait(browser, "location.href.includes('/02_curvature.html#2.-The-Hessian')")


def test_words_are_explained_once_in_prose_alone(soups):
    used = set()
    for name, soup in soups.items():
        targets = [button["popovertarget"] for button in soup.select("button.term")]
        assert len(targets) == len(set(targets)), name
        assert sorted(targets) == sorted(box["id"] for box in soup.select("[popover]")), name
        assert not soup.select(":is(a, code, pre, math, h1, h2, h3, summary) button.term"), name
        used |= set(targets)
    assert used == {f"term-{term.id}" for term in glossary.read_terms(ROOT / glossary.GLOSSARY)}


def test_the_glossary_is_short_plain_and_whole():
    entries = tomllib.loads((ROOT / glossary.GLOSSARY).read_text("utf-8"))["term"]
    assert len(entries) >= 40
    for entry in entries:
        assert 1 <= len(re.findall(r"\.(?= |$)", entry["words"])) <= 2, entry["name"]
        assert not re.search(r"[$\\`_]", entry["words"]), entry["name"]
    forms = [f.lower() for e in entries for f in (e["name"], *e.get("also", ()))]
    assert len(forms) == len(set(forms))


@pytest.mark.parametrize(
    ("html", "left"),
    [
        ("<p>A Hessian and a Hessian.</p>", "A [Hessian] and a Hessian."),
        ("<h2>Hessian</h2><p>x</p>", "Hessianx"),
        ("<p><code>Hessian</code> <a>Hessian</a></p>", "Hessian Hessian"),
        ("<p>Hessian-vector, Hessians</p>", "Hessian-vector, [Hessians]"),
        ("<p>top\neigenspace of a hessian</p>", "[top\neigenspace] of a [hessian]"),
    ],
    ids=["first", "heading", "code and link", "part of a word", "two words, small letters"],
)
def test_which_words_become_buttons(html, left):
    soup = BeautifulSoup(f"<main>{html}</main>", "html.parser")
    terms = [
        glossary.Term("Hessian", "w", "02", ("Hessians",)),
        glossary.Term("Top eigenspace", "w", "03"),
    ]
    aids.explain_words(soup, {term: ("a", "A") for term in terms})
    for box in soup.select("[popover]"):
        box.decompose()
    for button in soup.select("button"):
        button.replace_with(f"[{button.string}]")
    assert soup.get_text() == left


# ---- answers, outputs ------------------------------------------------------------------------


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_reveals_an_answer_is_folded(path, soups):
    story = build.read_story(path)
    kept_back = build.read_revealed(path)
    soup = soups[f"{path.stem}.html"]
    assert kept_back
    for cell in (c for c in story.cells if c.metadata.get("jupyter", {}).get("source_hidden")):
        for area in soup.find(id=f"cell-id={cell.id}").select(".output_area"):
            to_move = area.select_one(".explorable, .quiz")
            assert (area.find_parent("details") is None) == (to_move is not None)
    for id in kept_back:
        areas = soup.find(id=f"cell-id={id}").select(".output_area")
        folds = [area.find_parent("details", class_="answer") for area in areas]
        assert folds and all(folds)
        assert {fold.summary.string for fold in folds} == {"Show the answer"}


@pytest.mark.parametrize(
    ("after", "in_sight"),
    [
        (f"<details><summary>{forms.AFTER}</summary><p>It is 85.</p></details>", "Code"),
        ("<p>And one order?</p>", "Code And one order?"),
        ("<details><summary>Another</summary><p>85</p></details>", "Code Another 85"),
    ],
    ids=["the answer in words", "the next question", "another fold"],
)
def test_what_tells_an_answer_is_behind_one_show(after, in_sight):
    show = '<details class="answer"><summary>Show the answer</summary><pre>85</pre></details>'
    page = f'<div class="cell code_cell"><pre>Code</pre>{show}</div><div class="cell text_cell">'
    page += f'<div class="text_cell_render">{after}</div></div>'
    soup = BeautifulSoup(f"<main>{page}</main>", "html.parser")
    aids.gather_answers(soup)
    fold = soup.select_one("details.answer")
    assert "85" in fold.get_text() and not fold.select("details")
    assert all(cell.get_text(strip=True) for cell in soup.select(".cell"))
    fold.decompose()
    assert soup.get_text(" ", strip=True) == in_sight


def test_a_search_shows_no_answer(soups):
    fold = soups["00_start_here.html"].select_one("details.answer")
    told = "close to 10"  # squared: why the answer is 85
    assert told in fold.get_text()
    found = aids.sections(soups["00_start_here.html"].find("main"))
    assert not [section for section in found if told in section.text]
    assert [section for section in found if "mean square over the window" in section.text]


@needs_browser
@BY
@SCREENS
def test_an_answer_is_shown_when_it_is_asked_for(by, size, browser, out):
    show(browser, out / "00_start_here.html", size)
    picture = one(browser, ".answer img")
    assert not picture.is_displayed()
    press(browser, one(browser, ".answer summary"), by)
    assert picture.is_displayed()


SCROLLING = """[...document.querySelectorAll('main *')].filter(e =>
    ['auto', 'scroll'].includes(getComputedStyle(e).overflowX) && e.scrollWidth > e.clientWidth + 1
    && e.checkVisibility({contentVisibilityAuto: true}))"""


# What is out of sight is not laid out, and is named when it comes into sight: here all is.
LAY_OUT = """document.head.insertAdjacentHTML('beforeend',
    '<style>main > .cell { content-visibility: visible !important }</style>')"""
PICTURES = "[...document.querySelectorAll('main img')].filter(e => e.checkVisibility())"


@needs_browser
@SCREENS
def test_what_scrolls_sideways_has_a_name_and_a_place_for_the_keyboard(size, browser, out):
    show(browser, out / "05_loss_surfaces.html", size)
    browser.execute_script(LAY_OUT)
    named = f"{SCROLLING}.every(e => e.tabIndex === 0 && e.role && e.ariaLabel)"
    wait(browser, named)
    # what can be moved in an explorable has its place for the keyboard without a scroll bar
    idle = "document.querySelectorAll('main [tabindex=\"0\"]:not(.ln-explorable *)').length"
    scrolling = browser.execute_script(f"return {SCROLLING}.length")
    folded = browser.execute_script("return document.querySelectorAll('details [tabindex]').length")
    assert browser.execute_script(f"return {idle}") <= scrolling + folded
    assert (scrolling > 20) is (size == PHONE)
    small = f"{PICTURES}.filter(e => e.width < 0.715 * e.getAttribute('width')).map(e => e.alt)"
    assert browser.execute_script(f"return {small}") == []  # words of 12 px stay above 8
    if size == PHONE:
        box = browser.execute_script(f"return {SCROLLING}[0]")
        browser.execute_script("arguments[0].focus()", box)
        ActionChains(browser).send_keys(Keys.ARROW_RIGHT * 3).perform()
        wait(browser, "arguments[0].scrollLeft > 0", box)


@pytest.mark.parametrize(
    ("text", "is_table"),
    [
        ("name     value\nfirst      1.0", True),
        ("a sentence that is long. " * 5, False),
        ("    indented\n    twice", False),
        ("one  gap", False),
    ],
    ids=["columns", "sentence", "indented", "one line"],
)
def test_print_in_columns_keeps_its_columns(text, is_table):
    assert aids.in_columns(text.split("\n")) is is_table


# ---- without scripts, on paper ----------------------------------------------------------------

# is_displayed() takes whatever is in a folded element for hidden, also where the style shows it
SEEN = """const e = document.querySelector(arguments[0]);
    return e.checkVisibility({contentVisibilityAuto: true}) && e.getClientRects().length > 0;"""


@pytest.fixture(scope="module")
def moved(tmp_path_factory):
    """A site of two notebooks, the first with an explorable and an answer."""
    data, metadata = BowlExplorer(lr=1.5, kappa=8.0)._repr_mimebundle_()
    data = {kind: data[kind] for kind in ("image/png", "text/plain")}
    output = new_output("execute_result", data=data, metadata=metadata)
    guess = new_code_cell("guess = 1")
    told = new_output("stream", text="</script> 42\n")
    reveal = new_code_cell("reveal_number('It', guess, 42)", outputs=[told])
    cells = [new_markdown_cell("# 00 A\n\n## One\n\nText.\n\n## Two\n\nText."), guess, reveal]
    cells += [new_code_cell("explorer", outputs=[output]), new_markdown_cell("End.")]
    return small_site(tmp_path_factory.mktemp("course"), cells)


@needs_browser
@pytest.mark.parametrize("name", ["index.html", "00_a.html"])
@SCREENS
def test_an_explorable_is_alive_on_its_page_and_opens_the_front_page(name, size, browser, moved):
    show(browser, moved / name, size)
    assert one(browser, "figure.explorable.ln-alive .ln-explorable").is_displayed()
    assert not one(browser, "figure.explorable > img").is_displayed()
    assert "To move the sliders" not in one(browser, "main").text
    slider = one(browser, "figure.explorable input[type=range]")
    before = one(browser, ".ln-words").text
    slider.send_keys(Keys.ARROW_RIGHT)
    wait(browser, "document.querySelector('.ln-words').textContent !== arguments[0]", before)
    if name == "index.html":
        order = (
            "return [...document.querySelectorAll('main :is(h1, figure, h2)')].map(e => e.tagName)"
        )
        assert browser.execute_script(order)[:3] == ["H1", "FIGURE", "H2"]
        assert "Add a sample" in one(browser, "main").text


def test_a_state_cannot_end_its_script(moved):
    soup = BeautifulSoup((moved / "00_a.html").read_text("utf-8"), "html.parser")
    figure = soup.select_one("figure.explorable[data-module=bowl_explorer]")
    state = json.loads(figure.select_one("script[type='application/json']").string)
    assert (state["lr"], state["kappa"]) == (1.5, 8.0)
    assert figure.img["alt"] and (moved / figure.img["src"]).is_file()
    assert "<" not in site.in_script('{"words": "</script><!--"}')


@needs_browser
@SCREENS
def test_without_scripts_everything_can_be_read(size, browser, moved, out):
    show(browser, moved / "00_a.html", size)
    words = set(one(browser, "main").get_attribute("innerText").split())
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        show(browser, moved / "00_a.html", size)
        still = one(browser, "main")
        assert "can be moved where a browser runs scripts" in still.text
        assert one(browser, "figure.explorable > img").is_displayed()
        assert {"00", "Text.", "End."} <= words & set(still.text.split())
        assert not browser.find_elements(By.CSS_SELECTOR, "main input")
        assert not one(browser, "#search").is_displayed()
        one(browser, ".answer summary").click()
        assert "42" in one(browser, ".answer").text
        if size == PHONE:
            one(browser, ".contents summary").click()
        assert browser.execute_script(SEEN, ".contents a")
        show(browser, out / "02_curvature.html", size)
        one(browser, "button.term").click()
        assert one(browser, ".meaning:popover-open").is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


@needs_browser
def test_on_paper_all_is_unfolded_and_nothing_is_left_to_press(browser, moved, out):
    show(browser, moved / "00_a.html", theme="dark", media="print")
    assert browser.execute_script(SEEN, ".answer pre")
    assert one(browser, "figure.explorable > img").is_displayed()
    assert not one(browser, ".ln-explorable").is_displayed()
    pressed = (
        "[...document.querySelectorAll('nav, button, input')].filter(e => e.checkVisibility())"
    )
    assert browser.execute_script(f"return {pressed}.map(e => e.outerHTML)") == []
    assert (
        browser.execute_script("return getComputedStyle(document.body).color") == "rgb(29, 36, 48)"
    )
    show(browser, out / "02_curvature.html", media="print")
    wide = "document.documentElement.scrollWidth <= innerWidth"
    assert browser.execute_script(f"return {wide}")


# ---- accessibility --------------------------------------------------------------------------

# Pages of modules are all alike: a long one and a short one stand for them. Contrast is measured
# on every page by test_site.py, and takes axe longer than all its other rules.
LOOKED_AT = [*COURSE, "solutions/02_curvature.html", "landscape_nb/theory/moments.html"]
AXE = """const done = arguments[arguments.length - 1];
    const contrast = {'color-contrast': {enabled: false}};
    axe.run({preload: false, resultTypes: ['violations'], rules: contrast}).then(({violations}) =>
      done(violations.map(v => [v.id, v.nodes.map(n => n.html.slice(0, 99))])));"""


@needs_browser
@pytest.mark.parametrize(
    ("size", "theme"), [(LAPTOP, "light"), (PHONE, "dark")], ids=["laptop, light", "phone, dark"]
)
def test_axe_finds_no_violation(size, theme, browser, out):
    source = selenium_axe_python.Axe(browser)
    found = {}
    for name in LOOKED_AT:
        show(browser, out / name, size, theme)
        browser.execute_script(LAY_OUT)
        wait(browser, f"{SCROLLING}.every(e => e.tabIndex === 0)")
        source.inject()
        found[name] = browser.execute_async_script(AXE)
    assert {name: violations for name, violations in found.items() if violations} == {}
