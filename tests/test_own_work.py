"""Functions out of reach: whatever the name they were called by, and only while an answer runs.

Which kinds of function can be: test_out_of_reach.py.
"""

import functools
import statistics
import threading

import pytest

import landscape_nb
from landscape_nb.course import NotYourOwn, beside, check, out_of_reach, unaided
from landscape_nb.theory import enough
from landscape_nb.theory.enough import enough_data as known_before

CURVE = [10, 20, 40], [3.0, 0.5, 0.2], 1.0


def imported_inside(*curve):
    from landscape_nb import enough_data as hidden

    return hidden(*curve)


def in_a_default(*curve, function=known_before):
    return function(*curve)


def in_a_closure():
    def answer(*curve):
        return (lambda: known_before(*curve))()

    return answer


WAYS = {
    "the package's name": lambda *curve: landscape_nb.enough_data(*curve),
    "its module's name": lambda *curve: enough.enough_data(*curve),
    "a name from before": known_before,
    "an import inside": imported_inside,
    "a default": in_a_default,
    "a closure": in_a_closure(),
    "getattr": lambda *curve: getattr(landscape_nb, "enough" + "_data")(*curve),
    "a module's contents": lambda *curve: vars(enough)["enough_data"](*curve),
    "partial": functools.partial(known_before),
    "map": lambda ks, deltas, tolerance: next(map(known_before, [ks], [deltas], [tolerance])),
    "its __call__": lambda *curve: known_before.__call__(*curve),
    "named arguments": lambda ks, d, t: known_before(ks=ks, deltas=d, tolerance=t),
}


@pytest.mark.parametrize("answer", WAYS.values(), ids=WAYS)
def test_a_function_is_out_of_reach_by_any_name(answer):
    assert answer(*CURVE) == 20
    with pytest.raises(NotYourOwn, match="yourself: landscape_nb.enough_data is not at hand here"):
        unaided(answer, "landscape_nb.enough_data")(*CURVE)
    assert answer(*CURVE) == 20  # and back again


def test_an_answer_of_ones_own_is_not_touched():
    assert unaided(lambda x, y=2: x * y, "landscape_nb.enough_data")(3, y=5) == 15


NO_FUNCTIONS = {
    "unknown": ("landscape_nb.enough_date", "there is no 'landscape_nb.enough_date'"),
    "unknown module": ("landscape_bn.enough_data", "there is no 'landscape_bn.enough_data'"),
    "no name": ("", "there is no ''"),
    "C": ("math.sqrt", "written in Python can be put out of reach; math.sqrt is a builtin"),
    "a class": ("landscape_nb.EmpiricalLoss", "landscape_nb.EmpiricalLoss is a type"),
    "a module": ("landscape_nb.models", "landscape_nb.models is a module"),
}


@pytest.mark.parametrize(("name", "told"), NO_FUNCTIONS.values(), ids=NO_FUNCTIONS)
def test_what_is_no_function_is_refused_before_the_answer_runs(name, told):
    with pytest.raises(ValueError, match=told):
        unaided(len, "statistics.fmean", name)
    assert statistics.fmean([1.0]) == 1.0


def test_two_answers_at_once_leave_the_function_as_it_was():
    """The second must not keep the first one's refusal and put that back."""
    both, first_left, told = threading.Event(), threading.Event(), []

    def waits_for_the_second():
        both.wait(0.5)  # in vain, if they take turns
        return known_before(*CURVE)

    def waits_for_the_first():
        both.set()
        first_left.wait(10)
        return known_before(*CURVE)

    def ask(answer):
        with pytest.raises(NotYourOwn):
            unaided(answer, "landscape_nb.enough_data")()
        told.append("refused")

    first = threading.Thread(target=ask, args=[waits_for_the_second])
    second = threading.Thread(target=ask, args=[waits_for_the_first])
    first.start()
    second.start()
    first.join()
    first_left.set()
    second.join()
    assert told == ["refused", "refused"]
    assert known_before(*CURVE) == 20


def test_inside_one_another_the_outer_one_still_holds():
    with out_of_reach(["statistics.fmean"]):
        with out_of_reach(["statistics.fmean", "statistics.fmean"]):
            pass
        with pytest.raises(NotYourOwn):
            statistics.fmean([1.0])
    assert statistics.fmean([1.0]) == 1.0


def test_an_answer_elsewhere_does_both_itself():
    class Elsewhere:
        def unaided(self, names):
            return "unaided", names

        def beside(self, function, arguments):
            return "beside", function, arguments

    assert unaided(Elsewhere(), "a.b", "c.d") == ("unaided", ("a.b", "c.d"))
    assert beside(Elsewhere(), len, 1, 2) == ("beside", len, (1, 2))


def test_the_public_check_says_what_is_out_of_reach():
    from landscape_nb.course import NotYet

    with pytest.raises(NotYet, match="raised NotYourOwn: write it yourself: landscape_nb.enough"):
        check("09.3", lambda ks, deltas, tolerance: known_before(ks, deltas, tolerance))
    with pytest.raises(NotYet, match="raised NotYourOwn: write it yourself: landscape_nb.gaussi"):
        check("01.2", lambda a, c, B, sigma: landscape_nb.gaussian_moment(None, sigma))
