"""The empirical loss L_k of any torch module, as a function of one flat vector w.

L_k(w) = (1/k) sum_{i<=k} l_i(w)  +  (l2/2) |w|^2                         theory: KG26 sec. 3

Samples stay in the order given: "adding one more sample" means going from the first k to the
first k + 1. Wherever a number of samples k is asked for, a `range` or a tensor of sample indices is
accepted too and means the average over just these samples.

The mean is over samples, each once, of what loss_fn returns: a class weight multiplies a loss and
is not divided out, an ignored sample counts as zero, a sequence is the mean of its real tokens.
"""

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

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
from landscape_nb.numerics.single_gradients import single_gradients
from landscape_nb.numerics.stored_samples import BatchedSamples, StoredSamples
from landscape_nb.numerics.streamed_samples import StreamedSamples

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
        samples: who has the samples, `landscape_nb.numerics.stored_samples`.
        inputs, targets: (n, ...), its own copy of them; refused where they are streamed.
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
        self._set_up(model, loss_fn, l2, batch_size, memory)
        samples = StoredSamples(*batches.checked_samples(inputs, targets, self.w0))
        self._take(samples, model, batch_size)

    @classmethod
    def from_batches(
        cls,
        model: nn.Module,
        loss_fn: LossFunction,
        batches: Iterable[Any],
        l2: float = 0.0,
        *,
        batch_size: int | None = None,
        memory: float = 1e9,
        progress: bool = False,
    ) -> "EmpiricalLoss":
        """The loss of data that do not fit memory, read batch by batch in every evaluation.

        The same numbers as from memory, up to rounding; of the samples two batches are held at any
        time, on the model's device. Building it takes three to four passes over them, a value, a
        gradient or a Hessian-vector product one (several columns at once: still one).

        A batch is a pair, (inputs, targets), as `TensorDataset` makes it; or a dict, as the
        collators of Hugging Face make it, which is both: the model is given those of its entries
        that forward names as arguments (the whole dict if it names none of them, every entry if
        it takes **kwargs), and loss_fn(outputs, batch) the whole dict. A single tensor is both,
        too. Samples count through all batches: k may end inside of one, and batches may differ in
        length, also in what their sequences are padded to; mask in loss_fn what is padding.

        Every pass must bring the same batches in the same order, which is checked at each of
        them. What the loader leaves out can't be seen: give it drop_last=False. Samples one by
        one out of order (random mini-batches) would take a pass each; indices are therefore read
        in increasing order, whatever their order is.

        Args:
            model, loss_fn, l2, memory: as of `EmpiricalLoss`.
            batches: a DataLoader with shuffle=False, a list of batches, or any object whose
                iterator can be asked for again and again; on any device.
            batch_size: as of `EmpiricalLoss`: a larger batch is cut into pieces, smaller ones
                are never put together. A few hundred samples in a batch are fast.
            progress: show a bar while the batches are counted.

        Raises:
            ValueError: as of `EmpiricalLoss`; batches that can be gone through only once, that are
                shuffled, or of which one does not fit the others.
            BatchError: a batch is another one than in the first pass, or can't be read.

        >>> model = nn.Linear(1, 1, bias=False).double()
        >>> _ = nn.init.constant_(model.weight, 2.0)
        >>> x = torch.tensor([[1.0], [2.0], [3.0]], dtype=torch.float64)
        >>> loss_fn = lambda out, y: (out - y)[:, 0] ** 2 / 2
        >>> loss = EmpiricalLoss.from_batches(model, loss_fn, [(x[:2], x[:2]), (x[2:], x[2:])])
        >>> loss.per_sample(loss.w0).tolist()
        [0.5, 2.0, 4.5]
        """
        loss = cls.__new__(cls)
        loss._set_up(model, loss_fn, l2, batch_size, memory)
        with audit.own_random_numbers(loss.w0):
            samples = StreamedSamples(batches, loss.w0, model, progress)
            loss._take(samples, model, batch_size)
        return loss

    def _set_up(
        self, model: nn.Module, loss_fn: LossFunction, l2: float, batch_size: Any, memory: float
    ) -> None:
        audit.refuse_other_kinds(model, loss_fn)
        self._layout, self.w0 = parameter_layout(model)
        self._loss_fn = Copies(audit.own_loss_fn(loss_fn), not audit.may_change(loss_fn))
        self._module = ModuleOfThreads(audit.own_copy(model), audit.shares_state(model, loss_fn))
        self.l2 = checks.non_negative("l2", l2, "weight of the L2 term")
        self.num_params = self._layout.num_params
        self.memory = checks.positive("memory", memory, "bytes")
        self.sample_bytes = int(self.memory)  # until it is measured: nothing is small
        if batch_size is not None:
            meaning = "samples held in memory at once"
            batch_size = checks.whole_number("batch_size", batch_size, 1, None, meaning)
        self.batch_size = batch_size or 1024

    def _take(
        self, samples: StoredSamples | BatchedSamples, model: nn.Module, batch_size: int | None
    ) -> None:
        """Look at the samples with the model, and measure what one of them takes."""
        self.samples, self.num_samples = samples, samples.num_samples
        with audit.own_random_numbers(self.w0):
            few = range(min(32, self.num_samples))  # 32: what the audit looks at
            first = self.with_samples(samples.held(few))
            # of a copy of w0: a model that writes into it is the audit's to refuse
            self._module.settle(
                lambda few: first.losses_at(self.w0.clone(), few),
                first.samples.inputs_of(few[:1]),
                self.num_samples,
            )
            _, low = audit.refuse_unusable_loss(first, model)
            self.sample_bytes = first.activation_bytes(self.w0, 0)
            if batch_size is None:
                fits = int(self.memory / (_GRAPH_OF_GRADIENT * self.sample_bytes))
                self.batch_size = max(1, min(1024, fits))
            everything = self.per_sample(self.w0)
            audit.refuse_wrong_derivatives(self, model, everything, low)

    def __repr__(self) -> str:
        """Sizes at a glance."""
        return (
            f"EmpiricalLoss(num_samples={self.num_samples}, num_params={self.num_params}, "
            f"l2={self.l2:g}, dtype={self.w0.dtype}, device='{self.w0.device}')"
        )

    @property
    def inputs(self) -> Any:
        """The inputs of all samples, where they are in memory."""
        return self.samples.inputs

    @property
    def targets(self) -> Any:
        """The targets of all samples, where they are in memory."""
        return self.samples.targets

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

    def with_module(
        self, module: nn.Module, loss_fn: LossFunction | None = None, w0: Tensor | None = None
    ) -> "EmpiricalLoss":
        """The same of another module (not copied) with the same layout, and of other parts."""
        view = copy.copy(self)
        view._module, view.w0 = self._module.of(module), self.w0 if w0 is None else w0
        if loss_fn is not None:
            view._loss_fn = Copies(loss_fn)
        return view

    def with_samples(self, samples: StoredSamples | BatchedSamples) -> "EmpiricalLoss":
        """The same of other samples, or of these kept elsewhere."""
        view = copy.copy(self)
        view.samples, view.num_samples = samples, samples.num_samples
        return view

    # -- values ---------------------------------------------------------------------------------

    def per_sample(self, w: Tensor, samples: Samples | None = None) -> Tensor:
        """Losses l_i(w) without the L2 term, shape (n,), or (k,) for the first k samples.

        Raises:
            ValueError: w does not fit the model, or a loss is not finite at w.
        """
        w = checks.parameter_vector(w, self.w0)
        chosen = self.chosen(self.num_samples if samples is None else samples)
        reading, back = self.samples.in_order(chosen)
        with torch.no_grad():
            pieces = self.samples.pieces(reading, self.batch_size)
            losses = torch.cat([checks.losses_of(self.losses_at, w, piece) for piece in pieces])
        losses = losses if back is None else losses[back]
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
        w, chosen = checks.parameter_vector(w, self.w0), self.chosen(samples)
        reading, back = self.samples.in_order(chosen)
        pieces = self.samples.pieces(reading, self.batch_size)
        with torch.no_grad():
            found = [self.outputs_at(w, piece) for piece in pieces]
        outputs = self.samples.joined(found, [*map(len, pieces)])
        return outputs if back is None else batches.rows(outputs, back)

    # -- derivatives ----------------------------------------------------------------------------

    def gradient(self, w: Tensor, k: Samples) -> Tensor:
        """Gradient g^(k) of L_k at w, shape (N,), in loss per unit of parameter."""
        return self.value_and_gradient(w, k)[1]

    @torch.enable_grad()
    def value_and_gradient(self, w: Tensor, k: Samples) -> tuple[Tensor, Tensor]:
        """L_k(w) and its gradient from one pass over the samples."""
        w = checks.parameter_vector(w, self.w0)
        parts = self.batches(k)
        count = sum(map(len, parts))
        value = self.l2 / 2 * w.square().sum()
        gradient = self.l2 * w
        for batch in parts:
            leaf = w.clone().requires_grad_()
            part = self.losses_at(leaf, batch).sum() / count
            value = value + part.detach()
            gradient = gradient + torch.autograd.grad(part, leaf)[0]
        refuse_nan_derivatives(gradient, "gradient")
        return value, gradient

    def sample_gradients(self, w: Tensor, samples: Samples) -> Tensor:
        """Gradients of the single l_i at w, without the L2 term, shape (k, N)."""
        w = checks.parameter_vector(w, self.w0)
        return single_gradients(self, w, self.chosen(samples))

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
        inputs = self.samples.inputs_of(batch)
        with self._module.turns:
            return self._module(self._layout.unflatten(w), inputs)

    def losses_of(self, outputs: Any, batch: Indices) -> Tensor:
        """The losses of given outputs, (m,); differentiable in the outputs."""
        return self.loss_fn(outputs, self.samples.targets_of(batch))

    def losses_given(self, w: Tensor, inputs: Any, targets: Any) -> Tensor:
        """The losses of any data of the same kind, (m,); differentiable in w."""
        with self._module.turns:
            return self.loss_fn(self._module(self._layout.unflatten(w), inputs), targets)

    def losses_at(self, w: Tensor, batch: Indices) -> Tensor:
        """The losses l_i(w) of a batch, (m,); differentiable in w, in both modes."""
        parts = self.samples.together(batch)
        if len(parts) > 1:  # rows of unequal shape
            return torch.cat([self.losses_at(w, part) for part in parts])
        if self._module.needs_graph and not torch.is_grad_enabled():
            with torch.enable_grad():
                return self.losses_at(w.clone().requires_grad_(), batch).detach()
        with self._module.turns:
            return self.losses_of(self.outputs_at(w, batch), batch)

    def batches(self, samples: Samples) -> list[Indices]:
        """The chosen samples, as many at a time as memory allows, in the order of the data."""
        reading, _ = self.samples.in_order(self.chosen(samples))
        return self.samples.pieces(reading, self.batch_size)

    def activation_bytes(self, w: Tensor, sample: int) -> int:
        """Bytes that one sample's forward pass leaves behind, views of w itself not counted."""
        leaf = w.clone().requires_grad_()
        return graph_bytes(lambda: self.losses_at(leaf, range(sample, sample + 1)), leaf)

    def chosen(self, samples: Samples) -> Indices:
        """Indices of the chosen samples: of the first k, or those given, checked."""
        n = self.num_samples
        if isinstance(samples, Tensor) and samples.ndim > 0:
            return checks.sample_indices(samples, n).to(self.w0.device)
        if isinstance(samples, range):
            return checks.sample_range(samples, n)
        return range(checks.whole_number("k", samples, 1, n, "how many of the n samples"))
