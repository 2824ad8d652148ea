"""Settings of the whole process, changed for a while and put back: attention kernels, BLAS threads.

Where threads overlap, each restoring what it found would leave the last one's setting behind: the
first in notes what it finds, the last out puts it back. Ctrl-C may strike at any moment, between
noting and changing too; so every step can be repeated, and is.
"""

import functools
import itertools
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from threadpoolctl import ThreadpoolController

R = TypeVar("R")


class SharedSetting:
    """A setting of the process that holds as long as anyone needs it.

    Args:
        read: returns the present setting.
        change: sets what is needed; may be repeated.
        restore: sets what `read` returned; may be repeated.
    """

    def __init__(
        self,
        read: Callable[[], Any],
        change: Callable[[], None],
        restore: Callable[[Any], None],
    ) -> None:
        self._read, self._change, self._restore = read, change, restore
        self._lock = threading.Lock()
        self._users: set[object] = set()
        self._found: Any = None

    def during(self, call: Callable[[], R]) -> R:
        """call() with the setting changed; put back on every exit by the last that needs it."""
        user = object()
        try:
            self._enter(user)
            return call()
        finally:
            # Not a context manager: an interrupt at the first step of its __exit__ would be the
            # last that is heard of it.
            try:
                self._leave(user)
            except BaseException:
                self._leave(user)
                raise

    def _enter(self, user: object) -> None:
        with self._lock:
            self._users.add(user)
            if self._found is None:
                self._found = self._read()
            self._change()

    def _leave(self, user: object) -> None:
        with self._lock:
            if self._found is not None and self._users <= {user}:
                self._restore(self._found)
                self._found = None
            self._users.discard(user)


_KERNELS = [
    (getattr(torch.backends.cuda, f"{name}_sdp_enabled"), getattr(torch.backends.cuda, enable))
    for name in ("flash", "mem_efficient", "cudnn", "math")
    if hasattr(torch.backends.cuda, enable := f"enable_{name}_sdp")
]


# PyTorch has one set of forward-mode levels for all threads: the first thread that is done with a
# level wipes out every other's tangents, which read as zero from then on. So threads take turns.
forward_mode_turns = threading.RLock()


def _attention() -> tuple[bool, list[bool]]:
    return torch.backends.mha.get_fastpath_enabled(), [enabled() for enabled, _ in _KERNELS]


def _set_attention(found: tuple[bool, list[bool]]) -> None:
    fast, kernels = found
    torch.backends.mha.set_fastpath_enabled(fast)
    for (_, enable), value in zip(_KERNELS, kernels, strict=True):
        enable(value)


_PLAIN = (False, [*[False] * (len(_KERNELS) - 1), True])

# Attention by plain matrix algebra: the fused kernels have no second derivative anywhere.
plain_attention = SharedSetting(_attention, lambda: _set_attention(_PLAIN), _set_attention)


@functools.cache
def _libraries() -> list[Any]:
    """The BLAS of NumPy and of SciPy, and what else was loaded by the first use."""
    try:
        found = ThreadpoolController()
    except PermissionError:  # a process closed off for marking must not look at itself
        return []
    return found.select(user_api="blas").lib_controllers


def _blas_threads() -> list[int]:
    return [library.get_num_threads() for library in _libraries()]


def _set_blas_threads(threads: list[int]) -> None:
    for library, number, now in zip(_libraries(), threads, _blas_threads(), strict=True):
        if number != now:  # to set what is so already could be to claim it, see below
            library.set_num_threads(number)


_order = itertools.count()
_done = -1
_setter: threading.Thread | None = None
_one_at_a_time = threading.Lock()


def _set_from_elsewhere(threads: list[int]) -> None:
    """Set the threads of a pool that the process shares, from a thread that ends at once.

    threadpoolctl lets only the first thread that sets OpenBLAS's pool set it again, as long as it
    lives. Whatever an interrupt leaves behind to be done late does nothing any more.
    """
    number = next(_order)

    def work() -> None:
        global _done, _setter
        with _one_at_a_time:
            if number > _done:
                # Where its caller was interrupted, the last one may still be at its end.
                if _setter is not None:
                    _setter.join()
                _setter = threading.current_thread()
                _set_blas_threads(threads)
                _done = number

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


_shared_pools = SharedSetting(
    _blas_threads, lambda: _set_from_elsewhere([1] * len(_libraries())), _set_from_elsewhere
)


def with_one_blas_thread(call: Callable[[], R]) -> R:
    """call() with one thread for the BLAS of NumPy and SciPy, which is put back on every exit."""
    # What is still not 1 has a pool for each thread, and is this thread's own to set.
    own_pools = SharedSetting(
        _blas_threads, lambda: _set_blas_threads([1] * len(_libraries())), _set_blas_threads
    )
    return _shared_pools.during(lambda: own_pools.during(call))
