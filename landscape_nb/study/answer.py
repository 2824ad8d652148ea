"""The answer in words, for somebody who pays for data.

With your 480 samples, one more still moves the loss by 2.4 % of itself; below 1 % from about
1 300 samples (90 %: 900 to 2 100, extrapolated); doubling the data would lower the loss on
unseen samples from 0.15 to about 0.11 (90 %: 0.08 to 0.14).
"""

import math

from landscape_nb.numerics import checks
from landscape_nb.study.findings import Diagnosis
from landscape_nb.theory.tails import DOUBTFUL_INDEX


def answer(found: Diagnosis, cost_per_sample: float | None = None) -> tuple[str, ...]:
    """Sentences: what one more sample does, how many are enough, what twice as many would bring.

    Args:
        found: what was measured.
        cost_per_sample: in any currency; then a sentence says what the missing samples cost.

    Raises:
        ValueError: the cost is negative or no number.
    """
    if cost_per_sample is not None:
        cost_per_sample = checks.non_negative("cost_per_sample", cost_per_sample, "of one sample")
    clauses = [_now(found), _enough(found), *_doubled(found)]
    sentences = ["; ".join(clauses) + "."]
    if found.tail.doubtful:
        sentences.append(_heavy(found))
    if cost_per_sample is not None:
        sentences.append(_cost(found, cost_per_sample))
    return tuple(sentences)


def count(number: float) -> str:
    """A number of samples in two digits beyond a hundred, thousands apart: 1234 is '1 200'."""
    if number >= 100:
        unit = 10 ** (math.floor(math.log10(number)) - 1)
        number = round(number / unit) * unit
    return f"{round(number):,}".replace(",", " ")


def exact(number: int) -> str:
    """A number of samples, thousands apart."""
    return f"{number:,}".replace(",", " ")


def _now(d: Diagnosis) -> str:
    moved = _size(d.tail.mean**0.5, d)
    return f"With your {exact(d.k)} samples, one more {_still(d)}moves the loss by {moved}"


def _still(d: Diagnosis) -> str:
    return "still " if d.tail.mean >= d.tolerance else ""


def _size(increment: float, d: Diagnosis) -> str:
    """A change of the loss, as a share of the loss's size where there is one."""
    if d.scale <= 0:
        return f"{increment:.2g}"
    return f"{_percent(increment / d.scale)} of itself"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"


def _threshold(d: Diagnosis) -> str:
    root = d.tolerance**0.5
    return _percent(root / d.scale) if d.scale > 0 else f"{root:.2g}"


def _enough(d: Diagnosis) -> str:
    if d.measured.K is not None:
        return f"{_that_is(d)} below {_threshold(d)} from {_measured(d)} on"
    f = d.forecast
    if f.K is None:
        return f"below {_threshold(d)} later than can be foretold from {exact(d.k)} samples"
    return f"below {_threshold(d)} from about {count(f.K)} samples ({_ends(d)}, extrapolated)"


def _that_is(d: Diagnosis) -> str:
    return "that has been" if d.tail.mean < d.tolerance else "it is"


def _measured(d: Diagnosis) -> str:
    m = d.measured
    if m.K == m.first == m.last:
        return f"{exact(m.first)} samples"
    first = "or fewer " if m.K == m.first else ""
    low, high = (exact(k) if k is not None else "more than were measured" for k in (m.low, m.high))
    return f"{exact(m.K or 0)} {first}samples ({100 * m.level:g} %: {low} to {high})"


def _ends(d: Diagnosis) -> str:
    f = d.forecast
    low = "more than can be foretold" if f.low is None else count(f.low)
    high = "more than can be foretold" if f.high is None else count(f.high)
    return f"{100 * f.level:g} %: {low} to {high}"


def _doubled(d: Diagnosis) -> list[str]:
    if d.doubled is None:
        return []
    value, low, high = (f"{x:.2g}" for x in (d.doubled.value, d.doubled.low, d.doubled.high))
    now = f"{d.unseen_value:.2g}"
    level = f"{100 * d.doubled.level:g} %"
    if value == now:
        return [
            f"doubling the data would leave the loss on unseen samples at about {now} "
            f"({level}: {low} to {high})"
        ]
    return [
        f"doubling the data would bring the loss on unseen samples from {now} to about {value} "
        f"({level}: {low} to {high})"
    ]


def _heavy(d: Diagnosis) -> str:
    t = d.tail
    below = "" if t.below is None else f", and {_percent(t.below)} of them stay below the tolerance"
    return (
        f"Do not trust this average: its tail index is {t.index:.2f}, above {DOUBTFUL_INDEX}, "
        f"and the hardest 5 % of the {exact(t.count)} unseen samples carry "
        f"{_percent(t.hardest)} of it. Half of the unseen samples move the loss by less than "
        f"{_size(t.median**0.5, d)}{below}."
    )


def _cost(d: Diagnosis, each: float) -> str:
    if d.measured.K is not None:
        return "None of the missing samples costs anything: none is missing."
    f = d.forecast
    if f.K is None:
        return "What the missing samples would cost can't be foretold."
    more = [None if K is None else max(0, K - d.k) for K in (f.K, f.low, f.high)]
    missing, low, high = ("more than can be foretold" if m is None else count(m) for m in more)
    money = ["more than can be foretold" if m is None else count(each * m) for m in more]
    return (
        f"About {missing} samples are missing ({low} to {high}): at {each:g} each they cost "
        f"{money[0]} ({money[1]} to {money[2]})."
    )
