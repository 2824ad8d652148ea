"""The map of the course: choose a notebook and read what it asks of you and what it gives."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from traitlets import Dict, Unicode, validate

from landscape_nb.course import progress
from landscape_nb.course.contents import arrows, notebooks, way_to
from landscape_nb.figures.course_map import course_map
from landscape_nb.widgets.explorable import Explorable, SettingError

STATES = ("begun", "done")


class CourseMap(Explorable, module="course_map"):
    """The notebooks as boxes, with an arrow from each to those that need it.

    The chosen one tells its question, its minutes, what one can do after it and the way there from
    the start; a link opens it. What has been begun and done on this machine is ticked: from the
    files beside the notebooks, or, on the web pages, from what was ticked there.

    Args:
        chosen: number of the notebook that is chosen first.
        done: number -> "begun" or "done"; by default what `progress.done` finds.
        folder: where the notebooks lie.

    Attributes:
        chosen: number of the chosen notebook.
        done: number -> "begun" or "done"; one that was not begun is left out.

    Raises:
        ValueError: a number or a state that there is not.
    """

    chosen = Unicode().tag(sync=True, explorable=True)
    done = Dict().tag(sync=True, explorable=True)

    def __init__(
        self,
        chosen: str = "00",
        done: Mapping[str, str] | None = None,
        folder: Path | str = ".",
    ) -> None:
        entries = [_entry(one.number) for one in notebooks()]
        found = progress.done(folder) if done is None else dict(done)
        data = {"notebooks": entries, "arrows": [list(arrow) for arrow in arrows()]}
        super().__init__(data, chosen=chosen, done=found)

    @validate("chosen")
    def _is_a_number(self, proposal: Any) -> str:
        _known("chosen", proposal.value)
        return proposal.value

    @validate("done")
    def _are_states(self, proposal: Any) -> dict[str, str]:
        for number, state in proposal.value.items():
            _known("done", number)
            if state not in STATES:
                raise SettingError(f"done[{number!r}] must be one of {STATES}; got {state!r}.")
        return proposal.value

    def numbers(self) -> dict[str, Any]:
        """The way to the chosen notebook, and minutes: of the whole way, and of what is left."""
        way = self._entry()["way"]
        minutes = {one["number"]: one["read"] for one in self.data["notebooks"]}
        left = [number for number in way if self.done.get(number) != "done"]
        total = sum(minutes[number] for number in way)
        return {"way": way, "total": total, "left": sum(minutes[number] for number in left)}

    def sentence(self) -> str:
        """The chosen notebook in words."""
        one, found, state = self._entry(), self.numbers(), self.done.get(self.chosen)
        way = (
            f"The way there from the start: {', '.join(found['way'])}, {found['total']} minutes"
            + (f", of which {found['left']} are left. " if found["left"] < found["total"] else ". ")
        )
        told = {"done": "You have done it.", "begun": "You have begun it."}
        return (
            f"{one['number']} {one['title']}. {one['question']} {one['read']} minutes, and "
            f"{one['exercises']} for the exercises. After it you can {one['after']}. "
            f"Needed before: {one['before']}. {way if len(found['way']) > 1 else ''}"
            f"{told.get(state or '', 'You have not begun it.')}"
        )

    def purpose(self) -> str:
        """What there is to move, as a sentence."""
        return "The map of the course: choose a notebook."

    def _entry(self) -> dict[str, Any]:
        return next(one for one in self.data["notebooks"] if one["number"] == self.chosen)

    def _png(self) -> bytes:
        return course_map(self.data, self.chosen, self._entry()["way"], self.done)


def _entry(number: str) -> dict[str, Any]:
    """What the map tells about a notebook."""
    (one,) = (one for one in notebooks() if one.number == number)
    told = ("number", "file", "title", "question", "after", "read", "exercises", "before")
    values = {name: getattr(one, name) for name in told}
    return {**values, "place": list(one.place), "way": way_to(number)}


def _known(name: str, number: str) -> None:
    known = [one.number for one in notebooks()]
    if number not in known:
        raise SettingError(
            f"{name} must name a notebook of the course, {known[0]} to {known[-1]}; got {number!r}."
        )
