"""What a study is, what it found, and the table, the picture and the files that this becomes."""

import csv
import json
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

import numpy as np
from tqdm import tqdm

from npylstm.backend import AnyArray, resolve_device
from npylstm.checks import Option, check_number, check_size
from npylstm.data import load_mnist
from npylstm.files import JSON, naming

if TYPE_CHECKING:  # Matplotlib takes longer to import than everything else together
    from matplotlib.figure import Figure

WIDTH = 80
"""How wide a terminal is, in characters."""

T = TypeVar("T")

TableRow: TypeAlias = dict[str, JSON]
"""One line of a table: column -> text or number."""

Measured = tuple[list[TableRow], dict[str, AnyArray]]
"""What a study measures: the table's rows, and the arrays that its picture is drawn from."""


class Verdict(NamedTuple):
    """One sentence about a result, and whether it agrees with what was published.

    None where that can't be told: nothing to compare with was published, or the run was too short.
    """

    says: str
    agrees: bool | None = None

    def __str__(self) -> str:
        """Return both as one sentence."""
        if self.agrees is None:
            return self.says[:1].upper() + self.says[1:]
        return f"{'As' if self.agrees else 'Not as'} published: {self.says}"


@dataclass(frozen=True)
class Study:
    """A measurement that can be repeated by name: a published experiment, or a picture.

    In `deviations` and `caption` a setting's name in braces stands for its value, as in
    `"at most {max_updates:,} updates"`, so that they speak of the settings that ran.

    Attributes
    ----------
    name, title : str
        What to call it, and what it is about.
    published : str
        What was published, and where.
    measure : callable
        (executor or None, **settings) -> `Measured`. The executor, any
        `concurrent.futures.Executor`, runs the parts that do not depend on each other.
    draw : callable
        (figure, result) draws it.
    verdict : callable
        StudyResult -> `Verdict`, computed from the numbers that were found.
    full : dict
        The settings for the documentation. The common ones: `seeds`, how many networks of each
        kind; `seed`, where random numbers start; `data`, a folder with MNIST; `device`.
    fast : dict
        What a look within a minute changes.
    deviations : tuple of str
        How the study differs from the paper.
    caption : str
        What the picture shows.
    size : tuple of float
        The picture's width and height in inches.
    """

    name: str
    title: str
    published: str
    measure: Callable[..., Measured]
    draw: Callable[["Figure", "StudyResult"], object]
    verdict: Callable[["StudyResult"], Verdict]
    full: Mapping[str, Option]
    fast: Mapping[str, Option] = field(default_factory=dict)
    deviations: tuple[str, ...] = ()
    caption: str = ""
    size: tuple[float, float] = (10.0, 5.0)

    def settings(
        self,
        full: bool = False,
        seeds: int | None = None,
        data: str | None = None,
        device: str = "cpu",
        seed: int | None = None,
    ) -> dict[str, Option]:
        """Return the settings for a run.

        Parameters
        ----------
        full : bool
            Whether to use the documentation's settings instead of the fast settings.
        seeds, seed : int, optional
            How many networks of each kind, and where random numbers start; by default the study's
            own values.
        data : path, optional
            A folder with MNIST, for the studies that read digits; by default they use the sample
            that comes with the package.
        device : str, optional
            `"cpu"`, `"gpu"` or `"auto"`. Networks that learn from one sequence at a time, and
            Lyapunov exponents, are computed on the CPU alone, where so small arrays are faster.

        Raises
        ------
        OSError, RuntimeError, ValueError
            `seeds` is below one, `seed` is below zero, `data` is not MNIST, or the device can't be
            used; or the study does not use one of them.
        """
        settings = {**self.full, **({} if full else self.fast)}
        changes = {"seeds": seeds, "seed": seed, "data": data}
        for name, value in changes.items():
            if value is None:
                continue
            if name not in settings:
                raise ValueError(
                    f"{name} must be None for {self.name}, which reads none; got {value!r}"
                )
            settings[name] = value
        if seeds is not None:
            check_size("seeds", seeds)
        if seed is not None:
            check_number("seed", seed, low=0)
        if data is not None:
            load_mnist(data)
        if "device" in settings:
            settings["device"] = resolve_device(device)
        elif device not in ("cpu", "auto"):
            raise ValueError(
                f"device must be 'cpu' or 'auto' for {self.name}, which has no use for another; "
                f"got {device!r}"
            )
        return settings

    def run(
        self, full: bool = False, executor: Executor | None = None, **changes: Option
    ) -> "StudyResult":
        """Run the study.

        Parameters
        ----------
        full, changes
            As in `settings`, which raises the same errors.
        executor
            Where to run: a process pool, a cluster's executor, or None for here.
        """
        settings = self.settings(full, **changes)
        began = time.perf_counter()
        rows, curves = self.measure(executor, **settings)
        return self.result(settings, rows, curves, time.perf_counter() - began)

    def result(
        self,
        settings: Mapping[str, Option],
        rows: list[TableRow],
        curves: dict[str, AnyArray],
        seconds: float | None = None,
    ) -> "StudyResult":
        """Return what was found, with all that can be said of it."""
        result = StudyResult(
            self.name,
            self.title,
            self.published,
            tuple(text.format(**settings) for text in self.deviations),
            self.caption.format(**settings),
            "",
            dict(settings),
            [{name: known(value) for name, value in row.items()} for row in rows],
            curves,
            seconds,
        )
        return replace(result, verdict=str(self.verdict(result)))

    def figure(self, result: "StudyResult") -> "Figure":
        """Return the picture, with the verdict above and the caption below."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=self.size, layout="constrained")
        self.draw(figure, result)
        title = textwrap.fill(result.verdict, int(9 * self.size[0]))
        figure.suptitle(title, weight="bold", fontsize=11)
        caption = textwrap.fill(result.caption, int(14 * self.size[0]))
        figure.supxlabel(caption, x=0.01, ha="left", fontsize="small")
        return figure

    def perform(self, out: Path | None = None, **options: Option) -> "StudyResult":
        """Run the study, `run(**options)`, and save what it found in folder `out`, if given.

        Raises
        ------
        FileExistsError
            Results of this study are there already; nothing is run.
        OSError, RuntimeError, ValueError
            The folder can't be written, or as `settings`.
        """
        if out is None:
            return self.run(**options)
        refuse_to_overwrite(out, self.name)
        result = self.run(**options)
        result.save(out, self.figure(result))
        return result

    def seconds(self, full: bool = False, seeds: int | None = None) -> float | None:
        """Return about how long a run takes on one core of an ordinary computer, if it is known."""
        seconds: float | None = KNOWN.get(self.name, {}).get("full" if full else "fast")
        usual = self.settings(full).get("seeds")
        if seconds is None or seeds is None or usual is None:
            return seconds
        return float(seconds * seeds / usual)

    def report(self, result: "StudyResult") -> str:
        """Return a result's table, and where it is not the full study's, what that one found."""
        parts = [result.table()]
        if any(result.settings[name] != self.full[name] for name in self.fast):
            seconds, found = self.seconds(full=True), KNOWN.get(self.name, {}).get("found")
            text = f"The full study: npylstm experiment {self.name} --full"
            text += f", {duration(seconds)}" if seconds is not None else ""
            parts.append(paragraph(f"{text}. It found: {found}" if found else text))
        return "\n".join(parts)


@dataclass(frozen=True)
class StudyResult:
    """The outcome of a study.

    Attributes
    ----------
    name, title, published : str
        As in `Study`.
    deviations : tuple of str
        How it differs from the paper.
    caption : str
        What its picture shows.
    verdict : str
        What the numbers say, and whether this agrees with the paper.
    settings : dict
        All numbers the study was run with.
    rows : list of dict
        The table: one row for each condition, all with the same columns. None is a missing number.
    curves : dict of arrays
        What the picture is drawn from.
    seconds : float or None
        How long it took, if it was measured.
    """

    name: str
    title: str
    published: str
    deviations: tuple[str, ...]
    caption: str
    verdict: str
    settings: dict[str, Option]
    rows: list[TableRow]
    curves: dict[str, AnyArray]
    seconds: float | None = None

    def table(self) -> str:
        """Return the whole outcome as text for a terminal, the paper's figure beside ours."""
        settings = ", ".join(f"{name} {show(value)}" for name, value in self.settings.items())
        notes = [f"Verdict: {self.verdict}", f"Published: {self.published}"]
        notes += [f"Deviation: {deviation}" for deviation in self.deviations]
        notes += [f"Shown: {self.caption}"] if self.caption else []
        notes.append(f"Settings: {settings}")
        notes += [f"Time: {self.seconds:.0f} s"] if self.seconds is not None else []
        return "\n".join([paragraph(self.title), "", layout(self.rows), "", *map(paragraph, notes)])

    def save(self, folder: Path, figure: "Figure") -> None:
        """Write NAME.csv (the table), .json (all but the curves), .npz (the curves), and .png.

        They appear together, when all of them are done.

        Raises
        ------
        FileExistsError
            One of the files is there already; nothing is written.
        OSError
            The folder can't be written.
        """
        paths = refuse_to_overwrite(folder, self.name)
        with (
            naming(folder / self.name),
            tempfile.TemporaryDirectory(prefix=f".{self.name}-", dir=folder) as unfinished,
        ):
            table, facts, curves, picture = done = [Path(unfinished) / path.name for path in paths]
            with table.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, self.rows[0])
                writer.writeheader()
                writer.writerows(self.rows)
            contents = {name: value for name, value in vars(self).items() if name != "curves"}
            facts.write_text(json.dumps(contents, indent=1, allow_nan=False), encoding="utf-8")
            np.savez_compressed(curves, **self.curves)  # type: ignore[arg-type]
            figure.savefig(picture, dpi=90)
            refuse_to_overwrite(folder, self.name)
            for new, path in zip(done, paths, strict=True):
                new.rename(path)

    @classmethod
    def load(cls, folder: Path, name: str) -> "StudyResult":
        """Read a result back, for instance to draw its picture anew."""
        facts = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        facts["deviations"] = tuple(facts["deviations"])
        with np.load(folder / f"{name}.npz") as curves:
            return cls(**facts, curves=dict(curves))


