"""The ledger: what each source claims, what was found here, and what would change our mind.

The claims are data, TOML files in `study/claims` whose names begin with the source. No number of a
finding is typed: it stands as {study.figure} and is filled from a stored study (`study.evidence`),
or it is part of a line that a notebook prints, quoted under `prints`. `faults` says what of a claim
no run supports.
"""

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from landscape_nb.study.evidence import stored
from landscape_nb.theory.intervals import Measured

FOLDER = Path(__file__).parent / "claims"
SOURCES = ("KG26", "KG24", "N25", "S17", "C26", "LLC", "own")
VERDICTS = (
    "reproduced",
    "reproduced with a caveat",
    "contradicted",
    "can't be told here",
    "identity",
)
PLACE = re.compile(r"\{([a-z]\w*)\.(\w+)\}")
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w])")
CONDITION = re.compile(r"(\S+) (<=|>=|<|>) (\S+)")


@dataclass(frozen=True)
class Claim:
    """One row of the ledger.

    Attributes:
        name: short and unique, for links.
        source: key of the source; "own" for what is claimed here and in no paper.
        version, place: of the source, where the sentence stands.
        says: what the source says, in our words.
        tested: where: notebooks ("04, section 2") and studies.
        found: in words, with {study.figure} for every number from a stored study.
        verdict: one of `VERDICTS`.
        mind: what would change our mind.
        prints: lines that notebooks print, "04: the line", which hold the other numbers.
        holds: what the verdict rests on, "study.figure.high < 0"; .low, .high or .value.
        by: who said it first, where that is not the source; or who is to be credited besides.
    """

    name: str
    source: str
    version: str
    place: str
    says: str
    tested: str
    found: str
    verdict: str
    mind: str
    prints: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()
    by: str = ""

    def finding(self) -> str:
        """`found` with its numbers filled in from the stored studies."""
        return PLACE.sub(lambda place: str(figure(*place.groups())), self.found)


def claims(source: str | None = None) -> list[Claim]:
    """All claims, or those of one source, in the order of `SOURCES` and of their files.

    Raises:
        ValueError: an unknown source, or a row that has not the fields of a claim.

    >>> {claim.verdict for claim in claims()} <= set(VERDICTS)
    True
    """
    if source is not None and source not in SOURCES:
        raise ValueError(f"source must be one of {', '.join(SOURCES)}; got {source!r}.")
    return [claim for key in SOURCES if source in (None, key) for claim in _read(key)]


def figure(study: str, name: str) -> Measured:
    """A figure of a stored study; a ValueError names those that there are."""
    known = _figures(study)
    if name not in known:
        raise ValueError(f"The study {study!r} has no figure {name!r}; it has {', '.join(known)}.")
    return known[name]


def faults(claim: Claim, printed: Mapping[str, Iterable[str]]) -> list[str]:
    """What of a claim no run supports, a sentence each; none if all is well.

    Args:
        claim: a row of the ledger.
        printed: for each notebook ("04") the lines that its stored outputs hold.
    """
    found = [f"its {name} is empty" for name in _NEEDED if not getattr(claim, name).strip()]
    if claim.source not in SOURCES:
        found.append(f"source is {claim.source!r}")
    if claim.verdict not in VERDICTS:
        found.append(f"verdict is {claim.verdict!r}, which is none of {', '.join(VERDICTS)}")
    quoted = []
    for text in claim.prints:
        notebook, _, line = text.partition(": ")
        quoted.append(line)
        if not any(line.strip() in other for other in printed.get(notebook, ())):
            found.append(f"notebook {notebook!r} does not print {line!r}")
    typed = NUMBER.findall(PLACE.sub("", claim.found))
    held = {number for line in quoted for number in NUMBER.findall(line)}
    found += [f"{number} comes from no run" for number in typed if number not in held]
    try:
        claim.finding()
        broken = [condition for condition in claim.holds if not _holds(condition)]
    except ValueError as error:
        return [*found, str(error)]
    return found + [f"{condition} does not hold" for condition in broken]


_NEEDED = ("name", "version", "place", "says", "tested", "found", "mind")
_COMPARED: dict[str, Callable[[float, float], bool]] = {
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
}


def _holds(condition: str) -> bool:
    match = CONDITION.fullmatch(condition)
    if not match:
        raise ValueError(f"{condition!r} is no condition such as 'decay.slope.high < -2'.")
    left, sign, right = match.groups()
    return _COMPARED[sign](_value(left), _value(right))


def _value(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        study, name, *end = text.split(".")
        return float(getattr(figure(study, name), end[0] if end else "value"))


@cache
def _figures(study: str) -> dict[str, Measured]:
    return stored.figures(study)


def _read(source: str) -> list[Claim]:
    found = []
    for path in sorted(FOLDER.glob("*.toml")):
        if path.stem.partition("_")[0] == source:
            rows = tomllib.loads(path.read_text(encoding="utf-8"))["claim"]
            try:
                found += [_claim(source, row) for row in rows]
            except TypeError as error:
                raise ValueError(f"{path.name}: a row is not as it must be: {error}.") from None
    return found


def _claim(source: str, row: Mapping[str, Any]) -> Claim:
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in row.items()}
    return Claim(**{"source": source, **fields})
