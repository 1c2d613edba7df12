"""Grading a class: the table, stopped runs, several at a time, the summary, pages for students."""

import csv
import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

import npylstm
from npylstm.exercises import Summary, grade, to_json
from npylstm.exercises.grading import table_of
from npylstm.exercises.mistakes import MISTAKES
from npylstm.exercises.report import Findings, Report, revive
from npylstm.exercises.result import Block, Result
from npylstm.exercises.sources import solved
from npylstm.exercises.summary import _SHOWN
from npylstm.exercises.tasks import TASKS

IMPORT = "import numpy as np\n\n\n"
RIGHT = {name: solved(name) for name in ("sigmoid", "sigmoid_backward", "tanh_backward")}


def with_mistake(name, mistake):
    """Make a known mistake in a solution's text."""
    (made,) = (one for one in MISTAKES[name] if one.name == mistake)
    text = RIGHT[name]
    for right, wrong in made.edits.items():
        assert right in text
        text = text.replace(right, wrong, 1)
    return text


def hand_in(folder, name, **changed):
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(IMPORT + "\n\n".join((RIGHT | changed).values()))


@pytest.fixture
def class_of_three(tmp_path):
    folder = tmp_path / "class"
    hand_in(folder, "anna")
    hand_in(folder, "ben", tanh_backward=with_mistake("tanh_backward", "t not squared"))
    hand_in(folder, "cleo", sigmoid="def sigmoid(z):\n    return unknown\n")
    return folder


def rows_of(table):
    with table.open(encoding="utf-8", newline="") as file:
        return {row["submission"]: row for row in csv.DictReader(file)}


@pytest.mark.parametrize(
    ("writer", "file"),
    [
        ("matplotlib.figure.Figure.savefig", "grades.png"),
        ("pathlib.Path.write_text", "anna.py.html"),
    ],
)
def test_a_full_disk_names_the_file_that_it_has_no_room_for(tmp_path, monkeypatch, writer, file):
    def full(*_arguments, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    hand_in(tmp_path / "class", "anna")
    monkeypatch.setattr(writer, full)
    with pytest.raises(OSError, match="No space left on device") as failed:
        grade(tmp_path / "class", tmp_path / "grades.csv", feedback=tmp_path / "pages")
    assert Path(failed.value.filename).name == file


# ---------------------------------------------------------------- any size of class


class Backwards(ThreadPoolExecutor):
    """Does the last job first."""

    def __init__(self):
        super().__init__(1)
        self.jobs = []

    def submit(self, function, /, *arguments):
        future = Future()
        self.jobs.append((future, function, arguments))
        if len(self.jobs) == 3:
            for future_, function_, arguments_ in reversed(self.jobs):
                future_.set_result(function_(*arguments_))
        return future


class Broken(ThreadPoolExecutor):
    """Loses every job, as a pool does whose processes were killed."""

    def submit(self, *_arguments):
        future = Future()
        future.set_exception(RuntimeError("the pool is broken"))
        return future


def processes():
    return ProcessPoolExecutor(2, get_context("spawn"))


@pytest.mark.parametrize(
    "make",
    [
        lambda: ThreadPoolExecutor(2),
        Backwards,
        Broken,
        pytest.param(processes, marks=pytest.mark.slow),
    ],
)
def test_the_table_is_the_same_whoever_does_the_work(class_of_three, tmp_path, make):
    grade(class_of_three, tmp_path / "one.csv", parts=["activations"])
    with make() as executor:
        grade(class_of_three, tmp_path / "many.csv", parts=["activations"], executor=executor)
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "many.csv").read_bytes()
    rows = rows_of(tmp_path / "one.csv")
    assert {row["of"] for row in rows.values()} == {"5"}
    assert [row["points"] for row in rows.values()] == ["3.00", "2.00", "2.00"]


# ---------------------------------------------------------------- a run that was stopped


