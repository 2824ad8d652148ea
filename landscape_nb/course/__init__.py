"""The course: exercises that answer back, predictions, saved work, set-up check, cost.

May import everything; nothing else imports it.
"""

from landscape_nb.course.answers import number, numbers
from landscape_nb.course.checking import NoAnswerYet, NotYet, check, check_properties
from landscape_nb.course.claims import holds
from landscape_nb.course.cost import Cost
from landscape_nb.course.course_map import CourseMap
from landscape_nb.course.numbers_by_name import own_numbers, signed
from landscape_nb.course.own_work import NotYourOwn, beside, out_of_reach, unaided
from landscape_nb.course.predictions import predict_choice, predict_curve, predict_number
from landscape_nb.course.quick_questions import quiz
from landscape_nb.course.reveals import reveal_choice, reveal_curve, reveal_number
from landscape_nb.course.save_my_work import SaveMyWork
from landscape_nb.course.saved_work import watch

# An answer that was run but not yet saved would otherwise be missing from the saved work.
watch()

__all__ = [
    "Cost",
    "CourseMap",
    "NoAnswerYet",
    "NotYet",
    "NotYourOwn",
    "SaveMyWork",
    "beside",
    "check",
    "check_properties",
    "holds",
    "number",
    "numbers",
    "out_of_reach",
    "own_numbers",
    "predict_choice",
    "predict_curve",
    "predict_number",
    "quiz",
    "reveal_choice",
    "reveal_curve",
    "reveal_number",
    "signed",
    "unaided",
]
