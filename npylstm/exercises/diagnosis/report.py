"""Asking the mechanisms one after the other, and putting what they say into words."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from npylstm.exercises.diagnosis.catalogue import find_mistakes, find_single, known_as
from npylstm.exercises.diagnosis.evidence import Evidence
from npylstm.exercises.diagnosis.forms import FORMS, with_arguments
from npylstm.exercises.diagnosis.observe import observations
from npylstm.exercises.diagnosis.program import Program
from npylstm.exercises.diagnosis.search import MOST, Found, search
from npylstm.exercises.diagnosis.smallest import Ask, smallest
from npylstm.exercises.diagnosis.statement import (
    Statement,
    equation_of,
    list_blocks,
    question_about,
)
from npylstm.exercises.diagnosis.structure import moved_or_multiplied, whole_numbers
from npylstm.exercises.sources import Slip
from npylstm.exercises.tasks import Task
from npylstm.exercises.trials import Outputs, Trial, split_gates

SEARCH_SECONDS = 1.5
PAIR_SECONDS = 0.2
ASK_SECONDS = 1.0


@dataclass(frozen=True)
class Diagnosis:
    """What is said about a wrong answer: three hints, each with more, and known mistakes."""

    hints: tuple[str, str, str]
    mistakes: tuple[str, ...] = ()


@np.errstate(all="ignore")
def diagnose(
    task: Task,
    trials: tuple[Trial, ...],
    answers: Sequence[Outputs],
    ask: Ask,
) -> Diagnosis:
    """Say what is wrong with an answer.

    Parameters
    ----------
    task : Task
    trials : tuple of Trial
    answers : sequence of dict
        The results of the answer, trial by trial.
    ask : function of a list of arguments
        Calls the answer on others; None where it fails.
    """
    deadline = time.process_time() + SEARCH_SECONDS
    known = find_single(task, trials, answers)
    if known:
        return _tell([_known(task, slip) for slip in known], set())
    if not _comparable(trials, answers):
        known = find_mistakes(task, trials, answers, deadline + PAIR_SECONDS)
        return (
            _tell([_known(task, slip) for slip in known], set()) if known else _unknown(task, ask)
        )
    blocks = [_blocks(task, trial, answer) for trial, answer in zip(trials, answers, strict=True)]
    evidence = Evidence(task, trials, blocks, deadline)
    statements = list(whole_numbers(evidence))
    best = Found("", Program("", ()))
    telling = any(map(evidence.telling, evidence.wrong))
    for form in FORMS[task.name] if telling else ():
        found = search(evidence, Program(with_arguments(task, form), evidence.right))
        if found.rank > best.rank or not best.program.lines:
            best = found
    statements += _statements(evidence, best)
    left = evidence.wrong - best.explained
    if telling and not statements:
        known = find_mistakes(task, trials, answers, deadline + PAIR_SECONDS)
        if known:
            return _tell([_known(task, slip) for slip in known], set())
    asked = _until(deadline + ASK_SECONDS, ask)
    for more in (moved_or_multiplied(evidence, left), observations(evidence, best, asked, left)):
        left = _add(statements, more, left)
    return _tell(statements, left) if statements else _unknown(task, ask)


def _until(deadline: float, ask: Ask) -> Ask:
    """Call an answer as long as there is time."""
    return lambda arguments: ask(arguments) if time.process_time() < deadline else None


def _add(statements: list[Statement], more: Iterator[Statement], left: set[str]) -> set[str]:
    """Add statements on what nothing explains yet, and give what is left after them."""
    while left and len(statements) < MOST:
        statement = next(more, None)
        if statement is None:
            break
        if statement.explains & left:
            statements.append(statement)
            left = left - statement.explains
    return left


def _statements(evidence: Evidence, found: Found) -> Iterator[Statement]:
    """Put the slips that were found into words, with the catalogue's words for known slips."""
    task = evidence.task
    for edit, explains in zip(found.made, found.each, strict=True):
        alone = Program(found.form, evidence.right).changed(edit.line, edit.text)
        try:
            outputs = [alone.outputs(alone.run(task, trial)) for trial in evidence.trials]
        except Exception:  # a slip alone may fail where two together do not
            slip = None
        else:
            slip = known_as(task, tuple(evidence.trials), outputs)
        if slip:
            yield replace(_known(task, slip), explains=explains)
            continue
        yield Statement(
            place=edit.line.place,
            words=edit.words,
            explains=explains,
            equation=equation_of(task, edit.line.symbol),
            question=question_about(edit.words),
            certain=edit.cost < 2,
        )


