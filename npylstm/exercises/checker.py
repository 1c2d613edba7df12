"""Checking an answer to an exercise."""

import copy
import io
import linecache
import re
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from npylstm.backend import Array
from npylstm.checks import Option
from npylstm.exercises.diagnosis import (
    Ask,
    agree,
    diagnose,
    noise_floor,
    relative_error,
    tolerance,
)
from npylstm.exercises.limits import PACKAGE, PackageCall, call_with_limit, watched_call
from npylstm.exercises.result import Block, Result
from npylstm.exercises.tasks import SIZES, Function, Task, Value, find_task
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
    answer: Function,
    forward: Function | None = None,
    *,
    seed: int = 0,
    time_limit: float = 5.0,
    hint: int = 3,
) -> Result:
    """Check an answer to an exercise, and say what is wrong with it.

    Parameters
    ----------
    name : str
        The exercise, such as "lstm_cell_backward".
    answer : function
    forward : function, optional
        Your own forward function, for an exercise that goes backwards. Only the hints use it: if
        the gradients are wrong by the text, they are compared with the gradients of your function.
    seed : int
        Draws other numbers to try the answer on.
    time_limit : float
        Seconds after which the answer is stopped.
    hint : int
        How much to say: 1 where the mistake is, 2 what kind of slip it is, 3 an equation and a
        question about it.

    Returns
    -------
    Result
        Its `ok`, `score`, `blocks` and `hint` can be asked for; it prints as a table.

    Raises
    ------
    TypeError
        If `answer` or `forward` is not a function.
    ValueError
        If there is no such exercise, it has no forward function to write, the time limit is not
        above zero, or there is no such hint.
    """
    task = find_task(name)
    _check_arguments(task, answer, forward, time_limit, hint)
    trials = reference_trials(name, seed)
    record = _try_within(task, answer, trials, time_limit)
    if record.failure:
        said = _state_hint(record) + record.failure
        return Result(name, False, 0.0, task.points, {}, said, hints=(said,) * 3)
    blocks = _judge(task, trials, record)
    remark, about_forward = "", ""
    if forward is not None:
        wrong = not all(blocks.values())
        remark, about_forward = _consider_forward(task, answer, forward, seed, time_limit, wrong)
    ladder, mistakes = ("", "", ""), tuple[str, ...]()
    if about_forward:
        ladder = (about_forward,) * 3
    elif not all(blocks.values()):
        ask = partial(_ask, task, answer, time_limit)
        ladder, mistakes = _diagnose(task, trials, record.answers, blocks, ask)
    blocks |= _side_effects(record)
    about_effects = _effects_hint(record)
    hints = tuple(" ".join(filter(None, (remark, *about_effects, said))) for said in ladder)
    right = sum(map(bool, blocks.values()))
    return Result(
        name,
        ok=right == len(blocks),
        score=right / len(blocks),
        points=task.points,
        blocks=blocks,
        hint=hints[hint - 1],
        mistakes=mistakes,
        hints=hints,
    )


def _check_arguments(
    task: Task, answer: object, forward: object, time_limit: float, hint: int
) -> None:
    if not callable(answer):
        raise TypeError(f"answer: expected a function, got {answer!r}")
    if forward is not None and not callable(forward):
        raise TypeError(f"forward: expected a function, got {forward!r}")
    if not time_limit > 0:
        raise ValueError(f"time_limit: expected a number of seconds above 0, got {time_limit!r}")
    if forward is not None and not task.student_forward:
        raise ValueError(f"forward: the exercise {task.name} has no forward function of its own")
    if hint not in (1, 2, 3):
        raise ValueError(f"hint must be 1, 2 or 3, got {hint!r}")


@dataclass
class _Record:
    """What happened when an answer was tried."""

    answers: list[Outputs] = field(default_factory=list)
    failure: str = ""
    changed: set[str] = field(default_factory=set)
    keeps_state: bool = False
    overwrites: bool = False
    errors: dict[str, str] = field(default_factory=dict)
    """What NumPy warned of, and on which input first."""


