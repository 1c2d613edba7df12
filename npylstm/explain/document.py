"""The page: one HTML file that needs nothing else, with its numbers, its style and its script."""

import json
import os
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path

from npylstm.backend import AnyArray, Array
from npylstm.cells import Params
from npylstm.explain.numbers import numbers
from npylstm.explain.recording import Example
from npylstm.files import JSON, write_atomically
from npylstm.models import SequenceModel
from npylstm.sequence import Lengths


@dataclass(frozen=True, eq=False)
class Page:
    """A page; a notebook shows it below the cell that returns it.

    Attributes
    ----------
    html : str
        The whole page.
    """

    html: str

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page to a new file, to be opened in any browser, and return where it is.

        Raises
        ------
        OSError
            The file exists already, or cannot be written.
        """
        path = Path(path)
        if path.exists():
            raise FileExistsError(f"{path} exists already, and nothing is overwritten")
        write_atomically(path, self.html.encode())
        return path

    def _repr_html_(self) -> str:
        return (
            f'<iframe srcdoc="{escape(self.html)}" title="npylstm explain" '
            'style="width: 100%; height: 800px; border: 1px solid #8886"></iframe>'
            '<p>To keep this page, write it to a file: <code>.save("page.html")</code></p>'
        )


def page(
    model: SequenceModel,
    params: Params,
    xs: Array,
    targets: AnyArray,
    lengths: Lengths = None,
    sequence: int = 0,
    cell: int = -1,
    rnn: tuple[SequenceModel, Params] | None = None,
) -> Page:
    """Make a page on which every number of one sequence can be walked, forward and back.

    It shows one cell of the model at work on one sequence. LSTM, RNN and GRU cells have a drawing,
    equations and lines of code; any other cell has what passes through it and its source. All
    numbers are computed here, in float64 and without dropout or truncation; the page only shows
    them.

    Parameters
    ----------
    model : SequenceModel
        Any model.
    params : dict of arrays
        Its parameters.
    xs : array (T, B, D)
        A batch.
    targets : array
        What `SequenceModel.loss_and_grads` takes.
    lengths : sequence of int (B,), optional
        How many steps each sequence has.
    sequence : int
        Which sequence of the batch. Its loss is its own, not the mean over the batch.
    cell : int
        Which of `model.recurrent.cells`; by default the last. A cell that reads backwards counts
        its own steps.
    rnn : tuple of (model, params), optional
        A tanh RNN, trained in the same way on the same inputs. Its gradient is drawn beside the
        cell's. By default it is an RNN before any training.

    Returns
    -------
    Page
        A notebook shows it; `save` writes it to a file.

    Raises
    ------
    TypeError, ValueError
        Arguments that do not fit, numbers that are not finite, or more than a page can hold.
    """
    example = Example.of_batch(model, params, xs, targets, lengths, sequence)
    beside = None if rnn is None else Example.of_batch(*rnn, xs, targets, lengths, sequence)
    return Page(assemble(numbers(example, cell, beside)))


def assemble(data: dict[str, JSON]) -> str:
    """Put numbers, words, style and script into the template."""
    parts = {name: _read(name) for name in ("style.css", "script.js", "words.json")}
    parts["numbers.json"] = json.dumps(data, allow_nan=False, separators=(",", ":"))
    html = _read("template.html")
    for name, text in parts.items():
        if name.endswith(".json"):
            text = text.replace("<", "\\u003c")  # no text of the user can end the script
        html = html.replace(f"<!-- {name} -->", text)
    return html


def _read(name: str) -> str:
    return files("npylstm.explain").joinpath(name).read_text("utf-8")
