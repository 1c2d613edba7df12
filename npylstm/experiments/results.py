"""What a study is, what it found, and the table and the files this becomes."""

import csv
import json
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from npylstm.backend import resolve_device
from npylstm.checks import check_size
from npylstm.data import load_mnist

Row = dict[str, Any]
"""One line of a table: column -> text or number."""

Found = tuple[list[Row], dict[str, NDArray[Any]]]
"""What a study returns: the table's rows, and the arrays that its figure is drawn from."""


@dataclass(frozen=True)
class Experiment:
    """A study that can be run by name.

    Attributes
    ----------
    name, title : str
        What to call it.
    published : str
        What the paper reports, and which paper.
    deviations : tuple of str
        How the study differs from the paper.
    fast, full
        Its settings for a look within a minute, and for the figures of the documentation: frozen
        dataclasses with a field `seeds`. A field `data` means that it reads MNIST, a field
        `device` that its networks can run on a GPU.
    study : callable
        (settings, executor or None) -> `Found`. The executor, any `concurrent.futures.Executor`,
        runs the parts that do not depend on each other.
    plots : tuple of callables
        The parts of its figure, each (ax, result) -> ax.
    """

    name: str
    title: str
    published: str
    deviations: tuple[str, ...]
    fast: Any
    full: Any
    study: Callable[[Any, Executor | None], Found]
    plots: tuple[Callable[[Any, "Result"], Any], ...]

    def settings(
        self,
        full: bool = False,
        seeds: int | None = None,
        data: str | None = None,
        device: str = "cpu",
    ) -> Any:
        """Return the settings for a run.

        Parameters
        ----------
        full
            Those of the documentation instead of the fast ones.
        seeds
            How many networks of each kind; by default what the settings say.
        data
            A folder with MNIST, for the studies that read digits; by default they take the sample
            that comes with the package.
        device
            `"cpu"`, `"gpu"` or `"auto"`. Networks that learn from one sequence at a time, and
            Lyapunov exponents, are computed on the CPU alone, where so small arrays are faster.

        Raises
        ------
        OSError, RuntimeError, ValueError
            `seeds` below one, `data` that is no MNIST or for a study that reads none, a device
            that can't be used or not for this study.
        """
        settings = self.full if full else self.fast
        if seeds is not None:
            check_size("seeds", seeds)
            settings = replace(settings, seeds=seeds)
        if data is not None:
            if not hasattr(settings, "data"):
                raise ValueError(
                    f"data must be None for {self.name}, which reads none; got {data!r}"
                )
            load_mnist(data)
            settings = replace(settings, data=data)
        if hasattr(settings, "device"):
            return replace(settings, device=resolve_device(device))
        if device not in ("cpu", "auto"):
            raise ValueError(
                f"device must be 'cpu' or 'auto' for {self.name}, which has no use for another; "
                f"got {device!r}"
            )
        return settings

    def run(
        self,
        full: bool = False,
        seeds: int | None = None,
        data: str | None = None,
        device: str = "cpu",
        executor: Executor | None = None,
    ) -> "Result":
        """Run the study.

        Parameters
        ----------
        full, seeds, data, device
            As in `settings`, which raises the same errors.
        executor
            Where to run: a process pool, a cluster's executor, or None for here.
        """
        settings = self.settings(full, seeds, data, device)
        rows, curves = self.study(settings, executor)
        return Result(
            self.name, self.title, self.published, self.deviations, asdict(settings), rows, curves
        )


def perform(experiment: Experiment, out: Path | None = None, **options: Any) -> "Result":
    """Run a study, `experiment.run(**options)`, and save what it found.

    Its table, facts, curves and figure go to folder `out`, if there is one.

    Raises
    ------
    FileExistsError
        Results of this study are there already; nothing is run.
    OSError, RuntimeError, ValueError
        The folder can't be written, or as `Experiment.settings`.
    """
    if out is None:
        return experiment.run(**options)
    refuse_to_overwrite(out, experiment.name)
    result = experiment.run(**options)
    result.save(out, partial(draw, experiment))
    return result


def draw(experiment: Experiment, result: "Result", path: Path) -> None:
    """Draw a study's figure, its parts side by side, into a file."""
    from matplotlib.figure import Figure  # takes longer than all other imports together

    n = len(experiment.plots)
    figure = Figure(figsize=(7.5 * n, 4.8), layout="constrained")
    for ax, plot in zip(figure.subplots(1, n, squeeze=False)[0], experiment.plots, strict=True):
        plot(ax, result)
    figure.savefig(path, dpi=120)


