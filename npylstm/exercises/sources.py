"""The text of the reference solutions, taken apart: signature, docstring, body.

Stubs, notebooks and planted mistakes are all made from these parts.
"""

import ast
import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from types import CodeType, FunctionType

import numpy as np

from npylstm.exercises import solutions
from npylstm.exercises.mistakes import MISTAKES, Mistake
from npylstm.exercises.tasks import Function, Value


@dataclass(frozen=True)
class Source:
    """A function's text: its first line without type hints, its docstring, its body."""

    signature: str
    docstring: str
    body: str


@cache
def source(name: str) -> Source:
    """Text of the solution of that name."""
    lines = inspect.getsource(getattr(solutions, name)).splitlines(keepends=True)
    function = ast.parse("".join(lines)).body[0]
    assert isinstance(function, ast.FunctionDef)
    docstring, first = function.body[0], function.body[1]
    arguments = ", ".join(argument.arg for argument in function.args.args)
    return Source(
        signature=f"def {name}({arguments}):\n",
        docstring="".join(lines[docstring.lineno - 1 : docstring.end_lineno]),
        body="".join(lines[first.lineno - 1 :]),
    )


@cache
def is_short(name: str) -> bool:
    """Tell whether a solution is one or two statements, which many people write alike."""
    function = ast.parse(source(name).signature + source(name).body).body[0]
    return sum(isinstance(node, ast.stmt) for node in ast.walk(function)) <= 3


@cache
def helpers(name: str) -> tuple[str, ...]:
    """Names of the other solutions that the solution of that name calls, directly or not."""
    function: FunctionType = getattr(solutions, name)
    direct = [
        other
        for other in function.__code__.co_names
        if isinstance(getattr(solutions, other, None), FunctionType)
    ]
    return tuple(dict.fromkeys([*direct, *(deep for other in direct for deep in helpers(other))]))


@dataclass(frozen=True, eq=False)
class Slip:
    """A mistake made in the function of that name."""

    function: str
    mistake: Mistake


@cache
def slips(name: str) -> tuple[Slip, ...]:
    """Return all known mistakes that can spoil an exercise: its own, then its steps' mistakes."""
    functions = [name, *helpers(name)]
    return tuple(Slip(function, m) for function in functions for m in MISTAKES.get(function, ()))


@lru_cache(maxsize=1024)
def _compile(function: str, made: tuple[Mistake, ...]) -> CodeType | None:
    """Code of one solution with mistakes made in it; None where they touch the same place."""
    body = source(function).body
    for mistake in made:
        for right, wrong in mistake.edits.items():
            if right not in body:
                return None
            body = body.replace(right, wrong, 1)
    return compile(source(function).signature + body, f"<{function}>", "exec")


def plant(name: str, made: Iterable[Slip] = ()) -> Function | None:
    """Make mistakes in the solution of that name, or in the solutions it calls.

    None where two of the mistakes want to change the same place.
    """
    namespace: dict[str, Value] = {"np": np}
    for function in (name, *helpers(name)):
        code = _compile(function, tuple(s.mistake for s in made if s.function == function))
        if code is None:
            return None
        exec(code, namespace)
    planted: Function = namespace[name]
    return planted


def stub(name: str) -> str:
    """Leave the body out: what a student gets."""
    parts = source(name)
    return parts.signature + parts.docstring + f'    raise NotImplementedError("{name}")\n'


def solved(name: str) -> str:
    """Leave the type hints out."""
    parts = source(name)
    return parts.signature + parts.docstring + parts.body
