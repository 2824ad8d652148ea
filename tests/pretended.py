"""A device that is not there: tensors on the CPU that behave as on Apple's or another GPU.

A `Pretended` tensor holds its numbers on the CPU and says that it is elsewhere. What a real device
refuses is refused here:

* float64 on "mps", in torch's words ("xla" stands for a device that has it);
* an operation on two devices at once, unless the other side is a single number (or an index);
* random numbers from the generator of another device;
* NumPy.

Inside `pretending()` tensors are made there, moved and read as on any other device:
torch.zeros(3, device="mps"), x.to("mps"), x.cpu(), x.tolist().

PyTorch's C++ takes them for tensors on the CPU. So what it makes for itself, a zero tangent say,
can't be told from the program's own: it counts as anyone's.
"""

import contextlib
import threading
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

PRETENDED = ("mps", "xla")
NO_FLOAT64 = (
    "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64. "
    "Please use float32 instead."
)
CPU = torch.device("cpu")
aten = torch.ops.aten
# Of torch.linalg, what "mps" has not (2.13 sends some of it to the CPU, with a warning).
MISSING = ("linalg_qr", "_linalg_eigh", "linalg_eig", "_linalg_eigvals", "_linalg_svd")
INDEXING = (
    "index",
    "_index_put_impl_",
    "index_put",
    "index_put_",
    "_unsafe_index",
    "_unsafe_index_put",
)

_now = (
    threading.local()
)  # .target: where the next `_to_copy` goes; .python: inside a call from Python


class Pretended(Tensor):
    """Numbers on the CPU that claim to be on another device."""

    @staticmethod
    def __new__(cls, held: Tensor, claimed: torch.device) -> "Pretended":
        """Wrap them; float64 only where the device has it."""
        if claimed.type == "mps" and held.dtype in (torch.float64, torch.complex128):
            raise TypeError(NO_FLOAT64)
        out = Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=CPU,
            requires_grad=False,
        )
        out.held, out.claimed = held, claimed
        return out

    def __repr__(self) -> str:
        """Numbers and device."""
        return f"Pretended({self.held!r}, {self.claimed})"

    def tolist(self) -> list:
        """By way of the CPU, as torch does for devices."""
        return self.held.tolist()

    def numpy(self, *args: object, **kwargs: object) -> None:
        """Refused, as of devices."""
        raise TypeError(
            f"can't convert {self.claimed} device type tensor to numpy. Use Tensor.cpu()"
        )

    __array__ = numpy

    def untyped_storage(self) -> torch.UntypedStorage:
        """The memory of the numbers."""
        return self.held.untyped_storage()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        """Outside `pretending()` as inside."""
        return dispatched(func, args, kwargs or {})


def place(x: Tensor) -> torch.device | None:
    """Where a tensor claims to be; None if anyone may use it."""
    x = unwrapped(x)
    if isinstance(x, Pretended):
        return x.claimed
    return None if is_torchs_own(x) or not x.ndim else CPU


def is_torchs_own(x: Tensor) -> bool:
    """Whether C++ has made it for itself: a zero tangent, for one."""
    return getattr(x, "anyones", False) or x._is_zerotensor()


def unwrapped(x: Tensor) -> Tensor:
    """Without the wrappers of torch.func."""
    while torch._C._functorch.is_functorch_wrapped_tensor(x):
        x = torch._C._functorch.get_unwrapped(x)
    return x


def dispatched(func, args, kwargs):
    """Do on the CPU what is asked of the pretended device, or refuse it."""
    name = func._schema.name.removeprefix("aten::")
    tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    if name == "_to_copy" and getattr(_now, "target", None) is not None:
        here, _now.target = _now.target, None
    elif name in ("copy_", *INDEXING):
        here = place(args[0])
        if name != "copy_":
            refuse_elsewhere(here, args[1], index=True)
            refuse_elsewhere(here, args[2:3], index=False)
    else:
        here = the_only(name, [place(x) for x in tensors])
    if here == torch.device("mps") and name in MISSING:
        raise NotImplementedError(f"The operator 'aten::{name}' is not implemented for MPS.")
    plain = [
        tree_map(lambda x: x.held if isinstance(x, Pretended) else x, x) for x in (args, kwargs)
    ]
    out = func(*plain[0], **plain[1])
    if torch.Tag.inplace_view in func.tags:  # squeeze_: the shape of the claim changes too
        with no_dispatch():
            func(*args, **kwargs)
    known = {id(x.held): x for x in tensors if isinstance(x, Pretended)}
    made_by_torch = not tensors and not getattr(_now, "python", False)
    made_by_torch |= here is None and any(is_torchs_own(x) for x in tensors)

    def placed(x):
        if not isinstance(x, Tensor) or isinstance(x, Pretended):
            return x
        if id(x) in known:
            return known[id(x)]  # changed in place
        if made_by_torch:
            x.anyones = True
        return x if here in (None, CPU) else Pretended(x, here)

    return tree_map(placed, out)


