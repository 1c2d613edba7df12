"""What a picture of the gallery is, and how it becomes a figure and files."""

import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npylstm.experiments.results import Found, Result, refuse_to_overwrite

if TYPE_CHECKING:  # Matplotlib takes longer to import than everything else together
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Picture:
    """A picture that can be made by name.

    Attributes
    ----------
    name : str
        What to call it.
    title : str
        Its message.
    caption : str
        What is shown, and how it was found.
    source : str
        Where the idea comes from.
    study : callable
        (seed, **settings) -> `Found`: what the picture is drawn from.
    draw : callable
        (figure, result) draws it.
    size : tuple of float
        Width and height in inches.
    full, fast : dict
        Its settings for the documentation, and for a look within seconds.
    """

    name: str
    title: str
    caption: str
    source: str
    study: Callable[..., Found]
    draw: Callable[["Figure", Result], Any]
    size: tuple[float, float] = (10.0, 4.8)
    full: Mapping[str, Any] = field(default_factory=dict)
    fast: Mapping[str, Any] = field(default_factory=dict)

    def run(self, seed: int = 0, fast: bool = False) -> Result:
        """Return what the picture is drawn from, and a table of it."""
        settings = {"seed": seed, **(self.fast if fast else self.full)}
        rows, curves = self.study(**settings)
        return Result(self.name, self.title, self.source, (), settings, rows, curves)

    def figure(self, result: Result) -> "Figure":
        """Return the picture, with its title above and its caption below."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=self.size, layout="constrained")
        self.draw(figure, result)
        figure.suptitle(self.title, weight="bold")
        caption = textwrap.fill(self.caption, int(15 * self.size[0]))
        figure.supxlabel(caption, x=0.01, ha="left", fontsize="small")
        return figure

    def save(self, folder: Path, seed: int = 0, fast: bool = False) -> Result:
        """Make the picture and write NAME.png, and beside it its table, facts and arrays.

        Raises
        ------
        FileExistsError
            A picture of this name is there already; nothing is made.
        OSError
            The folder can't be written.
        """
        refuse_to_overwrite(folder, self.name)
        result = self.run(seed, fast)
        result.save(folder, lambda result, path: self.figure(result).savefig(path, dpi=90))
        return result
