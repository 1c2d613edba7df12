"""Functions of one number: where an answer leaves the right curve, and what it gives there.

One argument takes the values of a grid, one unit each; the others are the same in every unit.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import numpy as np

from npylstm.backend import AnyArray, Array
from npylstm.exercises.diagnosis.confirm import written_in
from npylstm.exercises.diagnosis.evidence import Evidence
from npylstm.exercises.diagnosis.probe import Prober
from npylstm.exercises.diagnosis.program import Line, names_in
from npylstm.exercises.diagnosis.search import Found
from npylstm.exercises.diagnosis.smallest import Ask
from npylstm.exercises.diagnosis.statement import Statement, list_blocks
from npylstm.exercises.tasks import Inputs, Size, Task
from npylstm.exercises.trials import Outputs

QUESTION = "what does your function do to numbers of that size, and should it?"

FEWEST = 4
"""For how many of the values a curve must be right, so that it is not wrong throughout."""

FIXED = ("x", "xs", "W_x", "W_h", "labels")
"""Arguments that no result is a function of, entry by entry."""

_LARGE = np.concatenate([np.arange(0.25, 10.25, 0.25), np.geomspace(11, 1000, 16)])
_CLOSE = 10.0 ** -np.arange(2, 17)
GRIDS = {
    "": np.sort(np.concatenate([-_LARGE, [0.0], _LARGE])),
    "ifourus": np.sort(np.concatenate([[0, 1], _CLOSE, 1 - _CLOSE, np.arange(0.05, 1, 0.05)])),
    "ghnt": np.sort(np.concatenate([[-1, 0, 1], 1 - _CLOSE, _CLOSE - 1, np.arange(-9, 10) / 10.5])),
}
"""Values to try: all numbers, those of a sigmoid, those of tanh."""

Respond = Callable[[Array], tuple[Outputs, Outputs] | None]
"""What the answer gives for values of a variable, and what is right."""


@dataclass(frozen=True)
class _Curve:
    """A part of a curve that is wrong: from where to where, what it is there and should be."""

    variable: str
    low: float
    high: float
    got: Array
    right: Array
    like: float | None


class _NoAnswer(Exception):
    """Raised where an answer fails, or there is no time left to ask it."""


def curves(evidence: Evidence, found: Found, ask: Ask, left: set[str]) -> Iterator[Statement]:
    """Make a statement on every function that is right for some numbers and wrong for others."""
    task = evidence.task
    alone = not task.gates and "W_x" not in task.arguments
    together: dict[str, tuple[set[str], tuple[_Curve, ...]]] = {}
    for variable, values, respond in _variables(task, ask):
        both, turned = respond(values), respond(values[::-1])
        if both is None or turned is None:
            continue
        for block in [name for name in both[0] if name in left]:
            if not np.array_equal(both[0][block], turned[0][block][::-1], equal_nan=True):
                continue  # it depends on the unit, and not on the number alone
            with suppress(_NoAnswer):
                parts = tuple(_wrong_parts(variable, values, partial(_one, respond, block)))
                together.setdefault(_say(parts), (set(), parts))[0].add(block)
    together.pop("", None)
    for words, (blocks, parts) in together.items():
        statement = Statement(list_blocks(blocks), words, frozenset(blocks), question=QUESTION)
        statement = written_in(evidence, found, statement, partial(_rewritten, parts))
        if statement.certain or alone or all(map(_is_constant, parts)):
            yield statement


# ---------------------------------------------------------------- variables


def _variables(task: Task, ask: Ask) -> Iterator[tuple[str, Array, Respond]]:
    """Name what a result may be a function of, with values for it."""
    prober = Prober(task, ask, Size("", T=1, B=1, D=1, H=1))
    if task.name == "softmax_cross_entropy":
        yield "the logit of the right class", GRIDS[""], partial(_one_by_one, prober)
    if task.name in ("softmax_cross_entropy", "jacobian_product_norms", "numerical_gradient"):
        return
    first = prober.draw(0)
    for name, array in first.items():
        if not isinstance(array, np.ndarray) or name in FIXED:
            continue
        parts = array.shape[-1]
        for k in range(parts):
            gate = task.gates[k] if name == "gates" else "ifog"[k] if parts == 4 else ""
            variable = f"z_{gate}".rstrip("_") if name == "b" else gate or _of_step(name)
            yield variable, _grid(variable, task), partial(_unit_by_unit, prober, name, k)


def _of_step(name: str) -> str:
    return {"cs": "c", "hs": "h", "dhs": "dhs[t]"}.get(name, name)


def _grid(variable: str, task: Task) -> Array:
    if variable == "ms":
        return GRIDS[""][GRIDS[""] >= 0]
    kind = next((letters for letters in GRIDS if variable[0] in letters and letters), "")
    named = len(variable) == 1 and variable in task.arguments + task.gates + ("h",)
    return GRIDS[kind if named else ""]


def _unit_by_unit(
    prober: Prober, name: str, part: int, values: Array
) -> tuple[Outputs, Outputs] | None:
    """Let every unit have another value of one argument, or of one gate's part of it."""
    width, inputs = len(values), {}
    for key, array in prober.draw(0).items():
        wide = isinstance(array, np.ndarray) and key not in ("x", "xs")
        inputs[key] = np.repeat(array, width, axis=-1) if wide else array
    if "W_h" in inputs:
        inputs["W_h"] = np.zeros((width, inputs["W_h"].shape[1]))
    if "b" in inputs:
        inputs["W_x"] = 0 * inputs["W_x"]
    inputs[name] = np.array(inputs[name])
    inputs[name][..., part * width : (part + 1) * width] = values
    return _entries(prober, inputs, width)


