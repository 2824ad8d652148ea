"""A derivative is wrong: what the evidence says about why.

Each suspicion is tried: with w in the module itself, without padding_idx, one parameter at a time.
An error on the way to a cause changes nothing of what was found.
"""

import copy
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from landscape_nb.numerics.audit import missing
from landscape_nb.numerics.audit.differences import (
    Comparison,
    Probe,
    curvature,
    directions,
    slope,
)
from landscape_nb.numerics.operators import ASYMMETRIC


def refuse_slope(
    probe: Probe,
    w: Tensor,
    size: Tensor,
    worst: Comparison,
    along: list[Tensor],
    steps: Any,
) -> None:
    """Raise the sentence for a slope that is wrong."""

    def settled(other: Probe) -> bool:
        g = other.gradient(w)
        return all(slope(other, w, g, v, size, steps).settled for v in along)

    if _holds(lambda: settled(_placed(probe))):
        raise ValueError(missing.LATE_WORK.format(seen=_numbers("slope", worst, probe)))
    raise ValueError(
        "Autograd's gradient is not that of the loss's values: near the model's own parameters "
        f"{_numbers('slope', worst, probe)}{_most_in(probe, w, size, steps)}. "
        f"{_embedding(probe, settled) or _fake_quantize(probe) or _CAUSES}"
    )


def refuse_curvature(
    probe: Probe,
    w: Tensor,
    size: Tensor,
    bent: Comparison,
    leaf: Tensor,
    gradient: Tensor,
    u: Tensor,
    v: Tensor,
    steps: Any,
) -> None:
    """Raise the sentence for second derivatives that are wrong."""
    numbers = _numbers("curvature", bent, probe)

    def settled(other: Probe) -> bool:
        there, _, again = other.graph(w)
        Hu = other.product(there, again, u)
        return curvature(other, w, again.detach(), Hu, u, size, steps).settled

    if _holds(lambda: settled(_placed(probe))):
        raise ValueError(missing.LATE_WORK.format(seen=numbers))
    if said := _embedding(probe, settled):
        raise ValueError(
            f"Autograd's derivatives are not those of the loss's values: {numbers}. {said}"
        )
    Hu, Hv = probe.product(leaf, gradient, u), probe.product(leaf, gradient, v)
    uHv, vHu = float(u @ Hv), float(v @ Hu)
    scale = float((size * Hu).norm() + (size * Hv).norm())
    if abs(uHv - vHu) > 1e-6 * scale:
        numbers = f"u'Hv = {uHv:.3g}, v'Hu = {vHu:.3g}; {numbers}"
        if any("WeightNorm" in type(m).__name__ for m in probe.loss.model.modules()):
            raise ValueError(f"{ASYMMETRIC} ({numbers})")
        raise ValueError(
            "Autograd's second derivatives are not those of the loss, though its gradient is "
            f"right: the Hessian is not symmetric near the model's own parameters ({numbers}). A "
            "hook or an autograd.Function that computes gradients outside autograd's graph is the "
            "usual cause. The numbers don't tell which operation it is."
        )
    raise ValueError(
        "Autograd's second derivatives are not those of the loss, though its gradient is right: "
        f"near the model's own parameters {numbers}. An autograd.Function that saves its "
        "derivative in forward, or calls detach() in backward, is the usual cause, a hook that "
        "changes gradients another: compute it in backward, in differentiable operations. The "
        "numbers don't tell which operation it is."
    )


def _placed(probe: Probe) -> Probe:
    """The same with w in the module itself too, so that late work reads the right parameters."""
    module = _fresh(probe)
    return dataclasses.replace(probe, loss=probe.loss.with_module(module), module=module)


def _fresh(probe: Probe) -> nn.Module:
    """A copy of the module that was never called, in the probe's precision."""
    return copy.deepcopy(probe.loss.uncalled).to(probe.loss.w0.dtype)


def _numbers(what: str, c: Comparison, probe: Probe) -> str:
    a, b = c.by_autograd * probe.scale, c.by_differences * probe.scale
    if what == "curvature":  # of a vector, H u, each entry in the size of its parameter
        return (
            f"along a generic direction u the vector H u of autograd has length {a:.3g}, that of "
            f"differences {b:.3g}, and the two are {100 * c.off:.2g} % apart"
        )
    return (
        f"autograd's {what} along a generic direction is {a:.3g}, differences give {b:.3g} "
        f"(off by {100 * c.off:.2g} %)"
    )


def _most_in(probe: Probe, w: Tensor, size: Tensor, steps: Any) -> str:
    """The parameters in which the slope is wrong; of models with many, the first hundred."""
    g = probe.gradient(w)
    (u,) = directions(size, 1, seed=3)
    wrong = []
    for name, part in list(probe.loss.layout.slices().items())[:100]:
        alone = torch.zeros_like(u)
        alone[part] = u[part]
        only = size * (alone != 0)
        if _holds(functools.partial(_is_wrong, probe, w, g, alone, only, steps)):
            wrong.append(name)
    shown = ", ".join(f"'{name}'" for name in wrong[:3]) + (", ..." if wrong[3:] else "")
    return f"; wrong in {shown}" if wrong else ""


def _is_wrong(probe: Probe, w: Tensor, g: Tensor, u: Tensor, size: Tensor, steps: Any) -> bool:
    return slope(probe, w, g, u, size, steps).wrong


def _holds(question: Callable[[], bool]) -> bool:
    """The answer; no where asking fails, for what was found stays found."""
    try:
        return question()
    except torch.OutOfMemoryError:
        raise
    except Exception:
        return False


def _embedding(probe: Probe, settled: Callable[[Probe], bool]) -> str:
    """A sentence, if all is well as soon as an embedding has no padding_idx."""
    module, said = _fresh(probe), ""
    for name, layer in module.named_modules():
        if not isinstance(layer, nn.Embedding | nn.EmbeddingBag):
            continue
        if layer.padding_idx is not None:
            said = said or (
                f"'{name}' has padding_idx={layer.padding_idx}, whose row autograd leaves out, "
                "and samples use it: leave padding_idx out, or mask padding in forward."
            )
            layer.padding_idx = None
        if layer.scale_grad_by_freq:
            said = said or f"'{name}' has scale_grad_by_freq: leave it out."
            layer.scale_grad_by_freq = False
    other = dataclasses.replace(probe, loss=probe.loss.with_module(module))
    return said if said and _holds(lambda: settled(other)) else ""


def _fake_quantize(probe: Probe) -> str:
    for name, module in probe.loss.model.named_modules():
        if "FakeQuantize" in type(module).__name__:
            return f"'{name}' rounds and passes gradients straight through; switch it off."
    return ""


_CAUSES = (
    "The usual causes are detach() or torch.no_grad() on a part of the way (freeze these "
    "parameters instead, with requires_grad_(False)), rounding or fake_quantize with a "
    "straight-through gradient, gradient reversal, a hook that changes gradients, saved tensors "
    "kept in a lower precision, torch.linalg.cholesky or eigh of a matrix that w does not keep "
    "symmetric, or an autograd.Function; the numbers don't tell which."
)
