"""Exceptions and results cross to another process and come back whole.

Every class that the package defines is looked up in its own modules: a new one is tested as soon as
it exists. Oracle: field by field, with what was sent.
"""

import copy
import dataclasses
import functools
import importlib
import math
import pickle
import pkgutil
import traceback

import pytest
import torch
import travellers
from draws import F64, generator
from torch import Tensor, nn

import landscape_nb
import landscape_nb as ln
from landscape_nb.numerics.audit.differences import Comparison
from landscape_nb.numerics.audit.precision import loss_precision
from landscape_nb.numerics.certificate import certify
from landscape_nb.problems.learning import LEARNING_PROBLEMS
from landscape_nb.problems.models import MLP
from landscape_nb.study.agreement import RankCorrelation
from landscape_nb.study.budget import Budget
from landscape_nb.study.evidence import stored
from landscape_nb.study.evidence.flatness import Recipe
from landscape_nb.study.ledger import Claim
from landscape_nb.study.purchase import Purchase
from landscape_nb.study.report import report
from landscape_nb.study.single_digits import Seen, SingleDigits
from landscape_nb.study.stopping import FloorLaw, Stop
from landscape_nb.study.sweep import KIND, sweep
from landscape_nb.theory import layers
from landscape_nb.theory.class_structure import class_structure
from landscape_nb.theory.forecast import CALIBRATION
from landscape_nb.theory.intervals import mean_interval

cross_entropy = nn.CrossEntropyLoss(reduction="none")


def classes():
    """All that the package defines, by their full names."""
    found = {}
    for module in pkgutil.walk_packages(landscape_nb.__path__, "landscape_nb."):
        if module.name.endswith("__main__"):
            continue
        for name, thing in vars(importlib.import_module(module.name)).items():
            if isinstance(thing, type) and thing.__module__ == module.name:
                found[f"{module.name}.{name}"] = thing
    return found


EXCEPTIONS = {n: c for n, c in classes().items() if issubclass(c, BaseException)}
RESULTS = {n: c for n, c in classes().items() if dataclasses.is_dataclass(c)}


def same(a, b):
    """Equal through and through, also what does not compare by itself."""
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, torch.Generator):
        return torch.equal(a.get_state(), b.get_state())
    if dataclasses.is_dataclass(a):
        names = [field.name for field in dataclasses.fields(a)]
        return type(a) is type(b) and all(same(getattr(a, n), getattr(b, n)) for n in names)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and math.isnan(a):
        return isinstance(b, float) and math.isnan(b)
    if isinstance(a, functools.partial):
        return same((a.func, a.args, a.keywords), (b.func, b.args, b.keywords))
    return type(a) is type(b) and a == b


def sent(thing, protocol=pickle.HIGHEST_PROTOCOL):
    return pickle.loads(pickle.dumps(thing, protocol))


def pairs():
    values = torch.arange(3.0, **F64)
    return ln.Eigenpairs(values, torch.eye(4, 3, **F64), values, 0.5, 7)


def example_of(error):
    needs_pairs = error is ln.ConvergenceError
    return error("no luck", pairs()) if needs_pairs else error("no luck")


@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
@pytest.mark.parametrize("name", EXCEPTIONS)
def test_every_exception_travels(name, protocol):
    error = example_of(EXCEPTIONS[name])
    error.add_note("in the cell 3")
    for back in (sent(error, protocol), sent(sent(error, protocol), protocol), copy.copy(error)):
        assert type(back) is type(error) and str(back) == str(error) == "no luck"
        assert back.__notes__ == ["in the cell 3"]
        left, right = ({**vars(e)} for e in (error, back))
        assert same(left, right)


def test_a_refusal_brings_its_doubtful_pairs():
    with pytest.raises(ln.ConvergenceError) as refused:
        travellers.unsolved()
    back = sent(refused.value)
    assert same(back.pairs, refused.value.pairs) and same(back.residuals, back.pairs.residuals)
    assert str(back) == str(refused.value) and "not converged" in str(back)


