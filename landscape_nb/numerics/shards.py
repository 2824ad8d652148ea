"""One Hessian over samples that are spread over processes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from landscape_nb.numerics.operators import (
    DifferentiableLoss,
    HessianOperator,
    Samples,
    SymmetricOperator,
)


class ShardedHessianOperator(SymmetricOperator):
    """V -> H(w) V where every process of a group holds a part of the samples.

    L = sum_p (n_p / n) L_p,  so  H V = sum_p (n_p / n) H_p V:  one all-reduce for each product.

    Every process calls it at the same time with the same w and V, and receives the same product:
    `largest_eigenpairs(operator, D=10)` runs in all of them side by side.

    Args:
        loss: this process's samples. The L2 term must be the same in all.
        w: (N,), the same in every process.
        samples: which of this process's samples; all if not given.
        group: the process group; the default one if not given.

    Attributes:
        num_samples: of all processes together.

    Raises:
        RuntimeError: torch.distributed is not initialised.
        ValueError: w or l2 differs between processes, or one of them refuses its part; in all.
    """

    def __init__(
        self,
        loss: DifferentiableLoss,
        w: Tensor,
        samples: Samples | None = None,
        *,
        group: "dist.ProcessGroup | None" = None,
    ) -> None:
        if not (dist.is_available() and dist.is_initialized()):
            raise RuntimeError(
                "torch.distributed is not initialised: call torch.distributed.init_process_group("
                "'gloo') in every process first, for example under torchrun."
            )
        super().__init__(loss.w0)
        self._group = group
        samples = loss.num_samples if samples is None else samples
        with self._together("w", w):
            self._part = HessianOperator(loss, w, samples)
            mine = sum(len(batch) for batch in loss.batches(samples))
        for name, same in (("w", w), ("l2", torch.tensor(loss.l2, dtype=w.dtype, device=w.device))):
            ends = (self._sum(same, end) for end in (dist.ReduceOp.MAX, dist.ReduceOp.MIN))
            if not torch.equal(*ends):
                raise ValueError(f"{name} must be the same in every process; broadcast it first.")
        self.num_samples = int(self._sum(torch.tensor(mine, device=w.device)))
        self._weight = mine / self.num_samples

    def _checked(self, V: Any) -> Tensor:
        with self._together("V", V):
            return super()._checked(V)

    def _product(self, columns: Tensor) -> Tensor:
        with self._together("V", columns):
            part = self._weight * self._part.multiply(columns)
        return self._sum(part)

    @contextmanager
    def _together(self, name: str, x: Any) -> Iterator[None]:
        """Refuse in every process what one of them refuses: the others would wait for it."""
        error = None
        try:
            yield
        except Exception as refusal:
            error = refusal
        size = x.numel() if isinstance(x, Tensor) else -1
        device = x.device if isinstance(x, Tensor) else torch.device("cpu")
        sizes = torch.tensor([-size, size, 0 if error is None else 1], device=device)
        smallest, largest, refused = self._sum(sizes, dist.ReduceOp.MAX).tolist()
        if error is not None:
            raise error
        if refused:
            raise ValueError("Another process refused its part; its message tells why.")
        if largest != -smallest:
            raise ValueError(f"{name} must have the same shape in every process.")

    def _sum(self, x: Tensor, operation: dist.ReduceOp.RedOpType = dist.ReduceOp.SUM) -> Tensor:
        x = x.clone(memory_format=torch.contiguous_format)  # processes add in storage order
        dist.all_reduce(x, operation, group=self._group)
        return x
