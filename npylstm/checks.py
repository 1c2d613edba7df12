"""One clear error for bad input: the argument's name, the value it had, what was expected."""

import math
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Option: TypeAlias = Any
"""The value of an option that is handed on by its name, to a function or class that knows its type.
No type says which options those are while the function is still to be chosen."""


def check_size(name: str, value: object) -> None:
    """Raise ValueError unless `value` is an integer of at least 1."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be a positive integer, got {value!r}")


def check_number(
    name: str,
    value: object,
    low: float = -math.inf,
    high: float = math.inf,
    open_low: bool = False,
    open_high: bool = False,
) -> None:
    """Raise ValueError unless `value` is a finite number in [low, high], or in (low, high)."""
    inside = (
        isinstance(value, Real)
        and not isinstance(value, bool)
        and _is_finite(value)
        and low <= float(value) <= high
        and not (open_low and value == low)
        and not (open_high and value == high)
    )
    if not inside:
        left = "(" if open_low or low == -math.inf else "["
        right = ")" if open_high or high == math.inf else "]"
        expected = f"in {left}{low:g}, {high:g}{right}"
        raise ValueError(f"{name} must be a finite number {expected}, got {value!r}")


def _is_finite(value: Real) -> bool:
    """Return whether a float can hold `value`; an integer of hundreds of digits is too large."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def check_choice(name: str, value: object, choices: Iterable[object]) -> None:
    """Raise ValueError unless `value` is one of `choices`."""
    known = list(choices)
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, got {value!r}")


def check_flag(name: str, value: object) -> None:
    """Raise ValueError unless `value` is True or False."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False, got {value!r}")


def check_array(name: str, array: NDArray[np.generic], shape: tuple[int | str, ...]) -> None:
    """Raise an error unless `array` holds floating-point numbers and its last axes fit `shape`.

    A string in `shape`, such as `"B"`, stands for any size. More axes in front are allowed: they
    number independent networks.

    Raises
    ------
    TypeError
        It is not an array, or holds integers or objects.
    ValueError
        Its shape does not fit.
    """
    kind = getattr(getattr(array, "dtype", None), "kind", None)
    if kind is None:
        raise TypeError(f"{name} must be a NumPy or CuPy array, got {type(array).__name__}")
    if kind not in "fc":
        raise TypeError(
            f"{name} must hold floating-point numbers, got dtype {array.dtype}; "
            "convert it, with .astype(np.float32) or .astype(np.float64)"
        )
    trailing = array.shape[max(array.ndim - len(shape), 0) :]
    if trailing != shape and (
        len(trailing) != len(shape)
        or any(a != b and not isinstance(b, str) for a, b in zip(trailing, shape, strict=True))
    ):
        wanted = ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "")
        raise ValueError(f"{name} must have shape ({wanted}), got {tuple(array.shape)}")


def check_precision(arrays: Mapping[str, NDArray[np.generic]]) -> None:
    """Raise TypeError unless all arrays have the precision of the first.

    One array of another precision would make everything slower, and its extra digits would be
    worthless. A complex number has the precision of its real part.
    """
    (first, like), *others = arrays.items()
    for name, array in others:
        bits = _bits(like.dtype)
        if array.dtype != like.dtype and _bits(array.dtype) != bits:
            wanted = f"complex{2 * bits}" if array.dtype.kind == "c" else f"float{bits}"
            raise TypeError(
                f"{name} must have the precision of {first}, {like.dtype}, got {array.dtype}; "
                f"convert it, with .astype(np.{wanted})"
            )


def _bits(dtype: np.dtype[np.generic]) -> int:
    return int(8 * dtype.itemsize // (2 if dtype.kind == "c" else 1))
