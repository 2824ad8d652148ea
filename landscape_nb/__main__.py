"""The command line: `python -m landscape_nb report mymodule:make_loss`, `settle`, `evidence`.

The same command writes the same report, except for its sentence on time; with `--seconds`, a timed
gradient decides how much work is done. The report names its counts, which the options below take.
"""

import argparse
import dataclasses
import inspect
import io
import os
import signal
import sys
import sysconfig
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from landscape_nb.numerics import checks
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.numerics.processes import first_of_launch, several
from landscape_nb.numerics.shared_loss import over_processes
from landscape_nb.problems.learning import LEARNING_PROBLEMS, learning_problem
from landscape_nb.study.budget import Budget, default_budget, timed_budget
from landscape_nb.study.evidence import stored
from landscape_nb.study.report_file import refuse_unwritable
from landscape_nb.study.settling import settle_problem
from landscape_nb.study.sweep import sweep
from landscape_nb.study.users_function import made_loss

if TYPE_CHECKING:
    from landscape_nb.study.report import Report


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a report on the loss that a function of the user's module builds, or run the study.

    Returns:
        The exit status: 0; 2 with one line on stderr for a mistake in the call or the model, or if
        the report could not be written; 130 after Ctrl-C. What the user's own code raises is raised
        here too, so that Python shows where.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal may know letters only
    parser = argparse.ArgumentParser("python -m landscape_nb", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    _report_options(commands.add_parser(
        "report",
        help="a stabilization report as an HTML file",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n\n".join([_rule("default", default_budget), _rule("--seconds", timed_budget)]),
    ))  # fmt: skip
    _settle_options(commands.add_parser("settle", help="seven problems along k, saved as it goes"))
    _evidence_options(commands.add_parser("evidence", help="a study behind the course's verdicts"))
    chosen = parser.parse_args(arguments)
    run = {"report": _report, "settle": _settle, "evidence": _evidence}[chosen.command]
    try:
        return run(chosen)
    except (ValueError, OSError) as error:
        ours, place = _raised(error)
        # what the package says about an error of the user's code is not all that there is to see
        if not ours or (error.__cause__ and not _raised(error.__cause__)[0]):
            raise
        # what all processes refuse is said once; that one was lost, by each that saw it
        lost = f" {_KEPT[chosen.command]}" if isinstance(error, ConnectionError) else ""
        if lost or first_of_launch():
            print(f"landscape_nb: {error}{lost}{place}", file=sys.stderr, flush=True)
        return 2
    except KeyboardInterrupt:
        print(f"landscape_nb: stopped. {_KEPT[chosen.command]}", file=sys.stderr)
        return 130


_GOES_ON = "Finished cells are saved; the same command goes on from there."
_KEPT = {
    "report": "No file is left half-written.",
    "settle": _GOES_ON,
    "evidence": _GOES_ON,
}


def _raised(error: BaseException) -> tuple[bool, str]:
    """Whether this package refused something, not the user's code; and the user's line, if any."""
    library = sysconfig.get_path("stdlib")
    ours, place = True, ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        module, file = frame.f_globals.get("__name__", ""), frame.f_code.co_filename
        if module == "__main__" or module.partition(".")[0] == "landscape_nb":
            ours = True
        elif "site-packages" in file:
            ours = False
        elif not file.startswith(("<frozen", library)):  # Python's own fails where it is called
            ours, place = False, f" ({os.path.basename(file)}, line {line})"
    return ours, place


def _ended(number: int, _: object) -> None:
    """Ended from outside: torchrun ends the rest so where it has lost one of several processes."""
    if several():
        print(
            f"landscape_nb: ended by {signal.Signals(number).name}: a worker was lost, or all are "
            f"stopped. {_KEPT['report']}",
            file=sys.stderr,
            flush=True,
        )
    sys.exit(128 + number)


def _say(words: object) -> None:
    """Print at once. A reader who has seen enough, as `head` has, is no mistake."""
    try:
        print(words, flush=True)
    except OSError as error:
        with suppress(OSError, ValueError):  # else Python tries the rest again when it ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise


def _report_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "make_loss",
        metavar="MODULE:FUNCTION",
        help="returns an EmpiricalLoss; called without arguments",
    )
    command.add_argument(
        "-k",
        type=int,
        help="samples the model was trained on (default: 80 %%, all but two at most)",
    )
    command.add_argument(
        "--trained", action="store_true", help="the model is trained: do not fit it"
    )
    command.add_argument("-D", type=int, default=10, help="dimension of the probe (default 10)")
    command.add_argument("--sigma", type=float, default=1e-3, help="of the probe (default 1e-3)")
    command.add_argument("--tolerance", type=float, help="squared increment that counts as settled")
    command.add_argument(
        "--cost-per-sample", type=float, metavar="COST", help="of one more sample, in any currency"
    )
    for name, meaning in _COUNTS.items():
        option = "--" + name.replace("_", "-")
        command.add_argument(option, type=int, metavar="COUNT", help=f"{meaning}, at most")
    command.add_argument(
        "--seconds", type=float, help="about what it may take, instead of counts: see below"
    )
    command.add_argument(
        "--output",
        default="report.html",
        help="(default report.html); replaced if it is an earlier report, else refused",
    )


def _report(chosen: argparse.Namespace) -> int:
    _refuse_early(chosen)
    output = os.path.abspath(chosen.output)  # the user's module may go to another folder
    with over_processes(lambda: made_loss(chosen.make_loss)) as (loss, first):
        k = _default_k(loss.num_samples) if chosen.k is None else chosen.k
        budget = _budget(loss, k, _counts(chosen), chosen.seconds)
        # Imported here: matplotlib takes longer to load than a mistake takes to find.
        from landscape_nb.study.report import report

        page = report(
            loss, k, loss.w0 if chosen.trained else None, D=chosen.D, sigma=chosen.sigma,
            tolerance=chosen.tolerance, cost_per_sample=chosen.cost_per_sample, budget=budget,
            seconds=chosen.seconds, progress=first and sys.stderr.isatty(),
        )  # fmt: skip
    return _delivered(page, output, chosen.output) if first else 0


