"""A page for a student: what was right, what went wrong, what to do next."""

from html import escape

from npylstm.exercises.report import Report
from npylstm.exercises.tasks import PARTS, TASKS

_STYLE = """\
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem;
  color: #1f2328; overflow-wrap: anywhere }
h2 { margin-top: 2rem; border-bottom: 1px solid #d0d7de }
td { padding: 0 1rem 0 0; vertical-align: top }
.total { font-size: 1.3rem; font-weight: bold }
"""


def feedback_page(report: Report) -> str:
    """Write the page of one submission, as HTML that needs nothing else."""
    name = escape(report.name)
    body = [f"<h1>{name}</h1>", f'<p class="total">{report.points:.1f} of {report.possible} points']
    body.append(f"<p>{escape(report.next_step)}</p>")
    for part, title in PARTS.items():
        sections = [
            report.results[task]._repr_html_() + _origin(report, task)
            for task in report.counted
            if TASKS[task].part == part and task not in report.missing
        ]
        if sections:
            body += [f"<h2>{escape(title)}</h2>", *sections]
    if report.missing:
        names = ", ".join(f"<code>{task}</code>" for task in report.missing)
        body += ["<h2>Not written yet</h2>", f"<p>{names}</p>"]
    if report.remarks:
        remarks = "".join(f"<li>{escape(remark)}</li>" for remark in report.remarks)
        body += ["<h2>Notes</h2>", f"<ul>{remarks}</ul>"]
    head = f'<meta charset="utf-8"><title>{name}</title><style>{_STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n' + "\n".join(
        [*body, "</body></html>\n"]
    )


def _origin(report: Report, task: str) -> str:
    several = len(set(report.files.values())) > 1
    return f"<p><small>From {escape(report.files[task])}</small></p>" if several else ""
