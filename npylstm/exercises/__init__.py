"""Exercises: write the functions of an LSTM yourself, and have them checked.

`check(name, function)` tells which results of an answer are right and, where one is wrong, which
mistake it is.
"""

from npylstm.exercises.checker import check
from npylstm.exercises.classroom import check_file, grade, overview, start
from npylstm.exercises.grading import to_json
from npylstm.exercises.report import Report
from npylstm.exercises.result import Block, Result
from npylstm.exercises.summary import Summary
from npylstm.exercises.tasks import PARTS, TASKS, Task

__all__ = [
    "PARTS",
    "TASKS",
    "Block",
    "Report",
    "Result",
    "Summary",
    "Task",
    "check",
    "check_file",
    "grade",
    "overview",
    "start",
    "to_json",
]