def _refuse_early(chosen: argparse.Namespace) -> None:
    """What is wrong whatever the loss is, said before the user's module is asked to make it."""
    checks.whole_number("D", chosen.D, 1, None, "dimension of the probe")
    checks.positive("sigma", chosen.sigma, "standard deviation of the probe")
    if chosen.tolerance is not None:
        checks.positive("tolerance", chosen.tolerance, "squared increment, in loss^2")
    if chosen.cost_per_sample is not None:
        checks.non_negative("cost_per_sample", chosen.cost_per_sample, "of one more sample")
    Budget(**_counts(chosen))
    if chosen.seconds is not None:
        checks.positive("seconds", chosen.seconds, "about what the whole may take")
        if _counts(chosen):
            raise ValueError("Give counts or --seconds, not both: seconds stand for counts.")
    refuse_unwritable(chosen.output)


def _default_k(num_samples: int) -> int:
    """80 % of the samples, or fewer where two would not stay unseen."""
    return max(1, min(num_samples * 4 // 5, num_samples - 2))


def _counts(chosen: argparse.Namespace) -> dict[str, int]:
    """The counts that were given."""
    given = {name: getattr(chosen, name) for name in _COUNTS}
    return {name: count for name, count in given.items() if count is not None}


def _delivered(page: "Report", output: str, name: str) -> int:
    """Write the report and print it; if it can't be written, also keep a copy elsewhere."""
    try:
        page.save(output)
    except KeyboardInterrupt:
        _say(page)  # what is finished is not to be lost
        raise
    except (ValueError, OSError) as error:
        copy = _copied(page)
        print(f"landscape_nb: {error} The report is printed instead{copy}.", file=sys.stderr)
        _say(page)
        return 2
    _say(f"{page}\n\nWritten to {name}")
    return 0


def _copied(page: "Report") -> str:
    """Where a copy of the page went, as the end of a sentence; nothing if nowhere."""
    try:
        handle, path = tempfile.mkstemp(prefix="report-", suffix=".html")
        os.close(handle)
        try:
            return f", and a copy is in {page.save(path)}"
        except BaseException:
            os.unlink(path)
            raise
    except OSError:
        return ""


def _settle_options(command: argparse.ArgumentParser) -> None:
    names = ", ".join(problem.name for problem in LEARNING_PROBLEMS)
    command.add_argument("path", help="JSON Lines; what it holds already is not measured again")
    command.add_argument("--seeds", type=int, default=20, help="how many (default 20)")
    command.add_argument("--problem", action="append", help=f"one of: {names} (default: all)")
    command.add_argument("--jobs", type=int, help="processes (default: one)")


def _settle(chosen: argparse.Namespace) -> int:
    seeds = checks.whole_number("seeds", chosen.seeds, 1, None, "orders of the data")
    names = chosen.problem or [problem.name for problem in LEARNING_PROBLEMS]
    grid = {"problem": [learning_problem(name).name for name in names], "seed": range(seeds)}
    rows = sweep(settle_problem, grid, chosen.path, jobs=chosen.jobs, progress=sys.stderr.isatty())
    _say(f"{len(rows)} rows in {chosen.path}")
    return 0


def _evidence_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("study", help=f"one of: {', '.join(stored.studies())}")
    command.add_argument("path", nargs="?", help="JSON Lines (default: the study's name, here)")
    command.add_argument("--seeds", type=int, help="how many (default: as in the stored table)")
    command.add_argument("--jobs", type=int, help="processes (default: one)")


def _evidence(chosen: argparse.Namespace) -> int:
    study, path = stored.study(chosen.study), chosen.path or f"{chosen.study}.jsonl"
    if chosen.seeds is not None:
        checks.whole_number("seeds", chosen.seeds, 2, None, "for an interval")
    rows = study.run(path, seeds=chosen.seeds, jobs=chosen.jobs, progress=sys.stderr.isatty())
    told = [f"  {n}: {m}   (n = {m.count})" for n, m in study.summary(rows).items()]
    _say("\n".join([study.question, *told, f"{len(rows)} rows in {path}"]))
    return 0


_COUNTS = {
    "fit_iterations": "iterations of training",
    "lowest_products": "Hessian-vector products for the smallest eigenvalue",
    "trace_products": "Hessian-vector products for the trace",
    "retrain_iterations": "iterations of each fit along k (0: none is made)",
}


def _rule(title: str, function: Callable[..., Budget]) -> str:
    """A function's docstring up to its arguments, for those who never open the file."""
    words = (inspect.getdoc(function) or "").partition("\n\nArgs:")[0]
    return f"{title} (`{function.__name__}`): {words}"


def _budget(
    loss: EmpiricalLoss, k: int, given: Mapping[str, int], seconds: float | None
) -> Budget | None:
    """The counts that were given, the others by the size of the problem; None if none was."""
    return dataclasses.replace(default_budget(loss, k), **given) if given else None


if __name__ == "__main__":
    if sys.argv[1:2] == ["report"]:
        # ended by `kill` or a closed terminal, it still clears its drafts away; nohup stays nohup
        for name in {"SIGTERM", "SIGHUP"} & set(signal.Signals.__members__):
            if signal.getsignal(signal.Signals[name]) is signal.SIG_DFL:
                signal.signal(signal.Signals[name], _ended)
    sys.exit(main())
