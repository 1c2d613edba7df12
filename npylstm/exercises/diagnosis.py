"""Which mistake it is: comparing an answer's numbers with those of the known mistakes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, combinations

import numpy as np

from npylstm.backend import Array
from npylstm.exercises.sources import Slip, plant, slips
from npylstm.exercises.tasks import Function, Task
from npylstm.exercises.trials import Outputs, Trial, name_outputs, split_gates

TOLERANCE = 1e-5
TOLERANCE_FLOAT32 = 1e-3


def tolerance(array: Array) -> float:
    """Relative error that rounding may cause in results of that dtype."""
    return TOLERANCE if array.dtype.itemsize >= 8 else TOLERANCE_FLOAT32


def relative_error(got: Array, right: Array, scale: float = 0.0) -> float:
    """Largest error relative to the largest right entry, or to `scale` where that is larger.

    Entries that are both nan, or both the same infinity, agree.
    """
    with np.errstate(all="ignore"):
        agree = (got == right) | (np.isnan(got) & np.isnan(right))
        worst = np.max(np.where(agree, 0.0, abs(got - right)), initial=0.0)
        largest = np.max(abs(right), initial=scale, where=np.isfinite(right))
    if worst == 0:
        return 0.0
    return float(worst / largest) if largest > 0 and np.isfinite(worst) else np.inf


def noise_floor(outputs: Outputs) -> float:
    """Scale below which a block counts as zero: far below the largest of all blocks."""
    finite = [
        np.max(abs(a), initial=0.0, where=np.isfinite(a))
        for a in outputs.values()
        if a.dtype.kind == "f"
    ]
    return 1e-4 * float(max(finite, default=0.0))


def agree(got: Outputs, other: Outputs) -> bool:
    """Whether two answers to one trial are the same up to rounding."""
    floor = noise_floor(other)
    return got.keys() == other.keys() and all(_agree(got[name], other[name], floor) for name in got)


def _agree(got: Array, other: Array, floor: float) -> bool:
    if got.dtype.kind != "f":
        return got.dtype == other.dtype and np.array_equal(got, other)
    return got.shape == other.shape and relative_error(got, other, floor) <= tolerance(got)


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


def find_mistakes(
    task: Task, trials: tuple[Trial, ...], answers: Sequence[Outputs]
) -> tuple[Slip, ...]:
    """Find the one known mistake, or the pair of them, that gives these answers."""
    effects = _effects(task, trials)
    singles = [(e.slip,) for e in effects if e.outputs and agree(answers[0], e.outputs)]
    right = _outputs(task.solution, task, trials[0])
    assert right is not None
    wrong = _wrong_blocks(task, answers[0], right)
    pairs = [
        (first.slip, second.slip)
        for first, second in combinations(effects, 2)
        if first.slip.function == task.name and wrong <= first.wrong | second.wrong
    ]
    for made in chain(singles, pairs):
        function = plant(task.name, made)
        if function and fits(function, task, trials, answers):
            return made
    return ()


def explain(task: Task, made: Sequence[Slip]) -> tuple[str, str, str]:
    """Put mistakes into words: where, what, and what to look at."""
    texts = []
    for slip in made:
        mistake = slip.mistake
        step = "" if slip.function == task.name else f" in {slip.function},"
        where = f"Mistake{step} at {mistake.place}"
        what = f"{where}: {mistake.name}"
        texts.append(
            (f"{where}.", f"{what}.", f"{what}. Look at  {mistake.equation} : {mistake.question}")
        )
    where, what, equation = (
        " And a second one. ".join(level) for level in zip(*texts, strict=True)
    )
    return where, what, equation
