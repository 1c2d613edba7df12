"""Checking an answer to an exercise."""

import linecache
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from npylstm.backend import Array
from npylstm.exercises.diagnosis import (
    agree,
    explain,
    find_mistakes,
    fits,
    noise_floor,
    relative_error,
    tolerance,
)
from npylstm.exercises.limits import PACKAGE, PackageCall, call_with_limit, watched_call
from npylstm.exercises.result import Block, Result
from npylstm.exercises.tasks import SIZES, Function, Task, find_task
from npylstm.exercises.trials import (
    AnswerError,
    Outputs,
    Trial,
    make_trials,
    name_outputs,
    reference_trials,
    split_gates,
)


def check(
    name: str,
    answer: Callable[..., Any],
    forward: Callable[..., Any] | None = None,
    *,
    seed: int = 0,
    time_limit: float = 5.0,
) -> Result:
    """Check an answer to an exercise, and say what is wrong with it.

    Parameters
    ----------
    name : str
        The exercise, such as "lstm_cell_backward".
    answer : function
    forward : function, optional
        Your own forward function, for an exercise that goes backwards: the gradients are then
        compared with those of the function you wrote, right or wrong.
    seed : int
        Draws other numbers to try the answer on.
    time_limit : float
        Seconds after which the answer is stopped.

    Returns
    -------
    Result
        Its `ok`, `score`, `blocks` and `hint` can be asked for; it prints as a table.

    Raises
    ------
    TypeError
        If `answer` or `forward` is not a function.
    ValueError
        If there is no such exercise, it has no forward function to write, or the time limit is
        not above zero.
    """
    task = find_task(name)
    if not callable(answer):
        raise TypeError(f"answer: expected a function, got {answer!r}")
    if forward is not None and not callable(forward):
        raise TypeError(f"forward: expected a function, got {forward!r}")
    if not time_limit > 0:
        raise ValueError(f"time_limit: expected a number of seconds above 0, got {time_limit!r}")
    trials, remark = reference_trials(name, seed), ""
    if forward is not None:
        if not task.student_forward:
            raise ValueError(f"forward: the exercise {name} has no forward function of its own")
        trials, remark = _own_trials(task, forward, seed, time_limit, trials)
    record = _Record()
    try:
        call_with_limit(lambda: _try_out(task, answer, trials, record), time_limit)
    except TimeoutError:
        record.failure = f"It was stopped after {time_limit:g} seconds: does a loop never end?"
    return _judge(task, trials, record, remark)


@dataclass
class _Record:
    """What happened when an answer was tried."""

    answers: list[Outputs] = field(default_factory=list)
    failure: str = ""
    changed: set[str] = field(default_factory=set)
    keeps_state: bool = False


def _own_trials(
    task: Task, forward: Function, seed: int, time_limit: float, reference: tuple[Trial, ...]
) -> tuple[tuple[Trial, ...], str]:
    """Draw the trials with the student's own forward function, and make a remark on it.

    A forward function that is right has the gradients of the reference. One that can't be used,
    or is too coarse for differences, is replaced by it.
    """
    verdict = check(task.student_forward, forward, seed=seed, time_limit=time_limit)
    if verdict.ok:
        return reference, ""
    remark = f"Your {task.student_forward} is not right yet. "
    try:
        own = call_with_limit(lambda: make_trials(task, forward, seed), time_limit)
    except (Exception, SystemExit):  # whatever can go wrong in a student's function
        return reference, remark
    for mine, theirs in zip(own, reference, strict=True):
        in_float64 = all(np.asarray(value).dtype == float for value in mine.inputs.values())
        shapes = [{name: a.shape for name, a in trial.right.items()} for trial in (mine, theirs)]
        finite = all(np.all(np.isfinite(array)) for array in mine.right.values())
        if not (in_float64 and finite and shapes[0] == shapes[1]):
            return reference, remark
    return own, remark + "The gradients are compared with those of this function of yours. "


def _try_out(task: Task, answer: Function, trials: tuple[Trial, ...], record: _Record) -> None:
    """Call an answer on every trial, on the first one twice, and look at old results again."""
    values = []
    try:
        with np.errstate(all="ignore"):
            for trial in trials:
                values.append(_call(task, answer, trial, record))
                record.answers.append(name_outputs(task, values[-1]))
                if len(values) == 2:
                    again = name_outputs(task, _call(task, answer, trials[0], record))
                    record.keeps_state = not agree(again, record.answers[0])
        for value, outputs in zip(values, record.answers, strict=True):
            record.keeps_state |= not agree(name_outputs(task, value), outputs)
    except AnswerError as error:
        record.failure = f"It {error}."


def _call(task: Task, answer: Function, trial: Trial, record: _Record) -> Any:
    arguments = trial.arguments(task)
    try:
        value = watched_call(answer, arguments)
    except NotImplementedError:
        raise AnswerError("is not written yet") from None
    except PackageCall as error:
        raise AnswerError(f"calls {error}, and should do the work itself") from None
    except (Exception, SystemExit) as error:
        raise AnswerError(_describe_error(error, trial)) from None
    for name, before, after in zip(task.arguments, trial.arguments(task), arguments, strict=True):
        if not _same(before, after):
            record.changed.add(name)
    return value


def _same(before: Any, after: Any) -> bool:
    """Whether an argument holds what it held, give or take rounding."""
    if isinstance(before, dict):
        return before.keys() == after.keys() and all(_same(before[k], after[k]) for k in before)
    if isinstance(before, list | tuple):
        return len(before) == len(after) and all(map(_same, before, after))
    if isinstance(before, np.ndarray):
        return before.shape == after.shape and np.allclose(before, after, rtol=1e-9, atol=1e-12)
    return True


