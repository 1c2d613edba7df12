"""The teacher's side: handing out, checking files, grading folders."""

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from npylstm.exercises import TASKS, processes
from npylstm.exercises.classroom import check_file, grade, overview, start
from npylstm.exercises.handouts import notebook, stub_file
from npylstm.exercises.sources import solved, source
from npylstm.exercises.tasks import PARTS

RIGHT_SIGMOID = "import numpy as np\n\n\n" + solved("sigmoid")


def answers(*names):
    return "import numpy as np\n\n\n" + "\n\n".join(map(solved, names))


def as_notebook(*cells):
    return json.dumps(
        {"cells": [{"cell_type": "code", "source": cell} for cell in cells], "nbformat": 4}
    )


# ---------------------------------------------------------------- handing out


def test_the_overview_lists_every_exercise_with_its_points():
    text = overview()
    for task in TASKS.values():
        assert f"{task.points} pt  {task.name}({', '.join(task.arguments)})" in text
    assert all(title in text for title in PARTS.values())


def test_start_writes_a_stub_and_a_notebook_for_every_part(tmp_path):
    written = start(tmp_path / "course" / "exercises")
    assert sorted(path.name for path in written) == sorted(
        [f"{part}.py" for part in PARTS] + [f"{part}.ipynb" for part in PARTS]
    )
    assert all(path.exists() for path in written)


def test_start_writes_source_notebooks_for_teachers(tmp_path):
    written = start(tmp_path / "lstm", source=True)
    notebooks = [path for path in written if path.parent.name == "lstm"]
    assert {path.suffix for path in notebooks} == {".ipynb"}
    assert len(notebooks) == len(PARTS)
    assert all("BEGIN SOLUTION" in path.read_text(encoding="utf-8") for path in notebooks)
    answers = set(written) - set(notebooks)
    assert {path.parent for path in answers} == {tmp_path / "lstm-answers"}  # not for nbgrader


def test_start_overwrites_nothing(tmp_path):
    mine = tmp_path / "rnn.py"
    mine.write_text("my answers")
    with pytest.raises(FileExistsError, match=r"folder: .*rnn\.py exists already"):
        start(tmp_path)
    assert mine.read_text() == "my answers"
    assert list(tmp_path.iterdir()) == [mine]


@pytest.mark.parametrize("part", PARTS)
def test_stubs_hold_every_exercise_and_no_solution(part, tmp_path):
    text = stub_file(part)
    compile(text, part, "exec")
    for task in TASKS.values():
        assert (f"def {task.name}(" in text) == (task.part == part)
        assert source(task.name).body not in text
    assert "return" not in [line.strip().split(" ")[0] for line in text.splitlines()]


@pytest.mark.parametrize("part", PARTS)
def test_student_notebooks_hold_no_solution_and_no_hidden_test(part):
    text = notebook(part, source=False)
    assert "SOLUTION" not in text
    assert "HIDDEN" not in text
    cells = json.loads(text)["cells"]
    assert not any(cell.get("outputs") for cell in cells)
    code = "\n".join(cell["source"] for cell in cells if cell["cell_type"] == "code")
    assert not any(line.strip().startswith("return") for line in code.splitlines())


@pytest.mark.parametrize("part", PARTS)
def test_notebooks_are_valid_and_carry_the_points(part):
    nbformat = pytest.importorskip("nbformat")
    for is_source in (True, False):
        content = nbformat.reads(notebook(part, source=is_source), as_version=4)
        nbformat.validate(content)
        marks = [cell.metadata.get("nbgrader") for cell in content.cells]
        graded = {m["grade_id"]: m["points"] for m in marks if m and m["grade"]}
        expected = {f"test_{t.name}": t.points for t in TASKS.values() if t.part == part}
        if not is_source:  # a student's notebook has no cells that only nbgrader understands
            expected = {}
        assert graded == expected


def test_borrowed_functions_are_asked_for_where_they_are_needed():
    assert "Copy your sigmoid here" in stub_file("lstm")
    assert "Copy your `sigmoid` here" in notebook("lstm", source=False)
    assert "Copy your" not in stub_file("rnn") + stub_file("training")


