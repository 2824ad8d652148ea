"""The command line: `python -m landscape_nb report mymodule:make_loss`, `settle`, `evidence`.

The same command writes the same report, except for its sentence on time; with `--seconds`, a timed
gradient decides how much work is done. The report names its counts, which the options below take.
"""

import argparse
import dataclasses
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence

from landscape_nb.numerics import checks
from landscape_nb.numerics.loss import EmpiricalLoss
from landscape_nb.problems.learning import LEARNING_PROBLEMS, learning_problem
from landscape_nb.study.budget import Budget, default_budget, timed_budget
from landscape_nb.study.evidence import stored
from landscape_nb.study.settling import settle_problem
from landscape_nb.study.sweep import sweep


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a report on the loss that a function of the user's module builds, or run the study.

    Returns:
        The exit status: 0, or 2 with one line on stderr for a mistake in the call or the model.
    """
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
    try:
        run = {"report": _report, "settle": _settle, "evidence": _evidence}[chosen.command]
        return run(chosen)
    except (ValueError, OSError) as error:
        print(f"landscape_nb: {error}", file=sys.stderr)
        return 2


def _report_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "make_loss",
        metavar="MODULE:FUNCTION",
        help="returns an EmpiricalLoss; called without arguments",
    )
    command.add_argument("-k", type=int, help="samples the model was trained on (default: 80 %%)")
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
    command.add_argument("--output", default="report.html", help="(default report.html)")


def _report(chosen: argparse.Namespace) -> int:
    if chosen.cost_per_sample is not None:
        checks.non_negative("cost_per_sample", chosen.cost_per_sample, "of one more sample")
    loss = _loss(chosen.make_loss)
    k = max(1, loss.num_samples * 4 // 5) if chosen.k is None else chosen.k
    _refuse_unwritable(chosen.output)
    budget = _budget(loss, k, {name: getattr(chosen, name) for name in _COUNTS}, chosen.seconds)
    # Imported here: matplotlib takes longer to load than a mistake takes to find.
    from landscape_nb.study.report import report

    page = report(
        loss, k, loss.w0 if chosen.trained else None, D=chosen.D, sigma=chosen.sigma,
        tolerance=chosen.tolerance, cost_per_sample=chosen.cost_per_sample, budget=budget,
        seconds=chosen.seconds, progress=sys.stderr.isatty(),
    )  # fmt: skip
    written = page.save(chosen.output)
    print(page, f"Written to {written}", sep="\n\n")
    return 0


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
    print(f"{len(rows)} rows in {chosen.path}")
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
    print(study.question)
    for name, measured in study.summary(rows).items():
        print(f"  {name}: {measured}   (n = {measured.count})")
    print(f"{len(rows)} rows in {path}")
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
    loss: EmpiricalLoss, k: int, counts: Mapping[str, int | None], seconds: float | None
) -> Budget | None:
    """The counts that were given, the others by the size of the problem; None if none was."""
    given = {name: count for name, count in counts.items() if count is not None}
    if given and seconds is not None:
        raise ValueError("Give counts or --seconds, not both: seconds stand for counts.")
    return dataclasses.replace(default_budget(loss, k), **given) if given else None


def _loss(name: str) -> EmpiricalLoss:
    module, colon, function = name.partition(":")
    module = module.removesuffix(".py")  # a file's name means the module in it
    if not (module and colon and function):
        raise ValueError(
            f"Name a function as MODULE:FUNCTION, for example mymodule:make_loss; got {name!r}."
        )
    sys.path.insert(0, os.getcwd())
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise  # the module is there, what it needs is not: its own traceback tells more
        raise ValueError(
            f"There is no module {module!r} here; run this in the folder that holds {module}.py."
        ) from None
    make = getattr(found, function, None)
    if not callable(make):
        raise ValueError(f"{module} has no function {function!r}.")
    try:
        inspect.signature(make).bind()
    except TypeError as error:
        raise ValueError(
            f"{function} must be callable without arguments; it has a {error}. Give it a default."
        ) from None
    loss = make()
    if not isinstance(loss, EmpiricalLoss):
        raise ValueError(
            f"{name} must return a landscape_nb.EmpiricalLoss; it returned {type(loss).__name__}."
        )
    return loss


def _refuse_unwritable(path: str) -> None:
    folder, file = os.path.split(path)
    if not os.path.isdir(folder or "."):
        raise ValueError(f"There is no folder {folder!r} for {file}.")
    if os.path.isdir(path) or not os.access(folder or ".", os.W_OK):
        raise ValueError(f"{path!r} can't be written; name a file in a folder of yours.")


if __name__ == "__main__":
    sys.exit(main())
