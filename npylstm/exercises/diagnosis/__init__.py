"""From the numbers of a wrong answer to the slip behind them.

Each mechanism looks at the evidence and makes statements: where, what kind of slip, how certain,
and which results it gives as the student has them in every trial.
"""

from npylstm.exercises.diagnosis.catalogue import find_mistakes
from npylstm.exercises.diagnosis.compare import agree, close, noise_floor, relative_error, tolerance
from npylstm.exercises.diagnosis.report import Diagnosis, diagnose
from npylstm.exercises.diagnosis.smallest import Ask

__all__ = [
    "Ask",
    "Diagnosis",
    "agree",
    "close",
    "diagnose",
    "find_mistakes",
    "noise_floor",
    "relative_error",
    "tolerance",
]
