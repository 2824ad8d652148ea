"""The notebooks of the course: questions, minutes, what is needed before, what one can do after."""

import tomllib
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple


class Notebook(NamedTuple):
    """What is known about a notebook before it is opened.

    Attributes:
        number: "04".
        file: its name without the ending.
        title: without the number.
        question: what it answers.
        after: what a reader can do afterwards, continuing "can ...".
        read: minutes for the main path.
        exercises: minutes for the exercises.
        needs: numbers of the notebooks to read first, in the order of the course.
        helps: numbers of those that help.
        bring: what else a reader must know, or "".
        about: a few words on its subject.
        place: column and row on the map.
    """

    number: str
    file: str
    title: str
    question: str
    after: str
    read: int
    exercises: int
    about: str
    place: tuple[float, float]
    needs: tuple[str, ...] = ()
    helps: tuple[str, ...] = ()
    bring: str = ""

    @property
    def before(self) -> str:
        """What is needed before, in a few words: "01; 03 helps"; "nothing" if nothing is."""
        needed = ", ".join([*self.needs, *([self.bring] if self.bring else [])]) or "nothing"
        if not self.helps:
            return needed
        return f"{needed}; {', '.join(self.helps)} help{'s' if len(self.helps) == 1 else ''}"


@cache
def notebooks() -> tuple[Notebook, ...]:
    """All notebooks of the course in its order.

    >>> [one.before for one in notebooks() if one.number in ("02", "04")]
    ['00, calculus of two variables', '01; 03 helps']
    """
    text = Path(__file__).with_name("course.toml").read_text("utf-8")
    return tuple(map(_notebook, tomllib.loads(text)["notebook"]))


def _notebook(entry: dict[str, Any]) -> Notebook:
    lists = {name: tuple(entry.get(name, ())) for name in ("needs", "helps", "place")}
    return Notebook(number=entry["file"][:2], **{**entry, **lists})


def way_to(number: str) -> list[str]:
    """The notebooks to read for one of them, itself last, in the order of the course.

    >>> way_to("05")
    ['00', '01', '04', '05']
    """
    known = {one.number: one.needs for one in notebooks()}
    found: set[str] = set()
    ahead = [number]
    while ahead:
        one = ahead.pop()
        found.add(one)
        ahead += [need for need in known[one] if need not in found]
    return sorted(found)


def arrows() -> list[tuple[str, str, bool]]:
    """(before, after, needed) for each arrow of the map: none that a longer way of arrows tells.

    >>> ("01", "05", True) in arrows(), ("03", "04", False) in arrows()
    (False, True)
    """
    needed = [
        (need, one.number, True)
        for one in notebooks()
        for need in one.needs
        if not any(need in way_to(other) for other in one.needs if other != need)
    ]
    return needed + [(help, one.number, False) for one in notebooks() for help in one.helps]
