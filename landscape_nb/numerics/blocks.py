"""Work with many columns, cut into blocks that fit memory.

A product holds its columns about four times (the argument, one row for each backward pass, their
sum over batches), so that all of them at once may be far larger than what comes out.
"""

from typing import Protocol

import torch
from torch import Tensor

DENSE = 20_000  # rows of a dense matrix at most, 3.2 GB in float64: chosen here
_WIDTH = 64  # columns of one product for a dense matrix: chosen here, as in `many_at_once`
_COPIES = 4
_TILE = 2**17  # numbers of a matrix that are looked at together: chosen here


class Products(Protocol):
    """What is asked of an operator here."""

    shape: torch.Size
    dtype: torch.dtype
    device: torch.device

    def multiply(self, columns: Tensor) -> Tensor:
        """The product with columns (N, b)."""


def refuse_large_dense(N: int, dtype: torch.dtype, what: str, instead: str) -> None:
    """Refuse a dense matrix of more than 20 000 rows.

    Raises:
        ValueError: N is larger.
    """
    if N > DENSE:
        size = 1e-9 * torch.finfo(dtype).bits / 8 * N**2
        raise ValueError(
            f"A dense {what} of N = {N} parameters would take {size:.0f} GB; N must be at most "
            f"{DENSE}. {instead}"
        )


def dense(H: Products, asymmetric: str) -> Tensor:
    """The matrix itself, (N, N), symmetric; little else is held beside it.

    Raises:
        ValueError: N is too large, or the products are not those of a symmetric matrix.
    """
    N = H.shape[0]
    refuse_large_dense(N, H.dtype, "matrix", "Use products H @ V, or top_eigenpairs.")
    out = torch.empty(N, N, dtype=H.dtype, device=H.device)
    for i in range(0, N, _WIDTH):
        units = out.new_zeros(N, min(_WIDTH, N - i))
        units[i : i + _WIDTH].fill_diagonal_(1)
        out[i : i + _WIDTH] = H.multiply(units).T
    step = max(1, _TILE // N)
    difference = torch.stack([
        (out[i : i + step] - out[:, i : i + step].T).norm() for i in range(0, N, step)
    ]).norm()  # fmt: skip
    # The square root of the precision separates rounding from a wrong formula. Chosen here.
    if difference > 10 * torch.finfo(H.dtype).eps ** 0.5 * out.norm():
        raise ValueError(asymmetric)
    for i in range(0, N, step):
        upper = (out[i : i + step, i:] + out[i:, i : i + step].T) / 2
        out[i : i + step, i:], out[i:, i : i + step] = upper, upper.T
    return out


def column_blocks(U: Tensor, memory: float) -> list[slice]:
    """Columns of U, (N, D), as many at a time as a quarter of memory takes in products."""
    each = _COPIES * U.shape[0] * U.element_size()
    width = max(1, int(memory / 4 / each))
    return [slice(i, i + width) for i in range(0, U.shape[1], width)]


def quadratic_form(H: Products, U: Tensor, memory: float) -> Tensor:
    """U'HU, (D, D), not made symmetric."""
    parts = [U.T @ H.multiply(U[:, columns]) for columns in column_blocks(U, memory)]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def row_blocks(rows: int, each: int) -> list[slice]:
    """Rows of `each` numbers, in pieces that are small beside anything else."""
    step = max(1, _TILE // max(1, each))
    return [slice(i, i + step) for i in range(0, rows, step)]
