"""What the public checks of each notebook compare with: one file a notebook.

In the file of notebook 05 the function `check_1(answer)` checks exercise 1. It is here and not in
the notebook, because a truth beside its exercise would tell the answer.
"""

import pkgutil
from collections.abc import Callable
from importlib import import_module
from typing import Any

FILES = {
    module.name[1:3]: module.name
    for module in pkgutil.iter_modules(__path__)
    if module.name[0] == "n" and module.name[1:3].isdigit()
}


def find_check(exercise: str) -> Callable[[Any], None]:
    """The function that checks an exercise, such as "05.1".

    Raises:
        ValueError: there is no such exercise.
    """
    notebook, _, number = exercise.partition(".")
    if notebook not in FILES:
        raise ValueError(
            f"There is no exercise {exercise!r}: write the notebook and the exercise, such as "
            f"'05.1'. Notebooks with exercises: {', '.join(sorted(FILES))}."
        )
    try:
        module = import_module(f"{__name__}.{FILES[notebook]}")
    except PermissionError:  # where answers are marked, these files are closed to them
        return lambda answer: print(f"Exercise {exercise}: its check is run beside this process.")
    if not hasattr(module, f"check_{number}"):
        numbers = sorted(name[6:] for name in vars(module) if name.startswith("check_"))
        numbers = [number for number in numbers if number.isdigit()]
        raise ValueError(
            f"There is no exercise {exercise!r}; notebook {notebook} has "
            f"{', '.join(f'{notebook}.{number}' for number in numbers)}."
        )
    return getattr(module, f"check_{number}")
