"""A stabilization report on one model: sentences, tables and pictures in one HTML file.

    page = report(loss, k=500)      # in a notebook, the last line of a cell shows it
    page.save("report.html")        # stand-alone: no script, nothing loaded from elsewhere

The numbers are those of `landscape_nb.study.diagnosis`; here they become something to read.
"""

import base64
import html
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, Unpack

import numpy as np
from torch import Tensor

from landscape_nb.figures import plots
from landscape_nb.figures.forecast import forecast_along_k
from landscape_nb.numerics import checks
from landscape_nb.numerics.devices import on_cpu
from landscape_nb.numerics.files import replace_files
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.wording import between, beyond, count
from landscape_nb.study.along_k import LEVEL
from landscape_nb.study.answer import answer
from landscape_nb.study.budget import Budget
from landscape_nb.study.diagnosis import diagnose
from landscape_nb.study.findings import Diagnosis
from landscape_nb.study.report_file import refuse_foreign, whole_page
from landscape_nb.theory.forecast import Forecast, Scenario


@dataclass(frozen=True, eq=False)
class Section:
    """A heading, sentences, and perhaps a table (first row: heads) and a picture."""

    title: str
    sentences: tuple[str, ...]
    table: tuple[tuple[str, ...], ...] = ()
    picture: tuple[bytes, str] | None = None  # PNG, and what it shows
    warns: bool = False  # sentences are warnings, one item each


@dataclass(frozen=True, eq=False, repr=False)
class Report:
    """What `report` returns: shown by a notebook, printed by `print`, kept by `save`.

    Attributes:
        diagnosis: every number behind it.
        sections: what it says.
    """

    diagnosis: Diagnosis
    sections: tuple[Section, ...]

    def __str__(self) -> str:
        """Plain text: in the place of a picture stands what it shows."""
        blocks = []
        for section in self.sections:
            lines = [section.title, "-" * len(section.title), *_wrapped(section.sentences)]
            widths = [max(map(len, column)) for column in zip(*section.table, strict=True)]
            for first, *rest in section.table:
                cells = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
                lines.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
            if section.picture:
                lines += _wrapped([section.picture[1]])
            blocks.append("\n".join(lines))
        return "\n\n".join(blocks)

    __repr__ = __str__  # where only text can be shown, this is what a reader wants

    def html(self) -> str:
        """A whole page that needs nothing else."""
        return whole_page(self._body(2))

    def save(self, path: str | Path) -> Path:
        """Write the page, all of it or nothing; the folder must exist.

        Raises:
            ValueError: the file exists and is neither a report nor empty. It is left as it is.
            OSError: it can't be written. An earlier report there is left as it is.
        """
        path = Path(path)
        replace_files({path: self.html().encode()}, refuse=refuse_foreign)
        return path

    def _repr_html_(self) -> str:
        return self._body(3)

    def _body(self, level: int) -> str:
        return "\n".join(_section_html(section, level) for section in self.sections)


def _wrapped(sentences: Sequence[str], width: int = 100) -> list[str]:
    """Sentences as lines that a terminal shows whole, each sentence on a line of its own."""
    # "2 000" and "90 %" stay together: textwrap does not break at this kind of space
    joined = [re.sub(r"(?<=\d) (?=[\d%])", "\u00a0", sentence) for sentence in sentences]
    lines = [line for s in joined for line in textwrap.wrap(s, width, break_on_hyphens=False)]
    return [line.replace("\u00a0", " ") for line in lines]


class Options(TypedDict, total=False):
    """What `report` passes on to `diagnose`, which describes and checks it."""

    D: int
    sigma: float
    tolerance: float | None
    budget: Budget | None
    seconds: float | None
    seed: int
    progress: bool