# ---------------------------------------------------------------- checking a file


@pytest.mark.parametrize("part", PARTS)
def test_source_notebooks_pass_their_own_check(part, tmp_path):
    path = tmp_path / f"{part}.ipynb"
    path.write_text(notebook(part, source=True), encoding="utf-8")
    report = check_file(path)
    assert report.ok, str(report)
    assert {task.name for task in TASKS.values() if task.part == part} <= report.results.keys()
    assert report.remarks == []


def test_stubs_are_reported_as_not_written(tmp_path):
    start(tmp_path)
    report = check_file(tmp_path / "rnn.py")
    assert not report.ok
    assert report.points == 0
    assert all("not written yet" in result.hint for result in report.results.values())
    assert str(report).splitlines()[-2] == "rnn.py: 0.0 of 7 points"


def test_a_file_is_checked_task_by_task_with_its_own_forward_functions(tmp_path):
    path = tmp_path / "lstm.py"
    text = answers("sigmoid", "lstm_cell_forward", "lstm_cell_backward")
    path.write_text(text.replace("c = f * c_prev + i * g\n    h =", "c = i * g\n    h ="))
    report = check_file(path)
    assert report.results["sigmoid"].ok
    assert report.results["lstm_cell_forward"].mistakes == ("previous cell state missing",)
    assert "your lstm_cell_forward" in report.results["lstm_cell_backward"].hint
    assert "lstm_backward" not in report.results


