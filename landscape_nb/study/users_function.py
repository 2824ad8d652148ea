"""The function of a user's module that a command names, and the loss that it makes.

    loss = made_loss("mymodule:make_loss")        # mymodule.py in the working folder

What goes wrong in the user's own code is left as it is: its traceback tells more than a sentence.
"""

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from landscape_nb.numerics.loss import EmpiricalLoss


def made_loss(name: str) -> EmpiricalLoss:
    """What the function MODULE:FUNCTION returns.

    Args:
        name: "mymodule:make_loss"; the file's name is taken for the module's, "mymodule.py:f" or
            "folder/mymodule.py:f". A module in the working folder goes before any other of its
            name, loaded or not.

    Raises:
        ValueError: no such module or function, one that needs arguments, or no loss came back.
        Exception: what the user's code raises.
    """
    module, function = _parts(name)
    with _here_first(module):
        make = _function(module, function)
        loss = _run(make, f"{function} ended the program")
    if inspect.iscoroutine(loss):
        loss.close()  # else Python warns that nobody waited for it
    if not isinstance(loss, EmpiricalLoss):
        raise ValueError(
            f"{name} must return a landscape_nb.EmpiricalLoss; it returned {type(loss).__name__}."
        )
    return loss


def _parts(name: str) -> tuple[str, str]:
    """Module and function; a file's name, with its folders, means the module in it."""
    module, _, function = name.rpartition(":")
    if module.endswith(".py"):
        module = os.path.relpath(module).removesuffix(".py").replace(os.sep, ".")
    if not (function.isidentifier() and all(map(str.isidentifier, module.split(".")))):
        raise ValueError(
            "Name a function as MODULE:FUNCTION, for example mymodule:make_loss, both in the "
            f"folder in which you run this; got {name!r}."
        )
    return module, function


def _function(module: str, function: str) -> Callable[[], object]:
    try:
        found = _run(
            lambda: importlib.import_module(module), f"{module} ended the program on import"
        )
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
        signature = inspect.signature(make)
    except ValueError:  # some functions written in C tell nothing
        return make
    try:
        signature.bind()
    except TypeError as error:
        raise ValueError(
            f"{function} must be callable without arguments; it has a {error}. Give it a default."
        ) from None
    return make


def _run(users: Callable[[], object], ended: str) -> object:
    """Call what the user wrote; the program is not to end with it as if all were done."""
    try:
        return users()
    except SystemExit as error:
        code = "" if error.code is None else repr(error.code)
        raise ValueError(
            f"{ended} by sys.exit({code}). Code that runs a program, or reads its arguments, "
            "belongs under if __name__ == '__main__'."
        ) from None


@contextmanager
def _here_first(module: str) -> Iterator[None]:
    """Let the working folder's own module go before others of that name, which then come back."""
    here, top = Path.cwd(), module.partition(".")[0]
    if sys.path[:1] != [str(here)]:
        sys.path.insert(0, str(here))
    importlib.invalidate_caches()  # the file may be younger than the last look into its folder
    file = here.joinpath(*module.split("."))
    hidden = {}
    if file.with_suffix(".py").exists() or (file / "__init__.py").exists():
        hidden = {
            name: loaded
            for name, loaded in list(sys.modules.items())
            if name.partition(".")[0] == top and not _lies_in(loaded, here)
        }
    for name in hidden:
        del sys.modules[name]
    try:
        yield
    finally:
        sys.modules.update(hidden)


def _lies_in(loaded: object, folder: Path) -> bool:
    file = getattr(loaded, "__file__", None)
    return file is not None and Path(os.path.realpath(file)).is_relative_to(folder)