def report(
    loss: EmpiricalLoss,
    k: int,
    w: Tensor | None = None,
    *,
    cost_per_sample: float | None = None,
    **options: Unpack[Options],
) -> Report:
    """Diagnose one model and say in words what was found.

    Args:
        loss: the empirical loss; at least two samples more than k.
        k: number of samples that the model was trained on: the first k.
        w: (N,), the trained point; found by `fit` from the model's own parameters if not given.
        cost_per_sample: in any currency: what the missing samples cost is then said too.
        options: D, sigma, tolerance, budget, seconds, seed, progress: as `diagnose` takes them.

    Returns:
        A `Report`. A million parameters take one to two minutes on two cores. The same call gives
        the same report, except for the sentence on time.

    >>> import torch
    >>> from landscape_nb.problems.toys import linear_regression
    >>> toy = linear_regression(30, 3, generator=torch.Generator().manual_seed(0))
    >>> page = report(EmpiricalLoss(*toy.parts), k=20, progress=False)
    >>> [section.title for section in page.sections][:3]
    ['In short', 'What to doubt', 'How much data is enough']
    """
    if cost_per_sample is not None:  # refused before anything is worked on
        cost_per_sample = checks.non_negative("cost_per_sample", cost_per_sample, "of one sample")
    return written(diagnose(loss, k, w, **options), cost_per_sample)


def written(found: Diagnosis, cost_per_sample: float | None = None) -> Report:
    """The report on what was found; a stage without a time in `found.seconds` is not mentioned."""
    short = Section("In short", answer(found, cost_per_sample))
    return Report(found, (short, *(write(found) for write in _CHAPTERS)))


# -- chapters -------------------------------------------------------------------------------------


def _what_was_measured(d: Diagnosis) -> Section:
    spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in d.seconds.items())
    return Section(
        "What was measured",
        (
            f"{d.description}.",
            f"Mean loss of the first k = {d.k} samples: {d.seen_value:.4g}, of those not seen: "
            f"{d.unseen_value:.4g}." + (f" With its L2 term, L_k = {d.value:.4g}." if d.l2 else ""),
            "The point is "
            + ("where training ended here" if d.fitted else "the one given")
            + f"; the gradient's norm there is {d.grad_norm:.1e}.",
            f"Budget: {d.budget}.",
            *([f"Time: {spent}."] if spent else []),
        ),
    )


def _what_to_doubt(d: Diagnosis) -> Section:
    none = "Nothing stands out: converged, local, a gap behind the last direction."
    return Section("What to doubt", tuple(d.doubts) or (none,), warns=True)


def _spectrum(d: Diagnosis) -> Section:
    values = on_cpu(d.pairs.values)
    worst = float(d.pairs.residuals.max()) + d.pairs.noise
    N, first = len(d.w), float(values[0])
    figure, ax = plots.new_figure(width=6.2, height=3.0)
    plots.curve(ax, np.arange(1, d.D + 1), values, "top", linestyle="none", label="eigenvalue")
    ax.axhline(0, color=plots.GREY, linewidth=0.8)
    ax.set(xlabel="index", ylabel="eigenvalue of the Hessian")
    ax.xaxis.get_major_locator().set_params(integer=True)
    words = (
        f"The {d.D} largest eigenvalues fall from {first:.3g} to {float(values[-1]):.3g}; each is "
        f"right within its residual, {worst:.0e} at worst."
    )
    steps = (
        f"Gradient descent is stable below a learning rate of about 2/lambda_1 = {2 / first:.2g}."
        if first > worst
        else "Nothing bends upward, so no learning rate is too large for it."
    )
    trace = f"Trace {float(d.trace.value):.4g} ± {float(d.trace.stderr):.1g} (one standard error)"
    # the L2 term lifts every eigenvalue alike: it says nothing about the data
    data_trace = float(d.trace.value) - N * d.l2
    if d.l2:
        trace += f", of which {N * d.l2:.4g} is the L2 term's"
    if data_trace > 2 * float(d.trace.stderr):
        share = (float(values.sum()) - d.D * d.l2) / data_trace
        rest = "the rest" if d.l2 else "it"
        trace += f"; {d.D} of {N} directions carry about {100 * share:.0f} % of {rest}"
    lowest = f"{'is' if d.lowest_certified else 'is not known; it is at most'} {d.lowest:.2e}"
    gap = f"Gap to the next eigenvalue: {d.pairs.gap:.1e}" if d.D < N else "These are all"
    return Section(
        "Curvature",
        (
            f"Sharpest direction: lambda_1 = {first:.4g}. {steps}",
            f"{trace}. The smallest eigenvalue {lowest}.",
            f"{gap}; {d.pairs.hvp_count} Hessian-vector products.",
        ),
        picture=(plots.to_png(figure), words),
    )


