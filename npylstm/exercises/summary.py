"""What to explain tomorrow: the mistakes of a class, and how many made each."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from npylstm.exercises.report import Report, count
from npylstm.exercises.result import Result
from npylstm.exercises.tasks import TASKS
from npylstm.files import JSON, naming

_SHOWN = 20


@dataclass(frozen=True)
class Finding:
    """A mistake, in an exercise, and the submissions in which it was made."""

    task: str
    mistake: str
    submissions: tuple[str, ...]


@dataclass(frozen=True)
class Summary:
    """The mistakes of a class, the most frequent first.

    Parameters
    ----------
    total : int
        How many submissions there were.
    findings : sequence of Finding
    """

    total: int
    findings: Sequence[Finding]

    @classmethod
    def of(cls, reports: Iterable[Report]) -> "Summary":
        """Count in how many submissions each mistake was made."""
        reports = list(reports)
        made: dict[tuple[str, str], list[str]] = {}
        for report in reports:
            for task, result in report.results.items():
                if not result.ok and task not in report.unwritten:
                    for mistake in dict.fromkeys(_mistakes(result)):
                        made.setdefault((task, mistake), []).append(report.name)
        course = list(TASKS)
        ordered = sorted(made, key=lambda key: (-len(made[key]), course.index(key[0]), key[1]))
        findings = [Finding(*key, submissions=tuple(made[key])) for key in ordered]
        return cls(len(reports), findings)

    def as_rows(self) -> list[dict[str, JSON]]:
        """List task, mistake and submissions of each finding."""
        return [asdict(finding) for finding in self.findings]

    def __str__(self) -> str:
        title = f"What to explain tomorrow ({count(self.total, 'submission')})"
        if not self.findings:
            return f"{title}\n  nothing: no mistakes were made"
        block = _block()
        widest = len(self.findings[0].submissions)
        lines = []
        for finding in self.findings[:_SHOWN]:
            number = len(finding.submissions)
            bar = block * max(1, round(20 * number / widest))
            lines.append(f"{number:5}  {bar:<20}  {finding.task}: {finding.mistake}")
        more = len(self.findings) - _SHOWN
        rest = [f"       and {count(more, 'rarer mistake')}"] if more > 0 else []
        return "\n".join([title, *lines, *rest])

    def save(self, path: Path) -> None:
        """Draw the most frequent mistakes into a PNG file."""
        from matplotlib.figure import Figure  # slow to import, and needed by no student

        from npylstm.plots import plot_counts

        shown = self.findings[:_SHOWN]
        figure = Figure(figsize=(9, 1.2 + 0.42 * max(len(shown), 1)), layout="constrained")
        counts = {f"{one.mistake}\nin {one.task}": len(one.submissions) for one in shown}
        title = f"What to explain tomorrow ({count(self.total, 'submission')})"
        plot_counts(figure.subplots(), counts, self.total, title)
        with naming(path):
            figure.savefig(path, dpi=150)


def _mistakes(result: Result) -> tuple[str, ...]:
    if result.mistakes:
        return result.mistakes
    if not result.blocks:
        return ("stops with an error",)
    return (result.headline or "not one of the known mistakes",)


def _block() -> str:
    """Choose what bars are made of: a block, where the terminal can show it."""
    try:
        "█".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return "#"
    return "█"
