"""Spectral Newton: a step that shrinks each singular mode of the gradient by a power of itself.

    dW = U diag(sigma / (sigma^alpha + d)) V'   for a gradient  G = U diag(sigma) V'         C26

alpha = 0 is gradient descent, scaled by 1/(1 + d); alpha = 2 is (GG' + d)^-1 G; alpha = 1 with
d -> 0 is UV', all modes alike (as Muon's step is). With d far above sigma^alpha it is gradient
descent with the rate lr/d, whatever alpha.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.adamw import adamw
from torch.optim.optimizer import Optimizer

from landscape_nb.numerics import checks
from landscape_nb.numerics.devices import factorised, on_cpu


def spectral_newton_step(
    G: Tensor, alpha: float, damping: float, *, relative: bool = False
) -> Tensor:
    """The step dW = U diag(sigma / (sigma^alpha + d)) V' of one gradient matrix.

    Args:
        G: (m, n), or a convolution's (m, n, ...), taken as (m, n ...).
        alpha: exponent, >= 0.
        damping: d >= 0, in the units of sigma^alpha; with d = 0 modes at rounding are left out.
        relative: d = damping * sigma_1^alpha instead.

    Returns:
        Of G's shape. Zero for G = 0.

    Raises:
        ValueError: an argument does not fit, or the step is too large a number: with alpha > 1 and
            no damping it grows without bound as the gradient shrinks.

    >>> G = torch.tensor([[3.0, 0.0], [0.0, 0.5]], dtype=torch.float64)
    >>> spectral_newton_step(G, alpha=1.0, damping=0.0).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    if G.ndim < 2:
        raise ValueError(
            f"G must be a matrix or a convolution's weight; got shape {tuple(G.shape)}."
        )
    alpha = checks.non_negative("alpha", alpha, "exponent")
    damping = checks.non_negative("damping", damping, "d")
    U, singular, Vt = factorised(torch.linalg.svd, G.flatten(1), full_matrices=False)
    sigma = on_cpu(singular)  # its powers may leave the range of float32
    largest = sigma[:1]
    d = damping * largest**alpha if relative else damping
    real = sigma > max(G.flatten(1).shape) * torch.finfo(G.dtype).eps * largest
    scaled = sigma / (sigma**alpha + d)
    if _out_of_range(sigma[real] ** alpha, needed=relative or damping == 0):
        t = sigma / largest  # of order one: its powers do not leave the range
        below = damping if relative or damping == 0 else damping * largest**-alpha
        scaled = largest ** (1 - alpha) * t / (t**alpha + below)
    scaled = torch.where(real, scaled, torch.zeros_like(sigma)).to(U)
    if not torch.isfinite(scaled).all():
        raise ValueError(
            f"The step is too large for {G.dtype}: with alpha = {alpha:g} and damping = "
            f"{damping:g}, modes between {float(sigma[real].min()):.1e} and "
            f"{float(sigma[real].max()):.1e} grow beyond its range. A damping above "
            "zero, not relative, lets small gradients come to rest."
        )
    return ((U * scaled) @ Vt).view_as(G)


def _out_of_range(powers: Tensor, needed: bool) -> bool:
    """Whether powers overflow in float64, or underflow where they are needed."""
    too_small = needed and bool((powers < 1e-290).any())
    return too_small or bool(torch.isinf(powers).any())