def _next_sample(d: Diagnosis) -> Section:
    top, random = (table.at(d.D, d.sigma) for table in (d.top, d.random))
    full = d.full.at(1, d.sigma)
    rows: list[tuple[str, ...]] = [("probe", "criterion", *_PARTS, "raw ratio", "centred ratio")]
    for name, m in ((f"top {d.D}", top), (f"random {d.D}", random), ("whole space", full)):
        parts = (_share(getattr(m, part), m.total, _percent) for part in _PARTS)
        ratios = (
            _share(getattr(m, kind), getattr(full, kind), "{:.3g}".format) for kind in _RATIOS
        )
        rows.append((name, f"{float(m.total):.2e}", *parts, *ratios))
    raw = [_share(m.total, full.total, "{:.3f}".format) for m in (top, random)]
    compared = (
        "No unseen sample changes the loss at this sigma, as far as numbers tell: there are no "
        "shares and no ratios."
        if _NONE in raw
        else f"The raw ratio to the whole space is {raw[0]} for the sharpest directions and "
        f"{raw[1]} for random ones: it says little, since all share the value at the "
        "point. The centred ratio, without it, tells who sees the change."
    )
    return Section(
        "What one more sample changes",
        (
            f"Averaged over {d.candidates} unseen samples as the next one: |increment| at the "
            f"point itself, Delta_1 = {d.delta1:.2e}; the squared increment under a probe of "
            f"sigma = {d.sigma:g} in {d.D} directions, Delta_2^(D) = {float(top.total):.2e}.",
            compared,
        ),
        tuple(rows),
    )


_NONE = "-"


def _share(part: Tensor, whole: Tensor, write: Callable[[float], str]) -> str:
    """A ratio in words, or none where there is nothing to compare with."""
    return write(float(part / whole)) if float(whole) > 0 else _NONE


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %" if abs(share) >= 5e-5 or share == 0 else f"{100 * share:.0e} %"


_PARTS, _RATIOS = ("value", "cross", "gradient", "curvature"), ("total", "centred")


def _local_regime(d: Diagnosis) -> Section:
    figure, ax = plots.new_figure(width=6.2, height=3.0)
    shown = d.model_error.nan_to_num(nan=0.0, posinf=float("inf")).clamp(min=1e-12)
    plots.curve(ax, d.sigmas, shown, "gradient", label="centred error")
    ax.axhline(0.1, color=plots.GREY, linewidth=1)
    ax.axvline(d.sigma, color=plots.VERMILLION, linestyle="--", linewidth=1.2)
    plots.log_log(ax, "sigma", "relative error", "")
    ax.annotate("10 %", (float(d.sigmas[0]), 0.1), xytext=(0, 3), textcoords="offset points")
    ax.annotate(
        "sigma of this report", (d.sigma, ax.get_ylim()[0]), xytext=(4, 6),
        textcoords="offset points", color=plots.VERMILLION, fontsize=9,
    )  # fmt: skip
    reach = (
        "The quadratic model is off by more than 10 % at every sigma tried."
        if d.local_sigma is None
        else f"The quadratic model is right within 10 % up to sigma = {d.local_sigma:.0e}."
    )
    if bool((d.model_error == 0).all()):
        reach = "The increments do not change with sigma at all, and the quadratic model says so."
    elif hidden := int(d.model_error.isnan().sum()):
        reach += (
            f" At {hidden} of the {len(d.sigmas)} sigmas the increments change by less than "
            "rounding lets see."
        )
    return Section(
        "Local regime",
        ("Closed forms rest on a quadratic model of the increment. Is it right at this sigma?",),
        picture=(plots.to_png(figure), reach),
    )


