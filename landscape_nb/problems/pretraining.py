"""Training the transformer, and the trained runs that come with the package.

The first pass of a training is online, so the weights at a checkpoint k have seen exactly the first
k sequences, once. Here k grows along one training, as samples are consumed; elsewhere in this
package, from minimiser w_k* to minimiser.

`transformer.safetensors` holds the runs of `python -m landscape_nb.problems.pretraining` under
Python 3.11. It carries its own text, part of Python's documentation (Copyright Python Software
Foundation, PSF License Version 2), so that no result depends on the reader's version of Python.
"""

import hashlib
import os
import sys
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from landscape_nb.numerics import checks
from landscape_nb.numerics.files import resolved
from landscape_nb.numerics.layout import parameter_layout
from landscape_nb.numerics.progress import progress_bar
from landscape_nb.problems import data
from landscape_nb.problems.checkpoints import (
    CheckpointError,
    TrainingRun,
    checked_sequences,
    load_runs,
    refuse_foreign,
    save_runs,
)
from landscape_nb.problems.models import DecoderTransformer, TransformerConfig, sequence_loss

SHIPPED = Path(__file__).with_name("transformer.safetensors")


def train_transformer(
    config: TransformerConfig,
    sequences: Tensor,
    vocabulary: str,
    *,
    num_train: int | None = None,
    checkpoints_at: Iterable[int] = (),
    seed: int = 0,
    passes: int = 3,
    batch_size: int = 16,
    learning_rate: float = 5e-3,
    warmup: int = 20,
    weight_decay: float = 0.1,
    progress: bool = True,
) -> TrainingRun:
    """Train a transformer by AdamW, first online, then in further passes over the same sequences.

    The first pass takes the sequences in the order given, each once, and a batch ends at every
    checkpoint: the weights at checkpoint k depend on the sequences 0..k - 1 and on no other. The
    later passes take them in random order. The learning rate rises linearly over `warmup` steps
    and then falls linearly to zero at the end, so that checkpoints of the first pass are snapshots
    of a training under way, and only the last is a training that has come to rest.

    Args:
        config: sizes of the model.
        sequences: (n, context + 1) int64, as `data.sequences` returns them.
        vocabulary: the character that each token stands for, kept with the weights.
        num_train: train on the first so many; all if not given.
        checkpoints_at: increasing k of the first pass at which to keep the weights; the end of
            training is always kept.
        seed: of the first weights and of the order of the later passes.
        passes: over the num_train sequences, the online one included.
        batch_size: sequences to a step.
        learning_rate: at its highest.
        warmup: steps.
        weight_decay: of AdamW, on all parameters. Its betas are (0.9, 0.99) and gradients are cut
            at norm 1. All these defaults are chosen here, for `TransformerConfig.laptop`.
        progress: show a progress bar with the loss.

    Returns:
        A `TrainingRun`, its weights rounded to float16. The same seed gives the same weights on
        the same machine with the same number of threads.

    Raises:
        ValueError: sequences that don't fit config, or a training that diverged.
    """
    n = len(checked_sequences(sequences, config))
    num_train = checks.whole_number(
        "num_train", n if num_train is None else num_train, 1, n, "how many of the n sequences"
    )
    passes = checks.whole_number("passes", passes, 1, 10**6, "the online one included")
    batch_size = checks.whole_number("batch_size", batch_size, 1, None, "sequences to a step")
    learning_rate = checks.positive("learning_rate", learning_rate, "at its highest")
    warmup = checks.whole_number("warmup", warmup, 0, None, "steps")
    weight_decay = checks.non_negative("weight_decay", weight_decay, "of AdamW")
    marks = list(checkpoints_at)
    if marks:
        marks = checks.prefix_lengths(marks, num_train, high_means="sequences of the first pass")

    seed = checks.whole_number("seed", seed, 0, 2**63 - 1, "of the training")

    g = torch.Generator().manual_seed(seed)
    model = DecoderTransformer(config, generator=g)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=learning_rate, betas=(0.9, 0.99), weight_decay=weight_decay
    )
    batches = _online(num_train, batch_size, marks)
    for _ in range(passes - 1):
        batches += torch.randperm(num_train, generator=g).split(batch_size)
    consumed, steps, weights = [], [], []
    seen = 0
    with progress_bar(
        batches, desc=f"train, seed {seed}", unit="step", disable=not progress, leave=True
    ) as bar:
        for step, rows in enumerate(bar, start=1):
            rate = learning_rate * _schedule(step, warmup, len(batches))
            value = _step(model, optimiser, rate, sequences[rows])
            seen = min(seen + len(rows), num_train)
            bar.set_postfix_str(f"loss {value:.2f}", refresh=False)
            if (seen in marks and seen not in consumed) or step == len(batches):
                consumed.append(seen)
                steps.append(step)
                weights.append(parameter_layout(model)[1].half().float())
    return TrainingRun(
        config, vocabulary, sequences.clone(), consumed, steps, torch.stack(weights), seed
    )


