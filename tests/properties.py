"""What the tests of cells, sequences, layers and models have in common."""

import numpy as np

from npylstm.cells.base import map_state


def random_like(rng, state):
    """A state of the same shapes with random numbers in it."""
    return map_state(lambda array: rng.standard_normal(np.shape(array)), state)


def random_params(part, rng):
    """Parameters of which none is zero."""
    params = part.init(rng)
    return {name: a + 0.2 * rng.standard_normal(a.shape) for name, a in params.items()}


def leaves(tree):
    """All arrays inside nested tuples, lists and dictionaries, in order."""
    if isinstance(tree, dict):
        tree = [tree[name] for name in sorted(tree)]
    if isinstance(tree, tuple | list):
        return [array for part in tree for array in leaves(part)]
    return [] if tree is None else [np.asarray(tree)]


def transform(function, tree):
    """Apply a function to all arrays inside nested tuples, lists and dictionaries."""
    if isinstance(tree, dict):
        return {name: transform(function, part) for name, part in tree.items()}
    if isinstance(tree, tuple):
        parts = [transform(function, part) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
    return function(tree) if isinstance(tree, np.ndarray) else tree


def read_only(tree):
    """Copies that nobody can write to."""

    def frozen(array):
        array = array.copy()
        array.flags.writeable = False
        return array

    return transform(frozen, tree)


def strided(tree):
    """The same values in memory that is neither contiguous nor in order."""

    def spread(array):
        wide = np.full((*array.shape[:-1], 2 * array.shape[-1]), np.nan, array.dtype)
        wide[..., ::-2] = array
        return wide[..., ::-2]

    return transform(spread, tree)


def taken(lengths, T):
    """Return which sequences take each step (T, B), by lengths (B,) or a mask (T, B)."""
    lengths = np.asarray(lengths)
    return lengths if lengths.ndim == 2 else np.arange(T)[:, None] < lengths


def assert_close(got, expected, rtol=1e-12, atol=1e-12):
    """Assert that two trees have the same arrays up to rounding."""
    got, expected = leaves(got), leaves(expected)
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol, atol)


def assert_identical(got, expected):
    """Assert that two trees have the same arrays to the last bit, dtypes included."""
    got, expected = leaves(got), leaves(expected)
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
