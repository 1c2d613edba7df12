"""The right numbers in another place, or many times over."""

from collections.abc import Callable, Iterator, Mapping
from itertools import permutations

import numpy as np

from npylstm.backend import Array
from npylstm.exercises.diagnosis.compare import close
from npylstm.exercises.diagnosis.evidence import Evidence
from npylstm.exercises.diagnosis.statement import Statement, list_blocks
from npylstm.exercises.tasks import Size

MOVED: Mapping[str, Callable[[Array], Array]] = {
    "transposed": lambda a: a.T,
    "read or written by columns, not by rows": lambda a: a.T.reshape(a.shape),
    "filled by columns, not by rows": lambda a: a.reshape(a.shape[::-1]).T,
    "rows in reverse order": lambda a: a[::-1],
    "columns in reverse order": lambda a: a[..., ::-1],
    "rows shifted by one": lambda a: np.roll(a, 1, axis=0),
    "rows shifted back by one": lambda a: np.roll(a, -1, axis=0),
    "columns shifted by one": lambda a: np.roll(a, 1, axis=-1),
    "columns shifted back by one": lambda a: np.roll(a, -1, axis=-1),
    "running sum over the rows": lambda a: np.cumsum(a, axis=0),
    "batch and time exchanged": lambda a: np.swapaxes(a, 0, 1).reshape(a.shape),
    "absolute values": abs,
    "squared": np.square,
    "truncated to whole numbers": np.trunc,
    "each entry less the mean": lambda a: a - a.mean(),
}

MULTIPLES: Mapping[str, Callable[[Size], float]] = {
    "B": lambda size: size.B,
    "T": lambda size: size.T,
    "D": lambda size: size.D,
    "H": lambda size: size.H,
    "B times T": lambda size: size.B * size.T,
    "4 H": lambda size: 4 * size.H,
    "the number of classes": lambda size: size.H + 2,
    "the root of B": lambda size: size.B**0.5,
    "the root of T": lambda size: size.T**0.5,
    "the root of H": lambda size: size.H**0.5,
}


def whole_numbers(evidence: Evidence) -> Iterator[Statement]:
    """Make a statement on the results that are cut to whole numbers by the dtype of their array."""
    if evidence.whole:
        yield Statement(
            list_blocks(evidence.whole),
            "an array of an integer dtype, so that what is stored in it is truncated towards zero",
            frozenset(set(evidence.whole) - evidence.wrong),
            question="of which dtype is the array, and where does it get it from?",
            fact=True,
        )


def moved_or_multiplied(evidence: Evidence, left: set[str]) -> Iterator[Statement]:
    """Make a statement on every result that holds the right numbers in another form."""
    outputs: dict[str, set[str]] = {}
    for block in left:
        outputs.setdefault(block.partition("[")[0], set()).add(block)
    for name, blocks in sorted(outputs.items()):
        words = _shape(evidence, name, min(blocks)) or _whole(evidence, name)
        words = words or _places(evidence, name)
        if words:
            yield Statement(name, words, frozenset(blocks))
            continue
        alike: dict[str, set[str]] = {}
        for block in sorted(blocks):
            words = _multiple(evidence, block) or _other(evidence, block)
            alike.setdefault(words, set()).add(block)
        alike.pop("", None)
        for words, same in alike.items():
            yield Statement(list_blocks(same), words, frozenset(same))


def _shape(evidence: Evidence, name: str, block: str) -> str:
    """Say if a result has the wrong shape or is one of the arguments."""
    got = [answer[block] for answer in evidence.answers]
    if any(a.shape == r[block].shape for a, r in zip(got, evidence.rights, strict=True)):
        return ""
    for other in evidence.task.arguments:
        values = [trial.inputs[other] for trial in evidence.trials]
        if all(np.array_equal(a, value) for a, value in zip(got, values, strict=True)):
            return f"the argument {other} is returned, not {name}"
    return f"an array with another shape than {name}"


