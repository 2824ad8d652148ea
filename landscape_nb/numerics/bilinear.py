"""Layers whose output is linear in their parameters, and linear in what these multiply.

y = product(weight, features) + bias

The features are the layer's input; of a normalisation, the normalised input; of an embedding, the
indices. Everything that layer contraction (`landscape_nb.numerics.contraction`) knows of a model
stands here: a layer that is not in this table makes the model one for other methods.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

_Conv = nn.Conv1d | nn.Conv2d | nn.Conv3d
Product = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class BilinearLayer:
    """What one module does with its own trainable parameters.

    Attributes:
        weight, bias: their names in the layout of the whole model; None if absent or frozen.
        features: (input) -> what the weight multiplies, the module's own settings included.
        product: (weight, features) -> the output without the bias.
        own: dimensions of the output that one position's numbers take (1; of layer norm more).
        trailing: dimensions behind these (the pixels of an image); None: whatever the output has
            past one dimension for the sample and one for the channel.
        inner: (m, T, ...) features at T positions -> their inner products (m, T, T), where the
            weight's gradient is an outer product at each position; else None.
    """

    weight: str | None
    bias: str | None
    features: Callable[[Tensor], Tensor]
    product: Product
    own: int = 1
    trailing: int | None = 0
    inner: Callable[[Tensor], Tensor] | None = None

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
        return bias.view(shape)


def bilinear_layers(model: nn.Module, names: tuple[str, ...]) -> dict[nn.Module, BilinearLayer]:
    """The modules that own the trainable parameters, or none at all if one is of another kind.

    Args:
        model: the module.
        names: of its trainable parameters, each once; a tied one goes by the name given here.
    """
    every = dict(model.named_parameters(remove_duplicate=False))
    name_of = {id(every[name]): name for name in names if name in every}
    if len(name_of) != len(names):
        return {}
    found = {}
    for module in model.modules():
        own = {
            n: name_of[id(p)] for n, p in module.named_parameters(recurse=False) if id(p) in name_of
        }
        if own:
            layer = _layer(module, own)
            if layer is None or "forward" in vars(module):
                return {}
            found[module] = layer
    return found


def _layer(module: nn.Module, own: dict[str, str]) -> BilinearLayer | None:
    """The module's entry, if its very type is known: a subclass may do anything."""
    kind = _KINDS.get(type(module))
    if kind is None or not own.keys() <= {"weight", "bias"}:
        return None
    return kind(module, own.get("weight"), own.get("bias"))


def _same(features: Tensor) -> Tensor:
    return features


def _linear(_: nn.Module, weight: str | None, bias: str | None) -> BilinearLayer:
    return BilinearLayer(weight, bias, _same, lambda W, a: F.linear(a, W), inner=lambda a: a @ a.mT)


def _convolution(
    convolve: Callable[..., Tensor], module: _Conv, weight: str | None, bias: str | None
) -> BilinearLayer | None:
    if module.padding_mode != "zeros":
        return None
    how = (None, module.stride, module.padding, module.dilation, module.groups)
    trailing = len(module.kernel_size)
    return BilinearLayer(weight, bias, _same, lambda W, a: convolve(a, W, *how), trailing=trailing)


def _embedding(module: nn.Embedding, weight: str | None, bias: str | None) -> BilinearLayer | None:
    if module.max_norm is not None or module.scale_grad_by_freq or module.sparse:
        return None

    # A row for padding asks nothing more: where samples use it, no gradient may reach it anyway.
    return BilinearLayer(
        weight,
        bias,
        _same,
        lambda W, a: F.embedding(a, W),
        inner=lambda a: a[..., None] == a[..., None, :],
    )


def _layer_norm(module: nn.LayerNorm, weight: str | None, bias: str | None) -> BilinearLayer:
    normalised = partial(F.layer_norm, normalized_shape=module.normalized_shape, eps=module.eps)
    own = len(module.normalized_shape)
    return BilinearLayer(weight, bias, normalised, lambda W, a: W * a, own=own)


def _rms_norm(module: nn.RMSNorm, weight: str | None, bias: str | None) -> BilinearLayer:
    normalised = partial(F.rms_norm, normalized_shape=module.normalized_shape, eps=module.eps)
    own = len(module.normalized_shape)
    return BilinearLayer(weight, bias, normalised, lambda W, a: W * a, own=own)


def _by_channel(W: Tensor, a: Tensor) -> Tensor:
    return W.view(-1, *[1] * (a.ndim - 2)) * a


def _group_norm(module: nn.GroupNorm, weight: str | None, bias: str | None) -> BilinearLayer:
    normalised = partial(F.group_norm, num_groups=module.num_groups, eps=module.eps)
    return BilinearLayer(weight, bias, normalised, _by_channel, trailing=None)


def _batch_norm(
    module: nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d, weight: str | None, bias: str | None
) -> BilinearLayer | None:
    if module.training or module.running_mean is None:
        return None  # samples would be normalised by one another

    def normalised(x: Tensor) -> Tensor:
        return F.batch_norm(x, module.running_mean, module.running_var, eps=module.eps)

    return BilinearLayer(weight, bias, normalised, _by_channel, trailing=None)


_KINDS: dict[type, Callable[..., BilinearLayer | None]] = {
    nn.Linear: _linear,
    nn.Conv1d: partial(_convolution, F.conv1d),
    nn.Conv2d: partial(_convolution, F.conv2d),
    nn.Conv3d: partial(_convolution, F.conv3d),
    nn.Embedding: _embedding,
    nn.LayerNorm: _layer_norm,
    nn.RMSNorm: _rms_norm,
    nn.GroupNorm: _group_norm,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.BatchNorm3d: _batch_norm,
}