def _consider_forward(
    task: Task, answer: Function, forward: Function, seed: int, time_limit: float, wrong: bool
) -> tuple[str, str]:
    """Make a remark on the student's own forward function, and a hint where it is the cause.

    It is the cause where wrong gradients are right for it.
    """
    verdict = check(task.student_forward, forward, seed=seed, time_limit=time_limit)
    if verdict.ok:
        return "", ""
    remark = f"Note: your {task.student_forward} is not right yet."
    if not wrong:
        return remark, ""
    try:
        own = call_with_limit(lambda: make_trials(task, forward, seed), time_limit)
    except (Exception, SystemExit):  # whatever can go wrong in a student's function
        return remark, ""
    record = _try_within(task, answer, own, time_limit)
    if record.failure or not all(_judge(task, own, record).values()):
        return remark, ""
    if not all(any(map(np.any, trial.right.values())) for trial in own):
        return remark, ""  # zeros are the gradients of a function that does nothing
    return remark, (
        f"These are the gradients of your {task.student_forward}, not of the equations in the "
        f"text: look for the mistake there."
    )


def _try_within(
    task: Task, answer: Function, trials: tuple[Trial, ...], time_limit: float
) -> _Record:
    record = _Record()
    try:
        call_with_limit(lambda: _try_out(task, answer, trials, record), time_limit)
    except TimeoutError:
        record.failure = f"It was stopped after {time_limit:g} seconds: does a loop never end?"
    return record


def _try_out(task: Task, answer: Function, trials: tuple[Trial, ...], record: _Record) -> None:
    """Call an answer on every trial, on the first one twice, and look at old results again."""
    values = []
    warnings = io.StringIO()  # written to by NumPy itself, so no function of ours is called
    settings: dict[str, Option] = {"all": "ignore", "call": warnings}
    settings |= dict.fromkeys(task.refused, "log")
    try:
        with np.errstate(**settings):
            for trial in trials:
                warnings.seek(warnings.truncate(0))
                values.append(_call(task, answer, trial, record))
                for error in re.findall(r"Warning: (.*) encountered", warnings.getvalue()):
                    record.errors.setdefault(error, _range(task, trial))
                record.answers.append(name_outputs(task, values[-1]))
                if len(values) == 2:
                    again = name_outputs(task, _call(task, answer, trials[0], record))
                    record.keeps_state = not agree(again, record.answers[0])
        for value, outputs in zip(values, record.answers, strict=True):
            record.overwrites |= not agree(name_outputs(task, value), outputs)
    except AnswerError as error:
        record.failure = f"It {error}."


def _call(task: Task, answer: Function, trial: Trial, record: _Record) -> Value:
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


def _same(before: Value, after: Value) -> bool:
    """Return whether an argument holds what it held, give or take rounding."""
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


def _judge(task: Task, trials: tuple[Trial, ...], record: _Record) -> dict[str, Block]:
    blocks: dict[str, Block] = {}
    for name in trials[0].right:
        blocks |= _judge_output(task, name, trials, record.answers)
    return blocks


def _side_effects(record: _Record) -> dict[str, Block]:
    blocks = {
        f"argument {name}": Block(False, "changed by the function")
        for name in sorted(record.changed)
    }
    if record.keeps_state:
        blocks["second call"] = Block(False, "other results for the same arguments")
    if record.overwrites:
        blocks["first results"] = Block(False, "overwritten by a later call")
    for error in sorted(record.errors):
        blocks[error] = Block(False, "on the way to the result; NumPy warns of it")
    return blocks


def _effects_hint(record: _Record) -> list[str]:
    """Say what a function does beside returning its results."""
    found = [_state_hint(record).strip()]
    if record.overwrites:
        found.append(
            "An array that an earlier call returned is overwritten by a later one: "
            "a buffer is kept from one call to the next. Return a new array."
        )
    found += [f"It changes its argument {name}: work on a copy." for name in sorted(record.changed)]
    found += [
        f"NumPy warns of {_article(error)} on the way to the result, first with {numbers}: "
        "for which of these numbers?"
        for error, numbers in sorted(record.errors.items())
    ]
    return found


