"""What a submission is worth: the report, and how the lines of its worker are read."""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from npylstm.exercises.result import Result
from npylstm.exercises.tasks import PARTS, TASKS
from npylstm.exercises.words import printable, printable_lines
from npylstm.files import JSON

_MAX_REMARKS = 20


@dataclass
class Report:
    """What a submission is worth.

    Parameters
    ----------
    name : str
        The file, or the folder, that was handed in.
    results : dict of str to Result
        The exercises that were found in it.
    remarks : list of str
        What else there is to say: a file that can't be read, a process that had to be stopped.
    tasks : tuple of str
        The exercises that were set; where there are none, those that were found count.
    files : dict of str to str
        The file that each result came from.
    unwritten : tuple of str
        The exercises whose stub was left as it was.
    copied : tuple of str
        The exercises whose code equals the package's own solution.
    """

    name: str
    results: dict[str, Result] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    tasks: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    unwritten: tuple[str, ...] = ()
    copied: tuple[str, ...] = ()

    @property
    def counted(self) -> tuple[str, ...]:
        """The exercises that points are counted of, in the order of the course."""
        return tuple(name for name in TASKS if name in (self.tasks or self.results))

    @property
    def ok(self) -> bool:
        """Whether exercises were found and all that count are right."""
        return bool(self.results) and all(
            name in self.results and self.results[name].ok for name in self.counted
        )

    @property
    def points(self) -> float:
        """Points earned."""
        return sum(result.earned for result in self.results.values())

    @property
    def possible(self) -> int:
        """Points that could be earned."""
        return sum(TASKS[name].points for name in self.counted)

    @property
    def missing(self) -> list[str]:
        """The exercises that are not written yet, or not there."""
        return [name for name in self.counted if name in self.unwritten or name not in self.results]

    @property
    def next_step(self) -> str:
        """What to do next, in one line."""
        wrong = [name for name in self.counted if name in self.results and name not in self.missing]
        wrong = [name for name in wrong if not self.results[name].ok]
        if wrong:
            return f"Next: mend {wrong[0]}{self._origin(wrong[0])}."
        if self.missing:
            task = TASKS[self.missing[0]]
            return f"Next: write {task.name}, {count(task.points, 'point')}: {task.title}."
        parts = list(PARTS)
        done = max((parts.index(TASKS[name].part) for name in self.counted), default=-1)
        no_python = re.search(r"(?m)^(.+), line (\d+): \w+Error: ", "\n".join(self.remarks))
        if not self.results and no_python:
            return f"Next: mend line {no_python[2]} of {no_python[1]}."
        if not self.results:
            return "Next: `npylstm exercises start DIR` writes the stubs to begin with."
        if done + 1 < len(parts):
            return f"All of it is right. Next: part {parts[done + 1]}, {PARTS[parts[done + 1]]}."
        return "All of it is right."

    def _origin(self, name: str) -> str:
        several = len(set(self.files.values())) > 1
        return f" in {self.files[name]}" if several and name in self.files else ""

    def _share(self) -> str:
        """Say what the points are of, where that is what happens to be there."""
        absent = len(TASKS) - len(self.results)
        if self.tasks or not self.results or not absent or self.missing:
            return ""
        found = f"of the {count(len(self.results), 'exercise')} found there"
        return f" {found}; {absent} more of the course {'is' if absent == 1 else 'are'} not there"

    def __str__(self) -> str:
        shown = []
        for name in self.counted:
            if name in self.missing:
                continue
            result = self.results[name]
            first, newline, rest = (result.summary if result.ok else str(result)).partition("\n")
            shown.append(first + self._origin(name) + newline + rest)
        if not self.results:
            shown.append("No exercise was found in it.")
        elif self.missing:
            shown.append(f"Not written yet: {', '.join(self.missing)}")
        shown += [f"Note: {remark}" for remark in self.remarks]
        shown.append(f"{self.name}: {self.points:.1f} of {self.possible} points{self._share()}")
        return "\n".join([*shown, self.next_step])


