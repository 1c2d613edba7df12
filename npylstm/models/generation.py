"""Let a trained model write: draw a symbol, read it back as the next input, and so on."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from npylstm.backend import Rng, array_module, to_numpy
from npylstm.cells import Params
from npylstm.checks import check_number, check_size
from npylstm.models.losses import softmax
from npylstm.models.model import SequenceModel
from npylstm.sequence import not_causal


def generate(
    model: SequenceModel,
    params: Params,
    prompt: ArrayLike,
    length: int,
    temperature: float = 1.0,
    rng: Rng = None,
) -> NDArray[np.int64]:
    """Continue a sequence of symbols (Graves 2013, "Generating sequences with RNNs", sec. 2).

    The next symbol is k with probability p_k ∝ exp(y_k / temperature), y being the model's logits.
    The state is carried along, so that each symbol costs one step.

    Parameters
    ----------
    model : SequenceModel
        It must predict the next of K symbols at every step and read forwards only: it has
        `every_step=True`, the loss `"cross_entropy"`, and K inputs and K outputs.
    params : dict of arrays
        Its parameters.
    prompt : array (N,) of int
        The numbers of the symbols to begin with, at least one.
    length : int
        How many symbols to add.
    temperature : float
        Above 0. At 1 the model's own probabilities hold. Below 1, likely symbols become likelier;
        above 1, the probabilities become more equal.
    rng : None, int or numpy.random.Generator
        The source of the draws.

    Returns
    -------
    array (length,) of int
        The new symbols.

    Raises
    ------
    ValueError
        The model is of another kind, the prompt is empty or has other numbers, the length is below
        one, or the temperature is not above 0.
    """
    K = model.output_size
    if not model.every_step or model.loss != "cross_entropy" or model.recurrent.input_size != K:
        raise ValueError(
            "model must predict the next of K symbols at every step, with every_step=True, "
            f"loss='cross_entropy' and K inputs and outputs, got {model}"
        )
    if (layer := not_causal(model.recurrent)) is not None:
        raise ValueError(f"model must read forwards only, got one with a {layer}")
    read = np.asarray(prompt)
    numbers = read.ndim == 1 and read.size > 0 and read.dtype.kind in "iu"
    if not numbers or read.min() < 0 or read.max() >= K:
        raise ValueError(f"prompt must be one or more integers from 0 to {K - 1}, got {prompt!r}")
    check_size("length", length)
    check_number("temperature", temperature, low=0, open_low=True)

    rng = np.random.default_rng(rng)
    W_y = params["W_y"]
    state, written = None, np.empty(length, np.int64)
    for n in range(length):
        xs = array_module(W_y).asarray(np.eye(K, dtype=W_y.dtype)[read][:, None])
        ys, state = model.predict_segment(params, xs, state)
        y = to_numpy(ys[-1, 0]).astype(np.float64)
        written[n] = rng.choice(K, p=softmax(y / temperature))
        read = written[n : n + 1]
    return written
