"""The teacher's side: hand out the exercises, check what came back, grade a class."""

from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path

from npylstm.checks import check_choice, check_number
from npylstm.exercises.grading import Grading, Journal, judge_all, state_key, table_of, write_pages
from npylstm.exercises.handouts import answers, notebook, stub_file
from npylstm.exercises.judging import check_submission
from npylstm.exercises.processes import end_workers
from npylstm.exercises.report import Report
from npylstm.exercises.submissions import find_submissions
from npylstm.exercises.summary import Summary
from npylstm.exercises.tasks import PARTS, TASKS
from npylstm.files import write_atomically

GRADING_SEED = 2


def choose(parts: Iterable[str] = (), tasks: Iterable[str] = ()) -> tuple[str, ...]:
    """Name the exercises of some parts, and single ones, in the order of the course.

    All of them where nothing is chosen.

    Raises
    ------
    ValueError
        If there is no such part or exercise.
    """
    parts, tasks = list(parts), list(tasks)
    for part in parts:
        check_choice("part", part, PARTS)
    for task in tasks:
        check_choice("task", task, TASKS)
    chosen = [t.name for t in TASKS.values() if t.part in parts or t.name in tasks]
    return tuple(chosen) if parts or tasks else tuple(TASKS)


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


def start(
    folder: str | Path,
    *,
    source: bool = False,
    parts: Iterable[str] = (),
    tasks: Iterable[str] = (),
) -> list[Path]:
    """Write stubs and notebooks into a folder, one of each for every part.

    Parameters
    ----------
    folder : path
        Is made if need be.
    source : bool
        Write a teacher's source notebooks, with solutions, hidden tests and points for nbgrader,
        instead of what students get; and the answers to the questions in the course's notebooks,
        into a folder beside it whose name ends in "-answers": nbgrader hands to students whatever
        else lies in the folder of an assignment.
    parts, tasks : iterable of str
        Hand out only these parts and these exercises.

    Returns
    -------
    list of Path
        The files that were written.

    Raises
    ------
    FileExistsError
        If one of the files is there already; then none is written.
    ValueError
        If there is no such part or exercise.
    """
    folder = Path(folder)
    chosen = choose(parts, tasks)
    texts = {}
    for part in dict.fromkeys(TASKS[name].part for name in chosen):
        texts[folder / f"{part}.ipynb"] = notebook(part, chosen, source=source)
        if not source:
            texts[folder / f"{part}.py"] = stub_file(part, chosen)
    if source:
        beside = folder.resolve().with_name(f"{folder.resolve().name}-answers")
        texts |= {beside / name: text for name, text in answers().items()}
    for path in texts:
        if path.exists():
            raise FileExistsError(f"folder: {path} exists already, and nothing is overwritten")
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode())
    return list(texts)


def check_file(
    path: str | Path,
    *,
    parts: Iterable[str] = (),
    tasks: Iterable[str] = (),
    seed: int = 0,
    time_limit: float = 5.0,
    total_limit: float = 120.0,
    hint: int = 3,
) -> Report:
    """Check the exercises in a Python file, a notebook, a zip file, or a folder of them.

    A copy of the submission is run in a process of its own, statement by statement, and on after
    an error; imports of this package find nothing. What takes too long is stopped. This guards
    against mistakes, not against malice: grade strangers' files in a container.

    Parameters
    ----------
    path : path
    parts, tasks : iterable of str
        Check only these parts and these exercises, and count points of all of them. By default
        the points count of those that are found.
    seed : int
        Draws other numbers to try the answers on.
    time_limit, total_limit : float
        Seconds for each statement and each exercise, and for all together.
    hint : int
        How much to say, from 1 to 3, as for `check`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it holds no .py file or notebook that can be read, if there is no such part or exercise,
        or a limit is not above zero.
    """
    path = Path(path)
    parts, tasks = tuple(parts), tuple(tasks)
    chosen = choose(parts, tasks)
    check_choice("hint", hint, (1, 2, 3))
    if not path.exists():
        raise FileNotFoundError(f"path: there is no file {path}")
    report = check_submission(
        path,
        chosen,
        seed=seed,
        time_limit=time_limit,
        total_limit=total_limit,
        search="" if path.is_dir() else str(path.resolve().parent),
    )
    results = {
        name: replace(result, hint=result.hints[hint - 1]) if result.hints else result
        for name, result in report.results.items()
    }
    return replace(report, results=results, tasks=report.tasks if parts or tasks else ())