def test_a_mistake_in_a_file_is_named(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(answers("tanh_backward").replace("t**2", "t"))
    assert check_file(path).results["tanh_backward"].mistakes == ("t not squared",)


def test_a_notebook_is_checked_without_its_magics_and_outputs(tmp_path):
    path = tmp_path / "mine.ipynb"
    path.write_text(as_notebook("%matplotlib inline\n!ls\nimport numpy as np", solved("sigmoid")))
    assert check_file(path).ok


def test_a_file_is_run_as_a_module_and_an_endless_loop_in_it_is_stopped(tmp_path):
    path = tmp_path / "mine.py"
    trace = tmp_path / "trace"
    path.write_text(
        RIGHT_SIGMOID + "\n\nfor _ in iter(int, 1):\n    pass\n"
        f"if __name__ == '__main__':\n    open({str(trace)!r}, 'w')\n"
    )
    report = check_file(path, time_limit=1)
    assert report.ok
    assert "stopped after 1 seconds" in report.remarks[0]
    assert not trace.exists()


def test_one_bad_line_does_not_hide_the_other_answers(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("import no_such_module\nx = 1 / 0\n" + RIGHT_SIGMOID)
    report = check_file(path)
    assert report.ok
    assert [remark.split(": ")[1] for remark in report.remarks] == [
        "ModuleNotFoundError",
        "ZeroDivisionError",
    ]


def test_a_syntax_error_is_reported_with_its_line(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("x = 1\ndef f(:\n")
    report = check_file(path)
    assert not report.ok
    assert "line 2" in report.remarks[0]
    assert "No exercise was found" in str(report)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"{}", b"[1]", b"not json"])
def test_a_notebook_that_is_none_is_reported(tmp_path, content):
    path = tmp_path / "mine.ipynb"
    path.write_bytes(content)
    report = check_file(path)
    assert not report.ok
    assert "can't be read" in report.remarks[0]


def test_a_file_can_import_its_neighbour(tmp_path):
    (tmp_path / "activations_of_mine.py").write_text(RIGHT_SIGMOID)
    path = tmp_path / "lstm.py"
    path.write_text("from activations_of_mine import sigmoid\n" + answers("lstm_cell_forward"))
    assert check_file(path).results["lstm_cell_forward"].ok


def test_an_error_in_a_notebook_is_shown_with_its_line(tmp_path):
    path = tmp_path / "mine.ipynb"
    path.write_text(as_notebook("y = 1", "def sigmoid(z):\n    return z.nothing"))
    assert "line 2, return z.nothing" in check_file(path).results["sigmoid"].hint


@pytest.mark.parametrize(
    "text",
    [
        "from npylstm.exercises.solutions import sigmoid",
        "import npylstm.exercises.solutions as s\ndef sigmoid(z):\n    return s.sigmoid(z)",
        "def sigmoid(z):\n    import npylstm.exercises.solutions as s\n    return s.sigmoid(z)",
        "import importlib\nimport inspect\n"
        "solutions = importlib.import_module('npylstm.exercises.solutions')\n"
        "_ = exec(inspect.getsource(solutions.sigmoid))",
        "try:\n    from npylstm.exercises.solutions import sigmoid\nfinally:\n    pass",
    ],
)
def test_a_file_can_not_pass_with_the_functions_of_the_package(tmp_path, text):
    path = tmp_path / "mine.py"
    path.write_text(text)
    report = check_file(path)
    assert not report.ok
    assert report.points == 0


def test_an_endless_answer_costs_only_its_own_points(tmp_path):
    path = tmp_path / "mine.py"
    endless = "\ndef sigmoid_backward(ds, s):\n    while True:\n        pass\n"
    path.write_text(RIGHT_SIGMOID + endless + answers("tanh_backward"))
    report = check_file(path, time_limit=0.5)
    assert report.results["sigmoid"].ok
    assert "stopped after 0.5 seconds" in report.results["sigmoid_backward"].hint
    assert report.results["tanh_backward"].ok


def test_an_endless_definition_is_stopped(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("def f():\n    while True:\n        pass\nx = f()\n" + RIGHT_SIGMOID)
    report = check_file(path, time_limit=0.5)
    assert report.ok
    assert "stopped after 0.5 seconds" in report.remarks[0]


@pytest.mark.parametrize(
    ("time_limit", "total_limit", "seconds"), [(4, 3, 3), (0.25, 20, 2)], ids=["total", "silence"]
)
def test_a_process_that_can_not_be_stopped_from_inside_is_killed(
    time_limit, total_limit, seconds, tmp_path
):
    path = tmp_path / "mine.py"
    endless = "def tanh_backward(dt, t):\n    return re.match('(a+)+$', 'a' * 60 + 'b')\n"
    path.write_text("import re\n" + RIGHT_SIGMOID + endless)
    begin = time.monotonic()
    report = check_file(path, time_limit=time_limit, total_limit=total_limit)
    assert time.monotonic() - begin < 120  # the expression takes longer than anybody lives
    assert report.results["sigmoid"].ok
    assert not report.results["tanh_backward"].ok
    assert f"stopped after {seconds} seconds" in report.results["tanh_backward"].hint


def test_a_crash_keeps_what_was_found_before_it(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "import os\n" + RIGHT_SIGMOID + "\n\ndef tanh_backward(dt, t):\n    os._exit(3)\n"
    )
    report = check_file(path)
    assert report.results["sigmoid"].ok
    assert "exit code 3" in report.results["tanh_backward"].hint
    assert any("exit code 3" in remark for remark in report.remarks)


def test_what_is_no_answer_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="path: there is no file"):
        check_file(tmp_path / "nothing.py")
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ValueError, match=r"path: expected a \.py file"):
        check_file(tmp_path / "notes.txt")
    with pytest.raises(ValueError, match="holds neither"):
        check_file(tmp_path)


# ---------------------------------------------------------------- grading a folder


@pytest.fixture
def submissions(tmp_path):
    folder = tmp_path / "submissions"
    folder.mkdir()
    (folder / "right.py").write_text(answers("sigmoid", "tanh_backward"))
    wrong = answers("sigmoid", "tanh_backward").replace("t**2", "t")
    (folder / "wrong.ipynb").write_text(as_notebook(wrong), encoding="utf-8")
    (folder / "empty.py").write_text("")
    endless = "def sigmoid(z):\n    while True:\n        pass\n"
    (folder / "endless.py").write_text(endless + answers("tanh_backward"))
    (folder / "several").mkdir()
    (folder / "several" / "a.py").write_text(RIGHT_SIGMOID.replace("+ 0.5", ""))
    (folder / "several" / "b.py").write_text(answers("sigmoid", "tanh_backward"))
    (folder / "nothing in it").mkdir()
    (folder / "notes.txt").write_text("")
    (folder / ".hidden").mkdir()
    return folder


