"""What a mechanism says about an answer."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from npylstm.exercises.tasks import Task

QUESTIONS = (
    ("passed on", "through which paths does it flow back?"),
    ("belongs", "which quantities stand in it, and are they the ones that you use?"),
    ("depend", "which quantities does it depend on, and through what?"),
    ("meets", "which step and row does each factor belong to?"),
    ("missing", "count its factors and terms: is each of them there?"),
    ("slope", "write the slope of this function in terms of its output"),
    ("batch", "the same parameters serve every row: how do their gradients join?"),
    ("row", "which row of the batch does each factor belong to?"),
    ("time", "the same parameters serve every step: how do their gradients join?"),
    ("step", "which step does each factor belong to?"),
    ("order", "in which order do they come?"),
    ("in place of", "which quantities stand in it, and are they the ones that you use?"),
    ("sign", "look at the signs"),
    ("parentheses", "which operation does your line carry out first, which last?"),
    ("too many", "how often does each quantity occur?"),
)


@dataclass(frozen=True)
class Statement:
    """A slip: where, of what kind, and which blocks it gives as the student has them.

    Parameters
    ----------
    place : str
    words : str
        The kind of the slip; it does not give the right line.
    explains : frozenset of str
        The blocks whose numbers it gives in every trial.
    equation : str
        The equation of the exercise to look at; empty where none helps.
    question : str
        What to ask oneself about it.
    name : str
        The name of a known mistake; empty where it is none.
    certain : bool
        False where another slip may give the same numbers.
    fact : bool
        Whether it is an observation of the function, which may not be all that is wrong there.
    """

    place: str
    words: str
    explains: frozenset[str]
    equation: str = ""
    question: str = ""
    name: str = ""
    certain: bool = True
    fact: bool = False


def equation_of(task: Task, symbol: str) -> str:
    """Find the equation in the text of an exercise that tells what that symbol is."""
    lines = [line.strip() for line in (task.solution.__doc__ or "").splitlines()]
    for line in lines:
        left = line.partition(" = ")[0]
        if " = " in line and symbol in re.split(r"[,\s/]+", left):
            return line
    for line in lines:
        if " = " in line and line.startswith(symbol):
            return line
    return ""


def question_about(words: str) -> str:
    """Choose a question that fits the kind of a slip."""
    for key, question in QUESTIONS:
        if key in words:
            return question
    return "does your line say the same?"


def list_blocks(blocks: Sequence[str] | set[str] | frozenset[str]) -> str:
    """Name blocks; the blocks of all gates get one name together."""
    by_name: dict[str, list[str]] = {}
    for block in sorted(blocks):
        name, _, gate = block.partition("[")
        by_name.setdefault(name, []).append(gate.rstrip("]"))
    said = []
    for name, gates in by_name.items():
        said.append(f"{name}[{', '.join(gates)}]" if any(gates) else name)
    return joined(said)


def joined(words: Iterable[str]) -> str:
    """Join words with commas and an "and"."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