def _enough(d: Diagnosis) -> Section:
    figure, ax = plots.new_figure(width=6.2, height=3.4)
    forecast_along_k(ax, d.along.ks, d.along.means, d.band, d.forecast, d.measured)
    how = (
        f"trained anew for each k ({d.budget.retrain_iterations} iterations at most)"
        if d.retrained
        else f"at k = {d.k} only, not trained anew for less"
    )
    return Section(
        "How much data is enough",
        (
            f"Settled means: mean squared increment below {d.tolerance:.2e} (an increment of "
            f"{d.tolerance**0.5:.2g}) for this and every larger k.",
            f"Measured, {_grid(d)}: K is {d.measured}. It speaks of {d.measured.scatter}.",
            _forecast(d),
            f"At k = {d.k}: {d.tail}",
        ),
        picture=(
            plots.to_png(figure),
            f"Mean squared increment of all unseen samples against k, {how}, with its "
            f"{100 * LEVEL:g} % band; beyond k = {d.along.ks[-1]} the forecast, between a learning "
            "that stops and one that goes on.",
        ),
    )


def _grid(d: Diagnosis) -> str:
    ks = d.along.ks
    return f"k = {ks[0]} to {ks[-1]}" if len(ks) > 1 else f"k = {ks[0]} only"


def _forecast(d: Diagnosis) -> str:
    f = d.forecast
    if d.measured.K is not None:  # two estimates of what was measured would only confuse
        upper = ""
        if f.high is not None and f.high > d.k:
            share = f"{100 * f.level:g} %"
            upper = f", though up to {count(f.high)} may be needed ({share}; extrapolated)"
        return f"Forecast: none is needed, K lies within what was measured{upper}."
    told = f"Forecast: {f}. If learning stopped now: {_scenario(f.if_stopped, f)}."
    if f.if_continued is None:
        return told
    return (
        f"{told} If it went on as it did (the mean squared surprise falling as "
        f"k^-{f.exponent:.1f}): {_scenario(f.if_continued, f)}."
    )


def _scenario(s: Scenario, f: Forecast) -> str:
    if s.K is None:
        return "K lies farther than can be said"
    further = "; extrapolated" if s.K > f.k_last else ""
    ends = between(s.low or s.K, s.high)
    return f"K = {beyond(f.k_last, s.K)} ({100 * f.level:g} %: {ends}{further})"


_CHAPTERS: Sequence[Callable[[Diagnosis], Section]] = (
    _what_to_doubt,
    _enough,
    _what_was_measured,
    _spectrum,
    _next_sample,
    _local_regime,
)


def _section_html(section: Section, level: int) -> str:
    parts = [f"<h{level}>{html.escape(section.title)}</h{level}>"]
    items = [html.escape(sentence) for sentence in section.sentences]
    if section.warns:
        listed = "".join(f"<li>{item}</li>" for item in items)
        parts.append(f'<ul class="doubts">{listed}</ul>')
    else:
        parts += [f"<p>{item}</p>" for item in items]
    if section.table:
        head, *rows = section.table
        parts.append("<table>" + _row_html(head, "th"))
        parts += [_row_html(row, "td") for row in rows]
        parts.append("</table>")
    if section.picture:
        png, words = section.picture
        data = base64.b64encode(png).decode()
        parts.append(f'<p><img alt="{html.escape(words)}" src="data:image/png;base64,{data}"></p>')
        parts.append(f"<p>{html.escape(words)}</p>")
    return "\n".join(parts)


def _row_html(cells: Sequence[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"
