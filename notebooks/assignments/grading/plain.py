"""What crosses the border between answers and tests: plain data, and nothing that can act.

A message is a header of JSON and the bytes of its arrays:

    length of the header (4 bytes), length of the bytes (8), header, bytes

Both sides pack; only what the tests' side sends may hold pickled objects, because only the student
loses if these do something.
"""

import itertools
import json
import math
import re
import struct
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

HEADER, BLOBS = 4 << 20, 64 << 20  # bytes at most; chosen here: ten times the largest honest answer
ITEMS, DEPTH = 200_000, 40  # of nested lists, at most; chosen here
OUTPUT = 100_000  # characters of one cell or call that are kept, chosen here
PICTURE, PICTURES = 2_000_000, 20  # bytes of one picture, pictures of one cell; chosen here
_FRAME = struct.Struct(">IQ")
_DTYPE = re.compile(r"[<>|=]?[biufc]\d{1,2}")
_KIND = re.compile(r"bool|bfloat16|(u?int|float|complex)\d+")  # torch's that can be calculated with
Message = dict[str, Any]


class NotPlain(TypeError):
    """A value that cannot cross the border; the message says what it was."""


class TooMuch(ValueError):
    """More data than may cross the border at once."""


class Packer:
    """Turns values into what JSON can say, and collects the bytes of arrays beside it.

    Args:
        other: says how to pack what is not plain, or raises NotPlain.
    """

    def __init__(self, other: Callable[[Any, "Packer"], Any] | None = None) -> None:
        self.blobs: list[bytes] = []
        self._other, self._items, self._size = other, 0, 0

    def add(self, blob: bytes) -> int:
        """Keep bytes; their number."""
        self._size += len(blob)
        if self._size > BLOBS:
            raise TooMuch(f"more than {BLOBS >> 20} MB at once")
        self.blobs.append(blob)
        return len(self.blobs) - 1

    def pack(self, value: Any, depth: int = 0) -> Any:
        """A value in the words of JSON.

        Raises:
            NotPlain: an object that is no data.
            TooMuch: too many items, too deep, or too many bytes.
        """
        self._items += 1
        if depth > DEPTH or self._items > ITEMS:
            raise TooMuch(f"lists deeper than {DEPTH}, or more than {ITEMS} items")
        if value is None or value is True or value is False:
            return value
        kind = type(value)
        if issubclass(kind, int):
            return self._whole(int.__int__(value))
        if issubclass(kind, float) and not hasattr(kind, "dtype"):  # numpy's are told apart below
            return float.__float__(value)
        if issubclass(kind, str):
            return str.__str__(value)
        if issubclass(kind, list | tuple):
            items = [self.pack(v, depth + 1) for v in value]
            return items if issubclass(kind, list) else {"tuple": items}
        if isinstance(value, Mapping):
            pairs = [[self.pack(k, depth + 1), self.pack(v, depth + 1)] for k, v in value.items()]
            return {"dict": pairs}
        if issubclass(kind, complex) and not hasattr(kind, "dtype"):
            return {"complex": [value.real, value.imag]}
        if issubclass(kind, bytes | bytearray):
            return {"bytes": self.add(bytes(value))}
        return self._number_or_array(value, depth)

    def _whole(self, value: int) -> Any:
        if value.bit_length() > 10_000:
            raise TooMuch("a whole number of more than 3000 digits")
        return value

    def _number_or_array(self, value: Any, depth: int) -> Any:
        torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
        if torch is not None and isinstance(value, torch.Tensor):
            return self._tensor(value.detach().cpu().to_dense().resolve_conj().resolve_neg(), torch)
        if numpy is not None and isinstance(value, numpy.ndarray | numpy.generic):
            array = numpy.asarray(value)
            if array.dtype.kind not in "biufc":
                return self.pack(array.tolist(), depth + 1)
            name = "array" if isinstance(value, numpy.ndarray) else "scalar"
            shape = list(array.shape)
            return {name: [array.dtype.str, shape, self.add(array.tobytes())]}
        if self._other is not None:
            return self._other(value, self)
        if hasattr(value, "__array__") and numpy is not None:
            return self._number_or_array(numpy.asarray(value), depth + 1)
        if hasattr(value, "__float__"):
            return float.__float__(float(value))
        if isinstance(value, Iterable):
            return [self.pack(v, depth + 1) for v in _bounded(value)]
        raise NotPlain(f"numbers, text or lists of them are asked for, not {type(value).__name__}")

    def _tensor(self, tensor: Any, torch: Any) -> Any:
        name, shape = str(tensor.dtype).removeprefix("torch."), list(tensor.shape)
        raw = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        return {"tensor": [name, shape, self.add(raw)]}


def _bounded(values: Iterable[Any]) -> Iterator[Any]:
    for number, value in enumerate(values):
        if number > ITEMS:
            raise TooMuch(f"more than {ITEMS} items")
        yield value


