"""A second look at a loss, at a point near w0 where nothing is zero by initialisation.

What only shows there: dropout and batch norm behind a weight that starts at zero, and work that
reads the module's own parameters after the call with w has ended. Autograd's derivatives are
compared with differences there too.
"""

import copy
import dataclasses
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from landscape_nb.numerics.audit import causes, evaluations, leaves, missing, precision
from landscape_nb.numerics.audit.differences import (
    COARSE_STEPS,
    STEPS,
    Audited,
    Comparison,
    Probe,
    Upcast,
    curvature,
    directions,
    slope,
)
from landscape_nb.numerics.audit.evaluations import Row
from landscape_nb.numerics.operators import SMALL_BATCH, Indices

STEP, FAR = 0.05, 6.0  # of a parameter's own size: chosen here
WHERE = "near the model's own parameters"


def at_a_moved_point(loss: Audited, model: nn.Module, low: bool) -> list[Row]:
    """All checks near w0."""
    native, before = Probe(loss, spread(loss)), evaluations.untrained(loss.model)
    w, losses, size, rows = _moved(native, seed=2)
    if low:
        evaluations.refuse_random(native, w, losses, WHERE)
        precision.refuse_low_precision(loss, w)
    leaves.refuse_read_parameters(loss, w, native.samples, model)
    rows += _in_its_best_form(native, w, losses, size, model)
    (d,) = directions(size, 1, seed=7)
    evaluations.refuse_coupled_far(native, loss.w0 + FAR * d)
    evaluations.refuse_memory(before, native, w)
    return [*rows, evaluations.refuse_stale(native, w, losses, model)]


def _in_its_best_form(
    native: Probe, w: Tensor, losses: Tensor, size: Tensor, model: nn.Module
) -> list[Row]:
    """The checks in the most exact form in which the loss can be evaluated."""
    refusal: ValueError | None = None
    undecided: tuple[list[Row], Probe, Any] | None = None
    for probe, steps in _forms(native, w, losses):
        if steps is COARSE_STEPS and (refusal or undecided):
            break  # seen with more digits already
        try:
            rows, decided = _checked(probe, w, size, model, steps)
            if decided:
                return rows
            refusal, undecided = None, (rows, probe, steps)
        except torch.OutOfMemoryError:
            raise
        except ValueError as error:
            refusal = error
        except (RuntimeError, TypeError) as error:
            if probe.loss is native.loss and probe.context is nullcontext:
                raise missing.missing("a derivative", error) from error
    if refusal is not None:
        raise refusal
    if undecided is None:
        return []
    rows, probe, steps = undecided
    for seed in [3, 4] * (steps is STEPS):  # a jump or a kink may just be too near
        elsewhere, _, size, moved = _moved(native, seed)
        found, decided = _checked(probe, elsewhere, size, model, steps)
        if decided:
            return moved + found
    precision.refuse_low_precision(native.loss, w)  # noise may be what hides it
    return rows


def spread(loss: Audited) -> Tensor:
    """Samples from all over the data, which may be sorted: as many as cost little."""
    m = 32  # 32, 8 and 4: chosen here
    if 32 * loss.sample_bytes > SMALL_BATCH:
        m = 8 if loss.w0.dtype == torch.float64 else 4  # float64 costs a float32 model more
    return loss.samples.spread(m)


def _moved(native: Probe, seed: int) -> tuple[Tensor, Tensor, Tensor, list[Row]]:
    """A generic point near w0 (nearer if the loss is not finite there) and the losses at it."""
    w0 = native.loss.w0
    size = _sizes(native.loss, w0)
    (d,) = directions(size, 1, seed)
    for step in (STEP, STEP / 10, STEP / 100):
        try:
            w = w0 + step * d
            losses = native.losses(w)
        except torch.OutOfMemoryError:
            raise
        except Exception:  # a matrix that is positive definite at w0 only, for example
            continue
        if bool(losses.isfinite().all()):
            seen = f"w0 + d, |d| = {float((step * d).norm()):.1e}, {len(native.samples)} samples"
            return w, losses, size, [("moved point", seen)]
    seen = "none: the loss is not finite near w0"
    return w0.clone(), native.losses(w0), size, [("moved point", seen)]


def _sizes(loss: Audited, w: Tensor) -> Tensor:
    """For each entry of w the size of its parameter: its root mean square, or that of all of w."""
    everything = _root_mean_square(w) or 1.0
    out = torch.empty_like(w)
    for part in loss.layout.slices().values():
        out[part] = _root_mean_square(w[part]) or everything
    return out


def _root_mean_square(x: Tensor) -> float:
    largest = float(x.abs().max()) if x.numel() else 0.0
    return largest * float((x / largest).square().mean().sqrt()) if largest else 0.0


def _forms(native: Probe, w: Tensor, losses: Tensor) -> Iterator[tuple[Probe, Any]]:
    """The loss in float64, then with every single operation in float64, last as it is."""
    largest = float(losses.abs().nan_to_num(0, 0, 0).max())
    scale = max(largest, 1e-290) if largest else 1.0
    double, samples = native.loss, native.samples
    if w.dtype != torch.float64:
        double, samples = _in_float64(native.loss, native.samples), range(len(native.samples))
    for loss, context in ((double, nullcontext), (double, Upcast)):
        if loss is native.loss and context is nullcontext:
            yield Probe(loss, samples, scale), STEPS
        elif loss is not None:
            probe = Probe(loss, samples, scale, context)
            try:
                same = bool(((probe.losses(w.double()) - losses).abs() <= 0.03 * scale).all())
            except torch.OutOfMemoryError:
                raise
            except Exception:  # tensors that only the model knows of stay float32
                continue
            if same:
                yield probe, STEPS
    if w.dtype != torch.float64:
        yield Probe(native.loss, native.samples, max(scale, 1e-30)), COARSE_STEPS


