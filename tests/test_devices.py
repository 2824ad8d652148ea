"""Devices other than the CPU, pretended: where float64 is missing, and where tensors must meet."""

import pytest
import torch
from pretended import moved, pretending
from torch import nn
from torch.func import jacfwd, vmap

import landscape_nb as ln
from landscape_nb.numerics import devices
from landscape_nb.theory.full_space import full_space_coefficients
from landscape_nb.theory.spectral_newton import spectral_newton_step

DEVICES = {"a GPU": ("xla", torch.float64), "a GPU in float32": ("xla", torch.float32)}
DEVICES["Apple's"] = ("mps", torch.float32)
on_each_device = pytest.mark.parametrize("device, dtype", DEVICES.values(), ids=DEVICES)


def problem(device: str, dtype: torch.dtype, model: str = "mlp") -> ln.EmpiricalLoss:
    """Twelve samples of three classes, on a device."""
    g = torch.Generator().manual_seed(0)
    if model == "mlp":
        layers, shape = (nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)), (4,)
    else:
        layers, shape = (nn.Conv2d(1, 2, 2), nn.Tanh(), nn.Flatten(), nn.Linear(8, 3)), (1, 3, 3)
    net, x = nn.Sequential(*layers), torch.randn(12, *shape, generator=g)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=g) / 2)
    labels = torch.randint(3, (12,), generator=g)
    net, x = net.to(dtype), x.to(dtype)
    if device != "cpu":
        net, x, labels = moved(net, device), x.to(device), labels.to(device)
    return ln.EmpiricalLoss(net, nn.CrossEntropyLoss(reduction="none"), x, labels)


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def directions(loss: ln.EmpiricalLoss) -> torch.Tensor:
    return ln.random_subspace(loss.num_params, 3, draw()).to(loss.w0)


# What a user asks for, as tensors: everything on the CPU and everything on the device must agree.
WORK = {
    "derivatives": lambda l: (l.value(l.w0, 8), l.gradient(l.w0, 8), l.hvp(l.w0, l.w0, 8)),
    "single gradients": lambda l: (l.sample_gradients(l.w0, 12),),
    "eigenpairs": lambda l: pairs(l),
    "minimum": lambda l: (ln.fit(l, 8, tol=1e-2, max_iterations=5).w,),
    **{
        f"increments, {method}": lambda l, method=method: parts(
            ln.increment_models(l, l.w0, directions(l), range(1, 11), method=method)
        )
        for method in ("auto", "contraction", "forward", "reverse", "segments")
    },
    "next samples": lambda l: parts(ln.next_sample_models(l, l.w0, directions(l), 8)),
    "criteria": lambda l: (
        ln.delta1(l, l.w0, [2, 5]),
        ln.delta2(l, l.w0, [2, 5], 1e-1, 3, draw()).value,
        ln.delta2_subspace(l, l.w0, directions(l), [2], 1e-1, 3, draw()).stderr,
    ),
    "moments": lambda l: moments(l),
    "whole space": lambda l: full_space_coefficients(
        l, l.w0, 8, range(8, 12), torch.randn(l.num_params, 4, generator=draw()).to(l.w0)
    ),
    "a convolution": lambda l: parts(
        ln.increment_models(l, l.w0, directions(l), [2, 5], method="contraction")
    ),
    "trace": lambda l: (
        ln.spectrum.hutchpp_trace(l.hessian_operator(l.w0, 8), 6, draw()).value[None],
    ),
}


def parts(models: ln.IncrementModels) -> tuple[torch.Tensor, ...]:
    return models.a, models.c, models.B


def pairs(loss: ln.EmpiricalLoss) -> tuple[torch.Tensor, ...]:
    found = ln.top_eigenpairs(loss, loss.w0, 8, 3, tol=1e-3)
    return found.values, found.vectors


def moments(loss: ln.EmpiricalLoss) -> tuple[torch.Tensor, ...]:
    models = ln.increment_models(loss, loss.w0, directions(loss), [3, 6])
    moment = ln.gaussian_moment(models, 0.1)
    return moment.total, moment.curvature, ln.quadratic_mc(models, 0.1, 9, draw()).value


@on_each_device
@pytest.mark.parametrize("name", WORK)
def test_a_device_gives_the_numbers_of_the_CPU(name: str, device: str, dtype: torch.dtype) -> None:
    model = "cnn" if name == "a convolution" else "mlp"
    expected = WORK[name](problem("cpu", dtype, model))
    with pretending():
        found = WORK[name](problem(device, dtype, model))
        assert {x.device.type for x in found} == {device}
        found = [x.cpu() for x in found]
    for x, y in zip(found, expected, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-3 if dtype == torch.float32 else 1e-9, atol=1e-6)


def test_an_index_of_samples_may_be_on_the_CPU() -> None:
    with pretending():
        loss = problem("mps", torch.float32)
        few = loss.per_sample(loss.w0, torch.tensor([3, 1]))
        assert few.tolist() == [loss.per_sample(loss.w0)[i].item() for i in (3, 1)]


# -- the helpers -----------------------------------------------------------------------------------