def _entries(prober: Prober, inputs: Inputs, width: int) -> tuple[Outputs, Outputs] | None:
    """Give the results that have one entry for each value."""
    got = prober.got(inputs)
    if got is None:
        return None
    right = prober.right(inputs)
    named = [b for b in right if right[b].size == width and not b.startswith(("dW", "dx"))]
    return {b: got[b].ravel() for b in named}, {b: right[b].ravel() for b in named}


def _one_by_one(prober: Prober, values: Array) -> tuple[Outputs, Outputs] | None:
    """Call the loss for one row with two classes, value by value."""
    pairs = [
        _entries(prober, {"logits": np.array([[v, 0.0]]), "labels": np.array([0])}, 1)
        for v in values
    ]
    if None in pairs:
        return None
    got, right = ([pair[k]["loss"] for pair in pairs if pair] for k in (0, 1))
    return {"loss": np.concatenate(got)}, {"loss": np.concatenate(right)}


def _one(respond: Respond, block: str, values: Array) -> tuple[Array, Array]:
    both = respond(values)
    if both is None:
        raise _NoAnswer
    return both[0][block], both[1][block]


# ---------------------------------------------------------------- parts of a curve


def _wrong(got: Array, right: Array) -> AnyArray:
    """Tell which entries differ by more than a check lets pass."""
    scale = float(np.max(abs(right), initial=0.0, where=np.isfinite(right)))
    return ~np.isclose(got, right, rtol=1e-5, atol=5e-6 * min(1.0, scale), equal_nan=True)


def _wrong_parts(
    variable: str, values: Array, curve: Callable[[Array], tuple[Array, Array]]
) -> Iterator[_Curve]:
    """Find where a curve is wrong, and nothing where it is wrong throughout."""
    got, right = curve(values)
    wrong = _wrong(got, right)
    telling = wrong | (abs(right) > 1e-9)
    values, got, right, wrong = (one[telling] for one in (values, got, right, wrong))
    if np.sum(np.logical_not(wrong)) < FEWEST:
        return
    edges = np.flatnonzero(np.diff(np.concatenate([[0], wrong, [0]])))
    for first, end in edges.reshape(-1, 2):
        low, high, like = -np.inf, np.inf, None
        if first > 0:
            low, like = _edge(curve, values[first - 1], values[first])
        if end < len(values):
            high, like = _edge(curve, values[end], values[end - 1])
        if first > 0 and end < len(values):
            like = None
        yield _Curve(variable, low, high, got[first:end], right[first:end], like)


def _edge(
    curve: Callable[[Array], tuple[Array, Array]], inside: float, outside: float
) -> tuple[float, float | None]:
    """Find where a curve goes wrong, and the value at whose right result it stays, if it does."""
    start, stop = inside, outside
    for _ in range(3):
        values = np.linspace(start, stop, 41)
        got, right = curve(values)
        k = int(np.argmax(_wrong(got, right)))
        start, stop = values[max(k - 1, 0)], values[k]
    kept = curve(np.array([outside]))[0][0]
    like = _where_right(curve, kept, 2 * inside - outside, stop)
    return float(start), like


