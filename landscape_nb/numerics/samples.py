"""Value, gradient and Hessian of every single sample's loss, along the columns of U.

l_i(w + U z) = l_i + c_i'z + z'B_i z/2 + ...,  c_i = U' grad l_i(w),  B_i = U' H_i(w) U

The L2 term is left out: it cancels in every increment.

The engine under `increments`: whatever is asked about increments is a difference of such samples.
"forward" differentiates whole batches of samples twice in forward mode, cheap for small samples
(an image in an MLP); "reverse" takes D Hessian-vector products of one sample at a time, cheap for
large ones (a sequence in a transformer) and without forward mode's demands.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import jacfwd

from landscape_nb.numerics import checks
from landscape_nb.numerics.loss import EmpiricalLoss

# What the calls for a single sample cost besides, in bytes moved meanwhile: chosen here, from times
# of dense networks, a convolution and transformers with N = 190 to 980 000 and D = 2, 10, 30.
_ALONE = 2**22


class ForwardModeError(ValueError):
    """The model's forward-mode second derivatives are missing, or wrong."""


def sample_derivatives(
    loss: EmpiricalLoss,
    w: Tensor,
    U: Tensor,
    samples: range,
    method: str = "auto",
    memory: float | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Losses l (m,), gradients c (m, D) and Hessians B (m, D, D) of m samples along U.

    Forward mode costs about 5 (1 + D)^2 forward passes over the samples, reverse mode about 4 D but
    one sample at a time: which is faster depends on the model, by the bytes that each has to move.
    PyTorch's nested forward mode is wrong for some layers without saying so (layer_norm among
    them), so each chunk's mean B is compared with one reverse-mode product.

    Args:
        loss: the empirical loss.
        w: (N,).
        U: (N, D), directions; they need not be orthonormal here.
        samples: indices, from 0.
        method: "forward", "reverse", or "auto": the cheaper one that serves and fits `memory`.
        memory: bytes of intermediate results that may be held; `loss.memory` if not given.

    Raises:
        ForwardModeError: "forward" was asked for and can't serve.
    """
    if method not in ("auto", "forward", "reverse"):
        raise ValueError(
            f"method must be 'auto', 'forward' or 'reverse'; got {checks.shown(method)}."
        )
    memory = loss.memory if memory is None else checks.positive("memory", memory, "bytes")
    loss = loss.without_l2()
    if method == "forward" or (method == "auto" and prefers_forward(loss, w, U, samples, memory)):
        try:
            return forward_derivatives(loss, w, U, samples, memory)
        except ForwardModeError:
            if method == "forward":
                raise
    rows = [
        (loss.per_sample(w, alone)[0], *projected_derivatives(loss, w, U, alone))
        for alone in (samples[j : j + 1] for j in range(len(samples)))
    ]
    values, c, B = (torch.stack(parts) for parts in zip(*rows, strict=True))
    return values, c, B


def prefers_forward(
    loss: EmpiricalLoss, w: Tensor, U: Tensor, samples: range, memory: float
) -> bool:
    """Whether nested forward mode fits the memory, and has fewer bytes to move for one sample.

    Bytes and not seconds: both modes round differently, so a clock would make results differ.
    """
    D = U.shape[1]
    forward = (1 + D) ** 2 * loss.activation_bytes(w, samples[0])
    reverse = 4 * D * w.numel() * w.element_size() + _ALONE
    return forward + _tangent_bytes(w, D) <= memory and forward < reverse


def projected_derivatives(
    loss: EmpiricalLoss, w: Tensor, U: Tensor, samples: range
) -> tuple[Tensor, Tensor]:
    """U'g and U'HU of the mean over some samples, by reverse mode."""
    H = loss.hessian_operator(w, samples)
    B = U.T @ (H @ U)
    return U.T @ H.gradient, (B + B.T) / 2


def _tangent_bytes(w: Tensor, D: int) -> int:
    """Bytes that w + U z itself takes, differentiated twice."""
    return (1 + D) ** 2 * w.numel() * w.element_size()


def forward_derivatives(
    loss: EmpiricalLoss, w: Tensor, U: Tensor, samples: range, memory: float
) -> tuple[Tensor, Tensor, Tensor]:
    """`sample_derivatives` by nested forward mode, as many samples at a time as memory allows."""
    D = U.shape[1]
    per_sample_bytes = (1 + D) ** 2 * loss.activation_bytes(w, samples[0])
    left = memory - _tangent_bytes(w, D)
    chunk = max(1, min(len(samples), int(left / per_sample_bytes)))
    origin = torch.zeros(D, dtype=w.dtype, device=w.device)
    pieces = []
    for i in range(0, len(samples), chunk):
        batch = samples[i : i + chunk]

        def losses(z: Tensor, batch: range = batch) -> tuple[Tensor, Tensor]:
            values = loss.losses_at(w + U @ z, batch)
            return values, values

        def gradients(z: Tensor, losses: Callable = losses) -> tuple[Tensor, tuple[Tensor, Tensor]]:
            c, values = jacfwd(losses, has_aux=True)(z)
            return c, (c, values)

        try:
            B, (c, values) = jacfwd(gradients, has_aux=True)(origin)
        except torch.OutOfMemoryError:
            raise
        except (NotImplementedError, RuntimeError) as error:
            raise ForwardModeError(
                "The model has no forward-mode second derivatives "
                f"({checks.first_line(error)}). Use method='reverse'."
            ) from error
        _compare_with_reverse_mode(loss, w, U, batch, B)
        pieces.append((values.detach(), c.detach(), B.detach()))
    values, c, B = (torch.cat(parts) for parts in zip(*pieces, strict=True))
    return values, c, (B + B.mT) / 2


def _compare_with_reverse_mode(
    loss: EmpiricalLoss, w: Tensor, U: Tensor, batch: range, B: Tensor
) -> None:
    """One product of the whole chunk along a generic direction of U: every sample counts."""
    z = torch.arange(1, U.shape[1] + 1, dtype=U.dtype, device=U.device).cos()
    direction = U @ z
    difference = (B.mean(0) @ z - U.T @ loss.hvp(w, direction, batch)).norm()
    # The square root of the precision separates rounding from a wrong formula. Chosen here.
    allowed = 10 * torch.finfo(w.dtype).eps ** 0.5 * B.norm(dim=(1, 2)).mean() * z.norm()
    if not difference <= allowed:
        raise ForwardModeError(
            "PyTorch's nested forward mode gives wrong second derivatives for this model (off by "
            f"{float(difference):.1e} from reverse mode; layer_norm is a known case). Use "
            "method='reverse'."
        )
