"""The lines of the code that compute what a page shows, taken from the source itself."""

import ast
import copy
import inspect
import textwrap
from collections.abc import Callable
from types import MethodType
from typing import Any, TypedDict

from npylstm.cells import Cell
from npylstm.sequence import backward_steps


class Code(TypedDict):
    """A piece of source: the file, the number of its first line, and its lines."""

    file: str
    line: int
    text: str


def line_of(kind: type[Cell], place: str, uses: tuple[str, ...] = ()) -> Code:
    """Return the statement of a cell's method that computes a variable.

    Parameters
    ----------
    kind : type
        The class of the cell.
    place : str
        A method, `forward` or `backward`, or `walk` for the loop over time; then the variable that
        the statement assigns, or `return`.
    uses : tuple of str
        Names that its right-hand side must hold.

    Raises
    ------
    LookupError
        There is no such statement, or more than one.
    """
    method, target = place.split()
    function = backward_steps if method == "walk" else getattr(kind, method)
    code, tree = read(function)
    statements = (node for node in ast.walk(tree) if isinstance(node, ast.stmt))
    found = [node for node in statements if _computes(node, target, set(uses))]
    if len(found) != 1:
        raise LookupError(
            f"{target} must be assigned once in {function.__qualname__} of {code['file']}, from "
            f"{', '.join(uses) or 'anything'}, but is {len(found)} times"
        )
    (statement,) = found
    lines = code["text"].splitlines()[statement.lineno - 1 : statement.end_lineno]
    text = textwrap.dedent("\n".join(lines))
    return Code(file=code["file"], line=code["line"] + statement.lineno - 1, text=text)


def read(function: Callable[..., object]) -> tuple[Code, ast.Module]:
    """Return a function's source, as far to the left as it goes, and its tree."""
    lines, number = inspect.getsourcelines(function)
    text = textwrap.dedent("".join(lines))
    module = function.__module__
    file = module.replace(".", "/") + ".py" if module.startswith("npylstm.") else module
    return Code(file=file, line=number, text=text), ast.parse(text)


def with_mistake(cell: Cell, old: str, new: str) -> Cell:
    """Return the same cell with one expression of its `backward` exchanged for another.

    Raises
    ------
    LookupError
        The expression does not occur there exactly once.
    """
    kind = type(cell)
    _, tree = read(kind.backward)
    exchange = _Exchange(ast.dump(_expression(old)), _expression(new))
    tree = ast.fix_missing_locations(exchange.visit(tree))
    if exchange.count != 1:
        raise LookupError(
            f"{old!r} must occur once in {kind.__name__}.backward, got {exchange.count} times"
        )
    namespace = dict(kind.backward.__globals__)
    exec(compile(tree, f"<{kind.__name__} with {new!r} for {old!r}>", "exec"), namespace)
    wrong = copy.copy(cell)
    object.__setattr__(wrong, "backward", MethodType(namespace["backward"], wrong))
    return wrong


class _Exchange(ast.NodeTransformer):
    """Puts one expression in place of every expression that reads like `old`."""

    def __init__(self, old: str, new: ast.expr) -> None:
        self.old, self.new, self.count = old, new, 0

    def visit(self, node: ast.AST) -> Any:  # as NodeTransformer has it
        """Exchange a node, or what is in it."""
        if isinstance(node, ast.expr) and ast.dump(node) == self.old:
            self.count += 1
            return self.new
        return self.generic_visit(node)


def _expression(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _computes(node: ast.stmt, target: str, uses: set[str]) -> bool:
    """Return whether a statement assigns `target` (or returns) from a right side with `uses`."""
    match node:
        case ast.Return(value=ast.expr() as value):
            assigned = {"return"}
        case ast.Assign(targets=targets, value=value):
            assigned = {name for part in targets for name in _names(part)}
        case ast.AnnAssign(target=part, value=ast.expr() as value):
            assigned = _names(part)
        case _:
            return False
    return target in assigned and uses <= _names(value)


def _names(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