def _whole(evidence: Evidence, name: str) -> str:
    """Look at a result with the columns of all gates together."""
    gates = evidence.task.gates
    if not gates or f"{name}[{gates[0]}]" not in evidence.right:
        return _moved(evidence, lambda blocks: blocks[name]) if name in evidence.right else ""

    def together(blocks: Mapping[str, Array]) -> Array:
        return np.stack([blocks[f"{name}[{gate}]"] for gate in gates], axis=-2)

    for order in permutations(range(len(gates))):
        if list(order) != sorted(order) and _holds(
            evidence,
            together,
            lambda a, order=order: a[..., list(order), :],  # type: ignore[misc]
        ):
            return f"columns in the order {', '.join(gates[k] for k in order)}"
    if _holds(evidence, together, lambda a: np.swapaxes(a, -1, -2).reshape(a.shape)):
        return "columns of the gates interleaved, unit by unit"
    return ""


def _places(evidence: Evidence, name: str) -> str:
    """Look at a result whose steps or rows are right ones, but stand in other places."""
    if name not in evidence.right:
        return ""
    said = ""
    for answer, right in zip(evidence.answers, evidence.rights, strict=True):
        mine, theirs = answer[name], right[name]
        if mine.shape != theirs.shape:
            return ""
        filled = [k for k, one in enumerate(mine if mine.ndim else ()) if np.any(one)]
        for k in filled:
            found = [j for j, one in enumerate(theirs) if np.allclose(mine[k], one, 1e-5, 0.0)]
            if not found or 2 * len(filled) < len(mine):
                return ""
            if k not in found:
                said = said or f"entry {k} holds what belongs in entry {found[0]}"
    return said and f"{said}: right numbers in the wrong places"


def _moved(evidence: Evidence, take: Callable[[Mapping[str, Array]], Array]) -> str:
    for words, move in MOVED.items():
        if _holds(evidence, take, move):
            return words
    return ""


def _holds(
    evidence: Evidence,
    take: Callable[[Mapping[str, Array]], Array],
    move: Callable[[Array], Array],
) -> bool:
    """Whether an answer is the right one moved, in every trial."""
    for answer, right, floor in zip(
        evidence.answers, evidence.rights, evidence.floors, strict=True
    ):
        try:
            moved = move(take(right))
        except (ValueError, IndexError):  # what has few axes can't be turned
            return False
        if moved.shape != take(answer).shape or not close(take(answer), moved, floor):
            return False
    return True


def _multiple(evidence: Evidence, block: str) -> str:
    """Find the number by which a block is too large, the same in every trial or a size."""
    if all(not np.any(answer[block]) for answer in evidence.answers):
        return "all zero"
    if any(
        a[block].shape != r[block].shape
        for a, r in zip(evidence.answers, evidence.rights, strict=True)
    ):
        return ""
    ratios = []
    for answer, right, floor in zip(
        evidence.answers, evidence.rights, evidence.floors, strict=True
    ):
        size = float(np.vdot(right[block], right[block]))
        ratio = float(np.vdot(answer[block], right[block])) / size if size > floor**2 else np.nan
        if np.isfinite(ratio) and not close(answer[block], ratio * right[block], floor):
            return ""
        ratios.append(ratio)
    known = np.isfinite(ratios)
    if not known.any() or np.allclose(np.array(ratios)[known], 1, rtol=1e-4):
        return ""
    for said, value in MULTIPLES.items():
        values = np.array([value(trial.size) for trial in evidence.trials], float)
        for words, wanted in ((f"{said} times", values), (f"divided by {said}:", 1 / values)):
            if np.allclose(np.array(ratios)[known], wanted[known], rtol=1e-4):
                return f"{words} the right numbers"
    if np.allclose(np.array(ratios)[known], np.array(ratios)[known][0], rtol=1e-4):
        return f"{np.array(ratios)[known][0]:.3g} times the right numbers"
    return ""


def _other(evidence: Evidence, block: str) -> str:
    """Find another result, or an argument, whose numbers a block holds."""
    shape = evidence.right[block].shape
    for other, array in evidence.right.items():
        if other != block and array.shape == shape:
            pairs = zip(evidence.answers, evidence.rights, evidence.floors, strict=True)
            if all(close(answer[block], right[other], floor) for answer, right, floor in pairs):
                return f"the numbers of {other}"
    for name in evidence.task.arguments:
        values = [trial.inputs[name] for trial in evidence.trials]
        if isinstance(values[0], np.ndarray) and values[0].shape == shape:
            given = zip(evidence.answers, values, evidence.floors, strict=True)
            if all(close(answer[block], value, floor) for answer, value, floor in given):
                return f"the argument {name} itself"
    return ""
