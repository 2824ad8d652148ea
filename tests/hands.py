"""Mouse and finger on an element of a page, by the events that the browser itself makes of them.

    drag(driver, slider, 0.2, 0.5, 0.9)
    drag(driver, slider, 0.2, 0.5, 0.9, finger=True)

presses at a fifth of the element's width, moves on by way of its middle, and lets go.
"""

from __future__ import annotations

from collections.abc import Iterator

PLACE = """
    arguments[0].scrollIntoView({block: 'center', behavior: 'instant'});
    const box = arguments[0].getBoundingClientRect();
    return [box.x, box.y, box.width, box.height];"""


def drag(driver, element, *shares: float, height: float = 0.5, finger: bool = False) -> None:
    """Press at the first share of an element's width, move to each other one, let go.

    `height` is the share of the element's height. A single share is a click, or a tap.
    """
    left, top, width, tall = driver.execute_script(PLACE, element)
    points = [(left + share * width, top + height * tall) for share in shares]
    command, events = (
        ("Input.dispatchTouchEvent", _finger(points))
        if finger
        else ("Input.dispatchMouseEvent", _mouse(points))
    )
    for event in events:
        driver.execute_cdp_cmd(command, event)


def _mouse(points: list[tuple[float, float]]) -> Iterator[dict]:
    kinds = ["mouseMoved", "mousePressed", *["mouseMoved"] * (len(points) - 1), "mouseReleased"]
    places = [points[0], *points, points[-1]]
    for kind, (x, y) in zip(kinds, places, strict=True):
        yield {"type": kind, "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1}


def _finger(points: list[tuple[float, float]]) -> Iterator[dict]:
    kinds = ["touchStart", *["touchMove"] * (len(points) - 1)]
    for kind, (x, y) in zip(kinds, points, strict=True):
        yield {"type": kind, "touchPoints": [{"x": x, "y": y}]}
    yield {"type": "touchEnd", "touchPoints": []}
