"""Which digit comes next? The easiest and the hardest unseen ones, and what each would change."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape_nb.figures.next_digit import next_digit
from landscape_nb.numerics import checks
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.theory.increment import next_sample_models
from landscape_nb.widgets.explorable import Explorable, Number, Whole, significant

COUNT = 5  # digits of either kind: chosen here, as many as stand side by side on a phone
STEPS = 41  # points of the slice, an odd number: the solution is the one in the middle
PARTS = ("value", "cross", "gradient", "curvature")


class NextDigit(Explorable, module="next_digit"):
    """Ten unseen digits as buttons, drawn from their pixels; the chosen one is the next sample.

    Under each stand its label, what the network says and its loss. The explorable shows the
    increment at the solution, the mean loss along the first of the directions before and after the
    digit has joined, the four parts of its criterion (KG26 Eq. 15), and where it
    stands among all unseen digits. With l the digit's loss and L the mean of the first k,

        I = (l - L) / (k + 1),    L_{k+1} = (k L + l) / (k + 1)    at every point.

    The L2 term is left out, as it is the same before and after.

    Args:
        loss: of a classifier of 8 x 8 images with grey values 0..1, in rows of 64.
        w: (N,), the solution for the first k samples.
        k: number of samples seen.
        U: (N, D), orthonormal directions, the sharpest first.
        digit: which of the ten is chosen first, 0 (the easiest) .. 9 (the hardest).
        sigma: first value of its slider, 1e-4..1.

    Attributes:
        digit: which of the ten is chosen.
        D: how many of the directions the probe has.
        sigma: the probe's standard deviation in each of them.

    Raises:
        ValueError: an argument does not fit; a setting outside its range.
    """

    SIGMAS = (1e-4, 1.0)

    digit = Whole().tag(sync=True, explorable=True)
    D = Whole().tag(sync=True, explorable=True)
    sigma = Number().tag(sync=True, explorable=True)

    def __init__(
        self,
        loss: EmpiricalLoss,
        w: Tensor,
        k: int,
        U: Tensor,
        *,
        digit: int = 2 * COUNT - 1,
        sigma: float = 1e-3,
    ) -> None:
        data = ten_digits(loss, w, k, U)
        D = U.shape[1]
        data["ranges"] = {"digit": [0, 2 * COUNT - 1], "D": [1, D], "sigma": list(self.SIGMAS)}
        super().__init__(data=data, digit=digit, D=D, sigma=sigma)

    def numbers(self) -> dict[str, Any]:
        """Increment, slice after the digit, parts of the criterion, share among all unseen."""
        data, one = self.data, self._chosen()
        k, before, its = data["k"], np.array(data["before"]), np.array(one["slice"])
        increments = (its - before) / (k + 1)
        a = float(increments[STEPS // 2])
        parts = self._parts(a)
        total = sum(parts.values())
        return {
            "increment": a,
            "loss": one["slice"][STEPS // 2],
            "before": data["before"][STEPS // 2],
            "after": ((k * before + its) / (k + 1)).tolist(),
            "parts": parts,
            "total": total,
            "shares": {name: part / total if total else 0.0 for name, part in parts.items()},
            "carried": (a * (k + 1)) ** 2 / data["squares"],
        }

    def sentence(self) -> str:
        """The present state in words, the same that the browser shows."""
        data, one, found = self.data, self._chosen(), self.numbers()
        m, shares = len(data["losses"]), found["shares"]
        told = ", ".join(f"{name} {_percent(shares[name])}" for name in PARTS)
        return (
            f"{_named(one, found['loss'])}: number {one['rank']} of {m} unseen, easiest first. As "
            f"sample {data['k'] + 1} it moves the mean loss at the solution from "
            f"{found['before']:.4g} to {found['after'][STEPS // 2]:.4g}: increment I = "
            f"({found['loss']:.2g} - {found['before']:.2g}) / {data['k'] + 1} = "
            f"{found['increment']:.2g}. It carries {_percent(found['carried'])} of the squared "
            f"increments of all {m}. A random step of {self.sigma:.1e} in each of {self.D} "
            f"directions sees {found['total']:.1e} loss\u00b2 of change: {told}."
        )

    def purpose(self) -> str:
        """What there is to move, as a sentence."""
        return "Ten unseen digits to choose from, and sliders for D and sigma."

    def _chosen(self) -> dict[str, Any]:
        return self.data["digits"][self.digit]

    def _parts(self, a: float) -> dict[str, float]:
        """KG26 Eq. 15 with the first D directions."""
        one, D, s2 = self._chosen(), self.D, self.sigma * self.sigma
        c, B = np.array(one["c"])[:D], np.array(one["B"])[:D, :D]
        trace = float(B.trace())
        return {
            "value": a * a,
            "cross": a * s2 * trace,
            "gradient": s2 * float((c * c).sum()),
            "curvature": s2 * s2 / 4 * (2 * float((B * B).sum()) + trace * trace),
        }

    def _png(self) -> bytes:
        names = [_named(one, one["slice"][STEPS // 2]) for one in self.data["digits"]]
        return next_digit(self.data, self.digit, self.numbers(), names)


def _named(one: dict[str, Any], loss: float) -> str:
    """A digit in words: its label, what it was taken for and how surely, and its loss."""
    label, taken = one["label"], one["taken"]
    seen = "recognised" if taken == label else f"taken for {_article(taken)}"
    return f"{_article(label).capitalize()}, {seen} (probability {one['p']:.2f}), loss {loss:.2g}"


def _article(digit: int) -> str:
    return f"an {digit}" if digit == 8 else f"a {digit}"


def _percent(share: float) -> str:
    percent = 100 * share
    return "0.0 %" if abs(percent) < 0.05 else f"{percent:.1f} %"


# -- what is measured, once -----------------------------------------------------------------------


def ten_digits(loss: EmpiricalLoss, w: Tensor, k: int, U: Tensor) -> dict[str, Any]:
    """The five easiest and the five hardest unseen digits, and what each changes, rounded.

    Exact losses and derivatives: costs `next_sample_models` of ten candidates and 41 forward
    passes over k + 10 samples.
    """
    images = _images(loss)
    w, U = checks.parameter_vector(w, loss.w0), checks.orthonormal_basis(U, loss.w0)
    n = loss.num_samples
    k = checks.whole_number("k", k, 1, n - 2 * COUNT, f"{2 * COUNT} digits must be unseen")
    losses = loss.per_sample(w, range(k, n))
    order = losses.argsort(stable=True)
    ends = torch.cat([order[:COUNT], order[-COUNT:]])
    models = next_sample_models(loss, w, U, k, candidates=ends + k)
    steps, slices = _slices(loss, w, U[:, 0], k, ends + k, _reach(loss, w, U[:, 0], k, losses))
    shares = loss.outputs(w, ends + k).softmax(1)
    before, *own = significant(slices.T, 8)
    sorted_losses = significant(losses[order], 6)
    ranks = [*range(1, COUNT + 1), *range(n - k - COUNT + 1, n - k + 1)]
    digits = [
        {
            "image": images[i].tolist(),
            "label": int(loss.targets[i]),
            "taken": int(share.argmax()),
            "p": significant(share.max(), 6),
            "rank": rank,
            "slice": its,
            "c": significant(models.c[j], 8),
            "B": significant(models.B[j], 8),
        }
        for j, (i, share, rank, its) in enumerate(
            zip((ends + k).tolist(), shares, ranks, own, strict=True)
        )
    ]
    squares = sum((one - before[STEPS // 2]) ** 2 for one in sorted_losses)
    return {
        "k": k, "steps": significant(steps, 6), "before": before, "digits": digits,
        "losses": sorted_losses, "squares": squares,
    }  # fmt: skip


def _images(loss: EmpiricalLoss) -> Tensor:
    """The inputs as whole grey values 0..16, (n, 64)."""
    inputs = loss.inputs
    if not isinstance(inputs, Tensor) or inputs[0].numel() != 64:
        shape = tuple(inputs.shape) if isinstance(inputs, Tensor) else type(inputs).__name__
        raise ValueError(
            f"The inputs must be 8 x 8 images, 64 numbers each; got {shape}. "
            "ln.data.digits gives such."
        )
    grey = inputs.reshape(len(inputs), 64)
    if grey.min() < 0 or grey.max() > 1:
        raise ValueError(
            "Grey values must lie between 0 (paper) and 1 (ink); got numbers from "
            f"{float(grey.min()):g} to {float(grey.max()):g}. Divide them by the largest."
        )
    return (16 * grey).round().long()


def _reach(loss: EmpiricalLoss, w: Tensor, u: Tensor, k: int, losses: Tensor) -> float:
    """How far the slice goes: where a parabola has risen by twice the largest increment."""
    curvature = float(u @ loss.without_l2().hvp(w, u, k))
    largest = float(losses.max()) / (k + 1)
    # twice: chosen here, both curves fill the picture then; 1 where nothing is curved
    return (4 * largest / curvature) ** 0.5 if curvature > 0 and largest > 0 else 1.0


def _slices(
    loss: EmpiricalLoss, w: Tensor, u: Tensor, k: int, ends: Tensor, reach: float
) -> tuple[Tensor, Tensor]:
    """Steps (41,) along u, and there the mean loss of the first k and each digit's, (41, 11)."""
    samples = torch.cat([torch.arange(k), ends])
    steps = reach * torch.linspace(-1, 1, STEPS, dtype=torch.float64)
    steps[STEPS // 2] = 0.0  # the solution itself
    each = torch.stack([loss.per_sample(w + float(step) * u, samples) for step in steps])
    return steps, torch.cat([each[:, :k].mean(1, keepdim=True), each[:, k:]], dim=1)
