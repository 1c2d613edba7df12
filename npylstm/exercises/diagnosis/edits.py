"""Every way to get one line of a form wrong by a single slip, with the words for it."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np

from npylstm.exercises.diagnosis.functions import FAMILIES, dsigmoid, dtanh
from npylstm.exercises.diagnosis.program import Line, Namespace
from npylstm.exercises.tasks import Value

FACTORS = (
    ("1 - {w}", "one minus {w} in place of {v}", 2),
    ("{v} * {w}", "{v} multiplied with {w}", 2),
    ("{v} * (1 - {w})", "{v} multiplied with one minus {w}", 3),
    ("{v} / {w}", "{v} divided by {w}", 3),
    ("{v} / (1 - {w})", "{v} divided by one minus {w}", 3),
    ("{v} + {w}", "{w} added to {v}", 3),
)
"""What v becomes together with w."""

FUNCTIONS = (
    (
        ("1 - {v}", "one minus {v} in place of {v}", 1),
        ("{v}**2", "{v} squared", 1),
        ("2 * {v}", "{v} counted twice", 1),
        ("-{v}", "sign of {v}", 1),
        ("0.5 * {v}", "{v} halved", 2),
        ("abs({v})", "absolute value of {v}", 1),
        ("np.tanh({v})", "tanh of {v} in place of {v}", 1),
        ("sigmoid({v})", "sigmoid of {v} in place of {v}", 1),
        ("dtanh(np.tanh({v}))", "slope of tanh at {v} in place of {v}", 2),
        ("dtanh({v})", "slope 1 - v² of {v} in place of {v}", 2),
        ("dsigmoid({v})", "slope of {v} in place of {v}", 2),
        ("(1.0 + 0 * {v})", "{v} missing", 1),
        ("(0 * {v})", "zero in place of {v}", 2),
        ("np.sqrt(abs({v}))", "root of {v}", 2),
        ("np.trunc({v})", "{v} truncated to whole numbers", 2),
        ("1 / {v}", "divided by {v}, not multiplied", 2),
        ("(1 + {v})", "one added to {v}", 2),
    ),
    (
        ("(0 * {v} + {v}.sum())", "sum of {v} in place of each entry", 2),
        ("(0 * {v} + {v}.mean())", "mean of {v} in place of each entry", 2),
        ("np.roll({v}, 1, axis=-1)", "{v} shifted by one column", 2),
        ("{v}[..., ::-1]", "columns of {v} in reverse order", 2),
    ),
    (
        ("(0 * {v} + {v}.sum(axis=-1, keepdims=True))", "sum of each row of {v}", 2),
        ("(0 * {v} + {v}.mean(axis=-1, keepdims=True))", "mean of each row of {v}", 2),
        ("np.roll({v}, 1, axis=0)", "row before in {v}", 2),
        ("np.concatenate([0 * {v}[:1], {v}[:-1]])", "row before in {v}, zero at the first", 2),
        ("np.roll({v}, -1, axis=0)", "next row in {v}", 2),
        ("{v}[::-1]", "rows of {v} in reverse order", 2),
        ("(0 * {v} + {v}[0])", "first row of {v} used for every row", 2),
        ("(0 * {v} + {v}[-1])", "last row of {v} used for every row", 2),
        ("(0 * {v} + {v}.mean(axis=0))", "mean of the rows of {v} used for every row", 2),
        ("(0 * {v} + {v}.sum(axis=0))", "sum of the rows of {v} used for every row", 2),
    ),
)
"""What may become of v: of anything, of what has columns, of what has rows."""


SUMS = {"dh": ("dh_own", "dh_next"), "dc_met": ("dc", "dc_h"), "dc_t": ("dc", "dc_h")}
"""The terms of a sum that a form names, where its factors come later."""

VAGUE = "another quantity than the one that belongs there"
"""What is said of a slip where its words would say nothing."""


@dataclass(frozen=True)
class Edit:
    """Another text for a line, and what the slip is.

    Parameters
    ----------
    line : Line
    text : str
        What stands in the line instead.
    words : str
        The kind of the slip.
    cost : int
        How far-fetched it is: of two with the same numbers, the cheaper one is told.
    """

    line: Line
    text: str
    words: str
    cost: int


def edits(line: Line, names: Namespace, spoken: dict[str, str]) -> Iterator[Edit]:
    """Make every slip in a line.

    Parameters
    ----------
    line : Line
    names : dict
        What each name stands for at that line.
    spoken : dict of str to str
        What a name is called in a report, where it is called otherwise.
    """
    seen = {f"{line.target} = {line.value}"}
    for text, words, cost in _texts(line, names, spoken):
        if text not in seen:
            seen.add(text)
            yield Edit(line, text, words if says_something(words, line) else VAGUE, cost)


def says_something(words: str, line: Line) -> bool:
    """Whether words name two different things, neither of them the result itself."""
    for between in (" in place of ", " added to ", " multiplied with ", " divided by "):
        one, found, other = words.partition(between)
        if found and (one == other or line.place in (one, other)):
            return False
    return True


def _texts(line: Line, names: Namespace, spoken: dict[str, str]) -> Iterator[tuple[str, str, int]]:
    tree = ast.parse(line.value, mode="eval").body
    if isinstance(tree, ast.Tuple):
        yield from _orders(line, tree, names)
        return
    for value, words, cost in _values(line.value, tree, names, spoken):
        yield f"{line.target} = {value}", words, cost
    if "," not in line.target:
        yield from _whole(line, names, spoken)


def _orders(line: Line, tree: ast.Tuple, names: Namespace) -> Iterator[tuple[str, str, int]]:
    """Exchange the parts of a line that takes several things in order."""
    parts = [ast.unparse(part) for part in tree.elts]
    same = all(_shape(names, part) == _shape(names, parts[0]) for part in parts)
    for order in permutations(parts) if len(parts) <= 4 else _exchanges(parts):
        if list(order) != parts and (same or _fit(order, parts, names)):
            text = ", ".join(order)
            words = f"taken in the order {', '.join(p.removeprefix('dz_') for p in order)}"
            yield f"{line.target} = {text}", words, 1
    for k, part in enumerate(parts):
        for other in parts:
            if other != part and _shape(names, other) == _shape(names, part):
                order = (*parts[:k], other, *parts[k + 1 :])
                words = f"{other} in place of {part} throughout"
                yield f"{line.target} = {', '.join(order)}", words, 1


def _exchanges(parts: list[str]) -> Iterator[tuple[str, ...]]:
    for first, second in combinations(range(len(parts)), 2):
        order = list(parts)
        order[first], order[second] = parts[second], parts[first]
        yield tuple(order)


def _shape(names: Namespace, name: str) -> tuple[int, ...]:
    return np.shape(names.get(name, 0))


def _fit(order: tuple[str, ...], parts: list[str], names: Namespace) -> bool:
    pairs = zip(order, parts, strict=True)
    return all(_shape(names, a) == _shape(names, b) for a, b in pairs)


def _values(
    source: str, tree: ast.expr, names: Namespace, spoken: dict[str, str]
) -> Iterator[tuple[str, str, int]]:
    """Change one part of an expression."""
    for node in ast.walk(tree):
        start, end = node.col_offset if hasattr(node, "col_offset") else 0, 0
        if not isinstance(node, ast.expr):
            continue
        start, end = node.col_offset, node.end_col_offset or 0
        for text, words, cost in _node(node, source, names, spoken):
            yield f"{source[:start]}({text}){source[end:]}", words, cost


def _node(
    node: ast.expr, source: str, names: Namespace, spoken: dict[str, str]
) -> Iterator[tuple[str, str, int]]:
    if isinstance(node, ast.Name):
        yield from _name(node.id, names, spoken)
    elif isinstance(node, ast.Attribute) and ast.unparse(node) == "np.tanh":
        yield from _variants(np.tanh)
    elif isinstance(node, ast.BinOp):
        yield from _operation(node, source, names, spoken)
    elif isinstance(node, ast.Call):
        yield from _call(node, source, names, spoken)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield from _constant(node.value, names, spoken)
    elif isinstance(node, ast.Compare):
        yield f"not ({ast.unparse(node)})", "condition turned round", 1
        yield "True", "condition always true", 2
        yield "False", "condition never true", 2


def _variants(function: Value) -> Iterator[tuple[str, str, int]]:
    for key, (other, words) in FAMILIES.get(function, {}).items():
        if other is not function:
            yield f"{key}_", words, 0


def _name(name: str, names: Namespace, spoken: dict[str, str]) -> Iterator[tuple[str, str, int]]:
    """Put another name, or a function of the same one, in place of a name."""
    value, said = names.get(name), spoken.get(name, name)
    if callable(value):
        yield from _variants(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield f"{name} - 1", f"one less than {said}", 1
        yield f"{name} + 1", f"one more than {said}", 1
    elif isinstance(value, np.ndarray | float):
        yield from _others(name, names, spoken)
        square = len(set(np.shape(value))) == 1
        for axes, functions in enumerate(FUNCTIONS):
            if np.ndim(value) >= axes:
                for text, words, cost in functions:
                    yield text.format(v=name), words.format(v=said), cost
        if np.ndim(value) == 2 and square:
            yield f"{name}.T", f"{said} transposed", 1


def _others(name: str, names: Namespace, spoken: dict[str, str]) -> Iterator[tuple[str, str, int]]:
    """Put another name in place of one, or join it to that one."""
    value, said = names[name], spoken.get(name, name)
    for other in _alike(value, names):
        kind = _is_gradient(other) != _is_gradient(name)
        cost = 2 if kind else int(other in spoken)
        yield other, f"{spoken.get(other, other)} in place of {said}", cost
        if not kind:
            yield f"{name} + {other}", f"{spoken.get(other, other)} added to {said}", 2
    for other in _wider(value, names):
        yield other, f"{spoken.get(other, other)} in place of {said}", 1
    for other in _factors(value, names):
        if np.shape(names[other]) != np.shape(value):
            said_other = spoken.get(other, other)
            yield f"{other} + 0 * {name}", f"{said_other} in place of {said}", 1
        for text, words, cost in FACTORS:
            yield (
                text.format(v=name, w=other),
                words.format(v=said, w=spoken.get(other, other)),
                cost,
            )


def _alike(value: Value, names: Namespace) -> list[str]:
    """Names of other things of the same shape and other numbers."""
    shape = np.shape(value)
    return [
        other
        for other, one in names.items()
        if isinstance(one, np.ndarray | float | np.floating)
        and not other.startswith("_")
        and np.shape(one) == shape
        and not np.array_equal(one, value)
        and np.any(one)
        and np.asarray(one).dtype != bool
    ]


def _wider(value: Value, names: Namespace) -> list[str]:
    """Names of what has a number for every row where a vector has one for all, or for each entry.

    A number alone may stand for all entries of anything.
    """
    alone = np.ndim(value) == 0
    return [
        other
        for other, one in names.items()
        if isinstance(one, np.ndarray)
        and not other.startswith("_")
        and one.dtype != bool
        and (alone or (one.ndim == np.ndim(value) + 1 == 2 and one.shape[1:] == np.shape(value)))
        and not _is_gradient(other)
    ]


def _factors(value: Value, names: Namespace) -> list[str]:
    """Names of what may be multiplied with something: no gradient, of its shape or a number."""
    return [
        other
        for other, one in names.items()
        if isinstance(one, np.ndarray | float)
        and np.asarray(one).dtype != bool
        and not other.startswith("_")
        and not _is_gradient(other)
        and np.shape(one) in (*_shapes_beside(np.shape(value)), ())
    ]


def _shapes_beside(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Shapes that fit beside a shape: its own, that of a row of it, one number for each row."""
    yield from (shape, shape[-1:])
    if len(shape) == 2:
        yield shape[0], 1