def spread(
    job: Callable[..., Any], arguments: Iterable[tuple[Any, ...]], executor: Executor | None
) -> list[Any]:
    """Return [job(*a) for a in arguments], computed by the executor if there is one.

    In a terminal a bar shows how far it is.
    """
    jobs = list(arguments)
    if executor is None:
        found: Iterable[Any] = (job(*a) for a in jobs)
    else:
        found = executor.map(job, *zip(*jobs, strict=True))
    return list(tqdm(found, total=len(jobs), unit="job", disable=None))


@dataclass(frozen=True)
class Result:
    """The outcome of a study.

    Attributes
    ----------
    name, title : str
        Of the study.
    published : str
        What the paper reports, and which paper.
    deviations : tuple of str
        How it differs from the paper.
    settings : dict
        All numbers the study was run with.
    rows : list of dict
        The table: one row for each condition, all with the same columns.
    curves : dict of arrays
        What the figure is drawn from.
    """

    name: str
    title: str
    published: str
    deviations: tuple[str, ...]
    settings: dict[str, Any]
    rows: list[Row]
    curves: dict[str, NDArray[Any]]

    def __post_init__(self) -> None:
        """Put None for NaN into the rows: a table and JSON have no number that is none."""
        rows = [{name: known(value) for name, value in row.items()} for row in self.rows]
        object.__setattr__(self, "rows", rows)

    def table(self) -> str:
        """Return the whole outcome as text, with the paper's figure beside."""
        columns = list(self.rows[0])
        cells = [columns, *([show(row[column]) for column in columns] for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in cells
        ]
        lines.insert(1, "  ".join("-" * width for width in widths))
        settings = ", ".join(f"{name} {show(value)}" for name, value in self.settings.items())
        notes = [f"Published: {self.published}", f"Settings: {settings}"]
        notes += [f"Deviation: {deviation}" for deviation in self.deviations]
        return "\n".join([self.title, "", *lines, "", *notes])

    def save(self, folder: Path, draw: Callable[["Result", Path], None]) -> None:
        """Write NAME.csv (the table), .json (all but the curves), .npz (the curves), .png (drawn).

        They appear together, when all of them are done.

        Raises
        ------
        FileExistsError
            One of the files is there already; nothing is written.
        OSError
            The folder can't be written.
        """
        paths = refuse_to_overwrite(folder, self.name)
        with tempfile.TemporaryDirectory(prefix=f".{self.name}-", dir=folder) as unfinished:
            table, facts, curves, figure = done = [Path(unfinished) / path.name for path in paths]
            with table.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, self.rows[0])
                writer.writeheader()
                writer.writerows(self.rows)
            contents = {name: value for name, value in vars(self).items() if name != "curves"}
            facts.write_text(json.dumps(contents, indent=1, allow_nan=False), encoding="utf-8")
            np.savez_compressed(curves, **self.curves)  # type: ignore[arg-type]
            draw(self, figure)
            refuse_to_overwrite(folder, self.name)
            for new, path in zip(done, paths, strict=True):
                new.rename(path)

    @classmethod
    def load(cls, folder: Path, name: str) -> "Result":
        """Read a result back, for instance to draw its figure anew."""
        facts = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        facts["deviations"] = tuple(facts["deviations"])
        with np.load(folder / f"{name}.npz") as curves:
            return cls(**facts, curves=dict(curves))


def refuse_to_overwrite(folder: Path, name: str) -> tuple[Path, Path, Path, Path]:
    """Return where a study's table, facts, curves and figure go; make the folder.

    Raises
    ------
    FileExistsError
        One of them is there already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table, facts, curves, figure = (
        folder / f"{name}.{ending}" for ending in ("csv", "json", "npz", "png")
    )
    for path in (table, facts, curves, figure):
        if path.exists():
            raise FileExistsError(f"{path} exists already; name another folder or move it away")
    return table, facts, curves, figure


def solved_row(times: NDArray[Any], cap: int, unit: str = "sequences") -> Row:
    """Return the columns that say how many networks solved a task, and when.

    Parameters
    ----------
    times : array (S,)
        When each network solved it; NaN for one that never did.
    cap : int
        When it was given up.
    unit : str
        What time is counted in.
    """
    solved = times[np.isfinite(times)]
    row = {"solved": f"{len(solved)}/{len(times)}", f"cap ({unit})": cap}
    statistics: dict[str, Any] = {
        "mean": np.mean,
        "median": np.median,
        "min": np.min,
        "max": np.max,
    }
    return row | {
        name: int(function(solved)) if len(solved) else None
        for name, function in statistics.items()
    }


def known(value: Any) -> Any:
    """Return a table's entry, None in place of NaN, and an infinite number as a word."""
    if not isinstance(value, float) or np.isfinite(value):
        return value
    return None if np.isnan(value) else f"{value}"


def show(value: Any) -> str:
    """Return a table's entry as text."""
    if value is None:
        return "-"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Iterable) and not isinstance(value, str):
        return "/".join(map(show, value))
    return str(value)