def test_sums_over_parameters_are_as_exact_as_the_device_allows() -> None:
    g = torch.Generator().manual_seed(0)
    A, B = (torch.randn(100_001, m, generator=g) + 3 for m in (3, 2))
    exact = A.double().T @ B.double()
    # roundings of a sum of so many terms, as a rule
    sums = {"xla": (100_001, torch.float64), "mps": (4096, torch.float32)}
    with pretending():
        for device, (terms, dtype) in sums.items():
            rtol = terms**0.5 * torch.finfo(dtype).eps / 2
            found = devices.inner_products(A.to(device), B.to(device))
            assert found.dtype == torch.float64 and found.device.type == "cpu"
            torch.testing.assert_close(found, exact, rtol=rtol, atol=0)


def test_sums_of_blocks_go_on_in_float64() -> None:
    x = torch.ones(4 * 4096 + 1, 1)
    x[: 4 * 4096 : 4096] = 0  # 4095 ones in each block but the first
    x[:4096] = 0
    x[0] = 4096  # its square is 2^24: float32 has no odd number above
    with pretending():
        found = devices.inner_products(x.to("mps"), x.to("mps"))
    assert found.item() == 2**24 + 3 * 4095 + 1


@pytest.mark.parametrize("rows", [0, 1, 4095, 4096, 4097])
def test_blocks_of_any_length_sum_up(rows: int) -> None:
    A = torch.arange(rows).float()[:, None] % 7
    with pretending():
        found = devices.inner_products(A.to("mps"), A.to("mps"))
    assert found.item() == float((A.double() ** 2).sum())


def test_one_seed_draws_the_same_numbers_for_every_device() -> None:
    with pretending():
        U = ln.random_subspace(9, 2, draw(3), dtype=torch.float32)
        assert torch.equal(U.to("mps").cpu(), U)
        assert devices.normal(4, generator=draw()).to("mps", torch.float32).dtype == torch.float32


def test_Apples_missing_factorisations_go_by_the_CPU() -> None:
    A = torch.tensor([[2.0, 1.0], [1.0, 3.0]])
    with pretending():
        there = A.to("mps")
        values, vectors = devices.factorised(torch.linalg.eigh, there)
        assert values.device.type == vectors.device.type == "mps"
        torch.testing.assert_close((vectors * values @ vectors.T).cpu(), A)
        step = spectral_newton_step(there, alpha=1.0, damping=0.0)
        torch.testing.assert_close(step.cpu(), torch.eye(2))


# -- does the pretence refuse what a device refuses? -----------------------------------------------


def here(device: str) -> torch.Tensor:
    return torch.ones(3, device=device)


TWO, NO64 = "at least two devices", "doesn't support float64"
FAULTS = {
    "x.double()": ("mps", lambda x: x.double(), NO64),
    "x.double().cpu()": ("mps", lambda x: x.double().cpu(), NO64),
    "made in float64": ("mps", lambda x: x.new_zeros(2, dtype=torch.float64), NO64),
    "made in float64 there": ("mps", lambda x: torch.eye(2, device=x.device).double(), NO64),
    "float64 moved": ("mps", lambda x: torch.ones(2).double().to(x.device), NO64),
    "an arange of the CPU": ("xla", lambda x: x * torch.arange(3), TWO),
    "zeros of the CPU": ("mps", lambda x: torch.cat([x, torch.zeros(3)]), TWO),
    "under vmap": ("xla", lambda x: vmap(lambda a: a * torch.ones(2))(x), TWO),
    "in a derivative": ("xla", lambda x: jacfwd(lambda a: a**2 @ torch.arange(3.0))(x), TWO),
    "values of the CPU": ("xla", lambda x: x.index_put_((x.long(),), torch.ones(3)), "on cpu"),
    "a generator": ("xla", lambda x: torch.randn(2, generator=draw(), device=x.device), "generat"),
    "NumPy": ("xla", lambda x: x.numpy(), "to numpy"),
    "eigh": ("mps", lambda x: torch.linalg.eigvalsh(x.diag()), "not implemented for MPS"),
}


@pytest.mark.parametrize("device, fault, words", FAULTS.values(), ids=FAULTS)
def test_what_a_device_refuses_is_refused(device, fault, words) -> None:
    with pretending(), pytest.raises((TypeError, RuntimeError), match=words):
        fault(torch.ones(3, device=device))


FINE = {
    "a single number of the CPU": lambda x: x * torch.tensor(2.0, dtype=torch.float64),
    "an index of the CPU": lambda x: x[torch.tensor([0, 1])],
    "a mask of the CPU": lambda x: x[torch.tensor([True, False, True])],
    "a Python number set": lambda x: x.clone().index_fill_(
        0, torch.tensor([0], device=x.device), 2.0
    ),
    "copied from the CPU": lambda x: x.clone().copy_(torch.ones(3).double()),
    "by way of the CPU": lambda x: x.cpu().double().to(x),
    "second derivatives": lambda x: jacfwd(jacfwd(lambda a: (a**3).sum()))(x),
}


@pytest.mark.parametrize("work", FINE.values(), ids=FINE)
def test_what_a_device_allows_is_allowed(work) -> None:
    with pretending():
        assert work(torch.ones(3, device="mps")).device.type == "mps"
