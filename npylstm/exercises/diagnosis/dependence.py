"""What moves when one thing is moved: by argument, gate, row of the batch and step.

Each statement is a fact about the answer, and says where the right solution differs.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from npylstm.backend import AnyArray
from npylstm.exercises.diagnosis.evidence import Evidence
from npylstm.exercises.diagnosis.probe import Prober, moved, upstream_of
from npylstm.exercises.diagnosis.search import Found
from npylstm.exercises.diagnosis.smallest import Ask
from npylstm.exercises.diagnosis.statement import Statement, joined, list_blocks, question_about
from npylstm.exercises.tasks import Inputs, Task, Value
from npylstm.exercises.trials import Outputs, Trial

FREE = ("x", "xs", "h_prev", "h0", "W_x", "W_h", "p_i", "p_f", "p_o")
"""Arguments that may be moved alone: a bias or an earlier step makes up for it."""

WEIGHTS = ("dW_x", "dW_h", "db", "dp_i", "dp_f", "dp_o")
SHARED = ("W_x", "W_h", "b", "p_i", "p_f", "p_o")
"""What all rows and steps have in common."""

ENTRYWISE = (
    "sigmoid",
    "sigmoid_backward",
    "tanh_backward",
    "softmax_cross_entropy",
    "rmsprop_step",
    "rmsprop_step_tf1",
)
"""Exercises whose results have an entry, or a row, for each of the arguments."""

FARTHEST = 5
"""How many steps back a dependence is counted."""


def dependence(evidence: Evidence, _: Found, ask: Ask, left: set[str]) -> Iterator[Statement]:
    """Make a statement on what moves and should not, or does not move and should.

    It is made only if it holds for the inputs of every trial in which it can be seen.
    """
    task = evidence.task
    if task.name not in ENTRYWISE and "W_x" not in task.arguments:
        return
    trials = [trial for trial in evidence.trials if not trial.size.edge]
    several = [t for t in trials if t.size.B > 1 and (t.size.T > 2 or not _steps(task))]
    facts = [_facts(Prober(task, ask, trial.size), trial, left) for trial in several]
    together: dict[str, tuple[list[str], set[str]]] = {}
    for place, words in facts[0]:
        blocks = set.intersection(*(one.get((place, words), set()) for one in facts))
        if blocks:
            places, all_blocks = together.setdefault(words, ([], set()))
            places.append(place)
            all_blocks.update(blocks)
    for words, (places, all_blocks) in together.items():
        question = question_about(words)
        yield Statement(joined(places), words, frozenset(all_blocks), question=question, fact=True)


def _facts(prober: Prober, trial: Trial, left: set[str]) -> dict[tuple[str, str], set[str]]:
    """Collect what holds for the inputs of a trial: the blocks by place and words."""
    first = {name: trial.inputs[name] for name in prober.task.arguments}
    got = prober.got(first)
    if got is None:
        return {}
    if prober.task.name in ENTRYWISE:
        facts = _of_entries(prober, first, got)
        return {(place, words): blocks & left for blocks, place, words in facts}
    other = prober.draw(1, {name: first[name] for name in SHARED if name in first})
    together: dict[tuple[str, str], set[str]] = {}
    for blocks, place, words in (
        *_of_steps(prober, first, other, got),
        *_of_rows(prober, first, other, got),
        *_of_arguments(prober, first, got),
    ):
        together.setdefault((place, words), set()).update(blocks & left)
    return together


Fact = tuple[set[str], str, str]
"""Blocks, place and words."""


def _steps(task: Task) -> bool:
    return "xs" in task.arguments


def _both(
    prober: Prober, first: Inputs, got: Outputs, change: Inputs
) -> tuple[Value, Value] | None:
    """Tell what moves in the answer and in the right one; None where the answer fails."""
    after = prober.got(first | change)
    if after is None:
        return None
    return moved(got, after), moved(prober.right(first), prober.right(first | change))


# ---------------------------------------------------------------- steps


def _of_steps(prober: Prober, first: Inputs, other: Inputs, got: Outputs) -> Iterator[Fact]:
    if not _steps(prober.task):
        return
    for name in [*upstream_of(prober.task), "xs"]:
        maps = []
        for t in range(prober.size.T):
            change = first[name].copy()
            change[t] = other[name][t]
            both = _both(prober, first, got, {name: change})
            if both is None:
                return
            maps.append(both)
        for block in got:
            mine, theirs = ([_by_step(one[k][block]) for one in maps] for k in (0, 1))
            words = _say_steps(name, block, mine, theirs)
            if words:
                yield {block}, block.partition("[")[0], words


def _by_step(changed: AnyArray) -> list[bool]:
    """Tell for each step whether something moves; a result without steps has one entry."""
    if changed.ndim < 3:
        return [bool(changed.any())]
    return [bool(step.any()) for step in changed]


def _say_steps(name: str, block: str, mine: list[list[bool]], right: list[list[bool]]) -> str:
    if mine == right:
        return ""
    T = len(mine)
    if len(mine[0]) == 1:
        enter = [t for t in range(T) if mine[t][0]]
        lacking = [t for t in range(T) if right[t][0] and not mine[t][0]]
        return _few("step", f"of {name}", enter, lacking, (T, block))
    for k in range(min(T, FARTHEST) - 1):
        if mine == [[t - k <= s <= t for s in range(T)] for t in range(T)]:
            return f"{name} of a step reaches {block} of {_back(k)}, and no further"
        if block == "hs" and mine == [[t <= s <= t + k for s in range(T)] for t in range(T)]:
            return f"{name} of a step reaches hs no further than {k} steps on"
    if not any(map(any, mine)):
        return f"it does not depend on {name}"
    if mine == [[s == T - 1 - t for s in range(T)] for t in range(T)]:
        return f"its steps are in reverse order to those of {name}"
    return ""


def _back(k: int) -> str:
    if k == 0:
        return "the same step alone"
    return f"that step and {k} step{'s' * (k > 1)} back alone"


def _few(
    noun: str, of: str, enter: Sequence[int], lacking: Sequence[int], among: tuple[int, str]
) -> str:
    """Say which rows or steps enter a result, and which do not, in words for any number of them."""
    count, block = among
    if not lacking or not enter:
        return ""
    name = block.partition("[")[0]
    if len(enter) == 1:
        return f"{_which(noun, enter[0], count)} {of} alone enters {name}"
    if len(lacking) == 1:
        return f"{_which(noun, lacking[0], count)} {of} does not enter {name}"
    if list(lacking) == list(range(lacking[0], count)):
        return f"nothing {of} from {noun} {lacking[0]} on enters {name}"
    return f"{noun}s {joined(map(str, lacking))} {of} do not enter {name}"


def _which(noun: str, number: int, count: int) -> str:
    return f"the last {noun}" if number == count - 1 > 0 else f"{noun} {number}"


# ---------------------------------------------------------------- entries


def _of_entries(prober: Prober, first: Inputs, got: Outputs) -> Iterator[Fact]:
    """Move the first entry of one argument after the other."""
    for name, array in first.items():
        if not isinstance(array, np.ndarray) or array.ndim != 2:
            continue
        change = array.copy()
        change[0, 0] += 0.1
        both = _both(prober, first, got, {name: change})
        if both is None:
            return
        for block, (mine, right) in {b: (both[0][b], both[1][b]) for b in got}.items():
            words = _say_entries(name, mine, right) if mine.ndim == 2 else ""
            if words:
                yield {block}, block, words


def _say_entries(name: str, mine: AnyArray, right: AnyArray) -> str:
    stray = mine & ~right
    if not stray.any():
        return f"an entry does not depend on its own {name}" if right[0, 0] > mine[0, 0] else ""
    if not stray[1:].any():
        return f"an entry depends on others of its row of {name}, and should not"
    if not stray[:, 1:].any():
        return f"an entry depends on others of its column of {name}, and should not"
    return f"an entry depends on others in other rows of {name}, and should not"


# ---------------------------------------------------------------- rows


def _of_rows(prober: Prober, first: Inputs, other: Inputs, got: Outputs) -> Iterator[Fact]:
    maps = []
    for row in range(prober.size.B):
        change = {}
        for name in first.keys() - set(SHARED):
            axis = 1 if first[name].ndim == 3 else 0
            change[name] = first[name].copy()
            change[name][(slice(None),) * axis + (row,)] = np.take(other[name], row, axis)
        both = _both(prober, first, got, change)
        if both is None:
            return
        maps.append(both)
    for block in got:
        mine, right = ([_by_row(block, one[k][block]) for one in maps] for k in (0, 1))
        words = _say_rows(block, mine, right)
        if words:
            yield {block}, block.partition("[")[0], words


def _by_row(block: str, changed: AnyArray) -> list[bool]:
    if block.startswith(WEIGHTS):
        return [bool(changed.any())]
    axis = 1 if changed.ndim == 3 else 0
    return [bool(row.any()) for row in np.moveaxis(changed, axis, 0)]


def _say_rows(block: str, mine: list[list[bool]], right: list[list[bool]]) -> str:
    if mine == right:
        return ""
    B = len(mine)
    if len(mine[0]) == 1:
        enter = [r for r in range(B) if mine[r][0]]
        lacking = [r for r in range(B) if right[r][0] and not mine[r][0]]
        return _few("row", "of the batch", enter, lacking, (B, block))
    stray = [(r, s) for r in range(B) for s in range(B) if mine[r][s] and not right[r][s]]
    if stray:
        source, row = min(stray, key=lambda pair: (pair[1] == 0, pair[1], pair[0]))
        return f"row {row} of it depends on row {source} of the batch, and should not"
    still = [r for r in range(B) if not mine[r][r]]
    if still and len(still) < B:
        return f"row {joined(map(str, still))} of it does not depend on that row of the batch"
    return ""


# ---------------------------------------------------------------- arguments


def _of_arguments(prober: Prober, first: Inputs, got: Outputs) -> Iterator[Fact]:
    """Say which argument, or which gate's columns of one, a result needs or should not see."""
    stray: dict[str, set[str]] = {}
    still: dict[str, set[str]] = {}
    for said, change in _moves(prober.task, first):
        both = _both(prober, first, got, change)
        if both is None:
            return
        mine, right = ({b for b, entries in one.items() if entries.any()} for one in both)
        if mine - right:
            stray[said] = mine - right
        if right - mine and (mine or not right):
            still[said] = right - mine
    for facts, verb, end in ((stray, "depend", ", and should not"), (still, "do", "")):
        for said, blocks in sorted(facts.items(), key=lambda pair: len(pair[1])):
            place = _place(prober.task, blocks)
            it = "they" if " and " in place else "it"
            verbed = {"depend": "depends", "do": "does"}[verb] if it == "it" else verb
            middle = "on" if verb == "depend" else "not depend on"
            yield blocks, place, f"{it} {verbed} {middle} {said}{end}"


def _moves(task: Task, first: Inputs) -> Iterator[tuple[str, Inputs]]:
    rng = np.random.default_rng(5)
    for name in (*upstream_of(task), *FREE):
        if name not in first:
            continue
        if name.startswith("W_") and task.gates:
            for k, gate in enumerate(task.gates):
                array = first[name].copy()
                H = array.shape[1] // len(task.gates)
                array[:, k * H : (k + 1) * H] = rng.normal(size=(len(array), H))
                yield f"{name}[{gate}]", {name: array}
        else:
            yield name, {name: rng.uniform(-1, 1, first[name].shape)}


def _place(task: Task, blocks: set[str]) -> str:
    """Name blocks; those of a gate together are its dz."""
    gates = [gate for gate in task.gates if f"db[{gate}]" in blocks]
    rest = {b for b in blocks if b.partition("[")[2].rstrip("]") not in gates}
    if gates:
        return joined([f"dz_{gate}" for gate in gates])
    return "dz" if "db" in blocks else list_blocks(rest)