def _range(task: Task, trial: Trial) -> str:
    """Say from where to where the numbers of the first argument go."""
    name = task.arguments[0]
    value = trial.inputs[name]
    arrays = list(value.values()) if isinstance(value, dict) else [value]
    low, high = (f"{end(map(end, map(np.ravel, arrays))):.3g}" for end in (min, max))
    return f"{name} from {low} to {high}" if low != high else f"{name} of {low} throughout"


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


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
        if got.dtype.kind != "f" or got.dtype.itemsize < 4:
            note = f"{got.dtype}, expected floating-point numbers"
            note += " of at least 32 bits" if got.dtype.kind == "f" else ""
            return dict.fromkeys(labels, Block(False, note))
        if got.shape != right.shape:
            note = f"shape {got.shape}, expected {right.shape}"
            return dict.fromkeys(labels, Block(False, note))
    notes: dict[str, dict[str, str]] = {label: {} for label in labels}
    for trial, answer in zip(trials, answers, strict=True):
        floor = noise_floor(trial.right)
        got_blocks = split_gates(task, {name: answer[name]})
        for label, right in split_gates(task, {name: trial.right[name]}).items():
            if relative_error(got_blocks[label], right, floor) > tolerance(answer[name]):
                note = _describe_block(task, label, got_blocks[label], right, trial)
                notes[label][trial.size.label] = note
    return {label: _verdict(found) for label, found in notes.items()}


def _verdict(notes: dict[str, str]) -> Block:
    if not notes:
        return Block(True)
    trial, note = next(iter(notes.items()))
    return Block(False, note if trial == SIZES[0].label else f"{note}, with {trial}")


def _describe_block(task: Task, label: str, got: Array, right: Array, trial: Trial) -> str:
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
        return f"{factor:.3g} times the right values" + _name_factor(task, factor, trial)
    if label in ("dxs", "hs"):
        return _describe_steps(label, got, right) + f"relative error {error:.1g}"
    return f"relative error {error:.1g}"


def _name_factor(task: Task, factor: float, trial: Trial) -> str:
    """Name a factor that is a size of the exercise, or one over it."""
    text = task.solution.__doc__ or ""
    sizes: dict[str, float] = {"B": trial.size.B, "T": trial.size.T}
    named = {n: v for n, v in sizes.items() if v > 1 and re.search(rf"\(.*\b{n}\b", text)}
    named |= {f"1/{name}": 1 / value for name, value in named.items()}
    found = [name for name, value in named.items() if np.isclose(factor, value)]
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
    task: Task,
    trials: tuple[Trial, ...],
    answers: Sequence[Outputs],
    blocks: dict[str, Block],
    ask: Ask,
) -> tuple[tuple[str, str, str], tuple[str, ...]]:
    """Give the hints for wrong numbers, and the names of the known mistakes in them."""
    unusable = {
        label.partition("[")[0] if task.gates else label: block.note
        for label, block in blocks.items()
        if "expected floating-point" in block.note
    }
    remark = "".join(f"It returns {name} as {note}. " for name, note in unusable.items())
    if any("int" not in note for note in unusable.values()):
        return (remark.strip(),) * 3, ()
    try:
        diagnosis = diagnose(task, trials, answers, ask)
    except Exception:  # a hint that fails must not cost the verdict
        return (f"{remark}Not explained: see the table for what is wrong.",) * 3, ()
    first, second, third = (remark + said for said in diagnosis.hints)
    return (first, second, third), diagnosis.mistakes


def _ask(task: Task, answer: Function, time_limit: float, arguments: list[Value]) -> Outputs | None:
    """Call an answer on other arguments; None where it fails."""

    def call() -> Outputs:
        with np.errstate(all="ignore"):
            return name_outputs(task, watched_call(answer, copy.deepcopy(arguments)))

    try:
        return call_with_limit(call, time_limit)
    except (Exception, SystemExit, PackageCall):  # whatever can go wrong in a student's function
        return None
