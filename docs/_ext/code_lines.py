"""In the derivations, turn a file and a piece of a line into the number of that line.

A cell of a table reads `` `npylstm/cells/lstm.py` `c = f * c_prev + i * g` ``; the reader gets the
line's number, and the build fails when there is no such line any more.
"""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
CITATION = re.compile(r"`(npylstm/[^`\s]+\.py)` `([^`]+)`")


def line_number(file: str, fragment: str) -> int:
    """Return the number of the one line of `file` that holds `fragment`.

    Raises
    ------
    ValueError
        There is no such file, no such line, or more than one.
    """
    path = ROOT / file
    if not path.is_file():
        raise ValueError(f"there is no file {file}")
    lines = path.read_text(encoding="utf-8").splitlines()
    found = [number for number, line in enumerate(lines, 1) if fragment in line]
    if len(found) != 1:
        raise ValueError(f"{fragment!r} must stand in one line of {file}, but is in {found}")
    return found[0]


def resolve(text: str, root: str) -> str:
    """Return a page with its citations resolved, and linked to the source under URL `root`."""

    def cite(match: re.Match[str]) -> str:
        file, fragment = match.groups()
        page = f"{root}_modules/{file.removesuffix('.py')}.html"
        number = line_number(file, fragment)
        return f'<a href="{page}"><code>{file}:{number}</code></a> `{fragment}`'

    return CITATION.sub(cite, text)


def setup(app):
    """Resolve the citations of every page that Sphinx reads."""

    def read(app, docname, source):
        source[0] = resolve(source[0], "../" * docname.count("/"))

    app.connect("source-read", read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
