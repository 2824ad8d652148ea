"""What a trained transformer makes of a text: surprises, expectations, and how it would go on."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from landscape_nb.numerics import checks
from landscape_nb.problems.checkpoints import TrainingRun

BATCH = 64  # sequences read at once, as in `TrainingRun.loss`


def log_chances(run: TrainingRun, rows: Sequence[int], checkpoint: int = -1) -> Tensor:
    """Ln p of every character at every place of some sequences, (n, context, V), without gradient.

    >>> from landscape_nb.problems.pretraining import pretrained
    >>> run = pretrained()[0]
    >>> found = log_chances(run, [0, 1])
    >>> tuple(found.shape), bool((found.exp().sum(2) - 1).abs().max() < 1e-5)
    ((2, 64, 103), True)
    """
    return torch.cat([*_read(run, rows, checkpoint)])


def surprises(run: TrainingRun, rows: Sequence[int], checkpoint: int = -1) -> Tensor:
    """-ln p of each character that came, in nats, (n, context); a row's mean is its loss."""
    targets = run.targets[list(rows)][:, :, None].split(BATCH)
    read = zip(_read(run, rows, checkpoint), targets, strict=True)  # one batch's chances at a time
    return torch.cat([-log_p.gather(-1, came)[:, :, 0] for log_p, came in read])


def _read(run: TrainingRun, rows: Sequence[int], checkpoint: int) -> Iterator[Tensor]:
    """`log_chances`, one batch after the other."""
    model = run.model(checkpoint)
    for tokens in run.inputs[list(rows)].split(BATCH):
        with torch.no_grad():
            log_p = model(tokens).log_softmax(-1)
        yield log_p


def continued(run: TrainingRun, row: int, given: int, count: int, checkpoint: int = -1) -> str:
    """What the model writes after the first characters of a sequence.

    Each time the character that it finds most likely; it looks back `context` characters at most.

    Args:
        run: the training.
        row: number of the sequence.
        given: how many of its characters the model is shown, 1..context + 1.
        count: how many it writes, from 1 on.
        checkpoint: which weights; the last by default.

    Raises:
        ValueError: a `given` or `count` outside its range.
    """
    context = run.config.context
    given = checks.whole_number("given", given, 1, context + 1, "characters of the sequence")
    count = checks.whole_number("count", count, 1, None, "characters to write")
    model, tokens = run.model(checkpoint), run.sequences[row, :given]
    with torch.no_grad():
        for _ in range(count):
            logits = model(tokens[-context:][None])[0, -1]
            tokens = torch.cat([tokens, logits.argmax()[None]])
    return "".join(run.vocabulary[token] for token in tokens[given:].tolist())


def counting_losses(run: TrainingRun) -> tuple[float, float]:
    """Nats per held-out character for two readers that only count: characters, and pairs of them.

    Each counts the training text, plus 0.1 for every pair, so that none is impossible (chosen
    here). The first guesses each character by how frequent it is, the second by its left
    neighbour.
    """
    V, train, test = (
        len(run.vocabulary),
        run.sequences[: run.num_train],
        run.sequences[run.num_train :],
    )
    places = train[:, :-1].flatten(), train[:, 1:].flatten()
    pairs = torch.full((V, V), 0.1).index_put(places, torch.tensor(1.0), accumulate=True)
    tables = pairs.sum(0).expand(V, V), pairs
    chances = [(table / table.sum(1, keepdim=True))[test[:, :-1], test[:, 1:]] for table in tables]
    by_character, by_pair = (-float(chance.log().mean()) for chance in chances)
    return by_character, by_pair
