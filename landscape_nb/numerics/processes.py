"""Several processes at one piece of work: what they tell each other, and when one is lost.

All of them run the same program on the same numbers and ask each other at the same places. So
whatever one of them refuses, all refuse; and where one ends, the others end within a minute, with
an error that says so: at once if its connection closes, after SILENCE if its machine is cut off.
However long a piece of work takes, whoever is at work still shows that it lives.
"""

import atexit
import itertools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from itertools import pairwise
from typing import Any
from zlib import crc32

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from landscape_nb.numerics import checks

SILENCE = 20.0  # seconds without a sign of life after which a process is lost: chosen here
_ALWAYS = timedelta(days=7)  # no limit for anyone at work: who lives is seen by signs of life
_BEAT = 1.0  # seconds between signs of life: chosen here
_ELSEWHERE = (
    "The processes are at different places of the program: what they compute must not depend on "
    "the process, on a clock or on random numbers without a seed."
)
_LAUNCHED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def several() -> bool:
    """Whether torchrun, or whatever sets its variables, has started this process with others."""
    return all(name in os.environ for name in _LAUNCHED) and os.environ["WORLD_SIZE"] != "1"


def first_of_launch() -> bool:
    """Whether this process is the one that prints and writes: alone, or number 0."""
    return not several() or os.environ["RANK"] == "0"


