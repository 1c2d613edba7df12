"""Grading a class: reports that are kept until all are there, then written as a table."""

import contextlib
import csv
import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

from npylstm.exercises.feedback import feedback_page
from npylstm.exercises.judging import check_submission
from npylstm.exercises.report import Report, revive
from npylstm.exercises.summary import Summary
from npylstm.exercises.words import describe_error, printable, spreadsheet_cell
from npylstm.files import JSON, naming


@dataclass(frozen=True)
class Grading:
    """How a class is graded: what a run that was stopped has to go on with.

    Parameters
    ----------
    tasks : tuple of str
        The exercises that were set.
    seed : int
        Draws other numbers than a student's own check has shown.
    time_limit, total_limit : float
        Seconds for each statement and each exercise, and for all of a submission together.
    """

    tasks: tuple[str, ...]
    seed: int
    time_limit: float
    total_limit: float

    def judge(self, path: Path) -> Report:
        """Check one submission; whatever happens, there is a report."""
        try:
            return check_submission(path, **vars(self))
        except Exception as error:  # nobody's submission ends the grading of the others
            said = str(error) if isinstance(error, ValueError) else describe_error(error)
            return Report(printable(path.name), remarks=[printable(said)], tasks=self.tasks)


@dataclass
class Journal:
    """The reports of a run that goes on, one line each: what is left when it is stopped."""

    path: Path

    def open(self, grading: Grading, resume: bool) -> dict[str, Report]:
        """Begin a new journal, or read the one that is there."""
        if not self.path.exists():
            self._append("x", asdict(grading))
            return {}
        if not resume:
            raise FileExistsError(
                f"table: a run was stopped there, and {self.path} holds what it has done: "
                "go on with --resume (resume=True), or delete that file"
            )
        lines = [line for line in map(_load, self.path.read_text().splitlines()) if line]
        if not lines or lines[0] != json.loads(json.dumps(asdict(grading))):
            raise ValueError(f"resume: {self.path} belongs to a run with other settings")
        with naming(self.path):
            self.path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return {line["key"]: revive(Report, line["report"]) for line in lines[1:]}

    def add(self, key: str, report: Report) -> None:
        """Write down a report at once: the next moment may be the last."""
        self._append("a", {"key": key, "report": asdict(report)})

    def _append(self, mode: str, line: Mapping[str, JSON]) -> None:
        with naming(self.path), self.path.open(mode, encoding="ascii") as file:
            file.write(json.dumps(line) + "\n")


def _load(line: str) -> JSON:
    """Read a line of a journal; None where it is not whole."""
    with contextlib.suppress(ValueError):
        return json.loads(line)
    return None


def state_key(path: Path) -> str:
    """Name a submission in the state it is in, so that a later one is not taken for it."""
    state = hashlib.sha256()
    places = [path]
    for folder, _, names in os.walk(path):
        places += [Path(folder, name) for name in names]
    for place in sorted(places):
        with contextlib.suppress(OSError):
            about = place.stat()
            state.update(os.fsencode(f"{place} {about.st_size} {about.st_mtime_ns}\n"))
    return f"{path.name!a} {state.hexdigest()}"


def judge_all(
    grading: Grading,
    submissions: Sequence[Path],
    executor: Executor | None,
    progress: Callable[[int, int, str], None] | None,
) -> Iterator[tuple[Path, Report]]:
    """Check submissions one by one, or as the executor gets them done."""
    total = len(submissions)
    if executor is None:
        for done, path in enumerate(submissions):
            if progress:
                progress(done, total, printable(path.name))
            yield path, grading.judge(path)
        return
    futures: dict[Future[Report], Path] = {}
    try:
        for path in submissions:
            futures[executor.submit(grading.judge, path)] = path
        for done, future in enumerate(as_completed(futures)):
            if progress:
                running = (path for other, path in futures.items() if other.running())
                progress(done, total, printable(next(running, futures[future]).name))
            try:
                report = future.result()
            except Exception:  # such as a pool that broke
                report = grading.judge(futures[future])
            yield futures[future], report
    finally:
        for future in futures:
            future.cancel()


def table_of(reports: Sequence[Report], tasks: Sequence[str]) -> str:
    """Write one row for each submission, as CSV."""
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(["submission", "points", "of", *tasks, "same as the solution", "remarks"])
    for report in reports:
        earned = [
            f"{result.earned:.2f}" if (result := report.results.get(name)) else "" for name in tasks
        ]
        texts = [report.name, ", ".join(report.copied), " | ".join(_remarks(report))]
        name, copied, remarks = map(spreadsheet_cell, texts)
        rows.writerow([name, f"{report.points:.2f}", report.possible, *earned, copied, remarks])
    return text.getvalue()


def _remarks(report: Report) -> list[str]:
    """Say in a line each what is wrong, what is not written, and what else there is."""
    wrong = [
        f"{result.name}: {' and '.join(result.mistakes) or printable(result.hint)}"
        for result in report.results.values()
        if not result.ok and result.name not in report.unwritten
    ]
    unwritten = [f"not written: {', '.join(report.unwritten)}"] if report.unwritten else []
    return [*wrong, *unwritten, *report.remarks]


def write_pages(reports: Iterable[Report], folder: Path) -> None:
    """Write a page for each submission, under a name that any system can hold."""
    folder.mkdir(parents=True, exist_ok=True)
    taken: set[str] = set()
    for report in reports:
        stem = re.sub(r"[^\w.@+ -]", "_", report.name).strip(" .")[:100] or "_"
        while stem.lower() in taken:
            stem += "_"
        taken.add(stem.lower())
        page = folder / f"{stem}.html"
        with naming(page):
            page.write_text(feedback_page(report), encoding="utf-8")


def to_json(reports: Sequence[Report]) -> str:
    """Write all that is known of a class as JSON, for other programs.

    Returns
    -------
    str
        An object with `submissions`, a list with the points and the results of each, and
        `mistakes`, the summary.
    """
    submissions = [
        asdict(report) | {"points": report.points, "of": report.possible} for report in reports
    ]
    content = {"submissions": submissions, "mistakes": Summary.of(reports).as_rows()}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
