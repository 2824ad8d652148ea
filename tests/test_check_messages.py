"""A public check names the mistake that was made, or none, and the input that it asked with."""

from itertools import combinations

import numpy as np
import pytest

from landscape_nb import course
from landscape_nb.course.answers import explain
from landscape_nb.course.checking import asked


def part(changes):
    return 2 * sum(x**2 for x in changes) + sum(changes) ** 2


def best(d, D, first=0):
    return max(
        combinations(range(first, len(d) + first), D),
        key=lambda chosen: part([d[i - first] for i in chosen]),
    )


def excess(c):
    return (c**2).sum() - np.linalg.norm(c)


def steps(eigenvalues, fraction):
    kappa = max(eigenvalues) / min(eigenvalues)
    return np.log(fraction) / np.log((kappa - 1) / (kappa + 1))


def variance(H, S):
    return 2 * ((H**2).sum() - (np.diag(H) ** 2).sum()) / S / np.trace(H)


def moment(a, c, B, sigma, value=1, cross=1, curvature=1):
    flat = 2 * (B**2).sum() + np.trace(B) ** 2
    return (
        value * a**2
        + cross * a * sigma**2 * np.trace(B)
        + sigma**2 * (c**2).sum()
        + curvature * sigma**4 / 4 * flat
    )