def _is_gradient(name: str) -> bool:
    """Return whether a name is one of those that a gradient is linear in."""
    return name.startswith("d") and name != "decay"


def _speak(node: ast.expr, spoken: dict[str, str]) -> str:
    """Put a short expression into the words of a report."""

    class Rename(ast.NodeTransformer):
        def visit_Name(self, name: ast.Name) -> ast.Name:
            return ast.Name(spoken.get(name.id, name.id).replace("`", ""))

    text = ast.unparse(Rename().visit(ast.parse(ast.unparse(node), mode="eval").body))
    text = re.sub(r"back\w*\((\w+), [^()]*\)", r"the part of \1", text)
    for function, said in (("np.", ""), ("dtanh", "tanh'"), ("dsigmoid", "sigmoid'")):
        text = text.replace(function, said)
    return text.replace(" + the ", " and the ")


def _called(kind: str, said: str) -> str:
    """Call something a term or a factor, unless its name tells what it is."""
    return said if said.startswith("the ") else f"{kind} {said}"


def _operation(
    node: ast.BinOp, source: str, names: Namespace, spoken: dict[str, str]
) -> Iterator[tuple[str, str, int]]:
    left, right = (ast.get_source_segment(source, part) or "" for part in (node.left, node.right))
    said_left, said_right = _speak(node.left, spoken), _speak(node.right, spoken)
    kind = "factor" if isinstance(node.op, ast.Mult | ast.Div) else "term"
    yield left, f"{_called(kind, said_right)} missing", 0
    if not isinstance(node.op, ast.Pow):
        yield right, f"{_called(kind, said_left)} missing", 0
    if isinstance(node.op, ast.Add):
        yield f"({left}) - ({right})", f"sign of {_called('the term', said_right)}", 0
        yield f"({right}) - ({left})", f"sign of {_called('the term', said_left)}", 0
        yield f"({left}) * ({right})", f"{said_left} and {said_right} multiplied, not added", 0
        yield f"(({left}) + ({right})) / 2", "terms averaged, not added", 1
        yield f"np.maximum({left}, {right})", "larger of the terms in place of their sum", 1
    if isinstance(node.op, ast.Sub):
        yield f"({right}) - ({left})", "sign of the difference", 0
        yield f"({left}) + ({right})", "plus in place of minus", 0
    if isinstance(node.op, ast.Mult) and isinstance(node.right, ast.Call):
        yield from _slope_regrouped(left, node.right, names)
    if isinstance(node.op, ast.Mult) and left in SUMS:
        yield from _joined_late(left, right, names, spoken)
    if isinstance(node.op, ast.Mult):
        yield f"({left}) + ({right})", f"{said_left} and {said_right} added, not multiplied", 0
        yield f"({left}) / ({right})", f"divided by {said_right}, not multiplied", 1
        yield f"({left}) - ({right})", f"{said_right} subtracted, not multiplied", 1
        yield from _regrouped(node, source)
    if isinstance(node.op, ast.Div):
        yield f"({left}) * ({right})", f"multiplied by {said_right}, not divided", 0
        yield f"({right}) / ({left})", "fraction upside down", 0
        yield from _regrouped(node, source)
    if isinstance(node.op, ast.Pow):
        for power, words in ((1, "not squared"), (3, "cubed"), (4, "squared twice")):
            yield f"({left}) ** {power}", f"{said_left} {words}", 0
        yield f"2 * ({left})", f"{said_left} doubled, not squared", 1
        yield f"abs({left})", f"absolute value of {said_left} in place of its square", 1


