"""Comparing numbers: how far apart two results may be and still be the same."""

import numpy as np

from npylstm.backend import Array
from npylstm.exercises.trials import Outputs

TOLERANCE = 1e-5
TOLERANCE_FLOAT32 = 1e-3


def tolerance(array: Array) -> float:
    """Relative error that rounding may cause in results of that dtype."""
    return TOLERANCE if array.dtype.itemsize >= 8 else TOLERANCE_FLOAT32


def relative_error(got: Array, right: Array, scale: float = 0.0) -> float:
    """Largest error relative to the largest right entry, or to `scale` where that is larger.

    Entries that are both nan, or both the same infinity, agree.
    """
    with np.errstate(all="ignore"):
        agree = (got == right) | (np.isnan(got) & np.isnan(right))
        worst = np.max(np.where(agree, 0.0, abs(got - right)), initial=0.0)
        largest = np.max(abs(right), initial=scale, where=np.isfinite(right))
    if worst == 0:
        return 0.0
    return float(worst / largest) if largest > 0 and np.isfinite(worst) else np.inf


def noise_floor(outputs: Outputs) -> float:
    """Scale below which a block counts as zero: far below the largest of all blocks."""
    finite = [
        np.max(abs(a), initial=0.0, where=np.isfinite(a))
        for a in outputs.values()
        if a.dtype.kind == "f"
    ]
    return 1e-4 * float(max(finite, default=0.0))


def agree(got: Outputs, other: Outputs) -> bool:
    """Return whether two answers to one trial are the same up to rounding."""
    floor = noise_floor(other)
    return got.keys() == other.keys() and all(close(got[name], other[name], floor) for name in got)


def truncated(got: Array, other: Array) -> bool:
    """Return whether whole numbers are others truncated towards zero, up to rounding."""
    nearly = abs(got - other) < TOLERANCE
    return bool(np.all(nearly | (got == np.trunc(other))))


def close(got: Array, other: Array, floor: float) -> bool:
    """Return whether two results are the same up to rounding; below the floor counts as zero."""
    if got.dtype.kind != "f":
        return got.dtype == other.dtype and np.array_equal(got, other)
    return got.shape == other.shape and relative_error(got, other, floor) <= tolerance(got)
