"""One Hessian over samples that are spread over processes, and vectors that are spread too."""

from typing import Any

import torch
from torch import Tensor

from landscape_nb.numerics import checks
from landscape_nb.numerics.operators import (
    COLUMNS,
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
        self._like = loss.w0
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
            mine = torch.zeros_like(self._like)
            with self._processes.together("gradient", mine):
                if self._part is not None:
                    mine = self._weight * self._part.gradient
            self._gradient = self._summed(mine)
        return self._gradient

    def _checked(self, V: Any) -> Tensor:
        with self._processes.together("V", V):
            return super()._checked(V)

    def _product(self, columns: Tensor) -> Tensor:
        with self._processes.together("V", columns):
            part = self._of_part(columns)
        return self._summed(part)

    def _of_part(self, columns: Tensor) -> Tensor:
        """What this process's samples add to the product."""
        if self._part is None:
            return torch.zeros_like(columns)
        return self._weight * self._part.multiply(columns)

    def _summed(self, x: Tensor) -> Tensor:
        """What is held here of the sum over all processes."""
        return self._processes.sum(x)


class ShardedVectorsOperator(ShardedHessianOperator):
    """The same Hessian on vectors that are spread too: every process holds a part of their rows.

    For a basis that does not fit one device: `largest_eigenpairs(operator, D)` then holds N/p rows
    of its m vectors in each of p processes, N m / p numbers, and returns this process's rows of the
    eigenvectors. w, and the column that is being multiplied, are whole in every process. A column
    is gathered before its product and summed into parts after it, N numbers each time; sums over
    rows (inner products, norms) are one small sum over the processes each.

    Arguments, attributes and errors are those of `ShardedHessianOperator`; V and products have
    `len(operator.new_vector())` rows, those from `operator.rows`.

    Attributes:
        rows: which of the N rows this process holds.
    """

    @property
    def rows(self) -> slice:
        """Which of the N rows this process holds."""
        return self._processes.part(self.shape[0])

    def new_vector(self) -> Tensor:
        """This process's part of a vector of the space, zero."""
        return torch.zeros_like(self._like[self.rows])

    def random_vector(self, generator: torch.Generator) -> Tensor:
        """Of one draw of all N numbers, what is held here."""
        return super().random_vector(generator)[self.rows]

    def total(self, x: Tensor) -> Tensor:
        """Summed over the parts of a vector."""
        return self._processes.sum(x)

    def largest(self, x: Tensor) -> Tensor:
        """The elementwise largest over the parts of a vector."""
        return self._processes.largest(x)

    def _checked(self, V: Any) -> Tensor:
        columns = V.shape[1:].numel() if isinstance(V, Tensor) else 0
        with self._processes.together("V", None, {"the number of columns of V": columns}):
            return checks.directions(V, self.new_vector())

    def _product(self, columns: Tensor) -> Tensor:
        width = max(1, COLUMNS // self.shape[0])
        parts = [self._few(few) for few in columns.split(width, dim=1)]
        return torch.cat(parts, dim=1) if parts else columns.clone()

    def _few(self, columns: Tensor) -> Tensor:
        return super()._product(
            self._processes.joined(columns, self._processes.parts(self.shape[0]))
        )

    def _summed(self, x: Tensor) -> Tensor:
        return self._processes.part_of_sum(x)
