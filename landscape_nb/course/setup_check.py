"""Is everything installed that the notebooks need? Runs even if it is not.

Only Python's own library is imported, and the file can be run by itself (`python
landscape_nb/course/setup_check.py`), because a check that needs torch can't say that torch is
missing. What is needed is read from the installed package's own list of requirements.
"""

import os
import platform
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata

PACKAGE = "landscape_nb"
OLDEST_PYTHON = (3, 11)
ENOUGH_MEMORY = 1.5  # GB, chosen here: the largest notebook's budget


@dataclass(frozen=True)
class SetupReport:
    """What was found, one line for each thing, and whether the notebooks can run.

    Attributes:
        lines: "ok", "missing" or "too old", the name, and what to do about it.
        complete: whether every line that the notebooks depend on says "ok".
    """

    lines: tuple[str, ...]
    complete: bool

    def __str__(self) -> str:
        """The lines, ready to print."""
        return "\n".join(self.lines)

    def summary(self) -> str:
        """One line where all is well, else the lines that need attention, ready to print."""
        if not self.complete:
            return "\n".join(line for line in self.lines if not line.startswith("ok "))
        count = sum(line.startswith("ok ") for line in self.lines)
        notes = "; ".join(line.removeprefix("note").strip() for line in self.lines[count:])
        return f"All {count} packages are installed.\n{notes[0].upper()}{notes[1:]}."


def setup_check(
    requirements: Sequence[str] | None = None,
    installed_version: Callable[[str], str] = metadata.version,
) -> SetupReport:
    """Compare what is installed with what the notebooks need.

    Args:
        requirements: such as "torch>=2.4"; those of the installed package if not given.
        installed_version: name -> version, raising `PackageNotFoundError`; replaced in tests.

    Returns:
        A `SetupReport`. Processors and memory are told, but never make it incomplete.

    >>> setup_check(["pip>=1"]).complete
    True
    >>> report = setup_check(["no_such_package>=2"])
    >>> report.complete, report.lines[1]                    # doctest: +ELLIPSIS
    (False, 'missing  no_such_package. Run:  "..." -m pip install "no_such_package>=2"')
    """
    python = sys.version_info[:2] >= OLDEST_PYTHON
    oldest = ".".join(map(str, OLDEST_PYTHON))
    found = [("ok" if python else "too old", f"Python {platform.python_version()}")]
    if not python:
        found[0] = ("too old", f"{found[0][1]}; the notebooks need {oldest} or newer.")
    if requirements is None:
        try:
            requirements = _own_requirements()
        except metadata.PackageNotFoundError:
            requirements = []
            command = f'"{sys.executable}" -m pip install -e .'
            advice = f"In the folder that holds pyproject.toml, run:  {command}"
            found.append(("missing", f"{PACKAGE}. {advice}"))
    found += [_one(requirement, installed_version) for requirement in requirements]
    complete = all(state == "ok" for state, _ in found)
    found += [("note", _processors()), ("note", _memory())]
    return SetupReport(tuple(f"{state:8} {text}" for state, text in found), complete)


def _own_requirements() -> list[str]:
    """What the package itself asks for, without its extras."""
    return [text for text in metadata.requires(PACKAGE) or [] if "extra ==" not in text]


def _one(requirement: str, installed_version: Callable[[str], str]) -> tuple[str, str]:
    name = re.match(r"[\w.-]+", requirement).group()  # type: ignore[union-attr]
    lowest = re.search(r">=\s*([\d.]+)", requirement)
    command = f'Run:  "{sys.executable}" -m pip install "{requirement}"'
    try:
        version = installed_version(name)
    except metadata.PackageNotFoundError:
        return "missing", f"{name}. {command}"
    if lowest and _as_numbers(version) < _as_numbers(lowest.group(1)):
        return "too old", f"{name} {version}. {command}"
    return "ok", f"{name} {version}"


def _as_numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: "2.4.1+cpu" -> (2, 4, 1)."""
    leading = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, leading.group().split("."))) if leading else ()


def _processors() -> str:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{usable} processors; the notebooks use one"


def _memory() -> str:
    free = _available_memory()
    if free is None:
        return f"free memory unknown; the notebooks need up to {ENOUGH_MEMORY} GB"
    advice = "" if free >= ENOUGH_MEMORY else ": close other programs or kernels first"
    return f"{free:.1f} GB of memory free, up to {ENOUGH_MEMORY} GB needed{advice}"


def _available_memory() -> float | None:
    """GB that this process may still take: the machine's, or its container's if that is less."""
    limits = []
    try:
        with open("/proc/meminfo") as file:
            rows = dict(line.split(":") for line in file)
        limits.append(int(rows["MemAvailable"].split()[0]) * 1024)
        with (
            open("/sys/fs/cgroup/memory.max") as most,
            open("/sys/fs/cgroup/memory.current") as now,
        ):
            limits.append(int(most.read()) - int(now.read()))
    except (OSError, KeyError, ValueError):  # not Linux, or no container's limit ("max")
        pass
    return min(limits) / 1e9 if limits else None


if __name__ == "__main__":
    print(setup_check())
