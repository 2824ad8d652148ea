"""State that is shared: one loss in many threads, settings of the process, and the caller's own w.

Oracles: the same calls one after the other; the settings as they were found; curvature at the w of
before. Interrupts come at random moments, and in every step that changes a setting.
"""

import _thread
import copy
import dataclasses
import pickle
import random
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from draws import F64, generator, randn
from threadpoolctl import threadpool_info
from torch import nn

import landscape_nb as ln
from landscape_nb.numerics import settings
from landscape_nb.numerics.calls import ModuleOfThreads
from landscape_nb.study.diagnosis import diagnose
from landscape_nb.theory import layers

THREADS = 8
cross_entropy = nn.CrossEntropyLoss(reduction="none")


@pytest.fixture(autouse=True)
def impatient():
    """Let threads take turns as often as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def at_once(tasks):
    """Results of functions that all start at the same moment, each in a thread."""
    start = threading.Barrier(len(tasks))

    def run(task):
        start.wait()
        return task()

    with ThreadPoolExecutor(len(tasks)) as pool:
        return [future.result() for future in [pool.submit(run, task) for task in tasks]]


def problem(n=12, l2=0.1, **options):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    y = torch.randint(3, (n,), generator=generator(2))
    return ln.EmpiricalLoss(model, cross_entropy, randn(n, 3), y, l2, **options)


def numbers(result):
    """All numbers of a result in one vector, those of a clock left out."""
    if isinstance(result, torch.Tensor):
        return result.double().reshape(-1)
    if dataclasses.is_dataclass(result):
        names = [field.name for field in dataclasses.fields(result)]
        result = [getattr(result, name) for name in names if "seconds" not in name]
    if isinstance(result, dict):
        result = list(result.values())
    if isinstance(result, list | tuple):
        return torch.cat([torch.zeros(0, **F64), *map(numbers, result)])
    known = isinstance(result, int | float)
    return torch.tensor([float(result)] if known else [], **F64)


def basis(w, D=2):
    return ln.random_subspace(len(w), D, generator(5))


FUNCTIONS = {
    "per_sample": lambda loss, w: loss.per_sample(w),
    "value": lambda loss, w: loss.value(w, 9),
    "outputs": lambda loss, w: loss.outputs(w, 9),
    "gradient": lambda loss, w: loss.gradient(w, 9),
    "value_and_gradient": lambda loss, w: loss.value_and_gradient(w, 9),
    "sample_gradients": lambda loss, w: loss.sample_gradients(w, 9),
    "hvp": lambda loss, w: loss.hvp(w, basis(w), 9),
    "hessian": lambda loss, w: loss.hessian(w, 9),
    "Gauss-Newton": lambda loss, w: ln.GaussNewtonOperator(loss, w, 9).dense(),
    "activation_bytes": lambda loss, w: loss.activation_bytes(w, 3),
    "fit": lambda loss, w: ln.fit(loss, 9, w, tol=1e-3),
    "fit_path": lambda loss, w: ln.fit_path(loss, [5, 9], w, tol=1e-3, progress=False),
    "gradient_descent": lambda loss, w: ln.gradient_descent(loss, 9, 0.1, 5, w),
    "top_eigenpairs": lambda loss, w: ln.top_eigenpairs(loss, w, 9, 3),
    "bottom_eigenpairs": lambda loss, w: ln.bottom_eigenpairs(loss, w, 9, 2),
    "increment_eigenpairs": lambda loss, w: ln.increment_eigenpairs(loss, w, 9, 2),
    "jacobian_subspace": lambda loss, w: ln.jacobian_subspace(loss, w, 4),
    "captured_energy": lambda loss, w: ln.captured_energy(loss, w, 9, {"U": basis(w)}, [9, 10]),
    "increment_model": lambda loss, w: ln.increment_model(loss, w, basis(w), 5),
    "increment_models": lambda loss, w: ln.increment_models(loss, w, basis(w), [3, 5]),
    "next_sample_models": lambda loss, w: ln.next_sample_models(loss, w, basis(w), 5),
    "delta1": lambda loss, w: ln.delta1(loss, w, [3, 5]),
    "delta2": lambda loss, w: ln.delta2(loss, w, 5, 0.1, 8, generator()),
    "delta2_subspace": lambda loss, w: ln.delta2_subspace(
        loss, w, basis(w), 5, 0.1, 8, generator()
    ),
    "next_sample_average": lambda loss, w: ln.next_sample_average(loss, w, 5, 0.1, 8, generator()),
    "full_space_table": lambda loss, w: ln.full_space_table(
        loss, [w], [5], num_probes=3, generator=generator()
    ),
    "hutchinson_trace": lambda loss, w: ln.hutchinson_trace(
        loss.hessian_operator(w, 9), 4, generator()
    ),
    "hutchpp_trace": lambda loss, w: ln.hutchpp_trace(loss.hessian_operator(w, 9), 6, generator()),
    "spectral_density": lambda loss, w: ln.spectral_density(
        loss.hessian_operator(w, 9), 3, generator(), steps=8
    ),
    "loss_surfaces": lambda loss, w: ln.loss_surfaces(
        loss, w, basis(w), [5, 9], torch.linspace(-1, 1, 3, **F64)
    ),
    "gradient_modes": lambda loss, w: layers.gradient_modes(loss, w, 9, "2"),
    "kronecker factors": lambda loss, w: layers.kronecker_factors(loss, w, 9, "0"),
    "Gauss-Newton factors": lambda loss, w: layers.kronecker_factors(
        loss, w, 9, "0", "Gauss-Newton"
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_gives_the_same_numbers_from_eight_threads(name):
    loss, call = problem(), FUNCTIONS[name]
    points = [loss.w0 + randn(loss.num_params, seed=seed) for seed in range(THREADS)]
    one_by_one = [numbers(call(loss, w)) for w in points]
    assert all(len(result) for result in one_by_one)
    together = at_once([lambda w=w: numbers(call(loss, w)) for w in points])
    for ours, expected in zip(together, one_by_one, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-14, equal_nan=True)


def test_different_functions_side_by_side():
    loss = problem()
    w = loss.w0 + randn(loss.num_params)
    calls = list(FUNCTIONS.values())
    one_by_one = [numbers(call(loss, w)) for call in calls]
    tasks = [lambda c=c, j=j: numbers(c(loss, w + 0.0 * j)) for j, c in enumerate(calls)]
    for ours, expected in zip(at_once(tasks), one_by_one, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-14, equal_nan=True)


def test_a_diagnosis_from_eight_threads():
    loss = problem(n=8)

    def look(seed):
        found = diagnose(loss, 6, loss.w0 + 0.1 * randn(loss.num_params, seed=seed), D=2,
                         progress=False)  # fmt: skip
        return numbers(found)

    one_by_one = [look(seed) for seed in range(THREADS)]
    together = at_once([lambda seed=seed: look(seed) for seed in range(THREADS)])
    for ours, expected in zip(together, one_by_one, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-12, equal_nan=True)


@pytest.mark.parametrize("batch_size", [1024, 5], ids=["kept", "rebuilt"])
@pytest.mark.parametrize("kind", [ln.HessianOperator, ln.GaussNewtonOperator])
def test_one_operator_in_eight_threads(kind, batch_size):
    loss = problem(batch_size=batch_size)
    H, directions = kind(loss, loss.w0, 12), randn(loss.num_params, THREADS)
    expected, before = H @ directions, H.products
    together = at_once([lambda v=v: H @ v for v in directions.unbind(1)])
    torch.testing.assert_close(torch.stack(together, 1), expected, rtol=1e-12, atol=1e-15)
    assert H.products - before == THREADS


def test_losses_may_be_made_in_threads_from_one_model():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    x, y = randn(9, 3), torch.arange(9) % 3
    made = at_once([lambda: ln.EmpiricalLoss(model, cross_entropy, x, y)] * THREADS)
    gradient = made[0].gradient(made[0].w0, 9)
    model.zero_grad()
    cross_entropy(model(x), y).mean().backward()
    by_torch = torch.cat([p.grad.reshape(-1) for p in model.parameters()])
    torch.testing.assert_close(gradient, by_torch, rtol=0, atol=1e-14)
    assert all(torch.equal(loss.gradient(loss.w0, 9), gradient) for loss in made)


class Remembering(nn.Module):
    """Keeps what it computed in itself, as models do that show their attention."""

    def __init__(self):
        super().__init__()
        self.inside, self.outside = nn.Linear(3, 4), nn.Linear(4, 3)
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x):
        self.hidden = torch.tanh(self.inside(x))
        self.seen += len(x)
        return self.outside(self.hidden)


def test_a_model_that_remembers_keeps_threads_apart():
    torch.manual_seed(0)
    loss = ln.EmpiricalLoss(Remembering().double(), cross_entropy, randn(9, 3), torch.arange(9) % 3)
    points = [loss.w0 + randn(loss.num_params, seed=seed) for seed in range(THREADS)]
    one_by_one = [loss.hessian(w, 9) for w in points]
    together = at_once([lambda w=w: loss.hessian(w, 9) for w in points])
    torch.testing.assert_close(together, one_by_one, rtol=1e-12, atol=1e-15)


def test_threads_share_the_parameters_and_not_the_module():
    """A frozen base of gigabytes must not be there once for each thread."""
    loss = problem()
    (elsewhere,) = at_once([lambda: loss.model])
    assert elsewhere is not loss.model and loss.model is loss.model
    for ours, theirs in zip(loss.model.parameters(), elsewhere.parameters(), strict=True):
        assert ours is theirs


def test_one_module_for_all_threads_is_rejected(monkeypatch):
    """What the table must see: the fault that it is there for."""
    loss = problem()
    only = loss.model
    monkeypatch.setattr(ModuleOfThreads, "here", property(lambda self: only))
    points = [loss.w0 + randn(loss.num_params, seed=seed) for seed in range(THREADS)]
    one_by_one = [loss.hessian(w, 9) for w in points]

    def many(w):
        try:
            return [loss.hessian(w, 9) for _ in range(40)]
        except Exception:  # what is left of the module after two at once
            return []

    together = at_once([lambda w=w: many(w) for w in points])
    wrong = [
        not found or any((H - expected).norm() > 1e-3 for H in found)
        for found, expected in zip(together, one_by_one, strict=True)
    ]
    assert sum(wrong) > 1


@pytest.mark.parametrize(
    "travel", [copy.deepcopy, lambda loss: pickle.loads(pickle.dumps(loss))], ids=["copy", "pickle"]
)
def test_a_loss_and_an_operator_travel(travel):
    loss = problem()
    again = travel(loss)
    assert torch.equal(again.hessian(loss.w0, 9), loss.hessian(loss.w0, 9))
    assert again.model is not loss.model


def test_an_operator_of_a_function_travels():
    A = torch.diag(torch.tensor([2.0, 1.0], **F64))
    again = copy.deepcopy(ln.ProductOperator(A.matmul, A[0]))
    assert (again @ torch.ones(2, **F64)).tolist() == [2.0, 1.0]


# -- the caller's own tensors ----------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1024, 5], ids=["kept", "rebuilt"])
@pytest.mark.parametrize("kind", [ln.HessianOperator, ln.GaussNewtonOperator])
def test_an_operator_stays_at_the_w_that_it_was_given(kind, batch_size):
    loss = problem(batch_size=batch_size)
    w = loss.w0 + randn(loss.num_params)
    expected = kind(loss, w.clone(), 12).dense()
    gradient = loss.gradient(w, 12)
    H = kind(loss, w, 12)
    w.zero_()
    torch.testing.assert_close(H.dense(), expected, rtol=0, atol=1e-15)
    if kind is ln.HessianOperator:
        torch.testing.assert_close(H.gradient, gradient, rtol=0, atol=1e-15)
    assert (kind(loss, w, 12).dense() - expected).norm() > 1e-2


class InPlace(nn.Module):
    """Overwrites its inputs; its loss overwrites the targets."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(3, 1))

    def forward(self, x):
        return self.net(x.sub_(0.1))


