"""The process in which one submission is checked.

It writes what it finds as lines of JSON while it goes on, so that nothing is lost when it has to
be stopped.
"""

import ast
import json
import linecache
import sys
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from npylstm.exercises.checker import check
from npylstm.exercises.limits import call_with_limit
from npylstm.exercises.tasks import TASKS

_DEFINITIONS = (
    ast.Import,
    ast.ImportFrom,
    ast.FunctionDef,
    ast.ClassDef,
    ast.Assign,
    ast.AnnAssign,
    ast.If,
    ast.Try,
)


def _cells(path: Path) -> Iterator[tuple[str, str]]:
    """Yield name and text of a Python file, or of the code cells of a notebook."""
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix != ".ipynb":
        yield str(path), text
        return
    for number, cell in enumerate(json.loads(text)["cells"]):
        if cell["cell_type"] == "code":
            lines = "".join(cell["source"]).splitlines()
            code = "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in lines)
            yield f"{path.name}, cell {number}", code


def _imports_package(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Import):
        return any(alias.name.partition(".")[0] == "npylstm" for alias in statement.names)
    module = statement.module if isinstance(statement, ast.ImportFrom) else None
    return (module or "").partition(".")[0] == "npylstm"


def _define(path: Path, time_limit: float) -> tuple[dict[str, Any], list[str]]:
    """Run the definitions of a file one by one, so that one error does not hide the others.

    Plain imports of the package are passed over: a notebook has them for its checks.
    """
    namespace: dict[str, Any] = {"__name__": "answers"}
    remarks = []
    for name, text in _cells(path):
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        try:
            statements = ast.parse(text).body
        except SyntaxError as error:
            remarks.append(f"{name}, line {error.lineno}: {error.msg}")
            continue
        for statement in statements:
            if isinstance(statement, _DEFINITIONS) and not _imports_package(statement):
                code = compile(ast.Module([statement], []), name, "exec")
                try:
                    call_with_limit(partial(exec, code, namespace), time_limit)
                except TimeoutError:
                    trouble = f"stopped after {time_limit:g} seconds"
                except BaseException as error:  # whatever a student's file may raise, even exit()
                    trouble = f"{type(error).__name__}: {error}"
                else:
                    continue
                remarks.append(f"{name}, line {statement.lineno}: {trouble}")
    return namespace, remarks


def _check_file(path: Path, seed: int, time_limit: float, report: TextIO) -> None:
    def write(line: dict[str, Any]) -> None:
        print(json.dumps(line), file=report, flush=True)

    try:
        namespace, remarks = _define(path, time_limit)
    except (OSError, ValueError, KeyError, TypeError) as error:
        namespace, remarks = {}, [f"{path.name} can't be read: {type(error).__name__}: {error}"]
    for remark in remarks:
        write({"remark": remark})
    for task in TASKS.values():
        answer, forward = namespace.get(task.name), namespace.get(task.student_forward)
        if callable(answer):
            write({"begin": task.name})
            forward = forward if callable(forward) else None
            result = check(task.name, answer, forward, seed=seed, time_limit=time_limit)
            write({"result": asdict(result)})


def _hide_package() -> None:
    """Let every further import of the package fail: answers do without it."""
    for name in list(sys.modules):
        if name.partition(".")[0] == "npylstm":
            sys.modules[name] = None  # type: ignore[assignment]


def main() -> None:
    """Check the files named on the command line after report file, seed and time limit."""
    report, seed, time_limit, *paths = sys.argv[1:]
    sys.argv = ["answers"]
    with Path(report).open("w", encoding="utf-8") as file:
        _hide_package()
        for path in map(Path, paths):
            sys.path.append(str(path.parent))
            _check_file(path, int(seed), float(time_limit), file)