def test_a_stopped_run_goes_on_where_it_was(class_of_three, tmp_path):
    table = tmp_path / "grades.csv"

    def stop(done, total, name):
        assert (total, name) == (3, f"{['anna', 'ben', 'cleo'][done]}.py")
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grade(class_of_three, table, progress=stop)
    assert not table.exists()
    journal = tmp_path / "grades.csv.unfinished"
    assert journal.exists()

    with pytest.raises(FileExistsError, match="--resume"):
        grade(class_of_three, table)
    with pytest.raises(ValueError, match="other settings"):
        grade(class_of_three, table, seed=3, resume=True)

    journal.write_text(journal.read_text() + '{"key": "half a li')
    hand_in(class_of_three, "anna", sigmoid="# handed in once more")
    seen = []
    reports = grade(
        class_of_three, table, resume=True, progress=lambda done, total, name: seen.append(name)
    )
    assert seen == ["anna.py", "cleo.py"]
    assert [report.points for report in reports] == [2, 2, 2]
    assert reports[1].results["tanh_backward"].mistakes == ("t not squared",)
    assert not journal.exists()
    assert len(rows_of(table)) == 3
    with pytest.raises(FileExistsError, match="exists already"):
        grade(class_of_three, table, resume=True)


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_a_grader_that_is_killed_leaves_no_table_and_can_go_on(class_of_three, tmp_path):
    (class_of_three / "slow.py").write_text("import time\ntime.sleep(60)\n")
    table = tmp_path / "grades.csv"
    command = ["exercises", "grade", str(class_of_three), "--out", str(table), "--workers", "2"]
    root = str(Path(npylstm.__file__).parents[1])
    grader = subprocess.Popen(
        [sys.executable, "-m", "npylstm", *command],
        env=os.environ | {"PYTHONPATH": root},
        stderr=subprocess.PIPE,
        text=True,
        # A shell lets what it runs in the background ignore Ctrl-C, and its children, too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    journal, deadline = tmp_path / "grades.csv.unfinished", time.monotonic() + 60
    while not (journal.exists() and len(journal.read_text().splitlines()) == 4):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    grader.send_signal(signal.SIGINT)
    _, said = grader.communicate(timeout=20)
    assert grader.returncode == 130
    assert "--resume" in said
    assert not table.exists()
    (class_of_three / "slow.py").unlink()
    assert len(grade(class_of_three, table, resume=True)) == 3


# ---------------------------------------------------------------- the table, as others read it


def test_no_cell_is_taken_for_a_formula_and_every_text_is_one_line():
    hint = "\n".join(["=1+1", "second line"] * 200)
    result = Result("sigmoid", False, 0.0, 1, {}, hint)
    names = ["=cmd|' /C calc'!A0", "+1", "-1", "@x", " =x", "plain"]
    reports = [Report(name, {"sigmoid": result}, ["=2"]) for name in names]
    for row in list(csv.reader(table_of(reports, ["sigmoid"]).splitlines()))[1:]:
        assert not any(cell.lstrip().startswith(("=", "+", "-", "@")) for cell in row)
        assert all("\n" not in cell for cell in row)
        assert len(row[-1]) < 500


def test_json_holds_all_that_is_known(class_of_three, tmp_path):
    reports = grade(class_of_three, tmp_path / "grades.csv", parts=["activations"])
    content = json.loads(to_json(reports))
    assert [one["points"] for one in content["submissions"]] == [3, 2, 2]
    assert content["submissions"][0]["results"]["sigmoid"]["ok"]
    assert content["submissions"][1]["files"]["sigmoid"] == "ben.py"
    assert {(one["task"], one["mistake"]): one["submissions"] for one in content["mistakes"]} == {
        ("tanh_backward", "t not squared"): ["ben.py"],
        ("sigmoid", "stops with an error"): ["cleo.py"],
    }


def test_each_student_gets_a_page(class_of_three, tmp_path):
    (class_of_three / "<b>&.py").write_text("1 / 0\n")
    grade(class_of_three, tmp_path / "grades.csv", feedback=tmp_path / "pages")
    pages = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "pages").iterdir()}
    assert sorted(pages) == ["_b__.py.html", "anna.py.html", "ben.py.html", "cleo.py.html"]
    assert "t not squared" in pages["ben.py.html"]
    assert "2.0 of 43 points" in pages["ben.py.html"]
    assert "Next: mend tanh_backward" in pages["ben.py.html"]
    assert "&lt;b&gt;&amp;.py" in pages["_b__.py.html"]
    assert "<b>&.py" not in pages["_b__.py.html"]
    assert "ZeroDivisionError" in pages["_b__.py.html"]
    assert not any("same as the solution" in page for page in pages.values())


# ---------------------------------------------------------------- what to explain tomorrow

PLANTED = {
    ("tanh_backward", "t not squared"): 0.40,
    ("sigmoid_backward", "factor s missing"): 0.30,
    ("sigmoid", "minus in the denominator"): 0.20,
    ("sigmoid_backward", "sign of the slope"): 0.10,
}


