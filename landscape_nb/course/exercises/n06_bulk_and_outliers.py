"""The public checks of notebook 06: truths, cases, known mistakes, and a picture."""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape_nb.course.answers import numbers
from landscape_nb.course.checking import check, check_properties
from landscape_nb.figures import n06_bulk_and_outliers as figures
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.operators import GaussNewtonOperator
from landscape_nb.problems import data, models
from landscape_nb.theory.descent import gradient_descent


def random_numbers(*shape: int, seed: int = 0) -> Tensor:
    """Random numbers, the same ones each time."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network(x: Tensor, y: Tensor, layers: list[int], seed: int) -> EmpiricalLoss:
    """The cross entropy of an untrained network, as in the notebook."""
    model = models.MLP(layers, generator=torch.Generator().manual_seed(seed))
    return EmpiricalLoss(model, torch.nn.CrossEntropyLoss(reduction="none"), x, y)


def by_differentiation(J: Tensor, p: Tensor) -> Tensor:
    """G of samples whose outputs are J_i w + log p_i: linear in w, so the Hessian at 0 is G."""

    def loss_of_w(w: Tensor) -> Tensor:
        return -(p.log() + J @ w).log_softmax(1)[:, 0].mean()

    return torch.func.hessian(loss_of_w)(torch.zeros(J.shape[2], dtype=torch.float64))


def check_1(gauss_newton_of: Callable[..., Any]) -> None:
    """Exercise 1, the Gauss-Newton matrix."""
    cases = [
        {"J": random_numbers(n, K, 4, seed=n), "p": random_numbers(n, K).softmax(1)}
        for n, K in ((3, 3), (5, 2), (2, 5))
    ]
    hints = {
        "How does the probability of one class change when the output of another one moves?": (
            lambda J, p: (J.mT @ (p * (1 - p)).diag_embed() @ J).mean(0)
        ),
        "A softmax does not notice a shift of all outputs together. Does your A_i?": (
            lambda J, p: (J.mT @ p.diag_embed() @ J).mean(0)
        ),
        "Is it the mean over the samples, or their sum?": (
            lambda J, p: len(J) * by_differentiation(J, p)
        ),
        "That is built from slopes, once differentiated: G needs the loss differentiated twice.": (
            lambda J, p: (J.mT @ (p[:, :, None] * p[:, None, :]) @ J).mean(0)
        ),
    }
    check("1", gauss_newton_of, by_differentiation, cases, hints)


def zeros_counted(N: int, n: int, K: int, loss: str) -> int:
    """The right number of zeros, for random derivatives."""
    J, p = random_numbers(n, K, N), random_numbers(n, K).softmax(1)
    G = by_differentiation(J, p) if loss == "softmax" else (J.mT @ J).mean(0)
    values = torch.linalg.eigvalsh(G)
    return int((values < 1e-10 * values[-1]).sum())


def check_2(zeros_at_least: Callable[..., Any]) -> None:
    """Exercise 2, zeros by counting."""
    cases = [
        {"N": 40, "n": 5, "K": 3, "loss": "softmax"},
        {"N": 40, "n": 5, "K": 3, "loss": "squared"},
        {"N": 60, "n": 4, "K": 10, "loss": "softmax"},
        {"N": 9, "n": 9, "K": 4, "loss": "squared"},
    ]
    hints = {
        "Try a model with few weights and many samples. Can that be a number of zeros?": (
            lambda N, n, K, loss: N - n * (K - (loss == "softmax"))
        ),
        "In how many directions can one sample's softmax loss curve in its outputs?": (
            lambda N, n, K, loss: max(0, N - n * K)
        ),
        "Does the squared error, too, overlook a shift of all outputs together?": (
            lambda N, n, K, loss: max(0, N - n * (K - 1))
        ),
        "That is what one sample can do. What can n of them do?": (
            lambda N, n, K, loss: max(0, N - (K - (loss == "softmax")))
        ),
        "That many are not zero. How many are left?": (
            lambda N, n, K, loss: min(N, n * (K - (loss == "softmax")))
        ),
    }
    check("2", zeros_at_least, zeros_counted, cases, hints)


def measured_rank(n: int, K: int, h: int) -> int:
    """The right rank, of an untrained network on random inputs."""
    loss = network(random_numbers(n, 30), torch.arange(n) % K, [30, h, K], seed=h)
    values = torch.linalg.eigvalsh(GaussNewtonOperator(loss, loss.w0, n).dense())
    return int((values > 1e-11 * values[-1]).sum())


def check_3(bottleneck_rank: Callable[..., Any]) -> None:
    """Exercise 3, a bottleneck."""
    cases = [{"n": 20, "K": 10, "h": 2}, {"n": 12, "K": 6, "h": 3}, {"n": 15, "K": 8, "h": 1}]
    hints = {
        "That is the bound of section 2. A bottleneck stays below it.": lambda n, K, h: n * (K - 1),
        "So far only the hidden numbers move. What can the last layer do?": lambda n, K, h: n * h,
        "Has the last layer another input besides the hidden units?": (
            lambda n, K, h: n * h + (K - 1 - h) * h
        ),
        "Does the softmax notice all K directions of the outputs?": (
            lambda n, K, h: n * h + (K - h) * (h + 1)
        ),
        "What the hidden numbers move already must not be counted twice.": (
            lambda n, K, h: n * h + (K - 1) * (h + 1)
        ),
    }
    check("3", bottleneck_rank, measured_rank, cases, hints)


SHAPES = {"W1": (8, 64), "b1": (8,), "W2": (10, 8), "b2": (10,)}
PLACES = torch.linspace(0, 1, 41, dtype=torch.float64)  # on the line to the twin


@cache
def digits() -> EmpiricalLoss:
    """The loss of a network on handwritten digits, (150, 64)."""
    return network(*data.digits(150, seed=0), [64, 8, 10], seed=0)


@cache
def trained() -> Tensor:
    """Its weights after 100 steps."""
    return gradient_descent(digits(), 150, lr=0.1, momentum=0.9, steps=100, every=100).w


def parts_of(w: Tensor) -> dict[str, Tensor]:
    """The four parts of a network's weights, by name."""
    chunks = w.split([int(np.prod(shape)) for shape in SHAPES.values()])
    return {
        name: chunk.view(shape) for chunk, (name, shape) in zip(chunks, SHAPES.items(), strict=True)
    }


