"""Right answers in the idioms of students: loops over the batch, einsum, classes, buffers."""

import numpy as np

LSTM_LOOP = (
    "lstm_cell_backward",
    """
def lstm_cell_backward(dh, dc, x, h_prev, c_prev, i, f, o, g, c, W_x, W_h):
    batch, H = dh.shape
    dx = np.zeros_like(x); dhp = np.zeros_like(h_prev); dcp = np.zeros_like(c_prev)
    dWx = np.zeros_like(W_x); dWh = np.zeros_like(W_h); db = np.zeros(4 * H)
    for n in range(batch):
        tc = np.tanh(c[n])
        d_c = dc[n] + dh[n] * o[n] * (1 - tc * tc)
        a_i = d_c * g[n] * i[n] * (1 - i[n])
        a_f = d_c * c_prev[n] * f[n] * (1 - f[n])
        a_o = dh[n] * tc * o[n] * (1 - o[n])
        a_g = d_c * i[n] * (1 - g[n] * g[n])
        a = np.hstack([a_i, a_f, a_o, a_g])
        dx[n] = W_x @ a
        dhp[n] = W_h @ a
        dcp[n] = d_c * f[n]
        dWx += np.outer(x[n], a)
        dWh += np.outer(h_prev[n], a)
        db += a
    return dx, dhp, dcp, dWx, dWh, db
""",
)

LSTM_EINSUM = (
    "lstm_cell_backward",
    """
def lstm_cell_backward(dh, dc, x, h_prev, c_prev, i, f, o, g, c, W_x, W_h):
    H = h_prev.shape[-1]
    t = np.tanh(c)
    dct = dc + np.einsum("bh,bh,bh->bh", dh, o, 1 - t**2)
    d = np.stack([dct * g, dct * c_prev, dh * t, dct * i])
    s = np.stack([i * (1 - i), f * (1 - f), o * (1 - o), 1 - g**2])
    dz = d * s
    Wx, Wh = W_x.reshape(-1, 4, H), W_h.reshape(-1, 4, H)
    dx = np.einsum("kbh,dkh->bd", dz, Wx)
    dh_prev = np.einsum("kbh,jkh->bj", dz, Wh)
    dW_x = np.einsum("bd,kbh->dkh", x, dz).reshape(W_x.shape)
    dW_h = np.einsum("bj,kbh->jkh", h_prev, dz).reshape(W_h.shape)
    db = np.einsum("kbh->kh", dz).reshape(-1)
    return dx, dh_prev, dct * f, dW_x, dW_h, db
""",
)

LSTM_STACKED = (
    "lstm_cell_backward",
    """
class Step:
    def __init__(self, W_x, W_h):
        self.n_in = W_x.shape[0]
        self.W = np.concatenate([W_h, W_x], axis=0)
    def back(self, dh, dc, x, h_prev, c_prev, gates, c):
        i, f, o, g = gates
        H = h_prev.shape[1]
        u = np.concatenate([h_prev, x], axis=1)
        th = np.tanh(c)
        ds = dc + dh * o * (1 - th ** 2)
        buf = np.empty((len(x), 4 * H))
        buf[:, :H] = ds * g * i * (1 - i)
        buf[:, H:2*H] = ds * c_prev * f * (1 - f)
        buf[:, 2*H:3*H] = dh * th * o * (1 - o)
        buf[:, 3*H:] = ds * i * (1 - g ** 2)
        du = buf @ self.W.T
        dW = u.T @ buf
        return du[:, H:], du[:, :H], ds * f, dW[H:], dW[:H], buf.sum(0)
def lstm_cell_backward(dh, dc, x, h_prev, c_prev, i, f, o, g, c, W_x, W_h):
    return Step(W_x, W_h).back(dh, dc, x, h_prev, c_prev, (i, f, o, g), c)
""",
)

PEEPHOLE = (
    "peephole_lstm_cell_backward",
    """
def peephole_lstm_cell_backward(dh, dc, x, h_prev, c_prev, i, f, o, g, c, W_x, W_h, p_i, p_f, p_o):
    sig = lambda s: s * (1 - s)
    tc = np.tanh(c)
    delta_o = dh * tc * sig(o)
    dcell = dc + dh * o * (1 - tc**2) + p_o * delta_o
    delta_i = dcell * g * sig(i)
    delta_f = dcell * c_prev * sig(f)
    delta_g = dcell * i * (1 - g**2)
    delta = np.concatenate((delta_i, delta_f, delta_o, delta_g), 1)
    dcp = f * dcell + p_i * delta_i + p_f * delta_f
    dWx = np.einsum("bd,bk->dk", x, delta); dWh = np.einsum("bd,bk->dk", h_prev, delta)
    return (delta.dot(W_x.T), delta.dot(W_h.T), dcp, dWx, dWh, delta.sum(0),
            np.einsum("bh,bh->h", delta_i, c_prev), np.einsum("bh,bh->h", delta_f, c_prev),
            np.einsum("bh,bh->h", delta_o, c))
""",
)

