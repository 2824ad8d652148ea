"""Argument checks whose messages say what was required, what arrived and what to try.

They live in one place so that every function refuses the same mistake in the same words.
"""

import functools
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from landscape_nb.numerics.devices import inner_products

F = TypeVar("F", bound=Callable[..., Any])
R = TypeVar("R", float, Tensor)

PER_SAMPLE = (
    "Pass reduction='none' and average over any remaining dimensions: losses.flatten(1).mean(1) "
    "where every entry counts. Where some are padding (ignore_index), divide by those that count, "
    "losses.flatten(1).sum(1) / (targets != ignore_index).flatten(1).sum(1): a mean would count "
    "padding as losses of zero. L_k is the plain mean of what loss_fn returns, one number a "
    "sample: class weights multiply it, and the sum is divided by k, not by the sum of the weights "
    "(which reduction='mean' does)."
)


class BatchError(Exception):
    """A batch of streamed samples could not be read, or is not what it was in the first pass."""


def shown(value: Any, most: int = 200) -> str:
    """What arrived, as a message quotes it: `repr`, cut where a screen would be flooded."""
    # a part of a long container is enough, and the whole might take minutes to write
    if isinstance(value, str | bytes | bytearray | list | tuple) and len(value) > most:
        return f"{shown(value[: most // 8], most)[:most]} ... ({len(value)} in all)"
    try:
        text = repr(value)
    except Exception as error:  # a whole number of 5000 digits, for one
        return f"a {type(value).__name__} that can't be printed ({type(error).__name__})"
    return text if len(text) <= most else f"{text[:most]} ... ({len(text)} characters)"


def first_line(error: BaseException, most: int = 300) -> str:
    """The first line of an error's message, cut where a screen would be flooded."""
    try:
        line = (str(error).splitlines() or [type(error).__name__])[0]
    except Exception:  # an error whose own text fails
        line = f"{type(error).__name__} without a readable message"
    return line if len(line) <= most else f"{line[:most]} ..."


def renamed(**names: str) -> Callable[[F], F]:
    """Let keywords of earlier versions, {old: new}, go on meaning what they meant."""

    def accept(f: F) -> F:
        @functools.wraps(f)
        def call(*args: Any, **named: Any) -> Any:
            return f(*args, **{names.get(name, name): value for name, value in named.items()})

        return call  # type: ignore[return-value]

    return accept


def whole_number(name: str, value: Any, low: int, high: int | None, meaning: str) -> int:
    """Return `value` as an int in low..high (None: no limit), or say what the range means."""
    try:
        if isinstance(value, bool) or getattr(value, "dtype", None) is torch.bool:
            raise TypeError
        number = operator.index(value)
    except TypeError:
        hint = " Write it without a decimal point." if isinstance(value, float) else ""
        raise ValueError(
            f"{name} must be a whole number ({meaning}); got {shown(value)} of type "
            f"{type(value).__name__}.{hint}"
        ) from None
    if number < low or (high is not None and number > high):
        allowed = f"at least {low}" if high is None else f"between {low} and {high}"
        raise ValueError(f"{name} must be {allowed} ({meaning}); got {name} = {shown(number)}.")
    if number >= 2**63:
        raise ValueError(
            f"{name} must be below 2^63, which is all that 64 bits hold ({meaning}); got "
            f"{name} = {shown(number)}."
        )
    return number


def prefix_lengths(ks: Any, high: int | None, *, high_means: str, name: str = "k") -> list[int]:
    """Return `ks` as a strictly increasing list of whole numbers in 1..high (None: no limit)."""
    if isinstance(ks, Tensor):
        ks = ks.tolist()
    if isinstance(ks, str | bytes | bytearray | memoryview | Mapping):  # these have items, too
        raise ValueError(
            f"{name}s must hold whole numbers ({high_means}); got {shown(ks)} of type "
            f"{type(ks).__name__}. Give a list or a range of them."
        )
    if not isinstance(ks, Sequence) and not hasattr(ks, "__iter__"):
        ks = [ks]
    numbers = [whole_number(name, k, 1, high, high_means) for k in ks]
    if not numbers:
        meaning = "number of samples k" if name == "k" else name
        raise ValueError(f"{name}s is empty; give at least one {meaning}.")
    if any(later <= earlier for earlier, later in zip(numbers, numbers[1:], strict=False)):
        some = f"{numbers[:8]}{' ...' if numbers[8:] else ''}"
        raise ValueError(
            f"{name}s must be strictly increasing; got {some}. Sort it and drop repeats, for "
            f"example with sorted(set({name}s))."
        )
    return numbers


def _real(value: Any) -> float:
    # float() would take all of these
    if isinstance(value, bool | np.bool_ | str | bytes | bytearray | memoryview | complex):
        raise TypeError
    dtype = getattr(value, "dtype", None)
    if isinstance(dtype, torch.dtype) and (dtype is torch.bool or dtype.is_complex):
        raise TypeError
    if isinstance(dtype, np.dtype) and dtype.kind not in "iuf":
        raise TypeError
    try:
        return float(value)
    except OverflowError:  # a whole number beyond 1e308
        return math.inf