def unpacked(value: Any, blobs: list[bytes], other: Callable[[str, Any, list], Any] | None = None):
    """The value that was packed; everything is checked, for the other side may lie.

    Args:
        value: what JSON said.
        blobs: the bytes beside it.
        other: unpacks (name, what it holds, blobs) of what is not plain; else that is refused.

    Raises:
        NotPlain: not what `Packer` writes.
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return whole_text(value)
    if isinstance(value, list):
        return [unpacked(v, blobs, other) for v in value]
    if not isinstance(value, dict) or len(value) != 1:
        raise NotPlain("what came back is damaged")
    [(name, held)] = value.items()
    try:
        if name == "tuple":
            return tuple(unpacked(v, blobs, other) for v in held)
        if name == "dict":
            return {unpacked(k, blobs, other): unpacked(v, blobs, other) for k, v in held}
        if name == "complex":
            return complex(*map(float, held))
        if name == "bytes":
            return _blob(held, blobs)
        if name in ("array", "scalar"):
            return _array(name, *held, blobs)
        if name == "tensor":
            return _tensor(*held, blobs)
    except (
        TypeError,
        ValueError,
        AttributeError,
        IndexError,
        KeyError,
        RuntimeError,
        OverflowError,
    ) as error:
        raise NotPlain(f"what came back is damaged: {type(error).__name__}") from None
    if other is None:
        raise NotPlain(f"what came back is no data: {name[:40]!r}")
    return other(name, held, blobs)


def whole_text(text: str) -> str:
    """The same with "?" for halves of characters, which no file and no page could hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _blob(number: Any, blobs: list[bytes]) -> bytes:
    if type(number) is not int or not 0 <= number < len(blobs):
        raise NotPlain("what came back is damaged")
    return blobs[number]


def _shape(shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, list) or len(shape) > 32:
        raise NotPlain("what came back is damaged")
    if not all(type(length) is int and 0 <= length <= BLOBS for length in shape):
        raise NotPlain("what came back is damaged")
    return tuple(shape)


def _array(name: str, dtype: str, shape: Any, number: Any, blobs: list[bytes]) -> Any:
    import numpy

    if not _DTYPE.fullmatch(dtype):
        raise NotPlain("what came back is damaged")
    array = numpy.frombuffer(_blob(number, blobs), numpy.dtype(dtype)).reshape(_shape(shape))
    return array.copy() if name == "array" else array[()]


def _tensor(dtype: str, shape: Any, number: Any, blobs: list[bytes]) -> Any:
    import torch

    kind = getattr(torch, dtype) if _KIND.fullmatch(dtype) else None
    if not isinstance(kind, torch.dtype):
        raise NotPlain("what came back is damaged")
    raw, lengths = _blob(number, blobs), _shape(shape)
    if len(raw) != math.prod(lengths) * kind.itemsize:
        raise NotPlain("what came back is damaged")
    if not raw:
        return torch.empty(lengths, dtype=kind)
    return torch.frombuffer(bytearray(raw), dtype=torch.uint8).view(kind).reshape(lengths).clone()


def is_picture(blob: bytes) -> bool:
    """Whether it begins as a PNG file and is of a size to be shown."""
    return blob.startswith(b"\x89PNG") and len(blob) < PICTURE


# -- messages --------------------------------------------------------------------------------------


def frame(message: Message, blobs: Iterable[bytes] = ()) -> bytes:
    """A message as bytes."""
    blobs = list(blobs)
    header = json.dumps({**message, "blobs": [len(blob) for blob in blobs]}).encode()
    if len(header) > HEADER:
        raise TooMuch(f"more than {HEADER >> 20} MB of lists or text at once")
    return _FRAME.pack(len(header), sum(map(len, blobs))) + header + b"".join(blobs)


def read(receive: Callable[[int], bytes]) -> tuple[Message, list[bytes]]:
    """The next message, and its arrays' bytes.

    Args:
        receive: gives exactly so many bytes, or raises.

    Raises:
        NotPlain: no message.
        TooMuch: a longer one than may be sent.
    """
    lengths = _FRAME.unpack(receive(_FRAME.size))
    if lengths[0] > HEADER or lengths[1] > BLOBS:
        raise TooMuch("more data than may be sent at once")
    header, rest = receive(lengths[0]), receive(lengths[1])
    try:
        message = json.loads(header)
        sizes = message.pop("blobs")
        if sum(sizes) != len(rest) or not all(type(size) is int and size >= 0 for size in sizes):
            raise ValueError("lengths that do not fit")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise NotPlain("what came back is no message") from None
    ends = list(itertools.accumulate(sizes))
    return message, [rest[end - size : end] for end, size in zip(ends, sizes, strict=True)]
