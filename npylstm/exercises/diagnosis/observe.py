"""Observing an answer at work, where its numbers alone do not tell the slip."""

from collections.abc import Iterator

from npylstm.exercises.diagnosis.dependence import dependence
from npylstm.exercises.diagnosis.factors import factors
from npylstm.exercises.diagnosis.formulas import formulas
from npylstm.exercises.diagnosis.pairing import pairing
from npylstm.exercises.diagnosis.smallest import Ask
from npylstm.exercises.diagnosis.statement import Statement
from npylstm.exercises.tasks import Task

MECHANISMS = (formulas, pairing, factors, dependence)
"""The most specific first."""


def observations(task: Task, ask: Ask, left: set[str]) -> Iterator[Statement]:
    """Make statements on what is wrong, the most specific first."""
    for mechanism in MECHANISMS if left else ():
        yield from mechanism(task, ask, left)