def refuse_to_overwrite(folder: Path, name: str) -> tuple[Path, Path, Path, Path]:
    """Return where a study's table, facts, curves and picture go; make the folder.

    Raises
    ------
    ValueError
        The folder has a name like that of a picture.
    FileExistsError
        One of them is there already.
    """
    if folder.suffix.lower() in (".png", ".pdf", ".svg") and not folder.is_dir():
        raise ValueError(f"the folder to save in must not be named like a picture, got {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    table, facts, curves, figure = (
        folder / f"{name}.{ending}" for ending in ("csv", "json", "npz", "png")
    )
    for path in (table, facts, curves, figure):
        if path.exists():
            raise FileExistsError(f"{path} exists already; name another folder or move it away")
    return table, facts, curves, figure


def spread(
    job: Callable[..., T], arguments: Iterable[tuple[object, ...]], executor: Executor | None
) -> list[T]:
    """Return [job(*a) for a in arguments], computed by the executor if there is one.

    In a terminal a bar shows how far it is.
    """
    jobs = list(arguments)
    if executor is None:
        found: Iterable[T] = (job(*a) for a in jobs)
    else:
        found = executor.map(job, *zip(*jobs, strict=True))
    return list(progress(found, len(jobs), "part"))


def progress(items: Iterable[T], total: int, unit: str) -> Iterable[T]:
    """Return the items; in a terminal a bar shows how far one is."""
    bar: Iterable[T] = tqdm(items, total=total, unit=unit, ncols=WIDTH - 1, disable=None)
    return bar


