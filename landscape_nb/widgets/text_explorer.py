"""A language model reads a text: the surprise of each character, and what the text would change."""

from typing import Any

import numpy as np
import torch

from landscape_nb.figures.text_explorer import text_picture
from landscape_nb.problems.checkpoints import TrainingRun
from landscape_nb.problems.reading import log_chances, surprises
from landscape_nb.widgets.explorable import Explorable, Whole, significant

NAMES = (
    "the easiest", "the second easiest", "a typical one", "another typical one",
    "the second hardest", "the hardest",
)  # fmt: skip
TYPICAL = 2  # number of the one that is shown first
GUESSES = 3  # characters that the model expected most, told for each place
SPREAD = (
    512  # sequences that a mean is taken of, at most: chosen here, its error is below 0.02 nats
)


class TextExplorer(Explorable, module="text_explorer"):
    """Six held-out sequences as text, each character with its surprise, as training goes on.

    With p the probability that the model gave to the character that came, after those before it,

        surprise = -ln p,    l = mean of a sequence's surprises, its loss,    I = (l - L) / (k + 1)

    where L is the mean loss of the k sequences that the model has read, here of at most 512 of
    them, evenly spread.

    Args:
        run: a training of a transformer, with at least six sequences held out.
        text: which of the six is chosen first, 0 (the easiest at the end) .. 5 (the hardest).

    Attributes:
        text: which of the six is read.
        stage: which checkpoint reads it, from 0 on; the last one first.
        place: which of its characters is told about, from 1 on (before it there is none to go by);
            the most surprising one first.

    Raises:
        ValueError: too few sequences held out; a setting outside its range.
    """

    text = Whole().tag(sync=True, explorable=True)
    stage = Whole().tag(sync=True, explorable=True)
    place = Whole().tag(sync=True, explorable=True)

    def __init__(self, run: TrainingRun, *, text: int = TYPICAL) -> None:
        data = six_texts(run)
        last, context = len(data["stages"]) - 1, run.config.context
        data["ranges"] = {"text": [0, len(NAMES) - 1], "stage": [0, last], "place": [1, context]}
        there = data["texts"][min(max(text, 0), len(NAMES) - 1)]["read"][last]["surprises"]
        super().__init__(data=data, text=text, stage=last, place=int(np.argmax(there)) + 1)

    def numbers(self) -> dict[str, Any]:
        """Surprises, loss and increment of the text; what was expected at the place."""
        one, stage, at = self._chosen(), self.data["stages"][self.stage], self.place - 1
        losses = [sum(read["surprises"]) / len(read["surprises"]) for read in one["read"]]
        read, loss = one["read"][self.stage], losses[self.stage]
        surprise = read["surprises"][at]
        return {
            "losses": losses,
            "loss": loss,
            "mean": stage["mean"],
            "increment": (loss - stage["mean"]) / (stage["k"] + 1),
            "surprises": read["surprises"],
            "surprise": surprise,
            "chance": float(np.exp(-surprise)),
            "expected": read["expected"][at],
            "chances": read["chances"][at],
        }

    def sentence(self) -> str:
        """The present state in words, the same that the browser shows."""
        stage, found = self.data["stages"][self.stage], self.numbers()
        pairs = zip(found["expected"], found["chances"], strict=True)
        guesses = ", ".join(f"{named(sign)} ({_percent(chance)})" for sign, chance in pairs)
        came, loss, mean = self._chosen()["signs"][self.place], found["loss"], found["mean"]
        return (
            f"{stage['when']}, character {self.place}: it expected {guesses}. "
            f"{_capital(named(came))} came, to which it gave {_percent(found['chance'])}: a "
            f"surprise of {found['surprise']:.2f} nats. The mean over all "
            f"{len(found['surprises'])} is the loss of this text, {loss:.2f} nats. As the next "
            f"sample it would change the mean loss by ({loss:.2f} - {mean:.2f}) / "
            f"{stage['k'] + 1} = {found['increment']:.1e} nats."
        )

    def purpose(self) -> str:
        """What there is to move, as a sentence."""
        return "Six texts to choose from, their characters, and a slider for the training so far."

    def _chosen(self) -> dict[str, Any]:
        return self.data["texts"][self.text]

    def _png(self) -> bytes:
        signs = [shown(sign) for sign in self._chosen()["signs"]]
        state = {"text": self.text, "stage": self.stage, "place": self.place}
        expected = [named(sign) for sign in self.numbers()["expected"]]
        return text_picture(self.data, state, self.numbers(), signs, expected)


def named(sign: str) -> str:
    """A character in words, for a sentence."""
    return {" ": "a space", "\n": "a new line"}.get(sign, f"\u201c{sign}\u201d")


def shown(sign: str) -> str:
    """A character as it stands in the text: what is invisible has a sign."""
    return {" ": "\u00b7", "\n": "\u21b5"}.get(sign, sign)


def _capital(words: str) -> str:
    """The first letter as a capital, the others as they are."""
    return words[0].upper() + words[1:]


def _percent(chance: float) -> str:
    percent = 100 * chance
    return "under 1 %" if percent < 1 else f"{percent:.0f} %"


# -- what is measured, once -----------------------------------------------------------------------


def six_texts(run: TrainingRun) -> dict[str, Any]:
    """The two easiest, two typical and two hardest held-out sequences at every checkpoint.

    Costs a forward pass over all held-out sequences, and one over at most 512 for each checkpoint.
    """
    held_out = range(run.num_train, len(run.sequences))
    if len(held_out) < len(NAMES):
        raise ValueError(
            f"At least {len(NAMES)} sequences must be held out; got {len(held_out)} of "
            f"{len(run.sequences)}. Train on fewer (num_train)."
        )
    order = surprises(run, held_out).mean(1).argsort(stable=True) + run.num_train
    middle = len(order) // 2
    rows = torch.cat([order[:2], order[middle - 1 : middle + 1], order[-2:]]).tolist()
    read = [_read(run, rows, j) for j in range(len(run.consumed))]
    return {
        "stages": [_stage(run, j) for j in range(len(run.consumed))],
        "texts": [
            {
                "name": name,
                "signs": "".join(run.vocabulary[t] for t in run.sequences[row].tolist()),
                "read": [stage[i] for stage in read],
            }
            for i, (name, row) in enumerate(zip(NAMES, rows, strict=True))
        ],
    }


def _read(run: TrainingRun, rows: list[int], checkpoint: int) -> list[dict[str, Any]]:
    """Surprises and expectations of one checkpoint for each sequence, rounded."""
    log_p = log_chances(run, rows, checkpoint)
    came = -log_p.gather(-1, run.targets[rows][:, :, None])[:, :, 0]
    best = log_p.exp().topk(min(GUESSES, len(run.vocabulary)), dim=-1)
    return [
        {
            "surprises": significant(came[i], 6),
            "chances": significant(best.values[i], 3),
            "expected": [
                "".join(run.vocabulary[t] for t in tokens) for tokens in best.indices[i].tolist()
            ],
        }
        for i in range(len(rows))
    ]


def _stage(run: TrainingRun, checkpoint: int) -> dict[str, Any]:
    """What there is to say about a checkpoint: when it was, the mean loss of what it has read."""
    k, last = run.consumed[checkpoint], checkpoint == len(run.consumed) - 1
    seen = range(0, k, -(-k // SPREAD))
    again = last and checkpoint > 0 and run.consumed[checkpoint - 1] == k
    return {
        "k": k,
        "name": "end" if again else str(k),
        "when": f"At the end of training, on {k} sequences" if again else f"After {k} sequences",
        "mean": significant(surprises(run, seen, checkpoint).mean(), 6),
    }
