"""Functions whose result is linear in the parameters they take, and linear in what these multiply.

y = product(weight, features) + bias

The features are the input; of a normalisation, the normalised input; of an embedding, the indices.
Everything that layer contraction (`landscape_nb.numerics.contraction`) knows of a model stands
here: whatever else a model does with its parameters makes it one for other methods.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv1d_input, conv2d_input, conv3d_input

Product = Callable[[Tensor, Tensor], Tensor]
Several = Callable[[Tensor, Tensor | None, Tensor, Tensor | None], tuple[Tensor, Tensor | None]]


@dataclass(frozen=True, eq=False)
class BilinearLayer:
    """What one call does with parameters.

    Attributes:
        weight, bias: the parameters, or None.
        features: what the weight multiplies.
        product: (weight, features) -> the output without the bias.
        own: dimensions of the output that one position's numbers take.
        trailing: dimensions behind these (the pixels of an image); None: whatever the output has
            past one dimension for the sample and one for the channel.
        gradients: features (m, T, ...) and gradients (m, T, ...) in the output, of m samples at T
            positions -> each sample's gradient in the weight, (m, ...).
        inner: (m, T, ...) features at T positions -> their inner products (m, T, T), where the
            weight's gradient is an outer product at each position; else None.
        several: weights (D, ...), biases (D, ...) or None, features, and d or None -> the D outputs
            (D, ...) and, if d is given, the gradients of d'output in the features (D, ...), for
            less than one by one; else None.
    """

    weight: Tensor | None
    bias: Tensor | None
    features: Tensor
    product: Product
    gradients: Callable[[Tensor, Tensor], Tensor]
    own: int = 1
    trailing: int | None = 0
    inner: Callable[[Tensor], Tensor] | None = None
    several: Several | None = None

    def behind(self, output: Tensor) -> int:
        """Dimensions of an output behind the layer's own."""
        return max(0, output.ndim - 2) if self.trailing is None else self.trailing

    def leading(self, output: Tensor) -> int:
        """Dimensions of an output that count samples and positions."""
        return output.ndim - self.own - self.behind(output)

    def widened(self, bias: Tensor, output: Tensor) -> Tensor:
        """Biases (..., own shape) in a form that can be added to such an output."""
        lead = bias.ndim - self.own
        ones = [1] * self.leading(output)
        shape = [*bias.shape[:lead], *ones, *bias.shape[lead:], *[1] * self.behind(output)]
        return bias.reshape(shape)


def is_bilinear(function: Any) -> bool:
    """Whether a function of torch is one of those known here."""
    return function in _KINDS


def bilinear_layer(function: Any, args: Any, named: Any) -> BilinearLayer | None:
    """What a call of a function of torch does; None if it is none of those known here."""
    kind = _KINDS.get(function)
    return None if kind is None else kind(*args, **named)


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> BilinearLayer:
    def product(W: Tensor, a: Tensor) -> Tensor:
        return F.linear(a, W)

    return BilinearLayer(
        weight, bias, x, product, lambda a, d: d.mT @ a, inner=lambda a: a @ a.mT,
        several=_several_matrices,
    )  # fmt: skip


