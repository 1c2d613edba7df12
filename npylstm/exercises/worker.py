"""The process in which one submission is run and checked.

It writes what it finds as lines of JSON while it goes on, so that nothing is lost when it has to
be stopped, and says before each step what it is about to do, so that the step that ended it can be
left out in a second run.
"""

import dis
import inspect
import json
import os
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import TextIO

from npylstm.exercises.checker import check
from npylstm.exercises.limits import PackageCall
from npylstm.exercises.result import Result
from npylstm.exercises.running import Script, run_file
from npylstm.exercises.sources import is_short, plant
from npylstm.exercises.tasks import TASKS, Function
from npylstm.exercises.words import describe_error
from npylstm.files import JSON

_RUN_SHARE = 0.5
"""What part of its time a submission may spend before its answers are called."""
_ONLY_USES = (
    "A file that uses npylstm and holds no exercise is passed over: what is checked are functions "
    "that you write yourself."
)


@dataclass(frozen=True)
class Order:
    """What the worker is to do: what it reads from its standard input, as JSON.

    Parameters
    ----------
    folder : str
        The submission's copy.
    files : sequence of str
        What is to be run, as paths in that folder.
    tasks : sequence of str
        The exercises that were set.
    seed : int
    time_limit : float
        Seconds for each statement and each answer.
    total_limit : float
        Seconds for everything.
    search : str
        A second folder to import from: the student's own, when one file of several is checked.
    skip : sequence of str
        Steps that ended an earlier run, or were done in it.
    """

    folder: str
    files: Sequence[str]
    tasks: Sequence[str]
    seed: int
    time_limit: float
    total_limit: float
    search: str = ""
    skip: Sequence[str] = ()


class _Absent(ModuleType):
    """Stands in for the package and everything in it: an answer has to do without.

    A notebook imports the package for its checks. They are passed over in silence; an answer that
    calls the package is refused.
    """

    checking = False
    __path__: list[str] = []  # noqa: RUF012  (so that it counts as a package)

    def __getattr__(self, name: str) -> "_Absent":
        if name.startswith("__"):
            raise AttributeError(name)
        return _Absent(f"{self.__name__}.{name}")

    def __call__(self, *_arguments: object, **_options: object) -> "_Absent":
        if _Absent.checking:
            raise PackageCall(self.__name__)
        return self


