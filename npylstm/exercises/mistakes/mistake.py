"""What a named mistake is."""

from dataclasses import dataclass


@dataclass(frozen=True, eq=False)
class Mistake:
    """One way to get an exercise wrong.

    Parameters
    ----------
    name : str
        What was done, in a few words.
    place : str
        The symbol in whose computation it was done.
    edits : dict of str to str
        Fragments of the reference solution, and what stands there instead.
    equation : str
        The equation of the exercise to look at, as it stands in the exercise's text.
    question : str
        What to ask oneself about that equation; it does not give the answer away.
    """

    name: str
    place: str
    edits: dict[str, str]
    equation: str
    question: str
