"""One line for many claims: either all hold, or those that do not are named."""

from collections.abc import Mapping
from typing import Any


def holds(claims: Mapping[str, Any]) -> None:
    """Print how many claims hold on this machine, and name each one that does not.

    Args:
        claims: what is claimed, in words -> whether it holds; NumPy's and PyTorch's truth values
            are taken too.

    Raises:
        ValueError: there is no claim.

    >>> holds({"1 + 1 = 2": 1 + 1 == 2, "2 is prime": True})
    All 2 checks of this part hold on this machine.
    >>> holds({"1 + 1 = 2": 1 + 1 == 2, "9 is prime": False})
    1 of 2 checks of this part does not hold on this machine: 9 is prime.
    """
    if not claims:
        raise ValueError("holds needs one claim or more, such as {'all slopes are negative': ok}.")
    failed = [claim for claim, ok in claims.items() if not bool(ok)]
    total = len(claims)
    if not failed:
        every = "The one check" if total == 1 else f"All {total} checks"
        print(f"{every} of this part hold{'s' if total == 1 else ''} on this machine.")
        return
    verb = "does" if len(failed) == 1 else "do"
    print(
        f"{len(failed)} of {total} checks of this part {verb} not hold on this machine: "
        f"{'; '.join(failed)}."
    )