GRU_LOOP = (
    "gru_cell_backward",
    """
def gru_cell_backward(dh, x, h_prev, r, u, n, W_x, W_h):
    N, H = dh.shape
    Wr, Wu, Wn = W_h[:, :H], W_h[:, H:2*H], W_h[:, 2*H:]
    dx = np.zeros_like(x); dhp = np.zeros_like(h_prev)
    dWx = np.zeros_like(W_x); dWh = np.zeros_like(W_h); db = np.zeros(3 * H)
    for k in range(N):
        dn = dh[k] * (1 - u[k])
        du = dh[k] * (h_prev[k] - n[k])
        an = dn * (1 - n[k] ** 2)
        au = du * u[k] * (1 - u[k])
        drh = Wn @ an
        ar = drh * h_prev[k] * r[k] * (1 - r[k])
        a = np.concatenate([ar, au, an])
        dx[k] = W_x @ a
        dhp[k] = dh[k] * u[k] + drh * r[k] + Wr @ ar + Wu @ au
        dWx += np.outer(x[k], a)
        dWh[:, :2*H] += np.hstack([np.outer(h_prev[k], ar), np.outer(h_prev[k], au)])
        dWh[:, 2*H:] += np.outer(r[k] * h_prev[k], an)
        db += a
    return dx, dhp, dWx, dWh, db
""",
)

RNN_STACKED = (
    "rnn_cell_backward",
    """
def rnn_cell_backward(dh, x, h_prev, h, W_x, W_h):
    W = np.vstack((W_x, W_h)); v = np.hstack((x, h_prev))
    e = dh - dh * h * h
    dv = np.zeros_like(v); dW = np.zeros_like(W); db = np.zeros(h.shape[1])
    for n in range(len(x)):
        dv[n] = W.dot(e[n])
        dW += v[n][:, None] * e[n][None, :]
        db += e[n]
    D = x.shape[1]
    return dv[:, :D], dv[:, D:], dW[:D], dW[D:], db
""",
)

RNN_CLASS = (
    "rnn_backward",
    """
class Net:
    def __init__(self, Wx, Wh):
        self.Wx, self.Wh = Wx, Wh
        self.gWx = np.zeros_like(Wx); self.gWh = np.zeros_like(Wh); self.gb = np.zeros(len(Wh))
    def step(self, d, x, hp, h):
        dz = (1 - h * h) * d
        self.gb += dz.sum(0)
        self.gWx += x.T @ dz
        self.gWh += hp.T @ dz
        return dz @ self.Wx.T, dz @ self.Wh.T
def rnn_backward(dhs, xs, h0, hs, W_x, W_h):
    net = Net(W_x, W_h)
    T = len(xs)
    hist = [h0] + [hs[t] for t in range(T)]
    out = [None] * T
    carry = np.zeros_like(h0)
    for t in range(T - 1, -1, -1):
        out[t], carry = net.step(dhs[t] + carry, xs[t], hist[t], hist[t + 1])
    return np.array(out), carry, net.gWx, net.gWh, net.gb
""",
)

LSTM_SEQUENCE = (
    "lstm_backward",
    """
def lstm_backward(dhs, xs, h0, c0, gates, cs, hs, W_x, W_h):
    T, N, H = hs.shape
    W = np.vstack([W_x, W_h])
    dW = np.zeros_like(W); db = np.zeros(4 * H); dxs = np.zeros(xs.shape)
    dh_next = np.zeros((N, H)); dc_next = np.zeros((N, H))
    for t in range(T)[::-1]:
        hp, cp = (hs[t-1], cs[t-1]) if t else (h0, c0)
        i, f, o, g = (gates[t][:, k*H:(k+1)*H] for k in range(4))
        dh = dhs[t] + dh_next
        tc = np.tanh(cs[t])
        dc = dc_next + dh * o * (1 - tc**2)
        dz = np.concatenate([dc*g*i*(1-i), dc*cp*f*(1-f), dh*tc*o*(1-o), dc*i*(1-g**2)], axis=1)
        du = dz @ W.T
        dW += np.hstack([xs[t], hp]).T @ dz
        db += dz.sum(axis=0)
        dxs[t] = du[:, :xs.shape[2]]
        dh_next = du[:, xs.shape[2]:]
        dc_next = dc * f
    return dxs, dh_next, dc_next, dW[:len(W_x)], dW[len(W_x):], db
""",
)

