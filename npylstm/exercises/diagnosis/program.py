"""Running a form, as it stands or with lines changed."""

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from types import CodeType
from typing import TypeAlias

import numpy as np

from npylstm.exercises.diagnosis.functions import NAMES
from npylstm.exercises.tasks import Task, Value
from npylstm.exercises.trials import Outputs, Trial

Namespace: TypeAlias = dict[str, Value]


@dataclass(frozen=True)
class Line:
    """One line of a form: what it assigns, its place in words, the symbol of its equation."""

    number: int
    indent: str
    target: str
    value: str
    place: str
    symbol: str


def variable(label: str) -> str:
    """Name of a block in a form: dW_x_f for "dW_x[f]"."""
    return re.sub(r"\[(\w+)\]", r"_\1", label)


def names_in(code: str) -> set[str]:
    """Name the variables in an expression that are neither called nor indexed."""
    return set(re.findall(r"(?<![\w.])[a-z_]\w*(?![\w.(\[])", code))


def disturbed(value: Value) -> Value:
    """Return something else of the same kind, to see what depends on it; None where it can't."""
    if isinstance(value, tuple | list):
        return type(value)(map(disturbed, value))
    if callable(value):
        return lambda *arguments: disturbed(value(*arguments))
    if isinstance(value, np.ndarray | float) and not isinstance(value, bool):
        return value * 1.37 + 0.61
    raise TypeError


class _Reached(Exception):
    """Raised in a form at the line that was asked for."""


_STOP = """\
if "_known" in globals():
    raise _Reached
_known = set(globals())
"""


class Program:
    """A form that can be run with one of its lines changed.

    Parameters
    ----------
    text : str
        A form: one assignment a line.
    labels : iterable of str
        The blocks to read from it.
    """

    def __init__(self, text: str, labels: Iterable[str]) -> None:
        self.text = text
        self.variables = {label: variable(label) for label in labels}
        self._holes: dict[int, CodeType] = {}
        self._rights: dict[int, Outputs] = {}

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """The lines that have a place, where a slip can be made."""
        found = []
        for number, text in enumerate(self.text.splitlines()):
            match = re.fullmatch(r"( *)(.+?) = (.+?)  # (.+) \| (\S+)", text)
            if match:
                indent, target, value, place, symbol = match.groups()
                found.append(Line(number, indent, target, value, place, symbol))
        return tuple(found)

    def changed(self, line: Line, text: str) -> "Program":
        """Make the program with another text in one line."""
        texts = self.text.splitlines()
        texts[line.number] = f"{line.indent}{text}  # {line.place} | {line.symbol}"
        return Program("\n".join(texts) + "\n", self.variables)

    def run(
        self, task: Task, trial: Trial, line: Line | None = None, edit: object = ""
    ) -> Namespace:
        """Run it on the inputs of a trial, with other code in one line."""
        names: Namespace = NAMES | {name: trial.inputs[name] for name in task.arguments}
        names |= {"_edit": edit, "_disturbed": disturbed}
        exec(self._code(line), names)
        return names

    def outputs(self, names: Namespace) -> Outputs:
        """Read the results by block."""
        return {label: np.asarray(names[name]) for label, name in self.variables.items()}

    def _code(self, line: Line | None) -> CodeType:
        key = line.number if line else -1
        if key not in self._holes:
            texts = self.text.splitlines()
            if line:
                texts[key] = f"{line.indent}exec(_edit)"
            self._holes[key] = compile("\n".join(texts), "<form>", "exec")
        return self._holes[key]

    def names_at(self, task: Task, trial: Trial, line: Line) -> Namespace:
        """Tell what each name stands for when that line is reached, in a loop for the second time.

        At the last step of a sequence nothing has been carried yet, and much looks alike.
        """
        names = NAMES | {name: trial.inputs[name] for name in task.arguments}
        original = f"{line.target} = {line.value}"
        names |= {"_edit": compile(_STOP + original, "<edit>", "exec"), "_Reached": _Reached}
        with suppress(_Reached):
            exec(self._code(line), names)
        return {name: names[name] for name in names["_known"]}

    def reach(self, task: Task, trial: Trial, line: Line) -> set[str] | None:
        """Which blocks depend on that line; None where it can't be told."""
        if id(trial) not in self._rights:
            self._rights[id(trial)] = self.outputs(self.run(task, trial))
        right, target = self._rights[id(trial)], line.target
        code = f"{target} = {line.value}\n{target} = _disturbed(({target}))"
        try:
            with np.errstate(all="ignore"):
                got = self.outputs(self.run(task, trial, line, compile(code, "<edit>", "exec")))
        except Exception:  # a disturbed index or order may stop the form anywhere
            return None
        return {
            label
            for label, array in right.items()
            if array.shape != got[label].shape or not np.array_equal(array, got[label])
        }
