"""The networks of the notebooks."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from landscape_nb.problems.transformer import DecoderTransformer, TransformerConfig, sequence_loss

__all__ = ["MLP", "DecoderTransformer", "TransformerConfig", "sequence_loss"]


class MLP(nn.Sequential):
    """A fully connected network: Linear, activation, ..., Linear.

    Args:
        widths: sizes of all layers, inputs first, outputs last.
        activation: constructor of the nonlinearity. tanh is smooth; ReLU has kinks, at which
            second derivatives do not exist (Hessian-vector products ignore them).
        bias: whether layers have a bias.
        generator: draws the weights; None means seed 0. Uniform in +-1/sqrt(fan in), PyTorch's
            own default for Linear layers.
        dtype: float64 by default: curvature of small increments needs the digits.

    >>> model = MLP([64, 16, 10])
    >>> sum(p.numel() for p in model.parameters())
    1210
    """

    def __init__(
        self,
        widths: Sequence[int],
        activation: Callable[[], nn.Module] = nn.Tanh,
        *,
        bias: bool = True,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        if len(widths) < 2 or any(not isinstance(size, int) or size < 1 for size in widths):
            raise ValueError(
                "widths must name at least inputs and outputs, all positive whole numbers; got "
                f"{list(widths)}. For example [64, 16, 10]."
            )
        generator = generator or torch.Generator().manual_seed(0)
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(widths):
            # skip_init: the global random state is nobody's business here
            linear = nn.utils.skip_init(nn.Linear, fan_in, fan_out, bias=bias, dtype=dtype)
            with torch.no_grad():
                for p in linear.parameters():
                    p.copy_(_uniform(p, fan_in**-0.5, generator))
            layers += [linear, activation()]
        super().__init__(*layers[:-1])


def _uniform(like: Tensor, bound: float, generator: torch.Generator) -> Tensor:
    draw = torch.rand(like.shape, generator=generator, dtype=torch.float64)
    return ((2 * draw - 1) * bound).to(like)
