"""Which entries of one flat vector w belong to which parameter of a module."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from landscape_nb.numerics import checks


@dataclass(frozen=True)
class ParameterLayout:
    """Names and shapes of the trainable parameters, in the order in which w holds them."""

    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]

    @property
    def num_params(self) -> int:
        """N, the number of trainable parameters."""
        return sum(shape.numel() for shape in self.shapes)

    def unflatten(self, w: Tensor) -> dict[str, Tensor]:
        """Cut w, shape (N,), into named views, and gradients flow back into w.

        No copy, but of what may be complex numbers as pairs: torch.view_as_complex asks for an even
        place in memory.
        """
        pieces = w.split([shape.numel() for shape in self.shapes])
        return {
            n: 1 * p.view(s) if s[-1:] == (2,) and self._odd else p.view(s)
            for n, p, s in zip(self.names, pieces, self.shapes, strict=True)
        }

    @property
    def _odd(self) -> bool:
        """Whether any parameter stands at an odd place of w or of a block of columns."""
        return any(shape.numel() % 2 for shape in self.shapes)

    def slices(self) -> dict[str, slice]:
        """Where in w each parameter stands."""
        ends = list(itertools.accumulate(shape.numel() for shape in self.shapes))
        return {
            name: slice(end - shape.numel(), end)
            for name, shape, end in zip(self.names, self.shapes, ends, strict=True)
        }

    def flatten(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Join named tensors into one vector of shape (N,)."""
        return torch.cat([tensors[name].reshape(-1) for name in self.names])


def parameter_layout(model: nn.Module) -> tuple[ParameterLayout, Tensor]:
    """Layout of a module's trainable parameters and a copy of their values, w0 of shape (N,).

    Frozen parameters (requires_grad=False) are left out, tied parameters are counted once.

    >>> layout, w0 = parameter_layout(nn.Linear(3, 2))
    >>> layout.names, layout.num_params, tuple(w0.shape)
    (('weight', 'bias'), 8, (8,))

    Raises:
        ValueError: no trainable parameters, parameters that are not real floating point numbers,
            or a mixture of dtypes or devices.
    """
    trainable = {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}
    if not trainable:
        raise ValueError(
            "The model has no trainable parameters, so it has no loss landscape. Check that its "
            "layers are attributes of the module and that requires_grad is not False everywhere "
            "(parameters of whole numbers can't be trained)."
        )
    for name, p in trainable.items():
        if not p.is_floating_point():
            raise ValueError(
                "Parameters must be real floating point numbers; "
                f"{checks.shown(name)} has dtype {p.dtype}. "
                "Keep complex numbers as two real ones (torch.view_as_real) and join them in "
                "forward (torch.view_as_complex)."
            )
    dtypes = {p.dtype for p in trainable.values()}
    coarse = [dtype for dtype in dtypes if torch.finfo(dtype).eps > 1e-6]
    if coarse:
        raise ValueError(
            f"Parameters of {coarse[0]} are too coarse for second derivatives and small probes; "
            "use model.float() or, better, model.double()."
        )
    devices = {p.device for p in trainable.values()}
    if len(dtypes) > 1:
        raise ValueError(
            f"All parameters must share one dtype; got {sorted(map(str, dtypes))}. "
            "Convert the whole model, for example model.double()."
        )
    if len(devices) > 1:
        raise ValueError(
            f"All parameters must be on one device; got {sorted(map(str, devices))}. "
            "Move the whole model, for example model.to('cpu')."
        )
    if devices == {torch.device("meta")}:
        raise ValueError(
            "All parameters are on the device 'meta': they have no numbers. Give the model some "
            "first: model.to_empty(device='cpu') and an initialisation, or load its weights."
        )
    layout = ParameterLayout(tuple(trainable), tuple(p.shape for p in trainable.values()))
    return layout, layout.flatten(trainable).clone()
