"""The same losses evaluated again: a second time, and one sample at a time.

A loss that is studied sample by sample is a function of w and of one sample, nothing else: no
random numbers, no state that an evaluation leaves behind, no other samples of the batch. Where two
evaluations differ, further ones tell why: with the same random numbers, of the outputs without
loss_fn, with every operation in float64, with w moved by its own rounding.
"""

import copy
import math
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.utils._pytree import tree_leaves

from landscape_nb.numerics import checks
from landscape_nb.numerics.audit.differences import Audited, Probe, Upcast, directions
from landscape_nb.numerics.audit.leaves import Reads, equal
from landscape_nb.numerics.operators import Indices

BATCH_STATISTICS = (
    "by the statistics of the batch; call model.eval() (and keep track_running_stats)."
)
Row = tuple[str, str]  # what was looked at, and what was seen


@contextmanager
def own_random_numbers(like: Tensor) -> Iterator[None]:
    """Leave the global random states as they were: PyTorch's, NumPy's and Python's own."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[like.device] if like.is_cuda else []):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def relative_tolerance(*tensors: Tensor) -> float:
    """A thousand roundings of the coarsest precision."""
    return 1e3 * max(torch.finfo(t.dtype).eps for t in tensors)


def refuse_random(probe: Probe, w: Tensor, losses: Tensor, where: str) -> Row:
    """Two evaluations at the same w must agree."""
    before = untrained(probe.loss.model)
    again = probe.losses(w)
    off, largest = _apart(losses, again), _largest(losses)
    # atomic additions on a GPU come in any order; a perfect fit is nothing but such rounding
    floor = torch.finfo(w.dtype).eps ** 1.5 if w.is_cuda else 0.0
    if off <= max(relative_tolerance(losses, w) * largest, floor):
        return "evaluated twice", f"off by {off / largest if largest else 0.0:.1e} of the loss"
    numbers = f"two evaluations at the same w, {where}, differ by {off:.1e}"
    changed = changed_since(before, probe.loss.model)
    seeded = [_seeded(probe, w) for _ in range(2)]
    dropout = _dropout(probe.loss)
    if _apart(*seeded) > off / 100 and changed:
        raise ValueError(
            f"The loss has a memory: {numbers}, and an evaluation changes the model's "
            f"{changed[0]}. Running statistics in training mode, or an average over calls that "
            "forward keeps, are the usual cause; call model.eval() first."
        )
    if dropout:
        raise ValueError(
            f"The loss is random: {numbers}. '{dropout[0]}' drops at random in training mode; call "
            "model.eval() first."
        )
    torch_draws = _apart(*seeded) <= off / 100
    seen = "the same seed of torch makes them equal" if torch_draws else "even with torch's seed"
    raise ValueError(
        f"The loss is random: {numbers} ({seen}). No dropout layer of the model or loss_fn is in "
        "training mode; look for torch.rand, numpy.random or functional.dropout in forward and "
        "loss_fn, or for something that counts its calls. Call model.eval() first if they look at "
        "the mode."
    )


def untrained(model: nn.Module) -> dict[str, Tensor | int]:
    """Buffers and frozen parameters as they are: their numbers, of large ones the version."""
    frozen = [(f"frozen parameter '{n}'", p) for n, p in model.named_parameters()]
    named = [(name, p.detach()) for name, p in frozen if not p.requires_grad]
    named += [(f"buffer '{name}'", b) for name, b in model.named_buffers()]
    # 2**16: chosen here
    return {name: t.clone() if t.numel() <= 2**16 else t._version for name, t in named}


def changed_since(before: dict[str, Tensor | int], model: nn.Module) -> list[str]:
    """Which of them are not what they were."""

    def same(a: Tensor | int | None, b: Tensor | int | None) -> bool:
        return equal(a, b) if isinstance(a, Tensor) else a == b

    now = untrained(model)
    return [name for name in before if not same(before[name], now.get(name))]


def refuse_memory(before: dict[str, Tensor | int], probe: Probe, w: Tensor) -> None:
    """Nothing that the loss reads may change as it is evaluated, even if the losses stay.

    What is only written, a record of the last activations, is let pass.
    """
    model = probe.loss.model
    changed = changed_since(before, model)
    if not changed:
        return
    held = {f"buffer '{name}'": b for name, b in model.named_buffers()}
    held |= {f"frozen parameter '{name}'": p for name, p in model.named_parameters()}
    reads = Reads((name, held[name]) for name in changed if name in held)
    with reads:
        probe.losses(w)
    if reads.seen:
        raise ValueError(
            "The loss has a memory: evaluating it reads and changes the model's "
            f"{min(reads.seen)}. The losses did not change here, but nothing says that they never "
            "will. Call model.eval(), or keep what counts or averages calls out of forward."
        )


def refuse_stale(probe: Probe, w: Tensor, losses: Tensor, fresh: nn.Module) -> Row:
    """A copy that was never evaluated before must agree, away from where the other one was."""
    new = Probe(probe.loss.with_module(copy.deepcopy(fresh)), probe.samples)
    off, largest = _apart(new.losses(w), losses), _largest(losses)
    if off > relative_tolerance(losses, w) * largest:
        raise ValueError(
            f"The loss has a memory: near the model's own parameters it differs by {off:.1e} from "
            "a copy of the model that was not evaluated before. Look for values computed from "
            "parameters that the model keeps after its first call (a cache), and compute them in "
            "every call."
        )
    return "a fresh copy", f"off by {off / largest if largest else 0.0:.1e} of the loss"


def refuse_coupled(probe: Probe, w: Tensor, losses: Tensor, where: str) -> Row:
    """A sample's loss must be the same alone, with few others and in the whole batch."""
    alone = _in_parts(probe, w)
    off, largest = _apart(losses, alone), _largest(losses)
    if off <= relative_tolerance(losses, w) * largest:
        return "alone and in a batch", f"off by {off / largest if largest else 0.0:.1e} of the loss"
    if not math.isfinite(off):
        same = (losses == alone) | (losses.isnan() & alone.isnan())
        i = int((~same & ~(losses.isfinite() & alone.isfinite())).nonzero()[0])
        raise ValueError(
            f"The loss is not per-sample: {where}, sample {int(probe.samples[i])} has the loss "
            f"{float(losses[i]):.3g} in a batch of {len(losses)} and {float(alone[i]):.3g} in a "
            "smaller one. A standard deviation or variance over the first dimension is the usual "
            "cause: of one sample there is none."
        )
    rounding = _rounding(probe, w)
    if bool(
        ((losses - alone).abs() <= 100 * rounding + relative_tolerance(losses, w) * largest).all()
    ):
        return "alone and in a batch", f"off by {off:.1e}, as far as rounding w moves them"
    numbers = f"by {off:.1e} {where}"
    exact = Probe(probe.loss, probe.samples, context=Upcast)
    here = _apart(probe.losses(w), alone) > off / 100  # not only in a still larger batch
    if here and _settles(lambda: _apart(exact.losses(w), _in_parts(exact, w)), off / 100):
        raise ValueError(
            "The loss is computed in a lower precision than its parameters, "
            f"{w.dtype}: a sample's loss changes with the other samples of its batch, {numbers}, "
            "and no longer does when every operation is done in float64. Look for .float(), "
            ".half() or autocast; make the whole model one precision, for example model.float()."
        )
    batch_norm = _batch_norm(probe.loss)
    if batch_norm:
        raise ValueError(
            "The loss is not per-sample: a sample's loss changes with the other samples of its "
            f"batch, {numbers}. '{batch_norm[0]}' is batch normalisation {BATCH_STATISTICS}"
        )
    mixes = "loss_fn" if _outputs_agree(probe, w) else "the model or loss_fn"
    raise ValueError(
        "The loss is not per-sample: a sample's loss changes with the other samples of its batch, "
        f"{numbers}. No batch normalisation of the model or loss_fn is in training mode; look in "
        f"{mixes} for a mean, a maximum, a softmax or a sort over the first dimension, random "
        "numbers with a fixed seed, or reduction='mean' (use reduction='none')."
    )


