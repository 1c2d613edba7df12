"""Which row or step of x and h meets which of dz in the gradient of a weight.

Only one row or step of x or h is other than zero, and only one row or step of what arrives; no
gradient is carried from step to step. So each call asks for one pair.
"""

from collections.abc import Iterator

import numpy as np

from npylstm.backend import AnyArray
from npylstm.exercises.diagnosis.probe import Prober, joined, only
from npylstm.exercises.diagnosis.smallest import Ask
from npylstm.exercises.diagnosis.statement import Statement, question_about
from npylstm.exercises.tasks import Inputs, Size, Task

COUNT = 4
CLOSED = -800.0
"""Bias of a forget gate that keeps nothing."""


def pairing(task: Task, ask: Ask, left: set[str]) -> Iterator[Statement]:
    """Make a statement on every weight gradient that joins what does not belong together."""
    if not {"dW_x", "dW_h"} <= set(task.outputs):
        return
    for operand, result in RESULTS.items():
        blocks = {block for block in left if block.startswith(result)}
        if not blocks:
            continue
        if "dhs" in task.arguments:
            words = _say(operand, "step", *_steps(task, ask, operand))
        else:
            words = _say(operand, "row", *_rows(task, ask, operand))
        if words:
            yield Statement(
                result, words, frozenset(blocks), question=question_about(words), fact=True
            )


RESULTS = {"x": "dW_x", "h": "dW_h", "": "db"}
"""Which gradient joins dz to what; in that of the bias it stands alone."""

Map = AnyArray | None
"""Whether row or step n of x or h meets row or step m of dz; None where it can't be told."""


def _rows(task: Task, ask: Ask, operand: str) -> tuple[Map, Map]:
    prober = Prober(task, ask, Size("", T=1, B=COUNT, D=3, H=2))
    drawn = prober.draw(2)
    name = "x" if operand == "x" else "h_prev"

    def setting(n: int, m: int) -> Inputs:
        if not operand:
            return only(drawn, "dh", m)
        one = np.zeros_like(drawn[name])
        one[n] = drawn[name][n]
        return only(drawn, "dh", m) | {name: one}

    numbers = range(COUNT if operand else 1)
    return _maps(prober, RESULTS[operand], [[setting(n, m) for m in range(COUNT)] for n in numbers])


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
            return only(prober.draw(2, before), "dhs", m)
        if operand == "x":
            xs = np.zeros_like(before["xs"])
            xs[n] = before["xs"][n]
            return only(prober.draw(2, before | {"xs": xs}), "dhs", m)
        inputs = only(prober.draw(2, before), "dhs", m)
        states = np.concatenate([inputs["h0"][None], inputs["hs"]])
        states[np.arange(len(states)) != n] = 0.0
        return inputs | {"h0": states[0], "hs": states[1:]}

    numbers = range({"x": COUNT, "h": COUNT + 1, "": 1}[operand])
    return _maps(prober, RESULTS[operand], [[setting(n, m) for m in range(COUNT)] for n in numbers])


def _maps(prober: Prober, result: str, settings: list[list[Inputs]]) -> tuple[Map, Map]:
    mine, right = [], []
    for row in settings:
        for inputs in row:
            got = prober.got(inputs)
            if got is None:
                return None, None
            theirs = prober.right(inputs)
            blocks = [block for block in got if block.startswith(result)]
            mine.append(any(np.any(abs(got[b]) > 1e-12) for b in blocks))
            right.append(any(np.any(abs(theirs[b]) > 1e-12) for b in blocks))
    shape = len(settings), -1
    return np.reshape(mine, shape), np.reshape(right, shape)


def _say(operand: str, unit: str, mine: Map, right: Map) -> str:
    """Name the pattern of a map; empty where it is right, or none that has a name."""
    if mine is None or right is None or np.array_equal(mine, right):
        return ""
    if mine.all():
        return f"every {unit} of {operand} meets every {unit} of dz, as where sums are multiplied"
    lacking = np.flatnonzero((right & ~mine).any(axis=0))
    if mine.any() and not (mine & ~right).any():
        said = joined(f"{unit} {k}" for k in lacking)
        return f"dz of {said} does not enter {RESULTS[operand]}"
    n, m = np.indices(mine.shape)
    for k in (1, -1, 2, -2):
        when = "later" if k > 0 else "earlier"
        for pattern in (n == m + k, n % COUNT == (m + k) % COUNT):
            if np.array_equal(mine, pattern):
                return (
                    f"{operand} of one {unit} meets dz of another, {abs(k)} {when} than it should"
                )
    if np.array_equal(mine, (n == m) & (m > 0) | (n == COUNT) & (m == 0)):
        return f"at the first {unit}, dz meets {operand} of the last one"
    if any(np.array_equal(mine, n == last - m) for last in (COUNT - 1, COUNT)):
        return f"the {unit}s of {operand} meet those of dz in reverse order"
    stray = np.argwhere(mine & ~right)
    if operand == "x" and len(stray):
        return f"{unit} {stray[0][0]} of x meets {unit} {stray[0][1]} of dz"
    return ""