def _in_float64(loss: Audited, samples: Indices) -> Any:
    """A copy in float64, of the model, loss_fn and these samples; None if it can't be had."""

    def raised(x: Any) -> Any:
        return x.double() if isinstance(x, Tensor) and x.is_floating_point() else x

    try:
        few, loss_fn = loss.with_samples(loss.samples.only(samples, raised)), None
        if isinstance(loss.loss_fn, nn.Module):
            loss_fn = copy.deepcopy(loss.loss_fn).double()
        module = copy.deepcopy(loss.uncalled).double()
    except torch.OutOfMemoryError:
        raise
    except Exception:
        return None
    return few.with_module(module, loss_fn, w0=loss.w0.double())


def _checked(
    probe: Probe, w: Tensor, size: Tensor, model: nn.Module, steps: Any
) -> tuple[list[Row], bool]:
    """What is seen at w, and whether the differences decide."""
    w, size = w.to(probe.loss.w0), size.to(probe.loss.w0)
    losses = probe.losses(w)
    rows = [
        evaluations.refuse_random(probe, w, losses, WHERE),
        evaluations.refuse_coupled(probe, w, losses, WHERE),
    ]
    leaf, of_leaf, gradient = probe.graph(w)
    missing.refuse_foreign(probe.loss, leaf, of_leaf, gradient, probe.samples, model)
    rows.append(("trainable besides w", "nothing that the losses or their gradient hang on"))
    g = gradient.detach()
    if not bool(g.isfinite().all()):
        return _without_poles(probe, w, size, model, steps, rows, "gradient")
    *along, u = directions(size, 3)
    slopes = [slope(probe, w, g, v, size, steps) for v in along]
    if not all(s.settled for s in slopes):
        (third,) = directions(size, 1, seed=6)
        slopes.append(slope(probe, w, g, third, size, steps))
    rows.append(_row("slope by differences", slopes, steps))
    if sum(s.wrong for s in slopes) >= 2:
        worst = next(s for s in slopes if s.wrong)
        causes.refuse_slope(probe, w, size, worst, along, steps)
    Hu = probe.product(leaf, gradient, u)
    if not bool(Hu.isfinite().all()):
        return _without_poles(probe, w, size, model, steps, rows, "product H u")
    bent = curvature(probe, w, g, Hu, u, size, steps)
    rows.append(_row("curvature by differences", [bent], steps))
    if bent.wrong and steps is not COARSE_STEPS:  # kinks can't be told from curvature in float32
        causes.refuse_curvature(probe, w, size, bent, leaf, gradient, u, along[0], steps)
    return rows, bent.settled and all(s.settled for s in slopes)


def _without_poles(
    probe: Probe, w: Tensor, size: Tensor, model: nn.Module, steps: Any, rows: list[Row], what: str
) -> tuple[list[Row], bool]:
    """The same without the samples whose own derivative is not finite."""
    kept = []
    (u,) = directions(size, 1)
    for i in map(int, probe.samples):
        leaf, _, g = dataclasses.replace(probe, samples=range(i, i + 1)).graph(w)
        if bool((g if what == "gradient" else probe.product(leaf, g, u)).isfinite().all()):
            kept.append(i)
    left = len(probe.samples) - len(kept)
    seen = f"not finite for {left} of {len(probe.samples)} samples, which are left out"
    rows.append((what, seen))
    if not kept:
        _refuse_poles(probe, what)
    if not kept or not left:
        return rows, True
    few = dataclasses.replace(probe, samples=torch.tensor(kept))
    found, decided = _checked(few, w, size, model, steps)
    return [*rows, *found], decided


def _refuse_poles(probe: Probe, what: str) -> None:
    """Refuse if no derivative of any sample is finite, neither near w0 nor at it."""
    w0 = probe.loss.w0
    (u,) = directions(_sizes(probe.loss, w0), 1)
    leaf, losses, g = probe.graph(w0)
    if bool((g if what == "gradient" else probe.product(leaf, g, u)).isfinite().all()):
        return
    names = {node.name().removesuffix("Backward0") for node in leaves.nodes(losses)}
    found = sorted(names & {"Logcumsumexp", "LinalgEig", "LinalgEigh", "Norm", "Sqrt", "Cdist"})
    look = f"The graph holds {', '.join(found)}. " if found else ""
    raise ValueError(
        f"The loss is finite, but its {what} is not, for any of {len(probe.samples)} samples, at "
        f"the model's own parameters or near them. {look}A square root or a norm at zero, equal "
        "eigenvalues, NaN behind a mask and the logarithm inside logcumsumexp's derivative are "
        "usual causes: write that operation in a smooth form, such as sqrt(x + 1e-12)."
    )


def _row(what: str, found: list[Comparison], steps: Any) -> Row:
    worst = max(found, key=lambda c: c.off)
    count = "1 direction" if len(found) == 1 else f"{len(found)} directions"
    seen = f"off by {worst.off:.1e} (allowed {worst.allowed:.0e}), {count}"
    if not any(c.wrong for c in found) and not all(c.settled for c in found):
        seen += ", more than that by rounding or a kink"
    return what, seen + (" (float32)" if steps is COARSE_STEPS else "")
