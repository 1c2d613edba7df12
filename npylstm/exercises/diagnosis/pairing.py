"""Which row or step of x and h meets which of dz in the gradient of a weight.

Only one row or step of x or h is other than zero, and only one row or step of what arrives; no
gradient is carried from step to step. So each call asks for one pair.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np

from npylstm.backend import AnyArray, Array
from npylstm.exercises.diagnosis.confirm import predicted
from npylstm.exercises.diagnosis.evidence import Evidence
from npylstm.exercises.diagnosis.probe import Prober, only
from npylstm.exercises.diagnosis.search import Found
from npylstm.exercises.diagnosis.smallest import Ask
from npylstm.exercises.diagnosis.statement import Statement, joined, question_about
from npylstm.exercises.tasks import Inputs, Size, Task
from npylstm.exercises.trials import Outputs, Trial, solve, split_gates

COUNT = 5
CLOSED = -800.0
"""Bias of a forget gate that keeps nothing."""


def pairing(evidence: Evidence, _: Found, ask: Ask, left: set[str]) -> Iterator[Statement]:
    """Make a statement on every weight gradient that joins what does not belong together."""
    task = evidence.task
    if not {"dW_x", "dW_h"} <= set(task.outputs):
        return
    for operand, result in RESULTS.items():
        blocks = {block for block in left if block.startswith(result)}
        if not blocks:
            continue
        steps = "dhs" in task.arguments
        maps = (_steps if steps else _rows)(task, ask, operand)
        words, pattern = _say(operand, "step" if steps else "row", *maps)
        if words:
            question = question_about(words)
            statement = Statement(result, words, frozenset(blocks), question=question)
            statement = predicted(evidence, statement, partial(_predict, task, operand, pattern))
            seen = "" if statement.certain else ON_SMALL
            yield replace(statement, words=words + seen)


RESULTS = {"x": "dW_x", "h": "dW_h", "": "db"}
"""Which gradient joins dz to what; in that of the bias it stands alone."""

ON_SMALL = f" (with {COUNT} of them)"

Pattern = Callable[[AnyArray, AnyArray, int], AnyArray]
"""Whether n of an operand meets m of so many of dz."""

Map = AnyArray | None
"""Whether row or step n of x or h meets row or step m of dz; None where it can't be told."""


def _rows(task: Task, ask: Ask, operand: str) -> tuple[Map, Map]:
    prober = Prober(task, ask, Size("", T=1, B=COUNT, D=3, H=2))
    drawn = prober.draw(2)
    name = "x" if operand == "x" else "h_prev"

    def setting(n: int, m: int) -> Inputs:
        if not operand:
            return only(drawn, "dh", _those(m if n == 0 else -1))
        return only(drawn, "dh", _those(m)) | {name: _row(drawn[name], n)}

    return _maps(prober, RESULTS[operand], setting, COUNT if operand else 1)


def _those(n: int) -> list[int]:
    return [n] if n >= 0 else []


def _row(values: Array, n: int) -> Array:
    """Set all rows but one to zero; all of them where that one is -1."""
    one = np.zeros_like(values)
    one[_those(n)] = values[_those(n)]
    return one


def _steps(task: Task, ask: Ask, operand: str) -> tuple[Map, Map]:
    """For h the first is the state before all steps."""
    prober = Prober(task, ask, Size("", T=COUNT, B=1, D=3, H=2))
    before = prober.draw(2, {})
    before |= {"W_h": np.zeros_like(before["W_h"])}
    if task.gates:
        before["b"] = np.linspace(-1, 1, before["W_h"].shape[1])
        before["b"][2:4] = CLOSED

    def setting(n: int, m: int) -> Inputs:
        if not operand:
            return only(prober.draw(2, before), "dhs", _those(m if n == 0 else -1))
        if operand == "x":
            return only(prober.draw(2, before | {"xs": _row(before["xs"], n)}), "dhs", _those(m))
        inputs = only(prober.draw(2, before), "dhs", _those(m))
        states = _row(np.concatenate([inputs["h0"][None], inputs["hs"]]), n)
        return inputs | {"h0": states[0], "hs": states[1:]}

    return _maps(prober, RESULTS[operand], setting, {"x": COUNT, "h": COUNT + 1, "": 1}[operand])


