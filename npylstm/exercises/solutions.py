"""The reference solution of every exercise, written to be read.

The docstring of a solution is the text of the exercise: the stub that a student gets is its
signature and docstring with the body left out.

Conventions: row vectors, sequences time-major (T, B, D), LSTM columns in the order i, f, o, g,
GRU columns r, u, n, and dz for dL/dz. Gradients of parameters are summed over batch and time.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from npylstm.backend import Array

Params: TypeAlias = dict[str, Array]


def sigmoid(z: Array) -> Array:
    """Squash every entry of z into (0, 1).

    Equation::

        s = 1 / (1 + exp(-z))

    The result must be finite for entries as large as 1000 or as small as -1000, and nothing may
    overflow on the way to it.

    Parameters
    ----------
    z : array of any shape

    Returns
    -------
    s : array of the shape of z
    """
    s: Array = 0.5 * np.tanh(0.5 * z) + 0.5
    return s


def sigmoid_backward(ds: Array, s: Array) -> Array:
    """Carry a gradient back through the logistic function.

    Forward::

        s = 1 / (1 + exp(-z))

    Parameters
    ----------
    ds : array
        dL/ds, the gradient that arrives.
    s : array of the same shape
        The output of the forward pass, not its input z.

    Returns
    -------
    dz : array of the same shape
    """
    return ds * s * (1 - s)


def tanh_backward(dt: Array, t: Array) -> Array:
    """Carry a gradient back through the hyperbolic tangent.

    Forward::

        t = tanh(z)

    Parameters
    ----------
    dt : array
        dL/dt, the gradient that arrives.
    t : array of the same shape
        The output of the forward pass, not its input z.

    Returns
    -------
    dz : array of the same shape
    """
    return dt * (1 - t**2)


def softmax_cross_entropy(logits: Array, labels: Array) -> tuple[Array, Array]:
    """Mean cross-entropy of softmax probabilities, and its gradient.

    Equations::

        p = exp(logits) / sum over classes of exp(logits)
        loss = mean over rows of -log(p[row, label])

    Both results must be finite for logits as large as 1000 or as small as -1000, and nothing may
    overflow on the way to them.

    Parameters
    ----------
    logits : (B, K)
    labels : (B,) of int
        The right class of each row, from 0 to K - 1.

    Returns
    -------
    loss : number
    dlogits : (B, K)
    """
    B = len(labels)
    rows = np.arange(B)
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -log_p[rows, labels].mean()
    dlogits = np.exp(log_p)
    dlogits[rows, labels] -= 1
    return loss, dlogits / B


def rnn_cell_forward(x: Array, h_prev: Array, W_x: Array, W_h: Array, b: Array) -> Array:
    """One step of the vanilla RNN.

    Equation::

        h = tanh(x @ W_x + h_prev @ W_h + b)

    Parameters
    ----------
    x : (B, D)
    h_prev : (B, H)
    W_x, W_h, b : (D, H), (H, H), (H,)

    Returns
    -------
    h : (B, H)
    """
    return np.tanh(x @ W_x + h_prev @ W_h + b)


def rnn_cell_backward(
    dh: Array, x: Array, h_prev: Array, h: Array, W_x: Array, W_h: Array
) -> tuple[Array, Array, Array, Array, Array]:
    """Carry a gradient back through one step of the vanilla RNN.

    Forward::

        z = x @ W_x + h_prev @ W_h + b
        h = tanh(z)

    Parameters
    ----------
    dh : (B, H)
        dL/dh, the gradient that arrives.
    x : (B, D)
    h_prev, h : (B, H)
    W_x, W_h : (D, H), (H, H)

    Returns
    -------
    dx, dh_prev : (B, D), (B, H)
    dW_x, dW_h, db : (D, H), (H, H), (H,)
        Summed over the batch.
    """
    dz = dh * (1 - h**2)
    dx = dz @ W_x.T
    dh_prev = dz @ W_h.T
    dW_x = x.T @ dz
    dW_h = h_prev.T @ dz
    db = dz.sum(axis=0)
    return dx, dh_prev, dW_x, dW_h, db


def rnn_forward(xs: Array, h0: Array, W_x: Array, W_h: Array, b: Array) -> Array:
    """Run the vanilla RNN over a sequence.

    Equation, for t = 0 ... T - 1, with h0 as the state before the first step::

        h_t = tanh(x_t @ W_x + h_{t-1} @ W_h + b)

    Parameters
    ----------
    xs : (T, B, D)
    h0 : (B, H)
    W_x, W_h, b : (D, H), (H, H), (H,)

    Returns
    -------
    hs : (T, B, H)
        The state after every step, so hs[-1] is the last one.
    """
    h = h0
    hs = []
    for x in xs:
        h = rnn_cell_forward(x, h, W_x, W_h, b)
        hs.append(h)
    return np.stack(hs)


def rnn_backward(
    dhs: Array, xs: Array, h0: Array, hs: Array, W_x: Array, W_h: Array
) -> tuple[Array, Array, Array, Array, Array]:
    """Back-propagation through time for the vanilla RNN.

    Forward, for t = 0 ... T - 1, with h0 as the state before the first step::

        h_t = tanh(x_t @ W_x + h_{t-1} @ W_h + b)
        L = L_0(h_0) + L_1(h_1) + ... + L_{T-1}(h_{T-1})

    Parameters
    ----------
    dhs : (T, B, H)
        dL_t/dh_t: what the loss of each step sends to its own state.
    xs : (T, B, D)
    h0 : (B, H)
    hs : (T, B, H)
        The state after every step.
    W_x, W_h : (D, H), (H, H)

    Returns
    -------
    dxs, dh0 : (T, B, D), (B, H)
    dW_x, dW_h, db : (D, H), (H, H), (H,)
        Summed over batch and time.
    """
    dxs = np.zeros_like(xs)
    dh = np.zeros_like(h0)
    dW_x, dW_h, db = np.zeros_like(W_x), np.zeros_like(W_h), np.zeros_like(W_h[0])
    for t in reversed(range(len(xs))):
        h_prev = hs[t - 1] if t > 0 else h0
        dh = dh + dhs[t]
        dxs[t], dh, dW_x_t, dW_h_t, db_t = rnn_cell_backward(dh, xs[t], h_prev, hs[t], W_x, W_h)
        dW_x += dW_x_t
        dW_h += dW_h_t
        db += db_t
    return dxs, dh, dW_x, dW_h, db


def lstm_cell_forward(
    x: Array, h_prev: Array, c_prev: Array, W_x: Array, W_h: Array, b: Array
) -> tuple[Array, Array, tuple[Array, Array, Array, Array]]:
    """One step of the LSTM.

    Equations; the columns of W_x, W_h and b hold i, f, o, g in this order::

        z = x @ W_x + h_prev @ W_h + b
        i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o)
        g = tanh(z_g)
        c = f * c_prev + i * g
        h = o * tanh(c)

    Nothing is added to the forget gate: its bias is part of b.

    Parameters
    ----------
    x : (B, D)
    h_prev, c_prev : (B, H)
    W_x, W_h, b : (D, 4H), (H, 4H), (4H,)

    Returns
    -------
    h, c : (B, H), (B, H)
    (i, f, o, g) : tuple of four arrays (B, H)
    """
    H = h_prev.shape[1]
    z = x @ W_x + h_prev @ W_h + b
    i, f, o = np.split(sigmoid(z[:, : 3 * H]), 3, axis=1)
    g = np.tanh(z[:, 3 * H :])
    c = f * c_prev + i * g
    h = o * np.tanh(c)
    return h, c, (i, f, o, g)


def lstm_cell_backward(
    dh: Array,
    dc: Array,
    x: Array,
    h_prev: Array,
    c_prev: Array,
    i: Array,
    f: Array,
    o: Array,
    g: Array,
    c: Array,
    W_x: Array,
    W_h: Array,
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Carry the gradients back through one step of the LSTM.

    Forward; the columns of W_x, W_h and b hold i, f, o, g in this order::

        z = x @ W_x + h_prev @ W_h + b
        i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o)
        g = tanh(z_g)
        c = f * c_prev + i * g
        h = o * tanh(c)

    Parameters
    ----------
    dh, dc : (B, H), (B, H)
        What arrives at h, and what arrives at c from the next step. The part of dL/dc that
        comes through h is not in dc.
    x : (B, D)
    h_prev, c_prev : (B, H), (B, H)
    i, f, o, g, c : (B, H) each
    W_x, W_h : (D, 4H), (H, 4H)

    Returns
    -------
    dx, dh_prev, dc_prev : (B, D), (B, H), (B, H)
    dW_x, dW_h, db : (D, 4H), (H, 4H), (4H,)
        Summed over the batch.
    """
    tanh_c = np.tanh(c)
    do = dh * tanh_c
    dc = dc + dh * o * (1 - tanh_c**2)
    di = dc * g
    df = dc * c_prev
    dg = dc * i
    dc_prev = dc * f
    dz_i = di * i * (1 - i)
    dz_f = df * f * (1 - f)
    dz_o = do * o * (1 - o)
    dz_g = dg * (1 - g**2)
    dz = np.concatenate([dz_i, dz_f, dz_o, dz_g], axis=1)
    dx = dz @ W_x.T
    dh_prev = dz @ W_h.T
    dW_x = x.T @ dz
    dW_h = h_prev.T @ dz
    db = dz.sum(axis=0)
    return dx, dh_prev, dc_prev, dW_x, dW_h, db