def _slope_regrouped(left: str, call: ast.Call, names: Namespace) -> Iterator[tuple[str, str, int]]:
    """Leave out the parentheses of a slope that something is multiplied with."""
    function, argument = names.get(ast.unparse(call.func)), ast.unparse(call.args[0])
    if function is dtanh:
        yield f"({left}) * 1 - {argument}**2", "parentheses missing in the slope", 0
    elif function is dsigmoid:
        yield f"({left}) * {argument} * 1 - {argument}", "parentheses missing in the slope", 0
        yield f"(({left}) + {argument}) * (1 - {argument})", "added to the slope's factor", 1
        yield f"({left}) * {argument} + (1 - {argument})", "slope's factor added", 1


def _joined_late(
    left: str, right: str, names: Namespace, spoken: dict[str, str]
) -> Iterator[tuple[str, str, int]]:
    """Join a term only after the factor that it should have met."""
    for one, other in permutations(SUMS[left]):
        if one in names and other in names:
            text = f"({one}) * ({right}) + {other}"
            yield text, f"{spoken.get(other, other)} added after this factor, not before it", 1


def _regrouped(node: ast.BinOp, source: str) -> Iterator[tuple[str, str, int]]:
    """Leave out the parentheses of a factor that is a sum."""
    op = "*" if isinstance(node.op, ast.Mult) else "/"
    for one, other, first in ((node.left, node.right, True), (node.right, node.left, False)):
        if isinstance(one, ast.BinOp) and isinstance(one.op, ast.Add | ast.Sub):
            inner = ast.unparse(one)
            rest = ast.get_source_segment(source, other) or ""
            text = f"{inner} {op} ({rest})" if first else f"({rest}) {op} {inner}"
            yield text, "parentheses missing around a sum", 0
    if isinstance(node.right, ast.BinOp) and isinstance(node.right.op, ast.Mult | ast.Div):
        left = ast.get_source_segment(source, node.left) or ""
        yield f"({left}) {op} {ast.unparse(node.right)}", "parentheses missing", 0


