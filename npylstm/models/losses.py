"""Loss functions: the value, and its gradient with respect to the network's outputs.

Every loss is a weighted sum over the batch, the last axis but one. By default the weights are 1/B,
so the loss is the mean. Axes in front (time, independent networks) are kept: each entry has a value
of its own, and the gradient of that value alone.
"""

import numpy as np

from npylstm.backend import AnyArray, Array, Labels, array_module
from npylstm.checks import check_array


def softmax(logits: Array) -> Array:
    """Return the softmax over the last axis, stable for logits of any size."""
    exp = array_module(logits).exp(logits - _largest(logits))
    total: Array = exp.sum(axis=-1, keepdims=True)
    return exp / total


def softmax_cross_entropy(
    logits: Array, labels: Array | Labels, weights: Array | None = None
) -> tuple[Array, Array]:
    """Cross-entropy between softmax(logits) and the labels (Graves 2012, sec. 3.1.3).

    ::

        L = -Σ_b w_b Σ_k z_bk log y_bk        y = softmax(logits), z the labels as one-of-K rows
        dlogits_b = w_b (y_b - z_b)

    Parameters
    ----------
    logits : array (..., B, K)
        The network's outputs before the softmax.
    labels : array (..., B) of int, or (..., B, K)
        Class numbers 0 to K - 1, or a probability for each class. Probabilities must sum to 1,
        because dlogits is the gradient of L only then.
    weights : array (..., B), optional
        w, 1/B by default.

    Returns
    -------
    loss : array (...)
        In nats; a scalar for logits of shape (B, K).
    dlogits : array (..., B, K)
        ∂L/∂logits.

    Raises
    ------
    TypeError
        Logits are not floating-point numbers, or labels are not an array.
    ValueError
        Labels or weights have another shape, class numbers are outside 0..K-1, or the batch is
        empty and has no weights.
    """
    check_array("logits", logits, ("B", "K"))
    _check_is_array("labels", labels)
    w = _row_weights("logits", logits, weights)
    xp, K = array_module(logits), logits.shape[-1]
    if labels.dtype.kind in "iu":
        _check_shape("labels", labels, logits.shape[:-1])
        on_cpu = isinstance(labels, np.ndarray)
        # On a GPU this check would make the host wait for the device at every step.
        if on_cpu and labels.size and not 0 <= labels.min() <= labels.max() < K:
            raise ValueError(
                f"labels must be between 0 and K - 1 = {K - 1}, "
                f"got values from {labels.min()} to {labels.max()}"
            )
        rows = labels[..., None] == xp.arange(K)
    elif labels.shape == logits.shape:
        rows = labels
    else:
        raise ValueError(
            f"labels must have shape {logits.shape}, got {labels.shape} of {labels.dtype}; "
            "class numbers must be integers, as .astype(int) makes them"
        )
    rows = rows.astype(logits.dtype)

    with np.errstate(over="ignore"):  # a logit that is too far below the largest counts as -inf
        shifted = logits - _largest(logits)
    log_probabilities = shifted - xp.log(xp.exp(shifted).sum(axis=-1, keepdims=True))
    counted = xp.where(rows == 0, xp.zeros_like(log_probabilities), log_probabilities)
    loss = -(w * rows * counted).sum(axis=(-2, -1))
    return loss, w * (xp.exp(log_probabilities) - rows)


def mean_squared_error(
    outputs: Array, targets: Array, weights: Array | None = None
) -> tuple[Array, Array]:
    """Squared error, summed over the K outputs.

    ::

        L = Σ_b w_b Σ_k (y_bk - z_bk)²
        dy_b = 2 w_b (y_b - z_b)

    Parameters
    ----------
    outputs, targets : array (..., B, K)
        y and z.
    weights : array (..., B), optional
        w, 1/B by default.

    Returns
    -------
    loss : array (...)
        A scalar for outputs of shape (B, K).
    doutputs : array (..., B, K)
        ∂L/∂y.

    Raises
    ------
    TypeError
        Outputs are not floating-point numbers, or targets are not an array.
    ValueError
        Targets or weights have another shape, or the batch is empty and has no weights.
    """
    check_array("outputs", outputs, ("B", "K"))
    _check_is_array("targets", targets)
    _check_shape("targets", targets, outputs.shape)
    w = _row_weights("outputs", outputs, weights)
    difference = outputs - targets.astype(outputs.dtype)
    return (w * difference**2).sum(axis=(-2, -1)), 2 * w * difference


def _largest(logits: Array) -> Array:
    """Return each row's largest logit; with it subtracted, no exponential overflows."""
    largest: Array = logits.real.max(axis=-1, keepdims=True)
    return largest


def _row_weights(name: str, rows: Array, weights: Array | None) -> Array | float:
    """Return w (..., B, 1), or 1/B for all rows (..., B, K), in their dtype."""
    if weights is not None:
        _check_is_array("weights", weights)
        _check_shape("weights", weights, rows.shape[:-1])
        return weights.astype(rows.dtype)[..., None]
    if rows.shape[-2] == 0:
        raise ValueError(f"{name} must have at least one row for a mean, got {rows.shape}")
    B: int = rows.shape[-2]
    return 1 / B


def _check_is_array(name: str, array: object) -> None:
    if not hasattr(array, "dtype"):
        raise TypeError(f"{name} must be an array, got {type(array).__name__}")


def _check_shape(name: str, array: AnyArray, expected: tuple[int, ...]) -> None:
    if array.shape != expected:
        raise ValueError(f"{name} must have shape {tuple(expected)}, got {tuple(array.shape)}")
