"""Texts of strangers, made fit to be printed, stored and opened in a spreadsheet."""


def printable(text: object, limit: int = 300) -> str:
    r"""Write anything in one line of valid Unicode.

    Control characters and invalid Unicode become escapes such as ``\n``; a text longer than `limit`
    is cut.
    """
    try:
        said = str(text)[: limit + 1]
    except BaseException:  # whatever an object says when it is asked for its text
        said = f"(a {type(text).__name__} without a text)"
    said = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in said)
    return said if len(said) <= limit else said[: limit - 1] + "…"


def printable_lines(text: str, limit: int = 4000) -> str:
    """Write a text in valid Unicode, line by line; a longer one is cut."""
    return "\n".join(printable(line, limit) for line in text[:limit].split("\n"))


def describe_error(error: BaseException) -> str:
    """Name an error and what it says, in one line."""
    return f"{type(error).__name__}: {printable(error)}"


def spreadsheet_cell(text: str) -> str:
    """Keep a spreadsheet from reading a text as a formula."""
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@")) else text
