"""A training watched from its own loop, to see whether the landscape settles as it goes on.

    loss = ln.EmpiricalLoss(model.eval(), loss_fn, inputs, targets)    # trained on first, then new
    watch = ln.Watch(loss, k=800, batch_size=32, path="run.jsonl")
    model.train()
    for batch in batches:
        ...
        optimizer.step()
        watch(model)                    # or watch(model, k=...) where the data grow
    watch.measure(model)                # a last row, certified

Most calls only count. Now and then one measures, adds a row to `watch.rows` and to the file, and
in a notebook redraws the picture. The model, its mode, its gradients and the random states are as
before; a number that can't be had (a diverged model, eigenpairs that do not converge) is None, with
the reason under "problem", and stops nothing.

The file is JSON Lines, one line for each row (`landscape_nb.study.json_lines`).
"""

import copy
import importlib
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from landscape_nb.numerics import checks
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.study.counted_work import counted_work
from landscape_nb.study.json_lines import Row
from landscape_nb.study.live_point import live_point, plain_settings
from landscape_nb.study.watch_file import RowsFile
from landscape_nb.study.watch_row import (
    COLUMNS,
    WatchProbe,
    curvature_part,
    forecast_part,
    losses_part,
)

# Of the share, so much is spent: headroom, for counts are not times. Chosen here.
_SPENT = 0.8
# What that is spent on, in tenths. Chosen here.
_TENTHS = {"losses": 3, "curvature": 3, "picture": 4}
# Nominal seconds of tail index, forecast and file; of a picture. As measured, rounded up.
_ROW, _PICTURE = 1.5e-2, 3e-1
_FIRST_PICTURE = 1.5  # and load matplotlib
_GROWTH = 1.05  # calls between rows grow at least so: 47 rows to a factor of ten. Chosen here.