def grade(
    folder: str | Path,
    table: str | Path,
    *,
    parts: Iterable[str] = (),
    tasks: Iterable[str] = (),
    seed: int = GRADING_SEED,
    time_limit: float = 5.0,
    total_limit: float = 120.0,
    executor: Executor | None = None,
    resume: bool = False,
    feedback: str | Path | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[Report]:
    """Check every submission in a folder, and write the points into a CSV file.

    Whatever lies in the folder is a submission: a .py file, a notebook, a zip file, a folder of
    them, or something else, which has a row that says so. While it goes on, finished reports are
    kept beside the table, in a file whose name ends in ".unfinished"; the table itself, with a
    picture of the mistakes beside it, is written at the end.

    Parameters
    ----------
    folder : path
    table : path
        The CSV file to write. It has one row for each submission: its points, what they are out
        of, the points for each exercise, the exercises whose code equals the package's own
        solution, and remarks, such as the mistakes that were made.
    parts, tasks : iterable of str
        Grade only these parts and these exercises.
    seed, time_limit, total_limit
        As for `check_file`; the numbers are others than a student's own check has shown.
    executor : concurrent.futures.Executor, optional
        Checks the submissions, several at a time; the table is the same.
    resume : bool
        Go on with a run that was stopped.
    feedback : path, optional
        A folder to write a page for each submission into, which can be handed back.
    progress : function of (done, total, name), optional
        Is told how far it is, and who is being checked.

    Returns
    -------
    list of Report
        In the order of the table.

    Raises
    ------
    FileExistsError
        If a file to be written is there already, or a run that was stopped.
    NotADirectoryError
        If there is no such folder.
    ValueError
        If the folder is empty, there is no such part or exercise, a limit is not above zero, or
        the run to go on with was one of another kind.
    """
    folder, table = Path(folder), Path(table)
    check_number("time_limit", time_limit, low=0, open_low=True)
    check_number("total_limit", total_limit, low=0, open_low=True)
    grading = Grading(choose(parts, tasks), seed, time_limit, total_limit)
    journal = Journal(table.with_name(f"{table.name}.unfinished"))
    picture = table.with_suffix(".png")
    pages = Path(feedback) if feedback is not None else None
    if not folder.is_dir():
        raise NotADirectoryError(f"folder: there is no folder {folder}")
    outputs = (table, picture, journal.path, *([pages] if pages else []))
    submissions = find_submissions(folder, outputs)
    if not submissions:
        raise ValueError(f"folder: {folder} holds no submission: no .py file, notebook or folder")
    for path in (table, picture, *([pages] if pages else [])):
        if path.exists() and not (resume and journal.path.exists() and path != table):
            raise FileExistsError(f"table: {path} exists already, and nothing is overwritten")
    keys = {path: state_key(path) for path in submissions}
    reports = journal.open(grading, resume)
    left = [path for path in submissions if keys[path] not in reports]
    try:
        for path, report in judge_all(grading, left, executor, progress):
            journal.add(keys[path], report)
            reports[keys[path]] = report
    except BaseException:
        end_workers()
        raise
    ordered = [reports[key] for key in keys.values()]
    if pages is not None:
        write_pages(ordered, pages)
    Summary.of(ordered).save(picture)
    write_atomically(table, table_of(ordered, grading.tasks).encode())
    journal.path.unlink()
    return ordered