def as_weights(parts: Iterable[Any]) -> Tensor:
    """The four parts as one vector w."""
    return torch.cat([torch.tensor(numbers(part, *part.shape)).flatten() for part in parts])


def outputs_of(w: Tensor) -> Tensor:
    """What the network answers to every picture."""
    W1, b1, W2, b2 = parts_of(w).values()
    return torch.tanh(data.digits(150, seed=0)[0] @ W1.T + b1) @ W2.T + b2


def heights(parts: Iterable[Any]) -> Tensor:
    """The training loss on the line from the original to the twin, above the loss at its start."""
    w, step = trained(), as_weights(parts) - trained()
    line = torch.stack([digits().value(w + t * step, 150) for t in PLACES])
    return line - line[0]


def check_4(twin: Callable[..., Any]) -> None:
    """Exercise 4, a twin."""
    w = trained()
    required: dict[str, Callable[[Any], Any]] = {
        "four parts with the shapes of W1, b1, W2 and b2": (
            lambda parts: [tuple(part.shape) for part in parts] == list(SHAPES.values())
        ),
        "weights that are at least half of |w| away from w": (
            lambda parts: (as_weights(parts) - w).norm() > w.norm() / 2
        ),
        "the same outputs as before (follow one hidden unit: all its numbers in, all numbers "
        "out)": (
            lambda parts: torch.allclose(outputs_of(as_weights(parts)), outputs_of(w), atol=1e-9)
        ),
        "a hill of at least 0.1 on the straight line": lambda parts: heights(parts).max() > 0.1,
    }
    check_properties("4", twin, required, parts_of(w))
    figures.hill_to_the_twin(PLACES, heights(twin(**parts_of(w))).detach().numpy())
