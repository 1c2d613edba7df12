"""Run what a student wrote: statement by statement, and on after an error.

IPython's own machinery reads notebook cells that are not plain Python (`np.tanh?`, `x = !ls`,
`%timeit`).
"""

import ast
import asyncio
import codecs
import codeop
import inspect
import json
import linecache
import re
import sys
import time
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path
from types import CodeType

from npylstm.backend import Untyped
from npylstm.exercises.limits import call_with_limit
from npylstm.exercises.tasks import Value
from npylstm.exercises.words import describe_error, printable

_DEFINITIONS = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_CONTINUES = re.compile(r"[\s#)\]}]|$|(else|elif|except|finally)\b")
_NO_IPYTHON = (
    "IPython is not installed, so the lines for it were passed over: "
    "pip install 'npylstm[notebooks]'"
)
_LATE = "It ran for so long that from then on only its imports and definitions were looked at."
_MAGICS_AROUND_CODE = re.compile(r"\s*%%(time|timeit|capture|prun)\b.*")


@dataclass
class Script:
    """What a file left behind when it was run.

    Parameters
    ----------
    namespace : dict
        Its names.
    remarks : list of str
        What went wrong, by file, cell and line.
    broken : dict of str to str
        Functions whose definition failed, and how.
    unwritten : set of str
        Functions that are still as they were handed out.
    """

    namespace: dict[str, Value]
    remarks: list[str] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    unwritten: set[str] = field(default_factory=set)

    def fail(self, place: str, trouble: str, names: list[str]) -> None:
        """Note down what went wrong at a place where these names were to be defined."""
        self.remarks.append(f"{place}: {trouble}")
        self.broken |= dict.fromkeys(names, f"{place}: {trouble}")


def run_file(
    path: Path, name: str, begin: Callable[[str], bool], time_limit: float, deadline: float
) -> Script:
    """Run a Python file or a notebook.

    Parameters
    ----------
    path : path
    name : str
        What to call it in remarks.
    begin : function of str
        Is told the place of each statement before it is run, and says whether to run it.
    time_limit : float
        Seconds for each statement.
    deadline : float
        The time, by `time.monotonic`, from which on only imports and definitions are run.
    """
    notebook = path.suffix.lower() == ".ipynb"
    script = Script({"__name__": "__main__" if notebook else "answers"})
    try:
        cells = list(_cells(path, name))
    except Exception as error:  # whatever a file may hold in place of text
        script.remarks.append(f"{name} can't be read: {describe_error(error)}")
        return script
    if notebook:
        script.namespace["display"] = lambda *_things, **_how: None
        script.namespace["get_ipython"] = partial(_shell, script)
    compiler: Untyped = codeop.Compile()  # remembers what is imported from __future__
    compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    for place, text in cells:
        text = _plain_python(text, script) if notebook else text
        linecache.cache[place] = (len(text), None, text.splitlines(keepends=True), place)
        for statement in _parse(text, place, script):
            spot = f"{place}, line {statement.lineno}"
            late = time.monotonic() > deadline and not isinstance(statement, _DEFINITIONS)
            if late and _LATE not in script.remarks:
                script.remarks.append(_LATE)
            if late or not begin(spot):
                continue
            _run_statement(statement, place, script, compiler, time_limit)
    return script


def _cells(path: Path, name: str) -> Iterator[tuple[str, str]]:
    """Yield place and text of a Python file, or of the code cells of a notebook."""
    text = _decode(path.read_bytes()).replace("\r\n", "\n").replace("\r", "\n")
    if path.suffix.lower() != ".ipynb":
        yield name, text
        return
    notebook = json.loads(text)
    sheets = [notebook] if "cells" in notebook else notebook["worksheets"]  # as before 2015
    cells = [cell for sheet in sheets for cell in sheet["cells"]]
    for number, cell in enumerate(cells, start=1):
        if cell["cell_type"] == "code":
            source = cell.get("source", cell.get("input", ""))
            yield f"{name}, cell {number}", "".join(source)


