"""Where numbers live and how many digits they have: float64 wherever a device has it.

Apple's GPUs (device "mps") have no float64: any tensor of it there raises a TypeError. So:

* a vector of N numbers is widened to what its device has (`widest`, `widened`), float32 there;
* sums over N are `inner_products`: by blocks where float64 is missing, the blocks' sums in float64;
* small results (a few numbers for each direction) are `on_cpu`, in float64, whatever the device;
* random numbers are drawn on the generator's device (`normal`) and moved: one seed, one draw, on
  every device that a result is computed on.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

R = TypeVar("R")

_PIECE = 2**18  # numbers converted to float64 at once (2 MB): chosen here
# Rows summed in float32 before the sum goes on in float64: an error of sqrt(4096) roundings at the
# usual, 4096 at the worst. Chosen here.
_BLOCK = 4096


def widest(device: torch.device | str) -> torch.dtype:
    """The real numbers with the most digits that a device has: float64, on "mps" float32.

    >>> widest("cpu"), widest("mps")
    (torch.float64, torch.float32)
    """
    return torch.float32 if torch.device(device).type == "mps" else torch.float64


def widened(x: Tensor) -> Tensor:
    """The same numbers, on the same device, with as many digits as it has."""
    return x.to(widest(x.device))


def on_cpu(x: Tensor) -> Tensor:
    """The same numbers on the CPU in float64, by way of the device's own type."""
    return x.cpu().double()


def in_float64(x: Tensor) -> Tensor:
    """The same numbers in float64: where they are, or on the CPU if their device has none."""
    return x.double() if widest(x.device) == torch.float64 else on_cpu(x)


def inner_products(A: Tensor, B: Tensor) -> Tensor:
    """A'B of two blocks of vectors as columns, (N, a) and (N, b): (a, b) in float64, on the CPU.

    Exact to float64's rounding where the device has it, and never a float64 copy of all of A; else
    to that of sums of 4096 float32 products.

    >>> inner_products(torch.ones(5000, 2), torch.full((5000, 1), 2.0)).tolist()
    [[10000.0], [10000.0]]
    """
    if A.dtype == B.dtype == torch.float64:
        return (A.T @ B).cpu()
    if widest(A.device) != torch.float64:
        return sums_of_blocks(A, B)
    total = torch.zeros(A.shape[1], B.shape[1], dtype=torch.float64, device=A.device)
    step = max(_BLOCK, _PIECE // (A.shape[1] + B.shape[1]))
    for i in range(0, len(A), step):
        total += A[i : i + step].double().T @ B[i : i + step].double()
    return total.cpu()


def sums_of_blocks(A: Tensor, B: Tensor) -> Tensor:
    """A'B by sums of 4096 products in their own precision, which add up `in_float64`; in one go."""
    whole = len(A) // _BLOCK * _BLOCK
    left, right = (X[:whole].reshape(whole // _BLOCK, _BLOCK, X.shape[1]) for X in (A, B))
    return in_float64(left.mT @ right).sum(0) + in_float64(A[whole:].T @ B[whole:])


def factorised(factorisation: Callable[..., R], A: Tensor, **options: Any) -> R:
    """torch.linalg's qr, svd, eigh of A, with results where A is: of "mps", by way of the CPU.

    >>> factorised(torch.linalg.eigvalsh, torch.diag(torch.tensor([2.0, 1.0]))).tolist()
    [1.0, 2.0]
    """
    if A.device.type != "mps":
        return factorisation(A, **options)
    return tree_map(lambda x: x.to(A.device, A.dtype), factorisation(on_cpu(A), **options))


def normal(*shape: int, generator: torch.Generator) -> Tensor:
    """Standard normal numbers of a shape, on the generator's device, in the widest type there.

    >>> normal(2, 3, generator=torch.Generator().manual_seed(0)).dtype
    torch.float64
    """
    device = generator.device
    return torch.randn(*shape, generator=generator, dtype=widest(device), device=device)