def _call(
    node: ast.Call, source: str, names: Namespace, spoken: dict[str, str]
) -> Iterator[tuple[str, str, int]]:
    arguments = [ast.get_source_segment(source, part) or "" for part in node.args]
    if len(arguments) == 1:
        name = _speak(node.func, spoken)
        yield arguments[0], f"{name} missing", 1
    if len(arguments) == 1 and names.get(ast.unparse(node.func)) is dsigmoid:
        s = arguments[0]
        for other in _alike(names.get(s), names):
            said = spoken.get(other, other)
            yield f"{s} * (1 - {other})", f"{said} in place of {s} in the second factor", 0
            yield f"{other} * (1 - {s})", f"{said} in place of {s} in the first factor", 0
    if len(arguments) == 2:
        function = ast.unparse(node.func)
        yield f"{function}({arguments[1]}, {arguments[0]})", "arguments exchanged", 2


def _constant(
    value: float, names: Namespace, spoken: dict[str, str]
) -> Iterator[tuple[str, str, int]]:
    for other in (value + 1, value - 1, 2 * value, value / 2, -value):
        yield repr(other), f"{other:g} in place of {value:g}", 1
    for name, one in names.items():
        if isinstance(one, float) and not name.startswith("_"):
            yield name, f"{spoken.get(name, name)} in place of {value:g}", 1


