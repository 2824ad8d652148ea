"""What old eigenvectors save a solver that starts from them: notebook 03, Going deeper."""

import torch

from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.problems import data, models
from landscape_nb.study.evidence.stored import Study
from landscape_nb.study.sweep import Row
from landscape_nb.theory.descent import gradient_descent
from landscape_nb.theory.intervals import Measured, mean_interval
from landscape_nb.theory.probes import top_eigenpairs

SAMPLES, D = 500, 10  # those of notebook 03
STEPS_LATER = (1, 20, 100)


def measure(seed: int) -> list[Row]:
    """Products of a cold and of a warm start, some steps of gradient descent later.

    The seed decides the digits, their order and the first weights. As in notebook 03 the network
    has 100 steps behind it when the eigenvectors are found from which the warm starts begin.
    """
    per_sample = torch.nn.CrossEntropyLoss(reduction="none")
    model = models.MLP([64, 16, 10], generator=torch.Generator().manual_seed(seed))
    loss = EmpiricalLoss(model, per_sample, *data.digits(SAMPLES, seed=seed))
    w = gradient_descent(loss, SAMPLES, lr=0.5, steps=100, every=100).w
    old = top_eigenpairs(loss, w, SAMPLES, D).vectors
    ws = gradient_descent(loss, SAMPLES, lr=0.5, steps=max(STEPS_LATER), w=w, every=1).ws
    rows = []
    for steps in STEPS_LATER:
        cold, warm = (top_eigenpairs(loss, ws[steps], SAMPLES, D, start=s) for s in (None, old))
        rows.append({"steps": steps, "cold": cold.hvp_count, "warm": warm.hvp_count})
    return rows


def summary(rows: list[Row]) -> dict[str, Measured]:
    """The saved share of products after each number of steps."""
    return {
        f"saved_{steps}": mean_interval(
            1 - row["warm"] / row["cold"] for row in rows if row["steps"] == steps
        )
        for steps in STEPS_LATER
    }


STUDY = Study(
    "Which share of the Hessian-vector products does a warm start save, some steps later?",
    measure,
    summary,
    seeds=10,
    minutes=0.2,
)