def count(number: int, thing: str) -> str:
    """Put a number before a noun."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


class Findings:
    """What the workers of one submission have reported so far.

    Nothing in the lines is trusted, since the submission runs in the process that writes them.

    Parameters
    ----------
    files, tasks : sequence of str
        What there was to be checked.
    """

    def __init__(self, files: Sequence[str], tasks: Sequence[str]) -> None:
        self.files = files
        self.tasks = tasks
        self.verdicts: dict[tuple[str, str], Mapping[str, JSON]] = {}
        self.remarks: list[str] = []
        self.done: set[str] = set()
        self.step = ""

    def read(self, text: str) -> None:
        """Read the lines of one run."""
        self.step = ""
        garbled = 0
        for line in text.splitlines():
            try:
                self._read_line(json.loads(line))
            except (ValueError, TypeError, KeyError, RecursionError):
                garbled += 1
        if garbled:
            self.say(f"{count(garbled, 'line')} of the worker's report made no sense: look into it")

    def _read_line(self, line: Mapping[str, JSON]) -> None:
        if "begin" in line:
            self.step = str(line["begin"])
        elif "remark" in line:
            self.say(revive(str, line["remark"]))
        elif "done" in line:
            self.done.add(known(line["done"], self.files))
            self.step = ""
        else:
            self._read_verdict(line)

    def _read_verdict(self, line: Mapping[str, JSON]) -> None:
        file = known(line["file"], self.files)
        result = revive(Result, line["result"])
        task = known(result.name, self.tasks)
        if not (math.isfinite(result.score) and 0 <= result.score <= 1):
            raise ValueError("score")
        if result.ok != (result.score == 1) or result.points != TASKS[task].points:
            raise ValueError("ok or points")
        if (file, task) in self.verdicts:  # only one of the two can be the worker's
            self.fail(file, task, "There were two verdicts on it: look into it.")
            raise ValueError("twice")
        flags = {name: revive(bool, line[name]) for name in ("written", "copied")}
        self.verdicts[file, task] = {"result": result} | flags
        self.step = ""

    def say(self, remark: str) -> None:
        """Add a remark, once, and not without end."""
        remark = printable(remark)
        if remark not in self.remarks and len(self.remarks) <= _MAX_REMARKS:
            last = len(self.remarks) == _MAX_REMARKS
            self.remarks.append("There is more to say than fits in here." if last else remark)

    def fail(self, file: str, task: str, hint: str) -> None:
        """Give an exercise no points."""
        result = Result(task, False, 0.0, TASKS[task].points, {}, hint)
        self.verdicts[file, task] = {"result": result, "written": True, "copied": False}

    def blame(self, end: str) -> bool:
        """Hold the step that was under way responsible; tell whether there was one."""
        steps = {f"{file}: {task}": (file, task) for file in self.files for task in self.tasks}
        step = self.step
        if step in steps:
            self.fail(*steps[step], f"{end} That happened while it was called.")
        self.say(f"{step}: {end}" if step else end)
        return bool(step)

    @property
    def steps_done(self) -> list[str]:
        """The answers on which there is a verdict."""
        return [f"{file}: {task}" for file, task in self.verdicts]

    def report(self, name: str, tasks: Iterable[str]) -> Report:
        """Take the best written answer to each exercise."""
        report = Report(name, remarks=self.remarks, tasks=tuple(tasks))
        unwritten, copied = [], []
        for task in TASKS:
            found = [(v, file) for (file, one), v in self.verdicts.items() if one == task]
            if not found:
                continue
            best, file = max(found, key=lambda pair: (pair[0]["result"].score, pair[0]["written"]))
            report.results[task] = best["result"]
            report.files[task] = printable(file)
            if not best["written"]:
                unwritten.append(task)
            if best["copied"]:
                copied.append(task)
        report.unwritten, report.copied = tuple(unwritten), tuple(copied)
        return report


def known(name: object, names: Iterable[str]) -> str:
    """Return a name that is one of `names`.

    Raises
    ------
    ValueError
        If it is none of them.
    """
    for one in names:
        if one == name:
            return one
    raise ValueError(f"{name!r} is unknown")


def revive(kind: Any, value: JSON) -> Any:  # a value of type `kind`
    """Make a value of a type, such as a dataclass, from what JSON has left of it.

    Raises
    ------
    TypeError, KeyError
        If the value is of another type.
    """
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{one.name: revive(hints[one.name], value[one.name]) for one in fields(kind)})  # type: ignore[operator]
    if isinstance(kind, UnionType):
        return None if value is None else revive(get_args(kind)[0], value)
    if get_origin(kind) is dict and isinstance(value, dict):
        return {printable(key): revive(get_args(kind)[1], one) for key, one in value.items()}
    if get_origin(kind) in (tuple, list) and isinstance(value, list):
        return get_origin(kind)(revive(get_args(kind)[0], one) for one in value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise TypeError(f"expected {kind}, got {value!r}")
    return printable_lines(value) if kind is str else value
