"""What students and teachers get: stubs and notebooks, made from the reference solutions.

A part of the course is one file. A source notebook carries what nbgrader wants: solutions
between marks, hidden tests between marks, points; the student's notebook is the same without
what stands between the marks.
"""

import importlib.resources
import json
from collections.abc import Collection, Sequence

from npylstm.exercises.sources import helpers, solved, stub
from npylstm.exercises.tasks import PARTS, TASKS, Task
from npylstm.files import JSON

_BEGIN, _END = "    ### BEGIN SOLUTION\n", "    ### END SOLUTION\n"
_HIDDEN_SEED = 1
_TEST = """\
from npylstm.exercises import check  # here, where no other cell can replace it

result = {check})
### BEGIN HIDDEN TESTS
result = {check}, seed={seed})
### END HIDDEN TESTS
assert result.score, result
result.earned  # nbgrader gives a cell that ends with a number so many points\
"""


def _tasks(part: str, chosen: Collection[str]) -> list[Task]:
    return [task for task in TASKS.values() if task.part == part and task.name in chosen]


def _borrowed(tasks: Sequence[Task]) -> list[str]:
    """Names of the functions that some exercises need from others."""
    own = [task.name for task in tasks]
    needed = [name for task in own for name in helpers(task)]
    return [name for name in dict.fromkeys(needed) if name not in own]


def stub_file(part: str, chosen: Collection[str] = TASKS) -> str:
    """Write the Python file of a part, with the chosen functions still to be written."""
    tasks = _tasks(part, chosen)
    title = PARTS[part]
    head = f'"""{title}.\n\nCheck your answers with:  npylstm exercises check {part}.py\n"""\n'
    borrowed = [f"# Copy your {name} here: you need it below.\n" for name in _borrowed(tasks)]
    functions = [stub(task.name) for task in tasks]
    return "\n\n".join([head + "\nimport numpy as np\n", *borrowed, *functions])


def notebook(part: str, chosen: Collection[str] = TASKS, *, source: bool) -> str:
    """Write the notebook of a part: the teacher's source, or what a student gets."""
    tasks = _tasks(part, chosen)
    cells = [
        _markdown(f"{part}-title", f"# {PARTS[part]}"),
        _code(f"{part}-imports", "import numpy as np\n\nfrom npylstm.exercises import check"),
    ]
    for name in _borrowed(tasks):
        cells.append(_markdown(f"{name}-note", f"Copy your `{name}` here: you need it below."))
        if source:
            cells.append(_code(f"{name}-copy", _marked(name), _answer_cell(f"{name}_copy")))
        else:
            cells.append(_code(f"{name}-copy", f"# your {name}"))
    for task in tasks:
        cells += _task_cells(task, source)
    content = {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def answers() -> dict[str, str]:
    """Read the answers to the questions in the course's notebooks, by file name."""
    folder = importlib.resources.files("npylstm.exercises") / "answers"
    files = sorted(folder.iterdir(), key=lambda file: file.name)
    return {file.name: file.read_text(encoding="utf-8") for file in files}


def _task_cells(task: Task, source: bool) -> list[dict[str, JSON]]:
    """Lay out one exercise: heading, answer, a check to read; for nbgrader a test with points."""
    forward = f", {task.student_forward}" if task.student_forward else ""
    check = f'check("{task.name}", {task.name}{forward}'
    points = f"{task.points} point{'s' if task.points > 1 else ''}"
    cells = [_markdown(f"{task.name}-title", f"## {task.title} ({points})")]
    if not source:
        cells.append(_code(f"{task.name}-answer", stub(task.name).rstrip()))
        return [*cells, _code(f"{task.name}-check", check + ")")]
    test = _TEST.format(check=check, seed=_HIDDEN_SEED)
    return [
        *cells,
        _code(f"{task.name}-answer", _marked(task.name).rstrip(), _answer_cell(task.name)),
        _code(f"{task.name}-check", check + ")"),
        _code(f"{task.name}-test", test, _test_cell(task)),
    ]


def _marked(name: str) -> str:
    """Put the solution between the marks at which nbgrader cuts it out."""
    whole, head = solved(name), stub(name).rsplit("    raise", 1)[0]
    return head + _BEGIN + whole.removeprefix(head) + _END


def _markdown(cell_id: str, text: str) -> dict[str, JSON]:
    return {"cell_type": "markdown", "id": _cell_id(cell_id), "metadata": {}, "source": text}


def _code(cell_id: str, text: str, nbgrader: dict[str, JSON] | None = None) -> dict[str, JSON]:
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": _cell_id(cell_id),
        "metadata": {"nbgrader": nbgrader} if nbgrader else {},
        "outputs": [],
        "source": text,
    }


def _cell_id(text: str) -> str:
    return text.replace("_", "-")


def _answer_cell(grade_id: str) -> dict[str, JSON]:
    marks = {"grade": False, "locked": False, "solution": True, "task": False}
    return {**marks, "grade_id": grade_id, "schema_version": 3}


def _test_cell(task: Task) -> dict[str, JSON]:
    marks = {"grade": True, "locked": True, "solution": False, "task": False}
    return {**marks, "grade_id": f"test_{task.name}", "points": task.points, "schema_version": 3}
