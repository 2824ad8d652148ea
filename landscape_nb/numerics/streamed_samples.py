"""Samples that do not fit memory: read from the caller's batches again in every pass.

The first pass counts the samples and notes a checksum of every batch; each batch that is read later
must have the same one. So a loader that shuffles, or that draws at random, is refused the second
time it is read, and nothing is ever computed from other samples than the first ones.

One batch is read ahead, by a thread that ends with it: none ever waits for anything. Two batches
are in memory at any time, on the model's device.
"""

import hashlib
import inspect
import os
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler, SubsetRandomSampler, WeightedRandomSampler

from landscape_nb.numerics import batches as containers
from landscape_nb.numerics import checks
from landscape_nb.numerics.progress import progress_bar
from landscape_nb.numerics.stored_samples import BatchedSamples, Pair
from landscape_nb.numerics.travel import Traveller


class StreamedSamples(Traveller, BatchedSamples):
    """The samples of a DataLoader, or of any iterable of batches that can be gone through again.

    Every thread goes through them by itself.

    Attributes:
        fingerprint: SHA-256 of all batches, in their order.

    Args:
        batches: pairs (inputs, targets), or dicts or tensors that are both.
        like: (N,), a vector on the model's device and of its dtype.
        model: whose signature says which entries of a dict are inputs.
        progress: show a bar meanwhile.

    Raises:
        ValueError: what comes can't be gone through twice, or is no batch of samples.
    """

    left_behind = ("_own", "_one_reader", "_turns", "_shared")

    def __init__(
        self, batches: Iterable[Any], like: Tensor, model: nn.Module, progress: bool = False
    ) -> None:
        _refuse_unordered(batches)
        self._source, self._device, self._passes = batches, like.device, 0
        self._inputs_taken: list[Any] | None = None
        self._checksums: list[int] = []
        everything = hashlib.sha256()
        self.starts, self.alike, rows = [0], True, ""
        self.make_own()
        reading = self.begun()
        if progress:
            reading = progress_bar(reading, desc="reading batches", unit=" batches")
        for number, batch in enumerate(reading):
            if number == 0 and isinstance(batch, Mapping):
                self._inputs_taken = inputs_taken(model, batch)
            try:
                pair = containers.checked_samples(*self._moved(self.pair(batch)), like)
            except ValueError as error:
                raise ValueError(f"Batch {number}: {error}") from error
            self._checksums.append(checksum(batch))
            for part in _contents(batch):
                everything.update(part)
            self.starts.append(self.starts[-1] + containers.num_samples(pair[0]))
            rows = rows or _rows(pair)
            self.alike = self.alike and rows == _rows(pair)
        if not self._checksums:
            raise ValueError(
                "batches ended before the first one: there must be at least one sample. Is the "
                "data set empty, or smaller than the batch size with drop_last=True?"
            )
        self.fingerprint = everything.hexdigest()

    def make_own(self) -> None:
        """Every thread's pass begins anew."""
        self._own, self._one_reader = threading.local(), _Reader(self)
        # persistent workers serve one pass at a time, so threads take turns
        self._shared = getattr(self._source, "persistent_workers", False)
        self._turns: Any = threading.RLock() if self._shared else nullcontext()

    @property
    def count(self) -> int:
        """Number of batches."""
        return len(self._checksums)

    def batch(self, number: int) -> Pair:
        """Inputs and targets of one whole batch, not to be changed."""
        with self._turns:
            return self._reader.batch(number)

    @property
    def _reader(self) -> "_Reader":
        if self._shared:
            return self._one_reader
        if not hasattr(self._own, "reader"):
            self._own.reader = _Reader(self)
        return self._own.reader

    def begun(self) -> Iterator[Any]:
        """A new pass. What it draws is another number each time, and nobody else's."""
        self._passes += 1
        with _own_random_numbers(self._passes):  # a DataLoader draws a seed for its workers
            return iter(self._source)

    def read(self, passing: Iterator[Any], number: int) -> Pair | None:
        """The next batch of a pass, on the model's device; None at the end, where it should be.

        Raises:
            BatchError: it is not the batch of that number in the first pass, or could not be read.
        """
        try:
            batch = next(passing)
            same = number < self.count and checksum(batch) == self._checksums[number]
        except StopIteration:
            if number == self.count:
                return None
            raise checks.BatchError(
                f"batches ended after {number} of {self.count}. {_ORDERED}"
            ) from None
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            raise checks.BatchError(
                f"Batch {number} could not be read: {type(error).__name__}: "
                f"{checks.first_line(error)}"
            ) from error
        if number >= self.count:
            raise checks.BatchError(
                f"batches went on after {self.count}, which were all in the first pass. {_ORDERED}"
            )
        if not same:
            raise checks.BatchError(
                f"Batch {number} is another one than in the first pass. {_ORDERED}"
            )
        return containers.detached(self._moved(self.pair(batch)), copies=True)

    def pair(self, batch: Any) -> Pair:
        """Inputs and targets of a batch: two if it holds two, else it is both."""
        if isinstance(batch, list | tuple):
            if len(batch) == 2:
                return batch[0], batch[1]
            if len(batch) != 1:
                raise ValueError(
                    "a tuple or list must be a pair (inputs, targets); got one of "
                    f"{len(batch)}. Put several inputs into one: ((x, mask), targets)."
                )
            batch = batch[0]
        if self._inputs_taken is not None and isinstance(batch, Mapping):
            return {name: batch[name] for name in self._inputs_taken if name in batch}, batch
        return batch, batch

    def _moved(self, pair: Pair) -> Pair:
        return containers.changed(
            pair, lambda leaf: leaf.to(self._device) if isinstance(leaf, Tensor) else leaf
        )


