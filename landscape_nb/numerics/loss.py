"""The empirical loss L_k of any torch module, as a function of one flat vector w.

L_k(w) = (1/k) sum_{i<=k} l_i(w)  +  (l2/2) |w|^2                         theory: KG26 sec. 3

Samples stay in the order given: "adding one more sample" means going from the first k to the
first k + 1. Wherever a number of samples k is asked for, a `range` or a tensor of sample indices is
accepted too and means the average over just these samples.

The mean is over samples, each once, of what loss_fn returns: a class weight multiplies a loss and
is not divided out, an ignored sample counts as zero, a sequence is the mean of its real tokens.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import grad, vmap

from landscape_nb.numerics import batches, checks
from landscape_nb.numerics.audit import audit
from landscape_nb.numerics.blocks import refuse_large_dense
from landscape_nb.numerics.calls import Copies, ModuleOfThreads, graph_bytes
from landscape_nb.numerics.layout import ParameterLayout, parameter_layout
from landscape_nb.numerics.operators import (
    HessianOperator,
    Indices,
    Samples,
    refuse_nan_derivatives,
)

# The graph of a gradient holds about so many times what a forward pass leaves behind. Measured on
# an MLP and a transformer.
_GRAPH_OF_GRADIENT = 4
LossFunction = Callable[[Any, Any], Tensor]


class EmpiricalLoss:
    """Ordered per-sample losses of a module and their averages L_k, gradients and curvature.

    The module is copied at the start, so nothing here can change the caller's model, and what
    the caller does to the model later changes nothing here. It may be used from many threads.

    Args:
        model: any torch module; `model(inputs)` must return one row per sample. Put it in the
            mode that you mean (usually `model.eval()`): the mode is kept as it is.
        loss_fn: `loss_fn(outputs, targets) -> (batch,)`, one loss per sample, for example
            `torch.nn.CrossEntropyLoss(reduction="none")`. For a sequence: its mean over tokens.
            The outputs arrive as the model returns them, be it a tuple, a dict or an object.
        inputs: (n, ...), one sample per row; or a dict, tuple or list of such. A dict is handed
            over as model(**inputs) and a tuple or list as model(*inputs) if the model's signature
            takes them so, else whole.
        targets: (n, ...), or a dict, tuple or list of such.
        l2: weight of the term (l2/2)|w|^2, the same for every k. It cancels in every increment
            L_{k+1} - L_k, but without it a classifier that fits its data has no minimiser.
        batch_size: largest number of samples whose computation graph is held at once; by default
            as many as fit `memory`, 1024 at most (chosen here). Averages are exact for every
            batch size, ragged last batch included.
        memory: bytes that this graph may hold (1e9: chosen here), by estimate.

    Attributes:
        num_samples: n.
        num_params: N, the number of trainable parameters.
        sample_bytes: what one sample's forward pass leaves behind.
        w0: (N,), copy of the model's trainable parameters.
        inputs, targets: (n, ...), its own copy of the samples.
        loss_fn: as given; of a module a copy, one for each thread.

    Raises:
        ValueError: empty or unequal data, mixed dtypes or devices, a model without trainable
            float parameters, a loss that is not per-sample, is random, is not finite or does not
            depend on the parameters.

    >>> model = nn.Linear(1, 1, bias=False).double()
    >>> _ = nn.init.constant_(model.weight, 2.0)
    >>> x = torch.tensor([[1.0], [2.0], [3.0]], dtype=torch.float64)
    >>> loss = EmpiricalLoss(model, lambda out, y: (out - y)[:, 0] ** 2 / 2, x, x)
    >>> loss.per_sample(loss.w0).tolist()       # (2x - x)^2 / 2
    [0.5, 2.0, 4.5]
    >>> loss.value(loss.w0, 2).item(), loss.gradient(loss.w0, 2).tolist()
    (1.25, [2.5])
    """

    def __init__(
        self,
        model: nn.Module,
        loss_fn: LossFunction,
        inputs: Any,
        targets: Any,
        l2: float = 0.0,
        *,
        batch_size: int | None = None,
        memory: float = 1e9,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise ValueError(
                f"model must be a torch.nn.Module; got {type(model).__name__}. Wrap a function of "
                "parameters in a small module."
            )
        if not callable(loss_fn):
            raise ValueError(
                "loss_fn must be callable, loss_fn(outputs, targets) -> (batch,); "
                f"got {type(loss_fn).__name__}. For example torch.nn.CrossEntropyLoss("
                "reduction='none')."
            )
        self._layout, self.w0 = parameter_layout(model)
        self.inputs, self.targets = batches.checked_samples(inputs, targets, self.w0)
        self._loss_fn = Copies(audit.own_loss_fn(loss_fn), not audit.may_change(loss_fn))
        self._module = ModuleOfThreads(audit.own_copy(model), audit.shares_state(model, loss_fn))
        self.l2 = checks.non_negative("l2", l2, "weight of the L2 term")
        self.num_samples = batches.num_samples(self.inputs)
        self.num_params = self._layout.num_params
        self.memory = checks.positive("memory", memory, "bytes")
        self.sample_bytes = int(self.memory)  # until it is measured: nothing is small
        self.batch_size = 1024
        if batch_size is not None:
            self.batch_size = checks.whole_number(
                "batch_size", batch_size, 1, None, "samples held in memory at once"
            )
        with audit.own_random_numbers(self.w0):
            # of a copy of w0: a model that writes into it is the audit's to refuse
            self._module.settle(
                lambda few: self.losses_at(self.w0.clone(), few), self.inputs, self.num_samples
            )
            _, low = audit.refuse_unusable_loss(self, model)
            self.sample_bytes = self.activation_bytes(self.w0, 0)
            if batch_size is None:
                fits = int(self.memory / (_GRAPH_OF_GRADIENT * self.sample_bytes))
                self.batch_size = max(1, min(1024, fits))
            audit.refuse_wrong_derivatives(self, model, self.per_sample(self.w0), low)

    def __repr__(self) -> str:
        """Sizes at a glance."""
        return (
            f"EmpiricalLoss(num_samples={self.num_samples}, num_params={self.num_params}, "
            f"l2={self.l2:g}, dtype={self.w0.dtype}, device='{self.w0.device}')"
        )

    @property
    def model(self) -> nn.Module:
        """A copy of the module, one for each thread, to look at; its parameters are not w's."""
        return self._module.here

    @property
    def layout(self) -> ParameterLayout:
        """Which entries of w belong to which parameter."""
        return self._layout

    def without_l2(self) -> "EmpiricalLoss":
        """The same losses with l2 = 0: the term cancels in every increment. Nothing is copied."""
        view = copy.copy(self)
        view.l2 = 0.0
        return view

    @property
    def takes_turns(self) -> bool:
        """Whether threads share state that can't be copied with the module."""
        return self._module.in_turns

    @property
    def uncalled(self) -> nn.Module:
        """The copy of the module that is never called, only copied: it has no cache."""
        return self._module.uncalled

    @property
    def loss_fn(self) -> LossFunction:
        """The loss function; of a module this thread's copy."""
        return self._loss_fn.here

    def with_module(self, module: nn.Module, **parts: Any) -> "EmpiricalLoss":
        """The same of another module (not copied) with the same layout, and of other parts."""
        view = copy.copy(self)
        view._module = self._module.of(module)
        if "loss_fn" in parts:
            view._loss_fn = Copies(parts.pop("loss_fn"))
        vars(view).update(parts)
        return view

    # -- values ---------------------------------------------------------------------------------

    def per_sample(self, w: Tensor, samples: Samples | None = None) -> Tensor:
        """Losses l_i(w) without the L2 term, shape (n,), or (k,) for the first k samples.

        Raises:
            ValueError: w does not fit the model, or a loss is not finite at w.
        """
        w = checks.parameter_vector(w, self.w0)
        chosen = self.chosen(self.num_samples if samples is None else samples)
        with torch.no_grad():
            each = (checks.losses_of(self.losses_at, w, batch) for batch in self._batches(chosen))
            losses = torch.cat([*each])
        if not torch.isfinite(losses).all():
            worst = chosen[int((~torch.isfinite(losses)).nonzero()[0])]
            raise ValueError(
                f"The loss of sample {worst} is not finite at this w. Look for a logarithm of "
                "zero, an overflow or a missing value in the data; or probe nearer to w."
            )
        return losses

    def value(self, w: Tensor, k: Samples) -> Tensor:
        """L_k(w), shape ()."""
        return self.per_sample(w, k).mean() + self.l2 / 2 * w.detach().square().sum()

    def outputs(self, w: Tensor, samples: Samples) -> Any:
        """The model's outputs at w for the chosen samples, (k, ...), in the model's own form.

        In a container whatever has no row for each sample (a mean, a cache) is None.
        """
        w = checks.parameter_vector(w, self.w0)
        chosen = self.batches(samples)
        with torch.no_grad():
            return batches.joined([self.outputs_at(w, b) for b in chosen], [*map(len, chosen)])

    # -- derivatives ----------------------------------------------------------------------------

    def gradient(self, w: Tensor, k: Samples) -> Tensor:
        """Gradient g^(k) of L_k at w, shape (N,), in loss per unit of parameter."""
        return self.value_and_gradient(w, k)[1]

    @torch.enable_grad()
    def value_and_gradient(self, w: Tensor, k: Samples) -> tuple[Tensor, Tensor]:
        """L_k(w) and its gradient from one pass over the samples."""
        w = checks.parameter_vector(w, self.w0)
        chosen = self.chosen(k)
        value = self.l2 / 2 * w.square().sum()
        gradient = self.l2 * w
        for batch in self._batches(chosen):
            leaf = w.clone().requires_grad_()
            part = self.losses_at(leaf, batch).sum() / len(chosen)
            value = value + part.detach()
            gradient = gradient + torch.autograd.grad(part, leaf)[0]
        refuse_nan_derivatives(gradient, "gradient")
        return value, gradient

    def sample_gradients(self, w: Tensor, samples: Samples) -> Tensor:
        """Gradients of the single l_i at w, without the L2 term, shape (k, N)."""
        w = checks.parameter_vector(w, self.w0)
        chosen = self.chosen(samples)
        # 256 at a time, or what fits memory with its graph and copies: chosen here
        each = _GRAPH_OF_GRADIENT * (self.sample_bytes + w.numel() * w.element_size())
        step = max(1, min(256, int(self.memory / each)))
        out = w.new_empty(len(chosen), w.numel())
        for i in range(0, len(chosen), step):
            out[i : i + step] = self._gradients_at_once(w, chosen[i : i + step])
            refuse_nan_derivatives(out[i : i + step], "gradient of a single sample")
        return out

    def _gradients_at_once(self, w: Tensor, chosen: Indices) -> Tensor:
        data = [batches.rows(d, chosen) for d in (self.inputs, self.targets)]
        tensors = [[t for _, t in batches.leaves(d) if isinstance(t, Tensor)] for d in data]

        def one(w: Tensor, *given: list[Tensor]) -> Tensor:
            ones = ([t[None] for t in row] for row in given)
            x, y = (batches.refilled(d, row) for d, row in zip(data, ones, strict=True))
            with self._module.turns:
                return self.loss_fn(self._module(self._layout.unflatten(w), x), y)[0]

        batched = vmap(grad(one), in_dims=(None, 0, 0))
        loss = self.without_l2()
        try:
            found = batched(w, *tensors).detach()
            if not bool(found.isfinite().all()):
                return found
            few = found[:32]  # 32: chosen here
            wrong = few.mean(0) - loss.gradient(w, chosen[:32])
            # else an operation's own rule for vmap is wrong
            if not float(wrong.norm()) > torch.finfo(w.dtype).eps ** 0.5 * float(few.norm()):
                return found
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception:  # recurrent layers, masks and one_hot can't be batched like this
            pass
        return torch.stack([loss.gradient(w, chosen[j : j + 1]) for j in range(len(chosen))])

    def hvp(self, w: Tensor, V: Tensor, k: Samples) -> Tensor:
        """Hessian-vector products H^(k)(w) V, of V's shape, (N,) or (N, b).

        Exact (reverse mode twice), never forms H. One product costs one to two gradients; for
        several at one w keep the `hessian_operator`, which differentiates only once.
        """
        return self.hessian_operator(w, k)(V)

    def hessian_operator(self, w: Tensor, k: Samples) -> HessianOperator:
        """The linear map V -> H^(k)(w) V, with the first gradient's graph kept if it fits."""
        return HessianOperator(self, w, k)

    def hessian(self, w: Tensor, k: Samples) -> Tensor:
        """H^(k)(w) as a dense (N, N) matrix; N products, for small models only.

        Raises:
            ValueError: N is above 20 000 (3.2 GB in float64; chosen here).
        """
        instead = "Use hvp or top_eigenpairs instead."
        refuse_large_dense(self.num_params, self.w0.dtype, "Hessian", instead)
        return self.hessian_operator(w, k).dense()

    # -- differentiable, unchecked: what derivatives are made of ----------------------------------

    def outputs_at(self, w: Tensor, batch: Indices) -> Any:
        """The model's outputs at w; differentiable in w, in forward and in reverse mode."""
        if self._module.needs_graph and not torch.is_grad_enabled():
            with torch.enable_grad():
                return batches.detached(self.outputs_at(w.clone().requires_grad_(), batch))
        inputs = batches.rows(self.inputs, batch)
        with self._module.turns:
            return self._module(self._layout.unflatten(w), inputs)

    def losses_of(self, outputs: Any, batch: Indices) -> Tensor:
        """The losses of given outputs, (m,); differentiable in the outputs."""
        return self.loss_fn(outputs, batches.rows(self.targets, batch))

    def losses_at(self, w: Tensor, batch: Indices) -> Tensor:
        """The losses l_i(w) of a batch, (m,); differentiable in w, in both modes."""
        if self._module.needs_graph and not torch.is_grad_enabled():
            with torch.enable_grad():
                return self.losses_at(w.clone().requires_grad_(), batch).detach()
        with self._module.turns:
            return self.losses_of(self.outputs_at(w, batch), batch)

    def batches(self, samples: Samples) -> list[Indices]:
        """The chosen samples, as many at a time as memory allows."""
        return self._batches(self.chosen(samples))

    def activation_bytes(self, w: Tensor, sample: int) -> int:
        """Bytes that one sample's forward pass leaves behind, views of w itself not counted."""
        leaf = w.clone().requires_grad_()
        return graph_bytes(lambda: self.losses_at(leaf, range(sample, sample + 1)), leaf)

    # -- inside ---------------------------------------------------------------------------------

    def _batches(self, chosen: Indices) -> list[Indices]:
        return [chosen[i : i + self.batch_size] for i in range(0, len(chosen), self.batch_size)]

    def chosen(self, samples: Samples) -> Indices:
        """Indices of the chosen samples: of the first k, or those given, checked."""
        n = self.num_samples
        if isinstance(samples, Tensor) and samples.ndim > 0:
            return checks.sample_indices(samples, n).to(self.w0.device)
        if isinstance(samples, range):
            if len(samples) == 0 or samples.step < 1 or not 0 <= samples[0] <= samples[-1] < n:
                raise ValueError(
                    f"A range of samples must be increasing, not empty and within 0..{n - 1}; "
                    f"got {samples}."
                )
            return samples
        return range(checks.whole_number("k", samples, 1, n, "how many of the n samples"))