@pytest.mark.parametrize("students", [10, pytest.param(60, marks=pytest.mark.slow)])
def test_the_summary_finds_the_planted_frequencies(tmp_path, students):
    rng = np.random.default_rng(0)
    order = rng.permutation(students)
    number = {key: round(share * students) for key, share in PLANTED.items()}
    for student in range(students):
        changed = {}
        begin = 0
        for (task, mistake), count in number.items():
            place = (order[student] + begin) % students  # every mistake is made by others
            if place < count and task not in changed:
                changed[task] = with_mistake(task, mistake)
            begin += count
        hand_in(tmp_path / "class", f"student{student:02}", **changed)
    made = {
        key: sum(with_mistake(*key) in path.read_text() for path in (tmp_path / "class").iterdir())
        for key in PLANTED
    }
    assert made == number
    with ThreadPoolExecutor(2) as executor:
        reports = grade(
            tmp_path / "class", tmp_path / "g.csv", parts=["activations"], executor=executor
        )
    summary = Summary.of(reports)
    found = {(one.task, one.mistake): len(one.submissions) for one in summary.findings}
    assert found == number
    assert [len(one.submissions) for one in summary.findings] == sorted(number.values())[::-1]
    shown = str(summary)
    assert f"{students} submissions" in shown
    for (task, mistake), count in number.items():
        assert re.search(rf"^ *{count} .*{task}: {mistake}$", shown, re.MULTILINE)
    assert (tmp_path / "g.png").read_bytes().startswith(b"\x89PNG")


def test_a_class_without_mistakes_has_nothing_to_explain(tmp_path):
    result = Result("sigmoid", True, 1.0, 1, {"s": Block(True)})
    summary = Summary.of([Report("a", {"sigmoid": result})])
    assert "nothing" in str(summary)
    summary.save(tmp_path / "picture.png")
    assert (tmp_path / "picture.png").exists()


def test_bars_are_drawn_with_what_the_terminal_has(monkeypatch):
    class Old:
        encoding = "ascii"

    monkeypatch.setattr("npylstm.exercises.summary.sys.stdout", Old)
    result = Result("sigmoid", False, 0.0, 1, {}, "", ("minus in the denominator",))
    str(Summary.of([Report("a", {"sigmoid": result})])).encode("ascii")


def test_a_long_hint_comes_out_of_the_worker_s_report_whole():
    said = "Look at every one of these words. " * 40
    assert revive(str, said) == said


def test_a_slip_without_a_name_is_counted_by_what_its_hint_says():
    said = ("Mistake at dz_f.", "Mistake at dz_f: i in place of f. And more.", "and 3 more")
    slip = Result("sigmoid", False, 0.5, 1, {"s": Block(False)}, said[0], hints=said)
    other = Result("sigmoid", False, 0.5, 1, {"s": Block(False)}, "Not explained. It is 1.25.")
    reports = [Report("anna", {"sigmoid": slip}), Report("ben", {"sigmoid": other})]
    mistakes = {finding.mistake for finding in Summary.of(reports).findings}
    assert mistakes == {"dz_f: i in place of f", "Not explained"}


def wrong(*mistakes):
    return Result("sigmoid", False, 0.0, 1, {}, "", mistakes)


def test_a_mistake_made_twice_by_one_student_counts_once_and_a_stub_is_none():
    reports = [
        Report("anna", {"sigmoid": wrong("a sign", "a sign")}),
        Report("ben", {"sigmoid": wrong("no line")}, unwritten=("sigmoid",)),
    ]
    findings = Summary.of(reports).findings
    assert [(one.mistake, one.submissions) for one in findings] == [("a sign", ("anna",))]


def test_a_rare_mistake_has_a_bar_too_and_those_left_out_are_counted():
    reports = [Report(f"s{k}", {"sigmoid": wrong("often")}) for k in range(100)]
    rare = [f"rare {k:02}" for k in range(_SHOWN + 1)]
    reports.append(Report("last", {"sigmoid": wrong(*rare)}))
    _, *lines, rest = str(Summary.of(reports)).splitlines()
    assert len(lines) == _SHOWN
    assert all(re.search(r"\d  [█#]", line) for line in lines)
    assert rest.strip() == "and 2 rarer mistakes"


def verdict(file, score):
    result = Result("sigmoid", score == 1, score, TASKS["sigmoid"].points, {}, "")
    return json.dumps({"file": file, "result": asdict(result), "written": True, "copied": False})


@pytest.mark.parametrize("score", [1.5, -0.5, float("inf"), float("nan")])
def test_a_score_that_is_none_counts_nothing(score):
    findings = Findings(["a.py"], ["sigmoid"])
    findings.read(verdict("a.py", score))
    assert not findings.verdicts
    assert "made no sense" in findings.remarks[0]


@pytest.mark.parametrize("scores", [{"a.py": 0.5, "b.py": 1.0}, {"a.py": 1.0, "b.py": 0.5}])
def test_the_better_of_two_written_answers_counts_in_either_order(scores):
    findings = Findings(list(scores), ["sigmoid"])
    for file, score in scores.items():
        findings.read(verdict(file, score))
    report = findings.report("anna", ["sigmoid"])
    assert report.results["sigmoid"].score == 1
    assert scores[report.files["sigmoid"]] == 1
