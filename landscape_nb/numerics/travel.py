"""What travels to another process, and what is made anew there."""

from typing import Any, ClassVar


class Traveller:
    """Something that can be pickled or copied though it holds locks or what belongs to a thread.

    Attributes:
        left_behind: names of what `make_own` makes.
    """

    left_behind: ClassVar[tuple[str, ...]] = ()

    def make_own(self) -> None:
        """Make what belongs to this object alone; called at its start and on its arrival."""
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        """All but what is left behind."""
        return {name: value for name, value in vars(self).items() if name not in self.left_behind}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what arrived, and make the rest anew."""
        self.__dict__.update(state)
        self.make_own()
