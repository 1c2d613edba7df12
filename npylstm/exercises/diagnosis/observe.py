"""Observing an answer at work, where its numbers alone do not tell the slip."""

from collections.abc import Iterator

from npylstm.exercises.diagnosis.curves import curves
from npylstm.exercises.diagnosis.dependence import dependence
from npylstm.exercises.diagnosis.evidence import Evidence
from npylstm.exercises.diagnosis.factors import factors
from npylstm.exercises.diagnosis.formulas import formulas
from npylstm.exercises.diagnosis.pairing import pairing
from npylstm.exercises.diagnosis.search import Found
from npylstm.exercises.diagnosis.smallest import Ask
from npylstm.exercises.diagnosis.statement import Statement

MECHANISMS = (formulas, curves, pairing, factors, dependence)
"""The most specific first."""


def observations(evidence: Evidence, found: Found, ask: Ask, left: set[str]) -> Iterator[Statement]:
    """Make statements on what is wrong, the most specific first.

    Parameters
    ----------
    evidence : Evidence
    found : Found
        The slips that were found before.
    ask : function of a list of arguments
    left : set of str
        The blocks that they leave unexplained.
    """
    for mechanism in MECHANISMS if left else ():
        yield from mechanism(evidence, found, ask, left)