def _read_known() -> dict[str, dict[str, Option]]:
    file = resources.files(__package__) / "known.json"
    facts: dict[str, dict[str, Option]] = json.loads(file.read_text(encoding="utf-8"))
    return facts


KNOWN = _read_known()
"""By a study's name: the seconds that a `fast` and a `full` run took, and what the full one found.

Written by `docs/make_results.py`, which makes the documentation's results.
"""


# ------------------------------------------------------------------------------ numbers and text


def solved_interval(solved: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a fraction, solved of n (Wilson 1927)."""
    z2 = 1.959964**2
    middle = (solved + z2 / 2) / (n + z2)
    half = np.sqrt(z2 * (solved * (n - solved) / n + z2 / 4)) / (n + z2)
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def solved_row(times: AnyArray, cap: int, unit: str = "sequences") -> TableRow:
    """Return the columns that say how many networks solved a task, and when.

    Median and quartiles count all networks; a network that was given up counts as above the cap.

    Parameters
    ----------
    times : array (S,)
        When each network solved it; NaN for one that never did.
    cap : int
        When it was given up.
    unit : str
        What time is counted in.
    """
    solved, n = int(np.isfinite(times).sum()), len(times)
    low, high = solved_interval(solved, n)
    ranked = np.sort(np.where(np.isfinite(times), times, np.inf))
    first, median, third = (
        f"{ranked[int(q * (n - 1) + 0.5)]:,.0f}".replace("inf", f"> {cap:,}")
        for q in (0.25, 0.5, 0.75)
    )
    return {
        "solved": f"{solved}/{n}",
        "95 % interval": f"{100 * low:.0f}-{100 * high:.0f} %",
        f"median {unit}": median,
        "quartiles": f"{first} to {third}",
    }


def known(value: JSON) -> JSON:
    """Return a table's entry, None in place of NaN, and an infinite number as a word."""
    if not isinstance(value, float) or np.isfinite(value):
        return value
    return None if np.isnan(value) else f"{value}"


def show(value: JSON) -> str:
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


def listed(names: Sequence[str]) -> str:
    """Return names as a list in a sentence."""
    return ", ".join(names) or "none"


def duration(seconds: float) -> str:
    """Return about how long something takes, in words."""
    if seconds < 90:
        return f"about {max(seconds, 1):.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"


def paragraph(text: str) -> str:
    """Return text broken into lines of a terminal's width."""
    return textwrap.fill(
        text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def layout(rows: Sequence[TableRow], widest: int = 26) -> str:
    """Return rows as a table that fits a terminal, in several parts where it is too wide for one.

    Every part begins with the columns that tell the rows apart.
    """
    columns = list(rows[0])
    table = [columns, *([show(row[column]) for column in columns] for row in rows)]
    wrapped = [[textwrap.wrap(cell, widest) or [""] for cell in line] for line in table]
    widths = [max(len(part) for line in wrapped for part in line[k]) for k in range(len(columns))]
    keys = 0
    while len({tuple(line[:keys]) for line in table[1:]}) < len(rows) and keys < len(columns):
        keys += 1
    if sum(widths[:keys]) + 2 * keys > WIDTH / 2:
        keys = 0
    parts: list[list[int]] = [list(range(keys))]
    for k in range(keys, len(columns)):
        if len(parts[-1]) > keys and sum(widths[j] + 2 for j in [*parts[-1], k]) - 2 > WIDTH:
            parts.append(list(range(keys)))
        parts[-1].append(k)
    return "\n\n".join(_part(wrapped, widths, shown) for shown in parts)


def _part(wrapped: list[list[list[str]]], widths: list[int], shown: list[int]) -> str:
    """Return some columns of a table whose cells are lists of lines."""
    lines = []
    for number, row in enumerate(wrapped):
        for n in range(max(len(row[k]) for k in shown)):
            cells = (row[k][n] if n < len(row[k]) else "" for k in shown)
            lines.append("  ".join(c.ljust(widths[k]) for c, k in zip(cells, shown, strict=True)))
        if number == 0:
            lines.append("  ".join("-" * widths[k] for k in shown))
    return "\n".join(line.rstrip() for line in lines)