def refuse_coupled_in_large(probe: Probe, w: Tensor, losses: Tensor) -> None:
    """The same for losses that were computed in a larger batch than the probe's own."""
    off = _apart(losses, probe.losses(w))
    if not off <= relative_tolerance(losses, w) * _largest(losses):
        refuse_coupled(probe, w, losses, "at the model's own parameters, in a large batch")


def refuse_coupled_far(probe: Probe, w: Tensor) -> None:
    """Far away too, where what only large values do shows; not where the loss does not go."""
    try:
        losses = probe.losses(w)
        alone = probe.losses(w, probe.samples[:1])
    except torch.OutOfMemoryError:
        raise
    except Exception:
        return
    if not bool(losses.isfinite().all() and alone.isfinite().all()):
        return
    if _apart(losses[:1], alone) > relative_tolerance(losses, w) * _largest(losses):
        refuse_coupled(probe, w, losses, "far from the model's own parameters")


def _in_parts(probe: Probe, w: Tensor) -> Tensor:
    """The losses of the first alone, of the second alone, of two, of the rest."""
    ends = (0, 1, 2, 4, len(probe.samples))
    parts = [probe.samples[i:j] for i, j in zip(ends, ends[1:], strict=False)]
    return torch.cat([_of_few(probe, w, part) for part in parts if len(part)])


