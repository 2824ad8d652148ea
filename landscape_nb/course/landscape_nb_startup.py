"""What a NameError usually means in a notebook of the course: the cells above were not run.

IPython runs this file whenever a kernel starts, before any cell, so that it also helps who jumps
into the middle of a notebook at once: the package is installed with a copy of it in the
environment's folder etc/ipython/startup. It must not cost time and does nothing in notebooks that
are not the course's.
"""


def _tell_what_a_name_error_means() -> None:
    import os
    import re
    from typing import Any

    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    if shell is None:
        return

    def of_the_course() -> bool:
        names = (os.environ.get("JPY_SESSION_NAME"), shell.user_ns.get("__vsc_ipynb_file__"))
        return any(re.search(r"(?:^|[/\\])\d\d_\w+\.ipynb$", str(name)) for name in names)

    def explain(
        shell: Any, kind: type, error: BaseException, trace: Any, tb_offset: Any = None
    ) -> Any:
        if kind is NameError and of_the_course():
            error.add_note(
                "Is it made in a cell above? Then choose Run > Run All Above Selected Cell, and "
                "run this cell again."
            )
        return shell.showtraceback((kind, error, trace), tb_offset=tb_offset)

    shell.set_custom_exc((NameError,), explain)


_tell_what_a_name_error_means()
del _tell_what_a_name_error_means
