"""The directive `{results}`: every study of `docs/results`, with its figure, table and command.

A study's files are those that `npylstm experiment NAME --full --out docs/results` writes. What is
to be said of its outcome stands in `NAME.md` beside them; the first line of that is the verdict.
"""

import os
import re
from pathlib import Path

from sphinx.util.docutils import SphinxDirective

from npylstm.experiments import EXPERIMENTS, Result
from npylstm.experiments.results import show

RESULTS = Path(__file__).parents[1] / "results"


def plain(text: str) -> str:
    """Return Markdown that shows a text as it is."""
    return re.sub(r"([|<*_])", r"\\\1", text)


def table(rows: list[list[str]]) -> str:
    """Return rows, the first of them the header, as a Markdown table."""
    rows = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def remarks(name: str) -> str:
    """Return what is said of a study's outcome, or nothing."""
    path = RESULTS / f"{name}.md"
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""


def overview(results: list[Result]) -> str:
    """Return the reproduction table: each study, what was published, and the verdict."""
    rows = [["study", "published", "verdict"]]
    for result in results:
        verdict = remarks(result.name).partition("\n")[0]
        rows.append([f"[{result.title}](#{result.name})", plain(result.published), verdict])
    return table(rows)


def section(result: Result) -> str:
    """Return one study as Markdown."""
    columns = list(result.rows[0])
    rows = [columns, *([show(row[column]) for column in columns] for row in result.rows)]
    deviations = [f"- {plain(text)}" for text in result.deviations]
    settings = ", ".join(f"{name} {show(value)}" for name, value in result.settings.items())
    data = f" --data {result.settings['data']}" if result.settings.get("data") else ""
    parts = [
        f"({result.name})=\n## {result.title}",
        remarks(result.name),
        f"![{result.title}](results/{result.name}.png)",
        f"```sh\nnpylstm experiment {result.name} --full{data} --out results\n```",
        table([[plain(cell) for cell in row] for row in rows]),
        f"**Published:** {plain(result.published)}.",
        "\n".join(["**Deviations from the paper:**\n", *deviations]) if deviations else "",
        f"**Settings:** {plain(settings)}.",
    ]
    return "\n\n".join(part for part in parts if part)


class Results(SphinxDirective):
    """All studies of `docs/results`, in the order of `EXPERIMENTS`."""

    def run(self):
        """Read the results, and return them as parts of the page."""
        names = [name for name in EXPERIMENTS if (RESULTS / f"{name}.json").exists()]
        for name in names:
            for file in RESULTS.glob(f"{name}.*"):
                self.env.note_dependency(os.fspath(file))
        results = [Result.load(RESULTS, name) for name in names]
        text = "\n\n".join([overview(results), *map(section, results)] if results else [])
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def setup(app):
    """Add the directive."""
    app.add_directive("results", Results)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