def overwriting(out, y):
    return (out - y.mul_(2.0)).square().sum(1)


@pytest.mark.parametrize("samples", [9, torch.arange(9)], ids=["prefix", "indices"])
def test_what_is_done_in_place_to_the_samples_does_not_stay(samples):
    torch.manual_seed(0)
    model, x, y = InPlace().double(), randn(9, 3), randn(9, 1, seed=2)
    loss = ln.EmpiricalLoss(model, overwriting, x, y)
    expected = overwriting(model(x.clone()), y.clone()).detach()
    for _ in range(2):
        torch.testing.assert_close(loss.per_sample(loss.w0, samples), expected, rtol=0, atol=1e-14)
        loss.gradient(loss.w0, samples), loss.sample_gradients(loss.w0, samples)
    assert torch.equal(loss.inputs, x) and torch.equal(loss.targets, y)


# -- settings of the process -----------------------------------------------------------------------


def flags():
    kernels = [enabled() for enabled, _ in settings._KERNELS]
    blas = {lib["filepath"]: lib["num_threads"] for lib in threadpool_info()}
    return torch.backends.mha.get_fastpath_enabled(), kernels, blas


@pytest.fixture(params=[True, False], ids=["all on", "one off"])
def found(request):
    """The settings before, once not those that torch starts with."""
    before = torch.backends.cuda.flash_sdp_enabled()
    torch.backends.cuda.enable_flash_sdp(request.param)
    threads = settings._blas_threads()
    settings._set_from_elsewhere([2] * len(threads))
    yield flags()
    settings._set_from_elsewhere(threads)
    torch.backends.cuda.enable_flash_sdp(before)


