"""Random numbers of the tests: always in float64 and from a generator of their own."""

import torch

F64 = dict(dtype=torch.float64)


def generator(seed=0):
    """A source of random numbers that gives the same ones each time."""
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=1, dtype=torch.float64):
    """Normal numbers of this shape, drawn in float64."""
    return torch.randn(*shape, generator=generator(seed), **F64).to(dtype)
