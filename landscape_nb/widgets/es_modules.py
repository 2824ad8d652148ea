"""ES modules as one text each: what anywidget loads, and one script for all pages.

A module imports its neighbours (`import { axes } from "./drawing.js";`), which neither anywidget
(it loads a single text) nor a page opened from a disk (browsers load no module from there) can
follow. So each module becomes a function's value, in the order of the imports; that is all the
"bundling" there is, and it asks of a module that its imports and exports look as they do here.
"""

import re
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
IMPORT = re.compile(r'^import \{([^}]*)\} from "\./(\w+)\.js";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?(?:function|const|class) (\w+))", re.MULTILINE)
DEFAULT = re.compile(r"^export default ", re.MULTILINE)


@cache
def es_module(name: str) -> str:
    """One self-contained ES module: the named file with all that it imports.

    >>> "import {" in es_module("bowl_explorer"), "export default" in es_module("bowl_explorer")
    (False, True)
    """
    return f"{_values([name])}export default {_constant(name)}.default;\n"


def page_script() -> str:
    """All explorables as one classic script, which brings those of the page to life."""
    names = explorables()
    modules = ", ".join(f"{name}: {_constant(name)}.default" for name in names)
    return (
        "(() => {\n"
        f"{_values([*names, 'page'])}"
        f"window.landscapeExplorables = {{ {modules} }};\n"
        f"{_constant('page')}.start(window.landscapeExplorables);\n"
        "})();\n"
    )


@cache
def page_style() -> str:
    """The style sheet that all explorables share."""
    return (FOLDER / "explorable.css").read_text("utf-8")


def explorables() -> list[str]:
    """Names of the modules that a reader can explore: those with a default export."""
    return sorted(path.stem for path in FOLDER.glob("*.js") if DEFAULT.search(_text(path.stem)))


def _text(name: str) -> str:
    return (FOLDER / f"{name}.js").read_text("utf-8")


def _constant(name: str) -> str:
    return f"${name}"


def _values(names: list[str]) -> str:
    """A constant for each of the named modules and for all that they import, imports first."""
    ordered: dict[str, None] = {}
    for name in names:
        _put(name, ordered)
    return "".join(_value(name) for name in ordered)


def _put(name: str, ordered: dict[str, None]) -> None:
    if name not in ordered:
        for _, imported in IMPORT.findall(_text(name)):
            _put(imported, ordered)
        ordered[name] = None


def _value(name: str) -> str:
    """A module as a constant that holds its exports."""
    text = _text(name)
    exported = EXPORT.findall(text)
    text = IMPORT.sub(lambda m: f"const {{{_renamed(m[1])}}} = {_constant(m[2])};\n", text)
    text = EXPORT.sub("", text)
    if DEFAULT.search(text):
        text, exported = DEFAULT.sub("const $default = ", text), [*exported, "default: $default"]
    return (
        f"const {_constant(name)} = (() => {{\n{text}return {{ {', '.join(exported)} }};\n}})();\n"
    )


def _renamed(names: str) -> str:
    """'a as b' of an import as 'a: b' of an object."""
    return re.sub(r"(\w+) as (\w+)", r"\1: \2", names)
