"""Training runs, and the files that hold them.

A `TrainingRun` ties weights to the samples that made them. `save_runs` writes runs to one file in
the safetensors format, which many programs read (github.com/huggingface/safetensors):

    sequences            (n, context + 1)    the tokens, in the first run's order
    order_0, order_1, .. (n,)                run j's sequences are sequences[order_j]
    weights_0, ..        (checkpoints, N)    float16

and in its `__metadata__`, under "landscape_nb", a JSON text with all that is no array: config,
vocabulary, consumed, steps and seed of each run, the version of the format, and the SHA-256 of the
whole file, in which 64 zeros stand in the place of the SHA-256 itself. A file of which any bit has
changed is refused.
"""

import hashlib
import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from safetensors import SafetensorError
from torch import Tensor

from landscape_nb.numerics import checks
from landscape_nb.numerics.files import replace_files
from landscape_nb.numerics.loss import EmpiricalLoss, Samples
from landscape_nb.problems.models import DecoderTransformer, TransformerConfig, sequence_loss

FORMAT, VERSION = "landscape_nb training runs", 2  # 1 was a format of torch's
_KEY, _ZEROS = "landscape_nb", "0" * 64


class CheckpointError(ValueError):
    """A file of training runs that is damaged, incomplete or something else altogether."""


@dataclass(frozen=True, eq=False)
class TrainingRun:
    """One training of a `DecoderTransformer`, with the weights along the way.

    Checkpoint j is the model after `steps[j]` optimiser steps, when it had seen the sequences
    0..consumed[j] - 1 and no other. The last one is the end of training, after several passes
    over the first `num_train` sequences; all later sequences are held out from every checkpoint.

    Attributes:
        config: sizes of the model.
        vocabulary: the character that each token stands for.
        sequences: (n, context + 1) int64, all of them, in the order of the first pass.
        consumed: k at each checkpoint, the number of distinct sequences seen; never decreasing.
        steps: optimiser steps at each checkpoint, increasing.
        weights: (checkpoints, N) float32, a row is the vector w of a checkpoint. They are rounded
            to float16, and everything is meant to be computed at these rounded weights.
        seed: of the first weights and of the order of the later passes.

    Raises:
        ValueError: fields that contradict each other.
    """

    config: TransformerConfig
    vocabulary: str
    sequences: Tensor
    consumed: list[int]
    steps: list[int]
    weights: Tensor
    seed: int

    def __post_init__(self) -> None:
        checked_sequences(self.sequences, self.config)
        V, vocabulary = self.config.vocabulary_size, self.vocabulary
        if not isinstance(vocabulary, str) or not len(vocabulary) == len(set(vocabulary)) == V:
            raise ValueError(
                f"vocabulary must be a string of vocabulary_size = {V} different characters; got "
                f"{vocabulary!r}. Take the one that data.text returns beside the tokens."
            )
        shape = (len(self.consumed), self.config.num_params)
        if self.weights.shape != shape or self.weights.dtype != torch.float32 or not shape[0]:
            raise ValueError(
                f"weights must be float32 of shape {shape}, a row for each checkpoint; got "
                f"{self.weights.dtype} of shape {tuple(self.weights.shape)}."
            )
        if not torch.isfinite(self.weights).all():
            raise ValueError(
                "weights must be finite in float16, which holds up to 65 504. A training that "
                "diverged is the usual cause; lower the learning rate."
            )
        if not torch.equal(self.weights, self.weights.half().float()):
            raise ValueError(
                "weights must be rounded to float16, so that what is saved is what was computed "
                "with. Pass weights.half().float()."
            )
        if not _increasing(self.consumed, 0, len(self.sequences)) or not (
            len(self.steps) == len(self.consumed) and _increasing(self.steps, 1)
        ):
            raise ValueError(
                "consumed must increase within 1..n and steps with it, one of each for every "
                f"checkpoint; got consumed = {self.consumed}, steps = {self.steps}, n = "
                f"{len(self.sequences)}."
            )

    @property
    def num_train(self) -> int:
        """How many sequences were trained on; those after them are held out."""
        return self.consumed[-1]

    @property
    def inputs(self) -> Tensor:
        """(n, context), the tokens that the model reads."""
        return self.sequences[:, :-1]

    @property
    def targets(self) -> Tensor:
        """(n, context), the tokens that it should predict."""
        return self.sequences[:, 1:]

    def model(
        self, checkpoint: int = -1, *, dtype: torch.dtype = torch.float32
    ) -> DecoderTransformer:
        """The model with the weights of a checkpoint, by default the last; a new one each time."""
        model = DecoderTransformer(self.config, dtype=dtype)
        w = self.weights[self._checked(checkpoint)].to(dtype, copy=True)
        torch.nn.utils.vector_to_parameters(w, model.parameters())
        return model

    def loss(
        self,
        samples: Samples | Sequence[int] | None = None,
        *,
        checkpoint: int = -1,
        dtype: torch.dtype = torch.float32,
        batch_size: int = 64,
    ) -> EmpiricalLoss:
        """The empirical loss of the chosen sequences, in nats per token; `w0` is the checkpoint.

        Args:
            samples: the first so many sequences, or the indices of some, in the order in which
                they are to count; all if not given. The held-out ones are
                range(run.num_train, len(run.sequences)).
            checkpoint: whose weights `loss.w0` holds, by default the last.
            dtype: of weights and losses.
            batch_size: sequences held in memory at once (64: chosen here, for 1.5 GB in all).
        """
        n = len(self.sequences)
        if samples is None or isinstance(samples, int):
            k = n if samples is None else samples
            samples = range(checks.whole_number("samples", k, 1, n, "how many of the sequences"))
        rows = torch.as_tensor(list(samples))
        if len(rows) == 0 or rows.min() < 0 or rows.max() >= n:
            raise ValueError(f"The samples must lie within 0..{n - 1}; got {samples}.")
        model = self.model(checkpoint, dtype=dtype)
        return EmpiricalLoss(
            model, sequence_loss, self.inputs[rows], self.targets[rows], batch_size=batch_size
        )

    def _checked(self, checkpoint: int) -> int:
        count = len(self.consumed)
        return checks.whole_number(
            "checkpoint", checkpoint, -count, count - 1, f"one of {count}, negative from the end"
        )


