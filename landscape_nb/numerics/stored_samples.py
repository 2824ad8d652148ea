"""The samples of a loss by their numbers, wherever they are kept.

Whoever keeps them hands out copies of rows on the model's device, says how a set of numbers is cut
into pieces that the model may see as one batch, and in which order they are best read:

* `StoredSamples`: all in memory, in one container;
* `HeldBatches`: a few in memory, in batches whose rows need not be of one shape;
* `StreamedSamples` (in `streamed_samples`): read from the caller's batches in every pass.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from landscape_nb.numerics import batches

Indices = range | Tensor  # of samples, from 0
Change = Callable[[Any], Any]
Pair = tuple[Any, Any]  # inputs and targets


def as_it_is(leaf: Any) -> Any:
    """The change that changes nothing."""
    return leaf


class StoredSamples:
    """Samples in memory, one per row.

    Args:
        inputs, targets: containers of tensors, checked and its own.
    """

    streamed = False

    def __init__(self, inputs: Any, targets: Any) -> None:
        self.inputs, self.targets = inputs, targets
        self.num_samples = batches.num_samples(inputs)

    def rows(self, indices: Indices) -> Pair:
        """A copy of the inputs and targets of some samples."""
        return self.inputs_of(indices), self.targets_of(indices)

    def inputs_of(self, indices: Indices) -> Any:
        """A copy of the inputs of some samples."""
        return batches.rows(self.inputs, indices)

    def targets_of(self, indices: Indices) -> Any:
        """A copy of the targets of some samples."""
        return batches.rows(self.targets, indices)

    def pieces(self, indices: Indices, size: int) -> list[Indices]:
        """At most `size` at a time, in order, each piece one batch."""
        return [indices[i : i + size] for i in range(0, len(indices), size)]

    def together(self, indices: Indices) -> list[Indices]:
        """The fewest parts, in order, that the model can be given."""
        return [indices]

    def in_order(self, indices: Indices) -> tuple[Indices, None]:
        """The same samples as one pass reads them, and how to put results back; None: as asked."""
        return indices, None

    def joined(self, outputs: Sequence[Any], sizes: Sequence[int]) -> Any:
        """Outputs of pieces, one below the other."""
        return batches.joined(outputs, sizes)

    def spread(self, m: int) -> Tensor:
        """Numbers of m samples from all over the data, which may be sorted."""
        return _evenly(self.num_samples, m)

    def held(self, indices: Indices) -> "StoredSamples":
        """The same samples by the same numbers, with at least these in memory."""
        return self

    def only(self, indices: Indices, change: Change = as_it_is) -> "StoredSamples":
        """Just these, numbered anew from 0, with change(leaf) for each of their leaves."""
        return StoredSamples(*batches.changed(self.rows(indices), change))


class BatchedSamples:
    """Samples that lie in numbered batches, one after the other.

    No piece of them crosses from one batch into the next, so that reading piece after piece is one
    pass. Rows of several batches are joined where all batches have rows of the same shape.

    Attributes:
        starts: number of every batch's first sample, and n.
        alike: whether the rows of all batches have the same shapes and dtypes.
    """

    streamed = True
    starts: list[int]
    alike: bool

    def batch(self, number: int) -> Pair:
        """Inputs and targets of one whole batch, not to be changed."""
        raise NotImplementedError

    @property
    def num_samples(self) -> int:
        """How many there are, n."""
        return self.starts[-1]

    @property
    def inputs(self) -> Any:
        """There is no such container."""
        raise ValueError(_NOT_IN_MEMORY.format("inputs"))

    @property
    def targets(self) -> Any:
        """There is no such container."""
        raise ValueError(_NOT_IN_MEMORY.format("targets"))

    def rows(self, indices: Indices) -> Pair:
        """A copy of the inputs and targets of some samples."""
        return self._rows(indices, as_it_is)

    def inputs_of(self, indices: Indices) -> Any:
        """A copy of the inputs of some samples."""
        return self._rows(indices, lambda pair: pair[0])

    def targets_of(self, indices: Indices) -> Any:
        """A copy of the targets of some samples."""
        return self._rows(indices, lambda pair: pair[1])

    def pieces(self, indices: Indices, size: int) -> list[Indices]:
        """At most `size` at a time, in order, each piece within one batch."""
        return [run[i : i + size] for run in self._runs(indices) for i in range(0, len(run), size)]

    def together(self, indices: Indices) -> list[Indices]:
        """The fewest parts, in order, that the model can be given."""
        return [indices] if self.alike else self._runs(indices)

    def in_order(self, indices: Indices) -> tuple[Indices, Tensor | None]:
        """The same samples as one pass reads them, and how to put results back; None: as asked."""
        if isinstance(indices, range) or bool((indices[1:] >= indices[:-1]).all()):
            return indices, None
        order = indices.argsort(stable=True)
        return indices[order], order.argsort()

    def joined(self, outputs: Sequence[Any], sizes: Sequence[int]) -> Any:
        """Outputs of pieces, one below the other."""
        try:
            return batches.joined(outputs, sizes)
        except RuntimeError as error:
            raise ValueError(
                "The outputs of these batches have unequal shapes (sequences padded to unequal "
                "lengths?) and can't stand in one tensor. Ask for them batch by batch: "
                "[loss.outputs(w, part) for part in loss.batches(k)]."
            ) from error

    def spread(self, m: int) -> Tensor:
        """Numbers of about m samples from all over the data, of three batches at least."""
        count = len(self.starts) - 1
        some = _evenly(count, max(3, m * count // self.num_samples)).tolist()
        each = -(-m // len(some))
        ends = [(self.starts[number], self.starts[number + 1]) for number in some]
        return torch.cat([start + _evenly(end - start, each) for start, end in ends])

    def held(self, indices: Indices) -> "HeldBatches":
        """The same samples by the same numbers, with the batches of these in memory."""
        numbers = sorted({self._number(int(i)) for i in indices})
        return HeldBatches(self.starts, self.alike, {j: self.batch(j) for j in numbers})

    def only(self, indices: Indices, change: Change = as_it_is) -> "StoredSamples | HeldBatches":
        """Just these in memory, numbered anew from 0, with change(leaf) for each leaf."""
        if self.alike:
            return StoredSamples(*batches.changed(self.rows(indices), change))
        single = {i: self.rows(range(i, i + 1)) for i in sorted(int(i) for i in indices)}
        runs = self._runs(indices)
        joined = (batches.joined([single[int(i)] for i in run], [1] * len(run)) for run in runs)
        held = {j: batches.changed(pair, change) for j, pair in enumerate(joined)}
        return HeldBatches(_starts([*map(len, runs)]), False, held)

    def _number(self, i: int) -> int:
        return bisect_right(self.starts, i) - 1

    def _runs(self, indices: Indices) -> list[Indices]:
        """Cut wherever the next sample lies in another batch."""
        if isinstance(indices, Tensor):
            ends = torch.tensor(self.starts[1:])
            numbers = torch.bucketize(indices.cpu(), ends, right=True)
            return list(indices.split(numbers.unique_consecutive(return_counts=True)[1].tolist()))
        runs: list[Indices] = []
        i = 0
        while i < len(indices):
            end = self.starts[self._number(indices[i]) + 1]
            count = len(range(indices[i], end, indices.step))
            runs.append(indices[i : i + count])
            i += count
        return runs

    def _rows(self, indices: Indices, pick: Change) -> Any:
        """A copy of rows of what is picked from a pair, from one pass."""
        reading, back = self.in_order(indices)
        parts, runs = [], self._runs(reading)
        if len(runs) > 1 and not self.alike:
            raise ValueError(
                f"{len(indices)} samples are wanted in one piece, but they lie in {len(runs)} "
                "batches whose rows differ in shape (sequences padded to unequal lengths). Ask "
                "for them batch by batch, `for part in loss.batches(k)`, or pad all to one length."
            )
        for run in runs:
            number = self._number(int(run[0]))
            parts.append(batches.rows(pick(self.batch(number)), _moved(run, self.starts[number])))
        rows = parts[0] if len(parts) == 1 else batches.joined(parts, [*map(len, runs)])
        return rows if back is None else batches.rows(rows, back)


class HeldBatches(BatchedSamples):
    """Some of the batches, in memory.

    Args:
        starts, alike: as of `BatchedSamples`.
        held: some of the batches by their number.
    """

    def __init__(self, starts: Sequence[int], alike: bool, held: Mapping[int, Pair]) -> None:
        self.starts, self.alike, self._held = list(starts), alike, held

    def batch(self, number: int) -> Pair:
        """Inputs and targets of one whole batch, not to be changed."""
        return self._held[number]


Samples = StoredSamples | BatchedSamples

_NOT_IN_MEMORY = (
    "This loss reads its samples in batches and holds no {0}. For some of them take "
    "`loss.samples.rows(indices)`."
)


def _starts(lengths: Sequence[int]) -> list[int]:
    return torch.tensor([0, *lengths]).cumsum(0).tolist()


def _evenly(n: int, m: int) -> Tensor:
    return torch.linspace(0, n - 1, min(m, n), dtype=torch.float64).round().long()


def _moved(run: Indices, start: int) -> Indices:
    """The same samples as rows of the batch that starts there."""
    if isinstance(run, Tensor):
        return run - start
    return range(run.start - start, run.stop - start, run.step)
