"""What is wrong with an answer, said without giving the right one away.

An answer is compared with the truth on several cases at once. One wrong number says little; the
same factor in every case, or a factor that follows one of the arguments, says which part of a
formula to look at.
"""

import math
import reprlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

RTOL = 1e-6  # chosen here: far above rounding in float64, far below any wrong formula
# What a constant factor usually means. Others are named by their number.
FACTORS = {
    2.0: "Off by a factor of 2: is the 1/2 there?",
    0.5: "Off by a factor of 1/2: is there a 1/2 too many?",
    4.0: "Off by a factor of 4: is the 1/4 there, or a 1/2 that gets squared?",
    0.25: "Off by a factor of 1/4: is there a 1/4 too many, or a 1/2 squared?",
}
Case = Mapping[str, Any]  # name of an argument -> its value


class Pair(NamedTuple):
    """What an answer gave and what is right, as float64 arrays of one shape."""

    found: np.ndarray
    expected: np.ndarray


def explain(
    found: Sequence[Any],
    expected: Sequence[Any],
    cases: Sequence[Case],
    mistakes: Mapping[str, Sequence[Any]] | None = None,
    *,
    up_to: str | None = None,
    rtol: float = RTOL,
) -> str | None:
    """What an answer's values on all cases say about the mistake behind them.

    Args:
        found: what the answer gave, one value for each case: a number, tensor, array or list; or a
            word, True/False, a tuple or None where some case asks for that.
        expected: the truth, in the same order.
        cases: the arguments of each case; whole and real numbers among them are tried as
            explanations ("off by sigma to the power 2").
        mistakes: hint -> the values that one known mistake would give in every case, tried
            before anything general. All must be the answer's, or the mistake is another one.
        up_to: "sign" where each column's sign is free, as an eigenvector's is; "rotation" where
            only the span of the columns counts; None where the values themselves do.
        rtol: relative error that still counts as equal.

    Returns:
        One or two sentences that never contain an expected value; None if the answer is right.

    >>> explain([1.0, 4.0], [0.5, 2.0], [{"x": 1.0}, {"x": 2.0}])
    'Off by a factor of 2: is the 1/2 there?'
    >>> explain([4.0, 15.0], [2.0, 5.0], [{"x": 2.0}, {"x": 3.0}])
    'Off by a factor of x in every case: which power of x belongs there?'
    >>> explain([3.0], [3.0], [{}]) is None
    True
    """
    if any(e is None or isinstance(e, bool | str | tuple) for e in expected):
        return _explain_choices(found, expected, mistakes or {})
    pairs = []
    for f, e, case in zip(found, expected, cases, strict=True):
        pair = _pair(f, e, case)
        if isinstance(pair, str):
            return pair
        pairs.append(pair)
    same = _SAME[up_to]
    wrong = [i for i, pair in enumerate(pairs) if not same(pair, rtol)]
    if not wrong:
        return None
    for hint, values in (mistakes or {}).items():
        wanted = [Pair(pair.found, _numbers(v)) for pair, v in zip(pairs, values, strict=True)]
        if all(p.found.shape == p.expected.shape and same(p, rtol) for p in wanted):
            return hint
    if up_to == "rotation" and not all(_orthonormal(pairs[i].found, rtol) for i in wrong):
        return "The columns must be orthonormal: of length 1 and perpendicular to each other."
    told = _relation(pairs, cases, rtol, up_to)
    if told or len(wrong) == len(pairs):
        return told or _distance(pairs)
    some = [pairs[i] for i in wrong]
    told = _relation(some, [cases[i] for i in wrong], rtol, up_to) or _distance(some)
    right = len(pairs) - len(wrong)
    where = _where(cases[wrong[0]]) if len(wrong) == 1 else ""
    return f"Right in {right} of {len(pairs)} cases. {where or 'In the others: '}{told}"