class _Hider(MetaPathFinder, Loader):
    """Finds the stand-in wherever the package is imported."""

    def find_spec(self, name: str, _path: object, _target: object = None) -> ModuleSpec | None:
        hidden = name.partition(".")[0] == "npylstm"
        return ModuleSpec(name, self, is_package=True) if hidden else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Absent(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: there is nothing in it."""


def _hide_package() -> None:
    """Let every further import of the package find a stand-in."""
    for name in list(sys.modules):
        if name.partition(".")[0] == "npylstm":
            del sys.modules[name]
    sys.meta_path.insert(0, _Hider())


class _Tools:
    """What a verdict rests on, NumPy and Python's built-in functions, to be put back in place."""

    def __init__(self) -> None:
        self.modules = {
            name: module
            for name, module in sys.modules.items()
            if name.partition(".")[0] in ("builtins", "json", "numpy", "warnings")
        }
        self.originals = [(module, dict(vars(module))) for module in self.modules.values()]

    def restore(self) -> list[str]:
        """Undo all replacements, and name what had been replaced."""
        replaced = [n for n, module in self.modules.items() if sys.modules.get(n) is not module]
        sys.modules.update(self.modules)
        for module, original in self.originals:
            now = vars(module)
            for name, value in original.items():
                if now.get(name) is not value:
                    replaced.append(f"{module.__name__}.{name}")
                    setattr(module, name, value)
        return replaced


class _Worker:
    """One run through a submission."""

    def __init__(self, order: Order, report: TextIO) -> None:
        self.order = order
        self.report = report
        self.skip = frozenset(order.skip)
        self.begin_time = time.monotonic()
        self.tools = _Tools()
        self.dumps = json.dumps

    def write(self, **line: JSON) -> None:
        """Report something, at once: the next step may be the last."""
        self.report.write(self.dumps(line) + "\n")
        self.report.flush()

    def begin(self, step: str) -> bool:
        """Announce a step; tell whether it is to be made."""
        if step in self.skip:
            return False
        self.write(begin=step)
        return True

    def run(self) -> None:
        """Run and check all files."""
        if self.order.search:
            sys.path.append(self.order.search)
        deadline = self.begin_time + _RUN_SHARE * self.order.total_limit
        for name in self.order.files:
            path = Path(self.order.folder, name)
            sys.path.append(str(path.parent))
            _Absent.checking = False
            script = run_file(path, name, self.begin, self.order.time_limit, deadline)
            only_uses_package = self.only_uses_package(script)
            for remark in [_ONLY_USES] if only_uses_package else script.remarks:
                self.write(remark=remark)
            self.restore(name)
            _Absent.checking = True
            for task in () if only_uses_package else self.order.tasks:
                self.check(name, task, script)
            self.write(done=name)

    def only_uses_package(self, script: Script) -> bool:
        """Tell whether a file imports the package and holds no answer, as the course's notebooks.

        A function that is named like an exercise and can't take its arguments is another one.
        """
        absent = [v.__name__ for v in script.namespace.values() if isinstance(v, _Absent)]
        used = [name for name in absent if not name.startswith("npylstm.exercises")]
        if not used or script.broken.keys() & TASKS.keys():
            return False
        answers = {name: script.namespace.get(name) for name in TASKS}
        return not any(
            callable(answer)
            and not isinstance(answer, _Absent)
            and _takes(answer, len(TASKS[name].arguments))
            for name, answer in answers.items()
        )

    def restore(self, step: str) -> None:
        """Put the tools of the checker back in their place."""
        if replaced := self.tools.restore():
            self.write(
                remark=f"{step} replaced {', '.join(replaced[:5])}: put back before checking"
            )
        warnings.resetwarnings()

    def check(self, name: str, task: str, script: Script) -> None:
        """Check one answer, and report the verdict."""
        answer, points = script.namespace.get(task), TASKS[task].points
        step = f"{name}: {task}"
        written = task not in script.unwritten
        if not callable(answer):
            if task in script.broken and step not in self.skip:
                hint = f"It can't be run. {script.broken[task]}"
                self.judge(step, name, Result(task, False, 0.0, points, {}, hint))
            return
        if not self.begin(step):
            return
        forward = script.namespace.get(TASKS[task].student_forward)
        if TASKS[task].student_forward in script.unwritten or not callable(forward):
            forward = None
        if not written:
            result = Result(task, False, 0.0, points, {}, "It is not written yet.")
        else:
            result = self.verdict(task, answer, forward)
        self.restore(step)
        self.judge(step, name, result, written, written and _equals_solution(task, answer))

    def verdict(self, task: str, answer: Function, forward: Function | None) -> Result:
        """Check an answer, whatever it raises."""
        seed, time_limit = self.order.seed, self.order.time_limit
        try:
            return check(task, answer, forward, seed=seed, time_limit=time_limit)
        except BaseException as error:  # such as a KeyboardInterrupt of the answer's own
            hint = f"It raises {describe_error(error)}"
            return Result(task, False, 0.0, TASKS[task].points, {}, hint)

    def judge(
        self, step: str, file: str, result: Result, written: bool = True, copied: bool = False
    ) -> None:
        """Report a verdict."""
        self.write(step=step, file=file, result=asdict(result), written=written, copied=copied)


def _takes(function: Function, number: int) -> bool:
    """Tell whether a function can be called with so many arguments."""
    try:
        inspect.signature(function).bind(*range(number))
    except TypeError:
        return False
    except ValueError:  # a function without a signature, such as some of NumPy's
        return True
    return True


def _equals_solution(task: str, answer: object) -> bool:
    """Tell whether an answer has the code of the package's solution, names included.

    One or two statements tell nothing: there is hardly another way to write them.
    """
    solution = None if is_short(task) else plant(task)
    if not (isinstance(answer, FunctionType) and isinstance(solution, FunctionType)):
        return False
    return _instructions(answer.__code__) == _instructions(solution.__code__)


def _instructions(code: CodeType) -> list[tuple[str, object]]:
    """List what a function does; comments, docstring and type hints leave no trace in it.

    Left out is what depends on the file around it: Python looks up the functions of a module that
    the same file imports in a way of its own.
    """
    return [
        (
            one.opname.replace("LOAD_METHOD", "LOAD_ATTR"),
            _instructions(one.argval) if isinstance(one.argval, CodeType) else one.argval,
        )
        for one in dis.get_instructions(code)
        if one.opname != "PUSH_NULL" and one.opcode not in (*dis.hasjrel, *dis.hasjabs)
    ]


def work(order: Order, report: Path) -> None:
    """Do what was ordered, in this process."""
    sys.argv = ["answers"]
    os.chdir(order.folder)
    with report.open("a", encoding="utf-8") as file:
        worker = _Worker(order, file)
        _hide_package()
        worker.run()
