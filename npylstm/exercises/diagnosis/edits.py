"""Every way to get one line of a form wrong by a single slip, with the words for it."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np

from npylstm.exercises.diagnosis.functions import FAMILIES, dsigmoid
from npylstm.exercises.diagnosis.program import Line, Namespace


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
            yield Edit(line, text, words, cost)


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
    for order in permutations(parts):
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
        yield from _operation(node, source, spoken)
    elif isinstance(node, ast.Call):
        yield from _call(node, source, names, spoken)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield from _constant(node.value)
    elif isinstance(node, ast.Compare):
        yield f"not ({ast.unparse(node)})", "condition turned round", 1
        yield "True", "condition always true", 2
        yield "False", "condition never true", 2


def _variants(function: Any) -> Iterator[tuple[str, str, int]]:
    for key, (other, words) in FAMILIES.get(function, {}).items():
        if other is not function:
            yield f"{key}_", words, 0


def _name(name: str, names: Namespace, spoken: dict[str, str]) -> Iterator[tuple[str, str, int]]:
    """Put another name, or a function of the same one, in place of a name."""
    value = names.get(name)
    if callable(value):
        yield from _variants(value)
        return
    if not isinstance(value, np.ndarray | float) or isinstance(value, bool):
        return
    said = spoken.get(name, name)
    for other in _alike(value, names):
        if other != name:
            kind = _is_gradient(other) != _is_gradient(name)
            cost = 2 if kind else int(other in spoken)
            yield other, f"{spoken.get(other, other)} in place of {said}", cost
            if not kind:
                yield f"{name} + {other}", f"{spoken.get(other, other)} added to {said}", 2
    yield f"1 - {name}", f"one minus {said} in place of {said}", 1
    yield f"{name}**2", f"{said} squared", 1
    yield f"2 * {name}", f"{said} counted twice", 1
    yield f"-{name}", f"sign of {said}", 1
    yield f"0.5 * {name}", f"{said} halved", 2
    yield f"abs({name})", f"absolute value of {said}", 1
    yield f"np.tanh({name})", f"tanh of {said} in place of {said}", 1
    yield f"sigmoid({name})", f"sigmoid of {said} in place of {said}", 1
    yield f"dtanh(np.tanh({name}))", f"slope of tanh at {said} in place of {said}", 2
    yield f"dtanh({name})", f"slope 1 - v² of {said} in place of {said}", 2
    yield f"dsigmoid({name})", f"slope of {said} in place of {said}", 2
    yield f"(1.0 + 0 * {name})", f"{said} missing", 1
    yield f"(0 * {name})", f"zero in place of {said}", 2
    yield f"np.sqrt(abs({name}))", f"root of {said}", 2
    yield f"1 / {name}", f"divided by {said}, not multiplied", 2
    yield f"(1 + {name})", f"one added to {said}", 2
    if np.ndim(value) == 2:
        if len(set(np.shape(value))) == 1:
            yield f"{name}.T", f"{said} transposed", 1
        yield f"np.roll({name}, 1, axis=0)", f"{said} of the row before", 2
        yield f"np.roll({name}, -1, axis=0)", f"{said} of the next row", 2
        yield f"{name}[::-1]", f"rows of {said} in reverse order", 2
        yield f"(0 * {name} + {name}[0])", f"first row of {said} used for every row", 2
        yield f"(0 * {name} + {name}[-1])", f"last row of {said} used for every row", 2
        yield f"(0 * {name} + {name}.mean(axis=0))", f"{said} averaged over the batch", 2
        yield f"(0 * {name} + {name}.sum(axis=0))", f"{said} summed over the batch", 2
    if np.ndim(value) >= 1:
        yield f"(0 * {name} + {name}.sum())", f"sum of {said} in place of each entry", 2
        yield f"(0 * {name} + {name}.mean())", f"mean of {said} in place of each entry", 2
        yield f"(0 * {name} + {name}.sum(axis=-1, keepdims=True))", f"{said} summed over units", 2
        yield f"np.roll({name}, 1, axis=-1)", f"{said} shifted by one unit", 2
        yield f"{name}[..., ::-1]", f"units of {said} in reverse order", 2


def _alike(value: Any, names: Namespace) -> list[str]:
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
    ]


def _is_gradient(name: str) -> bool:
    """Whether a name is one of those that a gradient is linear in."""
    return name.startswith("d") and name != "decay"


def _speak(node: ast.expr, spoken: dict[str, str]) -> str:
    """Put a short expression into the words of a report."""

    class Rename(ast.NodeTransformer):
        def visit_Name(self, name: ast.Name) -> ast.Name:
            return ast.Name(spoken.get(name.id, name.id).replace("`", ""))

    text = ast.unparse(Rename().visit(ast.parse(ast.unparse(node), mode="eval").body))
    return text.replace("np.", "")


def _operation(
    node: ast.BinOp, source: str, spoken: dict[str, str]
) -> Iterator[tuple[str, str, int]]:
    left, right = (ast.get_source_segment(source, part) or "" for part in (node.left, node.right))
    said_left, said_right = _speak(node.left, spoken), _speak(node.right, spoken)
    kind = "factor" if isinstance(node.op, ast.Mult | ast.Div) else "term"
    yield left, f"{kind} {said_right} missing", 0
    if not isinstance(node.op, ast.Pow):
        yield right, f"{kind} {said_left} missing", 0
    if isinstance(node.op, ast.Add):
        yield f"({left}) - ({right})", f"sign of the term {said_right}", 0
        yield f"({right}) - ({left})", f"sign of the term {said_left}", 0
        yield f"({left}) * ({right})", f"{said_left} and {said_right} multiplied, not added", 0
        yield f"(({left}) + ({right})) / 2", "terms averaged, not added", 1
        yield f"np.maximum({left}, {right})", "larger of the terms in place of their sum", 1
    if isinstance(node.op, ast.Sub):
        yield f"({right}) - ({left})", "sign of the difference", 0
        yield f"({left}) + ({right})", "plus in place of minus", 0
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


def _constant(value: float) -> Iterator[tuple[str, str, int]]:
    for other in (value + 1, value - 1, 2 * value, value / 2, -value):
        yield repr(other), f"another number in place of {value:g}", 1


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
    ):
        yield f"{target} = {call}({source})", words, 2
