"""TensorFlow 1's loss and optimiser of the tutorials."""

from npylstm.backend import Array, array_module
from npylstm.checks import check_array
from npylstm.models import softmax_cross_entropy
from npylstm.tf1._checks import TFState, as_constant
from npylstm.training import RMSProp


def softmax_cross_entropy_with_logits(
    _sentinel: None = None, labels: TFState = None, logits: TFState = None, dim: int = -1
) -> Array:
    """Return the cross-entropy of each row.

    As in TensorFlow, labels and logits are given by name, because it is easy to exchange them.

    Its gradient with respect to `logits` is softmax(logits) - labels.

    Parameters
    ----------
    labels : array of the shape of `logits`
        A probability for each class; rows of one-hot labels, for instance.
    logits : array (B, K)
        The network's outputs before the softmax.
    dim : int
        The axis of the classes.

    Returns
    -------
    array (B,)
        In nats.

    Raises
    ------
    TypeError
        Labels or logits that are missing, or not floating-point numbers.
    ValueError
        Labels of another shape, or arguments that are given by their position.
    """
    if _sentinel is not None:
        raise ValueError("labels and logits must be given by name: labels=..., logits=...")
    xp = array_module(logits)
    check_array("logits", logits, ("K",))
    check_array("labels", labels, ("K",))
    if labels.shape != logits.shape:
        raise ValueError(f"labels must have shape {logits.shape}, like logits, got {labels.shape}")
    rows, truth = xp.moveaxis(logits, dim, -1), xp.moveaxis(labels, dim, -1).astype(logits.dtype)
    cost, _ = softmax_cross_entropy(rows[..., None, :], truth[..., None, :])  # batches of one row
    return cost


def RMSPropOptimizer(
    learning_rate: float,
    decay: float = 0.9,
    momentum: float = 0.0,
    epsilon: float = 1e-10,
    *,
    centered: bool = False,
) -> RMSProp:
    """Return `npylstm.training.RMSProp` by TensorFlow's rule and with its rounding.

    The mean square starts at 1 and epsilon stands under the root. TensorFlow rounds Python's
    numbers to float32 for variables of any type, so they are rounded here; NumPy's numbers keep
    their own type there and here.

    Parameters
    ----------
    learning_rate, decay, momentum, epsilon, centered
        As in `RMSProp`.

    Returns
    -------
    RMSProp
        `slots = optimizer.init(variables)` makes TensorFlow's slots, and
        `variables, slots = optimizer.update(variables, grads, slots)` is its `train_op`.

    Raises
    ------
    ValueError
        A number out of its range.
    """
    settings = learning_rate, decay, momentum, epsilon
    rate, rho, mu, eps = map(as_constant, settings)
    return RMSProp(rate, rho, mu, eps, centered)
