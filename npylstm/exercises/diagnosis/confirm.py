"""Whether an observation of an answer gives its numbers in every trial."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np

from npylstm.exercises.diagnosis.edits import Edit
from npylstm.exercises.diagnosis.evidence import Evidence
from npylstm.exercises.diagnosis.probe import UPSTREAM
from npylstm.exercises.diagnosis.program import Line, Namespace, Program
from npylstm.exercises.diagnosis.search import Found, explained_by
from npylstm.exercises.diagnosis.statement import Statement, equation_of
from npylstm.exercises.tasks import Task
from npylstm.exercises.trials import Outputs, Trial

SECONDS = 1.0
"""How long lines may be tried after the search for edits."""


class _OfOne(Program):
    """A form in which a slip touches only what one of the upstream gradients sends."""

    upstream = ""

    def run(
        self, task: Task, trial: Trial, line: Line | None = None, edit: object = ""
    ) -> Namespace:
        """Run it on that gradient with the slip, on the others without, and add up the results."""
        parts = []
        for own in (True, False):
            off = {n for n in UPSTREAM if (n == self.upstream) != own}
            inputs = {n: 0 * v if n in off else v for n, v in trial.inputs.items()}
            part = replace(trial, inputs=inputs)
            parts.append(super().run(task, part, *((line, edit) if own else ())))
        return {name: parts[0][name] + parts[1][name] for name in self.variables.values()}


def written_in(
    evidence: Evidence,
    found: Found,
    statement: Statement,
    rewritten: Callable[[Line], Iterable[str]],
    upstream: str = "",
) -> Statement:
    """Look for the line of a form in which an observation gives the numbers of the answer.

    Parameters
    ----------
    evidence : Evidence
    found : Found
        The slips that were found before; this one comes on top of them.
    statement : Statement
        The observation.
    rewritten : function of a line
        What may become of the value of a line.
    upstream : str
        The upstream gradient that it is about; empty where it is about all.

    Returns
    -------
    Statement
        With the place of that line; as an observation that is only likely where there is none.
    """
    program = found.program
    if upstream:
        program = _OfOne(program.text, program.variables)
        program.upstream = upstream
    best: tuple[frozenset[str], Line] | None = None
    for line, reach in _lines(evidence, found, statement.explains):
        if best and best[0] >= evidence.wrong - found.explained:
            break
        in_time = time.process_time() < evidence.deadline + SECONDS
        for value in _values(line, rewritten) if in_time else ():
            edit = Edit(line, f"{line.target} = {value}", statement.words, 1)
            explained = explained_by(evidence, program, edit, reach, found.explained)
            new = (explained or frozenset()) - found.explained
            if new & statement.explains and (best is None or len(new) > len(best[0])):
                best = new, line
    if best is None:
        return replace(statement, certain=False, fact=True)
    explains, line = best
    equation = equation_of(evidence.task, line.symbol)
    return replace(statement, place=line.place, explains=explains, equation=equation, fact=False)


def _lines(evidence: Evidence, found: Found, blocks: frozenset[str]) -> list[tuple[Line, set[str]]]:
    """List the lines that reach some of these blocks, first those that reach nothing right."""
    lines = []
    for line in found.program.lines:
        reach = evidence.reach(found.program, line, evidence.small) or evidence.wrong
        if reach & blocks:
            lines.append((line, reach))
    return sorted(
        lines, key=lambda pair: (not pair[1] <= evidence.wrong, -len(pair[1]), -pair[0].number)
    )


def _values(line: Line, rewritten: Callable[[Line], Iterable[str]]) -> Iterator[str]:
    """Rewrite the value of a line; of one that computes several, each of them."""
    if line.target.isidentifier():
        yield from rewritten(line)
    elif "(" not in line.value and "," in line.value:
        for value in rewritten(replace(line, value="_part")):
            yield f"[{value} for _part in ({line.value})]"


def predicted(
    evidence: Evidence, statement: Statement, predict: Callable[[Trial], Outputs]
) -> Statement:
    """Compare the numbers of an answer with what an observation makes of the right ones.

    Returns
    -------
    Statement
        On the blocks that have these numbers in every trial; as an observation that is only likely
        where there is none.
    """
    explains = set(statement.explains)
    for number, trial in enumerate(evidence.trials):
        outputs = predict(trial)
        explains = {b for b in explains if evidence.same(number, b, np.asarray(outputs[b]))}
    if not explains:
        return replace(statement, certain=False, fact=True)
    return replace(statement, explains=frozenset(explains), fact=False)
