"""The same loss in float32, for work of which only the result must be precise.

A product in float32 costs half of one in float64 and less, and a Krylov space needs no more
precision than its tolerance. What is found there is judged by products in float64
(`numerics.eigensolver`): nothing here is believed.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from landscape_nb.numerics import batches

# Bytes that a forward pass leaves behind, at least: below, PyTorch's own overhead outweighs what
# float32 saves. Measured on MLPs: 1.0 MB gained nothing, 1.7 MB a third of the time.
WORTHWHILE = 1.5e6


def in_float32(loss: Any, samples: range | Tensor) -> Any | None:
    """The losses of these samples, with the module, the data and w0 in float32.

    Args:
        loss: an `EmpiricalLoss` in float64.
        samples: which of its samples; the new loss has no others.

    Returns:
        None where it can't be made, or where it would save nothing.
    """
    if loss.w0.dtype != torch.float64 or len(samples) * loss.sample_bytes < WORTHWHILE:
        return None
    if not hasattr(loss, "with_module") or loss.takes_turns:
        return None
    parts = {
        name: batches.changed(batches.rows(getattr(loss, name), samples), _single)
        for name in ("inputs", "targets")
    }
    if isinstance(loss.loss_fn, nn.Module):
        parts["loss_fn"] = copy.deepcopy(loss.loss_fn).float()
    module = copy.deepcopy(loss.uncalled).float()
    return loss.with_module(module, w0=loss.w0.float(), num_samples=len(samples), **parts)


def _single(leaf: Any) -> Any:
    double = isinstance(leaf, Tensor) and leaf.dtype == torch.float64
    return leaf.float() if double else leaf