class Failing(nn.Linear):
    """Fails at its so many-th call from now."""

    error, calls = None, -1

    def forward(self, x):
        Failing.calls -= 1
        if Failing.calls == 0:
            raise Failing.error
        return super().forward(x)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(), RuntimeError("no")], ids=repr)
@pytest.mark.parametrize(
    "call",
    [
        lambda loss: loss.gradient(loss.w0, 9),
        lambda loss: loss.per_sample(loss.w0),
        lambda loss: ln.fit(loss, 9),
    ],
    ids=["gradient", "per_sample", "fit"],
)
def test_settings_come_back_after_an_interrupt_and_numbers_stay_right(found, call, error):
    torch.manual_seed(0)
    loss = ln.EmpiricalLoss(
        nn.Sequential(nn.Linear(3, 4), nn.Tanh(), Failing(4, 3)).double(),
        cross_entropy,
        randn(9, 3),
        torch.arange(9) % 3,
    )
    gradient = loss.gradient(loss.w0, 9)
    Failing.error, Failing.calls = error, 1
    with pytest.raises(type(error)):
        call(loss)
    assert flags() == found
    assert torch.equal(loss.gradient(loss.w0, 9), gradient)


@pytest.fixture(params=["attention", "BLAS"])
def during(request):
    """A function that calls another with the setting changed."""
    attention = request.param == "attention"
    yield settings.plain_attention.during if attention else settings.with_one_blas_thread
    for setting in (settings.plain_attention, settings._shared_pools):
        assert not setting._users and setting._found is None