@dataclass(frozen=True)
class Processes:
    """The processes of a group, which all make the same calls in the same order.

    Args:
        group: the process group; the default one if not given.

    Raises:
        RuntimeError: torch.distributed is not initialised.
    """

    group: Any = None

    def __post_init__(self) -> None:
        if not (dist.is_available() and dist.is_initialized()):
            raise RuntimeError(
                "torch.distributed is not initialised: call torch.distributed.init_process_group("
                "'gloo') in every process first, for example under torchrun."
            )

    @property
    def number(self) -> int:
        """This process's, from 0."""
        return dist.get_rank(self.group)

    @property
    def count(self) -> int:
        """How many there are."""
        return dist.get_world_size(self.group)

    def parts(self, total: int, borders: Sequence[int] = ()) -> list[slice]:
        """Each process's part of `total` things in a row; sizes differ by one at most.

        With `borders`, in increasing order, parts end at those nearest to such ends.
        """
        ends = [total * number // self.count for number in range(self.count + 1)]
        if borders:
            ends = [min((abs(border - end), border) for border in borders)[1] for end in ends]
        return [slice(start, end) for start, end in pairwise(ends)]

    def part(self, total: int) -> slice:
        """This process's part of `total` things."""
        return self.parts(total)[self.number]

    # -- collectives -----------------------------------------------------------------------------

    def sum(self, x: Tensor) -> Tensor:
        """The sum of every process's x, the same bits in all; x itself is left as it is."""
        return self._reduced(x, dist.ReduceOp.SUM)

    def largest(self, x: Tensor) -> Tensor:
        """The elementwise largest of every process's x."""
        return self._reduced(x, dist.ReduceOp.MAX)

    def joined(self, rows: Tensor, parts: list[slice]) -> Tensor:
        """Every process's rows one below the other: so many from each as its part is long."""
        padded = rows.new_zeros(_longest(parts), *rows.shape[1:])  # gloo asks for equal shapes
        padded[: len(rows)] = rows
        found = [torch.empty_like(padded) for _ in parts]
        self._call(lambda **where: dist.all_gather(found, padded, **where))
        sizes = (part.stop - part.start for part in parts)
        return torch.cat([rows[:size] for rows, size in zip(found, sizes, strict=True)])

    def part_of_sum(self, x: Tensor) -> Tensor:
        """This process's part of the rows of the sum of every process's x."""
        sizes = [part.stop - part.start for part in self.parts(len(x))]
        mine = [sizes[self.number]] * self.count
        # every part goes to its process, which adds: gloo's own reduce_scatter can't be watched
        found = x.new_empty(sum(mine), *x.shape[1:])
        self._call(
            lambda **where: dist.all_to_all_single(found, x.contiguous(), mine, sizes, **where)
        )
        return found.view(self.count, mine[0], *x.shape[1:]).sum(0)

    @contextmanager
    def together(
        self,
        name: str,
        x: Any = None,
        same: Mapping[str, Tensor | float] | None = None,
        place: str = "",
    ) -> Iterator[None]:
        """Refuse in every process what one of them refuses: the others would wait for it.

        Whatever is done inside talks to nobody. Then one small exchange makes sure that all
        processes are at this place, with an x of one size and the same bits in what is `same` (two
        things at most). `place` tells calls from others that speak of the same name.

        Raises:
            ValueError: another process refused, or x or something in `same` differs.
        """
        error = None
        try:
            yield
        except Exception as refusal:
            error = refusal
        size = x.numel() if isinstance(x, Tensor) else -1
        equal = {_ELSEWHERE: crc32(f"{name} {place}".encode())}
        equal[f"{name} must have the same shape in every process."] = size
        for each, value in (same or {}).items():
            words = f"{each} must be the same in every process; broadcast it first."
            equal[words] = 0 if error else _digest(value)
        told = [*equal.values(), 0, 0][:4]  # of one length wherever the processes are
        device = x.device if isinstance(x, Tensor) else torch.device("cpu")
        ends = [0 if error is None else 1, *told, *(-number for number in told)]
        refused, *most = self.largest(torch.tensor(ends, device=device)).tolist()
        if refused:
            reasons = [""] * self.count
            own = "" if error is None else f"{type(error).__name__}: {error}"
            self._guarded(lambda: dist.all_gather_object(reasons, own, self.group))
            if error is not None:
                raise error
            where = next(number for number, reason in enumerate(reasons) if reason)
            raise ValueError(f"Process {where} refused its part: {reasons[where]}")
        for j, words in enumerate(equal):
            if most[j] != -most[j + len(told)]:
                raise ValueError(words)

    def _reduced(self, x: Tensor, operation: dist.ReduceOp.RedOpType) -> Tensor:
        x = x.clone(memory_format=torch.contiguous_format)  # processes add in storage order
        self._call(lambda **where: dist.all_reduce(x, operation, **where))
        return x

    def _call(self, collective: Callable[..., Any]) -> None:
        """Begin a collective and wait for it, as long as the others are alive."""

        def wait() -> None:
            work, pause, watch = collective(group=self.group, async_op=True), 2e-5, _Watch()
            while not work.is_completed():
                time.sleep(pause)
                pause = min(2 * pause, 2e-3)
                watch.refuse_silence()
            work.wait()

        self._guarded(wait)

    def _guarded(self, call: Callable[[], Any]) -> None:
        try:
            call()
        except RuntimeError as error:
            atexit.register(_end_at_once)
            raise ConnectionError(
                f"A worker was lost: another of the {self.count} processes has ended or can't be "
                f"reached ({checks.first_line(error)}). Its own last words, or the system's log, "
                "tell why; then start all of them again."
            ) from None


@contextmanager
def joined_processes() -> Iterator[Processes | None]:
    """The processes that torchrun, or whatever sets its variables, has started; None if alone.

    Joins their group and leaves it at the end; a group that is there already is used and left be.
    Collectives go by gloo for tensors on CPUs and by nccl for those on CUDA.
    """
    if not dist.is_available() or not (dist.is_initialized() or several()):
        yield None
        return
    if dist.is_initialized():
        yield Processes()
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    store, number, count = _met()
    store = dist.PrefixStore(f"landscape_nb/{next(_joinings)}", store)
    dist.init_process_group(backend, store=store, rank=number, world_size=count, timeout=_ALWAYS)
    try:
        with _signs_of_life():
            yield Processes()
            with Processes().together("leaving"):  # who leaves early would look like one lost
                pass
    except Exception as error:
        if not isinstance(error, ConnectionError):  # else leaving may wait for the one lost
            dist.destroy_process_group()
        raise
    dist.destroy_process_group()


@cache
def _met() -> tuple[Any, int, int]:
    """Where all processes meet, this one's number, and how many there are.

    Kept: a program may join several times, and must not find what was said the last time.
    """
    return next(iter(rendezvous("env://", timeout=_ALWAYS)))


_joinings = itertools.count()

# -- signs of life --------------------------------------------------------------------------------

_store: Any = None  # where they are written, while a group that we joined exists


@contextmanager
def _signs_of_life() -> Iterator[None]:
    """Write a number that grows to the store that all processes see, as long as this one lives."""
    global _store
    store = dist.distributed_c10d._get_default_store()
    mine, ended = _key(dist.get_rank()), threading.Event()
    store.set(mine, "0")
    store.wait([_key(number) for number in range(dist.get_world_size())])

    def beat() -> None:
        count = 0
        while not ended.wait(_BEAT):
            count += 1
            try:
                store.set(mine, str(count))
            except RuntimeError:  # the store is gone: whoever waits will see that too
                return

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    _store = store
    try:
        yield
    finally:
        _store = None
        ended.set()
        thread.join()


def _key(number: int) -> str:
    return f"landscape_nb/alive/{number}"


class _Watch:
    """Looks at the others' signs of life while this process waits for them."""

    def __init__(self) -> None:
        self._looked = time.monotonic()
        self._seen: dict[int, tuple[bytes, float]] = {}

    def refuse_silence(self) -> None:
        now = time.monotonic()
        if _store is None or now - self._looked < _BEAT:
            return
        self._looked = now
        for number in range(dist.get_world_size()):
            beat = _store.get(_key(number))
            if self._seen.get(number, (None,))[0] != beat:
                self._seen[number] = beat, now
            elif now - self._seen[number][1] > SILENCE:
                raise RuntimeError(f"no sign of life from process {number} for {SILENCE:.0f} s")


def _end_at_once() -> None:
    """End without the ends of others: that of a group waits for what the lost one still owes."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(2)


def _longest(parts: list[slice]) -> int:
    return max(part.stop - part.start for part in parts)


def _digest(x: Tensor | float) -> int:
    """A sum of the bits, each by its place: another number if any one component differs."""
    x = torch.as_tensor(x, dtype=None if isinstance(x, Tensor) else torch.float64).detach()
    x = x if x.is_floating_point() else x.long()
    kind = {2: torch.int16, 4: torch.int32, 8: torch.int64}[x.element_size()]
    found, place = 0, 0
    for piece in x.contiguous().view(-1).split(2**22):  # integers of all would take 6 N numbers
        bits = (piece + 0).view(kind).long()  # -0.0 + 0 is 0.0
        odd = 2 * torch.arange(place, place + len(bits), device=x.device) + 1
        found, place = found + int((bits * odd).sum()), place + len(bits)
    return found & (2**62 - 1)
