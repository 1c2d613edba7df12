"""Known mistakes: compare an answer's numbers with the numbers in the catalogue."""

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np

from npylstm.exercises.diagnosis.compare import agree
from npylstm.exercises.sources import Slip, plant, slips
from npylstm.exercises.tasks import Function, Task
from npylstm.exercises.trials import Outputs, Trial, name_outputs, split_gates


def fits(
    function: Function, task: Task, trials: Iterable[Trial], answers: Iterable[Outputs]
) -> bool:
    """Whether a function gives the same answers in every trial; the cheapest are tried first."""
    pairs = zip(trials, answers, strict=True)
    for trial, answer in sorted(pairs, key=lambda pair: pair[0].size.T):
        outputs = _outputs(function, task, trial)
        if outputs is None or not agree(answer, outputs):
            return False
    return True


def _outputs(function: Function | None, task: Task, trial: Trial) -> Outputs | None:
    """Results of a planted function; None where it can't be planted or fails."""
    if function is None:
        return None
    try:
        with np.errstate(all="ignore"):
            return name_outputs(task, function(*trial.arguments(task)))
    except Exception:  # a mistake may make any operation fail
        return None


def _wrong_blocks(task: Task, outputs: Outputs, right: Outputs) -> set[str]:
    """Names of the blocks in which some results differ from the right ones."""
    wrong: set[str] = set()
    for name, expected in right.items():
        blocks = split_gates(task, {name: expected})
        got = outputs.get(name)
        if got is None or got.shape != expected.shape:
            wrong |= blocks.keys()
        else:
            got_blocks = split_gates(task, {name: got})
            wrong |= {b for b in blocks if not agree({b: got_blocks[b]}, {b: blocks[b]})}
    return wrong


@dataclass(frozen=True)
class _Effect:
    """What a known mistake does in the first trial; one that fails there may spoil anything."""

    slip: Slip
    outputs: Outputs | None
    wrong: set[str]


@lru_cache(maxsize=64)
def _effects(task: Task, trials: tuple[Trial, ...]) -> list[_Effect]:
    right = _outputs(task.solution, task, trials[0])
    assert right is not None
    effects = []
    for slip in slips(task.name):
        outputs = _outputs(plant(task.name, [slip]), task, trials[0])
        wrong = _wrong_blocks(task, outputs or {}, right)
        effects.append(_Effect(slip, outputs, wrong))
    return effects


def find_single(
    task: Task, trials: tuple[Trial, ...], answers: Sequence[Outputs]
) -> tuple[Slip, ...]:
    """Find the one known mistake that gives these answers."""
    for effect in _effects(task, trials):
        if effect.outputs and agree(answers[0], effect.outputs):
            function = plant(task.name, [effect.slip])
            if function and fits(function, task, trials, answers):
                return (effect.slip,)
    return ()


def known_as(task: Task, trials: tuple[Trial, ...], blocks: Sequence[Outputs]) -> Slip | None:
    """Find the known mistake that gives these blocks, trial by trial."""
    for effect in _effects(task, trials):
        if _gives(task, effect.outputs, blocks[0]):
            function = plant(task.name, [effect.slip])
            pairs = zip(trials, blocks, strict=True)
            if all(_gives(task, _outputs(function, task, trial), said) for trial, said in pairs):
                return effect.slip
    return None


def _gives(task: Task, outputs: Outputs | None, blocks: Outputs) -> bool:
    """Return whether outputs have these blocks."""
    try:
        return outputs is not None and agree(split_gates(task, outputs), blocks)
    except ValueError:  # columns that can't be shared out among the gates
        return False


def find_mistakes(
    task: Task,
    trials: tuple[Trial, ...],
    answers: Sequence[Outputs],
    deadline: float = math.inf,
) -> tuple[Slip, ...]:
    """Find the one known mistake, or the pair of them, that gives these answers, in time."""
    single = find_single(task, trials, answers)
    if single:
        return single
    effects = _effects(task, trials)
    right = _outputs(task.solution, task, trials[0])
    assert right is not None
    wrong = _wrong_blocks(task, answers[0], right)
    pairs = [
        (first.slip, second.slip)
        for first, second in combinations(effects, 2)
        if first.slip.function == task.name and wrong == first.wrong | second.wrong
    ]
    for made in pairs:
        if time.process_time() > deadline:
            break
        function = plant(task.name, made)
        if function and fits(function, task, trials, answers):
            return made
    return ()
