"""What is checked of arguments, with errors in TensorFlow 1's terms."""

from collections.abc import Sequence
from typing import Any, SupportsFloat, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from npylstm.backend import AnyArray, Array
from npylstm.checks import check_array

TFState: TypeAlias = Any
"""Outputs, states and their gradients in TensorFlow's form: an array, a named tuple or a list of
arrays, or tuples of these. Which one it is depends on the cell."""


def check_distinct(leaves: Sequence[object]) -> None:
    """Raise ValueError if the same cell stands in several places."""
    if len({id(leaf) for leaf in leaves}) < len(leaves):
        raise ValueError(
            "the same cell stands in several places, as [cell] * n puts it, where it would share "
            "one set of variables with itself; make each cell anew: "
            "[BasicLSTMCell(...) for _ in range(n)]"
        )


def floating(name: str, dtype: DTypeLike | None) -> np.dtype[np.generic]:
    """Return the dtype; raise ValueError unless it is a floating-point one."""
    if dtype is None or np.dtype(dtype).kind != "f":
        raise ValueError(f"{name} must be a floating-point type, got {dtype!r}")
    return np.dtype(dtype)


def brief(value: object) -> str:
    """Show a value, but only the shape of an array, and the length of a list or tuple."""
    if hasattr(value, "shape"):
        return f"an array of shape {tuple(value.shape)}"
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    return repr(value)


def as_constant(value: SupportsFloat) -> float:
    """Return a number as TensorFlow's `convert_to_tensor` makes it: a Python number is float32.

    A NumPy number has a type of its own and keeps it.
    """
    return float(value if hasattr(value, "dtype") else np.float32(value))


def one_array(name: str, state: TFState) -> Array:
    """Return a state that is a single array; raise ValueError for another one."""
    if not hasattr(state, "shape"):
        raise ValueError(f"{name} must be one array, got {brief(state)}")
    array: Array = state
    return array


def check_like(name: str, array: AnyArray, model: Array) -> None:
    """Raise ValueError unless `array` has the shape and dtype of `model`."""
    if getattr(array, "shape", None) != model.shape or array.dtype != model.dtype:
        raise ValueError(
            f"{name} must be an array of {model.dtype} and shape {model.shape}, got "
            f"{brief(array)}{f' of {array.dtype}' if hasattr(array, 'dtype') else ''}"
        )


def check_step(name: str, x: Array) -> None:
    """Raise TypeError or ValueError unless `x` holds floating-point numbers, (B, D)."""
    check_array(name, x, ("B", "D"))
    if x.ndim != 2:
        raise ValueError(f"{name} must have shape (B, D), got {x.shape}")