def _explain_choices(
    found: Sequence[Any], expected: Sequence[Any], mistakes: Mapping[str, Sequence[Any]]
) -> str | None:
    found = [_item(f) for f in found]
    wrong = [i for i, (f, e) in enumerate(zip(found, expected, strict=True)) if not _is(f, e)]
    if not wrong:
        return None
    first, kind = found[wrong[0]], type(expected[wrong[0]])
    if first is None and not any(e is None for e in expected):
        return NOTHING
    if kind in _KINDS and not isinstance(first, kind):
        return f"A {_KINDS[kind]} is asked for; the answer is {reprlib.repr(first)}."
    for hint, values in mistakes.items():
        if all(map(_is, found, values)):
            return hint
    return f"{reprlib.repr(first)} is not it."


def _is(found: Any, expected: Any) -> bool:
    if isinstance(expected, bool) and not isinstance(found, bool):
        return False  # 0 == False, but says something else
    if isinstance(expected, tuple):  # element by element: (array([1]),) == (1,), for numpy
        return (
            isinstance(found, tuple)
            and len(found) == len(expected)
            and all(map(_is, map(_item, found), expected))
        )
    try:
        if isinstance(found, float) and isinstance(expected, int | float):
            return math.isclose(found, expected, rel_tol=RTOL)
        return not getattr(found, "shape", ()) and bool(found == expected)
    except (RuntimeError, TypeError, ValueError):  # an array where a word is asked for
        return False


def _item(value: Any) -> Any:
    """Numbers of numpy and torch as Python's."""
    return value.item() if getattr(value, "shape", None) == () else value


NOTHING = "The function returned nothing: does it end with `return`?"
_KINDS = {bool: "True or False", str: "word in quotes", tuple: "tuple, such as (1, 2),"}


def _numbers(value: Any) -> np.ndarray:
    """The value as real float64 numbers; TypeError for words, None and what is truly complex."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().to_dense().resolve_conj()
        value = (value.double() if value.is_floating_point() else value).numpy()
    elif isinstance(value, list | tuple):
        value = [_numbers(v) for v in value]
    array = np.asarray(value)
    words = array.dtype.kind == "O" and any(
        x is None or isinstance(x, str | bytes) for x in array.ravel().tolist()
    )
    if array.dtype.kind in "USVMm" or words:
        raise TypeError("no numbers")
    if array.dtype.kind == "c":
        if np.abs(array.imag).max(initial=0.0) > RTOL * np.abs(array).max(initial=0.0):
            raise TypeError("complex numbers")
        array = array.real
    return array.astype(np.float64)


def _pair(found: Any, expected: Any, case: Case) -> Pair | str:
    """Both as arrays of one shape, or the sentence that says why they cannot be compared."""
    right, left = _numbers(expected), _real(found)
    if isinstance(left, str):
        return left
    if left.shape != right.shape:
        asked = f"the shape {right.shape}" if right.shape else "a single number"
        transposed = left.ndim == 2 and left.shape == right.shape[::-1]
        return (
            f"The answer's shape is {left.shape}, asked for is {asked}"
            f"{': is it transposed?' if transposed else '.'}"
        )
    if np.isfinite(right).all() and not np.isfinite(left).all():
        return (
            f"{_where(case)}The answer is not finite: is something divided by zero there, or the "
            "root or logarithm of a negative number taken?"
        )
    return Pair(left, right)


REAL = "Real numbers are asked for; the answer is"


def _real(found: Any) -> np.ndarray | str:
    """An answer's value as real numbers, or the sentence that says what it is instead."""
    if found is None:
        return NOTHING
    try:
        return _numbers(found)
    except (TypeError, ValueError, OverflowError, RecursionError, RuntimeError):
        shown = reprlib.repr(found) if isinstance(found, str | complex) else type(found).__name__
        return f"{REAL} {shown}."


def numbers(value: Any, *shape: int) -> np.ndarray:
    """An answer's value as finite float64 numbers of this shape, for a hidden test to judge.

    Args:
        value: what the answer gave: a number, array, tensor or nested list.
        shape: lengths of its axes; -1 where any will do.

    Raises:
        AssertionError: it is anything else; the message says what was asked for, and shows
            neither the right value nor anything that an answer could tell its inputs by.

    >>> numbers([1, 2.5], 2)
    array([1. , 2.5])
    >>> numbers([[1, 2.5]], 2)
    Traceback (most recent call last):
        ...
    AssertionError: The answer's shape is another one; asked for is an array of (2).
    """
    found = _real(value)
    if isinstance(found, str):  # without the word itself, which could tell what it was asked
        shown = NOTHING if value is None else f"{REAL} {type(value).__name__}."
        raise AssertionError(shown)
    sizes = zip(found.shape, shape, strict=False)
    if found.ndim != len(shape) or any(size not in (-1, there) for there, size in sizes):
        asked = ", ".join("any" if size == -1 else str(size) for size in shape)
        told = f"an array of ({asked})" if shape else "a single number"
        raise AssertionError(f"The answer's shape is another one; asked for is {told}.")
    if not np.isfinite(found).all():
        raise AssertionError("The answer is not finite.")
    return found


