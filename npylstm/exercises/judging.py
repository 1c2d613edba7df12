"""Checking one submission: its copy, its process, its report."""

import tempfile
import time
from dataclasses import replace
from pathlib import Path

from npylstm.checks import check_number
from npylstm.exercises.processes import run_worker
from npylstm.exercises.report import Findings, Report
from npylstm.exercises.submissions import make_copy
from npylstm.exercises.words import printable
from npylstm.exercises.worker import Order

_MAX_RUNS = 25
"""How often a submission is started again after one of its steps has ended it."""
_MAX_REPORT = 1 << 24
"""Characters of a worker's report that are read."""


def check_submission(
    path: Path,
    tasks: tuple[str, ...],
    *,
    seed: int,
    time_limit: float,
    total_limit: float,
    search: str = "",
) -> Report:
    """Check anything that somebody handed in.

    Parameters
    ----------
    path : path
    tasks : tuple of str
        The exercises that were set.
    seed, time_limit, total_limit
        As for `check_file`.
    search : str
        A folder that the submission may import from, besides its own copy.

    Raises
    ------
    ValueError
        If it holds no answers, or a limit is not above zero.
    """
    check_number("time_limit", time_limit, low=0, open_low=True)
    check_number("total_limit", total_limit, low=0, open_low=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        copy = make_copy(path, Path(scratch, "submission"))
        if not copy.files:
            expected = "expected a .py file, a notebook, a .zip file or a folder of them"
            raise ValueError(f"path: {expected}: {'; '.join(copy.remarks)}")
        names = [str(file.relative_to(copy.folder)) for file in copy.files]
        order = Order(str(copy.folder), names, tasks, seed, time_limit, total_limit, search)
        findings = _run(order, Path(scratch, "report"))
    for remark in copy.remarks:
        findings.say(remark)
    return findings.report(printable(path.name), tasks)


def _run(order: Order, lines: Path) -> Findings:
    """Run a submission; start it again without the step that ended it, as long as there is time."""
    findings = Findings(order.files, order.tasks)
    deadline = time.monotonic() + order.total_limit
    skip: list[str] = []
    for _ in range(_MAX_RUNS):
        left = [file for file in order.files if file not in findings.done]
        seconds = round(deadline - time.monotonic(), 1)
        if not left:
            return findings
        if seconds <= 0:
            break
        done = [*skip, *findings.steps_done]
        end = run_worker(replace(order, files=left, total_limit=seconds, skip=done), lines)
        findings.read(_read(lines))
        if findings.done.issuperset(order.files):
            return findings
        if not findings.blame(end or "The process ended early, with exit code 0."):
            break
        skip.append(findings.step)
    findings.say("What came after that was not checked.")
    return findings


def _read(lines: Path) -> str:
    """Read what the worker has written, unless it is too much to be its own, and begin anew."""
    if not lines.exists():
        return ""
    with lines.open(encoding="utf-8", errors="replace") as file:
        text = file.read(_MAX_REPORT)
    lines.unlink()
    return text