LSTM_FORWARD = (
    "lstm_cell_forward",
    """
def lstm_cell_forward(x, h_prev, c_prev, W_x, W_h, b):
    def s(v): return 0.5 * (1 + np.tanh(v / 2))
    B, H = h_prev.shape
    h = np.zeros((B, H)); c = np.zeros((B, H)); gates = [np.zeros((B, H)) for _ in range(4)]
    for n in range(B):
        a = np.concatenate([x[n], h_prev[n]]) @ np.concatenate([W_x, W_h]) + b
        i, f, o = s(a[:H]), s(a[H:2*H]), s(a[2*H:3*H])
        g = np.tanh(a[3*H:])
        c[n] = f * c_prev[n] + i * g
        h[n] = o * np.tanh(c[n])
        for k, v in enumerate((i, f, o, g)): gates[k][n] = v
    return h, c, tuple(gates)
""",
)

SOFTMAX_LOOP = (
    "softmax_cross_entropy",
    """
def softmax_cross_entropy(logits, labels):
    n, k = logits.shape
    loss, grad = 0.0, np.zeros((n, k))
    for r in range(n):
        m = max(logits[r]); e = np.exp(logits[r] - m); tot = e.sum()
        loss += np.log(tot) - (logits[r, labels[r]] - m)
        for j in range(k):
            grad[r, j] = (e[j] / tot - (j == labels[r])) / n
    return loss / n, grad
""",
)

SIGMOID_BRANCHES = (
    "sigmoid",
    """
def sigmoid(z):
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1 / (1 + e), e / (1 + e))
""",
)

DIFFERENCES_IN_PLACE = (
    "numerical_gradient",
    """
def numerical_gradient(f, x, h):
    x = np.array(x, dtype=float); out = np.zeros(x.size); flat = x.reshape(-1)
    for k in range(flat.size):
        old = flat[k]
        flat[k] = old + h; up = f(x)
        flat[k] = old - h; down = f(x)
        flat[k] = old
        out[k] = (up - down) / (2 * h)
    return out.reshape(x.shape)
""",
)

RMSPROP_CLASS = (
    "rmsprop_step",
    """
class Opt:
    def __init__(self, lr, rho, eps): self.lr, self.rho, self.eps = lr, rho, eps
    def __call__(self, p, g, v):
        v = self.rho * v + (1 - self.rho) * g * g
        return p - self.lr * g / (np.sqrt(v) + self.eps), v
def rmsprop_step(param, grad, ms, lr, decay, eps):
    return Opt(lr, decay, eps)(param, grad, ms)
""",
)

CLIP_LOOP = (
    "clip_by_global_norm",
    """
def clip_by_global_norm(grads, max_norm):
    total = 0.0
    for k in grads: total += float(np.sum(np.square(grads[k])))
    n = total ** 0.5
    s = max_norm / n if n > max_norm else 1.0
    return {k: v * s for k, v in grads.items()}, n
""",
)

JACOBIANS = (
    "jacobian_product_norms",
    """
def jacobian_product_norms(hs, W_h):
    T, H = hs.shape
    J = [np.diag(1 - hs[t]**2) @ W_h.T for t in range(T)]
    out = []
    for t in range(T):
        P = np.eye(H)
        for s in range(t + 1, T): P = J[s] @ P
        out.append(np.linalg.norm(P, 2))
    return np.array(out)
""",
)

SOFTMAX_ROWS = (
    "softmax_cross_entropy",
    """
def softmax_cross_entropy(logits, labels):
    rows = np.arange(len(labels))
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    p, y = np.exp(log_p), np.eye(logits.shape[1])[labels]
    return -log_p[rows, labels].mean(), (p - y) / len(labels)
""",
)

IDIOMS = {
    "lstm_loop": LSTM_LOOP,
    "lstm_einsum": LSTM_EINSUM,
    "lstm_stacked": LSTM_STACKED,
    "peephole": PEEPHOLE,
    "gru_loop": GRU_LOOP,
    "rnn_stacked": RNN_STACKED,
    "rnn_class": RNN_CLASS,
    "lstm_sequence": LSTM_SEQUENCE,
    "lstm_forward": LSTM_FORWARD,
    "softmax_loop": SOFTMAX_LOOP,
    "softmax_rows": SOFTMAX_ROWS,
    "sigmoid_branches": SIGMOID_BRANCHES,
    "differences_in_place": DIFFERENCES_IN_PLACE,
    "rmsprop_class": RMSPROP_CLASS,
    "clip_loop": CLIP_LOOP,
    "jacobians": JACOBIANS,
}


def function(text, name):
    namespace = {"np": np}
    exec(text, namespace)
    return namespace[name]


def slip(idiom, right, wrong):
    """Answer of an idiom with one piece of its text changed."""
    name, text = IDIOMS[idiom]
    assert right in text
    return name, function(text.replace(right, wrong, 1), name)
