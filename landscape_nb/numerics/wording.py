"""Numbers as people say them: '1 300' samples, '2.4 %', '900 to 2 100'."""

import math
import sys
from collections.abc import Callable
from typing import Any


def number(x: float, digits: int = 2) -> str:
    """A number not below zero, without exponent between a ten thousandth and 10^15.

    >>> number(0.0123), number(1234), number(1234, digits=6), number(3e-8)
    ('0.012', '1 200', '1 234', '3e-08')
    """
    x = min(x, sys.float_info.max)
    if x and not 1e-4 <= x < 1e15:
        return f"{x:.{digits}g}"
    if x < min(1000, 10 ** (digits - 1)):
        return f"{x:.{digits}g}"
    places = digits - 1 - math.floor(math.log10(x))
    text = f"{round(x, places):,.{max(places, 0)}f}".replace(",", " ")
    return text.rstrip("0").rstrip(".") if "." in text else text


def rounded(x: Any) -> float:
    """A number for a stored table, in four digits.

    More would say nothing, differ between machines, and double the size of a file.

    >>> rounded(0.123456), rounded(98765)
    (0.1235, 98760.0)
    """
    return float(f"{float(x):.4g}")


def exact(samples: int) -> str:
    """A number of samples, thousands apart."""
    return f"{samples:,}".replace(",", " ")


def count(samples: float) -> str:
    """A number of samples in two digits: 1234 is '1 200'."""
    whole = round(samples)
    return exact(round(whole, min(0, 2 - len(str(whole)))))


def beyond(k: int, samples: int) -> str:
    """As `count`, in so many digits that it stays above k: 484 is '484' beside 480, not '480'."""
    for digits in range(2, len(str(samples)) + 1):
        nearest = round(samples, min(0, digits - len(str(samples))))
        if nearest > k:
            return exact(nearest)
    return exact(samples)


def percent(share: float) -> str:
    """A share in two digits; from ten on, how many times, up to a thousand.

    >>> percent(0.024), percent(0.9981), percent(1.0), percent(12.3), percent(2e-9), percent(3e9)
    ('2.4 %', '99.8 %', '100 %', '12 times', 'less than 0.0001 %', 'more than 1 000 times')
    """
    hundredths = 100 * share
    if share > 1000:
        return "more than 1 000 times"
    if share >= 10:
        return f"{number(share)} times"
    if 99 <= hundredths < 100:  # not 100 % while something is left
        return f"{math.floor(10 * hundredths) / 10:g} %"
    if 0 < hundredths < 1e-4:
        return "less than 0.0001 %"
    return f"{number(hundredths)} %"


def between(low: float, high: float | None, write: Callable[[float], str] = count) -> str:
    """Two ends of an interval; without an upper one, 'at least'."""
    return f"at least {write(low)}" if high is None else f"{write(low)} to {write(high)}"