def test_grade_writes_a_row_for_every_submission(submissions, tmp_path):
    table = tmp_path / "points.csv"
    reports = grade(submissions, table, time_limit=0.5)
    with table.open(encoding="utf-8", newline="") as file:
        rows = {row["submission"]: row for row in csv.DictReader(file)}
    assert list(rows) == [report.name for report in reports]
    points = {name: row["points"] for name, row in rows.items()}
    assert points == {
        "empty.py": "0.00",
        "endless.py": "1.00",
        "notes.txt": "0.00",
        "nothing in it": "0.00",
        "right.py": "2.00",
        "several": "2.00",
        "wrong.ipynb": "1.00",
    }
    assert rows["right.py"]["of"] == str(sum(task.points for task in TASKS.values()))
    assert rows["right.py"]["sigmoid"] == "1.00"
    assert rows["right.py"]["train"] == ""
    assert rows["right.py"]["remarks"] == ""
    assert rows["wrong.ipynb"]["remarks"] == "tanh_backward: t not squared"
    assert "stopped after 0.5 seconds" in rows["endless.py"]["remarks"]
    assert "holds neither" in rows["nothing in it"]["remarks"]


def test_grade_overwrites_no_table(submissions, tmp_path):
    table = tmp_path / "points.csv"
    table.write_text("last year's")
    with pytest.raises(FileExistsError, match=r"table: .*points\.csv exists already"):
        grade(submissions, table)
    assert table.read_text() == "last year's"


def test_grade_refuses_a_folder_without_submissions(tmp_path):
    with pytest.raises(NotADirectoryError, match="folder: there is no folder"):
        grade(tmp_path / "nothing", tmp_path / "points.csv")
    with pytest.raises(ValueError, match="holds no submission"):
        grade(tmp_path, tmp_path / "points.csv")
    assert not (tmp_path / "points.csv").exists()


@pytest.mark.parametrize("error", [ProcessLookupError, PermissionError])
def test_a_group_that_is_gone_or_that_may_not_be_killed_does_no_harm(monkeypatch, error):
    def fails(*arguments):
        raise error

    monkeypatch.setattr(os, "killpg", fails, raising=False)
    processes._kill_group(1)


def test_on_windows_what_a_worker_has_started_ends_with_it(monkeypatch):
    commands = []
    monkeypatch.delattr(os, "killpg", raising=False)
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(subprocess, "run", lambda command, **options: commands.append(command))
    processes._kill_group(4711)
    assert commands == [["taskkill", "/F", "/T", "/PID", "4711"]]


def test_modules_in_the_teachers_current_folder_stay_out_of_the_way(tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    for name in ("json", "numpy", "npylstm"):
        (here / f"{name}.py").write_text("raise SystemExit('not the module that was meant')\n")
    monkeypatch.chdir(here)
    answer = tmp_path / "answer.py"
    answer.write_text(RIGHT_SIGMOID)
    assert check_file(answer).results["sigmoid"].ok


def test_notebooks_that_only_use_the_package_get_one_clear_sentence():
    report = check_file(Path(__file__).parents[1] / "notebooks", parts=["activations"])
    assert not report.results
    (remark,) = report.remarks
    assert "holds no exercise" in remark


def test_a_file_that_is_no_python_is_to_be_mended_first(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("x = 1\ny = (\n")
    report = check_file(path)
    assert report.next_step == "Next: mend line 2 of mine.py."
    assert "unknown" not in str(report)


def test_points_say_what_they_are_of_where_no_exercise_was_set(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("import numpy as np\n" + solved("sigmoid"))
    last = f"of the 1 exercise found there; {len(TASKS) - 1} more of the course are not there"
    assert last in str(check_file(path))
    assert "found there" not in str(check_file(path, tasks=["sigmoid"]))