def _where_right(
    curve: Callable[[Array], tuple[Array, Array]], kept: float, start: float, stop: float
) -> float | None:
    """Find where between two values the right result is that; None where it is nowhere."""
    for _ in range(5):
        values = np.linspace(start, stop, 41)
        right = curve(values)[1]
        k = int(np.argmin(abs(right - kept)))
        start, stop = values[max(k - 1, 0)], values[min(k + 1, 40)]
    return float(values[k]) if abs(right[k] - kept) <= 1e-5 * max(abs(kept), 1e-3) else None


# ---------------------------------------------------------------- words


def _say(parts: tuple[_Curve, ...]) -> str:
    """Put into words where a curve is wrong, and what it is there; empty where there is no rule."""
    said = [_say_part(part) for part in parts]
    return "; ".join(sorted(said)) if 0 < len(said) <= 2 and all(said) else ""


def _say_part(part: _Curve) -> str:
    name, (low, high) = part.variable, map(_short, (part.low, part.high))
    there = f"between {low} and {high}"
    if np.isinf(part.low):
        there = f"below {high}"
    elif np.isinf(part.high):
        there = f"above {low}"
    elif len(part.got) == 1:
        there = f"at {_short((part.low + part.high) / 2)}"
    if part.like is not None and _constant(part.got):
        if _round(part.got[0]):
            return f"it goes no further than {part.got[0]:g}"
        return f"{name} {there} counts as {_short(part.like)}"
    what = _what(part)
    return what and f"for {name} {there} {what}"


def _what(part: _Curve) -> str:
    """Say what a curve is where it is wrong; empty where there is no rule in it."""
    got, right = part.got, part.right
    if not np.isfinite(got).all():
        return f"it is {'nan' if np.isnan(got).any() else 'inf'}"
    if _constant(got):
        return f"it is {got[0]:.3g}{f', right {right[0]:.3g}' * (len(got) == 1)}"
    if np.allclose(got, -right):
        return "its sign is turned round"
    ratio = got[right != 0] / right[right != 0]
    if len(ratio) and _constant(ratio):
        return f"it is {ratio[0]:.3g} times the right one"
    far = got[: len(got) // 3] if np.isinf(part.low) else got[-(len(got) // 3) :]
    if len(far) > 2 and _constant(far) and np.isinf(part.low) != np.isinf(part.high):
        return f"it comes to stay at {far[0]:.3g}"
    return ""


def _constant(values: Array) -> bool:
    return bool(np.ptp(values) <= 1e-7 * np.max(abs(values)))


def _round(value: float) -> bool:
    """Return whether somebody may have written a number: it has two digits at most."""
    return abs(value - float(f"{value:.1e}")) <= 1e-9 * abs(value)


def _short(value: float) -> str:
    """Write a number in three digits, or by how little it differs from one."""
    value = np.sign(value) if 0 < 1 - abs(value) < 1e-8 else value
    if 0.9 < abs(value) < 1:
        return f"{'-' * (value < 0)}(1 - {1 - abs(value):.3g})".replace("(1 -", "1 -").rstrip(")")
    text = f"{value:.3g}"
    return "0" if abs(value) < 1e-12 else text


# ---------------------------------------------------------------- lines


def _rewritten(parts: tuple[_Curve, ...], line: Line) -> Iterator[str]:
    """Tell what becomes of the value of a line where numbers are limited, or others in places."""
    names = sorted(names_in(line.value))
    if all(part.like is not None for part in parts):
        yield from (f"(lambda {name}: {line.value})({_limited(parts, name)})" for name in names)
        yield _limited(parts, f"({line.value})")
    if all(np.isinf(part.low) or np.isinf(part.high) for part in parts):
        kept = [float(part.got[0 if np.isinf(part.low) else -1]) for part in parts]
        yield f"np.clip({line.value}, {min(kept)}, {max(kept)})"
        yield f"np.minimum({line.value}, {max(kept)})"
        yield f"np.maximum({line.value}, {min(kept)})"
    if all(map(_is_constant, parts)):
        yield from (_replaced(parts, name, line.value) for name in names)


def _limited(parts: tuple[_Curve, ...], text: str) -> str:
    for part in parts:
        text = f"np.{'minimum' if np.isinf(part.high) else 'maximum'}({text}, {part.like})"
    return text


def _replaced(parts: tuple[_Curve, ...], name: str, text: str) -> str:
    for part in parts:
        there = f"({name} > {part.low}) & ({name} < {part.high})"
        text = f"np.where({there.replace('inf', 'np.inf')}, {part.got[0]}, {text})"
    return text


def _is_constant(part: _Curve) -> bool:
    return _constant(part.got)