class Watch:
    """Measures a model now and then while it is trained, for a small share of the work.

    A row holds, with None for what was not measured:
    * call, step, k: number of this call, the caller's step, samples trained on;
    * seen_loss, unseen_loss: means over the first k samples and over the others, no L2 term;
    * delta1, value, T: mean |I|, mean I^2 and (k+1)^2 times it, over every unseen sample as the
      next one; tail_index, hardest: what that mean is worth (`ln.tail`);
    * lambda_1, residual, certified: largest eigenvalue of the Hessian over `seen` of the samples
      trained on, |H u - lambda_1 u|, and whether it was looked for anything larger; grad_norm:
      |gradient| over the same samples;
    * cross, gradient, curvature: the criterion's other parts (KG26 Eq. 15) along the top D
      eigenvectors, from `candidates` unseen samples, with gradient_stderr and curvature_stderr;
    * tolerance, enough, enough_low, enough_high, scenario: how many samples would be enough,
      `ln.forecast_enough` over the k so far. With one k, that of a run whose data do not grow:
      K = sqrt(T/tolerance) - 1, the answer if learning stopped now, without an interval;
    * work, share: training steps' worth of counted work, and the whole watch's per step so far;
    * problem: why something is None.

    When it measures: work is counted in operations, bytes and arithmetic of the model's passes
    (`landscape_nb.study.counted_work`), never timed, so that a rerun measures at the same calls.
    A fifth of `share` is kept back, for counts are not times. Losses are measured when three tenths
    of the rest (one half where nothing is drawn) pay for them over the calls so far, curvature in
    such a row when as much pays for it, and a picture, 0.3 seconds, from the other four tenths;
    each at 1.05 times the call of the last, or later. Only the first call measures losses in
    advance. So long runs of small models get many rows, short runs of large ones few: a training
    of some seconds shows its picture at `measure`, or with `every`.
    A criterion below the tolerance says little before anything is learned: all losses are alike
    then.

    Args:
        loss: holds the samples trained on first, in any order, then unseen ones; made of the model
            that is trained, usually in eval mode. A few thousand samples: every row evaluates all.
        k: number of samples trained on, 1..n-1; each call may give another.
        path: a JSON Lines file, created if absent, continued if it is of the same settings.
        batch_size: samples of a training step (32: chosen here). With larger ones rows are
            dearer in comparison than they are.
        share: of the work of training, 0.05: what nobody misses. Chosen here.
        every: measure everything at every so many calls instead, whatever that costs.
        tolerance: squared increment that counts as settled, in loss^2; if not given, at each row
            a hundredth of the unseen loss, squared.
        D: dimension of the eigenspace; 1 costs least and belongs to lambda_1 (chosen here).
        sigma: standard deviation of the probe, as in KG26.
        seen, candidates: at most so many samples trained on, for the Hessian, and unseen ones, for
            the parts: four training batches and one if not given (chosen here), so that a row
            costs the same number of steps for every model. lambda_1 is that of so few samples:
            over 128 of 1200 digits 1.0 to 1.5 times that over all, with a scatter of 4 % early in
            training and 50 % late, but the same ones are taken at every row of one k.
        products: of the Hessian in a row, twice as many in the first (4: chosen here).
        seed: of the samples and directions drawn.
        live: whether to draw while the training goes on; only where there is a notebook.

    Attributes:
        rows: the rows so far, those of the file first.
        calls: number of calls so far; after an interruption counted from the file's last row.

    Raises:
        WatchFileError: another process writes to the file, it is not one of a watch, is damaged, or
            its settings differ; the file is left as it is.
        ValueError: an argument does not fit.

    >>> from landscape_nb.problems.toys import linear_regression
    >>> toy = linear_regression(30, 3, generator=torch.Generator().manual_seed(0))
    >>> loss = EmpiricalLoss(*toy.parts)
    >>> watch, model = Watch(loss, k=20, every=10), loss.model
    >>> for _ in range(25):
    ...     row = watch(model)
    >>> [row["call"] for row in watch.rows]
    [1, 11, 21]
    """

    def __init__(
        self,
        loss: EmpiricalLoss,
        k: int,
        path: str | Path | None = None,
        *,
        batch_size: int = 32,
        share: float = 0.05,
        every: int | None = None,
        tolerance: float | None = None,
        D: int = 1,
        sigma: float = 1e-3,
        seen: int | None = None,
        candidates: int | None = None,
        products: int = 4,
        seed: int = 0,
        live: bool = True,
    ) -> None:
        if not isinstance(loss, EmpiricalLoss):
            raise ValueError(f"loss must be an EmpiricalLoss; got {type(loss).__name__}.")
        self.loss, self.k = loss, _number_of_samples(loss, k)
        if tolerance is not None:
            tolerance = checks.positive("tolerance", tolerance, "squared increment, in loss^2")
        if every is not None:
            every = checks.whole_number("every", every, 1, None, "calls from row to row")
        self.tolerance, self.every = tolerance, every
        self.share = checks.positive("share", share, "of the work of training")
        if self.share > 1:
            raise ValueError(f"share must be at most 1, for example 0.05; got {share}.")
        with plain_settings(loss.w0):
            self.work = counted_work(loss, batch_size)
        seen = 4 * self.work.batch_size if seen is None else seen
        candidates = max(4, self.work.batch_size) if candidates is None else candidates
        self.probe = WatchProbe(
            checks.whole_number("D", D, 1, loss.num_params, "dimension of the eigenspace"),
            checks.positive("sigma", sigma, "standard deviation of the probe"),
            checks.whole_number("seen", seen, 1, None, "samples for the Hessian"),
            checks.whole_number("candidates", candidates, 4, None, "unseen samples"),
            checks.whole_number("products", products, 1, None, "with the Hessian in a row"),
        )
        self.seed = checks.whole_number("seed", seed, 0, 2**63 - 1, "of the samples drawn")
        self.live = bool(live) and in_notebook()
        self.rows: list[Row] = []
        self.calls = 0
        self._vectors: torch.Tensor | None = None
        self._picture: Any = None
        self._file = None if path is None else RowsFile(Path(path), self._settings())
        if self._file is not None:
            self.rows = list(self._file.rows)
            self.calls = self.rows[-1]["call"] if self.rows else 0
        # of a run that goes on: neither debt nor savings
        self._spent = {name: self._earned(name, self.calls) for name in _TENTHS}
        self._next = {name: self._due(name) for name in _TENTHS}
        if not self.calls:
            self._next["losses"] = 1

    # -- calls -------------------------------------------------------------------------------------

    def __call__(
        self, model: nn.Module, k: int | None = None, *, step: int | None = None
    ) -> Row | None:
        """Count one training step; measure if it is time to.

        Args:
            model: the model as it is now; only read.
            k: number of samples trained on so far, if it has changed.
            step: the caller's own count, for the row; the number of calls if not given.

        Returns:
            The new row, or None.

        Raises:
            ValueError: the model is not the loss's, or k does not fit.
            WatchFileError: a later watch of this process has taken over the file.
        """
        self.calls += 1
        if k is not None:
            self.k = _number_of_samples(self.loss, k)
        if self.every is not None:
            due = (self.calls - 1) % self.every == 0
            return self._row(model, step, due) if due else None
        if self.calls < self._next["losses"]:
            return None
        return self._row(model, step, curvature=self.calls >= self._next["curvature"])

    def measure(self, model: nn.Module, k: int | None = None, *, step: int | None = None) -> Row:
        """A whole row at once, its eigenpairs certified; it is not charged to the share.

        Arguments, returns and raises as a call, but it does not count as a training step.
        """
        if k is not None:
            self.k = _number_of_samples(self.loss, k)
        return self._row(model, step, True, certify=True)

    def lightning(self, module: Callable[[Any], nn.Module] = lambda pl_module: pl_module) -> Any:
        """A callback for Lightning's Trainer that calls this watch after every training batch.

        Args:
            module: takes the LightningModule and gives the module that the loss was made of,
                for example lambda pl_module: pl_module.net.
        """
        base = getattr(sys.modules.get("lightning.pytorch"), "Callback", object)
        base = getattr(sys.modules.get("pytorch_lightning"), "Callback", base)
        watch = self

        class WatchCallback(base):  # type: ignore[misc, valid-type]
            def on_train_batch_end(self, trainer: Any, pl_module: Any, *batch: Any) -> None:
                watch(module(pl_module), step=trainer.global_step)

        return WatchCallback()

    # -- what was measured -------------------------------------------------------------------------

    @property
    def latest(self) -> Row | None:
        """The last row, if there is one."""
        return self.rows[-1] if self.rows else None

    @property
    def figure(self) -> Any:
        """The rows as a matplotlib figure (`landscape_nb.figures.watching`)."""
        return _pictures().watched_training(self.rows)[0]

    def show(self) -> None:
        """Display the picture with its sentence."""
        _pictures().show_watch(self.rows)

    def close(self) -> None:
        """Let go of the file; another process may go on with it."""
        if self._file is not None:
            self._file.close()

    def __repr__(self) -> str:
        """Counts at a glance."""
        return f"Watch(calls={self.calls}, rows={len(self.rows)}, k={self.k})"

    def __getstate__(self) -> dict[str, Any]:
        """A copy holds all but the file, which has one writer, and the notebook's picture."""
        state = {**vars(self), "_file": None, "_picture": None}
        for name in ("rows", "_spent", "_next"):
            state[name] = copy.copy(state[name])
        return state

    # -- one row -----------------------------------------------------------------------------------

    def _row(
        self, model: nn.Module, step: int | None, curvature: bool, certify: bool = False
    ) -> Row:
        if step is not None:
            step = checks.whole_number("step", step, 0, None, "the caller's count")
        row: Row = dict.fromkeys(COLUMNS)
        row.update(call=self.calls, step=self.calls if step is None else step, k=self.k)
        with plain_settings(self.loss.w0):
            w, loss = live_point(self.loss, model)
            try:
                losses = loss.per_sample(w)
                row.update(losses_part(losses, self.k, self.tolerance))
                row.update(forecast_part(self.rows, row))
                if curvature:
                    part, self._vectors, row["problem"] = curvature_part(
                        loss, w, losses, self.k, self.probe, start=self._vectors,
                        seed=self.seed, certify=certify,
                    )  # fmt: skip
                    row.update(part)
            except (ValueError, torch.OutOfMemoryError) as error:
                row["problem"] = checks.first_line(error)
        self._charge(row, curvature, certify)
        if self._file is not None:
            self._file.append(row)
        self.rows.append(row)
        self._draw(asked_for=certify)
        return row

    def _charge(self, row: Row, curvature: bool, certify: bool) -> None:
        costs = {"losses": self._cost("losses")}
        if curvature:
            costs["curvature"] = self._cost("curvature")
        row["work"] = sum(costs.values()) / self.work.step
        if not certify:
            for name, cost in costs.items():
                self._spend(name, cost)
        if self.calls:
            row["share"] = sum(self._spent.values()) / self.work.step / self.calls

    # -- when --------------------------------------------------------------------------------------

    def _spend(self, name: str, cost: float) -> None:
        self._spent[name] += cost
        self._next[name] = self._due(name)

    def _due(self, name: str) -> int:
        """The call at which one more of it is paid for."""
        paid = (self._spent[name] + self._cost(name)) / max(self._earned(name, 1), 1e-300)
        return math.ceil(max(self.calls + 1, _GROWTH * self.calls, paid))

    def _earned(self, name: str, calls: int) -> float:
        """Nominal seconds that so many calls allow for it."""
        whole = sum(tenths for n, tenths in _TENTHS.items() if self.live or n != "picture")
        drawn = self.live or name != "picture"
        return _SPENT * self.share * drawn * _TENTHS[name] / whole * calls * self.work.step

    def _cost(self, name: str) -> float:
        """Nominal seconds of one."""
        if name == "picture":  # rows do not depend on it: it has an account of its own
            return _PICTURE if _FIGURES in sys.modules else _FIRST_PICTURE
        if name == "losses":
            return self.work.losses(self.loss.num_samples) + _ROW
        products = self.probe.cold if self._vectors is None else self.probe.products
        m = min(self.probe.candidates, self.loss.num_samples - self.k)
        seen = min(self.k, self.probe.seen)
        return self.work.hessian(seen, products) + self.work.samples(m, self.probe.D)

    def _draw(self, asked_for: bool) -> None:
        if not self.live:
            return
        if asked_for or self.every is not None or self.calls >= self._next["picture"]:
            cost = self._cost("picture")
            self._picture = _pictures().draw_live(self.rows, self._picture)
            if not asked_for:
                self._spend("picture", cost)

    def _settings(self) -> Row:
        return {
            "num_samples": self.loss.num_samples,
            "num_params": self.loss.num_params,
            "dtype": str(self.loss.w0.dtype),
            "l2": self.loss.l2,
            "tolerance": self.tolerance,
            "seed": self.seed,
            "batch_size": self.work.batch_size,
            **vars(self.probe),
        }


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this; loads nothing."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and hasattr(shell, "kernel")


_FIGURES = "landscape_nb.figures.watching"


def _pictures() -> Any:
    # by name and late: `import landscape_nb` loads no matplotlib
    return importlib.import_module(_FIGURES)


def _number_of_samples(loss: EmpiricalLoss, k: Any) -> int:
    meaning = "samples trained on; those after them are the unseen ones"
    return checks.whole_number("k", k, 1, loss.num_samples - 1, meaning)