def checked_sequences(sequences: Tensor, config: TransformerConfig) -> Tensor:
    """The sequences, or a sentence on why a model of this config can't read them."""
    if not isinstance(sequences, Tensor) or sequences.dtype != torch.int64:
        got = sequences.dtype if isinstance(sequences, Tensor) else type(sequences).__name__
        raise ValueError(f"sequences must be a torch tensor of int64; got {got}.")
    if sequences.ndim != 2 or sequences.shape[1] != config.context + 1 or not len(sequences):
        raise ValueError(
            f"sequences must have shape (n, context + 1) = (n, {config.context + 1}); got "
            f"{tuple(sequences.shape)}. Cut them with data.sequences(text, context="
            f"{config.context})."
        )
    low, high = int(sequences.min()), int(sequences.max())
    if low < 0 or high >= config.vocabulary_size:
        raise ValueError(
            f"Tokens must lie in 0..{config.vocabulary_size - 1} (vocabulary_size = "
            f"{config.vocabulary_size}); got {low}..{high}."
        )
    return sequences


def _increasing(numbers: Any, least: int, most: int | None = None) -> bool:
    """Whether whole numbers from 1 on, up to most, increase by at least `least` each."""
    whole = all(isinstance(m, int) and m >= 1 and (most is None or m <= most) for m in numbers)
    return whole and all(b - a >= least for a, b in itertools.pairwise(numbers))


# -- files ---------------------------------------------------------------------------------------


def save_runs(path: str | Path, runs: Sequence[TrainingRun]) -> None:
    """Write training runs to one file: all of it or nothing, whatever goes wrong meanwhile.

    An earlier file of training runs is replaced, also a damaged one; any other is left as it is.

    Weights in float16, to which they are rounded already. The sequences are stored once, so all
    runs must share them; each may have them in its own order. The same runs give the same bytes.

    Raises:
        ValueError: no runs, or runs on different sequences.
        CheckpointError: the file exists and holds something else.
        OSError: it can't be written.
    """
    if not runs:
        raise ValueError("runs is empty; give at least one TrainingRun.")
    first = runs[0].sequences
    arrays = {"sequences": _whole(first)}
    for j, run in enumerate(runs):
        arrays[f"order_{j}"] = _whole(_order(first, run.sequences))
        arrays[f"weights_{j}"] = run.weights.numpy().astype("f2", order="C")
    described = [
        {
            "config": asdict(run.config),
            "vocabulary": run.vocabulary,
            "consumed": list(run.consumed),
            "steps": list(run.steps),
            "seed": int(run.seed),
        }
        for run in runs
    ]
    content = _sealed(arrays, {"version": VERSION, "runs": described})
    replace_files({Path(path): content}, refuse=refuse_foreign)


