"""The ledger as one page of HTML: a claim to unfold, filters for source and verdict.

No script: the filters are radio buttons and a style sheet, so the page works in an exported file
and without a network. Where styles or buttons are not allowed (a notebook on GitHub), all claims
are shown.
"""

from collections.abc import Sequence
from html import escape

from landscape_nb.study.ledger import SOURCES, VERDICTS, Claim

SIGNS = dict(zip(VERDICTS, ("✓", "✓!", "✗", "?", "="), strict=True))
_STYLE = """
.ln-ledger fieldset { border: 0; padding: 0; margin: 0.4em 0; }
.ln-ledger legend { float: left; margin-right: 0.6em; font-weight: bold; }
.ln-ledger label { display: inline-block; margin-right: 1em; padding: 0.15em 0; }
.ln-ledger details { border-top: 1px solid #8888; padding: 0.35em 0; max-width: 56em; }
.ln-ledger summary { cursor: pointer; line-height: 1.45; }
.ln-ledger dt { font-weight: bold; margin-top: 0.4em; }
.ln-ledger dd { margin: 0 0 0 1.2em; line-height: 1.45; }
"""


def ledger_page(claims: Sequence[Claim]) -> str:
    """HTML of the claims, with their numbers filled in from the stored studies.

    Args:
        claims: rows of the ledger, in the order in which they are shown.

    Raises:
        ValueError: a claim names a figure that no study has.
    """
    sources = [key for key in SOURCES if any(claim.source == key for claim in claims)]
    verdicts = [word for word in VERDICTS if any(claim.verdict == word for claim in claims)]
    choices = _choice("source", "Source", sources) + _choice("verdict", "Verdict", verdicts)
    hidden = [_only("source", key) for key in sources] + [_only("verdict", v) for v in verdicts]
    style = f"<style>{_STYLE}{''.join(hidden)}</style>"
    return f'{style}<div class="ln-ledger">{choices}{"".join(map(_claim, claims))}</div>'


def _choice(group: str, legend: str, options: Sequence[str]) -> str:
    buttons = [
        f'<label><input type="radio" name="ln-{group}" class="{_name(group, option)}"'
        f"{' checked' if option == 'all' else ''}> {escape(option)}</label>"
        for option in ("all", *options)
    ]
    return f"<fieldset><legend>{legend}</legend>{''.join(buttons)}</fieldset>"


def _only(group: str, option: str) -> str:
    """While this button is pressed, what is not of its kind is not shown."""
    name = _name(group, option)
    return f".ln-ledger:has(input.{name}:checked) details:not(.{name}) {{ display: none; }}\n"


def _name(group: str, option: str) -> str:
    letters = "".join(c if c.isalnum() else "-" for c in option.lower())
    return f"ln-{group}-{letters}"


def _claim(claim: Claim) -> str:
    credit = [("Credit", claim.by)] if claim.by else []
    parts = [
        ("The source", claim.version),
        *credit,
        ("Found here", claim.finding()),
        ("Tested in", claim.tested),
        ("What would change our mind", claim.mind),
    ]
    rows = "".join(f"<dt>{title}</dt><dd>{escape(text)}</dd>" for title, text in parts)
    kinds = f"{_name('source', claim.source)} {_name('verdict', claim.verdict)}"
    return (
        f'<details class="{kinds}" id="{escape(claim.name)}"><summary>'
        f"<b>{SIGNS[claim.verdict]} {escape(claim.verdict)}</b> · {escape(claim.source)}, "
        f"{escape(claim.place)}: {escape(claim.says)}</summary><dl>{rows}</dl></details>\n"
    )
