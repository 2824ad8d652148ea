"""Averages over random draws, with the error that they carry."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Estimate:
    """A Monte Carlo average with its standard error.

    Attributes:
        value: () for one quantity, (K,) for a grid of k; the units are those of what is averaged.
        stderr: of the same shape: sample standard deviation / sqrt(num_samples). Squared
            increments have heavy tails: with few draws it is an optimistic guess.
        num_samples: S, the number of draws.
    """

    value: Tensor
    stderr: Tensor
    num_samples: int


def mean_and_standard_error(draws: Tensor, like: Tensor) -> Estimate:
    """Mean and standard error over the last dimension."""
    S = draws.shape[-1]
    return Estimate(draws.mean(-1).to(like), (draws.std(-1) / S**0.5).to(like), S)
