"""The public checks of notebook 07: truths, cases, known mistakes, and two pictures."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor

from landscape_nb.course.checking import check, check_own, check_properties
from landscape_nb.course.numbers_by_name import own_numbers
from landscape_nb.course.own_work import unaided
from landscape_nb.figures import n07_transformer as figures
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.problems.pretraining import pretrained
from landscape_nb.theory.increment import next_sample_models
from landscape_nb.theory.probes import captured_energy, random_subspace, top_eigenpairs
from landscape_nb.theory.tables import full_space_table

SEEN, CANDIDATES = 4, range(4, 10)  # sequences consumed, and held out as the next one


def drawn(*shape: int, seed: int = 0) -> Tensor:
    """Random numbers, the same ones each time."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@cache
def text_loss() -> EmpiricalLoss:
    """The loss of a trained transformer on a few consumed and a few held-out sequences."""
    run = pretrained()[0]
    held_out = range(run.num_train, run.num_train + len(CANDIDATES))
    return run.loss([*range(SEEN), *held_out])


@cache
def top_four() -> Tensor:
    """The four top directions of its mean Hessian, (N, 4)."""
    return top_eigenpairs(text_loss(), text_loss().w0, SEEN, 4, tol=2e-2).vectors


def by_torch(logits: Tensor, targets: Tensor) -> Tensor:
    """The right losses, by PyTorch's own function."""
    per_character = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), reduction="none"
    )
    return per_character.view(targets.shape).mean(1)


def picked(values: Tensor, targets: Tensor) -> Tensor:
    """The entry of each position's target."""
    return torch.gather(values, -1, targets[:, :, None])[:, :, 0]


def check_1(sequence_losses: Callable[..., Any]) -> None:
    """Exercise 1, the loss of a sequence."""
    cases = [
        {"logits": 2 * drawn(n, T, 7, seed=T), "targets": torch.arange(n * T).view(n, T) % 7}
        for n, T in ((3, 4), (2, 7), (1, 2))
    ]
    hints = {
        "Is it the mean over the positions, or their sum?": (
            lambda logits, targets: by_torch(logits, targets) * targets.shape[1]
        ),
        "Nats are asked for: which logarithm is that?": (
            lambda logits, targets: by_torch(logits, targets) / np.log(2)
        ),
        "Logits are not yet logarithms of probabilities: do the probabilities sum to 1?": (
            lambda logits, targets: -picked(logits, targets).mean(1)
        ),
        "Over which axis must the probabilities sum to 1?": (
            lambda logits, targets: -picked(logits.log_softmax(1), targets).mean(1)
        ),
        "The mean of the logarithms, or the logarithm of the mean?": (
            lambda logits, targets: -picked(logits.softmax(2), targets).mean(1).log()
        ),
    }
    check("1", sequence_losses, by_torch, cases, hints)


def by_least_squares(V: Tensor, g: Tensor) -> Tensor:
    """The right share, without an orthonormal basis."""
    shadow = V @ torch.linalg.lstsq(V, g[:, None]).solution[:, 0]
    return (shadow.norm() / g.norm()) ** 2


def check_2(captured_share: Callable[..., Any]) -> None:
    """Exercise 2, the shadow of a vector."""
    mixing = torch.tensor([[3.0, 1, 0], [0, 1, 1], [0, 0, 0.5]], dtype=torch.float64)
    skew = drawn(6, 3) @ mixing
    cases = [
        {"V": torch.eye(6, dtype=torch.float64)[:, :2], "g": drawn(6, seed=1)},
        {"V": skew, "g": drawn(6, seed=2)},
        {"V": skew[:, :1], "g": 5 * drawn(6, seed=3)},
    ]
    hints = {
        "Right where the columns are orthonormal. Are they, always?": (
            lambda V, g: (V.T @ g).square().sum() / g.square().sum()
        ),
        "The columns have length 1 now, but are they perpendicular to each other?": (
            lambda V, g: ((V / V.norm(dim=0)).T @ g).square().sum() / g.square().sum()
        ),
        "That is the squared length of the shadow. How long is g?": (
            lambda V, g: by_least_squares(V, g) * g.square().sum()
        ),
        "That is the part of g outside the subspace.": lambda V, g: 1 - by_least_squares(V, g),
    }
    check("2", captured_share, by_least_squares, cases, hints)
    loss, sizes = text_loss(), [1, 2, 4, 8, 16]
    N, pull = loss.num_params, loss.gradient(loss.w0, range(8, 9))  # of a held-out sequence
    random = []
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        V = random_subspace(N, 16, generator, dtype=torch.float32)
        random.append([float(captured_share(V[:, :d], pull)) for d in sizes])
    top = [float(captured_share(top_four()[:, :d], pull)) for d in sizes[:3]]
    figures.shadows_of_a_gradient(sizes, N, random, top)


def by_search(v: float, p: float, q: float) -> float:
    """The right sigma, by trying out values."""
    return brentq(lambda x: v / (v + p * x**2 + q * x**4) - 0.5, 1e-6, 1e3, xtol=1e-14, rtol=1e-12)