def the_only(name: str, places: list[torch.device | None]) -> torch.device | None:
    """The one device of an operation."""
    found = {p for p in places if p is not None}
    if len(found) > 1 and name.startswith("prims::"):
        found -= {CPU}  # torch's own decomposition, in Python
    if len(found) > 1:
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, "
            f"{' and '.join(sorted(map(str, found)))}! (in {name})"
        )
    return found.pop() if found else None


def refuse_elsewhere(here, tensors, index: bool) -> None:
    """An index on the CPU serves any device; anything else must be where the rest is."""
    for x in tensors:
        at = place(x) if isinstance(x, Tensor) else None
        if at not in (None, here) and not (index and at == CPU):
            raise RuntimeError(f"indices or values are on {at}, what they belong to is on {here}.")


class Dispatching(TorchDispatchMode):
    """Every operation, from wherever it is called."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """As of the tensors themselves."""
        return dispatched(func, args, kwargs or {})


class Placing(TorchFunctionMode):
    """Calls from Python that name a device, of which C++ must not hear."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """Take the device out, call, and move what comes back."""
        kwargs = dict(kwargs or {})
        name = (resolve_name(func) or "").rpartition("torch.")[2]
        if name == "Tensor.device.__get__":
            return place_of_any(args[0])
        if name in ("Tensor.cpu", "Tensor.to", "Tensor.type"):
            return moved_tensor(name, args, kwargs)
        asked, args = kwargs.get("device"), list(args)
        if asked is not None:
            kwargs["device"] = CPU
            asked = torch.device(asked)
        elif name.startswith("Tensor.new_"):
            asked = place_of_any(args[0])
        generator = kwargs.get("generator")
        where = asked or (place_of_any(args[0]) if name.startswith("Tensor.") else CPU)
        if generator is not None and generator.device.type != where.type:
            raise RuntimeError(
                f"Expected a '{where.type}' device type for generator but found "
                f"'{generator.device.type}'"
            )
        made = not any(isinstance(x, Tensor) for x in tree_leaves((args, kwargs)))
        outer, _now.python = getattr(_now, "python", False), made
        try:
            out = func(*args, **kwargs)
        finally:
            _now.python = outer
        if asked is not None and isinstance(out, Tensor):
            return to_device(out, asked)
        return out


def place_of_any(x: Tensor) -> torch.device:
    return place(x) or CPU


def moved_tensor(name: str, args: tuple, kwargs: dict) -> Tensor:
    """x.cpu() and x.to(...): conversion where the numbers are going, or coming from if it is up."""
    x, rest = args[0], list(args[1:])
    rest += [kwargs.pop(key) for key in ("device", "other") if kwargs.get(key) is not None]
    target, dtype = (CPU if name == "Tensor.cpu" else place_of_any(x)), kwargs.get("dtype")
    for given in rest:
        if isinstance(given, Tensor):
            target, dtype = place_of_any(given), given.dtype
        elif isinstance(given, torch.dtype):
            dtype = given
        elif isinstance(given, str | torch.device):
            target = torch.device(given)
    dtype = dtype or x.dtype
    if target == place_of_any(x) and dtype == x.dtype and not kwargs.get("copy"):
        return x
    return to_device(x, target, dtype)


def to_device(x: Tensor, target: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """Moved and converted; differentiable."""
    if target == place_of_any(x) and dtype in (None, x.dtype):
        return x
    _now.target = target
    return aten._to_copy(x, dtype=dtype or x.dtype)


@contextlib.contextmanager
def pretending() -> Iterator[None]:
    """The devices "mps" (without float64) and "xla" (with it) are there for a while."""
    with Dispatching(), Placing(), torch.autograd.set_multithreading_enabled(False):
        yield


def moved(model: nn.Module, device: str) -> nn.Module:
    """The model with its parameters and buffers on a pretended device."""
    for module in model.modules():
        for name, p in module._parameters.items():
            if p is not None:
                there = p.detach().to(device).requires_grad_(p.requires_grad)
                module._parameters[name] = nn.Parameter(there, p.requires_grad)
        for name, b in module._buffers.items():
            if b is not None:
                module._buffers[name] = b.to(device)
    return model
