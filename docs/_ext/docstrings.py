"""Let Sphinx read docstrings that were written to be read as they stand.

In them |c| is an absolute value, (*size, T) a shape and `x` a piece of code; in reStructuredText
they would be a substitution, the start of an emphasis and a title.
"""

import re

IDENTIFIER = re.compile(r"[A-Za-z_][\w.]*")
CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


def code(match: re.Match[str]) -> str:
    """Make a link of a name, where there is something to link to, and code of all else."""
    text = match[1]
    if not IDENTIFIER.fullmatch(text):
        return f"``{text}``"
    if "." in text and not text.startswith("npylstm"):  # `Cell.forward`, wherever Cell may be
        return f":py:obj:`{text} <.{text}>`"
    return f":py:obj:`{text}`"


def translate(lines: list[str]) -> list[str]:
    """Return the lines of a docstring in reStructuredText."""
    translated, literal = [], None  # the indent of the line that a literal block belongs to
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if literal is not None and line.strip() and indent <= literal:
            literal = None
        if literal is None and not line.lstrip().startswith(">>>"):
            parts = re.split(r"(`+[^`\n]+`+|\*\*[^*\n]+\*\*)", line)
            parts[::2] = [re.sub(r"([*|])", r"\\\1", part) for part in parts[::2]]
            if line.rstrip().endswith("::"):
                literal = indent
            line = "".join(CODE.sub(code, part) if part[:1] == "`" else part for part in parts)
        translated.append(line)
    return translated


def setup(app):
    """Translate every docstring, before its sections are read."""

    def process(app, what, name, obj, options, lines):
        lines[:] = translate(lines)
        if what in ("attribute", "data", "property") and lines and ":" in lines[0]:
            # Napoleon takes what stands before the first ":" of the first line for a type.
            lines.insert(0, "")

    def skip(app, what, name, obj, skipped, options):
        # The fields of a named tuple are described by its class.
        return True if type(obj).__name__ == "_tuplegetter" else None

    app.connect("autodoc-process-docstring", process, priority=400)
    app.connect("autodoc-skip-member", skip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