class SpectralNewton(Optimizer):
    """`spectral_newton_step` for matrices and convolutions, AdamW for everything else.

    A parameter with two or more dimensions is a matrix; put embeddings and other tables into a
    group of their own with spectral=False.

    Args:
        params: parameters or groups.
        lr: learning rate of the matrices.
        alpha: exponent, >= 0 (2: C26's choice for convolutions, "From decomposition to Spectral
            Newton").
        damping: d >= 0.
        relative: whether d is in units of sigma_1^alpha. Then the step scales as |G|^(1-alpha):
            for alpha > 1 it grows as the gradient shrinks, and the path never comes to rest unless
            lr falls. With a fixed d it does, because small gradients give gradient descent.
        momentum: of the gradient, before the step, 0..1.
        weight_decay: decoupled, W <- (1 - lr weight_decay) W.
        adam_lr, betas, eps: AdamW's, for the rest.
        spectral: whether a group's matrices take the spectral step.

    Raises:
        ValueError: an argument does not fit.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 2.0,
        damping: float = 0.1,
        *,
        relative: bool = False,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        adam_lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        spectral: bool = True,
    ) -> None:
        defaults = {
            "lr": lr,
            "alpha": alpha,
            "damping": damping,
            "relative": relative,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "adam_lr": adam_lr,
            "betas": betas,
            "eps": eps,
            "spectral": spectral,
        }
        _refuse_bad_settings(defaults)
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As every optimizer's, with the group's settings checked."""
        _refuse_bad_settings({**self.defaults, **param_group})
        super().add_param_group(param_group)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; `closure`, if given, computes the loss and its gradients first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        gradients = [p.grad for group in self.param_groups for p in group["params"]]
        if not all(bool(torch.isfinite(g).all()) for g in gradients if g is not None):
            raise ValueError("A gradient is not finite; nothing moved. Lower the learning rate.")
        spectral = [
            (p, group)
            for group in self.param_groups
            for p in group["params"]
            if p.grad is not None and group["spectral"] and p.ndim >= 2
        ]
        # all before anything moves: one of them may be refused
        steps = [self._spectral_step(p, group) for p, group in spectral]
        for (p, group), (velocity, dW) in zip(spectral, steps, strict=True):
            if velocity is not None:
                self.state[p]["velocity"] = velocity
            p.mul_(1 - group["lr"] * group["weight_decay"])
            p.sub_(group["lr"] * dW)
        for group in self.param_groups:
            with_gradient = [p for p in group["params"] if p.grad is not None]
            self._adamw_step(
                [p for p in with_gradient if p.ndim < 2 or not group["spectral"]], group
            )
        return loss

    def _spectral_step(self, p: Tensor, group: dict[str, Any]) -> tuple[Tensor | None, Tensor]:
        """The new velocity, with momentum, and the step; nothing moves yet."""
        G, velocity = p.grad, None
        assert G is not None
        if group["momentum"]:
            old = self.state[p].get("velocity") if p in self.state else None
            velocity = G.clone() if old is None else (group["momentum"] * old).add_(G)
            G = velocity
        settings = (group["alpha"], group["damping"])
        return velocity, spectral_newton_step(G, *settings, relative=group["relative"])

    def _adamw_step(self, params: list[Tensor], group: dict[str, Any]) -> None:
        for p in params:
            if not self.state[p]:
                self.state[p] = {
                    "step": torch.zeros(()),
                    "exp_avg": torch.zeros_like(p),
                    "exp_avg_sq": torch.zeros_like(p),
                }
        states = [self.state[p] for p in params]
        gradients = [p.grad for p in params if p.grad is not None]
        adamw(
            params, gradients,
            [s["exp_avg"] for s in states], [s["exp_avg_sq"] for s in states], [],
            [s["step"] for s in states],
            amsgrad=False, beta1=group["betas"][0], beta2=group["betas"][1], lr=group["adam_lr"],
            weight_decay=group["weight_decay"], eps=group["eps"], maximize=False,
        )  # fmt: skip


def _refuse_bad_settings(group: dict[str, Any]) -> None:
    checks.positive("lr", group["lr"], "learning rate of the matrices")
    checks.positive("adam_lr", group["adam_lr"], "AdamW's learning rate")
    checks.positive("eps", group["eps"], "AdamW's")
    meanings = {"alpha": "exponent", "damping": "d", "momentum": "share of the last step kept"}
    for name, meaning in {**meanings, "weight_decay": "decoupled"}.items():
        checks.non_negative(name, group[name], meaning)
    if group["momentum"] >= 1:
        raise ValueError(f"momentum must be below 1; got {group['momentum']}.")
    betas = group["betas"]
    if not (isinstance(betas, Sequence) and len(betas) == 2 and all(map(_below_one, betas))):
        raise ValueError(
            f"betas must be two numbers that lie in 0..1, below 1; got {checks.shown(betas)}."
        )
    for name in ("relative", "spectral"):
        if not isinstance(group[name], bool):
            raise ValueError(f"{name} must be True or False; got {checks.shown(group[name])}.")


def _below_one(beta: Any) -> bool:
    try:
        return checks.non_negative("betas", beta, "AdamW's") < 1
    except ValueError:
        return False