def _of_few(probe: Probe, w: Tensor, part: Indices) -> Tensor:
    """The losses of a small batch, or a sentence on why there are none."""
    try:
        losses = probe.losses(w, part)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        batch_norm = _batch_norm(probe.loss)
        why = (
            f"'{batch_norm[0]}' is batch normalisation {BATCH_STATISTICS}"
            if batch_norm
            else "Look for what needs a second sample, or drops the first dimension (.squeeze())."
        )
        raise ValueError(
            f"The loss is not per-sample: it can't be evaluated for {_count(part)} alone, though "
            f"for {len(probe.samples)} together it can ({type(error).__name__}: "
            f"{checks.first_line(error)}). {why}"
        ) from error
    if losses.shape != (len(part),):
        raise ValueError(
            f"The loss is not per-sample: for {_count(part)} alone it has shape "
            f"{tuple(losses.shape)}; ({len(part)},) is required. .squeeze() without a dimension "
            "also drops the first one of a batch of one: use .squeeze(-1), or [:, 0]."
        )
    return losses


def _count(part: Indices) -> str:
    return "one sample" if len(part) == 1 else f"{len(part)} samples"


def _rounding(probe: Probe, w: Tensor) -> Tensor:
    """How far each loss moves when w moves by its own rounding."""
    eps = torch.finfo(w.dtype).eps
    moves, losses = directions(eps * w.abs(), 4), probe.losses(w)
    return torch.stack([(probe.losses(w + m) - losses).abs() for m in moves]).amax(0)


def _outputs_agree(probe: Probe, w: Tensor) -> bool:
    """Whether the outputs alone and in a batch agree, so that only loss_fn is left."""

    def outputs(part: Indices) -> list[Tensor]:
        with torch.no_grad():
            return [t for t in tree_leaves(probe.loss.outputs_at(w, part)) if isinstance(t, Tensor)]

    together, alone = outputs(probe.samples), outputs(probe.samples[-1:])
    pairs = [(t[-1:], a) for t, a in zip(together, alone, strict=True) if t.ndim]
    return bool(pairs) and all(
        t.shape == a.shape and _apart(t, a) <= 1e-4 * _largest(t) for t, a in pairs
    )


def _settles(difference: Callable[[], float], allowed: float) -> bool:
    try:
        return difference() <= allowed
    except Exception:  # not everything can be evaluated in float64
        return False


def _seeded(probe: Probe, w: Tensor) -> Tensor:
    with own_random_numbers(w):
        torch.manual_seed(0)
        return probe.losses(w)


def _apart(a: Tensor, b: Tensor) -> float:
    """The largest difference; NaN and infinities that both have count as equal."""
    same = (a == b) | (a.isnan() & b.isnan())
    apart = (a - b).abs().masked_fill(same, 0).nan_to_num(nan=float("inf"))
    return float(apart.max()) if apart.numel() else 0.0


def _largest(losses: Tensor) -> float:
    return float(losses.abs().masked_fill(~losses.isfinite(), 0).max())


def _modules(loss: Audited) -> list[tuple[str, nn.Module]]:
    """All modules of the model, and of a loss function that is a module, with their names."""
    found = [(name or "model", m) for name, m in loss.model.named_modules()]
    if isinstance(loss.loss_fn, nn.Module):
        found += [(f"loss_fn.{name}".rstrip("."), m) for name, m in loss.loss_fn.named_modules()]
    return found


def _dropout(loss: Audited) -> list[str]:
    """The layers in training mode that drop at random: dropout, and layers with dropout=..."""
    return [
        n
        for n, m in _modules(loss)
        if m.training
        and (
            isinstance(m, _DropoutNd) or isinstance(d := getattr(m, "dropout", 0), float) and d > 0
        )
    ]


def _batch_norm(loss: Audited) -> list[str]:
    """The layers that normalise by statistics of the batch."""
    return [
        n
        for n, m in _modules(loss)
        if isinstance(m, _BatchNorm) and (m.training or m.running_mean is None)
    ]


def heard(action: Callable[[], Tensor]) -> tuple[Tensor, str]:
    """A result, and the first warning on the way to it."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        result = action()
    return result, str(said[0].message).splitlines()[0] if said else ""


def advice(error: Exception) -> str:
    """What to look at after an evaluation that failed, by what the error says."""
    said = f"{type(error).__name__} {checks.first_line(error)}".lower()
    if "inference" in said:
        return "Leave torch.inference_mode out of the model and loss_fn."
    if "checkpoint" in said:
        return "Switch activation checkpointing off."
    if isinstance(error, AttributeError) and "object has no attribute" in said:
        return (
            "The calls here are of copies of your module: what forward leaves on it (self.aux = "
            "...) is not on yours. Let forward return it beside the outputs."
        )
    if "stateless" in said or "functional_call" in said:
        return "Pass the plain Python module that this one was made from."
    return (
        "Check that inputs have the shape and dtype that the model takes (flattened or not? "
        "floating point? several in a dict or tuple?), and that loss_fn(outputs, targets) fits "
        "what the model returns (a tensor, or a tuple or object that holds one) and the targets "
        "(class labels are int64, shape (n,), in 0..K-1)."
    )