def positive(name: str, value: Any, meaning: str) -> float:
    """Return `value` as a positive finite float."""
    try:
        number = _real(value)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(
            f"{name} must be one positive number ({meaning}); got {shown(value)}."
        ) from None
    if not math.isfinite(number) or number <= 0:
        raise ValueError(f"{name} must be positive and finite ({meaning}); got {name} = {number}.")
    return number


def proper_share(name: str, value: Any, meaning: str, example: float = 0.9) -> float:
    """Return `value` as a float between 0 and 1, neither of them."""
    number = positive(name, value, meaning)
    if number >= 1:
        raise ValueError(
            f"{name} must be between 0 and 1, for example {example:g}; got {shown(value)}."
        )
    return number


def non_negative(name: str, value: Any, meaning: str) -> float:
    """Return `value` as a finite float >= 0."""
    try:
        number = _real(value)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(
            f"{name} must be one number, zero or larger ({meaning}); got {shown(value)}."
        ) from None
    if not math.isfinite(number) or number < 0:
        raise ValueError(
            f"{name} must be finite and not negative ({meaning}); got {name} = {number}."
        )
    return number


def real_dtype(name: str, dtype: Any) -> torch.dtype:
    """Refuse a dtype that would cut real numbers to whole ones, or is none."""
    if not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise ValueError(
            f"{name} must be a floating point type such as torch.float64; got {shown(dtype)}."
        )
    return dtype


def finite_result(what: str, result: R | Callable[[], R], try_this: str) -> R:
    """Return a number or tensor that was made from finite ones, if it has not overflowed.

    Python's own numbers raise where they overflow: for these give a function.
    """
    try:
        number = result() if callable(result) else result
    except OverflowError:
        number = math.inf  # type: ignore[assignment]
    tensor = torch.as_tensor(number)
    if not torch.isfinite(tensor).all():
        kind = tensor.dtype if isinstance(number, Tensor) else torch.float64
        raise ValueError(
            f"{what} overflows: it is larger than {torch.finfo(kind).max:.1e}, the largest number "
            f"of {kind}. {try_this}"
        )
    return number


def parameter_vector(w: Any, like: Tensor, name: str = "w") -> Tensor:
    """Check that `w` is a finite flat parameter vector that matches the model's."""
    if not isinstance(w, Tensor):
        raise ValueError(
            f"{name} must be a torch tensor of shape ({like.numel()},); got {type(w).__name__}. "
            f"Start from loss.w0 or convert with torch.as_tensor."
        )
    if w.shape != like.shape:
        raise ValueError(
            f"{name} must be a flat vector of length N = {like.numel()} (the number of trainable "
            f"parameters); got shape {tuple(w.shape)}. Start from loss.w0."
        )
    plain_numbers(name, w)
    same_kind(name, w, like)
    if not torch.isfinite(w).all():
        raise ValueError(
            f"{name} must be finite; {int((~torch.isfinite(w)).sum())} of its {w.numel()} values "
            "are not finite. A diverged training run (lower the learning rate) or a far too large "
            "sigma is the usual cause."
        )
    return w.detach()


def plain_numbers(name: str, tensor: Tensor) -> None:
    """Refuse what torch.func hands about, sparse tensors, and settings that change derivatives."""
    if torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        raise ValueError(
            f"{name} must be a plain tensor; got one that torch.func traces (grad, vmap, jvp), "
            "through which nothing would flow here. Use loss.gradient, loss.hvp and "
            "loss.sample_gradients, or loss.losses_at, which is differentiable."
        )
    if tensor.layout != torch.strided or tensor.is_nested:
        raise ValueError(f"{name} must be a dense tensor; got layout {tensor.layout}.")
    if torch.is_inference_mode_enabled():
        raise ValueError("Nothing has derivatives inside torch.inference_mode(): leave it out.")
    if tensor.dtype == torch.float32 and torch.is_autocast_enabled(tensor.device.type):
        raise ValueError(
            "torch.autocast is on around this call, which would compute in low precision: losses "
            "and derivatives would be off by a thousandth or more. Call it outside autocast."
        )


def same_kind(name: str, tensor: Tensor, like: Any) -> None:
    """Refuse a dtype or device other than the model's."""
    if tensor.dtype != like.dtype:
        raise ValueError(
            f"{name} has dtype {tensor.dtype} but the model's parameters have {like.dtype}. "
            f"Convert one of them, for example {name}.to({like.dtype})."
        )
    if tensor.device != like.device:
        raise ValueError(
            f"{name} is on {tensor.device} but the model is on {like.device}. "
            f"Move one of them, for example {name}.to('{like.device}')."
        )


