"""How a model settles as data grow: losses and next-sample averages at each of its minimisers.

    rows = settle(loss, ks=[20, 40, 80])                     # one run of your own
    rows = sweep(settle_problem, {"problem": names, "seed": range(3)}, "settling.jsonl", jobs=2)

No eigenvectors and no probes: what decides about "enough" at small sigma is the value part of the
criterion, and that needs only the losses of every unseen sample. `stored_settling` reads twenty
seeds of seven problems, which ship with the package; the command

    python -m landscape_nb settle settling.jsonl --seeds 20 --jobs 2

makes that file anew, or goes on with it after an interruption.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import Tensor

from landscape_nb.numerics import checks
from landscape_nb.numerics.devices import on_cpu
from landscape_nb.numerics.fit import fit
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.wording import rounded
from landscape_nb.problems.learning import learning_problem
from landscape_nb.study.sweep import read_sweep
from landscape_nb.theory.tails import tail

Row = dict[str, Any]
STORED = Path(__file__).with_name("settling.jsonl")


def settle(
    loss: EmpiricalLoss,
    ks: Iterable[int],
    *,
    tol: float = 1e-3,
    max_iterations: int = 500,
    warm: bool = False,
) -> list[Row]:
    """Train on the first k samples, for each k, and see what each unseen one would change.

    T(k) = mean over i > k of (l_i - L_k)^2 at w_k*,   mean squared increment = T(k)/(k+1)^2

    Args:
        loss: the empirical loss; more samples than the largest k.
        ks: increasing numbers of samples.
        tol: gradient norm at which a fit stops (1e-3: chosen here).
        max_iterations: of each fit (500: chosen here).
        warm: start each fit where the last one ended, not at the model's own parameters. Where
            there is one minimiser (a convex loss with L2) the rows are the same within `tol`, and
            sooner there; elsewhere it is another experiment: one model that goes on learning.

    Returns:
        One row for each k, every number rounded to four digits:
        * k, unseen: samples trained on, samples left;
        * loss, unseen_loss, unseen_stderr: their mean losses, without L2, in units of loss;
        * T, T_stderr: in loss^2, the standard error by the scatter over unseen samples;
        * delta1: mean |increment|, in units of loss;
        * hardest, tail_index: of the squared increments (`tail`);
        * grad_norm: at which the fit stopped.

    Raises:
        ValueError: an argument does not fit.

    >>> import torch
    >>> from landscape_nb.problems.toys import linear_regression
    >>> toy = linear_regression(60, 3, generator=torch.Generator().manual_seed(0))
    >>> rows = settle(EmpiricalLoss(*toy.parts), [10, 20])
    >>> [row["unseen"] for row in rows], rows[1]["T"] < rows[0]["T"]
    ([50, 40], True)
    """
    high_means = "there must be unseen samples"
    grid = checks.prefix_lengths(ks, loss.num_samples - 2, high_means=high_means)
    w, rows = None, []
    for k in grid:
        found = fit(loss, k, w if warm else None, tol=tol, max_iterations=max_iterations)
        w = found.w
        rows.append({"k": k, **_row(loss.per_sample(w), k), "grad_norm": rounded(found.grad_norm)})
    return rows


def settle_problem(problem: str, seed: int) -> list[Row]:
    """`settle` of one of the seven learning problems, for one seed; a measure for `sweep`."""
    known = learning_problem(problem)
    return settle(known.loss(seed), known.ks, max_iterations=known.iterations, warm=known.convex)


def stored_settling() -> list[Row]:
    """The rows of twenty seeds of every learning problem, as they ship with the package.

    >>> rows = stored_settling()
    >>> len({(row["problem"], row["seed"]) for row in rows})
    140
    """
    return read_sweep(STORED)


def _row(losses: Tensor, k: int) -> Row:
    seen, unseen = on_cpu(losses[:k]).mean(), on_cpu(losses[k:])
    surprise = (unseen - seen).square()
    heavy, m = tail(surprise), len(unseen)
    return {
        "unseen": m,
        "loss": rounded(seen),
        "unseen_loss": rounded(unseen.mean()),
        "unseen_stderr": rounded(unseen.std() / m**0.5),
        "T": rounded(heavy.mean),
        "T_stderr": rounded(heavy.stderr),
        "delta1": rounded((unseen - seen).abs().mean() / (k + 1)),
        "hardest": rounded(heavy.hardest),
        "tail_index": rounded(heavy.index),
    }
