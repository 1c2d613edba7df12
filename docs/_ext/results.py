"""The directives `{studies}`, `{study} NAME` and `{picture} NAME`.

A study's files, in `docs/results`, and a picture, in `docs/images`, are what `make_results.py`
writes there. Below `{study} NAME` stands what else is to be said of its outcome.
"""

import os
import re
from pathlib import Path

from sphinx.util.docutils import SphinxDirective

from npylstm.experiments import EXPERIMENTS, PICTURES, StudyResult, duration
from npylstm.experiments.study import show

RESULTS = Path(__file__).parents[1] / "results"


def plain(text: str) -> str:
    """Return Markdown that shows a text as it is."""
    return re.sub(r"([|<*_\[\]])", r"\\\1", text)


def alt(text: str) -> str:
    """Return text that can stand for a picture, in square brackets."""
    return re.sub(r"([\[\]*_])", r"\\\1", text)


def table(rows: list[list[str]]) -> str:
    """Return rows, the first of them the header, as a Markdown table."""
    rows = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def folded(summary: str, text: str) -> str:
    """Return Markdown that shows a text when one asks for it."""
    return f"<details><summary>{summary}</summary>\n\n{text}\n\n</details>"


def overview(results: list[StudyResult]) -> str:
    """Return the reproduction table: each study, what was published, and the verdict."""
    rows = [["study", "published", "verdict"]]
    for result in results:
        link = f"[{result.title}](studies/{result.name}.md)"
        rows.append([link, plain(result.published), plain(result.verdict)])
    return table(rows)


def study_page(result: StudyResult, remarks: str) -> str:
    """Return one study as Markdown: a page."""
    name, study = result.name, EXPERIMENTS[result.name]
    columns = list(result.rows[0])
    rows = [columns, *([show(row[column]) for column in columns] for row in result.rows)]
    deviations = "\n".join(f"- {plain(text)}" for text in result.deviations)
    settings = ", ".join(f"{name} {show(value)}" for name, value in result.settings.items())
    data = f" --data {result.settings['data']}" if result.settings.get("data") else ""
    times = {"full": study.seconds(full=True), "without `--full`": study.seconds()}
    said = [f"{which} {duration(s)}" for which, s in times.items() if s is not None]
    parts = [
        f"# {result.title}",
        f"![{alt(result.caption)}](../results/{name}.png)",
        remarks,
        f"**Published:** {plain(result.published)}.",
        folded("The numbers", table([[plain(cell) for cell in row] for row in rows])),
        folded("Deviations from the paper", deviations) if deviations else "",
        folded("Settings", plain(settings)),
        f"```sh\nnpylstm experiment {name} --full{data} --out results\n```",
        f"On one core: {', '.join(said)}." if said else "",
    ]
    return "\n\n".join(part for part in parts if part)


class Studies(SphinxDirective):
    """The table of all studies in `docs/results`, in the order of `EXPERIMENTS`."""

    def run(self):
        """Read the results, and return them as a part of the page."""
        for name in EXPERIMENTS:
            self.env.note_dependency(os.fspath(RESULTS / f"{name}.json"))
        results = [StudyResult.load(RESULTS, name) for name in EXPERIMENTS]
        return self.parse_text_to_nodes(overview(results))


class StudyPage(SphinxDirective):
    """One study, with what stands below the directive; verdict and caption are in its picture."""

    required_arguments = 1
    has_content = True

    def run(self):
        """Read the result, and return it as a page."""
        (name,) = self.arguments
        for file in RESULTS.glob(f"{name}.*"):
            self.env.note_dependency(os.fspath(file))
        text = study_page(StudyResult.load(RESULTS, name), "\n".join(self.content))
        return self.parse_text_to_nodes(text, allow_section_headings=True)


class Picture(SphinxDirective):
    """One picture of the gallery; its caption and its message stand in the picture itself."""

    required_arguments = 1

    def run(self):
        """Return a section of the page."""
        picture = PICTURES[self.arguments[0]]
        caption = picture.caption.format(**picture.full)
        text = "\n\n".join(
            (
                f"## {picture.title}",
                f"![{alt(caption)}](images/{picture.name}.png)",
                f"After: {plain(picture.published)}." if picture.published else "",
                f"```sh\nnpylstm figure {picture.name}\n```",
            )
        )
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def setup(app):
    """Add the directives."""
    for name, directive in (("studies", Studies), ("study", StudyPage), ("picture", Picture)):
        app.add_directive(name, directive)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