def number(value: Any) -> float:
    """An answer's value as one finite number; see `numbers`.

    >>> number(np.float32(0.5))
    0.5
    """
    return float(numbers(value))


def _where(case: Case) -> str:
    """The scalar arguments of a case, to begin a sentence with."""
    named = [f"{name} = {x:g}" for name, x in _scalars(case).items()]
    return f"At {', '.join(named)}: " if named else ""


def _scalars(case: Case) -> dict[str, float]:
    return {
        name: float(x)
        for name, x in case.items()
        if isinstance(x, int | float) and not isinstance(x, bool)
    }


def _equal(pair: Pair, rtol: float) -> bool:
    finite = np.abs(pair.expected[np.isfinite(pair.expected)])
    scale = float(finite.max(initial=0.0))
    allowed = rtol * scale or 1e-12
    with np.errstate(invalid="ignore"):  # inf - inf
        near = np.abs(pair.found - pair.expected) <= allowed
    same = (pair.found == pair.expected) | (np.isnan(pair.found) & np.isnan(pair.expected))
    return bool((near | same).all())


def _equal_up_to_sign(pair: Pair, rtol: float) -> bool:
    """Columns may differ in sign; a vector is one column."""
    sign = np.sign((pair.found * pair.expected).sum(0, keepdims=True))
    return _equal(Pair(pair.found * np.where(sign == 0, 1.0, sign), pair.expected), rtol)


def _equal_up_to_rotation(pair: Pair, rtol: float) -> bool:
    """The columns span the same space and are orthonormal, as the expected ones are."""
    if pair.found.ndim != 2:
        return _equal_up_to_sign(pair, rtol)
    return _orthonormal(pair.found, rtol) and _equal(
        Pair(pair.expected @ (pair.expected.T @ pair.found), pair.found), rtol
    )


def _orthonormal(columns: np.ndarray, rtol: float) -> bool:
    columns = columns.reshape(len(columns), -1)
    gram = columns.T @ columns
    return _equal(Pair(gram, np.eye(len(gram))), rtol)


_SAME: dict[str | None, Callable[[Pair, float], bool]] = {
    None: _equal,
    "sign": _equal_up_to_sign,
    "rotation": _equal_up_to_rotation,
}


def _relation(
    pairs: Sequence[Pair], cases: Sequence[Case], rtol: float, up_to: str | None
) -> str | None:
    """The simplest relation that turns every expected value into the one found, if any does."""

    def all_are(change: Callable[[np.ndarray], np.ndarray]) -> bool:
        with np.errstate(all="ignore"):
            changed = [Pair(p.found, change(p.expected)) for p in pairs]
        return all(
            p.found.shape == p.expected.shape and np.isfinite(p.expected).all() and _equal(p, rtol)
            for p in changed
        )

    simple: list[tuple[Callable[[np.ndarray], np.ndarray], str]] = [
        (lambda e: -e, "Right up to the sign."),
        (lambda e: np.swapaxes(e, -1, -2) if e.ndim > 1 else e, "Right, but transposed."),
        (lambda e: np.flip(e, -1) if e.ndim else e, "Right, but in reverse order."),
        (
            np.square,
            "It is the square of what is asked for: is there a square too many?",
        ),
        (lambda e: np.sqrt(np.abs(e)), "It is the root of what is asked for: is a square missing?"),
        (lambda e: 1 / e, "It is one divided by what is asked for."),
    ]
    for change, sentence in simple:
        if all_are(change):
            return sentence
    if not up_to and all(p.expected.ndim and _equal_up_to_sign(p, rtol) for p in pairs):
        return "Right up to the sign of some columns."
    if all(_equal(Pair(np.sort(p.found, None), np.sort(p.expected, None)), rtol) for p in pairs):
        return "The right numbers, in another order."
    return _factor(pairs, cases, rtol)


