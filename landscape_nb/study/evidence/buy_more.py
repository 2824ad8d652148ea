"""What 300 more labelled digits bring to somebody who has 300, where labels cost money.

The network is trained on the first k digits of an order of its own, at k up to 300 and at 600, and
asked about the digits that come after the first 600: the same ones at every k. What is measured
up to 300 needs no label that has to be bought, but for those that it is judged by.
"""

import numpy as np

from landscape_nb.numerics.fit import fit
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.wording import rounded
from landscape_nb.problems.learning import learning_problem
from landscape_nb.study.evidence.stored import Study
from landscape_nb.study.sweep import Row
from landscape_nb.theory.intervals import Measured, mean_interval

OWNED, BOUGHT = 300, 600
KS = (19, 27, 38, 53, 75, 106, 150, 212, OWNED, BOUGHT)  # half doublings up to what is owned
PROBLEM = "digits, MLP"


def measure(seed: int) -> list[Row]:
    """Training and held-out loss, T and the share of wrong answers at each k of one seed."""
    problem = learning_problem(PROBLEM)
    loss = problem.loss(seed)
    return [{"k": k, **trained_on(loss, k, problem.iterations)} for k in KS]


def trained_on(loss: EmpiricalLoss, k: int, iterations: int = 500) -> Row:
    """What a network trained on the first k digits does on those after the first 600.

    T = mean over these of (l_i - L_k)^2,   Delta_k = T/(k+1)^2
    """
    w = fit(loss, k, tol=1e-3, max_iterations=iterations, progress=False).w
    losses, later = loss.per_sample(w), range(BOUGHT, loss.num_samples)
    unseen, seen = losses[BOUGHT:], losses[:k].mean()
    squares = (unseen - seen).square()
    right = loss.outputs(w, later).argmax(1) == loss.targets[BOUGHT:]
    root = len(unseen) ** 0.5
    found = {
        "loss": seen, "unseen_loss": unseen.mean(), "unseen_stderr": unseen.std() / root,
        "T": squares.mean(), "T_stderr": squares.std() / root, "wrong": 1 - right.double().mean(),
    }  # fmt: skip
    return {name: rounded(value) for name, value in found.items()}


def column(rows: list[Row], name: str) -> np.ndarray:
    """One column, (seeds, k)."""
    return np.array([row[name] for row in rows]).reshape(-1, len(KS))


def summary(rows: list[Row]) -> dict[str, Measured]:
    """Held-out loss and share of wrong answers with 300 and with 600 digits, and the gain."""
    (loss, more), (wrong, fewer) = (
        column(rows, name)[:, -2:].T for name in ("unseen_loss", "wrong")
    )
    return {
        "loss_300": mean_interval(loss.tolist()),
        "loss_600": mean_interval(more.tolist()),
        "gain": mean_interval((1 - more / loss).tolist()),
        "wrong_300": mean_interval(wrong.tolist()),
        "wrong_600": mean_interval(fewer.tolist()),
        "mended": mean_interval((wrong - fewer).tolist()),
    }


STUDY = Study(
    "What do 300 more labelled digits bring to a network that has 300?",
    measure,
    summary,
    seeds=20,
    minutes=0.7,
)