def refuse_foreign(path: str | Path) -> None:
    """Refuse to write training runs over a file that does not begin as theirs do.

    Raises:
        CheckpointError: the file is not empty and something else.
    """
    with open(path, "rb") as file:
        begins = file.read(1000)
    # the header's length, its metadata, and in them, among the first entries, the format
    if begins and (begins[8:24] != b'{"__metadata__":' or FORMAT.encode() not in begins):
        raise CheckpointError(
            f"{str(path)!r} is no file of training runs, so it is left as it is. Give another "
            "name, or move that file away first."
        )


def load_runs(path: str | Path) -> list[TrainingRun]:
    """Read what `save_runs` wrote; no code in the file is run, and everything in it is checked.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: the file is damaged or something else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r} with training runs.")
    try:
        arrays, described = _opened(path.read_bytes())
        if not described["runs"]:
            raise ValueError("it holds none")
        first = _integers(arrays["sequences"])
        return [_run(entry, arrays, j, first) for j, entry in enumerate(described["runs"])]
    except (
        ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError,
        SafetensorError,
    ) as error:  # fmt: skip
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise CheckpointError(
            f"{str(path)!r} is damaged, cut short, or no file of training runs of this version: "
            f"{reason}. Delete it, and it can be made again."
        ) from error


def _sealed(arrays: dict[str, np.ndarray], described: dict[str, Any]) -> bytes:
    """A file's bytes, with their own SHA-256 in it; the arrays' numbers in C order."""
    text = json.dumps(
        {"format": FORMAT, "sha256": _ZEROS, **described},
        default=lambda size: size.item(),  # sizes may be numpy's
    )
    # one entry only: safetensors writes several in an order that differs from process to process
    content = safetensors.numpy.save(arrays, {_KEY: text})
    return content.replace(_ZEROS.encode(), hashlib.sha256(content).hexdigest().encode(), 1)


def _opened(content: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the rest, of a file in which no bit has changed."""
    length = int.from_bytes(content[:8], "little")  # of the header, JSON in UTF-8
    header = json.loads(content[8 : 8 + length].decode())
    described = json.loads(header.get("__metadata__", {}).get(_KEY, "{}"))
    if described.get("format") != FORMAT:
        raise ValueError("it is a file of another kind")
    if described["version"] != VERSION:
        raise ValueError(
            f"it has version {described['version']!r}, known is {VERSION} (a newer landscape_nb "
            "may read it)"
        )
    seal = described["sha256"].encode()
    blank = content.replace(seal, _ZEROS.encode(), 1)
    if hashlib.sha256(blank).hexdigest().encode() != seal:
        raise ValueError("its SHA-256 is another")
    return safetensors.numpy.load(content), described


def _run(
    entry: dict[str, Any], arrays: dict[str, np.ndarray], j: int, first: Tensor
) -> TrainingRun:
    config = TransformerConfig(**entry["config"])
    order = _integers(arrays[f"order_{j}"])
    if not torch.equal(order.sort().values, torch.arange(len(first))):
        raise ValueError("order is no permutation of the sequences")
    if arrays[f"weights_{j}"].dtype != np.float16:
        raise ValueError("the weights are not float16")
    weights = torch.from_numpy(arrays[f"weights_{j}"].astype("f4"))
    seed = checks.whole_number("seed", entry["seed"], 0, 2**63 - 1, "of the training")
    return TrainingRun(
        config, entry["vocabulary"], first[order], entry["consumed"], entry["steps"], weights, seed
    )


def _whole(numbers: Tensor) -> np.ndarray:
    """Whole numbers from 0 on, in the smallest type that holds them."""
    return numbers.numpy().astype(np.min_scalar_type(int(numbers.max())), order="C")


def _integers(array: np.ndarray) -> Tensor:
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"tokens and orders must be whole numbers; got {array.dtype}")
    return torch.from_numpy(array.astype("i8"))


def _order(first: Tensor, other: Tensor) -> Tensor:
    """The permutation with first[order] == other."""
    if first.shape == other.shape:
        number = torch.unique(torch.cat([first, other]), dim=0, return_inverse=True)[1]
        a, b = number.split(len(first))
        order = torch.empty_like(a)
        order[b.argsort(stable=True)] = a.argsort(stable=True)
        if torch.equal(first[order], other):
            return order
    raise ValueError(
        "All runs in one file must share their sequences, each in its own order; got others. "
        "Save them to files of their own."
    )