# A formula is asked for: what finds a root or a minimum by trying is out of reach.
SEARCHES = [
    f"scipy.optimize.{name}"
    for name in "brentq brenth ridder bisect toms748 newton fsolve root minimize_scalar".split()
]


def root(x: float) -> float:
    """The root of x, and of 0 where x is negative."""
    return float(np.sqrt(max(x, 0.0)))


def check_3(half_value_sigma: Callable[..., Any]) -> None:
    """Exercise 3, the sigma from which on the probe sees more than the value."""
    table = ((1.0, 2.0, 8.0), (0.5, 4.0, 0.25), (2.0, -1.0, 3.0), (0.004, 0.02, 1500.0))
    cases = [{"v": v, "p": p, "q": q} for v, p, q in table]
    hints = {
        "Does the term with sigma^4 count?": lambda v, p, q: root(v / p),
        "Does the term with sigma^2 count?": lambda v, p, q: root(root(v / q)),
        "When the value is one half, how large is the other half?": (
            lambda v, p, q: by_search(v / 2, p, q)
        ),
        "That is where value and total differ by a factor of 3. Half, not a third.": (
            lambda v, p, q: by_search(2 * v, p, q)
        ),
    }
    check("3", unaided(half_value_sigma, *SEARCHES), by_search, cases, hints)
    loss, generator = text_loss(), torch.Generator().manual_seed(9)
    table_of_text = full_space_table(
        loss, [loss.w0], [SEEN], num_probes=4, candidates=CANDIDATES, generator=generator
    )
    whole = table_of_text.at(1, 1.0)
    p = float(whole.gradient + whole.cross)
    half = half_value_sigma(float(whole.value), p, float(whole.curvature))
    print(f"the transformer: half at sigma = {half:.3f}, by the quadratic model")


@cache
def squared_gradients() -> Tensor:
    """|grad I|^2 for each of the six candidates, (6,)."""
    loss, generator = text_loss(), torch.Generator().manual_seed(1)
    one = random_subspace(loss.num_params, 1, generator, dtype=torch.float32)
    return captured_energy(
        loss, loss.w0, SEEN, {"one": one}, CANDIDATES, num_probes=2, generator=generator
    )["whole"].gradient


def gradient_shares(U: Tensor) -> Tensor:
    """Share of each increment's squared gradient on the span of U, (6,)."""
    loss = text_loss()
    models = next_sample_models(loss, loss.w0, U, SEEN, candidates=CANDIDATES)
    return models.c.square().sum(1) / squared_gradients()


def check_4(design_probe: Callable[..., Any]) -> None:
    """Exercise 4, a probe of the learner's own design."""
    loss = text_loss()
    required: dict[str, Callable[[Tensor], Any]] = {
        "a tensor with N rows and a column for each direction": (
            lambda U: U.ndim == 2 and len(U) == loss.num_params
        ),
        "at most 6 directions, one for each candidate": lambda U: U.shape[1] <= 6,
        "orthonormal columns": (
            lambda U: torch.allclose(U.T @ U, torch.eye(U.shape[1], dtype=U.dtype), atol=1e-4)
        ),
        "99.9 % of the increment's squared gradient, for each candidate (what does I_k consist "
        "of?)": lambda U: gradient_shares(U).min() > 0.999,
    }
    arguments = {"loss": loss, "w": loss.w0, "k": SEEN, "candidates": CANDIDATES}
    check_properties("4", design_probe, required, arguments)
    ours = gradient_shares(design_probe(**arguments))
    figures.designed_probe(ours.numpy(), gradient_shares(top_four()).numpy())


@cache
def own_losses(student: str) -> tuple[Tensor, int]:
    """Losses of the student's own sequences in nats, (n,), and k."""
    loss, k = own_numbers("07.5", student)
    return loss.per_sample(loss.w0).detach().double(), k


def most_surprising(student: str) -> dict[str, float]:
    """The held-out sequence with the largest loss, its loss as a number of characters, and I_k."""
    losses, k = own_losses(student)
    at = k + int(losses[k:].argmax())
    change = (losses[at] - losses[:k].mean()) / (k + 1)
    return {
        "the sequence": at,
        "characters": float(losses[at].exp()),
        "the increment": float(change),
    }


MISTAKES_5: dict[str, Callable[[str], dict[str, float]]] = {
    "Count from the first of all sequences, not from the first held-out one.": lambda student: {
        "the sequence": most_surprising(student)["the sequence"] - own_losses(student)[1]
    },
    "Nats are no bits: which base has the logarithm?": lambda student: {
        "characters": 2 ** float(np.log(most_surprising(student)["characters"]))
    },
    "What does one sequence weigh in a mean of k + 1?": lambda student: {
        "the increment": most_surprising(student)["the increment"] * (own_losses(student)[1] + 1)
    },
}


def check_5(answer: Callable[..., Any]) -> None:
    """Which of the student's own sequences surprises most, by how much, and what it changes."""
    check_own("5", answer, most_surprising, MISTAKES_5, rtol=1e-4)  # losses in single precision
