"""The source notebooks under nbgrader: generate, validate, autograde.

Five students hand in a right, a wrong, a half right, an empty and a never-ending notebook.
"""

import csv
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import npylstm
from npylstm.exercises import TASKS
from npylstm.exercises.classroom import start
from npylstm.exercises.sources import solved

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("nbgrader") is None, reason="nbgrader is not installed"
)

PART = "activations"
POINTS = {task.name: task.points for task in TASKS.values() if task.part == PART}


def nbgrader(course, *arguments):
    root = Path(npylstm.__file__).parents[1]
    environment = os.environ | {
        "HOME": str(course),
        # nbgrader calls alembic by its bare name
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "JUPYTER_PLATFORM_DIRS": "0",
        "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")]),
    }
    command = [sys.executable, "-m", "nbgrader", *arguments]
    return subprocess.run(
        command, cwd=course, env=environment, capture_output=True, text=True, timeout=240
    )


def hand_in(course, student, change):
    """Store a student's notebook: the released one, each answer cell changed by its task's name."""
    content = json.loads((course / "release" / "ps1" / f"{PART}.ipynb").read_text())
    for cell in content["cells"]:
        task = cell["metadata"].get("nbgrader", {}).get("grade_id")
        if task in POINTS:
            cell["source"] = change(task, "".join(cell["source"]))
    folder = course / "submitted" / student / "ps1"
    folder.mkdir(parents=True)
    path = folder / f"{PART}.ipynb"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    course = tmp_path_factory.mktemp("course")
    (course / "nbgrader_config.py").write_text("get_config().CourseDirectory.course_id = 'lstm'\n")
    for path in start(course / "all", source=True):
        if path.stem == PART:
            (course / "source" / "ps1").mkdir(parents=True)
            path.rename(course / "source" / "ps1" / path.name)
    done = nbgrader(course, "generate_assignment", "ps1")
    assert done.returncode == 0, done.stderr
    return course


@pytest.fixture(scope="module")
def notebooks(course):
    def wrong(task, stub):
        """Make a mistake, and put another check in the place of ours."""
        right = "\n\nclass Right:\n    score = earned = 99\n"
        check = "\n\ndef check(*arguments, **options):\n    return Right\n"
        return solved(task).replace("t**2", "t") + right + check

    def half(task, stub):
        return solved(task).replace("dlogits / B", "dlogits")

    def endless(task, stub):
        loop = "def tanh_backward(dt, t):\n    while True:\n        pass\n"
        return loop if task == "tanh_backward" else solved(task)

    return {
        "right": hand_in(course, "right", lambda task, stub: solved(task)),
        "wrong": hand_in(course, "wrong", wrong),
        "half": hand_in(course, "half", half),
        "empty": hand_in(course, "empty", lambda task, stub: stub),
        "endless": hand_in(course, "endless", endless),
    }


def test_the_released_notebook_holds_neither_solutions_nor_hidden_tests(course):
    text = (course / "release" / "ps1" / f"{PART}.ipynb").read_text()
    assert "YOUR CODE HERE" in text
    assert "SOLUTION" not in text
    assert "HIDDEN" not in text
    assert "seed=" not in text


@pytest.mark.slow
def test_validate_tells_right_from_wrong(course, notebooks):
    assert "Success" in nbgrader(course, "validate", str(notebooks["right"])).stdout
    said = nbgrader(course, "validate", str(notebooks["wrong"])).stdout
    assert "FAILED ON 1 CELL" in said
    assert "t not squared" in said
    said = nbgrader(course, "validate", str(notebooks["empty"])).stdout
    assert f"FAILED ON {len(POINTS)} CELL" in said
    assert "not written yet" in said


@pytest.mark.slow
def test_autograde_gives_the_points(course, notebooks):
    done = nbgrader(course, "autograde", "ps1")
    assert done.returncode == 0, done.stderr
    done = nbgrader(course, "export", "--to", "grades.csv")
    assert done.returncode == 0, done.stderr
    with (course / "grades.csv").open(newline="") as file:
        scores = {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}
    total, lost = sum(POINTS.values()), POINTS["tanh_backward"]
    assert scores == {
        "right": total,
        "wrong": total - lost,
        "half": total - POINTS["softmax_cross_entropy"] / 2,
        "empty": 0,
        "endless": total - lost,
    }