def _maps(
    prober: Prober, result: str, setting: Callable[[int, int], Inputs], numbers: int
) -> tuple[Map, Map]:
    """Tell which pairs give something that neither of the two gives without the other."""
    table = []
    for n, m in product(range(-1, numbers), range(-1, COUNT)):
        inputs = setting(n, m)
        got, right = prober.got(inputs), prober.right(inputs)
        if got is None:
            return None, None
        blocks = [block for block in right if block.startswith(result)]
        table.append([np.concatenate([a[b].ravel() for b in blocks]) for a in (got, right)])
    both = np.reshape(table, (numbers + 1, COUNT + 1, 2, -1))
    mixed = both[1:, 1:] - both[:1, 1:] - both[1:, :1] + both[:1, :1]
    mine, theirs = np.moveaxis(np.any(abs(mixed) > 1e-12, axis=-1), -1, 0)
    return mine, theirs


def _shifted(k: int, wraps: bool) -> Pattern:
    return lambda n, m, count: (n % count == (m + k) % count) if wraps else (n == m + k)


def _moved(k: int) -> str:
    when = "later" if k > 0 else "earlier"
    return f"{{operand}} of one {{unit}} meets dz of another, {abs(k)} {when} than it should"


PATTERNS: tuple[tuple[str, Pattern], ...] = (
    (
        "every {unit} of {operand} meets every {unit} of dz, as where sums are multiplied",
        lambda n, m, _: (n >= 0) & (m >= 0),
    ),
    *((_moved(k), _shifted(k, wraps)) for k in (1, -1, 2, -2) for wraps in (False, True)),
    (
        "at the first {unit}, dz meets {operand} of the last one",
        lambda n, m, count: (n == m) & (m > 0) | (n == count) & (m == 0),
    ),
    (
        "the {unit}s of {operand} meet those of dz in reverse order",
        lambda n, m, count: n == count - 1 - m,
    ),
    (
        "the {unit}s of {operand} meet those of dz in reverse order",
        lambda n, m, count: n == count - m,
    ),
)
"""Wrong ways to pair that have a name."""


def _say(operand: str, unit: str, mine: Map, right: Map) -> tuple[str, Pattern | None]:
    """Name the pattern of a map; empty where it is right, or none that has a name."""
    if mine is None or right is None or np.array_equal(mine, right):
        return "", None
    for words, pattern in PATTERNS if operand else ():
        if np.array_equal(mine, _meeting(pattern, len(mine), COUNT)):
            return words.format(operand=operand, unit=unit), pattern
    lacking = np.flatnonzero((right & ~mine).any(axis=0))
    if mine.any() and not (mine & ~right).any():
        said = joined(f"{unit} {k}" for k in lacking)
        return f"dz of {said} does not enter {RESULTS[operand]}", None
    stray = np.argwhere(mine & ~right)
    if operand == "x" and len(stray):
        return f"{unit} {stray[0][0]} of x meets {unit} {stray[0][1]} of dz", None
    return "", None


def _predict(task: Task, operand: str, pattern: Pattern | None, trial: Trial) -> Outputs:
    """Give the right results with the operand paired as the pattern has it.

    x and, in an LSTM, the states before a step enter the gradients of their weights alone.
    """
    inputs = dict(trial.inputs)
    if pattern and "hs" in inputs and operand == "h":
        states = _together(
            pattern, np.concatenate([inputs["h0"][None], inputs["hs"]]), trial.size.T
        )
        inputs |= {"h0": states[0], "hs": np.concatenate([states[1:], inputs["hs"][-1:]])}
    elif pattern:
        name = {"x": "xs" if "xs" in inputs else "x", "h": "h_prev"}[operand]
        inputs[name] = _together(pattern, inputs[name], len(inputs[name]))
    return split_gates(task, solve(task, inputs))


def _together(pattern: Pattern, values: Array, count: int) -> Array:
    """Add up for every m the values that it meets."""
    return np.tensordot(_meeting(pattern, len(values), count).T.astype(float), values, axes=1)


def _meeting(pattern: Pattern, rows: int, count: int) -> AnyArray:
    """Write out which n of so many rows meets which m."""
    n, m = np.arange(rows).reshape(-1, 1), np.arange(count).reshape(1, -1)
    return pattern(n, m, count)
