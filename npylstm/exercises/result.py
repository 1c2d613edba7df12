"""What a check answers: an object to ask, a table to read."""

import re
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Block:
    """The verdict on one result of an answer; true when it is right.

    Parameters
    ----------
    ok : bool
    note : str
        What is wrong with it: by what factor, from which time step on, in which trial.
    """

    ok: bool
    note: str = ""

    def __bool__(self) -> bool:
        return self.ok


@dataclass(frozen=True, repr=False)
class Result:
    """The verdict on an answer.

    Parameters
    ----------
    name : str
        The exercise.
    ok : bool
        Whether everything is right.
    score : float
        The share of the blocks that are right, from 0 to 1.
    points : int
        What the exercise is worth.
    blocks : dict of str to Block
        The verdict on each result, by names such as "dx" or "dW_x[f]".
    hint : str
        What to look at, as much of it as was asked for; empty where there is nothing to say.
    mistakes : tuple of str
        Names of the known mistakes that were made: none, one, or a pair.
    hints : tuple of str
        The hint in three steps: where, what kind of slip, and the equation with a question.
    """

    name: str
    ok: bool
    score: float
    points: int
    blocks: dict[str, Block]
    hint: str = ""
    mistakes: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()

    def assert_ok(self) -> None:
        """Do nothing where all is right: the form of the verdict that graders want.

        Raises
        ------
        AssertionError
            With the table as its text, where something is wrong.
        """
        if not self.ok:
            raise AssertionError(str(self))

    @property
    def earned(self) -> float:
        """Points earned."""
        return self.score * self.points

    @property
    def headline(self) -> str:
        """What the hint names first, in a few words without numbers: how a class is counted."""
        said = (self.hints[1] if self.hints else self.hint).removeprefix("Note: ")
        slip = re.search(r"Mistake (?:at|in) (.+?)\.(?=\s|$)", said)
        return slip[1] if slip else re.split(r"[.:?](?=\s|$)", said)[0]

    @property
    def summary(self) -> str:
        """The verdict in one line."""
        if self.ok:
            return f"{self.name}: right ({self.points} of {self.points} points)"
        right = sum(map(bool, self.blocks.values()))
        count = f"{right} of {len(self.blocks)} right" if self.blocks else "not right"
        return f"{self.name}: {count} ({self.earned:.1f} of {self.points} points)"

    def __str__(self) -> str:
        width = max(map(len, self.blocks), default=0)
        rows = [
            f"  {label:<{width}}  {'right' if block else 'WRONG'}  {block.note}".rstrip()
            for label, block in self.blocks.items()
        ]
        hint = [f"  Hint: {self.hint}"] if self.hint else []
        return "\n".join([self.summary, *rows, *hint])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td style='text-align:left'><code>{escape(label)}</code></td>"
            f"<td style='text-align:left;color:{'#1a7f37' if block else '#b42318'}'>"
            f"{'✓ right' if block else '✗ wrong'}</td>"
            f"<td style='text-align:left'>{escape(block.note)}</td></tr>"
            for label, block in self.blocks.items()
        )
        table = f"<table>{rows}</table>" if rows else ""
        return f"<p><b>{escape(self.summary)}</b></p>{table}{self._folded_hints()}"

    def _folded_hints(self) -> str:
        """Show the first hint, and each further one behind a fold, up to the one asked for."""
        levels = [said for said in dict.fromkeys(self.hints) if 0 < len(said) <= len(self.hint)]
        shown = levels or ([self.hint] if self.hint else [])
        text = ""
        for said in reversed(shown[1:]):
            text = f"<details><summary>More</summary><p>{escape(said)}</p>{text}</details>"
        return f"<p><b>Hint.</b> {escape(shown[0])}</p>{text}" if shown else ""
