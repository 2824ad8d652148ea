"""Arrays, tensors and bytes as JSON: by value where they are small, else by a digest of it.

Two that differ in dtype, shape or a single number never look alike.
"""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from landscape_nb.numerics import checks

Row = dict[str, Any]
Inner = Callable[[Any, str], Any]

# Longer arrays, ranges and bytes stand by a digest. Chosen here.
MOST = 1000


def refusal(value: Any, where: str, why: str) -> ValueError:
    """What is raised for a value that can't be recorded."""
    return ValueError(
        f"{where} can't be recorded by its value: {checks.shown(value)} of type "
        f"{type(value).__name__}, {why}. What decides the results must stand in the file: give it "
        "as numbers, texts, lists or paths, or as a function of a module with such arguments."
    )


def byte_string(value: Any, where: str, inner: Inner) -> Row:
    """Bytes of any kind."""
    content = bytes(value)
    if len(content) <= MOST:
        return {"#": "bytes", "value": content.hex()}
    return {"#": "bytes", "length": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def number(value: np.generic, where: str, inner: Inner) -> Any:
    """A number of numpy, as the bare number where that is all there is to it."""
    item = value.item()
    if value.dtype.kind in "biufcUS" and not isinstance(item, np.generic):
        return inner(item, where)
    return array(np.asarray(value), where, inner)


def array(value: np.ndarray, where: str, inner: Inner) -> Any:
    """An array; a plain one as the list of its items."""
    if type(value) is np.ndarray and value.dtype.kind == "O":  # as pandas keeps texts
        items = [inner(item, f"an item of {where}") for item in value.flat]
        whole = {"#": "array", "dtype": "object", "shape": list(value.shape)}
        if value.size <= MOST:
            return {**whole, "value": items}
        content = json.dumps(items, sort_keys=True).encode()
        return {**whole, "sha256": hashlib.sha256(content).hexdigest()}
    if type(value) is np.ndarray and value.dtype.names:  # between its fields lies anything
        fields = [[name, inner(value[name], f"{name} of {where}")] for name in value.dtype.names]
        return {"#": "array", "shape": list(value.shape), "fields": fields}
    if type(value) is not np.ndarray or value.dtype.kind not in "biufcUSmM":
        raise refusal(value, where, "an array of another kind than numbers, times or text")
    if value.dtype.kind in "fc" and value.dtype.itemsize > 16 or value.dtype == np.longdouble:
        if np.dtype(np.longdouble).itemsize > 8:  # its bytes hold padding
            raise refusal(value, where, "numbers of more than float64")
    value = value.astype(value.dtype.newbyteorder("<"))
    small, kind = value.size <= MOST, f"{value.dtype.kind}{value.dtype.itemsize}"
    if small and (kind in ("f8", "i8", "b1") or kind[0] == "U") and (value.size or value.ndim == 1):
        return value.tolist()
    name = str(value.dtype).removeprefix("<")
    whole = {"#": "array", "dtype": name, "shape": list(value.shape)}
    if small and value.dtype.kind in "biuf":
        return {**whole, "value": value.tolist()}
    return {**whole, "sha256": hashlib.sha256(value.tobytes()).hexdigest()}


def tensor(value: torch.Tensor, where: str, inner: Inner) -> Any:
    """A dense tensor, wherever it lies, as the array of its values."""
    if value.layout is not torch.strided or value.is_quantized or value.is_meta:
        raise refusal(value, where, "a tensor that is not dense, or without values")
    if type(value) not in (torch.Tensor, torch.nn.Parameter) and vars(value):
        raise refusal(value, where, "a tensor of another kind, with attributes")
    plain = value.detach().cpu().resolve_conj().resolve_neg().contiguous()
    try:
        return array(plain.numpy(), where, inner)
    except TypeError:  # bfloat16 and smaller, which numpy does not know
        content = plain.flatten().view(torch.uint8).numpy().tobytes()
        digest = hashlib.sha256(content).hexdigest()
        whole = {"#": "array", "dtype": str(value.dtype).removeprefix("torch.")}
        return {**whole, "shape": list(value.shape), "sha256": digest}
