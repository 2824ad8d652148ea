"""One run along k: what every unseen sample would change, and what the model would lose on it."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from landscape_nb.numerics.devices import on_cpu
from landscape_nb.numerics.fit import fit
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.study.budget import RETRAIN_SHARES
from landscape_nb.theory.bands import Band, next_samples_band
from landscape_nb.theory.increment import increment

LEVEL = 0.9  # of every interval of a diagnosis: chosen here


@dataclass(frozen=True, eq=False)
class AlongK:
    """Squared increments and losses of all unseen samples, for each of K numbers of samples.

    Attributes:
        ks: increasing; the last one is that of the model itself.
        squares: for each k the squared increment of every sample after the first k, (n - k,), in
            loss^2, at the point trained on k samples.
        unseen_losses: their losses there, (n - k,).
    """

    ks: list[int]
    squares: tuple[Tensor, ...]
    unseen_losses: tuple[Tensor, ...]

    @property
    def means(self) -> Tensor:
        """(K,), the criterion's value part: mean squared increment, T(k)/(k+1)^2, in loss^2."""
        return _means(self.squares)

    @property
    def stderrs(self) -> Tensor:
        """(K,), standard errors of `means` by the scatter over unseen samples."""
        return _stderrs(self.squares)

    def band(self, generator: torch.Generator, level: float = LEVEL) -> Band:
        """Pointwise band of the logarithm of `means`, and that mean first, (K,) each.

        It speaks of the choice of next samples alone (`theory.bands.one_run_band`). A band at one
        k asks nothing of the others, so that each k may have its own unseen samples.
        """
        each = [next_samples_band(part[:, None], generator, 2000, level) for part in self.squares]
        middle, low, high = (torch.cat(edge) for edge in zip(*each, strict=True))
        return middle, low, high

    @property
    def losses(self) -> Tensor:
        """(K,), mean losses of the unseen samples."""
        return _means(self.unseen_losses)

    @property
    def loss_stderrs(self) -> Tensor:
        """(K,), their standard errors."""
        return _stderrs(self.unseen_losses)


def _means(parts: tuple[Tensor, ...]) -> Tensor:
    return torch.stack([part.mean() for part in parts])


def _stderrs(parts: tuple[Tensor, ...]) -> Tensor:
    return torch.stack([part.std() / len(part) ** 0.5 for part in parts])


def along_k(loss: EmpiricalLoss, w: Tensor, k: int, iterations: int) -> AlongK:
    """Train anew on an eighth of k up to k samples, w being the last point; only w if iterations=0.

    Every fit starts at the model's own parameters and takes so many iterations at most. What is
    measured are losses: one pass over all samples for each k.
    """
    ks, squares, losses = [], [], []
    for j, at in _points(loss, w, k, iterations):
        every = on_cpu(loss.per_sample(at))
        ks.append(j)
        losses.append(every[j:])
        squares.append(increment(every[j:], every[:j].mean(), j).square())
    return AlongK(ks, tuple(squares), tuple(losses))


def _points(
    loss: EmpiricalLoss, w: Tensor, k: int, iterations: int
) -> Iterator[tuple[int, Tensor]]:
    shares = RETRAIN_SHARES if iterations else []
    for j in sorted({max(1, round(k * share)) for share in shares} - {k}):
        yield j, fit(loss, j, tol=1e-4, max_iterations=iterations).w
    yield k, w