def _describe_error(error: BaseException, trial: Trial) -> str:
    """Name the error, the line of the answer that raised it, and what it was tried with."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((PACKAGE, str(Path(np.__file__).parent)))
    ]
    place = ""
    if frames:
        line = linecache.getline(frames[-1].filename, frames[-1].lineno or 0).strip()
        place = f" in line {frames[-1].lineno}, {line}"
    return f"raises {type(error).__name__}: {error}{place} (tried with {trial.size})"


def _judge(task: Task, trials: tuple[Trial, ...], record: _Record, remark: str) -> Result:
    if record.failure:
        hint = _state_hint(record) + record.failure
        return Result(task.name, False, 0.0, task.points, {}, hint)
    blocks: dict[str, Block] = {}
    for name in trials[0].right:
        blocks |= _judge_output(task, name, trials, record.answers)
    hint, mistakes = "", tuple[str, ...]()
    if not all(blocks.values()):
        hint, mistakes = _diagnose(task, trials, record.answers, blocks)
    for name in sorted(record.changed):
        blocks[f"argument {name}"] = Block(False, "changed by the function")
        hint += f"{' ' if hint else ''}It changes its argument {name}: work on a copy."
    if record.keeps_state:
        blocks["second call"] = Block(False, "other results for the same arguments")
    right = sum(map(bool, blocks.values()))
    return Result(
        task.name,
        ok=right == len(blocks),
        score=right / len(blocks),
        points=task.points,
        blocks=blocks,
        hint=remark + _state_hint(record) + hint,
        mistakes=mistakes,
    )


def _state_hint(record: _Record) -> str:
    if record.keeps_state:
        return (
            "A second call with the same arguments gives another result: "
            "something is kept from one call to the next. "
        )
    return ""


def _judge_output(
    task: Task, name: str, trials: tuple[Trial, ...], answers: Sequence[Outputs]
) -> dict[str, Block]:
    """Judge one result over all trials, gate by gate where it has gates."""
    labels = list(split_gates(task, {name: trials[0].right[name]}))
    for trial, answer in zip(trials, answers, strict=True):
        got, right = answer.get(name), trial.right[name]
        if got is None:
            return dict.fromkeys(labels, Block(False, "missing"))
        if got.shape != right.shape:
            note = f"shape {got.shape}, expected {right.shape}"
            return dict.fromkeys(labels, Block(False, note))
    notes: dict[str, dict[str, str]] = {label: {} for label in labels}
    for trial, answer in zip(trials, answers, strict=True):
        floor = noise_floor(trial.right)
        got_blocks = split_gates(task, {name: answer[name]})
        for label, right in split_gates(task, {name: trial.right[name]}).items():
            if relative_error(got_blocks[label], right, floor) > tolerance(answer[name]):
                note = _describe_block(label, got_blocks[label], right, trial)
                notes[label][trial.size.label] = note
    return {label: _verdict(found) for label, found in notes.items()}


def _verdict(notes: dict[str, str]) -> Block:
    if not notes:
        return Block(True)
    trial, note = next(iter(notes.items()))
    return Block(False, note if trial == SIZES[0].label else f"{note}, with {trial}")


def _describe_block(label: str, got: Array, right: Array, trial: Trial) -> str:
    """Say what is wrong with the numbers of a block: a factor, a time step, an error."""
    if not np.all(np.isfinite(got)):
        return "not finite"
    if not np.any(got):
        return "all zero"
    if not np.any(right):
        return "should be zero"
    error = relative_error(got, right)
    factor = float(np.vdot(got, right) / np.vdot(right, right))
    if relative_error(got, factor * right) <= 10 * tolerance(got):
        return f"{factor:.3g} times the right values" + _name_factor(factor, trial)
    if label in ("dxs", "hs"):
        return _describe_steps(label, got, right) + f"relative error {error:.1g}"
    return f"relative error {error:.1g}"


def _name_factor(factor: float, trial: Trial) -> str:
    named = {"B": trial.size.B, "1/B": 1 / trial.size.B, "T": trial.size.T, "1/T": 1 / trial.size.T}
    found = [name for name, value in named.items() if value != 1 and np.isclose(factor, value)]
    return f", that is {found[0]}" if found else ""


def _describe_steps(label: str, got: Array, right: Array) -> str:
    """At which time step the error begins: from the end for gradients, else from the start."""
    wrong = [
        relative_error(mine, theirs, 1e-3 * float(np.max(abs(right)))) > tolerance(got)
        for mine, theirs in zip(got, right, strict=True)
    ]
    if label == "hs":
        return f"wrong from t = {wrong.index(True)} on, "
    return f"wrong from t = {len(wrong) - 1 - wrong[::-1].index(True)} back, "


def _diagnose(
    task: Task, trials: tuple[Trial, ...], answers: Sequence[Outputs], blocks: dict[str, Block]
) -> tuple[str, tuple[str, ...]]:
    """Give the hint for wrong numbers, and the names of the known mistakes in them."""
    if task.student_forward and fits(task.solution, task, trials, answers):
        return (
            f"These are the gradients of the equations in the text, not those of your "
            f"{task.student_forward}: look for the mistake there.",
            (),
        )
    made = find_mistakes(task, trials, answers)
    if made:
        return explain(task, made), tuple(slip.mistake.name for slip in made)
    right = [label for label, block in blocks.items() if block]
    wrong = [f"{label} ({block.note})" for label, block in blocks.items() if not block]
    return (
        "No known mistake, and no pair of them, gives these numbers. "
        f"Right: {', '.join(right) or 'nothing'}. Wrong: {', '.join(wrong)}.",
        (),
    )