def _decode(raw: bytes) -> str:
    """Decode a source text: UTF-8, what it declares, UTF-16, or as Windows once wrote it."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return raw.decode("utf-16")
    if b"\0" in raw[:2]:
        return raw.decode("utf-16-be" if raw[0] == 0 else "utf-16-le")
    try:
        encoding, _ = tokenize.detect_encoding(BytesIO(raw).readline)
        return raw.decode(encoding)
    except (SyntaxError, UnicodeDecodeError):
        return raw.decode("latin-1")


def _plain_python(text: str, script: Script) -> str:
    """Turn IPython's extensions into Python; a text without them is left alone."""
    first, newline, rest = text.lstrip("\n").partition("\n")
    if _MAGICS_AROUND_CODE.fullmatch(first):  # the code below is to be run like any other
        text = newline + rest
    try:
        ast.parse(text)
    except (SyntaxError, ValueError):
        shell = _shell(script)
        return text if shell is None else str(shell.transform_cell(text))
    return text


def _shell(script: Script) -> Untyped:
    """Start IPython without its history and its screen; None where it is not installed."""
    try:
        from IPython.core.history import HistoryManager
        from IPython.core.interactiveshell import InteractiveShell
    except ImportError:
        if _NO_IPYTHON not in script.remarks:
            script.remarks.append(_NO_IPYTHON)
        return None

    def raise_again(*_shown: object, **_how: object) -> None:
        raise sys.exc_info()[1] or RuntimeError("an error without a name")

    history: Untyped = HistoryManager
    history.enabled = False
    shell: Untyped = InteractiveShell.instance()
    shell.user_ns = script.namespace
    shell.enable_gui = lambda _gui=None: None
    shell.showtraceback = raise_again  # errors inside `%time` and the like
    return shell


def _parse(text: str, place: str, script: Script) -> list[ast.stmt]:
    """Parse a text; leave out blocks that are not Python, so that they do not hide the others."""
    lines = text.split("\n")
    while True:
        try:
            return ast.parse("\n".join(lines)).body
        except SyntaxError as error:
            block = _block(lines, error)
            names = re.findall(r"\bdef\s+(\w+)", "\n".join(lines[block]))
            script.fail(
                f"{place}, line {error.lineno}",
                f"{type(error).__name__}: {printable(error.msg)}",
                names,
            )
            lines[block] = [""] * (block.stop - block.start)
        except (ValueError, RecursionError, MemoryError) as error:  # null bytes, endless brackets
            script.fail(place, describe_error(error), re.findall(r"\bdef\s+(\w+)", text))
            return []


def _block(lines: list[str], error: SyntaxError) -> slice:
    """Find the statement at the left margin that can't be parsed, with its decorators."""
    named = re.search(r"on line (\d+)", error.msg)  # "expected an indented block after ..."
    number = int(named[1]) if named else error.lineno or 1
    filled = [n for n, line in enumerate(lines) if line.strip()]
    number = max((n for n in filled if n < number), default=filled[0])
    starts = [n for n, line in enumerate(lines) if not _CONTINUES.match(line)]
    begin = max((n for n in starts if n <= number), default=0)
    end = min((n for n in starts if n > max(begin, number)), default=len(lines))
    while begin > 0 and lines[begin - 1].startswith("@"):
        begin -= 1
    return slice(begin, max(end, number + 1))


def _run_statement(
    statement: ast.stmt,
    place: str,
    script: Script,
    compiler: Callable[[ast.Module, str, str], CodeType],
    time_limit: float,
) -> None:
    def run() -> None:
        awaited = eval(code, script.namespace)
        if code.co_flags & inspect.CO_COROUTINE:
            asyncio.run(awaited)

    try:
        code = compiler(ast.Module([statement], []), place, "exec")
        call_with_limit(run, time_limit)
    except TimeoutError:
        trouble = f"stopped after {time_limit:g} seconds"
    except BaseException as error:  # whatever a student's file may raise, even exit()
        trouble = describe_error(error)
    else:
        if isinstance(statement, ast.FunctionDef):
            _note_function(statement, script)
        return
    name = getattr(statement, "name", "")
    script.fail(f"{place}, line {statement.lineno}", trouble, [name] if name else [])


def _note_function(function: ast.FunctionDef, script: Script) -> None:
    """Keep in mind whether a function is still the stub that was handed out."""
    script.broken.pop(function.name, None)
    unwritten = all(
        isinstance(line, ast.Pass)
        or (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
        or (isinstance(line, ast.Raise) and "NotImplementedError" in ast.unparse(line))
        for line in function.body
    )
    (script.unwritten.add if unwritten else script.unwritten.discard)(function.name)