def _whole(line: Line, names: Namespace, spoken: dict[str, str]) -> Iterator[tuple[str, str, int]]:
    """Put a factor or a term too many, or something else in place of everything."""
    scope = dict(names)
    try:
        exec(f"{line.target} = {line.value}", scope)
        value = scope[line.target]
    except Exception:  # what is stored into a list or a dict has no name of its own
        return
    if not isinstance(value, np.ndarray | float | np.floating) or isinstance(value, bool):
        return
    target, source = line.target, f"({line.value})"
    for other in _alike(value, names):
        said = spoken.get(other, other)
        yield f"{target} = {other}", f"{said} in place of the right quantity", 2
        yield f"{target} = dsigmoid({other})", f"slope of {said} in place of the right quantity", 3
        if _is_gradient(other) or not _is_gradient(target):
            yield f"{target} = {source} + {other}", f"term {said} too many", 3
            yield f"{target} = {source} - {other}", f"term {said} subtracted", 3
        if not _is_gradient(other):
            yield f"{target} = {source} * {other}", f"factor {said} too many", 3
            yield f"{target} = {source} * (1 - {other})", f"factor one minus {said} too many", 3
            yield f"{target} = {source} * dtanh({other})", f"slope of tanh at {said} too many", 3
            yield f"{target} = {source} * dsigmoid({other})", f"slope of {said} too many", 3
            yield f"{target} = {source} / {other}", f"divided by {said}", 3
    for name in ("B", "T", "K"):
        if isinstance(names.get(name), int):
            yield f"{target} = {source} / {name}", f"divided by {name}", 1
            yield f"{target} = {source} * {name}", f"multiplied by {name}", 1
    for factor, words in (
        ("2 *", "counted twice"),
        ("0.5 *", "halved"),
        ("-", "sign"),
        ("1 +", "one added"),
        ("1 -", "one minus it"),
        ("0 *", "zero"),
    ):
        yield f"{target} = {factor} {source}", words, 2
    for call, words in (
        ("np.tanh", "tanh too many"),
        ("sigmoid", "sigmoid too many"),
        ("dsigmoid", "slope of the sigmoid in place of the value"),
        ("dtanh", "slope of tanh in place of the value"),
        ("np.square", "squared"),
        ("abs", "absolute value"),
        ("np.exp", "exponential too many"),
        ("np.trunc", "truncated to whole numbers"),
    ):
        yield f"{target} = {call}({source})", words, 2
