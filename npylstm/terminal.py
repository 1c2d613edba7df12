"""The output of a command: text for any terminal, errors in the words of the command line."""

import contextlib
import difflib
import errno
import os
import re
import shlex
import shutil
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO


class OutputLost(Exception):
    """Standard output takes no more; `closed` says whether its reader has gone."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error.strerror)
        # A pipe without a reader is an invalid argument to Windows.
        self.closed = isinstance(error, BrokenPipeError) or error.errno == errno.EINVAL


class Output:
    """Standard output that takes any text, and whose failures differ from a file's.

    A character that the terminal's encoding lacks becomes `?`. The rest is the stream's own.

    Parameters
    ----------
    stream : file or None
        Where to write. None, Python's closed standard output, discards all text.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:  # whatever the stream has
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write text; raise OutputLost if it can't be."""
        if self._stream is not None:
            encoding = getattr(self._stream, "encoding", None) or "utf-8"
            shown = text.encode(encoding, "replace").decode(encoding)
            try:
                self._stream.write(shown)
            except OSError as error:
                raise OutputLost(error) from error
        return len(text)

    def flush(self) -> None:
        """Flush all text; raise OutputLost if that fails."""
        if self._stream is not None:
            try:
                self._stream.flush()
            except OSError as error:
                raise OutputLost(error) from error

    def abandon(self) -> None:
        """Let the stream end in nothing, or Python would complain once more when it exits."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            descriptor = self.fileno()
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)


def one_line(error: BaseException) -> str:
    """Say what went wrong, with the file's name where there is one."""
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename is not None else ""
        return f"{error.strerror}{where}"
    if isinstance(error, MemoryError):
        return f"not enough memory: {error}".removesuffix(": ")
    return str(error)


def in_options(message: str, options: Mapping[str, str]) -> str:
    """Replace arguments' names with options: `--hidden-size` for `hidden_size`.

    Parameters
    ----------
    message : str
        Of an error that one of our checks raised.
    options : dict of str to str
        The option of each argument.

    Notes
    -----
    A name of several words always counts as a name. A single word, such as `data`, counts only at
    the start, with a value, or before "must".
    """
    if not options:
        return message
    text, rest, others = message.partition("; it has ")  # a list of what the cell has, as it has it
    name = "|".join(sorted(map(re.escape, options), key=len, reverse=True))
    free = rf"(?<![\w.\-/\['])({name})"

    def option(match: re.Match[str]) -> str:
        value = f" {match[2]}" if match.lastindex == 2 else ""
        return options[match[1]] + value

    text = re.sub(rf"{free} ?= ?'?([\w.\-]+)'?", option, text)
    text = re.sub(rf"{free}(?= must\b)", option, text)
    text = re.sub(rf"^({name})\b(?=:? )", option, text)
    text = re.sub(rf"{free}\b", lambda m: option(m) if "_" in m[1] else m[1], text)
    return text + rest + others


def near_choices(message: str) -> str:
    """Name the choices that a wrong word is close to, where a message lists many of them."""
    asked = r"invalid choice: '(?P<word>.*?)' \(choose from (?P<known>.*)\)"
    checked = r"must be one of (?P<known>'.*'), got '(?P<word>.*)'"
    found = re.search(asked, message) or re.search(checked, message)
    if found is None or len(message) <= 120:
        return message
    known = re.findall(r"'([^']*)'", found["known"]) or found["known"].split(", ")
    close = difflib.get_close_matches(found["word"], known)
    near = f"did you mean {' or '.join(close)}?" if close else ""
    if found.re.pattern == checked:
        return message.replace(found["known"], f"{len(known)} names") + f" {near}".rstrip()
    return message.replace(
        f"(choose from {found['known']})", f"({near or f'it is none of {len(known)}'})"
    )


def wrapped(text: str) -> str:
    """Break lines that are wider than the terminal (80 columns where there is none) at spaces."""
    width = max(shutil.get_terminal_size().columns, 40)
    lines: list[str] = []
    for line in text.split("\n"):
        indent = " " * min(len(line) - len(line.lstrip()) + 2, width // 2)
        lines += textwrap.wrap(
            line,
            width,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        ) or [""]
    return "\n".join(lines)


def quoted(path: str | os.PathLike[str]) -> str:
    """Quote a path so that it can be pasted into a command line of this system."""
    text = str(Path(path))
    if sys.platform != "win32":
        return shlex.quote(text)
    return text if re.fullmatch(r"[\w.:\\/~-]+", text) else f'"{text}"'  # no path has a " in it