def test_interrupts_at_any_moment_leave_the_settings_as_they_were(during, found):
    """Python's own Ctrl-C, by a thread that waits a random time.

    One that comes while Python collects garbage is told on stderr and lost: then the next is sent.
    """
    pause, go, done = random.Random(0), threading.Event(), False
    asked = answered = -1  # numbers of interrupts
    lost = 0

    def interrupt():
        nonlocal answered
        while True:
            go.wait()
            go.clear()
            if done:
                return
            for _ in range(pause.randrange(400)):
                pass
            number = asked
            _thread.interrupt_main()
            answered = number

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        for j in range(400):
            try:
                asked = j
                go.set()
                while answered < j:
                    during(lambda: None)
                during(lambda: None)  # here at the latest one is raised that was not lost
                lost += 1
            except KeyboardInterrupt:
                pass
            except RuntimeError as error:  # of Python's own Event, interrupted at its first step
                assert str(error) == "release unlocked lock"
            assert flags() == found, f"interrupt {j}"
    finally:
        done = True
        go.set()
        thread.join()
    assert lost < 100


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("at", ["read", "change", "restore"])
def test_an_interrupt_in_each_step_is_made_good(at, before):
    value, interrupts = "found", 1

    def step(name, work):
        nonlocal interrupts
        now = name == at and interrupts
        if now and before:
            interrupts = 0
            raise KeyboardInterrupt
        result = work()
        if now:
            interrupts = 0
            raise KeyboardInterrupt
        return result

    def put(new):
        nonlocal value
        value = new

    setting = settings.SharedSetting(
        lambda: step("read", lambda: value),
        lambda: step("change", lambda: put("changed")),
        lambda found: step("restore", lambda: put(found)),
    )
    with pytest.raises(KeyboardInterrupt):
        setting.during(lambda: None)
    assert (value, interrupts) == ("found", 0)
    assert setting.during(lambda: value) == "changed" and value == "found"


def test_overlapping_threads_put_back_what_the_first_one_found(found, during):
    """In by turns and out in the same order: each restoring its own would leave the change."""
    entered, may_leave, left = ([threading.Event() for _ in range(3)] for _ in range(3))
    inside = []

    def stay(j):
        def wait():
            entered[j].set()
            assert may_leave[j].wait(20)

        during(wait)
        left[j].set()

    threads = [threading.Thread(target=stay, args=(j,)) for j in range(3)]
    for j, thread in enumerate(threads):
        thread.start()
        assert entered[j].wait(20)
    for j in range(3):
        inside.append(flags())
        may_leave[j].set()
        assert left[j].wait(20)
    for thread in threads:
        thread.join()
    assert flags() == found
    assert inside[0] == inside[1] == inside[2]
    if during is settings.with_one_blas_thread:
        assert 2 in found[2].values() and inside[0][2] != found[2]
    else:
        assert inside[0][:2] == (False, [False] * (len(found[1]) - 1) + [True])


def test_many_fits_at_once_leave_the_settings_as_they_were(found):
    loss = problem()
    points = [loss.w0 + randn(loss.num_params, seed=seed) for seed in range(THREADS)]
    at_once([lambda w=w: ln.fit(loss, 9, w, tol=1e-3) for w in points])
    assert flags() == found


def test_a_process_that_must_not_look_at_its_libraries_still_fits(monkeypatch):
    """Where answers are marked, /proc/self is closed; threadpoolctl finds the libraries there."""

    def closed():
        raise PermissionError(13, "Permission denied", "/proc/self/maps")

    monkeypatch.setattr(settings, "ThreadpoolController", closed)
    settings._libraries.cache_clear()
    try:
        assert settings.with_one_blas_thread(lambda: 5) == 5
    finally:
        settings._libraries.cache_clear()