ANSWERS = {  # what somebody wrote -> exercise, answer, what the message must begin with
    "surprise": ("01.1", lambda new, L, k: new - L, "That is the surprise itself"),
    "k for k + 1": ("01.1", lambda new, L, k: (new - L) / k, "Is k written where k + 1 belongs"),
    "new divided": ("01.1", lambda new, L, k: new / (k + 1) - L, "Only `new` is divided"),
    "L divided": ("01.1", lambda new, L, k: new - L / (k + 1), "Only `L` is divided"),
    "turned round": ("01.1", lambda new, L, k: (L - new) / (k + 1), "Right up to the sign"),
    "new height": ("01.1", lambda new, L, k: (k * L + new) / (k + 1), "That is the new height"),
    "no old height": ("01.1", lambda new, L, k: new / (k + 1), "The old height is missing"),
    "sum": ("01.1", lambda new, L, k: (new + L) / (k + 1), "The two losses are added"),
    "times": ("01.1", lambda new, L, k: (new - L) * (k + 1), "The surprise is multiplied"),
    "halves": ("01.1", lambda new, L, k: (new - L) / 2, "L stands for k samples"),
    "absolute": ("01.1", lambda new, L, k: abs(new - L) / (k + 1), "A sample that does better"),
    "k + 2": ("01.1", lambda new, L, k: (new - L) / (k + 2), "Off by up to 33 %. Too small. Asked"),
    "no cross": ("01.2", lambda **x: moment(**x, cross=0), "The cross part is missing"),
    "half": ("01.2", lambda **x: moment(**x, curvature=0.5), "The curvature part is half"),
    "a, not a^2": ("01.2", lambda **x: moment(**x) - x["a"] ** 2 + x["a"], "Right in 1 of 3"),
    "length": ("01.2", lambda **x: moment(**x) - x["sigma"] ** 2 * excess(x["c"]), "Is the length"),
    "squares": (
        "01.2",
        lambda a, c, B, sigma: (
            moment(a, c, B, sigma) - sigma**4 / 4 * (np.trace(B) ** 2 - np.trace(B**2))
        ),
        "The square of the trace",
    ),
    "sigma": (
        "01.2",
        lambda a, c, B, sigma: moment(a, c, B, sigma, cross=1 / sigma),
        "Which power of sigma",
    ),
    "not whole": ("02.1", steps, "A number of steps is whole"),
    "down": ("02.1", lambda **x: int(steps(**x)), "Rounded down"),
    "variance": ("02.2", variance, "That is a variance"),
    "uphill": ("02.3", lambda gradient, H: np.linalg.solve(H, gradient), "This is Newton's step"),
    "by entries": (
        "02.3",
        lambda gradient, H: -gradient / abs(np.linalg.eigvalsh(H)),
        "The eigenvalues belong to",
    ),
    "n": ("01.3", lambda losses, k: losses.var() / (k * (k + 1)), "With few losses"),
    "k^2": ("01.3", lambda losses, k: losses.var(ddof=1) / k**2, "Is k written where"),
    "first two": ("01.4", lambda d, D: tuple(range(D)), "The first D are best only where"),
    "by size": (
        "01.4",
        lambda d, D: tuple(sorted(sorted(range(len(d)), key=lambda i: -abs(d[i]))[:D])),
        "The largest changes count, of either sign",
    ),
    "by value": (
        "01.4",
        lambda d, D: tuple(sorted(sorted(range(len(d)), key=lambda i: -d[i])[:D])),
        "A large negative change",
    ),
    "from one": ("01.4", lambda d, D: best(d, D, first=1), "Positions are counted from 0"),
    "backwards": ("01.4", lambda d, D: best(d, D)[::-1], "The right directions"),
    "always": ("01.4", lambda d, D: (1, 2), "(1, 2) is not it. Asked with d = (0.5, 0.4, 0.1, 0)"),
    "nothing": ("01.4", lambda d, D: None, "The function returned nothing"),
    "a list": ("01.4", lambda d, D: list(best(d, D)), "A tuple, such as (1, 2), is asked for"),
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
def test_the_mistake_that_was_made_is_named_with_the_input(name):
    exercise, answer, says = ANSWERS[name]
    with pytest.raises(course.NotYet) as refused:
        course.check(exercise, answer)
    told = str(refused.value).partition("not yet. ")[2]
    assert told.startswith(says)
    assert "Asked with " in told


def test_what_an_answer_raises_is_told_with_the_input():
    with pytest.raises(course.NotYet, match=r"ZeroDivisionError.* Asked with d = \(0\.5,.*, D = 2"):
        course.check("01.4", lambda d, D: 1 / 0)


def test_a_property_that_fails_is_told_with_the_input():
    with pytest.raises(course.NotYet, match=r"Required: even\. Asked with k = 3\."):
        course.check_properties("1", lambda k: k, {"even": lambda x: x % 2 == 0}, {"k": 3})


def test_the_input_is_the_first_one_that_fails():
    cases = [{"k": 1, "x": [1, 2]}, {"k": 4, "x": [1, 3]}, {"k": 5, "x": [1, 4]}]
    with pytest.raises(course.NotYet, match=r"Asked with k = 4, x = \[1, 3\]\."):
        course.check("1", lambda k, x: 1.0 if k == 1 else k + 0.1, lambda k, x: k, cases)


def test_an_input_that_the_diagnosis_names_is_not_told_twice():
    cases = [{"k": 1}, {"k": 4}]
    with pytest.raises(course.NotYet) as refused:
        course.check("1", lambda k: 1, lambda k: k, cases)
    assert str(refused.value).count("k = 4") == 1


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ({"new": 3.5, "k": 1}, "new = 3.5, k = 1"),
        ({"B": np.eye(2), "name": "top"}, "B = [[1, 0], [0, 1]], name = 'top'"),
        ({"exact": True, "w": None}, "exact = True, w = None"),
        ({"w": np.zeros((20, 2))}, "w of shape (20, 2)"),
        ({"model": object(), "k": 2}, "k = 2"),
        ({}, ""),
    ],
    ids=["numbers", "array and word", "truth and nothing", "large array", "no number", "nothing"],
)  # fmt: skip
def test_inputs_in_words(case, words):
    assert asked(case) == words


def test_a_mistake_must_fit_every_case():
    """An answer that only looks like a known mistake where it is wrong has made another one."""
    told = explain([2.0, 7.0], [2.0, 3.0], [{}, {}], {"A known mistake.": [9.0, 7.0]})
    assert "A known mistake" not in told
    told = explain(["a", "c"], ["a", "b"], [{}, {}], {"A known mistake.": ["x", "c"]})
    assert told == "'c' is not it."
