"""Text as a sequence of characters: a vocabulary, windows to learn from, and a first text.

A character is a one-of-K input, and the next character is the class to predict.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from npylstm.backend import Rng
from npylstm.checks import check_size
from npylstm.data.tasks import Batch, BatchSize


def load_text(path: str | os.PathLike[str] | None = None) -> str:
    """Read a UTF-8 file, or the half a million characters of Python's own `help()`.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        It is not UTF-8.
    """
    if path is None:
        from pydoc_data.topics import topics  # English about Python, in every Python

        return "\n\n".join(topics.values())
    try:
        return Path(path).read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{os.fspath(path)} must be a text in UTF-8, got {error}") from error


@dataclass(frozen=True)
class Vocabulary:
    """Characters and their numbers.

    Attributes
    ----------
    characters : str
        Each character once; its number is its place in this string.

    Raises
    ------
    ValueError
        There are no characters, or one occurs twice.

    Examples
    --------
    >>> vocabulary = Vocabulary.of("banana")
    >>> vocabulary.encode("nab")
    array([2, 0, 1])
    >>> vocabulary.decode([1, 0, 2])
    'ban'
    """

    characters: str

    def __post_init__(self) -> None:
        if not self.characters or len(set(self.characters)) < len(self.characters):
            raise ValueError(f"characters must be one or more, all different, got {self!r}")

    @classmethod
    def of(cls, text: str) -> "Vocabulary":
        """Return the characters that a text is made of, in the order of their code points."""
        return cls("".join(sorted(set(text))))

    def __len__(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> NDArray[np.int64]:
        """Return the number of every character: (N,).

        Raises
        ------
        ValueError
            A character is not in the vocabulary.
        """
        numbers = {character: k for k, character in enumerate(self.characters)}
        if unknown := set(text) - numbers.keys():
            raise ValueError(f"text must be made of {self.characters!r}, got {min(unknown)!r}")
        return np.array([numbers[character] for character in text], np.int64)

    def decode(self, codes: Iterable[int]) -> str:
        """Return the text of character numbers.

        Raises
        ------
        ValueError
            A number is not in the vocabulary.
        """
        numbers = [int(code) for code in codes]
        if numbers and not 0 <= min(numbers) <= max(numbers) < len(self):
            raise ValueError(
                f"codes must be between 0 and {len(self) - 1}, got {min(numbers)} to {max(numbers)}"
            )
        return "".join(self.characters[number] for number in numbers)


def windows(
    rng: Rng, codes: ArrayLike, K: int, T: int, size: BatchSize, dtype: DTypeLike = np.float32
) -> Batch:
    """Cut windows out of a text at random places; the target is the next character at every step.

    Parameters
    ----------
    rng : None, int or numpy.random.Generator
        The source of randomness: fresh, a seed or a generator.
    codes : array of int (N,)
        The text as character numbers.
    K : int
        How many characters there are.
    T : int
        Steps, less than N.
    size : int or tuple of int
        How many windows.
    dtype : NumPy dtype
        Of the inputs.

    Returns
    -------
    Batch of xs (T, *size, K), one-hot, and targets (T, *size)

    Raises
    ------
    ValueError
        The text is not longer than T.
    """
    codes = np.asarray(codes)
    check_size("T", T)
    if len(codes) <= T:
        raise ValueError(f"codes must be more than T = {T} characters, got {len(codes)}")
    starts = np.random.default_rng(rng).integers(0, len(codes) - T, size)
    window = codes[np.add.outer(np.arange(T + 1), starts)]
    return Batch(np.eye(K, dtype=dtype)[window[:-1]], window[1:], np.full(size, T))
