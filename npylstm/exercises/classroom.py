"""The teacher's side: hand out the exercises, check a file, grade a folder."""

import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from npylstm.exercises.handouts import notebook, stub_file
from npylstm.exercises.result import Block, Result
from npylstm.exercises.tasks import PARTS, TASKS

GRADING_SEED = 2
SUFFIXES = (".py", ".ipynb")

_WORKER = f"""\
import sys
sys.path.append({str(Path(__file__).parents[2])!r})
from npylstm.exercises.worker import main
main()
"""


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
    """

    name: str
    results: dict[str, Result] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether exercises were found and all of them are right."""
        return bool(self.results) and all(result.ok for result in self.results.values())

    @property
    def points(self) -> float:
        """Points earned."""
        return sum(result.score * result.points for result in self.results.values())

    def __str__(self) -> str:
        possible = sum(result.points for result in self.results.values())
        shown = [result.summary if result.ok else str(result) for result in self.results.values()]
        found = "\n".join(shown) or "No exercise was found in it."
        remarks = "".join(f"\nNote: {remark}" for remark in self.remarks)
        return f"{found}{remarks}\n{self.name}: {self.points:.1f} of {possible} points"


def overview() -> str:
    """List the exercises, part by part."""
    lines = []
    for part, title in PARTS.items():
        lines.append(f"{part}: {title}")
        for task in TASKS.values():
            if task.part == part:
                call = f"{task.name}({', '.join(task.arguments)})"
                lines.append(f"  {task.points} pt  {call}\n        {task.title}")
    return "\n".join(lines)


def start(folder: str | Path, *, source: bool = False) -> list[Path]:
    """Write the stubs and notebooks of all parts into a folder.

    Parameters
    ----------
    folder : path
        Is made if need be.
    source : bool
        Write a teacher's source notebooks, with solutions, hidden tests and points for nbgrader,
        instead of what students get.

    Returns
    -------
    list of Path
        The files that were written.

    Raises
    ------
    FileExistsError
        If one of the files is there already; then none is written.
    """
    folder = Path(folder)
    texts = {folder / f"{part}.ipynb": notebook(part, source=source) for part in PARTS}
    if not source:
        texts |= {folder / f"{part}.py": stub_file(part) for part in PARTS}
    for path in texts:
        if path.exists():
            raise FileExistsError(f"folder: {path} exists already, and nothing is overwritten")
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    return list(texts)


def check_file(
    path: str | Path, *, seed: int = 0, time_limit: float = 5.0, total_limit: float = 120.0
) -> Report:
    """Check the exercises in a Python file, a notebook, or a folder of them.

    The answers run in a process of their own, which is stopped when it takes too long. Only
    their imports and definitions are run, and imports of this package are passed over. This
    guards against mistakes, not against malice: grade strangers' files in a container.

    Parameters
    ----------
    path : path
    seed : int
        Draws other numbers to try the answers on.
    time_limit, total_limit : float
        Seconds for each exercise, and for all together.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is neither a .py file nor a notebook, nor a folder that holds one.
    """
    path = Path(path)
    files = _answer_files(path)
    with tempfile.TemporaryDirectory() as scratch:
        lines = Path(scratch) / "report"
        end = _run_worker([lines, seed, time_limit, *files], total_limit)
        text = lines.read_text(encoding="utf-8") if lines.exists() else ""
    report = Report(path.name)
    unfinished = ""
    for line in map(json.loads, text.splitlines()):
        if "begin" in line:
            unfinished = line["begin"]
        elif "remark" in line:
            report.remarks.append(line["remark"])
        else:
            unfinished = ""
            _keep_better(report.results, _result(line["result"]))
    if unfinished:
        failed = Result(unfinished, False, 0.0, TASKS[unfinished].points, {}, end)
        _keep_better(report.results, failed)
    if end:
        report.remarks.append(end)
    return report


def _answer_files(path: Path) -> list[Path]:
    if path.is_dir():
        files = [p for p in sorted(path.iterdir()) if p.suffix in SUFFIXES]
        if not files:
            raise ValueError(f"path: {path} holds neither .py files nor notebooks")
        return [file.resolve() for file in files]
    if not path.exists():
        raise FileNotFoundError(f"path: there is no file {path}")
    if path.suffix not in SUFFIXES:
        raise ValueError(f"path: expected a .py file or an .ipynb notebook, got {path}")
    return [path.resolve()]


def _run_worker(arguments: Sequence[object], seconds: float) -> str:
    """Run the worker in silence; tell how it ended where it did not end well."""
    # -P: modules that lie about in the current folder stay out of the way
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", _WORKER, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        return f"The process was stopped after {seconds:g} seconds."
    finally:
        _kill(process)
    return f"The process ended early, with exit code {code}." if code else ""


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process, and where the system can do it, those that it started."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def _result(fields: dict[str, Any]) -> Result:
    blocks = {label: Block(**block) for label, block in fields["blocks"].items()}
    tuples = {name: tuple(fields[name]) for name in ("mistakes", "hints")}
    return Result(**fields | {"blocks": blocks} | tuples)


def _keep_better(results: dict[str, Result], result: Result) -> None:
    if result.name not in results or results[result.name].score < result.score:
        results[result.name] = result


def grade(
    folder: str | Path,
    table: str | Path,
    *,
    seed: int = GRADING_SEED,
    time_limit: float = 5.0,
    total_limit: float = 120.0,
) -> list[Report]:
    """Check every submission in a folder, and write the points into a CSV file.

    A submission is a .py file, a notebook, or a folder of them. The table has one row for each,
    with its points, the points for each exercise, and remarks: the mistakes that were made.

    Parameters
    ----------
    folder : path
    table : path
        The CSV file to write.
    seed, time_limit, total_limit
        As for `check_file`; the numbers are others than a student's own check has shown.

    Raises
    ------
    FileExistsError
        If the table is there already.
    NotADirectoryError
        If there is no such folder.
    ValueError
        If it holds no submission.
    """
    folder, table = Path(folder), Path(table)
    if not folder.is_dir():
        raise NotADirectoryError(f"folder: there is no folder {folder}")
    submissions = [
        p
        for p in sorted(folder.iterdir())
        if not p.name.startswith((".", "_")) and (p.is_dir() or p.suffix in SUFFIXES)
    ]
    if not submissions:
        raise ValueError(f"folder: {folder} holds no submission: no .py file, notebook or folder")
    if table.exists():
        raise FileExistsError(f"table: {table} exists already, and nothing is overwritten")
    limits = {"seed": seed, "time_limit": time_limit, "total_limit": total_limit}
    with table.open("x", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["submission", "points", "of", *TASKS, "remarks"])
        reports = []
        for submission in submissions:
            report = _grade_one(submission, limits)
            reports.append(report)
            rows.writerow(_row(report))
            file.flush()
    return reports


def _grade_one(submission: Path, limits: dict[str, Any]) -> Report:
    try:
        return check_file(submission, **limits)
    except ValueError as error:
        return Report(submission.name, remarks=[str(error)])


def _row(report: Report) -> list[str]:
    earned = [
        f"{result.score * result.points:.2f}" if (result := report.results.get(name)) else ""
        for name in TASKS
    ]
    wrong = [
        f"{result.name}: {' and '.join(result.mistakes) or result.hint}"
        for result in report.results.values()
        if not result.ok
    ]
    possible = sum(task.points for task in TASKS.values())
    remarks = " | ".join([*wrong, *report.remarks])
    return [report.name, f"{report.points:.2f}", str(possible), *earned, remarks]