def _online(num_train: int, batch_size: int, marks: Sequence[int]) -> list[Tensor]:
    """Batches of the first pass, in order; one ends at each mark."""
    edges = sorted({*range(0, num_train, batch_size), *marks, num_train})
    return [torch.arange(a, b) for a, b in zip(edges, edges[1:], strict=False)]


def _schedule(step: int, warmup: int, steps: int) -> float:
    """Factor of the learning rate at step 1..steps."""
    if step <= warmup:
        return step / warmup
    return (steps - step + 1) / (steps - warmup)


def _step(
    model: DecoderTransformer, optimiser: torch.optim.Optimizer, rate: float, batch: Tensor
) -> float:
    for group in optimiser.param_groups:
        group["lr"] = rate
    with torch.enable_grad():
        value = sequence_loss(model(batch[:, :-1]), batch[:, 1:]).mean()
    optimiser.zero_grad()
    value.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    return float(value.detach())


# -- the runs that come with the package -----------------------------------------------------------


def pretrained(path: str | Path | None = None, *, progress: bool = True) -> list[TrainingRun]:
    """Three trained transformers of about 100 000 parameters, on Python's help pages.

    They differ in the seed, 0, 1, 2: in the first weights and in the order of the sequences. The
    first has checkpoints at k = 64, 256, 1024, after one pass over all 6208 training sequences,
    and at the end of training; the others after one pass and at the end. The held-out sequences
    are the last 945 of each run, others for each seed. Nats per token on them, seed 0: 3.98, 2.92,
    2.41, 1.61, 1.31; counting letters gives 3.24, counting pairs of letters 2.46.

    The shipped file is used if it is whole. If not, a warning says so, and the runs are read from
    the user's cache or, failing that, trained (about two minutes) and put there.

    Args:
        path: another file than the shipped one.
        progress: show a progress bar if there is something to train.

    Returns:
        Three `TrainingRun`, of seeds 0, 1, 2.

    >>> run = pretrained()[0]
    >>> run.consumed, tuple(run.weights.shape), run.config.context
    ([64, 256, 1024, 6208, 6208], (5, 103296), 64)
    """
    shipped = SHIPPED if path is None else Path(path)
    try:
        return load_runs(shipped)
    except (FileNotFoundError, CheckpointError) as error:
        warnings.warn(
            f"{error} Using runs from your cache, or training them (about two minutes); on the "
            "text of this version of Python, so numbers will differ a little.",
            stacklevel=2,
        )
    cached = _cache() / SHIPPED.name
    try:
        return load_runs(cached)
    except FileNotFoundError:
        pass
    except CheckpointError as error:
        warnings.warn(f"{error} Training them again.", stacklevel=2)
        _put_aside(cached)
    runs = _train_all(progress=progress)
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        save_runs(cached, runs)
    except OSError as error:
        warnings.warn(f"The runs could not be kept for next time: {error}.", stacklevel=2)
    return runs


def _put_aside(path: Path) -> None:
    """Keep a file that could not be read: it may be of a newer version, or somebody's own."""
    with suppress(
        OSError
    ):  # then it stays where it is, and what is no file of runs is not replaced
        content = hashlib.sha256(path.read_bytes()).hexdigest()  # so that no other is replaced
        path.replace(path.with_name(f"{path.name}.{content[:8]}.unread"))


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "landscape_nb"


def _train_all(progress: bool = True) -> list[TrainingRun]:
    text = data.text()
    config = TransformerConfig.laptop(len(text.vocabulary))
    runs = []
    for seed in (0, 1, 2):
        sequences = data.sequences(text, config.context, seed=seed)
        # 6208 = 388 batches of 16; 945 sequences are held out under Python 3.11. Chosen here.
        num_train = min(6208, len(sequences) * 7 // 8)
        marks = [64, 256, 1024, num_train] if seed == 0 else [num_train]
        runs.append(
            train_transformer(
                config,
                sequences,
                text.vocabulary,
                num_train=num_train,
                checkpoints_at=marks,
                seed=seed,
                progress=progress,
            )
        )
    return runs


if __name__ == "__main__":
    target = resolved(sys.argv[1] if len(sys.argv) > 1 else SHIPPED)
    if target.exists():
        refuse_foreign(target)  # before the work
    save_runs(target, _train_all())
