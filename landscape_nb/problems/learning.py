"""Seven small learning problems, on which rules about "enough data" are tried out.

Real images, tables and text, and one source that never runs dry. Each is trained from its own first
weights on the first k samples of its own order; those left are the unseen ones. Small on purpose:
dozens of seeds and a dozen k have to be affordable.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from landscape_nb.numerics import checks
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.problems.data import digits, sequences, text
from landscape_nb.problems.models import (
    MLP,
    DecoderTransformer,
    TransformerConfig,
    blank,
    sequence_loss,
)

Parts = tuple[nn.Module, Callable[[Tensor, Tensor], Tensor], Tensor, Tensor, float]


@dataclass(frozen=True)
class LearningProblem:
    """One problem: what is learned, and for how many samples it is worth measuring.

    Attributes:
        name: for people.
        k_max: the largest number of samples to train on; as many or more are left unseen, where
            the data allow it.
        doublings: how many times k_max is halved for the smallest k.
        iterations: of L-BFGS at most; training that stops earlier where nobody would wait longer.
        convex: one minimiser for each k, whatever the start: then a warm start changes nothing.
        build: seed -> (model, loss function, inputs, targets, l2).
    """

    name: str
    k_max: int
    doublings: int
    iterations: int
    convex: bool
    build: Callable[[int], Parts]

    @property
    def ks(self) -> list[int]:
        """Half doublings up to k_max."""
        steps = range(2 * self.doublings, -1, -1)
        return [round(self.k_max * 2 ** (-j / 2)) for j in steps]

    def loss(self, seed: int) -> EmpiricalLoss:
        """The empirical loss of one seed: order of the data, and first weights."""
        seed = checks.whole_number("seed", seed, 0, 2**31 - 1, "of the order and the weights")
        model, loss_fn, inputs, targets, l2 = self.build(seed)
        return EmpiricalLoss(model, loss_fn, inputs, targets, l2=l2)


def learning_problem(name: str) -> LearningProblem:
    """One of `LEARNING_PROBLEMS` by its name.

    Raises:
        ValueError: no such problem; those that there are.

    >>> learning_problem("digits, linear").ks[-3:]
    [640, 905, 1280]
    """
    for problem in LEARNING_PROBLEMS:
        if problem.name == name:
            return problem
    names = ", ".join(repr(problem.name) for problem in LEARNING_PROBLEMS)
    raise ValueError(f"There is no learning problem {checks.shown(name)}; there are {names}.")


# -- the seven -------------------------------------------------------------------------------------

_cross_entropy = nn.CrossEntropyLoss(reduction="none")


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _digits(model: Callable[[torch.Generator], nn.Module], seed: int) -> Parts:
    images, labels = digits(seed=seed)
    return model(_generator(seed)), _cross_entropy, images, labels, 1e-3


def _linear(generator: torch.Generator) -> nn.Module:
    return MLP([64, 10], generator=generator)


def _mlp(generator: torch.Generator) -> nn.Module:
    return MLP([64, 16, 10], generator=generator)


def _cnn(generator: torch.Generator) -> nn.Module:
    """Eight 3 x 3 windows, the largest of each 2 x 2 answers, one linear layer."""
    windows, decide = blank(nn.Conv2d, 1, 8, 3, padding=1), MLP([128, 10])
    for layer, fan_in in ((windows, 9), (decide, 128)):
        with torch.no_grad():
            for p in layer.parameters():
                p.copy_(_uniform(p, fan_in**-0.5, generator))
    image, flat = nn.Unflatten(1, (1, 8, 8)), nn.Flatten()
    return nn.Sequential(image, windows, nn.ReLU(), nn.MaxPool2d(2), flat, decide).double()


def _uniform(like: Tensor, bound: float, generator: torch.Generator) -> Tensor:
    draw = torch.rand(like.shape, generator=generator, dtype=torch.float64)
    return ((2 * draw - 1) * bound).to(like)


def _shuffled(X: np.ndarray, y: np.ndarray, seed: int) -> tuple[Tensor, Tensor]:
    """Columns with mean 0 and variance 1, in this seed's order."""
    order = np.random.default_rng(seed).permutation(len(X))
    X = (X - X.mean(0)) / X.std(0)
    return torch.as_tensor(X[order]), torch.as_tensor(y[order])


def _tumours(seed: int) -> Parts:
    """Wisconsin breast cancer, 569 patients (UCI, Wolberg et al. 1995)."""
    from sklearn.datasets import load_breast_cancer  # slow to load: see `data._digits`

    X, labels = load_breast_cancer(return_X_y=True)
    x, y = _shuffled(X, labels, seed)
    return MLP([30, 8, 2], generator=_generator(seed)), _cross_entropy, x, y.long(), 1e-2


def _diabetes(seed: int) -> Parts:
    """Progression of diabetes in 442 patients (Efron et al. 2004), in standard deviations."""
    from sklearn.datasets import load_diabetes  # slow to load: see `data._digits`

    X, y = load_diabetes(return_X_y=True)
    x, t = _shuffled(X, (y - y.mean()) / y.std(), seed)
    return MLP([10, 8, 1], generator=_generator(seed)), _squared_error, x, t, 1e-2


def _squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs[:, 0] - targets).square()


def _text(seed: int) -> Parts:
    """Sixteen characters of Python's help pages, each predicted from those before."""
    tokens, vocabulary = text()
    windows = sequences(tokens, 16, seed=seed)[:1536]
    sizes = TransformerConfig(
        len(vocabulary), context=16, width=16, depth=1, heads=2, kv_heads=1, hidden=32
    )
    model = DecoderTransformer(sizes, generator=_generator(seed), dtype=torch.float64)
    return model, sequence_loss, windows[:, :-1], windows[:, 1:], 1e-3


def _teacher(seed: int) -> Parts:
    """Labels drawn from the probabilities of one fixed network: data without end."""
    teacher = MLP([10, 16, 3], generator=_generator(10**6))
    draw = _generator(seed)
    x = torch.randn(8192, 10, generator=draw, dtype=torch.float64)
    with torch.no_grad():
        chances = (8 * teacher(x)).softmax(1)  # 8: labels that are right in about four of five
    y = torch.multinomial(chances, 1, generator=draw)[:, 0]
    return MLP([10, 12, 3], generator=_generator(seed)), _cross_entropy, x, y, 1e-3


LEARNING_PROBLEMS: Sequence[LearningProblem] = (
    LearningProblem("digits, linear", 1280, 6, 500, True, partial(_digits, _linear)),
    LearningProblem("digits, MLP", 1280, 6, 500, False, partial(_digits, _mlp)),
    LearningProblem("digits, CNN", 1280, 6, 150, False, partial(_digits, _cnn)),
    LearningProblem("tumours, MLP", 320, 5, 500, False, _tumours),
    LearningProblem("diabetes, MLP", 256, 5, 500, False, _diabetes),
    LearningProblem("text, transformer", 512, 6, 60, False, _text),
    LearningProblem("teacher, MLP", 4096, 7, 500, False, _teacher),
)