def directions(V: Any, like: Any, name: str = "V") -> Tensor:
    """Check one direction (N,) or several as columns (N, b) for a vector or operator."""
    N = like.shape[0]
    if not isinstance(V, Tensor) or V.ndim not in (1, 2) or V.shape[0] != N or not V.numel():
        shape = tuple(V.shape) if isinstance(V, Tensor) else type(V).__name__
        raise ValueError(
            f"{name} must be one direction of shape ({N},) or several as columns, ({N}, b); "
            f"got {shape}."
        )
    plain_numbers(name, V)
    same_kind(name, V, like)
    return V.detach()


def orthonormal_basis(U: Any, like: Any, name: str = "U") -> Tensor:
    """Check that the columns of `U` are orthonormal directions in parameter space."""
    N = like.shape[0]
    if not isinstance(U, Tensor) or U.ndim != 2 or U.shape[0] != N:
        shape = tuple(U.shape) if isinstance(U, Tensor) else type(U).__name__
        raise ValueError(
            f"{name} must hold D directions as columns, shape (N, D) with N = {N}; got {shape}."
        )
    same_kind(name, U, like)
    D = U.shape[1]
    if not 1 <= D <= N:
        raise ValueError(
            f"{name} must have between 1 and N = {N} columns; got D = {D}. No more than N "
            "directions can be orthonormal."
        )
    error = float((inner_products(U, U) - torch.eye(D, dtype=torch.float64)).abs().max())
    # Ten times the square root of the precision: loose enough for float32 QR, far below any
    # basis that was never orthonormalised. Chosen here.
    if not error <= 10 * torch.finfo(U.dtype).eps ** 0.5:
        raise ValueError(
            f"{name} must have orthonormal columns; U'U differs from the identity by {error:.1e}. "
            f"Orthonormalise it first: {name} = torch.linalg.qr({name}).Q."
        )
    return U.detach()


def next_sample(i: Any, k: int, n: int) -> int:
    """Check the index (from 0) of a sample that may come next after the first k."""
    return whole_number(
        "candidate", i, k, n - 1, f"index from 0 of a sample that is not among the first k = {k}"
    )


def candidates(chosen: Any, k: int, n: int) -> Any:
    """Check indices (from 0) of samples that may come next, a range or a tensor of them.

    None means k..n-1.
    """
    chosen = range(k, n) if chosen is None else chosen
    if isinstance(chosen, Tensor) and chosen.numel():
        chosen = sample_indices(chosen, n)
        ends = int(chosen.min()), int(chosen.max())
    elif isinstance(chosen, range) and chosen:
        ends = chosen[0], chosen[-1]
    else:
        raise ValueError(
            f"candidates must be a non-empty range of samples after the first k, within {k}.."
            f"{n - 1} (indices start at 0), or a tensor of such; got {shown(chosen)}."
        )
    for end in ends:
        next_sample(end, k, n)
    return chosen


def losses_of(losses_at: Callable[[Tensor, Any], Tensor], w: Tensor, batch: Any) -> Tensor:
    """The losses of a batch; where they can't be evaluated, a ValueError names the sample."""
    try:
        return losses_at(w, batch)
    except (torch.OutOfMemoryError, BatchError):
        raise
    except Exception as error:
        for j in range(len(batch)):
            try:
                losses_at(w, batch[j : j + 1])
            except Exception as alone:
                raise ValueError(
                    f"The loss of sample {int(batch[j])} can't be evaluated: "
                    f"{type(alone).__name__}: {first_line(alone)} Look at this sample's input and "
                    "target (class labels must be whole numbers in 0..K-1, tokens below the size "
                    "of the vocabulary)."
                ) from alone
        raise error


def sample_indices(chosen: Tensor, n: int) -> Tensor:
    """Check a tensor of sample indices (from 0), (m,)."""
    if chosen.ndim != 1 or chosen.dtype != torch.int64 or not chosen.numel():
        raise ValueError(
            "Samples must be a number k, a range, or a tensor of indices, (m,) int64 with m >= 1; "
            f"got {chosen.dtype} of shape {tuple(chosen.shape)}."
        )
    low, high = int(chosen.min()), int(chosen.max())
    if not 0 <= low <= high < n:
        raise ValueError(
            f"Sample indices must be within 0..{n - 1}; got some between {low} and {high}."
        )
    return chosen


def sample_range(chosen: range, n: int) -> range:
    """Check a range of sample indices (from 0)."""
    if len(chosen) == 0 or chosen.step < 1 or not 0 <= chosen[0] <= chosen[-1] < n:
        raise ValueError(
            f"A range of samples must be increasing, not empty and within 0..{n - 1}; got {chosen}."
        )
    return chosen


def explicit_generator(generator: Any) -> torch.Generator:
    """Refuse anything but an explicit torch.Generator."""
    if not isinstance(generator, torch.Generator):
        raise ValueError(
            f"generator must be a torch.Generator; got {type(generator).__name__}. Randomness is "
            "always explicit here: torch.Generator().manual_seed(0)."
        )
    return generator