def _unknown(task: Task, ask: Ask) -> Diagnosis:
    """Say what there is to say where no slip explains the numbers."""
    found = smallest(task, ask)
    if found is None:
        text = (
            "Not explained: it is right on small inputs of ordinary numbers. Look at what the "
            "failing trial in the table has that they have not."
        )
        return Diagnosis((text, text, text))
    where, numbers = found
    advice = "Work this out by hand, and print each quantity of your function beside it."
    first = f"Not explained by one slip, or by a few. {where}."
    return Diagnosis((first, f"{first} {numbers}.", f"{first} {numbers}. {advice}"))


def _blocks(task: Task, trial: Trial, answer: Outputs) -> Outputs:
    """Split an answer into blocks; a result of a shape that can't be split stands for each."""
    blocks: Outputs = {}
    for name, right in trial.right.items():
        try:
            blocks |= split_gates(task, {name: answer[name]})
        except ValueError:
            blocks |= dict.fromkeys(split_gates(task, {name: right}), answer[name])
    return blocks


def _comparable(trials: Sequence[Trial], answers: Sequence[Outputs]) -> bool:
    """Return whether an answer has numbers everywhere."""
    return all(
        name in answer and answer[name].dtype.kind in "fiu"
        for trial, answer in zip(trials, answers, strict=True)
        for name, right in trial.right.items()
    )


def _known(task: Task, slip: Slip) -> Statement:
    mistake = slip.mistake
    function = "the step" if slip.function.endswith("_cell_backward") else slip.function
    where = mistake.place if slip.function == task.name else f"{function}, at {mistake.place}"
    return Statement(
        where, mistake.name, frozenset(), mistake.equation, mistake.question, mistake.name
    )


def _tell(statements: Sequence[Statement], left: set[str]) -> Diagnosis:
    """Put statements into three hints, each of which says more."""
    levels: list[tuple[str, str, str]] = []
    for statement in sorted(statements, key=lambda statement: not statement.certain):
        parts = (*FORMS, "the step")
        inside = "in" if statement.place.startswith(tuple(f"{n}," for n in parts)) else "at"
        likely = "" if statement.certain else "probably "
        where = f"Mistake {likely}{inside} {statement.place}"
        what = f"{where}: {statement.words}."
        look = f" Look at  {statement.equation} : {statement.question}"
        if not statement.equation:
            look = f" Ask yourself: {statement.question}" if statement.fact else ""
        levels.append((f"{where}.", what, what + look))
    if not levels:
        return Diagnosis(("", "", ""))
    where, what, look = (_joined(level) for level in zip(*levels, strict=True))
    explained = frozenset().union(*(s.explains for s in statements))
    rest = ""
    if left:
        rest = f" This explains {list_blocks(explained)}, and not {list_blocks(left)}."
        if any(s.fact for s in statements):
            rest = f" This is about {list_blocks(explained)}; it may not tell all about the rest."
    mistakes = tuple(statement.name for statement in statements if statement.name)
    return Diagnosis((where + rest, what + rest, look + rest), mistakes)


def _joined(texts: Sequence[str]) -> str:
    counted = ("", " And a second one. ", " And a third one. ")
    return "".join(count + text for count, text in zip(counted, texts, strict=False))