def lstm_backward(
    dhs: Array,
    xs: Array,
    h0: Array,
    c0: Array,
    gates: Array,
    cs: Array,
    hs: Array,
    W_x: Array,
    W_h: Array,
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Back-propagation through time for the LSTM.

    Forward, for t = 0 ... T - 1, with h0 and c0 as the states before the first step::

        h_t, c_t = one LSTM step of (x_t, h_{t-1}, c_{t-1})
        L = L_0(h_0) + L_1(h_1) + ... + L_{T-1}(h_{T-1})

    No gradient arrives at the last c: the loss sees c only through h.

    Parameters
    ----------
    dhs : (T, B, H)
        dL_t/dh_t: what the loss of each step sends to its own state.
    xs : (T, B, D)
    h0, c0 : (B, H), (B, H)
    gates : (T, B, 4H)
        i, f, o, g of every step, side by side.
    cs, hs : (T, B, H), (T, B, H)
        The states after every step.
    W_x, W_h : (D, 4H), (H, 4H)

    Returns
    -------
    dxs, dh0, dc0 : (T, B, D), (B, H), (B, H)
    dW_x, dW_h, db : (D, 4H), (H, 4H), (4H,)
        Summed over batch and time.
    """
    dxs = np.zeros_like(xs)
    dh, dc = np.zeros_like(h0), np.zeros_like(c0)
    dW_x, dW_h, db = np.zeros_like(W_x), np.zeros_like(W_h), np.zeros_like(W_h[0])
    for t in reversed(range(len(xs))):
        h_prev = hs[t - 1] if t > 0 else h0
        c_prev = cs[t - 1] if t > 0 else c0
        i, f, o, g = np.split(gates[t], 4, axis=1)
        dh = dh + dhs[t]
        dxs[t], dh, dc, dW_x_t, dW_h_t, db_t = lstm_cell_backward(
            dh, dc, xs[t], h_prev, c_prev, i, f, o, g, cs[t], W_x, W_h
        )
        dW_x += dW_x_t
        dW_h += dW_h_t
        db += db_t
    return dxs, dh, dc, dW_x, dW_h, db


def peephole_lstm_cell_forward(
    x: Array,
    h_prev: Array,
    c_prev: Array,
    W_x: Array,
    W_h: Array,
    b: Array,
    p_i: Array,
    p_f: Array,
    p_o: Array,
) -> tuple[Array, Array, tuple[Array, Array, Array, Array]]:
    """One step of the peephole LSTM, given to the students in words (Gers et al. 2002)."""
    z_i, z_f, z_o, z_g = np.split(x @ W_x + h_prev @ W_h + b, 4, axis=1)
    i = sigmoid(z_i + p_i * c_prev)
    f = sigmoid(z_f + p_f * c_prev)
    g = np.tanh(z_g)
    c = f * c_prev + i * g
    o = sigmoid(z_o + p_o * c)
    return o * np.tanh(c), c, (i, f, o, g)


def peephole_lstm_cell_backward(
    dh: Array,
    dc: Array,
    x: Array,
    h_prev: Array,
    c_prev: Array,
    i: Array,
    f: Array,
    o: Array,
    g: Array,
    c: Array,
    W_x: Array,
    W_h: Array,
    p_i: Array,
    p_f: Array,
    p_o: Array,
) -> tuple[Array, Array, Array, Array, Array, Array, Array, Array, Array]:
    """Carry the gradients back through one step of the LSTM with peepholes.

    Forward; the columns of W_x, W_h and b hold i, f, o, g in this order::

        z = x @ W_x + h_prev @ W_h + b
        i, f = sigmoid(z_i + p_i * c_prev), sigmoid(z_f + p_f * c_prev)
        g = tanh(z_g)
        c = f * c_prev + i * g
        o = sigmoid(z_o + p_o * c)
        h = o * tanh(c)

    Parameters
    ----------
    dh, dc : (B, H), (B, H)
        What arrives at h, and what arrives at c from the next step. The parts of dL/dc that
        come through h and through o are not in dc.
    x : (B, D)
    h_prev, c_prev : (B, H), (B, H)
    i, f, o, g, c : (B, H) each
    W_x, W_h : (D, 4H), (H, 4H)
    p_i, p_f, p_o : (H,) each

    Returns
    -------
    dx, dh_prev, dc_prev : (B, D), (B, H), (B, H)
    dW_x, dW_h, db : (D, 4H), (H, 4H), (4H,)
        Summed over the batch.
    dp_i, dp_f, dp_o : (H,) each
        Summed over the batch.
    """
    tanh_c = np.tanh(c)
    do = dh * tanh_c
    dz_o = do * o * (1 - o)
    dc = dc + dh * o * (1 - tanh_c**2) + dz_o * p_o
    di = dc * g
    df = dc * c_prev
    dg = dc * i
    dz_i = di * i * (1 - i)
    dz_f = df * f * (1 - f)
    dz_g = dg * (1 - g**2)
    dc_prev = dc * f + dz_i * p_i + dz_f * p_f
    dz = np.concatenate([dz_i, dz_f, dz_o, dz_g], axis=1)
    dx = dz @ W_x.T
    dh_prev = dz @ W_h.T
    dW_x = x.T @ dz
    dW_h = h_prev.T @ dz
    db = dz.sum(axis=0)
    dp_i = (dz_i * c_prev).sum(axis=0)
    dp_f = (dz_f * c_prev).sum(axis=0)
    dp_o = (dz_o * c).sum(axis=0)
    return dx, dh_prev, dc_prev, dW_x, dW_h, db, dp_i, dp_f, dp_o


def gru_cell_forward(
    x: Array, h_prev: Array, W_x: Array, W_h: Array, b: Array
) -> tuple[Array, tuple[Array, Array, Array]]:
    """One step of the GRU, given to the students in words (Cho et al. 2014)."""
    H = h_prev.shape[1]
    x_r, x_u, x_n = np.split(x @ W_x + b, 3, axis=1)
    r = sigmoid(x_r + h_prev @ W_h[:, :H])
    u = sigmoid(x_u + h_prev @ W_h[:, H : 2 * H])
    n = np.tanh(x_n + (r * h_prev) @ W_h[:, 2 * H :])
    return u * h_prev + (1 - u) * n, (r, u, n)


def gru_cell_backward(
    dh: Array, x: Array, h_prev: Array, r: Array, u: Array, n: Array, W_x: Array, W_h: Array
) -> tuple[Array, Array, Array, Array, Array]:
    """Carry a gradient back through one step of the GRU.

    Forward; the columns of W_x, W_h and b hold r, u, n in this order::

        r = sigmoid(x @ W_xr + h_prev @ W_hr + b_r)
        u = sigmoid(x @ W_xu + h_prev @ W_hu + b_u)
        n = tanh(x @ W_xn + (r * h_prev) @ W_hn + b_n)
        h = u * h_prev + (1 - u) * n

    Parameters
    ----------
    dh : (B, H)
        dL/dh, the gradient that arrives.
    x : (B, D)
    h_prev : (B, H)
    r, u, n : (B, H) each
    W_x, W_h : (D, 3H), (H, 3H)

    Returns
    -------
    dx, dh_prev : (B, D), (B, H)
    dW_x, dW_h, db : (D, 3H), (H, 3H), (3H,)
        Summed over the batch.
    """
    W_hr, W_hu, W_hn = np.split(W_h, 3, axis=1)
    du = dh * (h_prev - n)
    dn = dh * (1 - u)
    dz_n = dn * (1 - n**2)
    dm = dz_n @ W_hn.T  # m = r * h_prev
    dr = dm * h_prev
    dz_r = dr * r * (1 - r)
    dz_u = du * u * (1 - u)
    dz = np.concatenate([dz_r, dz_u, dz_n], axis=1)
    dh_prev = dh * u + dm * r + dz_r @ W_hr.T + dz_u @ W_hu.T
    dx = dz @ W_x.T
    dW_x = x.T @ dz
    dW_h = np.concatenate([h_prev.T @ dz_r, h_prev.T @ dz_u, (r * h_prev).T @ dz_n], axis=1)
    db = dz.sum(axis=0)
    return dx, dh_prev, dW_x, dW_h, db


def numerical_gradient(f: Callable[[Array], float], x: Array, h: float) -> Array:
    """Gradient of f at x by central differences, one entry of x at a time.

    Equation, with e_k one at entry k and zero elsewhere::

        df/dx_k = (f(x + h * e_k) - f(x - h * e_k)) / (2 * h)

    Parameters
    ----------
    f : function from an array to a number
    x : array of any shape
        Must hold the same values afterwards. It may hold whole numbers, of an integer dtype.
    h : number
        The step.

    Returns
    -------
    gradient : array of floats of the shape of x
    """
    x = x.astype(float)
    gradient = np.zeros_like(x)
    for k in np.ndindex(x.shape):
        x_plus, x_minus = x.copy(), x.copy()
        x_plus[k] += h
        x_minus[k] -= h
        gradient[k] = (f(x_plus) - f(x_minus)) / (2 * h)
    return gradient


def rmsprop_step(
    param: Array, grad: Array, ms: Array, lr: float, decay: float, eps: float
) -> tuple[Array, Array]:
    """One step of RMSProp in PyTorch's convention.

    Equations; the new ms is the one that divides::

        ms = decay * ms + (1 - decay) * grad**2
        param = param - lr * grad / (sqrt(ms) + eps)

    Parameters
    ----------
    param, grad, ms : arrays of one shape
    lr, decay, eps : numbers

    Returns
    -------
    param, ms : arrays of the same shape
        New arrays: the arguments keep their values.
    """
    ms = decay * ms + (1 - decay) * grad**2
    param = param - lr * grad / (np.sqrt(ms) + eps)
    return param, ms


def rmsprop_step_tf1(
    param: Array, grad: Array, ms: Array, lr: float, decay: float, eps: float
) -> tuple[Array, Array]:
    """One step of RMSProp in TensorFlow 1's convention.

    Equations; the new ms is the one that divides::

        ms = decay * ms + (1 - decay) * grad**2
        param = param - lr * grad / sqrt(ms + eps)

    TensorFlow 1 starts ms at one, PyTorch at zero; here ms is given.

    Parameters
    ----------
    param, grad, ms : arrays of one shape
    lr, decay, eps : numbers

    Returns
    -------
    param, ms : arrays of the same shape
        New arrays: the arguments keep their values.
    """
    ms = decay * ms + (1 - decay) * grad**2
    param = param - lr * grad / np.sqrt(ms + eps)
    return param, ms


def clip_by_global_norm(grads: Params, max_norm: float) -> tuple[Params, Array]:
    """Scale all gradients together so that their global norm is at most max_norm.

    Equations; gradients whose norm does not exceed the bound stay as they are::

        norm = sqrt(sum over all entries of all gradients of grad**2)
        grad = grad * max_norm / norm, where norm > max_norm

    Parameters
    ----------
    grads : dict of arrays
        Must hold the same values afterwards. All of them may be zero; nothing is divided by a
        norm of zero.
    max_norm : number above zero

    Returns
    -------
    grads : dict of arrays, with the same keys
    norm : number
        The norm before clipping.
    """
    norm = np.sqrt(sum((grad**2).sum() for grad in grads.values()))
    scale = max_norm / max(norm, max_norm)
    return {name: grad * scale for name, grad in grads.items()}, norm


def jacobian_product_norms(hs: Array, W_h: Array) -> Array:
    """How strongly the last state of a vanilla RNN depends on each earlier one.

    Forward, for one sequence::

        h_t = tanh(x_t @ W_x + h_{t-1} @ W_h + b)

    Chain rule::

        dh_{T-1}/dh_t = product of the Jacobians dh_{s+1}/dh_s for s = t ... T - 2

    Parameters
    ----------
    hs : (T, H)
        The state after every step, of one sequence.
    W_h : (H, H)

    Returns
    -------
    norms : (T,)
        norms[t] is the 2-norm (largest singular value) of dh_{T-1}/dh_t, so norms[T-1] is 1.
    """
    T, H = hs.shape
    product = np.eye(H)
    norms = np.ones(T)
    for t in reversed(range(T - 1)):
        jacobian = W_h * (1 - hs[t + 1] ** 2)
        product = jacobian @ product
        norms[t] = np.linalg.norm(product, 2)
    return norms


def train(
    loss_and_grads: Callable[[Params, Array, Array], tuple[float, Params]],
    params: Params,
    batches: Sequence[tuple[Array, Array]],
    epochs: int,
    lr: float,
    max_norm: float,
) -> tuple[Params, Array]:
    """Train a model by gradient descent with clipped gradients.

    Equations, for every batch of every epoch, in order::

        loss, grads = loss_and_grads(params, xs, labels)
        norm = sqrt(sum over all entries of all gradients of grad**2)
        grad = grad * max_norm / norm, where norm > max_norm
        param = param - lr * grad

    Parameters
    ----------
    loss_and_grads : function of (params, xs, labels)
        Gives the loss of a batch and the gradients, a dict with the keys of params.
    params : dict of arrays
        Must hold the same values afterwards.
    batches : list of pairs (xs, labels)
    epochs : int
        How often to go through all batches.
    lr, max_norm : numbers

    Returns
    -------
    params : dict of arrays
        The trained parameters.
    losses : (epochs * number of batches,)
        The loss of every batch, as it was before its update.
    """
    losses = []
    for _ in range(epochs):
        for xs, labels in batches:
            loss, grads = loss_and_grads(params, xs, labels)
            grads, _ = clip_by_global_norm(grads, max_norm)
            params = {name: param - lr * grads[name] for name, param in params.items()}
            losses.append(loss)
    return params, np.array(losses)
