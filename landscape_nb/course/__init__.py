"""The course: exercises that answer back, predictions, saved work, set-up check, cost.

May import everything; nothing else imports it.
"""

from landscape_nb.course.checking import (
    NoAnswerYet,
    NotYet,
    check,
    check_properties,
    reveal_choice,
    reveal_curve,
    reveal_number,
)

__all__ = [
    "NoAnswerYet",
    "NotYet",
    "check",
    "check_properties",
    "reveal_choice",
    "reveal_curve",
    "reveal_number",
]