def _factor(pairs: Sequence[Pair], cases: Sequence[Case], rtol: float) -> str | None:
    """A factor shared by all entries of a case: constant, or a power of an argument."""
    ratios = []
    for found, expected in pairs:
        kept = expected != 0
        if not kept.any() or np.any(found[~kept] != 0):
            return _offset(pairs, rtol)
        ratio = (found[kept] / expected[kept]).ravel()
        if not np.allclose(ratio, ratio[0], rtol=10 * rtol, atol=0) or ratio[0] == 0:
            return _offset(pairs, rtol)
        ratios.append(float(ratio[0]))

    def explained(factors: Sequence[float]) -> bool:
        return bool(np.allclose(ratios, factors, rtol=min(100 * rtol, 1e-3), atol=0))

    for factor, sentence in FACTORS.items():
        if explained([factor] * len(ratios)):
            return sentence
    for name, values in _varying(cases).items():
        for power in (1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 4.0, -4.0, 0.5, -0.5):
            if all(v > 0 for v in values) and explained([v**power for v in values]):
                shown = {1.0: name, -1.0: f"1/{name}"}.get(power, f"{name} to the power {power:g}")
                return (
                    f"Off by a factor of {shown} in every case: "
                    f"which power of {name} belongs there?"
                )
            if all(v > 0 for v in values) and explained([(1 + 1 / v) ** power for v in values]):
                return f"Is {name} written where {name} + 1 belongs, or the other way round?"
    if explained([ratios[0]] * len(ratios)):
        if len(ratios) == 1:  # the factor's digits would give the right value away
            return None
        whole = round(ratios[0])
        shown = f"{whole}" if whole and abs(ratios[0] - whole) < 1e-9 else f"{ratios[0]:.2g}"
        return f"Off by a factor of {shown} in every case." if _far(ratios[0]) else None
    return _offset(pairs, rtol)


def _far(ratio: float) -> bool:
    return abs(ratio - 1) > 0.02  # nearer than that, a factor explains nothing


def _varying(cases: Sequence[Case]) -> dict[str, list[float]]:
    """Scalar arguments that take at least two values, which can explain a varying factor."""
    rows = [_scalars(case) for case in cases]
    names = [name for name in rows[0] if all(name in row for row in rows)]
    columns = {name: [row[name] for row in rows] for name in names}
    return {name: values for name, values in columns.items() if len(set(values)) > 1}


def _offset(pairs: Sequence[Pair], rtol: float) -> str | None:
    if len(pairs) < 2 and pairs[0].found.size < 2:
        return None  # one number is always off by one amount
    differences = np.concatenate([(p.found - p.expected).ravel() for p in pairs])
    scale = max(float(np.abs(p.expected).max(initial=0.0)) for p in pairs)
    allowed = 10 * rtol * scale
    if abs(differences[0]) > 100 * allowed and np.ptp(differences) <= allowed:
        return "Off by the same amount everywhere: is a constant missing, or one too many?"
    return None


def _distance(pairs: Sequence[Pair]) -> str:
    """How far off, where nothing simpler explains it; what the mistake is, is not guessed."""
    off = max(
        float(np.abs(p.found - p.expected).max() / (np.abs(p.expected).max() or 1.0)) for p in pairs
    )
    if off < 1e-2:
        return f"Nearly: the relative error is {off:.0e}. Was something rounded on the way?"
    small = all(np.all(np.abs(p.found) <= np.abs(p.expected)) for p in pairs)
    large = all(np.all(np.abs(p.found) >= np.abs(p.expected)) for p in pairs)
    size = " Too small." if small else ""
    size = " Too large." if large else size
    size = size if off > 0.05 else ""
    digits = f"{100 * off:.0f} %" if off < 10 else f"{off:.0e}".replace("e+0", "e") + " times"
    return f"Off by up to {digits if math.isfinite(off) else 'infinitely much'}.{size}"
