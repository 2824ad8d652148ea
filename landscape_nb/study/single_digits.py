"""Energies of single digits' increments, exact for every digit, for networks of one hidden layer.

The Hessian H_i of one digit lives in few coordinates v = (inputs of the hidden units, output
layer): H_i = E M E', with M the Hessian in v and E (N, n) the derivative of v. So |H_i|_F^2 and
tr H_i H need no (N, N) matrix but that of the mean, H.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import grad, hessian, jacrev, vmap

from landscape_nb.numerics.loss import EmpiricalLoss

_AT_ONCE = 64  # digits, of 270 kB each for every matrix in v: chosen here


@dataclass(frozen=True, eq=False)
class Seen:
    """What a subspace sees of m increments; the whole space sees all of them.

    Attributes:
        gradient: (m,), |U' grad I|^2, in loss^2.
        curvature: (m,), |U'AU|_F^2, in loss^2.
        trace: (m,), tr U'AU, in loss.
    """

    gradient: Tensor
    curvature: Tensor
    trace: Tensor

    def centred(self, sigma: float) -> Tensor:
        """E (I - a)^2 in the subspace, (m,): KG26 Eq. 15 without value and cross."""
        spread = 2 * self.curvature + self.trace.square()
        return sigma**2 * self.gradient + sigma**4 / 4 * spread

    def raw(self, a: Tensor, sigma: float) -> Tensor:
        """E I^2 in the subspace, (m,): KG26 Eq. 15."""
        return a.square() + a * sigma**2 * self.trace + self.centred(sigma)


@dataclass(frozen=True, eq=False)
class SingleDigits:
    """`Seen` by the whole space, and by the span of each digit's own output Jacobian."""

    whole: Seen
    within_jacobian: Seen


def single_digits(loss: EmpiricalLoss, w: Tensor, k: int, judges: Tensor) -> SingleDigits:
    """What the whole space and each digit's own Jacobian see of the digits' increments.

    |A_i|_F^2 with A_i = (H_i - H^(k))/(k + 1), and so on; exact. For an MLP (inputs, hidden,
    outputs) with tanh, biases and cross-entropy only.

    Args:
        loss: of such a network.
        w: (N,).
        k: number of samples in L_k.
        judges: (m,), indices from 0.
    """
    loss = loss.without_l2()
    g, H = loss.gradient(w, k), loss.hessian(w, k)
    G = loss.sample_gradients(w, judges)
    energy, product = H.square().sum(), G @ g
    whole, inside = [], []
    for here in torch.arange(len(judges)).split(_AT_ONCE):
        x, y = loss.samples.rows(judges[here])
        first, M, J, scale = _in_few(w, x, y, hidden=_hidden(loss))
        Eg, K = _mean_in_few(g, H, x, scale, hidden=_hidden(loss))
        size = M.square().sum((1, 2)) - 2 * (M * K).sum((1, 2)) + energy
        slope = G[here].square().sum(1) - 2 * product[here] + g @ g
        trace = M.diagonal(0, 1, 2).sum(1) - H.trace()
        whole.append(torch.stack([slope, size, trace], 1))
        Q = torch.linalg.qr(J).Q
        c, B = Q.mT @ (first - Eg)[..., None], Q.mT @ (M - K) @ Q
        parts = c.square().sum((1, 2)), B.square().sum((1, 2)), B.diagonal(0, 1, 2).sum(1)
        inside.append(torch.stack(parts, 1))
    scales = torch.tensor([k + 1.0, k + 1.0, 1.0], dtype=w.dtype) * (k + 1)
    return SingleDigits(*(Seen(*(torch.cat(rows) / scales).T) for rows in (whole, inside)))


def compressed_hessians(loss: EmpiricalLoss, w: Tensor, samples: Tensor) -> Tensor:
    """Each chosen digit's whole Hessian, (m, n, n), without the directions in which it is zero.

    A digit sees the first layer of (64, 16, 10) through 16 numbers alone: of 1210 directions 186
    are left, an orthonormal set. So trace, norms and eigenvalues are the whole ones.

    Args:
        loss: of a network as in `single_digits`.
        w: (N,).
        samples: (m,), indices from 0.
    """
    parts = [
        _in_few(w, *loss.samples.rows(here), hidden=_hidden(loss))[1]
        for here in samples.split(_AT_ONCE)
    ]
    return torch.cat(parts)


def _hidden(loss: EmpiricalLoss) -> int:
    return loss.layout.shapes[0][0]


def _in_few(w: Tensor, x: Tensor, y: Tensor, hidden: int) -> tuple[Tensor, ...]:
    """Gradient (m, n), Hessian (m, n, n) and Jacobian (m, n, K) in v; its scale (m, n)."""
    first, rest = _split(w, x.shape[1], hidden)
    z = _ones(x) @ first.T
    outputs = len(rest) // (hidden + 1)

    def logits(v: Tensor) -> Tensor:
        W, b = v[hidden : hidden * (1 + outputs)].view(outputs, hidden), v[-outputs:]
        return W @ torch.tanh(v[:hidden]) + b

    def one(v: Tensor, label: Tensor) -> Tensor:
        return -torch.log_softmax(logits(v), 0).gather(0, label[None])[0]

    v = torch.cat([z, rest.expand(len(x), -1)], 1)
    scale = torch.ones_like(v)
    scale[:, :hidden] = _ones(x).norm(dim=1, keepdim=True)  # then E has orthonormal columns
    first_of, second_of = (vmap(f(one))(v, y) for f in (grad, hessian))
    J = vmap(jacrev(logits))(v).mT * scale[:, :, None]
    return first_of * scale, second_of * scale[:, :, None] * scale[:, None], J, scale


def _mean_in_few(
    g: Tensor, H: Tensor, x: Tensor, scale: Tensor, hidden: int
) -> tuple[Tensor, Tensor]:
    """E'g (m, n) and E'HE (m, n, n)."""
    order = torch.cat(list(_order(len(g), x.shape[1], hidden)))
    cut, u = hidden * (x.shape[1] + 1), _ones(x) / _ones(x).norm(dim=1, keepdim=True)
    g, H = g[order], H[order][:, order]
    left = torch.einsum("axn,mx->man", H[:cut].view(hidden, -1, len(g)), u)
    corner = torch.einsum("maby,my->mab", left[..., :cut].view(len(x), hidden, hidden, -1), u)
    side = left[..., cut:]
    upper = torch.cat([corner, side], 2)
    lower = torch.cat([side.mT, H[cut:, cut:].expand(len(x), -1, -1)], 2)
    of_g = torch.cat([(u @ g[:cut].view(hidden, -1).T), g[cut:].expand(len(x), -1)], 1)
    return of_g, torch.cat([upper, lower], 1)


def _split(w: Tensor, width: int, hidden: int) -> tuple[Tensor, Tensor]:
    first, rest = (w[part] for part in _order(len(w), width, hidden))
    return first.view(hidden, width + 1), rest


def _order(N: int, width: int, hidden: int) -> Iterator[Tensor]:
    """Indices of the first layer, each unit's weights and then its bias, and of all others."""
    cut = hidden * width
    weights, biases = torch.arange(cut).view(hidden, width), torch.arange(cut, cut + hidden)
    yield torch.cat([weights, biases[:, None]], 1).flatten()
    yield torch.arange(cut + hidden, N)


def _ones(x: Tensor) -> Tensor:
    return torch.cat([x, torch.ones_like(x[:, :1])], 1)