def _several_matrices(
    W: Tensor, biases: Tensor | None, a: Tensor, d: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """As one matrix of all rows: half the time that one each takes."""

    def product(W: Tensor, x: Tensor, biases: Tensor | None = None) -> Tensor:
        b = biases if biases is None else biases.flatten()
        return F.linear(x, W.flatten(0, 1), b).unflatten(-1, W.shape[:2]).movedim(-2, 0)

    return product(W, a, biases), None if d is None else product(W.mT, d)


def _matrix_product(x: Tensor, weight: Tensor) -> BilinearLayer | None:
    if x.ndim < 2 or weight.ndim > 2:
        return None
    if weight.ndim == 2:
        return _linear(x, weight.mT)
    return BilinearLayer(
        weight, None, x, lambda w, a: a @ w, lambda a, d: (d[..., None] * a).sum(1), own=0
    )


def _product(x: Tensor, other: Tensor) -> BilinearLayer | None:
    """A scale by hand."""
    x, scale = (x, other) if x.ndim > other.ndim else (other, x)
    if x.ndim == scale.ndim or x.shape[x.ndim - scale.ndim :] != scale.shape:
        return None
    return BilinearLayer(scale, None, x, torch.mul, _sums_of_products, own=scale.ndim)


def _sums_of_products(a: Tensor, d: Tensor) -> Tensor:
    return (a * d).sum(1)


def _sum(x: Tensor, other: Tensor) -> BilinearLayer | None:
    """A bias by hand."""
    found = _product(x, other)
    return found and replace(found, weight=None, bias=found.weight)


def _convolution(
    convolve: Callable[..., Tensor],
    dimensions: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> BilinearLayer | None:
    def product(W: Tensor, a: Tensor, samples: int = 1) -> Tensor:
        return convolve(a, W, None, stride, padding, dilation, samples * groups)

    @torch.enable_grad()
    def gradients(a: Tensor, d: Tensor) -> Tensor:  # as groups of one image, with their own weights
        each = torch.zeros(len(a), *weight.shape, dtype=d.dtype, device=d.device).requires_grad_()
        images, slopes = (t.transpose(0, 1).flatten(1, 2) for t in (a, d))
        output = product(each.flatten(0, 1), images, len(a))
        return torch.autograd.grad(output, each, slopes)[0]

    def several(
        W: Tensor, biases: Tensor | None, a: Tensor, d: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:  # as channels of one image, put out and taken in
        D, b, pulled = len(W), biases if biases is None else biases.flatten(), None
        r = convolve(a, W.flatten(0, 1), b, stride, padding, dilation)
        if d is not None:
            size, taken = (len(a), D * a.shape[1], *a.shape[2:]), W.transpose(0, 1).flatten(1, 2)
            pulled = _INPUT_GRADIENTS[dimensions](size, taken, d, stride, padding, dilation)
            pulled = pulled.unflatten(1, (D, -1)).movedim(1, 0)
        return r.unflatten(1, (D, -1)).movedim(1, 0), pulled

    if input.ndim != dimensions + 2:
        return None
    simple = groups == 1 and not isinstance(padding, str)
    return BilinearLayer(
        weight, bias, input, product, gradients, trailing=dimensions,
        several=several if simple else None,
    )  # fmt: skip


_INPUT_GRADIENTS = {1: conv1d_input, 2: conv2d_input, 3: conv3d_input}


def _embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> BilinearLayer | None:
    if max_norm is not None or scale_grad_by_freq or sparse:
        return None

    def same(a: Tensor) -> Tensor:
        return a[..., None] == a[..., None, :]

    def gradients(a: Tensor, d: Tensor) -> Tensor:
        rows = a + len(weight) * torch.arange(len(a), device=a.device)[:, None]
        sums = d.new_zeros(len(a) * len(weight), weight.shape[1])
        return sums.index_add_(0, rows.flatten(), d.flatten(0, 1)).view(len(a), *weight.shape)

    # A row for padding asks nothing more: where samples use it, no gradient may reach it anyway.
    return BilinearLayer(weight, None, input, lambda W, a: F.embedding(a, W), gradients, inner=same)


def _layer_norm(
    input: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> BilinearLayer:
    a = F.layer_norm(input, normalized_shape, eps=eps)
    return BilinearLayer(weight, bias, a, torch.mul, _sums_of_products, len(normalized_shape))


def _rms_norm(
    input: Tensor, normalized_shape: Any, weight: Tensor | None = None, eps: float | None = None
) -> BilinearLayer:
    a = F.rms_norm(input, normalized_shape, eps=eps)
    return BilinearLayer(weight, None, a, torch.mul, _sums_of_products, len(normalized_shape))


def _by_channel(W: Tensor, a: Tensor) -> Tensor:
    return W.view(-1, *[1] * (a.ndim - 2)) * a


def _sums_by_channel(a: Tensor, d: Tensor) -> Tensor:
    return (a * d).unsqueeze(-1).flatten(3).sum((1, 3))


def _group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> BilinearLayer:
    a = F.group_norm(input, num_groups, eps=eps)
    return BilinearLayer(weight, bias, a, _by_channel, _sums_by_channel, trailing=None)


def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> BilinearLayer | None:
    if training or running_mean is None:
        return None  # samples would be normalised by one another
    a = F.batch_norm(input, running_mean, running_var, eps=eps)
    return BilinearLayer(weight, bias, a, _by_channel, _sums_by_channel, trailing=None)


_KINDS: dict[Any, Callable[..., BilinearLayer | None]] = {
    F.linear: _linear,
    F.conv1d: partial(_convolution, F.conv1d, 1),
    F.conv2d: partial(_convolution, F.conv2d, 2),
    F.conv3d: partial(_convolution, F.conv3d, 3),
    F.embedding: _embedding,
    F.layer_norm: _layer_norm,
    F.rms_norm: _rms_norm,
    F.group_norm: _group_norm,
    F.batch_norm: _batch_norm,
    **dict.fromkeys([torch.matmul, Tensor.matmul], _matrix_product),
    **dict.fromkeys([torch.mul, Tensor.mul], _product),
    **dict.fromkeys([torch.add, Tensor.add], _sum),
}
