"""What a learner reads about a wrong answer: the mistake is named, the truth never."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from landscape_nb.course.answers import explain, numbers

CASES = [{"k": 3, "sigma": 0.5}, {"k": 8, "sigma": 0.2}, {"k": 20, "sigma": 2.0}]


def truth(k, sigma):
    return 7.3 * sigma**2 / (k + 1)


NUMBERS = {  # what somebody wrote -> what the diagnosis must say
    "half forgotten": (lambda k, sigma: 2 * truth(k, sigma), "is the 1/2 there?"),
    "half too many": (lambda k, sigma: truth(k, sigma) / 2, "a 1/2 too many"),
    "k for k + 1": (lambda k, sigma: 7.3 * sigma**2 / k, "k written where k + 1 belongs"),
    "sigma not squared": (lambda k, sigma: 7.3 * sigma / (k + 1), "factor of 1/sigma"),
    "sigma to the fourth": (lambda k, sigma: 7.3 * sigma**4 / (k + 1), "sigma to the power 2"),
    "sign": (lambda k, sigma: -truth(k, sigma), "up to the sign"),
    "square": (lambda k, sigma: truth(k, sigma) ** 2, "is there a square too many?"),
    "root": (lambda k, sigma: truth(k, sigma) ** 0.5, "is a square missing?"),
    "upside down": (lambda k, sigma: 1 / truth(k, sigma), "one divided by"),
    "constant term": (lambda k, sigma: truth(k, sigma) + 1.5, "a constant missing"),
    "constant factor": (lambda k, sigma: 3 * truth(k, sigma), "factor of 3 in every case"),
    "rounded": (lambda k, sigma: float(f"{truth(k, sigma):.3g}"), "Was something rounded"),
    "nothing": (lambda k, sigma: None, "return"),
    "a word": (lambda k, sigma: "seven", "Real numbers are asked for; the answer is 'seven'"),
    "a complex number": (lambda k, sigma: 1 + 1j, "the answer is (1+1j)"),
    "a list with nothing": (lambda k, sigma: [None], "Real numbers"),
    "infinite": (lambda k, sigma: float("inf"), "not finite"),
    "not a number": (lambda k, sigma: torch.tensor(float("nan")), "not finite"),
    "one case only": (lambda k, sigma: 7.3 * sigma**2 / 4, "Right in 1 of 3 cases. In the others"),
    "one case not": (
        lambda k, sigma: truth(k, sigma) * (1 + (k == 8)),
        "Right in 2 of 3 cases. At k = 8, sigma = 0.2: Off by a factor of 2",
    ),
    "far too large": (lambda k, sigma: k**3 + 7.0, "Too large"),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_wrong_number_is_diagnosed(name):
    answer, says = NUMBERS[name]
    found, expected = ([f(**case) for case in CASES] for f in (answer, truth))
    assert says in explain(found, expected, CASES)


A = np.array([[1.0, 2.0, 5.0], [3.0, 4.0, -1.0]])
Q = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 2)))[0]
R = np.array([[0.6, -0.8], [0.8, 0.6]])
ARRAYS = {
    "transposed": (A.T, A, None, "is it transposed?"),
    "transposed, square": (A[:, :2].T, A[:, :2], None, "but transposed"),
    "column for vector": (A[:, :1], A[:, 0], None, "shape is (2, 1), asked for is the shape (2,)"),
    "reverse order": (A[0][::-1], A[0], None, "in reverse order"),
    "another order": (A[0][[1, 0, 2]], A[0], None, "in another order"),
    "one column's sign": (Q * [1, -1], Q, None, "sign of some columns"),
    "not orthonormal": (2 * Q, Q, "rotation", "must be orthonormal"),
    "another plane": (np.eye(5)[:, :2], Q, "rotation", "Off by"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_a_wrong_array_is_diagnosed(name):
    found, expected, up_to, says = ARRAYS[name]
    assert says in explain([found], [expected], [{}], up_to=up_to)


@pytest.mark.parametrize(
    ("found", "expected", "up_to"),
    [
        (torch.tensor(A), A, None),
        (A.tolist(), torch.tensor(A), None),
        (np.float32(0.1), 0.1, None),
        (Q * [-1, 1], Q, "sign"),
        (-Q[:, 0], Q[:, 0], "sign"),
        (Q @ R, Q, "rotation"),
        (3, 3.0, None),
        (torch.tensor([1.0, 2.0], requires_grad=True), [1.0, 2.0], None),
        (np.array([1.0 + 0j]), [1.0], None),
        (torch.eye(2).to_sparse(), np.eye(2), None),
        (torch.ones(2, dtype=torch.bfloat16), [1, 1], None),
        ([np.inf, np.nan], [np.inf, np.nan], None),
        ((0, 2), (0, 2), None),
        (True, True, None),
        ("top", "top", None),
        (None, None, None),
        (np.bool_(False), False, None),
        (torch.tensor(320), 320, None),
    ],
)
def test_a_right_answer_is_right(found, expected, up_to):
    assert explain([found], [expected], [{}], up_to=up_to) is None


@pytest.mark.parametrize(
    ("found", "expected", "says"),
    [
        ("bottom", "top", "'bottom' is not it."),
        (2, True, "True or False is asked for"),
        (None, (0, 1), "return"),
        ([0, 2], (0, 1), "tuple"),
        (np.ones(3), "top", "word in quotes"),
        (40, None, "40 is not it."),
    ],
)
def test_a_wrong_choice_is_not_told_the_right_one(found, expected, says):
    told = explain([found], [expected], [{}])
    assert says in told
    assert not isinstance(expected, str) or expected not in told


def test_a_known_mistake_comes_before_anything_general():
    double = [2 * truth(**case) for case in CASES]
    told = explain(double, [truth(**case) for case in CASES], CASES, {"Count again.": double})
    assert told == "Count again."


def test_a_zero_is_a_number_like_any_other():
    assert explain([0.0], [0.0], [{}]) is None
    assert explain([1.0], [0.0], [{}])
    assert explain([0.0, 0.0], [1.0, 2.0], [{}, {}])


sizes = st.floats(-1e3, 1e3).filter(lambda x: abs(x) > 1e-3)


@given(st.lists(st.tuples(sizes, sizes), min_size=1, max_size=4))
def test_no_diagnosis_contains_an_expected_value(pairs):
    """Whatever is wrong, the sentence shows none of the right values, to any three digits."""
    found, expected = zip(*pairs, strict=True)
    told = explain(found, expected, [{}] * len(pairs))
    if told is None:
        assert np.allclose(found, expected, rtol=1e-5, atol=1e-9 + 1e-6 * max(map(abs, expected)))
        return
    shown = [float(x) for x in re.findall(r"-?\d+\.\d{2,}(?:e[+-]?\d+)?", told)]
    ratios = {float(f"{f / e:.2g}") for f, e in pairs}  # a factor, to two digits
    assert set(shown) <= ratios, told


@given(st.lists(sizes, min_size=2, max_size=5, unique=True), st.integers(-3, 3))
def test_a_power_of_an_argument_is_found(xs, power):
    """Any answer that is off by x^p is told about x, or about something simpler that fits."""
    cases = [{"x": abs(x)} for x in xs]
    expected = [1.7 + 0.1 * i for i in range(len(xs))]
    found = [e * case["x"] ** power for e, case in zip(expected, cases, strict=True)]
    told = explain(found, expected, cases)
    assert (told is None) == np.allclose(found, expected, rtol=1e-6, atol=0)


REFUSED = {
    "nan": (float("nan"), (), "not finite"),
    "one of them infinite": ([1.0, float("inf")], (2,), "not finite"),
    "an axis too many": (
        np.ones((1, 2)),
        (2,),
        "shape is another one; asked for is an array of (2)",
    ),
    "a column": (np.ones((2, 1)), (2,), "shape is another one; asked for is an array of (2)"),
    "an axis too few": (1.0, (1,), "shape is another one; asked for is an array of (1)"),
    "one number in a list": ([1.0], (), "shape is another one; asked for is a single number"),
    "of any length": (
        np.ones(3),
        (3, -1),
        "shape is another one; asked for is an array of (3, any)",
    ),
    "too long": (torch.ones(3), (2,), "shape is another one; asked for is an array of (2)"),
    "nothing": (None, (), "returned nothing"),
    "digits": ("1", (), "the answer is str"),
    "digits in a list": (["1", "2"], (2,), "the answer is list"),
    "objects that are digits": (np.array(["1", 2], dtype=object), (2,), "the answer is ndarray"),
    "bytes": (b"1", (), "the answer is bytes"),
    "complex": (1 + 1j, (), "the answer is complex"),
    "a dictionary": ({}, (), "the answer is dict"),
    "ragged": ([[1.0], [1.0, 2.0]], (2, 2), "the answer is list"),
    "a whole number beyond floats": (10**400, (), "the answer is int"),
}


@pytest.mark.parametrize(("value", "shape", "told"), REFUSED.values(), ids=REFUSED)
def test_a_hidden_test_gets_finite_numbers_of_its_shape_or_none(value, shape, told):
    with pytest.raises(AssertionError, match=re.escape(told)):
        numbers(value, *shape)


TAKEN = {
    "a number": (2, (), 2.0),
    "a tensor with a graph": (torch.ones(2, requires_grad=True), (2,), [1.0, 1.0]),
    "tensors in a tuple": ((torch.tensor(1.0), np.float32(2)), (2,), [1.0, 2.0]),
    "no imaginary part": (np.array([1.0 + 0j]), (1,), [1.0]),
    "any length": ([[1, 2, 3]], (1, -1), [[1.0, 2.0, 3.0]]),
}


@pytest.mark.parametrize(("value", "shape", "found"), TAKEN.values(), ids=TAKEN)
def test_numbers_of_any_kind_are_taken(value, shape, found):
    assert numbers(value, *shape).tolist() == found
