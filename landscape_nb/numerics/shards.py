"""One Hessian over samples that are spread over processes, and vectors that are spread too."""

from typing import Any

import torch
from torch import Tensor

from landscape_nb.numerics.operators import (
    DifferentiableLoss,
    HessianOperator,
    Samples,
    SymmetricOperator,
)
from landscape_nb.numerics.processes import Processes


class ShardedHessianOperator(SymmetricOperator):
    """V -> H(w) V where every process of a group holds a part of the samples.

    L = sum_p (n_p / n) L_p,  so  H V = sum_p (n_p / n) H_p V:  one all-reduce for each product.

    Every process calls it at the same time with the same w and V, and receives the same product:
    `largest_eigenpairs(operator, D=10)` runs in all of them side by side.

    Args:
        loss: this process's samples. The L2 term must be the same in all.
        w: (N,), the same in every process.
        samples: which of this process's samples; all if not given, none where the range or tensor
            is empty.
        group: the process group; the default one if not given.

    Attributes:
        num_samples: of all processes together.

    Raises:
        RuntimeError: torch.distributed is not initialised.
        ValueError: w or l2 differs between processes, or one of them refuses its part; in all.
        ConnectionError: another process was lost.
    """

    def __init__(
        self,
        loss: DifferentiableLoss,
        w: Tensor,
        samples: Samples | None = None,
        *,
        group: Any = None,
    ) -> None:
        super().__init__(loss.w0)
        self._processes = Processes(group)
        self._gradient: Tensor | None = None
        samples = loss.num_samples if samples is None else samples
        none = not isinstance(samples, int) and len(samples) == 0
        with self._processes.together("w", w, {"w": w, "l2": loss.l2}):
            self._part = None if none else HessianOperator(loss, w, samples)
            mine = 0 if none else sum(len(batch) for batch in loss.batches(samples))
        self.num_samples = int(self._processes.sum(torch.tensor(mine, device=w.device)))
        self._weight = mine / self.num_samples

    @property
    def gradient(self) -> Tensor:
        """The gradient of the mean over all samples, (N,), with the L2 term."""
        if self._gradient is None:
            mine = self.new_vector()
            with self._processes.together("gradient", mine):
                if self._part is not None:
                    mine = self._weight * self._part.gradient
            self._gradient = self._processes.sum(mine)
        return self._gradient

    def _checked(self, V: Any) -> Tensor:
        with self._processes.together("V", V):
            return super()._checked(V)

    def _product(self, columns: Tensor) -> Tensor:
        with self._processes.together("V", columns):
            part = self._of_part(columns)
        return self._processes.sum(part)

    def _of_part(self, columns: Tensor) -> Tensor:
        """What this process's samples add to the product."""
        if self._part is None:
            return torch.zeros_like(columns)
        return self._weight * self._part.multiply(columns)
