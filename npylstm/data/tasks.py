"""Synthetic sequences that need memory: made on demand, as many as you want.

Every generator takes a source of randomness and a `size`, like NumPy's own generators, so
`size=(S, B)` makes a batch of B sequences for each of S networks. Sequences come time first,
(T, *size, D). Sequences that are shorter than the longest are padded with zeros at the end.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from npylstm.backend import AnyArray, Rng
from npylstm.checks import check_choice, check_number, check_size

BatchSize: TypeAlias = int | tuple[int, ...]
"""How many sequences: a number, or the shape of an array of sequences."""


class Batch(NamedTuple):
    """Sequences and what a network should say about them.

    Attributes
    ----------
    xs : array (T, *size, D)
        The inputs, time first.
    targets : array
        Class numbers (*size) or (T, *size), or values (*size, K).
    lengths : array of int (*size)
        How many steps each sequence has.
    """

    xs: AnyArray
    targets: AnyArray
    lengths: NDArray[np.int64]


def adding(rng: Rng, T: int, size: BatchSize, dtype: DTypeLike = np.float32) -> Batch:
    """Add the two marked numbers (Le, Jaitly & Hinton 2015; Arjovsky et al. 2016, sec. 5.2).

    Each step brings a value from U[0, 1] and a marker. The marker is 1 at one step of the first
    half and at one step of the second, and 0 elsewhere. A constant answer of 1 gives a squared
    error of 1/6.

    Parameters
    ----------
    rng : None, int or numpy.random.Generator
        The source of randomness: fresh, a seed or a generator.
    T : int
        Steps, at least 2.
    size : int or tuple of int
        How many sequences.
    dtype : NumPy dtype
        Of the inputs and targets.

    Returns
    -------
    Batch of xs (T, *size, 2) and targets (*size, 1), the sum

    Raises
    ------
    ValueError
        T below 2.
    """
    check_size("T", T)
    check_number("T", T, low=2)
    rng, size = np.random.default_rng(rng), _shape(size)
    xs = np.zeros((T, *size, 2), dtype)
    xs[..., 0] = rng.random((T, *size))
    first, second = rng.integers(0, T // 2, size), rng.integers(T // 2, T, size)
    for marked in (first, second):
        _put(xs[..., 1], marked, 1)
    return Batch(xs, (_at(xs, first) + _at(xs, second))[..., :1], np.full(size, T))


def adding_1997(
    rng: Rng, T: int, size: BatchSize, spread: float = 0.1, dtype: DTypeLike = np.float64
) -> Batch:
    """Add the two marked numbers, as in 1997 (Hochreiter & Schmidhuber 1997, experiment 4).

    Values come from U[-1, 1]. The marker is 1 at one of the first ten steps and at another of the
    first T/2 - 1, -1 at the first and the last step, and 0 elsewhere. If the first step is drawn to
    be marked, X1 counts as 0. The target is 0.5 + (X1 + X2) / 4.

    Parameters
    ----------
    rng : None, int or numpy.random.Generator
        The source of randomness: fresh, a seed or a generator.
    T : int
        The shortest length, at least 22; lengths are uniform from T to (1 + spread) T.
    size : int or tuple of int
        How many sequences.
    spread : float
        How much longer the longest is.
    dtype : NumPy dtype
        Of the inputs and targets.

    Returns
    -------
    Batch of xs (T_max, *size, 2) and targets (*size, 1)

    Raises
    ------
    ValueError
        T or spread out of its range.
    """
    check_size("T", T)
    check_number("T", T, low=22)
    rng, size = np.random.default_rng(rng), _shape(size)
    lengths = _lengths(rng, T, size, spread)
    xs = np.zeros((int(lengths.max()), *size, 2), dtype)
    xs[..., 0] = rng.uniform(-1, 1, xs.shape[:-1]) * _alive(xs, lengths)

    first = rng.integers(0, 10, size)
    second = rng.integers(0, T // 2 - 2, size)
    second += second >= first  # one of the steps that are still unmarked
    X1, X2 = _at(xs, first)[..., :1], _at(xs, second)[..., :1]
    X1 = np.where(first[..., None] == 0, 0, X1)
    X2 = np.where(second[..., None] == 0, 0, X2)
    for marked in (first, second):
        _put(xs[..., 1], marked, 1)
    xs[0, ..., 1] = -1
    _put(xs[..., 1], lengths - 1, -1)
    return Batch(xs, (0.5 + (X1 + X2) / 4).astype(dtype), lengths)


def temporal_order(rng: Rng, T: int, size: BatchSize, dtype: DTypeLike = np.float32) -> Batch:
    """Say in which order two symbols came (Pascanu, Mikolov & Bengio 2013, sec. 4.1.1).

    A or B comes at a step in [T/10, 2T/10) and again at a step in [5T/10, 6T/10), amid random c, d,
    e and f. The class is v0 + 2 v1, with v = 0 for A and 1 for B.

    Parameters
    ----------
    rng : None, int or numpy.random.Generator
        The source of randomness: fresh, a seed or a generator.
    T : int
        Steps, at least 10.
    size : int or tuple of int
        How many sequences.
    dtype : NumPy dtype
        Of the inputs.

    Returns
    -------
    Batch of xs (T, *size, 6), one-hot A, B, c, d, e, f, and targets (*size) from 0 to 3

    Raises
    ------
    ValueError
        T below 10.
    """
    check_size("T", T)
    check_number("T", T, low=10)
    rng, size = np.random.default_rng(rng), _shape(size)
    symbols = rng.integers(2, 6, (T, *size))
    v = rng.integers(0, 2, (2, *size))
    for k, start in enumerate((T // 10, 5 * T // 10)):
        _put(symbols, rng.integers(start, start + T // 10, size), v[k])
    return Batch(_one_hot(symbols, 6, dtype), v[0] + 2 * v[1], np.full(size, T))


def temporal_order_1997(
    rng: Rng, size: BatchSize, T: int = 100, signals: int = 2, dtype: DTypeLike = np.float64
) -> Batch:
    """Say in which order symbols came (Hochreiter & Schmidhuber 1997, experiments 6a and 6b).

    A sequence starts with E and ends with B, with random a, b, c and d between them, except X or Y
    at two steps (three in 6b). Lengths are uniform from T to 1.1 T, and the two steps from 10 to 20
    and 50 to 60 hundredths of T (6b: 10 to 20, 33 to 43, 66 to 76).

    Parameters
    ----------
    rng : None, int or numpy.random.Generator
        The source of randomness: fresh, a seed or a generator.
    size : int or tuple of int
        How many sequences.
    T : int
        The shortest length, at least 10.
    signals : int
        2 for experiment 6a, 3 for 6b.
    dtype : NumPy dtype
        Of the inputs.

    Returns
    -------
    Batch of xs (T_max, *size, 8), one-hot E, B, a, b, c, d, X, Y, and targets (*size), the class
    Σ_k 2ᵏ v_k with v = 0 for X and 1 for Y

    Raises
    ------
    ValueError
        T is too short, or `signals` is not 2 or 3.
    """
    check_choice("signals", signals, (2, 3))
    check_size("T", T)
    check_number("T", T, low=10)
    rng, size = np.random.default_rng(rng), _shape(size)
    lengths = _lengths(rng, T, size, 0.1)
    symbols = rng.integers(2, 6, (int(lengths.max()), *size))
    symbols[0] = 0
    _put(symbols, lengths - 1, 1)
    v = rng.integers(0, 2, (signals, *size))
    for k, start in enumerate((10, 50) if signals == 2 else (10, 33, 66)):
        low, high = start * T // 100, (start + 10) * T // 100
        _put(symbols, rng.integers(low, high + 1, size), 6 + v[k])
    xs = _one_hot(symbols, 8, dtype) * _alive(symbols, lengths)[..., None]
    return Batch(xs, sum(v[k] << k for k in range(signals)), lengths)


def copy(
    rng: Rng, T: int, size: BatchSize, digits: int = 10, dtype: DTypeLike = np.float32
) -> Batch:
    """Repeat a string after a delay (Arjovsky, Shah & Bengio 2016, sec. 5.1).

    The input is a string of digits 1 to 8, then T - 1 blanks (0), a marker (9) and again as many
    blanks as digits; the target is blank, except for the string at the end. Without memory the best
    mean cross-entropy is digits · ln 8 / (T + 2 digits).

    Parameters
    ----------
    rng : None, int or numpy.random.Generator
        The source of randomness: fresh, a seed or a generator.
    T : int
        The delay between the string and its repetition.
    size : int or tuple of int
        How many sequences.
    digits : int
        The string's length: 10 in the paper.
    dtype : NumPy dtype
        Of the inputs.

    Returns
    -------
    Batch of xs (T + 2 digits, *size, 10), one-hot, and targets (T + 2 digits, *size) from 0 to 8

    Raises
    ------
    ValueError
        T or digits below 1.
    """
    check_size("T", T)
    check_size("digits", digits)
    rng, size = np.random.default_rng(rng), _shape(size)
    string = rng.integers(1, 9, (digits, *size))
    symbols = np.zeros((T + 2 * digits, *size), np.int64)
    targets = np.zeros_like(symbols)
    symbols[:digits] = targets[-digits:] = string
    symbols[digits + T - 1] = 9
    return Batch(_one_hot(symbols, 10, dtype), targets, np.full(size, len(symbols)))


def two_sequence(
    rng: Rng,
    T: int,
    size: BatchSize,
    N: int = 3,
    spread: float = 0.1,
    dtype: DTypeLike = np.float32,
) -> Batch:
    """Latch one bit (Bengio et al. 1994; Hochreiter & Schmidhuber 1997, experiment 3a).

    The first N values are +1 for class 1 and -1 for class 0; all others are noise with mean 0 and
    variance 0.2.

    Parameters
    ----------
    rng : None, int or numpy.random.Generator
        The source of randomness: fresh, a seed or a generator.
    T : int
        The shortest length; lengths are uniform from T to (1 + spread) T.
    size : int or tuple of int
        How many sequences.
    N : int
        Steps that carry the class, at most T.
    spread : float
        How much longer the longest is.
    dtype : NumPy dtype
        Of the inputs.

    Returns
    -------
    Batch of xs (T_max, *size, 1) and targets (*size), 0 or 1

    Raises
    ------
    ValueError
        N or spread out of its range.
    """
    check_size("T", T)
    check_size("N", N)
    check_number("N", N, high=T)
    rng, size = np.random.default_rng(rng), _shape(size)
    lengths = _lengths(rng, T, size, spread)
    label = rng.integers(0, 2, size)
    xs = rng.normal(0, np.sqrt(0.2), (int(lengths.max()), *size))
    xs[:N] = 2 * label - 1
    return Batch((xs * _alive(xs, lengths)).astype(dtype)[..., None], label, lengths)


def long_lag(rng: Rng, q: int, p: int, size: BatchSize, dtype: DTypeLike = np.float64) -> Batch:
    """Recall the second symbol after a long distraction (Hochreiter & Schmidhuber 1997, exp. 2c).

    A sequence is b, then x or y, then q random distractors out of p. Each later step is a
    distractor with probability 9/10, or else e, which ends the sequence and asks for x or y. (The
    paper prints 1/10 for both.)

    Parameters
    ----------
    rng : None, int or numpy.random.Generator
        The source of randomness: fresh, a seed or a generator.
    q, p : int
        The least number of distractors, and how many kinds there are.
    size : int or tuple of int
        How many sequences.
    dtype : NumPy dtype
        Of the inputs.

    Returns
    -------
    Batch of xs (T_max, *size, p + 4), one-hot x, y, b, e, a1 ... ap, and targets (*size), 0 for x
    and 1 for y

    Raises
    ------
    ValueError
        q or p below 1.
    """
    check_size("q", q)
    check_size("p", p)
    rng, size = np.random.default_rng(rng), _shape(size)
    lengths = q + 2 + rng.geometric(0.1, size)
    symbols = rng.integers(4, 4 + p, (int(lengths.max()), *size))
    label = rng.integers(0, 2, size)
    symbols[0], symbols[1] = 2, label
    _put(symbols, lengths - 1, 3)
    xs = _one_hot(symbols, 4 + p, dtype) * _alive(symbols, lengths)[..., None]
    return Batch(xs, label, lengths)


REBER_SYMBOLS = "BTPSXVE"
"""The alphabet of the Reber grammars, in the order of the one-hot inputs."""

# The Reber grammar's arcs, state -> [(symbol, next state)] (Cleeremans et al. 1989, fig. 2).
_REBER = {
    0: [("B", 1)],
    1: [("T", 2), ("P", 3)],
    2: [("S", 2), ("X", 4)],
    3: [("T", 3), ("V", 5)],
    4: [("X", 3), ("S", 6)],
    5: [("P", 4), ("V", 6)],
    6: [("E", 7)],
}


def _embed() -> list[list[tuple[str, int]]]:
    """Return the arcs of the embedded grammar: B, T or P, a Reber string, the same again, E.

    States 0 and 1 come before the choice, 2 to 10 after T and 11 to 19 after P; the last E leads
    back to state 0.
    """
    arcs = [[("B", 1)], [("T", 2), ("P", 11)]]
    for outer, first in (("T", 2), ("P", 11)):
        arcs += [[(symbol, first + to) for symbol, to in _REBER[state]] for state in _REBER]
        arcs += [[(outer, first + 8)], [("E", 0)]]
    return arcs


_ARCS = _embed()
_SYMBOL, _NEXT = (
    np.array(
        [
            [arc[k] if k else REBER_SYMBOLS.index(arc[0]) for arc in (arcs[0], arcs[-1])]
            for arcs in _ARCS
        ]
    )
    for k in (0, 1)
)
_LEGAL = (np.arange(7) == _SYMBOL[..., None]).any(axis=1)


class EmbeddedReber:
    """Endless streams of embedded Reber strings (Gers, Schmidhuber & Cummins 2000, sec. 4).

    All branches are fair, and after the last E the next string begins at once.

    Parameters
    ----------
    rng : None, int or numpy.random.Generator
        The source of randomness: fresh, a seed or a generator.
    size : int or tuple of int
        How many streams.

    Attributes
    ----------
    state : array of int (*size)
        Each stream's state in the grammar; 0 is between two strings.

    Examples
    --------
    >>> stream = EmbeddedReber(rng=0, size=1)
    >>> "".join(REBER_SYMBOLS[int(stream.step()[0])] for _ in range(2))[:1]
    'B'
    """

    def __init__(self, rng: Rng, size: BatchSize) -> None:
        self.rng = np.random.default_rng(rng)
        self.state = np.zeros(_shape(size), np.int64)

    def step(self) -> NDArray[np.int64]:
        """Draw the next symbol of every stream: indices into `REBER_SYMBOLS`, (*size)."""
        branch = self.rng.integers(0, 2, self.state.shape)
        symbol = _SYMBOL[self.state, branch]
        self.state = _NEXT[self.state, branch]
        return symbol

    @property
    def legal(self) -> NDArray[np.bool_]:
        """Return which symbols may come next in each stream, (*size, 7)."""
        legal: NDArray[np.bool_] = _LEGAL[self.state]
        return legal


class Strings(NamedTuple):
    """Strings to be predicted symbol by symbol, padded with zeros at the end.

    Attributes
    ----------
    xs : array (T, *size, 7)
        The symbols, one-hot, without the last symbol, which has no successor.
    targets : array (T, *size, 7)
        The symbol that comes next, one-hot.
    legal : array of bool (T, *size, 7)
        The symbols that may come next.
    lengths : array of int (*size)
        How many steps each string has.
    """

    xs: AnyArray
    targets: AnyArray
    legal: NDArray[np.bool_]
    lengths: NDArray[np.int64]


def embedded_reber(rng: Rng, size: BatchSize, dtype: DTypeLike = np.float64) -> Strings:
    """Draw embedded Reber strings (Hochreiter & Schmidhuber 1997, experiment 1).

    Parameters
    ----------
    rng : None, int or numpy.random.Generator
        The source of randomness: fresh, a seed or a generator.
    size : int or tuple of int
        How many strings.
    dtype : NumPy dtype
        Of the inputs and targets.
    """
    stream = EmbeddedReber(rng, size)
    symbols, legal, alive = [stream.step()], [], []
    running = stream.state != 0
    while running.any():
        alive.append(running[..., None])
        legal.append(stream.legal & alive[-1])
        symbols.append(stream.step())
        running = running & (stream.state != 0)
    one_hot, steps = _one_hot(np.array(symbols), 7, dtype), np.array(alive)
    lengths = steps[..., 0].sum(axis=0)
    return Strings(one_hot[:-1] * steps, one_hot[1:] * steps, np.array(legal), lengths)


def _shape(size: BatchSize) -> tuple[int, ...]:
    shape = size if isinstance(size, tuple) else (size,)
    for n in shape:
        check_size("size", n)
    return shape


def _lengths(
    rng: np.random.Generator, T: int, size: tuple[int, ...], spread: float
) -> NDArray[np.int64]:
    """Draw lengths uniformly from T to (1 + spread) T."""
    check_number("spread", spread, low=0)
    return rng.integers(T, T + int(spread * T) + 1, size)


def _one_hot(symbols: AnyArray, K: int, dtype: DTypeLike) -> AnyArray:
    one_hot: AnyArray = (symbols[..., None] == np.arange(K)).astype(dtype)
    return one_hot


def _alive(xs: AnyArray, lengths: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return (T, *size), true before each sequence's end."""
    alive: NDArray[np.bool_] = np.arange(len(xs)).reshape(-1, *(1,) * lengths.ndim) < lengths
    return alive


def _at(xs: AnyArray, t: NDArray[np.int64]) -> AnyArray:
    """Return what each sequence of xs (T, *size, D) holds at its own step t (*size)."""
    there: AnyArray = np.take_along_axis(xs, t[None, ..., None], axis=0)[0]
    return there


def _put(values: AnyArray, t: NDArray[np.int64], value: ArrayLike) -> None:
    """Write into values (T, *size) at each sequence's own step t (*size)."""
    np.put_along_axis(values, t[None], np.broadcast_to(value, t.shape)[None], axis=0)