_ORDERED = (
    "Every pass must bring the same batches in the same order: use shuffle=False, no random "
    "transformation (or one that was drawn once and kept), and files that nobody changes meanwhile."
)


@dataclass(frozen=True)
class _Place:
    """Where a pass is; replaced as a whole, so that an interrupt leaves the old one or the new."""

    passing: Iterator[Any]
    number: int
    batch: Pair | None
    ahead: "_Ahead | None"
    process: int


class _Reader:
    """One pass after the other over the batches: forwards in one pass, backwards in a new one."""

    def __init__(self, source: StreamedSamples) -> None:
        self._source = source
        self._place: _Place | None = None

    def batch(self, number: int) -> Pair:
        """The batch of that number."""
        place = self._place
        if place is not None and place.process != os.getpid():
            place = self._place = None  # after a fork no thread reads ahead
        if place is None or number < place.number:
            place = self._anew()
        while place.number < number:
            place = self._next(place)
        assert place.batch is not None
        return place.batch

    def _anew(self) -> _Place:
        last, self._place = self._place, None
        if last is not None and last.ahead is not None:
            last.ahead.join()  # two passes at once are more than some loaders bear
            if last.number == self._source.count - 1:
                last.ahead.result()
        self._place = _Place(self._source.begun(), -1, None, None, os.getpid())
        return self._place

    def _next(self, place: _Place) -> _Place:
        ahead = place.ahead or _Ahead(self._source.read, place.passing, place.number + 1)
        if place.ahead is None:
            place = self._place = _Place(
                place.passing, place.number, place.batch, ahead, place.process
            )
        try:
            found = ahead.result()
        except Exception:  # an interrupt of this thread leaves the other at its batch
            self._place = None
            raise
        number = place.number + 1
        further = _Ahead(self._source.read, place.passing, number + 1)
        self._place = _Place(place.passing, number, found, further, place.process)
        further.begin()
        return self._place


class _Ahead:
    """One batch, read by a thread of its own."""

    def __init__(self, read: Callable[..., Pair | None], passing: Iterator[Any], number: int):
        self._thread = threading.Thread(target=self._run, name=f"batch {number} ahead")
        self._read, self._what = read, (passing, number)
        self._found: Pair | None = None
        self._error: BaseException | None = None

    def _run(self) -> None:
        try:
            self._found = self._read(*self._what)
        except BaseException as error:
            self._error = error

    def begin(self) -> None:
        """Let the thread run, once."""
        if self._thread.ident is None:
            self._thread.start()

    def join(self) -> None:
        """Wait until it is read."""
        self.begin()
        self._thread.join()

    def result(self) -> Pair | None:
        """The batch; what was raised meanwhile is raised here."""
        self.join()
        if self._error is not None:
            raise self._error
        return self._found


# -- batches ---------------------------------------------------------------------------------------


def checksum(batch: Any) -> int:
    """CRC-32 of names, shapes, dtypes and numbers of all tensors in a batch."""
    found = 0  # four times as fast as a cryptographic one, and nobody forges his own data
    for part in _contents(batch):
        found = zlib.crc32(part, found)
    return found


def _contents(batch: Any) -> Iterator[bytes | memoryview]:
    for name, leaf in containers.leaves(batch):
        yield name.encode()
        if isinstance(leaf, Tensor):
            yield f"{leaf.dtype} {tuple(leaf.shape)}".encode()
            plain = leaf.detach().cpu().resolve_conj().resolve_neg().contiguous()
            yield plain.reshape(-1).view(torch.uint8).numpy().data


def inputs_taken(model: nn.Module, batch: Mapping[Any, Any]) -> list[Any] | None:
    """Names of those entries of a dict that forward names as arguments; None: the whole dict."""
    try:
        parameters = inspect.signature(model.forward).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    named = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return [name for name in batch if name in named] or None


def _rows(pair: Pair) -> str:
    """What the rows of a batch are: two batches can be joined if they agree in it."""
    found = containers.leaves(pair)
    return str([(n, t.dtype, t.shape[1:]) for n, t in found if isinstance(t, Tensor)])


def _refuse_unordered(batches: Any) -> None:
    if isinstance(batches, Iterator):
        raise ValueError(
            "batches can be gone through only once, and every evaluation does it anew; got a "
            f"{type(batches).__name__}. Pass a list of batches, a DataLoader, or an object whose "
            "__iter__ is a generator function; not the generator itself."
        )
    if isinstance(batches, Tensor | Mapping | str) or not isinstance(batches, Iterable | Sequence):
        raise ValueError(
            "batches must be a DataLoader or another iterable of batches; got "
            f"{type(batches).__name__}. A single batch goes into a list: [(inputs, targets)]."
        )
    if isinstance(batches, DataLoader):
        samplers = [batches.sampler, getattr(batches.batch_sampler, "sampler", None)]
        if any(isinstance(s, _SHUFFLING) for s in samplers):
            raise ValueError(
                "The DataLoader shuffles: the samples must keep their order, for the first k of "
                "them are meant again and again. Make it with shuffle=False; to shuffle once, "
                "take torch.utils.data.Subset(dataset, order) with one drawn order."
            )


_SHUFFLING = (RandomSampler, SubsetRandomSampler, WeightedRandomSampler)


@contextmanager
def _own_random_numbers(seed: int) -> Iterator[None]:
    before = torch.default_generator.get_state()
    try:
        torch.default_generator.manual_seed(seed)
        yield
    finally:
        torch.default_generator.set_state(before)
