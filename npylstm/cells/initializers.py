"""Initial values of weight matrices, by name.

Weights are always drawn by NumPy in float64 and cast or moved afterwards, so that every dtype and
device starts from the same numbers.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from npylstm.backend import Array
from npylstm.checks import check_choice, check_number

Matrix: TypeAlias = NDArray[np.float64]


def glorot_uniform(rng: np.random.Generator, shape: tuple[int, int]) -> Matrix:
    """Draw from U[-l, l] with l = sqrt(6 / (rows + columns)) (Glorot & Bengio 2010, eq. 16)."""
    limit = math.sqrt(6 / sum(shape))
    return rng.uniform(-limit, limit, shape)


def orthogonal(rng: np.random.Generator, shape: tuple[int, int]) -> Matrix:
    """Draw orthonormal rows or columns, uniform over all such matrices (Saxe et al. 2014)."""
    rows, columns = shape
    q, r = np.linalg.qr(rng.standard_normal((max(shape), min(shape))))
    q = q * np.sign(np.diag(r))  # without the signs QR would not be uniform (Mezzadri 2007)
    return q if rows >= columns else q.T


def identity(_rng: np.random.Generator, shape: tuple[int, int]) -> Matrix:
    """Put ones on the diagonal, zeros elsewhere (the recurrence of Le, Jaitly & Hinton 2015)."""
    return np.eye(*shape)


def normal(rng: np.random.Generator, shape: tuple[int, int], std: float) -> Matrix:
    """Draw from a Gaussian with mean 0 and standard deviation `std`."""
    return rng.normal(0.0, std, shape)


def uniform(rng: np.random.Generator, shape: tuple[int, int], limit: float) -> Matrix:
    """Draw from U[-limit, limit]."""
    return rng.uniform(-limit, limit, shape)


FIXED: dict[str, Callable[[np.random.Generator, tuple[int, int]], Matrix]] = {
    "glorot_uniform": glorot_uniform,
    "orthogonal": orthogonal,
    "identity": identity,
}
SCALED: dict[str, Callable[[np.random.Generator, tuple[int, int], float], Matrix]] = {
    "normal": normal,
    "uniform": uniform,
}


def draw(name: str, rng: np.random.Generator, shape: tuple[int, int]) -> Matrix:
    """Draw a matrix by an initialiser's name, `"orthogonal"` or, with its scale, `"normal:0.1"`.

    Raises
    ------
    ValueError
        There is no such initialiser, or its scale is missing, unexpected or not positive.
    """
    kind, scale = parse(name)
    return FIXED[kind](rng, shape) if scale is None else SCALED[kind](rng, shape, scale)


def draw_kernel(
    rng: np.random.Generator,
    rows: tuple[int, int],
    columns: Sequence[int],
    kernel_initializer: str,
    recurrent_initializer: str | None,
) -> tuple[Matrix, Matrix]:
    """Draw W_x and W_h of a cell: their `rows`, (D, H), and the `columns` of each gate in both.

    Without a `recurrent_initializer` both are cut from one draw of shape (D + H, all columns),
    like the kernel of a TensorFlow 1 cell; the sizes of that matrix set the scale of a Glorot
    draw. With one, W_h is a separate draw for each gate, side by side.
    """
    D, H = rows
    if recurrent_initializer is None:
        kernel = draw(kernel_initializer, rng, (D + H, sum(columns)))
        return kernel[:D], kernel[D:]
    W_x = draw(kernel_initializer, rng, (D, sum(columns)))
    W_h = [draw(recurrent_initializer, rng, (H, width)) for width in columns]
    return W_x, np.concatenate(W_h, axis=1)


def cast(params: Mapping[str, Array], dtype: DTypeLike) -> dict[str, Array]:
    """Return drawn parameters in `dtype`; raise ValueError unless it is a floating-point type."""
    if np.dtype(dtype).kind != "f":
        raise ValueError(f"dtype must be a floating-point type, got {dtype!r}")
    return {name: array.astype(dtype) for name, array in params.items()}


def parse(name: str, argument: str = "initializer") -> tuple[str, float | None]:
    """Split an initialiser's name into kind and scale; raise ValueError if it is not one."""
    kind, colon, scale = str(name).partition(":")
    if kind in FIXED and not colon:
        return kind, None
    if kind not in SCALED:
        check_choice(argument, name, [*FIXED, *(f"{scaled}:SCALE" for scaled in SCALED)])
    try:
        value = float(scale)
    except ValueError:
        raise ValueError(f"{argument} must read '{kind}:SCALE', got {name!r}") from None
    check_number(f"the scale of {argument} {name!r}", value, low=0, open_low=True)
    return kind, value


def check_initializers(kernel_initializer: str, recurrent_initializer: str | None) -> None:
    """Raise ValueError unless both name initialisers; the second may be None."""
    parse(kernel_initializer, "kernel_initializer")
    if recurrent_initializer is not None:
        parse(recurrent_initializer, "recurrent_initializer")