@pytest.fixture(scope="module")
def results():
    """One of every result, by the name of its class, as users get them."""
    g = generator()
    x, y = torch.randn(30, 3, generator=g, **F64), torch.randint(3, (30,), generator=g)
    loss = ln.EmpiricalLoss(MLP([3, 4, 3]), cross_entropy, x, y, l2=1e-2)
    fitted = ln.fit(loss, 20)
    w = fitted.w
    top = ln.top_eigenpairs(loss, w, 20, 2)
    U = top.vectors
    model, models = ln.increment_model(loss, w, U, 20), ln.increment_models(loss, w, U, [5, 9])
    modes = layers.gradient_modes(loss, loss.w0, 20, "0")
    factors = layers.kronecker_factors(loss, loss.w0, 20, "0")
    budget = Budget(10, 12, 6, 0)
    page = report(loss, 20, w, D=2, budget=budget, progress=False)
    told = ln.forecast_enough([9, 18], [1e-2, 2e-3], 1e-5)
    seen = Seen(U[:3, 0], U[:3, 1], U[:3, 0])
    steps, start = torch.tensor([-0.1, 0.1]), ln.random_subspace(len(w), 1, g)[:, 0]
    made = [
        fitted, top, model, models, models.leading(1), models[0], modes, factors, budget, page,
        page.diagnosis, page.sections[0], page.diagnosis.measured, page.diagnosis.along,
        loss.layout,
        LEARNING_PROBLEMS[0],
        ln.Search(start=U, generator=generator(3)), ln.delta2(loss, w, [3, 5], 0.1, 3, g),
        ln.gaussian_moment(models, 0.1), ln.moment_table(models),
        ln.full_space_table(loss, [w], [20], generator=g),
        ln.gradient_descent(loss, 20, 0.1, 3), ln.loss_surfaces(loss, w, U, [3, 5], steps),
        ln.spectral_density(loss.hessian_operator(w, 20), 2, g, steps=4),
        ln.captured_energy(loss, w, 20, {"U": U}, [25, 26])["U"],
        layers.kronecker_modes(modes, factors), layers.exponents(modes.sigma, modes.sigma**2),
        ln.log_slope(modes.sigma, modes.sigma), ln.toys.quadratics(3, 2),
        ln.toys.linear_regression(5, 2, generator=g), ln.models.TransformerConfig(103),
        loss_precision(loss, w), certify(loss.hessian_operator(w, 20), top.values, U, start),
        Comparison(0.1, 0.2, False, True, 1.0, 1.1), CALIBRATION, told, told.if_stopped,
        ln.forecast_loss([9, 18], [0.4, 0.3], 36), ln.tail(range(30), tolerance=3.0),
        FloorLaw(1.0, 2.0, 0.5, 9), Stop(9, 2, 15, True), RankCorrelation(0.5, 0.1, 0.8, 0.9, 7, 1),
        Recipe(rho=0.1), Purchase(180, 0, 900, 0.9),
        KIND, ln.Watch(loss, 20).probe, ln.Watch(loss, 20).work,
        ln.designed_sample(torch.rand(9, generator=g), 5, g), ln.omitted_terms(loss, w, U, 20),
        seen, SingleDigits(seen, seen), mean_interval([1.0, 2.0]), stored.study("warm_starts"),
        Claim("a", "own", "-", "-", "-", "-", "-", "identity", "-", holds=("a.b < 1",)),
        class_structure(loss, w, 20),
        ln.influence_step(loss, w, 20, 25),
        ln.local_learning_coefficient(loss, w, 20, g, draws=9, burn_in=9),
    ]  # fmt: skip
    return {type(result).__name__: result for result in made}


# Not results: what lives only while a function runs, and what has its own files and tests.
INSIDE = {"_Probe", "_Candidate", "TrainingRun", "SetupReport", "Probe", "UsedOutputs", "_Search"}
INSIDE |= {"BilinearLayer", "Use", "Recording", "Task", "_File", "Opened", "Processes"}
INSIDE |= {"_Place"}


def test_every_result_of_the_numerics_and_the_theory_is_among_them(results):
    known = {
        name
        for full, kind in RESULTS.items()
        for name in [kind.__name__]
        if full.split(".")[1] in ("numerics", "theory", "problems", "study")
    }
    assert known - INSIDE <= set(results)


@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
def test_every_result_travels(results, protocol):
    assert len(results) > 20
    for name, result in results.items():
        assert same(sent(result, protocol), result), name


# -- a failing cell of a sweep -------------------------------------------------------------------

REASONS = {
    "value": (ValueError, "no luck"),
    "key": (KeyError, "no luck"),
    "not converged": (ln.ConvergenceError, "have not converged"),
    "two parts": (RuntimeError, "TwoParts: layer 3: no luck"),
    "holds a generator": (RuntimeError, "Holds: no luck"),
    "long": (RuntimeError, "LongWinded: long long"),
}


@pytest.mark.parametrize("kind", REASONS)
def test_a_failing_cell_in_another_process_names_itself_and_its_reason(tmp_path, kind):
    wanted, reason = REASONS[kind]
    with pytest.raises(wanted) as raised:
        sweep(travellers.fails, {"kind": [kind]}, tmp_path / "s.csv", jobs=2, progress=False)
    assert type(raised.value) is wanted and reason in str(raised.value)
    told = "".join(traceback.format_exception_only(raised.value))
    assert f"in the cell {{'kind': '{kind}'}}" in told
    if wanted is RuntimeError:
        assert len(told) < 1000
    if wanted is ln.ConvergenceError:
        assert raised.value.pairs.values.shape == (3,)


@pytest.mark.parametrize("kind", ["two parts", "holds a generator"])
def test_in_this_process_an_error_is_what_was_raised(tmp_path, kind):
    with pytest.raises((travellers.TwoParts, travellers.Holds), match="no luck") as raised:
        sweep(travellers.fails, {"kind": [kind]}, tmp_path / "s.csv", progress=False)
    assert f"'{kind}'" in raised.value.__notes__[0]
