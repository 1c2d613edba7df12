"""Where no mechanism explains an answer: the smallest input on which it is wrong."""

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np

from npylstm.exercises.diagnosis.compare import close, noise_floor
from npylstm.exercises.tasks import Inputs, Size, Task, Value
from npylstm.exercises.trials import Outputs, solve, split_gates

Ask: TypeAlias = Callable[[list[Value]], Outputs | None]
"""Call the answer on other arguments; None where it fails."""

SMALL = (
    (1, 1, 1, 1),
    (2, 1, 1, 1),
    (1, 2, 1, 1),
    (1, 1, 2, 1),
    (1, 1, 1, 2),
    (3, 1, 1, 1),
    (2, 2, 1, 1),
    (2, 1, 1, 2),
    (2, 2, 2, 2),
    (3, 2, 2, 2),
)


def smallest(task: Task, ask: Ask) -> tuple[str, str] | None:
    """Find the smallest input on which an answer is wrong; say how small, and show the numbers."""
    for sizes in SMALL:
        size = Size("", *sizes)
        with np.errstate(all="ignore"):
            inputs = _rounded(task.inputs(np.random.default_rng(sum(sizes)), size))
            inputs |= task.run(task.reference_forward, inputs)
        inputs = {name: inputs[name] for name in task.arguments}
        right = solve(task, inputs)
        got = ask(list(inputs.values()))
        if got is None or got.keys() != right.keys():
            continue
        floor = noise_floor(right)
        wrong = [name for name in right if not close(got[name], right[name], floor)]
        if wrong:
            return _say(size, wrong), _show(task, inputs, got, right, wrong[0])
    return None


def _rounded(inputs: Inputs) -> Inputs:
    """Give short numbers, none of them zero, where a slip could hide."""
    rounded = dict(inputs)
    for name, value in inputs.items():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            short = np.round(value, 1)
            rounded[name] = np.where(short == 0, 0.1, short)
    return rounded


def _say(size: Size, wrong: list[str]) -> str:
    counts = ((size.T, "step"), (size.B, "row"), (size.D, "input"), (size.H, "unit"))
    said = ", ".join(f"{count} {noun}{'s' * (count > 1)}" for count, noun in counts)
    return (
        f"With no more than {said}, {' and '.join(wrong[:2])} {'are' if wrong[1:] else 'is'} wrong"
    )


def _show(task: Task, inputs: Inputs, got: Outputs, right: Outputs, name: str) -> str:
    """Put the input, the student's numbers and the right ones side by side."""
    given = ", ".join(f"{key} = {_short(value)}" for key, value in inputs.items())
    lines = list(_different(task, name, got[name], right[name]))
    return f"With {given}: {'; '.join(lines[:2])}"


def _different(task: Task, name: str, got: Value, right: Value) -> Iterator[str]:
    if got.shape != right.shape:
        yield f"your {name} has the shape {got.shape}, right {right.shape}"
        return
    mine, theirs = (split_gates(task, {name: array}) for array in (got, right))
    for label in theirs:
        if not close(mine[label], theirs[label], 1e-4):
            yield _side_by_side(label, mine[label], theirs[label])


def _side_by_side(label: str, mine: Value, theirs: Value) -> str:
    """Show both numbers; where they look alike, the entry that differs most, in more digits."""
    first, second = _short(mine), _short(theirs)
    if first == second:
        place = np.unravel_index(np.argmax(abs(mine - theirs)), theirs.shape)
        label += str([int(k) for k in place]) if theirs.size > 1 else ""
        first, second = (f"{array[place]:.10g}" for array in (mine, theirs))
    return f"your {label} = {first}, right {second}"


def _short(value: Value) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_short(one)}" for key, one in value.items()) + "}"
    if isinstance(value, np.ndarray | float):
        array = np.asarray(value)
        if array.size == 1:
            return f"{array.item():.4g}"
        return np.array2string(array, precision=3, separator=", ").replace("\n", "")
    return getattr(value, "__name__", str(value))
