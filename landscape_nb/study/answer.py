"""The answer in words, for somebody who pays for data.

With your 480 samples, one more still moves the loss by typically 2.4 % of itself; that falls below
1 % from about 1 300 samples (90 %: 900 to 2 100; extrapolated); doubling the data would lower the
loss on unseen samples from 0.15 to about 0.11 (90 %: 0.08 to 0.14).
"""

from landscape_nb.numerics import checks
from landscape_nb.numerics.wording import between, beyond, count, exact, number, percent
from landscape_nb.study.findings import Diagnosis
from landscape_nb.theory.forecast import FARTHEST
from landscape_nb.theory.tails import DOUBTFUL_INDEX


def answer(found: Diagnosis, cost_per_sample: float | None = None) -> tuple[str, ...]:
    """One sentence: what one more sample does, how many are enough, what twice as many would bring.

    "Of itself" means of L_k - smallest loss (`Diagnosis.scale`). Where the tail is too heavy for
    the mean to be trusted a second sentence says so, with the median and the share of samples below
    the tolerance.

    Args:
        found: what was measured.
        cost_per_sample: in any currency; then a last sentence says what the missing samples cost.

    Raises:
        ValueError: the cost is negative or no number.
    """
    if cost_per_sample is not None:
        cost_per_sample = checks.non_negative("cost_per_sample", cost_per_sample, "of one sample")
    if nothing_moves(found):
        sentences = [_nothing(found)]
    else:
        sentences = ["; ".join([_now(found), _enough(found), *_doubled(found)]) + "."]
    if found.tail.doubtful:
        sentences.append(_heavy(found))
    if cost_per_sample is not None:
        sentences.append(_cost(found, cost_per_sample))
    return tuple(sentences)


def nothing_moves(found: Diagnosis) -> bool:
    """Whether all losses are equal at the point, up to rounding."""
    return found.scale == 0 and float(found.along.squares[-1].max()) <= found.tolerance


# -- clauses --------------------------------------------------------------------------------------


def _now(d: Diagnosis) -> str:
    still = "" if _reached(d) else "still "
    size = _size(d.tail.mean**0.5, d)
    # the root of a mean that a few samples carry is nothing typical
    size = f"{size} on average" if d.tail.doubtful else f"typically {size}"
    return f"{_with_yours(d)} one more {still}moves the loss by {size}"


def _with_yours(d: Diagnosis) -> str:
    return f"With your {exact(d.k)} samples," if d.k > 1 else "With your one sample,"


def _nothing(d: Diagnosis) -> str:
    return (
        f"{_with_yours(d)} one more does not move the loss at all, because every sample has the "
        "same loss here, so that nothing can be said about how much data is enough."
    )


def _reached(d: Diagnosis) -> bool:
    return d.measured.K is not None


def _size(increment: float, d: Diagnosis) -> str:
    """A change of the loss, as a share of the loss's size where there is one."""
    if d.scale <= 0:
        return number(increment)
    share = percent(increment / d.scale)
    return f"{share} itself" if share.endswith("times") else f"{share} of itself"


def _threshold(d: Diagnosis) -> str:
    root = d.tolerance**0.5
    share = root / d.scale if d.scale > 0 else 0.0
    # of a share that no one has in mind only the increment is left
    return percent(share) if 1e-6 <= share < 10 else number(root)


def _enough(d: Diagnosis) -> str:
    if _reached(d):
        return _enough_now(d)
    f, below = d.forecast, _threshold(d)
    level = f"{100 * f.level:g} %"
    if f.K is None:
        least = "" if f.low is None else f"{level}: more than {count(f.low)}; "
        return (
            f"bringing that below {below} would take more than {FARTHEST:g} times as many "
            f"({least}extrapolated, too far to say how many)"
        )
    ends = between(f.low or f.K, f.high)
    return (
        f"that falls below {below} from about {beyond(d.k, f.K)} samples "
        f"({level}: {ends}; extrapolated)"
    )


def _enough_now(d: Diagnosis) -> str:
    m, below = d.measured, f"that is below {_threshold(d)}"
    level = f"{100 * m.level:g} %"
    verdict = "so by this rule you have enough"
    if m.high is None:
        verdict += ", if only just"
    if m.first == m.last:
        return f"{below}, {verdict} (whether fewer would do was not measured)"
    if m.high == m.first:
        return f"{below} from {exact(m.first)} samples on, or from fewer, {verdict}"
    low = exact(m.low or m.first) + (" or fewer" if m.low == m.first else "")
    high = f"more than {exact(m.last)}" if m.high is None else exact(m.high)
    return f"{below} from {exact(m.K or m.last)} samples on ({level}: {low} to {high}), {verdict}"


def _doubled(d: Diagnosis) -> list[str]:
    if d.doubled is None:
        return []
    now, then = number(d.unseen_value), number(d.doubled.value)
    ends = f"({100 * d.doubled.level:g} %: {between(d.doubled.low, d.doubled.high, number)})"
    loss = "the loss on unseen samples"
    if d.doubled.low > d.unseen_value:
        return [
            f"{loss}, now {now}, has changed too abruptly along the way to say what doubling the "
            f"data would do to it {ends}"
        ]
    if d.doubled.value < d.unseen_value and then != now:
        return [f"doubling the data would lower {loss} from {now} to about {then} {ends}"]
    return [f"doubling the data would leave {loss} about where it is, at {now} {ends}"]


# -- further sentences ----------------------------------------------------------------------------


def _heavy(d: Diagnosis) -> str:
    t = d.tail
    told = ""
    if t.below is not None:
        told = f", and {percent(t.below)} of them move it by less than {_threshold(d)}"
    return (
        f"Do not trust this average: the hardest 5 % of the {exact(t.count)} unseen samples carry "
        f"{percent(t.hardest)} of it (of its square), and its tail index is {t.index:.2f}, above "
        f"{DOUBTFUL_INDEX}; half of the unseen samples move the loss by less than "
        f"{_size(t.median**0.5, d)}{told}."
    )


def _cost(d: Diagnosis, each: float) -> str:
    price = number(each, digits=6)
    doubling = f"doubling the data would cost {number(each * d.k)}"
    if nothing_moves(d):
        return f"What the missing samples would cost can't be said; {doubling}, at {price} each."
    if _reached(d):
        return f"By this rule nothing more needs to be bought; {doubling}, at {price} a sample."
    f = d.forecast
    if f.K is None:
        least = (FARTHEST - 1) * d.k
        return (
            f"More than {count(least)} further samples would cost more than "
            f"{number(each * least)} at {price} each (extrapolated); {doubling}."
        )
    missing, low = f.K - d.k, max(0, (f.low or f.K) - d.k)
    high = None if f.high is None else f.high - d.k
    money = between(each * low, None if high is None else each * high, number)
    ends = f"{100 * f.level:g} %: {between(low, high)}"
    return (
        f"The {count(missing)} samples that are missing ({ends}; extrapolated) would "
        f"cost {number(each * missing)} at {price} each ({money}); {doubling}."
    )
