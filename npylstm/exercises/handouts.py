"""What students and teachers get: stubs and notebooks, made from the reference solutions.

A part of the course is one file. A source notebook carries what nbgrader wants: solutions
between marks, hidden tests between marks, points; the student's notebook is the same without
what stands between the marks.
"""

import json
from typing import Any

from npylstm.exercises.sources import helpers, solved, stub
from npylstm.exercises.tasks import PARTS, TASKS, Task

_BEGIN, _END = "    ### BEGIN SOLUTION\n", "    ### END SOLUTION\n"
_HIDDEN = "### BEGIN HIDDEN TESTS\n{}\n### END HIDDEN TESTS"
_HIDDEN_SEED = 1


def _tasks(part: str) -> list[Task]:
    return [task for task in TASKS.values() if task.part == part]


def _borrowed(part: str) -> list[str]:
    """Names of the functions that a part needs from earlier ones."""
    own = [task.name for task in _tasks(part)]
    needed = [name for task in own for name in helpers(task)]
    return [name for name in dict.fromkeys(needed) if name not in own]


def stub_file(part: str) -> str:
    """Write the Python file of one part, with every function still to be written."""
    title = PARTS[part]
    head = f'"""{title}.\n\nCheck your answers with:  npylstm exercises check {part}.py\n"""\n'
    borrowed = [f"# Copy your {name} here: you need it below.\n" for name in _borrowed(part)]
    functions = [stub(task.name) for task in _tasks(part)]
    return "\n\n".join([head + "\nimport numpy as np\n", *borrowed, *functions])


def notebook(part: str, *, source: bool) -> str:
    """Write the notebook of one part: the teacher's source, or what a student gets."""
    cells = [
        _markdown(f"{part}-title", f"# {PARTS[part]}"),
        _code(f"{part}-imports", "import numpy as np\n\nfrom npylstm.exercises import check"),
    ]
    for name in _borrowed(part):
        cells.append(_markdown(f"{name}-note", f"Copy your `{name}` here: you need it below."))
        text = _marked(name) if source else f"# your {name}"
        cells.append(_code(f"{name}-copy", text, _answer_cell(f"{name}_copy")))
    for task in _tasks(part):
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


def _task_cells(task: Task, source: bool) -> list[dict[str, Any]]:
    """Lay out one exercise: heading, answer, a check to read, a test that gives the points."""
    forward = f", {task.student_forward}" if task.student_forward else ""
    check = f'check("{task.name}", {task.name}{forward})'
    test = check + ".assert_ok()"
    if source:
        hidden = f'check("{task.name}", {task.name}{forward}, seed={_HIDDEN_SEED}).assert_ok()'
        test += "\n" + _HIDDEN.format(hidden)
    points = f"{task.points} point{'s' if task.points > 1 else ''}"
    answer = _marked(task.name) if source else stub(task.name)
    return [
        _markdown(f"{task.name}-title", f"## {task.title} ({points})"),
        _code(f"{task.name}-answer", answer.rstrip(), _answer_cell(task.name)),
        _code(f"{task.name}-check", check),
        _code(f"{task.name}-test", test, _test_cell(task)),
    ]


def _marked(name: str) -> str:
    """Put the solution between the marks at which nbgrader cuts it out."""
    whole, head = solved(name), stub(name).rsplit("    raise", 1)[0]
    return head + _BEGIN + whole.removeprefix(head) + _END


def _markdown(cell_id: str, text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": _cell_id(cell_id), "metadata": {}, "source": text}


def _code(cell_id: str, text: str, nbgrader: dict[str, Any] | None = None) -> dict[str, Any]:
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


def _answer_cell(grade_id: str) -> dict[str, Any]:
    marks = {"grade": False, "locked": False, "solution": True, "task": False}
    return {**marks, "grade_id": grade_id, "schema_version": 3}


def _test_cell(task: Task) -> dict[str, Any]:
    marks = {"grade": True, "locked": True, "solution": False, "task": False}
    return {**marks, "grade_id": f"test_{task.name}", "points": task.points, "schema_version": 3}
